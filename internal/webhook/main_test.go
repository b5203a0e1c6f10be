package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/webhook"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const (
	secret    = "a secret of this test"
	eventType = "GameLift Queue Placement Event"
	topic     = "arn:aws:sns:us-west-2:123456789012:placements"
)

// soon is how long tests wait for what happens in wall time.
const soon = 20 * time.Second

// node is a running server of sinks on a database.
type node struct {
	*webhook.Server
	t    *testing.T
	log  *event.Log
	api  *httptest.Server // of the handler
	said *journal
	stop func()
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

type setup struct {
	sinks    []webhook.Sink
	targets  map[string]string
	resolver *net.Resolver
	change   func(*webhook.Server)
}

// start runs sinks, whose clock is the database's, until the test ends or stop is called.
func start(t *testing.T, db *store.DB, o setup) *node {
	t.Helper()
	if err := webhook.Check(o.sinks, o.targets); err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, said: &journal{}}
	n.log = &event.Log{DB: db, Home: home, Route: webhook.Route(o.sinks, o.targets)}
	n.Server = &webhook.Server{
		DB: db, Log: n.log, Home: home, Sinks: o.sinks, Manual: true, Resolver: o.resolver,
		Logger: slog.New(slog.NewTextHandler(io.MultiWriter(n.said, t.Output()), nil)),
	}
	if o.change != nil {
		o.change(n.Server)
	}
	n.api = httptest.NewServer(n.Handler(http.NotFoundHandler()))
	n.Endpoint = func() string { return n.api.URL }
	if err := n.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		n.Run(ctx)
		close(ended)
	}()
	n.stop = sync.OnceFunc(func() {
		n.Close()
		cancel()
		select {
		case <-ended:
		case <-time.After(soon):
			t.Error("the couriers do not end")
		}
		n.api.Close()
	})
	t.Cleanup(n.stop)
	return n
}

type detail struct {
	Type        string `json:"type"`
	PlacementID string `json:"placementId"`
}

// happen appends an event in a transaction of its own.
func (n *node) happen(order, id string) {
	n.t.Helper()
	n.happenAll(event.Event{
		Type: eventType, Order: order, Resource: "arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/q",
		Detail: detail{"PlacementFulfilled", id},
	})
}

func (n *node) happenAll(events ...event.Event) {
	n.t.Helper()
	if err := n.DB.Write(n.t.Context(), func(tx *store.Tx) error { return n.log.AppendTx(tx, events...) }); err != nil {
		n.t.Fatal(err)
	}
}

// advance does what an app does when its manual clock is moved: it goes from one due instant
// to the next, and ends d later.
func (n *node) advance(clock *storetest.Clock, d time.Duration) {
	n.t.Helper()
	target := clock.Now().Add(d)
	for steps := 0; ; steps++ {
		if steps > 2000 {
			n.t.Fatal("the clock does not get there")
		}
		due, ok, err := n.Due(n.t.Context())
		if err != nil {
			n.t.Fatal(err)
		}
		if !ok || due.After(target) {
			break
		}
		clock.Advance(max(0, due.Sub(clock.Now())))
		n.tick(clock)
	}
	clock.Advance(target.Sub(clock.Now()))
	n.tick(clock)
}

func (n *node) tick(clock *storetest.Clock) {
	n.t.Helper()
	if err := n.Tick(n.t.Context(), clock.Now()); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) pending(sink string) int64 {
	n.t.Helper()
	count, err := n.log.Pending(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return count[sink]
}

// receiver is somebody's web server that gets events.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	ids      []string // placements, in order of arrival, of those accepted
	answer   func(w http.ResponseWriter, r *http.Request, id string) (accepted bool)
	arrived  chan struct{}
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{arrived: make(chan struct{}, 10000)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	id := placement(body)
	if answer != nil && !answer(w, q, id) {
		return
	}
	r.mu.Lock()
	r.requests, r.bodies, r.ids = append(r.requests, q), append(r.bodies, string(body)), append(r.ids, id)
	r.mu.Unlock()
	r.arrived <- struct{}{}
}

func (r *receiver) answers(f func(w http.ResponseWriter, r *http.Request, id string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func status(code int) func(w http.ResponseWriter, r *http.Request, id string) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.WriteHeader(code)
		return code < 300
	}
}

func placement(body []byte) string {
	var e struct{ Detail detail }
	_ = json.Unmarshal(body, &e)
	return e.Detail.PlacementID
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

// waitFor waits until n more events have arrived.
func (r *receiver) waitFor(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		select {
		case <-r.arrived:
		case <-time.After(soon):
			t.Fatalf("%d of %d events arrived: %v", i, n, r.got())
		}
	}
}

// eventually fails unless ok becomes true soon.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func wants(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func numbers(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// hook is a webhook sink of that URL, on this machine.
func hook(url string) webhook.Sink {
	return webhook.Sink{Name: "hook", Kind: webhook.Webhook, URL: url, Secret: secret, AllowPrivate: true}
}
