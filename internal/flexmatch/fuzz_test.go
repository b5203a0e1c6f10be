package flexmatch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// FuzzParse: no body crashes the parser, and what it accepts compiles and matches.
func FuzzParse(f *testing.F) {
	for _, body := range []string{duelBySkill, fiveBySkill, fiveWithRoles, hundredAgainstHundred, "", "{}", "[1]", `{"teams":[{"name":"a","minPlayers":1e9,"maxPlayers":"1"}]}`} {
		f.Add(body)
	}
	for _, r := range ruleChoices {
		f.Add(`{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"},{"name":"mode","type":"string"},{"name":"roles","type":"string_list"}],
		 "teams":[{"name":"a","minPlayers":1,"maxPlayers":2},{"name":"b","minPlayers":1,"maxPlayers":2}],"rules":[{"name":"r",` + r[1:] + `]}`)
	}
	files, _ := filepath.Glob("evalcase/testdata/*.json")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		rs, err := Parse(body)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if len(rs.levels) > 50 {
			return
		}
		p := NewPool(rs, Options{})
		for i := range 6 {
			tk := &Ticket{ID: string(rune('a' + i)), Start: second(i)}
			pl := types.Player{PlayerId: new(tk.ID), PlayerAttributes: map[string]types.AttributeValue{}, LatencyInMs: map[string]int32{"x": int32(20 * i)}}
			for _, a := range rs.Attributes {
				switch a.Type {
				case Number:
					pl.PlayerAttributes[a.Name] = types.AttributeValue{N: new(float64(i))}
				case String:
					pl.PlayerAttributes[a.Name] = types.AttributeValue{S: new("s")}
				case StringList:
					pl.PlayerAttributes[a.Name] = types.AttributeValue{SL: []string{"heal", tk.ID}}
				case StringNumberMap:
					pl.PlayerAttributes[a.Name] = types.AttributeValue{SDM: map[string]float64{"k": float64(i)}}
				}
			}
			tk.Players = []types.Player{pl}
			p.Add(tk)
		}
		for _, at := range []int{10, 100} {
			for _, m := range p.Pass(second(at)) {
				if m.Players() > rs.Slots() && len(rs.Expansions) == 0 {
					t.Errorf("a match of %d players in %d slots", m.Players(), rs.Slots())
				}
			}
		}
		for id := range p.rows {
			p.Explain(id, second(100))
			break
		}
		p.NextStep(second(100).Add(time.Second))
	})
}

// FuzzExpression: parsing and evaluating never crash, and a value has the shape its type
// announces.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{
		"teams[red].players[playerId]", "avg(flatten(teams[*].players.attributes[skill]))", "count (teams[ red , blue ].players)",
		"set_intersection(flatten(team[*].players.attributes[maps]))", "median(min(teams[*].players.attributes[skill]))",
		"flatten(flatten(teams[*].players.attributes[maps]))", "stddev(count(teams[*].players.attributes[maps]))", "teams[", "min(((",
	} {
		f.Add(text)
	}
	players := map[string][]types.Player{}
	for i, name := range []string{"r1", "r2", "b1"} {
		team := []string{"red", "red", "blue"}[i]
		players[team] = append(players[team], types.Player{PlayerId: new(name), PlayerAttributes: map[string]types.AttributeValue{
			"skill": {N: new(float64(i))}, "maps": {SL: []string{"fort", name}}, "role": {S: new("tank")}, "likes": {SDM: map[string]float64{"n": 1}},
		}})
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, typ, err := Evaluate(text, []string{"red", "blue", "empty"}, players)
		if err != nil {
			return
		}
		depth := 0
		for len(typ) > 5 && typ[:5] == "List<" {
			depth++
			typ = typ[5 : len(typ)-1]
		}
		for ; depth > 0; depth-- {
			list, ok := v.([]any)
			if !ok {
				t.Fatalf("%s: %v is not a list", text, v)
			}
			if len(list) == 0 {
				return
			}
			v = list[0]
		}
		if _, ok := v.([]any); ok {
			t.Fatalf("%s: a list too deep: %v", text, v)
		}
	})
}
