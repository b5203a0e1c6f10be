package webhook_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/webhook"
)

// sqlite runs f on SQLite alone, where the database has no part in what is tested.
func sqlite(t *testing.T) (*store.DB, *storetest.Clock) {
	t.Helper()
	clock := storetest.NewClock()
	return storetest.Open(t, "sqlite:"+t.TempDir()+"/db", clock.Now), clock
}

// lastError is why the sink's first try failed.
func lastError(t *testing.T, n *node) string {
	t.Helper()
	eventually(t, "a first try", func() bool { return n.Stats().Failures > 0 })
	w := newRecorder()
	mux := http.NewServeMux()
	n.Admin(mux)
	mux.ServeHTTP(w, get("/events"))
	_, rest, _ := strings.Cut(w.Body.String(), `"lastError":"`)
	reason, _, _ := strings.Cut(rest, `"`)
	return reason
}

func TestNoWebhookReachesOurOwnNetwork(t *testing.T) {
	// Listeners of this machine, so that a guard that is not there shows.
	ports := map[string]string{}
	var reached atomic.Int64
	for _, network := range []string{"tcp4", "tcp6"} {
		l, err := net.Listen(network, map[string]string{"tcp4": "0.0.0.0:0", "tcp6": "[::]:0"}[network])
		if err != nil {
			t.Logf("NOT LISTENING on %s: %v", network, err)
			continue
		}
		t.Cleanup(func() { _ = l.Close() })
		_, ports[network], _ = net.SplitHostPort(l.Addr().String())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				reached.Add(1)
				_ = c.Close()
			}
		}()
	}
	port := ports["tcp4"]
	var sinks []webhook.Sink
	hosts := []string{
		"127.0.0.1", "127.1.2.3", "0.0.0.0", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.100.100.200",
		"224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.192", "198.18.0.1",
		"[::1]", "[::]", "[fd00::1]", "[fe80::1]", "[ff02::1]", "[fec0::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]",
		"[::127.0.0.1]", "[64:ff9b::10.0.0.1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[2001:db8::1]",
		"localhost", "2130706433", "0177.0.0.1", "0x7f.1", "127.1",
		"private.example", "metadata.example", "six.example", "both.example",
	}
	for i, host := range hosts {
		sinks = append(sinks, webhook.Sink{
			Name: "hook-" + string(rune('A'+i/26)) + string(rune('a'+i%26)), Kind: webhook.Webhook, URL: "https://" + host + ":" + port + "/", Secret: secret, Timeout: 3 * time.Second,
		})
	}
	db, _ := sqlite(t)
	n := start(t, db, setup{sinks: sinks, resolver: names(t, map[string][]string{
		"private.example.":  {"10.0.0.1"},
		"metadata.example.": {"169.254.169.254"},
		"six.example.":      {"::1"},
		"both.example.":     {"192.168.0.1", "127.0.0.1"},
	})})
	n.happen("placement/1", "1")
	eventually(t, "a try of each", func() bool { return n.Stats().Failures >= int64(len(hosts)) })
	w := newRecorder()
	mux := http.NewServeMux()
	n.Admin(mux)
	mux.ServeHTTP(w, get("/events"))
	for i, part := range strings.Split(w.Body.String(), `{"name":"`)[1:] {
		// Forms that are no addresses are names, which nobody has.
		named := strings.ContainsAny(hosts[i], "x") && !strings.HasSuffix(hosts[i], ".example") || hosts[i] == "2130706433" || hosts[i] == "0177.0.0.1" || hosts[i] == "127.1"
		if !strings.Contains(part, "is not an address on the Internet") && (!named || !strings.Contains(part, "lookup")) {
			t.Errorf("%s: %s", hosts[i], part)
		}
	}
	if reached.Load() != 0 {
		t.Errorf("%d connections were made", reached.Load())
	}
}

// names is a resolver that knows these names and no others.
func names(t *testing.T, known map[string][]string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		var q [512]byte
		for {
			n, from, err := server.ReadFrom(q[:])
			if err != nil {
				return
			}
			_, _ = server.WriteTo(resolve(q[:n], known), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// resolve answers a DNS query of one question.
func resolve(q []byte, known map[string][]string) []byte {
	name, at := "", 12
	for q[at] != 0 {
		name += string(q[at+1:at+1+int(q[at])]) + "."
		at += 1 + int(q[at])
	}
	question := q[12 : at+5]
	kind := binary.BigEndian.Uint16(q[at+1:])
	var records []byte
	count := 0
	for _, text := range known[name] {
		a := netip.MustParseAddr(text)
		if a.Is4() != (kind == 1) {
			continue
		}
		count++
		records = append(records, 0xc0, 12)
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0)
		records = binary.BigEndian.AppendUint16(records, uint16(len(a.AsSlice())))
		records = append(records, a.AsSlice()...)
	}
	code := byte(0)
	if known[name] == nil {
		code = 3 // no such name
	}
	answer := append([]byte{q[0], q[1], 0x84, code, 0, 1, 0, byte(count), 0, 0, 0, 0}, question...)
	return append(answer, records...)
}

func TestANameMayLeadToUsWhereThatIsAllowed(t *testing.T) {
	r := newReceiver(t)
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	db, _ := sqlite(t)
	n := start(t, db, setup{
		sinks:    []webhook.Sink{hook("http://backend.example:" + u.Port() + "/")},
		resolver: names(t, map[string][]string{"backend.example.": {"127.0.0.1"}}),
	})
	n.happen("placement/1", "1")
	r.waitFor(t, 1)
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other, r := newReceiver(t), newReceiver(t)
	for _, code := range []int{301, 302, 303, 307, 308} {
		r.answers(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(code)
			return false
		})
		db, _ := sqlite(t)
		n := start(t, db, setup{sinks: []webhook.Sink{hook(r.URL)}})
		n.happen("placement/1", "1")
		if reason := lastError(t, n); !strings.Contains(reason, "redirects are not followed") {
			t.Errorf("status %d: %s", code, reason)
		}
		n.stop()
	}
	if got := other.got(); len(got) != 0 {
		t.Errorf("%v arrived where the redirects lead", got)
	}
}

func TestAnAnswerWithoutEndIsNotRead(t *testing.T) {
	r := newReceiver(t)
	r.answers(func(w http.ResponseWriter, q *http.Request, _ string) bool {
		for q.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				break
			}
		}
		return true
	})
	db, _ := sqlite(t)
	sink := hook(r.URL)
	sink.Timeout = 5 * time.Minute
	n := start(t, db, setup{sinks: []webhook.Sink{sink}})
	n.happen("placement/1", "1")
	r.waitFor(t, 1)
	eventually(t, "nothing is left", func() bool { return n.pending("hook") == 0 })
}

func TestErrorsDoNotShowTheURL(t *testing.T) {
	db, _ := sqlite(t)
	n := start(t, db, setup{sinks: []webhook.Sink{hook("http://user:s3cret@127.0.0.1:1/t0ken?key=v4lue")}})
	n.happen("placement/1", "1")
	reason := lastError(t, n)
	for _, hidden := range []string{"s3cret", "t0ken", "v4lue"} {
		if strings.Contains(reason, hidden) || strings.Contains(n.said.String(), hidden) {
			t.Errorf("%q is in %q or in the log:\n%s", hidden, reason, n.said)
		}
	}
}
