package telemetry

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// mostCPUSeries bounds the series that tell of single processors, over all instances. Beyond
// it an instance has one "processor" that is the mean of all.
const mostCPUSeries = 2048

const ticksPerSecond = 100 // USER_HZ, which is 100 on all Linux that Go runs on

func alive(pid int) bool { return !errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

// collectMachine gives what the machine and each process use. The dashboards know hosts of
// one fleet each; here an instance is a host to them, and those on one machine show the
// same.
func (s *Server) collectMachine(out chan<- prometheus.Metric) {
	instances := map[string]prometheus.Labels{}
	for _, k := range s.processes {
		s.collectProcess(out, k)
		if instances[k.Instance] == nil {
			l := s.labelsOf(k, "", "")
			delete(l, "process_pid")
			delete(l, "session_id")
			instances[k.Instance] = l
		}
	}
	if len(instances) == 0 {
		instances[""] = prometheus.Labels{"host": s.Host, "host_id": s.Host, "deployment_type": "EC2"}
	}
	m := machine{disk: s.Disk, single: len(instances)}
	m.read()
	for _, v := range m.values {
		for _, l := range instances {
			labels := maps.Clone(l)
			for _, t := range v.labels {
				labels[t.key] = t.value
			}
			give(out, v.name, "Of the machine; every instance on it shows the same.", v.kind, v.value, labels)
		}
	}
}

// collectProcess gives what one game server uses.
func (s *Server) collectProcess(out chan<- prometheus.Metric, k *known) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(k.PID) + "/stat")
	if err != nil {
		return
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third field on
	if len(f) < 22 {
		return
	}
	labels := s.labelsOf(k, "", "")
	delete(labels, "session_id") // the dashboards take it from server_up
	labels["process_owner"] = "gl-user-server"
	give(out, "process_memory_usage_bytes", "Resident memory of a game server.", prometheus.GaugeValue, number(f[21])*float64(os.Getpagesize()), labels)
	give(out, "process_memory_virtual_bytes", "Virtual memory of a game server.", prometheus.GaugeValue, number(f[20]), labels)
	for i, state := range []string{"user", "system"} {
		l := maps.Clone(labels)
		l["state"] = state
		give(out, "process_cpu_time_seconds_total", "Processor time of a game server.", prometheus.CounterValue, number(f[11+i])/ticksPerSecond, l)
	}
}

func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return n
}

// value is one of the machine's, before its instance's labels.
type value struct {
	name   string
	kind   prometheus.ValueType
	value  float64
	labels []tag
}

// machine reads /proc by the names of OpenTelemetry's hostmetrics.
type machine struct {
	disk   string
	single int // instances among which the bound on series is shared
	values []value
}

func (m *machine) gauge(name string, v float64, labels ...tag) {
	m.values = append(m.values, value{name, prometheus.GaugeValue, v, labels})
}

func (m *machine) counter(name string, v float64, labels ...tag) {
	m.values = append(m.values, value{name, prometheus.CounterValue, v, labels})
}

func (m *machine) read() {
	m.cpu()
	m.memory()
	m.load()
	m.network()
	m.disks()
	m.files()
}

// rows are the lines of a file of /proc, as fields.
func rows(name string) (all [][]string) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		all = append(all, strings.Fields(strings.Replace(line, ":", " ", 1)))
	}
	return all
}

func (m *machine) cpu() {
	states := []string{"user", "nice", "system", "idle", "wait", "interrupt", "softirq", "steal"}
	var cpus [][]string
	var all []string
	for _, f := range rows("/proc/stat") {
		if len(f) < 1+len(states) || !strings.HasPrefix(f[0], "cpu") {
			continue
		}
		if f[0] == "cpu" {
			all = f
		} else {
			cpus = append(cpus, f)
		}
	}
	share := 1.0
	if n := len(cpus); n > 0 && n*len(states)*m.single > mostCPUSeries {
		cpus, share = [][]string{all}, 1/float64(n)
	}
	for _, f := range cpus {
		total := 0.0
		for i := range states {
			total += number(f[1+i])
		}
		for i, state := range states {
			v := number(f[1+i])
			m.counter("system_cpu_time_seconds_total", v*share/ticksPerSecond, tag{"cpu", f[0]}, tag{"state", state})
			m.gauge("system_cpu_utilization_ratio", v/max(total, 1), tag{"cpu", f[0]}, tag{"state", state})
		}
	}
}

func (m *machine) memory() {
	v := map[string]float64{}
	for _, f := range rows("/proc/meminfo") {
		if len(f) > 1 {
			v[f[0]] = number(f[1]) * 1024
		}
	}
	parts := map[string]float64{
		"free": v["MemFree"], "buffered": v["Buffers"], "cached": v["Cached"],
		"slab_reclaimable": v["SReclaimable"], "slab_unreclaimable": v["SUnreclaim"],
		"used": v["MemTotal"] - v["MemFree"] - v["Buffers"] - v["Cached"] - v["SReclaimable"],
	}
	for state, bytes := range parts {
		m.gauge("system_memory_usage_bytes", bytes, tag{"state", state})
		m.gauge("system_memory_utilization_ratio", bytes/max(v["MemTotal"], 1), tag{"state", state})
	}
}

func (m *machine) load() {
	for _, f := range rows("/proc/loadavg") {
		if len(f) > 2 {
			m.gauge("system_cpu_load_average_1m", number(f[0]))
			m.gauge("system_cpu_load_average_5m", number(f[1]))
			m.gauge("system_cpu_load_average_15m", number(f[2]))
		}
	}
}

// mostDevices bounds the network and disk devices that are told of.
const mostDevices = 16

func (m *machine) network() {
	n := 0
	for _, f := range rows("/proc/net/dev") {
		if len(f) < 17 || f[0] == "lo" || f[0] == "Inter-|" || f[0] == "face" || n == mostDevices {
			continue
		}
		n++
		for at, direction := range map[int]string{1: "receive", 9: "transmit"} {
			for i, what := range []string{"io_bytes", "packets", "errors", "dropped"} {
				m.counter("system_network_"+what+"_total", number(f[at+i]), tag{"device", f[0]}, tag{"direction", direction})
			}
		}
	}
	var names []string
	for _, f := range rows("/proc/net/snmp") {
		if f[0] != "Tcp" {
			continue
		}
		if i := slices.Index(names, "CurrEstab"); i > 0 && i < len(f) {
			m.gauge("system_network_connections", number(f[i]), tag{"protocol", "tcp"}, tag{"state", "ESTABLISHED"})
		}
		names = f
	}
}

func (m *machine) disks() {
	n := 0
	for _, f := range rows("/proc/diskstats") {
		if len(f) < 14 || strings.HasPrefix(f[2], "loop") || strings.HasPrefix(f[2], "ram") || n == mostDevices {
			continue
		}
		n++
		device := tag{"device", f[2]}
		for at, direction := range map[int]string{3: "read", 7: "write"} {
			d := tag{"direction", direction}
			m.counter("system_disk_operations_total", number(f[at]), device, d)
			m.counter("system_disk_io_bytes_total", number(f[at+2])*512, device, d)
			m.counter("system_disk_operation_time_seconds_total", number(f[at+3])/1000, device, d)
		}
		m.gauge("system_disk_pending_operations", number(f[11]), device)
		m.counter("system_disk_io_time_seconds_total", number(f[12])/1000, device)
	}
}

// files tells of the file system of the instances, by the name dashboards ask for.
func (m *machine) files() {
	var s unix.Statfs_t
	if unix.Statfs(cmp.Or(m.disk, "/"), &s) != nil {
		return
	}
	size := float64(s.Bsize)
	used, free, held := float64(s.Blocks-s.Bfree)*size, float64(s.Bavail)*size, float64(s.Bfree-s.Bavail)*size
	for state, bytes := range map[string]float64{"used": used, "free": free, "reserved": held} {
		m.gauge("system_filesystem_usage_bytes", bytes, tag{"mountpoint", "/"}, tag{"state", state})
	}
	m.gauge("system_filesystem_utilization_ratio", used/max(used+free, 1), tag{"mountpoint", "/"})
}
