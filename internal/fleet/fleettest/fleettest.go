// Package fleettest makes managed fleets for the tests of rooms above: with a build that has
// no file, and without hosts, whose words it says itself. It knows the build room's table.
package fleettest

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// Build makes a build in a state, for an operating system and with a server SDK, and returns
// its id.
func Build(t testing.TB, db *store.DB, status types.BuildStatus, os types.OperatingSystem, sdk string) string {
	t.Helper()
	var id string
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		key, tail := tx.NewKey(), store.Tail()
		id = "build-" + key.UUID(tail)
		_, err := tx.Exec(`INSERT INTO build (key, tail, status, os, sdk, size, work, created_at) VALUES ($1, $2, $3, $4, $5, 0, 0, $6)`,
			key, tail, status, os, sdk, tx.NowMs())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Active makes a managed fleet that is ACTIVE in the given locations, the home region among
// them, or in the home region alone. change may alter the request. A fleet room without
// builds gets the build room.
func Active(t testing.TB, s *fleet.Service, change func(*gamelift.CreateFleetInput), at ...arn.Location) arn.FleetID {
	t.Helper()
	if s.Builds == nil {
		s.Builds = &build.Service{DB: s.DB, Home: s.Home, Tags: s.Tags}
	}
	in := &gamelift.CreateFleetInput{
		Name: new("arena"), BuildId: new(Build(t, s.DB, types.BuildStatusReady, types.OperatingSystemAmazonLinux2023, "5.2.0")),
		EC2InstanceType: types.EC2InstanceTypeC5Large,
		RuntimeConfiguration: &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{
			{LaunchPath: new("/local/game/server"), ConcurrentExecutions: new(int32(1))},
		}},
	}
	for _, l := range at {
		in.Locations = append(in.Locations, types.LocationConfiguration{Location: new(string(l))})
	}
	if change != nil {
		change(in)
	}
	out, err := s.CreateFleet(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := arn.FleetID(*out.FleetAttributes.FleetId)
	err = s.DB.Write(t.Context(), func(tx *store.Tx) error {
		for _, l := range out.LocationStates {
			if err := s.AdvanceTx(tx, id, arn.Location(*l.Location), types.FleetStatusActive); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// FromZero lets a location of an ACTIVE managed fleet scale to and from zero, and takes all
// its instances away.
func FromZero(t testing.TB, s *fleet.Service, id arn.FleetID, at arn.Location) {
	t.Helper()
	_, err := s.UpdateFleetCapacity(t.Context(), &gamelift.UpdateFleetCapacityInput{
		FleetId: new(string(id)), Location: new(string(at)), DesiredInstances: new(int32(0)),
		ManagedCapacityConfiguration: &types.ManagedCapacityConfiguration{ZeroCapacityStrategy: types.ZeroCapacityStrategyScaleToAndFromZero},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Desired is how many instances a location is to have.
func Desired(t testing.TB, s *fleet.Service, id arn.FleetID, at arn.Location) int32 {
	t.Helper()
	var c fleet.Capacity
	err := s.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
		c, err = s.CapacityTx(tx, id, at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.Desired
}
