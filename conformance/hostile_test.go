package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// bad is a request that no client of AWS makes, and the code that answers it.
type bad struct {
	name   string
	header map[string]string
	path   string
	body   []byte
	code   string
	status int
}

const (
	targetList = "GameLift.ListFleets"
	pathList   = "/service/GameLift/operation/ListFleets"
)

func badRequests() (all []bad) {
	jsonTo := func(target string) map[string]string {
		return map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
	}
	cborHeader := map[string]string{"Content-Type": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor", "Accept": "application/cbor"}
	for _, body := range []string{
		"{", "[]", "nul", "null x", `"text"`, "7", `{"Limit":}`, `{"Limit":1}}`, `{"Limit":"1"}`, `{"Limit":1.5}`, `{"Limit":1e99}`, `{"Limit":99999999999}`,
		`{"Limit":true}`, `{"BuildId":7}`, `{"BuildId":["a"]}`, `{"BuildId":{}}`, "{\"BuildId\":\"a\nb\"}", `{"BuildId":"\x"}`, `{"Limit":01}`, `{'Limit':1}`, `{"Limit":1,}`,
		"\x00", "\xff\xfe", strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000), `{"x":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + "}",
	} {
		all = append(all, bad{"json " + cut(body), jsonTo(targetList), "/", []byte(body), "SerializationException", 400})
	}
	for _, body := range [][]byte{
		{0xff},
		{0x80},
		{0x01},
		{0x60},
		{0xf6, 0xf6},
		{0xa1},
		{0xa1, 0x65, 'L', 'i'},
		{0xbf},
		{0xbf, 0x65, 'L', 'i', 'm', 'i', 't'},
		append([]byte{0xa1, 0x65}, "Limit\x61x"...),          // a text for an integer
		append([]byte{0xa1, 0x65}, "Limit\xf5"...),           // a truth value for an integer
		append([]byte{0xa1, 0x67}, "BuildId\x07"...),         // an integer for a text
		append([]byte{0xa1, 0x67}, "BuildId\x42ab"...),       // bytes for a text
		append([]byte{0xa1, 0x67}, "BuildId\x62\xff\xfe"...), // a text that is not UTF-8
		append([]byte{0xa1, 0x65}, "Limit\x1b\xff\xff\xff\xff\xff\xff\xff\xff"...),
		{0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, // a map of 2^64-1 entries
		{0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, // a list of as many
		append([]byte{0xa1, 0x67}, "BuildId\x7b\x7f\xff\xff\xff\xff\xff\xff\xff"...),
		bytes.Repeat([]byte{0x81}, 100_000), bytes.Repeat([]byte{0x9f}, 100_000), bytes.Repeat([]byte{0xc1}, 100_000), bytes.Repeat([]byte{0xa1, 0x61, 'a'}, 50_000),
	} {
		all = append(all, bad{fmt.Sprintf("cbor %.20x", body), cborHeader, pathList, body, "SerializationException", 400})
	}
	return append(all,
		bad{"no operation", jsonTo("GameLift.Nonsense"), "/", []byte("{}"), "UnknownOperationException", 400},
		bad{"another service", jsonTo("DynamoDB_20120810.ListTables"), "/", []byte("{}"), "UnknownOperationException", 400},
		bad{"no target", map[string]string{"Content-Type": "application/x-amz-json-1.1"}, "/", []byte("{}"), "UnknownOperationException", 400},
		bad{"an empty target", jsonTo(""), "/", []byte("{}"), "UnknownOperationException", 400},
		bad{"a text", map[string]string{"Content-Type": "text/plain"}, "/", []byte("ListFleets"), "UnknownOperationException", 400},
		bad{"no operation in CBOR", cborHeader, "/service/GameLift/operation/Nonsense", []byte{0xa0}, "UnknownOperationException", 404},
		bad{"a short path in CBOR", cborHeader, "/operation/ListFleets", []byte{0xa0}, "UnknownOperationException", 404},
		bad{"another service in CBOR", cborHeader, "/service/Other/operation/ListFleets", []byte{0xa0}, "UnknownOperationException", 404},
		bad{"both protocols", map[string]string{"X-Amz-Target": targetList, "Smithy-Protocol": "rpc-v2-cbor"}, pathList, []byte{0xa0}, "UnknownOperationException", 400},
		bad{"20 MB of JSON", jsonTo(targetList), "/", bytes.Repeat([]byte(" "), 20<<20), "RequestEntityTooLargeException", 413},
		bad{"20 MB of CBOR", cborHeader, pathList, bytes.Repeat([]byte{0xa0}, 20<<20), "RequestEntityTooLargeException", 413},
	)
}

func cut(text string) string { return text[:min(len(text), 20)] }

// send makes a request as it stands and reads its error, in the protocol that was asked in.
func (b bad) send(t testing.TB, s *server) (code, message string, status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+b.path, bytes.NewReader(b.body))
	check(t, err)
	for name, value := range b.header {
		r.Header.Set(name, value)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-west-2/gamelift/aws4_request, SignedHeaders=host, Signature=00")
	answer, err := httpClient.Do(r)
	if err != nil {
		t.Errorf("%s: %v", b.name, err)
		return "", "", 0
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	check(t, err)
	said := map[string]string{}
	if answer.Header.Get("Content-Type") == "application/cbor" {
		if answer.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" {
			t.Errorf("%s: an answer in CBOR without its header", b.name)
		}
		value, err := cbor.Decode(body)
		check(t, err)
		for name, v := range value.(cbor.Map) {
			said[name] = string(v.(cbor.String))
		}
	} else {
		if err := json.Unmarshal(body, &said); err != nil {
			t.Errorf("%s: %s %.200q: %v", b.name, answer.Status, body, err)
			return "", "", answer.StatusCode
		}
	}
	if want := b.header["Content-Type"]; strings.HasPrefix(want, "application/x-amz") || want == "application/cbor" {
		if got := answer.Header.Get("Content-Type"); got != want {
			t.Errorf("%s: answered as %s", b.name, got)
		}
	}
	if said["message"] != said["Message"] || answer.Header.Get("x-amzn-RequestId") == "" {
		t.Errorf("%s: %v %v", b.name, said, answer.Header)
	}
	return said["__type"], said["message"], answer.StatusCode
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := dev(t, "sqlite")
	all := badRequests()
	for _, b := range all {
		code, message, status := b.send(t, s)
		if code != b.code || status != b.status || message == "" {
			t.Errorf("%s: got %d %s %q, want %d %s", b.name, status, code, message, b.status, b.code)
		}
	}
	t.Logf("%d requests", len(all))
	works(t, s)

	// Again and again: what they cost is given back.
	round := func(n int) {
		var workers sync.WaitGroup
		for w := range 4 {
			workers.Go(func() {
				for i := range n {
					if b := all[(w+i*4)%len(all)]; len(b.body) < 1<<20 || i%50 == 0 {
						b.send(t, s)
					}
				}
			})
		}
		workers.Wait()
	}
	n := 400
	if testing.Short() {
		n = 60
	}
	round(n)
	before := s.memory(t)
	round(n)
	round(n)
	after := s.memory(t)
	t.Logf("resident %d MiB, then %d MiB", before>>20, after>>20)
	if after > before+32<<20 {
		t.Errorf("memory grew from %d to %d bytes", before, after)
	}
	works(t, s)
}

// works checks that the server still serves, and soon.
func works(t testing.TB, s *server) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := sdk(s).ListFleets(ctx, nil); err != nil {
		t.Errorf("the server does not serve after %v: %v", time.Since(start), err)
	}
}

// goroutines is how many the server has.
func (s *server) goroutines(t testing.TB) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.admin+"/debug/pprof/goroutine?debug=1", http.NoBody)
	check(t, err)
	answer, err := httpClient.Do(r)
	check(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	check(t, err)
	m := regexp.MustCompile(`total (\d+)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no count of goroutines in %.200s", text)
	}
	n, err := strconv.Atoi(string(m[1]))
	check(t, err)
	return n
}

// Sockets that begin something and do not go on: they hold nobody up, and those that say
// nothing more are closed. What they cost is given back.
func TestHalfOpenAndSlowSockets(t *testing.T) {
	t.Parallel()
	s := dev(t, "sqlite")
	address := strings.TrimPrefix(s.url, "http://")
	works(t, s)
	goroutines, memory := s.goroutines(t), s.memory(t)

	beginnings := []string{
		"", "P", "POST / HTTP/1.1\r\nHost: x\r\n", "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: " + targetList + "\r\nContent-Length: 100\r\n\r\n{",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-Amz-Target: " + targetList + "\r\n\r\nffff\r\n",
		"\x16", "\x16\x03\x01\x02\x00\x01\x00", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 4000),
	}
	const each = 40
	var all []net.Conn
	for _, beginning := range beginnings {
		for range each {
			c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", address)
			check(t, err)
			all = append(all, c)
			if _, err := io.WriteString(c, beginning); err != nil {
				t.Errorf("%.20q: %v", beginning, err)
			}
		}
	}
	// Some drip: a byte of a header now and then.
	stop := make(chan struct{})
	var drips sync.WaitGroup
	for range each {
		c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", address)
		check(t, err)
		all = append(all, c)
		drips.Go(func() {
			if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nX-Slow: "); err != nil {
				return
			}
			for {
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Millisecond):
					if _, err := c.Write([]byte("a")); err != nil {
						return
					}
				}
			}
		})
	}
	for range 20 {
		works(t, s)
	}
	if grown := s.memory(t) - memory; grown > 64<<20 {
		t.Errorf("%d half-open sockets cost %d bytes", len(all), grown)
	}

	// A header is waited for 10 s, whether it does not come or comes slowly; a body for 60 s.
	if !testing.Short() {
		var closed, open int
		deadline := time.Now().Add(20 * time.Second)
		for i, c := range all {
			if kind := i / each; kind == 3 || kind == 4 { // in the body
				continue
			}
			_ = c.SetReadDeadline(deadline)
			_, err := io.Copy(io.Discard, c)
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
				open++
			} else {
				closed++
			}
		}
		if open > 0 {
			t.Errorf("after 20 s %d of %d silent sockets are open", open, open+closed)
		}
	}
	close(stop)
	for _, c := range all {
		_ = c.Close()
	}
	drips.Wait()
	httpClient.CloseIdleConnections()
	eventually(t, "the goroutines of the sockets have ended", func() bool { return s.goroutines(t) < goroutines+20 })
	works(t, s)
}

// Bytes without sense, in the clear and under TLS.
func TestNoise(t *testing.T) {
	t.Parallel()
	s := dev(t, "sqlite")
	address := strings.TrimPrefix(s.url, "http://")
	works(t, s)
	goroutines := s.goroutines(t)
	random := rand.New(rand.NewPCG(7, 4)) //nolint:gosec // a repeatable test
	starts := []string{
		"", "POST / HTTP/1.1\r\n", "POST " + pathList + " HTTP/1.1\r\nHost: x\r\nSmithy-Protocol: rpc-v2-cbor\r\nContent-Length: 60\r\n\r\n", "\x16\x03\x01",
		"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: " + targetList + "\r\nContent-Length: 60\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /?pID=p&sdkVersion=5.5.0&sdkLanguage=Go&ComputeId=c&FleetId=f&AuthToken=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
	}
	n := 1500
	if testing.Short() {
		n = 200
	}
	for i := range n {
		noise := make([]byte, 60+random.IntN(200))
		for at := range noise {
			noise[at] = byte(random.Uint32())
		}
		var c net.Conn
		var err error
		if i%3 == 0 {
			d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the server's own certificate
			c, err = d.DialContext(t.Context(), "tcp", address)
		} else {
			c, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		}
		check(t, err)
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(c, starts[i%len(starts)])
		_, _ = c.Write(noise)
		if i%7 == 0 {
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			_, _ = c.Read(make([]byte, 100))
		}
		_ = c.Close()
	}
	works(t, s)
	httpClient.CloseIdleConnections()
	eventually(t, "the goroutines of the sockets have ended", func() bool { return s.goroutines(t) < goroutines+20 })
}
