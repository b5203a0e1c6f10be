package fleet

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// DeleteFleet deletes a fleet that is ACTIVE, EXPIRED or in ERROR. In any other state it is
// an InvalidRequestException with the text that tools wait for (hosting.md 2.4). Whatever
// runs on the fleet ends, protected or not. An Anywhere fleet has no hosts to shut down, so
// its deletion is complete when the answer is given; a managed one is DELETING until its
// instances are gone. Aliases that name it stay.
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
		if f.ComputeType == types.ComputeTypeEc2 {
			return s.deleteTx(tx, f)
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
	for _, table := range []string{"fleet_step", "fleet_place", "fleet_location"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE fleet = $1`, f.Key); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`UPDATE fleet SET status = $2, terminated_at = $3 WHERE key = $1`, f.Key, types.FleetStatusTerminated, tx.NowMs()); err != nil {
		return err
	}
	if err := s.Tags.DropTx(tx, s.Home.Fleet(f.ID)); err != nil {
		return err
	}
	if err := s.releaseTx(tx, f); err != nil {
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
