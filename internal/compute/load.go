package compute

import (
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// Load is what the processes of a location do.
type Load struct {
	Free        int // ready, and can be given a game session
	Unhealthy   int // ready, but cannot: bad health, or no connection
	Activating  int // host a game session that is not active yet
	Active      int // host one that is
	Activatable int // more game sessions that may be activating at once
}

// LoadTx is the load of each location of a fleet that has computes.
func (s *Service) LoadTx(tx *store.Tx, f fleet.Fleet) (map[arn.Location]Load, error) {
	rows, err := tx.Query(`SELECT location, CAST(sum(free) AS BIGINT), CAST(sum(ready - free) AS BIGINT), CAST(sum(activating) AS BIGINT),
		CAST(sum(hosting - activating) AS BIGINT), CAST(sum(CASE WHEN activating < $2 THEN $2 - activating ELSE 0 END) AS BIGINT)
		FROM compute WHERE fleet = $1 GROUP BY location ORDER BY location`, f.Key, int64(f.MaxActivations()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	loads := map[arn.Location]Load{}
	for rows.Next() {
		var at arn.Location
		var l Load
		if err := rows.Scan(&at, &l.Free, &l.Unhealthy, &l.Activating, &l.Active, &l.Activatable); err != nil {
			return nil, err
		}
		loads[at] = l
	}
	return loads, rows.Err()
}
