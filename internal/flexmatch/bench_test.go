package flexmatch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

const duelBySkill = `{"ruleLanguageVersion":"1.0",
 "playerAttributes":[{"name":"skill","type":"number"}],
 "teams":[{"name":"side","minPlayers":1,"maxPlayers":1,"quantity":2}],
 "rules":[{"name":"Close","type":"batchDistance","batchAttribute":"skill","maxDistance":50}],
 "expansions":[{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":30,"value":100},{"waitTimeSeconds":60,"value":200}]}]}`

const fiveBySkill = `{"ruleLanguageVersion":"1.0",
 "playerAttributes":[{"name":"skill","type":"number"}],
 "teams":[{"name":"red","minPlayers":5,"maxPlayers":5},{"name":"blue","minPlayers":5,"maxPlayers":5}],
 "rules":[{"name":"Close","type":"distance","measurements":["max(flatten(teams[*].players.attributes[skill]))"],
   "referenceValue":"min(flatten(teams[*].players.attributes[skill]))","maxDistance":200},
  {"name":"Fair","type":"distance","measurements":["avg(teams[*].players.attributes[skill])"],
   "referenceValue":"avg(flatten(teams[*].players.attributes[skill]))","maxDistance":25}],
 "expansions":[{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":30,"value":300},{"waitTimeSeconds":60,"value":500}]}]}`

const fiveWithRoles = `{"ruleLanguageVersion":"1.0",
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

const duelNearest = `{"ruleLanguageVersion":"1.0",
 "playerAttributes":[{"name":"skill","type":"number"}],
 "teams":[{"name":"side","minPlayers":1,"maxPlayers":1,"quantity":2}],
 "rules":[{"name":"Close","type":"batchDistance","batchAttribute":"skill","maxDistance":50},
  {"name":"Nearest","type":"distanceSort","sortDirection":"ascending","sortAttribute":"skill"}]}`

const hundredAgainstHundred = `{"ruleLanguageVersion":"1.0",
 "playerAttributes":[{"name":"skill","type":"number"}],
 "algorithm":{"strategy":"balanced","balancedAttribute":"skill","batchingPreference":"largestPopulation"},
 "teams":[{"name":"horde","minPlayers":50,"maxPlayers":100,"quantity":2}],
 "rules":[{"name":"Ping","type":"latency","maxLatency":120}]}`

// crowd is a seeded pool: normal skill, parties of the given sizes, five locations, two
// modes, a tenth of the players healers, ages up to 90 seconds.
func crowd(n int, sizes []int, seed uint64) []*Ticket {
	rng := rand.New(rand.NewPCG(seed, 7))
	locations := []string{"us-west-2", "us-east-1", "eu-west-1", "ap-northeast-1", "sa-east-1"}
	tickets := make([]*Ticket, n)
	for i := range tickets {
		t := &Ticket{ID: fmt.Sprintf("ticket-%08d", i), Start: second(1000).Add(-time.Duration(rng.IntN(90_000)) * time.Millisecond)}
		home, skill, mode := rng.IntN(len(locations)), 1500+300*rng.NormFloat64(), rng.IntN(2)
		for j := range sizes[rng.IntN(len(sizes))] {
			role := "dps"
			if rng.IntN(10) < 2 {
				role = "heal"
			}
			p := types.Player{
				PlayerId: new(fmt.Sprintf("player-%08d-%d", i, j)),
				PlayerAttributes: map[string]types.AttributeValue{
					"skill": {N: new(skill + 50*rng.NormFloat64())},
					"roles": {SL: []string{role, "any"}},
					"mode":  {S: new([]string{"ranked", "casual"}[mode])},
				},
				LatencyInMs: map[string]int32{},
			}
			for k, name := range locations {
				p.LatencyInMs[name] = int32(20 + 70*min((k-home+5)%5, (home-k+5)%5) + rng.IntN(40))
			}
			t.Players = append(t.Players, p)
		}
		tickets[i] = t
	}
	return tickets
}

func fill(b testing.TB, body string, tickets []*Ticket) *Pool {
	rs, err := Parse(body)
	if err != nil {
		b.Fatal(err)
	}
	p := NewPool(rs, Options{})
	for _, t := range tickets {
		p.Add(t)
	}
	return p
}

var (
	solos   = []int{1}
	parties = []int{1, 1, 1, 1, 2, 2, 3, 5}
)

// BenchmarkPass is one pass over waiting tickets, everything included but adding them.
// The baseline of each is a sort of the same tickets by skill.
func BenchmarkPass(b *testing.B) {
	for _, w := range []struct {
		name  string
		rules string
		sizes []int
	}{{"1v1", duelBySkill, solos}, {"1v1nearest", duelNearest, solos}, {"5v5", fiveBySkill, parties}, {"5v5roles", fiveWithRoles, parties}} {
		for _, n := range []int{1_000, 12_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", w.name, n), func(b *testing.B) {
				tickets := crowd(n, w.sizes, 1)
				matched := 0
				for b.Loop() {
					b.StopTimer()
					p := fill(b, w.rules, tickets)
					b.StartTimer()
					for _, m := range p.Pass(second(1000)) {
						matched += len(m.Tickets)
					}
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tickets/s")
				b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/sortTime(tickets).Seconds(), "x-sort")
				b.ReportMetric(100*float64(matched)/float64(b.N)/float64(n), "%matched")
			})
		}
	}
}

// sortTime is the baseline: the same tickets sorted by skill, the best of five runs.
func sortTime(tickets []*Ticket) time.Duration {
	best := time.Hour
	for range 5 {
		list := slices.Clone(tickets)
		start := time.Now()
		slices.SortFunc(list, func(x, y *Ticket) int {
			return cmpFloat(*x.Players[0].PlayerAttributes["skill"].N, *y.Players[0].PlayerAttributes["skill"].N)
		})
		best = min(best, time.Since(start))
	}
	return best
}

// BenchmarkNothingMatches is a pass over 12,000 tickets none of which can be matched.
func BenchmarkNothingMatches(b *testing.B) {
	noHealer := crowd(12_000, parties, 1)
	for _, t := range noHealer {
		for i := range t.Players {
			t.Players[i].PlayerAttributes["roles"] = types.AttributeValue{SL: []string{"dps"}}
		}
	}
	apart := crowd(12_000, solos, 1)
	for i, t := range apart {
		t.Players[0].PlayerAttributes["skill"] = types.AttributeValue{N: new(float64(1000 * i))}
	}
	unfair := `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],
	 "teams":[{"name":"red","minPlayers":5,"maxPlayers":5},{"name":"blue","minPlayers":5,"maxPlayers":5}],
	 "rules":[{"name":"Never","type":"comparison","measurements":["avg(flatten(teams[*].players.attributes[skill]))"],"operation":">","referenceValue":1000000}]}`
	for _, w := range []struct {
		name    string
		rules   string
		tickets []*Ticket
	}{{"apart", duelBySkill, apart}, {"no healer", fiveWithRoles, noHealer}, {"impossible average", unfair, crowd(12_000, parties, 1)}} {
		b.Run(w.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				p := fill(b, w.rules, w.tickets) // a first pass: later ones skip what has not changed
				b.StartTimer()
				if m := p.Pass(second(1000)); len(m) > 0 {
					b.Fatal("a match")
				}
			}
		})
	}
}

// BenchmarkLarge makes one match of 200 players, and then all, from 20,000 tickets.
func BenchmarkLarge(b *testing.B) {
	tickets := crowd(20_000, parties, 1)
	matches := 0
	for b.Loop() {
		b.StopTimer()
		p := fill(b, hundredAgainstHundred, tickets)
		b.StartTimer()
		matches += len(p.Pass(second(1000)))
	}
	b.ReportMetric(float64(matches)/float64(b.N), "matches/pass")
	b.ReportMetric(b.Elapsed().Seconds()*1000/float64(matches), "ms/match")
}

// BenchmarkCycle keeps 50,000 tickets waiting while 1,000 arrive every second, and
// reports the percentiles of a second's work: adding them and a pass. In "sparse" skills
// lie too far apart for most; in "short" one healer comes for every hundred others, so
// that a dense crowd waits for healers.
func BenchmarkCycle(b *testing.B) {
	const waiting, arrivals, cycles = 50_000, 1_000, 20
	for _, w := range []struct{ name, rules string }{{"sparse", fiveBySkill}, {"short", fiveWithRoles}} {
		b.Run(w.name, func(b *testing.B) {
			tickets := crowd(waiting+arrivals*cycles, parties, 3)
			rng := rand.New(rand.NewPCG(5, 5))
			for i, t := range tickets {
				skill := 4_000_000 * rng.Float64()
				for j := range t.Players {
					attributes := t.Players[j].PlayerAttributes
					if w.name == "sparse" {
						attributes["skill"] = types.AttributeValue{N: new(skill)}
						continue
					}
					role := "dps"
					if i >= waiting && rng.IntN(100) == 0 {
						role = "heal"
					}
					attributes["roles"] = types.AttributeValue{SL: []string{role}}
				}
			}
			var took []time.Duration
			p := fill(b, w.rules, tickets[:waiting])
			p.Pass(second(1000))
			for b.Loop() {
				b.StopTimer()
				p = fill(b, w.rules, tickets[:waiting])
				p.Pass(second(1000))
				b.StartTimer()
				for cycle := range cycles {
					now := second(1001 + cycle)
					start := time.Now()
					for _, t := range tickets[waiting+cycle*arrivals:][:arrivals] {
						t.Start = now
						p.Add(t)
					}
					p.Pass(now)
					took = append(took, time.Since(start))
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(p.Len()), "waiting")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
		})
	}
}
