package compute_test

import (
	"maps"
	"math"
	"testing"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

func TestLoadOfLocations(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.register("two", east)
		r.register("far", west)
		first := r.ready("one", "p1")
		r.ready("one", "p2")
		sick := r.ready("two", "p3")
		r.ready("far", "p4")
		expect.OK(t, r.Health(t.Context(), sick.Key, false))
		r.reserved(east)
		r.reserved(west)
		var loads map[arn.Location]compute.Load
		look := func() {
			t.Helper()
			expect.OK(t, r.DB.Read(t.Context(), func(tx *store.Tx) error {
				f, err := r.Fleets.GetTx(tx, arn.FleetID(r.fleet))
				if err != nil {
					return err
				}
				loads, err = r.LoadTx(tx, f)
				return err
			}))
		}
		look()
		limit := math.MaxInt32
		want := map[arn.Location]compute.Load{
			east: {Free: 1, Unhealthy: 1, Activating: 1, Activatable: 2*limit - 1}, west: {Activating: 1, Activatable: limit - 1},
		}
		if !maps.Equal(loads, want) {
			t.Errorf("loads are %+v", loads)
		}
		r.write(func(tx *store.Tx) error { return r.ActivatedTx(tx, first.Key) })
		look()
		if l := loads[east]; l.Activating != 0 || l.Active != 1 || l.Activatable != 2*limit {
			t.Errorf("with the game session active: %+v", l)
		}
	})
}
