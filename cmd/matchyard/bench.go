package main

import (
	"context"
	"os"
	"runtime/pprof"
	"time"

	"github.com/matchyard/matchyard/internal/bench"
	"github.com/matchyard/matchyard/internal/cli"
)

type benchCmd struct {
	Only       string `placeholder:"NAME" help:"One path: noop, join, join25, page100, place, session-push, tickets, match-1v1, match-5v5, match-rules, match-large, match-none, match-cycle, match-memory, sockets, instances or start. Default: all." env:"MATCHYARD_BENCH_ONLY"`
	Seconds    int    `default:"5" help:"Length of each load." env:"MATCHYARD_BENCH_SECONDS"`
	Postgres   string `placeholder:"URL" help:"PostgreSQL server on which databases may be made: measure it too." env:"MATCHYARD_BENCH_POSTGRES"`
	CPUProfile string `name:"cpu-profile" placeholder:"FILE" help:"Write a CPU profile of the whole run."`
}

func (c *benchCmd) Run(ctx context.Context, _ *cli.Context, out *stdout) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if c.CPUProfile != "" {
		f, err := os.Create(c.CPUProfile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	defer ballast()() // as the servers have that are measured
	return bench.Run(ctx, bench.Options{
		Only:     c.Only,
		Length:   time.Duration(max(c.Seconds, 1)) * time.Second,
		Postgres: c.Postgres,
		Program:  program,
		Out:      out,
		Log:      os.Stderr,
	})
}
