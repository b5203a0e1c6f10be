package host_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet/fleettest"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// TestRandomFarms: whatever hosts come, go and lose power, and however capacity changes: no
// host has more than it takes, no instance counts twice, no scale-in ends a protected game
// session, and what is wanted is there as far as the hosts have room.
func TestRandomFarms(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		expect.OK(t, f.Value.Set("25")) // each is a farm's whole life
		defer func() { expect.OK(t, f.Value.Set(f.DefValue)) }()
	}
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		runs := 0
		rapid.Check(t, func(rt *rapid.T) {
			runs++
			at := arn.Location(fmt.Sprintf("custom-run-%d", runs))
			w := &world{wall: clock.Now(), agents: map[string]*agent{}}
			r := furnish(t, db, clock, w)
			r.Fleets.Quotas.CustomLocations = 1 << 20
			_, err := r.Fleets.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: new(string(at))})
			expect.OK(t, err)
			name := func(n int) string { return fmt.Sprintf("h%d-%d", runs, n) }
			farm := newFarm(t, r, at, name)
			defer farm.clear()
			rt.Repeat(map[string]func(*rapid.T){
				"capacity": farm.capacity, "join": farm.join, "drop": farm.drop, "return": farm.comeBack, "lose power": farm.die,
				"play": farm.play, "finish": farm.finish, "drain": farm.drain, "time": farm.time, "crash": farm.crash,
				"": farm.check,
			})
		})
	})
}

// farm is one run: a fleet, hosts, and what must be so.
type farm struct {
	*rooms
	f       arn.FleetID
	at      arn.Location
	name    func(int) string
	want    int32
	drained map[string]bool
	games   map[string]types.GameSession // protected ones that nobody ended
}

func newFarm(t *testing.T, r *rooms, at arn.Location, name func(int) string) *farm {
	t.Helper()
	r.t = t
	fa := &farm{rooms: r, at: at, name: name, drained: map[string]bool{}, games: map[string]types.GameSession{}}
	r.Config = host.Config{MostInstances: 3}
	var err error
	_, r.token, err = r.CreateToken(t.Context(), "test")
	expect.OK(t, err)
	r.builds = fleettest.Build(t, r.DB, types.BuildStatusReady, types.OperatingSystemAmazonLinux2023, "5.2.0")
	fa.f = r.fleet(func(in *gamelift.CreateFleetInput) {
		in.Locations = []types.LocationConfiguration{{Location: new(string(here))}, {Location: new(string(at))}}
		in.RuntimeConfiguration = runtime(2)
	})
	r.join("home-"+name(0), here, 1)
	r.join(name(0), at, 3)
	r.settle()
	fa.want = 1
	return fa
}

// clear takes the run's fleet and hosts away, so that the next one is alone.
func (fa *farm) clear() {
	for _, a := range fa.world.agents {
		if a.away {
			a.dial(fa.rooms)
		}
	}
	_, err := fa.Fleets.DeleteFleet(fa.t.Context(), &gamelift.DeleteFleetInput{FleetId: new(string(fa.f))})
	expect.OK(fa.t, err)
	fa.settle()
	fa.tick(time.Minute)
	fa.tick(time.Minute)
	for name, a := range fa.world.agents {
		a.drop()
		expect.OK(fa.t, fa.Forget(fa.t.Context(), name))
	}
	fa.rooms.check()
}

func (fa *farm) hosts(pick func(a *agent) bool) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(fa.world.agents)) {
		if a := fa.world.agents[name]; a.hello.Location == string(fa.at) && pick(a) {
			list = append(list, name)
		}
	}
	return list
}

func (fa *farm) pick(t *rapid.T, pick func(a *agent) bool) *agent {
	list := fa.hosts(pick)
	if len(list) == 0 {
		t.Skip("none")
	}
	return fa.world.agents[rapid.SampledFrom(list).Draw(t, "host")]
}

func there(a *agent) bool { return !a.away }
func away(a *agent) bool  { return a.away }

func (fa *farm) capacity(t *rapid.T) {
	limit := 0
	for _, name := range fa.hosts(func(*agent) bool { return true }) {
		limit += fa.world.agents[name].hello.Capacity
	}
	fa.want = int32(rapid.IntRange(0, limit).Draw(t, "desired"))
	fa.rooms.capacity(fa.f, fa.at, fa.want)
}

func (fa *farm) join(t *rapid.T) {
	n := len(fa.hosts(func(*agent) bool { return true }))
	if n > 3 {
		t.Skip("enough")
	}
	fa.rooms.join(fa.name(n), fa.at, rapid.IntRange(0, 4).Draw(t, "capacity"))
}

func (fa *farm) drop(t *rapid.T)     { fa.pick(t, there).drop() }
func (fa *farm) comeBack(t *rapid.T) { fa.pick(t, away).dial(fa.rooms) }

// die loses a machine with all that runs on it, protected or not.
func (fa *farm) die(t *rapid.T) {
	a := fa.pick(t, there)
	for id, g := range fa.games {
		if a.runs[*g.ComputeName] != nil {
			delete(fa.games, id)
		}
	}
	a.die()
}

func (fa *farm) crash(t *rapid.T) {
	a := fa.pick(t, func(a *agent) bool { return !a.away && len(a.runs) > 0 })
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(a.runs))).Draw(t, "instance")
	b := a.runs[id]
	for pid, p := range b.processes {
		if fa.read(p).Status == compute.StatusReady {
			a.exit(id, pid, "SERVER_PROCESS_CRASHED", "by the test")
			if b.status == "RUNNING" {
				a.launch(b)
			}
			return
		}
	}
}

func (fa *farm) read(p compute.Process) (is compute.Process) {
	expect.OK(fa.t, fa.DB.Read(fa.t.Context(), func(tx *store.Tx) (err error) {
		is, err = fa.Computes.ProcessTx(tx, p.Key)
		return err
	}))
	return is
}

func (fa *farm) play(t *rapid.T) {
	protection := rapid.SampledFrom([]types.ProtectionPolicy{types.ProtectionPolicyFullProtection, types.ProtectionPolicyNoProtection}).Draw(t, "protection")
	out, err := fa.Sessions.CreateGameSession(fa.t.Context(), &gamelift.CreateGameSessionInput{
		FleetId: new(string(fa.f)), Location: new(string(fa.at)), MaximumPlayerSessionCount: new(int32(4)),
	})
	if err != nil {
		t.Skip("no room")
	}
	g := *out.GameSession
	expect.OK(fa.t, fa.Sessions.Activate(fa.t.Context(), fa.processOf(g), *g.GameSessionId))
	_, err = fa.Sessions.UpdateGameSession(fa.t.Context(), &gamelift.UpdateGameSessionInput{GameSessionId: g.GameSessionId, ProtectionPolicy: protection})
	expect.OK(fa.t, err)
	if protection == types.ProtectionPolicyFullProtection {
		fa.games[*g.GameSessionId] = g
	}
}

func (fa *farm) finish(t *rapid.T) {
	ids := slices.Sorted(maps.Keys(fa.games))
	if len(ids) == 0 {
		t.Skip("none")
	}
	id := rapid.SampledFrom(ids).Draw(t, "game session")
	g := fa.games[id]
	delete(fa.games, id)
	fa.rooms.finish(g)
}

func (fa *farm) drain(t *rapid.T) {
	a := fa.pick(t, func(*agent) bool { return true })
	on := !fa.drained[a.hello.Host]
	fa.drained[a.hello.Host] = on
	expect.OK(fa.t, fa.Drain(fa.t.Context(), a.hello.Host, on))
}

// time lets enough of it go by that silent hosts are lost.
func (fa *farm) time(*rapid.T) {
	fa.pass(2 * time.Minute)
	fa.clock.Advance(10 * time.Second)
}

func (fa *farm) check(t *rapid.T) {
	fa.settle()
	fa.rooms.check()
	for id, g := range fa.games {
		if s := fa.game(g); s != types.GameSessionStatusActive {
			t.Fatalf("protected game session %s is %s", id, s)
		}
	}
	// Those with game sessions that must not end, on hosts that may stay, are above what is wanted.
	room := 0
	for _, name := range fa.hosts(there) {
		if a := fa.world.agents[name]; !fa.drained[name] {
			room += a.hello.Capacity
		}
	}
	n := fa.counts(fa.f, fa.at)
	kept, leaving := fa.kept()
	if n.Active+n.Pending < int(fa.want) {
		t.Fatalf("%d wanted, %+v", fa.want, n)
	}
	if n.Active > int(fa.want)+kept+leaving {
		t.Fatalf("%d wanted, %d instances with protected game sessions, %d on hosts that drain, %+v", fa.want, kept, leaving, n)
	}
	if all := fa.allThere(); all && room >= int(fa.want)+fa.stuck() && n.Pending > 0 {
		t.Fatalf("%d wanted, room for %d, %+v", fa.want, room, n)
	}
	seen := map[string]string{}
	for name, a := range fa.world.agents {
		for id := range a.runs {
			if other, twice := seen[id]; twice {
				t.Fatalf("instance %s runs on %s and %s", id, name, other)
			}
			seen[id] = name
		}
	}
}

// allThere tells whether every host of the run is connected.
func (fa *farm) allThere() bool { return len(fa.hosts(away)) == 0 }

// kept counts the instances with protected game sessions, among them those whose host lost
// power and is not lost yet, and those on hosts that are being drained.
func (fa *farm) kept() (protected, leaving int) {
	expect.OK(fa.t, fa.DB.Read(fa.t.Context(), func(tx *store.Tx) error {
		f, err := fa.Fleets.GetTx(tx, fa.f)
		if err != nil {
			return err
		}
		on, err := fa.Sessions.ProtectedTx(tx, f.Key, fa.at)
		if err != nil {
			return err
		}
		protected = len(on)
		return tx.QueryRow(`SELECT count(*) FROM instance i JOIN host h ON h.key = i.host
			WHERE i.fleet_id = $1 AND i.location = $2 AND i.ended_at IS NULL AND h.draining = 1`, fa.f, fa.at).Scan(&leaving)
	}))
	return protected, leaving
}

// stuck counts what takes room without being wanted: instances of lost hosts that are back and
// still host something.
func (fa *farm) stuck() (n int) {
	expect.OK(fa.t, fa.DB.Read(fa.t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM instance i JOIN host h ON h.key = i.host
			WHERE i.fleet_id = $1 AND i.location = $2 AND i.ended_at IS NULL AND (i.desired <> 'RUN' OR h.draining = 1)`, fa.f, fa.at).Scan(&n)
	}))
	return n
}
