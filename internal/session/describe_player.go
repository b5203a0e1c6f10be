package session

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

// DescribePlayerSessions shows one player session, or lists those of a player or of a game
// session, oldest first (sessions-placement.md 3).
//
// PlayerSessionId goes before PlayerId, and that before GameSessionId; an identifier that
// is not used so is a further condition. An unknown player session or game session is a
// NotFoundException; an unknown player has an empty list. The status filter counts in the
// listing of a game session only, but must be a status in any case.
//
// A page costs the same however many player sessions there are. Sessions that are created
// or change while a client reads pages are neither left out nor shown twice.
func (s *Service) DescribePlayerSessions(ctx context.Context, in *gamelift.DescribePlayerSessionsInput) (*gamelift.DescribePlayerSessionsOutput, error) {
	c := s.Config.orDefaults()
	q := playerQuery{
		op: "DescribePlayerSessions", game: in.GameSessionId, player: in.PlayerId, id: in.PlayerSessionId, status: in.PlayerSessionStatusFilter,
		token: in.NextToken, size: page.Size(in.Limit, c.PageDefault, c.PageMost),
	}
	list, next, err := s.describePlayers(ctx, q)
	if err != nil {
		return nil, err
	}
	return &gamelift.DescribePlayerSessionsOutput{PlayerSessions: list, NextToken: next}, nil
}

// PlayerQuery is what a server process asks for; "" and 0 are members it left out.
type PlayerQuery struct {
	GameSessionID, PlayerID, PlayerSessionID string
	Status                                   string
	NextToken                                string
	Limit                                    int32
}

// DescribePlayers is DescribePlayerSessions for a server process, which sees its own
// fleet's only, and at most 50 of a page since some SDKs keep no more. next is "" after the
// last page.
func (s *Service) DescribePlayers(ctx context.Context, process store.Key, q PlayerQuery) (players []types.PlayerSession, next string, err error) {
	given := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	list, token, err := s.describePlayers(ctx, playerQuery{
		op: "server process", game: given(q.GameSessionID), player: given(q.PlayerID), id: given(q.PlayerSessionID), status: given(q.Status),
		token: given(q.NextToken), size: page.Size(&q.Limit, processPage, processPage), process: process,
	})
	if err != nil {
		return nil, "", err
	}
	if token != nil {
		next = *token
	}
	return list, next, nil
}

type playerQuery struct {
	op                       string
	game, player, id, status *string
	token                    *string
	size                     int
	process                  store.Key // whose fleet it must be; 0 for any
}

func (q playerQuery) bind() any { return []any{q.game, q.player, q.id, q.status, q.process} }

func (s *Service) describePlayers(ctx context.Context, q playerQuery) (list []types.PlayerSession, next *string, err error) {
	var status playerStatus
	if q.status != nil {
		var ok bool
		if status, ok = playerStatusOf(*q.status); !ok {
			return nil, nil, apierr.InvalidRequest("PlayerSessionStatusFilter: %q is not RESERVED, ACTIVE, COMPLETED or TIMEDOUT", *q.status)
		}
	}
	if q.id == nil && q.player == nil && q.game == nil {
		return nil, nil, apierr.InvalidRequest("PlayerSessionId, PlayerId, GameSessionId: one of them is needed")
	}
	var after store.Key
	if q.id == nil {
		if _, err := page.Decode(q.op, q.bind(), q.token, &after); err != nil {
			return nil, nil, err
		}
	}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		var fleet store.Key
		if q.process != 0 {
			p, err := s.Computes.ProcessTx(tx, q.process)
			if errors.Is(err, store.ErrNoRows) {
				return apierr.NotFound("the server process that asks ended long ago")
			}
			if err != nil {
				return err
			}
			fleet = p.FleetKey
		}
		switch {
		case q.id != nil:
			list, err = s.onePlayer(tx, q, fleet)
		case q.player != nil:
			list, after, err = s.playersOfPlayer(tx, q, fleet, after)
		default:
			list, after, err = s.playersOfGame(tx, q, fleet, status, after)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if len(list) > q.size {
		list = list[:q.size]
		next = new(page.Encode(q.op, q.bind(), after))
	}
	return list, next, nil
}

// onePlayer is the player session of an id, if it meets the other conditions.
func (s *Service) onePlayer(tx *store.Tx, q playerQuery, fleet store.Key) ([]types.PlayerSession, error) {
	p, err := findPlayer(tx, *q.id)
	var g gameHead
	if err == nil {
		g, err = headByKey(tx, p.game)
	}
	if errors.Is(err, store.ErrNoRows) || err == nil && fleet != 0 && fleet != g.fleetKey {
		return nil, apierr.NotFound("PlayerSessionId: player session %s does not exist", *q.id)
	}
	if err != nil {
		return nil, err
	}
	if q.player != nil && *q.player != p.id || q.game != nil && !g.named(*q.game) {
		return []types.PlayerSession{}, nil
	}
	return playerModels([]player{p}, func(int) types.PlayerSession { return s.sharedOf(g) }), nil
}

// playersOfPlayer is a page of the player sessions of a player, and one more if there are
// more; last is the key of the page's last one.
func (s *Service) playersOfPlayer(tx *store.Tx, q playerQuery, fleet, after store.Key) (list []types.PlayerSession, last store.Key, err error) {
	if strings.ContainsRune(*q.player, 0) {
		return []types.PlayerSession{}, 0, nil // PostgreSQL has no such text, so neither has any row
	}
	var game store.Key
	if q.game != nil {
		g, err := findHead(tx, *q.game)
		if errors.Is(err, store.ErrNoRows) {
			return []types.PlayerSession{}, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
		game = g.key
	}
	rows, heads, err := pageOfPlayer(tx, *q.player, fleet, game, after, q.size+1)
	if err != nil {
		return nil, 0, err
	}
	return playerModels(rows, func(i int) types.PlayerSession { return s.sharedOf(heads[i]) }), lastKey(rows, q.size), nil
}

// playersOfGame is a page of the player sessions of a game session, as playersOfPlayer.
func (s *Service) playersOfGame(tx *store.Tx, q playerQuery, fleet store.Key, status playerStatus, after store.Key) (list []types.PlayerSession, last store.Key, err error) {
	g, err := findHead(tx, *q.game)
	if errors.Is(err, store.ErrNoRows) || err == nil && fleet != 0 && fleet != g.fleetKey {
		return nil, 0, noGame(*q.game)
	}
	if err != nil {
		return nil, 0, err
	}
	rows, err := pageOfGame(tx, g.key, status, after, q.size+1)
	if err != nil {
		return nil, 0, err
	}
	shared := s.sharedOf(g)
	return playerModels(rows, func(int) types.PlayerSession { return shared }), lastKey(rows, q.size), nil
}

func lastKey(rows []player, size int) store.Key {
	if len(rows) <= size {
		return 0
	}
	return rows[size-1].key
}

func (s *Service) sharedOf(g gameHead) types.PlayerSession {
	return s.sharedFields(g.fleet, g.location, g.id, g.ip, g.dns, g.port)
}

// playerModels are player sessions as callers see them: shared gives the fields that a row
// has from its game session. It allocates a few times a page, not a few times a row.
func playerModels(rows []player, shared func(i int) types.PlayerSession) []types.PlayerSession {
	list := make([]types.PlayerSession, len(rows))
	own := make([]struct {
		id             string
		created, ended time.Time
	}, len(rows))
	for i := range rows {
		list[i] = shared(i)
		rows[i].fill(&list[i], &own[i].created, &own[i].ended, &own[i].id)
	}
	return list
}
