package session

import (
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// LastUseTx is when a game session last was in a location of a fleet: now when one is, the
// end of the last one otherwise, and the zero time when none was as far as is known.
func (s *Service) LastUseTx(tx *store.Tx, id arn.FleetID, at arn.Location) (time.Time, error) {
	f, err := s.Fleets.GetTx(tx, id)
	if err != nil {
		return time.Time{}, err
	}
	var running int
	if err := tx.QueryRow(`SELECT count(*) FROM game_session WHERE fleet = $1 AND location = $2 AND status IN ($3, $4, $5)`,
		f.Key, at, activating, active, terminating).Scan(&running); err != nil {
		return time.Time{}, err
	}
	if running > 0 {
		return tx.Now, nil
	}
	var last *int64
	if err := tx.QueryRow(`SELECT max(ended_at) FROM game_session WHERE fleet = $1 AND location = $2`, f.Key, at).Scan(&last); err != nil || last == nil {
		return time.Time{}, err
	}
	return time.UnixMilli(*last).UTC(), nil
}
