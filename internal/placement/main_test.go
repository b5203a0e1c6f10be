package placement_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const (
	east = "custom-east"
	west = "custom-west"

	invalid   = "InvalidRequestException"
	missing   = "NotFoundException"
	overLimit = "LimitExceededException"
	tagging   = "TaggingFailedException"

	unknownFleet = "fleet-01234567-89ab-7def-8123-456789abcdef"
	unknownAlias = "alias-01234567-89ab-7def-8123-456789abcdef"
)

// rooms is the placement room on an empty database, with the real rooms under it, wired as
// in the program. The engine runs when a test says so.
type rooms struct {
	*placement.Service
	t     testing.TB
	clock *storetest.Clock
	dials int
}

// each runs a test on both databases, and checks at its end that nothing is left over.
func each(t *testing.T, f func(r *rooms)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := furnish(t, db, clock)
		f(r)
		r.checkRows()
	})
}

func furnish(t testing.TB, db *store.DB, clock *storetest.Clock) *rooms {
	r := &rooms{t: t, clock: clock, Service: service(db)}
	r.locations(east, west)
	return r
}

// service is the room as the program wires it. All events have one sink.
func service(db *store.DB) *placement.Service {
	s := &placement.Service{DB: db, Home: home}
	s.Fleets = &fleet.Service{DB: db, Home: home}
	s.Tags = &tag.Service{DB: db, Exists: func(tx *store.Tx, kind, id string) (bool, error) {
		if found, err := s.Fleets.ExistsTx(tx, kind, id); found || err != nil {
			return found, err
		}
		return s.ExistsTx(tx, kind, id)
	}}
	s.Fleets.Tags = s.Tags
	s.Computes = &compute.Service{
		DB: db, Home: home, Fleets: s.Fleets,
		SDKEndpoint:   func() string { return "ws://127.0.0.1:9170" },
		AgentEndpoint: func() string { return "ws://127.0.0.1:9170/agent" },
	}
	s.Fleets.Deleting, s.Fleets.Leaving = s.Computes.DropFleetTx, s.Computes.DropLocationTx
	s.Sessions = &session.Service{DB: db, Home: home, Fleets: s.Fleets, Computes: s.Computes, Activated: s.Activated, Over: s.Over}
	s.Computes.Ended = s.Sessions.ProcessEnded
	s.Events = &event.Log{DB: db, Home: home, Route: func(_, _, _ string) []string { return []string{sink} }}
	return s
}

const sink = "test"

func (r *rooms) locations(names ...string) {
	r.t.Helper()
	for _, name := range names {
		_, err := r.Fleets.CreateLocation(r.t.Context(), &gamelift.CreateLocationInput{LocationName: &name})
		expect.OK(r.t, err)
	}
}

// newFleet makes an Anywhere fleet in locations, with a compute in each. cost may be "".
func (r *rooms) newFleet(cost string, locations ...string) string {
	r.t.Helper()
	in := &gamelift.CreateFleetInput{Name: new("arena"), ComputeType: types.ComputeTypeAnywhere}
	if cost != "" {
		in.AnywhereConfiguration = &types.AnywhereConfiguration{Cost: &cost}
	}
	for _, at := range locations {
		in.Locations = append(in.Locations, types.LocationConfiguration{Location: &at})
	}
	out, err := r.Fleets.CreateFleet(r.t.Context(), in)
	expect.OK(r.t, err)
	id := *out.FleetAttributes.FleetId
	for _, at := range locations {
		r.compute(id, "host-"+at, at)
	}
	return id
}

func (r *rooms) compute(fleet, name, at string) {
	r.t.Helper()
	_, err := r.Computes.RegisterCompute(r.t.Context(), &gamelift.RegisterComputeInput{
		FleetId: &fleet, ComputeName: &name, IpAddress: new("10.0.0.1"), Location: &at,
	})
	expect.OK(r.t, err)
}

// process is a server process that is ready for a game session.
func (r *rooms) process(fleet, at string) store.Key { return r.processOn(fleet, "host-"+at) }

func (r *rooms) processOn(fleet, host string) store.Key {
	r.t.Helper()
	ctx := r.t.Context()
	r.dials++
	p, err := r.Computes.Connect(ctx, compute.Dial{
		ProcessID: fmt.Sprintf("pid-%d", r.dials), Compute: arn.ComputeName(host), Fleet: arn.FleetID(fleet),
		IdempotencyToken: fmt.Sprintf("once-%d", r.dials), SDKVersion: "5.5.0", SDKLanguage: "Go", Trusted: true,
	})
	expect.OK(r.t, err)
	expect.OK(r.t, r.Computes.Ready(ctx, p.Key, compute.Ready{Port: 7000 + int32(r.dials%1000)}))
	expect.OK(r.t, r.Computes.Health(ctx, p.Key, true))
	return p.Key
}

// destinations are fleets and aliases by their ARNs.
func destinations(ids ...string) (list []types.GameSessionQueueDestination) {
	for _, id := range ids {
		text := home.Fleet(arn.FleetID(id))
		switch {
		case strings.HasPrefix(id, "arn:"):
			text = id
		case strings.HasPrefix(id, "alias-"):
			text = home.Alias(arn.AliasID(id))
		}
		list = append(list, types.GameSessionQueueDestination{DestinationArn: &text})
	}
	return list
}

// queue makes a queue over destinations; change may alter the request.
func (r *rooms) queue(name string, change func(*gamelift.CreateGameSessionQueueInput), ids ...string) {
	r.t.Helper()
	in := &gamelift.CreateGameSessionQueueInput{Name: &name, Destinations: destinations(ids...)}
	if change != nil {
		change(in)
	}
	_, err := r.CreateGameSessionQueue(r.t.Context(), in)
	expect.OK(r.t, err)
}

// asks is the smallest request for a placement.
func asks(id, queue string) *gamelift.StartGameSessionPlacementInput {
	return &gamelift.StartGameSessionPlacementInput{PlacementId: &id, GameSessionQueueName: &queue, MaximumPlayerSessionCount: new(int32(8))}
}

// start starts a placement.
func (r *rooms) start(in *gamelift.StartGameSessionPlacementInput) types.GameSessionPlacement {
	r.t.Helper()
	out, err := r.StartGameSessionPlacement(r.t.Context(), in)
	expect.OK(r.t, err)
	return *out.GameSessionPlacement
}

// get describes a placement.
func (r *rooms) get(id string) types.GameSessionPlacement {
	r.t.Helper()
	out, err := r.DescribeGameSessionPlacement(r.t.Context(), &gamelift.DescribeGameSessionPlacementInput{PlacementId: &id})
	expect.OK(r.t, err)
	return *out.GameSessionPlacement
}

// state is a placement's status, and where its game session is, if there is one.
func (r *rooms) state(id string) string {
	r.t.Helper()
	p := r.get(id)
	if p.GameSessionRegion == nil {
		return string(p.Status)
	}
	return string(p.Status) + " " + *p.GameSessionRegion
}

// pass runs the engine.
func (r *rooms) pass() {
	r.t.Helper()
	expect.OK(r.t, r.Pass(r.t.Context(), placement.Woken{All: true}))
}

// tick lets time pass, sweeps as the program does, and runs the engine.
func (r *rooms) tick(d time.Duration) {
	r.t.Helper()
	r.clock.Advance(d)
	expect.OK(r.t, r.Computes.Tick(r.t.Context(), r.clock.Now()))
	expect.OK(r.t, r.Sessions.Tick(r.t.Context(), r.clock.Now()))
	expect.OK(r.t, r.Tick(r.t.Context(), r.clock.Now()))
}

// activate does what the process of a placement's game session does when it is started.
func (r *rooms) activate(id string) {
	r.t.Helper()
	expect.OK(r.t, r.tryActivate(id))
}

func (r *rooms) tryActivate(id string) error {
	r.t.Helper()
	p := r.get(id)
	if p.GameSessionId == nil {
		r.t.Fatalf("placement %s has no game session", id)
	}
	return r.Sessions.Activate(r.t.Context(), r.hostOf(*p.GameSessionId), *p.GameSessionId)
}

// hostOf is the process of a game session.
func (r *rooms) hostOf(game string) (process store.Key) {
	r.t.Helper()
	parts, err := arn.ParseGameSession(game)
	expect.OK(r.t, err)
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT process FROM game_session WHERE id = $1 AND fleet_id = $2`, parts.ID, parts.Fleet).Scan(&process)
	}))
	return process
}

// game describes a game session.
func (r *rooms) game(id string) types.GameSession {
	r.t.Helper()
	out, err := r.Sessions.DescribeGameSessions(r.t.Context(), &gamelift.DescribeGameSessionsInput{GameSessionId: &id})
	expect.OK(r.t, err)
	if len(out.GameSessions) != 1 {
		r.t.Fatalf("game session %s: got %d", id, len(out.GameSessions))
	}
	return out.GameSessions[0]
}

// inbox is what waits for a process: the messages' actions.
func (r *rooms) inbox(process store.Key) string {
	r.t.Helper()
	list, err := r.Computes.TakeInbox(r.t.Context(), []store.Key{process})
	expect.OK(r.t, err)
	var all []string
	for _, m := range list {
		var message struct{ Action string }
		expect.OK(r.t, json.Unmarshal(m.Text, &message))
		all = append(all, message.Action)
	}
	return strings.Join(all, " ")
}

// told are the events so far, the oldest first, which are taken.
func (r *rooms) told() (list []map[string]any) {
	r.t.Helper()
	for {
		ready, err := r.Events.Ready(r.t.Context(), sink, 1000)
		expect.OK(r.t, err)
		if len(ready) == 0 {
			return list
		}
		slices.SortFunc(ready, func(a, b event.Entry) int { return int(a.Key - b.Key) })
		for _, e := range ready {
			var body map[string]any
			expect.OK(r.t, json.Unmarshal([]byte(e.Body), &body))
			body["order"], body["target"] = e.Order, e.Target
			list = append(list, body)
			expect.OK(r.t, r.Events.Done(r.t.Context(), e.Ref))
		}
	}
}

// kinds are the types and placements of the events so far.
func (r *rooms) kinds() string {
	r.t.Helper()
	var list []string
	for _, e := range r.told() {
		d := e["detail"].(map[string]any)
		list = append(list, strings.TrimPrefix(d["type"].(string), "Placement")+" "+d["placementId"].(string))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// checkRows holds the tables to what must be true between any two transactions.
func (r *rooms) checkRows() {
	r.t.Helper()
	for what, query := range map[string]string{
		"final and still with a deadline, a step or a place in the line": `SELECT id FROM placement p WHERE status <> 1
			AND (deadline IS NOT NULL OR step_at IS NOT NULL OR EXISTS (SELECT 1 FROM placement_wait w WHERE w.placement = p.key))`,
		"being attempted and in the line": `SELECT id FROM placement p WHERE game IS NOT NULL
			AND EXISTS (SELECT 1 FROM placement_wait w WHERE w.placement = p.key)`,
		"waiting, can go anywhere, and in no line": `SELECT id FROM placement p WHERE status = 1 AND game IS NULL AND latent = 0
			AND NOT EXISTS (SELECT 1 FROM placement_wait w WHERE w.placement = p.key)`,
		"pending without a deadline, or final without an end": `SELECT id FROM placement WHERE (status = 1) <> (deadline IS NOT NULL) OR (status = 1) <> (ended_at IS NULL)`,
		"pending with a game session that is over":            `SELECT p.id FROM placement p JOIN game_session g ON g.key = p.game WHERE p.status = 1 AND g.status <> 'ACTIVATING'`,
		"without texts":        `SELECT id FROM placement WHERE key NOT IN (SELECT placement FROM placement_text)`,
		"a process twice":      `SELECT CAST(process AS TEXT) FROM game_session WHERE ended_at IS NULL GROUP BY process HAVING count(*) > 1`,
		"a game session twice": `SELECT CAST(game AS TEXT) FROM placement WHERE game IS NOT NULL GROUP BY game HAVING count(*) > 1`,
	} {
		expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) error {
			rows, err := tx.Query(query)
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			defer rows.Close()
			for rows.Next() {
				var id string
				if err := rows.Scan(&id); err != nil {
					return err
				}
				r.t.Errorf("%s: %s", what, id)
			}
			return rows.Err()
		}))
	}
}
