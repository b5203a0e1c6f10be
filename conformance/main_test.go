package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The programs under test and around it, built once.
var (
	matchyard  string // the server
	gameserver string // the example game server
	oldgo      string // the client of an old Go SDK
	overlay    string // a folder for the model that makes botocore speak CBOR
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	bin, err := os.MkdirTemp("", "matchyard-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(bin) }()
	matchyard, gameserver, oldgo = filepath.Join(bin, "matchyard"), filepath.Join(bin, "gameserver"), filepath.Join(bin, "oldgo")
	overlay = filepath.Join(bin, "models")
	for _, build := range [][]string{
		append(append([]string{"-C", ".."}, serverBuild...), "-o", matchyard, "./cmd/matchyard"),
		{"-C", "../examples/gameserver", "-o", gameserver, "."},
		{"-C", "oldgo", "-o", oldgo, "."},
	} {
		cmd := exec.CommandContext(context.Background(), "go", append([]string{"build"}, build...)...)
		if len(serverBuild) == 0 { // the race detector needs cgo
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", cmd.Args, err, out)
			return 1
		}
	}
	defer stopDrivers()
	return m.Run()
}
