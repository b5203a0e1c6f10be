package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

const defaultBatch = 256

// Batcher joins concurrent calls of one operation into one transaction: while one batch
// commits, the next one fills. Fill DB and Run before the first Do; the zero Max is 256.
// A Batcher must not be copied.
type Batcher[In, Out any] struct {
	DB  *DB
	Max int // most calls in one transaction; 0 = 256

	// Run answers each call: errs[i] or, when that is nil, out[i]. Both have one element a
	// call; nil errs means that none failed. An error it returns itself fails (and rolls
	// back) all of them. A call with errs[i] != nil must have left no trace in tx. Run may be called again with the same calls, together or one by
	// one, after a serialization failure or a unique error of the whole batch.
	Run func(tx *Tx, in []In) (out []Out, errs []error, err error)

	mu      sync.Mutex
	waiting []*call[In, Out]
	running bool
}

type call[In, Out any] struct {
	ctx  context.Context
	in   In
	out  Out
	err  error
	done chan struct{}

	traced bool    // somebody wants to know
	went   *traced // how its transaction went, which is that of
	calls  int     // so many
}

// Do answers after the commit that holds this call is durable. When ctx ends first, Do
// returns its error at once; the call may then still be carried out, so what in points to
// must stay untouched. A panic of Run is an error of the calls it was run for.
func (b *Batcher[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	var none Out
	if err := ctx.Err(); err != nil {
		return none, err
	}
	t := b.DB.trace(ctx, Batch)
	c := &call[In, Out]{ctx: ctx, in: in, done: make(chan struct{}), traced: t != nil}
	if !b.push(c) {
		return none, errClosed
	}
	select {
	case <-c.done:
		t.of(c.went, c.calls)
		return c.out, t.answered(c.err)
	case <-ctx.Done():
		return none, t.answered(ctx.Err())
	}
}

// push adds a call, and starts a goroutine to run it when none is running. That one ends
// when nobody waits.
func (b *Batcher[In, Out]) push(c *call[In, Out]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running && !b.DB.spawn(b.drain) {
		return false
	}
	b.running = true
	b.waiting = append(b.waiting, c)
	return true
}

// drain runs batches until nobody waits.
func (b *Batcher[In, Out]) drain() {
	var calls []*call[In, Out]
	ended := false
	defer func() {
		if ended {
			return
		}
		// Run ended this goroutine, as a test's Fatal does.
		for _, c := range calls {
			c.err = errors.New("batch: its goroutine ended")
			close(c.done)
		}
		b.DB.work.Go(b.drain)
	}()
	for {
		b.gather()
		if calls = b.take(); calls == nil {
			ended = true
			return
		}
		b.run(calls)
		for _, c := range calls {
			close(c.done)
		}
		calls = nil
	}
}

// gather lets those just answered come back with their next calls: it yields while they do.
func (b *Batcher[In, Out]) gather() {
	for n := -1; ; {
		b.mu.Lock()
		now := len(b.waiting)
		b.mu.Unlock()
		if now <= n || now >= b.most() {
			return
		}
		n = now
		runtime.Gosched()
	}
}

func (b *Batcher[In, Out]) most() int {
	if b.Max > 0 {
		return b.Max
	}
	return defaultBatch
}

// take is the next batch, without those calls that nobody waits for.
func (b *Batcher[In, Out]) take() []*call[In, Out] {
	b.mu.Lock()
	defer b.mu.Unlock()
	var calls []*call[In, Out]
	for len(b.waiting) > 0 && len(calls) < b.most() {
		if c := b.waiting[0]; c.ctx.Err() == nil {
			calls = append(calls, c)
		}
		b.waiting = b.waiting[1:]
	}
	b.running = calls != nil
	return calls
}

// run answers all calls: together or, when that fails for a reason that may be one call's
// alone, each by itself.
func (b *Batcher[In, Out]) run(calls []*call[In, Out]) {
	err := b.try(calls)
	if err == nil {
		return
	}
	if len(calls) > 1 && (errors.Is(err, ErrUnique) || errors.Is(err, errSerialization) || errors.Is(err, errPanic)) {
		for i := range calls {
			b.run(calls[i : i+1])
		}
		return
	}
	for _, c := range calls {
		c.err = err
	}
}

var errPanic = errors.New("batch: panic")

// batchTime is how long a batch may take, which has no caller's context to end it.
const batchTime = time.Minute

// try runs calls in one transaction. When it returns an error no call was answered.
func (b *Batcher[In, Out]) try(calls []*call[In, Out]) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.DB.life), batchTime)
	defer cancel()
	in := make([]In, len(calls))
	var t *traced
	for i, c := range calls {
		in[i] = c.in
		if c.traced && t == nil {
			t = &traced{}
		}
	}
	for _, c := range calls {
		c.went, c.calls = t, len(calls)
	}
	var out []Out
	var errs []error
	if err := b.DB.write(ctx, t, func(tx *Tx) (err error) {
		out, errs, err = b.guarded(tx, in)
		return err
	}); err != nil {
		return err
	}
	for i, c := range calls {
		if errs != nil && errs[i] != nil {
			c.err = errs[i]
			continue
		}
		c.out = out[i]
	}
	return nil
}

// guarded is Run, of which a panic is an error, as is an answer of the wrong length.
func (b *Batcher[In, Out]) guarded(tx *Tx, in []In) (out []Out, errs []error, err error) {
	defer func() {
		if p := recover(); p != nil {
			b.DB.opts.Logger.Error("batch panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	out, errs, err = b.Run(tx, in)
	if err == nil && (len(out) != len(in) || errs != nil && len(errs) != len(in)) {
		err = fmt.Errorf("batch: %d answers and %d errors for %d calls", len(out), len(errs), len(in))
	}
	return out, errs, err
}
