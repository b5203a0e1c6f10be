package matchmaking_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

func TestTwoPlayersMeet(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		out, err := h.StartMatchmaking(t.Context(), skilled(ask("t1", "duo", "ann"), 12))
		expect.OK(t, err)
		got := out.MatchmakingTicket
		expect.Same(t, "status at first", got.Status, types.MatchmakingConfigurationStatusQueued)
		expect.Same(t, "configuration", *got.ConfigurationArn, "arn:aws:gamelift:us-west-2:123456789012:matchmakingconfiguration/duo")
		expect.Same(t, "members", expect.Members(got), "ConfigurationArn ConfigurationName Players StartTime Status TicketId")
		h.pass()
		expect.Same(t, "alone", h.states("t1"), "SEARCHING")
		expect.Same(t, "events", h.news(), "Searching(t1)")

		h.clock.Advance(3 * time.Second)
		h.start(skilled(ask("t2", "duo", "bob"), 15), skilled(ask("t3", "duo", "eve"), 50))
		h.pass()
		expect.Same(t, "after the pass", h.states("t1", "t2", "t3"), "COMPLETED COMPLETED SEARCHING")
		expect.Same(t, "events", h.news(), "Searching(t2) PotentialMatchCreated(t1 t2) Succeeded(t1 t2) Searching(t3)")
		done := h.ticket("t1")
		expect.Same(t, "members", expect.Members(done), "ConfigurationArn ConfigurationName EndTime Players StartTime Status TicketId")
		expect.Same(t, "end", done.EndTime.Sub(*done.StartTime), 3*time.Second)
		teams := *done.Players[0].Team + " " + *h.ticket("t2").Players[0].Team
		if teams != "red blue" && teams != "blue red" {
			t.Errorf("teams: got %s", teams)
		}
		expect.Same(t, "attributes", *done.Players[0].PlayerAttributes["skill"].N, 12)
	})
}

func TestAPlayerIsInOneTicket(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		h.start(ask("t1", "duo", "ann", "bob"))
		h.pass()
		h.start(ask("t2", "duo", "bob"))
		expect.Same(t, "the older one", h.why("t1"), "CANCELLED | Cancelled due to duplicate player | Cancelled due to duplicate player")
		h.start(ask("t3", "duo", "ann"))
		h.pass()
		expect.Same(t, "the newer ones", h.states("t2", "t3"), "COMPLETED COMPLETED")
		if news := h.news(); strings.Contains(news, "Cancelled") {
			t.Errorf("events: got %s, want no word of the cancelled one", news)
		}
	})
}

func TestManyCallersOfOnePlayer(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		failed := make(chan error, 20)
		for i := range 20 {
			go func() {
				_, err := h.StartMatchmaking(t.Context(), ask("t"+string(rune('a'+i)), "duo", "ann"))
				failed <- err
			}()
		}
		for range 20 {
			expect.OK(t, <-failed)
		}
		h.pass()
		live := 0
		for i := range 20 {
			switch st := h.states("t" + string(rune('a'+i))); st {
			case "SEARCHING":
				live++
			case "CANCELLED":
			default:
				t.Errorf("status: got %s", st)
			}
		}
		expect.Same(t, "tickets that search on", live, 1)
	})
}

func TestRefusedRequests(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		h.start(ask("t1", "duo", "ann"))
		long := make([]string, 101)
		for i := range long {
			long[i] = strings.Repeat("x", i+1)
		}
		for _, c := range []struct {
			what   string
			change func(in *gamelift.StartMatchmakingInput)
			code   string
			words  []string
		}{
			{"a used id", func(in *gamelift.StartMatchmakingInput) { in.TicketId = new("t1") }, invalid, []string{"TicketId", "t1"}},
			{"an unknown configuration", func(in *gamelift.StartMatchmakingInput) { in.ConfigurationName = new("nope") }, missing, []string{"ConfigurationName", "nope"}},
			{"no players", func(in *gamelift.StartMatchmakingInput) { in.Players = nil }, invalid, []string{"Players"}},
			{"eleven players", func(in *gamelift.StartMatchmakingInput) {
				*in = *ask("t2", "duo", strings.Split("a b c d e f g h i j k", " ")...)
			}, invalid, []string{"Players", "11"}},
			{"a player twice", func(in *gamelift.StartMatchmakingInput) { *in = *ask("t2", "duo", "bob", "bob") }, invalid, []string{"Players[1].PlayerId", "bob"}},
			{"a player without id", func(in *gamelift.StartMatchmakingInput) { in.Players[0].PlayerId = nil }, invalid, []string{"Players[0].PlayerId"}},
			{"an attribute of another type", func(in *gamelift.StartMatchmakingInput) {
				in.Players[0].PlayerAttributes = map[string]types.AttributeValue{"skill": {S: new("high")}}
			}, invalid, []string{"skill"}},
			{"an attribute of two types", func(in *gamelift.StartMatchmakingInput) {
				in.Players[0].PlayerAttributes = map[string]types.AttributeValue{"skill": {S: new("high"), N: new(3.0)}}
			}, invalid, []string{"Players[0].PlayerAttributes.skill"}},
			{"a long list", func(in *gamelift.StartMatchmakingInput) {
				in.Players[0].PlayerAttributes = map[string]types.AttributeValue{"maps": {SL: long}}
			}, invalid, []string{"Players[0].PlayerAttributes.maps"}},
		} {
			in := ask("t2", "duo", "bob")
			c.change(in)
			_, err := h.StartMatchmaking(t.Context(), in)
			expect.Refused(t, c.what, err, c.code, c.words...)
		}
		// What the rule set does not declare is passed over.
		in := ask("t2", "duo", "bob")
		in.Players[0].PlayerAttributes = map[string]types.AttributeValue{"colour": {S: new("blue")}}
		h.start(in)
		expect.Refused(t, "accept what is not there", h.accept("nope", types.AcceptanceTypeAccept, "ann"), missing, "nope")
		expect.Refused(t, "accept what searches", h.accept("t1", types.AcceptanceTypeAccept, "ann"), invalid, "QUEUED")
		expect.Refused(t, "stop what is not there", h.stop("nope"), missing, "nope")
	})
}

func TestStopMatchmaking(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		h.start(ask("t1", "duo", "ann"))
		h.pass()
		expect.OK(t, h.stop("t1"))
		expect.Same(t, "status", h.why("t1"), "CANCELLED | Cancelled | Cancelled by request.")
		expect.Same(t, "events", h.news(), "Searching(t1) Cancelled(t1)")
		h.start(ask("t2", "duo", "bob"))
		h.pass()
		expect.Same(t, "nobody to meet", h.states("t2"), "SEARCHING")
		err := h.stop("t1")
		expect.Refused(t, "stop again", err, invalid, "Matchmaking ticket is in CANCELLED status and cannot be canceled.")
		// The id stays used for a day.
		_, err = h.StartMatchmaking(t.Context(), ask("t1", "duo", "ann"))
		expect.Refused(t, "the id again", err, invalid, "t1")
		h.tick(24*time.Hour + time.Minute)
		h.start(ask("t1", "duo", "ann"))
		out, err := h.DescribeMatchmaking(t.Context(), &gamelift.DescribeMatchmakingInput{TicketIds: []string{"t1", "nope"}})
		expect.OK(t, err)
		expect.Same(t, "described", len(out.TicketList), 1)
	})
}

func TestTicketsTimeOut(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		h.start(skilled(ask("t1", "duo", "ann"), 10))
		h.tick(20 * time.Second)
		h.start(skilled(ask("t2", "duo", "bob"), 90))
		h.pass()
		e, err := h.Explain(t.Context(), "t1")
		expect.OK(t, err)
		if e.Why == nil || e.Why.Rule != "Close" || e.Why.Measure.Measured != 80 {
			t.Errorf("explanation of one who waits: %+v", e.Why)
		}
		due, ok, err := h.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", ok && due.Equal(h.clock.Now().Add(20*time.Second)), true) // t2's step
		h.tick(39 * time.Second)
		expect.Same(t, "before", h.states("t1"), "SEARCHING")
		h.tick(time.Second)
		expect.Same(t, "after", h.why("t1"), "TIMED_OUT | TimedOut | Removed from matchmaking due to timing out.")
		expect.Same(t, "the other", h.states("t2"), "SEARCHING")
		e, err = h.Explain(t.Context(), "t1")
		expect.OK(t, err)
		if e.Why == nil || e.Why.Rule != "Close" || e.Why.Measure.Limit != 50 || e.Text == "" {
			t.Errorf("explanation of one who timed out: %+v %q", e.Why, e.Text)
		}
		_, err = h.Explain(t.Context(), "nope")
		expect.Refused(t, "explain nothing", err, missing, "nope")
	})
}

// Nobody has the pool: another node is dead, and this one has not looked yet.
func TestTheSweepEndsWhatNoPoolEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		h := &house{Service: build(db), t: t, clock: clock}
		h.matchmaker("duo", duo, nil)
		h.start(ask("t1", "duo", "ann"))
		clock.Advance(2 * time.Minute)
		expect.OK(t, h.Tick(t.Context(), clock.Now()))
		expect.Same(t, "status", h.states("t1"), "TIMED_OUT")
		expect.Same(t, "events", h.news(), "Searching(t1) TimedOut(t1)")
	})
}

func TestExpansionsComeInTime(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		h.start(skilled(ask("t1", "duo", "ann"), 10), skilled(ask("t2", "duo", "bob"), 45))
		h.pass()
		expect.Same(t, "too far", h.states("t1", "t2"), "SEARCHING SEARCHING")
		due, ok, err := h.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", ok && due.Equal(h.clock.Now().Add(20*time.Second)), true)
		h.tick(20 * time.Second)
		expect.Same(t, "after the step", h.states("t1", "t2"), "COMPLETED COMPLETED")
	})
}

func TestEstimatedWait(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		for i := range 5 {
			a, b := "a"+string(rune('0'+i)), "b"+string(rune('0'+i))
			h.start(ask(a, "duo", a))
			h.pass()
			if h.ticket(a).EstimatedWaitTime != nil {
				t.Errorf("an estimate from %d tickets", 2*i)
			}
			h.clock.Advance(8 * time.Second)
			h.start(ask(b, "duo", b))
			h.pass()
		}
		h.start(ask("t1", "duo", "ann"))
		h.pass()
		if w := h.ticket("t1").EstimatedWaitTime; w == nil || *w != 4 {
			t.Errorf("estimate: got %v, want 4 s, the mean of 0 and 8", w)
		}
		h.clock.Advance(6 * time.Minute)
		h.start(ask("t2", "duo", "cid"))
		if h.ticket("t2").EstimatedWaitTime != nil {
			t.Errorf("an estimate from tickets of long ago")
		}
	})
}

func TestPoolsSurviveARestart(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		h.start(ask("t1", "duo", "ann"))
		h.pass()
		h.start(ask("t2", "duo", "cid", "dan")) // never looked at before the restart
		expect.OK(t, h.Release(t.Context()))
		again := &house{Service: build(h.DB), t: t, clock: h.clock}
		again.start(ask("t3", "duo", "bob"))
		again.pass()
		expect.Same(t, "statuses", again.states("t1", "t2", "t3"), "COMPLETED SEARCHING COMPLETED")
	})
}

func TestConfigurationsChange(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		h.rules("any", `{"ruleLanguageVersion":"1.0","teams":[{"name":"all","minPlayers":2,"maxPlayers":2}]}`)
		h.start(skilled(ask("t1", "duo", "ann"), 10), skilled(ask("t2", "duo", "bob"), 99))
		h.pass()
		_, err := h.DeleteMatchmakingConfiguration(t.Context(), &gamelift.DeleteMatchmakingConfigurationInput{Name: new("duo")})
		expect.Refused(t, "delete with tickets", err, invalid, "duo")
		_, err = h.UpdateMatchmakingConfiguration(t.Context(), &gamelift.UpdateMatchmakingConfigurationInput{Name: new("duo"), RuleSetName: new("any")})
		expect.OK(t, err)
		h.pass()
		expect.Same(t, "by the new rules", h.states("t1", "t2"), "COMPLETED COMPLETED")
		_, err = h.DeleteMatchmakingConfiguration(t.Context(), &gamelift.DeleteMatchmakingConfigurationInput{Name: new("duo")})
		expect.OK(t, err)
		h.pass()
		expect.Same(t, "still shown", *h.ticket("t1").ConfigurationName, "duo")
		expect.Refused(t, "stop one of a configuration that is gone", h.stop("t1"), invalid, "COMPLETED")
	})
}

// A ticket that was taken from under a pool keeps no other from its match.
func TestGhostsInAPool(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		h.start(ask("t1", "duo", "ann"))
		h.pass()
		expect.OK(t, h.DB.Write(t.Context(), func(tx *store.Tx) error { // as another node, whose notification was lost
			_, err := tx.Exec(`UPDATE matchmaking_ticket SET status = 8, deadline = NULL, ended_at = $1 WHERE id = 't1'`, tx.NowMs())
			if err == nil {
				_, err = tx.Exec(`DELETE FROM matchmaking_player`)
			}
			return err
		}))
		h.start(ask("t2", "duo", "bob"), ask("t3", "duo", "cid"))
		h.pass()
		expect.Same(t, "statuses", h.states("t1", "t2", "t3"), "CANCELLED COMPLETED COMPLETED")
	})
}

// Many that time out at once in a large pool are not all looked into: the rest has its rules'
// evaluations.
func TestManyTimeOutAtOnce(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		for i := range 400 {
			id := fmt.Sprintf("t%d", i)
			h.start(skilled(ask(id, "duo", id), float64(100*i)))
		}
		h.tick(0)
		h.tick(61 * time.Second)
		looked := 0
		for i := range 400 {
			e, err := h.Explain(t.Context(), fmt.Sprintf("t%d", i))
			expect.OK(t, err)
			expect.Same(t, "status", e.Status, "TIMED_OUT")
			if e.Why != nil {
				looked++
			}
			if len(e.Rules) != 1 || e.Text == "" {
				t.Fatalf("explanation %+v", e)
			}
		}
		if looked < 200 || looked == 400 {
			t.Errorf("looked into: %d of 400", looked)
		}
	})
}
