package session

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
)

const (
	activating  = types.GameSessionStatusActivating
	active      = types.GameSessionStatusActive
	terminating = types.GameSessionStatusTerminating
	terminated  = types.GameSessionStatusTerminated
	failed      = types.GameSessionStatusError
)

// moves are the steps of a game session's life (sessions-placement.md 4.1). It begins
// ACTIVATING. ERROR is never entered here: a start message cannot fail to be delivered, as
// it waits in the process's inbox, and a process that never takes it runs into the
// activation timeout.
var moves = map[types.GameSessionStatus][]types.GameSessionStatus{
	activating:  {active, terminating, terminated},
	active:      {terminating, terminated},
	terminating: {terminated},
}

// may tells whether a game session may go from one state to the other.
func may(from, to types.GameSessionStatus) bool { return slices.Contains(moves[from], to) }

// statuses are the words of StatusFilter; those of the model and ERROR.
var statuses = []types.GameSessionStatus{activating, active, terminating, terminated, failed}

// whyEnded is the StatusReason of a game session whose process ended: only a termination
// that was asked for has one.
func whyEnded(g game, why compute.EndReason) *string {
	switch {
	case why == compute.Forced:
		return new(string(types.GameSessionStatusReasonForceTerminated))
	case g.status == terminating:
		return new(string(types.GameSessionStatusReasonTriggeredOnProcessTerminate))
	}
	return nil
}

// playerStatus is the state of a player session as its row has it. The way is RESERVED to
// ACTIVE to COMPLETED, or RESERVED to COMPLETED or TIMEDOUT; the last two are final
// (sessions-placement.md 2.1).
type playerStatus int64

const (
	reserved playerStatus = 1 + iota
	joinedIn
	completed
	timedOut
)

var playerStatuses = [...]types.PlayerSessionStatus{
	reserved:  types.PlayerSessionStatusReserved,
	joinedIn:  types.PlayerSessionStatusActive,
	completed: types.PlayerSessionStatusCompleted,
	timedOut:  types.PlayerSessionStatusTimedout,
}

func (p playerStatus) model() types.PlayerSessionStatus { return playerStatuses[p] }

// playerStatusOf reads the word of a filter. ok is false for any other text.
func playerStatusOf(word string) (playerStatus, bool) {
	i := slices.Index(playerStatuses[reserved:], types.PlayerSessionStatus(word))
	return reserved + playerStatus(i), i >= 0
}
