package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/cli"
	"github.com/matchyard/matchyard/internal/config"
)

// flags are a server's flags: those of its configuration, and where its file is.
type flags struct {
	File   string        `name:"config" type:"path" placeholder:"FILE" help:"YAML file with any of the other flags as keys." env:"MATCHYARD_CONFIG"`
	Config config.Config `embed:""`
}

type devCmd struct{ flags }

func (c *devCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return c.serve(ctx, parsed, out, true)
}

type serveCmd struct{ flags }

func (c *serveCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return c.serve(ctx, parsed, out, false)
}

// ballast puts the collector off until the function it returns is called. The collector runs
// when the heap has doubled, and what a server holds is a few MiB, so that under load it would
// run a hundred times a second. These bytes count as heap and are never touched, so they take
// no memory.
func ballast() (drop func()) {
	untouched := make([]byte, 16<<20)
	return func() { runtime.KeepAlive(untouched) }
}

// longestStop is how long a stop may take, of the ten seconds that are promised.
const longestStop = 9500 * time.Millisecond

// serve runs a server until a signal comes.
func (f *flags) serve(ctx context.Context, parsed *cli.Context, out *stdout, dev bool) error {
	c, err := f.load(parsed, dev)
	if err != nil {
		return err
	}
	defer ballast()()
	a, err := app.Open(ctx, c)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() {
		notify("STOPPING=1")
		// Serve keeps to its time. Should something hang all the same, the program ends.
		time.AfterFunc(longestStop, func() {
			c.Logger.Error("stopping takes too long; ending at once")
			os.Exit(exitFailure)
		})
	})
	return a.Serve(ctx, func() {
		announce(out, a, c)
		notify("READY=1")
	})
}

// load reads the configuration from all its sources.
func (f *flags) load(parsed *cli.Context, dev bool) (config.Config, error) {
	c, err := config.Load(config.Sources{File: f.File, Env: os.LookupEnv, Flags: parsed.Given()})
	if err != nil {
		return c, usageError{err}
	}
	c.Dev, c.Version = dev, version
	if err := c.Validate(); err != nil {
		return c, usageError{err}
	}
	c.Logger = logger(c)
	return c, nil
}

// logger logs to standard error, which leaves standard output to the ready line.
func logger(c config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		panic(err) // Validate let it through
	}
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// announce prints the line that scripts wait for.
func announce(out *stdout, a *app.App, c config.Config) {
	if root := a.Root(); root != nil {
		_, _ = fmt.Fprintln(out, "The first access key, which may do everything. It is shown only now:")
		_ = printCredentials(out, *root)
	}
	parts := []string{"ready http://" + a.Addr()}
	if admin := a.AdminAddr(); admin != "" {
		parts = append(parts, "admin=http://"+admin)
	}
	parts = append(parts, "sdk="+a.Endpoint(), "clock="+c.Clock, "version="+version)
	_, _ = fmt.Fprintln(out, strings.Join(parts, " "))
}
