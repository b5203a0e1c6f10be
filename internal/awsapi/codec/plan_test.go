package codec

import (
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/model"
)

// operationTypes finds the SDK's input and output types of an operation.
func operationTypes(t testing.TB, name string) (in, out reflect.Type) {
	t.Helper()
	m, ok := reflect.TypeFor[*gamelift.Client]().MethodByName(name)
	if !ok {
		t.Fatalf("the SDK has no operation %s", name)
	}
	return m.Type.In(2).Elem(), m.Type.Out(0).Elem()
}

// TestSDKMatchesModel makes the plan of every operation, which compares every field of
// every structure with the model's members, in both directions.
func TestSDKMatchesModel(t *testing.T) {
	if len(model.Operations) != 120 {
		t.Errorf("got %d operations, want 120", len(model.Operations))
	}
	for _, o := range model.Operations {
		in, out := operationTypes(t, o.Name)
		PlanOf(in, o.Input)
		if o.Output != nil {
			PlanOf(out, o.Output)
		} else if n := dataFields(out); n != 0 {
			t.Errorf("%s has %d fields, the model no output", out, n)
		}
	}
}
