package event_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

// to is a route of all events to these sinks.
func to(sinks ...string) func(string, string, string) []string {
	return func(string, string, string) []string { return sinks }
}

func newLog(db *store.DB, sinks ...string) *event.Log {
	return &event.Log{DB: db, Home: home, Route: to(sinks...)}
}

// detail is a queue event's, shortened.
type detail struct {
	Type        string `json:"type"`
	PlacementID string `json:"placementId"`
}

func placed(order string) event.Event {
	return event.Event{
		Type: "GameLift Queue Placement Event", Order: "placement/" + order,
		Resource: "arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/q",
		Target:   "arn:aws:sns:us-west-2:123456789012:topic",
		Detail:   detail{"PlacementFulfilled", order},
	}
}

func appendAll(t *testing.T, l *event.Log, events ...event.Event) {
	t.Helper()
	if err := l.DB.Write(t.Context(), func(tx *store.Tx) error { return l.AppendTx(tx, events...) }); err != nil {
		t.Fatal(err)
	}
}

// ready is what may be sent, by the placement of each event.
func ready(t *testing.T, l *event.Log, sink string) []string {
	t.Helper()
	var ids []string
	for _, e := range entries(t, l, sink) {
		ids = append(ids, placement(t, e))
	}
	return ids
}

func entries(t *testing.T, l *event.Log, sink string) []event.Entry {
	t.Helper()
	all, err := l.Ready(t.Context(), sink, 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func placement(t *testing.T, e event.Entry) string {
	t.Helper()
	var body struct{ Detail detail }
	if err := json.Unmarshal([]byte(e.Body), &body); err != nil {
		t.Fatalf("%s: %v", e.Body, err)
	}
	return body.Detail.PlacementID
}

func done(t *testing.T, l *event.Log, e event.Entry) {
	t.Helper()
	if err := l.Done(t.Context(), e.Ref); err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestTheEnvelopeIsEventBridges(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		l := newLog(db, "a")
		clock.Advance(789 * time.Millisecond)
		e := placed("p<1>&")
		appendAll(t, l, e)
		all := entries(t, l, "a")
		if len(all) != 1 {
			t.Fatalf("%d events, want 1", len(all))
		}
		want := `{"version":"0","id":"` + all[0].ID + `","detail-type":"GameLift Queue Placement Event","source":"aws.gamelift",` +
			`"account":"123456789012","time":"2026-01-02T03:04:05Z","region":"us-west-2",` +
			`"resources":["arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/q"],` +
			`"detail":{"type":"PlacementFulfilled","placementId":"p<1>&"}}`
		if all[0].Body != want {
			t.Errorf("got  %s\nwant %s", all[0].Body, want)
		}
		if _, _, err := store.ParseUUID(all[0].ID); err != nil {
			t.Errorf("id %q: %v", all[0].ID, err)
		}
		if all[0].Target != e.Target || all[0].Order != e.Order || all[0].Tries != 0 || !all[0].CreatedAt.Equal(clock.Now()) {
			t.Errorf("entry %+v", all[0])
		}
	})
}

func TestWithoutSinksThereIsNoRow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		var none *event.Log
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			for _, l := range []*event.Log{none, {DB: db, Home: home}, newLog(db)} {
				if err := l.AppendTx(tx, placed("p")); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		pending, err := newLog(db).Pending(t.Context())
		if err != nil || len(pending) != 0 {
			t.Errorf("pending %v, %v", pending, err)
		}
	})
}

func TestTheRouteSeesTypeKindAndTarget(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		var asked []string
		l := &event.Log{DB: db, Home: home, Route: func(eventType, kind, target string) []string {
			asked = append(asked, eventType+" "+kind+" "+target)
			return nil
		}}
		appendAll(t, l, placed("p"), event.Event{Type: "T", Detail: []int{1}})
		wants(t, "asked", asked, "GameLift Queue Placement Event PlacementFulfilled arn:aws:sns:us-west-2:123456789012:topic", "T  ")
	})
}

func TestAnEventLivesAndDiesWithItsTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		l := newLog(db, "a")
		woken := 0
		defer db.Subscribe(event.Channel, func(sink string) {
			if sink == "a" {
				woken++
			}
		})()
		rolledBack := fmt.Errorf("no")
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			if err := l.AppendTx(tx, placed("p")); err != nil {
				return err
			}
			return rolledBack
		}); err == nil {
			t.Fatal("written")
		}
		wants(t, "ready", ready(t, l, "a"))
		appendAll(t, l, placed("p"), placed("q"))
		wants(t, "ready", ready(t, l, "a"), "p", "q")
		if woken != 1 {
			t.Errorf("woken %d times, want once", woken)
		}
	})
}

func TestEachOrderKeepsItsOrderAndHoldsUpNoOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		l := newLog(db, "a", "b")
		first, second, other := placed("1"), placed("2"), placed("3")
		second.Order = first.Order
		appendAll(t, l, first)
		appendAll(t, l, second, other)
		wants(t, "ready", ready(t, l, "a"), "1", "3")

		failed := entries(t, l, "a")[0]
		if dead, err := l.Failed(t.Context(), event.Failure{Ref: failed.Ref, Reason: "refused", Until: clock.Now().Add(time.Minute), MaxAge: time.Hour}); err != nil || dead != 0 {
			t.Fatal(dead, err)
		}
		wants(t, "while the first is held back", ready(t, l, "a"), "3")
		wants(t, "at the other sink", ready(t, l, "b"), "1", "3")
		done(t, l, entries(t, l, "a")[0])
		next, ok, err := l.Next(t.Context(), "a")
		if err != nil || !ok || !next.Equal(clock.Now().Add(time.Minute)) {
			t.Errorf("next at %v, %v, %v", next, ok, err)
		}
		clock.Advance(time.Minute)
		again := entries(t, l, "a")
		wants(t, "after a minute", ready(t, l, "a"), "1")
		if again[0].Tries != 1 || !again[0].TriedAt.Equal(clock.Now().Add(-time.Minute)) {
			t.Errorf("tried %d times, first at %v", again[0].Tries, again[0].TriedAt)
		}
		done(t, l, again[0])
		wants(t, "after the first", ready(t, l, "a"), "2")
		done(t, l, entries(t, l, "a")[0])
		wants(t, "at the end", ready(t, l, "a"))
		wants(t, "at the other sink", ready(t, l, "b"), "1", "3")
	})
}

func TestOrderOfNodesWhoseClocksDiffer(t *testing.T) {
	url := storetest.PostgresURL(t)
	ahead, behind := storetest.NewClock(), storetest.NewClock()
	ahead.Advance(time.Second)
	a, b := newLog(storetest.Open(t, url, ahead.Now), "s"), newLog(storetest.Open(t, url, behind.Now), "s")
	for i, l := range []*event.Log{a, b, a, b} {
		e := placed(fmt.Sprint(i))
		e.Order = "ticket/1"
		appendAll(t, l, e)
	}
	behind.Advance(time.Minute)
	for i := range 4 {
		wants(t, "ready", ready(t, b, "s"), fmt.Sprint(i))
		done(t, b, entries(t, b, "s")[0])
	}
}

func TestDeadLettersAndReplay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		ctx, l := t.Context(), newLog(db, "a")
		first, second := placed("1"), placed("2")
		second.Order = first.Order
		appendAll(t, l, first, second, placed("3"))
		clock.Advance(time.Hour)
		e := entries(t, l, "a")[0]
		dead, err := l.Failed(ctx, event.Failure{Ref: e.Ref, Reason: "status 500", Until: clock.Now().Add(time.Minute), MaxAge: time.Hour})
		if err != nil || dead != 1 {
			t.Fatalf("%d dead, %v", dead, err)
		}
		wants(t, "the next is no longer held up", ready(t, l, "a"), "2", "3")
		if n, err := l.Bury(ctx, "a", time.Hour, "down"); err != nil || n != 2 {
			t.Fatalf("buried %d, %v", n, err)
		}
		list, err := l.Dead(ctx, "", nil, 2)
		if err != nil || len(list) != 2 || list[0].ID != e.ID || list[0].Reason != "status 500" || list[0].Tries != 1 ||
			list[1].Reason != "down" || !list[1].DeadAt.Equal(clock.Now()) {
			t.Fatalf("dead %+v, %v", list, err)
		}
		if list, err = l.Dead(ctx, "a", &list[1].Ref, 2); err != nil || len(list) != 1 {
			t.Fatalf("the rest of the dead: %+v, %v", list, err)
		}
		if none, err := l.Dead(ctx, "b", nil, 2); err != nil || len(none) != 0 {
			t.Errorf("another sink's dead: %+v, %v", none, err)
		}
		if n, err := l.Replay(ctx, "a", list[0].ID); err != nil || n != 1 {
			t.Fatalf("replayed %d, %v", n, err)
		}
		wants(t, "after the replay of one", ready(t, l, "a"), "3")
		if n, err := l.Replay(ctx, "a", ""); err != nil || n != 2 {
			t.Fatalf("replayed %d, %v", n, err)
		}
		wants(t, "after the replay of all", ready(t, l, "a"), "1", "3")
		e = entries(t, l, "a")[0]
		if e.Tries != 0 || !e.CreatedAt.Equal(clock.Now()) {
			t.Errorf("a replayed event has %d tries, since %v", e.Tries, e.CreatedAt)
		}
		if count, err := l.DeadCount(ctx); err != nil || len(count) != 0 {
			t.Errorf("dead %v, %v", count, err)
		}
	})
}

func TestTheDeadAreRemovedInTheEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		ctx, l := t.Context(), newLog(db, "a")
		if _, ok, err := l.Due(ctx); ok || err != nil {
			t.Errorf("something is due: %v", err)
		}
		appendAll(t, l, placed("1"), placed("2"))
		if n, err := l.Bury(ctx, "a", 0, "down"); err != nil || n != 2 {
			t.Fatalf("buried %d, %v", n, err)
		}
		due, ok, err := l.Due(ctx)
		if err != nil || !ok || due.Sub(clock.Now()) < 14*24*time.Hour || due.Sub(clock.Now()) > 14*24*time.Hour+time.Minute {
			t.Fatalf("due %v, %v, %v", due, ok, err)
		}
		for _, step := range []struct {
			to   time.Time
			kept int64
		}{{clock.Now().Add(14*24*time.Hour - 1), 2}, {due, 0}} {
			if err := l.Tick(ctx, step.to); err != nil {
				t.Fatal(err)
			}
			if count, err := l.DeadCount(ctx); err != nil || count["a"] != step.kept {
				t.Errorf("at %v there are %v, %v, want %d", step.to, count, err, step.kept)
			}
		}
	})
}

func TestAMessageIsReceivedByOneUntilItIsVisibleAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		ctx, l := t.Context(), newLog(db, "q")
		const messages = 60
		for i := range messages {
			appendAll(t, l, placed(fmt.Sprint(i)))
		}
		var mu sync.Mutex
		got := map[string]event.Entry{}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					some, err := l.Receive(ctx, "q", 7, time.Minute)
					if err != nil {
						t.Error(err)
						return
					}
					if len(some) == 0 {
						return
					}
					mu.Lock()
					for _, e := range some {
						if _, twice := got[e.ID]; twice {
							t.Errorf("%s is received twice", e.ID)
						}
						got[e.ID] = e
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		// PostgreSQL skips what another has locked just then, so a receiver may go early.
		rest, err := l.Receive(ctx, "q", messages, time.Minute)
		if err != nil || len(got)+len(rest) != messages {
			t.Fatalf("received %d and %d of %d, %v", len(got), len(rest), messages, err)
		}
		for _, e := range got {
			waiting, hidden, err := l.Depth(ctx, "q")
			if err != nil || waiting != 0 || hidden != messages {
				t.Errorf("depth %d and %d, %v", waiting, hidden, err)
			}
			r := event.Receipt{Key: e.Key, Receipt: e.Receipt}
			if ok, err := l.Hide(ctx, "q", event.Receipt{Key: e.Key, Receipt: e.Receipt + 1}, 0); ok || err != nil {
				t.Errorf("hidden by another's receipt: %v", err)
			}
			if ok, err := l.Hide(ctx, "q", r, 0); !ok || err != nil {
				t.Errorf("not given back: %v", err)
			}
			again, err := l.Receive(ctx, "q", 10, time.Minute)
			if err != nil || len(again) != 1 || again[0].Tries != 2 || again[0].Receipt == e.Receipt {
				t.Fatalf("received again %+v, %v", again, err)
			}
			if err := l.Delete(ctx, "q", r); err != nil {
				t.Fatal(err)
			}
			clock.Advance(time.Minute)
			back, err := l.Receive(ctx, "q", messages, time.Minute)
			if err != nil || len(back) != messages {
				t.Fatalf("after their time %d are back, %v; want all: that receipt was an old one", len(back), err)
			}
			for _, e := range back {
				if err := l.Delete(ctx, "q", event.Receipt{Key: e.Key, Receipt: e.Receipt}); err != nil {
					t.Fatal(err)
				}
			}
			break
		}
		if waiting, hidden, err := l.Depth(ctx, "q"); err != nil || waiting+hidden != 0 {
			t.Errorf("depth %d and %d, %v", waiting, hidden, err)
		}
	})
}

func TestAReceivedMessageHoldsUpItsOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		ctx, l := t.Context(), newLog(db, "q")
		first, second := placed("1"), placed("2")
		second.Order = first.Order
		appendAll(t, l, first, second)
		got, err := l.Receive(ctx, "q", 10, time.Minute)
		if err != nil || len(got) != 1 || placement(t, got[0]) != "1" {
			t.Fatalf("received %+v, %v", got, err)
		}
		if err := l.Delete(ctx, "q", event.Receipt{Key: got[0].Key, Receipt: got[0].Receipt}); err != nil {
			t.Fatal(err)
		}
		if got, err = l.Receive(ctx, "q", 10, time.Minute); err != nil || len(got) != 1 || placement(t, got[0]) != "2" {
			t.Fatalf("received %+v, %v", got, err)
		}
	})
}

func TestOrphansAreWhatNoLivingNodeHas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		ctx, l := t.Context(), newLog(db, "a", "b", "c")
		orphans := func() []string {
			list, err := l.Orphans(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		if err := l.Configured(ctx, []string{"a", "b"}); err != nil {
			t.Fatal(err)
		}
		wants(t, "without events", orphans())
		appendAll(t, l, placed("1"))
		wants(t, "orphans", orphans(), "c")
		if err := l.Configured(ctx, []string{"c"}); err != nil {
			t.Fatal(err)
		}
		wants(t, "orphans", orphans(), "a", "b")
		if n, err := l.Purge(ctx, "a"); err != nil || n != 1 {
			t.Errorf("purged %d, %v", n, err)
		}
		wants(t, "orphans", orphans(), "b")
		if at, ok, err := l.Oldest(ctx, "a"); ok || err != nil {
			t.Errorf("oldest %v, %v", at, err)
		}
		if at, ok, err := l.Oldest(ctx, "b"); !ok || err != nil || !at.Equal(db.Now()) {
			t.Errorf("oldest %v, %v, %v", at, ok, err)
		}
	})
}
