package host_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/fleet/fleettest"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const (
	here arn.Location = "us-west-2"
	west arn.Location = "custom-west"

	invalid = "InvalidRequestException"
	missing = "NotFoundException"
	denied  = "UnauthorizedException"
)

// links are links that say what they are.
type links struct{}

func (links) Get(key string, life time.Duration, filename string) string {
	return fmt.Sprintf("get %s %s %s", key, life, filename)
}

func (links) Put(key string, life time.Duration, limit int64) string {
	return fmt.Sprintf("put %s %s %d", key, life, limit)
}

// world is what all nodes of a test share: the wall clock, and the agents.
type world struct {
	wall   time.Time
	agents map[string]*agent
	pids   int
}

// rooms is the host room on an empty database, with the real rooms under it, wired as in the
// program.
type rooms struct {
	*host.Service
	t      testing.TB
	clock  *storetest.Clock
	world  *world
	token  string
	builds string
}

// each runs a test on both databases.
func each(t *testing.T, f func(r *rooms)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := furnish(t, db, clock, &world{wall: clock.Now(), agents: map[string]*agent{}})
		r.begin()
		f(r)
		r.check()
	})
}

func furnish(t testing.TB, db *store.DB, clock *storetest.Clock, w *world) *rooms {
	fleets := &fleet.Service{DB: db, Home: home}
	fleets.Tags = &tag.Service{DB: db, Exists: fleets.ExistsTx}
	fleets.Builds = &build.Service{DB: db, Home: home, Tags: fleets.Tags}
	endpoint := func() string { return "ws://127.0.0.1:9170" }
	computes := &compute.Service{DB: db, Home: home, Fleets: fleets, SDKEndpoint: endpoint, AgentEndpoint: endpoint}
	sessions := &session.Service{DB: db, Home: home, Fleets: fleets, Computes: computes}
	s := &host.Service{
		DB: db, Home: home, Fleets: fleets, Builds: fleets.Builds, Computes: computes, Sessions: sessions,
		SDKEndpoint: endpoint, Links: links{}, Wall: func() time.Time { return w.wall },
	}
	fleets.Deleting, fleets.Leaving = computes.DropFleetTx, computes.DropLocationTx
	fleets.Instances, fleets.InstanceLimit = s.InstancesTx, s.LimitTx
	computes.Ended, computes.Noted = sessions.ProcessEnded, s.Noted
	sessions.Hosting, sessions.LogURL = s.Hosting, s.LogURL
	return &rooms{Service: s, t: t, clock: clock, world: w}
}

func (r *rooms) begin() {
	r.t.Helper()
	_, err := r.Fleets.CreateLocation(r.t.Context(), &gamelift.CreateLocationInput{LocationName: new(string(west))})
	expect.OK(r.t, err)
	_, r.token, err = r.CreateToken(r.t.Context(), "test")
	expect.OK(r.t, err)
	r.builds = fleettest.Build(r.t.(*testing.T), r.DB, types.BuildStatusReady, types.OperatingSystemAmazonLinux2023, "5.2.0")
}

// fleet makes a managed fleet of one process an instance.
func (r *rooms) fleet(change func(in *gamelift.CreateFleetInput)) arn.FleetID {
	r.t.Helper()
	in := &gamelift.CreateFleetInput{
		Name: new("arena"), BuildId: &r.builds, EC2InstanceType: types.EC2InstanceTypeC5Large,
		RuntimeConfiguration: runtime(1),
	}
	if change != nil {
		change(in)
	}
	out, err := r.Fleets.CreateFleet(r.t.Context(), in)
	expect.OK(r.t, err)
	return arn.FleetID(*out.FleetAttributes.FleetId)
}

func runtime(concurrent int32) *types.RuntimeConfiguration {
	return &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{{LaunchPath: new("/local/game/server"), ConcurrentExecutions: &concurrent}}}
}

// capacity sets what a fleet wants in a location.
func (r *rooms) capacity(f arn.FleetID, at arn.Location, n int32) {
	r.t.Helper()
	_, err := r.Fleets.UpdateFleetCapacity(r.t.Context(), &gamelift.UpdateFleetCapacityInput{
		FleetId: new(string(f)), Location: new(string(at)), DesiredInstances: &n, MaxSize: new(max(n, 1)), MinSize: new(int32(0)),
	})
	expect.OK(r.t, err)
}

// agent is a scripted host: it does at once what it is told.
type agent struct {
	r      *rooms // the node it is connected to
	hello  hostmsg.Hello
	joined host.Joined
	away   bool

	runs map[string]*box // by instance
	// script may change how an instance starts; true means that it did it all.
	script func(a *agent, b *box) bool
	got    []any // messages but Start and Stop
}

// box is an instance as its agent runs it.
type box struct {
	start     hostmsg.Start
	status    hostmsg.InstanceStatus
	processes map[string]compute.Process
	starts    int
}

// join makes a host and connects it.
func (r *rooms) join(name string, at arn.Location, capacity int) *agent {
	r.t.Helper()
	a := &agent{r: r, runs: map[string]*box{}, hello: hostmsg.Hello{
		Host: name, Version: "test", Location: string(at), Address: "10.0.0.1", OS: "linux", Capacity: capacity,
	}}
	r.world.agents[name] = a
	a.dial(r)
	return a
}

// dial says Hello and does what the answer says.
func (a *agent) dial(r *rooms) {
	r.t.Helper()
	a.r, a.away = r, false
	a.hello.Instances = nil
	for _, id := range slices.Sorted(maps.Keys(a.runs)) {
		state := hostmsg.InstanceState{Instance: id, Status: a.runs[id].status}
		for _, p := range slices.Sorted(maps.Keys(a.runs[id].processes)) {
			state.Processes = append(state.Processes, hostmsg.ProcessState{Process: p})
		}
		a.hello.Instances = append(a.hello.Instances, state)
	}
	j, sync, refuse, err := r.Hello(r.t.Context(), r.token, a.hello)
	expect.OK(r.t, err)
	if refuse != nil {
		r.t.Fatalf("host %s is refused: %s", a.hello.Host, refuse.Reason)
	}
	a.joined = j
	wanted := map[string]bool{}
	for _, s := range sync.Instances {
		wanted[s.Instance] = true
		a.take(&s)
	}
	for _, id := range slices.Sorted(maps.Keys(a.runs)) {
		if !wanted[id] {
			a.take(&hostmsg.Stop{Instance: id, Force: true})
		}
	}
	for _, s := range sync.Stopping {
		a.take(&s)
	}
	for _, id := range slices.Sorted(maps.Keys(a.runs)) { // what ended meanwhile is launched anew
		if b := a.runs[id]; b != nil && b.status == hostmsg.Running && len(b.processes) == 0 {
			a.launch(b)
		}
	}
}

// drop loses the connection; what runs goes on.
func (a *agent) drop() {
	a.away = true
	expect.OK(a.r.t, a.r.Leave(a.r.t.Context(), a.joined))
}

// die loses the connection and all that runs, as when the machine loses power.
func (a *agent) die() {
	for _, b := range a.runs {
		for _, p := range b.processes {
			expect.OK(a.r.t, a.r.Computes.Disconnect(a.r.t.Context(), p.Key, p.Dial))
		}
	}
	a.runs = map[string]*box{}
	a.drop()
}

func (a *agent) say(messages ...any) []any {
	a.r.t.Helper()
	answers, err := a.r.Report(a.r.t.Context(), a.joined, messages)
	expect.OK(a.r.t, err)
	return answers
}

// take does what a message says.
func (a *agent) take(m any) {
	a.r.t.Helper()
	switch m := m.(type) {
	case *hostmsg.Start:
		a.start(m)
	case *hostmsg.Stop:
		a.stop(m)
	case *hostmsg.Kill:
		a.got = append(a.got, m)
		a.exit(m.Instance, m.Process, m.Reason, "killed")
	default:
		a.got = append(a.got, m)
	}
}

func (a *agent) start(m *hostmsg.Start) {
	a.r.t.Helper()
	b := a.runs[m.Instance]
	if b != nil {
		b.start = *m
		b.starts++
		return
	}
	b = &box{start: *m, status: hostmsg.Preparing, processes: map[string]compute.Process{}, starts: 1}
	a.runs[m.Instance] = b
	if a.script != nil && a.script(a, b) {
		return
	}
	a.prepare(b)
	a.launch(b)
}

// prepare reports the steps of a good preparation.
func (a *agent) prepare(b *box) {
	a.r.t.Helper()
	id := b.start.Instance
	a.say(
		&hostmsg.InstanceChanged{Instance: id, Status: hostmsg.Preparing},
		&hostmsg.Progress{Instance: id, Step: hostmsg.StepDownload},
		&hostmsg.Progress{Instance: id, Step: hostmsg.StepExtract, Log: "server\n"},
		&hostmsg.Progress{Instance: id, Step: hostmsg.StepInstall, Log: "hello"},
		&hostmsg.Progress{Instance: id, Step: hostmsg.StepInstalled},
		&hostmsg.Progress{Instance: id, Step: hostmsg.StepValidate, Log: "/local/game/server: exists"},
		&hostmsg.Progress{Instance: id, Step: hostmsg.StepLaunched},
		&hostmsg.InstanceChanged{Instance: id, Status: hostmsg.Running},
	)
	b.status = hostmsg.Running
}

// launch starts a process that gets ready.
func (a *agent) launch(b *box) compute.Process {
	a.r.t.Helper()
	p := a.begin(b)
	a.ready(p)
	return p
}

// begin starts a process that dials.
func (a *agent) begin(b *box) compute.Process {
	a.r.t.Helper()
	ctx := a.r.t.Context()
	a.r.world.pids++
	pid := fmt.Sprintf("pid-%d", a.r.world.pids)
	a.say(&hostmsg.ProcessStarted{Instance: b.start.Instance, Process: pid, LaunchPath: "/local/game/server"})
	p, err := a.r.Computes.Connect(ctx, compute.Dial{
		ProcessID: pid, Compute: arn.ComputeName(b.start.Instance), Fleet: arn.FleetID(b.start.Fleet), AuthToken: b.start.Token,
		IdempotencyToken: "once-" + pid, SDKVersion: "5.5.0", SDKLanguage: "Go",
	})
	expect.OK(a.r.t, err)
	b.processes[pid] = p
	return p
}

func (a *agent) ready(p compute.Process) {
	a.r.t.Helper()
	expect.OK(a.r.t, a.r.Computes.Ready(a.r.t.Context(), p.Key, compute.Ready{Port: 7000, LogPaths: []string{"/local/game/logs"}}))
	expect.OK(a.r.t, a.r.Computes.Health(a.r.t.Context(), p.Key, true))
}

// exit ends a process, with or without its SDK's word.
func (a *agent) exit(instance, process string, why hostmsg.ExitReason, detail string) {
	a.r.t.Helper()
	b := a.runs[instance]
	if b == nil {
		return
	}
	if p, ok := b.processes[process]; ok {
		delete(b.processes, process)
		expect.OK(a.r.t, a.r.Computes.Disconnect(a.r.t.Context(), p.Key, p.Dial))
	}
	a.say(&hostmsg.ProcessEnded{Instance: instance, Process: process, Reason: why, ExitCode: 1, Detail: detail})
	a.leave(instance)
}

// stop lets the processes end as they were told, and then what is left.
func (a *agent) stop(m *hostmsg.Stop) {
	a.r.t.Helper()
	b := a.runs[m.Instance]
	if b == nil {
		return
	}
	b.status = hostmsg.Draining
	if m.Grace > 3600 { // something on it goes on
		return
	}
	for _, pid := range slices.Sorted(maps.Keys(b.processes)) {
		if !m.Force {
			expect.OK(a.r.t, a.r.Computes.End(a.r.t.Context(), b.processes[pid].Key, compute.Normal))
		}
		a.exit(m.Instance, pid, hostmsg.ExitShutdown, "")
	}
	a.leave(m.Instance)
}

// leave ends an instance that is to end and of which nothing is left.
func (a *agent) leave(instance string) {
	a.r.t.Helper()
	b := a.runs[instance]
	if b == nil || b.status != hostmsg.Draining || len(b.processes) > 0 {
		return
	}
	delete(a.runs, instance)
	a.say(&hostmsg.InstanceChanged{Instance: instance, Status: hostmsg.Gone})
}

// settle runs the scheduler and carries messages until nothing happens any more.
func (r *rooms) settle() {
	r.t.Helper()
	for range 50 {
		expect.OK(r.t, r.Pass(r.t.Context()))
		if r.carry() == 0 {
			return
		}
	}
	r.t.Fatal("it does not settle")
}

// carry carries messages to the agents, and tells how many.
func (r *rooms) carry() (n int) {
	r.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(r.world.agents)) {
		a := r.world.agents[name]
		if a.away {
			continue
		}
		out, err := a.r.Outbox(r.t.Context(), []host.Joined{a.joined})
		expect.OK(r.t, err)
		for _, o := range out {
			m, err := hostmsg.Decode(o.Text)
			expect.OK(r.t, err)
			a.take(m)
			n++
		}
	}
	return n
}

// pass lets wall time go by; agents that are there say so.
func (r *rooms) pass(d time.Duration) {
	r.t.Helper()
	for left := d; left > 0; left -= 10 * time.Second {
		r.world.wall = r.world.wall.Add(min(left, 10*time.Second))
		r.alive()
		expect.OK(r.t, r.Tick(r.t.Context(), r.clock.Now()))
	}
	r.settle()
}

func (r *rooms) alive() {
	r.t.Helper()
	for _, a := range r.world.agents {
		if a.away {
			continue
		}
		stale, err := a.r.Keep(r.t.Context(), []host.Seen{{Joined: a.joined, Alive: hostmsg.Alive{CPU: 0.5, Memory: 1, MemoryTotal: 2}}})
		expect.OK(r.t, err)
		if len(stale) > 0 {
			a.dial(a.r)
		}
	}
}

// tick lets the rooms' time go by and sweeps, as the program does.
func (r *rooms) tick(d time.Duration) {
	r.t.Helper()
	r.clock.Advance(d)
	now := r.clock.Now()
	expect.OK(r.t, errors.Join(r.Fleets.Tick(r.t.Context(), now), r.Computes.Tick(r.t.Context(), now), r.Sessions.Tick(r.t.Context(), now), r.Tick(r.t.Context(), now)))
	r.settle()
}

// shape is how many instances each agent runs, as "a:2 b:1".
func (r *rooms) shape() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(r.world.agents)) {
		list = append(list, fmt.Sprintf("%s:%d", name, len(r.world.agents[name].runs)))
	}
	return strings.Join(list, " ")
}

// counts are the facts of a location.
func (r *rooms) counts(f arn.FleetID, at arn.Location) fleet.Instances {
	r.t.Helper()
	var n fleet.Instances
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		n, err = r.InstancesTx(tx, f, at)
		return err
	}))
	return n
}

// status is a fleet's state.
func (r *rooms) status(f arn.FleetID) types.FleetStatus {
	r.t.Helper()
	out, err := r.Fleets.DescribeFleetAttributes(r.t.Context(), &gamelift.DescribeFleetAttributesInput{FleetIds: []string{string(f)}})
	expect.OK(r.t, err)
	if len(out.FleetAttributes) == 0 {
		return types.FleetStatusNotFound
	}
	return out.FleetAttributes[0].Status
}

// events are the codes of a fleet's events, oldest first.
func (r *rooms) events(f arn.FleetID) (codes []string, messages string) {
	r.t.Helper()
	out, err := r.Fleets.DescribeFleetEvents(r.t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: new(string(f))})
	expect.OK(r.t, err)
	slices.Reverse(out.Events)
	for _, e := range out.Events {
		codes = append(codes, string(e.EventCode))
		messages += *e.Message + "\n"
	}
	return codes, messages
}

// play makes an ACTIVE game session and returns it with its agent's box.
func (r *rooms) play(f arn.FleetID, at arn.Location, protection types.ProtectionPolicy) types.GameSession {
	r.t.Helper()
	out, err := r.Sessions.CreateGameSession(r.t.Context(), &gamelift.CreateGameSessionInput{
		FleetId: new(string(f)), Location: new(string(at)), MaximumPlayerSessionCount: new(int32(4)),
	})
	expect.OK(r.t, err)
	g := *out.GameSession
	expect.OK(r.t, r.Sessions.Activate(r.t.Context(), r.processOf(g), *g.GameSessionId))
	if protection != "" {
		_, err := r.Sessions.UpdateGameSession(r.t.Context(), &gamelift.UpdateGameSessionInput{GameSessionId: g.GameSessionId, ProtectionPolicy: protection})
		expect.OK(r.t, err)
	}
	return g
}

// processOf is the process that hosts a game session.
func (r *rooms) processOf(g types.GameSession) store.Key {
	r.t.Helper()
	var key store.Key
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) error {
		id := *g.GameSessionId
		return tx.QueryRow(`SELECT process FROM game_session WHERE id = $1`, id[strings.LastIndexByte(id, '/')+1:]).Scan(&key)
	}))
	return key
}

// box is an instance, wherever it runs.
func (r *rooms) box(instance string) *box {
	r.t.Helper()
	for _, a := range r.world.agents {
		if b := a.runs[instance]; b != nil {
			return b
		}
	}
	r.t.Fatalf("no agent runs %s", instance)
	return nil
}

// game is a game session's state.
func (r *rooms) game(g types.GameSession) types.GameSessionStatus {
	r.t.Helper()
	out, err := r.Sessions.DescribeGameSessions(r.t.Context(), &gamelift.DescribeGameSessionsInput{GameSessionId: g.GameSessionId})
	expect.OK(r.t, err)
	return out.GameSessions[0].Status
}

// finish lets the game server end a game session.
func (r *rooms) finish(g types.GameSession) {
	r.t.Helper()
	b := r.box(*g.ComputeName)
	key := r.processOf(g)
	for pid, p := range b.processes {
		if p.Key != key {
			continue
		}
		expect.OK(r.t, r.Computes.End(r.t.Context(), key, compute.Normal))
		for _, a := range r.world.agents {
			if a.runs[*g.ComputeName] == b && !a.away {
				a.exit(*g.ComputeName, pid, hostmsg.ExitNormal, "")
				if b.status == hostmsg.Running {
					a.launch(b)
				}
			}
		}
		delete(b.processes, pid)
	}
}

// check compares what is in the database with itself.
func (r *rooms) check() {
	r.t.Helper()
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) error {
		for query, what := range map[string]string{
			`SELECT count(*) FROM instance i WHERE ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM compute c WHERE c.key = i.compute)`:                                                                   "instances without a compute",
			`SELECT count(*) FROM compute c WHERE managed = 1 AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.compute = c.key AND i.ended_at IS NULL)`:                                                 "computes without an instance",
			`SELECT count(*) FROM (SELECT host FROM instance i JOIN host h ON h.key = i.host WHERE i.ended_at IS NULL AND i.actual <> 'LOST' GROUP BY host, h.capacity HAVING count(*) > h.capacity) x`: "hosts with more than they take",
			`SELECT count(*) FROM instance WHERE ended_at IS NOT NULL AND (stop_by IS NOT NULL OR renew_at IS NOT NULL OR told < rev)`:                                                                  "ended instances with something to do",
		} {
			var n int
			if err := tx.QueryRow(query).Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				r.t.Errorf("%d %s", n, what)
			}
		}
		return nil
	}))
}

// mentions checks that a text has all the words.
func mentions(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q lacks %q", text, w)
		}
	}
}
