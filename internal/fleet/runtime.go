package fleet

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// DescribeRuntimeConfiguration shows a fleet's runtime configuration with the defaults of
// its numbers filled in. The answer for a deleted fleet is empty (hosting.md 2.4). It works
// on Anywhere fleets too, where the host agent follows it.
func (s *Service) DescribeRuntimeConfiguration(ctx context.Context, in *gamelift.DescribeRuntimeConfigurationInput) (*gamelift.DescribeRuntimeConfigurationOutput, error) {
	out := &gamelift.DescribeRuntimeConfigurationOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		if deleted(tx, in.FleetId) {
			return nil
		}
		f, err := s.fleetOf(tx, in.FleetId)
		if err != nil {
			return err
		}
		out.RuntimeConfiguration = runtimeModel(f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateRuntimeConfiguration replaces all of a fleet's runtime configuration. Hosts adopt
// it gradually; nothing is killed for it.
func (s *Service) UpdateRuntimeConfiguration(ctx context.Context, in *gamelift.UpdateRuntimeConfigurationInput) (*gamelift.UpdateRuntimeConfigurationOutput, error) {
	if err := s.checkRuntime(in.RuntimeConfiguration); err != nil {
		return nil, err
	}
	out := &gamelift.UpdateRuntimeConfigurationOutput{}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.fleetToChange(tx, in.FleetId)
		if err != nil {
			return err
		}
		if f.Status == types.FleetStatusDeleting {
			return apierr.InvalidFleetStatus("FleetId: fleet %s is %s and cannot be changed", f.ID, f.Status)
		}
		if f.ComputeType == types.ComputeTypeEc2 {
			if err := checkManagedRuntime(in.RuntimeConfiguration, f.OS); err != nil {
				return err
			}
			tx.Notify(ChannelCapacity, string(f.ID))
		}
		f.Runtime, f.detail.Runtime = in.RuntimeConfiguration, in.RuntimeConfiguration
		out.RuntimeConfiguration = runtimeModel(f)
		return saveTx(tx, f)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func runtimeModel(f Fleet) *types.RuntimeConfiguration {
	r := types.RuntimeConfiguration{
		MaxConcurrentGameSessionActivations: new(f.MaxActivations()),
		GameSessionActivationTimeoutSeconds: new(int32(f.ActivationTimeout().Seconds())),
	}
	if f.Runtime != nil {
		r.ServerProcesses = f.Runtime.ServerProcesses
	}
	return &r
}

// checkRuntime holds the sum of all ConcurrentExecutions to the quota (hosting.md 2.8).
// Where launch paths begin is not checked: that rule is about managed hosts, whose fleets
// have checkManagedRuntime.
func (s *Service) checkRuntime(r *types.RuntimeConfiguration) error {
	if r == nil {
		return nil
	}
	var sum int64
	for _, p := range r.ServerProcesses {
		sum += int64(*p.ConcurrentExecutions)
	}
	if quota := s.Quotas.orDefaults().ProcessesPerInstance; sum > int64(quota) {
		return apierr.LimitExceeded("RuntimeConfiguration.ServerProcesses: ConcurrentExecutions add up to %d, and the quota is %d", sum, quota)
	}
	return nil
}

// checkManagedRuntime holds the runtime configuration of a managed fleet to what its hosts
// can start.
func checkManagedRuntime(r *types.RuntimeConfiguration, os types.OperatingSystem) error {
	if r == nil || len(r.ServerProcesses) == 0 {
		return apierr.InvalidRequest("RuntimeConfiguration.ServerProcesses: an EC2 fleet needs at least one server process")
	}
	return checkLaunchPaths(r, os)
}
