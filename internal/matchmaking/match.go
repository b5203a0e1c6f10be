package matchmaking

import (
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// match is a match on its way.
type match struct {
	key     store.Key
	tickets []*ticket
	teams   map[string]string // of the players, before the match is proposed
	metrics []flexmatch.RuleMetric
	hint    string // location

	game store.Key // the game session it is in
	next string    // the automatic backfill ticket that goes on with it; "" for none
}

func (m *match) backfill() *ticket {
	for _, t := range m.tickets {
		if t.Backfill {
			return t
		}
	}
	return nil
}

// party are its tickets of new players.
func (m *match) party() (list []*ticket) {
	for _, t := range m.tickets {
		if !t.Backfill {
			list = append(list, t)
		}
	}
	return list
}

// stopTx cancels a ticket that is held.
func (s *Service) stopTx(tx *store.Tx, h held, metrics []flexmatch.RuleMetric) error {
	c, err := s.configurationForTx(tx, h.ticket)
	if err != nil {
		return err
	}
	w := s.work(tx, c)
	w.metrics[h.ID] = metrics
	p := h.proposal()
	events, err := w.rules.Stop(&h.Ticket, p, tx.Now)
	if err != nil {
		return apierr.InvalidRequest("%s", err.Error())
	}
	w.touch(h.ticket)
	if p != nil {
		w.touch(h.match...)
		if err := deleteMatch(tx, h.row.key); err != nil {
			return err
		}
	}
	if err := w.emit(events); err != nil {
		return err
	}
	return w.save()
}

// configurationForTx is a ticket's configuration, or as much as is known of one that is gone,
// which has only ended tickets.
func (s *Service) configurationForTx(tx *store.Tx, t *ticket) (configuration, error) {
	c, err := configurationByKey(tx, t.configuration)
	if errors.Is(err, store.ErrNoRows) && t.Final() {
		return configuration{Key: t.configuration, Name: t.name}, nil
	}
	return c, err
}

// proposeTx makes matches of tickets that a pool has found, and says of fresh tickets that
// they are searching. made tells which matches were made; a match is not made when one of its
// tickets does not wait any more (gone has those), or when the game session that it was for
// takes no players.
func (s *Service) proposeTx(tx *store.Tx, c configuration, list []*match, fresh []*ticket) (made []bool, gone map[store.Key]bool, err error) {
	var keys []int64
	for _, m := range list {
		for _, t := range m.tickets {
			keys = append(keys, int64(t.key))
		}
	}
	for _, t := range fresh {
		keys = append(keys, int64(t.key))
	}
	slices.Sort(keys)
	waiting, err := holdWaiting(tx, keys)
	if err != nil {
		return nil, nil, err
	}
	gone = map[store.Key]bool{}
	for _, k := range keys {
		if _, is := waiting[store.Key(k)]; !is {
			gone[store.Key(k)] = true
		}
	}
	w := s.work(tx, c)
	w.inPool = true
	made = make([]bool, len(list))
	var open []matchRow
	var toPlace, joined []*match
	for i, m := range list {
		if slices.ContainsFunc(m.tickets, func(t *ticket) bool { return gone[t.key] }) {
			continue
		}
		o := &match{key: tx.NewKey(), teams: m.teams, metrics: m.metrics, hint: m.hint}
		for _, t := range m.tickets {
			t = t.clone()
			t.status = waiting[t.key]
			t.match = o.key
			o.tickets = append(o.tickets, t)
		}
		p, ok, err := w.propose(o)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			continue
		}
		made[i] = true
		switch first := o.tickets[0]; {
		case first.Status == lifecycle.RequiresAcceptance:
			open = append(open, matchRow{key: o.key, configuration: c.Key, deadline: new(p.Deadline.UnixMilli())})
		case first.Status == lifecycle.Placing:
			toPlace = append(toPlace, o)
		case o.next != "":
			joined = append(joined, o)
		}
	}
	if err := countWaits(tx, c.Key, w.touched); err != nil {
		return nil, nil, err
	}
	if err := insertMatches(tx, open); err != nil {
		return nil, nil, err
	}
	if err := w.place(toPlace, false); err != nil {
		return nil, nil, err
	}
	if err := w.searching(fresh, waiting); err != nil {
		return nil, nil, err
	}
	if err := w.save(); err != nil {
		return nil, nil, err
	}
	for _, o := range joined {
		if err := w.goOn(o); err != nil {
			return nil, nil, err
		}
	}
	return made, gone, nil
}

// propose makes one match. ok is false when its game session takes no players: then its
// backfill ticket has failed, and the others are as they were.
func (w *work) propose(o *match) (p *lifecycle.Proposal, ok bool, err error) {
	id := matchID(o.key)
	b := o.backfill()
	if b != nil && b.game != 0 && !w.rules.AcceptanceRequired {
		for _, t := range o.party() {
			for k := range t.Players {
				t.Players[k].Team = o.teams[t.Players[k].ID]
			}
		}
		if ok, err = w.join(o); err != nil {
			return nil, false, err
		}
		if !ok {
			b.MatchID = id
			w.touched = append(w.touched, b)
			return nil, false, w.emit(w.rules.PlacementFailed(proposal([]*ticket{b}), w.tx.Now))
		}
	}
	lives := make([]*lifecycle.Ticket, len(o.tickets))
	for i, t := range o.tickets {
		lives[i] = &t.Ticket
		if t.status == queued {
			if err := w.emit(w.rules.Search(&t.Ticket, w.tx.Now)); err != nil {
				return nil, false, err
			}
		}
	}
	w.metrics[id] = o.metrics
	if w.s.Config.LocationHint && w.c.Standalone {
		w.hints[id] = o.hint
	}
	p, events := w.rules.Propose(id, lives, o.teams, w.tx.Now)
	w.touched = append(w.touched, o.tickets...)
	return p, true, w.emit(events)
}

// searching takes fresh tickets that were not matched into the search.
func (w *work) searching(fresh []*ticket, waiting map[store.Key]status) error {
	var keys []int64
	for _, t := range fresh {
		st, is := waiting[t.key]
		if !is {
			continue
		}
		keys = append(keys, int64(t.key))
		if st == queued {
			c := t.clone()
			if err := w.emit(w.rules.Search(&c.Ticket, w.tx.Now)); err != nil {
				return err
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return seen(w.tx, keys)
}

// place starts the placements of matches whose tickets are PLACING. Those that cannot be
// placed at all fail. known says that the matches have their rows.
func (w *work) place(list []*match, known bool) error {
	if len(list) == 0 {
		return nil
	}
	rs, err := w.s.ruleSetTx(w.tx, w.c.RuleSetKey)
	if err != nil {
		return err
	}
	queue, err := w.queue()
	if err != nil {
		return err
	}
	rows := make([]matchRow, len(list))
	starts := make([]placement.Match, len(list))
	for i, m := range list {
		r := rosterOf(rs, m.tickets)
		rows[i] = matchRow{key: m.key, configuration: w.c.Key}
		auto := ""
		if w.goesOn(rs, r) {
			auto = w.automaticID()
			rows[i].backfill = &auto
		}
		starts[i] = w.placementOf(m, rs, r, auto)
		starts[i].Queue = queue
	}
	var refused []error
	if queue == "" {
		refused = slices.Repeat([]error{store.ErrNoRows}, len(list))
	} else if refused, err = w.s.Placements.StartTx(w.tx, starts); err != nil {
		return err
	}
	var fresh []matchRow
	for i, m := range list {
		switch {
		case refused[i] != nil:
			if err := w.emit(w.rules.PlacementFailed(proposal(m.tickets), w.tx.Now)); err != nil {
				return err
			}
			if err := deleteMatch(w.tx, m.key); err != nil {
				return err
			}
		case known:
			if err := placeMatch(w.tx, m.key, rows[i].backfill); err != nil {
				return err
			}
		default:
			fresh = append(fresh, rows[i])
		}
	}
	return insertMatches(w.tx, fresh)
}

// queue is the first of the configuration's queues that there is; "" when there is none.
func (w *work) queue() (string, error) {
	for _, text := range w.c.Queues {
		name, err := placement.ParseQueue("GameSessionQueueArns", text)
		if err != nil {
			continue
		}
		found, err := w.s.Placements.QueueExistsTx(w.tx, name)
		if err != nil || found {
			return name, err
		}
	}
	return "", nil
}

const automaticPrefix = "auto-backfill-"

func (w *work) automaticID() string { return automaticPrefix + w.tx.NewKey().UUID(store.Tail()) }

func (w *work) placementOf(m *match, rs *flexmatch.RuleSet, r roster, auto string) placement.Match {
	id := matchID(m.key)
	p := placement.Match{
		ID: id, Maximum: int32(rs.Slots()), Data: w.c.SessionData, Properties: w.c.Properties,
		Matchmaker: new(matchmakerData(id, w.s.resource(configurationKind, w.c.Name), rs, r, w.c.Backfill, auto)),
	}
	for _, t := range m.tickets {
		for _, pl := range t.wire {
			p.Players = append(p.Players, session.Seat{Player: *pl.PlayerId})
			for _, at := range sortedKeys(pl.LatencyInMs) {
				p.Latencies = append(p.Latencies, placement.Latency{Player: *pl.PlayerId, Location: at, Ms: float64(pl.LatencyInMs[at])})
			}
		}
	}
	return p
}

// Placed is told by the placement room what became of placements, in that very transaction.
func (s *Service) Placed(tx *store.Tx, list []placement.Outcome) error {
	slices.SortFunc(list, func(a, b placement.Outcome) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	for _, o := range list {
		key, ok := matchKey(o.ID)
		if !ok {
			continue
		}
		row, err := holdMatch(tx, key)
		if errors.Is(err, store.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.placedTx(tx, row, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) placedTx(tx *store.Tx, row matchRow, o placement.Outcome) error {
	m := match{key: row.key}
	var err error
	if m.tickets, err = holdMatchTickets(tx, row.key); err != nil {
		return err
	}
	c, err := s.configurationByKeyTx(tx, row.configuration)
	if err != nil {
		return err
	}
	if err := deleteMatch(tx, row.key); err != nil {
		return err
	}
	if len(m.tickets) == 0 {
		return nil
	}
	w := s.work(tx, c)
	w.touch(m.tickets...)
	p := proposal(m.tickets)
	switch o.Status {
	case types.GameSessionPlacementStateFulfilled:
		w.seated(&m, connection{Game: string(o.ARN), IP: o.IP, DNS: o.DNS, Port: o.Port}, o.Players)
		if m.game = o.Game; row.backfill != nil {
			m.next = *row.backfill
		}
		if err := w.emit(w.rules.Placed(p, tx.Now)); err != nil {
			return err
		}
		return w.finish(&m)
	case types.GameSessionPlacementStateTimedOut:
		err = w.backFromPlacing(w.rules.PlacementTimedOut(p, tx.Now))
	case types.GameSessionPlacementStateCancelled:
		err = w.emit(w.rules.PlacementCancelled(p, tx.Now))
	default:
		err = w.emit(w.rules.PlacementFailed(p, tx.Now))
	}
	if err != nil {
		return err
	}
	return w.save()
}

// seated notes where the players of a match go.
func (w *work) seated(m *match, to connection, sessions map[string]string) {
	id := matchID(m.key)
	w.connections[id], w.sessions[id] = &to, sessions
	for _, t := range m.party() {
		c := to
		for _, p := range t.Players {
			c.Sessions = append(c.Sessions, sessions[p.ID])
		}
		t.connection = &c
	}
	if b := m.backfill(); b != nil {
		b.connection = &connection{Game: to.Game, IP: to.IP, DNS: to.DNS, Port: to.Port}
	}
}
