package store

import (
	"context"
	"time"
)

// State is how a database and its nodes are.
type State struct {
	Dialect Dialect
	Node    string // this one
	Bytes   int64  // of the whole database
	Nodes   []NodeState
	Leases  []LeaseState
}

// NodeState is a node of a database.
type NodeState struct {
	ID     string
	Number int64
	Alive  bool
}

// LeaseState is a lease and the node that holds it.
type LeaseState struct {
	Name, Holder string
	Expires      time.Time // wall time
}

// State looks at the database and at its nodes.
func (db *DB) State(ctx context.Context) (st State, err error) {
	err = db.Read(ctx, func(tx *Tx) error {
		st = State{Dialect: db.dialect, Node: db.node}
		size := `SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`
		if db.dialect == Postgres {
			size = `SELECT pg_database_size(current_database())`
		}
		if err := tx.QueryRow(size).Scan(&st.Bytes); err != nil {
			return err
		}
		now, err := tx.wall()
		if err != nil {
			return err
		}
		if st.Nodes, err = nodeStates(tx, now); err != nil {
			return err
		}
		st.Leases, err = leaseStates(tx)
		return err
	})
	return st, err
}

func nodeStates(tx *Tx, now int64) (list []NodeState, err error) {
	rows, err := tx.Query(`SELECT id, number, expires_at FROM node ORDER BY number`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n NodeState
		var expires int64
		if err := rows.Scan(&n.ID, &n.Number, &expires); err != nil {
			return nil, err
		}
		n.Alive = expires > now
		list = append(list, n)
	}
	return list, rows.Err()
}

func leaseStates(tx *Tx) (list []LeaseState, err error) {
	rows, err := tx.Query(`SELECT name, holder, expires_at FROM lease ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var l LeaseState
		var expires int64
		if err := rows.Scan(&l.Name, &l.Holder, &expires); err != nil {
			return nil, err
		}
		l.Expires = time.UnixMilli(expires).UTC()
		list = append(list, l)
	}
	return list, rows.Err()
}
