package flexmatch

import (
	"cmp"
	"math"
	"slices"
)

// balancer chooses among the legal teams of a finished match.
type balancer struct {
	free   []int32   // indexes of the units that may change teams, largest first
	weight []float64 // by column and unit: its number times its players, over the column's range
	sums   []float64 // of those, by column and team
	size   []int32   // players by team
	team   []uint8   // by unit
	open   int32     // squares of the open slots, summed: the first thing to keep low
	apart  float64   // how far apart the teams' means are, over all columns: the second
	checks int       // rosters whose legality may still be checked
}

// How much is spent on the teams of one match.
const (
	allTeams   = 1_024 // assignments up to which all are looked at
	teamChecks = 64
)

// balance gives the best match the teams that balance best of those in which it is legal
// (spec 2.2): even sizes first, then close means of the numbers the rule set speaks of.
// Where nothing is to be won, the units stay where they came to be in the order of the
// batch, of which the ticket's id is the last tie-break.
func (s *search) balance() {
	b := &s.poise
	if len(s.best.units) <= 2 || len(s.r.size) == 1 || !s.weigh() {
		return
	}
	all := 1
	for range b.free {
		if all *= len(s.r.size); all > allTeams {
			break
		}
	}
	if all > allTeams {
		s.trade()
	} else {
		for _, i := range b.free {
			s.lift(i)
		}
		s.everyTeam(0)
	}
}

// weigh puts the best match back into the roster and sums up its teams; false when no
// unit is free to move.
func (s *search) weigh() bool {
	b, r, c := &s.poise, s.r, s.p.cols
	s.lv = s.p.prog.levels[s.best.level]
	r.clear()
	r.max, r.cap = s.lv.max, s.lv.cap
	b.free = b.free[:0]
	for i, u := range s.best.units {
		r.push(u, s.best.teams[i])
		if !c.session[c.uTicket[u]] {
			b.free = append(b.free, int32(i))
		}
	}
	if len(b.free) < 2 {
		return false
	}
	slices.SortStableFunc(b.free, func(x, y int32) int { return cmp.Compare(c.uSize[r.units[y]], c.uSize[r.units[x]]) })
	n, teams := len(r.units), len(r.size)
	b.team, b.size = append(b.team[:0], r.team...), append(b.size[:0], r.size...)
	b.weight, b.sums = zeroed(b.weight, n*len(s.p.prog.even)), zeroed(b.sums, teams*len(s.p.prog.even))
	for k, col := range s.p.prog.even {
		nums, lo, hi := c.num[col], math.Inf(1), math.Inf(-1)
		for _, u := range r.units {
			lo, hi = min(lo, nums[u]), max(hi, nums[u])
		}
		if hi == lo {
			continue // even, whatever the teams
		}
		for i, u := range r.units {
			w := (nums[u] - lo) / (hi - lo) * float64(c.uSize[u])
			b.weight[k*n+i] = w
			b.sums[k*teams+int(r.team[i])] += w
		}
	}
	b.checks = teamChecks
	b.open, b.apart = s.openness(), s.apartness()
	return true
}

// openness sums up the squares of the teams' open slots: least when they are even.
func (s *search) openness() (sum int32) {
	for t, n := range s.poise.size {
		open := s.lv.max[t] - n
		sum += open * open
	}
	return sum
}

// apartness sums up, over the columns, how far apart the highest and the lowest mean are.
func (s *search) apartness() (sum float64) {
	b := &s.poise
	teams := len(b.size)
	for from := 0; from < len(b.sums); from += teams {
		lo, hi := math.Inf(1), math.Inf(-1)
		for t, n := range b.size {
			if n > 0 {
				mean := b.sums[from+t] / float64(n)
				lo, hi = min(lo, mean), max(hi, mean)
			}
		}
		sum += hi - lo
	}
	return sum
}

// lift takes a unit out of its team's sums, drop puts it into a team's.
func (s *search) lift(i int32) { s.shift(i, int(s.poise.team[i]), -1) }

func (s *search) drop(i int32, team uint8) {
	s.poise.team[i] = team
	s.shift(i, int(team), 1)
}

func (s *search) shift(i int32, team int, sign int32) {
	b := &s.poise
	n, teams := len(b.team), len(b.size)
	b.size[team] += sign * s.p.cols.uSize[s.r.units[i]]
	for k := range s.p.prog.even {
		b.sums[k*teams+team] += float64(sign) * b.weight[k*n+int(i)]
	}
}

// prefer gives the match the balancer's teams if they balance better than those it has
// and are legal.
func (s *search) prefer() bool {
	b := &s.poise
	open := s.openness()
	if open > b.open {
		return false
	}
	apart := s.apartness()
	if (open == b.open && apart >= b.apart-1e-9) || b.checks <= 0 || !s.sized(b.size) {
		return false
	}
	b.checks--
	copy(s.r.team, b.team)
	copy(s.r.size, b.size)
	if !s.fair() {
		return false
	}
	b.open, b.apart = open, apart
	copy(s.best.teams, b.team)
	return true
}

// sized says every team has as many players as it may have.
func (s *search) sized(size []int32) bool {
	for t, n := range size {
		if n < s.lv.min[t] || n > s.lv.max[t] {
			return false
		}
	}
	return true
}

// fair checks the rules that look at teams. It counts no evaluations: these choose among
// matches' teams, not among tickets.
func (s *search) fair() bool {
	for _, i := range s.lv.enforced {
		if !s.lv.teamless[i] && !s.lv.rules[i].check(s.r) {
			return false
		}
	}
	return true
}

// everyTeam tries all assignments of the free units from the n-th on.
func (s *search) everyTeam(n int) {
	b := &s.poise
	if n == len(b.free) {
		s.prefer()
		return
	}
	i := b.free[n]
	players := s.p.cols.uSize[s.r.units[i]]
	for t := range b.size {
		if b.size[t]+players <= s.lv.max[t] {
			s.drop(i, uint8(t))
			s.everyTeam(n + 1)
			s.lift(i)
		}
	}
}

// tradeRounds is how often all exchanges are gone through.
const tradeRounds = 8

// trade moves units, and swaps them between teams, while that balances better.
func (s *search) trade() {
	b := &s.poise
	for range tradeRounds {
		better := false
		for n, i := range b.free {
			for t := range b.size {
				if from := b.team[i]; int(from) != t {
					better = s.exchange(i, i, uint8(t), from) || better
				}
			}
			for _, j := range b.free[:n] {
				if b.team[i] != b.team[j] {
					better = s.exchange(i, j, b.team[j], b.team[i]) || better
				}
			}
		}
		if !better || b.checks <= 0 {
			return
		}
	}
}

// exchange puts unit i into a team and unit j into another if that is better. i and j
// may be one unit, which then moves alone.
func (s *search) exchange(i, j int32, to, from uint8) bool {
	s.lift(i)
	s.drop(i, to)
	if j != i {
		s.lift(j)
		s.drop(j, from)
	}
	if s.prefer() {
		return true
	}
	s.lift(i)
	s.drop(i, from)
	if j != i {
		s.lift(j)
		s.drop(j, to)
	}
	return false
}
