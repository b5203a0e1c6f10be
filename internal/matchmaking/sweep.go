package matchmaking

import (
	"context"
	"errors"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

const (
	sweepBatch = 200
	// overdueGrace is how long a ticket may be overdue before the sweep ends it, whose pool
	// should have: then no node has that.
	overdueGrace = 10 * time.Second
)

// Tick does what is due at now: acceptances time out, this node's pools run, backfills of
// game sessions that have ended are cancelled, and ended tickets are forgotten after their
// retention. It may be interrupted and repeated, and run on several nodes at once.
func (s *Service) Tick(ctx context.Context, now time.Time) error {
	failed := errors.Join(s.expireAll(ctx, now), s.stopOrphans(ctx), s.refillAll(ctx))
	mine, err := s.Look(ctx)
	failed = errors.Join(failed, err)
	for _, key := range mine {
		_, err := s.Pass(ctx, key)
		failed = errors.Join(failed, err)
	}
	return errors.Join(failed, s.endForgotten(ctx, now), s.repeat(ctx, func(tx *store.Tx) (bool, error) {
		return s.forgetTx(tx, now)
	}))
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

// ExpireMatches drops proposed matches that were not accepted in time, and returns when the
// next one is due; zero for none. Tick does so, too.
func (s *Service) ExpireMatches(ctx context.Context) (next time.Time, err error) {
	if err := s.expireAll(ctx, s.DB.Now()); err != nil {
		return time.Time{}, err
	}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		var at *int64
		err := tx.QueryRow(`SELECT min(deadline) FROM matchmaking_match WHERE deadline IS NOT NULL`).Scan(&at)
		if next = (time.Time{}); at != nil {
			next = stamp(*at)
		}
		return err
	})
	return next, err
}

func (s *Service) expireAll(ctx context.Context, now time.Time) error {
	for {
		var keys []store.Key
		if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
			keys, err = overdueMatches(tx, now, sweepBatch)
			return err
		}); err != nil || len(keys) == 0 {
			return err
		}
		for _, key := range keys {
			if err := s.DB.Write(ctx, func(tx *store.Tx) error { return s.expireTx(tx, key, now) }); err != nil {
				return err
			}
		}
	}
}

// expireTx drops a match, if it is open and overdue still.
func (s *Service) expireTx(tx *store.Tx, key store.Key, now time.Time) error {
	row, err := holdMatch(tx, key)
	if errors.Is(err, store.ErrNoRows) || err == nil && (row.deadline == nil || *row.deadline > now.UnixMilli()) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := holdMatchTickets(tx, key)
	if err != nil {
		return err
	}
	c, err := s.configurationByKeyTx(tx, row.configuration)
	if err != nil {
		return err
	}
	if err := deleteMatch(tx, key); err != nil {
		return err
	}
	w := s.work(tx, c)
	w.touch(list...)
	if err := w.emit(w.rules.Expire(proposal(list), tx.Now)); err != nil {
		return err
	}
	return w.save()
}

// stopOrphans cancels the backfill tickets of game sessions that have ended.
func (s *Service) stopOrphans(ctx context.Context) error {
	for after := store.Key(0); ; {
		var games, over []store.Key
		if err := s.DB.Read(ctx, func(tx *store.Tx) error {
			over = nil
			var err error
			if games, err = store.Column[store.Key](tx.Query(`SELECT DISTINCT game FROM matchmaking_ticket
				WHERE game > $1 AND game IS NOT NULL AND ended_at IS NULL ORDER BY game LIMIT $2`, after, sweepBatch)); err != nil || len(games) == 0 {
				return err
			}
			ended, err := s.Sessions.EndedTx(tx, games)
			for _, g := range games {
				if ended[g] {
					over = append(over, g)
				}
			}
			return err
		}); err != nil || len(games) == 0 {
			return err
		}
		after = games[len(games)-1]
		for _, g := range over {
			if err := settle(func() error {
				return s.DB.Write(ctx, func(tx *store.Tx) error { return s.stopBackfills(tx, g) })
			}); err != nil {
				return err
			}
		}
	}
}

// endForgotten times out tickets that no pool did time out.
func (s *Service) endForgotten(ctx context.Context, now time.Time) error {
	return s.repeat(ctx, func(tx *store.Tx) (bool, error) {
		list, err := scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t
			WHERE t.deadline <= $1 ORDER BY t.deadline, t.key LIMIT $2`, now.Add(-overdueGrace).UnixMilli(), sweepBatch))
		if err != nil || len(list) == 0 {
			return false, err
		}
		by := map[store.Key][]int64{}
		for _, t := range list {
			by[t.configuration] = append(by[t.configuration], int64(t.key))
		}
		for key, keys := range by {
			c, err := s.configurationByKeyTx(tx, key)
			if err != nil {
				return false, err
			}
			if err := s.timeOutTx(tx, c, keys, nil, nil); err != nil {
				return false, err
			}
		}
		return len(list) == sweepBatch, nil
	})
}

// forgetTx removes tickets that ended long ago, some at a time.
func (s *Service) forgetTx(tx *store.Tx, now time.Time) (more bool, err error) {
	keys, err := store.Column[store.Key](tx.Query(`SELECT key FROM matchmaking_ticket WHERE ended_at <= $1 ORDER BY ended_at, key LIMIT $2`,
		now.Add(-s.Config.orDefaults().Retention).UnixMilli(), sweepBatch))
	if err != nil {
		return false, err
	}
	if len(keys) == 0 {
		return false, forgetWaits(tx, now.Add(-2*waitWindow))
	}
	list := make([]int64, len(keys))
	for i, k := range keys {
		list[i] = int64(k)
	}
	if _, err := tx.Exec(`DELETE FROM matchmaking_explanation WHERE `+tx.In("ticket", 1), store.List(tx, list)); err != nil {
		return false, err
	}
	_, err = tx.Exec(`DELETE FROM matchmaking_ticket WHERE `+tx.In("key", 1), store.List(tx, list))
	return true, err
}

// Due is the next instant at which Tick has something to do: the deadline of a ticket or of
// an acceptance, a step of a rule set's expansions, and for what is forgotten the full minute
// after.
func (s *Service) Due(ctx context.Context) (due time.Time, ok bool, err error) {
	var first []time.Time
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		first = nil
		var next, ended *int64
		if err := tx.QueryRow(`SELECT min(at) FROM (
			SELECT min(deadline) AS at FROM matchmaking_ticket WHERE deadline IS NOT NULL
			UNION ALL SELECT min(deadline) FROM matchmaking_match WHERE deadline IS NOT NULL) d`).Scan(&next); err != nil {
			return err
		}
		if err := tx.QueryRow(`SELECT min(ended_at) FROM matchmaking_ticket WHERE ended_at IS NOT NULL`).Scan(&ended); err != nil {
			return err
		}
		if next != nil {
			first = append(first, stamp(*next))
		}
		if ended != nil {
			first = append(first, stamp(*ended).Add(s.Config.orDefaults().Retention).Add(time.Minute-1).Truncate(time.Minute))
		}
		return nil
	})
	if err != nil {
		return time.Time{}, false, err
	}
	for _, p := range s.allPools() {
		p.mu.Lock()
		if !p.next.IsZero() {
			first = append(first, p.next)
		}
		p.mu.Unlock()
	}
	for _, at := range first {
		if !ok || at.Before(due) {
			due, ok = at, true
		}
	}
	return due, ok, nil
}
