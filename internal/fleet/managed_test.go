package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

func TestAManagedFleetBeginsAsNew(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		b := r.ready()
		for _, name := range []string{b, home.Build(arn.BuildID(b))} {
			out, err := r.CreateFleet(ctx, ec2(name))
			if err != nil {
				t.Fatal(err)
			}
			id := out.FleetAttributes.FleetId
			want := &types.FleetAttributes{
				FleetId: id, FleetArn: new("arn:aws:gamelift:us-west-2:123456789012:fleet/" + *id), Name: new("arena"),
				Status: types.FleetStatusNew, ComputeType: types.ComputeTypeEc2, CreationTime: new(r.clock.Now()),
				CertificateConfiguration: certificate(types.CertificateTypeDisabled), MetricGroups: []string{"default"},
				BuildId: &b, BuildArn: new(home.Build(arn.BuildID(b))), FleetType: types.FleetTypeOnDemand,
				InstanceType: types.EC2InstanceTypeC5Large, OperatingSystem: types.OperatingSystemAmazonLinux2023,
				NewGameSessionProtectionPolicy: types.ProtectionPolicyNoProtection,
			}
			if expect.JSON(out.FleetAttributes) != expect.JSON(want) {
				t.Errorf("attributes %s\nwant %s", expect.JSON(out.FleetAttributes), expect.JSON(want))
			}
			if want := []types.LocationState{{Location: new("us-west-2"), Status: types.FleetStatusNew}}; expect.JSON(out.LocationStates) != expect.JSON(want) {
				t.Errorf("locations %s, want %s", expect.JSON(out.LocationStates), expect.JSON(want))
			}
			c, err := r.DescribeFleetCapacity(ctx, &gamelift.DescribeFleetCapacityInput{FleetIds: []string{*id}})
			if err != nil || expect.JSON(c.FleetCapacity[0].InstanceCounts) != expect.JSON(counts(1, 0, 1)) || *c.FleetCapacity[0].Location != "us-west-2" ||
				c.FleetCapacity[0].InstanceType != types.EC2InstanceTypeC5Large || c.FleetCapacity[0].ManagedCapacityConfiguration != nil {
				t.Errorf("capacity %s, %v", expect.JSON(c), err)
			}
			r.write(func(tx *store.Tx) error {
				f, err := r.GetTx(tx, arn.FleetID(*id))
				if string(f.Build) != b || f.BuildKey == 0 || f.OS != types.OperatingSystemAmazonLinux2023 || f.ServerSDK != "5.2.0" || f.InstanceType != "c5.large" {
					t.Errorf("other rooms see %+v", f)
				}
				return err
			})
		}
	})
}

func TestAFleetOfAScript(t *testing.T) {
	each(t, func(r *rooms) {
		script := r.script()
		in := ec2("")
		in.BuildId, in.ScriptId = nil, &script
		out, err := r.CreateFleet(r.t.Context(), in)
		if err != nil {
			r.t.Fatal(err)
		}
		a := out.FleetAttributes
		if a.BuildId != nil || a.BuildArn != nil || *a.ScriptId != script || *a.ScriptArn != home.Script(arn.ScriptID(script)) || a.OperatingSystem != types.OperatingSystemAmazonLinux2023 {
			r.t.Errorf("attributes %s", expect.JSON(a))
		}
	})
}

// counts are the settings of a location that has no instances.
func counts(desired, least, most int32) *types.EC2InstanceCounts {
	zero := new(int32(0))
	return &types.EC2InstanceCounts{DESIRED: &desired, MINIMUM: &least, MAXIMUM: &most, ACTIVE: zero, IDLE: zero, PENDING: zero, TERMINATING: zero}
}

func TestManagedFleetRefusals(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		b := r.ready()
		port := func(from, to int32, ip string) []types.IpPermission {
			return []types.IpPermission{{FromPort: &from, ToPort: &to, IpRange: &ip, Protocol: types.IpProtocolUdp}}
		}
		build := func(status types.BuildStatus, os types.OperatingSystem, sdk string) *string {
			return new(r.madeBuild(status, os, sdk))
		}
		const ready, linux, win = types.BuildStatusReady, types.OperatingSystemAmazonLinux2023, types.OperatingSystemWindows2022
		onWindows := func(in *gamelift.CreateFleetInput) {
			in.BuildId = build(ready, win, "5.0.0")
			in.RuntimeConfiguration.ServerProcesses[0].LaunchPath = new(`c:\Game\server.exe`)
		}
		for name, c := range map[string]struct {
			change func(in *gamelift.CreateFleetInput)
			code   string
			words  string
		}{
			"no build":           {func(in *gamelift.CreateFleetInput) { in.BuildId = nil }, invalid, "BuildId, ScriptId"},
			"both":               {func(in *gamelift.CreateFleetInput) { in.ScriptId = new("script-1") }, invalid, "BuildId"},
			"cost":               {func(in *gamelift.CreateFleetInput) { in.AnywhereConfiguration = &types.AnywhereConfiguration{} }, invalid, "AnywhereConfiguration"},
			"no type":            {func(in *gamelift.CreateFleetInput) { in.EC2InstanceType = "" }, invalid, "EC2InstanceType"},
			"unknown build":      {func(in *gamelift.CreateFleetInput) { in.BuildId = new("build-01234567-89ab-7def-8123-456789abcdef") }, missing, "BuildId"},
			"unknown script":     {func(in *gamelift.CreateFleetInput) { in.BuildId, in.ScriptId = nil, new("script-1") }, missing, "ScriptId"},
			"build without file": {func(in *gamelift.CreateFleetInput) { in.BuildId = build(types.BuildStatusInitialized, linux, "5.0.0") }, notReady, "INITIALIZED"},
			"failed build":       {func(in *gamelift.CreateFleetInput) { in.BuildId = build(types.BuildStatusFailed, linux, "5.0.0") }, invalid, "FAILED"},
			"ARM, Windows":       {func(in *gamelift.CreateFleetInput) { onWindows(in); in.EC2InstanceType = "c6gn.large" }, invalid, "ARM"},
			"ARM, old Linux": {func(in *gamelift.CreateFleetInput) {
				in.BuildId = build(ready, types.OperatingSystemAmazonLinux, "4.0.2")
				in.EC2InstanceType = "m7gd.large"
			}, invalid, "ARM"},
			"no runtime":    {func(in *gamelift.CreateFleetInput) { in.RuntimeConfiguration = nil }, invalid, "RuntimeConfiguration"},
			"no process":    {func(in *gamelift.CreateFleetInput) { in.RuntimeConfiguration = processes() }, invalid, "ServerProcesses"},
			"both runtimes": {func(in *gamelift.CreateFleetInput) { in.ServerLaunchPath = new("/local/game/x") }, invalid, "ServerLaunchPath"},
			"51 processes":  {func(in *gamelift.CreateFleetInput) { in.RuntimeConfiguration = processes(50, 1) }, overQuota, "51"},
			"launch path": {func(in *gamelift.CreateFleetInput) {
				in.RuntimeConfiguration.ServerProcesses[0].LaunchPath = new("/usr/bin/game")
			}, invalid, "/local/game/"},
			"folder": {func(in *gamelift.CreateFleetInput) {
				in.RuntimeConfiguration.ServerProcesses[0].LaunchPath = new("/local/game/")
			}, invalid, "/local/game/"},
			"legacy path":     {func(in *gamelift.CreateFleetInput) { in.RuntimeConfiguration, in.ServerLaunchPath = nil, new("game") }, invalid, "/local/game/"},
			"Linux path":      {func(in *gamelift.CreateFleetInput) { in.BuildId = build(ready, win, "5.0.0") }, invalid, `C:\game\`},
			"low port":        {func(in *gamelift.CreateFleetInput) { in.EC2InboundPermissions = port(1025, 1030, "0.0.0.0/0") }, invalid, "1025"},
			"high port":       {func(in *gamelift.CreateFleetInput) { in.EC2InboundPermissions = port(1026, 60001, "0.0.0.0/0") }, invalid, "60001"},
			"ports backwards": {func(in *gamelift.CreateFleetInput) { in.EC2InboundPermissions = port(3001, 3000, "0.0.0.0/0") }, invalid, "below"},
			"SSH on Windows": {func(in *gamelift.CreateFleetInput) {
				onWindows(in)
				in.EC2InboundPermissions = port(22, 22, "0.0.0.0/0")
			}, invalid, "22"},
			"IP range": {func(in *gamelift.CreateFleetInput) { in.EC2InboundPermissions = port(3000, 3000, "10.0.0.1") }, invalid, "CIDR"},
			"port twice": {func(in *gamelift.CreateFleetInput) {
				in.EC2InboundPermissions = append(port(3000, 3000, "10.0.0.0/8"), port(3000, 3000, "10.0.0.0/8")...)
			}, invalid, "twice"},
			"role":          {func(in *gamelift.CreateFleetInput) { in.InstanceRoleArn = new("role") }, invalid, "InstanceRoleArn"},
			"role provider": {func(in *gamelift.CreateFleetInput) { in.InstanceRoleCredentialsProvider = "SHARED_CREDENTIAL_FILE" }, invalid, "InstanceRoleArn"},
			"role provider, old SDK": {func(in *gamelift.CreateFleetInput) {
				in.BuildId = build(ready, linux, "4.0.2")
				in.InstanceRoleArn, in.InstanceRoleCredentialsProvider = new("arn:aws:iam::123456789012:role/game"), "SHARED_CREDENTIAL_FILE"
			}, invalid, "SDK 5"},
			"peer account only": {func(in *gamelift.CreateFleetInput) { in.PeerVpcAwsAccountId = new("1") }, invalid, "PeerVpcId"},
			"peer VPC only":     {func(in *gamelift.CreateFleetInput) { in.PeerVpcId = new("vpc-1") }, invalid, "PeerVpcAwsAccountId"},
			"gateway needed":    {func(in *gamelift.CreateFleetInput) { in.PlayerGatewayMode = types.PlayerGatewayModeRequired }, invalid, "REQUIRED"},
			"gateway, Windows": {func(in *gamelift.CreateFleetInput) {
				onWindows(in)
				in.PlayerGatewayMode = types.PlayerGatewayModeEnabled
			}, invalid, "Linux"},
			"gateway settings": {func(in *gamelift.CreateFleetInput) {
				in.PlayerGatewayConfiguration = &types.PlayerGatewayConfiguration{}
			}, invalid, "PlayerGatewayMode"},
			"without home":     {func(in *gamelift.CreateFleetInput) { in.Locations = anywhere("eu-west-1").Locations }, invalid, "us-west-2"},
			"no such location": {func(in *gamelift.CreateFleetInput) { in.Locations = anywhere("us-west-2", "mars").Locations }, invalid, "mars"},
			"unknown custom":   {func(in *gamelift.CreateFleetInput) { in.Locations = anywhere("us-west-2", "custom-x").Locations }, missing, "custom-x"},
			"location twice":   {func(in *gamelift.CreateFleetInput) { in.Locations = anywhere("us-west-2", "us-west-2").Locations }, invalid, "twice"},
			"policy":           {func(in *gamelift.CreateFleetInput) { in.ResourceCreationLimitPolicy = limitPolicy(11, 1) }, overQuota, "11"},
			"51 tags":          {func(in *gamelift.CreateFleetInput) { in.Tags = manyTags(51) }, tagging, "51"},
		} {
			in := ec2(b)
			c.change(in)
			_, err := r.CreateFleet(t.Context(), in)
			expect.Refused(t, name, err, c.code, c.words)
		}
		list, err := r.ListFleets(t.Context(), &gamelift.ListFleetsInput{})
		if err != nil || len(list.FleetIds) != 0 {
			t.Errorf("after the refusals there are fleets %v, %v", list.FleetIds, err)
		}
	})
}

// TestInstanceTypesWithARM: the g of the processor, not that of the family.
func TestInstanceTypesWithARM(t *testing.T) {
	each(t, func(r *rooms) {
		b := r.madeBuild(types.BuildStatusReady, types.OperatingSystemWindows2022, "5.0.0")
		r.Quotas.ManagedFleets = 100
		for kind, arm := range map[types.EC2InstanceType]bool{
			"c5.large": false, "c6g.medium": true, "c7gn.large": true, "m6gd.large": true, "g4dn.xlarge": false, "g5.xlarge": false, "g5g.xlarge": true,
			"r8g.large": true, "t3a.medium": false, "c9g.large": true, "c8i.large": false,
		} {
			in := ec2(b)
			in.EC2InstanceType = kind
			in.RuntimeConfiguration.ServerProcesses[0].LaunchPath = new(`C:\game\bin\server.exe`)
			if _, err := r.CreateFleet(r.t.Context(), in); (err != nil) != arm {
				r.t.Errorf("%s on Windows: %v, ARM: %v", kind, err, arm)
			}
		}
	})
}

func TestManagedFleetQuota(t *testing.T) {
	each(t, func(r *rooms) {
		b := r.ready()
		r.Quotas.ManagedFleets = 1
		first, err := r.CreateFleet(r.t.Context(), ec2(b))
		if err != nil {
			r.t.Fatal(err)
		}
		_, err = r.CreateFleet(r.t.Context(), ec2(b))
		expect.Refused(r.t, "second", err, overQuota, "EC2 fleets")
		id := *first.FleetAttributes.FleetId
		r.advance(arn.FleetID(id), "us-west-2", types.FleetStatusActive)
		if _, err := r.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: &id}); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.CreateFleet(r.t.Context(), ec2(b)); err != nil {
			r.t.Errorf("after a deletion: %v", err)
		}
	})
}

// TestAFleetKeepsItsBuild: it holds the build's file until it is gone.
func TestAFleetKeepsItsBuild(t *testing.T) {
	each(t, func(r *rooms) {
		held := func() (n int) {
			r.write(func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM build_hold`).Scan(&n) })
			return n
		}
		id := r.active()
		if got := held(); got != 1 {
			r.t.Errorf("%d builds held, want 1", got)
		}
		if _, err := r.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: new(string(id))}); err != nil {
			r.t.Fatal(err)
		}
		if got := held(); got != 1 {
			r.t.Errorf("%d builds held while DELETING, want 1", got)
		}
		r.goneFrom(id, "us-west-2")
		if got := held(); got != 0 {
			r.t.Errorf("%d builds held after the fleet, want 0", got)
		}
	})
}

func TestListFleetsOfABuild(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		a, b, script := r.ready(), r.ready(), r.script()
		made := map[string][]string{}
		for _, build := range []string{a, b, a} {
			out, err := r.CreateFleet(ctx, ec2(build))
			if err != nil {
				t.Fatal(err)
			}
			made[build] = append(made[build], *out.FleetAttributes.FleetId)
		}
		in := ec2("")
		in.BuildId, in.ScriptId = nil, &script
		out, err := r.CreateFleet(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		r.fleet("custom-a")
		list := func(in gamelift.ListFleetsInput) []string {
			t.Helper()
			in.Limit = new(int32(1))
			return walk(t, 1, func(token *string) ([]string, *string, error) {
				in.NextToken = token
				out, err := r.ListFleets(ctx, &in)
				if err != nil {
					return nil, nil, err
				}
				return out.FleetIds, out.NextToken, nil
			})
		}
		for name, c := range map[string]struct{ got, want []string }{
			"id":      {list(gamelift.ListFleetsInput{BuildId: &a}), made[a]},
			"ARN":     {list(gamelift.ListFleetsInput{BuildId: new(home.Build(arn.BuildID(b)))}), made[b]},
			"script":  {list(gamelift.ListFleetsInput{ScriptId: &script}), []string{*out.FleetAttributes.FleetId}},
			"unknown": {list(gamelift.ListFleetsInput{BuildId: new("build-1")}), []string{}},
		} {
			if strings.Join(c.got, " ") != strings.Join(c.want, " ") {
				t.Errorf("by %s: %v, want %v", name, c.got, c.want)
			}
		}
		if all := list(gamelift.ListFleetsInput{}); len(all) != 5 {
			t.Errorf("all: %v", all)
		}
		_, err = r.ListFleets(ctx, &gamelift.ListFleetsInput{BuildId: new("arn:aws:gamelift:x")})
		expect.Refused(t, "malformed", err, invalid, "BuildId")
	})
}

// TestPeeringAtCreation: it is done while ACTIVATING, and both succeed or both fail.
func TestPeeringAtCreation(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.hosts()
		peered := func() arn.FleetID {
			in := ec2(r.ready())
			in.PeerVpcAwsAccountId, in.PeerVpcId = &home.Account, new("vpc-1")
			out, err := r.CreateFleet(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			id := arn.FleetID(*out.FleetAttributes.FleetId)
			r.advance(id, "us-west-2", types.FleetStatusActive)
			return id
		}
		id := peered()
		events := r.history(id)
		if got := r.status(id); got != types.FleetStatusError || events[len(events)-2] != types.EventCodeFleetVpcPeeringFailed {
			t.Errorf("without a permit: %s, %v", got, events)
		}
		if _, err := r.CreateVpcPeeringAuthorization(ctx, &gamelift.CreateVpcPeeringAuthorizationInput{GameLiftAwsAccountId: &home.Account, PeerVpcId: new("vpc-1")}); err != nil {
			t.Fatal(err)
		}
		id = peered()
		events = r.history(id)
		if got := r.status(id); got != types.FleetStatusActive || events[len(events)-2] != types.EventCodeFleetVpcPeeringSucceeded {
			t.Errorf("with a permit: %s, %v", got, events)
		}
		out, err := r.DescribeVpcPeeringConnections(ctx, &gamelift.DescribeVpcPeeringConnectionsInput{FleetId: new(string(id))})
		if err != nil || len(out.VpcPeeringConnections) != 1 {
			t.Errorf("peerings %s, %v", expect.JSON(out), err)
		}
	})
}

// TestNoDriftManaged is TestNoDrift for managed fleets, with all that can be read back.
func TestNoDriftManaged(t *testing.T) {
	each(t, func(r *rooms) {
		r.hosts()
		r.Quotas.ManagedFleets = 1 << 20
		b := r.ready()
		rapid.Check(r.t, func(t *rapid.T) {
			ctx := r.t.Context()
			in := ec2(b, rapid.SampledFrom([][]string{nil, {"us-west-2"}, {"eu-west-1", "us-west-2"}}).Draw(t, "locations")...)
			in.Name = new(text.Draw(t, "name"))
			in.Description = optional(t, "description", text)
			in.NewGameSessionProtectionPolicy = protection.Draw(t, "protection")
			in.ResourceCreationLimitPolicy = optional(t, "policy", policy)
			in.MetricGroups = groups.Draw(t, "groups")
			in.LogPaths = rapid.SliceOfN(text, 0, 3).Draw(t, "log paths")
			in.EC2InstanceType = rapid.SampledFrom(types.EC2InstanceType("").Values()).Draw(t, "type")
			in.FleetType = rapid.SampledFrom([]types.FleetType{"", types.FleetTypeOnDemand, types.FleetTypeSpot}).Draw(t, "fleet type")
			in.EC2InboundPermissions = permissions.Draw(t, "ports")
			in.PlayerGatewayMode = rapid.SampledFrom([]types.PlayerGatewayMode{"", types.PlayerGatewayModeDisabled, types.PlayerGatewayModeEnabled}).Draw(t, "gateway")
			if in.PlayerGatewayMode == types.PlayerGatewayModeEnabled && rapid.Bool().Draw(t, "gateway settings") {
				in.PlayerGatewayConfiguration = &types.PlayerGatewayConfiguration{GameServerIpProtocolSupported: types.GameServerIpProtocolSupportedDualStack}
			}
			if rapid.Bool().Draw(t, "certificate") {
				in.CertificateConfiguration = certificate(types.CertificateTypeGenerated)
			}
			if rapid.Bool().Draw(t, "role") {
				in.InstanceRoleArn = new("arn:aws:iam::123456789012:role/game")
				in.InstanceRoleCredentialsProvider = rapid.SampledFrom([]types.InstanceRoleCredentialsProvider{"", types.InstanceRoleCredentialsProviderSharedCredentialFile}).Draw(t, "provider")
			}
			if rapid.Bool().Draw(t, "legacy") {
				in.RuntimeConfiguration, in.ServerLaunchPath = nil, new("/local/game/server")
				in.ServerLaunchParameters = optional(t, "parameters", text)
			} else {
				in.RuntimeConfiguration = runtimes.Draw(t, "runtime")
			}
			created, err := r.CreateFleet(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			id := created.FleetAttributes.FleetId
			want := types.FleetAttributes{
				FleetId: id, FleetArn: new(home.Fleet(arn.FleetID(*id))), Name: in.Name, Description: in.Description, Status: types.FleetStatusNew,
				ComputeType: types.ComputeTypeEc2, CreationTime: new(r.clock.Now()), CertificateConfiguration: certificate(types.CertificateTypeDisabled),
				MetricGroups: in.MetricGroups, LogPaths: in.LogPaths, ServerLaunchPath: in.ServerLaunchPath, ServerLaunchParameters: in.ServerLaunchParameters,
				NewGameSessionProtectionPolicy: types.ProtectionPolicyNoProtection, ResourceCreationLimitPolicy: in.ResourceCreationLimitPolicy,
				BuildId: &b, BuildArn: new(home.Build(arn.BuildID(b))), OperatingSystem: types.OperatingSystemAmazonLinux2023,
				InstanceType: in.EC2InstanceType, FleetType: types.FleetTypeOnDemand, InstanceRoleArn: in.InstanceRoleArn,
				InstanceRoleCredentialsProvider: in.InstanceRoleCredentialsProvider, PlayerGatewayMode: in.PlayerGatewayMode, PlayerGatewayConfiguration: in.PlayerGatewayConfiguration,
			}
			if in.CertificateConfiguration != nil {
				want.CertificateConfiguration = in.CertificateConfiguration
			}
			if in.FleetType != "" {
				want.FleetType = in.FleetType
			}
			if in.NewGameSessionProtectionPolicy != "" {
				want.NewGameSessionProtectionPolicy = in.NewGameSessionProtectionPolicy
			}
			if len(in.MetricGroups) == 0 {
				want.MetricGroups = []string{"default"}
			}
			ports := in.EC2InboundPermissions
			runtime := in.RuntimeConfiguration
			if runtime == nil {
				runtime = &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{{LaunchPath: in.ServerLaunchPath, Parameters: in.ServerLaunchParameters, ConcurrentExecutions: new(int32(1))}}}
			}
			reads := func(when string) {
				t.Helper()
				out, err := r.DescribeFleetAttributes(ctx, &gamelift.DescribeFleetAttributesInput{FleetIds: []string{*id}})
				if err != nil || len(out.FleetAttributes) != 1 || expect.JSON(out.FleetAttributes[0]) != expect.JSON(want) {
					t.Fatalf("%s: %s, %v\nwant %s", when, expect.JSON(out), err, expect.JSON(want))
				}
				open, err := r.DescribeFleetPortSettings(ctx, &gamelift.DescribeFleetPortSettingsInput{FleetId: id})
				if err != nil || expect.JSON(open.InboundPermissions) != expect.JSON(append([]types.IpPermission{}, ports...)) {
					t.Fatalf("%s: ports %s, %v, want %s", when, expect.JSON(open.InboundPermissions), err, expect.JSON(ports))
				}
				rc, err := r.DescribeRuntimeConfiguration(ctx, &gamelift.DescribeRuntimeConfigurationInput{FleetId: id})
				if err != nil || expect.JSON(rc.RuntimeConfiguration.ServerProcesses) != expect.JSON(runtime.ServerProcesses) ||
					runtime.GameSessionActivationTimeoutSeconds != nil && *rc.RuntimeConfiguration.GameSessionActivationTimeoutSeconds != *runtime.GameSessionActivationTimeoutSeconds ||
					runtime.MaxConcurrentGameSessionActivations != nil && *rc.RuntimeConfiguration.MaxConcurrentGameSessionActivations != *runtime.MaxConcurrentGameSessionActivations {
					t.Fatalf("%s: runtime configuration %s, %v, want %s", when, expect.JSON(rc.RuntimeConfiguration), err, expect.JSON(runtime))
				}
			}
			if expect.JSON(created.FleetAttributes) != expect.JSON(want) {
				t.Fatalf("create: %s\nwant %s", expect.JSON(created.FleetAttributes), expect.JSON(want))
			}
			reads("after create")

			for _, l := range created.LocationStates {
				r.advance(arn.FleetID(*id), *l.Location, types.FleetStatusActive)
			}
			want.Status = types.FleetStatusActive
			up := &gamelift.UpdateFleetAttributesInput{FleetId: id, Description: optional(t, "new description", text), NewGameSessionProtectionPolicy: protection.Draw(t, "new protection")}
			if up.Description != nil {
				want.Description = up.Description
			}
			if up.NewGameSessionProtectionPolicy != "" {
				want.NewGameSessionProtectionPolicy = up.NewGameSessionProtectionPolicy
			}
			if _, err := r.UpdateFleetAttributes(ctx, up); err != nil {
				t.Fatal(err)
			}
			reads("after UpdateFleetAttributes")

			added := permissions.Draw(t, "new ports")
			if _, err := r.UpdateFleetPortSettings(ctx, &gamelift.UpdateFleetPortSettingsInput{FleetId: id, InboundPermissionRevocations: ports, InboundPermissionAuthorizations: added}); err != nil {
				t.Fatal(err)
			}
			ports = added
			reads("after UpdateFleetPortSettings")

			runtime = runtimes.Draw(t, "new runtime")
			if _, err := r.UpdateRuntimeConfiguration(ctx, &gamelift.UpdateRuntimeConfigurationInput{FleetId: id, RuntimeConfiguration: runtime}); err != nil {
				t.Fatal(err)
			}
			reads("after UpdateRuntimeConfiguration")

			at := rapid.SampledFrom(created.LocationStates).Draw(t, "location").Location
			most := rapid.Int32Range(0, 100).Draw(t, "max")
			desired := rapid.Int32Range(0, most).Draw(t, "desired")
			least := rapid.Int32Range(0, desired).Draw(t, "min")
			if _, err := r.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: id, Location: at, MaxSize: &most, MinSize: &least, DesiredInstances: &desired}); err != nil {
				t.Fatal(err)
			}
			c, err := r.DescribeFleetLocationCapacity(ctx, &gamelift.DescribeFleetLocationCapacityInput{FleetId: id, Location: at})
			if err != nil || expect.JSON(c.FleetCapacity.InstanceCounts) != expect.JSON(counts(desired, least, most)) {
				t.Fatalf("capacity %s, %v, want %s", expect.JSON(c), err, expect.JSON(counts(desired, least, most)))
			}
			reads("after UpdateFleetCapacity")
		})
	})
}

var (
	permissions = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) types.IpPermission {
		from := rapid.Int32Range(1026, 60000).Draw(t, "from")
		return types.IpPermission{
			FromPort: &from, ToPort: new(rapid.Int32Range(from, 60000).Draw(t, "to")), IpRange: new(rapid.SampledFrom([]string{"0.0.0.0/0", "10.1.2.0/24", "::/0"}).Draw(t, "range")),
			Protocol: rapid.SampledFrom(types.IpProtocol("").Values()).Draw(t, "protocol"),
		}
	}), 0, 5, func(p types.IpPermission) string { return expect.JSON(p) })
	runtimes = rapid.Custom(func(t *rapid.T) *types.RuntimeConfiguration {
		r := processes(rapid.SliceOfN(rapid.Int32Range(1, 10), 1, 5).Draw(t, "processes")...)
		for i := range r.ServerProcesses {
			r.ServerProcesses[i].Parameters = optional(t, "parameters", text)
		}
		r.MaxConcurrentGameSessionActivations = optional(t, "activations", rapid.Int32Range(1, 1<<31-1))
		r.GameSessionActivationTimeoutSeconds = optional(t, "timeout", rapid.Int32Range(1, 600))
		return r
	})
)

func TestPortSettings(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		id := r.managed()
		port := func(n int32) types.IpPermission {
			return types.IpPermission{FromPort: &n, ToPort: &n, IpRange: new("0.0.0.0/0"), Protocol: types.IpProtocolTcp}
		}
		update := func(shut, open []types.IpPermission) error {
			_, err := r.UpdateFleetPortSettings(ctx, &gamelift.UpdateFleetPortSettingsInput{FleetId: new(string(id)), InboundPermissionRevocations: shut, InboundPermissionAuthorizations: open})
			return err
		}
		expect.Refused(t, "while NEW", update(nil, []types.IpPermission{port(3000)}), badStatus, "NEW")
		r.advance(id, "us-west-2", types.FleetStatusActive)
		if err := update(nil, []types.IpPermission{port(3000), port(22), port(3001)}); err != nil {
			t.Fatal(err)
		}
		expect.Refused(t, "duplicate", update(nil, []types.IpPermission{port(3000)}), conflict, "3000")
		expect.Refused(t, "duplicate in one call", update(nil, []types.IpPermission{port(4000), port(4000)}), conflict, "4000")
		expect.Refused(t, "closed already", update([]types.IpPermission{port(3002)}, nil), invalid, "3002")
		half := port(3000)
		half.Protocol = types.IpProtocolUdp
		expect.Refused(t, "not exactly", update([]types.IpPermission{half}, nil), invalid, "UDP")
		expect.Refused(t, "low", update(nil, []types.IpPermission{port(80)}), invalid, "80")
		var many []types.IpPermission
		for n := range int32(48) {
			many = append(many, port(5000+n))
		}
		expect.Refused(t, "51 ports", update(nil, many), overQuota, "51")
		if err := update([]types.IpPermission{port(3000)}, many); err != nil {
			t.Errorf("50 ports: %v", err)
		}
		for _, at := range []*string{nil, new("us-west-2")} {
			out, err := r.DescribeFleetPortSettings(ctx, &gamelift.DescribeFleetPortSettingsInput{FleetId: new(string(id)), Location: at})
			if err != nil || len(out.InboundPermissions) != 50 || *out.InboundPermissions[0].FromPort != 22 || out.UpdateStatus != "" || (at == nil) != (out.Location == nil) {
				t.Errorf("ports %s, %v", expect.JSON(out), err)
			}
		}
	})
}

func TestRuntimeConfigurationOfManagedFleets(t *testing.T) {
	each(t, func(r *rooms) {
		id := new(string(r.managed()))
		update := func(c *types.RuntimeConfiguration) error {
			_, err := r.UpdateRuntimeConfiguration(r.t.Context(), &gamelift.UpdateRuntimeConfigurationInput{FleetId: id, RuntimeConfiguration: c})
			return err
		}
		told := make(chan string, 8)
		defer r.DB.Subscribe("capacity", func(id string) { told <- id })()
		if err := update(processes(2)); err != nil { // also while the fleet is being made
			r.t.Error(err)
		}
		select {
		case got := <-told:
			if got != *id {
				r.t.Errorf("hosts are told of %s", got)
			}
		case <-time.After(10 * time.Second):
			r.t.Error("hosts are not told")
		}
		expect.Refused(r.t, "empty", update(processes()), invalid, "ServerProcesses")
		outside := processes(1)
		outside.ServerProcesses[0].LaunchPath = new("/bin/sh")
		expect.Refused(r.t, "launch path", update(outside), invalid, "/bin/sh")
	})
}
