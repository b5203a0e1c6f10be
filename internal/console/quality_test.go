package console

import (
	"math"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/matchmaking"
)

// seat is a ticket of one player in a match.
func seat(match, team string, skill float64, wait int64, latency map[string]int32) matchmaking.Seen {
	return matchmaking.Seen{
		Status: types.MatchmakingConfigurationStatusCompleted, Match: match, StartedAt: 1_000_000 - wait*1000, EndedAt: 1_000_000, Teams: []string{team},
		Game: "arn:aws:gamelift:us-west-2::gamesession/fleet-1/custom-near/gsess-1",
		Players: []types.Player{{
			PlayerId: &team, LatencyInMs: latency, PlayerAttributes: map[string]types.AttributeValue{"skill": {N: &skill}, "level": {N: new(1.0)}, "mode": {S: new("x")}},
		}},
	}
}

// Two matches: an even one that came at once, and an uneven one after a rule was relaxed.
func TestMatchQuality(t *testing.T) {
	near := map[string]int32{"custom-near": 20, "us-west-2": 99}
	q := qualityOf(map[string][]matchmaking.Seen{
		"even":   {seat("even", "red", 10, 1, near), seat("even", "red", 20, 2, near), seat("even", "blue", 14, 3, map[string]int32{"custom-near": 60}), seat("even", "blue", 18, 4, nil)},
		"uneven": {seat("uneven", "red", 100, 12, near), seat("uneven", "blue", 40, 1, near)},
	}, "us-west-2", &flexmatch.RuleSet{Expansions: []flexmatch.Expansion{{Steps: []flexmatch.Step{{Wait: 5e9}, {Wait: 10e9}}}, {Steps: []flexmatch.Step{{Wait: 5e9}}}}})
	if q.Matches != 2 || q.Attribute != "skill" {
		t.Fatalf("got %+v", q)
	}
	for name, m := range map[string]struct {
		got             Measured
		mean, low, high float64
	}{
		"spread": {q.Spread, 35, 10, 60}, "difference": {q.Difference, 30.5, 1, 60}, "wait": {q.Wait, 8, 4, 12}, "latency": {q.Latency, 40, 20, 60},
	} {
		if m.got.Count != 2 || m.got.Mean != m.mean || m.got.P50 != m.low || m.got.P95 != m.high {
			t.Errorf("%s is %+v, want a mean of %v, a p50 of %v and a p95 of %v", name, m.got, m.mean, m.low, m.high)
		}
	}
	var rows []QualityRow
	for _, r := range q.ByWait {
		rows = append(rows, QualityRow{From: r.From, To: r.To, Matches: r.Matches})
	}
	if want := []QualityRow{{From: 0, To: 5, Matches: 1}, {From: 5, To: 10}, {From: 10, Matches: 1}}; !reflect.DeepEqual(rows, want) {
		t.Errorf("rows by wait: %+v, want %+v", rows, want)
	}
	if r := q.ByWait; *r[0].Difference != 1 || r[1].Difference != nil || *r[2].Difference != 60 || *r[0].Latency != 60 {
		t.Errorf("quality by wait: %+v", r)
	}
}

// Without attributes, teams, latencies or a game session there is nothing to measure but waits.
func TestQualityOfWhatIsBare(t *testing.T) {
	bare := matchmaking.Seen{Match: "m", StartedAt: 1000, EndedAt: 3000, Players: []types.Player{{PlayerId: new("p")}}}
	q := qualityOf(map[string][]matchmaking.Seen{"m": {bare, bare}}, "us-west-2", nil)
	if q.Attribute != "" || q.Spread.Count != 0 || q.Difference.Count != 0 || q.Latency.Count != 0 || q.Wait.Mean != 2 || len(q.ByWait) != 6 {
		t.Errorf("got %+v", q)
	}
	if q := qualityOf(nil, "us-west-2", nil); q.Matches != 0 || q.Spread.Bins == nil {
		t.Errorf("of nothing: %+v", q)
	}
}

// Bars have one width, a round number, and every value is in one.
func TestEvenBins(t *testing.T) {
	for _, values := range [][]float64{{5}, {0, 0, 0}, {-3, 0, 4}, {0.001, 0.0015, 0.009}, {1, 1e6}, {99.9, 100, 100.1}, {0, 9}, {0, 10}, {-1e9, 1e9}} {
		list := evenBins(values)
		sum := 0
		for i, b := range list {
			sum += b.Count
			if i > 0 && math.Abs(b.From-list[i-1].To) > 1e-9*math.Abs(b.From) {
				t.Errorf("%v: a gap before %v", values, b)
			}
		}
		if sum != len(values) || len(list) > 11 || list[0].Count == 0 || list[len(list)-1].Count == 0 {
			t.Errorf("%v: %+v", values, list)
		}
	}
}

// A proposal counts once, however many tickets tell of it; one rejection outweighs silence.
func TestAcceptance(t *testing.T) {
	ended := func(match, reason string, status types.MatchmakingConfigurationStatus) matchmaking.Seen {
		return matchmaking.Seen{Match: match, Reason: reason, Status: status, EndedAt: 1, Players: make([]types.Player, 2)}
	}
	const cancelled = types.MatchmakingConfigurationStatusCancelled
	a := acceptanceOf([]matchmaking.Seen{
		ended("yes", "", types.MatchmakingConfigurationStatusCompleted), ended("yes", "", types.MatchmakingConfigurationStatusCompleted),
		ended("no", "AcceptanceTimedOut", cancelled), ended("no", "AcceptanceRejected", cancelled), ended("silence", "AcceptanceTimedOut", cancelled),
		ended("stopped", "Cancelled", cancelled), ended("", "TimedOut", types.MatchmakingConfigurationStatusTimedOut),
		{Match: "open", Status: types.MatchmakingConfigurationStatusRequiresAcceptance},
	}, true)
	if want := (Acceptance{Asked: true, Accepted: 1, Rejected: 1, TimedOut: 1, Silent: 4, Refusing: 2}); a != want {
		t.Errorf("got %+v, want %+v", a, want)
	}
	if a := acceptanceOf([]matchmaking.Seen{ended("yes", "", types.MatchmakingConfigurationStatusCompleted)}, false); a != (Acceptance{}) {
		t.Errorf("where nobody is asked: %+v", a)
	}
}
