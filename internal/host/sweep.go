package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/store"
)

// Tick does what has fallen due: hosts that are silent for too long are given up, tokens are
// renewed, instances that do not get ready or do not end are dealt with, and what is old is
// forgotten. Then it runs a Pass. It may be interrupted and repeated.
func (s *Service) Tick(ctx context.Context, now time.Time) error {
	c := s.Config.orDefaults()
	return errors.Join(
		s.loseHosts(ctx),
		s.batches(ctx, func(tx *store.Tx) (int, error) { return s.renewTx(tx, now) }),
		s.batches(ctx, func(tx *store.Tx) (int, error) { return s.overdueTx(tx, now) }),
		s.batches(ctx, func(tx *store.Tx) (int, error) { return s.unreadyTx(tx, now) }),
		s.batches(ctx, func(tx *store.Tx) (int, error) { return forgetTx(tx, now.Add(-keepEnded)) }),
		s.forgetLogs(ctx, now.Add(-c.LogsKept)),
		s.Pass(ctx),
	)
}

// batches repeats a transaction until it changed less than a batch.
func (s *Service) batches(ctx context.Context, f func(tx *store.Tx) (int, error)) error {
	for {
		n := 0
		err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = f(tx)
			return err
		})
		if err != nil || n < sweepBatch {
			return err
		}
	}
}

// Due is the next instant at which Tick has something to do, but for what the wall clock
// brings.
func (s *Service) Due(ctx context.Context) (due time.Time, ok bool, err error) {
	c := s.Config.orDefaults()
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		due, ok = time.Time{}, false
		for _, q := range []struct {
			query  string
			after  time.Duration
			hourly bool
		}{
			{`SELECT min(renew_at) FROM instance WHERE renew_at IS NOT NULL`, 0, false},
			{`SELECT min(stop_by) FROM instance WHERE stop_by IS NOT NULL`, 0, false},
			{`SELECT min(at) FROM instance WHERE ready = 0 AND ended_at IS NULL AND desired = 'RUN' AND actual <> 'RUNNING'`, c.PrepareTime, false},
			{`SELECT min(at) FROM instance WHERE ready = 0 AND ended_at IS NULL AND desired = 'RUN' AND actual = 'RUNNING'`, c.ReadyTime, false},
			{`SELECT min(short_at) FROM instance_place WHERE short_at IS NOT NULL AND made = 0`, c.RoomWait, false},
			{`SELECT min(ended_at) FROM instance WHERE ended_at IS NOT NULL`, keepEnded, true},
			{`SELECT min(stored_at) FROM game_log`, c.LogsKept, true},
		} {
			var first *int64
			if err := tx.QueryRow(q.query).Scan(&first); err != nil {
				return err
			}
			if first == nil {
				continue
			}
			at := unix(*first).Add(q.after)
			if q.hourly {
				at = at.Truncate(time.Hour).Add(time.Hour)
			}
			if !ok || at.Before(due) {
				due, ok = at, true
			}
		}
		return nil
	})
	return due, ok, err
}

// gap is the longest pause between two looks at hosts after which nobody could tell whether
// they were silent, or we were deaf.
const gap = 15 * time.Second

// deaf tells since when this process watches hosts without a gap: what hosts said before, or
// would have, may have been missed by all nodes.
func (s *Service) deaf(wall time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked.IsZero() || wall.Sub(s.looked) > gap {
		s.watched = wall
	}
	s.looked = wall
	return s.watched
}

// loseHosts gives up the hosts that were silent for too long, each in a transaction of its
// own. A control plane that was down itself first gives them time to come back.
func (s *Service) loseHosts(ctx context.Context) error {
	wall := s.Wall()
	cutoff := wall.Add(-s.Config.orDefaults().LostAfter)
	if s.deaf(wall).After(cutoff) {
		return nil
	}
	var silent []store.Key
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		silent, err = store.Column[store.Key](tx.Query(`SELECT key FROM host WHERE lost_at IS NULL AND seen_at <= $1 ORDER BY key`, cutoff.UnixMilli()))
		return err
	})
	for _, key := range silent {
		err = errors.Join(err, s.DB.Write(ctx, func(tx *store.Tx) error { return s.loseTx(tx, key, cutoff, wall) }))
	}
	return err
}

// loseTx gives up a host: its instances do not count any more, and end as soon as no game
// session on them is still connected.
func (s *Service) loseTx(tx *store.Tx, key store.Key, cutoff, wall time.Time) error {
	var name string
	var seen int64
	err := tx.QueryRow(`SELECT name, seen_at FROM host WHERE key = $1`, key).Scan(&name, &seen)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE host SET lost_at = $2, node = NULL WHERE key = $1 AND lost_at IS NULL AND seen_at <= $3`, key, wall.UnixMilli(), cutoff.UnixMilli())
	if err != nil || n == 0 {
		return err // it was heard of meanwhile
	}
	if _, err := tx.Exec(`DELETE FROM host_message WHERE host = $1`, key); err != nil {
		return err
	}
	list, err := onHost(tx, key)
	if err != nil {
		return err
	}
	replaced := map[arn.FleetID]int{}
	for _, i := range list {
		if !i.ending() {
			replaced[i.fleetID]++
		}
		if err := s.abandonTx(tx, i); err != nil {
			return err
		}
	}
	for id, n := range replaced {
		message := fmt.Sprintf("Host %s was not heard of for %s; %d instances on it are replaced", name, s.Config.orDefaults().LostAfter, n)
		if err := s.Fleets.EventTx(tx, id, types.EventCodeInstanceReplacedUnhealthy, message); err != nil {
			return err
		}
	}
	return nil
}

// lookAgain is how often an instance of a lost host is looked at while it still hosts
// something.
const lookAgain = 30 * time.Second

func (s *Service) abandonTx(tx *store.Tx, i instance) error {
	left, err := s.Computes.AbandonTx(tx, i.compute)
	if err != nil {
		return err
	}
	if left == 0 {
		return s.endTx(tx, i, gone, compute.HostLost)
	}
	_, err = tx.Exec(`UPDATE instance SET desired = $2, actual = $3, at = $4, rev = rev + 1, renew_at = NULL, stop_by = $5 WHERE key = $1`,
		i.key, stop, lost, tx.NowMs(), tx.Now.Add(lookAgain).UnixMilli())
	return err
}

// renewTx has instances told their new tokens.
func (s *Service) renewTx(tx *store.Tx, now time.Time) (int, error) {
	return s.touchTx(tx, `UPDATE instance SET rev = rev + 1, renew_at = NULL WHERE key IN
		(SELECT key FROM instance WHERE renew_at <= $1 ORDER BY renew_at, key LIMIT $2) RETURNING host`, now.UnixMilli(), sweepBatch)
}

func (s *Service) touchTx(tx *store.Tx, query string, args ...any) (n int, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	hosts := map[store.Key]bool{}
	for ; rows.Next(); n++ {
		var key store.Key
		if err := rows.Scan(&key); err != nil {
			return 0, err
		}
		hosts[key] = true
	}
	notify(tx, hosts)
	return n, rows.Err()
}

// overdueTx kills instances that were to stop and did not, and ends those of lost hosts on
// which nothing runs any more.
func (s *Service) overdueTx(tx *store.Tx, now time.Time) (int, error) {
	list, err := instances(tx, `WHERE stop_by <= $1 ORDER BY stop_by, key LIMIT $2`, now.UnixMilli(), sweepBatch)
	if err != nil {
		return 0, err
	}
	c := s.Config.orDefaults()
	for _, i := range list {
		if i.actual == lost {
			if err := s.abandonTx(tx, i); err != nil {
				return 0, err
			}
			continue
		}
		if _, err := tx.Exec(`UPDATE instance SET desired = $2, rev = rev + 1, stop_by = $3 WHERE key = $1`, i.key, kill, tx.Now.Add(c.StopTimeout).UnixMilli()); err != nil {
			return 0, err
		}
		notify(tx, map[store.Key]bool{i.host: true})
	}
	return len(list), nil
}

// unreadyTx gives up instances that take too long to prepare, or of which no process gets
// ready: a new place fails by it, in others they are replaced.
func (s *Service) unreadyTx(tx *store.Tx, now time.Time) (int, error) {
	c := s.Config.orDefaults()
	list, err := instances(tx, `WHERE ready = 0 AND ended_at IS NULL AND desired = 'RUN' AND actual <> 'LOST'
		AND at <= CASE WHEN actual = 'RUNNING' THEN CAST($1 AS BIGINT) ELSE $2 END ORDER BY at, key LIMIT $3`,
		now.Add(-c.ReadyTime).UnixMilli(), now.Add(-c.PrepareTime).UnixMilli(), sweepBatch)
	if err != nil {
		return 0, err
	}
	for _, i := range list {
		code, reason := types.EventCodeFleetValidationTimedOut, fmt.Sprintf("An instance was not prepared within %s", c.PrepareTime)
		if i.actual == running {
			code, reason = types.EventCodeFleetActivationFailed, fmt.Sprintf("No server process of an instance called ProcessReady() within %s", c.ReadyTime)
		}
		n, err := noteTx(tx, i.place())
		if err != nil {
			return 0, err
		}
		if !n.made && n.first == i.key {
			err = s.Fleets.FailTx(tx, i.fleetID, i.location, code, reason)
		} else {
			err = errors.Join(s.Fleets.EventTx(tx, i.fleetID, types.EventCodeInstanceReplacedUnhealthy, reason+" and is replaced"), s.setBackTx(tx, i.place()))
		}
		if err := errors.Join(err, s.stopTx(tx, i)); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// forgetTx removes instances that ended long ago.
func forgetTx(tx *store.Tx, before time.Time) (int, error) {
	n, err := tx.Exec(`DELETE FROM instance WHERE key IN (SELECT key FROM instance WHERE ended_at < $1 ORDER BY ended_at, key LIMIT $2)`, before.UnixMilli(), sweepBatch)
	return int(n), err
}

// forgetLogs removes log archives that are kept no longer: the file first, so that none is
// left that nobody knows of.
func (s *Service) forgetLogs(ctx context.Context, before time.Time) error {
	for {
		type log struct{ fleet, game, blob string }
		var old []log
		err := s.DB.Read(ctx, func(tx *store.Tx) error {
			old = nil
			rows, err := tx.Query(`SELECT fleet_id, game, blob FROM game_log WHERE stored_at < $1 ORDER BY stored_at, fleet_id, game LIMIT $2`, before.UnixMilli(), sweepBatch/10)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var l log
				if err := rows.Scan(&l.fleet, &l.game, &l.blob); err != nil {
					return err
				}
				old = append(old, l)
			}
			return rows.Err()
		})
		if err != nil || len(old) == 0 {
			return err
		}
		for _, l := range old {
			if s.Blobs == nil {
				continue
			}
			if err := s.Blobs.Delete(ctx, l.blob); err != nil {
				return fmt.Errorf("log %s: %w", l.blob, err)
			}
		}
		rows := make([][]any, len(old))
		for i, l := range old {
			rows[i] = []any{l.fleet, l.game}
		}
		if err := s.DB.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.ExecMany(`DELETE FROM game_log WHERE fleet_id = $1 AND game = $2`, rows)
			return err
		}); err != nil {
			return err
		}
	}
}
