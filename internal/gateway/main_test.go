package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/gateway"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

// patience is how long a test waits for something that should happen.
const patience = 20 * time.Second

var gameServer string // the example game server, built

func TestMain(m *testing.M) {
	if order := os.Getenv(holdVariable); order != "" {
		if err := hold(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gateway-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		gameServer = filepath.Join(dir, "gameserver")
		build := exec.Command("go", "build", "-C", "../../examples/gameserver", "-o", gameServer, ".")
		if out, err := build.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("examples/gameserver does not build: %v\n%s", err, out))
		}
		return m.Run()
	}())
}

const place = "custom-home"

// yard is a whole control plane but for the API's wire: rooms, a gateway, one fleet in one
// location with one compute, and a token for it.
type yard struct {
	t        testing.TB
	clock    *storetest.Clock
	db       *store.DB
	fleets   *fleet.Service
	computes *compute.Service
	sessions *session.Service
	matches  *matchmaking.Service
	*gate

	fleet, compute, token string
}

// gate is a gateway that serves.
type gate struct {
	*gateway.Server
	http *httptest.Server
	url  string // ws://…
	end  func()
}

// each runs a test on both databases.
func each(t *testing.T, f func(y *yard)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		f(newYard(t, db, clock, nil))
	})
}

// one runs a test on SQLite alone: it is about sockets.
func one(t testing.TB, configure func(s *gateway.Server)) *yard {
	t.Helper()
	clock := storetest.NewClock()
	db, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/db", store.Options{Now: clock.Now, Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return newYard(t, db, clock, configure)
}

func newYard(t testing.TB, db *store.DB, clock *storetest.Clock, configure func(s *gateway.Server)) *yard {
	t.Helper()
	y := &yard{t: t, clock: clock}
	y.build(db, configure)
	ctx := t.Context()
	if _, err := y.fleets.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new(place)}); err != nil {
		t.Fatal(err)
	}
	made, err := y.fleets.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("arena"), ComputeType: types.ComputeTypeAnywhere,
		Locations: []types.LocationConfiguration{{Location: new(place)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	y.fleet, y.compute = *made.FleetAttributes.FleetId, "laptop"
	y.register(y.compute)
	return y
}

// build makes the rooms and the gateway on a database.
func (y *yard) build(db *store.DB, configure func(s *gateway.Server)) {
	y.t.Helper()
	home := arn.Home{Region: "us-west-2", Account: "123456789012"}
	y.db = db
	y.fleets = &fleet.Service{DB: db, Home: home}
	y.fleets.Tags = &tag.Service{DB: db, Exists: y.fleets.ExistsTx}
	endpoint := func() string { return y.url }
	y.computes = &compute.Service{DB: db, Home: home, Fleets: y.fleets, SDKEndpoint: endpoint, AgentEndpoint: endpoint}
	y.sessions = &session.Service{DB: db, Home: home, Fleets: y.fleets, Computes: y.computes}
	y.computes.Ended = y.sessions.ProcessEnded
	y.matches = &matchmaking.Service{DB: db, Home: home, Tags: y.fleets.Tags, Fleets: y.fleets, Computes: y.computes, Sessions: y.sessions}
	y.gate = y.open("127.0.0.1:0", configure)
	y.t.Cleanup(func() { y.end() })
}

// join is a second node of the same yard, by another handle of its database.
func (y *yard) join(db *store.DB) *yard {
	y.t.Helper()
	other := &yard{t: y.t, clock: y.clock, fleet: y.fleet, compute: y.compute, token: y.token}
	other.build(db, nil)
	return other
}

// register makes a compute, and the token the newest one's.
func (y *yard) register(name string) {
	y.t.Helper()
	_, err := y.computes.RegisterCompute(y.t.Context(), &gamelift.RegisterComputeInput{
		FleetId: &y.fleet, ComputeName: &name, Location: new(place), IpAddress: new("127.0.0.1"),
	})
	if err != nil {
		y.t.Fatal(err)
	}
	token, err := y.computes.GetComputeAuthToken(y.t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &y.fleet, ComputeName: &name})
	if err != nil {
		y.t.Fatal(err)
	}
	y.token = *token.AuthToken
}

// open starts a gateway on an address; end closes it and checks that nothing of it is left.
func (y *yard) open(address string, configure func(s *gateway.Server)) *gate {
	return y.serve(address, configure, false)
}

// openTLS is open with TLS.
func (y *yard) openTLS() *gate { return y.serve("127.0.0.1:0", nil, true) }

func (y *yard) serve(address string, configure func(s *gateway.Server), tls bool) *gate {
	y.t.Helper()
	g := &gate{Server: &gateway.Server{Computes: y.computes, Sessions: y.sessions, Matches: y.matches, DB: y.db, Logger: quiet(y.t)}}
	if configure != nil {
		configure(g.Server)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		y.t.Fatal(err)
	}
	g.http = httptest.NewUnstartedServer(g.Server)
	_ = g.http.Listener.Close()
	g.http.Listener = l
	if tls {
		g.http.StartTLS()
		g.url = "wss://" + l.Addr().String()
	} else {
		g.http.Start()
		g.url = "ws://" + l.Addr().String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- g.Run(ctx) }()
	ended := false
	g.end = func() {
		if ended {
			return
		}
		ended = true
		closing, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := g.Close(closing); err != nil {
			y.t.Errorf("Close: %v", err)
		}
		cancel()
		if err := <-ran; err != nil {
			y.t.Errorf("Run: %v", err)
		}
		g.http.Close()
		if n := g.Stats().Sockets; n != 0 {
			y.t.Errorf("%d sockets after Close", n)
		}
		if serving.Add(-1) == 0 {
			noGoroutines(y.t)
		}
	}
	serving.Add(1)
	return g
}

// serving counts the gateways that run.
var serving atomic.Int32

// noGoroutines checks that no goroutine of a gateway is left. Those that end take a moment
// to be gone.
func noGoroutines(t testing.TB) {
	t.Helper()
	var left string
	eventually(t, "goroutines of the gateway are gone", func() bool {
		var all bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&all, 2)
		left = ""
		for g := range strings.SplitSeq(all.String(), "\n\n") {
			if strings.Contains(g, "/internal/gateway.") {
				left += g + "\n\n"
			}
		}
		return left == ""
	}, &left)
}

// eventually waits until a condition holds. shown is printed when it never does.
func eventually(t testing.TB, what string, holds func() bool, shown ...any) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	for _, s := range shown {
		if p, ok := s.(*string); ok {
			t.Log(*p)
		} else {
			t.Logf("%+v", s)
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

// quiet is a logger that prints only when the test fails and is verbose.
func quiet(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(testLog{t}, nil))
	}
	return slog.New(slog.DiscardHandler)
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// query is what a Go SDK says when it dials.
func (y *yard) query(process string) url.Values {
	return url.Values{
		"pID": {process}, "ComputeId": {y.compute}, "FleetId": {y.fleet}, "Authorization": {y.token},
		"sdkVersion": {"5.5.0"}, "sdkLanguage": {"Go"}, "IdempotencyToken": {"token-of-" + process},
	}
}

// client is a server SDK made by hand.
type client struct {
	t    testing.TB
	conn net.Conn
	r    io.Reader
	n    int // requests sent
}

type refusedDial struct {
	status int
	reason string
}

func (r *refusedDial) Error() string { return fmt.Sprintf("%d: %s", r.status, r.reason) }

func dial(ctx context.Context, address string) (net.Conn, io.Reader, error) {
	var refused *refusedDial
	d := ws.Dialer{Timeout: patience, OnStatusError: func(status int, _ []byte, body io.Reader) {
		text, _ := io.ReadAll(io.LimitReader(body, 4096))
		_, after, _ := strings.Cut(string(text), "\r\n\r\n")
		refused = &refusedDial{status, strings.TrimSpace(after)}
	}}
	conn, br, _, err := d.Dial(ctx, address)
	if refused != nil {
		return nil, nil, refused
	}
	if err != nil {
		return nil, nil, err
	}
	if br != nil {
		return conn, br, nil
	}
	return conn, conn, nil
}

// dial connects a process.
func (y *yard) dial(process string) *client {
	y.t.Helper()
	conn, r, err := dial(y.t.Context(), y.url+"/?"+y.query(process).Encode())
	if err != nil {
		y.t.Fatalf("dial %s: %v", process, err)
	}
	y.t.Cleanup(func() { _ = conn.Close() })
	return &client{t: y.t, conn: conn, r: r}
}

// ready connects a process, and makes it ready and healthy.
func (y *yard) ready(process string) *client {
	y.t.Helper()
	c := y.dial(process)
	c.does(200, "ActivateServerProcess", "Port", 7777, "LogPaths", []string{"/var/log/game"}, "SdkVersion", "5.5.0", "SdkLanguage", "Go")
	c.does(200, "HeartbeatServerProcess", "HealthStatus", true)
	return c
}

type message map[string]any

func (c *client) write(f ws.Frame) {
	c.t.Helper()
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	if err := ws.WriteFrame(c.conn, ws.MaskFrame(f)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// says sends a text message.
func (c *client) says(text string) {
	c.t.Helper()
	c.write(ws.NewTextFrame([]byte(text)))
}

// frame reads a frame.
func (c *client) frame() (ws.Frame, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return ws.Frame{}, err
	}
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(c.r, payload)
	return ws.Frame{Header: h, Payload: payload}, err
}

// hears reads a text message.
func (c *client) hears() message {
	c.t.Helper()
	f, err := c.frame()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	if f.Header.OpCode != ws.OpText || !f.Header.Fin {
		c.t.Fatalf("got frame %v %q, want a whole text", f.Header.OpCode, f.Payload)
	}
	var m message
	if err := json.Unmarshal(f.Payload, &m); err != nil {
		c.t.Fatalf("%q: %v", f.Payload, err)
	}
	return m
}

// hearsClose reads a close frame, and that the connection is closed after it.
func (c *client) hearsClose(want ws.StatusCode) {
	c.t.Helper()
	f, err := c.frame()
	if err != nil || f.Header.OpCode != ws.OpClose {
		c.t.Fatalf("got %v %q, %v; want a close frame", f.Header.OpCode, f.Payload, err)
	}
	if code, reason := ws.ParseCloseFrameData(f.Payload); code != want {
		c.t.Errorf("close code %d (%s), want %d", code, reason, want)
	}
}

// hearsEnd checks that the connection ends.
func (c *client) hearsEnd() {
	c.t.Helper()
	if f, err := c.frame(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %v %q, %v; want the end of the connection", f.Header.OpCode, f.Payload, err)
	}
}

// request makes a request's text.
func (c *client) request(action, id string, members ...any) string {
	m := message{"Action": action, "RequestId": id}
	for i := 0; i < len(members); i += 2 {
		m[members[i].(string)] = members[i+1]
	}
	text, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// does sends a request and reads its answer.
func (c *client) does(status int, action string, members ...any) message {
	c.t.Helper()
	c.n++
	id := fmt.Sprintf("request-%d", c.n)
	c.says(c.request(action, id, members...))
	m := c.hears()
	if m["Action"] != action || m["RequestId"] != id || m["StatusCode"] != float64(status) {
		c.t.Fatalf("%s: got %v, want status %d", action, m, status)
	}
	if text, _ := m["ErrorMessage"].(string); (status == 200) != (text == "") {
		c.t.Errorf("%s: status %d with message %q", action, status, text)
	}
	return m
}

// start creates a game session.
func (y *yard) start(players int32) *types.GameSession {
	y.t.Helper()
	out, err := y.sessions.CreateGameSession(y.t.Context(), &gamelift.CreateGameSessionInput{
		FleetId: &y.fleet, Location: new(place), MaximumPlayerSessionCount: &players,
		Name: new("friday"), GameSessionData: new("map=dunes"),
		GameProperties: []types.GameProperty{{Key: new("mode"), Value: new("duel")}},
	})
	if err != nil {
		y.t.Fatalf("CreateGameSession: %v", err)
	}
	return out.GameSession
}

// game reads a game session.
func (y *yard) game(id string) types.GameSession {
	y.t.Helper()
	out, err := y.sessions.DescribeGameSessions(y.t.Context(), &gamelift.DescribeGameSessionsInput{GameSessionId: &id})
	if err != nil {
		y.t.Fatalf("DescribeGameSessions: %v", err)
	}
	return out.GameSessions[0]
}

// reserve creates a player session.
func (y *yard) reserve(game, player string) (string, error) {
	out, err := y.sessions.CreatePlayerSession(y.t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &game, PlayerId: &player, PlayerData: new("hat=red")})
	if err != nil {
		return "", err
	}
	return *out.PlayerSession.PlayerSessionId, nil
}

// player reads a player session.
func (y *yard) player(id string) types.PlayerSession {
	y.t.Helper()
	out, err := y.sessions.DescribePlayerSessions(y.t.Context(), &gamelift.DescribePlayerSessionsInput{PlayerSessionId: &id})
	if err != nil {
		y.t.Fatalf("DescribePlayerSessions: %v", err)
	}
	return out.PlayerSessions[0]
}

// becomes waits until a game session is in a state.
func (y *yard) becomes(id string, want types.GameSessionStatus) {
	y.t.Helper()
	eventually(y.t, "game session is "+string(want), func() bool { return y.game(id).Status == want })
}

// advance moves the clock and lets the rooms do what falls due.
func (y *yard) advance(d time.Duration) {
	y.t.Helper()
	y.clock.Advance(d)
	for _, tick := range []func(context.Context, time.Time) error{y.computes.Tick, y.sessions.Tick} {
		if err := tick(y.t.Context(), y.clock.Now()); err != nil {
			y.t.Fatal(err)
		}
	}
}
