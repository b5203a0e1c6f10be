package matchmaking_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	yes = types.AcceptanceTypeAccept
	no  = types.AcceptanceTypeReject
)

// proposed starts two tickets that are proposed a match; ann and amy are a party.
func proposed(h *house) {
	h.t.Helper()
	h.matchmaker("trio", `{"ruleLanguageVersion":"1.0","teams":[{"name":"all","minPlayers":3,"maxPlayers":3}]}`, accepting)
	h.start(ask("t1", "trio", "ann", "amy"), ask("t2", "trio", "bob"))
	h.pass()
	expect.Same(h.t, "proposed", h.states("t1", "t2"), "REQUIRES_ACCEPTANCE REQUIRES_ACCEPTANCE")
	expect.Same(h.t, "events", h.news(), "Searching(t1) Searching(t2) PotentialMatchCreated(t1 t2)")
}

func TestAllAccept(t *testing.T) {
	each(t, func(h *house) {
		proposed(h)
		expect.Refused(t, "for a stranger", h.accept("t2", yes, "ann"), invalid, "PlayerIds[0]", "ann")
		expect.OK(t, h.accept("t1", yes, "ann"))
		expect.OK(t, h.accept("t1", yes, "ann"))
		expect.OK(t, h.accept("t2", yes, "bob"))
		expect.Same(t, "one is missing", h.states("t1", "t2"), "REQUIRES_ACCEPTANCE REQUIRES_ACCEPTANCE")
		expect.OK(t, h.accept("t1", yes, "amy"))
		expect.Same(t, "all", h.states("t1", "t2"), "COMPLETED COMPLETED")
		expect.Same(t, "events", h.news(), "AcceptMatch(t1 t2) AcceptMatch(t1 t2) AcceptMatch(t1 t2) AcceptMatch(t1 t2) AcceptMatchCompleted:Accepted(t1 t2) Succeeded(t1 t2)")
		expect.Refused(t, "too late", h.accept("t1", no, "amy"), invalid, "COMPLETED")
	})
}

func TestAnAcceptanceIsTakenBack(t *testing.T) {
	each(t, func(h *house) {
		proposed(h)
		expect.OK(t, h.accept("t1", yes, "ann", "amy"))
		expect.OK(t, h.accept("t1", no, "amy"))
		expect.Same(t, "who rejected", h.why("t1"), "CANCELLED | AcceptanceRejected | The proposed match was rejected.")
		expect.Same(t, "who was silent", h.states("t2"), "CANCELLED")
		expect.Same(t, "events", h.news(), "AcceptMatch(t1 t2) AcceptMatch(t1 t2) AcceptMatchCompleted:Rejected(t1 t2) Cancelled(t1) Cancelled(t2)")
	})
}

func TestTheSilentSearchOnByTheSwitch(t *testing.T) {
	each(t, func(h *house) {
		h.Config.SilentSearchOn = true
		proposed(h)
		expect.OK(t, h.accept("t1", no, "amy"))
		expect.Same(t, "statuses", h.states("t1", "t2"), "CANCELLED SEARCHING")
	})
}

func TestWhoAcceptedSearchesOn(t *testing.T) {
	each(t, func(h *house) {
		proposed(h)
		start := *h.ticket("t1").StartTime
		expect.OK(t, h.accept("t1", yes, "ann", "amy"))
		h.tick(29 * time.Second)
		expect.Same(t, "before the timeout", h.states("t1", "t2"), "REQUIRES_ACCEPTANCE REQUIRES_ACCEPTANCE")
		h.clock.Advance(time.Second)
		expect.Refused(t, "at the timeout", h.accept("t2", yes, "bob"), invalid, "t2")
		h.tick(0)
		expect.Same(t, "who accepted", h.states("t1"), "SEARCHING")
		expect.Same(t, "who was silent", h.why("t2"), "CANCELLED | AcceptanceTimedOut | The proposed match was not accepted in time.")
		expect.Same(t, "events", h.news(), "AcceptMatch(t1 t2) AcceptMatchCompleted:TimedOut(t1 t2) Searching(t1) Cancelled(t2)")
		h.start(ask("t3", "trio", "cid"))
		h.pass()
		expect.Same(t, "matched again", h.states("t1", "t3"), "REQUIRES_ACCEPTANCE REQUIRES_ACCEPTANCE")
		expect.Same(t, "start time", h.ticket("t1").StartTime.Equal(start), true)
		// Its request timeout has come by the time this one fails, too: 60 s.
		expect.OK(t, h.accept("t1", yes, "ann", "amy"))
		h.tick(30 * time.Second)
		expect.Same(t, "too old to search on", h.states("t1", "t3"), "TIMED_OUT CANCELLED")
	})
}

func TestStopInAProposal(t *testing.T) {
	each(t, func(h *house) {
		proposed(h)
		expect.OK(t, h.stop("t1"))
		expect.Same(t, "statuses", h.states("t1", "t2"), "CANCELLED SEARCHING")
		expect.Same(t, "events", h.news(), "Cancelled(t1) AcceptMatchCompleted:Rejected(t1 t2) Searching(t2)")
		h.start(ask("t3", "trio", "ann", "amy"))
		h.pass()
		expect.Same(t, "matched again", h.states("t2", "t3"), "REQUIRES_ACCEPTANCE REQUIRES_ACCEPTANCE")
	})
}

func TestANewTicketEndsTheProposal(t *testing.T) {
	each(t, func(h *house) {
		proposed(h)
		h.start(ask("t3", "trio", "ann", "bob")) // a player of each
		expect.Same(t, "older ones", h.states("t1", "t2"), "CANCELLED CANCELLED")
		h.start(ask("t4", "trio", "amy"))
		h.pass()
		expect.Same(t, "newer ones", h.states("t3", "t4"), "REQUIRES_ACCEPTANCE REQUIRES_ACCEPTANCE")
	})
}

// All that can happen to a proposal happens at once.
func TestCrossfireAtAProposal(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, accepting)
		ctx := t.Context()
		for round := range 6 {
			id := func(n string) string { return n + string(rune('a'+round)) }
			h.start(ask(id("t1"), "duo", id("ann")), ask(id("t2"), "duo", id("bob")))
			h.pass()
			h.clock.Advance(30 * time.Second)
			var all sync.WaitGroup
			for _, f := range []func(){
				func() { _ = h.accept(id("t1"), yes, id("ann")) },
				func() { _ = h.accept(id("t2"), yes, id("bob")) },
				func() { _ = h.accept(id("t2"), no, id("bob")) },
				func() { _, _ = h.ExpireMatches(ctx) },
				func() { _ = h.stop(id("t1")) },
				func() { _, _ = h.StartMatchmaking(ctx, ask(id("t3"), "duo", id("bob"))) },
				func() { _ = h.Tick(ctx, h.clock.Now()) },
			} {
				all.Go(f)
			}
			all.Wait()
			h.pass()
			h.checkRows()
			for _, n := range []string{"t1", "t2", "t3"} {
				_ = h.stop(id(n))
			}
		}
	})
}

// A ticket is stopped while a pass matches it: it is one or the other.
func TestStopAgainstMatch(t *testing.T) {
	each(t, func(h *house) {
		h.matchmaker("duo", duo, nil)
		for round := range 8 {
			id := func(n string) string { return n + string(rune('a'+round)) }
			h.start(ask(id("t1"), "duo", id("ann")), ask(id("t2"), "duo", id("bob")))
			var all sync.WaitGroup
			var err error
			all.Go(func() { err = h.stop(id("t1")) })
			all.Go(func() { _ = h.Tick(t.Context(), h.clock.Now()) })
			all.Wait()
			h.pass()
			switch states := h.states(id("t1"), id("t2")); {
			case err == nil && states == "CANCELLED SEARCHING":
				expect.OK(t, h.stop(id("t2")))
			case err != nil && states == "COMPLETED COMPLETED":
			default:
				t.Fatalf("stop: %v, and then %s", err, states)
			}
		}
	})
}

// Two nodes believe that the pool is theirs: each ticket is matched once all the same.
func TestTwoNodesOfOnePool(t *testing.T) {
	pair(t, func(h, other *house) {
		h.matchmaker("duo", duo, nil)
		for i := range 40 {
			h.start(ask("t"+string(rune('A'+i)), "duo", "p"+string(rune('A'+i))))
		}
		keys, err := h.Look(t.Context())
		expect.OK(t, err)
		expect.Same(t, "pools of the first", len(keys), 1)
		none, err := other.Look(t.Context())
		expect.OK(t, err)
		expect.Same(t, "pools of the second", len(none), 0)
		// The lease runs out while the first is away, and it comes back without noticing.
		expect.OK(t, h.DB.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM lease WHERE name LIKE 'matchmaking/%'`)
			return err
		}))
		none, err = other.Look(t.Context())
		expect.OK(t, err)
		expect.Same(t, "pools of the second now", len(none), 1)
		var all sync.WaitGroup
		for _, s := range []*house{h, other} {
			all.Go(func() {
				for range 3 {
					if _, err := s.Pass(t.Context(), keys[0]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		_, err = other.Pass(t.Context(), keys[0])
		expect.OK(t, err)
		for i := range 40 {
			expect.Same(t, "status", h.states("t"+string(rune('A'+i))), "COMPLETED")
		}
		succeeded := map[string]int{}
		for _, e := range h.told() {
			d := e["detail"].(map[string]any)
			if d["type"] != "MatchmakingSucceeded" {
				continue
			}
			for _, one := range d["tickets"].([]any) {
				succeeded[one.(map[string]any)["ticketId"].(string)]++
			}
		}
		for id, n := range succeeded {
			expect.Same(t, "matches of "+id, n, 1)
		}
		expect.Same(t, "tickets in matches", len(succeeded), 40)
	})
}

// A ticket that comes in at one node is matched by the one that has the pool.
func TestTicketsOfAnotherNode(t *testing.T) {
	pair(t, func(h, other *house) {
		h.matchmaker("duo", duo, nil)
		h.start(ask("t1", "duo", "ann"))
		h.pass()
		woken := make(chan store.Key, 10)
		h.Wake = func(key store.Key) {
			select {
			case woken <- key:
			default:
			}
		}
		other.start(ask("t2", "duo", "bob"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for h.states("t1") != "COMPLETED" {
			select {
			case key := <-woken:
				_, err := h.Pass(ctx, key)
				expect.OK(t, err)
			case <-ctx.Done():
				t.Fatal("the node that has the pool was not woken")
			}
		}
		// Takeover: what the first node had is given up, and the other has it at once.
		h.start(ask("t3", "duo", "cid"))
		expect.OK(t, h.Release(t.Context()))
		other.start(ask("t4", "duo", "dan"))
		other.pass()
		expect.Same(t, "after the takeover", other.states("t3", "t4"), "COMPLETED COMPLETED")
		_, err := other.StopMatchmaking(t.Context(), &gamelift.StopMatchmakingInput{TicketId: new("t4")})
		expect.Refused(t, "stop", err, invalid, "COMPLETED")
	})
}
