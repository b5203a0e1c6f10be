package event

import (
	"context"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// A queue is a sink whose owner comes to fetch. A message received is hidden for a while,
// and with it those of its Order; one not deleted until then can be received again.

// Receive takes up to most messages of a queue and hides them for a while. Each is given to
// one caller, with a receipt of its own, on whatever node.
func (l *Log) Receive(ctx context.Context, queue string, most int, hidden time.Duration) (got []Entry, err error) {
	for {
		missed := false
		err = l.DB.Write(ctx, func(tx *store.Tx) error {
			got, missed, err = receive(tx, queue, most, hidden)
			return err
		})
		if err != nil || len(got) > 0 || !missed {
			return got, err
		}
	}
}

// Receipt names a message as it was received.
type Receipt struct {
	Key     store.Key
	Receipt int64
}

// Delete removes messages of a queue. A receipt that is not the message's last removes
// nothing.
func (l *Log) Delete(ctx context.Context, queue string, receipts ...Receipt) error {
	return l.DB.Write(ctx, func(tx *store.Tx) error {
		args := make([][]any, len(receipts))
		for i, r := range receipts {
			args[i] = []any{queue, r.Key, r.Receipt}
		}
		if _, err := tx.ExecMany(`DELETE FROM event WHERE sink = $1 AND key = $2 AND receipt = $3`, args); err != nil {
			return err
		}
		tx.Notify(Channel, queue) // the next of its Order can be received
		return nil
	})
}

// Hide hides a received message from now on for that long; 0 gives it back at once. It
// tells whether the message was still hidden by that receipt.
func (l *Log) Hide(ctx context.Context, queue string, r Receipt, d time.Duration) (ok bool, err error) {
	err = l.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE event SET due_at = $4 WHERE sink = $1 AND key = $2 AND receipt = $3 AND due_at > $5`,
			queue, r.Key, r.Receipt, tx.NowMs()+d.Milliseconds(), tx.NowMs())
		ok = n == 1
		if ok && d <= 0 {
			tx.Notify(Channel, queue)
		}
		return err
	})
	return ok, err
}

// Depth is how many messages a queue has: those that could be received, now or once an
// earlier one of their Order is gone, and those that are hidden.
func (l *Log) Depth(ctx context.Context, queue string) (waiting, hidden int64, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT COUNT(*), COALESCE(SUM(CASE WHEN due_at > $2 THEN 1 ELSE 0 END), 0) FROM event WHERE sink = $1`,
			queue, tx.NowMs()).Scan(&waiting, &hidden)
	})
	return waiting - hidden, hidden, err
}

func receive(tx *store.Tx, queue string, most int, hidden time.Duration) (got []Entry, missed bool, err error) {
	lock := tx.ForUpdate()
	if lock != "" {
		lock += " OF e SKIP LOCKED" // others take those
	}
	all, err := heads(tx, queue, most, lock)
	if err != nil || len(all) == 0 {
		return nil, false, err
	}
	args := make([][]any, len(all))
	for i := range all {
		all[i].Receipt = store.Tail()
		args[i] = []any{queue, all[i].Key, tx.NowMs() + hidden.Milliseconds(), all[i].Receipt, tx.NowMs()}
	}
	changed, err := tx.ExecMany(`
		UPDATE event SET due_at = $3, receipt = $4, tries = tries + 1, tried_at = COALESCE(tried_at, $5)
		WHERE sink = $1 AND key = $2 AND due_at <= $5`, args)
	if err != nil {
		return nil, false, err
	}
	for i, e := range all {
		if changed[i] == 1 {
			e.Tries++
			if e.TriedAt.IsZero() {
				e.TriedAt = tx.Now
			}
			got = append(got, e)
		}
	}
	return got, len(got) == 0, nil
}
