package matchmaking

import (
	"cmp"

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

	ruleSets ruleSets
}

// Config are the room's numbers. A zero field means its default.
type Config struct {
	RuleSets       int // default 1,000 (flexmatch.md 1.9)
	Configurations int // default 100
}

func (c Config) orDefaults() Config {
	return Config{
		RuleSets:       cmp.Or(c.RuleSets, 1000),
		Configurations: cmp.Or(c.Configurations, 100),
	}
}
