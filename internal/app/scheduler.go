package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/trace"
)

// scheduler runs the host room's passes when something changes that hosts must look at, on
// the node where the change is heard of. What nobody says is found by the room's tick.
type scheduler struct {
	pass   func(context.Context) error
	logger *slog.Logger
	traces *trace.Tracer
}

// gather is how long the scheduler waits for more changes, so that many make one pass.
const gather = 20 * time.Millisecond

// run runs passes until ctx ends.
func (s *scheduler) run(ctx context.Context, db *store.DB) {
	poked := make(chan struct{}, 1)
	defer db.Subscribe(fleet.ChannelCapacity, func(string) {
		select {
		case poked <- struct{}{}:
		default:
		}
	})()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poked:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
		passCtx, span := s.traces.Pass(ctx, "host.Pass")
		err := s.pass(passCtx)
		span.End(err)
		if err != nil && ctx.Err() == nil {
			s.logger.Error("instances not scheduled", slog.Any("error", err))
		}
	}
}
