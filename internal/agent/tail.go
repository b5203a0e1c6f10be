package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/hostmsg"
)

// tailLimits are what people who look at logs may cost.
type tailLimits struct {
	every   time.Duration // between looks at the files
	scan    time.Duration // between looks at what files there are
	rate    int64         // bytes a second of one tail
	total   int64         // of all
	behind  int64         // bytes of a file that wait; what is more is left out
	resume  int64         // of those, how many come after what was left out
	most    int           // tails
	files   int           // of one tail
	entries int           // of folders, looked at in one scan
}

var usualTails = tailLimits{
	every: 50 * time.Millisecond, scan: 500 * time.Millisecond, rate: 256 << 10, total: 4 << 20, behind: 1 << 20, resume: 128 << 10,
	most: 128, files: 16, entries: 2000,
}

// tailRoom is how many frames may wait for the server before tails do: their text is in the
// files, and reports go first.
const tailRoom = 64

// tailer reads log files for people who look, all of them in one goroutine. It has copies of
// what it needs, and writes to links alone. A server that takes nothing makes it wait, and
// nothing else.
type tailer struct {
	limits tailLimits
	orders chan func(now time.Time)

	tails  map[string]*tail // by id
	total  float64          // bytes that all tails may send now
	passed time.Time
}

func newTailer(limits tailLimits) *tailer {
	return &tailer{limits: limits, orders: make(chan func(time.Time), 256), tails: map[string]*tail{}, total: float64(limits.total)}
}

// tailJob is what a tail reads.
type tailJob struct {
	game, output string
	paths        []string
	since        time.Time       // when the process began
	over         <-chan struct{} // closed when it has ended
}

// tail is a dialogue with somebody who looks.
type tail struct {
	id     string
	link   *link
	job    tailJob
	last   int64
	from   map[string]hostmsg.TailPosition
	until  time.Time
	tokens float64 // bytes that may be sent now
	next   time.Time
	begun  bool // a first scan was made
	sent   bool // TailCurrent
	ended  bool // the last scan of an ended process was made

	files map[string]*tailed
	done  []*tailed         // files that were read and have another name now; open, so that no other file gets their number
	notes map[string]string // why a name is not read
	told  []hostmsg.TailFile
}

// tailed is a file that is read.
type tailed struct {
	name    string // as messages have it
	f       *os.File
	info    os.FileInfo
	gen     string
	cuts    int // how often it was emptied
	offset  int64
	missing bool // its name is gone
	other   bool // its name is another file's
}

// tail begins a tail, or goes on with one.
func (a *agent) tail(l *link, m *hostmsg.Tail) {
	p := a.process(m.Instance, m.Process)
	if p == nil {
		a.tailer.order(func(time.Time) {
			if a.tailer.tails[m.ID] == nil { // else it tells the end itself
				l.send(&hostmsg.TailEnd{ID: m.ID, Why: hostmsg.TailUnknown})
			}
		})
		return
	}
	i := a.instances[m.Instance]
	job := tailJob{game: i.game(), output: i.output(p.ID), paths: slices.Clone(p.LogPaths), since: p.Since, over: p.over}
	a.tailer.order(func(now time.Time) { a.tailer.begin(l, m, job, now) })
}

func (a *agent) stopTail(m *hostmsg.TailStop) {
	a.tailer.order(func(time.Time) { a.tailer.drop(m.ID) })
}

// order hands f to the goroutine. One that hangs in a file system gets no more; what is
// lost is said again.
func (t *tailer) order(f func(now time.Time)) {
	select {
	case t.orders <- f:
	default:
	}
}

// run reads until ctx ends.
func (t *tailer) run(ctx context.Context) {
	defer func() {
		for id := range t.tails {
			t.drop(id)
		}
	}()
	for {
		var tick <-chan time.Time
		if len(t.tails) > 0 {
			tick = time.After(t.limits.every)
		}
		select {
		case <-ctx.Done():
			return
		case f := <-t.orders:
			f(time.Now())
			continue
		case now := <-tick:
			t.pass(now)
		}
	}
}

func (t *tailer) begin(l *link, m *hostmsg.Tail, job tailJob, now time.Time) {
	have := t.tails[m.ID]
	if have != nil && have.link == l {
		have.until, have.job.paths, have.told = now.Add(hostmsg.TailLease), job.paths, nil
		have.tell()
		return
	}
	if have == nil && len(t.tails) >= t.limits.most {
		l.send(&hostmsg.TailEnd{ID: m.ID, Why: hostmsg.TailMany})
		return
	}
	t.drop(m.ID)
	n := &tail{
		id: m.ID, link: l, job: job, last: min(max(m.Last, 0), t.limits.behind), from: map[string]hostmsg.TailPosition{},
		until: now.Add(hostmsg.TailLease), tokens: float64(t.limits.rate), files: map[string]*tailed{}, notes: map[string]string{},
	}
	for _, p := range m.From {
		n.from[p.File] = p
	}
	t.tails[m.ID] = n
	t.pass(now)
}

func (t *tailer) drop(id string) {
	if n := t.tails[id]; n != nil {
		for _, f := range n.files {
			_ = f.f.Close()
		}
		for _, f := range n.done {
			_ = f.f.Close()
		}
		delete(t.tails, id)
	}
}

// pass sends what is new.
func (t *tailer) pass(now time.Time) {
	since := now.Sub(t.passed).Seconds()
	if t.passed.IsZero() {
		since = 0
	}
	t.passed = now
	t.total = min(t.total+since*float64(t.limits.total), float64(t.limits.total))
	for id, n := range t.tails {
		n.tokens = min(n.tokens+since*float64(t.limits.rate), float64(t.limits.rate))
		if t.serve(n, now) {
			t.drop(id)
		}
	}
}

// serve sends what is new of one tail, and tells whether the tail is over.
func (t *tailer) serve(n *tail, now time.Time) (over bool) {
	select {
	case <-n.link.done:
		return true
	default:
	}
	if now.After(n.until) {
		n.link.send(&hostmsg.TailEnd{ID: n.id, Why: hostmsg.TailLapsed})
		return true
	}
	select {
	case <-n.job.over: // what it wrote is written; so this is asked before files are read
		over = true
	default:
	}
	if !now.Before(n.next) || over && !n.ended {
		n.scan(t.limits, over)
		n.begun, n.ended = true, over
		// Folders of thousands of files must not take the processor.
		n.next = now.Add(max(t.limits.scan, 50*time.Since(now)))
		n.tell()
	}
	drained := true
	for _, name := range slices.Sorted(maps.Keys(n.files)) {
		drained = t.read(n, n.files[name]) && drained
	}
	if !drained || !n.link.room() {
		return false
	}
	if !n.sent {
		n.sent = true
		n.link.send(&hostmsg.TailText{ID: n.id, Mark: hostmsg.TailCurrent})
	}
	if over {
		n.link.send(&hostmsg.TailEnd{ID: n.id, Why: hostmsg.TailOver})
	}
	return over
}

// scan looks which files there are.
func (n *tail) scan(limits tailLimits, over bool) {
	clear(n.notes)
	n.done = slices.DeleteFunc(n.done, func(f *tailed) bool {
		info, err := f.f.Stat()
		if err == nil && !nameless(info) {
			return false
		}
		_ = f.f.Close()
		return true
	})
	seen := map[string]bool{}
	if info, err := os.Lstat(n.job.output); err == nil {
		n.found(limits, seen, hostmsg.TailOutput, info, func() (*os.File, error) { return os.Open(n.job.output) })
	}
	root, err := os.OpenRoot(n.job.game)
	if err != nil {
		n.notes[gameRoot] = "is not there"
	} else {
		defer func() { _ = root.Close() }() // it was only read
		entries := limits.entries
		for _, p := range n.job.paths {
			n.path(root, limits, seen, p, &entries)
		}
	}
	for name, f := range n.files {
		f.missing = !seen[name] && !over // of an ended process the folder may be gone already
	}
}

// path looks for the files of a log path.
func (n *tail) path(root *os.Root, limits tailLimits, seen map[string]bool, logPath string, entries *int) {
	name, ok := within(n.job.game, logPath)
	if !ok {
		n.notes[logPath] = "is not below " + gameRoot + " and is not read"
		return
	}
	if note := unlinked(root, name); note != "" {
		n.notes[logPath] = note
		return
	}
	open := func(at string) func() (*os.File, error) {
		return func() (*os.File, error) { return root.OpenFile(at, os.O_RDONLY|gentle, 0) }
	}
	info, err := root.Lstat(name)
	if err != nil {
		n.notes[logPath] = "is not there"
		return
	}
	if !info.IsDir() {
		n.found(limits, seen, name, info, open(name))
		return
	}
	type file struct {
		name string
		info os.FileInfo
	}
	var files []file
	_ = fs.WalkDir(root.FS(), name, func(at string, d fs.DirEntry, err error) error {
		if *entries--; *entries < 0 {
			n.notes[logPath] = fmt.Sprintf("has more than %d files and folders; not all are read", limits.entries)
			return fs.SkipAll
		}
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // what cannot be read is passed over
		}
		// What was there before the process is not of this game.
		if info, err := d.Info(); err == nil && info.ModTime().After(n.job.since.Add(-2*time.Second)) {
			files = append(files, file{at, info})
		}
		return nil
	})
	slices.SortFunc(files, func(x, y file) int { return y.info.ModTime().Compare(x.info.ModTime()) })
	for _, f := range files {
		n.found(limits, seen, f.name, f.info, open(f.name))
	}
}

// found is told of a file that has a name now.
func (n *tail) found(limits tailLimits, seen map[string]bool, name string, info os.FileInfo, open func() (*os.File, error)) {
	name = cut(name)
	if have := n.files[name]; have != nil {
		seen[name] = true
		have.other = !os.SameFile(have.info, info)
		return
	}
	// One that was renamed, and is being read or was.
	renamed := func(f *tailed) bool { return os.SameFile(f.info, info) }
	if slices.ContainsFunc(n.done, renamed) || slices.ContainsFunc(slices.Collect(maps.Values(n.files)), renamed) {
		return
	}
	if len(n.files) >= limits.files {
		n.notes[name] = fmt.Sprintf("is not read: there are more than %d files", limits.files)
		return
	}
	f, info, note := checked(info, open)
	if note != "" {
		n.notes[name] = note
		return
	}
	seen[name] = true
	n.files[name] = n.place(&tailed{name: name, f: f, info: info, gen: genOf(info)})
}

// checked opens a file if it is one of the game's own.
func checked(want os.FileInfo, open func() (*os.File, error)) (*os.File, os.FileInfo, string) {
	if !want.Mode().IsRegular() {
		return nil, nil, "is no regular file and is not read"
	}
	f, err := open()
	if err != nil {
		return nil, nil, "cannot be read: " + reasonOf(err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || hardLinked(info) || !os.SameFile(info, want) {
		_ = f.Close()
		return nil, nil, "is no file of its own and is not read"
	}
	return f, info, ""
}

// reasonOf is an error without the path, which says where the agent's folder is.
func reasonOf(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// place says from where a file is read: where the server read on before, its end when the
// tail begins, its beginning when it came later.
func (n *tail) place(f *tailed) *tailed {
	size := f.info.Size()
	from, known := n.from[f.name]
	file, cuts, _ := strings.Cut(from.Gen, ".")
	if known && file == f.gen {
		f.gen = from.Gen
		f.cuts, _ = strconv.Atoi(cuts)
	}
	switch {
	case known && from.Gen == f.gen && from.Offset <= size:
		f.offset = from.Offset
	case known && from.Gen == f.gen:
		n.emptied(f)
	case known:
		n.mark(f, hostmsg.TailRotated, 0)
	case !n.begun:
		f.offset = lineAt(f.f, max(size-n.last, 0))
	}
	delete(n.from, f.name)
	return f
}

// lineAt is where the first line begins that does not begin before at, if that is near.
func lineAt(f *os.File, at int64) int64 {
	if at == 0 {
		return 0
	}
	var near [4096]byte
	read, _ := f.ReadAt(near[:], at-1)
	if i := bytes.IndexByte(near[:read], '\n'); i >= 0 {
		return at + int64(i)
	}
	return at
}

// read sends what is new in a file, as far as it may, and tells whether that is all.
func (t *tailer) read(n *tail, f *tailed) (drained bool) {
	if !n.link.room() {
		return false
	}
	info, err := f.f.Stat()
	if err != nil {
		n.forget(f)
		return true
	}
	size := info.Size()
	if size < f.offset {
		n.emptied(f)
	}
	if late := size - f.offset; late > t.limits.behind {
		to := lineAt(f.f, size-t.limits.resume)
		left := to - f.offset
		f.offset = to
		n.mark(f, hostmsg.TailGap, left)
	}
	for f.offset < size {
		piece := min(size-f.offset, hostmsg.TailPiece, int64(n.tokens), int64(t.total))
		if piece <= 0 || !n.link.room() {
			return false
		}
		data := make([]byte, piece)
		got, err := f.f.ReadAt(data, f.offset)
		if got == 0 {
			if err != nil { // it was cut off just now
				return true
			}
			continue
		}
		// Whole lines, if there are any: what follows may be of another file.
		data = data[:got]
		if end := bytes.LastIndexByte(data, '\n') + 1; end > 0 && f.offset+int64(got) < size {
			data = data[:end]
		}
		n.link.send(&hostmsg.TailText{ID: n.id, File: f.name, Gen: f.gen, Offset: f.offset, Data: data})
		f.offset += int64(len(data))
		n.tokens -= float64(len(data))
		t.total -= float64(len(data))
	}
	switch {
	case f.other:
		n.forget(f)
		n.from[f.name] = hostmsg.TailPosition{File: f.name, Gen: "another"} // so that it is marked
		n.next = time.Time{}                                                // the new one is looked for at once
		return false
	case f.missing:
		n.mark(f, hostmsg.TailDeleted, 0)
		n.forget(f)
	}
	return true
}

// forget ends the reading of a file. Under another name it does not begin again.
func (n *tail) forget(f *tailed) {
	delete(n.files, f.name)
	if info, err := f.f.Stat(); err != nil || nameless(info) || len(n.done) >= mostDone {
		_ = f.f.Close()
		return
	}
	n.done = append(n.done, f)
}

const mostDone = 64

// emptied goes on at the beginning of a file that became shorter. It counts as another one, so
// that its bytes are not taken for those that were there.
func (n *tail) emptied(f *tailed) {
	f.cuts++
	f.gen, f.offset = genOf(f.info)+"."+strconv.Itoa(f.cuts), 0
	n.mark(f, hostmsg.TailTruncated, 0)
}

func (n *tail) mark(f *tailed, m hostmsg.TailMark, left int64) {
	n.link.send(&hostmsg.TailText{ID: n.id, File: f.name, Gen: f.gen, Offset: f.offset, Mark: m, Bytes: left})
}

// tell says which files are read, if that changed.
func (n *tail) tell() {
	files := []hostmsg.TailFile{}
	for _, name := range slices.Sorted(maps.Keys(n.files)) {
		files = append(files, hostmsg.TailFile{Name: name})
	}
	for _, name := range slices.Sorted(maps.Keys(n.notes)) {
		if len(files) < mostTold {
			files = append(files, hostmsg.TailFile{Name: cut(name), Note: n.notes[name]})
		}
	}
	if n.told != nil && slices.Equal(files, n.told) || !n.link.room() {
		return
	}
	n.told = files
	n.link.send(&hostmsg.TailFiles{ID: n.id, Files: files})
}

const mostTold = 32 // files named in one message

// cut is a name of a length that messages can hold.
func cut(name string) string {
	if len(name) > 200 {
		name = "…" + name[len(name)-200:]
	}
	return strings.ToValidUTF8(name, "?")
}

// within is a log path relative to the build folder.
func within(game, logPath string) (string, bool) {
	p := path.Clean(filepath.ToSlash(logPath))
	for _, prefix := range []string{gameRoot, filepath.ToSlash(game)} {
		if p == prefix {
			return ".", true
		}
		if rest, ok := strings.CutPrefix(p, prefix+"/"); ok {
			return rest, true
		}
	}
	return p, filepath.IsLocal(p)
}

// unlinked is why a path is not to be read: it or a folder on the way to it is not there, or
// is a link, which could lead to another's files.
func unlinked(root *os.Root, name string) string {
	for n := range len(name) + 1 {
		if n < len(name) && name[n] != '/' {
			continue
		}
		if note := linked(root, name[:n]); note != "" {
			return note
		}
	}
	return ""
}
