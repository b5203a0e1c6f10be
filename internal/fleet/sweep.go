package fleet

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// Retention is how long events and the rows of deleted fleets are kept.
const Retention = 30 * 24 * time.Hour

const sweepBatch = 1000

// ErrorLife is how long a managed fleet in ERROR stays to be looked at before the service
// deletes it, unless Service.ErrorLife says otherwise. AWS names no time.
const ErrorLife = 24 * time.Hour

// Tick moves managed fleets along whose states have lasted long enough, scales unused
// locations to zero, ends fleets that expire and those that have been in ERROR for long, and
// removes what is older than it is kept: events and deleted fleets after Retention, permits
// to peer when they expire.
func (s *Service) Tick(ctx context.Context, now time.Time) error {
	old := now.Add(-Retention).UnixMilli()
	return errors.Join(
		s.each(ctx, s.stepping(now), s.steppedTx),
		s.each(ctx, s.quiet(now), s.toZeroTx),
		s.each(ctx, s.expiring(now), s.expireTx),
		s.each(ctx, s.failed(now), s.buryTx),
		s.sweep(ctx, `DELETE FROM fleet_event WHERE key IN (SELECT key FROM fleet_event WHERE at < $1 ORDER BY at LIMIT $2)`, old),
		s.sweep(ctx, `DELETE FROM fleet WHERE key IN (SELECT key FROM fleet WHERE terminated_at < $1 ORDER BY terminated_at LIMIT $2)`, old),
		s.sweep(ctx, `DELETE FROM vpc_authorization WHERE key IN (SELECT key FROM vpc_authorization WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`, now.UnixMilli()),
	)
}

// sweep repeats a delete, a batch a transaction, until nothing is left to delete.
func (s *Service) sweep(ctx context.Context, query string, before int64) error {
	for {
		var n int64
		err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(query, before, sweepBatch)
			return err
		})
		if err != nil || n < sweepBatch {
			return err
		}
	}
}

// Due is the next instant at which Tick has something to do. For what is removed it falls on
// a full hour, so that a clock stepping from one to the next does not stop at every single
// row.
func (s *Service) Due(ctx context.Context) (time.Time, bool, error) {
	var due time.Time
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		for _, q := range []struct {
			query string
			after time.Duration
		}{
			{`SELECT min(at) FROM fleet_event`, Retention},
			{`SELECT min(terminated_at) FROM fleet`, Retention},
			{`SELECT min(expires_at) FROM vpc_authorization`, 0},
		} {
			var oldest *int64
			if err := tx.QueryRow(q.query).Scan(&oldest); err != nil {
				return err
			}
			if oldest == nil {
				continue
			}
			// An instant later than the row's own, and up to the next hour.
			at := time.UnixMilli(*oldest).UTC().Add(q.after).Truncate(time.Hour).Add(time.Hour)
			if due.IsZero() || at.Before(due) {
				due = at
			}
		}
		next, err := s.nextTx(tx)
		if err == nil && !next.IsZero() && (due.IsZero() || next.Before(due)) {
			due = next
		}
		return err
	})
	return due, !due.IsZero(), err
}

// nextTx is the next instant at which a managed fleet has something to do by itself.
func (s *Service) nextTx(tx *store.Tx) (next time.Time, err error) {
	type query struct {
		text  string
		after time.Duration
	}
	queries := []query{
		{`SELECT min(step_at) FROM fleet_place`, 0},
		{`SELECT min(quiet_at) FROM fleet_place`, 0},
	}
	if life := cmp.Or(s.ErrorLife, ErrorLife); life > 0 {
		queries = append(queries, query{`SELECT min(since) FROM fleet WHERE status = 'ERROR'`, life})
	}
	if s.Expiry > 0 {
		queries = append(queries, query{`SELECT min(created_at) FROM fleet WHERE status = 'ACTIVE' AND compute_type = 'EC2'`, s.Expiry})
	}
	for _, q := range queries {
		var first *int64
		if err := tx.QueryRow(q.text).Scan(&first); err != nil {
			return time.Time{}, err
		}
		if first == nil {
			continue
		}
		if at := time.UnixMilli(*first).UTC().Add(q.after); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, nil
}

// found is a location of a managed fleet for which something is due.
type found struct {
	id arn.FleetID
	at arn.Location
}

// search finds up to sweepBatch locations.
type search struct {
	query string // of key, tail and location; $2 is the limit
	until time.Time
}

func (s *Service) stepping(now time.Time) search {
	return search{`SELECT f.key, f.tail, p.location FROM fleet_place p JOIN fleet f ON f.key = p.fleet
		WHERE p.step_at <= $1 ORDER BY p.step_at, f.key, p.location LIMIT $2`, now}
}

func (s *Service) quiet(now time.Time) search {
	return search{`SELECT f.key, f.tail, p.location FROM fleet_place p JOIN fleet f ON f.key = p.fleet
		WHERE p.quiet_at <= $1 ORDER BY p.quiet_at, f.key, p.location LIMIT $2`, now}
}

func (s *Service) expiring(now time.Time) search {
	if s.Expiry <= 0 {
		return search{}
	}
	return search{`SELECT key, tail, '' FROM fleet
		WHERE created_at <= $1 AND status = 'ACTIVE' AND compute_type = 'EC2' ORDER BY key LIMIT $2`, now.Add(-s.Expiry)}
}

func (s *Service) failed(now time.Time) search {
	life := cmp.Or(s.ErrorLife, ErrorLife)
	if life < 0 {
		return search{}
	}
	return search{`SELECT key, tail, '' FROM fleet WHERE status = 'ERROR' AND since <= $1 ORDER BY since, key LIMIT $2`, now.Add(-life)}
}

// each runs do for everything a search finds, a transaction each, in which do looks again
// whether it is due.
func (s *Service) each(ctx context.Context, q search, do func(*store.Tx, arn.FleetID, arn.Location) error) error {
	if q.query == "" {
		return nil
	}
	var all []found
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		all = all[:0]
		rows, err := tx.Query(q.query, q.until.UnixMilli(), sweepBatch)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key store.Key
			var tail int64
			var at arn.Location
			if err := rows.Scan(&key, &tail, &at); err != nil {
				return err
			}
			all = append(all, found{mintID(key, tail), at})
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range all {
		err := s.DB.Write(ctx, func(tx *store.Tx) error { return do(tx, l.id, l.at) })
		if !errors.Is(err, store.ErrNoRows) { // it went meanwhile
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// steppedTx takes the steps of a location that need not wait any more.
func (s *Service) steppedTx(tx *store.Tx, id arn.FleetID, at arn.Location) error {
	return s.lifeTx(tx, id, at, func(Fleet, place, []step) ([]step, bool) { return nil, false })
}

// expireTx ends the hosting of a fleet that has lived for Expiry: it goes to zero instances
// and may only be deleted.
func (s *Service) expireTx(tx *store.Tx, id arn.FleetID, _ arn.Location) error {
	f, err := byID(tx, id, tx.ForUpdate())
	if err != nil || f.Status != types.FleetStatusActive {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet_place SET desired = 0, minimum = 0, quiet_at = NULL,
		step_at = CASE WHEN location IN (SELECT location FROM fleet_location WHERE fleet = $1 AND status = $2) THEN step_at END
		WHERE fleet = $1`, f.Key, types.FleetStatusDeleting); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM fleet_step WHERE fleet = $1 AND status <> $2`, f.Key, types.FleetStatusTerminated); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet_location SET status = $2 WHERE fleet = $1 AND status <> $3`, f.Key, types.FleetStatusExpired, types.FleetStatusDeleting); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet SET status = $2, since = $3 WHERE key = $1`, f.Key, types.FleetStatusExpired, tx.NowMs()); err != nil {
		return err
	}
	tx.Notify(ChannelCapacity, string(f.ID))
	return s.EventTx(tx, f.ID, types.EventCodeFleetExpired, "Fleet "+string(f.ID)+" expired "+s.Expiry.String()+" after its creation")
}

// buryTx deletes a fleet that has been in ERROR for long enough.
func (s *Service) buryTx(tx *store.Tx, id arn.FleetID, _ arn.Location) error {
	f, err := byID(tx, id, tx.ForUpdate())
	if err != nil || f.Status != types.FleetStatusError {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM vpc_peering WHERE fleet = $1`, f.Key); err != nil {
		return err
	}
	if err := s.EventTx(tx, f.ID, types.EventCodeFleetDeleted, "Fleet "+string(f.ID)+" was deleted, since its creation failed"); err != nil {
		return err
	}
	return s.deleteTx(tx, f)
}
