package host_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// TestAFleetComesUp: the first instance's steps are the fleet's states and events, in order.
func TestAFleetComesUp(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		r.settle()
		expect.Same(r.t, "without a host", r.status(f), types.FleetStatusNew)
		expect.Same(r.t, "without a host", r.counts(f, here), fleet.Instances{Pending: 1})

		r.join("a", "", 4)
		r.settle()
		expect.Same(r.t, "with one", r.status(f), types.FleetStatusActive)
		expect.Same(r.t, "with one", r.counts(f, here), fleet.Instances{Active: 1, Idle: 1})
		codes, messages := r.events(f)
		want := []string{
			"FLEET_CREATED", "FLEET_STATE_DOWNLOADING", "FLEET_CREATION_EXTRACTING_BUILD", "FLEET_CREATION_RUNNING_INSTALLER",
			"FLEET_CREATION_COMPLETED_INSTALLER", "FLEET_STATE_VALIDATING", "FLEET_CREATION_VALIDATING_RUNTIME_CONFIG",
			"FLEET_STATE_BUILDING", "FLEET_STATE_ACTIVATING", "FLEET_STATE_ACTIVE",
		}
		if !slices.Equal(codes, want) {
			t.Errorf("events: got %v, want %v\n%s", codes, want, messages)
		}

		list, err := r.DescribeInstances(t.Context(), &gamelift.DescribeInstancesInput{FleetId: new(string(f))})
		expect.OK(t, err)
		expect.Same(t, "instances", len(list.Instances), 1)
		i := list.Instances[0]
		expect.Same(t, "status", i.Status, types.InstanceStatusActive)
		expect.Same(t, "address", *i.IpAddress, "10.0.0.1")
		expect.Same(t, "type", i.Type, types.EC2InstanceTypeC5Large)
		if id := *i.InstanceId; len(id) != 19 || !strings.HasPrefix(id, "i-") {
			t.Errorf("instance id: %s", id)
		}
		computes, err := r.Computes.ListCompute(t.Context(), &gamelift.ListComputeInput{FleetId: new(string(f))})
		expect.OK(t, err)
		expect.Same(t, "computes", len(computes.ComputeList), 1)
		expect.Same(t, "compute", *computes.ComputeList[0].ComputeName, *i.InstanceId)
		expect.Same(t, "its type", computes.ComputeList[0].Type, types.EC2InstanceTypeC5Large)

		start := r.box(*i.InstanceId).start
		expect.Same(t, "start: fleet", start.Fleet, string(f))
		expect.Same(t, "start: endpoint", start.Endpoint, "ws://127.0.0.1:9170")
		expect.Same(t, "start: launch path", start.Runtime.Processes[0].LaunchPath, "/local/game/server")
		mentions(t, string(start.Metadata), `"fleetName":"arena"`, `"instanceType":"c5.large"`, string(f))
		var kinds []string
		for _, m := range r.world.agents["a"].got {
			kinds = append(kinds, fmt.Sprintf("%T", m))
		}
		expect.Same(t, "told", strings.Join(kinds, " "), "*hostmsg.Dialled *hostmsg.Registered")
	})
}

// TestInstancesSpread: each goes where there is most room, and what finds none is pending.
func TestInstancesSpread(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		r.join("a", here, 4)
		r.join("b", here, 2)
		r.join("elsewhere", west, 50)
		r.settle()
		r.capacity(f, here, 5)
		r.settle()
		expect.Same(t, "spread", r.shape(), "a:4 b:1 elsewhere:0")
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 5, Idle: 5})
		_, err := r.Fleets.UpdateFleetCapacity(t.Context(), &gamelift.UpdateFleetCapacityInput{FleetId: new(string(f)), DesiredInstances: new(int32(8)), MaxSize: new(int32(8))})
		expect.Refused(t, "more than all hosts take", err, "LimitExceededException")
		r.world.agents["a"].hello.Capacity = 2 // it shrinks, and keeps what it has
		r.world.agents["a"].dial(r)
		r.capacity(f, here, 5)
		r.settle()
		expect.Same(t, "after the host shrank", r.shape(), "a:4 b:1 elsewhere:0")
		r.world.agents["a"].hello.Capacity = 5
		r.world.agents["a"].dial(r)
		expect.OK(t, r.Leave(t.Context(), r.world.agents["a"].joined))
		r.world.agents["b"].hello.Capacity = 3
		r.world.agents["b"].dial(r)
		r.capacity(f, here, 8)
		r.settle()
		expect.Same(t, "a is not connected", r.shape(), "a:4 b:3 elsewhere:0")
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Pending: 1, Active: 7, Idle: 7})
		r.world.agents["a"].dial(r)
		r.settle()
		expect.Same(t, "a is back", r.shape(), "a:5 b:3 elsewhere:0")
	})
}

// TestLocationsAreApart: each location goes through its life on its own hosts.
func TestLocationsAreApart(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(func(in *gamelift.CreateFleetInput) {
			in.Locations = []types.LocationConfiguration{{Location: new(string(here))}, {Location: new(string(west))}}
		})
		r.join("a", here, 2)
		r.settle()
		expect.Same(t, "home", r.status(f), types.FleetStatusActive)
		expect.Same(t, "west", r.counts(f, west), fleet.Instances{Pending: 1})
		r.join("w", west, 2)
		r.settle()
		expect.Same(t, "west", r.counts(f, west), fleet.Instances{Active: 1, Idle: 1})
		out, err := r.Fleets.DescribeFleetLocationAttributes(t.Context(), &gamelift.DescribeFleetLocationAttributesInput{FleetId: new(string(f))})
		expect.OK(t, err)
		for _, l := range out.LocationAttributes {
			expect.Same(t, *l.LocationState.Location, l.LocationState.Status, types.FleetStatusActive)
		}
		_, err = r.Fleets.DeleteFleetLocations(t.Context(), &gamelift.DeleteFleetLocationsInput{FleetId: new(string(f)), Locations: []string{string(west)}})
		expect.OK(t, err)
		r.settle()
		expect.Same(t, "after west went", r.shape(), "a:1 w:0")
		out, err = r.Fleets.DescribeFleetLocationAttributes(t.Context(), &gamelift.DescribeFleetLocationAttributesInput{FleetId: new(string(f))})
		expect.OK(t, err)
		expect.Same(t, "remote locations left", len(out.LocationAttributes), 0)
	})
}

// TestScaleIn: idle instances end first, then unprotected ones; protected game sessions never
// end, and their instances get no new ones.
func TestScaleIn(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(func(in *gamelift.CreateFleetInput) { in.RuntimeConfiguration = runtime(2) })
		r.join("a", here, 10)
		r.settle()
		r.capacity(f, here, 4)
		r.settle()
		// Game sessions fill one instance after another: each gets one process more.
		protected := r.play(f, here, types.ProtectionPolicyFullProtection)
		plain := r.play(f, here, "")
		idle := r.counts(f, here).Idle
		expect.Same(t, "idle", idle, 2)

		r.capacity(f, here, 2)
		r.settle()
		expect.Same(t, "the idle ones end", r.counts(f, here), fleet.Instances{Active: 2})
		expect.Same(t, "protected", r.game(protected), types.GameSessionStatusActive)
		expect.Same(t, "plain", r.game(plain), types.GameSessionStatusActive)

		r.capacity(f, here, 1)
		r.settle()
		expect.Same(t, "unprotected ones are the last that end", r.game(plain), types.GameSessionStatusTerminated)
		expect.Same(t, "protected", r.game(protected), types.GameSessionStatusActive)
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 1})

		r.capacity(f, here, 0)
		r.settle()
		expect.Same(t, "protected", r.game(protected), types.GameSessionStatusActive)
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 1})
		b := r.box(*protected.ComputeName)
		r.world.agents["a"].launch(b) // a process that would be free
		_, err := r.Sessions.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{FleetId: new(string(f)), MaximumPlayerSessionCount: new(int32(1))})
		expect.Refused(t, "a game session on an instance that drains", err, "FleetCapacityExceededException", "about to end")

		r.capacity(f, here, 1) // wanted again
		r.settle()
		second := r.play(f, here, "")
		expect.Same(t, "it takes game sessions again", *second.ComputeName, *protected.ComputeName)
		r.finish(second)
		r.capacity(f, here, 0)
		r.settle()
		expect.Same(t, "protected", r.game(protected), types.GameSessionStatusActive)
		r.finish(protected)
		r.settle()
		expect.Same(t, "it ends with its game session", r.shape(), "a:0")
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{})
	})
}

// TestALaunchThatCrossesAStop: a process that an agent launched before it heard that the
// instance is to stop was not asked to end with the others. It is killed as soon as it is
// ready, so that the instance does not wait for it.
func TestALaunchThatCrossesAStop(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 10)
		r.settle()
		var b *box
		for _, b = range a.runs {
		}
		r.capacity(f, here, 0)
		expect.OK(t, r.Pass(t.Context()))
		late := a.launch(b)
		a.got = nil
		r.settle()
		var killed []string
		for _, m := range a.got {
			if k, ok := m.(*hostmsg.Kill); ok && k.Reason == hostmsg.ExitShutdown {
				killed = append(killed, k.Process)
			}
		}
		expect.Same(t, "killed", strings.Join(killed, " "), late.ProcessID)
		expect.Same(t, "instances", r.shape(), "a:0")
	})
}

// TestDeletion: a deleted fleet's instances end, protected or not, and then the fleet is gone.
func TestDeletion(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 10)
		r.settle()
		r.capacity(f, here, 3)
		r.settle()
		g := r.play(f, here, types.ProtectionPolicyFullProtection)
		a.away = true
		_, err := r.Fleets.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: new(string(f))})
		expect.OK(t, err)
		r.settle()
		expect.Same(t, "while instances end", r.status(f), types.FleetStatusDeleting)
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Terminating: 3})
		a.away = false
		r.settle()
		expect.Same(t, "instances", r.shape(), "a:0")
		expect.Same(t, "game", r.game(g), types.GameSessionStatusTerminated)
		if s := r.status(f); s != types.FleetStatusTerminated && s != types.FleetStatusNotFound {
			t.Errorf("fleet is %s", s)
		}
	})
}

// TestHostLoss: the instances of a silent host are replaced; when it comes back they stop.
// Game sessions on it that are still connected go on, and count once.
func TestHostLoss(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 4)
		r.settle()
		r.capacity(f, here, 3)
		r.settle()
		g := r.play(f, here, "")
		b := r.join("b", here, 4)
		r.pass(3 * time.Minute) // all is well, for long enough that silence means something
		expect.Same(t, "all is well", r.shape(), "a:3 b:0")

		a.drop()
		r.pass(80 * time.Second)
		expect.Same(t, "not yet", len(b.runs), 0)
		r.pass(20 * time.Second)
		expect.Same(t, "replaced", len(b.runs), 3)
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 3, Idle: 3, Terminating: 1})
		expect.Same(t, "the game goes on", r.game(g), types.GameSessionStatusActive)
		_, messages := r.events(f)
		mentions(t, messages, "Host a was not heard of for 1m30s; 3 instances on it are replaced")
		_, err := r.Report(t.Context(), a.joined, []any{&hostmsg.InstanceChanged{Instance: *g.ComputeName, Status: hostmsg.Running}})
		if !errors.Is(err, host.ErrSuperseded) {
			t.Errorf("a report of a lost host: %v", err)
		}

		a.dial(r)
		r.settle()
		expect.Same(t, "back: only what hosts is left", len(a.runs), 1)
		expect.Same(t, "the game goes on", r.game(g), types.GameSessionStatusActive)
		r.finish(g)
		r.settle()
		expect.Same(t, "then nothing", r.shape(), "a:0 b:3")
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 3, Idle: 3})
	})
}

// TestALostHostThatNeverReturns: what it hosted ends when its processes are gone for long.
func TestALostHostThatNeverReturns(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 4)
		r.settle()
		g := r.play(f, here, types.ProtectionPolicyFullProtection)
		r.pass(2 * time.Minute)
		a.drop()
		r.pass(2 * time.Minute)
		expect.Same(t, "it still hosts", r.counts(f, here), fleet.Instances{Pending: 1, Terminating: 1})
		for _, p := range a.runs[*g.ComputeName].processes {
			expect.OK(t, r.Computes.Disconnect(t.Context(), p.Key, p.Dial))
		}
		r.tick(4 * time.Minute) // longer than the grace for reconnections
		r.tick(time.Minute)
		expect.Same(t, "the game is over", r.game(g), types.GameSessionStatusTerminated)
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Pending: 1})
	})
}

// TestAControlPlaneThatWasDown: what was silent while nobody listened is not lost.
func TestAControlPlaneThatWasDown(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 4)
		r.settle()
		g := r.play(f, here, "")
		r.pass(2 * time.Minute)
		r.world.wall = r.world.wall.Add(time.Hour) // nobody runs
		expect.OK(t, r.Tick(t.Context(), r.clock.Now()))
		a.dial(r)
		r.settle()
		r.pass(2 * time.Minute)
		expect.Same(t, "nothing ended", r.game(g), types.GameSessionStatusActive)
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 1})
		for _, m := range a.got {
			if h, ok := m.(*hostmsg.Hosting); ok && h.GameSession == *g.GameSessionId {
				return
			}
		}
		t.Error("the agent was not told what its process hosts")
	})
}

// TestAnAgentThatForgot: one that starts anew gets its instances again.
func TestAnAgentThatForgot(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 4)
		r.settle()
		r.capacity(f, here, 2)
		r.settle()
		a.die()
		a.dial(r)
		r.settle()
		expect.Same(t, "instances", r.shape(), "a:2")
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 2, Idle: 2})
		_, messages := r.events(f)
		mentions(t, messages, "its host does not run it any more")
	})
}

// TestDraining: a host that is to be empty gives its instances up, those that host something
// last.
func TestDraining(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		r.join("a", here, 4)
		r.settle()
		r.capacity(f, here, 2)
		r.settle()
		g := r.play(f, here, "")
		r.join("b", here, 4)
		expect.OK(t, r.Drain(t.Context(), "a", true))
		r.settle()
		expect.Same(t, "what hosts stays", r.shape(), "a:1 b:2")
		expect.Same(t, "game", r.game(g), types.GameSessionStatusActive)
		r.finish(g)
		r.settle()
		expect.Same(t, "then it is empty", r.shape(), "a:0 b:2")
		expect.OK(t, r.Drain(t.Context(), "a", false))
		r.capacity(f, here, 4)
		r.settle()
		expect.Same(t, "filled again", r.shape(), "a:2 b:2")
		if err := r.Drain(t.Context(), "nobody", true); err == nil {
			t.Error("an unknown host was drained")
		}
		if err := r.Forget(t.Context(), "a"); err == nil {
			t.Error("a connected host was forgotten")
		}
	})
}

// TestRuntimeConfigurationReachesHosts, and nothing ends by it.
func TestRuntimeConfigurationReachesHosts(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 4)
		r.settle()
		_, err := r.Fleets.UpdateRuntimeConfiguration(t.Context(), &gamelift.UpdateRuntimeConfigurationInput{FleetId: new(string(f)), RuntimeConfiguration: runtime(7)})
		expect.OK(t, err)
		r.settle()
		for _, b := range a.runs {
			expect.Same(t, "starts", b.starts, 2)
			expect.Same(t, "concurrent", b.start.Runtime.Processes[0].Concurrent, 7)
		}
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 1, Idle: 1})
		r.settle()
		for _, b := range a.runs {
			expect.Same(t, "once", b.starts, 2)
		}
	})
}

// TestTokensAreRenewed: agents get another one while the old one is still good.
func TestTokensAreRenewed(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 4)
		r.settle()
		var old string
		for _, b := range a.runs {
			old = b.start.Token
		}
		r.tick(46 * time.Minute)
		for _, b := range a.runs {
			if b.start.Token == old || b.start.Token == "" {
				t.Errorf("token %q came again", b.start.Token)
			}
			a.launch(b)
		}
		due, ok, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", ok, true)
		expect.Same(t, "due", due, r.clock.Now().Add(45*time.Minute))
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 1, Idle: 1})
	})
}

// TestTwoNodes: passes on two nodes at once make each instance once; a host's newest
// connection is the one that is served.
func TestTwoNodes(t *testing.T) {
	url, clock := storetest.PostgresURL(t), storetest.NewClock()
	w := &world{wall: clock.Now(), agents: map[string]*agent{}}
	one := furnish(t, storetest.Open(t, url, clock.Now), clock, w)
	one.begin()
	two := furnish(t, storetest.Open(t, url, clock.Now), clock, w)
	two.token, two.builds = one.token, one.builds
	f := one.fleet(nil)
	a := one.join("a", here, 100)
	one.settle()
	one.capacity(f, here, 60)
	errs := make(chan error, 4)
	for _, n := range []*rooms{one, two, one, two} {
		go func() { errs <- n.Pass(t.Context()) }()
	}
	for range 4 {
		expect.OK(t, <-errs)
	}
	two.settle()
	expect.Same(t, "instances", two.shape(), "a:60")
	expect.Same(t, "counts", two.counts(f, here), fleet.Instances{Active: 60, Idle: 60})

	old := a.joined
	a.dial(two)
	one.capacity(f, here, 61)
	expect.OK(t, one.Pass(t.Context()))
	out, err := one.Outbox(t.Context(), []host.Joined{old})
	expect.OK(t, err)
	expect.Same(t, "messages for the old connection", len(out), 0)
	stale, err := one.Keep(t.Context(), []host.Seen{{Joined: old}})
	expect.OK(t, err)
	expect.Same(t, "the old connection is stale", len(stale), 1)
	expect.OK(t, one.Leave(t.Context(), old)) // late
	two.settle()
	expect.Same(t, "instances", two.shape(), "a:61")
	two.check()
}

// TestAStoppingInstanceThatDoesNotEnd is killed.
func TestAStoppingInstanceThatDoesNotEnd(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 4)
		r.settle()
		a.away = true
		r.capacity(f, here, 0)
		r.settle()
		out, err := r.Outbox(t.Context(), []host.Joined{a.joined})
		expect.OK(t, err)
		if len(out) == 0 || !strings.Contains(string(out[0].Text), `"grace":60`) {
			t.Errorf("stop: %+v", out)
		}
		r.clock.Advance(7 * time.Minute)
		expect.OK(t, r.Tick(t.Context(), r.clock.Now()))
		out, err = r.Outbox(t.Context(), []host.Joined{a.joined})
		expect.OK(t, err)
		expect.Same(t, "killed", len(out) > 0 && strings.Contains(string(out[0].Text), `"force":true`), true)
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Terminating: 1})
		a.away = false
		a.take(&hostmsg.Stop{Instance: firstOf(a), Force: true})
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{})
	})
}

func firstOf(a *agent) string {
	for id := range a.runs {
		return id
	}
	return ""
}

// TestTerminateProcessIsFollowedByKill after 30 seconds on instances.
func TestTerminateProcessIsFollowedByKill(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 4)
		r.settle()
		g := r.play(f, here, "")
		_, err := r.Sessions.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{GameSessionId: g.GameSessionId, TerminationMode: types.TerminationModeTriggerOnProcessTerminate})
		expect.OK(t, err)
		r.settle()
		a.got = nil
		r.tick(29 * time.Second)
		expect.Same(t, "before", len(a.got), 0)
		r.tick(2 * time.Second)
		expect.Same(t, "after", len(a.got), 1)
		k, ok := a.got[0].(*hostmsg.Kill)
		if !ok || k.Reason != hostmsg.ExitForced {
			t.Errorf("got %+v, want a Kill as forced", a.got[0])
		}
		expect.Same(t, "game", r.game(g), types.GameSessionStatusTerminated)
		codes, _ := r.events(f)
		expect.Same(t, "one event", count(codes, "SERVER_PROCESS_FORCE_TERMINATED"), 1)
	})
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// TestProcessEnds: each way in which a process ends leaves its event, once, with the reason.
func TestProcessEnds(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(func(in *gamelift.CreateFleetInput) { in.RuntimeConfiguration = runtime(5) })
		a := r.join("a", here, 4)
		r.settle()
		b := a.runs[firstOf(a)]
		id := b.start.Instance
		g := r.play(f, here, "")
		var pid string
		for p := range b.processes {
			pid = p
		}
		a.exit(id, pid, hostmsg.ExitCrashed, "segmentation fault")
		a.say(&hostmsg.ProcessEnded{Instance: id, Process: pid, Reason: hostmsg.ExitCrashed, ExitCode: 1, Detail: "segmentation fault"})
		expect.Same(t, "its game is over at once", r.game(g), types.GameSessionStatusTerminated)
		a.say(
			&hostmsg.ProcessEnded{Instance: id, Process: "never", Reason: hostmsg.ExitInitTimeout},
			&hostmsg.ProcessEnded{Instance: id, Process: "absent", Reason: hostmsg.ExitInvalidPath, Detail: "/local/game/serverr"},
		)
		p := a.launch(b)
		expect.OK(t, r.Computes.End(t.Context(), p.Key, compute.Normal))
		a.say(&hostmsg.ProcessEnded{Instance: id, Process: p.ProcessID, Reason: hostmsg.ExitTimeout})
		p = a.launch(b)
		expect.OK(t, r.Computes.End(t.Context(), p.Key, compute.Unhealthy))
		r.settle() // the agent kills it and says so
		p = a.launch(b)
		expect.OK(t, r.Computes.End(t.Context(), p.Key, compute.Normal))
		a.say(&hostmsg.ProcessEnded{Instance: id, Process: p.ProcessID, Reason: hostmsg.ExitNormal})
		p = a.begin(b)
		r.tick(6 * time.Minute) // it dialled, and never got ready
		codes, messages := r.events(f)
		for _, code := range []string{
			"SERVER_PROCESS_CRASHED", "SERVER_PROCESS_SDK_INITIALIZATION_TIMEOUT", "SERVER_PROCESS_INVALID_PATH", "SERVER_PROCESS_PROCESS_EXIT_TIMEOUT",
			"SERVER_PROCESS_TERMINATED_UNHEALTHY", "SERVER_PROCESS_PROCESS_READY_TIMEOUT",
		} {
			expect.Same(t, code, count(codes, code), 1)
		}
		mentions(t, messages, "exit code 1, segmentation fault", "/local/game/serverr")
		if _, runs := b.processes[p.ProcessID]; runs {
			t.Error("a process that was not ready in time was not killed")
		}
		expect.Same(t, "the fleet stays", r.status(f), types.FleetStatusActive)
	})
}

// TestCreationsThatFail: the fleet's ERROR has the event of what went wrong, in words.
func TestCreationsThatFail(t *testing.T) {
	steps := func(failed hostmsg.Step, reason string) func(a *agent, b *box) bool {
		return func(a *agent, b *box) bool {
			id := b.start.Instance
			a.say(
				&hostmsg.InstanceChanged{Instance: id, Status: hostmsg.Preparing},
				&hostmsg.Progress{Instance: id, Step: hostmsg.StepExtract},
				&hostmsg.Progress{Instance: id, Step: failed, Failed: true, Reason: reason, Log: "the log"},
				&hostmsg.InstanceChanged{Instance: id, Status: hostmsg.Failed},
			)
			return true
		}
	}
	for _, c := range []struct {
		name   string
		script func(a *agent, b *box) bool
		after  time.Duration
		code   string
		words  []string
	}{
		{"download", steps(hostmsg.StepDownload, "404 Not Found"), 0, "FLEET_BINARY_DOWNLOAD_FAILED", []string{"404 Not Found", "host a"}},
		{"installer", steps(hostmsg.StepInstall, "install.sh ended with 3"), 0, "FLEET_CREATION_FAILED_INSTALLER", []string{"install.sh ended with 3"}},
		{"launch path", steps(hostmsg.StepValidate, "Failed to find a valid path"), 0, "FLEET_VALIDATION_LAUNCH_PATH_NOT_FOUND", []string{"Failed to find a valid path"}},
		{"executable", steps(hostmsg.StepExecutable, "exec format error"), 0, "FLEET_VALIDATION_EXECUTABLE_RUNTIME_FAILURE", []string{"exec format error"}},
		{"anything else", steps(hostmsg.StepInitialization, "disk full"), 0, "FLEET_INITIALIZATION_FAILED", []string{"disk full"}},
		{"an archive that is refused", steps(hostmsg.StepExtract, "../evil"), 0, "FLEET_INITIALIZATION_FAILED", []string{"../evil"}},
		{"a crash at start", func(a *agent, b *box) bool {
			a.prepare(b)
			for n := range 3 {
				a.say(&hostmsg.ProcessEnded{Instance: b.start.Instance, Process: fmt.Sprint(n), Reason: hostmsg.ExitCrashed, ExitCode: 139, Detail: "bad libc"})
			}
			return true
		}, 0, "FLEET_ACTIVATION_FAILED", []string{"crashed", "exit code 139, bad libc"}},
		{"never ready", func(a *agent, b *box) bool {
			a.prepare(b)
			a.begin(b)
			return true
		}, 6 * time.Minute, "FLEET_ACTIVATION_FAILED", []string{"did not call ProcessReady() in time"}},
		{"never dials", func(a *agent, b *box) bool {
			a.prepare(b)
			a.say(&hostmsg.ProcessEnded{Instance: b.start.Instance, Process: "p", Reason: hostmsg.ExitInitTimeout})
			return true
		}, 0, "FLEET_ACTIVATION_FAILED", []string{"did not call InitSDK() in time"}},
		{"prepares for ever", func(*agent, *box) bool { return true }, 31 * time.Minute, "FLEET_VALIDATION_TIMED_OUT", []string{"within 30m0s"}},
		{"launches nothing", func(a *agent, b *box) bool { a.prepare(b); return true }, 16 * time.Minute, "FLEET_ACTIVATION_FAILED", []string{"within 15m0s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(r *rooms) {
				f := r.fleet(nil)
				r.join("a", here, 4).script = c.script
				r.settle()
				if c.after > 0 {
					r.tick(c.after)
				}
				expect.Same(r.t, "status", r.status(f), types.FleetStatusError)
				codes, messages := r.events(f)
				expect.Same(r.t, c.code, count(codes, c.code), 1)
				mentions(r.t, messages, c.words...)
				expect.Same(r.t, "last", codes[len(codes)-1], "FLEET_STATE_ERROR")
				expect.Same(r.t, "instances", r.counts(f, here), fleet.Instances{})
			})
		})
	}
}

// TestNoRoom: a new fleet waits for a host, and then fails with the reason.
func TestNoRoom(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		full := r.fleet(func(in *gamelift.CreateFleetInput) {
			in.Locations = []types.LocationConfiguration{{Location: new(string(here))}, {Location: new(string(west))}}
		})
		r.join("w", west, 0)
		r.settle()
		due, ok, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", ok && due.Equal(r.clock.Now().Add(5*time.Minute)), true)
		r.tick(4 * time.Minute)
		expect.Same(t, "while it waits", r.status(f), types.FleetStatusNew)
		expect.Same(t, "while it waits", r.counts(f, here), fleet.Instances{Pending: 1})
		r.tick(2 * time.Minute)
		expect.Same(t, "then", r.status(f), types.FleetStatusError)
		codes, messages := r.events(f)
		expect.Same(t, "event", count(codes, "FLEET_ACTIVATION_FAILED_NO_INSTANCES"), 1)
		mentions(t, messages, "No host that could run an instance is connected in us-west-2, for 5m0s")
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{})
		_, messages = r.events(full)
		mentions(t, messages, "All 1 hosts in custom-west are full")
	})
}

// TestInstancesThatFailLater are replaced, with pauses that grow, and the fleet stays.
func TestInstancesThatFailLater(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.fleet(nil)
		a := r.join("a", here, 8)
		r.settle()
		broken := true
		tries := 0
		a.script = func(a *agent, b *box) bool {
			if !broken {
				return false
			}
			tries++
			id := b.start.Instance
			a.say(&hostmsg.Progress{Instance: id, Step: hostmsg.StepDownload, Failed: true, Reason: "no route"}, &hostmsg.InstanceChanged{Instance: id, Status: hostmsg.Failed})
			return true
		}
		r.capacity(f, here, 2)
		r.settle()
		expect.Same(t, "tries", tries, 1)
		r.tick(500 * time.Millisecond)
		expect.Same(t, "tries within the pause", tries, 1)
		r.tick(time.Second)
		expect.Same(t, "tries", tries, 2)
		r.tick(time.Second)
		expect.Same(t, "tries within the longer pause", tries, 2)
		broken = false
		r.tick(2 * time.Second)
		expect.Same(t, "counts", r.counts(f, here), fleet.Instances{Active: 2, Idle: 2})
		expect.Same(t, "status", r.status(f), types.FleetStatusActive)
		_, messages := r.events(f)
		mentions(t, messages, "An instance on host a did not start (download): no route")
	})
}
