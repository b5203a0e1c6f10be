package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/hostmsg"
)

// sigV4 is the value of Authorization of a query that is signed instead (1.3).
const sigV4 = "SigV4"

// ServeHTTP takes a server process in, or AWS's agent of a compute, which names no process:
// any GET with Upgrade: websocket, on any path but that of our own agents. It answers 101, or a plain status and a line of text that says why not.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.init()
	if r.URL.Path == hostmsg.Path {
		s.serveHost(w, r)
		return
	}
	if isAgent(r) {
		s.serveAgent(w, r)
		return
	}
	patience := handshakeTime
	if r.URL.Query().Get("sdkLanguage") == "CSharp" {
		patience = quickHandshakeTime
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	p, err := s.admit(ctx, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	k := &socket{server: s}
	k.heard.Store(time.Now().UnixNano())
	if err := k.upgrade(w, r); err != nil {
		s.counts.refused.Add(1)
		s.disconnect(p.Key, p.Dial)
		return
	}
	if !s.arrived(p, k) {
		s.disconnect(p.Key, p.Dial)
		_, _ = k.conn.Write(closeFrame(statusServiceRestart, "the server restarts"))
		_ = k.conn.Close()
		return
	}
	s.counts.accepted.Add(1)
	// The request's goroutine, its stack and its buffers end here.
	go k.serve()
}

// admit decides whether a dial is let in, and whose it is.
func (s *Server) admit(ctx context.Context, r *http.Request) (compute.Process, error) {
	if s.isClosing() {
		return compute.Process{}, &refusal{http.StatusServiceUnavailable, "the server restarts"}
	}
	if err := checkUpgrade(r); err != nil {
		return compute.Process{}, err
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return compute.Process{}, &refusal{http.StatusBadRequest, err.Error()}
	}
	d, err := s.dialOf(ctx, q)
	if err != nil {
		return compute.Process{}, err
	}
	p, err := s.Computes.Connect(ctx, d)
	if e, ok := errors.AsType[*compute.Refused](err); ok && e.Status == http.StatusForbidden && q.Get("Authorization") == sigV4 && !d.Trusted {
		return p, &refusal{http.StatusForbidden, "X-Amz-Date: too far from now, and no live process dialled with this signature"}
	}
	return p, err
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// refusal is a handshake's answer other than 101.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

// checkUpgrade refuses what could not be upgraded, before it changes anything.
func checkUpgrade(r *http.Request) error {
	switch {
	case r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		return &refusal{http.StatusUpgradeRequired, "a WebSocket handshake is expected here"}
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return &refusal{http.StatusUpgradeRequired, "Sec-WebSocket-Version: only 13 is spoken here"}
	case len(r.Header.Get("Sec-Websocket-Key")) != 24:
		return &refusal{http.StatusBadRequest, "Sec-WebSocket-Key: 16 bytes in base64 are expected"}
	case r.Header.Get("Origin") != "":
		// No SDK sends one (1.1). Web pages do, and must not reach a server on the loopback.
		return &refusal{http.StatusForbidden, "Origin: browsers are not game servers"}
	}
	return nil
}

// parseQuery splits a query. Unlike net/url it leaves a plus alone, since C++ and C# do not
// encode what they send (1.2), and refuses a key that stands there twice.
func parseQuery(raw string) (url.Values, error) {
	q := url.Values{}
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, err := url.PathUnescape(k)
		if err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		value, err := url.PathUnescape(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if _, twice := q[key]; twice {
			return nil, fmt.Errorf("%s: given twice", key)
		}
		q[key] = []string{value}
	}
	return q, nil
}

// dialOf reads a query and checks what proves it, except tokens, which the room checks.
func (s *Server) dialOf(ctx context.Context, q url.Values) (compute.Dial, error) {
	d := compute.Dial{
		ProcessID:        q.Get("pID"),
		Compute:          arn.ComputeName(q.Get("ComputeId")),
		Fleet:            arn.FleetID(q.Get("FleetId")),
		AuthToken:        q.Get("Authorization"),
		IdempotencyToken: q.Get("IdempotencyToken"),
		SDKVersion:       q.Get("sdkVersion"),
		SDKLanguage:      q.Get("sdkLanguage"),
	}
	switch {
	case d.ProcessID == "":
		return d, &refusal{http.StatusBadRequest, "pID: missing"}
	case d.Fleet == "":
		return d, &refusal{http.StatusBadRequest, "FleetId: missing"}
	case d.Compute == "":
		return d, &refusal{http.StatusBadRequest, "ComputeId: missing"}
	case d.AuthToken == "" && s.Dev:
		d.Trusted = true
	case d.AuthToken == "":
		return d, &refusal{http.StatusUnauthorized, "Authorization: missing; get a token with GetComputeAuthToken, or sign with SigV4"}
	case strings.Contains(d.AuthToken, " "):
		return d, &refusal{http.StatusForbidden, "Authorization: not a token"}
	case d.AuthToken == sigV4:
		return s.signed(ctx, d, q)
	}
	return d, nil
}

// signed lets a signed dial in. The SDK signs once and reconnects with the same query for as
// long as the process lives (1.3). So the room keeps the signature like a token: an old one
// is good for the live process that dialled with it last.
func (s *Server) signed(ctx context.Context, d compute.Dial, q url.Values) (compute.Dial, error) {
	if s.VerifySigV4 == nil {
		return d, &refusal{http.StatusUnauthorized, "Authorization: SigV4 is not offered; get a token with GetComputeAuthToken"}
	}
	at, err := s.VerifySigV4(ctx, q)
	if err != nil {
		return d, &refusal{http.StatusForbidden, "X-Amz-Signature: " + err.Error()}
	}
	d.AuthToken = "SigV4 " + q.Get("X-Amz-Signature") // no token has a space
	d.Trusted = time.Since(at).Abs() <= signedTime
	return d, nil
}

// upgrade takes the connection over from the HTTP server and answers 101.
func (k *socket) upgrade(w http.ResponseWriter, r *http.Request) error {
	conn, rw, _, err := ws.HTTPUpgrader{Timeout: handshakeTime}.Upgrade(r, w)
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return err
	}
	k.conn = conn
	if n := rw.Reader.Buffered(); n > 0 { // it did not wait for the answer
		ahead, _ := rw.Peek(n)
		k.ahead = append([]byte(nil), ahead...)
	}
	return nil
}

// refuse answers a dial that is not let in.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.counts.refused.Add(1)
	status, reason := http.StatusInternalServerError, "internal error; the server's log has it"
	if e, ok := errors.AsType[*refusal](err); ok {
		status, reason = e.status, e.reason
	} else if e, ok := errors.AsType[*compute.Refused](err); ok {
		status, reason = e.Status, e.Reason
	} else if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorFault() == smithy.FaultClient {
		status, reason = statusOf(e), e.ErrorMessage()
	} else if errors.Is(err, context.DeadlineExceeded) {
		status, reason = http.StatusServiceUnavailable, "the server is overloaded; try again"
	}
	query := r.URL.Query()
	s.Logger.LogAttrs(r.Context(), slog.LevelWarn, "process refused",
		slog.String("fleet_id", query.Get("FleetId")),
		slog.String("compute", query.Get("ComputeId")+query.Get("ComputeName")),
		slog.String("process_id", query.Get("pID")),
		slog.String("remote", r.RemoteAddr),
		slog.Int("status", status),
		slog.Any("error", err))
	if status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-Websocket-Version", "13")
	}
	w.Header().Set("Connection", "close")
	http.Error(w, reason, status)
}
