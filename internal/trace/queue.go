package trace

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	defaultQueue = 4096        // most spans that wait
	mostAtOnce   = 512         // most spans of one request
	sendEvery    = time.Second // how long a span waits for others
)

// queue takes spans that ended and sends them, in the background. The SDK's own batching
// does the same and does not tell what it drops.
type queue struct {
	exporter sdk.SpanExporter
	logger   *slog.Logger
	spans    chan sdk.ReadOnlySpan

	sent, dropped atomic.Int64

	life   context.Context //nolint:containedctx // of sending, which Shutdown may cut off
	cut    context.CancelFunc
	once   sync.Once
	ending chan struct{}
	ended  chan struct{}
	down   bool // the last batch was not taken; of run alone
}

func newQueue(to sdk.SpanExporter, o Options) *queue {
	q := &queue{
		exporter: to, logger: cmp.Or(o.Logger, slog.Default()), spans: make(chan sdk.ReadOnlySpan, cmp.Or(o.Queue, defaultQueue)),
		ending: make(chan struct{}), ended: make(chan struct{}),
	}
	q.life, q.cut = context.WithCancel(context.Background())
	go q.run()
	return q
}

// OnStart does nothing.
func (q *queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd takes a span that is kept, or drops it; it never waits.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case <-q.ending:
		q.dropped.Add(1)
		return
	default:
	}
	select {
	case q.spans <- s:
	default:
		q.dropped.Add(1)
	}
}

// ForceFlush does nothing: spans wait for a second at most.
func (q *queue) ForceFlush(context.Context) error { return nil }

// Shutdown sends what waits, until ctx ends.
func (q *queue) Shutdown(ctx context.Context) error {
	q.once.Do(func() { close(q.ending) })
	stop := context.AfterFunc(ctx, q.cut)
	defer stop()
	<-q.ended
	q.cut()
	return q.exporter.Shutdown(ctx)
}

func (q *queue) run() {
	defer close(q.ended)
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	batch := make([]sdk.ReadOnlySpan, 0, mostAtOnce)
	for {
		select {
		case s := <-q.spans:
			if batch = append(batch, s); len(batch) == cap(batch) {
				batch = q.send(batch)
			}
		case <-tick.C:
			batch = q.send(batch)
		case <-q.ending:
			q.drain(batch)
			return
		}
	}
}

// drain sends what is left.
func (q *queue) drain(batch []sdk.ReadOnlySpan) {
	for {
		select {
		case s := <-q.spans:
			if batch = append(batch, s); len(batch) == cap(batch) {
				batch = q.send(batch)
			}
		default:
			q.send(batch)
			return
		}
	}
}

// send sends a batch and returns it empty. An outage is one line of the log, and its end is
// another.
func (q *queue) send(batch []sdk.ReadOnlySpan) []sdk.ReadOnlySpan {
	if len(batch) == 0 {
		return batch
	}
	err := q.exporter.ExportSpans(q.life, batch) // its client limits the time
	lost := int64(0)
	if err != nil {
		lost = int64(len(batch))
	}
	if r, ok := errors.AsType[*refused](err); ok {
		lost = min(lost, r.spans)
	}
	q.dropped.Add(lost)
	q.sent.Add(int64(len(batch)) - lost)
	switch {
	case err != nil:
		if !q.down {
			q.logger.Warn("the collector of traces does not take spans; they are dropped", slog.Any("error", err))
		}
		q.down = true
	default:
		if q.down {
			q.logger.Info("the collector of traces takes spans again")
		}
		q.down = false
	}
	clear(batch)
	return batch[:0]
}
