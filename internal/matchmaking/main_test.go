package matchmaking_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/arn"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const (
	invalid   = "InvalidRequestException"
	missing   = "NotFoundException"
	overLimit = "LimitExceededException"
	tagging   = "TaggingFailedException"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same fails when got is not want.
func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// refused checks that err is the exception and that its message has all the words.
func refused(t testing.TB, what string, err error, code string, words ...string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() != code {
		t.Errorf("%s: error %v, want %s", what, err, code)
		return
	}
	for _, w := range words {
		if !strings.Contains(api.ErrorMessage(), w) {
			t.Errorf("%s: message %q lacks %q", what, api.ErrorMessage(), w)
		}
	}
}

// members are the names of the members that are set, sorted.
func members(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return err.Error()
	}
	var names []string
	for name, value := range all {
		if value != nil && value != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// text is a value as JSON, to be compared.
func text(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
