package flexmatch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Measure is a rule's verdict on a roster in numbers: what was measured, and the limit
// it was held against. Texts stand for the numbers where strings were compared.
type Measure struct {
	Failed       bool
	Property     string // of the rule: the one that holds the limit
	Measured     float64
	MeasuredText string
	Operation    string // what measured should stand in to limit
	Limit        float64
	LimitText    string
	Location     string // of a latency rule
}

func (m Measure) String() string {
	show := func(n float64, text string) string {
		if text != "" {
			return text
		}
		return strconv.FormatFloat(n, 'g', 6, 64)
	}
	out := fmt.Sprintf("%s, should be %s %s", show(m.Measured, m.MeasuredText), m.Operation, show(m.Limit, m.LimitText))
	if m.Location != "" {
		out += " in " + m.Location
	}
	return out
}

// Explanation says why a ticket is not matched.
type Explanation struct {
	TicketID string
	// Never is set when the ticket itself can match nothing: why.
	Never string
	// Matchable says that a match with this ticket is possible now; it waits for the
	// next pass, or an older ticket has the first choice of its partners.
	Matchable bool
	// Candidate is the best candidate match found, this ticket first.
	Candidate []string
	// Rule is the rule that kept the candidate from being a match, and Measure its
	// numbers. Without a rule, Measure compares the players there are with the players
	// the teams need.
	Rule    string
	Measure Measure
	// Also are further rules the candidate breaks; empty when Rule alone stands in the way.
	Also []string
	// Relaxed is the value of Property with which the rule would have let the candidate
	// through, as a target and value an expansion could have; empty when no single value
	// would do.
	Relaxed Relaxation
	// Next is the first expansion step to come that lets this ticket match somebody who
	// waits today, when there is one.
	Next *NextStep
}

// Relaxation is a property of a rule or of teams, and a value for it.
type Relaxation struct {
	Target string
	Value  any
}

// NextStep is an expansion step that will help.
type NextStep struct {
	At   time.Time
	Wait time.Duration // the step's waitTimeSeconds
	// Changes are what the step relaxes.
	Changes []Relaxation
	// Candidate are the tickets that can match then.
	Candidate []string
}

// Explain says why a ticket of the pool is not matched at an instant. It searches the
// pool as a pass does, and again without the rules in turn; it changes nothing.
func (p *Pool) Explain(id string, now time.Time) (Explanation, bool) {
	if _, ok := p.rows[id]; !ok {
		return Explanation{}, false
	}
	p.tidy()
	row := p.rows[id] // where tidy may have moved it
	e := Explanation{TicketID: id, Never: p.never(row)}
	if e.Never != "" {
		return e, true
	}
	if m, ok := p.matchFor(row, now, nil); ok {
		e.Matchable, e.Candidate = true, names(m)
		return e, true
	}
	m := p.blame(&e, row, now)
	if m == nil {
		p.shortage(&e, row, now)
	}
	p.foresee(&e, row, m, now)
	return e, true
}

func names(m *Match) (ids []string) {
	for _, t := range m.Tickets {
		ids = append(ids, t.ID)
	}
	return ids
}

// never is what is wrong with the ticket itself, empty when nothing is.
func (p *Pool) never(row int32) string {
	if why := p.cols.broken[row]; why != "" {
		return why
	}
	largest := 0
	for _, l := range p.prog.levels {
		for _, n := range l.max {
			largest = max(largest, int(n))
		}
		largest = min(largest, l.cap)
	}
	if n := int(p.cols.players[row]); n > largest && !p.cols.session[row] {
		return fmt.Sprintf("the party has %d players, the largest team takes %d", n, largest)
	}
	return ""
}

// matchFor looks for a match around the ticket under the rule set without some rules.
func (p *Pool) matchFor(row int32, now time.Time, skip []int) (*Match, bool) {
	var rows []int32
	for _, r := range p.order {
		if p.cols.broken[r] == "" {
			rows = append(rows, r)
		}
	}
	q := p.without(skip)
	return q.matchAround(row, rows, q.focusOn(row, rows, now), now, p.closeness(skip))
}

// without is the pool under the rule set without some rules, for searches that leave it
// as it is. Its program and its memory are kept for the next time.
func (p *Pool) without(skip []int) *Pool {
	key := fmt.Sprint(skip)
	q := p.probes[key]
	if q == nil {
		q = &Pool{prog: compileWithout(p.rs, p.opts, p.cols.sym, skip)}
		if p.probes == nil {
			p.probes = map[string]*Pool{}
		}
		p.probes[key] = q
	}
	prog, search, tally := q.prog, q.search, q.tally
	*q = *p
	q.prog, q.search, q.tally, q.probes = prog, search, zeroed(tally, len(p.tally)), nil
	return q
}

// focusOn keeps of the rows those that could meet the ticket at some level, so that the
// index of a search around it alone stays small. What the whole pool decides about the
// search, its size and the levels in it, stays as it is.
func (p *Pool) focusOn(row int32, rows []int32, now time.Time) *focus {
	f := &focus{size: len(rows), present: make([]int, len(p.prog.levels)), reach: everywhere}
	for _, r := range rows {
		f.present[p.levelAt(r, now)]++
	}
	reach := func(r int32) (set places) {
		for _, col := range p.prog.shape.latencies {
			set = set.or(p.reachable(r, col))
		}
		return set
	}
	if p.prog.shape.byPlace {
		f.reach = reach(row)
	}
	col, lo, hi := p.prog.shape.window, math.Inf(-1), math.Inf(1)
	if col >= 0 {
		d := 0.0
		for _, lv := range p.prog.levels {
			d = max(d, lv.distance(col))
		}
		own := p.cols.ticketNumber(col, row, average)
		lo, hi = own-d, own+d
	}
	key, whole := p.equalKey(row)
	for _, r := range rows {
		if r != row {
			if k, ok := p.equalKey(r); !whole || !ok || k != key {
				continue
			}
			if col >= 0 {
				if v := p.cols.ticketNumber(col, r, average); v < lo || v > hi {
					continue
				}
			}
			if p.prog.shape.byPlace && f.reach.and(reach(r)).empty() {
				continue
			}
		}
		f.rows = append(f.rows, r)
	}
	return f
}

// matchAround looks for a match around the ticket among the rows, or those in focus.
func (p *Pool) matchAround(row int32, rows []int32, f *focus, now time.Time, closest int) (*Match, bool) {
	if f != nil {
		rows = f.rows
	}
	if col := p.prog.shape.window; col >= 0 && col != p.cols.prog.shape.window {
		nums := func(r int32) float64 { return p.cols.ticketNumber(col, r, average) }
		p.byValue = slices.Clone(rows)
		slices.SortStableFunc(p.byValue, func(a, b int32) int { return cmpFloat(nums(a), nums(b)) })
	}
	s := p.searcher(rows, f, now)
	s.closest, s.most = closest, explainTries
	rank := int32(slices.Index(rows, row))
	var found bool
	if p.rs.Large() {
		found = s.largeAnchor(rank)
	} else {
		found = s.anchor(rank)
	}
	if !found {
		return nil, false
	}
	m := s.match()
	m.roster, m.level = p.rosterOf(s), s.best.level
	return &m, true
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// closeness is the number by which partners should be near when the one rule left out
// is about a distance, -1 otherwise.
func (p *Pool) closeness(skip []int) int {
	if len(skip) != 1 {
		return -1
	}
	c := &compiler{rs: p.rs, opts: p.opts, prog: p.prog}
	if w, ok := c.window(p.rs.Rules[skip[0]].spec); ok {
		return w.col
	}
	return -1
}

// rosterOf is the roster of the best match of a search.
func (p *Pool) rosterOf(s *search) *roster {
	r := newRoster(p.cols, len(p.rs.teams))
	lv := s.p.prog.levels[s.best.level]
	r.max, r.cap = lv.max, lv.cap
	for i, u := range s.best.units {
		r.push(u, s.best.teams[i])
	}
	return r
}

// blame finds a candidate that one rule alone keeps from being a match: of several, the
// one nearest to its limit. When no rule stands alone, all are left out, and the first
// the candidate breaks is named. It returns that candidate, nil when there is none.
func (p *Pool) blame(e *Explanation, row int32, now time.Time) *Match {
	var best *Match
	nearest := math.Inf(1)
	enforced := p.prog.levels[0].enforced
	for _, i := range enforced[:min(len(enforced), maxBlamed)] {
		m, ok := p.matchFor(row, now, []int{i})
		if !ok {
			continue
		}
		measure := p.prog.levels[m.level].rules[i].measure(m.roster)
		off := math.Abs(measure.Measured-measure.Limit) / max(1, math.Abs(measure.Limit))
		if best == nil || off < nearest {
			best, nearest = m, off
			e.Rule, e.Measure, e.Candidate = p.rs.Rules[i].Name, measure, names(m)
			e.Relaxed = relaxation(e.Rule, measure)
		}
	}
	if best != nil {
		return best
	}
	m, ok := p.matchFor(row, now, p.prog.levels[0].enforced)
	if !ok {
		return nil
	}
	e.Candidate = names(m)
	for _, i := range p.prog.levels[0].enforced {
		measure := p.prog.levels[m.level].rules[i].measure(m.roster)
		switch {
		case p.prog.levels[m.level].rules[i].check(m.roster):
		case e.Rule == "":
			e.Rule, e.Measure = p.rs.Rules[i].Name, measure
		default:
			e.Also = append(e.Also, p.rs.Rules[i].Name)
		}
	}
	return m
}

// explainTries bounds each of the searches of an explanation.
const explainTries = 5_000

// maxBlamed is how many rules are left out one by one.
const maxBlamed = 24

// relaxation is the value that would have let the measured figure through.
func relaxation(rule string, m Measure) Relaxation {
	if m.Property == "" || m.MeasuredText != "" || m.Operation == "!=" || m.Operation == "<" || m.Operation == ">" {
		return Relaxation{}
	}
	return Relaxation{Target: fmt.Sprintf("rules[%s].%s", rule, m.Property), Value: m.Measured}
}

// shortage explains a ticket for which even without any rule there are too few players.
func (p *Pool) shortage(e *Explanation, row int32, now time.Time) {
	own := p.rs.levelOf(now.Sub(p.cols.tickets[row].Start))
	joint, players := own, 0 // the level of a candidate of all of them
	for _, r := range p.order {
		if p.never(r) != "" || (r != row && p.cols.session[r]) {
			continue
		}
		players += int(p.cols.players[r])
		if l := p.rs.levelOf(now.Sub(p.cols.tickets[r].Start)); (l < joint) == p.prog.newest {
			joint = l
		}
	}
	need := p.prog.levels[own].need
	if players >= need {
		need = p.prog.levels[joint].need
	}
	e.Candidate = []string{e.TicketID}
	e.Measure = Measure{Failed: true, Property: "minPlayers", Measured: float64(players), Operation: ">=", Limit: float64(need)}
	if players >= need {
		e.Measure.Property, e.Measure.MeasuredText = "", "the parties there are do not add up to the teams"
		return
	}
	e.Relaxed = Relaxation{Target: "teams[" + p.teamNames() + "].minPlayers", Value: math.Floor(float64(players) / float64(len(p.rs.teams)))}
}

func (p *Pool) teamNames() string {
	var all []string
	for _, t := range p.rs.Teams {
		all = append(all, t.Name)
	}
	return strings.Join(all, ", ")
}

// maxForeseen is how many instants to come Explain looks at.
const maxForeseen = 24

// foresee looks for the first expansion step after which the ticket matches, if nobody
// came or left.
func (p *Pool) foresee(e *Explanation, row int32, m *Match, now time.Time) {
	starts := []time.Time{p.cols.tickets[row].Start}
	if m != nil {
		for _, t := range m.Tickets {
			starts = append(starts, t.Start)
		}
	}
	var instants []time.Time
	for _, start := range starts {
		for _, wait := range p.rs.steps {
			if at := start.Add(wait); at.After(now) {
				instants = append(instants, at)
			}
		}
	}
	slices.SortFunc(instants, time.Time.Compare)
	instants = slices.CompactFunc(instants, time.Time.Equal)
	for _, at := range instants[:min(len(instants), maxForeseen)] {
		then, ok := p.matchFor(row, at, nil)
		if !ok {
			continue
		}
		next := &NextStep{At: at, Candidate: names(then)}
		if then.level > 0 {
			next.Wait = p.rs.steps[then.level-1]
			next.Changes = p.rs.changes(next.Wait)
		}
		e.Next = next
		return
	}
}

// changes are what the steps of a waiting time relax.
func (rs *RuleSet) changes(wait time.Duration) (out []Relaxation) {
	for _, x := range rs.Expansions {
		for _, s := range x.Steps {
			if s.Wait == wait {
				out = append(out, Relaxation{Target: x.Target, Value: s.Value})
			}
		}
	}
	return out
}

// String is the explanation in a sentence or two.
func (e Explanation) String() string {
	switch {
	case e.Never != "":
		return e.TicketID + " can never match: " + e.Never
	case e.Matchable:
		return fmt.Sprintf("%s can match now with %s", e.TicketID, strings.Join(e.Candidate, ", "))
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s: nearest candidate %s", e.TicketID, strings.Join(e.Candidate, ", "))
	if e.Rule != "" {
		fmt.Fprintf(&out, " fails %s (%s)", e.Rule, e.Measure)
	} else {
		fmt.Fprintf(&out, " has too few players (%s)", e.Measure)
	}
	if len(e.Also) > 0 {
		fmt.Fprintf(&out, " and %s", strings.Join(e.Also, ", "))
	}
	if e.Relaxed.Target != "" {
		fmt.Fprintf(&out, "; %s of %v would do", e.Relaxed.Target, e.Relaxed.Value)
	}
	if e.Next != nil {
		fmt.Fprintf(&out, "; it matches %s at %s", strings.Join(e.Next.Candidate, ", "), e.Next.At.UTC().Format(time.RFC3339))
		for _, c := range e.Next.Changes {
			fmt.Fprintf(&out, ", when %s becomes %v", c.Target, c.Value)
		}
	}
	return out.String()
}
