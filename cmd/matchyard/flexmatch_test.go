package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// result is what eval prints, and what a case expects in the same words.
type evalResult struct {
	Matches []struct {
		At            float64
		Tickets       []string
		Teams         map[string][]string
		TeamSizes     map[string]int
		TeamNames     []string
		SameTeam      [][]string
		DifferentTeam [][]string
	}
	Unmatched       []string
	Statuses        []map[string]any
	Events          []struct{ Type, TicketID string }
	EventTypes      []string
	ForbiddenEvents []struct{ Type, TicketID string }
	ReasonContains  map[string]string
	Tickets         []struct{ TicketID, StatusReason, StatusMessage string }
	Values          []any
	Validations     []verdict
	RawBodies       []verdict
}

type verdict struct {
	Name   string
	Valid  bool
	Errors []string
}

// TestFlexmatchEval runs every conformance case through the program.
func TestFlexmatchEval(t *testing.T) {
	files, err := filepath.Glob("../../internal/flexmatch/evalcase/testdata/*.json")
	if err != nil || len(files) < 24 {
		t.Fatalf("%d cases, want 24 at least: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			code, out, errs := do(t, nil, "flexmatch", "eval", file)
			var got evalResult
			if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil {
				t.Fatalf("exit code %d, %v: %s", code, err, errs)
			}
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c struct {
				Expect      evalResult
				Expressions []struct{ Value any }
				Validations []verdict
				RawBodies   []verdict
			}
			if err := json.Unmarshal(body, &c); err != nil {
				t.Fatal(err)
			}
			compareMatches(t, got, c.Expect)
			compareLife(t, got, c.Expect)
			var values []any
			for _, e := range c.Expressions {
				values = append(values, e.Value)
			}
			if !reflect.DeepEqual(got.Values, values) {
				t.Errorf("values %v, want %v", got.Values, values)
			}
			compareVerdicts(t, got.Validations, c.Validations)
			compareVerdicts(t, got.RawBodies, c.RawBodies)
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func compareMatches(t *testing.T, got, want evalResult) {
	t.Helper()
	if len(got.Matches) != len(want.Matches) || !sameSet(got.Unmatched, want.Unmatched) {
		t.Errorf("%d matches, unmatched %v; want %d, %v", len(got.Matches), got.Unmatched, len(want.Matches), want.Unmatched)
	}
	for _, w := range want.Matches {
		i := slices.IndexFunc(got.Matches, func(m struct {
			At            float64
			Tickets       []string
			Teams         map[string][]string
			TeamSizes     map[string]int
			TeamNames     []string
			SameTeam      [][]string
			DifferentTeam [][]string
		},
		) bool {
			return m.At == w.At && sameSet(m.Tickets, w.Tickets)
		})
		if i < 0 {
			t.Errorf("no match of %v at %v", w.Tickets, w.At)
			continue
		}
		teams := got.Matches[i].Teams
		team := func(player string) string {
			for name, players := range teams {
				if slices.Contains(players, player) {
					return name
				}
			}
			return ""
		}
		for name, players := range w.Teams {
			if !sameSet(teams[name], players) {
				t.Errorf("team %s is %v, want %v", name, teams[name], players)
			}
		}
		for name, n := range w.TeamSizes {
			if len(teams[name]) != n {
				t.Errorf("team %s has %d players, want %d", name, len(teams[name]), n)
			}
		}
		for _, name := range w.TeamNames {
			if _, ok := teams[name]; !ok {
				t.Errorf("no team %s in %v", name, teams)
			}
		}
		for _, players := range w.SameTeam {
			for _, p := range players {
				if team(p) != team(players[0]) {
					t.Errorf("%v are not in one team", players)
				}
			}
		}
		for _, players := range w.DifferentTeam {
			if team(players[0]) == team(players[1]) {
				t.Errorf("%v are in one team", players)
			}
		}
	}
}

func compareLife(t *testing.T, got, want evalResult) {
	t.Helper()
	for _, w := range want.Statuses {
		i := slices.IndexFunc(got.Statuses, func(s map[string]any) bool { return s["at"] == w["at"] })
		if i < 0 {
			t.Errorf("no statuses at %v", w["at"])
			continue
		}
		for id, status := range w {
			if got.Statuses[i][id] != status {
				t.Errorf("at %v %s is %v, want %v", w["at"], id, got.Statuses[i][id], status)
			}
		}
	}
	missing := want.EventTypes
	for _, e := range got.Events {
		if len(missing) > 0 && e.Type == missing[0] {
			missing = missing[1:]
		}
		for _, f := range want.ForbiddenEvents {
			if e.Type == f.Type && e.TicketID == f.TicketID {
				t.Errorf("%s of %s is there", e.Type, e.TicketID)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("events %v are missing", missing)
	}
	for id, text := range want.ReasonContains {
		if !slices.ContainsFunc(got.Tickets, func(o struct{ TicketID, StatusReason, StatusMessage string }) bool {
			return o.TicketID == id && strings.Contains(o.StatusReason+" "+o.StatusMessage, text)
		}) {
			t.Errorf("%s has no reason %q in %v", id, text, got.Tickets)
		}
	}
}

func compareVerdicts(t *testing.T, got, want []verdict) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d verdicts, want %d", len(got), len(want))
	}
	for i, w := range want {
		if got[i].Valid != w.Valid || (len(got[i].Errors) == 0) != w.Valid {
			t.Errorf("%s: valid %v with %v, want %v", w.Name, got[i].Valid, got[i].Errors, w.Valid)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFlexmatchValidate(t *testing.T) {
	bad := write(t, "bad.json", `{"ruleLanguageVersion":"1.0","teams":[{"name":"a","minPlayers":1,"maxPlayers":2}],
	 "rules":[{"name":"r","type":"batchDistance","batchAttribute":"speed","maxDistance":1}]}`)
	good := "../../examples/flexmatch/5v5.rules.json"
	for _, c := range []struct {
		args []string
		code int
		want string // of what is printed on both outputs
	}{
		{[]string{good}, 0, good + " is valid"},
		{[]string{good, "-o", "json"}, 0, `"valid": true`},
		{[]string{bad}, 1, "rules[0].batchAttribute: "},
		{[]string{bad}, 1, "is not valid: 1 found"},
		{[]string{bad, "-o", "json"}, 1, `"valid": false`},
		{[]string{write(t, "no.json", "nonsense")}, 1, "is not valid"},
		{[]string{"nowhere.json"}, 2, "no such file"},
		{[]string{good, "-o", "xml"}, 2, "--output must be one of"},
		{nil, 2, "expected"},
	} {
		code, out, errs := do(t, nil, append([]string{"flexmatch", "validate"}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%v: exit code %d, want %d with %q:\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
		if slices.Contains(c.args, "json") {
			var v verdict
			if err := json.Unmarshal([]byte(out), &v); err != nil || v.Valid != (c.code == 0) {
				t.Errorf("%v: %v: %s", c.args, err, out)
			}
		}
	}
	if code, _, errs := do(t, nil, "flexmatch", "eval", bad); code != 1 || !strings.Contains(errs, "unknown kind") {
		t.Errorf("eval of no case: exit code %d: %s", code, errs)
	}
	if code, _, _ := do(t, nil, "flexmatch", "eval", "nowhere.json"); code != 2 {
		t.Errorf("eval of nothing: exit code %d, want 2", code)
	}
}

// TestFlexmatchSimulate: a drawn stream, written and played again, gives the same report.
func TestFlexmatchSimulate(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	simulate := func(args ...string) (int, string, string) {
		return do(t, nil, append([]string{"flexmatch", "simulate"}, args...)...)
	}
	code, out, errs := simulate("--stream", "1v1", "--hours", "0.2", "--seed", "9", "--report", at("r.html"), "--json", at("a.json"), "--write-tickets", at("s.jsonl"))
	if code != 0 || !strings.Contains(out, "Tickets matched") || !strings.Contains(errs, "100 %") {
		t.Fatalf("exit code %d:\n%s%s", code, out, errs)
	}
	page, err := os.ReadFile(at("r.html"))
	if err != nil || !strings.Contains(string(page), "<svg") || strings.Contains(string(page), "http://") || strings.Contains(string(page), "https://") {
		t.Errorf("the page: %v, %d bytes", err, len(page))
	}
	code, out, errs = simulate("--ruleset", "../../examples/flexmatch/1v1.rules.json", "--tickets", at("s.jsonl"), "--seed", "9", "--json", "-")
	first, err := os.ReadFile(at("a.json"))
	if err != nil || code != 0 || out != string(first) {
		t.Errorf("exit code %d, %v: the recorded stream gave another report\n%s", code, err, errs)
	}
	code, out, errs = simulate("--profile", "../../examples/flexmatch/1v1.profile.json", "--ruleset", "../../examples/flexmatch/1v1.rules.json", "--hours", "0.2", "--seed", "9", "--json", "-")
	if code != 0 || out != string(first) {
		t.Errorf("exit code %d: the profile by its file gave another report\n%s", code, errs)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--stream", "2v2"}, 2, `there is no standard stream "2v2"; there are 1v1, 5v5`},
		{[]string{"--ruleset", "../../examples/flexmatch/1v1.rules.json"}, 2, "one of --stream, --profile and --tickets is needed"},
		{[]string{"--tickets", at("s.jsonl")}, 2, "a rule set is needed"},
		{[]string{"--tickets", at("s.jsonl"), "--stream", "1v1"}, 2, "can't be used together"},
		{[]string{"--tickets", at("s.jsonl"), "--hours", "1", "--ruleset", "../../examples/flexmatch/1v1.rules.json"}, 2, "--hours is for drawn streams"},
		{[]string{"--tickets", write(t, "t.jsonl", "{}"), "--ruleset", "../../examples/flexmatch/1v1.rules.json"}, 1, "line 1: a ticket has no ticketId"},
		{[]string{"--profile", write(t, "p.json", `{"hours":-1}`), "--ruleset", "../../examples/flexmatch/1v1.rules.json"}, 1, "hours is -1"},
		{[]string{"--stream", "1v1", "--hours=-1"}, 1, "hours is -1"},
		{[]string{"--stream", "1v1", "--ruleset", write(t, "r.json", `{}`)}, 1, "ruleLanguageVersion"},
		{[]string{"--stream", "1v1", "--hours", "0.01", "--report", at("no/where.html")}, 1, "no such file"},
	} {
		code, out, errs := simulate(c.args...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, want %d with %q:\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

func TestFlexmatchCompare(t *testing.T) {
	wide := write(t, "wide.json", `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],
	 "teams":[{"name":"side","minPlayers":1,"maxPlayers":1,"quantity":2}]}`)
	report := filepath.Join(t.TempDir(), "c.html")
	code, out, errs := do(t, nil, "flexmatch", "compare", wide, "--stream", "1v1", "--hours", "0.2", "--report", report)
	if code != 0 || !strings.Contains(out, "wide") || !strings.Contains(out, "worse") || !strings.Contains(out, "better") {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
	if page, err := os.ReadFile(report); err != nil || !strings.Contains(string(page), "Rule sets 1v1 and wide on 1v1") {
		t.Errorf("the page: %v", err)
	}
	code, out, errs = do(t, nil, "flexmatch", "compare", "--greedy", "--stream", "1v1", "--hours", "0.1", "--json", "-")
	var r struct {
		Runs []struct{ Name, Matcher string }
	}
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil || fmt.Sprint(r.Runs) != "[{greedy greedy} {engine engine}]" {
		t.Errorf("exit code %d, %v, %v: %s", code, err, r.Runs, errs)
	}
	for _, args := range [][]string{{}, {wide}, {wide, wide, wide}, {wide, wide}, {"--greedy"}, {wide, wide, "--greedy", "--stream", "1v1"}} {
		if code, _, errs := do(t, nil, append([]string{"flexmatch", "compare"}, args...)...); code != 2 {
			t.Errorf("compare %v: exit code %d, want 2: %s", args, code, errs)
		}
	}
	code, out, errs = do(t, nil, "flexmatch", "quality", "1v1", "--seeds", "2", "--hours", "0.1")
	if code != 0 || !strings.HasPrefix(out, "| Stream | Figure | Engine | Greedy | Change |") || !strings.Contains(out, "| 1v1 (") {
		t.Errorf("quality: exit code %d:\n%s%s", code, out, errs)
	}
	if code, _, _ := do(t, nil, "flexmatch", "quality", "2v2"); code != 2 {
		t.Errorf("quality of nothing: exit code %d, want 2", code)
	}
}
