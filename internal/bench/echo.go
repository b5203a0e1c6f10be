package bench

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/matchyard/matchyard/internal/beacon"
)

const (
	echoSockets = 4  // that ping, from an address each
	echoWindow  = 64 // datagrams of each under way, and of a system call
	echoSize    = 32 // bytes
	echoTurns   = 4
)

// echo is the ping beacon under more datagrams than anybody sends, with limits that nobody
// reaches, both ends on this machine. The baseline is the least that can be done: a loop that
// takes and gives as many datagrams in a system call, and looks at none. The second line is
// of processor time, both ends and the kernel's part counted.
func echo(ctx context.Context, o Options) (err error) {
	const most = 1 << 30
	s, err := beacon.Listen("127.0.0.1:0", beacon.Options{PerSecond: most, PerNetwork: most, Total: most})
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(run) }()
	defer func() {
		stop()
		err = errors.Join(err, <-done)
	}()
	plain, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer func() { _ = plain.Close() }()
	go bareEcho(plain)
	// In turns, so that what else the machine does falls on both.
	var ours, bare echoed
	for range echoTurns {
		if err := ours.add(ctx, o.Length/2/echoTurns, s.Addr()); err != nil {
			return err
		}
		if err := bare.add(ctx, o.Length/2/echoTurns, plain.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
			return err
		}
	}
	if ours.back == 0 || bare.back == 0 {
		return errors.New("nothing came back")
	}
	report(o.Out, "echo", ours.perSecond(), "echoes/s", bare.perSecond(), ours.perSecond()/bare.perSecond())
	if ours.spent > 0 && bare.spent > 0 {
		report(o.Out, "echo-cpu", ours.each(), "ns", bare.each(), ours.each()/bare.each())
	}
	return nil
}

// bareEcho sends back what comes until the socket is closed.
func bareEcho(conn *net.UDPConn) {
	p := ipv4.NewPacketConn(conn)
	buffers := make([][]byte, echoWindow)
	ms := make([]ipv4.Message, echoWindow)
	for i := range ms {
		buffers[i] = make([]byte, beacon.MaxSize+1)
		ms[i].Buffers = [][]byte{buffers[i]}
	}
	for {
		n, err := p.ReadBatch(ms, 0)
		if err != nil {
			return
		}
		for i := range ms[:n] {
			ms[i].Buffers[0] = buffers[i][:ms[i].N]
		}
		for sent := 0; sent < n; {
			m, err := p.WriteBatch(ms[sent:n], 0)
			if err != nil {
				break // lost
			}
			sent += m
		}
		for i := range ms[:n] {
			ms[i].Buffers[0] = buffers[i]
		}
	}
}

// echoed is what a load came to.
type echoed struct {
	back        int64
	took, spent time.Duration // by the clock, and of processors; the latter 0 where it is not known
}

func (e *echoed) perSecond() float64 { return float64(e.back) / e.took.Seconds() }
func (e *echoed) each() float64      { return float64(e.spent) / float64(e.back) }

// add loads an echo for a while.
func (e *echoed) add(ctx context.Context, length time.Duration, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var back atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, echoSockets)
	begin, spent := time.Now(), processorTime()
	for i := range errs {
		group.Go(func() { errs[i] = pinger(ctx, byte(i+2), to, &back) })
	}
	group.Wait()
	e.back, e.took, e.spent = e.back+back.Load(), e.took+time.Since(begin), e.spent+processorTime()-spent
	return errors.Join(errs...)
}

// pinger keeps a window of datagrams under way, and begins it again when some were lost.
func pinger(ctx context.Context, address byte, to netip.AddrPort, back *atomic.Int64) error {
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, address)}, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	p := ipv4.NewPacketConn(conn)
	out, in := make([]ipv4.Message, echoWindow), make([]ipv4.Message, echoWindow)
	for i := range out {
		out[i].Buffers, in[i].Buffers = [][]byte{make([]byte, echoSize)}, [][]byte{make([]byte, echoSize)}
	}
	// Where the kernel cuts one long datagram into many, sending costs the load less.
	long, cut := make([]byte, echoWindow*echoSize), segmented(conn, echoSize)
	for n := echoWindow; ctx.Err() == nil; {
		if cut {
			if _, err := conn.Write(long[:n*echoSize]); err != nil {
				return err
			}
		}
		for sent := 0; sent < n && !cut; {
			m, err := p.WriteBatch(out[sent:n], 0)
			if err != nil {
				return err
			}
			sent += m
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			return err
		}
		if n, err = p.ReadBatch(in, 0); err != nil {
			n = echoWindow // lost
			continue
		}
		back.Add(int64(n))
	}
	return nil
}
