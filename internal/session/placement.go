package session

import (
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// This file is what the placement room needs: game sessions that it starts on processes it
// has reserved, and word of what became of them.

// Starting is a game session to be started on a reserved process.
type Starting struct {
	ID         string // last segment of its ARN; not used yet on the fleet
	Fleet      fleet.Fleet
	Location   arn.Location
	Process    compute.Reserved
	Maximum    int32
	Name       *string
	Data       *string
	Matchmaker *string
	Properties []types.GameProperty
}

// Started is a game session that StartManyTx made.
type Started struct {
	Key store.Key
	ARN arn.GameSessionID
}

// StartManyTx makes game sessions, ACTIVATING, and sends each to its process. The fleets are
// held.
func (s *Service) StartManyTx(tx *store.Tx, list []Starting) ([]Started, error) {
	started := make([]Started, len(list))
	games, texts := make([][]any, len(list)), make([][]any, len(list))
	processes, messages := make([]compute.Reserved, len(list)), make([]compute.CreateGameSession, len(list))
	for i, n := range list {
		g := game{
			key: tx.NewKey(), id: n.ID, fleetKey: n.Fleet.Key, fleet: n.Fleet.ID, location: n.Location,
			status: activating, policy: types.PlayerSessionCreationPolicyAcceptAll, protection: n.Fleet.Protection, maximum: n.Maximum,
			process: n.Process.Key, compute: n.Process.Compute, ip: n.Process.IPAddress, dns: n.Process.DNSName, port: n.Process.Port,
			createdAt: tx.NowMs(), deadline: new(tx.Now.Add(n.Fleet.ActivationTimeout()).UnixMilli()),
			name: n.Name, data: n.Data, matchmaker: n.Matchmaker, properties: n.Properties,
		}
		if g.protection == "" {
			g.protection = types.ProtectionPolicyNoProtection
		}
		if g.properties == nil {
			g.properties = []types.GameProperty{}
		}
		properties, err := json.Marshal(g.properties)
		if err != nil {
			return nil, err
		}
		games[i] = []any{
			g.players, g.key, g.id, g.fleetKey, g.fleet, g.location, g.status, g.policy, g.protection, g.maximum,
			g.process, g.compute, g.ip, g.dns, g.port, g.createdAt, g.deadline,
		}
		texts[i] = []any{g.print, g.key, g.name, string(properties), g.data, g.matchmaker}
		processes[i], messages[i] = n.Process, s.startMessage(g)
		started[i] = Started{g.key, s.gameARN(g)}
	}
	if err := tx.InsertMany(`INSERT INTO game_session (players, key, id, fleet, fleet_id, location, status, policy, protection, maximum,
		process, compute, ip, dns, port, created_at, deadline) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`, games); err != nil {
		return nil, err
	}
	if err := tx.InsertMany(`INSERT INTO game_session_text (print, game, name, properties, data, matchmaker) VALUES ($1, $2, $3, $4, $5, $6)`, texts); err != nil {
		return nil, err
	}
	return started, s.Computes.StartManyTx(tx, processes, messages)
}

// Named is a game session's id within a fleet.
type Named struct {
	Fleet arn.FleetID
	ID    string
}

// UsedTx tells which ids the game sessions of any fleet have used that are still kept.
func (s *Service) UsedTx(tx *store.Tx, ids []string) (map[Named]bool, error) {
	rows, err := tx.Query(`SELECT fleet_id, id FROM game_session WHERE `+tx.In("id", 1), store.List(tx, ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	used := map[Named]bool{}
	for rows.Next() {
		var n Named
		if err := rows.Scan(&n.Fleet, &n.ID); err != nil {
			return nil, err
		}
		used[n] = true
	}
	return used, rows.Err()
}

// Seat is a player who gets a slot with the game session.
type Seat struct {
	Player string
	Data   *string
}

// Seats are the players who get slots with a game session.
type Seats struct {
	Game    store.Key
	Players []Seat
}

// SeatTx reserves a slot for each player of game sessions, in order, and returns the ids of
// the player sessions of each. It is called by Activated: nobody else has seen the game
// sessions ACTIVE yet, so there is room for all.
func (s *Service) SeatTx(tx *store.Tx, all []Seats) (ids [][]string, err error) {
	deadline := tx.Now.Add(s.Config.orDefaults().ReservationTimeout).UnixMilli()
	ids = make([][]string, len(all))
	var rows []playerRow
	var counts [][]any
	for i, g := range all {
		for _, p := range g.Players {
			r := playerRow{newPlayer{p.Player, p.Data, fingerprint(p.Player), store.Tail(), tx.NewKey()}, g.Game, deadline}
			rows = append(rows, r)
			ids[i] = append(ids[i], playerSessionID(r.key, r.tail))
		}
		counts = append(counts, []any{g.Game, len(g.Players)})
	}
	if len(rows) == 0 {
		return ids, nil
	}
	if _, err := tx.ExecMany(`UPDATE game_session SET players = players + $2 WHERE key = $1`, counts); err != nil {
		return nil, err
	}
	return ids, insertPlayers(tx, rows)
}

// AbandonTx ends a game session that is still ACTIVATING, since nobody wants it any more,
// and tells its process to end. ok is false when it is not ACTIVATING. Over is not called.
func (s *Service) AbandonTx(tx *store.Tx, key store.Key) (ok bool, err error) {
	var process store.Key
	err = tx.QueryRow(`SELECT process FROM game_session WHERE key = $1 AND status = $2`, key, activating).Scan(&process)
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := s.Computes.SendTx(tx, process, compute.TerminateProcess{At: tx.Now.Add(terminateGrace)}); err != nil {
		return false, err
	}
	n, err := tx.Exec(`UPDATE game_session SET status = $2, deadline = NULL, ended_at = $3 WHERE key = $1 AND status = $4`,
		key, terminated, tx.NowMs(), activating)
	return n == 1, err
}

// Failure is why a game session ended before it was ACTIVE.
type Failure string

// The failures.
const (
	NotActivated Failure = "its activation timed out"
	ProcessLost  Failure = "its process ended"
	Ended        Failure = "it was terminated by a call"
)

// tellOver passes on that a game session that was ACTIVATING will not become ACTIVE.
func (s *Service) tellOver(tx *store.Tx, g game, why Failure) error {
	if s.Over == nil || g.status != activating {
		return nil
	}
	return s.Over(tx, g.key, why)
}
