package fleet_test

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

// rooms is the fleet room with the tag room under it, on an empty database.
type rooms struct {
	*fleet.Service
	t     *testing.T
	clock *storetest.Clock
}

// each runs a test on both databases.
func each(t *testing.T, f func(r *rooms)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		s := &fleet.Service{DB: db, Home: home}
		s.Tags = &tag.Service{DB: db, Exists: s.ExistsTx}
		f(&rooms{Service: s, t: t, clock: clock})
	})
}

// location makes custom locations.
func (r *rooms) location(names ...string) {
	r.t.Helper()
	for _, name := range names {
		if _, err := r.CreateLocation(r.t.Context(), &gamelift.CreateLocationInput{LocationName: &name}); err != nil {
			r.t.Fatalf("CreateLocation %s: %v", name, err)
		}
	}
}

// anywhere is the smallest request for an Anywhere fleet in the given locations.
func anywhere(at ...string) *gamelift.CreateFleetInput {
	in := &gamelift.CreateFleetInput{Name: new("arena"), ComputeType: types.ComputeTypeAnywhere}
	for _, name := range at {
		in.Locations = append(in.Locations, types.LocationConfiguration{Location: new(name)})
	}
	return in
}

// fleet makes an Anywhere fleet in locations that exist.
func (r *rooms) fleet(at ...string) string {
	r.t.Helper()
	out, err := r.CreateFleet(r.t.Context(), anywhere(at...))
	if err != nil {
		r.t.Fatalf("CreateFleet: %v", err)
	}
	return *out.FleetAttributes.FleetId
}

// write runs f in a transaction that must succeed.
func (r *rooms) write(f func(tx *store.Tx) error) {
	r.t.Helper()
	if err := r.DB.Write(r.t.Context(), f); err != nil {
		r.t.Fatal(err)
	}
}

// show is a value as JSON, for messages.
func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
