package fleet

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// This file holds the operations that are about hosts.

func (s *Service) refuseUnmanaged(ctx context.Context, operation string, member *string) error {
	return s.DB.Read(ctx, func(tx *store.Tx) error {
		f, err := s.fleetOf(tx, member)
		if err != nil {
			return err
		}
		if err := onlyManaged(f, operation); err != nil {
			return err
		}
		return apierr.Internal("%s is not built: it needs hosts, which this server does not keep", operation)
	})
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
