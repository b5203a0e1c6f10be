// Package tracetest is an OpenTelemetry collector inside a test: it takes OTLP over HTTP,
// reads it with the protocol's own definition, and keeps the spans.
package tracetest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span as it was received. Ids are in hexadecimal; Parent is "" at the root.
type Span struct {
	Trace, ID, Parent string
	State             string // the tracestate
	Name              string
	Kind              wire.Span_SpanKind
	Failed            bool
	Start, End        time.Time
	Attributes        map[string]any // string, int64, bool, float64 or []any
	Resource          map[string]any
}

// Collector is a running collector. It ends with its test.
type Collector struct {
	URL string

	t      testing.TB
	mu     sync.Mutex
	spans  []Span
	header http.Header // of the last request
	answer func(w http.ResponseWriter, r *http.Request) bool
}

// Start starts a collector.
func Start(t testing.TB) *Collector {
	c := &Collector{t: t}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// Instead has f answer requests, as long as it returns true; nil ends that.
func (c *Collector) Instead(f func(w http.ResponseWriter, r *http.Request) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

// ServeHTTP takes a request of an exporter.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("collector: %s %s of %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	body, err := read(r)
	var in collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &in)
	}
	if err != nil {
		c.t.Errorf("collector: %v", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header = r.Header
	for _, resource := range in.ResourceSpans {
		about := attributes(resource.Resource.Attributes)
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, span(s, about))
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	text, err := proto.Marshal(&collector.ExportTraceServiceResponse{})
	if err != nil {
		c.t.Error(err)
	}
	_, _ = w.Write(text)
}

func read(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func span(s *wire.Span, resource map[string]any) Span {
	return Span{
		Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
		State: s.TraceState, Name: s.Name, Kind: s.Kind, Failed: s.Status.GetCode() == wire.Status_STATUS_CODE_ERROR,
		Start: time.Unix(0, int64(s.StartTimeUnixNano)), End: time.Unix(0, int64(s.EndTimeUnixNano)), //nolint:gosec // this century
		Attributes: attributes(s.Attributes), Resource: resource,
	}
}

func attributes(list []*common.KeyValue) map[string]any {
	m := make(map[string]any, len(list))
	for _, a := range list {
		m[a.Key] = value(a.Value)
	}
	return m
}

func value(v *common.AnyValue) any {
	switch v := v.Value.(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	case *common.AnyValue_ArrayValue:
		var list []any
		for _, e := range v.ArrayValue.Values {
			list = append(list, value(e))
		}
		return list
	}
	return nil
}

// Header is that of the last request.
func (c *Collector) Header() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.header
}

// Spans are those received so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Wait returns the first span that suits, once it has come. It fails the test when that
// takes long.
func (c *Collector) Wait(what string, suits func(Span) bool) Span {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if i := slices.IndexFunc(c.Spans(), suits); i >= 0 {
			return c.Spans()[i]
		}
	}
	var names []string
	for _, s := range c.Spans() {
		names = append(names, s.Name)
	}
	c.t.Fatalf("no span of %s came, but %s", what, strings.Join(names, ", "))
	return Span{}
}

// Below are the children of a span that have come so far, by start.
func (c *Collector) Below(parent Span) []Span {
	var list []Span
	for _, s := range c.Spans() {
		if s.Trace == parent.Trace && s.Parent == parent.ID {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return list
}
