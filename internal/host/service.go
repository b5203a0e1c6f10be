package host

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// Channel is notified, with the host's key, when something is to be sent to its agent.
const Channel = "host"

// Service is the host room. DB, Home, Fleets, Builds, Computes, Sessions, SDKEndpoint, Links
// and Wall are required; do not copy it.
type Service struct {
	DB       *store.DB
	Home     arn.Home
	Fleets   *fleet.Service
	Builds   *build.Service
	Computes *compute.Service
	Sessions *session.Service
	// SDKEndpoint is the WebSocket URL that game servers on instances dial.
	SDKEndpoint func() string
	// Links makes signed links to builds and to log archives.
	Links Links
	// Blobs is where log archives lie, so that old ones can be removed; nil keeps them.
	Blobs interface {
		Delete(ctx context.Context, key string) error
	}
	// Wall is the wall clock, by which hosts live and are lost: a manual clock that jumps must
	// not lose them.
	Wall func() time.Time
	// Config is what an operator may choose. The zero value means the defaults.
	Config Config

	mu      sync.Mutex
	watched time.Time // since when this process watches hosts without a gap
	looked  time.Time // when it last did
}

// Links makes links that need no account, to blobs by their keys.
type Links interface {
	Get(key string, life time.Duration, filename string) string
	Put(key string, life time.Duration, limit int64) string
}

// Config are the room's times and limits. A zero field means its default.
type Config struct {
	LostAfter     time.Duration // how long a host may be silent before its instances are replaced, in wall time; default 90 s
	RoomWait      time.Duration // how long a new fleet waits for a host that has room; default 5 minutes
	StopGrace     time.Duration // what an agent gives the processes of an instance that is to stop; default 60 s
	StopTimeout   time.Duration // after which an instance that is to stop is killed; default 6 minutes (server-sdk-protocol.md 8.5)
	PrepareTime   time.Duration // most that the preparation of an instance may take; default 30 minutes
	ReadyTime     time.Duration // from then on, until a first process is ready; default 15 minutes
	Strikes       int           // processes that end before any was ready, after which a new fleet fails; default 3
	LogLimit      int64         // most bytes of a log archive; default 1 GiB
	LogsKept      time.Duration // default 14 days (sessions-placement.md 8)
	MostInstances int           // of one transaction of the scheduler; default 500
	// Swift tells agents not to pause between launches: for development.
	Swift bool
}

func (c Config) orDefaults() Config {
	return Config{
		LostAfter:     cmp.Or(c.LostAfter, 90*time.Second),
		RoomWait:      cmp.Or(c.RoomWait, 5*time.Minute),
		StopGrace:     cmp.Or(c.StopGrace, time.Minute),
		StopTimeout:   cmp.Or(c.StopTimeout, 6*time.Minute),
		PrepareTime:   cmp.Or(c.PrepareTime, 30*time.Minute),
		ReadyTime:     cmp.Or(c.ReadyTime, 15*time.Minute),
		Strikes:       cmp.Or(c.Strikes, 3),
		LogLimit:      cmp.Or(c.LogLimit, 1<<30),
		LogsKept:      cmp.Or(c.LogsKept, 14*24*time.Hour),
		MostInstances: cmp.Or(c.MostInstances, 500),
		Swift:         c.Swift,
	}
}

const (
	linkLife     = time.Hour // of links to builds and for uploads (hostmsg)
	logLinkLife  = 15 * time.Minute
	keepEnded    = 24 * time.Hour // how long ended instances are remembered
	sweepBatch   = 1000
	retryFirst   = time.Second // before an instance that did not start is replaced
	retryMost    = 5 * time.Minute
	failedMemory = 5 * time.Minute // how long a host on which an instance failed comes last
)
