package session

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// gameName is what a game session is found by.
type gameName struct {
	fleet arn.FleetID
	id    string
}

// lockSeats reads the game sessions that are joined, in the order of their keys, and keeps
// others from changing them.
func lockSeats(tx *store.Tx, calls []joining) (map[gameName]*seats, error) {
	games := make(map[gameName]*seats, len(calls))
	ids := make([]string, 0, len(calls))
	for _, c := range calls {
		name := gameName{c.game.Fleet, c.game.ID}
		if _, seen := games[name]; !seen {
			games[name] = nil
			ids = append(ids, name.id)
		}
	}
	rows, err := tx.Query(`SELECT key, id, fleet_id, location, status, policy, players, maximum, ip, dns, port
		FROM game_session WHERE `+tx.In("id", 1)+` ORDER BY key`+tx.ForUpdate(), store.List(tx, ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		g := &seats{}
		if err := rows.Scan(&g.key, &g.id, &g.fleet, &g.location, &g.status, &g.policy, &g.players, &g.maximum, &g.ip, &g.dns, &g.port); err != nil {
			return nil, err
		}
		if _, wanted := games[gameName{g.fleet, g.id}]; wanted {
			games[gameName{g.fleet, g.id}] = g
		}
	}
	return games, rows.Err()
}

// takeSeats counts the slots that were given in games. They are locked, so the guard only
// ever fails when the program is wrong; it is the last thing that stands before a slot
// given twice.
func takeSeats(tx *store.Tx, games map[gameName]*seats) error {
	byTaken := map[int64][]int64{} // almost always one size, with all keys
	for _, g := range games {
		if g != nil && g.taken > 0 {
			byTaken[g.taken] = append(byTaken[g.taken], int64(g.key))
		}
	}
	for n, keys := range byTaken {
		changed, err := tx.Exec(`UPDATE game_session SET players = players + $1
			WHERE `+tx.In("key", 2)+` AND players + $1 <= maximum AND status = $3`, n, store.List(tx, keys), active)
		if err != nil {
			return err
		}
		if changed != int64(len(keys)) {
			return fmt.Errorf("%d of %d game sessions had no room for %d players under lock", int64(len(keys))-changed, len(keys), n)
		}
	}
	return nil
}

// playerRow is a player session to be written.
type playerRow struct {
	newPlayer
	game     store.Key
	deadline int64
}

// rowsAtOnce is how many rows one INSERT has: SQLite looks for each parameter among all, so
// that more of them cost more.
const rowsAtOnce = 8

// insertPlayers writes reservations.
func insertPlayers(tx *store.Tx, rows []playerRow) error {
	for len(rows) > 0 {
		n := min(len(rows), rowsAtOnce)
		args := make([]any, 0, n*8)
		for _, r := range rows[:n] {
			args = append(args, r.key, r.tail, r.game, r.id, r.print, r.data, tx.NowMs(), r.deadline)
		}
		if _, err := tx.Exec(insertPlayersText(n), args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// insertPlayersText is the INSERT of n rows. There are few of them, and a statement that
// stays the same is prepared once.
var insertPlayersText = func() func(n int) string {
	var texts [rowsAtOnce + 1]struct {
		once sync.Once
		text string
	}
	return func(n int) string {
		t := &texts[n]
		t.once.Do(func() {
			var b strings.Builder
			b.WriteString(`INSERT INTO player_session (key, tail, game, status, player, print, data, created_at, deadline) VALUES `)
			for i := range n {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteByte('(')
				for c := range 9 {
					if c > 0 {
						b.WriteByte(',')
					}
					switch {
					case c < 3:
						b.WriteString("$" + strconv.Itoa(8*i+c+1))
					case c == 3:
						b.WriteString(strconv.Itoa(int(reserved)))
					default:
						b.WriteString("$" + strconv.Itoa(8*i+c))
					}
				}
				b.WriteByte(')')
			}
			t.text = b.String()
		})
		return t.text
	}
}()

const playerColumns = `p.key, p.tail, p.game, p.status, p.player, p.data, p.created_at, p.deadline, p.ended_at`

func scanPlayer(row store.Scanner, p *player) error {
	return row.Scan(&p.key, &p.tail, &p.game, &p.status, &p.id, &p.data, &p.createdAt, &p.deadline, &p.endedAt)
}

// findPlayer reads a player session by its id; store.ErrNoRows when there is none.
func findPlayer(tx *store.Tx, id string) (player, error) {
	key, tail, ok := parsePlayerSession(id)
	if !ok {
		return player{}, store.ErrNoRows
	}
	var p player
	err := scanPlayer(tx.QueryRow(`SELECT `+playerColumns+` FROM player_session p WHERE p.key = $1 AND p.tail = $2`, key, tail), &p)
	return p, err
}

// acceptPlayer makes a reservation ACTIVE, unless it is none any more.
func acceptPlayer(tx *store.Tx, key store.Key) (ok bool, err error) {
	n, err := tx.Exec(`UPDATE player_session SET status = $2, deadline = NULL, joined_at = $4 WHERE key = $1 AND status = $3 AND deadline > $4`,
		key, joinedIn, reserved, tx.NowMs())
	return n == 1, err
}

// removePlayer completes a player session that is RESERVED or ACTIVE, under the lock of its
// game session, and gives its slot back.
func removePlayer(tx *store.Tx, game, key store.Key) error {
	n, err := tx.Exec(`UPDATE player_session SET status = $2, deadline = NULL, ended_at = $3 WHERE key = $1 AND status IN ($4, $5)`,
		key, completed, tx.NowMs(), reserved, joinedIn)
	if err != nil || n == 0 {
		return err
	}
	_, err = tx.Exec(`UPDATE game_session SET players = players - 1 WHERE key = $1`, game)
	return err
}

// gameHead is what a player session shows of its game session.
type gameHead struct {
	key, fleetKey store.Key
	id            string
	fleet         arn.FleetID
	location      arn.Location
	ip            string
	dns           *string
	port          int32
}

// named tells whether an ARN names this game session.
func (g gameHead) named(name string) bool {
	p, err := arn.ParseGameSession(name)
	return err == nil && p.ID == g.id && p.Fleet == g.fleet && (p.Location == "" || p.Location == g.location)
}

const headColumns = `g.key, g.fleet, g.id, g.fleet_id, g.location, g.ip, g.dns, g.port`

func (g *gameHead) targets() []any {
	return []any{&g.key, &g.fleetKey, &g.id, &g.fleet, &g.location, &g.ip, &g.dns, &g.port}
}

func headByKey(tx *store.Tx, key store.Key) (g gameHead, err error) {
	err = tx.QueryRow(`SELECT `+headColumns+` FROM game_session g WHERE g.key = $1`, key).Scan(g.targets()...)
	return g, err
}

// findHead is findGame for those who need little of it.
func findHead(tx *store.Tx, name string) (g gameHead, err error) {
	p, ok := parseGame(name)
	if !ok {
		return gameHead{}, store.ErrNoRows
	}
	err = tx.QueryRow(`SELECT `+headColumns+` FROM game_session g WHERE g.id = $1 AND g.fleet_id = $2`, p.ID, p.Fleet).Scan(g.targets()...)
	if err == nil && !g.named(name) {
		return gameHead{}, store.ErrNoRows
	}
	return g, err
}

const pageColumns = `key, tail, status, player, data, created_at, ended_at`

func (p *player) pageTargets() []any {
	return []any{&p.key, &p.tail, &p.status, &p.id, &p.data, &p.createdAt, &p.endedAt}
}

// pageOfGame reads player sessions of a game session in the order of their keys, those with
// one status or, when status is 0, all. The index has the status before the key, so all of
// them are the merge of four ranges, of which only as many rows are read as are wanted.
func pageOfGame(tx *store.Tx, game store.Key, status playerStatus, after store.Key, limit int) ([]player, error) {
	query, args := pageOfGameAll[tx.Dialect()], []any{game, after, limit}
	if status != 0 {
		query, args = pageOfGameOne, append(args, status)
	}
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := make([]player, 0, min(limit, 16))
	for rows.Next() {
		list = append(list, player{game: game})
		if err := rows.Scan(list[len(list)-1].pageTargets()...); err != nil {
			return nil, err
		}
	}
	return list, rows.Err()
}

const pageOfGameOne = `SELECT ` + pageColumns + ` FROM player_session WHERE game = $1 AND status = $4 AND key > $2 ORDER BY key LIMIT $3`

var pageOfGameAll = func() (texts [2]string) {
	var ranges []string
	for status := reserved; status <= timedOut; status++ {
		ranges = append(ranges, fmt.Sprintf(`SELECT `+pageColumns+` FROM player_session WHERE game = $1 AND status = %d AND key > $2`, status))
	}
	for d := range texts {
		texts[d] = merge(store.Dialect(d), ranges)
	}
	return texts
}()

// merge reads ranges of an index, each of which is in the order of its first column, as one
// in that order, up to the limit in $3. SQLite merges them row by row; PostgreSQL would read
// and sort all of them, so it is told where each one ends.
func merge(d store.Dialect, ranges []string) string {
	text := strings.Join(ranges, ` UNION ALL `)
	if d == store.Postgres && len(ranges) > 1 {
		text = `(` + strings.Join(ranges, ` ORDER BY 1 LIMIT $3) UNION ALL (`) + ` ORDER BY 1 LIMIT $3)`
	}
	return text + ` ORDER BY 1 LIMIT $3`
}

// pageOfPlayer reads player sessions of a player in the order of their keys, in one fleet
// or, when fleet is 0, in all, and in one game session or, when game is 0, in all.
func pageOfPlayer(tx *store.Tx, id string, fleet, game, after store.Key, limit int) ([]player, []gameHead, error) {
	query := `SELECT p.key, p.tail, p.status, p.player, p.data, p.created_at, p.ended_at, ` + headColumns + `
		FROM player_session p JOIN game_session g ON g.key = p.game
		WHERE p.print = $1 AND p.player = $2 AND p.key > $3`
	args := []any{fingerprint(id), id, after, limit}
	if fleet != 0 {
		args = append(args, fleet)
		query += ` AND g.fleet = $` + strconv.Itoa(len(args))
	}
	if game != 0 {
		args = append(args, game)
		query += ` AND p.game = $` + strconv.Itoa(len(args))
	}
	rows, err := tx.Query(query+` ORDER BY p.key LIMIT $4`, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	var list []player
	var heads []gameHead
	for rows.Next() {
		var p player
		var g gameHead
		if err := rows.Scan(append(p.pageTargets(), g.targets()...)...); err != nil {
			return nil, nil, err
		}
		list, heads = append(list, p), append(heads, g)
	}
	return list, heads, rows.Err()
}
