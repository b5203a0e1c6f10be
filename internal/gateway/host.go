package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store"
)

// The sockets of host agents (hostmsg). There are hundreds of them and not tens of
// thousands, so each has goroutines of its own: one reads, one carries what was read to the
// room, many messages a transaction, and one writes.

const (
	hostSilence    = time.Minute      // a socket of an agent without a frame for so long is dropped
	hostKeepEvery  = 10 * time.Second // how often the room hears which hosts are there
	hostHello      = 10 * time.Second // from the handshake to Hello
	hostMaxMessage = 64 << 20         // bytes: a Hello names all processes of a host
	hostBatch      = 256              // messages of one transaction
	hostMaxWaiting = 4096             // messages read and not carried on; then reading waits
	hostMaxOut     = 128 << 20        // bytes waiting to be written to one agent
	hostTakeMost   = 64               // hosts whose outbox one transaction empties
)

// hostSocket is the socket of an agent.
type hostSocket struct {
	server *Server
	conn   net.Conn
	joined host.Joined
	name   string

	in     chan any      // messages that were read
	queued chan struct{} // of capacity 1: there is something in out
	end    chan struct{}

	leaving  atomic.Bool // a close frame was written
	once     sync.Once
	mu       sync.Mutex
	out      [][]byte // frames to be written
	outBytes int
	alive    hostmsg.Alive
	heard    time.Time
	asked    map[string]struct{} // tails that viewers want
}

// serveHost takes an agent in: it shows its token, and says Hello first.
func (s *Server) serveHost(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), handshakeTime)
	defer cancel()
	if err := s.admitHost(ctx, r); err != nil {
		s.refuse(w, r, err)
		return
	}
	k := &hostSocket{
		server: s, in: make(chan any, hostMaxWaiting), queued: make(chan struct{}, 1), end: make(chan struct{}),
	}
	conn, rw, _, err := ws.HTTPUpgrader{Timeout: handshakeTime}.Upgrade(r, w)
	if err != nil {
		s.counts.refused.Add(1)
		if conn != nil {
			_ = conn.Close()
		}
		return
	}
	k.conn = conn
	s.mu.Lock()
	closing := s.closing
	if !closing {
		s.work.Add(1)
		s.hostSockets[k] = struct{}{}
	}
	s.mu.Unlock()
	if closing {
		_, _ = conn.Write(closeFrame(statusServiceRestart, "the server restarts"))
		_ = conn.Close()
		return
	}
	go k.serve(rw.Reader, secretOf(r))
}

func (s *Server) admitHost(ctx context.Context, r *http.Request) error {
	if s.Hosts == nil {
		return &refusal{http.StatusNotFound, "this server keeps no hosts"}
	}
	if err := checkUpgrade(r); err != nil {
		return err
	}
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return &refusal{http.StatusUnauthorized, "Authorization: a host's token is expected, as in Bearer hostkey-…"}
	}
	ok, err := s.Hosts.Authenticate(ctx, secret)
	if err == nil && !ok {
		err = &refusal{http.StatusUnauthorized, "Authorization: the token is unknown or revoked"}
	}
	return err
}

// secretOf is the token with which an agent dialled.
func secretOf(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// close ends the socket.
func (k *hostSocket) close() {
	k.once.Do(func() {
		close(k.end)
		_ = k.conn.Close()
	})
}

// serve is the life of a socket.
func (k *hostSocket) serve(r *bufio.Reader, secret string) {
	s := k.server
	defer s.work.Done()
	defer k.close()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.hostSockets, k)
	}()
	s.work.Go(k.write)
	if !k.hello(r, secret) {
		return
	}
	s.counts.accepted.Add(1)
	s.Logger.LogAttrs(s.base, slog.LevelInfo, "host connected", slog.String("host", k.name), slog.Any("remote", k.conn.RemoteAddr()))
	defer s.hostDeparted(k)
	s.hostArrived(k)
	s.work.Go(k.carry)
	for {
		m, err := k.read(r)
		if err != nil {
			s.Logger.LogAttrs(s.base, slog.LevelInfo, "host disconnected", slog.String("host", k.name), slog.Any("error", err))
			return
		}
		if m == nil {
			continue
		}
		if a, ok := m.(*hostmsg.Alive); ok {
			k.mu.Lock()
			k.alive = *a
			k.mu.Unlock()
			continue
		}
		if id := tailOf(m); id != "" {
			k.tailed(id, m)
			continue
		}
		select {
		case k.in <- m:
		case <-k.end:
			return
		}
	}
}

// hello takes the first message and answers it.
func (k *hostSocket) hello(r *bufio.Reader, secret string) bool {
	s := k.server
	_ = k.conn.SetReadDeadline(time.Now().Add(hostHello))
	m, err := k.message(r)
	h, ok := m.(*hostmsg.Hello)
	if err != nil || !ok {
		k.frame(closeFrame(ws.StatusPolicyViolation, "Hello is expected first"))
		k.linger()
		return false
	}
	k.name = h.Host
	ctx, cancel := context.WithTimeout(s.base, 2*requestTime)
	defer cancel()
	j, sync, refuse, err := s.Hosts.Hello(ctx, secret, *h)
	if err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "host not let in", slog.String("host", h.Host), slog.Any("error", err))
		refuse = &hostmsg.Refuse{Reason: "internal error; the server's log has it", Retry: true}
	}
	if refuse != nil {
		s.counts.refused.Add(1)
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "host refused", slog.String("host", h.Host), slog.String("reason", refuse.Reason))
		k.send(refuse)
		k.frame(closeFrame(ws.StatusNormalClosure, ""))
		k.linger()
		return false
	}
	k.joined = j
	k.send(sync)
	return true
}

// linger gives the last frames time to arrive.
func (k *hostSocket) linger() {
	_ = k.conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, k.conn)
}

// expect gives the agent time for its next frame; after a close frame there is little.
func (k *hostSocket) expect(d time.Duration) {
	if k.leaving.Load() {
		d = lingerTime
	}
	_ = k.conn.SetReadDeadline(time.Now().Add(d))
}

// read is the next message; nil for one of a kind that is not known.
func (k *hostSocket) read(r *bufio.Reader) (any, error) {
	k.expect(hostSilence)
	return k.message(r)
}

func (k *hostSocket) message(r *bufio.Reader) (any, error) {
	var text []byte
	state := ws.StateServerSide
	for {
		h, err := ws.ReadHeader(r)
		if err != nil {
			return nil, err
		}
		if err := ws.CheckHeader(h, state); err != nil {
			return nil, err
		}
		if h.Length > int64(hostMaxMessage-len(text)) {
			return nil, errors.New("the message is too long")
		}
		k.mu.Lock()
		k.heard = time.Now()
		k.mu.Unlock()
		if h.OpCode.IsControl() {
			if err := k.control(r, h); err != nil {
				return nil, err
			}
			k.expect(hostSilence)
			continue
		}
		if h.OpCode == ws.OpBinary {
			return nil, errors.New("messages are text")
		}
		if err := readPayload(r, &text, int(h.Length), h.Mask); err != nil {
			return nil, err
		}
		state = state.Set(ws.StateFragmented)
		if !h.Fin {
			continue
		}
		if !utf8.Valid(text) {
			return nil, errors.New("messages are UTF-8")
		}
		return hostmsg.Decode(text)
	}
}

func (k *hostSocket) control(r *bufio.Reader, h ws.Header) error {
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPing:
		k.frame(ws.MustCompileFrame(ws.NewPongFrame(payload)))
	case ws.OpClose:
		k.frame(closeFrame(ws.StatusNormalClosure, ""))
		return io.EOF
	default:
	}
	return nil
}

// send queues a message.
func (k *hostSocket) send(m any) {
	text, err := hostmsg.Encode(m)
	if err != nil {
		panic(err) // ours
	}
	k.frame(textFrame(text))
}

// frame queues a frame. An agent that does not read is dropped.
func (k *hostSocket) frame(b []byte) {
	k.mu.Lock()
	k.out = append(k.out, b)
	k.outBytes += len(b)
	full := k.outBytes > hostMaxOut
	k.mu.Unlock()
	if full {
		k.server.counts.dropped.Add(1)
		k.close()
		return
	}
	poke(k.queued)
}

// write writes what is queued until the socket ends. After a close frame nothing follows, and
// the reader waits for the answer before it closes.
func (k *hostSocket) write() {
	for {
		select {
		case <-k.end:
			return
		case <-k.queued:
		}
		k.mu.Lock()
		batch := k.out
		k.out = nil
		k.mu.Unlock()
		for _, b := range batch {
			_ = k.conn.SetWriteDeadline(time.Now().Add(writeTime))
			if _, err := k.conn.Write(b); err != nil {
				k.close()
				return
			}
			k.mu.Lock()
			k.outBytes -= len(b)
			k.mu.Unlock()
			if b[0]&0x0f == byte(ws.OpClose) {
				k.leaving.Store(true)
				k.expect(lingerTime) // for its answer
				return
			}
		}
	}
}

// carry takes messages to the room, all that wait in one transaction, and sends the answers.
// When the room cannot take them, the socket is closed: the agent says everything again.
func (k *hostSocket) carry() {
	s := k.server
	for {
		batch := make([]any, 0, 16)
		select {
		case <-k.end:
			return
		case m := <-k.in:
			batch = append(batch, m)
		}
	more:
		for len(batch) < hostBatch {
			select {
			case m := <-k.in:
				batch = append(batch, m)
			default:
				break more
			}
		}
		s.counts.requests.Add(int64(len(batch)))
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), 2*requestTime)
		answers, err := s.Hosts.Report(ctx, k.joined, batch)
		cancel()
		if err != nil {
			if !errors.Is(err, host.ErrSuperseded) {
				s.counts.failed.Add(1)
				s.Logger.LogAttrs(s.base, slog.LevelError, "reports of a host not taken", slog.String("host", k.name), slog.Any("error", err))
			}
			k.close()
			return
		}
		for _, m := range answers {
			k.send(m)
		}
	}
}

// hostArrived makes a socket its host's current one, here.
func (s *Server) hostArrived(k *hostSocket) {
	s.mu.Lock()
	older := s.hosts[k.joined.Host]
	if older != nil && older.joined.Dial > k.joined.Dial {
		older = k
	} else {
		s.hosts[k.joined.Host] = k
		s.markHost(k.joined.Host)
	}
	closing := s.closing
	s.mu.Unlock()
	if older != nil {
		s.counts.superseded.Add(1)
		older.close()
	}
	if closing {
		k.frame(closeFrame(statusServiceRestart, "the server restarts"))
	}
}

func (s *Server) hostDeparted(k *hostSocket) {
	s.mu.Lock()
	current := s.hosts[k.joined.Host] == k
	if current {
		delete(s.hosts, k.joined.Host)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), requestTime)
	defer cancel()
	if err := s.Hosts.Leave(ctx, k.joined); err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "a host's disconnection not recorded", slog.String("host", k.name), slog.Any("error", err))
	}
}

// hostNote is told of each host that something waits for, of all nodes'.
func (s *Server) hostNote(payload string) {
	key, err := strconv.ParseInt(payload, 10, 64)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts[store.Key(key)] != nil {
		s.markHost(store.Key(key))
	}
}

// markHost is called under s.mu.
func (s *Server) markHost(key store.Key) {
	s.dirtyHosts[key] = struct{}{}
	poke(s.pokedHosts)
}

// deliverHosts carries messages from outboxes to agents, and says every now and then which
// hosts are there. It is the only one that does, so that messages keep their order.
func (s *Server) deliverHosts(ctx context.Context) {
	if s.Hosts == nil {
		return
	}
	poll, keep := time.NewTicker(s.PollEvery), time.NewTicker(hostKeepEvery)
	defer poll.Stop()
	defer keep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-keep.C:
			s.keepHosts(ctx)
		case <-poll.C:
			s.mu.Lock()
			for key := range s.hosts {
				s.markHost(key)
			}
			s.mu.Unlock()
		case <-s.pokedHosts:
		}
		for to := s.takeHosts(); len(to) > 0 && ctx.Err() == nil; to = s.takeHosts() {
			if !s.deliverToHosts(ctx, to) {
				select { // the database is in trouble
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
	}
}

// takeHosts takes some hosts that something waits for.
func (s *Server) takeHosts() map[store.Key]*hostSocket {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := map[store.Key]*hostSocket{}
	for key := range s.dirtyHosts {
		if len(to) == hostTakeMost {
			break
		}
		delete(s.dirtyHosts, key)
		if k := s.hosts[key]; k != nil {
			to[key] = k
		}
	}
	return to
}

func (s *Server) deliverToHosts(ctx context.Context, to map[store.Key]*hostSocket) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*requestTime)
	defer cancel()
	joined := make([]host.Joined, 0, len(to))
	for _, k := range to {
		joined = append(joined, k.joined)
	}
	list, err := s.Hosts.Outbox(ctx, joined)
	if err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "outboxes not read", slog.Int("hosts", len(to)), slog.Any("error", err))
		s.mu.Lock()
		defer s.mu.Unlock()
		for key := range to {
			s.markHost(key)
		}
		return false
	}
	for _, m := range list {
		s.counts.pushes.Add(1)
		to[m.Host].frame(textFrame(m.Text))
	}
	return true
}

// keepHosts says which hosts are there: those whose agents were heard of lately.
func (s *Server) keepHosts(ctx context.Context) {
	var held []host.Seen
	sockets := map[host.Joined]*hostSocket{}
	s.mu.Lock()
	for _, k := range s.hosts {
		k.mu.Lock()
		if time.Since(k.heard) < hostSilence {
			held = append(held, host.Seen{Joined: k.joined, Alive: k.alive})
			sockets[k.joined] = k
		}
		k.mu.Unlock()
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	stale, err := s.Hosts.Keep(ctx, held)
	if err != nil && ctx.Err() == nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "hosts not reported", slog.Any("error", err))
	}
	for _, j := range stale {
		sockets[j].close()
	}
}

// restartHosts tells agents to dial again, as restart does game servers.
func (s *Server) restartHosts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.hostSockets {
		k.frame(closeFrame(statusServiceRestart, "the server restarts"))
	}
}

func (s *Server) closeHosts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.hostSockets {
		k.close()
	}
}
