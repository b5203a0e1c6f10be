package webhook_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/webhook"
)

func TestAWebhookGetsTheEventAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		r := newReceiver(t)
		n := start(t, db, setup{sinks: []webhook.Sink{hook(r.URL + "/events?tenant=a")}})
		n.happen("placement/warm", "warm")
		r.waitFor(t, 1)
		var took []time.Duration
		for i := range 20 {
			begin := time.Now()
			n.happen(fmt.Sprint("placement/", i), fmt.Sprint(i))
			r.waitFor(t, 1)
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		t.Logf("from the beginning of the transaction to the receiver: median %v, most %v", took[len(took)/2], took[len(took)-1])
		if took[len(took)/2] > 100*time.Millisecond {
			t.Errorf("the median is %v, which is a poll and not a push", took[len(took)/2])
		}
		r.mu.Lock()
		q, body := r.requests[0], r.bodies[0]
		r.mu.Unlock()
		if q.Method != http.MethodPost || q.URL.String() != "/events?tenant=a" || q.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v", q.Method, q.URL, q.Header)
		}
		if id := q.Header.Get("Matchyard-Event-Id"); id == "" || !strings.Contains(body, `"id":"`+id+`"`) {
			t.Errorf("the header has id %q, the body is %s", id, body)
		}
		eventually(t, "delivered events are removed", func() bool { return n.pending("hook") == 0 })
		if st := n.Stats(); st.Delivered != 21 || st.Failures != 0 || st.Dead != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestOneOrderFailsAndTheOthersGoOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := newReceiver(t)
		var poisoned atomic.Bool
		poisoned.Store(true)
		r.answers(func(w http.ResponseWriter, _ *http.Request, id string) bool {
			if id == "bad" && poisoned.Load() {
				w.WriteHeader(http.StatusInternalServerError)
				return false
			}
			return true
		})
		n := start(t, db, setup{sinks: []webhook.Sink{hook(r.URL)}})
		n.happen("gamesession/x", "bad")
		n.happen("gamesession/x", "after")
		for _, id := range numbers(30) {
			n.happen("gamesession/"+id, id)
		}
		r.waitFor(t, 30)
		n.advance(clock, 10*time.Minute)
		for _, id := range r.got() {
			if id == "bad" || id == "after" {
				t.Errorf("%s arrived", id)
			}
		}
		n.happen("gamesession/late", "late")
		r.waitFor(t, 1)
		poisoned.Store(false)
		n.advance(clock, 6*time.Minute)
		wants(t, "the last", r.got()[31:], "bad", "after")
		eventually(t, "nothing is left", func() bool { return n.pending("hook") == 0 })
	})
}

func TestASinkThatIsDownForAnHourGetsEverythingInOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		for name, down := range map[string]func(w http.ResponseWriter, r *http.Request, id string) bool{
			"503": status(http.StatusServiceUnavailable), "500": status(http.StatusInternalServerError), "cut": func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				c, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					_ = c.Close()
				}
				return false
			},
		} {
			t.Run(name, func(t *testing.T) {
				r := newReceiver(t)
				var tries atomic.Int64
				r.answers(func(w http.ResponseWriter, q *http.Request, id string) bool {
					tries.Add(1)
					return down(w, q, id)
				})
				n := start(t, db, setup{sinks: []webhook.Sink{hook(r.URL)}})
				const orders, each = 10, 5
				for i := range each {
					for o := range orders {
						n.happen(fmt.Sprint("ticket/", o), fmt.Sprint(o, "-", i))
					}
					n.advance(clock, 12*time.Minute)
				}
				if got := r.got(); len(got) != 0 {
					t.Fatalf("%v arrived at a sink that is down", got)
				}
				t.Logf("%d tries in an hour", tries.Load())
				if most := int64(orders * 30); tries.Load() > most || tries.Load() < 10 {
					t.Errorf("%d tries in an hour, want at most %d", tries.Load(), most)
				}
				r.answers(nil)
				n.advance(clock, 6*time.Minute)
				eventually(t, "nothing is left", func() bool { return n.pending("hook") == 0 })
				inOrder(t, r.got(), orders, each)
				n.stop()
			})
		}
	})
}

// inOrder fails unless each order's events, "order-number", arrived once and in order.
func inOrder(t *testing.T, got []string, orders, each int) {
	t.Helper()
	if len(got) != orders*each {
		t.Errorf("%d events arrived, want %d", len(got), orders*each)
	}
	next := map[string]int{}
	for _, id := range got {
		order, number, _ := strings.Cut(id, "-")
		if want := fmt.Sprint(next[order]); number != want {
			t.Errorf("of order %s, %s arrived where %s was due", order, number, want)
		}
		next[order]++
	}
}

func TestBackOffFollowsTheStoresClock(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close() // nobody listens there any more
		n := start(t, db, setup{sinks: []webhook.Sink{hook(gone.URL)}})
		began := clock.Now()
		n.happen("placement/1", "1")
		eventually(t, "a first try", func() bool { return n.Stats().Failures == 1 })
		var waits []time.Duration
		for last := began; len(waits) < 14; {
			due, ok, err := n.Due(t.Context())
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			waits = append(waits, due.Sub(last))
			last = due
			clock.Advance(due.Sub(clock.Now()))
			tried := n.Stats().Failures
			n.tick(clock)
			if n.Stats().Failures != tried+1 {
				t.Fatalf("%d tries at %v", n.Stats().Failures-tried, due)
			}
		}
		for i, w := range waits {
			least, most := time.Second<<i, 2*time.Second<<i
			if i > 7 {
				least, most = 150*time.Second, 300*time.Second
			}
			if w < least || w > most+time.Second {
				t.Errorf("wait %d is %v, want from %v to %v", i, w, least, most)
			}
		}
		if !strings.Contains(n.said.String(), "does not take events") {
			t.Errorf("the log does not say that the sink is down:\n%s", n.said)
		}
	})
}

func TestDeadLettersAreShownAndReplayed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := newReceiver(t)
		r.answers(status(http.StatusTeapot))
		sink := hook(r.URL)
		sink.MaxAge = time.Hour
		n := start(t, db, setup{sinks: []webhook.Sink{sink}})
		n.happen("placement/1", "1")
		n.happen("placement/2", "2")
		eventually(t, "a first try of each", func() bool { return n.Stats().Failures == 2 })
		n.advance(clock, 59*time.Minute)
		if count, err := n.log.DeadCount(t.Context()); err != nil || len(count) != 0 {
			t.Fatalf("dead before their time: %v, %v", count, err)
		}
		n.advance(clock, 10*time.Minute)
		admin := http.NewServeMux()
		n.Admin(admin)
		get := func(method, url string) (int, string) {
			w := httptest.NewRecorder()
			admin.ServeHTTP(w, httptest.NewRequest(method, url, nil))
			return w.Code, w.Body.String()
		}
		_, page := get(http.MethodGet, "/events/dead?limit=1")
		for _, part := range []string{`"count":{"hook":2}`, `"sink":"hook"`, `"error":"status 418"`, `"order":"placement/1"`, `"placementId":"1"`, `"next":"`} {
			if !strings.Contains(page, part) {
				t.Errorf("%s is not in %s", part, page)
			}
		}
		_, rest, _ := strings.Cut(page, `"next":"`)
		next, _, _ := strings.Cut(rest, `"`)
		if _, page = get(http.MethodGet, "/events/dead?after="+next); !strings.Contains(page, `"placementId":"2"`) || strings.Contains(page, `"placementId":"1"`) {
			t.Errorf("the second page is %s", page)
		}
		if _, sinks := get(http.MethodGet, "/events"); !strings.Contains(sinks, `{"name":"hook","kind":"webhook","pending":0,"dead":2,"deliveredHere":true,"lastError":"status 418"}`) {
			t.Errorf("sinks %s", sinks)
		}
		for url, want := range map[string]int{"/events/dead?limit=0": 400, "/events/dead?after=!": 400, "/events/dead?sink=%00": 400} {
			if code, _ := get(http.MethodGet, url); code != want {
				t.Errorf("%s: %d, want %d", url, code, want)
			}
		}
		if code, _ := get(http.MethodPost, "/events/replay?sink=other"); code != http.StatusNotFound {
			t.Errorf("replay to no sink: %d", code)
		}
		if code, _ := get(http.MethodPost, "/events/replay?sink=hook&id=x"); code != http.StatusBadRequest {
			t.Errorf("replay of no event: %d", code)
		}
		r.answers(nil)
		if code, answer := get(http.MethodPost, "/events/replay?sink=hook"); code != http.StatusOK || strings.TrimSpace(answer) != `{"replayed":2}` {
			t.Errorf("replay: %d %s", code, answer)
		}
		r.waitFor(t, 2)
		if st := n.Stats(); st.Dead != 2 {
			t.Errorf("stats %+v", st)
		}
		if !strings.Contains(n.said.String(), "events given up") {
			t.Errorf("the log does not say that events were given up:\n%s", n.said)
		}
	})
}

func TestWhatWaitedTooLongForASinkThatIsDownIsGivenUpWithIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		sink := hook(gone.URL)
		sink.MaxAge = 30 * time.Minute
		n := start(t, db, setup{sinks: []webhook.Sink{sink}})
		const events = 1500 // more than a batch
		var all []event.Event
		for i := range events {
			all = append(all, event.Event{Type: eventType, Order: fmt.Sprint(i), Detail: detail{"x", fmt.Sprint(i)}})
		}
		n.happenAll(all...)
		n.advance(clock, 40*time.Minute)
		if count, err := n.log.DeadCount(t.Context()); err != nil || count["hook"] != events {
			t.Errorf("dead %v, %v; want %d", count, err, events)
		}
		if n.pending("hook") != 0 || n.Stats().Failures > 100 {
			t.Errorf("%d pending, %d tries", n.pending("hook"), n.Stats().Failures)
		}
	})
}

func TestACrashBetweenSendingAndMarkingSendsAgain(t *testing.T) {
	for _, database := range storetest.Databases() {
		t.Run(database, func(t *testing.T) {
			url := "sqlite:" + t.TempDir() + "/db"
			if database == "postgres" {
				url = storetest.PostgresURL(t)
			}
			clock := storetest.NewClock()
			r := newReceiver(t)
			db := storetest.Open(t, url, clock.Now)
			n := start(t, db, setup{sinks: []webhook.Sink{hook(r.URL)}})
			// The receiver takes the event, and the database is gone before that is written.
			r.answers(func(http.ResponseWriter, *http.Request, string) bool {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
				return true
			})
			n.happen("placement/1", "1")
			r.waitFor(t, 1)
			n.stop()
			r.answers(nil)
			again := start(t, storetest.Open(t, url, clock.Now), setup{sinks: []webhook.Sink{hook(r.URL)}})
			r.waitFor(t, 1)
			wants(t, "arrived", r.got(), "1", "1")
			r.mu.Lock()
			if r.bodies[0] != r.bodies[1] || r.requests[0].Header.Get("Matchyard-Event-Id") != r.requests[1].Header.Get("Matchyard-Event-Id") {
				t.Errorf("sent again as %s, was %s", r.bodies[1], r.bodies[0])
			}
			r.mu.Unlock()
			eventually(t, "nothing is left", func() bool { return again.pending("hook") == 0 })
		})
	}
}

func TestASlowSinkHoldsUpNeitherOthersNorTheEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		slow, quick := newReceiver(t), newReceiver(t)
		hang := make(chan struct{})
		t.Cleanup(func() { close(hang) })
		var hanging, most atomic.Int64
		slow.answers(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
			if now := hanging.Add(1); now > most.Load() {
				most.Store(now)
			}
			defer hanging.Add(-1)
			select {
			case <-hang:
			case <-r.Context().Done():
			}
			return false
		})
		a, b := hook(slow.URL), hook(quick.URL)
		a.Name, a.Timeout, a.Concurrency = "slow", time.Minute, 4
		n := start(t, db, setup{sinks: []webhook.Sink{a, b}})
		for _, id := range numbers(50) {
			n.happen("placement/"+id, id)
		}
		quick.waitFor(t, 50)
		if most.Load() > 4 {
			t.Errorf("%d tries at a time at a sink of concurrency 4", most.Load())
		}
		begin := time.Now()
		n.stop()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the end took %v", took)
		}
		if n.pending("slow") != 50 {
			t.Errorf("%d events are kept for the slow sink, want 50", n.pending("slow"))
		}
	})
}

func TestTwoNodesDeliverEachEventOnce(t *testing.T) {
	url := storetest.PostgresURL(t)
	r := newReceiver(t)
	o := setup{sinks: []webhook.Sink{hook(r.URL)}, change: func(s *webhook.Server) { s.Manual = false }}
	a := start(t, storetest.Open(t, url, time.Now), o)
	eventually(t, "a lease", func() bool {
		a.happen("first", "first")
		return len(r.got()) > 0
	})
	b := start(t, storetest.Open(t, url, time.Now), o)
	eventually(t, "an empty log", func() bool { return a.pending("hook") == 0 })
	before := len(r.got())
	const orders, each = 20, 10
	for i := range each {
		for o := range orders {
			n := a
			if (i+o)%2 == 1 {
				n = b
			}
			n.happen(fmt.Sprint("ticket/", o), fmt.Sprint(o, "-", i))
		}
	}
	eventually(t, "an empty log", func() bool { return b.pending("hook") == 0 })
	inOrder(t, r.got()[before:], orders, each)
	if got := b.Stats().Delivered; got != 0 {
		t.Errorf("%d were delivered by a node without the lease", got)
	}
	// The other goes on when the first ends.
	before = len(r.got())
	a.stop()
	b.happen("after", "after")
	eventually(t, "the other node's turn", func() bool { return slices.Contains(r.got()[before:], "after") })
	eventually(t, "the other node's mark", func() bool { return b.Stats().Delivered == 1 })
}

func TestEventsOfARemovedSinkAreDropped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		old := hook(gone.URL)
		old.Name = "old"
		n := start(t, db, setup{sinks: []webhook.Sink{old, hook(gone.URL)}})
		n.happen("placement/1", "1")
		n.stop()
		n = start(t, db, setup{sinks: []webhook.Sink{hook(gone.URL)}})
		n.tick(clock)
		if n.pending("old") != 1 {
			t.Error("dropped at once, while nodes may be starting again one by one")
		}
		clock.Advance(time.Minute)
		n.tick(clock)
		if n.pending("old") != 0 || n.pending("hook") != 1 {
			t.Errorf("pending: %d of the removed sink, %d of the other", n.pending("old"), n.pending("hook"))
		}
		if said := n.said.String(); !strings.Contains(said, "events dropped") || !strings.Contains(said, "sink=old") || !strings.Contains(said, "events=1") {
			t.Errorf("the log does not say so:\n%s", said)
		}
	})
}

func TestEventsGoToThoseWhoWantThem(t *testing.T) {
	sinks := []webhook.Sink{
		{Name: "all"},
		{Name: "star", Events: []string{"*"}},
		{Name: "type", Events: []string{eventType}},
		{Name: "kind", Events: []string{eventType + "/PlacementFailed", "Other"}},
		{Name: "topic"},
		{Name: "both", Events: []string{"Other"}},
	}
	targets := map[string]string{topic: "topic", topic + "2": "both"}
	route := webhook.Route(sinks, targets)
	for _, c := range []struct {
		eventType, kind, target string
		want                    []string
	}{
		{eventType, "PlacementFailed", "", []string{"all", "star", "type", "kind"}},
		{eventType, "PlacementFulfilled", "", []string{"all", "star", "type"}},
		{eventType, "PlacementFulfilled", topic, []string{"all", "star", "type", "topic"}},
		{"Other", "", "", []string{"all", "star", "kind", "both"}},
		{"Third", "", topic + "2", []string{"all", "star", "both"}},
		{"Third", "", "arn:aws:sns:us-west-2:123456789012:unknown", []string{"all", "star"}},
	} {
		wants(t, c.eventType+" "+c.kind+" "+c.target, route(c.eventType, c.kind, c.target), c.want...)
	}
	if webhook.Route(nil, nil) != nil {
		t.Error("without sinks there is a route")
	}
}
