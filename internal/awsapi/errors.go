package awsapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi/codec"
	"github.com/matchyard/matchyard/internal/model"
)

// Codes of the answers this package makes itself.
const (
	invalidRequest  = "InvalidRequestException"
	internalService = "InternalServiceException"
	unauthorized    = "UnauthorizedException"
	accessDenied    = "AccessDeniedException"
	serialization   = "SerializationException"
	requestCanceled = "RequestCanceledException" // for the metrics: nobody reads it
)

// fault is an error as the caller sees it.
type fault struct {
	code, message string
	status        int
}

// fail leaves the error's form on the wire in c.answer and returns the status.
func (c *call) fail(err error) int {
	f := c.faultOf(err)
	c.code = f.code
	c.answer = appendFault(c.answer[:0], c.protocol, f)
	return f.status
}

// faultOf decides what the caller gets to see of an error, and logs what is not the
// caller's doing.
func (c *call) faultOf(err error) fault {
	if e, ok := errors.AsType[*codec.Invalid](err); ok {
		return fault{invalidRequest, e.Error(), http.StatusBadRequest}
	}
	if e, ok := errors.AsType[*codec.Undecodable](err); ok {
		return fault{serialization, e.Error(), http.StatusBadRequest}
	}
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return fault{e.Code, e.Message, e.Status}
	}
	if errors.Is(err, context.Canceled) && c.r.Context().Err() != nil {
		return fault{requestCanceled, "The client did not wait for the answer.", http.StatusBadRequest}
	}
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || !model.IsException(e.ErrorCode()) { // another service's errors are not for our callers
		c.logFailure(err)
		return fault{internalService, "An internal error occurred. The server's log has it under request id " + c.requestID + ".", http.StatusInternalServerError}
	}
	f := fault{e.ErrorCode(), e.ErrorMessage(), http.StatusBadRequest}
	if f.message == "" {
		f.message = f.code
	}
	if f.code == internalService {
		c.logFailure(err)
		f.status = http.StatusInternalServerError
		return f
	}
	if c.op != nil && !c.op.facts.Declares(f.code) {
		f.code = c.declared(f.code)
	}
	return f
}

// declared finds a code for an exception that its operation does not declare. Typed SDKs
// read errors by operation, so a caller could not match it (hosting.md 0.3).
func (c *call) declared(code string) string {
	instead := invalidRequest
	if code == unauthorized {
		instead = accessDenied
	}
	c.server.Logger.LogAttrs(c.r.Context(), slog.LevelWarn, "undeclared exception",
		slog.String("operation", c.op.Name()),
		slog.String("exception", code),
		slog.String("answered", instead),
		slog.String("request_id", c.requestID))
	return instead
}

// logFailure logs a fault of ours.
func (c *call) logFailure(err error) {
	name := ""
	if c.op != nil {
		name = c.op.Name()
	}
	c.server.Logger.LogAttrs(c.r.Context(), slog.LevelError, "request failed",
		slog.String("operation", name),
		slog.String("access_key", c.accessKey()),
		slog.String("request_id", c.requestID),
		slog.Any("error", err))
}

// appendFault writes an error: a bare type name, which every client understands, and its
// text twice, since SDKs read Message of declared exceptions and message of all others
// (wire-protocol.md 3.1).
func appendFault(b []byte, p codec.Protocol, f fault) []byte {
	return codec.AppendStrings(b, p, "__type", f.code, "Message", f.message, "message", f.message)
}
