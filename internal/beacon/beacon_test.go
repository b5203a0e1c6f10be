package beacon_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strconv"
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

// echo sends a datagram and waits for its answer.
func echo(t *testing.T, conn *net.UDPConn, datagram []byte) []byte {
	t.Helper()
	return ask(t, conn, datagram, 10*time.Second)
}

// unanswered sends a datagram of which nothing must come back.
func unanswered(t *testing.T, conn *net.UDPConn, datagram []byte) (back []byte) {
	t.Helper()
	return ask(t, conn, datagram, 100*time.Millisecond)
}

func ask(t *testing.T, conn *net.UDPConn, datagram []byte, patience time.Duration) []byte {
	t.Helper()
	if _, err := conn.Write(datagram); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
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
	if back := unanswered(t, conn, make([]byte, beacon.MaxSize+1)); back != nil {
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

// Whatever comes, what goes out is what came, and never more of it.
func TestNeverMoreOutThanIn(t *testing.T) {
	s := start(t, beacon.Options{PerSecond: 10})
	random := rand.New(rand.NewPCG(1, 2))
	var conns []*net.UDPConn
	for i := range 20 {
		conns = append(conns, dial(t, s, "127.0.1."+strconv.Itoa(i+1)+":0"))
	}
	sent := map[string]int{}
	for i := range 3000 {
		datagram := make([]byte, random.IntN(2*beacon.MaxSize))
		for j := range datagram {
			datagram[j] = byte(random.Uint32())
		}
		sent[string(datagram)]++
		if _, err := conns[i%len(conns)].Write(datagram); err != nil {
			t.Fatal(err)
		}
	}
	back := 0
	for _, c := range conns {
		for {
			if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 4096)
			n, err := c.Read(b)
			if err != nil {
				break
			}
			back++
			if sent[string(b[:n])]--; sent[string(b[:n])] < 0 {
				t.Fatalf("%d bytes came that were not sent, or twice", n)
			}
		}
	}
	if st := s.Stats(); back == 0 || int64(back) != st.Answered || st.BytesOut > st.BytesIn || st.Answered+st.Large+st.Fast != st.Received {
		t.Errorf("%d answers; stats are %+v", back, st)
	}
}

// A socket of all interfaces and both families answers from the address that was asked.
func TestTheAddressThatWasAskedAnswers(t *testing.T) {
	s, err := beacon.Listen(":0", beacon.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	port := strconv.Itoa(int(s.Addr().Port()))
	for _, host := range []string{"127.0.0.1", "127.0.0.77", "::1"} {
		// A connected socket takes nothing of other addresses.
		conn, err := net.Dial("udp", net.JoinHostPort(host, port))
		if err != nil {
			t.Logf("no %s here: %v", host, err)
			continue
		}
		defer func() { _ = conn.Close() }()
		if back := echo(t, conn.(*net.UDPConn), []byte("hello")); string(back) != "hello" {
			t.Errorf("%s does not answer", host)
		}
	}
}

// A datagram to all machines of a network would be answered by all their beacons.
func TestBroadcastsAreNotAnswered(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("broadcasts are not told apart here")
	}
	s, err := beacon.Listen(":0", beacon.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.WriteToUDP([]byte("all"), &net.UDPAddr{IP: net.IPv4(127, 255, 255, 255), Port: int(s.Addr().Port())}); err != nil {
		t.Skip(err)
	}
	for end := time.Now().Add(10 * time.Second); s.Stats().Received == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Received != 1 || st.Unfit != 1 || st.Answered != 0 {
		t.Errorf("stats are %+v", st)
	}
}

func TestBeaconsDoNotAnswerServices(t *testing.T) {
	s := start(t, beacon.Options{})
	echoes := dial(t, s, "127.0.0.4:7770")
	if back := unanswered(t, echoes, []byte("echo")); back != nil {
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
