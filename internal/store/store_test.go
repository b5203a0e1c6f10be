package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

func write(t testing.TB, db *store.DB, f func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func TestWriteThenRead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		ctx := t.Context()
		insert := func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO lease (name, holder, expires_at) VALUES ($1, $2, $3)`, "a", "me", tx.NowMs())
			return err
		}
		if err := db.Write(ctx, insert); err != nil {
			t.Fatal(err)
		}
		if err := db.Write(ctx, insert); !errors.Is(err, store.ErrUnique) {
			t.Fatalf("second insert: got %v, want ErrUnique", err)
		}
		var holder string
		err := db.Read(ctx, func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT holder FROM lease WHERE `+tx.In("name", 1), store.List(tx, []string{"a", "b"})).Scan(&holder)
		})
		if err != nil || holder != "me" {
			t.Fatalf("got %q, %v; want me", holder, err)
		}
	})
}

func TestKeyUUIDRoundTrip(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			last, text := store.Key(0), ""
			for range 10000 {
				k, tail := tx.NewKey(), store.Tail()
				u := k.UUID(tail)
				k2, tail2, err := store.ParseUUID(u)
				if err != nil || k2 != k || tail2 != tail {
					t.Fatalf("%s: got %d %d %v, want %d %d", u, k2, tail2, err, k, tail)
				}
				if k <= last || u <= text {
					t.Fatalf("%s (%d) after %s (%d)", u, k, text, last)
				}
				last, text = k, u
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// A table with an integer key is stored by it: SQLite has no second tree beside.
func TestIntegerKeysAreSQLitesRows(t *testing.T) {
	db := storetest.Open(t, "sqlite:"+t.TempDir()+"/db", time.Now)
	var indexed int
	if err := db.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('sqlite_autoindex_fleet_1', 'sqlite_autoindex_node_number_1')`).Scan(&indexed)
	}); err != nil || indexed != 0 {
		t.Errorf("%d indexes beside keys, %v; want none", indexed, err)
	}
}
