package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// Rows of the shape of a player session: an integer key, a parent, two texts, a time.
const (
	benchTable       = `CREATE TABLE bench (key BIGINT PRIMARY KEY, parent BIGINT NOT NULL, player TEXT NOT NULL, status TEXT NOT NULL, at BIGINT NOT NULL)`
	benchTableSQLite = `CREATE TABLE bench (key INTEGER PRIMARY KEY, parent BIGINT NOT NULL, player TEXT NOT NULL, status TEXT NOT NULL, at BIGINT NOT NULL)`
	benchInsert      = `INSERT INTO bench (key, parent, player, status, at) VALUES ($1, $2, $3, $4, $5)`
	callers          = 64
)

func benchEach(b *testing.B, f func(b *testing.B, db *store.DB)) {
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			url := "sqlite:" + b.TempDir() + "/db"
			if kind == "postgres" {
				url = storetest.PostgresURL(b)
			}
			db := storetest.Open(b, url, time.Now)
			write(b, db, func(tx *store.Tx) error {
				table := benchTable
				if tx.Dialect() == store.SQLite {
					table = benchTableSQLite
				}
				_, err := tx.Exec(table)
				return err
			})
			f(b, db)
		})
	}
}

// together runs f n times by 64 callers and reports the rate of rows.
func together(b *testing.B, db *store.DB, rows int, f func(n int) error) {
	b.Helper()
	before := uint64(0)
	if db.Dialect() == store.SQLite {
		before = db.Commits()
	}
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for {
				n := int(next.Add(1))
				if n > b.N {
					return
				}
				if err := f(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if db.Dialect() == store.SQLite && db.Commits() > before {
		b.ReportMetric(float64(b.N)/float64(db.Commits()-before), "calls/commit")
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkWrite(b *testing.B) {
	benchEach(b, func(b *testing.B, db *store.DB) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		together(b, db, 1, func(n int) error {
			return db.Write(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(benchInsert, tx.NewKey(), n%1000, "player-0123456789", "RESERVED", tx.NowMs())
				return err
			})
		})
	})
}

// values is "($1, $2), ($3, $4)": rows of columns placeholders.
func values(rows, columns int) string {
	var s strings.Builder
	for i := range rows * columns {
		switch {
		case i%columns > 0:
			s.WriteString(", ")
		case i > 0:
			s.WriteString("), (")
		}
		fmt.Fprintf(&s, "$%d", i+1)
	}
	return "(" + s.String() + ")"
}

func BenchmarkBatcher(b *testing.B) {
	texts := map[int]string{}
	for n := range 257 {
		texts[n] = `INSERT INTO bench (key, parent, player, status, at) VALUES ` + values(n, 5)
	}
	for name, insert := range map[string]func(tx *store.Tx, rows [][]any) error{
		"values": func(tx *store.Tx, rows [][]any) error {
			for len(rows) > 0 {
				n := min(256, len(rows))
				var args []any
				for _, r := range rows[:n] {
					args = append(args, r...)
				}
				if _, err := tx.Exec(texts[n], args...); err != nil {
					return err
				}
				rows = rows[n:]
			}
			return nil
		},
		"many": func(tx *store.Tx, rows [][]any) error {
			_, err := tx.ExecMany(benchInsert, rows)
			return err
		},
		"insert": func(tx *store.Tx, rows [][]any) error { return tx.InsertMany(benchInsert, rows) },
	} {
		for _, size := range []int{1, 25} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				benchEach(b, func(b *testing.B, db *store.DB) {
					batcher := &store.Batcher[int, store.Key]{DB: db, Run: func(tx *store.Tx, in []int) ([]store.Key, []error, error) {
						out, rows := make([]store.Key, len(in)), make([][]any, 0, len(in)*size)
						for i, n := range in {
							for range size {
								out[i] = tx.NewKey()
								rows = append(rows, []any{int64(out[i]), n % 1000, "player-0123456789", "RESERVED", tx.NowMs()})
							}
						}
						return out, nil, insert(tx, rows)
					}}
					ctx, cancel := context.WithCancel(b.Context())
					defer cancel()
					together(b, db, size, func(n int) error {
						_, err := batcher.Do(ctx, n)
						return err
					})
				})
			})
		}
	}
}

// BenchmarkRaw is what the driver does with the same rows when one goroutine commits 64 of
// them at a time: the limit to compare with.
func BenchmarkRaw(b *testing.B) {
	db, err := sql.Open("sqlite", "file:"+b.TempDir()+"/db?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(32768)")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(benchTableSQLite); err != nil {
		b.Fatal(err)
	}
	insert, err := db.Prepare(benchInsert)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for n := 0; n < b.N; {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		in := tx.Stmt(insert) //nolint:sqlclosecheck // it ends with its transaction
		for range callers {
			n++
			if _, err := in.Exec(n, n%1000, "player-0123456789", "RESERVED", n); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRead reads pages of 100 rows, as DescribePlayerSessions does, and single rows.
func BenchmarkRead(b *testing.B) {
	benchEach(b, func(b *testing.B, db *store.DB) {
		const total = 100_000
		for at := 0; at < total; at += 1000 {
			write(b, db, func(tx *store.Tx) error {
				var rows [][]any
				for n := at; n < at+1000; n++ {
					rows = append(rows, []any{n, n / 1000, "player-0123456789", "RESERVED", tx.NowMs()})
				}
				_, err := tx.ExecMany(benchInsert, rows)
				return err
			})
		}
		for _, size := range []int{1, 100} {
			b.Run(fmt.Sprint(size), func(b *testing.B) {
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				together(b, db, 1, func(n int) error {
					return db.Read(ctx, func(tx *store.Tx) error {
						rows, err := tx.Query(`SELECT key, parent, player, status, at FROM bench WHERE key >= $1 ORDER BY key LIMIT $2`, n*7919%(total-size), size)
						if err != nil {
							return err
						}
						defer rows.Close()
						var key store.Key
						var parent, at int64
						var player, status string
						got := 0
						for rows.Next() {
							if err := rows.Scan(&key, &parent, &player, &status, &at); err != nil {
								return err
							}
							got++
						}
						if got != size {
							return fmt.Errorf("%d rows, want %d", got, size)
						}
						return rows.Err()
					})
				})
			})
		}
	})
}
