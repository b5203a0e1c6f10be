package fleet

import (
	"context"
	"hash/fnv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	// foldWithin is how long after an event its repeats are counted into it. AWS folds
	// repeats and does not say how (hosting.md 2.5).
	foldWithin = 5 * time.Minute
	// maxRepeats stands for "more than 100".
	maxRepeats = 101

	eventsPage = 100 // default and most
)

// EventTx records that something happened to a fleet. Events of hosts and processes that
// repeat with the same message within five minutes are counted into the first one; changes
// of state are told one by one. The fleet is not looked up, so that an event may also be the
// last thing told of it; an id that was never made here is dropped.
func (s *Service) EventTx(tx *store.Tx, id arn.FleetID, code types.EventCode, message string) error {
	return s.eventTx(tx, id, code, message, "")
}

// eventTx is EventTx with the log that belongs to the event.
func (s *Service) eventTx(tx *store.Tx, id arn.FleetID, code types.EventCode, message, log string) error {
	fleet, _, err := parseID(id)
	if err != nil {
		return nil //nolint:nilerr // documented: not one of our fleets
	}
	fp := fingerprint(code, message)
	if folds(code) {
		n, err := tx.Exec(`UPDATE fleet_event SET repeats = CASE WHEN repeats < $4 THEN repeats + 1 ELSE repeats END
			WHERE key = (SELECT key FROM fleet_event WHERE fleet = $1 AND print = $2 AND at > $3 AND code = $5 AND message = $6
				ORDER BY at DESC, key DESC LIMIT 1)`,
			fleet, fp, tx.NowMs()-foldWithin.Milliseconds(), maxRepeats, code, message)
		if err != nil || n > 0 {
			return err
		}
	}
	_, err = tx.Exec(`INSERT INTO fleet_event (key, tail, fleet, at, code, message, print, repeats, log) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)`,
		tx.NewKey(), store.Tail(), fleet, tx.NowMs(), code, message, fp, log)
	return err
}

// stateEventTx records that the fleet changed state.
func (s *Service) stateEventTx(tx *store.Tx, id arn.FleetID, status types.FleetStatus) error {
	return s.EventTx(tx, id, types.EventCode("FLEET_STATE_"+string(status)), "Fleet "+string(id)+" changed state to "+string(status))
}

// folds tells whether repeats of an event are counted: not those of the history of a fleet
// or of its locations, in which each entry has its place.
func folds(code types.EventCode) bool {
	return !strings.HasPrefix(string(code), "FLEET_") && !strings.HasPrefix(string(code), "LOCATION_")
}

func fingerprint(code types.EventCode, message string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(code))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(message))
	return int64(h.Sum64())
}

// DescribeFleetEvents lists what happened to a fleet, newest first, from StartTime to
// EndTime, both included. Without StartTime it begins with the oldest event kept, without
// EndTime it goes up to now.
func (s *Service) DescribeFleetEvents(ctx context.Context, in *gamelift.DescribeFleetEventsInput) (*gamelift.DescribeFleetEventsOutput, error) {
	from, to := span(in.StartTime, in.EndTime)
	if in.StartTime != nil && in.EndTime != nil && in.EndTime.Before(*in.StartTime) {
		return nil, apierr.InvalidRequest("EndTime: it is before StartTime")
	}
	id, err := parseFleet(in.FleetId)
	if err != nil {
		return nil, err
	}
	bind := []any{id, from, to}
	at, key := to, store.Key(1<<63-1)
	if _, err := page.Decode("DescribeFleetEvents", bind, in.NextToken, &at, &key); err != nil {
		return nil, err
	}
	size := page.Size(in.Limit, eventsPage, eventsPage)
	out := &gamelift.DescribeFleetEventsOutput{Events: []types.Event{}}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		f, err := s.fleetOf(tx, in.FleetId)
		if err != nil {
			return err
		}
		rows, err := tx.Query(`SELECT key, tail, at, code, message, repeats, log <> '' FROM fleet_event
			WHERE fleet = $1 AND at >= $2 AND at <= $3 AND (at < $3 OR key < $4)
			ORDER BY at DESC, key DESC LIMIT $5`, f.Key, from, at, key, size+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if len(out.Events) == size {
				out.NextToken = new(page.Encode("DescribeFleetEvents", bind, at, key))
				break
			}
			e := types.Event{ResourceId: new(string(f.ID)), Message: new(string)}
			var tail, repeats int64
			var logged bool
			if err := rows.Scan(&key, &tail, &at, &e.EventCode, e.Message, &repeats, &logged); err != nil {
				return err
			}
			e.EventId, e.EventTime = new(key.UUID(tail)), new(time.UnixMilli(at).UTC())
			if logged && s.EventLogURL != nil {
				e.PreSignedLogUrl = new(s.EventLogURL(logPath(f.ID, *e.EventId, e.EventCode)))
			}
			if repeats > 1 {
				e.Count = &repeats
			}
			out.Events = append(out.Events, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// logPath is where AWS keeps the log of an event: the end of the URL that is given for it.
func logPath(id arn.FleetID, event string, code types.EventCode) string {
	return "logs/" + string(id) + "/events/" + event + "/" + string(code) + ".txt"
}

// EventLog is the log of an event by the path that EventLogURL was given. The error is
// store.ErrNoRows when there is none.
func (s *Service) EventLog(ctx context.Context, path string) (log string, err error) {
	parts := strings.Split(path, "/")
	if len(parts) != 5 {
		return "", store.ErrNoRows
	}
	key, tail, err := store.ParseUUID(parts[3])
	if err != nil {
		return "", store.ErrNoRows
	}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		var code types.EventCode
		if err := tx.QueryRow(`SELECT code, log FROM fleet_event WHERE key = $1 AND tail = $2 AND log <> ''`, key, tail).Scan(&code, &log); err != nil {
			return err
		}
		if path != logPath(arn.FleetID(parts[1]), parts[3], code) {
			return store.ErrNoRows
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return log, nil
}

// span turns the callers' bounds into whole milliseconds, as events have them.
func span(start, end *time.Time) (from, to int64) {
	from, to = 0, 1<<62
	if start != nil {
		from = start.UnixMilli()
		if start.After(time.UnixMilli(from)) {
			from++
		}
	}
	if end != nil {
		to = end.UnixMilli()
	}
	return from, to
}
