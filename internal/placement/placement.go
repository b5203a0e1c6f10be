package placement

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// status is a placement's state as its row has it. It begins PENDING; all others are final
// (sessions-placement.md 6.3).
type status int64

const (
	pending status = 1 + iota
	fulfilled
	cancelled
	timedOut
	failed
)

var statuses = [...]types.GameSessionPlacementState{
	pending:   types.GameSessionPlacementStatePending,
	fulfilled: types.GameSessionPlacementStateFulfilled,
	cancelled: types.GameSessionPlacementStateCancelled,
	timedOut:  types.GameSessionPlacementStateTimedOut,
	failed:    types.GameSessionPlacementStateFailed,
}

func (s status) model() types.GameSessionPlacementState { return statuses[s] }

// placement is a placement's row.
type placement struct {
	key       store.Key
	id        string
	queue     store.Key
	queueName string
	status    status
	maximum   int32
	players   int // how many were desired
	startedAt int64
	deadline  *int64
	endedAt   *int64

	// The attempt under way, or the one that was fulfilled.
	game     *store.Key
	gameARN  *string
	location *string
	ip, dns  *string
	port     *int32
}

// request is what was asked for, as JSON beside the row.
type request struct {
	Name       *string                              `json:",omitempty"`
	Data       *string                              `json:",omitempty"`
	Properties []types.GameProperty                 `json:",omitempty"`
	Players    []session.Seat                       `json:",omitempty"`
	Latencies  []latency                            `json:",omitempty"`
	Override   *types.PriorityConfigurationOverride `json:",omitempty"`
	Matchmaker *string                              `json:",omitempty"` // MatchmakerData of a match's game session
}

// placed is a player session of a fulfilled placement.
type placed struct {
	Player  string
	Session string
}

// wish is what the choice depends on in the placement, at an instant.
func (r request) wish(p placement, now int64) wish {
	w := wish{Latencies: r.Latencies, elapsed: stamp(now).Sub(stamp(p.startedAt))}
	if r.Override != nil {
		w.Override = r.Override.LocationOrder
		w.Only = r.Override.PlacementFallbackStrategy == types.PlacementFallbackStrategyNone
	}
	return w
}

// DescribeGameSessionPlacement shows a placement, for 30 days after its end.
func (s *Service) DescribeGameSessionPlacement(ctx context.Context, in *gamelift.DescribeGameSessionPlacementInput) (*gamelift.DescribeGameSessionPlacementOutput, error) {
	var p placement
	var t text
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if p, err = knownPlacement(tx, *in.PlacementId, ""); err != nil {
			return err
		}
		t, err = textOf(tx, p.key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DescribeGameSessionPlacementOutput{GameSessionPlacement: new(s.placementModel(p, t))}, nil
}

// StopGameSessionPlacement cancels a placement that waits. While a game session is being
// started for it, and when it has ended, that is an InvalidRequestException.
func (s *Service) StopGameSessionPlacement(ctx context.Context, in *gamelift.StopGameSessionPlacementInput) (*gamelift.StopGameSessionPlacementOutput, error) {
	var p placement
	var t text
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if p, err = knownPlacement(tx, *in.PlacementId, tx.ForUpdate()); err != nil {
			return err
		}
		if p.status != pending {
			return apierr.InvalidRequest("PlacementId: placement %s is %s already", p.id, p.status.model())
		}
		if p.game != nil {
			return apierr.InvalidRequest("PlacementId: placement %s has a game session %s, and can be stopped only without one", p.id, *p.gameARN)
		}
		q, err := queueByKey(tx, p.queue)
		if err != nil {
			return err
		}
		if t, err = textOf(tx, p.key); err != nil {
			return err
		}
		return s.finishTx(tx, q, &p, cancelled)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.StopGameSessionPlacementOutput{GameSessionPlacement: new(s.placementModel(p, t))}, nil
}

// finishTx brings a placement that waits, or whose game session is over, to a final state
// other than FULFILLED, and appends its event.
func (s *Service) finishTx(tx *store.Tx, q queue, p *placement, to status) error {
	p.status, p.endedAt, p.deadline = to, new(tx.NowMs()), nil
	p.game, p.gameARN, p.location, p.ip, p.dns, p.port = nil, nil, nil, nil, nil, nil
	if err := endPlacement(tx, *p); err != nil {
		return err
	}
	countEnds(tx, []placement{*p})
	if err := s.tell(tx, []placement{*p}, nil); err != nil {
		return err
	}
	return s.Events.AppendTx(tx, s.event(q, *p, nil))
}

// knownPlacement reads a placement by its id, or refuses with NotFoundException.
func knownPlacement(tx *store.Tx, id, lock string) (placement, error) {
	p, err := placementByID(tx, id, lock)
	if errors.Is(err, store.ErrNoRows) {
		return placement{}, apierr.NotFound("PlacementId: placement %s does not exist", id)
	}
	return p, err
}

// placementModel is the placement as callers see it: what was not sent or is not there yet
// is absent, but GameProperties. The desired players are not a member
// (sessions-placement.md 6.2, 6.3).
func (s *Service) placementModel(p placement, t text) types.GameSessionPlacement {
	m := types.GameSessionPlacement{
		PlacementId:                   new(p.id),
		GameSessionQueueName:          new(p.queueName),
		Status:                        p.status.model(),
		MaximumPlayerSessionCount:     new(p.maximum),
		GameProperties:                t.Properties,
		GameSessionName:               t.Name,
		GameSessionData:               t.Data,
		PriorityConfigurationOverride: t.Override,
		StartTime:                     new(stamp(p.startedAt)),
		GameSessionArn:                p.gameARN,
		GameSessionId:                 p.gameARN,
		GameSessionRegion:             p.location,
		IpAddress:                     p.ip,
		DnsName:                       p.dns,
		Port:                          p.port,
	}
	if m.GameProperties == nil {
		m.GameProperties = []types.GameProperty{}
	}
	for _, l := range t.Latencies {
		m.PlayerLatencies = append(m.PlayerLatencies, types.PlayerLatency{
			PlayerId: &l.Player, RegionIdentifier: &l.Location, LatencyInMilliseconds: new(float32(l.Ms)),
		})
	}
	for _, one := range t.placed {
		m.PlacedPlayerSessions = append(m.PlacedPlayerSessions, types.PlacedPlayerSession{PlayerId: &one.Player, PlayerSessionId: &one.Session})
	}
	if p.endedAt != nil {
		m.EndTime = new(stamp(*p.endedAt))
	}
	return m
}
