// Package matchyardtest runs a Matchyard server inside the tests of a program that uses
// Amazon GameLift Servers: no process to start, no port to choose, a clock that the test
// turns, and a client of the AWS SDK that talks to it.
//
//	func TestLobby(t *testing.T) {
//		server := matchyardtest.Start(t)
//		lobby := NewLobby(server.Client())
//		…
//		server.Advance(61 * time.Second) // reservations time out
//	}
package matchyardtest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/config"
)

// Region is the server's, as clients must have it.
const Region = "us-west-2"

// Server is a development server: it takes any credentials, its fleets are ACTIVE at once,
// and it forgets everything when the test ends.
type Server struct {
	// URL is the API's, for a client's BaseEndpoint or AWS_ENDPOINT_URL_GAMELIFT.
	URL string
	// WebSocketURL is what game servers give to InitSDK, or find in GAMELIFT_SDK_WEBSOCKET_URL.
	WebSocketURL string
	// AdminURL has /clock, /faults, /explain, /metrics and the console.
	AdminURL string

	t   testing.TB
	app *app.App
}

// Option changes how Start starts.
type Option func(*config.Config)

// RealClock lets the server's time pass by itself. Without it time stands still but for
// Advance, so that tests do not depend on how fast they run.
func RealClock() Option { return func(c *config.Config) { c.Clock = config.Real } }

// Reservation is how long a player session stays RESERVED, instead of a minute.
func Reservation(d time.Duration) Option {
	return func(c *config.Config) { c.ReservationTimeout = d }
}

// Log shows everything the server logs in the test's output, not only its warnings.
func Log() Option { return func(c *config.Config) { c.LogLevel = "debug" } }

// Start starts a server on free ports of 127.0.0.1. It ends with the test, which fails when
// the server cannot start or does not end well.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	c := config.Default()
	c.Dev, c.Clock, c.Listen, c.Admin, c.Beacon, c.Region, c.Version = true, config.Manual, "127.0.0.1:0", "127.0.0.1:0", config.Off, Region, "test"
	c.Ephemeral, c.LogLevel = true, "warn"
	for _, o := range options {
		o(&c)
	}
	level := slog.LevelWarn
	if c.LogLevel == "debug" {
		level = slog.LevelDebug
	}
	c.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
	if err := c.Validate(); err != nil {
		t.Fatalf("matchyardtest: %v", err)
	}
	a, err := app.Open(context.Background(), c)
	if err != nil {
		t.Fatalf("matchyardtest: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.Serve(ctx, sync.OnceFunc(func() { close(ready) })) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("matchyardtest: the server ended with %v", err)
	}
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("matchyardtest: the server ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("matchyardtest: the server does not end")
		}
	})
	return &Server{URL: "http://" + a.Addr(), WebSocketURL: a.Endpoint(), AdminURL: "http://" + a.AdminAddr(), t: t, app: a}
}

// Config is what any client of the AWS SDK for Go is made of, to talk to this server.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: aws.String(s.URL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "development", SecretAccessKey: "development"}, nil
		}),
	}
}

// Client is a client of the server. It repeats what fails, as in production.
func (s *Server) Client() *gamelift.Client { return gamelift.NewFromConfig(s.Config()) }

// Advance turns the clock on and returns when everything that fell due on the way has been
// done, each thing at its own time. With RealClock the test fails.
func (s *Server) Advance(d time.Duration) {
	s.t.Helper()
	if _, err := s.app.Advance(s.t.Context(), d); err != nil {
		s.t.Fatalf("matchyardtest: the clock cannot be turned by %s: %v", d, err)
	}
}
