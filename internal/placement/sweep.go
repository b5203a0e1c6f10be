package placement

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// sweepBatch is how many placements one transaction of a sweep ends.
const sweepBatch = 200

// Tick does what is due at now: placements time out, latency policies relax, placements of
// deleted queues fail, ended ones are forgotten after their retention; and whoever waits and
// can use a free process gets it, in case a notification was lost. It may be interrupted and
// repeated, and run on several nodes at once.
func (s *Service) Tick(ctx context.Context, now time.Time) error {
	return errors.Join(
		s.repeat(ctx, func(tx *store.Tx) (bool, error) { return s.timeOutTx(tx, now.UnixMilli()) }),
		s.repeat(ctx, func(tx *store.Tx) (bool, error) { return s.stepTx(tx, now.UnixMilli()) }),
		s.failOrphans(ctx),
		s.repeat(ctx, func(tx *store.Tx) (bool, error) {
			return forget(tx, now.Add(-s.Config.orDefaults().Retention).UnixMilli())
		}),
		s.Pass(ctx, Woken{All: true}),
	)
}

// Due is the next instant at which Tick has something to do: the very deadline of a
// placement or step of a latency policy, and for what is forgotten the full minute after, so
// that a clock stepping from one instant to the next does not stop at each row.
func (s *Service) Due(ctx context.Context) (due time.Time, ok bool, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		due, ok = time.Time{}, false
		next, ended, err := nextInstants(tx)
		if err != nil {
			return err
		}
		if next != nil {
			due, ok = stamp(*next), true
		}
		if ended == nil {
			return nil
		}
		at := stamp(*ended).Add(s.Config.orDefaults().Retention).Add(time.Minute - 1).Truncate(time.Minute)
		if !ok || at.Before(due) {
			due, ok = at, true
		}
		return nil
	})
	return due, ok, err
}

// repeat runs a sweep, a batch a transaction, until nothing is left.
func (s *Service) repeat(ctx context.Context, sweep func(tx *store.Tx) (more bool, err error)) error {
	for {
		var more bool
		if err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			more, err = sweep(tx)
			return err
		}); err != nil || !more {
			return err
		}
	}
}

// timeOutTx times out placements whose deadline has come. A game session that is being
// started for one is ended; one that became ACTIVE just before stays, and so does its
// placement.
func (s *Service) timeOutTx(tx *store.Tx, now int64) (more bool, err error) {
	list, err := overdue(tx, now, sweepBatch)
	if err != nil || len(list) == 0 {
		return false, err
	}
	return len(list) == sweepBatch, s.endTx(tx, list, timedOut, "the queue's timeout came")
}

// endTx ends pending placements, of whatever queues, with what is being started for them. It
// writes down how things stand where they ended.
func (s *Service) endTx(tx *store.Tx, list []placement, to status, why string) error {
	over := map[store.Key]bool{} // game sessions
	keys := make([]int64, len(list))
	for i, p := range list {
		keys[i] = int64(p.key)
		if p.game == nil {
			continue
		}
		// Before the placement: computes and game sessions are locked first.
		ok, err := s.Sessions.AbandonTx(tx, *p.game)
		if err != nil {
			return err
		}
		over[*p.game] = ok
	}
	// What was activated meanwhile is not pending any more, and what has got another game
	// session is left to the next sweep.
	list, err := stillPending(tx, keys)
	list = slices.DeleteFunc(list, func(p placement) bool { return p.game != nil && !over[*p.game] })
	if err != nil || len(list) == 0 {
		return err
	}
	claims, err := claimsOf(tx, list)
	if err != nil {
		return err
	}
	desks := map[store.Key]*assigning{}
	queues := map[store.Key]queue{}
	for _, c := range claims {
		a := desks[c.queue]
		if a == nil {
			q, err := queueByKey(tx, c.queue)
			if err != nil {
				return err
			}
			st, err := s.stockOf(tx, q, false)
			if err != nil {
				return err
			}
			a = s.assigner(tx, st)
			queues[c.queue], desks[c.queue] = q, a
		}
		if c.game != nil {
			c.trace.ended(tx.Now, why)
		}
		a.rank(c)
		if err := a.note(c); err != nil {
			return err
		}
		if err := saveTrace(tx, c.key, c.trace); err != nil {
			return err
		}
		if err := s.finishTx(tx, queues[c.queue], c.placement, to); err != nil {
			return err
		}
	}
	return nil
}

// stepTx lets placements go where the latency policy that is in force by now allows. The
// pass that follows finds them there.
func (s *Service) stepTx(tx *store.Tx, now int64) (more bool, err error) {
	list, err := relaxing(tx, now, sweepBatch)
	if err != nil || len(list) == 0 {
		return false, err
	}
	claims, err := claimsOf(tx, list)
	if err != nil {
		return false, err
	}
	keys := make([]int64, len(list))
	for i, p := range list {
		keys[i] = int64(p.key)
	}
	if err := deleteWaits(tx, keys); err != nil {
		return false, err
	}
	queues, farther := map[store.Key]queue{}, map[store.Key][]string{}
	var waits, steps [][]any
	for _, c := range claims {
		q, ok := queues[c.queue]
		if !ok {
			if q, err = queueByKey(tx, c.queue); err != nil {
				return false, err
			}
			queues[c.queue] = q
			notify(tx, q.key)
		}
		locations, until := reach(q.Policies, c.wish)
		farther[c.queue] = append(farther[c.queue], locations...)
		for _, at := range locations {
			waits = append(waits, []any{c.queue, at, c.key})
		}
		steps = append(steps, []any{c.key, c.stepAt(until)})
	}
	if err := saveSteps(tx, steps); err != nil {
		return false, err
	}
	for _, key := range slices.Sorted(maps.Keys(farther)) {
		if err := s.rouseFartherTx(tx, queues[key], farther[key]); err != nil {
			return false, err
		}
	}
	return len(list) == sweepBatch, insertWaits(tx, waits)
}

// failOrphans fails what is pending in queues that are deleted.
func (s *Service) failOrphans(ctx context.Context) error {
	var keys []store.Key
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		keys, err = deletedQueues(tx)
		return err
	})
	for _, k := range keys {
		err = errors.Join(err, s.failAll(ctx, k))
	}
	return err
}

// failAll fails the pending placements of a deleted queue and then removes it.
func (s *Service) failAll(ctx context.Context, key store.Key) error {
	return s.repeat(ctx, func(tx *store.Tx) (more bool, err error) {
		list, err := pendingOf(tx, key, sweepBatch)
		if err != nil {
			return false, err
		}
		if len(list) == 0 {
			return false, removeQueue(tx, key)
		}
		return true, s.endTx(tx, list, failed, "its queue was deleted")
	})
}

func decimal(n int32) string { return strconv.Itoa(int(n)) }
