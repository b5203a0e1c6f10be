//go:build linux

package agent_test

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/agent"
	"github.com/matchyard/matchyard/internal/beacon"
)

func TestABeaconOfTheHost(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	c.Beacon, c.Address = "127.0.0.1:0", "127.0.0.1"
	p.run(c)
	p.until("hello", func() bool { return len(p.hello) == 1 })
	where := p.hello[0].Beacon
	r, err := beacon.Ping{Count: 3, Every: time.Millisecond, Timeout: patience}.Do(t.Context(), where)
	if err != nil || r.Answered != 3 {
		t.Errorf("beacon %q: %v, %v", where, r, err)
	}
}

func TestWhereBeaconsAre(t *testing.T) {
	taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9), Port: beacon.Port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for name, c := range map[string]struct {
		beacon, shown, address, dns string
		host                        string // of what the server is told; "" when there is no beacon
	}{
		"off":        {"", "", "127.0.0.1", "", ""},
		"taken":      {agent.BeaconAuto, "", "127.0.0.9", "", ""},
		"auto":       {agent.BeaconAuto, "", "127.0.0.10", "", "127.0.0.10"},
		"named":      {"127.0.0.1:0", "", "203.0.113.1", "rack.example", "rack.example"},
		"advertised": {"127.0.0.1:0", "ping.example:17770", "203.0.113.1", "rack.example", "ping.example"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			s := p.settings()
			s.Beacon, s.BeaconAddress, s.Address, s.DNSName = c.beacon, c.shown, c.address, c.dns
			p.run(s)
			p.until("hello", func() bool { return len(p.hello) == 1 })
			host, port, _ := net.SplitHostPort(p.hello[0].Beacon)
			if host != c.host {
				t.Errorf("the server is told %q, want host %q", p.hello[0].Beacon, c.host)
			}
			if name == "auto" && port != strconv.Itoa(beacon.Port) || name == "advertised" && port != "17770" {
				t.Errorf("the server is told %q", p.hello[0].Beacon)
			}
		})
	}
	p := newPlane(t)
	s := p.settings()
	s.Beacon = "127.0.0.9:" + strconv.Itoa(beacon.Port)
	if err := agent.Run(t.Context(), s); err == nil || !strings.Contains(err.Error(), "beacon") {
		t.Errorf("an address that was asked for and is taken: %v", err)
	}
	s.Beacon, s.BeaconAddress = "127.0.0.1:0", "nowhere"
	if err := agent.Run(t.Context(), s); err == nil || !strings.Contains(err.Error(), "beacon-address") {
		t.Errorf("an address without a port: %v", err)
	}
}
