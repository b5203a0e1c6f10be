package compute_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// agent connects the agent of a compute.
func (r *rooms) agent(name string) compute.Agent {
	r.t.Helper()
	d := r.dial(name, "")
	a, err := r.ConnectAgent(r.t.Context(), d, noon)
	expect.OK(r.t, err)
	return a
}

// view is what an agent must know.
func (r *rooms) view(a compute.Agent, ids ...string) compute.AgentView {
	r.t.Helper()
	var v compute.AgentView
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		v, err = r.AgentTx(tx, a, ids, r.clock.Now())
		return err
	}))
	return v
}

func TestAgentDial(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		before := r.connect("one", "before")
		expect.Same(t, "without agent", before.Agent, false)
		a := r.agent("one")
		expect.Same(t, "with agent", r.connect("one", "p").Agent, true)
		expect.Same(t, "one that was there already", r.read(before).Agent, true)
		expect.Same(t, "first dial", a.Dial, 1)
		expect.Same(t, "superseded", r.view(a).Superseded, false)
		expect.Same(t, "second dial", r.agent("one").Dial, 2)
		expect.Same(t, "superseded by it", r.view(a).Superseded, true)

		d := r.dial("one", "")
		d.AuthToken = "wrong"
		_, err := r.ConnectAgent(t.Context(), d, noon)
		turnedAway(t, "wrong token", err, 403)
		d.AuthToken = ""
		_, err = r.ConnectAgent(t.Context(), d, noon)
		turnedAway(t, "no token", err, 401)
		d.Compute = "two"
		_, err = r.ConnectAgent(t.Context(), d, noon)
		turnedAway(t, "unknown compute", err, 404)
	})
}

func TestAgentOfAnInstanceIsNotAWSs(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		d := r.dial("one", "")
		r.write(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE compute SET managed = 1`)
			return err
		})
		_, err := r.ConnectAgent(t.Context(), d, noon)
		turnedAway(t, "an instance", err, 403)
		r.write(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE compute SET managed = 0`)
			return err
		})
	})
}

// A compute has an agent as long as some node holds its newest socket, and ten minutes more.
func TestAgentIsGivenUp(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		old := r.agent("one")
		a := r.agent("one")
		p := r.ready("one", "p")
		keep := func(at time.Time, held ...compute.Agent) []compute.Agent {
			stale, err := r.KeepAgents(t.Context(), held, at)
			expect.OK(t, err)
			expect.OK(t, r.GiveUpAgents(t.Context(), at))
			return stale
		}
		expect.Same(t, "stale", len(keep(noon.Add(9*time.Minute), a)), 0)
		stale := keep(noon.Add(9*time.Minute), old)
		if len(stale) != 1 || stale[0] != old {
			t.Errorf("stale %v, want the old connection", stale)
		}
		keep(noon.Add(19 * time.Minute))
		expect.Same(t, "within the grace", r.read(p).Agent, true)
		keep(noon.Add(19*time.Minute + time.Second))
		expect.Same(t, "after the grace", r.read(p).Agent, false)
		expect.Same(t, "a new process", r.connect("one", "q").Agent, false)
		expect.Same(t, "its socket", len(keep(noon.Add(20*time.Minute), a)), 1)
		expect.Same(t, "given up", r.view(a).GivenUp, true)

		back := r.agent("one")
		expect.Same(t, "dials are numbered on", back.Dial, a.Dial+1)
		expect.Same(t, "back", r.read(p).Agent, true)
		expect.OK(t, r.LeaveAgent(t.Context(), a))
		expect.Same(t, "an old one leaves", r.read(p).Agent, true)
		expect.OK(t, r.LeaveAgent(t.Context(), back))
		expect.Same(t, "shut down", r.read(p).Agent, false)
	})
}

func TestAgentView(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.register("two", east)
		a := r.agent("one")
		r.ready("two", "other")
		p, q := r.ready("one", "p"), r.ready("one", "q")
		expect.OK(t, r.End(t.Context(), q.Key, compute.Unhealthy))
		v := r.view(a)
		if len(v.Processes) != 1 || v.Processes[0].ProcessID != "p" || v.Processes[0].LogPaths[0] != "/logs" {
			t.Errorf("view %+v, want p alone", v)
		}
		v = r.view(a, "q", "r", "other")
		if len(v.Processes) != 2 || v.Processes[1].ProcessID != "q" || v.Processes[1].Why != compute.Unhealthy {
			t.Errorf("view %+v, want p and the end of q", v)
		}
		r.clock.Advance(time.Second)
		expect.OK(t, r.End(t.Context(), r.ready("one", "s").Key, compute.Forced))
		expect.OK(t, r.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
			v, err = r.AgentTx(tx, a, nil, r.clock.Now().Add(-time.Second))
			return err
		}))
		if len(v.Processes) != 2 || v.Processes[1].ProcessID != "s" || !v.At.Equal(r.clock.Now()) {
			t.Errorf("view %+v, want p and what ended within a second", v)
		}
		expect.OK(t, r.AgentExited(t.Context(), compute.Exit{Compute: a.Compute, ProcessID: "p", Why: compute.Crashed}))
		expect.Same(t, "p", r.read(p).Status, compute.StatusEnded)
		_, err := r.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &r.fleet, ComputeName: new("one")})
		expect.OK(t, err)
		expect.Same(t, "gone", r.view(a).Gone, true)
	})
}

// What agents say of ends becomes the fleet's events, once.
func TestAgentsReportsBecomeEvents(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		a := r.agent("one")
		r.connect("one", "slow")
		r.ready("one", "fine")
		for _, e := range []compute.Exit{
			{ProcessID: "never", Why: compute.InitTimeout},
			{ProcessID: "slow", Why: compute.InitTimeout},
			{ProcessID: "missing", Why: compute.InvalidPath},
			{ProcessID: "fine", Why: compute.Normal},
			{ProcessID: "fine", Why: compute.Crashed},
			{ProcessID: "slow", Why: compute.Crashed},
		} {
			e.Compute = a.Compute
			expect.OK(t, r.AgentExited(t.Context(), e))
		}
		out, err := r.Fleets.DescribeFleetEvents(t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &r.fleet})
		expect.OK(t, err)
		got := map[types.EventCode]int{}
		for _, e := range out.Events {
			got[e.EventCode]++
		}
		for code, want := range map[types.EventCode]int{
			types.EventCodeServerProcessSdkInitializationTimeout: 1,
			types.EventCodeServerProcessProcessReadyTimeout:      1,
			types.EventCodeServerProcessInvalidPath:              1,
			types.EventCodeServerProcessCrashed:                  0,
		} {
			expect.Same(t, string(code), got[code], want)
		}
	})
}

// A process that an agent runs has 30 s from OnProcessTerminate on (hosting.md 2.5).
func TestAgentKillsSooner(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.agent("one")
		p := r.ready("one", "p")
		r.write(func(tx *store.Tx) error {
			return r.SendTx(tx, p.Key, compute.TerminateProcess{At: tx.Now.Add(5 * time.Minute), Patient: true})
		})
		expect.Same(t, "until", r.read(p).EndBy, r.clock.Now().Add(30*time.Second))
		r.tick(30 * time.Second)
		expect.Same(t, "afterwards", r.read(p).Status, compute.StatusEnded)
	})
}
