package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

const defaultBatch = 256

// Batcher joins concurrent calls of one operation into one transaction: while one batch
// commits, the next one fills. Fill DB and Run before the first Do; the zero Max is 256.
// A Batcher must not be copied.
type Batcher[In, Out any] struct {
	DB  *DB
	Max int // most calls in one transaction; 0 = 256

	// Run answers each call: out[i] or errs[i]; nil errs means that none failed. An error it
	// returns itself fails (and rolls back) all of them. A call with errs[i] != nil must have
	// left no trace in tx. Run may be called again with the same calls, together or one by
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
}

// Do answers after the commit that holds this call is durable. When ctx ends first, Do
// returns its error at once; the call may then still be carried out, so what in points to
// must stay untouched. A panic in Run fails the whole batch with an error.
func (b *Batcher[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	c := &call[In, Out]{ctx: ctx, in: in, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	lead := !b.running
	b.running = true
	b.mu.Unlock()
	if lead {
		b.DB.work.Go(b.drain)
	}
	select {
	case <-c.done:
		return c.out, c.err
	case <-ctx.Done():
		var none Out
		return none, ctx.Err()
	}
}

// drain runs batches until nobody waits.
func (b *Batcher[In, Out]) drain() {
	for {
		calls := b.take()
		if calls == nil {
			return
		}
		b.run(calls)
		for _, c := range calls {
			close(c.done)
		}
	}
}

func (b *Batcher[In, Out]) take() []*call[In, Out] {
	most := b.Max
	if most <= 0 {
		most = defaultBatch
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.running = false
		return nil
	}
	n := min(most, len(b.waiting))
	calls := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	return calls
}

// run answers all calls, together or, when that fails for a reason that may be one call's
// alone, each by itself.
func (b *Batcher[In, Out]) run(calls []*call[In, Out]) {
	live := make([]*call[In, Out], 0, len(calls))
	for _, c := range calls {
		if c.err = c.ctx.Err(); c.err == nil {
			live = append(live, c)
		}
	}
	if len(live) == 0 {
		return
	}
	err := b.try(live)
	if err == nil {
		return
	}
	if len(live) > 1 && (errors.Is(err, ErrUnique) || errors.Is(err, errSerialization)) {
		for _, c := range live {
			if err := b.try([]*call[In, Out]{c}); err != nil {
				c.err = err
			}
		}
		return
	}
	for _, c := range live {
		c.err = err
	}
}

// try runs calls in one transaction. When it returns an error no call was answered.
func (b *Batcher[In, Out]) try(calls []*call[In, Out]) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("batch: panic: %v", p)
		}
	}()
	in := make([]In, len(calls))
	for i, c := range calls {
		in[i] = c.in
	}
	var out []Out
	var errs []error
	if err := b.DB.Write(b.DB.ctx, func(tx *Tx) (err error) {
		out, errs, err = b.Run(tx, in)
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
