package app_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/testkit"
)

// TestFaultsOnDemand lets requests fail as a developer asks for, in both protocols.
func TestFaultsOnDemand(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		ctx := t.Context()
		arena(t, s.Client)
		list := func() error {
			_, err := s.Client.ListFleets(ctx, &gamelift.ListFleetsInput{}, func(o *gamelift.Options) { o.RetryMaxAttempts = 1 })
			return err
		}
		ask := func(query string) {
			t.Helper()
			if status, body := postFault(t, s.Admin+"/faults?"+query); status != http.StatusOK {
				t.Fatalf("%s: %d %s", query, status, body)
			}
		}
		ask("op=List*&code=ThrottlingException&count=2")
		refused(t, list(), "ThrottlingException")
		if _, err := s.Client.ListAliases(ctx, &gamelift.ListAliasesInput{}, func(o *gamelift.Options) { o.RetryMaxAttempts = 1 }); err == nil {
			t.Error("a pattern is not for every operation it matches")
		}
		if err := list(); err != nil {
			t.Errorf("after two: %v", err)
		}

		ask("op=ListFleets&drop=true")
		if err := list(); err == nil || strings.Contains(err.Error(), "Exception:") {
			t.Errorf("a dropped request: %v", err)
		}
		ask("op=ListFleets&drop=true")
		again := func(o *gamelift.Options) { o.Retryer = retry.NewStandard() }
		if _, err := s.Client.ListFleets(ctx, &gamelift.ListFleetsInput{}, again); err != nil {
			t.Errorf("a dropped request and the SDK's next try: %v", err)
		}

		ask("op=ListFleets&delay=50ms")
		began := time.Now()
		if err := list(); err != nil || time.Since(began) < 50*time.Millisecond {
			t.Errorf("a slow request: %v after %v", err, time.Since(began))
		}

		ask("op=DeleteAlias&code=ConflictException&count=9")
		if _, body := s.Get(s.Admin + "/faults"); !strings.Contains(body, `"op":"DeleteAlias"`) || !strings.Contains(body, `"left":9`) {
			t.Errorf("GET /faults: %s", body)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.Admin+"/faults", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if _, body := s.Get(s.Admin + "/faults"); strings.TrimSpace(body) != "[]" {
			t.Errorf("after DELETE: %s", body)
		}
	})
}

func TestBadFaultsAreRefused(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	for query, want := range map[string]string{
		"code=X":                          "op: ",
		"op=FlyAway&code=X":               "op: ",
		"op=ListFleets":                   "code: ",
		"op=ListFleets&code=X&drop=true":  "drop: ",
		"op=ListFleets&drop=perhaps":      "drop: ",
		"op=ListFleets&delay=soon":        "delay: ",
		"op=ListFleets&delay=-1s":         "delay: ",
		"op=ListFleets&code=X&count=0":    "count: ",
		"op=ListFleets&code=X&colour=red": "colour: ",
	} {
		if status, body := postFault(t, s.Admin+"/faults?"+query); status != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want 400 and %q", query, status, body, want)
		}
	}
}

// postFault sends a POST and returns the answer's status and body.
func postFault(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Post(url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var b strings.Builder
	if _, err := io.Copy(&b, answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, b.String()
}
