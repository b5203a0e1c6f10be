package placement_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// What becomes of placements is counted when it is committed, and once.
func TestOutcomesAreCounted(t *testing.T) {
	for _, url := range []func(testing.TB) string{func(testing.TB) string { return "sqlite::memory:" }, storetest.PostgresURL} {
		clock := storetest.NewClock()
		counts := map[string]float64{}
		db, err := store.Open(t.Context(), url(t), store.Options{Now: clock.Now, Counted: func(series string, value float64, labels []string) {
			counts[strings.TrimPrefix(series, "gamelift_")+" "+strings.Join(labels, " ")] += value
		}})
		expect.OK(t, err)
		r := furnish(t, db, clock)
		cheap, dear := r.newFleet("0.1", east), r.newFleet("0.2", east)
		r.queue("arena", nil, cheap, dear)
		r.process(dear, east)
		r.start(asks("second-best", "arena"))
		r.activate("second-best")
		for _, id := range []string{"stopped", "late"} {
			r.start(asks(id, "arena"))
		}
		var pending []placement.Pending
		r.clock.Advance(10 * time.Second)
		expect.OK(t, r.DB.Read(t.Context(), func(tx *store.Tx) (err error) { pending, err = r.PendingTx(tx); return err }))
		if len(pending) != 1 || pending[0] != (placement.Pending{Queue: "arena", Count: 2, MeanAge: 10 * time.Second}) {
			t.Errorf("pending: %+v", pending)
		}
		expect.OK(t, r.stop("stopped"))
		r.tick(time.Hour)
		var got []string
		for _, series := range slices.Sorted(maps.Keys(counts)) {
			if strings.HasPrefix(series, "server_") {
				continue // the compute room's
			}
			got = append(got, fmt.Sprint(series, " = ", counts[series]))
		}
		want := []string{
			"first_choice_out_of_capacity_total arena = 1",
			"placement_total arena custom-east = 1",
			"placement_wait_seconds arena = 0",
			"placements_canceled_total arena = 1",
			"placements_started_total arena = 3",
			"placements_succeeded_total arena = 1",
			"placements_timed_out_total arena = 1",
		}
		if !slices.Equal(got, want) {
			t.Errorf("counted\n%s", strings.Join(got, "\n"))
		}
		expect.OK(t, db.Close())
	}
}
