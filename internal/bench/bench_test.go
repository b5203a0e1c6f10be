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
	for name, lines := range map[string]int{"noop": 1, "start": 3} {
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
