package app

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/trace"
)

// lookEvery is how often the engine looks for itself: notifications may get lost.
const lookEvery = time.Second

// engine runs passes for the placements that wait, on every node: it is woken by processes
// that become free and by placements that begin to wait, of all nodes. What wakes it during
// a pass is for the next one.
type engine struct {
	placements *placement.Service
	logger     *slog.Logger
	traces     *trace.Tracer
	every      time.Duration // how often it looks for itself

	mu     sync.Mutex
	fleets map[arn.FleetID]struct{}
	queues map[store.Key]struct{}
	poked  chan struct{}
}

func newEngine(p *placement.Service, logger *slog.Logger, traces *trace.Tracer) *engine {
	return &engine{
		placements: p, logger: logger, traces: traces, every: lookEvery,
		fleets: map[arn.FleetID]struct{}{}, queues: map[store.Key]struct{}{}, poked: make(chan struct{}, 1),
	}
}

// run runs passes until ctx ends.
func (e *engine) run(ctx context.Context, db *store.DB) {
	defer db.Subscribe(compute.ChannelFree, e.free)()
	defer db.Subscribe(fleet.ChannelCapacity, e.free)() // it may have become ACTIVE
	defer db.Subscribe(placement.Channel, e.waiting)()
	look := time.NewTicker(e.every)
	defer look.Stop()
	for {
		var w placement.Woken
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			w.All = true
			e.take()
		case <-e.poked:
			w = e.take()
		}
		if err := e.pass(ctx, w); err != nil && ctx.Err() == nil {
			e.logger.Error("pass failed", slog.Any("error", err))
			select { // the database is in trouble
			case <-ctx.Done():
			case <-time.After(lookEvery):
			}
		}
	}
}

// pass is a pass, traced.
func (e *engine) pass(ctx context.Context, w placement.Woken) error {
	ctx, span := e.traces.Pass(ctx, "placement.Pass")
	span.Int("matchyard.fleets", len(w.Fleets))
	span.Int("matchyard.queues", len(w.Queues))
	err := e.placements.Pass(ctx, w)
	span.End(err)
	return err
}

// free is told of a fleet with a process that became free.
func (e *engine) free(fleet string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fleets[arn.FleetID(fleet)] = struct{}{}
	e.poke()
}

// waiting is told of a queue in which something changed.
func (e *engine) waiting(queue string) {
	key, err := strconv.ParseInt(queue, 10, 64)
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queues[store.Key(key)] = struct{}{}
	e.poke()
}

func (e *engine) poke() {
	select {
	case e.poked <- struct{}{}:
	default:
	}
}

func (e *engine) take() placement.Woken {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := placement.Woken{Fleets: slices.Collect(maps.Keys(e.fleets)), Queues: slices.Collect(maps.Keys(e.queues))}
	clear(e.fleets)
	clear(e.queues)
	return w
}
