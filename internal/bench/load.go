package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load is a closed loop of HTTP requests: each of so many connections sends one, waits for
// its answer, and sends the next. It is written by hand to cost the machine it shares with
// the server as little as it can: requests are appended to a buffer, answers are read up to
// their Content-Length and not decoded.
type load struct {
	address string
	conns   int
	length  time.Duration
	total   int64                          // most requests; 0 means no limit
	next    func(b []byte, i int64) []byte // appends request number i, head and body
	each    int                            // what one answer counts for; 0 means 1
}

// figures are what a load measured.
type figures struct {
	done   int64 // answers with status 200, times each
	failed int64
	first  string // the first failure
	took   time.Duration
	waits  []time.Duration // sorted; one of every request
}

func (f figures) perSecond() float64 { return float64(f.done) / f.took.Seconds() }

// quantile is the wait that a share q of the requests did not exceed.
func (f figures) quantile(q float64) time.Duration {
	if len(f.waits) == 0 {
		return 0
	}
	return f.waits[min(len(f.waits)-1, int(q*float64(len(f.waits))))]
}

func (f figures) err() error {
	if f.failed > 0 {
		return fmt.Errorf("%d of %d requests failed, the first with: %s", f.failed, f.failed+f.done, f.first)
	}
	if f.done == 0 {
		return errors.New("no request was answered")
	}
	return nil
}

func (l load) run(ctx context.Context) (figures, error) {
	var (
		number atomic.Int64
		group  sync.WaitGroup
		mu     sync.Mutex
		sum    figures
		fault  error
	)
	start := time.Now()
	deadline := start.Add(l.length)
	for range l.conns {
		group.Go(func() {
			f, err := l.worker(ctx, &number, deadline)
			mu.Lock()
			defer mu.Unlock()
			sum.done += f.done
			sum.failed += f.failed
			sum.waits = append(sum.waits, f.waits...)
			if sum.first == "" {
				sum.first = f.first
			}
			fault = errors.Join(fault, err)
		})
	}
	group.Wait()
	sum.took = time.Since(start)
	slices.Sort(sum.waits)
	if fault != nil {
		return sum, fault
	}
	return sum, sum.err()
}

func (l load) worker(ctx context.Context, number *atomic.Int64, deadline time.Time) (f figures, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return f, err
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 16<<10)
	var request, body []byte
	for ctx.Err() == nil && time.Now().Before(deadline) {
		i := number.Add(1) - 1
		if l.total > 0 && i >= l.total {
			return f, nil
		}
		request = l.next(request[:0], i)
		sent := time.Now()
		if _, err := conn.Write(request); err != nil {
			return f, err
		}
		var status int
		if status, body, err = readAnswer(r, body); err != nil {
			return f, err
		}
		f.waits = append(f.waits, time.Since(sent))
		if status == 200 {
			f.done += int64(max(l.each, 1))
			continue
		}
		if f.failed++; f.first == "" {
			f.first = fmt.Sprintf("%d %q", status, body)
		}
	}
	return f, ctx.Err()
}

// readAnswer reads one HTTP/1.1 response that has a Content-Length.
func readAnswer(r *bufio.Reader, body []byte) (status int, _ []byte, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, body, err
	}
	if len(line) < 12 {
		return 0, body, fmt.Errorf("status line %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, body, fmt.Errorf("status line %q", line)
	}
	length := 0
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, body, err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, body, err
			}
		}
	}
	body = slices.Grow(body[:0], length)[:length]
	_, err = io.ReadFull(r, body)
	return status, body, err
}
