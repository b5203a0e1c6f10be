package app

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// The engine is woken by what happens, on this node and on others, and not by looking: here
// it would look once an hour.
func TestTheEngineIsWoken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) { engineIsWoken(t, db, db) })
	t.Run("by another node", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		engineIsWoken(t, storetest.Open(t, url, time.Now), storetest.Open(t, url, time.Now))
	})
}

func engineIsWoken(t *testing.T, here, there *store.DB) {
	t.Helper()
	c := config.Default()
	e := newEngine(&wire(here, c, nil).placements, slog.Default(), nil)
	e.every = time.Hour
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); e.run(ctx, here) }()
	defer func() { stop(); <-ended }()

	endpoint := func() string { return "ws://127.0.0.1:9170" }
	r := wire(there, c, endpoint)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := "custom-home"
	_, err := r.fleets.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: &at})
	check(err)
	made, err := r.fleets.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("arena"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: &at}},
	})
	check(err)
	fleet := made.FleetAttributes.FleetId
	_, err = r.computes.RegisterCompute(ctx, &gamelift.RegisterComputeInput{FleetId: fleet, ComputeName: new("host"), IpAddress: new("10.0.0.1"), Location: &at})
	check(err)
	_, err = r.placements.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
		Name: new("arena"), Destinations: []types.GameSessionQueueDestination{{DestinationArn: made.FleetAttributes.FleetArn}},
	})
	check(err)
	start := func(id string) {
		t.Helper()
		_, err := r.placements.StartGameSessionPlacement(ctx, &gamelift.StartGameSessionPlacementInput{
			PlacementId: &id, GameSessionQueueName: new("arena"), MaximumPlayerSessionCount: new(int32(2)),
		})
		check(err)
	}
	free := func(pid string) {
		t.Helper()
		p, err := r.computes.Connect(ctx, compute.Dial{ProcessID: pid, Compute: "host", Fleet: arn.FleetID(*fleet), IdempotencyToken: pid, SDKVersion: "5.5.0", Trusted: true})
		check(err)
		check(r.computes.Ready(ctx, p.Key, compute.Ready{Port: 7000}))
		check(r.computes.Health(ctx, p.Key, true))
	}
	begun := func(id string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			out, err := r.placements.DescribeGameSessionPlacement(ctx, &gamelift.DescribeGameSessionPlacementInput{PlacementId: &id})
			check(err)
			if out.GameSessionPlacement.GameSessionId != nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("nobody saw to placement %s", id)
			}
		}
	}
	start("by-a-process")
	free("first")
	begun("by-a-process")

	_, err = r.placements.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{Name: new("arena"), FilterConfiguration: &types.FilterConfiguration{AllowedLocations: []string{"custom-moon"}}})
	check(err)
	free("second")
	start("by-a-change")
	_, err = r.placements.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{Name: new("arena"), FilterConfiguration: &types.FilterConfiguration{}})
	check(err)
	begun("by-a-change")
}
