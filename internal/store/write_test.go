package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

var errRefused = errors.New("refused")

func put(tx *store.Tx, name string) error {
	_, err := tx.Exec(`INSERT INTO lease (name, holder, expires_at) VALUES ($1, 'me', 1)`, name)
	return err
}

// names are the rows that put made, sorted and joined.
func names(t testing.TB, db *store.DB) string {
	t.Helper()
	var all []string
	if err := db.Read(context.Background(), func(tx *store.Tx) error {
		all = nil
		rows, err := tx.Query(`SELECT name FROM lease ORDER BY name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			all = append(all, name)
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// grouped runs all functions at the same time, on SQLite in one commit and in this order,
// and returns their errors. A panic is an error "panic: …", an ended goroutine "exit".
func grouped(ctx context.Context, db *store.DB, all ...func(tx *store.Tx) error) []error {
	begun, release := make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	var first sync.Once
	running.Go(func() {
		_ = db.Write(ctx, func(*store.Tx) error {
			first.Do(func() { close(begun) })
			<-release
			return nil
		})
	})
	<-begun
	errs := make([]error, len(all))
	for i, f := range all {
		running.Go(func() {
			errs[i] = errors.New("exit")
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			errs[i] = db.Write(ctx, f)
		})
		time.Sleep(5 * time.Millisecond) // so that it stands in the queue before the next
	}
	close(release)
	running.Wait()
	return errs
}

func TestNeighboursInACommitAreIsolated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		got := grouped(t.Context(), db,
			func(tx *store.Tx) error { return put(tx, "a") },
			func(tx *store.Tx) error { return errors.Join(put(tx, "b"), errRefused) },
			func(tx *store.Tx) error { return errors.Join(put(tx, "c"), put(tx, "c")) },
			func(tx *store.Tx) error {
				_ = put(tx, "d")
				panic("oh")
			},
			func(tx *store.Tx) error {
				_ = put(tx, "e")
				runtime.Goexit()
				return nil
			},
			func(tx *store.Tx) error {
				_ = put(tx, "f")
				_, err := tx.Exec(`INSERT INTO nowhere (a) VALUES (1)`)
				return err
			},
			func(*store.Tx) error { return errRefused },
			func(tx *store.Tx) error { return put(tx, "g") },
		)
		for i, want := range []func(error) bool{
			func(err error) bool { return err == nil },
			func(err error) bool { return errors.Is(err, errRefused) },
			func(err error) bool { return errors.Is(err, store.ErrUnique) },
			func(err error) bool { return err != nil && err.Error() == "panic: oh" },
			func(err error) bool { return err != nil && err.Error() == "exit" },
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "nowhere") },
			func(err error) bool { return errors.Is(err, errRefused) },
			func(err error) bool { return err == nil },
		} {
			if !want(got[i]) {
				t.Errorf("function %d: got %v", i, got[i])
			}
		}
		if got := names(t, db); got != "a g" {
			t.Errorf("kept %q, want a g", got)
		}
	})
}

func TestGroupSharesOneCommit(t *testing.T) {
	db := storetest.Open(t, "sqlite:"+t.TempDir()+"/db", time.Now)
	before := db.Commits()
	var all []func(tx *store.Tx) error
	for n := range 10 {
		all = append(all, func(tx *store.Tx) error { return put(tx, fmt.Sprint(n)) })
	}
	if err := errors.Join(grouped(t.Context(), db, all...)...); err != nil {
		t.Fatal(err)
	}
	if n := db.Commits() - before; n != 1 {
		t.Errorf("%d commits for 11 functions begun together, want 1", n)
	}
}

// A function that loses the shared transaction, here with a ROLLBACK of its own where
// SQLite would do it after a disk error, takes nobody with it.
func TestNeighboursOfALostTransactionAreRunAgain(t *testing.T) {
	db := storetest.Open(t, "sqlite:"+t.TempDir()+"/db", time.Now)
	var runs atomic.Int64
	got := grouped(t.Context(), db,
		func(tx *store.Tx) error {
			runs.Add(1)
			return put(tx, "a")
		},
		func(tx *store.Tx) error {
			_, err := tx.Exec(`ROLLBACK`)
			return errors.Join(err, errRefused)
		},
		func(tx *store.Tx) error { return put(tx, "b") },
	)
	if got[0] != nil || !errors.Is(got[1], errRefused) || got[2] != nil {
		t.Errorf("got %v, want only the second to fail", got)
	}
	if got := names(t, db); got != "a b" || runs.Load() != 2 {
		t.Errorf("kept %q after %d runs of the first, want a b after 2", got, runs.Load())
	}
}

func TestFullDiskFailsOnlyThoseWhoNeedIt(t *testing.T) {
	db := storetest.Open(t, "sqlite:"+t.TempDir()+"/db", time.Now)
	limit := func(tx *store.Tx) error {
		_, err := tx.Exec(`PRAGMA max_page_count = 120`)
		return err
	}
	large := func(tx *store.Tx) error { return put(tx, strings.Repeat("x", 1<<20)) }
	write(t, db, limit)
	got := grouped(t.Context(), db,
		func(tx *store.Tx) error { return put(tx, "a") },
		large,
		func(tx *store.Tx) error { return put(tx, "b") },
		func(tx *store.Tx) error {
			_ = large(tx) // an error kept secret must not make half a transaction
			_ = put(tx, "c")
			return nil
		},
		func(tx *store.Tx) error { return put(tx, "d") },
	)
	if got[0] != nil || got[1] == nil || got[2] != nil || got[3] == nil || got[4] != nil {
		t.Errorf("got %v, want only the large ones to fail", got)
	}
	if got := names(t, db); got != "a b d" {
		t.Errorf("kept %q, want a b d", got)
	}
}

func TestCancelledCallerHarmsNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		ctx, cancel := context.WithCancel(t.Context())
		queued, cancelQueued := context.WithCancel(t.Context())
		release, done := make(chan struct{}), make(chan error, 3)
		begun := make(chan struct{})
		go func() {
			done <- db.Write(ctx, func(tx *store.Tx) error {
				if err := put(tx, "a"); err != nil {
					return err
				}
				close(begun)
				<-release
				return put(tx, "b") // the context has ended by now
			})
		}()
		<-begun
		if db.Dialect() == store.SQLite {
			go func() { done <- db.Write(queued, func(tx *store.Tx) error { return put(tx, "c") }) }()
			time.Sleep(10 * time.Millisecond)
			cancelQueued()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled in the queue: got %v", err)
			}
		}
		var other sync.WaitGroup
		other.Go(func() {
			if err := db.Write(t.Context(), func(tx *store.Tx) error { return put(tx, "d") }); err != nil {
				t.Error(err)
			}
		})
		cancel()
		close(release)
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled between statements: got %v", err)
		}
		other.Wait()
		cancelQueued()
		if err := db.Write(queued, func(tx *store.Tx) error { return put(tx, "e") }); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before: got %v", err)
		}
		if got := names(t, db); got != "d" {
			t.Errorf("kept %q, want d", got)
		}
	})
}

// When the context ends after the last statement the commit goes on, and Write tells so.
func TestCommitIsNotCancelled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, func(tx *store.Tx) error {
			defer cancel()
			return put(tx, "a")
		})
		if got := names(t, db); err != nil || got != "a" {
			t.Errorf("got %v and %q, want success and a", err, got)
		}
	})
}

func TestCancelledReadStops(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		err := db.Read(ctx, func(tx *store.Tx) error {
			var n int64
			return tx.QueryRow(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000000) SELECT COUNT(*) FROM n`).Scan(&n)
		})
		if err == nil || time.Since(begin) > 10*time.Second {
			t.Errorf("got %v after %v, want an error soon", err, time.Since(begin))
		}
		if got := names(t, db); got != "" {
			t.Errorf("got %q", got)
		}
	})
}

func TestReadSeesOneSnapshotAndCannotWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			count := func() (n int) {
				if err := tx.QueryRow(`SELECT COUNT(*) FROM lease`).Scan(&n); err != nil {
					t.Error(err)
				}
				return n
			}
			before := count()
			write(t, db, func(tx *store.Tx) error { return put(tx, "a") })
			if after := count(); after != before {
				t.Errorf("the snapshot moved: %d rows, then %d", before, after)
			}
			return put(tx, "b")
		})
		if err == nil {
			t.Error("a read wrote")
		}
		if got := names(t, db); got != "a" {
			t.Errorf("kept %q, want a", got)
		}
	})
}

// TestStress lets 32 callers move money between 10 accounts and fail, panic or give up at
// times; the sum stays, and every answered move is there.
func TestStress(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		write(t, db, func(tx *store.Tx) error {
			for n := range 10 {
				if _, err := tx.Exec(`INSERT INTO lease (name, holder, expires_at) VALUES ($1, '', 1000)`, fmt.Sprint(n)); err != nil {
					return err
				}
			}
			return nil
		})
		var moved [10]atomic.Int64
		var all sync.WaitGroup
		for c := range 32 {
			all.Go(func() {
				for n := range 25 {
					from := (c + n) % 9
					to := from + 1 + (c*3+n*7)%(9-from) // in one order, or PostgreSQL has deadlocks to find
					ctx, cancel := context.WithCancel(t.Context())
					if n%6 == 5 {
						time.AfterFunc(time.Duration(c)*100*time.Microsecond, cancel)
					}
					func() {
						defer cancel()
						defer func() { _ = recover() }()
						err := db.Write(ctx, func(tx *store.Tx) error {
							if _, err := tx.Exec(`UPDATE lease SET expires_at = expires_at - 1 WHERE name = $1`, fmt.Sprint(from)); err != nil {
								return err
							}
							if n%7 == 3 {
								return errRefused
							}
							if n%11 == 4 {
								panic("oh")
							}
							_, err := tx.Exec(`UPDATE lease SET expires_at = expires_at + 1 WHERE name = $1`, fmt.Sprint(to))
							return err
						})
						if err == nil {
							moved[from].Add(-1)
							moved[to].Add(1)
							return
						}
						if !errors.Is(err, errRefused) && !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
					}()
				}
			})
		}
		all.Wait()
		for n := range 10 {
			var got int64
			if err := db.Read(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT expires_at FROM lease WHERE name = $1`, fmt.Sprint(n)).Scan(&got)
			}); err != nil {
				t.Fatal(err)
			}
			if want := 1000 + moved[n].Load(); got != want {
				t.Errorf("account %d has %d, want %d", n, got, want)
			}
		}
	})
}

// Two transactions lock the same rows in opposite order. PostgreSQL ends one of them, which
// is run again.
func TestDeadlockIsRunAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		write(t, db, func(tx *store.Tx) error { return errors.Join(put(tx, "a"), put(tx, "b")) })
		var met sync.WaitGroup
		met.Add(2)
		var runs atomic.Int64
		both := func(first, second string) error {
			return db.Write(t.Context(), func(tx *store.Tx) error {
				for i, name := range []string{first, second} {
					if _, err := tx.Exec(`UPDATE lease SET expires_at = expires_at + 1 WHERE name = $1`, name); err != nil {
						return err
					}
					if i == 0 && runs.Add(1) <= 2 && db.Dialect() == store.Postgres {
						met.Done()
						met.Wait()
					}
				}
				return nil
			})
		}
		var all sync.WaitGroup
		for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
			all.Go(func() {
				if err := both(order[0], order[1]); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		var sum int64
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT CAST(SUM(expires_at) AS BIGINT) FROM lease`).Scan(&sum)
		}); err != nil || sum != 6 {
			t.Errorf("got %d, %v; want 6", sum, err)
		}
		if db.Dialect() == store.Postgres && runs.Load() < 3 {
			t.Errorf("%d runs, want one more than 2", runs.Load())
		}
	})
}

func TestCloseFinishesWhatIsUnderWay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		begun, release := make(chan struct{}), make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			if err := db.Write(t.Context(), func(tx *store.Tx) error {
				close(begun)
				<-release
				return put(tx, "a")
			}); err != nil {
				t.Error(err)
			}
		})
		<-begun
		all.Go(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		for db.Read(t.Context(), func(*store.Tx) error { return nil }) == nil {
			time.Sleep(time.Millisecond) // until Close has begun
		}
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return put(tx, "b") }); err == nil {
			t.Error("a write began after Close")
		}
		close(release)
		all.Wait()
		if err := db.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

type word string

func TestTypesOfColumns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		write(t, db, func(tx *store.Tx) error {
			if _, err := tx.Exec(`CREATE TABLE kinds (n BIGINT, s TEXT)`); err != nil {
				return err
			}
			for _, args := range [][]any{
				{7, "a"},
				{int32(7), word("a")},
				{store.Key(7), new("a")},
				{new(int64(7)), new(word("a"))},
			} {
				if _, err := tx.Exec(`INSERT INTO kinds (n, s) VALUES ($1, $2)`, args...); err != nil {
					return fmt.Errorf("%T, %T: %w", args[0], args[1], err)
				}
			}
			if n, err := tx.Exec(`UPDATE kinds SET n = n WHERE n = $1 AND s = $2`, 7, "a"); n != 4 || err != nil {
				return fmt.Errorf("changed %d rows, %w, want 4", n, err)
			}
			n, err := tx.Exec(`INSERT INTO kinds (n, s) VALUES ($1, $2)`, (*int64)(nil), (*word)(nil))
			if n != 1 {
				return fmt.Errorf("%d rows, %w", n, err)
			}
			return err
		})
		var i64 int64
		var i32 int32
		var i int
		var key store.Key
		var s string
		var w word
		var ps *string
		var pw *word
		var pn *int64
		var flag bool
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			const one = `SELECT n, s FROM kinds WHERE n = 7 ORDER BY n LIMIT 1`
			for _, dest := range [][]any{{&i64, &s}, {&i32, &w}, {&i, &ps}, {&key, &pw}, {&pn, &s}} {
				if err := tx.QueryRow(one).Scan(dest...); err != nil {
					return fmt.Errorf("%T, %T: %w", dest[0], dest[1], err)
				}
			}
			if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM kinds WHERE n = 7)`).Scan(&flag); err != nil {
				return err
			}
			if err := tx.QueryRow(one).Scan(&i64, &i64); err == nil {
				return errors.New("a word went into a number")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if i64 != 7 || i32 != 7 || i != 7 || key != 7 || *pn != 7 || s != "a" || w != "a" || *ps != "a" || *pw != "a" || !flag {
			t.Error(i64, i32, i, key, *pn, s, w, *ps, *pw, flag)
		}
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			const none = `SELECT n, s FROM kinds WHERE n IS NULL`
			if err := tx.QueryRow(none).Scan(&pn, &pw); err != nil || pn != nil || pw != nil {
				return fmt.Errorf("NULL: %v, %v, %w", pn, pw, err)
			}
			if err := tx.QueryRow(none).Scan(&i64, &ps); err == nil {
				return errors.New("NULL went into an int64")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestManyRows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		for _, n := range []int{0, 1, 3, 700} {
			var rows, updates [][]any
			for i := range n {
				rows = append(rows, []any{fmt.Sprintf("%d-%d", n, i), "me", i})
				updates = append(updates, []any{fmt.Sprintf("%d-%d", n, i), i % 2})
			}
			var changed []int64
			write(t, db, func(tx *store.Tx) (err error) {
				if err := tx.InsertMany(`INSERT INTO lease (name, holder, expires_at) VALUES ($1, $2, $3)`, rows); err != nil {
					return err
				}
				changed, err = tx.ExecMany(`UPDATE lease SET holder = 'you' WHERE name = $1 AND $2 = 1`, updates)
				return err
			})
			if len(changed) != n || slices.ContainsFunc(changed, func(c int64) bool { return c > 1 }) || n > 1 && (changed[0] != 0 || changed[1] != 1) {
				t.Errorf("%d rows: changed %v", n, changed)
			}
		}
		var n int64
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT COUNT(*) FROM lease WHERE holder = 'you'`).Scan(&n)
		}); err != nil || n != 351 {
			t.Errorf("got %d, %v; want 351 changed rows", n, err)
		}
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			return tx.InsertMany(`INSERT INTO lease (name, holder, expires_at) VALUES ($1, $2, $3)`, [][]any{{"a", "me", 1}, {"b", "me", 1}, {"a", "me", 1}})
		})
		if !errors.Is(err, store.ErrUnique) {
			t.Errorf("got %v, want ErrUnique", err)
		}
	})
}
