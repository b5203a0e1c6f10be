package store

import (
	"context"
	"time"
)

// Transaction tells how a transaction went, to whoever traces its caller (Options.Trace).
type Transaction struct {
	Kind Kind
	// Asked is when it was asked for. Began is when its function began, the last time; it is
	// zero when that never did. Ran is when the function returned, and Ended when the caller
	// was answered: between the two is the commit.
	Asked, Began, Ran, Ended time.Time
	Tries                    int // how often its function began
	Calls                    int // of a Batch: the calls that its function answered together
	Group                    int // functions that shared its commit: on SQLite perhaps many
	Err                      error
}

// Kind is a kind of transaction.
type Kind string

// The kinds of transactions. A Batch is a call of a Batcher, which shares its transaction
// with others.
const (
	Read  Kind = "read"
	Write Kind = "write"
	Batch Kind = "batch"
)

// traced is a transaction that somebody wants to know of. A nil one is any other.
type traced struct {
	Transaction
	tell func(Transaction)
}

// trace is nil when nobody wants to know of ctx's transactions.
func (db *DB) trace(ctx context.Context, k Kind) *traced {
	if db.opts.Trace == nil {
		return nil
	}
	tell := db.opts.Trace(ctx)
	if tell == nil {
		return nil
	}
	return &traced{Transaction{Kind: k, Asked: time.Now()}, tell}
}

func (t *traced) began() {
	if t == nil {
		return
	}
	t.Began, t.Ran = time.Now(), time.Time{}
	t.Tries++
}

func (t *traced) ran() {
	if t != nil {
		t.Ran = time.Now()
	}
}

func (t *traced) shared(functions int) {
	if t != nil {
		t.Group = functions
	}
}

// answered is the end of a transaction.
func (t *traced) answered(err error) error {
	if t == nil {
		return err
	}
	t.Ended, t.Err = time.Now(), err
	t.tell(t.Transaction)
	return err
}

// of takes in how the transaction went that a batch shared.
func (t *traced) of(batch *traced, calls int) {
	if t == nil || batch == nil {
		return
	}
	t.Began, t.Ran, t.Tries, t.Group, t.Calls = batch.Began, batch.Ran, batch.Tries, batch.Group, calls
}
