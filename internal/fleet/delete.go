package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// DeleteFleet deletes a fleet that is ACTIVE, EXPIRED or in ERROR. In any other state it is
// an InvalidRequestException with the text that tools wait for (hosting.md 2.4). Whatever
// runs on the fleet ends, protected or not. An Anywhere fleet has no hosts to shut down, so
// its deletion is complete when the answer is given. Aliases that name it stay.
func (s *Service) DeleteFleet(ctx context.Context, in *gamelift.DeleteFleetInput) (*gamelift.DeleteFleetOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.fleetToChange(tx, in.FleetId)
		if err != nil {
			return err
		}
		switch f.Status {
		case types.FleetStatusActive, types.FleetStatusExpired, types.FleetStatusError:
		default:
			return apierr.InvalidRequest("Cannot delete fleet %s that is in status of %s", f.ID, f.Status)
		}
		if err := s.dropPeeringsTx(tx, f); err != nil {
			return err
		}
		if err := s.EventTx(tx, f.ID, types.EventCodeFleetDeleted, "Fleet "+string(f.ID)+" was deleted"); err != nil {
			return err
		}
		if s.Deleting != nil {
			if err := setStatusTx(tx, f, types.FleetStatusDeleting); err != nil {
				return err
			}
			if err := s.Deleting(tx, f.ID); err != nil {
				return err
			}
		}
		return s.endTx(tx, f)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeleteFleetOutput{}, nil
}

func setStatusTx(tx *store.Tx, f Fleet, status types.FleetStatus) error {
	_, err := tx.Exec(`UPDATE fleet SET status = $2 WHERE key = $1`, f.Key, status)
	return err
}

// endTx is the last step of a fleet's life. Its row stays as TERMINATED for Retention.
func (s *Service) endTx(tx *store.Tx, f Fleet) error {
	if _, err := tx.Exec(`DELETE FROM fleet_location WHERE fleet = $1`, f.Key); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet SET status = $2, terminated_at = $3 WHERE key = $1`, f.Key, types.FleetStatusTerminated, tx.NowMs()); err != nil {
		return err
	}
	if err := s.Tags.DropTx(tx, s.Home.Fleet(f.ID)); err != nil {
		return err
	}
	return giveTx(tx, string(f.ComputeType))
}

// deleted tells whether a fleet existed once: reads of ports and runtime configuration
// answer empty then (hosting.md 2.4).
func deleted(tx *store.Tx, member *string) bool {
	id, err := parseFleet(member)
	if err != nil {
		return false
	}
	f, err := byID(tx, id, "")
	return err == nil && f.Status == types.FleetStatusTerminated
}

// Retention is how long events and the rows of deleted fleets are kept.
const Retention = 30 * 24 * time.Hour

const sweepBatch = 1000

// Tick removes what is older than it is kept: events and deleted fleets after Retention,
// permits to peer when they expire.
func (s *Service) Tick(ctx context.Context, now time.Time) error {
	old := now.Add(-Retention).UnixMilli()
	return errors.Join(
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

// Due is the next instant at which Tick has something to remove. It falls on a full hour,
// so that a clock stepping from one to the next does not stop at every single row.
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
		return nil
	})
	return due, !due.IsZero(), err
}
