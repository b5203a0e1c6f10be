package awsapi

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
)

// where tells where a request came from, and how.
func where(r *http.Request) (from netip.Addr, secure bool) {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr().Unmap(), r.TLS != nil
}

type originKey struct{}

type origin struct {
	from   netip.Addr
	secure bool
}

// WithOrigin keeps where a request came from, and how, in its context, for Signed.Dial.
func WithOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, secure := where(r)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), originKey{}, origin{from, secure})))
	})
}

// Identity is who sent a request.
type Identity struct {
	AccessKeyID string // "" when the request carried none
	Name        string // what the key's owner called it
	Temporary   bool   // the key is of a session
	Root        bool   // the key is the root key
	From        netip.Addr
	Secure      bool // it came by TLS
}

// Auth tells who sends a request, or refuses it.
type Auth interface {
	// Authenticate looks at a request. It calls body, which reads the body and may fail,
	// only when the headers are in order. With an error it returns what the request
	// claims to be, for the log. The error is one of package apierr, or internal.
	Authenticate(r *http.Request, body func() ([]byte, error)) (Identity, error)
}

// Anyone is the Auth of a development server: it takes any credentials, and none.
type Anyone struct{}

// Authenticate takes the access key the request names, unchecked.
func (Anyone) Authenticate(r *http.Request, _ func() ([]byte, error)) (Identity, error) {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ := strings.Cut(rest, ",")
	id := scope
	for range 4 { // date, region, service, terminator; the key itself may hold slashes
		i := strings.LastIndexByte(id, '/')
		if i < 0 {
			return Identity{}, nil
		}
		id = id[:i]
	}
	return Identity{AccessKeyID: id}, nil
}

// IdentityFrom is who sent the request that a context belongs to; zero outside of requests.
func IdentityFrom(ctx context.Context) Identity {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.identity
	}
	return Identity{}
}

// RequestIDFrom is the id of the request that a context belongs to, as the answer's
// x-amzn-RequestId has it; "" outside of requests.
func RequestIDFrom(ctx context.Context) string {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.requestID
	}
	return ""
}
