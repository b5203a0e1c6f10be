package flexmatch

import "math"

// latency keeps together tickets that can play in one location: within maxLatency of
// it, and, when asked, within maxDistance of the least or the mean latency of the match
// there (spec 1.5). A ticket with a player who reported no latency never passes.
//
// The documentation demands a common location of large matches only; the match is placed
// in one location, so small matches need one too, unless Options.AnyLocation is set.
type latency struct {
	max       float64 // +Inf when there is no limit
	distance  float64 // +Inf when there is none
	reference string  // min or avg
	party     aggregation
}

func parseLatency(p *parser, o object) ruleSpec {
	r := &latency{max: math.Inf(1), distance: math.Inf(1), party: p.aggregation(o)}
	if n, ok := o.bound("maxLatency"); ok {
		r.max = n
	}
	if p.rs.Large() {
		if !o.has("maxLatency") {
			o.wrong("maxLatency", "is required")
		}
		if o.has("maxDistance") || o.has("distanceReference") {
			o.wrong("maxDistance", "a rule set for more than %d players knows only maxLatency", MaxSmallMatch)
		}
		return r
	}
	if n, ok := o.bound("maxDistance"); ok {
		r.distance = n
	}
	switch {
	case o.has("maxDistance"):
		r.reference = o.choice("distanceReference", "", "min", "avg")
	case o.has("distanceReference"):
		o.wrong("maxDistance", "is required with distanceReference")
	case !o.has("maxLatency"):
		o.wrong("maxLatency", "maxLatency, or maxDistance with distanceReference, is required")
	}
	return r
}

func (r *latency) compile(c *compiler) compiledRule {
	col := c.latencyColumn(r.max, r.party)
	rule := compiledRule{measure: func(run *roster) Measure { return r.measure(run, col) }}
	if math.IsInf(r.distance, 1) {
		rule.check = func(run *roster) bool { return r.reachable(run, col, c.opts.AnyLocation) }
		rule.dead = func(run *roster) bool { return !r.reachable(run, col, c.opts.AnyLocation) }
		return rule
	}
	anyLocation := c.opts.AnyLocation
	rule.check = func(run *roster) bool { return r.near(run, col, anyLocation) }
	if r.reference == "min" {
		rule.dead = func(run *roster) bool { return !rule.check(run) }
	} else {
		rule.dead = func(run *roster) bool { return !r.reachable(run, col, anyLocation) }
	}
	return rule
}

// reachable says there is a location within the limit for all, or for each.
func (r *latency) reachable(run *roster, col int, anyLocation bool) bool {
	common := everywhere
	for _, u := range run.units {
		ok := run.p.reach[col][u]
		if anyLocation {
			if ok.empty() {
				return false
			}
			continue
		}
		if common = common.and(ok); common.empty() {
			return false
		}
	}
	return true
}

// near says there is a location in which all latencies lie close enough together. With
// anyLocation each ticket may have its own.
func (r *latency) near(run *roster, col int, anyLocation bool) bool {
	if anyLocation {
		for _, u := range run.units {
			if !r.nearSomewhere(run, col, u) {
				return false
			}
		}
		return true
	}
	for at := range run.p.places {
		if lo, mean, hi, n := r.spread(run, col, at); n == len(run.units) && r.apart(lo, mean, hi) <= r.distance {
			return true
		}
	}
	return len(run.units) == 0
}

func (r *latency) nearSomewhere(run *roster, col int, unit int32) bool {
	for at := range run.p.places {
		if !run.p.reach[col][unit].has(at) {
			continue
		}
		v, _ := run.p.latency(unit, at, r.party)
		lo, mean, _, _ := r.spread(run, col, at)
		if from := map[bool]float64{true: lo, false: mean}[r.reference == "min"]; math.Abs(v-from) <= r.distance {
			return true
		}
	}
	return false
}

// spread is the least, mean and greatest of the tickets' latencies in a location.
func (r *latency) spread(run *roster, col, at int) (lo, mean, hi float64, n int) {
	lo = math.Inf(1)
	for _, u := range run.units {
		if !run.p.reach[col][u].has(at) {
			continue
		}
		v, ok := run.p.latency(u, at, r.party)
		if !ok {
			continue
		}
		lo, hi = min(lo, v), max(hi, v)
		mean += v
		n++
	}
	return lo, mean / float64(max(n, 1)), hi, n
}

// apart is how far the furthest ticket is from the reference.
func (r *latency) apart(lo, mean, hi float64) float64 {
	if r.reference == "min" {
		return hi - lo
	}
	return max(hi-mean, mean-lo)
}

// measure finds the location that comes nearest to passing: the worst ticket's latency
// in it against the limit.
func (r *latency) measure(run *roster, col int) Measure {
	out := Measure{Property: "maxLatency", Operation: "<=", Limit: r.max, Failed: true, Measured: math.Inf(1)}
	for at := range run.p.places {
		worst, ok := 0.0, true
		for _, u := range run.units {
			v, reported := run.p.latency(u, at, r.party)
			ok = ok && reported
			worst = max(worst, v)
		}
		if ok && worst < out.Measured {
			out.Measured, out.Location = worst, run.p.places[at]
		}
	}
	if math.IsInf(out.Measured, 1) {
		out.Measured, out.MeasuredText = 0, "no location that every player reported"
		return out
	}
	if out.Failed = out.Measured > r.max; out.Failed || math.IsInf(r.distance, 1) {
		return out
	}
	out.Property, out.Limit, out.Measured = "maxDistance", r.distance, math.Inf(1)
	for at := range run.p.places {
		if lo, mean, hi, n := r.spread(run, col, at); n == len(run.units) {
			if d := r.apart(lo, mean, hi); d < out.Measured {
				out.Measured, out.Location = d, run.p.places[at]
			}
		}
	}
	out.Failed = out.Measured > r.distance
	return out
}
