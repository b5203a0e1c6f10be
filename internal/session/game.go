package session

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/store"
)

// UpdateGameSession changes the members that are given, while the game session is
// ACTIVATING or ACTIVE. Properties are merged; a maximum below the present count keeps the
// players there are. The game server is not told (sessions-placement.md 4.6).
func (s *Service) UpdateGameSession(ctx context.Context, in *gamelift.UpdateGameSessionInput) (*gamelift.UpdateGameSessionOutput, error) {
	if err := s.checkMaximum(in.MaximumPlayerSessionCount); err != nil {
		return nil, err
	}
	var g game
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if g, err = knownGame(tx, *in.GameSessionId, lockOf(tx)); err != nil {
			return err
		}
		if g.status != activating && g.status != active {
			return apierr.InvalidGameSessionStatus("GameSessionId: game session %s is %s and cannot be changed", *in.GameSessionId, g.status)
		}
		if in.MaximumPlayerSessionCount != nil {
			g.maximum = *in.MaximumPlayerSessionCount
		}
		if in.Name != nil {
			g.name = in.Name
		}
		if in.PlayerSessionCreationPolicy != "" {
			g.policy = in.PlayerSessionCreationPolicy
		}
		if in.ProtectionPolicy != "" {
			g.protection = in.ProtectionPolicy
		}
		g.properties = mergeProperties(g.properties, in.GameProperties)
		if n := len(g.properties); n > mostProperties {
			return apierr.InvalidRequest("GameProperties: the game session would have %d, and %d is the most", n, mostProperties)
		}
		return saveGame(tx, g)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.UpdateGameSessionOutput{GameSession: new(s.gameModel(g))}, nil
}

// TerminateGameSession ends a game session, either by asking its process to end or by
// stopping the process, which needs an agent on the host (sessions-placement.md 4.7). The
// answer says TERMINATING in both cases; a forced end is complete when it is given.
func (s *Service) TerminateGameSession(ctx context.Context, in *gamelift.TerminateGameSessionInput) (*gamelift.TerminateGameSessionOutput, error) {
	var g game
	err := s.settle(ctx, func(tx *store.Tx) (err error) {
		if g, err = knownGame(tx, *in.GameSessionId, ""); err != nil {
			return err
		}
		if g.status == terminated || g.status == failed {
			return apierr.InvalidGameSessionStatus("GameSessionId: game session %s is %s already", *in.GameSessionId, g.status)
		}
		p, err := s.Computes.ProcessTx(tx, g.process)
		if err != nil {
			return err
		}
		if old(p.SDKVersion) {
			return apierr.InvalidRequest("GameSessionId: its process has server SDK %s, and termination needs 5 or newer", p.SDKVersion)
		}
		if in.TerminationMode == types.TerminationModeForceTerminate {
			return s.forceTx(tx, &g, p)
		}
		return s.triggerTx(tx, &g, p)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.TerminateGameSessionOutput{GameSession: new(s.gameModel(g))}, nil
}

// triggerTx asks the process to end. Asked again, it changes nothing.
func (s *Service) triggerTx(tx *store.Tx, g *game, p compute.Process) error {
	if g.status == terminating {
		return nil
	}
	if err := s.Computes.SendTx(tx, p.Key, compute.TerminateProcess{At: tx.Now.Add(terminateGrace), Patient: true}); err != nil {
		return err
	}
	ok, err := moveGame(tx, *g, terminating, nil)
	if err == nil && !ok {
		return errRaced
	}
	if err != nil {
		return err
	}
	if err := s.tellOver(tx, *g, Ended); err != nil {
		return err
	}
	g.status, g.deadline = terminating, nil
	return nil
}

// forceTx ends the process, which ends the game session through ProcessEnded.
func (s *Service) forceTx(tx *store.Tx, g *game, p compute.Process) error {
	if !p.Agent {
		return apierr.InvalidRequest("TerminationMode: FORCE_TERMINATE needs an agent on compute %s, which stops the process; without one only TRIGGER_ON_PROCESS_TERMINATE works", p.Compute)
	}
	g.status, g.deadline = terminating, nil
	return s.Computes.EndTx(tx, p.Key, compute.Forced)
}

// errRaced says that a row changed between being read and being written.
var errRaced = errors.New("changed meanwhile")

const settleTries = 5

// settle runs a transaction that reads a game session before it locks the process, which
// must be locked first, and again when the game session changed in between.
func (s *Service) settle(ctx context.Context, f func(tx *store.Tx) error) (err error) {
	for range settleTries {
		if err = s.DB.Write(ctx, f); !errors.Is(err, errRaced) {
			return err
		}
	}
	return err
}

// old tells whether a server SDK is older than 5. What does not look like a version is not.
func old(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n < 5
}

// SetCreationPolicy is a process's UpdatePlayerSessionCreationPolicy.
func (s *Service) SetCreationPolicy(ctx context.Context, process store.Key, gameSession, policy string) error {
	p := types.PlayerSessionCreationPolicy(policy)
	if p != types.PlayerSessionCreationPolicyAcceptAll && p != types.PlayerSessionCreationPolicyDenyAll {
		return apierr.InvalidRequest("PlayerSessionPolicy: it must be ACCEPT_ALL or DENY_ALL, not %q", policy)
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		g, err := hostedGame(tx, process, gameSession, lockOf(tx))
		if err != nil {
			return err
		}
		if g.status != activating && g.status != active {
			return apierr.InvalidGameSessionStatus("GameSessionId: game session %s is %s and cannot be changed", gameSession, g.status)
		}
		g.policy = p
		return saveGame(tx, g)
	})
}

// ProcessEnded ends what a process hosted, in the transaction that ends the process.
func (s *Service) ProcessEnded(tx *store.Tx, p compute.Process, why compute.EndReason) error {
	g, err := gameByProcess(tx, p.Key, lockOf(tx))
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err = closeGame(tx, g.key, terminated, whyEnded(g, why)); err != nil {
		return err
	}
	if why == compute.Forced { // what is ACTIVATING is only ended so by TerminateGameSession
		return s.tellOver(tx, g, Ended)
	}
	if why != compute.Normal {
		tx.Count(GameInterruptions, 1, string(g.fleet), string(g.location))
	}
	return s.tellOver(tx, g, ProcessLost)
}

// knownGame is findGame with a NotFoundException.
func knownGame(tx *store.Tx, id, lock string) (game, error) {
	g, err := findGame(tx, id, lock)
	if errors.Is(err, store.ErrNoRows) {
		return game{}, noGame(id)
	}
	return g, err
}

// hostedGame is knownGame for a process, which may only speak of what it hosts.
func hostedGame(tx *store.Tx, process store.Key, id, lock string) (game, error) {
	g, err := knownGame(tx, id, lock)
	if err == nil && g.process != process {
		return game{}, apierr.InvalidRequest("GameSessionId: game session %s runs on another process", id)
	}
	return g, err
}

func (s *Service) gameARN(g game) arn.GameSessionID {
	return s.Home.GameSession(g.fleet, g.location, g.id)
}

// gameModel is the game session as callers see it: members that were not set are absent,
// but GameProperties, which is an empty list (sessions-placement.md 4.2).
func (s *Service) gameModel(g game) types.GameSession {
	m := types.GameSession{
		ComputeName:                 new(string(g.compute)),
		CreationTime:                new(stamp(g.createdAt)),
		CreatorId:                   g.creator,
		CurrentPlayerSessionCount:   new(g.players),
		DnsName:                     g.dns,
		FleetArn:                    new(s.Home.Fleet(g.fleet)),
		FleetId:                     new(string(g.fleet)),
		GameProperties:              g.properties,
		GameSessionData:             g.data,
		GameSessionId:               new(string(s.gameARN(g))),
		IpAddress:                   new(g.ip),
		Location:                    new(string(g.location)),
		MatchmakerData:              g.matchmaker,
		MaximumPlayerSessionCount:   new(g.maximum),
		Name:                        g.name,
		PlayerGatewayStatus:         types.PlayerGatewayStatusDisabled,
		PlayerSessionCreationPolicy: g.policy,
		Port:                        new(g.port),
		Status:                      g.status,
	}
	if g.reason != nil {
		m.StatusReason = types.GameSessionStatusReason(*g.reason)
	}
	if g.endedAt != nil {
		m.TerminationTime = new(stamp(*g.endedAt))
	}
	return m
}

func stamp(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
