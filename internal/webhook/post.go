package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/trace"
)

const (
	mostAnswer  = 64 << 10 // read of an answer, so that its connection can be used again
	keptAnswer  = 4 << 10  // looked at
	dialTimeout = 5 * time.Second
	userAgent   = "Matchyard"
)

// failure is a try that failed.
type failure struct {
	reason string
	// down says that the sink, and not the event, seems to be the reason; after distinct
	// events of that many it is taken for down. 0: the event is.
	down int
	// wait, when set, is how long nothing is sent, in place of the back-off.
	wait time.Duration
	// untried says that the event was not sent at all.
	untried bool
}

func (f *failure) Error() string { return f.reason }

// Whether a sink is down cannot be told from one slow or bad answer, which may be the
// event's; that nobody answers at all can.
const (
	unreachable = 1
	overloaded  = 8
)

// newClient is a client for one sink's URL. It follows no redirects, uses no proxy, and
// connects to nothing the sink may not reach.
func newClient(s Sink, resolver *net.Resolver) *http.Client {
	d := &net.Dialer{Timeout: min(s.Timeout, dialTimeout), Resolver: resolver}
	if !s.AllowPrivate {
		d.Control = guard
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            d.DialContext,
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConnsPerHost:    s.Concurrency,
			MaxConnsPerHost:        s.Concurrency,
			IdleConnTimeout:        90 * time.Second,
			DisableCompression:     true, // nothing is to be unpacked
			MaxResponseHeaderBytes: mostAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post sends a body and returns the beginning of the answer. Only a status of 2xx is no
// failure.
func post(ctx context.Context, c *http.Client, s Sink, h http.Header, body string) (answer []byte, err error) {
	ctx, span := trace.Child(ctx, http.MethodPost, trace.Client)
	defer func() {
		if err != nil {
			span.Fail("not delivered")
		}
		span.End()
	}()
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(body))
	if err != nil {
		return nil, &failure{reason: "url: not usable"}
	}
	r.Header = h
	h.Set("User-Agent", userAgent)
	trace.Inject(ctx, h)
	sign(h, s.secrets(), time.Now(), []byte(body))
	a, err := c.Do(r)
	if err != nil {
		return nil, unanswered(err)
	}
	defer a.Body.Close()
	span.Int("http.response.status_code", a.StatusCode)
	answer, err = io.ReadAll(io.LimitReader(a.Body, mostAnswer))
	switch {
	case a.StatusCode >= 300 && a.StatusCode < 400:
		return nil, &failure{reason: fmt.Sprintf("status %d: redirects are not followed", a.StatusCode)}
	case a.StatusCode == http.StatusTooManyRequests, a.StatusCode == http.StatusBadGateway,
		a.StatusCode == http.StatusServiceUnavailable, a.StatusCode == http.StatusGatewayTimeout:
		return nil, &failure{reason: fmt.Sprintf("status %d", a.StatusCode), down: overloaded}
	case a.StatusCode < 200 || a.StatusCode > 299:
		return nil, &failure{reason: fmt.Sprintf("status %d", a.StatusCode)}
	case err != nil: // it says that it has the event, and more that nobody will read
		return nil, nil
	}
	return answer[:min(len(answer), keptAnswer)], nil
}

// unanswered is why there is no answer, without the URL, which may hold secrets.
func unanswered(err error) *failure {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	f := &failure{reason: err.Error(), down: overloaded}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		f.down = unreachable
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok || errors.Is(err, syscall.ECONNREFUSED) {
		f.down = unreachable
	}
	if errors.Is(err, context.DeadlineExceeded) {
		f.reason = "no answer in time"
	}
	return f
}

// poster sends events as they are.
type poster struct {
	sink   Sink
	client *http.Client
}

func (p *poster) send(ctx context.Context, batch []event.Entry) []error {
	errs := make([]error, len(batch))
	for i, e := range batch {
		h := http.Header{}
		h.Set("Content-Type", "application/json")
		h.Set(headerID, e.ID)
		h.Set(headerOnce, e.ID)
		_, errs[i] = post(ctx, p.client, p.sink, h, e.Body)
	}
	return errs
}

func (p *poster) close() { p.client.CloseIdleConnections() }
