package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// mostStatements is how many prepared statements one connection keeps.
const mostStatements = 256

// sqliteConn is a connection of the driver with its prepared statements, used by one
// goroutine at a time. It goes past database/sql, whose locking, copying and conversion
// cost more than most of our statements.
type sqliteConn struct {
	conn  driver.Conn
	stmts map[string]sqliteStmt
	args  []driver.NamedValue // reused: the driver keeps none

	open   *sqliteRows  // the result set not yet closed
	failed error        // the first error of this function that may have ended the transaction
	before func() error // called once before the first statement that may write
	shared bool         // its transactions are of many callers, so that none may interrupt it
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

func connectSQLite(dsn string) (*sqliteConn, error) {
	c, err := (&sqlite.Driver{}).Open(dsn)
	if err != nil {
		return nil, err
	}
	return &sqliteConn{conn: c, stmts: map[string]sqliteStmt{}}, nil
}

func (c *sqliteConn) close() error {
	c.closeRows()
	c.forget(len(c.stmts))
	return c.conn.Close()
}

// do runs one of our own statements, without arguments, and never cancelled.
func (c *sqliteConn) do(query string) error {
	s, err := c.prepare(query)
	if err == nil {
		_, err = s.ExecContext(context.Background(), nil)
	}
	return sqliteError(err)
}

func (c *sqliteConn) prepare(query string) (sqliteStmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	if len(c.stmts) >= mostStatements {
		c.forget(mostStatements / 4)
	}
	// Text behind a statement's end would make the driver compile it at each run.
	s, err := c.conn.Prepare(strings.TrimRight(query, "; \t\r\n"))
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s.(sqliteStmt)
	return c.stmts[query], nil
}

// forget closes some n prepared statements.
func (c *sqliteConn) forget(n int) {
	for query, s := range c.stmts {
		if n--; n < 0 {
			return
		}
		_ = s.Close()
		delete(c.stmts, query)
	}
}

var errRowsOpen = errors.New("the rows of the statement before are still open")

// ready prepares a statement and its arguments.
func (c *sqliteConn) ready(ctx context.Context, query string, args []any) (sqliteStmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.open != nil {
		return nil, errRowsOpen
	}
	if c.failed != nil {
		return nil, fmt.Errorf("the transaction failed before: %w", c.failed) // without it, this would be in none
	}
	if c.before != nil && !isSelect(query) {
		if err := c.before(); err != nil {
			return nil, err
		}
		c.before = nil
	}
	s, err := c.prepare(query)
	if err != nil {
		return nil, c.fault(err)
	}
	c.args = c.args[:0]
	for i, a := range args {
		v, err := argument(a)
		if err != nil {
			return nil, fmt.Errorf("argument $%d: %w", i+1, err)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s, nil
}

// isSelect tells whether a statement surely only reads.
func isSelect(query string) bool {
	query = strings.TrimLeft(query, " \t\r\n")
	return len(query) > 6 && strings.EqualFold(query[:6], "SELECT")
}

func (c *sqliteConn) exec(ctx context.Context, query string, args []any) (int64, error) {
	s, err := c.ready(ctx, query, args)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), c.args)
	if err != nil {
		return 0, c.fault(err)
	}
	return res.RowsAffected()
}

func (c *sqliteConn) query(ctx context.Context, query string, args []any) (rows, error) {
	s, err := c.ready(ctx, query, args)
	if err != nil {
		return nil, err
	}
	interrupt := ctx
	if c.shared {
		interrupt = context.Background()
	}
	r, err := s.QueryContext(interrupt, c.args)
	if err != nil {
		return nil, c.fault(err)
	}
	c.open = &sqliteRows{conn: c, ctx: ctx, rows: r, row: make([]driver.Value, len(r.Columns()))}
	return c.open, nil
}

func (c *sqliteConn) closeRows() {
	if c.open != nil {
		_ = c.open.Close()
	}
}

// fault notes errors after which SQLite may have rolled back the whole transaction, and
// translates.
func (c *sqliteConn) fault(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); (!ok || !harmless(e.Code())) && c.failed == nil {
		c.failed = err
	}
	return sqliteError(err)
}

// harmless are the errors that undo their statement and nothing else.
func harmless(code int) bool {
	switch code & 0xff {
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG:
		return true
	}
	return false
}

func sqliteError(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return fmt.Errorf("%w: %w", ErrUnique, err)
	}
	return err
}

type sqliteRows struct {
	conn *sqliteConn
	ctx  context.Context
	rows driver.Rows
	row  []driver.Value
	err  error
}

func (r *sqliteRows) Next() bool {
	if r.conn == nil || r.err != nil {
		return false
	}
	if r.err = r.ctx.Err(); r.err == nil {
		r.err = r.rows.Next(r.row)
	}
	if r.err == nil {
		return true
	}
	if r.err != io.EOF { //nolint:errorlint // the driver returns it bare, as database/sql requires
		r.err = r.conn.fault(r.err)
	}
	_ = r.Close()
	return false
}

func (r *sqliteRows) Err() error {
	if r.err == io.EOF { //nolint:errorlint // see Next
		return nil
	}
	return r.err
}

func (r *sqliteRows) Close() error {
	if r.conn == nil {
		return nil
	}
	r.conn.open = nil
	r.conn = nil
	return r.rows.Close()
}

func (r *sqliteRows) Scan(dest ...any) error {
	if len(dest) != len(r.row) {
		return fmt.Errorf("scan: %d columns into %d destinations", len(r.row), len(dest))
	}
	for i, d := range dest {
		if err := assign(d, r.row[i]); err != nil {
			return fmt.Errorf("scan column %d: %w", i+1, err)
		}
	}
	return nil
}

// argument is v as the driver takes it: nil, an int64, float64, bool, string or []byte.
func argument(v any) (driver.Value, error) {
	switch v := v.(type) {
	case nil, int64, string, float64, bool, []byte:
		return v, nil
	case int:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case Key:
		return int64(v), nil
	case driver.Valuer:
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return nil, nil
		}
		return v.Value()
	}
	r := reflect.ValueOf(v)
	switch {
	case r.Kind() == reflect.Pointer:
		if r.IsNil() {
			return nil, nil
		}
		return argument(r.Elem().Interface())
	case r.CanInt():
		return r.Int(), nil
	case r.CanUint() && r.Uint() <= math.MaxInt64:
		return int64(r.Uint()), nil
	case r.CanFloat():
		return r.Float(), nil
	case r.Kind() == reflect.String:
		return r.String(), nil
	case r.Kind() == reflect.Bool:
		return r.Bool(), nil
	case r.Kind() == reflect.Slice && r.Type().Elem().Kind() == reflect.Uint8:
		return r.Bytes(), nil
	}
	return nil, fmt.Errorf("%T is no column's type", v)
}

// assign copies a column's value to where dest points.
func assign(dest any, v driver.Value) error {
	switch d := dest.(type) {
	case *int64:
		if n, ok := v.(int64); ok {
			*d = n
			return nil
		}
	case *string:
		if s, ok := v.(string); ok {
			*d = s
			return nil
		}
	case *Key:
		if n, ok := v.(int64); ok {
			*d = Key(n)
			return nil
		}
	case *any:
		*d = v
		return nil
	case sql.Scanner:
		return d.Scan(v)
	}
	r := reflect.ValueOf(dest)
	if r.Kind() != reflect.Pointer || r.IsNil() {
		return fmt.Errorf("destination %T is not a pointer", dest)
	}
	return assignTo(r.Elem(), v)
}

func assignTo(to reflect.Value, v driver.Value) error {
	if to.Kind() == reflect.Pointer {
		if v == nil {
			to.SetZero()
			return nil
		}
		p := reflect.New(to.Type().Elem())
		if err := assignTo(p.Elem(), v); err != nil {
			return err
		}
		to.Set(p)
		return nil
	}
	bytes := to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8
	switch v := v.(type) {
	case nil:
		if bytes {
			to.SetZero()
			return nil
		}
	case int64:
		switch {
		case to.CanInt() && !to.OverflowInt(v):
			to.SetInt(v)
			return nil
		case to.CanUint() && v >= 0 && !to.OverflowUint(uint64(v)):
			to.SetUint(uint64(v))
			return nil
		case to.CanFloat():
			to.SetFloat(float64(v))
			return nil
		case to.Kind() == reflect.Bool:
			to.SetBool(v != 0)
			return nil
		}
	case float64:
		if to.CanFloat() {
			to.SetFloat(v)
			return nil
		}
	case string:
		if to.Kind() == reflect.String {
			to.SetString(v)
			return nil
		}
		if bytes {
			to.SetBytes([]byte(v))
			return nil
		}
	case []byte:
		if bytes {
			to.SetBytes(append([]byte{}, v...))
			return nil
		}
		if to.Kind() == reflect.String {
			to.SetString(string(v))
			return nil
		}
	}
	return fmt.Errorf("cannot hold %T %v in %s", v, v, to.Type())
}
