package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// nodes are the ids in table node.
func nodes(t testing.TB, db *store.DB) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	if err := db.Read(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id, number FROM node ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			var number int64
			if err := rows.Scan(&id, &number); err != nil {
				return err
			}
			all[id] = number
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func key(t testing.TB, db *store.DB) (k store.Key) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error {
		k = tx.NewKey()
		return nil
	})
	return k
}

// Nodes that open an empty database at the same time all migrate it, once, and have
// numbers of their own.
func TestNodesStartTogether(t *testing.T) {
	url := storetest.EmptyPostgresURL(t)
	dbs := make([]*store.DB, 6)
	var all sync.WaitGroup
	for i := range dbs {
		all.Go(func() {
			db, err := store.Open(context.Background(), url, store.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			dbs[i] = db
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	alive := nodes(t, dbs[0])
	numbers := map[int64]bool{}
	for _, db := range dbs {
		n, ok := alive[db.Node()]
		if !ok || n != int64(db.NodeNumber()) || numbers[n] {
			t.Errorf("node %s: number %d, the table has %v", db.Node(), db.NodeNumber(), alive)
		}
		numbers[n] = true
	}
	for _, db := range dbs[1:] {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if alive := nodes(t, dbs[0]); len(alive) != 1 {
		t.Errorf("after the others closed: %v", alive)
	}
	if err := dbs[0].Close(); err != nil {
		t.Error(err)
	}
}

func TestKeysOfNodesNeverCollide(t *testing.T) {
	url := storetest.PostgresURL(t)
	clock := storetest.NewClock()
	seen := map[store.Key]bool{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 4 {
		db := storetest.Open(t, url, clock.Now)
		all.Go(func() {
			for range 20 {
				var made []store.Key
				if err := db.Write(t.Context(), func(tx *store.Tx) error {
					made = nil
					for range 300 {
						made = append(made, tx.NewKey())
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, k := range made {
					if seen[k] {
						t.Errorf("key %d twice", k)
					}
					seen[k] = true
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// A node that starts again with the same number, and a clock that stands still or went
// back, makes no key twice, whether the one before was closed or died.
func TestKeysGoOnAfterARestart(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			clock := storetest.NewClock()
			url := "sqlite:" + t.TempDir() + "/db"
			if kind == "postgres" {
				url = storetest.PostgresURL(t)
			}
			last := store.Key(0)
			for round := range 5 {
				db := storetest.Open(t, url, clock.Now)
				if db.NodeNumber() != 0 {
					t.Fatalf("number %d, want 0", db.NodeNumber())
				}
				for range 5000 {
					if round == 3 {
						clock.Advance(time.Millisecond)
					}
					k := key(t, db)
					if k <= last {
						t.Fatalf("round %d: key %d after %d", round, k, last)
					}
					last = k
					if kind == "postgres" && last&7 == 7 {
						break // enough: they are slower
					}
				}
				if kind == "sqlite" && round%2 == 0 { // as if it had died here
					url = "sqlite:" + copied(t, strings.TrimPrefix(url, "sqlite:"))
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				clock.Advance(-time.Second)
			}
		})
	}
}

func TestKeysAreReservedWithTheCommitThatHoldsThem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		for _, step := range []time.Duration{0, time.Millisecond, time.Minute, 240 * time.Hour} {
			clock.Advance(step)
			k := key(t, db)
			var upto int64
			if err := db.Read(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT upto FROM node_number WHERE number = $1`, db.NodeNumber()).Scan(&upto)
			}); err != nil {
				t.Fatal(err)
			}
			if ms := int64(k >> 22); ms > upto || upto > ms+2000 {
				t.Errorf("key of %d, reserved up to %d", ms, upto)
			}
		}
	})
}

// A node that could not renew its number makes no more keys with it.
func TestLapsedNodeTakesAnotherNumber(t *testing.T) {
	url := storetest.PostgresURL(t)
	clock := storetest.NewClock()
	a := storetest.Open(t, url, clock.Now)
	first := key(t, a)
	// Others thought it dead, and one of them has its number now.
	a.Lapse()
	b := storetest.Open(t, url, clock.Now)
	write(t, b, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM node WHERE id = $1`, a.Node())
		return err
	})
	c := storetest.Open(t, url, clock.Now)
	if c.NodeNumber() != 0 {
		t.Fatalf("number %d, want that of the dead node", c.NodeNumber())
	}
	runs := 0
	var second store.Key
	write(t, a, func(tx *store.Tx) error {
		runs++
		second = tx.NewKey()
		return nil
	})
	third := key(t, c)
	if a.NodeNumber() != 2 || runs != 2 || first == second || second == third || third <= first {
		t.Errorf("number %d after %d runs, keys %d %d %d", a.NodeNumber(), runs, first, second, third)
	}
	if got := nodes(t, b); len(got) != 3 || got[a.Node()] != 2 {
		t.Errorf("nodes: %v", got)
	}

	// A node that only finds its row gone when it renews takes another number too.
	write(t, b, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM node WHERE id = $1`, c.Node())
		return err
	})
	d := storetest.Open(t, url, clock.Now)
	if err := c.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.NodeNumber() != 0 || c.NodeNumber() != 3 {
		t.Errorf("numbers %d and %d, want 0 and 3", d.NodeNumber(), c.NodeNumber())
	}
}

func TestRenewalRemovesTheDead(t *testing.T) {
	url := storetest.PostgresURL(t)
	a := storetest.Open(t, url, time.Now)
	write(t, a, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO node (id, number, expires_at) VALUES ('dead', 7, 1), ('alive', 8, $1)`, time.Now().Add(time.Hour).UnixMilli())
		return err
	})
	if err := a.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := nodes(t, a); len(got) != 2 || got["alive"] != 8 {
		t.Errorf("nodes: %v", got)
	}
}

// The process before died: its row is in the way of nobody.
func TestSQLiteForgetsEarlierNodes(t *testing.T) {
	url := "sqlite:" + t.TempDir() + "/db"
	db := storetest.Open(t, url, time.Now)
	write(t, db, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO node (id, number, expires_at) VALUES ('before', 5, 9223372036854775807)`)
		return err
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = storetest.Open(t, url, time.Now)
	if got := nodes(t, db); len(got) != 1 || got[db.Node()] != 0 {
		t.Errorf("nodes: %v", got)
	}
}

func TestLeaseHasOneHolder(t *testing.T) {
	url := storetest.PostgresURL(t)
	var dbs []*store.DB
	for range 3 {
		dbs = append(dbs, storetest.Open(t, url, time.Now))
	}
	lease := func(db *store.DB, ttl time.Duration) bool {
		held, err := db.Lease(t.Context(), "ticks", ttl)
		if err != nil {
			t.Error(err)
		}
		return held
	}
	var mu sync.Mutex
	holders := map[int]int{}
	var all sync.WaitGroup
	for i, db := range dbs {
		for range 8 {
			all.Go(func() {
				if lease(db, time.Minute) {
					mu.Lock()
					holders[i]++
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	if len(holders) != 1 {
		t.Fatalf("holders %v, want one, each time it asked", holders)
	}
	for i := range dbs {
		if n := holders[i]; n != 0 && n != 8 {
			t.Errorf("the holder held it %d times of 8", n)
		}
		if held := lease(dbs[i], time.Minute); held != (holders[i] > 0) {
			t.Errorf("node %d: got %v", i, held)
		}
	}
	for i := range dbs {
		if holders[i] > 0 && !lease(dbs[i], 0) {
			t.Error("the holder could not give it up")
		}
	}
	for i := range dbs {
		if holders[i] == 0 {
			if !lease(dbs[i], time.Minute) {
				t.Error("an expired lease was not to be had")
			}
			break
		}
	}
}

func TestLeaseRunsOnWallTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		write(t, db, func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO lease (name, holder, expires_at) VALUES ('held', 'other', $1), ('over', 'other', $2)`,
				time.Now().Add(time.Hour).UnixMilli(), time.Now().Add(-time.Hour).UnixMilli())
			return err
		})
		clock.Advance(10000 * time.Hour)
		for name, want := range map[string]bool{"held": false, "over": true, "new": true} {
			if held, err := db.Lease(t.Context(), name, time.Minute); held != want || err != nil {
				t.Errorf("%s: got %v, %v; want %v", name, held, err, want)
			}
		}
	})
}

func ExampleKey_UUID() {
	k := store.Key(1<<22 + 5<<12 + 7) // 1 ms after the epoch, node 5, the eighth key
	fmt.Println(k.UUID(1))
	// Output: 016f5e66-e801-7014-8070-000000000001
}
