package flexmatch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// rightRuleSet is a right rule set; the tests below change one thing in it.
const rightRuleSet = `{"ruleLanguageVersion":"1.0",
 "playerAttributes":[{"name":"skill","type":"number"},{"name":"mode","type":"string"},{"name":"maps","type":"string_list"},{"name":"likes","type":"string_number_map"}],
 "teams":[{"name":"red","minPlayers":1,"maxPlayers":2},{"name":"duo","minPlayers":0,"maxPlayers":2,"quantity":2}],
 "rules":[RULES],"expansions":[EXPANSIONS]}`

func withRules(rules, expansions string) string {
	return strings.NewReplacer("RULES", rules, "EXPANSIONS", expansions).Replace(rightRuleSet)
}

const (
	closeRule = `{"name":"Close","type":"batchDistance","batchAttribute":"skill","maxDistance":5}`
	sameRule  = `{"name":"Same","type":"comparison","measurements":["flatten(teams[*].players.attributes[mode])"],"operation":"="}`
)

// TestFindings: each fault is found once, at its place.
func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name, body, want string // want is empty for a right rule set
	}{
		{"not an object", `[]`, "a rule set is a JSON object, not an array"},
		{"trailing comma", `{"teams":[],}`, "not valid JSON"},
		{"other version", `{"ruleLanguageVersion":"2.0","teams":[{"name":"a","minPlayers":1,"maxPlayers":1}]}`, `ruleLanguageVersion: "2.0" is not supported`},
		{"unknown keys anywhere", `{"ruleLanguageVersion":"1.0","description":"x","teams":[{"name":"a","minPlayers":1,"maxPlayers":1,"color":3}],"rules":[{"name":"C","note":"n","type":"latency","maxLatency":"50"}]}`, ""},
		{"large by quantity", `{"ruleLanguageVersion":"1.0","teams":[{"name":"a","minPlayers":1,"maxPlayers":5,"quantity":9}]}`, "algorithm.strategy: a match of 45 slots"},
		{"large with other rules", `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"s","type":"number"}],"algorithm":{"strategy":"balanced","balancedAttribute":"s"},"teams":[{"name":"a","minPlayers":1,"maxPlayers":50}],"rules":[{"name":"C","type":"comparison","measurements":["flatten(teams[*].players.attributes[s])"],"operation":"="}]}`, "rules[0].type: a comparison rule cannot stand"},
		{"huge teams", `{"ruleLanguageVersion":"1.0","teams":[{"name":"a","minPlayers":1,"maxPlayers":200,"quantity":200}]}`, "teams: the teams have 40000 slots"},
		{"fractional players", `{"ruleLanguageVersion":"1.0","teams":[{"name":"a","minPlayers":1.5,"maxPlayers":2}]}`, "teams[0].minPlayers: must be a whole number"},
		{"more at least than at most", `{"ruleLanguageVersion":"1.0","teams":[{"name":"a","minPlayers":3,"maxPlayers":2}]}`, "teams[0].minPlayers: 3 is more than maxPlayers 2"},
		{"a numbered name taken", `{"ruleLanguageVersion":"1.0","teams":[{"name":"a_1","minPlayers":1,"maxPlayers":2},{"name":"a","minPlayers":1,"maxPlayers":2,"quantity":2}]}`, `"a_1" has the name of another team`},
		{"default of another type", `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"s","type":"number","default":"x"}],"teams":[{"name":"a","minPlayers":1,"maxPlayers":2}]}`, "playerAttributes[0].default: must be a number, not a string"},
		{"empty list as default", `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"s","type":"string_list","default":[]}],"teams":[{"name":"a","minPlayers":1,"maxPlayers":2}]}`, ""},
		{"sorted without attributes", `{"ruleLanguageVersion":"1.0","algorithm":{"batchingPreference":"sorted"},"teams":[{"name":"a","minPlayers":1,"maxPlayers":2}]}`, "algorithm.sortByAttributes: is required"},
		{"sorted by a stranger", `{"ruleLanguageVersion":"1.0","algorithm":{"batchingPreference":"sorted","sortByAttributes":["x"]},"teams":[{"name":"a","minPlayers":1,"maxPlayers":2}]}`, `unknown attribute "x"`},
		{"balanced by nothing", `{"ruleLanguageVersion":"1.0","algorithm":{"strategy":"balanced"},"teams":[{"name":"a","minPlayers":1,"maxPlayers":2}]}`, "algorithm.balancedAttribute: is required"},

		{"right", withRules(closeRule+","+sameRule, ""), ""},
		{"two of a name", withRules(closeRule+","+closeRule, ""), `rules[1].name: the rule "Close" is defined twice`},
		{"no such type", withRules(`{"name":"x","type":"magic"}`, ""), `rules[0].type: "magic" is not one of`},
		{"no such attribute", withRules(`{"name":"x","type":"comparison","measurements":["teams[red].players.attributes[speed]"],"operation":"="}`, ""), `rules[0].measurements[0]: unknown attribute "speed"`},
		{"one string as measurements", withRules(`{"name":"x","type":"comparison","measurements":"count(teams[red].players)","operation":"=","referenceValue":"2"}`, ""), ""},
		{"base name of several teams", withRules(`{"name":"x","type":"comparison","measurements":["max(count(teams[duo].players))"],"operation":"<=","referenceValue":2}`, ""), ""},
		{"one of several teams", withRules(`{"name":"x","type":"comparison","measurements":["count(teams[ duo_2 ].players)"],"operation":"<=","referenceValue":2}`, ""), ""},
		{"min of players", withRules(`{"name":"x","type":"comparison","measurements":["min(teams[red].players)"],"operation":"=","referenceValue":2}`, ""), "min needs a list of numbers"},
		{"flatten of a flat list", withRules(`{"name":"x","type":"comparison","measurements":["flatten(teams[red].players)"],"operation":"="}`, ""), "flatten needs a list of lists"},
		{"ordering of strings", withRules(`{"name":"x","type":"comparison","measurements":["teams[red].players.attributes[mode]"],"operation":"<","referenceValue":"z"}`, ""), `"<" does not order strings`},
		{"string against number", withRules(`{"name":"x","type":"comparison","measurements":["teams[red].players.attributes[mode]"],"operation":"=","referenceValue":3}`, ""), "rules[0].referenceValue: is not of the type"},
		{"reference in pieces", withRules(`{"name":"x","type":"distance","measurements":["avg(teams[*].players.attributes[skill])"],"referenceValue":"avg(teams[*].players.attributes[skill])","maxDistance":1}`, ""), "rules[0].referenceValue: must be one value"},
		{"reference to a stranger", withRules(`{"name":"x","type":"distance","measurements":["avg(teams[*].players.attributes[skill])"],"referenceValue":"avg(teams[green].players.attributes[skill])","maxDistance":1}`, ""), `rules[0].referenceValue: unknown team "green"`},
		{"distance without bounds", withRules(`{"name":"x","type":"distance","measurements":["avg(teams[*].players.attributes[skill])"],"referenceValue":1}`, ""), "minDistance or maxDistance is required"},
		{"distance as a string", withRules(`{"name":"x","type":"distance","measurements":["avg(teams[*].players.attributes[skill])"],"referenceValue":1,"maxDistance":"500"}`, ""), ""},
		{"batchDistance of a list", withRules(`{"name":"x","type":"batchDistance","batchAttribute":"maps","maxDistance":1}`, ""), "must be a number or a string attribute"},
		{"batchDistance without distance", withRules(`{"name":"x","type":"batchDistance","batchAttribute":"skill"}`, ""), "rules[0].maxDistance: is required"},
		{"collection of numbers", withRules(`{"name":"x","type":"collection","operation":"contains","measurements":["teams[red].players.attributes[skill]"],"referenceValue":"a","maxCount":1}`, ""), "a collection needs string lists"},
		{"collection without bounds", withRules(`{"name":"x","type":"collection","operation":"intersection","measurements":["teams[red].players.attributes[maps]"]}`, ""), "minCount or maxCount is required"},
		{"contains nothing", withRules(`{"name":"x","type":"collection","operation":"contains","measurements":["teams[red].players.attributes[maps]"],"maxCount":1}`, ""), "rules[0].referenceValue: is required by contains"},
		{"latency of nothing", withRules(`{"name":"x","type":"latency"}`, ""), "maxLatency, or maxDistance with distanceReference, is required"},
		{"latency distance from nothing", withRules(`{"name":"x","type":"latency","maxDistance":3}`, ""), "rules[0].distanceReference: is required"},
		{"sort of a list", withRules(`{"name":"x","type":"absoluteSort","sortDirection":"ascending","sortAttribute":"maps"}`, ""), "has no order"},
		{"sort of a map", withRules(`{"name":"x","type":"absoluteSort","sortDirection":"ascending","sortAttribute":"likes"}`, ""), "rules[0].mapKey: is required"},
		{"later rule in a statement", withRules(`{"name":"c","type":"compound","statement":"not(Same)"},`+sameRule, ""), `"Same" is not a rule defined before`},
		{"not of two", withRules(sameRule+`,{"name":"c","type":"compound","statement":"not(Same, Same)"}`, ""), "not takes one argument, it has 2"},
		{"statement left open", withRules(sameRule+`,{"name":"c","type":"compound","statement":"not(Same"}`, ""), `rules[1].statement: expected "," or ")"`},
		{"nested statement", withRules(sameRule+`,{"name":"c","type":"compound","statement":" or ( not( Same ),xor(Same,and(Same,Same,Same)))"}`, ""), ""},

		{"expansion", withRules(closeRule, `{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":5,"value":9},{"waitTimeSeconds":10,"value":"90"}]}`), ""},
		{"expansion of another type", withRules(closeRule, `{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":5,"value":"far"}]}`), "expansions[0].steps[0].value: maxDistance: must be a number"},
		{"expansion of a stranger", withRules(closeRule, `{"target":"rules[Close].maxLatency","steps":[{"waitTimeSeconds":5,"value":9}]}`), `only batchAttribute, maxDistance, partyAggregation can be expanded, not "maxLatency"`},
		{"expansion of the type", withRules(closeRule, `{"target":"rules[Close].type","steps":[{"waitTimeSeconds":5,"value":"latency"}]}`), "can be expanded"},
		{"expansion of quantity", withRules("", `{"target":"teams[duo].quantity","steps":[{"waitTimeSeconds":5,"value":1}]}`), "only minPlayers and maxPlayers"},
		{"expansion of the algorithm", withRules("", `{"target":"algorithm.strategy","steps":[{"waitTimeSeconds":5,"value":1}]}`), "is not of the form"},
		{"steps not in order", withRules(closeRule, `{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":5,"value":9},{"waitTimeSeconds":5,"value":10}]}`), "steps[1].waitTimeSeconds: 5 is not later than the step before"},
		{"no steps", withRules(closeRule, `{"target":"rules[Close].maxDistance","steps":[]}`), "expansions[0].steps: must have at least one element"},
		{"minimum above maximum", withRules("", `{"target":"teams[red].minPlayers","steps":[{"waitTimeSeconds":5,"value":3}]}`), `leaves team "red" with minPlayers 3 above maxPlayers 2`},
		{"growing out of its class", withRules("", `{"target":"teams[red].maxPlayers","steps":[{"waitTimeSeconds":5,"value":60}]}`), "makes 64 slots, which turns"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.body)
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var found Findings
			if !errors.As(err, &found) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("findings %v, want %s", err, c.want)
			}
		})
	}
}

func TestManyFindingsAtOnce(t *testing.T) {
	_, err := Parse(`{"teams":[{"name":"a","minPlayers":-1,"maxPlayers":"x"}],"rules":[{"type":"latency"}]}`)
	var found Findings
	if !errors.As(err, &found) || len(found) < 4 {
		t.Errorf("findings %v, want all of them", err)
	}
}

func TestLevels(t *testing.T) {
	rs, err := Parse(withRules(closeRule, `{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":5,"value":9},{"waitTimeSeconds":10,"value":90}]},
	 {"target":"teams[red, duo].minPlayers","steps":[{"waitTimeSeconds":7.5,"value":0}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if rs.LongestWait() != 10*time.Second || rs.Slots() != 6 || rs.Large() {
		t.Errorf("longest %v, slots %d", rs.LongestWait(), rs.Slots())
	}
	for _, c := range []struct {
		age  time.Duration
		dist float64
		min  int
	}{{0, 5, 1}, {4999 * time.Millisecond, 5, 1}, {5 * time.Second, 9, 1}, {7500 * time.Millisecond, 9, 0}, {time.Hour, 90, 0}} {
		l := rs.levels[rs.levelOf(c.age)]
		if got := l.rules[0].(*batchDistance).max; got != c.dist || l.teams[0].MinPlayers != c.min {
			t.Errorf("after %v: distance %v and minimum %d, want %v and %d", c.age, got, l.teams[0].MinPlayers, c.dist, c.min)
		}
	}
}

func TestCheckAttributes(t *testing.T) {
	rs, err := Parse(withRules("", ""))
	if err != nil {
		t.Fatal(err)
	}
	player := func(name string, v types.AttributeValue) []types.Player {
		return []types.Player{{PlayerId: new("p"), PlayerAttributes: map[string]types.AttributeValue{name: v}}}
	}
	if err := rs.CheckAttributes(player("skill", types.AttributeValue{N: new(3.0)})); err != nil {
		t.Error(err)
	}
	if err := rs.CheckAttributes(player("undeclared", types.AttributeValue{S: new("x")})); err != nil {
		t.Error(err)
	}
	for name, v := range map[string]types.AttributeValue{
		"skill": {S: new("3")}, "mode": {N: new(3.0)}, "maps": {SDM: map[string]float64{}}, "likes": {N: new(1.0), SDM: map[string]float64{"a": 1}},
	} {
		if err := rs.CheckAttributes(player(name, v)); err == nil {
			t.Errorf("%s took %v", name, v)
		}
	}
}

func TestNextStep(t *testing.T) {
	rs, err := Parse(withRules(closeRule, `{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":5,"value":9},{"waitTimeSeconds":10,"value":90}]}`))
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(rs, Options{})
	if _, ok := p.NextStep(second(0)); ok {
		t.Error("an empty pool has no step to come")
	}
	p.Add(&Ticket{ID: "a", Start: second(0)})
	p.Add(&Ticket{ID: "b", Start: second(3)})
	for _, c := range []struct{ now, next int }{{0, 5}, {5, 8}, {8, 10}, {10, 13}} {
		if at, ok := p.NextStep(second(c.now)); !ok || !at.Equal(second(c.next)) {
			t.Errorf("after %d the next step is at %v, want %d", c.now, at, c.next)
		}
	}
	if _, ok := p.NextStep(second(13)); ok {
		t.Error("all steps have been")
	}
}

func TestLocation(t *testing.T) {
	pool := fill(t, `{"ruleLanguageVersion":"1.0","teams":[{"name":"a","minPlayers":2,"maxPlayers":2}],"rules":[{"name":"Ping","type":"latency","maxLatency":100}]}`, []*Ticket{
		{ID: "a", Start: second(0), Players: []types.Player{{PlayerId: new("a"), LatencyInMs: map[string]int32{"us": 20, "eu": 60, "ap": 10}}}},
		{ID: "b", Start: second(0), Players: []types.Player{{PlayerId: new("b"), LatencyInMs: map[string]int32{"us": 95, "eu": 40, "ap": 120}}}},
	})
	made := pool.Pass(second(1))
	if len(made) != 1 || made[0].Location() != "eu" {
		t.Errorf("matches %v, want one in eu", made)
	}
}
