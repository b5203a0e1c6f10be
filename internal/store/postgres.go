package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	pgTries   = 10               // runs of a transaction that loses to others
	pgPatient = 10 * time.Second // for a commit or rollback, which no caller's context ends
	pgChannel = "matchyard"      // the one channel of all our notifications
)

// pgBackend is a PostgreSQL database behind a pool of connections. Writes run at READ
// COMMITTED, reads on a REPEATABLE READ snapshot. The first statement of a transaction
// travels with its BEGIN.
type pgBackend struct {
	pool   *pgxpool.Pool
	urgent *pgBackend  // one connection more, for what keeps this node alive
	peers  atomic.Bool // there may be other nodes, who want notifications
}

// openPostgres connects. The URL may hold pgx's pool parameters, pool_max_conns above all;
// without it there are four connections a processor, sixteen at least.
func openPostgres(ctx context.Context, text string) (*pgBackend, error) {
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(text); err == nil && !u.Query().Has("pool_max_conns") {
		config.MaxConns = int32(max(16, 4*runtime.GOMAXPROCS(0)))
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	config = config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = 1, 0, 0
	own, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		pool.Close()
		return nil, err
	}
	b := &pgBackend{pool: pool, urgent: &pgBackend{pool: own}}
	b.peers.Store(true) // until it is known
	b.urgent.peers.Store(true)
	return b, nil
}

func (b *pgBackend) write(ctx context.Context, t *traced, f func(conn) error) error {
	t.shared(1)
	for tries := 1; ; tries++ {
		err := b.run(ctx, "begin", f)
		if tries == pgTries || !errors.Is(err, errSerialization) {
			return err
		}
		wait := time.Millisecond << min(tries, 6)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

func (b *pgBackend) read(ctx context.Context, f func(conn) error) error {
	return b.run(ctx, "begin isolation level repeatable read read only", f)
}

// run is one transaction. It is rolled back when f fails, panics or ends the goroutine.
func (b *pgBackend) run(ctx context.Context, begin string, f func(conn) error) error {
	c, err := b.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	t := &pgTx{conn: c.Conn(), begin: begin, peers: b.peers.Load()}
	defer t.rollback()
	if err := f(t); err != nil {
		return err
	}
	return t.commit()
}

func (b *pgBackend) close() error {
	b.urgent.pool.Close()
	b.pool.Close()
	return nil
}

// pgTx is a transaction, begun with its first statement.
type pgTx struct {
	conn  *pgx.Conn
	begin string // to be sent before the next statement
	begun bool
	peers bool
	notes []string
}

// first sends BEGIN and the query in one round trip. The caller closes the batch.
func (t *pgTx) first(ctx context.Context, query string, args []any) (pgx.BatchResults, error) {
	var b pgx.Batch
	b.Queue(t.begin)
	b.Queue(query, args...)
	t.begun = true
	r := t.conn.SendBatch(ctx, &b)
	if _, err := r.Exec(); err != nil {
		_ = r.Close()
		return nil, pgError(err)
	}
	return r, nil
}

func (t *pgTx) exec(ctx context.Context, query string, args []any) (int64, error) {
	if t.begun {
		tag, err := t.conn.Exec(ctx, query, args...)
		return tag.RowsAffected(), pgError(err)
	}
	b, err := t.first(ctx, query, args)
	if err != nil {
		return 0, err
	}
	tag, err := b.Exec()
	if err2 := b.Close(); err == nil {
		err = err2
	}
	return tag.RowsAffected(), pgError(err)
}

func (t *pgTx) execMany(ctx context.Context, query string, args [][]any) ([]int64, error) {
	if len(args) == 0 {
		return nil, nil
	}
	var b pgx.Batch
	if !t.begun {
		b.Queue(t.begin)
	}
	for _, a := range args {
		b.Queue(query, a...)
	}
	r := t.conn.SendBatch(ctx, &b)
	if !t.begun {
		t.begun = true
		if _, err := r.Exec(); err != nil {
			return nil, pgError(errors.Join(err, r.Close()))
		}
	}
	changed := make([]int64, len(args))
	for i := range args {
		tag, err := r.Exec()
		if err != nil {
			return nil, pgError(errors.Join(err, r.Close()))
		}
		changed[i] = tag.RowsAffected()
	}
	return changed, pgError(r.Close())
}

func (t *pgTx) query(ctx context.Context, query string, args []any) (rows, error) {
	if t.begun {
		r, err := t.conn.Query(ctx, query, args...)
		if err != nil {
			return nil, pgError(err)
		}
		return &pgRows{Rows: r}, nil
	}
	b, err := t.first(ctx, query, args)
	if err != nil {
		return nil, err
	}
	r, err := b.Query()
	if err != nil {
		_ = b.Close()
		return nil, pgError(err)
	}
	return &pgRows{Rows: r, batch: b}, nil
}

// send keeps the notifications for the commit. When there is no other node they are not
// sent: PostgreSQL lets only one transaction with notifications commit at a time.
func (t *pgTx) send(node string, notes []note) {
	if !t.peers {
		return
	}
	for _, n := range notes {
		t.notes = append(t.notes, node+" "+n.channel+" "+n.payload)
	}
}

// commit is never cancelled, so that its outcome is known. Notifications travel with it.
func (t *pgTx) commit() error {
	if !t.begun && len(t.notes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), pgPatient)
	defer cancel()
	if len(t.notes) == 0 {
		t.begun = false
		tag, err := t.conn.Exec(ctx, "commit")
		return committed(tag, err)
	}
	var b pgx.Batch
	b.Queue("SELECT pg_notify($1, note) FROM unnest($2::text[]) AS note", pgChannel, t.notes)
	b.Queue("commit")
	r := t.conn.SendBatch(ctx, &b)
	_, err := r.Exec()
	if err != nil {
		return errors.Join(committed(pgconn.CommandTag{}, err), r.Close())
	}
	t.begun = false
	tag, err := r.Exec()
	if err2 := r.Close(); err == nil {
		err = err2
	}
	return committed(tag, err)
}

// committed tells a commit from the rollback PostgreSQL makes of it after a failed
// statement.
func committed(tag pgconn.CommandTag, err error) error {
	if err == nil && tag.String() == "ROLLBACK" {
		return pgx.ErrTxCommitRollback
	}
	return pgError(err)
}

// rollback ends the transaction if it is open.
func (t *pgTx) rollback() {
	if !t.begun || t.conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), pgPatient)
	defer cancel()
	_, _ = t.conn.Exec(ctx, "rollback") // if it fails the pool drops the connection
}

type pgRows struct {
	pgx.Rows
	batch pgx.BatchResults
}

func (r *pgRows) Scan(dest ...any) error { return pgError(r.Rows.Scan(dest...)) }

func (r *pgRows) Err() error { return pgError(r.Rows.Err()) }

func (r *pgRows) Close() error {
	r.Rows.Close()
	if r.batch == nil {
		return nil
	}
	return r.batch.Close()
}

// pgError translates the errors that rooms or the store act on.
func pgError(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch {
	case e.Code == "23505":
		return fmt.Errorf("%w: %w", ErrUnique, err)
	case e.Code == "40001", e.Code == "40P01", // serialization failure, deadlock
		e.Code == "0A000" && strings.Contains(e.Message, "cached plan"): // another node migrated
		return fmt.Errorf("%w: %w", errSerialization, err)
	}
	return err
}

// pgListener is a connection that receives notifications, outside the pool.
type pgListener struct{ conn *pgx.Conn }

func (b *pgBackend) listener(ctx context.Context) (*pgListener, error) {
	ctx, cancel := context.WithTimeout(ctx, pgPatient)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, b.pool.Config().ConnConfig)
	if err != nil {
		return nil, err
	}
	if _, err := c.Exec(ctx, "LISTEN "+pgChannel); err != nil {
		_ = c.Close(ctx)
		return nil, err
	}
	return &pgListener{c}, nil
}

// receive calls hear for each notification until ctx ends or the connection breaks.
func (b *pgBackend) receive(ctx context.Context, l *pgListener, hear func(*pgBackend, string)) error {
	if l == nil {
		return ctx.Err()
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = l.conn.Close(ctx)
	}()
	for {
		n, err := l.conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		hear(b, n.Payload)
	}
}
