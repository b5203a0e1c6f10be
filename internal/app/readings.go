package app

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
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

// readings are the gauges of fleets and queues, all of one instant (hosting.md 7). Every node
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
	loads, err := r.computes.LoadTx(tx, f)
	if err != nil {
		return nil, err
	}
	places, err := r.fleets.PlacesTx(tx, f)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		at := arn.Location(*p.Location)
		add := func(name string, value float64) {
			list = append(list, metrics.Reading{Name: "gamelift_" + name, Value: value, Labels: []string{string(f.ID), string(at)}})
		}
		counts, err := r.sessions.CountTx(tx, f.ID, at)
		if err != nil {
			return nil, err
		}
		l := loads[at]
		processes := l.Free + l.Unhealthy + l.Activating + l.Active
		add("active_server_processes", float64(processes))
		add("healthy_server_processes", float64(processes-l.Unhealthy))
		if processes > 0 {
			add("percent_healthy_server_processes", 100*float64(processes-l.Unhealthy)/float64(processes))
			add("percent_available_game_sessions", 100*float64(l.Free)/float64(processes))
		}
		add("activating_game_sessions", float64(l.Activating))
		add("active_game_sessions", float64(counts.GameSessions))
		add("available_game_sessions", float64(l.Free))
		add("concurrent_activatable_game_sessions", float64(l.Activatable))
		add("current_player_sessions", float64(counts.Players))
		add("available_player_sessions", float64(counts.MaxPlayers-counts.Players))
		if f.ComputeType != types.ComputeTypeEc2 {
			continue
		}
		instances, err := r.hosts.InstancesTx(tx, f.ID, at)
		if err != nil {
			return nil, err
		}
		capacity, err := r.fleets.CapacityTx(tx, f.ID, at)
		if err != nil {
			return nil, err
		}
		add("active_instances", float64(instances.Active))
		add("idle_instances", float64(instances.Idle))
		add("pending_instances", float64(instances.Pending))
		add("desired_instances", float64(capacity.Desired))
		add("min_instances", float64(capacity.Min))
		add("max_instances", float64(capacity.Max))
		if instances.Active > 0 {
			add("percent_idle_instances", 100*float64(instances.Idle)/float64(instances.Active))
		}
	}
	return list, nil
}
