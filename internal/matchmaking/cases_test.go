package matchmaking_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/expect"
)

// written is a written case, as package evalcase runs it without a room.
type written struct {
	Kind   string
	Config struct {
		AcceptanceRequired                              bool
		AcceptanceTimeoutSeconds, RequestTimeoutSeconds int32
	}
	RuleSet json.RawMessage
	Tickets []struct {
		TicketID string `json:"ticketId"`
		At       int
		Backfill bool
		Players  []struct {
			PlayerID    string `json:"playerId"`
			Attributes  map[string]types.AttributeValue
			LatencyInMs map[string]int32
			Team        string
		}
	}
	Now     []int
	Actions []struct {
		At        int
		Op        string
		TicketID  string   `json:"ticketId"`
		PlayerIDs []string `json:"playerIds"`
		Type      types.AcceptanceType
	}
	Expect struct {
		Matches []struct {
			At        int
			Tickets   []string
			Teams     map[string][]string
			TeamSizes map[string]int
		}
		Unmatched       []string
		Statuses        []map[string]any
		EventTypes      []string
		ForbiddenEvents []struct {
			Type     string
			TicketID string `json:"ticketId"`
		}
		ReasonContains map[string]string
	}
}

// TestCasesThroughTheRoom runs the written cases that package evalcase runs with the engine
// alone: with a stepped clock, through the operations.
func TestCasesThroughTheRoom(t *testing.T) {
	files, err := filepath.Glob("../flexmatch/evalcase/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		expect.OK(t, err)
		var c written
		if err := json.Unmarshal(body, &c); err != nil || c.Kind != "match" && c.Kind != "lifecycle" {
			continue // expressions and validations are the engine's alone
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			each(t, func(h *house) { c.run(h) })
		})
	}
}

func (c *written) run(h *house) {
	t := h.t
	h.matchmaker("case", string(c.RuleSet), func(in *gamelift.CreateMatchmakingConfigurationInput) {
		in.RequestTimeoutSeconds = new(max(c.Config.RequestTimeoutSeconds, 1))
		if c.Config.RequestTimeoutSeconds == 0 {
			in.RequestTimeoutSeconds = new(int32(43_200))
		}
		if c.Config.AcceptanceRequired {
			in.AcceptanceRequired, in.AcceptanceTimeoutSeconds = new(true), new(c.Config.AcceptanceTimeoutSeconds)
		}
	})
	zero := h.clock.Now()
	for at := range c.last() + 1 {
		h.clock.Advance(zero.Add(time.Duration(at) * time.Second).Sub(h.clock.Now()))
		_, err := h.ExpireMatches(t.Context())
		expect.OK(t, err)
		c.startAt(h, at)
		for _, a := range c.Actions {
			switch {
			case a.At != at:
			case a.Op == "AcceptMatch":
				expect.OK(t, h.accept(a.TicketID, a.Type, a.PlayerIDs...))
			default:
				expect.OK(t, h.stop(a.TicketID))
			}
		}
		if slices.Contains(c.Now, at) {
			h.pass()
		}
		for _, want := range c.Expect.Statuses {
			if int(want["at"].(float64)) != at {
				continue
			}
			for id, status := range want {
				if id != "at" {
					expect.Same(t, id+" at "+time.Duration(at*int(time.Second)).String(), h.states(id), status.(string))
				}
			}
		}
	}
	c.check(h, zero)
}

func (c *written) last() int {
	last := slices.Max(c.Now)
	for _, a := range c.Actions {
		last = max(last, a.At)
	}
	for _, s := range c.Expect.Statuses {
		last = max(last, int(s["at"].(float64)))
	}
	return last
}

func (c *written) startAt(h *house, at int) {
	for _, one := range c.Tickets {
		if one.At != at {
			continue
		}
		var list []types.Player
		for _, p := range one.Players {
			pl := types.Player{PlayerId: &p.PlayerID, PlayerAttributes: p.Attributes, LatencyInMs: p.LatencyInMs}
			if one.Backfill {
				pl.Team = &p.Team
			}
			list = append(list, pl)
		}
		var err error
		if one.Backfill {
			_, err = h.StartMatchBackfill(h.t.Context(), &gamelift.StartMatchBackfillInput{TicketId: &one.TicketID, ConfigurationName: new("case"), Players: list})
		} else {
			_, err = h.StartMatchmaking(h.t.Context(), &gamelift.StartMatchmakingInput{TicketId: &one.TicketID, ConfigurationName: new("case"), Players: list})
		}
		if len(list) > 10 && !one.Backfill {
			expect.Refused(h.t, "a large party", err, invalid, "Players")
			continue
		}
		expect.OK(h.t, err)
	}
}

func (c *written) check(h *house, zero time.Time) {
	t := h.t
	var kinds []string
	made := map[string]map[string]any{} // by sorted tickets
	for _, e := range h.told() {
		d := e["detail"].(map[string]any)
		kinds = append(kinds, d["type"].(string))
		ids := idsOf(d)
		for _, f := range c.Expect.ForbiddenEvents {
			if f.Type == d["type"] && slices.Contains(ids, f.TicketID) {
				t.Errorf("forbidden event %s of %s", f.Type, f.TicketID)
			}
		}
		if d["type"] == "MatchmakingSucceeded" {
			slices.Sort(ids)
			d["time"] = e["time"]
			made[strings.Join(ids, " ")] = d
		}
	}
	expect.Same(t, "matches", len(made), len(c.Expect.Matches))
	for _, want := range c.Expect.Matches {
		ids := slices.Sorted(slices.Values(want.Tickets))
		d := made[strings.Join(ids, " ")]
		if d == nil {
			t.Errorf("match %v: not made; made were %v", ids, slices.Collect(maps.Keys(made)))
			continue
		}
		expect.Same(t, "time of the match", d["time"].(string), zero.Add(time.Duration(want.At)*time.Second).UTC().Format("2006-01-02T15:04:05.000Z"))
		teams := map[string][]string{}
		for _, p := range d["gameSessionInfo"].(map[string]any)["players"].([]any) {
			p := p.(map[string]any)
			teams[p["team"].(string)] = append(teams[p["team"].(string)], p["playerId"].(string))
		}
		for name, members := range want.Teams {
			slices.Sort(members)
			slices.Sort(teams[name])
			expect.Same(t, "team "+name, strings.Join(teams[name], " "), strings.Join(members, " "))
		}
		for name, n := range want.TeamSizes {
			expect.Same(t, "players of "+name, len(teams[name]), n)
		}
	}
	for _, id := range c.Expect.Unmatched {
		expect.Same(t, "unmatched "+id, h.states(id), "SEARCHING")
	}
	for id, words := range c.Expect.ReasonContains {
		if !strings.Contains(h.why(id), words) {
			t.Errorf("%s: %s lacks %q", id, h.why(id), words)
		}
	}
	for _, kind := range c.Expect.EventTypes {
		i := slices.Index(kinds, kind)
		if i < 0 {
			t.Errorf("no event %s in its place; got %v", kind, kinds)
			break
		}
		kinds = kinds[i+1:]
	}
}

func idsOf(detail map[string]any) (ids []string) {
	for _, one := range detail["tickets"].([]any) {
		ids = append(ids, one.(map[string]any)["ticketId"].(string))
	}
	return ids
}
