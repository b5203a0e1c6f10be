// Package listen is the edge that takes connections: one port for TLS and plain text, told
// apart by the first byte, with the time limits that keep slow and silent clients from
// holding memory. It owns the server's certificate. It knows no protocol above HTTP.
package listen

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// defaultFirstByte is how long a connection may say nothing.
	defaultFirstByte = 10 * time.Second
	// defaultMaxSilent is how many connections may say nothing at the same time.
	defaultMaxSilent = 4096

	recordTypeHandshake = 0x16 // the first byte of TLS; no HTTP method begins with it
)

// Options are the choices of New. TLS is required.
type Options struct {
	TLS *tls.Config
	// FirstByte is how long a new connection may say nothing; 0 means 10 seconds.
	FirstByte time.Duration
	// MaxSilent is how many connections may be in that state; one more ends the oldest. 0
	// means 4096.
	MaxSilent int
}

// Listener hands out connections that have spoken: those that speak TLS as *tls.Conn,
// others as they are. Accept may be called by several goroutines.
type Listener struct {
	inner     net.Listener
	options   Options
	accepted  chan net.Conn
	closed    chan struct{} // no more connections: Close was called or accepting failed
	closeOnce sync.Once
	closeErr  error
	err       error // why accepting ended; written before closed is closed
	running   sync.WaitGroup

	mu     sync.Mutex
	silent list.List // of net.Conn, the oldest in front
	ended  bool
}

// New starts to accept on inner, which the Listener then owns. Close it.
func New(inner net.Listener, o Options) *Listener {
	if o.FirstByte == 0 {
		o.FirstByte = defaultFirstByte
	}
	if o.MaxSilent == 0 {
		o.MaxSilent = defaultMaxSilent
	}
	l := &Listener{inner: inner, options: o, accepted: make(chan net.Conn), closed: make(chan struct{})}
	l.running.Go(l.accept)
	return l
}

// Addr is the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept waits for the next connection that has spoken. After Close it returns net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, l.err
	}
}

// Close ends accepting, and the connections that have not spoken yet. It returns when none
// of its goroutines is left. Connections that were handed out stay.
func (l *Listener) Close() error {
	l.end(net.ErrClosed)
	l.running.Wait()
	return l.closeErr
}

func (l *Listener) end(why error) {
	l.closeOnce.Do(func() {
		l.err = why
		close(l.closed)
		l.closeErr = l.inner.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ended = true
		for e := l.silent.Front(); e != nil; e = e.Next() {
			_ = e.Value.(net.Conn).Close()
		}
	})
}

func (l *Listener) accept() {
	var pause time.Duration
	for {
		c, err := l.inner.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !temporary(err) {
				l.end(err)
				return
			}
			// Out of descriptors, most likely: it passes when connections end.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-l.closed:
			}
			continue
		}
		pause = 0
		if spoke := l.addSilent(c); spoke != nil {
			l.running.Go(func() { l.listenTo(c, spoke) })
		}
	}
}

func temporary(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Temporary() //nolint:staticcheck // deprecated for being vague; net/http asks the same question of Accept
}

// listenTo waits for a connection's first byte and hands it out.
func (l *Listener) listenTo(c net.Conn, spoke func()) {
	var first [1]byte
	_ = c.SetReadDeadline(time.Now().Add(l.options.FirstByte))
	n, err := c.Read(first[:])
	spoke()
	if n == 0 || err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	var out net.Conn = &peeked{Conn: c, first: first, unread: true}
	if first[0] == recordTypeHandshake {
		out = tls.Server(out, l.options.TLS)
	}
	select {
	case l.accepted <- out:
	case <-l.closed:
		_ = c.Close()
	}
}

// addSilent counts a connection among the silent ones until spoke is called, and ends the
// oldest when there are too many. It returns nil when the listener is closed.
func (l *Listener) addSilent(c net.Conn) (spoke func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		_ = c.Close()
		return nil
	}
	if l.silent.Len() >= l.options.MaxSilent {
		oldest := l.silent.Front()
		_ = oldest.Value.(net.Conn).Close()
		l.silent.Remove(oldest)
	}
	e := l.silent.PushBack(c)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.silent.Remove(e) // does nothing when it was the oldest
	}
}

// peeked is a connection of which one byte was read already.
type peeked struct {
	net.Conn
	first  [1]byte
	unread bool
}

func (c *peeked) Read(b []byte) (int, error) {
	if !c.unread || len(b) == 0 {
		return c.Conn.Read(b)
	}
	c.unread = false
	b[0] = c.first[0]
	return 1, nil
}

// NetConn is the connection underneath, for those who set its options.
func (c *peeked) NetConn() net.Conn { return c.Conn }

// CloseWrite ends the sending half, as the connection underneath does. net/http closes so.
func (c *peeked) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
