package compute

import (
	"encoding/json"
	"time"
)

// The messages that the service sends to a server process unasked
// (server-sdk-protocol.md 4). None carries a RequestId: SDKs drop pushes that do.

// CreateGameSession starts a game session on a process. The first one must not be sent
// before the process reported healthy: until then SDKs ignore it.
type CreateGameSession struct {
	GameSessionID             string `json:"GameSessionId"` // the ARN
	GameSessionName           *string
	GameSessionData           *string
	MatchmakerData            *string
	IPAddress                 *string `json:"IpAddress"`
	DNSName                   *string `json:"DnsName"`
	MaximumPlayerSessionCount int32
	Port                      int32
	GameProperties            map[string]string // an object on the wire, not the API's list
}

// MarshalJSON is the message as it stands on the wire.
func (m CreateGameSession) MarshalJSON() ([]byte, error) {
	type plain CreateGameSession
	return json.Marshal(struct {
		Action string
		plain
	}{"CreateGameSession", plain(m)})
}

// UpdateGameSession tells a process what became of its backfill ticket. GameSession is
// always the whole of it. Not to be sent before the game session is active: the Go SDK
// handles messages in any order.
type UpdateGameSession struct {
	GameSession      UpdatedGameSession
	UpdateReason     UpdateReason
	BackfillTicketID *string `json:"BackfillTicketId"`
}

// UpdateReason is why a process gets an UpdateGameSession.
type UpdateReason string

// The reasons SDKs know.
const (
	MatchmakingDataUpdated UpdateReason = "MATCHMAKING_DATA_UPDATED"
	BackfillFailed         UpdateReason = "BACKFILL_FAILED"
	BackfillTimedOut       UpdateReason = "BACKFILL_TIMED_OUT"
	BackfillCancelled      UpdateReason = "BACKFILL_CANCELLED"
)

// UpdatedGameSession is the game session inside an UpdateGameSession. Its name is Name,
// where CreateGameSession says GameSessionName.
type UpdatedGameSession struct {
	GameSessionID             string `json:"GameSessionId"`
	Name                      *string
	FleetID                   string `json:"FleetId"`
	Location                  string
	Status                    string // ACTIVE, ACTIVATING, TERMINATED or TERMINATING
	StatusReason              *string
	MaximumPlayerSessionCount int32
	IPAddress                 *string `json:"IpAddress"`
	DNSName                   *string `json:"DnsName"`
	Port                      int32
	GameSessionData           *string
	MatchmakerData            *string
	GameProperties            map[string]string
}

// MarshalJSON is the message as it stands on the wire.
func (m UpdateGameSession) MarshalJSON() ([]byte, error) {
	type plain UpdateGameSession
	return json.Marshal(struct {
		Action string
		plain
	}{"UpdateGameSession", plain(m)})
}

// TerminateProcess asks a process to end: it then has until At, after which it is killed.
// Not to be sent before ActivateServerProcess succeeded.
type TerminateProcess struct {
	At time.Time
	// Patient says that a process which no agent manages may take as long as it needs: there
	// is nobody to kill it, so that it does not end before it says so (sessions-placement.md 4.7).
	Patient bool
}

// MarshalJSON is the message as it stands on the wire, with the time in milliseconds.
func (m TerminateProcess) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Action          string
		TerminationTime int64
	}{"TerminateProcess", m.At.UnixMilli()})
}

// RefreshConnection asks a process to dial anew, with another token.
type RefreshConnection struct {
	Endpoint  string `json:"RefreshConnectionEndpoint"`
	AuthToken string
}

// MarshalJSON is the message as it stands on the wire.
func (m RefreshConnection) MarshalJSON() ([]byte, error) {
	type plain RefreshConnection
	return json.Marshal(struct {
		Action string
		plain
	}{"RefreshConnection", plain(m)})
}
