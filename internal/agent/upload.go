package agent

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/hostmsg"
)

const (
	uploadTries    = 8
	mostUploads    = 2000 // that wait for the server
	askAgain       = 30 * time.Second
	mostSessionLog = 10000 // files in an archive
)

// upload is the log archive of a game session on its way to the server. Its exported part is
// in a file beside the archive, for the next agent.
type upload struct {
	Session  string `json:"session"`
	Instance string `json:"instance"`
	File     string `json:"file"` // base name of the archive
	Size     int64  `json:"size"`

	asked time.Time // for a place, and not answered yet
	next  time.Time // not before
	busy  bool
	tries int
}

// collect makes the log archive of each game session that a process hosted. The instance's
// folder stays until it is done.
func (a *agent) collect(i *instance, p *process) {
	for n, session := range p.Sessions {
		u := &upload{Session: session, Instance: i.start.Instance, File: fmt.Sprintf("%s-%d.zip", p.ID, n)}
		if len(a.uploads) >= mostUploads {
			a.report(&hostmsg.Uploaded{GameSession: session, Instance: u.Instance, Failed: "too many log archives wait for the server"})
			continue
		}
		i.collecting++
		name := filepath.Join(a.c.Data, "uploads", u.File)
		job := collection{game: i.game(), dir: i.dir, output: i.output(p.ID), limit: a.c.SessionLogSize}
		paths := p.LogPaths
		a.work.Go(func() {
			size, err := job.write(name, paths)
			if err == nil {
				u.Size = size
				var text []byte
				if text, err = json.Marshal(u); err == nil {
					err = replace(name+".json", text)
				}
			}
			a.post(func() { a.collected(i, u, err) })
		})
	}
}

func (a *agent) collected(i *instance, u *upload, err error) {
	i.collecting--
	if err != nil {
		a.forget(u, "the log archive could not be made: "+err.Error())
	} else {
		a.uploads[u.Session] = u
	}
	a.passInstance(i, time.Now())
}

// resumeUploads goes on with what an earlier agent did not hand in.
func (a *agent) resumeUploads() {
	dir := filepath.Join(a.c.Data, "uploads")
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return
	}
	for _, name := range names {
		var u upload
		text, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &u)
		}
		if err != nil || filepath.Base(u.File) != u.File {
			a.log.Warn("log archive of an earlier agent passed over", slog.String("file", name), slog.Any("error", err))
			continue
		}
		a.uploads[u.Session] = &u
	}
}

// passUploads asks for places.
func (a *agent) passUploads(now time.Time) {
	if !a.synced {
		return
	}
	for _, u := range a.uploads {
		if !u.busy && !now.Before(u.next) && now.Sub(u.asked) >= askAgain {
			u.asked = now
			a.link.send(&hostmsg.WantUpload{GameSession: u.Session})
		}
	}
}

// put hands an archive in at the place the server named.
func (a *agent) put(m *hostmsg.Upload) {
	u := a.uploads[m.GameSession]
	if u == nil || u.busy {
		return
	}
	u.busy = true
	u.tries++
	name := filepath.Join(a.c.Data, "uploads", u.File)
	a.work.Go(func() {
		err := a.send(a.ctx, name, u.Size, m.URL)
		if a.ctx.Err() != nil {
			return
		}
		a.post(func() { a.handedIn(u, err) })
	})
}

func (a *agent) handedIn(u *upload, err error) {
	u.busy = false
	switch {
	case err == nil:
		a.log.Info("logs of a game session handed in", slog.String("session", u.Session), slog.Int64("size", u.Size))
		a.forget(u, "")
	case u.tries >= uploadTries:
		a.forget(u, err.Error())
	default:
		pause := a.c.Times.UploadRetry << (u.tries - 1)
		a.log.Warn("logs of a game session not handed in yet", slog.String("session", u.Session), slog.Any("error", err), slog.Duration("again_in", pause))
		u.next, u.asked = time.Now().Add(pause), time.Time{}
	}
}

// forget ends an upload, with the reason if it failed.
func (a *agent) forget(u *upload, failed string) {
	delete(a.uploads, u.Session)
	m := &hostmsg.Uploaded{GameSession: u.Session, Instance: u.Instance, Size: u.Size, Failed: failed}
	if failed != "" {
		m.Size = 0
		a.log.Error("logs of a game session are lost", slog.String("session", u.Session), slog.String("reason", failed))
	}
	a.report(m)
	name := filepath.Join(a.c.Data, "uploads", u.File)
	_ = os.Remove(name + ".json")
	_ = os.Remove(name)
}

func (a *agent) send(ctx context.Context, name string, size int64, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	address, err := absolute(a.c.Server, ref)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, address, f)
	if err != nil {
		return err
	}
	r.ContentLength = size
	r.Header.Set("Content-Type", "application/zip")
	answer, err := client(a.c.TLS).Do(r)
	if err != nil {
		return hideQuery(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the log store answered status %d", answer.StatusCode)
	}
	return nil
}

// collection is the making of a log archive: the files a game named in ProcessReady, as far
// as they are regular files of its build folder, and what it printed.
type collection struct {
	game, dir, output string
	limit             int64 // bytes that may still be taken

	zip   *zip.Writer
	taken map[string]bool
	notes []string // for who reads the archive
}

// write makes the archive.
func (c *collection) write(name string, paths []string) (size int64, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if end := f.Close(); err == nil {
			err = end
		}
		if err != nil {
			_ = os.Remove(name)
		}
	}()
	c.zip, c.taken = zip.NewWriter(f), map[string]bool{}
	for _, suffix := range []string{"", ".1"} {
		if err := c.printed(suffix); err != nil {
			return 0, err
		}
	}
	root, err := os.OpenRoot(c.game)
	if err != nil {
		c.note("no build folder: %v", err)
	} else {
		defer func() { _ = root.Close() }() // it was only read
		for _, p := range paths {
			if err := c.path(root, p); err != nil {
				return 0, err
			}
		}
	}
	if err := c.end(); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (c *collection) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// end writes the notes and closes the archive.
func (c *collection) end() error {
	if len(c.notes) > 0 {
		w, err := c.zip.Create("matchyard/notes.txt")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, strings.Join(c.notes, "\n")+"\n"); err != nil {
			return err
		}
	}
	return c.zip.Close()
}

// path takes a log path, a file or a folder.
func (c *collection) path(root *os.Root, logPath string) error {
	name, ok := within(c.game, logPath)
	if !ok {
		c.note("%q is not below %s and was left out", logPath, gameRoot)
		return nil
	}
	if note := unlinked(root, name); note != "" {
		c.note("%q %s", logPath, note)
		return nil
	}
	return fs.WalkDir(root.FS(), name, func(at string, d fs.DirEntry, unread error) error {
		switch {
		case unread != nil:
			c.note("%q: %v", at, unread)
			return nil
		case d.IsDir() || c.taken[at]:
			return nil
		case !d.Type().IsRegular():
			c.note("%q is no regular file and was left out", at)
			return nil
		case len(c.taken) >= mostSessionLog:
			c.note("there are more than %d files", mostSessionLog)
			return fs.SkipAll
		}
		c.taken[at] = true
		f, err := root.OpenFile(at, os.O_RDONLY|gentle, 0)
		if err != nil {
			c.note("%q: %v", at, err)
			return nil
		}
		defer f.Close()
		return c.file(at, f)
	})
}

// linked is why a file is not to be read, if it is not there or is a link.
func linked(root *os.Root, name string) string {
	switch info, err := root.Lstat(name); {
	case err != nil:
		return "is not there"
	case info.Mode()&fs.ModeSymlink != 0:
		return "is or has a link, which is not followed"
	}
	return ""
}

// printed takes what the process printed.
func (c *collection) printed(suffix string) error {
	switch f, err := os.Open(c.output + suffix); {
	case err == nil:
		defer f.Close()
		return c.file("matchyard/output.log"+suffix, f)
	case !errors.Is(err, fs.ErrNotExist):
		c.note("output: %v", err)
	}
	return nil
}

// file writes a file into the archive, or its end when the archive would be too large.
func (c *collection) file(name string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || hardLinked(info) {
		c.note("%q is no file of its own and was left out", name)
		return nil
	}
	size := info.Size()
	from := int64(0)
	if size > c.limit {
		from = size - c.limit
		c.note("%q has %d bytes, of which the last %d are here: an archive takes no more", name, size, c.limit)
	}
	c.limit -= size - from
	w, err := c.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: info.ModTime()})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.NewSectionReader(f, from, size-from))
	return err
}
