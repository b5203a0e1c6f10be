package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// Capacity is how many instances a location of a managed fleet is to have.
type Capacity struct {
	Desired, Min, Max int32
	// Stopped is set while scaling policies may not change Desired (StopFleetActions).
	Stopped bool
	// Zero is the strategy for scaling to and from zero, and Inactivity how long a location
	// may go unused; "" and 0 when they were never set.
	Zero       types.ZeroCapacityStrategy
	Inactivity time.Duration
}

// Instances are the instances that a location has, as its hosts know them. Idle ones are
// among the active.
type Instances struct{ Pending, Active, Idle, Terminating int }

// DefaultInactivity is how long a location may go unused before it scales to zero, when the
// caller gave no time (hosting.md 2.7).
const DefaultInactivity = 30 * time.Minute

func (c Capacity) toZero() bool { return c.Zero == types.ZeroCapacityStrategyScaleToAndFromZero }

func (c Capacity) inactivity() time.Duration { return cmp.Or(c.Inactivity, DefaultInactivity) }

// model is the managed capacity configuration as callers see it: nil unless they set it.
func (c Capacity) model() *types.ManagedCapacityConfiguration {
	if c.Zero == "" && c.Inactivity == 0 {
		return nil
	}
	m := &types.ManagedCapacityConfiguration{ZeroCapacityStrategy: cmp.Or(c.Zero, types.ZeroCapacityStrategyManual)}
	if c.Inactivity > 0 || c.toZero() {
		m.ScaleInAfterInactivityMinutes = new(int32(c.inactivity() / time.Minute))
	}
	return m
}

// Want is a location of a managed fleet for which hosts have something to do.
type Want struct {
	Fleet    Fleet
	Location arn.Location
	Status   types.FleetStatus // the location's
	// Desired is how many instances there shall be; it is 0 where none shall be, whatever the
	// settings say: when the fleet or the location is DELETING, EXPIRED or in ERROR.
	Desired, Min, Max int32
	// Stopping is set when the fleet or the location is DELETING: all instances are to end,
	// protected game sessions or not, and GoneTx is to be called when they have.
	Stopping bool
}

// WantsTx are all locations of all managed fleets that have or want instances, or that wait
// to be told by GoneTx that they have none.
func (s *Service) WantsTx(tx *store.Tx) ([]Want, error) {
	fleets, err := manyTx(tx, `WHERE compute_type = $1 AND terminated_at IS NULL ORDER BY key`, types.ComputeTypeEc2)
	if err != nil {
		return nil, err
	}
	var wants []Want
	for _, f := range fleets {
		places, err := placesTx(tx, f)
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			if p.status != types.FleetStatusTerminated {
				wants = append(wants, wantOf(f, p))
			}
		}
	}
	return wants, nil
}

func wantOf(f Fleet, p place) Want {
	w := Want{Fleet: f, Location: p.location, Status: p.status, Desired: p.Desired, Min: p.Min, Max: p.Max}
	for _, status := range []types.FleetStatus{f.Status, p.status} {
		switch status {
		case types.FleetStatusDeleting:
			w.Stopping, w.Desired = true, 0
		case types.FleetStatusExpired, types.FleetStatusError:
			w.Desired = 0
		default:
		}
	}
	return w
}

// CapacityTx is a location's capacity settings. The error is store.ErrNoRows when the fleet
// is not managed or does not have the location.
func (s *Service) CapacityTx(tx *store.Tx, id arn.FleetID, at arn.Location) (Capacity, error) {
	f, err := s.GetTx(tx, id)
	if err != nil {
		return Capacity{}, err
	}
	p, err := placeTx(tx, f, at, "")
	return p.Capacity, err
}

// PoliciesStoppedTx tells whether scaling policies are stopped in a location.
func (s *Service) PoliciesStoppedTx(tx *store.Tx, id arn.FleetID, at arn.Location) (bool, error) {
	c, err := s.CapacityTx(tx, id, at)
	return c.Stopped, err
}

// SetDesiredTx changes how many instances a location is to have, within its minimum and
// maximum, and tells so with the reason. It is ignored when nothing changes, and unless the
// fleet and the location are ACTIVE.
func (s *Service) SetDesiredTx(tx *store.Tx, id arn.FleetID, at arn.Location, desired int32, why string) error {
	f, err := byID(tx, id, tx.ForUpdate())
	if errors.Is(err, store.ErrNoRows) || err == nil && f.Status != types.FleetStatusActive {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := placeTx(tx, f, at, tx.ForUpdate())
	if errors.Is(err, store.ErrNoRows) || err == nil && p.status != types.FleetStatusActive {
		return nil
	}
	if err != nil {
		return err
	}
	c := p.Capacity
	c.Desired = min(max(desired, c.Min), c.Max)
	if c.Desired == p.Desired {
		return nil
	}
	return s.setCapacityTx(tx, f, p, c, why)
}

// UpdateFleetCapacity changes the capacity settings of one location, the home location
// unless another is named. What is not sent keeps its value; the rules hold for what comes
// out (hosting.md 2.7). With the strategy of scaling to and from zero the minimum is the
// service's: 1, or 0 while the location has no instances.
func (s *Service) UpdateFleetCapacity(ctx context.Context, in *gamelift.UpdateFleetCapacityInput) (*gamelift.UpdateFleetCapacityOutput, error) {
	out := &gamelift.UpdateFleetCapacityOutput{}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, p, err := s.managedPlace(tx, "UpdateFleetCapacity", in.FleetId, in.Location)
		if err != nil {
			return err
		}
		if f.Status != types.FleetStatusActive {
			return apierr.InvalidFleetStatus("FleetId: fleet %s is %s; its capacity can be changed while it is ACTIVE", f.ID, f.Status)
		}
		if p.status != types.FleetStatusActive {
			return apierr.InvalidFleetStatus("Location: %s of fleet %s is %s; its capacity can be changed while it is ACTIVE", p.location, f.ID, p.status)
		}
		c, err := merged(p.Capacity, in)
		if err != nil {
			return err
		}
		if err := s.withinLimit(tx, f, p, c.Max); err != nil {
			return err
		}
		out.FleetId, out.FleetArn, out.Location = new(string(f.ID)), new(s.Home.Fleet(f.ID)), new(string(p.location))
		out.ManagedCapacityConfiguration = c.model()
		if c == p.Capacity {
			return nil
		}
		return s.setCapacityTx(tx, f, p, c, "UpdateFleetCapacity")
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// merged are a location's settings with what a caller sent, checked as a whole.
func merged(c Capacity, in *gamelift.UpdateFleetCapacityInput) (Capacity, error) {
	if m := in.ManagedCapacityConfiguration; m != nil {
		c.Zero = cmp.Or(m.ZeroCapacityStrategy, c.Zero)
		if m.ScaleInAfterInactivityMinutes != nil {
			c.Inactivity = time.Duration(*m.ScaleInAfterInactivityMinutes) * time.Minute
		}
	}
	if in.MinSize != nil && c.toZero() {
		return c, apierr.InvalidRequest("MinSize: it cannot be set while ZeroCapacityStrategy is %s, which sets it itself", c.Zero)
	}
	for _, n := range []struct {
		member string
		sent   *int32
		to     *int32
	}{{"DesiredInstances", in.DesiredInstances, &c.Desired}, {"MinSize", in.MinSize, &c.Min}, {"MaxSize", in.MaxSize, &c.Max}} {
		if n.sent == nil {
			continue
		}
		if *n.sent < 0 {
			return c, apierr.InvalidRequest("%s: %d is less than 0", n.member, *n.sent)
		}
		*n.to = *n.sent
	}
	if c.toZero() {
		c.Min = min(c.Desired, 1)
	}
	if c.Min > c.Desired || c.Desired > c.Max {
		return c, apierr.InvalidRequest("DesiredInstances: %d is not between MinSize %d and MaxSize %d", c.Desired, c.Min, c.Max)
	}
	return c, nil
}

// withinLimit holds a maximum to what the hosts of a location have room for.
func (s *Service) withinLimit(tx *store.Tx, f Fleet, p place, most int32) error {
	if s.InstanceLimit == nil || most <= p.Max {
		return nil
	}
	limit, err := s.InstanceLimit(tx, f.InstanceType, p.location)
	if err == nil && int(most) > limit {
		return apierr.LimitExceeded("MaxSize: %d is over the limit of %d instances of type %s in %s", most, limit, f.InstanceType, p.location)
	}
	return err
}

// setCapacityTx writes a location's settings and tells so.
func (s *Service) setCapacityTx(tx *store.Tx, f Fleet, was place, c Capacity, why string) error {
	if c.toZero() {
		c.Min = min(c.Desired, 1, c.Max)
	}
	quiet := was.quietAt
	switch {
	case !c.toZero() || c.Desired == 0:
		quiet = nil
	case quiet == nil || c.inactivity() != was.inactivity():
		quiet = new(tx.Now.Add(c.inactivity()).UnixMilli())
	}
	_, err := tx.Exec(`UPDATE fleet_place SET desired = $3, minimum = $4, maximum = $5, zero = $6, inactivity = $7, quiet_at = $8 WHERE fleet = $1 AND location = $2`,
		f.Key, was.location, c.Desired, c.Min, c.Max, c.Zero, int64(c.Inactivity/time.Minute), quiet)
	if err != nil {
		return err
	}
	if c.toZero() && !f.detail.Zero {
		f.detail.Zero = true
		if err := saveTx(tx, f); err != nil {
			return err
		}
	}
	tx.Notify(ChannelCapacity, string(f.ID))
	return s.EventTx(tx, f.ID, types.EventCodeFleetScalingEvent, fmt.Sprintf(
		"Fleet %s in %s: desired instances %d to %d, minimum %d to %d, maximum %d to %d (%s)",
		f.ID, was.location, was.Desired, c.Desired, was.Min, c.Min, was.Max, c.Max, why))
}

// managedPlace reads a managed fleet under its lock, and one of its locations: the home
// location unless a member names another.
func (s *Service) managedPlace(tx *store.Tx, operation string, member, at *string) (Fleet, place, error) {
	f, err := s.fleetToChange(tx, member)
	if err != nil {
		return Fleet{}, place{}, err
	}
	if err := onlyManaged(f, operation); err != nil {
		return Fleet{}, place{}, err
	}
	location := s.homePlace()
	if at != nil {
		location = arn.Location(*at)
	}
	p, err := placeTx(tx, f, location, tx.ForUpdate())
	if errors.Is(err, store.ErrNoRows) {
		return Fleet{}, place{}, apierr.NotFound("Location: fleet %s does not have %s", f.ID, location)
	}
	return f, p, err
}

func onlyManaged(f Fleet, operation string) error {
	if f.ComputeType == types.ComputeTypeAnywhere {
		return apierr.InvalidRequest("FleetId: fleet %s is an ANYWHERE fleet, which %s is not for", f.ID, operation)
	}
	return nil
}

// StopFleetActions keeps scaling policies from changing the capacity of one location, the
// home location unless another is named. Policies stay as they are, and so does what callers
// may do. A repeat changes nothing.
func (s *Service) StopFleetActions(ctx context.Context, in *gamelift.StopFleetActionsInput) (*gamelift.StopFleetActionsOutput, error) {
	f, err := s.setStopped(ctx, "StopFleetActions", in.FleetId, in.Location, true)
	if err != nil {
		return nil, err
	}
	return &gamelift.StopFleetActionsOutput{FleetId: new(string(f.ID)), FleetArn: new(s.Home.Fleet(f.ID))}, nil
}

// StartFleetActions takes StopFleetActions back. Without a stop it changes nothing.
func (s *Service) StartFleetActions(ctx context.Context, in *gamelift.StartFleetActionsInput) (*gamelift.StartFleetActionsOutput, error) {
	f, err := s.setStopped(ctx, "StartFleetActions", in.FleetId, in.Location, false)
	if err != nil {
		return nil, err
	}
	return &gamelift.StartFleetActionsOutput{FleetId: new(string(f.ID)), FleetArn: new(s.Home.Fleet(f.ID))}, nil
}

func (s *Service) setStopped(ctx context.Context, operation string, member, at *string, stopped bool) (f Fleet, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		var p place
		if f, p, err = s.managedPlace(tx, operation, member, at); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE fleet_place SET stopped = $3 WHERE fleet = $1 AND location = $2`, f.Key, p.location, flag(stopped))
		return err
	})
	return f, err
}

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}
