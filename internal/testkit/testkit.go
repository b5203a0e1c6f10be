// Package testkit starts a whole server inside a test, on either database, with a clock that
// the test moves, and gives the real Go SDK's client of it in either protocol. It knows what
// tests need and nothing that a server does.
package testkit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/model"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// Options are the choices of Start. The zero value is a development server on a fresh
// SQLite database, with a manual clock and a client that speaks CBOR.
type Options struct {
	Store string // database; "" means SQLite in a folder of the test
	JSON  bool   // the client speaks AWS JSON 1.1
	// Configure, when set, changes the configuration before the start.
	Configure func(*config.Config)
	// Key and Secret sign the client's requests; "" means a pair that only a development
	// server takes.
	Key, Secret string
}

// Server is a running server. It ends with its test, which fails when it does not end well.
type Server struct {
	App *app.App
	// URL is the address of the API, "http://…"; Admin that of the admin pages.
	URL, Admin string
	// Client is the SDK's client in the protocol of the options. It does not retry.
	Client *gamelift.Client

	t       testing.TB
	options Options
	stop    func()
}

// Each runs f against a fresh server on each of storetest.Databases and in each protocol.
func Each(t *testing.T, f func(t *testing.T, s *Server)) {
	t.Helper()
	for _, database := range storetest.Databases() {
		for _, protocol := range []string{"cbor", "json"} {
			t.Run(database+"/"+protocol, func(t *testing.T) {
				o := Options{JSON: protocol == "json"}
				if database == "postgres" {
					o.Store = storetest.PostgresURL(t)
				}
				f(t, Start(t, o))
			})
		}
	}
}

// Start starts a server on free ports of 127.0.0.1. What it logs, above its requests, is the
// test's log.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	c := config.Default()
	c.Dev, c.Clock, c.Listen, c.Admin, c.Version = true, config.Manual, "127.0.0.1:0", "127.0.0.1:0", "test"
	c.Store = o.Store
	if c.Store == "" {
		c.Data = t.TempDir()
	}
	c.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	if o.Configure != nil {
		o.Configure(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{App: a, URL: "http://" + a.Addr(), t: t, options: o}
	if a.AdminAddr() != "" {
		s.Admin = "http://" + a.AdminAddr()
	}
	s.Client = s.NewClient(o.JSON)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.Serve(ctx, func() { close(ready) }) }()
	<-ready
	s.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the server does not end")
		}
	})
	t.Cleanup(s.stop)
	return s
}

// Stop ends the server as SIGTERM would, before the test does, and returns when it has ended.
func (s *Server) Stop() { s.stop() }

// NewClient makes another client of the server. It signs as the options say and does not
// retry.
func (s *Server) NewClient(speakJSON bool, with ...func(*gamelift.Options)) *gamelift.Client {
	return s.ClientOf(cmp.Or(s.options.Key, "AKIDEXAMPLE"), cmp.Or(s.options.Secret, "secret"), speakJSON, with...)
}

// ClientOf is NewClient for another access key.
func (s *Server) ClientOf(key, secret string, speakJSON bool, with ...func(*gamelift.Options)) *gamelift.Client {
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, nil
	})
	o := gamelift.Options{
		BaseEndpoint: new(s.URL),
		Region:       "us-west-2",
		Credentials:  credentials,
		Retryer:      aws.NopRetryer{},
	}
	if speakJSON {
		o.HTTPClient = &inJSON{credentials: credentials, region: o.Region}
	}
	return gamelift.New(o, with...)
}

// Advance moves the clock by d, through the admin address as a script does, and returns when
// everything that fell due has run.
func (s *Server) Advance(d time.Duration) {
	s.t.Helper()
	status, body := s.do(http.MethodPost, s.Admin+"/clock/advance?d="+d.String(), nil, nil)
	if status != http.StatusOK {
		s.t.Fatalf("advance by %s: status %d: %s", d, status, body)
	}
}

// Call sends a JSON text as an operation's request, unsigned and as it is, and returns the
// status and the JSON of the answer.
func (s *Server) Call(operation, body string) (status int, answer map[string]any) {
	s.t.Helper()
	status, text := s.do(http.MethodPost, s.URL, http.Header{
		"Content-Type": {"application/x-amz-json-1.1"},
		"X-Amz-Target": {model.TargetPrefix + "." + operation},
	}, strings.NewReader(body))
	if err := json.Unmarshal(text, &answer); err != nil {
		s.t.Fatalf("%s: status %d, and no JSON: %q", operation, status, text)
	}
	return status, answer
}

// Get reads a page.
func (s *Server) Get(url string) (status int, body string) {
	s.t.Helper()
	status, text := s.do(http.MethodGet, url, nil, nil)
	return status, string(text)
}

func (s *Server) do(method, url string, h http.Header, body io.Reader) (int, []byte) {
	s.t.Helper()
	if body == nil {
		body = bytes.NewReader(nil)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, url, body)
	if err != nil {
		s.t.Fatal(err)
	}
	maps.Copy(r.Header, h)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, text
}
