package app_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/fxamacker/cbor/v2"

	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/listen"
	"github.com/matchyard/matchyard/internal/testkit"
)

// post sends bytes as an operation's request, in JSON or CBOR, and returns the status and
// the error's type and text in that protocol.
func post(t *testing.T, url, protocol, operation string, body []byte) (status int, code, message string) {
	t.Helper()
	if protocol == "cbor" {
		url += "/service/GameLift/operation/" + operation
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if protocol == "cbor" {
		r.Header.Set("Content-Type", "application/cbor")
		r.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
	} else {
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "GameLift."+operation)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var fault map[string]string
	if protocol == "cbor" {
		if got := answer.Header.Get("Smithy-Protocol"); got != "rpc-v2-cbor" {
			t.Errorf("an answer with Smithy-Protocol %q", got)
		}
		err = cbor.Unmarshal(text, &fault)
	} else {
		err = jsonOf(text, &fault)
	}
	if err != nil {
		t.Errorf("an answer in another protocol: %v: %q", err, text)
	}
	if fault["Message"] != fault["message"] {
		t.Errorf("two texts: %q and %q", fault["Message"], fault["message"])
	}
	return answer.StatusCode, fault["__type"], fault["message"]
}

func TestMalformedRequestsAreAnsweredInTheirOwnProtocol(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	huge := append(append([]byte(`{"Name":"`), bytes.Repeat([]byte("x"), 20<<20)...), `"}`...)
	deepJSON := []byte(strings.Repeat(`{"a":`, 100_000))
	deepCBOR := bytes.Repeat([]byte{0x81}, 100_000)
	for _, c := range []struct {
		name, protocol, operation string
		body                      []byte
		status                    int
		code                      string
	}{
		{"cut off", "json", "CreateFleet", []byte(`{"Name":"x`), 400, "SerializationException"},
		{"cut off", "cbor", "CreateFleet", []byte{0xa1, 0x64, 'N', 'a'}, 400, "SerializationException"},
		{"a list", "json", "CreateFleet", []byte(`[]`), 400, "SerializationException"},
		{"a list", "cbor", "CreateFleet", []byte{0x80}, 400, "SerializationException"},
		{"a wrong type", "json", "CreateFleet", []byte(`{"Name":7}`), 400, "SerializationException"},
		{"a wrong type", "cbor", "CreateFleet", []byte{0xa1, 0x64, 'N', 'a', 'm', 'e', 0x07}, 400, "SerializationException"},
		{"the other protocol", "json", "ListFleets", []byte{0xa0}, 400, "SerializationException"},
		{"the other protocol", "cbor", "ListFleets", []byte(`{}`), 400, "SerializationException"},
		{"noise", "json", "ListFleets", []byte("\x00\xff\x13"), 400, "SerializationException"},
		{"noise", "cbor", "ListFleets", []byte{0xff, 0xff, 0x1c}, 400, "SerializationException"},
		{"deep", "json", "ListFleets", deepJSON, 400, "SerializationException"},
		{"deep", "cbor", "ListFleets", deepCBOR, 400, "SerializationException"},
		{"a promise of 4 GiB", "cbor", "ListFleets", []byte{0xa1, 0x7a, 0xff, 0xff, 0xff, 0xff, 'x'}, 400, "SerializationException"},
		{"twenty megabytes", "json", "CreateFleet", huge, 413, "RequestEntityTooLargeException"},
		{"twenty megabytes", "cbor", "CreateFleet", huge, 413, "RequestEntityTooLargeException"},
		{"no operation of that name", "json", "MakeCoffee", []byte(`{}`), 400, "UnknownOperationException"},
		{"no operation of that name", "cbor", "MakeCoffee", []byte{0xa0}, 404, "UnknownOperationException"},
		{"a required member is missing", "json", "CreateFleet", []byte(`{}`), 400, "InvalidRequestException"},
		{"a required member is missing", "cbor", "CreateFleet", []byte{0xa0}, 400, "InvalidRequestException"},
	} {
		t.Run(c.protocol+" "+c.name, func(t *testing.T) {
			status, code, message := post(t, s.URL, c.protocol, c.operation, c.body)
			if status != c.status || code != c.code || message == "" {
				t.Errorf("%d %s %q, want %d %s and a text", status, code, message, c.status, c.code)
			}
		})
	}
	// It still works.
	must[gamelift.ListFleetsOutput](t)(s.Client.ListFleets(t.Context(), &gamelift.ListFleetsInput{}))
}

func TestAPanicCostsOneRequest(t *testing.T) {
	api := &awsapi.Server{
		Auth: awsapi.Anyone{}, Logger: slog.New(slog.DiscardHandler),
		Operations: []awsapi.Operation{
			awsapi.Op(func(context.Context, *gamelift.ListFleetsInput) (*gamelift.ListFleetsOutput, error) { panic("oh no") }),
		},
	}
	server := httptest.NewServer(listen.Split(api, http.NotFoundHandler()))
	defer server.Close()
	for protocol, body := range map[string]string{"json": "{}", "cbor": "\xa0"} {
		for range 2 {
			status, code, message := post(t, server.URL, protocol, "ListFleets", []byte(body))
			if status != 500 || code != "InternalServiceException" || strings.Contains(message, "oh no") {
				t.Errorf("%s: %d %s %q", protocol, status, code, message)
			}
		}
	}
}

func TestTheDateIsTheWallClocksWhateverTheServersClock(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	s.Advance(1000 * time.Hour)
	answer, err := http.Post(s.URL, "application/x-amz-json-1.1", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil || time.Since(date).Abs() > time.Minute {
		t.Errorf("Date %q (%v)", answer.Header.Get("Date"), err)
	}
}

func TestClientsOverTLS(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true} //nolint:gosec // who signed it is not the question here
	defer transport.CloseIdleConnections()
	seen := &protocols{RoundTripper: transport}
	c := s.NewClient(false, func(o *gamelift.Options) {
		o.BaseEndpoint = new("https" + strings.TrimPrefix(s.URL, "http"))
		o.HTTPClient = &http.Client{Transport: seen}
	})
	must[gamelift.ListFleetsOutput](t)(c.ListFleets(t.Context(), &gamelift.ListFleetsInput{}))
	if seen.last != "HTTP/2.0" {
		t.Errorf("the SDK got %s over TLS, want HTTP/2.0", seen.last)
	}
}

type protocols struct {
	http.RoundTripper
	last string
}

func (p *protocols) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := p.RoundTripper.RoundTrip(r)
	if err == nil {
		p.last = answer.Proto
	}
	return answer, err
}

// half opens a connection and sends a request of which the last byte of the body is missing.
func half(t *testing.T, s *testkit.Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: GameLift.ListFleets\r\nContent-Length: 2\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c
}

func TestStoppingFinishesWhatIsUnderWay(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	under := half(t, s)
	silent, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	// The request has arrived when one that came after it is answered.
	must[gamelift.ListFleetsOutput](t)(s.Client.ListFleets(t.Context(), &gamelift.ListFleetsInput{}))

	start := time.Now()
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.Stop() }()
	_ = silent.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("a silent connection got an answer")
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://")); err == nil {
		_ = c.Close()
		t.Error("the server still accepts while it stops")
	}
	select {
	case <-stopped:
		t.Fatal("the server stopped while a request was under way")
	default:
	}
	if _, err := under.Write([]byte("}")); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(under), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the request under way: %v, %v", answer, err)
	}
	<-stopped
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("stopping took %s", d)
	}
}

func TestAPortInUseIsSaid(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	address := strings.TrimPrefix(s.URL, "http://")
	c := config.Default()
	c.Dev, c.Listen, c.Admin = true, address, config.Off
	if _, err := openApp(t, c); err == nil || !strings.HasPrefix(err.Error(), "listen: ") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v", err)
	}
	c.Listen, c.Admin = "127.0.0.1:0", address
	if _, err := openApp(t, c); err == nil || !strings.HasPrefix(err.Error(), "admin: ") {
		t.Errorf("error %v", err)
	}
}

func TestTheEndpointThatGameServersAreTold(t *testing.T) {
	for _, c := range []struct{ listen, advertise, want string }{
		{"127.0.0.1:0", "", "ws://127.0.0.1:PORT"},
		{"127.0.0.1:0", "games.example:443", "ws://games.example:443"},
		{"127.0.0.1:0", "wss://games.example/matchyard/", "wss://games.example/matchyard"},
		{"[::1]:0", "", "ws://[::1]:PORT"},
		{"0.0.0.0:0", "", "ws://" + hostname(t) + ":PORT"},
	} {
		k := config.Default()
		k.Dev, k.Public, k.Listen, k.Admin, k.Advertise = true, true, c.listen, config.Off, c.advertise
		if err := k.Validate(); err != nil {
			t.Fatal(err)
		}
		a, err := openApp(t, k)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(a.Addr())
		if _, err := strconv.Atoi(port); err != nil || port == "0" {
			t.Errorf("port %q", port)
		}
		if got, want := a.Endpoint(), strings.ReplaceAll(c.want, "PORT", port); got != want {
			t.Errorf("listen %s, advertise %q: %s, want %s", c.listen, c.advertise, got, want)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
