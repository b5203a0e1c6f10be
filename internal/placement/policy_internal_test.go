package placement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/arn"
)

// spot is a place as the oracle names it.
type spot struct {
	destination int
	location    string
}

// oracle is sections 6.4 to 6.7 once more, as slowly and as literally as can be: it walks
// all places, keeps those that may be used, and then takes the best of what is left, again
// and again.
func oracle(o offer, w wish) []spot {
	limit, capped := naiveCap(o.Policies, w)
	var left []spot
	for i, d := range o.destinations {
		for _, p := range d.places {
			twin := false
			for _, earlier := range o.destinations[:i] {
				for _, q := range earlier.places {
					twin = twin || earlier.skip == "" && earlier.fleet == d.fleet && q.location == p.location
				}
			}
			switch {
			case d.skip != "", twin, p.status != types.FleetStatusActive:
			case len(o.Allowed) > 0 && !slices.Contains(o.Allowed, p.location):
			case len(w.Override) > 0 && w.Only && !slices.Contains(w.Override, p.location):
			case capped && !naiveNear(w, p.location, limit):
			default:
				left = append(left, spot{i, p.location})
			}
		}
	}
	priced := true
	for _, s := range left {
		priced = priced && o.destinations[s.destination].cost != ""
	}
	var order []spot
	for len(left) > 0 {
		best := 0
		for i := range left {
			if naiveBetter(o, w, priced, left[i], left[best]) {
				best = i
			}
		}
		order = append(order, left[best])
		left = slices.Delete(left, best, best+1)
	}
	return order
}

// naiveCap lets the policies take turns, second by second.
func naiveCap(policies []types.PlayerLatencyPolicy, w wish) (limit int32, capped bool) {
	if len(w.Latencies) == 0 {
		return 0, false
	}
	left := slices.Clone(policies)
	passed := w.elapsed
	for len(left) > 0 {
		least := 0
		for i, p := range left {
			if *p.MaximumIndividualPlayerLatencyMilliseconds < *left[least].MaximumIndividualPlayerLatencyMilliseconds {
				least = i
			}
		}
		p := left[least]
		if p.PolicyDurationSeconds == nil || passed < time.Duration(*p.PolicyDurationSeconds)*time.Second {
			return *p.MaximumIndividualPlayerLatencyMilliseconds, true
		}
		passed -= time.Duration(*p.PolicyDurationSeconds) * time.Second
		left = slices.Delete(left, least, least+1)
	}
	return 0, false
}

func naivePlayers(w wish) map[string]bool {
	players := map[string]bool{}
	for _, l := range w.Latencies {
		players[l.Player] = true
	}
	return players
}

// naiveNear tells whether all players reported a place, and none more than the cap.
func naiveNear(w wish, location string, limit int32) bool {
	silent := naivePlayers(w)
	for _, l := range w.Latencies {
		if l.Location != location {
			continue
		}
		if l.Ms > float64(limit) {
			return false
		}
		delete(silent, l.Player)
	}
	return len(silent) == 0
}

func naiveMean(w wish, location string) (class int, mean float64) {
	silent := naivePlayers(w)
	sum, n := 0.0, 0
	for _, l := range w.Latencies {
		if l.Location == location {
			sum, n = sum+l.Ms, n+1
			delete(silent, l.Player)
		}
	}
	switch {
	case n == 0:
		return 2, 0
	case len(silent) > 0:
		class = 1
	}
	return class, sum / float64(n)
}

func naiveBetter(o offer, w wish, priced bool, a, b spot) bool {
	var order []string
	for _, by := range o.Priority {
		order = append(order, string(by))
	}
	appended := "LATENCY COST DESTINATION LOCATION"
	if len(o.Priority) == 0 && len(o.Order) == 0 && len(w.Latencies) == 0 {
		appended = "DESTINATION LOCATION"
	}
	for by := range strings.FieldsSeq(appended) {
		if !slices.Contains(order, by) {
			order = append(order, by)
		}
	}
	list := o.Order
	if len(w.Override) > 0 {
		list = w.Override
	}
	rankOf := func(location string) int {
		for i, l := range list {
			if l == location {
				return i
			}
		}
		return len(list)
	}
	for _, by := range order {
		switch by {
		case "LATENCY":
			if len(w.Latencies) == 0 {
				continue
			}
			ca, ma := naiveMean(w, a.location)
			cb, mb := naiveMean(w, b.location)
			if ca != cb {
				return ca < cb
			}
			if ma != mb {
				return ma < mb
			}
		case "COST":
			if !priced {
				continue
			}
			x, _ := strconv.ParseFloat(o.destinations[a.destination].cost, 64)
			y, _ := strconv.ParseFloat(o.destinations[b.destination].cost, 64)
			if x != y {
				return x < y
			}
		case "DESTINATION":
			if a.destination != b.destination {
				return a.destination < b.destination
			}
		case "LOCATION":
			if x, y := rankOf(a.location), rankOf(b.location); x != y {
				return x < y
			}
			if a.location != b.location {
				return a.location < b.location
			}
		}
	}
	if a.destination != b.destination {
		return a.destination < b.destination
	}
	return a.location < b.location
}

var somePlaces = []string{"custom-a", "custom-b", "custom-c", "custom-d", "us-west-2"}

func drawSome(t *rapid.T, label string, most int) []string {
	return rapid.Permutation(somePlaces).Draw(t, label)[:rapid.IntRange(0, most).Draw(t, label+" count")]
}

func drawOffer(t *rapid.T) offer {
	var o offer
	for i := range rapid.IntRange(0, 4).Draw(t, "destinations") {
		d := destination{
			fleet: arn.FleetID(fmt.Sprint("fleet-", rapid.IntRange(1, 4).Draw(t, "fleet"))),
			cost:  rapid.SampledFrom([]string{"", "0", "1", "1.0", "9.5", "10.25"}).Draw(t, "cost"),
		}
		if rapid.IntRange(0, 9).Draw(t, "skipped") == 0 {
			d.skip = "it is gone"
		}
		for _, at := range drawSome(t, fmt.Sprint("places ", i), 5) {
			status := rapid.SampledFrom([]types.FleetStatus{types.FleetStatusActive, types.FleetStatusActive, types.FleetStatusActive, types.FleetStatusDeleting}).Draw(t, "status")
			d.places = append(d.places, place{at, status, rapid.IntRange(0, 3).Draw(t, "free")})
		}
		o.destinations = append(o.destinations, d)
	}
	o.Allowed, o.Order = drawSome(t, "allowed", 4), drawSome(t, "order", 3)
	o.Priority = rapid.Permutation([]types.PriorityType{types.PriorityTypeLatency, types.PriorityTypeCost, types.PriorityTypeDestination, types.PriorityTypeLocation}).
		Draw(t, "priority")[:rapid.IntRange(0, 4).Draw(t, "priorities")]
	o.Ranked = len(o.Priority) > 0 || len(o.Order) > 0
	for i := range rapid.IntRange(0, 3).Draw(t, "policies") {
		p := types.PlayerLatencyPolicy{MaximumIndividualPlayerLatencyMilliseconds: new(int32(rapid.IntRange(0, 9).Draw(t, "cap")*20 + i))}
		if rapid.Bool().Draw(t, "timed") {
			p.PolicyDurationSeconds = new(int32(rapid.IntRange(0, 3).Draw(t, "duration")))
		}
		o.Policies = append(o.Policies, p)
	}
	return o
}

func drawWish(t *rapid.T) wish {
	w := wish{elapsed: time.Duration(rapid.IntRange(0, 10).Draw(t, "elapsed")) * 500 * time.Millisecond}
	if rapid.Bool().Draw(t, "override") {
		w.Override, w.Only = drawSome(t, "override", 3), rapid.Bool().Draw(t, "only")
		w.Only = w.Only && len(w.Override) > 0
		return w
	}
	for range rapid.IntRange(0, 6).Draw(t, "latencies") {
		w.Latencies = append(w.Latencies, latency{
			rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "player"), rapid.SampledFrom(somePlaces).Draw(t, "place"),
			float64(rapid.IntRange(0, 9).Draw(t, "ms") * 20),
		})
	}
	return w
}

func TestPolicyIsWhatTheRulesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, w := drawOffer(t), drawWish(t)
		r := rank(o, w)
		var got []spot
		for _, c := range r.candidates {
			got = append(got, spot{c.destination, c.location})
		}
		if want := oracle(o, w); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v\nsteps %v", got, want, r.steps)
		}
		// Every place is a candidate or has a reason, and every destination that is skipped.
		n := 0
		for _, d := range o.destinations {
			if n += len(d.places); d.skip != "" {
				n += 1 - len(d.places)
			}
		}
		if len(r.candidates)+len(r.excluded) != n {
			t.Fatalf("%d candidates and %d exclusions of %d places", len(r.candidates), len(r.excluded), n)
		}
		for _, x := range r.excluded {
			if x.why == "" {
				t.Fatalf("%v is excluded without a reason", x)
			}
		}
	})
}

// Where a wish reaches is where its candidates are, whatever the queue offers; and it grows
// at the instant that is named, and not before.
func TestReach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, w := drawOffer(t), drawWish(t)
		locations, until := reach(o.Policies, w)
		reached := func(location string) bool {
			return slices.Contains(locations, anywhere) || slices.Contains(locations, location)
		}
		for _, c := range rank(o, w).candidates {
			if !reached(c.location) {
				t.Fatalf("%s is a candidate and not in %v", c.location, locations)
			}
		}
		if until == nil {
			w.elapsed += time.Hour
			later, _ := reach(o.Policies, w)
			if !slices.Equal(later, locations) {
				t.Fatalf("%v became %v, though never was said", locations, later)
			}
			return
		}
		w.elapsed = *until - time.Millisecond
		if before, same := reach(o.Policies, w); !slices.Equal(before, locations) || *same != *until {
			t.Fatalf("%v became %v before %s", locations, before, *until)
		}
	})
}

// The same question has the same answer.
func TestRankIsAFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, w := drawOffer(t), drawWish(t)
		if a, b := fmt.Sprint(rank(o, w).candidates), fmt.Sprint(rank(o, w).candidates); a != b {
			t.Fatalf("%s, and then %s", a, b)
		}
	})
}
