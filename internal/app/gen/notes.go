package main

// note is what a reader of AWS's documentation would not expect of an operation.
type note struct {
	Missing string // what AWS has and this server does not; the operation is built in part
	Differs string // what is otherwise, or a choice where AWS's documentation is silent
}

// notes are kept by hand. An operation without one is whole and does as AWS documents it.
var notes = map[string]note{
	// Fleets.
	"CreateFleet": {
		Missing: "player gateways (`PlayerGatewayMode` `REQUIRED` is refused, `ENABLED` kept), roles and `GENERATED` certificates (kept and read back; nobody hands out the role's keys or makes the certificate), Amazon's Realtime server around a script (`node` runs it alone)",
		Differs: "The instance type buys nothing: hosts are as large as they are. Custom locations host managed fleets too. Fleets do not expire unless `fleet-expiry` says so.",
	},
	"DeleteFleet":               {Differs: "An Anywhere fleet is gone when the answer is given."},
	"DescribeFleetUtilization":  {Differs: "The entry of an Anywhere fleet counts all of its locations."},
	"DescribeFleetPortSettings": {Differs: "`UpdateStatus` is never `PENDING_UPDATE`."},
	"UpdateFleetPortSettings":   {Missing: "opening the ports: they are checked, kept and shown, and the firewall of each host is its owner's"},

	// Locations.
	"CreateFleetLocations":            {Differs: "Managed fleets may have custom locations."},
	"DescribeFleetLocationAttributes": {Differs: "One page: `Limit` is not enforced, as AWS documents."},
	"DeleteLocation":                  {Differs: "Refused while a fleet lists it."},
	"ListLocations":                   {Differs: "The server's own region is the one AWS location. It has a beacon where the setting `beacon` says so."},

	// Capacity and hosts.
	"DescribeEC2InstanceLimits": {Differs: "Counts the room on this server's hosts; all instance types share it."},
	"DescribeFleetCapacity":     {Differs: "The entry of an Anywhere fleet has zeros and no location."},
	"GetInstanceAccess":         {Missing: "the access: `UnauthorizedException`, since a host's owner has better means"},

	// Aliases.
	"CreateAlias": {Differs: "The fleet of a `SIMPLE` alias must exist; if not, `InvalidRequestException`."},

	// VPC peering.
	"CreateVpcPeeringAuthorization":    {Missing: "the effect: authorizations are records"},
	"CreateVpcPeeringConnection":       {Missing: "the effect: a peering is a record, active at once, and nothing is routed"},
	"DeleteVpcPeeringAuthorization":    {Missing: "the effect: authorizations are records"},
	"DeleteVpcPeeringConnection":       {Missing: "the effect: peerings are records"},
	"DescribeVpcPeeringAuthorizations": {Missing: "the effect: authorizations are records"},
	"DescribeVpcPeeringConnections":    {Missing: "the effect: peerings are records"},

	// Computes.
	"DescribeCompute":  {Missing: "computes of container fleets"},
	"ListCompute":      {Missing: "computes of container fleets: filters for container group definitions find nothing"},
	"GetComputeAccess": {Missing: "the access: `UnauthorizedException` for managed fleets, since a host's owner has better means"},

	// Game sessions and player sessions.
	"CreatePlayerSession":        {Differs: "A second call for the same player takes a second slot."},
	"CreatePlayerSessions":       {Differs: "All players get a slot, or none does."},
	"DescribeGameSessions":       {Differs: "An unknown game session of a fleet that exists is an empty list."},
	"DescribeGameSessionDetails": {Differs: "An unknown game session of a fleet that exists is an empty list."},
	"GetGameSessionLogUrl":       {Differs: "Anywhere fleets have logs only where an agent handed them in."},
	"GetPlayerConnectionDetails": {Missing: "player gateways: the answer is the game server's own address, with an empty token"},
	"SearchGameSessions":         {Differs: "Answers from the data as they are, not from an index that lags behind."},
	"TerminateGameSession":       {Differs: "`FORCE_TERMINATE` needs an agent on the host, Matchyard's or AWS's."},

	// Queues and placements.
	"CreateGameSessionQueue": {
		Missing: "destinations of other regions: they are taken unchecked and passed over",
		Differs: "A name that is taken is an `InvalidRequestException`.",
	},
	"DescribeGameSessionQueues": {Differs: "Names that are unknown are left out."},
	"StartGameSessionPlacement": {
		Missing: "other regions, Spot interruptions and the prices of instances: `COST` is the `Cost` of Anywhere fleets",
		Differs: "A second call with an id that is kept is an `InvalidRequestException`.",
	},
	"UpdateGameSessionQueue": {Missing: "destinations of other regions: they are taken unchecked and passed over"},

	// Matchmaking.
	"CreateMatchmakingConfiguration":    {Differs: "A name that is taken is an `InvalidRequestException`. Queues are looked up on this server, whatever region their ARN names."},
	"CreateMatchmakingRuleSet":          {Differs: "A name that is taken is an `InvalidRequestException`. Every fault is reported at once."},
	"DescribeMatchmaking":               {Differs: "Unknown tickets are left out. Tickets are kept for a day (`match-retention`)."},
	"DescribeMatchmakingConfigurations": {Differs: "Names that are unknown are left out."},
	"DescribeMatchmakingRuleSets":       {Differs: "A name that is unknown is a `NotFoundException`."},
	"StartMatchmaking":                  {Differs: "Where AWS leaves the rules open, [FlexMatch](flexmatch.md) says what is done, and the switches."},
	"UpdateMatchmakingConfiguration":    {Differs: "Tickets that wait meet the new configuration in the next pass."},
	"ValidateMatchmakingRuleSet":        {Differs: "`Valid` is never false: faults are an `InvalidRequestException` that lists all of them."},

	// Scaling policies.
	"PutScalingPolicy":        {Differs: "Each decision is kept with its numbers, and shown in the fleet's events."},
	"DescribeScalingPolicies": {Differs: "Policies are `ACTIVE` from their making to their end; other statuses find nothing."},

	// Builds and scripts.
	"CreateBuild":              {Differs: "Files go to the server's own S3 face; a `StorageLocation` is looked up where `build-sources` says, and its role is not assumed. `OperatingSystem` may be left out."},
	"CreateScript":             {Missing: "Amazon's Realtime server, which scripts expect around them", Differs: "A `StorageLocation` is looked up where `build-sources` says."},
	"DeleteBuild":              {Differs: "Fleets that run the build keep its file."},
	"DeleteScript":             {Differs: "The file goes at once; hosts that look for it stop hosting."},
	"RequestUploadCredentials": {Differs: "The credentials are for the server's own S3 face, and nothing else."},
}
