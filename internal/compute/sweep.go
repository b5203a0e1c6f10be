package compute

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

const sweepBatch = 1000

// Tick does what has fallen due. Sockets of dead nodes are given up; processes end that
// were gone for longer than the grace, did not become ready in time, or were told to end
// and did not; ended processes and expired tokens are forgotten. It may be interrupted and
// repeated, and run on several nodes at once.
func (s *Service) Tick(ctx context.Context, now time.Time) error {
	c := s.Config.orDefaults()
	return errors.Join(
		s.leaveDeadNodes(ctx),
		s.endAll(ctx, gone, now.Add(-c.ReconnectGrace).UnixMilli()),
		s.endAll(ctx, unready, now.Add(-c.ReadyTimeout).UnixMilli()),
		s.endAll(ctx, overdue, now.UnixMilli()),
		s.forget(ctx, now.Add(-c.KeepEnded).UnixMilli()),
		s.forgetTokens(ctx, now.Add(-keepToken).UnixMilli()),
	)
}

// Due is the next instant at which Tick has something to do. Forgetting is due on full
// hours only, so that a clock stepping from one instant to the next does not stop at
// every row.
func (s *Service) Due(ctx context.Context) (time.Time, bool, error) {
	c := s.Config.orDefaults()
	var due time.Time
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		due = time.Time{}
		for _, q := range []struct {
			query  string
			after  time.Duration
			hourly bool
		}{
			{`SELECT min(gone_at) FROM process WHERE gone_at IS NOT NULL`, c.ReconnectGrace, false},
			{`SELECT min(dialled_at) FROM process WHERE status = 'CONNECTED'`, c.ReadyTimeout, false},
			{`SELECT min(end_by) FROM process WHERE end_by IS NOT NULL`, 0, false},
			{`SELECT min(ended_at) FROM process WHERE ended_at IS NOT NULL`, c.KeepEnded, true},
			{`SELECT min(expires_at) FROM compute_token`, keepToken, true},
		} {
			var oldest *int64
			if err := tx.QueryRow(q.query).Scan(&oldest); err != nil {
				return err
			}
			if oldest == nil {
				continue
			}
			at := time.UnixMilli(*oldest).UTC().Add(q.after)
			if q.hourly {
				at = at.Truncate(time.Hour).Add(time.Hour)
			}
			if due.IsZero() || at.Before(due) {
				due = at
			}
		}
		return nil
	})
	return due, !due.IsZero(), err
}

// deadline is a reason for which a sweep ends processes, and how it finds them.
type deadline struct {
	why    EndReason
	column string
	where  string
	at     func(row) (ms int64, ok bool) // the column, if it still counts
}

var (
	gone = deadline{Crashed, "gone_at", "gone_at IS NOT NULL", func(p row) (int64, bool) {
		if p.goneAt == nil {
			return 0, false
		}
		return *p.goneAt, true
	}}
	unready = deadline{ReadyTimeout, "dialled_at", "status = 'CONNECTED'", func(p row) (int64, bool) {
		return p.dialledAt, p.Status == StatusConnected
	}}
	overdue = deadline{Forced, "end_by", "end_by IS NOT NULL", func(p row) (int64, bool) {
		return p.EndBy.UnixMilli(), !p.EndBy.IsZero()
	}}
)

// endAll ends the processes whose deadline lies at or before cutoff, each in a transaction
// of its own: one that cannot be ended does not keep the others.
func (s *Service) endAll(ctx context.Context, d deadline, cutoff int64) error {
	var failed error
	at, key := int64(math.MinInt64), store.Key(0)
	for {
		var keys []store.Key
		err := s.DB.Read(ctx, func(tx *store.Tx) error {
			keys = nil
			rows, err := tx.Query(`SELECT `+d.column+`, key FROM process WHERE `+d.where+` AND `+d.column+` <= $1 AND (`+d.column+`, key) > ($2, $3)
				ORDER BY `+d.column+`, key LIMIT $4`, cutoff, at, key, sweepBatch)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				if err := rows.Scan(&at, &key); err != nil {
					return err
				}
				keys = append(keys, key)
			}
			return rows.Err()
		})
		if err != nil {
			return errors.Join(failed, err)
		}
		for _, k := range keys {
			if err := s.endOverdue(ctx, d, k, cutoff); err != nil {
				if ctx.Err() != nil {
					return errors.Join(failed, err)
				}
				failed = errors.Join(failed, fmt.Errorf("end process %d (%s): %w", k, d.why, err))
			}
		}
		if len(keys) < sweepBatch {
			return failed
		}
	}
}

func (s *Service) endOverdue(ctx context.Context, d deadline, key store.Key, cutoff int64) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		p, err := holdTx(tx, key)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		// It may have come back since it was found.
		if at, ok := d.at(p); !ok || at > cutoff {
			return nil
		}
		return s.endTx(tx, p, d.why)
	})
}

// leaveDeadNodes disconnects the processes whose sockets were held by nodes that are no
// longer in the store's table node, from now on.
func (s *Service) leaveDeadNodes(ctx context.Context) error {
	var dead []string
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		dead, err = deadNodes(tx)
		return err
	})
	for _, node := range dead {
		for compute := store.Key(0); err == nil && compute >= 0; {
			compute, err = s.leaveNode(ctx, node, compute)
		}
	}
	return err
}

// deadNodes steps from one node to the next in the index, of which there are few, and not
// over their processes.
func deadNodes(tx *store.Tx) (dead []string, err error) {
	node := ""
	for {
		var next *string
		var alive int
		if err := tx.QueryRow(`SELECT min(node) FROM process WHERE node > $1 AND node IS NOT NULL`, node).Scan(&next); err != nil || next == nil {
			return dead, err
		}
		node = *next
		if err := tx.QueryRow(`SELECT count(*) FROM node WHERE id = $1`, node).Scan(&alive); err != nil {
			return dead, err
		}
		if alive == 0 {
			dead = append(dead, node)
		}
	}
}

// leaveNode disconnects the dead node's processes of the next compute after the given one,
// in one transaction; next is that compute, or -1 when there is none.
func (s *Service) leaveNode(ctx context.Context, node string, after store.Key) (next store.Key, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		var c *store.Key
		if err := tx.QueryRow(`SELECT min(compute) FROM process WHERE node = $1 AND compute > $2`, node, after).Scan(&c); err != nil {
			return err
		}
		if next = -1; c == nil {
			return nil
		}
		next = *c
		if tx.Dialect() == store.Postgres {
			if _, err := tx.Exec(`SELECT key FROM compute WHERE key = $1 FOR UPDATE`, next); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(`UPDATE process SET node = NULL, gone_at = $3, free = 0 WHERE compute = $1 AND node = $2`, next, node, tx.NowMs()); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE compute SET free = (SELECT count(*) FROM process p WHERE p.compute = $1 AND p.free = 1) WHERE key = $1`, next)
		return err
	})
	return next, err
}

// forget removes the rows of processes that ended before, a batch a transaction.
func (s *Service) forget(ctx context.Context, before int64) error {
	for {
		var n int64
		err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			const old = `(SELECT key FROM process WHERE ended_at < $1 ORDER BY ended_at, key LIMIT $2)`
			if _, err := tx.Exec(`DELETE FROM process_inbox WHERE process IN `+old, before, sweepBatch); err != nil {
				return err
			}
			n, err = tx.Exec(`DELETE FROM process WHERE ended_at < $1 AND key IN `+old, before, sweepBatch)
			return err
		})
		if err != nil || n < sweepBatch {
			return err
		}
	}
}

func (s *Service) forgetTokens(ctx context.Context, before int64) error {
	for {
		var n int64
		err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM compute_token WHERE token IN (SELECT token FROM compute_token WHERE expires_at < $1 ORDER BY expires_at, token LIMIT $2)`,
				before, sweepBatch)
			return err
		})
		if err != nil || n < sweepBatch {
			return err
		}
	}
}
