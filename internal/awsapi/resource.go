package awsapi

import (
	"reflect"
	"strings"
	"sync"

	"github.com/matchyard/matchyard/internal/arn"
)

// kinds are the members of inputs that name resources, and the resources' kinds as they
// stand in ARNs. Game sessions and whole ARNs are read apart.
var kinds = map[string]string{
	"AliasId": "alias", "BuildId": "build", "ScriptId": "script", "FleetId": "fleet", "FleetIds": "fleet", "LocationName": "location",
	"ConfigurationName": "matchmakingconfiguration", "RuleSetName": "matchmakingruleset",
	"GameSessionQueueName": "gamesessionqueue", "GameSessionQueueArns": "gamesessionqueue", "GameServerGroupName": "gameservergroup",
	"ContainerGroupDefinitionName": "containergroupdefinition", "GameServerContainerGroupDefinitionName": "containergroupdefinition",
	"PerInstanceContainerGroupDefinitionName": "containergroupdefinition",
	"GameSessionId": gameSessionKind, "GameSessionArn": gameSessionKind, "ResourceARN": arnKind,
}

const (
	gameSessionKind = "gamesession"
	arnKind         = "ARN"
)

// named are the ends of the names of operations whose Name or Names is a resource's.
var named = map[string]string{
	"GameSessionQueue": "gamesessionqueue", "GameSessionQueues": "gamesessionqueue",
	"MatchmakingConfiguration": "matchmakingconfiguration", "MatchmakingConfigurations": "matchmakingconfiguration",
	"MatchmakingRuleSet": "matchmakingruleset", "MatchmakingRuleSets": "matchmakingruleset",
	"ContainerGroupDefinition": "containergroupdefinition", "ContainerGroupDefinitionVersions": "containergroupdefinition",
}

// sole are operations that name resources of other kinds besides the one that a permission is
// asked on, by AWS's table.
var sole = map[string]string{
	"ListCompute": "fleet", "UpdateContainerFleet": "fleet", "UpdateMatchmakingConfiguration": "matchmakingconfiguration",
}

// member is a member of an input that names resources.
type member struct {
	field int
	kind  string
}

var membersOf sync.Map // of inputs' types

// resources are what a request names, each by the ARNs that mean it: with the account and
// without it, and a game session also by its fleet, on which it is. A request that names an
// alias is about the alias and not about its fleet.
func resources(home arn.Home, operation string, in any) [][]string {
	v := reflect.ValueOf(in)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil
	}
	v = v.Elem()
	var all [][]string
	for _, m := range inputMembers(operation, v.Type()) {
		switch f := v.Field(m.field); {
		case f.Kind() == reflect.Slice:
			for i := range f.Len() {
				all = append(all, names(home, m.kind, f.Index(i).String()))
			}
		case !f.IsNil():
			all = append(all, names(home, m.kind, f.Elem().String()))
		}
	}
	return all
}

func inputMembers(operation string, t reflect.Type) []member {
	if known, ok := membersOf.Load(t); ok {
		return known.([]member)
	}
	members := []member{}
	for i := range t.NumField() {
		name := t.Field(i).Name
		kind := kinds[name]
		switch {
		case name == "GameSessionId" && operation == "CreateGameSession":
			continue // the caller's own name for it
		case name == "Name" || name == "Names":
			for end, k := range named {
				if strings.HasSuffix(operation, end) {
					kind = k
				}
			}
		}
		if one := sole[operation]; one != "" && kind != one {
			continue
		}
		if kind != "" {
			members = append(members, member{i, kind})
		}
	}
	membersOf.Store(t, members)
	return members
}

// names are the ARNs of one resource, which the caller named by its id or by an ARN.
func names(home arn.Home, kind, text string) []string {
	if kind == arnKind {
		of, id, ok := arn.Resource(text)
		if !ok {
			return []string{text}
		}
		return names(home, of, id) // region and account of the text do not count (hosting.md 0.5)
	}
	if kind == gameSessionKind {
		parts, err := arn.ParseGameSession(text)
		if err != nil {
			return []string{text}
		}
		// Not the text: the room reads no more of it than these parts.
		return append(names(home, "fleet", string(parts.Fleet)), string(home.GameSession(parts.Fleet, parts.Location, parts.ID)))
	}
	id := text
	if _, rest, ok := arn.Resource(text); ok {
		id = rest
	}
	if kind == "fleet" && strings.HasPrefix(id, "containerfleet-") {
		kind = "containerfleet"
	}
	with := "arn:aws:gamelift:" + home.Region + ":" + home.Account + ":" + kind + "/" + id
	return []string{with, "arn:aws:gamelift:" + home.Region + "::" + kind + "/" + id}
}
