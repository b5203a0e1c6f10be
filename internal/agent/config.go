package agent

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"
)

// Config is what an agent needs to know. Server, Token, Data and Capacity must be given.
type Config struct {
	// Server is the control plane's URL, http or https; the agent dials hostmsg.Path there.
	Server string
	// Token is the host's secret.
	Token string
	// Name is the host's name, which it keeps across restarts. Default: the machine's.
	Name string
	// Location is the fleet location the host serves; "" is the server's home region.
	Location string
	// Address is where players reach the host's game servers, DNSName what stands beside it.
	Address, DNSName string
	// Beacon is where the host's UDP ping beacon listens, HOST:PORT or BeaconAuto; "" is none.
	// BeaconAddress is where clients reach it, HOST:PORT. Default: DNSName or Address, and the
	// port listened on.
	Beacon, BeaconAddress string
	// Capacity is how many instances the host takes.
	Capacity int
	// Data is the folder for builds, instances and state. One agent uses it at a time.
	Data string
	// FirstPort and LastPort are the range {port} and MATCHYARD_PORT are taken from.
	// Default: 20000 to 29999. The server SDKs take ports up to 60000.
	FirstPort, LastPort int
	// User is the OS user games and install scripts run as; needs root. Default: the agent's.
	User string
	// Limits are those of each process.
	Limits Limits
	// Cgroup is "auto" (the agent's own cgroup, if it may make others in it), "off", or the
	// folder of a cgroup v2 to use.
	Cgroup string
	// CacheSize bounds the kept build archives, in bytes. Default: 20 GiB.
	CacheSize int64
	// LogSize is where a process's output file is rotated. Default: 16 MiB; one is kept.
	LogSize int64
	// SessionLogSize bounds the files of one game session's log archive before they are
	// compressed; of a longer file the end is kept. Default: 64 MiB.
	SessionLogSize int64
	// Drain says what the end of Run's context does. Without it games go on, and the next
	// agent adopts them. With it no new processes are launched, and Run returns when the
	// games have ended; those that run after DrainGrace are killed.
	Drain      bool
	DrainGrace time.Duration
	// StatsD and CrashReports are addresses at which the server SDK's telemetry is taken,
	// Metrics where Prometheus fetches it. "" is off.
	StatsD, CrashReports, Metrics string
	// TLS is for https servers; nil is the system's.
	TLS *tls.Config
	// Times are for tests.
	Times  Times
	Logger *slog.Logger
	// Version is the agent's.
	Version string
}

// Times are an agent's patience; zero is the default behind each.
type Times struct {
	Init          time.Duration // launch to dial, while the server is there; 5 min (protocol 5)
	Exit          time.Duration // ProcessEnding to exit; 30 s (protocol 5)
	Install       time.Duration // of the install script; 15 min
	Fetch         time.Duration // of a build; 30 min
	PauseMost     time.Duration // between launches at first; 3 s (hosting.md 2.8)
	PauseLeast    time.Duration // between launches while they succeed; 1 s
	Short         time.Duration // a process that ended sooner crashed fast; 10 s
	RestartFirst  time.Duration // pause after a fast crash, which doubles; 1 s
	RestartMost   time.Duration // 1 min
	RedialFirst   time.Duration // pause after a failed dial, which doubles, with jitter; 500 ms
	RedialMost    time.Duration // 30 s
	Alive         time.Duration // between reports that the host lives; 20 s
	Silence       time.Duration // a socket without a frame for so long is given up; 60 s
	UploadRetry   time.Duration // pause after a failed upload, which doubles; 2 s
	TerminateLate time.Duration // from the terminate signal of a drain to the kill; 10 s
}

// Values of Config.Cgroup.
const (
	cgroupAuto = "auto"
	cgroupOff  = "off"
)

// withDefaults checks a configuration and fills in what is not given.
func (c Config) withDefaults() (Config, error) {
	u, err := url.Parse(c.Server)
	switch {
	case err != nil:
		return c, fmt.Errorf("server: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return c, fmt.Errorf("server: %q is no http or https URL", c.Server)
	case c.Token == "":
		return c, errors.New("token: missing")
	case strings.ContainsAny(c.Token, " \r\n\t"):
		return c, errors.New("token: has white space")
	case c.Data == "":
		return c, errors.New("data: missing")
	case c.Capacity < 1:
		return c, errors.New("capacity: at least 1")
	}
	if c.Name == "" {
		if c.Name, err = os.Hostname(); err != nil {
			return c, fmt.Errorf("name: %w", err)
		}
	}
	c.FirstPort, c.LastPort = cmp.Or(c.FirstPort, 20000), cmp.Or(c.LastPort, 29999)
	if c.FirstPort < 1024 || c.LastPort > 65535 || c.FirstPort > c.LastPort {
		return c, fmt.Errorf("ports: %d-%d is no range within 1024-65535", c.FirstPort, c.LastPort)
	}
	if _, _, err := net.SplitHostPort(c.BeaconAddress); err != nil && c.BeaconAddress != "" {
		return c, fmt.Errorf("beacon-address: %w", err)
	}
	c.Address = cmp.Or(c.Address, "127.0.0.1")
	c.Cgroup = cmp.Or(c.Cgroup, cgroupAuto)
	c.CacheSize = cmp.Or(c.CacheSize, 20<<30)
	c.LogSize = cmp.Or(c.LogSize, 16<<20)
	c.SessionLogSize = cmp.Or(c.SessionLogSize, 64<<20)
	c.Times = c.Times.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func (t Times) withDefaults() Times {
	for _, d := range []struct {
		is    *time.Duration
		usual time.Duration
	}{
		{&t.Init, 5 * time.Minute},
		{&t.Exit, 30 * time.Second},
		{&t.Install, 15 * time.Minute},
		{&t.Fetch, 30 * time.Minute},
		{&t.PauseMost, 3 * time.Second},
		{&t.PauseLeast, time.Second},
		{&t.Short, 10 * time.Second},
		{&t.RestartFirst, time.Second},
		{&t.RestartMost, time.Minute},
		{&t.RedialFirst, 500 * time.Millisecond},
		{&t.RedialMost, 30 * time.Second},
		{&t.Alive, 20 * time.Second},
		{&t.Silence, time.Minute},
		{&t.UploadRetry, 2 * time.Second},
		{&t.TerminateLate, 10 * time.Second},
	} {
		if *d.is == 0 {
			*d.is = d.usual
		}
	}
	return t
}

// system is the OS an agent tells the server.
func system() string {
	if runtime.GOOS == "windows" {
		return "windows"
	}
	return "linux"
}
