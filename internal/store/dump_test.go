package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// emptyEach runs f for a database of each kind that has no tables.
func emptyEach(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, "sqlite:"+t.TempDir()+"/db") })
	t.Run("postgres", func(t *testing.T) { f(t, storetest.EmptyPostgresURL(t)) })
}

func dumpOf(t *testing.T, url string) string {
	t.Helper()
	var b bytes.Buffer
	d, err := store.DumpAt(t.Context(), url, store.Options{}, &b)
	if err != nil {
		t.Fatal(err)
	}
	if checked, err := store.CheckDump(bytes.NewReader(b.Bytes())); err != nil || checked.Sum != d.Sum || checked.Rows != d.Rows || checked.Tables != d.Tables {
		t.Fatalf("check: %+v, %v; want %+v", checked, err, d)
	}
	return b.String()
}

func load(t *testing.T, url, dump string) {
	t.Helper()
	if _, err := store.Restore(t.Context(), url, store.Options{}, strings.NewReader(dump)); err != nil {
		t.Fatal(err)
	}
}

// furnish puts rows into some tables: more than one statement takes, with what text can be,
// in an order that collations disagree on, and with references.
func furnish(t *testing.T, db *store.DB) (last store.Key) {
	t.Helper()
	hostile := []string{"", "a", "B", "_", "é", "Z", "ä", "\U0001f3ae", "tab\tline\nquote\"back\\slash", "<script>&amp;", "\x1b[31mred", "\u2028", "nu\u0001l"}
	write(t, db, func(tx *store.Tx) error {
		for i, s := range hostile {
			if _, err := tx.Exec(`INSERT INTO tag (resource, tags) VALUES ($1, $2)`, "r/"+s, s); err != nil {
				return err
			}
			last = tx.NewKey()
			if _, err := tx.Exec(`INSERT INTO fleet (key, tail, compute_type, status, name, detail, created_at) VALUES ($1, $2, 'ANYWHERE', 'ACTIVE', $3, '{}', $4)`,
				last, store.Tail(), s, tx.NowMs()); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO fleet_place (fleet, location, desired, minimum, maximum, stopped, zero, inactivity, wanted_at, since)
				VALUES ($1, $2, $3, -9223372036854775807, 9223372036854775807, 0, '', 0, 0, 0)`, last, s, i); err != nil {
				return err
			}
		}
		for i := range 700 {
			if _, err := tx.Exec(`INSERT INTO location (name, key) VALUES ($1, $2)`, fmt.Sprintf("custom-%d", i), tx.NewKey()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`INSERT INTO tag (resource, tags) VALUES ('long', $1)`, strings.Repeat("long ", 100_000))
		return err
	})
	return last
}

func TestADumpGoesFromOneDatabaseToTheOtherAndBack(t *testing.T) {
	for _, from := range []string{"sqlite", "postgres"} {
		t.Run("from "+from, func(t *testing.T) {
			source := map[string]func() string{"sqlite": func() string { return "sqlite:" + t.TempDir() + "/db" }, "postgres": func() string { return storetest.PostgresURL(t) }}[from]()
			db, err := store.Open(t.Context(), source, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			last := furnish(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			want := dumpOf(t, source)
			emptyEach(t, func(t *testing.T, url string) {
				load(t, url, want)
				if got := dumpOf(t, url); got != want {
					t.Fatalf("loaded and saved again: %d bytes, want the same %d", len(got), len(want))
				}
				// The database is one that a server can use, and whose keys are new.
				db := storetest.Open(t, url, storetest.NewClock().Now) // long ago
				write(t, db, func(tx *store.Tx) error {
					if k := tx.NewKey(); k <= last {
						t.Errorf("key %d after the load, not above %d", k, last)
					}
					return nil
				})
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestADamagedDumpLeavesTheDatabaseEmpty(t *testing.T) {
	source := "sqlite:" + t.TempDir() + "/db"
	if err := store.MakeAt(t.Context(), source, store.MigrationNames(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO tag (resource, tags) VALUES ('a', 'secret'), ('b', 'more')`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	good := dumpOf(t, source)
	lines := strings.SplitAfter(strings.TrimSuffix(good, "\n"), "\n")
	end := lines[len(lines)-1] + "\n"
	at := slices.Index(lines, "{\"table\":\"tag\",\"columns\":[\"resource\",\"tags\"]}\n")
	if at < 0 {
		t.Fatalf("no table tag in\n%s", good)
	}
	damaged := map[string]string{
		"empty":              "",
		"no dump":            "hello\n",
		"another JSON":       "{\"a\":1}\n",
		"no header":          strings.Join(lines[1:], ""),
		"version 2":          strings.Replace(good, `"version":1`, `"version":2`, 1),
		"no end":             strings.TrimSuffix(good, end),
		"half a line":        good[:len(good)-7],
		"more behind":        good + "[1]\n",
		"twice":              good + good,
		"a value":            strings.Replace(good, "secret", "sekret", 1),
		"a row less":         strings.Join(slices.Delete(slices.Clone(lines), at+1, at+2), ""),
		"a row twice":        strings.Replace(good, lines[at+1], lines[at+1]+lines[at+1], 1),
		"a table less":       strings.Join(slices.Delete(slices.Clone(lines), at, at+3), ""),
		"another table":      strings.Replace(good, `"tag"`, `"tug"`, 1),
		"a column less":      strings.Replace(good, `["a","secret"]`, `["a"]`, 1),
		"a row of no table":  lines[0] + "[1]\n" + strings.Join(lines[1:], ""),
		"a float":            strings.Replace(good, `["a","secret"]`, `["a",1.5]`, 1),
		"bad hexadecimal":    strings.Replace(good, `["a","secret"]`, `["a",{"hex":"x"}]`, 1),
		"a newer migration":  strings.Replace(good, `"migrations/0001_store.sql"`, `"migrations/9999_later.sql"`, 1),
		"no migration":       strings.Replace(good, lines[0], `{"matchyard":"dump","version":1,"migrations":[]}`+"\n", 1),
		"an unknown member":  strings.Replace(good, `"version":1`, `"version":1,"more":2`, 1),
		"a wrong sum":        strings.Replace(good, end, strings.Replace(end, `"sha256":"`, `"sha256":"0`, 1), 1),
		"a wrong row number": strings.Replace(good, end, strings.Replace(end, `"rows":`, `"rows":1`, 1), 1),
	}
	emptyEach(t, func(t *testing.T, url string) {
		for name, text := range damaged { // one database for all: it stays empty
			if _, err := store.Restore(t.Context(), url, store.Options{}, strings.NewReader(text)); err == nil {
				t.Fatalf("%s: it was taken", name)
			}
			if tables, err := store.Tables(t.Context(), url); err != nil || len(tables) > 0 {
				t.Fatalf("%s: afterwards there are the tables %v, %v", name, tables, err)
			}
		}
		load(t, url, good)
	})
}

func TestLoadRefusesADatabaseInUse(t *testing.T) {
	dump := dumpOf(t, func() string {
		url := "sqlite:" + t.TempDir() + "/db"
		if err := store.MakeAt(t.Context(), url, store.MigrationNames(), func(*store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		return url
	}())
	emptyEach(t, func(t *testing.T, url string) {
		load(t, url, dump)
		before := dumpOf(t, url)
		if _, err := store.Restore(t.Context(), url, store.Options{}, strings.NewReader(dump)); !errors.Is(err, store.ErrNotEmpty) {
			t.Errorf("a second load: %v, want ErrNotEmpty", err)
		}
		if after := dumpOf(t, url); after != before {
			t.Error("the refused load changed the database")
		}
	})
}

func TestAnOlderVersionsDumpIsBroughtUpToDate(t *testing.T) {
	names := store.MigrationNames()
	for _, last := range []string{"migrations/0060_placement.sql", "migrations/0097_audit.sql"} {
		older := names[:slices.Index(names, last)+1]
		source := "sqlite:" + t.TempDir() + "/db"
		if err := store.MakeAt(t.Context(), source, older, func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO fleet (key, tail, compute_type, status, name, detail, created_at) VALUES (7, 1, 'EC2', 'ACTIVE', 'old', '{}', 5)`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		old := dumpOf(t, source)
		emptyEach(t, func(t *testing.T, url string) {
			load(t, url, old)
			db := storetest.Open(t, url, storetest.NewClock().Now)
			var name string
			var since *int64
			if err := db.Read(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT name, since FROM fleet WHERE key = 7`).Scan(&name, &since)
			}); err != nil || name != "old" || since != nil {
				t.Errorf("%q, %v, %v", name, since, err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			header, _, _ := strings.Cut(dumpOf(t, url), "\n")
			if !strings.Contains(header, names[len(names)-1]) {
				t.Errorf("not up to date: %s", header)
			}
		})
	}
}

// TestADumpIsOfOneInstant dumps while somebody moves a coin between two tables.
func TestADumpIsOfOneInstant(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		write(t, db, func(tx *store.Tx) error {
			if _, err := tx.Exec(`INSERT INTO fleet_quota (name, used) VALUES ('coin', 1000000)`); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO matchmaking_quota (name, used) VALUES ('coin', 0)`)
			return err
		})
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		moved := make(chan struct{})
		work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				write(t, db, func(tx *store.Tx) error {
					if _, err := tx.Exec(`UPDATE fleet_quota SET used = used - 1 WHERE name = 'coin'`); err != nil {
						return err
					}
					_, err := tx.Exec(`UPDATE matchmaking_quota SET used = used + 1 WHERE name = 'coin'`)
					return err
				})
				if i == 0 {
					close(moved)
				}
			}
		})
		<-moved
		seen := map[int64]bool{}
		for range 20 {
			var b bytes.Buffer
			if _, err := db.Dump(t.Context(), &b); err != nil {
				t.Fatal(err)
			}
			var left, right int64
			for line := range strings.Lines(b.String()) {
				var n int64
				if _, err := fmt.Sscanf(line, `["coin",%d]`, &n); err == nil {
					left, right = right, n
				}
			}
			if left+right != 1_000_000 {
				t.Errorf("%d + %d in one dump", left, right)
			}
			seen[right] = true
		}
		stop()
		work.Wait()
		if len(seen) < 2 {
			t.Errorf("nothing moved between 20 dumps: %v", slices.Collect(maps.Keys(seen)))
		}
	})
}

func TestADumpOfNothing(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	if _, err := store.DumpAt(t.Context(), "sqlite:"+none, store.Options{}, io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a database that does not exist: %v", err)
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("it was made")
	}
	if _, err := store.DumpAt(t.Context(), storetest.EmptyPostgresURL(t), store.Options{}, io.Discard); err == nil {
		t.Error("a database without tables was dumped")
	}
}

func FuzzCheckDump(f *testing.F) {
	f.Add([]byte("{\"matchyard\":\"dump\",\"version\":1,\"migrations\":[]}\n{\"table\":\"t\",\"columns\":[\"a\"]}\n[1]\n[{\"hex\":\"00\"}]\n[null]\n[\"x\"]\n{\"rows\":4,\"sha256\":\"\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := store.CheckDump(bytes.NewReader(text))
		if err == nil && len(d.Sum) != 64 {
			t.Errorf("%+v of %q", d, text)
		}
	})
}
