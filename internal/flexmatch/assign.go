package flexmatch

import (
	"cmp"
	"math"
	"slices"
)

// assigner finds teams for the tickets of a candidate when the obvious choice fails.
type assigner struct {
	alt   *roster
	order []uint8
	sums  []float64
	list  []int32 // indexes of the roster's free units, in the order they are placed
	nodes int
}

// How many placements are tried for one candidate: while it grows, and to complete it.
const (
	growNodes  = 40
	finalNodes = 100
	fullNodes  = 4_000 // both, in a small pool
)

// mirrored says an earlier empty team of the same kind can stand for team t.
func (s *search) mirrored(r *roster, t int) bool {
	if r.size[t] != 0 {
		return false
	}
	classes := s.p.prog.classes
	for other := range t {
		if r.size[other] == 0 && classes[other] == classes[t] && s.lv.min[other] == s.lv.min[t] {
			return true
		}
	}
	return false
}

// rearrange looks for teams for all free units in which the candidate lives.
func (s *search) rearrange() bool {
	nodes := growNodes
	if s.small() {
		nodes = fullNodes
	} else if s.spent > s.allowance {
		return false
	}
	return s.reassign(nodes, func(alt *roster) bool { return true })
}

// reassign tries assignments of the free units, largest first, until done likes one; the
// roster then has it. Backfill players stay where they are.
func (s *search) reassign(nodes int, done func(alt *roster) bool) bool {
	a := &s.assign
	a.alt.p, a.alt.max, a.alt.cap = s.r.p, s.r.max, s.r.cap
	a.alt.clear()
	a.list = a.list[:0]
	for i, u := range s.r.units {
		if s.p.cols.session[s.p.cols.uTicket[u]] {
			a.alt.push(u, s.r.team[i])
			if a.alt.size[s.r.team[i]] > s.lv.max[s.r.team[i]] {
				return false
			}
			continue
		}
		a.list = append(a.list, int32(i))
	}
	slices.SortStableFunc(a.list, func(x, y int32) int {
		return cmp.Compare(s.p.cols.uSize[s.r.units[y]], s.p.cols.uSize[s.r.units[x]])
	})
	a.nodes = nodes
	found := s.put(0, done)
	s.tries += (nodes - max(0, a.nodes)) / 8
	if !found {
		return false
	}
	// alt holds the backfill units first and then the list: copy the teams back.
	fixed := len(s.r.units) - len(a.list)
	for n, i := range a.list {
		s.r.move(int(i), a.alt.team[fixed+n])
	}
	return true
}

// put places the n-th free unit and everything after it.
func (s *search) put(n int, done func(alt *roster) bool) bool {
	a := &s.assign
	if n == len(a.list) {
		return done(a.alt)
	}
	unit := s.r.units[a.list[n]]
	size := s.p.cols.uSize[unit]
	var teams [MaxSmallMatch]uint8
	k := 0
	for t := range a.alt.size {
		if a.alt.size[t]+size <= s.lv.max[t] && !s.mirrored(a.alt, t) {
			teams[k] = uint8(t)
			k++
		}
	}
	open := teams[:k]
	slices.SortStableFunc(open, func(x, y uint8) int {
		return cmp.Compare(s.lv.max[y]-a.alt.size[y], s.lv.max[x]-a.alt.size[x])
	})
	for _, t := range open {
		if a.nodes--; a.nodes < 0 {
			s.unsure = true // there may have been an assignment after all
			return false
		}
		a.alt.push(unit, t)
		if s.altLives() && s.put(n+1, done) {
			return true
		}
		a.alt.pop(1)
	}
	return false
}

func (s *search) altLives() bool {
	for _, i := range s.lv.byTeam {
		if s.lv.rules[i].dead(s.assign.alt) {
			return false
		}
	}
	return true
}

// settle makes sure of teams in which the complete roster is legal, as even as the rule
// set asks for where several are.
func (s *search) settle() bool {
	if s.p.prog.balance >= 0 && len(s.r.size) > 1 {
		before := slices.Clone(s.r.team)
		s.even()
		if s.complete(s.r) {
			return true
		}
		for i, t := range before {
			s.r.move(i, t)
		}
	}
	if s.complete(s.r) {
		return true
	}
	if len(s.r.size) == 1 {
		return false
	}
	if s.small() {
		return s.reassign(fullNodes, s.complete)
	}
	return s.reassign(finalNodes, s.complete)
}

// complete checks the team sizes and every rule that looks at teams.
func (s *search) complete(r *roster) bool {
	for t, n := range r.size {
		if n < s.lv.min[t] || n > s.lv.max[t] {
			return false
		}
	}
	for _, i := range s.lv.enforced {
		if !s.lv.teamless[i] && !s.holds(i, r) {
			return false
		}
	}
	return true
}

// even swaps units of one size between teams as long as that brings the teams' means of
// the balanced number closer together.
func (s *search) even() {
	r, nums := s.r, s.p.cols.num[s.p.prog.balance]
	sums := s.teamSums(nums)
	for range 2 * len(r.units) {
		best, bi, bj := s.spread(sums), -1, -1
		for i := range r.units {
			for j := range i {
				if !s.swappable(i, j) {
					continue
				}
				s.swapSums(sums, nums, i, j)
				if now := s.spread(sums); now < best-1e-9 {
					best, bi, bj = now, i, j
				}
				s.swapBack(sums, nums, i, j)
			}
		}
		if bi < 0 {
			return
		}
		s.swapSums(sums, nums, bi, bj)
		r.team[bi], r.team[bj] = r.team[bj], r.team[bi]
	}
}

func (s *search) teamSums(nums []float64) []float64 {
	s.assign.sums = slices.Grow(s.assign.sums[:0], len(s.r.size))[:len(s.r.size)]
	clear(s.assign.sums)
	for i, u := range s.r.units {
		s.assign.sums[s.r.team[i]] += nums[u] * float64(s.p.cols.uSize[u])
	}
	return s.assign.sums
}

func (s *search) swappable(i, j int) bool {
	c, a, b := s.p.cols, s.r.units[i], s.r.units[j]
	return s.r.team[i] != s.r.team[j] && c.uSize[a] == c.uSize[b] &&
		!c.session[c.uTicket[a]] && !c.session[c.uTicket[b]]
}

// swapSums moves the difference of units i and j between their teams' sums.
func (s *search) swapSums(sums, nums []float64, i, j int) {
	d := (nums[s.r.units[i]] - nums[s.r.units[j]]) * float64(s.p.cols.uSize[s.r.units[i]])
	sums[s.r.team[i]] -= d
	sums[s.r.team[j]] += d
}

// swapBack undoes swapSums. Swapping twice would move the difference twice.
func (s *search) swapBack(sums, nums []float64, i, j int) {
	d := (nums[s.r.units[i]] - nums[s.r.units[j]]) * float64(s.p.cols.uSize[s.r.units[i]])
	sums[s.r.team[i]] += d
	sums[s.r.team[j]] -= d
}

// spread is the difference between the highest and the lowest mean of the teams.
func (s *search) spread(sums []float64) float64 {
	lo, hi := math.Inf(1), math.Inf(-1)
	for t, sum := range sums {
		if n := s.r.size[t]; n > 0 {
			mean := sum / float64(n)
			lo, hi = min(lo, mean), max(hi, mean)
		}
	}
	return hi - lo
}

// exactPool is how many candidates the search with foresight looks at.
const exactPool = 64

// exactly searches the first candidates again, looking ahead: after every choice only
// the tickets that can still join count towards what is left. The roster holds the
// anchor alone. It reports whether a full match was found.
func (s *search) exactly() bool {
	for len(s.ranks) < exactPool && !s.drained {
		s.candidate(len(s.ranks))
	}
	whole := s.drained && len(s.ranks) <= exactPool
	list := s.joinable(s.ranks[:min(len(s.ranks), exactPool)])
	s.limit = s.tries + exactTries
	if s.small() && s.spent <= poolTries {
		s.limit = s.tries + s.most
	}
	s.cut, s.flops = false, 4
	if s.small() {
		s.flops = fullTries
	}
	done := s.ahead(list)
	s.cut = s.cut || !whole
	return done
}

// joinable keeps the candidates that no rule refuses for the roster as it is.
func (s *search) joinable(list []int32) []int32 {
	out := make([]int32, 0, len(list))
	for _, rank := range list {
		row := s.x.rows[rank]
		if !s.open(row) {
			continue
		}
		s.tries++
		from, to := s.p.cols.units(row)
		for u := from; u < to; u++ {
			s.r.push(u, 0) // these rules do not look at teams
		}
		if s.lives(s.lv.anywhere) {
			out = append(out, rank)
		}
		s.r.pop(int(to - from))
	}
	return out
}

// ahead is descend over a list in which every ticket can join by itself.
func (s *search) ahead(list []int32) bool {
	if s.r.total == s.lv.cap {
		return s.accept() || s.flopped()
	}
	left := 0
	for _, rank := range list {
		left += int(s.players(rank))
	}
	var tried [4]int32
	reps := 0
	for i, rank := range list {
		reach := s.r.total + left
		if reach < s.lv.need || s.outdone(reach) || s.beyond(len(s.chosen)-1, rank) {
			break
		}
		left -= int(s.players(rank))
		if s.tries >= s.limit {
			s.cut = true
			break
		}
		if s.seen(tried[:reps], rank) || !s.join(rank) {
			continue
		}
		if s.ahead(s.joinable(list[i+1:])) {
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
	return s.accept()
}
