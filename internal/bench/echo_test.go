package bench

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestEchoesAreMeasured(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Only: "echo", Length: 400 * time.Millisecond, Out: &out, Log: t.Output()}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if want := 1 + min(1, int(processorTime())); len(lines) != want {
		t.Errorf("%d lines, want %d:\n%s", len(lines), want, &out)
	}
	for _, l := range lines {
		if !line.MatchString(l) {
			t.Errorf("%q is not of the promised form", l)
		}
	}
}
