package search_test

import (
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/paginate/internal/bototest"
	"github.com/matchyard/matchyard/paginate/search"
)

// The pages, as JSON for Python and filled into the SDK's structs for us. The
// numbers of the members in dates are times.
const (
	firstPage = `{"NextToken": "A", "GameSessions": [
		{"GameSessionId": "gsess-0", "Name": "p0", "Status": "ACTIVE", "Port": 1900, "CreationTime": 1714979289.25, "IpAddress": "",
		 "GameProperties": [{"Key": "mode", "Value": "ffa"}, {"Key": "map", "Value": "Suzuka"}],
		 "CurrentPlayerSessionCount": 0, "MaximumPlayerSessionCount": 8},
		{"GameSessionId": "gsess-1", "Name": "p1", "Status": "ERROR", "Port": 1901, "CreationTime": 1714979290, "GameSessionData": "d",
		 "GameProperties": [], "CurrentPlayerSessionCount": 8, "MaximumPlayerSessionCount": 8},
		{"GameSessionId": "gsess-2", "Name": "p2", "Status": "TERMINATED", "Port": 1902, "CreationTime": 1714979280},
		{"GameSessionId": "gsess-3", "Name": "p0", "Status": "ACTIVE", "Port": 1903, "GameSessionData": "d\u00e9☃"},
		{"GameSessionId": "gsess-4", "Name": "p1", "Status": "ERROR", "Port": 1904,
		 "GameProperties": [{"Key": "mode", "Value": "team"}]},
		{"GameSessionId": "gsess-5", "Name": "p2", "Status": "TERMINATED", "Port": 1905},
		{"GameSessionId": "gsess-6"}]}`
	secondPage = `{"GameSessions": []}`
	thirdPage  = `{"NextToken": "C"}`
	fourthPage = `{"GameSessions": [{"GameSessionId": "gsess-7", "Name": "q", "Port": 7, "Status": "ACTIVE"}]}`
)

var dates = []string{"CreationTime"}

// decoded is JSON as a tree.
func decoded(t testing.TB, text string) map[string]any {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// fill sets v, of the SDK's types, from a tree. It is the opposite way of what
// the package does, written without it.
func fill(t testing.TB, v reflect.Value, tree any) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), tree)
	case reflect.Slice:
		list := tree.([]any)
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
		for i, item := range list {
			fill(t, v.Index(i), item)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.UnixMilli(int64(tree.(float64) * 1000)).UTC()))
			return
		}
		for name, member := range tree.(map[string]any) {
			fill(t, v.FieldByName(name), member)
		}
	case reflect.String:
		v.SetString(tree.(string))
	case reflect.Int32:
		v.SetInt(int64(tree.(float64)))
	default:
		t.Fatalf("cannot fill %s", v.Type())
	}
}

func pages(t testing.TB, texts ...string) iter.Seq2[*gamelift.DescribeGameSessionsOutput, error] {
	return func(yield func(*gamelift.DescribeGameSessionsOutput, error) bool) {
		for _, text := range texts {
			var out gamelift.DescribeGameSessionsOutput
			fill(t, reflect.ValueOf(&out).Elem(), decoded(t, text))
			if !yield(&out, nil) {
				return
			}
		}
	}
}

// plain makes our results comparable with the driver's.
func plain(t testing.TB, v any) any {
	t.Helper()
	switch v := v.(type) {
	case time.Time:
		return map[string]any{"datetime": float64(v.UnixMilli()) / 1000}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(t, v[i])
		}
		return list
	case map[string]any:
		object := map[string]any{}
		for key := range v {
			object[key] = plain(t, v[key])
		}
		return object
	}
	return v
}

func expressions(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/expressions.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" || strings.HasPrefix(line, "#") })
}

func TestTheResultsAreThoseOfBotocore(t *testing.T) {
	b := bototest.Start(t)
	graph := map[string]map[string]any{
		"": decoded(t, firstPage), "A": decoded(t, secondPage), "B": decoded(t, thirdPage), "C": decoded(t, fourthPage),
	}
	graph["A"]["NextToken"] = "B"
	secondWithToken := `{"GameSessions": [], "NextToken": "B"}`
	failures := 0
	for _, expression := range expressions(t) {
		theirs := b.Run(t, bototest.Run{
			Operation: "describe_game_sessions", Key: "GameSessions", Graph: graph, Dates: dates, MaxCalls: 9, Search: expression,
		})
		mine := []any{}
		var failure error
		for value, err := range search.Search(pages(t, firstPage, secondWithToken, thirdPage, fourthPage), expression) {
			if failure = err; err != nil {
				break
			}
			mine = append(mine, plain(t, value))
		}
		if !reflect.DeepEqual(mine, theirs.Results) || (failure == nil) != (theirs.Error == nil) {
			failed := ""
			if theirs.Error != nil {
				failed = *theirs.Error
			}
			t.Errorf("%s\nours     %v %v\nbotocore %v %s", expression, mine, failure, theirs.Results, failed)
		}
		if failure != nil {
			failures++
		}
	}
	t.Logf("%d expressions, %d of them errors, equal to botocore %s", len(expressions(t)), failures, b.Version)
}

func collect[T any](t testing.TB, seq iter.Seq2[T, error]) ([]T, error) {
	t.Helper()
	var all []T
	for value, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, value)
	}
	return all, nil
}

func TestMembersOfAnObjectComeInTheOrderOfTheirNames(t *testing.T) {
	for _, expression := range []string{"values(@)", "*", "keys(@) | [@[0]]"} {
		for range 20 {
			in := map[string]any{"b": "2", "a": "1", "d": "4", "c": "3"}
			got, err := search.Compile(expression)
			if err != nil {
				t.Fatal(err)
			}
			found, err := got.In(in)
			want := []any{"1", "2", "3", "4"}
			if strings.HasPrefix(expression, "keys") {
				want = []any{"a"}
			}
			if err != nil || !reflect.DeepEqual(found, want) {
				t.Fatalf("%s: %v, %v", expression, found, err)
			}
		}
	}
}

func TestABadExpressionMakesNoCall(t *testing.T) {
	called := func(func(*gamelift.ListFleetsOutput, error) bool) { t.Error("a page was asked for") }
	got, err := collect(t, search.Search(called, "FleetIds["))
	if err == nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestErrorsOfPagesPassThrough(t *testing.T) {
	down := errors.New("down")
	failing := func(yield func(*gamelift.ListFleetsOutput, error) bool) {
		if yield(&gamelift.ListFleetsOutput{FleetIds: []string{"fleet-1"}}, nil) {
			yield(nil, down)
		}
	}
	got, err := collect(t, search.Search(failing, "FleetIds"))
	if !errors.Is(err, down) || !slices.Equal(got, []any{"fleet-1"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestABreakAsksForNoFurtherPage(t *testing.T) {
	asked := 0
	endless := func(yield func(*gamelift.ListFleetsOutput, error) bool) {
		for yield(&gamelift.ListFleetsOutput{FleetIds: []string{"a", "b"}}, nil) {
			asked++
		}
	}
	for _, err := range search.Search(endless, "FleetIds") {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if asked != 0 {
		t.Errorf("%d further pages", asked)
	}
}

func TestAs(t *testing.T) {
	all := search.Search(pages(t, firstPage), "GameSessions[:2].Name")
	if got, err := collect(t, search.As[string](all)); err != nil || !slices.Equal(got, []string{"p0", "p1"}) {
		t.Errorf("%v, %v", got, err)
	}
	got, err := collect(t, search.As[string](search.Search(pages(t, firstPage), "[GameSessions[0].Name, GameSessions[0].Port]")))
	if err == nil || !slices.Equal(got, []string{"p0"}) || err.Error() != "search: found float64 1900, want string" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := collect(t, search.As[string](search.Search(pages(t, firstPage), "Missing"))); err == nil {
		t.Error("null passed as a string")
	}
}

// A response of the real client shows what boto3 shows under ResponseMetadata.
func TestResponseMetadata(t *testing.T) {
	client := gamelift.New(gamelift.Options{
		Region: "us-west-2",
		HTTPClient: transport(func(*http.Request) *http.Response {
			return &http.Response{
				StatusCode: http.StatusOK,
				Header: http.Header{
					"Smithy-Protocol": {"rpc-v2-cbor"}, "Content-Type": {"application/cbor"}, "X-Amzn-Requestid": {"id-1"},
				},
				Body: http.NoBody,
			}
		}),
	})
	out, err := client.ListFleets(t.Context(), &gamelift.ListFleetsInput{})
	if err != nil {
		t.Fatal(err)
	}
	expression, err := search.Compile(`ResponseMetadata.[RequestId, HTTPStatusCode, RetryAttempts, HTTPHeaders."content-type"]`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := expression.In(out)
	if want := []any{"id-1", 200.0, 0.0, "application/cbor"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if expression.String()[:16] != "ResponseMetadata" {
		t.Error(expression)
	}
}

type transport func(*http.Request) *http.Response

func (f transport) Do(r *http.Request) (*http.Response, error) {
	response := f(r)
	response.Request = r
	return response, nil
}

func FuzzSearch(f *testing.F) {
	for _, expression := range expressions(f) {
		f.Add(expression)
	}
	out := &gamelift.DescribeGameSessionsOutput{GameSessions: []types.GameSession{{Name: new("x"), Port: new(int32(5)), CreationTime: new(time.Unix(0, 0))}}}
	f.Fuzz(func(_ *testing.T, expression string) {
		if compiled, err := search.Compile(expression); err == nil {
			_, _ = compiled.In(out) // it must come back, and not panic
		}
	})
}
