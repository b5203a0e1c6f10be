package placement

import (
	"errors"

	"github.com/matchyard/matchyard/internal/store"
)

// overdue are pending placements whose deadline has come, the first first.
func overdue(tx *store.Tx, now int64, most int) ([]placement, error) {
	return scanPlacements(tx.Query(`SELECT `+placementColumns+` FROM placement p
		WHERE p.deadline <= $1 AND p.status = 1 ORDER BY p.deadline, p.key LIMIT $2`, now, most))
}

// pendingOf are pending placements of a queue. Those of other queues are passed over, which
// is done only when a queue is deleted.
func pendingOf(tx *store.Tx, queue store.Key, most int) ([]placement, error) {
	return scanPlacements(tx.Query(`SELECT `+placementColumns+` FROM placement p
		WHERE p.deadline > 0 AND p.queue = $1 AND p.status = 1 ORDER BY p.deadline, p.key LIMIT $2`, queue, most))
}

// stillPending locks those of the placements that are pending, in the order of their keys.
func stillPending(tx *store.Tx, keys []int64) ([]placement, error) {
	return scanPlacements(tx.Query(`SELECT `+placementColumns+` FROM placement p
		WHERE `+tx.In("p.key", 1)+` AND p.status = 1 ORDER BY p.key`+tx.ForUpdate(), store.List(tx, keys)))
}

// relaxing locks waiting placements whose latency policy changes. Those that another
// transaction works on are left to it, or to the next sweep.
func relaxing(tx *store.Tx, now int64, most int) ([]placement, error) {
	lock := tx.ForUpdate()
	if lock != "" {
		lock += " SKIP LOCKED"
	}
	return scanPlacements(tx.Query(`SELECT `+placementColumns+` FROM placement p
		WHERE p.step_at <= $1 AND p.status = 1 AND p.game IS NULL ORDER BY p.step_at, p.key LIMIT $2`+lock, now, most))
}

// stepDue tells whether a latency policy changes for somebody.
func stepDue(tx *store.Tx) (bool, error) {
	err := tx.QueryRow(`SELECT key FROM placement WHERE step_at <= $1 ORDER BY step_at, key LIMIT 1`, tx.NowMs()).Scan(new(int64))
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// saveSteps writes when latency policies change next, of rows of a key and an instant.
func saveSteps(tx *store.Tx, rows [][]any) error {
	_, err := tx.ExecMany(`UPDATE placement SET step_at = $2 WHERE key = $1`, rows)
	return err
}

// forget removes placements that ended long ago, some at a time.
func forget(tx *store.Tx, before int64) (more bool, err error) {
	keys, err := store.Column[store.Key](tx.Query(`SELECT key FROM placement WHERE ended_at <= $1 ORDER BY ended_at, key LIMIT $2`, before, sweepBatch))
	if err != nil || len(keys) == 0 {
		return false, err
	}
	list := make([]int64, len(keys))
	for i, k := range keys {
		list[i] = int64(k)
	}
	if _, err := tx.Exec(`DELETE FROM placement_text WHERE `+tx.In("placement", 1), store.List(tx, list)); err != nil {
		return false, err
	}
	_, err = tx.Exec(`DELETE FROM placement WHERE `+tx.In("key", 1), store.List(tx, list))
	return len(keys) == sweepBatch, err
}

// nextInstants are the first deadline or step there is, and the first end that is kept.
func nextInstants(tx *store.Tx) (next, ended *int64, err error) {
	err = tx.QueryRow(`SELECT min(at) FROM (
		SELECT min(deadline) AS at FROM placement WHERE deadline IS NOT NULL
		UNION ALL SELECT min(step_at) FROM placement WHERE step_at IS NOT NULL) d`).Scan(&next)
	if err != nil {
		return nil, nil, err
	}
	err = tx.QueryRow(`SELECT min(ended_at) FROM placement WHERE ended_at IS NOT NULL`).Scan(&ended)
	return next, ended, err
}
