package flexmatch

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Matches of more than 40 players (spec 2.5): around an anchor, in one location and one
// window of the batchDistance rules, the oldest tickets fill the match; then they are
// dealt out to the teams, then the teams are evened out by the balanced attribute.
// Closeness is left to batchDistance, as the current guide has it.

// passLarge makes large matches. Backfill tickets come before new ones unless their
// priority is low: for large matches normal means high.
func (p *Pool) passLarge(now time.Time) []Match {
	var order, backfills []int32
	for _, row := range p.order {
		switch {
		case p.cols.broken[row] != "":
		case p.cols.session[row]:
			backfills = append(backfills, row)
		default:
			order = append(order, row)
		}
	}
	if p.rs.Algorithm.BackfillPriority != "low" || len(backfills) == 0 {
		rows := slices.Concat(backfills, order)
		return p.sweepLarge(rows, 0, len(rows), now)
	}
	made := p.sweepLarge(order, 0, len(order), now)
	taken := map[*Ticket]bool{}
	for _, m := range made {
		for _, t := range m.Tickets {
			taken[t] = true
		}
	}
	order = slices.DeleteFunc(order, func(row int32) bool { return taken[p.cols.tickets[row]] })
	return append(made, p.sweepLarge(slices.Concat(backfills, order), 0, len(backfills), now)...)
}

func (p *Pool) sweepLarge(rows []int32, from, to int, now time.Time) []Match {
	if len(rows) == 0 {
		return nil
	}
	s := p.searcher(rows, nil, now)
	s.allowance = 50*len(rows) + 100_000
	var made []Match
	for rank := from; rank < to; rank++ {
		if s.alive[rank] && s.largeAnchor(int32(rank)) {
			made = append(made, s.match())
			for _, r := range s.best.ranks {
				s.take(r)
			}
		}
	}
	return made
}

// largeAnchor looks for the fullest match around a ticket and leaves it in s.best.
func (s *search) largeAnchor(rank int32) bool {
	clear(s.tally)
	s.best.ok, s.best.players = false, 0
	s.bound = nil
	for _, level := range s.levelsFor(rank) {
		s.level, s.lv = level, s.p.prog.levels[level]
		if s.largeAt(rank); s.best.ok && s.best.players == s.lv.cap {
			break
		}
	}
	n := len(s.tally)
	for i, c := range s.tally {
		s.p.tally[int(s.x.rows[rank])*n+i].passed += c.passed
		s.p.tally[int(s.x.rows[rank])*n+i].failed += c.failed
	}
	return s.best.ok
}

// largeAt tries the locations the anchor can play in, at one level.
func (s *search) largeAt(rank int32) {
	s.begin()
	row := s.x.rows[rank]
	if s.x.part[rank] < 0 || int(s.p.cols.players[row]) > s.lv.cap {
		return
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	d := math.Inf(1)
	if col := s.p.prog.shape.window; col >= 0 {
		d = s.lv.distance(col)
		lo, hi = s.x.value[rank]-d, s.x.value[rank]+d
	}
	for _, at := range s.placesFor(rank, lo, hi) {
		players := s.crowd(at, rank, lo, hi)
		own := !s.indexed(rank, at)
		if own {
			players += int(s.p.cols.players[row])
		}
		if players < s.lv.need {
			s.count(s.windowRule(), false)
			continue
		}
		if s.spent > s.allowance {
			return
		}
		from, to := s.bestWindow(at, rank, lo, hi, d)
		if s.fillLarge(rank, at, from, to) {
			return
		}
	}
}

// indexed says the anchor itself stands in the groups of the place.
func (s *search) indexed(rank int32, at int) bool {
	for _, m := range s.x.members[s.x.first[rank]:s.x.first[rank+1]] {
		if s.x.groups[m.group].place == at {
			return true
		}
	}
	return false
}

// crowd counts the players that could join in a place, between two values.
func (s *search) crowd(at int, rank int32, lo, hi float64) (players int) {
	s.work += len(s.x.parts[s.x.part[rank]]) / 4
	for _, id := range s.x.parts[s.x.part[rank]] {
		if g := s.x.groups[id]; g.place == at && s.suits(g) {
			players += g.count(g.within(lo, hi))
		}
	}
	return players
}

// placesFor orders the locations acceptable to the anchor: the one most players could
// join in first, or the anchor's fastest first (batchingPreference).
func (s *search) placesFor(rank int32, lo, hi float64) []int {
	s.around = s.around[:0]
	if !s.p.prog.shape.byPlace {
		return append(s.around, -1)
	}
	row := s.x.rows[rank]
	reach := s.p.reachable(row, s.lv.latency)
	weights := s.weights[:0]
	for at := range s.p.cols.places {
		if !reach.has(at) {
			continue
		}
		var weight float64
		if s.p.rs.Algorithm.BatchingPreference == "fastestRegion" {
			weight = s.speed(row, at)
		} else {
			weight = -float64(s.crowd(at, rank, lo, hi))
		}
		i := len(weights)
		weights, s.around = append(weights, weight), append(s.around, at)
		for ; i > 0 && (weight < weights[i-1] || weight == weights[i-1] && s.p.cols.places[at] < s.p.cols.places[s.around[i-1]]); i-- {
			weights[i], s.around[i] = weights[i-1], s.around[i-1]
		}
		weights[i], s.around[i] = weight, at
	}
	s.weights = weights
	return s.around
}

// speed is a ticket's mean latency in a location.
func (s *search) speed(row int32, at int) float64 {
	from, to := s.p.cols.units(row)
	return aggregate(int(to-from), average, func(i int) float64 {
		ms, ok := s.p.cols.latency(from+int32(i), at, average)
		if !ok {
			return math.Inf(1)
		}
		return ms
	})
}

// fastness is how many locations are faster for a ticket than this one.
func (s *search) fastness(row int32, at int) int {
	own, n := s.speed(row, at), 0
	reach := s.p.reachable(row, s.lv.latency)
	for other := range s.p.cols.places {
		if other != at && reach.has(other) && s.speed(row, other) < own {
			n++
		}
	}
	return n
}

// bestWindow slides a window of the distance over the anchor's value and returns the
// bounds that hold the most players, or enough for a full match.
func (s *search) bestWindow(at int, rank int32, lo, hi, d float64) (from, to float64) {
	if math.IsInf(d, 1) {
		return lo, hi
	}
	own := s.x.value[rank]
	if n := s.crowd(at, rank, own-d/2, own+d/2); n >= 2*s.lv.cap {
		return own - d/2, own + d/2
	}
	starts := []float64{own}
	for _, id := range s.x.parts[s.x.part[rank]] {
		if g := s.x.groups[id]; g.place == at && s.suits(g) {
			first, last := g.within(lo, own)
			for i, step := first, max(1, (last-first)/64); i < last; i += step {
				starts = append(starts, g.values[i])
			}
		}
	}
	slices.Sort(starts)
	best := -1
	for _, start := range slices.Compact(starts) {
		if n := s.crowd(at, rank, start, start+d); n > best {
			best, from = n, start
		}
	}
	return from, from + d
}

// fillLarge builds the match in one place and window, oldest tickets first. It reports
// whether the match is full.
func (s *search) fillLarge(rank int32, at int, from, to float64) bool {
	s.begin()
	s.gather(rank, at, from, to)
	extra := s.unguaranteed()
	s.enter(rank)
	for i := 0; s.r.total < s.lv.cap; i++ {
		next, ok := s.candidate(i)
		if !ok {
			break
		}
		if row := s.x.rows[next]; s.p.cols.session[row] || !s.open(row) {
			continue
		}
		s.spent++
		s.enter(next)
		if !s.lives(extra) {
			s.r.pop(1)
			s.chosen = s.chosen[:len(s.chosen)-1]
		}
	}
	if s.r.total <= s.best.players {
		return false
	}
	for s.r.total >= s.lv.need {
		if s.backfill && len(s.chosen) == 1 {
			return false
		}
		if s.deal() {
			return s.acceptLarge()
		}
		if len(s.chosen) == 1 {
			return false
		}
		s.r.pop(1) // the newest makes room for teams that can be dealt
		s.chosen = s.chosen[:len(s.chosen)-1]
	}
	return false
}

// enter adds a ticket to the roster; its team comes later, but a backfill ticket's
// players have theirs.
func (s *search) enter(rank int32) {
	row := s.x.rows[rank]
	s.chosen = append(s.chosen, rank)
	from, to := s.p.cols.units(row)
	for u := from; u < to; u++ {
		team := uint8(0)
		if s.p.cols.session[row] {
			team = s.p.cols.fixed[row][u-from]
		}
		s.r.push(u, team)
	}
	if s.p.cols.session[row] {
		s.backfill, s.fixed = true, int(to-from)
	}
}

// gather points the stream at the tickets of one place and window. With fastestRegion
// those come first for whom the place is fastest, then second and third.
func (s *search) gather(rank int32, at int, from, to float64) {
	s.stream.reset(s.x)
	s.ranks, s.suffix, s.drained = s.ranks[:0], s.suffix[:0], false
	s.chosen = append(s.chosen[:0], rank)
	for _, id := range s.x.parts[s.x.part[rank]] {
		if g := s.x.groups[id]; g.place == at && s.suits(g) {
			if first, last := g.within(from, to); first < last {
				s.stream.include(id, first, last)
			}
		}
	}
	if at >= 0 && s.p.rs.Algorithm.BatchingPreference == "fastestRegion" {
		for len(s.ranks) < 16*s.lv.cap && !s.drained {
			s.candidate(len(s.ranks))
		}
		s.drain()
		fast := make(map[int32]int, len(s.ranks))
		for _, r := range s.ranks {
			fast[r] = s.fastness(s.x.rows[r], at)
		}
		slices.SortStableFunc(s.ranks, func(a, b int32) int { return cmp.Compare(fast[a], fast[b]) })
	}
	s.chosen = s.chosen[:0]
}

// unguaranteed are the rules that the choice of part, place and window does not see to.
func (s *search) unguaranteed() []int {
	var out []int
	latencySeen := false
	for _, i := range s.lv.anywhere {
		switch r := s.p.rs.levels[s.level].rules[i].(type) {
		case *batchDistance:
			if !r.text && s.p.prog.numbers[max(0, s.p.prog.shape.window)] == (column{r.attr, r.party}) && s.p.prog.shape.window >= 0 {
				continue
			}
		case *latency:
			if s.p.prog.shape.byPlace && !latencySeen {
				latencySeen = true
				continue
			}
		}
		out = append(out, i)
	}
	return out
}

// deal gives every unit a team: largest parties first, to a team below its minimum
// before others, among those to the one with the most open slots (spec 2.5). Then the
// teams are evened out.
func (s *search) deal() bool {
	a, r, c := &s.assign, s.r, s.p.cols
	a.list = a.list[:0]
	clear(r.size)
	for i, u := range r.units {
		if i < s.fixed {
			r.size[r.team[i]] += c.uSize[u]
		} else {
			a.list = append(a.list, int32(i))
		}
	}
	for t, n := range r.size {
		if n > s.lv.max[t] {
			return s.undealt()
		}
	}
	nums := c.num[s.p.prog.balance]
	slices.SortStableFunc(a.list, func(x, y int32) int {
		u, v := r.units[x], r.units[y]
		if n := cmp.Compare(c.uSize[v], c.uSize[u]); n != 0 {
			return n
		}
		return cmp.Compare(nums[v], nums[u])
	})
	for _, i := range a.list {
		n := c.uSize[r.units[i]]
		best := -1
		for t := range r.size {
			if r.size[t]+n <= s.lv.max[t] && (best < 0 || s.needier(t, best)) {
				best = t
			}
		}
		if best < 0 {
			return s.undealt()
		}
		r.team[i] = uint8(best)
		r.size[best] += n
	}
	for t, n := range r.size {
		if n < s.lv.min[t] {
			return s.undealt()
		}
	}
	s.evenLarge(nums)
	return true
}

// undealt leaves the roster consistent after a deal that failed.
func (s *search) undealt() bool {
	clear(s.r.size)
	for i, u := range s.r.units {
		s.r.size[s.r.team[i]] += s.p.cols.uSize[u]
	}
	return false
}

// evenLarge swaps units of one size between the teams with the highest and the lowest
// mean until no swap brings the two closer.
func (s *search) evenLarge(nums []float64) {
	r, c := s.r, s.p.cols
	sums := s.teamSums(nums)
	for range 64 {
		hi, lo := s.extremes(sums)
		if hi == lo {
			return
		}
		gap := sums[hi]/float64(r.size[hi]) - sums[lo]/float64(r.size[lo])
		ease := 1/float64(r.size[hi]) + 1/float64(r.size[lo])
		best, bi, bj := gap-1e-9, -1, -1
		for _, i := range s.assign.list {
			if int(r.team[i]) != hi {
				continue
			}
			for _, j := range s.assign.list {
				if int(r.team[j]) != lo || c.uSize[r.units[i]] != c.uSize[r.units[j]] {
					continue
				}
				d := (nums[r.units[i]] - nums[r.units[j]]) * float64(c.uSize[r.units[i]])
				if after := math.Abs(gap - d*ease); after < best {
					best, bi, bj = after, int(i), int(j)
				}
			}
		}
		if bi < 0 {
			return
		}
		before := s.spread(sums)
		s.swapSums(sums, nums, bi, bj)
		if s.spread(sums) > before { // a third team is now furthest out
			return
		}
		r.team[bi], r.team[bj] = r.team[bj], r.team[bi]
	}
}

// extremes are the teams with the highest and the lowest mean.
func (s *search) extremes(sums []float64) (hi, lo int) {
	top, bottom := math.Inf(-1), math.Inf(1)
	for t, sum := range sums {
		if s.r.size[t] == 0 {
			continue
		}
		mean := sum / float64(s.r.size[t])
		if mean > top {
			top, hi = mean, t
		}
		if mean < bottom {
			bottom, lo = mean, t
		}
	}
	return hi, lo
}

// acceptLarge checks the dealt match at the level its own tickets give it and keeps it.
func (s *search) acceptLarge() bool {
	level := int(s.x.level[s.chosen[0]])
	for _, rank := range s.chosen[1:] {
		if l := int(s.x.level[rank]); (l < level) == s.p.prog.newest {
			level = l
		}
	}
	lv := s.p.prog.levels[level]
	if s.r.total > lv.cap || s.r.total < lv.need {
		return false
	}
	for t, n := range s.r.size {
		if n < lv.min[t] || n > lv.max[t] {
			return false
		}
	}
	for _, i := range lv.enforced {
		ok := lv.rules[i].check(s.r)
		s.count(i, ok)
		if !ok {
			return false
		}
	}
	s.best.ok, s.best.players, s.best.level = true, s.r.total, level
	s.best.ranks = append(s.best.ranks[:0], s.chosen...)
	s.best.units = append(s.best.units[:0], s.r.units...)
	s.best.teams = append(s.best.teams[:0], s.r.team...)
	return s.r.total == s.lv.cap
}
