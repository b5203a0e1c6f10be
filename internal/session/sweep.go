package session

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/store"
)

// sweepBatch is how many rows one transaction of a sweep changes.
const sweepBatch = 1000

// Tick does what is due at now: reservations time out, game sessions that were not
// activated in time end, and what is kept no longer is removed. Each works in batches, a
// transaction each, and finds in the rows alone what is left to do, so it may be
// interrupted and repeated at will.
func (s *Service) Tick(ctx context.Context, now time.Time) error {
	for _, sweep := range []func(tx *store.Tx, now int64) (more bool, err error){
		s.expireReservations, s.expireActivations, s.removeOld, s.removeCreators,
	} {
		for more := true; more; {
			if err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
				more, err = sweep(tx, now.UnixMilli())
				return err
			}); errors.Is(err, errRaced) {
				more = true
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

// expireReservations times out player sessions whose deadline has come, as of that
// deadline, and gives their slots back.
func (s *Service) expireReservations(tx *store.Tx, now int64) (more bool, err error) {
	n, err := timeOutPlayers(tx, now, sweepBatch)
	return n == sweepBatch, err
}

// expireActivations ends a game session that was not activated in time. Its process is told
// to end, since it may still believe that it hosts something.
func (s *Service) expireActivations(tx *store.Tx, now int64) (more bool, err error) {
	g, found, err := overdueGame(tx, now)
	if err != nil || !found {
		return false, err
	}
	if err := s.Computes.SendTx(tx, g.process, compute.TerminateProcess{At: tx.Now.Add(terminateGrace)}); err != nil {
		return false, err
	}
	ok, err := closeOverdue(tx, g.key, now)
	if err != nil {
		return false, err
	}
	if !ok {
		return false, errRaced
	}
	if err := s.tellOver(tx, g, NotActivated); err != nil {
		return false, err
	}
	return true, s.Fleets.EventTx(tx, g.fleet, types.EventCodeGameSessionActivationTimeout,
		"Game session "+string(s.gameARN(g))+" was not activated in time")
}

// removeOld removes game sessions that ended long ago: their player sessions first, some at
// a time, then they themselves.
func (s *Service) removeOld(tx *store.Tx, now int64) (more bool, err error) {
	games, err := endedBefore(tx, now-s.Config.orDefaults().Retention.Milliseconds(), sweepBatch/10)
	if err != nil || len(games) == 0 {
		return false, err
	}
	n, err := deletePlayers(tx, games, sweepBatch)
	if err != nil || n == sweepBatch {
		return true, err
	}
	return true, deleteGames(tx, games)
}

// removeCreators forgets when creators asked last, once it no longer matters.
func (s *Service) removeCreators(tx *store.Tx, now int64) (more bool, err error) {
	n, err := deleteCreators(tx, now-time.Hour.Milliseconds(), sweepBatch)
	return n == sweepBatch, err
}

// Due is the next instant at which Tick has something to do: the very deadline of a
// reservation or an activation, and for what is removed the full minute after, so that a
// clock stepping from one instant to the next does not stop at each row.
func (s *Service) Due(ctx context.Context) (due time.Time, ok bool, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		due, ok = time.Time{}, false
		deadline, ended, err := nextDeadlines(tx)
		if err != nil {
			return err
		}
		if deadline != nil {
			due, ok = stamp(*deadline), true
		}
		if ended == nil {
			return nil
		}
		at := stamp(*ended).Add(s.Config.orDefaults().Retention).Add(time.Minute - 1).Truncate(time.Minute)
		if !ok || at.Before(due) {
			due, ok = at, true
		}
		return nil
	})
	return due, ok, err
}
