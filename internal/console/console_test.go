package console_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/scaling"
)

// With nothing there, every view has its shape: lists are empty, not null.
func TestAnEmptyServer(t *testing.T) {
	each(t, func(d *desk) {
		for path, members := range map[string][]string{
			"overview": {"fleets", "changes", "hosts", "problems", "samples"}, "fleets": {"fleets"}, "sessions": {"sessions"}, "queues": {"queues"}, "matchmakers": {"matchmakers"},
			"operations": {"nodes", "leases", "faults", "sinks", "hosts", "samples"}, "dead": {"dead"}, "audit": {"audit"}, "series": {"samples"}, "player?id=x": {"stays"},
			"workshop/examples": {"examples", "matchmakers"},
		} {
			name, query, _ := strings.Cut(path, "?id=")
			v := d.read(http.StatusOK, name, "id", query)
			for _, m := range members {
				if _, ok := v[m].([]any); !ok {
					d.t.Errorf("%s: %s is %v", path, m, v[m])
				}
			}
		}
		for _, path := range []string{"fleet", "game", "stays", "queue", "placement", "matchmaker", "ticket", "racks"} {
			v := d.read(http.StatusNotFound, path, "id", "none", "name", "none", "fleet", "none")
			if v["error"] == "" || v["code"] == "" {
				d.t.Errorf("%s of nothing: %v", path, v)
			}
			v = d.read(http.StatusBadRequest, path)
			if !strings.Contains(v["error"].(string), "missing") {
				d.t.Errorf("%s without a name: %v", path, v)
			}
		}
		if v := d.read(http.StatusNotFound, "nothing"); v["code"] != "NotFoundException" {
			d.t.Errorf("an unknown path: %v", v)
		}
	})
}

// What runs is shown as it is, hostile names included: as they were sent, in JSON.
func TestWhatRuns(t *testing.T) {
	each(t, func(d *desk) {
		d.settle()
		id := d.game(hostile, "alice", hostile)
		d.process()
		fleets := list(d.read(http.StatusOK, "overview"), "fleets")
		if len(fleets) != 1 {
			d.t.Fatalf("fleets: %v", fleets)
		}
		for member, want := range map[string]any{
			"name": hostile, "sessions": 1.0, "players": 2.0, "seats": 10.0, "free": 1.0, "processes": 2.0, "hosting": 1.0, "computes": 1.0, "status": "ACTIVE",
		} {
			if got := fleets[0][member]; got != want {
				d.t.Errorf("fleet: %s is %v, want %v", member, got, want)
			}
		}
		racks := list(d.read(http.StatusOK, "racks", "fleet", d.fleet), "racks")
		var states []string
		for _, c := range list(racks[0], "cells") {
			states = append(states, c["state"].(string))
		}
		if slices.Sort(states); !slices.Equal(states, []string{"active", "free"}) {
			d.t.Errorf("cells: %v", states)
		}
		// The one host is well; when its process is not, it is among the bad ones.
		if v := d.read(http.StatusOK, "racks", "fleet", d.fleet, "bad", "1"); v["bad"] != 0.0 || len(list(v, "racks")) != 0 {
			d.t.Errorf("bad hosts: %v", v)
		}
		must(d.t, d.Computes.Health(d.t.Context(), d.process(), false))
		if v := d.read(http.StatusOK, "racks", "fleet", d.fleet, "bad", "1"); v["bad"] != 1.0 || v["total"] != 1.0 || !has(list(v, "racks"), "name", "rack") {
			d.t.Errorf("bad hosts: %v", v)
		}
		game := d.read(http.StatusOK, "game", "id", id)
		if game["name"] != hostile || game["compute"] != "rack" || game["mayEnd"] != true || list(game, "properties")[0]["value"] != hostile {
			d.t.Errorf("game session: %v", game)
		}
		stays := list(d.read(http.StatusOK, "stays", "id", id), "stays")
		if len(stays) != 2 || stays[1]["player"] != hostile {
			d.t.Fatalf("player sessions: %v", stays)
		}
		if took := stays[0]["joined"].(float64) - stays[0]["reserved"].(float64); took != 1000 {
			d.t.Errorf("the first player joined %v ms after the reservation, want 1000", took)
		}
		if found := list(d.read(http.StatusOK, "player", "id", hostile), "stays"); len(found) != 1 || found[0]["game"] != id {
			d.t.Errorf("sessions of the player: %v", found)
		}
		lanes := list(d.read(http.StatusOK, "timeline", "fleet", d.fleet), "lanes")
		if len(lanes) != 1 || len(list(list(lanes[0], "bars")[0], "stays")) != 2 {
			d.t.Errorf("timeline: %v", lanes)
		}
		if v := d.read(http.StatusOK, "timeline", "fleet", d.fleet, "host", "rac"); v["total"] != 1.0 || v["hosts"] != 1.0 {
			d.t.Errorf("timeline of rac*: %v", v)
		}
		if v := d.read(http.StatusOK, "timeline", "fleet", d.fleet, "host", "none"); v["total"] != 0.0 || len(list(v, "lanes")) != 0 {
			d.t.Errorf("timeline of no host: %v", v)
		}
		if events := list(d.read(http.StatusOK, "fleet/events", "fleet", d.fleet), "events"); !has(events, "code", "FLEET_CREATED") {
			d.t.Errorf("events: %v", events)
		}
	})
}

// A list is read page by page, forwards and by filter, and stays as it was when it was opened.
func TestPagesOfGameSessions(t *testing.T) {
	each(t, func(d *desk) {
		d.settle()
		var made []string
		for i := range 7 {
			made = append(made, d.game(fmt.Sprint("game ", i)))
		}
		slices.Reverse(made)
		first := d.read(http.StatusOK, "sessions", "limit", "3", "fleet", d.fleet)
		before := first["before"].(string)
		d.game("a new one")
		var seen []string
		for skip := 0; skip < 9; skip += 3 {
			p := d.read(http.StatusOK, "sessions", "limit", "3", "skip", fmt.Sprint(skip), "before", before, "fleet", d.fleet)
			if p["total"] != 7.0 {
				d.t.Errorf("total is %v", p["total"])
			}
			for _, g := range list(p, "sessions") {
				seen = append(seen, g["id"].(string))
			}
		}
		if !slices.Equal(seen, made) {
			d.t.Errorf("pages have %v, want %v", seen, made)
		}
		for query, want := range map[string]float64{"status=ACTIVE": 8, "status=ERROR": 0, "location=" + place: 8, "location=custom-other": 0, "compute=rack": 8, "fleet=fleet-x": 0} {
			name, value, _ := strings.Cut(query, "=")
			if got := d.read(http.StatusOK, "sessions", name, value)["total"]; got != want {
				d.t.Errorf("%s: %v, want %v", query, got, want)
			}
		}
		for _, bad := range [][2]string{{"limit", "0"}, {"limit", "501"}, {"skip", "-1"}, {"before", "x"}, {"fleet", "\x00"}} {
			d.read(http.StatusBadRequest, "sessions", bad[0], bad[1])
		}
	})
}

// Queues tell how long placements took, how they ended, and how far players were sent.
func TestQueues(t *testing.T) {
	each(t, func(d *desk) {
		d.settle()
		ctx := d.t.Context()
		destination := list(d.read(http.StatusOK, "fleets"), "fleets")[0]["arn"].(string)
		_, err := d.Placements.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
			Name: new("q"), Destinations: []types.GameSessionQueueDestination{{DestinationArn: &destination}},
		})
		must(d.t, err)
		start := func(id string) {
			_, err := d.Placements.StartGameSessionPlacement(ctx, &gamelift.StartGameSessionPlacementInput{
				PlacementId: &id, GameSessionQueueName: new("q"), MaximumPlayerSessionCount: new(int32(4)), PlayerLatencies: []types.PlayerLatency{
					{PlayerId: new("p"), RegionIdentifier: new(place), LatencyInMilliseconds: new(float32(70))},
					{PlayerId: new("p"), RegionIdentifier: new("custom-near"), LatencyInMilliseconds: new(float32(20))},
				},
			})
			must(d.t, err)
		}
		start("placed")
		d.clock.Advance(3 * time.Second)
		p := d.process()
		must(d.t, d.Placements.Pass(ctx, placement.Woken{All: true}))
		out, err := d.Placements.DescribeGameSessionPlacement(ctx, &gamelift.DescribeGameSessionPlacementInput{PlacementId: new("placed")})
		must(d.t, err)
		must(d.t, d.Sessions.Activate(ctx, p, *out.GameSessionPlacement.GameSessionId))
		start("waits")
		d.clock.Advance(2 * time.Second)
		v := d.read(http.StatusOK, "queue", "name", "q")
		for member, want := range map[string]any{"waiting": 1.0, "ended": 1.0, "p50": 3000.0, "p99": 3000.0, "oldest": 2000.0, "regret": 50.0} {
			if v[member] != want {
				d.t.Errorf("%s is %v, want %v", member, v[member], want)
			}
		}
		if o := list(v, "outcomes"); len(o) != 1 || o[0]["name"] != "FULFILLED" {
			d.t.Errorf("outcomes: %v", o)
		}
		sum := 0.0
		for _, o := range list(v, "over") {
			if sum += o["fulfilled"].(float64); o["fulfilled"] == 1.0 && o["p95"] != 3000.0 {
				d.t.Errorf("the part of the time in which it was fulfilled: %v", o)
			}
		}
		if sum != 1 || len(list(v, "lacked")) != 0 {
			d.t.Errorf("over time %v were fulfilled, want 1; lacked: %v", sum, v["lacked"])
		}
		why := d.read(http.StatusOK, "placement", "id", "waits")
		if !strings.Contains(why["text"].(string), "What would work") {
			d.t.Errorf("why it waits: %v", why["text"])
		}
		if lines := list(d.read(http.StatusOK, "queues"), "queues"); len(lines) != 1 || lines[0]["waiting"] != 1.0 {
			d.t.Errorf("queues: %v", lines)
		}
		// What timed out is counted by what it lacked.
		d.clock.Advance(11 * time.Minute)
		must(d.t, d.Placements.Tick(ctx, d.clock.Now()))
		v = d.read(http.StatusOK, "queue", "name", "q")
		if l := list(v, "lacked"); len(l) != 1 || l[0]["name"] != "a free process in "+place || l[0]["count"] != 1.0 {
			d.t.Errorf("lacked: %v", l)
		}
		// The game session of a placement shows why it is where it is.
		game := d.read(http.StatusOK, "game", "id", *out.GameSessionPlacement.GameSessionId)
		if e, ok := game["placement"].(map[string]any); !ok || e["PlacementID"] != "placed" {
			d.t.Errorf("placement of its game session: %v", game["placement"])
		}
	})
}

// A managed fleet shows its build, what it launches, its capacity over time, and who changed
// it and why.
func TestManagedFleet(t *testing.T) {
	each(t, func(d *desk) {
		ctx := d.t.Context()
		id := d.managed()
		d.sample = scaling.Sample{ActiveInstances: 1, Active: 4, PerInstance: 4, Players: 9, QueueDepth: 2}
		for range 3 {
			d.clock.Advance(time.Minute)
			must(d.t, d.Scaling.Tick(ctx, d.clock.Now()))
		}
		f := d.read(http.StatusOK, "fleet", "id", id)
		if b, ok := f["build"].(map[string]any); !ok || b["name"] != hostile || b["version"] != "1.4.2" {
			d.t.Errorf("build: %v", f["build"])
		}
		if l := list(f, "launches"); len(l) != 1 || l[0]["path"] != "/local/game/server" || l[0]["count"] != 4.0 {
			d.t.Errorf("launches: %v", l)
		}
		if p := list(f, "policies"); len(p) != 2 || p[0]["text"] != "keep at 30 %" || p[1]["text"] != "when > 2 for 1 min: +1" {
			d.t.Errorf("policies: %v", p)
		}
		c := d.read(http.StatusOK, "capacity", "fleet", id)
		points, decisions := list(c, "points"), list(c, "decisions")
		if len(points) != 3 || points[0]["desired"] != 2.0 || points[0]["players"] != 9.0 || points[0]["waiting"] != 2.0 {
			d.t.Errorf("points: %v", points)
		}
		if len(decisions) != 2 || decisions[0]["from"] != 1.0 || decisions[0]["to"] != 2.0 || !has(decisions, "why", "policy buffer: 4 of 4 slots used") {
			d.t.Errorf("decisions: %v", decisions)
		}
		if c := d.read(http.StatusOK, "capacity", "fleet", id, "location", "custom-other"); len(list(c, "points")) != 0 || len(list(c, "decisions")) != 0 {
			d.t.Errorf("of another location: %v", c)
		}
		d.read(http.StatusNotFound, "capacity", "fleet", "fleet-none")
		first := d.read(http.StatusOK, "fleet/events", "fleet", id)
		if !has(list(first, "events"), "code", "FLEET_SCALING_EVENT") {
			d.t.Errorf("events: %v", first)
		}
	})
}

const rules = `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],"teams":[{"name":"t","minPlayers":2,"maxPlayers":2}],
	"rules":[{"name":"near","type":"batchDistance","batchAttribute":"skill","maxDistance":5}]}`

// A ticket that finds nobody is explained, and its rule set is at hand in the workshop.
func TestMatchmakers(t *testing.T) {
	each(t, func(d *desk) {
		ctx := d.t.Context()
		_, err := d.Matchmaking.CreateMatchmakingRuleSet(ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: new("r"), RuleSetBody: new(rules)})
		must(d.t, err)
		_, err = d.Matchmaking.CreateMatchmakingConfiguration(ctx, &gamelift.CreateMatchmakingConfigurationInput{
			Name: new("m"), RuleSetName: new("r"), AcceptanceRequired: new(false), RequestTimeoutSeconds: new(int32(60)), FlexMatchMode: types.FlexMatchModeStandalone,
		})
		must(d.t, err)
		for i, id := range []string{"one", "two"} {
			_, err = d.Matchmaking.StartMatchmaking(ctx, &gamelift.StartMatchmakingInput{ConfigurationName: new("m"), TicketId: &id, Players: []types.Player{{
				PlayerId: new(hostile + id), PlayerAttributes: map[string]types.AttributeValue{"skill": {N: new(float64(100 * i))}},
			}}})
			must(d.t, err)
		}
		d.clock.Advance(7 * time.Second)
		v := d.read(http.StatusOK, "matchmaker", "name", "m")
		if v["waiting"] != 2.0 || v["ruleSet"] != "r" || len(list(v, "tickets")) != 2 {
			d.t.Errorf("matchmaker: %v", v)
		}
		for _, b := range list(v, "ages") {
			if want := map[bool]float64{true: 2}[b["from"] == 5.0]; b["count"] != want {
				d.t.Errorf("ages: %v", b)
			}
		}
		why := d.read(http.StatusOK, "ticket", "id", "one")
		if w, ok := why["Why"].(map[string]any); !ok || w["Rule"] != "near" {
			d.t.Errorf("why: %v", why)
		}
		d.come()
		own := list(d.read(http.StatusOK, "workshop/examples"), "matchmakers")
		if len(own) != 1 || own[0]["rules"] != rules {
			d.t.Errorf("rule sets at hand: %v", own)
		}
		played := d.write(http.StatusOK, "workshop/simulate", object{"rules": []object{{"label": "as it is", "rules": rules}, {"label": "wider", "rules": strings.Replace(rules, `:5}`, `:500}`, 1)}}, "matchmaker": "m"})
		matched := list(played, "figures")[0]["values"].([]any)
		if matched[0] != 0.0 || matched[1] != 100.0 {
			d.t.Errorf("tickets matched: %v, want 0 and 100", matched)
		}
	})
}

func TestWorkshop(t *testing.T) {
	each(t, func(d *desk) {
		d.come()
		if v := d.write(http.StatusOK, "workshop/validate", object{"rules": rules}); v["valid"] != true || v["slots"] != 2.0 {
			d.t.Errorf("valid: %v", v)
		}
		v := d.write(http.StatusOK, "workshop/validate", object{"rules": strings.Replace(rules, "batchDistance\"", "x\"", 1)})
		if f := list(v, "findings"); v["valid"] != false || len(f) == 0 || f[0]["path"] == "" {
			d.t.Errorf("not valid: %v", v)
		}
		players := object{"t": []object{{"playerId": "a", "attributes": object{"skill": object{"N": 1}}}, {"playerId": "b", "attributes": object{"skill": object{"N": 4}}}}}
		if v := d.write(http.StatusOK, "workshop/evaluate", object{"expression": "avg(teams[t].players.attributes[skill])", "teams": []string{"t"}, "players": players}); v["value"] != 2.5 {
			d.t.Errorf("value: %v", v)
		}
		if v := d.write(http.StatusOK, "workshop/evaluate", object{"expression": "avg(", "teams": []string{"t"}, "players": players}); v["error"] == nil {
			d.t.Errorf("of nonsense: %v", v)
		}
		for name, body := range map[string]object{
			"no rules": {}, "bad rules": {"rules": []object{{"label": "x", "rules": "{"}}, "profile": "{}"}, "unknown member": {"rule": 1},
			"bad profile": {"rules": []object{{"label": "x", "rules": rules}}, "profile": "nonsense"},
		} {
			if v := d.write(http.StatusBadRequest, "workshop/simulate", body); v["error"] == "" {
				d.t.Errorf("%s: %v", name, v)
			}
		}
		example := list(d.read(http.StatusOK, "workshop/examples"), "examples")[0]
		played := d.write(http.StatusOK, "workshop/simulate", object{
			"rules": []object{{"label": "edited", "rules": example["rules"]}}, "profile": example["profile"], "hours": 0.05, "seed": 1, "greedy": true,
		})
		if runs := list(played["report"].(map[string]any), "runs"); len(runs) != 2 {
			d.t.Errorf("runs: %d", len(runs))
		}
		if d.send(http.MethodPost, "/api/workshop/validate", object{"rules": strings.Repeat("x", 2<<20)}, nil).StatusCode != http.StatusRequestEntityTooLarge {
			d.t.Error("2 MiB of rules are taken")
		}
	})
}

// Another page can neither post nor read, nor be shown around this one.
func TestOtherPages(t *testing.T) {
	each(t, func(d *desk) {
		d.settle()
		id := d.game("g")
		end := object{"id": id, "mode": "TRIGGER_ON_PROCESS_TERMINATE"}
		if v := d.write(http.StatusForbidden, "game/end", end); v["code"] != "WrongToken" {
			d.t.Errorf("without a token: %v", v)
		}
		rebound := func(r *http.Request) { r.Host = "evil.example:9171" }
		if r := d.send(http.MethodGet, "/api/visit", nil, rebound); r.StatusCode != http.StatusForbidden {
			d.t.Errorf("under another name: %s", r.Status)
		}
		for _, own := range []string{"localhost:9171", "127.0.0.1", "[::1]:9171", "10.1.2.3:80"} {
			if r := d.send(http.MethodGet, "/api/visit", nil, func(r *http.Request) { r.Host = own }); r.StatusCode != http.StatusOK {
				d.t.Errorf("as %s: %s", own, r.Status)
			}
		}
		r := d.send(http.MethodGet, "/", nil, nil)
		csp := r.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "script-src 'self';") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			d.t.Errorf("the page's policy: %q", csp)
		}
		d.come()
		d.write(http.StatusBadRequest, "game/end", object{"id": id, "mode": "SOMEHOW"})
		d.write(http.StatusNotFound, "game/end", object{"id": "arn:aws:gamelift:us-west-2::gamesession/fleet-1/x", "mode": "TRIGGER_ON_PROCESS_TERMINATE"})
		d.write(http.StatusOK, "game/end", end)
		if g := d.read(http.StatusOK, "game", "id", id); g["status"] != "TERMINATING" {
			d.t.Errorf("after its end was asked for: %v", g["status"])
		}
	})
}

// In production looking needs no key; who changes something signs in, may what the key's
// policy allows, and is written down.
func TestSigningIn(t *testing.T) {
	each(t, func(d *desk) {
		d.settle()
		id := d.game("g")
		keys := d.lock()
		ctx := d.t.Context()
		reader, err := keys.Create(ctx, "reader", access.ReadOnly)
		must(d.t, err)
		ender, err := keys.Create(ctx, hostile, "TerminateGameSession")
		must(d.t, err)
		end := object{"id": id, "mode": "TRIGGER_ON_PROCESS_TERMINATE"}

		d.come()
		if g := d.read(http.StatusOK, "game", "id", id); g["mayEnd"] != false {
			d.t.Error("a stranger may end game sessions")
		}
		if v := d.write(http.StatusUnauthorized, "game/end", end); v["code"] != "SignInNeeded" {
			d.t.Errorf("a stranger: %v", v)
		}
		d.write(http.StatusUnauthorized, "workshop/simulate", object{})
		for _, wrong := range [][2]string{{reader.ID, "wrong"}, {reader.ID, ""}, {"AKIDNOBODYNOBODY0000", ""}, {"", ""}} {
			if v := d.signIn(http.StatusForbidden, wrong[0], wrong[1]); v["code"] != "SignInFailed" {
				d.t.Errorf("signing in with %q: %v", wrong, v)
			}
		}
		before := d.token
		if v := d.signIn(http.StatusOK, reader.ID, string(reader.Secret)); v["name"] != "reader" || d.token == before {
			d.t.Errorf("the reader's visit: %v", v)
		}
		if c := d.jar[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || strings.Contains(c.Value, reader.ID) {
			d.t.Errorf("the cookie: %v", c)
		}
		if v := d.write(http.StatusForbidden, "game/end", end); v["code"] != "AccessDeniedException" {
			d.t.Errorf("the reader ends a game session: %v", v)
		}
		// The token of another visit does not do.
		own := d.token
		d.token = before
		d.write(http.StatusForbidden, "game/end", end)
		d.token = own
		d.token = d.write(http.StatusOK, "signout", object{})["token"].(string)
		d.jar = nil
		d.write(http.StatusUnauthorized, "game/end", end)

		d.signIn(http.StatusOK, ender.ID, string(ender.Secret))
		if g := d.read(http.StatusOK, "game", "id", id); g["mayEnd"] != true {
			d.t.Error("who may end game sessions is not told so")
		}
		d.write(http.StatusOK, "game/end", end)
		entries := list(d.read(http.StatusOK, "audit"), "audit")
		if len(entries) != 4 || entries[0]["outcome"] != "OK" || entries[0]["name"] != hostile || entries[1]["outcome"] != "AccessDeniedException" {
			d.t.Errorf("the audit log: %v", entries)
		}
		// A key that is revoked takes its visits with it.
		must(d.t, keys.Revoke(ctx, ender.ID))
		if v := d.write(http.StatusUnauthorized, "game/end", end); v["code"] != "SignInNeeded" {
			d.t.Errorf("with a revoked key: %v", v)
		}
		d.come()
		d.signIn(http.StatusOK, reader.ID, string(reader.Secret))
		must(d.t, keys.Revoke(ctx, reader.ID))
		if v := d.read(http.StatusOK, "visit"); v["key"] != nil || v["token"] == d.token {
			d.t.Errorf("the visit of a revoked key: %v", v)
		}
	})
}

// Secrets cannot be guessed fast.
func TestManyTriesToSignIn(t *testing.T) {
	each(t, func(d *desk) {
		d.lock()
		d.come()
		var codes []any
		for range 15 {
			r := d.send(http.MethodPost, "/api/signin", object{"key": "AKIDNOBODYNOBODY0000", "secret": "guess"}, nil)
			codes = append(codes, r.StatusCode)
		}
		if codes[0] != http.StatusForbidden || codes[14] != http.StatusTooManyRequests {
			d.t.Errorf("15 guesses: %v", codes)
		}
	})
}

// Samples come as events while somebody watches, and are kept.
func TestSamples(t *testing.T) {
	each(t, func(d *desk) {
		d.settle()
		d.game("g", "alice")
		ctx, cancel := context.WithCancel(d.t.Context())
		done := make(chan struct{})
		go func() { d.Run(ctx); close(done) }()
		s := httptest.NewServer(d.Handler())
		defer s.Close()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/events", nil)
		must(d.t, err)
		answer, err := http.DefaultClient.Do(r)
		must(d.t, err)
		defer func() { _ = answer.Body.Close() }()
		for range 100 {
			d.Observe("ListFleets", "json", "OK", 3*time.Millisecond)
		}
		seen := 0
		for lines := bufio.NewScanner(answer.Body); seen < 2 && lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				seen++
				if !strings.Contains(data, `"players":1,"sessions":1`) {
					d.t.Errorf("sample: %s", data)
				}
			}
		}
		if seen != 2 {
			d.t.Errorf("%d samples", seen)
		}
		if kept := list(d.read(http.StatusOK, "series"), "samples"); len(kept) < 2 || kept[0]["seats"] != 9.0 {
			d.t.Errorf("kept: %v", kept)
		}
		cancel()
		<-done
	})
}

// Errors are counted by who met them, whatever they call themselves, and not without end.
func TestErrorsByClient(t *testing.T) {
	each(t, func(d *desk) {
		r := httptest.NewRequestWithContext(d.t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("User-Agent", hostile+" more")
		for range 3 {
			d.Failed(r, "AKID", "CreateFleet", "InvalidRequestException")
		}
		for i := range 1000 {
			r.Header.Set("User-Agent", fmt.Sprint("agent-", i))
			d.Failed(r, strings.Repeat("x", 500), "", "UnknownOperationException")
		}
		faults := list(d.read(http.StatusOK, "operations"), "faults")
		if len(faults) > 500 {
			d.t.Errorf("%d kinds of errors are kept", len(faults))
		}
		for _, f := range faults {
			if len(f["key"].(string)) > 70 {
				d.t.Errorf("a key of %d bytes is kept", len(f["key"].(string)))
			}
		}
	})
}
