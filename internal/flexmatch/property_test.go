package flexmatch

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"
)

// ruleChoices are rules of every type over the attributes of drawRuleSet.
var ruleChoices = []string{
	`{"type":"comparison","measurements":["flatten(teams[*].players.attributes[mode])"],"operation":"="}`,
	`{"type":"comparison","measurements":["flatten(teams[*].players.attributes[hero])"],"operation":"!="}`,
	`{"type":"comparison","measurements":["teams[*].players.attributes[skill]"],"operation":">=","referenceValue":3,"partyAggregation":"min"}`,
	`{"type":"comparison","measurements":["count(teams[a].players)"],"operation":"=","referenceValue":"count(teams[b].players)"}`,
	`{"type":"comparison","measurements":["sum(flatten(teams[*].players.attributes[skill]))"],"operation":">","referenceValue":9}`,
	`{"type":"comparison","measurements":["max(teams[*].players.attributes[skill])"],"operation":"<=","referenceValue":8,"partyAggregation":"max"}`,
	`{"type":"comparison","measurements":["teams[a].players.attributes[mode]"],"operation":"!=","referenceValue":"x"}`,
	`{"type":"comparison","measurements":["flatten(teams[*].players.attributes[skill])"],"operation":"=","partyAggregation":"min"}`,
	`{"type":"comparison","measurements":["max(count(teams[*].players))"],"operation":"=","referenceValue":2}`,
	`{"type":"comparison","measurements":["min(teams[a].players.attributes[skill])"],"operation":">","referenceValue":"max(teams[b].players.attributes[skill])"}`,
	`{"type":"distance","measurements":["max(flatten(teams[*].players.attributes[skill]))"],"referenceValue":"min(flatten(teams[*].players.attributes[skill]))","maxDistance":3}`,
	`{"type":"distance","measurements":["avg(teams[*].players.attributes[skill])"],"referenceValue":"avg(flatten(teams[*].players.attributes[skill]))","maxDistance":1}`,
	`{"type":"distance","measurements":["min(teams[*].players.attributes[skill])"],"referenceValue":"max(teams[a].players.attributes[skill])","maxDistance":4,"minDistance":1}`,
	`{"type":"distance","measurements":["flatten(teams[*].players.attributes[skill])"],"referenceValue":5,"minDistance":1,"maxDistance":4}`,
	`{"type":"distance","measurements":["stddev(flatten(teams[*].players.attributes[skill]))"],"referenceValue":0,"maxDistance":2}`,
	`{"type":"distance","measurements":["median(teams[a,b].players.attributes[skill])"],"referenceValue":"median(flatten(teams[*].players.attributes[skill]))","maxDistance":1}`,
	`{"type":"batchDistance","batchAttribute":"skill","maxDistance":3,"partyAggregation":"max"}`,
	`{"type":"batchDistance","batchAttribute":"mode"}`,
	`{"type":"collection","operation":"contains","measurements":["flatten(teams[*].players.attributes[roles])"],"referenceValue":"heal","minCount":1,"maxCount":2}`,
	`{"type":"collection","operation":"contains","measurements":["teams[*].players.attributes[roles]"],"referenceValue":"heal","minCount":1,"partyAggregation":"intersection"}`,
	`{"type":"collection","operation":"contains","measurements":["teams[a].players.attributes[roles]"],"referenceValue":"tank","maxCount":1}`,
	`{"type":"collection","operation":"contains","measurements":["flatten(teams[*].players.attributes[mode])"],"referenceValue":"x","maxCount":1}`,
	`{"type":"collection","operation":"intersection","measurements":["flatten(teams[*].players.attributes[roles])"],"minCount":1}`,
	`{"type":"collection","operation":"intersection","measurements":["teams[*].players.attributes[roles]"],"minCount":1,"maxCount":1}`,
	`{"type":"collection","operation":"reference_intersection_count","measurements":["flatten(teams[*].players.attributes[roles])"],"referenceValue":"set_intersection(flatten(teams[*].players.attributes[likes]))","minCount":1}`,
	`{"type":"collection","operation":"reference_intersection_count","measurements":["flatten(teams[*].players.attributes[blocked])"],"referenceValue":"flatten(teams[*].players[playerId])","maxCount":0}`,
	`{"type":"collection","operation":"reference_intersection_count","measurements":["teams[b].players.attributes[roles]"],"referenceValue":["heal","tank"],"minCount":1,"maxCount":1}`,
	`{"type":"collection","operation":"reference_intersection_count","measurements":["teams[a].players.attributes[roles]"],"referenceValue":"set_intersection(teams[b].players.attributes[likes])","minCount":1}`,
	`{"type":"latency","maxLatency":60}`,
	`{"type":"latency","maxLatency":80,"maxDistance":30,"distanceReference":"min","partyAggregation":"max"}`,
	`{"type":"latency","maxDistance":25,"distanceReference":"avg"}`,
	`{"type":"distanceSort","sortDirection":"ascending","sortAttribute":"skill"}`,
	`{"type":"absoluteSort","sortDirection":"descending","sortAttribute":"skill","partyAggregation":"max"}`,
}

var expansionChoices = map[string]string{
	"distance":      "maxDistance",
	"batchDistance": "maxDistance",
	"latency":       "maxLatency",
}

func drawRuleSet(t *rapid.T) string {
	var rules, expansions []any
	steps := func(label string, lo, hi int) []any {
		var out []any
		for i := range rapid.IntRange(1, 2).Draw(t, label+" steps") {
			out = append(out, map[string]any{"waitTimeSeconds": 10 * (i + 1), "value": rapid.IntRange(lo, hi).Draw(t, label)})
		}
		return out
	}
	var plain []string
	for i, text := range rapid.SliceOfNDistinct(rapid.SampledFrom(ruleChoices), 0, 3, rapid.ID[string]).Draw(t, "rules") {
		var r map[string]any
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			panic(err)
		}
		name := fmt.Sprintf("r%d", i)
		r["name"] = name
		rules = append(rules, r)
		typ := r["type"].(string)
		if typ != "batchDistance" && typ != "distanceSort" && typ != "absoluteSort" {
			plain = append(plain, name)
		}
		property, ok := expansionChoices[typ]
		if ok && r["batchAttribute"] != "mode" && (property != "maxLatency" || r["maxLatency"] != nil) && rapid.Bool().Draw(t, "expand") {
			lo := 5
			if property == "maxLatency" {
				lo = 40
			}
			expansions = append(expansions, map[string]any{"target": fmt.Sprintf("rules[%s].%s", name, property), "steps": steps(name, lo, 3*lo)})
		}
	}
	if len(plain) >= 2 && rapid.Bool().Draw(t, "compound") {
		form := rapid.SampledFrom([]string{"or(%s, %s)", "and(%s,not(%s))", "xor(%s, %s)", "and(%s, %s)", "not(or(%s, not(%s)))"}).Draw(t, "statement")
		rules = append(rules, map[string]any{"name": "c", "type": "compound", "statement": fmt.Sprintf(form, plain[0], plain[1])})
	}
	maxA, maxB := rapid.IntRange(1, 3).Draw(t, "maxA"), rapid.IntRange(1, 3).Draw(t, "maxB")
	minA, minB := rapid.IntRange(0, maxA).Draw(t, "minA"), rapid.IntRange(0, maxB).Draw(t, "minB")
	if rapid.Bool().Draw(t, "expand teams") {
		expansions = append(expansions, map[string]any{"target": "teams[a].minPlayers", "steps": steps("a", 0, maxA)})
	}
	teams := []any{
		map[string]any{"name": "a", "minPlayers": minA, "maxPlayers": maxA},
		map[string]any{"name": "b", "minPlayers": minB, "maxPlayers": maxB},
	}
	if rapid.IntRange(0, 3).Draw(t, "third") == 0 {
		teams = append(teams, map[string]any{"name": "c", "minPlayers": 0, "maxPlayers": 1, "quantity": 2})
	}
	body, err := json.Marshal(map[string]any{
		"ruleLanguageVersion": "1.0",
		"playerAttributes": []any{
			map[string]any{"name": "skill", "type": "number", "default": 4},
			map[string]any{"name": "hero", "type": "number", "default": 1},
			map[string]any{"name": "mode", "type": "string"},
			map[string]any{"name": "roles", "type": "string_list", "default": []any{}},
			map[string]any{"name": "likes", "type": "string_list", "default": []any{"heal", "tank", "dps"}},
			map[string]any{"name": "blocked", "type": "string_list", "default": []any{}},
		},
		"algorithm": map[string]any{
			"expansionAgeSelection": rapid.SampledFrom([]string{"newest", "oldest"}).Draw(t, "age"),
			"backfillPriority":      rapid.SampledFrom([]string{"normal", "high"}).Draw(t, "priority"),
		},
		"teams": teams, "rules": rules, "expansions": expansions,
	})
	if err != nil {
		panic(err)
	}
	return string(body)
}

func drawPool(t *rapid.T, teams []string) []*Ticket {
	var pool []*Ticket
	player := 0
	for i := range rapid.IntRange(1, 6).Draw(t, "tickets") {
		tk := &Ticket{ID: fmt.Sprintf("t%d", i), Start: second(rapid.IntRange(0, 20).Draw(t, "start"))}
		tk.Backfill = rapid.IntRange(0, 6).Draw(t, "backfill") == 0
		for range rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "players") {
			player++
			p := types.Player{PlayerId: new(fmt.Sprintf("p%d", player)), PlayerAttributes: map[string]types.AttributeValue{}}
			if rapid.IntRange(0, 15).Draw(t, "mode given") > 0 {
				p.PlayerAttributes["mode"] = types.AttributeValue{S: new(rapid.SampledFrom([]string{"x", "x", "y"}).Draw(t, "mode"))}
			}
			p.PlayerAttributes["skill"] = types.AttributeValue{N: new(float64(rapid.IntRange(0, 10).Draw(t, "skill")))}
			p.PlayerAttributes["hero"] = types.AttributeValue{N: new(float64(rapid.IntRange(1, 5).Draw(t, "hero")))}
			p.PlayerAttributes["roles"] = types.AttributeValue{SL: rapid.SliceOfN(rapid.SampledFrom([]string{"heal", "tank", "dps"}), 0, 2).Draw(t, "roles")}
			if rapid.Bool().Draw(t, "likes given") {
				p.PlayerAttributes["likes"] = types.AttributeValue{SL: rapid.SliceOfN(rapid.SampledFrom([]string{"heal", "tank", "dps"}), 1, 3).Draw(t, "likes")}
			}
			p.PlayerAttributes["blocked"] = types.AttributeValue{SL: rapid.SliceOfN(rapid.SampledFrom([]string{"p1", "p2", "p3", "p4"}), 0, 1).Draw(t, "blocked")}
			p.LatencyInMs = map[string]int32{}
			for _, at := range []string{"eu", "us"} {
				if rapid.IntRange(0, 5).Draw(t, at+" given") > 0 {
					p.LatencyInMs[at] = int32(rapid.SampledFrom([]int{20, 40, 55, 70, 90}).Draw(t, at))
				}
			}
			if tk.Backfill {
				p.Team = new(rapid.SampledFrom(teams).Draw(t, "team"))
			}
			tk.Players = append(tk.Players, p)
		}
		pool = append(pool, tk)
	}
	return pool
}

func second(n int) time.Time { return time.Unix(int64(n), 0).UTC() }

// checkMatch holds a match against the promises of spec 2.2, by the oracle.
func checkMatch(t interface{ Fatalf(string, ...any) }, o *oracle, m Match, now float64, free int) {
	p := placed{team: map[string]string{}}
	n := 0
	for _, tk := range m.Tickets {
		p.tickets = append(p.tickets, tk)
		n += len(tk.Players)
	}
	for _, team := range m.Teams {
		for _, pl := range team.Players {
			if _, twice := p.team[*pl.PlayerId]; twice {
				t.Fatalf("player %s is in the match twice", *pl.PlayerId)
			}
			p.team[*pl.PlayerId] = team.Name
		}
	}
	if len(p.team) != n {
		t.Fatalf("the teams hold %d players, the tickets %d", len(p.team), n)
	}
	for _, tk := range m.Tickets {
		for _, pl := range tk.Players {
			if tk.Backfill && p.team[*pl.PlayerId] != *pl.Team {
				t.Fatalf("backfill player %s was moved", *pl.PlayerId)
			}
		}
	}
	if !o.legal(p, now, free) {
		t.Fatalf("illegal match of %v in %v", ids(m.Tickets), p.team)
	}
}

func ids(tickets []*Ticket) (out []string) {
	for _, t := range tickets {
		out = append(out, t.ID)
	}
	return out
}

// TestAgainstBruteForce draws small pools and rule sets of all kinds. Every match must be
// legal by the oracle, the match around the first ticket that has any must be as large as
// can be, and when the pass is over no legal match may be left.
func TestAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := drawRuleSet(t)
		rs, err := Parse(body)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		o := newOracle(body)
		tickets := drawPool(t, rs.TeamNames())
		free := rapid.IntRange(0, 1).Draw(t, "free")
		now := rapid.IntRange(20, 45).Draw(t, "now")
		o.asOne, o.anyLocation = rapid.Bool().Draw(t, "party as one"), rapid.Bool().Draw(t, "any location")
		pool := NewPool(rs, Options{AdditionalPlayerCount: free, PartyAsOne: o.asOne, AnyLocation: o.anyLocation})
		for _, tk := range tickets {
			pool.Add(tk)
		}
		left := slices.Clone(tickets)
		slices.SortStableFunc(left, func(a, b *Ticket) int {
			if rs.Algorithm.BackfillPriority == "high" && a.Backfill != b.Backfill {
				if a.Backfill {
					return -1
				}
				return 1
			}
			if c := a.Start.Compare(b.Start); c != 0 {
				return c
			}
			return slices.Compare([]byte(a.ID), []byte(b.ID))
		})
		for i, m := range pool.Pass(second(now)) {
			checkMatch(t, o, m, float64(now), free)
			anchor, players, others := o.brute(left, float64(now), free)
			var with []int
			for _, tk := range m.Tickets[1:] {
				with = append(with, slices.Index(left, tk))
			}
			sorts := strings.Contains(body, "Sort")
			if !sorts && !slices.Equal(with, others) {
				t.Fatalf("%s\nmatch %d is %v, the first in the batch would be with %v", body, i, ids(m.Tickets), others)
			}
			if m.Tickets[0] != anchor || m.Players() != players {
				t.Fatalf("%s\nmatch %d is %v with %d players, the best around %v has %d", body, i, ids(m.Tickets), m.Players(), anchor, players)
			}
			left = slices.DeleteFunc(left, func(tk *Ticket) bool { return slices.Contains(m.Tickets, tk) })
		}
		if pool.Len() != len(left) {
			t.Fatalf("%d tickets left in the pool, want %d", pool.Len(), len(left))
		}
		if anchor, players, _ := o.brute(left, float64(now), free); anchor != nil {
			t.Fatalf("%s\na match of %d around %s was missed", body, players, anchor.ID)
		}
		// Time goes on, somebody comes: the next pass must not miss what has become possible.
		for range 3 {
			now += rapid.IntRange(1, 15).Draw(t, "later")
			if extra := drawPool(t, rs.TeamNames()); rapid.Bool().Draw(t, "newcomer") && len(left) < 6 {
				tk := extra[0]
				tk.ID, tk.Start = fmt.Sprintf("n%d", now), second(now)
				for i := range tk.Players {
					tk.Players[i].PlayerId = new(fmt.Sprintf("n%d-%d", now, i))
				}
				pool.Add(tk)
				left = append(left, tk)
			}
			for _, m := range pool.Pass(second(now)) {
				checkMatch(t, o, m, float64(now), free)
				left = slices.DeleteFunc(left, func(tk *Ticket) bool { return slices.Contains(m.Tickets, tk) })
			}
		}
		if anchor, players, _ := o.brute(left, float64(now), free); anchor != nil {
			t.Fatalf("%s\nlater, a match of %d around %s was missed", body, players, anchor.ID)
		}
	})
}

// TestExplainIsTrue holds explanations against the brute force: a ticket is matchable
// exactly when some legal match holds it, and a foreseen step really lets it match.
func TestExplainIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := drawRuleSet(t)
		rs, err := Parse(body)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		o := newOracle(body)
		tickets := drawPool(t, rs.TeamNames())
		tickets = tickets[:min(len(tickets), 5)]
		now := rapid.IntRange(20, 30).Draw(t, "now")
		pool := NewPool(rs, Options{})
		for _, tk := range tickets {
			pool.Add(tk)
		}
		for i, tk := range tickets {
			e, ok := pool.Explain(tk.ID, second(now))
			if !ok {
				t.Fatalf("no explanation of %s", tk.ID)
			}
			best, _ := o.around(tickets, i, float64(now), 0)
			if e.Matchable != (best > 0) {
				t.Fatalf("%s\n%s, but the best match has %d players", body, e, best)
			}
			if e.Next != nil {
				if best, _ := o.around(tickets, i, float64(e.Next.At.UnixMilli())/1000, 0); best == 0 {
					t.Fatalf("%s\n%s, but then there is no match", body, e)
				}
			}
			if !e.Matchable && e.Never == "" && !e.Measure.Failed {
				t.Fatalf("%s\n%s names no reason", body, e)
			}
		}
		if pool.Len() != len(tickets) {
			t.Fatal("explaining changed the pool")
		}
	})
}

// TestLargePoolsAreLegal checks every match of bigger pools by the oracle: the search
// gives up completeness there, never legality.
func TestLargePoolsAreLegal(t *testing.T) {
	for _, w := range []struct {
		name, rules string
		least       int // tickets of 600 that must find a match
	}{{"1v1", duelBySkill, 590}, {"1v1 nearest", duelNearest, 590}, {"5v5", fiveBySkill, 550}, {"5v5roles", fiveWithRoles, 350}, {"large", hundredAgainstHundred, 550}} {
		t.Run(w.name, func(t *testing.T) {
			o := newOracle(w.rules)
			pool := fill(t, w.rules, crowd(600, parties, 11))
			matched, seen := 0, map[string]bool{}
			for at := range 4 {
				now := second(1000 + 20*at)
				for _, m := range pool.Pass(now) {
					checkMatch(t, o, m, float64(now.Unix()), 0)
					for _, tk := range m.Tickets {
						if seen[tk.ID] {
							t.Fatalf("ticket %s was matched twice", tk.ID)
						}
						seen[tk.ID] = true
					}
					matched += len(m.Tickets)
				}
			}
			if strings.HasPrefix(w.name, "1v1") { // parties fit no side there
				w.least = 250
			}
			if matched < w.least {
				t.Errorf("%d tickets of 600 matched, want %d", matched, w.least)
			}
		})
	}
}

// TestDeterminism: the same tickets, added in another order, give the same matches.
func TestDeterminism(t *testing.T) {
	tickets := crowd(500, parties, 4)
	for i, tk := range tickets { // many of one skill and of one age
		tk.Start = second(900 + i%10)
		for j := range tk.Players {
			tk.Players[j].PlayerAttributes["skill"] = types.AttributeValue{N: new(float64(1400 + 10*(i%20)))}
		}
	}
	rules := fiveBySkill
	run := func(tickets []*Ticket, seed uint64) string {
		rs, err := Parse(rules)
		if err != nil {
			t.Fatal(err)
		}
		p := NewPool(rs, Options{Seed: seed})
		for _, tk := range tickets {
			p.Add(tk)
		}
		out := ""
		for _, m := range p.Pass(second(1000)) {
			out += fmt.Sprintln(ids(m.Tickets))
		}
		return out
	}
	other := slices.Clone(tickets)
	slices.Reverse(other)
	for _, rules = range []string{fiveBySkill, fiveWithRoles, duelNearest} {
		for _, seed := range []uint64{0, 1, 99} {
			if run(tickets, seed) != run(other, seed) {
				t.Errorf("%s, seed %d: the order of adding changed the matches", rules, seed)
			}
		}
	}
}

// TestSamePlayerTwice: two tickets with one player never meet, whatever let both in.
func TestSamePlayerTwice(t *testing.T) {
	rs, err := Parse(`{"ruleLanguageVersion":"1.0","teams":[{"name":"duo","minPlayers":2,"maxPlayers":2}]}`)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(rs, Options{})
	for i, player := range []string{"ann", "ann", "bob"} {
		p.Add(&Ticket{ID: fmt.Sprint("t", i), Start: second(i), Players: []types.Player{{PlayerId: new(player)}}})
	}
	made := p.Pass(second(5))
	if len(made) != 1 || !slices.Equal(ids(made[0].Tickets), []string{"t0", "t2"}) {
		t.Errorf("matches %v, want t0 with t2", made)
	}
}

// TestPoolKeepsTickets: adding, replacing, removing and compacting leave what should be.
func TestPoolKeepsTickets(t *testing.T) {
	tickets := crowd(3000, solos, 2)
	pool := fill(t, `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],"teams":[{"name":"d","minPlayers":1,"maxPlayers":1,"quantity":2}],
	 "rules":[{"name":"Never","type":"batchDistance","batchAttribute":"skill","maxDistance":0}]}`, tickets)
	for _, tk := range tickets[:2500] {
		if !pool.Remove(tk.ID) {
			t.Fatalf("%s was not there", tk.ID)
		}
	}
	pool.Add(tickets[2600])
	if pool.Remove("nobody") || pool.Len() != 500 {
		t.Fatalf("%d tickets, want 500", pool.Len())
	}
	if made := pool.Pass(second(1000)); len(made) != 0 {
		t.Fatalf("matches %v", made)
	}
	if pool.Len() != 500 {
		t.Fatalf("%d tickets after a pass, want 500", pool.Len())
	}
	if _, ok := pool.Ticket(tickets[2999].ID); !ok {
		t.Error("a ticket was lost")
	}
	if got := pool.Metrics(tickets[2999].ID)[0]; got.Name != "Never" || got.Failed == 0 {
		t.Errorf("metrics %v, want failures of Never", got)
	}
}

// TestNearestPairs: in a large pool distanceSort pairs an anchor with the nearest of all.
func TestNearestPairs(t *testing.T) {
	tickets := crowd(400, solos, 8)
	skill := func(tk *Ticket) float64 { return *tk.Players[0].PlayerAttributes["skill"].N }
	pool := fill(t, duelNearest, tickets)
	left := slices.Clone(tickets)
	for _, m := range pool.Pass(second(1000)) {
		a, b := m.Tickets[0], m.Tickets[1]
		for _, other := range left {
			if other != a && other != b && abs(skill(other)-skill(a)) < abs(skill(b)-skill(a)) {
				t.Fatalf("%s met %s at %v, %s was nearer at %v", a.ID, b.ID, skill(b)-skill(a), other.ID, skill(other)-skill(a))
			}
		}
		left = slices.DeleteFunc(left, func(tk *Ticket) bool { return tk == a || tk == b })
	}
	if len(left) > 40 {
		t.Errorf("%d tickets of 400 left", len(left))
	}
}

func abs(x float64) float64 { return max(x, -x) }

// TestLargeMatchesAreEven: parties stay whole, teams are filled alike, and their mean
// skills end up close together.
func TestLargeMatchesAreEven(t *testing.T) {
	pool := fill(t, hundredAgainstHundred, crowd(300, parties, 6))
	made := pool.Pass(second(1000))
	if len(made) == 0 {
		t.Fatal("no match")
	}
	for _, m := range made {
		var means []float64
		for _, team := range m.Teams {
			total := 0.0
			for _, p := range team.Players {
				total += *p.PlayerAttributes["skill"].N
			}
			means = append(means, total/float64(len(team.Players)))
		}
		if d := abs(means[0] - means[1]); d > 5 {
			t.Errorf("%d players in %d tickets: the means differ by %v", m.Players(), len(m.Tickets), d)
		}
	}
}

// TestLargeMatchLimits: the latency limit and a window of skill hold, a smaller match
// forms when the minimum is met, and a low backfill priority waits for last.
func TestLargeMatchLimits(t *testing.T) {
	body := `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"},{"name":"map","type":"string","default":"fort"}],
	 "algorithm":{"strategy":"balanced","balancedAttribute":"skill","batchingPreference":"fastestRegion","backfillPriority":"low"},
	 "teams":[{"name":"h","minPlayers":2,"maxPlayers":25,"quantity":2}],
	 "rules":[{"name":"Ping","type":"latency","maxLatency":100},{"name":"Near","type":"batchDistance","batchAttribute":"skill","maxDistance":10},{"name":"Map","type":"batchDistance","batchAttribute":"map"}],
	 "expansions":[{"target":"rules[Near].maxDistance","steps":[{"waitTimeSeconds":60,"value":100}]}]}`
	o := newOracle(body)
	solo := func(id string, at int, skill float64, place string, ms int32, town string) *Ticket {
		return &Ticket{ID: id, Start: second(at), Players: []types.Player{{
			PlayerId: new("p" + id), LatencyInMs: map[string]int32{place: ms},
			PlayerAttributes: map[string]types.AttributeValue{"skill": {N: new(skill)}, "map": {S: new(town)}},
		}}}
	}
	session := solo("session", 0, 50, "eu", 20, "fort")
	session.Backfill, session.Players[0].Team = true, new("h_1")
	tickets := []*Ticket{
		session,
		solo("a", 1, 50, "eu", 20, "fort"), solo("b", 2, 52, "eu", 90, "fort"), solo("far", 3, 90, "eu", 20, "fort"),
		solo("slow", 4, 51, "eu", 101, "fort"), solo("us", 5, 51, "us", 10, "fort"), solo("mill", 6, 51, "eu", 10, "mill"),
		solo("c", 7, 58, "eu", 10, "fort"), solo("d", 8, 60, "eu", 10, "fort"),
	}
	pool := fill(t, body, tickets)
	made := pool.Pass(second(10))
	if len(made) != 1 || !slices.Equal(ids(made[0].Tickets), []string{"a", "b", "c", "d"}) {
		t.Fatalf("matches %v, want a b c d", made)
	}
	checkMatch(t, o, made[0], 10, 0)
	if e, _ := pool.Explain("far", second(10)); e.Matchable || e.Rule == "" && e.Measure.Property != "minPlayers" {
		t.Errorf("explanation %s", e)
	}
	pool.Add(solo("e", 9, 55, "eu", 10, "fort"))
	pool.Add(solo("f", 9, 95, "eu", 10, "fort"))
	pool.Add(solo("g", 9, 99, "eu", 10, "fort"))
	if made = pool.Pass(second(20)); len(made) != 0 { // the session needs two more in h_2 and one in h_1
		t.Fatalf("matches %v", made)
	}
	made = pool.Pass(second(70))
	if len(made) != 1 || !slices.Equal(ids(made[0].Tickets), []string{"far", "e", "f", "g"}) {
		t.Fatalf("matches %v, want far e f g", made)
	}
	checkMatch(t, o, made[0], 70, 0)

	// With any other priority the session comes first, and its players stay where they are.
	body = strings.Replace(body, `"low"`, `"normal"`, 1)
	made = fill(t, body, tickets).Pass(second(10))
	if len(made) != 1 || !slices.Equal(ids(made[0].Tickets), []string{"session", "a", "b", "c", "d"}) {
		t.Fatalf("matches %v, want the session with a b c d", made)
	}
	checkMatch(t, newOracle(body), made[0], 10, 0)
}

// TestSqueezeChangesNothing: dropping dead rows at any time leaves all matches the same.
func TestSqueezeChangesNothing(t *testing.T) {
	a, b := fill(t, fiveWithRoles, nil), fill(t, fiveWithRoles, nil)
	tickets := crowd(3000, parties, 9)
	for k := range 6 {
		for _, tk := range tickets[k*500:][:500] {
			a.Add(tk)
			b.Add(tk)
		}
		b.tidy()
		b.squeeze()
		for _, tk := range tickets[k*500:][:200] {
			a.Remove(tk.ID)
			b.Remove(tk.ID)
		}
		plain, squeezed := a.Pass(second(1000+k)), b.Pass(second(1000+k))
		if len(plain) == 0 || len(plain) != len(squeezed) {
			t.Fatalf("round %d: %d matches, squeezed %d", k, len(plain), len(squeezed))
		}
		for i := range plain {
			if !slices.Equal(ids(plain[i].Tickets), ids(squeezed[i].Tickets)) {
				t.Errorf("round %d: match %d is %v, squeezed %v", k, i, ids(plain[i].Tickets), ids(squeezed[i].Tickets))
			}
		}
	}
}

// TestNextStepOfMany holds the next expansion step against every ticket's own, while tickets
// come, match and leave.
func TestNextStepOfMany(t *testing.T) {
	steps := []int{30, 45, 60}
	p := fill(t, fiveWithRoles, nil)
	waiting := map[string]*Ticket{}
	for k, tk := range crowd(2000, parties, 12) {
		p.Add(tk)
		waiting[tk.ID] = tk
		if k%7 == 0 {
			gone := fmt.Sprintf("ticket-%08d", k/2)
			p.Remove(gone)
			delete(waiting, gone)
		}
		if k%100 != 99 {
			continue
		}
		now := second(990 + k/100)
		if k%200 == 199 {
			for _, m := range p.Pass(now) {
				for _, tk := range m.Tickets {
					delete(waiting, tk.ID)
				}
			}
		}
		var want time.Time
		for _, tk := range waiting {
			for _, s := range steps {
				if at := tk.Start.Add(time.Duration(s) * time.Second); at.After(now) && (want.IsZero() || at.Before(want)) {
					want = at
				}
			}
		}
		if got, ok := p.NextStep(now); ok == want.IsZero() || !got.Equal(want) {
			t.Fatalf("after %d: the next step is at %v (%v), want %v", k, got, ok, want)
		}
	}
	if got, ok := p.NextStep(second(2000)); ok {
		t.Errorf("a step at %v, though all have been reached", got)
	}
}

// TestHundredsAreLegal draws rule sets of all types and pools of hundreds, in which the
// search takes its short cuts, over several passes with tickets that come and go: whatever
// matches is legal by the oracle, nobody and no ticket is matched twice, parties stay
// whole, and no match holds more than one session or nothing but one. Some players stand in
// two tickets.
func TestHundredsAreLegal(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand evaluations of the oracle a rule set")
	}
	made := 0
	rapid.Check(t, func(t *rapid.T) {
		body := drawRuleSet(t)
		rs, err := Parse(body)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		o := newOracle(body)
		free := rapid.IntRange(0, 1).Draw(t, "free")
		o.asOne, o.anyLocation = rapid.Bool().Draw(t, "party as one"), rapid.Bool().Draw(t, "any location")
		pool := NewPool(rs, Options{AdditionalPlayerCount: free, PartyAsOne: o.asOne, AnyLocation: o.anyLocation, Seed: uint64(free)})
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		waiting := map[string]*Ticket{}
		for pass := range 3 {
			now := 20 + 12*pass
			for i := range rapid.IntRange(70, 130).Draw(t, "arrivals") {
				tk := randomTicket(rng, fmt.Sprintf("t%d-%d", pass, i), rs.TeamNames(), now)
				pool.Add(tk)
				waiting[tk.ID] = tk
			}
			for i := 0; i < 130; i += 9 { // some leave
				id := fmt.Sprintf("t%d-%d", pass, i)
				if pool.Remove(id) != (waiting[id] != nil) {
					t.Fatalf("%s left the pool, or did not", id)
				}
				delete(waiting, id)
			}
			for _, m := range pool.Pass(second(now)) {
				made++
				checkMatch(t, o, m, float64(now), free)
				sessions := 0
				for _, tk := range m.Tickets {
					if waiting[tk.ID] != tk {
						t.Fatalf("%s was matched though it does not wait", tk.ID)
					}
					delete(waiting, tk.ID)
					if tk.Backfill {
						sessions++
					}
				}
				if sessions > 1 || sessions == len(m.Tickets) {
					t.Fatalf("%d sessions among %d tickets", sessions, len(m.Tickets))
				}
				for _, team := range m.Teams {
					for _, tk := range m.Tickets {
						in := 0
						for _, pl := range tk.Players {
							if slices.ContainsFunc(team.Players, func(q types.Player) bool { return q.PlayerId == pl.PlayerId }) {
								in++
							}
						}
						if !tk.Backfill && in != 0 && in != len(tk.Players) {
							t.Fatalf("%s was split", tk.ID)
						}
					}
				}
			}
			if pool.Len() != len(waiting) {
				t.Fatalf("%d tickets wait, want %d", pool.Len(), len(waiting))
			}
		}
	})
	if made < 1000 {
		t.Errorf("only %d matches were seen", made)
	}
}

// randomTicket is like those of drawPool, from a generator: rapid would take too long.
func randomTicket(rng *rand.Rand, id string, teams []string, now int) *Ticket {
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	set := func(most int, from ...string) (out []string) {
		for range rng.IntN(most + 1) {
			out = append(out, pick(from...))
		}
		return out
	}
	tk := &Ticket{ID: id, Start: second(now - rng.IntN(20)), Backfill: rng.IntN(12) == 0}
	for k := range []int{1, 1, 1, 2, 3}[rng.IntN(5)] {
		p := types.Player{
			PlayerId: new(fmt.Sprintf("%s-%d", id, k)),
			PlayerAttributes: map[string]types.AttributeValue{
				"skill":   {N: new(float64(rng.IntN(11)))},
				"hero":    {N: new(float64(1 + rng.IntN(5)))},
				"roles":   {SL: set(2, "heal", "tank", "dps")},
				"blocked": {SL: set(1, "shared1", "shared2", "t0-1-0", "t0-2-0")},
			},
			LatencyInMs: map[string]int32{},
		}
		if rng.IntN(16) > 0 {
			p.PlayerAttributes["mode"] = types.AttributeValue{S: new(pick("x", "x", "y"))}
		}
		if rng.IntN(2) == 0 {
			p.PlayerAttributes["likes"] = types.AttributeValue{SL: append(set(2, "heal", "tank", "dps"), "heal")}
		}
		if rng.IntN(40) == 0 && k == 0 {
			p.PlayerId = new(pick("shared1", "shared2", "shared3"))
		}
		for _, at := range []string{"eu", "us"} {
			if rng.IntN(6) > 0 {
				p.LatencyInMs[at] = int32([]int{20, 40, 55, 70, 90}[rng.IntN(5)])
			}
		}
		if tk.Backfill {
			p.Team = new(teams[rng.IntN(len(teams))])
		}
		tk.Players = append(tk.Players, p)
	}
	return tk
}

// TestSettledPoolsRest: a pass over a pool in which nothing has changed is not run, and the
// matches of a stream are the same as when every pass is.
func TestSettledPoolsRest(t *testing.T) {
	for _, rules := range []string{duelBySkill, duelNearest, fiveBySkill, fiveWithRoles} {
		a, b := fill(t, rules, nil), fill(t, rules, nil)
		rested := 0
		tickets := crowd(600, parties, 14)
		for k := range 150 {
			if k%5 == 0 {
				for _, tk := range tickets[k*4:][:20] {
					a.Add(tk)
					b.Add(tk)
				}
			}
			if k%7 == 0 {
				a.Remove(tickets[k*3].ID)
				b.Remove(tickets[k*3].ID)
			}
			now := second(1000).Add(time.Duration(k) * 100 * time.Millisecond)
			b.settled = false
			for i := range 2 {
				if before := a.passed; i == 1 && a.settled {
					if made := a.Pass(now); len(made) != 0 || !a.passed.Equal(before) {
						t.Fatalf("pass %d went on", k)
					}
					rested++
					continue
				}
				one, every := a.Pass(now), b.Pass(now)
				if len(one) != len(every) {
					t.Fatalf("pass %d: %d matches, of all passes %d", k, len(one), len(every))
				}
				for j := range one {
					if !slices.Equal(ids(one[j].Tickets), ids(every[j].Tickets)) {
						t.Errorf("pass %d: match %v, of all passes %v", k, ids(one[j].Tickets), ids(every[j].Tickets))
					}
				}
			}
		}
		if rested < 10 {
			t.Errorf("only %d passes rested", rested)
		}
	}
}
