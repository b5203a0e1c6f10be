package awsapi

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/arn"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

func TestWhatRequestsAreAbout(t *testing.T) {
	const fleet, bare = "arn:aws:gamelift:us-west-2:123456789012:fleet/fleet-1", "arn:aws:gamelift:us-west-2::fleet/fleet-1"
	for _, c := range []struct {
		operation string
		in        any
		want      [][]string
	}{
		{"ListFleets", &gamelift.ListFleetsInput{}, nil},
		{"DeleteFleet", &gamelift.DeleteFleetInput{FleetId: new("fleet-1")}, [][]string{{fleet, bare}}},
		{"DeleteFleet", &gamelift.DeleteFleetInput{FleetId: new("arn:aws:gamelift:eu-west-1::fleet/fleet-1")}, [][]string{{fleet, bare}}},
		{
			"DescribeFleetAttributes", &gamelift.DescribeFleetAttributesInput{FleetIds: []string{"fleet-1", "containerfleet-2"}},
			[][]string{{fleet, bare}, {"arn:aws:gamelift:us-west-2:123456789012:containerfleet/containerfleet-2", "arn:aws:gamelift:us-west-2::containerfleet/containerfleet-2"}},
		},
		{
			"DescribePlayerSessions", &gamelift.DescribePlayerSessionsInput{GameSessionId: new("arn:aws:gamelift:us-west-2::gamesession/fleet-1/custom-a/gsess-1")},
			[][]string{{fleet, bare, "arn:aws:gamelift:us-west-2::gamesession/fleet-1/custom-a/gsess-1"}},
		},
		// What stands before the path is not the caller's to choose.
		{
			"DescribePlayerSessions", &gamelift.DescribePlayerSessionsInput{GameSessionId: new("arn:aws:gamelift:us-west-2::gamesession/fleet-1/x:gamesession/fleet-9")},
			[][]string{{fleet, bare, "arn:aws:gamelift:us-west-2::gamesession/fleet-1/x:gamesession/fleet-9"}},
		},
		{"DescribePlayerSessions", &gamelift.DescribePlayerSessionsInput{PlayerId: new("ann")}, nil},
		// A game session's own name, and that of a fleet, are no resources.
		{"CreateGameSession", &gamelift.CreateGameSessionInput{FleetId: new("fleet-1"), GameSessionId: new("mine"), Name: new("x")}, [][]string{{fleet, bare}}},
		{"CreateFleet", &gamelift.CreateFleetInput{Name: new("x")}, nil},
		{
			"DeleteGameSessionQueue", &gamelift.DeleteGameSessionQueueInput{Name: new("q")},
			[][]string{{"arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/q", "arn:aws:gamelift:us-west-2::gamesessionqueue/q"}},
		},
		{
			"StartMatchmaking", &gamelift.StartMatchmakingInput{ConfigurationName: new("arn:aws:gamelift:us-west-2:1:matchmakingconfiguration/ranked")},
			[][]string{{"arn:aws:gamelift:us-west-2:123456789012:matchmakingconfiguration/ranked", "arn:aws:gamelift:us-west-2::matchmakingconfiguration/ranked"}},
		},
		// A resource to tag has its account in its ARN or not, and is the same.
		{"TagResource", &gamelift.TagResourceInput{ResourceARN: new(fleet)}, [][]string{{fleet, bare}}},
		{"TagResource", &gamelift.TagResourceInput{ResourceARN: new("arn:aws:gamelift:eu-west-1:1:fleet/fleet-1")}, [][]string{{fleet, bare}}},
		{"TagResource", &gamelift.TagResourceInput{ResourceARN: new("arn:aws:s3:::bucket")}, [][]string{{"arn:aws:s3:::bucket"}}},
	} {
		if got := resources(home, c.operation, c.in); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.operation, got, c.want)
		}
	}
}

// Every member of an input that looks like the name of something is a resource's, or stands
// here as one that is none: a new one must be thought about.
func TestNoNameIsForgotten(t *testing.T) {
	none := []string{
		"ComputeName", "ContainerName", "CreatorId", "DeploymentId", "DnsName", "FleetRoleArn", "GameLiftAwsAccountId", "GameServerId", "GameSessionName",
		"InstanceId", "InstanceIds", "InstanceRoleArn", "MetricName", "PeerVpcAwsAccountId", "PeerVpcId", "PlacementId", "PlayerId", "PlayerIds", "PlayerSessionId",
		"RoleArn", "TicketId", "TicketIds", "VpcPeeringConnectionId",
	}
	looks := regexp.MustCompile(`(Ids?|Names?|Arns?|ARN)$`)
	seen := 0
	for _, method := range reflect.VisibleFields(reflect.TypeFor[inputs]()) {
		in := method.Type
		operation := in.Name()[:len(in.Name())-len("Input")]
		known := inputMembers(operation, in)
		for i := range in.NumField() {
			name := in.Field(i).Name
			if !looks.MatchString(name) || slices.Contains(none, name) || name == "Name" && !slices.ContainsFunc(known, func(m member) bool { return m.field == i }) {
				continue
			}
			seen++
			if operation == "CreateGameSession" && name == "GameSessionId" || sole[operation] != "" && kinds[name] != "" {
				continue
			}
			if !slices.ContainsFunc(known, func(m member) bool { return m.field == i }) {
				t.Errorf("%s.%s: is it a resource?", operation, name)
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d members seen", seen)
	}
}

// inputs are those of all operations.
type inputs struct {
	AcceptMatch                          gamelift.AcceptMatchInput
	ClaimGameServer                      gamelift.ClaimGameServerInput
	CreateAlias                          gamelift.CreateAliasInput
	CreateBuild                          gamelift.CreateBuildInput
	CreateContainerFleet                 gamelift.CreateContainerFleetInput
	CreateContainerGroupDefinition       gamelift.CreateContainerGroupDefinitionInput
	CreateFleet                          gamelift.CreateFleetInput
	CreateFleetLocations                 gamelift.CreateFleetLocationsInput
	CreateGameServerGroup                gamelift.CreateGameServerGroupInput
	CreateGameSession                    gamelift.CreateGameSessionInput
	CreateGameSessionQueue               gamelift.CreateGameSessionQueueInput
	CreateLocation                       gamelift.CreateLocationInput
	CreateMatchmakingConfiguration       gamelift.CreateMatchmakingConfigurationInput
	CreateMatchmakingRuleSet             gamelift.CreateMatchmakingRuleSetInput
	CreatePlayerSession                  gamelift.CreatePlayerSessionInput
	CreatePlayerSessions                 gamelift.CreatePlayerSessionsInput
	CreateScript                         gamelift.CreateScriptInput
	CreateVpcPeeringAuthorization        gamelift.CreateVpcPeeringAuthorizationInput
	CreateVpcPeeringConnection           gamelift.CreateVpcPeeringConnectionInput
	DeleteAlias                          gamelift.DeleteAliasInput
	DeleteBuild                          gamelift.DeleteBuildInput
	DeleteContainerFleet                 gamelift.DeleteContainerFleetInput
	DeleteContainerGroupDefinition       gamelift.DeleteContainerGroupDefinitionInput
	DeleteFleet                          gamelift.DeleteFleetInput
	DeleteFleetLocations                 gamelift.DeleteFleetLocationsInput
	DeleteGameServerGroup                gamelift.DeleteGameServerGroupInput
	DeleteGameSessionQueue               gamelift.DeleteGameSessionQueueInput
	DeleteLocation                       gamelift.DeleteLocationInput
	DeleteMatchmakingConfiguration       gamelift.DeleteMatchmakingConfigurationInput
	DeleteMatchmakingRuleSet             gamelift.DeleteMatchmakingRuleSetInput
	DeleteScalingPolicy                  gamelift.DeleteScalingPolicyInput
	DeleteScript                         gamelift.DeleteScriptInput
	DeleteVpcPeeringAuthorization        gamelift.DeleteVpcPeeringAuthorizationInput
	DeleteVpcPeeringConnection           gamelift.DeleteVpcPeeringConnectionInput
	DeregisterCompute                    gamelift.DeregisterComputeInput
	DeregisterGameServer                 gamelift.DeregisterGameServerInput
	DescribeAlias                        gamelift.DescribeAliasInput
	DescribeBuild                        gamelift.DescribeBuildInput
	DescribeCompute                      gamelift.DescribeComputeInput
	DescribeContainerFleet               gamelift.DescribeContainerFleetInput
	DescribeContainerGroupDefinition     gamelift.DescribeContainerGroupDefinitionInput
	DescribeContainerGroupPortMappings   gamelift.DescribeContainerGroupPortMappingsInput
	DescribeEC2InstanceLimits            gamelift.DescribeEC2InstanceLimitsInput
	DescribeFleetAttributes              gamelift.DescribeFleetAttributesInput
	DescribeFleetCapacity                gamelift.DescribeFleetCapacityInput
	DescribeFleetDeployment              gamelift.DescribeFleetDeploymentInput
	DescribeFleetEvents                  gamelift.DescribeFleetEventsInput
	DescribeFleetLocationAttributes      gamelift.DescribeFleetLocationAttributesInput
	DescribeFleetLocationCapacity        gamelift.DescribeFleetLocationCapacityInput
	DescribeFleetLocationUtilization     gamelift.DescribeFleetLocationUtilizationInput
	DescribeFleetPortSettings            gamelift.DescribeFleetPortSettingsInput
	DescribeFleetUtilization             gamelift.DescribeFleetUtilizationInput
	DescribeGameServer                   gamelift.DescribeGameServerInput
	DescribeGameServerGroup              gamelift.DescribeGameServerGroupInput
	DescribeGameServerInstances          gamelift.DescribeGameServerInstancesInput
	DescribeGameSessionDetails           gamelift.DescribeGameSessionDetailsInput
	DescribeGameSessionPlacement         gamelift.DescribeGameSessionPlacementInput
	DescribeGameSessionQueues            gamelift.DescribeGameSessionQueuesInput
	DescribeGameSessions                 gamelift.DescribeGameSessionsInput
	DescribeInstances                    gamelift.DescribeInstancesInput
	DescribeMatchmaking                  gamelift.DescribeMatchmakingInput
	DescribeMatchmakingConfigurations    gamelift.DescribeMatchmakingConfigurationsInput
	DescribeMatchmakingRuleSets          gamelift.DescribeMatchmakingRuleSetsInput
	DescribePlayerSessions               gamelift.DescribePlayerSessionsInput
	DescribeRuntimeConfiguration         gamelift.DescribeRuntimeConfigurationInput
	DescribeScalingPolicies              gamelift.DescribeScalingPoliciesInput
	DescribeScript                       gamelift.DescribeScriptInput
	DescribeVpcPeeringAuthorizations     gamelift.DescribeVpcPeeringAuthorizationsInput
	DescribeVpcPeeringConnections        gamelift.DescribeVpcPeeringConnectionsInput
	GetComputeAccess                     gamelift.GetComputeAccessInput
	GetComputeAuthToken                  gamelift.GetComputeAuthTokenInput
	GetGameSessionLogUrl                 gamelift.GetGameSessionLogUrlInput
	GetInstanceAccess                    gamelift.GetInstanceAccessInput
	GetPlayerConnectionDetails           gamelift.GetPlayerConnectionDetailsInput
	ListAliases                          gamelift.ListAliasesInput
	ListBuilds                           gamelift.ListBuildsInput
	ListCompute                          gamelift.ListComputeInput
	ListContainerFleets                  gamelift.ListContainerFleetsInput
	ListContainerGroupDefinitionVersions gamelift.ListContainerGroupDefinitionVersionsInput
	ListContainerGroupDefinitions        gamelift.ListContainerGroupDefinitionsInput
	ListFleetDeployments                 gamelift.ListFleetDeploymentsInput
	ListFleets                           gamelift.ListFleetsInput
	ListGameServerGroups                 gamelift.ListGameServerGroupsInput
	ListGameServers                      gamelift.ListGameServersInput
	ListLocations                        gamelift.ListLocationsInput
	ListScripts                          gamelift.ListScriptsInput
	ListTagsForResource                  gamelift.ListTagsForResourceInput
	PutScalingPolicy                     gamelift.PutScalingPolicyInput
	RegisterCompute                      gamelift.RegisterComputeInput
	RegisterGameServer                   gamelift.RegisterGameServerInput
	RequestUploadCredentials             gamelift.RequestUploadCredentialsInput
	ResolveAlias                         gamelift.ResolveAliasInput
	ResumeGameServerGroup                gamelift.ResumeGameServerGroupInput
	SearchGameSessions                   gamelift.SearchGameSessionsInput
	StartFleetActions                    gamelift.StartFleetActionsInput
	StartGameSessionPlacement            gamelift.StartGameSessionPlacementInput
	StartMatchBackfill                   gamelift.StartMatchBackfillInput
	StartMatchmaking                     gamelift.StartMatchmakingInput
	StopFleetActions                     gamelift.StopFleetActionsInput
	StopGameSessionPlacement             gamelift.StopGameSessionPlacementInput
	StopMatchmaking                      gamelift.StopMatchmakingInput
	SuspendGameServerGroup               gamelift.SuspendGameServerGroupInput
	TagResource                          gamelift.TagResourceInput
	TerminateGameSession                 gamelift.TerminateGameSessionInput
	UntagResource                        gamelift.UntagResourceInput
	UpdateAlias                          gamelift.UpdateAliasInput
	UpdateBuild                          gamelift.UpdateBuildInput
	UpdateContainerFleet                 gamelift.UpdateContainerFleetInput
	UpdateContainerGroupDefinition       gamelift.UpdateContainerGroupDefinitionInput
	UpdateFleetAttributes                gamelift.UpdateFleetAttributesInput
	UpdateFleetCapacity                  gamelift.UpdateFleetCapacityInput
	UpdateFleetPortSettings              gamelift.UpdateFleetPortSettingsInput
	UpdateGameServer                     gamelift.UpdateGameServerInput
	UpdateGameServerGroup                gamelift.UpdateGameServerGroupInput
	UpdateGameSession                    gamelift.UpdateGameSessionInput
	UpdateGameSessionQueue               gamelift.UpdateGameSessionQueueInput
	UpdateMatchmakingConfiguration       gamelift.UpdateMatchmakingConfigurationInput
	UpdateRuntimeConfiguration           gamelift.UpdateRuntimeConfigurationInput
	UpdateScript                         gamelift.UpdateScriptInput
	ValidateMatchmakingRuleSet           gamelift.ValidateMatchmakingRuleSetInput
}

// awsTypes are the kinds of resources that AWS's Service Authorization Reference gives each
// operation, as its policies must name them; * stands for every kind that has tags. All other
// operations have none there.
var awsTypes = map[string]string{
	"alias": "DeleteAlias DescribeAlias ResolveAlias UpdateAlias",
	"build": "DeleteBuild DescribeBuild RequestUploadCredentials UpdateBuild",
	"fleet": "CreateFleetLocations DeleteContainerFleet DeleteFleet DeleteFleetLocations DeleteScalingPolicy DeregisterCompute DescribeCompute " +
		"DescribeContainerFleet DescribeFleetDeployment DescribeFleetEvents DescribeFleetLocationAttributes DescribeFleetLocationCapacity " +
		"DescribeFleetLocationUtilization DescribeFleetPortSettings DescribeInstances DescribeRuntimeConfiguration DescribeScalingPolicies " +
		"GetComputeAccess GetComputeAuthToken GetInstanceAccess ListCompute PutScalingPolicy RegisterCompute StartFleetActions StopFleetActions " +
		"UpdateContainerFleet UpdateFleetAttributes UpdateFleetCapacity UpdateFleetPortSettings UpdateRuntimeConfiguration",
	"containergroupdefinition": "DeleteContainerGroupDefinition DescribeContainerGroupDefinition ListContainerGroupDefinitionVersions UpdateContainerGroupDefinition",
	"gameservergroup": "ClaimGameServer DeleteGameServerGroup DeregisterGameServer DescribeGameServer DescribeGameServerGroup DescribeGameServerInstances " +
		"ListGameServers RegisterGameServer ResumeGameServerGroup SuspendGameServerGroup UpdateGameServer UpdateGameServerGroup",
	"gamesessionqueue":         "DeleteGameSessionQueue StartGameSessionPlacement UpdateGameSessionQueue",
	"location":                 "DeleteLocation",
	"matchmakingconfiguration": "DeleteMatchmakingConfiguration UpdateMatchmakingConfiguration",
	"matchmakingruleset":       "DeleteMatchmakingRuleSet",
	"script":                   "DeleteScript DescribeScript UpdateScript",
	arnKind:                    "ListTagsForResource TagResource UntagResource",
}

// A policy written for AWS means the same here: what AWS asks a permission on is what is asked
// for here, and nothing besides. Where AWS knows no resources, and so a policy has to say *,
// those that a request names count here; ours is the list.
func TestResourcesAreThoseOfAWS(t *testing.T) {
	want := map[string]string{}
	for kind, operations := range awsTypes {
		for operation := range strings.FieldsSeq(operations) {
			want[operation] = kind
		}
	}
	var ours []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[inputs]()) {
		var kinds []string
		for _, m := range inputMembers(field.Name, field.Type) {
			kinds = append(kinds, m.kind)
		}
		slices.Sort(kinds)
		got := strings.Join(slices.Compact(kinds), "+")
		switch aws, known := want[field.Name]; {
		case known && got != aws:
			t.Errorf("%s is about %q, and with AWS about %q", field.Name, got, aws)
		case !known && got != "":
			ours = append(ours, field.Name+" "+got)
		}
		delete(want, field.Name)
	}
	if len(want) > 0 {
		t.Errorf("not looked at: %v", want)
	}
	if got := strings.Join(ours, "\n"); got != strings.TrimSpace(besidesAWS) {
		t.Errorf("besides AWS:\n%s", got)
	}
}

const besidesAWS = `
CreateContainerFleet containergroupdefinition
CreateContainerGroupDefinition containergroupdefinition
CreateFleet build+script
CreateGameServerGroup gameservergroup
CreateGameSession alias+fleet
CreateGameSessionQueue gamesessionqueue
CreateLocation location
CreateMatchmakingConfiguration gamesessionqueue+matchmakingconfiguration+matchmakingruleset
CreateMatchmakingRuleSet matchmakingruleset
CreatePlayerSession gamesession
CreatePlayerSessions gamesession
CreateVpcPeeringConnection fleet
DeleteVpcPeeringConnection fleet
DescribeContainerGroupPortMappings fleet
DescribeFleetAttributes fleet
DescribeFleetCapacity fleet
DescribeFleetUtilization fleet
DescribeGameSessionDetails alias+fleet+gamesession
DescribeGameSessionQueues gamesessionqueue
DescribeGameSessions alias+fleet+gamesession
DescribeMatchmakingConfigurations matchmakingconfiguration+matchmakingruleset
DescribeMatchmakingRuleSets matchmakingruleset
DescribePlayerSessions gamesession
DescribeVpcPeeringConnections fleet
GetGameSessionLogUrl gamesession
GetPlayerConnectionDetails gamesession
ListContainerFleets containergroupdefinition
ListFleetDeployments fleet
ListFleets build+script
SearchGameSessions alias+fleet
StartMatchBackfill gamesession+matchmakingconfiguration
StartMatchmaking matchmakingconfiguration
TerminateGameSession gamesession
UpdateGameSession gamesession
`
