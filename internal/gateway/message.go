package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
)

// inbound is any message from a server process or an agent: all members of all actions, as
// SDKs spell them (3, 8.3). Keys match in any case. A nil pointer is a member that was left out or null,
// which C# and C++ mean to be the same (6).
type inbound struct {
	Action    string
	RequestID string `json:"RequestId"`

	// ActivateServerProcess
	SdkVersion     string
	SdkLanguage    string
	SdkToolName    string
	SdkToolVersion string
	Port           *int32
	LogPaths       []string

	HealthStatus *bool // HeartbeatServerProcess

	GameSessionID       string `json:"GameSessionId"`
	PlayerSessionID     string `json:"PlayerSessionId"`
	PlayerSessionPolicy string

	// DescribePlayerSessions
	PlayerID                  string `json:"PlayerId"`
	PlayerSessionStatusFilter string
	NextToken                 string
	Limit                     *int32

	// What AWS's agent sends (8.3)
	Status            string
	ProcessList       []string
	ProcessID         string `json:"ProcessId"`
	EventCode         string
	TerminationReason string

	// StartMatchBackfill, StopMatchBackfill
	TicketID                    string `json:"TicketId"`
	GameSessionArn              string
	MatchmakingConfigurationArn string
	Players                     []backfillPlayer
}

// parse reads a message. What can be read of it is returned also with an error, so that
// the answer can be matched with the request.
func parse(text []byte) (inbound, error) {
	var m inbound
	err := json.Unmarshal(text, &m)
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return m, badRequest("%s: a %s was sent, %s is expected", member(e.Field), e.Value, kind(e))
	}
	if err != nil {
		return m, badRequest("the message is not JSON: %v", err)
	}
	switch {
	case m.Action == "":
		return m, badRequest("Action: missing")
	case m.RequestID == "":
		return m, badRequest("RequestId: missing")
	case len(m.RequestID) > 256:
		return m, badRequest("RequestId: longer than 256 bytes")
	}
	return m, nil
}

// member is the wire's name of a field that would not decode.
func member(field string) string {
	if field == "" {
		return "message"
	}
	return field
}

func kind(e *json.UnmarshalTypeError) string {
	switch name := e.Type.String(); {
	case strings.HasPrefix(name, "int"):
		return "an integer"
	case name == "bool":
		return "a boolean"
	case name == "string":
		return "a string"
	case strings.HasPrefix(name, "[]"):
		return "a list"
	}
	return "an object"
}

// failure is an answer other than 200.
type failure struct {
	status  int
	message string
}

func (f *failure) Error() string { return fmt.Sprintf("%d: %s", f.status, f.message) }

func badRequest(format string, args ...any) error {
	return &failure{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

var tooMany = &failure{http.StatusTooManyRequests, "too many requests are under way on this connection"}

// statusOf maps an exception to one of the statuses that SDKs tell apart (2).
func statusOf(e smithy.APIError) int {
	switch e.ErrorCode() {
	case "NotFoundException":
		return http.StatusNotFound
	case "ConflictException":
		return http.StatusConflict
	case "UnauthorizedException":
		return http.StatusUnauthorized
	case "ThrottlingException":
		return http.StatusTooManyRequests
	}
	if e.ErrorFault() == smithy.FaultServer {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// envelope starts every answer: Action and RequestId as the request had them (2). Without
// Action C++ crashes.
type envelope struct {
	Action       string
	RequestID    string `json:"RequestId"`
	StatusCode   int
	ErrorMessage string `json:",omitempty"`
}

// encode makes the frame of an answer. more is nil or a struct whose members stand beside
// those of the envelope.
func encode(e envelope, more any) []byte {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	if more == nil {
		return textFrame(text)
	}
	rest, err := json.Marshal(more)
	if err != nil {
		panic(err)
	}
	text = append(text[:len(text)-1], ',')
	return textFrame(append(text, rest[1:]...))
}
