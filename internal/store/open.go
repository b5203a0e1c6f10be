package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Open opens the database named by url and brings its schema up to date:
// "sqlite:PATH" (the file is made when missing), "sqlite::memory:" (gone after Close), or
// "postgres://…" (anything that speaks PostgreSQL's protocol).
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	db, err := connect(ctx, url, o)
	if err != nil {
		return nil, err
	}
	if err := db.start(ctx); err != nil {
		return nil, errors.Join(err, db.disconnect())
	}
	return db, nil
}

// connect opens the database as it is. What it returns runs transactions, and is no node yet.
func connect(ctx context.Context, url string, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	db := &DB{opts: o, node: newNodeID()}
	db.life, db.stop = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	switch {
	case strings.HasPrefix(url, "sqlite:"):
		db.dialect = SQLite
		db.backend, err = openSQLite(strings.TrimPrefix(url, "sqlite:"), o.Logger)
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		db.dialect = Postgres
		db.backend, err = openPostgres(ctx, url)
	default:
		err = fmt.Errorf("store %q: want sqlite:PATH or postgres://…", url)
	}
	if err != nil {
		db.stop()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return db, nil
}

// disconnect closes a database that is no node.
func (db *DB) disconnect() error {
	db.stop()
	db.work.Wait()
	return db.backend.close()
}

// start makes the open database ready for use.
func (db *DB) start(ctx context.Context) error {
	if err := db.migrate(ctx); err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	if b, ok := db.backend.(*pgBackend); ok {
		if err := db.listen(ctx, b); err != nil {
			return fmt.Errorf("listen on store: %w", err)
		}
	}
	if err := db.join(ctx); err != nil {
		return fmt.Errorf("join store: %w", err)
	}
	if db.dialect == Postgres {
		db.work.Go(db.keepAlive)
	}
	return nil
}
