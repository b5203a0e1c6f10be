package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// CreateFleetLocations adds locations to a fleet: custom ones, ACTIVE at once, to an Anywhere
// fleet; to a managed one places where hosts can be, which begin as NEW. It answers the new
// ones only. A location the fleet has already is a ConflictException.
func (s *Service) CreateFleetLocations(ctx context.Context, in *gamelift.CreateFleetLocationsInput) (*gamelift.CreateFleetLocationsOutput, error) {
	out := &gamelift.CreateFleetLocationsOutput{}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.fleetToChange(tx, in.FleetId)
		if err != nil {
			return err
		}
		if err := mayGrow(f); err != nil {
			return err
		}
		if out.LocationStates, err = s.growTx(tx, f, in.Locations); err != nil {
			return err
		}
		for _, l := range out.LocationStates {
			if err := s.placeEventTx(tx, f.ID, arn.Location(*l.Location), l.Status); err != nil {
				return err
			}
		}
		out.FleetId, out.FleetArn = new(string(f.ID)), new(s.Home.Fleet(f.ID))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) growTx(tx *store.Tx, f Fleet, list []types.LocationConfiguration) ([]types.LocationState, error) {
	if f.ComputeType == types.ComputeTypeAnywhere {
		at, err := anywhereLocations(list)
		if err != nil {
			return nil, err
		}
		return s.attachTx(tx, f, at, types.FleetStatusActive)
	}
	at, err := hostLocations(list)
	if err != nil {
		return nil, err
	}
	tx.Notify(ChannelCapacity, string(f.ID))
	return s.attachManagedTx(tx, f, at)
}

// mayGrow refuses new locations outside ACTIVE: NotReadyException while the fleet is being
// made, InvalidFleetStatusException otherwise (hosting.md 2.3).
func mayGrow(f Fleet) error {
	switch f.Status {
	case types.FleetStatusActive:
		return nil
	case types.FleetStatusNew, types.FleetStatusDownloading, types.FleetStatusValidating,
		types.FleetStatusBuilding, types.FleetStatusActivating:
		return apierr.NotReady("FleetId: fleet %s is %s; locations can be added once it is ACTIVE", f.ID, f.Status)
	default:
		return apierr.InvalidFleetStatus("FleetId: fleet %s is %s; locations can be added while it is ACTIVE", f.ID, f.Status)
	}
}

// attachTx gives a fleet locations in a state, in the given order. Custom ones must exist.
func (s *Service) attachTx(tx *store.Tx, f Fleet, at []arn.Location, status types.FleetStatus) ([]types.LocationState, error) {
	// Locked in one order by everybody, or two callers could wait for each other.
	for _, name := range slices.Sorted(slices.Values(at)) {
		if !strings.HasPrefix(string(name), customPrefix) {
			continue
		}
		found, err := lockLocation(tx, name)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, apierr.NotFound("Locations: %s does not exist", name)
		}
	}
	states := []types.LocationState{}
	for _, name := range at {
		n, err := tx.Exec(`INSERT INTO fleet_location (fleet, location, key, status) VALUES ($1, $2, $3, $4) ON CONFLICT (fleet, location) DO NOTHING`,
			f.Key, name, tx.NewKey(), status)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, apierr.Conflict("Locations: fleet %s has %s already", f.ID, name)
		}
		states = append(states, types.LocationState{Location: new(string(name)), Status: status})
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM fleet_location WHERE fleet = $1`, f.Key).Scan(&n); err != nil {
		return nil, err
	}
	if quota := s.Quotas.orDefaults().LocationsPerFleet; n > quota {
		return nil, apierr.LimitExceeded("Locations: fleet %s would have %d, and the quota is %d", f.ID, n, quota)
	}
	return states, nil
}

// DeleteFleetLocations takes locations from a fleet. What runs there ends, whatever its
// protection. The answer says DELETING; on an Anywhere fleet, which has no hosts to shut
// down, they are gone by then; on a managed one they go when their instances are gone.
// Locations the fleet does not have are a NotFoundException, and one that is being deleted
// already may be named again.
func (s *Service) DeleteFleetLocations(ctx context.Context, in *gamelift.DeleteFleetLocationsInput) (*gamelift.DeleteFleetLocationsOutput, error) {
	out := &gamelift.DeleteFleetLocationsOutput{LocationStates: []types.LocationState{}}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		out.LocationStates = out.LocationStates[:0]
		f, err := s.fleetToChange(tx, in.FleetId)
		if err != nil {
			return err
		}
		for i, name := range in.Locations {
			if slices.Contains(in.Locations[:i], name) {
				return apierr.InvalidRequest("Locations: %s is given twice", name)
			}
			if name == s.Home.Region {
				return apierr.InvalidRequest("Locations: %s is the home region, which a fleet cannot leave", name)
			}
			if err := s.leaveTx(tx, f, arn.Location(name)); err != nil {
				return err
			}
			out.LocationStates = append(out.LocationStates, types.LocationState{Location: &name, Status: types.FleetStatusDeleting})
		}
		out.FleetId, out.FleetArn = new(string(f.ID)), new(s.Home.Fleet(f.ID))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) leaveTx(tx *store.Tx, f Fleet, at arn.Location) error {
	status, err := s.LocationTx(tx, f.ID, at)
	if errors.Is(err, store.ErrNoRows) {
		return apierr.NotFound("Locations: fleet %s does not have %s", f.ID, at)
	}
	if err != nil || status == types.FleetStatusDeleting {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet_location SET status = $3 WHERE fleet = $1 AND location = $2`, f.Key, at, types.FleetStatusDeleting); err != nil {
		return err
	}
	if err := s.placeEventTx(tx, f.ID, at, types.FleetStatusDeleting); err != nil {
		return err
	}
	if f.ComputeType == types.ComputeTypeEc2 {
		return s.leaveManagedTx(tx, f, at)
	}
	if s.Leaving != nil {
		if err := s.Leaving(tx, f.ID, at); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`DELETE FROM fleet_location WHERE fleet = $1 AND location = $2`, f.Key, at); err != nil {
		return err
	}
	return s.EventTx(tx, f.ID, types.EventCodeLocationStateDeleted, "Location "+string(at)+" changed state to DELETED")
}

// DescribeFleetLocationAttributes tells the state of a fleet's locations: of those named,
// in that order and without the ones the fleet does not have, or of all but the home region,
// oldest first (hosting.md 2.6).
// Limit is not enforced, as AWS documents, so there is one page and no token is valid.
func (s *Service) DescribeFleetLocationAttributes(ctx context.Context, in *gamelift.DescribeFleetLocationAttributesInput) (*gamelift.DescribeFleetLocationAttributesOutput, error) {
	if in.NextToken != nil {
		return nil, apierr.InvalidRequest("NextToken: this operation never returns one")
	}
	out := &gamelift.DescribeFleetLocationAttributesOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		out.LocationAttributes = []types.LocationAttributes{}
		f, err := s.fleetOf(tx, in.FleetId)
		if err != nil {
			return err
		}
		states, err := locationsOf(tx, f)
		if err != nil {
			return err
		}
		if in.Locations != nil {
			states = pick(states, in.Locations)
		} else {
			states = slices.DeleteFunc(states, func(l types.LocationState) bool { return *l.Location == s.Home.Region })
		}
		for _, state := range states {
			a, err := s.locationTx(tx, f, state)
			if err != nil {
				return err
			}
			out.LocationAttributes = append(out.LocationAttributes, a)
		}
		out.FleetId, out.FleetArn = new(string(f.ID)), new(s.Home.Fleet(f.ID))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) locationTx(tx *store.Tx, f Fleet, state types.LocationState) (types.LocationAttributes, error) {
	a := types.LocationAttributes{LocationState: &state}
	if f.ComputeType != types.ComputeTypeEc2 {
		return a, nil
	}
	if f.detail.Gateway != "" {
		a.LocationState.PlayerGatewayStatus = types.PlayerGatewayStatusDisabled
	}
	p, err := placeTx(tx, f, arn.Location(*state.Location), "")
	if err == nil && p.Stopped {
		a.StoppedActions = stopped
	}
	return a, err
}

func locationsOf(tx *store.Tx, f Fleet) ([]types.LocationState, error) {
	rows, err := tx.Query(`SELECT location, status FROM fleet_location WHERE fleet = $1 ORDER BY key`, f.Key)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var states []types.LocationState
	for rows.Next() {
		var name string
		var status types.FleetStatus
		if err := rows.Scan(&name, &status); err != nil {
			return nil, err
		}
		states = append(states, types.LocationState{Location: &name, Status: status})
	}
	return states, rows.Err()
}

// pick takes the named states in the order of the names, each once.
func pick(states []types.LocationState, names []string) []types.LocationState {
	var picked []types.LocationState
	for i, name := range names {
		at := slices.IndexFunc(states, func(l types.LocationState) bool { return *l.Location == name })
		if at >= 0 && !slices.Contains(names[:i], name) {
			picked = append(picked, states[at])
		}
	}
	return picked
}
