package app

import (
	"context"
	"strings"

	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/sigv4"
	"github.com/matchyard/matchyard/internal/webhook"
)

// openEvents makes the sinks of events ready, and fits them to the rooms' log. Whoever
// fetches events from a queue signs as for any other request; the rest of its policy are
// names as "sqs:ReceiveMessage".
func (a *App) openEvents(ctx context.Context) error {
	a.rooms.events.Route = webhook.Route(a.config.Sinks, a.config.Targets)
	a.events = &webhook.Server{
		DB: a.db, Log: &a.rooms.events, Home: a.rooms.events.Home, Sinks: a.config.Sinks,
		Endpoint: a.webEndpoint, Manual: a.clock.manual, Logger: a.logger, Trace: a.traces,
	}
	if a.signed != nil {
		s := &awsapi.Signed{
			Keys: a.keys, Verifier: &sigv4.Verifier{Services: []string{webhook.SigningName}, Region: a.config.Region}, Logger: a.logger,
		}
		a.events.Auth, a.events.Authorize = s, s.Authorize
	}
	if err := a.events.Open(ctx); err != nil {
		return err
	}
	// Last, so that one instant's events leave with it.
	a.duties = append(a.duties, duty{name: "webhook", tick: a.events.Tick, due: a.events.Due})
	for _, c := range []struct {
		name, help string
		pick       func(webhook.Stats) int64
	}{
		{"delivered", "Events that sinks were sent and have.", func(s webhook.Stats) int64 { return s.Delivered }},
		{"failed", "Tries to send an event that failed. They are repeated.", func(s webhook.Stats) int64 { return s.Failures }},
		{"dead", "Events given up; /events/dead has them.", func(s webhook.Stats) int64 { return s.Dead }},
	} {
		a.metrics.Counter("matchyard_events_"+c.name+"_total", c.help, func() float64 { return float64(c.pick(a.events.Stats())) })
	}
	return nil
}

// webEndpoint is the URL of the API for those outside: that which game servers dial.
func (a *App) webEndpoint() string {
	return "http" + strings.TrimPrefix(a.Endpoint(), "ws")
}
