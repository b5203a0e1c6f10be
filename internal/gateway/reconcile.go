package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/store"
)

// keepEvery is how often this node says which sockets it holds: well within the grace
// after which a process that nobody holds counts as crashed.
const keepEvery = 15 * time.Second

// endedNote is told of each process that ends, on whatever node.
func (s *Server) endedNote(payload string) {
	key, err := strconv.ParseInt(payload, 10, 64)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.processes[store.Key(key)]; p != nil && p.current != nil {
		s.suspects[p.key] = struct{}{}
		poke(s.pokedSuspects)
	}
}

// reconcile keeps sockets and the room's processes in step: it says what this node holds,
// and finds out about processes that ended or moved to another node.
func (s *Server) reconcile(ctx context.Context) {
	keep := time.NewTicker(keepEvery)
	defer keep.Stop()
	for {
		var suspects []store.Key
		select {
		case <-ctx.Done():
			return
		case <-s.pokedSuspects:
			s.mu.Lock()
			for key := range s.suspects {
				suspects = append(suspects, key)
			}
			clear(s.suspects)
			s.mu.Unlock()
		case <-keep.C:
			stale, err := s.Computes.Keep(ctx, s.held())
			if err != nil && ctx.Err() == nil {
				s.Logger.LogAttrs(ctx, slog.LevelError, "sockets not reported", slog.Any("error", err))
			}
			for _, h := range stale {
				suspects = append(suspects, h.Process)
			}
		}
		for _, key := range suspects {
			if err := s.check(ctx, key); err != nil && ctx.Err() == nil {
				s.Logger.LogAttrs(ctx, slog.LevelError, "process not checked", slog.Any("error", err))
			}
		}
	}
}

// held are the current sockets of processes that have not ended.
func (s *Server) held() []compute.Socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make([]compute.Socket, 0, len(s.sockets))
	for key, p := range s.processes {
		if p.current == nil {
			continue
		}
		p.mu.Lock()
		ended := p.ended
		p.mu.Unlock()
		if !ended {
			held = append(held, compute.Socket{Process: key, Dial: p.current.dial})
		}
	}
	return held
}

// check asks the room about a process whose socket may be out of date.
func (s *Server) check(ctx context.Context, key store.Key) error {
	s.mu.Lock()
	p := s.processes[key]
	var k *socket
	if p != nil {
		k = p.current
	}
	s.mu.Unlock()
	if k == nil {
		return nil
	}
	var is compute.Process
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		is, err = s.Computes.ProcessTx(tx, key)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows), err == nil && is.Status == compute.StatusEnded:
		s.over(p, k)
	case err != nil:
		return err
	case is.Dial > k.dial:
		s.moved(p, k)
	}
	return nil
}

// over deals with a process that has ended. If it does not know yet, it is told, and gets
// the time it may take to leave by itself; one that is not ready would not understand
// (4.3), and is only cut off.
func (s *Server) over(p *process, k *socket) {
	p.mu.Lock()
	known, ready := p.ended, p.ready
	p.ended = true
	p.mu.Unlock()
	switch {
	case known:
	case ready:
		s.tellTerminate(k)
		s.doom(k, exitTime, leave)
	default:
		s.doom(k, 0, leave)
	}
}

// moved deals with a process whose newer socket another node holds.
func (s *Server) moved(p *process, k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.current != k {
		return
	}
	p.current, p.gone = nil, time.Now()
	s.counts.superseded.Add(1)
	s.doomed = append(s.doomed, doomed{k, time.Now().Add(supersededTime), giveWay})
}

// tellTerminate pushes TerminateProcess past the inbox, which goes with its process.
func (s *Server) tellTerminate(k *socket) {
	text, err := json.Marshal(compute.TerminateProcess{At: time.Now().Add(compute.TerminationGrace)})
	if err != nil {
		panic(err) // a time always marshals
	}
	if k.sendAside(frame{bytes: textFrame(text)}) {
		s.counts.pushes.Add(1)
	}
}
