package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/store"
)

// The sockets of AWS's own agent, which launches and watches the processes of a registered
// compute (server-sdk-protocol.md 8). They are sockets like those of processes; what differs
// is who speaks, and that nothing is queued for an agent: what it must know is read anew
// whenever something has changed, and told unless this socket has told it.

const (
	agentSilence = 3 * time.Minute // a socket without a heartbeat for so long is dropped; they come every 60 s
	agentKeep    = 10 * time.Second
	// agentOverlap is how long an older socket of an agent stays open: the agent closes it
	// itself after 5 minutes, and reads answers from it until then.
	agentOverlap = 6 * time.Minute
	// agentShutdown is how long an agent may take to shut down: its own deadline is 6 minutes.
	agentShutdown = 8 * time.Minute
	// agentExit is how long a process may take from ProcessEnding to its exit (5).
	agentExit     = 30 * time.Second
	agentSlack    = 30 * time.Second // more than a transaction takes
	agentTakeMost = 64               // agents that are read for in one transaction
	maxListed     = 5000             // processes of one heartbeat

	// noLogs stands where a game named no log path: an agent takes a process for initialized
	// only when there is one, and uploads none that is not below its game folder.
	noLogs = "none"
)

// agent is what this node remembers of a compute's agent. It outlives its sockets for a while.
type agent struct {
	current  *socket   // under Server.mu
	gone     time.Time // when that ended; under Server.mu
	answered memory
}

// agentLink is what makes a socket an agent's.
type agentLink struct {
	who   compute.Agent
	agent *agent

	mu       sync.Mutex
	beat     time.Time        // of the last heartbeat
	listed   []string         // the processes that it named
	wards    map[string]*ward // by process id
	read     time.Time        // when the news of this socket was last read, in the rooms' time
	ending   bool             // StartComputeTermination was sent
	finished bool             // it said that it has shut down
	dropped  bool
}

// ward is a process as an agent knows it from this socket.
type ward struct {
	registered bool
	game       string    // of which its activation was told
	exitBy     time.Time // it called ProcessEnding; zero: it did not
	killed     time.Time // when ForceExitServerProcess was last sent
	gone       bool      // the agent has reported its end
	done       bool      // gone, or killed
	doneAt     time.Time // since when, in the rooms' time
}

// agentActions are all that an agent asks for (8.3).
var agentActions = map[string]action{
	"SendHeartbeat":                  {agent: sendHeartbeat, again: true},
	"DescribeRuntimeConfiguration":   {agent: describeRuntimeConfiguration, again: true},
	"NotifyServerProcessTermination": {agent: notifyServerProcessTermination},
	"GetFleetRoleCredentials": {again: true, agent: func(ctx context.Context, s *Server, _ *socket, m inbound) (any, error) {
		return getFleetRoleCredentials(ctx, s, nil, m)
	}},
}

// isAgent tells the dial of an agent from that of a process (8.2).
func isAgent(r *http.Request) bool {
	q := r.URL.Query()
	return q.Get("pID") == "" && q.Has("ComputeName")
}

// serveAgent takes an agent in.
func (s *Server) serveAgent(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), handshakeTime)
	defer cancel()
	a, err := s.admitAgent(ctx, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	k := &socket{server: s, agent: &agentLink{who: a, beat: time.Now(), wards: map[string]*ward{}}}
	k.heard.Store(time.Now().UnixNano())
	if err := k.upgrade(w, r); err != nil {
		s.counts.refused.Add(1)
		return
	}
	if !s.agentArrived(k) {
		_, _ = k.conn.Write(closeFrame(statusServiceRestart, "the server restarts"))
		_ = k.conn.Close()
		return
	}
	s.counts.accepted.Add(1)
	s.Logger.LogAttrs(s.base, slog.LevelInfo, "agent connected", append(k.names(), slog.Any("remote", k.conn.RemoteAddr()))...)
	go k.serve()
}

func (s *Server) admitAgent(ctx context.Context, r *http.Request) (compute.Agent, error) {
	if s.isClosing() {
		return compute.Agent{}, &refusal{http.StatusServiceUnavailable, "the server restarts"}
	}
	if err := checkUpgrade(r); err != nil {
		return compute.Agent{}, err
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return compute.Agent{}, &refusal{http.StatusBadRequest, err.Error()}
	}
	d := compute.Dial{Fleet: arn.FleetID(q.Get("FleetId")), Compute: arn.ComputeName(q.Get("ComputeName")), AuthToken: q.Get("Authorization")}
	switch {
	case d.Fleet == "":
		return compute.Agent{}, &refusal{http.StatusBadRequest, "FleetId: missing"}
	case d.Compute == "":
		return compute.Agent{}, &refusal{http.StatusBadRequest, "ComputeName: missing"}
	case d.AuthToken == "":
		return compute.Agent{}, &refusal{http.StatusUnauthorized, "Authorization: missing; get a token with GetComputeAuthToken"}
	}
	return s.Computes.ConnectAgent(ctx, d, time.Now())
}

// agentArrived registers a socket, which is its agent's current one unless a later dial has
// arrived before it. It is false when the server is closing.
func (s *Server) agentArrived(k *socket) bool {
	key := k.agent.who.Compute
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	of := s.agents[key]
	if of == nil {
		of = &agent{}
		s.agents[key] = of
	}
	k.agent.agent = of
	s.sockets[k] = struct{}{}
	s.work.Add(1) // for serve
	older := of.current
	if older != nil && older.agent.who.Dial > k.agent.who.Dial {
		older = k
	} else {
		of.current = k
		s.markAgent(key)
	}
	if older != nil {
		s.counts.superseded.Add(1)
		s.doomed = append(s.doomed, doomed{older, time.Now().Add(agentOverlap), giveWay})
	}
	return true
}

// agentDeparted forgets a socket of an agent. Whether the agent is gone, time tells, unless
// it has said so.
func (s *Server) agentDeparted(k *socket) {
	s.mu.Lock()
	delete(s.sockets, k)
	of := k.agent.agent
	if of.current == k {
		of.current, of.gone = nil, time.Now()
	}
	s.mu.Unlock()
	s.Logger.LogAttrs(s.base, slog.LevelInfo, "agent disconnected", k.names()...)
	k.agent.mu.Lock()
	finished := k.agent.finished
	k.agent.mu.Unlock()
	if !finished {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), requestTime)
	defer cancel()
	if err := s.Computes.LeaveAgent(ctx, k.agent.who); err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "an agent's end not recorded", append(k.names(), slog.Any("error", err))...)
	}
}

// heartbeatAnswer must have both lists, and a status that moves the agent on: it launches
// nothing before it hears Active (8.3).
type heartbeatAnswer struct {
	Status                                    string
	UnhealthyProcesses, UnregisteredProcesses []string
}

func sendHeartbeat(ctx context.Context, s *Server, k *socket, m inbound) (any, error) {
	l := k.agent
	if len(m.ProcessList) > maxListed {
		return nil, badRequest("ProcessList: %d processes, and %d are the most", len(m.ProcessList), maxListed)
	}
	for _, id := range m.ProcessList {
		if !processID(id) {
			return nil, badRequest("ProcessList: %q is no process id", id)
		}
	}
	l.heartbeat(m.ProcessList, m.Status == "Terminated")
	var v compute.AgentView
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		v, err = s.Computes.AgentTx(tx, l.who, m.ProcessList, tx.Now)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := heartbeatAnswer{Status: "Active", UnhealthyProcesses: []string{}, UnregisteredProcesses: []string{}}
	switch {
	case v.Gone:
		out.Status = "Terminating"
	case v.Superseded, v.GivenUp:
	default:
		out.UnhealthyProcesses, out.UnregisteredProcesses = l.sortOut(m.ProcessList, v.Processes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markAgent(l.who.Compute)
	return out, nil
}

// heartbeat takes in what an agent runs. What ended a while ago and is not among it is
// forgotten.
func (l *agentLink) heartbeat(listed []string, finished bool) {
	runs := make(map[string]bool, len(listed))
	for _, id := range listed {
		runs[id] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beat, l.listed, l.finished = time.Now(), listed, l.finished || finished
	for id, w := range l.wards {
		if !runs[id] && w.done && l.read.Sub(w.doneAt) > 2*agentSlack {
			delete(l.wards, id)
		}
	}
}

// sortOut finds those of an agent's processes that must be killed for lack of health, and
// those that have not called InitSDK.
func (l *agentLink) sortOut(listed []string, known []compute.Ended) (unhealthy, unregistered []string) {
	of := make(map[string]compute.Ended, len(known))
	for _, p := range known {
		of[p.ProcessID] = p
	}
	unhealthy, unregistered = []string{}, []string{}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range listed {
		if w := l.wards[id]; w != nil && w.gone {
			continue // it uploads logs
		}
		switch p, ok := of[id]; {
		case !ok:
			unregistered = append(unregistered, id)
		case p.Status == compute.StatusEnded && p.Why == compute.Unhealthy:
			unhealthy = append(unhealthy, id)
		}
	}
	return unhealthy, unregistered
}

// interest are the processes whose ends an agent must hear of, and since when it must of all.
func (l *agentLink) interest(now time.Time) (ids []string, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read.IsZero() {
		l.read = now
	}
	ids = slices.Clone(l.listed)
	for id, w := range l.wards {
		if !w.done {
			ids = append(ids, id)
		}
	}
	return ids, l.read.Add(-agentSlack)
}

// agentProcess is an entry of a runtime configuration on this wire.
type agentProcess struct {
	LaunchPath           string
	ConcurrentExecutions int32
	Parameters           *string
}

type runtimeAnswer struct {
	ServerProcesses                     []agentProcess // never null
	MaxConcurrentGameSessionActivations *int32
	GameSessionActivationTimeoutSeconds *int32
}

func describeRuntimeConfiguration(ctx context.Context, s *Server, k *socket, _ inbound) (any, error) {
	found, err := s.Computes.Fleets.DescribeRuntimeConfiguration(ctx, &gamelift.DescribeRuntimeConfigurationInput{FleetId: new(string(k.agent.who.Fleet))})
	if err != nil {
		return nil, err
	}
	out := runtimeAnswer{ServerProcesses: []agentProcess{}}
	if r := found.RuntimeConfiguration; r != nil {
		out.MaxConcurrentGameSessionActivations, out.GameSessionActivationTimeoutSeconds = r.MaxConcurrentGameSessionActivations, r.GameSessionActivationTimeoutSeconds
		for _, p := range r.ServerProcesses {
			out.ServerProcesses = append(out.ServerProcesses, agentProcess{*p.LaunchPath, *p.ConcurrentExecutions, p.Parameters})
		}
	}
	return out, nil
}

// agentReasons are the reasons of agents as compute has them (8.3).
var agentReasons = map[string]compute.EndReason{
	"SERVER_PROCESS_CRASHED":                    compute.Crashed,
	"SERVER_PROCESS_FORCE_TERMINATED":           compute.Forced,
	"SERVER_PROCESS_INVALID_PATH":               compute.InvalidPath,
	"SERVER_PROCESS_PROCESS_EXIT_TIMEOUT":       compute.ExitTimeout,
	"SERVER_PROCESS_PROCESS_READY_TIMEOUT":      compute.ReadyTimeout,
	"SERVER_PROCESS_SDK_INITIALIZATION_TIMEOUT": compute.InitTimeout,
	"SERVER_PROCESS_TERMINATED_UNHEALTHY":       compute.Unhealthy,
	"COMPUTE_SHUTTING_DOWN":                     compute.Shutdown,
	"CUSTOMER_INITIATED":                        compute.Normal,
	"NORMAL_TERMINATION":                        compute.Normal,
}

// killReason is the reason with which an agent is told to kill; "" when it is not.
func killReason(why compute.EndReason) string {
	switch why {
	case compute.Crashed:
		return "SERVER_PROCESS_CRASHED"
	case compute.ReadyTimeout:
		return "SERVER_PROCESS_PROCESS_READY_TIMEOUT"
	case compute.InitTimeout:
		return "SERVER_PROCESS_SDK_INITIALIZATION_TIMEOUT"
	case compute.ExitTimeout:
		return "SERVER_PROCESS_PROCESS_EXIT_TIMEOUT"
	case compute.Unhealthy:
		return "SERVER_PROCESS_TERMINATED_UNHEALTHY"
	case compute.Deregistered, compute.FleetDeleted, compute.LocationDeleted:
		return "" // the agent shuts down, and gives them their time
	default:
		return "SERVER_PROCESS_FORCE_TERMINATED"
	}
}

func notifyServerProcessTermination(ctx context.Context, s *Server, k *socket, m inbound) (any, error) {
	if !processID(m.ProcessID) {
		return nil, badRequest("ProcessId: %q is no process id", m.ProcessID)
	}
	reason := m.TerminationReason
	if reason == "" {
		reason = m.EventCode
	}
	why, known := agentReasons[reason]
	if !known {
		return nil, badRequest("TerminationReason: there is no %q", reason)
	}
	if err := s.Computes.AgentExited(ctx, compute.Exit{Compute: k.agent.who.Compute, ProcessID: m.ProcessID, Why: why}); err != nil {
		return nil, err
	}
	k.agent.mu.Lock()
	defer k.agent.mu.Unlock()
	w := k.agent.ward(m.ProcessID)
	w.gone = true
	k.agent.finish(w)
	return nil, nil
}

// processID tells whether a text can name a process: UUIDs do, as agents make them.
func processID(id string) bool {
	return id != "" && len(id) <= 256 && !strings.ContainsFunc(id, unicode.IsControl)
}

// finish is called under l.mu.
func (l *agentLink) finish(w *ward) {
	if !w.done {
		w.done, w.doneAt = true, l.read
	}
}

// ward is called under l.mu.
func (l *agentLink) ward(id string) *ward {
	w := l.wards[id]
	if w == nil {
		w = &ward{}
		l.wards[id] = w
	}
	return w
}

// agentNote is told of each compute whose agent must hear something, of all nodes'.
func (s *Server) agentNote(payload string) {
	key, err := strconv.ParseInt(payload, 10, 64)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markAgent(store.Key(key))
}

// markAgent is called under s.mu.
func (s *Server) markAgent(key store.Key) {
	if a := s.agents[key]; a != nil && a.current != nil {
		s.dirtyAgents[key] = struct{}{}
		poke(s.pokedAgents)
	}
}

// deliverAgents tells agents what they must know, and the room which of them are there. It
// is the only one that tells, so that messages keep their order.
func (s *Server) deliverAgents(ctx context.Context) {
	start := time.Now()
	poll, keep, second := time.NewTicker(s.PollEvery), time.NewTicker(agentKeep), time.NewTicker(time.Second)
	defer poll.Stop()
	defer keep.Stop()
	defer second.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-keep.C:
			s.keepAgents(ctx, time.Since(start) > agentSilence)
		case <-second.C:
			s.checkAgents(time.Now())
		case <-poll.C:
			s.mu.Lock()
			for key := range s.agents {
				s.markAgent(key)
			}
			s.mu.Unlock()
		case <-s.pokedAgents:
		}
		for to := s.takeAgents(); len(to) > 0 && ctx.Err() == nil; to = s.takeAgents() {
			if !s.tellAgents(ctx, to) {
				select { // the database is in trouble
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
	}
}

// takeAgents takes the sockets of some agents that must hear something.
func (s *Server) takeAgents() (to []*socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.dirtyAgents {
		if len(to) == agentTakeMost {
			break
		}
		delete(s.dirtyAgents, key)
		if a := s.agents[key]; a != nil && a.current != nil && a.current.open() {
			to = append(to, a.current)
		}
	}
	return to
}

// agentNews is what was read for an agent.
type agentNews struct {
	compute.AgentView
	games map[store.Key]string // those that are active, by process
}

func (s *Server) tellAgents(ctx context.Context, to []*socket) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
	defer cancel()
	news := make([]agentNews, len(to))
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		for i, k := range to {
			var err error
			if news[i], err = s.newsTx(tx, k.agent); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "agents not told", slog.Int("agents", len(to)), slog.Any("error", err))
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, k := range to {
			s.markAgent(k.agent.who.Compute)
		}
		return false
	}
	for i, k := range to {
		s.tell(k, news[i], time.Now())
	}
	return true
}

func (s *Server) newsTx(tx *store.Tx, l *agentLink) (n agentNews, err error) {
	ids, since := l.interest(tx.Now)
	if n.AgentView, err = s.Computes.AgentTx(tx, l.who, ids, since); err != nil {
		return n, err
	}
	var hosting []store.Key
	for _, p := range n.Processes {
		if p.Status == compute.StatusHosting {
			hosting = append(hosting, p.Key)
		}
	}
	games, err := s.Sessions.HostedOnTx(tx, hosting)
	n.games = make(map[store.Key]string, len(games))
	for _, g := range games {
		n.games[g.Process] = string(g.Game)
	}
	return n, err
}

// tell sends what has not been sent on this socket.
func (s *Server) tell(k *socket, n agentNews, now time.Time) {
	l := k.agent
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case n.Gone && !l.ending:
		l.ending = true
		k.pushAgent(agentPush{Action: "StartComputeTermination"})
		s.doom(k, agentShutdown, leave)
		return
	case n.Superseded:
		s.agentMoved(k, agentOverlap)
		return
	case n.GivenUp:
		s.agentMoved(k, 0)
		return
	}
	l.read = n.At
	for _, p := range n.Processes {
		w := l.ward(p.ProcessID)
		switch {
		case w.gone:
		case p.Status == compute.StatusEnded:
			k.ended(w, p, now)
		default:
			k.lives(w, p, n.games[p.Key])
		}
	}
}

// lives tells of a process that has not ended. Under the link's mutex.
func (k *socket) lives(w *ward, p compute.Ended, game string) {
	if !w.registered && p.Status != compute.StatusConnected {
		w.registered = true
		logs := slices.DeleteFunc(slices.Clone(p.LogPaths), func(path string) bool { return strings.TrimSpace(path) == "" })
		if len(logs) == 0 {
			logs = []string{noLogs}
		}
		k.pushAgent(agentPush{Action: "NotifyProcessRegistered", ProcessID: p.ProcessID, LogPaths: logs})
	}
	if game != "" && w.game != game {
		w.game = game
		k.pushAgent(agentPush{Action: "NotifyGameSessionActivated", ProcessID: p.ProcessID, GameSessionID: game})
	}
}

// ended has a process killed which the agent may still run: at once, or, when it is about to
// exit by itself, in a while. Under the link's mutex.
func (k *socket) ended(w *ward, p compute.Ended, now time.Time) {
	if p.Why == compute.Normal {
		if w.exitBy.IsZero() {
			w.exitBy = now.Add(agentExit)
		}
		return
	}
	if reason := killReason(p.Why); reason != "" && now.Sub(w.killed) > agentExit {
		k.kill(w, p.ProcessID, reason, now)
	}
}

func (k *socket) kill(w *ward, id, reason string, now time.Time) {
	w.killed = now
	k.agent.finish(w)
	k.pushAgent(agentPush{Action: "ForceExitServerProcess", ProcessID: id, TerminationReason: reason})
}

// agentPush is any message to an agent that is no answer (8.4): none has a RequestId.
type agentPush struct {
	Action            string
	ProcessID         string   `json:"ProcessId,omitempty"`
	LogPaths          []string `json:",omitempty"`
	GameSessionID     string   `json:"GameSessionId,omitempty"`
	TerminationReason string   `json:",omitempty"`
}

func (k *socket) pushAgent(m agentPush) {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings always marshal
	}
	if k.sendAside(frame{bytes: textFrame(text)}) {
		k.server.counts.pushes.Add(1)
	}
}

// agentMoved deals with an agent whose newer socket another node holds, or which was given
// up: then it is to dial again, which it does when this one closes.
func (s *Server) agentMoved(k *socket, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := k.agent.agent
	if of.current != k {
		return
	}
	of.current, of.gone = nil, time.Now()
	s.counts.superseded.Add(1)
	s.doomed = append(s.doomed, doomed{k, time.Now().Add(after), giveWay})
}

// checkAgents kills processes that do not exit, and drops sockets without heartbeats.
func (s *Server) checkAgents(now time.Time) {
	for _, k := range s.agentSockets() {
		l := k.agent
		l.mu.Lock()
		for id, w := range l.wards {
			if !w.exitBy.IsZero() && now.After(w.exitBy) && w.killed.IsZero() && !w.gone {
				k.kill(w, id, "SERVER_PROCESS_PROCESS_EXIT_TIMEOUT", now)
			}
		}
		silent := !l.dropped && now.Sub(l.beat) > agentSilence
		l.dropped = l.dropped || silent
		l.mu.Unlock()
		if silent {
			s.counts.dropped.Add(1)
			s.logDropped(k, "its heartbeats ceased")
			k.dismiss(ws.StatusNormalClosure, "heartbeats ceased")
		}
	}
}

// agentSockets are the current sockets of agents.
func (s *Server) agentSockets() (list []*socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		if a.current != nil {
			list = append(list, a.current)
		}
	}
	return list
}

// keepAgents tells the room which agents are there, and, when this node has been up long
// enough for others to come back, has it give up the rest.
func (s *Server) keepAgents(ctx context.Context, settled bool) {
	var held []compute.Agent
	sockets := map[compute.Agent]*socket{}
	for _, k := range s.agentSockets() {
		held = append(held, k.agent.who)
		sockets[k.agent.who] = k
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	stale, err := s.Computes.KeepAgents(ctx, held, time.Now())
	if err == nil && settled {
		err = s.Computes.GiveUpAgents(ctx, time.Now())
	}
	if err != nil && ctx.Err() == nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "agents not reported", slog.Any("error", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range stale {
		s.markAgent(sockets[a].agent.who.Compute) // to find out why
	}
}
