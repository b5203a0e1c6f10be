package flexmatch

import (
	"math"
	"math/bits"
	"slices"
)

// column names a column of numbers or of lists: an attribute, and how the players of a
// unit count as one.
type column struct {
	attr int
	how  aggregation
}

// latencyColumn holds the locations a unit can play in under a limit.
type latencyColumn struct {
	max float64
	how aggregation
}

// program is a rule set compiled for one set of options.
type program struct {
	rs        *RuleSet
	opts      Options
	sym       *symbols
	levels    []*compiledLevel
	numbers   []column
	lists     []column
	latencies []latencyColumn
	wanted    []wanted
	usesIDs   bool
	balance   int   // the number column to keep even between teams, -1 for none
	even      []int // number columns by which legal teams are chosen
	sorted    []int // number columns of the batching preference sorted
	classes   []int // teams of one class can stand for each other
	same      bool  // tickets with equal columns can stand for each other
	shape     shape
	newest    bool
}

// compiledLevel is one stage of the expansions, ready for the search.
type compiledLevel struct {
	rules []compiledRule
	// enforced are the rules that must hold of a match; dead those of them that can
	// also stop a candidate early: anywhere once for the whole roster, byTeam again
	// for each choice of team.
	enforced []int
	anywhere []int
	byTeam   []int
	teamless []bool // of each rule: the teams make no difference to it
	sorts    []*sortRule

	min, max []int32 // of each single team
	cap      int     // players of a full match
	need     int     // players of the smallest match
	windows  []window
	wants    []want
	// teamWants are those that concern one team.
	teamWants []want
	latency   int   // the latency column of the index, -1 for none
	placeRule int   // the rule it comes from
	grade     uint8 // its bit among the grades of the index
}

// window is a rule of the kind max minus min of one number within a distance.
type window struct {
	col  int
	dist float64
}

// wanted is a string of a list column that some rule wants a number of.
type wanted struct{ col, sym int32 }

// want is a contains rule with a minimum: so many lists with a string must be there.
type want struct {
	col, sym int32
	mask     uint64
	min      int
	rule     int
	key      int // of program.wanted
}

// shape is what the pool is indexed by, the same at every level.
type shape struct {
	equal     []equality // all values the same throughout a match
	window    int        // number column that keys the index, -1 for none
	byPlace   bool
	latencies []int // latency columns in use at some level
}

// equality is a rule that demands one common value.
type equality struct {
	attr int
	text bool
	col  int
	rule int
}

// compiler turns a rule set's levels into closures and collects the columns they read.
type compiler struct {
	rs      *RuleSet
	opts    Options
	sym     *symbols
	prog    *program
	rules   []compiledRule // of the level being compiled
	specs   []ruleSpec     // and what they are compiled from
	usesIDs bool
	skip    []int
	masks   []uint64 // the selections of teams in expressions
	done    map[ruleSpec]compiledRule
}

func compile(rs *RuleSet, opts Options) *program {
	return compileWithout(rs, opts, &symbols{numbers: map[string]int32{}}, nil)
}

// compileWithout compiles the rule set as if it did not demand some of its rules, with
// the symbols and the columns of the whole.
func compileWithout(rs *RuleSet, opts Options, sym *symbols, skip []int) *program {
	if rs.Large() {
		opts.AnyLocation = false // documented: one location for all (spec 1.5)
	}
	prog := &program{rs: rs, opts: opts, sym: sym, balance: -1}
	prog.newest = rs.Algorithm.ExpansionAgeSelection != "oldest"
	c := &compiler{rs: rs, opts: opts, sym: prog.sym, prog: prog, skip: skip, done: map[ruleSpec]compiledRule{}}
	for _, l := range rs.levels {
		prog.levels = append(prog.levels, c.level(l))
	}
	prog.usesIDs = c.usesIDs
	prog.same = !c.usesIDs && !slices.ContainsFunc(prog.rs.Rules, func(r Rule) bool {
		l, ok := r.spec.(*latency)
		return ok && !math.IsInf(l.distance, 1)
	})
	if i, ok := rs.attribute(rs.Algorithm.BalancedAttribute); ok {
		prog.balance = c.numberColumn(i, average)
	} else {
		prog.balance = c.fairness()
	}
	for _, name := range rs.Algorithm.SortByAttributes {
		if rs.Algorithm.BatchingPreference != "sorted" {
			break
		}
		if i, ok := rs.attribute(name); ok && rs.Attributes[i].Type == Number {
			prog.sorted = append(prog.sorted, c.numberColumn(i, average))
		}
	}
	prog.even = c.evenness()
	prog.shape = c.shape()
	for _, l := range prog.levels {
		l.anywhere = slices.DeleteFunc(l.anywhere, prog.indexed)
	}
	prog.classes = c.classes()
	return prog
}

func (c *compiler) symbol(text string) int32 { return c.sym.of(text) }

func (c *compiler) numberColumn(attr int, how aggregation) int {
	return indexOf(&c.prog.numbers, column{attr, how})
}

func (c *compiler) listColumn(attr int, how aggregation) int {
	return indexOf(&c.prog.lists, column{attr, how})
}

func (c *compiler) latencyColumn(limit float64, how aggregation) int {
	return indexOf(&c.prog.latencies, latencyColumn{limit, how})
}

func indexOf[T comparable](list *[]T, v T) int {
	if i := slices.Index(*list, v); i >= 0 {
		return i
	}
	*list = append(*list, v)
	return len(*list) - 1
}

func (c *compiler) level(l level) *compiledLevel {
	out := &compiledLevel{latency: -1, placeRule: -1}
	c.rules, c.specs = nil, l.rules
	for i, spec := range l.rules {
		out.teamless = append(out.teamless, teamless(spec, l.rules))
		rule, ok := c.done[spec]
		if _, joins := spec.(*compound); !ok || joins { // a compound follows its parts
			rule = spec.compile(c)
			c.done[spec] = rule
		}
		c.rules = append(c.rules, rule)
		if s, ok := spec.(*sortRule); ok {
			out.sorts = append(out.sorts, s)
			continue
		}
		if c.rs.within[i] || slices.Contains(c.skip, i) {
			continue
		}
		out.enforced = append(out.enforced, i)
		if rule.dead != nil {
			if out.teamless[i] || c.deadAnywhere(spec) {
				out.anywhere = append(out.anywhere, i)
			} else {
				out.byTeam = append(out.byTeam, i)
			}
		}
		if w, ok := c.window(spec); ok {
			out.windows = append(out.windows, w)
		}
		if r, ok := spec.(*collection); ok {
			out.wants = append(out.wants, c.wants(r, i)...)
		}
		if r, ok := spec.(*latency); ok && out.latency < 0 && !c.opts.AnyLocation {
			out.latency, out.placeRule = c.latencyColumn(r.max, r.party), i
			if !math.IsInf(r.distance, 1) {
				out.placeRule = -1 // which asks for more than a common location
			}
		}
	}
	out.rules = c.rules
	for _, w := range out.wants {
		if bits.OnesCount64(w.mask) == 1 && w.mask != 1<<len(c.rs.teams)-1 {
			out.teamWants = append(out.teamWants, w)
		}
	}
	out.wants = gather(out.wants)
	out.sizes(c.rs, l.teams, c.opts.AdditionalPlayerCount)
	return out
}

// wants finds the minimums of a collection rule that the whole pool can be asked about.
func (c *compiler) wants(r *collection, rule int) (out []want) {
	if r.operation != "contains" || r.min < 1 {
		return nil
	}
	for _, m := range r.measurements {
		path := m
		if m.op == "flatten" {
			path = m.arg
		}
		if path.op != "" || path.leaf != leafAttribute || path.typ.base != baseSet {
			continue
		}
		w := want{int32(c.listColumn(path.attr, r.party)), c.symbol(r.contains), path.mask, int(math.Ceil(min(r.min, MaxMatch))), rule, 0}
		w.key = indexOf(&c.prog.wanted, wanted{w.col, w.sym})
		if m.typ.depth < 2 {
			out = append(out, w)
			continue
		}
		for mask := path.mask; mask != 0; mask &= mask - 1 { // each team has the minimum
			w.mask = mask & -mask
			out = append(out, w)
		}
	}
	return out
}

// gather adds up the wants for one string in teams that do not overlap.
func gather(wants []want) (out []want) {
	for _, w := range wants {
		i := slices.IndexFunc(out, func(o want) bool { return o.col == w.col && o.sym == w.sym && o.mask&w.mask == 0 })
		if i < 0 {
			out = append(out, w)
			continue
		}
		out[i].mask |= w.mask
		out[i].min += w.min
	}
	return out
}

// classes groups the single teams: those of one definition are alike unless some
// expression looks at a part of them only.
func (c *compiler) classes() []int {
	var defs [MaxSmallMatch]uint64
	classes := make([]int, len(c.rs.teams))
	if c.rs.Large() {
		return classes
	}
	for i, t := range c.rs.teams {
		defs[t.def] |= 1 << i
		classes[i] = t.def
	}
	for i, t := range c.rs.teams {
		if slices.ContainsFunc(c.masks, func(m uint64) bool { part := m & defs[t.def]; return part != 0 && part != defs[t.def] }) {
			classes[i] = len(c.rs.Teams) + i
		}
	}
	return classes
}

// sizes works out the bounds of the single teams. Slots kept free cap the match, and
// where the minimums exceed that cap they give way, largest first (spec 2.2).
func (l *compiledLevel) sizes(rs *RuleSet, defs []Team, free int) {
	for _, t := range rs.teams {
		l.min = append(l.min, int32(defs[t.def].MinPlayers))
		l.max = append(l.max, int32(defs[t.def].MaxPlayers))
		l.cap += defs[t.def].MaxPlayers
		l.need += defs[t.def].MinPlayers
	}
	l.cap = max(0, l.cap-max(0, free))
	for ; l.need > l.cap; l.need-- {
		largest := 0
		for i, n := range l.min {
			if n > l.min[largest] {
				largest = i
			}
		}
		l.min[largest]--
	}
	l.need = max(l.need, 1)
}

// teamless says that it makes no difference to the rule which teams the players are in.
func teamless(spec ruleSpec, all []ruleSpec) bool {
	each := func(list []*expr) bool {
		return !slices.ContainsFunc(list, func(e *expr) bool { return !e.teamless() })
	}
	switch r := spec.(type) {
	case *comparison:
		return each(r.measurements) && (r.reference.expr == nil || r.reference.expr.teamless())
	case *distance:
		return each(r.measurements) && (r.reference.expr == nil || r.reference.expr.teamless())
	case *collection:
		for _, m := range r.measurements {
			if m.typ.depth > 1 {
				return false
			}
		}
		return each(r.measurements) && (r.reference == nil || r.reference.teamless())
	case *compound:
		return !slices.ContainsFunc(r.names, func(i int) bool { return !teamless(all[i], all) })
	}
	return true
}

// deadAnywhere says that no part of a compound rule that looks at teams has a say in
// whether it is dead.
func (c *compiler) deadAnywhere(spec ruleSpec) bool {
	r, ok := spec.(*compound)
	return ok && !slices.ContainsFunc(r.names, func(i int) bool {
		part := c.rules[i]
		return (part.dead != nil || part.sure != nil) && !teamless(c.specs[i], c.specs)
	})
}

// teamless says the expression sees all players and forgets their teams before it
// computes anything from them.
func (e *expr) teamless() bool {
	if pathMask(e) != pathAll(e) {
		return false
	}
	for inner := e; inner.op != ""; inner = inner.arg {
		if inner.arg.op == "" && inner.op != "flatten" {
			return !inner.arg.many
		}
	}
	return true
}

// pathAll is the mask of all teams of the rule set an expression was parsed against.
func pathAll(e *expr) uint64 {
	for e.op != "" {
		e = e.arg
	}
	return e.all
}

// window recognises a rule that keeps max minus min of a number within a distance.
func (c *compiler) window(spec ruleSpec) (window, bool) {
	switch r := spec.(type) {
	case *batchDistance:
		if !r.text {
			return window{c.numberColumn(r.attr, r.party), r.max}, true
		}
	case *distance:
		if len(r.measurements) == 0 || r.reference.expr == nil || math.IsInf(r.max, 1) {
			break
		}
		a, okA := extreme(r.measurements[0])
		b, okB := extreme(r.reference.expr)
		if okA && okB && a.op != b.op && a.attr == b.attr {
			return window{c.numberColumn(a.attr, r.party), r.max}, true
		}
	}
	return window{}, false
}

type extremum struct {
	op   string
	attr int
}

// extreme recognises max(flatten(teams[*].players.attributes[x])) and its like.
func extreme(e *expr) (extremum, bool) {
	if (e.op != "max" && e.op != "min") || !e.teamless() {
		return extremum{}, false
	}
	path := e.arg
	if path.op == "flatten" {
		path = path.arg
	}
	if path.op != "" || path.leaf != leafAttribute {
		return extremum{}, false
	}
	return extremum{e.op, path.attr}, true
}

// fairness finds the number that a rule wants even between teams: the first distance
// over a figure of each team. The search tries balanced teams first for it.
func (c *compiler) fairness() int {
	if fair := c.fair(); len(fair) > 0 {
		return fair[0]
	}
	return -1
}

// fair are the numbers of all distances over a figure of each team.
func (c *compiler) fair() (cols []int) {
	for _, spec := range c.rs.levels[0].rules {
		r, ok := spec.(*distance)
		if !ok {
			continue
		}
		for _, m := range r.measurements {
			path := m
			for path.op != "" && path.op != "flatten" {
				path = path.arg
			}
			if path.op == "" && path.leaf == leafAttribute && path != m {
				cols = with(cols, c.numberColumn(path.attr, r.party))
			}
		}
	}
	return cols
}

// evenness finds the numbers by which one of several legal assignments of teams is
// chosen (spec 2.2): the balanced attribute, or those a rule holds teams to, or else all
// that rules and sorts speak of.
func (c *compiler) evenness() (cols []int) {
	if i, ok := c.rs.attribute(c.rs.Algorithm.BalancedAttribute); ok {
		return []int{c.numberColumn(i, average)}
	}
	if cols = c.fair(); len(cols) > 0 {
		return cols
	}
	speaks := func(attr int, how aggregation) {
		if c.rs.Attributes[attr].Type == Number {
			cols = with(cols, c.numberColumn(attr, how))
		}
	}
	measures := func(list []*expr, how aggregation) {
		for _, path := range list {
			for path.op != "" {
				path = path.arg
			}
			if path.leaf == leafAttribute {
				speaks(path.attr, how)
			}
		}
	}
	for _, spec := range c.rs.levels[0].rules {
		switch r := spec.(type) {
		case *distance:
			measures(r.measurements, r.party)
		case *comparison:
			measures(r.measurements, r.party)
		case *batchDistance:
			if !r.text {
				speaks(r.attr, r.party)
			}
		case *sortRule:
			if r.typ == Number {
				speaks(r.attr, r.party)
			}
		}
	}
	for _, col := range c.prog.sorted {
		cols = with(cols, col)
	}
	return cols
}

// with is a list that holds v.
func with(list []int, v int) []int {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// shape finds what the pool can be indexed by: only what every level has.
func (c *compiler) shape() shape {
	s := shape{window: -1}
	levels := c.prog.levels
	for i, spec := range c.rs.levels[0].rules {
		if c.rs.within[i] || slices.Contains(c.skip, i) || slices.ContainsFunc(c.rs.levels, func(l level) bool { return l.rules[i] != spec }) {
			continue
		}
		if e, ok := c.equality(spec); ok {
			e.rule = i
			s.equal = append(s.equal, e)
		}
	}
	for _, w := range levels[0].windows {
		if !slices.ContainsFunc(levels, func(l *compiledLevel) bool {
			return !slices.ContainsFunc(l.windows, func(o window) bool { return o.col == w.col })
		}) {
			s.window = w.col
			break
		}
	}
	s.byPlace = !slices.ContainsFunc(levels, func(l *compiledLevel) bool { return l.latency < 0 })
	for _, l := range levels {
		if s.byPlace && !slices.Contains(s.latencies, l.latency) {
			s.latencies = append(s.latencies, l.latency)
		}
	}
	if len(s.latencies) > maxGrades { // too many steps to tell apart
		s.byPlace, s.latencies = false, nil
	}
	for _, l := range levels {
		l.grade = uint8(1) << max(0, slices.Index(s.latencies, l.latency))
	}
	return s
}

// maxEqual is how many rules of equality the index goes by.
const maxEqual = 4

// outward says the first sort rule asks for the nearest in the very number the index is
// keyed by, so that candidates can be read off around the anchor.
func (prog *program) outward() bool {
	for _, l := range prog.levels {
		if len(l.sorts) == 0 {
			return false
		}
		r := l.sorts[0]
		w := prog.shape.window
		if w < 0 || !r.distance || r.descending || r.typ != Number || prog.numbers[w] != (column{r.attr, r.party}) {
			return false
		}
	}
	return true
}

// indexed says the rule holds of any tickets of one part of the index.
func (prog *program) indexed(rule int) bool {
	equal := prog.shape.equal
	return slices.ContainsFunc(equal[:min(len(equal), maxEqual)], func(e equality) bool { return e.rule == rule })
}

// equality recognises a rule that demands one value of all players.
func (c *compiler) equality(spec ruleSpec) (equality, bool) {
	switch r := spec.(type) {
	case *batchDistance:
		if r.text {
			return equality{attr: r.attr, text: true}, true
		}
	case *comparison:
		if r.operation != "=" || r.reference.given || len(r.measurements) != 1 {
			break
		}
		path := r.measurements[0]
		if path.op == "flatten" {
			path = path.arg
		}
		if path.op != "" || !path.teamlessPath() || path.leaf != leafAttribute {
			break
		}
		switch path.typ.base {
		case baseString:
			return equality{attr: path.attr, text: true}, true
		case baseNumber:
			return equality{attr: path.attr, col: c.numberColumn(path.attr, r.party)}, true
		case basePlayer, baseSet, baseMap:
		}
	}
	return equality{}, false
}

func (e *expr) teamlessPath() bool { return e.mask == e.all }

// distance is the widest distance the index column has under any rule of the level; a
// smaller one of another rule is left to that rule.
func (l *compiledLevel) distance(col int) float64 {
	d := math.Inf(1)
	for _, w := range l.windows {
		if w.col == col {
			d = min(d, w.dist)
		}
	}
	return d
}

// every joins the rules of several measurements: all must hold.
func every(all []compiledRule) compiledRule {
	if len(all) == 1 {
		return all[0]
	}
	out := compiledRule{
		check: func(r *roster) bool {
			return !slices.ContainsFunc(all, func(one compiledRule) bool { return !one.check(r) })
		},
		measure: func(r *roster) (m Measure) {
			for _, one := range all {
				if m = one.measure(r); m.Failed {
					break
				}
			}
			return m
		},
	}
	var deads []func(r *roster) bool
	for _, one := range all {
		if one.dead != nil {
			deads = append(deads, one.dead)
		}
	}
	if len(deads) > 0 {
		out.dead = func(r *roster) bool {
			return slices.ContainsFunc(deads, func(dead func(r *roster) bool) bool { return dead(r) })
		}
	}
	return out
}

// text shows a value in an explanation.
func (c *compiler) text(v value) string {
	if v.kind == aString {
		return c.sym.name(v.sym)
	}
	return ""
}
