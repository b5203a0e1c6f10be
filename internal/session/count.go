package session

// The series of sessions (hosting.md 7), each with the fleet and the location.
const (
	PlayerActivations = "gamelift_player_session_activations_total"
	GameInterruptions = "gamelift_game_session_interruptions_total"
)
