package matchmaking_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

// desk is the room as those see it who make rule sets and configurations: there is a queue
// "arena" and a rule set "duel".
type desk struct {
	*matchmaking.Service
	t     testing.TB
	clock *storetest.Clock
	ctx   context.Context
}

const (
	duelBody = "{ \"name\":\"duel\",\n\t\"ruleLanguageVersion\": \"1.0\", \"teams\": [{\"name\": \"a\", \"minPlayers\": 1, \"maxPlayers\": 1}, {\"name\": \"ü\\u00e9\", \"minPlayers\": 1, \"maxPlayers\": 1}]}  "

	arenaARN = "arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/arena"
)

// atDesk runs a test on both databases.
func atDesk(t *testing.T, f func(d *desk)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		s := &matchmaking.Service{DB: db, Home: home}
		s.Fleets = &fleet.Service{DB: db, Home: home}
		s.Computes = &compute.Service{DB: db, Home: home, Fleets: s.Fleets}
		s.Sessions = &session.Service{DB: db, Home: home, Fleets: s.Fleets, Computes: s.Computes}
		s.Placements = &placement.Service{DB: db, Home: home, Fleets: s.Fleets, Computes: s.Computes, Sessions: s.Sessions}
		s.Tags = &tag.Service{DB: db, Exists: s.ExistsTx}
		s.Fleets.Tags, s.Placements.Tags = s.Tags, s.Tags
		d := &desk{Service: s, t: t, clock: clock, ctx: t.Context()}
		_, err := s.Placements.CreateGameSessionQueue(d.ctx, &gamelift.CreateGameSessionQueueInput{Name: new("arena")})
		expect.OK(t, err)
		d.ruleSet("duel", duelBody)
		f(d)
	})
}

func (d *desk) ruleSet(name, body string) {
	d.t.Helper()
	_, err := d.CreateMatchmakingRuleSet(d.ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: &name, RuleSetBody: &body})
	expect.OK(d.t, err)
}

// ranked is the smallest request for a configuration with the queue; change may alter it.
func ranked(name string, change func(*gamelift.CreateMatchmakingConfigurationInput)) *gamelift.CreateMatchmakingConfigurationInput {
	in := &gamelift.CreateMatchmakingConfigurationInput{
		Name: &name, RuleSetName: new("duel"), AcceptanceRequired: new(false), RequestTimeoutSeconds: new(int32(60)),
		GameSessionQueueArns: []string{arenaARN},
	}
	if change != nil {
		change(in)
	}
	return in
}

// alone is the same without hosting.
func alone(in *gamelift.CreateMatchmakingConfigurationInput) {
	in.FlexMatchMode, in.GameSessionQueueArns = types.FlexMatchModeStandalone, nil
}

func (d *desk) configure(in *gamelift.CreateMatchmakingConfigurationInput) types.MatchmakingConfiguration {
	d.t.Helper()
	out, err := d.CreateMatchmakingConfiguration(d.ctx, in)
	expect.OK(d.t, err)
	return *out.Configuration
}

// described are configurations, and their names in order.
func (d *desk) described(in *gamelift.DescribeMatchmakingConfigurationsInput) (list []types.MatchmakingConfiguration, names string) {
	d.t.Helper()
	out, err := d.DescribeMatchmakingConfigurations(d.ctx, in)
	expect.OK(d.t, err)
	var all []string
	for _, c := range out.Configurations {
		all = append(all, *c.Name)
	}
	return out.Configurations, strings.Join(all, " ")
}

func (d *desk) one(name string) types.MatchmakingConfiguration {
	d.t.Helper()
	list, _ := d.described(&gamelift.DescribeMatchmakingConfigurationsInput{Names: []string{name}})
	if len(list) != 1 {
		d.t.Fatalf("configuration %s: got %d", name, len(list))
	}
	return list[0]
}
