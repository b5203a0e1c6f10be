package sim

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/flexmatch"
)

// Greedy is what the engine is compared with: the matcher one would write first, written
// with care. The oldest ticket looks through all others, oldest first, and takes who fits;
// where that leads nowhere it goes back a few steps. Teams are filled evenly, largest party
// first, and evened out by swaps. Its matches keep every rule, expansions included. It
// follows sort rules on numbers, and knows no backfill. No player may be in two tickets of
// the pool.
type Greedy struct {
	rules  *Rules
	levels []level
	sorts  []sortRule
	skill  string
	large  bool
	order  []*facts
	byID   map[string]*facts
	// locations number the names players have reported.
	locations map[string]int
}

type sortRule struct {
	attribute string
	distance  bool
	sign      float64
	aggregate int
}

// NewGreedy makes an empty pool. skill is the number by which teams are evened out; empty
// means not at all.
func NewGreedy(r *Rules, skill string, additional int) (*Greedy, error) {
	levels, err := r.levels(additional)
	if err != nil {
		return nil, err
	}
	for _, l := range levels[1:] {
		if len(l.quick) != len(levels[0].quick) {
			return nil, errors.New("the greedy matcher cannot follow an expansion that changes what a rule compares")
		}
	}
	g := &Greedy{rules: r, levels: levels, skill: skill, large: r.Set.Large(), byID: map[string]*facts{}, locations: map[string]int{}}
	doc, err := r.document()
	if err != nil {
		return nil, err
	}
	for _, spec := range entries(doc["rules"]) {
		kind := fmt.Sprint(spec["type"])
		if kind != "distanceSort" && kind != "absoluteSort" {
			continue
		}
		s := sortRule{attribute: fmt.Sprint(spec["sortAttribute"]), distance: kind == "distanceSort", sign: 1, aggregate: aggregateOf(fmt.Sprint(spec["partyAggregation"]))}
		if spec["sortDirection"] == "descending" {
			s.sign = -1
		}
		g.sorts = append(g.sorts, s)
	}
	return g, nil
}

// Add puts a ticket into the pool.
func (g *Greedy) Add(t *flexmatch.Ticket) {
	f := factsOf(g.rules.Set, t)
	for _, name := range sortedKeys(f.latency) {
		if _, known := g.locations[name]; !known {
			g.locations[name] = len(g.locations)
		}
	}
	for aggregate := range f.near {
		f.near[aggregate] = slices.Repeat([]float64{math.MaxFloat64}, len(g.locations))
		for name, ms := range f.latency {
			f.near[aggregate][g.locations[name]] = ms[aggregate]
		}
	}
	g.byID[t.ID] = f
	if f.usable {
		g.order = append(g.order, f)
	}
}

// Remove takes a ticket out; false when it is not there.
func (g *Greedy) Remove(id string) bool {
	f, ok := g.byID[id]
	if ok {
		delete(g.byID, id)
		g.order = slices.DeleteFunc(g.order, func(o *facts) bool { return o == f })
	}
	return ok
}

// Pass makes matches around each ticket in turn, the oldest first, and takes them out.
func (g *Greedy) Pass(now time.Time) []flexmatch.Match {
	slices.SortStableFunc(g.order, func(a, b *facts) int {
		return cmp.Or(a.t.Start.Compare(b.t.Start), cmp.Compare(a.t.ID, b.t.ID))
	})
	var made []flexmatch.Match
	for _, anchor := range slices.Clone(g.order) {
		if g.byID[anchor.t.ID] != anchor {
			continue
		}
		b := builder{g: g, now: now, tries: backSteps, looks: 40 * len(g.order)}
		if !b.start(anchor) {
			continue
		}
		m := flexmatch.Match{}
		for _, f := range b.chosen {
			m.Tickets = append(m.Tickets, f.t)
			g.Remove(f.t.ID)
		}
		for i, name := range g.rules.Set.TeamNames() {
			team := flexmatch.MatchTeam{Name: name}
			for _, s := range b.made[i] {
				team.Players = append(team.Players, s.f.t.Players[s.player])
			}
			m.Teams = append(m.Teams, team)
		}
		made = append(made, m)
	}
	return made
}

// backSteps is how many dead ends a search around one ticket may meet.
const backSteps = 24

// builder builds one match around an anchor.
type builder struct {
	g      *Greedy
	now    time.Time
	others []*facts
	chosen []*facts
	steps  []step // what the chosen up to each come to
	tries  int
	looks  int
	made   teams
}

// step is what some tickets come to: their players, the start by which their expansions
// count, and the figures of the quick limits.
type step struct {
	total int
	start int64
	of    []tally
}

// start builds a match, false when there is none.
func (b *builder) start(anchor *facts) bool {
	empty := step{start: anchor.start, of: make([]tally, len(b.g.levels[0].quick))}
	if !b.fits(empty, anchor) {
		return false
	}
	b.push(empty, anchor)
	reach := b.last().total
	for _, f := range b.g.order {
		if f != anchor && b.fits(b.last(), f) {
			b.others = append(b.others, f)
			reach += len(f.t.Players)
		}
	}
	least := math.MaxInt
	for i := range b.g.levels {
		least = min(least, b.g.levels[i].need)
	}
	if reach < least {
		return false
	}
	for _, s := range slices.Backward(b.g.sorts) {
		of := func(f *facts) float64 {
			v := f.numbers[s.attribute][s.aggregate]
			if s.distance {
				v = math.Abs(v - anchor.numbers[s.attribute][s.aggregate])
			}
			return s.sign * v
		}
		slices.SortStableFunc(b.others, func(x, y *facts) int { return cmp.Compare(of(x), of(y)) })
	}
	return b.fill(0)
}

func (b *builder) last() step { return b.steps[len(b.steps)-1] }

func (b *builder) push(from step, f *facts) {
	next := step{total: from.total + len(f.t.Players), start: b.edge(from.start, f.start), of: make([]tally, len(from.of))}
	for i := range from.of {
		next.of[i] = b.g.levels[0].quick[i].add(from.of[i], f, len(b.chosen) == 0)
	}
	b.chosen, b.steps = append(b.chosen, f), append(b.steps, next)
}

// fill takes everyone who fits from a place on, and goes back where that fails.
func (b *builder) fill(from int) bool {
	s := b.last()
	l := b.level(s.start)
	if s.total == l.cap {
		return b.settle(l)
	}
	for i := from; i < len(b.others) && b.tries > 0 && b.looks > 0; i++ {
		b.looks--
		if !b.fits(s, b.others[i]) {
			continue
		}
		b.push(s, b.others[i])
		if b.fill(i + 1) {
			return true
		}
		b.chosen, b.steps = b.chosen[:len(b.chosen)-1], b.steps[:len(b.steps)-1]
	}
	if s.total >= l.need && b.settle(l) {
		return true
	}
	if b.tries--; b.g.large && s.total < l.need {
		b.tries = 0 // a few tickets more or less make no large match
	}
	return false
}

// edge is the start by which expansions count: of the newest or the oldest ticket.
func (b *builder) edge(x, y int64) int64 {
	if b.g.levels[0].newest {
		return max(x, y)
	}
	return min(x, y)
}

// level is the stage of the expansions for tickets with such a start.
func (b *builder) level(start int64) *level {
	age := time.Duration(b.now.UnixNano() - start)
	out := &b.g.levels[0]
	for i := range b.g.levels[1:] {
		if age >= b.g.levels[i+1].wait {
			out = &b.g.levels[i+1]
		}
	}
	return out
}

// fits says whether the chosen, with one more, could still become a match as far as
// limits between tickets and the size of teams go.
func (b *builder) fits(s step, f *facts) bool {
	l := b.level(b.edge(s.start, f.start))
	if s.total+len(f.t.Players) > l.cap {
		return false
	}
	for i, q := range l.quick {
		if !q.holds(s.of[i], f, s.total == 0) {
			return false
		}
	}
	return b.g.large || pack(append(slices.Clip(b.chosen), f), l) != nil
}

// pack puts tickets into teams, the largest first, each into the emptiest team that has
// room; it goes back where that fails. nil when nothing was found.
func pack(tickets []*facts, l *level) []int {
	order := make([]int, len(tickets))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(tickets[b].t.Players) - len(tickets[a].t.Players) })
	team, size := make([]int, len(tickets)), make([]int, len(l.max))
	nodes := 400
	var place func(k int) bool
	place = func(k int) bool {
		if k == len(order) {
			return true
		}
		n := len(tickets[order[k]].t.Players)
		var tried []int
		for {
			best := -1
			for i := range size {
				if size[i]+n > l.max[i] || slices.Contains(tried, i) {
					continue
				}
				if best < 0 || emptier(i, best, size, l) {
					best = i
				}
			}
			if nodes--; best < 0 || nodes < 0 {
				return false
			}
			tried = append(tried, best)
			size[best] += n
			team[order[k]] = best
			if place(k + 1) {
				return true
			}
			size[best] -= n
		}
	}
	if !place(0) {
		return nil
	}
	return team
}

// emptier prefers teams below their minimum, then those with most open slots.
func emptier(i, j int, size []int, l *level) bool {
	if x, y := size[i] < l.min[i], size[j] < l.min[j]; x != y {
		return x
	}
	return l.max[i]-size[i] > l.max[j]-size[j]
}

// settle finds teams for the chosen under which every rule holds.
func (b *builder) settle(l *level) bool {
	team := pack(b.chosen, l)
	if team == nil {
		return false
	}
	b.even(team)
	if b.legal(team, l) {
		return true
	}
	for i := range team {
		for j := range team[:i] {
			if team[i] == team[j] || len(b.chosen[i].t.Players) != len(b.chosen[j].t.Players) {
				continue
			}
			team[i], team[j] = team[j], team[i]
			if b.legal(team, l) {
				return true
			}
			team[i], team[j] = team[j], team[i]
		}
		if i > 40 {
			break // in large matches teams are not in the rules
		}
	}
	return false
}

// even swaps parties of the same size while that brings the teams' means together.
func (b *builder) even(team []int) {
	if b.g.skill == "" {
		return
	}
	sums, sizes := make([]float64, len(b.g.levels[0].max)), make([]float64, len(b.g.levels[0].max))
	of := func(i int) float64 {
		return b.chosen[i].numbers[b.g.skill][byAverage] * float64(len(b.chosen[i].t.Players))
	}
	for i, t := range team {
		sums[t] += of(i)
		sizes[t] += float64(len(b.chosen[i].t.Players))
	}
	apart := func() float64 {
		low, high := math.Inf(1), math.Inf(-1)
		for t := range sums {
			if sizes[t] > 0 {
				low, high = min(low, sums[t]/sizes[t]), max(high, sums[t]/sizes[t])
			}
		}
		return high - low
	}
	for range 2 * len(team) {
		best, bi, bj := apart(), -1, -1
		for i := range team {
			for j := range team[:i] {
				if team[i] == team[j] || len(b.chosen[i].t.Players) != len(b.chosen[j].t.Players) {
					continue
				}
				d := of(i) - of(j)
				sums[team[i]], sums[team[j]] = sums[team[i]]-d, sums[team[j]]+d
				if a := apart(); a < best-tolerance {
					best, bi, bj = a, i, j
				}
				sums[team[i]], sums[team[j]] = sums[team[i]]+d, sums[team[j]]-d
			}
		}
		if bi < 0 {
			return
		}
		d := of(bi) - of(bj)
		sums[team[bi]], sums[team[bj]] = sums[team[bi]]-d, sums[team[bj]]+d
		team[bi], team[bj] = team[bj], team[bi]
	}
}

// legal checks team sizes and every rule that fits has not, and keeps the roster when all
// hold. The rule that fails comes first the next time.
func (b *builder) legal(team []int, l *level) bool {
	r := make(teams, len(l.max))
	n := b.last().total
	seats := make([]seat, len(l.max)*n)
	for i := range r {
		r[i] = seats[i*n : i*n : (i+1)*n]
	}
	for i, f := range b.chosen {
		for k := range f.t.Players {
			r[team[i]] = append(r[team[i]], seat{f, k})
		}
	}
	if !l.sized(r) {
		return false
	}
	for i, check := range l.late {
		if !check(r) {
			l.late[0], l.late[i] = l.late[i], l.late[0]
			return false
		}
	}
	b.made = r
	return true
}

// holds says whether a roster is a legal match at this stage.
func (l *level) holds(r teams) bool {
	return l.sized(r) && !slices.ContainsFunc(l.enforced, func(check rule) bool { return !check(r) })
}

func (l *level) sized(r teams) bool {
	total := 0
	for i, seats := range r {
		if len(seats) < l.min[i] || len(seats) > l.max[i] {
			return false
		}
		total += len(seats)
	}
	return total <= l.cap
}

// quick is a limit between tickets that more tickets cannot repair.
type quick struct {
	kind      quickKind
	attribute string
	aggregate int
	limit     float64
	whole     bool // there is no more to the rule
}

type quickKind int

const (
	inWindow quickKind = iota
	sameWord
	commonWords
	commonLocation
)

// tally is what the tickets chosen so far come to for a quick limit.
type tally struct {
	low, high float64
	word      string
	words     []string
	worst     []float64 // by location
}

// add is the tally with one more ticket.
func (q quick) add(t tally, f *facts, first bool) tally {
	switch v := f.numbers[q.attribute][q.aggregate]; {
	case q.kind == inWindow && first:
		t.low, t.high = v, v
	case q.kind == inWindow:
		t.low, t.high = min(t.low, v), max(t.high, v)
	case q.kind == sameWord && first:
		t.word = f.strings[q.attribute][0]
	case q.kind == commonWords && first:
		t.words = f.lists[q.attribute][byUnion]
	case q.kind == commonWords:
		t.words = common([][]string{t.words, f.lists[q.attribute][byUnion]})
	case q.kind == commonLocation && first:
		t.worst = f.near[q.aggregate]
	case q.kind == commonLocation:
		of := f.near[q.aggregate]
		worst := make([]float64, min(len(t.worst), len(of)))
		for i := range worst {
			worst[i] = max(t.worst[i], of[i])
		}
		t.worst = worst
	}
	return t
}

// holds says whether the limit holds with one more ticket.
func (q quick) holds(t tally, f *facts, first bool) bool {
	switch q.kind {
	case inWindow:
		v := f.numbers[q.attribute][q.aggregate]
		return first || max(t.high, v)-min(t.low, v) <= q.limit
	case sameWord:
		words := f.strings[q.attribute]
		want := t.word
		if first {
			want = words[0]
		}
		return !slices.ContainsFunc(words, func(w string) bool { return w != want })
	case commonWords:
		return float64(len(q.add(t, f, first).words)) >= q.limit
	case commonLocation:
	}
	of := f.near[q.aggregate]
	for i, ms := range of {
		if ms <= q.limit && (first || (i < len(t.worst) && t.worst[i] <= q.limit)) {
			return true
		}
	}
	return false
}

var (
	extreme  = regexp.MustCompile(`^(max|min)\(flatten\(teams\[\*\]\.players\.attributes\[([^\]]+)\]\)\)$`)
	everyone = regexp.MustCompile(`^flatten\(teams\[\*\]\.players\.attributes\[([^\]]+)\]\)$`)
)

// quickOf is the quick form of a rule, if it has one.
func quickOf(spec map[string]any, set *flexmatch.RuleSet) (quick, bool) {
	q := quick{aggregate: aggregateOf(fmt.Sprint(spec["partyAggregation"]))}
	measurement := spec["measurements"]
	if many, ok := measurement.([]any); ok && len(many) > 0 {
		measurement, ok = many[0], len(many) == 1
		if !ok {
			return q, false
		}
	}
	tidy := func(raw any) string { return strings.Join(strings.Fields(fmt.Sprint(raw)), "") }
	switch m := everyone.FindStringSubmatch(tidy(measurement)); spec["type"] {
	case "batchDistance":
		q.attribute, q.whole = fmt.Sprint(spec["batchAttribute"]), true
		_, q.limit = bounds(spec, "", "maxDistance")
		if typeOf(set, q.attribute) == flexmatch.String {
			q.kind = sameWord
		}
		return q, true
	case "distance":
		m, r := extreme.FindStringSubmatch(tidy(measurement)), extreme.FindStringSubmatch(tidy(spec["referenceValue"]))
		if m == nil || r == nil || m[2] != r[2] || m[1] == r[1] {
			return q, false
		}
		var least float64
		least, q.limit = bounds(spec, "minDistance", "maxDistance")
		q.attribute, q.whole = m[2], least <= 0
		return q, true
	case "comparison":
		if m == nil || spec["referenceValue"] != nil || spec["operation"] != "=" || typeOf(set, m[1]) != flexmatch.String {
			return q, false
		}
		q.kind, q.attribute, q.whole = sameWord, m[1], true
		return q, true
	case "collection":
		if m == nil || spec["operation"] != "intersection" || spec["partyAggregation"] == "intersection" {
			return q, false
		}
		q.kind, q.attribute = commonWords, m[1]
		q.limit, _ = bounds(spec, "minCount", "")
		return q, true
	case "latency":
		q.kind, q.whole = commonLocation, spec["maxDistance"] == nil
		_, q.limit = bounds(spec, "", "maxLatency")
		return q, true
	}
	return q, false
}

func typeOf(set *flexmatch.RuleSet, attribute string) flexmatch.AttributeType {
	for _, a := range set.Attributes {
		if a.Name == attribute {
			return a.Type
		}
	}
	return ""
}
