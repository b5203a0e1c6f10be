package fleet_test

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

func TestAnAnywhereFleetIsActiveAtOnce(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a", "custom-b")

		out, err := r.CreateFleet(t.Context(), anywhere("custom-b", "custom-a"))
		if err != nil {
			t.Fatal(err)
		}

		a := out.FleetAttributes
		want := &types.FleetAttributes{
			FleetId:                  a.FleetId,
			FleetArn:                 new("arn:aws:gamelift:us-west-2:123456789012:fleet/" + *a.FleetId),
			Name:                     new("arena"),
			Status:                   types.FleetStatusActive,
			ComputeType:              types.ComputeTypeAnywhere,
			CreationTime:             new(r.clock.Now()),
			CertificateConfiguration: &types.CertificateConfiguration{CertificateType: types.CertificateTypeDisabled},
			MetricGroups:             []string{"default"},
		}
		if !strings.HasPrefix(*a.FleetId, "fleet-") || !reflect.DeepEqual(a, want) {
			t.Errorf("attributes %s, want %s", expect.JSON(a), expect.JSON(want))
		}
		states := []types.LocationState{
			{Location: new("custom-b"), Status: types.FleetStatusActive},
			{Location: new("custom-a"), Status: types.FleetStatusActive},
		}
		if !reflect.DeepEqual(out.LocationStates, states) {
			t.Errorf("locations %s, want %s", expect.JSON(out.LocationStates), expect.JSON(states))
		}
	})
}

func TestOtherRoomsReadFleets(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a", "custom-b")
		id := arn.FleetID(r.fleet("custom-a"))
		r.write(func(tx *store.Tx) error {
			for name, get := range map[string]func(*store.Tx, arn.FleetID) (fleet.Fleet, error){"GetTx": r.GetTx, "HoldTx": r.HoldTx} {
				f, err := get(tx, id)
				if err != nil || f.ID != id || f.Status != types.FleetStatusActive || f.ComputeType != types.ComputeTypeAnywhere {
					t.Errorf("%s = %+v, %v", name, f, err)
				}
				for _, other := range []arn.FleetID{"fleet-x", id[:len(id)-1] + "x", "container" + id, "fleet-01234567-89ab-7def-8123-456789abcdef"} {
					if _, err := get(tx, other); !errors.Is(err, store.ErrNoRows) {
						t.Errorf("%s(%s): %v, want ErrNoRows", name, other, err)
					}
				}
			}
			if status, err := r.LocationTx(tx, id, "custom-a"); err != nil || status != types.FleetStatusActive {
				t.Errorf("LocationTx = %s, %v", status, err)
			}
			if _, err := r.LocationTx(tx, id, "custom-b"); !errors.Is(err, store.ErrNoRows) {
				t.Errorf("LocationTx of another location: %v, want ErrNoRows", err)
			}
			if _, err := r.LocationTx(tx, "fleet-x", "custom-a"); !errors.Is(err, store.ErrNoRows) {
				t.Errorf("LocationTx of another fleet: %v, want ErrNoRows", err)
			}
			return nil
		})
	})
}

func TestCreateFleetRefusals(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		r.location("custom-a")
		for name, c := range map[string]struct {
			change func(in *gamelift.CreateFleetInput)
			code   string
			words  string
		}{
			"EC2":            {func(in *gamelift.CreateFleetInput) { in.ComputeType = types.ComputeTypeEc2 }, invalid, "BuildId, ScriptId"},
			"EC2 by default": {func(in *gamelift.CreateFleetInput) { in.ComputeType = "" }, invalid, "BuildId, ScriptId"},
			"build":          {func(in *gamelift.CreateFleetInput) { in.BuildId = new("build-1") }, invalid, "BuildId"},
			"script":         {func(in *gamelift.CreateFleetInput) { in.ScriptId = new("script-1") }, invalid, "ScriptId"},
			"instance type":  {func(in *gamelift.CreateFleetInput) { in.EC2InstanceType = types.EC2InstanceTypeC5Large }, invalid, "EC2InstanceType"},
			"ports":          {func(in *gamelift.CreateFleetInput) { in.EC2InboundPermissions = []types.IpPermission{{}} }, invalid, "EC2InboundPermissions"},
			"fleet type":     {func(in *gamelift.CreateFleetInput) { in.FleetType = types.FleetTypeSpot }, invalid, "FleetType"},
			"certificate": {func(in *gamelift.CreateFleetInput) {
				in.CertificateConfiguration = certificate(types.CertificateTypeGenerated)
			}, invalid, "CertificateConfiguration"},
			"role": {func(in *gamelift.CreateFleetInput) { in.InstanceRoleArn = new("arn:aws:iam::1:role/r") }, invalid, "InstanceRoleArn"},
			"role provider": {func(in *gamelift.CreateFleetInput) {
				in.InstanceRoleCredentialsProvider = types.InstanceRoleCredentialsProviderSharedCredentialFile
			}, invalid, "InstanceRoleCredentialsProvider"},
			"peer account": {func(in *gamelift.CreateFleetInput) { in.PeerVpcAwsAccountId = new("1") }, invalid, "PeerVpcAwsAccountId"},
			"peer VPC":     {func(in *gamelift.CreateFleetInput) { in.PeerVpcId = new("vpc-1") }, invalid, "PeerVpcId"},
			"gateway":      {func(in *gamelift.CreateFleetInput) { in.PlayerGatewayMode = types.PlayerGatewayModeEnabled }, invalid, "PlayerGatewayMode"},
			"gateway settings": {func(in *gamelift.CreateFleetInput) {
				in.PlayerGatewayConfiguration = &types.PlayerGatewayConfiguration{}
			}, invalid, "PlayerGatewayConfiguration"},
			"no location":      {func(in *gamelift.CreateFleetInput) { in.Locations = nil }, invalid, "Locations"},
			"AWS location":     {func(in *gamelift.CreateFleetInput) { in.Locations[0].Location = new("us-west-2") }, invalid, "us-west-2"},
			"location twice":   {func(in *gamelift.CreateFleetInput) { in.Locations = append(in.Locations, in.Locations[0]) }, invalid, "twice"},
			"unknown location": {func(in *gamelift.CreateFleetInput) { in.Locations[0].Location = new("custom-none") }, missing, "custom-none"},
			"both runtimes": {func(in *gamelift.CreateFleetInput) {
				in.ServerLaunchPath = new("/x")
				in.RuntimeConfiguration = processes(1)
			}, invalid, "ServerLaunchPath"},
			"parameters only":      {func(in *gamelift.CreateFleetInput) { in.ServerLaunchParameters = new("-x") }, invalid, "ServerLaunchParameters"},
			"processes":            {func(in *gamelift.CreateFleetInput) { in.RuntimeConfiguration = processes(25, 26) }, overQuota, "51"},
			"overflowing sum":      {func(in *gamelift.CreateFleetInput) { in.RuntimeConfiguration = processes(1<<31-1, 1<<31-1) }, overQuota, "4294967294"},
			"sessions per creator": {func(in *gamelift.CreateFleetInput) { in.ResourceCreationLimitPolicy = limitPolicy(11, 15) }, overQuota, "NewGameSessionsPerCreator"},
			"policy period":        {func(in *gamelift.CreateFleetInput) { in.ResourceCreationLimitPolicy = limitPolicy(1, 61) }, overQuota, "PolicyPeriodInMinutes"},
			"reserved tag":         {func(in *gamelift.CreateFleetInput) { in.Tags = tags("aws:x") }, invalid, "aws:"},
			"tag twice":            {func(in *gamelift.CreateFleetInput) { in.Tags = tags("a", "a") }, invalid, "twice"},
			"51 tags":              {func(in *gamelift.CreateFleetInput) { in.Tags = manyTags(51) }, tagging, "51"},
		} {
			in := anywhere("custom-a")
			c.change(in)

			_, err := r.CreateFleet(t.Context(), in)

			expect.Refused(t, name, err, c.code, c.words)
			list, err := r.ListFleets(t.Context(), &gamelift.ListFleetsInput{})
			if err != nil || len(list.FleetIds) != 0 {
				t.Errorf("%s: after the refusal there are fleets %v, %v", name, list.FleetIds, err)
			}
		}
	})
}

// TestHarmlessManagedMembers: what says no more than how an Anywhere fleet is passes.
func TestHarmlessManagedMembers(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		in := anywhere("custom-a")
		in.CertificateConfiguration = certificate(types.CertificateTypeDisabled)
		in.PlayerGatewayMode = types.PlayerGatewayModeDisabled
		in.EC2InboundPermissions = []types.IpPermission{}
		in.ResourceCreationLimitPolicy = limitPolicy(10, 60)
		in.RuntimeConfiguration = processes(25, 25)
		if _, err := r.CreateFleet(r.t.Context(), in); err != nil {
			r.t.Error(err)
		}
	})
}

func TestFleetQuotaCanBeRaisedAndIsGivenBack(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		r.Quotas.AnywhereFleets = 2
		first := r.fleet("custom-a")
		r.fleet("custom-a")

		_, err := r.CreateFleet(r.t.Context(), anywhere("custom-a"))
		expect.Refused(r.t, "third fleet", err, overQuota, "2", "Anywhere")

		if _, err := r.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: &first}); err != nil {
			r.t.Fatal(err)
		}
		r.fleet("custom-a")
		r.Quotas.AnywhereFleets = 3
		r.fleet("custom-a")
	})
}

// TestConcurrentFleetsHoldTheQuota: callers that race for the last fleets do not pass it.
func TestConcurrentFleetsHoldTheQuota(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		r.Quotas.AnywhereFleets = 5
		var made atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := r.CreateFleet(r.t.Context(), anywhere("custom-a"))
				if err == nil {
					made.Add(1)
					return
				}
				expect.Refused(r.t, "CreateFleet", err, overQuota)
			})
		}
		wg.Wait()
		if got := made.Load(); got != 5 {
			r.t.Errorf("%d fleets made, want 5", got)
		}
	})
}

func TestTwoEqualCreatesMakeTwoFleets(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		if a, b := r.fleet("custom-a"), r.fleet("custom-a"); a == b {
			r.t.Errorf("both are %s", a)
		}
	})
}

// TestNoDrift: whatever was sent reads back equal, whatever was not is absent, and an update
// changes what it names and nothing else. Terraform depends on it.
func TestNoDrift(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		r.Quotas.AnywhereFleets = 1 << 20
		rapid.Check(r.t, func(t *rapid.T) {
			in := anywhere("custom-a")
			in.Name = new(text.Draw(t, "name"))
			in.Description = optional(t, "description", text)
			in.NewGameSessionProtectionPolicy = protection.Draw(t, "protection")
			in.ResourceCreationLimitPolicy = optional(t, "policy", policy)
			in.MetricGroups = groups.Draw(t, "groups")
			in.AnywhereConfiguration = optional(t, "cost", cost)
			in.LogPaths = rapid.SliceOfN(text, 0, 3).Draw(t, "log paths")
			in.ServerLaunchPath = optional(t, "launch path", text)
			if in.ServerLaunchPath != nil {
				in.ServerLaunchParameters = optional(t, "launch parameters", text)
			}
			created, err := r.CreateFleet(r.t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			id := created.FleetAttributes.FleetId
			want := types.FleetAttributes{
				FleetId: id, FleetArn: created.FleetAttributes.FleetArn, Name: in.Name, Description: in.Description,
				Status: types.FleetStatusActive, ComputeType: types.ComputeTypeAnywhere, CreationTime: new(r.clock.Now()),
				CertificateConfiguration:       certificate(types.CertificateTypeDisabled),
				NewGameSessionProtectionPolicy: in.NewGameSessionProtectionPolicy, ResourceCreationLimitPolicy: in.ResourceCreationLimitPolicy,
				MetricGroups: in.MetricGroups, AnywhereConfiguration: in.AnywhereConfiguration, LogPaths: in.LogPaths,
				ServerLaunchPath: in.ServerLaunchPath, ServerLaunchParameters: in.ServerLaunchParameters,
			}
			if len(in.MetricGroups) == 0 {
				want.MetricGroups = []string{"default"}
			}
			reads := func(when string) {
				out, err := r.DescribeFleetAttributes(r.t.Context(), &gamelift.DescribeFleetAttributesInput{FleetIds: []string{*id}})
				if err != nil || len(out.FleetAttributes) != 1 || expect.JSON(out.FleetAttributes[0]) != expect.JSON(want) {
					t.Fatalf("%s: %s, %v\nwant %s", when, expect.JSON(out), err, expect.JSON(want))
				}
			}
			if expect.JSON(created.FleetAttributes) != expect.JSON(want) {
				t.Fatalf("create: %s\nwant %s", expect.JSON(created.FleetAttributes), expect.JSON(want))
			}
			reads("after create")

			up := &gamelift.UpdateFleetAttributesInput{
				FleetId: id, Name: optional(t, "new name", text), Description: optional(t, "new description", text),
				NewGameSessionProtectionPolicy: protection.Draw(t, "new protection"),
				ResourceCreationLimitPolicy:    optional(t, "new policy", policy),
				AnywhereConfiguration:          optional(t, "new cost", cost),
			}
			if rapid.Bool().Draw(t, "groups change") {
				up.MetricGroups = []string{text.Draw(t, "new group")}
				want.MetricGroups = up.MetricGroups
			}
			if up.Name != nil {
				want.Name = up.Name
			}
			if up.Description != nil {
				want.Description = up.Description
			}
			if up.NewGameSessionProtectionPolicy != "" {
				want.NewGameSessionProtectionPolicy = up.NewGameSessionProtectionPolicy
			}
			if up.ResourceCreationLimitPolicy != nil {
				want.ResourceCreationLimitPolicy = up.ResourceCreationLimitPolicy
			}
			if up.AnywhereConfiguration != nil {
				want.AnywhereConfiguration = up.AnywhereConfiguration
			}
			if _, err := r.UpdateFleetAttributes(r.t.Context(), up); err != nil {
				t.Fatal(err)
			}
			reads("after update")
		})
	})
}

var (
	text       = rapid.StringMatching(`[ -~äöü世界\n"<>&]{1,40}`)
	protection = rapid.SampledFrom([]types.ProtectionPolicy{"", types.ProtectionPolicyNoProtection, types.ProtectionPolicyFullProtection})
	groups     = rapid.SampledFrom([][]string{nil, {}, {"group-1"}})
	policy     = rapid.Custom(func(t *rapid.T) types.ResourceCreationLimitPolicy {
		return types.ResourceCreationLimitPolicy{
			NewGameSessionsPerCreator: optional(t, "sessions", rapid.Int32Range(0, 10)),
			PolicyPeriodInMinutes:     optional(t, "minutes", rapid.Int32Range(0, 60)),
		}
	})
	cost = rapid.Custom(func(t *rapid.T) types.AnywhereConfiguration {
		return types.AnywhereConfiguration{Cost: new(rapid.StringMatching(`[0-9]{1,5}(\.[0-9]{1,5})?`).Draw(t, "cost"))}
	})
)

// optional is a value or, half of the time, none.
func optional[T any](t *rapid.T, label string, g *rapid.Generator[T]) *T {
	if rapid.Bool().Draw(t, label+" absent") {
		return nil
	}
	return new(g.Draw(t, label))
}

func certificate(kind types.CertificateType) *types.CertificateConfiguration {
	return &types.CertificateConfiguration{CertificateType: kind}
}

// processes is a runtime configuration with that many executions of each server process.
func processes(counts ...int32) *types.RuntimeConfiguration {
	r := &types.RuntimeConfiguration{}
	for _, n := range counts {
		r.ServerProcesses = append(r.ServerProcesses, types.ServerProcess{LaunchPath: new("/local/game/server"), ConcurrentExecutions: new(n)})
	}
	return r
}

func limitPolicy(sessions, minutes int32) *types.ResourceCreationLimitPolicy {
	return &types.ResourceCreationLimitPolicy{NewGameSessionsPerCreator: &sessions, PolicyPeriodInMinutes: &minutes}
}

func tags(keys ...string) []types.Tag {
	var list []types.Tag
	for _, key := range keys {
		list = append(list, types.Tag{Key: new(key), Value: new("v")})
	}
	return list
}

func manyTags(n int) []types.Tag {
	var keys []string
	for i := range n {
		keys = append(keys, "k"+strconv.Itoa(i))
	}
	return tags(keys...)
}
