package compute

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/seal"
	"github.com/matchyard/matchyard/internal/store"
)

// Service is the compute room. DB, Home, Fleets, SDKEndpoint and AgentEndpoint are required.
type Service struct {
	DB     *store.DB
	Home   arn.Home
	Fleets *fleet.Service
	// SDKEndpoint and AgentEndpoint are the WebSocket URLs that computes are told: where
	// server processes and agents dial.
	SDKEndpoint, AgentEndpoint func() string
	// Config is what an operator may choose. The zero value means the defaults.
	Config Config
	// Seal closes auth tokens.
	Seal seal.Ring

	// Ended is called in the transaction that ends a process: whoever has something running
	// on it ends that. p is the process as it was before. May be nil.
	Ended func(tx *store.Tx, p Process, why EndReason) error
	// Noted is called in the transaction in which something happens to a process of an
	// instance that the agent of its host must hear of; why is set for NoteKill. May be nil.
	Noted func(tx *store.Tx, p Process, n Note, why EndReason) error
}

// Config holds the limits and times of this room. A zero field means its default.
type Config struct {
	ComputesPerFleet int           // default 100 (hosting.md 8.2)
	TokenLife        time.Duration // of an auth token; default 60 minutes (hosting.md 3.4)
	TokenOverlap     time.Duration // rest of life from which on a new token is given out; default 15 minutes
	ReconnectGrace   time.Duration // how long a process may be gone before it counts as crashed; default 200 seconds (server-sdk-protocol.md 5)
	ReadyTimeout     time.Duration // from the first dial to ProcessReady; default 5 minutes
	KeepEnded        time.Duration // how long ended processes are remembered; default 24 hours
	KillAfter        time.Duration // most that a process has which an agent runs, from TerminateProcess to its end; default 30 seconds (hosting.md 2.5)
}

func (c Config) orDefaults() Config {
	return Config{
		ComputesPerFleet: cmp.Or(c.ComputesPerFleet, 100),
		TokenLife:        cmp.Or(c.TokenLife, 60*time.Minute),
		TokenOverlap:     cmp.Or(c.TokenOverlap, 15*time.Minute),
		ReconnectGrace:   cmp.Or(c.ReconnectGrace, 200*time.Second),
		ReadyTimeout:     cmp.Or(c.ReadyTimeout, 5*time.Minute),
		KeepEnded:        cmp.Or(c.KeepEnded, 24*time.Hour),
		KillAfter:        cmp.Or(c.KillAfter, 30*time.Second),
	}
}

// Channels of store.Tx.Notify that this room speaks on.
const (
	// ChannelProcess says that a process's inbox has something; the payload is its key.
	ChannelProcess = "process"
	// ChannelFree says that a process became placeable; the payload is the fleet's id.
	ChannelFree = "free"
	// ChannelEnded says that a process ended; the payload is its key.
	ChannelEnded = "ended"
	// ChannelAgent says that something changed that the agent of a registered compute must
	// know; the payload is the compute's key.
	ChannelAgent = "agent"
)

// Process is a server process, as other rooms and the gateway see it. It is identified by
// compute and ProcessID, whatever sockets come and go.
type Process struct {
	Key        store.Key
	ProcessID  string // chosen by the host, unique within the compute
	FleetKey   store.Key
	Fleet      arn.FleetID
	ComputeKey store.Key
	Compute    arn.ComputeName
	Location   arn.Location
	IPAddress  string
	DNSName    *string
	Status     ProcessStatus
	// Healthy is what the process last said of itself.
	Healthy bool
	// Connected says that a node holds its socket, or did when last heard of.
	Connected bool
	// Dial is the number of its connection, counted from 1: of two connections the one with
	// the greater number is current.
	Dial int64
	// Port and LogPaths are known from ProcessReady on.
	Port                  int32
	LogPaths              []string
	SDKVersion            string
	SDKLanguage           string
	ToolName, ToolVersion string
	// Agent says that an agent manages the compute; Managed that it is an instance of ours.
	Agent, Managed bool
	// ReadyAt is when the process called ProcessReady; zero before.
	ReadyAt time.Time
	// EndBy is when a process that was told to end is killed; zero when it was not told.
	EndBy time.Time
}

// ProcessStatus is a step in the life of a process.
type ProcessStatus string

// The steps, in order. Connect tells when an ended process may come back.
const (
	StatusConnected ProcessStatus = "CONNECTED" // dialled
	StatusReady     ProcessStatus = "READY"     // called ProcessReady; placeable while healthy and connected
	StatusHosting   ProcessStatus = "HOSTING"   // reserved for a game session, or running it
	StatusEnded     ProcessStatus = "ENDED"
)

// EndReason is why a process ended.
type EndReason string

// The reasons.
const (
	Normal          EndReason = "Normal"          // TerminateServerProcess
	Crashed         EndReason = "Crashed"         // gone longer than the grace
	Unhealthy       EndReason = "Unhealthy"       // not healthy for too long
	ReadyTimeout    EndReason = "ReadyTimeout"    // no ProcessReady in time
	Forced          EndReason = "Forced"          // told to end and did not
	Deregistered    EndReason = "Deregistered"    // with its compute
	FleetDeleted    EndReason = "FleetDeleted"    // with its fleet
	LocationDeleted EndReason = "LocationDeleted" // with its fleet's location
	// What follows happens where an agent runs the processes.
	InvalidPath EndReason = "InvalidPath" // its launch path is missing
	InitTimeout EndReason = "InitTimeout" // launched, and did not dial in time
	ExitTimeout EndReason = "ExitTimeout" // still there long after ProcessEnding
	Shutdown    EndReason = "Shutdown"    // with its instance
	HostLost    EndReason = "HostLost"    // its host is not heard of any more
)

// Dial is a connection attempt of a server process: the query of its URL
// (server-sdk-protocol.md 1.2).
type Dial struct {
	ProcessID        string
	Compute          arn.ComputeName
	Fleet            arn.FleetID
	AuthToken        string
	IdempotencyToken string // "" from SDKs before 5.3
	SDKVersion       string
	SDKLanguage      string
	// Trusted says that the caller authenticated the dial by other means than the token.
	Trusted bool
}

// Refused is the error of Connect for a dial that must not succeed.
type Refused struct {
	Status int // of HTTP: 400, 401, 403 or 404
	Reason string
}

func (r *Refused) Error() string { return fmt.Sprintf("%d: %s", r.Status, r.Reason) }

// Ready is what ActivateServerProcess tells (server-sdk-protocol.md 3.1).
type Ready struct {
	Port                    int32
	LogPaths                []string
	SDKVersion, SDKLanguage string
	ToolName, ToolVersion   string
}

// Socket is a connection that a node holds.
type Socket struct {
	Process store.Key
	Dial    int64 // as Process.Dial said when it was accepted
}

// Message is something to send to a process: wire JSON.
type Message struct {
	Process store.Key
	Text    []byte

	number int64 // its place in the process's inbox
}

// ErrNoProcess is returned (wrapped with the reason) by ReserveTx when no process is free.
var ErrNoProcess = errors.New("no free server process")
