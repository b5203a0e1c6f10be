package matchmaking_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/expect"
)

func TestRuleSetFromCreateToDelete(t *testing.T) {
	atDesk(t, func(d *desk) {
		out, err := d.CreateMatchmakingRuleSet(d.ctx, &gamelift.CreateMatchmakingRuleSetInput{
			Name: new("Duel.v-2"), RuleSetBody: new(duelBody), Tags: []types.Tag{{Key: new("team"), Value: new("red")}},
		})
		expect.OK(t, err)
		expect.Same(t, "created", expect.Members(out.RuleSet), "CreationTime RuleSetArn RuleSetBody RuleSetName")
		expect.Same(t, "ARN", *out.RuleSet.RuleSetArn, "arn:aws:gamelift:us-west-2:123456789012:matchmakingruleset/Duel.v-2")
		expect.Same(t, "time", *out.RuleSet.CreationTime, d.clock.Now())
		for _, name := range []string{"Duel.v-2", *out.RuleSet.RuleSetArn, "arn:aws:gamelift:::matchmakingruleset/Duel.v-2"} {
			got, err := d.DescribeMatchmakingRuleSets(d.ctx, &gamelift.DescribeMatchmakingRuleSetsInput{Names: []string{name}})
			expect.OK(t, err)
			expect.Same(t, "body by "+name, *got.RuleSets[0].RuleSetBody, duelBody)
			expect.Same(t, "number", len(got.RuleSets), 1)
		}
		tags, err := d.Tags.ListTagsForResource(d.ctx, &gamelift.ListTagsForResourceInput{ResourceARN: out.RuleSet.RuleSetArn})
		expect.OK(t, err)
		expect.Same(t, "tag", *tags.Tags[0].Value, "red")

		_, err = d.DeleteMatchmakingRuleSet(d.ctx, &gamelift.DeleteMatchmakingRuleSetInput{Name: out.RuleSet.RuleSetArn})
		expect.OK(t, err)
		_, err = d.Tags.ListTagsForResource(d.ctx, &gamelift.ListTagsForResourceInput{ResourceARN: out.RuleSet.RuleSetArn})
		expect.Refused(t, "tags of a deleted rule set", err, missing)
		_, err = d.DeleteMatchmakingRuleSet(d.ctx, &gamelift.DeleteMatchmakingRuleSetInput{Name: new("Duel.v-2")})
		expect.Refused(t, "deleted again", err, missing, "Name", "Duel.v-2")
		d.ruleSet("Duel.v-2", duelBody)
		tags, err = d.Tags.ListTagsForResource(d.ctx, &gamelift.ListTagsForResourceInput{ResourceARN: out.RuleSet.RuleSetArn})
		expect.OK(t, err)
		expect.Same(t, "tags of the new one", len(tags.Tags), 0)
	})
}

func TestRefusalsOfRuleSets(t *testing.T) {
	atDesk(t, func(d *desk) {
		broken := `{"ruleLanguageVersion": "2.0", "teams": [{"name": "a", "minPlayers": 2, "maxPlayers": 1}], "rules": [{"name": "r", "type": "luck"}]}`
		_, err := d.CreateMatchmakingRuleSet(d.ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: new("x"), RuleSetBody: &broken})
		expect.Refused(t, "broken", err, invalid, "RuleSetBody", "ruleLanguageVersion", "teams[0]", "rules[0].type")
		_, err = d.ValidateMatchmakingRuleSet(d.ctx, &gamelift.ValidateMatchmakingRuleSetInput{RuleSetBody: &broken})
		expect.Refused(t, "broken", err, invalid, "RuleSetBody", "ruleLanguageVersion", "teams[0]", "rules[0].type")
		valid, err := d.ValidateMatchmakingRuleSet(d.ctx, &gamelift.ValidateMatchmakingRuleSetInput{RuleSetBody: new(duelBody)})
		expect.OK(t, err)
		expect.Same(t, "valid", *valid.Valid, true)
		_, err = d.CreateMatchmakingRuleSet(d.ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: new("duel"), RuleSetBody: new(duelBody)})
		expect.Refused(t, "taken", err, invalid, "Name", "duel")
		_, err = d.CreateMatchmakingRuleSet(d.ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: new(""), RuleSetBody: new(duelBody)})
		expect.Refused(t, "no name", err, invalid, "Name")
		var many []types.Tag
		for i := range 51 {
			many = append(many, types.Tag{Key: new(fmt.Sprint(i)), Value: new("")})
		}
		_, err = d.CreateMatchmakingRuleSet(d.ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: new("x"), RuleSetBody: new(duelBody), Tags: many})
		expect.Refused(t, "tags", err, tagging)
		_, err = d.DescribeMatchmakingRuleSets(d.ctx, &gamelift.DescribeMatchmakingRuleSetsInput{Names: []string{"duel", "x"}})
		expect.Refused(t, "unknown, and nothing was made by the refused", err, missing, "Names", "x")
		_, err = d.DescribeMatchmakingRuleSets(d.ctx, &gamelift.DescribeMatchmakingRuleSetsInput{Names: []string{arenaARN}})
		expect.Refused(t, "a queue's ARN", err, invalid, "Names")

		d.configure(ranked("ranked", nil))
		_, err = d.DeleteMatchmakingRuleSet(d.ctx, &gamelift.DeleteMatchmakingRuleSetInput{Name: new("duel")})
		expect.Refused(t, "in use", err, invalid, "Name", "duel", "ranked")
	})
}

func TestRuleSetsPageByPage(t *testing.T) {
	atDesk(t, func(d *desk) {
		want := []string{"duel"}
		for i := range 22 {
			name := fmt.Sprintf("r%02d", i)
			d.ruleSet(name, duelBody)
			want = append(want, name)
		}
		var got, sizes []string
		in := &gamelift.DescribeMatchmakingRuleSetsInput{}
		for {
			out, err := d.DescribeMatchmakingRuleSets(d.ctx, in)
			expect.OK(t, err)
			sizes = append(sizes, fmt.Sprint(len(out.RuleSets)))
			for _, r := range out.RuleSets {
				got = append(got, *r.RuleSetName)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		expect.Same(t, "pages", strings.Join(sizes, " "), "10 10 3")
		expect.Same(t, "names", strings.Join(got, " "), strings.Join(want, " "))
		out, err := d.DescribeMatchmakingRuleSets(d.ctx, &gamelift.DescribeMatchmakingRuleSetsInput{Limit: new(int32(2)), Names: []string{"r03", "duel", "r01"}})
		expect.OK(t, err)
		expect.Same(t, "first of the named", *out.RuleSets[0].RuleSetName, "duel")
		expect.Same(t, "page", len(out.RuleSets), 2)
		_, err = d.DescribeMatchmakingRuleSets(d.ctx, &gamelift.DescribeMatchmakingRuleSetsInput{NextToken: out.NextToken})
		expect.Refused(t, "a token of another listing", err, invalid, "NextToken")
		_, err = d.DescribeMatchmakingConfigurations(d.ctx, &gamelift.DescribeMatchmakingConfigurationsInput{NextToken: out.NextToken})
		expect.Refused(t, "a token of another operation", err, invalid, "NextToken")
	})
}

func TestQuotas(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.Config.RuleSets, d.Config.Configurations = 3, 2
		// Of many at once as many succeed as there may be.
		race := func(create func(i int) error) (made int) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			for i := range 8 {
				wg.Go(func() {
					err := create(i)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						made++
						return
					}
					expect.Refused(t, "over the quota", err, overLimit, "quota")
				})
			}
			wg.Wait()
			return made
		}
		expect.Same(t, "rule sets", race(func(i int) error {
			_, err := d.CreateMatchmakingRuleSet(d.ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: new(fmt.Sprintf("r%d", i)), RuleSetBody: new(duelBody)})
			return err
		}), 2)
		expect.Same(t, "configurations", race(func(i int) error {
			_, err := d.CreateMatchmakingConfiguration(d.ctx, ranked(fmt.Sprintf("c%d", i), nil))
			return err
		}), 2)
		list, _ := d.described(&gamelift.DescribeMatchmakingConfigurationsInput{})
		expect.Same(t, "configurations", len(list), 2)
		_, err := d.DeleteMatchmakingConfiguration(d.ctx, &gamelift.DeleteMatchmakingConfigurationInput{Name: list[0].Name})
		expect.OK(t, err)
		d.configure(ranked("again", nil))
		// A refused deletion gives nothing back.
		_, err = d.DeleteMatchmakingRuleSet(d.ctx, &gamelift.DeleteMatchmakingRuleSetInput{Name: new("duel")})
		expect.Refused(t, "in use", err, invalid)
		_, err = d.CreateMatchmakingRuleSet(d.ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: new("more"), RuleSetBody: new(duelBody)})
		expect.Refused(t, "still full", err, overLimit)
	})
}

// A rule set is deleted, or a configuration has it, and never both.
func TestRuleSetDeletedWhileItIsGiven(t *testing.T) {
	atDesk(t, func(d *desk) {
		for i := range 10 {
			name := fmt.Sprintf("r%d", i)
			d.ruleSet(name, duelBody)
			var wg sync.WaitGroup
			var given, deleted error
			wg.Go(func() {
				_, given = d.CreateMatchmakingConfiguration(d.ctx, ranked(name, func(in *gamelift.CreateMatchmakingConfigurationInput) { in.RuleSetName = &name }))
			})
			wg.Go(func() {
				_, deleted = d.DeleteMatchmakingRuleSet(d.ctx, &gamelift.DeleteMatchmakingRuleSetInput{Name: &name})
			})
			wg.Wait()
			if (given == nil) == (deleted == nil) {
				t.Errorf("given: %v; deleted: %v", given, deleted)
			}
			for _, err := range []error{given, deleted} {
				if api, ok := errors.AsType[smithy.APIError](err); err != nil && (!ok || !slices.Contains([]string{invalid, missing}, api.ErrorCode())) {
					t.Errorf("refused with %v", err)
				}
			}
		}
	})
}
