package placement_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet/fleettest"
)

// TestAPlacementWakesFleetsFromZero: those it could go to, when it could not go anywhere at
// once; and where its latency policy relaxes to, then.
func TestAPlacementWakesFleetsFromZero(t *testing.T) {
	each(t, func(r *rooms) {
		near, far, other := arn.Location("us-west-2"), arn.Location("eu-west-1"), arn.Location("ap-south-1")
		id := fleettest.Active(r.t, r.Fleets, nil, near, far, other)
		for _, at := range []arn.Location{near, far, other} {
			fleettest.FromZero(r.t, r.Fleets, id, at)
		}
		awake := func(when string, want ...int32) {
			r.t.Helper()
			for i, at := range []arn.Location{near, far, other} {
				expect.Same(r.t, when+": instances in "+string(at), fleettest.Desired(r.t, r.Fleets, id, at), want[i])
			}
		}
		anywhere := r.newFleet("", east)
		r.queue("both", func(in *gamelift.CreateGameSessionQueueInput) {
			in.PlayerLatencyPolicies = []types.PlayerLatencyPolicy{
				{MaximumIndividualPlayerLatencyMilliseconds: new(int32(50)), PolicyDurationSeconds: new(int32(30))},
				{MaximumIndividualPlayerLatencyMilliseconds: new(int32(100))},
			}
		}, anywhere, string(id))

		r.process(anywhere, east)
		r.start(asks("lucky", "both"))
		awake("placed at once", 0, 0, 0)

		in := asks("waits", "both")
		for at, ms := range map[arn.Location]float32{near: 20, far: 80, other: 300} {
			in.PlayerLatencies = append(in.PlayerLatencies, types.PlayerLatency{PlayerId: new("p"), RegionIdentifier: new(string(at)), LatencyInMilliseconds: new(ms)})
		}
		r.start(in)
		awake("within 50 ms", 1, 0, 0)
		r.tick(31 * time.Second)
		awake("within 100 ms", 1, 1, 0)
		r.start(asks("no latencies", "both"))
		awake("anywhere", 1, 1, 1)
	})
}
