package placement

import (
	"errors"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// Activated is told by the session room that game sessions become ACTIVE, in that very
// transaction: their placements, of those that have one, are FULFILLED, and the desired
// players have their player sessions before anybody else sees the game sessions
// (sessions-placement.md 6.7). One that is activated after its placement's deadline, before
// the sweep has come by, counts.
func (s *Service) Activated(tx *store.Tx, games []store.Key) error {
	if err := s.wakeTx(tx); err != nil {
		return err
	}
	list, err := fulfil(tx, games)
	if err != nil || len(list) == 0 {
		return err
	}
	countEnds(tx, list)
	players, err := s.seat(tx, list)
	if err != nil {
		return err
	}
	if err := s.tell(tx, list, players); err != nil || s.Events == nil {
		return err
	}
	queues := map[store.Key]queue{}
	events := make([]event.Event, len(list))
	for i, p := range list {
		q, known := queues[p.queue]
		if !known {
			if q, err = queueByKey(tx, p.queue); err != nil {
				return err
			}
			queues[p.queue] = q
		}
		events[i] = s.event(q, p, players[p.key])
	}
	return s.Events.AppendTx(tx, events...)
}

// wakeTx wakes the engine, if anybody waits: a compute that activates one game session less
// may take another one.
func (s *Service) wakeTx(tx *store.Tx) error {
	waiting, err := waitingQueues(tx)
	for _, key := range waiting {
		notify(tx, key)
	}
	return err
}

// seat gives the desired players of placements their player sessions.
func (s *Service) seat(tx *store.Tx, list []placement) (map[store.Key][]placed, error) {
	var keys []int64
	for _, p := range list {
		if p.players > 0 {
			keys = append(keys, int64(p.key))
		}
	}
	if len(keys) == 0 {
		return nil, nil //nolint:nilnil // nobody is to be seated
	}
	texts, err := textsOf(tx, keys)
	if err != nil {
		return nil, err
	}
	var seats []session.Seats
	var of []store.Key
	for _, p := range list {
		if p.players > 0 {
			seats = append(seats, session.Seats{Game: *p.game, Players: texts[p.key].Players})
			of = append(of, p.key)
		}
	}
	ids, err := s.Sessions.SeatTx(tx, seats)
	if err != nil {
		return nil, err
	}
	all := map[store.Key][]placed{}
	for i, key := range of {
		for k, seat := range seats[i].Players {
			all[key] = append(all[key], placed{seat.Player, ids[i][k]})
		}
	}
	return all, savePlaced(tx, of, all)
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

// event is that of a placement that has come to its final state.
func (s *Service) event(q queue, p placement, list []placed) event.Event {
	o := outcome{
		Type: eventKinds[p.status], PlacementID: p.id, CustomEventData: q.custom,
		StartTime: iso(p.startedAt), EndTime: iso(*p.endedAt),
	}
	if p.status == fulfilled {
		o.fulfilled(p, list)
	}
	return event.Event{Type: eventType, Order: "placement/" + p.id, Resource: s.queueARN(q.name), Target: q.target, Detail: o}
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
