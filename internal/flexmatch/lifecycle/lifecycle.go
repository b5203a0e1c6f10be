// Package lifecycle is the life of a matchmaking ticket as pure code: which status
// follows which, who is cancelled and who searches on when a proposal fails, and which
// events are due (spec 2.6 to 2.9 and 3). It owns the transitions and nothing else: a
// room loads tickets, calls a transition with the instant, and stores what has changed
// together with the events. It knows no pool, no rules, no placement and no delivery.
//
//	QUEUED -> SEARCHING -> REQUIRES_ACCEPTANCE -> PLACING -> COMPLETED
//	             |  ^             |    |              |
//	             |  +--- dropped -+    +- standalone -+--> COMPLETED
//	             +--> TIMED_OUT   any of the first three --> CANCELLED
package lifecycle

import (
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// Status is a ticket's status, the model's own.
type Status = types.MatchmakingConfigurationStatus

// The statuses. Those after Placing are final.
const (
	Queued             = types.MatchmakingConfigurationStatusQueued
	Searching          = types.MatchmakingConfigurationStatusSearching
	RequiresAcceptance = types.MatchmakingConfigurationStatusRequiresAcceptance
	Placing            = types.MatchmakingConfigurationStatusPlacing
	Completed          = types.MatchmakingConfigurationStatusCompleted
	Failed             = types.MatchmakingConfigurationStatusFailed
	Cancelled          = types.MatchmakingConfigurationStatusCancelled
	TimedOut           = types.MatchmakingConfigurationStatusTimedOut
)

// Status reasons and messages. Only the first is documented by AWS, the others follow
// the fields of the events (spec 2.8).
const (
	ReasonDuplicate          = "Cancelled due to duplicate player"
	ReasonCancelled          = "Cancelled"
	ReasonTimedOut           = "TimedOut"
	ReasonUnexpected         = "UNEXPECTED_ERROR"
	ReasonAcceptanceTimedOut = "AcceptanceTimedOut"
	ReasonAcceptanceRejected = "AcceptanceRejected"
	ReasonAcceptanceFailed   = "AcceptanceFailed"

	messageCancelled  = "Cancelled by request."
	messageTimedOut   = "Removed from matchmaking due to timing out."
	messageUnexpected = "An unexpected error was encountered during match placing."
)

// Config is what a matchmaking configuration says about a ticket's life.
type Config struct {
	AcceptanceRequired bool
	AcceptanceTimeout  time.Duration
	RequestTimeout     time.Duration
	// Standalone matches complete without a placement.
	Standalone bool
	// SilentSearchOn returns tickets that had not answered yet to the search when another
	// player rejects early. By default they are cancelled, as the API's words have it.
	SilentSearchOn bool
}

// Player is one player of a ticket.
type Player struct {
	ID       string
	Team     string // known while the ticket is in a match
	Accepted *bool  // the answer to the proposal, nil before
}

// Ticket is the part of a matchmaking ticket that has a life.
type Ticket struct {
	ID       string
	Status   Status
	Reason   string
	Message  string
	Start    time.Time
	End      time.Time // zero until the status is final
	Players  []Player
	Backfill bool
	MatchID  string // of the proposal or match it is in, or was in last
}

// Final reports whether nothing can happen to the ticket any more.
func (t *Ticket) Final() bool {
	switch t.Status {
	case Completed, Failed, Cancelled, TimedOut:
		return true
	default:
		return false
	}
}

// Waiting reports whether the ticket is in the matchmaker's pool, or on its way there.
func (t *Ticket) Waiting() bool { return t.Status == Queued || t.Status == Searching }

// answered is the ticket's answer: rejected by one, accepted by all, or neither yet.
// Nobody asks the players of a backfill ticket.
func (t *Ticket) answered() (accepted, rejected bool) {
	accepted = true
	for _, p := range t.Players {
		if t.Backfill {
			return true, false
		}
		accepted = accepted && p.Accepted != nil && *p.Accepted
		rejected = rejected || p.Accepted != nil && !*p.Accepted
	}
	return accepted, rejected
}

// Proposal is a match that waits for its players' consent, or is about to be placed.
type Proposal struct {
	MatchID  string
	Tickets  []*Ticket
	Deadline time.Time // of the acceptance; zero when none is asked
}

func (p *Proposal) backfill() bool {
	return slices.ContainsFunc(p.Tickets, func(t *Ticket) bool { return t.Backfill })
}

// Search takes a queued ticket into the pool.
func (c Config) Search(t *Ticket, now time.Time) []Event {
	t.Status = Searching
	return []Event{event(MatchmakingSearching, now, t)}
}

// Propose makes a match of tickets in the pool. teams gives each player's team. With
// acceptance the proposal stays open until Deadline; without, it goes on at once.
func (c Config) Propose(matchID string, tickets []*Ticket, teams map[string]string, now time.Time) (*Proposal, []Event) {
	p := &Proposal{MatchID: matchID, Tickets: tickets}
	for _, t := range tickets {
		t.MatchID, t.Reason, t.Message = matchID, "", ""
		for i := range t.Players {
			t.Players[i].Team = teams[t.Players[i].ID]
			t.Players[i].Accepted = nil
		}
	}
	e := event(PotentialMatchCreated, now, tickets...)
	e.AcceptanceRequired = c.AcceptanceRequired
	if !c.AcceptanceRequired {
		return p, append([]Event{e}, c.settle(p, now)...)
	}
	e.AcceptanceTimeout = c.AcceptanceTimeout
	p.Deadline = now.Add(c.AcceptanceTimeout)
	for _, t := range tickets {
		t.Status = RequiresAcceptance
	}
	return p, []Event{e}
}

// settle sends a match on its way: to placement, or, standalone and backfill matches,
// which are not placed, straight to completion.
func (c Config) settle(p *Proposal, now time.Time) []Event {
	if c.Standalone || p.backfill() {
		return c.Placed(p, now)
	}
	for _, t := range p.Tickets {
		t.Status = Placing
	}
	return nil
}

// Outcome is what became of a proposal.
type Outcome int

// A proposal is open until all have accepted, or it is dropped.
const (
	Open Outcome = iota
	Accepted
	Dropped
)

// Accept records answers. An acceptance may still become a rejection while the proposal
// is open; a rejection stands. One rejection ends the proposal at once (spec 2.6).
func (c Config) Accept(p *Proposal, ticket *Ticket, players []string, accept bool, now time.Time) (Outcome, []Event, error) {
	if ticket.Status != RequiresAcceptance {
		return Open, nil, fmt.Errorf("Matchmaking ticket is in %s status and cannot be accepted or rejected.", ticket.Status) //nolint:staticcheck,revive // goes to the caller as it is
	}
	for _, id := range players {
		if !slices.ContainsFunc(ticket.Players, func(pl Player) bool { return pl.ID == id }) {
			return Open, nil, fmt.Errorf("player %q is not in ticket %q", id, ticket.ID)
		}
	}
	for i := range ticket.Players {
		pl := &ticket.Players[i]
		stands := pl.Accepted != nil && !*pl.Accepted
		if slices.Contains(players, pl.ID) && !stands {
			pl.Accepted = new(accept)
		}
	}
	events := []Event{event(AcceptMatch, now, p.Tickets...)}
	all := true
	for _, t := range p.Tickets {
		accepted, rejected := t.answered()
		all = all && accepted
		if rejected && !t.Backfill {
			return Dropped, append(events, c.drop(p, "Rejected", now)...), nil
		}
	}
	if !all {
		return Open, events, nil
	}
	done := event(AcceptMatchCompleted, now, p.Tickets...)
	done.Acceptance = "Accepted"
	return Accepted, append(append(events, done), c.settle(p, now)...), nil
}

// Expire drops a proposal whose deadline has come.
func (c Config) Expire(p *Proposal, now time.Time) []Event { return c.drop(p, "TimedOut", now) }

// drop ends a proposal without a match: who rejected or stayed silent is cancelled, who
// accepted searches on with the old start time, and so does a backfill ticket.
func (c Config) drop(p *Proposal, how string, now time.Time) []Event {
	done := event(AcceptMatchCompleted, now, p.Tickets...)
	done.Acceptance = how
	events := []Event{done}
	for _, t := range p.Tickets {
		accepted, rejected := t.answered()
		switch {
		case t.Final(): // stopped, which is what ended the proposal
		case accepted, !rejected && how == "Rejected" && c.SilentSearchOn:
			events = append(events, c.back(t, ReasonAcceptanceFailed, "The proposed match was not accepted by all players.", now)...)
		case rejected:
			t.end(Cancelled, ReasonAcceptanceRejected, "The proposed match was rejected.", now)
			events = append(events, cancelled(t, now))
		default:
			t.end(Cancelled, ReasonAcceptanceTimedOut, "The proposed match was not accepted in time.", now)
			events = append(events, cancelled(t, now))
		}
	}
	return events
}

// back returns a ticket to the pool, or times it out when it is too old for that.
func (c Config) back(t *Ticket, reason, message string, now time.Time) []Event {
	for i := range t.Players {
		t.Players[i].Accepted = nil
		if !t.Backfill {
			t.Players[i].Team = ""
		}
	}
	t.Status, t.Reason, t.Message = Searching, reason, message
	if c.Overdue(t, now) {
		return c.TimeOut(t, now)
	}
	return []Event{event(MatchmakingSearching, now, t)}
}

// Overdue reports whether a waiting ticket has used up its request timeout. Tickets in a
// proposal or in placement have other clocks (spec 2.7).
func (c Config) Overdue(t *Ticket, now time.Time) bool {
	return t.Waiting() && !now.Before(t.Start.Add(c.RequestTimeout))
}

// TimeOut ends a ticket that has waited too long.
func (c Config) TimeOut(t *Ticket, now time.Time) []Event {
	t.end(TimedOut, ReasonTimedOut, messageTimedOut, now)
	e := event(MatchmakingTimedOut, now, t)
	e.Reason, e.Message = ReasonTimedOut, messageTimedOut
	return []Event{e}
}

// Stop cancels a ticket at the caller's request. p is the open proposal it is in, nil
// when it is in none; the proposal is dropped and the others' tickets search on,
// whatever they had answered (spec 2.8). A ticket in placement or at its end refuses.
func (c Config) Stop(t *Ticket, p *Proposal, now time.Time) ([]Event, error) {
	if t.Status == Placing || t.Final() {
		return nil, fmt.Errorf("Matchmaking ticket is in %s status and cannot be canceled.", t.Status) //nolint:staticcheck,revive // AWS's own words
	}
	t.end(Cancelled, ReasonCancelled, messageCancelled, now)
	e := event(MatchmakingCancelled, now, t)
	e.Reason, e.Message = ReasonCancelled, messageCancelled
	return append([]Event{e}, c.without(p, now)...), nil
}

// Duplicate cancels a ticket because one of its players is in a newer request. No event
// tells of it (spec 2.9). A ticket in placement or at its end stays as it is.
func (c Config) Duplicate(t *Ticket, p *Proposal, now time.Time) []Event {
	if t.Status == Placing || t.Final() {
		return nil
	}
	t.end(Cancelled, ReasonDuplicate, ReasonDuplicate, now)
	return c.without(p, now)
}

// without ends a proposal that has lost a ticket.
func (c Config) without(p *Proposal, now time.Time) []Event {
	if p == nil {
		return nil
	}
	done := event(AcceptMatchCompleted, now, p.Tickets...)
	done.Acceptance = "Rejected"
	events := []Event{done}
	for _, t := range p.Tickets {
		if !t.Final() {
			events = append(events, c.back(t, ReasonAcceptanceFailed, "Another ticket of the proposed match was cancelled.", now)...)
		}
	}
	return events
}

// Placed completes a match: its game session is ready, or it needs none.
func (c Config) Placed(p *Proposal, now time.Time) []Event {
	for _, t := range p.Tickets {
		t.end(Completed, "", "", now)
	}
	return []Event{event(MatchmakingSucceeded, now, p.Tickets...)}
}

// PlacementTimedOut puts the tickets back into the pool; those whose request timeout has
// passed meanwhile time out at once (spec 2.7).
func (c Config) PlacementTimedOut(p *Proposal, now time.Time) (events []Event) {
	for _, t := range p.Tickets {
		events = append(events, c.back(t, ReasonTimedOut, "The placement of the match timed out.", now)...)
	}
	return events
}

// PlacementFailed ends the tickets of a match that could not be placed.
func (c Config) PlacementFailed(p *Proposal, now time.Time) []Event {
	for _, t := range p.Tickets {
		t.end(Failed, ReasonUnexpected, messageUnexpected, now)
	}
	e := event(MatchmakingFailed, now, p.Tickets...)
	e.Reason, e.Message = ReasonUnexpected, messageUnexpected
	return []Event{e}
}

// PlacementCancelled ends the tickets of a match whose placement was stopped.
func (c Config) PlacementCancelled(p *Proposal, now time.Time) (events []Event) {
	for _, t := range p.Tickets {
		t.end(Cancelled, ReasonCancelled, messageCancelled, now)
		events = append(events, cancelled(t, now))
	}
	return events
}

func (t *Ticket) end(status Status, reason, message string, now time.Time) {
	t.Status, t.Reason, t.Message, t.End = status, reason, message, now
}

func cancelled(t *Ticket, now time.Time) Event {
	e := event(MatchmakingCancelled, now, t)
	e.Reason, e.Message = t.Reason, t.Message
	return e
}
