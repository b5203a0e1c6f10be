package agent

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/hostmsg"
)

// longestMessage bounds what is read of the server: a Sync has all instances of a host.
const longestMessage = 64 << 20

// RefusedError says that the server does not want this host. The games of an earlier time,
// if any, go on.
type RefusedError struct {
	Reason string
	status int // of the handshake; 0 when the server said it in a message
}

func (e *RefusedError) Error() string { return "the server refuses this host: " + e.Reason }

// link is one WebSocket to the server.
type link struct {
	conn net.Conn
	r    *bufio.Reader
	out  chan []byte // frames to be written
	once sync.Once
	done chan struct{}
}

// dial connects, and says a RefusedError when the token is not known.
func dial(ctx context.Context, c Config) (*link, error) {
	u, err := url.Parse(c.Server)
	if err != nil {
		return nil, err
	}
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	u = u.JoinPath(hostmsg.Path)
	refused := 0
	d := ws.Dialer{
		Timeout:       15 * time.Second,
		Header:        ws.HandshakeHeaderHTTP{"Authorization": {"Bearer " + c.Token}},
		OnStatusError: func(status int, _ []byte, _ io.Reader) { refused = status },
		TLSConfig:     c.TLS,
	}
	if d.TLSConfig == nil {
		d.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	conn, ahead, _, err := d.Dial(ctx, u.String())
	if refused == http.StatusUnauthorized || refused == http.StatusForbidden {
		return nil, &RefusedError{fmt.Sprintf("status %d; is the token right?", refused), refused}
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", u.Host, err)
	}
	if ahead == nil {
		ahead = bufio.NewReader(conn)
	}
	return &link{conn: conn, r: ahead, out: make(chan []byte, 4096), done: make(chan struct{})}, nil
}

// close ends the link; read returns.
func (l *link) close() {
	l.once.Do(func() {
		close(l.done)
		_ = l.conn.Close()
	})
}

// send queues a message. A server that takes nothing any more loses the link.
func (l *link) send(m any) {
	text, err := hostmsg.Encode(m)
	if err != nil {
		panic(err) // ours
	}
	l.frame(ws.NewTextFrame(text))
}

// room tells whether the server takes what is sent: then what can wait need not.
func (l *link) room() bool { return len(l.out) < tailRoom }

func (l *link) frame(f ws.Frame) {
	select {
	case l.out <- ws.MustCompileFrame(ws.MaskFrameInPlace(f)):
	default:
		l.close()
	}
}

// write sends what is queued, and a ping now and then, until the link is closed.
func (l *link) write(silence time.Duration) {
	ping := time.NewTicker(silence / 3)
	defer ping.Stop()
	defer l.close()
	for {
		var b []byte
		select {
		case <-l.done:
			return
		case b = <-l.out:
		case <-ping.C:
			b = ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewPingFrame(nil)))
		}
		_ = l.conn.SetWriteDeadline(time.Now().Add(silence))
		if _, err := l.conn.Write(b); err != nil {
			return
		}
	}
}

// leave tells the server that the agent goes, after what is queued.
func (l *link) leave() {
	l.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, "")))
	for end := time.Now().Add(time.Second); len(l.out) > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		select {
		case <-l.done:
			return
		default:
		}
	}
	l.close()
}

// read hands messages to take until the link breaks, which it always does.
func (l *link) read(silence time.Duration, take func(m any)) error {
	var message []byte
	state := ws.StateClientSide
	for {
		_ = l.conn.SetReadDeadline(time.Now().Add(silence))
		h, err := ws.ReadHeader(l.r)
		if err != nil {
			return err
		}
		if err := ws.CheckHeader(h, state); err != nil {
			return err
		}
		if h.Length > longestMessage-int64(len(message)) {
			return fmt.Errorf("a message of %d bytes", h.Length)
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(l.r, payload); err != nil {
			return err
		}
		switch h.OpCode {
		case ws.OpPing:
			l.frame(ws.NewPongFrame(payload))
			continue
		case ws.OpPong:
			continue
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(payload)
			return fmt.Errorf("the server closed: %d %s", code, reason)
		default:
		}
		message = append(message, payload...)
		state = state.Set(ws.StateFragmented)
		if !h.Fin {
			continue
		}
		state = state.Clear(ws.StateFragmented)
		m, err := hostmsg.Decode(message)
		message = nil
		if err != nil {
			return err
		}
		if m != nil {
			take(m)
		}
	}
}

// stayConnected dials until ctx ends, again and again. It returns what ends the agent: a
// refusal.
func (a *agent) stayConnected(ctx context.Context) error {
	pause, known := time.Duration(0), false
	for {
		err := a.converse(ctx, func() { pause, known = 0, true })
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the agent ends, and its socket with it
		}
		if r, refused := errors.AsType[*RefusedError](err); refused && (r.status == 0 || !known) {
			return r // a handshake's status is the token's at first; later it may be a proxy's mood
		}
		pause = min(max(2*pause, a.c.Times.RedialFirst), a.c.Times.RedialMost)
		wait := pause/2 + rand.N(pause/2+1)
		a.log.Warn("no connection to the server; games go on", slog.Any("error", err), slog.Duration("again_in", wait))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// converse is one dialogue, from the dial to the end of its socket.
func (a *agent) converse(ctx context.Context, synced func()) error {
	l, err := dial(ctx, a.c)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, l.leave)()
	var writer sync.WaitGroup
	writer.Go(func() { l.write(a.c.Times.Silence) })
	a.post(func() { a.connected(l) })
	var refused *hostmsg.Refuse
	err = l.read(a.c.Times.Silence, func(m any) {
		switch m := m.(type) {
		case *hostmsg.Refuse:
			refused = m
			l.close()
			return
		case *hostmsg.Sync:
			synced()
		}
		a.post(func() { a.take(l, m) })
	})
	l.close()
	writer.Wait()
	a.post(func() { a.disconnected(l) })
	if refused != nil && !refused.Retry {
		return &RefusedError{Reason: refused.Reason}
	}
	if refused != nil {
		return errors.New("the server says: " + refused.Reason)
	}
	return err
}
