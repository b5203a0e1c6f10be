package scaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

// Service is the scaling room. DB, Home, Fleets and Measure are required.
type Service struct {
	DB     *store.DB
	Home   arn.Home
	Fleets *fleet.Service
	// Measure is what the locations of a managed fleet look like at tx.Now. A location without
	// a sample is not decided about.
	Measure  func(tx *store.Tx, f fleet.Fleet) (map[arn.Location]Sample, error)
	Settings Settings
}

// policiesPage is the size of a page when the caller names none, and the largest one.
const policiesPage = 100

// PutScalingPolicy makes a policy, or replaces the one of that name, for all locations of a
// managed fleet. A rule needs all its members, a target none of them (hosting.md 2.12); of
// targets a fleet has one. What a replaced policy remembered is forgotten.
func (s *Service) PutScalingPolicy(ctx context.Context, in *gamelift.PutScalingPolicyInput) (*gamelift.PutScalingPolicyOutput, error) {
	p, err := policyOf(in)
	if err != nil {
		return nil, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.managedTx(tx, in.FleetId, s.Fleets.HoldTx)
		if err != nil {
			return err
		}
		switch f.Status {
		case types.FleetStatusError, types.FleetStatusDeleting:
			return apierr.InvalidRequest("FleetId: fleet %s is %s, and takes no scaling policies", f.ID, f.Status)
		default:
		}
		stored, err := policiesTx(tx, f.Key)
		if err != nil {
			return err
		}
		for _, other := range stored {
			if p.Target != nil && other.Target != nil && other.Name != p.Name {
				return apierr.InvalidRequest("PolicyType: fleet %s has the target policy %s, and can have one", f.ID, other.Name)
			}
		}
		if _, err := tx.Exec(`DELETE FROM scaling_memory WHERE fleet = $1 AND name = $2`, f.Key, p.Name); err != nil {
			return err
		}
		return putTx(tx, f.Key, p)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.PutScalingPolicyOutput{Name: &p.Name}, nil
}

// policyOf reads a policy, and refuses one with members missing or of the other type.
func policyOf(in *gamelift.PutScalingPolicyInput) (Policy, error) {
	p := Policy{Name: *in.Name, Metric: in.MetricName}
	if _, known := (Sample{}).Metric(in.MetricName); !known {
		return p, apierr.InvalidRequest("MetricName: %s is not a metric that policies know", in.MetricName)
	}
	members := []struct {
		name string
		set  bool
	}{
		{"ComparisonOperator", in.ComparisonOperator != ""},
		{"Threshold", in.Threshold != nil},
		{"EvaluationPeriods", in.EvaluationPeriods != nil},
		{"ScalingAdjustmentType", in.ScalingAdjustmentType != ""},
		{"ScalingAdjustment", in.ScalingAdjustment != nil},
	}
	if in.PolicyType == types.PolicyTypeTargetBased {
		for _, m := range members {
			if m.set {
				return p, apierr.InvalidRequest("%s: it belongs to rules, and PolicyType is TargetBased", m.name)
			}
		}
		return p, target(&p, in)
	}
	if in.TargetConfiguration != nil {
		return p, apierr.InvalidRequest("TargetConfiguration: it belongs to PolicyType TargetBased")
	}
	for _, m := range members {
		if !m.set {
			return p, apierr.InvalidRequest("%s: a RuleBased policy needs it", m.name)
		}
	}
	p.Compare, p.Limit, p.Minutes = in.ComparisonOperator, *in.Threshold, int(*in.EvaluationPeriods)
	p.Adjust, p.By = in.ScalingAdjustmentType, int(*in.ScalingAdjustment)
	if p.Adjust == types.ScalingAdjustmentTypeExactCapacity && p.By < 0 {
		return p, apierr.InvalidRequest("ScalingAdjustment: %d instances are less than none", p.By)
	}
	return p, nil
}

func target(p *Policy, in *gamelift.PutScalingPolicyInput) error {
	if in.MetricName != types.MetricNamePercentAvailableGameSessions {
		return apierr.InvalidRequest("MetricName: a TargetBased policy is about PercentAvailableGameSessions, not %s", in.MetricName)
	}
	if in.TargetConfiguration == nil || in.TargetConfiguration.TargetValue == nil {
		return apierr.InvalidRequest("TargetConfiguration: a TargetBased policy needs it")
	}
	v := *in.TargetConfiguration.TargetValue
	if !(v >= 0 && v < 100) { // not a number neither
		return apierr.InvalidRequest("TargetConfiguration.TargetValue: %v is not from 0 to below 100 percent", v)
	}
	p.Target = &v
	return nil
}

// DescribeScalingPolicies shows a fleet's policies in the order they were first made, one
// entry a location each. StatusFilter other than ACTIVE finds nothing: policies act from
// the moment they are made until they are deleted.
func (s *Service) DescribeScalingPolicies(ctx context.Context, in *gamelift.DescribeScalingPoliciesInput) (*gamelift.DescribeScalingPoliciesOutput, error) {
	bind := []any{in.FleetId, in.Location, in.StatusFilter}
	var from int64
	if _, err := page.Decode("DescribeScalingPolicies", bind, in.NextToken, &from); err != nil {
		return nil, err
	}
	size := page.Size(in.Limit, policiesPage, policiesPage)
	var out *gamelift.DescribeScalingPoliciesOutput
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		out = &gamelift.DescribeScalingPoliciesOutput{ScalingPolicies: []types.ScalingPolicy{}}
		f, err := s.managedTx(tx, in.FleetId, s.Fleets.GetTx)
		if err != nil {
			return err
		}
		places, err := s.placesTx(tx, f, in.Location)
		if err != nil || in.StatusFilter != "" && in.StatusFilter != types.ScalingStatusTypeActive {
			return err
		}
		stored, err := policiesTx(tx, f.Key)
		if err != nil {
			return err
		}
		var all []types.ScalingPolicy
		for _, p := range stored {
			for _, at := range places {
				all = append(all, s.model(f, p, at))
			}
		}
		begin := min(int(from), len(all))
		end := min(begin+size, len(all))
		out.ScalingPolicies = append(out.ScalingPolicies, all[begin:end]...)
		if end < len(all) {
			out.NextToken = new(page.Encode("DescribeScalingPolicies", bind, int64(end)))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// placesTx are a fleet's locations, or the one that is asked for.
func (s *Service) placesTx(tx *store.Tx, f fleet.Fleet, only *string) ([]arn.Location, error) {
	states, err := s.Fleets.PlacesTx(tx, f)
	if err != nil {
		return nil, err
	}
	var places []arn.Location
	for _, l := range states {
		if only == nil || *only == *l.Location {
			places = append(places, arn.Location(*l.Location))
		}
	}
	if only != nil && len(places) == 0 {
		return nil, apierr.NotFound("Location: fleet %s does not have %s", f.ID, *only)
	}
	return places, nil
}

// model is a policy as callers see it.
func (s *Service) model(f fleet.Fleet, p Policy, at arn.Location) types.ScalingPolicy {
	m := types.ScalingPolicy{
		FleetId: new(string(f.ID)), FleetArn: new(s.Home.Fleet(f.ID)), Location: new(string(at)),
		Name: &p.Name, MetricName: p.Metric, Status: types.ScalingStatusTypeActive,
	}
	if p.Target != nil {
		m.PolicyType, m.TargetConfiguration = types.PolicyTypeTargetBased, &types.TargetConfiguration{TargetValue: p.Target}
		return m
	}
	m.PolicyType, m.ComparisonOperator, m.Threshold = types.PolicyTypeRuleBased, p.Compare, &p.Limit
	m.EvaluationPeriods, m.ScalingAdjustmentType, m.ScalingAdjustment = new(int32(p.Minutes)), p.Adjust, new(int32(p.By))
	return m
}

// DeleteScalingPolicy ends a policy in all locations. It is a NotFoundException when the
// fleet has none of that name.
func (s *Service) DeleteScalingPolicy(ctx context.Context, in *gamelift.DeleteScalingPolicyInput) (*gamelift.DeleteScalingPolicyOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.managedTx(tx, in.FleetId, s.Fleets.GetTx)
		if err != nil {
			return err
		}
		n, err := tx.Exec(`DELETE FROM scaling_policy WHERE fleet = $1 AND name = $2`, f.Key, *in.Name)
		if err != nil {
			return err
		}
		if n == 0 {
			return apierr.NotFound("Name: fleet %s has no scaling policy %q", f.ID, *in.Name)
		}
		_, err = tx.Exec(`DELETE FROM scaling_memory WHERE fleet = $1 AND name = $2`, f.Key, *in.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeleteScalingPolicyOutput{}, nil
}

// DropFleetTx forgets the policies and the history of a fleet that is gone.
func (s *Service) DropFleetTx(tx *store.Tx, id arn.FleetID) error {
	f, err := s.Fleets.GetTx(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, table := range []string{"scaling_memory", "scaling_policy", "capacity_history"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE fleet = $1`, f.Key); err != nil {
			return err
		}
	}
	return nil
}

// managedTx finds the fleet a member names. Anywhere fleets do not scale, which is an
// InvalidRequestException.
func (s *Service) managedTx(tx *store.Tx, member *string, get func(*store.Tx, arn.FleetID) (fleet.Fleet, error)) (fleet.Fleet, error) {
	id, err := arn.ParseFleet(*member)
	if err != nil {
		return fleet.Fleet{}, apierr.InvalidRequest("FleetId: %v", err)
	}
	f, err := get(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return fleet.Fleet{}, apierr.NotFound("FleetId: fleet %s does not exist", id)
	}
	if err == nil && f.ComputeType != types.ComputeTypeEc2 {
		err = apierr.InvalidRequest("FleetId: fleet %s is an ANYWHERE fleet, which does not scale", id)
	}
	return f, err
}

// putTx writes a policy; one that is replaced keeps its place.
func putTx(tx *store.Tx, f store.Key, p Policy) error {
	detail, err := json.Marshal(p)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE scaling_policy SET detail = $3 WHERE fleet = $1 AND name = $2`, f, p.Name, string(detail))
	if err != nil || n > 0 {
		return err
	}
	_, err = tx.Exec(`INSERT INTO scaling_policy (fleet, name, key, detail) VALUES ($1, $2, $3, $4)`, f, p.Name, tx.NewKey(), string(detail))
	return err
}

// policiesTx are a fleet's policies in the order they were first made.
func policiesTx(tx *store.Tx, f store.Key) ([]Policy, error) {
	rows, err := tx.Query(`SELECT detail FROM scaling_policy WHERE fleet = $1 ORDER BY key`, f)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Policy
	for rows.Next() {
		var detail string
		if err := rows.Scan(&detail); err != nil {
			return nil, err
		}
		var p Policy
		if err := json.Unmarshal([]byte(detail), &p); err != nil {
			return nil, fmt.Errorf("scaling policy of fleet %d: %w", f, err)
		}
		all = append(all, p)
	}
	return all, rows.Err()
}
