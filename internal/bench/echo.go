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
	echoWindow  = 64 // datagrams of each under way
	echoSize    = 32 // bytes
)

// echo is the ping beacon under more datagrams than anybody sends, both ends on this
// machine. The baseline is a loop that reads and writes one datagram after the other.
func echo(ctx context.Context, o Options) error {
	s, err := beacon.Listen("127.0.0.1:0", beacon.Options{PerSecond: -1})
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(run) }()
	ours, err := echoes(ctx, o.Length/2, s.Addr())
	stop()
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	plain, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, beacon.MaxSize)
		for {
			n, from, err := plain.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = plain.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	bare, err := echoes(ctx, o.Length/2, plain.LocalAddr().(*net.UDPAddr).AddrPort())
	_ = plain.Close()
	if err != nil {
		return err
	}
	report(o.Out, "echo", ours, "echoes/s", bare, ours/bare)
	return nil
}

// echoes is how many datagrams a second come back.
func echoes(ctx context.Context, length time.Duration, to netip.AddrPort) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var back atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, echoSockets)
	begin := time.Now()
	for i := range errs {
		group.Go(func() { errs[i] = pinger(ctx, byte(i+2), to, &back) })
	}
	group.Wait()
	return float64(back.Load()) / time.Since(begin).Seconds(), errors.Join(errs...)
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
	for n := echoWindow; ctx.Err() == nil; {
		for sent := 0; sent < n; {
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
