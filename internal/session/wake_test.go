package session_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet/fleettest"
	"github.com/matchyard/matchyard/internal/store"
)

// TestARequestWakesAFleetFromZero: it fails all the same, and the next one may not.
func TestARequestWakesAFleetFromZero(t *testing.T) {
	each(t, func(r *rooms) {
		id := fleettest.Active(r.t, r.Fleets, nil, "us-west-2", "eu-west-1")
		for _, at := range []arn.Location{"us-west-2", "eu-west-1"} {
			fleettest.FromZero(r.t, r.Fleets, id, at)
			expect.Same(r.t, "instances at first", fleettest.Desired(r.t, r.Fleets, id, at), 0)
		}
		for _, c := range []struct {
			at              *string
			oregon, ireland int32
		}{{nil, 1, 0}, {new("eu-west-1"), 1, 1}} {
			_, err := r.CreateGameSession(r.t.Context(), &gamelift.CreateGameSessionInput{FleetId: new(string(id)), Location: c.at, MaximumPlayerSessionCount: new(int32(1))})
			expect.Refused(r.t, "without a process", err, noCapacity)
			expect.Same(r.t, "instances in Oregon", fleettest.Desired(r.t, r.Fleets, id, "us-west-2"), c.oregon)
			expect.Same(r.t, "instances in Ireland", fleettest.Desired(r.t, r.Fleets, id, "eu-west-1"), c.ireland)
		}
	})
}

// TestLastUse: now while a game session is there, then when the last one ended.
func TestLastUse(t *testing.T) {
	each(t, func(r *rooms) {
		use := func(at arn.Location) (last time.Time) {
			r.t.Helper()
			expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
				last, err = r.LastUseTx(tx, arn.FleetID(r.fleet), at)
				return err
			}))
			return last
		}
		expect.Same(r.t, "never", use(east), time.Time{})
		p := r.process()
		r.created(r.create(1))
		r.clock.Advance(time.Minute)
		expect.Same(r.t, "while it runs", use(east), r.clock.Now())
		expect.Same(r.t, "elsewhere", use(west), time.Time{})
		expect.OK(r.t, r.Computes.End(r.t.Context(), p.Key, compute.Normal))
		ended := r.clock.Now()
		r.clock.Advance(time.Hour)
		expect.Same(r.t, "afterwards", use(east), ended)
	})
}
