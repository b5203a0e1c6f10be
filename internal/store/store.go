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
	// Counted is told what committed transactions counted: the name of a series, by how much
	// or which value, and the values of its labels. It must be quick. Nil counts nothing.
	Counted func(series string, value float64, labels []string)
	// Trace is asked, with the caller's context, whether somebody wants to know how the
	// transaction goes; who does is told once, when the caller is answered. Both must be
	// quick. Nil traces nothing and costs nothing.
	Trace func(ctx context.Context) func(Transaction)
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	opts    Options
	dialect Dialect
	backend backend
	keys    keyMaker
	bus     bus
	node    string     // this handle's id
	joining sync.Mutex // one at a time takes a number

	life context.Context // until Close
	stop context.CancelFunc

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup // goroutines of this DB; Close waits for them
}

// Dialect names the database behind a DB, for the few places where SQL must differ.
type Dialect int

// The dialects.
const (
	SQLite Dialect = iota
	Postgres
)

func (d Dialect) String() string { return [...]string{"sqlite", "postgres"}[d] }

// backend is one database. write runs f in a transaction, perhaps more than once, and
// returns after the commit is durable; read runs f on a snapshot. t learns how many shared the
// commit. A call under way is finished before close returns.
type backend interface {
	write(ctx context.Context, t *traced, f func(conn) error) error
	read(ctx context.Context, f func(conn) error) error
	close() error
}

// conn is a connection inside a transaction. Its statements end with ctx or with the
// transaction, whatever the backend can do without harm to others.
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

// Close refuses new transactions, finishes those under way and ends all connections.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	db.mu.Unlock()
	db.stop()
	db.work.Wait()
	return errors.Join(db.leave(), db.backend.close())
}

// enter holds Close back until leave is called; false when the DB is closed.
func (db *DB) enter() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	if !db.closed {
		db.work.Add(1)
	}
	return !db.closed
}

// spawn runs f on a goroutine that Close waits for; false when the DB is closed.
func (db *DB) spawn(f func()) bool {
	if !db.enter() {
		return false
	}
	go func() {
		defer db.work.Done()
		f()
	}()
	return true
}

// Write runs f in one read-write transaction. When Write returns nil the change is
// durable (SQLite: synced; PostgreSQL: committed). When f returns an error nothing of it
// is kept and that error is returned. On SQLite several Writes may share a commit; each
// still has its own savepoint and its own answer; f runs on the store's goroutine, so it
// must not wait for another Write. f may be run again after a serialization failure or a
// failed commit, so it must have no effects of its own. When ctx ends, f fails at its next
// statement; once f is done, the commit is carried through and Write tells its outcome.
func (db *DB) Write(ctx context.Context, f func(*Tx) error) error {
	if !db.enter() {
		return errClosed
	}
	defer db.work.Done()
	t := db.trace(ctx, Write)
	return t.answered(db.write(ctx, t, f))
}

// write is Write for those that Close waits for.
func (db *DB) write(ctx context.Context, t *traced, f func(*Tx) error) error {
	for tries := 1; ; tries++ {
		err := db.writeOnce(ctx, db.backend, t, f)
		if !errors.Is(err, errLapsed) || tries == 3 {
			return err
		}
		if err := db.join(ctx); err != nil {
			return err
		}
	}
}

// urgently is Write for what keeps this node alive: it waits for no connection that others
// hold.
func (db *DB) urgently(ctx context.Context, f func(*Tx) error) error {
	if b, ok := db.backend.(*pgBackend); ok {
		return db.writeOnce(ctx, b.urgent, nil, f)
	}
	return db.writeOnce(ctx, db.backend, nil, f)
}

func (db *DB) writeOnce(ctx context.Context, b backend, t *traced, f func(*Tx) error) error {
	var tx *Tx
	err := b.write(ctx, t, func(c conn) error {
		t.began()
		defer t.ran()
		tx = db.begin(ctx, c)
		if err := f(tx); err != nil {
			return err
		}
		if err := db.reserve(tx); err != nil {
			return err
		}
		if s, ok := c.(sender); ok {
			s.send(db.node, tx.notes)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if tx.upto > 0 {
		db.keys.reserved(tx.term, tx.upto)
	}
	for _, d := range tx.deeds {
		db.opts.Counted(d.series, d.value, d.labels)
	}
	db.bus.publish(tx.notes)
	return nil
}

// sender is a connection that carries notifications to other nodes with its transaction.
type sender interface {
	send(node string, notes []note)
}

func (db *DB) begin(ctx context.Context, c conn) *Tx {
	return &Tx{Now: db.opts.Now().Truncate(time.Millisecond).UTC(), ctx: ctx, conn: c, db: db}
}

// Read runs f in a read-only transaction on one snapshot.
func (db *DB) Read(ctx context.Context, f func(*Tx) error) error {
	if !db.enter() {
		return errClosed
	}
	defer db.work.Done()
	t := db.trace(ctx, Read)
	return t.answered(db.backend.read(ctx, func(c conn) error {
		t.began()
		defer t.ran()
		return f(db.begin(ctx, c))
	}))
}
