package session

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

// DescribeGameSessions shows one game session or lists those of a fleet, oldest first, in
// whatever state while they are kept (sessions-placement.md 4.8). An unknown game session
// of a fleet that exists is an empty list, so that a client which asks for a session that is
// long gone need not catch an error.
func (s *Service) DescribeGameSessions(ctx context.Context, in *gamelift.DescribeGameSessionsInput) (*gamelift.DescribeGameSessionsOutput, error) {
	games, next, err := s.describeGames(ctx, gameQuery{
		op: "DescribeGameSessions", id: in.GameSessionId, fleet: in.FleetId, alias: in.AliasId, location: in.Location, status: in.StatusFilter,
		token: in.NextToken, limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := &gamelift.DescribeGameSessionsOutput{GameSessions: make([]types.GameSession, len(games)), NextToken: next}
	for i, g := range games {
		out.GameSessions[i] = s.gameModel(g)
	}
	return out, nil
}

// DescribeGameSessionDetails is DescribeGameSessions with the protection policy.
func (s *Service) DescribeGameSessionDetails(ctx context.Context, in *gamelift.DescribeGameSessionDetailsInput) (*gamelift.DescribeGameSessionDetailsOutput, error) {
	games, next, err := s.describeGames(ctx, gameQuery{
		op: "DescribeGameSessionDetails", id: in.GameSessionId, fleet: in.FleetId, alias: in.AliasId, location: in.Location, status: in.StatusFilter,
		token: in.NextToken, limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := &gamelift.DescribeGameSessionDetailsOutput{GameSessionDetails: make([]types.GameSessionDetail, len(games)), NextToken: next}
	for i, g := range games {
		out.GameSessionDetails[i] = types.GameSessionDetail{GameSession: new(s.gameModel(g)), ProtectionPolicy: g.protection}
	}
	return out, nil
}

type gameQuery struct {
	op                                 string
	id, fleet, alias, location, status *string
	token                              *string
	limit                              *int32
}

func (q gameQuery) bind() any { return []any{q.id, q.fleet, q.alias, q.location, q.status} }

func (s *Service) describeGames(ctx context.Context, q gameQuery) (games []game, next *string, err error) {
	if q.status != nil && !slices.Contains(statuses, types.GameSessionStatus(*q.status)) {
		return nil, nil, apierr.InvalidRequest("StatusFilter: %q is not ACTIVE, ACTIVATING, TERMINATING, TERMINATED or ERROR", *q.status)
	}
	if q.id == nil && q.fleet == nil && q.alias == nil {
		return nil, nil, apierr.InvalidRequest("GameSessionId, FleetId, AliasId: one of them is needed")
	}
	var after store.Key
	if _, err := page.Decode(q.op, q.bind(), q.token, &after); err != nil {
		return nil, nil, err
	}
	c := s.Config.orDefaults()
	size := page.Size(q.limit, c.PageDefault, c.PageMost)
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		var fleet store.Key
		if q.fleet != nil || q.alias != nil {
			f, err := s.target(tx, q.fleet, q.alias, false)
			if err != nil {
				return err
			}
			if q.location != nil {
				if _, err := s.place(tx, f, arn.Location(*q.location)); err != nil {
					return err
				}
			}
			fleet = f.Key
		}
		if q.id != nil {
			games, err = s.oneGame(tx, q, fleet)
			return err
		}
		games, err = pageOfGames(tx, fleet, q.location, q.status, after, size+1)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if len(games) > size {
		games = games[:size]
		next = new(page.Encode(q.op, q.bind(), games[size-1].key))
	}
	return games, next, nil
}

// oneGame is the game session of an ARN, if it meets the other conditions.
func (s *Service) oneGame(tx *store.Tx, q gameQuery, fleet store.Key) ([]game, error) {
	g, err := findGame(tx, *q.id, "")
	if errors.Is(err, store.ErrNoRows) {
		return nil, s.fleetOfGame(tx, *q.id)
	}
	if err != nil {
		return nil, err
	}
	if fleet != 0 && g.fleetKey != fleet || q.location != nil && string(g.location) != *q.location || q.status != nil && string(g.status) != *q.status {
		return nil, nil
	}
	return []game{g}, nil
}

// fleetOfGame refuses an ARN whose fleet does not exist.
func (s *Service) fleetOfGame(tx *store.Tx, id string) error {
	p, ok := parseGame(id)
	if !ok {
		return noGame(id)
	}
	_, err := s.Fleets.GetTx(tx, p.Fleet)
	if errors.Is(err, store.ErrNoRows) {
		return noGame(id)
	}
	return err
}
