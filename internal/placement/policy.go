package placement

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// offer is what a queue has to offer at one instant: all that the choice depends on besides
// the placement itself.
type offer struct {
	destinations []destination // in the queue's order
	detail
}

// destination is one of a queue's, resolved to a fleet.
type destination struct {
	arn      string
	fleet    arn.FleetID
	fleetKey store.Key
	cost     string  // decimal text; "" when the fleet has none
	skip     string  // why it offers nothing at all; "" when it does
	places   []place // by location
}

// place is a location of a fleet.
type place struct {
	location string
	status   types.FleetStatus
	free     int // processes that could host a game session now
}

// wish is what the choice depends on in a placement.
type wish struct {
	Latencies []latency     `json:",omitempty"`
	Override  []string      `json:",omitempty"` // locations, instead of the queue's order
	Only      bool          `json:",omitempty"` // the override's fallback is NONE
	elapsed   time.Duration // since the placement's start
}

// latency is one report of a player.
type latency struct {
	Player   string
	Location string
	Ms       float64
}

// ranking is the choice: where a placement could go, best first, and where not.
type ranking struct {
	cap        *int32         // latency in force, in milliseconds; nil for none
	until      *time.Duration // when it relaxes, from the placement's start; nil for never
	steps      []step         // what ranks, in order
	listed     int            // how many locations the order lists
	candidates []candidate
	excluded   []exclusion
}

// step is a priority, and why it ranks nothing when it does not.
type step struct {
	by   types.PriorityType
	idle string
}

// candidate is a location of a fleet that a placement could go to.
type candidate struct {
	destination int // its place in the queue's list, from 0
	fleet       arn.FleetID
	fleetKey    store.Key
	location    string
	free        int

	silent  int // 0: all players reported a latency, 1: some did, 2: none
	latency float64
	cost    float64
	place   int // in the order of locations; unlisted ones share the last
}

// exclusion is a destination, or one location of it, that a placement cannot go to now.
type exclusion struct {
	destination int
	fleet       arn.FleetID
	location    string // "" for the whole destination
	free        int
	why         string
}

// rank orders the places that an offer has for a wish (sessions-placement.md 6.4 to 6.7). It
// depends on nothing else, and its order is total: equal places come in the order of
// destinations, then of the locations' names.
func rank(o offer, w wish) ranking {
	var r ranking
	if len(w.Latencies) > 0 {
		r.cap, r.until = capAt(o.Policies, w.elapsed)
	}
	locations := o.Order
	if len(w.Override) > 0 {
		locations = w.Override
	}
	r.listed = len(locations)
	heard := listen(w.Latencies)
	seen := map[string]int{} // fleet and location -> destination
	for i, d := range o.destinations {
		if d.skip != "" {
			r.exclude(i, d, place{}, d.skip)
			continue
		}
		for _, p := range d.places {
			if first, ok := seen[string(d.fleet)+" "+p.location]; ok {
				r.exclude(i, d, p, fmt.Sprintf("destination %d is the same fleet", first+1))
				continue
			}
			seen[string(d.fleet)+" "+p.location] = i
			if why := r.barred(o, w, heard, p); why != "" {
				r.exclude(i, d, p, why)
				continue
			}
			c := candidate{destination: i, fleet: d.fleet, fleetKey: d.fleetKey, location: p.location, free: p.free, place: len(locations)}
			c.silent, c.latency = heard.mean(p.location)
			c.cost, _ = strconv.ParseFloat(d.cost, 64)
			if at := slices.Index(locations, p.location); at >= 0 {
				c.place = at
			}
			r.candidates = append(r.candidates, c)
		}
	}
	r.steps = stepsOf(o, w, r.candidates)
	slices.SortFunc(r.candidates, r.compare)
	return r
}

func (r *ranking) exclude(i int, d destination, p place, why string) {
	r.excluded = append(r.excluded, exclusion{destination: i, fleet: d.fleet, location: p.location, free: p.free, why: why})
}

// barred is why a placement cannot go to a place; "" when it can.
func (r *ranking) barred(o offer, w wish, heard reports, p place) string {
	switch {
	case p.status != types.FleetStatusActive:
		return "the location is " + string(p.status) + ", not ACTIVE"
	case len(o.Allowed) > 0 && !slices.Contains(o.Allowed, p.location):
		return "the queue's filter does not allow the location"
	case w.Only && !slices.Contains(w.Override, p.location):
		return "the override does not list the location, and its fallback is NONE"
	case r.cap != nil:
		return heard.above(p.location, *r.cap)
	}
	return ""
}

// stepsOf are the priorities in the order in which they rank (6.5).
func stepsOf(o offer, w wish, all []candidate) (steps []step) {
	order := slices.Clone(o.Priority)
	for _, by := range []types.PriorityType{types.PriorityTypeLatency, types.PriorityTypeCost, types.PriorityTypeDestination, types.PriorityTypeLocation} {
		bare := !o.Ranked && len(w.Latencies) == 0 // then only the last two rank
		if bare && (by == types.PriorityTypeLatency || by == types.PriorityTypeCost) || slices.Contains(order, by) {
			continue
		}
		order = append(order, by)
	}
	for _, by := range order {
		s := step{by: by}
		switch {
		case by == types.PriorityTypeLatency && len(w.Latencies) == 0:
			s.idle = "no latencies were sent"
		case by == types.PriorityTypeCost:
			for _, c := range all {
				if o.destinations[c.destination].cost == "" {
					s.idle = "fleet " + string(c.fleet) + " has no cost"
				}
			}
		}
		steps = append(steps, s)
	}
	return steps
}

func (r *ranking) compare(a, b candidate) int {
	for _, s := range r.steps {
		if s.idle != "" {
			continue
		}
		var n int
		switch s.by {
		case types.PriorityTypeLatency:
			n = cmp.Or(cmp.Compare(a.silent, b.silent), cmp.Compare(a.latency, b.latency))
		case types.PriorityTypeCost:
			n = cmp.Compare(a.cost, b.cost)
		case types.PriorityTypeDestination:
			n = cmp.Compare(a.destination, b.destination)
		case types.PriorityTypeLocation:
			n = cmp.Or(cmp.Compare(a.place, b.place), strings.Compare(a.location, b.location))
		}
		if n != 0 {
			return n
		}
	}
	return cmp.Or(cmp.Compare(a.destination, b.destination), strings.Compare(a.location, b.location))
}

// why is a candidate's place in the order, in words.
func (r *ranking) why(c candidate, o offer) string {
	var parts []string
	for _, s := range r.steps {
		if s.idle != "" {
			continue
		}
		switch s.by {
		case types.PriorityTypeLatency:
			parts = append(parts, "LATENCY "+heardText(c))
		case types.PriorityTypeCost:
			parts = append(parts, "COST "+o.destinations[c.destination].cost)
		case types.PriorityTypeDestination:
			parts = append(parts, fmt.Sprintf("DESTINATION %d", c.destination+1))
		case types.PriorityTypeLocation:
			if c.place == r.listed {
				parts = append(parts, "LOCATION by name")
				continue
			}
			parts = append(parts, fmt.Sprintf("LOCATION %d", c.place+1))
		}
	}
	return strings.Join(parts, ", ")
}

func heardText(c candidate) string {
	switch c.silent {
	case 0:
		return milliseconds(c.latency)
	case 1:
		return milliseconds(c.latency) + " of some players"
	}
	return "unknown"
}

func milliseconds(ms float64) string {
	return strconv.FormatFloat(math.Round(ms*100)/100, 'f', -1, 64) + " ms"
}

// capAt is the latency that policies allow at an instant after the start, and when that
// changes: policies take turns from the strictest on, each for its duration; one without a
// duration lasts, and after the last there is no cap (6.4).
func capAt(policies []types.PlayerLatencyPolicy, elapsed time.Duration) (limit *int32, until *time.Duration) {
	sorted := slices.SortedFunc(slices.Values(policies), func(a, b types.PlayerLatencyPolicy) int {
		return cmp.Compare(*a.MaximumIndividualPlayerLatencyMilliseconds, *b.MaximumIndividualPlayerLatencyMilliseconds)
	})
	var end time.Duration
	for _, p := range sorted {
		if p.PolicyDurationSeconds == nil {
			return p.MaximumIndividualPlayerLatencyMilliseconds, nil
		}
		if end += time.Duration(*p.PolicyDurationSeconds) * time.Second; elapsed < end {
			return p.MaximumIndividualPlayerLatencyMilliseconds, &end
		}
	}
	return nil, nil
}

// reports are the players' latencies, by location.
type reports struct {
	players []string // each once, as they came
	at      map[string]*report
}

// report is what was reported of one location.
type report struct {
	sum     float64
	n       int
	worst   latency
	players map[string]bool
}

func listen(all []latency) reports {
	h := reports{at: map[string]*report{}}
	known := map[string]bool{}
	for _, l := range all {
		if !known[l.Player] {
			known[l.Player] = true
			h.players = append(h.players, l.Player)
		}
		r := h.at[l.Location]
		if r == nil {
			r = &report{worst: l, players: map[string]bool{}}
			h.at[l.Location] = r
		}
		r.sum, r.n = r.sum+l.Ms, r.n+1
		r.players[l.Player] = true
		if l.Ms > r.worst.Ms {
			r.worst = l
		}
	}
	return h
}

// mean is the mean of what was reported of a location, and who was silent: nobody (0), some
// players (1) or all (2).
func (h reports) mean(location string) (silent int, mean float64) {
	r := h.at[location]
	if r == nil {
		return 2, 0
	}
	if len(r.players) < len(h.players) {
		silent = 1
	}
	return silent, r.sum / float64(r.n)
}

// above is why a location is out while a cap is in force; "" when it is not. A latency equal
// to the cap is allowed.
func (h reports) above(location string, limit int32) string {
	r := h.at[location]
	if r != nil && r.worst.Ms > float64(limit) {
		return fmt.Sprintf("player %s has %s, above the cap of %d ms", r.worst.Player, milliseconds(r.worst.Ms), limit)
	}
	for _, p := range h.players {
		if r == nil || len(r.players) < len(h.players) && !r.players[p] {
			return fmt.Sprintf("player %s reported no latency, while a cap of %d ms is in force", p, limit)
		}
	}
	return ""
}

// anywhere is the location of placement_wait that stands for all.
const anywhere = ""

// reach is where a wish lets a placement go, whatever the queue has: the locations that
// latencies or an override leave, or anywhere. until is when that grows, from the start.
func reach(policies []types.PlayerLatencyPolicy, w wish) (locations []string, until *time.Duration) {
	if w.Only {
		return w.Override, nil
	}
	if len(w.Latencies) == 0 {
		return []string{anywhere}, nil
	}
	limit, until := capAt(policies, w.elapsed)
	if limit == nil {
		return []string{anywhere}, nil
	}
	heard := listen(w.Latencies)
	for location := range heard.at {
		if heard.above(location, *limit) == "" {
			locations = append(locations, location)
		}
	}
	slices.Sort(locations)
	return locations, until
}
