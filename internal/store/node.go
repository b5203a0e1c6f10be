package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

const (
	nodeLife  = 15 * time.Second // a node that has not been heard of for so long is dead
	nodeRenew = 3 * time.Second
	nodeCount = 1 << nodeBits
)

// Node is the id of this open database handle, unique among all handles that ever were.
// While it is open, and its database reachable, the table node has its row.
func (db *DB) Node() string { return db.node }

// Lease takes or renews the named lease until ttl from now, in wall time, and tells
// whether this node holds it.
func (db *DB) Lease(ctx context.Context, name string, ttl time.Duration) (held bool, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		now := time.Now()
		n, err := tx.Exec(`
			INSERT INTO lease (name, holder, expires_at) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
			WHERE lease.holder = excluded.holder OR lease.expires_at <= $4`,
			name, db.node, now.Add(ttl).UnixMilli(), now.UnixMilli())
		held = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("lease %s: %w", name, err)
	}
	return held, nil
}

func newNodeID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return "node-" + hex.EncodeToString(b[:])
}

// join takes the least free node number.
func (db *DB) join(ctx context.Context) error {
	for {
		err := db.Write(ctx, func(tx *Tx) error {
			now := time.Now()
			if _, err := tx.Exec(`DELETE FROM node WHERE expires_at <= $1`, now.UnixMilli()); err != nil {
				return err
			}
			taken, err := numbers(tx)
			if err != nil {
				return err
			}
			number := 0
			for taken[number] {
				number++
			}
			if number == nodeCount {
				return fmt.Errorf("all %d node numbers are taken", nodeCount)
			}
			db.number.Store(int64(number))
			_, err = tx.Exec(`INSERT INTO node (id, number, expires_at) VALUES ($1, $2, $3)`,
				db.node, number, now.Add(nodeLife).UnixMilli())
			return err
		})
		if !errors.Is(err, ErrUnique) {
			return err
		}
	}
}

func numbers(tx *Tx) (map[int]bool, error) {
	rows, err := tx.Query(`SELECT number FROM node ORDER BY number`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	taken := map[int]bool{}
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		taken[n] = true
	}
	return taken, rows.Err()
}

func (db *DB) leave() error {
	return db.Write(context.WithoutCancel(db.ctx), func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM node WHERE id = $1`, db.node)
		return err
	})
}

// keepAlive renews this node's row and removes those of the dead until the DB closes.
func (db *DB) keepAlive() {
	tick := time.NewTicker(nodeRenew)
	defer tick.Stop()
	for {
		select {
		case <-db.ctx.Done():
			return
		case <-tick.C:
		}
		if err := db.renew(db.ctx); err != nil && db.ctx.Err() == nil {
			db.opts.Logger.Warn("node not renewed", "node", db.node, "error", err)
		}
	}
}

func (db *DB) renew(ctx context.Context) error {
	return db.Write(ctx, func(tx *Tx) error {
		now := time.Now()
		if _, err := tx.Exec(`UPDATE node SET expires_at = $2 WHERE id = $1`, db.node, now.Add(nodeLife).UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM node WHERE expires_at <= $1`, now.UnixMilli())
		return err
	})
}
