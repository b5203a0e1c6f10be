package session

import (
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// What the keepers of hosts need to know of game sessions.

// Hosted is a game session that became ACTIVE on a process.
type Hosted struct {
	Process store.Key
	Game    arn.GameSessionID
}

// hostingTx tells the seam Hosting.
func (s *Service) hostingTx(tx *store.Tx, processes []store.Key, games []*startingGame) error {
	if s.Hosting == nil {
		return nil
	}
	list := make([]Hosted, len(processes))
	for i, p := range processes {
		list[i] = Hosted{p, s.Home.GameSession(games[i].fleet, games[i].location, games[i].id)}
	}
	return s.Hosting(tx, list)
}

// ProtectedTx counts, by compute, the game sessions in a location of a fleet that a scale-in
// must not end: those with full protection that are ACTIVE or about to be (hosting.md 2.7).
func (s *Service) ProtectedTx(tx *store.Tx, f store.Key, at arn.Location) (map[arn.ComputeName]int, error) {
	rows, err := tx.Query(`SELECT compute, count(*) FROM game_session WHERE fleet = $1 AND location = $2 AND status IN ($3, $4) AND protection = $5
		GROUP BY compute ORDER BY compute`, f, at, active, activating, types.ProtectionPolicyFullProtection)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	protected := map[arn.ComputeName]int{}
	for rows.Next() {
		var on arn.ComputeName
		var n int
		if err := rows.Scan(&on, &n); err != nil {
			return nil, err
		}
		protected[on] = n
	}
	return protected, rows.Err()
}

// HostedOnTx are the game sessions that processes host now, by process.
func (s *Service) HostedOnTx(tx *store.Tx, processes []store.Key) ([]Hosted, error) {
	if len(processes) == 0 {
		return nil, nil
	}
	keys := make([]int64, len(processes))
	for i, p := range processes {
		keys[i] = int64(p)
	}
	rows, err := tx.Query(`SELECT process, fleet_id, location, id FROM game_session
		WHERE `+tx.In("process", 1)+` AND ended_at IS NULL AND status IN ($2, $3) ORDER BY key`, store.List(tx, keys), active, terminating)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Hosted
	for rows.Next() {
		var h Hosted
		var f arn.FleetID
		var at arn.Location
		var id string
		if err := rows.Scan(&h.Process, &f, &at, &id); err != nil {
			return nil, err
		}
		h.Game = s.Home.GameSession(f, at, id)
		list = append(list, h)
	}
	return list, rows.Err()
}

// ComputeTx is the compute that hosts or hosted a game session, and the game session's short
// id. found is false for one that is not known.
func (s *Service) ComputeTx(tx *store.Tx, id arn.GameSessionID) (f arn.FleetID, on arn.ComputeName, short string, found bool, err error) {
	g, err := findGame(tx, string(id), "")
	if errors.Is(err, store.ErrNoRows) {
		return "", "", "", false, nil
	}
	return g.fleet, g.compute, g.id, err == nil, err
}

// Where says where a game session runs, or ran.
type Where struct {
	Fleet   arn.FleetID
	Compute arn.ComputeName
	Process store.Key
	Address string // its DNS name or else its IP address
	Port    int32
	Status  types.GameSessionStatus
	EndedAt time.Time // zero: it has not ended
}

// WhereTx is where a game session runs, or ran. found is false for one that is not known.
func (s *Service) WhereTx(tx *store.Tx, id arn.GameSessionID) (w Where, found bool, err error) {
	g, err := findGame(tx, string(id), "")
	if errors.Is(err, store.ErrNoRows) {
		return w, false, nil
	}
	if err != nil {
		return w, false, err
	}
	w = Where{Fleet: g.fleet, Compute: g.compute, Process: g.process, Address: g.ip, Port: g.port, Status: g.status}
	if g.dns != nil && *g.dns != "" {
		w.Address = *g.dns
	}
	if g.endedAt != nil {
		w.EndedAt = time.UnixMilli(*g.endedAt).UTC()
	}
	return w, true, nil
}
