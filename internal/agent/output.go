package agent

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"strings"
)

// rotate cuts a process's output file off when it is too long; its beginning is kept beside
// it, once. A process writes to the file itself, so that it needs no agent to go on; so the
// file is copied and emptied, and what is written between the two is lost.
func (a *agent) rotate(i *instance, p *process) {
	name := i.output(p.ID)
	if info, err := os.Lstat(name); err != nil || info.Size() <= a.c.LogSize {
		return
	}
	p.rotates = true
	a.work.Go(func() {
		if err := copyOff(name); err != nil {
			a.log.Warn("output of a process not rotated", slog.String("process_id", p.ID), slog.Any("error", err))
		}
		a.post(func() { p.rotates = false })
	})
}

func copyOff(name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(name+".1", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return os.Truncate(name, 0)
}

// endOf is the end of a file, at most n bytes.
func endOf(name string, n int64) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, min(n, info.Size()))
	if _, err := f.ReadAt(b, info.Size()-int64(len(b))); err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(b), "")
}

// lastLine is the last line of a process's output, for people.
func lastLine(name string) string {
	b := bytes.TrimSpace([]byte(endOf(name, 2000)))
	line := string(b[bytes.LastIndexByte(b, '\n')+1:])
	if len(line) > 300 {
		line = strings.ToValidUTF8(line[:300], "") + "…"
	}
	return line
}
