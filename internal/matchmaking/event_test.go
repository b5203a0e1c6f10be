package matchmaking_test

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/expect"
)

var update = flag.Bool("update", false, "write testdata/events.txt anew")

// TestEventsGolden holds every event against testdata/events.txt, which has been compared
// with the shapes of flexmatch.md 3 member by member.
func TestEventsGolden(t *testing.T) {
	each(t, func(h *house) {
		h.arena()
		server := h.process()
		custom := func(in *gamelift.CreateMatchmakingConfigurationInput) {
			in.CustomEventData, in.NotificationTarget = new("season-4"), new("arn:aws:sns:us-west-2:123456789012:topic")
		}
		h.matchmaker("duo", duo, both(accepting, hosted, custom))
		h.start(ask("t1", "duo", "ann"))
		h.pass()
		h.clock.Advance(250 * time.Millisecond)
		h.start(ask("t2", "duo", "bob"))
		h.pass()
		expect.OK(t, h.accept("t2", yes, "bob"))
		expect.OK(t, h.accept("t1", no, "ann"))
		h.start(ask("t3", "duo", "cid"))
		h.pass()
		expect.OK(t, h.accept("t2", yes, "bob"))
		expect.OK(t, h.accept("t3", yes, "cid"))
		h.hostMatch(server)
		h.start(skilled(ask("t4", "duo", "dan"), 99))
		h.start(skilled(ask("t5", "duo", "eve"), 10))
		h.pass()
		expect.OK(t, h.stop("t4"))
		h.tick(time.Minute)

		var got strings.Builder
		for _, e := range h.raw() {
			got.WriteString(masked(e.Body) + "\n")
		}
		const golden = "testdata/events.txt"
		if *update {
			expect.OK(t, os.MkdirAll("testdata", 0o755))
			expect.OK(t, os.WriteFile(golden, []byte(got.String()), 0o644))
		}
		want, err := os.ReadFile(golden)
		expect.OK(t, err)
		if got.String() != string(want) {
			t.Errorf("got\n%s\nwant\n%s", got.String(), want)
		}
	})
}

// raw are the events of this room as they leave, in the order in which they happened.
func (h *house) raw() (list []event.Entry) {
	h.t.Helper()
	for {
		ready, err := h.Events.Ready(h.t.Context(), sink, 1000)
		expect.OK(h.t, err)
		if len(ready) == 0 {
			break
		}
		for _, e := range ready {
			expect.OK(h.t, h.Events.Done(h.t.Context(), e.Ref))
			if strings.Contains(e.Type, "Matchmaking") {
				list = append(list, e)
			}
		}
	}
	slices.SortFunc(list, func(a, b event.Entry) int { return int(a.Key - b.Key) })
	return list
}

// masked has stand-ins for what differs from run to run.
func masked(body string) string {
	for _, m := range []struct{ re, to string }{
		{`"id":"[0-9a-f-]{36}"`, `"id":"UUID"`},
		{`"matchId":"[0-9a-f-]{36}"`, `"matchId":"MATCH"`},
		{`psess-[0-9a-f-]{36}`, `psess-UUID`},
		{`fleet-[0-9a-f-]{36}/custom-east/[0-9a-f-]{36}`, `fleet-UUID/custom-east/MATCH`},
	} {
		body = regexp.MustCompile(m.re).ReplaceAllString(body, m.to)
	}
	return body
}

func TestEventsOfStandaloneMatchesHintALocation(t *testing.T) {
	each(t, func(h *house) {
		h.Config.LocationHint = true
		h.matchmaker("duo", duo, nil)
		for i, id := range []string{"ann", "bob"} {
			in := ask("t"+id, "duo", id)
			in.Players[0].LatencyInMs = map[string]int32{"us-west-2": int32(50 + i), "eu-west-1": 20}
			h.start(in)
		}
		h.pass()
		all := h.told()
		detail := all[len(all)-1]["detail"].(map[string]any)
		expect.Same(t, "type", detail["type"].(string), "MatchmakingSucceeded")
		expect.Same(t, "location", detail["gameSessionInfo"].(map[string]any)["location"].(string), "eu-west-1")
	})
}

// Where nobody wants events, none are made, and nothing else changes.
func TestWithoutReceivers(t *testing.T) {
	each(t, func(h *house) {
		h.Events.Route = func(_, _, _ string) []string { return nil }
		h.matchmaker("duo", duo, accepting)
		h.start(ask("t1", "duo", "ann"), ask("t2", "duo", "bob"))
		h.pass()
		expect.OK(t, h.accept("t1", yes, "ann"))
		expect.OK(t, h.accept("t2", yes, "bob"))
		expect.Same(t, "statuses", h.states("t1", "t2"), "COMPLETED COMPLETED")
		h.Events = nil
		h.start(ask("t3", "duo", "ann"))
		h.pass()
		expect.OK(t, h.stop("t3"))
	})
}
