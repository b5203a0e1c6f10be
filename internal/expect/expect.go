// Package expect is what the rooms' tests say over and over: that nothing failed, that two
// values are the same, that a call was refused with the right exception and words. It knows
// tests and the shape of API errors, and no room.
package expect

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
)

// OK ends the test when err is one.
func OK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Same fails when got is not want.
func Same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// Refused fails unless err is the API's exception of that code and its message has all the
// words.
func Refused(t testing.TB, what string, err error, code string, words ...string) {
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

// Members are the names of a structure's members that are set, sorted, with a space between.
func Members(v any) string {
	var all map[string]any
	if err := json.Unmarshal([]byte(JSON(v)), &all); err != nil {
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

// JSON is a value as JSON, to be compared and for messages.
func JSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
