package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

// idleSockets is how many game servers are connected, as far as the machine's limit of open
// files goes; each takes two, as both ends are here.
const idleSockets = 20_000

// sockets is the server's memory for an idle game server: a process of its own, so that
// only its side counts. The baseline is the WebSocket library alone.
func sockets(ctx context.Context, o Options) error {
	n := idleSockets
	if limit, err := raiseFiles(); err != nil {
		return err
	} else if most := int(limit) - 500; n > most {
		o.logf("sockets: the limit of open files allows %d", most)
		n = most
	}
	base, err := librarySockets(ctx, n/4)
	if err != nil {
		return err
	}
	folder, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	p, err := startProgram(ctx, o.Program, "serve", "--store", sqliteURL(folder), "--data", folder, "--listen", "127.0.0.1:0", "--admin", "off", "--log-level", "error")
	if err != nil {
		return err
	}
	defer p.kill()
	e := p.env()
	if err := e.furnish(ctx, 100); err != nil {
		return err
	}
	warm, err := e.connect(ctx, 0, 100) // what is made once
	if err != nil {
		return err
	}
	defer closeAll(warm)
	before, err := p.memory()
	if err != nil {
		return err
	}
	started := time.Now()
	conns, err := e.connect(ctx, 100, n)
	if err != nil {
		return err
	}
	defer closeAll(conns)
	o.logf("sockets: %d connected and ready in %v", len(conns), time.Since(started).Round(time.Millisecond))
	time.Sleep(3 * time.Second)
	after, err := p.memory()
	if err != nil {
		return err
	}
	each := float64(after-before) / float64(len(conns))
	report(o.Out, "sockets", each, "bytes/socket", base, each/base)
	rate, err := health(ctx, o, conns)
	if err != nil {
		return err
	}
	report(o.Out, "sockets-health", rate, "reports/s", 10_000, rate/10_000)
	return nil
}

// connect opens game servers number from to from+n, from several source addresses, since
// one has some 28,000 ports.
func (e *env) connect(ctx context.Context, from, n int) ([]net.Conn, error) {
	conns := make([]net.Conn, n)
	var next atomic.Int64
	var group sync.WaitGroup
	faults := make(chan error, 32)
	for range cap(faults) {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				c := e.computes[i%len(e.computes)]
				local := "127.0.1." + strconv.Itoa(1+(from+i)/20_000)
				conn, err := dialHost(ctx, e.address, local, e.fleet, c.name, "idle-"+strconv.Itoa(from+i), c.token)
				if err == nil {
					conns[i] = conn
					err = (&host{conn: conn}).ready(1024 + i%50000)
				}
				if err != nil {
					faults <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(faults)
	if err := <-faults; err != nil {
		closeAll(conns)
		return nil, err
	}
	return conns, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
}

// health sends health reports on all sockets in turn and waits for each answer.
// The baseline is the goal.
func health(ctx context.Context, o Options, conns []net.Conn) (float64, error) {
	// Callers are never so far apart that two of them are at one socket.
	reports, took, err := repeat(ctx, 32, o.Length, func(i int64) error {
		h := &host{conn: conns[int(i)%len(conns)]}
		id := strconv.FormatInt(i, 10)
		if err := h.say("HeartbeatServerProcess", id, map[string]any{"HealthStatus": true}); err != nil {
			return err
		}
		return h.answer(id)
	})
	return float64(reports) / took.Seconds(), err
}

// librarySockets is what the library alone needs for a socket with a goroutine that reads:
// half of what both ends cost in this process.
func librarySockets(ctx context.Context, n int) (float64, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	done := make(chan struct{})
	defer close(done)
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) {})}
	defer func() { _ = s.Close() }()
	var accepted atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				if _, err := ws.Upgrade(c); err != nil {
					return
				}
				accepted.Add(1)
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	defer func() { _ = l.Close() }()
	before := heap()
	conns := make([]net.Conn, 0, n)
	defer func() { closeAll(conns) }()
	for range n {
		c, _, _, err := ws.Dial(ctx, "ws://"+l.Addr().String()+"/")
		if err != nil {
			return 0, err
		}
		conns = append(conns, c)
	}
	return float64(heap()-before) / float64(len(conns)), nil
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// program is a server that runs as a process of its own.
type program struct {
	cmd     *exec.Cmd
	address string
	took    time.Duration // from its start to its ready line
}

func startProgram(ctx context.Context, name string, args ...string) (*program, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "MATCHYARD_ROOT_ACCESS_KEY_ID="+keyID, "MATCHYARD_ROOT_SECRET_ACCESS_KEY="+secret)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := c.Start(); err != nil {
		return nil, err
	}
	p := &program{cmd: c}
	line := make([]byte, 0, 256)
	one := make([]byte, 1)
	for {
		if _, err := out.Read(one); err != nil {
			p.kill()
			return nil, fmt.Errorf("%s %s ended before it was ready", name, strings.Join(args, " "))
		}
		if one[0] != '\n' {
			line = append(line, one[0])
			continue
		}
		if rest, ok := strings.CutPrefix(string(line), "ready "); ok {
			p.took = time.Since(began)
			p.address = addressIn(rest)
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return p, nil
		}
		line = line[:0]
	}
}

// addressIn is the first HOST:PORT of the ready line.
func addressIn(line string) string {
	for word := range strings.FieldsSeq(line) {
		word = strings.TrimPrefix(word[strings.LastIndexByte(word, '=')+1:], "http://")
		if host, port, err := net.SplitHostPort(strings.TrimSuffix(word, ",")); err == nil && host != "" && port != "" {
			return net.JoinHostPort(host, port)
		}
	}
	return ""
}

func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// memory is the process's resident memory in bytes.
func (p *program) memory() (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmRSS")
}
