package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Clock is the server's time. A real one is the wall clock; a manual one starts at the wall
// clock's time and moves only when told. It is safe for concurrent use.
type Clock struct {
	manual bool

	mu  sync.Mutex
	now time.Time // of a manual clock
}

func newClock(manual bool) *Clock { return &Clock{manual: manual, now: time.Now()} }

// Now is the instant the clock shows.
func (c *Clock) Now() time.Time {
	if !c.manual {
		return time.Now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// set moves a manual clock, never back.
func (c *Clock) set(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.After(c.now) {
		c.now = to
	}
}

// ErrRealClock is returned by Advance of a server whose clock is the wall clock.
var ErrRealClock = errors.New("the clock is real: only one started as manual can be moved")

// maxAdvance bounds one step, so that a slip of the hand does not end all retentions at once.
const maxAdvance = 10 * 366 * 24 * time.Hour

// Advance moves a manual clock by d and returns the new time when everything that fell due
// on the way has run, each thing at its own instant. Concurrent calls run one after the
// other. When ctx ends on the way, or the database fails, the clock stands where it came to
// and the error says why; what was not done is still due.
func (a *App) Advance(ctx context.Context, d time.Duration) (time.Time, error) {
	if !a.clock.manual {
		return time.Time{}, ErrRealClock
	}
	if d < 0 || d > maxAdvance {
		return time.Time{}, fmt.Errorf("d: %s is not between 0 and %s", d, maxAdvance)
	}
	a.sweeping.Lock()
	defer a.sweeping.Unlock()
	target := a.clock.Now().Add(d)
	stuck := map[string]time.Time{} // rooms whose due instant has passed and stays
	for {
		due, err := a.nextDue(ctx, stuck)
		if err != nil {
			return a.clock.Now(), err
		}
		if due.IsZero() || due.After(target) {
			break
		}
		a.clock.set(due)
		if err := a.tickAll(ctx); err != nil {
			return a.clock.Now(), err
		}
	}
	a.clock.set(target)
	return a.clock.Now(), a.tickAll(ctx)
}

// nextDue is the earliest instant at which a room has something to do; zero when none has.
// A room that names the same past instant again after its tick is left alone until it
// names another: otherwise the clock would stand there for ever.
func (a *App) nextDue(ctx context.Context, stuck map[string]time.Time) (time.Time, error) {
	now := a.clock.Now()
	var first time.Time
	for _, d := range a.duties {
		at, found, err := d.due(ctx)
		if err != nil {
			return time.Time{}, fmt.Errorf("%s: next due: %w", d.name, err)
		}
		if !found {
			continue
		}
		if !at.After(now) {
			if stuck[d.name].Equal(at) {
				continue
			}
			stuck[d.name] = at
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first, nil
}
