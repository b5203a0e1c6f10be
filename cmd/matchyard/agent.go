package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/agent"
	"github.com/matchyard/matchyard/internal/config"
)

// agentCmd runs game servers on a host.
type agentCmd struct {
	Server   string `required:"" placeholder:"URL" help:"The server's URL, http or https."`
	Token    string `placeholder:"TOKEN" help:"The host's secret, as the server made it; better in MATCHYARD_TOKEN or --token-file."`
	TokenF   string `name:"token-file" type:"path" placeholder:"FILE" help:"File with the host's secret."`
	Capacity int    `default:"1" placeholder:"N" help:"How many instances the host takes. Default: 1."`
	Name     string `placeholder:"NAME" help:"The host's name, which it keeps. Default: the machine's."`
	Location string `placeholder:"LOCATION" help:"The fleet location the host serves. Default: the server's home region."`
	Address  string `placeholder:"IP" help:"Where players reach the host. Default: 127.0.0.1."`
	DNSName  string `name:"dns-name" placeholder:"NAME" help:"The host's DNS name for players."`
	Beacon   string `default:"auto" placeholder:"HOST:PORT" help:"Where the host's UDP ping beacon listens, auto, or - for none. Default: auto, which is port 7770 of all interfaces (of loopback, when the host's address is), if nothing else has it."`
	BeaconAt string `name:"beacon-address" placeholder:"HOST:PORT" help:"Where clients reach the beacon. Default: the host's DNS name or address, and the port listened on."`
	Data     string `default:"agent" type:"path" placeholder:"DIR" help:"Folder for builds, instances and state. Default: agent."`
	Ports    string `default:"20000-29999" placeholder:"FROM-TO" help:"Ports that {port} in launch parameters is taken from. Default: 20000-29999."`
	User     string `placeholder:"USER" help:"OS user that games and install scripts run as; needs root."`

	ProcessMemory string  `placeholder:"SIZE" help:"Most memory of a game server, as in 512M or 2G."`
	ProcessCPUs   float64 `name:"process-cpus" placeholder:"N" help:"Most processors of a game server, as in 1.5; needs cgroup v2."`
	ProcessPids   int     `placeholder:"N" help:"Most processes and threads of a game server."`
	ProcessFiles  int     `placeholder:"N" help:"Most open files of a game server."`
	Cgroup        string  `default:"auto" placeholder:"auto|off|DIR" help:"Where cgroups are made. Default: auto."`
	Cache         string  `default:"20G" placeholder:"SIZE" help:"Most disk for archives of builds. Default: 20G."`
	LogSize       string  `default:"16M" placeholder:"SIZE" help:"Size at which a game server's output is rotated. Default: 16M."`

	OnExit string        `default:"keep" enum:"keep,drain" placeholder:"keep|drain" help:"At the end of the agent: keep leaves games running for the next one, drain waits for their end. Default: keep."`
	Grace  time.Duration `default:"6m" placeholder:"TIME" help:"How long a drain waits before it kills. Default: 6m."`

	StatsD       string `name:"statsd" default:"127.0.0.1:8125" placeholder:"ADDR" help:"UDP address for the telemetry of game servers; - is off. Default: 127.0.0.1:8125."`
	CrashReports string `default:"127.0.0.1:8126" placeholder:"ADDR" help:"TCP address for their crash reports; - is off. Default: 127.0.0.1:8126."`
	Metrics      string `placeholder:"ADDR" help:"Address at which Prometheus finds /metrics. Default: off."`

	LogLevel  string `default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"debug, info, warn or error. Default: info."`
	LogFormat string `default:"text" enum:"text,json" placeholder:"FORMAT" help:"text or json. Default: text."`
}

func (c *agentCmd) Run(ctx context.Context) error {
	a, err := c.config()
	if err != nil {
		return usageError{err}
	}
	if a.Token == "" {
		return usageError{fmt.Errorf("token: give --token-file, --token or MATCHYARD_TOKEN")}
	}
	return agent.Run(ctx, a)
}

// config makes the agent's configuration of the flags.
func (c *agentCmd) config() (agent.Config, error) {
	a := agent.Config{
		Server: c.Server, Token: c.Token, Name: c.Name, Location: c.Location, Address: c.Address, DNSName: c.DNSName,
		Beacon: off(c.Beacon), BeaconAddress: c.BeaconAt,
		Capacity: c.Capacity, Data: c.Data, User: c.User, Cgroup: c.Cgroup,
		Limits: agent.Limits{CPUs: c.ProcessCPUs, Pids: c.ProcessPids, Files: c.ProcessFiles},
		Drain:  c.OnExit == "drain", DrainGrace: c.Grace,
		StatsD: off(c.StatsD), CrashReports: off(c.CrashReports), Metrics: off(c.Metrics),
		Version: version,
	}
	a.Logger = logger(config.Config{LogLevel: c.LogLevel, LogFormat: c.LogFormat}).With(slog.String("host", c.Name))
	if c.TokenF != "" {
		text, err := os.ReadFile(c.TokenF)
		if err != nil {
			return a, fmt.Errorf("token-file: %w", err)
		}
		a.Token = strings.TrimSpace(string(text))
	}
	for _, s := range []struct {
		flag, text string
		to         *int64
	}{{"process-memory", c.ProcessMemory, &a.Limits.Memory}, {"cache", c.Cache, &a.CacheSize}, {"log-size", c.LogSize, &a.LogSize}} {
		var err error
		if *s.to, err = size(s.text); err != nil {
			return a, fmt.Errorf("%s: %w", s.flag, err)
		}
	}
	from, to, _ := strings.Cut(c.Ports, "-")
	var err error
	if a.FirstPort, err = strconv.Atoi(from); err == nil {
		a.LastPort, err = strconv.Atoi(to)
	}
	if err != nil {
		return a, fmt.Errorf("ports: %q is not FROM-TO", c.Ports)
	}
	return a, nil
}

// off is an address, "" for "-".
func off(address string) string {
	if address == "-" {
		return ""
	}
	return address
}

// size reads bytes with K, M, G or T behind them, which are powers of 1024.
func size(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	digits := strings.TrimRight(strings.ToUpper(text), "KMGTIB")
	shift, known := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text[len(digits):]), "B"), "I")]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 1 || n > (1<<62)>>shift {
		return 0, fmt.Errorf("%q is no size, as in 512M or 2G", text)
	}
	return n << shift, nil
}
