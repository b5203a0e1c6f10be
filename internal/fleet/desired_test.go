package fleet_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// capacityAt is what DescribeFleetLocationCapacity tells.
func (r *rooms) capacityAt(id arn.FleetID, at string) *types.FleetCapacity {
	r.t.Helper()
	out, err := r.DescribeFleetLocationCapacity(r.t.Context(), &gamelift.DescribeFleetLocationCapacityInput{FleetId: new(string(id)), Location: &at})
	if err != nil {
		r.t.Fatal(err)
	}
	return out.FleetCapacity
}

// has checks the settings of a location.
func (r *rooms) has(id arn.FleetID, at string, desired, least, most int32) {
	r.t.Helper()
	if got := r.capacityAt(id, at).InstanceCounts; expect.JSON(got) != expect.JSON(counts(desired, least, most)) {
		r.t.Errorf("%s has %s, want %s", at, expect.JSON(got), expect.JSON(counts(desired, least, most)))
	}
}

func TestCapacityShowsWhatHostsKnow(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.active("us-west-2", "eu-west-1")
		r.Instances = func(_ *store.Tx, f arn.FleetID, at arn.Location) (fleet.Instances, error) {
			if f != id {
				r.t.Errorf("asked for %s", f)
			}
			if at == "eu-west-1" {
				return fleet.Instances{Pending: 1, Active: 5, Idle: 2, Terminating: 3}, nil
			}
			return fleet.Instances{}, nil
		}
		want := counts(1, 0, 1)
		want.PENDING, want.ACTIVE, want.IDLE, want.TERMINATING = new(int32(1)), new(int32(5)), new(int32(2)), new(int32(3))
		if got := r.capacityAt(id, "eu-west-1").InstanceCounts; expect.JSON(got) != expect.JSON(want) {
			r.t.Errorf("eu-west-1 has %s, want %s", expect.JSON(got), expect.JSON(want))
		}
		r.has(id, "us-west-2", 1, 0, 1)
		failure := errors.New("cannot count")
		r.Instances = func(*store.Tx, arn.FleetID, arn.Location) (fleet.Instances, error) { return fleet.Instances{}, failure }
		if _, err := r.DescribeFleetCapacity(r.t.Context(), &gamelift.DescribeFleetCapacityInput{}); !errors.Is(err, failure) {
			r.t.Errorf("error %v, want %v", err, failure)
		}
	})
}

func TestUpdateFleetCapacity(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		id := r.managed("us-west-2", "eu-west-1")
		set := func(in gamelift.UpdateFleetCapacityInput) error {
			in.FleetId = new(string(id))
			_, err := r.UpdateFleetCapacity(ctx, &in)
			return err
		}
		n := func(n int32) *int32 { return &n }
		expect.Refused(t, "while NEW", set(gamelift.UpdateFleetCapacityInput{MaxSize: n(5)}), badStatus, "NEW")
		r.advance(id, "us-west-2", types.FleetStatusActive)
		expect.Refused(t, "location NEW", set(gamelift.UpdateFleetCapacityInput{MaxSize: n(5), Location: new("eu-west-1")}), badStatus, "eu-west-1", "NEW")
		r.advance(id, "eu-west-1", types.FleetStatusActive)
		expect.Refused(t, "no such location", set(gamelift.UpdateFleetCapacityInput{Location: new("eu-west-2")}), missing, "eu-west-2")

		expect.Refused(t, "over the maximum", set(gamelift.UpdateFleetCapacityInput{DesiredInstances: n(3)}), invalid, "DesiredInstances")
		if err := set(gamelift.UpdateFleetCapacityInput{DesiredInstances: n(3), MaxSize: n(5)}); err != nil {
			t.Error(err)
		}
		r.has(id, "us-west-2", 3, 0, 5)
		r.has(id, "eu-west-1", 1, 0, 1)
		expect.Refused(t, "minimum over desired", set(gamelift.UpdateFleetCapacityInput{MinSize: n(4)}), invalid, "MinSize")
		expect.Refused(t, "maximum under desired", set(gamelift.UpdateFleetCapacityInput{MaxSize: n(2)}), invalid, "MaxSize")
		expect.Refused(t, "negative", set(gamelift.UpdateFleetCapacityInput{DesiredInstances: n(-1)}), invalid, "DesiredInstances")
		r.has(id, "us-west-2", 3, 0, 5)
		if err := set(gamelift.UpdateFleetCapacityInput{MinSize: n(2)}); err != nil {
			t.Error(err)
		}
		r.has(id, "us-west-2", 3, 2, 5)
		r.InstanceLimit = func(_ *store.Tx, kind types.EC2InstanceType, at arn.Location) (int, error) {
			if kind != types.EC2InstanceTypeC5Large || at != "us-west-2" {
				t.Errorf("limit of %s in %s", kind, at)
			}
			return 6, nil
		}
		expect.Refused(t, "over the limit", set(gamelift.UpdateFleetCapacityInput{MaxSize: n(7)}), overQuota, "6", "c5.large")
		out, err := r.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: new(home.Fleet(id)), MaxSize: n(6)})
		want := gamelift.UpdateFleetCapacityOutput{FleetId: new(string(id)), FleetArn: new(home.Fleet(id)), Location: new("us-west-2")}
		if err != nil || expect.JSON(out) != expect.JSON(want) {
			t.Errorf("UpdateFleetCapacity = %s, %v, want %s", expect.JSON(out), err, expect.JSON(want))
		}
		if err := set(gamelift.UpdateFleetCapacityInput{}); err != nil {
			t.Error(err)
		}
		if got := events(r, id, types.EventCodeFleetScalingEvent); len(got) != 3 || !strings.Contains(got[0], "maximum 5 to 6") {
			t.Errorf("scaling events %q, want 3, newest first", got)
		}
	})
}

// events are the messages of the fleet's events of a kind, newest first.
func events(r *rooms, id arn.FleetID, code types.EventCode) (messages []string) {
	r.t.Helper()
	out, err := r.DescribeFleetEvents(r.t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: new(string(id))})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range out.Events {
		if e.EventCode == code {
			messages = append(messages, *e.Message)
		}
	}
	return messages
}

func TestSetDesired(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.active("us-west-2", "eu-west-1")
		set := func(at arn.Location, desired int32) {
			r.t.Helper()
			r.write(func(tx *store.Tx) error { return r.SetDesiredTx(tx, id, at, desired, "policy p: too few") })
		}
		if _, err := r.UpdateFleetCapacity(r.t.Context(), &gamelift.UpdateFleetCapacityInput{FleetId: new(string(id)), Location: new("eu-west-1"), MinSize: new(int32(1)), MaxSize: new(int32(4))}); err != nil {
			r.t.Fatal(err)
		}
		for _, c := range []struct{ set, want int32 }{{3, 3}, {3, 3}, {9, 4}, {0, 1}} {
			set("eu-west-1", c.set)
			r.has(id, "eu-west-1", c.want, 1, 4)
		}
		r.has(id, "us-west-2", 1, 0, 1)
		set("ap-south-1", 3)
		if got := events(r, id, types.EventCodeFleetScalingEvent); len(got) != 4 || !strings.Contains(got[0], "policy p: too few") {
			r.t.Errorf("scaling events %q", got)
		}
		r.write(func(tx *store.Tx) error {
			c, err := r.CapacityTx(tx, id, "eu-west-1")
			if want := (fleet.Capacity{Desired: 1, Min: 1, Max: 4}); c != want {
				r.t.Errorf("capacity %+v, want %+v", c, want)
			}
			if _, err := r.CapacityTx(tx, id, "ap-south-1"); !errors.Is(err, store.ErrNoRows) {
				r.t.Errorf("capacity of another location: %v", err)
			}
			wants, _ := r.WantsTx(tx)
			if len(wants) != 2 || wants[1].Location != "eu-west-1" || wants[1].Desired != 1 || wants[1].Min != 1 || wants[1].Max != 4 || wants[1].Fleet.ID != id || wants[1].Status != types.FleetStatusActive {
				r.t.Errorf("wants %+v", wants)
			}
			return err
		})
		if _, err := r.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: new(string(id))}); err != nil {
			r.t.Fatal(err)
		}
		set("eu-west-1", 3)
		r.has(id, "eu-west-1", 1, 1, 4)
	})
}

func TestStoppedActions(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		id := new(string(r.active("us-west-2", "eu-west-1")))
		scaling := []types.FleetAction{types.FleetActionAutoScaling}
		check := func(homeStopped, remoteStopped bool) {
			t.Helper()
			a, err := r.DescribeFleetAttributes(ctx, &gamelift.DescribeFleetAttributesInput{FleetIds: []string{*id}})
			if err != nil || slices.Equal(a.FleetAttributes[0].StoppedActions, scaling) != homeStopped {
				t.Errorf("home stopped: %v, %v, want %v", a.FleetAttributes[0].StoppedActions, err, homeStopped)
			}
			l, err := r.DescribeFleetLocationAttributes(ctx, &gamelift.DescribeFleetLocationAttributesInput{FleetId: id})
			if err != nil || slices.Equal(l.LocationAttributes[0].StoppedActions, scaling) != remoteStopped {
				t.Errorf("remote stopped: %s, %v, want %v", expect.JSON(l), err, remoteStopped)
			}
			r.write(func(tx *store.Tx) error {
				for at, want := range map[arn.Location]bool{"us-west-2": homeStopped, "eu-west-1": remoteStopped} {
					if got, err := r.PoliciesStoppedTx(tx, arn.FleetID(*id), at); err != nil || got != want {
						t.Errorf("PoliciesStoppedTx in %s = %v, %v", at, got, err)
					}
				}
				return nil
			})
		}
		check(false, false)
		for range 2 {
			out, err := r.StopFleetActions(ctx, &gamelift.StopFleetActionsInput{FleetId: id, Actions: scaling})
			if err != nil || *out.FleetId != *id || *out.FleetArn != home.Fleet(arn.FleetID(*id)) {
				t.Errorf("StopFleetActions = %s, %v", expect.JSON(out), err)
			}
		}
		check(true, false)
		if _, err := r.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: id, DesiredInstances: new(int32(0))}); err != nil {
			t.Errorf("by hand: %v", err)
		}
		if _, err := r.StopFleetActions(ctx, &gamelift.StopFleetActionsInput{FleetId: id, Actions: scaling, Location: new("eu-west-1")}); err != nil {
			t.Error(err)
		}
		check(true, true)
		for range 2 {
			if _, err := r.StartFleetActions(ctx, &gamelift.StartFleetActionsInput{FleetId: id, Actions: scaling}); err != nil {
				t.Error(err)
			}
		}
		check(false, true)
		_, err := r.StartFleetActions(ctx, &gamelift.StartFleetActionsInput{FleetId: id, Actions: scaling, Location: new("eu-west-2")})
		expect.Refused(t, "elsewhere", err, missing, "eu-west-2")
	})
}

// zeroFleet is an ACTIVE fleet that scales to and from zero in its home location.
func (r *rooms) zeroFleet(minutes *int32) arn.FleetID {
	r.t.Helper()
	id := r.active("us-west-2", "eu-west-1")
	out, err := r.UpdateFleetCapacity(r.t.Context(), &gamelift.UpdateFleetCapacityInput{FleetId: new(string(id)), MaxSize: new(int32(3)), ManagedCapacityConfiguration: &types.ManagedCapacityConfiguration{
		ZeroCapacityStrategy: types.ZeroCapacityStrategyScaleToAndFromZero, ScaleInAfterInactivityMinutes: minutes,
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	if expect.JSON(out.ManagedCapacityConfiguration) != expect.JSON(r.capacityAt(id, "us-west-2").ManagedCapacityConfiguration) {
		r.t.Errorf("answer %s", expect.JSON(out))
	}
	return id
}

func (r *rooms) wanted(id arn.FleetID, at arn.Location) {
	r.t.Helper()
	if err := r.SessionWanted(r.t.Context(), id, at); err != nil {
		r.t.Fatal(err)
	}
}

func TestScaleToAndFromZero(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.zeroFleet(nil)
		r.has(id, "us-west-2", 1, 1, 3)
		if got := r.capacityAt(id, "us-west-2").ManagedCapacityConfiguration; *got.ScaleInAfterInactivityMinutes != 30 {
			r.t.Errorf("configuration %s, want 30 minutes", expect.JSON(got))
		}
		// Requests keep it up: 20 minutes, a request, and 30 minutes more.
		r.pass(20 * time.Minute)
		r.wanted(id, "us-west-2")
		r.pass(29 * time.Minute)
		r.has(id, "us-west-2", 1, 1, 3)
		due, _, err := r.Due(r.t.Context())
		if err != nil || !due.Equal(r.clock.Now().Add(time.Minute)) {
			r.t.Errorf("Due = %v, %v, want in a minute", due, err)
		}
		r.pass(time.Minute)
		r.has(id, "us-west-2", 0, 0, 3)
		r.has(id, "eu-west-1", 1, 0, 1)

		r.wanted(id, "eu-west-1") // not its strategy
		r.has(id, "us-west-2", 0, 0, 3)
		r.wanted(id, "us-west-2")
		r.has(id, "us-west-2", 1, 1, 3)
		// Running game sessions keep it up, and so does one that ended a while ago.
		ended := r.clock.Now().Add(40 * time.Minute)
		r.LastUse = func(tx *store.Tx, f arn.FleetID, at arn.Location) (time.Time, error) {
			if f != id || at != "us-west-2" {
				r.t.Errorf("asked for %s in %s", f, at)
			}
			if tx.Now.Before(ended) {
				return tx.Now, nil
			}
			return ended, nil
		}
		for range 69 {
			r.pass(time.Minute)
			r.has(id, "us-west-2", 1, 1, 3)
		}
		r.pass(time.Minute)
		r.has(id, "us-west-2", 0, 0, 3)
		if got := events(r, id, types.EventCodeFleetScalingEvent); len(got) != 4 || !strings.Contains(got[1], "wanted") || !strings.Contains(got[0], "no game session for 30m") {
			r.t.Errorf("scaling events %q", got)
		}
	})
}

func TestTheServiceOwnsTheMinimum(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		id := r.zeroFleet(new(int32(5)))
		set := func(in gamelift.UpdateFleetCapacityInput) error {
			in.FleetId = new(string(id))
			_, err := r.UpdateFleetCapacity(t.Context(), &in)
			return err
		}
		n := func(n int32) *int32 { return &n }
		expect.Refused(t, "minimum while on", set(gamelift.UpdateFleetCapacityInput{MinSize: n(0)}), invalid, "MinSize")
		expect.Refused(t, "minimum with the strategy", set(gamelift.UpdateFleetCapacityInput{Location: new("eu-west-1"), MinSize: n(0), ManagedCapacityConfiguration: &types.ManagedCapacityConfiguration{
			ZeroCapacityStrategy: types.ZeroCapacityStrategyScaleToAndFromZero,
		}}), invalid, "MinSize")
		if err := set(gamelift.UpdateFleetCapacityInput{DesiredInstances: n(3)}); err != nil {
			t.Error(err)
		}
		r.has(id, "us-west-2", 3, 1, 3)
		r.write(func(tx *store.Tx) error { return r.SetDesiredTx(tx, id, "us-west-2", 0, "policy") })
		r.has(id, "us-west-2", 1, 1, 3)
		if err := set(gamelift.UpdateFleetCapacityInput{DesiredInstances: n(0)}); err != nil {
			t.Error(err)
		}
		r.has(id, "us-west-2", 0, 0, 3)
		if err := set(gamelift.UpdateFleetCapacityInput{MaxSize: n(0)}); err != nil {
			t.Error(err)
		}
		r.wanted(id, "us-west-2")
		r.has(id, "us-west-2", 0, 0, 0)
		manual := &types.ManagedCapacityConfiguration{ZeroCapacityStrategy: types.ZeroCapacityStrategyManual}
		if err := set(gamelift.UpdateFleetCapacityInput{MaxSize: n(2), DesiredInstances: n(2), MinSize: n(2), ManagedCapacityConfiguration: manual}); err != nil {
			t.Error(err)
		}
		r.pass(24 * time.Hour)
		r.has(id, "us-west-2", 2, 2, 2)
		if got := r.capacityAt(id, "us-west-2").ManagedCapacityConfiguration; got.ZeroCapacityStrategy != types.ZeroCapacityStrategyManual || *got.ScaleInAfterInactivityMinutes != 5 {
			t.Errorf("configuration %s", expect.JSON(got))
		}
	})
}

// TestCapacityUnderCrossfire: callers, policies and those who want game sessions change one
// location at once; what comes out always fits together, and each change was told once.
func TestCapacityUnderCrossfire(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := r.t.Context()
		id := r.zeroFleet(nil)
		var wg sync.WaitGroup
		for n := range 6 {
			wg.Go(func() {
				for i := range 15 {
					var err error
					switch (n + i) % 3 {
					case 0:
						_, err = r.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: new(string(id)), DesiredInstances: new(int32(i % 2 * 3)), MaxSize: new(int32(3))})
					case 1:
						err = r.SessionWanted(ctx, id, "us-west-2")
					case 2:
						err = r.DB.Write(ctx, func(tx *store.Tx) error { return r.SetDesiredTx(tx, id, "us-west-2", int32(i), "policy") })
					}
					if err != nil {
						r.t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		c := r.capacityAt(id, "us-west-2").InstanceCounts
		if *c.MINIMUM != min(*c.DESIRED, 1) || *c.DESIRED > *c.MAXIMUM {
			r.t.Errorf("capacity %s", expect.JSON(c))
		}
		was := int32(1)
		told := events(r, id, types.EventCodeFleetScalingEvent)
		slices.Reverse(told)
		for _, message := range told[1:] { // the first set the strategy
			var from, to int32
			_, words, _ := strings.Cut(message, "desired instances ")
			if _, err := fmt.Sscanf(words, "%d to %d,", &from, &to); err != nil || from != was {
				r.t.Errorf("%q after %d instances (%v)", message, was, err)
			}
			was = to
		}
		if was != *c.DESIRED {
			r.t.Errorf("told of %d instances, and there are to be %d", was, *c.DESIRED)
		}
	})
}
