package lifecycle

import (
	"slices"
	"time"
)

// The types of matchmaking events (spec 3). Five concern a match and are sent once for
// all its tickets; Searching, TimedOut and Cancelled concern one ticket.
const (
	MatchmakingSearching  = "MatchmakingSearching"
	PotentialMatchCreated = "PotentialMatchCreated"
	AcceptMatch           = "AcceptMatch"
	AcceptMatchCompleted  = "AcceptMatchCompleted"
	MatchmakingSucceeded  = "MatchmakingSucceeded"
	MatchmakingTimedOut   = "MatchmakingTimedOut"
	MatchmakingCancelled  = "MatchmakingCancelled"
	MatchmakingFailed     = "MatchmakingFailed"
)

// Event is what a transition has to tell. Tickets are copies as they were at that point.
type Event struct {
	Type               string
	At                 time.Time
	MatchID            string
	Tickets            []Ticket
	AcceptanceRequired bool          // of PotentialMatchCreated
	AcceptanceTimeout  time.Duration // of PotentialMatchCreated, zero without acceptance
	Acceptance         string        // of AcceptMatchCompleted: Accepted, Rejected or TimedOut
	Reason             string
	Message            string
}

func event(typ string, now time.Time, tickets ...*Ticket) Event {
	e := Event{Type: typ, At: now}
	for _, t := range tickets {
		snapshot := *t
		snapshot.Players = slices.Clone(t.Players)
		e.Tickets = append(e.Tickets, snapshot)
		if typ != MatchmakingSearching {
			e.MatchID = t.MatchID
		}
	}
	return e
}
