package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/config"
)

// Options say how the tour goes.
type Options struct {
	Config     config.Config // of the server; Dev, a manual clock and an empty data folder are set by Run
	GameServer string        // the example game server's program
	Keep       bool          // leave the server up until ctx ends
	Out        io.Writer     // what is shown
}

const (
	location   = "custom-demo"
	computer   = "laptop"
	slots      = 4
	turn       = 61 * time.Second // past the minute a reservation lasts
	patience   = 30 * time.Second // for one step
	retryEvery = 50 * time.Millisecond
)

// Run goes through the tour and returns the first thing that did not go as promised. With
// Keep it then leaves everything up, and returns nil when ctx ends.
func Run(ctx context.Context, o Options) error {
	if _, err := os.Stat(o.GameServer); err != nil {
		return fmt.Errorf("game server: %w (make build puts it beside this program)", err)
	}
	folder, err := os.MkdirTemp("", "matchyard-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	o.Config.Dev, o.Config.Clock, o.Config.Data = true, config.Manual, filepath.Join(folder, "data")
	o.Config.Store, o.Config.Ephemeral = "", false
	o.Config.Logger = slog.New(slog.NewTextHandler(o.Out, &slog.HandlerOptions{Level: slog.LevelError}))

	a, err := app.Open(ctx, o.Config)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- a.Serve(serving, func() { close(ready) }) }()
	defer stop()
	select {
	case err := <-served:
		return err
	case <-ready:
	}

	t := &tour{
		out:    &shared{w: o.Out},
		folder: folder,
		url:    "http://" + a.Addr(),
		admin:  "http://" + a.AdminAddr(),
		server: o.GameServer,
	}
	t.api = gamelift.New(gamelift.Options{
		BaseEndpoint: &t.url,
		Region:       o.Config.Region,
		Credentials:  aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("demo", "demo", "")),
	})
	err = t.run(ctx)
	if err == nil && o.Keep {
		t.instructions(o.Config)
		<-ctx.Done()
	}
	t.endGames()
	stop()
	return errors.Join(err, <-served)
}

// tour is the demonstration under way.
type tour struct {
	out                io.Writer
	folder, url, admin string
	server             string // the game server's program
	api                *gamelift.Client

	steps   int
	fleet   string
	session string // the game session
	address string // where its players connect
	games   []*game
	players []*player
}

func (t *tour) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{t.host, t.play, t.expire, t.read, t.end} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *tour) step(format string, args ...any) {
	t.steps++
	_, _ = fmt.Fprintf(t.out, "\n%d. %s\n", t.steps, fmt.Sprintf(format, args...))
}

func (t *tour) say(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, "   "+format+"\n", args...)
}

// advance turns the server's clock.
func (t *tour) advance(ctx context.Context, d time.Duration) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.admin+"/clock/advance?d="+d.String(), http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return fmt.Errorf("POST /clock/advance: %s: %s", answer.Status, text)
	}
	return nil
}

// eventually repeats f until it returns true or an error, or patience is out.
func eventually(ctx context.Context, what string, f func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		done, err := f(ctx)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s: not within %v: %w", what, patience, errors.Join(err, ctx.Err()))
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case done:
			return nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (t *tour) instructions(c config.Config) {
	_, _ = fmt.Fprintf(t.out, `
The server stays up at %[1]s (Ctrl-C ends it). In another terminal:

   export AWS_ENDPOINT_URL_GAMELIFT=%[1]s AWS_REGION=%[2]s AWS_DEFAULT_REGION=%[2]s
   export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any

   aws gamelift describe-player-sessions --player-id dora
   aws gamelift describe-game-sessions --fleet-id %[3]s
   python3 -c 'import boto3; [print(page["PlayerSessions"]) for page in boto3.client("gamelift").get_paginator(
     "describe_player_sessions").paginate(PlayerId="dora", PaginationConfig={"PageSize": 1, "MaxItems": 2})]'

   curl -X POST '%[4]s/clock/advance?d=720h'     # its clock stands still until it is turned

A game server waits for a game session of your own:

   aws gamelift create-game-session --fleet-id %[3]s --location %[5]s --maximum-player-session-count 8
`, t.url, c.Region, t.fleet, t.admin, location)
}

// shared is a writer that the game servers' events and the tour write to in turns.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// lines calls f with each line of r.
func lines(r io.Reader, f func(string)) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		f(s.Text())
	}
}
