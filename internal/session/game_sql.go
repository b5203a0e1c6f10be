package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// game is a game session's row, with its texts.
type game struct {
	key        store.Key
	id         string // last segment of the ARN
	fleetKey   store.Key
	fleet      arn.FleetID
	location   arn.Location
	status     types.GameSessionStatus
	reason     *string
	policy     types.PlayerSessionCreationPolicy
	protection types.ProtectionPolicy
	players    int32
	maximum    int32
	process    store.Key
	compute    arn.ComputeName
	ip         string
	dns        *string
	port       int32
	createdAt  int64
	deadline   *int64
	endedAt    *int64

	name, creator, data, matchmaker *string
	properties                      []types.GameProperty
	print                           string
}

const gameColumns = `g.key, g.id, g.fleet, g.fleet_id, g.location, g.status, g.reason, g.policy, g.protection,
	g.players, g.maximum, g.process, g.compute, g.ip, g.dns, g.port, g.created_at, g.deadline, g.ended_at,
	t.name, t.creator, t.data, t.matchmaker, t.properties, t.print`

const gameTables = ` FROM game_session g JOIN game_session_text t ON t.game = g.key `

func scanGame(row store.Scanner) (game, error) {
	var g game
	var properties string
	if err := row.Scan(&g.key, &g.id, &g.fleetKey, &g.fleet, &g.location, &g.status, &g.reason, &g.policy, &g.protection,
		&g.players, &g.maximum, &g.process, &g.compute, &g.ip, &g.dns, &g.port, &g.createdAt, &g.deadline, &g.endedAt,
		&g.name, &g.creator, &g.data, &g.matchmaker, &properties, &g.print); err != nil {
		return game{}, err
	}
	if err := json.Unmarshal([]byte(properties), &g.properties); err != nil {
		return game{}, fmt.Errorf("properties of game session %d: %w", g.key, err)
	}
	return g, nil
}

// lockOf is ForUpdate for the row of game_session alone.
func lockOf(tx *store.Tx) string {
	if lock := tx.ForUpdate(); lock != "" {
		return lock + " OF g"
	}
	return ""
}

// parseGame takes an ARN apart. ok is false for what cannot name a game session, such as a
// text with a NUL, which PostgreSQL does not take.
func parseGame(id string) (p arn.GameSessionParts, ok bool) {
	p, err := arn.ParseGameSession(id)
	return p, err == nil && !strings.ContainsRune(id, 0)
}

// findGame reads the game session that an ARN names; store.ErrNoRows when there is none.
// The ARN's region does not count, and neither does a location left out: an old wording
// has the location in the region's place (sessions-placement.md 1.3).
func findGame(tx *store.Tx, id, lock string) (game, error) {
	p, ok := parseGame(id)
	if !ok {
		return game{}, store.ErrNoRows
	}
	g, err := gameByID(tx, p.Fleet, p.ID, lock)
	if err == nil && p.Location != "" && p.Location != g.location {
		return game{}, store.ErrNoRows
	}
	return g, err
}

func gameByID(tx *store.Tx, f arn.FleetID, id, lock string) (game, error) {
	return scanGame(tx.QueryRow(`SELECT `+gameColumns+gameTables+`WHERE g.id = $1 AND g.fleet_id = $2`+lock, id, f))
}

// gameByProcess reads the game session that a process hosts now.
func gameByProcess(tx *store.Tx, process store.Key, lock string) (game, error) {
	return scanGame(tx.QueryRow(`SELECT `+gameColumns+gameTables+`WHERE g.process = $1 AND g.ended_at IS NULL`+lock, process))
}

// insertGame writes a new game session. ok is false when its fleet has one of that id.
func insertGame(tx *store.Tx, g game, creator *int64) (ok bool, err error) {
	n, err := tx.Exec(`INSERT INTO game_session (key, id, fleet, fleet_id, location, status, policy, protection, players, maximum,
			process, compute, ip, dns, port, creator, created_at, deadline)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
		ON CONFLICT (id, fleet_id) DO NOTHING`,
		g.key, g.id, g.fleetKey, g.fleet, g.location, g.status, g.policy, g.protection, g.players, g.maximum,
		g.process, g.compute, g.ip, g.dns, g.port, creator, g.createdAt, g.deadline)
	if err != nil || n == 0 {
		return false, err
	}
	properties, err := json.Marshal(g.properties)
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(`INSERT INTO game_session_text (game, name, creator, properties, data, matchmaker, print)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, g.key, g.name, g.creator, string(properties), g.data, g.matchmaker, g.print)
	return true, err
}

// moveGame changes a game session's state, if it still has the one it was read with.
func moveGame(tx *store.Tx, g game, to types.GameSessionStatus, deadline *int64) (ok bool, err error) {
	n, err := tx.Exec(`UPDATE game_session SET status = $3, deadline = $4 WHERE key = $1 AND status = $2`, g.key, g.status, to, deadline)
	return n == 1, err
}

// closeGame ends a game session that has not ended, and with it all its player sessions:
// ACTIVE ones are COMPLETED, RESERVED ones TIMEDOUT (sessions-placement.md 2.1).
func closeGame(tx *store.Tx, key store.Key, to types.GameSessionStatus, reason *string) (ok bool, err error) {
	n, err := tx.Exec(`UPDATE game_session SET status = $2, reason = $3, players = 0, deadline = NULL, ended_at = $4
		WHERE key = $1 AND ended_at IS NULL`, key, to, reason, tx.NowMs())
	if err != nil || n == 0 {
		return false, err
	}
	_, err = tx.Exec(`UPDATE player_session SET
			status = CASE WHEN status = $2 THEN CAST($4 AS BIGINT) ELSE $5 END,
			ended_at = CASE WHEN deadline < $6 THEN deadline ELSE $6 END,
			deadline = NULL
		WHERE game = $1 AND status IN ($2, $3)`,
		key, reserved, joinedIn, timedOut, completed, tx.NowMs())
	return true, err
}

func countActive(tx *store.Tx, f store.Key, at arn.Location) (c fleet.Counts, err error) {
	query, args := `SELECT count(*), CAST(coalesce(sum(players), 0) AS BIGINT), CAST(coalesce(sum(maximum), 0) AS BIGINT) FROM game_session WHERE fleet = $1 AND status = $2`, []any{f, active}
	if at != "" {
		query, args = query+` AND location = $3`, append(args, at)
	}
	err = tx.QueryRow(query, args...).Scan(&c.GameSessions, &c.Players, &c.MaxPlayers)
	return c, err
}

// markCreator notes that a creator makes a game session, unless the last note is younger
// than interval; then ok is false. All creations of one creator on one fleet wait for each
// other here, so that what is counted next does not change.
func markCreator(tx *store.Tx, f store.Key, creator int64, interval time.Duration) (ok bool, err error) {
	n, err := tx.Exec(`INSERT INTO game_session_creator (fleet, creator, last_at) VALUES ($1, $2, $3)
		ON CONFLICT (fleet, creator) DO UPDATE SET last_at = excluded.last_at WHERE game_session_creator.last_at <= $4`,
		f, creator, tx.NowMs(), tx.Now.Add(-interval).UnixMilli())
	return n == 1, err
}

// countCreations counts the game sessions a creator made on a fleet after an instant.
func countCreations(tx *store.Tx, f store.Key, creator, after int64) (n int64, err error) {
	err = tx.QueryRow(`SELECT count(*) FROM game_session WHERE fleet = $1 AND creator = $2 AND created_at > $3`, f, creator, after).Scan(&n)
	return n, err
}

// saveGame writes the members that may be changed. The row is locked by the caller.
func saveGame(tx *store.Tx, g game) error {
	if _, err := tx.Exec(`UPDATE game_session SET policy = $2, protection = $3, maximum = $4 WHERE key = $1`,
		g.key, g.policy, g.protection, g.maximum); err != nil {
		return err
	}
	properties, err := json.Marshal(g.properties)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE game_session_text SET name = $2, properties = $3 WHERE game = $1`, g.key, g.name, string(properties))
	return err
}

// pageOfGames reads game sessions of a fleet in the order of their keys, in one location or
// in all, of one status or of all. The indexes have the status before the key, so all of
// them are the merge of as many ranges as there are states.
func pageOfGames(tx *store.Tx, fleet store.Key, location, status *string, after store.Key, limit int) ([]game, error) {
	where, args := `WHERE g.fleet = $1 AND g.key > $2`, []any{fleet, after, limit}
	if location != nil {
		args = append(args, *location)
		where += fmt.Sprintf(` AND g.location = $%d`, len(args))
	}
	wanted := statuses
	if status != nil {
		wanted = []types.GameSessionStatus{types.GameSessionStatus(*status)}
	}
	var ranges []string
	for _, status := range wanted {
		args = append(args, status)
		ranges = append(ranges, fmt.Sprintf(`SELECT `+gameColumns+gameTables+where+` AND g.status = $%d`, len(args)))
	}
	return store.All(scanGame)(tx.Query(merge(tx.Dialect(), ranges), args...))
}

// gamesByKey reads game sessions in the order of the keys given.
func gamesByKey(tx *store.Tx, keys []store.Key) ([]game, error) {
	list := make([]int64, len(keys))
	for i, k := range keys {
		list[i] = int64(k)
	}
	rows, err := tx.Query(`SELECT `+gameColumns+gameTables+`WHERE `+tx.In("g.key", 1), store.List(tx, list))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	byKey := map[store.Key]game{}
	for rows.Next() {
		g, err := scanGame(rows)
		if err != nil {
			return nil, err
		}
		byKey[g.key] = g
	}
	games := make([]game, 0, len(keys))
	for _, k := range keys {
		if g, ok := byKey[k]; ok {
			games = append(games, g)
		}
	}
	return games, rows.Err()
}

// searchable streams the ACTIVE game sessions of a fleet, in one location or in all, in the
// order of their keys, until f says that it has enough.
func searchable(tx *store.Tx, fleet store.Key, location *string, after store.Key, f func(g game) (enough bool)) error {
	query, args := `SELECT g.key, g.id, g.fleet_id, g.location, g.players, g.maximum, g.created_at, t.name, t.properties`+gameTables+
		`WHERE g.fleet = $1 AND g.status = $2 AND g.key > $3`, []any{fleet, active, after}
	if location != nil {
		query, args = query+` AND g.location = $4`, append(args, *location)
	}
	rows, err := tx.Query(query+` ORDER BY g.key`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var g game
		var properties string
		if err := rows.Scan(&g.key, &g.id, &g.fleet, &g.location, &g.players, &g.maximum, &g.createdAt, &g.name, &properties); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(properties), &g.properties); err != nil {
			return fmt.Errorf("properties of game session %d: %w", g.key, err)
		}
		if f(g) {
			return nil
		}
	}
	return rows.Err()
}
