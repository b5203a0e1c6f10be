package fleet

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// mostPorts is how many permissions a fleet may have (hosting.md 2.9).
const mostPorts = 50

// DescribeFleetPortSettings shows a fleet's open ports, in the order in which they were
// opened: none on an Anywhere fleet. The answer for a deleted fleet is empty (hosting.md
// 2.4). Changes reach all locations at once, so none is ever PENDING_UPDATE.
func (s *Service) DescribeFleetPortSettings(ctx context.Context, in *gamelift.DescribeFleetPortSettingsInput) (*gamelift.DescribeFleetPortSettingsOutput, error) {
	out := &gamelift.DescribeFleetPortSettingsOutput{InboundPermissions: []types.IpPermission{}}
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if deleted(tx, in.FleetId) {
			return nil
		}
		var f Fleet
		if in.Location == nil {
			f, err = s.fleetOf(tx, in.FleetId)
		} else {
			f, err = s.fleetAt(tx, in.FleetId, in.Location)
		}
		if err != nil {
			return err
		}
		out.FleetId, out.FleetArn, out.Location = new(string(f.ID)), new(s.Home.Fleet(f.ID)), in.Location
		if f.Ports != nil {
			out.InboundPermissions = f.Ports
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateFleetPortSettings closes and then opens ports of an ACTIVE fleet. What is to be
// closed must be open exactly as it is given, and what is to be opened must not be open
// already, which is a ConflictException.
func (s *Service) UpdateFleetPortSettings(ctx context.Context, in *gamelift.UpdateFleetPortSettingsInput) (*gamelift.UpdateFleetPortSettingsOutput, error) {
	out := &gamelift.UpdateFleetPortSettingsOutput{}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.fleetToChange(tx, in.FleetId)
		if err != nil {
			return err
		}
		if err := onlyManaged(f, "UpdateFleetPortSettings"); err != nil {
			return err
		}
		if f.Status != types.FleetStatusActive {
			return apierr.InvalidFleetStatus("FleetId: fleet %s is %s; its ports can be changed while it is ACTIVE", f.ID, f.Status)
		}
		if err := checkPorts("InboundPermissionAuthorizations", in.InboundPermissionAuthorizations, f.OS); err != nil {
			return err
		}
		if f.detail.Ports, err = changed(f.Ports, in.InboundPermissionRevocations, in.InboundPermissionAuthorizations); err != nil {
			return err
		}
		out.FleetId, out.FleetArn = new(string(f.ID)), new(s.Home.Fleet(f.ID))
		tx.Notify(ChannelCapacity, string(f.ID))
		return saveTx(tx, f)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// changed are permissions without some and with others.
func changed(open, without, with []types.IpPermission) ([]types.IpPermission, error) {
	open = slices.Clone(open)
	for _, p := range without {
		at := portAt(open, p)
		if at < 0 {
			return nil, apierr.InvalidRequest("InboundPermissionRevocations: the fleet has no permission %s", showPort(p))
		}
		open = slices.Delete(open, at, at+1)
	}
	for _, p := range with {
		if portAt(open, p) >= 0 {
			return nil, apierr.Conflict("InboundPermissionAuthorizations: the fleet has the permission %s already", showPort(p))
		}
		open = append(open, p)
	}
	if len(open) > mostPorts {
		return nil, apierr.LimitExceeded("InboundPermissionAuthorizations: the fleet would have %d permissions, and the quota is %d", len(open), mostPorts)
	}
	return open, nil
}

// portAt finds an equal permission; -1 when there is none.
func portAt(list []types.IpPermission, p types.IpPermission) int {
	return slices.IndexFunc(list, func(o types.IpPermission) bool { return showPort(o) == showPort(p) })
}

func showPort(p types.IpPermission) string {
	return fmt.Sprintf("%s %d-%d from %s", p.Protocol, *p.FromPort, *p.ToPort, *p.IpRange)
}

// checkPorts holds permissions to hosting.md 2.9.
func checkPorts(member string, list []types.IpPermission, os types.OperatingSystem) error {
	for _, p := range list {
		from, to := *p.FromPort, *p.ToPort
		if to < from {
			return apierr.InvalidRequest("%s: ToPort %d is below FromPort %d", member, to, from)
		}
		ssh := from == 22 && to == 22 && !windows(os)
		if !ssh && (from < 1026 || to > 60000) {
			return apierr.InvalidRequest("%s: ports %d to %d are not all between 1026 and 60000 (on Linux, 22 is allowed too)", member, from, to)
		}
		if _, err := netip.ParsePrefix(*p.IpRange); err != nil {
			return apierr.InvalidRequest("%s: IpRange %s is not a range in CIDR notation", member, *p.IpRange)
		}
	}
	return nil
}
