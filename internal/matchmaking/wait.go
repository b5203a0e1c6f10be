package matchmaking

import (
	"errors"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// How long a ticket will wait is guessed from those that were matched lately
// (flexmatch.md 2.12).
const (
	waitWindow  = 5 * time.Minute
	waitSlot    = 30 * time.Second
	waitSamples = 10 // fewer tell nothing
)

// estimatedWait is in seconds; nil when there is nothing to guess from.
func estimatedWait(tx *store.Tx, configuration store.Key) (*int32, error) {
	var tickets, total int64
	err := tx.QueryRow(`SELECT CAST(coalesce(sum(tickets), 0) AS BIGINT), CAST(coalesce(sum(total), 0) AS BIGINT) FROM matchmaking_wait
		WHERE configuration = $1 AND slot > $2`, configuration, tx.Now.Add(-waitWindow).UnixMilli()).Scan(&tickets, &total)
	if err != nil || tickets < waitSamples {
		return nil, err
	}
	return new(int32((total/tickets + 500) / 1000)), nil
}

// countWaits adds tickets that were matched now.
func countWaits(tx *store.Tx, configuration store.Key, list []*ticket) error {
	var tickets, total int64
	for _, t := range list {
		if t.kind == party {
			tickets++
			total += max(0, tx.NowMs()-t.Start.UnixMilli())
		}
	}
	if tickets == 0 {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO matchmaking_wait (configuration, slot, tickets, total) VALUES ($1, $2, $3, $4)
		ON CONFLICT (configuration, slot) DO UPDATE SET tickets = matchmaking_wait.tickets + excluded.tickets, total = matchmaking_wait.total + excluded.total`,
		configuration, tx.Now.Truncate(waitSlot).UnixMilli(), tickets, total)
	return err
}

func forgetWaits(tx *store.Tx, before time.Time) error {
	err := tx.QueryRow(`SELECT slot FROM matchmaking_wait WHERE slot <= $1 ORDER BY slot LIMIT 1`, before.UnixMilli()).Scan(new(int64))
	if errors.Is(err, store.ErrNoRows) {
		return nil // so that nothing is written where there is nothing to do
	}
	if err == nil {
		_, err = tx.Exec(`DELETE FROM matchmaking_wait WHERE slot <= $1`, before.UnixMilli())
	}
	return err
}
