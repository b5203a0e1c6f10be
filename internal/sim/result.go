package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/flexmatch"
)

// Outcome is how a ticket ended.
type Outcome string

// The outcomes. Waiting tickets had not ended when the stream did.
const (
	Matched  Outcome = "matched"
	TimedOut Outcome = "timed out"
	Left     Outcome = "left"
	Declined Outcome = "declined"
	Silent   Outcome = "not accepted"
	Replaced Outcome = "replaced"
	Waiting  Outcome = "waiting"
)

// Outcomes in the order they are shown.
var Outcomes = []Outcome{Matched, TimedOut, Left, Declined, Silent, Replaced, Waiting}

// Result is everything a played stream gave, before it is summed up.
type Result struct {
	o         Options
	slotLen   time.Duration
	slots     []slotTally
	ends      []ending
	matches   []madeMatch
	proposals int
	dropped   int
	unmatched int // tickets that timed out or left while they searched
	metrics   []flexmatch.RuleMetric
	reasons   map[string]*reason
	explained int
}

// slotTally is the number of waiting tickets, looked at after each run of the matcher.
type slotTally struct{ samples, waiting, most int }

// ending is a ticket with its outcome.
type ending struct {
	ticket int32
	how    Outcome
	at     time.Duration
	wait   time.Duration
}

// madeMatch is a match with its quality. A figure that has no meaning for it is below 0.
type madeMatch struct {
	at       time.Duration
	tickets  []int32
	players  int
	backfill bool
	spread   float64 // between the highest and the lowest skill
	balance  float64 // between the highest and the lowest mean skill of teams
	latency  float64 // mean, in the location that suits all best
	worst    float64 // highest there
}

func newResult(o Options) *Result {
	r := &Result{o: o, slotLen: slotLength(o.Stream.Length), reasons: map[string]*reason{}}
	n := int((o.Stream.Length + r.slotLen - 1) / r.slotLen)
	r.slots = make([]slotTally, max(1, n))
	for _, rule := range o.Rules.Set.Rules {
		r.metrics = append(r.metrics, flexmatch.RuleMetric{Name: rule.Name})
	}
	return r
}

// slotLength is a round length, so that there are about as many as slots says.
func slotLength(whole time.Duration) time.Duration {
	for _, d := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
	} {
		if whole <= slots*d {
			return d
		}
	}
	return 12 * time.Hour
}

func (r *Result) slot(at time.Duration) int {
	return min(max(0, int((at-1)/r.slotLen)), len(r.slots)-1)
}

func (r *Result) end(i int32, how Outcome, at time.Duration) {
	r.ends = append(r.ends, ending{i, how, at, at - span(r.o.Stream.Tickets[i].At)})
}

func (r *Result) count(of []flexmatch.RuleMetric) {
	for i, m := range of {
		r.metrics[i].Passed += m.Passed
		r.metrics[i].Failed += m.Failed
	}
}

// reason is why tickets found no match, with an example in words.
type reason struct {
	text, rule, example, target string
	count                       int
	needed                      []float64
}

// explain counts one explanation.
func (r *Result) explain(e flexmatch.Explanation, start float64) {
	r.explained++
	key := "no other reason found"
	switch {
	case e.Never != "":
		key = "can never match: " + e.Never
	case e.Matchable:
		key = "a match was possible, but older tickets had the first choice"
	case e.Rule != "" && len(e.Also) > 0:
		key = "rule " + e.Rule + " and others"
	case e.Rule != "":
		key = "rule " + e.Rule
	case e.Measure.Failed && e.Measure.Property == "":
		key = e.Measure.MeasuredText
	case e.Measure.Failed:
		key = "too few players waiting"
	}
	w := r.reasons[key]
	if w == nil {
		w = &reason{text: key, rule: e.Rule, example: describe(e, start)}
		r.reasons[key] = w
	}
	w.count++
	if v, ok := e.Relaxed.Value.(float64); ok && len(e.Also) == 0 && e.Rule != "" {
		w.target = e.Relaxed.Target
		w.needed = append(w.needed, v)
	}
}

// measure is the quality of a match.
func (p *play) measure(m flexmatch.Match) madeMatch {
	out := madeMatch{players: m.Players(), backfill: m.Backfill() != nil, spread: -1, balance: -1, latency: -1, worst: -1}
	var lowest, highest, low, high float64
	seen, teams := 0, 0
	for _, t := range m.Teams {
		sum, n := 0.0, 0
		for _, pl := range t.Players {
			v, ok := p.skillOf(pl)
			if !ok {
				continue
			}
			if seen == 0 {
				lowest, highest = v, v
			}
			lowest, highest = min(lowest, v), max(highest, v)
			sum += v
			seen, n = seen+1, n+1
		}
		if n == 0 {
			continue
		}
		mean := sum / float64(n)
		if teams == 0 {
			low, high = mean, mean
		}
		low, high = min(low, mean), max(high, mean)
		teams++
	}
	if seen > 0 {
		out.spread = highest - lowest
	}
	if teams > 1 {
		out.balance = high - low
	}
	out.latency, out.worst = meeting(m.Tickets)
	return out
}

// skillOf is the player's number, or the rule set's default.
func (p *play) skillOf(pl types.Player) (float64, bool) {
	for _, a := range p.o.Rules.Set.Attributes {
		if a.Name == p.o.Skill {
			v, ok := a.Value(pl).(float64)
			return v, ok
		}
	}
	if v := pl.PlayerAttributes[p.o.Skill].N; v != nil {
		return *v, true
	}
	return 0, false
}

// meeting is the mean and the worst latency in the location that all reported with the
// lowest mean; below 0 when there is none.
func meeting(tickets []*flexmatch.Ticket) (mean, worst float64) {
	mean, worst = -1, -1
	first := tickets[0].Players[0].LatencyInMs
	for _, location := range sortedKeys(first) {
		total, most, n, all := 0.0, 0.0, 0, true
		for _, t := range tickets {
			for _, pl := range t.Players {
				ms, ok := pl.LatencyInMs[location]
				all = all && ok
				total, most, n = total+float64(ms), max(most, float64(ms)), n+1
			}
		}
		if all && (mean < 0 || total/float64(n) < mean) {
			mean, worst = total/float64(n), most
		}
	}
	return mean, worst
}

func sortedKeys[V any](of map[string]V) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return keys
}
