package transfer

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"
)

// hard are texts that YAML takes for something else, or loses a part of.
var hard = []string{
	"", " ", "a", "null", "~", "yes", "No", "on", "1", "1e3", "0x10", "1_000", "-", "- a", "a: b", "a #b", "#", "{}", "[]", "&a", "*a", "!t", "|", ">", "%", "@", "`",
	"'", "\"", "\\", "a\n", "\na", "a\nb", "a\n\nb", " a\nb", "a \nb", "a\n b", "\ta\nb", "a\n\tb", "a\t\nb", "a\r\nb", "a\rb", "a\n---\nb", "---", "...", "a\n...\nb",
	"\u2028", "a\u0085b\nc", "\ufeff", "é", "試合\n次", "\U0001f3ae", "\x1b[2J", "\x00", "\x7f", ".inf", "2026-01-02", "2026-01-02T03:04:05Z", "<<", "=", "?", "? a", "a:\nb", "{\n \"a\": [1]\n}", "# a\nb",
}

func TestEveryTextComesBack(t *testing.T) {
	for _, s := range hard {
		again(t, Document{Matchyard: format, Version: version, RuleSets: []RuleSet{{Name: s, Body: s, Tags: Tags{s: s, s + "x": "y"}}}, Left: []string{s, s}})
	}
}

// again writes and reads a document in both forms.
func again(t interface {
	Helper()
	Fatalf(string, ...any)
}, d Document,
) {
	t.Helper()
	for _, text := range [][]byte{d.YAML(), d.JSON()} {
		got, err := Parse(text)
		if err != nil {
			t.Fatalf("%v of\n%s", err, text)
		}
		if string(got.JSON()) != string(d.JSON()) {
			t.Fatalf("got\n%s\nwant\n%s\nby\n%s", got.JSON(), d.JSON(), text)
		}
	}
}

func TestEveryDocumentComesBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := func() string {
			return rapid.OneOf(rapid.SampledFrom(hard), rapid.StringMatching("[ a-z:#\\-\n\t\"'{}\\[\\],]{0,12}"), rapid.String()).Draw(r, "text")
		}
		p := func() *string {
			if rapid.Bool().Draw(r, "there") {
				return new(s())
			}
			return nil
		}
		again(r, Document{
			Matchyard: format, Version: version, Region: s(),
			RuleSets: []RuleSet{{Name: s(), Body: s(), Tags: Tags{s(): s()}}},
			Fleets: []Fleet{{
				Name: s(), Description: p(), ComputeType: types.ComputeTypeAnywhere, LogPaths: []string{s(), s()},
				RuntimeConfiguration: &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{{LaunchPath: p(), Parameters: p()}}},
				Places:               []Place{{Location: s(), MinSize: new(rapid.Int32().Draw(r, "min"))}, {}},
				ScalingPolicies:      []Policy{{Name: s(), Threshold: new(rapid.Float64Range(-1e6, 1e6).Draw(r, "threshold"))}},
			}},
			Matchmaking: []Matchmaking{{Name: s(), AcceptanceRequired: new(rapid.Bool().Draw(r, "accept")), GameProperties: []types.GameProperty{{Key: p(), Value: p()}}}},
			Left:        []string{s()},
		})
	})
}

func TestParseRefusesWhatItDoesNotKnow(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "does not begin with",
		"hello":                       "not a configuration",
		"a: [":                        "not YAML",
		"Matchyard: dump\nVersion: 1": "does not begin with",
		"Matchyard: configuration":    "version 0",
		`{"Matchyard":"configuration","Version":2}`:                          "version 2",
		"Matchyard: configuration\nVersion: 1\nFleet: []":                    "unknown field",
		"Matchyard: configuration\nVersion: 1\nFleets:\n- Name: a\n  Nme: b": "unknown field",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Matchyard: configuration\nVersion: 1\nFleets:\n  - Name: \"a\"\n    Places:\n      - Location: x\n      - {}\n"))
	f.Add([]byte(`{"Matchyard":"configuration","Version":1,"RuleSets":[{"Name":"a","Body":"{\n}"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if back, err := Parse(d.JSON()); err != nil || string(back.JSON()) != string(d.JSON()) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
