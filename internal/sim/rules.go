package sim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/flexmatch"
)

// This file is a second, plain reading of the rule language: it walks expressions over a
// roster, without the engine's columns and indexes. The greedy matcher needs it, and the
// tests hold every match of the engine against it.

// facts are a ticket as rules see it: numbers by party aggregate, lists as one.
type facts struct {
	t       *flexmatch.Ticket
	numbers map[string][3]float64 // by avg, min, max
	strings map[string][]string   // by player
	lists   map[string][2][]string
	latency map[string][3]float64 // by location
	usable  bool                  // every attribute has a value
	start   int64
	near    [3][]float64 // latency by aggregate and the greedy matcher's location numbers
}

// The party aggregates, in the order of facts.
const (
	byAverage = iota
	byLeast
	byMost
)

// The aggregates of lists, in the order of facts.
const (
	byUnion = iota
	byIntersection
)

func aggregateOf(name string) int {
	switch name {
	case "min":
		return byLeast
	case "max":
		return byMost
	}
	return byAverage
}

func aggregates(values []float64) (out [3]float64) {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	out[byAverage] = sum / float64(len(values))
	out[byLeast], out[byMost] = slices.Min(values), slices.Max(values)
	return out
}

// factsOf reads a ticket with the rule set's defaults.
func factsOf(set *flexmatch.RuleSet, t *flexmatch.Ticket) *facts {
	f := &facts{
		t: t, usable: true, start: t.Start.UnixNano(), numbers: map[string][3]float64{}, strings: map[string][]string{},
		lists: map[string][2][]string{}, latency: map[string][3]float64{},
	}
	for _, a := range set.Attributes {
		var numbers []float64
		var lists [][]string
		for _, p := range t.Players {
			switch v := a.Value(p).(type) {
			case float64:
				numbers = append(numbers, v)
			case string:
				f.strings[a.Name] = append(f.strings[a.Name], v)
			case []string:
				lists = append(lists, distinct(v))
			case nil:
				f.usable = false
			}
		}
		if len(numbers) > 0 {
			f.numbers[a.Name] = aggregates(numbers)
		}
		if len(lists) > 0 {
			f.lists[a.Name] = [2][]string{distinct(slices.Concat(lists...)), common(lists)}
		}
	}
	for _, location := range sortedKeys(t.Players[0].LatencyInMs) {
		var all []float64
		for _, p := range t.Players {
			if ms, ok := p.LatencyInMs[location]; ok {
				all = append(all, float64(ms))
			}
		}
		if len(all) == len(t.Players) {
			f.latency[location] = aggregates(all)
		}
	}
	return f
}

func distinct(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// common are the values in all lists; of no lists there are none.
func common(lists [][]string) []string {
	if len(lists) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(lists[0]), func(v string) bool {
		return slices.ContainsFunc(lists[1:], func(l []string) bool { return !slices.Contains(l, v) })
	})
}

// seat is a player in a team.
type seat struct {
	f      *facts
	player int
}

// teams are a roster: the seats of each single team, in the rule set's order, a ticket's
// beside each other.
type teams [][]seat

func (r teams) tickets() (all []*facts) {
	for _, team := range r {
		for _, s := range team {
			if len(all) == 0 || all[len(all)-1] != s.f {
				all = append(all, s.f)
			}
		}
	}
	return all
}

// value is a number, a string, a list, or none of them.
type value struct {
	kind byte // 'n', 's', 'l' or 0
	n    float64
	s    string
	l    []value
}

func number(v float64) value { return value{kind: 'n', n: v} }
func text(v string) value    { return value{kind: 's', s: v} }
func list(v []value) value   { return value{kind: 'l', l: v} }

// leaves are the values of a nested list, without the missing ones.
func (v value) leaves() []value {
	switch v.kind {
	case 'l':
		var all []value
		for _, e := range v.l {
			all = append(all, e.leaves()...)
		}
		return all
	case 0:
		return nil
	}
	return []value{v}
}

// lists are the innermost lists of a nested list.
func (v value) lists() [][]value {
	if v.kind != 'l' {
		return [][]value{{v}}
	}
	if !slices.ContainsFunc(v.l, func(e value) bool { return e.kind == 'l' }) {
		return [][]value{v.l}
	}
	var all [][]value
	for _, e := range v.l {
		all = append(all, e.lists()...)
	}
	return all
}

// view says how an expression sees parties.
type view struct {
	number     int
	list       int
	onceTicket bool // a party counts once
}

// expression gives a value of a roster.
type expression func(r teams, as view) value

// reader compiles expressions for the teams of one rule set.
type reader struct {
	set   *flexmatch.RuleSet
	names []string // single teams
}

// expression compiles a property expression, or a literal where it is none.
func (c reader) expression(raw any) (expression, error) {
	switch v := raw.(type) {
	case float64:
		return func(teams, view) value { return number(v) }, nil
	case []any:
		var all []value
		for _, e := range v {
			all = append(all, text(fmt.Sprint(e)))
		}
		return func(teams, view) value { return list(all) }, nil
	case string:
		if tidy := strings.Join(strings.Fields(v), ""); strings.Contains(tidy, ".players") {
			return c.call(tidy)
		}
		if n, err := strconv.ParseFloat(v, 64); err == nil {
			return func(_ teams, as view) value { return number(n) }, nil
		}
		return func(teams, view) value { return text(v) }, nil
	}
	return nil, fmt.Errorf("no expression: %v", raw)
}

func (c reader) call(tidy string) (expression, error) {
	name, inner, ok := strings.Cut(tidy, "(")
	if !ok {
		return c.path(tidy)
	}
	arg, err := c.call(strings.TrimSuffix(inner, ")"))
	if err != nil {
		return nil, err
	}
	f, ok := functions[name]
	if !ok {
		return nil, fmt.Errorf("no function %s", name)
	}
	if direct, ok := c.direct(name, strings.TrimSuffix(inner, ")")); ok {
		return direct, nil
	}
	return func(r teams, as view) value { return f(arg(r, as)) }, nil
}

// direct is the mean of a number, which nearly every fairness rule asks for, without
// making lists: avg(teams[*]…) and avg(flatten(teams[*]…)).
func (c reader) direct(name, inner string) (expression, bool) {
	path, flat := strings.CutPrefix(inner, "flatten(")
	attribute, ok := strings.CutPrefix(strings.TrimSuffix(path, ")"), "teams[*].players.attributes[")
	attribute = strings.TrimSuffix(attribute, "]")
	if name != "avg" || !ok || typeOf(c.set, attribute) != flexmatch.Number {
		return nil, false
	}
	return func(r teams, as view) value {
		means := make([]value, 0, len(r))
		total, players := 0.0, 0.0
		for _, team := range r {
			sum := 0.0
			for _, s := range team {
				sum += s.f.numbers[attribute][as.number]
			}
			if len(team) > 0 {
				means = append(means, number(sum/float64(len(team))))
			}
			total, players = total+sum, players+float64(len(team))
		}
		switch {
		case !flat:
			return list(means)
		case players == 0:
			return value{}
		}
		return number(total / players)
	}, true
}

// path compiles teams[…].players with what follows.
func (c reader) path(tidy string) (expression, error) {
	sel, attribute, ok := strings.Cut(tidy, "].players")
	_, sel, found := strings.Cut(sel, "[")
	if !ok || !found {
		return nil, fmt.Errorf("no path: %s", tidy)
	}
	var which []int
	for name := range strings.SplitSeq(sel, ",") {
		for i, single := range c.names {
			if name == "*" || single == name || (strings.HasPrefix(single, name+"_") && c.definition(name) > 1) {
				which = append(which, i)
			}
		}
	}
	nested := sel == "*" || strings.Contains(sel, ",") || c.definition(sel) > 1
	attribute = strings.TrimSuffix(strings.TrimPrefix(attribute, ".attributes["), "]")
	return func(r teams, as view) value {
		var all []value
		for _, i := range which {
			all = append(all, list(column(r[i], attribute, as)))
		}
		if !nested && len(all) == 1 {
			return all[0]
		}
		return list(all)
	}, nil
}

// definition is the quantity of a team definition, 0 when there is none of that name.
func (c reader) definition(name string) int {
	for _, t := range c.set.Teams {
		if t.Name == name {
			return t.Quantity
		}
	}
	return 0
}

// column is one attribute of a team's players, or their ids.
func column(team []seat, attribute string, as view) []value {
	out := make([]value, 0, len(team))
	for i, s := range team {
		again := i > 0 && team[i-1].f == s.f // a ticket's players sit together
		if n, ok := s.f.numbers[attribute]; ok {
			if !as.onceTicket || !again {
				out = append(out, number(n[as.number]))
			}
			continue
		}
		if l, ok := s.f.lists[attribute]; ok {
			if !again || s.f.t.Backfill {
				words := make([]value, 0, len(l[as.list]))
				for _, w := range l[as.list] {
					words = append(words, text(w))
				}
				out = append(out, list(words))
			}
			continue
		}
		if v, ok := s.f.strings[attribute]; ok {
			if !as.onceTicket || !again {
				out = append(out, text(v[s.player]))
			}
			continue
		}
		out = append(out, text(*s.f.t.Players[s.player].PlayerId))
	}
	return out
}

// functions of expressions; on one level more they map.
var functions = map[string]func(value) value{
	"count":            mapped(func(v []value) value { return number(float64(len(v))) }),
	"sum":              mapped(func(v []value) value { return number(sum(v)) }),
	"avg":              some(func(v []value) value { return number(sum(v) / float64(len(v))) }),
	"min":              some(func(v []value) value { return sortedValues(v)[0] }),
	"max":              some(func(v []value) value { return sortedValues(v)[len(v)-1] }),
	"median":           some(median),
	"stddev":           some(deviation),
	"flatten":          flatten,
	"set_intersection": intersectionOf,
}

func sum(v []value) float64 {
	total := 0.0
	for _, e := range v {
		total += e.n
	}
	return total
}

func sortedValues(v []value) []value {
	return slices.SortedFunc(slices.Values(v), func(a, b value) int { return int(math.Copysign(1, a.n-b.n)) })
}

func median(v []value) value {
	s := sortedValues(v)
	return number((s[len(s)/2].n + s[(len(s)-1)/2].n) / 2)
}

func deviation(v []value) value {
	mean, squares := sum(v)/float64(len(v)), 0.0
	for _, e := range v {
		squares += (e.n - mean) * (e.n - mean)
	}
	return number(math.Sqrt(squares / float64(len(v))))
}

// mapped applies a function of a list of scalars, at whatever depth it stands.
func mapped(f func([]value) value) func(value) value {
	var apply func(v value) value
	apply = func(v value) value {
		if !slices.ContainsFunc(v.l, func(e value) bool { return e.kind == 'l' }) {
			return f(v.l)
		}
		out := make([]value, len(v.l))
		for i, e := range v.l {
			out[i] = apply(e)
		}
		return list(out)
	}
	return apply
}

// some is mapped, without a value for an empty list.
func some(f func([]value) value) func(value) value {
	return mapped(func(v []value) value {
		v = slices.DeleteFunc(slices.Clone(v), func(e value) bool { return e.kind == 0 })
		if len(v) == 0 {
			return value{}
		}
		return f(v)
	})
}

func flatten(v value) value {
	var all []value
	for _, e := range v.l {
		all = append(all, e.l...)
	}
	return list(all)
}

func intersectionOf(v value) value {
	if len(v.l) > 0 && len(v.l[0].l) > 0 && v.l[0].l[0].kind == 'l' {
		out := make([]value, len(v.l))
		for i, e := range v.l {
			out[i] = intersectionOf(e)
		}
		return list(out)
	}
	var all []value
	for _, w := range common(wordsOf(v)) {
		all = append(all, text(w))
	}
	return list(all)
}

func wordsOf(v value) (out [][]string) {
	for _, l := range v.lists() {
		var words []string
		for _, w := range l {
			words = append(words, w.s)
		}
		out = append(out, words)
	}
	return out
}

// rule says whether a roster satisfies it.
type rule func(r teams) bool

// level is the rules and team sizes at one stage of the expansions.
type level struct {
	wait     time.Duration
	enforced []rule
	quick    []quick // those that can be checked ticket by ticket
	late     []rule  // those that cannot
	min, max []int   // of each single team
	need     int
	cap      int
	newest   bool
}

// levels compiles the rule set for each stage of its expansions.
func (r *Rules) levels(additional int) ([]level, error) {
	waits := []time.Duration{0}
	for _, x := range r.Set.Expansions {
		for _, s := range x.Steps {
			waits = append(waits, s.Wait)
		}
	}
	slices.Sort(waits)
	var out []level
	for _, wait := range slices.Compact(waits) {
		l, err := r.level(wait, additional)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

func (r *Rules) level(wait time.Duration, additional int) (level, error) {
	doc, err := r.document()
	if err != nil {
		return level{}, err
	}
	rules, parties := entries(doc["rules"]), entries(doc["teams"])
	for _, x := range r.Set.Expansions {
		for _, s := range x.Steps {
			if s.Wait <= wait && (s.Wait > 0 || wait == 0) {
				relax(rules, parties, x.Target, s.Value)
			}
		}
	}
	c := reader{set: r.Set, names: r.Set.TeamNames()}
	out := level{wait: wait, newest: r.Set.Algorithm.ExpansionAgeSelection != "oldest"}
	for _, t := range parties {
		quantity, _ := whole(t["quantity"])
		for range max(1, int(quantity)) {
			least, _ := whole(t["minPlayers"])
			most, _ := whole(t["maxPlayers"])
			out.min, out.max = append(out.min, int(least)), append(out.max, int(most))
		}
	}
	for i := range out.max {
		out.need += out.min[i]
		out.cap += out.max[i]
	}
	for out.cap = max(0, out.cap-additional); out.need > out.cap; out.need-- {
		i := slices.Index(out.min, slices.Max(out.min))
		out.min[i]--
	}
	named := map[string]rule{}
	inside := map[string]bool{}
	for _, spec := range rules {
		if spec["type"] == "compound" {
			for _, word := range strings.FieldsFunc(fmt.Sprint(spec["statement"]), func(r rune) bool { return strings.ContainsRune("(), \t\n", r) }) {
				inside[word] = true
			}
		}
	}
	for _, spec := range rules {
		name := fmt.Sprint(spec["name"])
		check, err := c.rule(spec, named)
		if err != nil {
			return level{}, fmt.Errorf("rule %s: %w", name, err)
		}
		named[name] = check
		if check == nil || inside[name] {
			continue
		}
		out.enforced = append(out.enforced, check)
		if q, ok := quickOf(spec, r.Set); ok {
			out.quick = append(out.quick, q)
			if q.whole {
				continue
			}
		}
		out.late = append(out.late, check)
	}
	return out, nil
}

func entries(raw any) (out []map[string]any) {
	all, _ := raw.([]any)
	for _, e := range all {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// relax sets an expansion's value.
func relax(rules, parties []map[string]any, target string, v any) {
	component, rest, _ := strings.Cut(target, "[")
	names, property, _ := strings.Cut(rest, "].")
	of := rules
	if component == "teams" {
		of = parties
	}
	for name := range strings.SplitSeq(names, ",") {
		for _, e := range of {
			if e["name"] == strings.TrimSpace(name) {
				e[property] = v
			}
		}
	}
}

// whole reads a number that may be written as a string.
func whole(raw any) (float64, bool) {
	switch v := raw.(type) {
	case float64:
		return v, true
	case string:
		n, err := strconv.ParseFloat(v, 64)
		return n, err == nil
	}
	return 0, false
}

// bounds reads two limits, of which either may be missing.
func bounds(spec map[string]any, low, high string) (least, most float64) {
	least, most = math.Inf(-1), math.Inf(1)
	if v, ok := whole(spec[low]); ok {
		least = v
	}
	if v, ok := whole(spec[high]); ok {
		most = v
	}
	return least, most
}

// rule compiles a rule; nil for one that never rejects.
func (c reader) rule(spec map[string]any, named map[string]rule) (rule, error) {
	switch spec["type"] {
	case "comparison":
		return c.comparison(spec)
	case "distance":
		return c.distance(spec)
	case "batchDistance":
		return batchDistance(spec), nil
	case "collection":
		return c.collection(spec)
	case "latency":
		return latencyRule(spec), nil
	case "compound":
		return statement(strings.Join(strings.Fields(fmt.Sprint(spec["statement"])), ""), named)
	case "absoluteSort", "distanceSort":
		return nil, nil
	}
	return nil, fmt.Errorf("unknown type %v", spec["type"])
}

func (c reader) measurements(spec map[string]any) (out []expression, err error) {
	raw, ok := spec["measurements"].([]any)
	if !ok {
		raw = []any{spec["measurements"]}
	}
	for _, m := range raw {
		e, err := c.expression(m)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (c reader) comparison(spec map[string]any) (rule, error) {
	measurements, err := c.measurements(spec)
	if err != nil {
		return nil, err
	}
	as := view{number: aggregateOf(fmt.Sprint(spec["partyAggregation"]))}
	operation := fmt.Sprint(spec["operation"])
	if spec["referenceValue"] == nil {
		as.onceTicket = operation == "!="
		return all(measurements, func(r teams, m expression) bool {
			values := m(r, as).leaves()
			for i, a := range values {
				for _, b := range values[:i] {
					if !compare(a, operation, b) {
						return false
					}
				}
			}
			return true
		}), nil
	}
	reference, err := c.expression(spec["referenceValue"])
	return all(measurements, func(r teams, m expression) bool {
		ref := reference(r, as)
		return ref.kind == 0 || !slices.ContainsFunc(m(r, as).leaves(), func(v value) bool { return !compare(v, operation, ref) })
	}), err
}

func compare(a value, operation string, b value) bool {
	if a.kind != b.kind { // a literal number may be meant as a string
		return operation == "!="
	}
	switch operation {
	case "=":
		return a.n == b.n && a.s == b.s
	case "!=":
		return a.n != b.n || a.s != b.s
	case "<":
		return a.n < b.n
	case "<=":
		return a.n <= b.n
	case ">":
		return a.n > b.n
	}
	return a.n >= b.n
}

func all(measurements []expression, check func(r teams, m expression) bool) rule {
	return func(r teams) bool {
		return !slices.ContainsFunc(measurements, func(m expression) bool { return !check(r, m) })
	}
}

func (c reader) distance(spec map[string]any) (rule, error) {
	measurements, err := c.measurements(spec)
	if err != nil {
		return nil, err
	}
	reference, err := c.expression(spec["referenceValue"])
	least, most := bounds(spec, "minDistance", "maxDistance")
	as := view{number: aggregateOf(fmt.Sprint(spec["partyAggregation"]))}
	return all(measurements, func(r teams, m expression) bool {
		ref := reference(r, as)
		return ref.kind == 0 || !slices.ContainsFunc(m(r, as).leaves(), func(v value) bool {
			d := math.Abs(v.n - ref.n)
			return d < least-tolerance || d > most+tolerance
		})
	}), err
}

// tolerance forgives sums that were made in another order.
const tolerance = 1e-9

func batchDistance(spec map[string]any) rule {
	attribute, aggregate := fmt.Sprint(spec["batchAttribute"]), aggregateOf(fmt.Sprint(spec["partyAggregation"]))
	_, most := bounds(spec, "", "maxDistance")
	return func(r teams) bool {
		low, high, words := math.Inf(1), math.Inf(-1), ""
		for _, f := range r.tickets() {
			if n, ok := f.numbers[attribute]; ok {
				low, high = min(low, n[aggregate]), max(high, n[aggregate])
			}
			for _, w := range f.strings[attribute] {
				if words != "" && w != words {
					return false
				}
				words = w
			}
		}
		return high-low <= most
	}
}

func (c reader) collection(spec map[string]any) (rule, error) {
	measurements, err := c.measurements(spec)
	if err != nil {
		return nil, err
	}
	as := view{list: byUnion}
	if spec["partyAggregation"] == "intersection" {
		as.list = byIntersection
	}
	least, most := bounds(spec, "minCount", "maxCount")
	in := func(n int) bool { return float64(n) >= least && float64(n) <= most }
	reference := expression(func(teams, view) value { return value{} })
	if spec["referenceValue"] != nil {
		if reference, err = c.expression(spec["referenceValue"]); err != nil {
			return nil, err
		}
	}
	switch spec["operation"] {
	case "contains":
		return all(measurements, func(r teams, m expression) bool {
			n, want := 0, reference(r, as).s
			for _, words := range m(r, as).lists() {
				if slices.ContainsFunc(words, func(v value) bool { return v.s == want && v.kind == 's' }) {
					n++
				}
			}
			return in(n)
		}), nil
	case "intersection":
		return all(measurements, func(r teams, m expression) bool { return in(len(common(wordsOf(m(r, as))))) }), nil
	case "reference_intersection_count":
		return all(measurements, func(r teams, m expression) bool {
			var want []string
			for _, w := range reference(r, as).leaves() {
				want = append(want, w.s)
			}
			return !slices.ContainsFunc(wordsOf(m(r, as)), func(words []string) bool {
				return !in(len(common([][]string{distinct(words), want})))
			})
		}), nil
	}
	return nil, fmt.Errorf("unknown operation %v", spec["operation"])
}

func latencyRule(spec map[string]any) rule {
	_, most := bounds(spec, "", "maxLatency")
	_, apart := bounds(spec, "", "maxDistance")
	aggregate := aggregateOf(fmt.Sprint(spec["partyAggregation"]))
	return func(r teams) bool {
		tickets := r.tickets()
		if len(tickets) == 0 {
			return true
		}
		for location := range tickets[0].latency {
			if meets(tickets, location, aggregate, most, apart, fmt.Sprint(spec["distanceReference"])) {
				return true
			}
		}
		return false
	}
}

func meets(tickets []*facts, location string, aggregate int, most, apart float64, reference string) bool {
	least, sum := math.Inf(1), 0.0
	for _, f := range tickets {
		ms, ok := f.latency[location]
		if !ok || ms[aggregate] > most {
			return false
		}
		least, sum = min(least, ms[aggregate]), sum+ms[aggregate]
	}
	ref := least
	if reference == "avg" {
		ref = sum / float64(len(tickets))
	}
	return !slices.ContainsFunc(tickets, func(f *facts) bool { return math.Abs(f.latency[location][aggregate]-ref) > apart+tolerance })
}

// statement compiles a compound rule's, without white space in it.
func statement(s string, named map[string]rule) (rule, error) {
	name, inner, ok := strings.Cut(s, "(")
	if !ok {
		if check := named[s]; check != nil {
			return check, nil
		}
		return nil, fmt.Errorf("no rule %s", s)
	}
	var args []rule
	for _, part := range arguments(strings.TrimSuffix(inner, ")")) {
		arg, err := statement(part, named)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	if len(args) == 0 {
		return nil, errors.New("an empty statement")
	}
	held := func(r teams) (n int) {
		for _, a := range args {
			if a(r) {
				n++
			}
		}
		return n
	}
	switch name {
	case "and":
		return func(r teams) bool { return !slices.ContainsFunc(args, func(a rule) bool { return !a(r) }) }, nil
	case "or":
		return func(r teams) bool { return slices.ContainsFunc(args, func(a rule) bool { return a(r) }) }, nil
	case "xor":
		return func(r teams) bool { return held(r) == 1 }, nil
	case "not":
		return func(r teams) bool { return held(r) == 0 }, nil
	}
	return nil, fmt.Errorf("no operator %s", name)
}

// arguments splits at the commas outside of brackets.
func arguments(s string) (out []string) {
	depth, from := 0, 0
	for i, c := range s {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return append(out, s[from:])
}
