package session

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// CreatePlayerSession reserves a slot for a player. A second call for the same player takes
// a second slot (sessions-placement.md 2.5).
func (s *Service) CreatePlayerSession(ctx context.Context, in *gamelift.CreatePlayerSessionInput) (*gamelift.CreatePlayerSessionOutput, error) {
	players, err := s.reserve(ctx, *in.GameSessionId, []newPlayer{{id: *in.PlayerId, data: in.PlayerData}})
	if err != nil {
		return nil, err
	}
	return &gamelift.CreatePlayerSessionOutput{PlayerSession: &players[0]}, nil
}

// CreatePlayerSessions reserves a slot for each player of a list, in that order, or none.
// A player who stands in the list twice gets two (sessions-placement.md 2.4).
func (s *Service) CreatePlayerSessions(ctx context.Context, in *gamelift.CreatePlayerSessionsInput) (*gamelift.CreatePlayerSessionsOutput, error) {
	if n := len(in.PlayerIds); n < 1 || n > 25 {
		return nil, apierr.InvalidRequest("PlayerIds: %d players in one call, want 1 to 25", n)
	}
	list := make([]newPlayer, len(in.PlayerIds))
	for i, id := range in.PlayerIds {
		list[i].id = id
		if data, ok := in.PlayerDataMap[id]; ok {
			list[i].data = &data
		}
	}
	players, err := s.reserve(ctx, *in.GameSessionId, list)
	if err != nil {
		return nil, err
	}
	return &gamelift.CreatePlayerSessionsOutput{PlayerSessions: players}, nil
}

// joining is one caller's request for slots.
type joining struct {
	name    string // the game session as the caller wrote it
	game    arn.GameSessionParts
	players []newPlayer
}

type newPlayer struct {
	id          string
	data        *string
	print, tail int64
	key         store.Key // given in the transaction
}

// joined is the answer: the game session, shared by all who joined it in one transaction,
// and the keys of the player sessions.
type joined struct {
	game *seats
	keys []store.Key
	at   int64
}

// seats is what a join needs of a game session's row.
type seats struct {
	key              store.Key
	id               string
	fleet            arn.FleetID
	location         arn.Location
	status           types.GameSessionStatus
	policy           types.PlayerSessionCreationPolicy
	players, maximum int64
	taken            int64 // by this transaction
	ip               string
	dns              *string
	port             int32
}

// reserve takes slots for all players of a list or for none. The calls of many callers
// share a transaction.
func (s *Service) reserve(ctx context.Context, name string, players []newPlayer) ([]types.PlayerSession, error) {
	id, ok := parseGame(name)
	if !ok {
		return nil, noGame(name)
	}
	for i := range players {
		players[i].print, players[i].tail = fingerprint(players[i].id), store.Tail()
	}
	s.joinOnce.Do(func() { s.joins.DB, s.joins.Run = s.DB, s.joinTx })
	j, err := s.joins.Do(ctx, joining{name, id, players})
	if err != nil {
		return nil, err
	}
	return s.reservedModels(j, players), nil
}

// joinTx answers many callers in order of their arrival.
func (s *Service) joinTx(tx *store.Tx, calls []joining) ([]joined, []error, error) {
	games, err := lockSeats(tx, calls)
	if err != nil {
		return nil, nil, err
	}
	out, errs := make([]joined, len(calls)), make([]error, len(calls))
	var rows []playerRow
	deadline := tx.Now.Add(s.Config.orDefaults().ReservationTimeout).UnixMilli()
	for i, c := range calls {
		g := games[gameName{c.game.Fleet, c.game.ID}]
		if errs[i] = g.admit(c); errs[i] != nil {
			continue
		}
		g.taken += int64(len(c.players))
		out[i] = joined{g, make([]store.Key, len(c.players)), tx.NowMs()}
		for k, p := range c.players {
			p.key = tx.NewKey()
			out[i].keys[k] = p.key
			rows = append(rows, playerRow{p, g.key, deadline})
		}
	}
	if err := takeSeats(tx, games); err != nil {
		return nil, nil, err
	}
	return out, errs, insertPlayers(tx, rows)
}

// admit checks a join against its game session, in the order of sessions-placement.md 2.3.
func (g *seats) admit(c joining) error {
	switch {
	case g == nil, c.game.Location != "" && c.game.Location != g.location:
		return noGame(c.name)
	case g.status != active:
		return apierr.InvalidGameSessionStatus("GameSessionId: game session %s is %s, and players need an ACTIVE one", c.name, g.status)
	case g.policy == types.PlayerSessionCreationPolicyDenyAll:
		return apierr.InvalidGameSessionStatus("GameSessionId: game session %s has the player session creation policy DENY_ALL", c.name)
	case g.players+g.taken+int64(len(c.players)) > g.maximum:
		return apierr.GameSessionFull("GameSessionId: game session %s has %d of %d slots taken, too many for %d more", c.name, g.players+g.taken, g.maximum, len(c.players))
	}
	return nil
}

// reservedModels are the new player sessions as callers see them. What they share is
// shared.
func (s *Service) reservedModels(j joined, players []newPlayer) []types.PlayerSession {
	g := j.game
	shared := s.sharedFields(g.fleet, g.location, g.id, g.ip, g.dns, g.port)
	at := stamp(j.at)
	list := make([]types.PlayerSession, len(players))
	for i, p := range players {
		m := shared
		m.CreationTime, m.Status = &at, types.PlayerSessionStatusReserved
		m.PlayerSessionId, m.PlayerId, m.PlayerData = new(playerSessionID(j.keys[i], p.tail)), &players[i].id, p.data
		list[i] = m
	}
	return list
}

// sharedFields are those that all player sessions of a game session have in common.
func (s *Service) sharedFields(f arn.FleetID, at arn.Location, id, ip string, dns *string, port int32) types.PlayerSession {
	return types.PlayerSession{
		FleetId: new(string(f)), FleetArn: new(s.Home.Fleet(f)),
		GameSessionId: new(string(s.Home.GameSession(f, at, id))),
		IpAddress:     &ip, DnsName: dns, Port: &port,
	}
}

const playerPrefix = "psess-"

func playerSessionID(key store.Key, tail int64) string { return playerPrefix + key.UUID(tail) }

// parsePlayerSession reads a player session's id. ok is false for one not made here.
func parsePlayerSession(id string) (key store.Key, tail int64, ok bool) {
	if len(id) < len(playerPrefix) || id[:len(playerPrefix)] != playerPrefix {
		return 0, 0, false
	}
	key, tail, err := store.ParseUUID(id[len(playerPrefix):])
	return key, tail, err == nil
}

// AcceptPlayer is a process's AcceptPlayerSession: RESERVED becomes ACTIVE. It is in time
// when its transaction begins before the reservation's deadline, whatever the sweep has
// done (sessions-placement.md 2.2).
func (s *Service) AcceptPlayer(ctx context.Context, process store.Key, gameSession, playerSession string) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		g, err := hostedGame(tx, process, gameSession, "")
		if err != nil {
			return err
		}
		p, err := playerOf(tx, g, playerSession)
		if err != nil {
			return err
		}
		if g.status != active {
			return apierr.InvalidGameSessionStatus("GameSessionId: game session %s is %s and takes no players", gameSession, g.status)
		}
		ok, err := acceptPlayer(tx, p.key)
		if ok {
			tx.Count(PlayerActivations, 1, string(g.fleet), string(g.location))
		}
		if err != nil || ok {
			return err
		}
		if p, err = playerOf(tx, g, playerSession); err != nil {
			return err
		}
		return apierr.InvalidRequest("PlayerSession (%s) has a status of %s instead of RESERVED", playerSession, p.statusAt(tx.NowMs()).model())
	})
}

// RemovePlayer is a process's RemovePlayerSession: RESERVED or ACTIVE becomes COMPLETED and
// the slot is free. Repeated, it succeeds without effect; a session that timed out is
// refused (sessions-placement.md 2.2).
func (s *Service) RemovePlayer(ctx context.Context, process store.Key, gameSession, playerSession string) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		g, err := hostedGame(tx, process, gameSession, lockOf(tx))
		if err != nil {
			return err
		}
		p, err := playerOf(tx, g, playerSession)
		if err != nil {
			return err
		}
		switch p.statusAt(tx.NowMs()) {
		case completed:
			return nil
		case timedOut:
			return apierr.InvalidRequest("PlayerSession (%s) has a status of TIMEDOUT instead of ACTIVE", playerSession)
		default:
			return removePlayer(tx, g.key, p.key)
		}
	})
}

// playerOf reads a player session of that game session, or refuses with NotFoundException.
func playerOf(tx *store.Tx, g game, id string) (player, error) {
	p, err := findPlayer(tx, id)
	if errors.Is(err, store.ErrNoRows) || err == nil && p.game != g.key {
		return player{}, apierr.NotFound("PlayerSessionId: player session %s does not exist in game session %s", id, g.id)
	}
	return p, err
}

// player is a player session's row.
type player struct {
	key       store.Key
	tail      int64
	game      store.Key
	status    playerStatus
	id        string // the player's
	data      *string
	createdAt int64
	deadline  *int64
	endedAt   *int64
}

// statusAt is the status at an instant: a reservation past its deadline has timed out,
// though no sweep has come by.
func (p player) statusAt(now int64) playerStatus {
	if p.status == reserved && *p.deadline <= now {
		return timedOut
	}
	return p.status
}

// fill writes what is the player session's own into a model that has the shared fields.
func (p *player) fill(m *types.PlayerSession, created, ended *time.Time, id *string) {
	*id, *created = playerSessionID(p.key, p.tail), stamp(p.createdAt)
	m.PlayerSessionId, m.PlayerId, m.PlayerData = id, &p.id, p.data
	m.CreationTime, m.Status = created, p.status.model()
	if p.endedAt != nil {
		*ended = stamp(*p.endedAt)
		m.TerminationTime = ended
	}
}
