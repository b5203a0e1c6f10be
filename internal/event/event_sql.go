package event

import (
	"github.com/matchyard/matchyard/internal/store"
)

// insert adds rows of sink, key, ord, id, type, order_key, target, body and created_at. The
// place in the order is not the key: clocks of nodes differ, and so do their keys.
func insert(tx *store.Tx, rows [][]any) error {
	const query = `
		INSERT INTO event (sink, key, ord, seq, id, type, order_key, target, body, created_at, due_at, tries)
		VALUES ($1, $2, $3, COALESCE((SELECT MAX(seq) FROM event WHERE sink = $1 AND ord = $3), 0) + 1, $4, $5, $6, $7, $8, $9, $9, 0)`
	switch len(rows) {
	case 0:
		return nil
	case 1:
		_, err := tx.Exec(query, rows[0]...)
		return err
	}
	_, err := tx.ExecMany(query, rows)
	return err
}
