// Package storetest runs a test on both databases: SQLite always, and a real PostgreSQL,
// either the server named by MATCHYARD_TEST_POSTGRES or one started for the test binary
// from the machine's own initdb and pg_ctl. It fails loudly when there is no PostgreSQL.
package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// Clock is a clock that moves only when told. The zero value is not ready; see NewClock.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at 2026-01-02T03:04:05Z.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

// Now is the instant the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Always makes Databases name all of them under -short too, for tests of the store itself.
var Always bool

// Databases are the kinds that a test runs on: "sqlite" and "postgres". Under -short, which
// looks for races with all tests slowed down, rooms and servers have SQLite alone; what is
// PostgreSQL's own, as several nodes are, has tests that name it.
func Databases() []string {
	if testing.Short() && !Always {
		return []string{"sqlite"}
	}
	return []string{"sqlite", "postgres"}
}

// Each runs f as a subtest on a fresh database of each of Databases, with a clock that
// stands still.
func Each(t *testing.T, f func(t *testing.T, db *store.DB, clock *Clock)) {
	t.Helper()
	for _, database := range Databases() {
		t.Run(database, func(t *testing.T) {
			clock, url := NewClock(), "sqlite:"+t.TempDir()+"/db"
			if database == "postgres" {
				url = PostgresURL(t)
			}
			f(t, Open(t, url, clock.Now), clock)
		})
	}
}

// Open opens the database of url until the test ends. Where two handles of one database are
// needed, PostgresURL names one.
func Open(t testing.TB, url string, now func() time.Time) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), url, store.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
