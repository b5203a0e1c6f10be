package flexmatch

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
	return spreadRule(window{c.numberColumn(r.attr, r.party), r.max})
}

// spreadRule keeps the greatest and the least of a column within a distance.
func spreadRule(w window) compiledRule {
	spread := func(run *roster) float64 {
		if len(run.units) == 0 {
			return 0
		}
		nums := run.p.num[w.col]
		lo := nums[run.units[0]]
		hi := lo
		for _, u := range run.units[1:] {
			v := nums[u]
			if v < lo {
				lo = v
			} else if v > hi {
				hi = v
			}
		}
		return hi - lo
	}
	return compiledRule{
		check: func(run *roster) bool { return spread(run) <= w.dist },
		dead:  func(run *roster) bool { return spread(run) > w.dist },
		measure: func(run *roster) Measure {
			d := spread(run)
			return Measure{Property: "maxDistance", Operation: "<=", Measured: d, Limit: w.dist, Failed: d > w.dist}
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
