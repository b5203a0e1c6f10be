package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/paginate"
)

// tool runs a command of matchyard against a server.
func tool(t testing.TB, s *server, args ...string) (code int, out, errs string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), matchyard, args...)
	cmd.Env = quietEnvironment("AWS_ENDPOINT_URL_GAMELIFT=" + s.url)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// upload makes a build that is READY.
func upload(t testing.TB, s *server, name string) string {
	t.Helper()
	out, err := sdk(s).CreateBuild(t.Context(), &gamelift.CreateBuildInput{Name: &name, Version: new("1.0"), OperatingSystem: types.OperatingSystemAmazonLinux2023})
	check(t, err)
	key := out.UploadCredentials
	storage := s3.New(s3.Options{
		Region: "us-west-2", BaseEndpoint: &s.url, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(*key.AccessKeyId, *key.SecretAccessKey, *key.SessionToken),
	})
	text, err := os.ReadFile(zipped(t, gameFolder(t, 100)))
	check(t, err)
	_, err = storage.PutObject(t.Context(), &s3.PutObjectInput{Bucket: out.StorageLocation.Bucket, Key: out.StorageLocation.Key, Body: bytes.NewReader(text)})
	check(t, err)
	becomes(t, s, *out.Build.BuildId, types.BuildStatusReady)
	return *out.Build.BuildId
}

// hosts makes a managed fleet ACTIVE, as hosts and their reports do.
func hosts(t testing.TB, s *server, id string) {
	t.Helper()
	fleets := fleet.Service{DB: storetest.Open(t, s.store, time.Now), Home: arn.Home{Region: "us-west-2", Account: "123456789012"}}
	check(t, fleets.DB.Write(t.Context(), func(tx *store.Tx) error {
		for _, at := range []arn.Location{"us-west-2", "eu-central-1"} {
			if _, err := tx.Exec(`INSERT INTO host (key, name, token, location, address, dns_name, os, version, capacity, draining, dial, seen_at, cpu, memory, memory_of, joined_at)
				VALUES ($1, $2, '', $2, '10.0.0.1', '', 'linux', '', 20, 0, 0, $3, 0, 0, 0, $3)`, tx.NewKey(), string(at), tx.NowMs()); err != nil {
				return err
			}
			if err := fleets.AdvanceTx(tx, arn.FleetID(id), at, types.FleetStatusActive); err != nil {
				return err
			}
		}
		return nil
	}))
}

// estate makes some of everything that is carried, with text that is hard to carry.
func estate(t testing.TB, s *server) {
	t.Helper()
	api, ctx := sdk(s), t.Context()
	tags := []types.Tag{{Key: new("owner"), Value: new("yes: no")}, {Key: new("é"), Value: new("")}}
	for _, name := range []string{"custom-home", "custom-away"} {
		_, err := api.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: &name, Tags: tags})
		check(t, err)
	}
	fleetOf := func(in *gamelift.CreateFleetInput) *types.FleetAttributes {
		out, err := api.CreateFleet(ctx, in)
		check(t, err)
		return out.FleetAttributes
	}
	arena := fleetOf(&gamelift.CreateFleetInput{
		Name: new("arena"), Description: new("- \"quoted\": {x}\n  # none\n\ttab \u2028 試合 "), ComputeType: types.ComputeTypeAnywhere,
		AnywhereConfiguration: &types.AnywhereConfiguration{Cost: new("10.5")}, Tags: tags,
		Locations: []types.LocationConfiguration{{Location: new("custom-home")}, {Location: new("custom-away")}},
	})
	bare := fleetOf(&gamelift.CreateFleetInput{Name: new("null"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: new("custom-away")}}})
	cloud := fleetOf(&gamelift.CreateFleetInput{
		Name: new("cloud"), BuildId: new(upload(t, s, "game")), EC2InstanceType: types.EC2InstanceTypeC5Large, FleetType: types.FleetTypeSpot,
		Locations:                      []types.LocationConfiguration{{Location: new("us-west-2")}, {Location: new("eu-central-1")}},
		EC2InboundPermissions:          []types.IpPermission{{FromPort: new(int32(7000)), ToPort: new(int32(7100)), IpRange: new("10.0.0.0/8"), Protocol: types.IpProtocolUdp}},
		NewGameSessionProtectionPolicy: types.ProtectionPolicyFullProtection, MetricGroups: []string{"group"},
		ResourceCreationLimitPolicy: &types.ResourceCreationLimitPolicy{NewGameSessionsPerCreator: new(int32(3)), PolicyPeriodInMinutes: new(int32(15))},
		RuntimeConfiguration: &types.RuntimeConfiguration{
			GameSessionActivationTimeoutSeconds: new(int32(60)), MaxConcurrentGameSessionActivations: new(int32(2)),
			ServerProcesses: []types.ServerProcess{{LaunchPath: new("/local/game/server"), Parameters: new("--a 'b c' \\d"), ConcurrentExecutions: new(int32(2))}},
		},
	})
	hosts(t, s, *cloud.FleetId)
	_, err := api.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: cloud.FleetId, MinSize: new(int32(0)), MaxSize: new(int32(5))})
	check(t, err)
	_, err = api.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: cloud.FleetId, Location: new("eu-central-1"), DesiredInstances: new(int32(0)), MinSize: new(int32(0)), MaxSize: new(int32(2))})
	check(t, err)
	_, err = api.PutScalingPolicy(ctx, &gamelift.PutScalingPolicyInput{
		FleetId: cloud.FleetId, Name: new("room"), PolicyType: types.PolicyTypeTargetBased, MetricName: types.MetricNamePercentAvailableGameSessions,
		TargetConfiguration: &types.TargetConfiguration{TargetValue: new(20.5)},
	})
	check(t, err)
	_, err = api.StopFleetActions(ctx, &gamelift.StopFleetActionsInput{FleetId: cloud.FleetId, Location: new("eu-central-1"), Actions: []types.FleetAction{types.FleetActionAutoScaling}})
	check(t, err)

	live, err := api.CreateAlias(ctx, &gamelift.CreateAliasInput{Name: new("live"), Tags: tags, RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: arena.FleetId}})
	check(t, err)
	_, err = api.CreateAlias(ctx, &gamelift.CreateAliasInput{Name: new("closed"), Description: new("x"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: new("come\nback: later")}})
	check(t, err)
	_, err = api.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
		Name: new("ladder"), TimeoutInSeconds: new(int32(77)), Tags: tags, CustomEventData: new("{\"a\":1}"),
		Destinations:          []types.GameSessionQueueDestination{{DestinationArn: live.Alias.AliasArn}, {DestinationArn: bare.FleetArn}},
		PlayerLatencyPolicies: []types.PlayerLatencyPolicy{{MaximumIndividualPlayerLatencyMilliseconds: new(int32(50)), PolicyDurationSeconds: new(int32(20))}, {MaximumIndividualPlayerLatencyMilliseconds: new(int32(100))}},
		PriorityConfiguration: &types.PriorityConfiguration{
			PriorityOrder: []types.PriorityType{types.PriorityTypeCost, types.PriorityTypeLocation, types.PriorityTypeDestination, types.PriorityTypeLatency}, LocationOrder: []string{"custom-away", "custom-home"},
		},
		FilterConfiguration: &types.FilterConfiguration{AllowedLocations: []string{"custom-away", "custom-home"}},
	})
	check(t, err)
	_, err = api.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{Name: new("empty")})
	check(t, err)
	matchmaker(t, api, "duel", duelRules, nil)
	matchmaker(t, api, "four", fourRules, func(in *gamelift.CreateMatchmakingConfigurationInput) {
		hosted("ladder")(in)
		in.Description, in.BackfillMode, in.AdditionalPlayerCount = new("4 on 4"), types.BackfillModeManual, new(int32(2))
		in.AcceptanceRequired, in.AcceptanceTimeoutSeconds = new(true), new(int32(12))
		in.GameProperties, in.GameSessionData, in.Tags = []types.GameProperty{{Key: new("mode"), Value: new("on")}}, new("data"), tags
	})
}

// described is everything that is described of a server's configuration, with names for ids
// and without times.
func described(t testing.TB, s *server) string {
	t.Helper()
	api, ctx := sdk(s), t.Context()
	var all []any
	var swap []string
	fleets := gather(t, api, paginate.DescribeFleetAttributes, &gamelift.DescribeFleetAttributesInput{})
	for _, f := range fleets {
		swap = append(swap, *f.FleetId, "fleet-"+*f.Name)
		places := gather(t, api, paginate.DescribeFleetLocationAttributes, &gamelift.DescribeFleetLocationAttributesInput{FleetId: f.FleetId})
		all = append(all, f, places)
		if f.ComputeType == types.ComputeTypeEc2 {
			ports, err := api.DescribeFleetPortSettings(ctx, &gamelift.DescribeFleetPortSettingsInput{FleetId: f.FleetId})
			check(t, err)
			runtime, err := api.DescribeRuntimeConfiguration(ctx, &gamelift.DescribeRuntimeConfigurationInput{FleetId: f.FleetId})
			check(t, err)
			all = append(all, ports.InboundPermissions, runtime.RuntimeConfiguration, gather(t, api, paginate.DescribeScalingPolicies, &gamelift.DescribeScalingPoliciesInput{FleetId: f.FleetId}))
			for _, p := range append(places, types.LocationAttributes{LocationState: &types.LocationState{Location: new("us-west-2")}}) {
				capacity, err := api.DescribeFleetLocationCapacity(ctx, &gamelift.DescribeFleetLocationCapacityInput{FleetId: f.FleetId, Location: p.LocationState.Location})
				check(t, err)
				if n := capacity.FleetCapacity.InstanceCounts; n != nil { // the others are what hosts do
					capacity.FleetCapacity.InstanceCounts = &types.EC2InstanceCounts{DESIRED: n.DESIRED, MINIMUM: n.MINIMUM, MAXIMUM: n.MAXIMUM}
					if len(p.StoppedActions) == 0 {
						capacity.FleetCapacity.InstanceCounts.DESIRED = nil // the scaling policy's business
					}
				}
				all = append(all, capacity.FleetCapacity)
			}
		}
	}
	for _, b := range gather(t, api, paginate.ListBuilds, &gamelift.ListBuildsInput{}) {
		swap = append(swap, *b.BuildId, "build-"+*b.Name)
	}
	aliases := gather(t, api, paginate.ListAliases, &gamelift.ListAliasesInput{})
	for _, a := range aliases {
		swap = append(swap, *a.AliasId, "alias-"+*a.Name)
	}
	locations := gather(t, api, paginate.ListLocations, &gamelift.ListLocationsInput{Filters: []types.LocationFilter{types.LocationFilterCustom}})
	queues := gather(t, api, paginate.DescribeGameSessionQueues, &gamelift.DescribeGameSessionQueuesInput{})
	ruleSets := gather(t, api, paginate.DescribeMatchmakingRuleSets, &gamelift.DescribeMatchmakingRuleSetsInput{})
	matchmakers := gather(t, api, paginate.DescribeMatchmakingConfigurations, &gamelift.DescribeMatchmakingConfigurationsInput{})
	all = append(all, aliases, locations, queues, ruleSets, matchmakers)
	var arns []*string
	for _, f := range fleets {
		arns = append(arns, f.FleetArn)
	}
	for _, x := range aliases {
		arns = append(arns, x.AliasArn)
	}
	for _, x := range locations {
		arns = append(arns, x.LocationArn)
	}
	for _, x := range queues {
		arns = append(arns, x.GameSessionQueueArn)
	}
	for _, x := range ruleSets {
		arns = append(arns, x.RuleSetArn)
	}
	for _, x := range matchmakers {
		arns = append(arns, x.ConfigurationArn)
	}
	for _, arn := range arns {
		out, err := api.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: arn})
		check(t, err)
		all = append(all, out.Tags)
	}
	text, err := json.MarshalIndent(all, "", " ")
	check(t, err)
	return regexp.MustCompile(`"20\d\d-\d\d-\d\dT[^"]+Z"`).ReplaceAllString(strings.NewReplacer(swap...).Replace(string(text)), `"TIME"`)
}

func gather[In, Out, Item any](t testing.TB, api *gamelift.Client, op paginate.Op[In, Out, Item], in *In) (list []Item) {
	t.Helper()
	pages, err := paginate.New(op, api, in, paginate.Options{})
	check(t, err)
	for item, err := range pages.Items(t.Context()) {
		check(t, err)
		list = append(list, item)
	}
	return list
}

// TestImport carries a server's configuration to another, twice, and then its changes.
func TestImport(t *testing.T) {
	t.Parallel()
	from, to := dev(t, "postgres", "--agent", "off"), dev(t, "postgres", "--agent", "off")
	estate(t, from)
	dir := t.TempDir()
	export := func(s *server, name string, args ...string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if code, _, errs := tool(t, s, append([]string{"export", file}, args...)...); code != 0 || !strings.Contains(errs, "not carried: build game") {
			t.Fatalf("export: %d %s", code, errs)
		}
		return file
	}
	read := func(file string) string {
		text, err := os.ReadFile(file)
		check(t, err)
		return string(text)
	}
	file := export(from, "a.yaml")

	// Without its build the fleet cannot be there, and nothing is.
	empty := described(t, to)
	code, out, errs := tool(t, to, "import", file)
	if code != 1 || !strings.Contains(out, "refuse  fleet cloud") || !strings.Contains(out, "upload it there") || described(t, to) != empty {
		t.Errorf("import without the build: %d %s %s", code, out, errs)
	}
	upload(t, to, "game")
	code, out, errs = tool(t, to, "import", "--dry-run", file)
	if code != 0 || !strings.Contains(out, "create  queue ladder") || described(t, to) != empty {
		t.Errorf("--dry-run: %d %s %s", code, out, errs)
	}
	code, out, errs = tool(t, to, "import", file)
	if code != 1 || strings.Contains(out, "keep") || !strings.Contains(out, "create  matchmaking four") || !strings.Contains(errs, "fleet cloud, when it is ACTIVE: the fleet is ") {
		t.Fatalf("import: %d %s %s", code, out, errs)
	}
	for _, f := range gather(t, sdk(to), paginate.DescribeFleetAttributes, &gamelift.DescribeFleetAttributesInput{}) {
		if *f.Name == "cloud" {
			hosts(t, to, *f.FleetId)
		}
	}
	code, out, errs = tool(t, to, "import", "--wait", "10s", file)
	if code != 0 || strings.Contains(out, "create") || strings.Count(out, "update") != 1 {
		t.Fatalf("import once the fleet is ACTIVE: %d %s %s", code, out, errs)
	}
	same := func(when string) {
		t.Helper()
		if want, got := described(t, from), described(t, to); got != want {
			t.Errorf("%s the describes differ:\n%s", when, differing(want, got))
		}
		strip := regexp.MustCompile(`build-[0-9a-f-]+`)
		if want, got := strip.ReplaceAllString(read(export(from, "a.yaml")), ""), strip.ReplaceAllString(read(export(to, "b.yaml")), ""); got != want {
			t.Errorf("%s the exports differ:\n%s", when, differing(want, got))
		}
		code, out, errs := tool(t, to, "import", export(from, "a.json", "-o", "json"))
		if code != 0 || !strings.HasSuffix(out, "nothing to change\n") || strings.Contains(out, "create") || strings.Contains(out, "update") {
			t.Errorf("%s, imported again: %d %s %s", when, code, out, errs)
		}
	}
	same("after the import")

	// Changes are carried as well, and so are things taken away from a setting.
	api, ctx := sdk(from), t.Context()
	ids := map[string]*string{}
	for _, f := range gather(t, api, paginate.DescribeFleetAttributes, &gamelift.DescribeFleetAttributesInput{}) {
		ids[*f.Name] = f.FleetId
	}
	_, err := api.UpdateFleetAttributes(ctx, &gamelift.UpdateFleetAttributesInput{FleetId: ids["cloud"], Description: new("new"), NewGameSessionProtectionPolicy: types.ProtectionPolicyNoProtection})
	check(t, err)
	_, err = api.UpdateFleetPortSettings(ctx, &gamelift.UpdateFleetPortSettingsInput{
		FleetId:                         ids["cloud"],
		InboundPermissionRevocations:    []types.IpPermission{{FromPort: new(int32(7000)), ToPort: new(int32(7100)), IpRange: new("10.0.0.0/8"), Protocol: types.IpProtocolUdp}},
		InboundPermissionAuthorizations: []types.IpPermission{{FromPort: new(int32(8000)), ToPort: new(int32(8000)), IpRange: new("0.0.0.0/0"), Protocol: types.IpProtocolTcp}},
	})
	check(t, err)
	_, err = api.UpdateRuntimeConfiguration(ctx, &gamelift.UpdateRuntimeConfigurationInput{FleetId: ids["cloud"], RuntimeConfiguration: &types.RuntimeConfiguration{
		ServerProcesses: []types.ServerProcess{{LaunchPath: new("/local/game/server"), ConcurrentExecutions: new(int32(1))}},
	}})
	check(t, err)
	_, err = api.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: ids["cloud"], MaxSize: new(int32(9))})
	check(t, err)
	_, err = api.StartFleetActions(ctx, &gamelift.StartFleetActionsInput{FleetId: ids["cloud"], Location: new("eu-central-1"), Actions: []types.FleetAction{types.FleetActionAutoScaling}})
	check(t, err)
	_, err = api.CreateFleetLocations(ctx, &gamelift.CreateFleetLocationsInput{FleetId: ids["null"], Locations: []types.LocationConfiguration{{Location: new("custom-home")}}})
	check(t, err)
	_, err = api.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{Name: new("ladder"), TimeoutInSeconds: new(int32(78)), PlayerLatencyPolicies: []types.PlayerLatencyPolicy{}, CustomEventData: new("")})
	check(t, err)
	_, err = api.UpdateMatchmakingConfiguration(ctx, &gamelift.UpdateMatchmakingConfigurationInput{Name: new("four"), RuleSetName: new("duel"), AdditionalPlayerCount: new(int32(0)), AcceptanceRequired: new(false)})
	check(t, err)
	for _, a := range gather(t, api, paginate.ListAliases, &gamelift.ListAliasesInput{}) {
		_, err = api.UpdateAlias(ctx, &gamelift.UpdateAliasInput{AliasId: a.AliasId, RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: ids["null"]}})
		check(t, err)
		_, err = api.TagResource(ctx, &gamelift.TagResourceInput{ResourceARN: a.AliasArn, Tags: []types.Tag{{Key: new("owner"), Value: new("me")}}})
		check(t, err)
	}
	code, out, errs = tool(t, to, "import", export(from, "a.yaml"))
	if code != 0 || strings.Contains(out, "create") || strings.Count(out, "update") != 7 {
		t.Errorf("import of the changes: %d %s %s", code, out, errs)
	}
	same("after the changes")

	// What cannot be is refused, and nothing of it done.
	text := read(file)
	for what, change := range map[string][2]string{
		"fixed when a fleet is created": {`InstanceType: "c5.large"`, `InstanceType: "c5.xlarge"`},
		"rule sets never change":        {"50}]}", "60}]}"},
		"neither in the document":       {`Fleet: "null"`, "Fleet: nobody"},
	} {
		bad := strings.ReplaceAll(text, change[0], change[1])
		if bad == text {
			t.Errorf("there is no %s in\n%.3000s", change[0], text)
			continue
		}
		name := filepath.Join(dir, "bad.yaml")
		check(t, os.WriteFile(name, []byte(bad), 0o600))
		if code, out, errs := tool(t, to, "import", name); code != 1 || !strings.Contains(out, what) || !strings.Contains(errs, "nothing is done") {
			t.Errorf("%s: %d %s %s", what, code, out, errs)
		}
	}
	_, err = api.UpdateFleetAttributes(ctx, &gamelift.UpdateFleetAttributesInput{FleetId: ids["null"], Name: new("arena")})
	check(t, err)
	if code, _, errs := tool(t, from, "export"); code != 1 || !strings.Contains(errs, "more than one fleet arena") {
		t.Errorf("two fleets of one name: %d %s", code, errs)
	}
}

// differing are the lines of two texts that are not the same.
func differing(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	var s strings.Builder
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			_, _ = fmt.Fprintf(&s, "%d: want %s\n%d:  got %s\n", i+1, x, i+1, y)
			if s.Len() > 3000 {
				break
			}
		}
	}
	return s.String()
}
