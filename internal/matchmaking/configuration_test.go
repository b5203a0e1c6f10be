package matchmaking_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/expect"
)

func TestConfigurationFromCreateToDelete(t *testing.T) {
	atDesk(t, func(d *desk) {
		bare := d.configure(ranked("bare", nil))
		expect.Same(t, "bare", expect.Members(bare), "AcceptanceRequired AdditionalPlayerCount BackfillMode ConfigurationArn CreationTime "+
			"FlexMatchMode GameSessionQueueArns Name RequestTimeoutSeconds RuleSetArn RuleSetName")
		expect.Same(t, "ARN", *bare.ConfigurationArn, "arn:aws:gamelift:us-west-2:123456789012:matchmakingconfiguration/bare")
		expect.Same(t, "rule set", *bare.RuleSetArn, "arn:aws:gamelift:us-west-2:123456789012:matchmakingruleset/duel")
		expect.Same(t, "mode", bare.FlexMatchMode, types.FlexMatchModeWithQueue)
		expect.Same(t, "backfill", bare.BackfillMode, types.BackfillModeManual)

		full := d.configure(ranked("full", func(in *gamelift.CreateMatchmakingConfigurationInput) {
			in.RuleSetName = bare.RuleSetArn
			in.AcceptanceRequired, in.AcceptanceTimeoutSeconds = new(true), new(int32(30))
			in.AdditionalPlayerCount, in.BackfillMode = new(int32(1)), types.BackfillModeAutomatic
			in.CustomEventData, in.Description, in.GameSessionData = new("season-4"), new("the ladder"), new("map=fort")
			in.GameProperties = []types.GameProperty{{Key: new("mode"), Value: new("duel")}}
			in.NotificationTarget = new("arn:aws:sns:us-west-2:123456789012:topic")
			in.Tags = []types.Tag{{Key: new("team"), Value: new("red")}}
		}))
		expect.Same(t, "full", expect.Members(full), "AcceptanceRequired AcceptanceTimeoutSeconds AdditionalPlayerCount BackfillMode ConfigurationArn CreationTime "+
			"CustomEventData Description FlexMatchMode GameProperties GameSessionData GameSessionQueueArns Name NotificationTarget RequestTimeoutSeconds RuleSetArn RuleSetName")
		tags, err := d.Tags.ListTagsForResource(d.ctx, &gamelift.ListTagsForResourceInput{ResourceARN: full.ConfigurationArn})
		expect.OK(t, err)
		expect.Same(t, "tag", *tags.Tags[0].Value, "red")

		// Members that are absent stay.
		d.clock.Advance(time.Minute)
		up, err := d.UpdateMatchmakingConfiguration(d.ctx, &gamelift.UpdateMatchmakingConfigurationInput{Name: full.ConfigurationArn, RequestTimeoutSeconds: new(int32(43200))})
		expect.OK(t, err)
		want := full
		want.RequestTimeoutSeconds = new(int32(43200))
		expect.Same(t, "after a timeout", expect.JSON(up.Configuration), expect.JSON(want))
		expect.Same(t, "as described", expect.JSON(d.one("full")), expect.JSON(want))
		// Empty texts and lists remove.
		_, err = d.UpdateMatchmakingConfiguration(d.ctx, &gamelift.UpdateMatchmakingConfigurationInput{
			Name: new("full"), CustomEventData: new(""), NotificationTarget: new(""), GameProperties: []types.GameProperty{},
			AcceptanceRequired: new(false), AdditionalPlayerCount: new(int32(0)), BackfillMode: types.BackfillModeManual,
		})
		expect.OK(t, err)
		got := d.one("full")
		expect.Same(t, "emptied", expect.Members(got), "AcceptanceRequired AcceptanceTimeoutSeconds AdditionalPlayerCount BackfillMode ConfigurationArn CreationTime "+
			"Description FlexMatchMode GameSessionData GameSessionQueueArns Name RequestTimeoutSeconds RuleSetArn RuleSetName")
		expect.Same(t, "backfill", got.BackfillMode, types.BackfillModeManual)
		// Another rule set, and away from hosting and back.
		d.ruleSet("other", duelBody)
		_, err = d.UpdateMatchmakingConfiguration(d.ctx, &gamelift.UpdateMatchmakingConfigurationInput{
			Name: new("full"), RuleSetName: new("other"), FlexMatchMode: types.FlexMatchModeStandalone,
		})
		expect.OK(t, err)
		got = d.one("full")
		expect.Same(t, "rule set", *got.RuleSetName, "other")
		expect.Same(t, "queues", len(got.GameSessionQueueArns), 0)
		_, err = d.UpdateMatchmakingConfiguration(d.ctx, &gamelift.UpdateMatchmakingConfigurationInput{Name: new("full"), FlexMatchMode: types.FlexMatchModeWithQueue})
		expect.Refused(t, "without a queue", err, invalid, "GameSessionQueueArns", "WITH_QUEUE")
		_, err = d.UpdateMatchmakingConfiguration(d.ctx, &gamelift.UpdateMatchmakingConfigurationInput{
			Name: new("full"), FlexMatchMode: types.FlexMatchModeWithQueue, GameSessionQueueArns: []string{arenaARN},
		})
		expect.OK(t, err)
		expect.Same(t, "queue", d.one("full").GameSessionQueueArns[0], arenaARN)

		_, err = d.DeleteMatchmakingConfiguration(d.ctx, &gamelift.DeleteMatchmakingConfigurationInput{Name: full.ConfigurationArn})
		expect.OK(t, err)
		_, err = d.Tags.ListTagsForResource(d.ctx, &gamelift.ListTagsForResourceInput{ResourceARN: full.ConfigurationArn})
		expect.Refused(t, "tags of a deleted configuration", err, missing)
		_, err = d.DeleteMatchmakingConfiguration(d.ctx, &gamelift.DeleteMatchmakingConfigurationInput{Name: new("full")})
		expect.Refused(t, "deleted again", err, missing, "Name", "full")
		_, err = d.UpdateMatchmakingConfiguration(d.ctx, &gamelift.UpdateMatchmakingConfigurationInput{Name: new("full")})
		expect.Refused(t, "changed after deletion", err, missing, "Name", "full")
		_, err = d.DeleteMatchmakingRuleSet(d.ctx, &gamelift.DeleteMatchmakingRuleSetInput{Name: new("other")})
		expect.OK(t, err)
		// The name may be used again, without what was.
		d.configure(ranked("full", nil))
		tags, err = d.Tags.ListTagsForResource(d.ctx, &gamelift.ListTagsForResourceInput{ResourceARN: full.ConfigurationArn})
		expect.OK(t, err)
		expect.Same(t, "tags of the new one", len(tags.Tags), 0)
	})
}

func TestRefusalsOfConfigurations(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.configure(ranked("taken", nil))
		type input = gamelift.CreateMatchmakingConfigurationInput
		for _, c := range []struct {
			what   string
			change func(*input)
			code   string
			words  string
		}{
			{"name", func(in *input) { in.Name = new("taken") }, invalid, "Name: taken"},
			{"no name", func(in *input) { in.Name = new("") }, invalid, "Name"},
			{"rule set", func(in *input) { in.RuleSetName = new("nope") }, missing, "RuleSetName nope"},
			{"rule set's ARN", func(in *input) { in.RuleSetName = new(arenaARN) }, invalid, "RuleSetName"},
			{"no queue", func(in *input) { in.GameSessionQueueArns = nil }, invalid, "GameSessionQueueArns WITH_QUEUE"},
			{"empty list of queues", func(in *input) { in.GameSessionQueueArns = []string{} }, invalid, "GameSessionQueueArns WITH_QUEUE"},
			{"unknown queue", func(in *input) {
				in.GameSessionQueueArns = []string{arenaARN, strings.Replace(arenaARN, "/arena", "/moon", 1)}
			}, missing, "GameSessionQueueArns[1] moon"},
			{"queue's name", func(in *input) { in.GameSessionQueueArns = []string{"arena"} }, invalid, "GameSessionQueueArns[0] arena"},
			{"queue when alone", func(in *input) { in.FlexMatchMode = types.FlexMatchModeStandalone }, invalid, "GameSessionQueueArns STANDALONE"},
			{"automatic backfill when alone", func(in *input) { alone(in); in.BackfillMode = types.BackfillModeAutomatic }, invalid, "BackfillMode STANDALONE"},
			{"no acceptance timeout", func(in *input) { in.AcceptanceRequired = new(true) }, invalid, "AcceptanceTimeoutSeconds"},
			{"nobody left", func(in *input) { in.AdditionalPlayerCount = new(int32(2)) }, invalid, "AdditionalPlayerCount duel"},
			{"reserved tag", func(in *input) { in.Tags = []types.Tag{{Key: new("aws:x"), Value: new("")}} }, invalid, "aws:"},
		} {
			_, err := d.CreateMatchmakingConfiguration(d.ctx, ranked("x", c.change))
			expect.Refused(t, c.what, err, c.code, strings.Fields(c.words)...)
		}
		for _, c := range []struct {
			what  string
			in    gamelift.UpdateMatchmakingConfigurationInput
			code  string
			words string
		}{
			{"rule set", gamelift.UpdateMatchmakingConfigurationInput{RuleSetName: new("nope")}, missing, "RuleSetName nope"},
			{"no queue", gamelift.UpdateMatchmakingConfigurationInput{GameSessionQueueArns: []string{}}, invalid, "GameSessionQueueArns"},
			{"queue when alone", gamelift.UpdateMatchmakingConfigurationInput{GameSessionQueueArns: []string{arenaARN}, FlexMatchMode: types.FlexMatchModeStandalone}, invalid, "GameSessionQueueArns"},
			{"no acceptance timeout", gamelift.UpdateMatchmakingConfigurationInput{AcceptanceRequired: new(true)}, invalid, "AcceptanceTimeoutSeconds"},
			{"nobody left", gamelift.UpdateMatchmakingConfigurationInput{AdditionalPlayerCount: new(int32(9))}, invalid, "AdditionalPlayerCount"},
		} {
			c.in.Name = new("taken")
			before := expect.JSON(d.one("taken"))
			_, err := d.UpdateMatchmakingConfiguration(d.ctx, &c.in)
			expect.Refused(t, "update: "+c.what, err, c.code, strings.Fields(c.words)...)
			expect.Same(t, "update: "+c.what+": changed", expect.JSON(d.one("taken")), before)
		}
		_, err := d.DescribeMatchmakingConfigurations(d.ctx, &gamelift.DescribeMatchmakingConfigurationsInput{Names: []string{arenaARN}})
		expect.Refused(t, "a queue's ARN", err, invalid, "Names")
		// What is not used is taken all the same (flexmatch.md 2.13).
		c := d.configure(ranked("alone", func(in *input) {
			alone(in)
			in.AdditionalPlayerCount, in.GameSessionData, in.AcceptanceTimeoutSeconds = new(int32(5)), new("x"), new(int32(1))
		}))
		expect.Same(t, "alone", *c.AdditionalPlayerCount, 5)
		// So is an expansion that comes too late.
		d.ruleSet("late", strings.Replace(duelBody, `"teams"`, `"expansions": [{"target": "teams[a].maxPlayers", "steps": [{"waitTimeSeconds": 500, "value": 2}]}], "teams"`, 1))
		d.configure(ranked("late", func(in *input) { in.RuleSetName = new("late") }))
	})
}

func TestListingsOfConfigurations(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.ruleSet("other", duelBody)
		var want []string
		for i := range 13 {
			name := fmt.Sprintf("c%02d", i)
			d.configure(ranked(name, func(in *gamelift.CreateMatchmakingConfigurationInput) {
				if i%4 == 0 {
					in.RuleSetName = new("other")
				}
			}))
			want = append(want, name)
		}
		first, err := d.DescribeMatchmakingConfigurations(d.ctx, &gamelift.DescribeMatchmakingConfigurationsInput{Limit: new(int32(50))})
		expect.OK(t, err)
		expect.Same(t, "page", len(first.Configurations), 10)
		rest, err := d.DescribeMatchmakingConfigurations(d.ctx, &gamelift.DescribeMatchmakingConfigurationsInput{NextToken: first.NextToken})
		expect.OK(t, err)
		var all []string
		for _, c := range slices.Concat(first.Configurations, rest.Configurations) {
			all = append(all, *c.Name)
		}
		expect.Same(t, "all", strings.Join(all, " "), strings.Join(want, " "))
		expect.Same(t, "end", rest.NextToken == nil, true)

		_, names := d.described(&gamelift.DescribeMatchmakingConfigurationsInput{Names: []string{"c05", "arn:aws:gamelift:us-west-2:123456789012:matchmakingconfiguration/c04", "unknown"}})
		expect.Same(t, "by name", names, "c04 c05")
		for _, ruleSet := range []string{"other", "arn:aws:gamelift:us-west-2:123456789012:matchmakingruleset/other"} {
			_, names = d.described(&gamelift.DescribeMatchmakingConfigurationsInput{RuleSetName: &ruleSet})
			expect.Same(t, "by rule set", names, "c00 c04 c08 c12")
		}
		_, names = d.described(&gamelift.DescribeMatchmakingConfigurationsInput{RuleSetName: new("other"), Names: []string{"c03", "c04"}})
		expect.Same(t, "by both", names, "c04")
		_, names = d.described(&gamelift.DescribeMatchmakingConfigurationsInput{RuleSetName: new("unknown")})
		expect.Same(t, "by an unknown rule set", names, "")
		one, err := d.DescribeMatchmakingConfigurations(d.ctx, &gamelift.DescribeMatchmakingConfigurationsInput{RuleSetName: new("other"), Limit: new(int32(1))})
		expect.OK(t, err)
		_, err = d.DescribeMatchmakingConfigurations(d.ctx, &gamelift.DescribeMatchmakingConfigurationsInput{NextToken: one.NextToken})
		expect.Refused(t, "a token of another listing", err, invalid, "NextToken")
	})
}
