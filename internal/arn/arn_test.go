package arn_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/arn"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const uuid = "019b7ca9-8c88-7000-8162-6b26601c95a7"

// The anchored patterns of the model (hosting.md 0.5).
var (
	fleetPattern    = regexp.MustCompile(`^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet/[a-z]*fleet-[a-zA-Z0-9\-]+$`)
	aliasPattern    = regexp.MustCompile(`^(alias-\S+|arn:.*:alias/alias-\S+)$`)
	locationPattern = regexp.MustCompile(`^(custom-[A-Za-z0-9\-]+|arn:.*:location/custom-\S+)$`)
	computePattern  = regexp.MustCompile(`^[a-zA-Z0-9\-]+(/[a-zA-Z0-9\-]+)?$|^arn:.*:compute/[a-zA-Z0-9\-]+(/[a-zA-Z0-9\-]+)?$`)
	sessionPattern  = regexp.MustCompile(`^[a-zA-Z0-9:/-]+$`)
)

func TestMinting(t *testing.T) {
	for _, c := range []struct {
		got, want string
		pattern   *regexp.Regexp
	}{
		{home.Fleet("fleet-" + uuid), "arn:aws:gamelift:us-west-2:123456789012:fleet/fleet-" + uuid, fleetPattern},
		{home.Fleet("containerfleet-" + uuid), "arn:aws:gamelift:us-west-2:123456789012:containerfleet/containerfleet-" + uuid, fleetPattern},
		{home.Alias("alias-" + uuid), "arn:aws:gamelift:us-west-2::alias/alias-" + uuid, aliasPattern},
		{home.Location("custom-rack-1"), "arn:aws:gamelift:us-west-2:123456789012:location/custom-rack-1", locationPattern},
		{home.Compute("host/1"), "arn:aws:gamelift:us-west-2:123456789012:compute/host/1", computePattern},
		{string(home.GameSession("fleet-1", "", "gsess-1")), "arn:aws:gamelift:us-west-2::gamesession/fleet-1/gsess-1", sessionPattern},
		{string(home.GameSession("fleet-1", "us-west-2", "gsess-1")), "arn:aws:gamelift:us-west-2::gamesession/fleet-1/gsess-1", sessionPattern},
		{string(home.GameSession("fleet-1", "custom-a", "gsess-1")), "arn:aws:gamelift:us-west-2::gamesession/fleet-1/custom-a/gsess-1", sessionPattern},
	} {
		if c.got != c.want || !c.pattern.MatchString(c.got) {
			t.Errorf("made %s, want %s of pattern %s", c.got, c.want, c.pattern)
		}
	}
}

// TestLongestNames: game servers in the field keep ids in 256 bytes, the last one zero
// (sessions-placement.md 1.3).
func TestLongestNames(t *testing.T) {
	at := arn.Location("custom-" + strings.Repeat("x", 64-len("custom-")))
	far := arn.Home{Region: "ap-southeast-2", Account: home.Account}
	if id := far.GameSession("containerfleet-"+uuid, at, strings.Repeat("x", 48)); len(id) > 255 {
		t.Errorf("%s has %d characters", id, len(id))
	}
}

func TestParsers(t *testing.T) {
	parsers := map[string]func(string) (string, error){
		"fleet":    func(s string) (string, error) { id, err := arn.ParseFleet(s); return string(id), err },
		"alias":    func(s string) (string, error) { id, err := arn.ParseAlias(s); return string(id), err },
		"location": func(s string) (string, error) { id, err := arn.ParseLocation(s); return string(id), err },
		"compute":  func(s string) (string, error) { id, err := arn.ParseCompute(s); return string(id), err },
	}
	for _, c := range []struct{ kind, text, want string }{
		{"fleet", "fleet-1", "fleet-1"},
		{"fleet", "containerfleet-" + uuid, "containerfleet-" + uuid},
		{"fleet", "arn:aws:gamelift:us-west-2:123456789012:fleet/fleet-1", "fleet-1"},
		{"fleet", "arn:aws:gamelift:us-west-2::fleet/fleet-1", "fleet-1"},
		{"fleet", "arn:aws-cn:gamelift:cn-north-1:1:containerfleet/containerfleet-1", "containerfleet-1"},
		{"fleet", "fleet-fleet-1", "fleet-fleet-1"},
		{"fleet", "", ""},
		{"fleet", "fleet-", ""},
		{"fleet", "fleet-abc!!", ""},
		{"fleet", "fleet-abc\n", ""},
		{"fleet", "Xfleet-1", ""},
		{"fleet", "build-1", ""},
		{"fleet", "arn:aws:gamelift:us-west-2::fleet/", ""},
		{"fleet", "arn:aws:gamelift:us-west-2::fleet/build-1", ""},
		{"fleet", "arn:aws:gamelift:us-west-2::alias/fleet-1", ""},
		{"fleet", "arn:aws:ec2:us-west-2::fleet/fleet-1", ""},
		{"fleet", "arn:aws:gamelift:fleet/fleet-1", ""},
		{"alias", "alias-1", "alias-1"},
		{"alias", "arn:aws:gamelift:us-west-2::alias/alias-1", "alias-1"},
		{"alias", "arn:aws:gamelift:us-west-2:123456789012:alias/alias-1", "alias-1"},
		{"alias", "alias-", ""},
		{"alias", "fleet-1", ""},
		{"alias", "arn:aws:gamelift:us-west-2::fleet/alias-1", ""},
		{"alias", "arn:aws:gamelift:us-west-2::alias/x", ""},
		{"location", "us-west-2", "us-west-2"},
		{"location", "custom-a", "custom-a"},
		{"location", "arn:aws:gamelift:us-west-2:123456789012:location/custom-a", "custom-a"},
		{"location", "arn:aws:gamelift:us-west-2::location/", ""},
		{"location", "arn:aws:gamelift:us-west-2::fleet/custom-a", ""},
		{"compute", "host", "host"},
		{"compute", "task/host", "task/host"},
		{"compute", "arn:aws:gamelift:us-west-2:123456789012:compute/task/host", "task/host"},
		{"compute", "arn:aws:gamelift:us-west-2:123456789012:fleet/host", ""},
	} {
		got, err := parsers[c.kind](c.text)
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, arn.ErrMalformed) {
			t.Errorf("parse %s %q = %q, %v, want %q", c.kind, c.text, got, err, c.want)
		}
	}
}

func TestParseGameSession(t *testing.T) {
	for text, want := range map[string]arn.GameSessionParts{
		"arn:aws:gamelift:us-west-2::gamesession/fleet-1/gsess-1":                      {Fleet: "fleet-1", ID: "gsess-1"},
		"arn:aws:gamelift:us-west-2:123456789012:gamesession/fleet-1/custom-a/gsess-1": {Fleet: "fleet-1", Location: "custom-a", ID: "gsess-1"},
		"arn:aws:gamelift:custom-a::gamesession/fleet-1/my-token":                      {Fleet: "fleet-1", ID: "my-token"},
		"": {}, "gsess-1": {}, "fleet-1/gsess-1": {},
		"arn:aws:gamelift:us-west-2::gamesession/":                  {},
		"arn:aws:gamelift:us-west-2::gamesession/fleet-1":           {},
		"arn:aws:gamelift:us-west-2::gamesession/fleet-1/":          {},
		"arn:aws:gamelift:us-west-2::gamesession//gsess-1":          {},
		"arn:aws:gamelift:us-west-2::gamesession/fleet-1/a/b/c":     {},
		"arn:aws:gamelift:us-west-2::fleet/fleet-1/gsess-1":         {},
		"not-an-arn:gamesession/fleet-1/gsess-1":                    {},
		"arn:aws:gamelift:us-west-2::gamesession/fleet-1//gsess-1":  {},
		"arn:aws:gamelift:us-west-2::gamesession/fleet-1//gsess-1/": {},
	} {
		got, err := arn.ParseGameSession(text)
		if got != want || (err == nil) != (want.ID != "") {
			t.Errorf("ParseGameSession(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestResource(t *testing.T) {
	for text, want := range map[string][2]string{
		"arn:aws:gamelift:us-west-2::fleet/fleet-1":                     {"fleet", "fleet-1"},
		"arn:aws:gamelift:us-west-2:1:containergroupdefinition/group:7": {"containergroupdefinition", "group:7"},
		"arn:aws:gamelift:us-west-2:1:matchmakingconfiguration/a/b":     {"matchmakingconfiguration", "a/b"},
		"fleet/fleet-1": {}, "arn:aws:gamelift:us-west-2::fleet": {}, "arn:aws:gamelift:us-west-2::/x": {}, "arn:aws:s3:::bucket/x": {}, "xarn:aws:gamelift:::a/b": {},
	} {
		kind, id, ok := arn.Resource(text)
		if kind != want[0] && ok || id != want[1] && ok || ok != (want[0] != "") {
			t.Errorf("Resource(%q) = %q, %q, %v, want %q", text, kind, id, ok, want)
		}
	}
}

// TestWhatIsMintedParses: every id comes back from its own ARN.
func TestWhatIsMintedParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.StringMatching(`[a-zA-Z0-9\-]{1,40}`)
		fleet := arn.FleetID(rapid.SampledFrom([]string{"fleet-", "containerfleet-"}).Draw(t, "prefix") + plain.Draw(t, "fleet"))
		if got, err := arn.ParseFleet(home.Fleet(fleet)); got != fleet || err != nil {
			t.Fatalf("fleet %s: %s, %v", fleet, got, err)
		}
		alias := arn.AliasID("alias-" + plain.Draw(t, "alias"))
		if got, err := arn.ParseAlias(home.Alias(alias)); got != alias || err != nil {
			t.Fatalf("alias %s: %s, %v", alias, got, err)
		}
		build := arn.BuildID("build-" + plain.Draw(t, "build"))
		if got, err := arn.ParseBuild(home.Build(build)); got != build || err != nil {
			t.Fatalf("build %s: %s, %v", build, got, err)
		}
		script := arn.ScriptID("script-" + plain.Draw(t, "script"))
		if got, err := arn.ParseScript(home.Script(script)); got != script || err != nil {
			t.Fatalf("script %s: %s, %v", script, got, err)
		}
		at := arn.Location("custom-" + plain.Draw(t, "location"))
		if got, err := arn.ParseLocation(home.Location(at)); got != at || err != nil {
			t.Fatalf("location %s: %s, %v", at, got, err)
		}
		compute := arn.ComputeName(plain.Draw(t, "compute"))
		if got, err := arn.ParseCompute(home.Compute(compute)); got != compute || err != nil {
			t.Fatalf("compute %s: %s, %v", compute, got, err)
		}
		want := arn.GameSessionParts{Fleet: fleet, Location: at, ID: plain.Draw(t, "session")}
		if got, err := arn.ParseGameSession(string(home.GameSession(want.Fleet, want.Location, want.ID))); got != want || err != nil {
			t.Fatalf("game session %+v: %+v, %v", want, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "arn:", "fleet-1", "alias-1", "arn:aws:gamelift:us-west-2::fleet/fleet-1", "arn:aws:gamelift:us-west-2::alias/alias-1", "arn:aws:gamelift:us-west-2::gamesession/fleet-1/custom-a/gsess-1", "arn:aws:gamelift:us-west-2:1:compute/a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := arn.ParseFleet(s); err == nil {
			if again, err := arn.ParseFleet(home.Fleet(id)); again != id || err != nil {
				t.Errorf("fleet %q from %q: %q, %v", id, s, again, err)
			}
			if !fleetPattern.MatchString(string(id)) {
				t.Errorf("fleet %q from %q is not of the model's pattern", id, s)
			}
		}
		if id, err := arn.ParseAlias(s); err == nil {
			if again, err := arn.ParseAlias(home.Alias(id)); again != id || err != nil {
				t.Errorf("alias %q from %q: %q, %v", id, s, again, err)
			}
		}
		if id, err := arn.ParseBuild(s); err == nil {
			if again, err := arn.ParseBuild(home.Build(id)); again != id || err != nil {
				t.Errorf("build %q from %q: %q, %v", id, s, again, err)
			}
		}
		if id, err := arn.ParseScript(s); err == nil && !strings.HasPrefix(string(id), "script-") {
			t.Errorf("script %q from %q", id, s)
		}
		if p, err := arn.ParseGameSession(s); err == nil {
			if again, err := arn.ParseGameSession(string(home.GameSession(p.Fleet, p.Location, p.ID))); err != nil || again.Fleet != p.Fleet || again.ID != p.ID {
				t.Errorf("game session %+v from %q: %+v, %v", p, s, again, err)
			}
		}
		if kind, id, ok := arn.Resource(s); ok && (kind == "" || id == "" || !strings.HasSuffix(s, kind+"/"+id)) {
			t.Errorf("Resource(%q) = %q, %q", s, kind, id)
		}
		_, _ = arn.ParseLocation(s)
		_, _ = arn.ParseCompute(s)
	})
}
