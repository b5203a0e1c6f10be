package compute_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const (
	east arn.Location = "custom-east"
	west arn.Location = "custom-west"

	invalid   = "InvalidRequestException"
	missing   = "NotFoundException"
	conflict  = "ConflictException"
	overQuota = "LimitExceededException"

	unknownFleet = "fleet-01234567-89ab-7def-8123-456789abcdef"
)

// rooms is the compute room on an empty database, with the real fleet room under it and
// one Anywhere fleet in two locations.
type rooms struct {
	*compute.Service
	t     *testing.T
	clock *storetest.Clock
	fleet string
	ended []string // "process: reason", in order, as the hook heard
}

// each runs a test on both databases.
func each(t *testing.T, f func(t *testing.T, r *rooms)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := &rooms{t: t, clock: clock, Service: service(db)}
		r.Ended = func(_ *store.Tx, p compute.Process, why compute.EndReason) error {
			r.ended = append(r.ended, p.ProcessID+": "+string(why))
			return nil
		}
		for _, name := range []arn.Location{east, west} {
			_, err := r.Fleets.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: new(string(name))})
			expect.OK(t, err)
		}
		r.fleet = r.newFleet(east, west)
		f(t, r)
		r.checkCounts()
	})
}

// service is the room as the program wires it.
func service(db *store.DB) *compute.Service {
	fleets := &fleet.Service{DB: db, Home: home}
	fleets.Tags = &tag.Service{DB: db, Exists: fleets.ExistsTx}
	s := &compute.Service{
		DB: db, Home: home, Fleets: fleets,
		SDKEndpoint:   func() string { return "ws://127.0.0.1:9170" },
		AgentEndpoint: func() string { return "ws://127.0.0.1:9170/agent" },
	}
	fleets.Deleting, fleets.Leaving = s.DropFleetTx, s.DropLocationTx
	return s
}

func (r *rooms) newFleet(at ...arn.Location) string {
	r.t.Helper()
	in := &gamelift.CreateFleetInput{Name: new("arena"), ComputeType: types.ComputeTypeAnywhere}
	for _, name := range at {
		in.Locations = append(in.Locations, types.LocationConfiguration{Location: new(string(name))})
	}
	out, err := r.Fleets.CreateFleet(r.t.Context(), in)
	expect.OK(r.t, err)
	return *out.FleetAttributes.FleetId
}

// register registers a compute in the fleet.
func (r *rooms) register(name string, at arn.Location) *types.Compute {
	r.t.Helper()
	out, err := r.RegisterCompute(r.t.Context(), registration(r.fleet, name, at))
	expect.OK(r.t, err)
	return out.Compute
}

func registration(fleet, name string, at arn.Location) *gamelift.RegisterComputeInput {
	return &gamelift.RegisterComputeInput{FleetId: &fleet, ComputeName: &name, IpAddress: new("10.0.0.1"), Location: new(string(at))}
}

// token is the compute's auth token.
func (r *rooms) token(name string) string {
	r.t.Helper()
	out, err := r.GetComputeAuthToken(r.t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &r.fleet, ComputeName: &name})
	expect.OK(r.t, err)
	return *out.AuthToken
}

// dial is a dial of a process with the compute's token and its own idempotency token.
func (r *rooms) dial(name, pid string) compute.Dial {
	r.t.Helper()
	return compute.Dial{
		ProcessID: pid, Compute: arn.ComputeName(name), Fleet: arn.FleetID(r.fleet), AuthToken: r.token(name),
		IdempotencyToken: "once-" + pid, SDKVersion: "5.5.0", SDKLanguage: "Go",
	}
}

// connect dials in.
func (r *rooms) connect(name, pid string) compute.Process {
	r.t.Helper()
	p, err := r.Connect(r.t.Context(), r.dial(name, pid))
	expect.OK(r.t, err)
	return p
}

// ready is a process that is placeable.
func (r *rooms) ready(name, pid string) compute.Process {
	r.t.Helper()
	p := r.connect(name, pid)
	expect.OK(r.t, r.Ready(r.t.Context(), p.Key, compute.Ready{Port: 7000, LogPaths: []string{"/logs"}}))
	expect.OK(r.t, r.Health(r.t.Context(), p.Key, true))
	return p
}

// reserve takes a process in a location.
func (r *rooms) reserve(at arn.Location) (compute.Process, error) {
	r.t.Helper()
	return reserve(r.t, r.Service, r.fleet, at)
}

func reserve(t *testing.T, s *compute.Service, fleet string, at arn.Location) (p compute.Process, err error) {
	t.Helper()
	err = s.DB.Write(t.Context(), func(tx *store.Tx) error {
		f, err := s.Fleets.GetTx(tx, arn.FleetID(fleet))
		if err != nil {
			return err
		}
		p, err = s.ReserveTx(tx, f, at)
		return err
	})
	return p, err
}

// reserved is the id of the process that a reservation must get.
func (r *rooms) reserved(at arn.Location) string {
	r.t.Helper()
	p, err := r.reserve(at)
	expect.OK(r.t, err)
	return p.ProcessID
}

// full checks that a reservation finds nothing, and says why.
func (r *rooms) full(at arn.Location, words ...string) {
	r.t.Helper()
	p, err := r.reserve(at)
	if !errors.Is(err, compute.ErrNoProcess) {
		r.t.Fatalf("reservation: got %s, %v; want ErrNoProcess", p.ProcessID, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			r.t.Errorf("reservation: %q lacks %q", err, w)
		}
	}
}

// read is the process as it is now.
func (r *rooms) read(p compute.Process) compute.Process {
	r.t.Helper()
	var now compute.Process
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		now, err = r.ProcessTx(tx, p.Key)
		return err
	}))
	return now
}

func (r *rooms) write(f func(tx *store.Tx) error) {
	r.t.Helper()
	expect.OK(r.t, r.DB.Write(r.t.Context(), f))
}

// tick lets time pass and sweeps.
func (r *rooms) tick(d time.Duration) {
	r.t.Helper()
	r.clock.Advance(d)
	expect.OK(r.t, r.Tick(r.t.Context(), r.clock.Now()))
}

// count is what CountTx says of a location.
func (r *rooms) count(at arn.Location) (n int) {
	r.t.Helper()
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		n, err = r.CountTx(tx, arn.FleetID(r.fleet), at)
		return err
	}))
	return n
}

// checkCounts compares what computes count with their processes.
func (r *rooms) checkCounts() {
	r.t.Helper()
	checkCounts(r.t, r.DB)
}

func checkCounts(t *testing.T, db *store.DB) {
	t.Helper()
	expect.OK(t, db.Read(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT c.name, c.ready, c.free, c.hosting, c.activating,
			(SELECT count(*) FROM process p WHERE p.compute = c.key AND p.status = 'READY'),
			(SELECT count(*) FROM process p WHERE p.compute = c.key AND p.free = 1),
			(SELECT count(*) FROM process p WHERE p.compute = c.key AND p.status = 'HOSTING'),
			(SELECT count(*) FROM process p WHERE p.compute = c.key AND p.activating = 1) FROM compute c ORDER BY c.key`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var counted, found [4]int64
			if err := rows.Scan(&name, &counted[0], &counted[1], &counted[2], &counted[3], &found[0], &found[1], &found[2], &found[3]); err != nil {
				return err
			}
			if counted != found {
				t.Errorf("compute %s counts %v ready, free, hosting, activating; its processes are %v", name, counted, found)
			}
		}
		return rows.Err()
	}))
}

// events are the codes of the fleet's events but those of the fleet's own state, newest
// first, each with its count.
func (r *rooms) events() string {
	r.t.Helper()
	out, err := r.Fleets.DescribeFleetEvents(r.t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &r.fleet})
	expect.OK(r.t, err)
	var list []string
	for _, e := range out.Events {
		if strings.HasPrefix(string(e.EventCode), "FLEET_") || strings.HasPrefix(string(e.EventCode), "LOCATION_") {
			continue
		}
		n := int64(1)
		if e.Count != nil {
			n = *e.Count
		}
		list = append(list, fmt.Sprintf("%s x%d", e.EventCode, n))
	}
	return strings.Join(list, ", ")
}

// turnedAway checks that a dial was refused with an HTTP status.
func turnedAway(t *testing.T, what string, err error, status int, words ...string) {
	t.Helper()
	no, ok := errors.AsType[*compute.Refused](err)
	if !ok || no.Status != status {
		t.Errorf("%s: error %v, want status %d", what, err, status)
		return
	}
	for _, w := range words {
		if !strings.Contains(no.Reason, w) {
			t.Errorf("%s: reason %q lacks %q", what, no.Reason, w)
		}
	}
}
