package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

func TestExplainPlacement(t *testing.T) {
	r := start(t, nil, "dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ephemeral")
	admin := r.find(` admin=http://(127\.0\.0\.1:\d+) `)
	c := client(r.find(`^ready (\S+)`), "any", "thing")
	if _, err := c.CreateGameSessionQueue(t.Context(), &gamelift.CreateGameSessionQueueInput{Name: new("arena")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartGameSessionPlacement(t.Context(), &gamelift.StartGameSessionPlacementInput{
		PlacementId: new("match-1"), GameSessionQueueName: new("arena"), MaximumPlayerSessionCount: new(int32(2)),
	}); err != nil {
		t.Fatal(err)
	}
	code, out, errs := do(t, nil, "explain", "placement", "match-1", "--admin", admin)
	for _, want := range []string{"Placement match-1 in queue arena: PENDING", "What would work:", "a destination with an ACTIVE location"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %q lacks %q: %s", code, out, want, errs)
		}
	}
	code, out, _ = do(t, nil, "explain", "placement", "match-1", "--json", "--admin", admin)
	var e map[string]any
	if err := json.Unmarshal([]byte(out), &e); code != 0 || err != nil || e["Status"] != "PENDING" {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
	code, _, errs = do(t, nil, "explain", "placement", "nobody", "--admin", admin)
	if code != 1 || !strings.Contains(errs, "placement nobody does not exist") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.log)
	}
	code, _, errs = do(t, nil, "explain", "placement", "match-1", "--admin", admin)
	if code != 1 || !strings.Contains(errs, "refused") {
		t.Errorf("without a server: exit code %d: %s", code, errs)
	}
}
