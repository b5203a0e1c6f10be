package trace_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/trace"
	"github.com/matchyard/matchyard/internal/trace/tracetest"
)

func open(t *testing.T, o trace.Options) *trace.Tracer {
	t.Helper()
	if o.Ratio == 0 {
		o.Ratio = 1
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Version, o.Database = "1.2.3", "sqlite"
	tracer, err := trace.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = tracer.Close(ctx)
	})
	return tracer
}

// flush closes a tracer, which sends what is left.
func flush(t *testing.T, tracer *trace.Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := tracer.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestARequestGoesOnInItsCallersTrace(t *testing.T) {
	c := tracetest.Start(t)
	tracer := open(t, trace.Options{Endpoint: c.URL + "/"})
	h := http.Header{}
	h.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	h.Set("Tracestate", "vendor=abc")
	h.Set("X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678;"+strings.Repeat("x", 5000))
	ctx, s := tracer.Request(t.Context(), h, "gamelift")
	s.Name("gamelift.ListFleets")
	s.Str("none", "")
	s.Int("http.response.status_code", 500)
	s.Fail("InternalServiceException")
	_, child := trace.Child(ctx, "POST", trace.Client)
	out := http.Header{}
	trace.Inject(ctx, out)
	child.End()
	s.End()
	flush(t, tracer)

	got := c.Wait("the request", func(s tracetest.Span) bool { return s.Name == "gamelift.ListFleets" })
	if got.Trace != "0af7651916cd43dd8448eb211c80319c" || got.Parent != "b7ad6b7169203331" || got.State != "vendor=abc" || !got.Failed {
		t.Errorf("got %+v", got)
	}
	if want := "00-" + got.Trace + "-" + got.ID + "-01"; out.Get("Traceparent") != want {
		t.Errorf("told others %q, want %q", out.Get("Traceparent"), want)
	}
	aws := got.Attributes["http.request.header.x-amzn-trace-id"].([]any)[0].(string)
	if !strings.HasPrefix(aws, "Root=1-67891233-") || len(aws) > 1024 {
		t.Errorf("AWS's header is %d bytes: %.40q", len(aws), aws)
	}
	if _, there := got.Attributes["none"]; there || got.Attributes["error.type"] != "InternalServiceException" {
		t.Errorf("attributes %v", got.Attributes)
	}
	if got.Resource["service.name"] != "matchyard" || got.Resource["service.version"] != "1.2.3" || got.Resource["service.instance.id"] == "" {
		t.Errorf("resource %v", got.Resource)
	}
	if b := c.Below(got); len(b) != 1 || b[0].Name != "POST" {
		t.Errorf("below it %v", b)
	}
	if s := tracer.Stats(); s != (trace.Stats{Sent: 2}) {
		t.Errorf("got %+v", s)
	}
}

// What callers send in the place of a trace is taken for none, and none of it is kept that
// is large.
func TestStrangeHeadersBeginATraceOfTheirOwn(t *testing.T) {
	c := tracetest.Start(t)
	tracer := open(t, trace.Options{Endpoint: c.URL + "/v1/traces"})
	for _, h := range []http.Header{
		{},
		{"Traceparent": {""}},
		{"Traceparent": {"00-00000000000000000000000000000000-b7ad6b7169203331-01"}},
		{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"}},
		{"Traceparent": {strings.Repeat("0", 1<<16)}},
		{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
		{"Tracestate": {"vendor=abc"}},
	} {
		_, s := tracer.Request(t.Context(), h, "root")
		s.End()
	}
	_, s := tracer.Request(t.Context(), http.Header{
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"Tracestate":  {"a=" + strings.Repeat("x", 250) + ",b=" + strings.Repeat("x", 250) + ",c=" + strings.Repeat("x", 250)},
	}, "long")
	s.End()
	_, s = tracer.Request(t.Context(), http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}}, "unwanted")
	s.End()
	if s.On() {
		t.Error("a span is made that its caller does not want")
	}
	flush(t, tracer)
	spans := c.Spans()
	if len(spans) != 8 {
		t.Fatalf("%d spans, want 8", len(spans))
	}
	for _, s := range spans {
		if s.State != "" || (s.Name == "root") != (s.Parent == "") {
			t.Errorf("got %+v", s)
		}
	}
}

func TestTheEnvironmentIsHeeded(t *testing.T) {
	c := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20xyz")
	t.Setenv("OTEL_SERVICE_NAME", "games-eu")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	tracer := open(t, trace.Options{})
	_, s := tracer.Request(t.Context(), http.Header{}, "ours")
	s.End()
	_, s = tracer.Request(t.Context(), http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}, "theirs")
	s.End()
	flush(t, tracer)
	spans := c.Spans()
	if len(spans) != 1 || spans[0].Name != "theirs" || spans[0].Resource["service.name"] != "games-eu" || spans[0].Resource["deployment.environment.name"] != "test" {
		t.Errorf("got %+v", spans)
	}
	if got := c.Header().Get("Authorization"); got != "Bearer xyz" {
		t.Errorf("Authorization %q", got)
	}
}

func TestTheRatioIsKept(t *testing.T) {
	c := tracetest.Start(t)
	tracer := open(t, trace.Options{Endpoint: c.URL, Ratio: 0.25})
	kept := 0
	for range 4000 {
		_, s := tracer.Start(t.Context(), "one", trace.Internal)
		if s.On() {
			kept++
		}
	}
	if kept < 850 || kept > 1150 { // five standard deviations
		t.Errorf("%d of 4000 are kept, want about 1000", kept)
	}
}

// A collector that does not answer, or answers errors, costs spans and nothing else.
func TestABadCollectorDelaysNobody(t *testing.T) {
	const spans = 20_000
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"silent": func(_ http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body) // or it is not seen that the client leaves
			<-r.Context().Done()
			return true
		},
		"refusing": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadRequest); return true },
		"gone":     nil,
	} {
		t.Run(name, func(t *testing.T) {
			c := tracetest.Start(t)
			c.Instead(answer)
			url := c.URL
			if answer == nil {
				url = "http://127.0.0.1:1"
			}
			var log bytes.Buffer
			tracer := open(t, trace.Options{Endpoint: url, Queue: 100, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			var all sync.WaitGroup
			start := time.Now()
			for range 4 {
				all.Go(func() {
					for range spans / 4 {
						_, s := tracer.Start(t.Context(), "one", trace.Internal)
						s.End()
					}
				})
			}
			all.Wait()
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("%d spans took %v", spans, took)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			start = time.Now()
			_ = tracer.Close(ctx)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("closing took %v, with 300 ms to do it in", took)
			}
			if s := tracer.Stats(); s != (trace.Stats{Dropped: spans}) {
				t.Errorf("got %+v, want %d dropped", s, spans)
			}
			if n := strings.Count(log.String(), "does not take spans"); n != 1 {
				t.Errorf("the log tells %d times:\n%s", n, log.String())
			}
		})
	}
}

// A collector that comes back gets spans again, and the log says so.
func TestACollectorComesBack(t *testing.T) {
	c := tracetest.Start(t)
	var log bytes.Buffer
	c.Instead(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
	tracer := open(t, trace.Options{Endpoint: c.URL, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for end := time.Now().Add(20 * time.Second); tracer.Stats().Dropped == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is dropped")
		}
		_, s := tracer.Start(t.Context(), "lost", trace.Internal)
		s.End()
	}
	c.Instead(nil)
	_, s := tracer.Start(t.Context(), "found", trace.Internal)
	s.End()
	flush(t, tracer)
	c.Wait("the second", func(s tracetest.Span) bool { return s.Name == "found" })
	if text := log.String(); !strings.Contains(text, "takes spans again") {
		t.Errorf("log:\n%s", text)
	}
}

func TestATransactionIsToldInParts(t *testing.T) {
	c := tracetest.Start(t)
	tracer := open(t, trace.Options{Endpoint: c.URL})
	if tracer.Transaction(t.Context()) != nil {
		t.Error("a transaction of nobody is traced")
	}
	at := func(ms int) time.Time { return time.UnixMilli(1_700_000_000_000 + int64(ms)) }
	ctx, s := tracer.Start(t.Context(), "request", trace.Server)
	tracer.Transaction(ctx)(store.Transaction{
		Kind: store.Batch, Asked: at(0), Began: at(3), Ran: at(4), Ended: at(9), Tries: 2, Calls: 17, Group: 5,
	})
	tracer.Transaction(ctx)(store.Transaction{Kind: store.Write, Asked: at(10), Ended: at(20), Err: errors.New("gave up")})
	s.End()
	if tracer.Transaction(ctx) != nil {
		t.Error("a transaction after its request's end is traced")
	}
	flush(t, tracer)
	batch := c.Wait("the batch", func(s tracetest.Span) bool { return s.Name == "store.batch" })
	if a := batch.Attributes; a["db.system.name"] != "sqlite" || a["matchyard.store.tries"] != int64(2) || a["matchyard.store.batch"] != int64(17) || a["matchyard.store.group"] != int64(5) {
		t.Errorf("attributes %v", a)
	}
	told := ""
	for _, p := range c.Below(batch) {
		told += p.Name + " " + p.End.Sub(p.Start).String() + "; "
	}
	if want := "store.wait 3ms; store.run 1ms; store.commit 5ms; "; told != want {
		t.Errorf("got %q, want %q", told, want)
	}
	write := c.Wait("the write", func(s tracetest.Span) bool { return s.Name == "store.write" })
	if b := c.Below(write); len(b) != 1 || b[0].Name != "store.wait" || b[0].End.Sub(b[0].Start) != 10*time.Millisecond || write.Attributes["matchyard.store.rolled_back"] != true {
		t.Errorf("got %+v with %+v", write, b)
	}
}

func TestAPassThatWritesNothingIsNoTrace(t *testing.T) {
	c := tracetest.Start(t)
	tracer := open(t, trace.Options{Endpoint: c.URL})
	look := store.Transaction{Kind: store.Read, Asked: time.Now(), Began: time.Now(), Ran: time.Now(), Ended: time.Now()}
	write := look
	write.Kind = store.Write
	for _, writes := range []int{0, 2} {
		ctx, p := tracer.Pass(t.Context(), "placement.Pass")
		p.Int("matchyard.queues", writes)
		for range 100 {
			tracer.Transaction(ctx)(look)
		}
		for range writes {
			tracer.Transaction(ctx)(write)
		}
		p.End(errors.New("at the end"))
	}
	flush(t, tracer)
	pass := c.Wait("the pass", func(s tracetest.Span) bool { return s.Name == "placement.Pass" })
	names := map[string]int{}
	for _, s := range c.Below(pass) {
		names[s.Name]++
	}
	if pass.Attributes["matchyard.queues"] != int64(2) || !pass.Failed || names["store.write"] != 2 || names["store.read"] != 16 {
		t.Errorf("got %+v with %v", pass, names)
	}
	for _, s := range c.Spans() {
		if s.Trace != pass.Trace {
			t.Errorf("another trace: %+v", s)
		}
	}
}

func TestNothingIsTracedForNothing(t *testing.T) {
	var off *trace.Tracer
	ctx, h := t.Context(), http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "X-Amzn-Trace-Id": {"Root=1-67891233-abcdef012345678912345678"}}
	out := http.Header{}
	allocs := testing.AllocsPerRun(100, func() {
		with, s := off.Request(ctx, h, "gamelift")
		s.Str("a", "b")
		s.Int("a", 1)
		s.Fail("x")
		_, child := trace.Child(with, "POST", trace.Client)
		child.End()
		trace.Inject(with, out)
		_, p := off.Pass(with, "pass")
		p.Int("a", 1)
		p.End(nil)
		s.End()
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if len(out) != 0 {
		t.Errorf("headers %v", out)
	}
	if err := off.Close(ctx); err != nil || off.Stats() != (trace.Stats{}) {
		t.Error("a nil tracer has something to close")
	}
}
