package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

type sqliteBackend struct {
	mu     sync.Mutex
	writer *sql.DB
	reader *sql.DB
	temp   string
}

func openSQLite(_ context.Context, path string) (backend, error) {
	b := &sqliteBackend{}
	if path == ":memory:" {
		dir, err := os.MkdirTemp("", "matchyard-")
		if err != nil {
			return nil, err
		}
		b.temp, path = dir, filepath.Join(dir, "db")
	}
	dsn := "file:" + path + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)"
	var err error
	if b.writer, err = sql.Open("sqlite", dsn+"&_txlock=immediate"); err != nil {
		return nil, err
	}
	b.writer.SetMaxOpenConns(1)
	if b.reader, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *sqliteBackend) write(ctx context.Context, f func(conn) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return sqliteRun(ctx, b.writer, nil, f)
}

func (b *sqliteBackend) read(ctx context.Context, f func(conn) error) error {
	return sqliteRun(ctx, b.reader, &sql.TxOptions{ReadOnly: true}, f)
}

func sqliteRun(ctx context.Context, db *sql.DB, o *sql.TxOptions, f func(conn) error) error {
	tx, err := db.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	if err := f(sqliteConn{tx}); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func (b *sqliteBackend) close() error {
	err := errors.Join(b.reader.Close(), b.writer.Close())
	if b.temp != "" {
		err = errors.Join(err, os.RemoveAll(b.temp))
	}
	return err
}

type sqliteConn struct{ tx *sql.Tx }

func (c sqliteConn) exec(ctx context.Context, query string, args []any) (int64, error) {
	res, err := c.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, sqliteError(err)
	}
	return res.RowsAffected()
}

func (c sqliteConn) query(ctx context.Context, query string, args []any) (rows, error) {
	r, err := c.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, sqliteError(err)
	}
	return r, nil
}

func sqliteError(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return fmt.Errorf("%w: %w", ErrUnique, err)
		}
	}
	return err
}
