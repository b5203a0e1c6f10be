package conformance

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// paged is a listing and the items that must be in it.
type paged struct {
	op    string
	in    object
	key   string   // the member of an item that identifies it, "" when items are texts, "A.B" inside
	want  []string // in the order of the listing, or sorted when it has no promised order
	whole bool     // the operation does not heed a limit (hosting.md 0.4)
}

func (p paged) ids(items []any) (ids []string) {
	for _, item := range items {
		for name := range strings.SplitSeq(p.key, ".") {
			if name != "" {
				item = item.(object)[name]
			}
		}
		ids = append(ids, item.(string))
	}
	return ids
}

// Every paged operation, in pages of every size, gives each item once and in one order.
func TestListings(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		runListings(t, s, listings(t, s))
	})
}

func runListings(t *testing.T, s *server, all []paged) {
	t.Helper()
	for _, p := range all {
		t.Run(p.op+" "+show(p.in), func(t *testing.T) {
			whole := find(t, "go cbor").all(t, s, p.op, p.in, paging{})
			got, want := slices.Sorted(slices.Values(p.ids(whole.items))), slices.Sorted(slices.Values(p.want))
			if !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
			n := len(whole.items)
			eachClient(t, func(t *testing.T, c *client) {
				if c.list == nil {
					t.Skip("has no paginator")
				}
				if c.knows != nil && c.knows[p.op] == nil || p.op == "DescribeFleetLocationAttributes" && strings.HasPrefix(c.name, "boto3") {
					t.Skipf("NOT RUN: this client does not page %s", p.op)
				}
				expected := c.shown(p.op, object{resultKeys[p.op]: whole.items})[resultKeys[p.op]]
				for _, size := range sizesUpTo(n) {
					l := c.all(t, s, p.op, p.in, paging{PageSize: &size})
					if !c.same(any(l.items), expected) {
						t.Errorf("PageSize %d: got %s\nwant %s", size, show(l.items), show(expected))
					}
					if fewest := (n + size - 1) / size; !p.whole && (l.pages < fewest || l.pages > fewest+1) || p.whole && l.pages != 1 {
						t.Errorf("PageSize %d: %d items in %d pages", size, n, l.pages)
					}
				}
				if !c.resumes {
					return
				}
				// In parts that end inside pages.
				var parts []any
				var token *string
				for range n + 1 {
					l := c.all(t, s, p.op, p.in, paging{PageSize: new(3), MaxItems: new(2), StartingToken: token})
					parts = append(parts, l.items...)
					if l.resume == "" {
						break
					}
					token = &l.resume
				}
				if !c.same(any(parts), expected) {
					t.Errorf("in parts: got %s\nwant %s", show(parts), show(expected))
				}
			}, "boto3 json", "boto3 cbor", "js json", "js cbor", "go cbor")
		})
	}
}

// sizesUpTo are all page sizes that can differ for n items, or a few of them for many.
func sizesUpTo(n int) (sizes []int) {
	for size := 1; size <= n+1; size++ {
		if n <= 8 && !testing.Short() || size <= 2 || size == 7 || size >= n {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

// listings fills a server and says what its listings must hold.
func listings(t *testing.T, s *server) (all []paged) {
	t.Helper()
	api, ctx := sdk(s), t.Context()
	w := newFleet(t, s)

	locations := []string{w.location}
	for i := range 6 {
		name := fmt.Sprintf("custom-site-%d", i)
		_, err := api.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: &name})
		check(t, err)
		locations = append(locations, name)
	}
	all = append(all, paged{op: "ListLocations", in: object{"Filters": []any{"CUSTOM"}}, key: "LocationName", want: locations},
		paged{op: "ListLocations", in: object{}, key: "LocationName", want: append(slices.Clone(locations), "us-west-2")})

	fleets := []string{w.fleet}
	for i := range 6 {
		in := &gamelift.CreateFleetInput{Name: new(fmt.Sprintf("fleet %d", i)), ComputeType: types.ComputeTypeAnywhere}
		for _, name := range locations[1:] {
			in.Locations = append(in.Locations, types.LocationConfiguration{Location: &name})
		}
		out, err := api.CreateFleet(ctx, in)
		check(t, err)
		fleets = append(fleets, *out.FleetAttributes.FleetId)
		s.advance(t, time.Millisecond)
	}
	all = append(all, paged{op: "ListFleets", in: object{}, want: fleets})
	for _, op := range []string{"DescribeFleetAttributes", "DescribeFleetCapacity", "DescribeFleetUtilization"} {
		all = append(all, paged{op: op, in: object{}, key: "FleetId", want: fleets})
	}
	all = append(all, paged{op: "DescribeFleetLocationAttributes", in: object{"FleetId": fleets[1]}, key: "LocationState.Location", want: locations[1:], whole: true})
	if out, err := api.DescribeFleetAttributes(ctx, &gamelift.DescribeFleetAttributesInput{
		FleetIds: []string{fleets[4], fleets[2], fleets[3]}, Limit: new(int32(1)),
	}); err != nil || len(out.FleetAttributes) != 3 || out.NextToken != nil {
		t.Errorf("three fleets asked by id, a limit of 1: %v, %v", out, err) // the limit does not count (hosting.md 0.4)
	}

	out, err := api.DescribeFleetEvents(ctx, &gamelift.DescribeFleetEventsInput{FleetId: &fleets[1]})
	check(t, err)
	events := paged{op: "DescribeFleetEvents", in: object{"FleetId": fleets[1]}, key: "EventId"}
	for _, e := range out.Events {
		events.want = append(events.want, *e.EventId)
	}
	if len(events.want) == 0 {
		t.Error("no events of a new fleet")
	}
	all = append(all, events)

	var aliases, terminal []string
	for i := range 7 {
		routing := &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: &w.fleet}
		if i%2 == 0 {
			routing = &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: new("closed")}
		}
		out, err := api.CreateAlias(ctx, &gamelift.CreateAliasInput{Name: new(fmt.Sprintf("alias %d", i)), RoutingStrategy: routing})
		check(t, err)
		aliases = append(aliases, *out.Alias.AliasId)
		if i%2 == 0 {
			terminal = append(terminal, *out.Alias.AliasId)
		}
	}
	var ruleSets, configurations []string
	for i := range 7 {
		name := fmt.Sprintf("list-%d", i)
		matchmaker(t, api, name, duelRules, func(in *gamelift.CreateMatchmakingConfigurationInput) { in.RuleSetName = new("list-0") })
		ruleSets, configurations = append(ruleSets, name), append(configurations, name)
	}
	return append(all,
		paged{op: "DescribeMatchmakingRuleSets", in: object{}, key: "RuleSetName", want: ruleSets},
		paged{op: "DescribeMatchmakingConfigurations", in: object{}, key: "Name", want: configurations},
		paged{op: "DescribeMatchmakingConfigurations", in: object{"RuleSetName": "list-0"}, key: "Name", want: configurations},
		paged{op: "ListAliases", in: object{}, key: "AliasId", want: aliases},
		paged{op: "ListAliases", in: object{"RoutingStrategyType": "TERMINAL"}, key: "AliasId", want: terminal})
}

// The same of what lives on a fleet: computes and game sessions.
func TestListingsOfAFleet(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		w := newWorld(t, s)
		computes := []string{"rack-1"}
		for i := range 6 {
			name := fmt.Sprintf("rack-%d", i+2)
			w.register(t, name, nil)
			computes = append(computes, name)
		}
		var sessions, crowded []string
		for i := range 7 {
			w.host(t, []string{"ws", "wss"}[i%2])
			g := w.session(t, &gamelift.CreateGameSessionInput{
				MaximumPlayerSessionCount: new(int32(i)), Name: new(fmt.Sprintf("game %d", i)),
				GameProperties: []types.GameProperty{{Key: new("parity"), Value: new([]string{"even", "odd"}[i%2])}},
			})
			sessions = append(sessions, *g.GameSessionId)
			if i%2 == 1 {
				crowded = append(crowded, *g.GameSessionId)
			}
			s.advance(t, time.Millisecond)
		}
		out, err := w.api.CreateAlias(t.Context(), &gamelift.CreateAliasInput{
			Name: new("games"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: &w.fleet},
		})
		check(t, err)
		all := []paged{
			{op: "ListCompute", in: object{"FleetId": w.fleet}, key: "ComputeName", want: computes},
			{op: "DescribeGameSessions", in: object{"FleetId": w.fleet}, key: "GameSessionId", want: sessions},
			{op: "DescribeGameSessions", in: object{"AliasId": *out.Alias.AliasId, "StatusFilter": "ACTIVE"}, key: "GameSessionId", want: sessions},
			{op: "DescribeGameSessionDetails", in: object{"FleetId": w.fleet}, key: "GameSession.GameSessionId", want: sessions},
			{op: "SearchGameSessions", in: object{"FleetId": w.fleet}, key: "GameSessionId", want: sessions},
			{op: "SearchGameSessions", in: object{
				"AliasId": *out.Alias.AliasId, "FilterExpression": "gameSessionProperties.parity = 'odd'", "SortExpression": "maximumSessions DESC",
			}, key: "GameSessionId", want: crowded},
		}
		runListings(t, s, all)

		// What has an order is in it.
		for _, k := range []struct {
			p    paged
			want []string
		}{
			{all[1], sessions},
			{all[3], sessions},
			{all[5], []string{crowded[2], crowded[1], crowded[0]}},
		} {
			if got := k.p.ids(find(t, "go cbor").all(t, s, k.p.op, k.p.in, paging{}).items); !reflect.DeepEqual(got, k.want) {
				t.Errorf("%s %s: got %v, want %v", k.p.op, show(k.p.in), got, k.want)
			}
		}
	})
}
