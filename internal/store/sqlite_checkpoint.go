package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	checkPages = 32768 // the log is copied back and begun anew when it has so many pages: 128 MiB
	checkNear  = 2048  // few enough pages to copy while writers wait
	checkEvery = 100 * time.Millisecond
	checkIdle  = 3 * time.Second // a database nobody writes to is copied back after so long
)

// sqliteCheckpointer copies the write-ahead log back to the database beside the writer,
// on a connection of its own. The log can only begin anew when it is copied back entirely
// and nobody reads from it, which under load never happens by itself: so the last few
// pages are copied on the writer's goroutine, between two commits.
type sqliteCheckpointer struct {
	conn   *sqliteConn
	writer *sqliteWriter
	logger *slog.Logger
	limit  atomic.Int64 // checkPages, but in tests
	stop   chan struct{}
	ended  chan struct{}
}

func startSQLiteCheckpointer(c *sqliteConn, w *sqliteWriter, logger *slog.Logger) *sqliteCheckpointer {
	k := &sqliteCheckpointer{conn: c, writer: w, logger: logger, stop: make(chan struct{}), ended: make(chan struct{})}
	k.limit.Store(checkPages)
	go k.run()
	return k
}

func (k *sqliteCheckpointer) close() error {
	close(k.stop)
	<-k.ended
	return k.conn.close()
}

func (k *sqliteCheckpointer) run() {
	defer close(k.ended)
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var seen uint64 // commits looked at
	var at time.Time
	clean := true // nothing was written since the log was copied back
	for {
		select {
		case <-k.stop:
			return
		case now := <-tick.C:
			if n := k.writer.commits.Load(); n != seen {
				seen, at, clean = n, now, false
			} else if clean || now.Sub(at) < checkIdle {
				continue
			}
			idle := now.Sub(at) >= checkIdle
			if err := k.look(idle); err != nil {
				k.logger.Warn("checkpoint failed", "error", err)
				tick.Reset(checkIdle)
				continue
			}
			tick.Reset(checkEvery)
			clean = idle
		}
	}
}

// look copies the log back when it is long, or when nobody writes.
func (k *sqliteCheckpointer) look(idle bool) error {
	l, err := checkpoint(k.conn, "NOOP")
	if err != nil {
		return err
	}
	if idle {
		_, err = checkpoint(k.conn, "PASSIVE")
		return err
	}
	if l.pages < k.limit.Load() {
		return nil
	}
	for range 5 {
		if l, err = checkpoint(k.conn, "PASSIVE"); err != nil {
			return err
		}
		if l.pages-l.copied < checkNear {
			break
		}
	}
	k.writer.between(func() { err = restart(k.writer.conn) })
	return err
}

// restart makes the next commit begin the log anew. It waits a moment for those who read
// from the log; when they read on, it is tried again.
func restart(c *sqliteConn) error {
	if _, err := checkpoint(c, "PASSIVE"); err != nil {
		return err
	}
	if _, err := pragma(c, "PRAGMA busy_timeout(20)"); err != nil {
		return err
	}
	_, err := checkpoint(c, "RESTART")
	_, err2 := pragma(c, "PRAGMA busy_timeout(5000)")
	return errors.Join(err, err2)
}

// walState is how many pages the log has and how many of them are copied back.
type walState struct{ pages, copied int64 }

func checkpoint(c *sqliteConn, mode string) (walState, error) {
	row, err := pragma(c, "PRAGMA wal_checkpoint("+mode+")")
	if err != nil {
		return walState{}, err
	}
	pages, _ := row[1].(int64)
	copied, _ := row[2].(int64)
	return walState{pages, copied}, nil
}

// pragma runs a pragma and returns its first row.
func pragma(c *sqliteConn, text string) ([]driver.Value, error) {
	s, err := c.prepare(text)
	if err != nil {
		return nil, err
	}
	r, err := s.QueryContext(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	row := make([]driver.Value, len(r.Columns()))
	if err = r.Next(row); err == io.EOF { //nolint:errorlint // the driver returns it bare
		err = nil
	}
	return row, errors.Join(err, r.Close())
}
