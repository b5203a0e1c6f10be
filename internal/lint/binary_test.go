package lint

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mostBinary is how large the program may be, stripped, for Linux on amd64: design goal.
const mostBinary = 40 << 20

// TestTheLinkerLeavesOutWhatNobodyCalls holds the program to what lets the linker drop
// methods: whoever looks up methods by names that are not constants, as text/template does,
// keeps every exported method of every type, which is a fifth of the program. The failure
// names the functions; `go list -deps` tells who brings their packages.
func TestTheLinkerLeavesOutWhatNobodyCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program")
	}
	binary := filepath.Join(t.TempDir(), "matchyard")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w -dumpdep", "-o", binary, "../../cmd/matchyard")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := build.StderrPipe() // some 20 MB
	if err != nil {
		t.Fatal(err)
	}
	if err := build.Start(); err != nil {
		t.Fatal(err)
	}
	by, last := map[string]bool{}, ""
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = lines.Text()
		for side := range strings.SplitSeq(last, " -> ") {
			if name, found := strings.CutSuffix(side, " <ReflectMethod>"); found {
				by[name] = true
			}
		}
	}
	if err := build.Wait(); err != nil || lines.Err() != nil {
		t.Fatalf("%v, %v: %s", err, lines.Err(), last)
	}
	for name := range by {
		if !strings.HasPrefix(name, "reflect.") { // they follow from the others
			t.Errorf("%s looks up methods by name", name)
		}
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > mostBinary {
		t.Errorf("the program has %d bytes, want at most %d", info.Size(), mostBinary)
	}
	t.Logf("%.1f MiB", float64(info.Size())/(1<<20))
}
