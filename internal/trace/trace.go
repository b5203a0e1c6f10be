// Package trace is the edge that tells where time goes, by OpenTelemetry: spans of requests,
// of transactions below them, of messages, passes and deliveries, sent to a collector by
// OTLP over HTTP. It is the only package that knows OpenTelemetry. A nil *Tracer traces
// nothing and costs nothing, so that others need not ask; what they hand to a span must be
// no secret. A collector that is slow or gone delays nobody: spans that find the queue full
// are dropped and counted.
package trace

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"
)

// Options are the choices of Open.
type Options struct {
	// Endpoint is the collector's URL, as "http://127.0.0.1:4318"; its path is followed by
	// /v1/traces unless it ends so. "" is what OTEL_EXPORTER_OTLP_ENDPOINT and
	// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT say, or the collector's usual port on this machine.
	Endpoint string
	// Ratio is the share of the traces begun here that are kept; 1 keeps all, unless
	// OTEL_TRACES_SAMPLER says which. Traces begun by callers are kept as they say.
	Ratio    float64
	Version  string       // of the server
	Database string       // its system, as "sqlite"
	Logger   *slog.Logger // nil: slog.Default
	// Queue is the most spans that wait to be sent; 0 means 4096.
	Queue int
}

// Limits of a span, whatever callers send.
const (
	mostText       = 1024 // bytes of an attribute
	mostAttributes = 32
	mostState      = 512 // bytes of a tracestate that is carried on (W3C: at least that many)
)

const scope = "github.com/matchyard/matchyard"

// Tracer makes spans. Make it with Open, and Close it at the end. It is safe for concurrent
// use; all methods of a nil Tracer do nothing.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   otel.Tracer
	queue    *queue
	database attribute.KeyValue
}

// Open makes a tracer. It connects to nothing yet. Of OpenTelemetry's environment variables
// those of the exporter (OTEL_EXPORTER_OTLP_…), OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
// and OTEL_TRACES_SAMPLER count.
func Open(ctx context.Context, o Options) (*Tracer, error) {
	client, err := newCollector(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	described, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "matchyard"),
			attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", uuid.NewString())),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	t := &Tracer{queue: newQueue(exporter, o), database: attribute.String("db.system.name", o.Database)}
	with := []sdk.TracerProviderOption{
		sdk.WithSpanProcessor(t.queue),
		sdk.WithResource(described),
		sdk.WithRawSpanLimits(sdk.SpanLimits{
			AttributeValueLengthLimit: mostText, AttributeCountLimit: mostAttributes,
			EventCountLimit: mostAttributes, LinkCountLimit: mostAttributes,
			AttributePerEventCountLimit: mostAttributes, AttributePerLinkCountLimit: mostAttributes,
		}),
	}
	if _, decided := os.LookupEnv("OTEL_TRACES_SAMPLER"); !decided || o.Ratio != 1 {
		with = append(with, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Ratio))))
	}
	t.provider = sdk.NewTracerProvider(with...)
	t.tracer = t.provider.Tracer(scope)
	return t, nil
}

// Stats are what became of spans.
type Stats struct {
	Sent    int64 // a collector has them
	Dropped int64 // the queue was full, or no collector took them
}

// Stats tells what became of the spans so far.
func (t *Tracer) Stats() Stats {
	if t == nil {
		return Stats{}
	}
	return Stats{Sent: t.queue.sent.Load(), Dropped: t.queue.dropped.Load()}
}

// Close sends what is left, until ctx ends. Spans that end later are dropped.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Kind is a span's part in its trace.
type Kind = otel.SpanKind

// The kinds of spans: work of our own, an answer to somebody, a question to somebody.
const (
	Internal = otel.SpanKindInternal
	Server   = otel.SpanKindServer
	Client   = otel.SpanKindClient
)

// Start begins a span, below the one of ctx if there is one. The context it returns is for
// what is done in it.
func (t *Tracer) Start(ctx context.Context, name string, k Kind) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, s := t.tracer.Start(ctx, name, otel.WithSpanKind(k))
	return ctx, of(s)
}

// Request begins the span of a request: in the caller's trace, if its headers name one in
// W3C's form. AWS's trace header becomes an attribute.
func (t *Tracer) Request(ctx context.Context, h http.Header, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	if len(h["Traceparent"]) == 1 {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(h))
		if len(h.Get("Tracestate")) > mostState {
			ctx = otel.ContextWithRemoteSpanContext(ctx, otel.SpanContextFromContext(ctx).WithTraceState(otel.TraceState{}))
		}
	}
	ctx, s := t.Start(ctx, name, Server)
	if aws := h["X-Amzn-Trace-Id"]; s.span != nil && len(aws) > 0 {
		s.span.SetAttributes(attribute.StringSlice("http.request.header.x-amzn-trace-id", aws[:1]))
	}
	return ctx, s
}

// Child begins a span below the one of ctx; none, if that has none which is kept.
func Child(ctx context.Context, name string, k Kind) (context.Context, Span) {
	parent := otel.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := parent.TracerProvider().Tracer(scope).Start(ctx, name, otel.WithSpanKind(k))
	return ctx, of(s)
}

// Inject names the trace of ctx in the headers of a request to somebody else, if it has one.
func Inject(ctx context.Context, h http.Header) {
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
}
