package gateway

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/store"
)

// takeMost is how many processes' inboxes one transaction empties.
const takeMost = 256

// inboxNote is told of each process whose inbox has something, of all nodes'.
func (s *Server) inboxNote(payload string) {
	key, err := strconv.ParseInt(payload, 10, 64)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.processes[store.Key(key)]; p.reachable() {
		s.markDirty(p.key)
	}
}

// markDirty is called under s.mu.
func (s *Server) markDirty(key store.Key) {
	s.dirty[key] = struct{}{}
	poke(s.pokedDirty)
}

// poke wakes the one who waits on c, which has room for one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// deliver carries pushes from inboxes to sockets. It is the only one that does, so pushes
// of a process keep their order. One transaction serves all processes that have become
// dirty during the one before.
func (s *Server) deliver(ctx context.Context) {
	poll := time.NewTicker(s.PollEvery)
	defer poll.Stop()
	pause := time.NewTimer(0)
	<-pause.C
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			s.markAll()
		case <-s.pokedDirty:
		}
		for keys := s.takeDirty(); len(keys) > 0 && ctx.Err() == nil; keys = s.takeDirty() {
			if s.deliverTo(ctx, keys) {
				continue
			}
			pause.Reset(time.Second) // the database is in trouble
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
		}
	}
}

// markAll makes every connected process dirty: notifications may get lost.
func (s *Server) markAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.processes {
		if p.reachable() {
			s.markDirty(key)
		}
	}
}

// takeDirty takes some dirty processes that are connected.
func (s *Server) takeDirty() []store.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []store.Key
	for key := range s.dirty {
		if len(keys) == takeMost {
			break
		}
		delete(s.dirty, key)
		if s.processes[key].reachable() {
			keys = append(keys, key)
		}
	}
	return keys
}

// deliverTo empties inboxes. Taken is taken: it is not given up halfway when ctx ends.
func (s *Server) deliverTo(ctx context.Context, keys []store.Key) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
	defer cancel()
	messages, err := s.Computes.TakeInbox(ctx, keys)
	if err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "inboxes not read", slog.Int("processes", len(keys)), slog.Any("error", err))
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, key := range keys {
			s.markDirty(key)
		}
		return false
	}
	s.releaseMoved(ctx, messages)
	var late []compute.Message
	for _, m := range messages {
		if !s.push(m) {
			late = append(late, m)
		}
	}
	s.putBack(late)
	return true
}

// releaseMoved lets go of sockets that are no longer their process's current one because
// another node has a newer one: here they may be half open, and swallow pushes.
func (s *Server) releaseMoved(ctx context.Context, messages []compute.Message) {
	if s.DB.Dialect() == store.SQLite {
		return // there is no other node
	}
	var last store.Key
	for _, m := range messages { // those of one process stand together
		if m.Process == last {
			continue
		}
		last = m.Process
		if err := s.check(ctx, m.Process); err != nil {
			s.Logger.LogAttrs(ctx, slog.LevelError, "process not checked", slog.Any("error", err))
		}
	}
}

// push queues a message on its process's current socket.
func (s *Server) push(m compute.Message) bool {
	k := s.current(m.Process)
	if k == nil || !k.sendAside(frame{bytes: textFrame(m.Text), push: &m}) {
		return false
	}
	s.counts.pushes.Add(1)
	return true
}

// putBack returns messages to their inboxes, which notifies those who can deliver them.
func (s *Server) putBack(messages []compute.Message) {
	if len(messages) == 0 {
		return
	}
	s.counts.returned.Add(int64(len(messages)))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), requestTime)
	defer cancel()
	if err := s.Computes.PutBack(ctx, messages); err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "pushes lost", slog.Int("messages", len(messages)), slog.Any("error", err))
	}
}
