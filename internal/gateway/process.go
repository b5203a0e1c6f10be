package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/store"
)

// process is what this node remembers of a server process: its socket, its health, and
// the answers it was given. It outlives its sockets for a while (1.9).
type process struct {
	key   store.Key
	id    string
	fleet arn.FleetID

	// Under Server.mu.
	current *socket   // nil while the process is not connected here
	dial    int64     // the greatest that has arrived; only that one is ever current
	gone    time.Time // when the current one ended

	mu     sync.Mutex
	ready  bool          // ActivateServerProcess has succeeded
	ended  bool          // by TerminateServerProcess, for lack of health, or as the room said
	report report        // what the room was last told
	well   time.Time     // when it was last well, or became ready, or the clock went on
	unwell time.Duration // what the clock showed when the last socket ended

	reporting sync.Mutex // one report to the room at a time

	answered memory
}

// reachable tells whether a push can be sent to it. Under Server.mu. A current socket that
// is on its way out would only refuse: who comes after it will look into the inbox.
func (p *process) reachable() bool { return p != nil && p.current != nil && p.current.open() }

// report is what a process said of its health.
type report int8

const (
	unknown report = iota
	healthy
	sick
)

// arrived registers a socket, which is its process's current one unless a later dial has
// arrived before it. It is false when the server is closing.
func (s *Server) arrived(p compute.Process, k *socket) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	of := s.processes[p.Key]
	if of == nil {
		of = &process{key: p.Key, id: p.ProcessID, fleet: p.Fleet, well: now}
		s.processes[p.Key] = of
	}
	k.process, k.dial = of, p.Dial
	s.sockets[k] = struct{}{}
	s.work.Add(1) // for serve
	older := of.current
	if p.Dial < of.dial {
		older = k
	} else {
		of.connected(p, now, of.current == nil)
		of.current, of.dial = k, p.Dial
		s.markDirty(of.key) // something may have come while it was away
	}
	if older != nil {
		s.counts.superseded.Add(1)
		s.doomed = append(s.doomed, doomed{older, now.Add(supersededTime), giveWay})
	}
	return true
}

// connected starts or resumes the clock of health. What the room knows of it is not relied
// on: the first heartbeat is reported anew.
func (p *process) connected(is compute.Process, now time.Time, back bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report = unknown
	p.ready = p.ready || is.Status == compute.StatusReady || is.Status == compute.StatusHosting
	p.ended = false // or it would not have been let in
	if back {
		p.well = now.Add(-p.unwell)
		p.unwell = 0
	}
}

// departed forgets a socket. When it was its process's current one, the room is told.
func (s *Server) departed(k *socket) {
	if k.agent != nil {
		s.agentDeparted(k)
		return
	}
	now := time.Now()
	p := k.process
	s.mu.Lock()
	delete(s.sockets, k)
	current := p.current == k
	if current {
		p.current, p.gone = nil, now
	}
	s.mu.Unlock()
	if !current {
		return
	}
	p.mu.Lock()
	p.unwell = now.Sub(p.well)
	p.mu.Unlock()
	s.disconnect(p.key, k.dial)
}

// disconnect tells the room that a socket is gone. A dial that came meanwhile has a greater
// number, and stays connected. What fails here the room finds out from Keep.
func (s *Server) disconnect(key store.Key, dial int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), requestTime)
	defer cancel()
	if err := s.Computes.Disconnect(ctx, key, dial); err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "disconnection not recorded", slog.Int64("process", int64(key)), slog.Any("error", err))
	}
}

// current is the socket that pushes go to, or nil.
func (s *Server) current(key store.Key) *socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.processes[key]; p != nil {
		return p.current
	}
	return nil
}

// logDropped logs that a socket was dropped.
func (s *Server) logDropped(k *socket, why string) {
	s.Logger.LogAttrs(s.base, slog.LevelWarn, "socket dropped", append(k.names(),
		slog.Any("remote", k.conn.RemoteAddr()),
		slog.String("reason", why))...)
}
