package beacon_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/beacon"
)

// start runs a beacon until the test ends.
func start(t *testing.T, o beacon.Options) *beacon.Server {
	t.Helper()
	s, err := beacon.Listen("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial opens a socket to a beacon, from an address of its own.
func dial(t *testing.T, s *beacon.Server, from string) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// echo sends a datagram; nil means that no answer came.
func echo(t *testing.T, conn *net.UDPConn, datagram []byte) []byte {
	t.Helper()
	if _, err := conn.Write(datagram); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil {
		return nil
	}
	return b[:n]
}

func TestDatagramsComeBackAsTheyAre(t *testing.T) {
	s := start(t, beacon.Options{})
	conn := dial(t, s, "127.0.0.1:0")
	for _, datagram := range [][]byte{[]byte("x"), []byte("Ping!"), bytes.Repeat([]byte{0xFF, 0}, beacon.MaxSize/2)} {
		if back := echo(t, conn, datagram); !bytes.Equal(back, datagram) {
			t.Errorf("%d bytes came back as %d", len(datagram), len(back))
		}
	}
	if back := echo(t, conn, make([]byte, beacon.MaxSize+1)); back != nil {
		t.Errorf("too large a datagram was answered with %d bytes", len(back))
	}
	if st := s.Stats(); st.Received != 4 || st.Answered != 3 || st.Large != 1 || st.BytesOut > st.BytesIn {
		t.Errorf("stats are %+v", st)
	}
}

// A flood under one address, as of a victim, costs others nothing and gives the victim no
// more than a few datagrams a second.
func TestOneAddressGetsAFewASecond(t *testing.T) {
	s := start(t, beacon.Options{PerSecond: 5})
	victim, other := dial(t, s, "127.0.0.2:0"), dial(t, s, "127.0.0.3:0")
	begin := time.Now()
	for range 2000 {
		if _, err := victim.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if back := echo(t, other, []byte("hello")); string(back) != "hello" {
		t.Error("the flood kept another from its answer")
	}
	seconds := int64(time.Since(begin)/time.Second) + 2 // those begun
	st := s.Stats()
	if st.Answered > 5*seconds+1 || st.Fast < 1000 {
		t.Errorf("in %d seconds %d were answered and %d not", seconds, st.Answered, st.Fast)
	}
}

func TestBeaconsDoNotAnswerServices(t *testing.T) {
	s := start(t, beacon.Options{})
	echoes := dial(t, s, "127.0.0.4:7770")
	if back := echo(t, echoes, []byte("echo")); back != nil {
		t.Error("another beacon's datagram was answered: the two would never stop")
	}
	if st := s.Stats(); st.Unfit != 1 || st.Answered != 0 {
		t.Errorf("stats are %+v", st)
	}
}

func TestPing(t *testing.T) {
	s := start(t, beacon.Options{PerSecond: 1000})
	r, err := beacon.Ping{Count: 20, Every: time.Millisecond, Timeout: time.Second}.Do(t.Context(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 20 || r.Answered != 20 || r.Loss != 0 || r.Min <= 0 || r.Min > r.P50 || r.P50 > r.P95 || r.P95 > r.Max {
		t.Errorf("measured %+v", r)
	}
}

func TestPingOfADeafBeacon(t *testing.T) {
	s := start(t, beacon.Options{PerSecond: 4})
	r, err := beacon.Ping{Count: 40, Every: time.Millisecond, Timeout: 100 * time.Millisecond}.Do(t.Context(), s.Addr().String())
	if err != nil || r.Sent != 40 || r.Answered < 4 || r.Answered > 12 || r.Loss < 0.7 {
		t.Errorf("of a beacon that answers 4 a second: %+v, %v", r, err)
	}
	nobody, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	where := nobody.LocalAddr().String()
	_ = nobody.Close()
	r, err = beacon.Ping{Count: 3, Every: time.Millisecond, Timeout: 50 * time.Millisecond}.Do(t.Context(), where)
	if err != nil || r.Answered != 0 || r.Loss != 1 || r.String() != "no answer to 3 pings" {
		t.Errorf("of nobody: %v, %v", r, err)
	}
	if _, err := (beacon.Ping{Count: 1, Every: 1, Timeout: 1}).Do(t.Context(), "nowhere"); err == nil {
		t.Error("an endpoint without a port was pinged")
	}
}
