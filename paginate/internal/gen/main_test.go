package main

import (
	"bytes"
	"os"
	"testing"
)

func TestCommittedOperationsAreThoseOfTheModel(t *testing.T) {
	model, err := os.ReadFile("../../../internal/model/gamelift-2015-10-01.json")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Generate(model)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../ops.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("paginate/ops.go is out of date: run go generate ./paginate")
	}
}

func TestModelsThatCannotBePagedAreRefused(t *testing.T) {
	const paged = `"In": {"members": {"NextToken": "S", "Limit": "N"}}, "S": {"type": "string"}, "N": {"type": "integer"}, `
	for name, shapes := range map[string]string{
		"no list":      paged + `"Out": {"members": {"NextToken": "S"}}`,
		"two lists":    paged + `"Out": {"members": {"NextToken": "S", "A": "L", "B": "L"}}, "L": {"type": "list", "member": "S"}`,
		"list of maps": paged + `"Out": {"members": {"NextToken": "S", "A": "L"}}, "L": {"type": "list", "member": "M"}, "M": {"type": "map"}`,
	} {
		model := `{"operations": {"Op": {"input": "In", "output": "Out"}}, "shapes": {` + shapes + `}}`
		if code, err := Generate([]byte(model)); err == nil {
			t.Errorf("%s gave\n%s", name, code)
		}
	}
}
