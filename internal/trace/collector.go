package trace

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	tracesPath  = "/v1/traces"
	protobuf    = "application/x-protobuf"
	mostAnswer  = 64 << 10         // bytes of an answer that are read
	firstWait   = time.Second      // before a batch is sent again
	longestWait = 5 * time.Second  // the same, later
	sendTime    = 10 * time.Second // for a batch, with all tries
)

// collector sends spans by OTLP over HTTP, in protobuf. The SDK's own client does the same
// and brings gRPC along, and with it html/template, which keeps every method of the program
// in the binary: 13 MB. It implements otlptrace.Client.
type collector struct {
	url    string
	header http.Header
	gzip   bool
	time   time.Duration // for a batch, with all tries
	http   *http.Client
}

// newCollector is the client of the collector at an endpoint, or of the one that the
// environment names; all else is the environment's.
func newCollector(endpoint string) (*collector, error) {
	c := &collector{header: http.Header{}, time: sendTime}
	var errs []error
	named := "traces"
	if endpoint == "" {
		named = setting("ENDPOINT", func(text, name string) {
			if endpoint = text; strings.Contains(name, "_TRACES_") {
				c.url = text // as it is
			}
		})
	}
	if c.url == "" {
		c.url = whole(cmp.Or(endpoint, "http://localhost:4318"))
	}
	if u, err := url.Parse(c.url); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		errs = append(errs, fmt.Errorf("%s: not an http:// or https:// URL", named))
	}
	setting("HEADERS", func(text, name string) { errs = append(errs, c.readHeaders(name, text)) })
	setting("COMPRESSION", func(text, name string) {
		if c.gzip = text == "gzip"; !c.gzip && text != "none" {
			errs = append(errs, fmt.Errorf("%s: %q is neither gzip nor none", name, text))
		}
	})
	setting("TIMEOUT", func(text, name string) {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			errs = append(errs, fmt.Errorf("%s: %q is no number of milliseconds", name, text))
		}
		c.time = time.Duration(ms) * time.Millisecond
	})
	transport := http.DefaultTransport.(*http.Transport).Clone()
	var err error
	transport.TLSClientConfig, err = readTLS()
	c.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // headers may be secrets
	}
	return c, errors.Join(append(errs, err)...)
}

// setting calls f with a variable of the exporter, if it is there and not empty: that of
// traces, or that of all signals. It returns the variable's name.
func setting(of string, f func(text, name string)) string {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + of, "OTEL_EXPORTER_OTLP_" + of} {
		if text := os.Getenv(name); text != "" {
			f(text, name)
			return name
		}
	}
	return ""
}

// whole is the URL of a collector with the path of traces.
func whole(base string) string {
	base = strings.TrimSuffix(base, "/")
	if strings.HasSuffix(base, tracesPath) {
		return base
	}
	return base + tracesPath
}

// readHeaders reads "name=value,name=value", with values as in URLs. Errors do not show the
// text, which is a secret more often than not.
func (c *collector) readHeaders(name, text string) error {
	for item := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || key == "" {
			return fmt.Errorf("%s: not of the form name=value,name=value", name)
		}
		c.header.Set(strings.TrimSpace(key), value)
	}
	return nil
}

// readTLS reads whom to trust and who we are; nil is as usual.
func readTLS() (*tls.Config, error) {
	var c *tls.Config
	var errs []error
	setting("CERTIFICATE", func(file, name string) {
		text, err := os.ReadFile(file)
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(text) {
			err = errors.New("no certificate in " + file)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		c = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	})
	setting("CLIENT_CERTIFICATE", func(file, name string) {
		key := ""
		setting("CLIENT_KEY", func(file, _ string) { key = file })
		own, err := tls.LoadX509KeyPair(file, key)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		if c == nil {
			c = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		c.Certificates = []tls.Certificate{own}
	})
	return c, errors.Join(errs...)
}

// Start does nothing.
func (c *collector) Start(context.Context) error { return nil }

// Stop gives its connections back.
func (c *collector) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// refused is an answer that some spans of a batch are not taken.
type refused struct {
	spans  int64
	reason string
}

func (r *refused) Error() string { return fmt.Sprintf("%d spans refused: %s", r.spans, r.reason) }

// UploadTraces sends a batch, again and again where the collector may take it later. The
// error is *refused when it took a part.
func (c *collector) UploadTraces(ctx context.Context, spans []*wire.ResourceSpans) error {
	ctx, cancel := context.WithTimeout(ctx, c.time)
	defer cancel()
	// An ExportTraceServiceRequest has the form of TracesData, for that very reason.
	body, err := proto.Marshal(&wire.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	if c.gzip {
		body = zipped(body)
	}
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		later, err := c.post(ctx, body)
		if err == nil || later < 0 {
			return err
		}
		select {
		case <-time.After(max(wait, later)):
		case <-ctx.Done():
			return err
		}
	}
}

func zipped(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // memory takes everything
	_ = z.Close()
	return b.Bytes()
}

// post sends a batch once. With an error it returns how long to wait at least before it is
// sent again, which is less than 0 where that is no use.
func (c *collector) post(ctx context.Context, body []byte) (later time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	r.Header = c.header.Clone()
	r.Header.Set("Content-Type", protobuf)
	r.Header.Set("User-Agent", "Matchyard")
	if c.gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	a, err := c.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(a.Body, mostAnswer))
	switch {
	case a.StatusCode == http.StatusTooManyRequests, a.StatusCode == http.StatusBadGateway,
		a.StatusCode == http.StatusServiceUnavailable, a.StatusCode == http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(a.Header.Get("Retry-After")) // none is 0
		return time.Duration(max(0, seconds)) * time.Second, fmt.Errorf("status %d", a.StatusCode)
	case a.StatusCode < 200 || a.StatusCode > 299:
		return -1, fmt.Errorf("status %d", a.StatusCode)
	case err != nil: // it has taken them
		return 0, nil
	}
	if a.Header.Get("Content-Type") == protobuf {
		return -1, partly(answer)
	}
	return 0, nil
}

// partly is the error of an ExportTraceServiceResponse whose partial_success refuses spans.
func partly(answer []byte) error {
	var r refused
	each(answer, func(f field) {
		if f.number != 1 || f.kind != protowire.BytesType { // partial_success
			return
		}
		each(f.text, func(f field) {
			switch {
			case f.number == 1 && f.kind == protowire.VarintType: // rejected_spans
				r.spans = int64(f.value) //nolint:gosec // as it was sent
			case f.number == 2 && f.kind == protowire.BytesType: // error_message
				r.reason = string(f.text)
			}
		})
	})
	if r.spans <= 0 {
		return nil
	}
	return &r
}

// field is a field of a message: a text or a value, as its kind says.
type field struct {
	number protowire.Number
	kind   protowire.Type
	text   []byte
	value  uint64
}

// each calls f for the fields of a message, as far as it can be read.
func each(message []byte, f func(field)) {
	for len(message) > 0 {
		var one field
		var size int
		if one.number, one.kind, size = protowire.ConsumeTag(message); size < 0 {
			return
		}
		message = message[size:]
		switch one.kind {
		case protowire.BytesType:
			one.text, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			one.value, size = protowire.ConsumeVarint(message)
		default:
			size = protowire.ConsumeFieldValue(one.number, one.kind, message)
		}
		if size < 0 {
			return
		}
		f(one)
		message = message[size:]
	}
}
