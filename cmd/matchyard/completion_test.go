package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		words   []string
		want    string // words, in any order
		without string
	}{
		{[]string{""}, "dev serve ps status doctor completion", "complete"},
		{[]string{"d"}, "dev doctor demo", "serve"},
		{[]string{"keys", ""}, "create list rotate revoke", "dev"},
		{[]string{"ps", ""}, "fleets sessions players", "dev"},
		{[]string{"ps", "fl"}, "fleets", "sessions"},
		{[]string{"ps", "fleets", ""}, "", "fleets"},
		{[]string{"ps", "--w"}, "--watch", "--fleet"},
		{[]string{"ps", "-"}, "--watch --fleet --output --help", ""},
		{[]string{"ps", "-o", ""}, "table json", "fleets"},
		{[]string{"ps", "--output", "j"}, "json", "table"},
		{[]string{"ps", "--output=j"}, "--output=json", "--output=table"},
		{[]string{"ps", "-w", ""}, "fleets sessions players", ""},
		{[]string{"ps", "--fleet", "a", ""}, "fleets sessions players", ""},
		{[]string{"serve", "--log-level", ""}, "debug info warn error", ""},
		{[]string{"explain", ""}, "placement", ""},
		{[]string{"nonsense", ""}, "dev", ""},
		{nil, "dev", "complete"},
	} {
		code, out, errs := do(t, nil, append([]string{"complete", "--"}, c.words...)...)
		var got []string
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, word)
		}
		for want := range strings.FieldsSeq(c.want) {
			if !slices.Contains(got, want) {
				t.Errorf("%q: %q lacks %s (exit code %d: %s)", c.words, got, want, code, errs)
			}
		}
		if c.without != "" && slices.Contains(got, c.without) {
			t.Errorf("%q: %q has %s", c.words, got, c.without)
		}
	}
}

// TestCompletionScripts runs them in those of the shells that are here.
func TestCompletionScripts(t *testing.T) {
	ask := map[string]string{
		"bash": `COMP_WORDS=("$1" ps fl); COMP_CWORD=2; _matchyard; echo "${COMPREPLY[@]}"`,
		"zsh":  `compdef() { :; }; _describe() { print -l $lines; }; eval "$SCRIPT"; words=("$1" ps fl); CURRENT=3; _matchyard`,
		"fish": `complete -C "matchyard ps fl"`,
	}
	for shell, script := range ask {
		code, text, errs := do(t, nil, "completion", shell)
		if code != 0 || text == "" {
			t.Fatalf("%s: %d %s", shell, code, errs)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not here", shell)
			continue
		}
		if shell != "zsh" {
			script = text + script
		}
		c := exec.CommandContext(t.Context(), path, "-c", script, shell, binary)
		c.Env = append(c.Environ(), "SCRIPT="+text, "PATH="+strings.TrimSuffix(binary, "/matchyard")+":/usr/bin:/bin")
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "fleets") || strings.Contains(string(out), "sessions") {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
}
