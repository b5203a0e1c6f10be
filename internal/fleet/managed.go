package fleet

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// createManaged makes an EC2 fleet: its record, NEW in every location. Its hosts take it
// from there (life.go). The order of the checks is that of hosting.md 2.2.
func (s *Service) createManaged(ctx context.Context, in *gamelift.CreateFleetInput) (*gamelift.CreateFleetOutput, error) {
	if err := checkManagedMembers(in); err != nil {
		return nil, err
	}
	runtime, err := s.runtimeOf(in)
	if err != nil {
		return nil, err
	}
	if runtime == nil || len(runtime.ServerProcesses) == 0 {
		return nil, apierr.InvalidRequest("RuntimeConfiguration.ServerProcesses: an EC2 fleet needs at least one server process")
	}
	if err := s.checkCreationLimit(in.ResourceCreationLimitPolicy); err != nil {
		return nil, err
	}
	out := &gamelift.CreateFleetOutput{}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		f := managedFleet(in, runtime)
		if err := s.sourceTx(tx, in, &f); err != nil {
			return err
		}
		if err := checkManaged(f, runtime); err != nil {
			return err
		}
		at, err := s.managedLocations(in)
		if err != nil {
			return err
		}
		if err := checkGateway(f); err != nil {
			return err
		}
		f.show()
		if err := insertTx(tx, &f); err != nil {
			return err
		}
		if f.BuildKey != 0 {
			if err := s.Builds.HoldTx(tx, f.BuildKey, f.ID); err != nil {
				return err
			}
		}
		if out.LocationStates, err = s.attachManagedTx(tx, f, at); err != nil {
			return err
		}
		if err := s.Tags.SetTx(tx, s.Home.Fleet(f.ID), in.Tags); err != nil {
			return err
		}
		if err := s.EventTx(tx, f.ID, types.EventCodeFleetCreated, "Fleet "+string(f.ID)+" was created"); err != nil {
			return err
		}
		for _, name := range at {
			if s.isHome(name) {
				continue
			}
			if err := s.placeEventTx(tx, f.ID, name, types.FleetStatusNew); err != nil {
				return err
			}
		}
		a, err := s.attributesTx(tx, f)
		if err != nil {
			return err
		}
		out.FleetAttributes = &a
		tx.Notify(ChannelCapacity, string(f.ID))
		return takeTx(tx, quotaManaged, s.Quotas.orDefaults().ManagedFleets)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// checkManagedMembers checks what needs no look at anything but the request.
func checkManagedMembers(in *gamelift.CreateFleetInput) error {
	switch {
	case in.AnywhereConfiguration != nil:
		return apierr.InvalidRequest("AnywhereConfiguration: an EC2 fleet cannot have it")
	case in.BuildId == nil && in.ScriptId == nil:
		return apierr.InvalidRequest("BuildId, ScriptId: an EC2 fleet needs one of them")
	case in.BuildId != nil && in.ScriptId != nil:
		return apierr.InvalidRequest("BuildId: it cannot be given together with ScriptId")
	case in.EC2InstanceType == "":
		return apierr.InvalidRequest("EC2InstanceType: an EC2 fleet needs it")
	case (in.PeerVpcAwsAccountId == nil) != (in.PeerVpcId == nil):
		return apierr.InvalidRequest("PeerVpcAwsAccountId, PeerVpcId: they are given together or not at all")
	case in.InstanceRoleArn != nil && !roleARN.MatchString(*in.InstanceRoleArn):
		return apierr.InvalidRequest("InstanceRoleArn: %s is not the ARN of a role", *in.InstanceRoleArn)
	case in.InstanceRoleCredentialsProvider != "" && in.InstanceRoleArn == nil:
		return apierr.InvalidRequest("InstanceRoleCredentialsProvider: it needs InstanceRoleArn")
	case in.PlayerGatewayConfiguration != nil && !gatewayOn(in.PlayerGatewayMode):
		return apierr.InvalidRequest("PlayerGatewayConfiguration: it needs PlayerGatewayMode ENABLED or REQUIRED")
	}
	return nil
}

var roleARN = regexp.MustCompile(`^arn:[^:]*:iam::[^:]*:role/\S+$`)

func managedFleet(in *gamelift.CreateFleetInput, runtime *types.RuntimeConfiguration) Fleet {
	f := Fleet{
		Name: *in.Name, Status: types.FleetStatusNew, ComputeType: types.ComputeTypeEc2,
		detail: detail{
			Description: in.Description, Protection: in.NewGameSessionProtectionPolicy, CreationLimit: in.ResourceCreationLimitPolicy,
			MetricGroups: in.MetricGroups, Runtime: runtime, LogPaths: in.LogPaths,
			LaunchPath: in.ServerLaunchPath, LaunchParameters: in.ServerLaunchParameters,
			InstanceType: in.EC2InstanceType, FleetType: cmp.Or(in.FleetType, types.FleetTypeOnDemand), Ports: in.EC2InboundPermissions,
			Role: in.InstanceRoleArn, RoleProvider: in.InstanceRoleCredentialsProvider,
			PeerAccount: in.PeerVpcAwsAccountId, PeerVPC: in.PeerVpcId,
			Gateway: in.PlayerGatewayMode, GatewayConfig: in.PlayerGatewayConfiguration,
		},
	}
	if in.CertificateConfiguration != nil {
		f.detail.Certificate = in.CertificateConfiguration.CertificateType
	}
	return f
}

// sourceTx looks up the build or the script that a fleet is to run.
func (s *Service) sourceTx(tx *store.Tx, in *gamelift.CreateFleetInput, f *Fleet) error {
	if in.ScriptId != nil {
		c, err := s.Builds.ScriptTx(tx, *in.ScriptId)
		if err != nil {
			return err
		}
		f.Script, f.detail.ScriptKey, f.detail.OS = c.ID, c.Key, c.OS()
		return nil
	}
	b, err := s.Builds.GetTx(tx, *in.BuildId)
	if err != nil {
		return err
	}
	switch b.Status {
	case types.BuildStatusReady:
	case types.BuildStatusFailed:
		return apierr.InvalidRequest("BuildId: build %s is FAILED and cannot be used", b.ID)
	default:
		return apierr.NotReady("BuildId: build %s is %s; a fleet can be made once it is READY", b.ID, b.Status)
	}
	f.Build, f.detail.BuildKey, f.detail.OS, f.detail.ServerSDK = b.ID, b.Key, b.OS, b.ServerSDK
	return nil
}

// releaseTx gives back what a fleet that ends held.
func (s *Service) releaseTx(tx *store.Tx, f Fleet) error {
	if f.BuildKey == 0 {
		return nil
	}
	return s.Builds.ReleaseTx(tx, f.BuildKey, f.ID)
}

// checkManaged checks a fleet against the build or script it is to run.
func checkManaged(f Fleet, runtime *types.RuntimeConfiguration) error {
	if windows(f.detail.OS) && isARM(f.detail.InstanceType) {
		return apierr.InvalidRequest("EC2InstanceType: %s has ARM processors, and the build is for %s", f.detail.InstanceType, f.detail.OS)
	}
	if f.detail.OS == types.OperatingSystemAmazonLinux && isARM(f.detail.InstanceType) {
		return apierr.InvalidRequest("EC2InstanceType: %s has ARM processors, which %s does not run on", f.detail.InstanceType, f.detail.OS)
	}
	if err := checkLaunchPaths(runtime, f.detail.OS); err != nil {
		return err
	}
	if err := checkPorts("EC2InboundPermissions", f.detail.Ports, f.detail.OS); err != nil {
		return err
	}
	for i, p := range f.detail.Ports {
		if portAt(f.detail.Ports[:i], p) >= 0 {
			return apierr.InvalidRequest("EC2InboundPermissions: %s is given twice", showPort(p))
		}
	}
	if f.detail.RoleProvider != "" && !sdk5(f.detail.ServerSDK) {
		return apierr.InvalidRequest("InstanceRoleCredentialsProvider: it needs a build with server SDK 5 or later")
	}
	return nil
}

// armFamily are the families of instance types with ARM processors: a g behind the number
// of the generation (c6g, m7gd, x2gd, t4g, im4gn), as against the family g itself (g4dn).
var armFamily = regexp.MustCompile(`^[a-z]+\d+g[a-z]*\.`)

func isARM(t types.EC2InstanceType) bool { return armFamily.MatchString(string(t)) }

func windows(os types.OperatingSystem) bool { return strings.HasPrefix(string(os), "WINDOWS") }

// sdk5 tells whether a build's server SDK has what came with version 5.
func sdk5(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 5
}

// checkLaunchPaths holds launch paths to where builds land (hosting.md 2.8).
func checkLaunchPaths(r *types.RuntimeConfiguration, os types.OperatingSystem) error {
	prefix := "/local/game/"
	if windows(os) {
		prefix = `C:\game\`
	}
	for _, p := range r.ServerProcesses {
		path := *p.LaunchPath
		inside := strings.HasPrefix(path, prefix)
		if windows(os) {
			inside = len(path) >= len(prefix) && strings.EqualFold(path[:len(prefix)], prefix)
		}
		if !inside || len(path) == len(prefix) {
			return apierr.InvalidRequest("RuntimeConfiguration.ServerProcesses: LaunchPath %s does not begin with %s, where builds for %s land", path, prefix, os)
		}
	}
	return nil
}

// checkGateway: no location has a player gateway, so a fleet may be told to use it where it
// is supported, and not to need it.
func checkGateway(f Fleet) error {
	if !gatewayOn(f.detail.Gateway) {
		return nil
	}
	if windows(f.detail.OS) || !sdk5(f.detail.ServerSDK) {
		return apierr.InvalidRequest("PlayerGatewayMode: it needs a build for Linux with server SDK 5 or later")
	}
	if f.detail.Gateway == types.PlayerGatewayModeRequired {
		return apierr.InvalidRequest("PlayerGatewayMode: REQUIRED cannot be met, since no location of this server has a player gateway")
	}
	return nil
}

func gatewayOn(mode types.PlayerGatewayMode) bool {
	return mode == types.PlayerGatewayModeEnabled || mode == types.PlayerGatewayModeRequired
}

// awsLocation is the form of AWS regions and Local Zones. Hosts say where they are, so every
// one of them can be a location.
var awsLocation = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-\d+(-[a-z]+-\d+)?$`)

// managedLocations are the locations of a new EC2 fleet: those that are named, the home
// region among them, or the home region alone.
func (s *Service) managedLocations(in *gamelift.CreateFleetInput) ([]arn.Location, error) {
	if len(in.Locations) == 0 {
		return []arn.Location{s.homePlace()}, nil
	}
	at, err := hostLocations(in.Locations)
	if err == nil && !slices.Contains(at, s.homePlace()) {
		return nil, apierr.InvalidRequest("Locations: the home region %s must be among them", s.Home.Region)
	}
	return at, err
}

// hostLocations reads a list of locations that hosts can be in, each named once.
func hostLocations(list []types.LocationConfiguration) ([]arn.Location, error) {
	var at []arn.Location
	for _, l := range list {
		name := arn.Location(*l.Location)
		if !strings.HasPrefix(string(name), customPrefix) && !awsLocation.MatchString(string(name)) {
			return nil, apierr.InvalidRequest("Locations: %s is neither an AWS region or Local Zone nor a custom location", name)
		}
		if slices.Contains(at, name) {
			return nil, apierr.InvalidRequest("Locations: %s is given twice", name)
		}
		at = append(at, name)
	}
	return at, nil
}

// attachManagedTx gives a managed fleet locations, in the given order, each NEW and with
// the first settings of hosting.md 2.7. Beyond AWS, which hosts in its own regions only, a
// location may also be a custom one that exists: hosts can stand anywhere.
func (s *Service) attachManagedTx(tx *store.Tx, f Fleet, at []arn.Location) ([]types.LocationState, error) {
	states, err := s.attachTx(tx, f, at, types.FleetStatusNew)
	if err != nil {
		return nil, err
	}
	for _, name := range at {
		if err := newPlaceTx(tx, f, name); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// peerAtCreationTx peers a fleet that becomes ACTIVATING with the VPC it was created with.
// When that fails, so does the creation (hosting.md 5.5).
func (s *Service) peerAtCreationTx(tx *store.Tx, f *Fleet, p *place) error {
	if f.detail.PeerVPC == nil {
		return nil
	}
	vpc := *f.detail.PeerVPC
	err := s.authorizedTx(tx, vpc, f.detail.PeerAccount)
	if isNotFound(err) {
		if err := s.EventTx(tx, f.ID, types.EventCodeFleetVpcPeeringFailed, fmt.Sprintf("Fleet %s was not peered with VPC %s: there is no valid authorization", f.ID, vpc)); err != nil {
			return err
		}
		return s.enterTx(tx, f, p, types.FleetStatusError)
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO vpc_peering (key, fleet, peer_vpc) VALUES ($1, $2, $3) ON CONFLICT (fleet, peer_vpc) DO NOTHING`, tx.NewKey(), f.Key, vpc); err != nil {
		return err
	}
	return s.EventTx(tx, f.ID, types.EventCodeFleetVpcPeeringSucceeded, fmt.Sprintf("Fleet %s was peered with VPC %s", f.ID, vpc))
}
