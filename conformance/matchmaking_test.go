package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store/storetest"
)

const (
	duelRules = "{ \"ruleLanguageVersion\": \"1.0\",\n\t\"playerAttributes\": [{\"name\": \"skill\", \"type\": \"number\", \"default\": 10}], \"teams\": [{\"name\": \"red\", \"minPlayers\": 1, \"maxPlayers\": 1}," +
		" {\"name\": \"bl\\u00fce\", \"minPlayers\": 1, \"maxPlayers\": 1}], \"rules\": [{\"name\": \"near\", \"type\": \"batchDistance\", \"batchAttribute\": \"skill\", \"maxDistance\": 5}] } "
	fourRules = `{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"teams": [{"name": "red", "minPlayers": 4, "maxPlayers": 4}, {"name": "blue", "minPlayers": 4, "maxPlayers": 4}],
		"rules": [{"name": "near", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 50}]}`
	openRules = `{"ruleLanguageVersion": "1.0", "teams": [{"name": "room", "minPlayers": 2, "maxPlayers": 4}]}`
	pairRules = `{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "pair", "type": "string"}],
		"teams": [{"name": "one", "minPlayers": 1, "maxPlayers": 1}, {"name": "other", "minPlayers": 1, "maxPlayers": 1}],
		"rules": [{"name": "pairs", "type": "batchDistance", "batchAttribute": "pair"}]}`

	matchmakingARN = "arn:aws:gamelift:us-west-2:123456789012:"
)

// matchmaker makes a rule set and a configuration of that name with it; change may alter it.
func matchmaker(t testing.TB, api *gamelift.Client, name, rules string, change func(*gamelift.CreateMatchmakingConfigurationInput)) {
	t.Helper()
	_, err := api.CreateMatchmakingRuleSet(t.Context(), &gamelift.CreateMatchmakingRuleSetInput{Name: &name, RuleSetBody: &rules})
	check(t, err)
	in := &gamelift.CreateMatchmakingConfigurationInput{
		Name: &name, RuleSetName: &name, AcceptanceRequired: new(false), RequestTimeoutSeconds: new(int32(600)), FlexMatchMode: types.FlexMatchModeStandalone,
	}
	if change != nil {
		change(in)
	}
	_, err = api.CreateMatchmakingConfiguration(t.Context(), in)
	check(t, err)
}

// hosted lets a configuration place its matches.
func hosted(queue string) func(*gamelift.CreateMatchmakingConfigurationInput) {
	return func(in *gamelift.CreateMatchmakingConfigurationInput) {
		in.FlexMatchMode, in.GameSessionQueueArns = types.FlexMatchModeWithQueue, []string{matchmakingARN + "gamesessionqueue/" + queue}
	}
}

// ticket describes a ticket.
func ticket(t testing.TB, api *gamelift.Client, id string) types.MatchmakingTicket {
	t.Helper()
	out, err := api.DescribeMatchmaking(t.Context(), &gamelift.DescribeMatchmakingInput{TicketIds: []string{id}})
	check(t, err)
	if len(out.TicketList) != 1 {
		t.Fatalf("%d tickets %s", len(out.TicketList), id)
	}
	return out.TicketList[0]
}

// reaches waits until a ticket has a status, and fails at once when it ends with another.
func reaches(t testing.TB, api *gamelift.Client, id string, want types.MatchmakingConfigurationStatus) types.MatchmakingTicket {
	t.Helper()
	var now types.MatchmakingTicket
	eventually(t, fmt.Sprintf("ticket %s is %s", id, want), func() bool {
		now = ticket(t, api, id)
		if now.Status != want && now.EndTime != nil {
			t.Fatalf("ticket %s is %s (%v), want %s", id, now.Status, now.StatusReason, want)
		}
		return now.Status == want
	})
	return now
}

// Rule sets and configurations as all clients see them, from their making to their end.
func TestRuleSetsAndConfigurations(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		w := newFleet(t, s)
		queue := matchmakingARN + "gamesessionqueue/" + w.queue(t, &gamelift.CreateGameSessionQueueInput{})
		eachClient(t, func(t *testing.T, c *client) {
			name := "of." + strings.ReplaceAll(c.name, " ", "-")
			if got := c.must(t, s, "ValidateMatchmakingRuleSet", object{"RuleSetBody": duelRules}); !c.same(got, object{"Valid": true}) {
				t.Errorf("validated: %s", show(got))
			}
			tags := []any{object{"Key": "team", "Value": "red"}}
			ruleSet := c.must(t, s, "CreateMatchmakingRuleSet", object{"Name": name, "RuleSetBody": duelRules, "Tags": tags})["RuleSet"].(object)
			want := object{
				"RuleSetName": name, "RuleSetArn": matchmakingARN + "matchmakingruleset/" + name, "RuleSetBody": duelRules,
				"CreationTime": ruleSet["CreationTime"],
			}
			if _, ok := ruleSet["CreationTime"].(object)["$ms"]; !ok || !c.same(ruleSet, want) {
				t.Errorf("created\ngot  %s\nwant %s", show(ruleSet), show(want))
			}
			got := c.must(t, s, "DescribeMatchmakingRuleSets", object{"Names": []any{want["RuleSetArn"]}})
			if !c.same(got, object{"RuleSets": []any{want}}) {
				t.Errorf("described\ngot  %s\nwant %s", show(got), show(want))
			}

			in := object{
				"Name": name, "RuleSetName": want["RuleSetArn"], "AcceptanceRequired": true, "AcceptanceTimeoutSeconds": int64(30), "RequestTimeoutSeconds": int64(120),
				"AdditionalPlayerCount": int64(1), "BackfillMode": "AUTOMATIC", "CustomEventData": "season\n4", "Description": "ladder", "FlexMatchMode": "WITH_QUEUE",
				"GameProperties": []any{object{"Key": "mode", "Value": "duel"}}, "GameSessionData": "map=ice", "GameSessionQueueArns": []any{queue},
				"NotificationTarget": "arn:aws:sns:us-west-2:123456789012:topic.fifo",
			}
			want = maps.Clone(in)
			in["Tags"] = tags
			want["RuleSetName"], want["RuleSetArn"], want["ConfigurationArn"] = name, in["RuleSetName"], matchmakingARN+"matchmakingconfiguration/"+name
			got = c.must(t, s, "CreateMatchmakingConfiguration", in)["Configuration"].(object)
			want["CreationTime"] = got["CreationTime"]
			if want := c.shown("CreateMatchmakingConfiguration", object{"Configuration": want})["Configuration"]; !c.same(got, want) {
				t.Errorf("created\ngot  %s\nwant %s", show(got), show(want))
			}
			got = c.must(t, s, "ListTagsForResource", object{"ResourceARN": want["ConfigurationArn"]})
			if !c.same(got["Tags"], any(tags)) {
				t.Errorf("tags: %s", show(got))
			}
			for _, in := range []object{{"Names": []any{"nobody", want["ConfigurationArn"]}}, {"RuleSetName": name}, {"RuleSetName": want["RuleSetArn"], "Names": []any{name}}} {
				got = c.must(t, s, "DescribeMatchmakingConfigurations", in)
				if want := c.shown("DescribeMatchmakingConfigurations", object{"Configurations": []any{want}}); !c.same(got, want) {
					t.Errorf("described by %s\ngot  %s\nwant %s", show(in), show(got), show(want))
				}
			}
			got = c.must(t, s, "UpdateMatchmakingConfiguration", object{"Name": want["ConfigurationArn"], "AcceptanceRequired": false, "RequestTimeoutSeconds": int64(43200), "CustomEventData": ""})["Configuration"].(object)
			want["AcceptanceRequired"], want["RequestTimeoutSeconds"] = false, int64(43200)
			delete(want, "CustomEventData")
			if want := c.shown("UpdateMatchmakingConfiguration", object{"Configuration": want})["Configuration"]; !c.same(got, want) {
				t.Errorf("updated\ngot  %s\nwant %s", show(got), show(want))
			}
			if e := c.fails(t, s, "DeleteMatchmakingRuleSet", object{"Name": name}); e.Class != "InvalidRequestException" || !strings.Contains(e.Message, name) {
				t.Errorf("a rule set in use: %+v", *e)
			}
			for _, what := range []string{"MatchmakingConfiguration", "MatchmakingRuleSet"} {
				if got := c.must(t, s, "Delete"+what, object{"Name": name}); len(got) != 0 {
					t.Errorf("deleted: %s", show(got))
				}
				if e := c.fails(t, s, "Delete"+what, object{"Name": name}); e.Class != "NotFoundException" {
					t.Errorf("deleted again: %+v", *e)
				}
			}
		}, clientNames...)
	})
}

// matchmakingRefusals are requests for matchmaking that are refused.
func matchmakingRefusals(t *testing.T, w *world) []refusal {
	t.Helper()
	queue := matchmakingARN + "gamesessionqueue/" + w.queue(t, &gamelift.CreateGameSessionQueueInput{})
	matchmaker(t, w.api, "refused", duelRules, nil)
	matchmaker(t, w.api, "refused-hosted", duelRules, hosted(strings.TrimPrefix(queue, matchmakingARN+"gamesessionqueue/")))
	start := func(id, player string, skill float64) {
		_, err := w.api.StartMatchmaking(t.Context(), &gamelift.StartMatchmakingInput{
			TicketId: &id, ConfigurationName: new("refused"),
			Players: []types.Player{{PlayerId: &player, PlayerAttributes: map[string]types.AttributeValue{"skill": {N: &skill}}}},
		})
		check(t, err)
	}
	start("waiting", "waiting-ann", 10)
	start("stopped", "waiting-bob", 500)
	_, err := w.api.StopMatchmaking(t.Context(), &gamelift.StopMatchmakingInput{TicketId: new("stopped")})
	check(t, err)
	var tags, players []any
	for i := range 51 {
		tags = append(tags, object{"Key": fmt.Sprintf("k%d", i), "Value": "v"})
		players = append(players, object{"PlayerId": fmt.Sprintf("p%d", i)})
	}
	with := func(o object, more object) object {
		c := maps.Clone(o)
		maps.Copy(c, more)
		return c
	}
	ruleSet := object{"Name": "new", "RuleSetBody": duelRules}
	standalone := object{"Name": "new", "RuleSetName": "refused", "AcceptanceRequired": false, "RequestTimeoutSeconds": 60, "FlexMatchMode": "STANDALONE"}
	ann := []any{object{"PlayerId": "ann"}}
	red := []any{object{"PlayerId": "ann", "Team": "red"}}
	skilled := func(value object) []any {
		return []any{object{"PlayerId": "ann", "PlayerAttributes": object{"skill": value}}}
	}
	game := "arn:aws:gamelift:us-west-2::gamesession/fleet-00000000-0000-4000-8000-000000000000/gsess-1"
	return []refusal{
		{op: "CreateMatchmakingRuleSet", in: with(ruleSet, object{"Name": "refused"}), error: "InvalidRequest", names: "Name"},
		{op: "CreateMatchmakingRuleSet", in: with(ruleSet, object{"RuleSetBody": `{"ruleLanguageVersion": "1.0", "teams": []}`}), error: "InvalidRequest", names: "RuleSetBody", says: "teams"},
		{op: "CreateMatchmakingRuleSet", in: with(ruleSet, object{"Tags": tags}), error: "TaggingFailed", names: "Tags"},
		{op: "ValidateMatchmakingRuleSet", in: object{"RuleSetBody": `{"ruleLanguageVersion": "1.0", "teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 1}], "rules": [{"name": "r", "type": "luck"}]}`}, error: "InvalidRequest", names: "RuleSetBody", says: "rules[0].type"},
		{op: "ValidateMatchmakingRuleSet", in: object{"RuleSetBody": "// nothing"}, error: "InvalidRequest", names: "RuleSetBody"},
		{op: "DescribeMatchmakingRuleSets", in: object{"Names": []any{"refused", "nobody"}}, error: "NotFound", names: "Names", says: "nobody"},
		{op: "DeleteMatchmakingRuleSet", in: object{"Name": "nobody"}, error: "NotFound", names: "Name"},
		{op: "DeleteMatchmakingRuleSet", in: object{"Name": "refused"}, error: "InvalidRequest", names: "Name", says: "in use"},

		{op: "CreateMatchmakingConfiguration", in: with(standalone, object{"Name": "refused"}), error: "InvalidRequest", names: "Name"},
		{op: "CreateMatchmakingConfiguration", in: with(standalone, object{"RuleSetName": "nobody"}), error: "NotFound", names: "RuleSetName"},
		{op: "CreateMatchmakingConfiguration", in: with(standalone, object{"FlexMatchMode": "WITH_QUEUE"}), error: "InvalidRequest", names: "GameSessionQueueArns"},
		{op: "CreateMatchmakingConfiguration", in: with(standalone, object{"GameSessionQueueArns": []any{queue}}), error: "InvalidRequest", names: "GameSessionQueueArns"},
		{op: "CreateMatchmakingConfiguration", in: with(standalone, object{"FlexMatchMode": "WITH_QUEUE", "GameSessionQueueArns": []any{queue + "-gone"}}), error: "NotFound", names: "GameSessionQueueArns"},
		{op: "CreateMatchmakingConfiguration", in: with(standalone, object{"BackfillMode": "AUTOMATIC"}), error: "InvalidRequest", names: "BackfillMode"},
		{op: "CreateMatchmakingConfiguration", in: with(standalone, object{"AcceptanceRequired": true}), error: "InvalidRequest", names: "AcceptanceTimeoutSeconds"},
		{op: "CreateMatchmakingConfiguration", in: with(standalone, object{"Tags": tags}), error: "TaggingFailed", names: "Tags"},
		{op: "UpdateMatchmakingConfiguration", in: object{"Name": "nobody"}, error: "NotFound", names: "Name"},
		{op: "UpdateMatchmakingConfiguration", in: object{"Name": "refused", "AcceptanceRequired": true}, error: "InvalidRequest", names: "AcceptanceTimeoutSeconds"},
		{op: "DeleteMatchmakingConfiguration", in: object{"Name": "nobody"}, error: "NotFound", names: "Name"},
		{op: "DeleteMatchmakingConfiguration", in: object{"Name": "refused"}, error: "InvalidRequest", names: "Name", says: "under way"},

		{op: "StartMatchmaking", in: object{"ConfigurationName": "nobody", "Players": ann}, error: "NotFound", names: "ConfigurationName"},
		{op: "StartMatchmaking", in: object{"ConfigurationName": "refused", "Players": ann, "TicketId": "waiting"}, error: "InvalidRequest", names: "TicketId"},
		{op: "StartMatchmaking", in: object{"ConfigurationName": "refused", "Players": ann, "TicketId": "stopped"}, error: "InvalidRequest", names: "TicketId"},
		{op: "StartMatchmaking", in: object{"ConfigurationName": "refused", "Players": []any{}}, error: "InvalidRequest", names: "Players"},
		{op: "StartMatchmaking", in: object{"ConfigurationName": "refused", "Players": players[:11]}, error: "InvalidRequest", names: "Players"},
		{op: "StartMatchmaking", in: object{"ConfigurationName": "refused", "Players": []any{ann[0], ann[0]}}, error: "InvalidRequest", names: "Players"},
		{op: "StartMatchmaking", in: object{"ConfigurationName": "refused", "Players": skilled(object{"S": "much"})}, error: "InvalidRequest", names: "Players", says: "skill"},
		{op: "StartMatchmaking", in: object{"ConfigurationName": "refused", "Players": skilled(object{"S": "much", "N": 1.5})}, error: "InvalidRequest", names: "Players", says: "skill"},
		{op: "StopMatchmaking", in: object{"TicketId": "nobody"}, error: "NotFound", names: "TicketId"},
		{op: "StopMatchmaking", in: object{"TicketId": "stopped"}, error: "InvalidRequest", says: "Matchmaking ticket is in CANCELLED status and cannot be canceled."},
		{op: "AcceptMatch", in: object{"TicketId": "nobody", "PlayerIds": []any{"ann"}, "AcceptanceType": "ACCEPT"}, error: "NotFound", names: "TicketId"},
		{op: "AcceptMatch", in: object{"TicketId": "waiting", "PlayerIds": []any{"waiting-ann"}, "AcceptanceType": "ACCEPT"}, error: "InvalidRequest"},
		{op: "StartMatchBackfill", in: object{"ConfigurationName": "nobody", "Players": red}, error: "NotFound", names: "ConfigurationName"},
		{op: "StartMatchBackfill", in: object{"ConfigurationName": "refused-hosted", "GameSessionArn": game, "Players": ann}, error: "InvalidRequest", names: "Players[0].Team"},
		{op: "StartMatchBackfill", in: object{"ConfigurationName": "refused-hosted", "Players": red}, error: "InvalidRequest", names: "GameSessionArn"},
		{op: "StartMatchBackfill", in: object{"ConfigurationName": "refused-hosted", "GameSessionArn": game, "Players": red}, error: "NotFound", names: "GameSessionArn"},
	}
}

// matchmakingQuotas uses up the quotas of matchmaking.
func matchmakingQuotas(t *testing.T, w *world) []refusal {
	t.Helper()
	fill := func(n int, create func(name string) error) {
		var all sync.WaitGroup
		var next atomic.Int64
		for range 16 {
			all.Go(func() {
				for i := next.Add(1); i <= int64(n); i = next.Add(1) {
					if err := create(fmt.Sprintf("quota-%d", i)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	fill(998, func(name string) error { // of 1,000, two of which are there
		_, err := w.api.CreateMatchmakingRuleSet(t.Context(), &gamelift.CreateMatchmakingRuleSetInput{Name: &name, RuleSetBody: new(duelRules)})
		return err
	})
	in := object{"RuleSetName": "refused", "AcceptanceRequired": false, "RequestTimeoutSeconds": 60, "FlexMatchMode": "STANDALONE", "Name": "one-more"}
	fill(98, func(name string) error { // of 100
		_, err := w.api.CreateMatchmakingConfiguration(t.Context(), &gamelift.CreateMatchmakingConfigurationInput{
			Name: &name, RuleSetName: new("refused"), AcceptanceRequired: new(false), RequestTimeoutSeconds: new(int32(60)), FlexMatchMode: types.FlexMatchModeStandalone,
		})
		return err
	})
	return []refusal{
		{op: "CreateMatchmakingRuleSet", in: object{"Name": "one-more", "RuleSetBody": duelRules}, error: "LimitExceeded", says: "1000"},
		{op: "CreateMatchmakingConfiguration", in: in, error: "LimitExceeded", says: "100"},
	}
}

// told collects matchmaking events that a server sends to a webhook.
type told struct {
	mu     sync.Mutex
	events []toldEvent
	seen   map[string]bool
}

// toldEvent is an event as AWS writes it (flexmatch.md 3).
type toldEvent struct {
	Version, ID, Source, Account, Region, Time string
	DetailType                                 string `json:"detail-type"`
	Resources                                  []string
	Detail                                     struct {
		Type, MatchID, Acceptance, Reason, Message, CustomEventData string
		EstimatedWaitMillis                                         any
		AcceptanceRequired                                          *bool
		AcceptanceTimeout                                           *int
		Tickets                                                     []struct {
			TicketID, StartTime string
			Players             []toldPlayer
		}
		RuleEvaluationMetrics []struct {
			RuleName                 string
			PassedCount, FailedCount int
		}
		GameSessionInfo struct {
			GameSessionArn, IPAddress string
			Port                      int
			Players                   []toldPlayer
		}
	}
}

type toldPlayer struct {
	PlayerID, PlayerSessionID, Team string
	Accepted                        *bool
}

// listen starts a webhook and returns the flags that make a server call it.
func (l *told) listen(t *testing.T) (flags []string) {
	t.Helper()
	l.seen = map[string]bool{}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var e toldEvent
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("the webhook got %s: %v", body, err)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.seen[e.ID] { // deliveries may be repeated
			l.seen[e.ID] = true
			l.events = append(l.events, e)
		}
	}))
	t.Cleanup(receiver.Close)
	file := filepath.Join(t.TempDir(), "matchyard.yaml")
	check(t, os.WriteFile(file, fmt.Appendf(nil, `
sinks:
  - {name: hook, kind: webhook, url: %q, secret: sixteen-bytes-of-secret, allow-private: true}
`, receiver.URL), 0o600))
	return []string{"--config", file}
}

// of are the events of a type about a configuration.
func (l *told) of(kind, configuration string) (list []toldEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Detail.Type == kind && slices.Contains(e.Resources, matchmakingARN+"matchmakingconfiguration/"+configuration) {
			list = append(list, e)
		}
	}
	return list
}

// wait waits until there are n events of a type about a configuration.
func (l *told) wait(t testing.TB, n int, kind, configuration string) (list []toldEvent) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d events %s of %s", n, kind, configuration), func() bool {
		list = l.of(kind, configuration)
		return len(list) >= n
	})
	if len(list) != n {
		t.Errorf("%d events %s of %s, want %d", len(list), kind, configuration, n)
	}
	return list
}

// eachTold is each with a webhook.
func eachTold(t *testing.T, f func(t *testing.T, s *server, l *told)) {
	t.Helper()
	t.Parallel()
	for _, database := range storetest.Databases() {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			l := &told{}
			f(t, dev(t, database, l.listen(t)...), l)
		})
	}
}

// Eight players ask for a match with boto3, accept it, and join the real game server it was
// placed on. Two of them leave, the game server asks for others, and two who wait join it.
func TestTheLifeOfAMatch(t *testing.T) {
	eachTold(t, func(t *testing.T, s *server, l *told) {
		w := newWorld(t, s)
		c := find(t, "boto3 json")
		host, spare := w.host(t, "ws"), w.host(t, "ws")
		matchmaker(t, w.api, "four", fourRules, func(in *gamelift.CreateMatchmakingConfigurationInput) {
			hosted(w.queue(t, &gamelift.CreateGameSessionQueueInput{}, w))(in)
			in.AcceptanceRequired, in.AcceptanceTimeoutSeconds = new(true), new(int32(30))
			in.CustomEventData, in.GameSessionData = new("season-4"), new("map=ice")
			in.GameProperties = []types.GameProperty{{Key: new("backfill"), Value: new("manual")}}
		})
		search := func(player string, skill float64) {
			t.Helper()
			got := c.must(t, s, "StartMatchmaking", object{
				"TicketId": "of-" + player, "ConfigurationName": "four", "Players": []any{object{
					"PlayerId": player, "PlayerAttributes": object{"skill": object{"N": skill}}, "LatencyInMs": object{w.location: 25},
				}},
			})["MatchmakingTicket"].(object)
			if got["Status"] != "QUEUED" || got["ConfigurationArn"] != matchmakingARN+"matchmakingconfiguration/four" || got["EndTime"] != nil {
				t.Errorf("started: %s", show(got))
			}
		}
		accept := func(players ...string) {
			t.Helper()
			for _, player := range players {
				reaches(t, w.api, "of-"+player, types.MatchmakingConfigurationStatusRequiresAcceptance)
			}
			for _, player := range players {
				if got := c.must(t, s, "AcceptMatch", object{"TicketId": "of-" + player, "PlayerIds": []any{player}, "AcceptanceType": "ACCEPT"}); len(got) != 0 {
					t.Errorf("accepted: %s", show(got))
				}
			}
		}
		players := []string{"ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"}
		for i, player := range players {
			search(player, 10+float64(i))
		}
		accept(players...)
		var session string
		seats := map[string]*connection{}
		enter := func(player string) {
			t.Helper()
			done := reaches(t, w.api, "of-"+player, types.MatchmakingConfigurationStatusCompleted)
			info := done.GameSessionConnectionInfo
			if info == nil || len(info.MatchedPlayerSessions) != 1 || *info.MatchedPlayerSessions[0].PlayerId != player || *info.IpAddress != "127.0.0.1" {
				t.Fatalf("%s is to connect to %s", player, show(info))
			}
			if session == "" {
				session = *info.GameSessionArn
				if *info.Port == int32(spare.port) {
					host, spare = spare, host
				}
			}
			if *info.GameSessionArn != session || *info.Port != int32(host.port) || done.Players[0].Team == nil || done.EndTime == nil {
				t.Errorf("%s: %s", player, show(done))
			}
			seats[player] = host.enter(t, *info.MatchedPlayerSessions[0].PlayerSessionId)
		}
		for _, player := range players {
			enter(player)
		}
		if got := w.describe(t, session); *got.CurrentPlayerSessionCount != 8 || *got.MaximumPlayerSessionCount != 8 || *got.GameSessionData != "map=ice" || got.MatchmakerData == nil {
			t.Errorf("the game session is %s", show(got))
		}
		teams := func() (list []string) {
			t.Helper()
			visit := seats["ann"]
			head := visit.say(t, "TEAMS")
			var n int
			if _, err := fmt.Sscanf(head, "OK %d", &n); err != nil {
				t.Fatalf("TEAMS: %s", head)
			}
			for range n {
				list = append(list, visit.hear(t))
			}
			slices.Sort(list)
			return list
		}
		before := teams()
		if len(before) != 8 || !strings.HasPrefix(before[3], "blue ") || !strings.HasPrefix(before[4], "red ") {
			t.Errorf("the game server has the teams %q", before)
		}

		// The events so far.
		succeeded := l.wait(t, 1, "MatchmakingSucceeded", "four")[0]
		for _, e := range l.wait(t, 8, "MatchmakingSearching", "four") {
			if e.Detail.EstimatedWaitMillis != "NOT_AVAILABLE" || len(e.Detail.Tickets) != 1 || e.Detail.CustomEventData != "season-4" {
				t.Errorf("searching: %s", show(e))
			}
		}
		created := l.wait(t, 1, "PotentialMatchCreated", "four")[0]
		d := created.Detail
		if d.AcceptanceRequired == nil || !*d.AcceptanceRequired || d.AcceptanceTimeout == nil || *d.AcceptanceTimeout != 30 || len(d.Tickets) != 8 ||
			len(d.RuleEvaluationMetrics) != 1 || d.RuleEvaluationMetrics[0].RuleName != "near" || d.RuleEvaluationMetrics[0].PassedCount == 0 {
			t.Errorf("created: %s", show(created))
		}
		if got := l.wait(t, 1, "AcceptMatchCompleted", "four")[0]; got.Detail.Acceptance != "Accepted" || got.Detail.MatchID != d.MatchID {
			t.Errorf("accepted: %s", show(got))
		}
		info := succeeded.Detail.GameSessionInfo
		if succeeded.Source != "aws.gamelift" || succeeded.DetailType != "GameLift Matchmaking Event" || succeeded.Account != "123456789012" || succeeded.Region != "us-west-2" ||
			succeeded.Detail.MatchID != d.MatchID || info.GameSessionArn != session || info.Port != host.port || info.IPAddress != "127.0.0.1" || len(info.Players) != 8 || len(succeeded.Detail.Tickets) != 8 {
			t.Errorf("succeeded: %s", show(succeeded))
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", succeeded.Time); err != nil {
			t.Error(err)
		}
		for _, p := range info.Players {
			if p.PlayerSessionID == "" || p.Team != "red" && p.Team != "blue" {
				t.Errorf("succeeded with %s", show(p))
			}
		}

		// Two leave; the game server asks for new ones each time.
		for _, player := range []string{"bob", "hal"} {
			if got := seats[player].say(t, "LEAVE"); got != "BYE" {
				t.Error(got)
			}
			eventually(t, "the game server asks", func() bool {
				return len(host.said("backfill ticket=")) == map[string]int{"bob": 1, "hal": 2}[player]
			})
		}
		if last := host.said("backfill ticket=")[1]; !strings.HasSuffix(last, " players=6") {
			t.Errorf("the game server asked: %s", last)
		}
		asked := strings.TrimPrefix(strings.Fields(host.said("backfill ticket=")[1])[1], "ticket=")
		if got := ticket(t, w.api, asked); len(got.Players) != 6 || got.Status != types.MatchmakingConfigurationStatusSearching && got.Status != types.MatchmakingConfigurationStatusQueued {
			t.Errorf("the request for new players is %s", show(got))
		}
		search("ida", 14)
		search("jon", 15)
		accept("ida", "jon")
		enter("ida")
		enter("jon")
		reaches(t, w.api, asked, types.MatchmakingConfigurationStatusCompleted)
		host.hear(t, "update ticket="+asked+" reason=MATCHMAKING_DATA_UPDATED")
		eventually(t, "the game server has the new roster", func() bool { return len(host.said("match id=")) == 2 })
		after := teams()
		if len(after) != 8 || !slices.ContainsFunc(after, func(s string) bool { return strings.HasSuffix(s, " ida") }) {
			t.Errorf("the game server has the teams %q", after)
		}
		for _, line := range before {
			if left := strings.HasSuffix(line, " bob") || strings.HasSuffix(line, " hal"); left == slices.Contains(after, line) {
				t.Errorf("%s: before %q, after %q", line, before, after)
			}
		}
		if got := w.describe(t, session); *got.CurrentPlayerSessionCount != 8 {
			t.Errorf("%d players", *got.CurrentPlayerSessionCount)
		}
		if len(spare.said("start ")) > 0 {
			t.Error("a second game session was started")
		}
		if got := l.wait(t, 2, "MatchmakingSucceeded", "four")[1]; len(got.Detail.Tickets) != 3 || got.Detail.GameSessionInfo.GameSessionArn != session {
			t.Errorf("filled: %s", show(got))
		}
	})
}

// With automatic backfill a game session that starts with open slots gets players until it
// is full, one by one, without a word from the game server.
func TestAutomaticBackfill(t *testing.T) {
	eachTold(t, func(t *testing.T, s *server, l *told) {
		w := newWorld(t, s)
		c := find(t, "boto3 cbor")
		host := w.host(t, "ws")
		matchmaker(t, w.api, "open", openRules, func(in *gamelift.CreateMatchmakingConfigurationInput) {
			hosted(w.queue(t, &gamelift.CreateGameSessionQueueInput{}, w))(in)
			in.BackfillMode = types.BackfillModeAutomatic
		})
		var session string
		for i, player := range []string{"ann", "bob", "cid", "dan"} {
			c.must(t, s, "StartMatchmaking", object{"TicketId": "of-" + player, "ConfigurationName": "open", "Players": []any{object{"PlayerId": player}}})
			switch i {
			case 0:
				continue
			case 1:
				first := reaches(t, w.api, "of-ann", types.MatchmakingConfigurationStatusCompleted)
				session = *first.GameSessionConnectionInfo.GameSessionArn
				host.enter(t, *first.GameSessionConnectionInfo.MatchedPlayerSessions[0].PlayerSessionId)
			}
			done := reaches(t, w.api, "of-"+player, types.MatchmakingConfigurationStatusCompleted)
			if got := *done.GameSessionConnectionInfo.GameSessionArn; got != session {
				t.Fatalf("%s is in %s, want %s", player, got, session)
			}
			host.enter(t, *done.GameSessionConnectionInfo.MatchedPlayerSessions[0].PlayerSessionId)
			eventually(t, "the game server has the new roster", func() bool { return len(host.said("match id=")) == i })
			said := host.said("match id=")[i-1]
			if auto := strings.Contains(said, `auto="auto-backfill-`); !strings.Contains(said, fmt.Sprintf("players=%d ", i+1)) || auto != (i < 3) {
				t.Errorf("with %d players: %s", i+1, said)
			}
		}
		if got := w.describe(t, session); *got.CurrentPlayerSessionCount != 4 {
			t.Errorf("%d players", *got.CurrentPlayerSessionCount)
		}
		l.wait(t, 3, "MatchmakingSucceeded", "open")
	})
}

// A match without hosting, by each client: the tickets have teams and no connection, and the
// event is all there is of the match.
func TestMatchesWithoutHosting(t *testing.T) {
	eachTold(t, func(t *testing.T, s *server, l *told) {
		api := sdk(s)
		eachClient(t, func(t *testing.T, c *client) {
			name := strings.ReplaceAll(c.name, " ", "-")
			matchmaker(t, api, name, duelRules, nil)
			var ids []string
			for i, player := range []string{"ann", "bob"} {
				in := object{"PlayerId": name + player, "PlayerAttributes": object{"skill": object{"N": 7.5 + float64(i)}, "maps": object{"SL": []any{"ice", "fort"}}}}
				got := c.must(t, s, "StartMatchmaking", object{"ConfigurationName": name, "Players": []any{in}})["MatchmakingTicket"].(object)
				id := got["TicketId"].(string)
				ids = append(ids, id)
				want := object{
					"TicketId": id, "ConfigurationName": name, "ConfigurationArn": matchmakingARN + "matchmakingconfiguration/" + name, "Status": "QUEUED",
					"StartTime": got["StartTime"], "Players": []any{in},
				}
				if !c.same(got, want) {
					t.Errorf("started\ngot  %s\nwant %s", show(got), show(want))
				}
			}
			teams := []string{}
			for _, id := range ids {
				done := reaches(t, api, id, types.MatchmakingConfigurationStatusCompleted)
				got := c.must(t, s, "DescribeMatchmaking", object{"TicketIds": []any{"unknown", id}})["TicketList"].([]any)
				if len(got) != 1 {
					t.Fatalf("described: %s", show(got))
				}
				one := got[0].(object)
				if one["Status"] != "COMPLETED" || one["GameSessionConnectionInfo"] != nil || !c.same(one["EndTime"], any(object{"$ms": done.EndTime.UnixMilli()})) {
					t.Errorf("completed: %s", show(one))
				}
				teams = append(teams, one["Players"].([]any)[0].(object)["Team"].(string))
			}
			slices.Sort(teams)
			if !slices.Equal(teams, []string{"blüe", "red"}) {
				t.Errorf("teams %q", teams)
			}
			got := l.wait(t, 1, "MatchmakingSucceeded", name)[0].Detail
			if len(got.Tickets) != 2 || got.GameSessionInfo.GameSessionArn != "" || len(got.GameSessionInfo.Players) != 2 || got.GameSessionInfo.Players[0].Team == "" {
				t.Errorf("succeeded: %s", show(got))
			}
			if e := l.wait(t, 1, "PotentialMatchCreated", name)[0]; e.Detail.AcceptanceRequired == nil || *e.Detail.AcceptanceRequired {
				t.Errorf("created: %s", show(e))
			}

			// One that finds nobody is stopped, and one times out.
			for _, id := range []string{"stop-" + name, "late-" + name} {
				c.must(t, s, "StartMatchmaking", object{"TicketId": id, "ConfigurationName": name, "Players": []any{
					object{"PlayerId": id, "PlayerAttributes": object{"skill": object{"N": 1000.5}}},
				}})
				if id[0] == 's' {
					if got := c.must(t, s, "StopMatchmaking", object{"TicketId": id}); len(got) != 0 {
						t.Errorf("stopped: %s", show(got))
					}
				}
			}
			if got := ticket(t, api, "stop-"+name); got.Status != types.MatchmakingConfigurationStatusCancelled || *got.StatusReason != "Cancelled" {
				t.Errorf("stopped: %s", show(got))
			}
			s.advance(t, 10*time.Minute)
			late := reaches(t, api, "late-"+name, types.MatchmakingConfigurationStatusTimedOut)
			if late.EndTime.Sub(*late.StartTime) != 10*time.Minute || *late.StatusReason != "TimedOut" {
				t.Errorf("timed out: %s", show(late))
			}
			l.wait(t, 1, "MatchmakingTimedOut", name)
			l.wait(t, 1, "MatchmakingCancelled", name)
		}, "boto3 json", "boto3 cbor", "js json", "js cbor", "go cbor", "cli json")
	})
}

// One rejection ends a proposal, and so does silence, by each client: who had accepted
// searches on and is matched again. A backfill without hosting is answered in the same way.
func TestAcceptance(t *testing.T) {
	eachTold(t, func(t *testing.T, s *server, l *told) {
		api := sdk(s)
		eachClient(t, func(t *testing.T, c *client) {
			name := "ask-" + strings.ReplaceAll(c.name, " ", "-")
			matchmaker(t, api, name, duelRules, func(in *gamelift.CreateMatchmakingConfigurationInput) {
				in.AcceptanceRequired, in.AcceptanceTimeoutSeconds = new(true), new(int32(20))
			})
			id := func(player string) string { return name + "-" + player }
			search := func(player string) {
				t.Helper()
				c.must(t, s, "StartMatchmaking", object{"TicketId": id(player), "ConfigurationName": name, "Players": []any{object{"PlayerId": id(player)}}})
			}
			answer := func(player, kind string) {
				t.Helper()
				if got := c.must(t, s, "AcceptMatch", object{"TicketId": id(player), "PlayerIds": []any{id(player)}, "AcceptanceType": kind}); len(got) != 0 {
					t.Errorf("answered: %s", show(got))
				}
			}
			search("ann")
			search("bob")
			reaches(t, api, id("bob"), types.MatchmakingConfigurationStatusRequiresAcceptance)
			answer("ann", "ACCEPT")
			if e := c.fails(t, s, "AcceptMatch", object{"TicketId": id("ann"), "PlayerIds": []any{"nobody"}, "AcceptanceType": "ACCEPT"}); e.Class != "InvalidRequestException" || !names(e.Message, "PlayerIds") {
				t.Errorf("an answer of nobody: %+v", *e)
			}
			answer("bob", "REJECT")
			if got := ticket(t, api, id("bob")); got.Status != types.MatchmakingConfigurationStatusCancelled {
				t.Errorf("who rejected: %s", show(got))
			}
			// ann searches on, and meets the next one.
			search("cid")
			reaches(t, api, id("cid"), types.MatchmakingConfigurationStatusRequiresAcceptance)
			if got := ticket(t, api, id("ann")); got.Status != types.MatchmakingConfigurationStatusRequiresAcceptance {
				t.Errorf("who accepted: %s", show(got))
			}
			answer("cid", "ACCEPT")
			s.advance(t, 20*time.Second) // ann does not answer
			reaches(t, api, id("ann"), types.MatchmakingConfigurationStatusCancelled)
			got := c.must(t, s, "StartMatchBackfill", object{"ConfigurationName": name, "TicketId": id("game"), "Players": []any{object{"PlayerId": id("dan"), "Team": "red"}}})["MatchmakingTicket"].(object)
			if got["TicketId"] != id("game") || got["Status"] != "QUEUED" || got["Players"].([]any)[0].(object)["Team"] != "red" {
				t.Errorf("a backfill: %s", show(got))
			}
			reaches(t, api, id("game"), types.MatchmakingConfigurationStatusRequiresAcceptance)
			answer("cid", "ACCEPT") // the players who are there need not
			done := reaches(t, api, id("cid"), types.MatchmakingConfigurationStatusCompleted)
			if *done.Players[0].Team != "blüe" {
				t.Errorf("who filled: %s", show(done))
			}
			reaches(t, api, id("game"), types.MatchmakingConfigurationStatusCompleted)
			var how []string
			for _, e := range l.wait(t, 3, "AcceptMatchCompleted", name) {
				how = append(how, e.Detail.Acceptance)
			}
			slices.Sort(how)
			if !slices.Equal(how, []string{"Accepted", "Rejected", "TimedOut"}) {
				t.Errorf("the proposals ended %q", how)
			}
			if got := l.wait(t, 1, "MatchmakingSucceeded", name)[0]; len(got.Detail.Tickets) != 2 || len(got.Detail.GameSessionInfo.Players) != 2 {
				t.Errorf("succeeded: %s", show(got))
			}
		}, "boto3 json", "boto3 cbor", "js json", "js cbor", "go cbor", "cli json")
	})
}

// Two nodes on one PostgreSQL take in tickets that each wait for one other, and one node is
// killed in the middle. No ticket that was taken in is lost, and none is in two matches.
func TestTicketsWhileANodeIsKilled(t *testing.T) {
	l := &told{}
	flags := l.listen(t)
	database := storetest.PostgresURL(t)
	first, second := serve(t, database, flags...), serve(t, database, flags...)
	api := sdk(second)
	matchmaker(t, api, "pairs", pairRules, nil)
	const n = 150
	start := func(from, other *gamelift.Client, i int, half string) error {
		in := &gamelift.StartMatchmakingInput{
			TicketId: new(fmt.Sprintf("%s-%d", half, i)), ConfigurationName: new("pairs"),
			Players: []types.Player{{
				PlayerId:         new(fmt.Sprintf("%s-%d", half, i)),
				PlayerAttributes: map[string]types.AttributeValue{"pair": {S: new(fmt.Sprint(i))}},
			}},
		}
		_, err := from.StartMatchmaking(t.Context(), in)
		if err != nil && other != nil {
			// Its node is gone. The other one knows whether the ticket is there.
			_, err = other.StartMatchmaking(t.Context(), in)
			if _, there := errors.AsType[*types.InvalidRequestException](err); there {
				err = nil
			}
		}
		return err
	}
	var all sync.WaitGroup
	var next, taken atomic.Int64
	var killed sync.Once
	for caller := range 16 {
		all.Go(func() {
			from, other := api, (*gamelift.Client)(nil)
			if caller%2 == 0 {
				from, other = sdk(first), api
			}
			for i := next.Add(1); i <= 2*n; i = next.Add(1) {
				half := "a"
				if i > n { // the partners of those who wait
					half = "b"
				}
				if err := start(from, other, int(i-1)%n, half); err != nil {
					t.Errorf("ticket %d: %v", i, err)
					return
				}
				if taken.Add(1) >= 3*n/2 {
					killed.Do(first.kill)
				}
			}
		})
	}
	all.Wait()
	for i := range n {
		for _, half := range []string{"a", "b"} {
			reaches(t, api, fmt.Sprintf("%s-%d", half, i), types.MatchmakingConfigurationStatusCompleted)
		}
	}
	eventually(t, "all matches are told", func() bool { return len(l.of("MatchmakingSucceeded", "pairs")) >= n })
	matches := map[string]string{}
	for _, e := range l.of("MatchmakingSucceeded", "pairs") {
		d := e.Detail
		if len(d.Tickets) != 2 || d.Tickets[0].TicketID[1:] != d.Tickets[1].TicketID[1:] {
			t.Errorf("a match of %s", show(d.Tickets))
		}
		for _, one := range d.Tickets {
			if other, twice := matches[one.TicketID]; twice {
				t.Errorf("ticket %s is in matches %s and %s", one.TicketID, other, d.MatchID)
			}
			matches[one.TicketID] = d.MatchID
		}
	}
	if len(matches) != 2*n {
		t.Errorf("%d tickets are in matches, want %d", len(matches), 2*n)
	}
}
