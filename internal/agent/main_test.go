//go:build linux

package agent_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/matchyard/matchyard/internal/agent"
	"github.com/matchyard/matchyard/internal/hostmsg"
)

// patience is how long a test waits for something.
const patience = 20 * time.Second

// game is the tests' game server, a program.
var game string

// childConfig is the environment variable that makes this program an agent.
const childConfig = "MATCHYARD_TEST_AGENT"

func TestMain(m *testing.M) {
	if text := os.Getenv(childConfig); text != "" {
		os.Exit(child(text))
	}
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		panic(err)
	}
	game = filepath.Join(dir, "server")
	build := exec.Command("go", "build", "-o", game, ".")
	build.Dir = "testdata/game"
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the game:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// childSettings are what the agent of another process is told.
type childSettings struct {
	Server, Token, Name, Data     string
	Capacity, FirstPort, LastPort int
	Times                         agent.Times
}

// child is an agent as a process of its own, which can be killed.
func child(text string) int {
	var s childSettings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	c := agent.Config{
		Server: s.Server, Token: s.Token, Name: s.Name, Data: s.Data, Capacity: s.Capacity, FirstPort: s.FirstPort, LastPort: s.LastPort, Times: s.Times,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if err := agent.Run(context.Background(), c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// plane is a control plane by the script of a test.
type plane struct {
	t    *testing.T
	http *httptest.Server

	mu     sync.Mutex
	conn   net.Conn
	want   hostmsg.Sync      // what Hello is answered with
	hello  []*hostmsg.Hello  // all that came
	heard  []any             // reports, in order
	news   chan struct{}     // something was heard
	files  map[string][]byte // by path; PUT adds
	broken map[string]int    // requests of a path that fail first
	refuse *hostmsg.Refuse
	status int // of handshakes that fail
}

func newPlane(t *testing.T) *plane {
	p := &plane{t: t, news: make(chan struct{}, 1), files: map[string][]byte{}, broken: map[string]int{}}
	p.http = httptest.NewServer(p)
	t.Cleanup(func() {
		p.hangUp()
		p.http.Close()
	})
	return p
}

func (p *plane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == hostmsg.Path {
		p.dialled(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken[r.URL.Path] > 0 {
		p.broken[r.URL.Path]--
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	if r.Method == http.MethodPut {
		p.files[r.URL.Path], _ = io.ReadAll(r.Body)
		p.notify()
		return
	}
	file, ok := p.files[r.URL.Path]
	if !ok {
		http.Error(w, "the link has expired", http.StatusForbidden)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
}

func (p *plane) dialled(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	status := p.status
	p.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer secret" {
		status = http.StatusUnauthorized
	}
	if status != 0 {
		http.Error(w, "no", status)
		return
	}
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.conn = conn
	p.mu.Unlock()
	defer conn.Close()
	for {
		text, err := wsutil.ReadClientText(conn)
		if err != nil {
			return
		}
		m, err := hostmsg.Decode(text)
		if err != nil {
			p.t.Errorf("the agent sent %s: %v", text, err)
		}
		p.take(conn, m)
	}
}

// take answers Hello and WantUpload, and keeps the rest for the test.
func (p *plane) take(conn net.Conn, m any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.notify()
	switch m := m.(type) {
	case *hostmsg.Hello:
		p.hello = append(p.hello, m)
		if p.refuse != nil {
			p.sendOn(conn, p.refuse)
			return
		}
		p.sendOn(conn, &p.want)
	case *hostmsg.WantUpload:
		p.sendOn(conn, &hostmsg.Upload{GameSession: m.GameSession, URL: "/logs/" + m.GameSession})
	case *hostmsg.Alive:
	default:
		p.heard = append(p.heard, m)
	}
}

func (p *plane) notify() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func (p *plane) sendOn(conn net.Conn, m any) {
	text, err := hostmsg.Encode(m)
	if err != nil {
		p.t.Error(err)
	}
	_ = wsutil.WriteServerText(conn, text)
}

func (p *plane) send(m any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m := m.(type) { // a later Sync says the same
	case *hostmsg.Start:
		p.want.Instances = slices.DeleteFunc(p.want.Instances, func(s hostmsg.Start) bool { return s.Instance == m.Instance })
		p.want.Instances = append(p.want.Instances, *m)
	case *hostmsg.Stop:
		p.want.Stopping = append(p.want.Stopping, *m)
	}
	if p.conn != nil {
		p.sendOn(p.conn, m)
	}
}

func (p *plane) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// until waits for a condition on what was heard.
func (p *plane) until(what string, f func() bool) {
	p.t.Helper()
	late := time.After(patience)
	for {
		p.mu.Lock()
		ok := f()
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-p.news:
		case <-time.After(20 * time.Millisecond):
		case <-late:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("waited for %s; heard:\n%s", what, p.transcript())
		}
	}
}

func (p *plane) transcript() string {
	var b strings.Builder
	for _, m := range p.heard {
		text, _ := hostmsg.Encode(m)
		fmt.Fprintln(&b, string(text))
	}
	return b.String()
}

// wait is the first message of a type that fits; it is taken out of what was heard.
func wait[M any](p *plane, what string, fits func(M) bool) (found M) {
	p.t.Helper()
	p.until(what, func() bool {
		i := slices.IndexFunc(p.heard, func(m any) bool { c, ok := m.(M); return ok && fits(c) })
		if i >= 0 {
			found = p.heard[i].(M)
			p.heard = slices.Delete(p.heard, i, i+1)
		}
		return i >= 0
	})
	return found
}

func (p *plane) started() *hostmsg.ProcessStarted {
	p.t.Helper()
	return wait(p, "a process that starts", func(*hostmsg.ProcessStarted) bool { return true })
}

func (p *plane) ended(process string) *hostmsg.ProcessEnded {
	p.t.Helper()
	return wait(p, "the end of process "+process, func(m *hostmsg.ProcessEnded) bool { return process == "" || m.Process == process })
}

func (p *plane) becomes(instance string, s hostmsg.InstanceStatus) {
	p.t.Helper()
	wait(p, instance+" to be "+string(s), func(m *hostmsg.InstanceChanged) bool { return m.Instance == instance && m.Status == s })
}

func (p *plane) failed() *hostmsg.Progress {
	p.t.Helper()
	return wait(p, "a step that fails", func(m *hostmsg.Progress) bool { return m.Failed })
}

// file is an entry of a build.
type file struct {
	name string
	mode os.FileMode
	text []byte
}

func server(t *testing.T) file {
	t.Helper()
	text, err := os.ReadFile(game)
	if err != nil {
		t.Fatal(err)
	}
	return file{"bin/server", 0o755, text}
}

// build puts an archive where the agent fetches it.
func (p *plane) build(id string, files ...file) hostmsg.Build {
	p.t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Store}
		h.SetMode(f.mode)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write(f.text)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files["/builds/"+id] = b.Bytes()
	return hostmsg.Build{ID: id, URL: "/builds/" + id, Size: int64(b.Len())}
}

// start is an instance of a build, of which each process gets the parameters.
func start(instance string, b hostmsg.Build, n int, parameters string) *hostmsg.Start {
	return &hostmsg.Start{
		Instance: instance, Fleet: "fleet-1", Region: "eu-test-1", Location: "custom-berlin", Build: b, OS: "AMAZON_LINUX_2023",
		Endpoint: "wss://sdk.example", Token: "token-1", Swift: true, Metadata: json.RawMessage(`{"fleetName":"alpha","instanceType":"c5.large"}`),
		Runtime: hostmsg.Runtime{Processes: []hostmsg.ServerProcess{{LaunchPath: "/local/game/bin/server", Parameters: parameters, Concurrent: n}}},
	}
}

// settings are those of a test's agent.
func (p *plane) settings() agent.Config {
	c := agent.Config{
		Server: p.http.URL, Token: "secret", Name: "rack-1", Capacity: 4, Data: p.t.TempDir(), FirstPort: 23000, LastPort: 23999,
		Times: agent.Times{
			RedialFirst: 20 * time.Millisecond, RedialMost: 100 * time.Millisecond, RestartFirst: 50 * time.Millisecond, RestartMost: 300 * time.Millisecond,
			UploadRetry: 20 * time.Millisecond, TerminateLate: time.Second, Exit: 500 * time.Millisecond,
		},
	}
	if testing.Verbose() {
		c.Logger = slog.New(slog.NewTextHandler(testLog{p.t}, nil))
	}
	return c
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// run runs an agent until stop, which ends it as SIGTERM does; leftovers are killed.
func (p *plane) run(c agent.Config) (stop func() error) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx, c) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			p.t.Error("the agent does not end")
			return nil
		}
	})
	p.t.Cleanup(func() {
		_ = stop()
		killAll(p.t, c.Data)
	})
	return stop
}

// killAll ends the processes of a data folder.
func killAll(t *testing.T, data string) {
	for range 100 {
		all := processes(data)
		if len(all) == 0 {
			return
		}
		for _, pid := range all {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("processes are left")
}

// processes are those whose HOME is in a data folder.
func processes(data string) (pids []int) {
	data, _ = filepath.EvalSymlinks(data)
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		env, _ := os.ReadFile("/proc/" + d.Name() + "/environ")
		if bytes.Contains(env, []byte("HOME="+data+"/instances/")) && len(env) > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}
