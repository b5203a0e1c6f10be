package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
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

func TestExplainTicket(t *testing.T) {
	r := start(t, nil, "dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ephemeral", "--clock", "manual")
	admin := r.find(` admin=http://(127\.0\.0\.1:\d+) `)
	c := client(r.find(`^ready (\S+)`), "any", "thing")
	rules := `{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 1}, {"name": "blue", "minPlayers": 1, "maxPlayers": 1}],
		"rules": [{"name": "near", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}],
		"expansions": [{"target": "rules[near].maxDistance", "steps": [{"waitTimeSeconds": 40, "value": 25}]}]}`
	if _, err := c.CreateMatchmakingRuleSet(t.Context(), &gamelift.CreateMatchmakingRuleSetInput{Name: new("duel"), RuleSetBody: &rules}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateMatchmakingConfiguration(t.Context(), &gamelift.CreateMatchmakingConfigurationInput{
		Name: new("duel"), RuleSetName: new("duel"), AcceptanceRequired: new(false), RequestTimeoutSeconds: new(int32(30)), FlexMatchMode: types.FlexMatchModeStandalone,
	}); err != nil {
		t.Fatal(err)
	}
	for player, skill := range map[string]float64{"ann": 10, "bob": 22.5} {
		if _, err := c.StartMatchmaking(t.Context(), &gamelift.StartMatchmakingInput{
			TicketId: &player, ConfigurationName: new("duel"),
			Players: []types.Player{{PlayerId: &player, PlayerAttributes: map[string]types.AttributeValue{"skill": {N: &skill}}}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := do(t, nil, "explain", "ticket", "ann", "--admin", admin)
	for end := time.Now().Add(30 * time.Second); !strings.Contains(out, "with bob") && time.Now().Before(end); { // a pass takes him in soon
		code, out, errs = do(t, nil, "explain", "ticket", "ann", "--admin", admin)
	}
	for _, want := range []string{
		"Ticket ann of configuration duel: ", "times out 30s after its start", "1 player\n", "the nearest match is with bob",
		"rule near fails: 12.5, should be <= 5", "What would work:", "rules[near].maxDistance of 12.5", "to wait until 40s after the start: rules[near].maxDistance becomes 25",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %q lacks %q: %s", code, out, want, errs)
		}
	}
	code, out, _ = do(t, nil, "explain", "ticket", "ann", "--json", "--admin", admin)
	var e struct {
		TicketID string
		Why      struct{ Rule string }
	}
	if err := json.Unmarshal([]byte(out), &e); code != 0 || err != nil || e.TicketID != "ann" || e.Why.Rule != "near" {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
	// One that has timed out is explained as it was then.
	advance, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+admin+"/clock/advance?d=30s", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(advance)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	code, out, errs = do(t, nil, "explain", "ticket", "ann", "--admin", admin)
	for _, want := range []string{"Ticket ann of configuration duel: TIMED_OUT after 30s", "Why it was not matched:", "rule near fails: 12.5, should be <= 5", "What would have worked:"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %q lacks %q: %s", code, out, want, errs)
		}
	}
	code, _, errs = do(t, nil, "explain", "ticket", "nobody", "--admin", admin)
	if code != 1 || !strings.Contains(errs, "ticket nobody does not exist") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.log)
	}
}
