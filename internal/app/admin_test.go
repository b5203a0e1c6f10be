package app_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/testkit"
)

func jsonOf(text []byte, v any) error { return json.Unmarshal(text, v) }

func openApp(t *testing.T, c config.Config) (*app.App, error) {
	t.Helper()
	return app.Open(context.WithoutCancel(t.Context()), c)
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// send makes a request to the admin address and returns the status and the JSON answer.
func send(t *testing.T, method, url string, header ...string) (int, map[string]string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var body map[string]string
	_ = json.NewDecoder(answer.Body).Decode(&body) // some answers are text
	return answer.StatusCode, body
}

func TestAdminPages(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	must[gamelift.ListFleetsOutput](t)(s.Client.ListFleets(t.Context(), &gamelift.ListFleetsInput{}))
	if _, err := s.Client.ListFleets(t.Context(), &gamelift.ListFleetsInput{Limit: new(int32(0))}); err == nil {
		t.Error("Limit 0 is taken")
	}
	for path, want := range map[string]string{
		"/livez":               "alive",
		"/readyz":              "ready",
		"/version":             `"version":"test"`,
		"/":                    "Matchyard",
		"/debug/pprof/":        "goroutine",
		"/debug/pprof/cmdline": "",
	} {
		if status, body := s.Get(s.Admin + path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %q in it", path, status, body, want)
		}
	}
	_, text := s.Get(s.Admin + "/metrics")
	for _, want := range []string{
		`matchyard_requests_total{code="OK",operation="ListFleets",protocol="cbor"} 1`,
		`matchyard_requests_total{code="InvalidRequestException",operation="ListFleets",protocol="cbor"} 1`,
		`matchyard_request_seconds_count{operation="ListFleets",protocol="cbor"} 2`,
		`matchyard_store_probe_seconds_count{kind="read"} 1`,
		`matchyard_info{version="test"} 1`,
		"go_goroutines",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for path, want := range map[string]int{"/nothing": http.StatusNotFound} {
		if status, _ := s.Get(s.Admin + path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if status, _ := send(t, http.MethodPost, s.Admin+"/clock/advance?d=1s", "Origin", "http://elsewhere.example", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("a request of another site's page: %d, want 403", status)
	}
}

func TestAdvance(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	for _, d := range []string{"", "soon", "-5s", "5", "100000000h"} {
		status, body := send(t, http.MethodPost, s.Admin+"/clock/advance?d="+d)
		if status != http.StatusBadRequest || !strings.HasPrefix(body["error"], "d: ") {
			t.Errorf("d=%q: %d %v, want 400 and the reason", d, status, body)
		}
	}
	if status, _ := send(t, http.MethodGet, s.Admin+"/clock/advance?d=1s"); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
		t.Errorf("GET: %d", status)
	}
	before := s.App.Now()
	status, body := send(t, http.MethodPost, s.Admin+"/clock/advance?d=61s")
	now, err := time.Parse(time.RFC3339Nano, body["now"])
	if status != http.StatusOK || err != nil || now.Sub(before).Round(time.Second) != 61*time.Second {
		t.Errorf("61s after %v: %d %v", before, status, body)
	}
	// Steps of many callers at once add up.
	var all sync.WaitGroup
	start := s.App.Now()
	for range 10 {
		all.Go(func() { s.Advance(time.Minute) })
	}
	all.Wait()
	if got := s.App.Now().Sub(start); got != 10*time.Minute {
		t.Errorf("ten minutes by ten callers are %s", got)
	}
}

func TestARealClockCannotBeMoved(t *testing.T) {
	s := testkit.Start(t, testkit.Options{Configure: func(c *config.Config) { c.Clock = config.Real }})
	if status, body := send(t, http.MethodPost, s.Admin+"/clock/advance?d=1s"); status != http.StatusConflict || body["error"] == "" {
		t.Errorf("%d %v, want 409 and the reason", status, body)
	}
	if d := time.Since(s.App.Now()); d > time.Second {
		t.Errorf("the clock is %s behind", d)
	}
}
