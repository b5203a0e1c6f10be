package fleet_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

func TestDeleteFleet(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		r.location("custom-a")
		for _, status := range []types.FleetStatus{types.FleetStatusActive, types.FleetStatusError, types.FleetStatusExpired} {
			in := anywhere("custom-a")
			in.Tags = tags("a")
			created, err := r.CreateFleet(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			id := created.FleetAttributes.FleetId
			r.setStatus(*id, status)
			var during []types.FleetStatus
			r.Deleting = func(tx *store.Tx, id arn.FleetID) error {
				f, err := r.GetTx(tx, id)
				during = append(during, f.Status)
				return err
			}

			if _, err := r.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: id}); err != nil {
				t.Fatalf("delete of %s: %v", status, err)
			}

			if !slices.Equal(during, []types.FleetStatus{types.FleetStatusDeleting}) {
				t.Errorf("others were told in %v, want once in DELETING", during)
			}
			r.gone(*id)
		}
		// The location is free again.
		if _, err := r.DeleteLocation(t.Context(), &gamelift.DeleteLocationInput{LocationName: new("custom-a")}); err != nil {
			t.Error(err)
		}
	})
}

// gone checks every operation on a deleted fleet.
func (r *rooms) gone(id string) {
	t, ctx := r.t, r.t.Context()
	t.Helper()
	attributes, err := r.DescribeFleetAttributes(ctx, &gamelift.DescribeFleetAttributesInput{FleetIds: []string{id}})
	if err != nil || len(attributes.FleetAttributes) != 0 {
		t.Errorf("attributes %s, %v, want none", expect.JSON(attributes), err)
	}
	ports, err := r.DescribeFleetPortSettings(ctx, &gamelift.DescribeFleetPortSettingsInput{FleetId: &id})
	if err != nil || len(ports.InboundPermissions) != 0 || ports.FleetId != nil {
		t.Errorf("ports %s, %v, want nothing", expect.JSON(ports), err)
	}
	runtime, err := r.DescribeRuntimeConfiguration(ctx, &gamelift.DescribeRuntimeConfigurationInput{FleetId: &id})
	if err != nil || runtime.RuntimeConfiguration != nil {
		t.Errorf("runtime configuration %s, %v, want nothing", expect.JSON(runtime), err)
	}
	for name, call := range onFleet(r) {
		if name != "DescribeFleetPortSettings" && name != "DescribeRuntimeConfiguration" {
			expect.Refused(t, name+" of a deleted fleet", call(id), missing, id)
		}
	}
	_, err = r.Tags.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: new(home.Fleet(arn.FleetID(id)))})
	expect.Refused(t, "tags of a deleted fleet", err, missing)
}

// onFleet calls every operation that needs one fleet.
func onFleet(r *rooms) map[string]func(id string) error {
	ctx := r.t.Context()
	at := "custom-a"
	return map[string]func(id string) error{
		"DeleteFleet": func(id string) error {
			_, err := r.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: &id})
			return err
		},
		"UpdateFleetAttributes": func(id string) error {
			_, err := r.UpdateFleetAttributes(ctx, &gamelift.UpdateFleetAttributesInput{FleetId: &id})
			return err
		},
		"CreateFleetLocations": func(id string) error {
			_, err := r.CreateFleetLocations(ctx, &gamelift.CreateFleetLocationsInput{FleetId: &id, Locations: anywhere(at).Locations})
			return err
		},
		"DeleteFleetLocations": func(id string) error {
			_, err := r.DeleteFleetLocations(ctx, &gamelift.DeleteFleetLocationsInput{FleetId: &id, Locations: []string{at}})
			return err
		},
		"DescribeFleetLocationAttributes": func(id string) error {
			_, err := r.DescribeFleetLocationAttributes(ctx, &gamelift.DescribeFleetLocationAttributesInput{FleetId: &id})
			return err
		},
		"DescribeFleetLocationCapacity": func(id string) error {
			_, err := r.DescribeFleetLocationCapacity(ctx, &gamelift.DescribeFleetLocationCapacityInput{FleetId: &id, Location: &at})
			return err
		},
		"DescribeFleetLocationUtilization": func(id string) error {
			_, err := r.DescribeFleetLocationUtilization(ctx, &gamelift.DescribeFleetLocationUtilizationInput{FleetId: &id, Location: &at})
			return err
		},
		"DescribeFleetEvents": func(id string) error {
			_, err := r.DescribeFleetEvents(ctx, &gamelift.DescribeFleetEventsInput{FleetId: &id})
			return err
		},
		"DescribeFleetPortSettings": func(id string) error {
			_, err := r.DescribeFleetPortSettings(ctx, &gamelift.DescribeFleetPortSettingsInput{FleetId: &id})
			return err
		},
		"DescribeRuntimeConfiguration": func(id string) error {
			_, err := r.DescribeRuntimeConfiguration(ctx, &gamelift.DescribeRuntimeConfigurationInput{FleetId: &id})
			return err
		},
		"UpdateRuntimeConfiguration": func(id string) error {
			_, err := r.UpdateRuntimeConfiguration(ctx, &gamelift.UpdateRuntimeConfigurationInput{FleetId: &id, RuntimeConfiguration: processes(1)})
			return err
		},
		"DescribeVpcPeeringConnections": func(id string) error {
			_, err := r.DescribeVpcPeeringConnections(ctx, &gamelift.DescribeVpcPeeringConnectionsInput{FleetId: &id})
			return err
		},
		"DeleteVpcPeeringConnection": func(id string) error {
			_, err := r.DeleteVpcPeeringConnection(ctx, &gamelift.DeleteVpcPeeringConnectionInput{FleetId: &id, VpcPeeringConnectionId: new("pcx-1")})
			return err
		},
		"CreateVpcPeeringConnection": func(id string) error {
			_, err := r.CreateVpcPeeringConnection(ctx, &gamelift.CreateVpcPeeringConnectionInput{FleetId: &id, PeerVpcId: new("vpc-1"), PeerVpcAwsAccountId: &home.Account})
			return err
		},
		"UpdateFleetCapacity": func(id string) error {
			_, err := r.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: &id, DesiredInstances: new(int32(1))})
			return err
		},
		"UpdateFleetPortSettings": func(id string) error {
			_, err := r.UpdateFleetPortSettings(ctx, &gamelift.UpdateFleetPortSettingsInput{FleetId: &id})
			return err
		},
		"StartFleetActions": func(id string) error {
			_, err := r.StartFleetActions(ctx, &gamelift.StartFleetActionsInput{FleetId: &id})
			return err
		},
		"StopFleetActions": func(id string) error {
			_, err := r.StopFleetActions(ctx, &gamelift.StopFleetActionsInput{FleetId: &id})
			return err
		},
	}
}

func TestUnknownAndMalformedFleets(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		for name, call := range onFleet(r) {
			expect.Refused(r.t, name+" of an unknown fleet", call(unknownFleet), missing, unknownFleet)
			expect.Refused(r.t, name+" of a container fleet", call("containerfleet-1"), missing, "containerfleet-1")
			expect.Refused(r.t, name+" of a malformed id", call("arn:aws:gamelift:us-west-2::alias/alias-1"), invalid, "FleetId")
		}
	})
}

func TestDeleteFleetInOtherStates(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		id := r.fleet("custom-a")
		for _, status := range types.FleetStatus("").Values() {
			switch status {
			case types.FleetStatusActive, types.FleetStatusError, types.FleetStatusExpired, types.FleetStatusTerminated:
				continue
			default:
			}
			r.setStatus(id, status)
			_, err := r.DeleteFleet(r.t.Context(), &gamelift.DeleteFleetInput{FleetId: &id})
			expect.Refused(r.t, string(status), err, invalid, "Cannot delete fleet "+id+" that is in status of "+string(status))
		}
	})
}

// TestDeleteFleetIsOneTransaction: when those who are told cannot end their things, the
// fleet is as it was.
func TestDeleteFleetIsOneTransaction(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		r.location("custom-a")
		id := r.fleet("custom-a")
		failure := errors.New("cannot end")
		r.Deleting = func(*store.Tx, arn.FleetID) error { return failure }

		if _, err := r.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &id}); !errors.Is(err, failure) {
			t.Fatalf("DeleteFleet: %v, want %v", err, failure)
		}

		out, err := r.DescribeFleetAttributes(t.Context(), &gamelift.DescribeFleetAttributesInput{FleetIds: []string{id}})
		if err != nil || len(out.FleetAttributes) != 1 || out.FleetAttributes[0].Status != types.FleetStatusActive {
			t.Errorf("%s, %v, want an ACTIVE fleet", expect.JSON(out), err)
		}
		if got := r.eventCodes(id); slices.Contains(got, types.EventCodeFleetDeleted) {
			t.Errorf("events %v", got)
		}
	})
}

// TestTickRemovesOldThings: events and deleted fleets after Retention, expired permits.
func TestTickRemovesOldThings(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		if _, some, err := r.Due(ctx); some || err != nil {
			t.Fatalf("Due of nothing: %v, %v", some, err)
		}
		r.location("custom-a")
		id, kept := r.fleet("custom-a"), r.fleet("custom-a")
		if _, err := r.CreateVpcPeeringAuthorization(ctx, &gamelift.CreateVpcPeeringAuthorizationInput{GameLiftAwsAccountId: &home.Account, PeerVpcId: new("vpc-1")}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: &id}); err != nil {
			t.Fatal(err)
		}
		start := r.clock.Now()

		steps := 0
		for {
			due, some, err := r.Due(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !some {
				break
			}
			if steps++; steps > 2 || !due.After(r.clock.Now()) || due.Truncate(time.Hour) != due {
				t.Fatalf("step %d is due at %v, now %v", steps, due, r.clock.Now())
			}
			r.clock.Advance(due.Sub(r.clock.Now()))
			if steps == 1 && r.clock.Now().Sub(start) < 24*time.Hour || steps == 2 && r.clock.Now().Sub(start) < fleet.Retention {
				t.Fatalf("step %d at %v after %v", steps, r.clock.Now(), start)
			}
			for range 2 {
				if err := r.Tick(ctx, r.clock.Now()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if steps != 2 {
			t.Errorf("%d steps, want 2", steps)
		}
		if got := r.eventCodes(kept); len(got) != 0 {
			t.Errorf("events %v, want none", got)
		}
		_, err := r.DescribeRuntimeConfiguration(ctx, &gamelift.DescribeRuntimeConfigurationInput{FleetId: &id})
		expect.Refused(t, "a fleet long deleted", err, missing)
		list, err := r.ListFleets(ctx, &gamelift.ListFleetsInput{})
		if err != nil || !slices.Equal(list.FleetIds, []string{kept}) {
			t.Errorf("fleets %v, %v, want %s", list.FleetIds, err, kept)
		}
	})
}
