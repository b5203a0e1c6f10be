package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/webhook"
)

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func get(url string) *http.Request { return httptest.NewRequest(http.MethodGet, url, nil) }

// python finds a Python that can import modules, or skips the test; where the AWS clients
// are required, it fails.
func python(t *testing.T, modules string) string {
	t.Helper()
	var why error
	for _, name := range []string{os.Getenv("PYTHON"), "python3", "python", "/usr/bin/python3"} {
		if name == "" {
			continue
		}
		out, err := exec.CommandContext(t.Context(), name, "-c", "import "+modules).CombinedOutput()
		if err == nil {
			return name
		}
		why = errors.Join(why, err, errors.New(string(out)))
	}
	if os.Getenv("CI") != "" || os.Getenv("MATCHYARD_REQUIRE_CLIENTS") != "" {
		t.Fatalf("NOT RUN without a Python that has %s: %v", modules, why)
	}
	t.Skipf("NOT RUN without a Python that has %s", modules)
	return ""
}

// recipe is the code block of docs/events.md that begins with a line.
func recipe(t *testing.T, begins string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(block[1], begins) {
			return block[1]
		}
	}
	t.Fatalf("docs/events.md has no code that begins with %q", begins)
	return ""
}

// TestSignaturesAreWhatTheRecipeVerifies runs the documentation's own code.
func TestSignaturesAreWhatTheRecipeVerifies(t *testing.T) {
	interpreter := python(t, "hmac")
	r := newReceiver(t)
	db, _ := sqlite(t)
	sink := hook(r.URL)
	sink.Secrets = []string{"the secret of before"}
	n := start(t, db, setup{sinks: []webhook.Sink{sink}})
	n.happen("placement/ä<1>", "ä<1>")
	r.waitFor(t, 1)
	r.mu.Lock()
	h, body := r.requests[0].Header, r.bodies[0]
	r.mu.Unlock()
	timestamp, signature := h.Get("Matchyard-Timestamp"), h.Get("Matchyard-Signature")
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		t.Errorf("timestamp %q is not the wall clock's", timestamp)
	}
	code := recipe(t, "import hashlib") + `
import json, sys
for case in json.load(sys.stdin):
    print(verify(case["secret"], case["timestamp"], case["signature"], case["body"].encode(), case["now"]))
`
	type try struct {
		Secret    string `json:"secret"`
		Timestamp string `json:"timestamp"`
		Signature string `json:"signature"`
		Body      string `json:"body"`
		Now       int64  `json:"now"`
	}
	good := try{secret, timestamp, signature, body, at}
	cases := []struct {
		what   string
		change func(c *try)
		want   string
	}{
		{"as it was sent", func(*try) {}, "True"},
		{"by the other secret", func(c *try) { c.Secret = sink.Secrets[0] }, "True"},
		{"by another secret", func(c *try) { c.Secret += "x" }, "False"},
		{"another body", func(c *try) { c.Body += " " }, "False"},
		{"another timestamp", func(c *try) { c.Timestamp = strconv.FormatInt(at+1, 10) }, "False"},
		{"another signature", func(c *try) { c.Signature = strings.Repeat("0", len(c.Signature)) }, "False"},
		{"old", func(c *try) { c.Now += 301 }, "False"},
		{"not so old", func(c *try) { c.Now += 299 }, "True"},
	}
	var tries []try
	for _, c := range cases {
		one := good
		c.change(&one)
		tries = append(tries, one)
	}
	in, err := json.Marshal(tries)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, "-c", code)
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the recipe fails: %v", err)
	}
	got := strings.Fields(string(out))
	if len(got) != len(cases) {
		t.Fatalf("the recipe says %v", got)
	}
	for i, c := range cases {
		if got[i] != c.want {
			t.Errorf("%s: verified is %s, want %s", c.what, got[i], c.want)
		}
	}
}
