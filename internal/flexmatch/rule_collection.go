package flexmatch

import (
	"fmt"
	"math"
	"slices"
)

// collection counts over string lists, one list a unit (spec 1.5, 2.3):
//
//	contains                      how many lists hold the reference
//	intersection                  how many strings are in every list
//	reference_intersection_count  for each list, how many of its strings the reference has
//
// A measurement that keeps its teams apart is counted team by team, as AWS's example of
// team-level and match-level limits has it.
type collection struct {
	measurements []*expr
	operation    string
	contains     string
	list         []string // a literal reference list
	reference    *expr
	party        aggregation
	min, max     float64
}

func parseCollection(p *parser, o object) ruleSpec {
	r := &collection{party: union, max: math.Inf(1)}
	if o.choice("partyAggregation", "union", "union", "intersection") == "intersection" {
		r.party = intersection
	}
	r.operation = o.choice("operation", "", "contains", "intersection", "reference_intersection_count")
	r.measurements = p.measurements(o)
	for i, m := range r.measurements {
		if m.typ.base != baseSet && (m.typ.base != baseString || m.typ.depth == 0) {
			o.wrong(fmt.Sprintf("measurements[%d]", i), "a collection needs string lists, %s is %s", m.text, m.typ)
		}
	}
	r.min, _ = o.bound("minCount")
	if n, ok := o.bound("maxCount"); ok {
		r.max = n
	}
	if !o.has("minCount") && !o.has("maxCount") {
		o.wrong("maxCount", "minCount or maxCount is required")
	}
	if r.min > r.max {
		o.wrong("minCount", "%v is more than maxCount %v", r.min, r.max)
	}
	p.collectionReference(o, r)
	return r
}

func (p *parser) collectionReference(o object, r *collection) {
	if r.operation != "contains" && r.operation != "reference_intersection_count" {
		return // an intersection has no reference; one that is given is passed over
	}
	switch v := o.members["referenceValue"].(type) {
	case nil:
		o.wrong("referenceValue", "is required by %s", r.operation)
	case string:
		if !looksLikeExpr(v) {
			r.contains, r.list = v, []string{v}
			return
		}
		e, err := parseExpr(p.rs, v)
		if err != nil {
			o.wrong("referenceValue", "%s", err)
			return
		}
		isList := e.typ == exprType{baseString, 1} || e.typ == exprType{baseSet, 0}
		if r.operation == "contains" || !isList {
			o.wrong("referenceValue", "%s needs %s, %s is %s", r.operation,
				map[bool]string{true: "a string", false: "a list of strings"}[r.operation == "contains"], e.text, e.typ)
			return
		}
		r.reference = e
	case []any:
		list, ok := asStrings(v)
		if !ok || r.operation == "contains" {
			o.wrong("referenceValue", "must be %s", map[bool]string{true: "a string", false: "a list of strings"}[r.operation == "contains"])
			return
		}
		r.list = list
	default:
		o.wrong("referenceValue", "must be a string, a list of strings or an expression, not %s", kindOf(v))
	}
}

func (r *collection) compile(c *compiler) compiledRule {
	var all []compiledRule
	for _, m := range r.measurements {
		switch r.operation {
		case "contains":
			all = append(all, r.containing(c, m))
		case "intersection":
			all = append(all, r.intersecting(c, m))
		default:
			all = append(all, r.referring(c, m))
		}
	}
	return every(all)
}

func (r *collection) within(n int) bool { return float64(n) >= r.min && float64(n) <= r.max }

func (r *collection) measure(n int) Measure {
	out := Measure{Property: "maxCount", Operation: "<=", Measured: float64(n), Limit: r.max, Failed: !r.within(n)}
	if float64(n) < r.min {
		out.Property, out.Operation, out.Limit = "minCount", ">=", r.min
	}
	return out
}

// groups compiles m to its lists of collections: one list, or one for each team. f is
// told the teams whose players can still join the list.
func (r *collection) groups(c *compiler, m *expr) func(run *roster, f func(group []value, teams uint64) bool) bool {
	elements := c.evaluator(m, r.party, sets{perUnit: true, how: r.party})
	depth, mask, byTeam := m.typ.depth, pathMask(m), m.op == ""
	return func(run *roster, f func(group []value, teams uint64) bool) bool {
		run.tmp.reset()
		v := elements(run)
		switch depth {
		case 0:
			one := run.tmp.take(1)
			one[0] = v
			return f(one, mask)
		case 1:
			return f(v.list, mask)
		}
		rest := mask
		for _, group := range v.list {
			teams := mask
			if byTeam { // the lists are in the order of the teams
				teams = rest & -rest
				rest &^= teams
			}
			if !f(group.list, teams) {
				return false
			}
		}
		return true
	}
}

// containing compiles contains. The count never falls, and it can rise by at most one
// for every open slot of the teams it looks at.
func (r *collection) containing(c *compiler, m *expr) compiledRule {
	groups, want := r.groups(c, m), c.symbol(r.contains)
	if count := c.fusedContains(r, m, want); count != nil {
		return r.counted(count, m)
	}
	number := func(group []value) (n int) {
		for _, v := range group {
			if v.sym == want && v.kind == aString || v.kind == aSet && slices.Contains(v.set, want) {
				n++
			}
		}
		return n
	}
	rule := compiledRule{
		check: func(run *roster) bool {
			return groups(run, func(g []value, _ uint64) bool { return r.within(number(g)) })
		},
		measure: func(run *roster) (out Measure) {
			groups(run, func(g []value, _ uint64) bool { out = r.measure(number(g)); return !out.Failed })
			return out
		},
	}
	if m.trend == trendStatic {
		rule.dead = func(run *roster) bool {
			return !groups(run, func(g []value, teams uint64) bool {
				n := float64(number(g))
				return n <= r.max && n+float64(run.open(teams)) >= r.min
			})
		}
	}
	return rule
}

// fusedContains counts without building lists when m is a plain path over one list
// attribute, flattened or of one team: the usual role rule.
func (c *compiler) fusedContains(r *collection, m *expr, want int32) func(run *roster) int {
	col, mask, ok := c.plainLists(r, m)
	if !ok {
		return nil
	}
	return func(run *roster) (n int) {
		lists := run.p.lists[col]
		for i, u := range run.units {
			if mask>>run.team[i]&1 == 1 && slices.Contains(lists[u], want) {
				n++
			}
		}
		return n
	}
}

// plainLists is the column and the teams of such a path.
func (c *compiler) plainLists(r *collection, m *expr) (col int, mask uint64, ok bool) {
	path := m
	if m.op == "flatten" {
		path = m.arg
	}
	if path.op != "" || path.leaf != leafAttribute || path.typ.base != baseSet || m.typ.depth != 1 {
		return 0, 0, false
	}
	c.masks = append(c.masks, path.mask)
	return c.listColumn(path.attr, r.party), path.mask, true
}

// fusedIntersection intersects such a path's lists in the same way. With none at all
// there is nothing in common yet, and lists is 0.
func (c *compiler) fusedIntersection(r *collection, m *expr) func(run *roster) (n, lists int) {
	col, mask, ok := c.plainLists(r, m)
	if !ok {
		return nil
	}
	var common []int32
	return func(run *roster) (n, lists int) {
		common = common[:0]
		for i, u := range run.units {
			if mask>>run.team[i]&1 == 0 {
				continue
			}
			list := run.p.lists[col][u]
			if lists++; lists == 1 {
				common = append(common, list...)
				continue
			}
			kept := common[:0]
			for _, sym := range common {
				if slices.Contains(list, sym) {
					kept = append(kept, sym)
				}
			}
			common = kept
		}
		return len(common), lists
	}
}

func (r *collection) counted(count func(run *roster) int, m *expr) compiledRule {
	mask := pathMask(m)
	return compiledRule{
		check: func(run *roster) bool { return r.within(count(run)) },
		dead: func(run *roster) bool {
			n := float64(count(run))
			return n > r.max || n+float64(run.open(mask)) < r.min
		},
		sure: func(run *roster) bool {
			n := float64(count(run))
			return n >= r.min && n+float64(run.open(mask)) <= r.max
		},
		measure: func(run *roster) Measure { return r.measure(count(run)) },
	}
}

// pathMask is the teams below an expression.
func pathMask(e *expr) uint64 {
	for e.op != "" {
		e = e.arg
	}
	return e.mask
}

// intersecting compiles intersection. The common strings only get fewer.
func (r *collection) intersecting(c *compiler, m *expr) compiledRule {
	if count := c.fusedIntersection(r, m); count != nil {
		return compiledRule{
			check:   func(run *roster) bool { n, _ := count(run); return r.within(n) },
			dead:    func(run *roster) bool { n, lists := count(run); return lists > 0 && float64(n) < r.min },
			measure: func(run *roster) Measure { n, _ := count(run); return r.measure(n) },
		}
	}
	groups := r.groups(c, m)
	number := func(run *roster, group []value) int {
		return len(intersect(run, value{kind: aList, list: group}).set)
	}
	rule := compiledRule{
		check: func(run *roster) bool {
			return groups(run, func(g []value, _ uint64) bool { return r.within(number(run, g)) })
		},
		measure: func(run *roster) (out Measure) {
			groups(run, func(g []value, _ uint64) bool { out = r.measure(number(run, g)); return !out.Failed })
			return out
		},
	}
	if m.trend == trendStatic {
		rule.dead = func(run *roster) bool {
			return !groups(run, func(g []value, _ uint64) bool { return len(g) == 0 || float64(number(run, g)) >= r.min })
		}
	}
	return rule
}

// referring compiles reference_intersection_count.
func (r *collection) referring(c *compiler, m *expr) compiledRule {
	groups := r.groups(c, m)
	against, moves := r.referenceSet(c)
	number := func(run *roster, v value, ref []int32) (n int) {
		for _, s := range asSet(run, v) {
			if slices.Contains(ref, s) {
				n++
			}
		}
		return n
	}
	each := func(run *roster, bad func(n int) bool) (n int, found bool) {
		found = !groups(run, func(g []value, _ uint64) bool {
			ref, ok := against(run)
			for _, v := range g {
				if n = number(run, v, ref); bad(n) && (ok || moves != trendDown) {
					return false
				}
			}
			return true
		})
		return n, found
	}
	outside := func(n int) bool { return !r.within(n) }
	rule := compiledRule{
		check: func(run *roster) bool {
			return groups(run, func(g []value, _ uint64) bool {
				ref, _ := against(run)
				for _, v := range g {
					if !r.within(number(run, v, ref)) {
						return false
					}
				}
				return true
			})
		},
		measure: func(run *roster) Measure { n, _ := each(run, outside); return r.measure(n) },
	}
	if m.trend != trendStatic {
		return rule
	}
	gone := map[trend]func(n int) bool{
		trendConst:  outside,
		trendDown:   func(n int) bool { return float64(n) < r.min },
		trendUp:     func(n int) bool { return float64(n) > r.max },
		trendStatic: func(n int) bool { return float64(n) > r.max }, // a list that grows
	}[moves]
	if gone != nil {
		rule.dead = func(run *roster) bool { _, found := each(run, gone); return found }
	}
	return rule
}

// referenceSet compiles the reference list. ok is false while it is the intersection of
// no lists at all, which the first player may still change.
func (r *collection) referenceSet(c *compiler) (f func(run *roster) (set []int32, ok bool), moves trend) {
	if r.reference == nil {
		var set []int32
		for _, s := range r.list {
			if sym := c.symbol(s); !slices.Contains(set, sym) {
				set = append(set, sym)
			}
		}
		return func(*roster) ([]int32, bool) { return set, true }, trendConst
	}
	elements := c.evaluator(r.reference, r.party, sets{perUnit: true, how: r.party})
	return func(run *roster) ([]int32, bool) {
		v := elements(run)
		return asSet(run, v), v.unit != ofNothing
	}, r.reference.trend
}
