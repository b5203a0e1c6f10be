package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/config"
)

const (
	keyID    = "AKIABENCHBENCHBENCH2"
	secret   = "bench-secret-bench-secret-bench-secret-1"
	location = "custom-bench"
	slots    = 200
)

// env is a production server in this process, on a fresh database, with one Anywhere fleet.
type env struct {
	url      string // of the database
	folder   string
	address  string // of the API
	region   string
	api      *gamelift.Client
	fleet    string
	computes []registered
	stop     context.CancelFunc
	served   chan error
}

type registered struct{ name, token string }

// start opens the server on the database and waits until it answers.
func start(ctx context.Context, url, folder string) (*env, error) {
	c := config.Default()
	c.Listen, c.Admin, c.Store, c.Data = "127.0.0.1:0", config.Off, url, folder
	c.RootAccessKeyID, c.RootSecretAccessKey = keyID, secret
	c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := app.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	e := &env{url: url, folder: folder, address: a.Addr(), region: c.Region, served: make(chan error, 1)}
	serving, stop := context.WithCancel(ctx)
	e.stop = stop
	ready := make(chan struct{})
	go func() { e.served <- a.Serve(serving, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-e.served:
		stop()
		return nil, err
	}
	e.api = client(e.address, e.region)
	return e, nil
}

// close ends the server; the database stays.
func (e *env) close() error {
	e.stop()
	return <-e.served
}

// furnish makes the fleet and its computes.
func (e *env) furnish(ctx context.Context, computes int) error {
	if _, err := e.api.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new(location)}); err != nil {
		return err
	}
	out, err := e.api.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("bench"), ComputeType: types.ComputeTypeAnywhere,
		Locations: []types.LocationConfiguration{{Location: new(location)}},
	})
	if err != nil {
		return err
	}
	e.fleet = *out.FleetAttributes.FleetId
	for i := range computes {
		name := "host-" + strconv.Itoa(i)
		if _, err := e.api.RegisterCompute(ctx, &gamelift.RegisterComputeInput{
			FleetId: &e.fleet, ComputeName: &name, IpAddress: new("127.0.0.1"), Location: new(location),
		}); err != nil {
			return err
		}
		token, err := e.api.GetComputeAuthToken(ctx, &gamelift.GetComputeAuthTokenInput{FleetId: &e.fleet, ComputeName: &name})
		if err != nil {
			return err
		}
		e.computes = append(e.computes, registered{name, *token.AuthToken})
	}
	return nil
}

// caller makes requests of the root key.
func (e *env) caller() *caller { return newCaller(e.address, e.region, keyID, secret, time.Now()) }

// sessions makes n game sessions and waits until all are ACTIVE. It returns their ids and
// the game servers that host them.
func (e *env) sessions(ctx context.Context, n int) ([]string, *hosts, error) {
	pushed := make(chan push, n)
	hs, err := e.openHosts(ctx, n, pushed)
	if err != nil {
		return nil, nil, err
	}
	c, enc := e.caller(), encoderOf[gamelift.CreateGameSessionInput]("CreateGameSession")
	l := load{address: e.address, conns: 16, length: 5 * time.Minute, total: int64(n), next: func(b []byte, _ int64) []byte {
		return c.append(b, "CreateGameSession", enc.append(nil, &gamelift.CreateGameSessionInput{
			FleetId: &e.fleet, Location: new(location), MaximumPlayerSessionCount: new(int32(slots)),
		}))
	}}
	if _, err := l.run(ctx); err != nil {
		hs.close()
		return nil, nil, fmt.Errorf("make %d game sessions: %w", n, err)
	}
	ids := make([]string, 0, n)
	for range n {
		select {
		case p := <-pushed:
			ids = append(ids, p.session)
		case <-time.After(time.Minute):
			hs.close()
			return nil, nil, fmt.Errorf("%d of %d game sessions reached their game servers", len(ids), n)
		}
	}
	return ids, hs, e.allActive(ctx, n)
}

// allActive waits until the fleet's game sessions have been activated.
func (e *env) allActive(ctx context.Context, n int) error {
	for range 600 {
		out, err := e.api.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{
			FleetId: &e.fleet, StatusFilter: new(string(types.GameSessionStatusActivating)), Limit: new(int32(1)),
		})
		if err != nil {
			return err
		}
		if len(out.GameSessions) == 0 {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("some of %d game sessions are still ACTIVATING", n)
}

// scratch makes a folder for one benchmark's database.
func scratch() (folder string, remove func(), err error) {
	folder, err = os.MkdirTemp("", "matchyard-bench-")
	return folder, func() { _ = os.RemoveAll(folder) }, err
}

func sqliteURL(folder string) string { return "sqlite:" + filepath.Join(folder, "bench.db") }

// report prints a path's line.
func report(w io.Writer, name string, figure float64, unit string, baseline, ratio float64) {
	_, _ = fmt.Fprintf(w, "bench %s %s %s baseline=%s ratio=%.2f\n", name, number(figure), unit, number(baseline), ratio)
}

func number(f float64) string {
	if f >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}
