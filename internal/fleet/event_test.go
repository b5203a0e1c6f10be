package fleet_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

// tell records an event of a fleet.
func (r *rooms) tell(id string, code types.EventCode, message string) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error { return r.EventTx(tx, arn.FleetID(id), code, message) })
}

func TestEventsOfACreation(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		id := r.fleet("custom-a")
		out, err := r.DescribeFleetEvents(r.t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &id})
		if err != nil || len(out.Events) != 2 || out.NextToken != nil {
			r.t.Fatalf("DescribeFleetEvents = %s, %v", expect.JSON(out), err)
		}
		e := out.Events[0]
		want := types.Event{
			EventId: e.EventId, ResourceId: &id, EventCode: types.EventCodeFleetStateActive,
			Message: new("Fleet " + id + " changed state to ACTIVE"), EventTime: new(r.clock.Now()),
		}
		if len(*e.EventId) != 36 || *e.EventId == *out.Events[1].EventId || expect.JSON(e) != expect.JSON(want) {
			r.t.Errorf("event %s, want %s", expect.JSON(e), expect.JSON(want))
		}
		if out.Events[1].EventCode != types.EventCodeFleetCreated {
			r.t.Errorf("first event %s", out.Events[1].EventCode)
		}
	})
}

// TestEventsFold: repeats of what happens on hosts are counted for five minutes, up to
// "more than 100"; other messages, other fleets and changes of state are not folded.
func TestEventsFold(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		r.location("custom-a")
		id, other := r.fleet("custom-a"), r.fleet("custom-a")
		crashed, generic := types.EventCodeServerProcessCrashed, types.EventCodeGenericEvent
		for i := range 105 {
			r.tell(id, crashed, "server a")
			if i < 2 {
				r.tell(id, crashed, "server b")
				r.tell(other, crashed, "server a")
				r.tell(id, types.EventCodeFleetStateError, "state")
			}
		}
		r.tell(id, generic, "server a")
		r.clock.Advance(5 * time.Minute)
		r.tell(id, crashed, "server a")
		r.tell("fleet-x", crashed, "of no fleet of ours")

		out, err := r.DescribeFleetEvents(t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &id})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range out.Events {
			count := int64(0)
			if e.Count != nil {
				count = *e.Count
			}
			got = append(got, fmt.Sprintf("%s %d", e.EventCode, count))
		}
		want := []string{
			"SERVER_PROCESS_CRASHED 0", "GENERIC_EVENT 0", "FLEET_STATE_ERROR 0", "FLEET_STATE_ERROR 0",
			"SERVER_PROCESS_CRASHED 2", "SERVER_PROCESS_CRASHED 101", "FLEET_STATE_ACTIVE 0", "FLEET_CREATED 0",
		}
		if !slices.Equal(got, want) {
			t.Errorf("events %q\nwant %q", got, want)
		}
	})
}

func TestEventsByTimeAndPage(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		id := r.fleet("custom-a")
		r.clock.Advance(time.Second)
		start := r.clock.Now()
		// Three events each second, newest first in want.
		var want []string
		for i := range 30 {
			message := fmt.Sprintf("event %d", i)
			r.tell(id, types.EventCodeGenericEvent, message)
			want = append(want, message)
			if i%3 == 2 {
				r.clock.Advance(time.Second)
			}
		}
		slices.Reverse(want)
		list := func(limit int32, from, to *time.Time) []string {
			t.Helper()
			return walk(t, int(limit), func(token *string) ([]string, *string, error) {
				out, err := r.DescribeFleetEvents(ctx, &gamelift.DescribeFleetEventsInput{FleetId: &id, StartTime: from, EndTime: to, Limit: &limit, NextToken: token})
				if err != nil {
					return nil, nil, err
				}
				return idsOf(out.Events, func(e types.Event) *string { return e.Message }), out.NextToken, nil
			})
		}
		at := func(s float64) *time.Time { return new(start.Add(time.Duration(s * float64(time.Second)))) }
		for limit := int32(1); limit <= 31; limit++ {
			if got := list(limit, at(0), nil); !slices.Equal(got, want) {
				t.Fatalf("limit %d: %v, want %v", limit, got, want)
			}
		}
		for name, c := range map[string]struct {
			from, to *time.Time
			want     []string
		}{
			"both included":    {at(1), at(2), want[21:27]},
			"one instant":      {at(1), at(1), want[24:27]},
			"just after":       {at(1.0000001), at(2), want[21:24]},
			"just before":      {at(1), at(1.9999999), want[24:27]},
			"before all":       {nil, at(-2), []string{}},
			"after all":        {at(100), nil, []string{}},
			"before the epoch": {new(time.Unix(-5, 0)), at(0), slices.Concat(want[27:], []string{"Fleet " + id + " changed state to ACTIVE", "Fleet " + id + " was created"})},
		} {
			if got := list(100, c.from, c.to); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}

		_, err := r.DescribeFleetEvents(ctx, &gamelift.DescribeFleetEventsInput{FleetId: &id, StartTime: at(2), EndTime: at(1)})
		expect.Refused(t, "end before start", err, invalid, "EndTime")
		page, err := r.DescribeFleetEvents(ctx, &gamelift.DescribeFleetEventsInput{FleetId: &id, Limit: new(int32(1))})
		if err != nil {
			t.Fatal(err)
		}
		tokensRefused(t, *page.NextToken, func(token *string) error {
			_, err := r.DescribeFleetEvents(ctx, &gamelift.DescribeFleetEventsInput{FleetId: &id, NextToken: token})
			return err
		})
		other := r.fleet("custom-a")
		_, err = r.DescribeFleetEvents(ctx, &gamelift.DescribeFleetEventsInput{FleetId: &other, NextToken: page.NextToken})
		expect.Refused(t, "token of another fleet", err, invalid, "NextToken")
		byARN, err := r.DescribeFleetEvents(ctx, &gamelift.DescribeFleetEventsInput{FleetId: new(home.Fleet(arn.FleetID(id))), NextToken: page.NextToken})
		if err != nil || *byARN.Events[0].Message != want[1] {
			t.Errorf("the fleet's ARN instead of its id: %s, %v", expect.JSON(byARN), err)
		}
	})
}
