package flexmatch

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
)

// The oracle judges rosters by a second, independent reading of the rule set: straight
// from the JSON, by recursion over nested lists, with no compilation, no pruning and no
// index.

type oracle struct {
	raw   map[string]any
	attrs map[string]map[string]any
	teams []string
	defs  map[string]map[string]any // by single team

	asOne, anyLocation bool
}

// element is a leaf of an expression: a number, a string or a set, and its ticket.
type element struct {
	v      any
	ticket *Ticket
}

type set []string

func newOracle(body string) *oracle {
	o := &oracle{attrs: map[string]map[string]any{}, defs: map[string]map[string]any{}}
	if err := json.Unmarshal([]byte(body), &o.raw); err != nil {
		panic(err)
	}
	for _, a := range list(o.raw["playerAttributes"]) {
		o.attrs[a["name"].(string)] = a
	}
	for _, t := range list(o.raw["teams"]) {
		n, ok := t["quantity"].(float64)
		if !ok {
			n = 1
		}
		for i := range int(n) {
			name := t["name"].(string)
			if n > 1 {
				name += "_" + string(rune('1'+i))
			}
			o.teams = append(o.teams, name)
			o.defs[name] = t
		}
	}
	return o
}

func list(v any) (out []map[string]any) {
	for _, el := range arr(v) {
		out = append(out, el.(map[string]any))
	}
	return out
}

func arr(v any) []any {
	out, _ := v.([]any)
	return out
}

// placed is a roster: the tickets and the team of each player.
type placed struct {
	tickets []*Ticket
	team    map[string]string
}

// legal judges a complete match at an instant, in seconds; free slots must stay free.
func (o *oracle) legal(p placed, now float64, free int) bool {
	backfills, total := 0, 0
	for _, t := range p.tickets {
		total += len(t.Players)
		if t.Backfill {
			backfills++
		}
		for _, pl := range t.Players {
			for name, a := range o.attrs {
				if _, ok := pl.PlayerAttributes[name]; !ok && a["default"] == nil {
					return false
				}
			}
			if !t.Backfill && p.team[*pl.PlayerId] != p.team[*t.Players[0].PlayerId] {
				return false
			}
		}
	}
	if len(p.team) != total || backfills > 1 || (backfills == 1 && len(p.tickets) == 1) {
		return false
	}
	age := math.Inf(1)
	oldest := false
	if alg, ok := o.raw["algorithm"].(map[string]any); ok && alg["expansionAgeSelection"] == "oldest" {
		oldest, age = true, 0
	}
	for _, t := range p.tickets {
		own := now - float64(t.Start.UnixMilli())/1000
		if oldest {
			age = max(age, own)
		} else {
			age = min(age, own)
		}
	}
	rules, sizes := o.relaxed(age)
	if !o.sizesHold(p, sizes, free) {
		return false
	}
	verdict := map[string]bool{}
	inside := map[string]bool{}
	for _, r := range rules {
		if r["type"] == "compound" {
			for _, word := range strings.FieldsFunc(r["statement"].(string), func(c rune) bool { return strings.ContainsRune("(), ", c) }) {
				inside[word] = true
			}
			continue
		}
		verdict[r["name"].(string)] = o.rule(r, p)
	}
	for _, r := range rules {
		name := r["name"].(string)
		if r["type"] == "compound" {
			v, rest := statementValue(strings.ReplaceAll(r["statement"].(string), " ", ""), verdict)
			if rest != "" {
				panic("statement left " + rest)
			}
			if !v {
				return false
			}
		} else if !inside[name] && !verdict[name] {
			return false
		}
	}
	return true
}

// relaxed is the rules and team sizes at an age.
func (o *oracle) relaxed(age float64) (rules []map[string]any, sizes map[string][2]float64) {
	var copied map[string]any
	text, _ := json.Marshal(o.raw)
	_ = json.Unmarshal(text, &copied)
	rules = list(copied["rules"])
	teams := list(copied["teams"])
	for _, e := range list(o.raw["expansions"]) {
		target := e["target"].(string)
		open, end := strings.Index(target, "["), strings.LastIndex(target, "]")
		for _, step := range list(e["steps"]) {
			if step["waitTimeSeconds"].(float64) > age {
				continue
			}
			for name := range strings.SplitSeq(target[open+1:end], ",") {
				for _, c := range append(slices.Clone(rules), teams...) {
					if c["name"] == strings.TrimSpace(name) {
						c[target[end+2:]] = step["value"]
					}
				}
			}
		}
	}
	sizes = map[string][2]float64{}
	for _, name := range o.teams {
		for _, t := range teams {
			if t["name"] == o.defs[name]["name"] {
				sizes[name] = [2]float64{t["minPlayers"].(float64), t["maxPlayers"].(float64)}
			}
		}
	}
	return rules, sizes
}

func (o *oracle) sizesHold(p placed, sizes map[string][2]float64, free int) bool {
	count := map[string]float64{}
	for _, t := range p.team {
		count[t]++
	}
	slots, minimum := 0.0, 0.0
	for _, s := range sizes {
		slots += s[1]
		minimum += s[0]
	}
	capacity := slots - float64(free)
	if float64(len(p.team)) > capacity || len(p.team) == 0 {
		return false
	}
	for minimum > capacity { // the largest minimum gives way, the first of several
		largest := o.teams[0]
		for _, name := range o.teams {
			if sizes[name][0] > sizes[largest][0] {
				largest = name
			}
		}
		sizes[largest] = [2]float64{sizes[largest][0] - 1, sizes[largest][1]}
		minimum--
	}
	for name, s := range sizes {
		if count[name] < s[0] || count[name] > s[1] {
			return false
		}
	}
	return true
}

func statementValue(s string, verdict map[string]bool) (value bool, rest string) {
	i := strings.IndexAny(s, "(),")
	if i < 0 || s[i] != '(' {
		if i < 0 {
			i = len(s)
		}
		return verdict[s[:i]], s[i:]
	}
	op := s[:i]
	var args []bool
	for s = s[i:]; s[0] != ')'; {
		var v bool
		v, s = statementValue(s[1:], verdict)
		args = append(args, v)
	}
	switch op {
	case "and":
		return !slices.Contains(args, false), s[1:]
	case "or":
		return slices.Contains(args, true), s[1:]
	case "not":
		return !args[0], s[1:]
	}
	return args[0] != args[1], s[1:]
}

func (o *oracle) rule(r map[string]any, p placed) bool {
	party, _ := r["partyAggregation"].(string)
	num := func(key string, def float64) float64 {
		if n, ok := r[key].(float64); ok {
			return n
		}
		return def
	}
	measured := func(f func(v any) bool) bool {
		for _, m := range arr(r["measurements"]) {
			if !f(o.expr(m.(string), p, party, r["type"] == "collection")) {
				return false
			}
		}
		return true
	}
	reference := func() any {
		if text, ok := r["referenceValue"].(string); ok && strings.Contains(text, "teams[") {
			return o.expr(text, p, party, r["type"] == "collection")
		}
		return r["referenceValue"]
	}
	switch r["type"] {
	case "comparison":
		return measured(func(v any) bool {
			return compares(r["operation"].(string), leaves(v), reference(), r["referenceValue"] != nil)
		})
	case "distance":
		ref := unwrap(reference())
		return measured(func(v any) bool {
			for _, e := range leaves(v) {
				if e.v == nil || ref == nil {
					continue
				}
				d := math.Abs(e.v.(float64) - ref.(float64))
				if d < num("minDistance", 0) || d > num("maxDistance", math.Inf(1)) {
					return false
				}
			}
			return true
		})
	case "batchDistance":
		attr := r["batchAttribute"].(string)
		lo, hi := math.Inf(1), math.Inf(-1)
		values := map[string]bool{}
		for _, t := range p.tickets {
			for i := range t.Players {
				if o.attrs[attr]["type"] == "string" {
					values[o.attribute(t, i, attr, "", false).(string)] = true
					continue
				}
				v := o.attribute(t, i, attr, party, false).(float64)
				lo, hi = min(lo, v), max(hi, v)
			}
		}
		return len(values) <= 1 && (len(values) == 1 || hi-lo <= num("maxDistance", 0))
	case "collection":
		ref := reference()
		return measured(func(v any) bool {
			groups := []any{v}
			if isGroups(v) {
				groups = v.([]any)
			}
			for _, g := range groups {
				for _, n := range collectionCounts(r["operation"].(string), g.([]any), ref) {
					if float64(n) < num("minCount", 0) || float64(n) > num("maxCount", math.Inf(1)) {
						return false
					}
				}
			}
			return true
		})
	case "latency":
		return o.latency(p, num("maxLatency", math.Inf(1)), num("maxDistance", math.Inf(1)), r["distanceReference"], party)
	}
	return true // sorts
}

func unwrap(v any) any {
	if e, ok := v.(element); ok {
		return e.v
	}
	return v
}

func compares(op string, els []element, ref any, given bool) bool {
	ref = unwrap(ref)
	if given {
		for _, e := range els {
			if e.v == nil || ref == nil {
				continue
			}
			if s, ok := e.v.(string); ok {
				if (s == ref.(string)) != (op == "=") {
					return false
				}
				continue
			}
			a, b := e.v.(float64), ref.(float64)
			ok := map[string]bool{"<": a < b, "<=": a <= b, "=": a == b, "!=": a != b, ">": a > b, ">=": a >= b}[op]
			if !ok {
				return false
			}
		}
		return true
	}
	for i, a := range els {
		for _, b := range els[:i] {
			if op == "=" && a.v != b.v {
				return false
			}
			if op == "!=" && a.v == b.v && (a.ticket == nil || a.ticket != b.ticket || a.ticket.Backfill) {
				return false
			}
		}
	}
	return true
}

// isGroups says a collection measurement keeps its teams apart.
func isGroups(v any) bool {
	l, ok := v.([]any)
	if !ok || len(l) == 0 {
		return false
	}
	_, nested := l[0].([]any)
	return nested
}

func collectionCounts(op string, group []any, ref any) (counts []int) {
	var sets []set
	for _, g := range group {
		switch v := unwrap(g).(type) {
		case set:
			sets = append(sets, v)
		case string:
			sets = append(sets, set{v})
		}
	}
	switch op {
	case "contains":
		n := 0
		for _, s := range sets {
			if slices.Contains(s, ref.(string)) {
				n++
			}
		}
		return []int{n}
	case "intersection":
		return []int{len(common(sets))}
	}
	against := set{}
	switch v := unwrap(ref).(type) {
	case set:
		against = v
	case []any:
		for _, el := range v {
			against = append(against, unwrap(el).(string))
		}
	}
	for _, s := range sets {
		n := 0
		for _, el := range s {
			if slices.Contains(against, el) {
				n++
			}
		}
		counts = append(counts, n)
	}
	return counts
}

func common(sets []set) (out set) {
	if len(sets) == 0 {
		return nil
	}
	for _, el := range sets[0] {
		if !slices.ContainsFunc(sets, func(s set) bool { return !slices.Contains(s, el) }) {
			out = append(out, el)
		}
	}
	return out
}

func (o *oracle) latency(p placed, limit, distance float64, reference any, party string) bool {
	at := map[string][]float64{}
	type choice struct {
		name string
		ms   float64
	}
	var choices [][]choice // of each unit
	for _, t := range p.tickets {
		units := [][]int{}
		for i := range t.Players {
			if t.Backfill || i == 0 {
				units = append(units, nil)
			}
			units[len(units)-1] = append(units[len(units)-1], i)
		}
		for _, u := range units {
			choices = append(choices, nil)
			for name := range t.Players[u[0]].LatencyInMs {
				var ms []float64
				for _, i := range u {
					if v, ok := t.Players[i].LatencyInMs[name]; ok {
						ms = append(ms, float64(v))
					}
				}
				if v := fold(party, ms); len(ms) == len(u) && v <= limit {
					at[name] = append(at[name], v)
					choices[len(choices)-1] = append(choices[len(choices)-1], choice{name, v})
				}
			}
		}
	}
	n := 0
	for _, t := range p.tickets {
		n++
		if t.Backfill {
			n += len(t.Players) - 1
		}
	}
	from := func(ms []float64) float64 {
		if reference == "avg" {
			return fold("avg", ms)
		}
		return slices.Min(ms)
	}
	if o.anyLocation {
		return !slices.ContainsFunc(choices, func(own []choice) bool {
			return !slices.ContainsFunc(own, func(c choice) bool { return math.Abs(c.ms-from(at[c.name])) <= distance })
		})
	}
	for _, ms := range at {
		if len(ms) != n {
			continue
		}
		ref := from(ms)
		if !slices.ContainsFunc(ms, func(v float64) bool { return math.Abs(v-ref) > distance }) {
			return true
		}
	}
	return false
}

func fold(how string, values []float64) float64 {
	switch how {
	case "min":
		return slices.Min(values)
	case "max":
		return slices.Max(values)
	}
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total / float64(len(values))
}

// attribute is what player i of a ticket counts with.
func (o *oracle) attribute(t *Ticket, i int, name, party string, collection bool) any {
	own := func(i int) any {
		v, ok := t.Players[i].PlayerAttributes[name]
		if !ok {
			if l, ok := o.attrs[name]["default"].([]any); ok {
				s := set{}
				for _, el := range l {
					s = append(s, el.(string))
				}
				return s
			}
			return o.attrs[name]["default"]
		}
		switch {
		case v.N != nil:
			return *v.N
		case v.S != nil:
			return *v.S
		}
		s := slices.Clone(v.SL)
		slices.Sort(s)
		return set(slices.Compact(s))
	}
	players := []int{i}
	if !t.Backfill {
		players = players[:0]
		for j := range t.Players {
			players = append(players, j)
		}
	}
	switch own(i).(type) {
	case float64:
		var all []float64
		for _, j := range players {
			all = append(all, own(j).(float64))
		}
		return fold(party, all)
	case set:
		if !collection {
			return own(i)
		}
		var sets []set
		for _, j := range players {
			sets = append(sets, own(j).(set))
		}
		if party == "intersection" {
			return common(sets)
		}
		all := slices.Concat(sets...)
		slices.Sort(all)
		return slices.Compact(all)
	}
	return own(i)
}

// expr evaluates an expression to an element or to nested []any of elements.
func (o *oracle) expr(text string, p placed, party string, collection bool) any {
	text = strings.TrimSpace(text)
	open := strings.IndexAny(text, "([")
	if text[open] == '(' {
		return call(strings.TrimSpace(text[:open]), o.expr(text[open+1:strings.LastIndex(text, ")")], p, party, collection))
	}
	end := strings.Index(text, "]")
	selected := strings.Split(text[open+1:end], ",")
	many := len(selected) > 1 || selected[0] == "*"
	var teams []any
	for _, name := range o.teams {
		if selected[0] != "*" && !slices.ContainsFunc(selected, func(s string) bool {
			s = strings.TrimSpace(s)
			if s == o.defs[name]["name"] && s != name {
				many = true
				return true
			}
			return s == name
		}) {
			continue
		}
		players := []any{}
		for _, t := range p.tickets {
			for i, pl := range t.Players {
				if p.team[*pl.PlayerId] != name {
					continue
				}
				switch {
				case strings.Contains(text, "playerId"):
					players = append(players, element{v: *pl.PlayerId, ticket: t})
				case strings.Contains(text, "attributes["):
					from := strings.Index(text, "attributes[") + len("attributes[")
					v := o.attribute(t, i, strings.TrimSuffix(text[from:], "]"), party, collection)
					if _, isSet := v.(set); isSet && collection && i > 0 && !t.Backfill {
						continue // one list a ticket
					}
					if _, isNumber := v.(float64); isNumber && o.asOne && i > 0 && !t.Backfill {
						continue // one number a ticket
					}
					players = append(players, element{v: v, ticket: t})
				default:
					players = append(players, element{v: "player"})
				}
			}
		}
		teams = append(teams, players)
	}
	if !many {
		return teams[0]
	}
	return teams
}

func call(op string, v any) any {
	l := v.([]any)
	if op == "flatten" {
		out := []any{}
		for _, inner := range l {
			if in, ok := inner.([]any); ok {
				out = append(out, in...)
				continue
			}
			for _, s := range inner.(element).v.(set) {
				out = append(out, element{v: s})
			}
		}
		return out
	}
	if len(l) > 0 {
		if _, nested := l[0].([]any); nested {
			out := []any{}
			for _, inner := range l {
				out = append(out, call(op, inner))
			}
			return out
		}
	}
	if op == "set_intersection" {
		var sets []set
		for _, el := range l {
			sets = append(sets, el.(element).v.(set))
		}
		return element{v: common(sets)}
	}
	if op == "count" {
		return element{v: float64(len(l))}
	}
	var nums []float64
	for _, el := range l {
		if n, ok := el.(element).v.(float64); ok {
			nums = append(nums, n)
		}
	}
	if op == "sum" {
		total := 0.0
		for _, n := range nums {
			total += n
		}
		return element{v: total}
	}
	if len(nums) == 0 {
		return element{}
	}
	switch op {
	case "median":
		slices.Sort(nums)
		return element{v: (nums[(len(nums)-1)/2] + nums[len(nums)/2]) / 2}
	case "stddev":
		mean, total := fold("avg", nums), 0.0
		for _, n := range nums {
			total += (n - mean) * (n - mean)
		}
		return element{v: math.Sqrt(total / float64(len(nums)))}
	}
	return element{v: fold(op, nums)}
}

func leaves(v any) (out []element) {
	if l, ok := v.([]any); ok {
		for _, el := range l {
			out = append(out, leaves(el)...)
		}
		return out
	}
	return []element{v.(element)}
}

// brute is the largest legal match around the first ticket that has any, found by trying
// every set of tickets with every choice of teams; nil when there is none. Nothing is
// assumed of the order among equals.
func (o *oracle) brute(pool []*Ticket, now float64, free int) (anchor *Ticket, players int, others []int) {
	for i, t := range pool {
		if best, others := o.around(pool, i, now, free); best > 0 {
			return t, best, others
		}
	}
	return nil, 0, nil
}

// around is the size of the largest legal match with ticket i, 0 without any, and which
// other tickets are in it: of several as large, those that come first in the pool.
func (o *oracle) around(pool []*Ticket, i int, now float64, free int) (best int, others []int) {
	for mask := 1; mask < 1<<len(pool); mask++ {
		if mask>>i&1 == 0 {
			continue
		}
		var chosen []*Ticket
		var with []int
		n := 0
		for j, other := range pool {
			if mask>>j&1 == 1 {
				chosen = append(chosen, other)
				n += len(other.Players)
				if j != i {
					with = append(with, j)
				}
			}
		}
		better := n > best || n == best && slices.Compare(with, others) < 0
		if better && n <= 8 && o.anyTeams(placed{tickets: chosen, team: map[string]string{}}, 0, now, free) {
			best, others = n, with
		}
	}
	return best, others
}

func (o *oracle) anyTeams(p placed, i int, now float64, free int) bool {
	if i == len(p.tickets) {
		return o.legal(p, now, free)
	}
	t := p.tickets[i]
	if t.Backfill {
		for _, pl := range t.Players {
			p.team[*pl.PlayerId] = *pl.Team
		}
		return o.anyTeams(p, i+1, now, free)
	}
	for _, name := range o.teams {
		for _, pl := range t.Players {
			p.team[*pl.PlayerId] = name
		}
		if o.anyTeams(p, i+1, now, free) {
			return true
		}
	}
	for _, pl := range t.Players {
		delete(p.team, *pl.PlayerId)
	}
	return false
}
