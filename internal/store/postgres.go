package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

type pgBackend struct{ pool *pgxpool.Pool }

func openPostgres(ctx context.Context, url string) (backend, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	return &pgBackend{pool}, nil
}

func (b *pgBackend) write(ctx context.Context, f func(conn) error) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return f(pgConn{tx}) })
}

func (b *pgBackend) read(ctx context.Context, f func(conn) error) error {
	return pgx.BeginTxFunc(ctx, b.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead},
		func(tx pgx.Tx) error { return f(pgConn{tx}) })
}

func (b *pgBackend) close() error {
	b.pool.Close()
	return nil
}

type pgConn struct{ tx pgx.Tx }

func (c pgConn) exec(ctx context.Context, query string, args []any) (int64, error) {
	tag, err := c.tx.Exec(ctx, query, args...)
	return tag.RowsAffected(), pgError(err)
}

func (c pgConn) query(ctx context.Context, query string, args []any) (rows, error) {
	r, err := c.tx.Query(ctx, query, args...)
	if err != nil {
		return nil, pgError(err)
	}
	return pgRows{r}, nil
}

type pgRows struct{ pgx.Rows }

func (r pgRows) Err() error { return pgError(r.Rows.Err()) }

func (r pgRows) Close() error {
	r.Rows.Close()
	return nil
}

func pgError(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "23505" {
		return fmt.Errorf("%w: %w", ErrUnique, err)
	}
	return err
}
