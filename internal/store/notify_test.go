package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// ear keeps what a subscription heard.
type ear struct {
	mu    sync.Mutex
	heard []string
}

func listen(t *testing.T, db *store.DB, channel string) *ear {
	e := &ear{}
	t.Cleanup(db.Subscribe(channel, func(payload string) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.heard = append(e.heard, payload)
	}))
	return e
}

func (e *ear) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

// wants waits until exactly these were heard, in any order.
func (e *ear) wants(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	var got []string
	for range 1000 {
		if got = e.all(); len(got) >= len(want) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

func notify(t *testing.T, db *store.DB, channel string, payloads ...string) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error {
		for _, p := range payloads {
			tx.Notify(channel, p)
		}
		return nil
	})
}

func TestNotificationsComeOnceAfterTheCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		e, other := listen(t, db, "process"), listen(t, db, "free")
		write(t, db, func(tx *store.Tx) error {
			tx.Notify("process", "1")
			tx.Notify("process", "two words")
			tx.Notify("free", "")
			if got := e.all(); len(got) != 0 {
				t.Errorf("heard %q before the commit", got)
			}
			return nil
		})
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			tx.Notify("process", "never")
			return errRefused
		}); !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		cancel := db.Subscribe("process", func(string) { t.Error("heard after it was cancelled") })
		cancel()
		notify(t, db, "process", "3")
		time.Sleep(50 * time.Millisecond) // a second delivery would come by now
		e.wants(t, "1", "two words", "3")
		other.wants(t, "")
	})
}

func TestNotificationsReachOtherNodesOnce(t *testing.T) {
	url := storetest.PostgresURL(t)
	a, b := storetest.Open(t, url, time.Now), storetest.Open(t, url, time.Now)
	atA, atB := listen(t, a, "process"), listen(t, b, "process")
	large := strings.Repeat("x", 7000)
	notify(t, a, "process", "from a", "and more", large)
	notify(t, b, "process", "from b")
	// A transaction that wrote, and one that only notifies.
	write(t, b, func(tx *store.Tx) error {
		tx.Notify("process", "with a row")
		return put(tx, "a")
	})
	want := []string{"from a", "and more", large, "from b", "with a row"}
	atA.wants(t, want...)
	atB.wants(t, want...)
	time.Sleep(100 * time.Millisecond)
	atA.wants(t, want...)
	atB.wants(t, want...)
	if got := names(t, a); got != "a" {
		t.Errorf("kept %q, want a", got)
	}
}

// A node that is alone sends nothing; from the moment another one is there it does.
func TestLonelyNodeSpeaksWhenAnotherJoins(t *testing.T) {
	url := storetest.PostgresURL(t)
	a := storetest.Open(t, url, time.Now)
	if err := a.Renew(t.Context()); err != nil { // now it knows
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	if _, err := c.Exec(t.Context(), "LISTEN matchyard"); err != nil {
		t.Fatal(err)
	}
	notify(t, a, "process", "1")
	b := storetest.Open(t, url, time.Now)
	e := listen(t, b, "process")
	for n := 0; len(e.all()) == 0 && n < 200; n++ {
		notify(t, a, "process", "2")
		time.Sleep(10 * time.Millisecond)
	}
	if got := e.all(); len(got) == 0 || slices.Contains(got, "1") {
		t.Errorf("heard %q, want 2", got)
	}
	n, err := c.WaitForNotification(t.Context())
	if err != nil || !strings.Contains(n.Payload, "joined") {
		t.Errorf("the first on the wire is %v, %v; want that b joined", n, err)
	}
}

func TestListenerConnectsAgain(t *testing.T) {
	url := storetest.PostgresURL(t)
	a, b := storetest.Open(t, url, time.Now), storetest.Open(t, url, time.Now)
	e := listen(t, b, "process")
	if err := a.Write(t.Context(), func(tx *store.Tx) error {
		var n int
		return tx.QueryRow(`SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`).Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	for n := 0; len(e.all()) == 0; n++ {
		if n == 500 {
			t.Fatal("nothing is heard any more")
		}
		notify(t, a, "process", fmt.Sprint(n))
		time.Sleep(10 * time.Millisecond)
	}
}

func TestImpossibleNotificationPanics(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		for _, n := range [][2]string{{"process", strings.Repeat("x", 7001)}, {"two words", ""}, {"process", "a\x00"}} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("a notification of %d bytes on %q was taken", len(n[1]), n[0])
					}
				}()
				_ = db.Write(t.Context(), func(tx *store.Tx) error {
					tx.Notify(n[0], n[1])
					return nil
				})
			}()
		}
	})
}
