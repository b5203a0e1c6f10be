package conformance

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// refusal is a request and the exception that answers it.
type refusal struct {
	op    string
	in    object
	error string // without "Exception"
	names string // the member that the message names, "" for the message in says
	says  string
}

// Exceptions that no request to this server brings about, by exception or by
// "operation exception".
var neverThrown = map[string]string{
	"InternalService":   "faults of the server",
	"InvalidRequest":    "tried for every operation in TestEveryBrokenConstraintIsNamed",
	"Unauthorized":      "dev lets everybody in; see the tests of access keys",
	"UnsupportedRegion": "the server has one region, which offers what it offers",
	"NotReady":          "nothing of an Anywhere fleet is being validated",

	"CreateAlias Conflict":           "alias names are not unique (hosting.md 5.1)",
	"CreateFleet Conflict":           "fleet names are not unique",
	"UpdateFleetAttributes Conflict": "writers wait for each other", "UpdateFleetCapacity Conflict": "writers wait for each other",
	"UpdateFleetPortSettings Conflict": "writers wait for each other", "UpdateGameSession Conflict": "writers wait for each other",
	"CreateGameSession Conflict": "a second request under a token waits for the first",

	"CreatePlayerSession TerminalRoutingStrategy": "it takes no alias (sessions-placement.md 2.3)", "CreatePlayerSessions TerminalRoutingStrategy": "it takes no alias",
	"ListTagsForResource TaggingFailed": "reading fails as NotFound", "UntagResource TaggingFailed": "removing cannot exceed a quota",
	"DeleteAlias TaggingFailed": "tags go with their resource", "DeleteFleet TaggingFailed": "tags go with their resource",
	"DescribeFleetAttributes NotFound": "unknown ids are left out of the list (hosting.md 0.3)", "DescribeFleetCapacity NotFound": "unknown ids are left out",
	"DescribeFleetUtilization NotFound": "unknown ids are left out", "ListFleets NotFound": "a build or script without fleets gives an empty list",
	"DeleteMatchmakingConfiguration TaggingFailed": "tags go with their resource", "DeleteMatchmakingRuleSet TaggingFailed": "tags go with their resource",
	"GetPlayerConnectionDetails LimitExceeded": "there is no player gateway yet",
	"UpdateFleetPortSettings LimitExceeded":    "managed fleets come later", "UpdateFleetCapacity LimitExceeded": "managed fleets come later",
	"CreateFleetLocations InvalidFleetStatus": "an Anywhere fleet is ACTIVE until it is gone", "CreateGameSession InvalidFleetStatus": "an Anywhere fleet is ACTIVE until it is gone",
	"DeleteFleet InvalidFleetStatus": "an Anywhere fleet is ACTIVE until it is gone", "UpdateFleetAttributes InvalidFleetStatus": "an Anywhere fleet is ACTIVE until it is gone",
	"UpdateFleetPortSettings InvalidFleetStatus": "an Anywhere fleet is ACTIVE until it is gone", "UpdateFleetCapacity InvalidFleetStatus": "an Anywhere fleet is ACTIVE until it is gone",
	"UpdateRuntimeConfiguration InvalidFleetStatus": "an Anywhere fleet is ACTIVE until it is gone",
}

// Each exception that an operation declares and this server throws reaches every client as
// its type, with a message that names the member at fault.
func TestEveryExceptionIsTyped(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		w := newWorld(t, s)
		cases := append(refusals(t, w), matchmakingRefusals(t, w)...)
		try := func(cases []refusal) {
			eachClient(t, func(t *testing.T, c *client) {
				for _, k := range cases {
					if c.knows != nil && c.knows[k.op] == nil {
						t.Logf("NOT RUN: this client has no %s", k.op)
						continue
					}
					e := c.fails(t, s, k.op, k.in)
					want := k.error + "Exception"
					class := want
					if strings.HasPrefix(c.name, "oldgo") && k.op == "UpdateRuntimeConfiguration" && k.error == "LimitExceeded" {
						class = "" // not declared at its time
					}
					if e.Class != class || e.Code != want || e.Status != 400 || k.names != "" && !names(e.Message, k.names) || !strings.Contains(e.Message, k.says) {
						t.Errorf("%s %.400s: got %+v, want %s naming %s", k.op, show(k.in), *e, want, k.names)
					}
				}
			})
		}
		try(cases)
		quotas := append(exhausted(t, w), matchmakingQuotas(t, w)...)
		try(quotas)
		cases = append(cases, quotas...)
		t.Logf("%d refusals", len(cases))

		// No exception of a built operation is forgotten.
		d, err := botoDriver()
		if err != nil {
			missing(t, "boto3", err)
		}
		declared := d.ask(t, request{Do: "knows"}).Declared
		tried := map[string]bool{}
		for _, k := range cases {
			tried[k.op+" "+k.error] = true
		}
		for _, k := range cases {
			for _, name := range declared[k.op] {
				name = strings.TrimSuffix(name, "Exception")
				if pair := k.op + " " + name; !tried[pair] && neverThrown[name] == "" && neverThrown[pair] == "" {
					t.Errorf("%s is declared and not tried", pair)
					tried[pair] = true
				}
			}
		}
	})
}

// exhausted uses up the quotas of a server and says what is refused then.
func exhausted(t *testing.T, w *world) []refusal {
	t.Helper()
	ctx := t.Context()
	var locations []types.LocationConfiguration
	for i := range 18 { // of 20, two of which are there
		name := fmt.Sprintf("custom-quota-%d", i)
		_, err := w.api.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: &name})
		check(t, err)
		locations = append(locations, types.LocationConfiguration{Location: &name})
	}
	for i := range 99 { // of 100, one of which is there
		_, err := w.api.CreateAlias(ctx, &gamelift.CreateAliasInput{
			Name: new(fmt.Sprintf("alias %d", i)), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: new("no")},
		})
		check(t, err)
	}
	limited, err := w.api.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("limited"), ComputeType: types.ComputeTypeAnywhere, Locations: locations[:10],
		ResourceCreationLimitPolicy: &types.ResourceCreationLimitPolicy{NewGameSessionsPerCreator: new(int32(1)), PolicyPeriodInMinutes: new(int32(60))},
	})
	check(t, err)
	second := &world{s: w.s, api: w.api, fleet: *limited.FleetAttributes.FleetId, location: *locations[0].Location}
	for i := range 100 {
		second.register(t, fmt.Sprintf("rack-%d", i), nil)
	}
	second.host(t, "ws")
	second.create(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(1)), CreatorId: new("ann")})
	return []refusal{
		{op: "CreateLocation", in: object{"LocationName": "custom-one-more"}, error: "LimitExceeded", says: "20"},
		{op: "CreateAlias", in: object{"Name": "a", "RoutingStrategy": object{"Type": "TERMINAL", "Message": "no"}}, error: "LimitExceeded", says: "100"},
		{op: "CreateFleetLocations", in: object{"FleetId": second.fleet, "Locations": []any{object{"Location": *locations[10].Location}}}, error: "LimitExceeded", names: "Locations"},
		{op: "RegisterCompute", in: object{"FleetId": second.fleet, "ComputeName": "one-more", "Location": second.location, "IpAddress": "127.0.0.1"}, error: "LimitExceeded", names: "FleetId"},
		{op: "CreateGameSession", in: object{"FleetId": second.fleet, "Location": second.location, "MaximumPlayerSessionCount": 1, "CreatorId": "ann"}, error: "LimitExceeded", names: "CreatorId"},
		{op: "CreateGameSession", in: object{"FleetId": second.fleet, "Location": second.location, "MaximumPlayerSessionCount": 1}, error: "InvalidRequest", names: "CreatorId"},
	}
}

func refusals(t *testing.T, w *world) []refusal {
	t.Helper()
	const (
		noFleet   = "fleet-00000000-0000-4000-8000-000000000000"
		noAlias   = "alias-00000000-0000-4000-8000-000000000000"
		noSession = "arn:aws:gamelift:us-west-2::gamesession/" + noFleet + "/gsess-1"
		noPlayer  = "psess-00000000-0000-7000-8000-000000000000"
		closed    = "Closed for the winter."
	)
	ctx := t.Context()
	full, _ := w.room(t, "ws", 0)
	ended, host := w.room(t, "ws", 5)
	host.end(t)
	host.ends(t)
	taken := *w.describe(t, *full.GameSessionId).Location
	spare := "custom-spare-" + strings.TrimPrefix(w.location, "custom-home-")
	_, err := w.api.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: &spare})
	check(t, err)
	terminal, err := w.api.CreateAlias(ctx, &gamelift.CreateAliasInput{
		Name: new("winter"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: new(closed)},
	})
	check(t, err)
	alias := *terminal.Alias.AliasId
	token := "first"
	_ = w.host(t, "ws")
	w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(1)), IdempotencyToken: &token})

	var tags []any
	for i := range 51 {
		tags = append(tags, object{"Key": fmt.Sprintf("k%d", i), "Value": "v"})
	}
	routing := object{"Type": "SIMPLE", "FleetId": w.fleet}
	session := object{"FleetId": w.fleet, "Location": w.location, "MaximumPlayerSessionCount": 1}
	with := func(o object, name string, value any) object {
		c := maps.Clone(o)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	anywhere := object{"Name": "f", "ComputeType": "ANYWHERE", "Locations": []any{object{"Location": w.location}}}
	compute := object{"FleetId": w.fleet, "ComputeName": "new", "Location": w.location, "IpAddress": "127.0.0.1"}

	all := []refusal{
		{op: "CreateFleet", in: with(anywhere, "Locations", nil), error: "InvalidRequest", names: "Locations"},
		{op: "CreateFleet", in: with(anywhere, "BuildId", "build-1"), error: "InvalidRequest", names: "BuildId"},
		{op: "CreateFleet", in: with(anywhere, "Locations", []any{object{"Location": "custom-nowhere"}}), error: "NotFound", names: "Locations"},
		{op: "CreateFleet", in: with(anywhere, "Tags", tags), error: "TaggingFailed", names: "Tags"},
		{op: "CreateFleet", in: with(anywhere, "ResourceCreationLimitPolicy", object{"NewGameSessionsPerCreator": 1000, "PolicyPeriodInMinutes": 1}), error: "LimitExceeded", names: "ResourceCreationLimitPolicy"},
		{op: "CreateFleetLocations", in: object{"FleetId": w.fleet, "Locations": []any{object{"Location": w.location}}}, error: "Conflict", names: "Locations"},
		{op: "CreateFleetLocations", in: object{"FleetId": w.fleet, "Locations": []any{object{"Location": "custom-nowhere"}}}, error: "NotFound", names: "Locations"},
		{op: "CreateFleetLocations", in: object{"FleetId": noFleet, "Locations": []any{object{"Location": spare}}}, error: "NotFound", names: "FleetId"},
		{op: "DeleteFleetLocations", in: object{"FleetId": w.fleet, "Locations": []any{spare}}, error: "NotFound", names: "Locations"},
		{op: "DeleteFleetLocations", in: object{"FleetId": noFleet, "Locations": []any{spare}}, error: "NotFound", names: "FleetId"},
		{op: "DeleteFleet", in: object{"FleetId": noFleet}, error: "NotFound", names: "FleetId"},
		{op: "UpdateFleetAttributes", in: object{"FleetId": noFleet, "Name": "x"}, error: "NotFound", names: "FleetId"},
		{op: "UpdateFleetAttributes", in: object{"FleetId": w.fleet, "ResourceCreationLimitPolicy": object{"NewGameSessionsPerCreator": 1000, "PolicyPeriodInMinutes": 1}}, error: "LimitExceeded", names: "ResourceCreationLimitPolicy"},
		{op: "UpdateFleetCapacity", in: object{"FleetId": noFleet, "DesiredInstances": 1}, error: "NotFound", names: "FleetId"},
		{op: "UpdateFleetCapacity", in: object{"FleetId": w.fleet, "DesiredInstances": 1}, error: "InvalidRequest", names: "FleetId"},
		{op: "UpdateFleetPortSettings", in: object{"FleetId": noFleet}, error: "NotFound", names: "FleetId"},
		{op: "UpdateFleetPortSettings", in: object{"FleetId": w.fleet}, error: "InvalidRequest", names: "FleetId"},
		{op: "UpdateRuntimeConfiguration", in: object{"FleetId": noFleet, "RuntimeConfiguration": object{}}, error: "NotFound", names: "FleetId"},
		{op: "UpdateRuntimeConfiguration", in: object{"FleetId": w.fleet, "RuntimeConfiguration": object{"ServerProcesses": []any{object{"LaunchPath": "/local/game/server", "ConcurrentExecutions": 5000}}}}, error: "LimitExceeded", names: "RuntimeConfiguration"},

		{op: "CreateLocation", in: object{"LocationName": w.location}, error: "Conflict", names: "LocationName"},
		{op: "CreateLocation", in: object{"LocationName": "custom-tagged", "Tags": tags}, error: "TaggingFailed", names: "Tags"},
		{op: "DeleteLocation", in: object{"LocationName": "custom-nowhere"}, error: "NotFound", names: "LocationName"},
		{op: "DeleteLocation", in: object{"LocationName": taken}, error: "InvalidRequest", names: "LocationName"},

		{op: "CreateAlias", in: object{"Name": "a", "RoutingStrategy": with(routing, "FleetId", noFleet)}, error: "InvalidRequest", names: "RoutingStrategy.FleetId"},
		{op: "CreateAlias", in: object{"Name": "a", "RoutingStrategy": object{"Type": "TERMINAL"}}, error: "InvalidRequest", names: "RoutingStrategy.Message"},
		{op: "CreateAlias", in: object{"Name": "a", "RoutingStrategy": routing, "Tags": tags}, error: "TaggingFailed", names: "Tags"},
		{op: "UpdateAlias", in: object{"AliasId": noAlias, "Name": "b"}, error: "NotFound", names: "AliasId"},
		{op: "DeleteAlias", in: object{"AliasId": noAlias}, error: "NotFound", names: "AliasId"},
		{op: "DescribeAlias", in: object{"AliasId": noAlias}, error: "NotFound", names: "AliasId"},
		{op: "ResolveAlias", in: object{"AliasId": noAlias}, error: "NotFound", names: "AliasId"},
		{op: "ResolveAlias", in: object{"AliasId": alias}, error: "TerminalRoutingStrategy", says: closed},

		{op: "TagResource", in: object{"ResourceARN": w.arn, "Tags": tags}, error: "TaggingFailed", names: "Tags"},
		{op: "TagResource", in: object{"ResourceARN": strings.ReplaceAll(w.arn, w.fleet, noFleet), "Tags": tags[:1]}, error: "NotFound", names: "ResourceARN"},
		{op: "TagResource", in: object{"ResourceARN": w.arn, "Tags": []any{object{"Key": "aws:mine", "Value": ""}}}, error: "InvalidRequest", names: "Tags"},
		{op: "UntagResource", in: object{"ResourceARN": strings.ReplaceAll(w.arn, w.fleet, noFleet), "TagKeys": []any{"k"}}, error: "NotFound", names: "ResourceARN"},
		{op: "ListTagsForResource", in: object{"ResourceARN": strings.ReplaceAll(w.arn, w.fleet, noFleet)}, error: "NotFound", names: "ResourceARN"},
		{op: "ListTagsForResource", in: object{"ResourceARN": "arn:aws:s3:::bucket"}, error: "InvalidRequest", names: "ResourceARN"},

		{op: "RegisterCompute", in: with(compute, "ComputeName", w.computer), error: "Conflict", names: "ComputeName"},
		{op: "RegisterCompute", in: with(compute, "FleetId", noFleet), error: "InvalidRequest", names: "FleetId"},
		{op: "RegisterCompute", in: with(compute, "IpAddress", nil), error: "InvalidRequest", names: "IpAddress"},
		{op: "RegisterCompute", in: with(compute, "Location", nil), error: "InvalidRequest", names: "Location"},
		{op: "RegisterCompute", in: with(compute, "Location", spare), error: "InvalidRequest", names: "Location"},
		{op: "ListCompute", in: object{"FleetId": noFleet}, error: "InvalidRequest", names: "FleetId"},
		{op: "GetComputeAccess", in: object{"FleetId": w.fleet, "ComputeName": w.computer}, error: "InvalidRequest", names: "FleetId"},

		{op: "CreateGameSession", in: with(session, "FleetId", nil), error: "InvalidRequest", names: "FleetId"},
		{op: "CreateGameSession", in: with(session, "AliasId", alias), error: "InvalidRequest", names: "AliasId"},
		{op: "CreateGameSession", in: with(session, "FleetId", noFleet), error: "NotFound", names: "FleetId"},
		{op: "CreateGameSession", in: with(with(session, "FleetId", nil), "AliasId", noAlias), error: "NotFound", names: "AliasId"},
		{op: "CreateGameSession", in: with(with(session, "FleetId", nil), "AliasId", alias), error: "TerminalRoutingStrategy", says: closed},
		{op: "CreateGameSession", in: with(session, "Location", nil), error: "InvalidRequest", names: "Location"},
		{op: "CreateGameSession", in: with(session, "Location", spare), error: "NotFound", names: "Location"},
		{op: "CreateGameSession", in: with(session, "MaximumPlayerSessionCount", 201), error: "InvalidRequest", names: "MaximumPlayerSessionCount"},
		{op: "CreateGameSession", in: session, error: "FleetCapacityExceeded", says: w.fleet},
		{op: "CreateGameSession", in: with(with(session, "IdempotencyToken", token), "Name", "other"), error: "IdempotentParameterMismatch", names: "IdempotencyToken"},
		{op: "UpdateGameSession", in: object{"GameSessionId": noSession, "Name": "x"}, error: "NotFound", names: "GameSessionId"},
		{op: "UpdateGameSession", in: object{"GameSessionId": *ended.GameSessionId, "Name": "x"}, error: "InvalidGameSessionStatus", names: "GameSessionId"},
		{op: "UpdateGameSession", in: object{"GameSessionId": *full.GameSessionId, "MaximumPlayerSessionCount": 201}, error: "InvalidRequest", names: "MaximumPlayerSessionCount"},
		{op: "TerminateGameSession", in: object{"GameSessionId": noSession, "TerminationMode": "FORCE_TERMINATE"}, error: "NotFound", names: "GameSessionId"},
		{op: "TerminateGameSession", in: object{"GameSessionId": *ended.GameSessionId, "TerminationMode": "TRIGGER_ON_PROCESS_TERMINATE"}, error: "InvalidGameSessionStatus", names: "GameSessionId"},
		{op: "TerminateGameSession", in: object{"GameSessionId": *full.GameSessionId, "TerminationMode": "FORCE_TERMINATE"}, error: "InvalidRequest", names: "TerminationMode"},
		{op: "DescribeGameSessions", in: object{}, error: "InvalidRequest", names: "GameSessionId"},
		{op: "DescribeGameSessions", in: object{"FleetId": w.fleet, "AliasId": alias}, error: "InvalidRequest", names: "AliasId"},
		{op: "DescribeGameSessions", in: object{"FleetId": w.fleet, "StatusFilter": "active"}, error: "InvalidRequest", names: "StatusFilter"},
		{op: "SearchGameSessions", in: object{"FleetId": w.fleet, "FilterExpression": "nonsense = 1"}, error: "InvalidRequest", names: "FilterExpression"},
		{op: "SearchGameSessions", in: object{"FleetId": w.fleet, "SortExpression": "maximumSessions, creationTimeMillis"}, error: "InvalidRequest", names: "SortExpression"},
		{op: "SearchGameSessions", in: object{"FleetId": w.fleet, "Location": spare}, error: "NotFound", names: "Location"},
		{op: "GetGameSessionLogUrl", in: object{"GameSessionId": noSession}, error: "NotFound", names: "GameSessionId"},
		{op: "GetPlayerConnectionDetails", in: object{"GameSessionId": noSession, "PlayerIds": []any{"ann"}}, error: "NotFound", names: "GameSessionId"},
		{op: "GetPlayerConnectionDetails", in: object{"GameSessionId": *ended.GameSessionId, "PlayerIds": []any{"ann"}}, error: "InvalidGameSessionStatus", names: "GameSessionId"},
		{op: "DescribePlayerSessions", in: object{"PlayerSessionId": noPlayer}, error: "NotFound", names: "PlayerSessionId"},
		{op: "DescribePlayerSessions", in: object{}, error: "InvalidRequest", names: "PlayerSessionId"},
	}
	for _, op := range []string{"CreatePlayerSession", "CreatePlayerSessions"} {
		join := func(session string) object {
			if op == "CreatePlayerSession" {
				return object{"GameSessionId": session, "PlayerId": "ann"}
			}
			return object{"GameSessionId": session, "PlayerIds": []any{"ann", "bob"}}
		}
		all = append(all,
			refusal{op: op, in: join(noSession), error: "NotFound", names: "GameSessionId"},
			refusal{op: op, in: join(*ended.GameSessionId), error: "InvalidGameSessionStatus", names: "GameSessionId"},
			refusal{op: op, in: join(*full.GameSessionId), error: "GameSessionFull", names: "GameSessionId"})
	}
	for _, op := range []string{"DescribeGameSessions", "DescribeGameSessionDetails", "SearchGameSessions"} {
		all = append(all,
			refusal{op: op, in: object{"FleetId": noFleet}, error: "NotFound", names: "FleetId"},
			refusal{op: op, in: object{"AliasId": noAlias}, error: "NotFound", names: "AliasId"},
			refusal{op: op, in: object{"AliasId": alias}, error: "TerminalRoutingStrategy", says: closed})
	}
	for _, op := range []string{"DescribeCompute", "DeregisterCompute", "GetComputeAuthToken", "GetComputeAccess"} {
		all = append(all,
			refusal{op: op, in: object{"FleetId": noFleet, "ComputeName": w.computer}, error: "NotFound", names: "FleetId"},
			refusal{op: op, in: object{"FleetId": w.fleet, "ComputeName": "nobody"}, error: "NotFound", names: "ComputeName"})
	}
	for _, op := range []string{"DescribeFleetEvents", "DescribeFleetPortSettings", "DescribeRuntimeConfiguration", "DescribeInstances", "DescribeFleetLocationAttributes"} {
		all = append(all, refusal{op: op, in: object{"FleetId": noFleet}, error: "NotFound", names: "FleetId"})
	}
	for _, op := range []string{"DescribeFleetLocationCapacity", "DescribeFleetLocationUtilization"} {
		all = append(all,
			refusal{op: op, in: object{"FleetId": noFleet, "Location": w.location}, error: "NotFound", names: "FleetId"},
			refusal{op: op, in: object{"FleetId": w.fleet, "Location": spare}, error: "NotFound", names: "Location"})
	}
	for _, op := range []string{"StartFleetActions", "StopFleetActions"} {
		all = append(all, refusal{op: op, in: object{"FleetId": noFleet, "Actions": []any{"AUTO_SCALING"}}, error: "NotFound", names: "FleetId"})
	}
	for op := range resultKeys {
		in := object{"NextToken": "nonsense"}
		switch op {
		case "DescribeFleetAttributes", "DescribeFleetCapacity", "DescribeFleetUtilization", "DescribeMatchmakingConfigurations", "DescribeMatchmakingRuleSets", "ListAliases", "ListFleets", "ListLocations":
		case "DescribePlayerSessions":
			in["GameSessionId"] = *full.GameSessionId
		default:
			in["FleetId"] = w.fleet
		}
		all = append(all, refusal{op: op, in: in, error: "InvalidRequest", names: "NextToken"})
	}
	return all
}
