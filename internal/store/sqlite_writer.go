package store

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	mostInGroup  = 1024                  // most functions in one commit
	longestGroup = 10 * time.Millisecond // a commit waits no longer for more functions
)

var errClosed = errors.New("store is closed")

// job is one caller's function on its way through the writer.
type job struct {
	ctx   context.Context
	f     func(conn) error
	trace *traced      // nil mostly
	state atomic.Int32 // who has it

	err      error
	panicked any
	exited   bool          // f ended its goroutine: runtime.Goexit
	done     chan struct{} // receives once
}

// States of a job. A waiting one may be withdrawn by its caller; a taken one is answered.
const (
	waiting int32 = iota
	taken
	withdrawn
)

// sqliteWriter is the one connection that writes, and its goroutine. It runs the functions
// of all who wait, each in its own savepoint, commits once, and then answers them all.
// Statements inside the shared transaction are never cancelled: a caller whose context
// ends is stopped between its statements, and only its savepoint is undone.
type sqliteWriter struct {
	conn    *sqliteConn
	logger  *slog.Logger
	commits atomic.Uint64
	ended   chan struct{}

	mu     sync.Mutex
	queue  []*job
	head   int // where the queue begins
	closed bool
	chore  func() // to be run between transactions
	wake   chan struct{}

	// The transaction under way. It is kept here, and not in variables, because a function
	// may end the goroutine; the next one goes on from here.
	inTx  bool
	lost  bool   // SQLite rolled it back by itself
	wrote bool   // a function of it has written and is kept
	dirty bool   // the current function writes
	saved bool   // the current function has its savepoint
	alone bool   // it belongs to one function of again
	group []*job // the functions run in it
	again []*job // functions to run once more, each alone, since their group failed
}

var jobs = sync.Pool{New: func() any { return &job{done: make(chan struct{}, 1)} }}

func startSQLiteWriter(c *sqliteConn, logger *slog.Logger) *sqliteWriter {
	w := &sqliteWriter{conn: c, logger: logger, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go w.run()
	return w
}

// write runs f and returns after the commit. While f waits its turn it can be withdrawn by
// ctx; from then on the answer is what became of it.
func (w *sqliteWriter) write(ctx context.Context, t *traced, f func(conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := jobs.Get().(*job)
	j.ctx, j.f, j.trace = ctx, f, t
	if !w.push(j) {
		return errClosed
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		if j.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
		<-j.done
	}
	err, panicked, exited := j.err, j.panicked, j.exited
	j.ctx, j.f, j.trace, j.err, j.panicked, j.exited = nil, nil, nil, nil, nil, false
	j.state.Store(waiting)
	jobs.Put(j)
	if panicked != nil {
		panic(panicked)
	}
	if exited {
		runtime.Goexit()
	}
	return err
}

func (w *sqliteWriter) push(j *job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.queue = append(w.queue, j)
	w.rouse()
	return true
}

func (w *sqliteWriter) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// between runs f on the writer's goroutine when no transaction is under way, and returns
// when it ran; false if the writer ended before.
func (w *sqliteWriter) between(f func()) bool {
	done := make(chan struct{})
	w.mu.Lock()
	w.chore = func() { f(); close(done) }
	w.rouse()
	w.mu.Unlock()
	select {
	case <-done:
		return true
	case <-w.ended:
		return false
	}
}

// close lets what waits finish and ends the goroutine.
func (w *sqliteWriter) close() {
	w.mu.Lock()
	w.closed = true
	w.rouse()
	w.mu.Unlock()
	<-w.ended
}

// pop takes the next function that nobody withdrew.
func (w *sqliteWriter) pop() *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.head < len(w.queue) {
		j := w.queue[w.head]
		w.queue[w.head] = nil
		w.head++
		if j.state.CompareAndSwap(waiting, taken) {
			return j
		}
	}
	w.queue, w.head = w.queue[:0], 0
	return nil
}

// rest waits for work; false when there will be none. It also does the chore.
func (w *sqliteWriter) rest() bool {
	for {
		w.mu.Lock()
		chore, n, closed := w.chore, len(w.queue)-w.head, w.closed
		w.chore = nil
		w.mu.Unlock()
		switch {
		case chore != nil:
			chore()
		case n > 0:
			return true
		case closed:
			return false
		default:
			<-w.wake
		}
	}
}

func (w *sqliteWriter) run() {
	ended := false
	defer func() {
		if !ended {
			go w.run() // a function ended this goroutine
		}
	}()
	for {
		if !w.inTx {
			w.alone = len(w.again) > 0
			if !w.alone && !w.rest() {
				break
			}
			if err := w.conn.do("BEGIN IMMEDIATE"); err != nil {
				w.refuse(err)
				continue
			}
			w.inTx, w.lost, w.wrote = true, false, false
		}
		w.fill()
		w.finish()
	}
	ended = true
	close(w.ended)
}

// refuse answers everyone who waits, since no transaction could begin.
func (w *sqliteWriter) refuse(err error) {
	if w.alone {
		w.group, w.again = append(w.group, w.again...), nil
	} else {
		for j := w.pop(); j != nil; j = w.pop() {
			w.group = append(w.group, j)
		}
	}
	for _, j := range w.group {
		j.err = err
	}
	w.answer()
}

// fill runs functions until nobody waits.
func (w *sqliteWriter) fill() {
	if w.alone {
		if len(w.group) == 0 {
			j := w.again[0]
			w.again = w.again[1:]
			w.call(j)
		}
		return
	}
	begin := time.Now()
	for len(w.group) < mostInGroup && !w.lost {
		j := w.pop()
		if j == nil {
			runtime.Gosched() // those just answered come back with their next functions
			if j = w.pop(); j == nil {
				return
			}
		}
		w.call(j)
		if len(w.group)%16 == 0 && time.Since(begin) > longestGroup {
			return
		}
	}
}

// call runs one function in a savepoint, which is made when it first writes. The first to
// write needs none, since to undo it is to roll everything back: savepoints make SQLite copy
// each page before it is changed, and a group of one big batch is the usual case under load.
func (w *sqliteWriter) call(j *job) {
	w.group = append(w.group, j)
	w.dirty, w.saved = false, false
	w.conn.failed = nil
	w.conn.before = func() error {
		w.dirty = true
		if !w.wrote {
			return nil
		}
		w.saved = true
		return w.conn.do("SAVEPOINT one")
	}
	returned := false
	defer func() {
		if !returned {
			j.panicked = recover()
			if j.exited = j.panicked == nil; !j.exited {
				// It is raised again in the caller, where this stack is not to be seen.
				w.logger.Error("panic in a transaction", "panic", j.panicked, "stack", string(debug.Stack()))
			}
		}
		if returned && j.err == nil {
			j.err = w.conn.failed // f kept it to itself
		}
		w.settle(returned && j.err == nil)
	}()
	j.err = nil
	j.err = j.f(w.conn)
	returned = true
}

// settle ends the current function's savepoint.
func (w *sqliteWriter) settle(keep bool) {
	w.conn.closeRows()
	w.conn.before = nil
	if w.conn.failed != nil && w.conn.do("BEGIN") == nil {
		// A transaction can only begin when there is none.
		w.lost = true
		return
	}
	switch {
	case !w.dirty:
		return
	case !w.saved && keep:
		w.wrote = true
		return
	case !w.saved:
		if w.conn.do("ROLLBACK") != nil || w.conn.do("BEGIN IMMEDIATE") != nil {
			w.lost = true
		}
		return
	}
	if !keep && w.conn.do("ROLLBACK TO one") != nil {
		w.lost = true
	}
	if w.conn.do("RELEASE one") != nil {
		w.lost = true
	}
}

// finish commits and answers. When the transaction fails as a whole it is not known whose
// fault that is: each function is then run again, alone.
func (w *sqliteWriter) finish() {
	w.inTx = false
	err := errLost
	if !w.lost {
		err = w.conn.do("COMMIT")
	}
	if err == nil {
		w.commits.Add(1)
		w.answer()
		return
	}
	_ = w.conn.do("ROLLBACK") // fails when SQLite did it already
	if w.alone || len(w.group) == 1 {
		for _, j := range w.group {
			if j.err == nil {
				j.err = err
			}
		}
		w.answer()
		return
	}
	blamed := w.group[:0]
	for i, j := range w.group {
		loser := w.lost && i == len(w.group)-1 && j.err != nil
		if j.panicked != nil || j.exited || loser {
			blamed = append(blamed, j)
			continue
		}
		w.again = append(w.again, j)
	}
	w.group = blamed
	w.answer()
}

var errLost = errors.New("SQLite rolled the transaction back")

func (w *sqliteWriter) answer() {
	for i, j := range w.group {
		j.trace.shared(len(w.group))
		j.done <- struct{}{}
		w.group[i] = nil
	}
	w.group = w.group[:0]
}
