package matchmaking

import (
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
)

// eventType is the detail-type of all events of this room.
const eventType = "GameLift Matchmaking Event"

// happening is the detail of an event (flexmatch.md 3).
type happening struct {
	Type               string        `json:"type"`
	Reason             string        `json:"reason,omitempty"`
	Message            string        `json:"message,omitempty"`
	MatchID            string        `json:"matchId,omitempty"`
	Acceptance         string        `json:"acceptance,omitempty"`
	AcceptanceRequired *bool         `json:"acceptanceRequired,omitempty"`
	AcceptanceTimeout  int64         `json:"acceptanceTimeout,omitempty"` // seconds
	Tickets            []toldTicket  `json:"tickets"`
	EstimatedWait      any           `json:"estimatedWaitMillis,omitempty"` // seconds, all the same
	Metrics            *[]toldMetric `json:"ruleEvaluationMetrics,omitempty"`
	Session            toldSession   `json:"gameSessionInfo"`
	CustomEventData    *string       `json:"customEventData,omitempty"`
}

type toldTicket struct {
	ID      string       `json:"ticketId"`
	Start   string       `json:"startTime"`
	Players []toldPlayer `json:"players"`
}

type toldPlayer struct {
	ID       string `json:"playerId"`
	Session  string `json:"playerSessionId,omitempty"`
	Team     string `json:"team,omitempty"`
	Accepted *bool  `json:"accepted,omitempty"`
}

type toldSession struct {
	ARN      string       `json:"gameSessionArn,omitempty"`
	IP       string       `json:"ipAddress,omitempty"`
	DNS      *string      `json:"dnsName,omitempty"`
	Port     int32        `json:"port,omitempty"`
	Location string       `json:"location,omitempty"` // an extension, by Config.LocationHint
	Players  []toldPlayer `json:"players"`
}

type toldMetric struct {
	Rule   string `json:"ruleName"`
	Passed int    `json:"passedCount"`
	Failed int    `json:"failedCount"`
}

// notAvailable is the estimate of a wait that is not known.
const notAvailable = "NOT_AVAILABLE"

// emit adds the events of transitions to those of the transaction, as far as anybody wants
// them.
func (w *work) emit(list []lifecycle.Event) error {
	for _, e := range list {
		w.count(e)
		if !w.s.Events.Wanted(eventType, e.Type, w.target()) {
			continue
		}
		h, err := w.happening(e)
		if err != nil {
			return err
		}
		w.events = append(w.events, event.Event{
			Type: eventType, Order: "ticket/" + e.Tickets[0].ID, Resource: w.s.resource(configurationKind, w.c.Name),
			Target: w.target(), Detail: h, Millis: true,
		})
	}
	return nil
}

func (w *work) target() string { return targetOf(w.c) }

func targetOf(c configuration) string {
	if c.NotificationTarget == nil {
		return ""
	}
	return *c.NotificationTarget
}

func (w *work) happening(e lifecycle.Event) (happening, error) {
	h := happening{
		Type: e.Type, Reason: e.Reason, Message: e.Message, MatchID: e.MatchID, Acceptance: e.Acceptance,
		Session: toldSession{Players: []toldPlayer{}}, CustomEventData: w.c.CustomEventData,
	}
	sessions := map[string]string{}
	if e.Type == lifecycle.MatchmakingSucceeded {
		sessions = w.sessions[e.MatchID]
		h.Session.Location = w.hints[e.MatchID]
		if c := w.connections[e.MatchID]; c != nil {
			h.Session.ARN, h.Session.IP, h.Session.DNS, h.Session.Port = c.Game, c.IP, c.DNS, c.Port
		}
	}
	for _, t := range e.Tickets {
		one := toldTicket{ID: t.ID, Start: iso(t.Start), Players: []toldPlayer{}}
		for _, p := range t.Players {
			one.Players = append(one.Players, toldPlayer{p.ID, sessions[p.ID], p.Team, p.Accepted})
		}
		h.Tickets = append(h.Tickets, one)
		h.Session.Players = append(h.Session.Players, one.Players...)
	}
	switch e.Type {
	case lifecycle.MatchmakingSearching:
		wait, err := w.wait()
		if err != nil {
			return h, err
		}
		h.EstimatedWait = any(notAvailable)
		if wait != nil {
			h.EstimatedWait = *wait
		}
	case lifecycle.PotentialMatchCreated:
		h.AcceptanceRequired, h.AcceptanceTimeout = &e.AcceptanceRequired, int64(e.AcceptanceTimeout/time.Second)
		return h, w.measure(&h, w.metrics[e.MatchID])
	case lifecycle.MatchmakingTimedOut, lifecycle.MatchmakingCancelled:
		return h, w.measure(&h, w.metrics[e.Tickets[0].ID])
	}
	return h, nil
}

// measure adds the rule evaluations: zeros, of each rule, where they are not known.
func (w *work) measure(h *happening, counted []flexmatch.RuleMetric) error {
	list := []toldMetric{}
	for _, m := range counted {
		list = append(list, toldMetric{m.Name, m.Passed, m.Failed})
	}
	if counted == nil {
		rs, err := w.s.ruleSetTx(w.tx, w.c.RuleSetKey)
		if err != nil {
			return err
		}
		for _, r := range rs.Rules {
			list = append(list, toldMetric{Rule: r.Name})
		}
	}
	h.Metrics = &list
	return nil
}

func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
