package conformance

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store"
)

// consoleInShort are the tests that run with all others; `make console-test` runs every
// screen on every server, and those that look at how long something takes.
const consoleInShort = "busy: .*, light|names of players stay text|a view is its link|the keyboard is enough|signs in|a managed fleet|fair matches|the log of a game"

// hostileNames are what players call themselves to harm those who look at them.
var hostileNames = []string{
	`<img src=x onerror="window.hacked=1">`, `"><script>window.hacked=1</script>`, `javascript:window.hacked=1`, `{{constructor.constructor('window.hacked=1')()}}`,
	"\u202egnp.exe", "'; DROP TABLE player_session; --", "line\nbreak\ttab", strings.Repeat("Ä𝔊", 250), `</title><svg onload=window.hacked=1>`, "$(touch /tmp/hacked)`id`", "#/operations?x=1&y=../..", "__proto__",
}

// The console in Chromium, by Playwright (web/e2e): each screen on servers with nothing, with
// one of each, with real traffic and hostile names, and with 100,000 game sessions; and on one
// in production, where who changes something signs in. CONSOLE_IMAGES names a folder for
// screenshots.
func TestConsole(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	t.Parallel()
	chromium := ""
	for _, name := range []string{os.Getenv("CHROMIUM"), "/usr/bin/chromium", "chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); chromium == "" && name != "" && err == nil {
			chromium = path
		}
	}
	if chromium == "" {
		missing(t, "the console", fmt.Errorf("there is no chromium"))
	}
	for _, file := range []string{"../internal/console/dist/index.html", "../web/node_modules/@playwright/test/package.json"} {
		if _, err := os.Stat(file); err != nil {
			missing(t, "the console", fmt.Errorf("it is not built; make console builds it: %w", err))
		}
	}
	servers := map[string]any{"chromium": chromium, "hostile": hostileNames}
	servers["empty"] = map[string]any{"url": dev(t, "sqlite", "--clock", "real").admin}
	servers["one"] = one(t)
	servers["busy"] = busy(t)
	servers["crowd"] = crowded(t)
	servers["serve"] = guarded(t)
	servers["log"] = chatting(t)
	servers["managed"] = grown(t)
	text, err := json.Marshal(servers)
	check(t, err)
	file := filepath.Join(t.TempDir(), "servers.json")
	check(t, os.WriteFile(file, text, 0o600))
	cmd := exec.CommandContext(t.Context(), "node", "node_modules/@playwright/test/cli.js", "test", "--output", filepath.Join(t.TempDir(), "results"))
	switch only := os.Getenv("CONSOLE_ONLY"); {
	case only != "":
		cmd.Args = append(cmd.Args, "--grep", only)
	case os.Getenv("CONSOLE_ALL") == "":
		cmd.Args = append(cmd.Args, "--grep", consoleInShort)
	}
	cmd.Dir = "../web"
	cmd.Env = append(os.Environ(), "MATCHYARD_SERVERS="+file, "CI=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	t.Logf("%s", out)
}

// one is a server with one of each: fleet, compute, process, game session, player.
func one(t *testing.T) map[string]any {
	t.Helper()
	s := dev(t, "sqlite", "--clock", "real")
	w := newWorld(t, s)
	gs, g := w.room(t, "ws", 4)
	g.enter(t, *w.join(t, *gs.GameSessionId, "the only one").PlayerSessionId)
	return map[string]any{"url": s.admin, "fleet": w.fleet, "game": *gs.GameSessionId, "player": "the only one"}
}

// busy is a server with game servers and players of all kinds, placements and tickets that
// succeed and that do not, and callers who err.
func busy(t *testing.T) map[string]any {
	t.Helper()
	ctx := t.Context()
	sinks := filepath.Join(t.TempDir(), "sinks.yaml") // nobody is there: one waits, one gives up
	check(t, os.WriteFile(sinks, []byte(`sinks:
  - {name: away, kind: webhook, url: "http://127.0.0.1:1/", secret: sixteen-bytes-or-more, allow-private: true}
  - {name: hasty, kind: webhook, url: "http://127.0.0.1:1/", secret: sixteen-bytes-or-more, allow-private: true, max-age: 1s}
`), 0o600))
	s := dev(t, "sqlite", "--clock", "real", "--config", sinks)
	w := newWorld(t, s)
	games := []*game{}
	for i := range 3 {
		w.register(t, fmt.Sprintf("rack-%d", i+2), nil)
		for range 2 {
			games = append(games, w.host(t, "ws"))
		}
	}
	gs := w.session(t, &gamelift.CreateGameSessionInput{
		MaximumPlayerSessionCount: new(int32(40)), Name: &hostileNames[0], CreatorId: &hostileNames[1], GameSessionData: new(strings.Join(hostileNames[:5], " ")),
		GameProperties: []types.GameProperty{{Key: new("map"), Value: new("harbour")}, {Key: new("<b onclick=x>"), Value: &hostileNames[0]}},
	})
	for i, name := range hostileNames {
		_, err := w.api.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: gs.GameSessionId, PlayerId: &name, PlayerData: &hostileNames[(i+1)%len(hostileNames)]})
		check(t, err)
	}
	var host *game
	for _, g := range games {
		if g.port == int(*gs.Port) {
			host = g
		}
	}
	for i := range 6 {
		c := host.enter(t, *w.join(t, *gs.GameSessionId, fmt.Sprintf("player-%d", i)).PlayerSessionId)
		if i == 5 {
			c.say(t, "LEAVE")
		}
	}
	ended := w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(2)), Name: new("a short one")})
	_, err := w.api.TerminateGameSession(ctx, &gamelift.TerminateGameSessionInput{GameSessionId: ended.GameSessionId, TerminationMode: types.TerminationModeTriggerOnProcessTerminate})
	check(t, err)

	queue := w.queue(t, &gamelift.CreateGameSessionQueueInput{Name: new("world"), TimeoutInSeconds: new(int32(600))}, w)
	latencies := []types.PlayerLatency{{PlayerId: new("far"), RegionIdentifier: &w.location, LatencyInMilliseconds: new(float32(80))}, {PlayerId: new("far"), RegionIdentifier: new("us-west-2"), LatencyInMilliseconds: new(float32(30))}}
	for i := range 2 {
		id := fmt.Sprintf("placement-%d", i)
		_, err := w.api.StartGameSessionPlacement(ctx, &gamelift.StartGameSessionPlacementInput{
			PlacementId: &id, GameSessionQueueName: &queue, MaximumPlayerSessionCount: new(int32(8)), GameSessionName: new("placed " + hostileNames[1]), PlayerLatencies: latencies,
			DesiredPlayerSessions: []types.DesiredPlayerSession{{PlayerId: new("far"), PlayerData: &hostileNames[0]}},
		})
		check(t, err)
		w.outcome(t, id)
	}
	empty := w.queue(t, &gamelift.CreateGameSessionQueueInput{Name: new("nowhere"), TimeoutInSeconds: new(int32(600))})
	_, err = w.api.StartGameSessionPlacement(ctx, &gamelift.StartGameSessionPlacementInput{PlacementId: new("placement-waits"), GameSessionQueueName: &empty, MaximumPlayerSessionCount: new(int32(8))})
	check(t, err)

	matchmaker(t, w.api, "duel", duelRules, nil)
	start := func(id, player string, skill float64) {
		_, err := w.api.StartMatchmaking(ctx, &gamelift.StartMatchmakingInput{ConfigurationName: new("duel"), TicketId: &id, Players: []types.Player{{
			PlayerId: &player, PlayerAttributes: map[string]types.AttributeValue{"skill": {N: &skill}},
		}}})
		check(t, err)
	}
	for i := range 12 {
		start(fmt.Sprintf("ticket-%d", i), fmt.Sprintf("duellist-%d", i), float64(10*(i/2)+i%2))
	}
	reaches(t, w.api, "ticket-0", types.MatchmakingConfigurationStatusCompleted)
	start("ticket-lonely", hostileNames[0], 1000)
	start("ticket-far", "duellist-far", 1500)
	ranked(t, w.api)
	for range 3 { // errors of callers
		_, _ = w.api.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{FleetId: new("fleet-01890a5d-ac96-774b-bcce-b302099a8057")})
		_, _ = w.api.DeleteAlias(ctx, &gamelift.DeleteAliasInput{AliasId: new("alias-01890a5d-ac96-774b-bcce-b302099a8057")})
	}
	go func() { // somebody always asks
		for i := 0; ctx.Err() == nil; i++ {
			_, _ = w.api.DescribePlayerSessions(ctx, &gamelift.DescribePlayerSessionsInput{GameSessionId: gs.GameSessionId})
			if i%20 == 0 {
				_, _ = w.api.DescribeAlias(ctx, &gamelift.DescribeAliasInput{AliasId: new("alias-01890a5d-ac96-774b-bcce-b302099a8057")})
			}
			time.Sleep(time.Duration(40+i%7*20) * time.Millisecond)
		}
	}()
	return map[string]any{
		"url": s.admin, "fleet": w.fleet, "game": *gs.GameSessionId, "player": "player-0", "queue": queue, "placement": "placement-0", "waiting": "placement-waits",
		"matchmaker": "duel", "ticket": "ticket-lonely",
	}
}

// ranked makes matches of players who are asked: one that all accept, one that somebody
// rejects, and one that is slow and unfair.
func ranked(t *testing.T, api *gamelift.Client) {
	t.Helper()
	ctx := t.Context()
	rules := strings.Replace(duelRules, `"maxDistance": 5`, `"maxDistance": 50`, 1)
	matchmaker(t, api, "ranked", rules, func(in *gamelift.CreateMatchmakingConfigurationInput) {
		in.AcceptanceRequired, in.AcceptanceTimeoutSeconds = new(true), new(int32(60))
	})
	duel := func(a, b string, first, second float64, answers ...types.AcceptanceType) {
		ids := []string{"ranked-" + a, "ranked-" + b}
		for i, skill := range []float64{first, second} {
			_, err := api.StartMatchmaking(ctx, &gamelift.StartMatchmakingInput{ConfigurationName: new("ranked"), TicketId: &ids[i], Players: []types.Player{{
				PlayerId: &ids[i], PlayerAttributes: map[string]types.AttributeValue{"skill": {N: &skill}}, LatencyInMs: map[string]int32{"us-west-2": 30},
			}}})
			check(t, err)
		}
		for i, answer := range answers {
			reaches(t, api, ids[i], types.MatchmakingConfigurationStatusRequiresAcceptance)
			_, err := api.AcceptMatch(ctx, &gamelift.AcceptMatchInput{TicketId: &ids[i], PlayerIds: []string{ids[i]}, AcceptanceType: answer})
			check(t, err)
		}
	}
	duel("ann", "bob", 10, 14, types.AcceptanceTypeAccept, types.AcceptanceTypeAccept)
	duel("cleo", "dan", 500, 540, types.AcceptanceTypeAccept, types.AcceptanceTypeAccept)
	duel("eve", "fred", 900, 901, types.AcceptanceTypeReject)
	reaches(t, api, "ranked-ann", types.MatchmakingConfigurationStatusCompleted)
	reaches(t, api, "ranked-cleo", types.MatchmakingConfigurationStatusCompleted)
	reaches(t, api, "ranked-eve", types.MatchmakingConfigurationStatusCancelled)
}

// grown is a server with a managed fleet that its policy let grow, and which was restarted
// since; and with one that does not start.
func grown(t *testing.T) map[string]any {
	t.Helper()
	s := dev(t, "sqlite")
	t.Cleanup(func() { killGames(t, s.data) })
	w := arena(t, s, 3)
	broken := managedFleet(t, s, s.upload(t, theGame()), "/local/game/nothing", "", 1)
	_, err := w.api.UpdateFleetCapacity(t.Context(), &gamelift.UpdateFleetCapacityInput{FleetId: &w.fleet, MinSize: new(int32(1)), MaxSize: new(int32(3))})
	check(t, err)
	_, err = w.api.PutScalingPolicy(t.Context(), &gamelift.PutScalingPolicyInput{
		FleetId: &w.fleet, Name: &hostileNames[0], PolicyType: types.PolicyTypeTargetBased, MetricName: types.MetricNamePercentAvailableGameSessions,
		TargetConfiguration: &types.TargetConfiguration{TargetValue: new(50.0)},
	})
	check(t, err)
	within(t, time.Minute, "three processes are ready", func() bool { return *w.utilization(t).ActiveServerProcessCount == 3 })
	for range 2 {
		w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(4)), Name: &hostileNames[1]})
	}
	s.advance(t, 2*time.Minute)
	within(t, time.Minute, "there are two instances", func() bool { return *w.utilization(t).ActiveServerProcessCount == 6 })
	broken.fleetBecomes(t, types.FleetStatusError)
	s.stop(t)
	s.restart(t)
	s.advance(t, 3*time.Minute) // a manual clock is again that of the wall after a restart
	within(t, time.Minute, "the processes are back", func() bool { return *w.utilization(t).ActiveServerProcessCount == 6 })
	return map[string]any{"url": s.admin, "fleet": w.fleet, "broken": broken.fleet}
}

// crowded is a server with 100,000 game sessions on 400 computes, of which half have ended.
func crowded(t *testing.T) map[string]any {
	t.Helper()
	s := dev(t, "sqlite", "--clock", "real")
	w := newWorld(t, s)
	s.stop(t)
	seed(t, s.data, w)
	s.restart(t)
	return map[string]any{"url": s.admin, "fleet": w.fleet, "total": seeded, "player": "crowd-player"}
}

const (
	seeded      = 100_000
	seededHosts = 400
)

// seed writes rows of game sessions, computes, processes and player sessions into the
// database of a server that is stopped.
func seed(t *testing.T, data string, w *world) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "*.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("databases in %s: %v, %v", data, files, err)
	}
	db, err := store.Open(t.Context(), "sqlite:"+files[0], store.Options{})
	check(t, err)
	defer func() { check(t, db.Close()) }()
	fleet, _, err := store.ParseUUID(strings.TrimPrefix(w.fleet, "fleet-"))
	check(t, err)
	check(t, db.Write(t.Context(), func(tx *store.Tx) error {
		var computes, processes [][]any
		for i := range seededHosts {
			key := tx.NewKey()
			name := fmt.Sprintf("crowd-%03d", i)
			computes = append(computes, []any{key, int64(fleet), w.fleet, name, w.location, "10.0.0.1", tx.NowMs()})
			for p := range 24 {
				status, free := "HOSTING", 0
				if p%8 == 7 {
					status, free = "READY", 1
				}
				processes = append(processes, []any{tx.NewKey(), key, int64(fleet), w.fleet, name, w.location, fmt.Sprintf("p-%d", p), status, free, tx.NowMs()})
			}
		}
		if err := tx.InsertMany(`INSERT INTO compute (key, fleet, fleet_id, name, location, ip_address, created_at, agent, ready, free, hosting, activating)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 3, 3, 21, 0)`, computes); err != nil {
			return err
		}
		if err := tx.InsertMany(`INSERT INTO process (key, compute, fleet, fleet_id, compute_name, location, process_id, status, free, dialled_at,
				ip_address, agent, created_with, token, healthy, activating, hosted, dial, node, sent, port, log_paths, sdk_version, sdk_language, tool_name, tool_version)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '10.0.0.1', 0, '', '', 1, 0, 0, 1, NULL, 0, 7777, '[]', '5.5.0', 'Go', '', '')`, processes); err != nil {
			return err
		}
		sum := sha256.Sum256([]byte("crowd-player"))
		var games, texts, players [][]any
		for i := range seeded {
			key := tx.NewKey()
			status, ended := "ACTIVE", any(nil)
			created := tx.NowMs() - int64(i%3_500)*1000
			if i%2 == 1 {
				status, ended = "TERMINATED", min(tx.NowMs(), created+int64(i%600)*1000)
			}
			games = append(games, []any{
				key, fmt.Sprintf("gsess-crowd-%06d", i), int64(fleet), w.fleet, w.location, status, int64(i % 9), 8, int64(key), fmt.Sprintf("crowd-%03d", i%seededHosts), created, ended,
			})
			texts = append(texts, []any{key, fmt.Sprintf("crowd %d %s", i, hostileNames[i%len(hostileNames)])})
			if i%200 == 0 {
				players = append(players, []any{tx.NewKey(), store.Tail(), key, "crowd-player", int64(binary.BigEndian.Uint64(sum[:8])), created})
			}
		}
		if err := tx.InsertMany(`INSERT INTO game_session (key, id, fleet, fleet_id, location, status, players, maximum, process, compute, created_at, ended_at, policy, protection, ip, port)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'ACCEPT_ALL', 'NoProtection', '10.0.0.1', 7777)`, games); err != nil {
			return err
		}
		if err := tx.InsertMany(`INSERT INTO game_session_text (game, name, properties, print) VALUES ($1, $2, '[]', '')`, texts); err != nil {
			return err
		}
		return tx.InsertMany(`INSERT INTO player_session (key, tail, game, player, print, created_at, status) VALUES ($1, $2, $3, $4, $5, $6, 2)`, players)
	}))
}

// guarded is a server in production, with a root key and one that may only read.
func guarded(t *testing.T) map[string]any {
	t.Helper()
	s := serve(t, "")
	w := newWorld(t, s)
	gs, _ := w.room(t, "ws", 4)
	ending, _ := w.room(t, "ws", 4)
	made := manageKeys(t, s, "create", "reader", "--policy", "read-only")
	pick := func(name string) string {
		_, rest, _ := strings.Cut(made, name+"=")
		return strings.Fields(rest + " ")[0]
	}
	return map[string]any{
		"url": s.admin, "fleet": w.fleet, "game": *gs.GameSessionId, "ending": *ending.GameSessionId, "key": s.key, "secret": s.secret, "readKey": pick("AWS_ACCESS_KEY_ID"), "readSecret": pick("AWS_SECRET_ACCESS_KEY"),
	}
}
