package placement

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/matchyard/matchyard/internal/store"
)

// text is what stands beside a placement's row.
type text struct {
	request
	trace  trace
	placed []placed
}

const placementColumns = `p.key, p.id, p.queue, p.queue_name, p.status, p.maximum, p.players, p.started_at, p.deadline, p.ended_at,
	p.game, p.game_arn, p.location, p.ip, p.dns, p.port`

// bareColumns are for RETURNING, where SQLite knows no other name of a table than its own.
var bareColumns = strings.ReplaceAll(placementColumns, "p.", "")

func (p *placement) targets() []any {
	return []any{
		&p.key, &p.id, &p.queue, &p.queueName, &p.status, &p.maximum, &p.players, &p.startedAt, &p.deadline, &p.endedAt,
		&p.game, &p.gameARN, &p.location, &p.ip, &p.dns, &p.port,
	}
}

var scanPlacements = store.All(func(row store.Scanner) (p placement, err error) { return p, row.Scan(p.targets()...) })

func placementByID(tx *store.Tx, id, lock string) (p placement, err error) {
	err = tx.QueryRow(`SELECT `+placementColumns+` FROM placement p WHERE p.id = $1`+lock, id).Scan(p.targets()...)
	return p, err
}

// placementByGame reads the placement for which a game session is being started.
func placementByGame(tx *store.Tx, game store.Key, lock string) (p placement, err error) {
	err = tx.QueryRow(`SELECT `+placementColumns+` FROM placement p WHERE p.game = $1 AND p.status = 1`+lock, game).Scan(p.targets()...)
	return p, err
}

// usedIDs are those of the ids that placements have.
func usedIDs(tx *store.Tx, ids []string) (map[string]bool, error) {
	return store.Set[string](tx.Query(`SELECT id FROM placement WHERE `+tx.In("id", 1), store.List(tx, ids)))
}

func textOf(tx *store.Tx, key store.Key) (text, error) {
	texts, err := textsOf(tx, []int64{int64(key)})
	if err == nil && texts[key] == nil {
		return text{}, store.ErrNoRows
	}
	if err != nil {
		return text{}, err
	}
	return *texts[key], nil
}

// textsOf reads what stands beside the rows of placements.
func textsOf(tx *store.Tx, keys []int64) (map[store.Key]*text, error) {
	rows, err := tx.Query(`SELECT placement, request, trace, placed FROM placement_text WHERE `+tx.In("placement", 1), store.List(tx, keys))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	texts := make(map[store.Key]*text, len(keys))
	for rows.Next() {
		var key store.Key
		var request, trace string
		var placed *string
		if err := rows.Scan(&key, &request, &trace, &placed); err != nil {
			return nil, err
		}
		t := &text{}
		err := json.Unmarshal([]byte(request), &t.request)
		if err == nil {
			err = json.Unmarshal([]byte(trace), &t.trace)
		}
		if err == nil && placed != nil {
			err = json.Unmarshal([]byte(*placed), &t.placed)
		}
		if err != nil {
			return nil, fmt.Errorf("text of placement %d: %w", key, err)
		}
		texts[key] = t
	}
	return texts, rows.Err()
}

// insertPlacements writes new placements.
func insertPlacements(tx *store.Tx, rows, texts, waits [][]any) error {
	if err := tx.InsertMany(`INSERT INTO placement (status, key, id, queue, queue_name, maximum, players, started_at, deadline, latent, step_at,
		game, game_arn, location, ip, dns, port) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`, rows); err != nil {
		return err
	}
	if err := tx.InsertMany(`INSERT INTO placement_text (placement, request, trace) VALUES ($1, $2, $3)`, texts); err != nil {
		return err
	}
	return insertWaits(tx, waits)
}

// insertWaits writes where waiting placements could go.
func insertWaits(tx *store.Tx, rows [][]any) error {
	return tx.InsertMany(`INSERT INTO placement_wait (queue, location, placement) VALUES ($1, $2, $3)`, rows)
}

func deleteWaits(tx *store.Tx, keys []int64) error {
	_, err := tx.Exec(`DELETE FROM placement_wait WHERE `+tx.In("placement", 1), store.List(tx, keys))
	return err
}

// attemptBegins says that game sessions are being started for placements, which no longer
// wait.
func attemptBegins(tx *store.Tx, list []*claim) error {
	rows, traces, keys := make([][]any, len(list)), make([][]any, len(list)), make([]int64, len(list))
	for i, c := range list {
		p := c.placement
		keys[i] = int64(p.key)
		rows[i] = []any{p.key, p.game, p.gameARN, p.location, p.ip, p.dns, p.port}
		traces[i] = []any{p.key, c.trace.marshal()}
	}
	if err := deleteWaits(tx, keys); err != nil {
		return err
	}
	if _, err := tx.ExecMany(`UPDATE placement SET game = $2, game_arn = $3, location = $4, ip = $5, dns = $6, port = $7, step_at = NULL
		WHERE key = $1`, rows); err != nil {
		return err
	}
	_, err := tx.ExecMany(`UPDATE placement_text SET trace = $2 WHERE placement = $1`, traces)
	return err
}

// waitAgain says that a placement's game session is over and that it waits for another.
func waitAgain(tx *store.Tx, p placement, step *int64) error {
	_, err := tx.Exec(`UPDATE placement SET game = NULL, game_arn = NULL, location = NULL, ip = NULL, dns = NULL, port = NULL, step_at = $2
		WHERE key = $1`, p.key, step)
	return err
}

// fulfil makes the placements of game sessions that became ACTIVE FULFILLED, and returns
// them.
func fulfil(tx *store.Tx, games []store.Key) ([]placement, error) {
	keys := make([]int64, len(games))
	for i, k := range games {
		keys[i] = int64(k)
	}
	return scanPlacements(tx.Query(`UPDATE placement SET status = 2, ended_at = $2, deadline = NULL WHERE `+tx.In("game", 1)+` AND status = 1
		RETURNING `+bareColumns, store.List(tx, keys), tx.NowMs()))
}

// endPlacement writes a final state other than FULFILLED.
func endPlacement(tx *store.Tx, p placement) error {
	if _, err := tx.Exec(`UPDATE placement SET status = $2, ended_at = $3, deadline = NULL, step_at = NULL,
		game = NULL, game_arn = NULL, location = NULL, ip = NULL, dns = NULL, port = NULL WHERE key = $1`, p.key, p.status, p.endedAt); err != nil {
		return err
	}
	return deleteWaits(tx, []int64{int64(p.key)})
}

func saveTrace(tx *store.Tx, key store.Key, t trace) error {
	_, err := tx.Exec(`UPDATE placement_text SET trace = $2 WHERE placement = $1`, key, t.marshal())
	return err
}

func savePlaced(tx *store.Tx, keys []store.Key, all map[store.Key][]placed) error {
	rows := make([][]any, len(keys))
	for i, key := range keys {
		text, err := json.Marshal(all[key])
		if err != nil {
			return err
		}
		rows[i] = []any{key, string(text)}
	}
	_, err := tx.ExecMany(`UPDATE placement_text SET placed = $2 WHERE placement = $1`, rows)
	return err
}

// stepNow makes the waiting placements of a queue that have latencies find out anew where
// they may go.
func stepNow(tx *store.Tx, queue store.Key) error {
	_, err := tx.Exec(`UPDATE placement SET step_at = $2 WHERE queue = $1 AND deadline > 0 AND status = 1 AND game IS NULL AND latent = 1`, queue, tx.NowMs())
	return err
}

// someoneWaits tells whether a placement of the queue waits that could go to the location.
func someoneWaits(tx *store.Tx, queue store.Key, location string) (bool, error) {
	err := tx.QueryRow(`SELECT placement FROM placement_wait WHERE queue = $1 AND location = $2 LIMIT 1`, queue, location).Scan(new(int64))
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// waitingQueues are the queues in which somebody waits. It steps from one to the next in the
// index, and not over those who wait.
func waitingQueues(tx *store.Tx) (keys []store.Key, err error) {
	last := store.Key(-1)
	for {
		var next *store.Key
		if err := tx.QueryRow(`SELECT min(queue) FROM placement_wait WHERE queue > $1`, last).Scan(&next); err != nil || next == nil {
			return keys, err
		}
		keys = append(keys, *next)
		last = *next
	}
}

// waitingFor are placements of a queue that could go to a location, oldest first.
func waitingFor(tx *store.Tx, queue store.Key, location string, most int) ([]store.Key, error) {
	return store.Column[store.Key](tx.Query(`SELECT w.placement FROM placement_wait w JOIN placement p ON p.key = w.placement
		WHERE w.queue = $1 AND w.location = $2 AND p.deadline > $3 ORDER BY w.placement LIMIT $4`, queue, location, tx.NowMs(), most))
}

// claimWaiting locks those of the placements that still wait and that nobody else works on,
// oldest first.
func claimWaiting(tx *store.Tx, keys []int64) ([]placement, error) {
	lock := tx.ForUpdate()
	if lock != "" {
		lock += " SKIP LOCKED"
	}
	return scanPlacements(tx.Query(`SELECT `+placementColumns+` FROM placement p
		WHERE `+tx.In("p.key", 1)+` AND p.status = 1 AND p.game IS NULL AND p.deadline > $2 ORDER BY p.key`+lock, store.List(tx, keys), tx.NowMs()))
}
