package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// host is one socket of a game server, spoken as the server SDKs speak it: ready, healthy,
// and each game session that comes is activated.
type host struct {
	conn   net.Conn
	pushed chan<- push
}

// push is the moment a CreateGameSession arrived on a socket.
type push struct {
	session string
	at      time.Time
}

// dialHost opens a game server's socket. local is the source address, "" for any: one
// address has too few ports for 100,000 sockets.
func dialHost(ctx context.Context, address, local, fleet, compute, process, token string) (net.Conn, error) {
	q := url.Values{
		"pID": {process}, "sdkVersion": {"5.5.0"}, "sdkLanguage": {"Go"}, "ComputeId": {compute},
		"FleetId": {fleet}, "IdempotencyToken": {process}, "Authorization": {token},
	}
	d := ws.Dialer{ReadBufferSize: 512, WriteBufferSize: 512, Timeout: time.Minute}
	if local != "" {
		nd := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
		d.NetDial = nd.DialContext
	}
	conn, buffered, _, err := d.Dial(ctx, "ws://"+address+"/?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", process, err)
	}
	if buffered != nil {
		ws.PutReader(buffered)
	}
	return conn, nil
}

func (h *host) say(action, id string, members map[string]any) error {
	m := map[string]any{"Action": action, "RequestId": id}
	maps.Copy(m, members)
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return wsutil.WriteClientText(h.conn, text)
}

// ready makes the socket's process placeable. The first heartbeat does it, and its answer
// is waited for.
func (h *host) ready(port int) error {
	if err := h.say("ActivateServerProcess", "ready", map[string]any{
		"SdkVersion": "5.5.0", "SdkLanguage": "Go", "Port": port, "LogPaths": []string{},
	}); err != nil {
		return err
	}
	if err := h.answer("ready"); err != nil {
		return err
	}
	if err := h.say("HeartbeatServerProcess", "healthy", map[string]any{"HealthStatus": true}); err != nil {
		return err
	}
	return h.answer("healthy")
}

type message struct {
	Action, RequestID, ErrorMessage, GameSessionID string
	StatusCode                                     int
}

func (h *host) read() (m message, err error) {
	text, err := wsutil.ReadServerText(h.conn)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

func (h *host) answer(id string) error {
	m, err := h.read()
	if err != nil {
		return err
	}
	if m.RequestID != id || m.StatusCode != http.StatusOK {
		return fmt.Errorf("answer to %s: %+v", id, m)
	}
	return nil
}

// serve activates what comes until the socket closes.
func (h *host) serve() error {
	for n := 0; ; n++ {
		m, err := h.read()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		if m.Action != "CreateGameSession" || m.RequestID != "" {
			continue
		}
		if h.pushed != nil {
			h.pushed <- push{m.GameSessionID, time.Now()}
		}
		if err := h.say("ActivateGameSession", strconv.Itoa(n), map[string]any{"GameSessionId": m.GameSessionID}); err != nil {
			return err
		}
	}
}

// hosts are many game servers.
type hosts struct {
	conns []net.Conn
	group sync.WaitGroup
}

// openHosts opens n game servers, spread over the computes, and waits until all are ready.
func (e *env) openHosts(ctx context.Context, n int, pushed chan<- push) (*hosts, error) {
	hs := &hosts{conns: make([]net.Conn, n)}
	var next atomic.Int64
	var group sync.WaitGroup
	var mu sync.Mutex
	var fault error
	for range 16 {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				c := e.computes[i%len(e.computes)]
				conn, err := dialHost(ctx, e.address, "", e.fleet, c.name, "process-"+strconv.Itoa(i), c.token)
				if err == nil {
					h := &host{conn: conn, pushed: pushed}
					hs.conns[i] = conn
					if err = h.ready(1024 + i%50000); err == nil {
						hs.group.Go(func() { _ = h.serve() })
						continue
					}
				}
				mu.Lock()
				fault = errors.Join(fault, err)
				mu.Unlock()
				return
			}
		})
	}
	group.Wait()
	if fault != nil {
		hs.close()
	}
	return hs, fault
}

func (hs *hosts) close() {
	for _, c := range hs.conns {
		if c != nil {
			_ = c.Close()
		}
	}
	hs.group.Wait()
}
