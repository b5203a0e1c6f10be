package paginate_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/paginate"
)

// pagedOp is one operation with its types hidden.
type pagedOp struct {
	name, key string
	check     func(*testing.T)
}

// everyOp is all operations by name.
func everyOp() map[string]pagedOp {
	ops := map[string]pagedOp{}
	for _, op := range []pagedOp{
		describe(paginate.DescribeFleetAttributes),
		describe(paginate.DescribeFleetCapacity),
		describe(paginate.DescribeFleetEvents),
		describe(paginate.DescribeFleetLocationAttributes),
		describe(paginate.DescribeFleetUtilization),
		describe(paginate.DescribeGameServerInstances),
		describe(paginate.DescribeGameSessionDetails),
		describe(paginate.DescribeGameSessionQueues),
		describe(paginate.DescribeGameSessions),
		describe(paginate.DescribeInstances),
		describe(paginate.DescribeMatchmakingConfigurations),
		describe(paginate.DescribeMatchmakingRuleSets),
		describe(paginate.DescribePlayerSessions),
		describe(paginate.DescribeScalingPolicies),
		describe(paginate.ListAliases),
		describe(paginate.ListBuilds),
		describe(paginate.ListCompute),
		describe(paginate.ListContainerFleets),
		describe(paginate.ListContainerGroupDefinitionVersions),
		describe(paginate.ListContainerGroupDefinitions),
		describe(paginate.ListFleetDeployments),
		describe(paginate.ListFleets),
		describe(paginate.ListGameServerGroups),
		describe(paginate.ListGameServers),
		describe(paginate.ListLocations),
		describe(paginate.ListScripts),
		describe(paginate.SearchGameSessions),
	} {
		ops[op.name] = op
	}
	return ops
}

// describe makes a check of op that only knows, by reflection, the names of the
// model: Limit and NextToken of the input, NextToken and the items of the output.
func describe[In, Out, Item any](op paginate.Op[In, Out, Item]) pagedOp {
	return pagedOp{op.Name(), op.ResultKey(), func(t *testing.T) {
		var calls []call
		fake := func(_ context.Context, in *In, _ ...func(*gamelift.Options)) (*Out, error) {
			sent := reflect.ValueOf(in).Elem()
			c := call{
				value(sent.FieldByName("NextToken").Interface().(*string)),
				value(sent.FieldByName("Limit").Interface().(*int32)),
			}
			calls = append(calls, c)
			out := new(Out)
			page := reflect.ValueOf(out).Elem()
			page.FieldByName(op.ResultKey()).Set(reflect.ValueOf(make([]Item, c.limit)))
			if c.token == "" {
				page.FieldByName("NextToken").Set(reflect.ValueOf(new("second")))
			}
			return out, nil
		}
		it, err := paginate.NewFunc(op, fake, nil, paginate.Options{PageSize: 2, MaxItems: 3})
		if err != nil {
			t.Fatal(err)
		}
		result, err := it.Collect(t.Context())
		if err != nil || len(result.Items) != 3 {
			t.Errorf("%d items, %v", len(result.Items), err)
		}
		if want := (paginate.Token{Next: new("second"), Skip: 1}).String(); result.ResumeToken != want {
			t.Errorf("resume token %s, want %s", result.ResumeToken, want)
		}
		if want := []call{{"", 2}, {"second", 2}}; !reflect.DeepEqual(calls, want) {
			t.Errorf("calls %v, want %v", calls, want)
		}
	}}
}

func TestEveryOperation(t *testing.T) {
	ops := everyOp()
	if len(ops) != 27 {
		t.Errorf("%d operations", len(ops))
	}
	for name, op := range ops {
		t.Run(name, op.check)
	}
}

func TestTheClientOfTheSDKServesEveryOperation(t *testing.T) {
	var api paginate.API = gamelift.New(gamelift.Options{Region: "us-west-2"})
	method := reflect.TypeOf(&api).Elem()
	for name := range everyOp() {
		if _, ok := method.MethodByName(name); !ok {
			t.Errorf("API has no %s", name)
		}
	}
	if method.NumMethod() != 27 {
		t.Errorf("API has %d methods", method.NumMethod())
	}
}
