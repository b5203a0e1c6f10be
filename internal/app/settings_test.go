package app_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/testkit"
)

// TestSettingsReachTheRooms turns what an operator may choose away from its defaults.
func TestSettingsReachTheRooms(t *testing.T) {
	s := testkit.Start(t, testkit.Options{Configure: func(c *config.Config) {
		c.ReservationTimeout, c.Retention = 5*time.Second, time.Hour
		c.Aliases, c.ComputesPerFleet = 1, 1
	}})
	ctx, c := t.Context(), s.Client
	fleet, game, g := playing(t, s)

	must[gamelift.CreatePlayerSessionOutput](t)(c.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: &game, PlayerId: new("ann")}))
	s.Advance(4 * time.Second)
	if got := players(t, s, game)["ann"]; got != types.PlayerSessionStatusReserved {
		t.Errorf("after 4 of 5 s ann is %s", got)
	}
	s.Advance(time.Second)
	if got := players(t, s, game)["ann"]; got != types.PlayerSessionStatusTimedout {
		t.Errorf("after 5 s ann is %s", got)
	}

	alias := func() error {
		_, err := c.CreateAlias(ctx, &gamelift.CreateAliasInput{
			Name: new("a"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: &fleet},
		}, func(o *gamelift.Options) { o.RetryMaxAttempts = 1 })
		return err
	}
	if err := alias(); err != nil {
		t.Fatal(err)
	}
	refused(t, alias(), "LimitExceededException")
	_, err := c.RegisterCompute(ctx, &gamelift.RegisterComputeInput{
		FleetId: &fleet, ComputeName: new("host-2"), IpAddress: new("192.0.2.8"), Location: new("custom-home"),
	}, func(o *gamelift.Options) { o.RetryMaxAttempts = 1 })
	refused(t, err, "LimitExceededException")

	g.Call("TerminateServerProcess", nil)
	s.Advance(time.Hour + time.Second)
	_, err = c.DescribePlayerSessions(ctx, &gamelift.DescribePlayerSessionsInput{GameSessionId: &game})
	refused(t, err, "NotFoundException")
}
