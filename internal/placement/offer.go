package placement

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// stock is what a queue offers now, with the fleets it is in.
type stock struct {
	offer
	fleets map[arn.FleetID]fleet.Fleet
}

// stockOf resolves a queue's destinations: an alias stands for its fleet of this instant,
// and what cannot host is kept with the reason (sessions-placement.md 6.7). hold keeps the
// fleets as they are until the transaction ends.
func (s *Service) stockOf(tx *store.Tx, q queue, hold bool) (stock, error) {
	st := stock{offer: offer{detail: q.detail}, fleets: map[arn.FleetID]fleet.Fleet{}}
	get := s.Fleets.GetTx
	if hold {
		get = s.Fleets.HoldTx
	}
	for _, text := range q.Destinations {
		d := destination{arn: text}
		id, skip, err := s.resolve(tx, text)
		if err != nil {
			return stock{}, err
		}
		d.fleet, d.skip = id, skip
		if skip == "" {
			f, err := get(tx, id)
			switch {
			case errors.Is(err, store.ErrNoRows):
				d.skip = "fleet " + string(id) + " does not exist"
			case err != nil:
				return stock{}, err
			case f.Status != types.FleetStatusActive:
				d.skip = "the fleet is " + string(f.Status) + ", not ACTIVE"
			default:
				d.fleetKey, d.cost = f.Key, f.Cost
				st.fleets[f.ID] = f
				if d.places, err = s.placesOf(tx, f); err != nil {
					return stock{}, err
				}
			}
		}
		st.destinations = append(st.destinations, d)
	}
	return st, nil
}

// resolve is the fleet that a destination means, or why there is none.
func (s *Service) resolve(tx *store.Tx, text string) (id arn.FleetID, skip string, err error) {
	region, name, malformed := parseDestination(text)
	if malformed != nil {
		return "", malformed.Error(), nil //nolint:nilerr // it is passed over, with this for the reason
	}
	if region != s.Home.Region {
		return "", "it is in region " + region + ", and this server serves " + s.Home.Region, nil
	}
	if kind, _, _ := arn.Resource(text); kind != "alias" {
		return arn.FleetID(name), "", nil
	}
	id, err = s.Fleets.ResolveTx(tx, arn.AliasID(name))
	if terminal, ok := errors.AsType[*types.TerminalRoutingStrategyException](err); ok {
		return "", "the alias is terminal: " + terminal.ErrorMessage(), nil
	}
	if _, ok := errors.AsType[*types.NotFoundException](err); ok {
		return "", "the alias does not exist", nil
	}
	return id, "", err
}

func (s *Service) placesOf(tx *store.Tx, f fleet.Fleet) ([]place, error) {
	states, err := s.Fleets.PlacesTx(tx, f)
	if err != nil {
		return nil, err
	}
	free, err := s.Computes.FreeTx(tx, f)
	if err != nil {
		return nil, err
	}
	places := make([]place, len(states))
	for i, l := range states {
		places[i] = place{location: *l.Location, status: l.Status, free: free[arn.Location(*l.Location)]}
	}
	return places, nil
}

// free are the locations in which an offer has free processes that the queue's filter
// allows, and how many.
func (o offer) free() map[string]int {
	all := map[string]int{}
	for _, c := range rank(o, wish{}).candidates {
		if c.free > 0 {
			all[c.location] += c.free
		}
	}
	return all
}
