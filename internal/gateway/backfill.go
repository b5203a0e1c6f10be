package gateway

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/matchmaking"
)

// backfillPlayer is a player of StartMatchBackfill (3.3). Keys match in any case, since C#
// writes LatencyInMS and attrType.
type backfillPlayer struct {
	PlayerID         string `json:"PlayerId"`
	Team             string
	PlayerAttributes map[string]backfillAttribute
	LatencyInMs      map[string]int32
}

// backfillAttribute is a value that says its own type, which the API's form does not.
type backfillAttribute struct {
	AttrType string
	S        string
	N        float64
	SL       []string
	SDM      map[string]float64
}

const (
	maxPlayerID  = 1024
	maxAttribute = 1024 // of its name and of its texts
)

// player is the player as the API would have it.
func (p backfillPlayer) player(i int) (types.Player, error) {
	if n := len(p.PlayerID); n < 1 || n > maxPlayerID {
		return types.Player{}, badRequest("Players[%d].PlayerId: it must have 1 to %d bytes", i, maxPlayerID)
	}
	out := types.Player{PlayerId: &p.PlayerID, LatencyInMs: p.LatencyInMs}
	if p.Team != "" {
		out.Team = &p.Team
	}
	for name, a := range p.PlayerAttributes {
		if n := len(name); n < 1 || n > maxAttribute {
			return types.Player{}, badRequest("Players[%d].PlayerAttributes: a name must have 1 to %d bytes", i, maxAttribute)
		}
		value, ok := a.value()
		if !ok {
			return types.Player{}, badRequest("Players[%d].PlayerAttributes.%s.AttrType: %q is not STRING, DOUBLE, STRING_LIST or STRING_DOUBLE_MAP", i, name, a.AttrType)
		}
		if value == nil {
			continue
		}
		if len(a.S) > maxAttribute {
			return types.Player{}, badRequest("Players[%d].PlayerAttributes.%s.S: longer than %d bytes", i, name, maxAttribute)
		}
		if out.PlayerAttributes == nil {
			out.PlayerAttributes = map[string]types.AttributeValue{}
		}
		out.PlayerAttributes[name] = *value
	}
	return out, nil
}

// value is the one member that AttrType names, for C# sends all of them; nil for NONE.
func (a backfillAttribute) value() (v *types.AttributeValue, ok bool) {
	switch a.AttrType {
	case "STRING":
		return &types.AttributeValue{S: &a.S}, true
	case "DOUBLE":
		return &types.AttributeValue{N: &a.N}, true
	case "STRING_LIST":
		if a.SL == nil {
			a.SL = []string{} // Go leaves out an empty one
		}
		return &types.AttributeValue{SL: a.SL}, true
	case "STRING_DOUBLE_MAP":
		if a.SDM == nil {
			a.SDM = map[string]float64{}
		}
		return &types.AttributeValue{SDM: a.SDM}, true
	case "NONE":
		return nil, true
	}
	return nil, false
}

// errNoMatchmaking is the answer of a server without the matchmaking room.
var errNoMatchmaking = badRequest("this server has no matchmaking")

func startMatchBackfill(ctx context.Context, s *Server, p *process, m inbound) (any, error) {
	if s.Matches == nil {
		return nil, errNoMatchmaking
	}
	if m.MatchmakingConfigurationArn == "" {
		return nil, badRequest("MatchmakingConfigurationArn: missing")
	}
	b := matchmaking.Backfill{TicketID: m.TicketID, Configuration: m.MatchmakingConfigurationArn, GameSession: m.GameSessionArn}
	for i, one := range m.Players {
		player, err := one.player(i)
		if err != nil {
			return nil, err
		}
		b.Players = append(b.Players, player)
	}
	id, err := s.Matches.StartBackfill(ctx, p.key, b)
	if err != nil {
		return nil, err
	}
	return struct {
		TicketID string `json:"TicketId"`
	}{id}, nil
}

func stopMatchBackfill(ctx context.Context, s *Server, p *process, m inbound) (any, error) {
	switch {
	case s.Matches == nil:
		return nil, errNoMatchmaking
	case m.TicketID == "":
		return nil, badRequest("TicketId: missing")
	}
	return nil, s.Matches.StopBackfill(ctx, p.key, m.MatchmakingConfigurationArn, m.GameSessionArn, m.TicketID)
}
