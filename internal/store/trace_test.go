package store_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// watched is a database whose transactions are told of, where the context asks for it.
func watched(t *testing.T, url string) (*store.DB, func(context.Context) context.Context, func() []store.Transaction) {
	t.Helper()
	type key struct{}
	var mu sync.Mutex
	var seen []store.Transaction
	db, err := store.Open(t.Context(), url, store.Options{Trace: func(ctx context.Context) func(store.Transaction) {
		if ctx.Value(key{}) == nil {
			return nil
		}
		return func(x store.Transaction) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, x)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db,
		func(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) },
		func() []store.Transaction {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(seen)
		}
}

func databases(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, "sqlite::memory:") })
	t.Run("postgres", func(t *testing.T) { f(t, storetest.PostgresURL(t)) })
}

func TestATracedTransactionTellsWhereItsTimeWent(t *testing.T) {
	databases(t, func(t *testing.T, url string) {
		db, trace, seen := watched(t, url)
		const nap = 20 * time.Millisecond
		refused := errors.New("refused")
		work := func(*store.Tx) error { time.Sleep(nap); return nil }
		if err := db.Write(t.Context(), work); err != nil { // nobody wants to know of this one
			t.Fatal(err)
		}
		ctx := trace(t.Context())
		if err := errors.Join(db.Write(ctx, work), db.Read(ctx, work)); err != nil {
			t.Fatal(err)
		}
		if err := db.Write(ctx, func(*store.Tx) error { return refused }); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		b := &store.Batcher[int, int]{DB: db, Run: func(_ *store.Tx, in []int) ([]int, []error, error) {
			time.Sleep(nap)
			return in, nil, nil
		}}
		if _, err := b.Do(ctx, 1); err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := db.Write(ended, work); err == nil {
			t.Fatal("a transaction of an ended context is carried out")
		}
		all := seen()
		want := []store.Kind{store.Write, store.Read, store.Write, store.Batch, store.Write}
		if len(all) != len(want) {
			t.Fatalf("got %d: %+v", len(all), all)
		}
		for i, x := range all {
			slept := i != 2
			switch {
			case x.Kind != want[i]:
				t.Errorf("%d: a %s, want a %s", i, x.Kind, want[i])
			case i == 4:
				if !x.Began.IsZero() || x.Err == nil || x.Ended.Before(x.Asked) {
					t.Errorf("never begun: %+v", x)
				}
			case x.Began.Before(x.Asked) || x.Ran.Before(x.Began) || x.Ended.Before(x.Ran) || slept && x.Ran.Sub(x.Began) < nap || x.Tries != 1:
				t.Errorf("%d: %+v", i, x)
			case errors.Is(x.Err, refused) != (i == 2), x.Kind != store.Read && x.Group < 1, (x.Calls == 1) != (x.Kind == store.Batch):
				t.Errorf("%d: %+v", i, x)
			}
		}
	})
}

// Calls of one batch tell how many they were.
func TestATracedBatchTellsItsSize(t *testing.T) {
	databases(t, func(t *testing.T, url string) {
		db, trace, seen := watched(t, url)
		first, release := make(chan struct{}), make(chan struct{})
		b := &store.Batcher[string, int]{DB: db, Run: func(_ *store.Tx, in []string) ([]int, []error, error) {
			if in[0] == "first" {
				close(first)
				<-release
			}
			return make([]int, len(in)), nil, nil
		}}
		ctx := trace(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _, _ = b.Do(t.Context(), "first") })
		<-first
		for range 5 {
			all.Go(func() { _, _ = b.Do(ctx, "later") })
		}
		for end := time.Now().Add(20 * time.Second); b.Waiting() < 5; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the calls do not come")
			}
		}
		close(release)
		all.Wait()
		got := seen()
		if len(got) != 5 {
			t.Fatalf("got %d, want 5", len(got))
		}
		for _, x := range got {
			if x.Kind != store.Batch || x.Calls != 5 || x.Err != nil || x.Began.Before(x.Asked) {
				t.Errorf("got %+v", x)
			}
		}
	})
}

// Where nobody traces, and where this caller is not traced, nothing is spent on it.
func TestNothingIsSpentOnTransactionsThatAreNotTraced(t *testing.T) {
	allocs := func(o store.Options) float64 {
		db, err := store.Open(t.Context(), "sqlite::memory:", o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		work := func(*store.Tx) error { return nil }
		least := 1e9
		for range 5 { // others of the process are counted too
			least = min(least, testing.AllocsPerRun(500, func() {
				if err := db.Write(t.Context(), work); err != nil {
					t.Fatal(err)
				}
				if err := db.Read(t.Context(), work); err != nil {
					t.Fatal(err)
				}
			}))
		}
		return least
	}
	without := allocs(store.Options{})
	with := allocs(store.Options{Trace: func(context.Context) func(store.Transaction) { return nil }})
	if with != without {
		t.Errorf("%v allocations where nobody traces, %v where others do", without, with)
	}
}
