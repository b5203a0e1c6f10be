package placement_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// stop cancels a placement.
func (r *rooms) stop(id string) error {
	_, err := r.StopGameSessionPlacement(r.t.Context(), &gamelift.StopGameSessionPlacementInput{PlacementId: &id})
	return err
}

func TestPlacementFromStartToFulfilment(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east, west)
		r.queue("arena", func(in *gamelift.CreateGameSessionQueueInput) {
			in.CustomEventData = new("season <3>\nand more")
			in.NotificationTarget = new("arn:aws:sns:us-west-2:123456789012:placements")
		}, f)
		host := r.process(f, east)

		in := asks("match-1", "arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/arena")
		in.GameSessionName, in.GameSessionData = new("the final"), new("map=ice")
		in.GameProperties = []types.GameProperty{{Key: new("mode"), Value: new("duel")}, {Key: new("mode"), Value: new("ctf")}}
		in.DesiredPlayerSessions = []types.DesiredPlayerSession{{PlayerId: new("ann"), PlayerData: new("gold")}, {PlayerId: new("bob")}}
		in.PlayerLatencies = []types.PlayerLatency{{PlayerId: new("ann"), RegionIdentifier: new(east), LatencyInMilliseconds: new(float32(12.5))}}
		p := r.start(in)
		expect.Same(t, "answer", expect.Members(p), "GameProperties GameSessionData GameSessionName GameSessionQueueName MaximumPlayerSessionCount PlacementId PlayerLatencies StartTime Status")
		expect.Same(t, "status", p.Status, types.GameSessionPlacementStatePending)
		expect.Same(t, "queue", *p.GameSessionQueueName, "arena")
		expect.Same(t, "property", *p.GameProperties[0].Value, "ctf")
		expect.Same(t, "latency", *p.PlayerLatencies[0].LatencyInMilliseconds, 12.5)

		// The process was free, so its game session is on the way.
		p = r.get("match-1")
		expect.Same(t, "status", p.Status, types.GameSessionPlacementStatePending)
		expect.Same(t, "game session", *p.GameSessionArn, "arn:aws:gamelift:us-west-2::gamesession/"+f+"/custom-east/match-1")
		expect.Same(t, "pushed", r.inbox(host), "CreateGameSession")
		expect.Same(t, "events before the end", r.kinds(), "")
		g := r.game(*p.GameSessionId)
		expect.Same(t, "game session", g.Status, types.GameSessionStatusActivating)
		expect.Same(t, "name and data", *g.Name+" "+*g.GameSessionData, "the final map=ice")
		expect.Refused(t, "stop during an attempt", r.stop("match-1"), invalid, "PlacementId", *p.GameSessionId)

		r.clock.Advance(1500 * time.Millisecond)
		r.activate("match-1")
		p = r.get("match-1")
		expect.Same(t, "answer", expect.Members(p), "EndTime GameProperties GameSessionArn GameSessionData GameSessionId GameSessionName GameSessionQueueName GameSessionRegion IpAddress "+
			"MaximumPlayerSessionCount PlacedPlayerSessions PlacementId PlayerLatencies Port StartTime Status")
		expect.Same(t, "state", r.state("match-1"), "FULFILLED custom-east")
		expect.Same(t, "took", p.EndTime.Sub(*p.StartTime), 1500*time.Millisecond)
		expect.Same(t, "ids", *p.GameSessionId, *p.GameSessionArn)
		expect.Same(t, "address", *p.IpAddress, "10.0.0.1")
		expect.Same(t, "players placed", len(p.PlacedPlayerSessions), 2)

		players, err := r.Sessions.DescribePlayerSessions(t.Context(), &gamelift.DescribePlayerSessionsInput{GameSessionId: p.GameSessionId})
		expect.OK(t, err)
		expect.Same(t, "player sessions", len(players.PlayerSessions), 2)
		for i, one := range players.PlayerSessions {
			expect.Same(t, "player session", *one.PlayerSessionId, *p.PlacedPlayerSessions[i].PlayerSessionId)
			expect.Same(t, "player", *one.PlayerId, *p.PlacedPlayerSessions[i].PlayerId)
			expect.Same(t, "status", one.Status, types.PlayerSessionStatusReserved)
			expect.Same(t, "since", *one.CreationTime, *p.EndTime)
		}
		expect.Same(t, "data", *players.PlayerSessions[0].PlayerData, "gold")
		expect.Same(t, "players", *r.game(*p.GameSessionId).CurrentPlayerSessionCount, 2)
		expect.Refused(t, "stop after the end", r.stop("match-1"), invalid, "FULFILLED")

		list := r.told()
		expect.Same(t, "events", len(list), 1)
		e := list[0]
		d := e["detail"].(map[string]any)
		expect.Same(t, "event", expect.Members(e), "account detail detail-type id order region resources source target time version")
		expect.Same(t, "detail", expect.Members(d), "customEventData endTime gameSessionArn gameSessionRegion ipAddress placedPlayerSessions placementId port startTime type")
		for name, want := range map[string]any{
			"type": "PlacementFulfilled", "placementId": "match-1", "port": "7001", "gameSessionArn": *p.GameSessionArn, "ipAddress": "10.0.0.1",
			"gameSessionRegion": east, "customEventData": "season <3>\nand more", "startTime": "2026-01-02T03:04:05.000Z", "endTime": "2026-01-02T03:04:06.500Z",
		} {
			expect.Same(t, name, d[name], want)
		}
		one := d["placedPlayerSessions"].([]any)[0].(map[string]any)
		expect.Same(t, "placed player", expect.Members(one), "playerId playerSessionId")
		expect.Same(t, "detail-type", e["detail-type"].(string), "GameLift Queue Placement Event")
		expect.Same(t, "order", e["order"].(string), "placement/match-1")
		expect.Same(t, "target", e["target"].(string), "arn:aws:sns:us-west-2:123456789012:placements")
		expect.Same(t, "resource", e["resources"].([]any)[0].(string), "arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/arena")

		expect.Refused(t, "the id again", func() error { _, err := r.StartGameSessionPlacement(t.Context(), in); return err }(), invalid, "PlacementId", "match-1")
	})
}

// Without players the event has an empty list, and the placement none.
func TestNoPlayers(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("arena", nil, f)
		r.process(f, east)
		r.start(asks("empty", "arena"))
		r.activate("empty")
		expect.Same(t, "players", len(r.get("empty").PlacedPlayerSessions), 0)
		d := r.told()[0]["detail"].(map[string]any)
		expect.Same(t, "detail", expect.Members(d), "endTime gameSessionArn gameSessionRegion ipAddress placedPlayerSessions placementId port startTime type")
		expect.Same(t, "placed", len(d["placedPlayerSessions"].([]any)), 0)
	})
}

func TestWaitingForAProcess(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("arena", nil, f)
		for _, id := range []string{"first", "second", "third"} {
			r.start(asks(id, "arena"))
			r.clock.Advance(time.Second)
		}
		r.pass()
		expect.Same(t, "without a process", r.state("first"), "PENDING")
		r.process(f, east)
		// It came for those who wait: a newcomer does not get it.
		r.start(asks("newcomer", "arena"))
		expect.Same(t, "newcomer", r.state("newcomer"), "PENDING")
		r.pass()
		expect.Same(t, "first", r.state("first"), "PENDING custom-east")
		expect.Same(t, "second", r.state("second"), "PENDING")
		r.process(f, east)
		r.process(f, east)
		r.pass()
		expect.Same(t, "second", r.state("second"), "PENDING custom-east")
		expect.Same(t, "third", r.state("third"), "PENDING custom-east")
		expect.Same(t, "newcomer", r.state("newcomer"), "PENDING")
		expect.OK(t, r.stop("newcomer"))
		expect.Same(t, "newcomer", r.state("newcomer"), "CANCELLED")
		expect.Refused(t, "stopped again", r.stop("newcomer"), invalid, "CANCELLED")
		r.process(f, east)
		r.pass()
		expect.Same(t, "events", r.kinds(), "Cancelled newcomer")
		// The process that nobody wanted is there for the next.
		r.start(asks("lucky", "arena"))
		expect.Same(t, "lucky", r.state("lucky"), "PENDING custom-east")
	})
}

func TestTimeout(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("arena", func(in *gamelift.CreateGameSessionQueueInput) { in.TimeoutInSeconds = new(int32(10)) }, f)
		host := r.process(f, east)
		r.start(asks("half-started", "arena"))
		r.start(asks("waiting", "arena"))
		due, ok, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", ok, true)
		expect.Same(t, "due in", due.Sub(r.clock.Now()), 10*time.Second)
		game := *r.get("half-started").GameSessionId
		r.tick(9999 * time.Millisecond)
		expect.Same(t, "half-started", r.state("half-started"), "PENDING custom-east")
		r.tick(time.Millisecond)
		for _, id := range []string{"half-started", "waiting"} {
			p := r.get(id)
			expect.Same(t, id, p.Status, types.GameSessionPlacementStateTimedOut)
			expect.Same(t, id, expect.Members(p), "EndTime GameProperties GameSessionQueueName MaximumPlayerSessionCount PlacementId StartTime Status")
			expect.Same(t, id, p.EndTime.Sub(*p.StartTime), 10*time.Second)
		}
		expect.Same(t, "game session", r.game(game).Status, types.GameSessionStatusTerminated)
		expect.Same(t, "told to its process", r.inbox(host), "CreateGameSession TerminateProcess")
		expect.Refused(t, "activation", r.Sessions.Activate(t.Context(), host, game), "InvalidGameSessionStatusException")
		expect.Same(t, "events", r.kinds(), "TimedOut half-started, TimedOut waiting")

		// Thirty days later they are forgotten, and their ids free.
		r.tick(30*24*time.Hour - time.Minute)
		expect.Same(t, "kept", r.state("waiting"), "TIMED_OUT")
		due, _, err = r.Due(t.Context())
		expect.OK(t, err)
		r.tick(due.Sub(r.clock.Now()))
		_, err = r.DescribeGameSessionPlacement(t.Context(), &gamelift.DescribeGameSessionPlacementInput{PlacementId: new("waiting")})
		expect.Refused(t, "forgotten", err, missing, "PlacementId", "waiting")
		r.start(asks("waiting", "arena"))
	})
}

func TestNextCandidateAfterAFailure(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east, west)
		r.queue("arena", nil, f)
		_, err := r.Fleets.UpdateRuntimeConfiguration(t.Context(), &gamelift.UpdateRuntimeConfigurationInput{
			FleetId: &f, RuntimeConfiguration: &types.RuntimeConfiguration{GameSessionActivationTimeoutSeconds: new(int32(5))},
		})
		expect.OK(t, err)
		r.process(f, east)
		dies := r.process(f, west)
		r.process(f, east)
		r.start(asks("match", "arena"))
		expect.Same(t, "first", r.state("match"), "PENDING custom-east")
		first := *r.get("match").GameSessionId
		r.tick(5 * time.Second) // the activation times out
		expect.Same(t, "second", r.state("match"), "PENDING custom-west")
		expect.Same(t, "the first", r.game(first).Status, types.GameSessionStatusTerminated)
		second := *r.get("match").GameSessionId
		expect.Same(t, "id", second[strings.LastIndexByte(second, '/')+1:], "match-2") // the fleet has had match
		expect.OK(t, r.Computes.End(t.Context(), dies, compute.Crashed))
		expect.Same(t, "lost", r.state("match"), "PENDING")
		r.pass()
		expect.Same(t, "third", r.state("match"), "PENDING custom-east")
		third := *r.get("match").GameSessionId
		expect.Same(t, "id", third[strings.LastIndexByte(third, '/')+1:], "match-3")
		r.activate("match")
		expect.Same(t, "fulfilled", r.state("match"), "FULFILLED custom-east")
		expect.Same(t, "events", r.kinds(), "Fulfilled match")
		e, err := r.Explain(t.Context(), "match")
		expect.OK(t, err)
		expect.Same(t, "attempts", len(e.Attempts), 3)
		expect.Same(t, "first", e.Attempts[0].Outcome, "its activation timed out")
		expect.Same(t, "second", e.Attempts[1].Outcome, "its process ended")
		expect.Same(t, "third", e.Attempts[2].Outcome, "")
	})
}

// The id of a further game session is cut so that it fits.
func TestLongIDOfARepeatedAttempt(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("arena", nil, f)
		id := strings.Repeat("x", 48)
		dies := r.process(f, east)
		r.start(asks(id, "arena"))
		expect.OK(t, r.Computes.End(t.Context(), dies, compute.Crashed))
		r.process(f, east)
		r.pass()
		expect.Same(t, "id", strings.HasSuffix(*r.get(id).GameSessionId, "/"+id[:46]+"-2"), true)

		// A game session that was made with the token of that name is in the way as well.
		r.process(f, east)
		_, err := r.Sessions.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{
			FleetId: &f, Location: new(east), MaximumPlayerSessionCount: new(int32(2)), IdempotencyToken: new("taken"),
		})
		expect.OK(t, err)
		r.process(f, east)
		r.start(asks("taken", "arena"))
		expect.Same(t, "id", strings.HasSuffix(*r.get("taken").GameSessionId, "/taken-2"), true)
	})
}

func TestTerminatingTheGameSessionFailsThePlacement(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("arena", nil, f)
		r.process(f, east)
		r.process(f, east)
		r.start(asks("match", "arena"))
		game := r.get("match").GameSessionId
		_, err := r.Sessions.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{GameSessionId: game, TerminationMode: types.TerminationModeTriggerOnProcessTerminate})
		expect.OK(t, err)
		expect.Same(t, "state", r.state("match"), "FAILED")
		r.tick(time.Second)
		expect.Same(t, "state", r.state("match"), "FAILED")
		expect.Same(t, "events", r.kinds(), "Failed match")
	})
}

func TestDeletingTheQueueFailsWhatIsPending(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("arena", func(in *gamelift.CreateGameSessionQueueInput) {
			in.CustomEventData = new("data")
			in.NotificationTarget = new("topic")
		}, f)
		r.queue("other", nil, f)
		for _, id := range []string{"done", "trying"} {
			r.process(f, east)
			r.start(asks(id, "arena"))
		}
		r.activate("done")
		r.start(asks("waiting", "arena"))
		r.start(asks("elsewhere", "other"))
		game := *r.get("trying").GameSessionId
		_, err := r.DeleteGameSessionQueue(t.Context(), &gamelift.DeleteGameSessionQueueInput{Name: new("arena")})
		expect.OK(t, err)
		expect.Same(t, "done", r.state("done"), "FULFILLED custom-east")
		expect.Same(t, "trying", r.state("trying"), "FAILED")
		expect.Same(t, "its game session", r.game(game).Status, types.GameSessionStatusTerminated)
		expect.Same(t, "waiting", r.state("waiting"), "FAILED")
		expect.Same(t, "elsewhere", r.state("elsewhere"), "PENDING")
		for _, e := range r.told() {
			expect.Same(t, "target", e["target"].(string), "topic")
			expect.Same(t, "data", e["detail"].(map[string]any)["customEventData"].(string), "data")
		}
		_, err = r.StartGameSessionPlacement(t.Context(), asks("late", "arena"))
		expect.Refused(t, "late", err, missing, "GameSessionQueueName", "arena")
		r.queue("arena", nil, f)
		_, err = r.StartGameSessionPlacement(t.Context(), asks("waiting", "arena"))
		expect.Refused(t, "a used id", err, invalid, "PlacementId")
		r.start(asks("fresh", "arena"))
	})
}

// An error of a request is the first of sessions-placement.md 6.2 that applies.
func TestRefusalsOfAStart(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("arena", nil, f)
		r.queue("local", func(in *gamelift.CreateGameSessionQueueInput) {
			in.PriorityConfiguration = &types.PriorityConfiguration{PriorityOrder: []types.PriorityType{types.PriorityTypeLocation, types.PriorityTypeCost}}
		}, f)
		r.queue("second", func(in *gamelift.CreateGameSessionQueueInput) {
			in.PriorityConfiguration = &types.PriorityConfiguration{PriorityOrder: []types.PriorityType{types.PriorityTypeCost, types.PriorityTypeLocation}}
		}, f)
		r.start(asks("used", "arena"))
		override := &types.PriorityConfigurationOverride{LocationOrder: []string{east}}
		latency := []types.PlayerLatency{{PlayerId: new("ann"), RegionIdentifier: new(east), LatencyInMilliseconds: new(float32(1))}}
		for _, c := range []struct {
			what   string
			change func(*gamelift.StartGameSessionPlacementInput)
			code   string
			words  string
		}{
			{"too many players", func(in *gamelift.StartGameSessionPlacementInput) { in.MaximumPlayerSessionCount = new(int32(201)) }, invalid, "MaximumPlayerSessionCount"},
			{"more players than room", func(in *gamelift.StartGameSessionPlacementInput) {
				in.MaximumPlayerSessionCount = new(int32(1))
				in.DesiredPlayerSessions = []types.DesiredPlayerSession{{PlayerId: new("a")}, {PlayerId: new("b")}}
				in.GameSessionQueueName = new("nowhere")
			}, invalid, "DesiredPlayerSessions"},
			{"a player without id", func(in *gamelift.StartGameSessionPlacementInput) {
				in.DesiredPlayerSessions = []types.DesiredPlayerSession{{}}
			}, invalid, "DesiredPlayerSessions[0].PlayerId"},
			{"half a latency", func(in *gamelift.StartGameSessionPlacementInput) {
				in.PlayerLatencies = []types.PlayerLatency{{PlayerId: new("a"), RegionIdentifier: new(east)}}
			}, invalid, "PlayerLatencies[0].LatencyInMilliseconds"},
			{"a negative latency", func(in *gamelift.StartGameSessionPlacementInput) {
				in.PlayerLatencies = []types.PlayerLatency{{PlayerId: new("a"), RegionIdentifier: new(east), LatencyInMilliseconds: new(float32(-1))}}
			}, invalid, "PlayerLatencies[0].LatencyInMilliseconds"},
			{"a location twice", func(in *gamelift.StartGameSessionPlacementInput) {
				in.PriorityConfigurationOverride = &types.PriorityConfigurationOverride{LocationOrder: []string{east, east}}
			}, invalid, "PriorityConfigurationOverride.LocationOrder"},
			{"another kind's ARN", func(in *gamelift.StartGameSessionPlacementInput) {
				in.GameSessionQueueName = new("arn:aws:gamelift:us-west-2::fleet/gamesessionqueue/x")
			}, invalid, "GameSessionQueueName"},
			{"unknown queue", func(in *gamelift.StartGameSessionPlacementInput) {
				in.GameSessionQueueName = new("nowhere")
				in.PriorityConfigurationOverride, in.PlayerLatencies = override, latency
			}, missing, "GameSessionQueueName"},
			{"override and latencies", func(in *gamelift.StartGameSessionPlacementInput) {
				in.PriorityConfigurationOverride, in.PlayerLatencies = override, latency
				in.PlacementId = new("used")
			}, invalid, "PlayerLatencies"},
			{"override without priorities", func(in *gamelift.StartGameSessionPlacementInput) {
				in.PriorityConfigurationOverride = override
				in.PlacementId = new("used")
			}, invalid, "LOCATION"},
			{"override behind cost", func(in *gamelift.StartGameSessionPlacementInput) {
				in.PriorityConfigurationOverride = override
				in.GameSessionQueueName = new("second")
			}, invalid, "LOCATION"},
			{"used", func(in *gamelift.StartGameSessionPlacementInput) {
				in.PriorityConfigurationOverride = override
				in.GameSessionQueueName = new("local")
				in.PlacementId = new("used")
			}, invalid, "PlacementId"},
		} {
			in := asks("match", "arena")
			c.change(in)
			_, err := r.StartGameSessionPlacement(t.Context(), in)
			expect.Refused(t, c.what, err, c.code, c.words)
		}
		in := asks("match", "local")
		in.PriorityConfigurationOverride = override
		p := r.start(in)
		expect.Same(t, "echo", strings.Join(p.PriorityConfigurationOverride.LocationOrder, " "), east)
		_, err := r.DescribeGameSessionPlacement(t.Context(), &gamelift.DescribeGameSessionPlacementInput{PlacementId: new("nobody")})
		expect.Refused(t, "describe", err, missing, "PlacementId", "nobody")
		expect.Refused(t, "stop", r.stop("nobody"), missing, "PlacementId", "nobody")
	})
}

// The same id at the same moment, on two nodes: one has it and the others are told.
func TestOneIDOnTwoNodes(t *testing.T) {
	url := storetest.PostgresURL(t)
	a := furnish(t, storetest.Open(t, url, time.Now), storetest.NewClock())
	b := &rooms{t: t, Service: service(storetest.Open(t, url, time.Now))}
	a.queue("arena", nil)
	for i := range 30 {
		id := fmt.Sprint("p", i)
		var won atomic.Int64
		var all sync.WaitGroup
		for k := range 6 {
			node := []*rooms{a, b}[k%2]
			all.Go(func() {
				_, err := node.StartGameSessionPlacement(t.Context(), asks(id, "arena"))
				if err == nil {
					won.Add(1)
					return
				}
				expect.Refused(t, id, err, invalid, "PlacementId")
			})
		}
		all.Wait()
		expect.Same(t, id, won.Load(), 1)
	}
	a.checkRows()
}

// A compute at its limit of activations takes the next placement when one of them is active.
func TestActivationLimitOfACompute(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		_, err := r.Fleets.UpdateRuntimeConfiguration(t.Context(), &gamelift.UpdateRuntimeConfigurationInput{
			FleetId: &f, RuntimeConfiguration: &types.RuntimeConfiguration{MaxConcurrentGameSessionActivations: new(int32(2))},
		})
		expect.OK(t, err)
		r.queue("arena", nil, f)
		for range 5 {
			r.process(f, east)
		}
		for i := range 4 {
			r.start(asks(fmt.Sprint("p", i), "arena"))
		}
		r.pass()
		expect.Same(t, "first", r.state("p0"), "PENDING custom-east")
		expect.Same(t, "second", r.state("p1"), "PENDING custom-east")
		expect.Same(t, "third", r.state("p2"), "PENDING")
		e, err := r.Explain(t.Context(), "p2")
		expect.OK(t, err)
		if got := e.Now.Candidates[0].Outcome; !strings.Contains(got, "activate 2 game sessions each, which is the limit") {
			t.Errorf("why not: %s", got)
		}
		woken := make(chan string, 10)
		defer r.DB.Subscribe(placement.Channel, func(queue string) { woken <- queue })()
		r.activate("p0")
		<-woken
		r.pass()
		expect.Same(t, "third", r.state("p2"), "PENDING custom-east")
		expect.Same(t, "fourth", r.state("p3"), "PENDING")
	})
}

// Players of one batch of activations are seated each with their own.
func TestManyActivationsAtOnce(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("arena", nil, f)
		const n = 30
		for i := range n {
			r.process(f, east)
			in := asks(fmt.Sprint("p", i), "arena")
			for k := range i % 4 {
				in.DesiredPlayerSessions = append(in.DesiredPlayerSessions, types.DesiredPlayerSession{PlayerId: new(fmt.Sprintf("player-%d-%d", i, k))})
			}
			r.start(in)
		}
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				id := fmt.Sprint("p", i)
				if err := r.tryActivate(id); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		all.Wait()
		for i := range n {
			p := r.get(fmt.Sprint("p", i))
			expect.Same(t, "status", p.Status, types.GameSessionPlacementStateFulfilled)
			expect.Same(t, "players", len(p.PlacedPlayerSessions), i%4)
			for k, one := range p.PlacedPlayerSessions {
				expect.Same(t, "player", *one.PlayerId, fmt.Sprintf("player-%d-%d", i, k))
			}
			expect.Same(t, "count", int(*r.game(*p.GameSessionId).CurrentPlayerSessionCount), i%4)
		}
		expect.Same(t, "events", len(r.told()), n)
	})
}
