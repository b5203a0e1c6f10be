package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/trace"
)

const (
	// restFactor and mostRest say how long a pool rests after a pass: so many times as long
	// as the pass took. Each pass looks at all tickets that wait, so a little patience lets
	// it find more for the same work.
	restFactor = 2
	mostRest   = 100 * time.Millisecond
	// retry is how long a pool rests after a pass that failed.
	retry = time.Second
)

// matchmaker runs the passes of this node's pools: when a ticket comes, when an expansion or
// a timeout falls due, and about every second all the same, since notifications may get lost.
// Passes of different configurations run beside each other.
type matchmaker struct {
	room   *matchmaking.Service
	logger *slog.Logger
	traces *trace.Tracer
	manual bool // the clock stands still between ticks

	mu      sync.Mutex
	wanted  map[store.Key]bool // a pass is wanted
	running map[store.Key]bool // a goroutine runs passes
	timers  map[store.Key]*time.Timer
	ctx     context.Context //nolint:containedctx // of run, for the goroutines it starts
	group   sync.WaitGroup
}

func newMatchmaker(room *matchmaking.Service, manual bool, logger *slog.Logger, traces *trace.Tracer) *matchmaker {
	return &matchmaker{
		room: room, logger: logger, traces: traces, manual: manual,
		wanted: map[store.Key]bool{}, running: map[store.Key]bool{}, timers: map[store.Key]*time.Timer{},
	}
}

// run runs passes until ctx ends; then it gives the pools up.
func (m *matchmaker) run(ctx context.Context, db *store.DB) {
	m.mu.Lock()
	m.ctx = ctx
	m.mu.Unlock()
	defer db.Subscribe(matchmaking.Channel, m.room.Heard)()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for ctx.Err() == nil {
		m.look(ctx)
		select {
		case <-ctx.Done():
		case <-look.C:
		}
	}
	m.mu.Lock()
	for _, t := range m.timers {
		t.Stop()
	}
	m.mu.Unlock()
	m.group.Wait()
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := m.room.Release(leave); err != nil {
		m.logger.Warn("pools not given up", slog.Any("error", err))
	}
}

func (m *matchmaker) look(ctx context.Context) {
	keys, err := m.room.Look(ctx)
	if err == nil {
		_, err = m.room.ExpireMatches(ctx)
	}
	if err != nil && ctx.Err() == nil {
		m.logger.Error("matchmakers not looked at", slog.Any("error", err))
	}
	for _, key := range keys {
		m.wake(key)
	}
}

// wake has a pass run soon.
func (m *matchmaker) wake(key store.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx == nil || m.ctx.Err() != nil {
		return
	}
	m.wanted[key] = true
	if m.running[key] {
		return
	}
	m.running[key] = true
	ctx := m.ctx
	m.group.Go(func() { m.serve(ctx, key) })
}

// serve runs passes of one configuration while they are wanted.
func (m *matchmaker) serve(ctx context.Context, key store.Key) {
	for m.take(ctx, key) {
		start := time.Now()
		passCtx, span := m.traces.Pass(ctx, "matchmaking.Pass")
		span.Int("matchyard.configuration_key", int(key))
		next, err := m.room.Pass(passCtx, key)
		span.End(err)
		rest := min(restFactor*time.Since(start), mostRest)
		if err != nil && ctx.Err() == nil {
			m.logger.Error("matchmaking pass failed", slog.Any("error", err))
			rest = retry
		}
		m.alarm(key, next)
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
	}
}

// take tells whether a pass is wanted; when not, the goroutine is done.
func (m *matchmaker) take(ctx context.Context, key store.Key) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.wanted[key] || ctx.Err() != nil {
		delete(m.running, key)
		delete(m.wanted, key)
		return false
	}
	delete(m.wanted, key)
	return true
}

// alarm has a pass run when something falls due. A manual clock's ticks see to that themselves.
func (m *matchmaker) alarm(key store.Key, next time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.timers[key]; t != nil {
		t.Stop()
		delete(m.timers, key)
	}
	if next.IsZero() || m.manual {
		return
	}
	m.timers[key] = time.AfterFunc(time.Until(next), func() { m.wake(key) })
}
