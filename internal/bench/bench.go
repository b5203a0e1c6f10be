package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options say what is measured and how.
type Options struct {
	Only     string        // one path's name; "" means all
	Length   time.Duration // of each load
	Postgres string        // URL of a PostgreSQL server on which databases may be made; "" leaves those paths out
	Program  string        // the matchyard binary, for start
	Out      io.Writer     // the lines, one a path
	Log      io.Writer     // what is under way
}

// path is one benchmark: its name and what it does.
type path struct {
	name string
	run  func(ctx context.Context, o Options) error
}

// paths are all benchmarks, in the order in which they run.
var paths = []path{
	{"noop", noop},
	{"join", onEach(join)},
	{"join25", onEach(join25)},
	{"page100", onEach(page100)},
	{"place", onEach(place)},
	{"session-push", onEach(sessionPush)},
	{"tickets", onEach(tickets)},
	{duels.name, duels.run},
	{fives.name, fives.run},
	{roleFives.name, roleFives.run},
	{"match-large", matchHordes},
	{"match-none", matchNone},
	{"match-cycle", matchCycle},
	{"match-memory", matchMemory},
	{"sockets", sockets},
	{"instances", manyInstances},
	{"echo", echo},
	{"start", startUp},
}

// Run measures.
func Run(ctx context.Context, o Options) error {
	if o.Only != "" && !slices.ContainsFunc(paths, func(p path) bool { return p.name == o.Only }) {
		var names []string
		for _, p := range paths {
			names = append(names, p.name)
		}
		return fmt.Errorf("no benchmark %q; there are %s", o.Only, strings.Join(names, ", "))
	}
	for _, p := range paths {
		if o.Only != "" && p.name != o.Only {
			continue
		}
		if err := p.run(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// target is a database that a benchmark runs on.
type target struct {
	suffix string // of the path's name: "" on SQLite, "-postgres"
	url    string
	folder string
}

// onEach runs a benchmark on SQLite and, when there is one, on PostgreSQL.
func onEach(run func(ctx context.Context, o Options, t target) error) func(context.Context, Options) error {
	return func(ctx context.Context, o Options) error {
		folder, remove, err := scratch()
		if err != nil {
			return err
		}
		defer remove()
		if err := run(ctx, o, target{url: sqliteURL(folder), folder: folder}); err != nil {
			return err
		}
		if o.Postgres == "" {
			return nil
		}
		url, drop, err := database(ctx, o.Postgres)
		if err != nil {
			return err
		}
		defer drop()
		return run(ctx, o, target{suffix: "-postgres", url: url, folder: folder})
	}
}

func (o Options) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Log, format+"\n", args...)
}
