package store

import (
	"context"
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
