package session

import (
	"errors"
	"slices"

	"github.com/matchyard/matchyard/internal/store"
)

// timeOutPlayers times out the reservations that are due, at most limit of them, oldest
// deadline first, and counts them off their game sessions: a handful of statements, however
// many rows. It returns how many were due.
func timeOutPlayers(tx *store.Tx, now int64, limit int) (n int, err error) {
	players, games, err := duePlayers(tx, now, limit)
	if err != nil || len(players) == 0 {
		return 0, err
	}
	slices.Sort(games)
	if err := lockGames(tx, slices.Compact(games)); err != nil {
		return 0, err
	}
	left, err := timeOut(tx, players)
	if err != nil {
		return 0, err
	}
	return len(players), freeSeats(tx, left)
}

func duePlayers(tx *store.Tx, now int64, limit int) (players, games []int64, err error) {
	rows, err := tx.Query(`SELECT key, game FROM player_session WHERE deadline <= $1 ORDER BY deadline, key LIMIT $2`, now, limit)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var player, game int64
		if err := rows.Scan(&player, &game); err != nil {
			return nil, nil, err
		}
		players, games = append(players, player), append(games, game)
	}
	return players, games, rows.Err()
}

// lockGames locks game sessions in the order of their keys.
func lockGames(tx *store.Tx, keys []int64) error {
	lock := tx.ForUpdate()
	if lock == "" {
		return nil
	}
	rows, err := tx.Query(`SELECT key FROM game_session WHERE `+tx.In("key", 1)+` ORDER BY key`+lock, store.List(tx, keys))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		// The lock is all that is wanted.
	}
	return rows.Err()
}

// timeOut ends those of the player sessions that are still RESERVED, and returns how many
// each game session lost.
func timeOut(tx *store.Tx, players []int64) (map[int64]int64, error) {
	rows, err := tx.Query(`UPDATE player_session SET status = $2, ended_at = deadline, deadline = NULL
		WHERE `+tx.In("key", 1)+` AND status = $3 RETURNING game`, store.List(tx, players), timedOut, reserved)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	left := map[int64]int64{}
	for rows.Next() {
		var game int64
		if err := rows.Scan(&game); err != nil {
			return nil, err
		}
		left[game]++
	}
	return left, rows.Err()
}

// freeSeats gives slots back: a statement for each number of slots, for all game sessions
// that lost so many.
func freeSeats(tx *store.Tx, left map[int64]int64) error {
	byCount := map[int64][]int64{}
	for game, n := range left {
		byCount[n] = append(byCount[n], game)
	}
	for n, games := range byCount {
		if _, err := tx.Exec(`UPDATE game_session SET players = players - $1 WHERE `+tx.In("key", 2), n, store.List(tx, games)); err != nil {
			return err
		}
	}
	return nil
}

// overdueGame reads the game session whose activation timed out first.
func overdueGame(tx *store.Tx, now int64) (g game, found bool, err error) {
	g, err = scanGame(tx.QueryRow(`SELECT `+gameColumns+gameTables+`WHERE g.deadline <= $1 ORDER BY g.deadline, g.key LIMIT 1`, now))
	if errors.Is(err, store.ErrNoRows) {
		return game{}, false, nil
	}
	return g, err == nil, err
}

// closeOverdue ends a game session that is still not activated, as of its deadline. It has
// no players yet.
func closeOverdue(tx *store.Tx, key store.Key, now int64) (ok bool, err error) {
	n, err := tx.Exec(`UPDATE game_session SET status = $2, ended_at = deadline, deadline = NULL WHERE key = $1 AND status = $3 AND deadline <= $4`,
		key, terminated, activating, now)
	return n == 1, err
}

// endedBefore are the keys of the game sessions that ended first, up to an instant.
func endedBefore(tx *store.Tx, until int64, limit int) (keys []int64, err error) {
	return store.Column[int64](tx.Query(`SELECT key FROM game_session WHERE ended_at <= $1 ORDER BY ended_at, key LIMIT $2`, until, limit))
}

// deletePlayers deletes player sessions of game sessions, at most limit of them.
func deletePlayers(tx *store.Tx, games []int64, limit int) (n int64, err error) {
	return tx.Exec(`DELETE FROM player_session WHERE key IN (
		SELECT key FROM player_session WHERE `+tx.In("game", 1)+` ORDER BY game, status, key LIMIT $2)`, store.List(tx, games), limit)
}

// deleteGames deletes game sessions that have no player sessions any more.
func deleteGames(tx *store.Tx, keys []int64) error {
	if _, err := tx.Exec(`DELETE FROM game_session_text WHERE `+tx.In("game", 1), store.List(tx, keys)); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM game_session WHERE `+tx.In("key", 1), store.List(tx, keys))
	return err
}

func deleteCreators(tx *store.Tx, before int64, limit int) (int64, error) {
	return tx.Exec(`DELETE FROM game_session_creator WHERE (fleet, creator) IN (
		SELECT fleet, creator FROM game_session_creator WHERE last_at <= $1 ORDER BY last_at LIMIT $2)`, before, limit)
}

// nextDeadlines are the first deadline there is, and the first end that is still kept.
func nextDeadlines(tx *store.Tx) (deadline, ended *int64, err error) {
	err = tx.QueryRow(`SELECT min(at) FROM (
		SELECT min(deadline) AS at FROM player_session WHERE deadline IS NOT NULL
		UNION ALL SELECT min(deadline) FROM game_session WHERE deadline IS NOT NULL) d`).Scan(&deadline)
	if err != nil {
		return nil, nil, err
	}
	err = tx.QueryRow(`SELECT min(ended_at) FROM game_session WHERE ended_at IS NOT NULL`).Scan(&ended)
	return deadline, ended, err
}
