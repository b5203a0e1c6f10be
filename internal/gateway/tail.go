package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store"
)

// People who look at the log of a game session that runs. The node they came to asks the
// host's agent, over the socket of its own or by a notification to the node that has it, and
// the text comes back the same way. It is in memory alone, and in no table. Notifications
// get lost and sockets die: each piece of text says where in its file it is, so what is
// missing is seen and marked, and what comes twice is left out.

const (
	tailAfter     = time.Minute // from the end of a game session to that of the tail, if its process goes on
	tailWriteTime = 20 * time.Second
	tailFirst     = 64 << 10  // bytes of the end of each file that come first, unless asked otherwise
	tailFirstMost = 512 << 10 // and at most
	tailWaiting   = 512 << 10 // bytes that wait for one viewer; more is left out
	tailViewers   = 512       // of one node
	tailFrom      = 64        // files that a viewer goes on with

	relayEvery   = 50 * time.Millisecond // PostgreSQL lets one transaction with notifications commit at a time
	relayPiece   = 4 << 10               // bytes of text in a notification
	relayAtOnce  = 16                    // notifications of one transaction: 1.25 MiB of text a second
	relayWaiting = 1 << 20               // bytes that wait for that; more is left out
	relayNote    = 6900                  // a notification holds no more
)

// channelTail has "h HOST message" for the node that holds a host's socket, and "v NODE HOST
// message" for the node whose viewer the agent of a host answers.
const channelTail = "tail"

// TailPath is where the API's own listener has logs of game sessions that run.
const TailPath = "/matchyard/log"

// tails are the viewers of this node, and what goes to those of others.
type tails struct {
	mu      sync.Mutex
	viewers map[string]*tail
	closing bool

	relay  []string // notifications that wait
	bytes  int
	queued chan struct{} // of capacity 1: there is something in relay
}

// tail is one viewer.
type tail struct {
	id   string
	last int64
	raw  bool
	wake chan struct{} // of capacity 1: there is something in out

	mu     sync.Mutex
	on     host.Tailed
	out    []tailEvent
	bytes  int
	missed map[string]int64 // bytes left out because the viewer is slow, by file
	read   map[string]*tailFile
	heard  time.Time
	ended  bool // nothing follows
	over   bool // the agent ended it
}

// tailFile is how far a file was handed to the viewer.
type tailFile struct {
	hostmsg.TailPosition
	inert inert
}

// tailEvent is what a viewer is told, as a server-sent event whose name is Kind.
type tailEvent struct {
	Kind string `json:"-"`

	Host     string             `json:"host,omitempty"`
	Instance string             `json:"instance,omitempty"`
	Files    []hostmsg.TailFile `json:"files,omitempty"`

	File string `json:"file,omitempty"`
	Gen  string `json:"gen,omitempty"`
	// Text is what was written, without anything that acts on a terminal; Data, of who asked
	// for it, the bytes themselves. Next is where in the file it ends.
	Text string `json:"text,omitempty"`
	Data []byte `json:"data,omitempty"`
	Next int64  `json:"next,omitempty"`

	Mark  string `json:"mark,omitempty"`
	Bytes int64  `json:"bytes,omitempty"`
	Why   string `json:"why,omitempty"`
	// Words say a mark or an end to people.
	Words string `json:"words,omitempty"`
}

// The kinds of events, and the marks and ends besides those of hostmsg.
const (
	tailOpen, tailFiles, tailText, tailMark, tailEnd = "open", "files", "text", "mark", "end"

	markSilent, markBack           = "silent", "back"
	endSession, endServer, endDeny = "session", "restart", "denied"
)

// ServeTail streams the log of a game session that runs, as server-sent events, until the
// viewer leaves or the log ends. check says whether the viewer may, at first and every ten
// seconds. An error means that nothing was written: it is check's, a *host.NoTail, or
// internal. The query may have last (bytes of each file's end), raw=1 and from, where to go on
// (JSON, a list of hostmsg.TailPosition).
func (s *Server) ServeTail(w http.ResponseWriter, r *http.Request, game arn.GameSessionID, check func(ctx context.Context) error) error {
	s.init()
	t, err := newTail(s.DB.Node(), r.URL.Query())
	if err != nil {
		return err
	}
	if err := check(r.Context()); err != nil {
		return err
	}
	if s.Hosts == nil {
		return &host.NoTail{Code: host.TailNoAgent, Text: "this server keeps no hosts"}
	}
	if t.on, err = s.Hosts.Tailed(r.Context(), game); err != nil {
		return err
	}
	if err := s.tails.add(t); err != nil {
		return err
	}
	defer s.leave(t)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that know it pass events on at once
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	t.push(tailEvent{Kind: tailOpen, Host: t.on.HostName, Instance: t.on.Instance})
	s.askTail(t)
	s.streamTail(w, r, t, game, check)
	return nil
}

// newTail makes a viewer of a request.
func newTail(node string, q url.Values) (*tail, error) {
	bad := func(text string) error { return &host.NoTail{Code: "InvalidRequestException", Text: text} }
	last := int64(tailFirst)
	if text := q.Get("last"); text != "" {
		var err error
		if last, err = strconv.ParseInt(text, 10, 64); err != nil || last < 0 || last > tailFirstMost {
			return nil, bad(fmt.Sprintf("last: a number from 0 to %d is expected", tailFirstMost))
		}
	}
	var from []hostmsg.TailPosition
	if text := q.Get("from"); text != "" {
		if err := json.Unmarshal([]byte(text), &from); err != nil || len(from) > tailFrom {
			return nil, bad("from: a list of positions is expected")
		}
	}
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails
	t := &tail{
		id: node + "/" + hex.EncodeToString(id[:]), last: last, raw: q.Get("raw") == "1", wake: make(chan struct{}, 1),
		missed: map[string]int64{}, read: map[string]*tailFile{}, heard: time.Now(),
	}
	for _, p := range from {
		t.read[p.File] = &tailFile{TailPosition: p}
	}
	return t, nil
}

func (s *tails) add(t *tail) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return &host.NoTail{Code: host.TailAway, Text: "the server restarts"}
	case len(s.viewers) >= tailViewers:
		return &host.NoTail{Code: "LimitExceededException", Text: fmt.Sprintf("this node shows %d logs already", tailViewers)}
	}
	s.viewers[t.id] = t
	return nil
}

// leave ends a viewer, here and at the agent.
func (s *Server) leave(t *tail) {
	s.tails.mu.Lock()
	delete(s.tails.viewers, t.id)
	s.tails.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		s.toHost(t.on.Host, &hostmsg.TailStop{ID: t.id})
	}
}

// endTails ends all viewers: the server stops.
func (s *Server) endTails() {
	s.tails.mu.Lock()
	s.tails.closing = true
	viewers := make([]*tail, 0, len(s.tails.viewers))
	for _, t := range s.tails.viewers {
		viewers = append(viewers, t)
	}
	s.tails.mu.Unlock()
	for _, t := range viewers {
		t.push(tailEvent{Kind: tailEnd, Why: endServer, Words: "the server restarts"})
	}
}

// askTail asks the agent, at first or again.
func (s *Server) askTail(t *tail) {
	t.mu.Lock()
	m := &hostmsg.Tail{ID: t.id, Instance: t.on.Instance, Process: t.on.Process, Last: t.last}
	for _, f := range t.read {
		m.From = append(m.From, f.TailPosition)
	}
	to := t.on.Host
	t.mu.Unlock()
	s.toHost(to, m)
}

// streamTail writes what comes until somebody ends it.
func (s *Server) streamTail(w http.ResponseWriter, r *http.Request, t *tail, game arn.GameSessionID, check func(ctx context.Context) error) {
	out := tailWriter{w: w, c: http.NewResponseController(w)}
	ask := time.NewTicker(s.TailEvery)
	defer ask.Stop()
	watch := tailWatch{server: s, tail: t, game: game, check: check}
	for {
		select {
		case <-r.Context().Done():
			return
		case <-t.wake:
		case <-ask.C:
			watch.look(r.Context())
			out.comment()
		}
		over := false
		for _, e := range t.take() {
			out.event(e)
			over = over || e.Kind == tailEnd
		}
		if out.flush() != nil || over {
			return
		}
	}
}

// tailWatch looks after a tail every now and then.
type tailWatch struct {
	server *Server
	tail   *tail
	game   arn.GameSessionID
	check  func(ctx context.Context) error
	over   time.Time // when the game session was seen to have ended
	gone   bool      // so was its process
	silent bool
}

func (w *tailWatch) look(ctx context.Context) {
	t := w.tail
	if err := w.check(ctx); err != nil {
		t.push(tailEvent{Kind: tailEnd, Why: endDeny, Words: "who looks may not any more"})
		return
	}
	words := ""
	on, err := w.server.Hosts.Tailed(ctx, w.game)
	none, _ := errors.AsType[*host.NoTail](err)
	switch {
	case none != nil && none.Code == host.TailAway:
		words = none.Text
	case none != nil: // the agent says it in a moment, after the last lines
		if w.gone {
			t.push(tailEvent{Kind: tailEnd, Why: endSession, Words: none.Text})
		}
		w.gone = true
	case err != nil:
		w.server.Logger.LogAttrs(ctx, slog.LevelWarn, "who looks at a log waits for the database", slog.Any("error", err))
	case !on.EndedAt.IsZero() && w.over.IsZero():
		w.over = time.Now()
	case !w.over.IsZero() && time.Since(w.over) > tailAfter:
		t.push(tailEvent{Kind: tailEnd, Why: endSession, Words: "the game session has ended; its process goes on"})
		return
	}
	t.mu.Lock()
	silent := time.Since(t.heard) > w.server.TailEvery*5/2
	name := t.on.HostName
	t.mu.Unlock()
	switch {
	case (silent || words != "") && !w.silent:
		t.push(tailEvent{Kind: tailMark, Mark: markSilent, Words: cmp.Or(words, "nothing is heard of host "+name+"; either it is not connected, or its agent is too old to show logs")})
	case !silent && words == "" && w.silent:
		t.push(tailEvent{Kind: tailMark, Mark: markBack, Words: "host " + name + " is there again"})
	}
	w.silent = silent || words != ""
	w.server.askTail(t)
}

// push queues an event that is not text.
func (t *tail) push(e tailEvent) {
	t.mu.Lock()
	t.add(e)
	t.mu.Unlock()
	poke(t.wake)
}

// add is called under t.mu.
func (t *tail) add(e tailEvent) {
	if t.ended {
		return
	}
	t.out = append(t.out, e)
	t.bytes += len(e.Text) + len(e.Data) + 100
	t.ended = e.Kind == tailEnd
}

// take is what waits for the viewer.
func (t *tail) take() []tailEvent {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.out
	t.out, t.bytes = nil, 0
	if t.ended {
		return list
	}
	for name := range t.missed {
		t.addMissed(name)
	}
	list, t.out, t.bytes = append(list, t.out...), nil, 0
	return list
}

// addMissed marks what was left out of a file. It is called under t.mu.
func (t *tail) addMissed(name string) {
	if n := t.missed[name]; n > 0 {
		delete(t.missed, name)
		t.add(gap(name, n))
	}
}

func gap(file string, n int64) tailEvent {
	return tailEvent{Kind: tailMark, File: file, Mark: string(hostmsg.TailGap), Bytes: n, Words: fmt.Sprintf("%d bytes left out: they come faster than they can be shown", n)}
}

// said takes what the agent answers. It never waits.
func (t *tail) said(from store.Key, m any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from != t.on.Host {
		return
	}
	t.heard = time.Now()
	switch m := m.(type) {
	case *hostmsg.TailFiles:
		t.add(tailEvent{Kind: tailFiles, Files: m.Files})
	case *hostmsg.TailText:
		t.text(m)
	case *hostmsg.TailEnd:
		t.over = true
		for name := range t.missed {
			t.addMissed(name)
		}
		t.add(tailEvent{Kind: tailEnd, Why: string(m.Why), Words: t.endWords(m.Why)})
	}
	poke(t.wake)
}

func (t *tail) endWords(why hostmsg.TailReason) string {
	switch why {
	case hostmsg.TailOver:
		return "the game server has ended"
	case hostmsg.TailMany:
		return "host " + t.on.HostName + " shows as many logs as it takes"
	case hostmsg.TailUnknown:
		return "the game server does not run on host " + t.on.HostName + " any more"
	default:
		return "the agent ended it (" + string(why) + ")"
	}
}

// markWords say marks of files to people.
var markWords = map[hostmsg.TailMark]string{
	hostmsg.TailTruncated: "the file was emptied and begins anew",
	hostmsg.TailRotated:   "another file took the name and begins",
	hostmsg.TailDeleted:   "the file was deleted",
	hostmsg.TailCurrent:   "from here on as it is written",
}

// text hands a piece of a file on.
func (t *tail) text(m *hostmsg.TailText) {
	if m.Mark == hostmsg.TailCurrent {
		t.add(tailEvent{Kind: tailMark, Mark: string(m.Mark), Words: markWords[m.Mark]})
		return
	}
	f := t.read[m.File]
	if f == nil {
		if len(t.read) >= 4*tailFrom { // more than an agent follows at a time
			clear(t.read)
		}
		f = &tailFile{TailPosition: hostmsg.TailPosition{File: m.File, Gen: m.Gen, Offset: m.Offset}}
		t.read[m.File] = f
	}
	if m.Mark != "" {
		if m.Mark == hostmsg.TailGap {
			t.missed[m.File] += m.Bytes
			t.addMissed(m.File)
		} else {
			t.addMissed(m.File)
			t.add(tailEvent{Kind: tailMark, File: m.File, Mark: string(m.Mark), Words: markWords[m.Mark]})
		}
		f.Gen, f.Offset, f.inert = m.Gen, m.Offset, inert{}
		return
	}
	data := m.Data
	if m.Gen != f.Gen { // its mark was lost
		f.inert = inert{}
	} else {
		switch {
		case m.Offset > f.Offset: // lost on the way
			t.missed[m.File] += m.Offset - f.Offset
		case m.Offset < f.Offset: // said before
			data = data[min(f.Offset-m.Offset, int64(len(data))):]
		}
	}
	if len(data) == 0 {
		return
	}
	f.Gen, f.Offset = m.Gen, m.Offset+int64(len(m.Data))
	if t.bytes > tailWaiting {
		t.missed[m.File] += int64(len(data))
		f.inert = inert{}
		return
	}
	t.addMissed(m.File)
	e := tailEvent{Kind: tailText, File: m.File, Gen: m.Gen, Next: f.Offset}
	if t.raw {
		e.Data = data
	} else {
		e.Text = f.inert.take(data)
		e.Next -= int64(len(f.inert.rest))
	}
	t.add(e)
}

// tailWriter writes server-sent events.
type tailWriter struct {
	w   http.ResponseWriter
	c   *http.ResponseController
	err error
}

func (w *tailWriter) write(text string) {
	if w.err == nil {
		_ = w.c.SetWriteDeadline(time.Now().Add(tailWriteTime))
		_, w.err = w.w.Write([]byte(text))
	}
}

func (w *tailWriter) event(e tailEvent) {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // ours
	}
	w.write("event: " + e.Kind + "\ndata: " + string(text) + "\n\n")
}

func (w *tailWriter) comment() { w.write(":\n\n") }

func (w *tailWriter) flush() error {
	if w.err == nil {
		w.err = w.c.Flush()
	}
	return w.err
}

// toHost sends a message to the agent of a host, whichever node holds its socket.
func (s *Server) toHost(to store.Key, m any) {
	s.mu.Lock()
	k := s.hosts[to]
	s.mu.Unlock()
	if k != nil {
		k.tail(m)
		return
	}
	if tail, ok := m.(*hostmsg.Tail); ok { // a notification does not hold many positions
		short := *tail
		for text, _ := json.Marshal(short); len(text) > relayNote-200; text, _ = json.Marshal(short) {
			short.From = short.From[:len(short.From)/2]
		}
		m = &short
	}
	s.relay("h "+strconv.FormatInt(int64(to), 10), m)
}

// tail sends what a viewer wants to the agent, and remembers whom the agent may answer.
func (k *hostSocket) tail(m any) {
	k.mu.Lock()
	switch m := m.(type) {
	case *hostmsg.Tail:
		if k.asked == nil {
			k.asked = map[string]struct{}{}
		}
		k.asked[m.ID] = struct{}{}
	case *hostmsg.TailStop:
		delete(k.asked, m.ID)
	}
	k.mu.Unlock()
	k.send(m)
}

// tailed takes what an agent says to a viewer, if a viewer asked.
func (k *hostSocket) tailed(id string, m any) {
	k.mu.Lock()
	_, asked := k.asked[id]
	if _, ends := m.(*hostmsg.TailEnd); ends {
		delete(k.asked, id)
	}
	k.mu.Unlock()
	if !asked {
		return
	}
	s := k.server
	node, _, _ := strings.Cut(id, "/")
	if node == s.DB.Node() {
		s.toViewer(id, k.joined.Host, m)
		return
	}
	head := "v " + node + " " + strconv.FormatInt(int64(k.joined.Host), 10)
	switch m := m.(type) {
	case *hostmsg.TailText:
		for piece := range pieces(m) {
			s.relay(head, piece)
		}
	case *hostmsg.TailFiles:
		for text, _ := json.Marshal(m); len(text) > relayNote-200; text, _ = json.Marshal(m) {
			m.Files = m.Files[:len(m.Files)/2]
		}
		s.relay(head, m)
	default:
		s.relay(head, m)
	}
}

// pieces are a text in parts that notifications hold.
func pieces(m *hostmsg.TailText) func(yield func(*hostmsg.TailText) bool) {
	return func(yield func(*hostmsg.TailText) bool) {
		if len(m.Data) <= relayPiece {
			yield(m)
			return
		}
		offset := m.Offset
		for part := range slices.Chunk(m.Data, relayPiece) {
			piece := *m
			piece.Offset, piece.Data = offset, part
			offset += int64(len(part))
			if !yield(&piece) {
				return
			}
		}
	}
}

// toViewer hands a message to a viewer of this node.
func (s *Server) toViewer(id string, from store.Key, m any) {
	s.tails.mu.Lock()
	t := s.tails.viewers[id]
	s.tails.mu.Unlock()
	if t != nil {
		t.said(from, m)
	}
}

// tailOf is the tail that a message of an agent is about, "" when it is about none.
func tailOf(m any) string {
	switch m := m.(type) {
	case *hostmsg.TailFiles:
		return m.ID
	case *hostmsg.TailText:
		return m.ID
	case *hostmsg.TailEnd:
		return m.ID
	}
	return ""
}

// relay queues a message for another node. What is too much is left out, and its viewer
// notices.
func (s *Server) relay(head string, m any) {
	text, err := hostmsg.Encode(m)
	if err != nil {
		panic(err) // ours
	}
	note := head + " " + string(text)
	s.tails.mu.Lock()
	defer s.tails.mu.Unlock()
	if _, ok := m.(*hostmsg.TailText); len(note) > relayNote || ok && s.tails.bytes > relayWaiting {
		return
	}
	s.tails.relay = append(s.tails.relay, note)
	s.tails.bytes += len(note)
	poke(s.tails.queued)
}

// relayTails carries messages about logs to other nodes until ctx ends.
func (s *Server) relayTails(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.tails.queued:
		}
		s.tails.mu.Lock()
		n := min(len(s.tails.relay), relayAtOnce)
		notes := slices.Clone(s.tails.relay[:n])
		s.tails.relay = slices.Delete(s.tails.relay, 0, n)
		for _, note := range notes {
			s.tails.bytes -= len(note)
		}
		if len(s.tails.relay) > 0 {
			poke(s.tails.queued)
		}
		s.tails.mu.Unlock()
		if err := s.notifyTails(ctx, notes); err != nil && ctx.Err() == nil {
			s.Logger.LogAttrs(ctx, slog.LevelWarn, "logs not carried to another node", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(relayEvery):
		}
	}
}

func (s *Server) notifyTails(ctx context.Context, notes []string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		for _, n := range notes {
			tx.Notify(channelTail, n)
		}
		return nil
	})
}

// tailNote takes what another node says about logs.
func (s *Server) tailNote(payload string) {
	kind, rest, _ := strings.Cut(payload, " ")
	if kind == "v" {
		var node string
		if node, rest, _ = strings.Cut(rest, " "); node != s.DB.Node() {
			return
		}
	}
	number, text, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return
	}
	key := store.Key(n)
	s.mu.Lock()
	k := s.hosts[key]
	s.mu.Unlock()
	if kind == "h" && k == nil {
		return
	}
	m, err := hostmsg.Decode([]byte(text))
	if err != nil || m == nil {
		return
	}
	if kind == "v" {
		s.toViewer(tailOf(m), key, m)
		return
	}
	k.tail(m)
}
