package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/testkit"
)

// placed describes a placement until it is no longer PENDING; the engine and the game server
// work meanwhile.
func placed(t *testing.T, s *testkit.Server, id string, until func(*types.GameSessionPlacement) bool) *types.GameSessionPlacement {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		p := must[gamelift.DescribeGameSessionPlacementOutput](t)(s.Client.DescribeGameSessionPlacement(t.Context(), &gamelift.DescribeGameSessionPlacementInput{PlacementId: &id})).GameSessionPlacement
		if until(p) {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("placement %s stays %s", id, p.Status)
		}
	}
}

func TestPlacementsThroughTheDoor(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		ctx, c := t.Context(), s.Client
		fleet, g := hosted(t, s)
		destination := []types.GameSessionQueueDestination{{DestinationArn: new("arn:aws:gamelift:us-west-2:123456789012:fleet/" + fleet)}}
		queue := must[gamelift.CreateGameSessionQueueOutput](t)(c.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
			Name: new("arena"), Destinations: destination, TimeoutInSeconds: new(int32(30)),
			FilterConfiguration: &types.FilterConfiguration{AllowedLocations: []string{"custom-home"}},
			PriorityConfiguration: &types.PriorityConfiguration{
				PriorityOrder: []types.PriorityType{types.PriorityTypeLocation}, LocationOrder: []string{"custom-home"},
			},
			Tags: []types.Tag{{Key: new("team"), Value: new("red")}},
		})).GameSessionQueue
		tags := must[gamelift.ListTagsForResourceOutput](t)(c.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: queue.GameSessionQueueArn}))
		if len(tags.Tags) != 1 || *tags.Tags[0].Key != "team" {
			t.Errorf("tags %v", tags.Tags)
		}

		// A process is free: it is told at once, and what it says is the end of it.
		in := &gamelift.StartGameSessionPlacementInput{
			PlacementId: new("match-1"), GameSessionQueueName: queue.GameSessionQueueArn, MaximumPlayerSessionCount: new(int32(4)),
			DesiredPlayerSessions: []types.DesiredPlayerSession{{PlayerId: new("ann")}, {PlayerId: new("bob"), PlayerData: new("blue")}},
			PriorityConfigurationOverride: &types.PriorityConfigurationOverride{
				LocationOrder: []string{"custom-home"}, PlacementFallbackStrategy: types.PlacementFallbackStrategyNone,
			},
		}
		p := must[gamelift.StartGameSessionPlacementOutput](t)(c.StartGameSessionPlacement(ctx, in)).GameSessionPlacement
		if p.Status != types.GameSessionPlacementStatePending || p.GameSessionId != nil || *p.GameSessionQueueName != "arena" {
			t.Errorf("answer %+v", p)
		}
		push := g.Push("CreateGameSession")
		g.Call("ActivateGameSession", testkit.Message{"GameSessionId": push["GameSessionId"]})
		p = placed(t, s, "match-1", func(p *types.GameSessionPlacement) bool { return p.Status != types.GameSessionPlacementStatePending })
		if p.Status != types.GameSessionPlacementStateFulfilled || *p.GameSessionArn != push["GameSessionId"] || *p.Port != 7777 ||
			*p.IpAddress != "192.0.2.7" || *p.GameSessionRegion != "custom-home" || len(p.PlacedPlayerSessions) != 2 {
			t.Errorf("placement %+v", p)
		}
		g.Call("AcceptPlayerSession", testkit.Message{"GameSessionId": *p.GameSessionId, "PlayerSessionId": *p.PlacedPlayerSessions[1].PlayerSessionId})
		if got := players(t, s, *p.GameSessionId); got["ann"] != types.PlayerSessionStatusReserved || got["bob"] != types.PlayerSessionStatusActive {
			t.Errorf("players %v", got)
		}
		_, err := c.StartGameSessionPlacement(ctx, in)
		refused(t, err, "InvalidRequestException", "match-1")

		// None is free: the placement waits, and the next process is its own without anybody
		// turning the clock.
		start := func(id string) {
			t.Helper()
			must[gamelift.StartGameSessionPlacementOutput](t)(c.StartGameSessionPlacement(ctx, &gamelift.StartGameSessionPlacementInput{
				PlacementId: &id, GameSessionQueueName: new("arena"), MaximumPlayerSessionCount: new(int32(4)),
			}))
		}
		start("match-2")
		next := s.Dial(fleet, "host-1", "process-2", "")
		next.Ready(7778)
		push = next.Push("CreateGameSession")
		next.Call("ActivateGameSession", testkit.Message{"GameSessionId": push["GameSessionId"]})
		placed(t, s, "match-2", func(p *types.GameSessionPlacement) bool { return p.Status == types.GameSessionPlacementStateFulfilled })

		// The clock ends what waits longer.
		start("match-3")
		s.Advance(29 * time.Second)
		placed(t, s, "match-3", func(p *types.GameSessionPlacement) bool { return p.Status == types.GameSessionPlacementStatePending })
		s.Advance(time.Second)
		placed(t, s, "match-3", func(p *types.GameSessionPlacement) bool { return p.Status == types.GameSessionPlacementStateTimedOut })
		status, body := s.Get(s.Admin + "/explain/placement/match-3")
		var e placement.Explanation
		if err := json.Unmarshal([]byte(body), &e); err != nil || status != http.StatusOK {
			t.Fatalf("explanation: %d %v %s", status, err, body)
		}
		if e.Status != "TIMED_OUT" || len(e.WouldHaveWorked) == 0 || !strings.Contains(e.String(), "a free process in custom-home of "+fleet) {
			t.Errorf("explanation: %s", e)
		}
		if status, body := s.Get(s.Admin + "/explain/placement/nobody"); status != http.StatusNotFound || !strings.Contains(body, "nobody") {
			t.Errorf("explanation of nobody: %d %s", status, body)
		}

		// Stopped while it waits; failed with its queue.
		start("match-4")
		stopped := must[gamelift.StopGameSessionPlacementOutput](t)(c.StopGameSessionPlacement(ctx, &gamelift.StopGameSessionPlacementInput{PlacementId: new("match-4")})).GameSessionPlacement
		if stopped.Status != types.GameSessionPlacementStateCancelled || stopped.EndTime == nil {
			t.Errorf("stopped %+v", stopped)
		}
		start("match-5")
		must[gamelift.DeleteGameSessionQueueOutput](t)(c.DeleteGameSessionQueue(ctx, &gamelift.DeleteGameSessionQueueInput{Name: new("arena")}))
		placed(t, s, "match-5", func(p *types.GameSessionPlacement) bool { return p.Status == types.GameSessionPlacementStateFailed })
	})
}

// An empty list, an empty object and an empty text are not the same as none.
func TestQueueMembersAreRemovedThroughTheDoor(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		ctx, c := t.Context(), s.Client
		fleet := arena(t, c)
		must[gamelift.CreateGameSessionQueueOutput](t)(c.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
			Name: new("arena"), CustomEventData: new("data\nand more"), NotificationTarget: new("arn:aws:sns:us-west-2:123456789012:topic"),
			Destinations:          []types.GameSessionQueueDestination{{DestinationArn: new("arn:aws:gamelift:us-west-2:123456789012:fleet/" + fleet)}},
			PlayerLatencyPolicies: []types.PlayerLatencyPolicy{{MaximumIndividualPlayerLatencyMilliseconds: new(int32(0))}},
			FilterConfiguration:   &types.FilterConfiguration{AllowedLocations: []string{"custom-home"}},
			PriorityConfiguration: &types.PriorityConfiguration{LocationOrder: []string{"custom-home"}},
		}))
		q := must[gamelift.UpdateGameSessionQueueOutput](t)(c.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{Name: new("arena"), TimeoutInSeconds: new(int32(60))})).GameSessionQueue
		if len(q.Destinations) != 1 || len(q.PlayerLatencyPolicies) != 1 || q.FilterConfiguration == nil || q.PriorityConfiguration == nil ||
			q.CustomEventData == nil || q.NotificationTarget == nil || *q.TimeoutInSeconds != 60 {
			t.Errorf("after a change of the timeout: %+v", q)
		}
		q = must[gamelift.UpdateGameSessionQueueOutput](t)(c.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{
			Name: new("arena"), Destinations: []types.GameSessionQueueDestination{}, PlayerLatencyPolicies: []types.PlayerLatencyPolicy{},
			FilterConfiguration: &types.FilterConfiguration{}, PriorityConfiguration: &types.PriorityConfiguration{}, CustomEventData: new(""), NotificationTarget: new(""),
		})).GameSessionQueue
		if len(q.Destinations) != 0 || len(q.PlayerLatencyPolicies) != 0 || q.FilterConfiguration != nil || q.PriorityConfiguration != nil ||
			q.CustomEventData != nil || q.NotificationTarget != nil || *q.TimeoutInSeconds != 60 {
			t.Errorf("after removals: %+v", q)
		}
	})
}
