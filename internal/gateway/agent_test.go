package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// robot is AWS's agent as server-sdk-protocol.md 8 describes it: its states, what each
// message makes it do, and what it passes over. It launches when the test says so.
type robot struct {
	t     testing.TB
	dials string // the URL

	mu        sync.Mutex
	status    string
	conn      net.Conn // the current one
	number    int      // of connections
	close     []ws.StatusCode
	runs      map[string]*child
	strikes   map[string]int // heartbeats in a row that called a process unregistered
	requests  int
	waiting   map[string]chan message
	pushes    []message
	beats     []message // answers to heartbeats
	reporting sync.WaitGroup
	listening sync.WaitGroup
}

// child is a process of a robot.
type child struct {
	logs []string // not empty: it is initialized
	game string
	kill func() // -9; may be nil
}

// robot starts an agent on the yard's compute.
func (y *yard) robot() *robot {
	y.t.Helper()
	r := &robot{t: y.t, status: "Initializing", runs: map[string]*child{}, strikes: map[string]int{}, waiting: map[string]chan message{}}
	q := url.Values{"FleetId": {y.fleet}, "ComputeName": {y.compute}, "Authorization": {y.token}}
	r.dials = y.url + "/?" + q.Encode()
	if err := r.dial(r.dials); err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() {
		r.reporting.Wait()
		r.mu.Lock()
		r.status = "Terminated" // no more dials
		_ = r.conn.Close()
		r.mu.Unlock()
		r.listening.Wait()
	})
	return r
}

// dial makes a new connection the current one. The older one stays open.
func (r *robot) dial(address string) error {
	conn, from, err := dial(r.t.Context(), address)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.conn = conn
	r.number++
	r.mu.Unlock()
	r.listening.Go(func() { r.listen(conn, from) })
	return nil
}

// listen reads a connection until it ends. The end of the current one, whatever its code,
// makes it dial again, unless it has terminated.
func (r *robot) listen(conn net.Conn, from io.Reader) {
	defer conn.Close()
	code := ws.StatusCode(0)
	for {
		f, err := readFrame(from)
		if err != nil {
			break
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			_ = ws.WriteFrame(conn, ws.MaskFrame(ws.NewPongFrame(f.Payload)))
			continue
		case ws.OpText:
			r.takes(f.Payload)
			continue
		case ws.OpClose:
			code, _ = ws.ParseCloseFrameData(f.Payload)
			_ = ws.WriteFrame(conn, ws.MaskFrame(ws.NewCloseFrame(nil)))
		default:
		}
		break
	}
	r.mu.Lock()
	r.close = append(r.close, code)
	again := r.conn == conn && r.status != "Terminated"
	r.mu.Unlock()
	for end := time.Now().Add(patience); again && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if r.dial(r.dials) == nil {
			return
		}
		r.mu.Lock()
		again = r.status != "Terminated"
		r.mu.Unlock()
	}
}

func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(r, payload)
	return ws.Frame{Header: h, Payload: payload}, err
}

// takes handles a message. Keys match in any case; what has the RequestId of an open request
// is its answer, everything else goes by its Action.
func (r *robot) takes(text []byte) {
	var m struct {
		Action, RequestId, Status                 string
		ProcessId, GameSessionId                  string
		TerminationReason                         string
		LogPaths                                  []string
		UnhealthyProcesses, UnregisteredProcesses []string
	}
	var raw message
	if err := errors.Join(json.Unmarshal(text, &m), json.Unmarshal(text, &raw)); err != nil {
		r.t.Errorf("%q: %v", text, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if waiting := r.waiting[m.RequestId]; waiting != nil {
		delete(r.waiting, m.RequestId)
		waiting <- raw
		return
	}
	if m.Action != "SendHeartbeat" {
		if _, has := raw["RequestId"]; has {
			r.t.Errorf("a push with a RequestId: %q", text)
		}
		r.pushes = append(r.pushes, raw)
	}
	switch m.Action {
	case "SendHeartbeat":
		if m.UnregisteredProcesses == nil {
			r.t.Errorf("UnregisteredProcesses is null, on which the agent fails: %q", text)
		}
		r.beats = append(r.beats, raw)
		r.moves(m.Status)
		for _, id := range m.UnhealthyProcesses {
			r.kills(id, "SERVER_PROCESS_TERMINATED_UNHEALTHY")
		}
		for id := range r.strikes {
			if !slices.Contains(m.UnregisteredProcesses, id) {
				delete(r.strikes, id)
			}
		}
		for _, id := range m.UnregisteredProcesses {
			if r.strikes[id]++; r.strikes[id] >= 8 {
				delete(r.strikes, id)
				r.kills(id, "SERVER_PROCESS_SDK_INITIALIZATION_TIMEOUT")
			}
		}
	case "NotifyProcessRegistered":
		if c := r.runs[m.ProcessId]; c != nil && len(m.LogPaths) > 0 {
			c.logs = m.LogPaths
		}
	case "NotifyGameSessionActivated":
		if c := r.runs[m.ProcessId]; c != nil {
			c.game = m.GameSessionId
		}
	case "ForceExitServerProcess":
		r.kills(m.ProcessId, m.TerminationReason)
	case "StartComputeTermination":
		r.shutsDown()
	default:
		r.t.Errorf("a push that the agent does not know: %q", text)
	}
}

// moves takes the status of an answer to a heartbeat.
func (r *robot) moves(to string) {
	switch {
	case r.status == "Terminating" || r.status == "Terminated":
	case strings.EqualFold(r.status, to):
		if r.status == "Initializing" {
			r.status = "Activating"
		}
	case to == "Active":
		r.status = "Active"
	case to == "Terminating", to == "Terminated":
		r.shutsDown()
	}
}

func (r *robot) shutsDown() {
	if r.status != "Terminated" {
		r.status = "Terminating"
	}
}

// kills ends a process with -9 and reports it. One that it does not run is passed over.
func (r *robot) kills(id, reason string) {
	c := r.runs[id]
	if c == nil {
		return
	}
	delete(r.runs, id)
	if c.kill != nil {
		c.kill()
	}
	r.reporting.Go(func() { r.reports(id, reason) })
}

// reports tells of the end of a process.
func (r *robot) reports(id, reason string) {
	var code any
	if strings.HasPrefix(reason, "SERVER_PROCESS_") {
		code = reason
	}
	r.asks(200, "NotifyServerProcessTermination", "ProcessId", id, "EventCode", code, "TerminationReason", reason)
}

// launches lists a process as its own, once the agent may launch any.
func (r *robot) launches(id string, kill func()) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status != "Active" {
		r.t.Fatalf("an agent that is %s launches nothing", r.status)
	}
	r.runs[id] = &child{kill: kill}
}

func (r *robot) sends(text string) {
	r.mu.Lock()
	conn := r.conn
	err := ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte(text))))
	r.mu.Unlock()
	if err != nil {
		r.t.Errorf("write: %v", err)
	}
}

// asks sends a request and returns its answer.
func (r *robot) asks(status int, action string, members ...any) message {
	r.mu.Lock()
	r.requests++
	id := fmt.Sprintf("6f0ff4b2-0000-4000-8000-%012d", r.requests)
	answer := make(chan message, 1)
	r.waiting[id] = answer
	r.mu.Unlock()
	r.sends((&client{t: r.t}).request(action, id, members...))
	select {
	case m := <-answer:
		if m["StatusCode"] != float64(status) || m["Action"] != action {
			r.t.Errorf("%s: got %v, want status %d", action, m, status)
		}
		return m
	case <-time.After(patience):
		r.t.Errorf("%s is not answered", action)
		return nil
	}
}

// heartbeat sends a heartbeat and waits for its answer, which comes by Action.
func (r *robot) heartbeat() message {
	r.t.Helper()
	r.mu.Lock()
	before, status := len(r.beats), r.status
	list := slices.Sorted(maps.Keys(r.runs))
	r.mu.Unlock()
	if list == nil {
		list = []string{}
	}
	r.sends((&client{t: r.t}).request("SendHeartbeat", "heartbeat", "Status", status, "ProcessList", list, "HeartbeatTimeMillis", time.Now().UnixMilli()))
	var answer message
	eventually(r.t, "heartbeat is answered", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.beats) > before {
			answer = r.beats[len(r.beats)-1]
		}
		return answer != nil
	})
	return answer
}

// active is an agent that has been let go to work.
func (y *yard) active() *robot {
	y.t.Helper()
	r := y.robot()
	r.heartbeat()
	r.is("Active")
	return r
}

func (r *robot) is(status string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status != status {
		r.t.Fatalf("the agent is %s, want %s", r.status, status)
	}
}

// heard waits for a push that has all members.
func (r *robot) heard(members ...any) message {
	r.t.Helper()
	var found message
	var all string
	eventually(r.t, fmt.Sprint("agent hears ", members), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		all = fmt.Sprint(r.pushes)
		for _, p := range r.pushes {
			fits := true
			for i := 0; i < len(members); i += 2 {
				fits = fits && p[members[i].(string)] == members[i+1]
			}
			if fits {
				found = p
			}
		}
		return found != nil
	}, &all)
	return found
}

// count is how many pushes of an action were heard.
func (r *robot) count(action string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pushes {
		if p["Action"] == action {
			n++
		}
	}
	return n
}

// event waits for a fleet event, and checks how often it came.
func (y *yard) event(code types.EventCode, words string) {
	y.t.Helper()
	var seen []types.Event
	eventually(y.t, "event "+string(code), func() bool {
		out, err := y.fleets.DescribeFleetEvents(y.t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &y.fleet})
		if err != nil {
			y.t.Fatal(err)
		}
		seen = slices.DeleteFunc(out.Events, func(e types.Event) bool { return e.EventCode != code })
		return len(seen) > 0
	})
	if len(seen) != 1 || !strings.Contains(*seen[0].Message, words) {
		y.t.Errorf("%d events %s, the first %q; want one with %q", len(seen), code, *seen[0].Message, words)
	}
}

// What an agent does first: it launches nothing until the answer to a heartbeat says Active.
func TestAgentBegins(t *testing.T) {
	each(t, func(y *yard) {
		r := y.robot()
		r.is("Initializing")
		m := r.asks(200, "DescribeRuntimeConfiguration")
		if list, ok := m["ServerProcesses"].([]any); !ok || len(list) != 0 {
			t.Errorf("runtime configuration %v, want an empty list", m)
		}
		beat := r.heartbeat()
		r.is("Active")
		for _, list := range []string{"UnhealthyProcesses", "UnregisteredProcesses"} {
			if l, ok := beat[list].([]any); !ok || len(l) != 0 {
				t.Errorf("%s: %v, want an empty list", list, beat)
			}
		}
		if beat["StatusCode"] != 200.0 || beat["RequestId"] != "heartbeat" {
			t.Errorf("heartbeat answered with %v", beat)
		}

		_, err := y.fleets.UpdateRuntimeConfiguration(t.Context(), &gamelift.UpdateRuntimeConfigurationInput{
			FleetId: &y.fleet, RuntimeConfiguration: &types.RuntimeConfiguration{
				MaxConcurrentGameSessionActivations: new(int32(2)), GameSessionActivationTimeoutSeconds: new(int32(60)),
				ServerProcesses: []types.ServerProcess{
					{LaunchPath: new("/local/game/a"), ConcurrentExecutions: new(int32(3)), Parameters: new("-x 1")},
					{LaunchPath: new("/local/game/b"), ConcurrentExecutions: new(int32(1))},
				},
			},
		})
		check(t, err)
		m = r.asks(200, "DescribeRuntimeConfiguration")
		delete(m, "RequestId")
		text, err := json.Marshal(m)
		check(t, err)
		want := `{"Action":"DescribeRuntimeConfiguration","GameSessionActivationTimeoutSeconds":60,"MaxConcurrentGameSessionActivations":2,` +
			`"ServerProcesses":[{"ConcurrentExecutions":3,"LaunchPath":"/local/game/a","Parameters":"-x 1"},{"ConcurrentExecutions":1,"LaunchPath":"/local/game/b","Parameters":null}],"StatusCode":200}`
		if string(text) != want {
			t.Errorf("runtime configuration\n%s, want\n%s", text, want)
		}
		if m := r.asks(200, "GetFleetRoleCredentials", "RoleSessionName", "GameLiftAgentSession-aB3dE"); m["AccessKeyId"] != "" || m["Expiration"] != 0.0 {
			t.Errorf("credentials %v, want an empty AccessKeyId, which is no role", m)
		}
		r.asks(400, "ActivateServerProcess", "Port", 7777)
		if s := y.Stats(); s.Agents != 1 || s.Sockets != 1 || s.Processes != 0 {
			t.Errorf("stats %+v, want one agent", s)
		}
	})
}

// start launches a game server of the official SDK and has the agent list it.
func (y *yard) launch(r *robot, id string, flags ...string) *program {
	y.t.Helper()
	p := y.run(id, flags...)
	r.launches(id, func() { _ = p.cmd.Process.Kill() })
	return p
}

// Processes of the official SDK under an agent: one hosts a game and is killed by force, one
// ends by itself.
func TestAgentRunsProcesses(t *testing.T) {
	each(t, func(y *yard) {
		r := y.active()
		const one, two = "11111111-2222-4333-8444-555555555551", "11111111-2222-4333-8444-555555555552"
		p := y.launch(r, one)
		r.heard("Action", "NotifyProcessRegistered", "ProcessId", one)
		id := y.eventuallyStart()
		p.prints("active ")
		r.heard("Action", "NotifyGameSessionActivated", "ProcessId", one, "GameSessionId", id)

		q := y.launch(r, two, "-end-when-empty")
		r.heard("Action", "NotifyProcessRegistered", "ProcessId", two)
		if beat := r.heartbeat(); fmt.Sprint(beat["UnhealthyProcesses"], beat["UnregisteredProcesses"]) != "[] []" {
			t.Errorf("heartbeat %v, want both processes to be fine", beat)
		}
		if r.count("NotifyProcessRegistered") != 2 {
			t.Error("a process was registered twice")
		}

		_, err := y.sessions.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{GameSessionId: &id, TerminationMode: types.TerminationModeForceTerminate})
		check(t, err)
		r.heard("Action", "ForceExitServerProcess", "ProcessId", one, "TerminationReason", "SERVER_PROCESS_FORCE_TERMINATED")
		select {
		case err := <-p.ended:
			t.Logf("the game server ended: %v", err)
		case <-time.After(patience):
			t.Fatal("the game server was not killed")
		}
		y.becomes(id, types.GameSessionStatusTerminated)
		y.event(types.EventCodeServerProcessForceTerminated, "did not end in time")

		id = y.eventuallyStart()
		q.prints("active ")
		r.heard("Action", "NotifyGameSessionActivated", "ProcessId", two, "GameSessionId", id)
		q.connect().says("END", "OK")
		q.ends()
		r.reports(two, "NORMAL_TERMINATION")
		y.becomes(id, types.GameSessionStatusTerminated)
		if n := r.count("ForceExitServerProcess"); n != 1 {
			t.Errorf("%d kills, want 1", n)
		}
	})
}

// What an agent reports of ends becomes fleet events with words, at once and once.
func TestAgentReportsEnds(t *testing.T) {
	each(t, func(y *yard) {
		r := y.active()
		c := y.ready("crashes")
		r.launches("crashes", nil)
		id := *y.start(2).GameSessionId
		if m := c.hears(); m["Action"] != "CreateGameSession" {
			t.Fatalf("the process heard %v", m)
		}
		c.does(200, "ActivateGameSession", "GameSessionId", id)
		r.reports("crashes", "SERVER_PROCESS_CRASHED")
		y.becomes(id, types.GameSessionStatusTerminated) // without the grace
		y.event(types.EventCodeServerProcessCrashed, "without calling ProcessEnding()")
		r.reports("crashes", "SERVER_PROCESS_CRASHED")

		r.reports("never-ran", "SERVER_PROCESS_INVALID_PATH")
		y.event(types.EventCodeServerProcessInvalidPath, "launch path that is not there, compute laptop")
		r.asks(400, "NotifyServerProcessTermination", "ProcessId", "p", "TerminationReason", "BORED")
		r.asks(400, "NotifyServerProcessTermination", "ProcessId", "", "TerminationReason", "SERVER_PROCESS_CRASHED")
		r.asks(400, "NotifyServerProcessTermination", "ProcessId", "a\u0000", "TerminationReason", "SERVER_PROCESS_CRASHED")
		r.asks(200, "NotifyServerProcessTermination", "processid", "crashes", "EVENTCODE", nil, "terminationReason", "COMPUTE_SHUTTING_DOWN")

		// The same request again, as after a lost answer.
		for range 2 {
			r.mu.Lock()
			answer := make(chan message, 1)
			r.waiting["again"] = answer
			r.mu.Unlock()
			r.sends(`{"action":"NotifyServerProcessTermination","requestid":"again","PROCESSID":"q","EventCode":"SERVER_PROCESS_PROCESS_EXIT_TIMEOUT","TerminationReason":null}`)
			select {
			case <-answer:
			case <-time.After(patience):
				t.Fatal("no answer")
			}
		}
		out, err := y.fleets.DescribeFleetEvents(t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &y.fleet})
		check(t, err)
		got := map[types.EventCode]int64{}
		for _, e := range out.Events {
			got[e.EventCode]++
			if e.Count != nil {
				got[e.EventCode] += *e.Count - 1
			}
		}
		for code, want := range map[types.EventCode]int64{
			types.EventCodeServerProcessCrashed: 1, types.EventCodeServerProcessInvalidPath: 1, types.EventCodeServerProcessProcessExitTimeout: 1,
		} {
			if got[code] != want {
				t.Errorf("%d times %s, want %d", got[code], code, want)
			}
		}
	})
}

// A process that does not dial is called unregistered until its agent kills it; one that
// named no logs is registered all the same.
func TestAgentsProcessesMustRegister(t *testing.T) {
	each(t, func(y *yard) {
		r := y.active()
		r.launches("ghost", nil)
		r.launches("quiet", nil)
		c := y.dial("quiet")
		for range 3 {
			if beat := r.heartbeat(); fmt.Sprint(beat["UnregisteredProcesses"]) != "[ghost]" {
				t.Fatalf("heartbeat %v, want the ghost to be unregistered", beat)
			}
		}
		c.does(200, "ActivateServerProcess", "Port", 7777, "LogPaths", nil)
		if m := r.heard("Action", "NotifyProcessRegistered", "ProcessId", "quiet"); fmt.Sprint(m["LogPaths"]) != "[none]" {
			t.Errorf("%v, want a placeholder for the logs", m)
		}
		for range 5 {
			r.heartbeat()
		}
		y.event(types.EventCodeServerProcessSdkInitializationTimeout, "did not call InitSDK()")
		if beat := r.heartbeat(); fmt.Sprint(beat["UnregisteredProcesses"]) != "[]" {
			t.Errorf("heartbeat %v, want none unregistered", beat)
		}
	})
}

// What the service ends, the agent kills: with the reason, at once or, when the process was
// asked to end, after 30 s.
func TestAgentKills(t *testing.T) {
	each(t, func(y *yard) {
		r := y.active()
		slow := y.dial("slow")
		r.launches("slow", nil)
		y.advance(5*time.Minute + time.Second)
		r.heard("Action", "ForceExitServerProcess", "ProcessId", "slow", "TerminationReason", "SERVER_PROCESS_PROCESS_READY_TIMEOUT")
		y.event(types.EventCodeServerProcessProcessReadyTimeout, "ProcessReady()")
		_ = slow.conn.Close()

		c := y.ready("stubborn")
		r.launches("stubborn", nil)
		id := *y.start(2).GameSessionId
		c.hears()
		c.does(200, "ActivateGameSession", "GameSessionId", id)
		r.heard("Action", "NotifyGameSessionActivated", "ProcessId", "stubborn")
		_, err := y.sessions.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{GameSessionId: &id, TerminationMode: types.TerminationModeTriggerOnProcessTerminate})
		check(t, err)
		if m := c.hears(); m["Action"] != "TerminateProcess" || m["TerminationTime"] != float64(y.clock.Now().Add(30*time.Second).UnixMilli()) {
			t.Errorf("the process heard %v, want 30 s", m)
		}
		y.advance(29 * time.Second)
		if n := r.count("ForceExitServerProcess"); n != 1 {
			t.Errorf("killed before its time")
		}
		y.advance(time.Second)
		r.heard("Action", "ForceExitServerProcess", "ProcessId", "stubborn", "TerminationReason", "SERVER_PROCESS_FORCE_TERMINATED")
		y.becomes(id, types.GameSessionStatusTerminated)

		sick := y.ready("sick")
		r.launches("sick", nil)
		p := y.find("sick")
		check(t, y.computes.End(t.Context(), p.Key, compute.Unhealthy))
		r.heard("Action", "ForceExitServerProcess", "ProcessId", "sick", "TerminationReason", "SERVER_PROCESS_TERMINATED_UNHEALTHY")
		_ = sick.conn.Close()
		r.reporting.Wait()
		r.launches("sick", nil) // as if it had not heard
		if beat := r.heartbeat(); fmt.Sprint(beat["UnhealthyProcesses"]) != "[]" {
			t.Errorf("heartbeat %v, but its end was reported", beat)
		}
	})
}

// find is a process of the yard's compute.
func (y *yard) find(id string) compute.Process {
	y.t.Helper()
	var p compute.Process
	check(y.t, y.db.Read(y.t.Context(), func(tx *store.Tx) error {
		var key store.Key
		if err := tx.QueryRow(`SELECT key FROM process WHERE process_id = $1`, id).Scan(&key); err != nil {
			return err
		}
		var err error
		p, err = y.computes.ProcessTx(tx, key)
		return err
	}))
	return p
}

// An agent that knows of no kill, because it was away, hears of it on its next socket, and
// its heartbeat names the unhealthy.
func TestAgentWasAway(t *testing.T) {
	each(t, func(y *yard) {
		r := y.active()
		y.ready("lives")
		sick := y.ready("sick")
		r.heard("Action", "NotifyProcessRegistered", "ProcessId", "sick")
		address := y.http.Listener.Addr().String()
		before := r.connections()
		y.end()
		p := y.find("sick")
		check(t, y.computes.End(t.Context(), p.Key, compute.Unhealthy))
		_ = sick.conn.Close()
		y.clock.Advance(time.Minute) // or it would be killed unlisted
		y.gate = y.open(address, nil)
		eventually(t, "the agent has dialled again", func() bool { return r.connections() > before })
		if codes := r.closes(); len(codes) != 1 || codes[0] != 1012 {
			t.Errorf("closed with %v, want 1012", codes)
		}
		r.launches("lives", nil)
		r.launches("sick", nil)
		eventually(t, "what lives is registered again", func() bool { return r.count("NotifyProcessRegistered") == 3 })
		if beat := r.heartbeat(); fmt.Sprint(beat["UnhealthyProcesses"]) != "[sick]" {
			t.Errorf("heartbeat %v, want the sick one named", beat)
		}
		eventually(t, "it is killed", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.runs["sick"] == nil })
	})
}

func (r *robot) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number
}

func (r *robot) closes() []ws.StatusCode {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.close)
}

// DeregisterCompute shuts the agent down; it is not let in again.
func TestAgentIsShutDown(t *testing.T) {
	each(t, func(y *yard) {
		r := y.active()
		c := y.ready("p")
		r.launches("p", nil)
		r.heard("Action", "NotifyProcessRegistered", "ProcessId", "p")
		_, err := y.computes.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &y.fleet, ComputeName: &y.compute})
		check(t, err)
		r.heard("Action", "StartComputeTermination")
		r.is("Terminating")
		if m := c.hears(); m["Action"] != "TerminateProcess" {
			t.Errorf("the process heard %v, want to be asked to end", m)
		}
		if beat := r.heartbeat(); beat["Status"] != "Terminating" {
			t.Errorf("heartbeat %v, want Terminating", beat)
		}
		r.reports("p", "COMPUTE_SHUTTING_DOWN")
		if r.count("ForceExitServerProcess") != 0 || r.count("StartComputeTermination") != 1 {
			t.Error("the processes of an agent that shuts down have their time")
		}
		refused, ok := errors.AsType[*refusedDial](r.dial(r.dials))
		if !ok || refused.status != 404 {
			t.Errorf("dialled again: %v, want 404", refused)
		}
	})
}

// Forced ends need an agent; one that has shut down is none.
func TestAgentLeaves(t *testing.T) {
	each(t, func(y *yard) {
		r := y.active()
		y.ready("p")
		r.mu.Lock()
		r.status = "Terminated"
		r.mu.Unlock()
		r.heartbeat()
		_ = r.conn.Close()
		eventually(t, "the compute has no agent", func() bool { return !y.find("p").Agent })
		if n := y.Stats().Agents; n != 0 {
			t.Errorf("%d agents, want none", n)
		}
	})
}

// Two nodes: the agent is on one, its processes are on the other; then the agent moves, and
// answers still come on the older socket.
func TestAgentOnTwoNodes(t *testing.T) {
	clock := storetest.NewClock()
	address := storetest.PostgresURL(t)
	open := func() *store.DB {
		db, err := store.Open(t.Context(), address, store.Options{Now: clock.Now, Logger: quiet(t)})
		check(t, err)
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	first := newYard(t, open(), clock, nil)
	second := first.join(open())
	r := first.active()
	second.ready("p")
	r.launches("p", nil)
	r.heard("Action", "NotifyProcessRegistered", "ProcessId", "p")
	id := *second.start(2).GameSessionId

	r.mu.Lock()
	older := r.conn
	r.mu.Unlock()
	there := r.dials
	if err := r.dial(strings.Replace(there, first.url, second.url, 1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first node lets go", func() bool { return first.Stats().Agents == 0 && second.Stats().Agents == 1 })
	eventually(t, "registered on the new socket too", func() bool { return r.count("NotifyProcessRegistered") == 2 })
	_, err := first.sessions.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{GameSessionId: &id, TerminationMode: types.TerminationModeForceTerminate})
	check(t, err)
	r.heard("Action", "ForceExitServerProcess", "ProcessId", "p")
	r.heartbeat()
	if n := r.count("ForceExitServerProcess"); n != 1 {
		t.Errorf("%d kills, want 1: the older socket is told nothing", n)
	}
	r.mu.Lock()
	answer := make(chan message, 1)
	r.waiting["late"] = answer
	r.mu.Unlock()
	check(t, ws.WriteFrame(older, ws.MaskFrame(ws.NewTextFrame([]byte(`{"Action":"GetFleetRoleCredentials","RequestId":"late"}`)))))
	select {
	case <-answer:
	case <-time.After(patience):
		t.Error("the older socket is not answered any more")
	}
	if len(r.closes()) != 0 {
		t.Error("the older socket was closed before the agent closes it")
	}
	_ = older.Close()
}

// Messages from hell cost an agent an answer, or its socket, and nothing else.
func TestAgentMayBeHostile(t *testing.T) {
	y := one(t, nil)
	r := y.active()
	many := strings.Repeat(`"p",`, 5000) + `"p"`
	for _, text := range []string{
		`{"Action":"SendHeartbeat","RequestId":"x","ProcessList":[` + many + `]}`,
		`{"Action":"SendHeartbeat","RequestId":"x","ProcessList":"p"}`,
		`{"Action":"SendHeartbeat","RequestId":"x","ProcessList":["\u0000"]}`,
		`{"Action":"SendHeartbeat","RequestId":"x","ProcessList":[""]}`,
		`{"Action":"NotifyServerProcessTermination","RequestId":"x","ProcessId":"` + strings.Repeat("p", 257) + `","TerminationReason":"CUSTOMER_INITIATED"}`,
		`{"Action":"TerminateServerProcess","RequestId":"x"}`,
		`{"Action":"ForceExitServerProcess","RequestId":"x","ProcessId":"p"}`,
		`{"RequestId":"x"}`,
	} {
		r.mu.Lock()
		answer := make(chan message, 1)
		r.waiting["x"] = answer
		r.mu.Unlock()
		r.sends(text)
		select {
		case m := <-answer:
			if m["StatusCode"] != 400.0 {
				t.Errorf("%.80s was answered with %v, want 400", text, m)
			}
		case <-time.After(patience):
			t.Fatalf("%.80s was not answered", text)
		}
	}
	if beat := r.heartbeat(); beat["Status"] != "Active" {
		t.Errorf("heartbeat %v afterwards", beat)
	}
}
