package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/trace"
)

// confirmed is the channel that tells that a sink's subscription was confirmed.
const confirmed = "event-confirmed"

// orphaned is how long events stay whose sink no node has any more.
const orphaned = time.Minute

// Server delivers the events of a log to sinks. It is made by a literal and not copied.
// After Open, Run delivers until its context ends; Handler answers those who fetch.
type Server struct {
	DB    *store.DB
	Log   *event.Log
	Home  arn.Home
	Sinks []Sink // valid, as Check says

	// Endpoint is the URL of the API's address, as receivers reach it: "http://host:port".
	Endpoint func() string
	// Auth tells who sends a queue's request; nil: anyone may. Authorize is then asked
	// whether the caller may do it, by a name as in "sqs:ReceiveMessage"; nil: whoever is
	// authentic may.
	Auth      awsapi.Auth
	Authorize func(ctx context.Context, id awsapi.Identity, operation string, in any) error
	// Manual says that the database's clock moves only when told: then Tick waits for the
	// deliveries that are due.
	Manual   bool
	Logger   *slog.Logger  // nil: slog.Default
	Trace    *trace.Tracer // nil: deliveries are not traced
	Resolver *net.Resolver // looks up the hosts of URLs; nil: the system's

	couriers []*courier
	queues   map[string]*queue
	running  atomic.Bool
	ended    chan struct{} // closed when Run returned
	closing  chan struct{} // closed by Close
	cancels  []func()
	shut     sync.Once

	delivered, failures, dead atomic.Int64

	mu      sync.Mutex
	orphans map[string]time.Time // since when
	checked time.Time            // when for the last time
}

// Open makes the server ready. It tells other nodes which sinks this one has.
func (s *Server) Open(ctx context.Context) error {
	s.ended, s.closing = make(chan struct{}), make(chan struct{})
	s.queues = map[string]*queue{}
	s.orphans = map[string]time.Time{}
	names := make([]string, 0, len(s.Sinks))
	bySink := map[string]func(){}
	confirm := map[string]func(){}
	for _, sink := range s.Sinks {
		sink = sink.withDefaults(s.Home)
		names = append(names, sink.Name)
		c := &courier{s: s, sink: sink, wake: make(chan struct{}, 1), settling: make(chan chan struct{}), most: sink.Concurrency, batch: 1}
		switch sink.Kind {
		case SQS:
			q := &queue{s: s, sink: sink, changed: make(chan struct{})}
			s.queues[sink.Queue] = q
			bySink[sink.Name] = q.rouse
			continue
		case Webhook:
			c.to = &poster{sink: sink, client: newClient(sink, s.Resolver)}
		case SNS:
			c.to = &notifier{s: s, sink: sink, client: newClient(sink, s.Resolver)}
		case File:
			c.to, c.most, c.batch = &filer{path: sink.Path}, 1, window
		}
		s.couriers = append(s.couriers, c)
		bySink[sink.Name] = c.rouse
		confirm[sink.Name] = func() {
			c.resume.Store(true)
			c.rouse()
		}
	}
	call := func(m map[string]func()) func(string) {
		return func(sink string) {
			if f := m[sink]; f != nil {
				f()
			}
		}
	}
	s.cancels = append(s.cancels, s.DB.Subscribe(event.Channel, call(bySink)), s.DB.Subscribe(confirmed, call(confirm)))
	return s.Log.Configured(ctx, names)
}

// Run delivers until ctx ends, and returns when nothing is under way any more, which takes
// about a second at most.
func (s *Server) Run(ctx context.Context) {
	s.running.Store(true)
	var all sync.WaitGroup
	for _, c := range s.couriers {
		all.Go(func() { c.run(ctx) })
	}
	<-ctx.Done()
	all.Wait()
	for _, cancel := range s.cancels {
		cancel()
	}
	close(s.ended)
}

// Close answers those who wait for messages, and lets nobody wait any more.
func (s *Server) Close() { s.shut.Do(func() { close(s.closing) }) }

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.Default()
	}
	return s.Logger
}

// Stats are what this node did: events delivered, tries that failed, events given up.
type Stats struct{ Delivered, Failures, Dead int64 }

// Stats counts since the start.
func (s *Server) Stats() Stats {
	return Stats{s.delivered.Load(), s.failures.Load(), s.dead.Load()}
}

// Tick drops the events of sinks that nobody has any more and gives up messages that nobody
// fetched in time. With a manual clock it also returns only when everything that is due was
// tried. It may be repeated.
func (s *Server) Tick(ctx context.Context, now time.Time) error {
	var errs []error
	if s.Manual {
		errs = append(errs, s.settle(ctx))
	}
	for _, q := range s.queues {
		n, err := s.buryOld(ctx, q.sink, "nobody deleted it in time")
		s.gaveUp(q.sink, n)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.dropOrphans(ctx, now))...)
}

// settle waits until all couriers have tried what is due.
func (s *Server) settle(ctx context.Context) error {
	if !s.running.Load() {
		return nil
	}
	errs := make([]error, len(s.couriers))
	var all sync.WaitGroup
	for i, c := range s.couriers {
		all.Go(func() { errs[i] = c.settle(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Due is the next instant at which Tick has something to do. What is dropped waits for the
// Tick after. With a manual clock it first waits for what is under way, since that may fail
// and be due again.
func (s *Server) Due(ctx context.Context) (due time.Time, ok bool, err error) {
	if s.Manual {
		if err := s.settle(ctx); err != nil {
			return time.Time{}, false, err
		}
	}
	take := func(at time.Time, found bool) {
		if found && (!ok || at.Before(due)) {
			due, ok = at, true
		}
	}
	for _, c := range s.couriers {
		at, found, err := c.due(ctx)
		if err != nil {
			return time.Time{}, false, err
		}
		take(at, found)
	}
	for _, q := range s.queues {
		at, found, err := s.Log.Oldest(ctx, q.sink.Name)
		if err != nil {
			return time.Time{}, false, err
		}
		take(at.Add(q.sink.MaxAge+time.Minute-1).Truncate(time.Minute), found)
	}
	return due, ok, nil
}

// buryOld gives up the events of a sink that have reached its age, if the oldest has.
func (s *Server) buryOld(ctx context.Context, sink Sink, reason string) (int, error) {
	at, some, err := s.Log.Oldest(ctx, sink.Name)
	if err != nil || !some || s.DB.Now().Sub(at) < sink.MaxAge {
		return 0, err
	}
	return s.Log.Bury(ctx, sink.Name, sink.MaxAge, reason)
}

// gaveUp tells the log and the metrics of dead letters.
func (s *Server) gaveUp(sink Sink, n int) {
	if n > 0 {
		s.dead.Add(int64(n))
		s.logger().Error("events given up", slog.String("sink", sink.Name), slog.Int("events", n))
	}
}

// dropOrphans drops the events of sinks that no living node has had for a while. That while
// is for nodes that start again one after the other.
func (s *Server) dropOrphans(ctx context.Context, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := now.Sub(s.checked); d >= 0 && d < orphaned {
		return nil
	}
	list, err := s.Log.Orphans(ctx)
	if err != nil {
		return err
	}
	s.checked = now
	for sink := range s.orphans {
		if !slices.Contains(list, sink) {
			delete(s.orphans, sink)
		}
	}
	for _, sink := range list {
		since, known := s.orphans[sink]
		if !known {
			s.orphans[sink] = now
			continue
		}
		if now.Sub(since) < orphaned {
			continue
		}
		n, err := s.Log.Purge(ctx, sink)
		if err != nil {
			return err
		}
		delete(s.orphans, sink)
		s.logger().Warn("events dropped: their sink is in no node's configuration any more", slog.String("sink", sink), slog.Int64("events", n))
	}
	return nil
}
