package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// Scaling to and from zero (hosting.md 2.7). Per location: from zero as soon as somebody
// wants a game session, to zero when for the whole time nobody did and none ran.

// SessionWantedTx notes that somebody wants a game session in a location of a fleet. Where
// the location scales from zero and has no instances, it is to have one from now on; whether
// the request waits for it is the caller's affair. It costs nothing on other fleets.
func (s *Service) SessionWantedTx(tx *store.Tx, f Fleet, at arn.Location) error {
	if !f.detail.Zero || f.Status != types.FleetStatusActive {
		return nil
	}
	p, err := placeTx(tx, f, at, "")
	if errors.Is(err, store.ErrNoRows) || err == nil && (!p.toZero() || p.status != types.FleetStatusActive) {
		return nil
	}
	if err != nil {
		return err
	}
	if p.Desired == 0 && p.Max > 0 {
		return s.fromZeroTx(tx, f, at)
	}
	if tx.Now.Sub(p.wantedAt) < time.Second {
		return nil
	}
	_, err = tx.Exec(`UPDATE fleet_place SET wanted_at = $3 WHERE fleet = $1 AND location = $2 AND wanted_at < $3`, f.Key, at, tx.NowMs())
	return err
}

// SessionWanted is SessionWantedTx in a transaction of its own, for a request that failed
// and whose own transaction left nothing.
func (s *Service) SessionWanted(ctx context.Context, id arn.FleetID, at arn.Location) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.GetTx(tx, id)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.SessionWantedTx(tx, f, at)
	})
}

// FromZero tells whether a location of the fleet may have to be woken by SessionWanted.
func (f Fleet) FromZero() bool { return f.detail.Zero }

// fromZeroTx decides by a guarded update, since the fleet is not locked here.
func (s *Service) fromZeroTx(tx *store.Tx, f Fleet, at arn.Location) error {
	n, err := tx.Exec(`UPDATE fleet_place SET desired = 1, minimum = 1, wanted_at = $3, quiet_at = $3 + CASE WHEN inactivity = 0 THEN $4 ELSE inactivity END * 60000
		WHERE fleet = $1 AND location = $2 AND desired = 0 AND maximum > 0`,
		f.Key, at, tx.NowMs(), int64(DefaultInactivity/time.Minute))
	if err != nil || n == 0 {
		return err
	}
	tx.Notify(ChannelCapacity, string(f.ID))
	return s.EventTx(tx, f.ID, types.EventCodeFleetScalingEvent,
		"Fleet "+string(f.ID)+" in "+string(at)+": desired instances 0 to 1, minimum 0 to 1 (a game session is wanted)")
}

// toZeroTx looks at a location that should be unused by now: it scales to zero, or is looked
// at again when it can be.
func (s *Service) toZeroTx(tx *store.Tx, id arn.FleetID, at arn.Location) error {
	f, err := byID(tx, id, tx.ForUpdate())
	if err != nil {
		return err
	}
	p, err := placeTx(tx, f, at, tx.ForUpdate())
	if err != nil || p.quietAt == nil || *p.quietAt > tx.NowMs() {
		return err
	}
	used := p.wantedAt
	if s.LastUse != nil {
		last, err := s.LastUse(tx, f.ID, at)
		if err != nil {
			return err
		}
		if last.After(used) {
			used = last
		}
	}
	if look := used.Add(p.inactivity()); look.After(tx.Now) {
		_, err := tx.Exec(`UPDATE fleet_place SET quiet_at = $3 WHERE fleet = $1 AND location = $2`, f.Key, at, look.UnixMilli())
		return err
	}
	c := p.Capacity
	c.Desired, c.Min = 0, 0
	return s.setCapacityTx(tx, f, p, c, "no game session for "+p.inactivity().String())
}
