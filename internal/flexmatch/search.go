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

	level    int
	alive    []bool // by rank
	levels   []int
	keys     []keyed
	sortKeys []float64 // of the candidates, a row each
	spare    []int32
	around   []int     // locations of the anchor
	weights  []float64 // and how good they are
	stream   stream
	ranks    []int32 // candidates so far, in order
	drained  bool    // ranks holds all there are
	suffix   []int32 // players from each candidate on, once drained

	chosen   []int32 // ranks in the match, the anchor first
	fixed    int     // units of a backfill ticket in the roster
	backfill bool

	tries, limit int
	closest      int  // order candidates by this number only, -1 for the rule set's order
	inPlace      bool // the candidates are those of one location
	flops        int  // full but illegal rosters that may still come
	patience     int  // tickets that may be refused in a row of tries
	cut          bool // the limit stopped the search
	unsure       bool // something was left untried, so a failure is not final

	assign assigner
	best   found
	bound  []int32 // the match to beat: only sets before it are of interest
	tally  []counts

	spent, allowance int       // tries of failed anchors in this pass
	work             int       // of the anchor: tries, candidates looked at, stretches opened
	wasted, patient  int       // work of failed anchors, and how much of it a pass can bear
	supply           [][]int32 // of each wanted string, by part
	bring            [][]uint8 // and by rank
}

// found is a legal match.
type found struct {
	ok       bool
	players  int
	level    int // the level it has by its tickets
	searched int // and the one it was found at
	ranks    []int32
	units    []int32
	teams    []uint8
}

// Effort bounds. Pools up to smallPool are searched completely, for all practical
// purposes; in larger ones an anchor that is hard to match must not stop the pass.
const (
	smallPool  = 64
	fullTries  = 50_000    // of one anchor at one level in a small pool
	poolTries  = 1_000_000 // of all anchors of a small pool together, then
	spareTries = 1_000     // each gets so many
	exactTries = 300       // of the search with foresight in a larger one
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
	resume := p.resume
	taken := map[*Ticket]bool{}
	for _, m := range made {
		for _, t := range m.Tickets {
			taken[t] = true
		}
	}
	order = slices.DeleteFunc(order, func(row int32) bool { return taken[p.cols.tickets[row]] })
	made = append(made, p.sweep(slices.Concat(backfills, order), len(backfills), now)...)
	if p.resume == nil {
		p.resume = resume
	}
	return made
}

// sweep matches the rows, in batch order, around each of the first anchors of them.
func (p *Pool) sweep(rows []int32, anchors int, now time.Time) []Match {
	if len(rows) == 0 {
		return nil
	}
	s := p.searcher(rows, now)
	var made []Match
	first := p.resumeAt(rows[:anchors])
	for i := range anchors {
		rank := int32((first + i) % anchors)
		if !s.alive[rank] || s.stale(rank) {
			continue
		}
		if s.wasted > s.patient && !s.small() {
			p.resume = p.cols.tickets[rows[rank]]
			break
		}
		if s.anchor(rank) {
			made = append(made, s.match())
			for _, r := range s.best.ranks {
				s.take(r)
			}
		} else if !s.unsure || !s.small() || s.spent <= poolTries {
			p.tried[rows[rank]] = s.x.level[rank] + 1
		}
	}
	return made
}

// resumeAt is where the last pass ran out of patience: this one goes on from there.
func (p *Pool) resumeAt(anchors []int32) int {
	t := p.resume
	p.resume = nil
	if t == nil {
		return 0
	}
	return max(0, slices.IndexFunc(anchors, func(row int32) bool { return p.cols.tickets[row] == t }))
}

// stale says that the anchor was tried before in vain, and nobody who could join it is
// new or has reached another level since.
func (s *search) stale(rank int32) bool {
	if s.x.fresh[rank] || s.x.part[rank] < 0 || len(s.x.parts[s.x.part[rank]]) > 256 {
		return false
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	if col := s.p.prog.shape.window; col >= 0 {
		d := 0.0
		for _, lv := range s.p.prog.levels {
			d = max(d, lv.distance(col))
		}
		lo, hi = s.x.value[rank]-d, s.x.value[rank]+d
	}
	for _, id := range s.x.parts[s.x.part[rank]] {
		g := s.x.groups[id]
		if from, to := g.within(lo, hi); g.fresh[to] > g.fresh[from] {
			return false
		}
	}
	return true
}

func (p *Pool) searcher(rows []int32, now time.Time) *search {
	if p.search == nil {
		p.search = &search{p: p, r: newRoster(p.cols, len(p.rs.teams)), tally: make([]counts, len(p.rs.Rules)), closest: -1}
		p.search.assign.alt = newRoster(p.cols, len(p.rs.teams))
	}
	s := p.search
	s.x = p.build(rows, now)
	s.bring, s.supply = s.x.bring, s.x.supply
	s.alive = slices.Repeat([]bool{true}, len(rows))
	s.spent = 0
	effort := p.opts.Effort
	if effort <= 0 {
		effort = 1
	}
	s.allowance = int(effort * float64(20_000+4*len(rows)))
	s.wasted, s.patient = 0, int(effort*float64(200_000+8*len(rows)))
	return s
}

// unstock takes a ticket's strings out of its part's supply.
func (s *search) unstock(rank int32) {
	if part := s.x.part[rank]; part >= 0 {
		for k := range s.supply {
			s.supply[k][part] -= int32(s.bring[k][rank])
		}
	}
}

// supplied says the anchor's part has what the rules of the level want.
func (s *search) supplied(rank int32) bool {
	for _, w := range s.lv.wants {
		if int(s.supply[w.key][s.x.part[rank]]) < w.min {
			s.count(w.rule, false)
			return false
		}
	}
	return true
}

func (s *search) small() bool { return len(s.x.rows) <= smallPool }

// take removes a ticket from the pass.
func (s *search) take(rank int32) {
	s.alive[rank] = false
	s.unstock(rank)
	s.x.remove(rank, s.p.cols.players[s.x.rows[rank]])
}

// anchor looks for the best match around a ticket and leaves it in s.best. In a small
// pool every level is searched for the match that comes first in the batch; in a larger
// one the first full match will do.
func (s *search) anchor(rank int32) bool {
	clear(s.tally)
	s.best.ok, s.best.players, s.bound, s.unsure, s.tries, s.work = false, 0, nil, false, 0, 0
	for _, level := range s.levelsFor(rank) {
		if s.at(rank, level); s.best.ok && s.best.players == s.lv.cap && !s.small() {
			break
		}
	}
	if !s.best.ok {
		s.spent += s.tries
		s.wasted += s.work + s.tries
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

// levelsFor are the levels a candidate with this ticket can be at: its own first.
func (s *search) levelsFor(rank int32) []int {
	own := int(s.x.level[rank])
	levels := append(s.levels[:0], own)
	if s.p.prog.newest {
		for l := own - 1; l >= 0; l-- {
			if s.x.present[l] > 0 {
				levels = append(levels, l)
			}
		}
	} else {
		for l := own + 1; l < len(s.x.present); l++ {
			if s.x.present[l] > 0 {
				levels = append(levels, l)
			}
		}
	}
	s.levels = levels
	if few := 8; len(levels) > few && !s.small() {
		for i := range few { // the first and the last are among them
			levels[i] = levels[i*(len(levels)-1)/(few-1)]
		}
		s.unsure = true
		return levels[:few]
	}
	return levels
}

// at searches around the anchor with the rules of one level.
func (s *search) at(rank int32, level int) {
	s.level, s.lv = level, s.p.prog.levels[level]
	s.work += 16
	s.begin()
	if s.x.part[rank] < 0 || !s.join(rank) || !s.supplied(rank) {
		return
	}
	if s.small() {
		s.thoroughly(rank)
	} else {
		s.briefly(rank)
	}
	if s.best.ok && len(s.lv.sorts) == 0 && s.best.players == s.lv.cap {
		s.bound = s.best.ranks
	}
}

// thoroughly searches a small pool to the end, for all practical purposes.
func (s *search) thoroughly(rank int32) {
	if !s.candidates(rank, anyPlace) {
		return
	}
	most := fullTries
	if s.spent > poolTries {
		most = spareTries
	}
	s.limit, s.flops, s.patience, s.cut = s.tries+most, fullTries, fullTries, false
	if !s.descend(0) && s.cut {
		s.exactly()
	}
	s.unsure = s.unsure || s.cut
}

// triedPlaces is how many locations are tried for an anchor in a larger pool.
const triedPlaces = 3

// briefly searches a larger pool, in one location after the other.
func (s *search) briefly(rank int32) {
	lo, hi, _ := s.windowOf(rank)
	for i, at := range s.placesFor(rank, lo, hi) {
		if i == triedPlaces {
			s.unsure = true
			break
		}
		if s.candidates(rank, at) && s.brieflyIn(rank, at) {
			break
		}
	}
}

// brieflyIn searches by age for a moment, then among the nearest of the oldest, then,
// while the pass has time left, with foresight. It reports whether a full match was
// found.
func (s *search) brieflyIn(rank int32, place int) bool {
	if s.spent > s.allowance && s.tries > 4*s.lv.cap {
		s.unsure = true
		return false
	}
	// By age, what the rules want comes too late, and a pool that is to be sorted into
	// batches (batchingPreference) is not sorted by age.
	if len(s.lv.sorts) > 0 || (len(s.lv.wants) == 0 && len(s.p.prog.sorted) == 0) {
		s.cut, s.flops, s.limit, s.patience = false, 2, s.tries+16+4*s.lv.cap, fullTries
		if s.spent > s.allowance {
			s.limit = s.tries + 8 + s.lv.cap
		}
		if s.descend(0) {
			return true
		}
		if !s.cut {
			return false
		}
		if s.spent > s.allowance {
			s.unsure = true // there may be a match further on
			return false
		}
	}
	s.unsure = true
	if !s.nearest(rank, place) {
		s.tries += len(s.ranks) / 4 // looking costs as well
		return false
	}
	s.limit, s.flops, s.patience, s.cut = s.tries+16+4*s.lv.cap, 4, 16, false
	if s.descend(0) {
		return true
	}
	return s.cut && s.spent <= s.allowance && s.tries < 40*s.lv.cap && s.exactly()
}

// nearest puts the oldest candidates in order of their distance from the anchor, in the
// number the rules look at. It reports whether what the rules want is among them.
func (s *search) nearest(rank int32, place int) bool {
	most := 10 + 3*s.lv.cap
	wants := len(s.lv.wants) > 0 && len(s.lv.sorts) == 0
	if wants {
		if missing := s.fetchWanted(rank, place); missing > 1 || (missing > 0 && s.spent > s.allowance) {
			return false // several large parties would leave no room for each other
		}
		s.offer(rank, place, func(g *group) bool { return g.brings == 0 })
	}
	for len(s.ranks) < most && !s.drained {
		s.candidate(len(s.ranks))
	}
	switch {
	case len(s.lv.sorts) > 0:
	case len(s.p.prog.sorted) > 0:
		s.byDistance(rank, s.p.cols.num[s.p.prog.sorted[0]])
	case s.p.prog.shape.window >= 0:
		s.byDistance(rank, s.p.cols.num[s.p.prog.shape.window])
	case s.p.prog.balance >= 0:
		s.byDistance(rank, s.p.cols.num[s.p.prog.balance])
	}
	ok := !wants || s.wantedFirst(rank)
	s.drain()
	return ok
}

// fetchWanted starts the candidates with the oldest small tickets that bring what the
// rules want; the index has them in groups of their own. It returns how many are missing.
func (s *search) fetchWanted(rank int32, place int) (missing int) {
	s.ranks = s.ranks[:0]
	for _, w := range s.lv.wants {
		want := w.min - s.brings(rank, w)
		if want <= 0 {
			continue
		}
		n := len(s.ranks) + want + 4
		s.offer(rank, place, func(g *group) bool { return g.brings>>w.key&1 == 1 })
		for len(s.ranks) < n && !s.drained {
			s.candidate(len(s.ranks))
		}
		missing += max(0, n-4-len(s.ranks))
	}
	slices.Sort(s.ranks)
	s.ranks = slices.Compact(s.ranks)
	return missing
}

func (s *search) byDistance(rank int32, nums []float64) {
	dist := s.keys[:0]
	own := nums[s.p.cols.uFirst[s.x.rows[rank]]]
	for _, r := range s.ranks {
		dist = append(dist, keyed{math.Abs(nums[s.p.cols.uFirst[s.x.rows[r]]] - own), r})
	}
	slices.SortFunc(dist, func(a, b keyed) int {
		if c := cmp.Compare(a.key, b.key); c != 0 {
			return c
		}
		return cmp.Compare(a.rank, b.rank)
	})
	for i, k := range dist {
		s.ranks[i] = k.rank
	}
	s.keys = dist
}

// keyed is a ticket with a sort key.
type keyed struct {
	key  float64
	rank int32
}

// wantedFirst moves as many tickets to the front as the rules want of some string,
// beyond what the anchor brings: small ones if there are, for they leave a choice of
// teams. Others that have the string go to the back, to be there for later anchors. It
// is false when there are not enough.
func (s *search) wantedFirst(rank int32) bool {
	front := 0
	for _, w := range s.lv.wants {
		missing := w.min - s.brings(rank, w)
		for _, most := range []int32{smallParty, MaxMatch} {
			if most == MaxMatch && missing > 1 {
				break
			}
			for i := front; i < len(s.ranks) && missing > 0; i++ {
				if n := s.brings(s.ranks[i], w); n > 0 && s.players(s.ranks[i]) <= most {
					missing -= n
					wanted := s.ranks[i]
					copy(s.ranks[front+1:i+1], s.ranks[front:i])
					s.ranks[front] = wanted
					front++
				}
			}
		}
		if missing > 0 {
			return false
		}
	}
	s.wantedLast(s.ranks[front:])
	return true
}

// wantedLast moves the tickets with any wanted string behind the others.
func (s *search) wantedLast(list []int32) {
	last := s.spare[:0]
	n := 0
	for _, r := range list {
		if slices.ContainsFunc(s.lv.wants, func(w want) bool { return s.bring[w.key][r] > 0 }) {
			last = append(last, r)
			continue
		}
		list[n] = r
		n++
	}
	copy(list[n:], last)
	s.spare = last
}

// brings is how many lists of a ticket hold the wanted string.
func (s *search) brings(rank int32, w want) int { return int(s.bring[w.key][rank]) }

// begin empties the roster for the current level.
func (s *search) begin() {
	s.r.clear()
	s.r.max, s.r.cap = s.lv.max, s.lv.cap
	s.chosen, s.fixed, s.backfill, s.inPlace = s.chosen[:0], 0, false, false
}

// anyPlace asks for the candidates of every location.
const anyPlace = -2

// windowOf is the stretch of values the index offers for the anchor at this level, and
// the distance.
func (s *search) windowOf(rank int32) (lo, hi, d float64) {
	col := s.p.prog.shape.window
	if col < 0 {
		return math.Inf(-1), math.Inf(1), math.Inf(1)
	}
	d = s.lv.distance(col)
	return s.x.value[rank] - d, s.x.value[rank] + d, d
}

// candidates points the stream at the tickets that may join the anchor at this level, in
// one location or in any; false when with them there are too few for any match.
func (s *search) candidates(rank int32, place int) bool {
	s.ranks, s.suffix, s.drained, s.inPlace = s.ranks[:0], s.suffix[:0], false, place >= 0
	lo, hi, d := s.windowOf(rank)
	var reach places
	if s.p.prog.shape.byPlace {
		reach = s.p.reachable(s.x.rows[rank], s.lv.latency)
	}
	if !s.enough(rank, place, reach, lo, hi, d) {
		s.count(s.windowRule(), false)
		return false
	}
	if s.small() || len(s.lv.sorts) > 0 && !s.p.prog.outward() || len(s.lv.sorts)+len(s.lv.wants) == 0 { // else nearest will ask for what it needs
		s.offer(rank, place, func(*group) bool { return true })
	}
	switch {
	case s.closest >= 0:
		s.closestFirst(rank)
	case len(s.lv.sorts) > 0:
		s.sorted(rank, place)
	}
	return true
}

// closestFirst orders the oldest candidates by their distance from the anchor alone.
func (s *search) closestFirst(rank int32) {
	for len(s.ranks) < 2_000 && !s.drained {
		s.candidate(len(s.ranks))
	}
	s.byDistance(rank, s.p.cols.num[s.closest])
	s.drain()
}

// offer starts the stream over the groups that may join the anchor and that pass.
func (s *search) offer(rank int32, place int, pass func(g *group) bool) {
	s.stream.reset(s.x)
	s.drained = false
	s.work += 6 + len(s.x.parts[s.x.part[rank]])/4
	lo, hi, _ := s.windowOf(rank)
	s.eachGroup(rank, place, func(id int32) {
		g := s.x.groups[id]
		if !pass(g) {
			return
		}
		if from, to := g.within(lo, hi); from < to {
			s.stream.include(id, from, to)
		}
	})
}

// eachGroup calls f with the groups whose tickets may join the anchor in a place.
func (s *search) eachGroup(rank int32, place int, f func(id int32)) {
	var reach places
	if s.p.prog.shape.byPlace {
		reach = s.p.reachable(s.x.rows[rank], s.lv.latency)
	}
	for _, id := range s.x.parts[s.x.part[rank]] {
		g := s.x.groups[id]
		if s.suits(g) && (g.place < 0 || reach.has(g.place) && (place < 0 || g.place == place)) {
			f(id)
		}
	}
}

// suits says the tickets of a group can be in a candidate of the searched level: the
// newest ticket sets the lowest level, the oldest the highest (spec 1.7), and the level's
// latency limit lets them play in the group's place.
func (s *search) suits(g *group) bool {
	if g.place >= 0 && g.grade&s.lv.grade == 0 {
		return false
	}
	if s.p.prog.newest {
		return int(g.level) >= s.level
	}
	return int(g.level) <= s.level
}

// enough says some location has the players for the smallest match within one distance
// of each other, the anchor among them. It spares anchors that are alone the search.
func (s *search) enough(rank int32, place int, reach places, lo, hi, d float64) bool {
	if s.lv.need <= s.r.total {
		return true
	}
	if !s.p.prog.shape.byPlace {
		return s.enoughAt(-1, rank, lo, hi, d)
	}
	if place != anyPlace {
		return s.enoughAt(place, rank, lo, hi, d)
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
			if g.place == place && s.suits(g) {
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
		if g.place != place || !s.suits(g) {
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
		s.work++
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
func (s *search) sorted(anchor int32, place int) {
	if s.p.prog.outward() && !s.small() {
		s.aroundAnchor(anchor, place)
	} else {
		batch := max(128, 1_000_000/len(s.x.rows))
		for len(s.ranks) < batch && !s.drained {
			s.candidate(len(s.ranks))
		}
	}
	if !s.drained {
		s.unsure = true
		s.drain()
	}
	row, n := s.x.rows[anchor], len(s.lv.sorts)
	s.sortKeys = slices.Grow(s.sortKeys[:0], n*len(s.ranks))[:n*len(s.ranks)]
	for k, rule := range s.lv.sorts {
		key := rule.key(s.p.cols, row)
		for i, r := range s.ranks {
			s.sortKeys[i*n+k] = key(s.x.rows[r])
		}
	}
	order := s.keys[:0]
	for i, r := range s.ranks {
		order = append(order, keyed{float64(i), r})
	}
	slices.SortFunc(order, func(a, b keyed) int {
		i, j := int(a.key)*n, int(b.key)*n
		if c := slices.Compare(s.sortKeys[i:i+n], s.sortKeys[j:j+n]); c != 0 {
			return c
		}
		return cmp.Compare(a.rank, b.rank)
	})
	for i, k := range order {
		s.ranks[i] = k.rank
	}
	s.keys = order
	s.drain()
	for i, spec := range s.p.rs.levels[s.level].rules {
		if _, ok := spec.(*sortRule); ok {
			s.tally[i].passed += int32(len(s.ranks))
		}
	}
}

// aroundAnchor takes the nearest candidates of each group.
func (s *search) aroundAnchor(anchor int32, place int) {
	lo, hi, _ := s.windowOf(anchor)
	most := 16 + 4*s.lv.cap
	s.eachGroup(anchor, place, func(id int32) {
		n := 0
		s.x.groups[id].outwards(s.x.value[anchor], lo, hi, func(rank int32) bool {
			if rank != anchor {
				s.ranks = append(s.ranks, rank)
				n++
			}
			return n < most
		})
		s.unsure = s.unsure || n == most
	})
	s.work += len(s.ranks)
	slices.Sort(s.ranks)
	s.ranks = slices.Compact(s.ranks)
	s.drained = true
}

// descend tries the candidates from pos on, each with everything after it. It reports
// whether a full match was found.
func (s *search) descend(pos int) bool {
	if s.r.total == s.lv.cap {
		return s.accept() || s.flopped()
	}
	depth := len(s.chosen) - 1
	var tried [4]int32
	reps, refused := 0, 0
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
			if refused++; refused > s.patience {
				s.cut = true
				break
			}
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

// flopped counts full rosters that were not legal after all, and stops the search when
// the order it tries them in leads nowhere.
func (s *search) flopped() bool {
	if s.flops--; s.flops < 0 {
		s.cut = true
	}
	return false
}

// hopeless says that what is left from candidate i on cannot beat the best match, or
// cannot fill the smallest one.
func (s *search) hopeless(i int) bool {
	if !s.drained {
		return false
	}
	left := s.r.total + int(s.suffix[i])
	return left < s.lv.need || s.outdone(left)
}

// outdone says so many players cannot make a better match. At another level than the best
// match's, one of the same size may still come before it.
func (s *search) outdone(players int) bool {
	if !s.best.ok || s.bound != nil {
		return false
	}
	return players < s.best.players || (players == s.best.players && s.best.searched == s.level)
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
	s.wantingFirst(unit, order)
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
	if len(order) > 0 && !s.small() {
		return false // it fits, only a rule refuses: another ticket is the cheaper try
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
		i := len(order)
		order = append(order, uint8(t))
		for ; i > 0 && s.needier(t, int(order[i-1])); i-- {
			order[i] = order[i-1]
		}
		order[i] = uint8(t)
	}
	s.assign.order = order
	return order
}

// wantingFirst moves the teams to the front whose rules still want what the unit brings.
func (s *search) wantingFirst(unit int32, order []uint8) {
	front := 0
	for _, w := range s.lv.teamWants {
		if !slices.Contains(s.p.cols.lists[w.col][unit], w.sym) {
			continue
		}
		for i := front; i < len(order); i++ {
			if t := order[i]; w.mask>>t&1 == 1 && s.has(t, w) < w.min {
				copy(order[front+1:i+1], order[front:i])
				order[front] = t
				front++
			}
		}
	}
}

// has is how many lists of a team hold the wanted string.
func (s *search) has(team uint8, w want) (n int) {
	for i, u := range s.r.units {
		if s.r.team[i] == team && slices.Contains(s.p.cols.lists[w.col][u], w.sym) {
			n++
		}
	}
	return n
}

// needier says team t should be filled before another: the one below its minimum first,
// then the one with more open slots.
func (s *search) needier(t, than int) bool {
	low, other := s.r.size[t] < s.lv.min[t], s.r.size[than] < s.lv.min[than]
	if low != other {
		return low
	}
	return s.lv.max[t]-s.r.size[t] > s.lv.max[than]-s.r.size[than]
}

// lives says none of the rules has given the candidate up.
func (s *search) lives(rules []int) bool {
	for _, i := range rules {
		if s.inPlace && i == s.lv.placeRule {
			continue // all candidates can play in the place searched
		}
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
	s.best.ok, s.best.players, s.best.level, s.best.searched = true, s.r.total, level, s.level
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
