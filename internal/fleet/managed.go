package fleet

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// This file holds the operations of managed fleets, the ones whose hosts are ours. There are
// no such fleets yet, so what is left of these operations are their refusals.

// refuseUnmanaged answers an operation that Anywhere fleets do not have: NotFoundException
// without such a fleet, InvalidRequestException on an Anywhere fleet.
func (s *Service) refuseUnmanaged(ctx context.Context, operation string, member *string) error {
	return s.DB.Read(ctx, func(tx *store.Tx) error {
		f, err := s.fleetOf(tx, member)
		if err != nil {
			return err
		}
		if f.ComputeType == types.ComputeTypeAnywhere {
			return apierr.InvalidRequest("FleetId: fleet %s is an ANYWHERE fleet, which %s is not for", f.ID, operation)
		}
		return apierr.Internal("%s is not built: it needs hosts, which this server does not keep", operation)
	})
}

// UpdateFleetCapacity is refused on Anywhere fleets.
func (s *Service) UpdateFleetCapacity(ctx context.Context, in *gamelift.UpdateFleetCapacityInput) (*gamelift.UpdateFleetCapacityOutput, error) {
	return nil, s.refuseUnmanaged(ctx, "UpdateFleetCapacity", in.FleetId)
}

// StartFleetActions is refused on Anywhere fleets, which do not scale.
func (s *Service) StartFleetActions(ctx context.Context, in *gamelift.StartFleetActionsInput) (*gamelift.StartFleetActionsOutput, error) {
	return nil, s.refuseUnmanaged(ctx, "StartFleetActions", in.FleetId)
}

// StopFleetActions is refused on Anywhere fleets, which do not scale.
func (s *Service) StopFleetActions(ctx context.Context, in *gamelift.StopFleetActionsInput) (*gamelift.StopFleetActionsOutput, error) {
	return nil, s.refuseUnmanaged(ctx, "StopFleetActions", in.FleetId)
}

// UpdateFleetPortSettings is refused on Anywhere fleets, whose owner keeps the firewall.
func (s *Service) UpdateFleetPortSettings(ctx context.Context, in *gamelift.UpdateFleetPortSettingsInput) (*gamelift.UpdateFleetPortSettingsOutput, error) {
	return nil, s.refuseUnmanaged(ctx, "UpdateFleetPortSettings", in.FleetId)
}

// DescribeInstances is refused on Anywhere fleets, whose hosts are computes and not
// instances.
func (s *Service) DescribeInstances(ctx context.Context, in *gamelift.DescribeInstancesInput) (*gamelift.DescribeInstancesOutput, error) {
	return nil, s.refuseUnmanaged(ctx, "DescribeInstances", in.FleetId)
}

// GetInstanceAccess is refused on Anywhere fleets, whose hosts are not ours to enter.
func (s *Service) GetInstanceAccess(ctx context.Context, in *gamelift.GetInstanceAccessInput) (*gamelift.GetInstanceAccessOutput, error) {
	return nil, s.refuseUnmanaged(ctx, "GetInstanceAccess", in.FleetId)
}

// DescribeFleetPortSettings shows a fleet's open ports: none on an Anywhere fleet. The
// answer for a deleted fleet is empty (hosting.md 2.4).
func (s *Service) DescribeFleetPortSettings(ctx context.Context, in *gamelift.DescribeFleetPortSettingsInput) (*gamelift.DescribeFleetPortSettingsOutput, error) {
	out := &gamelift.DescribeFleetPortSettingsOutput{InboundPermissions: []types.IpPermission{}}
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if deleted(tx, in.FleetId) {
			return nil
		}
		var f Fleet
		if in.Location == nil {
			f, err = s.fleetOf(tx, in.FleetId)
		} else {
			f, err = s.fleetAt(tx, in.FleetId, in.Location)
		}
		if err != nil {
			return err
		}
		out.FleetId, out.FleetArn, out.Location = new(string(f.ID)), new(s.Home.Fleet(f.ID)), in.Location
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DescribeEC2InstanceLimits shows the size of the pools of hosts. There are none: the list
// is empty, or holds zeros for the one type that is asked for. A location other than the
// home region offers no managed hosts, which is an UnsupportedRegionException.
func (s *Service) DescribeEC2InstanceLimits(_ context.Context, in *gamelift.DescribeEC2InstanceLimitsInput) (*gamelift.DescribeEC2InstanceLimitsOutput, error) {
	if in.Location != nil && *in.Location != s.Home.Region {
		return nil, apierr.UnsupportedRegion("Location: %s offers no managed hosts", *in.Location)
	}
	out := &gamelift.DescribeEC2InstanceLimitsOutput{EC2InstanceLimits: []types.EC2InstanceLimit{}}
	if in.EC2InstanceType != "" {
		out.EC2InstanceLimits = append(out.EC2InstanceLimits, types.EC2InstanceLimit{
			EC2InstanceType: in.EC2InstanceType, Location: new(s.Home.Region), CurrentInstances: new(int32(0)), InstanceLimit: new(int32(0)),
		})
	}
	return out, nil
}
