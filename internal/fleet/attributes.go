package fleet

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	listPage   = 16 // ListFleets without Limit (hosting.md 0.4)
	fleetsPage = 100
)

// ListFleets lists the ids of all fleets, or of those that run a build or a script, oldest
// first. A build or a script that was deleted still has the fleets that run it.
func (s *Service) ListFleets(ctx context.Context, in *gamelift.ListFleetsInput) (*gamelift.ListFleetsOutput, error) {
	if in.BuildId != nil && in.ScriptId != nil {
		return nil, apierr.InvalidRequest("BuildId: it cannot be given together with ScriptId")
	}
	where, only, err := running(in)
	if err != nil {
		return nil, err
	}
	bind := []*string{in.BuildId, in.ScriptId}
	var after store.Key
	if _, err := page.Decode("ListFleets", bind, in.NextToken, &after); err != nil {
		return nil, err
	}
	out := &gamelift.ListFleetsOutput{}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		out.FleetIds = []string{}
		fleets, more, err := pageTx(tx, after, page.Size(in.Limit, listPage, fleetsPage), where, only...)
		if err != nil {
			return err
		}
		for _, f := range fleets {
			out.FleetIds = append(out.FleetIds, string(f.ID))
		}
		if more {
			out.NextToken = new(page.Encode("ListFleets", bind, fleets[len(fleets)-1].Key))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// running is the condition, with its argument $3, for what ListFleets was asked for.
func running(in *gamelift.ListFleetsInput) (where string, args []any, err error) {
	switch {
	case in.BuildId != nil:
		id, err := arn.ParseBuild(*in.BuildId)
		if err != nil {
			return "", nil, apierr.InvalidRequest("BuildId: %v", err)
		}
		return ` AND build = $3`, []any{string(id)}, nil
	case in.ScriptId != nil:
		id, err := arn.ParseScript(*in.ScriptId)
		if err != nil {
			return "", nil, apierr.InvalidRequest("ScriptId: %v", err)
		}
		return ` AND script = $3`, []any{string(id)}, nil
	}
	return "", nil, nil
}

// DescribeFleetAttributes shows fleets: those named, in that order and without the unknown
// and the deleted ones, or all, oldest first. Named fleets are not paged.
func (s *Service) DescribeFleetAttributes(ctx context.Context, in *gamelift.DescribeFleetAttributesInput) (*gamelift.DescribeFleetAttributesOutput, error) {
	out := &gamelift.DescribeFleetAttributesOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		out.FleetAttributes = []types.FleetAttributes{}
		fleets, next, err := selectTx(tx, "DescribeFleetAttributes", in.FleetIds, in.Limit, in.NextToken)
		if err != nil {
			return err
		}
		for _, f := range fleets {
			a, err := s.attributesTx(tx, f)
			if err != nil {
				return err
			}
			out.FleetAttributes = append(out.FleetAttributes, a)
		}
		out.NextToken = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateFleetAttributes changes the members that are given; the others keep their value. A
// new protection policy is for new game sessions only.
func (s *Service) UpdateFleetAttributes(ctx context.Context, in *gamelift.UpdateFleetAttributesInput) (*gamelift.UpdateFleetAttributesOutput, error) {
	if err := s.checkCreationLimit(in.ResourceCreationLimitPolicy); err != nil {
		return nil, err
	}
	out := &gamelift.UpdateFleetAttributesOutput{}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.fleetToChange(tx, in.FleetId)
		if err != nil {
			return err
		}
		switch f.Status {
		case types.FleetStatusDeleting, types.FleetStatusError:
			return apierr.InvalidFleetStatus("FleetId: fleet %s is %s and cannot be changed", f.ID, f.Status)
		default:
		}
		if in.AnywhereConfiguration != nil && f.ComputeType != types.ComputeTypeAnywhere {
			return apierr.InvalidRequest("AnywhereConfiguration: fleet %s is not an ANYWHERE fleet", f.ID)
		}
		if err := s.protectionEventTx(tx, f, in.NewGameSessionProtectionPolicy); err != nil {
			return err
		}
		f.merge(in)
		out.FleetId, out.FleetArn = new(string(f.ID)), new(s.Home.Fleet(f.ID))
		return saveTx(tx, f)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// merge takes over the members that were sent. An empty list of metric groups is the
// default group again.
func (f *Fleet) merge(in *gamelift.UpdateFleetAttributesInput) {
	if in.Name != nil {
		f.Name = *in.Name
	}
	if in.Description != nil {
		f.detail.Description = in.Description
	}
	if in.NewGameSessionProtectionPolicy != "" {
		f.detail.Protection = in.NewGameSessionProtectionPolicy
	}
	if in.ResourceCreationLimitPolicy != nil {
		f.detail.CreationLimit = in.ResourceCreationLimitPolicy
	}
	if in.MetricGroups != nil {
		f.detail.MetricGroups = in.MetricGroups
	}
	if in.AnywhereConfiguration != nil {
		f.detail.Anywhere = in.AnywhereConfiguration
	}
}

// protectionEventTx tells of a change of protection, with the old and the new policy.
func (s *Service) protectionEventTx(tx *store.Tx, f Fleet, policy types.ProtectionPolicy) error {
	old := f.Protection
	if old == "" {
		old = types.ProtectionPolicyNoProtection
	}
	if policy == "" || policy == old {
		return nil
	}
	return s.EventTx(tx, f.ID, types.EventCodeFleetNewGameSessionProtectionPolicyUpdated,
		fmt.Sprintf("Fleet %s changed the protection policy of new game sessions from %s to %s", f.ID, old, policy))
}

// saveTx writes what callers can change of a fleet.
func saveTx(tx *store.Tx, f Fleet) error {
	text, err := json.Marshal(f.detail)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE fleet SET name = $2, detail = $3 WHERE key = $1`, f.Key, f.Name, string(text))
	return err
}

// selectTx reads the fleets of a describe operation: the named ones, in that order, each
// once and without those that do not exist; or without names, a page of all.
func selectTx(tx *store.Tx, op string, named []string, limit *int32, token *string) ([]Fleet, *string, error) {
	if named != nil {
		fleets, err := namedTx(tx, named)
		return fleets, nil, err
	}
	var after store.Key
	if _, err := page.Decode(op, nil, token, &after); err != nil {
		return nil, nil, err
	}
	fleets, more, err := pageTx(tx, after, page.Size(limit, fleetsPage, fleetsPage), "")
	if err != nil || !more {
		return fleets, nil, err
	}
	return fleets, new(page.Encode(op, nil, fleets[len(fleets)-1].Key)), nil
}

func namedTx(tx *store.Tx, named []string) ([]Fleet, error) {
	var ids []arn.FleetID
	var keys []int64
	for _, name := range named {
		id, err := arn.ParseFleet(name)
		if err != nil {
			return nil, apierr.InvalidRequest("FleetIds: %v", err)
		}
		ids = append(ids, id)
		if key, _, err := parseID(id); err == nil {
			keys = append(keys, int64(key))
		}
	}
	found, err := manyTx(tx, `WHERE `+tx.In("key", 1)+` AND terminated_at IS NULL`, store.List(tx, keys))
	if err != nil {
		return nil, err
	}
	byID := make(map[arn.FleetID]Fleet, len(found))
	for _, f := range found {
		byID[f.ID] = f
	}
	var fleets []Fleet
	for _, id := range ids {
		if f, ok := byID[id]; ok {
			fleets = append(fleets, f)
			delete(byID, id)
		}
	}
	return fleets, nil
}

// pageTx reads up to size fleets after a key, of those for which a condition holds whose
// arguments begin at $3; more tells whether others follow.
func pageTx(tx *store.Tx, after store.Key, size int, where string, args ...any) (fleets []Fleet, more bool, err error) {
	fleets, err = manyTx(tx, `WHERE key > $1 AND terminated_at IS NULL`+where+` ORDER BY key LIMIT $2`, append([]any{after, size + 1}, args...)...)
	if len(fleets) > size {
		return fleets[:size], true, err
	}
	return fleets, false, err
}

func manyTx(tx *store.Tx, where string, args ...any) ([]Fleet, error) {
	rows, err := tx.Query(`SELECT `+fleetColumns+` FROM fleet `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var fleets []Fleet
	for rows.Next() {
		f, err := scan(rows)
		if err != nil {
			return nil, err
		}
		fleets = append(fleets, f)
	}
	return fleets, rows.Err()
}
