package trace_test

import (
	"bytes"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/matchyard/matchyard/internal/trace"
	"github.com/matchyard/matchyard/internal/trace/tracetest"
)

// send sends so many spans and returns what became of them, with the log.
func send(t *testing.T, endpoint string, spans int) (trace.Stats, string) {
	t.Helper()
	var log bytes.Buffer
	tracer := open(t, trace.Options{Endpoint: endpoint, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range spans {
		_, s := tracer.Start(t.Context(), "one", trace.Internal)
		s.End()
	}
	flush(t, tracer)
	return tracer.Stats(), log.String()
}

func TestEndpoints(t *testing.T) {
	c := tracetest.Start(t)
	var paths []string
	c.Instead(func(_ http.ResponseWriter, r *http.Request) bool {
		paths = append(paths, r.URL.Path)
		return true
	})
	const all, own = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	for _, one := range []struct{ setting, all, own, want string }{
		{c.URL, "http://127.0.0.1:1", "http://127.0.0.1:1", "/v1/traces"},
		{c.URL + "/", "", "", "/v1/traces"},
		{c.URL + "/base/v1/traces", "", "", "/base/v1/traces"},
		{c.URL + "/base", "", c.URL + "/none", "/base/v1/traces"},
		{"", c.URL + "/all/", "", "/all/v1/traces"},
		{"", "http://127.0.0.1:1", c.URL + "/own", "/own"},
	} {
		t.Setenv(all, one.all)
		t.Setenv(own, one.own)
		paths = nil
		if s, _ := send(t, one.setting, 1); s.Sent != 1 || len(paths) != 1 || paths[0] != one.want {
			t.Errorf("%+v: %+v to %q", one, s, paths)
		}
	}
}

func TestCompressionAndHeaders(t *testing.T) {
	c := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-all=1")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", " x-own = a%2Cb , x-more=c=d")
	if s, log := send(t, c.URL, 100); s != (trace.Stats{Sent: 100}) || len(c.Spans()) != 100 {
		t.Errorf("got %+v, %s", s, log)
	}
	h := c.Header()
	if h.Get("Content-Encoding") != "gzip" || h.Get("X-Own") != "a,b" || h.Get("X-More") != "c=d" || h.Get("X-All") != "" {
		t.Errorf("headers %v", h)
	}
}

func TestACollectorByTLS(t *testing.T) {
	c := tracetest.Start(t)
	s := httptest.NewTLSServer(c)
	t.Cleanup(s.Close)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
	if got, log := send(t, s.URL, 3); got != (trace.Stats{Dropped: 3}) || !strings.Contains(log, "certificate") {
		t.Errorf("a collector that nobody vouches for: %+v, %s", got, log)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", file)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "10000")
	if got, log := send(t, s.URL, 3); got != (trace.Stats{Sent: 3}) {
		t.Errorf("got %+v, %s", got, log)
	}
}

// A collector that is busy is asked again, and gets the spans once.
func TestABusyCollectorIsAskedAgain(t *testing.T) {
	c := tracetest.Start(t)
	var asked atomic.Int64
	c.Instead(func(w http.ResponseWriter, _ *http.Request) bool {
		if asked.Add(1) > 1 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if s, log := send(t, c.URL, 5); s != (trace.Stats{Sent: 5}) || asked.Load() != 2 || len(c.Spans()) != 5 || log != "" {
		t.Errorf("got %+v after %d requests, %s", s, asked.Load(), log)
	}
}

func TestSpansThatACollectorRefusesAreCounted(t *testing.T) {
	for _, refuses := range []int64{0, 2, 5, 1 << 40} {
		c := tracetest.Start(t)
		c.Instead(func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			answer, err := proto.Marshal(&collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: refuses, ErrorMessage: "too old"}})
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = w.Write(answer)
			return true
		})
		s, log := send(t, c.URL, 5)
		if lost := min(refuses, 5); s != (trace.Stats{Sent: 5 - lost, Dropped: lost}) || strings.Contains(log, "too old") != (lost > 0) {
			t.Errorf("of 5, %d are refused: %+v, %s", refuses, s, log)
		}
	}
}

// Answers that are none count as taken: their status says so.
func TestStrangeAnswers(t *testing.T) {
	for _, answer := range []string{"", "\x0a", "\x0a\xff\xff\xff\xff\xff", "\x08\x01", "\x0a\x02\x08\xff", "\x0d1234\x0a\x02\x08\x00", strings.Repeat("\x0a\x02\x08\x00", 1<<16)} {
		c := tracetest.Start(t)
		c.Instead(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = io.WriteString(w, answer)
			return true
		})
		if s, log := send(t, c.URL, 1); s != (trace.Stats{Sent: 1}) {
			t.Errorf("%.20q: %+v, %s", answer, s, log)
		}
	}
}

func TestAWrongEnvironmentIsSaid(t *testing.T) {
	const secret = "Bearer-abc"
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":           "collector:4317",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":    "http://",
		"OTEL_EXPORTER_OTLP_HEADERS":            secret,
		"OTEL_EXPORTER_OTLP_COMPRESSION":        "zstd",
		"OTEL_EXPORTER_OTLP_TIMEOUT":            "soon",
		"OTEL_EXPORTER_OTLP_CERTIFICATE":        "/nowhere.pem",
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/nowhere.pem",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			_, err := trace.Open(t.Context(), trace.Options{Ratio: 1})
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v", err)
			}
		})
	}
}
