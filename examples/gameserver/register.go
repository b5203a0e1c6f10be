package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/amazon-gamelift/amazon-gamelift-servers-go-server-sdk/v5/server"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// registration is what a compute of an Anywhere fleet is registered with.
type registration struct{ location, ip string }

// register makes this machine a compute of the fleet, unless it is one already, and fetches
// where to connect and a token. The AWS SDK finds the service by its usual settings
// (AWS_ENDPOINT_URL, AWS_REGION, keys).
//
// Real hosts do this once a machine, outside of the game server, which then needs no AWS
// keys; here it makes a local start one command.
func (r registration) register(ctx context.Context, p *server.ServerParameters) error {
	if p.FleetID == "" || p.HostID == "" || r.location == "" {
		return errors.New("-register needs -fleet, -host and -location")
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	api := gamelift.NewFromConfig(cfg)
	compute, err := r.compute(ctx, api, p)
	if err != nil {
		return err
	}
	token, err := api.GetComputeAuthToken(ctx, &gamelift.GetComputeAuthTokenInput{FleetId: &p.FleetID, ComputeName: &p.HostID})
	if err != nil {
		return err
	}
	p.WebSocketURL, p.AuthToken = *compute.GameLiftServiceSdkEndpoint, *token.AuthToken
	return nil
}

func (r registration) compute(ctx context.Context, api *gamelift.Client, p *server.ServerParameters) (*types.Compute, error) {
	out, err := api.RegisterCompute(ctx, &gamelift.RegisterComputeInput{
		FleetId: &p.FleetID, ComputeName: &p.HostID, Location: &r.location, IpAddress: &r.ip,
	})
	if err == nil {
		return out.Compute, nil
	}
	if _, taken := errors.AsType[*types.ConflictException](err); !taken {
		return nil, err
	}
	is, describeErr := api.DescribeCompute(ctx, &gamelift.DescribeComputeInput{FleetId: &p.FleetID, ComputeName: &p.HostID})
	if describeErr != nil {
		return nil, errors.Join(err, describeErr)
	}
	if ip := is.Compute.IpAddress; ip == nil || *ip != r.ip {
		return nil, fmt.Errorf("compute %s is registered with another address; deregister it first: %w", p.HostID, err)
	}
	return is.Compute, nil
}
