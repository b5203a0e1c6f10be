package compute

import (
	"errors"
	"fmt"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// ReserveTx takes a free process of a fleet in one location, for a game session: on the
// compute that hosts most, so that others empty, and there the one that is ready for
// longest. Computes at their limit of activations are left out (sessions-placement.md 4.5).
// The process is HOSTING from then on, and activating until ActivatedTx. The error is
// ErrNoProcess, wrapped with the reason, when there is none.
//
// Of concurrent calls each gets a process of its own. On PostgreSQL a call passes over
// computes that other transactions have locked, as long as another one will do; a
// transaction that reserves more than once may in a full location wait for one that waits
// for it, which the database ends by running one of them again.
func (s *Service) ReserveTx(tx *store.Tx, f fleet.Fleet, at arn.Location) (Process, error) {
	c, err := takeCompute(tx, f, at)
	if errors.Is(err, store.ErrNoRows) {
		return Process{}, whyNone(tx, f, at)
	}
	if err != nil {
		return Process{}, err
	}
	p, err := scanProcess(tx.QueryRow(`UPDATE process SET status = $2, free = 0, activating = 1, hosted = 1
		WHERE key = (SELECT key FROM process WHERE compute = $1 AND free = 1 ORDER BY ready_at, key LIMIT 1)
		RETURNING `+processColumns, c, StatusHosting))
	if errors.Is(err, store.ErrNoRows) {
		return Process{}, fmt.Errorf("compute %d counts a free process and has none", c)
	}
	return p.Process, err
}

// takeCompute finds the compute for one more game session, counts that in, and keeps it
// locked. The error is store.ErrNoRows when there is none.
func takeCompute(tx *store.Tx, f fleet.Fleet, at arn.Location) (c store.Key, err error) {
	locks := []string{""}
	if tx.Dialect() == store.Postgres {
		locks = []string{" FOR UPDATE SKIP LOCKED", " FOR UPDATE"}
	}
	for _, lock := range locks {
		err = tx.QueryRow(`UPDATE compute SET ready = ready - 1, free = free - 1, hosting = hosting + 1, activating = activating + 1
			WHERE key = (SELECT key FROM compute WHERE fleet = $1 AND location = $2 AND free > 0 AND cordon = 0 AND activating < $3
				ORDER BY hosting DESC, key LIMIT 1`+lock+`) RETURNING key`, f.Key, at, f.MaxActivations()).Scan(&c)
		if !errors.Is(err, store.ErrNoRows) {
			return c, err
		}
	}
	return 0, err
}

// whyNone is ErrNoProcess with the reason.
func whyNone(tx *store.Tx, f fleet.Fleet, at arn.Location) error {
	var computes, ready, free, hosting, blocked, closed int64
	err := tx.QueryRow(`SELECT count(*), COALESCE(CAST(sum(ready) AS BIGINT), 0), COALESCE(CAST(sum(free) AS BIGINT), 0),
			COALESCE(CAST(sum(hosting) AS BIGINT), 0), COALESCE(CAST(sum(CASE WHEN activating >= $3 AND cordon = 0 THEN free ELSE 0 END) AS BIGINT), 0),
			COALESCE(CAST(sum(CASE WHEN cordon > 0 THEN free ELSE 0 END) AS BIGINT), 0)
		FROM compute WHERE fleet = $1 AND location = $2`, f.Key, at, f.MaxActivations()).Scan(&computes, &ready, &free, &hosting, &blocked, &closed)
	switch {
	case err != nil:
		return err
	case computes == 0:
		return fmt.Errorf("%w: fleet %s has no compute in %s", ErrNoProcess, f.ID, at)
	case blocked > 0:
		return fmt.Errorf("%w: %d are ready in %s, but their computes activate %d game sessions each, which is the limit", ErrNoProcess, blocked, at, f.MaxActivations())
	case closed > 0:
		return fmt.Errorf("%w: %d are ready in %s, but their instances are about to end", ErrNoProcess, closed, at)
	case ready > 0 && free == 0:
		return fmt.Errorf("%w: %d are ready in %s, but none of them is connected, healthy and not told to end", ErrNoProcess, ready, at)
	case hosting > 0:
		return fmt.Errorf("%w: all %d in %s host a game session", ErrNoProcess, hosting, at)
	}
	return fmt.Errorf("%w: none is ready on the %d computes in %s", ErrNoProcess, computes, at)
}
