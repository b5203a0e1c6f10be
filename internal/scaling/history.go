package scaling

import (
	"context"
	"errors"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	// recordEvery is how far two points of a location's history are apart in the last hour.
	recordEvery = 10 * time.Second
	// keptFine is how long all of them are kept; of those before it, one a minute.
	keptFine = time.Hour
	// HistoryKept is how long the history of capacity reaches back.
	HistoryKept = 7 * 24 * time.Hour
)

// Point is what a location had at one time.
type Point struct {
	At                int64 // epoch milliseconds
	Location          arn.Location
	Desired, Min, Max int
	Pending           int // instances, as the next two; idle ones are among the active
	Active, Idle      int
	Free              int // processes that could host a game session
	Sessions          int // game sessions, those being activated too
	Players           int
	Waiting           int // placements that could go there
}

// record writes down what every location of every managed fleet has, once in 10 seconds of
// the clock, and thins out what is old. Times that passed unseen have no points.
func (s *Service) record(ctx context.Context, now time.Time) error {
	slot := now.UnixMilli() / recordEvery.Milliseconds()
	var last int64
	var wants []fleet.Want
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		wants = nil
		if err := tx.QueryRow(`SELECT minute FROM scaling_clock WHERE id = 2`).Scan(&last); err != nil || last >= slot {
			return err
		}
		wants, err = s.Fleets.WantsTx(tx)
		return err
	})
	if err != nil || len(wants) == 0 {
		return err
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE scaling_clock SET minute = $1 WHERE id = 2 AND minute < $1`, slot)
		if err != nil || n == 0 {
			return err
		}
		at := slot * recordEvery.Milliseconds()
		if hour := keptFine.Milliseconds() / recordEvery.Milliseconds(); slot/hour != last/hour {
			if err := thinTx(tx, at); err != nil {
				return err
			}
		}
		points, err := s.pointsTx(tx, at, wants)
		if err != nil {
			return err
		}
		return tx.InsertMany(`INSERT INTO capacity_history (fleet, at, location, desired, minimum, maximum, pending, active, idle, free, sessions, players, waiting)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`, points)
	})
}

func thinTx(tx *store.Tx, now int64) error {
	_, err := tx.Exec(`DELETE FROM capacity_history WHERE at < $1 OR at < $2 AND at % 60000 <> 0`, now-HistoryKept.Milliseconds(), now-keptFine.Milliseconds())
	return err
}

// pointsTx are rows for locations whose instances are not all to end. A fleet's locations
// follow one another.
func (s *Service) pointsTx(tx *store.Tx, at int64, wants []fleet.Want) (rows [][]any, err error) {
	var samples map[arn.Location]Sample
	for i, w := range wants {
		if i == 0 || wants[i-1].Fleet.Key != w.Fleet.Key {
			if samples, err = s.Measure(tx, w.Fleet); err != nil {
				return nil, err
			}
		}
		m, measured := samples[w.Location]
		if !measured || w.Stopping {
			continue
		}
		rows = append(rows, []any{
			w.Fleet.Key, at, string(w.Location), w.Desired, w.Min, w.Max, m.Pending, m.ActiveInstances, m.IdleInstances, m.Free, m.Active + m.Activating, m.Players, m.QueueDepth,
		})
	}
	return rows, nil
}

// HistoryTx is the history of a fleet's capacity since an instant (epoch milliseconds),
// oldest first, of one location or, without one, of all added up. There is at most one point
// in each step of so many milliseconds, the last that was recorded in it.
func (s *Service) HistoryTx(tx *store.Tx, id arn.FleetID, at arn.Location, since, step int64) ([]Point, error) {
	f, err := s.Fleets.GetTx(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(`SELECT at, location, desired, minimum, maximum, pending, active, idle, free, sessions, players, waiting FROM capacity_history
		WHERE fleet = $1 AND at >= $2 AND (location = $3 OR $3 = '') ORDER BY at, location`, f.Key, since, string(at))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Point
	for rows.Next() {
		var p Point
		if err := rows.Scan(&p.At, &p.Location, &p.Desired, &p.Min, &p.Max, &p.Pending, &p.Active, &p.Idle, &p.Free, &p.Sessions, &p.Players, &p.Waiting); err != nil {
			return nil, err
		}
		n := len(list)
		switch {
		case n > 0 && list[n-1].At == p.At:
			list[n-1].add(p)
		case n > 0 && list[n-1].At/step == p.At/step:
			list[n-1] = p
		default:
			list = append(list, p)
		}
	}
	return list, rows.Err()
}

// add makes of a point that of two locations.
func (p *Point) add(o Point) {
	p.Location = ""
	p.Desired, p.Min, p.Max = p.Desired+o.Desired, p.Min+o.Min, p.Max+o.Max
	p.Pending, p.Active, p.Idle, p.Free = p.Pending+o.Pending, p.Active+o.Active, p.Idle+o.Idle, p.Free+o.Free
	p.Sessions, p.Players, p.Waiting = p.Sessions+o.Sessions, p.Players+o.Players, p.Waiting+o.Waiting
}
