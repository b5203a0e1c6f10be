package host

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

const describePage = 100 // default and most of DescribeInstances

// DescribeInstances lists the instances of a managed fleet in one location, the home region
// unless another is named, oldest first. An Anywhere fleet has none: InvalidRequestException.
// An instance is ACTIVE while a process of it is ready or hosts a game session.
func (s *Service) DescribeInstances(ctx context.Context, in *gamelift.DescribeInstancesInput) (*gamelift.DescribeInstancesOutput, error) {
	var after store.Key
	bind := []any{in.FleetId, in.Location, in.InstanceId}
	if _, err := page.Decode("DescribeInstances", bind, in.NextToken, &after); err != nil {
		return nil, err
	}
	size := page.Size(in.Limit, describePage, describePage)
	out := &gamelift.DescribeInstancesOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		out.Instances, out.NextToken = []types.Instance{}, nil
		f, err := s.managed(tx, "DescribeInstances", in.FleetId)
		if err != nil {
			return err
		}
		list, err := s.describedTx(tx, f, in, after, size+1)
		if err != nil {
			return err
		}
		if len(list) > size {
			list = list[:size]
			out.NextToken = new(page.Encode("DescribeInstances", bind, list[size-1].key))
		}
		out.Instances, err = s.modelsTx(tx, list)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) describedTx(tx *store.Tx, f fleet.Fleet, in *gamelift.DescribeInstancesInput, after store.Key, limit int) ([]instance, error) {
	if in.InstanceId != nil {
		list, err := instances(tx, `WHERE id = $1 AND fleet = $2 AND ended_at IS NULL AND (location = $3 OR $3 = '')`, *in.InstanceId, f.Key, text(in.Location))
		if err == nil && len(list) == 0 {
			err = apierr.NotFound("InstanceId: fleet %s has no instance %s", f.ID, *in.InstanceId)
		}
		return list, err
	}
	at := s.Home.Region
	if in.Location != nil {
		at = *in.Location
	}
	if _, err := s.Fleets.LocationTx(tx, f.ID, arn.Location(at)); errors.Is(err, store.ErrNoRows) {
		return nil, apierr.NotFound("Location: fleet %s does not have %s", f.ID, at)
	} else if err != nil {
		return nil, err
	}
	return instances(tx, `WHERE fleet = $1 AND location = $2 AND ended_at IS NULL AND key > $3 ORDER BY key LIMIT $4`, f.Key, at, after, limit)
}

func (s *Service) modelsTx(tx *store.Tx, list []instance) ([]types.Instance, error) {
	computes := make([]store.Key, len(list))
	for i, n := range list {
		computes[i] = n.compute
	}
	lively, err := s.Computes.LivelyTx(tx, computes)
	if err != nil {
		return nil, err
	}
	models := make([]types.Instance, len(list))
	for i, n := range list {
		status := types.InstanceStatusPending
		switch {
		case n.ending(), n.actual == lost:
			status = types.InstanceStatusTerminating
		case lively[n.compute]:
			status = types.InstanceStatusActive
		}
		models[i] = types.Instance{
			FleetId: new(string(n.fleetID)), FleetArn: new(s.Home.Fleet(n.fleetID)), InstanceId: new(n.id), IpAddress: new(n.ip), DnsName: n.dns,
			OperatingSystem: n.os, Type: n.kind, Status: status, CreationTime: new(unix(n.madeAt)), Location: new(string(n.location)),
		}
	}
	return models, nil
}

// managed reads the fleet that a caller's FleetId names, which must have instances.
func (s *Service) managed(tx *store.Tx, operation string, member *string) (fleet.Fleet, error) {
	id, err := arn.ParseFleet(*member)
	if err != nil {
		return fleet.Fleet{}, apierr.InvalidRequest("FleetId: %v", err)
	}
	f, err := s.Fleets.GetTx(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return f, apierr.NotFound("FleetId: fleet %s does not exist", id)
	}
	if err == nil && f.ComputeType == types.ComputeTypeAnywhere {
		err = apierr.InvalidRequest("FleetId: fleet %s is an ANYWHERE fleet, which %s is not for", f.ID, operation)
	}
	return f, err
}

// DescribeEC2InstanceLimits shows the pools of hosts: how many instances there are of a type
// in a location, and how many all hosts there take. A type is a name here, so that all types
// share the pool. A location other than the home region that no host serves is an
// UnsupportedRegionException.
func (s *Service) DescribeEC2InstanceLimits(ctx context.Context, in *gamelift.DescribeEC2InstanceLimitsInput) (*gamelift.DescribeEC2InstanceLimitsOutput, error) {
	at := arn.Location(s.Home.Region)
	if in.Location != nil {
		at = arn.Location(*in.Location)
	}
	asked := types.EC2InstanceType("").Values()
	if in.EC2InstanceType != "" {
		asked = []types.EC2InstanceType{in.EC2InstanceType}
	}
	out := &gamelift.DescribeEC2InstanceLimitsOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		out.EC2InstanceLimits = []types.EC2InstanceLimit{}
		hosts, size, err := poolTx(tx, at)
		if err != nil {
			return err
		}
		if hosts == 0 && string(at) != s.Home.Region {
			return apierr.UnsupportedRegion("Location: no host serves %s", at)
		}
		used, err := usedTx(tx, at)
		if err != nil {
			return err
		}
		for _, kind := range asked {
			out.EC2InstanceLimits = append(out.EC2InstanceLimits, types.EC2InstanceLimit{
				EC2InstanceType: kind, Location: new(string(at)), CurrentInstances: new(used[kind]), InstanceLimit: new(int32(min(size, 1<<31-1))),
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// LimitTx is how many instances all hosts of a location take, for fleet.Service.InstanceLimit.
// Those that are away at the moment count.
func (s *Service) LimitTx(tx *store.Tx, _ types.EC2InstanceType, at arn.Location) (int, error) {
	_, size, err := poolTx(tx, at)
	return size, err
}

func poolTx(tx *store.Tx, at arn.Location) (hosts, size int, err error) {
	err = tx.QueryRow(`SELECT count(*), COALESCE(CAST(sum(capacity) AS BIGINT), 0) FROM host WHERE location = $1`, at).Scan(&hosts, &size)
	return hosts, size, err
}

func usedTx(tx *store.Tx, at arn.Location) (map[types.EC2InstanceType]int32, error) {
	rows, err := tx.Query(`SELECT kind, count(*) FROM instance WHERE location = $1 AND ended_at IS NULL GROUP BY kind ORDER BY kind`, at)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	used := map[types.EC2InstanceType]int32{}
	for rows.Next() {
		var kind types.EC2InstanceType
		var n int32
		if err := rows.Scan(&kind, &n); err != nil {
			return nil, err
		}
		used[kind] = n
	}
	return used, rows.Err()
}

// GetInstanceAccess gives remote access to instances of old builds. This server offers none,
// since a host's owner has better means: UnauthorizedException (hosting.md 3.6). With server
// SDK 5 and newer it does not exist: InvalidRequestException.
func (s *Service) GetInstanceAccess(ctx context.Context, in *gamelift.GetInstanceAccessInput) (*gamelift.GetInstanceAccessOutput, error) {
	return nil, s.DB.Read(ctx, func(tx *store.Tx) error {
		f, err := s.managed(tx, "GetInstanceAccess", in.FleetId)
		if err != nil {
			return err
		}
		if _, err := s.describedTx(tx, f, &gamelift.DescribeInstancesInput{InstanceId: in.InstanceId}, 0, 1); err != nil {
			return err
		}
		if major, _, _ := strings.Cut(f.ServerSDK, "."); f.ServerSDK == "" || len(major) > 1 || major >= "5" {
			return apierr.InvalidRequest("FleetId: fleet %s has server SDK %s, for which there is GetComputeAccess", f.ID, or(f.ServerSDK, "5"))
		}
		return apierr.Unauthorized("InstanceId: this server gives no access to instance %s; reach its host by its own means", *in.InstanceId)
	})
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
