package doctor_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/fxamacker/cbor/v2"

	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/doctor"
	"github.com/matchyard/matchyard/internal/testkit"
)

// visit is a doctor for a server, with an environment.
func visit(s *testkit.Server, env map[string]string) *doctor.Doctor {
	return &doctor.Doctor{
		URL: s.URL, Region: "us-west-2", API: s.Client, Env: func(name string) string { return env[name] },
		HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, Dial: (&net.Dialer{}).DialContext, Now: time.Now,
	}
}

// found are the results by check.
func found(t *testing.T, d *doctor.Doctor) (well bool, by map[string]doctor.Result) {
	t.Helper()
	by = map[string]doctor.Result{}
	well = d.Check(t.Context(), func(r doctor.Result) {
		by[r.Check] = r
		if (r.State == doctor.Wrong) != (r.Do != "") || r.Said == "" {
			t.Errorf("%+v: what is wrong, and nothing else, comes with what to do", r)
		}
	})
	return well, by
}

// wants fails unless a check ended so, and said so.
func wants(t *testing.T, by map[string]doctor.Result, check string, state doctor.State, said string) {
	t.Helper()
	if r := by[check]; r.State != state || !strings.Contains(r.Said+" -> "+r.Do, said) {
		t.Errorf("%s: %+v, want %s with %q", check, r, state, said)
	}
}

func TestAWellServer(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	ctx := t.Context()
	well, by := found(t, visit(s, nil))
	if !well {
		t.Error("an empty server is not well")
	}
	for _, check := range []string{"server", "clock", "websocket", "credentials"} {
		wants(t, by, check, doctor.OK, "")
	}
	for _, check := range []string{"region", "fleet", "computes", "games", "environment"} {
		wants(t, by, check, doctor.Skipped, "")
	}

	if _, err := s.Client.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: aws.String("custom-home")}); err != nil {
		t.Fatal(err)
	}
	d := visit(s, nil)
	d.Fleet = "arena"
	_, by = found(t, d)
	wants(t, by, "region", doctor.OK, "")
	wants(t, by, "fleet", doctor.Wrong, "nor any other")
	out, err := s.Client.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: aws.String("arena"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: aws.String("custom-home")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := *out.FleetAttributes.FleetId
	d = visit(s, nil)
	d.Fleet = "nobody"
	_, by = found(t, d)
	wants(t, by, "fleet", doctor.Wrong, "one of the 1 there are")
	d = visit(s, nil)
	d.Fleet = "arena"
	_, by = found(t, d)
	wants(t, by, "fleet", doctor.OK, "is ACTIVE (ANYWHERE)")
	wants(t, by, "computes", doctor.Wrong, "register-compute --fleet-id "+id)
	compute, err := s.Client.RegisterCompute(ctx, &gamelift.RegisterComputeInput{FleetId: &id, ComputeName: aws.String("box"), IpAddress: aws.String("127.0.0.1"), Location: aws.String("custom-home")})
	if err != nil {
		t.Fatal(err)
	}

	// A game server's environment: whole, and each thing wrong with it.
	env := map[string]string{
		"GAMELIFT_SDK_WEBSOCKET_URL": *compute.Compute.GameLiftServiceSdkEndpoint, "GAMELIFT_SDK_FLEET_ID": id,
		"GAMELIFT_SDK_HOST_ID": "box", "GAMELIFT_SDK_PROCESS_ID": "p", "GAMELIFT_SDK_AUTH_TOKEN": "x",
	}
	d = visit(s, env)
	if well, by = found(t, d); !well {
		t.Errorf("not well: %+v", by)
	}
	for _, check := range []string{"server", "clock", "websocket", "credentials", "region", "fleet", "computes", "environment"} {
		wants(t, by, check, doctor.OK, "")
	}
	for name, c := range map[string]struct{ value, said string }{
		"GAMELIFT_SDK_WEBSOCKET_URL": {"ws://127.0.0.1:1", "refused"},
		"GAMELIFT_SDK_HOST_ID":       {"other", "name of a compute"},
		"GAMELIFT_SDK_PROCESS_ID":    {"", "not set: GAMELIFT_SDK_PROCESS_ID"},
		"GAMELIFT_SDK_AUTH_TOKEN":    {"", "neither GAMELIFT_SDK_AUTH_TOKEN"},
		"GAMELIFT_REGION":            {"eu-west-1", "set GAMELIFT_REGION=us-west-2"},
	} {
		changed := maps.Clone(env)
		changed[name] = c.value
		well, by := found(t, visit(s, changed))
		wants(t, by, "environment", doctor.Wrong, c.said)
		if well {
			t.Errorf("%s=%s and all is well", name, c.value)
		}
	}
	d = visit(s, map[string]string{
		"GAMELIFT_SDK_WEBSOCKET_URL": env["GAMELIFT_SDK_WEBSOCKET_URL"], "GAMELIFT_SDK_FLEET_ID": "fleet-other",
		"GAMELIFT_SDK_HOST_ID": "box", "GAMELIFT_SDK_PROCESS_ID": "p", "GAMELIFT_SDK_AUTH_TOKEN": "x",
	})
	d.Fleet = "arena"
	_, by = found(t, d)
	wants(t, by, "environment", doctor.Wrong, "set GAMELIFT_SDK_FLEET_ID="+id)
	d = visit(s, map[string]string{"GAMELIFT_SDK_WEBSOCKET_URL": "http://x", "GAMELIFT_SDK_FLEET_ID": id, "GAMELIFT_SDK_HOST_ID": "box", "GAMELIFT_SDK_PROCESS_ID": "p", "GAMELIFT_SDK_AUTH_TOKEN": "x"})
	_, by = found(t, d)
	wants(t, by, "environment", doctor.Wrong, "not a ws or wss URL")

	// What the way to the hosts can do.
	d = visit(s, env)
	d.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route to host") }
	_, by = found(t, d)
	wants(t, by, "computes", doctor.Wrong, "compute box is told to dial "+env["GAMELIFT_SDK_WEBSOCKET_URL"]+": no route to host -> set the server's --advertise")

	// Clocks, either way.
	for off, said := range map[time.Duration]string{time.Hour: "1h0m0s ahead", -time.Hour: "1h0m0s behind"} {
		d = visit(s, nil)
		d.Now = func() time.Time { return time.Now().Add(off) }
		_, by = found(t, d)
		wants(t, by, "clock", doctor.Wrong, said)
	}
	d = visit(s, nil)
	d.Now = func() time.Time { return time.Now().Add(time.Minute) }
	_, by = found(t, d)
	wants(t, by, "clock", doctor.OK, "1m0s ahead")
}

// TestGamesAreKnockedAt: the address of a game session must be of a host that answers.
func TestGamesAreKnockedAt(t *testing.T) {
	games := fakeAPI(t, object{"IpAddress": "10.1.2.3", "Port": 7777, "Status": "ACTIVE"})
	for err, want := range map[error]doctor.State{
		context.DeadlineExceeded: doctor.Wrong,
		nil:                      doctor.OK,
		&net.OpError{Op: "dial", Err: errors.New("connection refused")}: doctor.OK,
		&net.OpError{Op: "dial", Err: errors.New("no route to host")}:   doctor.Wrong,
	} {
		d := &doctor.Doctor{
			URL: games, Region: "us-west-2", Fleet: "arena", Env: func(string) string { return "" }, HTTP: http.DefaultClient, Now: time.Now, API: clientOf(games),
			Dial: func(_ context.Context, _, at string) (net.Conn, error) {
				if at != "10.1.2.3:7777" {
					t.Errorf("dialed %s", at)
				}
				a, b := net.Pipe()
				_ = b.Close()
				return a, err
			},
		}
		_, by := found(t, d)
		if got := by["games"]; got.State != want {
			t.Errorf("%v: %+v, want %s", err, got, want)
		}
	}
}

type object map[string]any

// fakeAPI has one fleet with one game session.
func fakeAPI(t *testing.T, game object) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := object{}
		switch path.Base(r.URL.Path) {
		case "DescribeFleetAttributes":
			body = object{"FleetAttributes": []object{{"FleetId": "fleet-1", "Name": "arena", "Status": "ACTIVE", "ComputeType": "ANYWHERE"}}}
		case "DescribeGameSessions":
			body = object{"GameSessions": []object{game}}
		}
		text, err := cbor.Marshal(body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		w.Header().Set("Content-Type", "application/cbor")
		_, _ = w.Write(text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func clientOf(url string) *gamelift.Client {
	return gamelift.New(gamelift.Options{
		BaseEndpoint: &url, Region: "us-west-2", Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
}

func TestCredentialsAreRefused(t *testing.T) {
	s := testkit.Start(t, testkit.Options{Key: "MYROOTKEY", Secret: "a secret of my own making", Configure: func(c *config.Config) {
		c.Dev, c.RootAccessKeyID, c.RootSecretAccessKey, c.Clock = false, "MYROOTKEY", "a secret of my own making", config.Real
	}})
	well, by := found(t, visit(s, nil))
	if !well {
		t.Errorf("with the right key: %+v", by)
	}
	for _, c := range []struct{ key, secret, said string }{
		{"MYROOTKEY", "no", "set AWS_SECRET_ACCESS_KEY"},
		{"SOMEBODY", "no", "a key of this server"},
	} {
		d := visit(s, nil)
		d.API = s.ClientOf(c.key, c.secret, true)
		_, by := found(t, d)
		wants(t, by, "credentials", doctor.Wrong, c.said)
	}
}

func TestARegionThatIsAnother(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	if _, err := s.Client.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: aws.String("custom-home")}); err != nil {
		t.Fatal(err)
	}
	d := visit(s, nil)
	d.Region = "eu-west-1"
	_, by := found(t, d)
	wants(t, by, "region", doctor.Wrong, "set AWS_REGION=us-west-2")
}

func TestServersThatAreNone(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		_, _ = w.Write([]byte("a proxy"))
	}))
	defer plain.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer broken.Close()
	secret := httptest.NewTLSServer(http.NotFoundHandler())
	defer secret.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for url, want := range map[string]string{
		"nonsense": "give --server URL",
		"ftp://x":  "give --server URL",
		gone.URL:   "matchyard dev",
		broken.URL: "answers 502",
		secret.URL: "SSL_CERT_FILE",
		strings.Replace(plain.URL, "http:", "https:", 1): "use http:// instead",
		"http://nobody.invalid":                          "DNS",
	} {
		d := &doctor.Doctor{URL: url, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, Now: time.Now}
		if r := d.Server(t.Context()); r.State != doctor.Wrong || !strings.Contains(r.Said+r.Do, want) {
			t.Errorf("%s: %+v, want %s", url, r, want)
		}
	}
	d := &doctor.Doctor{URL: plain.URL, HTTP: http.DefaultClient, Now: time.Now}
	if r := d.Server(t.Context()); r.State != doctor.OK {
		t.Errorf("%+v", r)
	}
	if r := d.WebSocket(t.Context()); r.State != doctor.Wrong || !strings.Contains(r.Do, "proxy") {
		t.Errorf("a proxy without WebSocket: %+v", r)
	}
	if r := d.Clock(t.Context()); r.State != doctor.Skipped {
		t.Errorf("without a date: %+v", r)
	}
}
