package matchmaking

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/tag"
)

// Service is the matchmaking room. All rooms are required, Events may be nil; fill it before
// the first call and do not copy it.
type Service struct {
	DB         *store.DB
	Home       arn.Home
	Tags       *tag.Service
	Fleets     *fleet.Service
	Computes   *compute.Service
	Sessions   *session.Service
	Placements *placement.Service
	Events     *event.Log
	Config     Config

	// Wake is called when a configuration's pool has something to do: Pass is for it. It must
	// return at once. May be nil.
	Wake func(configuration store.Key)

	ruleSets  ruleSets
	startOnce sync.Once
	starts    store.Batcher[*starting, started]
	pools     pools
	looks     atomic.Int64
}

// Config are the room's numbers. A zero field means its default.
type Config struct {
	RuleSets       int // default 1,000 (flexmatch.md 1.9)
	Configurations int // default 100

	Retention time.Duration // how long ended tickets, and their ids, are kept; default 24 h

	// The switches of flexmatch.md 7. False is this project's reading of what AWS leaves open.
	PartyAsOne           bool   // a party is one value in comparison and distance rules (2.3)
	AnyLocation          bool   // tickets of a small match need no location in common (1.5)
	SilentSearchOn       bool   // who had not answered when another rejected searches on (2.6)
	BackfillKeepsPlayers bool   // backfill tickets do not count as a player's ticket (2.9)
	BackfillRefills      bool   // automatic backfill also fills slots of players who left (2.10)
	LocationHint         bool   // events of STANDALONE matches name the best location (2.4)
	Seed                 uint64 // breaks ties between tickets of the same age; 0: by their ids
}

func (c Config) orDefaults() Config {
	return Config{
		RuleSets:       cmp.Or(c.RuleSets, 1000),
		Configurations: cmp.Or(c.Configurations, 100),
		Retention:      cmp.Or(c.Retention, 24*time.Hour),
	}
}
