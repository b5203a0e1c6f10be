// Package apierr makes the errors that reach a caller: the model's exceptions, as the
// SDK's own types, and the few framework errors the model leaves out. Anything else a
// room returns is internal: it is logged and answered as InternalServiceException.
package apierr

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"
)

// InvalidRequest says the request is wrong in form or sense: name the field and why.
func InvalidRequest(format string, args ...any) error {
	return &types.InvalidRequestException{Message: new(fmt.Sprintf(format, args...))}
}

// NotFound says a named resource does not exist.
func NotFound(format string, args ...any) error {
	return &types.NotFoundException{Message: new(fmt.Sprintf(format, args...))}
}

// Conflict says another request got there first, or a name is taken.
func Conflict(format string, args ...any) error {
	return &types.ConflictException{Message: new(fmt.Sprintf(format, args...))}
}

// LimitExceeded says a quota is used up. SDKs retry it as throttling.
func LimitExceeded(format string, args ...any) error {
	return &types.LimitExceededException{Message: new(fmt.Sprintf(format, args...))}
}

// InvalidFleetStatus says the fleet's state forbids the operation.
func InvalidFleetStatus(format string, args ...any) error {
	return &types.InvalidFleetStatusException{Message: new(fmt.Sprintf(format, args...))}
}

// InvalidGameSessionStatus says the game session's state forbids the operation.
func InvalidGameSessionStatus(format string, args ...any) error {
	return &types.InvalidGameSessionStatusException{Message: new(fmt.Sprintf(format, args...))}
}

// GameSessionFull says no slot is free.
func GameSessionFull(format string, args ...any) error {
	return &types.GameSessionFullException{Message: new(fmt.Sprintf(format, args...))}
}

// FleetCapacityExceeded says no process is free.
func FleetCapacityExceeded(format string, args ...any) error {
	return &types.FleetCapacityExceededException{Message: new(fmt.Sprintf(format, args...))}
}

// OutOfCapacity says no game server of a FleetIQ group is free.
func OutOfCapacity(format string, args ...any) error {
	return &types.OutOfCapacityException{Message: new(fmt.Sprintf(format, args...))}
}

// IdempotentParameterMismatch says a token was used before with other parameters.
func IdempotentParameterMismatch(format string, args ...any) error {
	return &types.IdempotentParameterMismatchException{Message: new(fmt.Sprintf(format, args...))}
}

// TerminalRoutingStrategy carries a terminal alias's own message, verbatim.
func TerminalRoutingStrategy(message string) error {
	return &types.TerminalRoutingStrategyException{Message: &message}
}

// NotReady says a resource is still being made.
func NotReady(format string, args ...any) error {
	return &types.NotReadyException{Message: new(fmt.Sprintf(format, args...))}
}

// TaggingFailed says the tags of a create could not be set; nothing was created.
func TaggingFailed(format string, args ...any) error {
	return &types.TaggingFailedException{Message: new(fmt.Sprintf(format, args...))}
}

// Unauthorized is the service-level refusal; operations that do not declare it answer
// AccessDenied instead (the edge sees to that).
func Unauthorized(format string, args ...any) error {
	return &types.UnauthorizedException{Message: new(fmt.Sprintf(format, args...))}
}

// UnsupportedRegion says a feature is not offered in a location.
func UnsupportedRegion(format string, args ...any) error {
	return &types.UnsupportedRegionException{Message: new(fmt.Sprintf(format, args...))}
}

// Internal is a fault of ours that the caller may see, such as an operation not built.
func Internal(format string, args ...any) error {
	return &types.InternalServiceException{Message: new(fmt.Sprintf(format, args...))}
}

// Error is a framework error, one the model does not know (wire-protocol.md 3.3).
type Error struct {
	Code    string // the wire's __type, bare
	Message string
	Status  int // HTTP status
}

// Error is the code and the message, for logs.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// ErrorCode is the wire's __type.
func (e *Error) ErrorCode() string { return e.Code }

// ErrorMessage is the text for the caller.
func (e *Error) ErrorMessage() string { return e.Message }

// ErrorFault tells whose fault it is, by the status.
func (e *Error) ErrorFault() smithy.ErrorFault {
	if e.Status >= 500 {
		return smithy.FaultServer
	}
	return smithy.FaultClient
}

// Throttled is the answer to a request over a rate limit: ThrottlingException is what
// every SDK retries (wire-protocol.md 3.4).
func Throttled() error {
	return &Error{Code: "ThrottlingException", Message: "Rate exceeded", Status: 400}
}
