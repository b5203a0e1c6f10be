package placement

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/tag"
)

// Service is the placement room. All rooms are required, Events may be nil; fill it before
// the first call and do not copy it.
type Service struct {
	DB       *store.DB
	Home     arn.Home
	Fleets   *fleet.Service
	Computes *compute.Service
	Sessions *session.Service
	Tags     *tag.Service
	Events   *event.Log
	Config   Config

	// Outcome is called in the transaction that brings placements to their final states. May
	// be nil.
	Outcome func(tx *store.Tx, list []Outcome) error

	startOnce sync.Once
	starts    store.Batcher[*starting, placement]
}

// Config are the room's numbers. A zero field means its default.
type Config struct {
	Queues         int           // default 20 (sessions-placement.md 9.1)
	Destinations   int           // of a queue; default 10
	DefaultTimeout time.Duration // of a queue that was made without; default 600 s
	Retention      time.Duration // how long ended placements, and their ids, are kept; default 30 days
	MaxPlayers     int32         // most of MaximumPlayerSessionCount; default 200
}

func (c Config) orDefaults() Config {
	return Config{
		Queues:         cmp.Or(c.Queues, 20),
		Destinations:   cmp.Or(c.Destinations, 10),
		DefaultTimeout: cmp.Or(c.DefaultTimeout, 600*time.Second),
		Retention:      cmp.Or(c.Retention, 30*24*time.Hour),
		MaxPlayers:     cmp.Or(c.MaxPlayers, 200),
	}
}

// Channel is where a transaction that leaves placements waiting notifies, with the key of
// their queue.
const Channel = "placement"

const queueKind = "gamesessionqueue" // in ARNs

// ExistsTx tells whether a queue exists, for the tag room. Other kinds do not.
func (s *Service) ExistsTx(tx *store.Tx, kind, id string) (bool, error) {
	if kind != queueKind {
		return false, nil
	}
	_, err := queueByName(tx, id, "")
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// takeQuota counts one more queue, unless there are as many as there may be. Call it last in
// a transaction: all creations wait for each other here.
func takeQuota(tx *store.Tx, limit int) error {
	n, err := tx.Exec(`UPDATE placement_quota SET used = used + 1 WHERE name = 'queue' AND used < $1`, limit)
	if err == nil && n == 0 {
		return apierr.LimitExceeded("the quota of %d queues is used up", limit)
	}
	return err
}

func giveQuota(tx *store.Tx) error {
	_, err := tx.Exec(`UPDATE placement_quota SET used = used - 1 WHERE name = 'queue'`)
	return err
}
