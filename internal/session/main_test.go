package session_test

import (
	"encoding/json"
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
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const (
	east arn.Location = "custom-east"
	west arn.Location = "custom-west"

	invalid     = "InvalidRequestException"
	missing     = "NotFoundException"
	badStatus   = "InvalidGameSessionStatusException"
	fleetStatus = "InvalidFleetStatusException"
	full        = "GameSessionFullException"
	noCapacity  = "FleetCapacityExceededException"
	mismatch    = "IdempotentParameterMismatchException"
	overLimit   = "LimitExceededException"
	terminal    = "TerminalRoutingStrategyException"
	throttled   = "ThrottlingException"

	unknownFleet  = "fleet-01234567-89ab-7def-8123-456789abcdef"
	unknownPlayer = "psess-01234567-89ab-7def-8123-456789abcdef"
)

// rooms is the session room on an empty database, with the real rooms under it, wired as
// in the program, and one Anywhere fleet in two locations with a compute in each.
type rooms struct {
	*session.Service
	t     testing.TB
	clock *storetest.Clock
	fleet string
	dials int
}

// each runs a test on both databases, and checks at its end that all counts are right.
func each(t *testing.T, f func(r *rooms)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := furnish(t, db, clock)
		f(r)
		r.checkCounts()
	})
}

func furnish(t testing.TB, db *store.DB, clock *storetest.Clock) *rooms {
	r := &rooms{t: t, clock: clock, Service: service(db)}
	for _, name := range []arn.Location{east, west} {
		_, err := r.Fleets.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: new(string(name))})
		expect.OK(t, err)
	}
	r.fleet = r.newFleet(nil)
	return r
}

// service is the room as the program wires it.
func service(db *store.DB) *session.Service {
	fleets := &fleet.Service{DB: db, Home: home}
	fleets.Tags = &tag.Service{DB: db, Exists: fleets.ExistsTx}
	computes := &compute.Service{
		DB: db, Home: home, Fleets: fleets,
		SDKEndpoint:   func() string { return "ws://127.0.0.1:9170" },
		AgentEndpoint: func() string { return "ws://127.0.0.1:9170/agent" },
	}
	fleets.Deleting, fleets.Leaving = computes.DropFleetTx, computes.DropLocationTx
	s := &session.Service{DB: db, Home: home, Fleets: fleets, Computes: computes}
	computes.Ended = s.ProcessEnded
	return s
}

// newFleet makes an Anywhere fleet in both locations; change may alter the request.
func (r *rooms) newFleet(change func(*gamelift.CreateFleetInput)) string {
	r.t.Helper()
	in := &gamelift.CreateFleetInput{
		Name: new("arena"), ComputeType: types.ComputeTypeAnywhere,
		Locations: []types.LocationConfiguration{{Location: new(string(east))}, {Location: new(string(west))}},
	}
	if change != nil {
		change(in)
	}
	out, err := r.Fleets.CreateFleet(r.t.Context(), in)
	expect.OK(r.t, err)
	id := *out.FleetAttributes.FleetId
	for _, at := range []arn.Location{east, west} {
		_, err := r.Computes.RegisterCompute(r.t.Context(), &gamelift.RegisterComputeInput{
			FleetId: &id, ComputeName: new(host(at)), IpAddress: new("10.0.0.1"), Location: new(string(at)),
		})
		expect.OK(r.t, err)
	}
	return id
}

func host(at arn.Location) string { return "host-" + string(at) }

// process is a server process that is ready for a game session in the fleet's east.
func (r *rooms) process() compute.Process { r.t.Helper(); return r.processOf(r.fleet, east) }

func (r *rooms) processOf(fleet string, at arn.Location) compute.Process {
	r.t.Helper()
	ctx := r.t.Context()
	r.dials++
	p, err := r.Computes.Connect(ctx, compute.Dial{
		ProcessID: fmt.Sprintf("pid-%d", r.dials), Compute: arn.ComputeName(host(at)), Fleet: arn.FleetID(fleet),
		IdempotencyToken: fmt.Sprintf("once-%d", r.dials), SDKVersion: "5.5.0", SDKLanguage: "Go", Trusted: true,
	})
	expect.OK(r.t, err)
	expect.OK(r.t, r.Computes.Ready(ctx, p.Key, compute.Ready{Port: 7000 + int32(r.dials%1000)}))
	expect.OK(r.t, r.Computes.Health(ctx, p.Key, true))
	return p
}

// create is the smallest request for a game session in the fleet's east.
func (r *rooms) create(maximum int32) *gamelift.CreateGameSessionInput {
	return &gamelift.CreateGameSessionInput{FleetId: &r.fleet, Location: new(string(east)), MaximumPlayerSessionCount: &maximum}
}

// created makes a game session on a free process.
func (r *rooms) created(in *gamelift.CreateGameSessionInput) types.GameSession {
	r.t.Helper()
	out, err := r.CreateGameSession(r.t.Context(), in)
	expect.OK(r.t, err)
	return *out.GameSession
}

// room is an ACTIVE game session and the process that hosts it.
type room struct {
	id      string
	process store.Key
}

// open makes a process with an ACTIVE game session.
func (r *rooms) open(maximum int32) room {
	r.t.Helper()
	p := r.process()
	g := r.created(r.create(maximum))
	expect.OK(r.t, r.Activate(r.t.Context(), p.Key, *g.GameSessionId))
	return room{*g.GameSessionId, p.Key}
}

// join reserves a slot.
func (r *rooms) join(g room, player string) (types.PlayerSession, error) {
	out, err := r.CreatePlayerSession(r.t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &g.id, PlayerId: &player})
	if err != nil {
		return types.PlayerSession{}, err
	}
	return *out.PlayerSession, nil
}

// joined is a player session, RESERVED.
func (r *rooms) joined(g room, player string) string {
	r.t.Helper()
	p, err := r.join(g, player)
	expect.OK(r.t, err)
	return *p.PlayerSessionId
}

// accepted is a player session, ACTIVE.
func (r *rooms) accepted(g room, player string) string {
	r.t.Helper()
	id := r.joined(g, player)
	expect.OK(r.t, r.AcceptPlayer(r.t.Context(), g.process, g.id, id))
	return id
}

// joinAll reserves slots in one call.
func (r *rooms) joinAll(g room, players ...string) ([]types.PlayerSession, error) {
	out, err := r.CreatePlayerSessions(r.t.Context(), &gamelift.CreatePlayerSessionsInput{GameSessionId: &g.id, PlayerIds: players})
	if err != nil {
		return nil, err
	}
	return out.PlayerSessions, nil
}

// player shows one player session.
func (r *rooms) player(id string) types.PlayerSession {
	r.t.Helper()
	out, err := r.DescribePlayerSessions(r.t.Context(), &gamelift.DescribePlayerSessionsInput{PlayerSessionId: &id})
	expect.OK(r.t, err)
	if len(out.PlayerSessions) != 1 {
		r.t.Fatalf("player session %s: got %d", id, len(out.PlayerSessions))
	}
	return out.PlayerSessions[0]
}

// game shows one game session.
func (r *rooms) game(id string) types.GameSession {
	r.t.Helper()
	out, err := r.DescribeGameSessions(r.t.Context(), &gamelift.DescribeGameSessionsInput{GameSessionId: &id})
	expect.OK(r.t, err)
	if len(out.GameSessions) != 1 {
		r.t.Fatalf("game session %s: got %d", id, len(out.GameSessions))
	}
	return out.GameSessions[0]
}

// tick lets time pass and sweeps.
func (r *rooms) tick(d time.Duration) {
	r.t.Helper()
	r.clock.Advance(d)
	expect.OK(r.t, r.Tick(r.t.Context(), r.clock.Now()))
}

// inbox is what waits for a process: the messages' actions.
func (r *rooms) inbox(process store.Key) []map[string]any {
	r.t.Helper()
	list, err := r.Computes.TakeInbox(r.t.Context(), []store.Key{process})
	expect.OK(r.t, err)
	var all []map[string]any
	for _, m := range list {
		var message map[string]any
		expect.OK(r.t, json.Unmarshal(m.Text, &message))
		all = append(all, message)
	}
	return all
}

// checkCounts compares what game sessions count with their player sessions.
func (r *rooms) checkCounts() {
	r.t.Helper()
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT g.id, g.players, (SELECT count(*) FROM player_session p WHERE p.game = g.key AND p.status IN (1, 2)) FROM game_session g ORDER BY g.key`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			var counted, there int
			if err := rows.Scan(&id, &counted, &there); err != nil {
				return err
			}
			if counted != there {
				r.t.Errorf("game session %s counts %d players and has %d", id, counted, there)
			}
		}
		return rows.Err()
	}))
}

// codes are the fleet's events but those of its own state.
func (r *rooms) codes(fleet string) string {
	r.t.Helper()
	out, err := r.Fleets.DescribeFleetEvents(r.t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &fleet})
	expect.OK(r.t, err)
	var list []string
	for _, e := range out.Events {
		if !strings.HasPrefix(string(e.EventCode), "FLEET_") {
			list = append(list, string(e.EventCode))
		}
	}
	return strings.Join(list, " ")
}
