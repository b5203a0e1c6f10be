package fleet_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

func simple(id string) *types.RoutingStrategy {
	return &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: &id}
}

func closed(message string) *types.RoutingStrategy {
	return &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: &message}
}

// alias makes an alias.
func (r *rooms) alias(name string, to *types.RoutingStrategy) types.Alias {
	r.t.Helper()
	out, err := r.CreateAlias(r.t.Context(), &gamelift.CreateAliasInput{Name: &name, RoutingStrategy: to})
	if err != nil {
		r.t.Fatal(err)
	}
	return *out.Alias
}

func TestAliasReadsBack(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		id := r.fleet("custom-a")
		for _, description := range []*string{nil, new("öffentlich")} {
			for _, to := range []*types.RoutingStrategy{simple(id), closed("closed for repairs")} {
				out, err := r.CreateAlias(ctx, &gamelift.CreateAliasInput{Name: new("live"), Description: description, RoutingStrategy: to, Tags: tags("k")})
				if err != nil {
					t.Fatal(err)
				}
				a := out.Alias
				want := types.Alias{
					AliasId: a.AliasId, AliasArn: new("arn:aws:gamelift:us-west-2::alias/" + *a.AliasId), Name: new("live"), Description: description,
					RoutingStrategy: to, CreationTime: new(r.clock.Now()), LastUpdatedTime: new(r.clock.Now()),
				}
				if expect.JSON(a) != expect.JSON(want) {
					t.Errorf("CreateAlias = %s, want %s", expect.JSON(a), expect.JSON(want))
				}
				for _, name := range []string{*a.AliasId, *a.AliasArn, "arn:aws:gamelift:us-west-2:123456789012:alias/" + *a.AliasId} {
					got, err := r.DescribeAlias(ctx, &gamelift.DescribeAliasInput{AliasId: &name})
					if err != nil || expect.JSON(got.Alias) != expect.JSON(want) {
						t.Errorf("DescribeAlias(%s) = %s, %v, want %s", name, expect.JSON(got), err, expect.JSON(want))
					}
				}
			}
		}
	})
}

func TestAliasRefusals(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		id := r.fleet("custom-a")
		a := r.alias("live", simple(id))
		for name, c := range map[string]struct {
			to   *types.RoutingStrategy
			word string
		}{
			"simple without fleet":     {&types.RoutingStrategy{Type: "SIMPLE"}, "FleetId"},
			"simple with message":      {&types.RoutingStrategy{Type: "SIMPLE", FleetId: &id, Message: new("m")}, "Message"},
			"terminal without message": {&types.RoutingStrategy{Type: "TERMINAL"}, "Message"},
			"terminal, empty message":  {closed(""), "Message"},
			"terminal with fleet":      {&types.RoutingStrategy{Type: "TERMINAL", FleetId: &id, Message: new("m")}, "FleetId"},
			"without type":             {&types.RoutingStrategy{FleetId: &id}, "Type"},
		} {
			_, err := r.CreateAlias(ctx, &gamelift.CreateAliasInput{Name: new("x"), RoutingStrategy: c.to})
			expect.Refused(t, "create, "+name, err, invalid, "RoutingStrategy."+c.word)
			_, err = r.UpdateAlias(ctx, &gamelift.UpdateAliasInput{AliasId: a.AliasId, RoutingStrategy: c.to})
			expect.Refused(t, "update, "+name, err, invalid, "RoutingStrategy."+c.word)
		}
		_, err := r.CreateAlias(ctx, &gamelift.CreateAliasInput{Name: new("x"), RoutingStrategy: simple(unknownFleet)})
		expect.Refused(t, "create for no fleet", err, invalid, unknownFleet)
		_, err = r.UpdateAlias(ctx, &gamelift.UpdateAliasInput{AliasId: a.AliasId, RoutingStrategy: simple(unknownFleet)})
		expect.Refused(t, "update to no fleet", err, missing, unknownFleet)
		for code, bad := range map[string][]types.Tag{invalid: tags("aws:"), tagging: manyTags(51)} {
			_, err = r.CreateAlias(ctx, &gamelift.CreateAliasInput{Name: new("x"), RoutingStrategy: closed("m"), Tags: bad})
			expect.Refused(t, "bad tags", err, code)
		}
		if out, err := r.ListAliases(ctx, &gamelift.ListAliasesInput{}); err != nil || len(out.Aliases) != 1 || expect.JSON(out.Aliases[0]) != expect.JSON(a) {
			t.Errorf("after refusals: %s, %v, want only %s", expect.JSON(out), err, expect.JSON(a))
		}

		for _, c := range []struct{ id, code string }{
			{unknownAlias, missing},
			{"alias-x", missing},
			{"arn:aws:gamelift:us-west-2::alias/" + unknownAlias, missing},
			{"arn:aws:gamelift:us-west-2::fleet/" + unknownFleet, invalid},
			{unknownFleet, invalid},
		} {
			_, err := r.DescribeAlias(ctx, &gamelift.DescribeAliasInput{AliasId: &c.id})
			expect.Refused(t, "describe "+c.id, err, c.code, "AliasId")
			_, err = r.UpdateAlias(ctx, &gamelift.UpdateAliasInput{AliasId: &c.id})
			expect.Refused(t, "update "+c.id, err, c.code, "AliasId")
			_, err = r.DeleteAlias(ctx, &gamelift.DeleteAliasInput{AliasId: &c.id})
			expect.Refused(t, "delete "+c.id, err, c.code, "AliasId")
			_, err = r.ResolveAlias(ctx, &gamelift.ResolveAliasInput{AliasId: &c.id})
			expect.Refused(t, "resolve "+c.id, err, c.code, "AliasId")
		}
	})
}

func TestResolveAlias(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		id := r.fleet("custom-a")
		a, b := r.alias("live", simple(id)), r.alias("shut", closed("come back at eight"))

		resolves := func(when string) {
			t.Helper()
			out, err := r.ResolveAlias(ctx, &gamelift.ResolveAliasInput{AliasId: a.AliasArn})
			if err != nil || *out.FleetId != id || *out.FleetArn != home.Fleet(arn.FleetID(id)) {
				t.Errorf("%s: ResolveAlias = %s, %v", when, expect.JSON(out), err)
			}
		}
		resolves("at first")
		_, err := r.ResolveAlias(ctx, &gamelift.ResolveAliasInput{AliasId: b.AliasId})
		expect.Refused(t, "terminal", err, terminal, "come back at eight")
		if got := fmt.Sprint(err); got != "TerminalRoutingStrategyException: come back at eight" {
			t.Errorf("message %q is not the alias's own", got)
		}
		if _, err := r.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: &id}); err != nil {
			t.Fatal(err)
		}
		resolves("after the fleet's deletion")
		r.write(func(tx *store.Tx) error {
			got, err := r.ResolveTx(tx, arn.AliasID(*a.AliasId))
			if string(got) != id {
				t.Errorf("ResolveTx = %s, want %s", got, id)
			}
			return err
		})
	})
}

func TestUpdateAliasChangesWhatItNames(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		id := r.fleet("custom-a")
		out, err := r.CreateAlias(ctx, &gamelift.CreateAliasInput{Name: new("live"), Description: new("old"), RoutingStrategy: simple(id)})
		if err != nil {
			t.Fatal(err)
		}
		want := *out.Alias
		for _, step := range []func(in *gamelift.UpdateAliasInput){
			func(*gamelift.UpdateAliasInput) {},
			func(in *gamelift.UpdateAliasInput) { in.Name, want.Name = new("live 2"), new("live 2") },
			func(in *gamelift.UpdateAliasInput) { in.Description, want.Description = new("new"), new("new") },
			func(in *gamelift.UpdateAliasInput) {
				in.RoutingStrategy, want.RoutingStrategy = closed("m"), closed("m")
			},
			func(in *gamelift.UpdateAliasInput) { in.RoutingStrategy, want.RoutingStrategy = simple(id), simple(id) },
		} {
			r.clock.Advance(time.Minute)
			in := &gamelift.UpdateAliasInput{AliasId: want.AliasId}
			step(in)
			want.LastUpdatedTime = new(r.clock.Now())
			got, err := r.UpdateAlias(ctx, in)
			if err != nil || expect.JSON(got.Alias) != expect.JSON(want) {
				t.Fatalf("UpdateAlias(%s) = %s, %v, want %s", expect.JSON(in), expect.JSON(got), err, expect.JSON(want))
			}
			read, err := r.DescribeAlias(ctx, &gamelift.DescribeAliasInput{AliasId: want.AliasId})
			if err != nil || expect.JSON(read.Alias) != expect.JSON(want) {
				t.Fatalf("after UpdateAlias: %s, %v, want %s", expect.JSON(read), err, expect.JSON(want))
			}
		}
	})
}

func TestDeleteAlias(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.Quotas.Aliases = 1
		a := r.alias("shut", closed("m"))
		_, err := r.CreateAlias(ctx, &gamelift.CreateAliasInput{Name: new("x"), RoutingStrategy: closed("m")})
		expect.Refused(t, "over the quota", err, overQuota, "1", "aliases")
		if _, err := r.DeleteAlias(ctx, &gamelift.DeleteAliasInput{AliasId: a.AliasArn}); err != nil {
			t.Fatal(err)
		}
		_, err = r.DeleteAlias(ctx, &gamelift.DeleteAliasInput{AliasId: a.AliasId})
		expect.Refused(t, "again", err, missing)
		_, err = r.ResolveAlias(ctx, &gamelift.ResolveAliasInput{AliasId: a.AliasId})
		expect.Refused(t, "resolve", err, missing)
		_, err = r.Tags.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: a.AliasArn})
		expect.Refused(t, "tags", err, missing)
		r.alias("another", closed("m"))
	})
}

func TestListAliases(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		id := r.fleet("custom-a")
		var all []types.Alias
		for i := range 24 {
			to := simple(id)
			if i%3 == 0 {
				to = closed("m")
			}
			all = append(all, r.alias("name "+strconv.Itoa(i%2), to))
		}
		for _, c := range []struct {
			name     *string
			strategy types.RoutingStrategyType
		}{{nil, ""}, {new("name 1"), ""}, {nil, "TERMINAL"}, {new("name 0"), "SIMPLE"}, {new("name"), ""}, {new("NAME 1"), ""}, {new("none"), "SIMPLE"}} {
			want := []string{}
			for _, a := range all {
				if (c.name == nil || *a.Name == *c.name) && (c.strategy == "" || a.RoutingStrategy.Type == c.strategy) {
					want = append(want, expect.JSON(a))
				}
			}
			for limit := int32(1); limit <= 25; limit++ {
				got := walk(t, int(limit), func(token *string) ([]string, *string, error) {
					out, err := r.ListAliases(ctx, &gamelift.ListAliasesInput{Name: c.name, RoutingStrategyType: c.strategy, Limit: &limit, NextToken: token})
					if err != nil {
						return nil, nil, err
					}
					return idsOf(out.Aliases, func(a types.Alias) *string { return new(expect.JSON(a)) }), out.NextToken, nil
				})
				if !slices.Equal(got, want) {
					t.Fatalf("%s, limit %d: %v, want %v", expect.JSON(c), limit, got, want)
				}
			}
		}
		page, err := r.ListAliases(ctx, &gamelift.ListAliasesInput{Limit: new(int32(2))})
		if err != nil {
			t.Fatal(err)
		}
		tokensRefused(t, *page.NextToken, func(token *string) error {
			_, err := r.ListAliases(ctx, &gamelift.ListAliasesInput{NextToken: token})
			return err
		})
		_, err = r.ListAliases(ctx, &gamelift.ListAliasesInput{NextToken: page.NextToken, Name: new("name 1")})
		expect.Refused(t, "token of another filter", err, invalid, "NextToken")
	})
}
