package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	tickEvery  = time.Second
	leaseName  = "ticks"
	leaseLife  = 10 * time.Second
	leaseRenew = 3 * time.Second
)

// duty is a room's background work: a sweep of everything that is due, which can be
// repeated, interrupted and run twice, and the next instant at which there is something.
type duty struct {
	name string
	tick func(ctx context.Context, now time.Time) error
	due  func(ctx context.Context) (time.Time, bool, error)
	// wall is set where some of the work depends on the wall clock and not on the store's,
	// so that it must run also while a manual clock stands still.
	wall bool
}

// sweep runs the rooms' ticks about every second until ctx ends, on whichever node holds the
// lease. A tick that takes longer than a second delays the next; none pile up. With a
// manual clock only the duties of the wall clock run.
func (a *App) sweep(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	var renewed time.Time // when this node last took the lease; zero when it has not got it
	for {
		select {
		case <-ctx.Done():
			if !renewed.IsZero() {
				a.giveLease(context.WithoutCancel(ctx))
			}
			return
		case <-ticker.C:
		}
		if time.Since(renewed) >= leaseRenew {
			held, err := a.lease(ctx)
			if err != nil && ctx.Err() == nil {
				a.logger.Error("lease not renewed", slog.String("lease", leaseName), slog.Any("error", err))
			}
			if !held {
				renewed = time.Time{}
				continue
			}
			renewed = time.Now()
		}
		a.sweeping.Lock()
		for _, d := range a.duties {
			if d.wall || !a.clock.manual {
				_ = a.run(ctx, d) // logged
			}
		}
		a.sweeping.Unlock()
	}
}

// lease takes or renews the lease. It is a small durable write, so the time it takes tells
// how the database is doing.
func (a *App) lease(ctx context.Context) (bool, error) {
	start := time.Now()
	held, err := a.db.Lease(ctx, leaseName, leaseLife)
	if err == nil {
		a.metrics.StoreWrite(time.Since(start))
	}
	return held, err
}

// giveLease lets the next node, or this one's next start, go on at once.
func (a *App) giveLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := a.db.Lease(ctx, leaseName, 0); err != nil {
		a.logger.Warn("lease not given up", slog.String("lease", leaseName), slog.Any("error", err))
	}
}

// tickAll runs every room's tick at the clock's time. One room's failure does not keep the
// others from theirs.
func (a *App) tickAll(ctx context.Context) error {
	var errs []error
	for _, d := range a.duties {
		if err := a.run(ctx, d); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d.name, err))
		}
	}
	return errors.Join(errs...)
}

// run runs a duty once, and logs and counts its failure; it is never fatal.
func (a *App) run(ctx context.Context, d duty) (err error) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if ctx.Err() != nil {
			return // stopped, not failed
		}
		a.metrics.Tick(d.name, time.Since(start), err)
		if err != nil {
			a.logger.Error("tick failed", slog.String("room", d.name), slog.Any("error", err))
		}
	}()
	return d.tick(ctx, a.clock.Now())
}
