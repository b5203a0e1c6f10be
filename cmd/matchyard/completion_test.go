package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
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

// TestCompletionAtATerminal types into the shells themselves. What stands for matchyard there
// says with which words it is run in the end, but completes as the program does.
func TestCompletionAtATerminal(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems' script(1) has other flags")
	}
	dir := t.TempDir()
	stand := "#!/bin/sh\n[ \"$1\" = complete ] && exec '" + binary + "' \"$@\"\nprintf 'ran<%s>\\n' \"$*\"\n"
	if err := os.WriteFile(filepath.Join(dir, "matchyard"), []byte(stand), 0o755); err != nil {
		t.Fatal(err)
	}
	// Files are offered only where nothing else is.
	for _, file := range []string{"fleece", "some.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for shell, how := range map[string]struct{ start, load string }{
		"bash": {"bash --norc --noprofile -i", "source <(matchyard completion bash)"},
		"zsh":  {"zsh -f -i", "autoload -Uz compinit; compinit -u -D; source <(matchyard completion zsh)"},
		"fish": {"fish --no-config -i", "matchyard completion fish | source"},
	} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				if os.Getenv("CI") != "" || os.Getenv("MATCHYARD_REQUIRE_CLIENTS") != "" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			at := terminal(t, how.start, dir, "HOME="+dir, "TERM=dumb", "PATH="+dir+":/usr/bin:/bin")
			at.types(strings.ReplaceAll(how.load, "matchyard", "'"+binary+"'") + "\n")
			at.types("matchyard ready\n")
			at.sees("ran<ready>")
			for typed, want := range map[string]string{
				"ps fl":            "ps fleets",
				"keys rot":         "keys rotate",
				"ps --out":         "ps --output",
				"ps --output j":    "ps --output json",
				"ps --output=j":    "ps --output=json",
				"ps --output=j -w": "ps --output=j -w",
				"import some":      "import some.yaml",
			} {
				at.types("matchyard " + typed + "\t\n")
				at.sees("ran<" + want)
			}
		})
	}
}

// pty is a program at a terminal.
type pty struct {
	t    *testing.T
	in   io.Writer
	mu   sync.Mutex
	text []byte // what it showed and was not seen yet
}

func terminal(t *testing.T, command, dir string, env ...string) *pty {
	t.Helper()
	c := exec.CommandContext(t.Context(), "script", "-qec", command, os.DevNull)
	c.Dir, c.Env = dir, env
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{t: t, in: in}
	c.Stdout = p
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	return p
}

func (p *pty) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = append(p.text, b...)
	return len(b), nil
}

func (p *pty) types(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		p.t.Fatal(err)
	}
}

// sees waits for a text, after those seen before.
func (p *pty) sees(text string) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		_, after, found := bytes.Cut(p.text, []byte(text))
		if found {
			p.text = after
		}
		shown := string(p.text)
		p.mu.Unlock()
		if found {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s does not come after %q", text, shown)
		}
	}
}
