package access

import (
	"context"
	"encoding/json"

	"github.com/matchyard/matchyard/internal/store"
)

// Recent returns up to limit entries before a number, newest first; before 0 means from the
// newest on.
func (a *Audit) Recent(ctx context.Context, before int64, limit int) (list []Logged, err error) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	err = a.DB.Read(ctx, func(tx *store.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT seq, entry FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2`, before, int64(limit))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l Logged
			var text string
			if err := rows.Scan(&l.Seq, &text); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(text), &l.Entry); err != nil {
				return err
			}
			list = append(list, l)
		}
		return rows.Err()
	})
	return list, err
}
