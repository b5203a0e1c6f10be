package metrics_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/metrics"
)

func page(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestWhatIsCountedIsShown(t *testing.T) {
	m := metrics.New("v1")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				m.Request("ListFleets", "json", "OK", 3*time.Millisecond)
			}
		})
	}
	all.Wait()
	m.Request("", "cbor", "UnknownOperationException", time.Millisecond)
	m.Tick("fleet", time.Second, errors.New("no"))
	m.Tick("fleet", time.Second, nil)
	m.StoreRead(time.Millisecond)
	m.StoreWrite(time.Millisecond)
	n := 5.0
	m.Gauge("matchyard_things", "Things.", func() float64 { return n })
	m.Counter("matchyard_deeds_total", "Deeds.", func() float64 { return 2 * n })
	n = 7
	text := page(t, m)
	for _, want := range []string{
		`matchyard_requests_total{code="OK",operation="ListFleets",protocol="json"} 800`,
		`matchyard_request_seconds_bucket{operation="ListFleets",protocol="json",le="0.005"} 800`,
		`matchyard_request_seconds_bucket{operation="ListFleets",protocol="json",le="0.002"} 0`,
		`matchyard_requests_total{code="UnknownOperationException",operation="",protocol="cbor"} 1`,
		`matchyard_tick_seconds_count{room="fleet"} 2`,
		`matchyard_tick_errors_total{room="fleet"} 1`,
		`matchyard_store_probe_seconds_count{kind="read"} 1`,
		`matchyard_store_probe_seconds_count{kind="write"} 1`,
		"matchyard_things 7",
		"matchyard_deeds_total 14",
		`matchyard_info{version="v1"} 1`,
		"process_open_fds",
	} {
		if !strings.Contains(text, want+"\n") && !strings.Contains(text, want+" ") {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	m := metrics.New("v1")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Request("CreatePlayerSession", "cbor", "OK", time.Millisecond)
		}
	})
}
