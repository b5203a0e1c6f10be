package flexmatch

import "math"

// batchDistance keeps the tickets' values of one number attribute within maxDistance of
// each other, or demands one common value of a string attribute (spec 1.5). It works in
// small and large matches, and the pool is indexed by it.
type batchDistance struct {
	attr  int
	text  bool
	max   float64 // of numbers
	party aggregation
}

func parseBatchDistance(p *parser, o object) ruleSpec {
	r := &batchDistance{party: p.aggregation(o)}
	name := o.text("batchAttribute", true)
	i, ok := p.rs.attribute(name)
	switch {
	case name == "":
	case !ok:
		o.wrong("batchAttribute", "unknown attribute %q", name)
	case p.rs.Attributes[i].Type == String:
		r.attr, r.text = i, true // maxDistance means nothing here and is passed over
		return r
	case p.rs.Attributes[i].Type != Number:
		o.wrong("batchAttribute", "%q must be a number or a string attribute, it is a %s", name, p.rs.Attributes[i].Type)
	}
	r.attr = i
	if !o.has("maxDistance") {
		o.wrong("maxDistance", "is required for a number attribute")
	}
	r.max, _ = o.bound("maxDistance")
	return r
}

func (r *batchDistance) compile(c *compiler) compiledRule {
	if r.text {
		return r.oneValue(c)
	}
	col := c.numberColumn(r.attr, r.party)
	spread := func(run *roster) float64 {
		lo, hi := math.Inf(1), math.Inf(-1)
		nums := run.p.num[col]
		for _, u := range run.units {
			lo, hi = min(lo, nums[u]), max(hi, nums[u])
		}
		return hi - lo
	}
	check := func(run *roster) bool { return spread(run) <= r.max || len(run.units) == 0 }
	return compiledRule{
		check: check,
		dead:  func(run *roster) bool { return !check(run) },
		measure: func(run *roster) Measure {
			return Measure{Operation: "<=", Measured: max(0, spread(run)), Limit: r.max, Failed: !check(run)}
		},
	}
}

// oneValue compiles the string form: all players carry the same value.
func (r *batchDistance) oneValue(c *compiler) compiledRule {
	clash := func(run *roster) (first, other int32, found bool) {
		first = -1
		for _, u := range run.units {
			for i := range run.p.uSize[u] {
				s := run.p.pStr[r.attr][run.p.uPlayer[u]+i]
				if first >= 0 && s != first {
					return first, s, true
				}
				first = s
			}
		}
		return first, first, false
	}
	check := func(run *roster) bool { _, _, found := clash(run); return !found }
	return compiledRule{
		check: check,
		dead:  func(run *roster) bool { return !check(run) },
		measure: func(run *roster) Measure {
			first, other, found := clash(run)
			out := Measure{Operation: "=", Failed: found}
			if found {
				out.MeasuredText, out.LimitText = c.sym.name(other), c.sym.name(first)
			}
			return out
		},
	}
}
