package app

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/metrics"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	// readingTime is how long the gauges of a scrape may take to be read.
	readingTime = 5 * time.Second
	// mostRead is how many fleets are read. Who has more looks at them in the database.
	mostRead = 1000
)

// readings are the gauges of fleets, hosts and queues, all of one instant (hosting.md 7). Every node
// reads the same, so that a sum over nodes is wrong and a maximum is right.
func (a *App) readings() (list []metrics.Reading, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), readingTime)
	defer cancel()
	err = a.db.Read(ctx, func(tx *store.Tx) error {
		list = nil
		fleets, err := a.rooms.fleets.AllTx(tx, mostRead)
		if err != nil {
			return err
		}
		for _, f := range fleets {
			of, err := a.rooms.fleetReadings(tx, f)
			if err != nil {
				return err
			}
			list = append(list, of...)
		}
		lost, err := a.rooms.hosts.LostTx(tx)
		if err != nil {
			return err
		}
		for at, n := range lost {
			list = append(list, metrics.Reading{Name: "matchyard_lost_hosts", Value: float64(n), Labels: []string{string(at)}})
		}
		pending, err := a.rooms.placements.PendingTx(tx)
		for _, q := range pending {
			list = append(list,
				metrics.Reading{Name: "gamelift_queue_depth", Value: float64(q.Count), Labels: []string{q.Queue}},
				metrics.Reading{Name: "gamelift_average_wait_time", Value: q.MeanAge.Seconds(), Labels: []string{q.Queue}})
		}
		if err != nil {
			return err
		}
		tickets, err := a.rooms.matches.LiveTx(tx)
		for _, c := range tickets {
			list = append(list, metrics.Reading{Name: "gamelift_current_tickets", Value: float64(c.Tickets), Labels: []string{c.Configuration}})
		}
		return err
	})
	return list, err
}

// fleetReadings are the gauges of a fleet's locations.
func (r *rooms) fleetReadings(tx *store.Tx, f fleet.Fleet) (list []metrics.Reading, err error) {
	samples, err := r.samplesTx(tx, f)
	if err != nil {
		return nil, err
	}
	for _, at := range slices.Sorted(maps.Keys(samples)) {
		s := samples[at]
		add := func(name string, value float64) {
			list = append(list, metrics.Reading{Name: "gamelift_" + name, Value: value, Labels: []string{string(f.ID), string(at)}})
		}
		metric := func(name string, m types.MetricName) {
			value, _ := s.Metric(m)
			add(name, value)
		}
		processes := s.Processes()
		add("active_server_processes", float64(processes))
		add("healthy_server_processes", float64(processes-s.Unhealthy))
		if processes > 0 {
			add("percent_healthy_server_processes", 100*float64(processes-s.Unhealthy)/float64(processes))
			metric("percent_available_game_sessions", types.MetricNamePercentAvailableGameSessions)
		}
		metric("activating_game_sessions", types.MetricNameActivatingGameSessions)
		metric("active_game_sessions", types.MetricNameActiveGameSessions)
		metric("available_game_sessions", types.MetricNameAvailableGameSessions)
		metric("concurrent_activatable_game_sessions", types.MetricNameConcurrentActivatableGameSessions)
		metric("current_player_sessions", types.MetricNameCurrentPlayerSessions)
		metric("available_player_sessions", types.MetricNameAvailablePlayerSessions)
		if f.ComputeType != types.ComputeTypeEc2 {
			continue
		}
		capacity, err := r.fleets.CapacityTx(tx, f.ID, at)
		if err != nil {
			return nil, err
		}
		metric("active_instances", types.MetricNameActiveInstances)
		metric("idle_instances", types.MetricNameIdleInstances)
		add("pending_instances", float64(s.Pending))
		add("desired_instances", float64(capacity.Desired))
		add("min_instances", float64(capacity.Min))
		add("max_instances", float64(capacity.Max))
		if s.ActiveInstances > 0 {
			metric("percent_idle_instances", types.MetricNamePercentIdleInstances)
		}
	}
	return list, nil
}
