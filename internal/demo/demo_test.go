package demo_test

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/demo"
)

// TestTour goes through the whole tour, as `make demo` does.
func TestTour(t *testing.T) {
	program := filepath.Join(t.TempDir(), "gameserver")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../../examples/gameserver", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the game server: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := config.Default()
	c.Listen, c.Admin = "127.0.0.1:0", "127.0.0.1:0"
	var out bytes.Buffer
	if err := demo.Run(ctx, demo.Options{Config: c, GameServer: program, Out: &out}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{
		"emil is refused: ", "anna    ACTIVE", "carla   COMPLETED", "dora    TIMEDOUT", "emil    RESERVED",
		"the game session is TERMINATED (TRIGGERED_ON_PROCESS_TERMINATE), with 0 players",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the tour does not say %q:\n%s", want, &out)
		}
	}
}

// TestGameServerIsNeeded says where the program would come from.
func TestGameServerIsNeeded(t *testing.T) {
	err := demo.Run(t.Context(), demo.Options{Config: config.Default(), GameServer: "/nowhere/gameserver", Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got %v, want an error that names make build", err)
	}
}
