package app

import (
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/depot"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/scaling"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/tag"
)

// rooms are all rooms, wired to each other. They are reached by pointer and not copied.
type rooms struct {
	events     event.Log
	tags       tag.Service
	builds     build.Service
	fleets     fleet.Service
	computes   compute.Service
	sessions   session.Service
	hosts      host.Service
	scaling    scaling.Service
	placements placement.Service
	matches    matchmaking.Service

	links depot.Links
}

// wire fits the rooms together. What a room needs of one above it is a function, set here.
// endpoint is the URL that game servers are told to dial.
func wire(db *store.DB, c config.Config, endpoint func() string) *rooms {
	home := arn.Home{Region: c.Region, Account: c.Account}
	r := &rooms{}
	r.events = event.Log{DB: db, Home: home}
	r.tags = tag.Service{DB: db, Exists: r.exists}
	r.builds = build.Service{DB: db, Home: home, Tags: &r.tags}
	r.fleets = fleet.Service{
		DB: db, Home: home, Tags: &r.tags, Builds: &r.builds,
		Speed: speedOf(c), Expiry: c.FleetExpiry, ErrorLife: keptFor(c.FleetErrorLife),
		Deleting: r.deleting,
		Leaving:  r.computes.DropLocationTx,
		Counts:   r.counts,
		LastUse:  r.sessions.LastUseTx,

		Instances:     r.hosts.InstancesTx,
		InstanceLimit: r.hosts.LimitTx,
		Beacons:       r.hosts.BeaconsTx,
		Quotas: fleet.Quotas{
			AnywhereFleets: c.AnywhereFleets, ManagedFleets: c.ManagedFleets, LocationsPerFleet: c.LocationsPerFleet,
			CustomLocations: c.CustomLocations, Aliases: c.Aliases,
		},
	}
	r.computes = compute.Service{
		DB: db, Home: home, Fleets: &r.fleets,
		SDKEndpoint: endpoint, AgentEndpoint: endpoint,
		Ended:  r.sessions.ProcessEnded,
		Noted:  r.hosts.Noted,
		Config: compute.Config{ComputesPerFleet: c.ComputesPerFleet, ReconnectGrace: c.ReconnectGrace},
	}
	r.sessions = session.Service{
		DB: db, Home: home, Fleets: &r.fleets, Computes: &r.computes,
		LogURL:    r.hosts.LogURL,
		Hosting:   r.hosts.Hosting,
		Activated: r.placements.Activated,
		Over:      r.placements.Over,
		Config:    session.Config{ReservationTimeout: c.ReservationTimeout, Retention: c.Retention},
	}
	r.hosts = host.Service{
		DB: db, Home: home, Fleets: &r.fleets, Builds: &r.builds, Computes: &r.computes, Sessions: &r.sessions,
		SDKEndpoint: endpoint, Links: &r.links, Wall: time.Now,
		Config: host.Config{Swift: c.Dev, LostAfter: c.HostLostAfter},
	}
	r.scaling = scaling.Service{DB: db, Home: home, Fleets: &r.fleets, Measure: r.measure}
	r.placements = placement.Service{
		DB: db, Home: home, Fleets: &r.fleets, Computes: &r.computes, Sessions: &r.sessions, Tags: &r.tags, Events: &r.events,
		Outcome: r.matches.Placed,
	}
	r.matches = matchmaking.Service{
		DB: db, Home: home, Tags: &r.tags, Fleets: &r.fleets, Computes: &r.computes, Sessions: &r.sessions,
		Placements: &r.placements, Events: &r.events,
		Config: matchmaking.Config{
			RuleSets: c.RuleSets, Configurations: c.MatchmakingConfigurations, Retention: c.MatchRetention,
			PartyAsOne: c.MatchPartyAsOne, AnyLocation: c.MatchAnyLocation, SilentSearchOn: c.MatchSilentSearchOn,
			BackfillKeepsPlayers: c.MatchBackfillKeepsOn, BackfillRefills: c.MatchBackfillRefills, LocationHint: c.MatchLocationHint,
		},
	}
	return r
}

// speedOf is the speed of managed fleets. The setting was checked with the others.
func speedOf(c config.Config) fleet.Speed {
	speed, _ := fleet.ParseSpeed(c.FleetSpeed)
	return speed
}

// keptFor turns a setting in which 0 is for ever into the room's, in which less than 0 is.
func keptFor(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// deleting ends what a fleet has that is about to go.
func (r *rooms) deleting(tx *store.Tx, id arn.FleetID) error {
	if err := r.scaling.DropFleetTx(tx, id); err != nil {
		return err
	}
	return r.computes.DropFleetTx(tx, id)
}

// exists tells whether a resource that may have tags is there; each room knows its own.
func (r *rooms) exists(tx *store.Tx, kind, id string) (bool, error) {
	for _, room := range []func(*store.Tx, string, string) (bool, error){r.builds.ExistsTx, r.fleets.ExistsTx, r.placements.ExistsTx, r.matches.ExistsTx} {
		if found, err := room(tx, kind, id); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// counts is what runs on a fleet, of which each room knows a part.
func (r *rooms) counts(tx *store.Tx, id arn.FleetID, at arn.Location) (fleet.Counts, error) {
	c, err := r.sessions.CountTx(tx, id, at)
	if err != nil {
		return fleet.Counts{}, err
	}
	c.Processes, err = r.computes.CountTx(tx, id, at)
	return c, err
}

// duties are the rooms' background work, in the order in which one instant runs it: from
// the ground up, so that what a lower room ends is seen by the one above.
func (r *rooms) duties() []duty {
	return []duty{
		{name: "event", tick: r.events.Tick, due: r.events.Due},
		{name: "build", tick: r.builds.Tick, due: r.builds.Due, wall: true}, // files go also while a manual clock stands still
		{name: "fleet", tick: r.fleets.Tick, due: r.fleets.Due},
		{name: "compute", tick: r.computes.Tick, due: r.computes.Due, wall: true}, // nodes die in wall time
		{name: "session", tick: r.sessions.Tick, due: r.sessions.Due},
		{name: "host", tick: r.hosts.Tick, due: r.hosts.Due, wall: true}, // hosts are lost in wall time
		{name: "scaling", tick: r.scaling.Tick, due: r.scaling.Due},
		{name: "placement", tick: r.placements.Tick, due: r.placements.Due},
		{name: "matchmaking", tick: r.matches.Tick, due: r.matches.Due},
	}
}
