package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// Live is what the game sessions of one status in one location of a fleet add up to.
type Live struct {
	Fleet    arn.FleetID
	Location arn.Location
	Status   types.GameSessionStatus
	Sessions int64
	Players  int64
	Seats    int64 // MaximumPlayerSessionCount, summed
}

// LiveTx adds up all game sessions that have not ended.
func (s *Service) LiveTx(tx *store.Tx) (list []Live, err error) {
	rows, err := tx.Query(`SELECT fleet_id, location, status, count(*), CAST(coalesce(sum(players), 0) AS BIGINT), CAST(coalesce(sum(maximum), 0) AS BIGINT)
		FROM game_session WHERE ended_at IS NULL GROUP BY fleet_id, location, status ORDER BY fleet_id, location, status`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var l Live
		if err := rows.Scan(&l.Fleet, &l.Location, &l.Status, &l.Sessions, &l.Players, &l.Seats); err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, rows.Err()
}

// Seen is a game session as a list shows it.
type Seen struct {
	Key       store.Key
	ID        arn.GameSessionID
	Name      string
	Fleet     arn.FleetID
	Location  arn.Location
	Status    types.GameSessionStatus
	Reason    string
	Compute   arn.ComputeName
	Port      int32
	Players   int32
	Maximum   int32
	CreatedAt int64 // epoch milliseconds, as EndedAt
	EndedAt   int64 // 0 while it has not ended
}

// Look says which game sessions Browse lists. The zero value means all.
type Look struct {
	Fleet    arn.FleetID
	Location arn.Location
	Status   types.GameSessionStatus
	Compute  arn.ComputeName
	Before   store.Key // those made before this one; 0: all. It holds a list still while new ones arrive.
	Skip     int       // rows that are left out at the beginning
}

func (l Look) where() (string, []any) {
	var terms []string
	var args []any
	add := func(term string, arg any) {
		args = append(args, arg)
		terms = append(terms, term+strconv.Itoa(len(args)))
	}
	if l.Fleet != "" {
		add(`g.fleet = $`, fleetKey(l.Fleet))
		add(`g.fleet_id = $`, l.Fleet)
	}
	if l.Location != "" {
		add(`g.location = $`, l.Location)
	}
	if l.Status != "" {
		add(`g.status = $`, l.Status)
	}
	if l.Compute != "" {
		add(`g.compute = $`, l.Compute)
	}
	if l.Before != 0 {
		add(`g.key <= $`, l.Before)
	}
	if len(terms) == 0 {
		return "", nil
	}
	return ` WHERE ` + strings.Join(terms, ` AND `), args
}

const seenColumns = `g.key, g.id, coalesce(t.name, ''), g.fleet_id, g.location, g.status, coalesce(g.reason, ''), g.compute, g.port,
	g.players, g.maximum, g.created_at, coalesce(g.ended_at, 0)`

func (s *Service) scanSeen(rows *store.Rows) (g Seen, err error) {
	var id string
	err = rows.Scan(&g.Key, &id, &g.Name, &g.Fleet, &g.Location, &g.Status, &g.Reason, &g.Compute, &g.Port,
		&g.Players, &g.Maximum, &g.CreatedAt, &g.EndedAt)
	g.ID = s.Home.GameSession(g.Fleet, g.Location, id)
	return g, err
}

// fleetKey is the key that a fleet's id carries, by which indexes have it; 0 for none of ours.
func fleetKey(id arn.FleetID) store.Key {
	key, _, _ := store.ParseUUID(string(id[strings.IndexByte(string(id), '-')+1:]))
	return key
}

// Browse lists game sessions, newest first, and tells how many there are in all. newest is
// the Before with which further pages show the same list.
func (s *Service) Browse(ctx context.Context, l Look, most int) (list []Seen, total int64, newest store.Key, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		list = nil
		where, args := l.where()
		if err := tx.QueryRow(`SELECT count(*), coalesce(max(g.key), 0) FROM game_session g`+where, args...).Scan(&total, &newest); err != nil {
			return err
		}
		// The rows are picked by their keys first, so that those left out cost no more than a
		// step in an index.
		rows, err := tx.Query(fmt.Sprintf(`SELECT `+seenColumns+gameTables+`WHERE g.key IN
			(SELECT g.key FROM game_session g%s ORDER BY g.key DESC LIMIT %d OFFSET %d) ORDER BY g.key DESC`, where, most, l.Skip), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			g, err := s.scanSeen(rows)
			if err != nil {
				return err
			}
			list = append(list, g)
		}
		return rows.Err()
	})
	return list, total, newest, err
}

// Between calls f with the game sessions of a fleet that were there at some time from one
// instant to another (epoch milliseconds), until it returns false: those that have not ended
// and those that ended since, in no order. Their names, reasons and ports are left out.
func (s *Service) Between(ctx context.Context, id arn.FleetID, from, to int64, f func(Seen) bool) error {
	return s.DB.Read(ctx, func(tx *store.Tx) error {
		const columns = `SELECT g.key, g.id, g.location, g.status, g.compute, g.players, g.maximum, g.created_at, coalesce(g.ended_at, 0)
			FROM game_session g WHERE g.fleet = $1 AND g.fleet_id = $2 AND g.created_at <= $4 AND `
		rows, err := tx.Query(columns+`g.status IN ('ACTIVE', 'ACTIVATING', 'TERMINATING') UNION ALL `+columns+`g.ended_at >= $3`, fleetKey(id), id, from, to)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			g := Seen{Fleet: id}
			var last string
			if err := rows.Scan(&g.Key, &last, &g.Location, &g.Status, &g.Compute, &g.Players, &g.Maximum, &g.CreatedAt, &g.EndedAt); err != nil {
				return err
			}
			g.ID = s.Home.GameSession(id, g.Location, last)
			if !f(g) {
				return nil
			}
		}
		return rows.Err()
	})
}

// Stay is a player session as a list shows it: when the slot was reserved, when the player
// joined and when he left.
type Stay struct {
	ID         arn.PlayerSessionID
	Player     string
	Data       string
	Status     types.PlayerSessionStatus
	ReservedAt int64 // epoch milliseconds, as the others
	JoinedAt   int64 // 0: he did not
	EndedAt    int64 // 0: it has not ended
	Deadline   int64 // of a reservation
}

// Stays lists the player sessions of a game session, oldest first, and tells how many there
// are in all. The error is a NotFoundException when there is no such game session.
func (s *Service) Stays(ctx context.Context, id arn.GameSessionID, skip, most int) (list []Stay, total int64, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		list = nil
		g, err := findHead(tx, string(id))
		if err != nil {
			if errors.Is(err, store.ErrNoRows) {
				return noGame(string(id))
			}
			return err
		}
		if err := tx.QueryRow(`SELECT count(*) FROM player_session WHERE game = $1`, g.key).Scan(&total); err != nil {
			return err
		}
		rows, err := tx.Query(`SELECT key, tail, status, player, coalesce(data, ''), created_at, coalesce(joined_at, 0), coalesce(ended_at, 0), coalesce(deadline, 0)
			FROM player_session WHERE game = $1 ORDER BY key LIMIT $2 OFFSET $3`, g.key, int64(most), int64(skip))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p player
			st := Stay{}
			if err := rows.Scan(&p.key, &p.tail, &p.status, &st.Player, &st.Data, &st.ReservedAt, &st.JoinedAt, &st.EndedAt, &st.Deadline); err != nil {
				return err
			}
			st.ID, st.Status = arn.PlayerSessionID(playerSessionID(p.key, p.tail)), p.status.model()
			list = append(list, st)
		}
		return rows.Err()
	})
	return list, total, err
}
