// Package metrics is the edge that counts, for Prometheus: requests, ticks, the store, and
// what others let it read. It knows no room; whoever has something to count tells it.
package metrics

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is what one server counts. Make it with New.
type Metrics struct {
	registry *prometheus.Registry
	domain   *domain

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	seen     sync.Map // of request to *counted, which saves the search by labels

	ticks      *prometheus.HistogramVec
	tickErrors *prometheus.CounterVec
	store      *prometheus.HistogramVec
}

type request struct{ operation, protocol, code string }

type counted struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// seconds are the bounds of the histograms: from a read in memory to a request that is
// given up.
var seconds = []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}

// New makes the counters of a server of that version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "matchyard_requests_total",
			Help: "API requests answered, by operation, protocol, and OK or the error's code.",
		}, []string{"operation", "protocol", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "matchyard_request_seconds",
			Help:    "Time from a request's header to its answer, by operation and protocol.",
			Buckets: seconds,
		}, []string{"operation", "protocol"}),
		ticks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "matchyard_tick_seconds",
			Help:    "Time a room's background sweep took.",
			Buckets: seconds,
		}, []string{"room"}),
		tickErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "matchyard_tick_errors_total",
			Help: "Background sweeps that failed, by room. They are repeated.",
		}, []string{"room"}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "matchyard_store_probe_seconds",
			Help:    "Time of the small read of a readiness check, and of the small durable write that keeps the lease.",
			Buckets: seconds,
		}, []string{"kind"}),
	}
	m.domain = newDomain(m.registry)
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "matchyard_info", Help: "1, with the server's version.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.ticks, m.tickErrors, m.store, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Request counts an answered request; it has the form of awsapi.Server.Observe. An unknown
// operation is "".
func (m *Metrics) Request(operation, protocol, code string, d time.Duration) {
	key := request{operation, protocol, code}
	have, ok := m.seen.Load(key)
	if !ok {
		// Two at once make the same two counters.
		have, _ = m.seen.LoadOrStore(key, &counted{
			requests: m.requests.WithLabelValues(operation, protocol, code),
			duration: m.duration.WithLabelValues(operation, protocol),
		})
	}
	c := have.(*counted)
	c.requests.Inc()
	c.duration.Observe(d.Seconds())
}

// Tick counts a run of a room's sweep.
func (m *Metrics) Tick(room string, d time.Duration, err error) {
	m.ticks.WithLabelValues(room).Observe(d.Seconds())
	if err != nil {
		m.tickErrors.WithLabelValues(room).Inc()
	}
}

// StoreRead counts a small read of the database.
func (m *Metrics) StoreRead(d time.Duration) { m.store.WithLabelValues("read").Observe(d.Seconds()) }

// StoreWrite counts a small durable write.
func (m *Metrics) StoreWrite(d time.Duration) { m.store.WithLabelValues("write").Observe(d.Seconds()) }

// Gauge shows a number that read returns whenever somebody looks.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Counter shows a number that only grows and that read returns whenever somebody looks.
func (m *Metrics) Counter(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Handler shows everything in Prometheus's text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Names are the series that New declares, without the ends of histograms.
func Names() []string {
	names := []string{
		"matchyard_requests_total", "matchyard_request_seconds", "matchyard_tick_seconds", "matchyard_tick_errors_total",
		"matchyard_store_probe_seconds", "matchyard_info",
	}
	for _, s := range catalogue {
		names = append(names, s.name)
	}
	return names
}
