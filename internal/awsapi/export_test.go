package awsapi

import (
	"context"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/model"
)

// AllOperations are the 120 operations of the model with the SDK's types, each of them
// carried out by do. A nil output becomes an empty one.
func AllOperations(t testing.TB, do func(ctx context.Context, name string, in any) (any, error)) []Operation {
	t.Helper()
	var all []Operation
	for i := range model.Operations {
		facts := &model.Operations[i]
		in, out := SDKTypes(t, facts.Name)
		all = append(all, Operation{
			facts: facts, in: in, out: out,
			makeIn: func() any { return reflect.New(in).Interface() },
			call: func(ctx context.Context, v any) (any, error) {
				got, err := do(ctx, facts.Name, v)
				if err == nil && got == nil {
					got = reflect.New(out).Interface()
				}
				return got, err
			},
		})
	}
	return all
}

// SDKTypes are the SDK's input and output of an operation.
func SDKTypes(t testing.TB, name string) (in, out reflect.Type) {
	t.Helper()
	m, ok := reflect.TypeFor[*gamelift.Client]().MethodByName(name)
	if !ok {
		t.Fatalf("the SDK has no operation %s", name)
	}
	return m.Type.In(2).Elem(), m.Type.Out(0).Elem()
}
