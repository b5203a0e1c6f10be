package matchmaking_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// What becomes of tickets and matches is counted, and those that wait are known.
func TestTicketsAndMatchesAreCounted(t *testing.T) {
	clock := storetest.NewClock()
	counts := map[string]float64{}
	db, err := store.Open(t.Context(), "sqlite::memory:", store.Options{Now: clock.Now, Counted: func(series string, value float64, labels []string) {
		counts[strings.TrimPrefix(series, "gamelift_")+" "+strings.Join(labels, " ")] += value
	}})
	expect.OK(t, err)
	defer func() { expect.OK(t, db.Close()) }()
	h := &house{Service: build(db), t: t, clock: clock}
	h.matchmaker("duo", duo, accepting)
	h.start(skilled(ask("t1", "duo", "ann"), 12), skilled(ask("t2", "duo", "bob"), 15), skilled(ask("t3", "duo", "eve"), 90), skilled(ask("t4", "duo", "fay"), 200))
	h.clock.Advance(2 * time.Second)
	h.pass()
	var live []matchmaking.Live
	expect.OK(t, db.Read(t.Context(), func(tx *store.Tx) (err error) { live, err = h.LiveTx(tx); return err }))
	if len(live) != 1 || live[0] != (matchmaking.Live{Configuration: "duo", Tickets: 4}) {
		t.Errorf("live: %+v", live)
	}
	h.clock.Advance(3 * time.Second)
	expect.OK(t, h.accept("t1", types.AcceptanceTypeAccept, "ann"))
	expect.OK(t, h.accept("t2", types.AcceptanceTypeAccept, "bob"))
	expect.OK(t, h.stop("t3"))
	h.tick(time.Hour)
	expect.Same(t, "states", h.states("t1", "t2", "t3", "t4"), "COMPLETED COMPLETED CANCELLED TIMED_OUT")
	var got []string
	for _, series := range slices.Sorted(maps.Keys(counts)) {
		if !strings.HasPrefix(series, "rule_") {
			got = append(got, fmt.Sprint(series, " = ", counts[series]))
		}
	}
	want := []string{
		"matches_accepted_total duo = 1", "matches_created_total duo = 1", "matches_placed_total duo = 1", "players_started_total duo = 4",
		"tickets_started_total duo = 4", "tickets_timed_out_total duo = 1", "time_to_match_seconds duo = 4",
		"time_to_ticket_cancel_seconds duo = 5", "time_to_ticket_success_seconds duo = 10",
	}
	if !slices.Equal(got, want) {
		t.Errorf("counted\n%s", strings.Join(got, "\n"))
	}
	if counts["rule_evaluations_passed_total duo Close"] == 0 {
		t.Error("the rule's evaluations were not counted")
	}
}
