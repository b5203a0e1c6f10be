package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

// silent is the address of a beacon that takes everything and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// late is the address of a beacon that answers after a while.
func late(t *testing.T, d time.Duration) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		for {
			b := make([]byte, 512)
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			time.AfterFunc(d, func() { _, _ = conn.WriteToUDPAddrPort(b[:n], from) })
		}
	}()
	return conn.LocalAddr().String()
}

// pinging is ping with a short measurement.
func pinging(args ...string) []string {
	return append([]string{"ping", "--count", "4", "--every", "10ms", "--timeout", "1s"}, args...)
}

// A server with its own beacon, a host with one in another location, and a third location
// whose host says nothing: ping measures all of them.
func TestPingMeasuresEveryLocation(t *testing.T) {
	dir := t.TempDir()
	r := start(t, nil, "dev", "--listen", "127.0.0.1:0", "--admin", "off", "--data", dir, "--beacon", "127.0.0.1:0", "--agent", "off")
	url := r.find(`^ready (\S+)`)
	c := client(url, "any", "thing")
	for _, l := range []string{"custom-far", "custom-none", "custom-silent"} {
		if _, err := c.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: &l}); err != nil {
			t.Fatal(err)
		}
	}
	_, token, _ := do(t, nil, "hosts", "token", "create", "test", "--data", dir)
	agents := map[string]string{"custom-far": late(t, 100*time.Millisecond), "custom-silent": silent(t)}
	for location, at := range agents {
		host := command(t.Context(), []string{strings.TrimSpace(token)}, "agent", "--server", url, "--name", location, "--location", location, "--data", t.TempDir(),
			"--statsd", "-", "--crash-reports", "-", "--beacon", "127.0.0.1:0", "--beacon-address", at)
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = host.Process.Kill()
			_ = host.Wait()
		})
	}
	named := func() (n int) {
		out, err := c.ListLocations(t.Context(), &gamelift.ListLocationsInput{})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range out.Locations {
			if l.PingBeacon != nil {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(30 * time.Second); named() < 3; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d locations have beacons", named())
		}
	}
	env := []string{"AWS_ENDPOINT_URL_GAMELIFT=" + url}
	code, out, errs := do(t, env, pinging()...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || errs != "" || len(lines) != 4 {
		t.Fatalf("exit code %d, %s\n%s", code, errs, out)
	}
	for i, want := range []string{"LOCATION", "us-west-2", "custom-far", "custom-silent"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is %q, want it of %s", i, lines[i], want)
		}
	}
	if f := strings.Fields(lines[3]); strings.Join(f, " ") != "custom-silent "+agents["custom-silent"]+" - - - - 100.0 %" {
		t.Errorf("of a beacon that says nothing: %q", lines[3])
	}

	_, out, _ = do(t, env, pinging("-o", "json")...)
	var list []pingLine
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 3 {
		t.Fatalf("%v\n%s", err, out)
	}
	if l := list[1]; l.Location != "custom-far" || l.Endpoint != agents["custom-far"] || l.Sent != 4 || l.Answered != 4 || *l.Min < 99 || *l.P95 < *l.P50 || l.Loss != 0 {
		t.Errorf("as JSON: %s", out)
	}
	if l := list[2]; l.Answered != 0 || l.Loss != 1 || l.P50 != nil {
		t.Errorf("as JSON: %s", out)
	}

	_, out, errs = do(t, env, pinging("-o", "latencies")...)
	var latencies map[string]int32
	if err := json.Unmarshal([]byte(out), &latencies); err != nil || len(latencies) != 2 || latencies["us-west-2"] < 1 || latencies["custom-far"] < 100 ||
		!strings.Contains(errs, "custom-silent: no answer") {
		t.Errorf("latencies: %v\n%s%s", err, out, errs)
	}
	_, out, _ = do(t, env, pinging("-o", "player-latencies", "--player-id", "p 1")...)
	var players []playerLatency
	if err := json.Unmarshal([]byte(out), &players); err != nil || len(players) != 2 || players[1].RegionIdentifier != "custom-far" || players[1].PlayerId != "p 1" ||
		players[1].LatencyInMilliseconds < 99 {
		t.Errorf("latencies of a player: %v\n%s", err, out)
	}
}

func TestPingOfNamedBeacons(t *testing.T) {
	at, dead := late(t, 0), silent(t)
	for name, c := range map[string]struct {
		args        []string
		code        int
		out, reason string
	}{
		"one dead of two":       {[]string{"custom-b=" + dead, "custom-a=" + at}, 0, "custom-a", ""},
		"dead":                  {[]string{dead}, 1, "100.0 %", "no beacon answers"},
		"nobody there":          {[]string{"127.0.0.1:1"}, 1, "100.0 %", "no beacon answers"},
		"no such name":          {[]string{"x.invalid"}, 1, "x.invalid:7770", "no beacon answers"},
		"latencies of nothing":  {[]string{"-o", "latencies", at}, 2, "", "LOCATION=" + at},
		"the faster one counts": {[]string{"-o", "latencies", "a=" + late(t, 90*time.Millisecond), "a=" + at}, 0, `{"a":`, ""},
		"whose":                 {[]string{"-o", "player-latencies", "a=" + at}, 2, "", "--player-id"},
		"for nothing":           {[]string{"--player-id", "x", at}, 2, "", "--player-id"},
		"no location":           {[]string{"=" + at}, 2, "", "LOCATION"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := do(t, nil, pinging(c.args...)...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.reason) || (c.reason == "") != (errs == "") {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errs)
			}
			if name == "the faster one counts" {
				var l map[string]int
				if err := json.Unmarshal([]byte(out), &l); err != nil || l["a"] >= 90 {
					t.Errorf("%v: %s", err, out)
				}
			}
		})
	}
}
