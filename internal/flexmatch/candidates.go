package flexmatch

import (
	"cmp"
	"math"
	"slices"
)

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
	offered := s.small() || len(s.lv.sorts) > 0 && !s.p.prog.outward() || len(s.lv.sorts)+len(s.lv.wants) == 0
	if offered { // else nearest will ask for what it needs
		s.offer(rank, place, func(*group) bool { return true })
	}
	switch {
	case s.closest >= 0 && offered:
		s.closestFirst(rank)
	case s.closest >= 0:
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
		batch := max(128, 1_000_000/s.size)
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
