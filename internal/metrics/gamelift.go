package metrics

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// series is a metric with AWS's CloudWatch name in Prometheus's spelling (hosting.md 7):
// gamelift_ and the name in small letters, its dimensions as labels.
type series struct {
	name, help string
	labels     []string
	kind       kind
}

type kind int

const (
	counter kind = iota
	histogram
	gauge
)

var (
	fleetLabels = []string{"fleet_id", "location"}
	queueLabels = []string{"queue_name"}
	matchLabels = []string{"configuration_name"}
)

// waits are the bounds of times that players wait: 100 ms to 10 minutes.
var waits = []float64{.1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600}

// catalogue is every series of the gamelift_ family, and those of our own that are read with
// it.
var catalogue = []series{
	// Fleets, of each location.
	{"gamelift_active_instances", "Instances that are active, idle ones too.", fleetLabels, gauge},
	{"gamelift_idle_instances", "Active instances without a game session.", fleetLabels, gauge},
	{"gamelift_pending_instances", "Instances that are being started.", fleetLabels, gauge},
	{"gamelift_desired_instances", "Instances that there shall be.", fleetLabels, gauge},
	{"gamelift_min_instances", "Least instances that there shall be.", fleetLabels, gauge},
	{"gamelift_max_instances", "Most instances that there shall be.", fleetLabels, gauge},
	{"gamelift_percent_idle_instances", "Share of the active instances that are idle, 0 to 100.", fleetLabels, gauge},
	{"gamelift_active_server_processes", "Server processes that are ready or host a game session.", fleetLabels, gauge},
	{"gamelift_healthy_server_processes", "Server processes that report good health.", fleetLabels, gauge},
	{"gamelift_percent_healthy_server_processes", "Share of the active processes that are healthy, 0 to 100.", fleetLabels, gauge},
	{"gamelift_activating_game_sessions", "Game sessions that are being started.", fleetLabels, gauge},
	{"gamelift_active_game_sessions", "Game sessions that run.", fleetLabels, gauge},
	{"gamelift_available_game_sessions", "Game sessions that could be started now.", fleetLabels, gauge},
	{"gamelift_percent_available_game_sessions", "Share of the game sessions there could be that are available, 0 to 100.", fleetLabels, gauge},
	{"gamelift_concurrent_activatable_game_sessions", "Game sessions that may be activated at once.", fleetLabels, gauge},
	{"gamelift_current_player_sessions", "Player sessions, active and reserved.", fleetLabels, gauge},
	{"gamelift_available_player_sessions", "Slots of active game sessions that nobody has.", fleetLabels, gauge},
	{"gamelift_server_process_activations_total", "Server processes that became ready.", fleetLabels, counter},
	{"gamelift_server_process_terminations_total", "Server processes that ended.", fleetLabels, counter},
	{"gamelift_server_process_abnormal_terminations_total", "Server processes that ended otherwise than by saying so.", fleetLabels, counter},
	{"gamelift_game_session_interruptions_total", "Game sessions that ended since their process did.", fleetLabels, counter},
	{"gamelift_player_session_activations_total", "Players that joined.", fleetLabels, counter},

	// Queues.
	{"gamelift_queue_depth", "Placements that are pending.", queueLabels, gauge},
	{"gamelift_average_wait_time", "Mean age of the pending placements, in seconds.", queueLabels, gauge},
	{"gamelift_placements_started_total", "Placements that were asked for.", queueLabels, counter},
	{"gamelift_placements_succeeded_total", "Placements that were fulfilled.", queueLabels, counter},
	{"gamelift_placements_failed_total", "Placements that failed.", queueLabels, counter},
	{"gamelift_placements_canceled_total", "Placements that were stopped.", queueLabels, counter},
	{"gamelift_placements_timed_out_total", "Placements that timed out.", queueLabels, counter},
	{"gamelift_placement_wait_seconds", "Time from a placement's start to its fulfilment.", queueLabels, histogram},
	{"gamelift_placement_total", "Placements that were fulfilled, by location.", []string{"queue_name", "location"}, counter},
	{"gamelift_first_choice_not_viable_total", "Placements for which the queue's first destination could not be used.", queueLabels, counter},
	{"gamelift_first_choice_out_of_capacity_total", "Placements whose best place was full.", queueLabels, counter},
	{"gamelift_lowest_latency_placement_total", "Placements in the place of the lowest latency.", queueLabels, counter},
	{"gamelift_lowest_price_placement_total", "Placements in the place of the lowest price.", queueLabels, counter},

	// Matchmaking.
	{"gamelift_current_tickets", "Tickets that wait or are being placed.", matchLabels, gauge},
	{"gamelift_tickets_started_total", "Tickets that were started.", matchLabels, counter},
	{"gamelift_tickets_failed_total", "Tickets that failed.", matchLabels, counter},
	{"gamelift_tickets_timed_out_total", "Tickets that timed out.", matchLabels, counter},
	{"gamelift_players_started_total", "Players in tickets that were started.", matchLabels, counter},
	{"gamelift_matches_created_total", "Matches that were proposed.", matchLabels, counter},
	{"gamelift_matches_accepted_total", "Matches that all players accepted.", matchLabels, counter},
	{"gamelift_matches_rejected_total", "Matches that a player rejected.", matchLabels, counter},
	{"gamelift_match_acceptances_timed_out_total", "Matches that were not accepted in time.", matchLabels, counter},
	{"gamelift_matches_placed_total", "Matches that got their game session.", matchLabels, counter},
	{"gamelift_time_to_match_seconds", "Time from a ticket's start to its match.", matchLabels, histogram},
	{"gamelift_time_to_ticket_success_seconds", "Time from a ticket's start to its completion.", matchLabels, histogram},
	{"gamelift_time_to_ticket_cancel_seconds", "Time from a ticket's start to its cancellation.", matchLabels, histogram},
	{"gamelift_rule_evaluations_passed_total", "Evaluations of a rule that passed.", []string{"configuration_name", "rule_name"}, counter},
	{"gamelift_rule_evaluations_failed_total", "Evaluations of a rule that failed.", []string{"configuration_name", "rule_name"}, counter},
	// Hosts.
	{"matchyard_lost_hosts", "Hosts that are silent for too long, until they come back or are forgotten.", []string{"location"}, gauge},
}

// domain is the gamelift_ family of a server.
type domain struct {
	counters   map[string]*prometheus.CounterVec
	histograms map[string]*prometheus.HistogramVec
	gauges     map[string]*prometheus.Desc
}

func newDomain(r *prometheus.Registry) *domain {
	d := &domain{map[string]*prometheus.CounterVec{}, map[string]*prometheus.HistogramVec{}, map[string]*prometheus.Desc{}}
	for _, s := range catalogue {
		switch s.kind {
		case counter:
			d.counters[s.name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.name, Help: s.help}, s.labels)
			r.MustRegister(d.counters[s.name])
		case histogram:
			d.histograms[s.name] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: s.name, Help: s.help, Buckets: waits}, s.labels)
			r.MustRegister(d.histograms[s.name])
		case gauge:
			d.gauges[s.name] = prometheus.NewDesc(s.name, s.help, s.labels, nil)
		}
	}
	return d
}

// Count adds to a counter of the gamelift_ family, or gives a histogram a value; it has the
// form of store.Options.Counted. A series that is not in the catalogue is a fault of the
// program and panics.
func (m *Metrics) Count(name string, value float64, labels []string) {
	if c, ok := m.domain.counters[name]; ok {
		c.WithLabelValues(labels...).Add(value)
		return
	}
	if h, ok := m.domain.histograms[name]; ok {
		h.WithLabelValues(labels...).Observe(value)
		return
	}
	panic(fmt.Sprintf("metrics: nothing counts %s", name))
}

// Reading is the value of a gauge at one instant.
type Reading struct {
	Name   string
	Value  float64
	Labels []string
}

// freshFor is how long what was read is shown again: whoever asks often must not keep the
// database busy.
const freshFor = 5 * time.Second

// Watch lets the gauges of the gamelift_ family be read whenever somebody looks, at most
// every five seconds. When read fails, they are left out.
func (m *Metrics) Watch(read func() ([]Reading, error)) {
	m.registry.MustRegister(&watcher{gauges: m.domain.gauges, read: read})
}

type watcher struct {
	gauges map[string]*prometheus.Desc
	read   func() ([]Reading, error)

	mu   sync.Mutex
	at   time.Time
	last []Reading
}

// Describe lists the gauges.
func (w *watcher) Describe(to chan<- *prometheus.Desc) {
	for _, d := range w.gauges {
		to <- d
	}
}

// Collect reads them.
func (w *watcher) Collect(to chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at) >= freshFor {
		readings, err := w.read()
		if err != nil {
			readings = nil
		}
		w.at, w.last = time.Now(), readings
	}
	for _, r := range w.last {
		to <- prometheus.MustNewConstMetric(w.gauges[r.Name], prometheus.GaugeValue, r.Value, r.Labels...)
	}
}
