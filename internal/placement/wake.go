package placement

import (
	"cmp"
	"maps"
	"slices"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// rouseTx tells the fleets that scale from zero where somebody wants a game session: in every
// place that a placement could go to and that had no process for it (hosting.md 2.7). The
// placement waits all the same, and may go elsewhere.
func (s *Service) rouseTx(tx *store.Tx, st stock, claims []*claim) error {
	places := map[tried]bool{}
	for _, c := range claims {
		if c.chosen >= 0 {
			continue
		}
		for _, k := range c.ranking.candidates {
			if st.fleets[k.fleet].FromZero() {
				places[k.at()] = true
			}
		}
	}
	return s.wantedTx(tx, st, places)
}

// rouseFartherTx is rouseTx for placements of a queue whose latency policy relaxed so far
// that they can go to these locations.
func (s *Service) rouseFartherTx(tx *store.Tx, q queue, locations []string) error {
	st, err := s.stockOf(tx, q, false)
	if err != nil {
		return err
	}
	places := map[tried]bool{}
	for _, d := range st.destinations {
		for _, p := range d.places {
			if st.fleets[d.fleet].FromZero() && (slices.Contains(locations, p.location) || slices.Contains(locations, anywhere)) {
				places[tried{d.fleet, p.location}] = true
			}
		}
	}
	return s.wantedTx(tx, st, places)
}

// wantedTx tells in one order, in which everybody locks.
func (s *Service) wantedTx(tx *store.Tx, st stock, places map[tried]bool) error {
	for _, at := range slices.SortedFunc(maps.Keys(places), func(x, y tried) int {
		return cmp.Or(cmp.Compare(x.Fleet, y.Fleet), cmp.Compare(x.Location, y.Location))
	}) {
		if err := s.Fleets.SessionWantedTx(tx, st.fleets[at.Fleet], arn.Location(at.Location)); err != nil {
			return err
		}
	}
	return nil
}
