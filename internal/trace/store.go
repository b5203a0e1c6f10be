package trace

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/matchyard/matchyard/internal/store"
)

// Transaction is store.Options.Trace: the transactions of whoever is traced are spans, with
// what they waited for, ran and committed below them.
func (t *Tracer) Transaction(ctx context.Context) func(store.Transaction) {
	if p, ok := ctx.Value(passKey{}).(*Pass); ok {
		return p.transaction
	}
	if !otel.SpanFromContext(ctx).IsRecording() {
		return nil
	}
	return func(x store.Transaction) { t.transaction(ctx, x) }
}

func (t *Tracer) transaction(ctx context.Context, x store.Transaction) {
	ctx, s := t.tracer.Start(ctx, "store."+string(x.Kind), otel.WithSpanKind(Client), otel.WithTimestamp(x.Asked), otel.WithAttributes(t.database))
	if x.Tries > 1 {
		s.SetAttributes(attribute.Int("matchyard.store.tries", x.Tries))
	}
	if x.Calls > 0 {
		s.SetAttributes(attribute.Int("matchyard.store.batch", x.Calls))
	}
	if x.Group > 0 {
		s.SetAttributes(attribute.Int("matchyard.store.group", x.Group))
	}
	if x.Err != nil { // often a refusal, and no failure of the database
		s.SetAttributes(attribute.Bool("matchyard.store.rolled_back", true))
	}
	part := func(name string, from, to time.Time) {
		if !from.IsZero() && !to.IsZero() {
			_, p := t.tracer.Start(ctx, name, otel.WithTimestamp(from))
			p.End(otel.WithTimestamp(to))
		}
	}
	if x.Began.IsZero() {
		part("store.wait", x.Asked, x.Ended)
	}
	part("store.wait", x.Asked, x.Began)
	part("store.run", x.Began, x.Ran)
	if x.Kind != store.Read {
		part("store.commit", x.Ran, x.Ended)
	}
	s.End(otel.WithTimestamp(x.Ended))
}

// Pass is background work that is done again and again and mostly finds nothing to do: it
// is a span only once it writes.
type Pass struct {
	tracer *Tracer
	ctx    context.Context //nolint:containedctx // the span's parent, should there be one
	name   string
	start  time.Time
	about  []attribute.KeyValue

	mu   sync.Mutex
	span otel.Span           // nil until it writes
	seen []store.Transaction // until then
}

type passKey struct{}

// mostSeen is how many of the transactions before the first write are remembered.
const mostSeen = 16

// Pass begins such work. A nil Pass, of a nil Tracer, is of work that is not traced.
func (t *Tracer) Pass(ctx context.Context, name string) (context.Context, *Pass) {
	if t == nil {
		return ctx, nil
	}
	p := &Pass{tracer: t, ctx: ctx, name: name, start: time.Now()}
	return context.WithValue(ctx, passKey{}, p), p
}

// Int sets an attribute, before the work begins.
func (p *Pass) Int(key string, value int) {
	if p != nil {
		p.about = append(p.about, attribute.Int(key, value))
	}
}

func (p *Pass) transaction(x store.Transaction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.span != nil:
		p.tracer.transaction(p.ctx, x)
	case x.Kind == store.Read:
		if len(p.seen) < mostSeen {
			p.seen = append(p.seen, x)
		}
	default:
		p.ctx, p.span = p.tracer.tracer.Start(p.ctx, p.name, otel.WithTimestamp(p.start), otel.WithAttributes(p.about...))
		for _, before := range append(p.seen, x) {
			p.tracer.transaction(p.ctx, before)
		}
		p.seen = nil
	}
}

// End ends the work, which failed if err is not nil.
func (p *Pass) End(err error) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.span == nil {
		return
	}
	if err != nil {
		p.span.SetStatus(codes.Error, "failed")
	}
	p.span.End()
}
