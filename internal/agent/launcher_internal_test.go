//go:build linux

package agent

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
)

// TestWantOfCgroupsIsSaidOnce: processes run without, and the log has one line of it.
func TestWantOfCgroupsIsSaidOnce(t *testing.T) {
	var log bytes.Buffer
	l, err := newLauncher(Limits{}, "", cgroupOff, t.TempDir(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	l.groups = &cgroups{dir: filepath.Join(t.TempDir(), "is", "not", "there")}
	for range 3 {
		p, err := l.launch(spawn{path: "/bin/sh", args: []string{"-c", "exit 7"}, dir: t.TempDir(), output: filepath.Join(t.TempDir(), "out"), marker: "MARKER=" + newID(), group: "g"})
		if err != nil {
			t.Fatal(err)
		}
		if e, ended := p.wait(); !ended || e.code != 7 {
			t.Errorf("ended %v with %+v", ended, e)
		}
	}
	if n := strings.Count(log.String(), "without a cgroup"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
}
