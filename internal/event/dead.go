package event

import (
	"context"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

const (
	defaultKeepDead = 14 * 24 * time.Hour
	sweepBatch      = 1000
)

// Dead is an event that was given up.
type Dead struct {
	Entry
	Reason string // why the last try failed
	DeadAt time.Time
}

// Dead lists events that were given up, oldest first, behind the one named by after (nil:
// from the first): those of one sink, or of all when sink is "".
func (l *Log) Dead(ctx context.Context, sink string, after *Ref, most int) (dead []Dead, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		dead, err = listDead(tx, sink, after, most)
		return err
	})
	return dead, err
}

// DeadCount is how many events were given up and are kept, by sink.
func (l *Log) DeadCount(ctx context.Context) (count map[string]int64, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		count, err = counts(tx, `SELECT sink, COUNT(*) FROM event_dead GROUP BY sink ORDER BY sink`)
		return err
	})
	return count, err
}

// Pending is how many events are on their way, by sink.
func (l *Log) Pending(ctx context.Context) (count map[string]int64, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		count, err = counts(tx, `SELECT sink, COUNT(*) FROM event GROUP BY sink ORDER BY sink`)
		return err
	})
	return count, err
}

// Replay sends events that were given up on their way again, as of now, at their old places
// among those of their Order that are still on their way: all of a sink, or the one with
// that id. It returns how many.
func (l *Log) Replay(ctx context.Context, sink, id string) (n int, err error) {
	for more := true; more; {
		var some int
		if err := l.DB.Write(ctx, func(tx *store.Tx) (err error) {
			some, err = replay(tx, sink, id, sweepBatch)
			tx.Notify(Channel, sink)
			return err
		}); err != nil {
			return n, err
		}
		n += some
		more = some == sweepBatch
	}
	return n, nil
}

func (l *Log) keepDead() time.Duration {
	if l.KeepDead == 0 {
		return defaultKeepDead
	}
	return l.KeepDead
}

// Tick removes events that were given up long ago. It works in batches and may be repeated.
func (l *Log) Tick(ctx context.Context, now time.Time) error {
	due, more, err := l.Due(ctx)
	if err != nil || now.Before(due) {
		return err
	}
	for more {
		if err := l.DB.Write(ctx, func(tx *store.Tx) error {
			n, err := removeDead(tx, now.Add(-l.keepDead()).UnixMilli(), sweepBatch)
			more = n == sweepBatch
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// Due is the next instant at which Tick has something to do: of what is removed the full
// minute after.
func (l *Log) Due(ctx context.Context) (due time.Time, ok bool, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		var ms *int64
		if err := tx.QueryRow(`SELECT MIN(dead_at) FROM event_dead`).Scan(&ms); err != nil || ms == nil {
			return err
		}
		due, ok = time.UnixMilli(*ms).UTC().Add(l.keepDead()).Add(time.Minute-1).Truncate(time.Minute), true
		return nil
	})
	return due, ok, err
}
