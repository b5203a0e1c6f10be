package flexmatch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	examples "github.com/matchyard/matchyard/examples/flexmatch"
)

func awsSample(t testing.TB) string {
	rules, _, err := examples.Stream("aws-sample")
	if err != nil {
		t.Fatal(err)
	}
	return string(rules)
}

// trickle is the workload of AWS's sample: every two seconds a party of one to five in
// one of three modes, which is gone after two minutes. It passes once a second and
// returns how long that took, what it made, and how many tickets waited.
func trickle(t testing.TB, seconds int, after func(p *Pool, made []Match)) (took time.Duration, made []Match, waiting int) {
	rng := rand.New(rand.NewPCG(9, 9))
	pool := fill(t, awsSample(t), nil)
	var all []*Ticket
	for now := range seconds {
		if now%2 == 0 {
			tk := &Ticket{ID: fmt.Sprintf("t%05d", now), Start: second(now)}
			mode := []string{"Classic", "Practice", "Survival"}[rng.IntN(3)]
			for i := range 1 + rng.IntN(5) {
				p := player(fmt.Sprintf("%s-%d", tk.ID, i), float64(int(1000+200*rng.NormFloat64())))
				p.PlayerAttributes["GameMode"] = types.AttributeValue{SL: []string{mode}}
				p.LatencyInMs = map[string]int32{"us-east-1": int32(max(1, 70+20*rng.NormFloat64()))}
				tk.Players = append(tk.Players, p)
			}
			pool.Add(tk)
			all = append(all, tk)
		}
		if now >= 120 && now%2 == 0 {
			pool.Remove(all[(now-120)/2].ID)
		}
		start := time.Now()
		got := pool.Pass(second(now))
		took += time.Since(start)
		made = append(made, got...)
		after(pool, got)
		waiting += pool.Len()
	}
	return took, made, waiting / seconds
}

// BenchmarkTrickle is a pass over the few tickets of AWS's sample, where a rule joins
// counts of three modes and most subsets have to be looked at.
func BenchmarkTrickle(b *testing.B) {
	const seconds = 600
	matches, waiting, took := 0, 0, time.Duration(0)
	for b.Loop() {
		d, made, n := trickle(b, seconds, func(*Pool, []Match) {})
		took += d
		matches, waiting = len(made), n
	}
	b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N)/seconds, "ms/pass")
	b.ReportMetric(float64(matches), "matches")
	b.ReportMetric(float64(waiting), "waiting")
}

// TestTrickleIsCheap: a newcomer is tried with those who wait, but they are not all tried
// with each other again, and what the modes' counts rule out is not tried at all.
func TestTrickleIsCheap(t *testing.T) {
	const seconds = 240
	effort := 0
	after := func(p *Pool, _ []Match) { effort += p.search.spent }
	_, made, waiting := trickle(t, seconds, after)
	if len(made) < 15 || waiting < 10 {
		t.Fatalf("%d matches, %d waiting", len(made), waiting)
	}
	if per := effort / seconds; per > 1_500 {
		t.Errorf("%d tickets tried in vain a pass", per)
	}
}

// TestTrickleMissesNothing: passes that go on from the last make the matches of a pool
// that sees the same tickets for the first time.
func TestTrickleMissesNothing(t *testing.T) {
	rs, err := Parse(awsSample(t))
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	trickle(t, 200, func(p *Pool, made []Match) {
		again := NewPool(rs, Options{})
		for _, row := range p.rows {
			again.Add(p.cols.tickets[row])
		}
		for _, m := range made {
			for _, tk := range m.Tickets {
				again.Add(tk)
			}
		}
		anew := again.Pass(second(at))
		if len(anew) != len(made) {
			t.Fatalf("second %d: %d matches, in a new pool %d", at, len(made), len(anew))
		}
		for i, m := range made {
			if !slices.Equal(ids(m.Tickets), ids(anew[i].Tickets)) {
				t.Errorf("second %d: match %v, in a new pool %v", at, ids(m.Tickets), ids(anew[i].Tickets))
			}
		}
		at++
	})
}

// TestCompoundGivesUp: a statement is dead with any part of an and, all of an or, what
// stays true under a not, and both settled parts of a xor.
func TestCompoundGivesUp(t *testing.T) {
	for _, c := range []struct {
		statement string
		healers   int // of four players in ten slots
		dead      bool
	}{
		{"and(Some, Few)", 3, true}, // at most two
		{"and(Some, Few)", 2, false},
		{"and(Lots, Few)", 0, true}, // seven are wanted, six can come
		{"or(Few, Lots)", 3, false},
		{"or(Few, Lots)", 0, false},
		{"or(None, Few)", 3, true},
		{"not(Some)", 1, true},
		{"not(Some)", 0, false},
		{"not(None)", 0, false},
		{"xor(Some, None)", 1, false}, // one holds for good, the other cannot
		{"xor(Some, Any)", 1, true},   // both hold for good
		{"xor(None, Few)", 3, true},   // neither can
		{"and(Any, not(or(Some, None)))", 1, true},
	} {
		p := fill(t, `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"roles","type":"string_list"}],
		 "teams":[{"name":"side","minPlayers":1,"maxPlayers":5,"quantity":2}],
		 "rules":[`+counting("Some", 1, 40)+counting("Few", 0, 2)+counting("None", 0, 0)+counting("Lots", 7, 40)+counting("Any", 0, 40)+`
		 {"name":"All","type":"compound","statement":"`+c.statement+`"}]}`, nil)
		r := newRoster(p.cols, 2)
		r.max, r.cap = p.prog.levels[0].max, p.prog.levels[0].cap
		for i := range 4 {
			tk := skilled(fmt.Sprintf("p%d", i), i, 0)
			role := "tank"
			if i < c.healers {
				role = "heal"
			}
			tk.Players[0].PlayerAttributes = map[string]types.AttributeValue{"roles": {SL: []string{role}}}
			p.Add(tk)
			r.push(int32(i), uint8(i%2))
		}
		rule := p.prog.levels[0].rules[5]
		if got := rule.dead != nil && rule.dead(r); got != c.dead {
			t.Errorf("%s with %d healers of four: dead %v, want %v", c.statement, c.healers, got, c.dead)
		}
	}
}

func counting(name string, least, most int) string {
	return fmt.Sprintf(`{"name":"%s","type":"collection","operation":"contains","measurements":["flatten(teams[*].players.attributes[roles])"],"referenceValue":"heal","minCount":%d,"maxCount":%d},`, name, least, most)
}

// TestLateBackfillMeetsNewcomers: a backfill ticket of low priority has been tried in
// vain; who comes later still meets it.
func TestLateBackfillMeetsNewcomers(t *testing.T) {
	p := fill(t, `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],
	 "algorithm":{"strategy":"exhaustiveSearch","backfillPriority":"low"},
	 "teams":[{"name":"side","minPlayers":2,"maxPlayers":2,"quantity":2}]}`, nil)
	session := skilled("session", 0, 1)
	session.Backfill = true
	session.Players = append(session.Players, player("b", 1), player("c", 1))
	for i, team := range []string{"side_1", "side_1", "side_2"} {
		session.Players[i].Team = new(team)
	}
	p.Add(session)
	if made := p.Pass(second(1)); len(made) != 0 {
		t.Fatalf("%d matches", len(made))
	}
	p.Add(skilled("late", 2, 1))
	if made := p.Pass(second(3)); len(made) != 1 || made[0].Backfill() != session {
		t.Errorf("%d matches, want the session filled", len(made))
	}
}
