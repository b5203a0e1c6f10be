package session

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// CreateGameSession reserves a server process and sends it the game session to start; the
// answer is ACTIVATING. With a token that a game session of the fleet has, it answers that
// one, in whatever state, or refuses when the other parameters differ. A call that fails
// for capacity does not use its token up (sessions-placement.md 4.2 to 4.5).
func (s *Service) CreateGameSession(ctx context.Context, in *gamelift.CreateGameSessionInput) (*gamelift.CreateGameSessionOutput, error) {
	n, err := s.newGame(in)
	if err != nil {
		return nil, err
	}
	var g game
	var f fleet.Fleet
	for range createTries {
		err = s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			if f, err = s.target(tx, in.FleetId, in.AliasId, true); err != nil {
				return err
			}
			g, err = s.createTx(tx, f, n)
			return err
		})
		if !errors.Is(err, errTaken) {
			break
		}
	}
	if errors.Is(err, errTaken) {
		return nil, apierr.Conflict("IdempotencyToken: another request with %s is under way", n.token)
	}
	if err != nil {
		if failed := s.wake(ctx, f, n.location, err); failed != nil {
			return nil, failed
		}
		return nil, err
	}
	return &gamelift.CreateGameSessionOutput{GameSession: new(s.gameModel(g))}, nil
}

// wake tells a fleet that scales from zero that there was no process for a game session in
// a location: there shall be one for the next who asks.
func (s *Service) wake(ctx context.Context, f fleet.Fleet, location *string, why error) error {
	if _, full := errors.AsType[*types.FleetCapacityExceededException](why); !full || !f.FromZero() {
		return nil
	}
	at := s.Home.Region
	if location != nil {
		at = *location
	}
	return s.Fleets.SessionWanted(ctx, f.ID, arn.Location(at))
}

// errTaken says that another transaction made a game session of the same token first. It
// has committed by then, so the next try finds it.
var errTaken = errors.New("token taken")

const createTries = 3

const gamePrefix = "gsess-" // of ids that are made here

// newGame is what a request asks for, checked in form.
type newGame struct {
	token      string // "" for none
	location   *string
	maximum    int32
	name       *string
	properties []types.GameProperty
	data       *string
	creator    *string
	print      string
}

func (s *Service) newGame(in *gamelift.CreateGameSessionInput) (newGame, error) {
	n := newGame{
		location: in.Location, maximum: *in.MaximumPlayerSessionCount, name: in.Name,
		properties: mergeProperties([]types.GameProperty{}, in.GameProperties), data: in.GameSessionData, creator: in.CreatorId,
	}
	switch {
	case in.IdempotencyToken != nil && in.GameSessionId != nil:
		return n, apierr.InvalidRequest("GameSessionId: it is the old name of IdempotencyToken; give one of them")
	case in.IdempotencyToken != nil:
		n.token = *in.IdempotencyToken
	case in.GameSessionId != nil:
		n.token = *in.GameSessionId
	}
	if err := s.checkMaximum(&n.maximum); err != nil {
		return n, err
	}
	n.print = n.fingerprint()
	return n, nil
}

func (s *Service) checkMaximum(n *int32) error {
	if n == nil {
		return nil
	}
	if most := s.Config.orDefaults().MaxPlayers; int(*n) > most || *n < 0 {
		return apierr.InvalidRequest("MaximumPlayerSessionCount: %d is not between 0 and %d", *n, most)
	}
	return nil
}

// fingerprint tells whether two requests ask for the same: all parameters but the token,
// with the properties as a set. The fleet is not among them, since tokens are the fleet's.
func (n newGame) fingerprint() string {
	properties := map[string]string{}
	for _, p := range n.properties {
		properties[*p.Key] = *p.Value
	}
	text, err := json.Marshal(map[string]any{
		"location": n.location, "maximum": n.maximum, "name": n.name, "properties": properties, "data": n.data, "creator": n.creator,
	})
	if err != nil {
		panic(err) // strings and integers always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// mergeProperties adds properties to a list; a key that is there gets the new value.
func mergeProperties(list, more []types.GameProperty) []types.GameProperty {
	for _, p := range more {
		at := 0
		for at < len(list) && *list[at].Key != *p.Key {
			at++
		}
		if at == len(list) {
			list = append(list, types.GameProperty{Key: p.Key})
		}
		list[at].Value = p.Value
	}
	return list
}

// createTx makes a game session on a fleet that is held. The order of the checks is that
// of sessions-placement.md 4.2.
func (s *Service) createTx(tx *store.Tx, f fleet.Fleet, n newGame) (game, error) {
	if f.Status != types.FleetStatusActive {
		return game{}, apierr.InvalidFleetStatus("FleetId: fleet %s is %s, and game sessions need an ACTIVE one", f.ID, f.Status)
	}
	at, err := s.hostingPlace(tx, f, n.location)
	if err != nil {
		return game{}, err
	}
	if n.token != "" {
		g, err := gameByID(tx, f.ID, n.token, "")
		if err == nil && g.print != n.print {
			return game{}, apierr.IdempotentParameterMismatch("IdempotencyToken: fleet %s has a game session %s that was made with other parameters", f.ID, n.token)
		}
		if !errors.Is(err, store.ErrNoRows) {
			return g, err
		}
	}
	creator, err := s.admitCreator(tx, f, n.creator)
	if err != nil {
		return game{}, err
	}
	p, err := s.Computes.ReserveTx(tx, f, at)
	if errors.Is(err, compute.ErrNoProcess) {
		return game{}, apierr.FleetCapacityExceeded("Unable to reserve a process on fleet %s: %v", f.ID, err)
	}
	if err != nil {
		return game{}, err
	}
	g := game{
		key: tx.NewKey(), id: n.token, fleetKey: f.Key, fleet: f.ID, location: at,
		status: activating, policy: types.PlayerSessionCreationPolicyAcceptAll, protection: f.Protection, maximum: n.maximum,
		process: p.Key, compute: p.Compute, ip: p.IPAddress, dns: p.DNSName, port: p.Port,
		createdAt: tx.NowMs(), deadline: new(tx.Now.Add(f.ActivationTimeout()).UnixMilli()),
		name: n.name, creator: n.creator, data: n.data, properties: n.properties, print: n.print,
	}
	if g.protection == "" {
		g.protection = types.ProtectionPolicyNoProtection
	}
	if g.id == "" {
		g.id = gamePrefix + g.key.UUID(store.Tail())
	}
	ok, err := insertGame(tx, g, creator)
	if err != nil {
		return game{}, err
	}
	if !ok {
		return game{}, errTaken
	}
	return g, s.Computes.SendTx(tx, p.Key, s.startMessage(g))
}

// hostingPlace is the location that a request means: on Anywhere fleets it must be said,
// others have the home region for a default.
func (s *Service) hostingPlace(tx *store.Tx, f fleet.Fleet, location *string) (arn.Location, error) {
	at := arn.Location(s.Home.Region)
	if location != nil {
		at = arn.Location(*location)
	} else if f.ComputeType == types.ComputeTypeAnywhere {
		return "", apierr.InvalidRequest("Location: it is required on ANYWHERE fleets")
	}
	status, err := s.place(tx, f, at)
	if err != nil {
		return "", err
	}
	if status != types.FleetStatusActive {
		return "", apierr.InvalidFleetStatus("Location: %s of fleet %s is %s, and game sessions need an ACTIVE one", at, f.ID, status)
	}
	return at, nil
}

// admitCreator holds a creator to the fleet's policy or, where there is none, to one
// request a second (sessions-placement.md 4.4). It returns the creator's fingerprint.
func (s *Service) admitCreator(tx *store.Tx, f fleet.Fleet, creator *string) (*int64, error) {
	policy := f.CreationLimit
	limited := policy != nil && policy.NewGameSessionsPerCreator != nil && policy.PolicyPeriodInMinutes != nil
	if creator == nil {
		if limited {
			return nil, apierr.InvalidRequest("CreatorId: fleet %s limits how many game sessions one creator may have, so it is required", f.ID)
		}
		return nil, nil //nolint:nilnil // nobody to hold to anything
	}
	who := fingerprint(*creator)
	interval := throttleInterval
	if limited {
		interval = 0
	}
	ok, err := markCreator(tx, f.Key, who, interval)
	if err != nil {
		return nil, err
	}
	if !limited {
		if !ok {
			return nil, apierr.Throttled()
		}
		return &who, nil
	}
	minutes := *policy.PolicyPeriodInMinutes
	n, err := countCreations(tx, f.Key, who, tx.NowMs()-int64(minutes)*60_000)
	if err != nil {
		return nil, err
	}
	if most := *policy.NewGameSessionsPerCreator; n >= int64(most) {
		return nil, apierr.LimitExceeded("CreatorId: it made %d game sessions on fleet %s in %d minutes, and %d is the most", n, f.ID, minutes, most)
	}
	return &who, nil
}

// fingerprint is a number for a text that is too long to index. Whoever finds a row by it
// compares the text too, except for creators, where a collision in 64 bits is accepted.
func fingerprint(text string) int64 {
	sum := sha256.Sum256([]byte(text))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

func (s *Service) startMessage(g game) compute.CreateGameSession {
	m := compute.CreateGameSession{
		GameSessionID: string(s.gameARN(g)), GameSessionName: g.name, GameSessionData: g.data, MatchmakerData: g.matchmaker,
		IPAddress: &g.ip, DNSName: g.dns, Port: g.port, MaximumPlayerSessionCount: g.maximum, GameProperties: map[string]string{},
	}
	for _, p := range g.properties {
		m.GameProperties[*p.Key] = *p.Value
	}
	return m
}
