package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"modernc.org/sqlite"
)

// What every connection is set to. Checkpoints are ours: see sqlite_checkpoint.go. Mapping
// the file to memory was tried and made pages no faster, beside a writer slower.
const sqlitePragmas = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)" +
	"&_pragma=wal_autocheckpoint(0)&_pragma=temp_store(MEMORY)"

// sqliteBackend is an SQLite file, opened by this process alone: one connection that
// writes, some that read, one that checkpoints.
type sqliteBackend struct {
	writer  *sqliteWriter
	readers sqlitePool
	check   *sqliteCheckpointer
	lock    *os.File
	temp    string // folder to remove at the end
}

func openSQLite(path string, logger *slog.Logger) (_ *sqliteBackend, err error) {
	b := &sqliteBackend{}
	defer func() {
		if err != nil {
			_ = b.unlock()
		}
	}()
	sync := "&_pragma=synchronous(FULL)"
	if path == ":memory:" {
		if b.temp, err = os.MkdirTemp("", "matchyard-"); err != nil {
			return nil, err
		}
		path, sync = filepath.Join(b.temp, "db"), "&_pragma=synchronous(OFF)" // nothing of it outlives us
	}
	if err := b.prepare(path); err != nil {
		return nil, err
	}
	// Half the time of fsync where it exists, and no less durable; an error says that it
	// does not exist.
	_, _ = sqlite.Fdatasync(true)
	dsn := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + sqlitePragmas + sync
	w, err := connectSQLite(dsn + "&_pragma=cache_size(-65536)&_pragma=journal_size_limit(268435456)")
	if err != nil {
		return nil, err
	}
	w.shared = true
	b.readers.dsn = dsn + "&_pragma=cache_size(-16384)&_pragma=query_only(1)"
	b.readers.slots = make(chan *sqliteConn, max(4, 2*runtime.GOMAXPROCS(0)))
	for range cap(b.readers.slots) {
		b.readers.slots <- nil
	}
	c, err := connectSQLite(dsn)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	b.writer = startSQLiteWriter(w, logger)
	b.check = startSQLiteCheckpointer(c, b.writer, logger)
	return b, nil
}

// prepare makes the folder and the file, readable by the owner alone, and locks it against
// other processes.
func (b *sqliteBackend) prepare(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	b.lock, err = os.OpenFile(resolved+"-lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := lockFile(b.lock); err != nil {
		return fmt.Errorf("%s is in use by another server (%w); an SQLite store serves one process, PostgreSQL many", path, err)
	}
	return nil
}

func (b *sqliteBackend) write(ctx context.Context, t *traced, f func(conn) error) error {
	return b.writer.write(ctx, t, f)
}

func (b *sqliteBackend) read(ctx context.Context, f func(conn) error) error {
	c, err := b.readers.get(ctx)
	if err != nil {
		return err
	}
	defer b.readers.put(c)
	c.failed = nil
	if err := c.do("BEGIN"); err != nil {
		return err
	}
	defer func() {
		c.closeRows()
		_ = c.do("COMMIT") // there is nothing to lose
	}()
	return f(c)
}

// close finishes what is under way.
func (b *sqliteBackend) close() error {
	errs := []error{b.readers.close()}
	errs = append(errs, b.check.close())
	b.writer.close()
	errs = append(errs, b.writer.conn.close(), b.unlock()) // the last connection checkpoints and removes the log
	return errors.Join(errs...)
}

func (b *sqliteBackend) unlock() error {
	var err error
	if b.lock != nil {
		err = b.lock.Close()
	}
	if b.temp != "" {
		err = errors.Join(err, os.RemoveAll(b.temp))
	}
	return err
}

// sqlitePool lends connections that read. An empty slot is a connection not yet made.
type sqlitePool struct {
	dsn   string
	slots chan *sqliteConn
	done  sync.Once
}

func (p *sqlitePool) get(ctx context.Context) (*sqliteConn, error) {
	select {
	case c := <-p.slots:
		if c != nil {
			return c, nil
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := connectSQLite(p.dsn)
	if err != nil {
		p.slots <- nil
		return nil, err
	}
	return c, nil
}

func (p *sqlitePool) put(c *sqliteConn) { p.slots <- c }

// close waits for all that were lent.
func (p *sqlitePool) close() error {
	var errs []error
	p.done.Do(func() {
		for range cap(p.slots) {
			if c := <-p.slots; c != nil {
				errs = append(errs, c.close())
			}
		}
	})
	return errors.Join(errs...)
}
