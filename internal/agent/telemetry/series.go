package telemetry

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of what is kept, whatever games send.
const (
	mostSeries        = 50000
	mostProcessSeries = 1000
	mostMembers       = 1000 // of a set
	mostCrashes       = 1000
)

// series is one value with its own tags. The labels that its process has are added when it
// is read.
type series struct {
	name    *named
	process string // "" when nobody known sent it
	labels  []tag  // of the sender's own, sorted
	session string // as the sender says
	pid     string
	value   float64
	members map[uint64]struct{}
}

// named is a metric's name and kind, which all its series share.
type named struct {
	name string
	kind kind
	used int
}

// reserved are names games may not send: they are the agent's.
var reserved = []string{"system_", "process_", "matchyard_", "go_", "promhttp_", "game_server_crash"}

// labels that are the agent's.
var ownLabels = []string{"fleet_id", "cloud_region", "host_id", "host_type", "deployment_type", "host", "session_id", "process_pid", "gamelift_process_id"}

// put keeps a value.
func (s *Server) put(v sample) {
	name := identifier(v.name)
	if slices.ContainsFunc(reserved, func(r string) bool { return strings.HasPrefix(name, r) }) {
		s.dropped["reserved"]++
		return
	}
	if v.kind == counter && !strings.HasSuffix(name, "_total") {
		name += "_total" // as Prometheus and the collector have it
	}
	n := series{}
	id, pid, session := "", "", ""
	seen := map[string]bool{}
	for _, t := range v.tags {
		switch t.key {
		case "gamelift_process_id":
			id = t.value
		case "process_pid":
			pid = t.value
		case "session_id":
			session = t.value
		default:
			key := identifier(t.key)
			if strings.HasPrefix(key, "__") || slices.Contains(ownLabels, key) || seen[key] {
				continue
			}
			seen[key] = true
			n.labels = append(n.labels, tag{key, strings.ToValidUTF8(t.value, "\uFFFD")})
		}
	}
	slices.SortFunc(n.labels, func(x, y tag) int { return cmp.Compare(x.key, y.key) })
	if k := s.find(id, pid, session); k != nil {
		n.process = k.ID
	} else {
		n.session, n.pid = strings.ToValidUTF8(session, "\uFFFD"), strings.ToValidUTF8(pid, "\uFFFD")
	}
	key := strings.Builder{}
	for _, part := range []string{n.process, name, n.session, n.pid} {
		key.WriteString(part + "\x00")
	}
	for _, t := range n.labels {
		key.WriteString(t.key + "\x01" + t.value + "\x00")
	}
	have := s.series[key.String()]
	if have == nil {
		if have = s.add(n, name, v.kind); have == nil {
			return
		}
		s.series[key.String()] = have
	}
	if have.name.kind != v.kind {
		s.dropped["kind"]++
		return
	}
	have.take(v)
}

// add makes a series, or counts why not.
func (s *Server) add(n series, name string, k kind) *series {
	if len(s.series) >= mostSeries || s.counts[n.process] >= mostProcessSeries {
		s.dropped["too_many_series"]++
		return nil
	}
	of := s.kinds[name]
	if of == nil {
		of = &named{name: name, kind: k}
		s.kinds[name] = of
	}
	if of.kind != k {
		s.dropped["kind"]++
		return nil
	}
	of.used++
	s.counts[n.process]++
	n.name = of
	return &n
}

var seed = maphash.MakeSeed()

func (n *series) take(v sample) {
	switch v.kind {
	case counter:
		if v.value > 0 { // it only grows
			n.value += v.value / v.rate
		}
	case gauge:
		if v.delta {
			n.value += v.value
		} else {
			n.value = v.value
		}
	case timer: // the last, as the collector has it; percentiles come from the SDK
		n.value = v.value
	case set:
		if n.members == nil {
			n.members = map[uint64]struct{}{}
		}
		if len(n.members) < mostMembers {
			n.members[maphash.String(seed, v.text)] = struct{}{}
		}
		n.value = float64(len(n.members))
	}
}

// find is the process that sent something: by its own id, its number, or its game session.
func (s *Server) find(id, pid, session string) *known {
	if k := s.processes[id]; k != nil {
		return k
	}
	if n, err := strconv.Atoi(pid); err == nil {
		if k := s.ofPID(n); k != nil {
			return k
		}
	}
	if session == "" {
		return nil
	}
	for _, k := range s.processes {
		if k.session == session {
			return k
		}
	}
	return nil
}

// ofPID is the process that has a number, or whose child has.
func (s *Server) ofPID(pid int) *known {
	if k := s.byPID[pid]; k != nil || s.GroupOf == nil || pid <= 1 {
		return k
	}
	return s.byPID[s.GroupOf(pid)]
}

func (s *Server) forgetSeries(process string) {
	for key, n := range s.series {
		if n.process != process {
			continue
		}
		delete(s.series, key)
		if n.name.used--; n.name.used == 0 {
			delete(s.kinds, n.name.name)
		}
	}
	delete(s.counts, process)
}

// collectSeries gives all series to Prometheus.
func (s *Server) collectSeries(out chan<- prometheus.Metric) {
	for _, n := range s.series {
		labels := s.labelsOf(s.processes[n.process], n.pid, n.session)
		if n.process != "" {
			labels["gamelift_process_id"] = n.process
		}
		for _, t := range n.labels {
			labels[t.key] = t.value
		}
		kind := prometheus.GaugeValue
		if n.name.kind == counter {
			kind = prometheus.CounterValue
		}
		give(out, n.name.name, "Of game servers, by StatsD.", kind, n.value, labels)
	}
}

// labelsOf are the labels Amazon's collector adds, and the machine's name.
func (s *Server) labelsOf(k *known, pid, session string) prometheus.Labels {
	l := prometheus.Labels{"host": s.Host, "deployment_type": "EC2"}
	if k == nil {
		l["process_pid"], l["session_id"] = pid, session
		return l
	}
	l["fleet_id"], l["cloud_region"], l["host_id"], l["host_type"] = k.Fleet, k.Location, k.Instance, k.InstanceType
	l["process_pid"], l["session_id"] = strconv.Itoa(k.PID), cmp.Or(k.session, session)
	return l
}

// give is one value for Prometheus.
func give(out chan<- prometheus.Metric, name, help string, kind prometheus.ValueType, value float64, labels prometheus.Labels) {
	m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help, nil, labels), kind, value)
	if err != nil {
		return // a label no rule of ours foresaw; the others are served
	}
	out <- m
}

// Describe says nothing: what games send is not known before.
func (s *Server) Describe(chan<- *prometheus.Desc) {}

// Collect gives everything to Prometheus.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	s.collectSeries(out)
	s.collectCrashes(out)
	s.collectOwn(out)
	s.collectMachine(out)
}

// collectOwn gives what the agent itself counts.
func (s *Server) collectOwn(out chan<- prometheus.Metric) {
	give(out, "matchyard_agent_info", "1, with the agent's version.", prometheus.GaugeValue, 1, prometheus.Labels{"version": s.Version, "host": s.Host})
	connected := 0.0
	if s.connected {
		connected = 1
	}
	give(out, "matchyard_agent_connected", "1 while the control plane is there.", prometheus.GaugeValue, connected, nil)
	running := map[string]float64{}
	for _, k := range s.processes {
		running[k.Fleet]++
	}
	for fleet, n := range running {
		give(out, "matchyard_agent_processes", "Game servers that run.", prometheus.GaugeValue, n, prometheus.Labels{"fleet_id": fleet})
	}
	for of, n := range s.ends {
		give(out, "matchyard_agent_process_ends_total", "Game servers that ended, by reason.", prometheus.CounterValue, n, prometheus.Labels{"fleet_id": of[0], "reason": of[1]})
	}
	give(out, "matchyard_agent_statsd_lines_total", "StatsD lines received.", prometheus.CounterValue, s.lines, nil)
	for reason, n := range s.dropped {
		give(out, "matchyard_agent_statsd_dropped_total", "StatsD lines not used, by reason.", prometheus.CounterValue, n, prometheus.Labels{"reason": reason})
	}
	if s.Beacon != nil {
		for outcome, n := range s.Beacon() {
			give(out, "matchyard_agent_beacon_datagrams_total", "Datagrams of the ping beacon, by what became of them.", prometheus.CounterValue, float64(n), prometheus.Labels{"outcome": outcome})
		}
	}
	give(out, "matchyard_agent_statsd_series", "Series of game servers that are kept.", prometheus.GaugeValue, float64(len(s.series)), nil)
}
