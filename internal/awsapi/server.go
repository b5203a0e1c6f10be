// Package awsapi is the edge that speaks the Amazon GameLift Servers API: it routes,
// authenticates, decodes and checks a request, calls the operation's function, and encodes
// its answer or its error, in AWS JSON 1.1 and Smithy RPC v2 CBOR on one port
// (wire-protocol.md). It knows no room but access, for who may call: operations are handed to it
// as functions.
package awsapi

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/awsapi/codec"
	"github.com/matchyard/matchyard/internal/model"
	"github.com/matchyard/matchyard/internal/trace"
)

// Server answers API requests. It is made by a literal and safe for concurrent use; its
// fields are not changed after the first request. Time limits on headers, bodies and idle
// connections are the http.Server's.
type Server struct {
	Operations []Operation
	Auth       Auth             // needed
	Home       arn.Home         // of the ARNs in the audit log
	Logger     *slog.Logger     // nil: slog.Default
	Now        func() time.Time // measures durations; nil: time.Now

	// MaxBody is the size of the largest body that is read; 0 means 8 MiB, which holds the
	// 5,000,000 bytes of a script in base64.
	MaxBody int

	// Authorize, when set, is asked before each operation with its checked input. What it
	// returns is answered as if the operation had returned it.
	Authorize func(ctx context.Context, id Identity, op string, in any) error

	// Narrow, when set, is given each answer before it is sent, to take out what its caller may
	// not see, or to refuse it.
	Narrow func(ctx context.Context, id Identity, op string, in, out any) error

	// Audit, when set, is told of each request that changes something which lasts: not of
	// those that only look, and not of the sessions, players and tickets that come and go by
	// the thousand. It is told before the answer is sent, also of what was refused.
	Audit func(ctx context.Context, e access.Entry) error

	// Throttle, when set, refuses those who call too fast, once it is known who calls.
	Throttle *Throttle

	// Observe, when set, is told of each finished request: the operation ("" when
	// unknown), "json" or "cbor", "OK" or the error's code, and how long it took.
	Observe func(op, protocol, code string, d time.Duration)
	// Failed, when set, is told of each request that was answered with an error: the access key
	// it came with or claimed to, the operation ("" when unknown) and the error's code.
	Failed func(r *http.Request, key, op, code string)
	// Trace makes a span of each request; nil makes none.
	Trace *trace.Tracer

	once      sync.Once
	endpoints map[string]*endpoint
}

const defaultMaxBody = 8 << 20

func (s *Server) init() {
	if s.Auth == nil {
		panic("awsapi: Server without Auth")
	}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.MaxBody == 0 {
		s.MaxBody = defaultMaxBody
	}
	s.endpoints = make(map[string]*endpoint, len(s.Operations))
	for _, o := range s.Operations {
		s.endpoints[o.Name()] = &endpoint{Operation: o}
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.once.Do(s.init)
	if r.Method != http.MethodPost {
		if len(r.Header[targetHeader]) == 0 && len(r.Header[smithyName]) == 0 {
			servePlain(w, r)
			return
		}
		w.Header()["Allow"] = allowHeader // the call is refused by its route
	}
	c := &call{Context: r.Context(), server: s, r: r, start: s.Now(), requestID: newRequestID()}
	if s.Trace != nil {
		c.beginSpan()
	}
	in, out := getBuffer(), getBuffer()
	defer putBuffer(in)
	defer putBuffer(out)
	c.body = in
	c.answer = *out
	status := c.run()
	c.audit()
	*out = c.answer
	c.send(w, status)
	c.report()
	if c.span.On() {
		c.endSpan(status)
	}
}

// call is one request on its way through the server, and the context its operation gets. It
// is not used again, since who was handed a context may keep it.
type call struct {
	context.Context //nolint:containedctx // it is one

	server    *Server
	r         *http.Request
	start     time.Time
	requestID string
	protocol  codec.Protocol
	op        *endpoint // nil when unknown
	identity  Identity
	in        any // nil until it was read

	body    *[]byte
	bodyErr error
	read    bool   // the body has been read
	answer  []byte // the response's body
	span    trace.Span
	code    string // "OK" or the error's code

	idHeader, lengthHeader [1]string // what the response's headers point to
}

type callKey struct{}

// Value finds the call itself, for IdentityFrom and RequestIDFrom.
func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

const codeOK = "OK"

// run carries the request out, leaves the answer in c.answer, and returns its status. A
// panic of ours costs the one request.
func (c *call) run() (status int) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // a sentinel that is panicked, never wrapped
				panic(p)
			}
			status = c.fail(&panicError{value: p, stack: debug.Stack()})
		}
	}()
	if err := c.perform(); err != nil {
		return c.fail(err)
	}
	c.code = codeOK
	return http.StatusOK
}

type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

func (c *call) perform() error {
	name, err := c.route()
	if err != nil {
		return err
	}
	if c.op = c.server.endpoints[name]; c.op == nil {
		return unknownOperation(c.protocol)
	}
	if c.identity, err = c.server.Auth.Authenticate(c.r, c.readBody); err != nil {
		return err
	}
	if c.server.Throttle != nil {
		if err := c.server.Throttle.Take(c.identity.AccessKeyID, name); err != nil {
			return err
		}
	}
	body, err := c.readBody()
	if err != nil {
		return err
	}
	inPlan, outPlan := c.op.plans()
	in := c.op.makeIn()
	if err := inPlan.Decode(c.protocol, body, in); err != nil {
		return err
	}
	c.in = in
	if c.server.Authorize != nil {
		if err := c.server.Authorize(c, c.identity, name, in); err != nil {
			return err
		}
	}
	out, err := c.op.call(c, in)
	if err != nil {
		return err
	}
	if c.server.Narrow != nil {
		if err := c.server.Narrow(c, c.identity, name, in, out); err != nil {
			return err
		}
	}
	switch {
	case outPlan == nil && c.protocol == codec.JSON:
		c.answer = append(c.answer, "{}"...)
	case outPlan == nil: // CBOR has no body then, and no Content-Type
	case out == nil:
		return fmt.Errorf("%s returned neither an output nor an error", name)
	default:
		c.answer = outPlan.Append(c.answer, c.protocol, out)
	}
	return nil
}

// audit tells the audit log of a request that was read. That it cannot is said in the log:
// what the request did is done.
func (c *call) audit() {
	if c.server.Audit == nil || c.in == nil || c.op.facts.ReadOnly() || passing[c.op.Name()] {
		return
	}
	e := access.Entry{
		Key: c.identity.AccessKeyID, Name: c.identity.Name, Request: c.requestID, Operation: c.op.Name(), Outcome: c.code,
	}
	if c.identity.From.IsValid() {
		e.From = c.identity.From.String()
	}
	for _, names := range resources(c.server.Home, c.op.Name(), c.in) {
		e.Resources = append(e.Resources, names[0])
	}
	if err := c.server.Audit(context.WithoutCancel(c.r.Context()), e); err != nil {
		c.server.Logger.LogAttrs(c.r.Context(), slog.LevelError, "not in the audit log", slog.String("request_id", c.requestID), slog.Any("error", err))
	}
}

// passing are operations whose work comes and goes by the thousand.
var passing = map[string]bool{
	"CreatePlayerSession": true, "CreatePlayerSessions": true, "CreateGameSession": true, "UpdateGameSession": true,
	"StartGameSessionPlacement": true, "StopGameSessionPlacement": true,
	"StartMatchmaking": true, "StopMatchmaking": true, "AcceptMatch": true, "StartMatchBackfill": true,
	"ClaimGameServer": true, "RegisterGameServer": true, "UpdateGameServer": true, "DeregisterGameServer": true,
}

// Header values that are the same in every answer.
var (
	contentTypes  = [...][]string{codec.JSON: {"application/x-amz-json-1.1"}, codec.CBOR: {"application/cbor"}}
	smithyHeader  = []string{"rpc-v2-cbor"}
	closingHeader = []string{"close"}
	allowHeader   = []string{http.MethodPost}
)

// send writes the answer, never compressed: of the clients only Go's ask for gzip, and a page
// of 100 player sessions takes ten times as long to compress as to encode.
func (c *call) send(w http.ResponseWriter, status int) {
	h := w.Header()
	c.idHeader[0], c.lengthHeader[0] = c.requestID, strconv.Itoa(len(c.answer))
	h["x-amzn-RequestId"] = c.idHeader[:]
	h["Content-Length"] = c.lengthHeader[:]
	if len(c.answer) > 0 {
		h["Content-Type"] = contentTypes[c.protocol]
	}
	if c.protocol == codec.CBOR {
		h["Smithy-Protocol"] = smithyHeader
	}
	if c.bodyErr != nil { // what follows on the connection is the rest of the body
		h["Connection"] = closingHeader
	}
	w.WriteHeader(status)
	_, _ = w.Write(c.answer) // an error means that the client is gone
}

// report tells the log and the metrics how a request ended.
func (c *call) report() {
	name := ""
	if c.op != nil {
		name = c.op.Name()
	}
	if c.op != nil && !c.op.facts.ReadOnly() && c.server.Logger.Enabled(c.r.Context(), slog.LevelInfo) {
		c.server.Logger.LogAttrs(c.r.Context(), slog.LevelInfo, "request",
			slog.String("operation", name),
			slog.String("access_key", c.accessKey()),
			slog.String("request_id", c.requestID),
			slog.String("outcome", c.code))
	}
	if c.server.Observe != nil {
		c.server.Observe(name, c.protocol.String(), c.code, c.server.Now().Sub(c.start))
	}
	if c.server.Failed != nil && c.code != codeOK {
		c.server.Failed(c.r, c.accessKey(), name, c.code)
	}
}

// accessKey is the caller's, or what a refused request claimed to be, cut to the length that
// keys have at most.
func (c *call) accessKey() string {
	const longest = 128
	if id := c.identity.AccessKeyID; len(id) > longest {
		return id[:longest] + "…"
	}
	return c.identity.AccessKeyID
}

// newRequestID makes a version 4 UUID. It names a request in logs and is no secret.
func newRequestID() string {
	var raw [16]byte
	for i, n := 0, rand.Uint64(); i < 8; i++ {
		raw[i] = byte(n >> (8 * i))
	}
	for i, n := 8, rand.Uint64(); i < 16; i++ {
		raw[i] = byte(n >> (8 * (i - 8)))
	}
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], raw[0:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:], raw[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// servePlain answers what cannot be an API request, for people who look with a browser.
func servePlain(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "POST")
		status = http.StatusMethodNotAllowed
	case r.URL.Path != "/":
		status = http.StatusNotFound
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "Matchyard speaks the Amazon GameLift Servers API %s here: POST, AWS JSON 1.1 or Smithy RPC v2 CBOR.\n"+
		"Point an AWS client at this address, for example with AWS_ENDPOINT_URL_GAMELIFT.\n", model.APIVersion)
}
