package event

import (
	"context"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// Ref names an event of a sink.
type Ref struct {
	Sink string
	Key  store.Key
}

// Entry is an event on its way to a sink.
type Entry struct {
	Ref
	ID        string // the event's own, in its text as well; the same for every try and sink
	Type      string
	Order     string
	Target    string // as Event's
	Body      string // the JSON of the whole event
	CreatedAt time.Time
	Tries     int       // made before
	TriedAt   time.Time // the first of them; zero when there was none
	Receipt   int64     // of Receive
}

// Ready lists events that may be sent to the sink now, those longest due first: of each
// Order only the first, and not if it is held back after a failure.
func (l *Log) Ready(ctx context.Context, sink string, most int) (ready []Entry, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		ready, err = heads(tx, sink, most, "")
		return err
	})
	return ready, err
}

// Next is the earliest instant after now at which an event of the sink is to be tried again.
func (l *Log) Next(ctx context.Context, sink string) (at time.Time, ok bool, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		ms, err := nextDue(tx, sink)
		if err == nil && ms != nil {
			at, ok = time.UnixMilli(*ms).UTC(), true
		}
		return err
	})
	return at, ok, err
}

// Done removes events that their sinks have.
func (l *Log) Done(ctx context.Context, refs ...Ref) error {
	return l.DB.Write(ctx, func(tx *store.Tx) error { return remove(tx, refs) })
}

// Failure is a try that failed.
type Failure struct {
	Ref
	Reason string
	Until  time.Time     // when the event, and with it its Order, may be tried again
	MaxAge time.Duration // from this age on it is given up instead; 0: never
}

// Failed records tries that failed and returns how many of the events were given up.
func (l *Log) Failed(ctx context.Context, failures ...Failure) (dead int, err error) {
	err = l.DB.Write(ctx, func(tx *store.Tx) error {
		dead = 0
		for _, f := range failures {
			if err := holdBack(tx, f); err != nil {
				return err
			}
			if f.MaxAge > 0 {
				n, err := bury(tx, f.Sink, tx.NowMs()-f.MaxAge.Milliseconds(), f.Reason, &f.Key, 1)
				if err != nil {
					return err
				}
				dead += n
			}
		}
		return nil
	})
	return dead, err
}

// Bury gives up all events of a sink that are of that age or older, and returns how many.
// It works in batches.
func (l *Log) Bury(ctx context.Context, sink string, age time.Duration, reason string) (dead int, err error) {
	for more := true; more; {
		var n int
		if err := l.DB.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = bury(tx, sink, tx.NowMs()-age.Milliseconds(), reason, nil, sweepBatch)
			return err
		}); err != nil {
			return dead, err
		}
		dead += n
		more = n == sweepBatch
	}
	return dead, nil
}

// Oldest is when the oldest event still on its way to the sink was appended.
func (l *Log) Oldest(ctx context.Context, sink string) (at time.Time, ok bool, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		ms, err := oldest(tx, sink)
		if err == nil && ms != nil {
			at, ok = time.UnixMilli(*ms).UTC(), true
		}
		return err
	})
	return at, ok, err
}

// Purge removes all events on their way to the sink and returns how many.
func (l *Log) Purge(ctx context.Context, sink string) (n int64, err error) {
	err = l.DB.Write(ctx, func(tx *store.Tx) error {
		n, err = tx.Exec(`DELETE FROM event WHERE sink = $1`, sink)
		return err
	})
	return n, err
}

// Configured tells that this node has these sinks, and no others.
func (l *Log) Configured(ctx context.Context, sinks []string) error {
	return l.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM event_sink WHERE node = $1 OR node NOT IN (SELECT id FROM node)`, l.DB.Node()); err != nil {
			return err
		}
		for _, sink := range sinks {
			if _, err := tx.Exec(`INSERT INTO event_sink (sink, node) VALUES ($1, $2)`, sink, l.DB.Node()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Orphans are the sinks that events are on their way to and that no living node has.
func (l *Log) Orphans(ctx context.Context) (sinks []string, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		sinks, err = orphans(tx)
		return err
	})
	return sinks, err
}
