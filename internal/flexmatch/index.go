package flexmatch

import (
	"math"
	"slices"
	"time"
)

// gone is the rank of a ticket that has left the index.
const gone = math.MaxInt32

// index is the pool of one pass, in the rule set's own shape. Tickets are known by their
// rank in the batch. They stand in groups: one for every combination of the values that
// must be equal, a location they can play in and the latency limits that allow it, and
// the expansion level they have reached.
// A group is sorted by the number of the rule set's window rule, under a tree of the
// lowest ranks, so that "the next oldest ticket within a distance of mine" costs a
// logarithm and not a walk over the pool.
type index struct {
	rows    []int32 // by rank
	level   []int16 // by rank
	present []int   // how many tickets are at each level
	fresh   []bool  // by rank: not tried yet at its level
	groups  []*group
	parts   [][]int32 // groups of a part, by the part's number
	part    []int32   // by rank
	first   []int32   // first membership of each rank, and one past the last
	members []member
	value   []float64 // by rank, when there is a window
	supply  [][]int32 // of each wanted string: how many lists hold it, by part
	bring   [][]uint8 // and by rank
	reach   places    // the locations that are of interest

	// What building needs and the next build can use again.
	ranks   []int32 // in the order of value, else of rank
	rankOf  []int32
	next    []int32
	entries []entry
	ids     map[groupKey]int32
	links   []int32   // the groups' trees and counts
	floats  []float64 // and their values
}

// entry is a ticket in a group, before the groups have their size.
type entry struct{ rank, group int32 }

// zeroed is a list of n zeros, in the old list's memory if it has room.
func zeroed[T any](list []T, n int) []T {
	list = slices.Grow(list[:0], n)[:n]
	clear(list)
	return list
}

// group is the tickets of one combination.
type group struct {
	place   int // -1 when locations do not matter
	grade   uint8
	brings  uint8 // the wanted strings its tickets, all small, have
	level   int16
	values  []float64 // sorted; nil without a window
	tree    []int32   // lowest rank below each node; leaves from len/2 on
	players []int32   // Fenwick tree of players
	size    int       // tickets
	fresh   []int32   // how many before each position are fresh
	up      []int32   // from each position, towards the next live one at or above it
	down    []int32   // the same downwards, positions shifted by one
}

type member struct{ group, pos int32 }

// build makes the index of some rows, which are in the order of the batch, in the memory
// of an earlier one.
func (p *Pool) build(x *index, rows []int32, now time.Time) {
	x.rows, x.level, x.fresh, x.present = rows, zeroed(x.level, len(rows)), zeroed(x.fresh, len(rows)), zeroed(x.present, len(p.prog.levels))
	for rank, row := range rows {
		l := p.levelAt(row, now)
		x.level[rank] = int16(l)
		x.present[l]++
		x.fresh[rank] = p.tried[row] != int16(l)+1
	}
	x.partition(p)
	x.stock(p)
	x.fill(p)
}

// partition numbers the combinations of values that must be equal. A ticket that is not
// even of one value itself is in no part and can never match.
func (x *index) partition(p *Pool) {
	x.part = zeroed(x.part, len(x.rows))
	if len(p.prog.shape.equal) == 0 {
		x.parts = make([][]int32, 1)
		return
	}
	numbers := map[[maxEqual]uint64]int32{}
	for rank, row := range x.rows {
		key, ok := p.equalKey(row)
		if !ok {
			x.part[rank] = -1
			continue
		}
		n, seen := numbers[key]
		if !seen {
			n = int32(len(numbers))
			numbers[key] = n
		}
		x.part[rank] = n
	}
	x.parts = make([][]int32, len(numbers))
}

// stock counts how many lists each ticket and each part has of the strings that some
// rule wants a number of.
func (x *index) stock(p *Pool) {
	wanted := p.prog.wanted
	x.supply, x.bring = make([][]int32, len(wanted)), make([][]uint8, len(wanted))
	for k, w := range wanted {
		x.supply[k], x.bring[k] = make([]int32, len(x.parts)), make([]uint8, len(x.rows))
		lists := p.cols.lists[w.col]
		for rank, row := range x.rows {
			from, to := p.cols.units(row)
			for u := from; u < to; u++ {
				if slices.Contains(lists[u], w.sym) && x.bring[k][rank] < math.MaxUint8 {
					x.bring[k][rank]++
				}
			}
			if part := x.part[rank]; part >= 0 {
				x.supply[k][part] += int32(x.bring[k][rank])
			}
		}
	}
}

// smallParty is a ticket that fits into nearly any team.
const smallParty = 2

// bringsOf is a set of the first eight wanted strings: what a small ticket has of them.
func (x *index) bringsOf(rank int32, players int32) (set uint8) {
	if players > smallParty {
		return 0
	}
	for k := range min(8, len(x.bring)) {
		if x.bring[k][rank] > 0 {
			set |= 1 << k
		}
	}
	return set
}

// equalKey is the ticket's values under the first equality rules; the others, if
// any, are left to the rules themselves.
func (p *Pool) equalKey(row int32) (key [maxEqual]uint64, ok bool) {
	from, to := p.cols.units(row)
	for i, e := range p.prog.shape.equal {
		if i == maxEqual {
			break
		}
		for u := from; u < to; u++ {
			for j := range p.cols.uSize[u] {
				var v uint64
				if e.text {
					v = uint64(p.cols.pStr[e.attr][p.cols.uPlayer[u]+j])
				} else {
					v = math.Float64bits(p.cols.num[e.col][u] + 0) // -0 is 0
				}
				if (u > from || j > 0) && v != key[i] {
					return key, false
				}
				key[i] = v
			}
		}
	}
	return key, true
}

// reachable are the locations a ticket can play in under a latency column.
func (p *Pool) reachable(row int32, col int) places {
	from, to := p.cols.units(row)
	all := p.cols.reach[col][from]
	for u := from + 1; u < to; u++ {
		all = all.and(p.cols.reach[col][u])
	}
	return all
}

// maxGrades is how many latency limits the index tells apart: tickets of a group can
// play in its place under the same of them.
const maxGrades = 8

// groupKey is a group's part, level (a rule set has room for 2,000), place, grade and what
// its tickets bring, in one word.
type groupKey uint64

// fill puts every ticket into its groups, in the order of the window's number.
func (x *index) fill(p *Pool) {
	n := len(x.rows)
	x.first, x.entries, x.groups = zeroed(x.first, n+1), x.entries[:0], x.groups[:0]
	if x.ids == nil {
		x.ids = map[groupKey]int32{}
	}
	clear(x.ids)
	enter := func(rank int32, at int, grade uint8) {
		brings := x.bringsOf(rank, p.cols.players[x.rows[rank]])
		key := groupKey(x.part[rank])<<36 | groupKey(x.level[rank])<<24 | groupKey(uint8(at))<<16 | groupKey(grade)<<8 | groupKey(brings)
		id, ok := x.ids[key]
		if !ok {
			id = int32(len(x.groups))
			x.ids[key] = id
			x.groups = append(x.groups, &group{place: at, level: x.level[rank], grade: grade, brings: brings})
			x.parts[x.part[rank]] = append(x.parts[x.part[rank]], id)
		}
		x.groups[id].size++
		x.entries = append(x.entries, entry{rank, id})
		x.first[rank+1]++
	}
	for _, rank := range x.byValue(p) {
		if x.part[rank] < 0 {
			continue
		}
		if !p.prog.shape.byPlace {
			enter(rank, -1, 0)
			continue
		}
		var sets [maxGrades]places
		for i, col := range p.prog.shape.latencies {
			sets[i] = p.reachable(x.rows[rank], col)
		}
		for at := range p.cols.places {
			grade := uint8(0)
			for i := range p.prog.shape.latencies {
				if sets[i].has(at) {
					grade |= 1 << i
				}
			}
			if grade != 0 && x.reach.has(at) {
				enter(rank, at, grade)
			}
		}
	}
	for i := range n {
		x.first[i+1] += x.first[i]
	}
	x.found(p)
	x.members, x.next = zeroed(x.members, len(x.entries)), append(x.next[:0], x.first...)
	for _, e := range x.entries {
		g := x.groups[e.group]
		x.members[x.next[e.rank]] = member{e.group, int32(g.size)}
		x.next[e.rank]++
		g.tree[len(g.tree)/2+g.size] = e.rank
		g.size++
	}
	for _, g := range x.groups {
		g.grow(x, p)
	}
}

// byValue is the ranks in the order of the window's number, or in their own without one.
func (x *index) byValue(p *Pool) []int32 {
	col, n := p.prog.shape.window, len(x.rows)
	x.ranks = x.ranks[:0]
	if col < 0 {
		for rank := range int32(n) {
			x.ranks = append(x.ranks, rank)
		}
		return x.ranks
	}
	x.value, x.rankOf = zeroed(x.value, n), zeroed(x.rankOf, len(p.alive))
	for rank, row := range x.rows {
		x.value[rank] = p.cols.ticketNumber(col, row, average)
		x.rankOf[row] = int32(rank) + 1
	}
	for _, row := range p.byValue {
		if rank := x.rankOf[row] - 1; rank >= 0 {
			x.ranks = append(x.ranks, rank)
		}
	}
	return x.ranks
}

// found gives every group its share of the memory, for as many tickets as it was counted
// to have, and sets the count back.
func (x *index) found(p *Pool) {
	outward := p.prog.outward()
	each := 4
	if outward {
		each = 6
	}
	x.links = zeroed(x.links, each*(len(x.entries)+len(x.groups)))
	if x.value != nil {
		x.floats = zeroed(x.floats, len(x.entries))
	}
	links, floats := x.links, x.floats
	share := func(n int) (part []int32) {
		part, links = links[:n:n], links[n:]
		return part
	}
	for _, g := range x.groups {
		m := g.size
		g.tree, g.players, g.fresh = share(2*m), share(m+1), share(m+1)
		if outward {
			g.up, g.down = share(m+1), share(m+1)
		}
		if x.value != nil {
			g.values, floats = floats[:m:m], floats[m:]
		}
		g.size = 0
	}
}

// grow builds the group's trees over its ranks, which stand in the leaves.
func (g *group) grow(x *index, p *Pool) {
	m := g.size
	ranks := g.tree[m:]
	for i := m - 1; i > 0; i-- {
		g.tree[i] = min(g.tree[2*i], g.tree[2*i+1])
	}
	for i, rank := range ranks {
		if g.values != nil {
			g.values[i] = x.value[rank]
		}
		g.players[i+1] += p.cols.players[x.rows[rank]]
		if up := i + 1 + (i+1)&-(i+1); up <= m {
			g.players[up] += g.players[i+1]
		}
		g.fresh[i+1] = g.fresh[i]
		if x.fresh[rank] {
			g.fresh[i+1]++
		}
	}
	for i := range g.up {
		g.up[i], g.down[i] = int32(i), int32(i)
	}
}

// within finds the positions whose values lie between lo and hi.
func (g *group) within(lo, hi float64) (from, to int) {
	if g.values == nil {
		return 0, len(g.tree) / 2
	}
	from = lower(g.values, lo)
	return from, from + upper(g.values[from:], hi)
}

// lower is the first position of a sorted list whose value is not below v.
func lower(list []float64, v float64) int {
	at, n := 0, len(list)
	for n > 0 {
		half := n >> 1
		if list[at+half] < v {
			at, n = at+half+1, n-half-1
		} else {
			n = half
		}
	}
	return at
}

// upper is the first position whose value is above v. What is asked for mostly begins
// where the list does, so it looks there first.
func upper(list []float64, v float64) int {
	end := 1
	for end <= len(list) && list[end-1] <= v {
		end *= 2
	}
	at, n := end/2, min(end-1, len(list))-end/2
	for n > 0 {
		half := n >> 1
		if list[at+half] <= v {
			at, n = at+half+1, n-half-1
		} else {
			n = half
		}
	}
	return at
}

// count is the number of live players at positions from to to.
func (g *group) count(from, to int) int {
	n := int32(0)
	for i := to; i > 0; i -= i & -i {
		n += g.players[i]
	}
	for i := from; i > 0; i -= i & -i {
		n -= g.players[i]
	}
	return int(n)
}

// remove takes a ticket out of all its groups.
func (x *index) remove(rank int32, players int32) {
	for _, m := range x.members[x.first[rank]:x.first[rank+1]] {
		g := x.groups[m.group]
		n := len(g.tree) / 2
		if g.up != nil {
			g.up[m.pos], g.down[m.pos+1] = m.pos+1, m.pos
		}
		i := int(m.pos) + n
		g.tree[i] = gone
		for i >>= 1; i > 0; i >>= 1 {
			g.tree[i] = min(g.tree[2*i], g.tree[2*i+1])
		}
		for i := int(m.pos) + 1; i <= n; i += i & -i {
			g.players[i] -= players
		}
	}
}

// alive follows the links of up or down from a position to the next live one, shortening
// the way for the next time.
func alive(links []int32, at int) int {
	for int(links[at]) != at {
		links[at] = links[links[at]]
		at = int(links[at])
	}
	return at
}

// outwards calls f with the live tickets of a group between two values, nearest to the
// given value first, until f says false.
func (g *group) outwards(value, lo, hi float64, f func(rank int32) bool) {
	n := len(g.tree) / 2
	at := lower(g.values, value)
	above, below := alive(g.up, at), alive(g.down, at)-1
	for {
		over := above < n && g.values[above] <= hi
		under := below >= 0 && g.values[below] >= lo
		switch {
		case !over && !under:
			return
		case over && (!under || g.values[above]-value <= value-g.values[below]):
			if !f(g.tree[n+above]) {
				return
			}
			above = alive(g.up, above+1)
		default:
			if !f(g.tree[n+below]) {
				return
			}
			below = alive(g.down, below) - 1
		}
	}
}

// stream yields the tickets of some stretches of groups by rank, each once.
type stream struct {
	x    *index
	heap nodes
	last int32
}

// node is a subtree of a group; rank is the lowest below it.
type node struct {
	rank  int32
	group int32
	at    int32
}

// nodes is a binary heap by rank; container/heap would box every node.
type nodes []node

func (h *nodes) push(n node) {
	*h = append(*h, n)
	list, i := *h, len(*h)-1
	for i > 0 {
		up := (i - 1) / 2
		if list[up].rank <= n.rank {
			break
		}
		list[i] = list[up]
		i = up
	}
	list[i] = n
}

func (h *nodes) pop() node {
	list := *h
	top, last := list[0], list[len(list)-1]
	list = list[:len(list)-1]
	*h = list
	if len(list) == 0 {
		return top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= len(list) {
			break
		}
		if down+1 < len(list) && list[down+1].rank < list[down].rank {
			down++
		}
		if list[down].rank >= last.rank {
			break
		}
		list[i] = list[down]
		i = down
	}
	list[i] = last
	return top
}

func (s *stream) reset(x *index) { s.x, s.heap, s.last = x, s.heap[:0], -1 }

// include adds a stretch of a group.
func (s *stream) include(id int32, from, to int) {
	g := s.x.groups[id]
	n := len(g.tree) / 2
	for l, r := from+n, to+n; l < r; l, r = l>>1, r>>1 {
		if l&1 == 1 {
			s.push(id, l)
			l++
		}
		if r&1 == 1 {
			r--
			s.push(id, r)
		}
	}
}

func (s *stream) push(id int32, at int) {
	if rank := s.x.groups[id].tree[at]; rank != gone {
		s.heap.push(node{rank, id, int32(at)})
	}
}

// next is the lowest rank not yet yielded; false at the end.
func (s *stream) next() (int32, bool) {
	for len(s.heap) > 0 {
		top := s.heap.pop()
		g := s.x.groups[top.group]
		for at, leaves := int(top.at), len(g.tree)/2; at < leaves; {
			down, other := 2*at, 2*at+1
			if g.tree[other] < g.tree[down] {
				down, other = other, down
			}
			s.push(top.group, other)
			at = down
		}
		if top.rank != s.last {
			s.last = top.rank
			return top.rank, true
		}
	}
	return 0, false
}
