package flexmatch

import (
	"fmt"
	"math"
)

// distance keeps every element of its measurements between minDistance and maxDistance
// away from the reference, bounds included (spec 1.5).
type distance struct {
	measurements []*expr
	reference    reference
	party        aggregation
	min, max     float64 // max is +Inf when it is not given
}

func parseDistance(p *parser, o object) ruleSpec {
	r := &distance{party: p.aggregation(o), max: math.Inf(1)}
	r.measurements = p.measurements(o)
	for i, m := range r.measurements {
		if m.typ.base != baseNumber {
			o.wrong(fmt.Sprintf("measurements[%d]", i), "a distance needs numbers, %s is %s", m.text, m.typ)
		}
	}
	if !o.has("referenceValue") {
		o.wrong("referenceValue", "is required")
	}
	r.reference = p.reference(o, nil)
	if r.reference.isText || (r.reference.expr != nil && r.reference.expr.typ.base != baseNumber) {
		o.wrong("referenceValue", "must be a number")
	}
	var hasMin, hasMax bool
	r.min, hasMin = o.bound("minDistance")
	if most, ok := o.bound("maxDistance"); ok {
		r.max, hasMax = most, true
	}
	if !o.has("minDistance") && !o.has("maxDistance") {
		o.wrong("maxDistance", "minDistance or maxDistance is required")
	}
	if hasMin && hasMax && r.min > r.max {
		o.wrong("minDistance", "%v is more than maxDistance %v", r.min, r.max)
	}
	return r
}

func (r *distance) compile(c *compiler) compiledRule {
	if w, ok := c.window(r); ok && len(r.measurements) == 1 && r.min == 0 {
		return spreadRule(w)
	}
	var all []compiledRule
	for _, m := range r.measurements {
		all = append(all, r.one(c, m))
	}
	return every(all)
}

func (r *distance) one(c *compiler, m *expr) compiledRule {
	elements := c.evaluator(m, r.party, sets{})
	ref := c.referenceValue(r.reference, r.party)
	bad := func(run *roster, outside func(d float64) bool) (d float64, found bool) {
		run.tmp.reset()
		against := ref(run)
		if against.kind == noValue {
			return 0, false
		}
		found = !eachElement(elements(run), func(v value) bool {
			d = v.num - against.num
			return v.kind == noValue || !outside(d)
		})
		return d, found
	}
	outside := func(d float64) bool { d = math.Abs(d); return d < r.min || d > r.max }
	rule := compiledRule{
		check: func(run *roster) bool { _, found := bad(run, outside); return !found },
		measure: func(run *roster) Measure {
			d, found := bad(run, outside)
			d = math.Abs(d)
			out := Measure{Property: "maxDistance", Operation: "<=", Measured: d, Limit: r.max, Failed: found}
			if found && d < r.min {
				out.Property, out.Operation, out.Limit = "minDistance", ">=", r.min
			}
			return out
		},
	}
	if gone := r.apart(m.trend, r.reference.trend()); gone != nil {
		rule.dead = func(run *roster) bool { _, found := bad(run, gone); return found }
	}
	return rule
}

// apart gives the test for an element (its signed distance d from the reference) that
// no further player can bring back, or nil. A distance can only grow when element and
// reference move away from each other; it is fixed when both are.
func (r *distance) apart(element, ref trend) func(d float64) bool {
	rising := element == trendStatic || element == trendUp
	falling := element == trendStatic || element == trendDown
	above := rising && (ref == trendConst || ref == trendDown)
	below := falling && (ref == trendConst || ref == trendUp)
	fixed := element == trendStatic && ref == trendConst
	if !above && !below {
		return nil
	}
	return func(d float64) bool {
		return (above && d > r.max) || (below && -d > r.max) || (fixed && math.Abs(d) < r.min)
	}
}
