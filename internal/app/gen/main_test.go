package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestThePageIsAsTheSourcesSay(t *testing.T) {
	page, err := generate(os.DirFS("../../.."), notes)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, committed) {
		t.Error("docs/operations.md is not what go generate ./internal/app makes")
	}
	rows := 0
	for line := range bytes.Lines(page) {
		if bytes.HasPrefix(line, []byte("| `")) || bytes.HasPrefix(line, []byte("| [`")) {
			rows++
			if n := bytes.Count(line, []byte("|")); n != 7 {
				t.Errorf("a row of %d cells: %s", n-1, line)
			}
		}
	}
	if rows != 120 {
		t.Errorf("the page has %d operations, want 120", rows)
	}
}

// TestTheFrontPageCountsTheSame keeps the two numbers of the README.
func TestTheFrontPageCountsTheSame(t *testing.T) {
	root := os.DirFS("../../..")
	groups, err := index(root)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, g := range groups {
		for _, op := range g.ops {
			count[depth(op, notes[op.name])]++
		}
	}
	want := fmt.Sprintf("%d of the API's 120 operations, %d of them whole", count[whole]+count[partly], count[whole])
	readme, err := os.ReadFile("../../../README.md")
	if err != nil || !bytes.Contains(readme, []byte(want)) {
		t.Errorf("README.md does not say %q (%v)", want, err)
	}
}

func TestEachNoteIsOnAnOperation(t *testing.T) {
	groups, err := index(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	if err := check(groups, notes); err != nil {
		t.Error(err)
	}
	for want, wrong := range map[string]map[string]note{
		"CreateFleets is on no operation": {"CreateFleets": {Differs: "much"}},
		"CreateFleet says nothing":        {"CreateFleet": {}},
	} {
		if err := check(groups, wrong); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	groups[0].ops = groups[0].ops[1:]
	if err := check(groups, nil); err == nil || !strings.Contains(err.Error(), "the model 120") {
		t.Errorf("an index page that lacks an operation: %v", err)
	}
}

func TestWhatIsMissingMakesAnOperationPartial(t *testing.T) {
	for want, c := range map[string]struct {
		op operation
		n  note
	}{
		whole:  {operation{built: true}, note{Differs: "much"}},
		partly: {operation{built: true}, note{Missing: "much"}},
		notYet: {operation{}, note{}},
	} {
		if got := depth(c.op, c.n); got != want {
			t.Errorf("%+v is %s, want %s", c, got, want)
		}
	}
}
