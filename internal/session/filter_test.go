package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"
)

// searchCases is testdata/search-cases.json: cases written for this project from the
// published text of SearchGameSessions, each with what it rests on (documented, inferred or
// a choice of ours; sessions-placement.md 5.5).
type searchCases struct {
	Fixture struct {
		HomeRegion string
		Sessions   []struct {
			Label, GameSessionID, FleetID, Location, Status      string
			MaximumPlayerSessionCount, CurrentPlayerSessionCount int32
			CreationTimeMillis                                   int64
			GameProperties                                       []types.GameProperty
			Name                                                 *string
		}
	}
	Positive, Negative []searchCase
}

type searchCase struct {
	ID      string
	Request struct {
		FleetID, AliasID, Location, FilterExpression, SortExpression string
		Limit                                                        int
	}
	Expect struct {
		Sessions, Ordered []string
		ThenAnyOrder      []string `json:"then_any_order"`
		Error             string
	}
}

func readSearchCases(t testing.TB) *searchCases {
	t.Helper()
	text, err := os.ReadFile("testdata/search-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	c := &searchCases{}
	if err := json.Unmarshal(text, c); err != nil {
		t.Fatal(err)
	}
	if len(c.Positive) == 0 || len(c.Negative) == 0 || len(c.Fixture.Sessions) == 0 {
		t.Fatal("the cases are empty")
	}
	return c
}

// labelled is a game session of the cases.
type labelled struct {
	searched
	label, fleet, location, status string
}

func (c *searchCases) sessions() (all []labelled) {
	for _, s := range c.Fixture.Sessions {
		all = append(all, labelled{
			searched: searched{
				id: s.GameSessionID, name: s.Name, properties: s.GameProperties, createdMs: s.CreationTimeMillis,
				maximum: s.MaximumPlayerSessionCount, players: s.CurrentPlayerSessionCount,
			},
			label: s.Label, fleet: s.FleetID, location: s.Location, status: s.Status,
		})
	}
	return all
}

// TestSearchCases answers each case from the fixture, with the rest of the operation (one
// fleet, one location, only ACTIVE) spelled out here.
func TestSearchCases(t *testing.T) {
	cases := readSearchCases(t)
	for _, c := range cases.Positive {
		t.Run(c.ID, func(t *testing.T) {
			var found []labelled
			for _, g := range cases.sessions() {
				if g.fleet != c.Request.FleetID || g.status != "ACTIVE" || c.Request.Location != "" && g.location != c.Request.Location {
					continue
				}
				if c.Request.FilterExpression == "" || mustFilter(t, c.Request.FilterExpression).match(&g.searched) {
					found = append(found, g)
				}
			}
			if c.Request.SortExpression != "" {
				o, err := parseSort(c.Request.SortExpression)
				if err != nil {
					t.Fatal(err)
				}
				slices.SortFunc(found, func(a, b labelled) int { return o.compare(&a.searched, &b.searched) })
			}
			if c.Request.Limit > 0 {
				found = found[:min(len(found), c.Request.Limit)]
			}
			var got []string
			for _, g := range found {
				got = append(got, g.label)
			}
			want := slices.Concat(c.Expect.Ordered, c.Expect.Sessions, c.Expect.ThenAnyOrder)
			fixed := len(c.Expect.Ordered)
			if len(got) >= fixed {
				slices.Sort(got[fixed:])
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q by %q found %v, want %v", c.Request.FilterExpression, c.Request.SortExpression, got, want)
			}
		})
	}
	for _, c := range cases.Negative {
		if c.Request.AliasID != "" {
			continue // two targets: not a matter of the language
		}
		t.Run(c.ID, func(t *testing.T) {
			var err error
			if c.Request.FilterExpression != "" {
				_, err = parseFilter(c.Request.FilterExpression)
			} else {
				_, err = parseSort(c.Request.SortExpression)
			}
			if _, ok := errors.AsType[*types.InvalidRequestException](err); !ok || c.Expect.Error != "InvalidRequestException" {
				t.Errorf("%+v: got %v, want %s", c.Request, err, c.Expect.Error)
			}
		})
	}
}

func mustFilter(t testing.TB, text string) *filter {
	t.Helper()
	f, err := parseFilter(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return f
}

var suzuka = searched{
	id: "gsess-1", name: new(`O'Neill "Q"`), maximum: 10, players: 4, createdMs: 1700000000000,
	properties: []types.GameProperty{
		{Key: new("map"), Value: new("Suzuka")},
		{Key: new("a.b"), Value: new("dotted")},
		{Key: new("empty"), Value: new("")},
		{Key: new("日本!"), Value: new("鈴鹿")},
		{Key: new("note"), Value: new("a AND (b) = 'c'")},
		{Key: new("AND"), Value: new("keyword")},
	},
}

func TestFilterRules(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		// White space, case of keywords, delimiters.
		{"maximumSessions=10", true},
		{" \t\r\nmaximumSessions\n=\t10 ", true},
		{"maximumSessions = 10 and not playerSessionCount = 5 Or maximumSessions=1", true},
		{"(maximumSessions=10)AND(NOT(playerSessionCount=5))", true},
		{"gameSessionProperties.map='x'OR gameSessionProperties.map=\"Suzuka\"AND NOT maximumSessions=9", true},
		{"gameSessionProperties.AND = 'keyword'", true},

		// Precedence: parentheses, NOT, AND, OR.
		{"maximumSessions = 10 OR maximumSessions = 10 AND playerSessionCount = 5", true},
		{"(maximumSessions = 10 OR maximumSessions = 10) AND playerSessionCount = 5", false},
		{"playerSessionCount = 5 AND maximumSessions = 1 OR maximumSessions = 10", true},
		{"NOT playerSessionCount = 4 OR maximumSessions = 10", true},
		{"NOT (playerSessionCount = 4 OR maximumSessions = 10)", false},
		{"NOT playerSessionCount = 4 AND maximumSessions = 10", false},
		{"NOT NOT playerSessionCount = 4", true},
		{"((((playerSessionCount = 4))))", true},

		// The six comparators, longest first.
		{"playerSessionCount < 4", false},
		{"playerSessionCount <= 4", true},
		{"playerSessionCount > 4", false},
		{"playerSessionCount >= 4", true},
		{"playerSessionCount = 4", true},
		{"playerSessionCount <> 4", false},
		{"playerSessionCount<>5", true},
		{"playerSessionCount<=3", false},
		{"playerSessionCount>=5", false},

		// Numbers are exact.
		{"playerSessionCount = +4", true},
		{"playerSessionCount = 4.000", true},
		{"playerSessionCount = 004", true},
		{"playerSessionCount = 4.5", false},
		{"playerSessionCount < 4.5", true},
		{"playerSessionCount > 3.5", true},
		{"playerSessionCount <> 3.5", true},
		{"playerSessionCount > -0.5", true},
		{"playerSessionCount > -5", true},
		{"creationTimeMillis < 1700000000000.0000000000000000001", true},
		{"creationTimeMillis >= 1700000000000.0000000000000000001", false},
		{"creationTimeMillis < 99999999999999999999999999", true},
		{"creationTimeMillis > -99999999999999999999999999.5", true},

		// Booleans.
		{"hasAvailablePlayerSessions = true", true},
		{"hasAvailablePlayerSessions = FALSE", false},
		{"hasAvailablePlayerSessions <> False", true},
		{"hasAvailablePlayerSessions <> TRUE", false},

		// Strings: two quotes, escapes, case.
		{`gameSessionName = 'O\'Neill "Q"'`, true},
		{`gameSessionName = "O'Neill \"Q\""`, true},
		{`gameSessionName = "O'\N\e\i\l\l \"Q\""`, true},
		{`gameSessionName = 'o\'neill "q"'`, false},
		{"gameSessionProperties.map = 'suzuka'", false},
		{"gameSessionProperties.MAP = 'Suzuka'", false},
		{"gameSessionProperties.日本! = '鈴鹿'", true},
		{`gameSessionProperties.日本! = '鈴\鹿'`, true},
		{`gameSessionProperties.note = 'a AND (b) = \'c\''`, true},
		{"gameSessionId = 'gsess-1'", true},
		{"gameSessionId <> 'gsess-2'", true},

		// What is absent equals nothing; NOT is plain negation. An empty value is present.
		{"gameSessionProperties.none = ''", false},
		{"gameSessionProperties.none <> ''", true},
		{"NOT gameSessionProperties.none = 'x'", true},
		{"NOT gameSessionProperties.none <> 'x'", false},
		{"gameSessionProperties.empty = ''", true},
		{"gameSessionProperties.empty <> 'x'", true},
		{"gameSessionProperties.a.b = 'dotted'", false},
		{"gameSessionProperties.a.b <> 'dotted'", true},
	} {
		if got := mustFilter(t, c.text).match(&suzuka); got != c.want {
			t.Errorf("%s: got %v, want %v", c.text, got, c.want)
		}
	}
	unnamed := searched{id: "gsess-2"}
	for text, want := range map[string]bool{
		"gameSessionName = ''": false, "gameSessionName <> ''": true, "hasAvailablePlayerSessions = true": false,
	} {
		if got := mustFilter(t, text).match(&unnamed); got != want {
			t.Errorf("without a name: %s: got %v, want %v", text, got, want)
		}
	}
}

const operands = "one of gameSessionName, gameSessionId, gameSessionProperties.KEY, maximumSessions, creationTimeMillis, playerSessionCount, hasAvailablePlayerSessions"

func TestFilterErrorsSayWhereAndWhat(t *testing.T) {
	for text, want := range map[string]string{
		" ":                                   "2: expected " + operands + ", found the end",
		"sessionName = 'x'":                   `1: expected ` + operands + `, found "sessionName"`,
		"MaximumSessions = 1":                 `1: expected ` + operands + `, found "MaximumSessions"`,
		"gameSessionProperties = 'x'":         `1: expected ` + operands + `, found "gameSessionProperties"`,
		"gameSessionProperties. = 'x'":        `1: expected ` + operands + `, found "gameSessionProperties."`,
		"'x' = gameSessionName":               `1: expected ` + operands + `, found a string`,
		"maximumSessions":                     "16: expected one of = <> < > <= >=, found the end",
		"maximumSessions != 10":               `17: expected one of = <> < > <= >=, found "!"`,
		"maximumSessions = '10'":              "19: expected a number, found a string",
		"maximumSessions == 10":               `18: expected a number, found "="`,
		"maximumSessions => 10":               `18: expected a number, found ">"`,
		"maximumSessions = 1e3":               `19: expected a number, found "1e3"`,
		"maximumSessions = .5":                `19: expected a number, found ".5"`,
		"maximumSessions = 5.":                `19: expected a number, found "5."`,
		"maximumSessions = - 5":               `19: expected a number, found "-"`,
		"maximumSessions = ":                  "19: expected a number, found the end",
		"maximumSessions = 10AND":             `19: expected a number, found "10AND"`,
		"gameSessionName = Lobby":             `19: expected a string in quotes, found "Lobby"`,
		"gameSessionName = 'Lobby":            "19: expected a string in quotes, found a string that does not end",
		`gameSessionName = 'Lobby\'`:          "19: expected a string in quotes, found a string that does not end",
		`gameSessionName = 'Lobby\`:           "19: expected a string in quotes, found a string that does not end",
		`gameSessionName = "Lobby'`:           "19: expected a string in quotes, found a string that does not end",
		"gameSessionName > 'x'":               `17: expected = or <>, found ">"`,
		"hasAvailablePlayerSessions >= 1":     `28: expected = or <>, found ">="`,
		"hasAvailablePlayerSessions = 1":      `30: expected true or false, found "1"`,
		"hasAvailablePlayerSessions = 'true'": "30: expected true or false, found a string",
		"hasAvailablePlayerSessions":          "27: expected = or <>, found the end",
		"(maximumSessions = 10":               "22: expected AND, OR or ), found the end",
		"maximumSessions = 10)":               `21: expected AND, OR or the end, found ")"`,
		"maximumSessions = 10 XOR x":          `22: expected AND, OR or the end, found "XOR"`,
		"maximumSessions = 10 AND":            "25: expected " + operands + ", found the end",
		"NOT":                                 "4: expected " + operands + ", found the end",
		"()":                                  `2: expected ` + operands + `, found ")"`,
		"NOTmaximumSessions = 1":              `1: expected ` + operands + `, found "NOTmaximumSessions"`,
		"gameSessionName = '日本' ! ":           `24: expected AND, OR or the end, found "!"`,
		strings.Repeat("w", 100):              `1: expected ` + operands + `, found "` + strings.Repeat("w", 40) + `"`,
	} {
		_, err := parseFilter(text)
		checkRefusal(t, text, err, "FilterExpression: at character "+want)
	}
}

func TestSortErrorsSayWhereAndWhat(t *testing.T) {
	for text, want := range map[string]string{
		" ":                             "2: expected " + operands + ", found the end",
		"startTime":                     `1: expected ` + operands + `, found "startTime"`,
		"maximumSessions,gameSessionId": `1: expected ` + operands + `, found "maximumSessions,gameSessionId"`,
		"maximumSessions ASC, x":        `17: expected ASC, DESC or the end, found "ASC,"`,
		"maximumSessions DESC DESC":     `22: expected ASC, DESC or the end, found "DESC"`,
		"maximumSessions UP":            `17: expected ASC, DESC or the end, found "UP"`,
		"maximumSessions = 1":           `17: expected ASC, DESC or the end, found "="`,
		"DESC maximumSessions":          `1: expected ` + operands + `, found "DESC"`,
		"gameSessionProperties.":        `1: expected ` + operands + `, found "gameSessionProperties."`,
		"gameSessionProperties.a b":     `25: expected ASC, DESC or the end, found "b"`,
		"(maximumSessions)":             `1: expected ` + operands + `, found "("`,
	} {
		_, err := parseSort(text)
		checkRefusal(t, text, err, "SortExpression: at character "+want)
	}
}

func checkRefusal(t *testing.T, text string, err error, want string) {
	t.Helper()
	e, ok := errors.AsType[*types.InvalidRequestException](err)
	if !ok {
		t.Errorf("%q: got %v, want an InvalidRequestException", text, err)
	} else if e.ErrorMessage() != want {
		t.Errorf("%q:\ngot  %s\nwant %s", text, e.ErrorMessage(), want)
	}
}

func TestFilterDepthIsBounded(t *testing.T) {
	const inner = "maximumSessions = 10"
	for _, n := range []int{1, maxDepth, maxDepth + 1, 480} {
		for text, holds := range map[string]bool{
			strings.Repeat("(", n) + inner + strings.Repeat(")", n): true,
			strings.Repeat("NOT ", n) + inner:                       n%2 == 0,
		} {
			f, err := parseFilter(text)
			switch {
			case n > maxDepth:
				checkRefusal(t, text, err, fmt.Sprintf("FilterExpression: at character %d: parentheses and NOT are nested more than 64 deep",
					strings.Index(text, inner)*maxDepth/n+1))
			case err != nil || f.match(&suzuka) != holds:
				t.Errorf("%d deep: %v", n, err)
			}
		}
	}
	// Depth is what lies within each other: groups side by side do not add up.
	mustFilter(t, strings.Repeat("(maximumSessions = 10) OR ", 100)+inner)
}

func TestSortRules(t *testing.T) {
	set := []searched{
		{id: "a", name: new("b"), maximum: 2, players: 2, properties: []types.GameProperty{{Key: new("level"), Value: new("9")}}},
		{id: "b", name: new("é"), maximum: 10, players: 1, properties: []types.GameProperty{{Key: new("level"), Value: new("10")}}},
		{id: "c", maximum: 9, players: 9},
		{id: "d", name: new("B"), maximum: 9, players: 0, properties: []types.GameProperty{{Key: new("a.b"), Value: new("1")}}},
	}
	for text, want := range map[string]string{
		"maximumSessions":                    "acdb",
		"maximumSessions asc":                "acdb",
		" maximumSessions\tDesc ":            "bcda", // ties keep the order of ids
		"playerSessionCount":                 "dbac",
		"creationTimeMillis DESC":            "abcd",
		"gameSessionName":                    "dabc", // by code point, the unnamed last
		"gameSessionName DESC":               "badc", // last also here
		"gameSessionId DESC":                 "dcba",
		"hasAvailablePlayerSessions":         "acbd", // false before true
		"hasAvailablePlayerSessions DESC":    "bdac",
		"gameSessionProperties.level":        "bacd", // as text
		"gameSessionProperties.level DESC":   "abcd",
		"gameSessionProperties.a.b":          "abcd", // dotted keys are absent
		"gameSessionProperties.level,x DESC": "abcd", // the comma belongs to the key
	} {
		o, err := parseSort(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got := slices.Clone(set)
		slices.Reverse(got)
		slices.SortFunc(got, func(a, b searched) int { return o.compare(&a, &b) })
		ids := ""
		for _, g := range got {
			ids += g.id
		}
		if ids != want {
			t.Errorf("%q: got %s, want %s", text, ids, want)
		}
	}
}

// expression is a filter as the property test makes it: its text, and beside it its
// meaning, told in the plainest way.
type expression struct {
	text string
	rank int // 3 condition or group, 2 NOT, 1 AND, 0 OR
	eval func(*searched) bool
}

func (e expression) within(t *rapid.T, rank int) string {
	if e.rank < rank || rapid.IntRange(0, 9).Draw(t, "superfluous") == 0 {
		return "(" + space(t, 0) + e.text + space(t, 0) + ")"
	}
	return e.text
}

func space(t *rapid.T, least int) string {
	return rapid.StringOfN(rapid.SampledFrom([]rune(" \t\n")), least, 2, -1).Draw(t, "space")
}

func word(t *rapid.T, w string) string {
	return space(t, 1) + rapid.SampledFrom([]string{w, strings.ToLower(w), w[:1] + strings.ToLower(w[1:])}).Draw(t, "word") + space(t, 1)
}

func drawExpression(t *rapid.T, depth int) expression {
	kind := 3
	if depth > 0 {
		kind = rapid.IntRange(0, 3).Draw(t, "kind")
	}
	switch kind {
	case 2:
		e := drawExpression(t, depth-1)
		return expression{strings.TrimLeft(word(t, "NOT"), " \t\n") + e.within(t, 2), 2, func(g *searched) bool { return !e.eval(g) }}
	case 0, 1:
		left, right := drawExpression(t, depth-1), drawExpression(t, depth-1)
		keyword := []string{"OR", "AND"}[kind]
		return expression{left.within(t, kind) + word(t, keyword) + right.within(t, kind), kind, func(g *searched) bool {
			l, r := left.eval(g), right.eval(g)
			if kind == 0 {
				return l || r
			}
			return l && r
		}}
	}
	return drawCondition(t)
}

var drawValue = rapid.SampledFrom([]string{"", "a", "A", `it's`, `"`, `\`, "日", "a AND b", "10", "9"})

func drawCondition(t *rapid.T) expression {
	equal := rapid.SampledFrom([]string{"=", "<>"}).Draw(t, "comparator")
	switch rapid.IntRange(0, 2).Draw(t, "type") {
	case 0:
		attribute := rapid.SampledFrom([]string{"gameSessionName", "gameSessionId", "gameSessionProperties.k", "gameSessionProperties.k.dot"}).Draw(t, "attribute")
		want := drawValue.Draw(t, "value")
		quote := rapid.SampledFrom([]string{"'", `"`}).Draw(t, "quote")
		quoted := quote + strings.NewReplacer(`\`, `\\`, quote, `\`+quote).Replace(want) + quote
		return expression{attribute + space(t, 0) + equal + space(t, 0) + quoted, 3, func(g *searched) bool {
			var have *string
			switch attribute {
			case "gameSessionName":
				have = g.name
			case "gameSessionId":
				have = &g.id
			case "gameSessionProperties.k":
				for _, p := range g.properties {
					if *p.Key == "k" {
						have = p.Value
					}
				}
			}
			same := have != nil && *have == want
			return same && equal == "=" || !same && equal == "<>"
		}}
	case 1:
		want := rapid.Bool().Draw(t, "bool")
		text := "hasAvailablePlayerSessions" + space(t, 0) + equal + space(t, 0) + strconv.FormatBool(want)
		return expression{text, 3, func(g *searched) bool {
			return ((g.maximum > g.players) == want) == (equal == "=")
		}}
	}
	attribute := rapid.SampledFrom([]string{"maximumSessions", "playerSessionCount", "creationTimeMillis"}).Draw(t, "attribute")
	comparator := rapid.SampledFrom([]string{"=", "<>", "<", ">", "<=", ">="}).Draw(t, "comparator")
	halves := rapid.IntRange(-4, 12).Draw(t, "halves")
	number := strconv.FormatFloat(float64(halves)/2, 'f', -1, 64)
	return expression{attribute + space(t, 0) + comparator + space(t, 0) + number, 3, func(g *searched) bool {
		have := 2 * map[string]int{"maximumSessions": int(g.maximum), "playerSessionCount": int(g.players), "creationTimeMillis": int(g.createdMs)}[attribute]
		switch comparator {
		case "=":
			return have == halves
		case "<>":
			return have != halves
		case "<":
			return have < halves
		case ">":
			return have > halves
		case "<=":
			return have <= halves
		}
		return have >= halves
	}}
}

func drawSearched(t *rapid.T) searched {
	g := searched{
		id:        drawValue.Draw(t, "id"),
		maximum:   rapid.Int32Range(0, 5).Draw(t, "maximum"),
		players:   rapid.Int32Range(0, 5).Draw(t, "players"),
		createdMs: rapid.Int64Range(0, 5).Draw(t, "created"),
	}
	if rapid.Bool().Draw(t, "named") {
		g.name = new(drawValue.Draw(t, "name"))
	}
	for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"k", "k.dot", "K"}), rapid.ID).Draw(t, "keys") {
		g.properties = append(g.properties, types.GameProperty{Key: &key, Value: new(drawValue.Draw(t, "property"))})
	}
	return g
}

func TestFilterMeansWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawExpression(t, 4)
		f, err := parseFilter(e.text)
		if err != nil {
			t.Fatalf("%q: %v", e.text, err)
		}
		for range 4 {
			if g := drawSearched(t); f.match(&g) != e.eval(&g) {
				t.Fatalf("%q: got %v on %+v", e.text, f.match(&g), g)
			}
		}
	})
}

// TestSortIsATotalOrder: whatever is sorted, in whatever order it came, ends the same, with
// the sessions that lack the operand last and the values of the others rising or falling.
func TestSortIsATotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfNDistinct(rapid.Custom(drawSearched), 0, 6, func(g searched) string { return g.id }).Draw(t, "set")
		descending := rapid.Bool().Draw(t, "descending")
		o, err := parseSort("gameSessionProperties.k" + map[bool]string{true: " DESC"}[descending])
		if err != nil {
			t.Fatal(err)
		}
		by := func(a, b searched) int { return o.compare(&a, &b) }
		sorted := slices.SortedFunc(slices.Values(set), by)
		shuffled := slices.SortedFunc(slices.Values(rapid.Permutation(set).Draw(t, "shuffled")), by)
		for i := range sorted {
			if sorted[i].id != shuffled[i].id {
				t.Fatalf("two orders: %v and %v", sorted, shuffled)
			}
			if i == 0 {
				continue
			}
			a, hasA := sorted[i-1].property("k")
			b, hasB := sorted[i].property("k")
			if hasB && (!hasA || a != b && (a > b) != descending) || a == b && hasA == hasB && sorted[i-1].id > sorted[i].id {
				t.Fatalf("%v before %v", sorted[i-1], sorted[i])
			}
		}
	})
}

func FuzzFilter(f *testing.F) {
	cases := readSearchCases(f)
	for _, c := range slices.Concat(cases.Positive, cases.Negative) {
		f.Add(c.Request.FilterExpression + c.Request.SortExpression)
	}
	f.Add(`NOT(NOT maximumSessions<>-1.50)OR gameSessionProperties.k="a\"b"`)
	f.Add(strings.Repeat("(", 70))
	sessions := cases.sessions()
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > 1024 {
			t.Skip() // refused before it gets here
		}
		start := time.Now()
		parsed, err := parseFilter(text)
		sorted, sortErr := parseSort(text)
		for field, err := range map[string]error{"FilterExpression: at character ": err, "SortExpression: at character ": sortErr} {
			e, ok := errors.AsType[*types.InvalidRequestException](err)
			if err != nil && (!ok || !strings.HasPrefix(e.ErrorMessage(), field) || !utf8.ValidString(e.ErrorMessage()) || len(e.ErrorMessage()) > 1024) {
				t.Fatalf("%q: %v", text, err)
			}
		}
		negated, negatedErr := parseFilter("NOT (" + text + ")")
		if tooDeep := negatedErr != nil && strings.Contains(negatedErr.Error(), "nested more than"); err == nil && negatedErr != nil && !tooDeep {
			t.Fatalf("%q is taken alone, refused in a group: %v", text, negatedErr)
		}
		for i := range sessions {
			if err == nil && negatedErr == nil && parsed.match(&sessions[i].searched) == negated.match(&sessions[i].searched) {
				t.Fatalf("%q and its negation both answer %v", text, parsed.match(&sessions[i].searched))
			}
			if sortErr == nil && sorted.compare(&sessions[0].searched, &sessions[i].searched) != -sorted.compare(&sessions[i].searched, &sessions[0].searched) {
				t.Fatalf("%q is no order", text)
			}
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("%q took %v", text, took)
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	text := strings.Repeat("gameSessionProperties.map='Suzuka' AND ", 25) + "playerSessionCount<5"
	b.ReportAllocs()
	for b.Loop() {
		f, err := parseFilter(text)
		if err != nil || !f.match(&suzuka) {
			b.Fatal(err)
		}
	}
}
