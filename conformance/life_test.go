package conformance

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// A game session as all clients see it, from its making to its end, on a game server that
// speaks in the clear and on one that speaks TLS.
func TestTheLifeOfAGameSession(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			each(t, func(t *testing.T, s *server) { lifeOfAGameSession(t, s, scheme) })
		})
	}
}

func lifeOfAGameSession(t *testing.T, s *server, scheme string) {
	t.Helper()
	w := newWorld(t, s)
	host := w.host(t, scheme)
	s.advance(t, 1234*time.Millisecond)

	made := w.create(t, &gamelift.CreateGameSessionInput{
		MaximumPlayerSessionCount: new(int32(3)),
		Name:                      new("Friday ☃"), CreatorId: new("ann"), GameSessionData: new("map=1\n"),
		GameProperties: []types.GameProperty{{Key: new("mode"), Value: new("duel")}}, IdempotencyToken: new("friday-" + scheme),
	})
	id := *made.GameSessionId
	if want := "/friday-" + scheme; !strings.HasSuffix(id, want) {
		t.Errorf("%s does not end in the token %s", id, want)
	}
	want := object{
		"GameSessionId": id, "Name": "Friday ☃", "FleetId": w.fleet, "FleetArn": w.arn, "Location": w.location, "ComputeName": w.computer,
		"CreationTime": object{"$ms": made.CreationTime.UnixMilli()}, "CurrentPlayerSessionCount": int64(0), "MaximumPlayerSessionCount": int64(3),
		"Status": "ACTIVE", "GameProperties": []any{object{"Key": "mode", "Value": "duel"}}, "IpAddress": "127.0.0.1", "Port": int64(host.port),
		"PlayerSessionCreationPolicy": "ACCEPT_ALL", "CreatorId": "ann", "GameSessionData": "map=1\n", "PlayerGatewayStatus": "DISABLED",
	}
	host.hear(t, "active session="+id)
	if got := host.hear(t, "start "); got != fmt.Sprintf("start session=%s max=3 name=%q data=%q", id, "Friday ☃", "map=1\n") {
		t.Errorf("the game server was told %s", got)
	}
	eventually(t, "the game session is ACTIVE", func() bool { return w.describe(t, id).Status == types.GameSessionStatusActive })

	sees := func(t *testing.T) {
		t.Helper()
		eachClient(t, func(t *testing.T, c *client) {
			got := c.must(t, s, "DescribeGameSessions", object{"GameSessionId": id})
			if want := c.shown("DescribeGameSessions", object{"GameSessions": []any{want}}); !c.same(got, want) {
				t.Errorf("got  %s\nwant %s", show(got), show(want))
			}
			got = c.must(t, s, "DescribeGameSessionDetails", object{"FleetId": w.fleet})
			if want := c.shown("DescribeGameSessionDetails", object{"GameSessionDetails": []any{object{"GameSession": want, "ProtectionPolicy": "NoProtection"}}}); !c.same(got, want) {
				t.Errorf("details: got  %s\nwant %s", show(got), show(want))
			}
			found := []any{want}
			if want["Status"] != "ACTIVE" {
				found = []any{}
			}
			got = c.must(t, s, "SearchGameSessions", object{"FleetId": w.fleet, "FilterExpression": "gameSessionName = 'Friday ☃' AND gameSessionProperties.mode = 'duel'"})
			if want := c.shown("SearchGameSessions", object{"GameSessions": found}); !c.same(got, want) {
				t.Errorf("search: got  %s\nwant %s", show(got), show(want))
			}
		})
	}
	t.Run("active", sees)

	// Players come, are refused, go.
	ann, bob := w.join(t, id, "ann"), w.join(t, id, "bob")
	visit := host.enter(t, *ann.PlayerSessionId)
	if got := host.connect(t).say(t, "JOIN "+*ann.PlayerSessionId); !strings.HasPrefix(got, "NO ") || !strings.Contains(got, "ACTIVE") {
		t.Errorf("a player session used twice: %s", got)
	}
	if got := host.connect(t).say(t, "JOIN psess-00000000-0000-7000-8000-000000000000"); !strings.HasPrefix(got, "NO ") {
		t.Errorf("a player session that is none: %s", got)
	}
	who := []string{visit.say(t, "WHO"), visit.hear(t), visit.hear(t)}
	if want := []string{"OK 2", *ann.PlayerSessionId + " ann ACTIVE", *bob.PlayerSessionId + " bob RESERVED"}; !slices.Equal(who, want) {
		t.Errorf("the game server sees %q, want %q", who, want)
	}
	want["CurrentPlayerSessionCount"] = int64(2)

	// The room is locked from inside, and opened from outside.
	if got := visit.say(t, "LOCK"); got != "OK" {
		t.Error(got)
	}
	want["PlayerSessionCreationPolicy"] = "DENY_ALL"
	eachClient(t, func(t *testing.T, c *client) {
		e := c.fails(t, s, "CreatePlayerSession", object{"GameSessionId": id, "PlayerId": "cid"})
		if e.Class != "InvalidGameSessionStatusException" {
			t.Errorf("into a locked room: %+v", *e)
		}
	})
	t.Run("locked", sees)
	properties := []any{object{"Key": "mode", "Value": "duel"}}
	eachClient(t, func(t *testing.T, c *client) {
		key := strings.ReplaceAll(c.name, " ", "-")
		got := c.must(t, s, "UpdateGameSession", object{
			"GameSessionId": id, "PlayerSessionCreationPolicy": "ACCEPT_ALL", "MaximumPlayerSessionCount": 2,
			"GameProperties": []any{object{"Key": key, "Value": "✓"}},
		})["GameSession"].(object)
		properties = append(properties, object{"Key": key, "Value": "✓"})
		if got["PlayerSessionCreationPolicy"] != "ACCEPT_ALL" || !c.same(got["MaximumPlayerSessionCount"], int64(2)) || got["Name"] != "Friday ☃" {
			t.Errorf("after an update: %s", show(got))
		}
		if e := c.fails(t, s, "CreatePlayerSession", object{"GameSessionId": id, "PlayerId": "cid"}); e.Class != "GameSessionFullException" {
			t.Errorf("into a full room: %+v", *e)
		}
	})
	want["PlayerSessionCreationPolicy"], want["MaximumPlayerSessionCount"] = "ACCEPT_ALL", int64(2)
	updated := w.describe(t, id)
	if len(updated.GameProperties) != len(properties) {
		t.Errorf("%d properties, want %d", len(updated.GameProperties), len(properties))
	}
	properties = nil
	for _, p := range updated.GameProperties {
		properties = append(properties, object{"Key": *p.Key, "Value": *p.Value})
	}
	want["GameProperties"] = properties

	// Who is not let in within a minute has lost the slot.
	s.advance(t, time.Minute)
	if got := host.connect(t).say(t, "JOIN "+*bob.PlayerSessionId); !strings.Contains(got, "TIMEDOUT") {
		t.Errorf("a player session that timed out: %s", got)
	}
	want["CurrentPlayerSessionCount"] = int64(1)
	cid := w.join(t, id, "cid")
	_, err := w.api.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &id, PlayerId: new("dan")})
	if !isFull(err) {
		t.Errorf("the third player of two: %v", err)
	}
	if got := visit.say(t, "LEAVE"); got != "BYE" {
		t.Error(got)
	}
	eventually(t, "ann has left", func() bool {
		return w.player(t, *ann.PlayerSessionId).Status == types.PlayerSessionStatusCompleted
	})
	stays := host.enter(t, *cid.PlayerSessionId)
	w.join(t, id, "eve")
	want["CurrentPlayerSessionCount"] = int64(2)
	t.Run("full", sees)

	// The same token is the same game session, another request under it is refused.
	eachClient(t, func(t *testing.T, c *client) {
		again := object{
			"FleetId": w.fleet, "Location": w.location, "MaximumPlayerSessionCount": 3, "Name": "Friday ☃", "CreatorId": "ann", "GameSessionData": "map=1\n",
			"GameProperties": []any{object{"Key": "mode", "Value": "duel"}}, "IdempotencyToken": "friday-" + scheme,
		}
		if got := c.must(t, s, "CreateGameSession", again)["GameSession"].(object); got["GameSessionId"] != id || got["Status"] != "ACTIVE" {
			t.Errorf("the same again: %s", show(got))
		}
		again["Name"] = "Saturday"
		if e := c.fails(t, s, "CreateGameSession", again); e.Class != "IdempotentParameterMismatchException" {
			t.Errorf("another name under the same token: %+v", *e)
		}
		again["IdempotencyToken"] = "other"
		delete(again, "CreatorId")
		if e := c.fails(t, s, "CreateGameSession", again); e.Class != "FleetCapacityExceededException" {
			t.Errorf("a second game session on one server: %+v", *e)
		}
	})

	// The end: the game server is asked, sends its players home and goes.
	s.advance(t, time.Millisecond)
	_, err = w.api.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{GameSessionId: &id, TerminationMode: types.TerminationModeForceTerminate})
	if e := asCallError(err); e.Class != "InvalidRequestException" || !names(e.Message, "TerminationMode") {
		t.Errorf("by force, where no agent is: %+v", *e)
	}
	out, err := w.api.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{GameSessionId: &id, TerminationMode: types.TerminationModeTriggerOnProcessTerminate})
	check(t, err)
	if out.GameSession.Status != types.GameSessionStatusTerminating {
		t.Errorf("after TerminateGameSession: %s", out.GameSession.Status)
	}
	if code := host.ends(t); code != 0 || len(host.said("ended")) != 1 {
		t.Errorf("the game server ended with %d: %q", code, host.said("end"))
	}
	eventually(t, "the game session is TERMINATED", func() bool { return w.describe(t, id).Status == types.GameSessionStatusTerminated })
	want["Status"], want["StatusReason"], want["CurrentPlayerSessionCount"] = "TERMINATED", "TRIGGERED_ON_PROCESS_TERMINATE", int64(0)
	want["TerminationTime"] = object{"$ms": made.CreationTime.UnixMilli() + 60_001}
	t.Run("terminated", sees)
	_ = stays.Close()
	for _, p := range playersOf(t, w.api, id, "") {
		wanted := map[string]types.PlayerSessionStatus{
			"ann": types.PlayerSessionStatusCompleted, "bob": types.PlayerSessionStatusTimedout,
			"cid": types.PlayerSessionStatusCompleted, "eve": types.PlayerSessionStatusTimedout,
		}[*p.PlayerId]
		if p.Status != wanted || p.TerminationTime == nil {
			t.Errorf("%s is %s, ended %v; want %s", *p.PlayerId, p.Status, p.TerminationTime, wanted)
		}
	}
	eachClient(t, func(t *testing.T, c *client) {
		for op, in := range map[string]object{
			"CreatePlayerSession": {"GameSessionId": id, "PlayerId": "late"}, "UpdateGameSession": {"GameSessionId": id, "Name": "late"},
		} {
			if e := c.fails(t, s, op, in); e.Class != "InvalidGameSessionStatusException" {
				t.Errorf("%s after the end: %+v", op, *e)
			}
		}
	})
}

// What happens when a game server does not play along.
func TestGameServersThatFail(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		w := newWorld(t, s)

		// It is told to start a game session and never does.
		idle := w.host(t, "ws")
		time.Sleep(500 * time.Millisecond) // its first health report, which nothing shows
		check(t, idle.cmd.Process.Signal(syscall.SIGSTOP))
		stuck := *w.create(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(1))}).GameSessionId
		eachClient(t, func(t *testing.T, c *client) {
			e := c.fails(t, s, "CreatePlayerSession", object{"GameSessionId": stuck, "PlayerId": "early"})
			if e.Class != "InvalidGameSessionStatusException" {
				t.Errorf("into a game session that is being activated: %+v", *e)
			}
		})
		s.advance(t, 5*time.Minute)
		if g := w.describe(t, stuck); g.Status != types.GameSessionStatusTerminated || g.StatusReason != "" || g.TerminationTime == nil {
			t.Errorf("after the activation timeout: %s %q %v", g.Status, g.StatusReason, g.TerminationTime)
		}
		events, err := w.api.DescribeFleetEvents(t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &w.fleet})
		check(t, err)
		if !slices.ContainsFunc(events.Events, func(e types.Event) bool {
			return e.EventCode == types.EventCodeGameSessionActivationTimeout
		}) {
			t.Errorf("no event of the activation timeout: %v", events.Events)
		}
		idle.kill()

		// It dies with players inside.
		g, host := w.room(t, "ws", 2)
		id := *g.GameSessionId
		inside, waiting := w.join(t, id, "inside"), w.join(t, id, "waiting")
		host.enter(t, *inside.PlayerSessionId)
		host.kill()
		eventually(t, "the game session of a dead game server ends", func() bool {
			s.advance(t, 30*time.Second)
			return w.describe(t, id).Status == types.GameSessionStatusTerminated
		})
		now := w.describe(t, id)
		if now.StatusReason != "" || *now.CurrentPlayerSessionCount != 0 || now.TerminationTime == nil {
			t.Errorf("after a crash: %q, %d players, ended %v", now.StatusReason, *now.CurrentPlayerSessionCount, now.TerminationTime)
		}
		if p := w.player(t, *inside.PlayerSessionId); p.Status != types.PlayerSessionStatusCompleted {
			t.Errorf("who was inside is %s", p.Status)
		}
		if p := w.player(t, *waiting.PlayerSessionId); p.Status != types.PlayerSessionStatusTimedout {
			t.Errorf("who waited is %s", p.Status)
		}

		// It ends on its own while nobody asked it to.
		g, host = w.room(t, "wss", 2)
		host.end(t)
		if code := host.ends(t); code != 0 {
			t.Errorf("ended with %d: %s", code, host.log)
		}
		if now := w.describe(t, *g.GameSessionId); now.Status != types.GameSessionStatusTerminated || now.StatusReason != "" {
			t.Errorf("after its own end: %s %q", now.Status, now.StatusReason)
		}
	})
}
