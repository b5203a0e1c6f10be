package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet/fleettest"
	"github.com/matchyard/matchyard/internal/gateway"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// farm is a yard that keeps hosts.
type farm struct {
	*yard
	hosts *host.Service
	token string
}

type noLinks struct{}

func (noLinks) Get(key string, _ time.Duration, _ string) string { return "/get/" + key }
func (noLinks) Put(key string, _ time.Duration, _ int64) string  { return "/put/" + key }

// eachFarm runs a test on both databases.
func eachFarm(t *testing.T, f func(y *farm)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		y := newFarm(t, db, clock)
		var err error
		_, y.token, err = y.hosts.CreateToken(t.Context(), "test")
		check(t, err)
		f(y)
	})
}

func newFarm(t *testing.T, db *store.DB, clock *storetest.Clock) *farm {
	y := &farm{yard: &yard{t: t, clock: clock}}
	y.hosts = &host.Service{DB: db, Home: arn.Home{Region: "us-west-2", Account: "123456789012"}, Links: noLinks{}, Wall: time.Now}
	y.build(db, func(s *gateway.Server) {
		s.Hosts = y.hosts
		s.PollEvery, s.TailEvery = 200*time.Millisecond, 200*time.Millisecond
		y.hosts.Fleets, y.hosts.Computes, y.hosts.Sessions = y.fleets, y.computes, y.sessions
	})
	y.fleets.Builds = &build.Service{DB: db, Home: y.fleets.Home, Tags: y.fleets.Tags}
	y.hosts.Builds = y.fleets.Builds
	y.hosts.SDKEndpoint = func() string { return y.url }
	y.fleets.Deleting, y.fleets.Leaving, y.fleets.Instances = y.computes.DropFleetTx, y.computes.DropLocationTx, y.hosts.InstancesTx
	y.computes.Noted, y.sessions.Hosting, y.sessions.LogURL = y.hosts.Noted, y.hosts.Hosting, y.hosts.LogURL
	return y
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hand is the socket of an agent, driven by a test.
type hand struct {
	t    testing.TB
	conn net.Conn
}

// dialHost opens an agent's socket.
func (y *farm) dialHost(token string) (*hand, error) {
	d := ws.Dialer{Timeout: patience, Header: ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + token}})}
	conn, _, _, err := d.Dial(y.t.Context(), y.url+hostmsg.Path)
	if err != nil {
		return nil, err
	}
	y.t.Cleanup(func() { _ = conn.Close() })
	return &hand{y.t, conn}, nil
}

// join opens an agent's socket, says Hello and returns the answer.
func (y *farm) joinHost(name string, runs ...hostmsg.InstanceState) (*hand, *hostmsg.Sync) {
	y.t.Helper()
	h, err := y.dialHost(y.token)
	check(y.t, err)
	h.say(&hostmsg.Hello{Host: name, Address: "127.0.0.1", OS: "linux", Capacity: 5, Instances: runs})
	s, ok := h.next().(*hostmsg.Sync)
	if !ok {
		y.t.Fatal("Hello was not answered with Sync")
	}
	return h, s
}

func (h *hand) say(m any) {
	h.t.Helper()
	text, err := hostmsg.Encode(m)
	check(h.t, err)
	check(h.t, wsutil.WriteClientText(h.conn, text))
}

// next is the next message.
func (h *hand) next() any {
	h.t.Helper()
	_ = h.conn.SetReadDeadline(time.Now().Add(patience))
	text, err := wsutil.ReadServerText(h.conn)
	check(h.t, err)
	m, err := hostmsg.Decode(text)
	check(h.t, err)
	return m
}

// closed waits for the end of the socket and returns the close code, 0 for none.
func (h *hand) closed() ws.StatusCode {
	h.t.Helper()
	_ = h.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		f, err := ws.ReadFrame(h.conn) //nolint:staticcheck // wsutil does not know 1012, and this peer is ours
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			h.t.Fatal("the socket stays open")
		case err != nil:
			return 0
		case f.Header.OpCode == ws.OpClose:
			code, _ := ws.ParseCloseFrameData(f.Payload)
			_ = h.conn.Close()
			return code
		}
	}
}

// wanted makes a managed fleet of one instance, and schedules it.
func (y *farm) wanted() arn.FleetID {
	y.t.Helper()
	id := fleettest.Build(y.t.(*testing.T), y.db, types.BuildStatusReady, types.OperatingSystemAmazonLinux2023, "5.2.0")
	out, err := y.fleets.CreateFleet(y.t.Context(), &gamelift.CreateFleetInput{
		Name: new("arena"), BuildId: &id, EC2InstanceType: types.EC2InstanceTypeC5Large,
		RuntimeConfiguration: &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{{LaunchPath: new("/local/game/server"), ConcurrentExecutions: new(int32(1))}}},
	})
	check(y.t, err)
	check(y.t, y.hosts.Pass(y.t.Context()))
	return arn.FleetID(*out.FleetAttributes.FleetId)
}

// TestAHostsDialogue: over a real socket from Hello to the log of a game session.
func TestAHostsDialogue(t *testing.T) {
	eachFarm(t, func(y *farm) {
		h, sync := y.joinHost("a")
		if len(sync.Instances) != 0 {
			t.Fatalf("a new host is to run %v", sync.Instances)
		}
		f := y.wanted()
		start := h.next().(*hostmsg.Start)
		if start.Endpoint != y.url || start.Fleet != string(f) || start.Token == "" {
			t.Fatalf("start: %+v", start)
		}
		id := start.Instance
		h.say(&hostmsg.Progress{Instance: id, Step: hostmsg.StepValidate})
		h.say(&hostmsg.Progress{Instance: id, Step: hostmsg.StepLaunched})
		h.say(&hostmsg.InstanceChanged{Instance: id, Status: hostmsg.Running})
		h.say(&hostmsg.ProcessStarted{Instance: id, Process: "p"})

		p, err := y.computes.Connect(t.Context(), compute.Dial{ProcessID: "p", Compute: arn.ComputeName(id), Fleet: f, AuthToken: start.Token, SDKVersion: "5.5.0", SDKLanguage: "Go"})
		check(t, err)
		if m, ok := h.next().(*hostmsg.Dialled); !ok || m.Process != "p" {
			t.Fatalf("got %+v, want Dialled", m)
		}
		check(t, y.computes.Ready(t.Context(), p.Key, compute.Ready{Port: 7000, LogPaths: []string{"/local/game/logs"}}))
		check(t, y.computes.Health(t.Context(), p.Key, true))
		if m, ok := h.next().(*hostmsg.Registered); !ok || m.LogPaths[0] != "/local/game/logs" {
			t.Fatalf("got %+v, want Registered", m)
		}
		made, err := y.sessions.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{FleetId: new(string(f)), MaximumPlayerSessionCount: new(int32(2))})
		check(t, err)
		game := *made.GameSession.GameSessionId
		check(t, y.sessions.Activate(t.Context(), p.Key, game))
		if m, ok := h.next().(*hostmsg.Hosting); !ok || m.GameSession != game {
			t.Fatalf("got %+v, want Hosting", m)
		}
		check(t, y.computes.End(t.Context(), p.Key, compute.Normal))
		if m, ok := h.next().(*hostmsg.Ending); !ok || m.Process != "p" {
			t.Fatalf("got %+v, want Ending", m)
		}
		h.say(&hostmsg.ProcessEnded{Instance: id, Process: "p", Reason: hostmsg.ExitNormal})
		h.say(&hostmsg.WantUpload{GameSession: "arn:aws:gamelift:us-west-2::gamesession/fleet-x/another"})
		h.say(&hostmsg.WantUpload{GameSession: game})
		up, ok := h.next().(*hostmsg.Upload)
		if !ok || up.GameSession != game || !strings.HasPrefix(up.URL, "/put/logs/"+string(f)+"/gsess-") {
			t.Fatalf("got %+v, want Upload", up)
		}
		h.say(&hostmsg.Uploaded{GameSession: game, Instance: id, Size: 12})
		eventually(t, "the log", func() bool {
			out, err := y.sessions.GetGameSessionLogUrl(t.Context(), &gamelift.GetGameSessionLogUrlInput{GameSessionId: &game})
			return err == nil && strings.HasPrefix(*out.PreSignedUrl, "/get/logs/"+string(f))
		})
		h.say(&hostmsg.Alive{CPU: 0.25})
		check(t, wsutil.WriteClientMessage(h.conn, ws.OpPing, []byte("x")))
		// The answer to the ping comes before what follows.
		_ = h.conn.SetReadDeadline(time.Now().Add(patience))
		fr, err := ws.ReadFrame(h.conn) //nolint:staticcheck // this peer is ours
		if err != nil || fr.Header.OpCode != ws.OpPong {
			t.Fatalf("ping: %v %v", fr.Header, err)
		}
	})
}

// TestHostsAreLetIn by their token, and say Hello first.
func TestHostsAreLetIn(t *testing.T) {
	eachFarm(t, func(y *farm) {
		for _, token := range []string{"", "hostkey-wrong"} {
			_, err := y.dialHost(token)
			if status, ok := errors.AsType[ws.StatusError](err); !ok || int(status) != http.StatusUnauthorized {
				t.Errorf("token %q: %v, want 401", token, err)
			}
		}
		h, err := y.dialHost(y.token)
		check(t, err)
		h.say(&hostmsg.Alive{})
		if code := h.closed(); code != ws.StatusPolicyViolation {
			t.Errorf("without Hello: closed with %d", code)
		}
		h, err = y.dialHost(y.token)
		check(t, err)
		h.say(&hostmsg.Hello{Host: "no good name", Address: "127.0.0.1", OS: "linux"})
		if m, ok := h.next().(*hostmsg.Refuse); !ok || m.Retry || !strings.Contains(m.Reason, "no good name") {
			t.Errorf("got %+v, want a refusal", m)
		}
		h.closed()

		list, err := y.hosts.Tokens(t.Context())
		check(t, err)
		check(t, y.hosts.RevokeToken(t.Context(), list[0].ID))
		if _, err := y.dialHost(y.token); err == nil {
			t.Error("a revoked token was let in")
		}
	})
}

// TestANewSocketSupersedes: the older one of a host ends; a second host has its own.
func TestANewSocketSupersedes(t *testing.T) {
	eachFarm(t, func(y *farm) {
		old, _ := y.joinHost("a")
		y.wanted()
		start := old.next().(*hostmsg.Start)
		now, sync := y.joinHost("a", hostmsg.InstanceState{Instance: start.Instance, Status: hostmsg.Running}, hostmsg.InstanceState{Instance: "i-other", Status: hostmsg.Running})
		if len(sync.Instances) != 1 || sync.Instances[0].Instance != start.Instance || sync.Instances[0].Token != start.Token {
			t.Errorf("sync: %+v", sync)
		}
		old.closed()
		if s := y.Stats(); s.Hosts != 1 {
			t.Errorf("%d hosts, want 1", s.Hosts)
		}
		check(t, y.hosts.Drain(t.Context(), "a", true))
		check(t, y.hosts.Pass(t.Context()))
		if m, ok := now.next().(*hostmsg.Stop); !ok || m.Instance != start.Instance || m.Grace == 0 {
			t.Errorf("got %+v, want Stop", m)
		}
		now.say(&hostmsg.InstanceChanged{Instance: start.Instance, Status: hostmsg.Gone})
		eventually(t, "the end of the instance", func() bool {
			list, err := y.hosts.Hosts(t.Context())
			return err == nil && len(list) == 1 && list[0].Used == 0
		})
	})
}

// TestTwoNodesAndAHost: what one node decides, the node with the socket sends.
func TestTwoNodesAndAHost(t *testing.T) {
	url, clock := storetest.PostgresURL(t), storetest.NewClock()
	one := newFarm(t, storetest.Open(t, url, clock.Now), clock)
	two := newFarm(t, storetest.Open(t, url, clock.Now), clock)
	var err error
	_, one.token, err = one.hosts.CreateToken(t.Context(), "test")
	check(t, err)
	h, _ := one.joinHost("a")
	two.wanted()
	start := h.next().(*hostmsg.Start)
	two.token = one.token
	moved, sync := two.joinHost("a", hostmsg.InstanceState{Instance: start.Instance, Status: hostmsg.Running})
	if len(sync.Instances) != 1 {
		t.Fatalf("sync: %+v", sync)
	}
	check(t, one.hosts.Drain(t.Context(), "a", true))
	check(t, one.hosts.Pass(t.Context()))
	if m, ok := moved.next().(*hostmsg.Stop); !ok {
		t.Errorf("got %+v, want Stop on the newer socket", m)
	}
	h.say(&hostmsg.InstanceChanged{Instance: start.Instance, Status: hostmsg.Gone}) // of the older one: too late
	h.closed()
	list, err := one.hosts.Hosts(t.Context())
	check(t, err)
	if list[0].Used != 1 {
		t.Error("a superseded socket was believed")
	}
}

// TestHostsDialAgain when the server goes down.
func TestHostsDialAgain(t *testing.T) {
	eachFarm(t, func(y *farm) {
		h, _ := y.joinHost("a")
		silent, err := y.dialHost(y.token) // and has not said Hello
		check(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- y.Close(ctx) }()
		if code := h.closed(); code != 1012 {
			t.Errorf("closed with %d, want 1012", code)
		}
		silent.closed()
		check(t, <-done)
		list, err := y.hosts.Hosts(t.Context())
		check(t, err)
		if len(list) != 1 || list[0].Connected {
			t.Errorf("hosts: %+v", list)
		}
	})
}

// TestAgentsThatBreakTheRules lose their socket and harm nobody.
func TestAgentsThatBreakTheRules(t *testing.T) {
	eachFarm(t, func(y *farm) {
		for name, frame := range map[string]ws.Frame{
			"binary":      ws.NewBinaryFrame([]byte("x")),
			"no JSON":     ws.NewTextFrame([]byte("{")),
			"no UTF-8":    ws.NewTextFrame([]byte{0xff}),
			"too long":    {Header: ws.Header{Fin: true, OpCode: ws.OpText, Length: 1 << 40}},
			"an end":      ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "")),
			"wrong frame": ws.NewFrame(ws.OpContinuation, true, []byte("x")),
		} {
			h, _ := y.joinHost("a")
			if _, err := h.conn.Write(ws.MustCompileFrame(maskOf(frame))); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				t.Fatal(err)
			}
			h.closed()
			_ = name
		}
		y.joinHost("a")
	})
}

func maskOf(f ws.Frame) ws.Frame {
	if len(f.Payload) == 0 {
		f.Header.Masked, f.Header.Mask = true, [4]byte{1, 2, 3, 4}
		return f
	}
	return ws.MaskFrame(f)
}
