package testkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// patience is how long a test waits for a message.
const patience = 20 * time.Second

// GameServer is a server process, as far as tests of the whole server need one: it says what
// a test tells it to. Tests of the wire itself use the official SDK.
type GameServer struct {
	t    testing.TB
	conn net.Conn
	r    io.Reader // conn, and before it what came with the handshake's answer
	sent int
	// pushes came while an answer was waited for.
	pushes []Message
}

// Message is a message of the server SDK's protocol.
type Message map[string]any

// Dial connects a server process of a compute. Without a token it relies on a development
// server's trust.
func (s *Server) Dial(fleet, compute, process, token string) *GameServer {
	s.t.Helper()
	q := url.Values{"pID": {process}, "ComputeId": {compute}, "FleetId": {fleet}, "sdkVersion": {"5.5.0"}, "sdkLanguage": {"Go"}, "IdempotencyToken": {process}}
	if token != "" {
		q.Set("Authorization", token)
	}
	d := ws.Dialer{Timeout: patience}
	conn, ahead, _, err := d.Dial(s.t.Context(), s.App.Endpoint()+"/?"+q.Encode())
	if err != nil {
		s.t.Fatalf("dial %s: %v", process, err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	g := &GameServer{t: s.t, conn: conn, r: conn}
	if ahead != nil {
		g.r = ahead
	}
	return g
}

// Ready makes the process placeable.
func (g *GameServer) Ready(port int) {
	g.t.Helper()
	g.Call("ActivateServerProcess", Message{"Port": port, "LogPaths": []string{}, "SdkVersion": "5.5.0", "SdkLanguage": "Go"})
	g.Call("HeartbeatServerProcess", Message{"HealthStatus": true})
}

// Call sends a request, which must be answered with 200, and returns the answer.
func (g *GameServer) Call(action string, fields Message) Message {
	g.t.Helper()
	g.sent++
	request := Message{"Action": action, "RequestId": strconv.Itoa(g.sent)}
	maps.Copy(request, fields)
	text, err := json.Marshal(request)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.write(ws.NewTextFrame(text)); err != nil {
		g.t.Fatalf("%s: %v", action, err)
	}
	for {
		m, err := g.read()
		switch {
		case err != nil:
			g.t.Fatalf("%s: %v", action, err)
		case m["RequestId"] != request["RequestId"]:
			g.pushes = append(g.pushes, m)
		case m["StatusCode"] != 200.0:
			g.t.Fatalf("%s: answered %v", action, m)
		default:
			return m
		}
	}
}

// Push waits for the next message that is no answer, which must be of that action.
func (g *GameServer) Push(action string) Message {
	g.t.Helper()
	var m Message
	if len(g.pushes) > 0 {
		m, g.pushes = g.pushes[0], g.pushes[1:]
	} else {
		var err error
		if m, err = g.read(); err != nil {
			g.t.Fatalf("waiting for %s: %v", action, err)
		}
	}
	if m["Action"] != action {
		g.t.Fatalf("got %v, want %s", m, action)
	}
	return m
}

// Closed waits until the server ends the connection and returns its reason, a WebSocket
// status code; 0 when it gave none.
func (g *GameServer) Closed() int {
	g.t.Helper()
	for {
		m, err := g.read()
		if closed, ok := errors.AsType[*closedError](err); ok {
			return closed.code
		}
		if err != nil {
			g.t.Logf("closed without a reason: %v", err)
			return 0
		}
		g.t.Logf("before the end: %v", m)
	}
}

// Hang breaks the connection, as a crash does.
func (g *GameServer) Hang() { _ = g.conn.Close() }

type closedError struct{ code int }

func (e *closedError) Error() string { return fmt.Sprintf("closed with %d", e.code) }

// read reads a message, answers pings, and answers a close frame by ending the connection.
func (g *GameServer) read() (Message, error) {
	_ = g.conn.SetDeadline(time.Now().Add(patience))
	for {
		h, err := ws.ReadHeader(g.r)
		if err != nil {
			return nil, err
		}
		payload, err := io.ReadAll(io.LimitReader(g.r, h.Length))
		if err != nil {
			return nil, err
		}
		switch h.OpCode {
		case ws.OpPing:
			if err := g.write(ws.NewPongFrame(payload)); err != nil {
				return nil, err
			}
		case ws.OpClose:
			_ = g.write(ws.NewCloseFrame(payload))
			_ = g.conn.Close()
			code, _ := ws.ParseCloseFrameData(payload)
			return nil, &closedError{int(code)}
		case ws.OpText:
			var m Message
			return m, json.Unmarshal(payload, &m)
		default:
			return nil, fmt.Errorf("a frame of kind %d", h.OpCode)
		}
	}
}

func (g *GameServer) write(f ws.Frame) error { return ws.WriteFrame(g.conn, ws.MaskFrame(f)) }
