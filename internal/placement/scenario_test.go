package placement_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

var update = flag.Bool("update", false, "write what scenarios print into their files")

// TestScenarios plays the files of testdata: commands, each followed by what it should
// print, in lines that begin with "> ". After each command the engine runs, and every
// placement that changed is printed. testdata/README.md has the language.
func TestScenarios(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	expect.OK(t, err)
	if len(names) < 10 {
		t.Fatalf("%d scenarios", len(names))
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			expect.OK(t, err)
			got := play(t, string(text))
			if *update {
				expect.OK(t, os.WriteFile(name, []byte(got), 0o600))
				return
			}
			if want := string(text); got != want {
				t.Errorf("%s is played differently:\n%s", name, difference(want, got))
			}
		})
	}
}

// difference shows the first lines that differ, and those around them.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < min(len(w), len(g)) && w[i] == g[i] {
		i++
	}
	around := func(lines []string) string { return strings.Join(lines[max(0, i-4):min(len(lines), i+6)], "\n") }
	return fmt.Sprintf("line %d\n--- want\n%s\n--- got\n%s", i+1, around(w), around(g))
}

// stage is a scenario under way.
type stage struct {
	*rooms
	fleets  map[string]string // name -> id
	aliases map[string]string
	games   map[string]string // placement -> its last game session
	shown   map[string]string // placement -> what was printed of it last
	began   time.Time
	out     strings.Builder
}

func play(t *testing.T, text string) string {
	clock := storetest.NewClock()
	db := storetest.Open(t, "sqlite:"+t.TempDir()+"/db", clock.Now)
	s := &stage{
		rooms:  &rooms{t: t, clock: clock, Service: service(db)},
		fleets: map[string]string{}, aliases: map[string]string{}, games: map[string]string{}, shown: map[string]string{}, began: clock.Now(),
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, ">") {
			continue
		}
		s.out.WriteString(line + "\n")
		command, _, _ := strings.Cut(line, "#")
		words := strings.Fields(command)
		if len(words) == 0 {
			continue
		}
		if err := s.do(words); err != nil {
			if api, ok := errors.AsType[smithy.APIError](err); ok {
				s.say("refused: %s: %s", api.ErrorCode(), api.ErrorMessage())
			} else {
				t.Fatalf("%s: %v", line, err)
			}
		}
		s.pass()
		s.show()
	}
	s.checkRows()
	return s.out.String()
}

func (s *stage) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for name, id := range s.fleets {
		text = strings.ReplaceAll(text, id, name)
	}
	text = strings.ReplaceAll(text, "arn:aws:gamelift:us-west-2::gamesession/", "")
	text = strings.ReplaceAll(text, "custom-", "")
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		s.out.WriteString(strings.TrimRight("> "+line, " ") + "\n")
	}
}

// show prints the placements that changed, and the events.
func (s *stage) show() {
	for _, id := range slices.Sorted(maps.Keys(s.shown)) {
		p := s.get(id)
		now := string(p.Status)
		if p.GameSessionArn != nil {
			s.games[id] = *p.GameSessionArn
			now += " " + *p.GameSessionArn
		}
		if n := len(p.PlacedPlayerSessions); n > 0 {
			now += fmt.Sprintf(" with %d players", n)
		}
		if p.EndTime != nil {
			now += " after " + p.EndTime.Sub(*p.StartTime).String()
		}
		if now != s.shown[id] {
			s.shown[id] = now
			s.say("%s %s", id, now)
		}
	}
	for _, e := range s.told() {
		d := e["detail"].(map[string]any)
		s.say("event %s of %s", d["type"], d["placementId"])
	}
}

// do carries out one command.
func (s *stage) do(words []string) error {
	rest := words[1:]
	switch verb := words[0]; verb {
	case "fleet":
		s.makeFleet(rest)
	case "alias":
		return s.makeAlias(rest)
	case "queue", "change":
		return s.makeQueue(rest, verb == "change")
	case "ready":
		n := 1
		if len(rest) > 2 {
			n = number(s.t, rest[2])
		}
		for range n {
			s.process(s.fleets[rest[0]], place(rest[1]))
		}
	case "place":
		return s.place(rest)
	case "wait":
		d, err := time.ParseDuration(rest[0])
		expect.OK(s.t, err)
		s.wait(d)
	case "activate":
		return s.tryActivate(rest[0])
	case "crash":
		return s.Computes.End(s.t.Context(), s.hostOf(s.games[rest[0]]), compute.Crashed)
	case "terminate":
		_, err := s.Sessions.TerminateGameSession(s.t.Context(), &gamelift.TerminateGameSessionInput{
			GameSessionId: new(s.games[rest[0]]), TerminationMode: types.TerminationModeTriggerOnProcessTerminate,
		})
		return err
	case "stop":
		return s.stop(rest[0])
	case "delete":
		return s.remove(rest)
	case "why":
		e, err := s.Explain(s.t.Context(), rest[0])
		if err != nil {
			return err
		}
		s.say("%s", e)
	default:
		s.t.Fatalf("no command %q", verb)
	}
	return nil
}

func number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	expect.OK(t, err)
	return n
}

func place(name string) string { return "custom-" + name }

func places(names string) (list []string) {
	for name := range strings.SplitSeq(names, ",") {
		list = append(list, place(name))
	}
	return list
}

// makeFleet is: NAME at LOCATIONS [cost N] [activates-within SECONDS].
func (s *stage) makeFleet(words []string) {
	o := options(s.t, words[1:])
	for _, at := range places(o["at"][0]) {
		_, err := s.Fleets.CreateLocation(s.t.Context(), &gamelift.CreateLocationInput{LocationName: &at})
		if _, known := errors.AsType[*types.ConflictException](err); !known {
			expect.OK(s.t, err)
		}
	}
	cost := ""
	if o["cost"] != nil {
		cost = o["cost"][0]
	}
	id := s.newFleet(cost, places(o["at"][0])...)
	s.fleets[words[0]] = id
	if o["activates-within"] != nil {
		_, err := s.Fleets.UpdateRuntimeConfiguration(s.t.Context(), &gamelift.UpdateRuntimeConfigurationInput{
			FleetId: &id, RuntimeConfiguration: &types.RuntimeConfiguration{GameSessionActivationTimeoutSeconds: new(int32(number(s.t, o["activates-within"][0])))},
		})
		expect.OK(s.t, err)
	}
}

// options are words with values: each word of the list below begins a new one, and may
// stand there more than once.
func options(t testing.TB, words []string) map[string][]string {
	t.Helper()
	known := []string{"at", "cost", "activates-within", "to", "says", "over", "timeout", "cap", "rank", "order", "only", "in", "players", "latency", "override", "else"}
	all := map[string][]string{}
	for i := 0; i < len(words); {
		if !slices.Contains(known, words[i]) {
			t.Fatalf("unknown word %q", words[i])
		}
		j := i + 1
		for j < len(words) && !slices.Contains(known, words[j]) {
			j++
		}
		all[words[i]] = append(all[words[i]], strings.Join(words[i+1:j], " "))
		i = j
	}
	return all
}

// makeAlias is: NAME to FLEET, or NAME says TEXT. A known name is pointed elsewhere.
func (s *stage) makeAlias(words []string) error {
	o := options(s.t, words[1:])
	route := &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal}
	if o["to"] != nil {
		route.Type, route.FleetId = types.RoutingStrategyTypeSimple, new(s.fleets[o["to"][0]])
	} else {
		route.Message = new(o["says"][0])
	}
	if id, known := s.aliases[words[0]]; known {
		_, err := s.Fleets.UpdateAlias(s.t.Context(), &gamelift.UpdateAliasInput{AliasId: &id, RoutingStrategy: route})
		return err
	}
	out, err := s.Fleets.CreateAlias(s.t.Context(), &gamelift.CreateAliasInput{Name: &words[0], RoutingStrategy: route})
	if err == nil {
		s.aliases[words[0]] = *out.Alias.AliasId
	}
	return err
}

// makeQueue is: NAME [over FLEETS-AND-ALIASES] [timeout SECONDS] [cap MS [for SECONDS]]…
// [rank PRIORITIES] [order LOCATIONS] [only LOCATIONS]. A value "-" removes.
func (s *stage) makeQueue(words []string, change bool) error {
	o := options(s.t, words[1:])
	in := &gamelift.CreateGameSessionQueueInput{Name: &words[0]}
	if o["over"] != nil {
		in.Destinations = s.over(o["over"][0])
	}
	if o["timeout"] != nil {
		in.TimeoutInSeconds = new(int32(number(s.t, o["timeout"][0])))
	}
	for _, text := range o["cap"] {
		ms, seconds, timed := strings.Cut(text, " for ")
		if ms == "-" {
			in.PlayerLatencyPolicies = []types.PlayerLatencyPolicy{}
			break
		}
		p := types.PlayerLatencyPolicy{MaximumIndividualPlayerLatencyMilliseconds: new(int32(number(s.t, ms)))}
		if timed {
			p.PolicyDurationSeconds = new(int32(number(s.t, seconds)))
		}
		in.PlayerLatencyPolicies = append(in.PlayerLatencyPolicies, p)
	}
	if o["rank"] != nil || o["order"] != nil {
		in.PriorityConfiguration = &types.PriorityConfiguration{}
		if o["rank"] != nil && o["rank"][0] != "-" {
			for by := range strings.SplitSeq(o["rank"][0], ",") {
				in.PriorityConfiguration.PriorityOrder = append(in.PriorityConfiguration.PriorityOrder, types.PriorityType(by))
			}
		}
		if o["order"] != nil {
			in.PriorityConfiguration.LocationOrder = places(o["order"][0])
		}
	}
	if o["only"] != nil {
		in.FilterConfiguration = &types.FilterConfiguration{}
		if o["only"][0] != "-" {
			in.FilterConfiguration.AllowedLocations = places(o["only"][0])
		}
	}
	if !change {
		_, err := s.CreateGameSessionQueue(s.t.Context(), in)
		return err
	}
	_, err := s.UpdateGameSessionQueue(s.t.Context(), &gamelift.UpdateGameSessionQueueInput{
		Name: in.Name, Destinations: in.Destinations, TimeoutInSeconds: in.TimeoutInSeconds, PlayerLatencyPolicies: in.PlayerLatencyPolicies,
		PriorityConfiguration: in.PriorityConfiguration, FilterConfiguration: in.FilterConfiguration,
	})
	return err
}

func (s *stage) over(names string) []types.GameSessionQueueDestination {
	list := []types.GameSessionQueueDestination{}
	for name := range strings.SplitSeq(names, ",") {
		switch {
		case name == "-":
		case s.fleets[name] != "":
			list = append(list, destinations(s.fleets[name])...)
		case s.aliases[name] != "":
			list = append(list, destinations(s.aliases[name])...)
		default: // elsewhere, as REGION/FLEET
			region, fleet, _ := strings.Cut(name, "/")
			list = append(list, destinations("arn:aws:gamelift:"+region+":123456789012:fleet/fleet-"+fleet)...)
		}
	}
	return list
}

// place is: ID in QUEUE [players NAMES] [latency PLAYER LOCATION=MS…]… [override LOCATIONS]
// [else nowhere|anywhere].
func (s *stage) place(words []string) error {
	o := options(s.t, words[1:])
	in := asks(words[0], o["in"][0])
	for _, list := range o["players"] {
		for name := range strings.SplitSeq(list, ",") {
			in.DesiredPlayerSessions = append(in.DesiredPlayerSessions, types.DesiredPlayerSession{PlayerId: &name})
		}
	}
	for _, reports := range o["latency"] {
		words := strings.Fields(reports)
		for _, report := range words[1:] {
			at, text, _ := strings.Cut(report, "=")
			ms, err := strconv.ParseFloat(text, 32)
			expect.OK(s.t, err)
			in.PlayerLatencies = append(in.PlayerLatencies, types.PlayerLatency{
				PlayerId: &words[0], RegionIdentifier: new(place(at)), LatencyInMilliseconds: new(float32(ms)),
			})
		}
	}
	if o["override"] != nil {
		in.PriorityConfigurationOverride = &types.PriorityConfigurationOverride{LocationOrder: places(o["override"][0])}
		switch {
		case o["else"] == nil:
		case o["else"][0] == "nowhere":
			in.PriorityConfigurationOverride.PlacementFallbackStrategy = types.PlacementFallbackStrategyNone
		default:
			in.PriorityConfigurationOverride.PlacementFallbackStrategy = types.PlacementFallbackStrategyDefaultAfterSinglePass
		}
	}
	_, err := s.StartGameSessionPlacement(s.t.Context(), in)
	if err == nil {
		s.shown[words[0]] = ""
	}
	return err
}

// wait lets time pass as the program does: from one instant at which something is due to the
// next.
func (s *stage) wait(d time.Duration) {
	target := s.clock.Now().Add(d)
	for {
		var first time.Time
		due := func(at time.Time, ok bool, err error) {
			expect.OK(s.t, err)
			if ok && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
		due(s.Computes.Due(s.t.Context()))
		due(s.Sessions.Due(s.t.Context()))
		due(s.Due(s.t.Context()))
		if first.IsZero() || first.After(target) {
			break
		}
		s.tick(max(0, first.Sub(s.clock.Now())))
		s.show()
	}
	s.tick(target.Sub(s.clock.Now()))
}

// remove is: queue NAME, fleet NAME, alias NAME, or location FLEET LOCATION.
func (s *stage) remove(words []string) (err error) {
	ctx := s.t.Context()
	switch words[0] {
	case "queue":
		_, err = s.DeleteGameSessionQueue(ctx, &gamelift.DeleteGameSessionQueueInput{Name: &words[1]})
	case "fleet":
		_, err = s.Fleets.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: new(s.fleets[words[1]])})
	case "alias":
		_, err = s.Fleets.DeleteAlias(ctx, &gamelift.DeleteAliasInput{AliasId: new(s.aliases[words[1]])})
	case "location":
		_, err = s.Fleets.DeleteFleetLocations(ctx, &gamelift.DeleteFleetLocationsInput{FleetId: new(s.fleets[words[1]]), Locations: []string{place(words[2])}})
	default:
		s.t.Fatalf("delete what? %v", words)
	}
	return err
}
