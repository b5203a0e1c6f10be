// Package telemetry takes what game servers measure: StatsD over UDP and the crash reports
// of Amazon's server SDKs, as the OpenTelemetry collector takes them that Amazon gives to
// managed fleets. It labels each value with the fleet, the location and the instance of the
// process that sent it, adds what the machine and the processes use, and serves all of it
// for Prometheus by the names that Amazon's Grafana dashboards query (hosting.md 7). It
// knows nothing of how processes are run; who runs them tells it.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Process is a game server whose telemetry is expected.
type Process struct {
	ID           string // GAMELIFT_SDK_PROCESS_ID
	PID          int    // of the OS
	Fleet        string
	Location     string
	Instance     string
	InstanceType string
}

// Server is one host's telemetry. The zero value works once Listen was called.
type Server struct {
	Logger  *slog.Logger
	Host    string // name of the machine
	Version string // of the agent
	Disk    string // a folder on the file system whose use is reported
	// GroupOf is the process group of a process, which is the PID of a Process; nil without
	// such groups. It finds the game of a child that reports.
	GroupOf func(pid int) int
	// Beacon counts the datagrams of the machine's ping beacon by what became of them; nil
	// without a beacon.
	Beacon func() map[string]int64

	mu        sync.Mutex
	processes map[string]*known
	byPID     map[int]*known
	series    map[string]*series // by process, name and tags
	counts    map[string]int     // series of a process
	kinds     map[string]*named
	dropped   map[string]float64 // lines, by reason
	lines     float64
	ends      map[[2]string]float64 // processes, by fleet and reason
	crashes   []crash
	strangers map[int]*stranger // registered for crash reports by somebody unknown
	connected bool

	statsd  net.PacketConn
	crash   net.Listener
	work    sync.WaitGroup
	closers []func()
}

// known is a Process and the game session it hosts.
type known struct {
	Process
	session string
}

// Listen begins to listen at the addresses; "" is off. Ports that another program has,
// perhaps a second agent, are done without; only metrics must be had.
func (s *Server) Listen(ctx context.Context, statsd, crashReports, metrics string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	s.init()
	var config net.ListenConfig
	if statsd != "" {
		conn, err := low(func() (net.PacketConn, error) { return config.ListenPacket(ctx, "udp", statsd) }, net.PacketConn.LocalAddr)
		if err != nil {
			s.Logger.Warn("no StatsD here", slog.Any("error", err))
		} else {
			s.statsd = conn
			s.closers = append(s.closers, func() { _ = conn.Close() })
			s.work.Go(func() { s.receive(conn) })
		}
	}
	if crashReports != "" {
		l, err := low(func() (net.Listener, error) { return config.Listen(ctx, "tcp", crashReports) }, net.Listener.Addr)
		if err != nil {
			s.Logger.Warn("no crash reports here", slog.Any("error", err))
		} else {
			s.crash = l
			s.serve(l, http.HandlerFunc(s.crashReport))
			done := make(chan struct{})
			s.closers = append(s.closers, func() { close(done) })
			s.work.Go(func() { s.lookAfterStrangers(done) })
		}
	}
	if metrics != "" {
		l, err := config.Listen(ctx, "tcp", metrics)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", s.Handler())
		s.serve(l, mux)
		s.Logger.Info("metrics are served", slog.String("address", l.Addr().String()))
	}
	return nil
}

// highestPort is the last that the server SDKs take for telemetry.
const highestPort = 60000

// low listens, again if the system's choice of a port is too high for the SDKs.
func low[L io.Closer](listen func() (L, error), at func(L) net.Addr) (l L, err error) {
	for range 100 {
		if l, err = listen(); err != nil {
			return l, err
		}
		if a, _ := netip.ParseAddrPort(at(l).String()); a.Port() <= highestPort {
			return l, nil
		}
		_ = l.Close()
	}
	return l, fmt.Errorf("the server SDKs take ports up to %d only", highestPort)
}

func (s *Server) init() {
	if s.processes == nil {
		s.processes, s.byPID, s.series, s.counts = map[string]*known{}, map[int]*known{}, map[string]*series{}, map[string]int{}
		s.kinds, s.dropped, s.ends, s.strangers = map[string]*named{}, map[string]float64{}, map[[2]string]float64{}, map[int]*stranger{}
	}
}

func (s *Server) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	s.closers = append(s.closers, func() { _ = server.Close() })
	s.work.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.Logger.Error("telemetry listener ended", slog.Any("error", err))
		}
	})
}

// Close ends all listening.
func (s *Server) Close() {
	s.mu.Lock()
	closers := s.closers
	s.closers = nil
	s.mu.Unlock()
	for _, c := range closers {
		c()
	}
	s.work.Wait()
}

// StatsD is where games send StatsD, "" when that is off.
func (s *Server) StatsD() (host, port string) {
	if s.statsd == nil {
		return "", ""
	}
	return reachable(s.statsd.LocalAddr())
}

// CrashReports is where games register for crash reports, "" when that is off.
func (s *Server) CrashReports() (host, port string) {
	if s.crash == nil {
		return "", ""
	}
	return reachable(s.crash.Addr())
}

func reachable(a net.Addr) (host, port string) {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "", ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return host, port
}

// Add expects telemetry of a process.
func (s *Server) Add(p Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	k := &known{Process: p}
	s.processes[p.ID], s.byPID[p.PID] = k, k
}

// Hosting says that a process hosts a game session.
func (s *Server) Hosting(process, session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.processes[process]; k != nil {
		k.session = session
	}
}

// Remove forgets a process that ended, and what it measured.
func (s *Server) Remove(process, reason string, crashed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.processes[process]
	if k == nil {
		return
	}
	delete(s.processes, process)
	if s.byPID[k.PID] == k {
		delete(s.byPID, k.PID)
	}
	s.forgetSeries(process)
	if at := [2]string{k.Fleet, reason}; len(s.ends) < mostCrashes || s.ends[at] > 0 {
		s.ends[at]++
	}
	if crashed {
		s.crashed(k, k.PID)
	}
}

// Connected says whether the control plane is there.
func (s *Server) Connected(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected = yes
}

// receive takes packets until the connection is closed.
func (s *Server) receive(conn net.PacketConn) {
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			s.packet(string(buffer[:n]))
		}
	}
}

// packet takes a datagram: any number of lines.
func (s *Server) packet(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		s.lines++
		switch {
		case strings.HasPrefix(line, "datadog."): // what the client says of itself
			s.dropped["client"]++
		case strings.HasPrefix(line, "_e{"), strings.HasPrefix(line, "_sc|"):
			s.dropped["event"]++
		case !parse(line, s.put):
			s.dropped["malformed"]++
		}
	}
}

// Handler answers Prometheus.
func (s *Server) Handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(s)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4})
}
