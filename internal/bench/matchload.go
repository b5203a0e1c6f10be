package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/flexmatch"
)

// The rule sets of the matchmaking benchmarks. matchGreedy knows the same rules by heart.
const (
	duelRules = `{"ruleLanguageVersion":"1.0",
 "playerAttributes":[{"name":"skill","type":"number"}],
 "teams":[{"name":"side","minPlayers":1,"maxPlayers":1,"quantity":2}],
 "rules":[{"name":"Close","type":"batchDistance","batchAttribute":"skill","maxDistance":50}],
 "expansions":[{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":30,"value":100},{"waitTimeSeconds":60,"value":200}]}]}`

	fiveRules = `{"ruleLanguageVersion":"1.0",
 "playerAttributes":[{"name":"skill","type":"number"}],
 "teams":[{"name":"red","minPlayers":5,"maxPlayers":5},{"name":"blue","minPlayers":5,"maxPlayers":5}],
 "rules":[{"name":"Close","type":"distance","measurements":["max(flatten(teams[*].players.attributes[skill]))"],
   "referenceValue":"min(flatten(teams[*].players.attributes[skill]))","maxDistance":200},
  {"name":"Fair","type":"distance","measurements":["avg(teams[*].players.attributes[skill])"],
   "referenceValue":"avg(flatten(teams[*].players.attributes[skill]))","maxDistance":25}],
 "expansions":[{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":30,"value":300},{"waitTimeSeconds":60,"value":500}]}]}`

	roleRules = `{"ruleLanguageVersion":"1.0",
 "playerAttributes":[{"name":"skill","type":"number"},{"name":"roles","type":"string_list"},{"name":"mode","type":"string"}],
 "teams":[{"name":"red","minPlayers":5,"maxPlayers":5},{"name":"blue","minPlayers":5,"maxPlayers":5}],
 "rules":[{"name":"Close","type":"batchDistance","batchAttribute":"skill","maxDistance":200},
  {"name":"Mode","type":"comparison","measurements":["flatten(teams[*].players.attributes[mode])"],"operation":"="},
  {"name":"Fair","type":"distance","measurements":["avg(teams[*].players.attributes[skill])"],
   "referenceValue":"avg(flatten(teams[*].players.attributes[skill]))","maxDistance":50},
  {"name":"RedHeals","type":"collection","operation":"contains","measurements":["teams[red].players.attributes[roles]"],"referenceValue":"heal","minCount":1},
  {"name":"BlueHeals","type":"collection","operation":"contains","measurements":["teams[blue].players.attributes[roles]"],"referenceValue":"heal","minCount":1},
  {"name":"Ping","type":"latency","maxLatency":100}],
 "expansions":[{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":30,"value":300},{"waitTimeSeconds":60,"value":500}]},
  {"target":"rules[Ping].maxLatency","steps":[{"waitTimeSeconds":45,"value":150}]}]}`

	hordeRules = `{"ruleLanguageVersion":"1.0",
 "playerAttributes":[{"name":"skill","type":"number"}],
 "algorithm":{"strategy":"balanced","balancedAttribute":"skill","batchingPreference":"largestPopulation"},
 "teams":[{"name":"horde","minPlayers":50,"maxPlayers":100,"quantity":2}],
 "rules":[{"name":"Ping","type":"latency","maxLatency":120}]}`

	// never is a rule set whose only rule no tickets satisfy, which nothing tells beforehand.
	neverRules = `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],
 "teams":[{"name":"red","minPlayers":5,"maxPlayers":5},{"name":"blue","minPlayers":5,"maxPlayers":5}],
 "rules":[{"name":"Never","type":"comparison","measurements":["avg(flatten(teams[*].players.attributes[skill]))"],"operation":">","referenceValue":1000000}]}`
)

var (
	solos   = []int{1}
	parties = []int{1, 1, 1, 1, 2, 2, 3, 5}

	matchPlaces = [5]string{"us-west-2", "us-east-1", "eu-west-1", "ap-northeast-1", "sa-east-1"}
	matchModes  = [2]string{"ranked", "casual"}
)

// crowdNow is the instant of the passes; the tickets of a crowd have waited up to 90 s.
var crowdNow = time.UnixMilli(1_750_000_000_000).UTC()

// waiting is a ticket as the baselines see it: what the rules look at, already read.
type waiting struct {
	ticket *flexmatch.Ticket
	start  int64 // ms
	skill  float64
	size   int
	heals  int // 1 when some player heals: a party counts as one list
	mode   int // of matchModes
	home   int // of matchPlaces: the nearest
	ping   [len(matchPlaces)]float64
	taken  bool
}

// crowd is a seeded pool: normal skill, parties of the given sizes, five locations, two
// modes, a fifth of the players healers.
func crowd(n int, sizes []int, seed uint64) []waiting {
	rng := rand.New(rand.NewPCG(seed, 7))
	all := make([]waiting, n)
	for i := range all {
		w := waiting{size: sizes[rng.IntN(len(sizes))], home: rng.IntN(len(matchPlaces)), mode: rng.IntN(len(matchModes))}
		t := &flexmatch.Ticket{ID: fmt.Sprintf("ticket-%08d", i), Start: crowdNow.Add(-time.Duration(rng.IntN(90_000)) * time.Millisecond)}
		skill := 1500 + 300*rng.NormFloat64()
		for j := range w.size {
			role, own := "dps", skill+50*rng.NormFloat64()
			if rng.IntN(5) == 0 {
				role, w.heals = "heal", 1
			}
			w.skill += own / float64(w.size)
			p := types.Player{
				PlayerId: new(fmt.Sprintf("player-%08d-%d", i, j)),
				PlayerAttributes: map[string]types.AttributeValue{
					"skill": {N: &own}, "roles": {SL: []string{role, "any"}}, "mode": {S: new(matchModes[w.mode])},
				},
				LatencyInMs: map[string]int32{},
			}
			for k, name := range matchPlaces {
				ms := int32(20 + 70*min((k-w.home+5)%5, (w.home-k+5)%5) + rng.IntN(40))
				p.LatencyInMs[name] = ms
				w.ping[k] += float64(ms) / float64(w.size)
			}
			t.Players = append(t.Players, p)
		}
		w.ticket, w.start = t, t.Start.UnixMilli()
		all[i] = w
	}
	return all
}

// set gives every player of a ticket the same value of an attribute.
func (w *waiting) set(name string, v types.AttributeValue) {
	for i := range w.ticket.Players {
		w.ticket.Players[i].PlayerAttributes[name] = v
	}
}

// pool is an engine with the tickets in it.
func pool(rules string, crowd []waiting) (*flexmatch.Pool, error) {
	rs, err := flexmatch.Parse(rules)
	if err != nil {
		return nil, err
	}
	p := flexmatch.NewPool(rs, flexmatch.Options{})
	for _, w := range crowd {
		p.Add(w.ticket)
	}
	return p, nil
}

// matchCut is the least that can be done: the tickets sorted by skill, in heaps by mode and
// home when byPlace, and cut into matches of so many players as they lie.
func matchCut(all []waiting, players int, byPlace bool) (matches [][]*waiting) {
	order := make([]*waiting, len(all))
	for i := range all {
		order[i] = &all[i]
	}
	slices.SortFunc(order, func(a, b *waiting) int {
		switch {
		case byPlace && a.mode != b.mode:
			return a.mode - b.mode
		case byPlace && a.home != b.home:
			return a.home - b.home
		case a.skill < b.skill:
			return -1
		case a.skill > b.skill:
			return 1
		}
		return 0
	})
	var open []*waiting
	n := 0
	for _, w := range order {
		if n+w.size > players {
			open, n = nil, 0
		}
		open, n = append(open, w), n+w.size
		if n == players {
			matches = append(matches, open)
			open, n = nil, 0
		}
	}
	return matches
}
