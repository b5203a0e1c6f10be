package placement

import (
	"errors"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// Activated is told by the session room that a game session becomes ACTIVE, in that very
// transaction: its placement, if it has one, is FULFILLED, and the desired players have
// their player sessions before anybody else sees the game session (sessions-placement.md
// 6.7). One that is activated after its deadline, before the sweep has come by, counts.
func (s *Service) Activated(tx *store.Tx, game store.Key) error {
	p, err := fulfil(tx, game)
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var list []placed
	if p.players > 0 {
		t, err := textOf(tx, p.key)
		if err != nil {
			return err
		}
		ids, err := s.Sessions.SeatTx(tx, game, t.Players)
		if err != nil {
			return err
		}
		for i, seat := range t.Players {
			list = append(list, placed{seat.Player, ids[i]})
		}
		if err := savePlaced(tx, p.key, list); err != nil {
			return err
		}
	}
	if s.Events == nil {
		return nil
	}
	q, err := queueByKey(tx, p.queue)
	if err != nil {
		return err
	}
	return s.tell(tx, q, p, list)
}

// Over is told by the session room that a game session will not become ACTIVE. Its
// placement, if it has one, goes on with the next candidate, unless it was ended by a call
// or its queue is gone: then it is FAILED.
func (s *Service) Over(tx *store.Tx, game store.Key, why session.Failure) error {
	p, err := placementByGame(tx, game, tx.ForUpdate())
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	q, err := queueByKey(tx, p.queue)
	if err != nil {
		return err
	}
	t, err := textOf(tx, p.key)
	if err != nil {
		return err
	}
	t.trace.ended(tx.Now, string(why))
	if err := saveTrace(tx, p.key, t.trace); err != nil {
		return err
	}
	if why == session.Ended || q.deleted {
		return s.finishTx(tx, q, &p, failed)
	}
	locations, until := reach(q.Policies, t.wish(p, tx.NowMs()))
	if err := waitAgain(tx, p, p.stepAt(until)); err != nil {
		return err
	}
	var waits [][]any
	for _, at := range locations {
		waits = append(waits, []any{q.key, at, p.key})
	}
	notify(tx, q.key)
	return insertWaits(tx, waits)
}

// eventType is the detail-type of all events of this room.
const eventType = "GameLift Queue Placement Event"

var eventKinds = [...]string{
	fulfilled: "PlacementFulfilled",
	cancelled: "PlacementCancelled",
	timedOut:  "PlacementTimedOut",
	failed:    "PlacementFailed",
}

// outcome is the detail of an event (sessions-placement.md 6.9).
type outcome struct {
	Type              string          `json:"type"`
	PlacementID       string          `json:"placementId"`
	Port              string          `json:"port,omitempty"` // a text, unlike everywhere else
	GameSessionARN    string          `json:"gameSessionArn,omitempty"`
	IPAddress         string          `json:"ipAddress,omitempty"`
	DNSName           string          `json:"dnsName,omitempty"`
	GameSessionRegion string          `json:"gameSessionRegion,omitempty"`
	Placed            *[]placedPlayer `json:"placedPlayerSessions,omitempty"`
	CustomEventData   string          `json:"customEventData,omitempty"`
	StartTime         string          `json:"startTime"`
	EndTime           string          `json:"endTime"`
}

type placedPlayer struct {
	PlayerID        string `json:"playerId"`
	PlayerSessionID string `json:"playerSessionId"`
}

// tell appends the event of a placement that has come to its final state.
func (s *Service) tell(tx *store.Tx, q queue, p placement, list []placed) error {
	if s.Events == nil {
		return nil
	}
	o := outcome{
		Type: eventKinds[p.status], PlacementID: p.id, CustomEventData: q.custom,
		StartTime: iso(p.startedAt), EndTime: iso(*p.endedAt),
	}
	if p.status == fulfilled {
		o.fulfilled(p, list)
	}
	return s.Events.AppendTx(tx, event.Event{
		Type: eventType, Order: "placement/" + p.id, Resource: s.queueARN(q.name), Target: q.target, Detail: o,
	})
}

func (o *outcome) fulfilled(p placement, list []placed) {
	o.Port, o.GameSessionARN, o.IPAddress, o.GameSessionRegion = decimal(*p.port), *p.gameARN, *p.ip, *p.location
	if p.dns != nil {
		o.DNSName = *p.dns
	}
	players := make([]placedPlayer, len(list))
	for i, one := range list {
		players[i] = placedPlayer{one.Player, one.Session}
	}
	o.Placed = &players
}

func iso(ms int64) string { return stamp(ms).Format("2006-01-02T15:04:05.000Z") }
