package scaling_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/scaling"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

const (
	region   = "us-west-2"
	invalid  = "InvalidRequestException"
	notFound = "NotFoundException"
)

// rooms is the scaling room on the fleet room, with samples that tests set.
type rooms struct {
	*scaling.Service
	t       *testing.T
	clock   *storetest.Clock
	samples map[arn.Location]scaling.Sample
}

func each(t *testing.T, f func(r *rooms)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		home := arn.Home{Region: region, Account: "123456789012"}
		fleets := &fleet.Service{DB: db, Home: home}
		fleets.Tags = &tag.Service{DB: db, Exists: fleets.ExistsTx}
		fleets.Builds = &build.Service{DB: db, Home: home, Tags: fleets.Tags}
		r := &rooms{t: t, clock: clock, samples: map[arn.Location]scaling.Sample{}}
		r.Service = &scaling.Service{
			DB: db, Home: home, Fleets: fleets,
			Measure: func(*store.Tx, fleet.Fleet) (map[arn.Location]scaling.Sample, error) { return r.samples, nil },
		}
		f(r)
	})
}

func (r *rooms) write(f func(tx *store.Tx) error) {
	r.t.Helper()
	if err := r.DB.Write(r.t.Context(), f); err != nil {
		r.t.Fatal(err)
	}
}

// fleet makes a managed fleet that is ACTIVE in the home region and the further locations,
// from 0 to 100 instances with one desired.
func (r *rooms) fleet(further ...string) arn.FleetID {
	r.t.Helper()
	var b string
	r.write(func(tx *store.Tx) error {
		key := tx.NewKey()
		b = "build-" + key.UUID(7)
		_, err := tx.Exec(`INSERT INTO build (key, tail, status, os, sdk, blob, size, work, created_at) VALUES ($1, 7, 'READY', 'AMAZON_LINUX_2023', '5.5.0', 'x', 1, 0, $2)`, key, tx.NowMs())
		return err
	})
	in := &gamelift.CreateFleetInput{
		Name: new("arena"), BuildId: &b, EC2InstanceType: types.EC2InstanceTypeC5Large,
		RuntimeConfiguration: &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{{LaunchPath: new("/local/game/server"), ConcurrentExecutions: new(int32(4))}}},
	}
	places := append([]string{region}, further...)
	for _, l := range places {
		in.Locations = append(in.Locations, types.LocationConfiguration{Location: &l})
	}
	out, err := r.Fleets.CreateFleet(r.t.Context(), in)
	if err != nil {
		r.t.Fatal(err)
	}
	id := arn.FleetID(*out.FleetAttributes.FleetId)
	for _, l := range places {
		r.write(func(tx *store.Tx) error { return r.Fleets.AdvanceTx(tx, id, arn.Location(l), types.FleetStatusActive) })
		_, err := r.Fleets.UpdateFleetCapacity(r.t.Context(), &gamelift.UpdateFleetCapacityInput{FleetId: new(string(id)), MaxSize: new(int32(100)), Location: &l})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return id
}

func (r *rooms) desired(id arn.FleetID, at string) int {
	r.t.Helper()
	var c fleet.Capacity
	err := r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) { c, err = r.Fleets.CapacityTx(tx, id, arn.Location(at)); return err })
	if err != nil {
		r.t.Fatal(err)
	}
	return int(c.Desired)
}

// minutes lets minutes pass, with a look in each.
func (r *rooms) minutes(n int) {
	r.t.Helper()
	for range n {
		due, ok, err := r.Due(r.t.Context())
		if err != nil || !ok {
			r.t.Fatalf("Due: %v, %v", ok, err)
		}
		r.clock.Advance(due.Sub(r.clock.Now()))
		if err := r.Tick(r.t.Context(), r.clock.Now()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// events are the messages of a fleet's scaling events, oldest first.
func (r *rooms) events(id arn.FleetID) (messages []string) {
	r.t.Helper()
	out, err := r.Fleets.DescribeFleetEvents(r.t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: new(string(id)), Limit: new(int32(50))})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range slices.Backward(out.Events) {
		if e.EventCode == types.EventCodeFleetScalingEvent {
			messages = append(messages, *e.Message)
		}
	}
	return messages
}

func refused(t *testing.T, what string, err error, code, word string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), word) {
		t.Errorf("%s: error %v, want %s about %s", what, err, code, word)
	}
}

func targetPolicy(id arn.FleetID, name string, percent float64) *gamelift.PutScalingPolicyInput {
	return &gamelift.PutScalingPolicyInput{
		FleetId: new(string(id)), Name: &name, PolicyType: types.PolicyTypeTargetBased,
		MetricName: types.MetricNamePercentAvailableGameSessions, TargetConfiguration: &types.TargetConfiguration{TargetValue: &percent},
	}
}

func rulePolicy(id arn.FleetID, name string) *gamelift.PutScalingPolicyInput {
	return &gamelift.PutScalingPolicyInput{
		FleetId: new(string(id)), Name: &name, MetricName: types.MetricNameAvailableGameSessions,
		ComparisonOperator: types.ComparisonOperatorTypeLessThanThreshold, Threshold: new(2.0), EvaluationPeriods: new(int32(2)),
		ScalingAdjustmentType: types.ScalingAdjustmentTypeChangeInCapacity, ScalingAdjustment: new(int32(3)),
	}
}

func TestAPolicyIsReadBackAsItWasSent(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.fleet("eu-west-1")
		ctx := r.t.Context()
		for _, in := range []*gamelift.PutScalingPolicyInput{rulePolicy(id, "rule"), targetPolicy(id, "buffer", 20), rulePolicy(id, "other")} {
			if out, err := r.PutScalingPolicy(ctx, in); err != nil || *out.Name != *in.Name {
				r.t.Fatalf("PutScalingPolicy: %v, %v", out, err)
			}
		}
		changed := rulePolicy(id, "rule")
		changed.Threshold = new(5.5)
		if _, err := r.PutScalingPolicy(ctx, changed); err != nil {
			r.t.Fatal(err)
		}
		var seen []string
		in := &gamelift.DescribeScalingPoliciesInput{FleetId: new(string(id)), Limit: new(int32(4))}
		for {
			out, err := r.DescribeScalingPolicies(ctx, in)
			if err != nil {
				r.t.Fatal(err)
			}
			for _, p := range out.ScalingPolicies {
				text := fmt.Sprintf("%s %s %s %s", *p.Name, *p.Location, p.PolicyType, p.Status)
				if p.PolicyType == types.PolicyTypeRuleBased {
					text += fmt.Sprintf(" %s %s %v %d %s %d", p.MetricName, p.ComparisonOperator, *p.Threshold, *p.EvaluationPeriods, p.ScalingAdjustmentType, *p.ScalingAdjustment)
				} else {
					text += fmt.Sprintf(" %v", *p.TargetConfiguration.TargetValue)
				}
				seen = append(seen, text)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		const rule = " RuleBased ACTIVE AvailableGameSessions LessThanThreshold "
		want := []string{
			"rule us-west-2" + rule + "5.5 2 ChangeInCapacity 3", "rule eu-west-1" + rule + "5.5 2 ChangeInCapacity 3",
			"buffer us-west-2 TargetBased ACTIVE 20", "buffer eu-west-1 TargetBased ACTIVE 20",
			"other us-west-2" + rule + "2 2 ChangeInCapacity 3", "other eu-west-1" + rule + "2 2 ChangeInCapacity 3",
		}
		if got := strings.Join(seen, "\n"); got != strings.Join(want, "\n") {
			r.t.Errorf("policies are\n%s", got)
		}
		if _, err := r.DeleteScalingPolicy(ctx, &gamelift.DeleteScalingPolicyInput{FleetId: in.FleetId, Name: new("rule")}); err != nil {
			r.t.Fatal(err)
		}
		_, err := r.DeleteScalingPolicy(ctx, &gamelift.DeleteScalingPolicyInput{FleetId: in.FleetId, Name: new("rule")})
		refused(r.t, "deleted twice", err, notFound, "rule")
		out, err := r.DescribeScalingPolicies(ctx, &gamelift.DescribeScalingPoliciesInput{FleetId: in.FleetId, Location: new("eu-west-1")})
		if err != nil || len(out.ScalingPolicies) != 2 {
			r.t.Errorf("in one location: %v, %v", out, err)
		}
		_, err = r.DescribeScalingPolicies(ctx, &gamelift.DescribeScalingPoliciesInput{FleetId: in.FleetId, Location: new("eu-north-1")})
		refused(r.t, "another location", err, notFound, "eu-north-1")
		out, err = r.DescribeScalingPolicies(ctx, &gamelift.DescribeScalingPoliciesInput{FleetId: in.FleetId, StatusFilter: types.ScalingStatusTypeDeleting})
		if err != nil || len(out.ScalingPolicies) != 0 {
			r.t.Errorf("by status DELETING: %v, %v", out, err)
		}
	})
}

func TestPoliciesThatMakeNoSense(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.fleet()
		if _, err := r.PutScalingPolicy(r.t.Context(), targetPolicy(id, "buffer", 20)); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.PutScalingPolicy(r.t.Context(), targetPolicy(id, "buffer", 30)); err != nil {
			r.t.Errorf("the target policy could not be replaced: %v", err)
		}
		rule := func(change func(in *gamelift.PutScalingPolicyInput)) *gamelift.PutScalingPolicyInput {
			in := rulePolicy(id, "p")
			change(in)
			return in
		}
		target := func(change func(in *gamelift.PutScalingPolicyInput)) *gamelift.PutScalingPolicyInput {
			in := targetPolicy(id, "buffer", 20)
			change(in)
			return in
		}
		for _, c := range []struct {
			in         *gamelift.PutScalingPolicyInput
			code, word string
		}{
			{targetPolicy(id, "second", 20), invalid, "PolicyType"},
			{targetPolicy(id, "buffer", 100), invalid, "TargetValue"},
			{targetPolicy(id, "buffer", -1), invalid, "TargetValue"},
			{targetPolicy(id, "buffer", math.NaN()), invalid, "TargetValue"},
			{target(func(in *gamelift.PutScalingPolicyInput) { in.TargetConfiguration = nil }), invalid, "TargetConfiguration"},
			{target(func(in *gamelift.PutScalingPolicyInput) { in.MetricName = types.MetricNameQueueDepth }), invalid, "MetricName"},
			{target(func(in *gamelift.PutScalingPolicyInput) { in.Threshold = new(1.0) }), invalid, "Threshold"},
			{target(func(in *gamelift.PutScalingPolicyInput) { in.ScalingAdjustment = new(int32(1)) }), invalid, "ScalingAdjustment"},
			{rule(func(in *gamelift.PutScalingPolicyInput) { in.TargetConfiguration = &types.TargetConfiguration{} }), invalid, "TargetConfiguration"},
			{rule(func(in *gamelift.PutScalingPolicyInput) { in.Threshold = nil }), invalid, "Threshold"},
			{rule(func(in *gamelift.PutScalingPolicyInput) { in.ComparisonOperator = "" }), invalid, "ComparisonOperator"},
			{rule(func(in *gamelift.PutScalingPolicyInput) { in.EvaluationPeriods = nil }), invalid, "EvaluationPeriods"},
			{rule(func(in *gamelift.PutScalingPolicyInput) { in.ScalingAdjustmentType = "" }), invalid, "ScalingAdjustmentType"},
			{rule(func(in *gamelift.PutScalingPolicyInput) { in.ScalingAdjustment = nil }), invalid, "ScalingAdjustment"},
			{rule(func(in *gamelift.PutScalingPolicyInput) { in.MetricName = "Mood" }), invalid, "MetricName"},
			{rule(func(in *gamelift.PutScalingPolicyInput) {
				in.ScalingAdjustmentType, in.ScalingAdjustment = types.ScalingAdjustmentTypeExactCapacity, new(int32(-1))
			}), invalid, "ScalingAdjustment"},
			{rule(func(in *gamelift.PutScalingPolicyInput) { in.FleetId = new("fleet-none") }), notFound, "FleetId"},
		} {
			_, err := r.PutScalingPolicy(r.t.Context(), c.in)
			refused(r.t, c.word, err, c.code, c.word)
		}
		out, err := r.DescribeScalingPolicies(r.t.Context(), &gamelift.DescribeScalingPoliciesInput{FleetId: new(string(id))})
		if err != nil || len(out.ScalingPolicies) != 1 || *out.ScalingPolicies[0].TargetConfiguration.TargetValue != 30 {
			r.t.Errorf("refused policies left something: %v, %v", out, err)
		}
	})
}

func TestAnywhereFleetsDoNotScale(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := r.t.Context()
		if _, err := r.Fleets.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-home")}); err != nil {
			r.t.Fatal(err)
		}
		out, err := r.Fleets.CreateFleet(ctx, &gamelift.CreateFleetInput{Name: new("x"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: new("custom-home")}}})
		if err != nil {
			r.t.Fatal(err)
		}
		id := arn.FleetID(*out.FleetAttributes.FleetId)
		_, err = r.PutScalingPolicy(ctx, rulePolicy(id, "p"))
		refused(r.t, "PutScalingPolicy", err, invalid, "ANYWHERE")
		_, err = r.DescribeScalingPolicies(ctx, &gamelift.DescribeScalingPoliciesInput{FleetId: new(string(id))})
		refused(r.t, "DescribeScalingPolicies", err, invalid, "ANYWHERE")
		_, err = r.DeleteScalingPolicy(ctx, &gamelift.DeleteScalingPolicyInput{FleetId: new(string(id)), Name: new("p")})
		refused(r.t, "DeleteScalingPolicy", err, invalid, "ANYWHERE")
	})
}

// Each location is decided about by what it is itself, stopped ones not at all, and every
// change is told with its numbers.
func TestEachLocationForItself(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.fleet("eu-west-1", "eu-central-1")
		ctx := r.t.Context()
		if _, err := r.PutScalingPolicy(ctx, targetPolicy(id, "buffer", 50)); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.Fleets.StopFleetActions(ctx, &gamelift.StopFleetActionsInput{
			FleetId: new(string(id)), Location: new("eu-central-1"), Actions: []types.FleetAction{types.FleetActionAutoScaling},
		}); err != nil {
			r.t.Fatal(err)
		}
		told := len(r.events(id))
		r.samples[region] = scaling.Sample{ActiveInstances: 1, PerInstance: 4, Active: 4}
		r.samples["eu-west-1"] = scaling.Sample{ActiveInstances: 1, PerInstance: 4, Active: 40}
		r.samples["eu-central-1"] = scaling.Sample{ActiveInstances: 1, PerInstance: 4, Active: 40}
		r.minutes(1)
		if a, b, c := r.desired(id, region), r.desired(id, "eu-west-1"), r.desired(id, "eu-central-1"); a != 2 || b != 20 || c != 1 {
			r.t.Errorf("desired are %d, %d, %d; want 2, 20 and, stopped, 1", a, b, c)
		}
		events := r.events(id)[told:]
		if len(events) != 2 || !strings.Contains(events[1], "40 of 4 slots used") || !strings.Contains(events[1], "eu-west-1") {
			r.t.Errorf("events are %q", events)
		}
		if _, err := r.Fleets.StartFleetActions(ctx, &gamelift.StartFleetActionsInput{
			FleetId: new(string(id)), Location: new("eu-central-1"), Actions: []types.FleetAction{types.FleetActionAutoScaling},
		}); err != nil {
			r.t.Fatal(err)
		}
		r.minutes(1)
		if c := r.desired(id, "eu-central-1"); c != 20 {
			r.t.Errorf("started again, desired is %d", c)
		}
	})
}

// A rule's minutes are counted across restarts, since they are in the database, and a
// minute is looked at once, however often Tick runs.
func TestAMinuteCountsOnce(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.fleet()
		if _, err := r.PutScalingPolicy(r.t.Context(), rulePolicy(id, "more")); err != nil { // two minutes below two
			r.t.Fatal(err)
		}
		r.samples[region] = scaling.Sample{ActiveInstances: 1, PerInstance: 4, Active: 4}
		r.minutes(1)
		for range 5 {
			if err := r.Tick(r.t.Context(), r.clock.Now()); err != nil {
				r.t.Fatal(err)
			}
		}
		if n := r.desired(id, region); n != 1 {
			r.t.Fatalf("after one minute, desired is %d", n)
		}
		second := &scaling.Service{DB: r.DB, Home: r.Home, Fleets: r.Fleets, Measure: r.Measure}
		r.clock.Advance(time.Minute)
		if err := second.Tick(r.t.Context(), r.clock.Now()); err != nil {
			r.t.Fatal(err)
		}
		if n := r.desired(id, region); n != 4 {
			r.t.Errorf("after the second minute, on another node, desired is %d", n)
		}
	})
}

func TestPoliciesGoWithTheirFleet(t *testing.T) {
	each(t, func(r *rooms) {
		id := r.fleet()
		r.Fleets.Deleting = r.DropFleetTx
		if _, err := r.PutScalingPolicy(r.t.Context(), rulePolicy(id, "more")); err != nil {
			r.t.Fatal(err)
		}
		r.minutes(1)
		if _, err := r.Fleets.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: new(string(id))}); err != nil {
			r.t.Fatal(err)
		}
		if err := r.Fleets.Tick(r.t.Context(), r.clock.Now()); err != nil {
			r.t.Fatal(err)
		}
		if due, ok, err := r.Due(r.t.Context()); ok || err != nil {
			r.t.Errorf("still due at %v, %v", due, err)
		}
	})
}
