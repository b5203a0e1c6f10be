package bench

import (
	"math"
	"slices"
)

// greedy is the matcher one writes first: oldest ticket first, each takes the next oldest
// that fits until the match is full. It knows the benchmarks' rules by heart and compiles,
// indexes and counts nothing.
type greedy struct {
	players int        // of a match, in two teams
	close   [3]float64 // distance of the highest from the lowest skill, before 30 s, 60 s, and after
	fair    float64    // a team's mean from the whole's; 0 when it does not matter
	roles   bool       // one mode, a healer a team, 100 ms in one place, 150 ms after 45 s
}

var (
	greedyDuel  = greedy{players: 2, close: [3]float64{50, 100, 200}}
	greedyFive  = greedy{players: 10, close: [3]float64{200, 300, 500}, fair: 25}
	greedyRoles = greedy{players: 10, close: [3]float64{200, 300, 500}, fair: 50, roles: true}
)

// side is one team of the match being made.
type side struct {
	size, heals int
	sum         float64
}

// making is a match in the making.
type making struct {
	list   []*waiting
	lo, hi float64
	sides  [2]side
}

// run makes all matches.
func (g greedy) run(all []waiting) (matches [][]*waiting) {
	order := make([]*waiting, len(all))
	for i := range all {
		all[i].taken = false
		order[i] = &all[i]
	}
	slices.SortFunc(order, func(a, b *waiting) int { return int(a.start - b.start) })
	next := make([]int, len(order)+1) // to the next that is not taken
	for i := range next {
		next[i] = i
	}
	free := func(i int) int {
		for next[i] != i {
			next[i] = next[next[i]]
			i = next[i]
		}
		return i
	}
	for at := free(0); at < len(order); at = free(at + 1) {
		m := making{lo: math.Inf(1), hi: math.Inf(-1)}
		if !g.add(&m, order[at]) {
			continue
		}
		for i := free(at + 1); i < len(order) && m.size() < g.players; i = free(i + 1) {
			g.add(&m, order[i])
		}
		if m.size() < g.players {
			continue
		}
		for _, w := range m.list {
			w.taken = true
		}
		for i := at; i < len(order); i++ {
			if order[i].taken && next[i] == i {
				next[i] = i + 1
			}
			if order[i] == m.list[len(m.list)-1] {
				break
			}
		}
		matches = append(matches, m.list)
	}
	return matches
}

func (m *making) size() int { return m.sides[0].size + m.sides[1].size }

// add takes a ticket if the rules still hold, and gives it the team with more room, of two
// alike the weaker one.
func (g greedy) add(m *making, w *waiting) bool {
	lo, hi := min(m.lo, w.skill), max(m.hi, w.skill)
	if hi-lo > g.close[min(2, (crowdNow.UnixMilli()-w.start)/30_000)] { // it is the newest so far
		return false
	}
	if g.roles && !g.together(m, w) {
		return false
	}
	most := g.players / 2
	first := 0
	if a, b := m.sides[0], m.sides[1]; b.size < a.size || b.size == a.size && b.sum < a.sum {
		first = 1
	}
	for _, t := range []int{first, 1 - first} {
		before := m.sides[t]
		s := &m.sides[t]
		s.size, s.heals, s.sum = s.size+w.size, s.heals+w.heals, s.sum+w.skill*float64(w.size)
		if s.size <= most && (!g.roles || s.heals > 0 || s.size < most) && (m.size() < g.players || g.even(m)) {
			m.list, m.lo, m.hi = append(m.list, w), lo, hi
			return true
		}
		*s = before
	}
	return false
}

// together says the ticket has the mode and a place in common with the others.
func (g greedy) together(m *making, w *waiting) bool {
	limit := 100.0
	if crowdNow.UnixMilli()-w.start >= 45_000 {
		limit = 150
	}
	for k := range matchPlaces {
		ok := w.ping[k] <= limit
		for _, o := range m.list {
			ok = ok && o.mode == w.mode && o.ping[k] <= limit
		}
		if ok {
			return true
		}
	}
	return false
}

// even says no team's mean is too far from the whole's.
func (g greedy) even(m *making) bool {
	if g.fair == 0 {
		return true
	}
	a, b := m.sides[0], m.sides[1]
	whole := (a.sum + b.sum) / float64(a.size+b.size)
	return math.Abs(a.sum/float64(a.size)-whole) <= g.fair && math.Abs(b.sum/float64(b.size)-whole) <= g.fair
}
