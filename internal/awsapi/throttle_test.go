package awsapi_test

import (
	"errors"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/model"
)

func TestABucketFillsUpAgain(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	th := &awsapi.Throttle{PerOperation: awsapi.AWSRate, Now: func() time.Time { return now }}
	taken := func(n int, key, operation string) (ok int) {
		for range n {
			if err := th.Take(key, operation); err == nil {
				ok++
			} else if e, is := errors.AsType[*apierr.Error](err); !is || e.Code != "ThrottlingException" || e.Status != 400 {
				t.Fatalf("refused with %v", err)
			}
		}
		return ok
	}
	if n := taken(10, "a", "CreateFleet"); n != 4 {
		t.Errorf("at once %d CreateFleet passed, want 4", n)
	}
	if n := taken(5, "b", "CreateFleet"); n != 4 {
		t.Errorf("another key got %d", n)
	}
	if n := taken(30, "a", "ListFleets"); n != 30 {
		t.Errorf("another operation got %d", n)
	}
	now = now.Add(2500 * time.Millisecond)
	if n := taken(10, "a", "CreateFleet"); n != 2 {
		t.Errorf("after 2.5 s %d passed, want 2", n)
	}
	now = now.Add(time.Hour)
	if n := taken(10, "a", "CreateFleet"); n != 4 {
		t.Errorf("after an hour %d passed, want the burst of 4", n)
	}
	now = now.Add(-time.Minute) // a clock set back
	if n := taken(10, "a", "CreateFleet"); n != 0 {
		t.Errorf("with the clock set back %d passed", n)
	}
}

func TestAllRequestsOfAKeyTogether(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	th := &awsapi.Throttle{PerKey: awsapi.Rate{Burst: 10, PerSecond: 10}, Now: func() time.Time { return now }}
	passed := 0
	for i := range 30 {
		if th.Take("a", model.Operations[i].Name) == nil {
			passed++
		}
	}
	if passed != 10 || th.Take("b", "ListFleets") != nil {
		t.Errorf("%d requests passed, want 10", passed)
	}
}

// The table's groups are of the whole model: no name in it is misspelled, and each
// operation has a rate but the one that is not published.
func TestRatesOfAllOperations(t *testing.T) {
	unlimited := 0
	groups := map[awsapi.Rate]int{}
	for _, o := range model.Operations {
		r := awsapi.AWSRate(o.Name)
		groups[r]++
		if r == (awsapi.Rate{}) {
			unlimited++
		}
	}
	want := map[awsapi.Rate]int{
		{}: 1, {4, 1}: 6, {10, 5}: 1, {40, 20}: 5, {1, 0.1}: 8, {50, 50}: 1, {75, 75}: 2, {200, 200}: 4, {100, 100}: 4, {70, 70}: 1, {40, 30}: 1,
	}
	for rate, n := range want {
		if groups[rate] != n {
			t.Errorf("%d operations have %v, want %d", groups[rate], rate, n)
		}
	}
	if unlimited != 1 {
		t.Errorf("%d operations have no rate", unlimited)
	}
}
