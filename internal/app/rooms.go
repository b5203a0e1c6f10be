package app

import (
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/tag"
)

// rooms are all rooms, wired to each other. They are reached by pointer and not copied.
type rooms struct {
	tags   tag.Service
	fleets fleet.Service
}

// wire fits the rooms together. What a room needs of one above it is a function, set here.
func wire(db *store.DB, home arn.Home) *rooms {
	r := &rooms{}
	r.tags = tag.Service{DB: db, Exists: r.fleets.ExistsTx}
	r.fleets = fleet.Service{DB: db, Home: home, Tags: &r.tags}
	return r
}

// duties are the rooms' background work, in the order in which one instant runs it: from
// the ground up, so that what a lower room ends is seen by the one above.
func (r *rooms) duties() []duty {
	return []duty{
		{name: "fleet", tick: r.fleets.Tick, due: r.fleets.Due},
	}
}
