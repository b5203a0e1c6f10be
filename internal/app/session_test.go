package app_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/testkit"
)

// hosted is an arena with one host and one process on it that waits for a game session.
func hosted(t *testing.T, s *testkit.Server) (fleet string, g *testkit.GameServer) {
	t.Helper()
	ctx, c := t.Context(), s.Client
	fleet = arena(t, c)
	must[gamelift.RegisterComputeOutput](t)(c.RegisterCompute(ctx, &gamelift.RegisterComputeInput{
		FleetId: &fleet, ComputeName: new("host-1"), IpAddress: new("192.0.2.7"), Location: new("custom-home"),
	}))
	token := must[gamelift.GetComputeAuthTokenOutput](t)(c.GetComputeAuthToken(ctx, &gamelift.GetComputeAuthTokenInput{FleetId: &fleet, ComputeName: new("host-1")}))
	g = s.Dial(fleet, "host-1", "process-1", *token.AuthToken)
	g.Ready(7777)
	return fleet, g
}

// playing is hosted with an active game session for two players.
func playing(t *testing.T, s *testkit.Server) (fleet, game string, g *testkit.GameServer) {
	t.Helper()
	fleet, g = hosted(t, s)
	made := must[gamelift.CreateGameSessionOutput](t)(s.Client.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{
		FleetId: &fleet, Location: new("custom-home"), MaximumPlayerSessionCount: new(int32(2)),
	})).GameSession
	push := g.Push("CreateGameSession")
	if push["GameSessionId"] != *made.GameSessionId {
		t.Fatalf("the process is told %v, want %s", push, *made.GameSessionId)
	}
	g.Call("ActivateGameSession", testkit.Message{"GameSessionId": *made.GameSessionId})
	return fleet, *made.GameSessionId, g
}

// players are the states of a game session's players, by player.
func players(t *testing.T, s *testkit.Server, game string) map[string]types.PlayerSessionStatus {
	t.Helper()
	out := must[gamelift.DescribePlayerSessionsOutput](t)(s.Client.DescribePlayerSessions(t.Context(), &gamelift.DescribePlayerSessionsInput{GameSessionId: &game}))
	states := map[string]types.PlayerSessionStatus{}
	for _, p := range out.PlayerSessions {
		states[*p.PlayerId] = p.Status
	}
	return states
}

func TestPlayersComeGoAndTimeOut(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		ctx, c := t.Context(), s.Client
		fleet, game, g := playing(t, s)

		join := func(player string) (*types.PlayerSession, error) {
			out, err := c.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: &game, PlayerId: &player})
			if err != nil {
				return nil, err
			}
			return out.PlayerSession, nil
		}
		ann := must[types.PlayerSession](t)(join("ann"))
		if *ann.IpAddress != "192.0.2.7" || *ann.Port != 7777 || ann.Status != types.PlayerSessionStatusReserved {
			t.Errorf("ann is sent to %s:%d, %s", *ann.IpAddress, *ann.Port, ann.Status)
		}
		must[types.PlayerSession](t)(join("bob"))
		_, err := join("eve")
		refused(t, err, "GameSessionFullException")

		g.Call("AcceptPlayerSession", testkit.Message{"GameSessionId": game, "PlayerSessionId": *ann.PlayerSessionId})
		s.Advance(61 * time.Second)
		if got := players(t, s, game); got["ann"] != types.PlayerSessionStatusActive || got["bob"] != types.PlayerSessionStatusTimedout {
			t.Errorf("after 61 s: %v", got)
		}
		must[types.PlayerSession](t)(join("eve")) // bob's place is free again

		use := must[gamelift.DescribeFleetUtilizationOutput](t)(c.DescribeFleetUtilization(ctx, &gamelift.DescribeFleetUtilizationInput{FleetIds: []string{fleet}})).FleetUtilization[0]
		if *use.ActiveServerProcessCount != 1 || *use.ActiveGameSessionCount != 1 || *use.CurrentPlayerSessionCount != 2 || *use.MaximumPlayerSessionCount != 2 {
			t.Errorf("utilization: %d processes, %d game sessions, %d of %d players",
				*use.ActiveServerProcessCount, *use.ActiveGameSessionCount, *use.CurrentPlayerSessionCount, *use.MaximumPlayerSessionCount)
		}

		g.Call("RemovePlayerSession", testkit.Message{"GameSessionId": game, "PlayerSessionId": *ann.PlayerSessionId})
		g.Call("TerminateServerProcess", nil)
		ended := must[gamelift.DescribeGameSessionsOutput](t)(c.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{GameSessionId: &game})).GameSessions[0]
		if ended.Status != types.GameSessionStatusTerminated || *ended.CurrentPlayerSessionCount != 0 {
			t.Errorf("the game session is %s with %d players", ended.Status, *ended.CurrentPlayerSessionCount)
		}
	})
}

func TestDeletingAFleetEndsWhatRunsOnIt(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		fleet, game, _ := playing(t, s)
		must[gamelift.CreatePlayerSessionOutput](t)(s.Client.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &game, PlayerId: new("ann")}))
		must[gamelift.DeleteFleetOutput](t)(s.Client.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &fleet}))
		_, err := s.Client.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &game, PlayerId: new("bob")})
		if err == nil {
			t.Error("a player joins a game session of a deleted fleet")
		}
	})
}

func TestStoppingTellsGameServersToConnectAgain(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	_, g := hosted(t, s)
	done := make(chan struct{})
	go func() { defer close(done); s.Stop() }()
	if code := g.Closed(); code != 1012 {
		t.Errorf("closed with %d, want 1012", code)
	}
	<-done
}

func TestAGameGoesOnOverARestart(t *testing.T) {
	dir := t.TempDir()
	keep := testkit.Options{Store: "sqlite:" + dir + "/db"}
	first := testkit.Start(t, keep)
	fleet, game, g := playing(t, first)
	must[gamelift.CreatePlayerSessionOutput](t)(first.Client.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &game, PlayerId: new("ann")}))
	go first.Stop()
	g.Closed()
	first.Stop()

	second := testkit.Start(t, keep)
	g = second.Dial(fleet, "host-1", "process-1", "")
	g.Call("HeartbeatServerProcess", testkit.Message{"HealthStatus": true})
	must[gamelift.CreatePlayerSessionOutput](t)(second.Client.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &game, PlayerId: new("bob")}))
	if got := players(t, second, game); len(got) != 2 {
		t.Errorf("players after the restart: %v", got)
	}
}
