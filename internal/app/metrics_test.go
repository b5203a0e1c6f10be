package app_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/testkit"
)

// played is a fleet whose one process hosts an active game session of seven slots.
func played(t *testing.T, s *testkit.Server) (fleet, game string) {
	t.Helper()
	fleet = arena(t, s.Client)
	must[gamelift.RegisterComputeOutput](t)(s.Client.RegisterCompute(t.Context(), &gamelift.RegisterComputeInput{
		FleetId: &fleet, ComputeName: new("host"), Location: new("custom-home"), IpAddress: new("127.0.0.1"),
	}))
	server := s.Dial(fleet, "host", "process-1", "")
	server.Ready(7000)
	game = *must[gamelift.CreateGameSessionOutput](t)(s.Client.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{
		FleetId: &fleet, Location: new("custom-home"), MaximumPlayerSessionCount: new(int32(7)),
	})).GameSession.GameSessionId
	server.Call("ActivateGameSession", testkit.Message{"GameSessionId": game})
	return fleet, game
}

// What runs on a fleet shows under AWS's names.
func TestMetricsOfAFleet(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		fleet, _ := played(t, s)
		_, body := s.Get(s.Admin + "/metrics")
		labels := `{fleet_id="` + fleet + `",location="custom-home"} `
		for _, want := range []string{
			"gamelift_active_game_sessions" + labels + "1", "gamelift_available_player_sessions" + labels + "7",
			"gamelift_active_server_processes" + labels + "1", "gamelift_percent_available_game_sessions" + labels + "0",
			"gamelift_server_process_activations_total" + labels + "1", "matchyard_agents 0",
		} {
			if !strings.Contains(body, want+"\n") {
				t.Errorf("metrics lack %s", want)
			}
		}
		if !strings.Contains(body, "\nmatchyard_hosts ") { // 0, or 1 when the server's own agent is there already
			t.Error("metrics lack matchyard_hosts")
		}
	})
}

// A game session that is asked to end is not active any more, but still has its process.
func TestMetricsOfAnEndingGameSession(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		fleet, game := played(t, s)
		must[gamelift.TerminateGameSessionOutput](t)(s.Client.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{
			GameSessionId: &game, TerminationMode: types.TerminationModeTriggerOnProcessTerminate,
		}))
		_, body := s.Get(s.Admin + "/metrics")
		labels := `{fleet_id="` + fleet + `",location="custom-home"} `
		for _, want := range []string{
			"gamelift_active_game_sessions" + labels + "0", "gamelift_activating_game_sessions" + labels + "0",
			"gamelift_active_server_processes" + labels + "1", "gamelift_available_game_sessions" + labels + "0",
			"gamelift_percent_available_game_sessions" + labels + "0", "gamelift_available_player_sessions" + labels + "0",
		} {
			if !strings.Contains(body, want+"\n") {
				t.Errorf("metrics lack %s", want)
			}
		}
	})
}
