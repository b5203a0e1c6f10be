package conformance

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store/storetest"
)

// certificate is the file in the data folder that a client of wss must trust.
const certificate = "tls-cert.pem"

// server is one running matchyard.
type server struct {
	url   string // of the API
	admin string // of the admin address
	data  string // folder of its certificate, and of its database if that is SQLite
	store string // "" for the SQLite database in data

	// The access key of its callers; dev takes any.
	key, secret, token string

	args []string
	env  []string
	cmd  *exec.Cmd
	log  *tail
	gone chan struct{} // closed when the process has ended
}

// each runs a test against a server of its own on each database, with a clock that moves
// only when told.
func each(t *testing.T, f func(t *testing.T, s *server)) {
	t.Helper()
	t.Parallel()
	for _, database := range storetest.Databases() {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			f(t, dev(t, database))
		})
	}
}

// dev starts `matchyard dev` on a database: "sqlite" or "postgres".
func dev(t *testing.T, database string, args ...string) *server {
	t.Helper()
	s := &server{data: t.TempDir(), key: "AKIDCONFORMANCE", secret: "secret"}
	s.args = append([]string{"dev", "--clock", "manual", "--data", s.data, "--log-level", "warn"}, args...)
	if database == "postgres" {
		s.store = storetest.PostgresURL(t)
		s.args = append(s.args, "--store", s.store)
	}
	s.start(t, "127.0.0.1:0", "127.0.0.1:0")
	return s
}

// start runs the program and waits for its ready line.
func (s *server) start(t testing.TB, listen, admin string) {
	t.Helper()
	s.cmd = exec.Command(matchyard, append(s.args, "--listen", listen, "--admin", admin)...)
	s.log = &tail{}
	s.cmd.Stderr = s.log
	s.cmd.Env = quietEnvironment(s.env...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, gone := s.cmd, make(chan struct{})
	s.gone = gone
	ready := make(chan string, 1)
	go func() {
		defer close(gone)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if line := lines.Text(); strings.HasPrefix(line, "ready ") {
				ready <- line
				break
			}
			_, _ = s.log.Write(append(lines.Bytes(), '\n'))
		}
		_, _ = io.Copy(s.log, out)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		s.stop(t)
		if t.Failed() {
			t.Logf("the server's log ends:\n%s", s.log)
		}
	})
	select {
	case line := <-ready:
		fields := strings.Fields(line)
		s.url = fields[1]
		for _, field := range fields[2:] {
			if name, value, _ := strings.Cut(field, "="); name == "admin" {
				s.admin = value
			}
		}
		if s.url == "" || s.admin == "" {
			t.Fatalf("no addresses in the ready line %q", line)
		}
	case <-gone:
		t.Fatalf("the server ended before it was ready: %v\n%s", cmd.ProcessState, s.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("the server is not ready after 30 s\n%s", s.log)
	}
}

// stop ends the server as an operator does, and fails the test unless it ends well.
func (s *server) stop(t testing.TB) {
	t.Helper()
	select {
	case <-s.gone:
		return
	default:
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.gone:
		if code := s.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("the server ended with code %d after SIGTERM\n%s", code, s.log)
		}
	case <-time.After(12 * time.Second):
		t.Errorf("the server runs 12 s after SIGTERM\n%s", s.log)
		s.kill()
	}
}

// kill ends the server at once, as a crash does.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.gone
}

// restart runs the program again on the same database and the same addresses.
func (s *server) restart(t *testing.T) {
	t.Helper()
	s.start(t, strings.TrimPrefix(s.url, "http://"), strings.TrimPrefix(s.admin, "http://"))
}

// websocket is the server SDK's endpoint: scheme "ws" or "wss".
func (s *server) websocket(scheme string) string {
	return scheme + "://" + strings.TrimPrefix(s.url, "http://")
}

// advance moves the clock and returns when everything that fell due is done.
func (s *server) advance(t testing.TB, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.admin+"/clock/advance?d="+d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatalf("advance by %v: %s %s", d, answer.Status, body)
	}
}

// memory is the process's resident size in bytes.
func (s *server) memory(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "statm"))
	if err != nil {
		t.Skipf("NOT MEASURED: %v", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// tail keeps the end of a log. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text = append(l.text, p...); len(l.text) > 1<<16 {
		l.text = bytes.Clone(l.text[len(l.text)-1<<15:])
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// eventually waits until what returns true, as long as a busy machine may need.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s still not: %s", what)
		}
	}
}

// httpClient holds as many connections as a storm of callers needs.
var httpClient = &http.Client{Transport: &http.Transport{MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000}, Timeout: time.Minute}

// as is the same server to a caller with other credentials.
func (s *server) as(key, secret, token string) *server {
	other := *s
	other.key, other.secret, other.token = key, secret, token
	return &other
}

// keys are the caller's credentials as drivers take them.
func (s *server) keys() []any {
	if s.token == "" {
		return []any{s.key, s.secret, nil}
	}
	return []any{s.key, s.secret, s.token}
}
