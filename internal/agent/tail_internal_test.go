//go:build linux

package agent

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/hostmsg"
)

// desk is a game's folder and people who look at its log, in a time of its own.
type desk struct {
	t      *testing.T
	tailer *tailer
	now    time.Time
	game   string
	output string
	over   chan struct{}
	paths  []string
}

// viewer is one who looks.
type viewer struct {
	*desk
	id    string
	link  *link
	texts map[string]string
	marks []string
	files []hostmsg.TailFile
	end   hostmsg.TailReason
	most  int64 // bytes of the largest piece
}

func newDesk(t *testing.T, paths ...string) *desk {
	dir := t.TempDir()
	d := &desk{
		t: t, tailer: newTailer(usualTails), now: time.Now(), game: filepath.Join(dir, "game"), output: filepath.Join(dir, "logs", "p.log"),
		over: make(chan struct{}), paths: paths,
	}
	for _, dir := range []string{filepath.Join(d.game, "logs"), filepath.Dir(d.output)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for id := range d.tailer.tails {
			d.tailer.drop(id)
		}
	})
	return d
}

func (d *desk) look(id string, last int64, from ...hostmsg.TailPosition) *viewer {
	here, there := net.Pipe()
	d.t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	v := &viewer{
		desk: d, id: id, texts: map[string]string{},
		link: &link{conn: here, out: make(chan []byte, 4096), done: make(chan struct{})},
	}
	v.ask(last, from...)
	return v
}

func (v *viewer) ask(last int64, from ...hostmsg.TailPosition) {
	job := tailJob{game: v.game, output: v.output, paths: v.paths, since: v.now.Add(-time.Minute), over: v.over}
	v.tailer.begin(v.link, &hostmsg.Tail{ID: v.id, Last: last, From: from}, job, v.now)
	v.take()
}

// take reads what was sent.
func (v *viewer) take() {
	v.t.Helper()
	for len(v.link.out) > 0 {
		f, err := ws.ReadFrame(bytes.NewReader(<-v.link.out)) //nolint:staticcheck // its bytes are ours
		if err != nil {
			v.t.Fatal(err)
		}
		m, err := hostmsg.Decode(ws.UnmaskFrame(f).Payload)
		if err != nil {
			v.t.Fatal(err)
		}
		switch m := m.(type) {
		case *hostmsg.TailFiles:
			v.files = m.Files
		case *hostmsg.TailEnd:
			v.end = m.Why
		case *hostmsg.TailText:
			v.texts[m.File] += string(m.Data)
			v.most = max(v.most, int64(len(m.Data)))
			if m.Mark != "" {
				v.marks = append(v.marks, strings.TrimSpace(fmt.Sprintf("%s %s", m.Mark, m.File)))
			}
		}
	}
}

// later lets time pass, so long that files are looked for.
func (d *desk) later(all ...*viewer) {
	d.t.Helper()
	d.now = d.now.Add(d.tailer.limits.scan)
	d.tailer.pass(d.now)
	for _, v := range all {
		v.take()
	}
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.game, name)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err := errOr(err, f.Close()); err != nil {
		d.t.Fatal(err)
	}
}

func errOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (v *viewer) has(file, want string) {
	v.t.Helper()
	if got := v.texts[file]; got != want {
		v.t.Fatalf("%s of %s: %d bytes, …%.100q; want %d, …%.100q (marks %q, files %v)", file, v.id, len(got), got[max(0, len(got)-99):], len(want), want[max(0, len(want)-99):], v.marks, v.files)
	}
}

func (v *viewer) saw(want ...string) {
	v.t.Helper()
	if !slices.Equal(v.marks, want) {
		v.t.Fatalf("marks %q, want %q", v.marks, want)
	}
}

func (v *viewer) note(name string) string {
	for _, f := range v.files {
		if f.Name == name {
			return f.Note
		}
	}
	return "not named"
}

func TestATailHasTheEndAndWhatFollows(t *testing.T) {
	d := newDesk(t, "/local/game/logs", "/local/game/own.log")
	d.write(d.output, "one\ntwo\nthree\n")
	d.write("logs/a.log", "A\n")
	v := d.look("v", 7)
	v.has(hostmsg.TailOutput, "three\n") // whole lines of the last seven bytes
	v.has("logs/a.log", "A\n")
	v.saw("current")
	if got := v.note("/local/game/own.log"); got != "is not there" {
		t.Errorf("a file that is not there yet: %q", got)
	}
	d.write(d.output, "four, without an end")
	d.write("own.log", "own\n")
	d.write("logs/b.log", "B\n")
	d.later(v)
	v.has(hostmsg.TailOutput, "three\nfour, without an end")
	v.has("own.log", "own\n")
	v.has("logs/b.log", "B\n")

	close(d.over)
	d.write("logs/b.log", "last words\n")
	d.later(v)
	v.has("logs/b.log", "B\nlast words\n")
	v.saw("current")
	if v.end != hostmsg.TailOver || len(d.tailer.tails) != 0 {
		t.Errorf("ended %q, %d tails are left", v.end, len(d.tailer.tails))
	}
}

func TestATailFollowsFilesThatChange(t *testing.T) {
	d := newDesk(t, "/local/game/logs")
	name := filepath.Join(d.game, "logs", "a.log")
	d.write(name, "before\n")
	v := d.look("v", 1000)

	// Renamed, and another in its place: what was written last to the old one comes first.
	d.write(name, "last of the first\n")
	d.must(os.Rename(name, name+".1"))
	d.write(name, "second\n")
	d.later(v)
	d.later(v)
	v.has("logs/a.log", "before\nlast of the first\nsecond\n")
	v.has("logs/a.log.1", "")
	v.saw("current", "rotated logs/a.log")

	// Emptied in place.
	d.must(os.Truncate(name, 0))
	d.later(v)
	d.write(name, "third\n")
	d.later(v)
	v.has("logs/a.log", "before\nlast of the first\nsecond\nthird\n")
	v.saw("current", "rotated logs/a.log", "truncated logs/a.log")

	// Deleted, and there again.
	d.must(os.Remove(name))
	d.later(v)
	d.write(name, "fourth\n")
	d.later(v)
	d.later(v)
	v.saw("current", "rotated logs/a.log", "truncated logs/a.log", "deleted logs/a.log")
	v.has("logs/a.log", "before\nlast of the first\nsecond\nthird\nfourth\n")

	// Renamed away, with nothing in its place for a while: it is not sent again under its new name.
	d.must(os.Rename(name, name+".2"))
	d.later(v)
	d.later(v)
	v.has("logs/a.log.2", "")
}

func TestATailReadsTheGamesOwnFilesAlone(t *testing.T) {
	d := newDesk(t, "/local/game/logs", "/etc/passwd", "../other/x.log", "/local/game/link.log", "/local/game/down/x.log", "/local/game/pipe", "/local/game/hard.log", "logs/../logs/ok.log")
	secret := filepath.Join(t.TempDir(), "secret")
	d.write(secret, "a secret\n")
	d.must(os.Symlink(secret, filepath.Join(d.game, "link.log")))
	d.must(os.Symlink(secret, filepath.Join(d.game, "logs", "link.log")))
	d.must(os.Symlink(filepath.Dir(secret), filepath.Join(d.game, "down")))
	d.must(os.Link(secret, filepath.Join(d.game, "hard.log")))
	d.must(syscall.Mkfifo(filepath.Join(d.game, "pipe"), 0o600))
	d.write("logs/ok.log", "fine\n")
	v := d.look("v", 1000)
	d.later(v)
	v.has("logs/ok.log", "fine\n")
	for file, text := range v.texts {
		if strings.Contains(text, "secret") {
			t.Errorf("%s leads to %q", file, text)
		}
	}
	for name, want := range map[string]string{
		"/etc/passwd": "is not below /local/game and is not read", "../other/x.log": "is not below /local/game and is not read",
		"/local/game/link.log": "is or has a link, which is not followed", "/local/game/down/x.log": "is or has a link, which is not followed",
		"pipe": "is no regular file and is not read", "hard.log": "is no file of its own and is not read",
	} {
		if got := v.note(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// A file that becomes a link while it is read is not followed either.
	d.must(os.Remove(filepath.Join(d.game, "logs", "ok.log")))
	d.must(os.Symlink(secret, filepath.Join(d.game, "logs", "ok.log")))
	for range 3 {
		d.later(v)
	}
	v.has("logs/ok.log", "fine\n")
}

func TestATailTakesAnyBytes(t *testing.T) {
	d := newDesk(t)
	line := strings.Repeat("x", 100_000) // without an end
	d.write(d.output, line)
	v := d.look("v", 1<<20)
	d.write(d.output, "\x00\xff\x1b[2J\n")
	d.later(v)
	v.has(hostmsg.TailOutput, line+"\x00\xff\x1b[2J\n")
	if v.most > hostmsg.TailPiece {
		t.Errorf("a piece of %d bytes", v.most)
	}
}

func TestAFloodIsCutAndMarked(t *testing.T) {
	d := newDesk(t)
	d.write(d.output, "begins\n")
	v := d.look("v", 1000)
	d.write(d.output, strings.Repeat("0123456789abcde\n", 1<<18)) // 4 MiB
	d.later(v)
	v.saw("current", "gap "+hostmsg.TailOutput)
	got := int64(len(v.texts[hostmsg.TailOutput]))
	if got > d.tailer.limits.rate+100 || got < 10_000 {
		t.Errorf("half a second has %d bytes", got)
	}
	for range 4 {
		d.later(v)
	}
	text := v.texts[hostmsg.TailOutput]
	if !strings.HasPrefix(text, "begins\n0123") || !strings.HasSuffix(text, "abcde\n") || strings.Count(text, "\n")*16-9 != len(text) {
		t.Errorf("%d bytes, not all in whole lines", len(text))
	}
}

func TestAServerThatTakesNothingIsWaitedFor(t *testing.T) {
	d := newDesk(t)
	slow, quick := d.look("slow", 1000), d.look("quick", 1000)
	want := ""
	for n := range 80 { // less than the lease
		line := fmt.Sprintf("%d %s\n", n, strings.Repeat("y", 5000))
		d.write(d.output, line)
		want += line
		d.later(quick)
	}
	quick.has(hostmsg.TailOutput, want)
	if n := len(slow.link.out); n > tailRoom+2 {
		t.Errorf("%d frames wait in the socket", n)
	}
	select {
	case <-slow.link.done:
		t.Fatal("the socket was given up for it")
	default:
	}
	for range 5 {
		d.later(slow, quick)
	}
	slow.has(hostmsg.TailOutput, want) // it was in the file
}

func TestTailsAreBounded(t *testing.T) {
	d := newDesk(t)
	d.tailer.limits.most = 2
	d.write(d.output, "text\n")
	first, second, third := d.look("1", 100), d.look("2", 100), d.look("3", 100)
	if third.end != hostmsg.TailMany || first.end != "" || second.end != "" {
		t.Fatalf("ends %q %q %q", first.end, second.end, third.end)
	}
	second.has(hostmsg.TailOutput, "text\n")
	d.now = d.now.Add(hostmsg.TailLease - time.Second)
	first.ask(100) // that it is asked for again changes nothing but the lease
	d.now = d.now.Add(2 * time.Second)
	d.later(first, second)
	if first.end != "" || second.end != hostmsg.TailLapsed || len(d.tailer.tails) != 1 {
		t.Errorf("ends %q %q, %d tails", first.end, second.end, len(d.tailer.tails))
	}
	first.has(hostmsg.TailOutput, "text\n")
	first.link.close()
	d.later(first)
	if len(d.tailer.tails) != 0 {
		t.Error("a tail outlives its socket")
	}
}

func TestATailGoesOnAfterANewDial(t *testing.T) {
	d := newDesk(t)
	d.write(d.output, "one\ntwo\n")
	v := d.look("v", 100)
	at := hostmsg.TailPosition{File: hostmsg.TailOutput, Offset: int64(len("one\ntwo\n"))}
	for _, n := range d.tailer.tails {
		at.Gen = n.files[hostmsg.TailOutput].gen
	}
	v.link.close()
	d.write(d.output, "meanwhile\n")
	again := d.look("v", 100, at)
	again.has(hostmsg.TailOutput, "meanwhile\n")
	d.must(os.Remove(d.output))
	d.write(d.output, "another\n")
	at.Gen = "gone"
	late := d.look("w", 100, at)
	late.has(hostmsg.TailOutput, "another\n")
	late.saw("rotated "+hostmsg.TailOutput, "current")
}
