package paginate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/paginate"
)

// Whatever the data, the options and the places where ranges are left, chained
// resumes give each item once and in order.
func TestChainedResumesGiveEachItemOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(r, "items")
		var got []string
		token, more := "", true
		for step := 0; more; step++ {
			if step > 2*n+2 {
				r.Fatalf("no end after %d runs: %v", step, got)
			}
			o := paginate.Options{
				StartingToken: token,
				MaxItems:      rapid.IntRange(0, n+2).Draw(r, "MaxItems"),
				PageSize:      rapid.Int32Range(0, 12).Draw(r, "PageSize"),
				MaxPages:      rapid.IntRange(0, 4).Draw(r, "MaxPages"),
				Prefetch:      rapid.Bool().Draw(r, "Prefetch"),
				TrimLastPage:  rapid.Bool().Draw(r, "TrimLastPage"),
			}
			s := list(n, rapid.IntRange(1, 9).Draw(r, "default limit"))
			it := newIter(t, s, o)
			given := 0
			switch rapid.SampledFrom([]string{"items", "pages", "collect"}).Draw(r, "by") {
			case "items":
				leave := rapid.IntRange(1, n+1).Draw(r, "break after")
				for p, err := range it.Items(t.Context()) {
					if err != nil {
						r.Fatal(err)
					}
					got = append(got, id(p))
					if given++; given == leave {
						break
					}
				}
			case "pages":
				leave := rapid.IntRange(1, n+1).Draw(r, "break after")
				for page, err := range it.Pages(t.Context()) {
					if err != nil {
						r.Fatal(err)
					}
					for _, p := range page.PlayerSessions {
						got = append(got, id(p))
						given++
					}
					if leave--; leave == 0 {
						break
					}
				}
			default:
				result, err := it.Collect(t.Context())
				if err != nil {
					r.Fatal(err)
				}
				for _, p := range result.Items {
					got = append(got, id(p))
				}
				given = len(result.Items)
			}
			if o.MaxItems > 0 && given > o.MaxItems {
				r.Fatalf("%d items of at most %d", given, o.MaxItems)
			}
			if it.Stats().Items != given {
				r.Fatalf("Stats says %d items, %d were given", it.Stats().Items, given)
			}
			token, more = it.ResumeToken()
			if more == (token == "") {
				r.Fatalf("token %q, more %v", token, more)
			}
		}
		if !slices.Equal(got, numbered(n)) {
			r.Fatalf("got %v of %d", got, n)
		}
	})
}

func TestResumeTokenInsideTheRange(t *testing.T) {
	it := newIter(t, list(5, 2), paginate.Options{})
	want := []string{
		paginate.Token{Skip: 1}.String(),
		paginate.Token{Next: new("t2")}.String(),
		paginate.Token{Next: new("t2"), Skip: 1}.String(),
		paginate.Token{Next: new("t4")}.String(),
		"",
	}
	var got []string
	for _, err := range it.Items(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		token, _ := it.ResumeToken()
		got = append(got, token)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestResumeTokenBeforeTheRangeIsItsStart(t *testing.T) {
	it := newIter(t, list(5, 2), paginate.Options{StartingToken: "t2___1"})
	if token, more := it.ResumeToken(); !more || token != (paginate.Token{Next: new("t2"), Skip: 1}).String() {
		t.Errorf("got %q, %v", token, more)
	}
}

func TestStartingToken(t *testing.T) {
	for _, c := range []struct {
		name, token string
		in          *gamelift.DescribePlayerSessionsInput
		want        []string
	}{
		{"none", "", nil, []string{"p0", "p1", "p2", "p3", "p4"}},
		{"the service's own", "t2", nil, []string{"p2", "p3", "p4"}},
		{"of the input", "", inputAt("t4"), []string{"p4"}},
		{"wins over the input", "t2", inputAt("t4"), []string{"p2", "p3", "p4"}},
		{"the beginning wins over the input", "None", inputAt("t4"), []string{"p0", "p1", "p2", "p3", "p4"}},
		{"longer than its page", "t0___3", nil, []string{"p3", "p4"}},
		{"longer than the listing", "t0___30", nil, nil},
		{"empty in the input", "", inputAt(""), []string{"p0", "p1", "p2", "p3", "p4"}},
	} {
		it, err := paginate.New(paginate.DescribePlayerSessions, list(5, 2), c.in, paginate.Options{StartingToken: c.token})
		if err != nil {
			t.Fatal(err)
		}
		if got, _, more, err := take(t, it, -1); err != nil || more || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, %v, want %v", c.name, got, more, err, c.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	s := list(1, 1)
	for name, o := range map[string]paginate.Options{
		"MaxItems": {MaxItems: -1},
		"PageSize": {PageSize: -1},
		"MaxPages": {MaxPages: -1},
		"OnRepeat": {OnRepeat: 3},
	} {
		if _, err := paginate.New(paginate.DescribePlayerSessions, s, nil, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := paginate.New(paginate.DescribePlayerSessions, s, nil, paginate.Options{StartingToken: "a___b___c"}); !errors.Is(err, paginate.ErrBadToken) {
		t.Errorf("bad token: %v", err)
	}
	if _, err := paginate.New(paginate.DescribePlayerSessions, nil, nil, paginate.Options{}); err == nil {
		t.Error("no client was taken")
	}
	if _, err := paginate.NewFunc(paginate.DescribePlayerSessions, nil, nil, paginate.Options{}); err == nil {
		t.Error("no function was taken")
	}
	var zero paginate.Op[gamelift.ListFleetsInput, gamelift.ListFleetsOutput, string]
	if _, err := paginate.New(zero, s, nil, paginate.Options{}); err == nil {
		t.Error("the zero Op was taken")
	}
}

func TestInputAndAnswersAreLeftAlone(t *testing.T) {
	in := &gamelift.DescribePlayerSessionsInput{PlayerId: new("ann"), Limit: new(int32(3)), NextToken: new("t1")}
	s := list(9, 2)
	it, err := paginate.New(paginate.DescribePlayerSessions, s, in, paginate.Options{PageSize: 4, MaxItems: 5, StartingToken: "t1___2", TrimLastPage: true})
	if err != nil {
		t.Fatal(err)
	}
	in.PlayerId = new("bob") // after New, the caller's own business
	first, err := it.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first.Items[0].PlayerSessionId = new("changed")
	if *in.PlayerId != "bob" || *in.Limit != 3 || *in.NextToken != "t1" {
		t.Errorf("the input was changed: %v", *in)
	}
	for i, p := range s.players {
		if id(p) != fmt.Sprintf("p%d", i) {
			t.Errorf("the answer was changed: item %d is %s", i, id(p))
		}
	}
}

func TestLimitSent(t *testing.T) {
	limits := func(s *service) (sent []int32) {
		for _, c := range s.calls {
			sent = append(sent, c.limit)
		}
		return sent
	}
	for _, c := range []struct {
		name string
		in   *int32
		o    paginate.Options
		want []int32
	}{
		{"nothing set", nil, paginate.Options{}, []int32{0, 0, 0, 0}},
		{"of the input", new(int32(4)), paginate.Options{}, []int32{4, 4, 4}},
		{"PageSize wins", new(int32(4)), paginate.Options{PageSize: 5}, []int32{5, 5}},
		{"whole pages", nil, paginate.Options{PageSize: 4, MaxItems: 6}, []int32{4, 4}},
		{"trimmed", nil, paginate.Options{PageSize: 4, MaxItems: 6, TrimLastPage: true}, []int32{4, 2}},
		{"trimmed from a Limit", new(int32(4)), paginate.Options{MaxItems: 6, TrimLastPage: true}, []int32{4, 2}},
		{"trimmed without a size", nil, paginate.Options{MaxItems: 6, TrimLastPage: true}, []int32{6}},
		{"trimmed with a skip", nil, paginate.Options{PageSize: 4, MaxItems: 6, StartingToken: "t0___3", TrimLastPage: true}, []int32{4, 4, 1}},
	} {
		for _, ahead := range []bool{false, true} {
			s := list(10, 3)
			c.o.Prefetch = ahead
			it, err := paginate.New(paginate.DescribePlayerSessions, s, &gamelift.DescribePlayerSessionsInput{Limit: c.in}, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := it.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := limits(s); !slices.Equal(got, c.want) {
				t.Errorf("%s, prefetch %v: sent %v, want %v", c.name, ahead, got, c.want)
			}
		}
	}
}

func TestTrimLastPageKeepsToTheModelsLargestPage(t *testing.T) {
	var sent []int32
	it, err := paginate.NewFunc(paginate.DescribeMatchmakingRuleSets,
		func(_ context.Context, in *gamelift.DescribeMatchmakingRuleSetsInput, _ ...func(*gamelift.Options)) (*gamelift.DescribeMatchmakingRuleSetsOutput, error) {
			sent = append(sent, *in.Limit)
			return &gamelift.DescribeMatchmakingRuleSetsOutput{
				RuleSets:  make([]types.MatchmakingRuleSet, *in.Limit),
				NextToken: new(strconv.Itoa(len(sent))),
			}, nil
		}, nil, paginate.Options{MaxItems: 25, TrimLastPage: true})
	if err != nil {
		t.Fatal(err)
	}
	result, err := it.Collect(t.Context())
	if err != nil || len(result.Items) != 25 || !slices.Equal(sent, []int32{10, 10, 5}) {
		t.Errorf("%d items, sent %v, %v", len(result.Items), sent, err)
	}
	if want := (paginate.Token{Next: new("3")}).String(); result.ResumeToken != want {
		t.Errorf("resume token %s is not at the start of a page", result.ResumeToken)
	}
}

func TestMaxPages(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		s := list(9, 2)
		it := newIter(t, s, paginate.Options{MaxPages: 2, Prefetch: ahead})
		got, token, more, err := take(t, it, -1)
		if err != nil || !slices.Equal(got, numbered(4)) || !more || token != (paginate.Token{Next: new("t4")}).String() || len(s.calls) != 2 {
			t.Errorf("prefetch %v: %v %q %v %v after %d calls", ahead, got, token, more, err, len(s.calls))
		}
	}
}

func cycle() *service {
	return &service{graph: map[string]answer{
		"":  {[]string{"p0"}, new("A")},
		"A": {[]string{"p1"}, new("B")},
		"B": {nil, new("C")},
		"C": {[]string{"p3"}, new("A")},
	}}
}

func TestRepeatedTokens(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		it := newIter(t, cycle(), paginate.Options{Prefetch: ahead})
		got, token, more, err := take(t, it, -1)
		if !errors.Is(err, paginate.ErrRepeatedToken) || !slices.Equal(got, []string{"p0", "p1", "p3"}) {
			t.Errorf("Fail: %v, %v", got, err)
		}
		if !more || token != (paginate.Token{Next: new("A")}).String() {
			t.Errorf("Fail: resume token %q, %v", token, more)
		}
		if want := (paginate.Stats{Calls: 4, Items: 3, EmptyPages: 1}); it.Stats() != want {
			t.Errorf("Fail: %+v", it.Stats())
		}

		it = newIter(t, cycle(), paginate.Options{Prefetch: ahead, OnRepeat: paginate.Stop})
		got, token, more, err = take(t, it, -1)
		if err != nil || more || token != "" || !slices.Equal(got, []string{"p0", "p1", "p3"}) {
			t.Errorf("Stop: %v %q %v %v", got, token, more, err)
		}

		it = newIter(t, cycle(), paginate.Options{Prefetch: ahead, OnRepeat: paginate.Ignore, MaxPages: 7})
		got, token, more, err = take(t, it, -1)
		if err != nil || !more || token != (paginate.Token{Next: new("A")}).String() || !slices.Equal(got, []string{"p0", "p1", "p3", "p1", "p3"}) {
			t.Errorf("Ignore: %v %q %v %v", got, token, more, err)
		}

		// The run that MaxItems ends needs no next token, so it may repeat.
		it = newIter(t, cycle(), paginate.Options{Prefetch: ahead, MaxItems: 3})
		if got, _, more, err = take(t, it, -1); err != nil || !more || len(got) != 3 {
			t.Errorf("MaxItems: %v %v %v", got, more, err)
		}
	}
}

func TestAnErrorComesOnceAndCanBeResumed(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		s := list(6, 2)
		s.before = func(_ context.Context, n int) error {
			if n == 2 {
				return &types.InternalServiceException{Message: new("try later")}
			}
			return nil
		}
		it := newIter(t, s, paginate.Options{Prefetch: ahead})
		var got []string
		var failures []error
		for p, err := range it.Items(t.Context()) {
			if err != nil {
				failures = append(failures, err)
				if p.PlayerSessionId != nil {
					t.Error("an item came with the error")
				}
				continue
			}
			got = append(got, id(p))
		}
		if len(failures) != 1 {
			t.Fatalf("errors: %v", failures)
		}
		if _, ok := errors.AsType[*types.InternalServiceException](failures[0]); !ok {
			t.Errorf("the service's error is lost in %v", failures[0])
		}
		if want := "paginate: DescribePlayerSessions page 2: InternalServiceException: try later"; failures[0].Error() != want {
			t.Errorf("error %q", failures[0])
		}
		token, more := it.ResumeToken()
		if !more {
			t.Fatal("no resume token after an error")
		}
		rest, _, _, err := take(t, newIter(t, list(6, 2), paginate.Options{StartingToken: token}), -1)
		if got = append(got, rest...); err != nil || !slices.Equal(got, numbered(6)) {
			t.Errorf("got %v, %v", got, err)
		}

		result, err := newIter(t, failing(1), paginate.Options{Prefetch: ahead}).Collect(t.Context())
		if err == nil || len(result.Items) != 0 || result.Items == nil || result.Output != nil || result.ResumeToken != (paginate.Token{}).String() {
			t.Errorf("Collect of a failing first call: %+v, %v", result, err)
		}
		result, err = newIter(t, failing(3), paginate.Options{Prefetch: ahead}).Collect(t.Context())
		if err == nil || len(result.Items) != 4 || result.ResumeToken != (paginate.Token{Next: new("t4")}).String() {
			t.Errorf("Collect of a failing third call: %+v, %v", result, err)
		}
	}
}

// failing is a service whose nth call fails.
func failing(nth int) *service {
	s := list(6, 2)
	s.before = func(_ context.Context, n int) error {
		if n == nth {
			return errors.New("down")
		}
		return nil
	}
	return s
}

func TestPagesGiveANilPageWithTheError(t *testing.T) {
	for page, err := range newIter(t, failing(1), paginate.Options{}).Pages(t.Context()) {
		if page != nil || err == nil {
			t.Errorf("%v, %v", page, err)
		}
	}
}

func TestAClientThatReturnsNothingIsAnError(t *testing.T) {
	it, err := paginate.NewFunc(paginate.ListFleets,
		func(context.Context, *gamelift.ListFleetsInput, ...func(*gamelift.Options)) (*gamelift.ListFleetsOutput, error) {
			return nil, nil //nolint:nilnil // the case under test
		}, nil, paginate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := it.Collect(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestCollectGivesOnePage(t *testing.T) {
	fake := func(_ context.Context, in *gamelift.DescribeFleetLocationAttributesInput, _ ...func(*gamelift.Options)) (*gamelift.DescribeFleetLocationAttributesOutput, error) {
		out := &gamelift.DescribeFleetLocationAttributesOutput{
			FleetId:            in.FleetId,
			FleetArn:           new("arn:aws:gamelift:us-west-2:123456789012:fleet/" + *in.FleetId),
			LocationAttributes: make([]types.LocationAttributes, 2),
		}
		if in.NextToken == nil {
			out.NextToken = new("second")
		}
		return out, nil
	}
	in := &gamelift.DescribeFleetLocationAttributesInput{FleetId: new("fleet-1")}
	for most, next := range map[int]*string{
		0: nil,
		3: new(paginate.Token{Next: new("second"), Skip: 1}.String()),
	} {
		it, err := paginate.NewFunc(paginate.DescribeFleetLocationAttributes, fake, in, paginate.Options{MaxItems: most})
		if err != nil {
			t.Fatal(err)
		}
		result, err := it.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := &gamelift.DescribeFleetLocationAttributesOutput{
			FleetId:            new("fleet-1"),
			FleetArn:           new("arn:aws:gamelift:us-west-2:123456789012:fleet/fleet-1"),
			LocationAttributes: result.Items,
			NextToken:          next,
		}
		if !reflect.DeepEqual(result.Output, want) {
			t.Errorf("got %+v", result.Output)
		}
	}
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := list(9, 2)
	it := newIter(t, s, paginate.Options{})
	var got []string
	var failure error
	for p, err := range it.Items(ctx) {
		if err != nil {
			failure = err
			break
		}
		if got = append(got, id(p)); len(got) == 3 {
			cancel()
		}
	}
	if !errors.Is(failure, context.Canceled) || !slices.Equal(got, numbered(4)) || len(s.calls) != 2 {
		t.Errorf("%v, %v after %d calls", got, failure, len(s.calls))
	}
}

func TestPrefetchAsksWhileThePageIsConsumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := list(6, 2)
		it := newIter(t, s, paginate.Options{Prefetch: true, MaxItems: 4})
		seen := 0
		for _, err := range it.Items(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			seen++
			synctest.Wait()
			s.mu.Lock()
			calls := len(s.calls)
			s.mu.Unlock()
			if calls != 2 { // the second with the first item; never a third, MaxItems needs none
				t.Errorf("%d calls at item %d", calls, seen)
			}
		}
		if seen != 4 {
			t.Errorf("%d items", seen)
		}
	})
}

func TestBreakCancelsThePrefetchAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := list(6, 2)
		cancelled := false
		s.before = func(ctx context.Context, n int) error {
			if n == 2 {
				<-ctx.Done()
				cancelled = true
				return ctx.Err()
			}
			return nil
		}
		it := newIter(t, s, paginate.Options{Prefetch: true})
		for p, err := range it.Items(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if synctest.Wait(); id(p) == "p1" {
				break
			}
		}
		if !cancelled { // no data race either: the range waited
			t.Error("the call in flight was left behind")
		}
		if token, more := it.ResumeToken(); !more || token != (paginate.Token{Next: new("t2")}).String() {
			t.Errorf("%q %v", token, more)
		}
	})
}

func TestAPanicInTheRangeWaitsForThePrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
		s := list(6, 2)
		s.before = func(ctx context.Context, n int) error {
			if n == 2 {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		defer func() {
			if recover() != "boom" {
				t.Error("the panic was lost")
			}
		}()
		for _, err := range newIter(t, s, paginate.Options{Prefetch: true}).Items(t.Context()) {
			if err == nil {
				panic("boom")
			}
		}
	})
}

func TestClientOptionsReachEveryCall(t *testing.T) {
	regions := 0
	it, err := paginate.NewFunc(paginate.ListFleets,
		func(_ context.Context, in *gamelift.ListFleetsInput, opts ...func(*gamelift.Options)) (*gamelift.ListFleetsOutput, error) {
			var o gamelift.Options
			for _, opt := range opts {
				opt(&o)
			}
			if o.Region == "eu-west-1" {
				regions++
			}
			if in.NextToken != nil {
				return &gamelift.ListFleetsOutput{}, nil
			}
			return &gamelift.ListFleetsOutput{NextToken: new("2")}, nil
		}, nil, paginate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	there := func(o *gamelift.Options) { o.Region = "eu-west-1" }
	for _, err := range it.Items(t.Context(), there) {
		t.Fatal(err)
	}
	if regions != 2 {
		t.Errorf("%d of 2 calls had the option", regions)
	}
}

// The real client over a scripted transport: retries show in Stats.
func TestStatsCountTheRetriesOfTheSDK(t *testing.T) {
	for script, want := range map[string]paginate.Stats{
		"ok":                     {Calls: 1},
		"down down ok":           {Calls: 1, Retries: 2},
		"down down down":         {Calls: 1, Retries: 2},
		"down next down down ok": {Calls: 2, Retries: 3},
	} {
		answers := strings.Fields(script)
		client := gamelift.New(gamelift.Options{
			Region:      "us-west-2",
			Credentials: aws.AnonymousCredentials{},
			Retryer:     retry.NewStandard(func(o *retry.StandardOptions) { o.Backoff = retry.BackoffDelayerFunc(atOnce) }),
			HTTPClient: roundTrip(func(r *http.Request) (*http.Response, error) {
				a := answers[0]
				answers = answers[1:]
				body, status := "\xa0", http.StatusOK // CBOR: an empty map
				switch a {
				case "down":
					status = http.StatusServiceUnavailable
				case "next":
					body = "\xa1\x69NextToken\x61n"
				}
				return &http.Response{
					StatusCode: status,
					Header:     http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}, "Content-Type": {"application/cbor"}},
					Body:       io.NopCloser(strings.NewReader(body)),
					Request:    r,
				}, nil
			}),
		})
		it, err := paginate.New(paginate.ListFleets, client, nil, paginate.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = it.Collect(t.Context())
		if failed := script == "down down down"; failed != (err != nil) {
			t.Errorf("%s: %v", script, err)
		}
		got := it.Stats()
		got.EmptyPages = 0
		if got != want {
			t.Errorf("%s: %+v, want %+v", script, got, want)
		}
	}
}

func atOnce(int, error) (time.Duration, error) { return 0, nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

func BenchmarkItems(b *testing.B) {
	page := players(numbered(100)...)
	fake := func(ctx context.Context, in *gamelift.DescribePlayerSessionsInput, _ ...func(*gamelift.Options)) (*gamelift.DescribePlayerSessionsOutput, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return &gamelift.DescribePlayerSessionsOutput{PlayerSessions: page, NextToken: new(value(in.NextToken) + "x")}, nil
	}
	const pages = 10
	b.Run("paginate", func(b *testing.B) {
		it, err := paginate.NewFunc(paginate.DescribePlayerSessions, fake, nil, paginate.Options{MaxPages: pages})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for p, err := range it.Items(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
				n += len(*p.PlayerSessionId)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*pages*len(page)), "ns/item")
	})
	b.Run("nested-loops", func(b *testing.B) { // the same work by hand
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			var in gamelift.DescribePlayerSessionsInput
			for range pages {
				out, err := fake(b.Context(), &in)
				if err != nil {
					b.Fatal(err)
				}
				for _, p := range out.PlayerSessions {
					n += len(*p.PlayerSessionId)
				}
				in.NextToken = out.NextToken
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*pages*len(page)), "ns/item")
	})
}
