package beacon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"time"
)

// Ping is how a beacon is measured. Count and Every must be positive.
type Ping struct {
	Count   int
	Every   time.Duration
	Timeout time.Duration // for an answer, after which it counts as lost
}

// Result is what was measured. The times are of answered pings and zero without any.
type Result struct {
	Sent, Answered     int
	Min, P50, P95, Max time.Duration
	// Jitter is the mean difference between the times of pings that follow each other.
	Jitter time.Duration
	// Loss is the share of pings without an answer, 0 to 1.
	Loss float64
}

// payload is what a ping carries: its number, when it was sent, and what only its sender
// knows.
const payload = 32

// Do pings an endpoint, HOST:PORT. The error is of the sender's own making: a name that
// cannot be found, a network that cannot be reached, ctx. Silence is not an error but loss.
func (p Ping) Do(ctx context.Context, endpoint string) (Result, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", endpoint)
	if err != nil {
		return Result{}, err
	}
	defer conn.Close()
	var secret [16]byte
	_, _ = rand.Read(secret[:])
	begin := time.Now()
	took := make([]time.Duration, p.Count) // 0: no answer
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		p.receive(conn, secret, begin, took)
	}()
	next := time.NewTicker(p.Every)
	defer next.Stop()
	r := Result{}
	for i := range p.Count {
		b := make([]byte, payload)
		binary.BigEndian.PutUint64(b, uint64(i))
		copy(b[16:], secret[:])
		binary.BigEndian.PutUint64(b[8:], uint64(time.Since(begin)))
		if _, err := conn.Write(b); err != nil && !refusedBefore(err) {
			_ = conn.SetReadDeadline(time.Now())
			<-answers
			return Result{}, err
		}
		r.Sent++
		if i == p.Count-1 {
			break
		}
		select {
		case <-ctx.Done():
		case <-next.C:
		}
		if ctx.Err() != nil {
			break
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(p.Timeout))
	select {
	case <-answers:
	case <-ctx.Done():
		_ = conn.SetReadDeadline(time.Now())
		<-answers
	}
	return r.measured(took[:r.Sent], p.Timeout), ctx.Err()
}

// refusedBefore tells whether the error is of an earlier datagram: nobody listens there,
// which is loss.
func refusedBefore(err error) bool {
	var sys *os.SyscallError
	return errors.As(err, &sys) && sys.Syscall == "write"
}

// receive notes the time of each answer until all are there or the deadline passes.
func (p Ping) receive(conn net.Conn, secret [16]byte, begin time.Time, took []time.Duration) {
	b := make([]byte, 2*payload)
	for left := p.Count; left > 0; {
		n, err := conn.Read(b)
		now := time.Since(begin)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != payload || [16]byte(b[16:payload]) != secret {
			continue
		}
		if i := binary.BigEndian.Uint64(b); i < uint64(len(took)) && took[i] == 0 {
			took[i] = max(now-time.Duration(binary.BigEndian.Uint64(b[8:])), 1)
			left--
		}
	}
}

// measured makes the figures from the times of all pings that were sent.
func (r Result) measured(took []time.Duration, timeout time.Duration) Result {
	var times []time.Duration
	var changes time.Duration
	for _, d := range took {
		if d == 0 || d > timeout {
			continue
		}
		if n := len(times); n > 0 {
			changes += (d - times[n-1]).Abs()
		}
		times = append(times, d)
	}
	r.Answered = len(times)
	if r.Sent > 0 {
		r.Loss = 1 - float64(r.Answered)/float64(r.Sent)
	}
	if len(times) == 0 {
		return r
	}
	if n := len(times) - 1; n > 0 {
		r.Jitter = changes / time.Duration(n)
	}
	slices.Sort(times)
	at := func(share float64) time.Duration { return times[int(math.Ceil(share*float64(len(times))))-1] }
	r.Min, r.P50, r.P95, r.Max = times[0], at(0.5), at(0.95), times[len(times)-1]
	return r
}

// String is the result in a line.
func (r Result) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
	if r.Answered == 0 {
		return fmt.Sprintf("no answer to %d pings", r.Sent)
	}
	return fmt.Sprintf("min %s  p50 %s  p95 %s  max %s  jitter %s ms  loss %.1f %% of %d", ms(r.Min), ms(r.P50), ms(r.P95), ms(r.Max), ms(r.Jitter), 100*r.Loss, r.Sent)
}
