package gateway

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/compute"
)

// doomed is a socket to be closed at some time.
type doomed struct {
	socket *socket
	at     time.Time
	why    sentence
}

type sentence int8

const (
	giveWay sentence = iota // a newer socket of its process has taken over
	leave                   // its process has ended
	cutOff                  // it was told to go and has not
)

func (s *Server) doom(k *socket, after time.Duration, why sentence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doomed = append(s.doomed, doomed{k, time.Now().Add(after), why})
}

// watch closes sockets whose time has come, ends processes that are not well, and pings
// sockets that are silent: with three sweeps instead of timers for each socket.
func (s *Server) watch(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	health := time.NewTicker(min(s.HealthTimeout/18, 10*time.Second)) // 10 s of 180
	defer health.Stop()
	idle := time.NewTicker(30 * time.Second)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			s.execute(time.Now())
		case <-health.C:
			s.checkHealth(ctx, time.Now())
		case <-idle.C:
			s.checkIdle(time.Now())
			s.forget(time.Now())
		}
	}
}

// execute closes the doomed whose time has come.
func (s *Server) execute(now time.Time) {
	var due []doomed
	s.mu.Lock()
	s.doomed = slices.DeleteFunc(s.doomed, func(d doomed) bool {
		if _, open := s.sockets[d.socket]; !open {
			return true
		}
		if d.at.After(now) {
			return false
		}
		due = append(due, d)
		return true
	})
	s.mu.Unlock()
	for _, d := range due {
		switch d.why {
		case giveWay:
			d.socket.dismiss(ws.StatusNormalClosure, "a newer connection has taken over")
		case leave:
			d.socket.dismiss(ws.StatusNormalClosure, "the process has ended, or its compute is gone")
		case cutOff:
			_ = d.socket.conn.Close()
		}
	}
}

// checkHealth ends processes that have been connected and not well for too long. SDKs
// report every 60 s; a lost report or two are forgiven (5).
func (s *Server) checkHealth(ctx context.Context, now time.Time) {
	for _, p := range s.unwell(now) {
		if ctx.Err() != nil {
			return
		}
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "process unhealthy",
			slog.String("fleet_id", string(p.fleet)), slog.String("process_id", p.id),
			slog.Duration("without_healthy_report", s.HealthTimeout))
		s.endUnwell(ctx, p)
	}
}

func (s *Server) unwell(now time.Time) []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sick []*process
	for _, p := range s.processes {
		if p.current == nil {
			continue // its clock stands still
		}
		p.mu.Lock()
		if p.ready && !p.ended && now.Sub(p.well) > s.HealthTimeout {
			sick = append(sick, p)
		}
		p.mu.Unlock()
	}
	return sick
}

// endUnwell tells a process to end, and then the room that it has. If the room cannot be
// told now, the next sweep does both again; SDKs take a second TerminateProcess.
func (s *Server) endUnwell(ctx context.Context, p *process) {
	k := s.current(p.key)
	if k == nil {
		return // its clock stands still
	}
	s.tellTerminate(k)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
	defer cancel()
	if err := s.endProcess(ctx, p, compute.Unhealthy); err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "unhealthy process not ended", slog.String("process_id", p.id), slog.Any("error", err))
		return
	}
	s.counts.unhealthy.Add(1)
}

// endProcess tells the room that a process which knows it itself has ended. Its health no
// longer matters, and its socket may stay until it has had the time to leave.
func (s *Server) endProcess(ctx context.Context, p *process, why compute.EndReason) error {
	p.mu.Lock()
	was := p.ended
	p.ended = true // first, so that the room's note of it is no news
	p.mu.Unlock()
	if err := s.Computes.End(ctx, p.key, why); err != nil {
		p.mu.Lock()
		p.ended = was
		p.mu.Unlock()
		return err
	}
	if k := s.current(p.key); k != nil && !was {
		s.doom(k, exitTime, leave)
	}
	return nil
}

// checkIdle pings sockets that are silent, and drops those that stay so.
func (s *Server) checkIdle(now time.Time) {
	var ping, drop []*socket
	s.mu.Lock()
	for k := range s.sockets {
		silent := now.Sub(time.Unix(0, k.heard.Load()))
		switch pinged := k.pinged.Load(); {
		case silent < idleTime:
			k.pinged.Store(0)
		case pinged == 0:
			k.pinged.Store(now.UnixNano())
			ping = append(ping, k)
		case now.Sub(time.Unix(0, pinged)) > pongTime:
			drop = append(drop, k)
		}
	}
	s.mu.Unlock()
	for _, k := range ping {
		k.sendAside(frame{bytes: ws.CompiledPing})
	}
	for _, k := range drop {
		s.counts.dropped.Add(1)
		s.logDropped(k, "it does not answer pings")
		_ = k.conn.Close()
	}
}

// forget drops processes that lost their sockets long ago, and answers nobody asks for.
func (s *Server) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.processes {
		if p.current == nil && now.Sub(p.gone) > forgetTime {
			delete(s.processes, key)
			continue
		}
		p.answered.forget(now)
	}
	for key, a := range s.agents {
		if a.current == nil && now.Sub(a.gone) > forgetTime {
			delete(s.agents, key)
			continue
		}
		a.answered.forget(now)
	}
	for key := range s.dirty {
		if s.processes[key] == nil {
			delete(s.dirty, key)
		}
	}
}

// reportHealth takes a heartbeat. The room is told of the first one of a connection, which
// makes the process placeable, and of changes; the rest stay in memory.
func (s *Server) reportHealth(ctx context.Context, p *process, well bool) error {
	said := sick
	if well {
		said = healthy
	}
	p.reporting.Lock()
	defer p.reporting.Unlock()
	p.mu.Lock()
	if well {
		p.well = time.Now()
	}
	tell := p.report != said && !p.ended
	p.mu.Unlock()
	if !tell {
		return nil
	}
	if err := s.Computes.Health(ctx, p.key, well); err != nil {
		return err
	}
	p.mu.Lock()
	p.report = said
	p.mu.Unlock()
	return nil
}

// activate makes a process ready; its clock of health starts.
func (s *Server) activate(ctx context.Context, p *process, r compute.Ready) error {
	if err := s.Computes.Ready(ctx, p.key, r); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready {
		p.ready = true
		p.well = time.Now()
	}
	return nil
}
