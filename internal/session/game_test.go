package session_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

func TestLifeOfAGameSession(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		p := r.process()
		in := r.create(8)
		in.Name, in.GameSessionData = new("duel"), new("data")
		in.GameProperties = []types.GameProperty{{Key: new("map"), Value: new("hills")}}
		g := r.created(in)
		expect.Same(t, "members of a new one", expect.Members(g), "ComputeName CreationTime CurrentPlayerSessionCount FleetArn FleetId GameProperties GameSessionData GameSessionId"+
			" IpAddress Location MaximumPlayerSessionCount Name PlayerGatewayStatus PlayerSessionCreationPolicy Port Status")
		expect.Same(t, "status", g.Status, types.GameSessionStatusActivating)
		expect.Same(t, "compute", *g.ComputeName, host(east))
		expect.Same(t, "location", *g.Location, string(east))
		expect.Same(t, "policy", g.PlayerSessionCreationPolicy, types.PlayerSessionCreationPolicyAcceptAll)
		expect.Same(t, "gateway", g.PlayerGatewayStatus, types.PlayerGatewayStatusDisabled)
		expect.Same(t, "described", expect.JSON(r.game(*g.GameSessionId)), expect.JSON(g))
		prefix := "arn:aws:gamelift:us-west-2::gamesession/" + r.fleet + "/custom-east/gsess-"
		if !strings.HasPrefix(*g.GameSessionId, prefix) {
			t.Errorf("id %s, want %s…", *g.GameSessionId, prefix)
		}
		got := r.inbox(p.Key)
		expect.Same(t, "messages", len(got), 1)
		expect.Same(t, "message", expect.JSON(got[0]), expect.JSON(map[string]any{
			"Action": "CreateGameSession", "GameSessionId": *g.GameSessionId, "GameSessionName": "duel", "GameSessionData": "data", "MatchmakerData": nil,
			"IpAddress": "10.0.0.1", "DnsName": nil, "Port": *g.Port, "MaximumPlayerSessionCount": 8, "GameProperties": map[string]string{"map": "hills"},
		}))

		r.clock.Advance(299 * time.Second)
		expect.OK(t, r.Activate(ctx, p.Key, *g.GameSessionId))
		expect.OK(t, r.Activate(ctx, p.Key, *g.GameSessionId))
		g = r.game(*g.GameSessionId)
		expect.Same(t, "status", g.Status, types.GameSessionStatusActive)
		r.tick(time.Hour)
		expect.Same(t, "status an hour later", r.game(*g.GameSessionId).Status, types.GameSessionStatusActive)

		stranger := r.process()
		expect.Refused(t, "activated by another process", r.Activate(ctx, stranger.Key, *g.GameSessionId), invalid, "another process")
		expect.Refused(t, "an unknown one activated", r.Activate(ctx, p.Key, *g.GameSessionId+"0"), missing, "GameSessionId")
		expect.OK(t, r.Computes.End(ctx, p.Key, compute.Normal))
		g = r.game(*g.GameSessionId)
		expect.Same(t, "status", g.Status, types.GameSessionStatusTerminated)
		expect.Same(t, "reason", g.StatusReason, "")
		expect.Same(t, "termination", *g.TerminationTime, r.clock.Now())
		expect.Refused(t, "activated after its end", r.Activate(ctx, p.Key, *g.GameSessionId), badStatus, "TERMINATED")
		expect.Refused(t, "policy after its end", r.SetCreationPolicy(ctx, p.Key, *g.GameSessionId, "DENY_ALL"), badStatus)

		bare := r.created(r.create(0))
		expect.Same(t, "properties of a bare one", expect.JSON(bare.GameProperties), "[]")
		expect.Same(t, "members of a bare one", expect.Members(bare), "ComputeName CreationTime CurrentPlayerSessionCount FleetArn FleetId GameProperties GameSessionId"+
			" IpAddress Location MaximumPlayerSessionCount PlayerGatewayStatus PlayerSessionCreationPolicy Port Status")
	})
}

// The order of the checks is that of sessions-placement.md 4.2: each request has the faults
// of all later checks too.
func TestCreateRefusals(t *testing.T) {
	each(t, func(r *rooms) {
		type input = gamelift.CreateGameSessionInput
		closing, err := r.Fleets.CreateAlias(t.Context(), &gamelift.CreateAliasInput{
			Name: new("closed"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: new("Come back on Monday.")},
		})
		expect.OK(t, err)
		gone := r.newFleet(nil)
		stale, err := r.Fleets.CreateAlias(t.Context(), &gamelift.CreateAliasInput{
			Name: new("stale"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: &gone},
		})
		expect.OK(t, err)
		_, err = r.Fleets.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &gone})
		expect.OK(t, err)
		expired := r.newFleet(nil)
		expect.OK(t, r.DB.Write(t.Context(), func(tx *store.Tx) error {
			f, err := r.Fleets.GetTx(tx, arn.FleetID(expired))
			if err == nil {
				_, err = tx.Exec(`UPDATE fleet SET status = 'EXPIRED' WHERE key = $1`, f.Key)
			}
			return err
		}))
		for _, c := range []struct {
			name  string
			in    *input
			code  string
			words []string
		}{
			{"too many players", &input{FleetId: new(unknownFleet), MaximumPlayerSessionCount: new(int32(201))}, invalid, []string{"MaximumPlayerSessionCount", "200"}},
			{"two tokens", &input{FleetId: new(unknownFleet), IdempotencyToken: new("a"), GameSessionId: new("a")}, invalid, []string{"GameSessionId", "IdempotencyToken"}},
			{"no fleet", &input{}, invalid, []string{"FleetId", "AliasId"}},
			{"fleet and alias", &input{FleetId: new(unknownFleet), AliasId: closing.Alias.AliasId}, invalid, []string{"FleetId", "AliasId"}},
			{"terminal alias", &input{AliasId: closing.Alias.AliasId}, terminal, nil},
			{"unknown alias", &input{AliasId: new("alias-1")}, missing, []string{"AliasId"}},
			{"alias of a deleted fleet", &input{AliasId: stale.Alias.AliasArn}, missing, []string{"AliasId", gone}},
			{"unknown fleet", &input{FleetId: new(unknownFleet)}, missing, []string{"FleetId"}},
			{"deleted fleet", &input{FleetId: &gone}, missing, []string{"FleetId"}},
			{"expired fleet", &input{FleetId: &expired}, fleetStatus, []string{"EXPIRED"}},
			{"no location", &input{FleetId: &r.fleet}, invalid, []string{"Location"}},
			{"another location", &input{FleetId: &r.fleet, Location: new("custom-north")}, missing, []string{"Location", "custom-north"}},
			{"the home region", &input{FleetId: &r.fleet, Location: new("us-west-2")}, missing, []string{"Location"}},
			{
				"no process", &input{FleetId: &r.fleet, Location: new(string(west)), IdempotencyToken: new("later")}, noCapacity,
				[]string{"Unable to reserve a process on fleet " + r.fleet, "none is ready"},
			},
		} {
			if c.in.MaximumPlayerSessionCount == nil {
				c.in.MaximumPlayerSessionCount = new(int32(5))
			}
			_, err := r.CreateGameSession(t.Context(), c.in)
			expect.Refused(t, c.name, err, c.code, c.words...)
			if c.code == terminal {
				e, _ := errors.AsType[*types.TerminalRoutingStrategyException](err)
				expect.Same(t, "message of a terminal alias", *e.Message, "Come back on Monday.")
			}
		}
		// The last one did not use its token up.
		r.processOf(r.fleet, west)
		in := r.create(5)
		in.Location, in.IdempotencyToken = new(string(west)), new("later")
		r.created(in)
	})
}

// sessions-placement.md 12.7.
func TestIdempotency(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		in := r.create(8)
		in.IdempotencyToken, in.Name = new("token-1"), new("duel")
		in.GameProperties = []types.GameProperty{{Key: new("map"), Value: new("hills")}, {Key: new("mode"), Value: new("ffa")}}
		p := r.process()
		g := r.created(in)
		expect.Same(t, "id", *g.GameSessionId, "arn:aws:gamelift:us-west-2::gamesession/"+r.fleet+"/custom-east/token-1")

		in.GameProperties[0], in.GameProperties[1] = in.GameProperties[1], in.GameProperties[0]
		expect.Same(t, "again, with properties in another order", expect.JSON(r.created(in)), expect.JSON(g))
		expect.OK(t, r.Activate(ctx, p.Key, *g.GameSessionId))
		expect.Same(t, "again, when active", r.created(in).Status, types.GameSessionStatusActive)
		_, err := r.UpdateGameSession(ctx, &gamelift.UpdateGameSessionInput{GameSessionId: g.GameSessionId, Name: new("renamed")})
		expect.OK(t, err)
		expect.Same(t, "again, after a change", *r.created(in).Name, "renamed")
		alias, err := r.Fleets.CreateAlias(ctx, &gamelift.CreateAliasInput{
			Name: new("arena"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: &r.fleet},
		})
		expect.OK(t, err)
		byAlias := *in
		byAlias.FleetId, byAlias.AliasId = nil, alias.Alias.AliasId
		expect.Same(t, "again, by alias", *r.created(&byAlias).GameSessionId, *g.GameSessionId)
		old := *in
		old.IdempotencyToken, old.GameSessionId = nil, in.IdempotencyToken
		expect.Same(t, "again, by the token's old name", *r.created(&old).GameSessionId, *g.GameSessionId)

		for name, change := range map[string]func(*gamelift.CreateGameSessionInput){
			"maximum":    func(in *gamelift.CreateGameSessionInput) { in.MaximumPlayerSessionCount = new(int32(9)) },
			"location":   func(in *gamelift.CreateGameSessionInput) { in.Location = new(string(west)) },
			"name":       func(in *gamelift.CreateGameSessionInput) { in.Name = nil },
			"data":       func(in *gamelift.CreateGameSessionInput) { in.GameSessionData = new("x") },
			"creator":    func(in *gamelift.CreateGameSessionInput) { in.CreatorId = new("x") },
			"properties": func(in *gamelift.CreateGameSessionInput) { in.GameProperties = in.GameProperties[:1] },
		} {
			other := *in
			change(&other)
			_, err := r.CreateGameSession(ctx, &other)
			expect.Refused(t, "other "+name, err, mismatch, "IdempotencyToken", "token-1")
		}

		expect.OK(t, r.Computes.End(ctx, p.Key, compute.Normal))
		expect.Same(t, "again, when ended", r.created(in).Status, types.GameSessionStatusTerminated)
		fleet := r.newFleet(nil)
		r.processOf(fleet, east)
		elsewhere := *in
		elsewhere.FleetId = &fleet
		expect.Same(t, "on another fleet", r.created(&elsewhere).Status, types.GameSessionStatusActivating)

		// Free again with the end of what is kept.
		r.tick(30 * 24 * time.Hour)
		r.process()
		expect.Same(t, "when it is kept no longer", r.created(in).Status, types.GameSessionStatusActivating)

		// A token that looks like an id of ours is a token.
		r.process()
		in.IdempotencyToken = new("gsess-01234567-89ab-7def-8123-456789abcdef")
		posing := r.created(in)
		expect.Same(t, "posing", *r.game(*posing.GameSessionId).GameSessionId, *posing.GameSessionId)
	})
}

// One token from many callers at once: one game session, and all get it.
func TestOneTokenAtOnce(t *testing.T) {
	each(t, func(r *rooms) {
		for range 4 {
			r.process()
		}
		in := r.create(8)
		in.IdempotencyToken = new("token-1")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				out, err := r.CreateGameSession(t.Context(), in)
				if err != nil || !strings.HasSuffix(*out.GameSession.GameSessionId, "/token-1") {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		expect.Same(t, "game sessions", len(r.games(&gamelift.DescribeGameSessionsInput{FleetId: &r.fleet}, 100)), 1)
		for range 3 { // no process was lost
			r.created(r.create(1))
		}
	})
}

// sessions-placement.md 12.8.
func TestTwoCallersOneProcess(t *testing.T) {
	each(t, func(r *rooms) {
		for range 10 {
			p := r.process()
			var wg sync.WaitGroup
			var made, refusals atomic.Int64
			for range 2 {
				wg.Go(func() {
					_, err := r.CreateGameSession(t.Context(), r.create(2))
					if err == nil {
						made.Add(1)
						return
					}
					refusals.Add(1)
					expect.Refused(t, "second", err, noCapacity, "Unable to reserve a process on fleet")
				})
			}
			wg.Wait()
			expect.Same(t, "made", made.Load(), 1)
			expect.Same(t, "refused", refusals.Load(), 1)
			expect.OK(t, r.Computes.End(t.Context(), p.Key, compute.Normal))
		}
	})
}

// sessions-placement.md 12.9.
func TestActivationTimesOut(t *testing.T) {
	each(t, func(r *rooms) {
		p := r.process()
		g := r.created(r.create(2))
		r.inbox(p.Key)
		r.tick(300*time.Second - time.Millisecond)
		expect.Same(t, "status just before", r.game(*g.GameSessionId).Status, types.GameSessionStatusActivating)
		due, _, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", due.Sub(r.clock.Now()), time.Millisecond)
		r.clock.Advance(time.Millisecond)
		expect.Refused(t, "activated too late, before any sweep", r.Activate(t.Context(), p.Key, *g.GameSessionId), badStatus, "timed out")
		r.tick(time.Second)
		g = r.game(*g.GameSessionId)
		expect.Same(t, "status", g.Status, types.GameSessionStatusTerminated)
		expect.Same(t, "reason", g.StatusReason, "")
		expect.Same(t, "termination", g.TerminationTime.Sub(*g.CreationTime), 300*time.Second)
		expect.Same(t, "event", r.codes(r.fleet), "GAME_SESSION_ACTIVATION_TIMEOUT")
		got := r.inbox(p.Key)
		if len(got) != 1 || got[0]["Action"] != "TerminateProcess" {
			t.Errorf("process was told %v, want to end", got)
		}
		expect.OK(t, r.Computes.End(t.Context(), p.Key, compute.Normal))
		expect.Same(t, "the end of its process changes nothing", expect.JSON(r.game(*g.GameSessionId)), expect.JSON(g))

		// The fleet's own timeout.
		fleet := r.newFleet(func(in *gamelift.CreateFleetInput) {
			in.RuntimeConfiguration = &types.RuntimeConfiguration{GameSessionActivationTimeoutSeconds: new(int32(10)), MaxConcurrentGameSessionActivations: new(int32(1))}
		})
		r.processOf(fleet, east)
		r.processOf(fleet, east)
		in := r.create(2)
		in.FleetId = &fleet
		g = r.created(in)
		_, err = r.CreateGameSession(t.Context(), in)
		expect.Refused(t, "second activation at once", err, noCapacity)
		r.tick(10 * time.Second)
		expect.Same(t, "status", r.game(*g.GameSessionId).Status, types.GameSessionStatusTerminated)
		r.created(in)
	})
}

// sessions-placement.md 4.4.
func TestCreators(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		by := func(fleet, creator string) *gamelift.CreateGameSessionInput {
			r.processOf(fleet, east)
			in := r.create(2)
			in.FleetId = &fleet
			if creator != "" {
				in.CreatorId = &creator
			}
			return in
		}
		expect.Same(t, "creator", *r.created(by(r.fleet, "ann")).CreatorId, "ann")
		r.clock.Advance(999 * time.Millisecond)
		_, err := r.CreateGameSession(ctx, by(r.fleet, "ann"))
		expect.Refused(t, "within a second", err, throttled, "Rate exceeded")
		r.created(by(r.fleet, "bob"))
		r.created(by(r.fleet, ""))
		r.created(by(r.fleet, ""))
		r.clock.Advance(time.Millisecond)
		r.created(by(r.fleet, "ann"))

		limited := r.newFleet(func(in *gamelift.CreateFleetInput) {
			in.ResourceCreationLimitPolicy = &types.ResourceCreationLimitPolicy{NewGameSessionsPerCreator: new(int32(2)), PolicyPeriodInMinutes: new(int32(5))}
		})
		_, err = r.CreateGameSession(ctx, by(limited, ""))
		expect.Refused(t, "nobody", err, invalid, "CreatorId")
		r.created(by(limited, "ann"))
		r.clock.Advance(time.Minute)
		r.created(by(limited, "ann"))
		r.tick(0)
		_, err = r.CreateGameSession(ctx, by(limited, "ann"))
		expect.Refused(t, "third of two", err, overLimit, "CreatorId", "2")
		r.created(by(limited, "bob"))
		r.clock.Advance(4*time.Minute - time.Millisecond)
		_, err = r.CreateGameSession(ctx, by(limited, "ann"))
		expect.Refused(t, "just before the window has passed", err, overLimit)
		r.clock.Advance(time.Millisecond)
		r.created(by(limited, "ann"))
		_, err = r.CreateGameSession(ctx, by(limited, "ann"))
		expect.Refused(t, "the window slides", err, overLimit)

		// Many at once get no more.
		r.clock.Advance(time.Hour)
		for range 8 {
			r.processOf(limited, east)
		}
		var wg sync.WaitGroup
		var made atomic.Int64
		in := by(limited, "eve")
		for range 8 {
			wg.Go(func() {
				if _, err := r.CreateGameSession(ctx, in); err == nil {
					made.Add(1)
				}
			})
		}
		wg.Wait()
		expect.Same(t, "made at once", made.Load(), 2)
	})
}

// sessions-placement.md 4.6.
func TestUpdateGameSession(t *testing.T) {
	each(t, func(r *rooms) {
		type input = gamelift.UpdateGameSessionInput
		p := r.process()
		in := r.create(8)
		in.Name = new("duel")
		in.GameProperties = []types.GameProperty{{Key: new("map"), Value: new("hills")}, {Key: new("mode"), Value: new("ffa")}}
		id := r.created(in).GameSessionId
		r.inbox(p.Key)
		update := func(in *input) (types.GameSession, error) {
			in.GameSessionId = id
			out, err := r.UpdateGameSession(t.Context(), in)
			if err != nil {
				return types.GameSession{}, err
			}
			expect.Same(t, "described", expect.JSON(r.game(*id)), expect.JSON(*out.GameSession))
			return *out.GameSession, nil
		}
		g, err := update(&input{MaximumPlayerSessionCount: new(int32(3))})
		expect.OK(t, err)
		expect.Same(t, "maximum", *g.MaximumPlayerSessionCount, 3)
		expect.Same(t, "name stays", *g.Name, "duel")
		g, err = update(&input{
			Name: new("final"), PlayerSessionCreationPolicy: types.PlayerSessionCreationPolicyDenyAll, ProtectionPolicy: types.ProtectionPolicyFullProtection,
			GameProperties: []types.GameProperty{{Key: new("mode"), Value: new("team")}, {Key: new("age"), Value: new("18")}},
		})
		expect.OK(t, err)
		expect.Same(t, "name", *g.Name, "final")
		expect.Same(t, "policy", g.PlayerSessionCreationPolicy, types.PlayerSessionCreationPolicyDenyAll)
		expect.Same(t, "properties", expect.JSON(g.GameProperties), `[{"Key":"map","Value":"hills"},{"Key":"mode","Value":"team"},{"Key":"age","Value":"18"}]`)
		details, err := r.DescribeGameSessionDetails(t.Context(), &gamelift.DescribeGameSessionDetailsInput{GameSessionId: id})
		expect.OK(t, err)
		expect.Same(t, "protection", details.GameSessionDetails[0].ProtectionPolicy, types.ProtectionPolicyFullProtection)
		expect.Same(t, "details", expect.JSON(details.GameSessionDetails[0].GameSession), expect.JSON(g))

		var many []types.GameProperty
		for i := range 14 {
			many = append(many, types.GameProperty{Key: new(fmt.Sprint("key ", i)), Value: new("x")})
		}
		_, err = update(&input{GameProperties: many})
		expect.Refused(t, "17 properties", err, invalid, "GameProperties", "17")
		_, err = update(&input{MaximumPlayerSessionCount: new(int32(201))})
		expect.Refused(t, "201 players", err, invalid, "MaximumPlayerSessionCount")

		expect.OK(t, r.Activate(t.Context(), p.Key, *id))
		_, err = update(&input{PlayerSessionCreationPolicy: types.PlayerSessionCreationPolicyAcceptAll})
		expect.OK(t, err)
		_, err = r.joinAll(room{id: *id}, "ann", "bob")
		expect.OK(t, err)
		g, err = update(&input{MaximumPlayerSessionCount: new(int32(1))})
		expect.OK(t, err)
		expect.Same(t, "players kept above the maximum", *g.CurrentPlayerSessionCount, 2)
		_, err = r.join(room{id: *id}, "cat")
		expect.Refused(t, "another above the maximum", err, full, "2 of 1")
		expect.Same(t, "the process hears nothing of it", len(r.inbox(p.Key)), 0)

		expect.OK(t, r.Computes.End(t.Context(), p.Key, compute.Normal))
		_, err = update(&input{Name: new("x")})
		expect.Refused(t, "after its end", err, badStatus, "TERMINATED")
		_, err = r.UpdateGameSession(t.Context(), &input{GameSessionId: new(*id + "0")})
		expect.Refused(t, "unknown", err, missing, "GameSessionId")
	})
}

// agent makes an agent manage all computes.
func (r *rooms) agent() {
	r.t.Helper()
	expect.OK(r.t, r.DB.Write(r.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE compute SET agent = 1`)
		if err == nil {
			_, err = tx.Exec(`UPDATE process SET agent = 1`)
		}
		return err
	}))
}

func (r *rooms) terminate(id string, mode types.TerminationMode) (types.GameSession, error) {
	out, err := r.TerminateGameSession(r.t.Context(), &gamelift.TerminateGameSessionInput{GameSessionId: &id, TerminationMode: mode})
	if err != nil {
		return types.GameSession{}, err
	}
	return *out.GameSession, nil
}

// sessions-placement.md 12.16.
func TestTerminate(t *testing.T) {
	const trigger, force = types.TerminationModeTriggerOnProcessTerminate, types.TerminationModeForceTerminate
	each(t, func(r *rooms) {
		g := r.open(8)
		r.inbox(g.process)
		playing, waiting := r.accepted(g, "ann"), r.joined(g, "bob")
		_, err := r.terminate(g.id, force)
		expect.Refused(t, "force without agent", err, invalid, "TerminationMode", "agent")

		game, err := r.terminate(g.id, trigger)
		expect.OK(t, err)
		expect.Same(t, "answer", game.Status, types.GameSessionStatusTerminating)
		expect.Same(t, "reason, not yet", game.StatusReason, "")
		expect.Same(t, "described", expect.JSON(r.game(g.id)), expect.JSON(game))
		again, err := r.terminate(g.id, trigger)
		expect.OK(t, err)
		expect.Same(t, "again", expect.JSON(again), expect.JSON(game))
		got := r.inbox(g.process)
		expect.Same(t, "messages", len(got), 1)
		expect.Same(t, "message", expect.JSON(got[0]), expect.JSON(map[string]any{"Action": "TerminateProcess", "TerminationTime": r.clock.Now().Add(5 * time.Minute).UnixMilli()}))

		_, err = r.join(g, "cat")
		expect.Refused(t, "join", err, badStatus, "TERMINATING")
		_, err = r.UpdateGameSession(t.Context(), &gamelift.UpdateGameSessionInput{GameSessionId: &g.id, Name: new("x")})
		expect.Refused(t, "update", err, badStatus, "TERMINATING")
		expect.Refused(t, "accept", r.AcceptPlayer(t.Context(), g.process, g.id, waiting), badStatus, "TERMINATING")
		expect.Same(t, "players stay", r.player(playing).Status, types.PlayerSessionStatusActive)
		expect.OK(t, r.RemovePlayer(t.Context(), g.process, g.id, playing))

		// Nobody could kill the process, so the game session lasts until it says that it ends.
		r.clock.Advance(10 * time.Minute)
		expect.OK(t, errors.Join(r.Computes.Tick(t.Context(), r.clock.Now()), r.Tick(t.Context(), r.clock.Now())))
		expect.Same(t, "a slow end", r.game(g.id).Status, types.GameSessionStatusTerminating)

		expect.OK(t, r.Computes.End(t.Context(), g.process, compute.Normal))
		game = r.game(g.id)
		expect.Same(t, "status", game.Status, types.GameSessionStatusTerminated)
		expect.Same(t, "reason", game.StatusReason, types.GameSessionStatusReasonTriggeredOnProcessTerminate)
		_, err = r.terminate(g.id, trigger)
		expect.Refused(t, "after its end", err, badStatus, "TERMINATED")
		_, err = r.terminate(g.id+"0", trigger)
		expect.Refused(t, "unknown", err, missing, "GameSessionId")

		// While ACTIVATING.
		p := r.process()
		id := *r.created(r.create(8)).GameSessionId
		_, err = r.terminate(id, trigger)
		expect.OK(t, err)
		expect.Refused(t, "activated after that", r.Activate(t.Context(), p.Key, id), badStatus, "TERMINATING")
		expect.OK(t, r.Computes.End(t.Context(), p.Key, compute.Crashed))
		expect.Same(t, "reason", r.game(id).StatusReason, types.GameSessionStatusReasonTriggeredOnProcessTerminate)

		// With an agent.
		first, second := r.open(8), r.open(8)
		r.agent()
		joined := r.joined(first, "ann")
		game, err = r.terminate(first.id, force)
		expect.OK(t, err)
		expect.Same(t, "answer", game.Status, types.GameSessionStatusTerminating)
		game = r.game(first.id)
		expect.Same(t, "status", game.Status, types.GameSessionStatusTerminated)
		expect.Same(t, "reason", game.StatusReason, types.GameSessionStatusReasonForceTerminated)
		expect.Same(t, "player", r.player(joined).Status, types.PlayerSessionStatusTimedout)
		_, err = r.terminate(second.id, trigger)
		expect.OK(t, err)
		_, err = r.terminate(second.id, force)
		expect.OK(t, err)
		expect.Same(t, "reason of an escalation", r.game(second.id).StatusReason, types.GameSessionStatusReasonForceTerminated)

		// An old SDK.
		third := r.open(8)
		expect.OK(t, r.DB.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE process SET sdk_version = '4.0.2' WHERE key = $1`, third.process)
			return err
		}))
		_, err = r.terminate(third.id, trigger)
		expect.Refused(t, "old SDK", err, invalid, "4.0.2")
	})
}

// games reads game sessions to the end, page by page.
func (r *rooms) games(in *gamelift.DescribeGameSessionsInput, size int32) []string {
	r.t.Helper()
	list := walk(r.t, int(size), func(token *string) ([]types.GameSession, *string, error) {
		in := *in
		in.Limit, in.NextToken = &size, token
		out, err := r.DescribeGameSessions(r.t.Context(), &in)
		if err != nil {
			return nil, nil, err
		}
		return out.GameSessions, out.NextToken, nil
	})
	var all []string
	for _, g := range list {
		all = append(all, *g.GameSessionId)
	}
	return all
}

// sessions-placement.md 4.8.
func TestDescribeGameSessions(t *testing.T) {
	each(t, func(r *rooms) {
		type input = gamelift.DescribeGameSessionsInput
		ctx := t.Context()
		var all, western, active, ended []string
		for i := range 13 {
			at := []arn.Location{east, west}[i%2]
			p := r.processOf(r.fleet, at)
			in := r.create(8)
			in.Location = new(string(at))
			if i == 5 {
				in.IdempotencyToken = new("a-token") // sorts before all others as text
			}
			id := *r.created(in).GameSessionId
			all = append(all, id)
			if at == west {
				western = append(western, id)
			}
			if i%3 > 0 {
				expect.OK(t, r.Activate(ctx, p.Key, id))
			}
			if i%3 == 1 {
				active = append(active, id)
			}
			if i%3 == 2 {
				expect.OK(t, r.Computes.End(ctx, p.Key, compute.Normal))
				ended = append(ended, id)
			}
		}
		alias, err := r.Fleets.CreateAlias(ctx, &gamelift.CreateAliasInput{
			Name: new("arena"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: &r.fleet},
		})
		expect.OK(t, err)
		for name, c := range map[string]struct {
			in   *input
			want []string
		}{
			"fleet":                 {&input{FleetId: &r.fleet}, all},
			"alias":                 {&input{AliasId: alias.Alias.AliasId}, all},
			"fleet ARN":             {&input{FleetId: new(home.Fleet(arn.FleetID(r.fleet)))}, all},
			"location":              {&input{FleetId: &r.fleet, Location: new(string(west))}, western},
			"active":                {&input{FleetId: &r.fleet, StatusFilter: new("ACTIVE")}, active},
			"ended":                 {&input{FleetId: &r.fleet, StatusFilter: new("TERMINATED")}, ended},
			"none":                  {&input{FleetId: &r.fleet, StatusFilter: new("ERROR")}, nil},
			"active in a location":  {&input{FleetId: &r.fleet, Location: new(string(west)), StatusFilter: new("ACTIVE")}, []string{active[0], active[2]}},
			"one":                   {&input{GameSessionId: &all[5]}, all[5:6]},
			"one of a status":       {&input{GameSessionId: &active[0], StatusFilter: new("ACTIVE")}, active[:1]},
			"one of another status": {&input{GameSessionId: &active[0], StatusFilter: new("TERMINATED")}, nil},
			"one elsewhere":         {&input{GameSessionId: &all[0], Location: new(string(west))}, nil},
			"unknown":               {&input{GameSessionId: new(all[0] + "0")}, nil},
		} {
			for _, size := range []int32{1, 3, 13, 5000} {
				expect.Same(t, fmt.Sprint(name, " in pages of ", size), strings.Join(r.games(c.in, size), " "), strings.Join(c.want, " "))
			}
		}
		var detailed []string
		for _, d := range walk(t, 4, func(token *string) ([]types.GameSessionDetail, *string, error) {
			out, err := r.DescribeGameSessionDetails(ctx, &gamelift.DescribeGameSessionDetailsInput{FleetId: &r.fleet, Limit: new(int32(4)), NextToken: token})
			if err != nil {
				return nil, nil, err
			}
			return out.GameSessionDetails, out.NextToken, nil
		}) {
			detailed = append(detailed, *d.GameSession.GameSessionId)
			expect.Same(t, "protection", d.ProtectionPolicy, types.ProtectionPolicyNoProtection)
		}
		expect.Same(t, "details", strings.Join(detailed, " "), strings.Join(all, " "))

		first, err := r.DescribeGameSessions(ctx, &input{FleetId: &r.fleet, Limit: new(int32(2))})
		expect.OK(t, err)
		_, err = r.DescribeGameSessions(ctx, &input{FleetId: &r.fleet, StatusFilter: new("ACTIVE"), NextToken: first.NextToken})
		expect.Refused(t, "token with another filter", err, invalid, "NextToken")
		_, err = r.DescribeGameSessionDetails(ctx, &gamelift.DescribeGameSessionDetailsInput{FleetId: &r.fleet, NextToken: first.NextToken})
		expect.Refused(t, "token of another operation", err, invalid, "NextToken")

		for name, c := range map[string]struct {
			in         *input
			code, word string
		}{
			"none":                  {&input{}, invalid, "GameSessionId, FleetId, AliasId"},
			"fleet and alias":       {&input{FleetId: &r.fleet, AliasId: alias.Alias.AliasId}, invalid, "AliasId"},
			"unknown fleet":         {&input{FleetId: new(unknownFleet)}, missing, "FleetId"},
			"unknown alias":         {&input{AliasId: new("alias-1")}, missing, "AliasId"},
			"unknown location":      {&input{FleetId: &r.fleet, Location: new("custom-north")}, missing, "Location"},
			"game of unknown fleet": {&input{GameSessionId: new(strings.Replace(all[0], r.fleet, unknownFleet, 1))}, missing, "GameSessionId"},
			"no ARN":                {&input{GameSessionId: new("abc")}, missing, "GameSessionId"},
			"status":                {&input{FleetId: &r.fleet, StatusFilter: new("active")}, invalid, "StatusFilter"},
		} {
			_, err := r.DescribeGameSessions(ctx, c.in)
			expect.Refused(t, name, err, c.code, c.word)
		}
	})
}

// sessions-placement.md 12.15.
func TestTerminalAlias(t *testing.T) {
	each(t, func(r *rooms) {
		alias, err := r.Fleets.CreateAlias(t.Context(), &gamelift.CreateAliasInput{
			Name: new("closed"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: new("Zurück am Montag.")},
		})
		expect.OK(t, err)
		id := alias.Alias.AliasId
		_, create := r.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{AliasId: id, MaximumPlayerSessionCount: new(int32(1))})
		_, search := r.SearchGameSessions(t.Context(), &gamelift.SearchGameSessionsInput{AliasId: id})
		_, list := r.DescribeGameSessions(t.Context(), &gamelift.DescribeGameSessionsInput{AliasId: id})
		_, details := r.DescribeGameSessionDetails(t.Context(), &gamelift.DescribeGameSessionDetailsInput{AliasId: id})
		for what, err := range map[string]error{"create": create, "search": search, "list": list, "details": details} {
			e, ok := errors.AsType[*types.TerminalRoutingStrategyException](err)
			if !ok || *e.Message != "Zurück am Montag." {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestConnectionDetails(t *testing.T) {
	each(t, func(r *rooms) {
		p := r.process()
		g := r.created(r.create(3))
		get := func(id string, players ...string) (*gamelift.GetPlayerConnectionDetailsOutput, error) {
			return r.GetPlayerConnectionDetails(t.Context(), &gamelift.GetPlayerConnectionDetailsInput{GameSessionId: &id, PlayerIds: players})
		}
		_, err := get(*g.GameSessionId, "ann")
		expect.Refused(t, "while ACTIVATING", err, badStatus, "ACTIVATING")
		expect.OK(t, r.Activate(t.Context(), p.Key, *g.GameSessionId))
		out, err := get(*g.GameSessionId, "ann", "bob")
		expect.OK(t, err)
		expect.Same(t, "game session", *out.GameSessionId, *g.GameSessionId)
		endpoint := []map[string]any{{"IpAddress": "10.0.0.1", "Port": *g.Port}}
		expect.Same(t, "details", expect.JSON(out.PlayerConnectionDetails), expect.JSON([]map[string]any{
			{"Endpoints": endpoint, "Expiration": nil, "PlayerGatewayToken": "", "PlayerId": "ann"},
			{"Endpoints": endpoint, "Expiration": nil, "PlayerGatewayToken": "", "PlayerId": "bob"},
		}))
		_, err = get(*g.GameSessionId)
		expect.Refused(t, "nobody", err, invalid, "PlayerIds")
		_, err = get(*g.GameSessionId+"0", "ann")
		expect.Refused(t, "unknown", err, missing, "GameSessionId")
	})
}

// sessions-placement.md 8.
func TestLogs(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(2)
		get := func(id string) (string, error) {
			out, err := r.GetGameSessionLogUrl(t.Context(), &gamelift.GetGameSessionLogUrlInput{GameSessionId: &id})
			if err != nil {
				return "", err
			}
			return *out.PreSignedUrl, nil
		}
		_, err := get(g.id)
		expect.Refused(t, "before its end", err, invalid, "ACTIVE")
		_, err = get(g.id + "0")
		expect.Refused(t, "unknown", err, missing, "GameSessionId")
		expect.OK(t, r.Computes.End(t.Context(), g.process, compute.Normal))
		_, err = get(g.id)
		expect.Refused(t, "without bundle", err, invalid, "agent")

		r.LogURL = func(_ *store.Tx, id arn.GameSessionID, ended time.Time) (string, bool, error) {
			return "https://logs/" + string(id), ended.Equal(r.clock.Now()), nil
		}
		url, err := get(g.id)
		expect.OK(t, err)
		expect.Same(t, "url", url, "https://logs/"+g.id)
		r.LogURL = nil
		r.clock.Advance(14 * 24 * time.Hour)
		_, err = get(g.id)
		expect.Refused(t, "14 days later", err, missing, "no longer kept")
	})
}

// What a fleet counts is what its ACTIVE game sessions have.
func TestCounts(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(8)
		r.joined(g, "ann")
		r.accepted(g, "bob")
		r.open(5)
		r.process()
		r.created(r.create(7)) // ACTIVATING
		expect.OK(t, r.DB.Read(t.Context(), func(tx *store.Tx) error {
			for at, want := range map[arn.Location]string{
				"":   `{"Processes":0,"GameSessions":2,"Players":2,"MaxPlayers":13}`,
				east: `{"Processes":0,"GameSessions":2,"Players":2,"MaxPlayers":13}`,
				west: `{"Processes":0,"GameSessions":0,"Players":0,"MaxPlayers":0}`,
			} {
				c, err := r.CountTx(tx, arn.FleetID(r.fleet), at)
				expect.OK(t, err)
				expect.Same(t, "counts at "+string(at), expect.JSON(c), want)
			}
			return nil
		}))
	})
}

// A deleted fleet takes its game sessions with it, which are still shown by their ids.
func TestFleetDeleted(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(8)
		id := r.accepted(g, "ann")
		_, err := r.Fleets.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &r.fleet})
		expect.OK(t, err)
		expect.Same(t, "status", r.game(g.id).Status, types.GameSessionStatusTerminated)
		expect.Same(t, "player", r.player(id).Status, types.PlayerSessionStatusCompleted)
		_, err = r.DescribeGameSessions(t.Context(), &gamelift.DescribeGameSessionsInput{FleetId: &r.fleet})
		expect.Refused(t, "list", err, missing, "FleetId")
	})
}
