package placement

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// StartGameSessionPlacement takes a placement in. The answer is PENDING, with what was sent
// but the desired players; it is not idempotent: a second call with an id that is kept is
// an InvalidRequestException (sessions-placement.md 6.2). When a process is free, the
// placement's game session is being started by the time of the answer. The calls of many
// callers share a transaction.
func (s *Service) StartGameSessionPlacement(ctx context.Context, in *gamelift.StartGameSessionPlacementInput) (*gamelift.StartGameSessionPlacementOutput, error) {
	c, err := s.newStarting(in)
	if err != nil {
		return nil, err
	}
	s.startOnce.Do(func() { s.starts.DB, s.starts.Run = s.DB, s.startTx })
	var p placement
	for range startTries {
		if p, err = s.starts.Do(ctx, c); !errors.Is(err, store.ErrUnique) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return &gamelift.StartGameSessionPlacementOutput{GameSessionPlacement: new(s.placementModel(p, text{request: c.asked}))}, nil
}

// startTries is how often a start is tried whose id another node takes at the same moment:
// that one has committed by the next try, which finds it.
const startTries = 3

// starting is a request, checked in form. It does not change.
type starting struct {
	id      string
	queue   string // its name
	maximum int32
	asked   request
	text    string // asked, as its row has it
}

func (s *Service) newStarting(in *gamelift.StartGameSessionPlacementInput) (*starting, error) {
	c := &starting{id: *in.PlacementId, maximum: *in.MaximumPlayerSessionCount}
	if most := s.Config.orDefaults().MaxPlayers; c.maximum < 0 || c.maximum > most {
		return nil, apierr.InvalidRequest("MaximumPlayerSessionCount: %d is not between 0 and %d", c.maximum, most)
	}
	var err error
	if c.queue, err = parseQueue("GameSessionQueueName", *in.GameSessionQueueName); err != nil {
		return nil, err
	}
	c.asked = request{Name: in.GameSessionName, Data: in.GameSessionData, Properties: merged(in.GameProperties)}
	if n := len(in.DesiredPlayerSessions); n > int(c.maximum) {
		return nil, apierr.InvalidRequest("DesiredPlayerSessions: %d players, and MaximumPlayerSessionCount is %d", n, c.maximum)
	}
	for i, p := range in.DesiredPlayerSessions {
		if p.PlayerId == nil {
			return nil, apierr.InvalidRequest("DesiredPlayerSessions[%d].PlayerId: it is required", i)
		}
		c.asked.Players = append(c.asked.Players, session.Seat{Player: *p.PlayerId, Data: p.PlayerData})
	}
	if c.asked.Latencies, err = latencies(in.PlayerLatencies); err != nil {
		return nil, err
	}
	if c.asked.Override = in.PriorityConfigurationOverride; c.asked.Override != nil {
		if v, ok := repeated(c.asked.Override.LocationOrder); ok {
			return nil, apierr.InvalidRequest("PriorityConfigurationOverride.LocationOrder: %s is given twice", v)
		}
	}
	text, err := json.Marshal(c.asked)
	c.text = string(text)
	return c, err
}

func latencies(list []types.PlayerLatency) (all []latency, err error) {
	for i, l := range list {
		switch {
		case l.PlayerId == nil:
			return nil, apierr.InvalidRequest("PlayerLatencies[%d].PlayerId: it is required", i)
		case l.RegionIdentifier == nil:
			return nil, apierr.InvalidRequest("PlayerLatencies[%d].RegionIdentifier: it is required", i)
		case l.LatencyInMilliseconds == nil:
			return nil, apierr.InvalidRequest("PlayerLatencies[%d].LatencyInMilliseconds: it is required", i)
		}
		ms := float64(*l.LatencyInMilliseconds)
		if !(ms >= 0) || math.IsInf(ms, 0) {
			return nil, apierr.InvalidRequest("PlayerLatencies[%d].LatencyInMilliseconds: %v is no latency", i, ms)
		}
		all = append(all, latency{*l.PlayerId, *l.RegionIdentifier, ms})
	}
	return all, nil
}

// merged are game properties with each key once: the last value of a key counts, as it does
// in CreateGameSession.
func merged(list []types.GameProperty) (all []types.GameProperty) {
	at := map[string]int{}
	for _, p := range list {
		if i, ok := at[*p.Key]; ok {
			all[i].Value = p.Value
			continue
		}
		at[*p.Key] = len(all)
		all = append(all, p)
	}
	return all
}

// startTx takes placements in, in the order of their arrival, and starts the game sessions
// for which there are processes.
func (s *Service) startTx(tx *store.Tx, calls []*starting) ([]placement, []error, error) {
	out, errs := make([]placement, len(calls)), make([]error, len(calls))
	queues, err := heldQueues(tx, calls)
	if err != nil {
		return nil, nil, err
	}
	used, err := usedIDs(tx, idsOf(calls))
	if err != nil {
		return nil, nil, err
	}
	claims := map[store.Key][]*claim{}
	var order []queue
	for i, c := range calls {
		q, found := queues[c.queue]
		if errs[i] = admit(c, q, found, used); errs[i] != nil {
			continue
		}
		used[c.id] = true
		out[i] = placement{
			key: tx.NewKey(), id: c.id, queue: q.key, queueName: q.name, status: pending,
			maximum: c.maximum, players: len(c.asked.Players), startedAt: tx.NowMs(),
		}
		p := out[i]
		p.deadline = new(tx.NowMs() + int64(q.timeout)*1000)
		if claims[q.key] == nil {
			order = append(order, q)
		}
		claims[q.key] = append(claims[q.key], &claim{placement: &p, asked: c.asked, text: c.text, wish: c.asked.wish(p, tx.NowMs())})
	}
	for _, q := range order {
		if err := s.admitTx(tx, q, claims[q.key]); err != nil {
			return nil, nil, err
		}
	}
	return out, errs, nil
}

// admit checks a request against its queue, in the order of sessions-placement.md 6.2.
func admit(c *starting, q queue, found bool, used map[string]bool) error {
	switch {
	case !found:
		return noQueue("GameSessionQueueName", c.queue)
	case c.asked.Override != nil && len(c.asked.Latencies) > 0:
		return apierr.InvalidRequest("PriorityConfigurationOverride: it cannot be combined with PlayerLatencies")
	case c.asked.Override != nil && (len(q.Priority) == 0 || q.Priority[0] != types.PriorityTypeLocation):
		return apierr.InvalidRequest("PriorityConfigurationOverride: queue %s does not put LOCATION first in its PriorityOrder", q.name)
	case used[c.id]:
		return apierr.InvalidRequest("PlacementId: placement %s exists", c.id)
	}
	return nil
}

// admitTx writes the new placements of a queue, each with its game session or waiting. Where
// older ones wait for the same location, new ones wait behind them: the engine keeps the
// order.
func (s *Service) admitTx(tx *store.Tx, q queue, claims []*claim) error {
	st, err := s.stockOf(tx, q, true)
	if err != nil {
		return err
	}
	a := s.assigner(tx, st)
	if err := a.leaveToOthers(q); err != nil {
		return err
	}
	if err := a.assign(claims); err != nil {
		return err
	}
	if _, err := a.begin(claims); err != nil {
		return err
	}
	if err := s.rouseTx(tx, st, claims); err != nil {
		return err
	}
	rows, texts := make([][]any, len(claims)), make([][]any, len(claims))
	var waits [][]any
	tx.Count(PlacementsStarted, float64(len(claims)), q.name)
	for i, c := range claims {
		if err := a.note(c); err != nil {
			return err
		}
		var step *int64
		if c.game == nil {
			locations, until := reach(q.Policies, c.wish)
			for _, at := range locations {
				waits = append(waits, []any{q.key, at, c.key})
			}
			step = c.stepAt(until)
		}
		rows[i] = []any{
			pending, c.key, c.id, c.queue, c.queueName, c.maximum, c.players, c.startedAt, c.deadline, c.asked.latent(), step,
			c.game, c.gameARN, c.location, c.ip, c.dns, c.port,
		}
		texts[i] = []any{c.key, c.text, c.trace.marshal()}
	}
	if len(waits) > 0 {
		notify(tx, q.key)
	}
	countAttempts(tx, claims)
	return insertPlacements(tx, rows, texts, waits)
}

// leaveToOthers shuts the locations for which older placements of the queue wait.
func (a *assigning) leaveToOthers(q queue) error {
	free := a.stock.free()
	if len(free) == 0 {
		return nil
	}
	all, err := someoneWaits(a.tx, q.key, anywhere)
	if err != nil {
		return err
	}
	for location := range free {
		some := all
		if !some {
			if some, err = someoneWaits(a.tx, q.key, location); err != nil {
				return err
			}
		}
		a.shut[location] = some
	}
	return nil
}

// heldQueues reads the queues that are named, and keeps them from being deleted until the
// new placements can be seen.
func heldQueues(tx *store.Tx, calls []*starting) (map[string]queue, error) {
	var names []string
	seen := map[string]bool{}
	for _, c := range calls {
		if !seen[c.queue] {
			seen[c.queue] = true
			names = append(names, c.queue)
		}
	}
	lock := ""
	if tx.Dialect() == store.Postgres {
		lock = " FOR SHARE"
	}
	list, err := scanQueues(tx.Query(`SELECT `+queueColumns+` FROM game_session_queue
		WHERE `+tx.In("name", 1)+` AND deleted_at IS NULL ORDER BY key`+lock, store.List(tx, names)))
	queues := make(map[string]queue, len(list))
	for _, q := range list {
		queues[q.name] = q
	}
	return queues, err
}

func idsOf(calls []*starting) []string {
	ids := make([]string, len(calls))
	for i, c := range calls {
		ids[i] = c.id
	}
	return ids
}

// latent is 1 for a request with latencies.
func (r request) latent() int {
	if len(r.Latencies) > 0 {
		return 1
	}
	return 0
}
