package fleet

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

const customPrefix = "custom-"

const (
	locationsPage = 200 // default and most, by the model
)

// CreateLocation makes a custom location. Of concurrent calls with one name one wins; the
// others get a ConflictException.
func (s *Service) CreateLocation(ctx context.Context, in *gamelift.CreateLocationInput) (*gamelift.CreateLocationOutput, error) {
	name := arn.Location(*in.LocationName)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`INSERT INTO location (name, key) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, tx.NewKey())
		if err != nil {
			return err
		}
		if n == 0 {
			return apierr.Conflict("LocationName: %s exists", name)
		}
		// Tags written while an earlier location of this name was being deleted must not
		// come back with the name.
		if err := s.Tags.DropTx(tx, s.Home.Location(name)); err != nil {
			return err
		}
		if err := s.Tags.SetTx(tx, s.Home.Location(name), in.Tags); err != nil {
			return err
		}
		return takeTx(tx, quotaLocation, s.Quotas.orDefaults().CustomLocations)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.CreateLocationOutput{Location: new(s.customLocation(name))}, nil
}

// DeleteLocation removes a custom location, by name or ARN. While a fleet lists it, it is
// refused as InvalidRequestException: AWS only asks to check first and models no conflict
// (hosting.md 5.2).
func (s *Service) DeleteLocation(ctx context.Context, in *gamelift.DeleteLocationInput) (*gamelift.DeleteLocationOutput, error) {
	name, err := arn.ParseLocation(*in.LocationName)
	if err != nil {
		return nil, apierr.InvalidRequest("LocationName: %v", err)
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		found, err := lockLocation(tx, name)
		if err != nil {
			return err
		}
		if !found {
			return apierr.NotFound("LocationName: %s does not exist", name)
		}
		var fleets int
		if err := tx.QueryRow(`SELECT count(*) FROM fleet_location WHERE location = $1`, name).Scan(&fleets); err != nil {
			return err
		}
		if fleets > 0 {
			return apierr.InvalidRequest("LocationName: %s is in use by %d fleets", name, fleets)
		}
		if _, err := tx.Exec(`DELETE FROM location WHERE name = $1`, name); err != nil {
			return err
		}
		if err := s.Tags.DropTx(tx, s.Home.Location(name)); err != nil {
			return err
		}
		return giveTx(tx, quotaLocation)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeleteLocationOutput{}, nil
}

// ListLocations lists the home region, which is the one AWS location there is, and then
// the custom locations, oldest first, with the ping beacons there are. (At AWS only its own
// locations have one.)
func (s *Service) ListLocations(ctx context.Context, in *gamelift.ListLocationsInput) (*gamelift.ListLocationsOutput, error) {
	var after store.Key
	bind := in.Filters
	more, err := page.Decode("ListLocations", bind, in.NextToken, &after)
	if err != nil {
		return nil, err
	}
	wants := func(f types.LocationFilter) bool { return len(in.Filters) == 0 || slices.Contains(in.Filters, f) }
	size := page.Size(in.Limit, locationsPage, locationsPage)
	var out *gamelift.ListLocationsOutput
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		out = &gamelift.ListLocationsOutput{Locations: []types.LocationModel{}}
		beacons, err := s.beaconsTx(tx)
		if err != nil {
			return err
		}
		if !more && wants(types.LocationFilterAws) {
			home := arn.Location(s.Home.Region)
			out.Locations = append(out.Locations, types.LocationModel{LocationName: &s.Home.Region, PingBeacon: beacons[home]})
		}
		if !wants(types.LocationFilterCustom) {
			return nil
		}
		// A page that the home region fills goes on with the first custom one.
		left := size - len(out.Locations)
		list, err := store.All(scanLocation)(tx.Query(`SELECT key, name FROM location WHERE key > $1 ORDER BY key LIMIT $2`, after, left+1))
		if err != nil {
			return err
		}
		if left == 0 && len(list) > 0 {
			list, out.NextToken = nil, new(page.Encode("ListLocations", bind, after))
		} else {
			list, out.NextToken = page.Cut(list, left, func(l location) string { return page.Encode("ListLocations", bind, l.key) })
		}
		for _, l := range list {
			m := s.customLocation(l.name)
			m.PingBeacon = beacons[l.name]
			out.Locations = append(out.Locations, m)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// location is a custom location.
type location struct {
	key  store.Key
	name arn.Location
}

func scanLocation(row store.Scanner) (l location, err error) {
	err = row.Scan(&l.key, &l.name)
	return l, err
}

func (s *Service) customLocation(name arn.Location) types.LocationModel {
	return types.LocationModel{LocationName: new(string(name)), LocationArn: new(s.Home.Location(name))}
}

// beaconsTx are the ping beacons by location. The home region's is the server's own, if it has
// one.
func (s *Service) beaconsTx(tx *store.Tx) (map[arn.Location]*types.PingBeacon, error) {
	where := map[arn.Location]string{}
	if s.Beacons != nil {
		var err error
		if where, err = s.Beacons(tx); err != nil {
			return nil, err
		}
	}
	if s.Beacon != "" {
		where[arn.Location(s.Home.Region)] = s.Beacon
	}
	beacons := map[arn.Location]*types.PingBeacon{}
	for at, address := range where {
		host, port, err := net.SplitHostPort(address)
		if n, bad := strconv.ParseUint(port, 10, 16); err == nil && bad == nil {
			beacons[at] = &types.PingBeacon{UDPEndpoint: &types.UDPEndpoint{Domain: &host, Port: new(int32(n))}}
		}
	}
	return beacons, nil
}

// lockLocation tells whether a custom location exists, and keeps it so until the
// transaction ends.
func lockLocation(tx *store.Tx, name arn.Location) (bool, error) {
	err := tx.QueryRow(`SELECT name FROM location WHERE name = $1`+tx.ForUpdate(), name).Scan(new(string))
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
