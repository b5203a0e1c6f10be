package model

import (
	"cmp"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestTheModelIsWhole holds the tables to what the service is known to have
// (wire-protocol.md 3.2, of a revision with four fewer UnsupportedRegion).
func TestTheModelIsWhole(t *testing.T) {
	declared := map[string]int{}
	without, empty := 0, 0
	for _, o := range Operations {
		for _, e := range o.Errors {
			declared[e]++
			if !IsException(e) {
				t.Errorf("%s declares %s, which is no exception", o.Name, e)
			}
		}
		switch {
		case o.Output == nil:
			without++
		case len(o.Output.Members) == 0:
			empty++
		}
	}
	if len(Operations) != 120 || without != 6 || empty != 14 {
		t.Errorf("%d operations, %d without output, %d with an empty one; want 120, 6, 14", len(Operations), without, empty)
	}
	for e, want := range map[string]int{
		"InvalidRequest": 120, "InternalService": 120, "Unauthorized": 104, "NotFound": 96, "UnsupportedRegion": 61, "TaggingFailed": 22,
		"LimitExceeded": 21, "Conflict": 17, "InvalidFleetStatus": 7, "TerminalRoutingStrategy": 7, "NotReady": 6,
		"InvalidGameSessionStatus": 5, "GameSessionFull": 2, "OutOfCapacity": 1, "FleetCapacityExceeded": 1, "IdempotentParameterMismatch": 1,
	} {
		if got := declared[e+"Exception"]; got != want {
			t.Errorf("%s is declared %d times, want %d", e, got, want)
		}
	}
	if len(declared) != 16 {
		t.Errorf("%d exceptions are declared, want 16", len(declared))
	}
	if IsException("Fleet") || IsException("") || IsException("NoSuchKey") {
		t.Error("what is no exception is taken for one")
	}
}

// TestTheTablesAreSorted, which the searches in them rest on.
func TestTheTablesAreSorted(t *testing.T) {
	if !slices.IsSortedFunc(Operations, func(a, b Operation) int { return cmp.Compare(a.Name, b.Name) }) {
		t.Error("operations are not sorted")
	}
	if !slices.IsSortedFunc(Shapes, func(a, b *Shape) int { return cmp.Compare(a.Name, b.Name) }) {
		t.Error("shapes are not sorted")
	}
	for _, o := range Operations {
		if !slices.IsSorted(o.Errors) || Find(o.Name) == nil || Find(o.Name).Name != o.Name {
			t.Errorf("%s: unsorted errors, or not found", o.Name)
		}
	}
	for _, s := range Shapes {
		if !slices.IsSorted(s.Enum) || !slices.IsSortedFunc(s.Members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) }) {
			t.Errorf("%s is not sorted", s.Name)
		}
	}
	if Find("") != nil || Find("ListFleet") != nil || Find("listFleets") != nil {
		t.Error("found an operation that is none")
	}
}

// TestReadOnly goes by the facts: what an operation's name says.
func TestReadOnly(t *testing.T) {
	n := 0
	for _, o := range Operations {
		if o.ReadOnly() {
			n++
		}
	}
	for name, want := range map[string]bool{
		"DescribePlayerSessions": true, "SearchGameSessions": true, "ListFleets": true, "ResolveAlias": true, "ValidateMatchmakingRuleSet": true,
		"GetComputeAuthToken": true, "CreatePlayerSession": false, "RequestUploadCredentials": false, "AcceptMatch": false, "StopMatchmaking": false,
		"DeregisterCompute": false, "ClaimGameServer": false, "TagResource": false,
	} {
		if Find(name).ReadOnly() != want {
			t.Errorf("%s: read-only is %v", name, !want)
		}
	}
	if n == 0 || n == len(Operations) {
		t.Errorf("%d operations only read", n)
	}
}

// TestPatterns: the fast forms match what the expressions of the model do, over the whole of
// a string.
func TestPatterns(t *testing.T) {
	fast := 0
	for _, s := range Shapes {
		if s.Pattern == nil {
			continue
		}
		whole := regexp.MustCompile(`^(?:` + s.Pattern.expr + `)$`)
		if _, ok := classOf(s.Pattern.expr); ok {
			fast++
		}
		draw := rapid.OneOf(
			rapid.StringMatching(s.Pattern.expr),
			rapid.StringOf(rapid.SampledFrom([]rune("aZ09-_.:/*+ \t\n\r\x00é\u2028\U0001F600\uFFFD'\"[]{}"))),
			rapid.Map(rapid.StringMatching(s.Pattern.expr), func(s string) string { return s + "\n" }),
		)
		rapid.Check(t, func(t *rapid.T) {
			text := draw.Draw(t, "text")
			if got, want := s.Pattern.Match(text), whole.MatchString(text); got != want {
				t.Fatalf("%s: %q matches %s: got %v, want %v", s.Name, text, s.Pattern.Source, got, want)
			}
		})
	}
	if fast < 10 {
		t.Errorf("only %d patterns have a fast form", fast)
	}
}

// TestTheFactsAreTheModels: constraints stand in the tables as they do in the file.
func TestTheFactsAreTheModels(t *testing.T) {
	text, err := os.ReadFile("gamelift-2015-10-01.json")
	if err != nil {
		t.Fatal(err)
	}
	var facts struct {
		Shapes map[string]struct {
			Type           string
			Members        map[string]string
			Required, Enum []string
			Min, Max       *float64
			Pattern        string
			Sensitive      bool
			Exception      bool
		}
	}
	if err := json.Unmarshal(text, &facts); err != nil {
		t.Fatal(err)
	}
	if len(facts.Shapes) != len(Shapes) {
		t.Errorf("%d shapes in the file, %d in the tables", len(facts.Shapes), len(Shapes))
	}
	for _, s := range Shapes {
		f := facts.Shapes[s.Name]
		if s.HasMin != (f.Min != nil) || s.HasMin && s.Min != *f.Min || s.HasMax != (f.Max != nil) || s.HasMax && s.Max != *f.Max {
			t.Errorf("%s: bounds %v %v %v %v", s.Name, s.HasMin, s.Min, s.HasMax, s.Max)
		}
		if (s.Pattern == nil) != (f.Pattern == "") || s.Pattern != nil && s.Pattern.Source != f.Pattern {
			t.Errorf("%s: pattern %v, want %q", s.Name, s.Pattern, f.Pattern)
		}
		slices.Sort(f.Enum)
		if !slices.Equal(s.Enum, f.Enum) || s.Sensitive != f.Sensitive || s.Exception != f.Exception || len(s.Members) != len(f.Members) {
			t.Errorf("%s differs from the facts", s.Name)
		}
		for _, m := range s.Members {
			if f.Members[m.Name] != m.Shape.Name || m.Required != slices.Contains(f.Required, m.Name) {
				t.Errorf("%s.%s is %s, required %v", s.Name, m.Name, m.Shape.Name, m.Required)
			}
		}
	}
}

func BenchmarkPattern(b *testing.B) {
	for _, s := range Shapes {
		if s.Name != "ArnStringModel" {
			continue
		}
		text := "arn:aws:gamelift:us-west-2::gamesession/fleet-" + strings.Repeat("a", 36) + "/gsess-" + strings.Repeat("b", 36)
		b.ReportAllocs()
		for b.Loop() {
			if !s.Pattern.Match(text) {
				b.Fatal(text)
			}
		}
	}
}
