package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/webhook"
)

// BenchmarkDelivery is the whole way of an event: 64 callers append, each in a transaction
// of its own, and a receiver on this machine gets them.
func BenchmarkDelivery(b *testing.B) {
	for _, database := range []string{"sqlite", "postgres"} {
		for _, sinks := range [][]webhook.Sink{nil, {{Name: "hook"}}} {
			b.Run(fmt.Sprintf("%s/sinks=%d", database, len(sinks)), func(b *testing.B) {
				url := "sqlite:" + b.TempDir() + "/db"
				if database == "postgres" {
					url = storetest.PostgresURL(b)
				}
				deliver(b, storetest.Open(b, url, time.Now), sinks)
			})
		}
	}
}

func deliver(b *testing.B, db *store.DB, sinks []webhook.Sink) {
	var got atomic.Int64
	all := make(chan struct{})
	want := int64(b.N * len(sinks))
	r := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if got.Add(1) == want {
			close(all)
		}
	}))
	defer r.Close()
	for i := range sinks {
		sinks[i] = hook(r.URL)
	}
	l := &event.Log{DB: db, Home: home, Route: webhook.Route(sinks, nil)}
	s := &webhook.Server{DB: db, Home: home, Sinks: sinks, Log: l}
	if err := s.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	defer running.Wait()
	defer cancel()
	b.ResetTimer()
	var next atomic.Int64
	var callers sync.WaitGroup
	for range 64 {
		callers.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := db.Write(ctx, func(tx *store.Tx) error {
					return l.AppendTx(tx, event.Event{Type: eventType, Order: fmt.Sprint("placement/", i), Detail: detail{"PlacementFulfilled", fmt.Sprint(i)}})
				}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	callers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appended/s")
	if want > 0 {
		<-all
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "delivered/s")
	}
}
