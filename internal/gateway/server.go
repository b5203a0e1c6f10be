// Package gateway is the edge that game-server processes connect to with their server SDK:
// one WebSocket each, JSON both ways (server-sdk-protocol.md). It carries requests to the
// rooms, pushes what rooms leave in a process's inbox, and watches health. It owns sockets
// and nothing else: what a process is, and what a message may change, the rooms know.
// DESIGN.md has the reasons.
package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/trace"
)

// Server holds the sockets of this node. It is made by a literal and safe for concurrent
// use; its fields are not changed after the first connection. Run must run for pushes and
// health to work.
type Server struct {
	Computes *compute.Service
	Sessions *session.Service
	// Matches takes game servers' requests for players. Nil: they are refused.
	Matches *matchmaking.Service
	// Hosts is where the agents of hosts are let in. Nil: nowhere.
	Hosts  *host.Service
	DB     *store.DB
	Logger *slog.Logger // nil: slog.Default
	// Trace makes a span of each message of a game server; nil makes none.
	Trace *trace.Tracer

	// HealthTimeout is how long a connected process may go without a healthy report, in wall
	// time: a manual clock that jumps must not end running games. Default 180 s.
	HealthTimeout time.Duration
	// PollEvery is how often inboxes are looked into without being told to. Default 20 s.
	PollEvery time.Duration
	// TailEvery is how often the agent is asked again for a log that somebody looks at, and who
	// looks is checked. Default 10 s.
	TailEvery time.Duration

	// Dev accepts connections that carry no token.
	Dev bool
	// VerifySigV4 checks a query signed as in server-sdk-protocol.md 1.3, but not its date,
	// which it returns. Nil: connections without a token are refused.
	VerifySigV4 func(ctx context.Context, query url.Values) (signedAt time.Time, err error)

	once                      sync.Once
	base                      context.Context // of all requests; ends when Close has waited for them
	cancel                    context.CancelFunc
	work                      sync.WaitGroup // sockets' readers, requests, writes under way
	counts                    counters
	pokedDirty, pokedSuspects chan struct{} // each of capacity 1: there is something in dirty, in suspects
	unlisten                  []func()

	mu        sync.Mutex
	closing   bool
	processes map[store.Key]*process
	sockets   map[*socket]struct{}
	doomed    []doomed               // sockets to be closed, soonest first or nearly so
	dirty     map[store.Key]struct{} // processes whose inbox may hold something
	suspects  map[store.Key]struct{} // processes that may have ended or moved

	hosts       map[store.Key]*hostSocket // those connected here
	hostSockets map[*hostSocket]struct{}  // all agents' sockets
	dirtyHosts  map[store.Key]struct{}    // hosts that something may wait for
	pokedHosts  chan struct{}             // of capacity 1: there is something in dirtyHosts

	tails tails // people who look at logs

	agents      map[store.Key]*agent   // AWS's own, by compute
	dirtyAgents map[store.Key]struct{} // computes whose agent may have to hear something
	pokedAgents chan struct{}          // of capacity 1: there is something in dirtyAgents
}

// Times and sizes of the protocol's rules.
const (
	healthTimeout = 180 * time.Second
	pollEvery     = 20 * time.Second
	tailEvery     = 10 * time.Second

	// handshakeTime is how long a handshake may take, and quickHandshakeTime all that C# waits
	// for one (1.5).
	handshakeTime      = 10 * time.Second
	quickHandshakeTime = 2 * time.Second
	// requestTime is less than the 20 s after which SDKs give up on an answer (2).
	requestTime = 15 * time.Second
	// messageTime is how long a message may take from its first byte to its last.
	messageTime = 30 * time.Second
	writeTime   = 10 * time.Second
	// supersededTime is how long an older socket of a process stays open. The Go SDK keeps it
	// for 5 s, and until then takes a close frame on it for one on the new socket.
	supersededTime = 15 * time.Second
	// lingerTime is how long a socket that broke the rules is read on after its close frame.
	lingerTime = time.Second
	// closeTime is how long a peer may take to answer a close frame.
	closeTime = 5 * time.Second
	// exitTime is how long a process that has ended may keep its socket: longer than the
	// 5 minutes it has to call ProcessEnding (5).
	exitTime = 6 * time.Minute
	// idleTime is how long a socket may be silent before it is pinged, and pongTime how long
	// it then has. SDKs send a heartbeat every 60 s; C++ may answer pings late (1.8).
	idleTime = 10 * time.Minute
	pongTime = 2 * time.Minute
	// forgetTime is how long a process that lost its socket is remembered: its clock of
	// health and its answers.
	forgetTime = 10 * time.Minute
	// drainTime is how long Close waits for requests and close frames.
	drainTime = 2 * time.Second
	// signedTime is how old a signature may be.
	signedTime = 15 * time.Minute

	maxMessage = 1 << 20 // bytes (1.8)
	maxOut     = 4 << 20 // bytes waiting to be written to one socket
	maxRunning = 32      // requests of one socket that run at once
	maxWaiting = 1024    // and that wait for those
	maxHeld    = 4 << 20 // bytes of those that wait
)

func (s *Server) init() {
	s.once.Do(func() {
		s.base, s.cancel = context.WithCancel(context.Background())
		s.Logger = cmp.Or(s.Logger, slog.Default())
		s.HealthTimeout = cmp.Or(s.HealthTimeout, healthTimeout)
		s.PollEvery = cmp.Or(s.PollEvery, pollEvery)
		s.TailEvery = cmp.Or(s.TailEvery, tailEvery)
		s.pokedDirty, s.pokedSuspects = make(chan struct{}, 1), make(chan struct{}, 1)
		s.processes = map[store.Key]*process{}
		s.sockets = map[*socket]struct{}{}
		s.dirty = map[store.Key]struct{}{}
		s.suspects = map[store.Key]struct{}{}
		s.hostSockets = map[*hostSocket]struct{}{}
		s.hosts, s.dirtyHosts, s.pokedHosts = map[store.Key]*hostSocket{}, map[store.Key]struct{}{}, make(chan struct{}, 1)
		s.agents, s.dirtyAgents, s.pokedAgents = map[store.Key]*agent{}, map[store.Key]struct{}{}, make(chan struct{}, 1)
		s.tails.viewers, s.tails.queued = map[string]*tail{}, make(chan struct{}, 1)
		s.unlisten = []func(){
			s.DB.Subscribe(channelTail, s.tailNote),
			s.DB.Subscribe(compute.ChannelAgent, s.agentNote),
			s.DB.Subscribe(host.Channel, s.hostNote),
			s.DB.Subscribe(compute.ChannelProcess, s.inboxNote),
			s.DB.Subscribe(compute.ChannelEnded, s.endedNote),
		}
	})
}

// Stats are this node's numbers since its start.
type Stats struct {
	Sockets    int // open now
	Processes  int // known now, connected or not long gone
	Hosts      int // whose agents are connected now
	Agents     int // AWS's own that are connected now
	Running    int // requests under way now
	Accepted   int64
	Refused    int64 // handshakes not answered with 101
	Superseded int64 // sockets that gave way to a newer one of their process
	Requests   int64 // messages from processes
	Replayed   int64 // of those, answered from memory
	Failed     int64 // answers with a status other than 200
	Pushes     int64 // messages to processes that are no answers
	Returned   int64 // pushes that went back to the inbox because their socket was dead
	Dropped    int64 // sockets closed for being slow, silent or wrong
	Unhealthy  int64 // processes ended for lack of health
}

type counters struct {
	accepted, refused, superseded, requests, replayed, failed, pushes, returned, dropped, unhealthy, running atomic.Int64
}

// Stats tells this node's numbers.
func (s *Server) Stats() Stats {
	s.init()
	s.mu.Lock()
	sockets, processes, hosts := len(s.sockets), len(s.processes), len(s.hosts)
	s.mu.Unlock()
	agents := len(s.agentSockets())
	c := &s.counts
	return Stats{
		Sockets: sockets, Processes: processes, Hosts: hosts, Agents: agents, Running: int(c.running.Load()),
		Accepted: c.accepted.Load(), Refused: c.refused.Load(), Superseded: c.superseded.Load(),
		Requests: c.requests.Load(), Replayed: c.replayed.Load(), Failed: c.failed.Load(),
		Pushes: c.pushes.Load(), Returned: c.returned.Load(),
		Dropped: c.dropped.Load(), Unhealthy: c.unhealthy.Load(),
	}
}

// Run delivers pushes and watches health until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	s.init()
	var wg sync.WaitGroup
	wg.Go(func() { s.deliver(ctx) })
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.reconcile(ctx) })
	wg.Go(func() { s.deliverHosts(ctx) })
	wg.Go(func() { s.deliverAgents(ctx) })
	wg.Go(func() { s.relayTails(ctx) })
	wg.Wait()
	return nil
}

// Close ends all sockets with 1012, which every SDK answers by connecting again (1.8), and
// returns when all that was under way is done or ctx ends. Requests that run are answered
// first, if they take less than two seconds. Connections that arrive later are refused.
func (s *Server) Close(ctx context.Context) error {
	s.init()
	s.mu.Lock()
	s.closing = true
	open := make([]*socket, 0, len(s.sockets))
	for k := range s.sockets {
		open = append(open, k)
	}
	s.mu.Unlock()
	for _, cancel := range s.unlisten {
		cancel()
	}
	s.endTails()
	for _, k := range open {
		k.restart()
	}
	s.restartHosts()
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	select {
	case <-done:
	case <-ctx.Done():
	case <-patience.C:
	}
	for _, k := range open {
		_ = k.conn.Close()
	}
	s.closeHosts()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.cancel()
	return err
}
