package awsapi

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/sigv4"
)

// isNarrowed tells whether a request says by its answer only which resources it is about:
// player sessions by their own id, or a player's wherever they are. A policy that allows it on
// some resources is held to them when they are known.
func isNarrowed(in any) bool {
	q, ok := in.(*gamelift.DescribePlayerSessionsInput)
	return ok && q.GameSessionId == nil
}

// Narrow takes out of an answer what the policy of the caller's key does not allow to see. Of
// a player's sessions those elsewhere are left out, so that a page may be short; one asked for
// by its id is refused. It belongs into Server.Narrow.
func (s *Signed) Narrow(ctx context.Context, id Identity, operation string, in, out any) error {
	found, ok := out.(*gamelift.DescribePlayerSessionsOutput)
	if !ok || !isNarrowed(in) {
		return nil
	}
	key, err := s.Keys.Lookup(ctx, id.AccessKeyID)
	if errors.Is(err, access.ErrUnknown) {
		return refusal(sigv4.ErrUnknownKey)
	}
	if err != nil || key.Policy.Document == nil {
		return err
	}
	r := access.Request{Operation: operation, From: id.From, Secure: id.Secure, At: s.now()}
	hidden := func(p types.PlayerSession) bool {
		r.Resources = [][]string{names(s.Home, gameSessionKind, *p.GameSessionId)}
		return !key.Policy.Allows(r)
	}
	if in.(*gamelift.DescribePlayerSessionsInput).PlayerSessionId != nil {
		if slices.ContainsFunc(found.PlayerSessions, hidden) {
			return allow(key.Key, r)
		}
		return nil
	}
	found.PlayerSessions = slices.DeleteFunc(found.PlayerSessions, hidden)
	return nil
}
