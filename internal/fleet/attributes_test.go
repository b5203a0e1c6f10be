package fleet_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

func TestListFleetsPagesWithEverySize(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		r.location("custom-a")
		r.Quotas.AnywhereFleets = 1000
		var want []string
		for range 40 {
			want = append(want, r.fleet("custom-a"))
		}
		gone := want[7]
		want = slices.Delete(want, 7, 8)
		if _, err := r.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &gone}); err != nil {
			t.Fatal(err)
		}

		for limit := int32(1); limit <= 41; limit++ {
			got := walk(t, int(limit), func(token *string) ([]string, *string, error) {
				out, err := r.ListFleets(t.Context(), &gamelift.ListFleetsInput{Limit: &limit, NextToken: token})
				if err != nil {
					return nil, nil, err
				}
				return out.FleetIds, out.NextToken, nil
			})
			if !slices.Equal(got, want) {
				t.Fatalf("limit %d: %v, want %v", limit, got, want)
			}
			got = walk(t, int(limit), func(token *string) ([]string, *string, error) {
				out, err := r.DescribeFleetAttributes(t.Context(), &gamelift.DescribeFleetAttributesInput{Limit: &limit, NextToken: token})
				if err != nil {
					return nil, nil, err
				}
				ids := []string{}
				for _, f := range out.FleetAttributes {
					ids = append(ids, *f.FleetId)
				}
				return ids, out.NextToken, nil
			})
			if !slices.Equal(got, want) {
				t.Fatalf("attributes, limit %d: %v, want %v", limit, got, want)
			}
		}

		first, err := r.ListFleets(t.Context(), &gamelift.ListFleetsInput{})
		if err != nil || len(first.FleetIds) != 16 || first.NextToken == nil {
			t.Fatalf("without Limit: %d ids, %v, want 16 and a token", len(first.FleetIds), err)
		}
		tokensRefused(t, *first.NextToken, func(token *string) error {
			_, err := r.ListFleets(t.Context(), &gamelift.ListFleetsInput{NextToken: token})
			return err
		})
		_, err = r.ListFleets(t.Context(), &gamelift.ListFleetsInput{NextToken: first.NextToken, BuildId: new("build-1")})
		expect.Refused(t, "token of another filter", err, invalid, "NextToken")
		for name, call := range describes(r) {
			_, _, err := call(nil, first.NextToken)
			expect.Refused(t, name+" with another operation's token", err, invalid, "NextToken")
		}
	})
}

func TestListFleetsByBuildOrScript(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		r.fleet("custom-a")
		for _, in := range []*gamelift.ListFleetsInput{{BuildId: new("build-1")}, {ScriptId: new("script-1")}} {
			out, err := r.ListFleets(r.t.Context(), in)
			if err != nil || out.FleetIds == nil || len(out.FleetIds) != 0 {
				r.t.Errorf("ListFleets(%s) = %v, %v, want an empty list", expect.JSON(in), out, err)
			}
		}
		_, err := r.ListFleets(r.t.Context(), &gamelift.ListFleetsInput{BuildId: new("build-1"), ScriptId: new("script-1")})
		expect.Refused(r.t, "both", err, invalid, "BuildId")
	})
}

// describes are the operations that take either ids or a page, giving the ids they show.
func describes(r *rooms) map[string]func(ids []string, token *string) ([]string, *string, error) {
	ctx := r.t.Context()
	return map[string]func(ids []string, token *string) ([]string, *string, error){
		"DescribeFleetAttributes": func(ids []string, token *string) ([]string, *string, error) {
			out, err := r.DescribeFleetAttributes(ctx, &gamelift.DescribeFleetAttributesInput{FleetIds: ids, NextToken: token, Limit: new(int32(1))})
			if err != nil {
				return nil, nil, err
			}
			return idsOf(out.FleetAttributes, func(f types.FleetAttributes) *string { return f.FleetId }), out.NextToken, nil
		},
		"DescribeFleetCapacity": func(ids []string, token *string) ([]string, *string, error) {
			out, err := r.DescribeFleetCapacity(ctx, &gamelift.DescribeFleetCapacityInput{FleetIds: ids, NextToken: token, Limit: new(int32(1))})
			if err != nil {
				return nil, nil, err
			}
			return idsOf(out.FleetCapacity, func(f types.FleetCapacity) *string { return f.FleetId }), out.NextToken, nil
		},
		"DescribeFleetUtilization": func(ids []string, token *string) ([]string, *string, error) {
			out, err := r.DescribeFleetUtilization(ctx, &gamelift.DescribeFleetUtilizationInput{FleetIds: ids, NextToken: token, Limit: new(int32(1))})
			if err != nil {
				return nil, nil, err
			}
			return idsOf(out.FleetUtilization, func(f types.FleetUtilization) *string { return f.FleetId }), out.NextToken, nil
		},
	}
}

func idsOf[T any](list []T, id func(T) *string) []string {
	if list == nil {
		return nil // which callers must never see
	}
	ids := []string{}
	for _, v := range list {
		ids = append(ids, *id(v))
	}
	return ids
}

// TestDescribeNamedFleets: in the order asked, each once, by id or any spelling of the ARN,
// without the unknown and the deleted, and unpaged.
func TestDescribeNamedFleets(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		r.location("custom-a")
		a, b, gone := r.fleet("custom-a"), r.fleet("custom-a"), r.fleet("custom-a")
		if _, err := r.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &gone}); err != nil {
			t.Fatal(err)
		}
		for name, call := range describes(r) {
			named := []string{"arn:aws:gamelift:us-west-2::fleet/" + b, unknownFleet, home.Fleet(arn.FleetID(a)), gone, b, "fleet-x", "containerfleet-1"}
			got, next, err := call(named, new("not a token"))
			if err != nil || next != nil || !slices.Equal(got, []string{b, a}) {
				t.Errorf("%s(%v) = %v, %v, %v, want %v", name, named, got, next, err, []string{b, a})
			}
			got, _, err = call([]string{unknownFleet}, nil)
			if err != nil || got == nil || len(got) != 0 {
				t.Errorf("%s of an unknown fleet = %v, %v, want an empty list", name, got, err)
			}
			_, _, err = call([]string{a, "arn:aws:gamelift:us-west-2::build/" + a}, nil)
			expect.Refused(t, name+" of a build", err, invalid, "FleetIds")
			got = walk(t, 1, func(token *string) ([]string, *string, error) { return call(nil, token) })
			if !slices.Equal(got, []string{a, b}) {
				t.Errorf("%s paged = %v, want %v", name, got, []string{a, b})
			}
		}
	})
}

func TestUpdateFleetAttributesRefusals(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		r.location("custom-a")
		id := r.fleet("custom-a")
		update := func(in gamelift.UpdateFleetAttributesInput) error {
			_, err := r.UpdateFleetAttributes(t.Context(), &in)
			return err
		}
		expect.Refused(t, "unknown", update(gamelift.UpdateFleetAttributesInput{FleetId: new(unknownFleet)}), missing, unknownFleet)
		expect.Refused(t, "malformed", update(gamelift.UpdateFleetAttributesInput{FleetId: new("arn:aws:gamelift:x")}), invalid, "FleetId")
		expect.Refused(t, "policy", update(gamelift.UpdateFleetAttributesInput{FleetId: &id, ResourceCreationLimitPolicy: limitPolicy(1, 61)}), overQuota, "PolicyPeriodInMinutes")
		for _, status := range []types.FleetStatus{types.FleetStatusDeleting, types.FleetStatusError} {
			r.setStatus(id, status)
			expect.Refused(t, string(status), update(gamelift.UpdateFleetAttributesInput{FleetId: &id}), badStatus, string(status))
		}
		ec2 := string(r.active())
		expect.Refused(t, "cost on EC2", update(gamelift.UpdateFleetAttributesInput{FleetId: &ec2, AnywhereConfiguration: &types.AnywhereConfiguration{Cost: new("1")}}), invalid, "AnywhereConfiguration")
	})
}

func TestUpdateFleetAttributesAnswersIDAndARN(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a")
		id := r.fleet("custom-a")
		out, err := r.UpdateFleetAttributes(r.t.Context(), &gamelift.UpdateFleetAttributesInput{FleetId: new(home.Fleet(arn.FleetID(id))), AnywhereConfiguration: &types.AnywhereConfiguration{Cost: new("0.25")}})
		if err != nil || *out.FleetId != id || *out.FleetArn != home.Fleet(arn.FleetID(id)) {
			r.t.Fatalf("UpdateFleetAttributes = %s, %v", expect.JSON(out), err)
		}
		r.write(func(tx *store.Tx) error {
			f, err := r.GetTx(tx, arn.FleetID(id))
			if f.Cost != "0.25" {
				r.t.Errorf("cost %q, want 0.25", f.Cost)
			}
			return err
		})
	})
}

func TestProtectionChangeIsAnEvent(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		r.location("custom-a")
		id := r.fleet("custom-a")
		for _, p := range []types.ProtectionPolicy{types.ProtectionPolicyNoProtection, types.ProtectionPolicyFullProtection, types.ProtectionPolicyFullProtection} {
			if _, err := r.UpdateFleetAttributes(t.Context(), &gamelift.UpdateFleetAttributesInput{FleetId: &id, NewGameSessionProtectionPolicy: p}); err != nil {
				t.Fatal(err)
			}
		}
		want := []types.EventCode{types.EventCodeFleetNewGameSessionProtectionPolicyUpdated, types.EventCodeFleetStateActive, types.EventCodeFleetCreated}
		if got := r.eventCodes(id); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		r.write(func(tx *store.Tx) error {
			f, err := r.GetTx(tx, arn.FleetID(id))
			if f.Protection != types.ProtectionPolicyFullProtection {
				t.Errorf("protection %q", f.Protection)
			}
			return err
		})
	})
}

func TestRuntimeDefaults(t *testing.T) {
	var f fleet.Fleet
	if f.MaxActivations() != fleet.DefaultMaxActivations || f.ActivationTimeout() != fleet.DefaultActivationTimeout {
		t.Errorf("%d, %v", f.MaxActivations(), f.ActivationTimeout())
	}
	f.Runtime = &types.RuntimeConfiguration{MaxConcurrentGameSessionActivations: new(int32(2)), GameSessionActivationTimeoutSeconds: new(int32(60))}
	if f.MaxActivations() != 2 || f.ActivationTimeout().Seconds() != 60 {
		t.Errorf("%d, %v", f.MaxActivations(), f.ActivationTimeout())
	}
}
