// Package store is the floor: it opens SQLite or PostgreSQL, runs transactions, carries
// their instant, applies migrations, hands out keys, and tells other nodes what changed.
// It knows no table of any room; rooms write plain SQL, one text for both databases:
// $1 placeholders, integers for time (epoch milliseconds), opaque JSON text.
package store

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNoRows is returned by Row.Scan when the query found nothing.
var ErrNoRows = errors.New("no rows")

// ErrUnique is returned (wrapped) when a unique index or primary key refused a row.
var ErrUnique = errors.New("unique constraint")

// errSerialization is wrapped by errors of transactions that lost to another one.
var errSerialization = errors.New("serialization failure")

// Options are the choices of Open. The zero value is ready to use.
type Options struct {
	Now    func() time.Time // the clock transactions read; nil: time.Now
	Logger *slog.Logger     // nil: slog.Default
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	opts    Options
	dialect Dialect
	backend backend
	keys    keyMaker
	bus     bus
	node    string       // this handle's id
	number  atomic.Int64 // and its part of keys

	ctx  context.Context // until Close
	stop context.CancelFunc
	work sync.WaitGroup // goroutines of this DB; Close waits for them
}

// Dialect names the database behind a DB, for the few places where SQL must differ.
type Dialect int

// The dialects.
const (
	SQLite Dialect = iota
	Postgres
)

func (d Dialect) String() string { return [...]string{"sqlite", "postgres"}[d] }

// backend is one database. write runs f in a transaction and returns after the commit is
// durable; read runs f on a snapshot.
type backend interface {
	write(ctx context.Context, f func(conn) error) error
	read(ctx context.Context, f func(conn) error) error
	close() error
}

// conn is a connection inside a transaction.
type conn interface {
	exec(ctx context.Context, query string, args []any) (int64, error)
	query(ctx context.Context, query string, args []any) (rows, error)
}

type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Dialect tells which database this is.
func (db *DB) Dialect() Dialect { return db.dialect }

// Now is the instant the next transaction would carry.
func (db *DB) Now() time.Time { return db.opts.Now() }

// Close ends all connections. Transactions under way are finished first.
func (db *DB) Close() error {
	db.stop()
	db.work.Wait()
	return errors.Join(db.leave(), db.backend.close())
}

// Write runs f in one read-write transaction. When Write returns nil the change is
// durable (SQLite: synced; PostgreSQL: committed). When f returns an error nothing of it
// is kept and that error is returned. On SQLite several Writes may share a commit; each
// still has its own savepoint and its own answer. f may be run again after a
// serialization failure or a key collision, so it must have no effects of its own.
func (db *DB) Write(ctx context.Context, f func(*Tx) error) error {
	var notes []note
	err := db.backend.write(ctx, func(c conn) error {
		tx := &Tx{Now: db.opts.Now().Truncate(time.Millisecond).UTC(), ctx: ctx, conn: c, db: db}
		if err := f(tx); err != nil {
			return err
		}
		notes = tx.notes
		return nil
	})
	if err != nil {
		return err
	}
	db.bus.publish(notes)
	return nil
}

// Read runs f in a read-only transaction on one snapshot.
func (db *DB) Read(ctx context.Context, f func(*Tx) error) error {
	return db.backend.read(ctx, func(c conn) error {
		return f(&Tx{Now: db.opts.Now().Truncate(time.Millisecond).UTC(), ctx: ctx, conn: c, db: db})
	})
}
