package console

import (
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/matchmaking"
)

// Quality is how even matches are, how long they took, and how near their game sessions were.
type Quality struct {
	Matches    int          `json:"matches"`
	Attribute  string       `json:"attribute"` // the number that players are compared by; "" for none
	Spread     Measured     `json:"spread"`    // of a match: greatest less least of that number
	Difference Measured     `json:"difference"`
	Wait       Measured     `json:"wait"`    // seconds of the ticket that waited longest
	Latency    Measured     `json:"latency"` // milliseconds of the player who is farthest from the game session
	ByWait     []QualityRow `json:"byWait"`
}

// Measured is a measure over many matches.
type Measured struct {
	Count int     `json:"count"` // of matches that have it
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	Bins  []Bin   `json:"bins"`
}

// QualityRow is the quality of the matches whose longest wait, in seconds, is from From up to
// To, without it; a To of 0 has no end. A mean is nil when no match has the measure.
type QualityRow struct {
	From       float64  `json:"from"`
	To         float64  `json:"to"`
	Matches    int      `json:"matches"`
	Spread     *float64 `json:"spread"`
	Difference *float64 `json:"difference"`
	Latency    *float64 `json:"latency"`
}

// Acceptance is how proposed matches ended of which players are asked.
type Acceptance struct {
	Asked    bool `json:"asked"` // the configuration asks now
	Accepted int  `json:"accepted"`
	Rejected int  `json:"rejected"` // by a player
	TimedOut int  `json:"timedOut"` // a player did not answer
	// Silent and Refusing are the players to whom it is owed.
	Silent   int `json:"silent"`
	Refusing int `json:"refusing"`
}

// made is a match with what is measured of it; NaN for what it does not have.
type made struct{ spread, difference, wait, latency float64 }

// qualityOf measures completed matches. Where the rule set relaxes as tickets wait, its steps
// part the rows by wait: what a step costs can be read.
func qualityOf(matches map[string][]matchmaking.Seen, home string, rules *flexmatch.RuleSet) Quality {
	q := Quality{Matches: len(matches), Attribute: attributeOf(matches)}
	var list []made
	for _, tickets := range matches {
		list = append(list, measure(tickets, q.Attribute, home))
	}
	q.Spread = measured(list, func(m made) float64 { return m.spread })
	q.Difference = measured(list, func(m made) float64 { return m.difference })
	q.Wait = measured(list, func(m made) float64 { return m.wait })
	q.Latency = measured(list, func(m made) float64 { return m.latency })
	q.ByWait = byWait(list, stepsOf(rules))
	return q
}

// attributeOf is skill or, where players have none, the number that most of them have.
func attributeOf(matches map[string][]matchmaking.Seen) string {
	have := map[string]int{}
	for _, tickets := range matches {
		for _, t := range tickets {
			for _, p := range t.Players {
				for name, a := range p.PlayerAttributes {
					if a.N != nil {
						have[name]++
					}
				}
			}
		}
	}
	if have["skill"] > 0 {
		return "skill"
	}
	if all := tallies(have); len(all) > 0 {
		return all[0].Name
	}
	return ""
}

func measure(tickets []matchmaking.Seen, attribute, home string) made {
	m := made{spread: math.NaN(), difference: math.NaN(), wait: math.NaN(), latency: math.NaN()}
	var all []float64
	teams := map[string][]float64{}
	for _, t := range tickets {
		if !t.Backfill {
			m.wait = most(m.wait, float64(t.EndedAt-t.StartedAt)/1000)
		}
		at := locationOf(t.Game, home)
		for i, p := range t.Players {
			if n := p.PlayerAttributes[attribute].N; n != nil {
				all = append(all, *n)
				if i < len(t.Teams) && t.Teams[i] != "" {
					teams[t.Teams[i]] = append(teams[t.Teams[i]], *n)
				}
			}
			if ms, known := latencyTo(p, at); known && !t.Backfill {
				m.latency = most(m.latency, ms)
			}
		}
	}
	if len(all) > 1 {
		m.spread = slices.Max(all) - slices.Min(all)
	}
	if len(teams) > 1 {
		var means []float64
		for _, values := range teams {
			means = append(means, mean(values))
		}
		m.difference = slices.Max(means) - slices.Min(means)
	}
	return m
}

// locationOf is where a game session runs; "" when there is none.
func locationOf(game, home string) string {
	p, err := arn.ParseGameSession(game)
	if err != nil {
		return ""
	}
	if p.Location == "" {
		return home
	}
	return string(p.Location)
}

func latencyTo(p types.Player, at string) (ms float64, known bool) {
	n, known := p.LatencyInMs[at]
	return float64(n), known && at != ""
}

// most is the greater of two, of which the first may be none yet.
func most(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	return max(a, b)
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func measured(list []made, of func(made) float64) Measured {
	var values []float64
	for _, m := range list {
		if v := of(m); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return Measured{Bins: []Bin{}}
	}
	slices.Sort(values)
	return Measured{Count: len(values), Mean: mean(values), P50: at(values, .5), P95: at(values, .95), Bins: evenBins(values)}
}

// evenBins are up to ten bars of one width, a round number, over sorted values.
func evenBins(sorted []float64) []Bin {
	const bars = 10
	width := roundUp((sorted[len(sorted)-1] - sorted[0]) / (bars - 1))
	first := math.Floor(sorted[0] / width)
	list := make([]Bin, int(math.Floor(sorted[len(sorted)-1]/width)-first)+1)
	for i := range list {
		list[i].From, list[i].To = (first+float64(i))*width, (first+float64(i)+1)*width
	}
	for _, v := range sorted {
		list[min(int(math.Floor(v/width)-first), len(list)-1)].Count++
	}
	return list
}

// roundUp is the next of 1, 2 and 5 times a power of ten.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if n*unit >= v {
			return n * unit
		}
	}
	return 10 * unit
}

// stepsOf are the waits at which a rule set relaxes or, of one that does not, some others.
func stepsOf(rules *flexmatch.RuleSet) (steps []float64) {
	if rules != nil {
		for _, e := range rules.Expansions {
			for _, s := range e.Steps {
				steps = append(steps, s.Wait.Seconds())
			}
		}
	}
	if len(steps) == 0 {
		return []float64{5, 10, 20, 30, time.Minute.Seconds()}
	}
	slices.Sort(steps)
	steps = slices.Compact(steps)
	if steps[0] == 0 {
		steps = steps[1:]
	}
	return steps[:min(len(steps), 20)]
}

func byWait(list []made, steps []float64) []QualityRow {
	rows := make([]QualityRow, len(steps)+1)
	parts := make([][]made, len(rows))
	for i, b := range bins(nil, steps...) {
		rows[i].From, rows[i].To = b.From, b.To
	}
	for _, m := range list {
		i := binOf(m.wait, steps)
		parts[i] = append(parts[i], m)
	}
	for i, part := range parts {
		of := func(f func(made) float64) *float64 {
			if v := measured(part, f); v.Count > 0 {
				return &v.Mean
			}
			return nil
		}
		r := &rows[i]
		r.Matches = len(part)
		r.Spread, r.Difference, r.Latency = of(func(m made) float64 { return m.spread }), of(func(m made) float64 { return m.difference }), of(func(m made) float64 { return m.latency })
	}
	return rows
}

// acceptanceOf adds up proposals by what their ended tickets say. A proposal is known by its
// match id; who accepted one that came to nothing searches on and does not tell of it. Where
// nobody is asked, a match counts as accepted only beside others that were not.
func acceptanceOf(tickets []matchmaking.Seen, asked bool) (a Acceptance) {
	a.Asked = asked
	const (
		accepted = iota
		timedOut
		rejected
	)
	proposals := map[string]int{}
	for _, t := range tickets {
		if t.EndedAt == 0 || t.Match == "" || t.Backfill {
			continue
		}
		switch {
		case t.Reason == "AcceptanceRejected":
			proposals[t.Match] = rejected
			a.Refusing += len(t.Players)
		case t.Reason == "AcceptanceTimedOut":
			proposals[t.Match] = max(proposals[t.Match], timedOut)
			a.Silent += len(t.Players)
		case t.Status == types.MatchmakingConfigurationStatusCompleted:
			proposals[t.Match] = accepted
		}
	}
	for _, how := range proposals {
		switch how {
		case accepted:
			a.Accepted++
		case timedOut:
			a.TimedOut++
		default:
			a.Rejected++
		}
	}
	if !asked && a.Rejected+a.TimedOut == 0 {
		a.Accepted = 0
	}
	return a
}
