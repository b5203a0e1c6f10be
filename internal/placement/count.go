package placement

import (
	"github.com/matchyard/matchyard/internal/store"
)

// The series of queues (hosting.md 7), each with the queue's name. Placement has the
// location besides.
const (
	PlacementsStarted       = "gamelift_placements_started_total"
	PlacementsSucceeded     = "gamelift_placements_succeeded_total"
	PlacementsFailed        = "gamelift_placements_failed_total"
	PlacementsCanceled      = "gamelift_placements_canceled_total"
	PlacementsTimedOut      = "gamelift_placements_timed_out_total"
	PlacementSeconds        = "gamelift_placement_wait_seconds" // from the start to the end, of the succeeded
	Placements              = "gamelift_placement_total"
	FirstChoiceNotViable    = "gamelift_first_choice_not_viable_total"
	FirstChoiceFull         = "gamelift_first_choice_out_of_capacity_total"
	LowestLatencyPlacements = "gamelift_lowest_latency_placement_total"
	LowestPricePlacements   = "gamelift_lowest_price_placement_total"
)

// countEnds counts placements that reached a final state.
func countEnds(tx *store.Tx, list []placement) {
	for _, p := range list {
		switch p.status {
		case fulfilled:
			tx.Count(PlacementsSucceeded, 1, p.queueName)
			tx.Count(PlacementSeconds, float64(tx.NowMs()-p.startedAt)/1000, p.queueName)
			if p.location != nil {
				tx.Count(Placements, 1, p.queueName, *p.location)
			}
		case failed:
			tx.Count(PlacementsFailed, 1, p.queueName)
		case cancelled:
			tx.Count(PlacementsCanceled, 1, p.queueName)
		case timedOut:
			tx.Count(PlacementsTimedOut, 1, p.queueName)
		default:
		}
	}
}

// countAttempts counts how good the places are that placements got: whether another was
// better and full, or the queue's first destination could not be used at all, and whether it
// was the best by latency and by price.
func countAttempts(tx *store.Tx, list []*claim) {
	for _, c := range list {
		if c.chosen < 0 || c.ranking == nil || c.chosen >= len(c.ranking.candidates) {
			continue
		}
		got := c.ranking.candidates[c.chosen]
		if c.chosen > 0 {
			tx.Count(FirstChoiceFull, 1, c.queueName)
		}
		for _, x := range c.ranking.excluded {
			if x.destination == 0 && (x.location == "" || x.location == got.location) {
				tx.Count(FirstChoiceNotViable, 1, c.queueName)
				break
			}
		}
		latency, price := got.silent < 2, true
		for _, other := range c.ranking.candidates {
			latency = latency && (other.silent > got.silent || other.latency >= got.latency)
			price = price && other.cost >= got.cost
		}
		if latency {
			tx.Count(LowestLatencyPlacements, 1, c.queueName)
		}
		if price {
			tx.Count(LowestPricePlacements, 1, c.queueName)
		}
	}
}
