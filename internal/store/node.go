package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"
)

// A node renews its row often, stops making keys when it could not for a while, and is
// dead for the others some time after that. On SQLite, where there is no other node, the
// row needs no renewal.
const (
	nodeRenew = 3 * time.Second
	nodeLapse = 10 * time.Second
	nodeLife  = 20 * time.Second
	nodeCount = 1 << nodeBits
)

// errLapsed fails a transaction whose keys may be another node's by now. It is run again.
var errLapsed = errors.New("the node's number lapsed")

// Node is the id of this open database handle, unique among all handles that ever were.
// Table node has its row while it is open and reaches its database; when the row was gone
// for lack of renewal, it comes back under the same id.
func (db *DB) Node() string { return db.node }

// Lease takes or renews the named lease until ttl from now, in wall time, and tells
// whether this node holds it. A node that stops renewing in time loses it to the first
// other node that asks.
func (db *DB) Lease(ctx context.Context, name string, ttl time.Duration) (held bool, err error) {
	if !db.enter() {
		return false, errClosed
	}
	defer db.work.Done()
	err = db.urgently(ctx, func(tx *Tx) error {
		now, err := tx.wall()
		if err != nil {
			return err
		}
		n, err := tx.Exec(`
			INSERT INTO lease (name, holder, expires_at) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
			WHERE lease.holder = excluded.holder OR lease.expires_at <= $4`,
			name, db.node, now+ttl.Milliseconds(), now)
		held = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("lease %s: %w", name, err)
	}
	return held, nil
}

// wall is the wall clock in epoch milliseconds, the same one for all nodes: on PostgreSQL
// the server's.
func (tx *Tx) wall() (ms int64, err error) {
	if tx.db.dialect == SQLite {
		return time.Now().UnixMilli(), nil
	}
	err = tx.QueryRow(`SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)`).Scan(&ms)
	return ms, err
}

func newNodeID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return "node-" + hex.EncodeToString(b[:])
}

// join takes the least free node number, unless this node has one that is good.
func (db *DB) join(ctx context.Context) error {
	db.joining.Lock()
	defer db.joining.Unlock()
	if db.keys.state().good {
		return nil
	}
	for tries := 1; ; tries++ {
		var number int
		var upto int64
		asked := time.Now()
		err := db.urgently(ctx, func(tx *Tx) (err error) {
			number, upto, err = db.take(tx)
			return err
		})
		if errors.Is(err, ErrUnique) && tries < 20 {
			continue // another node took that number just now
		}
		if err != nil {
			return err
		}
		db.keys.begin(number, upto, db.lapse(asked))
		return nil
	}
}

func (db *DB) lapse(asked time.Time) time.Time {
	if db.dialect == SQLite {
		return time.Time{}
	}
	return asked.Add(nodeLapse)
}

func (db *DB) expiry(now int64) int64 {
	if db.dialect == SQLite {
		return math.MaxInt64
	}
	return now + nodeLife.Milliseconds()
}

// take writes this node's row and returns its number, and how far that number's keys reach.
func (db *DB) take(tx *Tx) (number int, upto int64, err error) {
	now, err := tx.wall()
	if err != nil {
		return 0, 0, err
	}
	dead := `DELETE FROM node WHERE expires_at <= $1 OR id = $2`
	if db.dialect == SQLite {
		dead = `DELETE FROM node WHERE $1 > 0 OR id = $2` // all: nobody else has this file open
	}
	if _, err := tx.Exec(dead, now, db.node); err != nil {
		return 0, 0, err
	}
	taken, err := numbers(tx)
	if err != nil {
		return 0, 0, err
	}
	for taken[number] {
		number++
	}
	if number == nodeCount {
		return 0, 0, fmt.Errorf("all %d node numbers are taken", nodeCount)
	}
	if _, err := tx.Exec(`INSERT INTO node (id, number, expires_at) VALUES ($1, $2, $3)`,
		db.node, number, db.expiry(now)); err != nil {
		return 0, 0, err
	}
	if _, err := tx.Exec(`INSERT INTO node_number (number, upto) VALUES ($1, 0) ON CONFLICT (number) DO NOTHING`, number); err != nil {
		return 0, 0, err
	}
	err = tx.QueryRow(`SELECT upto FROM node_number WHERE number = $1`, number).Scan(&upto)
	tx.Notify(joined, db.node)
	return number, upto, err
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

// reserve makes sure that no other owner of this node's number, now or after a restart,
// makes the keys that tx made: that the number is still ours, and that node_number, with
// this very commit, reaches beyond them.
func (db *DB) reserve(tx *Tx) error {
	if !tx.keys {
		return nil
	}
	k := db.keys.state()
	if !k.good || k.term != tx.term {
		return errLapsed
	}
	ms := int64(tx.last >> (nodeBits + counterBits))
	if ms <= k.upto {
		return nil
	}
	tx.upto = ms + keyAhead
	n, err := tx.Exec(`
		UPDATE node_number SET upto = CASE WHEN upto < $2 THEN $2 ELSE upto END
		WHERE number = $1 AND EXISTS (SELECT 1 FROM node WHERE id = $3 AND number = $1)`, k.number, tx.upto, db.node)
	if err == nil && n == 0 {
		err = errLapsed
	}
	return err
}

// leave removes this node's row, and gives back the keys it reserved and did not make.
func (db *DB) leave() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(db.life), nodeRenew)
	defer cancel()
	k := db.keys.state()
	err := db.urgently(ctx, func(tx *Tx) error {
		n, err := tx.Exec(`DELETE FROM node WHERE id = $1 AND number = $2`, db.node, k.number)
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(`UPDATE node_number SET upto = $2 WHERE number = $1 AND upto > $2`,
			k.number, int64(k.last>>counterBits))
		return err
	})
	if err != nil {
		return fmt.Errorf("leave store: %w", err)
	}
	return nil
}

// keepAlive renews this node's row and removes those of the dead until the DB closes.
func (db *DB) keepAlive() {
	tick := time.NewTicker(nodeRenew)
	defer tick.Stop()
	for {
		select {
		case <-db.life.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(db.life, nodeRenew)
		err := db.renew(ctx)
		cancel()
		if err != nil && db.life.Err() == nil {
			db.opts.Logger.Warn("node not renewed", "node", db.node, "error", err)
		}
	}
}

// renew keeps this node's number, or takes another when it was lost.
func (db *DB) renew(ctx context.Context) error {
	k := db.keys.state()
	if !k.good {
		return db.join(ctx)
	}
	asked := time.Now()
	var alive, nodes int64
	err := db.urgently(ctx, func(tx *Tx) error {
		now, err := tx.wall()
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM node WHERE expires_at <= $1`, now); err != nil {
			return err
		}
		alive, err = tx.Exec(`UPDATE node SET expires_at = $3 WHERE id = $1 AND number = $2`, db.node, k.number, db.expiry(now))
		if err != nil {
			return err
		}
		return tx.QueryRow(`SELECT COUNT(*) FROM node`).Scan(&nodes)
	})
	if err != nil {
		return err
	}
	if alive == 0 {
		db.opts.Logger.Warn("this node was thought dead", "node", db.node)
		db.keys.renewed(k.term, asked)
		return db.join(ctx)
	}
	db.keys.renewed(k.term, db.lapse(asked))
	if b, ok := db.backend.(*pgBackend); ok {
		b.peers.Store(nodes > 1)
	}
	return nil
}
