package fleet_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// client is the Go SDK's client of the room, through the API's own door.
func (r *rooms) client() *gamelift.Client {
	r.t.Helper()
	server := httptest.NewServer(&awsapi.Server{
		Auth: awsapi.Anyone{}, Logger: slog.New(slog.DiscardHandler),
		Operations: []awsapi.Operation{
			awsapi.Op(r.CreateFleet), awsapi.Op(r.DeleteFleet), awsapi.Op(r.DescribeFleetAttributes), awsapi.Op(r.UpdateFleetAttributes),
			awsapi.Op(r.DescribeFleetPortSettings), awsapi.Op(r.UpdateFleetPortSettings),
			awsapi.Op(r.DescribeRuntimeConfiguration), awsapi.Op(r.UpdateRuntimeConfiguration),
			awsapi.Op(r.DescribeFleetEvents), awsapi.Op(r.DescribeFleetCapacity), awsapi.Op(r.DescribeFleetLocationCapacity), awsapi.Op(r.UpdateFleetCapacity),
			awsapi.Op(r.CreateFleetLocations), awsapi.Op(r.DeleteFleetLocations), awsapi.Op(r.DescribeFleetLocationAttributes),
			awsapi.Op(r.StopFleetActions), awsapi.Op(r.StartFleetActions),
			awsapi.Op(r.Tags.ListTagsForResource), awsapi.Op(r.Tags.TagResource), awsapi.Op(r.Tags.UntagResource),
		},
	})
	r.t.Cleanup(server.Close)
	return gamelift.New(gamelift.Options{
		BaseEndpoint: &server.URL, Region: home.Region, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
}

// terraform does what Terraform's AWS provider does with an aws_gamelift_fleet: its wait
// loops, with the states it knows as pending and its reading of errors. Between two looks the
// clock moves.
type terraform struct {
	r *rooms
	c *gamelift.Client
}

// wait looks until the state is the target, which for "" is an empty list; any state that is
// neither that nor pending ends Terraform's run.
func (tf terraform) wait(id string, target types.FleetStatus, pending ...types.FleetStatus) (seen []types.FleetStatus) {
	tf.r.t.Helper()
	for range 200 {
		out, err := tf.c.DescribeFleetAttributes(tf.r.t.Context(), &gamelift.DescribeFleetAttributesInput{FleetIds: []string{id}})
		if err != nil || len(out.FleetAttributes) > 1 {
			tf.r.t.Fatalf("DescribeFleetAttributes = %s, %v", expect.JSON(out), err)
		}
		var now types.FleetStatus
		if len(out.FleetAttributes) == 1 {
			now = out.FleetAttributes[0].Status
		}
		if len(seen) == 0 || seen[len(seen)-1] != now {
			seen = append(seen, now)
		}
		if now == target {
			return seen
		}
		if !slices.Contains(pending, now) {
			tf.r.t.Fatalf("unexpected state %q, wanted %q; so far %v", now, target, seen)
		}
		tf.r.pass(5 * time.Second)
	}
	tf.r.t.Fatalf("timeout waiting for %q, saw %v", target, seen)
	return nil
}

// destroy deletes as Terraform does: it repeats while the fleet is in a state that does not
// allow it, and takes a fleet that is not there for deleted.
func (tf terraform) destroy(id string) {
	tf.r.t.Helper()
	for range 200 {
		_, err := tf.c.DeleteFleet(tf.r.t.Context(), &gamelift.DeleteFleetInput{FleetId: &id})
		if err == nil {
			tf.wait(id, "", types.FleetStatusActive, types.FleetStatusDeleting, types.FleetStatusError, types.FleetStatusTerminated)
			return
		}
		if _, missing := errors.AsType[*types.NotFoundException](err); missing {
			return
		}
		refused, ok := errors.AsType[*types.InvalidRequestException](err)
		if !ok || !strings.Contains(refused.ErrorMessage(), "Cannot delete fleet "+id+" that is in status of ") {
			tf.r.t.Fatalf("Error deleting GameLift fleet: %v", err)
		}
		tf.r.pass(5 * time.Second)
	}
	tf.r.t.Fatal("the fleet cannot be deleted")
}

// fleetResource is a fleet with all that Terraform's resource has.
func fleetResource(build string) *gamelift.CreateFleetInput {
	return &gamelift.CreateFleetInput{
		Name: new("tf"), BuildId: &build, EC2InstanceType: types.EC2InstanceTypeC4Large, FleetType: types.FleetTypeOnDemand, Description: new("A fleet"),
		CertificateConfiguration: certificate(types.CertificateTypeGenerated), InstanceRoleArn: new("arn:aws:iam::123456789012:role/game"),
		MetricGroups: []string{"TerraformAccTest"}, NewGameSessionProtectionPolicy: types.ProtectionPolicyFullProtection,
		ResourceCreationLimitPolicy: limitPolicy(4, 25),
		EC2InboundPermissions: []types.IpPermission{
			{FromPort: new(int32(8080)), ToPort: new(int32(8080)), IpRange: new("8.8.8.8/32"), Protocol: types.IpProtocolTcp},
			{FromPort: new(int32(8443)), ToPort: new(int32(8443)), IpRange: new("8.8.0.0/16"), Protocol: types.IpProtocolTcp},
		},
		RuntimeConfiguration: &types.RuntimeConfiguration{
			GameSessionActivationTimeoutSeconds: new(int32(10)), MaxConcurrentGameSessionActivations: new(int32(4)),
			ServerProcesses: []types.ServerProcess{{ConcurrentExecutions: new(int32(2)), LaunchPath: new("/local/game/server"), Parameters: new("-port 1435 -v")}},
		},
		Tags: tags("Name", "team"),
	}
}

// TestTerraformFleet: apply, plan, change, plan, destroy. A plan is a read that must show
// what was applied.
func TestTerraformFleet(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.Speed = fleet.Fixed(20 * time.Second)
		r.hosts()
		tf := terraform{r, r.client()}
		in := fleetResource(r.ready())
		out, err := tf.c.CreateFleet(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		id := out.FleetAttributes.FleetId
		r.host(arn.FleetID(*id))
		making := []types.FleetStatus{types.FleetStatusNew, types.FleetStatusDownloading, types.FleetStatusValidating, types.FleetStatusBuilding, types.FleetStatusActivating}
		if seen := tf.wait(*id, types.FleetStatusActive, making...); !slices.Equal(seen, append(making, types.FleetStatusActive)) {
			t.Errorf("states %v", seen)
		}

		plan := func(when string) {
			t.Helper()
			got, err := tf.c.DescribeFleetAttributes(ctx, &gamelift.DescribeFleetAttributesInput{FleetIds: []string{*id}})
			if err != nil || len(got.FleetAttributes) != 1 {
				t.Fatalf("%s: %s, %v", when, expect.JSON(got), err)
			}
			a := got.FleetAttributes[0]
			for _, m := range []struct {
				name      string
				got, want any
			}{
				{"build_id", a.BuildId, in.BuildId},
				{"build_arn", a.BuildArn, home.Build(arn.BuildID(*in.BuildId))},
				{"description", a.Description, in.Description},
				{"log_paths", len(a.LogPaths), 0},
				{"metric_groups", a.MetricGroups, in.MetricGroups},
				{"name", a.Name, in.Name},
				{"fleet_type", a.FleetType, in.FleetType},
				{"instance_role_arn", a.InstanceRoleArn, in.InstanceRoleArn},
				{"ec2_instance_type", a.InstanceType, in.EC2InstanceType},
				{"new_game_session_protection_policy", a.NewGameSessionProtectionPolicy, in.NewGameSessionProtectionPolicy},
				{"operating_system", a.OperatingSystem, types.OperatingSystemAmazonLinux2023},
				{"script_id", a.ScriptId, in.ScriptId},
				{"certificate_configuration", a.CertificateConfiguration, in.CertificateConfiguration},
				{"resource_creation_limit_policy", a.ResourceCreationLimitPolicy, in.ResourceCreationLimitPolicy},
			} {
				if expect.JSON(m.got) != expect.JSON(m.want) {
					t.Errorf("%s: %s is %s, want %s", when, m.name, expect.JSON(m.got), expect.JSON(m.want))
				}
			}
			ports, err := tf.c.DescribeFleetPortSettings(ctx, &gamelift.DescribeFleetPortSettingsInput{FleetId: id})
			if err != nil || expect.JSON(ports.InboundPermissions) != expect.JSON(in.EC2InboundPermissions) {
				t.Errorf("%s: ec2_inbound_permission is %s, %v, want %s", when, expect.JSON(ports), err, expect.JSON(in.EC2InboundPermissions))
			}
			got2, err := tf.c.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: a.FleetArn})
			if err != nil || expect.JSON(got2.Tags) != expect.JSON(in.Tags) {
				t.Errorf("%s: tags are %s, %v, want %s", when, expect.JSON(got2), err, expect.JSON(in.Tags))
			}
			runtime, err := tf.c.DescribeRuntimeConfiguration(ctx, &gamelift.DescribeRuntimeConfigurationInput{FleetId: id})
			if err != nil || expect.JSON(runtime.RuntimeConfiguration) != expect.JSON(in.RuntimeConfiguration) {
				t.Errorf("%s: runtime_configuration is %s, %v, want %s", when, expect.JSON(runtime), err, expect.JSON(in.RuntimeConfiguration))
			}
		}
		plan("after create")

		in.Description, in.Name, in.MetricGroups = new("Changed"), new("renamed"), []string{"UpdatedGroup"}
		in.NewGameSessionProtectionPolicy, in.ResourceCreationLimitPolicy = types.ProtectionPolicyNoProtection, limitPolicy(2, 15)
		if _, err := tf.c.UpdateFleetAttributes(ctx, &gamelift.UpdateFleetAttributesInput{
			FleetId: id, Description: in.Description, Name: in.Name, MetricGroups: in.MetricGroups,
			NewGameSessionProtectionPolicy: in.NewGameSessionProtectionPolicy, ResourceCreationLimitPolicy: in.ResourceCreationLimitPolicy,
		}); err != nil {
			t.Fatal(err)
		}
		closed := in.EC2InboundPermissions[:1]
		opened := []types.IpPermission{{FromPort: new(int32(8888)), ToPort: new(int32(9000)), IpRange: new("8.8.8.8/32"), Protocol: types.IpProtocolUdp}}
		if _, err := tf.c.UpdateFleetPortSettings(ctx, &gamelift.UpdateFleetPortSettingsInput{FleetId: id, InboundPermissionAuthorizations: opened, InboundPermissionRevocations: closed}); err != nil {
			t.Fatal(err)
		}
		in.EC2InboundPermissions = append(slices.Clone(in.EC2InboundPermissions[1:]), opened...)
		in.RuntimeConfiguration = &types.RuntimeConfiguration{
			GameSessionActivationTimeoutSeconds: new(int32(20)), MaxConcurrentGameSessionActivations: new(int32(8)),
			ServerProcesses: []types.ServerProcess{{ConcurrentExecutions: new(int32(1)), LaunchPath: new("/local/game/other")}},
		}
		if _, err := tf.c.UpdateRuntimeConfiguration(ctx, &gamelift.UpdateRuntimeConfigurationInput{FleetId: id, RuntimeConfiguration: in.RuntimeConfiguration}); err != nil {
			t.Fatal(err)
		}
		if _, err := tf.c.UntagResource(ctx, &gamelift.UntagResourceInput{ResourceARN: out.FleetAttributes.FleetArn, TagKeys: []string{"team"}}); err != nil {
			t.Fatal(err)
		}
		in.Tags = in.Tags[:1]
		plan("after update")

		if _, err := tf.c.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: id}); err != nil {
			t.Fatal(err)
		}
		r.goneFrom(arn.FleetID(*id), home.Region)
		if seen := tf.wait(*id, "", types.FleetStatusActive, types.FleetStatusDeleting, types.FleetStatusError, types.FleetStatusTerminated); len(seen) != 2 {
			t.Errorf("states %v, want DELETING and nothing", seen)
		}
		tf.destroy(*id) // gone already
	})
}

// TestTerraformDestroysWhatIsBeingMade: it repeats the deletion until the state allows it.
func TestTerraformDestroysWhatIsBeingMade(t *testing.T) {
	each(t, func(r *rooms) {
		r.Speed = fleet.Fixed(20 * time.Second)
		tf := terraform{r, r.client()}
		out, err := tf.c.CreateFleet(r.t.Context(), fleetResource(r.ready()))
		if err != nil {
			r.t.Fatal(err)
		}
		id := *out.FleetAttributes.FleetId
		r.host(arn.FleetID(id))
		tf.destroy(id)
	})
}

// TestTerraformTellsWhyACreationFailed: it reads all events, and knows these codes as
// failures.
func TestTerraformTellsWhyACreationFailed(t *testing.T) {
	each(t, func(r *rooms) {
		tf := terraform{r, r.client()}
		for _, code := range []types.EventCode{
			types.EventCodeFleetActivationFailed, types.EventCodeFleetActivationFailedNoInstances, types.EventCodeFleetBinaryDownloadFailed,
			types.EventCodeFleetInitializationFailed, types.EventCodeFleetValidationExecutableRuntimeFailure,
			types.EventCodeFleetValidationLaunchPathNotFound, types.EventCodeFleetValidationTimedOut,
		} {
			out, err := tf.c.CreateFleet(r.t.Context(), fleetResource(r.ready()))
			if err != nil {
				r.t.Fatal(err)
			}
			id := *out.FleetAttributes.FleetId
			r.write(func(tx *store.Tx) error { return r.FailTx(tx, arn.FleetID(id), "us-west-2", code, "the reason") })
			events, err := tf.c.DescribeFleetEvents(r.t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &id})
			if err != nil || len(events.Events) < 2 || events.Events[0].EventCode != types.EventCodeFleetStateError ||
				events.Events[1].EventCode != code || *events.Events[1].Message != "the reason" {
				r.t.Errorf("%s: events %s, %v", code, expect.JSON(events), err)
			}
			tf.destroy(id)
		}
	})
}

// TestRefusalsThroughTheDoor: typed SDKs decode the exceptions that an operation declares.
func TestRefusalsThroughTheDoor(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx, c := r.t, r.t.Context(), r.client()
		id := new(string(r.managed()))
		_, err := c.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: id, DesiredInstances: new(int32(1))})
		if _, ok := errors.AsType[*types.InvalidFleetStatusException](err); !ok {
			t.Errorf("capacity while NEW: %v", err)
		}
		_, err = c.UpdateFleetPortSettings(ctx, &gamelift.UpdateFleetPortSettingsInput{FleetId: id})
		if _, ok := errors.AsType[*types.InvalidFleetStatusException](err); !ok {
			t.Errorf("ports while NEW: %v", err)
		}
		_, err = c.CreateFleetLocations(ctx, &gamelift.CreateFleetLocationsInput{FleetId: id, Locations: anywhere("eu-west-1").Locations})
		if _, ok := errors.AsType[*types.NotReadyException](err); !ok {
			t.Errorf("locations while NEW: %v", err)
		}
		_, err = c.CreateFleet(ctx, ec2(r.madeBuild(types.BuildStatusInitialized, types.OperatingSystemAmazonLinux2023, "5.0.0")))
		if _, ok := errors.AsType[*types.NotReadyException](err); !ok {
			t.Errorf("build without a file: %v", err)
		}
		bad := ec2(r.ready())
		bad.EC2InstanceType = "c5.enormous"
		_, err = c.CreateFleet(ctx, bad)
		if api, ok := errors.AsType[smithy.APIError](err); !ok || !strings.Contains(api.ErrorMessage(), "c5.enormous") && !strings.Contains(api.ErrorMessage(), "EC2InstanceType") {
			t.Errorf("unknown type: %v", err)
		}
		r.advance(arn.FleetID(*id), home.Region, types.FleetStatusActive)
		out, err := c.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: id, MaxSize: new(int32(9)), DesiredInstances: new(int32(4)), ManagedCapacityConfiguration: &types.ManagedCapacityConfiguration{
			ZeroCapacityStrategy: types.ZeroCapacityStrategyScaleToAndFromZero, ScaleInAfterInactivityMinutes: new(int32(7)),
		}})
		if err != nil || *out.ManagedCapacityConfiguration.ScaleInAfterInactivityMinutes != 7 {
			t.Errorf("UpdateFleetCapacity = %s, %v", expect.JSON(out), err)
		}
		got, err := c.DescribeFleetCapacity(ctx, &gamelift.DescribeFleetCapacityInput{FleetIds: []string{*id}})
		if err != nil || *got.FleetCapacity[0].InstanceCounts.DESIRED != 4 || *got.FleetCapacity[0].InstanceCounts.MINIMUM != 1 || *got.FleetCapacity[0].InstanceCounts.MAXIMUM != 9 {
			t.Errorf("DescribeFleetCapacity = %s, %v", expect.JSON(got), err)
		}
	})
}
