// Package beacon is the UDP ping beacon of a location: clients measure their latency by
// sending a datagram and getting it back (hosting.md 5.2, ecosystem 3.4). It owns one
// socket and its limits, and knows no room.
//
// It cannot be used against others: an answer is never larger than the question, nobody
// gets more than a few a second, and questions that seem to come from a service (ports
// below 1024, other beacons) are not answered, so that no two echoes talk for ever.
package beacon

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// Port is where beacons are by custom.
	Port = 7770
	// MaxSize is the largest datagram that is answered.
	MaxSize = 512

	batch   = 64      // datagrams a system call takes or gives
	buckets = 1 << 16 // counters of each row of the limiter
	memory  = 8 << 20 // of the socket, each way
)

// Options are a beacon's limits. A zero field means its default.
type Options struct {
	// PerSecond is how many datagrams of one address are answered in a second; default 20.
	// Less than zero means any number.
	PerSecond int
	Logger    *slog.Logger
}

// Stats count datagrams since the start.
type Stats struct {
	Received, Answered int64
	Large, Fast, Unfit int64 // not answered: over MaxSize, over PerSecond, from an unfit port
	BytesIn, BytesOut  int64
}

// Server is a beacon that listens.
type Server struct {
	conn     *net.UDPConn
	batches  batcher
	own      uint16
	limit    limiter
	logger   *slog.Logger
	received atomic.Int64
	answered atomic.Int64
	large    atomic.Int64
	fast     atomic.Int64
	unfit    atomic.Int64
	bytesIn  atomic.Int64
	bytesOut atomic.Int64
}

// batcher takes and gives many datagrams in one system call.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// Listen opens a beacon at HOST:PORT; port 0 takes a free one.
func Listen(address string, o Options) (*Server, error) {
	udp, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("beacon: %w", err)
	}
	conn, err := net.ListenUDP("udp", udp)
	if err != nil {
		return nil, fmt.Errorf("beacon: %w", err)
	}
	// The kernel gives what it allows.
	_ = conn.SetReadBuffer(memory)
	_ = conn.SetWriteBuffer(memory)
	s := &Server{conn: conn, logger: o.Logger, own: conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()}
	s.batches = ipv6.NewPacketConn(conn)
	if udp.IP.To4() != nil {
		s.batches = ipv4.NewPacketConn(conn)
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	s.limit = limiter{most: int64(o.PerSecond), seed: maphash.MakeSeed()}
	if o.PerSecond == 0 {
		s.limit.most = 20
	}
	return s, nil
}

// Addr is where the beacon listens.
func (s *Server) Addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Stats are the counts so far.
func (s *Server) Stats() Stats {
	return Stats{
		s.received.Load(), s.answered.Load(), s.large.Load(), s.fast.Load(), s.unfit.Load(), s.bytesIn.Load(), s.bytesOut.Load(),
	}
}

// Run answers until ctx ends, and closes the socket.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	var group sync.WaitGroup
	group.Go(func() { s.serve(ctx) })
	group.Wait()
	return s.Close()
}

// Close closes the socket of a beacon that does not run.
func (s *Server) Close() error {
	if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (s *Server) serve(ctx context.Context) {
	in := make([]ipv4.Message, batch)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, MaxSize+1)}
	}
	out := make([]ipv4.Message, 0, batch)
	for ctx.Err() == nil {
		n, err := s.batches.ReadBatch(in, 0)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			s.logger.Warn("beacon cannot read", slog.Any("error", err))
			time.Sleep(10 * time.Millisecond) // an error of the network, told per socket
			continue
		}
		out = out[:0]
		second := time.Now().Unix()
		var bytesIn, bytesOut int64
		for i := range in[:n] {
			m := &in[i]
			bytesIn += int64(m.N)
			if s.fit(m, second) {
				out = append(out, ipv4.Message{Buffers: [][]byte{m.Buffers[0][:m.N]}, Addr: m.Addr})
				bytesOut += int64(m.N)
			}
		}
		s.received.Add(int64(n))
		s.bytesIn.Add(bytesIn)
		sent := s.send(out)
		s.answered.Add(int64(sent))
		s.bytesOut.Add(bytesOut)
	}
}

// send gives what it can; a datagram that cannot be sent is lost, as datagrams may be.
func (s *Server) send(out []ipv4.Message) (sent int) {
	for len(out) > 0 {
		n, err := s.batches.WriteBatch(out, 0)
		sent += max(n, 0)
		switch {
		case err == nil && n > 0:
			out = out[n:]
		case errors.Is(err, net.ErrClosed):
			return sent
		default:
			out = out[1:] // the first of a batch is the one that failed
		}
	}
	return sent
}

// fit tells whether a datagram is answered, and counts why not.
func (s *Server) fit(m *ipv4.Message, second int64) bool {
	from, ok := m.Addr.(*net.UDPAddr)
	switch {
	case !ok || from.Port < 1024 || from.Port == Port || from.Port == int(s.own):
		s.unfit.Add(1)
		return false
	case m.N > MaxSize:
		s.large.Add(1)
		return false
	}
	ip, _ := netip.AddrFromSlice(from.IP)
	if !s.limit.allow(ip.Unmap(), second) {
		s.fast.Add(1)
		return false
	}
	return true
}

// limiter counts the datagrams of addresses in a second, in fixed memory: two rows of
// counters, of which an address has one each. The lower one counts, so that an address
// suffers from others only where two of them meet it. IPv6 addresses of one network of 64
// bits count as one.
type limiter struct {
	most int64 // less than zero: no limit
	seed maphash.Seed
	rows [2][buckets]counter
}

// counter counts in one second, and begins again in another.
type counter struct{ second, n int64 }

func (l *limiter) allow(from netip.Addr, second int64) bool {
	if l.most < 0 {
		return true
	}
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil {
			from = p.Addr()
		}
	}
	sum := maphash.Comparable(l.seed, from)
	a, b := &l.rows[0][sum%buckets], &l.rows[1][sum>>32%buckets]
	low := min(a.count(second), b.count(second))
	return low <= l.most
}

func (c *counter) count(second int64) int64 {
	if c.second != second {
		c.second, c.n = second, 0
	}
	c.n++
	return c.n
}
