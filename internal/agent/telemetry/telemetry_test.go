//go:build linux

package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrape is what Prometheus gets, as lines.
func scrape(t *testing.T, s *Server) []string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return strings.Split(w.Body.String(), "\n")
}

// has looks for a series by its name and some of its labels, and returns its value.
func has(lines []string, name string, labels ...string) (value string, ok bool) {
	for _, l := range lines {
		head, v, _ := strings.Cut(l, "} ")
		if strings.HasPrefix(head, name+"{") && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(head, l) }) {
			return v, true
		}
	}
	return "", false
}

func expect(t *testing.T, lines []string, want string, name string, labels ...string) {
	t.Helper()
	if got, ok := has(lines, name, labels...); !ok || got != want {
		t.Errorf("%s%v is %q, %v; want %q", name, labels, got, ok, want)
	}
}

func known1() *Server {
	s := &Server{Host: "rack-1", GroupOf: func(pid int) int { return map[int]int{4243: 4242}[pid] }}
	s.Add(Process{ID: "p-1", PID: 4242, Fleet: "fleet-1", Location: "eu-test-1", Instance: "i-1", InstanceType: "c5.large"})
	s.Hosting("p-1", "arn:aws:gamelift:eu-test-1::gamesession/fleet-1/gs-1")
	return s
}

func TestValuesAndTheirLabels(t *testing.T) {
	s := known1()
	s.packet("server.up:1|g|#gamelift_process_id:p-1,process_pid:4242\nserver.players:3|g|#process_pid:4243\n" +
		"server.packets_in:2|c|@0.5|#gamelift_process_id:p-1\nserver.packets_in:3|c|#gamelift_process_id:p-1\nserver.packets_in:-9|c|#gamelift_process_id:p-1\n" +
		"server.tick_time:15:16.5|ms|#gamelift_process_id:p-1\nserver.span:2|h|#gamelift_process_id:p-1\nserver.dist:7|d|#gamelift_process_id:p-1\n" +
		"users:ann|s|#gamelift_process_id:p-1\nusers:bob|s|#gamelift_process_id:p-1\nusers:ann|s|#gamelift_process_id:p-1\n" +
		"gold:10|g|#gamelift_process_id:p-1,map:dust 2,fleet_id:evil\ngold:-4|g|#gamelift_process_id:p-1,map:dust 2\n" +
		"lost:1|g|#session_id:arn:aws:gamelift:eu-test-1::gamesession/fleet-1/gs-1\nplain:5|g\n")
	lines := scrape(t, s)
	// Exactly the labels that Amazon's dashboards join and filter by.
	all := []string{`fleet_id="fleet-1"`, `cloud_region="eu-test-1"`, `host_id="i-1"`, `host_type="c5.large"`, `deployment_type="EC2"`, `process_pid="4242"`, `session_id="arn:aws:gamelift:eu-test-1::gamesession/fleet-1/gs-1"`, `host="rack-1"`}
	expect(t, lines, "1", "server_up", all...)
	expect(t, lines, "3", "server_players", all...)
	expect(t, lines, "7", "server_packets_in_total", all...)
	expect(t, lines, "16.5", "server_tick_time", all...)
	expect(t, lines, "2", "server_span", all...)
	expect(t, lines, "7", "server_dist", all...)
	expect(t, lines, "2", "users", all...)
	expect(t, lines, "6", "gold", append(all, `map="dust 2"`)...)
	expect(t, lines, "1", "lost", all...)
	expect(t, lines, "5", "plain", `process_pid=""`, `host="rack-1"`)

	s.Remove("p-1", "NORMAL_TERMINATION", false)
	lines = scrape(t, s)
	if v, ok := has(lines, "server_up"); ok {
		t.Errorf("server_up is %s after the end", v)
	}
	if v, ok := has(lines, "game_server_crash"); ok {
		t.Errorf("a crash is told: %s", v)
	}
	expect(t, lines, "1", "matchyard_agent_process_ends_total", `fleet_id="fleet-1"`, `reason="NORMAL_TERMINATION"`)
}

func TestTheBeaconIsCounted(t *testing.T) {
	s := known1()
	if v, ok := has(scrape(t, s), "matchyard_agent_beacon_datagrams_total"); ok {
		t.Errorf("without a beacon: %s", v)
	}
	s.Beacon = func() map[string]int64 { return map[string]int64{"answered": 7, "too_fast": 2} }
	lines := scrape(t, s)
	expect(t, lines, "7", "matchyard_agent_beacon_datagrams_total", `outcome="answered"`)
	expect(t, lines, "2", "matchyard_agent_beacon_datagrams_total", `outcome="too_fast"`)
}

func TestHostilePackets(t *testing.T) {
	s := known1()
	for _, bad := range []string{
		"", "x", ":1|g", "x:|g", "x:1", "x:1|q", "x:nan|g", "x:inf|c", "x:1e999|g", "x:0x10|g", "x:1|c|@0", "x:1|c|@2", "x:1|c|@nan", "x:1|g|#:v",
		strings.Repeat("n", 5000) + ":1|g", "x:1|g|#k:" + strings.Repeat("v", 5000), "x" + strings.Repeat(":1", 5000) + "|g", "x:1|g|#" + strings.Repeat("a:b,", 1000),
		"_e{5,4}:title|text", "_sc|check|0", "datadog.dogstatsd.client.metrics:1|c", "\x00\xff\xfe|", "|||||", strings.Repeat("|", 60000),
	} {
		s.packet(bad)
	}
	if len(s.series) != 0 {
		t.Errorf("%d series of nothing", len(s.series))
	}
	s.packet("process_cpu_time_seconds_total:1|c\nmatchyard_agent_info:2|g\nsystem_x:1|g\ngame_server_crash:1|g")
	s.packet("server.up:1|g\nserver.up:1|ms") // one name is one kind
	s.packet("naïve name!:1|g|#bad key\xff:\xffvalue,__name__:evil,host:evil,k:1,k:2")
	lines := scrape(t, s)
	expect(t, lines, "1", "na__ve_name_", `k="1"`, `host="rack-1"`)
	for reason, want := range map[string]string{"reserved": "4", "kind": "1", "event": "2", "client": "1"} {
		expect(t, lines, want, "matchyard_agent_statsd_dropped_total", `reason="`+reason+`"`)
	}

	// As many series as anyone likes to send, and no more than are kept.
	for n := range 3 * mostProcessSeries {
		s.packet(fmt.Sprintf("m:1|g|#gamelift_process_id:p-1,n:%d\nserver.set:%d|s|#gamelift_process_id:p-1", n, n))
	}
	if got := s.counts["p-1"]; got != mostProcessSeries {
		t.Errorf("a process has %d series; want %d", got, mostProcessSeries)
	}
	if lines := scrape(t, s); !slices.Contains(lines, "# TYPE server_set gauge") {
		t.Error("the set is gone")
	}
	s.Remove("p-1", "SERVER_PROCESS_CRASHED", true)
	if s.counts["p-1"] != 0 || len(s.series) > 5 {
		t.Errorf("%d series are left", len(s.series))
	}
}

// onlySeries serves what games sent, and nothing of the machine.
type onlySeries struct{ *Server }

func (s onlySeries) Collect(out chan<- prometheus.Metric) { s.collectSeries(out) }

func FuzzPacket(f *testing.F) {
	f.Add("server.up:1|g|#gamelift_process_id:p-1,process_pid:1\nx:1:2|ms|@0.1")
	f.Add("a:b|s|#k:v|c:abc|T123\n_e{1,1}:a|b")
	f.Fuzz(func(t *testing.T, text string) {
		s := known1()
		s.packet(text)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(onlySeries{s})
		if _, err := registry.Gather(); err != nil {
			t.Errorf("%q makes an answer that Prometheus refuses: %v", text, err)
		}
	})
}

func TestCrashReports(t *testing.T) {
	s := &Server{Host: "rack-1"}
	if err := s.Listen(t.Context(), "", "127.0.0.1:0", ""); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	host, port := s.CrashReports()
	get := func(path string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		if _, err := io.Copy(io.Discard, a.Body); err != nil || a.StatusCode != want {
			t.Errorf("%s: status %d, %v; want %d", path, a.StatusCode, err, want)
		}
	}
	for _, bad := range []string{"/register", "/register?process_pid=x", "/register?process_pid=-1", "/register?process_pid=0"} {
		get(bad, http.StatusBadRequest)
	}
	get("/other?process_pid=5", http.StatusNotFound)

	// Two processes nobody told of: one says that it ends, one does not.
	var pids []int
	for range 2 {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, cmd.Process.Pid)
		get(fmt.Sprintf("/register?process_pid=%d", cmd.Process.Pid), http.StatusOK)
		get(fmt.Sprintf("/update?process_pid=%d&session_id=arn:aws:x::gamesession/f/gs-%d", cmd.Process.Pid, len(pids)), http.StatusOK)
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		if len(pids) == 1 {
			get(fmt.Sprintf("/deregister?process_pid=%d", cmd.Process.Pid), http.StatusOK)
		}
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}
	s.checkStrangers()
	lines := scrape(t, s)
	expect(t, lines, "1", "game_server_crash", fmt.Sprintf(`process_pid="%d"`, pids[1]), `session_id="arn:aws:x::gamesession/f/gs-2"`)
	if _, ok := has(lines, "game_server_crash", fmt.Sprintf(`process_pid="%d"`, pids[0])); ok {
		t.Error("the process that said goodbye crashed")
	}

	// One that is known: its end is told by who runs it.
	s.Add(Process{ID: "p-1", PID: 77, Fleet: "fleet-1", Location: "here", Instance: "i-1"})
	get("/register?process_pid=77", http.StatusOK)
	get("/update?process_pid=77&session_id=gs-9", http.StatusOK)
	s.checkStrangers()
	s.Remove("p-1", "SERVER_PROCESS_CRASHED", true)
	expect(t, scrape(t, s), "1", "game_server_crash", `fleet_id="fleet-1"`, `host_id="i-1"`, `session_id="gs-9"`)
}

// TestTheOfficialSDK runs a program on the server SDK, which sends telemetry by itself.
func TestTheOfficialSDK(t *testing.T) {
	game := filepath.Join(t.TempDir(), "game")
	build := exec.Command("go", "build", "-o", game, ".")
	build.Dir = "../testdata/game"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	s := &Server{Host: "rack-1"}
	if err := s.Listen(t.Context(), "127.0.0.1:0", "127.0.0.1:0", ""); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cmd := exec.Command(game, "metrics")
	statsdHost, statsdPort := s.StatsD()
	crashHost, crashPort := s.CrashReports()
	cmd.Env = append(os.Environ(), "GAMELIFT_SDK_PROCESS_ID=p-1", "GAMELIFT_STATSD_HOST="+statsdHost, "GAMELIFT_STATSD_PORT="+statsdPort,
		"GAMELIFT_CRASH_REPORTER_HOST="+crashHost, "GAMELIFT_CRASH_REPORTER_PORT="+crashPort, "GAMELIFT_FLUSH_INTERVAL_MS=100")
	cmd.Dir = t.TempDir()  // the SDK writes a log there
	var words bytes.Buffer // read after its end only
	cmd.Stdout, cmd.Stderr = &words, &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		err := cmd.Wait()
		if t.Failed() {
			t.Logf("the game ended with %v and said:\n%s\nserved:\n%s", err, words.String(), strings.Join(scrape(t, s), "\n"))
		}
	}()
	s.Add(Process{ID: "p-1", PID: cmd.Process.Pid, Fleet: "fleet-1", Location: "eu-test-1", Instance: "i-1"})
	s.Hosting("p-1", "gs-1")

	all := []string{`fleet_id="fleet-1"`, `host_id="i-1"`, `session_id="gs-1"`, fmt.Sprintf(`process_pid="%d"`, cmd.Process.Pid)}
	var lines []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		lines = scrape(t, s)
		_, up := has(lines, "server_up", all...)
		_, ticks := has(lines, "server_tick_time", all...)
		_, packets := has(lines, "server_packets_in_total", all...)
		_, players := has(lines, "server_players", all...)
		if up && ticks && packets && players {
			break
		}
	}
	expect(t, lines, "1", "server_up", all...)
	expect(t, lines, "7", "server_players", all...)
	expect(t, lines, "16.5", "server_tick_time", all...)
	if v, ok := has(lines, "server_packets_in_total", all...); !ok || v == "0" {
		t.Errorf("server_packets_in_total is %q, %v", v, ok)
	}
	// What the dashboards join with it.
	for _, name := range []string{"process_memory_usage_bytes", "process_memory_virtual_bytes", "process_cpu_time_seconds_total"} {
		if _, ok := has(lines, name, `process_owner="gl-user-server"`, `host_id="i-1"`, all[3]); !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{
		"system_cpu_time_seconds_total", "system_cpu_utilization_ratio", "system_memory_usage_bytes", "system_memory_utilization_ratio", "system_cpu_load_average_1m",
		"system_network_io_bytes_total", "system_network_connections", "system_disk_io_bytes_total", "system_disk_operations_total", "system_filesystem_usage_bytes", "system_filesystem_utilization_ratio",
	} {
		if _, ok := has(lines, name, `host_id="i-1"`, `fleet_id="fleet-1"`); !ok {
			t.Errorf("%s is missing", name)
		}
	}
}
