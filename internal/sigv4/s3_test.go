package sigv4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/matchyard/matchyard/internal/sigv4"
)

// The examples of "Authenticating Requests (AWS Signature Version 4)" in the S3 API
// reference.
const (
	s3Key    = "AKIAIOSFODNN7EXAMPLE"
	s3Secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var s3Time = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func s3Find(id, _ string) (sigv4.Key, error) {
	if id != s3Key {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return sigv4.Key{Secret: s3Secret}, nil
}

// example makes a request of "METHOD URL" and lines of headers.
func example(line string, headers ...string) *http.Request {
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, target, http.NoBody)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func authorized(signedHeaders, signature string) string {
	return "Authorization: AWS4-HMAC-SHA256 Credential=" + s3Key + "/20130524/us-east-1/s3/aws4_request,SignedHeaders=" + signedHeaders + ",Signature=" + signature
}

const (
	ofNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	presigned = "GET https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)

func s3Examples() map[string]*http.Request {
	return map[string]*http.Request{
		"get": example("GET http://examplebucket.s3.amazonaws.com/test.txt",
			authorized("host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
			"Range: bytes=0-9", "x-amz-content-sha256: "+ofNothing, "x-amz-date: 20130524T000000Z"),
		"put": example("PUT http://examplebucket.s3.amazonaws.com/test$file.text",
			authorized("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
			"Date: Fri, 24 May 2013 00:00:00 GMT", "x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY",
			"x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
		"lifecycle": example("GET http://examplebucket.s3.amazonaws.com/?lifecycle",
			authorized("host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
			"x-amz-date: 20130524T000000Z", "x-amz-content-sha256: "+ofNothing),
		"list": example("GET http://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
			authorized("host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
			"x-amz-date: 20130524T000000Z", "x-amz-content-sha256: "+ofNothing),
		"presigned": example(presigned),
	}
}

func TestS3Examples(t *testing.T) {
	v := &sigv4.Verifier{Services: []string{"s3"}}
	for name, r := range s3Examples() {
		signed, err := v.VerifyS3(r, s3Time, s3Find)
		if err != nil || signed.KeyID != s3Key {
			t.Errorf("%s: %+v, %v", name, signed, err)
		}
		// It does not go with anything else.
		for what, change := range map[string]func(r *http.Request){
			"method":  func(r *http.Request) { r.Method = "DELETE" },
			"path":    func(r *http.Request) { r.URL.Path += "x"; r.RequestURI = r.URL.RequestURI() },
			"query":   func(r *http.Request) { r.URL.RawQuery += "&acl" },
			"host":    func(r *http.Request) { r.Host = "other.s3.amazonaws.com" },
			"header":  func(r *http.Request) { r.Header.Set("X-Amz-Copy-Source", "/bucket/key") },
			"another": func(r *http.Request) { r.Header.Add("Authorization", "AWS4-HMAC-SHA256 x") },
		} {
			r := r.Clone(t.Context())
			change(r)
			if _, err := v.VerifyS3(r, s3Time, s3Find); err == nil {
				t.Errorf("%s with another %s is taken", name, what)
			}
		}
		if _, err := (&sigv4.Verifier{Services: []string{"gamelift"}}).VerifyS3(r, s3Time, s3Find); err == nil {
			t.Errorf("%s is taken for another service", name)
		}
		expect(t, name+" with an unknown key", sigv4.UnrecognizedClient, func() error {
			_, err := v.VerifyS3(r, s3Time, func(string, string) (sigv4.Key, error) { return sigv4.Key{}, sigv4.ErrUnknownKey })
			return err
		})
		expect(t, name+" a day late", sigv4.TimeSkewed, func() error {
			_, err := v.VerifyS3(r, s3Time.Add(24*time.Hour+time.Second), s3Find)
			return err
		})
		expect(t, name+" before its time", sigv4.TimeSkewed, func() error {
			_, err := v.VerifyS3(r, s3Time.Add(-16*time.Minute), s3Find)
			return err
		})
	}
	if _, err := v.VerifyS3(example(presigned), s3Time.Add(23*time.Hour), s3Find); err != nil {
		t.Errorf("a presigned request within its life: %v", err)
	}
	expect(t, "no signature", sigv4.MissingAuthenticationToken, func() error {
		_, err := v.VerifyS3(example("GET http://b.s3.amazonaws.com/"), s3Time, s3Find)
		return err
	})
}

func expect(t *testing.T, what string, code sigv4.Code, call func() error) {
	t.Helper()
	if e, ok := errors.AsType[*sigv4.Error](call()); !ok || e.Code != code {
		t.Errorf("%s: %v, want %s", what, e, code)
	}
}

func TestS3ClaimsABody(t *testing.T) {
	v := &sigv4.Verifier{Services: []string{"s3"}}
	put, err := v.VerifyS3(s3Examples()["put"], s3Time, s3Find)
	if err != nil {
		t.Fatal(err)
	}
	if !put.Hashes(sha256.Sum256([]byte("Welcome to Amazon S3."))) || put.Hashes(sha256.Sum256([]byte("welcome to Amazon S3."))) {
		t.Error("the hash of the body is not held to")
	}
	link, err := v.VerifyS3(s3Examples()["presigned"], s3Time, s3Find)
	if err != nil || link.Payload != sigv4.UnsignedPayload || !link.Hashes(sha256.Sum256([]byte("anything"))) {
		t.Errorf("%+v, %v", link, err)
	}
}

// TestS3Chunks: the example of a body of 66,560 bytes signed in chunks, and the one with a
// trailing checksum.
func TestS3Chunks(t *testing.T) {
	v := &sigv4.Verifier{Services: []string{"s3"}}
	full, rest, none := sum(strings.Repeat("a", 65536)), sum(strings.Repeat("a", 1024)), sum("")
	plain := example("PUT http://s3.amazonaws.com/examplebucket/chunkObject.txt",
		authorized("content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class", "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"),
		"x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY", "x-amz-content-sha256: "+sigv4.StreamingSigned,
		"Content-Encoding: aws-chunked", "x-amz-decoded-content-length: 66560", "Content-Length: 66824")
	trailing := example("PUT http://s3.amazonaws.com/examplebucket/chunkObject.txt",
		authorized("content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer", "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"),
		"x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY", "x-amz-content-sha256: "+sigv4.StreamingSignedTrailing,
		"Content-Encoding: aws-chunked", "x-amz-decoded-content-length: 66560", "x-amz-trailer: x-amz-checksum-crc32c")
	for name, c := range map[string]struct {
		r      *http.Request
		chunks []string
	}{
		"plain":    {plain, []string{"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"}},
		"trailing": {trailing, []string{"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2", "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"}},
	} {
		signed, err := v.VerifyS3(c.r, s3Time, s3Find)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if signed.Chunk(rest, c.chunks[1]) {
			t.Errorf("%s: the second chunk is taken for the first", name)
		}
		for i, body := range [][sha256.Size]byte{full, rest, none} {
			if signed.Chunk(sum("other"), c.chunks[i]) {
				t.Errorf("%s: another chunk %d is taken", name, i)
			}
			if !signed.Chunk(body, c.chunks[i]) {
				t.Errorf("%s: chunk %d is not taken", name, i)
			}
		}
		if name == "plain" {
			continue
		}
		if lines := sum("x-amz-checksum-crc32c:sOO8/Q==\n"); !signed.Trailer(lines, "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435") ||
			signed.Trailer(lines, "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435") {
			t.Errorf("%s: the trailer is not taken, or twice", name)
		}
	}
}

func sum(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }

// TestS3AgainstTheSDK: what the SDK's signer signs is taken, whatever the key's characters.
func TestS3AgainstTheSDK(t *testing.T) {
	v := &sigv4.Verifier{Services: []string{"s3"}}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	creds := aws.Credentials{AccessKeyID: s3Key, SecretAccessKey: s3Secret, SessionToken: "a+b/c="}
	body := sha256.Sum256([]byte("abc"))
	for _, key := range []string{"123456789012/build-1", "a b+c&d=e?f%2Fg", "größe/../x//y", "a:b@c,d;e'f(g)h!i*j~k"} {
		target := "http://127.0.0.1:9170/bucket/" + (&url.URL{Path: key}).EscapedPath() + "?partNumber=1&uploadId=a%2Bb"
		find := func(_, session string) (sigv4.Key, error) {
			if session != creds.SessionToken {
				t.Errorf("%s: session token %q", key, session)
			}
			return sigv4.Key{Secret: s3Secret, Temporary: true, TokenSum: sha256.Sum256([]byte(session)), Expires: s3Time.Add(time.Minute)}, nil
		}
		r := httptest.NewRequest(http.MethodPut, target, bytes.NewReader([]byte("abc")))
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(body[:]))
		r.Header.Set("Content-Length", "3") // as net/http leaves it
		if err := signer.SignHTTP(context.Background(), creds, r, hex.EncodeToString(body[:]), "s3", "eu-west-1", s3Time); err != nil {
			t.Fatal(err)
		}
		if signed, err := v.VerifyS3(r, s3Time, find); err != nil || !signed.Hashes(body) {
			t.Errorf("%s: %v", key, err)
		}
		expect(t, key+" when the key has expired", sigv4.ExpiredToken, func() error {
			_, err := v.VerifyS3(r, s3Time.Add(time.Minute), find)
			return err
		})
		expect(t, key+" with another token", sigv4.UnrecognizedClient, func() error {
			_, err := v.VerifyS3(r, s3Time, func(string, string) (sigv4.Key, error) {
				return sigv4.Key{Secret: s3Secret, Temporary: true, TokenSum: sha256.Sum256(nil)}, nil
			})
			return err
		})

		r = httptest.NewRequest(http.MethodPut, target+"&X-Amz-Expires=60", http.NoBody)
		signedURL, _, err := signer.PresignHTTP(context.Background(), creds, r, sigv4.UnsignedPayload, "s3", "eu-west-1", s3Time)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.VerifyS3(httptest.NewRequest(http.MethodPut, signedURL, http.NoBody), s3Time.Add(50*time.Second), find); err != nil {
			t.Errorf("%s, presigned: %v", key, err)
		}
	}
}

func FuzzVerifyS3(f *testing.F) {
	for _, r := range s3Examples() {
		f.Add(r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("X-Amz-Content-Sha256"))
	}
	v := &sigv4.Verifier{Services: []string{"s3"}}
	f.Fuzz(func(t *testing.T, target, authorization, hash string) {
		u, err := url.Parse(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, RequestURI: u.RequestURI(), Header: http.Header{"X-Amz-Date": {"20130524T000000Z"}}}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		if hash != "" {
			r.Header["X-Amz-Content-Sha256"] = []string{hash}
		}
		signed, err := v.VerifyS3(r, s3Time, s3Find)
		if _, own := errors.AsType[*sigv4.Error](err); err != nil && !own {
			t.Errorf("%v", err)
		}
		if err == nil && signed.KeyID != s3Key {
			t.Errorf("%+v", signed)
		}
	})
}
