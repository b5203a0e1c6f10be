package awsapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/model"
	"github.com/matchyard/matchyard/internal/sigv4"
)

// Signed is the Auth of a server that checks who calls: requests carry an AWS Signature
// Version 4 by a key of the access room, and that key's policy allows the operation. Its
// Authorize belongs into Server.Authorize. Keys and Verifier are needed.
type Signed struct {
	Keys     *access.Service
	Verifier *sigv4.Verifier
	Home     arn.Home         // of the ARNs that policies speak of
	Now      func() time.Time // the wall clock, by which signatures age; nil: time.Now
	Logger   *slog.Logger     // nil: slog.Default
}

// Authenticate takes a request signed by a known key, and refuses all others in the words
// of wire-protocol.md 3.3.
func (s *Signed) Authenticate(r *http.Request, body func() ([]byte, error)) (Identity, error) {
	var key access.Key
	id, err := s.Verifier.Verify(r, s.now(), s.finder(r.Context(), &key), body)
	if err != nil {
		return Identity{AccessKeyID: id}, refusal(err)
	}
	s.used(r.Context(), id)
	from, secure := where(r)
	return Identity{AccessKeyID: id, Name: key.Name, Temporary: key.Temporary, Root: key.Root, From: from, Secure: secure}, nil
}

// Authorize refuses what the policy of the caller's key does not allow.
func (s *Signed) Authorize(ctx context.Context, id Identity, operation string, in any) error {
	key, err := s.Keys.Lookup(ctx, id.AccessKeyID)
	if errors.Is(err, access.ErrUnknown) { // it was revoked meanwhile
		return refusal(sigv4.ErrUnknownKey)
	}
	if err != nil {
		return err
	}
	r := access.Request{Operation: operation, From: id.From, Secure: id.Secure, At: s.now()}
	if !key.ExpiresAt.IsZero() && !r.At.Before(key.ExpiresAt) { // whoever signed in with it has it still
		return &apierr.Error{Code: string(sigv4.ExpiredToken), Message: "Access key " + key.ID + " has expired.", Status: http.StatusBadRequest}
	}
	if key.Policy.Document == nil {
		return allow(key.Key, r)
	}
	r.Resources = resources(s.Home, operation, in)
	if isNarrowed(in) && key.Policy.Concerns(r) {
		return nil // Narrow looks at what is found
	}
	return allow(key.Key, r)
}

// dialing is the operation a key must be allowed to dial as a game server: it could get
// itself a token to dial with as well.
const dialing = "GetComputeAuthToken"

// Dial takes the query of a game server that dials with a signature (server-sdk-protocol.md
// 1.3). live says that its process is known and lives; see sigv4.Verifier.VerifyDial. Where
// it comes from is in the context, by WithOrigin. The error is an *apierr.Error when the query is at fault.
func (s *Signed) Dial(ctx context.Context, query url.Values, live bool) error {
	var key access.Key
	id, err := s.Verifier.VerifyDial(query, s.now(), live, s.finder(ctx, &key))
	if err != nil {
		return refusal(err)
	}
	s.used(ctx, id)
	o, _ := ctx.Value(originKey{}).(origin)
	return allow(key, access.Request{
		Operation: dialing, Resources: [][]string{names(s.Home, "fleet", query.Get("FleetId"))}, From: o.from, Secure: o.secure, At: s.now(),
	})
}

func (s *Signed) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// finder finds a key for the verifier and leaves it in key.
func (s *Signed) finder(ctx context.Context, key *access.Key) func(id string) (sigv4.Key, error) {
	return func(id string) (sigv4.Key, error) {
		found, err := s.Keys.Lookup(ctx, id)
		if errors.Is(err, access.ErrUnknown) {
			return sigv4.Key{}, sigv4.ErrUnknownKey
		}
		if err != nil {
			return sigv4.Key{}, err
		}
		*key = found.Key
		return sigv4.Key{Secret: string(found.Secret), Temporary: found.Temporary, TokenSum: found.TokenSum, Expires: found.ExpiresAt}, nil
	}
}

// used notes that a key is in use. Failing to is no reason to refuse a request.
func (s *Signed) used(ctx context.Context, id string) {
	if err := s.Keys.Used(ctx, id); err != nil {
		logger := s.Logger
		if logger == nil {
			logger = slog.Default()
		}
		logger.LogAttrs(ctx, slog.LevelWarn, "last use of a key not written", slog.String("access_key", id), slog.Any("error", err))
	}
}

// refusal is a verifier's error for the caller. Errors that are not its own pass.
func refusal(err error) error {
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		return &apierr.Error{Code: string(e.Code), Message: e.Message, Status: http.StatusBadRequest}
	}
	return err
}

// allow refuses what a policy does not allow. AccessDeniedException is what AWS answers for
// IAM, whatever an operation declares (wire-protocol.md 3.3).
func allow(key access.Key, r access.Request) error {
	if key.Policy.Allows(r) {
		return nil
	}
	return &apierr.Error{
		Code: accessDenied, Status: http.StatusBadRequest,
		Message: "Access key " + key.ID + " (" + key.Name + ") is not authorized to perform: " + model.SigningName + ":" + r.Operation + on(r) +
			" because its policy does not allow it.",
	}
}

// on names what a request was about, for its refusal.
func on(r access.Request) string {
	if len(r.Resources) == 0 {
		return ""
	}
	return " on resource " + r.Resources[0][0]
}
