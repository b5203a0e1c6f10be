package sigv4_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/sigv4"
)

// The credentials of the captures (testdata/wire/README.md).
const (
	keyID  = "AKIDEXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	token  = "FQoDYXdzEXAMPLETOKEN=="
)

type capture struct {
	Name    string
	Method  string
	Path    string
	Headers [][2]string
	Body    []byte
}

func captures(t testing.TB) []capture {
	t.Helper()
	text, err := os.ReadFile("testdata/wire/signed.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all []capture
	for line := range bytes.Lines(text) {
		var c capture
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// capturedAs is the capture of that name.
func capturedAs(t testing.TB, name string) capture {
	t.Helper()
	for _, c := range captures(t) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no capture %s", name)
	return capture{}
}

func (c capture) header(name string) string {
	for _, h := range c.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// with is a copy with one header changed; "" removes it, and a name it lacks adds it.
func (c capture) with(name, value string) capture {
	old := c.Headers
	c.Headers = nil
	found := false
	for _, h := range old {
		if strings.EqualFold(h[0], name) {
			found = true
			h[1] = value
		}
		if h[1] != "" {
			c.Headers = append(c.Headers, h)
		}
	}
	if !found {
		c.Headers = append(c.Headers, [2]string{name, value})
	}
	return c
}

// and is a copy with one more header.
func (c capture) and(name, value string) capture {
	c.Headers = append(slices.Clip(c.Headers), [2]string{name, value})
	return c
}

// at is a copy with another path.
func (c capture) at(path string) capture {
	c.Path = path
	return c
}

// time is the instant it was signed at.
func (c capture) time() time.Time {
	t, _ := time.Parse("20060102T150405Z", c.header("X-Amz-Date"))
	return t
}

// request reads the capture as net/http's server would.
func (c capture) request() (*http.Request, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", c.Method, c.Path)
	for _, h := range c.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	b.Write(c.Body)
	return http.ReadRequest(bufio.NewReader(&b))
}

// find knows the captures' key, with and without its session token.
func find(r *http.Request) func(string) (sigv4.Key, error) {
	return func(id string) (sigv4.Key, error) {
		if id != keyID {
			return sigv4.Key{}, sigv4.ErrUnknownKey
		}
		k := sigv4.Key{Secret: secret}
		if r.Header.Get("X-Amz-Security-Token") != "" {
			k.Temporary, k.TokenSum = true, sha256.Sum256([]byte(token))
		}
		return k, nil
	}
}

func (c capture) verify(t testing.TB, v *sigv4.Verifier, now time.Time) error {
	t.Helper()
	r, err := c.request()
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	_, err = v.Verify(r, now, find(r), func() ([]byte, error) { return c.Body, nil })
	return err
}

func gamelift() *sigv4.Verifier {
	return &sigv4.Verifier{Services: []string{"gamelift"}, Region: "us-west-2"}
}

func TestEveryCaptureVerifies(t *testing.T) {
	v := gamelift()
	all := captures(t)
	if len(all) != 88 {
		t.Fatalf("%d captures, want 88", len(all))
	}
	for range 2 { // deriving the key, and with the one kept
		for _, c := range all {
			if err := c.verify(t, v, c.time()); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	}
}

// TestTamperedCapturesAreRefused changes what a thief of a request would change.
func TestTamperedCapturesAreRefused(t *testing.T) {
	tamper := map[string]func(capture) capture{
		"body":         func(c capture) capture { c.Body = append([]byte(nil), c.Body...); c.Body[len(c.Body)-1] ^= 1; return c },
		"path":         func(c capture) capture { c.Path += "x"; return c },
		"path prefix":  func(c capture) capture { c.Path = "/v1" + c.Path; return c },
		"query":        func(c capture) capture { c.Path += "?a=b"; return c },
		"method":       func(c capture) capture { c.Method = "PUT"; return c },
		"host":         func(c capture) capture { return c.with("Host", "127.0.0.1:18081") },
		"content type": func(c capture) capture { return c.with("Content-Type", "application/json") },
		"date": func(c capture) capture {
			return c.with("X-Amz-Date", c.time().Add(time.Second).Format("20060102T150405Z"))
		},
		"another target": func(c capture) capture { return c.with("X-Amz-Target", "GameLift.DeleteFleet") },
		"smithy":         func(c capture) capture { return c.with("Smithy-Protocol", "rpc-v2-json") },
		"extra x-amz":    func(c capture) capture { return c.with("X-Amz-Security-Token-2", "x") },
		"payload hash":   func(c capture) capture { return c.with("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") },
		"session token":  func(c capture) capture { return c.with("X-Amz-Security-Token", "other") },
		"swapped operation": func(c capture) capture {
			if target := c.header("X-Amz-Target"); target != "" {
				return c.with("X-Amz-Target", "GameLift.TerminateGameSession")
			}
			c.Path = "/service/GameLift/operation/TerminateGameSession"
			return c
		},
		"key id":     func(c capture) capture { return c.authorization("Credential=AKID", "Credential=AKIE") },
		"scope":      func(c capture) capture { return c.authorization("/us-west-2/", "/us-west-1/") },
		"signature":  func(c capture) capture { return c.authorization("Signature=", "Signature=0") },
		"signed set": func(c capture) capture { return c.authorization("content-type;", "") },
	}
	for name, f := range tamper {
		t.Run(name, func(t *testing.T) {
			v := gamelift()
			for _, c := range captures(t) {
				if err := c.verify(t, v, c.time()); err != nil { // fills the cache of keys
					t.Fatal(err)
				}
				if _, ok := errors.AsType[*sigv4.Error](f(c).verify(t, v, c.time())); !ok {
					t.Errorf("%s: accepted", c.Name)
				}
			}
		})
	}
}

// authorization is a copy with a part of its Authorization header replaced.
func (c capture) authorization(old, by string) capture {
	return c.with("Authorization", strings.Replace(c.header("Authorization"), old, by, 1))
}

// TestEverySignedByteCounts changes each byte of what is signed, one at a time.
func TestEverySignedByteCounts(t *testing.T) {
	for _, name := range []string{"boto3-json-session-token-list-fleets", "go-sdk-v2-cbor-session-token-list-fleets"} {
		c := capturedAs(t, name)
		signed := strings.Split(c.header("Authorization"), "SignedHeaders=")[1]
		for _, h := range c.Headers {
			if !strings.Contains(signed, strings.ToLower(h[0])) || strings.EqualFold(h[0], "Content-Length") {
				continue // the length bounds the body; another one is another request
			}
			for i := range h[1] {
				changed := []byte(h[1])
				changed[i] ^= 1
				if err := c.with(h[0], string(changed)).verify(t, gamelift(), c.time()); err == nil {
					t.Errorf("%s: %s: accepted %q for %q", name, h[0], changed, h[1])
				}
			}
		}
		for i := range c.Body {
			body := bytes.Clone(c.Body)
			body[i] ^= 1
			tampered := c
			tampered.Body = body
			if err := tampered.verify(t, gamelift(), c.time()); err == nil {
				t.Errorf("%s: accepted a body changed at %d", name, i)
			}
		}
	}
}

// TestRefusals holds each refusal to its code and words (wire-protocol.md 3.3).
func TestRefusals(t *testing.T) {
	const name = "boto3-json-target-put-scaling-policy"
	c := capturedAs(t, name)
	at := c.time()
	day := at.Format("20060102")
	stamp := at.Format("20060102T150405Z")
	later := func(d time.Duration) string { return at.Add(d).Format("20060102T150405Z") }
	auth := c.header("Authorization")
	temporary := capturedAs(t, "boto3-json-session-token-list-fleets")
	mismatch := "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

	tests := []struct {
		name string
		c    capture
		late time.Duration // how much later than it was signed it arrives
		code sigv4.Code
		text string
	}{
		{"not signed", c.with("Authorization", ""), 0, sigv4.MissingAuthenticationToken, "Missing Authentication Token"},
		{"basic", c.with("Authorization", "Basic eDp5"), 0, sigv4.IncompleteSignature, "Unsupported Authorization scheme: want 'AWS4-HMAC-SHA256'."},
		{"another algorithm", c.authorization("SHA256", "SHA512"), 0, sigv4.IncompleteSignature, "Unsupported Authorization scheme: want 'AWS4-HMAC-SHA256'."},
		{
			"nothing but the algorithm", c.with("Authorization", "AWS4-HMAC-SHA256"), 0, sigv4.IncompleteSignature,
			"Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter.",
		},
		{"no signature", c.with("Authorization", strings.Split(auth, ", Signature")[0]), 0, sigv4.IncompleteSignature, "Authorization header requires 'Signature' parameter."},
		{"a parameter twice", c.with("Authorization", auth+", Signature=00"), 0, sigv4.IncompleteSignature, "Authorization header has parameter 'Signature' twice."},
		{
			"an unknown parameter", c.with("Authorization", auth+", Secret=00"), 0, sigv4.IncompleteSignature,
			"Authorization header has a parameter that is none of 'Credential', 'SignedHeaders', 'Signature'.",
		},
		{
			"a short credential", c.authorization(keyID+"/", ""), 0, sigv4.IncompleteSignature,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
		},
		{"a key without id", c.authorization(keyID, ""), 0, sigv4.IncompleteSignature, "Credential must begin with an access key id of 1 to 128 characters."},
		{
			"a key id without end", c.authorization(keyID, strings.Repeat("A", 129)), 0, sigv4.IncompleteSignature,
			"Credential must begin with an access key id of 1 to 128 characters.",
		},
		{"another terminator", c.authorization("aws4_request", "aws5_request"), 0, sigv4.InvalidSignature, "Credential should be scoped with a valid terminator: 'aws4_request'."},
		{"another service", c.authorization("/gamelift/", "/dynamodb/"), 0, sigv4.InvalidSignature, "Credential should be scoped to correct service: 'gamelift'."},
		{"another region", c.authorization("/us-west-2/", "/us-east-1/"), 0, sigv4.InvalidSignature, "Credential should be scoped to a valid region: 'us-west-2'."},
		{
			"another day", c.authorization("/"+day+"/", "/20150830/"), 0, sigv4.InvalidSignature,
			`Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "20150830" != '` + day + `', from '` + stamp + `'.`,
		},
		{"no date", c.with("X-Amz-Date", ""), 0, sigv4.IncompleteSignature, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
		{"a bad date", c.with("X-Amz-Date", "yesterday"), 0, sigv4.IncompleteSignature, "Date must be in ISO-8601 'basic format', as in 20060102T150405Z."},
		{
			"two dates", c.and("X-Amz-Date", stamp), 0,
			sigv4.IncompleteSignature, "The request has the header X-Amz-Date more than once.",
		},
		{
			"two signatures", c.and("Authorization", auth), 0,
			sigv4.IncompleteSignature, "The request has more than one signature.",
		},
		{"header and query", c.at("/?X-Amz-Signature=00"), 0, sigv4.IncompleteSignature, "The request has more than one signature."},
		{
			"query", c.with("Authorization", "").at("/?X-Amz-Signature=00"), 0, sigv4.IncompleteSignature,
			"Signatures in the query string are not supported: sign with the Authorization header.",
		},
		{
			"too old", c, 15*time.Minute + time.Second, sigv4.InvalidSignature,
			"Signature expired: " + stamp + " is now earlier than " + later(time.Second) + " (" + later(15*time.Minute+time.Second) + " - 15 min.)",
		},
		{
			"too early", c, -15*time.Minute - time.Second, sigv4.InvalidSignature,
			"Signature not yet current: " + stamp + " is still later than " + later(-time.Second) + " (" + later(-15*time.Minute-time.Second) + " + 15 min.)",
		},
		{"headers in capitals", c.authorization("content-type;", "Content-Type;"), 0, sigv4.IncompleteSignature, "'SignedHeaders' must be names in lower case, sorted, each once."},
		{"headers out of order", c.authorization("content-type;host;", "host;content-type;"), 0, sigv4.IncompleteSignature, "'SignedHeaders' must be names in lower case, sorted, each once."},
		{"a header twice", c.authorization("content-type;", "content-type;content-type;"), 0, sigv4.IncompleteSignature, "'SignedHeaders' must be names in lower case, sorted, each once."},
		{"too many headers", c.authorization("content-type;", strings.Join(ascending(200), ";")+";content-type;"), 0, sigv4.IncompleteSignature, "'SignedHeaders' must be at most 100 names."},
		{"host not signed", c.authorization("host;", ""), 0, sigv4.InvalidSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"date not signed", c.authorization("x-amz-date;", ""), 0, sigv4.InvalidSignature, "'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization."},
		{"type not signed", c.authorization("content-type;", ""), 0, sigv4.InvalidSignature, "'Content-Type' must be a 'SignedHeader' in the AWS Authorization."},
		{"operation not signed", c.authorization(";x-amz-target", ""), 0, sigv4.InvalidSignature, "'X-Amz-Target' or 'Smithy-Protocol' must be a 'SignedHeader' in the AWS Authorization."},
		{"x-amz header not signed", c.with("X-Amz-Meta", "x"), 0, sigv4.InvalidSignature, "There were headers present in the request which were not signed: x-amz-meta"},
		{"protocol not signed", c.with("Smithy-Protocol", "rpc-v2-cbor"), 0, sigv4.InvalidSignature, "There were headers present in the request which were not signed: smithy-protocol"},
		{"a signed header missing", c.authorization("content-type;", "accept;content-type;"), 0, sigv4.InvalidSignature, `The signed header "accept" is not in the request.`},
		{"a query that is none", c.at("/?%zz"), 0, sigv4.IncompleteSignature, "The query string is not URL-encoded."},
		{"another key", c.authorization(keyID, "AKIDOTHER"), 0, sigv4.UnrecognizedClient, "The security token included in the request is invalid."},
		{"another signature", c.authorization("Signature=", "Signature=00"), 0, sigv4.InvalidSignature, mismatch},
		{
			"session token of a lasting key", c.with("X-Amz-Security-Token", "x"), 0, sigv4.InvalidSignature,
			"There were headers present in the request which were not signed: x-amz-security-token",
		},
		{"session token changed", temporary.with("X-Amz-Security-Token", "x"), 0, sigv4.InvalidSignature, mismatch},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signed := test.c.time()
			if signed.IsZero() {
				signed = at
			}
			err := test.c.verify(t, gamelift(), signed.Add(test.late))
			if e, ok := errors.AsType[*sigv4.Error](err); !ok || e.Code != test.code || e.Message != test.text {
				t.Errorf("got  %v\nwant %s: %s", err, test.code, test.text)
			}
		})
	}
}

func TestSkewIsTheVerifiers(t *testing.T) {
	c := capturedAs(t, "boto3-json-empty-list-fleets")
	v := &sigv4.Verifier{Services: []string{"s3", "gamelift"}, Skew: 90 * time.Second}
	for late, want := range map[time.Duration]bool{0: true, 90 * time.Second: true, 91 * time.Second: false, -90 * time.Second: true, -91 * time.Second: false} {
		if err := c.verify(t, v, c.time().Add(late)); (err == nil) != want {
			t.Errorf("%s late: got %v", late, err)
		}
	}
	const words = "- 1m30s)"
	if err := c.verify(t, v, c.time().Add(time.Hour)); err == nil || !strings.HasSuffix(err.Error(), words) {
		t.Errorf("got %v, want …%s", err, words)
	}
}

func TestAnyRegionWhenNoneIsSet(t *testing.T) {
	c := capturedAs(t, "boto3-json-empty-list-fleets")
	if err := c.verify(t, &sigv4.Verifier{Services: []string{"gamelift"}}, c.time()); err != nil {
		t.Error(err)
	}
	if err := c.verify(t, &sigv4.Verifier{}, c.time()); err == nil {
		t.Error("a verifier of no service accepts")
	}
}

// TestSessionTokens: a key and its session token belong together, until it expires.
func TestSessionTokens(t *testing.T) {
	with, without := capturedAs(t, "go-sdk-v2-cbor-session-token-list-fleets"), capturedAs(t, "go-sdk-v2-cbor-empty-list-fleets")
	sum := sha256.Sum256([]byte(token))
	for _, test := range []struct {
		name string
		c    capture
		key  sigv4.Key
		code sigv4.Code
	}{
		{"good", with, sigv4.Key{Secret: secret, Temporary: true, TokenSum: sum, Expires: with.time().Add(time.Second)}, ""},
		{"of no end", with, sigv4.Key{Secret: secret, Temporary: true, TokenSum: sum}, ""},
		{"expired", with, sigv4.Key{Secret: secret, Temporary: true, TokenSum: sum, Expires: with.time()}, sigv4.ExpiredToken},
		{"another", with, sigv4.Key{Secret: secret, Temporary: true, TokenSum: sha256.Sum256([]byte("other"))}, sigv4.UnrecognizedClient},
		{"missing", without, sigv4.Key{Secret: secret, Temporary: true, TokenSum: sum}, sigv4.UnrecognizedClient},
		{"of a lasting key", with, sigv4.Key{Secret: secret}, sigv4.UnrecognizedClient},
		{"expired, and the secret is wrong", with, sigv4.Key{Secret: "x", Temporary: true, TokenSum: sum, Expires: with.time()}, sigv4.InvalidSignature},
	} {
		r, err := test.c.request()
		if err != nil {
			t.Fatal(err)
		}
		id, err := gamelift().Verify(r, test.c.time(), func(string) (sigv4.Key, error) { return test.key, nil },
			func() ([]byte, error) { return test.c.Body, nil })
		e, _ := errors.AsType[*sigv4.Error](err)
		if (test.code != "" || err != nil) && (e == nil || e.Code != test.code) || id != keyID {
			t.Errorf("%s: got %q, %v, want %s", test.name, id, err, test.code)
		}
	}
}

// TestErrorsOfOthersPass: what find and body say is Verify's answer, and body is not read
// before the key is known.
func TestErrorsOfOthersPass(t *testing.T) {
	c := capturedAs(t, "boto3-json-empty-list-fleets")
	r, err := c.request()
	if err != nil {
		t.Fatal(err)
	}
	down, tooLarge := errors.New("the database is down"), errors.New("too large")
	id, err := gamelift().Verify(r, c.time(), func(string) (sigv4.Key, error) { return sigv4.Key{}, down }, func() ([]byte, error) {
		t.Error("the body was read for an unknown key")
		return nil, nil
	})
	if id != keyID || !errors.Is(err, down) {
		t.Errorf("got %q, %v", id, err)
	}
	if _, err := gamelift().Verify(r, c.time(), find(r), func() ([]byte, error) { return nil, tooLarge }); !errors.Is(err, tooLarge) {
		t.Errorf("got %v", err)
	}
}

// TestAChangedSecretCountsAtOnce: the key kept of the old one does not.
func TestAChangedSecretCountsAtOnce(t *testing.T) {
	c := capturedAs(t, "boto3-json-empty-list-fleets")
	v := gamelift()
	if err := c.verify(t, v, c.time()); err != nil {
		t.Fatal(err)
	}
	r, err := c.request()
	if err != nil {
		t.Fatal(err)
	}
	changed := func(string) (sigv4.Key, error) { return sigv4.Key{Secret: secret + "2"}, nil }
	if _, err := v.Verify(r, c.time(), changed, func() ([]byte, error) { return c.Body, nil }); err == nil {
		t.Error("accepted by a secret that is not the key's any more")
	}
	if err := c.verify(t, v, c.time()); err != nil {
		t.Errorf("the right secret: %v", err)
	}
}

// TestDateHeaderServes: X-Amz-Date may be missing when Date is signed, in either form.
func TestDateHeaderServes(t *testing.T) {
	at := time.Date(2026, 11, 22, 20, 47, 20, 0, time.UTC)
	for _, form := range []string{"20060102T150405Z", http.TimeFormat} {
		c := capture{Method: "POST", Path: "/", Body: []byte("{}"), Headers: [][2]string{
			{"Host", "h"}, {"Content-Length", "2"}, {"Content-Type", "application/x-amz-json-1.1"}, {"Date", at.Format(form)}, {"X-Amz-Target", "GameLift.ListFleets"},
		}}
		canonical := "POST\n/\n\ncontent-type:application/x-amz-json-1.1\ndate:" + at.Format(form) + "\nhost:h\nx-amz-target:GameLift.ListFleets\n\n" +
			"content-type;date;host;x-amz-target\n" + hexSum(c.Body)
		scope := "20261122/us-west-2/gamelift/aws4_request"
		signature := sign(scope, "AWS4-HMAC-SHA256\n20261122T204720Z\n"+scope+"\n"+hexSum([]byte(canonical)))
		c = c.with("Authorization", "AWS4-HMAC-SHA256 Credential="+keyID+"/"+scope+",SignedHeaders=content-type;date;host;x-amz-target,Signature="+signature)
		if err := c.verify(t, gamelift(), at); err != nil {
			t.Errorf("%s: %v", form, err)
		}
		if err := c.with("Date", at.Add(time.Second).Format(form)).verify(t, gamelift(), at); err == nil {
			t.Errorf("%s: accepted another date", form)
		}
	}
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// drawn is a request signed by the SDK's own signer.
type drawn struct {
	r    *http.Request // as a server reads it
	body []byte
	key  sigv4.Key
	id   string
	at   time.Time
}

func draw(t *rapid.T) drawn {
	text := func(pattern, label string) string { return rapid.StringMatching(pattern).Draw(t, label) }
	d := drawn{
		id:   text(`[A-Z0-9]{1,20}(/[a-z]{1,3})?`, "id"),
		body: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body"),
		at:   time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0).UTC(),
		key:  sigv4.Key{Secret: text(`[!-~]{1,50}`, "secret")},
	}
	path := text(`(/[a-zA-Z0-9._~!$&'()*+;=:@ %é☃-]{0,8}){1,5}`, "path")
	r, err := http.NewRequest(http.MethodPost, "http://"+text(`[a-z0-9.-]{1,20}(:[1-9][0-9]{0,3})?`, "host")+"/", bytes.NewReader(d.body))
	if err != nil {
		t.Skip(err)
	}
	r.URL.Path = path
	q := r.URL.Query()
	for range rapid.IntRange(0, 3).Draw(t, "queries") {
		q.Add(text(`[a-zA-Z0-9-]{1,3}`, "name"), text(`[ -~é]{0,5}`, "value"))
	}
	r.URL.RawQuery = q.Encode()
	r.Header.Set("Content-Type", text(`[!-~]( {0,3}[!-~]{1,5}){0,3}`, "type"))
	r.Header.Set(rapid.SampledFrom([]string{"X-Amz-Target", "Smithy-Protocol"}).Draw(t, "protocol"), text(`[!-~]{1,20}`, "operation"))
	for range rapid.IntRange(0, 4).Draw(t, "headers") {
		name := text(`(X-Amz-|Amz-Sdk-)?[A-Z][a-z0-9]{0,5}-Q`, "header")
		r.Header.Add(name, text(`[!-~]( {0,3}[!-~]{1,5}){0,3}`, "value"))
	}
	creds := aws.Credentials{AccessKeyID: d.id, SecretAccessKey: d.key.Secret}
	if rapid.Bool().Draw(t, "temporary") {
		creds.SessionToken = text(`[!-~]{1,100}`, "token")
		d.key.Temporary, d.key.TokenSum = true, sha256.Sum256([]byte(creds.SessionToken))
	}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hexSum(d.body), "gamelift", text(`[a-z0-9-]{1,14}`, "region"), d.at); err != nil {
		t.Fatal(err)
	}
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	if d.r, err = http.ReadRequest(bufio.NewReader(&wire)); err != nil {
		t.Skip(err)
	}
	return d
}

func (d drawn) verify(v *sigv4.Verifier) error {
	id, err := v.Verify(d.r, d.at, func(id string) (sigv4.Key, error) { return d.key, nil }, func() ([]byte, error) { return d.body, nil })
	if err == nil && id != d.id {
		return fmt.Errorf("key %q, want %q", id, d.id)
	}
	return err
}

// TestTheSDKsSignerAgrees: whatever it signs verifies, and nothing else.
func TestTheSDKsSignerAgrees(t *testing.T) {
	v := &sigv4.Verifier{Services: []string{"gamelift"}}
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		if err := d.verify(v); err != nil {
			t.Fatalf("%s %s\n%v\n%v", d.r.Method, d.r.RequestURI, d.r.Header, err)
		}
		switch rapid.IntRange(0, 4).Draw(t, "tamper") {
		case 0:
			d.body = append(bytes.Clone(d.body), 'x')
		case 1:
			d.r.RequestURI = "/x" + d.r.RequestURI
		case 2:
			d.r.Host += "x"
		case 3:
			d.r.Header.Set("Content-Type", d.r.Header.Get("Content-Type")+"x")
		case 4:
			d.key.Secret += "x"
		}
		if err := d.verify(v); err == nil {
			t.Fatal("accepted after tampering")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, name := range []string{"go-sdk-v2-cbor-list-map-create-player-sessions", "boto3-json-list-map-create-player-sessions", "go-sdk-v2-cbor-session-token-list-fleets"} {
		c := capturedAs(b, name)
		r, err := c.request()
		if err != nil {
			b.Fatal(err)
		}
		for _, kind := range []string{"kept", "derived"} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				v := gamelift()
				look, body, now := find(r), func() ([]byte, error) { return c.Body, nil }, c.time()
				b.ReportAllocs()
				for b.Loop() {
					if kind == "derived" {
						v = gamelift()
					}
					if _, err := v.Verify(r, now, look, body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// FuzzVerify changes a signed request anywhere and holds the verifier to its promise: what
// it accepts is, byte for byte, what was signed.
func FuzzVerify(f *testing.F) {
	c := capturedAs(f, "boto3-json-target-put-scaling-policy")
	f.Add(c.Path, c.header("Host"), c.header("Authorization"), "", "", c.Body)
	f.Add("//", "127.0.0.1:18080", c.header("Authorization"), "X-Amz-Security-Token", token, []byte("{}"))
	f.Add("/?a=b", "127.0.0.1:18080", c.header("Authorization"), "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD", c.Body)
	v := gamelift()
	f.Fuzz(func(t *testing.T, path, host, authorization, header, value string, body []byte) {
		changed := c.with("Host", host).with("Authorization", authorization)
		changed.Path, changed.Body = path, body
		if header != "" {
			changed = changed.with(header, value)
		}
		r, err := changed.request()
		if err != nil {
			return
		}
		_, err = v.Verify(r, c.time(), find(r), func() ([]byte, error) { return body, nil })
		if err != nil {
			if _, ok := errors.AsType[*sigv4.Error](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if !bytes.Equal(body, c.Body) || r.Host != c.header("Host") || r.URL.Path != "/" && strings.Trim(r.URL.Path, "/.") != "" && !strings.Contains(r.URL.Path, "..") {
			t.Fatalf("accepted %s %s %q", r.Host, r.RequestURI, body)
		}
		for _, name := range []string{"X-Amz-Target", "X-Amz-Date", "Content-Type"} {
			if len(r.Header[name]) != 1 || r.Header[name][0] != c.header(name) {
				t.Fatalf("accepted %s: %q", name, r.Header[name])
			}
		}
	})
}

// ascending are so many names in their order.
func ascending(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("a%05d", i))
	}
	return names
}
