package placement

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/matchyard/matchyard/internal/store"
)

const queueColumns = `key, name, timeout, custom, target, detail, deleted_at`

func scanQueue(row store.Scanner) (queue, error) {
	var q queue
	var text string
	var deleted *int64
	if err := row.Scan(&q.key, &q.name, &q.timeout, &q.custom, &q.target, &text, &deleted); err != nil {
		return queue{}, err
	}
	q.deleted = deleted != nil
	if err := json.Unmarshal([]byte(text), &q.detail); err != nil {
		return queue{}, fmt.Errorf("detail of queue %s: %w", q.name, err)
	}
	return q, nil
}

var scanQueues = store.All(scanQueue)

// queueByName reads a queue that is not deleted; store.ErrNoRows when there is none.
func queueByName(tx *store.Tx, name, lock string) (queue, error) {
	return scanQueue(tx.QueryRow(`SELECT `+queueColumns+` FROM game_session_queue WHERE name = $1 AND deleted_at IS NULL`+lock, name))
}

// queueByKey reads a queue, also one that is deleted and has pending placements.
func queueByKey(tx *store.Tx, key store.Key) (queue, error) {
	return scanQueue(tx.QueryRow(`SELECT `+queueColumns+` FROM game_session_queue WHERE key = $1`, key))
}

// pageOfQueues reads queues in the order of their keys: all, or those with the names.
func pageOfQueues(tx *store.Tx, names []string, after store.Key, limit int) ([]queue, error) {
	where, args := `WHERE key > $1 AND deleted_at IS NULL`, []any{after, limit}
	if names != nil {
		where, args = where+` AND `+tx.In("name", 3), append(args, store.List(tx, names))
	}
	return scanQueues(tx.Query(`SELECT `+queueColumns+` FROM game_session_queue `+where+` ORDER BY key LIMIT $2`, args...))
}

// insertQueue writes a new queue. ok is false when its name is taken.
func insertQueue(tx *store.Tx, q queue) (ok bool, err error) {
	text, err := json.Marshal(q.detail)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(`INSERT INTO game_session_queue (key, name, timeout, custom, target, detail) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`, q.key, q.name, q.timeout, q.custom, q.target, string(text))
	return n == 1, err
}

func saveQueue(tx *store.Tx, q queue) error {
	text, err := json.Marshal(q.detail)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE game_session_queue SET timeout = $2, custom = $3, target = $4, detail = $5 WHERE key = $1`,
		q.key, q.timeout, q.custom, q.target, string(text))
	return err
}

// dropQueue marks a queue as deleted.
func dropQueue(tx *store.Tx, key store.Key) error {
	_, err := tx.Exec(`UPDATE game_session_queue SET deleted_at = $2 WHERE key = $1`, key, tx.NowMs())
	return err
}

// deletedQueues are those whose pending placements may still have to fail.
func deletedQueues(tx *store.Tx) (keys []store.Key, err error) {
	return store.Column[store.Key](tx.Query(`SELECT key FROM game_session_queue WHERE deleted_at IS NOT NULL ORDER BY key`))
}

func removeQueue(tx *store.Tx, key store.Key) error {
	_, err := tx.Exec(`DELETE FROM game_session_queue WHERE key = $1 AND deleted_at IS NOT NULL`, key)
	return err
}

// notify wakes the engine for a queue, after the commit.
func notify(tx *store.Tx, queue store.Key) {
	tx.Notify(Channel, strconv.FormatInt(int64(queue), 10))
}
