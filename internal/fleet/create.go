package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// CreateFleet makes a fleet. It is never idempotent: two equal calls make two fleets. An
// Anywhere fleet is ACTIVE in the answer already, and so are its locations (hosting.md 2.3);
// its home region is not among them, since it hosts in custom locations only.
func (s *Service) CreateFleet(ctx context.Context, in *gamelift.CreateFleetInput) (*gamelift.CreateFleetOutput, error) {
	if cmp.Or(in.ComputeType, types.ComputeTypeEc2) == types.ComputeTypeEc2 {
		return s.createManaged(ctx, in)
	}
	if err := refuseManagedMembers(in); err != nil {
		return nil, err
	}
	at, err := anywhereLocations(in.Locations)
	if err != nil {
		return nil, err
	}
	if len(at) == 0 {
		return nil, apierr.InvalidRequest("Locations: an ANYWHERE fleet needs at least one custom location")
	}
	f, err := s.newFleet(in)
	if err != nil {
		return nil, err
	}
	var states []types.LocationState
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := insertTx(tx, &f); err != nil {
			return err
		}
		if states, err = s.attachTx(tx, f, at, f.Status); err != nil {
			return err
		}
		if err := s.Tags.SetTx(tx, s.Home.Fleet(f.ID), in.Tags); err != nil {
			return err
		}
		if err := s.EventTx(tx, f.ID, types.EventCodeFleetCreated, "Fleet "+string(f.ID)+" was created"); err != nil {
			return err
		}
		if err := s.stateEventTx(tx, f.ID, f.Status); err != nil {
			return err
		}
		return takeTx(tx, quotaAnywhere, s.Quotas.orDefaults().AnywhereFleets)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.CreateFleetOutput{FleetAttributes: new(s.attributes(f)), LocationStates: states}, nil
}

// refuseManagedMembers refuses what only EC2 fleets have. Members that spell out the state
// an Anywhere fleet is in anyway, such as a DISABLED certificate, pass.
func refuseManagedMembers(in *gamelift.CreateFleetInput) error {
	for _, member := range []struct {
		name string
		set  bool
	}{
		{"BuildId", in.BuildId != nil},
		{"ScriptId", in.ScriptId != nil},
		{"EC2InstanceType", in.EC2InstanceType != ""},
		{"EC2InboundPermissions", len(in.EC2InboundPermissions) > 0},
		{"FleetType", in.FleetType != ""},
		{"CertificateConfiguration", in.CertificateConfiguration != nil && in.CertificateConfiguration.CertificateType != types.CertificateTypeDisabled},
		{"InstanceRoleArn", in.InstanceRoleArn != nil},
		{"InstanceRoleCredentialsProvider", in.InstanceRoleCredentialsProvider != ""},
		{"PeerVpcAwsAccountId", in.PeerVpcAwsAccountId != nil},
		{"PeerVpcId", in.PeerVpcId != nil},
		{"PlayerGatewayMode", in.PlayerGatewayMode != "" && in.PlayerGatewayMode != types.PlayerGatewayModeDisabled},
		{"PlayerGatewayConfiguration", in.PlayerGatewayConfiguration != nil},
	} {
		if member.set {
			return apierr.InvalidRequest("%s: an ANYWHERE fleet cannot have it", member.name)
		}
	}
	return nil
}

// anywhereLocations reads a list of custom locations, each named once.
func anywhereLocations(list []types.LocationConfiguration) ([]arn.Location, error) {
	var at []arn.Location
	for _, l := range list {
		name := arn.Location(*l.Location)
		if !strings.HasPrefix(string(name), customPrefix) {
			return nil, apierr.InvalidRequest("Locations: %s is not a custom location, and an ANYWHERE fleet hosts nowhere else", name)
		}
		if slices.Contains(at, name) {
			return nil, apierr.InvalidRequest("Locations: %s is given twice", name)
		}
		at = append(at, name)
	}
	return at, nil
}

// newFleet is the Anywhere fleet that a request describes, without key and time.
func (s *Service) newFleet(in *gamelift.CreateFleetInput) (Fleet, error) {
	if err := s.checkCreationLimit(in.ResourceCreationLimitPolicy); err != nil {
		return Fleet{}, err
	}
	runtime, err := s.runtimeOf(in)
	if err != nil {
		return Fleet{}, err
	}
	return Fleet{
		Name:        *in.Name,
		Status:      types.FleetStatusActive,
		ComputeType: types.ComputeTypeAnywhere,
		detail: detail{
			Description:      in.Description,
			Protection:       in.NewGameSessionProtectionPolicy,
			CreationLimit:    in.ResourceCreationLimitPolicy,
			MetricGroups:     in.MetricGroups,
			Runtime:          runtime,
			Anywhere:         in.AnywhereConfiguration,
			LogPaths:         in.LogPaths,
			LaunchPath:       in.ServerLaunchPath,
			LaunchParameters: in.ServerLaunchParameters,
		},
	}, nil
}

// runtimeOf is the runtime configuration that a request gives, in its new or in its old form;
// nil when it gives none.
func (s *Service) runtimeOf(in *gamelift.CreateFleetInput) (*types.RuntimeConfiguration, error) {
	runtime := in.RuntimeConfiguration
	if in.ServerLaunchPath != nil {
		if runtime != nil {
			return nil, apierr.InvalidRequest("ServerLaunchPath: it is the old form of RuntimeConfiguration; give one of them")
		}
		runtime = &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{{
			LaunchPath: in.ServerLaunchPath, Parameters: in.ServerLaunchParameters, ConcurrentExecutions: new(int32(1)),
		}}}
	} else if in.ServerLaunchParameters != nil {
		return nil, apierr.InvalidRequest("ServerLaunchParameters: they need ServerLaunchPath")
	}
	return runtime, s.checkRuntime(runtime)
}

// checkCreationLimit holds a policy to the quotas of hosting.md 2.10.
func (s *Service) checkCreationLimit(p *types.ResourceCreationLimitPolicy) error {
	if p == nil {
		return nil
	}
	q := s.Quotas.orDefaults()
	if n := p.NewGameSessionsPerCreator; n != nil && int(*n) > q.SessionsPerCreator {
		return apierr.LimitExceeded("ResourceCreationLimitPolicy.NewGameSessionsPerCreator: %d is over the quota of %d", *n, q.SessionsPerCreator)
	}
	if n := p.PolicyPeriodInMinutes; n != nil && int(*n) > q.PolicyMinutes {
		return apierr.LimitExceeded("ResourceCreationLimitPolicy.PolicyPeriodInMinutes: %d is over the quota of %d", *n, q.PolicyMinutes)
	}
	return nil
}

// insertTx writes a new fleet and gives it its key, id and time.
func insertTx(tx *store.Tx, f *Fleet) error {
	tail := store.Tail()
	f.Key, f.CreatedAt = tx.NewKey(), tx.Now
	f.ID = mintID(f.Key, tail)
	text, err := json.Marshal(f.detail)
	if err != nil {
		return err
	}
	var buildID, scriptID *string
	if f.Build != "" {
		buildID = new(string(f.Build))
	}
	if f.Script != "" {
		scriptID = new(string(f.Script))
	}
	_, err = tx.Exec(`INSERT INTO fleet (key, tail, compute_type, status, name, detail, created_at, build, script, since) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $7)`,
		f.Key, tail, f.ComputeType, f.Status, f.Name, string(text), tx.NowMs(), buildID, scriptID)
	return err
}
