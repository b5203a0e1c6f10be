package fleet_test

import (
	"errors"
	"math"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

func TestUtilizationCountsWhatRuns(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a", "custom-b")
		id := r.fleet("custom-a", "custom-b")
		r.Counts = func(_ *store.Tx, f arn.FleetID, at arn.Location) (fleet.Counts, error) {
			if string(f) != id {
				t.Errorf("counted %s", f)
			}
			if at == "custom-a" {
				return fleet.Counts{Processes: 3, GameSessions: 2, Players: 5, MaxPlayers: 20}, nil
			}
			return fleet.Counts{Processes: 9, GameSessions: 8, Players: 7, MaxPlayers: math.MaxInt}, nil
		}
		utilization := func(at *string, processes, sessions, players, most int32) types.FleetUtilization {
			return types.FleetUtilization{
				FleetId: &id, FleetArn: new(home.Fleet(arn.FleetID(id))), Location: at,
				ActiveServerProcessCount: &processes, ActiveGameSessionCount: &sessions, CurrentPlayerSessionCount: &players, MaximumPlayerSessionCount: &most,
			}
		}
		one, err := r.DescribeFleetLocationUtilization(ctx, &gamelift.DescribeFleetLocationUtilizationInput{FleetId: &id, Location: new("custom-a")})
		if want := utilization(new("custom-a"), 3, 2, 5, 20); err != nil || expect.JSON(one.FleetUtilization) != expect.JSON(want) {
			t.Errorf("one location: %s, %v, want %s", expect.JSON(one), err, expect.JSON(want))
		}
		all, err := r.DescribeFleetUtilization(ctx, &gamelift.DescribeFleetUtilizationInput{})
		if want := utilization(nil, 9, 8, 7, math.MaxInt32); err != nil || len(all.FleetUtilization) != 1 || expect.JSON(all.FleetUtilization[0]) != expect.JSON(want) {
			t.Errorf("all locations: %s, %v, want %s", expect.JSON(all), err, expect.JSON(want))
		}
		failure := errors.New("cannot count")
		r.Counts = func(*store.Tx, arn.FleetID, arn.Location) (fleet.Counts, error) { return fleet.Counts{}, failure }
		if _, err := r.DescribeFleetUtilization(ctx, &gamelift.DescribeFleetUtilizationInput{}); !errors.Is(err, failure) {
			t.Errorf("error %v, want %v", err, failure)
		}
		if _, err := r.DescribeFleetLocationUtilization(ctx, &gamelift.DescribeFleetLocationUtilizationInput{FleetId: &id, Location: new("custom-a")}); !errors.Is(err, failure) {
			t.Errorf("error %v, want %v", err, failure)
		}
	})
}

func TestAnywhereFleetsHaveNoInstances(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a", "custom-b")
		id := r.fleet("custom-a")
		zero := new(int32(0))
		want := types.FleetCapacity{
			FleetId: &id, FleetArn: new(home.Fleet(arn.FleetID(id))),
			InstanceCounts: &types.EC2InstanceCounts{ACTIVE: zero, DESIRED: zero, IDLE: zero, MAXIMUM: zero, MINIMUM: zero, PENDING: zero, TERMINATING: zero},
		}
		all, err := r.DescribeFleetCapacity(ctx, &gamelift.DescribeFleetCapacityInput{FleetIds: []string{id}})
		if err != nil || len(all.FleetCapacity) != 1 || expect.JSON(all.FleetCapacity[0]) != expect.JSON(want) {
			t.Errorf("DescribeFleetCapacity = %s, %v, want %s", expect.JSON(all), err, expect.JSON(want))
		}
		want.Location = new("custom-a")
		one, err := r.DescribeFleetLocationCapacity(ctx, &gamelift.DescribeFleetLocationCapacityInput{FleetId: &id, Location: new("custom-a")})
		if err != nil || expect.JSON(one.FleetCapacity) != expect.JSON(want) {
			t.Errorf("DescribeFleetLocationCapacity = %s, %v, want %s", expect.JSON(one), err, expect.JSON(want))
		}
		for _, at := range []string{"custom-b", "us-west-2", "custom-none"} {
			_, err := r.DescribeFleetLocationCapacity(ctx, &gamelift.DescribeFleetLocationCapacityInput{FleetId: &id, Location: &at})
			expect.Refused(t, "capacity in "+at, err, missing, "Location", at)
			_, err = r.DescribeFleetLocationUtilization(ctx, &gamelift.DescribeFleetLocationUtilizationInput{FleetId: &id, Location: &at})
			expect.Refused(t, "utilization in "+at, err, missing, "Location", at)
			_, err = r.DescribeFleetPortSettings(ctx, &gamelift.DescribeFleetPortSettingsInput{FleetId: &id, Location: &at})
			expect.Refused(t, "ports in "+at, err, missing, "Location", at)
		}
	})
}

func TestManagedOperationsAreRefusedOnAnywhereFleets(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		id := r.fleet("custom-a")
		calls := onFleet(r)
		for _, name := range []string{"UpdateFleetCapacity", "UpdateFleetPortSettings", "StartFleetActions", "StopFleetActions"} {
			expect.Refused(r.t, name, calls[name](id), invalid, id, "ANYWHERE")
		}
		expect.Refused(r.t, "CreateVpcPeeringConnection", calls["CreateVpcPeeringConnection"](id), invalid, id, "ANYWHERE")
	})
}

func TestPortSettingsOfAnywhereFleets(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		id := r.fleet("custom-a")
		for _, at := range []*string{nil, new("custom-a")} {
			out, err := r.DescribeFleetPortSettings(r.t.Context(), &gamelift.DescribeFleetPortSettingsInput{FleetId: &id, Location: at})
			want := gamelift.DescribeFleetPortSettingsOutput{FleetId: &id, FleetArn: new(home.Fleet(arn.FleetID(id))), InboundPermissions: []types.IpPermission{}, Location: at}
			if err != nil || expect.JSON(out) != expect.JSON(want) {
				r.t.Errorf("DescribeFleetPortSettings = %s, %v, want %s", expect.JSON(out), err, expect.JSON(want))
			}
		}
	})
}

func TestRuntimeConfiguration(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		filled := func(sent types.RuntimeConfiguration) types.RuntimeConfiguration {
			if sent.MaxConcurrentGameSessionActivations == nil {
				sent.MaxConcurrentGameSessionActivations = new(int32(math.MaxInt32))
			}
			if sent.GameSessionActivationTimeoutSeconds == nil {
				sent.GameSessionActivationTimeoutSeconds = new(int32(300))
			}
			return sent
		}
		reads := func(id string, want types.RuntimeConfiguration) {
			t.Helper()
			out, err := r.DescribeRuntimeConfiguration(ctx, &gamelift.DescribeRuntimeConfigurationInput{FleetId: &id})
			if err != nil || expect.JSON(out.RuntimeConfiguration) != expect.JSON(want) {
				t.Errorf("DescribeRuntimeConfiguration = %s, %v, want %s", expect.JSON(out), err, expect.JSON(want))
			}
		}
		id := r.fleet("custom-a")
		reads(id, filled(types.RuntimeConfiguration{}))

		in := anywhere("custom-a")
		in.ServerLaunchPath, in.ServerLaunchParameters = new("/local/game/server"), new("-p 1")
		legacy, err := r.CreateFleet(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		reads(*legacy.FleetAttributes.FleetId, filled(types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{
			{LaunchPath: in.ServerLaunchPath, Parameters: in.ServerLaunchParameters, ConcurrentExecutions: new(int32(1))},
		}}))

		for _, sent := range []types.RuntimeConfiguration{
			*processes(10, 40), {}, {MaxConcurrentGameSessionActivations: new(int32(1))}, {GameSessionActivationTimeoutSeconds: new(int32(600))}, *processes(1),
		} {
			out, err := r.UpdateRuntimeConfiguration(ctx, &gamelift.UpdateRuntimeConfigurationInput{FleetId: &id, RuntimeConfiguration: &sent})
			if err != nil || expect.JSON(out.RuntimeConfiguration) != expect.JSON(filled(sent)) {
				t.Errorf("UpdateRuntimeConfiguration = %s, %v, want %s", expect.JSON(out), err, expect.JSON(filled(sent)))
			}
			reads(id, filled(sent))
		}

		_, err = r.UpdateRuntimeConfiguration(ctx, &gamelift.UpdateRuntimeConfigurationInput{FleetId: &id, RuntimeConfiguration: processes(50, 1)})
		expect.Refused(t, "51 processes", err, overQuota, "51")
		r.setStatus(id, types.FleetStatusDeleting)
		_, err = r.UpdateRuntimeConfiguration(ctx, &gamelift.UpdateRuntimeConfigurationInput{FleetId: &id, RuntimeConfiguration: processes(1)})
		expect.Refused(t, "deleting", err, badStatus, "DELETING")
		reads(id, filled(*processes(1)))
	})
}
