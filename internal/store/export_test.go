package store

import (
	"context"
	"errors"
	"time"
)

// Commits is how many transactions an SQLite store committed.
func (db *DB) Commits() uint64 { return db.backend.(*sqliteBackend).writer.commits.Load() }

// LogLimit makes an SQLite store begin its log anew at so many pages.
func (db *DB) LogLimit(pages int64) { db.backend.(*sqliteBackend).check.limit.Store(pages) }

// Lapse makes the node's number one that could not be renewed in time.
func (db *DB) Lapse() { db.keys.renewed(db.keys.state().term, time.Now()) }

// Renew is what the keep-alive does from time to time.
func (db *DB) Renew(ctx context.Context) error { return db.renew(ctx) }

// NodeNumber is this node's part of keys.
func (db *DB) NodeNumber() int { return db.keys.state().number }

// MigrationNames are the names of all migrations.
func MigrationNames() []string { return migrationNames() }

// MakeAt gives an empty database the tables of the version with these migrations, and rows.
func MakeAt(ctx context.Context, url string, names []string, rows func(*Tx) error) error {
	db, err := connect(ctx, url, Options{})
	if err != nil {
		return err
	}
	err = db.writeOnce(ctx, db.backend, nil, func(tx *Tx) error {
		if err := migrateTo(tx, names); err != nil {
			return err
		}
		return rows(tx)
	})
	return errors.Join(err, db.disconnect())
}

// Tables are the names of a database's tables, without opening it as a node does.
func Tables(ctx context.Context, url string) (names []string, err error) {
	db, err := connect(ctx, url, Options{})
	if err != nil {
		return nil, err
	}
	err = db.Read(ctx, func(tx *Tx) error {
		names, err = tableNames(tx)
		return err
	})
	return names, errors.Join(err, db.disconnect())
}

// Waiting is how many calls wait for their batch.
func (b *Batcher[In, Out]) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}
