package store

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Open opens the database named by url and brings its schema up to date:
// "sqlite:PATH" (the file is made when missing), "sqlite::memory:" (gone after Close), or
// "postgres://…" (anything that speaks PostgreSQL's protocol).
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	db := &DB{opts: o, node: newNodeID()}
	var err error
	switch {
	case strings.HasPrefix(url, "sqlite:"):
		db.dialect = SQLite
		db.backend, err = openSQLite(ctx, strings.TrimPrefix(url, "sqlite:"))
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		db.dialect = Postgres
		db.backend, err = openPostgres(ctx, url)
	default:
		return nil, fmt.Errorf("store %q: want sqlite:PATH or postgres://…", url)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := db.migrate(ctx); err != nil {
		_ = db.backend.close()
		return nil, fmt.Errorf("migrate store: %w", err)
	}
	if err := db.join(ctx); err != nil {
		_ = db.backend.close()
		return nil, fmt.Errorf("join store: %w", err)
	}
	db.ctx, db.stop = context.WithCancel(context.WithoutCancel(ctx))
	db.work.Go(db.keepAlive)
	return db, nil
}
