package evalcase

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// expectation is the expect part of a case: only what is determined is written there.
type expectation struct {
	Expect struct {
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
		EventTypes      []string
		ForbiddenEvents []struct {
			Type     string
			TicketID string `json:"ticketId"`
		}
		ReasonContains map[string]string
	}
	Expressions []struct {
		Expr      string
		Value     any
		Type      string
		Unordered bool
	}
	Validations []struct {
		Name  string
		Valid bool
	}
	RawBodies []struct {
		Body  string
		Valid bool
	}
}

// TestCases runs every written case and holds the output against its expectation.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			result, err := Eval(body)
			if err != nil {
				t.Fatal(err)
			}
			var got Output
			var want expectation
			if err := json.Unmarshal(result, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(body, &want); err != nil {
				t.Fatal(err)
			}
			checkMatches(t, got, want)
			checkLife(t, got, want)
			checkValues(t, got, want)
			checkVerdicts(t, got, want)
			if t.Failed() {
				t.Logf("output: %s", result)
			}
		})
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func checkMatches(t *testing.T, got Output, want expectation) {
	if len(got.Matches) != len(want.Expect.Matches) {
		t.Errorf("%d matches, want %d", len(got.Matches), len(want.Expect.Matches))
	}
	if !slices.Equal(sorted(got.Unmatched), sorted(want.Expect.Unmatched)) {
		t.Errorf("unmatched %v, want %v", got.Unmatched, want.Expect.Unmatched)
	}
	for _, w := range want.Expect.Matches {
		i := slices.IndexFunc(got.Matches, func(m Match) bool {
			return m.At == w.At && slices.Equal(sorted(m.Tickets), sorted(w.Tickets))
		})
		if i < 0 {
			t.Errorf("no match of %v at %v", w.Tickets, w.At)
			continue
		}
		teams := got.Matches[i].Teams
		of := map[string]string{}
		for name, players := range teams {
			for _, p := range players {
				of[p] = name
			}
		}
		for name, players := range w.Teams {
			if !slices.Equal(sorted(teams[name]), sorted(players)) {
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
				t.Errorf("no team %s", name)
			}
		}
		for _, group := range w.SameTeam {
			for _, p := range group {
				if of[p] != of[group[0]] {
					t.Errorf("%v are not in one team", group)
				}
			}
		}
		for _, group := range w.DifferentTeam {
			if of[group[0]] == of[group[1]] {
				t.Errorf("%v are in one team", group)
			}
		}
	}
}

func checkLife(t *testing.T, got Output, want expectation) {
	for _, w := range want.Expect.Statuses {
		i := slices.IndexFunc(got.Statuses, func(s map[string]any) bool { return s["at"] == w["at"] })
		if i < 0 {
			t.Errorf("no statuses at %v", w["at"])
			continue
		}
		for id, status := range w {
			if got.Statuses[i][id] != status {
				t.Errorf("at %v: %s is %v, want %v", w["at"], id, got.Statuses[i][id], status)
			}
		}
	}
	next := 0
	for _, e := range got.Events {
		if next < len(want.Expect.EventTypes) && e.Type == want.Expect.EventTypes[next] {
			next++
		}
		for _, f := range want.Expect.ForbiddenEvents {
			if e.Type == f.Type && slices.Contains(e.Tickets, f.TicketID) {
				t.Errorf("forbidden event %v", e)
			}
		}
	}
	if next < len(want.Expect.EventTypes) {
		t.Errorf("event %d (%s) is missing", next, want.Expect.EventTypes[next])
	}
	for id, text := range want.Expect.ReasonContains {
		i := slices.IndexFunc(got.Tickets, func(o Outcome) bool { return o.TicketID == id })
		if i < 0 || !strings.Contains(got.Tickets[i].StatusReason+got.Tickets[i].StatusMessage, text) {
			t.Errorf("%s has no reason %q", id, text)
		}
	}
}

func checkValues(t *testing.T, got Output, want expectation) {
	if len(got.Values) != len(want.Expressions) {
		t.Fatalf("%d values, want %d", len(got.Values), len(want.Expressions))
	}
	for i, w := range want.Expressions {
		if !reflect.DeepEqual(got.Values[i], w.Value) || got.Types[i] != w.Type {
			t.Errorf("%s = %v of %s, want %v of %s", w.Expr, got.Values[i], got.Types[i], w.Value, w.Type)
		}
	}
}

func checkVerdicts(t *testing.T, got Output, want expectation) {
	if len(got.Validations) != len(want.Validations) || len(got.RawBodies) != len(want.RawBodies) {
		t.Fatalf("%d and %d verdicts, want %d and %d", len(got.Validations), len(got.RawBodies), len(want.Validations), len(want.RawBodies))
	}
	for i, w := range want.Validations {
		g := got.Validations[i]
		if g.Valid != w.Valid || (len(g.Errors) == 0) != g.Valid {
			t.Errorf("%s: valid %v, want %v: %v", w.Name, g.Valid, w.Valid, g.Errors)
		}
	}
	for i, w := range want.RawBodies {
		if got.RawBodies[i].Valid != w.Valid {
			t.Errorf("body %q: valid %v, want %v", w.Body, got.RawBodies[i].Valid, w.Valid)
		}
	}
}
