package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Tx is a transaction. Now is fixed when it begins, so that every row it writes shares one
// instant; it is whole milliseconds, UTC. A Tx is used by one goroutine and only until the
// function it was given to returns.
type Tx struct {
	Now time.Time

	ctx   context.Context
	conn  conn
	db    *DB
	notes []note
	deeds []deed
	keys  bool  // it made keys,
	last  Key   // this one last,
	term  int   // with the number of this term
	upto  int64 // what it reserved
}

// deed is something that is counted.
type deed struct {
	series string
	value  float64
	labels []string
}

// Count counts what the transaction does, for the metrics of this node: once, when it is
// committed, and not at all when it is not. See Options.Counted for what the parameters
// mean.
func (tx *Tx) Count(series string, value float64, labels ...string) {
	if tx.db.opts.Counted != nil {
		tx.deeds = append(tx.deeds, deed{series, value, labels})
	}
}

// Context is the caller's context; in a Batcher's Run, which has many callers, one that no
// caller ends.
func (tx *Tx) Context() context.Context { return tx.ctx }

// NowMs is Now in epoch milliseconds, as columns hold it.
func (tx *Tx) NowMs() int64 { return tx.Now.UnixMilli() }

// Dialect tells which database this is.
func (tx *Tx) Dialect() Dialect { return tx.db.dialect }

// Exec runs a statement and returns the number of rows it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	return tx.conn.exec(tx.ctx, query, args)
}

// ExecMany runs a statement once for each of the lists of arguments, in order, and returns
// the number of rows each changed. It fails at the first that fails. On PostgreSQL all of
// them are one round trip; SQLite has none.
func (tx *Tx) ExecMany(query string, args [][]any) ([]int64, error) {
	if c, ok := tx.conn.(manyConn); ok {
		return c.execMany(tx.ctx, query, args)
	}
	changed := make([]int64, len(args))
	for i, a := range args {
		n, err := tx.conn.exec(tx.ctx, query, a)
		if err != nil {
			return nil, err
		}
		changed[i] = n
	}
	return changed, nil
}

// InsertMany inserts rows by a statement for one row, which ends with its VALUES and nothing
// behind: "INSERT INTO t (a, b) VALUES ($1, $2)". It does so the fastest way the database
// has: PostgreSQL gets statements of many rows, of a few sizes so that they stay prepared;
// SQLite runs the one prepared statement.
func (tx *Tx) InsertMany(query string, rows [][]any) error {
	if tx.db.dialect == SQLite || len(rows) == 0 {
		_, err := tx.ExecMany(query, rows)
		return err
	}
	at := strings.LastIndex(query, "VALUES")
	if at < 0 {
		return fmt.Errorf("no VALUES in %s", query)
	}
	for size := mostValues; len(rows) > 0; size /= 2 {
		for ; len(rows) >= size; rows = rows[size:] {
			args := make([]any, 0, size*len(rows[0]))
			for _, r := range rows[:size] {
				args = append(args, r...)
			}
			if _, err := tx.Exec(query[:at]+values(size, len(rows[0])), args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// mostValues is the most rows in one statement of InsertMany.
const mostValues = 256

// values is "VALUES ($1, $2), ($3, $4), …".
func values(rows, columns int) string {
	s := []byte("VALUES ")
	for i := range rows * columns {
		switch {
		case i == 0:
			s = append(s, "($"...)
		case i%columns == 0:
			s = append(s, "), ($"...)
		default:
			s = append(s, ", $"...)
		}
		s = strconv.AppendInt(s, int64(i+1), 10)
	}
	return string(append(s, ')'))
}

// manyConn is a connection with a faster way to run a statement many times.
type manyConn interface {
	execMany(ctx context.Context, query string, args [][]any) ([]int64, error)
}

// Query runs a statement that returns rows. Close them before the next statement.
func (tx *Tx) Query(query string, args ...any) (*Rows, error) {
	r, err := tx.conn.query(tx.ctx, query, args)
	if err != nil {
		return nil, err
	}
	return &Rows{rows: r}, nil
}

// QueryRow runs a statement of which only the first row matters.
func (tx *Tx) QueryRow(query string, args ...any) *Row {
	r, err := tx.Query(query, args...)
	return &Row{rows: r, err: err}
}

// ForUpdate is the suffix that locks the rows of a SELECT until the end of the
// transaction: nothing on SQLite, which has one writer.
func (tx *Tx) ForUpdate() string {
	if tx.db.dialect == Postgres {
		return " FOR UPDATE"
	}
	return ""
}

// In is the predicate "column is one of the list in parameter n"; give that parameter
// the value List makes.
func (tx *Tx) In(column string, n int) string {
	if tx.db.dialect == Postgres {
		return fmt.Sprintf("%s = ANY($%d)", column, n)
	}
	return fmt.Sprintf("%s IN (SELECT value FROM json_each($%d))", column, n)
}

// List makes the argument for In.
func List[T int64 | ~string](tx *Tx, list []T) any {
	if tx.db.dialect == Postgres {
		return list
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // integers and strings always marshal
	}
	return string(text)
}

// NewKey makes a key, greater than every key this node made before.
func (tx *Tx) NewKey() Key {
	k, term := tx.db.keys.next(tx.Now)
	if !tx.keys {
		tx.keys, tx.term = true, term
	}
	tx.last = k
	return k
}

// mostNote is the size of the largest payload of Notify, in bytes.
const mostNote = 7000

// Notify tells all nodes' subscribers of channel, after the commit, that payload changed.
// Delivery is best effort: whoever depends on it also looks from time to time. The channel
// is one word; the payload has at most 7000 bytes.
func (tx *Tx) Notify(channel, payload string) {
	if len(payload) > mostNote || strings.ContainsAny(channel, " \x00") || strings.Contains(payload, "\x00") {
		panic(fmt.Sprintf("store: notification of %d bytes on %q cannot be sent", len(payload), channel))
	}
	tx.notes = append(tx.notes, note{channel, payload})
}

// Rows is a result set.
type Rows struct{ rows rows }

// Next moves to the next row; false at the end or on an error.
func (r *Rows) Next() bool { return r.rows.Next() }

// Scan copies the row's columns.
func (r *Rows) Scan(dest ...any) error { return r.rows.Scan(dest...) }

// Err is the error that ended Next, if any.
func (r *Rows) Err() error { return r.rows.Err() }

// Close ends the result set. It may be called twice.
func (r *Rows) Close() { _ = r.rows.Close() }

// Row is the first row of a query.
type Row struct {
	rows *Rows
	err  error
}

// Scan copies the row's columns, or returns ErrNoRows.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Err()
}
