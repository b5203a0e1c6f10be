package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// holdVariable makes the test binary a process that holds sockets: "<count> <url>", where
// the url lacks the process id at its end.
const holdVariable = "GATEWAY_TEST_HOLD"

// hold dials many processes, says when it has, and holds them until its input ends.
func hold(order string) error {
	text, address, _ := strings.Cut(order, " ")
	count, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	next := make(chan int)
	failed := make(chan error, 64)
	var keep sync.Mutex
	var conns []io.Closer
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range next {
				conn, _, _, err := ws.Dial(context.Background(), address+strconv.Itoa(i))
				if err == nil {
					err = ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte(`{"Action":"HeartbeatServerProcess","RequestId":"a","HealthStatus":true}`))))
				}
				if err != nil {
					select {
					case failed <- err:
					default:
					}
					continue
				}
				keep.Lock()
				conns = append(conns, conn)
				keep.Unlock()
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	wg.Wait()
	if len(conns) < count {
		return fmt.Errorf("%d of %d: %w", len(conns), count, <-failed)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(conns)
	return nil
}

// BenchmarkIdleSockets measures what a connected, silent process costs this process: Go's
// memory, of heap, stacks and all. The peers are another process. Each has sent one
// heartbeat.
func BenchmarkIdleSockets(b *testing.B) {
	y := one(b, nil)
	count := 5000
	if text := os.Getenv("GATEWAY_TEST_SOCKETS"); text != "" {
		count, _ = strconv.Atoi(text)
	}
	q := y.query("")
	q.Del("pID")
	before := inUse()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s/?%s&pID=%s", holdVariable, count, y.url, q.Encode(), url.QueryEscape("p")))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		b.Fatalf("peers: %q, %v", line, err)
	}
	b.ReportMetric(float64(count)/time.Since(start).Seconds(), "dials/s")
	b.ReportMetric(float64(inUse()-before)/float64(count), "B/socket")
	b.ReportMetric(0, "ns/op")
	_ = in.Close()
	_ = cmd.Wait()
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse + m.MSpanInuse)
}

// BenchmarkSessionPush measures from CreateGameSession's call to the message at the game
// server.
func BenchmarkSessionPush(b *testing.B) {
	y := one(b, nil)
	clients := map[string]*client{}
	for i := range b.N {
		c := y.ready(fmt.Sprint("p", i))
		clients[fmt.Sprint(i)] = c
	}
	came := make(chan time.Time, 1)
	for _, c := range clients {
		go func() {
			if _, err := c.frame(); err == nil {
				came <- time.Now()
			}
		}()
	}
	var took []time.Duration
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		y.start(2)
		took = append(took, (<-came).Sub(start))
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkHeartbeats measures health reports that change nothing, over 64 sockets.
func BenchmarkHeartbeats(b *testing.B) {
	y := one(b, nil)
	const sockets = 64
	var clients []*client
	for i := range sockets {
		clients = append(clients, y.ready(fmt.Sprint("p", i)))
	}
	frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(`{"Action":"HeartbeatServerProcess","RequestId":"0197b2f6-0000-7000-8000-000000000000","HealthStatus":true}`))))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := i; n < b.N; n += sockets {
				if _, err := c.conn.Write(frame); err != nil {
					b.Error(err)
					return
				}
				if _, err := c.frame(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
