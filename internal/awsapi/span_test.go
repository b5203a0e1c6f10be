package awsapi_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/trace"
	"github.com/matchyard/matchyard/internal/trace/tracetest"
)

// traced is noop with a tracer that keeps that share of traces.
func traced(t testing.TB, url string, ratio float64) *awsapi.Server {
	t.Helper()
	tracer, err := trace.Open(context.Background(), trace.Options{Endpoint: url, Ratio: ratio, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = tracer.Close(ctx)
	})
	s := noop()
	s.Trace = tracer
	return s
}

// BenchmarkTraced is BenchmarkServeHTTP with traces: none, none of them kept, all kept.
func BenchmarkTraced(b *testing.B) {
	c := tracetest.Start(b)
	for name, s := range map[string]*awsapi.Server{"off": noop(), "unkept": traced(b, c.URL, 0), "kept": traced(b, c.URL, 1)} {
		b.Run(name, func(b *testing.B) {
			w := &discard{http.Header{}}
			r, body := smallRequest(b, 1)
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(bytes.NewReader(body))
				s.ServeHTTP(w, r)
			}
		})
	}
}

// What an operation is handed carries the span, so that transactions are below it; without
// a tracer there is none, and a call costs what the smallest operation did before there were
// traces: ten allocations, two of them this test's.
func TestASpanCostsNothingWhereThereIsNone(t *testing.T) {
	tracer := traced(t, "http://127.0.0.1:1", 1).Trace
	var seen func(store.Transaction)
	s := &awsapi.Server{Auth: awsapi.Anyone{}, Logger: quiet, Trace: tracer, Operations: []awsapi.Operation{
		awsapi.Op(func(ctx context.Context, _ *gamelift.DescribePlayerSessionsInput) (*gamelift.DescribePlayerSessionsOutput, error) {
			seen = tracer.Transaction(ctx)
			return &gamelift.DescribePlayerSessionsOutput{}, nil
		}),
	}}
	for _, p := range protocols {
		body := p.encode(t, map[string]any{"PlayerSessionId": "psess-019b7ca9-8c88-7000-8162-6b26601c95a7", "Limit": 1})
		serve := func(s *awsapi.Server) float64 {
			r, w := p.request("DescribePlayerSessions", body), &discard{http.Header{}}
			least := 1e9
			for range 100 { // others of the process are counted too
				least = min(least, testing.AllocsPerRun(1, func() {
					r.Body = io.NopCloser(bytes.NewReader(body))
					s.ServeHTTP(w, r)
				}))
			}
			return least
		}
		if serve(s); seen == nil {
			t.Errorf("%s: the operation's transactions are not traced", p.name)
		}
		if n := serve(noop()); n > 10 {
			t.Errorf("%s: %v allocations", p.name, n)
		}
	}
}
