package matchmaking

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/matchyard/matchyard/internal/store"
)

const ticketColumns = `t.key, t.id, t.configuration, t.name, t.status, t.kind, t.players, t.started_at, t.deadline, t.ended_at,
	t.reason, t.message, t.match, t.teams, t.answers, t.game, t.connection`

func scanTicket(row store.Scanner) (*ticket, error) {
	t := &ticket{}
	var wire string
	var started int64
	var until, ended *int64
	var match, game *store.Key
	var reason, message, teams, answers, connection *string
	if err := row.Scan(&t.key, &t.ID, &t.configuration, &t.name, &t.status, &t.kind, &wire, &started, &until, &ended,
		&reason, &message, &match, &teams, &answers, &game, &connection); err != nil {
		return nil, err
	}
	t.Status, t.Start, t.Backfill = statuses[t.status], stamp(started), t.kind != party
	if until != nil {
		t.until = stamp(*until)
	}
	if ended != nil {
		t.End = stamp(*ended)
	}
	if reason != nil {
		t.Reason = *reason
	}
	if message != nil {
		t.Message = *message
	}
	if match != nil {
		t.match, t.MatchID = *match, matchID(*match)
	}
	if game != nil {
		t.game = *game
	}
	var err error
	if t.wire, err = unkeep(wire); err == nil {
		t.asSent()
		err = t.readTeams(teams)
		t.readAnswers(answers)
	}
	if err == nil && connection != nil {
		err = json.Unmarshal([]byte(*connection), &t.connection)
	}
	if err != nil {
		return nil, fmt.Errorf("ticket %s: %w", t.ID, err)
	}
	return t, nil
}

var scanTickets = store.All(scanTicket)

// ticketByID reads a ticket; store.ErrNoRows when there is none.
func ticketByID(tx *store.Tx, id string) (*ticket, error) {
	return scanTicket(tx.QueryRow(`SELECT `+ticketColumns+` FROM matchmaking_ticket t WHERE t.id = $1`, id))
}

func ticketsByID(tx *store.Tx, ids []string) ([]*ticket, error) {
	return scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t WHERE `+tx.In("t.id", 1)+` ORDER BY t.key`, store.List(tx, ids)))
}

// holdTickets reads tickets and locks them, in the order of their keys.
func holdTickets(tx *store.Tx, keys []int64) ([]*ticket, error) {
	return scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t WHERE `+tx.In("t.key", 1)+` ORDER BY t.key`+tx.ForUpdate(), store.List(tx, keys)))
}

// holdMatchTickets reads and locks the tickets of a match that is held, in the order of their
// keys.
func holdMatchTickets(tx *store.Tx, match store.Key) ([]*ticket, error) {
	return scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t
		WHERE t.match = $1 AND t.status IN (4, 5) ORDER BY t.key`+tx.ForUpdate(), match))
}

// holdWaiting locks those of the tickets that wait, in the order of their keys, and tells
// how their rows have them.
func holdWaiting(tx *store.Tx, keys []int64) (map[store.Key]status, error) {
	rows, err := tx.Query(`SELECT key, status FROM matchmaking_ticket WHERE `+tx.In("key", 1)+` AND status <= 3 ORDER BY key`+tx.ForUpdate(), store.List(tx, keys))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	held := make(map[store.Key]status, len(keys))
	for rows.Next() {
		var key store.Key
		var st status
		if err := rows.Scan(&key, &st); err != nil {
			return nil, err
		}
		held[key] = st
	}
	return held, rows.Err()
}

// waitingTickets are the tickets of a configuration that wait; unseen: those no pool has
// taken in yet.
func waitingTickets(tx *store.Tx, configuration, after store.Key, unseen bool, most int) ([]*ticket, error) {
	last := searching
	if unseen {
		last = returned
	}
	return scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t
		WHERE t.configuration = $1 AND t.status <= 5 AND t.status <= $2 AND t.key > $3 ORDER BY t.key LIMIT $4`, configuration, last, after, most))
}

// waitingKeys are the keys of a configuration's tickets that wait.
func waitingKeys(tx *store.Tx, configuration store.Key) (map[store.Key]bool, error) {
	return store.Set[store.Key](tx.Query(`SELECT key FROM matchmaking_ticket WHERE configuration = $1 AND status <= 5 AND status <= 3`, configuration))
}

// liveTicketsTx counts the tickets of a configuration that have not ended.
func (s *Service) liveTicketsTx(tx *store.Tx, configuration store.Key) (n int, err error) {
	err = tx.QueryRow(`SELECT count(*) FROM matchmaking_ticket WHERE configuration = $1 AND status <= 5`, configuration).Scan(&n)
	return n, err
}

// usedTicketIDs are those of the ids that tickets have.
func usedTicketIDs(tx *store.Tx, ids []string) (map[string]bool, error) {
	return store.Set[string](tx.Query(`SELECT id FROM matchmaking_ticket WHERE `+tx.In("id", 1), store.List(tx, ids)))
}

// insertTickets writes new tickets. texts are their players.
func insertTickets(tx *store.Tx, list []*ticket, texts []string) error {
	rows := make([][]any, len(list))
	for i, t := range list {
		rows[i] = []any{t.key, t.ID, t.configuration, t.name, t.status, t.kind, texts[i], t.Start.UnixMilli(), t.until.UnixMilli(), nilKey(t.game)}
	}
	return tx.InsertMany(`INSERT INTO matchmaking_ticket (key, id, configuration, name, status, kind, players, started_at, deadline, game)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, rows)
}

// saveTickets writes what transitions have changed.
func saveTickets(tx *store.Tx, list []*ticket) error {
	rows := make([][]any, len(list))
	for i, t := range list {
		var until, ended *int64
		switch {
		case t.Final():
			ended = new(t.End.UnixMilli())
		case t.Waiting():
			until = new(t.until.UnixMilli())
		}
		var connection *string
		if t.connection != nil {
			text, err := json.Marshal(t.connection)
			if err != nil {
				return err
			}
			connection = new(string(text))
		}
		rows[i] = []any{t.key, t.status, until, ended, nilText(t.Reason), nilText(t.Message), nilKey(t.match), t.teams(), t.answers(), connection}
	}
	_, err := tx.ExecMany(`UPDATE matchmaking_ticket SET status = $2, deadline = $3, ended_at = $4, reason = $5, message = $6,
		match = $7, teams = $8, answers = $9, connection = $10 WHERE key = $1`, rows)
	return err
}

// seen says that a pool has taken tickets in.
func seen(tx *store.Tx, keys []int64) error {
	_, err := tx.Exec(`UPDATE matchmaking_ticket SET status = 3 WHERE `+tx.In("key", 1)+` AND status <= 2`, store.List(tx, keys))
	return err
}

func nilKey(k store.Key) *store.Key {
	if k == 0 {
		return nil
	}
	return &k
}

func nilText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// fingerprint is a number for a player's id, which may be too long to index. A collision in
// 64 bits is accepted: it would make two players one.
func fingerprint(player string) int64 {
	sum := sha256.Sum256([]byte(player))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// holders are the tickets that have players, by the players' fingerprints.
func holders(tx *store.Tx, prints []int64) (map[int64]store.Key, error) {
	rows, err := tx.Query(`SELECT player, ticket FROM matchmaking_player WHERE `+tx.In("player", 1), store.List(tx, prints))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	held := map[int64]store.Key{}
	for rows.Next() {
		var player int64
		var key store.Key
		if err := rows.Scan(&player, &key); err != nil {
			return nil, err
		}
		held[player] = key
	}
	return held, rows.Err()
}

// takePlayers makes tickets the ones of their players. A row that another transaction adds
// meanwhile is a unique error.
func takePlayers(tx *store.Tx, fresh, taken [][]any) error {
	if err := tx.InsertMany(`INSERT INTO matchmaking_player (player, ticket) VALUES ($1, $2)`, fresh); err != nil || len(taken) == 0 {
		return err
	}
	_, err := tx.ExecMany(`UPDATE matchmaking_player SET ticket = $2 WHERE player = $1`, taken)
	return err
}

// leavePlayers gives players free that tickets have. A row that a newer ticket took stays.
func leavePlayers(tx *store.Tx, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := tx.ExecMany(`DELETE FROM matchmaking_player WHERE player = $1 AND ticket = $2`, rows)
	return err
}
