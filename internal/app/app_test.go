package app_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/testkit"
)

// must fails the test at an error and returns the answer.
func must[Out any](t *testing.T) func(out *Out, err error) *Out {
	return func(out *Out, err error) *Out {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// refused fails unless err is that exception and its message has the words.
func refused(t *testing.T, err error, code string, words ...string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code {
		t.Errorf("error %v, want %s", err, code)
		return
	}
	for _, w := range words {
		if !strings.Contains(e.ErrorMessage(), w) {
			t.Errorf("message %q lacks %q", e.ErrorMessage(), w)
		}
	}
}

// arena makes an Anywhere fleet in one custom location.
func arena(t *testing.T, c *gamelift.Client) string {
	t.Helper()
	ctx := t.Context()
	must[gamelift.CreateLocationOutput](t)(c.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-home")}))
	out := must[gamelift.CreateFleetOutput](t)(c.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("arena"), ComputeType: types.ComputeTypeAnywhere,
		Locations: []types.LocationConfiguration{{Location: new("custom-home")}},
	}))
	return *out.FleetAttributes.FleetId
}

func TestFleetsAliasesTagsAndComputesThroughTheDoor(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		ctx, c := t.Context(), s.Client
		fleet := arena(t, c)
		page := must[gamelift.ListFleetsOutput](t)(c.ListFleets(ctx, &gamelift.ListFleetsInput{}))
		if len(page.FleetIds) != 1 || page.FleetIds[0] != fleet {
			t.Errorf("fleets %v, want %s", page.FleetIds, fleet)
		}

		alias := must[gamelift.CreateAliasOutput](t)(c.CreateAlias(ctx, &gamelift.CreateAliasInput{
			Name: new("live"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: &fleet},
		})).Alias
		to := must[gamelift.ResolveAliasOutput](t)(c.ResolveAlias(ctx, &gamelift.ResolveAliasInput{AliasId: alias.AliasId}))
		if *to.FleetId != fleet {
			t.Errorf("the alias leads to %s, want %s", *to.FleetId, fleet)
		}

		must[gamelift.TagResourceOutput](t)(c.TagResource(ctx, &gamelift.TagResourceInput{
			ResourceARN: alias.AliasArn, Tags: []types.Tag{{Key: new("owner"), Value: new("Ännchen 🎲")}},
		}))
		tags := must[gamelift.ListTagsForResourceOutput](t)(c.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: alias.AliasArn}))
		if len(tags.Tags) != 1 || *tags.Tags[0].Value != "Ännchen 🎲" {
			t.Errorf("tags %v", tags.Tags)
		}
		_, err := c.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{
			ResourceARN: new("arn:aws:gamelift:us-west-2:123456789012:alias/alias-01234567-89ab-7def-8123-456789abcdef"),
		})
		refused(t, err, "NotFoundException", "alias-01234567")

		host := must[gamelift.RegisterComputeOutput](t)(c.RegisterCompute(ctx, &gamelift.RegisterComputeInput{
			FleetId: &fleet, ComputeName: new("host-1"), IpAddress: new("192.0.2.7"), Location: new("custom-home"),
		})).Compute
		if want := "ws" + strings.TrimPrefix(s.URL, "http"); *host.GameLiftServiceSdkEndpoint != want {
			t.Errorf("game servers are told %s, want %s", *host.GameLiftServiceSdkEndpoint, want)
		}
		token := must[gamelift.GetComputeAuthTokenOutput](t)(c.GetComputeAuthToken(ctx, &gamelift.GetComputeAuthTokenInput{FleetId: &fleet, ComputeName: new("host-1")}))
		if *token.AuthToken == "" || !token.ExpirationTimestamp.After(s.App.Now()) {
			t.Errorf("token %q until %v, now %v", *token.AuthToken, token.ExpirationTimestamp, s.App.Now())
		}

		// With the fleet go its computes and its tags; the alias stays and leads nowhere.
		must[gamelift.DeleteFleetOutput](t)(c.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: &fleet}))
		_, err = c.DescribeCompute(ctx, &gamelift.DescribeComputeInput{FleetId: &fleet, ComputeName: new("host-1")})
		refused(t, err, "NotFoundException", fleet)
	})
}

func TestUnbuiltOperationsCheckTheirInputAndSaySo(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		_, err := s.Client.DescribeGameServerGroup(t.Context(), &gamelift.DescribeGameServerGroupInput{GameServerGroupName: new("group-1")})
		refused(t, err, "InternalServiceException", "DescribeGameServerGroup", "not built")
		_, err = s.Client.DescribeGameServerGroup(t.Context(), &gamelift.DescribeGameServerGroupInput{GameServerGroupName: new("not a name!")})
		refused(t, err, "InvalidRequestException", "gameServerGroupName")
	})
}
