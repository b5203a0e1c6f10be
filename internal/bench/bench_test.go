package bench

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var line = regexp.MustCompile(`^bench [a-z0-9-]+ [0-9.]+ \S+ baseline=[0-9.]+ ratio=[0-9.]+$`)

// TestEachPathPrintsItsLine runs the quick paths for an instant: that they measure
// something and say it in the form that scripts read. How fast it was is not judged.
func TestEachPathPrintsItsLine(t *testing.T) {
	program := filepath.Join(t.TempDir(), "matchyard")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/matchyard").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for name, lines := range map[string]int{"noop": 1, "match-5v5": 7, "match-large": 2, "match-none": 3, "start": 3} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Run(t.Context(), Options{Only: name, Length: 50 * time.Millisecond, Program: program, Out: &out, Log: t.Output()}); err != nil {
				t.Fatal(err)
			}
			printed := strings.Split(strings.TrimSpace(out.String()), "\n")
			if len(printed) != lines {
				t.Errorf("%d lines, want %d:\n%s", len(printed), lines, &out)
			}
			for _, l := range printed {
				if !line.MatchString(l) {
					t.Errorf("%q is not of the promised form", l)
				}
			}
		})
	}
}

func TestAnUnknownPathIsNamed(t *testing.T) {
	err := Run(t.Context(), Options{Only: "warp"})
	if err == nil || !strings.Contains(err.Error(), "warp") || !strings.Contains(err.Error(), "page100") {
		t.Errorf("got %v, want the name and the names there are", err)
	}
}

// TestALoadCountsFailures points a load at a server that refuses its key.
func TestALoadCountsFailures(t *testing.T) {
	folder := t.TempDir()
	e, err := start(t.Context(), sqliteURL(folder), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	}()
	stranger := newCaller(e.address, e.region, keyID, "not the secret, though it is long enough", time.Now())
	_, err = load{address: e.address, conns: 2, length: time.Minute, total: 4, next: func(b []byte, _ int64) []byte {
		return stranger.append(b, "ListFleets", []byte{0xa0})
	}}.run(context.WithoutCancel(t.Context()))
	if err == nil || !strings.Contains(err.Error(), "4 of 4 requests failed") || !strings.Contains(err.Error(), "InvalidSignatureException") {
		t.Errorf("got %v", err)
	}
	if f, err := (load{address: e.address, conns: 2, length: time.Minute, total: 4, next: func(b []byte, _ int64) []byte {
		return e.caller().append(b, "ListFleets", []byte{0xa0})
	}}).run(t.Context()); err != nil || f.done != 4 {
		t.Errorf("with the right key: %d answers, %v", f.done, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "bench.db")); err != nil {
		t.Error(err)
	}
}

// TestBaselinesKeepTheRules holds the greedy matcher's matches against the rules it knows by
// heart: a baseline that cheats is none.
func TestBaselinesKeepTheRules(t *testing.T) {
	for _, c := range []contest{duels, fives, roleFives} {
		all := crowd(2_000, c.sizes, 5)
		matches := c.greedy.run(all)
		if len(matches) < 2_000/c.players/4 {
			t.Errorf("%s: %d matches", c.name, len(matches))
		}
		seen := map[*waiting]bool{}
		for _, m := range matches {
			players, heals, newest := 0, 0, int64(0)
			lo, hi := m[0].skill, m[0].skill
			for _, w := range m {
				if seen[w] {
					t.Fatalf("%s: %s is in two matches", c.name, w.ticket.ID)
				}
				seen[w] = true
				players, heals, newest = players+w.size, heals+w.heals, max(newest, w.start)
				lo, hi = min(lo, w.skill), max(hi, w.skill)
				if c.greedy.roles && w.mode != m[0].mode {
					t.Errorf("%s: two modes in a match", c.name)
				}
			}
			if limit := c.greedy.close[min(2, (crowdNow.UnixMilli()-newest)/30_000)]; hi-lo > limit || players != c.players {
				t.Errorf("%s: %d players %v apart, at most %v", c.name, players, hi-lo, limit)
			}
			if c.greedy.roles && heals < 2 {
				t.Errorf("%s: %d healers", c.name, heals)
			}
		}
	}
}
