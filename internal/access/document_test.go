package access_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/access"
)

// TestPolicies plays testdata/policies.txt, where the form is described.
func TestPolicies(t *testing.T) {
	text, err := os.ReadFile("testdata/policies.txt")
	if err != nil {
		t.Fatal(err)
	}
	var p access.Policy
	var title string
	vectors := 0
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		word, rest, _ := strings.Cut(lines[i], " ")
		switch word {
		case "policy":
			i++
			if title, p = rest, parsePolicy(t, lines[i]); title == "" {
				t.Fatalf("line %d: no title", i)
			}
		case "allow", "deny":
			vectors++
			if r := request(t, rest); p.Allows(r) != (word == "allow") {
				t.Errorf("%s: %s is not what happens (line %d)", title, lines[i], i+1)
			}
		case "refuse":
			vectors++
			at := strings.LastIndex(rest, ": ")
			if _, err := access.ParsePolicy(rest[:at], operations); err == nil || !strings.Contains(err.Error(), rest[at+2:]) {
				t.Errorf("%s: %v", rest, err)
			}
		case "", "#":
		default:
			t.Fatalf("line %d: %s", i+1, lines[i])
		}
	}
	if vectors < 75 {
		t.Errorf("%d vectors", vectors)
	}
}

// parsePolicy reads a policy, and it again from where it is stored.
func parsePolicy(t *testing.T, text string) (stored access.Policy) {
	t.Helper()
	p, err := access.ParsePolicy(text, append(operations, "DescribeGameSessions", "UpdateFleetAttributes", "ListAliases", "sqs:ReceiveMessage", "sts:GetCallerIdentity"))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	kept, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(kept, &stored); err != nil {
		t.Fatalf("%s: %v", kept, err)
	}
	return stored
}

func request(t *testing.T, text string) (r access.Request) {
	t.Helper()
	for i, word := range strings.Fields(text) {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch {
		case i == 0:
			r.Operation = word
		case key == "from":
			r.From, err = netip.ParseAddr(value)
		case key == "at":
			r.At, err = time.Parse(time.RFC3339, value)
		case key == "tls":
			r.Secure = true
		default:
			r.Resources = append(r.Resources, strings.Split(word, "|"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// FuzzDocument: whatever is read can be stored and read again, and says the same.
func FuzzDocument(f *testing.F) {
	text, err := os.ReadFile("testdata/policies.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "{") {
			f.Add(strings.TrimSpace(line), "DescribePlayerSessions", "arn:aws:gamelift:us-west-2:123456789012:fleet/fleet-a")
		}
	}
	f.Fuzz(func(t *testing.T, policy, operation, resource string) {
		d, err := access.ParseDocument(policy, operations)
		if err != nil {
			return
		}
		kept := access.Policy{Document: d}
		text, err := json.Marshal(kept)
		if err != nil {
			t.Fatal(err)
		}
		var again access.Policy
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		r := access.Request{Operation: operation, Resources: [][]string{{resource}}}
		if kept.Allows(r) != again.Allows(r) {
			t.Errorf("%s is another policy after it was stored", text)
		}
	})
}
