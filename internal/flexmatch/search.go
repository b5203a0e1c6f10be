package flexmatch

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// search builds matches of up to 40 players around one anchor at a time.
//
// For an anchor it tries every expansion level a candidate with it can be at: with the
// level fixed, the rules are fixed and the tickets that may join are those at that level
// or beyond. Candidates come from the index by age, or sorted by the rule set's sort
// rules. First a descent takes every ticket that fits and backs out of dead ends for a
// while; when that is not enough, an exact search over the nearest candidates looks
// ahead at what is left for each choice. Both visit sets in the order of the batch, most
// inclusive first, so the first full match is the one to take.
type search struct {
	p  *Pool
	x  *index
	r  *roster
	lv *compiledLevel

	level   int
	alive   []bool // by rank
	stream  stream
	ranks   []int32 // candidates so far, in order
	drained bool    // ranks holds all there are
	suffix  []int32 // players from each candidate on, once drained

	chosen   []int32 // ranks in the match, the anchor first
	fixed    int     // units of a backfill ticket in the roster
	backfill bool

	tries, limit int
	cut          bool // the limit stopped the search
	unsure       bool // something was left untried, so a failure is not final

	assign assigner
	best   found
	bound  []int32 // the match to beat: only sets before it are of interest
	tally  []counts

	spent, allowance int // tries of failed anchors in this pass
}

// found is a legal match.
type found struct {
	ok      bool
	players int
	level   int
	ranks   []int32
	units   []int32
	teams   []uint8
}

// effort bounds of one anchor, in tickets tried. Pools up to smallPool are searched
// completely for all practical purposes.
const (
	smallPool  = 64
	fullTries  = 50_000
	quickTries = 64
	exactTries = 2_000
	exactPool  = 96
)

func (p *Pool) passSmall(now time.Time) []Match {
	var order, backfills []int32
	for _, row := range p.order {
		switch {
		case p.cols.broken[row] != "":
		case p.cols.tickets[row].Backfill && p.rs.Algorithm.BackfillPriority != "normal":
			backfills = append(backfills, row)
		default:
			order = append(order, row)
		}
	}
	if len(backfills) == 0 {
		return p.sweep(order, len(order), now)
	}
	if p.rs.Algorithm.BackfillPriority == "high" {
		rows := slices.Concat(backfills, order)
		return p.sweep(rows, len(rows), now)
	}
	// Backfill tickets are not looked at until all others have been evaluated.
	made := p.sweep(order, len(order), now)
	taken := map[*Ticket]bool{}
	for _, m := range made {
		for _, t := range m.Tickets {
			taken[t] = true
		}
	}
	order = slices.DeleteFunc(order, func(row int32) bool { return taken[p.cols.tickets[row]] })
	return append(made, p.sweep(slices.Concat(backfills, order), len(backfills), now)...)
}

// sweep matches the rows, in batch order, around each of the first anchors of them.
func (p *Pool) sweep(rows []int32, anchors int, now time.Time) []Match {
	if len(rows) == 0 {
		return nil
	}
	s := p.searcher(rows, now)
	var made []Match
	for rank := range anchors {
		if s.alive[rank] && s.anchor(int32(rank)) {
			made = append(made, s.match())
			for _, r := range s.best.ranks {
				s.take(r)
			}
		}
	}
	return made
}

func (p *Pool) searcher(rows []int32, now time.Time) *search {
	if p.search == nil {
		p.search = &search{p: p, r: newRoster(p.cols, len(p.rs.teams)), tally: make([]counts, len(p.rs.Rules))}
		p.search.assign.alt = newRoster(p.cols, len(p.rs.teams))
	}
	s := p.search
	s.x = p.build(rows, now)
	s.alive = slices.Repeat([]bool{true}, len(rows))
	s.spent = 0
	effort := p.opts.Effort
	if effort <= 0 {
		effort = 1
	}
	s.allowance = int(effort * float64(200_000+16*len(rows)))
	return s
}

// take removes a ticket from the pass.
func (s *search) take(rank int32) {
	s.alive[rank] = false
	s.x.remove(rank, s.p.cols.players[s.x.rows[rank]])
}

// anchor looks for the best match around a ticket and leaves it in s.best.
func (s *search) anchor(rank int32) bool {
	clear(s.tally)
	s.best.ok, s.best.players, s.bound, s.unsure = false, 0, nil, false
	own := int(s.x.level[rank])
	if s.p.prog.newest {
		for level := own; level >= 0; level-- {
			if level == own || s.x.present[level] > 0 {
				s.at(rank, level)
			}
		}
	} else {
		for level := own; level < len(s.x.present); level++ {
			if level == own || s.x.present[level] > 0 {
				s.at(rank, level)
			}
		}
	}
	row := s.x.rows[rank]
	n := len(s.tally)
	for i, c := range s.tally {
		s.p.tally[int(row)*n+i].passed += c.passed
		s.p.tally[int(row)*n+i].failed += c.failed
	}
	if !s.best.ok && !s.unsure {
		s.take(rank) // whatever is left cannot match it: spare the others the try
	}
	return s.best.ok
}

// at searches around the anchor with the rules of one level.
func (s *search) at(rank int32, level int) {
	s.level, s.lv = level, s.p.prog.levels[level]
	s.begin()
	if !s.join(rank) {
		return
	}
	if !s.candidates(rank) && s.r.total < s.lv.need {
		return
	}
	s.tries, s.limit = 0, s.quick()
	s.cut = false
	if done := s.descend(0); !done && s.cut {
		s.exactly(rank)
	}
	if !s.best.ok {
		s.spent += s.tries
	}
	s.unsure = s.unsure || s.cut
	if s.best.ok && len(s.lv.sorts) == 0 && s.best.players == s.lv.cap {
		s.bound = s.best.ranks
	}
}

// quick is the limit of the first descent.
func (s *search) quick() int {
	switch {
	case len(s.x.rows) <= smallPool:
		return fullTries
	case s.spent > s.allowance:
		return 16 + 2*s.lv.cap
	}
	return quickTries + 16*s.lv.cap
}

// begin empties the roster for the current level.
func (s *search) begin() {
	s.r.clear()
	s.r.max, s.r.cap = s.lv.max, s.lv.cap
	s.chosen, s.fixed, s.backfill = s.chosen[:0], 0, false
}

// candidates points the stream at the tickets that may join the anchor at this level;
// false when there are none, or too few for any match.
func (s *search) candidates(rank int32) bool {
	s.stream.reset(s.x)
	s.ranks, s.suffix, s.drained = s.ranks[:0], s.suffix[:0], false
	if s.x.part[rank] < 0 {
		s.drained = true
		return false
	}
	lo, hi, d := math.Inf(-1), math.Inf(1), math.Inf(1)
	if col := s.p.prog.shape.window; col >= 0 {
		d = s.lv.distance(col)
		lo, hi = s.x.value[rank]-d, s.x.value[rank]+d
	}
	var reach places
	if s.p.prog.shape.byPlace {
		reach = s.p.reachable(s.x.rows[rank], []int{s.lv.latency})
	}
	some := false
	for _, id := range s.x.parts[s.x.part[rank]] {
		g := s.x.groups[id]
		if !s.levelFits(int(g.level)) || (g.place >= 0 && !reach.has(g.place)) {
			continue
		}
		from, to := g.within(lo, hi)
		if from < to {
			s.stream.include(id, from, to)
			some = true
		}
	}
	if some && !s.enough(rank, reach, lo, hi, d) {
		s.count(s.windowRule(), false)
		s.drained = true
		return false
	}
	if len(s.lv.sorts) > 0 {
		s.sorted(rank)
	}
	return some
}

// levelFits says a ticket at this level can be in a candidate of the searched level:
// the newest ticket sets the lowest level, the oldest the highest (spec 1.7).
func (s *search) levelFits(level int) bool {
	if s.p.prog.newest {
		return level >= s.level
	}
	return level <= s.level
}

// enough says some location has the players for the smallest match within one distance
// of each other, the anchor among them. It spares anchors that are alone the search.
func (s *search) enough(rank int32, reach places, lo, hi, d float64) bool {
	if s.lv.need <= s.r.total {
		return true
	}
	if !s.p.prog.shape.byPlace {
		return s.enoughAt(-1, rank, lo, hi, d)
	}
	for at := range s.p.cols.places {
		if reach.has(at) && s.enoughAt(at, rank, lo, hi, d) {
			return true
		}
	}
	return false
}

func (s *search) enoughAt(place int, rank int32, lo, hi, d float64) bool {
	count := func(lo, hi float64) (players, tickets int) {
		for _, id := range s.x.parts[s.x.part[rank]] {
			g := s.x.groups[id]
			if g.place == place && s.levelFits(int(g.level)) {
				from, to := g.within(lo, hi)
				players += g.count(from, to)
				tickets += to - from
			}
		}
		return players, tickets
	}
	all, tickets := count(lo, hi)
	if all < s.lv.need {
		return false
	}
	if math.IsInf(d, 1) || tickets > 128 {
		return true
	}
	// Slide a window of the distance over the values around the anchor.
	own := s.x.value[rank]
	for _, id := range s.x.parts[s.x.part[rank]] {
		g := s.x.groups[id]
		if g.place != place || !s.levelFits(int(g.level)) {
			continue
		}
		from, to := g.within(own, hi)
		for i := from; i < to; i++ {
			if n, _ := count(g.values[i]-d, g.values[i]); n >= s.lv.need {
				return true
			}
		}
	}
	n, _ := count(own-d, own)
	return n >= s.lv.need
}

// windowRule is a rule to blame when the index leaves an anchor alone, -1 for none.
func (s *search) windowRule() int {
	for _, i := range s.lv.enforced {
		switch s.p.rs.levels[s.level].rules[i].(type) {
		case *batchDistance, *distance:
			return i
		}
	}
	return -1
}

func (s *search) count(rule int, passed bool) {
	switch {
	case rule < 0:
	case passed:
		s.tally[rule].passed++
	default:
		s.tally[rule].failed++
	}
}

// candidate is the i-th ticket that may join.
func (s *search) candidate(i int) (int32, bool) {
	for len(s.ranks) <= i {
		if s.drained {
			return 0, false
		}
		rank, ok := s.stream.next()
		switch {
		case !ok:
			s.drain()
		case rank != s.chosen[0] && s.alive[rank]:
			s.ranks = append(s.ranks, rank)
		}
	}
	return s.ranks[i], true
}

// drain notes that all candidates are known, and how many players each still has behind.
func (s *search) drain() {
	s.drained = true
	s.suffix = slices.Grow(s.suffix[:0], len(s.ranks)+1)[:len(s.ranks)+1]
	s.suffix[len(s.ranks)] = 0
	for i := len(s.ranks) - 1; i >= 0; i-- {
		s.suffix[i] = s.suffix[i+1] + s.players(s.ranks[i])
	}
}

func (s *search) players(rank int32) int32 { return s.p.cols.players[s.x.rows[rank]] }

// sorted orders the candidates by the rule set's sort rules (spec 1.5), age last. In a
// very large pool the oldest tickets make the batch.
func (s *search) sorted(anchor int32) {
	batch := max(256, 2_000_000/len(s.x.rows))
	for len(s.ranks) < batch && !s.drained {
		s.candidate(len(s.ranks))
	}
	if !s.drained {
		s.unsure = true
		s.drain()
	}
	row := s.x.rows[anchor]
	keys := make([]func(int32) float64, len(s.lv.sorts))
	for i, rule := range s.lv.sorts {
		keys[i] = rule.key(s.p.cols, row)
	}
	slices.SortFunc(s.ranks, func(a, b int32) int {
		for _, key := range keys {
			if c := cmp.Compare(key(s.x.rows[a]), key(s.x.rows[b])); c != 0 {
				return c
			}
		}
		return cmp.Compare(a, b)
	})
	s.drain()
	for i, spec := range s.p.rs.levels[s.level].rules {
		if _, ok := spec.(*sortRule); ok {
			s.tally[i].passed += int32(len(s.ranks))
		}
	}
}

// descend tries the candidates from pos on, each with everything after it. It reports
// whether a full match was found.
func (s *search) descend(pos int) bool {
	if s.r.total == s.lv.cap {
		return s.accept()
	}
	depth := len(s.chosen) - 1
	var tried [4]int32
	reps := 0
	for i := pos; ; i++ {
		rank, ok := s.candidate(i)
		if !ok || s.hopeless(i) || s.beyond(depth, rank) {
			break
		}
		if s.tries >= s.limit {
			s.cut = true
			break
		}
		if s.r.total+int(s.players(rank)) > s.lv.cap || s.seen(tried[:reps], rank) {
			continue
		}
		s.tries++
		if !s.join(rank) {
			continue
		}
		if s.descend(i + 1) {
			return true
		}
		s.leave(rank)
		if s.cut {
			break
		}
		if reps < len(tried) {
			tried[reps] = rank
			reps++
		}
	}
	s.accept()
	return false
}

// hopeless says that what is left from candidate i on cannot beat the best match, or
// cannot fill the smallest one.
func (s *search) hopeless(i int) bool {
	if !s.drained {
		return false
	}
	left := s.r.total + int(s.suffix[i])
	return left < s.lv.need || (s.best.ok && s.bound == nil && left <= s.best.players)
}

// beyond says that a set with this ticket next comes after the match to beat.
func (s *search) beyond(depth int, rank int32) bool {
	if s.bound == nil || depth+1 >= len(s.bound) {
		return false
	}
	for i, r := range s.chosen[1:] {
		if r < s.bound[i+1] {
			return false
		}
	}
	return rank > s.bound[depth+1]
}

// seen says a ticket just like this one has been tried here in vain.
func (s *search) seen(tried []int32, rank int32) bool {
	return s.p.prog.same && s.p.twice == 0 && slices.ContainsFunc(tried, func(t int32) bool { return s.alike(t, rank) })
}

// alike says no rule can tell two tickets apart.
func (s *search) alike(a, b int32) bool {
	if s.x.level[a] != s.x.level[b] || s.players(a) != s.players(b) {
		return false
	}
	c, x, y := s.p.cols, s.x.rows[a], s.x.rows[b]
	if c.tickets[x].Backfill || c.tickets[y].Backfill {
		return false
	}
	u, v := c.uFirst[x], c.uFirst[y]
	for _, col := range c.num {
		if col[u] != col[v] {
			return false
		}
	}
	for _, col := range c.reach {
		if col[u] != col[v] {
			return false
		}
	}
	for _, col := range c.lists {
		if !slices.Equal(col[u], col[v]) {
			return false
		}
	}
	for i, attr := range s.p.rs.Attributes {
		for j := range c.uSize[u] {
			p, q := c.uPlayer[u]+j, c.uPlayer[v]+j
			if attr.Type == String && c.pStr[i][p] != c.pStr[i][q] {
				return false
			}
			if attr.Type == StringList && !slices.Equal(c.pList[i][p], c.pList[i][q]) {
				return false
			}
		}
	}
	return true
}

// join puts a ticket into the roster if some assignment of teams leaves the candidate
// alive.
func (s *search) join(rank int32) bool {
	row := s.x.rows[rank]
	t := s.p.cols.tickets[row]
	if s.r.total+len(t.Players) > s.lv.cap || (t.Backfill && s.backfill) || (s.p.twice > 0 && s.meets(t)) {
		return false
	}
	s.chosen = append(s.chosen, rank)
	if t.Backfill {
		if s.joinBackfill(row) {
			return true
		}
	} else if s.place(s.p.cols.uFirst[row]) {
		return true
	}
	s.chosen = s.chosen[:len(s.chosen)-1]
	return false
}

// leave takes the last ticket out again. Teams that were rearranged for it stay so: what
// was alive with it is alive without.
func (s *search) leave(rank int32) {
	row := s.x.rows[rank]
	from, to := s.p.cols.units(row)
	s.r.pop(int(to - from))
	if s.p.cols.tickets[row].Backfill {
		s.backfill, s.fixed = false, 0
	}
	s.chosen = s.chosen[:len(s.chosen)-1]
}

// meets says a player of the ticket is in the match already.
func (s *search) meets(t *Ticket) bool {
	for _, rank := range s.chosen {
		for _, a := range s.p.cols.tickets[s.x.rows[rank]].Players {
			for _, b := range t.Players {
				if playerID(a) == playerID(b) {
					return true
				}
			}
		}
	}
	return false
}

// joinBackfill puts a running session's players where they already play.
func (s *search) joinBackfill(row int32) bool {
	from, to := s.p.cols.units(row)
	before := len(s.r.units)
	for u := from; u < to; u++ {
		s.r.push(u, s.p.cols.fixed[row][u-from])
	}
	s.backfill, s.fixed = true, int(to-from)
	fits := true
	for t, n := range s.r.size {
		fits = fits && n <= s.lv.max[t]
	}
	if fits && s.lives(s.lv.anywhere) && s.lives(s.lv.byTeam) {
		return true
	}
	if before > 0 && s.lives(s.lv.anywhere) && s.rearrange() {
		return true
	}
	s.r.pop(int(to - from))
	s.backfill, s.fixed = false, 0
	return false
}

// place finds a team for a unit, rearranging the others if need be.
func (s *search) place(unit int32) bool {
	n := s.p.cols.uSize[unit]
	order := s.teamOrder(n)
	for i, t := range order {
		s.r.push(unit, t)
		if i == 0 && !s.lives(s.lv.anywhere) { // no team can change that
			s.r.pop(1)
			return false
		}
		if s.lives(s.lv.byTeam) {
			return true
		}
		s.r.pop(1)
	}
	if len(s.r.size) == 1 || len(s.r.units) == 0 {
		return false
	}
	if len(order) == 0 && !s.roomFor(n) {
		return false
	}
	// Any team will do for the moment: rearrange puts every unit anew.
	s.r.push(unit, 0)
	if (len(order) > 0 || s.lives(s.lv.anywhere)) && s.rearrange() {
		return true
	}
	s.r.pop(1)
	return false
}

// roomFor says some team is large enough for n players at all.
func (s *search) roomFor(n int32) bool {
	return slices.ContainsFunc(s.lv.max, func(m int32) bool { return n <= m })
}

// teamOrder lists the teams with room for n more: those below their minimum first, then
// the one with most open slots, one of several alike and empty.
func (s *search) teamOrder(n int32) []uint8 {
	order := s.assign.order[:0]
	for t := range s.r.size {
		if s.r.size[t]+n > s.lv.max[t] || s.mirrored(s.r, t) {
			continue
		}
		order = append(order, uint8(t))
	}
	if len(order) > 1 {
		slices.SortStableFunc(order, func(a, b uint8) int {
			lowA, lowB := s.r.size[a] < s.lv.min[a], s.r.size[b] < s.lv.min[b]
			if lowA != lowB {
				if lowA {
					return -1
				}
				return 1
			}
			return cmp.Compare(s.lv.max[b]-s.r.size[b], s.lv.max[a]-s.r.size[a])
		})
	}
	s.assign.order = order
	return order
}

// lives says none of the rules has given the candidate up.
func (s *search) lives(rules []int) bool {
	for _, i := range rules {
		dead := s.lv.rules[i].dead(s.r)
		s.count(i, !dead)
		if dead {
			return false
		}
	}
	return true
}

// accept keeps the roster if it is a legal match and better than the best so far.
func (s *search) accept() bool {
	if s.r.total < s.lv.need || (s.best.ok && s.r.total < s.best.players) {
		return false
	}
	if s.best.ok && s.r.total == s.best.players && !s.before(s.chosen, s.best.ranks) {
		return false
	}
	level, ok := s.legal()
	if !ok {
		return false
	}
	s.best.ok, s.best.players, s.best.level = true, s.r.total, level
	s.best.ranks = append(s.best.ranks[:0], s.chosen...)
	s.best.units = append(s.best.units[:0], s.r.units...)
	s.best.teams = append(s.best.teams[:0], s.r.team...)
	return s.r.total == s.lv.cap
}

// before orders sets of one size by the batch; sort rules have ordered them already.
func (s *search) before(a, b []int32) bool {
	return len(s.lv.sorts) == 0 && slices.Compare(a, b) < 0
}

// legal checks everything a match must satisfy, at the level its own tickets give it,
// and may settle on other teams for it.
func (s *search) legal() (level int, ok bool) {
	if s.backfill && len(s.chosen) == 1 {
		return 0, false // never alone (spec 2.10)
	}
	level = int(s.x.level[s.chosen[0]])
	for _, rank := range s.chosen[1:] {
		if l := int(s.x.level[rank]); (l < level) == s.p.prog.newest {
			level = l
		}
	}
	searched := s.lv
	if level != s.level {
		s.lv = s.p.prog.levels[level]
		s.r.max, s.r.cap = s.lv.max, s.lv.cap
		defer func() { s.lv = searched; s.r.max, s.r.cap = searched.max, searched.cap }()
	}
	if s.r.total > s.lv.cap || s.r.total < s.lv.need {
		return 0, false
	}
	for _, i := range s.lv.enforced {
		if s.lv.teamless[i] && !s.holds(i, s.r) {
			return 0, false
		}
	}
	return level, s.settle()
}

// holds checks one rule of a complete roster.
func (s *search) holds(rule int, r *roster) bool {
	ok := s.lv.rules[rule].check(r)
	s.count(rule, ok)
	return ok
}

// match makes the result out of the best.
func (s *search) match() Match {
	b := &s.best
	m := Match{Metrics: metrics(s.p.rs, s.tally), limit: math.Inf(1)}
	for _, rank := range b.ranks {
		m.Tickets = append(m.Tickets, s.p.cols.tickets[s.x.rows[rank]])
	}
	for _, t := range s.p.rs.teams {
		m.Teams = append(m.Teams, MatchTeam{Name: t.name})
	}
	for i, u := range b.units {
		t := s.p.cols.tickets[s.p.cols.uTicket[u]]
		team := &m.Teams[b.teams[i]]
		if !t.Backfill {
			team.Players = append(team.Players, t.Players...)
			continue
		}
		n := u - s.p.cols.uFirst[s.p.cols.uTicket[u]]
		team.Players = append(team.Players, t.Players[n])
	}
	for _, spec := range s.p.rs.levels[b.level].rules {
		if r, ok := spec.(*latency); ok {
			m.limit = min(m.limit, r.max)
		}
	}
	return m
}
