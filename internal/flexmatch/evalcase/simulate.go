package evalcase

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
)

// Event is one event of a lifecycle case.
type Event struct {
	At         float64  `json:"at"`
	Type       string   `json:"type"`
	TicketID   string   `json:"ticketId,omitempty"` // of events about one ticket
	Tickets    []string `json:"tickets"`
	MatchID    string   `json:"matchId,omitempty"`
	Acceptance string   `json:"acceptance,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Message    string   `json:"message,omitempty"`
}

// Outcome is a ticket at the end of a case.
type Outcome struct {
	TicketID      string `json:"ticketId"`
	Status        string `json:"status"`
	StatusReason  string `json:"statusReason,omitempty"`
	StatusMessage string `json:"statusMessage,omitempty"`
}

// ActionError is an action that was refused.
type ActionError struct {
	At       float64 `json:"at"`
	Op       string  `json:"op"`
	TicketID string  `json:"ticketId"`
	Message  string  `json:"message"`
}

// world is the state of a running case.
type world struct {
	c         *Case
	out       *Output
	rules     lifecycle.Config
	pool      *flexmatch.Pool
	requests  map[string]*flexmatch.Ticket
	tickets   map[string]*lifecycle.Ticket
	proposals map[string]*lifecycle.Proposal // open ones, by match id
	made      map[string]Match               // matches that may still fail, by match id
	matches   int
	last      time.Time
}

// simulate runs a match or lifecycle case. At each instant, in this order: clocks that
// have run out, new tickets, actions, the matcher if it is due, and statuses are read.
func (c *Case) simulate(out *Output) error {
	rs, err := flexmatch.Parse(string(c.RuleSet))
	if err != nil {
		return err
	}
	w := world{
		c: c, out: out, requests: map[string]*flexmatch.Ticket{}, tickets: map[string]*lifecycle.Ticket{},
		proposals: map[string]*lifecycle.Proposal{}, made: map[string]Match{},
		pool: flexmatch.NewPool(rs, flexmatch.Options{
			PartyAsOne: c.Config.PartyAsOne, AnyLocation: c.Config.AnyLocation, Seed: c.Config.Seed,
			AdditionalPlayerCount: c.Config.AdditionalPlayerCount,
		}),
		rules: lifecycle.Config{
			AcceptanceRequired: c.Config.AcceptanceRequired, SilentSearchOn: c.Config.SilentSearchOn,
			AcceptanceTimeout: span(c.Config.AcceptanceTimeoutSeconds), RequestTimeout: span(c.Config.RequestTimeoutSeconds),
			Standalone: c.Config.FlexMatchMode == "STANDALONE",
		},
	}
	if w.rules.RequestTimeout == 0 {
		w.rules.RequestTimeout = math.MaxInt64
	}
	for at, ok := w.first(); ok; at, ok = w.after(at) {
		w.step(at)
	}
	w.finish()
	return nil
}

func span(s float64) time.Duration { return instant(s).Sub(instant(0)) }

// instants are the seconds at which something is written to happen.
func (w *world) instants() []float64 {
	all := slices.Clone(w.c.Now)
	for _, t := range w.c.Tickets {
		all = append(all, t.At)
	}
	for _, a := range w.c.Actions {
		all = append(all, a.At)
	}
	for _, s := range w.c.Expect.Statuses {
		all = append(all, s.At)
	}
	if w.unasked() && len(all) > 0 { // then every second is of interest
		for s := range min(int(slices.Max(all))+2, 1000) {
			all = append(all, float64(s))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unasked says a lifecycle case does not name the instants at which to read statuses.
func (w *world) unasked() bool {
	return w.c.Kind == "lifecycle" && len(w.c.Expect.Statuses) == 0
}

func (w *world) first() (time.Time, bool) {
	all := w.instants()
	if len(all) == 0 {
		return time.Time{}, false
	}
	w.last = instant(all[len(all)-1])
	return instant(all[0]), true
}

// after is the next instant: a written one, or a clock that runs out before the end.
func (w *world) after(now time.Time) (next time.Time, ok bool) {
	consider := func(at time.Time) {
		if at.After(now) && !at.After(w.last) && (!ok || at.Before(next)) {
			next, ok = at, true
		}
	}
	for _, s := range w.instants() {
		consider(instant(s))
	}
	for _, p := range w.proposals {
		consider(p.Deadline)
	}
	if w.c.Config.RequestTimeoutSeconds > 0 {
		for _, t := range w.tickets {
			if t.Waiting() {
				consider(t.Start.Add(w.rules.RequestTimeout))
			}
		}
	}
	return next, ok
}

func (w *world) step(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(w.proposals)) {
		if p := w.proposals[id]; !p.Deadline.After(now) {
			w.emit(w.rules.Expire(p, now))
			w.dropped(p)
		}
	}
	if w.c.Config.RequestTimeoutSeconds > 0 {
		for _, id := range slices.Sorted(maps.Keys(w.tickets)) {
			if t := w.tickets[id]; w.rules.Overdue(t, now) {
				w.emit(w.rules.TimeOut(t, now))
				w.pool.Remove(id)
			}
		}
	}
	for _, t := range w.c.Tickets {
		if instant(t.At).Equal(now) {
			w.start(t, now)
		}
	}
	for _, a := range w.c.Actions {
		if instant(a.At).Equal(now) {
			w.act(a, now)
		}
	}
	if slices.ContainsFunc(w.c.Now, func(s float64) bool { return instant(s).Equal(now) }) {
		w.match(now)
	}
	w.read(now)
}

// start makes a ticket; an older one with one of its players gives way (spec 2.9).
func (w *world) start(t Ticket, now time.Time) {
	request := &flexmatch.Ticket{ID: t.TicketID, Start: now, Backfill: t.Backfill}
	life := &lifecycle.Ticket{ID: t.TicketID, Start: now, Status: lifecycle.Queued, Backfill: t.Backfill}
	for _, p := range t.Players {
		request.Players = append(request.Players, p.wire())
		life.Players = append(life.Players, lifecycle.Player{ID: p.PlayerID, Team: p.Team})
	}
	for _, id := range slices.Sorted(maps.Keys(w.tickets)) {
		old := w.tickets[id]
		if old.Final() || !slices.ContainsFunc(old.Players, func(p lifecycle.Player) bool {
			return slices.ContainsFunc(life.Players, func(q lifecycle.Player) bool { return p.ID == q.ID })
		}) {
			continue
		}
		p := w.proposals[old.MatchID]
		w.emit(w.rules.Duplicate(old, p, now))
		w.pool.Remove(id)
		w.dropped(p)
	}
	w.requests[t.TicketID], w.tickets[t.TicketID] = request, life
	w.pool.Add(request)
}

func (w *world) act(a Action, now time.Time) {
	t, ok := w.tickets[a.TicketID]
	if !ok {
		w.refuse(a, fmt.Errorf("no ticket %q", a.TicketID))
		return
	}
	p := w.proposals[t.MatchID]
	switch a.Op {
	case "AcceptMatch":
		outcome, events, err := w.rules.Accept(p, t, a.PlayerIDs, a.Type == "ACCEPT", now)
		if err != nil {
			w.refuse(a, err)
			return
		}
		w.emit(events)
		switch outcome {
		case lifecycle.Accepted:
			delete(w.proposals, p.MatchID)
		case lifecycle.Dropped:
			w.dropped(p)
		case lifecycle.Open:
		}
	case "StopMatchmaking":
		events, err := w.rules.Stop(t, p, now)
		if err != nil {
			w.refuse(a, err)
			return
		}
		w.emit(events)
		w.pool.Remove(t.ID)
		w.dropped(p)
	default:
		w.refuse(a, fmt.Errorf("unknown op %q", a.Op))
	}
}

func (w *world) refuse(a Action, err error) {
	w.out.Errors = append(w.out.Errors, ActionError{At: a.At, Op: a.Op, TicketID: a.TicketID, Message: err.Error()})
}

// dropped forgets a proposal that came to nothing; who searches on is back in the pool.
func (w *world) dropped(p *lifecycle.Proposal) {
	if p == nil {
		return
	}
	delete(w.proposals, p.MatchID)
	delete(w.made, p.MatchID)
	for _, t := range p.Tickets {
		if t.Waiting() {
			w.pool.Add(w.requests[t.ID])
		}
	}
}

// match runs the matcher until it makes no further match.
func (w *world) match(now time.Time) {
	for _, t := range w.c.Tickets {
		if life := w.tickets[t.TicketID]; life != nil && life.Status == lifecycle.Queued {
			w.emit(w.rules.Search(life, now))
		}
	}
	for {
		made := w.pool.Pass(now)
		if len(made) == 0 {
			return
		}
		for _, m := range made {
			w.propose(m, now)
		}
	}
}

func (w *world) propose(m flexmatch.Match, now time.Time) {
	w.matches++
	id := fmt.Sprintf("match-%04d", w.matches)
	result := Match{At: seconds(now), Teams: map[string][]string{}}
	teams := map[string]string{}
	for _, t := range m.Teams {
		result.Teams[t.Name] = []string{}
		for _, p := range t.Players {
			result.Teams[t.Name] = append(result.Teams[t.Name], *p.PlayerId)
			teams[*p.PlayerId] = t.Name
		}
	}
	var tickets []*lifecycle.Ticket
	for _, t := range m.Tickets {
		result.Tickets = append(result.Tickets, t.ID)
		tickets = append(tickets, w.tickets[t.ID])
	}
	p, events := w.rules.Propose(id, tickets, teams, now)
	w.emit(events)
	w.made[id] = result
	if !p.Deadline.IsZero() {
		w.proposals[id] = p
		if end := p.Deadline.Add(time.Second); w.unasked() && end.After(w.last) {
			w.last = end // see the proposal through
		}
	}
}

func (w *world) emit(events []lifecycle.Event) {
	for _, e := range events {
		out := Event{
			At: seconds(e.At), Type: e.Type, MatchID: e.MatchID,
			Acceptance: e.Acceptance, Reason: e.Reason, Message: e.Message,
		}
		for _, t := range e.Tickets {
			out.Tickets = append(out.Tickets, t.ID)
		}
		switch e.Type {
		case lifecycle.MatchmakingSearching, lifecycle.MatchmakingTimedOut, lifecycle.MatchmakingCancelled:
			out.TicketID = out.Tickets[0]
		}
		w.out.Events = append(w.out.Events, out)
	}
}

// read notes all statuses: at the seconds the case asks about, or at every instant.
func (w *world) read(now time.Time) {
	asked := w.c.Expect.Statuses
	if w.c.Kind != "lifecycle" {
		return
	}
	if len(asked) > 0 && !slices.ContainsFunc(asked, func(s struct{ At float64 }) bool { return instant(s.At).Equal(now) }) {
		return
	}
	row := map[string]any{"at": seconds(now)}
	for id, t := range w.tickets {
		row[id] = string(t.Status)
	}
	w.out.Statuses = append(w.out.Statuses, row)
}

// maxWhy is how many of the unmatched tickets are explained.
const maxWhy = 20

// finish writes what stands at the end. A match that still waits for its players has
// not been made.
func (w *world) finish() {
	w.out.Why = map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(w.made)) {
		if _, open := w.proposals[id]; !open {
			w.out.Matches = append(w.out.Matches, w.made[id])
		}
	}
	slices.SortStableFunc(w.out.Matches, func(a, b Match) int { return cmp.Compare(a.At, b.At) })
	for _, t := range w.c.Tickets {
		life := w.tickets[t.TicketID]
		if life == nil {
			continue
		}
		if life.Waiting() {
			w.out.Unmatched = append(w.out.Unmatched, t.TicketID)
			if e, ok := w.pool.Explain(t.TicketID, w.last); ok && len(w.out.Why) < maxWhy {
				w.out.Why[t.TicketID] = e.String()
			}
		}
		if w.c.Kind == "lifecycle" {
			w.out.Tickets = append(w.out.Tickets, Outcome{
				TicketID: life.ID, Status: string(life.Status), StatusReason: life.Reason, StatusMessage: life.Message,
			})
		}
	}
	if w.c.Kind != "lifecycle" {
		w.out.Events = nil
	}
}
