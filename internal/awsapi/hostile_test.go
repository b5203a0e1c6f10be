package awsapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/model"
)

// TestEveryRequestIsAnsweredInItsProtocol: what cannot be routed is refused in the form the
// client reads, since any other breaks it (wire-protocol.md rule 7).
func TestEveryRequestIsAnsweredInItsProtocol(t *testing.T) {
	s := newRecorder(t)
	const jsonType, cborType = "application/x-amz-json-1.1", "application/cbor"
	type header = [2]string
	target, smithy := header{"X-Amz-Target", "GameLift.ListFleets"}, header{"Smithy-Protocol", "rpc-v2-cbor"}
	for _, c := range []struct {
		name, method, path string
		headers            []header
		status             int
		form               string // of the answer
	}{
		{"JSON on any path", "POST", "/gl/v1/", []header{target}, 200, jsonType},
		{"CBOR behind any prefix", "POST", "/gl/v1/service/GameLift/operation/ListFleets", []header{smithy}, 200, cborType},
		{"service with namespace", "POST", "/service/com.amazonaws.gamelift.GameLift/operation/ListFleets", []header{smithy}, 200, cborType},
		{"escaped path", "POST", "/service/GameLift/operation/List%46leets", []header{smithy}, 200, cborType},
		{"no header at all", "POST", "/", nil, 400, jsonType},
		{"unknown operation", "POST", "/", []header{{"X-Amz-Target", "GameLift.ListFleet"}}, 400, jsonType},
		{"operation in another case", "POST", "/", []header{{"X-Amz-Target", "GameLift.listFleets"}}, 400, jsonType},
		{"another service", "POST", "/", []header{{"X-Amz-Target", "DynamoDB_20120810.ListTables"}}, 400, jsonType},
		{"target without service", "POST", "/", []header{{"X-Amz-Target", "ListFleets"}}, 400, jsonType},
		{"target that goes on", "POST", "/", []header{{"X-Amz-Target", "GameLift.ListFleets.x"}}, 400, jsonType},
		{"empty target", "POST", "/", []header{{"X-Amz-Target", ""}}, 400, jsonType},
		{"two targets", "POST", "/", []header{target, target}, 400, jsonType},
		{"both protocols", "POST", "/service/GameLift/operation/ListFleets", []header{target, smithy}, 400, cborType},
		{"two smithy headers", "POST", "/service/GameLift/operation/ListFleets", []header{smithy, smithy}, 404, cborType},
		{"another smithy protocol", "POST", "/service/GameLift/operation/ListFleets", []header{{"Smithy-Protocol", "rpc-v2-json"}}, 404, cborType},
		{"smithy protocol in capitals", "POST", "/service/GameLift/operation/ListFleets", []header{{"Smithy-Protocol", "RPC-V2-CBOR"}}, 404, cborType},
		{"unknown operation in CBOR", "POST", "/service/GameLift/operation/ListFleet", []header{smithy}, 404, cborType},
		{"operation with namespace", "POST", "/service/GameLift/operation/com.amazonaws.gamelift.ListFleets", []header{smithy}, 404, cborType},
		{"another service in CBOR", "POST", "/service/XGameLift/operation/ListFleets", []header{smithy}, 404, cborType},
		{"path too short", "POST", "/GameLift/operation/ListFleets", []header{smithy}, 404, cborType},
		{"another word for service", "POST", "/services/GameLift/operation/ListFleets", []header{smithy}, 404, cborType},
		{"another word for operation", "POST", "/service/GameLift/operations/ListFleets", []header{smithy}, 404, cborType},
		{"path that goes on", "POST", "/service/GameLift/operation/ListFleets/", []header{smithy}, 404, cborType},
		{"no path", "POST", "/", []header{smithy}, 404, cborType},
		{"only the content type", "POST", "/service/GameLift/operation/ListFleets", []header{{"Content-Type", cborType}}, 404, cborType},
		{"JSON by GET", "GET", "/", []header{target}, 405, jsonType},
		{"JSON by OPTIONS", "OPTIONS", "/", []header{target}, 405, jsonType},
		{"CBOR by PUT", "PUT", "/service/GameLift/operation/ListFleets", []header{smithy}, 405, cborType},
		{"browser", "GET", "/", nil, 200, "text/plain; charset=utf-8"},
		{"browser's probe", "HEAD", "/", nil, 200, "text/plain; charset=utf-8"},
		{"browser, elsewhere", "GET", "/favicon.ico", nil, 404, "text/plain; charset=utf-8"},
		{"browser asks another site", "OPTIONS", "/", nil, 405, "text/plain; charset=utf-8"},
		{"no verb of ours", "DELETE", "/", nil, 405, "text/plain; charset=utf-8"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(""))
		for _, h := range c.headers {
			r.Header.Add(h[0], h[1])
		}
		w := serve(s, r)
		if got := w.Header().Get("Content-Type"); w.Code != c.status || got != c.form {
			t.Errorf("%s: got %d in %s, want %d in %s", c.name, w.Code, got, c.status, c.form)
			continue
		}
		if c.status == 405 && w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: Allow is %q", c.name, w.Header().Get("Allow"))
		}
		if got := w.Header().Get("Smithy-Protocol"); (got == "rpc-v2-cbor") != (c.form == cborType) {
			t.Errorf("%s: Smithy-Protocol is %q", c.name, got)
		}
		if c.status == 200 || strings.HasPrefix(c.form, "text") {
			continue
		}
		decode := protocols[0].decode
		if c.form == cborType {
			decode = protocols[1].decode
		}
		if e := readError(t, decode, w.Body.Bytes()); e.Type != "UnknownOperationException" || e.Message == "" || e.Message != e.Lower {
			t.Errorf("%s: got %+v", c.name, e)
		}
	}
}

// TestBodiesThatAreNotBodies are refused with a SerializationException, at once and without
// asking the operation.
func TestBodiesThatAreNotBodies(t *testing.T) {
	s := newRecorder(t)
	deep := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	huge := "\x9b\x00\x00\x00\xff\xff\xff\xff\xff" // a list of 2^40 - 1 elements
	for i, bodies := range [][]string{
		{ // JSON
			"x", "{", "}", "[", "[]", "null", "1", `"x"`, "{}{}", "{} x", "{},", `{"Limit"}`, `{"Limit":}`, `{"Limit":1,}`, `{,}`, `{"Limit" 1}`,
			`{"Limit":01}`, `{"Limit":1.0}`, `{"Limit":1e2}`, `{"Limit":-}`, `{"Limit":"1"}`, `{"Limit":true}`, `{"Limit":[1]}`, `{"Limit":{}}`,
			`{"Limit":2147483648}`, `{"Limit":99999999999999999999999}`, `{"Limit":NaN}`, `{"Limit":nul}`, `{"Limit":+1}`, `{"Limit":0x1}`,
			`{"BuildId":1}`, `{"BuildId":"` + "\x01" + `"}`, `{"BuildId":"` + "\n" + `"}`, `{"BuildId":"\x"}`, `{"BuildId":"\u12"}`, `{"BuildId":"\`, `{"BuildId":"build-` + "\xff" + `"}`,
			`{'BuildId':'x'}`, `{BuildId:"x"}`, `{"a":1 "b":2}`, "\ufeff{}", "{}\x00", `{"x":tru}`, `{"x":[1,]}`, `{"x":[}`, `{"x":{]}`,
			deep(`{"x":`, "1", "}", 65), deep(`{"x":`, "1", "}", 500000), `{"x":` + deep("[", "", "]", 500000) + "}", `{"x":` + strings.Repeat("[", 2000000),
			`{"\ud800":` + deep("[", "", "]", 64) + "}",
		},
		{ // CBOR
			"\xa1", "\xa0\xa0", "\xa0\x00", "\x80", "\xf6", "\x01", "\x60", "\xff", "\xbf", "\xbf\xff\xff", "\xa1\x65Limit", "\xa1\x65Limit\xff", "\xa1\x65Limit\x1c", "\xa1\x65Limit\x1f",
			"\xa1\x65Limit\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00", "\xa1\x65Limit\x1a\x80\x00\x00\x00", "\xa1\x65Limit\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "\xa1\x65Limit\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
			"\xa1\x65Limit\x611", "\xa1\x65Limit\xf5", "\xa1\x65Limit\xc1\x01\x01", "\xa1\x67BuildId\x41x", "\xa1\x67BuildId\x62\xff\xff", "\xa1\x67BuildId\x61", "\xa1\x67BuildId\x7f\x61x", "\xa1\x67BuildId\x7f\x41x\xff",
			"\xa1\x67BuildId\x7f\x7f\xff\xff", "\xa1\x67BuildId\x01", "\xa1\x01\x01", "\xa1\x41x\x01", "\xa1\xf6\x01", "\xbf\x65Limit\xff", "\xa1\x61x\xf8\x10", "\xa1\x61x\xff", "\xa1\x61x\xfc",
			"\xbb\x00\x00\x00\xff\xff\xff\xff\xff", "\xbb\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xa1\x61x\x9b\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "\xa1\x61x" + huge, "\xa1\x61x\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "\xa1\x61x\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
			"\xa1\x67BuildId\x7b\x00\x00\x00\xff\xff\xff\xff\xff", "\x7b\xff\xff\xff\xff\xff\xff\xff\xff", "\xa1\x61x" + strings.Repeat("\xc1", 100000),
			deep("\xa1\x61x", "\x01", "", 65), deep("\xa1\x61x", "\x01", "", 500000), "\xa1\x61x" + strings.Repeat("\x81", 500000) + "\x01", "\xa1\x61x" + strings.Repeat("\x9f", 2000000), "\xa1\x61x" + strings.Repeat("\xbf", 100),
		},
	} {
		p := protocols[i]
		for _, body := range bodies {
			s.name = ""
			start := time.Now()
			w := serve(s, p.request("ListFleets", []byte(body)))
			e := readError(t, p.decode, w.Body.Bytes())
			if w.Code != 400 || e.Type != "SerializationException" || !strings.HasPrefix(e.Message, "The request body could not be read") || len(e.Message) > 300 || s.name != "" {
				t.Errorf("%s %.60q: got %d %+v, want a SerializationException", p.name, body, w.Code, e)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("%s %.60q took %v", p.name, body, took)
			}
		}
	}
}

// TestTruncatedBodies cuts a valid body of every operation at every byte.
func TestTruncatedBodies(t *testing.T) {
	s := newRecorder(t)
	for _, o := range model.Operations {
		for _, p := range protocols {
			body := p.encode(t, sample(t, o.Input, true))
			step := max(1, len(body)/200) // the longest are cut in fewer places
			for n := 1; n < len(body); n += step {
				s.name = ""
				w := serve(s, p.request(o.Name, body[:n]))
				if e := readError(t, p.decode, w.Body.Bytes()); w.Code != 400 || e.Type != "SerializationException" || s.name != "" {
					t.Fatalf("%s in %s, cut at %d of %d: got %d %+v", o.Name, p.name, n, len(body), w.Code, e)
				}
			}
		}
	}
}

func TestEmptyBodyIsAnEmptyStructure(t *testing.T) {
	s := newRecorder(t)
	for _, p := range protocols {
		if w := serve(s, p.request("ListFleets", nil)); w.Code != 200 {
			t.Errorf("ListFleets in %s: %d %s", p.name, w.Code, w.Body)
		}
		w := serve(s, p.request("DeleteFleet", nil))
		const want = "1 validation error detected: Value null at 'fleetId' failed to satisfy constraint: Member must not be null"
		if e := readError(t, p.decode, w.Body.Bytes()); e.Type != "InvalidRequestException" || e.Message != want {
			t.Errorf("DeleteFleet in %s: got %+v", p.name, e)
		}
	}
}

// listening puts a server on the network, with http.Server's own limits.
func listening(t *testing.T, s http.Handler, limits func(*http.Server)) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(s)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if limits != nil {
		limits(srv.Config)
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

// send asks over the network and returns the answer with its body read.
func send(t *testing.T, url string, r *http.Request) (*http.Response, []byte) {
	t.Helper()
	to, err := http.NewRequestWithContext(t.Context(), r.Method, url+r.URL.Path, r.Body)
	if err != nil {
		t.Fatal(err)
	}
	to.Header, to.ContentLength = r.Header, r.ContentLength
	res, err := http.DefaultTransport.RoundTrip(to)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// zeros is a body of so many bytes that costs no memory.
type zeros struct{ left int }

func (z *zeros) Read(b []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), z.left)
	clear(b[:n])
	z.left -= n
	return n, nil
}

// TestTooLargeABody is refused in the protocol's form, with the connection closed, and costs
// no more memory than the limit.
func TestTooLargeABody(t *testing.T) {
	s := newRecorder(t)
	srv := listening(t, s, nil)
	for _, p := range protocols {
		for _, announced := range []bool{true, false} {
			r := p.request("CreateScript", nil)
			r.Body = io.NopCloser(&zeros{20 << 20})
			if r.ContentLength = -1; announced {
				r.ContentLength = 20 << 20
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			res, body := send(t, srv.URL, r)
			runtime.ReadMemStats(&after)
			e := readError(t, p.decode, body)
			if res.StatusCode != http.StatusRequestEntityTooLarge || e.Type != "RequestEntityTooLargeException" || e.Message != "The request body is larger than 8388608 bytes." || !res.Close {
				t.Errorf("%s, announced %v: got %d %+v, closed %v", p.name, announced, res.StatusCode, e, res.Close)
			}
			limit := uint64(48 << 20) // buffers that double up to the limit
			if announced {
				limit = 2 << 20
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > limit {
				t.Errorf("%s, announced %v: %d bytes were allocated", p.name, announced, grown)
			}
		}
	}
	// net/http closes by itself only what it does not want to read to its end.
	s.MaxBody = 100
	if w := serve(s, protocols[0].request("CreateScript", make([]byte, 101))); w.Code != http.StatusRequestEntityTooLarge || w.Header().Get("Connection") != "close" {
		t.Errorf("one byte too many: %d, Connection %q", w.Code, w.Header().Get("Connection"))
	}
}

// TestTheLargestBody there is, that of a script, arrives.
func TestTheLargestBody(t *testing.T) {
	s := newRecorder(t)
	srv := listening(t, s, nil)
	for _, p := range protocols {
		tree := sample(t, model.Find("CreateScript").Input, false).(map[string]any)
		tree["ZipFile"] = make([]byte, 5_000_000)
		res, body := send(t, srv.URL, p.request("CreateScript", p.encode(t, tree)))
		if in, ok := s.in.(*gamelift.CreateScriptInput); res.StatusCode != http.StatusOK || !ok || len(in.ZipFile) != 5_000_000 {
			t.Errorf("%s: a script of 5,000,000 bytes: %d %.200s", p.name, res.StatusCode, body)
		}
	}
}

// TestASlowBody meets the http.Server's limit and is told so in the protocol's form.
func TestASlowBody(t *testing.T) {
	s := newRecorder(t)
	srv := listening(t, s, func(h *http.Server) { h.ReadTimeout = 150 * time.Millisecond })
	for _, p := range protocols {
		r := p.request("ListFleets", nil)
		body, w := io.Pipe()
		t.Cleanup(func() { _ = w.Close() })
		go func() { _, _ = w.Write([]byte("{")) }()
		r.Body, r.ContentLength = body, 100
		res, answer := send(t, srv.URL, r)
		if e := readError(t, p.decode, answer); res.StatusCode != http.StatusBadRequest || e.Type != "RequestTimeoutException" || e.Message == "" || !res.Close {
			t.Errorf("%s: got %d %+v, closed %v", p.name, res.StatusCode, e, res.Close)
		}
	}
}

// TestABodyThatBreaksOff reaches no operation.
func TestABodyThatBreaksOff(t *testing.T) {
	codes := make(chan string, 1)
	s := newRecorder(t)
	s.Observe = func(_, _, code string, _ time.Duration) { codes <- code }
	srv := listening(t, s, nil)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: GameLift.ListFleets\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if code := <-codes; code != "IncompleteBodyException" || s.name != "" {
		t.Errorf("got %s, operation %q", code, s.name)
	}
}

// TestRequestsDoNotMix: buffers are used again, calls are not, and each of many concurrent
// requests gets its own answer out of its own input.
func TestRequestsDoNotMix(t *testing.T) {
	s := &awsapi.Server{
		Auth: awsapi.Anyone{}, Logger: quiet,
		Operations: []awsapi.Operation{
			awsapi.Op(func(ctx context.Context, in *gamelift.CreatePlayerSessionsInput) (*gamelift.CreatePlayerSessionsOutput, error) {
				out := &gamelift.CreatePlayerSessionsOutput{}
				for _, id := range in.PlayerIds {
					runtime.Gosched()
					out.PlayerSessions = append(out.PlayerSessions, types.PlayerSession{PlayerId: &id, PlayerData: new(in.PlayerDataMap[id] + awsapi.RequestIDFrom(ctx))})
				}
				return out, nil
			}),
		},
	}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for round := range 60 {
				p := protocols[(worker+round)%2]
				ids, data := []any{}, map[string]any{}
				for i := range 1 + (worker*round)%25 {
					id := fmt.Sprintf("player-%d-%d-%d", worker, round, i)
					ids, data[id] = append(ids, id), strings.Repeat(id, 1+round)
				}
				w := serve(s, p.request("CreatePlayerSessions", p.encode(t, map[string]any{"GameSessionId": "arn", "PlayerIds": ids, "PlayerDataMap": data})))
				var out struct{ PlayerSessions []map[string]string }
				if err := p.decode(w.Body.Bytes(), &out); err != nil || len(out.PlayerSessions) != len(ids) {
					t.Errorf("%v in %d %s", err, w.Code, w.Body)
					return
				}
				for i, got := range out.PlayerSessions {
					if id := ids[i].(string); got["PlayerId"] != id || got["PlayerData"] != data[id].(string)+requestID(w) {
						t.Errorf("%s got the answer of %v", id, got)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// FuzzServeHTTP: whatever comes, the answer is in the protocol of the request.
func FuzzServeHTTP(f *testing.F) {
	f.Add("POST", "/", "GameLift.ListFleets", "", "application/x-amz-json-1.1", []byte(`{"Limit":1}`))
	f.Add("POST", "/service/GameLift/operation/ListFleets", "", "rpc-v2-cbor", "application/cbor", []byte("\xa1\x65Limit\x01"))
	f.Add("PUT", "/x", "GameLift.CreateScript", "rpc-v2-cbor", "", []byte{0})
	s := newRecorder(f)
	f.Fuzz(func(t *testing.T, method, path, target, smithy, contentType string, body []byte) {
		r := &http.Request{
			Method: method, URL: &url.URL{Path: path}, Header: http.Header{},
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}
		for name, value := range map[string]string{"X-Amz-Target": target, "Smithy-Protocol": smithy, "Content-Type": contentType} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := serve(s, r)
		if method != http.MethodPost && target == "" && smithy == "" {
			return // for people
		}
		p, form := protocols[0], "application/x-amz-json-1.1"
		if smithy != "" || contentType == "application/cbor" && target == "" {
			p, form = protocols[1], "application/cbor"
		}
		if w.Code == http.StatusOK {
			if w.Body.Len() > 0 && w.Header().Get("Content-Type") != form {
				t.Fatalf("answered in %q, want %s", w.Header().Get("Content-Type"), form)
			}
			return
		}
		e := readError(t, p.decode, w.Body.Bytes())
		if w.Code < 400 || w.Code >= 500 || w.Header().Get("Content-Type") != form || e.Type == "" || e.Message == "" || e.Message != e.Lower || requestID(w) == "" {
			t.Fatalf("%d in %q: %+v", w.Code, w.Header().Get("Content-Type"), e)
		}
	})
}

// TestAClientThatGoesAway is no fault of ours: it is neither logged nor counted as one.
func TestAClientThatGoesAway(t *testing.T) {
	var log bytes.Buffer
	codes, started := make(chan string, 1), make(chan struct{})
	s := &awsapi.Server{
		Auth: awsapi.Anyone{}, Logger: slog.New(slog.NewJSONHandler(&log, nil)),
		Observe: func(_, _, code string, _ time.Duration) { codes <- code },
		Operations: awsapi.AllOperations(t, func(ctx context.Context, _ string, _ any) (any, error) {
			close(started)
			<-ctx.Done()
			return nil, fmt.Errorf("list fleets: %w", ctx.Err())
		}),
	}
	srv := listening(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "GameLift.ListFleets")
	go func() {
		<-started
		cancel()
	}()
	if res, err := http.DefaultTransport.RoundTrip(r); err == nil {
		res.Body.Close()
		t.Errorf("got %s", res.Status)
	}
	if code := <-codes; code != "RequestCanceledException" || log.Len() > 0 {
		t.Errorf("got %s, log %s", code, log.String())
	}
}

// TestAccessKeysAreLoggedInPart when they are longer than any there are: anybody may claim
// anything.
func TestAccessKeysAreLoggedInPart(t *testing.T) {
	var log bytes.Buffer
	s := newRecorder(t)
	s.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	s.err = errors.New("disk full")
	r := protocols[0].request("DeleteAlias", inJSON(t, map[string]any{"AliasId": "alias-1"}))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+strings.Repeat("K", 100000)+"/20261122/us-west-2/gamelift/aws4_request, x")
	serve(s, r)
	if log.Len() > 2000 || !strings.Contains(log.String(), `"access_key":"`+strings.Repeat("K", 128)+`…"`) {
		t.Errorf("%d bytes were logged: %.600s", log.Len(), log.String())
	}
}

// TestAPanicCostsOneRequest: it is answered, logged with its stack, and the next request on
// the same connection goes well.
func TestAPanicCostsOneRequest(t *testing.T) {
	var log bytes.Buffer
	trouble := map[string]func(){
		"a value":       func() { panic("s3cr3t") },
		"an error":      func() { panic(errors.New("s3cr3t")) },
		"a nil pointer": func() { var in *gamelift.ListFleetsInput; _ = *in.Limit },
		"half an answer": func() {
			panic(fmt.Errorf("s3cr3t: %w", http.ErrAbortHandler)) // wrapped: not the sentinel
		},
	}
	for name, panics := range trouble {
		s := &awsapi.Server{
			Auth: awsapi.Anyone{}, Logger: slog.New(slog.NewJSONHandler(&log, nil)),
			Operations: awsapi.AllOperations(t, func(context.Context, string, any) (any, error) { panics(); return nil, nil }),
		}
		srv := listening(t, s, nil)
		for _, p := range protocols {
			log.Reset()
			res, body := send(t, srv.URL, p.request("ListFleets", nil))
			e := readError(t, p.decode, body)
			if res.StatusCode != http.StatusInternalServerError || e.Type != "InternalServiceException" || strings.Contains(e.Message, "s3cr3t") || res.Close {
				t.Errorf("%s in %s: got %d %+v, closed %v", name, p.name, res.StatusCode, e, res.Close)
			}
			if !strings.Contains(log.String(), "hostile_test.go") {
				t.Errorf("%s in %s: no stack in the log: %s", name, p.name, log.String())
			}
		}
	}
}

// TestAbortHandler: an operation may close the connection without an answer, as net/http
// has it.
func TestAbortHandler(t *testing.T) {
	s := &awsapi.Server{
		Auth: awsapi.Anyone{}, Logger: quiet,
		Operations: awsapi.AllOperations(t, func(context.Context, string, any) (any, error) { panic(http.ErrAbortHandler) }),
	}
	srv := listening(t, s, nil)
	for _, p := range protocols {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+p.request("ListFleets", nil).URL.Path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = p.request("ListFleets", nil).Header
		if res, err := http.DefaultTransport.RoundTrip(r); err == nil {
			res.Body.Close()
			t.Errorf("%s: got %s", p.name, res.Status)
		}
	}
}

func TestAnOperationWithoutAnAnswer(t *testing.T) {
	s := &awsapi.Server{Auth: awsapi.Anyone{}, Logger: quiet, Operations: []awsapi.Operation{
		awsapi.Op(func(context.Context, *gamelift.ListFleetsInput) (*gamelift.ListFleetsOutput, error) { return nil, nil }),
	}}
	for _, p := range protocols {
		w := serve(s, p.request("ListFleets", nil))
		if e := readError(t, p.decode, w.Body.Bytes()); w.Code != 500 || e.Type != "InternalServiceException" {
			t.Errorf("%s: got %d %+v", p.name, w.Code, e)
		}
	}
}

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// TestHeaders of answers over the network, for good answers and bad ones.
func TestHeaders(t *testing.T) {
	var seen sync.Map
	s := &awsapi.Server{
		Auth: awsapi.Anyone{}, Logger: quiet,
		Now: func() time.Time { return time.Unix(4e9, 0) }, // a virtual clock is not the Date's
		Operations: awsapi.AllOperations(t, func(ctx context.Context, _ string, in any) (any, error) {
			seen.Store(awsapi.RequestIDFrom(ctx), in)
			return nil, nil
		}),
	}
	srv := listening(t, s, nil)
	ids := map[string]bool{}
	for _, p := range protocols {
		for op, want := range map[string]int{"ListFleets": 200, "DeleteFleet": 400, "Nonsense": 0, "DeleteAlias": 200} {
			r := p.request(op, nil)
			if op == "DeleteAlias" {
				r = p.request(op, p.encode(t, map[string]any{"AliasId": "alias-1"}))
			}
			r.Header.Set("Accept-Encoding", "gzip")
			res, body := send(t, srv.URL, r)
			if want != 0 && res.StatusCode != want {
				t.Errorf("%s in %s: status %d", op, p.name, res.StatusCode)
			}
			id := res.Header.Get("X-Amzn-Requestid")
			if !uuid4.MatchString(id) || ids[id] {
				t.Errorf("%s in %s: request id %q", op, p.name, id)
			}
			ids[id] = true
			if _, ok := seen.Load(id); ok != (want == 200) {
				t.Errorf("%s in %s: the operation saw another id than %s", op, p.name, id)
			}
			date, err := http.ParseTime(res.Header.Get("Date"))
			if err != nil || time.Since(date).Abs() > 5*time.Second {
				t.Errorf("%s in %s: Date %q", op, p.name, res.Header.Get("Date"))
			}
			if res.ContentLength != int64(len(body)) || res.Header.Get("Content-Encoding") != "" || res.Close {
				t.Errorf("%s in %s: Content-Length %d of %d bytes, Content-Encoding %q, closed %v",
					op, p.name, res.ContentLength, len(body), res.Header.Get("Content-Encoding"), res.Close)
			}
			if hasType := res.Header.Get("Content-Type") != ""; hasType != (len(body) > 0) {
				t.Errorf("%s in %s: %d bytes of type %q", op, p.name, len(body), res.Header.Get("Content-Type"))
			}
		}
	}
}

// TestRequestIDIsSpelledAsAWSDoes: the header has the spelling of the real service, on the wire.
func TestRequestIDIsSpelledAsAWSDoes(t *testing.T) {
	srv := listening(t, newRecorder(t), nil)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: GameLift.ListFleets\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	found := false
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		found = found || strings.HasPrefix(lines.Text(), "x-amzn-RequestId: ")
	}
	if !found {
		t.Error("no x-amzn-RequestId")
	}
}

// TestEveryWriteIsLogged: one line for each request that may change something, whether it
// went well, was refused or failed, with who sent it; none for reads.
func TestEveryWriteIsLogged(t *testing.T) {
	var log bytes.Buffer
	s := newRecorder(t)
	s.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	for i := range model.Operations {
		o := &model.Operations[i]
		body := inJSON(t, sample(t, o.Input, false))
		for outcome, err := range map[string]error{"OK": nil, "InvalidRequestException": newException("InvalidRequestException", "no"), "SerializationException": nil} {
			log.Reset()
			s.err = err
			if outcome == "SerializationException" {
				body = []byte("x")
			}
			r := protocols[0].request(o.Name, body)
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/WITH/SLASH/20261122/us-west-2/gamelift/aws4_request, SignedHeaders=host, Signature=00")
			w := serve(s, r)
			body = inJSON(t, sample(t, o.Input, false))
			if o.ReadOnly() {
				if log.Len() > 0 {
					t.Errorf("%s: %s", o.Name, log.String())
				}
				continue
			}
			var line map[string]any
			if err := json.Unmarshal(log.Bytes(), &line); err != nil {
				t.Errorf("%s: %v in %q", o.Name, err, log.String())
				continue
			}
			delete(line, "time")
			want := map[string]any{
				"level": "INFO", "msg": "request", "operation": o.Name, "access_key": "AKID/WITH/SLASH",
				"request_id": requestID(w), "outcome": outcome,
			}
			if fmt.Sprint(line) != fmt.Sprint(want) {
				t.Errorf("%s: logged %v, want %v", o.Name, line, want)
			}
		}
	}
}

// TestSensitiveValuesAreNotRepeated: what the model calls sensitive is neither in the log nor
// in what a refusal quotes, whatever else is wrong with a request.
func TestSensitiveValuesAreNotRepeated(t *testing.T) {
	const mark = "DEADBEEF.8badf00d"
	var log bytes.Buffer
	s := newRecorder(t)
	s.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	marked := 0
	for i := range model.Operations {
		o := &model.Operations[i]
		tree := mask(t, o.Input, sample(t, o.Input, true), mark, &marked)
		b := &breaker{t: t}
		b.breakAll(o.Input, tree, "", "", func(v any) any { return v })
		trees := []any{tree}
		for i, v := range b.found {
			if testing.Short() && i%8 != 0 {
				continue
			}
			trees = append(trees, v.tree)
		}
		for _, p := range protocols {
			for _, tree := range trees {
				for _, s.err = range []error{nil, errors.New("disk full")} {
					w := serve(s, p.request(o.Name, p.encode(t, tree)))
					if body := w.Body.String(); strings.Contains(body, mark) {
						t.Fatalf("%s in %s answers %.500s", o.Name, p.name, body)
					}
				}
			}
		}
	}
	if strings.Contains(log.String(), mark) || log.Len() == 0 {
		t.Error("a sensitive value is in the log")
	}
	if marked < 20 {
		t.Errorf("only %d sensitive values were tried", marked)
	}
}

// mask puts a mark in place of the sensitive strings of a tree.
func mask(t *testing.T, s *model.Shape, tree any, mark string, n *int) any {
	t.Helper()
	switch s.Kind {
	case model.Structure:
		m := tree.(map[string]any)
		for _, member := range s.Members {
			m[member.Name] = mask(t, member.Shape, m[member.Name], mark, n)
		}
	case model.List:
		list := tree.([]any)
		for i := range list {
			element := *s.Element
			element.Sensitive = element.Sensitive || s.Sensitive
			list[i] = mask(t, &element, list[i], mark, n)
		}
	case model.Map:
		m := tree.(map[string]any)
		for k := range m {
			m[k] = mask(t, s.Element, m[k], mark, n)
		}
	case model.String:
		if s.Sensitive && (s.Pattern == nil || s.Pattern.Match(mark)) {
			*n++
			return mark
		}
	}
	return tree
}

// TestEveryRequestIsObserved once, with the names metrics count by.
func TestEveryRequestIsObserved(t *testing.T) {
	var got []string
	s := newRecorder(t)
	s.Observe = func(op, protocol, code string, d time.Duration) {
		got = append(got, fmt.Sprintf("%s %s %s %v", op, protocol, code, d >= 0))
	}
	for _, p := range protocols {
		serve(s, p.request("ListFleets", nil))
		serve(s, p.request("DeleteFleet", nil))
		serve(s, p.request("Nonsense", nil))
	}
	want := []string{
		"ListFleets json OK true", "DeleteFleet json InvalidRequestException true", " json UnknownOperationException true",
		"ListFleets cbor OK true", "DeleteFleet cbor InvalidRequestException true", " cbor UnknownOperationException true",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
