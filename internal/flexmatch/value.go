package flexmatch

import (
	"math"
	"slices"
)

// kind is what a value holds.
type kind uint8

const (
	noValue kind = iota // of an empty list; comparison and distance pass over it (spec 1.6)
	aNumber
	aString
	aSet
	aList
)

// value is the result of an expression over a roster. Strings are symbols of the pool.
type value struct {
	kind kind
	sym  int32
	unit int32 // the unit a plain element comes from, -1 for anything computed
	num  float64
	set  []int32
	list []value
}

func number(n float64) value { return value{kind: aNumber, num: n, unit: -1} }

// scratch hands out the short-lived slices of one evaluation.
type scratch struct {
	values []value
	used   int
	syms   []int32
	kept   int
}

func (s *scratch) reset() { s.used, s.kept = 0, 0 }

// take returns n values. Slices taken earlier stay valid when the buffer grows.
func (s *scratch) take(n int) []value {
	if s.used+n > len(s.values) {
		s.values, s.used = make([]value, max(256, 2*(s.used+n))), 0
	}
	out := s.values[s.used : s.used+n : s.used+n]
	s.used += n
	return out
}

func (s *scratch) takeSyms(n int) []int32 {
	if s.kept+n > len(s.syms) {
		s.syms, s.kept = make([]int32, max(256, 2*(s.kept+n))), 0
	}
	out := s.syms[s.kept : s.kept+n : s.kept+n]
	s.kept += n
	return out
}

// evaluator gives the value of one expression over a roster.
type evaluator func(r *roster) value

// sets says how string_list attributes are read: each player's own list, or one list
// per unit, as a collection rule asks.
type sets struct {
	perUnit bool
	how     aggregation // union or intersection, of a unit's players
}

// evaluator compiles an expression. how is the party aggregation of numbers.
func (c *compiler) evaluator(e *expr, how aggregation, s sets) evaluator {
	if e.op == "" {
		return c.path(e, how, s)
	}
	if fused := c.fused(e, how); fused != nil {
		return fused
	}
	arg := c.evaluator(e.arg, how, s)
	switch e.op {
	case "flatten":
		if e.arg.typ == (exprType{baseSet, 1}) {
			return func(r *roster) value { return flattenSets(r, arg(r)) }
		}
		return func(r *roster) value { return flatten(r, arg(r)) }
	case "set_intersection":
		depth := e.typ.depth
		return func(r *roster) value { return mapDeep(r, arg(r), depth, intersect) }
	case "count":
		depth := e.typ.depth
		return func(r *roster) value { return mapDeep(r, arg(r), depth, count) }
	}
	reduce, depth := reducers[e.op], e.typ.depth
	return func(r *roster) value {
		return mapDeep(r, arg(r), depth, func(_ *roster, v value) value { return reduce(v.list) })
	}
}

// mapDeep applies f to every value depth lists down.
func mapDeep(r *roster, v value, depth int, f func(*roster, value) value) value {
	if depth == 0 {
		return f(r, v)
	}
	out := r.tmp.take(len(v.list))
	for i, el := range v.list {
		out[i] = mapDeep(r, el, depth-1, f)
	}
	return value{kind: aList, list: out}
}

func count(_ *roster, v value) value {
	if v.kind == aSet {
		return number(float64(len(v.set)))
	}
	return number(float64(len(v.list)))
}

// reducers are the functions from a list of numbers to one number. Elements without a
// value are left out; min, max, avg, median and stddev of nothing have no value.
var reducers = map[string]func(list []value) value{
	"min": func(list []value) value {
		best := value{}
		for _, v := range list {
			if v.kind == aNumber && (best.kind == noValue || v.num < best.num) {
				best = number(v.num)
			}
		}
		return best
	},
	"max": func(list []value) value {
		best := value{}
		for _, v := range list {
			if v.kind == aNumber && (best.kind == noValue || v.num > best.num) {
				best = number(v.num)
			}
		}
		return best
	},
	"sum": func(list []value) value {
		total, _ := sum(list)
		return number(total)
	},
	"avg": func(list []value) value {
		total, n := sum(list)
		if n == 0 {
			return value{}
		}
		return number(total / float64(n))
	},
	"median": func(list []value) value {
		nums := make([]float64, 0, len(list))
		for _, v := range list {
			if v.kind == aNumber {
				nums = append(nums, v.num)
			}
		}
		n := len(nums)
		if n == 0 {
			return value{}
		}
		slices.Sort(nums)
		if n%2 == 1 {
			return number(nums[n/2])
		}
		return number((nums[n/2-1] + nums[n/2]) / 2)
	},
	"stddev": func(list []value) value { // of the population
		total, n := sum(list)
		if n == 0 {
			return value{}
		}
		mean, squares := total/float64(n), 0.0
		for _, v := range list {
			if v.kind == aNumber {
				squares += (v.num - mean) * (v.num - mean)
			}
		}
		return number(math.Sqrt(squares / float64(n)))
	},
}

func sum(list []value) (total float64, n int) {
	for _, v := range list {
		if v.kind == aNumber {
			total += v.num
			n++
		}
	}
	return total, n
}

func flatten(r *roster, v value) value {
	n := 0
	for _, inner := range v.list {
		n += len(inner.list)
	}
	out := r.tmp.take(n)[:0]
	for _, inner := range v.list {
		out = append(out, inner.list...)
	}
	return value{kind: aList, list: out}
}

func flattenSets(r *roster, v value) value {
	n := 0
	for _, inner := range v.list {
		n += len(inner.set)
	}
	out := r.tmp.take(n)[:0]
	for _, inner := range v.list {
		for _, s := range inner.set {
			out = append(out, value{kind: aString, sym: s, unit: -1})
		}
	}
	return value{kind: aList, list: out}
}

// ofNothing is the unit of a set_intersection over no lists: the empty set, which the
// first player may still turn into something else.
const ofNothing = -2

// intersect gives the strings found in every list of v, in the order of the first.
func intersect(r *roster, v value) value {
	if len(v.list) == 0 {
		return value{kind: aSet, unit: ofNothing}
	}
	var common []int32
	for i, el := range v.list {
		set := asSet(r, el)
		if i == 0 {
			common = append(r.tmp.takeSyms(len(set))[:0], set...)
			continue
		}
		common = keepCommon(common, set)
	}
	return value{kind: aSet, set: common, unit: -1}
}

// asSet reads a value as one collection: a set, a list of strings, or one string.
func asSet(r *roster, v value) []int32 {
	switch v.kind {
	case aSet:
		return v.set
	case aString:
		set := r.tmp.takeSyms(1)
		set[0] = v.sym
		return set
	case aList:
		set := r.tmp.takeSyms(len(v.list))[:0]
		for _, el := range v.list {
			set = append(set, el.sym)
		}
		return set
	case noValue, aNumber:
	}
	return nil
}

// keepCommon leaves in a what is in b too, in place. Sets of rules are sorted and merge;
// others are searched.
func keepCommon(a, b []int32) []int32 {
	out := a[:0]
	if slices.IsSorted(a) && slices.IsSorted(b) {
		for i, j := 0, 0; i < len(a) && j < len(b); {
			switch {
			case a[i] == b[j]:
				out = append(out, a[i])
				i++
				j++
			case a[i] < b[j]:
				i++
			default:
				j++
			}
		}
		return out
	}
	for _, s := range a {
		if slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// path compiles teams[...].players...: the elements of the selected teams in joining
// order. A number is its unit's aggregate, repeated for every player of the unit, or
// given once when the options read parties as one value (spec 2.3).
func (c *compiler) path(e *expr, how aggregation, s sets) evaluator {
	element, once := c.element(e, how, s)
	mask := e.mask
	c.masks = append(c.masks, mask)
	if !e.many {
		return func(r *roster) value {
			out := r.tmp.take(r.total)[:0]
			for i, u := range r.units {
				if mask>>r.team[i]&1 == 1 {
					out = appendElements(r, out, u, element, once)
				}
			}
			return value{kind: aList, list: out}
		}
	}
	return func(r *roster) value {
		teams := r.tmp.take(len(r.size))[:0]
		for t := range r.size {
			if mask>>t&1 == 0 {
				continue
			}
			out := r.tmp.take(int(r.size[t]))[:0]
			for i, u := range r.units {
				if int(r.team[i]) == t {
					out = appendElements(r, out, u, element, once)
				}
			}
			teams = append(teams, value{kind: aList, list: out})
		}
		return value{kind: aList, list: teams}
	}
}

func appendElements(r *roster, out []value, u int32, element func(r *roster, u, player int32) value, once bool) []value {
	first, n := r.p.uPlayer[u], r.p.uSize[u]
	if once {
		n = 1
	}
	for i := range n {
		v := element(r, u, first+i)
		v.unit = u
		out = append(out, v)
	}
	return out
}

// element reads one player; once says that a unit has a single element.
func (c *compiler) element(e *expr, how aggregation, s sets) (f func(r *roster, u, player int32) value, once bool) {
	if e.leaf == leafPlayer {
		return func(*roster, int32, int32) value { return value{} }, false
	}
	if e.leaf == leafID {
		c.usesIDs = true
		return func(r *roster, _, player int32) value {
			return value{kind: aString, sym: r.p.pID[player]}
		}, false
	}
	attr := e.attr
	switch e.typ.base {
	case baseNumber:
		col := c.numberColumn(attr, how)
		return func(r *roster, u, _ int32) value {
			return value{kind: aNumber, num: r.p.num[col][u]}
		}, c.opts.PartyAsOne
	case baseString:
		return func(r *roster, _, player int32) value {
			return value{kind: aString, sym: r.p.pStr[attr][player]}
		}, false
	case baseSet:
		if !s.perUnit {
			return func(r *roster, _, player int32) value {
				return value{kind: aSet, set: r.p.pList[attr][player]}
			}, false
		}
		col := c.listColumn(attr, s.how)
		return func(r *roster, u, _ int32) value {
			return value{kind: aSet, set: r.p.lists[col][u]}
		}, true
	case basePlayer, baseMap:
	}
	return func(*roster, int32, int32) value { return value{} }, false
}

// fused compiles the commonest shapes without building lists: a reduction over all
// selected players, and a reduction per team.
func (c *compiler) fused(e *expr, how aggregation) evaluator {
	arg, flat := e.arg, false
	if arg.op == "flatten" {
		arg, flat = arg.arg, true
	}
	if arg.op != "" || (flat && !arg.many) {
		return nil
	}
	mask, perTeam := arg.mask, arg.many && !flat
	c.masks = append(c.masks, mask)
	if e.op == "count" && arg.leaf == leafPlayer {
		if perTeam {
			return func(r *roster) value {
				out := r.tmp.take(len(r.size))[:0]
				for t, n := range r.size {
					if mask>>t&1 == 1 {
						out = append(out, number(float64(n)))
					}
				}
				return value{kind: aList, list: out}
			}
		}
		return func(r *roster) value {
			n := 0
			for t, size := range r.size {
				if mask>>t&1 == 1 {
					n += int(size)
				}
			}
			return number(float64(n))
		}
	}
	if arg.typ.base != baseNumber || !slices.Contains([]string{"min", "max", "sum", "avg"}, e.op) {
		return nil
	}
	col, op, once := c.numberColumn(arg.attr, how), e.op, c.opts.PartyAsOne
	if perTeam {
		return func(r *roster) value {
			acc := r.perTeam[:len(r.size)]
			clear(acc)
			nums := r.p.num[col]
			for i, u := range r.units {
				acc[r.team[i]].add(nums[u], int(r.p.uSize[u]), once)
			}
			out := r.tmp.take(len(acc))[:0]
			for t := range acc {
				if mask>>t&1 == 1 {
					out = append(out, acc[t].result(op))
				}
			}
			return value{kind: aList, list: out}
		}
	}
	return func(r *roster) value {
		var acc accumulator
		nums := r.p.num[col]
		for i, u := range r.units {
			if mask>>r.team[i]&1 == 1 {
				acc.add(nums[u], int(r.p.uSize[u]), once)
			}
		}
		return acc.result(op)
	}
}

// accumulator sums up numbers, each standing for several players.
type accumulator struct {
	n             int
	sum, min, max float64
}

func (a *accumulator) add(v float64, players int, once bool) {
	if once {
		players = 1
	}
	if a.n == 0 {
		a.min, a.max = v, v
	}
	a.min, a.max = min(a.min, v), max(a.max, v)
	a.sum += v * float64(players)
	a.n += players
}

func (a *accumulator) result(op string) value {
	switch {
	case op == "sum":
		return number(a.sum)
	case a.n == 0:
		return value{}
	case op == "min":
		return number(a.min)
	case op == "max":
		return number(a.max)
	}
	return number(a.sum / float64(a.n))
}

// eachElement calls f for every element of a value, through all lists, until f says
// false. It reports whether f never did.
func eachElement(v value, f func(value) bool) bool {
	if v.kind != aList {
		return f(v)
	}
	for _, el := range v.list {
		if !eachElement(el, f) {
			return false
		}
	}
	return true
}
