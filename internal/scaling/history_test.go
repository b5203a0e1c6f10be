package scaling_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/scaling"
	"github.com/matchyard/matchyard/internal/store"
)

func (r *rooms) history(id arn.FleetID, at string, since time.Time, step time.Duration) (list []scaling.Point) {
	r.t.Helper()
	err := r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		list, err = r.HistoryTx(tx, id, arn.Location(at), since.UnixMilli(), step.Milliseconds())
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// seconds lets time pass with a tick in each second.
func (r *rooms) seconds(n int) {
	r.t.Helper()
	for range n {
		r.clock.Advance(time.Second)
		if err := r.Tick(r.t.Context(), r.clock.Now()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// The history has a point every 10 seconds, of one location or of all, also without policies;
// after an hour one a minute, after a week none; and a fleet that is gone has none.
func TestHistory(t *testing.T) {
	each(t, func(r *rooms) {
		const further = "eu-central-1"
		id := r.fleet(further)
		r.clock.Advance(time.Hour - r.clock.Now().Sub(r.clock.Now().Truncate(time.Hour)))
		start := r.clock.Now()
		r.samples[region] = scaling.Sample{ActiveInstances: 3, IdleInstances: 1, Pending: 2, Active: 5, Activating: 1, Free: 6, Players: 20, QueueDepth: 4}
		r.samples[further] = scaling.Sample{ActiveInstances: 1, Players: 2}
		r.seconds(60)
		one := r.history(id, region, start, time.Second)
		want := scaling.Point{At: one[0].At, Location: region, Desired: 1, Max: 100, Pending: 2, Active: 3, Idle: 1, Free: 6, Sessions: 6, Players: 20, Waiting: 4}
		if len(one) != 7 || one[0] != want {
			t.Errorf("a minute of %s has %d points, the first %+v; want 7 and %+v", region, len(one), one[0], want)
		}
		if all := r.history(id, "", start, time.Second); len(all) != 7 || all[6].Active != 4 || all[6].Players != 22 || all[6].Max != 200 {
			t.Errorf("of all locations: %+v", all)
		}
		if coarse := r.history(id, "", start, 30*time.Second); len(coarse) != 3 || coarse[0].At != start.Add(20*time.Second).UnixMilli() {
			t.Errorf("in steps of 30 s: %+v", coarse)
		}

		r.clock.Advance(2 * time.Hour)
		r.seconds(1)
		if old := r.history(id, region, start, time.Second); len(old) != 3 || old[0].At != start.UnixMilli() || old[1].At != start.Add(time.Minute).UnixMilli() {
			t.Errorf("two hours later: %+v", old)
		}
		r.clock.Advance(scaling.HistoryKept + time.Hour)
		r.seconds(1)
		if kept := r.history(id, region, start, time.Second); len(kept) != 1 {
			t.Errorf("a week later: %+v", kept)
		}
		r.write(func(tx *store.Tx) error { return r.DropFleetTx(tx, id) })
		if gone := r.history(id, region, start, time.Second); len(gone) != 0 {
			t.Errorf("of a fleet that is gone: %+v", gone)
		}
	})
}

// What changed a fleet's capacity is read with the numbers before and after, and why.
func TestWhatChangedCapacity(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.fleet()
		since := r.clock.Now()
		_, err := r.PutScalingPolicy(t.Context(), &gamelift.PutScalingPolicyInput{
			FleetId: new(string(id)), Name: new("buffer (30 %)"), MetricName: types.MetricNamePercentAvailableGameSessions, PolicyType: types.PolicyTypeTargetBased,
			TargetConfiguration: &types.TargetConfiguration{TargetValue: new(30.0)},
		})
		if err != nil {
			t.Fatal(err)
		}
		r.samples[region] = scaling.Sample{ActiveInstances: 1, Active: 4, PerInstance: 4}
		r.minutes(2)
		var list []fleet.Scaling
		err = r.DB.Read(t.Context(), func(tx *store.Tx) error {
			f, err := r.Fleets.GetTx(tx, id)
			if err != nil {
				return err
			}
			list, err = r.Fleets.ScalingsTx(tx, f, since.UnixMilli(), 10)
			return err
		})
		if err != nil || len(list) != 2 {
			t.Fatalf("got %+v, %v", list, err)
		}
		policy, caller := list[0], list[1]
		why := "policy buffer (30 %): 4 of 4 slots used, PercentAvailableGameSessions is 0 for a target of 30; needed now: 1 to 2 instances"
		if policy.From != 1 || policy.To != 2 || policy.Max != 100 || policy.Location != region || policy.Why != why {
			t.Errorf("the policy's: %+v, want the reason %q", policy, why)
		}
		if caller.From != 1 || caller.To != 1 || caller.Max != 100 || caller.Why != "UpdateFleetCapacity" {
			t.Errorf("the caller's: %+v", caller)
		}
	})
}
