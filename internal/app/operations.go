package app

//go:generate go run ./gen

import (
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/awsapi"
)

// operations is the index page: every operation of the API, and the method that carries it
// out or the room it waits for.
func operations(r *rooms) []awsapi.Operation {
	tags, builds, fleets, computes, sessions, hosts := &r.tags, &r.builds, &r.fleets, &r.computes, &r.sessions, &r.hosts
	scales, placements, matches := &r.scaling, &r.placements, &r.matches
	return []awsapi.Operation{
		// Fleets.
		awsapi.Op(fleets.CreateFleet),
		awsapi.Op(fleets.DeleteFleet),
		awsapi.Op(fleets.DescribeFleetAttributes),
		awsapi.Op(fleets.DescribeFleetEvents),
		awsapi.Op(fleets.DescribeFleetPortSettings),
		awsapi.Op(fleets.DescribeFleetUtilization),
		awsapi.Op(fleets.DescribeRuntimeConfiguration),
		awsapi.Op(fleets.ListFleets),
		awsapi.Op(fleets.UpdateFleetAttributes),
		awsapi.Op(fleets.UpdateFleetPortSettings),
		awsapi.Op(fleets.UpdateRuntimeConfiguration),

		// Locations of fleets, and custom locations.
		awsapi.Op(fleets.CreateFleetLocations),
		awsapi.Op(fleets.DeleteFleetLocations),
		awsapi.Op(fleets.DescribeFleetLocationAttributes),
		awsapi.Op(fleets.DescribeFleetLocationCapacity),
		awsapi.Op(fleets.DescribeFleetLocationUtilization),
		awsapi.Op(fleets.CreateLocation),
		awsapi.Op(fleets.DeleteLocation),
		awsapi.Op(fleets.ListLocations),

		// Capacity and the hosts of managed fleets.
		awsapi.Op(hosts.DescribeEC2InstanceLimits),
		awsapi.Op(fleets.DescribeFleetCapacity),
		awsapi.Op(fleets.StartFleetActions),
		awsapi.Op(fleets.StopFleetActions),
		awsapi.Op(fleets.UpdateFleetCapacity),
		awsapi.Op(hosts.DescribeInstances),
		awsapi.Op(hosts.GetInstanceAccess),

		// Aliases.
		awsapi.Op(fleets.CreateAlias),
		awsapi.Op(fleets.DeleteAlias),
		awsapi.Op(fleets.DescribeAlias),
		awsapi.Op(fleets.ListAliases),
		awsapi.Op(fleets.ResolveAlias),
		awsapi.Op(fleets.UpdateAlias),

		// VPC peering.
		awsapi.Op(fleets.CreateVpcPeeringAuthorization),
		awsapi.Op(fleets.CreateVpcPeeringConnection),
		awsapi.Op(fleets.DeleteVpcPeeringAuthorization),
		awsapi.Op(fleets.DeleteVpcPeeringConnection),
		awsapi.Op(fleets.DescribeVpcPeeringAuthorizations),
		awsapi.Op(fleets.DescribeVpcPeeringConnections),

		// Tags.
		awsapi.Op(tags.ListTagsForResource),
		awsapi.Op(tags.TagResource),
		awsapi.Op(tags.UntagResource),

		// Computes.
		awsapi.Op(computes.DeregisterCompute),
		awsapi.Op(computes.DescribeCompute),
		awsapi.Op(computes.GetComputeAccess),
		awsapi.Op(computes.GetComputeAuthToken),
		awsapi.Op(computes.ListCompute),
		awsapi.Op(computes.RegisterCompute),

		// Game sessions and player sessions.
		awsapi.Op(sessions.CreateGameSession),
		awsapi.Op(sessions.CreatePlayerSession),
		awsapi.Op(sessions.CreatePlayerSessions),
		awsapi.Op(sessions.DescribeGameSessionDetails),
		awsapi.Op(sessions.DescribeGameSessions),
		awsapi.Op(sessions.DescribePlayerSessions),
		awsapi.Op(sessions.GetGameSessionLogUrl),
		awsapi.Op(sessions.GetPlayerConnectionDetails),
		awsapi.Op(sessions.SearchGameSessions),
		awsapi.Op(sessions.TerminateGameSession),
		awsapi.Op(sessions.UpdateGameSession),

		// Queues and placements.
		awsapi.Op(placements.CreateGameSessionQueue),
		awsapi.Op(placements.DeleteGameSessionQueue),
		awsapi.Op(placements.DescribeGameSessionPlacement),
		awsapi.Op(placements.DescribeGameSessionQueues),
		awsapi.Op(placements.StartGameSessionPlacement),
		awsapi.Op(placements.StopGameSessionPlacement),
		awsapi.Op(placements.UpdateGameSessionQueue),

		// Matchmaking.
		awsapi.Op(matches.AcceptMatch),
		awsapi.Op(matches.CreateMatchmakingConfiguration),
		awsapi.Op(matches.CreateMatchmakingRuleSet),
		awsapi.Op(matches.DeleteMatchmakingConfiguration),
		awsapi.Op(matches.DeleteMatchmakingRuleSet),
		awsapi.Op(matches.DescribeMatchmaking),
		awsapi.Op(matches.DescribeMatchmakingConfigurations),
		awsapi.Op(matches.DescribeMatchmakingRuleSets),
		awsapi.Op(matches.StartMatchBackfill),
		awsapi.Op(matches.StartMatchmaking),
		awsapi.Op(matches.StopMatchmaking),
		awsapi.Op(matches.UpdateMatchmakingConfiguration),
		awsapi.Op(matches.ValidateMatchmakingRuleSet),

		// Scaling policies.
		awsapi.Op(scales.DeleteScalingPolicy),
		awsapi.Op(scales.DescribeScalingPolicies),
		awsapi.Op(scales.PutScalingPolicy),

		// Builds and scripts.
		awsapi.Op(builds.CreateBuild),
		awsapi.Op(builds.DeleteBuild),
		awsapi.Op(builds.DescribeBuild),
		awsapi.Op(builds.ListBuilds),
		awsapi.Op(builds.RequestUploadCredentials),
		awsapi.Op(builds.UpdateBuild),
		awsapi.Op(builds.CreateScript),
		awsapi.Op(builds.DeleteScript),
		awsapi.Op(builds.DescribeScript),
		awsapi.Op(builds.ListScripts),
		awsapi.Op(builds.UpdateScript),

		// Container fleets: wait for the container room.
		awsapi.Unbuilt[gamelift.CreateContainerFleetInput, gamelift.CreateContainerFleetOutput](),
		awsapi.Unbuilt[gamelift.CreateContainerGroupDefinitionInput, gamelift.CreateContainerGroupDefinitionOutput](),
		awsapi.Unbuilt[gamelift.DeleteContainerFleetInput, gamelift.DeleteContainerFleetOutput](),
		awsapi.Unbuilt[gamelift.DeleteContainerGroupDefinitionInput, gamelift.DeleteContainerGroupDefinitionOutput](),
		awsapi.Unbuilt[gamelift.DescribeContainerFleetInput, gamelift.DescribeContainerFleetOutput](),
		awsapi.Unbuilt[gamelift.DescribeContainerGroupDefinitionInput, gamelift.DescribeContainerGroupDefinitionOutput](),
		awsapi.Unbuilt[gamelift.DescribeContainerGroupPortMappingsInput, gamelift.DescribeContainerGroupPortMappingsOutput](),
		awsapi.Unbuilt[gamelift.DescribeFleetDeploymentInput, gamelift.DescribeFleetDeploymentOutput](),
		awsapi.Unbuilt[gamelift.ListContainerFleetsInput, gamelift.ListContainerFleetsOutput](),
		awsapi.Unbuilt[gamelift.ListContainerGroupDefinitionVersionsInput, gamelift.ListContainerGroupDefinitionVersionsOutput](),
		awsapi.Unbuilt[gamelift.ListContainerGroupDefinitionsInput, gamelift.ListContainerGroupDefinitionsOutput](),
		awsapi.Unbuilt[gamelift.ListFleetDeploymentsInput, gamelift.ListFleetDeploymentsOutput](),
		awsapi.Unbuilt[gamelift.UpdateContainerFleetInput, gamelift.UpdateContainerFleetOutput](),
		awsapi.Unbuilt[gamelift.UpdateContainerGroupDefinitionInput, gamelift.UpdateContainerGroupDefinitionOutput](),

		// Game server groups: wait for the fleetiq room.
		awsapi.Unbuilt[gamelift.ClaimGameServerInput, gamelift.ClaimGameServerOutput](),
		awsapi.Unbuilt[gamelift.CreateGameServerGroupInput, gamelift.CreateGameServerGroupOutput](),
		awsapi.Unbuilt[gamelift.DeleteGameServerGroupInput, gamelift.DeleteGameServerGroupOutput](),
		awsapi.Unbuilt[gamelift.DeregisterGameServerInput, gamelift.DeregisterGameServerOutput](),
		awsapi.Unbuilt[gamelift.DescribeGameServerInput, gamelift.DescribeGameServerOutput](),
		awsapi.Unbuilt[gamelift.DescribeGameServerGroupInput, gamelift.DescribeGameServerGroupOutput](),
		awsapi.Unbuilt[gamelift.DescribeGameServerInstancesInput, gamelift.DescribeGameServerInstancesOutput](),
		awsapi.Unbuilt[gamelift.ListGameServerGroupsInput, gamelift.ListGameServerGroupsOutput](),
		awsapi.Unbuilt[gamelift.ListGameServersInput, gamelift.ListGameServersOutput](),
		awsapi.Unbuilt[gamelift.RegisterGameServerInput, gamelift.RegisterGameServerOutput](),
		awsapi.Unbuilt[gamelift.ResumeGameServerGroupInput, gamelift.ResumeGameServerGroupOutput](),
		awsapi.Unbuilt[gamelift.SuspendGameServerGroupInput, gamelift.SuspendGameServerGroupOutput](),
		awsapi.Unbuilt[gamelift.UpdateGameServerInput, gamelift.UpdateGameServerOutput](),
		awsapi.Unbuilt[gamelift.UpdateGameServerGroupInput, gamelift.UpdateGameServerGroupOutput](),
	}
}
