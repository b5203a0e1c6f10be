// Package beacon is the UDP ping beacon of a location: clients measure their latency by
// sending a datagram and getting it back (hosting.md 5.2, ecosystem 3.4). It owns one
// socket and its limits, and knows no room.
//
// It cannot be used against others: an answer is never larger than the question; an
// address, a network and all together get no more than so many a second; questions that seem
// to come from a service (ports below 1024, the port of beacons) or went to more than this
// machine (broadcasts) are not answered. An answer has one hop less to go than the question
// had, so that even two beacons on other ports, set against each other, fall silent (Linux).
package beacon

import (
	"context"
	"errors"
	"fmt"
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

	batch  = 64      // datagrams a system call takes or gives
	memory = 8 << 20 // of the socket, each way
)

// Options are a beacon's limits. A zero field means its default.
type Options struct {
	// PerSecond is how many datagrams of one address (of IPv6: 64 bits of it) are answered in
	// a second, PerNetwork of its network (24 bits; of IPv6 48), Total of all. Defaults: 20,
	// ten times as many, and 50,000. Less than zero means any number.
	PerSecond, PerNetwork, Total int
	Logger                       *slog.Logger
}

// Stats count datagrams since the start.
type Stats struct {
	Received, Answered int64
	// Not answered: over MaxSize; over PerSecond or PerNetwork; over Total; from an unfit port,
	// to an unfit address, or with no hop left.
	Large, Fast, Busy, Unfit int64
	BytesIn, BytesOut        int64
}

// Server is a beacon that listens.
type Server struct {
	conn     *net.UDPConn
	batches  batcher
	own      uint16
	limit    limits
	logger   *slog.Logger
	received atomic.Int64
	answered atomic.Int64
	large    atomic.Int64
	fast     atomic.Int64
	busy     atomic.Int64
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
	s.limit.set(o)
	watchHops(conn, udp.IP == nil || udp.IP.IsUnspecified())
	return s, nil
}

// Addr is where the beacon listens.
func (s *Server) Addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Stats are the counts so far.
func (s *Server) Stats() Stats {
	return Stats{
		s.received.Load(), s.answered.Load(), s.large.Load(), s.fast.Load(), s.busy.Load(), s.unfit.Load(), s.bytesIn.Load(), s.bytesOut.Load(),
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
		in[i].OOB = make([]byte, controlSize)
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
		second := uint32(time.Now().Unix())
		var bytesIn, bytesOut int64
		for i := range in[:n] {
			m := &in[i]
			bytesIn += int64(m.N)
			if s.fit(m, second) {
				out = append(out, ipv4.Message{Buffers: [][]byte{m.Buffers[0][:m.N]}, OOB: m.OOB[:m.NN], Addr: m.Addr})
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
func (s *Server) fit(m *ipv4.Message, second uint32) bool {
	from, ok := m.Addr.(*net.UDPAddr)
	switch {
	case !ok || from.Port < 1024 || from.Port == Port || from.Port == int(s.own):
		s.unfit.Add(1)
		return false
	case m.N > MaxSize:
		s.large.Add(1)
		return false
	}
	if !turn(m.OOB[:m.NN]) {
		s.unfit.Add(1)
		return false
	}
	ip, _ := netip.AddrFromSlice(from.IP)
	switch s.limit.allow(ip.Unmap(), second) {
	case tooFast:
		s.fast.Add(1)
	case tooBusy:
		s.busy.Add(1)
	case allowed:
		return true
	}
	return false
}
