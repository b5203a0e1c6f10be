package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// played is a game session on a managed instance whose agent is scripted.
type played struct {
	*farm
	hand     *hand
	instance string
	process  compute.Process
	game     string
}

// play makes a host, a fleet on it and a game session.
func (y *farm) play() *played {
	t := y.t
	t.Helper()
	h, _ := y.joinHost("a")
	f := y.wanted()
	start := h.next().(*hostmsg.Start)
	h.say(&hostmsg.InstanceChanged{Instance: start.Instance, Status: hostmsg.Running})
	h.say(&hostmsg.ProcessStarted{Instance: start.Instance, Process: "p"})
	p, err := y.computes.Connect(t.Context(), compute.Dial{ProcessID: "p", Compute: arn.ComputeName(start.Instance), Fleet: f, AuthToken: start.Token, SDKVersion: "5.5.0", SDKLanguage: "Go"})
	check(t, err)
	check(t, y.computes.Ready(t.Context(), p.Key, compute.Ready{Port: 7000, LogPaths: []string{"/local/game/logs"}}))
	check(t, y.computes.Health(t.Context(), p.Key, true))
	made, err := y.sessions.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{FleetId: new(string(f)), MaximumPlayerSessionCount: new(int32(2))})
	check(t, err)
	game := *made.GameSession.GameSessionId
	check(t, y.sessions.Activate(t.Context(), p.Key, game))
	g := &played{y, h, start.Instance, p, game}
	for _, want := range []string{"Dialled", "Registered", "Hosting"} {
		if m := h.next(); m == nil {
			t.Fatalf("got nothing, want %s", want)
		}
	}
	return g
}

// asked is the next message about tails that fits.
func asked[M any](h *hand) M {
	h.t.Helper()
	for {
		if m, ok := h.next().(M); ok {
			return m
		}
	}
}

// said is an event that a viewer got.
type said struct {
	kind, File, Text, Mark, Why, Words, Host string
	Data                                     []byte
	Bytes, Next                              int64
	Files                                    []hostmsg.TailFile
}

// looks is somebody who looks at a log.
type looks struct {
	t      testing.TB
	events chan said
	status int
	body   string
	denied atomic.Bool
	leave  func()
}

// look opens the log of a game session at a node.
func (y *farm) look(game, query string) *looks {
	y.t.Helper()
	l := &looks{t: y.t, events: make(chan said, 1000)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := y.ServeTail(w, r, arn.GameSessionID(game), func(context.Context) error {
			if l.denied.Load() {
				return errors.New("no")
			}
			return nil
		})
		if none, ok := errors.AsType[*host.NoTail](err); ok {
			http.Error(w, string(none.Code)+": "+none.Text, http.StatusConflict)
		} else if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	}))
	y.t.Cleanup(s.Close)
	ctx, cancel := context.WithCancel(y.t.Context())
	l.leave = cancel
	y.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/?"+query, http.NoBody)
	check(y.t, err)
	answer, err := http.DefaultClient.Do(r)
	check(y.t, err)
	l.status = answer.StatusCode
	if l.status != http.StatusOK {
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		lines.Scan()
		l.body = lines.Text()
		return l
	}
	go func() {
		defer answer.Body.Close()
		defer close(l.events)
		var e said
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "event":
				e.kind = value
			case name == "data":
				if err := json.Unmarshal([]byte(value), &e); err != nil {
					l.t.Error(err)
				}
			case name == "" && e.kind != "":
				l.events <- e
				e = said{}
			}
		}
	}()
	return l
}

// until is the first event of a kind that fits; others are passed over.
func (l *looks) until(what string, fits func(e said) bool) said {
	l.t.Helper()
	late := time.After(patience)
	for {
		select {
		case e, ok := <-l.events:
			if !ok {
				l.t.Fatalf("the stream ended before %s", what)
			}
			if fits(e) {
				return e
			}
		case <-late:
			l.t.Fatalf("never: %s", what)
		}
	}
}

func (l *looks) text(want string) said {
	l.t.Helper()
	return l.until("the text "+want, func(e said) bool { return e.kind == "text" && e.Text == want })
}

func (l *looks) mark(want string) said {
	l.t.Helper()
	return l.until("the mark "+want, func(e said) bool { return e.kind == "mark" && e.Mark == want })
}

// TestALogIsSeenWhileItIsWritten, with everything that can happen to a file.
func TestALogIsSeenWhileItIsWritten(t *testing.T) {
	eachFarm(t, func(y *farm) {
		g := y.play()
		v := y.look(g.game, "last=100")
		m := asked[*hostmsg.Tail](g.hand)
		if m.Instance != g.instance || m.Process != "p" || m.Last != 100 || len(m.From) != 0 {
			t.Fatalf("asked %+v", m)
		}
		if e := v.until("who answers", func(e said) bool { return e.kind == "open" }); e.Host != "a" {
			t.Errorf("open: %+v", e)
		}
		say := func(offset int64, text string) {
			g.hand.say(&hostmsg.TailText{ID: m.ID, File: "logs/a", Gen: "1", Offset: offset, Data: []byte(text)})
		}
		g.hand.say(&hostmsg.TailFiles{ID: m.ID, Files: []hostmsg.TailFile{{Name: "logs/a"}, {Name: "b", Note: "is not there"}}})
		v.until("the files", func(e said) bool { return e.kind == "files" && len(e.Files) == 2 })
		say(100, "one\n")
		v.text("one\n")
		g.hand.say(&hostmsg.TailText{ID: m.ID, Mark: hostmsg.TailCurrent})
		v.mark("current")
		say(104, "\x1b[2J<b>\xff\u202e\r\nhalf of \xf0\x9f")
		v.text("\\x1b[2J<b>\\xff\\u202e\nhalf of ")
		say(127, "\x98\x80\n") // a rune in two pieces
		v.text("😀\n")
		say(102, "e\n\x1b") // it was said
		say(130, "!\n")
		if e := v.text("!\n"); e.Next != 132 {
			t.Errorf("next is %d", e.Next)
		}
		say(1000, "lost\n")
		if e := v.mark("gap"); e.Bytes != 868 {
			t.Errorf("a gap of %d bytes", e.Bytes)
		}
		v.text("lost\n")
		g.hand.say(&hostmsg.TailText{ID: m.ID, File: "logs/a", Gen: "1.1", Mark: hostmsg.TailTruncated})
		g.hand.say(&hostmsg.TailText{ID: m.ID, File: "logs/a", Gen: "1.1", Data: []byte("anew\n")})
		v.mark("truncated")
		v.text("anew\n")

		// It is asked for again, from where it was read to.
		again := asked[*hostmsg.Tail](g.hand)
		for len(again.From) == 0 || again.From[0].Offset != 5 {
			again = asked[*hostmsg.Tail](g.hand)
		}
		if again.ID != m.ID || again.From[0] != (hostmsg.TailPosition{File: "logs/a", Gen: "1.1", Offset: 5}) {
			t.Errorf("asked again: %+v", again)
		}
		g.hand.say(&hostmsg.TailEnd{ID: m.ID, Why: hostmsg.TailOver})
		if e := v.until("the end", func(e said) bool { return e.kind == "end" }); e.Why != "over" || e.Words == "" {
			t.Errorf("end: %+v", e)
		}
		if _, more := <-v.events; more {
			t.Error("there is more after the end")
		}
	})
}

// TestTailsEnd when the viewer leaves, may not any more, or the server stops.
func TestTailsEnd(t *testing.T) {
	eachFarm(t, func(y *farm) {
		g := y.play()
		first, second := y.look(g.game, ""), y.look(g.game, "raw=1")
		a, b := asked[*hostmsg.Tail](g.hand), asked[*hostmsg.Tail](g.hand)
		for b.ID == a.ID {
			b = asked[*hostmsg.Tail](g.hand)
		}
		for _, m := range []*hostmsg.Tail{a, b} {
			g.hand.say(&hostmsg.TailText{ID: m.ID, File: "f", Gen: "1", Data: []byte("\x00text\n")})
		}
		first.text("\\x00text\n")
		second.until("the bytes", func(e said) bool { return string(e.Data) == "\x00text\n" && e.Text == "" })
		second.leave()
		if m := asked[*hostmsg.TailStop](g.hand); m.ID != b.ID && m.ID != a.ID {
			t.Errorf("stopped %+v", m)
		}
		first.denied.Store(true)
		if e := first.until("the end", func(e said) bool { return e.kind == "end" }); e.Why != "denied" {
			t.Errorf("end: %+v", e)
		}
		asked[*hostmsg.TailStop](g.hand)
		third := y.look(g.game, "")
		asked[*hostmsg.Tail](g.hand)
		go y.end()
		if e := third.until("the end", func(e said) bool { return e.kind == "end" }); e.Why != "restart" {
			t.Errorf("end: %+v", e)
		}
	})
}

// TestASlowViewerHoldsUpNobody: what it does not take is left out, and marked.
func TestASlowViewerHoldsUpNobody(t *testing.T) {
	eachFarm(t, func(y *farm) {
		g := y.play()
		stuck := make(chan struct{})
		w := &stuckWriter{header: http.Header{}, free: stuck}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- y.ServeTail(w, r.WithContext(ctx), arn.GameSessionID(g.game), func(context.Context) error { return nil })
		}()
		m := asked[*hostmsg.Tail](g.hand)
		quick := y.look(g.game, "")
		q := asked[*hostmsg.Tail](g.hand)
		for q.ID == m.ID {
			q = asked[*hostmsg.Tail](g.hand)
		}
		line := strings.Repeat("z", hostmsg.TailPiece-1) + "\n"
		for n := range int64(100) {
			for _, id := range []string{m.ID, q.ID} {
				g.hand.say(&hostmsg.TailText{ID: id, File: "f", Gen: "1", Offset: n * hostmsg.TailPiece, Data: []byte(line)})
			}
		}
		for range 100 {
			quick.text(line)
		}
		close(stuck)
		eventually(t, "the mark of what is missing", func() bool { return strings.Contains(w.text(), `"mark":"gap"`) })
		cancel()
		check(t, <-done)
		text := w.text()
		if n := strings.Count(text, "zzz"); n == 0 || len(text) > 1<<20 {
			t.Errorf("%d bytes were kept for it", len(text))
		}
	})
}

// TestLogsThatCannotBeSeen are said in words.
func TestLogsThatCannotBeSeen(t *testing.T) {
	eachFarm(t, func(y *farm) {
		g := y.play()
		for query, want := range map[string]string{"last=x": "last: ", "last=99999999": "last: ", "from=x": "from: "} {
			if v := y.look(g.game, query); v.status != http.StatusConflict || !strings.Contains(v.body, want) {
				t.Errorf("%s: %d %s", query, v.status, v.body)
			}
		}
		if v := y.look("arn:aws:gamelift:us-west-2::gamesession/fleet-x/y", ""); !strings.HasPrefix(v.body, "NotFoundException: game session arn") {
			t.Errorf("none: %d %s", v.status, v.body)
		}

		// A stranger's words about a tail are not believed.
		v := y.look(g.game, "")
		m := asked[*hostmsg.Tail](g.hand)
		other, _ := y.joinHost("b")
		other.say(&hostmsg.TailText{ID: m.ID, File: "f", Data: []byte("a lie\n")})
		other.say(&hostmsg.TailEnd{ID: m.ID, Why: hostmsg.TailOver})
		other.say(&hostmsg.TailText{ID: "nobody", File: "f", Data: []byte("x")})
		g.hand.say(&hostmsg.TailText{ID: m.ID, File: "f", Data: []byte("the truth\n")})
		if e := v.until("text", func(e said) bool { return e.kind == "text" }); e.Text != "the truth\n" {
			t.Errorf("got %q", e.Text)
		}

		// The host goes away, and comes back.
		check(t, g.hand.conn.Close())
		if e := v.mark("silent"); !strings.Contains(e.Words, "host a is not connected") {
			t.Errorf("silent: %+v", e)
		}
		if again := y.look(g.game, ""); !strings.HasPrefix(again.body, "HostAway: host a is not connected") {
			t.Errorf("away: %s", again.body)
		}
		back, _ := y.joinHost("a", hostmsg.InstanceState{Instance: g.instance, Status: hostmsg.Running, Processes: []hostmsg.ProcessState{{Process: "p"}}})
		m = asked[*hostmsg.Tail](back)
		if !slices.Equal(m.From, []hostmsg.TailPosition{{File: "f", Offset: 10}}) {
			t.Errorf("it goes on from %+v", m.From)
		}
		back.say(&hostmsg.TailFiles{ID: m.ID})
		v.mark("back")

		check(t, y.computes.End(t.Context(), g.process.Key, compute.Normal))
		back.say(&hostmsg.ProcessEnded{Instance: g.instance, Process: "p", Reason: hostmsg.ExitNormal})
		back.say(&hostmsg.TailEnd{ID: m.ID, Why: hostmsg.TailOver})
		v.until("the end", func(e said) bool { return e.kind == "end" })
		eventually(t, "the log is over", func() bool { return strings.HasPrefix(y.look(g.game, "").body, "Ended: ") })
	})
}

// TestALogOnAnotherNode comes from the node that holds the host's socket, and no table has it.
func TestALogOnAnotherNode(t *testing.T) {
	address, clock := storetest.PostgresURL(t), storetest.NewClock()
	one := newFarm(t, storetest.Open(t, address, clock.Now), clock)
	two := newFarm(t, storetest.Open(t, address, clock.Now), clock)
	var err error
	_, one.token, err = one.hosts.CreateToken(t.Context(), "test")
	check(t, err)
	g := one.play()
	v := two.look(g.game, "last=7&from="+url.QueryEscape(`[{"file":"f","gen":"1","offset":3}]`))
	m := asked[*hostmsg.Tail](g.hand)
	if m.Last != 7 || !slices.Equal(m.From, []hostmsg.TailPosition{{File: "f", Gen: "1", Offset: 3}}) {
		t.Fatalf("asked %+v", m)
	}
	g.hand.say(&hostmsg.TailFiles{ID: m.ID, Files: []hostmsg.TailFile{{Name: "f"}}})
	long := strings.Repeat("<marker of this test> ", 700) // several notifications
	g.hand.say(&hostmsg.TailText{ID: m.ID, File: "f", Gen: "1", Offset: 3, Data: []byte(long)})
	got := ""
	for len(got) < len(long) {
		got += v.until("the text", func(e said) bool { return e.kind == "text" }).Text
	}
	if got != long {
		t.Errorf("got %d bytes, want %d", len(got), len(long))
	}
	var dump strings.Builder
	_, err = one.db.Dump(t.Context(), &dump)
	check(t, err)
	if strings.Contains(dump.String(), "<marker of this test>") || strings.Contains(dump.String(), `\u003cmarker`) {
		t.Error("text of a log is in the database")
	}
	v.leave()
	if s := asked[*hostmsg.TailStop](g.hand); s.ID != m.ID {
		t.Errorf("stopped %+v", s)
	}
}

// stuckWriter is a client that takes nothing until it is free.
type stuckWriter struct {
	header http.Header
	free   chan struct{}
	out    atomic.Pointer[string]
}

func (w *stuckWriter) Header() http.Header              { return w.header }
func (w *stuckWriter) WriteHeader(int)                  {}
func (w *stuckWriter) Flush()                           {}
func (w *stuckWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *stuckWriter) SetWriteDeadline(time.Time) error { return nil }
func (w *stuckWriter) text() string {
	if s := w.out.Load(); s != nil {
		return *s
	}
	return ""
}

func (w *stuckWriter) Write(b []byte) (int, error) {
	<-w.free
	w.out.Store(new(w.text() + string(b)))
	return len(b), nil
}
