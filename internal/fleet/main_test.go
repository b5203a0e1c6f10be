package fleet_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/fleet/fleettest"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

// rooms is the fleet room with the tag and build rooms under it, on an empty database.
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
		s.Builds = &build.Service{DB: db, Home: home, Tags: s.Tags}
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

const (
	invalid    = "InvalidRequestException"
	missing    = "NotFoundException"
	conflict   = "ConflictException"
	overQuota  = "LimitExceededException"
	badStatus  = "InvalidFleetStatusException"
	notReady   = "NotReadyException"
	tagging    = "TaggingFailedException"
	terminal   = "TerminalRoutingStrategyException"
	unoffered  = "UnsupportedRegionException"
	serverSide = "InternalServiceException"

	unknownFleet = "fleet-01234567-89ab-7def-8123-456789abcdef"
	unknownAlias = "alias-01234567-89ab-7def-8123-456789abcdef"
)

// setStatus puts a fleet into a state that Anywhere fleets are never seen in.
func (r *rooms) setStatus(id string, status types.FleetStatus) {
	r.t.Helper()
	r.setColumn(id, "status", string(status))
}

// madeBuild makes a build without a file, as the room below would have it.
func (r *rooms) madeBuild(status types.BuildStatus, os types.OperatingSystem, sdk string) string {
	r.t.Helper()
	return fleettest.Build(r.t, r.DB, status, os, sdk)
}

// ready is a READY build for Linux with server SDK 5.
func (r *rooms) ready() string {
	return r.madeBuild(types.BuildStatusReady, types.OperatingSystemAmazonLinux2023, "5.2.0")
}

// script makes a Realtime script.
func (r *rooms) script() string {
	r.t.Helper()
	var id string
	r.write(func(tx *store.Tx) error {
		key, tail := tx.NewKey(), store.Tail()
		id = "script-" + key.UUID(tail)
		_, err := tx.Exec(`INSERT INTO script (key, tail, node_js, blob, size, created_at) VALUES ($1, $2, '24.x', 'scripts/x', 1, $3)`, key, tail, tx.NowMs())
		return err
	})
	return id
}

// ec2 is the smallest request for a managed fleet of a build, in the given locations.
func ec2(build string, at ...string) *gamelift.CreateFleetInput {
	in := anywhere(at...)
	in.ComputeType, in.BuildId, in.EC2InstanceType, in.RuntimeConfiguration = "", &build, types.EC2InstanceTypeC5Large, processes(1)
	return in
}

// managed makes a managed fleet, NEW, with hosts of which none does anything by itself.
func (r *rooms) managed(at ...string) arn.FleetID {
	r.t.Helper()
	r.hosts()
	out, err := r.CreateFleet(r.t.Context(), ec2(r.ready(), at...))
	if err != nil {
		r.t.Fatalf("CreateFleet: %v", err)
	}
	return arn.FleetID(*out.FleetAttributes.FleetId)
}

// hosts puts a room for hosts above, which has no instances.
func (r *rooms) hosts() {
	if r.Instances == nil {
		r.Instances = func(*store.Tx, arn.FleetID, arn.Location) (fleet.Instances, error) { return fleet.Instances{}, nil }
	}
}

// active makes a managed fleet whose hosts are done with its locations.
func (r *rooms) active(at ...string) arn.FleetID {
	r.t.Helper()
	id := r.managed(at...)
	if len(at) == 0 {
		at = []string{home.Region}
	}
	for _, l := range at {
		r.advance(id, l, types.FleetStatusActive)
	}
	return id
}

func (r *rooms) advance(id arn.FleetID, at string, to types.FleetStatus) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error { return r.AdvanceTx(tx, id, arn.Location(at), to) })
}

func (r *rooms) goneFrom(id arn.FleetID, at string) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error { return r.GoneTx(tx, id, arn.Location(at)) })
}

// status is a fleet's state; "" when it is not there.
func (r *rooms) status(id arn.FleetID) types.FleetStatus {
	r.t.Helper()
	out, err := r.DescribeFleetAttributes(r.t.Context(), &gamelift.DescribeFleetAttributesInput{FleetIds: []string{string(id)}})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(out.FleetAttributes) == 0 {
		return ""
	}
	return out.FleetAttributes[0].Status
}

// statusAt is the state of one of a fleet's locations; "" when it does not have it.
func (r *rooms) statusAt(id arn.FleetID, at string) types.FleetStatus {
	r.t.Helper()
	out, err := r.DescribeFleetLocationAttributes(r.t.Context(), &gamelift.DescribeFleetLocationAttributesInput{FleetId: new(string(id)), Locations: []string{at}})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(out.LocationAttributes) == 0 {
		return ""
	}
	return out.LocationAttributes[0].LocationState.Status
}

// tick runs the sweep at the clock's time.
func (r *rooms) tick() {
	r.t.Helper()
	if err := r.Tick(r.t.Context(), r.clock.Now()); err != nil {
		r.t.Fatal(err)
	}
}

// pass lets time pass and then runs the sweep.
func (r *rooms) pass(d time.Duration) {
	r.t.Helper()
	r.clock.Advance(d)
	r.tick()
}

// history are the codes of a fleet's events, oldest first.
func (r *rooms) history(id arn.FleetID) []types.EventCode {
	r.t.Helper()
	codes := r.eventCodes(string(id))
	slices.Reverse(codes)
	return codes
}

func (r *rooms) setColumn(id, column, value string) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		f, err := r.GetTx(tx, arn.FleetID(id))
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE fleet SET `+column+` = $2 WHERE key = $1`, f.Key, value)
		return err
	})
}

// eventCodes are the codes of a fleet's events, newest first.
func (r *rooms) eventCodes(id string) []types.EventCode {
	r.t.Helper()
	out, err := r.DescribeFleetEvents(r.t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &id})
	if err != nil {
		r.t.Fatal(err)
	}
	var codes []types.EventCode
	for _, e := range out.Events {
		codes = append(codes, e.EventCode)
	}
	return codes
}

// walk reads a listing to its end and checks what holds for every listing: pages no longer
// than the limit, no token twice, and none after the last row.
func walk[T any](t *testing.T, limit int, next func(token *string) ([]T, *string, error)) []T {
	t.Helper()
	var all []T
	var token *string
	seen := map[string]bool{}
	for {
		rows, following, err := next(token)
		if err != nil {
			t.Fatalf("page after %d rows: %v", len(all), err)
		}
		if rows == nil || len(rows) > limit {
			t.Fatalf("page of %d rows (nil: %v), limit %d", len(rows), rows == nil, limit)
		}
		all = append(all, rows...)
		if following == nil {
			return all
		}
		if *following == "" || seen[*following] || len(rows) == 0 {
			t.Fatalf("token %q after %d rows: empty, repeated, or after an empty page", *following, len(all))
		}
		seen[*following], token = true, following
	}
}

// tokensRefused checks that a listing takes no token that is not its own: altered, from
// another operation, or text. own is a token the listing returned.
func tokensRefused(t *testing.T, own string, call func(token *string) error) {
	t.Helper()
	foreign := page.Encode("SomethingElse", nil, store.Key(1))
	flipped := []byte(own)
	flipped[len(flipped)/2] ^= 1
	for name, token := range map[string]string{"foreign": foreign, "altered": string(flipped), "text": "abc", "cut": own[:len(own)-1], "longer": own + "A"} {
		expect.Refused(t, name+" token", call(&token), invalid, "NextToken")
	}
}
