package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/tag"
)

func TestMemoryForgets(t *testing.T) {
	var m memory
	now := time.Now()
	begin := func(id string) (answer []byte, first bool) {
		answer, first, _ = m.begin(id, "A", nil, now)
		return answer, first
	}
	if _, first := begin("kept"); !first {
		t.Error("a new request is known")
	}
	if answer, first := begin("kept"); first || answer != nil {
		t.Errorf("while it runs: %q, %v; want to wait", answer, first)
	}
	if waiting := m.finish("kept", []byte("done"), true); len(waiting) != 1 {
		t.Errorf("%d wait for the answer, want 1", len(waiting))
	}
	if answer, first := begin("kept"); first || string(answer) != "done" {
		t.Errorf("afterwards: %q, %v; want the answer", answer, first)
	}
	begin("failed")
	m.finish("failed", []byte("500"), false)
	if _, first := begin("failed"); !first {
		t.Error("a fault of ours was remembered")
	}
	m.finish("failed", []byte("200"), true)

	now = now.Add(rememberTime)
	for i := range 3 * maxRemember {
		id := fmt.Sprint(i)
		begin(id)
		m.finish(id, []byte("done"), true)
	}
	if len(m.calls) > maxRemember+1 || len(m.order) > maxRemember+1 {
		t.Errorf("%d answers in memory, want at most %d", len(m.calls), maxRemember+1)
	}
	if _, first := begin("kept"); !first {
		t.Error("an old answer was kept")
	}
	m.finish("kept", []byte("done"), true)
	m.forget(now.Add(rememberTime))
	if m.calls != nil || m.order != nil {
		t.Errorf("%d answers after all have become old", len(m.calls))
	}
}

// Silent sockets are pinged and dropped by the sweep alone, at times given to it.
func TestSilentSocketsAreDropped(t *testing.T) {
	s := newSocketServer(t)
	alive, dead := s.pipe(), s.pipe()
	now := time.Now().Add(idleTime + time.Second)
	pinged := make(chan ws.OpCode, 2)
	go func() {
		h, err := ws.ReadHeader(alive)
		if err == nil {
			pinged <- h.OpCode
			_ = ws.WriteFrame(alive, ws.MaskFrame(ws.NewPongFrame(nil)))
		}
	}()
	go func() {
		h, err := ws.ReadHeader(dead)
		if err == nil {
			pinged <- h.OpCode
		}
	}()
	s.checkIdle(now)
	for range 2 {
		if op := <-pinged; op != ws.OpPing {
			t.Errorf("got %v, want a ping", op)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		answered := 0
		for k := range s.sockets {
			if k.pinged.Load() == 0 {
				answered++
			}
		}
		s.mu.Unlock()
		if answered == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the pong was not noticed")
		}
	}
	s.checkIdle(now.Add(pongTime / 2)) // the dead one has time left
	if n := s.Stats().Sockets; n != 2 {
		t.Fatalf("%d sockets, want 2", n)
	}
	s.checkIdle(now.Add(pongTime + time.Second))
	if _, err := dead.Read(make([]byte, 1)); err == nil {
		t.Error("the silent socket was not dropped")
	}
	_ = alive.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := alive.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		t.Error("the other one was dropped too")
	}
}

// socketServer is a gateway on real rooms, without listener and without Run.
type socketServer struct {
	*Server
	tb    testing.TB
	fleet arn.FleetID
	dials atomic.Int64
}

func newSocketServer(tb testing.TB) *socketServer {
	tb.Helper()
	quiet := slog.New(slog.DiscardHandler)
	db, err := store.Open(tb.Context(), "sqlite:"+tb.TempDir()+"/db", store.Options{Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	home := arn.Home{Region: "us-west-2", Account: "123456789012"}
	fleets := &fleet.Service{DB: db, Home: home}
	fleets.Tags = &tag.Service{DB: db, Exists: fleets.ExistsTx}
	nowhere := func() string { return "ws://127.0.0.1" }
	computes := &compute.Service{DB: db, Home: home, Fleets: fleets, SDKEndpoint: nowhere, AgentEndpoint: nowhere}
	sessions := &session.Service{DB: db, Home: home, Fleets: fleets, Computes: computes}
	computes.Ended = sessions.ProcessEnded
	matches := &matchmaking.Service{DB: db, Home: home, Tags: fleets.Tags, Fleets: fleets, Computes: computes, Sessions: sessions}
	s := &socketServer{Server: &Server{DB: db, Computes: computes, Sessions: sessions, Matches: matches, Logger: quiet}, tb: tb}
	s.init()
	if _, err := fleets.CreateLocation(tb.Context(), &gamelift.CreateLocationInput{LocationName: new("custom-home")}); err != nil {
		tb.Fatal(err)
	}
	made, err := fleets.CreateFleet(tb.Context(), &gamelift.CreateFleetInput{
		Name: new("arena"), ComputeType: types.ComputeTypeAnywhere,
		Locations: []types.LocationConfiguration{{Location: new("custom-home")}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	s.fleet = arn.FleetID(*made.FleetAttributes.FleetId)
	if _, err := computes.RegisterCompute(tb.Context(), &gamelift.RegisterComputeInput{
		FleetId: made.FleetAttributes.FleetId, ComputeName: new("laptop"), Location: new("custom-home"), IpAddress: new("127.0.0.1"),
	}); err != nil {
		tb.Fatal(err)
	}
	return s
}

// pipe is the peer's end of a new process's socket.
func (s *socketServer) pipe() net.Conn {
	p, err := s.Computes.Connect(context.Background(), compute.Dial{
		ProcessID: fmt.Sprint("p", s.dials.Add(1)), Compute: "laptop", Fleet: s.fleet, Trusted: true,
	})
	if err != nil {
		s.tb.Fatal(err)
	}
	ours, theirs := net.Pipe()
	k := &socket{server: s.Server, conn: ours}
	k.heard.Store(time.Now().UnixNano())
	s.arrived(p, k)
	go k.serve()
	return theirs
}

// agentPipe is the agent's end of a new socket of the compute's agent, and our end.
func (s *socketServer) agentPipe() (net.Conn, *socket) {
	token, err := s.Computes.GetComputeAuthToken(context.Background(), &gamelift.GetComputeAuthTokenInput{FleetId: new(string(s.fleet)), ComputeName: new("laptop")})
	if err != nil {
		s.tb.Fatal(err)
	}
	a, err := s.Computes.ConnectAgent(context.Background(), compute.Dial{Compute: "laptop", Fleet: s.fleet, AuthToken: *token.AuthToken}, time.Now())
	if err != nil {
		s.tb.Fatal(err)
	}
	ours, theirs := net.Pipe()
	k := &socket{server: s.Server, conn: ours, agent: &agentLink{who: a, beat: time.Now(), wards: map[string]*ward{}}}
	k.heard.Store(time.Now().UnixNano())
	s.agentArrived(k)
	go k.serve()
	return theirs, k
}

// FuzzMessage sends any text in fragments of any size, as a process or as an agent. It gets exactly one answer, which
// names the request, or the close code that its bytes deserve.
func FuzzMessage(f *testing.F) {
	for _, text := range []string{
		`{"Action":"HeartbeatServerProcess","RequestId":"r1","HealthStatus":true}`,
		`{"Action":"ActivateServerProcess","RequestId":"r2","SdkVersion":"5.5.0","SdkLanguage":"Go","Port":7777,"LogPaths":["/x"]}`,
		`{"SdkVersion":"5.5.1","LogPaths":[],"Port":7777,"SdkToolName":null,"Action":"ActivateServerProcess","RequestId":"r3"}`,
		`{"Action":"ActivateGameSession","RequestId":"r4","GameSessionId":"arn:aws:gamelift:us-west-2::gamesession/fleet-x/custom-home/gsess-x"}`,
		`{"Action":"AcceptPlayerSession","RequestId":"r5","GameSessionId":"arn","PlayerSessionId":"psess-01234567-89ab-7def-8123-456789abcdef"}`,
		`{"Action":"RemovePlayerSession","RequestId":"r6","GameSessionId":null,"PlayerSessionId":""}`,
		`{"Action":"UpdatePlayerSessionCreationPolicy","RequestId":"r7","GameSessionId":"arn","PlayerSessionPolicy":"NOT_SET"}`,
		`{"Action":"DescribePlayerSessions","RequestId":"r8","PlayerId":"p","PlayerSessionStatusFilter":"ACTIVE","NextToken":"x","Limit":50}`,
		`{"Action":"StartMatchBackfill","RequestId":"r9","Players":[{"PlayerId":"p","PlayerAttributes":{"skill":{"attrType":"DOUBLE","N":1.5}}}]}`,
		`{"Action":"GetComputeCertificate","RequestId":"r10"}`,
		`{"Action":"GetFleetRoleCredentials","RequestId":"r11","RoleArn":"arn","RoleSessionName":"x"}`,
		`{"Action":"TerminateServerProcess","RequestId":"r12"}`,
		`{"Action":"SendHeartbeat","RequestId":"r13","Status":"Initializing","ProcessList":["a","a","b\u0000"],"HeartbeatTimeMillis":1}`,
		`{"Action":"SendHeartbeat","RequestId":"r14","Status":null,"ProcessList":null,"HeartbeatTimeMillis":"x"}`,
		`{"Action":"DescribeRuntimeConfiguration","RequestId":"r15"}`,
		`{"Action":"NotifyServerProcessTermination","RequestId":"r16","ProcessId":"p","EventCode":null,"TerminationReason":"NORMAL_TERMINATION"}`,
		`{"action":"NotifyServerProcessTermination","requestid":"r17","processid":"q","eventcode":"SERVER_PROCESS_CRASHED"}`,
		`{"action":"x","REQUESTID":"\ud800<&>","Action":"y"}`,
		"\xff", ``, `{}`, `[]`, `null`, `"`, `{"Action":1,"RequestId":2}`,
	} {
		f.Add(text, 7, false)
		f.Add(text, 7, true)
	}
	s := newSocketServer(f)
	f.Fuzz(func(t *testing.T, text string, size int, agent bool) {
		if size < 1 || len(text)/size > 100 {
			size = 1 + len(text)
		}
		c := s.pipe()
		if agent {
			_ = c.Close()
			c, _ = s.agentPipe()
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		go sendPieces(c, []byte(text), size)
		h, err := ws.ReadHeader(c)
		if err != nil {
			t.Fatalf("no answer to %q: %v", text, err)
		}
		answer := make([]byte, h.Length)
		if _, err := io.ReadFull(c, answer); err != nil {
			t.Fatal(err)
		}
		if h.OpCode == ws.OpClose {
			if code, reason := ws.ParseCloseFrameData(answer); code != ws.StatusInvalidFramePayloadData || utf8.ValidString(text) {
				t.Fatalf("%q was answered with close %d %s", text, code, reason)
			}
			return
		}
		checkAnswer(t, text, answer)
	})
}

func sendPieces(c net.Conn, text []byte, size int) {
	op := ws.OpText
	for {
		n := min(size, len(text))
		last := n == len(text)
		if ws.WriteFrame(c, ws.MaskFrame(ws.NewFrame(op, last, text[:n]))) != nil || last {
			return
		}
		text, op = text[n:], ws.OpContinuation
	}
}

func checkAnswer(t *testing.T, text string, answer []byte) {
	t.Helper()
	var got struct {
		Action, RequestID *string
		StatusCode        int
		ErrorMessage      string
	}
	d := json.NewDecoder(bytes.NewReader(bytes.Replace(answer, []byte(`"RequestId"`), []byte(`"RequestID"`), 1)))
	if err := d.Decode(&got); err != nil || got.Action == nil || got.RequestID == nil {
		t.Fatalf("%q was answered with %q (%v), want Action and RequestId", text, answer, err)
	}
	if (got.StatusCode == http.StatusOK) != (got.ErrorMessage == "") || got.StatusCode < http.StatusOK || got.StatusCode >= http.StatusInternalServerError {
		t.Fatalf("%q was answered with %q, want 200, or an error of the sender with its reason", text, answer)
	}
	m, err := parse([]byte(text))
	if *got.Action != m.Action || *got.RequestID != m.RequestID {
		t.Fatalf("%q was answered with %q, want Action %q and RequestId %q", text, answer, m.Action, m.RequestID)
	}
	if err != nil && got.StatusCode != http.StatusBadRequest {
		t.Fatalf("%q was answered with %q, though it does not parse: %v", text, answer, err)
	}
}

// FuzzFrames sends any bytes. The socket ends, or waits for more; it never panics, and
// what it sends are whole frames.
func FuzzFrames(f *testing.F) {
	frame := func(fr ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrame(fr)) }
	f.Add(frame(ws.NewTextFrame([]byte(`{"Action":"GetComputeCertificate","RequestId":"r"}`))))
	f.Add(append(frame(ws.NewFrame(ws.OpText, false, []byte("{"))), frame(ws.NewFrame(ws.OpContinuation, true, []byte("}")))...))
	f.Add(append(frame(ws.NewPingFrame([]byte("x"))), frame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye")))...))
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	f.Add([]byte{0x81, 0xfe, 0xff, 0xff, 1, 2, 3, 4, 5})
	s := newSocketServer(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := s.pipe()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		done := make(chan error, 1)
		go func() {
			for {
				h, err := ws.ReadHeader(c)
				if err == nil {
					err = ws.CheckHeader(h, ws.StateClientSide)
				}
				if err == nil {
					_, err = io.CopyN(io.Discard, c, h.Length)
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
		_, _ = c.Write(raw) // the socket may end before all of it is read
		_ = c.Close()
		if err := <-done; err != nil && strings.Contains(err.Error(), "protocol") {
			t.Fatalf("%x: %v", raw, err)
		}
	})
}
