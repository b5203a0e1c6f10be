package webhook_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/webhook"
)

// lines are the placements of a file of events.
func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var ids []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			t.Errorf("the last line has no end: %q", line)
		}
		ids = append(ids, placement([]byte(line)))
	}
	return ids
}

func TestAFileGetsALineAnEventAndMayBeMovedAway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		path := filepath.Join(t.TempDir(), "events.jsonl")
		if err := os.WriteFile(path, []byte(`{"cut off by a loss of po`), 0o600); err != nil {
			t.Fatal(err)
		}
		n := start(t, db, setup{sinks: []webhook.Sink{{Name: "file", Kind: webhook.File, Path: path}}})
		for _, id := range numbers(40) {
			n.happen("placement/"+id, id)
		}
		eventually(t, "nothing is left", func() bool { return n.pending("file") == 0 })
		wants(t, "lines", lines(t, path), append([]string{""}, numbers(40)...)...)

		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		n.happen("placement/x", "x")
		eventually(t, "nothing is left", func() bool { return n.pending("file") == 0 })
		wants(t, "lines of the new file", lines(t, path), "x")
		wants(t, "lines of the old file", lines(t, path+".1")[1:], numbers(40)...)
	})
}

func TestAFileThatCannotBeWrittenGetsItAllLater(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		folder := filepath.Join(t.TempDir(), "not", "there")
		path := filepath.Join(folder, "events.jsonl")
		n := start(t, db, setup{sinks: []webhook.Sink{{Name: "file", Kind: webhook.File, Path: path}}})
		for i := range 20 {
			n.happen(fmt.Sprint("ticket/", i%4), fmt.Sprint(i%4, "-", i/4))
		}
		n.advance(clock, time.Hour)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		n.advance(clock, 6*time.Minute)
		inOrder(t, lines(t, path), 4, 5)
	})
}
