package beacon

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Two beacons on ports of their own are set against each other, by a datagram to one that
// seems to come from the other: they echo until its hops are used up, and no longer.
func TestTwoBeaconsFallSilent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("hops are not counted here")
	}
	for _, network := range []string{"127.0.0.1:0", "[::1]:0"} {
		a, err := Listen(network, Options{PerSecond: -1})
		if err != nil {
			t.Skip(err)
		}
		b, err := Listen(network, Options{PerSecond: -1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, s := range []*Server{a, b} {
			running.Go(func() { _ = s.Run(ctx) })
		}
		if _, err := a.conn.WriteToUDPAddrPort([]byte("what b got, as of a"), b.Addr()); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); a.Stats().Unfit+b.Stats().Unfit == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: they do not end: %+v, %+v", network, a.Stats(), b.Stats())
			}
		}
		if n := a.Stats().Answered + b.Stats().Answered; n < 10 || n > 255 {
			t.Errorf("%s: %d answers", network, n)
		}
		cancel()
		running.Wait()
	}
}

// Whatever a kernel says, turn changes nothing behind it.
func FuzzTurn(f *testing.F) {
	f.Add(make([]byte, controlSize))
	f.Fuzz(func(t *testing.T, control []byte) {
		n := len(control)
		all := append(control[:n:n], bytes.Repeat([]byte{0xA5}, 64)...)
		turn(all[:n])
		if !bytes.Equal(all[n:], bytes.Repeat([]byte{0xA5}, 64)) {
			t.Error("what stands behind was changed")
		}
	})
}
