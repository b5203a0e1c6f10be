package fleet_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// goodCreation is the history of a creation that went well (hosting.md 2.5).
var goodCreation = []types.EventCode{
	types.EventCodeFleetCreated, types.EventCodeFleetStateDownloading, types.EventCodeFleetCreationExtractingBuild,
	types.EventCodeFleetCreationRunningInstaller, types.EventCodeFleetCreationCompletedInstaller, types.EventCodeFleetStateValidating,
	types.EventCodeFleetCreationValidatingRuntimeConfig, types.EventCodeFleetStateBuilding, types.EventCodeFleetStateActivating,
	types.EventCodeFleetStateActive,
}

// host tells what a host tells of a creation, all at once.
func (r *rooms) host(id arn.FleetID) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		for _, do := range []func() error{
			func() error { return r.AdvanceTx(tx, id, "us-west-2", types.FleetStatusDownloading) },
			func() error {
				return r.StepEventTx(tx, id, types.EventCodeFleetCreationExtractingBuild, "extracting", "a\nb")
			},
			func() error {
				return r.StepEventTx(tx, id, types.EventCodeFleetCreationRunningInstaller, "installing", "")
			},
			func() error {
				return r.StepEventTx(tx, id, types.EventCodeFleetCreationCompletedInstaller, "installed", "")
			},
			func() error { return r.AdvanceTx(tx, id, "us-west-2", types.FleetStatusValidating) },
			func() error {
				return r.StepEventTx(tx, id, types.EventCodeFleetCreationValidatingRuntimeConfig, "validating", "")
			},
			func() error { return r.AdvanceTx(tx, id, "us-west-2", types.FleetStatusActive) },
		} {
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestAFleetGoesThroughEveryState(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.managed()
		if got := r.status(id); got != types.FleetStatusNew {
			r.t.Fatalf("created as %s, want NEW", got)
		}
		r.host(id)
		if got := r.status(id); got != types.FleetStatusActive {
			r.t.Errorf("status %s, want ACTIVE", got)
		}
		if got := r.history(id); !slices.Equal(got, goodCreation) {
			r.t.Errorf("events %v\nwant %v", got, goodCreation)
		}
	})
}

// TestSpeed: each state lasts as long as the setting says, although the hosts are done, and
// nothing happens before its time or out of order.
func TestSpeed(t *testing.T) {
	each(t, func(r *rooms) {
		r.Speed = fleet.Fixed(10 * time.Second)
		id := r.managed()
		r.host(id)
		for i, want := range []types.FleetStatus{
			types.FleetStatusNew, types.FleetStatusDownloading, types.FleetStatusValidating, types.FleetStatusBuilding,
			types.FleetStatusActivating, types.FleetStatusActive,
		} {
			if got := r.status(id); got != want {
				r.t.Fatalf("after %d0 s: %s, want %s", i, got, want)
			}
			if want == types.FleetStatusActive {
				break
			}
			due, some, err := r.Due(r.t.Context())
			if err != nil || !some || !due.Equal(r.clock.Now().Add(10*time.Second)) {
				r.t.Fatalf("Due = %v, %v, %v; want in 10 s from %v", due, some, err, r.clock.Now())
			}
			r.pass(9 * time.Second)
			if got := r.status(id); got != want {
				r.t.Fatalf("a second too early: %s, want %s", got, want)
			}
			r.pass(time.Second)
		}
		if got := r.history(id); !slices.Equal(got, goodCreation) {
			r.t.Errorf("events %v\nwant %v", got, goodCreation)
		}

		if _, err := r.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: new(string(id))}); err != nil {
			r.t.Fatal(err)
		}
		r.goneFrom(id, "us-west-2")
		r.goneFrom(id, "us-west-2")
		r.pass(9 * time.Second)
		if got := r.status(id); got != types.FleetStatusDeleting {
			r.t.Errorf("status %q, want DELETING", got)
		}
		r.pass(time.Second)
		if got := r.status(id); got != "" {
			r.t.Errorf("status %q, want none", got)
		}
	})
}

func TestParseSpeed(t *testing.T) {
	for text, want := range map[string]fleet.Speed{"": fleet.Instant, "instant": fleet.Instant, "realistic": fleet.Realistic, "5s": fleet.Fixed(5 * time.Second)} {
		if got, err := fleet.ParseSpeed(text); err != nil || got != want {
			t.Errorf("ParseSpeed(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"slow", "-1s", "5"} {
		if _, err := fleet.ParseSpeed(text); err == nil {
			t.Errorf("ParseSpeed(%q) succeeded", text)
		}
	}
}

// TestRealisticSpeed: about as long as AWS, which took 1,112 to 1,764 seconds.
func TestRealisticSpeed(t *testing.T) {
	each(t, func(r *rooms) {
		r.Speed = fleet.Realistic
		id := r.managed()
		r.host(id)
		start := r.clock.Now()
		for r.status(id) != types.FleetStatusActive {
			due, some, err := r.Due(r.t.Context())
			if err != nil || !some || due.Sub(start) > time.Hour {
				r.t.Fatalf("Due = %v, %v, %v while %s", due, some, err, r.status(id))
			}
			r.pass(due.Sub(r.clock.Now()))
		}
		if took := r.clock.Now().Sub(start); took < 1112*time.Second || took > 1764*time.Second {
			r.t.Errorf("ACTIVE after %v", took)
		}
	})
}

func TestAFailedCreation(t *testing.T) {
	each(t, func(r *rooms) {
		for _, speed := range []fleet.Speed{fleet.Instant, fleet.Fixed(time.Minute)} {
			r.Speed = speed
			id := r.managed()
			r.write(func(tx *store.Tx) error {
				return r.FailLogTx(tx, id, "us-west-2", types.EventCodeFleetValidationLaunchPathNotFound, "Failed to find a valid path: /local/game/x", "no such file")
			})
			if got := r.status(id); got != types.FleetStatusError {
				r.t.Errorf("status %s, want ERROR", got)
			}
			want := []types.EventCode{
				types.EventCodeFleetCreated, types.EventCodeFleetStateDownloading,
				types.EventCodeFleetValidationLaunchPathNotFound, types.EventCodeFleetStateError,
			}
			if got := r.history(id); !slices.Equal(got, want) {
				r.t.Errorf("events %v, want %v", got, want)
			}
			// What the hosts say from now on changes nothing.
			r.host(id)
			r.goneFrom(id, "us-west-2")
			r.pass(time.Hour)
			if got := r.status(id); got != types.FleetStatusError || len(r.history(id)) != len(want) {
				r.t.Errorf("afterwards: %s, %v", got, r.history(id))
			}
			r.write(func(tx *store.Tx) error {
				wants, err := r.WantsTx(tx)
				for _, w := range wants {
					if w.Fleet.ID == id && (w.Desired != 0 || w.Stopping || w.Status != types.FleetStatusError) {
						r.t.Errorf("wants %+v of a fleet in ERROR", w)
					}
				}
				return err
			})
		}
	})
}

// TestFleetsInErrorAreDeleted by the service after a while.
func TestFleetsInErrorAreDeleted(t *testing.T) {
	each(t, func(r *rooms) {
		failed := func() arn.FleetID {
			id := r.managed()
			r.write(func(tx *store.Tx) error {
				return r.FailTx(tx, id, "us-west-2", types.EventCodeFleetActivationFailed, "no process came up")
			})
			return id
		}
		id := failed()
		due, _, err := r.Due(r.t.Context())
		if err != nil || !due.Equal(r.clock.Now().Add(fleet.ErrorLife)) {
			r.t.Errorf("Due = %v, %v, want in %v", due, err, fleet.ErrorLife)
		}
		r.pass(fleet.ErrorLife - time.Millisecond)
		if got := r.status(id); got != types.FleetStatusError {
			r.t.Errorf("status %s, want ERROR", got)
		}
		r.pass(time.Millisecond)
		if got := r.status(id); got != types.FleetStatusDeleting {
			r.t.Errorf("status %s, want DELETING", got)
		}
		r.goneFrom(id, "us-west-2")
		if got := r.status(id); got != "" {
			r.t.Errorf("status %s, want none", got)
		}
		r.ErrorLife = -1
		id = failed()
		r.pass(365 * 24 * time.Hour)
		if got := r.status(id); got != types.FleetStatusError {
			r.t.Errorf("status %s, want ERROR for ever", got)
		}
	})
}

func TestExpiry(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		id, anywhere := r.active("us-west-2", "eu-central-1"), r.fleet("custom-a")
		r.pass(2 * 365 * 24 * time.Hour)
		if got := r.status(id); got != types.FleetStatusActive {
			r.t.Fatalf("expiry is off, and the fleet is %s", got)
		}
		r.Expiry = 3 * 365 * 24 * time.Hour
		due, _, err := r.Due(r.t.Context())
		if err != nil || !due.Equal(r.clock.Now().Add(365*24*time.Hour)) {
			r.t.Errorf("Due = %v, %v, want in a year", due, err)
		}
		r.pass(365 * 24 * time.Hour)
		for name, got := range map[string]types.FleetStatus{
			"fleet": r.status(id), "home": r.statusAt(id, "us-west-2"), "remote": r.statusAt(id, "eu-central-1"),
		} {
			if got != types.FleetStatusExpired {
				r.t.Errorf("%s is %s, want EXPIRED", name, got)
			}
		}
		if got := r.status(arn.FleetID(anywhere)); got != types.FleetStatusActive {
			r.t.Errorf("the Anywhere fleet is %s", got)
		}
		if got := r.history(id); got[len(got)-1] != types.EventCodeFleetExpired {
			r.t.Errorf("events %v, want FLEET_EXPIRED last", got)
		}
		_, err = r.UpdateFleetCapacity(r.t.Context(), &gamelift.UpdateFleetCapacityInput{FleetId: new(string(id)), DesiredInstances: new(int32(1))})
		expect.Refused(r.t, "capacity", err, badStatus, "EXPIRED")
		r.write(func(tx *store.Tx) error {
			wants, err := r.WantsTx(tx)
			for _, w := range wants {
				if w.Desired != 0 || w.Stopping {
					r.t.Errorf("wants %+v of an expired fleet", w)
				}
			}
			return err
		})
		if _, err := r.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: new(string(id))}); err != nil {
			r.t.Error(err)
		}
	})
}

// TestLocationsLiveOnTheirOwn: the home location's state is the fleet's; a remote location
// has its own, and its failure leaves the fleet ACTIVE.
func TestLocationsLiveOnTheirOwn(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.managed("us-west-2", "eu-central-1", "us-west-2-lax-1")
		r.advance(id, "eu-central-1", types.FleetStatusActivating)
		if got := r.status(id); got != types.FleetStatusNew {
			r.t.Errorf("fleet %s, want NEW", got)
		}
		r.advance(id, "us-west-2", types.FleetStatusActive)
		r.write(func(tx *store.Tx) error {
			return r.FailTx(tx, id, "us-west-2-lax-1", types.EventCodeFleetActivationFailedNoInstances, "no host in us-west-2-lax-1")
		})
		for at, want := range map[string]types.FleetStatus{
			"us-west-2": types.FleetStatusActive, "eu-central-1": types.FleetStatusActivating, "us-west-2-lax-1": types.FleetStatusError,
		} {
			if got := r.statusAt(id, at); got != want {
				r.t.Errorf("%s is %s, want %s", at, got, want)
			}
		}
		if got := r.status(id); got != types.FleetStatusActive {
			r.t.Errorf("fleet %s, want ACTIVE", got)
		}
		want := []types.EventCode{
			types.EventCodeFleetCreated, types.EventCodeLocationStatePending, types.EventCodeLocationStatePending,
			types.EventCodeLocationStateCreating, types.EventCodeLocationStateCreating, types.EventCodeLocationStateCreated, types.EventCodeLocationStateActivating,
			types.EventCodeFleetStateDownloading, types.EventCodeFleetStateValidating, types.EventCodeFleetStateBuilding,
			types.EventCodeFleetStateActivating, types.EventCodeFleetStateActive,
			types.EventCodeLocationStateCreating, types.EventCodeFleetActivationFailedNoInstances, types.EventCodeLocationStateError,
		}
		if got := r.history(id); !slices.Equal(got, want) {
			r.t.Errorf("events %v\nwant %v", got, want)
		}
	})
}

func TestLocationsComeAndGo(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		id := r.managed()
		grow := func(at ...string) ([]types.LocationState, error) {
			out, err := r.CreateFleetLocations(ctx, &gamelift.CreateFleetLocationsInput{FleetId: new(string(id)), Locations: anywhere(at...).Locations})
			if err != nil {
				return nil, err
			}
			return out.LocationStates, nil
		}
		_, err := grow("eu-west-1")
		expect.Refused(t, "while NEW", err, notReady, "NEW")
		r.advance(id, "us-west-2", types.FleetStatusActive)
		states, err := grow("eu-west-1", "custom-a")
		want := []types.LocationState{{Location: new("eu-west-1"), Status: types.FleetStatusNew}, {Location: new("custom-a"), Status: types.FleetStatusNew}}
		if err != nil || expect.JSON(states) != expect.JSON(want) {
			t.Fatalf("CreateFleetLocations = %s, %v, want %s", expect.JSON(states), err, expect.JSON(want))
		}
		_, err = grow("us-west-2")
		expect.Refused(t, "home again", err, conflict, "us-west-2")
		_, err = grow("moon")
		expect.Refused(t, "no location", err, invalid, "moon")
		_, err = grow("custom-none")
		expect.Refused(t, "unknown", err, missing, "custom-none")

		all, err := r.DescribeFleetLocationAttributes(ctx, &gamelift.DescribeFleetLocationAttributesInput{FleetId: new(string(id))})
		if err != nil || len(all.LocationAttributes) != 2 || *all.LocationAttributes[0].LocationState.Location != "eu-west-1" {
			t.Errorf("without names: %s, %v, want the remote ones", expect.JSON(all), err)
		}
		if got := r.statusAt(id, "us-west-2"); got != types.FleetStatusActive {
			t.Errorf("home by name: %q", got)
		}

		var left []arn.Location
		r.Leaving = func(_ *store.Tx, _ arn.FleetID, at arn.Location) error {
			left = append(left, at)
			return nil
		}
		drop := func(at string) error {
			out, err := r.DeleteFleetLocations(ctx, &gamelift.DeleteFleetLocationsInput{FleetId: new(string(id)), Locations: []string{at}})
			if err == nil && out.LocationStates[0].Status != types.FleetStatusDeleting {
				t.Errorf("answer %s, want DELETING", expect.JSON(out))
			}
			return err
		}
		expect.Refused(t, "home", drop("us-west-2"), invalid, "home")
		for range 2 {
			if err := drop("eu-west-1"); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.statusAt(id, "eu-west-1"); got != types.FleetStatusDeleting || len(left) != 0 {
			t.Errorf("%s, %v have been told; want DELETING and nobody", got, left)
		}
		r.goneFrom(id, "custom-a") // not being deleted: ignored
		r.goneFrom(id, "eu-west-1")
		if got := r.statusAt(id, "eu-west-1"); got != "" || !slices.Equal(left, []arn.Location{"eu-west-1"}) {
			t.Errorf("%s, %v have been told", got, left)
		}
		expect.Refused(t, "gone", drop("eu-west-1"), missing, "eu-west-1")
		got := r.history(id)
		if end := got[len(got)-2:]; !slices.Equal(end, []types.EventCode{types.EventCodeLocationStateDeleting, types.EventCodeLocationStateDeleted}) {
			t.Errorf("events end %v", end)
		}
	})
}

func TestDeletionWaitsForTheLastInstance(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		id := r.active("us-west-2", "eu-west-1")
		var told int
		r.Deleting = func(tx *store.Tx, _ arn.FleetID) error { told++; return nil }
		if _, err := r.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: new(string(id))}); err != nil {
			t.Fatal(err)
		}
		r.write(func(tx *store.Tx) error {
			wants, err := r.WantsTx(tx)
			if len(wants) != 2 || !wants[0].Stopping || !wants[1].Stopping || wants[0].Desired+wants[1].Desired != 0 {
				t.Errorf("wants %+v, want two that stop", wants)
			}
			return err
		})
		_, err := r.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: new(string(id))})
		expect.Refused(t, "twice", err, invalid, "Cannot delete fleet "+string(id)+" that is in status of DELETING")
		r.goneFrom(id, "us-west-2")
		if got := r.status(id); got != types.FleetStatusDeleting || told != 0 {
			t.Errorf("%s, told %d times; one location is left", got, told)
		}
		r.goneFrom(id, "eu-west-1")
		if told != 1 {
			t.Errorf("others were told %d times, want once", told)
		}
		r.gone(string(id))
		r.write(func(tx *store.Tx) error {
			wants, err := r.WantsTx(tx)
			if len(wants) != 0 {
				t.Errorf("wants %+v of a deleted fleet", wants)
			}
			return err
		})
	})
}

// TestWithoutHostsNothingIsWaitedFor.
func TestWithoutHostsNothingIsWaitedFor(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.active("us-west-2", "eu-west-1")
		r.Instances = nil
		if _, err := r.DeleteFleetLocations(r.t.Context(), &gamelift.DeleteFleetLocationsInput{FleetId: new(string(id)), Locations: []string{"eu-west-1"}}); err != nil {
			r.t.Fatal(err)
		}
		if got := r.statusAt(id, "eu-west-1"); got != "" {
			r.t.Errorf("location %s, want none", got)
		}
		if _, err := r.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: new(string(id))}); err != nil {
			r.t.Fatal(err)
		}
		r.gone(string(id))
	})
}

// TestEventLogs: what a step said is read by the URL of its event.
func TestEventLogs(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		id := r.managed()
		r.host(id)
		var path string
		r.EventLogURL = func(p string) string { path = p; return "https://logs.example/" + p }
		out, err := r.DescribeFleetEvents(ctx, &gamelift.DescribeFleetEventsInput{FleetId: new(string(id))})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events {
			logged := e.EventCode == types.EventCodeFleetCreationExtractingBuild
			if (e.PreSignedLogUrl != nil) != logged {
				t.Errorf("%s: URL %v", e.EventCode, e.PreSignedLogUrl)
			}
			if want := "logs/" + string(id) + "/events/" + *e.EventId + "/FLEET_CREATION_EXTRACTING_BUILD.txt"; logged && (path != want || *e.PreSignedLogUrl != "https://logs.example/"+want) {
				t.Errorf("path %s, want %s", path, want)
			}
		}
		if log, err := r.EventLog(ctx, path); err != nil || log != "a\nb" {
			t.Errorf("log %q, %v", log, err)
		}
		for _, other := range []string{"", "x", path + "x", "logs/fleet-x/events/" + path[len(path)-73:], "a/b/c/d/e"} {
			if log, err := r.EventLog(ctx, other); err == nil {
				t.Errorf("EventLog(%q) = %q", other, log)
			}
		}
	})
}

// before are the states from which each state is entered (hosting.md 2.3).
var before = map[types.FleetStatus][]types.FleetStatus{
	types.FleetStatusNew:         {""},
	types.FleetStatusDownloading: {types.FleetStatusNew},
	types.FleetStatusValidating:  {types.FleetStatusDownloading},
	types.FleetStatusBuilding:    {types.FleetStatusValidating},
	types.FleetStatusActivating:  {types.FleetStatusBuilding},
	types.FleetStatusActive:      {types.FleetStatusActivating},
	types.FleetStatusError:       {types.FleetStatusDownloading, types.FleetStatusValidating, types.FleetStatusBuilding, types.FleetStatusActivating},
}

// TestLifeAlongTheMap: whatever hosts and callers say in whatever order, a fleet's state moves
// along hosting.md 2.3 and its events tell each of the moves once, in order.
func TestLifeAlongTheMap(t *testing.T) {
	each(t, func(r *rooms) {
		r.hosts()
		r.Quotas.ManagedFleets = 1 << 20
		b := r.ready()
		rapid.Check(r.t, func(t *rapid.T) {
			r.Speed = rapid.SampledFrom([]fleet.Speed{fleet.Instant, fleet.Fixed(time.Second), fleet.Realistic}).Draw(t, "speed")
			made, err := r.CreateFleet(r.t.Context(), ec2(b, "us-west-2", "eu-west-1"))
			if err != nil {
				t.Fatal(err)
			}
			id := arn.FleetID(*made.FleetAttributes.FleetId)
			var deleted bool
			var codes []types.EventCode
			goals := []types.FleetStatus{
				types.FleetStatusNew, types.FleetStatusDownloading, types.FleetStatusValidating, types.FleetStatusBuilding, types.FleetStatusActivating, types.FleetStatusActive,
			}
			for range rapid.IntRange(1, 25).Draw(t, "steps") {
				at := rapid.SampledFrom([]arn.Location{"us-west-2", "us-west-2", "eu-west-1", "ap-south-1"}).Draw(t, "at")
				do := rapid.SampledFrom([]string{"advance", "advance", "advance", "fail", "gone", "step", "delete", "leave", "time", "time", "desired"}).Draw(t, "do")
				to := rapid.SampledFrom(goals).Draw(t, "to")
				was := r.status(id)
				err := r.DB.Write(r.t.Context(), func(tx *store.Tx) error {
					switch do {
					case "advance":
						return r.AdvanceTx(tx, id, at, to)
					case "fail":
						return r.FailTx(tx, id, at, types.EventCodeFleetInitializationFailed, "because")
					case "gone":
						return r.GoneTx(tx, id, at)
					case "step":
						return r.StepEventTx(tx, id, types.EventCodeFleetCreationExtractingBuild, "step", "")
					case "desired":
						return r.SetDesiredTx(tx, id, at, 5, "test")
					}
					return nil
				})
				switch do {
				case "delete":
					_, err = r.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: new(string(id))})
					if may := was == types.FleetStatusActive || was == types.FleetStatusError; may != (err == nil) {
						t.Fatalf("DeleteFleet of a fleet that is %q: %v", was, err)
					}
					deleted, err = deleted || err == nil, nil
				case "leave":
					_, _ = r.DeleteFleetLocations(r.t.Context(), &gamelift.DeleteFleetLocationsInput{FleetId: new(string(id)), Locations: []string{"eu-west-1"}})
				case "time":
					r.pass(time.Duration(rapid.IntRange(1, 500).Draw(t, "seconds")) * time.Second)
				}
				if err != nil {
					t.Fatalf("%s: %v", do, err)
				}
				now := r.status(id)
				if now == "" {
					if !deleted {
						t.Fatalf("gone after %s, without a deletion", do)
					}
					break
				}
				if deleted != (now == types.FleetStatusDeleting) {
					t.Fatalf("%s after %s, deleted: %v", now, do, deleted)
				}
				if !deleted && r.statusAt(id, "us-west-2") != now {
					t.Fatalf("fleet %s, home %s", now, r.statusAt(id, "us-west-2"))
				}
				codes = r.history(id)
			}
			last := types.FleetStatusNew
			for _, code := range codes {
				const prefix = "FLEET_STATE_"
				if len(code) < len(prefix) || code[:len(prefix)] != prefix {
					continue
				}
				next := types.FleetStatus(code[len(prefix):])
				if !slices.Contains(before[next], last) {
					t.Fatalf("%s after %s in %v", next, last, codes)
				}
				last = next
			}
			if now := r.status(id); now != "" && now != types.FleetStatusDeleting && now != last {
				t.Fatalf("fleet is %s, and its events end with %s: %v", now, last, codes)
			}
		})
	})
}
