package placement

import (
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// Depth is how many placements wait for a place, and since when the oldest does.
type Depth struct {
	Waiting int
	Oldest  time.Time
}

// depthOf is how many placements of a queue are looked at: beyond that a number says no more.
const depthOf = 1000

// DepthTx is how many placements wait for which a location of this fleet is the best place
// (hosting.md 2.12, QueueDepth). Of a queue the oldest 1000 count.
func (s *Service) DepthTx(tx *store.Tx, f fleet.Fleet) (map[arn.Location]Depth, error) {
	keys, err := waitingQueues(tx)
	if err != nil {
		return nil, err
	}
	depths := map[arn.Location]Depth{}
	for _, key := range keys {
		q, err := queueByKey(tx, key)
		if err != nil {
			return nil, err
		}
		st, err := s.stockOf(tx, q, false)
		if err != nil {
			return nil, err
		}
		if _, offered := st.fleets[f.ID]; !offered {
			continue
		}
		if err := s.countDepth(tx, key, st, f, depths); err != nil {
			return nil, err
		}
	}
	return depths, nil
}

func (s *Service) countDepth(tx *store.Tx, queue store.Key, st stock, f fleet.Fleet, depths map[arn.Location]Depth) error {
	waiting, err := scanPlacements(tx.Query(`SELECT `+placementColumns+` FROM placement p
		WHERE p.key IN (SELECT placement FROM placement_wait WHERE queue = $1) AND p.status = 1 AND p.game IS NULL ORDER BY p.key LIMIT $2`, queue, depthOf))
	if err != nil || len(waiting) == 0 {
		return err
	}
	claims, err := claimsOf(tx, waiting)
	if err != nil {
		return err
	}
	a := s.assigner(tx, st)
	for _, c := range claims {
		a.rank(c)
		if len(c.ranking.candidates) == 0 || c.ranking.candidates[0].fleet != f.ID {
			continue
		}
		at := arn.Location(c.ranking.candidates[0].location)
		d := depths[at]
		if since := stamp(c.startedAt); d.Waiting == 0 || since.Before(d.Oldest) {
			d.Oldest = since
		}
		d.Waiting++
		depths[at] = d
	}
	return nil
}

// Pending is how many placements of a queue are pending, and how long they have been, on
// average.
type Pending struct {
	Queue   string
	Count   int
	MeanAge time.Duration
}

// PendingTx is what is pending in each queue that has something pending.
func (s *Service) PendingTx(tx *store.Tx) (list []Pending, err error) {
	rows, err := tx.Query(`SELECT queue_name, COUNT(*), CAST(SUM($1 - started_at) AS BIGINT) FROM placement WHERE deadline IS NOT NULL
		GROUP BY queue_name ORDER BY queue_name`, tx.NowMs())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p Pending
		var ages int64
		if err := rows.Scan(&p.Queue, &p.Count, &ages); err != nil {
			return nil, err
		}
		p.MeanAge = time.Duration(ages) * time.Millisecond / time.Duration(p.Count)
		list = append(list, p)
	}
	return list, rows.Err()
}
