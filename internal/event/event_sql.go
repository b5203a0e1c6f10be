package event

import (
	"cmp"
	"errors"
	"time"

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

// heads are the first events of their orders that are due.
func heads(tx *store.Tx, sink string, most int, lock string) ([]Entry, error) {
	rows, err := tx.Query(`
		SELECT e.key, e.id, e.type, e.order_key, e.target, e.body, e.created_at, e.tries, e.tried_at
		FROM event e
		WHERE e.sink = $1 AND e.due_at <= $2
			AND NOT EXISTS (SELECT 1 FROM event p WHERE p.sink = e.sink AND p.ord = e.ord AND (p.seq, p.key) < (e.seq, e.key))
		ORDER BY e.due_at, e.key LIMIT $3`+lock, sink, tx.NowMs(), most)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Entry
	for rows.Next() {
		e := Entry{Ref: Ref{Sink: sink}}
		var created int64
		var tried *int64
		if err := rows.Scan(&e.Key, &e.ID, &e.Type, &e.Order, &e.Target, &e.Body, &created, &e.Tries, &tried); err != nil {
			return nil, err
		}
		e.CreatedAt, e.TriedAt = stamp(&created), stamp(tried)
		all = append(all, e)
	}
	return all, rows.Err()
}

func stamp(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

func nextDue(tx *store.Tx, sink string) (ms *int64, err error) {
	err = tx.QueryRow(`SELECT MIN(due_at) FROM event WHERE sink = $1 AND due_at > $2`, sink, tx.NowMs()).Scan(&ms)
	return ms, err
}

// oldest goes by the order of the keys, which is that of creation but for the difference of
// the nodes' clocks.
func oldest(tx *store.Tx, sink string) (ms *int64, err error) {
	var at int64
	err = tx.QueryRow(`SELECT created_at FROM event WHERE sink = $1 ORDER BY key LIMIT 1`, sink).Scan(&at)
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is none
	}
	return &at, err
}

func remove(tx *store.Tx, refs []Ref) error {
	args := make([][]any, len(refs))
	for i, r := range refs {
		args[i] = []any{r.Sink, r.Key}
	}
	_, err := tx.ExecMany(`DELETE FROM event WHERE sink = $1 AND key = $2`, args)
	return err
}

func holdBack(tx *store.Tx, f Failure) error {
	_, err := tx.Exec(`UPDATE event SET due_at = $3, tries = tries + 1, tried_at = COALESCE(tried_at, $4), error = $5
		WHERE sink = $1 AND key = $2`, f.Sink, f.Key, f.Until.UnixMilli(), tx.NowMs(), f.Reason)
	return err
}

// moved are the columns that an event takes along when it is given up and when it comes back.
const moved = `sink, key, ord, seq, id, type, order_key, target, body, created_at, tries, tried_at`

// bury moves events of a sink appended at or before an instant among the dead: the one with
// that key, or the oldest.
func bury(tx *store.Tx, sink string, before int64, reason string, only *store.Key, most int) (int, error) {
	which, args := `key IN (SELECT key FROM event WHERE sink = $1 AND created_at <= $2 ORDER BY key LIMIT $3)`, []any{sink, before, most}
	if only != nil {
		which, args = `key = $3 AND created_at <= $2`, []any{sink, before, *only}
	}
	return move(tx, `DELETE FROM event WHERE sink = $1 AND `+which+` RETURNING `+moved+`, COALESCE(error, '')`, args,
		`INSERT INTO event_dead (`+moved+`, error, dead_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		func(row []any, lastError string) []any { return append(row, cmp.Or(lastError, reason), tx.NowMs()) })
}

// replay moves dead events back on their way: the one of that id, or the oldest of the sink.
// They begin anew, so that they are not given up at once for their age.
func replay(tx *store.Tx, sink, id string, most int) (int, error) {
	which, args := `key IN (SELECT key FROM event_dead WHERE sink = $1 ORDER BY key LIMIT $2)`, []any{sink, most}
	if id != "" {
		which, args = `id = $2`, []any{sink, id}
	}
	return move(tx, `DELETE FROM event_dead WHERE sink = $1 AND `+which+` RETURNING `+moved+`, error`, args,
		`INSERT INTO event (`+moved+`, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		func(row []any, _ string) []any {
			return append(append(row[:9:9], tx.NowMs(), 0, nil), tx.NowMs())
		})
}

// move inserts what becomes of the rows that a DELETE returns, of the columns moved and the
// last error.
func move(tx *store.Tx, del string, args []any, insert string, become func(row []any, lastError string) []any) (int, error) {
	rows, err := tx.Query(del, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var all [][]any
	for rows.Next() {
		var sink, id, eventType, order, target, body, last string
		var key, ord, seq, created, tries int64
		var tried *int64
		if err := rows.Scan(&sink, &key, &ord, &seq, &id, &eventType, &order, &target, &body, &created, &tries, &tried, &last); err != nil {
			return 0, err
		}
		all = append(all, become([]any{sink, key, ord, seq, id, eventType, order, target, body, created, tries, tried}, last))
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	rows.Close()
	return len(all), tx.InsertMany(insert, all)
}

func listDead(tx *store.Tx, sink string, after *Ref, most int) ([]Dead, error) {
	from := Ref{Key: -1}
	if after != nil {
		from = *after
	}
	rows, err := tx.Query(`
		SELECT sink, key, id, type, order_key, target, body, created_at, tries, tried_at, error, dead_at
		FROM event_dead WHERE ($1 = '' OR sink = $1) AND (sink, key) > ($2, $3)
		ORDER BY sink, key LIMIT $4`, sink, from.Sink, from.Key, most)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Dead
	for rows.Next() {
		var d Dead
		var created, dead int64
		var tried *int64
		if err := rows.Scan(&d.Sink, &d.Key, &d.ID, &d.Type, &d.Order, &d.Target, &d.Body, &created, &d.Tries, &tried, &d.Reason, &dead); err != nil {
			return nil, err
		}
		d.CreatedAt, d.TriedAt, d.DeadAt = stamp(&created), stamp(tried), stamp(&dead)
		all = append(all, d)
	}
	return all, rows.Err()
}

func counts(tx *store.Tx, query string) (map[string]int64, error) {
	rows, err := tx.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	count := map[string]int64{}
	for rows.Next() {
		var sink string
		var n int64
		if err := rows.Scan(&sink, &n); err != nil {
			return nil, err
		}
		count[sink] = n
	}
	return count, rows.Err()
}

// orphans goes from sink to sink, of which there are few, and not through all events.
func orphans(tx *store.Tx) (sinks []string, err error) {
	for last := ""; ; {
		var next *string
		if err := tx.QueryRow(`SELECT MIN(sink) FROM event WHERE sink > $1`, last).Scan(&next); err != nil || next == nil {
			return sinks, err
		}
		last = *next
		var nodes int64
		if err := tx.QueryRow(`SELECT COUNT(*) FROM event_sink WHERE sink = $1 AND node IN (SELECT id FROM node)`, last).Scan(&nodes); err != nil {
			return nil, err
		}
		if nodes == 0 {
			sinks = append(sinks, last)
		}
	}
}

func removeDead(tx *store.Tx, before int64, most int) (int64, error) {
	return tx.Exec(`DELETE FROM event_dead WHERE (sink, key) IN
		(SELECT sink, key FROM event_dead WHERE dead_at <= $1 ORDER BY dead_at, sink, key LIMIT $2)`, before, most)
}
