package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/metrics"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// room is made-up background work: things that fall due at instants.
type room struct {
	name  string
	due   []time.Time // in order
	ran   []time.Time // when each thing ran
	stays bool        // never gets anything done
	fails error
}

func (r *room) duty() duty {
	return duty{
		name: r.name,
		tick: func(_ context.Context, now time.Time) error {
			if r.fails != nil {
				return r.fails
			}
			for !r.stays && len(r.due) > 0 && !r.due[0].After(now) {
				r.due, r.ran = r.due[1:], append(r.ran, now)
			}
			return nil
		},
		due: func(context.Context) (time.Time, bool, error) {
			if len(r.due) == 0 {
				return time.Time{}, false, nil
			}
			return r.due[0], true, nil
		},
	}
}

// manual is an app with only a manual clock and rooms.
func manual(rooms ...*room) (*App, *bytes.Buffer) {
	log := &bytes.Buffer{}
	a := &App{clock: newClock(true), metrics: metrics.New("test"), logger: slog.New(slog.NewTextHandler(log, nil))}
	for _, r := range rooms {
		a.duties = append(a.duties, r.duty())
	}
	return a, log
}

func TestAdvanceRunsEachThingAtItsOwnInstant(t *testing.T) {
	lower, upper := &room{name: "lower"}, &room{name: "upper"}
	a, _ := manual(lower, upper)
	start := a.clock.Now()
	at := start.Add
	lower.due = []time.Time{at(10 * time.Second), at(30 * time.Second), at(2 * time.Minute)}
	upper.due = []time.Time{at(20 * time.Second), at(30 * time.Second), at(61 * time.Second)}
	now, err := a.Advance(t.Context(), 61*time.Second)
	if err != nil || !now.Equal(at(61*time.Second)) {
		t.Errorf("advanced to %v, %v", now, err)
	}
	if want := []time.Time{at(10 * time.Second), at(30 * time.Second)}; !slices.EqualFunc(lower.ran, want, time.Time.Equal) {
		t.Errorf("lower ran at %v, want %v", lower.ran, want)
	}
	if want := []time.Time{at(20 * time.Second), at(30 * time.Second), at(61 * time.Second)}; !slices.EqualFunc(upper.ran, want, time.Time.Equal) {
		t.Errorf("upper ran at %v, want %v", upper.ran, want)
	}
}

func TestAdvanceIsNotHeldUpByWhatNeverGetsDone(t *testing.T) {
	stuck, other := &room{name: "stuck", stays: true}, &room{name: "other"}
	a, _ := manual(stuck, other)
	start := a.clock.Now()
	stuck.due = []time.Time{start.Add(-time.Hour)}
	other.due = []time.Time{start.Add(5 * time.Second)}
	now, err := a.Advance(t.Context(), 10*time.Second)
	if err != nil || !now.Equal(start.Add(10*time.Second)) {
		t.Errorf("advanced to %v, %v", now, err)
	}
	if len(other.ran) != 1 || !other.ran[0].Equal(start.Add(5*time.Second)) {
		t.Errorf("the other ran at %v", other.ran)
	}
}

func TestAdvanceStopsWhereItFails(t *testing.T) {
	good, bad := &room{name: "good"}, &room{name: "bad", fails: errors.New("no more disk")}
	a, log := manual(bad, good)
	start := a.clock.Now()
	bad.due = []time.Time{start.Add(time.Second)}
	good.due = []time.Time{start.Add(time.Second), start.Add(2 * time.Second)}
	now, err := a.Advance(t.Context(), time.Minute)
	if err == nil || !strings.Contains(err.Error(), "bad: no more disk") {
		t.Errorf("error %v", err)
	}
	if !now.Equal(start.Add(time.Second)) || len(good.ran) != 1 {
		t.Errorf("stands at %s, the other room ran %d times; want 1s, once", now.Sub(start), len(good.ran))
	}
	if !strings.Contains(log.String(), "room=bad") {
		t.Errorf("not logged: %s", log)
	}
	bad.fails = nil
	if _, err := a.Advance(t.Context(), time.Minute); err != nil || len(bad.ran) != 1 || len(good.ran) != 2 {
		t.Errorf("after the repair: %v, %v, %v", err, bad.ran, good.ran)
	}
}

func TestAdvanceEndsWithItsCaller(t *testing.T) {
	a, _ := manual()
	ctx, cancel := context.WithCancel(t.Context())
	now := a.clock.Now()
	steps := 0
	a.duties = []duty{{
		name: "endless",
		tick: func(ctx context.Context, _ time.Time) error {
			if steps++; steps == 100 {
				cancel()
			}
			return ctx.Err()
		},
		due: func(context.Context) (time.Time, bool, error) {
			return a.clock.Now().Add(time.Millisecond), true, nil
		},
	}}
	if _, err := a.Advance(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := a.clock.Now().Sub(now); got != 100*time.Millisecond {
		t.Errorf("the clock moved by %s", got)
	}
}

func TestSweepsGoOnWhateverOneRoomDoes(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite::memory:", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	a, log := manual()
	a.clock, a.db = newClock(false), db
	ctx, cancel := context.WithCancel(t.Context())
	rounds := 0
	a.duties = []duty{
		{name: "failing", tick: func(context.Context, time.Time) error { return errors.New("no") }},
		{name: "panicking", tick: func(context.Context, time.Time) error { panic("oh") }},
		{name: "good", tick: func(_ context.Context, now time.Time) error {
			if d := time.Since(now).Abs(); d > time.Minute {
				t.Errorf("ticked with a time %s off", d)
			}
			if rounds++; rounds == 2 {
				cancel()
			}
			return nil
		}},
	}
	done := make(chan struct{})
	go func() { defer close(done); a.sweep(ctx) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("no second round within 20 s")
	}
	for _, want := range []string{"room=failing", "room=panicking", "panic: oh"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	answer := httptest.NewRecorder()
	a.metrics.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`matchyard_tick_errors_total{room="failing"} 2`, `matchyard_tick_seconds_count{room="good"} `} {
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("metrics lack %s:\n%s", want, answer.Body)
		}
	}
}

func TestOneNodeSweeps(t *testing.T) {
	url := storetest.PostgresURL(t)
	held := 0
	for range 3 {
		db, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		a, _ := manual()
		a.db = db
		ok, err := a.lease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			held++
		}
	}
	if held != 1 {
		t.Errorf("%d of three nodes hold the lease", held)
	}
}

func TestTheLeaseEndsWithTheSweeps(t *testing.T) {
	url := storetest.PostgresURL(t)
	var nodes []*App
	for range 2 {
		db, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		a, _ := manual()
		a.clock, a.db = newClock(false), db
		nodes = append(nodes, a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	nodes[0].duties = []duty{{name: "one", tick: func(context.Context, time.Time) error { cancel(); return nil }}}
	done := make(chan struct{})
	go func() { defer close(done); nodes[0].sweep(ctx) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("no sweep within 20 s")
	}
	if held, err := nodes[1].lease(t.Context()); err != nil || !held {
		t.Errorf("the other node has the lease: %t, %v", held, err)
	}
}

func TestAManualClockRunsOnlyWhatNeedsWallTime(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite::memory:", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	a, _ := manual()
	a.db = db
	ctx, cancel := context.WithCancel(t.Context())
	a.duties = []duty{
		{name: "virtual", tick: func(context.Context, time.Time) error { t.Error("a sweep without an advance"); return nil }},
		{name: "wall", wall: true, tick: func(_ context.Context, now time.Time) error {
			if !now.Equal(a.clock.Now()) {
				t.Errorf("ticked at %v, the clock says %v", now, a.clock.Now())
			}
			cancel()
			return nil
		}},
	}
	done := make(chan struct{})
	go func() { defer close(done); a.sweep(ctx) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("no sweep within 20 s")
	}
}
