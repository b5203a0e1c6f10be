package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	examples "github.com/matchyard/matchyard/examples/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch/evalcase"
	"github.com/matchyard/matchyard/internal/sim"
)

// flexmatchCmd works on files; it needs no server.
type flexmatchCmd struct {
	Validate flexmatchValidateCmd `cmd:"" help:"Tell what is wrong with a rule set. The exit code is 1 when something is."`
	Eval     flexmatchEvalCmd     `cmd:"" help:"Play a written case: a rule set, tickets, instants, and what players do."`
	Simulate flexmatchSimulateCmd `cmd:"" help:"Play a stream of players through a rule set, and report waits, quality and failures."`
	Compare  flexmatchCompareCmd  `cmd:"" help:"Play the same stream through two rule sets, or through the engine and a greedy matcher."`
	Quality  flexmatchQualityCmd  `cmd:"" help:"Hold the engine against the greedy matcher on the standard streams."`
}

// readFile reads a file, or standard input for "-".
func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	text, err := os.ReadFile(name) //nolint:gosec // the user names the file
	if err != nil {
		return nil, usageError{err}
	}
	return text, nil
}

type flexmatchValidateCmd struct {
	File   string `arg:"" help:"A rule set; - is standard input."`
	Output string `short:"o" enum:"text,json" default:"text" env:"-" help:"text or json."`
}

func (c *flexmatchValidateCmd) Run(out *stdout) error {
	body, err := readFile(c.File)
	if err != nil {
		return err
	}
	verdict, valid, err := evalcase.Validate(body)
	if err != nil {
		return err
	}
	_, parseErr := flexmatch.Parse(string(body))
	findings, _ := errors.AsType[flexmatch.Findings](parseErr)
	switch {
	case c.Output == "json":
		_, err = fmt.Fprintf(out, "%s\n", verdict)
	case valid:
		_, err = fmt.Fprintf(out, "%s is valid\n", c.File)
	default:
		for _, f := range findings {
			_, err = fmt.Fprintln(out, f)
		}
	}
	if err == nil && !valid {
		err = fmt.Errorf("%s is not valid: %d found", c.File, len(findings))
	}
	return err
}

type flexmatchEvalCmd struct {
	File string `arg:"" name:"case" help:"A case; - is standard input."`
}

func (c *flexmatchEvalCmd) Run(out *stdout) error {
	body, err := readFile(c.File)
	if err != nil {
		return err
	}
	result, err := evalcase.Eval(body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", result)
	return err
}

// streamFlags are where players come from.
type streamFlags struct {
	Stream       string  `placeholder:"NAME" env:"-" xor:"source" help:"A standard stream with its rule set: 1v1, 5v5, 5v5-roles, aws-sample or large."`
	Profile      string  `placeholder:"FILE" env:"-" xor:"source" help:"A profile of players to draw a stream from."`
	Tickets      string  `placeholder:"FILE" env:"-" xor:"source" help:"A recorded stream, a ticket a line."`
	Hours        float64 `env:"-" help:"Length of the drawn stream. Default: the profile's."`
	Seed         uint64  `default:"1" env:"-" help:"Seed of the stream and of the matcher. Default: 1."`
	Skill        string  `placeholder:"ATTRIBUTE" env:"-" help:"The number by which quality is measured. Default: skill, or the rule set's first number."`
	Explain      int     `default:"240" env:"-" help:"How many of the tickets that found no match are asked why. Default: 240."`
	WriteTickets string  `placeholder:"FILE" env:"-" help:"Write the stream, to play it again with --tickets."`
	Report       string  `placeholder:"FILE" env:"-" help:"Write the report as an HTML page."`
	JSON         string  `name:"json" placeholder:"FILE" env:"-" help:"Write the report as JSON; - is standard output."`
}

// stream gives the players and, of a standard stream, the rule set.
func (f *streamFlags) stream() (*sim.Stream, []byte, error) {
	switch {
	case f.Stream != "":
		rules, profile, err := examples.Stream(f.Stream)
		if err != nil {
			return nil, nil, usageError{err}
		}
		s, err := f.draw("stream "+f.Stream, profile)
		return s, rules, err
	case f.Profile != "":
		profile, err := readFile(f.Profile)
		if err != nil {
			return nil, nil, err
		}
		s, err := f.draw(f.Profile, profile)
		return s, nil, err
	case f.Tickets != "":
		lines, err := readFile(f.Tickets)
		if err != nil {
			return nil, nil, err
		}
		if f.Hours != 0 {
			return nil, nil, usageError{errors.New("--hours is for drawn streams, not for --tickets")}
		}
		s, err := sim.ReadStream(bytes.NewReader(lines))
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Tickets, err)
		}
		if s.Name == "" {
			s.Name = label(f.Tickets)
		}
		return s, nil, nil
	}
	return nil, nil, usageError{errors.New("one of --stream, --profile and --tickets is needed")}
}

func (f *streamFlags) draw(name string, profile []byte) (*sim.Stream, error) {
	p, err := sim.ParseProfile(profile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s, err := p.Generate(f.Seed, f.Hours)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// label is a file's name without its folder and endings.
func label(file string) string {
	name := filepath.Base(file)
	for _, ending := range []string{".json", ".jsonl", ".rules", ".profile"} {
		name = strings.TrimSuffix(name, ending)
	}
	return name
}

// rules reads a rule set from a file, or the standard stream's when there is none.
func (f *streamFlags) rules(file string, standard []byte) (*sim.Rules, error) {
	name := label(file)
	if file == "" {
		file, name = "stream "+f.Stream, f.Stream
	} else {
		body, err := readFile(file)
		if err != nil {
			return nil, err
		}
		standard = body
	}
	if standard == nil {
		return nil, usageError{errors.New("a rule set is needed, unless --stream brings its own")}
	}
	r, err := sim.ParseRules(name, standard)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// play plays the runs one after the other and writes what was asked for.
func (f *streamFlags) play(ctx context.Context, out *stdout, title string, s *sim.Stream, runs []sim.Options) error {
	if f.WriteTickets != "" {
		if err := writeFile(f.WriteTickets, func(w io.Writer) error { _, err := s.WriteTo(w); return err }); err != nil {
			return err
		}
	}
	var results []*sim.Result
	for _, o := range runs {
		o.Stream, o.Seed, o.Skill, o.Explain = s, f.Seed, f.Skill, f.Explain
		if o.Explain == 0 {
			o.Explain = -1
		}
		o.Progress = progress(os.Stderr, o.Label)
		r, err := sim.Play(ctx, o)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	report := sim.NewReport(title, f.Seed, results...)
	if f.Report != "" {
		if err := writeFile(f.Report, report.HTML); err != nil {
			return err
		}
	}
	writeJSON := func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(report)
	}
	if f.JSON == "-" {
		return writeJSON(out)
	}
	if f.JSON != "" {
		if err := writeFile(f.JSON, writeJSON); err != nil {
			return err
		}
	}
	return report.WriteText(out)
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

// progress draws a bar on a terminal, and elsewhere says each quarter on a line.
func progress(w *os.File, what string) func(done float64) {
	const cells = 30
	begin, last := time.Now(), -1
	info, err := w.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return func(done float64) {
		step := int(done * 4)
		if terminal {
			step = int(done * 100)
		}
		if step == last || (!terminal && step == 0) {
			return
		}
		last = step
		took := time.Since(begin).Round(100 * time.Millisecond)
		if !terminal {
			_, _ = fmt.Fprintf(w, "%s: %.0f %% after %s\n", what, 100*done, took)
			return
		}
		full := int(done * cells)
		_, _ = fmt.Fprintf(w, "\r%-16.16s [%s%s] %3.0f %%  %s ", what, strings.Repeat("#", full), strings.Repeat("·", cells-full), 100*done, took)
		if done >= 1 {
			_, _ = fmt.Fprintln(w)
		}
	}
}

type flexmatchSimulateCmd struct {
	Ruleset string `placeholder:"FILE" env:"-" help:"The rule set. Default: that of --stream."`
	Greedy  bool   `env:"-" help:"Let the greedy matcher play instead of the engine."`
	streamFlags
}

func (c *flexmatchSimulateCmd) Run(ctx context.Context, out *stdout) error {
	s, standard, err := c.stream()
	if err != nil {
		return err
	}
	rules, err := c.rules(c.Ruleset, standard)
	if err != nil {
		return err
	}
	o := sim.Options{Rules: rules, Label: rules.Name, Greedy: c.Greedy}
	if c.Greedy {
		o.Label += ", greedy"
	}
	return c.play(ctx, out, "Rule set "+o.Label+" on "+s.Name, s, []sim.Options{o})
}

type flexmatchCompareCmd struct {
	Rulesets []string `arg:"" optional:"" name:"rule-set" help:"Two rule sets; with --greedy one, or none with --stream."`
	Greedy   bool     `env:"-" help:"Compare the engine with the greedy matcher, the baseline, on one rule set."`
	streamFlags
}

func (c *flexmatchCompareCmd) Run(ctx context.Context, out *stdout) error {
	files := c.Rulesets
	if len(files) == 0 || (len(files) == 1 && !c.Greedy) {
		files = append([]string{""}, files...) // the stream's own comes first
	}
	if n := len(files); (c.Greedy && n != 1) || (!c.Greedy && n != 2) || (files[0] == "" && c.Stream == "") {
		return usageError{errors.New("two rule sets are compared, or one with --greedy; --stream brings one")}
	}
	s, standard, err := c.stream()
	if err != nil {
		return err
	}
	var runs []sim.Options
	for _, file := range files {
		rules, err := c.rules(file, standard)
		if err != nil {
			return err
		}
		runs = append(runs, sim.Options{Rules: rules, Label: rules.Name})
	}
	var title string
	if c.Greedy {
		engine := runs[0]
		engine.Label = "engine"
		runs = []sim.Options{{Rules: engine.Rules, Label: "greedy", Greedy: true}, engine}
		title = "Engine and greedy matcher on " + s.Name
	} else {
		if runs[0].Label == runs[1].Label {
			runs[0].Label, runs[1].Label = files[0], files[1]
			if files[0] == "" {
				runs[0].Label = c.Stream + ", standard"
			}
		}
		title = "Rule sets " + runs[0].Label + " and " + runs[1].Label + " on " + s.Name
	}
	return c.play(ctx, out, title, s, runs)
}

type flexmatchQualityCmd struct {
	Streams []string `arg:"" optional:"" name:"stream" help:"Standard streams. Default: all."`
	Seeds   int      `default:"4" env:"-" help:"How many streams are drawn of each. Default: 4."`
	Hours   float64  `default:"1" env:"-" help:"Length of each. Default: 1."`
}

func (c *flexmatchQualityCmd) Run(ctx context.Context, out *stdout) error {
	if c.Seeds < 1 || c.Seeds > 1000 {
		return usageError{errors.New("--seeds should be from 1 to 1000")}
	}
	names := c.Streams
	if len(names) == 0 {
		names = examples.Names()
	}
	if _, err := io.WriteString(out, sim.MarkdownHeader); err != nil {
		return err
	}
	for _, name := range names {
		body, text, err := examples.Stream(name)
		if err != nil {
			return usageError{err}
		}
		rules, err := sim.ParseRules(name, body)
		if err != nil {
			return err
		}
		profile, err := sim.ParseProfile(text)
		if err != nil {
			return err
		}
		compared, err := sim.Duel(ctx, rules, profile, c.Seeds, c.Hours, progress(os.Stderr, name))
		if err != nil {
			return err
		}
		if err := compared.WriteMarkdown(out); err != nil {
			return err
		}
	}
	return nil
}
