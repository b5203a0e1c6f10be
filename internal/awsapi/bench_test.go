package awsapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"syscall"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/awsapi"
)

// noop is a small operation with a small answer, read-only so that nothing is logged.
func noop() *awsapi.Server {
	out := &gamelift.DescribePlayerSessionsOutput{PlayerSessions: []types.PlayerSession{{
		PlayerSessionId: new("psess-019b7ca9-8c88-7000-8162-6b26601c95a7"), PlayerId: new("player-1"), Status: types.PlayerSessionStatusActive,
	}}}
	return &awsapi.Server{Auth: awsapi.Anyone{}, Logger: quiet, Operations: []awsapi.Operation{
		awsapi.Op(func(context.Context, *gamelift.DescribePlayerSessionsInput) (*gamelift.DescribePlayerSessionsOutput, error) {
			return out, nil
		}),
	}}
}

const credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-west-2/gamelift/aws4_request, SignedHeaders=host, Signature=00"

func smallRequest(b *testing.B, i int) (*http.Request, []byte) {
	b.Helper()
	body := protocols[i].encode(b, map[string]any{"PlayerSessionId": "psess-019b7ca9-8c88-7000-8162-6b26601c95a7", "Limit": 1})
	r := protocols[i].request("DescribePlayerSessions", body)
	r.Header.Set("Authorization", credential)
	return r, body
}

// bare is what the smallest handler of net/http does with the same request.
var bare = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/cbor")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(append(body, "0123456789012345678901234567890123456789"...))
})

// discard is a ResponseWriter that costs next to nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkServeHTTP is the server alone, without a network.
func BenchmarkServeHTTP(b *testing.B) {
	for i, p := range protocols {
		b.Run(p.name, func(b *testing.B) {
			s, w := noop(), &discard{http.Header{}}
			r, body := smallRequest(b, i)
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(bytes.NewReader(body))
				s.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkOverTCP asks on 16 connections with a client that costs little, so that the times
// can be compared: a signed operation that does nothing should stay within 1.5 times the
// smallest handler of net/http.
func BenchmarkOverTCP(b *testing.B) {
	keys := startSigned(b, (*httptest.Server).Start)
	credentials := credentials(keys.create(b, "bench", "full"))
	signed := noop()
	signed.Auth, signed.Authorize = keys.signed, keys.signed.Authorize
	for i, p := range protocols {
		for _, c := range []struct {
			name string
			http.Handler
		}{{"bare", bare}, {"anyone", noop()}, {"signed", signed}} {
			b.Run(p.name+"/"+c.name, func(b *testing.B) {
				srv := httptest.NewServer(c)
				defer srv.Close()
				r, body := smallRequest(b, i)
				sum := sha256.Sum256(body)
				if err := v4.NewSigner().SignHTTP(b.Context(), credentials, r, hex.EncodeToString(sum[:]), "gamelift", "us-west-2", time.Now()); err != nil {
					b.Fatal(err)
				}
				var raw bytes.Buffer
				fmt.Fprintf(&raw, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.URL.Path, r.Host, len(body))
				_ = r.Header.Write(&raw)
				raw.WriteString("\r\n")
				raw.Write(body)
				b.ReportAllocs()
				b.SetParallelism(16 / runtime.GOMAXPROCS(0))
				start := processor(b)
				defer func() { b.ReportMetric(float64(processor(b)-start)/float64(b.N), "cpu-ns/op") }()
				b.RunParallel(func(pb *testing.PB) {
					var d net.Dialer
					conn, err := d.DialContext(b.Context(), "tcp", srv.Listener.Addr().String())
					if err != nil {
						b.Error(err)
						return
					}
					defer conn.Close()
					in := bufio.NewReader(conn)
					for pb.Next() {
						if _, err := conn.Write(raw.Bytes()); err != nil {
							b.Error(err)
							return
						}
						if err := readAnswer(in); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// processor is the time this process has spent computing, which other processes disturb less
// than they do the clock on the wall.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var (
	goodStatus    = []byte("HTTP/1.1 200 ")
	contentLength = []byte("Content-Length: ")
)

// readAnswer reads one good answer off a connection without making anything of it.
func readAnswer(in *bufio.Reader) error {
	if status, err := in.ReadSlice('\n'); err != nil || !bytes.HasPrefix(status, goodStatus) {
		return fmt.Errorf("%q, %w", status, err)
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if digits, ok := bytes.CutPrefix(line, contentLength); ok {
			for _, c := range bytes.TrimSpace(digits) {
				length = length*10 + int(c-'0')
			}
		}
		if len(line) == 2 {
			_, err := in.Discard(length)
			return err
		}
	}
}
