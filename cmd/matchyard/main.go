// Command matchyard is a game-session service that speaks the Amazon GameLift Servers API.
// It has flags and commands here, and no rules.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/matchyard/matchyard/internal/cli"
	"github.com/matchyard/matchyard/internal/term"
)

// version is set by the linker.
var version = "unknown"

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// commands are all commands; each has a Run method, whose error is the exit code's reason.
type commands struct {
	Dev        devCmd        `cmd:"" help:"Run a server for development: any credentials, loopback only, a clock one can turn."`
	Serve      serveCmd      `cmd:"" help:"Run a server for production: signed requests only."`
	Keys       keysCmd       `cmd:"" help:"Manage the access keys of a server for production."`
	Agent      agentCmd      `cmd:"" help:"Run game servers on this host, as a server wants them."`
	Hosts      hostsCmd      `cmd:"" help:"Manage the hosts of managed fleets, and the tokens their agents join with."`
	Audit      auditCmd      `cmd:"" help:"Read the log of changes of a server for production."`
	Upload     uploadCmd     `cmd:"" name:"upload-build" help:"Upload a folder as a build, and wait until it is READY."`
	Status     statusCmd     `cmd:"" help:"Show how a server is: nodes, database, fleets, hosts, sessions, players, what waits."`
	Ps         psCmd         `cmd:"" help:"List fleets, game sessions or players."`
	Logs       logsCmd       `cmd:"" help:"Print the log of a game session."`
	Doctor     doctorCmd     `cmd:"" help:"Find out what is wrong between this machine and a server."`
	Save       saveCmd       `cmd:"" help:"Save a server's whole database in a file, while it runs or not."`
	Load       loadCmd       `cmd:"" help:"Fill an empty database from such a file."`
	Export     exportCmd     `cmd:"" help:"Write the configuration of an endpoint: locations, rule sets, fleets, aliases, queues, matchmaking."`
	Import     importCmd     `cmd:"" help:"Make an endpoint as such a configuration wants it."`
	Demo       demoCmd       `cmd:"" help:"Show a game session from its first player to its end, with a real game server."`
	Ping       pingCmd       `cmd:"" help:"Measure the latency to the beacons of locations."`
	Explain    explainCmd    `cmd:"" help:"Tell why something went as it did."`
	Flexmatch  flexmatchCmd  `cmd:"" help:"Try matchmaking rule sets without a server: validate, evaluate, simulate, compare."`
	Bench      benchCmd      `cmd:"" help:"Measure the speed of whole paths on this machine."`
	Completion completionCmd `cmd:"" help:"Print what a shell needs to complete commands and flags."`
	Complete   completeCmd   `cmd:"" hidden:""`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// usageError is an error of the user's, for exit code 2.
type usageError struct{ error }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	out := &stdout{os.Stdout}
	line := newLine()
	err := line.Parse(args)
	switch {
	case err != nil:
		return report(usageError{err})
	case line.Help:
		return report(line.Command.WriteHelp(out))
	}
	return report(runnable(line.Command.Target())(ctx, line, out))
}

// newLine is a command line that was not read yet.
func newLine() *cli.Context {
	return cli.New("matchyard", "A game-session service that speaks the Amazon GameLift Servers API.", "MATCHYARD", &commands{})
}

// runnable is a command's Run, whatever it takes of the three; nil when it has none of these
// forms. They are asked for by their types: methods looked up by name keep the linker from
// leaving any out.
func runnable(command any) func(ctx context.Context, line *cli.Context, out *stdout) error {
	switch c := command.(type) {
	case interface {
		Run(ctx context.Context, line *cli.Context, out *stdout) error
	}:
		return c.Run
	case interface {
		Run(ctx context.Context, out *stdout) error
	}:
		return func(ctx context.Context, _ *cli.Context, out *stdout) error { return c.Run(ctx, out) }
	case interface {
		Run(ctx context.Context) error
	}:
		return func(ctx context.Context, _ *cli.Context, _ *stdout) error { return c.Run(ctx) }
	case interface {
		Run(line *cli.Context, out *stdout) error
	}:
		return func(_ context.Context, line *cli.Context, out *stdout) error { return c.Run(line, out) }
	case interface{ Run(out *stdout) error }:
		return func(_ context.Context, _ *cli.Context, out *stdout) error { return c.Run(out) }
	}
	return nil
}

// report prints what went wrong and returns the exit code.
func report(err error) int {
	if err == nil {
		return exitOK
	}
	_, _ = fmt.Fprintln(os.Stderr, "matchyard:", oneLine(err))
	if _, ok := errors.AsType[usageError](err); ok {
		_, _ = fmt.Fprintln(os.Stderr, "Run matchyard --help, or matchyard COMMAND --help.")
		return exitUsage
	}
	return exitFailure
}

// oneLine is the text of an error, of which some have several lines, and some what others
// chose.
func oneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(strings.TrimSpace(lines[i]), ";")
	}
	var line strings.Builder
	_, _ = io.WriteString(term.Plain(&line), strings.Join(lines, "; "))
	return line.String()
}

// stdout is where commands print what they were asked for.
type stdout struct{ io.Writer }

type versionCmd struct{}

func (versionCmd) Run(out *stdout) error {
	_, err := fmt.Fprintln(out, "matchyard", version)
	return err
}
