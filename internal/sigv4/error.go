package sigv4

import "fmt"

// Code says why a request is refused, as the name of the framework error that answers it.
// All of them go with status 400 (wire-protocol.md 3.3).
type Code string

// The codes.
const (
	MissingAuthenticationToken Code = "MissingAuthenticationTokenException" // it is not signed
	IncompleteSignature        Code = "IncompleteSignatureException"        // its signature cannot be read
	UnrecognizedClient         Code = "UnrecognizedClientException"         // its key or session token is not known
	InvalidSignature           Code = "InvalidSignatureException"           // it is signed wrongly, for something else, or too long ago
	ExpiredToken               Code = "ExpiredTokenException"               // its session token was good once
)

// Error is a refusal. Neither a secret, a session token nor a signature is part of its text.
type Error struct {
	Code    Code
	Message string // for the caller
}

// Error is the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Refusals that are always the same.
var (
	// ErrUnknownKey refuses a request whose key is not known, or whose session token is not
	// the one issued with the key. The functions that find keys return it.
	ErrUnknownKey = &Error{UnrecognizedClient, "The security token included in the request is invalid."}

	errMissing  = &Error{MissingAuthenticationToken, "Missing Authentication Token"}
	errExpired  = &Error{ExpiredToken, "The security token included in the request is expired"}
	errMismatch = &Error{InvalidSignature, "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
)

func incomplete(format string, args ...any) *Error {
	return &Error{IncompleteSignature, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *Error {
	return &Error{InvalidSignature, fmt.Sprintf(format, args...)}
}
