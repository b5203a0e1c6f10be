package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/gateway"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

const (
	backfillRules = `{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "rank", "type": "number"}, {"name": "mode", "type": "string"},
		{"name": "maps", "type": "string_list"}, {"name": "likes", "type": "string_number_map"}],
		"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 2}, {"name": "blue", "minPlayers": 1, "maxPlayers": 1}]}`
	backfillARN = "arn:aws:gamelift:us-west-2:123456789012:matchmakingconfiguration/open"
)

// withMatchmaking puts placements and matchmaking above a gateway's rooms.
func withMatchmaking(s *gateway.Server) {
	tags, home := s.Computes.Fleets.Tags, s.Computes.Home
	p := &placement.Service{DB: s.DB, Home: home, Fleets: s.Computes.Fleets, Computes: s.Computes, Sessions: s.Sessions, Tags: tags}
	s.Sessions.Activated, s.Sessions.Over = p.Activated, p.Over
	s.Matches = &matchmaking.Service{
		DB: s.DB, Home: home, Tags: tags, Fleets: s.Computes.Fleets, Computes: s.Computes, Sessions: s.Sessions, Placements: p,
	}
	p.Outcome = s.Matches.Placed
}

// pass lets the pools run.
func (y *yard) pass() {
	y.t.Helper()
	keys, err := y.Matches.Look(y.t.Context())
	if err != nil {
		y.t.Fatal(err)
	}
	for _, key := range keys {
		if _, err := y.Matches.Pass(y.t.Context(), key); err != nil {
			y.t.Fatal(err)
		}
	}
}

// search asks for a match for a player.
func (y *yard) search(player string) {
	y.t.Helper()
	_, err := y.Matches.StartMatchmaking(y.t.Context(), &gamelift.StartMatchmakingInput{
		TicketId: &player, ConfigurationName: new("open"), Players: []types.Player{{PlayerId: &player, PlayerAttributes: map[string]types.AttributeValue{
			"rank": {N: new(7.0)}, "mode": {S: new("duel")}, "maps": {SL: []string{"fort"}}, "likes": {SDM: map[string]float64{"north": 3}},
		}}},
	})
	if err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) ticket(id string) types.MatchmakingTicket {
	y.t.Helper()
	out, err := y.Matches.DescribeMatchmaking(y.t.Context(), &gamelift.DescribeMatchmakingInput{TicketIds: []string{id}})
	if err != nil || len(out.TicketList) != 1 {
		y.t.Fatalf("ticket %s: %v, %v", id, out, err)
	}
	return out.TicketList[0]
}

// talker is a client whose pushes may come before answers.
type talker struct {
	*client
	pushes []message
}

func (c *talker) does(status int, action string, members ...any) message {
	c.t.Helper()
	c.n++
	id := fmt.Sprintf("talk-%d", c.n)
	c.says(c.request(action, id, members...))
	m := c.hears()
	for m["RequestId"] == nil {
		c.pushes = append(c.pushes, m)
		m = c.hears()
	}
	if m["Action"] != action || m["RequestId"] != id || m["StatusCode"] != float64(status) {
		c.t.Fatalf("%s: got %v, want status %d", action, m, status)
	}
	return m
}

// push is the next message that is no answer.
func (c *talker) push() message {
	c.t.Helper()
	if len(c.pushes) == 0 {
		return c.hears()
	}
	first := c.pushes[0]
	c.pushes = c.pushes[1:]
	return first
}

// A process asks for players for its match, as the SDKs of all languages put it, and takes
// that back (3.3).
func TestBackfillByAProcess(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		y := newYard(t, db, clock, withMatchmaking)
		ctx := t.Context()
		p := y.Matches.Placements
		if _, err := p.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
			Name: new("arena"), Destinations: []types.GameSessionQueueDestination{{DestinationArn: new("arn:aws:gamelift:us-west-2:123456789012:fleet/" + y.fleet)}},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := y.Matches.CreateMatchmakingRuleSet(ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: new("open"), RuleSetBody: new(backfillRules)}); err != nil {
			t.Fatal(err)
		}
		if _, err := y.Matches.CreateMatchmakingConfiguration(ctx, &gamelift.CreateMatchmakingConfigurationInput{
			Name: new("open"), RuleSetName: new("open"), AcceptanceRequired: new(false), RequestTimeoutSeconds: new(int32(60)),
			GameSessionQueueArns: []string{"arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/arena"},
		}); err != nil {
			t.Fatal(err)
		}
		c := &talker{client: y.ready("p1")}
		y.search("ann")
		y.search("bob")
		y.pass()
		push := c.push()
		var data struct {
			MatchmakingConfigurationArn string
			Teams                       []struct{ Players []any }
		}
		if err := json.Unmarshal([]byte(push["MatchmakerData"].(string)), &data); err != nil || data.MatchmakingConfigurationArn != backfillARN || len(data.Teams) != 2 {
			t.Fatalf("pushed %v: %v", push, err)
		}
		id := push["GameSessionId"].(string)
		ask := func(status int, more ...any) message {
			t.Helper()
			return c.does(status, "StartMatchBackfill", append([]any{"GameSessionArn", id, "MatchmakingConfigurationArn", backfillARN}, more...)...)
		}
		goPlayers := []any{
			message{"PlayerId": "ann", "Team": "red", "LatencyInMs": nil, "PlayerAttributes": message{
				"rank": message{"AttrType": "DOUBLE", "N": 7}, "mode": message{"AttrType": "STRING", "S": "duel"},
				"maps": message{"AttrType": "STRING_LIST", "SL": []any{"fort", "mill"}}, "likes": message{"AttrType": "STRING_DOUBLE_MAP", "SDM": message{"north": 3.5}},
				"odd": message{"AttrType": "NONE"},
			}},
			message{"PlayerId": "bob", "Team": "blue", "PlayerAttributes": message{}},
		}
		if m := ask(400, "TicketId", "", "Players", goPlayers); !strings.Contains(m["ErrorMessage"].(string), "ACTIVATING") {
			t.Errorf("before it is active: %v", m)
		}
		c.does(200, "ActivateGameSession", "GameSessionId", id)
		if got := y.ticket("ann"); got.Status != types.MatchmakingConfigurationStatusCompleted {
			t.Fatalf("ann is %s", got.Status)
		}

		// Go.
		first := ask(200, "TicketId", "", "Players", goPlayers)["TicketId"].(string)
		got := y.ticket(first)
		ann := got.Players[0]
		if len(got.Players) != 2 || *ann.Team != "red" || len(ann.PlayerAttributes) != 4 || *ann.PlayerAttributes["rank"].N != 7 || *ann.PlayerAttributes["mode"].S != "duel" ||
			fmt.Sprint(ann.PlayerAttributes["maps"].SL, ann.PlayerAttributes["likes"].SDM) != "[fort mill] map[north:3.5]" || len(got.Players[1].PlayerAttributes) != 0 {
			t.Errorf("asked for by Go: %+v", got)
		}
		// C#: its keys have another case, and all members of an attribute are there. A second
		// request takes the first one's place.
		second := ask(200, "TicketId", nil, "Players", []any{message{"PlayerId": "ann", "Team": "red", "LatencyInMS": message{place: 20}, "PlayerAttributes": message{
			"rank":  message{"attrType": "DOUBLE", "S": nil, "N": 7.5, "SL": nil, "SDM": nil},
			"mode":  message{"attrType": "STRING", "S": "duel", "N": 0.0, "SL": nil, "SDM": nil},
			"maps":  message{"attrType": "STRING_LIST", "S": nil, "N": 0.0, "SL": []any{"fort"}, "SDM": nil},
			"likes": message{"attrType": "STRING_DOUBLE_MAP", "S": nil, "N": 0.0, "SL": nil, "SDM": message{"north": 1}},
		}}})["TicketId"].(string)
		got = y.ticket(second)
		ann = got.Players[0]
		if len(got.Players) != 1 || ann.LatencyInMs[place] != 20 || *ann.PlayerAttributes["rank"].N != 7.5 || ann.PlayerAttributes["mode"].N != nil || len(ann.PlayerAttributes["maps"].SL) != 1 {
			t.Errorf("asked for by C#: %+v", got)
		}
		if push := c.push(); push["UpdateReason"] != "BACKFILL_CANCELLED" || push["BackfillTicketId"] != first {
			t.Errorf("pushed %v", push)
		}

		// What is wrong is named.
		attribute := func(a message) []any {
			return []any{message{"PlayerId": "ann", "Team": "red", "PlayerAttributes": message{"rank": a}}}
		}
		for _, wrong := range []struct {
			status  int
			says    string
			members []any
		}{
			{400, "Players", nil},
			{400, "Players[0].PlayerId", []any{"Players", []any{message{"Team": "red"}}}},
			{400, "Players[0].Team", []any{"Players", []any{message{"PlayerId": "ann", "Team": "green"}}}},
			{400, "Players[0].PlayerAttributes.rank.AttrType", []any{"Players", attribute(message{"N": 1})}},
			{400, "rank", []any{"Players", attribute(message{"AttrType": "STRING", "S": "much"})}},
			{400, "Players", []any{"Players", "ann"}},
			{400, "TicketId", []any{"TicketId", second, "Players", goPlayers}},
			{400, "MatchmakingConfigurationArn", []any{"MatchmakingConfigurationArn", "", "Players", goPlayers}},
			{404, "nobody", []any{"MatchmakingConfigurationArn", strings.Replace(backfillARN, "/open", "/nobody", 1), "Players", goPlayers}},
			{404, "GameSessionArn", []any{"GameSessionArn", id + "-not", "Players", goPlayers}},
		} {
			m := c.does(wrong.status, "StartMatchBackfill", append([]any{"GameSessionArn", id, "MatchmakingConfigurationArn", backfillARN}, wrong.members...)...)
			if !strings.Contains(m["ErrorMessage"].(string), wrong.says) {
				t.Errorf("%v: %v does not name %s", wrong.members, m, wrong.says)
			}
		}
		other := y.ready("p2")
		other.does(400, "StartMatchBackfill", "GameSessionArn", id, "MatchmakingConfigurationArn", backfillARN, "Players", goPlayers)
		other.does(400, "StopMatchBackfill", "GameSessionArn", id, "MatchmakingConfigurationArn", backfillARN, "TicketId", second)

		// It is taken back; twice does no harm.
		stop := func(status int, ticket string) {
			t.Helper()
			c.does(status, "StopMatchBackfill", "GameSessionArn", id, "MatchmakingConfigurationArn", backfillARN, "TicketId", ticket)
		}
		stop(404, "nobody")
		stop(400, "")
		stop(200, second)
		if push := c.push(); push["UpdateReason"] != "BACKFILL_CANCELLED" || push["BackfillTicketId"] != second {
			t.Errorf("pushed %v", push)
		}
		stop(200, second)
		if got := y.ticket(second); got.Status != types.MatchmakingConfigurationStatusCancelled {
			t.Errorf("taken back: %s", got.Status)
		}

		// A third one is answered with a player, of whom the game session is told.
		goPlayers[1].(message)["PlayerAttributes"] = goPlayers[0].(message)["PlayerAttributes"]
		third := ask(200, "TicketId", "third", "Players", goPlayers)["TicketId"]
		y.search("cid")
		y.pass()
		push = c.push()
		session, _ := push["GameSession"].(map[string]any)
		if third != "third" || push["UpdateReason"] != "MATCHMAKING_DATA_UPDATED" || push["BackfillTicketId"] != "third" || session["GameSessionId"] != id ||
			!strings.Contains(session["MatchmakerData"].(string), `"playerId":"cid"`) {
			t.Errorf("pushed %v", push)
		}
		if got := y.ticket("cid"); got.Status != types.MatchmakingConfigurationStatusCompleted || *got.GameSessionConnectionInfo.GameSessionArn != id {
			t.Errorf("cid is %+v", got)
		}
	})
}
