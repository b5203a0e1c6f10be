package session

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// Service is the session room. DB, Home, Fleets and Computes are required; fill it before
// the first call and do not copy it.
type Service struct {
	DB       *store.DB
	Home     arn.Home
	Fleets   *fleet.Service
	Computes *compute.Service
	Config   Config

	// LogURL makes a URL for the log bundle that a host uploaded for a game session which
	// has ended. found is false when there is none, or none any more. Nil means that no host
	// uploads any.
	LogURL func(tx *store.Tx, id arn.GameSessionID, ended time.Time) (url string, found bool, err error)

	// Hosting is called in the transaction that makes game sessions ACTIVE, with the processes
	// that host them. May be nil.
	Hosting func(tx *store.Tx, games []Hosted) error
	// Activated is called in the transaction that makes game sessions ACTIVE, before anybody
	// sees them so. May be nil.
	Activated func(tx *store.Tx, games []store.Key) error
	// Over is called in the transaction after which a game session that was ACTIVATING will
	// not become ACTIVE any more. May be nil.
	Over func(tx *store.Tx, game store.Key, why Failure) error

	joinOnce sync.Once
	joins    store.Batcher[joining, joined]

	activateOnce sync.Once
	activations  store.Batcher[activation, struct{}]
}

// Config are the room's numbers. The zero value means the service's own.
type Config struct {
	ReservationTimeout time.Duration // how long a player session stays RESERVED; default 60 s
	Retention          time.Duration // how long sessions are kept after a game session's end; default 30 days
	MaxPlayers         int           // most of MaximumPlayerSessionCount; default 200
	PageDefault        int32         // rows of a page without Limit; default 100
	PageMost           int32         // most rows of a page; default 1024
	SearchMost         int32         // the same of SearchGameSessions, with Limit and without; default 20
}

func (c Config) orDefaults() Config {
	return Config{
		ReservationTimeout: cmp.Or(c.ReservationTimeout, 60*time.Second),
		Retention:          cmp.Or(c.Retention, 30*24*time.Hour),
		MaxPlayers:         cmp.Or(c.MaxPlayers, 200),
		PageDefault:        cmp.Or(c.PageDefault, 100),
		PageMost:           cmp.Or(c.PageMost, 1024),
		SearchMost:         cmp.Or(c.SearchMost, 20),
	}
}

const (
	logsKept         = 14 * 24 * time.Hour // sessions-placement.md 8
	terminateGrace   = 5 * time.Minute     // from OnProcessTerminate to the kill, on hosts with an agent
	throttleInterval = time.Second         // between creations of one creator, on fleets without a policy
	mostProperties   = 16
	processPage      = 50 // player sessions of a page for a server process: Unreal drops the rest
)

// CountTx is what the fleet's ACTIVE game sessions add up to, in one location or, when at
// is "", in all of them. Processes are not counted here.
func (s *Service) CountTx(tx *store.Tx, id arn.FleetID, at arn.Location) (fleet.Counts, error) {
	f, err := s.Fleets.GetTx(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return fleet.Counts{}, nil
	}
	if err != nil {
		return fleet.Counts{}, err
	}
	return countActive(tx, f.Key, at)
}

// target finds the fleet that a request names by FleetId or AliasId, of which there must be
// exactly one. hold keeps the fleet as it is until the transaction ends.
func (s *Service) target(tx *store.Tx, fleetID, aliasID *string, hold bool) (fleet.Fleet, error) {
	if (fleetID == nil) == (aliasID == nil) {
		return fleet.Fleet{}, apierr.InvalidRequest("FleetId, AliasId: exactly one of them is needed")
	}
	var id arn.FleetID
	var err error
	field := "FleetId"
	if fleetID != nil {
		if id, err = arn.ParseFleet(*fleetID); err != nil {
			return fleet.Fleet{}, apierr.InvalidRequest("FleetId: %v", err)
		}
	} else {
		field = "AliasId"
		alias, err := arn.ParseAlias(*aliasID)
		if err != nil {
			return fleet.Fleet{}, apierr.InvalidRequest("AliasId: %v", err)
		}
		if id, err = s.Fleets.ResolveTx(tx, alias); err != nil {
			return fleet.Fleet{}, err
		}
	}
	get := s.Fleets.GetTx
	if hold {
		get = s.Fleets.HoldTx
	}
	f, err := get(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return fleet.Fleet{}, apierr.NotFound("%s: fleet %s does not exist", field, id)
	}
	return f, err
}

// place checks that a fleet has a location.
func (s *Service) place(tx *store.Tx, f fleet.Fleet, at arn.Location) (types.FleetStatus, error) {
	status, err := s.Fleets.LocationTx(tx, f.ID, at)
	if errors.Is(err, store.ErrNoRows) {
		return "", apierr.NotFound("Location: fleet %s does not have %s", f.ID, at)
	}
	return status, err
}

func noGame(id string) error {
	return apierr.NotFound("GameSessionId: game session %s does not exist", id)
}
