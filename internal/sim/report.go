package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Report is one or several runs of the same stream, in numbers. Times are in seconds from
// the beginning of the stream. It holds nothing that differs between two runs of the same
// program on the same input.
type Report struct {
	Title  string `json:"title"`
	Stream struct {
		Name    string  `json:"name"`
		Seconds float64 `json:"seconds"`
		Tickets int     `json:"tickets"`
		Players int     `json:"players"`
		Seed    uint64  `json:"seed"`
	} `json:"stream"`
	Matchmaker  Matchmaker `json:"matchmaker"`
	Skill       string     `json:"skill"` // the attribute quality is measured by
	SlotSeconds float64    `json:"slotSeconds"`
	Runs        []Run      `json:"runs"`
}

// Run is one matcher with one rule set.
type Run struct {
	Name    string `json:"name"`
	RuleSet string `json:"ruleSet"`
	Matcher string `json:"matcher"` // engine or greedy
	// Outcomes counts tickets; backfill tickets are not among them.
	Outcomes  map[Outcome]int `json:"outcomes"`
	Tickets   int             `json:"tickets"`
	Matches   int             `json:"matches"`
	Backfills int             `json:"backfills"` // matches that filled a running session
	Players   int             `json:"players"`   // in matches
	Proposals int             `json:"proposals"`
	Dropped   int             `json:"dropped"` // proposals that were not accepted
	// Wait is of matched tickets, InQueue of all, those that gave up too.
	Wait    Spread `json:"wait"`
	InQueue Spread `json:"inQueue"`
	// Quality of the matches, one figure a match.
	SkillSpread  Spread `json:"skillSpread"`
	TeamBalance  Spread `json:"teamBalance"`
	Latency      Spread `json:"latency"`
	WorstLatency Spread `json:"worstLatency"`
	Size         Spread `json:"size"`

	OverTime []Slot  `json:"overTime"`
	Within   []Point `json:"within"` // share of all tickets matched within so many seconds

	SkillBins   []Bin `json:"skillBins"`
	BalanceBins []Bin `json:"balanceBins"`
	LatencyBins []Bin `json:"latencyBins"`
	SizeBins    []Bin `json:"sizeBins"`

	Groups   []Grouping `json:"groups"`
	Failures Failures   `json:"failures"`
	Rules    []RuleLine `json:"rules"`
}

// Spread is a distribution in a few figures. Percentiles are by nearest rank: the
// smallest value that at least so many percent do not exceed. Of nothing all are zero.
type Spread struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Slot is a stretch of time. Waits are of the tickets matched in it, quality is of the
// matches made in it; Waiting is the mean number of tickets in the pool after a pass.
type Slot struct {
	From     float64 `json:"from"`
	Arrived  int     `json:"arrived"`
	Matched  int     `json:"matched"`
	GaveUp   int     `json:"gaveUp"` // timed out or left
	Waiting  float64 `json:"waiting"`
	MostWait int     `json:"mostWaiting"`
	Wait     Spread  `json:"wait"`
	Matches  int     `json:"matches"`
	Skill    float64 `json:"skillSpread"` // mean
	Latency  float64 `json:"latency"`     // mean
}

// Point is a place on a curve.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Bin counts values from From up to below To; the last bin takes what is above it, too.
type Bin struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int     `json:"count"`
}

// Grouping is the tickets by something they differ in.
type Grouping struct {
	By   string  `json:"by"`
	Rows []Group `json:"rows"`
}

// Group is tickets that are alike in something.
type Group struct {
	Label   string  `json:"label"`
	Tickets int     `json:"tickets"`
	Matched int     `json:"matched"`
	GaveUp  int     `json:"gaveUp"`
	Wait    Spread  `json:"wait"`
	Skill   float64 `json:"skillSpread"` // mean of the matches its tickets are in
}

// Failures is why tickets found no match, from explanations of a sample of them.
type Failures struct {
	Unmatched int       `json:"unmatched"` // timed out or left while they searched
	Explained int       `json:"explained"`
	Reasons   []Failure `json:"reasons"`
}

// Failure is one reason.
type Failure struct {
	Reason string `json:"reason"`
	Rule   string `json:"rule,omitempty"`
	Count  int    `json:"count"`
	// Target and Needed are the property that would have to give way, and the value with
	// which half of these tickets would have matched at once.
	Target  string  `json:"target,omitempty"`
	Needed  float64 `json:"needed,omitempty"`
	Example string  `json:"example"`
}

// RuleLine counts how often a rule was tried.
type RuleLine struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Passed int    `json:"passed"`
	Failed int    `json:"failed"`
}

// NewReport sums results up. They must be of the same stream.
func NewReport(title string, seed uint64, results ...*Result) *Report {
	first := results[0]
	r := &Report{Title: title, Matchmaker: first.o.Stream.Matchmaker, Skill: first.o.Skill, SlotSeconds: first.slotLen.Seconds()}
	if r.Skill == "" {
		r.Skill = first.o.Rules.skill()
	}
	m := &r.Matchmaker // with its defaults
	m.RequestTimeoutSeconds, m.PassSeconds = m.requestTimeout().Seconds(), m.pass().Seconds()
	if m.AcceptanceRequired {
		m.AcceptanceTimeoutSeconds = m.acceptanceTimeout().Seconds()
	}
	r.Stream.Name, r.Stream.Seconds, r.Stream.Seed = first.o.Stream.Name, first.o.Stream.Length.Seconds(), seed
	r.Stream.Tickets = len(first.o.Stream.Tickets)
	for i := range first.o.Stream.Tickets {
		r.Stream.Players += len(first.o.Stream.Tickets[i].Players)
	}
	edges := map[string][]float64{
		"skill":   edgesOf(results, func(m madeMatch) float64 { return m.spread }),
		"balance": edgesOf(results, func(m madeMatch) float64 { return m.balance }),
		"latency": edgesOf(results, func(m madeMatch) float64 { return m.latency }),
		"size":    wholeEdges(results),
	}
	longest := 0.0
	for _, res := range results {
		for _, e := range res.ends {
			longest = max(longest, e.wait.Seconds())
		}
	}
	for _, res := range results {
		r.Runs = append(r.Runs, res.run(edges, longest, r.Skill))
	}
	return r
}

func (r *Result) run(edges map[string][]float64, longest float64, skill string) Run {
	out := Run{
		Name: cmp.Or(r.o.Label, r.o.Rules.Name), RuleSet: r.o.Rules.Name, Matcher: "engine",
		Outcomes: map[Outcome]int{}, Proposals: r.proposals, Dropped: r.dropped,
	}
	if r.o.Greedy {
		out.Matcher = "greedy"
	}
	var waits, all []float64
	for _, e := range r.people() {
		out.Tickets++
		out.Outcomes[e.how]++
		all = append(all, e.wait.Seconds())
		if e.how == Matched {
			waits = append(waits, e.wait.Seconds())
		}
	}
	out.Wait, out.InQueue = spreadOf(waits), spreadOf(all)
	out.Within = curve(waits, out.Tickets, longest)
	var skills, balances, latencies, worsts, sizes []float64
	for _, m := range r.matches {
		out.Matches++
		out.Players += m.players
		if m.backfill {
			out.Backfills++
		}
		sizes = append(sizes, float64(m.players))
		skills, balances = known(skills, m.spread), known(balances, m.balance)
		latencies, worsts = known(latencies, m.latency), known(worsts, m.worst)
	}
	out.SkillSpread, out.TeamBalance, out.Size = spreadOf(skills), spreadOf(balances), spreadOf(sizes)
	out.Latency, out.WorstLatency = spreadOf(latencies), spreadOf(worsts)
	out.SkillBins, out.BalanceBins = bins(skills, edges["skill"]), bins(balances, edges["balance"])
	out.LatencyBins, out.SizeBins = bins(latencies, edges["latency"]), bins(sizes, edges["size"])
	out.OverTime = r.overTime()
	out.Groups = r.groups(skill)
	out.Failures = r.failures()
	for i, rule := range r.o.Rules.Set.Rules {
		out.Rules = append(out.Rules, RuleLine{rule.Name, rule.Type, r.metrics[i].Passed, r.metrics[i].Failed})
	}
	return out
}

// people are the ends of all but backfill tickets.
func (r *Result) people() []ending {
	return slices.DeleteFunc(slices.Clone(r.ends), func(e ending) bool { return r.o.Stream.Tickets[e.ticket].Backfill })
}

func known(list []float64, v float64) []float64 {
	if v < 0 {
		return list
	}
	return append(list, v)
}

// spreadOf sorts the values and sums them up.
func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return Spread{
		Count: len(values), Mean: round(sum / float64(len(values))), P50: percentile(values, 50), P90: percentile(values, 90),
		P95: percentile(values, 95), P99: percentile(values, 99), Max: round(values[len(values)-1]),
	}
}

// percentile of sorted values, by nearest rank.
func percentile(sorted []float64, p int) float64 {
	rank := (len(sorted)*p + 99) / 100
	return round(sorted[max(rank, 1)-1])
}

// round is to the thousandth, the precision of times.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }

// overTime is the run slot by slot.
func (r *Result) overTime() []Slot {
	out := make([]Slot, len(r.slots))
	waits := make([][]float64, len(r.slots))
	skill, latency := make([][]float64, len(r.slots)), make([][]float64, len(r.slots))
	for i, s := range r.slots {
		out[i].From = round((time.Duration(i) * r.slotLen).Seconds())
		out[i].MostWait = s.most
		if s.samples > 0 {
			out[i].Waiting = round(float64(s.waiting) / float64(s.samples))
		}
	}
	for _, e := range r.people() {
		out[r.slot(span(r.o.Stream.Tickets[e.ticket].At))].Arrived++
		i := r.slot(e.at)
		switch e.how {
		case Matched:
			out[i].Matched++
			waits[i] = append(waits[i], e.wait.Seconds())
		case TimedOut, Left:
			out[i].GaveUp++
		default:
		}
	}
	for _, m := range r.matches {
		i := r.slot(m.at)
		out[i].Matches++
		skill[i], latency[i] = known(skill[i], m.spread), known(latency[i], m.latency)
	}
	for i := range out {
		out[i].Wait = spreadOf(waits[i])
		out[i].Skill, out[i].Latency = spreadOf(skill[i]).Mean, spreadOf(latency[i]).Mean
	}
	return out
}

// curve is the share of all tickets that were matched within so many seconds.
func curve(sorted []float64, of int, longest float64) []Point {
	const steps = 60
	points := make([]Point, 0, steps+1)
	for i := range steps + 1 {
		x := longest * float64(i) / steps
		n, _ := slices.BinarySearchFunc(sorted, x, func(v, x float64) int {
			if v <= x {
				return -1
			}
			return 1
		})
		points = append(points, Point{round(x), round(float64(n) / float64(max(1, of)))})
	}
	return points
}

// edgesOf are round edges of bins that hold the figure of every result.
func edgesOf(results []*Result, figure func(madeMatch) float64) []float64 {
	var all []float64
	for _, r := range results {
		for _, m := range r.matches {
			all = known(all, figure(m))
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	top := percentile(all, 99)
	if last := all[len(all)-1]; last <= 1.5*top { // a long tail goes into the last bin
		top = last
	}
	step := niceStep(top, 24)
	var edges []float64
	for i := 0; ; i++ {
		edges = append(edges, round(float64(i)*step))
		if float64(i)*step > top {
			return edges
		}
	}
}

// wholeEdges are for match sizes.
func wholeEdges(results []*Result) []float64 {
	least, most := math.MaxInt, 0
	for _, r := range results {
		for _, m := range r.matches {
			least, most = min(least, m.players), max(most, m.players)
		}
	}
	if most == 0 {
		return nil
	}
	step := max(1, int(niceStep(float64(most-least), 24)))
	var edges []float64
	for n := least - least%step; n < most+1+step; n += step {
		edges = append(edges, float64(n))
	}
	return edges
}

// niceStep is 1, 2 or 5 times a power of ten, so that at most n of them reach the top.
func niceStep(top float64, n int) float64 {
	if top <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(top/float64(n))))
	for _, f := range []float64{1, 2, 5, 10} {
		if top/(f*unit) <= float64(n) {
			return f * unit
		}
	}
	return 10 * unit
}

func bins(values, edges []float64) []Bin {
	if len(edges) < 2 {
		return nil
	}
	out := make([]Bin, len(edges)-1)
	for i := range out {
		out[i].From, out[i].To = edges[i], edges[i+1]
	}
	for _, v := range values {
		i, found := slices.BinarySearch(edges, v)
		if !found {
			i--
		}
		out[min(max(i, 0), len(out)-1)].Count++
	}
	return out
}

func (r *Result) failures() Failures {
	f := Failures{Unmatched: r.unmatched, Explained: r.explained}
	for _, key := range sortedKeys(r.reasons) {
		w := r.reasons[key]
		line := Failure{Reason: w.text, Rule: w.rule, Count: w.count, Example: w.example}
		if len(w.needed) > 0 {
			slices.Sort(w.needed)
			line.Target, line.Needed = w.target, percentile(w.needed, 50)
		}
		f.Reasons = append(f.Reasons, line)
	}
	slices.SortStableFunc(f.Reasons, func(a, b Failure) int { return b.Count - a.Count })
	return f
}

// groups are the tickets by party size, region, skill, and what few values there are of
// strings and lists.
func (r *Result) groups(skill string) []Grouping {
	out := []Grouping{r.group("Party size", func(t *Ticket) string { return strconv.Itoa(len(t.Players)) })}
	if slices.ContainsFunc(r.o.Stream.Tickets, func(t Ticket) bool { return t.Region != "" }) {
		out = append(out, r.group("Region", func(t *Ticket) string { return cmp.Or(t.Region, "unknown") }))
	}
	if label := r.fifths(skill); label != nil {
		out = append(out, r.group("Mean "+skill+" of the party, in fifths", label))
	}
	for _, a := range r.o.Rules.Set.Attributes {
		label := func(t *Ticket) string { return word(t.Players[0].Attributes[a.Name]) }
		values := map[string]bool{}
		for i := range r.o.Stream.Tickets {
			if v := label(&r.o.Stream.Tickets[i]); v != "" && len(values) <= maxGroups {
				values[v] = true
			}
		}
		if len(values) > 1 && len(values) <= maxGroups {
			out = append(out, r.group(a.Name, func(t *Ticket) string { return cmp.Or(label(t), "none") }))
		}
	}
	return out
}

// maxGroups is how many values of an attribute are worth a table.
const maxGroups = 12

// word is the text of a string or a list.
func word(v Value) string {
	switch {
	case v.S != nil:
		return *v.S
	case v.SL != nil:
		return strings.Join(slices.Sorted(slices.Values(v.SL)), ", ")
	}
	return ""
}

// fifths labels tickets by the fifth their mean skill is in, nil without such numbers.
func (r *Result) fifths(skill string) func(*Ticket) string {
	mean := func(t *Ticket) (float64, bool) {
		sum, n := 0.0, 0
		for _, p := range t.Players {
			if v := p.Attributes[skill].N; v != nil {
				sum, n = sum+*v, n+1
			}
		}
		return sum / float64(max(1, n)), n > 0
	}
	var all []float64
	for i := range r.o.Stream.Tickets {
		if v, ok := mean(&r.o.Stream.Tickets[i]); ok {
			all = append(all, v)
		}
	}
	if len(all) < 50 {
		return nil
	}
	slices.Sort(all)
	var edges []float64
	for p := 20; p < 100; p += 20 {
		edges = append(edges, percentile(all, p))
	}
	return func(t *Ticket) string {
		v, ok := mean(t)
		switch {
		case !ok:
			return "none"
		case v <= edges[0]:
			return fmt.Sprintf("1. up to %.0f", edges[0])
		}
		for i, edge := range edges[1:] {
			if v <= edge {
				return fmt.Sprintf("%d. %.0f to %.0f", i+2, edges[i], edge)
			}
		}
		return fmt.Sprintf("5. above %.0f", edges[3])
	}
}

func (r *Result) group(by string, label func(*Ticket) string) Grouping {
	rows := map[string]*Group{}
	waits := map[string][]float64{}
	at := func(i int32) *Group {
		name := label(&r.o.Stream.Tickets[i])
		if rows[name] == nil {
			rows[name] = &Group{Label: name}
		}
		return rows[name]
	}
	for _, e := range r.people() {
		g := at(e.ticket)
		g.Tickets++
		switch e.how {
		case Matched:
			g.Matched++
			waits[g.Label] = append(waits[g.Label], e.wait.Seconds())
		case TimedOut, Left:
			g.GaveUp++
		default:
		}
	}
	spreads := map[string][]float64{}
	for _, m := range r.matches {
		for _, i := range m.tickets {
			if !r.o.Stream.Tickets[i].Backfill {
				name := at(i).Label
				spreads[name] = known(spreads[name], m.spread)
			}
		}
	}
	out := Grouping{By: by}
	for _, name := range sortedKeys(rows) {
		g := rows[name]
		g.Wait, g.Skill = spreadOf(waits[name]), spreadOf(spreads[name]).Mean
		out.Rows = append(out.Rows, *g)
	}
	slices.SortStableFunc(out.Rows, func(a, b Group) int { // 2 before 10
		x, errX := strconv.Atoi(a.Label)
		y, errY := strconv.Atoi(b.Label)
		if errX != nil || errY != nil {
			return 0
		}
		return x - y
	})
	return out
}

// Tried is how often the rule was evaluated.
func (r RuleLine) Tried() int { return r.Passed + r.Failed }
