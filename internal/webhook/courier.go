package webhook

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/trace"
)

const (
	window     = 256 // events read ahead
	leaseLife  = 10 * time.Second
	leaseRenew = 3 * time.Second
	grace      = time.Second     // for what is under way at the end
	patience   = 5 * time.Second // for the database, at the end
	fullWait   = 5 * time.Minute // between tries, at most
	always     = 1<<63 - 1       // a lease without end
)

// sender carries events to a sink. It is used by as many goroutines as its courier has
// tries at a time.
type sender interface {
	// send tries each event and returns an error, a *failure, for those the sink has not got.
	send(ctx context.Context, batch []event.Entry) []error
	close()
}

// courier delivers to one sink, on the node that holds the sink's lease.
type courier struct {
	s     *Server
	sink  Sink
	to    sender
	most  int // tries at a time
	batch int // events a try

	wake     chan struct{}      // there may be something to do
	settling chan chan struct{} // closed once nothing can be done at present
	resume   atomic.Bool        // what the sink was waited for has happened
	until    atomic.Int64       // wall time in nanoseconds until which the lease is held

	mu    sync.Mutex
	state state

	// Of the goroutine of run.
	look    bool               // events may have become ready
	queue   []event.Entry      // to be sent next
	busy    map[store.Key]bool // in queue, being sent, or sent and not marked
	tries   int                // under way
	sent    []event.Ref        // to be marked
	marking bool               // some are being marked
	failed  map[store.Key]bool // events that failed since the last one that did not
	pauses  int                // since then
	next    time.Time          // when the first event that is held back is due; zero: none is
	stale   bool               // next is to be read
	waiters []chan struct{}    // of settle
	results chan result
	marked  chan mark
}

// state is how a sink does, for those who look.
type state struct {
	Paused    time.Time // nothing is sent until then; zero: it takes events
	LastError string    // of the last try that failed
}

type result struct {
	batch []event.Entry
	errs  []error
}

type mark struct {
	refs []event.Ref
	err  error
}

// rouse makes a courier look for something to do. It returns at once.
func (c *courier) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// backOff is how long to wait after a number of failures in a row: from one second to five
// minutes, so spread that those who failed together do not come back together.
func backOff(failures int) time.Duration {
	full := fullWait
	if failures < 8 {
		full = 2 * time.Second << max(failures, 0)
	}
	return full/2 + rand.N(full/2)
}

// run delivers until ctx ends; what is under way then has a moment to finish.
func (c *courier) run(ctx context.Context) {
	var keeping sync.WaitGroup
	keeping.Go(func() { c.keep(ctx) })
	defer keeping.Wait()
	defer c.to.close()
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	c.busy, c.failed, c.results = map[store.Key]bool{}, map[store.Key]bool{}, make(chan result, c.most)
	c.marked = make(chan mark, 1)
	c.look, c.stale = true, true
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(c.step(ctx, sending))
		c.answer(false)
		select {
		case <-ctx.Done():
		case <-c.wake:
			c.look = true
		case <-timer.C:
			c.look, c.stale = true, true
		case w := <-c.settling:
			c.look = true
			c.waiters = append(c.waiters, w)
		case r := <-c.results:
			c.finish(sending, r)
		case m := <-c.marked:
			c.release(m)
		}
	}
	c.answer(true)
	late := time.AfterFunc(grace, cut)
	defer late.Stop()
	for c.tries > 0 || c.marking || len(c.sent) > 0 {
		c.mark(sending)
		select {
		case r := <-c.results:
			c.finish(sending, r)
		case m := <-c.marked:
			c.release(m)
		}
	}
}

// keep holds the lease as long as it can. On SQLite there is no other node to hold it.
func (c *courier) keep(ctx context.Context) {
	if c.s.DB.Dialect() == store.SQLite {
		c.until.Store(always)
		c.rouse()
		return
	}
	name := "sink/" + c.sink.Name
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for {
		asked := time.Now()
		limit, cancel := context.WithTimeout(ctx, leaseRenew)
		held, err := c.s.DB.Lease(limit, name, leaseLife)
		cancel()
		switch {
		case err != nil && ctx.Err() == nil:
			c.s.logger().Error("lease not renewed", slog.String("lease", name), slog.Any("error", err))
		case held:
			c.until.Store(asked.Add(leaseLife - leaseRenew).UnixNano())
			c.rouse()
		case err == nil:
			c.until.Store(0)
		}
		select {
		case <-ctx.Done():
			c.giveUp(name)
			return
		case <-tick.C:
		}
	}
}

// giveUp leaves the lease to the next who asks, when this node is about to end.
func (c *courier) giveUp(name string) {
	if !c.leads() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.s.DB.Lease(ctx, name, 0); err != nil {
		c.s.logger().Warn("lease not given up", slog.String("lease", name), slog.Any("error", err))
	}
}

func (c *courier) leads() bool { return time.Now().UnixNano() < c.until.Load() }

// step starts as many tries as may be under way, and returns when to look again.
func (c *courier) step(ctx, sending context.Context) time.Duration {
	c.mark(sending)
	if !c.leads() {
		c.drop()
		c.look, c.stale = false, true
		return leaseRenew
	}
	// A try under way may have asked before it happened, and pause the sink after all: what
	// has happened counts once that is known.
	if c.tries == 0 && c.resume.Swap(false) {
		c.pause(time.Time{})
	}
	now := c.s.DB.Now()
	if p := c.paused(); now.Before(p) {
		c.look = false
		return p.Sub(now)
	}
	most := c.most
	if c.pauses > 0 {
		most = 1 // to see whether the sink takes events again
	}
	for c.tries < most && len(c.sent) < window {
		if len(c.queue) == 0 {
			if err := c.fill(ctx); err != nil {
				return time.Second
			}
		}
		if len(c.queue) == 0 {
			break
		}
		n := min(c.batch, len(c.queue))
		batch := c.queue[:n:n]
		c.queue = c.queue[n:]
		c.tries++
		go func() { c.results <- result{batch, c.deliver(sending, batch)} }()
	}
	return c.pauseBefore(ctx, now)
}

// deliver tries a batch, in a trace of its own.
func (c *courier) deliver(ctx context.Context, batch []event.Entry) []error {
	if c.s.Trace == nil {
		return c.to.send(ctx, batch)
	}
	ctx, s := c.s.Trace.Start(ctx, "webhook.deliver", trace.Internal)
	defer s.End()
	errs := c.to.send(ctx, batch)
	s.Str("matchyard.sink", c.sink.Name)
	s.Str("matchyard.sink_kind", string(c.sink.Kind))
	s.Int("matchyard.events", len(batch))
	s.Str("matchyard.event_id", batch[0].ID)
	s.Str("matchyard.event_type", batch[0].Type)
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		s.Fail("not delivered")
	}
	return errs
}

// pauseBefore is how long there is nothing to do.
func (c *courier) pauseBefore(ctx context.Context, now time.Time) time.Duration {
	if c.stale {
		at, _, err := c.s.Log.Next(ctx, c.sink.Name)
		if err != nil {
			c.complain(ctx, err)
			return time.Second
		}
		c.next, c.stale = at, false
	}
	if c.next.IsZero() {
		return time.Hour
	}
	return max(c.next.Sub(now), time.Millisecond)
}

// fill reads what is ready and not yet taken.
func (c *courier) fill(ctx context.Context) error {
	if !c.look {
		return nil
	}
	most := window + len(c.busy)
	ready, err := c.s.Log.Ready(ctx, c.sink.Name, most)
	if err != nil {
		c.complain(ctx, err)
		return err
	}
	c.look = len(ready) == most
	for _, e := range ready {
		if !c.busy[e.Key] {
			c.busy[e.Key] = true
			c.queue = append(c.queue, e)
		}
	}
	return nil
}

// mark removes what was sent. What is sent meanwhile is removed together, next.
func (c *courier) mark(ctx context.Context) {
	if c.marking || len(c.sent) == 0 {
		return
	}
	refs := c.sent
	c.sent, c.marking = nil, true
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		c.marked <- mark{refs, c.s.Log.Done(ctx, refs...)}
	}()
}

// release lets what was behind marked events, in their orders, be sent.
func (c *courier) release(m mark) {
	c.marking, c.look = false, true
	for _, r := range m.refs {
		delete(c.busy, r.Key)
	}
	if m.err != nil {
		c.s.logger().Error("delivered and not removed; they will be sent again",
			slog.String("sink", c.sink.Name), slog.Int("events", len(m.refs)), slog.Any("error", m.err))
		c.rest()
	}
}

// rest sends nothing for a while, since what becomes of it cannot be written down.
func (c *courier) rest() {
	c.pause(fullSecond(c.s.DB.Now().Add(backOff(c.pauses))))
	c.pauses++
}

// finish takes in what became of a try.
func (c *courier) finish(sending context.Context, r result) {
	c.tries--
	var failures []event.Failure
	for i, e := range r.batch {
		if r.errs[i] == nil {
			c.sent = append(c.sent, e.Ref)
			c.succeeded()
			continue
		}
		delete(c.busy, e.Key)
		c.look = true // it may be given up, and others of its order may be ready
		if sending.Err() != nil {
			continue // it was cut off
		}
		f, ok := errors.AsType[*failure](r.errs[i])
		if !ok {
			f = &failure{reason: r.errs[i].Error()}
		}
		until := c.failedUntil(e, f)
		if !f.untried {
			c.s.failures.Add(1)
			failures = append(failures, event.Failure{Ref: e.Ref, Reason: f.reason, Until: until, MaxAge: c.sink.MaxAge})
		}
	}
	c.record(sending, failures)
}

func (c *courier) succeeded() {
	c.s.delivered.Add(1)
	if c.pauses > 0 {
		c.s.logger().Info("the sink takes events again", slog.String("sink", c.sink.Name))
	}
	c.pauses = 0
	clear(c.failed)
	if !c.paused().IsZero() {
		c.pause(time.Time{})
	}
}

// failedUntil decides what a failure means, for the sink or for the event, and returns until
// when the event is held back.
func (c *courier) failedUntil(e event.Entry, f *failure) time.Time {
	now := c.s.DB.Now()
	c.mu.Lock()
	c.state.LastError = f.reason
	c.mu.Unlock()
	c.failed[e.Key] = true
	if p := c.paused(); now.Before(p) {
		return p // it was under way when the sink was found to be down
	}
	if f.down == 0 || len(c.failed) < f.down {
		return fullSecond(now.Add(backOff(e.Tries)))
	}
	if c.pauses == 0 {
		c.s.logger().Warn("the sink does not take events; they are kept", slog.String("sink", c.sink.Name), slog.String("reason", f.reason))
	}
	wait := f.wait
	if wait == 0 {
		wait = backOff(c.pauses)
	}
	c.pauses++
	until := fullSecond(now.Add(wait))
	c.pause(until)
	return until
}

// fullSecond rounds up, so that a clock that steps from one due instant to the next does not
// stop at each event.
func fullSecond(t time.Time) time.Time { return t.Add(time.Second - 1).Truncate(time.Second) }

// record writes failures down and, where the sink is down, gives up what got too old while
// it waited.
func (c *courier) record(ctx context.Context, failures []event.Failure) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	dead := 0
	if len(failures) > 0 {
		n, err := c.s.Log.Failed(ctx, failures...)
		if err != nil {
			c.complain(ctx, err)
			c.rest()
		}
		dead = n
		c.stale = true
	}
	if !c.paused().IsZero() {
		c.drop()
		n, err := c.s.buryOld(ctx, c.sink, c.lastError())
		if err != nil {
			c.complain(ctx, err)
		}
		dead += n
	}
	c.s.gaveUp(c.sink, dead)
}

// drop forgets what was read ahead.
func (c *courier) drop() {
	for _, e := range c.queue {
		delete(c.busy, e.Key)
	}
	c.queue = nil
}

// answer tells those who wait in settle, when nothing can be done at present.
func (c *courier) answer(ended bool) {
	if !ended && (c.tries > 0 || len(c.queue) > 0 || c.marking || len(c.sent) > 0) {
		return
	}
	for _, w := range c.waiters {
		close(w)
	}
	c.waiters = nil
}

// settle returns when everything that may be sent at the store's present time was tried.
func (c *courier) settle(ctx context.Context) error {
	w := make(chan struct{})
	select {
	case c.settling <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.s.ended:
		return nil
	}
	select {
	case <-w:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *courier) pause(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Paused = until
}

func (c *courier) paused() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Paused
}

func (c *courier) lastError() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.LastError
}

// due is the next instant at which something is to be tried that cannot be tried before.
func (c *courier) due(ctx context.Context) (time.Time, bool, error) {
	if p := c.paused(); c.s.DB.Now().Before(p) {
		_, some, err := c.s.Log.Oldest(ctx, c.sink.Name)
		return p, some, err
	}
	return c.s.Log.Next(ctx, c.sink.Name)
}

// complain logs an error of the database.
func (c *courier) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		c.s.logger().Error("events not read or not marked", slog.String("sink", c.sink.Name), slog.Any("error", err))
	}
}
