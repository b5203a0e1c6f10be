package session

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// GetPlayerConnectionDetails tells players where an ACTIVE game session is to be reached.
// There is no player gateway, so it is the game server's own address, with an empty token
// that does not expire. Whether the players have player sessions is not looked at, and
// Anywhere fleets are served too (sessions-placement.md 4.9).
func (s *Service) GetPlayerConnectionDetails(ctx context.Context, in *gamelift.GetPlayerConnectionDetailsInput) (*gamelift.GetPlayerConnectionDetailsOutput, error) {
	if n := len(in.PlayerIds); n < 1 || n > 25 {
		return nil, apierr.InvalidRequest("PlayerIds: %d players in one call, want 1 to 25", n)
	}
	var g game
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		g, err = knownGame(tx, *in.GameSessionId, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	if g.status != active {
		return nil, apierr.InvalidGameSessionStatus("GameSessionId: game session %s is %s, and players need an ACTIVE one", *in.GameSessionId, g.status)
	}
	out := &gamelift.GetPlayerConnectionDetailsOutput{GameSessionId: new(string(s.gameARN(g)))}
	for _, id := range in.PlayerIds {
		out.PlayerConnectionDetails = append(out.PlayerConnectionDetails, types.PlayerConnectionDetail{
			PlayerId:           &id,
			Endpoints:          []types.PlayerConnectionEndpoint{{IpAddress: &g.ip, Port: &g.port}},
			PlayerGatewayToken: new(""),
		})
	}
	return out, nil
}

// GetGameSessionLogUrl makes a URL for the logs of a game session that has ended, for 14
// days after its end (sessions-placement.md 8). On Anywhere fleets there are logs only when
// a host's agent uploaded some.
func (s *Service) GetGameSessionLogUrl(ctx context.Context, in *gamelift.GetGameSessionLogUrlInput) (*gamelift.GetGameSessionLogUrlOutput, error) {
	out := &gamelift.GetGameSessionLogUrlOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		g, err := knownGame(tx, *in.GameSessionId, "")
		if err != nil {
			return err
		}
		if g.endedAt == nil {
			return apierr.InvalidRequest("GameSessionId: game session %s is %s, and its logs come after its end", *in.GameSessionId, g.status)
		}
		if strings.HasPrefix(string(g.fleet), "containerfleet-") {
			return apierr.InvalidRequest("GameSessionId: game sessions of container fleets have no logs here")
		}
		ended := stamp(*g.endedAt)
		if !tx.Now.Before(ended.Add(logsKept)) {
			return apierr.NotFound("GameSessionId: the logs of game session %s are no longer kept", *in.GameSessionId)
		}
		url, found := "", false
		if s.LogURL != nil {
			if url, found, err = s.LogURL(tx, s.gameARN(g), ended); err != nil {
				return err
			}
		}
		if found {
			out.PreSignedUrl = &url
			return nil
		}
		f, err := s.Fleets.GetTx(tx, g.fleet)
		switch {
		case err != nil && !errors.Is(err, store.ErrNoRows):
			return err
		case f.ComputeType == types.ComputeTypeAnywhere:
			return apierr.InvalidRequest("GameSessionId: no agent uploaded logs of game session %s, and ANYWHERE fleets have no others", *in.GameSessionId)
		default:
			return apierr.NotFound("GameSessionId: game session %s has no logs", *in.GameSessionId)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
