// Package app is the wiring: a configuration in, a running server out, and its ordered end.
// It is the only package that knows all rooms and all edges. operations.go is the index
// page of the API, rooms.go fits the rooms together, ticks.go runs what is due.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/beacon"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/console"
	"github.com/matchyard/matchyard/internal/depot"
	"github.com/matchyard/matchyard/internal/gateway"
	"github.com/matchyard/matchyard/internal/listen"
	"github.com/matchyard/matchyard/internal/metrics"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/trace"
	"github.com/matchyard/matchyard/internal/webhook"
)

// drain is how long a server that was told to stop waits for what is under way. With what
// follows it, it stays within ten seconds.
const drain = 8 * time.Second

// App is a server. Open makes one, Serve runs it and closes it.
type App struct {
	config config.Config
	logger *slog.Logger
	clock  *Clock
	db     *store.DB
	rooms  *rooms
	duties []duty

	matchmaker *matchmaker

	metrics  *metrics.Metrics
	traces   *trace.Tracer // nil when there are none
	sweeping sync.Mutex    // held while ticks run
	faults   faults        // of a development server
	draining atomic.Bool

	beacon   *beacon.Server // nil when there is none
	depot    *depot.Server
	closers  []func() error // of the places of files
	events   *webhook.Server
	console  *console.Server
	gateway  *gateway.Server
	listener *listen.Listener
	server   *http.Server
	admin    net.Listener // nil when there is none
	adminSrv *http.Server

	// What a server in production has besides.
	keys      *access.Service
	signed    *awsapi.Signed
	root      *access.Credentials // of a root key that was made at this start
	keySocket net.Listener        // nil when there is none
}

// Open opens the database and binds the addresses of a valid configuration. Nothing is
// answered before Serve. An App that is not served must be closed.
func Open(ctx context.Context, c config.Config) (*App, error) {
	a := &App{config: c, logger: c.Logger, clock: newClock(c.Clock == config.Manual)}
	if a.logger == nil {
		a.logger = slog.Default()
	}
	if err := a.open(ctx); err != nil {
		return nil, errors.Join(err, a.release())
	}
	return a, nil
}

func (a *App) open(ctx context.Context) error {
	certificate, err := a.certificate()
	if err != nil {
		return err
	}
	// The addresses come before the database: a clash of ports is what most starts fail of.
	inner, err := bind(ctx, "listen", a.config.Listen)
	if err != nil {
		return err
	}
	tlsConfig := listen.TLS(certificate)
	a.listener = listen.New(inner, listen.Options{TLS: tlsConfig})
	if a.config.Admin != config.Off {
		if a.admin, err = bind(ctx, "admin", a.config.Admin); err != nil {
			return err
		}
	}
	a.metrics = metrics.New(a.config.Version)
	if err := a.openTraces(ctx); err != nil {
		return err
	}
	options := store.Options{Now: a.clock.Now, Logger: a.logger, Counted: a.metrics.Count}
	if a.traces != nil {
		options.Trace = a.traces.Transaction
	}
	if a.db, err = store.Open(ctx, a.config.StoreURL(), options); err != nil {
		return err
	}
	a.rooms = wire(a.db, a.config, a.Endpoint)
	a.duties = a.rooms.duties()
	a.matchmaker = newMatchmaker(&a.rooms.matches, a.clock.manual, a.logger, a.traces)
	a.rooms.matches.Wake = a.matchmaker.wake
	a.metrics.Watch(a.readings)
	if err := a.openBeacon(); err != nil {
		return err
	}
	a.console = a.newConsole()
	api := &awsapi.Server{Operations: operations(a.rooms), Logger: a.logger, Observe: a.observe, Failed: a.console.Failed, Trace: a.traces}
	if err := a.guard(ctx, api); err != nil {
		return err
	}
	a.guardConsole()
	if err := a.openDepot(ctx); err != nil {
		return err
	}
	if err := a.openEvents(ctx); err != nil {
		return err
	}
	a.openKeySocket(ctx)
	a.gateway = &gateway.Server{
		Computes: &a.rooms.computes, Sessions: &a.rooms.sessions, Matches: &a.rooms.matches, Hosts: &a.rooms.hosts, DB: a.db, Logger: a.logger, Trace: a.traces, Dev: a.config.Dev,
	}
	if a.signed != nil {
		a.gateway.VerifySigV4 = a.verifyDial
	}
	a.showSockets()
	a.server = listen.Server(listen.Split(a.files(a.logs(api, a.identities(a.events.Handler(api), api.Throttle))), awsapi.WithOrigin(a.gateway)), tlsConfig, a.logger)
	a.adminSrv = adminServer(a.adminHandler(), a.logger)
	return nil
}

// showSockets lets the metrics read the gateway's numbers.
func (a *App) showSockets() {
	read := func(pick func(gateway.Stats) float64) func() float64 {
		return func() float64 { return pick(a.gateway.Stats()) }
	}
	a.metrics.Gauge("matchyard_sockets", "Sockets of game servers that are open.",
		read(func(s gateway.Stats) float64 { return float64(s.Sockets) }))
	a.metrics.Gauge("matchyard_hosts", "Hosts whose agents are connected.",
		read(func(s gateway.Stats) float64 { return float64(s.Hosts) }))
	a.metrics.Gauge("matchyard_agents", "Agents of AWS's own kind that are connected.",
		read(func(s gateway.Stats) float64 { return float64(s.Agents) }))
	for _, c := range []struct {
		name, help string
		pick       func(gateway.Stats) int64
	}{
		{"accepted", "Sockets of game servers that were accepted.", func(s gateway.Stats) int64 { return s.Accepted }},
		{"refused", "Sockets of game servers that were refused.", func(s gateway.Stats) int64 { return s.Refused }},
		{"dropped", "Sockets closed for being slow, silent or wrong.", func(s gateway.Stats) int64 { return s.Dropped }},
		{"messages", "Messages of game servers.", func(s gateway.Stats) int64 { return s.Requests }},
		{"failed", "Messages of game servers answered with an error.", func(s gateway.Stats) int64 { return s.Failed }},
		{"pushes", "Messages sent to game servers that are no answers.", func(s gateway.Stats) int64 { return s.Pushes }},
		{"unhealthy", "Processes ended for lack of health.", func(s gateway.Stats) int64 { return s.Unhealthy }},
	} {
		a.metrics.Counter("matchyard_socket_"+c.name+"_total", c.help, read(func(s gateway.Stats) float64 { return float64(c.pick(s)) }))
	}
}

// bind listens on an address, which field of the configuration names.
func bind(ctx context.Context, field, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return l, nil
}

// certificate is the user's, or one of the server's own.
func (a *App) certificate() (*listen.Certificate, error) {
	dir := a.config.Folder()
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	if a.config.TLSCert != "" {
		return listen.FromFiles(a.config.TLSCert, a.config.TLSKey, a.logger)
	}
	hosts := a.config.TLSHosts
	for _, address := range []string{a.config.Listen, hostOf(a.config.Advertise)} {
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" && !unspecified(host) {
			hosts = append(slices.Clip(hosts), host)
		}
	}
	return listen.Own(dir, hosts)
}

// hostOf is the HOST:PORT or HOST of an advertised address.
func hostOf(advertise string) string {
	_, rest, found := strings.Cut(advertise, "://")
	if !found {
		return advertise
	}
	host, _, _ := strings.Cut(rest, "/")
	if _, _, err := net.SplitHostPort(host); err != nil {
		return net.JoinHostPort(host, "443")
	}
	return host
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

// Addr is the address of the API, as HOST:PORT.
func (a *App) Addr() string { return a.listener.Addr().String() }

// AdminAddr is the admin address, or "" when there is none.
func (a *App) AdminAddr() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.Addr().String()
}

// Endpoint is the URL that game servers are told to dial.
func (a *App) Endpoint() string {
	switch {
	case strings.Contains(a.config.Advertise, "://"):
		return strings.TrimSuffix(a.config.Advertise, "/")
	case a.config.Advertise != "":
		return "ws://" + a.config.Advertise
	}
	host, port, err := net.SplitHostPort(a.Addr())
	if err == nil && unspecified(host) {
		// Nobody can dial "any address"; the machine's name is the best guess.
		if name, err := os.Hostname(); err == nil {
			return "ws://" + net.JoinHostPort(name, port)
		}
	}
	return "ws://" + a.Addr()
}

// Root is the root key that was made at this start, to be shown once; nil at all others.
func (a *App) Root() *access.Credentials { return a.root }

// Now is the server's time.
func (a *App) Now() time.Time { return a.clock.Now() }

// Serve answers until ctx ends or a listener fails, and then closes everything, in order: no
// more connections, game servers are told to connect again, what is under way finishes, the
// database. It returns nil when that took
// less than ten seconds and nothing was cut off. ready is called once requests are
// answered; it may be nil.
func (a *App) Serve(ctx context.Context, ready func()) error {
	// What runs in the background outlives ctx: requests that are still answered need it.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	failed := make(chan error, 5)
	running.Go(func() { a.sweep(background) })
	running.Go(func() { newEngine(&a.rooms.placements, a.logger, a.traces).run(background, a.db) })
	running.Go(func() { a.matchmaker.run(background, a.db) })
	running.Go(func() {
		(&scheduler{pass: a.rooms.hosts.Pass, logger: a.logger, traces: a.traces}).run(background, a.db)
	})
	running.Go(func() { a.events.Run(background) })
	if a.admin != nil {
		running.Go(func() { a.console.Run(background) })
	}
	running.Go(func() { a.workOnBuilds(background) })
	if a.beacon != nil {
		running.Go(func() {
			if err := a.beacon.Run(background); err != nil {
				failed <- fmt.Errorf("beacon: %w", err)
			}
		})
	}
	running.Go(func() {
		if err := a.gateway.Run(background); err != nil {
			failed <- fmt.Errorf("gateway: %w", err)
		}
	})
	serve := func(name string, s *http.Server, l net.Listener) {
		running.Go(func() {
			if err := s.Serve(l); !a.draining.Load() {
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	serve("listen", a.server, a.listener)
	if a.admin != nil {
		serve("admin", a.adminSrv, a.admin)
	}
	keySrv := adminServer(a.socketHandler(), a.logger)
	if a.keySocket != nil {
		serve("keys", keySrv, a.keySocket)
	}
	hostingCtx, leave := context.WithCancel(ctx)
	defer leave()
	hosting := a.startAgent(hostingCtx)
	if ready != nil {
		ready()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	a.draining.Store(true)
	limit, cancel := context.WithTimeout(background, drain)
	defer cancel()
	_ = keySrv.Close()
	leave()
	select { // while its games can still say goodbye
	case <-hosting:
	case <-time.After(drain / 2):
	}
	err = errors.Join(err, a.finish(limit))
	stop()
	running.Wait()
	return errors.Join(err, a.release())
}

// finish stops accepting, tells game servers to connect again, and waits for what is under
// way until ctx ends; then it cuts it off.
func (a *App) finish(ctx context.Context) error {
	var errs []error
	_ = a.listener.Close()
	a.events.Close()
	if err := a.gateway.Close(ctx); err != nil {
		errs = append(errs, fmt.Errorf("messages of game servers were cut off: %w", err))
	}
	if err := a.server.Shutdown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("requests under way were cut off: %w", err))
		_ = a.server.Close()
	}
	if a.admin != nil {
		// Profiles run for as long as they were asked to. They are not waited for.
		_ = a.adminSrv.Close()
	}
	return errors.Join(errs...)
}

// release gives back what Open took.
func (a *App) release() error {
	var errs []error
	if a.beacon != nil {
		errs = append(errs, a.beacon.Close())
	}
	if a.listener != nil {
		_ = a.listener.Close()
	}
	if a.admin != nil {
		_ = a.admin.Close()
	}
	if a.keySocket != nil {
		_ = os.Remove(filepath.Join(a.config.Folder(), socketName))
		_ = a.keySocket.Close()
	}
	if a.db != nil {
		errs = append(errs, a.db.Close())
	}
	errs = append(errs, a.closeFiles())
	a.closeTraces()
	return errors.Join(errs...)
}

// Close ends an App that was opened and never served.
func (a *App) Close() error { return a.release() }
