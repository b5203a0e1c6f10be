package codec

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/model"
)

// decode and encode go by the plan of a type.
func decode[T any](t testing.TB, protocol Protocol, body string) (*T, error) {
	t.Helper()
	v := new(T)
	return v, planOfType(t, reflect.TypeFor[T]()).Decode(protocol, []byte(body), v)
}

func encode[T any](t testing.TB, protocol Protocol, v *T) string {
	t.Helper()
	return string(planOfType(t, reflect.TypeFor[T]()).Append(nil, protocol, v))
}

func planOfType(t testing.TB, typ reflect.Type) *Plan {
	t.Helper()
	for _, p := range structures(t) {
		if p.typ == typ {
			return p
		}
	}
	t.Fatalf("%s is the input or output of no operation", typ)
	return nil
}

// TestWhatIsWritten holds the encoders to wire-protocol.md 2.2, byte by byte.
func TestWhatIsWritten(t *testing.T) {
	at := func(ms int64) *time.Time { return new(time.UnixMilli(ms)) }
	for _, c := range []struct {
		name string
		out  any
		json string
		cbor string
	}{
		{"nothing", &gamelift.ListFleetsOutput{}, `{}`, "\xa0"},
		{"an empty list", &gamelift.ListFleetsOutput{FleetIds: []string{}}, `{"FleetIds":[]}`, "\xa1\x68FleetIds\x80"},
		{
			"members in the model's order", &gamelift.ListFleetsOutput{FleetIds: []string{"a", ""}, NextToken: new("")},
			`{"FleetIds":["a",""],"NextToken":""}`, "\xa2\x68FleetIds\x82\x61a\x60\x69NextToken\x60",
		},
		{
			"text", &gamelift.ListFleetsOutput{NextToken: new("\"\\/\n\r\t\b\x00\x1f\x7f é☃😀<&>\u2028")},
			`{"NextToken":"\"\\/\n\r\t\u0008\u0000\u001f` + "\x7f é☃😀<&>\u2028" + `"}`,
			"\xa1\x69NextToken\x78\x1a\"\\/\n\r\t\b\x00\x1f\x7f é☃😀<&>\u2028",
		},
		{"text that is not UTF-8", &gamelift.ListFleetsOutput{NextToken: new("a\xffb\xc3")}, `{"NextToken":"a` + "\uFFFDb\uFFFD" + `"}`, "\xa1\x69NextToken\x68a\uFFFDb\uFFFD"},
		{
			"integers", &gamelift.DescribeScalingPoliciesOutput{ScalingPolicies: []types.ScalingPolicy{{ScalingAdjustment: new(int32(-25)), EvaluationPeriods: new(int32(math.MaxInt32))}}},
			`{"ScalingPolicies":[{"EvaluationPeriods":2147483647,"ScalingAdjustment":-25}]}`,
			"\xa1\x6fScalingPolicies\x81\xa2\x71EvaluationPeriods\x1a\x7f\xff\xff\xff\x71ScalingAdjustment\x38\x18",
		},
		{
			"long integers", &gamelift.DescribeBuildOutput{Build: &types.Build{SizeOnDisk: new(int64(5_000_000_000))}},
			`{"Build":{"SizeOnDisk":5000000000}}`, "\xa1\x65Build\xa1\x6aSizeOnDisk\x1b\x00\x00\x00\x01\x2a\x05\xf2\x00",
		},
		{
			"whole seconds", &gamelift.DescribeBuildOutput{Build: &types.Build{CreationTime: at(1714979289000)}},
			`{"Build":{"CreationTime":1714979289}}`, "\xa1\x65Build\xa1\x6cCreationTime\xc1\x1a\x66\x38\x81\xd9",
		},
		{
			"milliseconds", &gamelift.DescribeBuildOutput{Build: &types.Build{CreationTime: at(1714979289123)}},
			`{"Build":{"CreationTime":1714979289.123}}`, "\xa1\x65Build\xa1\x6cCreationTime\xc1\xfb\x41\xd9\x8e\x20\x76\x47\xdf\x3b",
		},
		{
			"tenths of seconds, before 1970", &gamelift.DescribeBuildOutput{Build: &types.Build{CreationTime: at(-1100)}},
			`{"Build":{"CreationTime":-1.1}}`, "\xa1\x65Build\xa1\x6cCreationTime\xc1\xfb\xbf\xf1\x99\x99\x99\x99\x99\x9a",
		},
		{
			"microseconds are cut", &gamelift.DescribeBuildOutput{Build: &types.Build{CreationTime: new(time.UnixMicro(1714979289000999))}},
			`{"Build":{"CreationTime":1714979289}}`, "\xa1\x65Build\xa1\x6cCreationTime\xc1\x1a\x66\x38\x81\xd9",
		},
		{"an empty enum is absent", &gamelift.DescribeBuildOutput{Build: &types.Build{Status: ""}}, `{"Build":{}}`, "\xa1\x65Build\xa0"},
		{"an unknown enum", &gamelift.DescribeBuildOutput{Build: &types.Build{Status: "NEW"}}, `{"Build":{"Status":"NEW"}}`, "\xa1\x65Build\xa1\x66Status\x63NEW"},
		{
			"a map in the order of keys", &gamelift.DescribeFleetDeploymentOutput{LocationalDeployments: map[string]types.LocationalDeployment{"b": {}, "a": {}}},
			`{"LocationalDeployments":{"a":{},"b":{}}}`, "\xa1\x75LocationalDeployments\xa2\x61a\xa0\x61b\xa0",
		},
	} {
		p := planOfType(t, reflect.TypeOf(c.out).Elem())
		if got := string(p.Append(nil, JSON, c.out)); got != c.json {
			t.Errorf("%s in JSON:\ngot  %s\nwant %s", c.name, got, c.json)
		}
		if got := string(p.Append(nil, CBOR, c.out)); got != c.cbor {
			t.Errorf("%s in CBOR:\ngot  %x\nwant %x", c.name, got, c.cbor)
		}
	}
}

// TestFloats keep a decimal point in JSON, so that Python reads floats as floats.
func TestFloats(t *testing.T) {
	for f, want := range map[float64]string{
		25: "25.0", -2: "-2.0", 0: "0.0", 0.5: "0.5", 1e20: "100000000000000000000.0", 1e21: "1e+21", 1e-7: "1e-07", 12.3: "12.3",
		math.Inf(1): `"Infinity"`, math.Inf(-1): `"-Infinity"`, math.MaxFloat64: "1.7976931348623157e+308",
	} {
		out := &gamelift.DescribeScalingPoliciesOutput{ScalingPolicies: []types.ScalingPolicy{{Threshold: &f}}}
		if got := encode(t, JSON, out); got != `{"ScalingPolicies":[{"Threshold":`+want+`}]}` {
			t.Errorf("%v: got %s", f, got)
		}
	}
	single := &gamelift.StartGameSessionPlacementInput{PlayerLatencies: []types.PlayerLatency{{LatencyInMilliseconds: new(float32(12.3))}}}
	if got := encode(t, JSON, single); got != `{"PlayerLatencies":[{"LatencyInMilliseconds":12.3}]}` {
		t.Errorf("a float of 32 bits: got %s", got)
	}
	if got := encode(t, CBOR, single); got != "\xa1\x6fPlayerLatencies\x81\xa1\x75LatencyInMilliseconds\xfa\x41\x44\xcc\xcd" {
		t.Errorf("a float of 32 bits: got %x", got)
	}
	nan := encode(t, JSON, &gamelift.DescribeScalingPoliciesOutput{ScalingPolicies: []types.ScalingPolicy{{Threshold: new(math.NaN())}}})
	if nan != `{"ScalingPolicies":[{"Threshold":"NaN"}]}` {
		t.Errorf("NaN: got %s", nan)
	}
}

// TestWhatIsRead holds the decoders to the liberties of wire-protocol.md 1.3.
func TestWhatIsRead(t *testing.T) {
	fleet := func(id string) gamelift.ListFleetsInput { return gamelift.ListFleetsInput{BuildId: new(id)} }
	for _, c := range []struct {
		name     string
		protocol Protocol
		body     string
		want     gamelift.ListFleetsInput
	}{
		{"white space", JSON, " \t\r\n{ \"BuildId\"\n:\t\"build-1\" , \"Limit\" : 7 } \n", gamelift.ListFleetsInput{BuildId: new("build-1"), Limit: new(int32(7))}},
		{"escapes", JSON, `{"\u0042uild\u0049d":"build-\u00e9\ud83d\ude00\/\"\\"}`, fleet(`build-é😀/"\`)},
		{"lone surrogates", JSON, `{"BuildId":"build-\ud800\ud800x\udc00\ud800\u0041"}`, fleet("build-\uFFFD\uFFFDx\uFFFD\uFFFDA")},
		{"null is absent", JSON, `{"BuildId":null,"Limit":null}`, gamelift.ListFleetsInput{}},
		{"unknown members", JSON, `{"X":{"a":[1,"x",{"b":null}],"BuildId":"no"},"BuildId":"build-1","Y":[[]],"Z":-1.5e-7,"":true}`, fleet("build-1")},
		{"names of another case", JSON, `{"buildId":"build-1"}`, gamelift.ListFleetsInput{}},
		{"the last of two", JSON, `{"BuildId":"nonsense","BuildId":"build-2"}`, fleet("build-2")},
		{"the last of two, null", JSON, `{"BuildId":"nonsense","BuildId":null}`, gamelift.ListFleetsInput{}},
		{"minus nought", JSON, `{"Limit":1,"Limit":-0,"Limit":3}`, gamelift.ListFleetsInput{Limit: new(int32(3))}},
		{"indefinite lengths", CBOR, "\xbf\x67BuildId\x7f\x66build-\x60\x611\xff\x65Limit\x1b\x00\x00\x00\x00\x00\x00\x00\x07\xff", gamelift.ListFleetsInput{BuildId: new("build-1"), Limit: new(int32(7))}},
		{"an indefinite key", CBOR, "\xa1\x7f\x65Build\x62Id\xff\x67build-1", fleet("build-1")},
		{"undefined is absent", CBOR, "\xa2\x67BuildId\xf7\x65Limit\xf6", gamelift.ListFleetsInput{}},
		{"unknown members of all types", CBOR, "\xac\x61a\x01\x61b\x20\x61c\x41x\x61d\x61x\x61e\x81\x01\x61f\xa1\x01\x02\x61g\xc0\x61x\x61h\xd9\xd9\xf7\x01\x61i\xf9\x3c\x00\x61j\xe0\x61k\xf8\xff\x67BuildId\x67build-1", fleet("build-1")},
		{"foreign tags", CBOR, "\xd9\xd9\xf7\xa1\xc7\x67BuildId\xd8\x2a\xc8\x67build-1", fleet("build-1")},
		{"the last of two", CBOR, "\xa2\x67BuildId\x61x\x67BuildId\x67build-2", fleet("build-2")},
	} {
		if got, err := decode[gamelift.ListFleetsInput](t, c.protocol, c.body); err != nil || !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s in %s: got %+v, %v", c.name, c.protocol, *got, err)
		}
	}
}

// TestNumbersAndTimesAreRead in all the forms that clients send.
func TestNumbersAndTimesAreRead(t *testing.T) {
	const head = `{"Name":"p","FleetId":"fleet-1","MetricName":"IdleInstances","Threshold":`
	const cborHead = "\xa4\x64Name\x61p\x67FleetId\x67fleet-1\x6aMetricName\x6dIdleInstances\x69Threshold"
	for body, want := range map[string]float64{
		head + `25}`: 25, head + `25.0}`: 25, head + `-2.5e1}`: -25, head + `0.1}`: 0.1, head + `"Infinity"}`: math.Inf(1), head + `"-Infinity"}`: math.Inf(-1),
		cborHead + "\x18\x19": 25, cborHead + "\x21": -2, cborHead + "\xf9\x3c\x00": 1, cborHead + "\xf9\xfc\x00": math.Inf(-1), cborHead + "\xf9\x00\x01": math.Ldexp(1, -24),
		cborHead + "\xfa\x41\xc8\x00\x00": 25, cborHead + "\xfb\x40\x39\x00\x00\x00\x00\x00\x00": 25, cborHead + "\x3b\xff\xff\xff\xff\xff\xff\xff\xff": -math.Ldexp(1, 64),
	} {
		protocol := JSON
		if body[0] != '{' {
			protocol = CBOR
		}
		if got, err := decode[gamelift.PutScalingPolicyInput](t, protocol, body); err != nil || *got.Threshold != want {
			t.Errorf("%q: got %v, %v, want %v", body, got.Threshold, err, want)
		}
	}
	for _, body := range []string{head + `"NaN"}`, cborHead + "\xf9\x7e\x00"} {
		protocol := JSON
		if body[0] != '{' {
			protocol = CBOR
		}
		if got, err := decode[gamelift.PutScalingPolicyInput](t, protocol, body); err != nil || !math.IsNaN(*got.Threshold) {
			t.Errorf("%q: got %v, %v, want NaN", body, got.Threshold, err)
		}
	}
	const event = "\xa2\x67FleetId\x67fleet-1\x69StartTime"
	for body, want := range map[string]int64{
		`{"FleetId":"fleet-1","StartTime":1714979289}`: 1714979289000, `{"FleetId":"fleet-1","StartTime":1714979289.123}`: 1714979289123,
		`{"FleetId":"fleet-1","StartTime":1.714979289123456e9}`: 1714979289123, `{"FleetId":"fleet-1","StartTime":-1.5}`: -1500,
		event + "\xc1\x1a\x66\x38\x81\xd9": 1714979289000, event + "\xc1\xfb\x41\xd9\x8e\x20\x76\x47\xdf\x3b": 1714979289123, event + "\x1a\x66\x38\x81\xd9": 1714979289000,
	} {
		protocol := JSON
		if body[0] != '{' {
			protocol = CBOR
		}
		if got, err := decode[gamelift.DescribeFleetEventsInput](t, protocol, body); err != nil || got.StartTime.UnixMilli() != want || got.StartTime.Location() != time.UTC {
			t.Errorf("%q: got %v, %v, want %d", body, got.StartTime, err, want)
		}
	}
	for _, body := range []string{
		`{"FleetId":"fleet-1","StartTime":"2024-05-06T07:08:09Z"}`, `{"FleetId":"fleet-1","StartTime":1e400}`, `{"FleetId":"fleet-1","StartTime":253402300800}`,
		event + "\xc0\x74" + "2024-05-06T07:08:09Z", event + "\xc1\xf9\x7e\x00", event + "\xc2\x41\x01", event + "\xc1\xc1\x01", event + "\xc1\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",
	} {
		protocol := JSON
		if body[0] != '{' {
			protocol = CBOR
		}
		_, err := decode[gamelift.DescribeFleetEventsInput](t, protocol, body)
		if e, ok := errors.AsType[*Undecodable](err); !ok || e.Path != "startTime" {
			t.Errorf("%q: got %v", body, err)
		}
	}
}

// TestNothingOfTheBodyIsKept: the buffer is used again for the next request.
func TestNothingOfTheBodyIsKept(t *testing.T) {
	for _, n := range []int{3, 900} { // below and above the size at which strings are copied each
		for _, protocol := range []Protocol{JSON, CBOR} {
			plan := planOfType(t, reflect.TypeFor[gamelift.CreatePlayerSessionsInput]())
			body := plan.Append(nil, protocol, joins(n))
			got := new(gamelift.CreatePlayerSessionsInput)
			if err := plan.decode(protocol, body, got, false); err != nil {
				t.Fatal(err)
			}
			for i := range body {
				body[i] = '!'
			}
			if want := joins(n); !reflect.DeepEqual(got, want) {
				t.Errorf("%d players in %s changed with the buffer", n, protocol)
			}
		}
	}
}

// TestTooManyElements: small elements do not add up to large memory, over all lists of a body.
func TestTooManyElements(t *testing.T) {
	for body, protocol := range map[string]Protocol{
		`{"Players":[` + strings.Repeat(`{"LatencyInMs":{"a":1}},`, 60000) + `{}]}`: JSON,
		"\xa1\x67Players\x9f" + strings.Repeat("\xa0", 100001) + "\xff":             CBOR,
	} {
		start := time.Now()
		_, err := decode[gamelift.StartMatchmakingInput](t, protocol, body)
		if e, ok := errors.AsType[*Undecodable](err); !ok || e.Reason != errElements.Error() {
			t.Errorf("%s: got %.200v", protocol, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", protocol, took)
		}
	}
}

// TestManyFailures are counted, and only the first spelled out, in an order that does not
// depend on the body's.
func TestManyFailures(t *testing.T) {
	body := `{"ConfigurationName":"c","Players":[` + strings.TrimSuffix(strings.Repeat(`{"PlayerId":"","Team":""},`, 5000), ",") + `]}`
	_, err := decode[gamelift.StartMatchmakingInput](t, JSON, body)
	e, ok := errors.AsType[*Invalid](err)
	if !ok || len(e.Failures) != maxFailures || e.More != 2*5000-maxFailures || !strings.HasPrefix(e.Error(), "10000 validation errors detected: ") || len(e.Error()) > 8000 {
		t.Errorf("got %.300v", err)
	}
	_, one := decode[gamelift.ListFleetsInput](t, JSON, `{"BuildId":"x","Limit":0}`)
	_, two := decode[gamelift.ListFleetsInput](t, JSON, `{"Limit":0,"BuildId":"x"}`)
	if one == nil || two == nil || one.Error() != two.Error() {
		t.Errorf("%v\nis not\n%v", one, two)
	}
	for range 20 { // a map's order does not show either
		_, err := decode[gamelift.StartMatchmakingInput](t, JSON, `{"ConfigurationName":"c","Players":[{"PlayerAttributes":{"":{},"`+strings.Repeat("k", 1025)+`":{},"ok":{}}}]}`)
		const want = "1 validation error detected: Value '' at 'players.1.member.playerAttributes' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length greater than or equal to 1]"
		if err == nil || err.Error() != want {
			t.Fatalf("got %.300v", err)
		}
	}
}

// TestReplacedMembersLeaveNoFailure: only the member that counts is held to the model.
func TestReplacedMembersLeaveNoFailure(t *testing.T) {
	for _, body := range []string{
		`{"FleetId":"!","FleetId":"fleet-1","RoutingStrategy":{},"Name":"a"}`,
		`{"Name":"a","RoutingStrategy":{"FleetId":"!!"},"RoutingStrategy":{"Type":"SIMPLE"}}`,
	} {
		got, err := decode[gamelift.CreateAliasInput](t, JSON, body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if got.RoutingStrategy.FleetId != nil {
			t.Errorf("%s: something of the first strategy is left: %v", body, *got.RoutingStrategy.FleetId)
		}
	}
	got, err := decode[gamelift.StartMatchmakingInput](t, JSON, `{"ConfigurationName":"c","Players":[{"PlayerAttributes":{"a":{"S":""},"a":{"N":1},"b":null,"b":{"N":2}}}]}`)
	if err != nil || len(got.Players[0].PlayerAttributes) != 2 || got.Players[0].PlayerAttributes["a"].S != nil {
		t.Errorf("got %+v, %v", got.Players, err)
	}
	if _, err := decode[gamelift.StartMatchmakingInput](t, JSON, `{"ConfigurationName":"c","Players":[{"LatencyInMs":{"a":1,"a":null}}]}`); err == nil {
		t.Error("a map that ends with a null was taken")
	}
}

// TestAppendStrings makes the errors' bodies.
func TestAppendStrings(t *testing.T) {
	if got := string(AppendStrings([]byte("x"), JSON, "a", `"`, "b", "")); got != `x{"a":"\"","b":""}` {
		t.Errorf("got %s", got)
	}
	if got := string(AppendStrings(nil, CBOR, "a", `"`, "b", "")); got != "\xa2\x61a\x61\"\x61b\x60" {
		t.Errorf("got %x", got)
	}
}

// TestPlansRefuseWhatDoesNotFit: a type of another shape is found when the plan is made, not
// when memory is written.
func TestPlansRefuseWhatDoesNotFit(t *testing.T) {
	text := &model.Shape{Name: "Text", Kind: model.String}
	for name, c := range map[string]struct {
		typ   reflect.Type
		shape *model.Shape
	}{
		"a missing field": {reflect.TypeFor[struct{ B *string }](), &model.Shape{Kind: model.Structure, Members: []model.Member{{Name: "A", Shape: text}}}},
		"one field more":  {reflect.TypeFor[struct{ A, B *string }](), &model.Shape{Kind: model.Structure, Members: []model.Member{{Name: "A", Shape: text}}}},
		"another type":    {reflect.TypeFor[struct{ A *int32 }](), &model.Shape{Kind: model.Structure, Members: []model.Member{{Name: "A", Shape: text}}}},
		"no structure":    {reflect.TypeFor[string](), text},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was taken", name)
				}
			}()
			newPlan(c.typ, c.shape)
		}()
	}
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "want *gamelift.ListFleetsOutput") {
			t.Errorf("got %q", got)
		}
	}()
	planOfType(t, reflect.TypeFor[gamelift.ListFleetsOutput]()).Append(nil, JSON, gamelift.ListFleetsOutput{})
}
