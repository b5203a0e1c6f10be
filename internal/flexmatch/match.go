package flexmatch

import (
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// Match is a set of tickets that satisfies every rule, with its teams.
type Match struct {
	// Tickets in the order they joined; the first is the one the match was built around.
	Tickets []*Ticket
	// Teams are all single teams of the rule set, in its order; a team may be empty.
	Teams []MatchTeam
	// Metrics count the rule evaluations of the search that led here, a rule each in the
	// order of the rule set. Sort rules have passes only.
	Metrics []RuleMetric
	// limit is the strictest latency limit that held, +Inf without one.
	limit float64

	level  int // of the expansions
	roster *roster
}

// MatchTeam is one team of a match.
type MatchTeam struct {
	Name    string
	Players []types.Player
}

// RuleMetric counts evaluations of one rule (ruleEvaluationMetrics of the events).
type RuleMetric struct {
	Name   string
	Passed int
	Failed int
}

// Backfill is the backfill ticket of the match, nil in a match of new players.
func (m *Match) Backfill() *Ticket {
	for _, t := range m.Tickets {
		if t.Backfill {
			return t
		}
	}
	return nil
}

// Players is the number of players in the match.
func (m *Match) Players() int {
	n := 0
	for _, t := range m.Tickets {
		n += len(t.Players)
	}
	return n
}

// Location is the location all players reported, within the latency limit, with the
// lowest mean latency; empty when there is none. It is a hint (spec 2.4).
func (m *Match) Location() string {
	best, at := math.Inf(1), ""
	players := m.players()
	if len(players) == 0 {
		return ""
	}
	for name := range players[0].LatencyInMs {
		total, worst, ok := 0.0, 0.0, true
		for _, p := range players {
			ms, reported := p.LatencyInMs[name]
			ok = ok && reported
			total, worst = total+float64(ms), max(worst, float64(ms))
		}
		if !ok {
			continue
		}
		if worst > m.limit { // a party may pass on its average: better than nothing
			total += 1e6
		}
		if total < best || (total == best && name < at) {
			best, at = total, name
		}
	}
	return at
}

func (m *Match) players() []types.Player {
	var all []types.Player
	for _, t := range m.Tickets {
		all = slices.Concat(all, t.Players)
	}
	return all
}

// counts are the evaluations of one rule.
type counts struct{ passed, failed int32 }

func metrics(rs *RuleSet, of []counts) []RuleMetric {
	out := make([]RuleMetric, len(rs.Rules))
	for i, r := range rs.Rules {
		out[i] = RuleMetric{Name: r.Name, Passed: int(of[i].passed), Failed: int(of[i].failed)}
	}
	return out
}
