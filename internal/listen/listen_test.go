package listen_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/listen"
)

// echo answers with the protocol, whether it came over TLS, and the length of the body.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	_, _ = fmt.Fprintf(w, "%s tls=%t body=%d err=%v", r.Proto, r.TLS != nil, n, err)
})

// serve runs a server on a free port until the test ends, and returns its address.
func serve(t *testing.T, h http.Handler, c *listen.Certificate, o listen.Options) (address string, l *listen.Listener) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.TLS = listen.TLS(c)
	l = listen.New(inner, o)
	s := listen.Server(h, o.TLS, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return inner.Addr().String(), l
}

func own(t *testing.T, dir string) *listen.Certificate {
	t.Helper()
	c, err := listen.Own(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trusting is a client that trusts the certificate in dir and nothing else, as one does that
// is told SSL_CERT_FILE.
func trusting(t *testing.T, dir string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "tls-cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in the file")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTLSAndPlainTextOnOnePort(t *testing.T) {
	dir := t.TempDir()
	address, _ := serve(t, echo, own(t, dir), listen.Options{})
	c := trusting(t, dir)
	_, port, _ := net.SplitHostPort(address)
	if got := get(t, c, "http://"+address); got != "HTTP/1.1 tls=false body=0 err=<nil>" {
		t.Errorf("plain: %s", got)
	}
	for _, host := range []string{address, "localhost:" + port} {
		if got := get(t, c, "https://"+host); got != "HTTP/2.0 tls=true body=0 err=<nil>" {
			t.Errorf("%s over TLS: %s", host, got)
		}
	}
	// Server SDKs in C++ speak TLS 1.2 without a look at the certificate, to any name.
	old, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: "game.example", MaxVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	if _, err := fmt.Fprintf(old, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(old); !strings.Contains(string(text), "HTTP/1.1 tls=true") {
		t.Errorf("TLS 1.2 without ALPN: %s", text)
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // to be refused
		t.Error("TLS 1.1 is taken")
	}
}

func TestSlowRequestsEnd(t *testing.T) {
	limits := listen.Server(echo, nil, slog.New(slog.DiscardHandler))
	if limits.ReadHeaderTimeout <= 0 || limits.ReadTimeout <= limits.ReadHeaderTimeout || limits.WriteTimeout <= limits.ReadTimeout || limits.IdleTimeout <= 0 {
		t.Errorf("limits: header %s, request %s, answer %s, idle %s", limits.ReadHeaderTimeout, limits.ReadTimeout, limits.WriteTimeout, limits.IdleTimeout)
	}
	// The same server with less patience.
	limits.ReadHeaderTimeout, limits.ReadTimeout, limits.IdleTimeout = 100*time.Millisecond, 300*time.Millisecond, 100*time.Millisecond
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = limits.Serve(listen.New(inner, listen.Options{TLS: listen.TLS(own(t, ""))})) }()
	t.Cleanup(func() { _ = limits.Close() })
	for name, text := range map[string]string{
		"header":     "POST / HTTP/1.1\r\nHost: x\r\nX-A",
		"body":       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
		"idle":       "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"first byte": "G",
		"handshake":  "\x16\x03",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays open")
			}
		})
	}
}

func TestSilentConnectionsEnd(t *testing.T) {
	address, _ := serve(t, echo, own(t, ""), listen.Options{FirstByte: 50 * time.Millisecond})
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("a silent connection: %d bytes, %v; want it to be closed", n, err)
	}
}

func TestTooManySilentConnectionsEndTheOldest(t *testing.T) {
	address, _ := serve(t, echo, own(t, ""), listen.Options{FirstByte: time.Minute, MaxSilent: 3})
	var silent []net.Conn
	for range 4 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		silent = append(silent, c)
	}
	_ = silent[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := silent[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest of four: %v, want it to be closed", err)
	}
	// The others are still listened to, and so is a new one.
	for _, c := range silent[2:] {
		if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Errorf("a connection that spoke late: %q, %v", line, err)
		}
	}
	if got := get(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+address); !strings.Contains(got, "tls=false") {
		t.Errorf("a new connection: %s", got)
	}
}

func TestCloseEndsWhoSaidNothing(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := listen.New(inner, listen.Options{TLS: listen.TLS(own(t, ""))})
	silent, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	spoke, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = spoke.Close() }()
	if _, err := spoke.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	kept, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	_ = silent.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the silent connection after Close: %v", err)
	}
	text := make([]byte, 5)
	if _, err := io.ReadFull(kept, text); err != nil || string(text) != "hello" {
		t.Errorf("the one handed out: %q, %v", text, err)
	}
	_ = kept.Close()
}

func TestAcceptingGoesOnAfterAPassingFailure(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := listen.New(&failing{Listener: inner, times: 3}, listen.Options{TLS: listen.TLS(own(t, ""))})
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err != nil {
		t.Errorf("after three failures: %v", err)
	}
}

// failing fails some times as accept does without free descriptors.
type failing struct {
	net.Listener
	times int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.times > 0 {
		f.times--
		return nil, passing{}
	}
	return f.Listener.Accept()
}

type passing struct{}

func (passing) Error() string   { return "too many open files" }
func (passing) Timeout() bool   { return false }
func (passing) Temporary() bool { return true }

func TestOwnCertificateIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	own(t, dir)
	first, err := os.ReadFile(filepath.Join(dir, "tls-cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	own(t, dir)
	if again, _ := os.ReadFile(filepath.Join(dir, "tls-cert.pem")); string(again) != string(first) {
		t.Error("the second start made another certificate")
	}
	info, err := os.Stat(filepath.Join(dir, "tls-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v", info.Mode())
	}
	// A new host is not in it: it is made again.
	if _, err := listen.Own(dir, []string{"games.example", "192.0.2.7"}); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls-cert.pem"), filepath.Join(dir, "tls-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "games.example", "192.0.2.7"} {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if years := time.Until(pair.Leaf.NotAfter).Hours() / 24 / 365; years < 9.9 {
		t.Errorf("it is good for %.1f years", years)
	}
	// Half a pair, as a crash between the two files leaves it.
	if err := os.Remove(filepath.Join(dir, "tls-key.pem")); err != nil {
		t.Fatal(err)
	}
	own(t, dir)
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls-cert.pem"), filepath.Join(dir, "tls-key.pem")); err != nil {
		t.Errorf("after the loss of the key: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.pem.*")); len(left) > 0 {
		t.Errorf("files left over: %v", left)
	}
}

func TestSplitSendsUpgradesToSockets(t *testing.T) {
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	address, _ := serve(t, listen.Split(says("api"), says("socket")), own(t, ""), listen.Options{})
	for _, c := range []struct{ method, upgrade, want string }{
		{"GET", "", "api"},
		{"GET", "websocket", "socket"},
		{"GET", "WebSocket", "socket"},
		{"GET", "h2c, websocket", "socket"},
		{"GET", "h2c", "api"},
		{"POST", "websocket", "api"},
	} {
		r, err := http.NewRequestWithContext(context.Background(), c.method, "http://"+address+"/any/path", nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.upgrade != "" {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", c.upgrade)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if string(text) != c.want {
			t.Errorf("%s with Upgrade %q: %s, want %s", c.method, c.upgrade, text, c.want)
		}
	}
}
