package sim

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
)

// Rules is a rule set with its text and a name for the report.
type Rules struct {
	Name string
	Set  *flexmatch.RuleSet
	body []byte
}

// ParseRules reads a rule set; its error is flexmatch.Findings. label names it in the
// report.
func ParseRules(label string, body []byte) (*Rules, error) {
	set, err := flexmatch.Parse(string(body))
	if err != nil {
		return nil, err
	}
	return &Rules{Name: label, Set: set, body: body}, nil
}

// skill is the attribute that quality is measured by when nobody names one: skill, or
// the first number.
func (r *Rules) skill() string {
	first := ""
	for _, a := range r.Set.Attributes {
		switch {
		case a.Type != flexmatch.Number:
		case a.Name == "skill":
			return a.Name
		case first == "":
			first = a.Name
		}
	}
	return first
}

// Matcher finds matches among tickets: the engine's pool, or what it is compared with.
type Matcher interface {
	Add(t *flexmatch.Ticket)
	Remove(id string) bool
	Pass(now time.Time) []flexmatch.Match
}

// Options are what Play plays.
type Options struct {
	Rules  *Rules
	Stream *Stream
	// Label names the run in the report; empty means the name of the rules.
	Label string
	// Greedy plays the oldest-first baseline instead of the engine.
	Greedy bool
	// Seed is the engine's; the stream was drawn before.
	Seed uint64
	// Skill is the number attribute quality is measured by; empty means skill, or the rule
	// set's first number.
	Skill string
	// Explain is how many of the tickets that end unmatched are explained, spread over the
	// stream: 0 means 240, below 0 none.
	Explain int
	// Progress hears how much of the stream has been played, 0 to 1, some hundred times.
	Progress func(done float64)
	// Check, in tests, sees every match before it is proposed.
	Check func(m flexmatch.Match, now time.Time)
}

// slots is about how many stretches of time a report has.
const slots = 90

// Play runs a stream through a matcher. It ends with the stream: tickets that wait then
// are counted as waiting.
func Play(ctx context.Context, o Options) (*Result, error) {
	p, err := newPlay(o)
	if err != nil {
		return nil, err
	}
	step := o.Stream.Matchmaker.pass()
	told := time.Duration(-1)
	for now := step; now <= o.Stream.Length+step-1; now += step {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now = min(now, o.Stream.Length)
		p.until(now)
		p.pass(now)
		p.sample(now)
		if o.Progress != nil && now-told > o.Stream.Length/200 {
			told = now
			o.Progress(float64(now) / float64(o.Stream.Length))
		}
	}
	if o.Progress != nil {
		o.Progress(1)
	}
	return p.finish(), nil
}

// play is the state of a running stream. Times are since its beginning.
type play struct {
	o       Options
	life    lifecycle.Config
	matcher Matcher
	engine  *flexmatch.Pool // nil when something else matches
	tickets []guest
	byID    map[string]int32
	holders map[string]int32 // of players: the last ticket they came with
	next    int              // the first ticket that has not come
	coming  agenda
	waiting int
	result  *Result

	explained []int // by slot
}

// guest is a ticket of the stream while it is played.
type guest struct {
	request   *flexmatch.Ticket
	life      *lifecycle.Ticket
	open      *proposal // the proposal it is in
	proposals int
}

type proposal struct {
	life   *lifecycle.Proposal
	match  madeMatch
	closed bool
}

func newPlay(o Options) (*play, error) {
	if o.Skill == "" {
		o.Skill = o.Rules.skill()
	}
	m := o.Stream.Matchmaker
	p := &play{
		o: o, byID: map[string]int32{}, holders: map[string]int32{}, tickets: make([]guest, len(o.Stream.Tickets)),
		life: lifecycle.Config{
			AcceptanceRequired: m.AcceptanceRequired, AcceptanceTimeout: m.acceptanceTimeout(),
			RequestTimeout: m.requestTimeout(), Standalone: true,
		},
		result: newResult(o),
	}
	p.explained = make([]int, len(p.result.slots))
	for i, t := range o.Stream.Tickets {
		if o.Greedy && t.Backfill {
			return nil, fmt.Errorf("ticket %s: the greedy matcher knows no backfill", t.ID)
		}
		p.byID[t.ID] = int32(i)
		if err := o.Rules.Set.CheckAttributes(t.request().Players); err != nil {
			return nil, fmt.Errorf("ticket %s: %w", t.ID, err)
		}
	}
	if o.Greedy {
		g, err := NewGreedy(o.Rules, o.Skill, m.AdditionalPlayerCount)
		if err != nil {
			return nil, err
		}
		p.matcher = g
		return p, nil
	}
	p.engine = flexmatch.NewPool(o.Rules.Set, flexmatch.Options{Seed: o.Seed, AdditionalPlayerCount: m.AdditionalPlayerCount})
	p.matcher = p.engine
	return p, nil
}

// until plays everything up to an instant: what was due before who comes at the same time.
func (p *play) until(now time.Duration) {
	for {
		due := len(p.coming.list) > 0 && p.coming.list[0].at <= now
		arrives := p.next < len(p.tickets) && span(p.o.Stream.Tickets[p.next].At) <= now
		switch {
		case due && (!arrives || p.coming.list[0].at <= span(p.o.Stream.Tickets[p.next].At)):
			d := heap.Pop(&p.coming).(duty)
			d.do(d.at)
		case arrives:
			p.arrive(int32(p.next), span(p.o.Stream.Tickets[p.next].At))
			p.next++
		default:
			return
		}
	}
}

func (p *play) arrive(i int32, now time.Duration) {
	t := &p.o.Stream.Tickets[i]
	life := &lifecycle.Ticket{ID: t.ID, Start: instant(now), Status: lifecycle.Queued, Backfill: t.Backfill}
	for _, pl := range t.Players {
		life.Players = append(life.Players, lifecycle.Player{ID: pl.ID, Team: pl.Team})
		if old, ok := p.holders[pl.ID]; ok {
			p.replace(old, now)
		}
		p.holders[pl.ID] = i
	}
	g := &p.tickets[i]
	g.request, g.life = t.request(), life
	p.life.Search(life, instant(now))
	p.enter(i)
	p.later(now+p.life.RequestTimeout, func(at time.Duration) { p.timeOut(i, at) })
	if t.LeaveAfter > 0 {
		p.later(now+span(t.LeaveAfter), func(at time.Duration) { p.leave(i, at) })
	}
}

func (p *play) enter(i int32) {
	p.matcher.Add(p.tickets[i].request)
	p.waiting++
}

func (p *play) exit(i int32) {
	if p.matcher.Remove(p.tickets[i].life.ID) {
		p.waiting--
	}
}

// replace ends a ticket one of whose players has come again (spec 2.9).
func (p *play) replace(i int32, now time.Duration) {
	g := &p.tickets[i]
	if g.life == nil || g.life.Final() {
		return
	}
	open := g.open
	p.exit(i)
	p.life.Duplicate(g.life, g.openLife(), instant(now))
	p.end(i, Replaced, now)
	p.dropped(open, now)
}

func (p *play) timeOut(i int32, now time.Duration) {
	g := &p.tickets[i]
	if g.life == nil || !p.life.Overdue(g.life, instant(now)) {
		return
	}
	p.unmatched(i, now)
	p.exit(i)
	p.life.TimeOut(g.life, instant(now))
	p.end(i, TimedOut, now)
}

func (p *play) leave(i int32, now time.Duration) {
	g := &p.tickets[i]
	if g.life == nil || g.life.Final() {
		return
	}
	if g.life.Waiting() {
		p.unmatched(i, now)
	}
	open := g.open
	if _, err := p.life.Stop(g.life, g.openLife(), instant(now)); err != nil {
		return // it is too late to leave
	}
	p.exit(i)
	p.end(i, Left, now)
	p.dropped(open, now)
}

func (g *guest) openLife() *lifecycle.Proposal {
	if g.open == nil {
		return nil
	}
	return g.open.life
}

// pass runs the matcher and proposes what it finds.
func (p *play) pass(now time.Duration) {
	if p.waiting == 0 {
		return
	}
	for _, m := range p.matcher.Pass(instant(now)) {
		if p.o.Check != nil {
			p.o.Check(m, instant(now))
		}
		p.propose(m, now)
	}
}

func (p *play) propose(m flexmatch.Match, now time.Duration) {
	p.result.proposals++
	p.result.count(m.Metrics)
	open := &proposal{match: p.measure(m)}
	teams := map[string]string{}
	for _, t := range m.Teams {
		for _, pl := range t.Players {
			teams[*pl.PlayerId] = t.Name
		}
	}
	tickets := make([]*lifecycle.Ticket, len(m.Tickets))
	for k, t := range m.Tickets {
		i := p.byID[t.ID]
		open.match.tickets = append(open.match.tickets, i)
		p.tickets[i].open = open
		p.tickets[i].proposals++
		tickets[k] = p.tickets[i].life
		p.waiting--
	}
	open.life, _ = p.life.Propose(fmt.Sprintf("m-%07d", p.result.proposals), tickets, teams, instant(now))
	if !p.life.AcceptanceRequired {
		p.made(open, now)
		return
	}
	for _, i := range open.match.tickets {
		p.ask(i, open, now)
	}
	p.later(now+p.life.AcceptanceTimeout, func(at time.Duration) {
		if !open.closed {
			p.life.Expire(open.life, instant(at))
			p.dropped(open, at)
		}
	})
}

// ask lets a ticket's players answer a proposal in their time.
func (p *play) ask(i int32, open *proposal, now time.Duration) {
	g, t := &p.tickets[i], &p.o.Stream.Tickets[i]
	answer := cmp.Or(t.Answer, &Answer{})
	refuses := g.proposals == answer.Refuses
	if t.Backfill || (refuses && answer.Silent) {
		return
	}
	p.later(now+span(answer.AfterSeconds), func(at time.Duration) {
		if open.closed {
			return
		}
		players := make([]string, len(t.Players))
		for k := range t.Players {
			players[k] = t.Players[k].ID
		}
		outcome, _, err := p.life.Accept(open.life, g.life, players, !refuses, instant(at))
		switch {
		case err != nil:
			panic(err) // an open proposal takes answers
		case outcome == lifecycle.Accepted:
			p.made(open, at)
		case outcome == lifecycle.Dropped:
			p.dropped(open, at)
		}
	})
}

// made notes a match that all have accepted.
func (p *play) made(open *proposal, now time.Duration) {
	open.closed = true
	open.match.at = now
	p.result.matches = append(p.result.matches, open.match)
	for _, i := range open.match.tickets {
		p.end(i, Matched, now)
	}
}

// dropped ends a proposal that came to nothing; who searches on goes back to the pool.
func (p *play) dropped(open *proposal, now time.Duration) {
	if open == nil || open.closed {
		return
	}
	open.closed = true
	p.result.dropped++
	for _, i := range open.match.tickets {
		g := &p.tickets[i]
		g.open = nil
		switch {
		case g.life == nil: // it has had its end
		case g.life.Status == lifecycle.TimedOut:
			p.end(i, TimedOut, now)
		case g.life.Reason == lifecycle.ReasonAcceptanceRejected:
			p.end(i, Declined, now)
		case g.life.Final():
			p.end(i, Silent, now)
		default:
			p.enter(i)
		}
	}
}

// unmatched asks why a ticket that ends now found no match, of a part of them.
func (p *play) unmatched(i int32, now time.Duration) {
	p.result.unmatched++
	if p.engine == nil {
		return
	}
	id := p.tickets[i].life.ID
	p.result.count(p.engine.Metrics(id))
	slot := p.result.slot(now)
	budget := max(0, cmp.Or(p.o.Explain, 240))
	if p.explained[slot]*len(p.explained) >= budget {
		return
	}
	p.explained[slot]++
	if e, ok := p.engine.Explain(id, instant(now)); ok {
		p.result.explain(e, p.o.Stream.Tickets[i].At)
	}
}

func (p *play) end(i int32, how Outcome, now time.Duration) {
	p.result.end(i, how, now)
	p.tickets[i] = guest{} // what comes for it later finds nobody
}

func (p *play) sample(now time.Duration) {
	s := &p.result.slots[p.result.slot(now)]
	s.samples++
	s.waiting += p.waiting
	s.most = max(s.most, p.waiting)
}

func (p *play) finish() *Result {
	for i := range p.tickets[:p.next] {
		if p.tickets[i].life != nil {
			p.result.end(int32(i), Waiting, p.o.Stream.Length)
		}
	}
	return p.result
}

// later does something at an instant, after what was planned for it before.
func (p *play) later(at time.Duration, do func(at time.Duration)) {
	p.coming.planned++
	heap.Push(&p.coming, duty{at, p.coming.planned, do})
}

// agenda is what is to come, the next first.
type agenda struct {
	list    []duty
	planned int
}

type duty struct {
	at    time.Duration
	order int
	do    func(at time.Duration)
}

func (a *agenda) Len() int { return len(a.list) }
func (a *agenda) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(a.list[i].at, a.list[j].at), cmp.Compare(a.list[i].order, a.list[j].order)) < 0
}
func (a *agenda) Swap(i, j int) { a.list[i], a.list[j] = a.list[j], a.list[i] }
func (a *agenda) Push(x any)    { a.list = append(a.list, x.(duty)) }
func (a *agenda) Pop() any {
	last := a.list[len(a.list)-1]
	a.list[len(a.list)-1] = duty{}
	a.list = slices.Delete(a.list, len(a.list)-1, len(a.list))
	return last
}

// document is the rule set as plain JSON.
func (r *Rules) document() (map[string]any, error) {
	var doc map[string]any
	if err := json.Unmarshal(r.body, &doc); err != nil {
		return nil, errors.New("the rule set is no JSON object")
	}
	return doc, nil
}
