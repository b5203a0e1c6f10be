package placement_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/store"
)

// A placement that waits counts for the one place that is best for it.
func TestDepthOfTheBestPlace(t *testing.T) {
	each(t, func(r *rooms) {
		cheap, dear := r.newFleet("0.1", east, west), r.newFleet("0.2", east)
		r.queue("arena", nil, cheap, dear)
		r.queue("other", nil, dear)
		born := r.clock.Now()
		r.start(asks("a", "arena"))
		r.clock.Advance(time.Second)
		r.start(asks("b", "arena"))
		r.start(asks("c", "other"))
		r.pass()
		depths := func(fleet string) (d map[arn.Location]placement.Depth) {
			t.Helper()
			expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) error {
				f, err := r.Fleets.GetTx(tx, arn.FleetID(fleet))
				if err != nil {
					return err
				}
				d, err = r.DepthTx(tx, f)
				return err
			}))
			return d
		}
		c, d := depths(cheap), depths(dear)
		if len(c) != 1 || c[east].Waiting != 2 || !c[east].Oldest.Equal(born) {
			r.t.Errorf("for the cheap fleet: %v", c)
		}
		if len(d) != 1 || d[east].Waiting != 1 || !d[east].Oldest.Equal(born.Add(time.Second)) {
			r.t.Errorf("for the dear fleet: %v", d)
		}
		r.process(dear, east)
		r.pass()
		if d := depths(dear); len(d) > 1 || d[east].Waiting > 1 {
			r.t.Errorf("after one was placed: %v", d)
		}
		for _, id := range []string{"a", "b", "c"} {
			if r.state(id) == "PENDING" {
				_, err := r.StopGameSessionPlacement(r.t.Context(), &gamelift.StopGameSessionPlacementInput{PlacementId: &id})
				expect.OK(r.t, err)
			}
		}
		if c, d := depths(cheap), depths(dear); len(c)+len(d) != 0 {
			r.t.Errorf("when nobody waits: %v, %v", c, d)
		}
	})
}
