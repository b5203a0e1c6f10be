package app

import (
	"context"
	"net/http"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/console"
)

// newConsole makes the page for operators. Who may change something there is set by guard.
func (a *App) newConsole() *console.Server {
	r := a.rooms
	return &console.Server{
		DB: a.db, Home: r.events.Home, Fleets: &r.fleets, Computes: &r.computes, Sessions: &r.sessions, Placements: &r.placements, Events: &r.events,
		Hosts: &r.hosts, Matchmaking: &r.matches, Scaling: &r.scaling,
		Dev: a.config.Dev, Sockets: a.socketCounts, Endpoint: a.webEndpoint, Version: a.config.Version, Logger: a.logger,
		Tail: func(w http.ResponseWriter, r *http.Request, game arn.GameSessionID, check func(ctx context.Context) error) error {
			return a.gateway.ServeTail(w, r, game, check) // which is made after the console
		},
	}
}

// guardConsole lets those sign in who have an access key; what they may is its policy's.
func (a *App) guardConsole() {
	if a.signed == nil {
		return
	}
	a.console.Keys, a.console.Audit = a.keys, a.keys.Audit
	a.console.Authorize = func(ctx context.Context, c console.Caller, operation string, in any) error {
		return a.signed.Authorize(ctx, awsapi.Identity{AccessKeyID: c.Key, Name: c.Name, From: c.From, Secure: c.TLS}, operation, in)
	}
}

// observe counts an answered request for all who count.
func (a *App) observe(operation, protocol, code string, d time.Duration) {
	a.metrics.Request(operation, protocol, code, d)
	a.console.Observe(operation, protocol, code, d)
}

// socketCounts are the gateway's numbers as the console shows them.
func (a *App) socketCounts() map[string]int64 {
	if a.gateway == nil {
		return nil
	}
	s := a.gateway.Stats()
	return map[string]int64{
		"open": int64(s.Sockets), "processes": int64(s.Processes), "hosts": int64(s.Hosts), "agents": int64(s.Agents), "accepted": s.Accepted, "refused": s.Refused,
		"dropped": s.Dropped, "messages": s.Requests, "failed": s.Failed, "pushes": s.Pushes, "returned": s.Returned, "unhealthy": s.Unhealthy,
	}
}
