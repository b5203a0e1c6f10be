package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

func TestBatcherAnswersEachCallItsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		var most, runs atomic.Int64
		b := &store.Batcher[int, string]{DB: db, Max: 7, Run: func(tx *store.Tx, in []int) ([]string, []error, error) {
			runs.Add(1)
			most.Store(max(most.Load(), int64(len(in))))
			out, errs := make([]string, len(in)), make([]error, len(in))
			for i, n := range in {
				if n%2 == 1 {
					errs[i] = errRefused
					continue
				}
				out[i] = fmt.Sprint(n)
				if err := put(tx, out[i]); err != nil {
					return nil, nil, err
				}
			}
			return out, errs, nil
		}}
		var all sync.WaitGroup
		for n := range 200 {
			all.Go(func() {
				out, err := b.Do(t.Context(), n)
				if n%2 == 1 && !errors.Is(err, errRefused) || n%2 == 0 && (err != nil || out != fmt.Sprint(n)) {
					t.Errorf("%d: got %q, %v", n, out, err)
				}
			})
		}
		all.Wait()
		if n := len(strings.Fields(names(t, db))); n != 100 {
			t.Errorf("%d rows, want 100", n)
		}
		if most.Load() > 7 || most.Load() < 2 || runs.Load() < 200/7 {
			t.Errorf("%d runs of at most %d calls, want at most 7 and more than one", runs.Load(), most.Load())
		}
	})
}

// held is a batcher whose first run waits, so that the calls after it are one batch.
func held[Out any](db *store.DB, run func(tx *store.Tx, in []string) ([]Out, []error, error)) (b *store.Batcher[string, Out], batch func(in ...string) []error) {
	release := make(chan struct{})
	b = &store.Batcher[string, Out]{DB: db, Run: func(tx *store.Tx, in []string) ([]Out, []error, error) {
		if in[0] == "" {
			<-release
			return make([]Out, len(in)), nil, nil
		}
		return run(tx, in)
	}}
	return b, func(in ...string) []error {
		release = make(chan struct{})
		errs := make([]error, len(in))
		var all sync.WaitGroup
		all.Go(func() { _, _ = b.Do(context.Background(), "") })
		time.Sleep(20 * time.Millisecond)
		for i, s := range in {
			all.Go(func() { _, errs[i] = b.Do(context.Background(), s) })
			time.Sleep(2 * time.Millisecond)
		}
		close(release)
		all.Wait()
		return errs
	}
}

func TestBatcherTellsWhoseFaultItWas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		var sizes []int
		_, batch := held(db, func(tx *store.Tx, in []string) ([]int, []error, error) {
			sizes = append(sizes, len(in))
			for _, s := range in {
				switch s {
				case "panic":
					panic("oh")
				case "fail":
					return nil, nil, errRefused
				case "short":
					return nil, nil, nil
				}
				if err := put(tx, s); err != nil {
					return nil, nil, err
				}
			}
			return make([]int, len(in)), nil, nil
		})
		got := batch("a", "b", "a", "c")
		if got[0] != nil || got[1] != nil || !errors.Is(got[2], store.ErrUnique) || got[3] != nil {
			t.Errorf("a row twice: got %v, want only the third to fail", got)
		}
		got = batch("d", "panic", "e")
		if got[0] != nil || got[1] == nil || !strings.Contains(got[1].Error(), "oh") || got[2] != nil {
			t.Errorf("a panic: got %v, want only the second to fail", got)
		}
		got = batch("f", "fail", "g")
		for i, err := range got {
			if !errors.Is(err, errRefused) {
				t.Errorf("an error of all: call %d got %v", i, err)
			}
		}
		if got := batch("h", "short"); got[0] == nil || got[1] == nil {
			t.Errorf("no answers: got %v", got)
		}
		if got, want := names(t, db), "a b c d e"; got != want {
			t.Errorf("kept %q, want %q", got, want)
		}
		if got, want := fmt.Sprint(sizes), "[4 1 1 1 1 3 1 1 1 3 2]"; got != want {
			t.Errorf("batches of %s, want %s", got, want)
		}
	})
}

func TestBatcherCallerMayLeave(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		begun, release := make(chan struct{}), make(chan struct{})
		var second atomic.Bool
		b := &store.Batcher[string, int]{DB: db, Run: func(tx *store.Tx, in []string) ([]int, []error, error) {
			if in[0] == "a" {
				close(begun)
				<-release
			} else {
				second.Store(true)
			}
			return make([]int, len(in)), nil, put(tx, in[0])
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		for _, s := range []string{"a", "b"} {
			go func() {
				_, err := b.Do(ctx, s)
				done <- err
			}()
			<-begun
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
		for range 2 {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want Canceled at once", err)
			}
		}
		close(release)
		if _, err := b.Do(t.Context(), "c"); err != nil {
			t.Error(err)
		}
		// The first was under way and is carried out; the second had not begun and is not.
		if got := names(t, db); got != "a c" {
			t.Errorf("kept %q, want a c", got)
		}
	})
}

func TestBatcherEndsWithItsStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		b, batch := held(db, func(tx *store.Tx, in []string) ([]int, []error, error) {
			if in[0] == "exit" {
				runtime.Goexit()
			}
			return make([]int, len(in)), nil, put(tx, in[0])
		})
		if got := batch("exit"); got[0] == nil {
			t.Error("a call whose goroutine ended got no error")
		}
		if got := batch("a"); got[0] != nil {
			t.Errorf("the next got %v", got[0])
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Do(context.Background(), "b"); err == nil {
			t.Error("a call after Close succeeded")
		}
	})
}

func TestBatcherLeavesNoGoroutine(t *testing.T) {
	db := storetest.Open(t, "sqlite:"+t.TempDir()+"/db", time.Now)
	before := runtime.NumGoroutine()
	b := &store.Batcher[int, int]{DB: db, Run: func(_ *store.Tx, in []int) ([]int, []error, error) { return in, nil, nil }}
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			if got, err := b.Do(t.Context(), n); got != n || err != nil {
				t.Errorf("got %d, %v; want %d", got, err, n)
			}
		})
	}
	all.Wait()
	for n := 0; runtime.NumGoroutine() > before; n++ {
		if n == 200 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
