package fleet

import (
	"context"
	"errors"
	"math"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// DescribeFleetCapacity shows the capacity of fleets in their home location, selected as in
// DescribeFleetAttributes. An Anywhere fleet has no instances and no home location: its
// counts are zero and its entry names no location (hosting.md 2.1: generous on reads).
func (s *Service) DescribeFleetCapacity(ctx context.Context, in *gamelift.DescribeFleetCapacityInput) (*gamelift.DescribeFleetCapacityOutput, error) {
	out := &gamelift.DescribeFleetCapacityOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		out.FleetCapacity = []types.FleetCapacity{}
		fleets, next, err := selectTx(tx, "DescribeFleetCapacity", in.FleetIds, in.Limit, in.NextToken)
		if err != nil {
			return err
		}
		for _, f := range fleets {
			c, err := s.capacityTx(tx, f, s.homeOf(f))
			if err != nil {
				return err
			}
			out.FleetCapacity = append(out.FleetCapacity, c)
		}
		out.NextToken = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DescribeFleetLocationCapacity shows the capacity of one location of a fleet.
func (s *Service) DescribeFleetLocationCapacity(ctx context.Context, in *gamelift.DescribeFleetLocationCapacityInput) (*gamelift.DescribeFleetLocationCapacityOutput, error) {
	out := &gamelift.DescribeFleetLocationCapacityOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		f, err := s.fleetAt(tx, in.FleetId, in.Location)
		if err != nil {
			return err
		}
		c, err := s.capacityTx(tx, f, in.Location)
		out.FleetCapacity = &c
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// homeOf is the home location of a managed fleet; an Anywhere fleet has none.
func (s *Service) homeOf(f Fleet) *string {
	if f.ComputeType == types.ComputeTypeAnywhere {
		return nil
	}
	return new(s.Home.Region)
}

// capacityTx is a location's capacity as callers see it: the settings, and the facts that
// the hosts know.
func (s *Service) capacityTx(tx *store.Tx, f Fleet, at *string) (types.FleetCapacity, error) {
	out := types.FleetCapacity{FleetId: new(string(f.ID)), FleetArn: new(s.Home.Fleet(f.ID)), Location: at, InstanceType: f.InstanceType}
	var c Capacity
	var n Instances
	if f.ComputeType == types.ComputeTypeEc2 {
		p, err := placeTx(tx, f, arn.Location(*at), "")
		if err != nil {
			return out, err
		}
		c = p.Capacity
		out.ManagedCapacityConfiguration = c.model()
		if s.Instances != nil {
			if n, err = s.Instances(tx, f.ID, p.location); err != nil {
				return out, err
			}
		}
	}
	out.InstanceCounts = &types.EC2InstanceCounts{
		DESIRED: &c.Desired, MINIMUM: &c.Min, MAXIMUM: &c.Max,
		PENDING: count32(n.Pending), ACTIVE: count32(n.Active), IDLE: count32(n.Idle), TERMINATING: count32(n.Terminating),
	}
	return out, nil
}

// DescribeFleetUtilization shows what runs on fleets, selected as in
// DescribeFleetAttributes. AWS counts the home location; an Anywhere fleet has none, so its
// entry counts all of its locations and names none.
func (s *Service) DescribeFleetUtilization(ctx context.Context, in *gamelift.DescribeFleetUtilizationInput) (*gamelift.DescribeFleetUtilizationOutput, error) {
	out := &gamelift.DescribeFleetUtilizationOutput{FleetUtilization: []types.FleetUtilization{}}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		fleets, next, err := selectTx(tx, "DescribeFleetUtilization", in.FleetIds, in.Limit, in.NextToken)
		if err != nil {
			return err
		}
		for _, f := range fleets {
			u, err := s.utilizationTx(tx, f, s.homeOf(f))
			if err != nil {
				return err
			}
			out.FleetUtilization = append(out.FleetUtilization, u)
		}
		out.NextToken = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DescribeFleetLocationUtilization shows what runs in one location of a fleet.
func (s *Service) DescribeFleetLocationUtilization(ctx context.Context, in *gamelift.DescribeFleetLocationUtilizationInput) (*gamelift.DescribeFleetLocationUtilizationOutput, error) {
	out := &gamelift.DescribeFleetLocationUtilizationOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		f, err := s.fleetAt(tx, in.FleetId, in.Location)
		if err != nil {
			return err
		}
		u, err := s.utilizationTx(tx, f, in.Location)
		out.FleetUtilization = &u
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) utilizationTx(tx *store.Tx, f Fleet, at *string) (types.FleetUtilization, error) {
	var c Counts
	if s.Counts != nil {
		var place arn.Location
		if at != nil {
			place = arn.Location(*at)
		}
		var err error
		if c, err = s.Counts(tx, f.ID, place); err != nil {
			return types.FleetUtilization{}, err
		}
	}
	return types.FleetUtilization{
		FleetId: new(string(f.ID)), FleetArn: new(s.Home.Fleet(f.ID)), Location: at,
		ActiveServerProcessCount:  count32(c.Processes),
		ActiveGameSessionCount:    count32(c.GameSessions),
		CurrentPlayerSessionCount: count32(c.Players),
		MaximumPlayerSessionCount: count32(c.MaxPlayers),
	}, nil
}

// count32 is a count as the model has it; more than fits is the most that fits.
func count32(n int) *int32 { return new(int32(min(n, math.MaxInt32))) }

// fleetAt is fleetOf for operations that name one of the fleet's locations. A location the
// fleet does not have is a NotFoundException.
func (s *Service) fleetAt(tx *store.Tx, member, at *string) (Fleet, error) {
	f, err := s.fleetOf(tx, member)
	if err != nil {
		return Fleet{}, err
	}
	_, err = s.LocationTx(tx, f.ID, arn.Location(*at))
	if errors.Is(err, store.ErrNoRows) {
		return Fleet{}, apierr.NotFound("Location: fleet %s does not have %s", f.ID, *at)
	}
	return f, err
}
