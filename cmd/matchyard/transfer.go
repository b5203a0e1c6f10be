package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/term"
	"github.com/matchyard/matchyard/internal/transfer"
)

// amazon is the Server that is Amazon's own service.
const amazon = "aws"

// api calls the server, or Amazon's own service with the credentials that its tools find.
func (c clientFlags) api(ctx context.Context) (*gamelift.Client, error) {
	if c.Server != amazon {
		return c.client(), nil
	}
	found, err := config.LoadDefaultConfig(ctx, config.WithRegion(c.Region))
	if err != nil {
		return nil, err
	}
	return gamelift.NewFromConfig(found, func(o *gamelift.Options) { o.BaseEndpoint = nil }), nil
}

type exportCmd struct {
	clientFlags
	To     string `arg:"" optional:"" name:"file" default:"-" help:"The file (- for standard output)."`
	Output string `short:"o" default:"yaml" enum:"yaml,json" env:"-" help:"yaml or json."`
}

func (e *exportCmd) Help() string { return amazonHelp }

const amazonHelp = `With --server aws it is Amazon's own service, with the credentials that the AWS CLI would take. Fleets and aliases are told by their names. Nothing is ever deleted.`

// Run says on standard error what is not carried.
func (e *exportCmd) Run(ctx context.Context, out *stdout) error {
	c, err := e.api(ctx)
	if err != nil {
		return err
	}
	d, err := transfer.Export(ctx, c)
	if err != nil {
		return err
	}
	text := d.YAML()
	if e.Output == "json" {
		text = d.JSON()
	}
	if again, err := transfer.Parse(text); err != nil || string(again.JSON()) != string(d.JSON()) {
		return fmt.Errorf("the configuration cannot be written as %s: %w; try the other form", e.Output, err)
	}
	for _, left := range d.Left {
		_, _ = fmt.Fprintln(os.Stderr, "not carried:", term.Quote(left))
	}
	if e.To == "-" {
		_, err = out.Write(text)
		return err
	}
	return os.WriteFile(e.To, text, 0o600)
}

type importCmd struct {
	clientFlags
	From   string            `arg:"" name:"file" help:"The file (- for standard input)."`
	DryRun bool              `env:"-" help:"Print what would be done, and do nothing."`
	Upload map[string]string `env:"-" placeholder:"ID=ID" help:"Which build or script of this endpoint stands for which of the file."`
	Wait   time.Duration     `env:"-" default:"0s" placeholder:"DURATION" help:"How long to wait for managed fleets to be ACTIVE, so that their capacity and policies can be set (0: not at all)."`
}

func (i *importCmd) Help() string { return amazonHelp }

func (i *importCmd) Run(ctx context.Context, out *stdout) error {
	text, err := readAll(i.From)
	if err != nil {
		return err
	}
	d, err := transfer.Parse(text)
	if err != nil {
		return err
	}
	c, err := i.api(ctx)
	if err != nil {
		return err
	}
	for _, left := range d.Left {
		_, _ = fmt.Fprintln(os.Stderr, "not in the file:", term.Quote(left))
	}
	plan, err := transfer.Import(ctx, c, d, transfer.Options{Uploads: i.Upload, Wait: i.Wait})
	if err != nil {
		return err
	}
	if i.DryRun || plan.Refused() {
		for _, s := range plan.Steps {
			printStep(out, s)
		}
		if plan.Refused() {
			return errors.New("nothing is done: the file asks for what this endpoint cannot have")
		}
		return nil
	}
	if err := plan.Do(func(s transfer.Step) { printStep(out, s) }); err != nil {
		return err
	}
	if !plan.Changes() {
		_, _ = fmt.Fprintln(out, "nothing to change")
	}
	return nil
}

func printStep(out io.Writer, s transfer.Step) {
	_, _ = fmt.Fprintf(out, "%-6s  %s\n", s.Action, term.Quote(s.What))
	for _, c := range s.Changes {
		_, _ = fmt.Fprintf(out, "          %s\n", term.Quote(c))
	}
}

// readAll is a file, or standard input.
func readAll(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}
