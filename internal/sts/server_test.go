package sts_test

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/sigv4"
	"github.com/matchyard/matchyard/internal/store"
	edge "github.com/matchyard/matchyard/internal/sts"
)

const account = "123456789012"

// fixture is a server with a room of keys. ahead is how far its clock is.
type fixture struct {
	*httptest.Server

	keys  *access.Service
	ahead time.Duration
	told  []string
}

func start(t *testing.T) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	f := &fixture{keys: &access.Service{DB: db, Operations: []string{"ListFleets"}}}
	s := &edge.Server{
		Account: account,
		Auth: &awsapi.Signed{
			Keys: f.keys, Verifier: &sigv4.Verifier{Services: []string{edge.SigningName}, Query: true},
			Now: func() time.Time { return time.Now().Add(f.ahead) },
		},
		Observe: func(op, protocol, code string, _ time.Duration) { f.told = append(f.told, op+" "+protocol+" "+code) },
	}
	f.Server = httptest.NewServer(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "another's: "+r.Method+" "+string(body))
	}), "ConfirmSubscription"))
	t.Cleanup(f.Close)
	return f
}

func (f *fixture) client(c access.Credentials) *sts.Client {
	return sts.New(sts.Options{
		Region: "eu-central-1", BaseEndpoint: &f.URL, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: c.ID, SecretAccessKey: string(c.Secret), SessionToken: string(c.Token)}, nil
		}),
	})
}

func (f *fixture) key(t *testing.T, name, policy string) access.Credentials {
	t.Helper()
	c, err := f.keys.Create(t.Context(), name, policy)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fixture) whoIs(t *testing.T, c access.Credentials) (arn, user string) {
	t.Helper()
	out, err := f.client(c).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Account != account {
		t.Errorf("account %q", *out.Account)
	}
	return *out.Arn, *out.UserId
}

// Whose credentials they are is told to anybody who has some, whatever they allow.
func TestWhoAmI(t *testing.T) {
	f := start(t)
	ann := f.key(t, "ann@games.example", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
	arn, user := f.whoIs(t, ann)
	if arn != "arn:aws:iam::123456789012:user/ann@games.example" || !strings.HasPrefix(user, "AIDA") || len(user) != 21 {
		t.Errorf("a key: %s, %s", arn, user)
	}
	again, err := f.keys.Rotate(t.Context(), ann.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if a, u := f.whoIs(t, again); a != arn || u != user {
		t.Errorf("the same after rotation: %s, %s", a, u)
	}
	if a, u := f.whoIs(t, f.key(t, "böse <&> Leute", "full")); a != "arn:aws:iam::123456789012:user/b_se_____Leute" || u == user {
		t.Errorf("a name that IAM has not: %s, %s", a, u)
	}
	root, _, err := f.keys.EnsureRoot(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	if a, u := f.whoIs(t, root); a != "arn:aws:iam::123456789012:root" || u != account {
		t.Errorf("the root key: %s, %s", a, u)
	}
	guest, err := f.keys.CreateTemporary(t.Context(), "guest", "read-only", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if a, u := f.whoIs(t, guest); a != "arn:aws:sts::123456789012:federated-user/guest" || u != account+":guest" {
		t.Errorf("a key of a session: %s, %s", a, u)
	}
	if f.told[0] != "sts:GetCallerIdentity query OK" {
		t.Errorf("counted as %q", f.told[0])
	}
}

// Refusals have STS's names and status.
func TestRefusals(t *testing.T) {
	f := start(t)
	ann := f.key(t, "ann", "full")
	guest, err := f.keys.CreateTemporary(t.Context(), "guest", "read-only", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	gone := f.key(t, "gone", "full")
	if err := f.keys.Revoke(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	wrong, stranger, tokenless := ann, ann, guest
	wrong.Secret, stranger.ID, tokenless.Token = "another", "AKIANOBODY", "another"
	for _, c := range []struct {
		name   string
		as     access.Credentials
		ahead  time.Duration
		code   string
		status int
	}{
		{"a wrong secret", wrong, 0, "SignatureDoesNotMatch", 403},
		{"an unknown key", stranger, 0, "InvalidClientTokenId", 403},
		{"a revoked key", gone, 0, "InvalidClientTokenId", 403},
		{"a wrong session token", tokenless, 0, "InvalidClientTokenId", 403},
		{"an old signature", ann, 16 * time.Minute, "SignatureDoesNotMatch", 403},
		{"a signature to come", ann, -16 * time.Minute, "SignatureDoesNotMatch", 403},
	} {
		f.ahead = c.ahead
		_, err := f.client(c.as).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		api, isAPI := errors.AsType[smithy.APIError](err)
		answer, answered := errors.AsType[*smithyhttp.ResponseError](err)
		if !isAPI || !answered || api.ErrorCode() != c.code || answer.HTTPStatusCode() != c.status || api.ErrorMessage() == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// Its session is over, while the signature is new.
	if err := guestExpires(t, f, guest); err == nil || err.ErrorCode() != "ExpiredToken" {
		t.Errorf("an expired session: %v", err)
	}
	f.ahead = 0
	_, err = f.client(ann).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: new("arn:aws:iam::123456789012:role/r"), RoleSessionName: new("me")})
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "InvalidAction" || !strings.HasPrefix(api.ErrorMessage(), "Could not find operation AssumeRole for version 2011-06-15") {
		t.Errorf("another action: %v", err)
	}
}

func guestExpires(t *testing.T, f *fixture, guest access.Credentials) smithy.APIError {
	t.Helper()
	f.ahead = 90 * time.Minute
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+"/?Action=GetCallerIdentity&Version=2011-06-15", http.NoBody)
	sign(t, r, guest, "", time.Now().Add(f.ahead))
	status, d := send(t, r)
	return &smithy.GenericAPIError{Code: d.Code, Message: http.StatusText(status)}
}

const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func sign(t *testing.T, r *http.Request, c access.Credentials, sum string, at time.Time) {
	t.Helper()
	if sum == "" {
		sum = emptySum
	}
	creds := aws.Credentials{AccessKeyID: c.ID, SecretAccessKey: string(c.Secret), SessionToken: string(c.Token)}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, sum, edge.SigningName, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
}

// document is an answer of either kind.
type document struct {
	Arn       string `xml:"GetCallerIdentityResult>Arn"`
	Code      string `xml:"Error>Code"`
	Type      string `xml:"Error>Type"`
	RequestID string `xml:"RequestId"`
	ID        string `xml:"ResponseMetadata>RequestId"`
}

func send(t *testing.T, r *http.Request) (status int, d document) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text, &d); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if answer.Header.Get("X-Amzn-Requestid") != d.ID+d.RequestID || answer.Header.Get("Content-Type") != "text/xml" {
		t.Errorf("%s: headers %v", text, answer.Header)
	}
	return answer.StatusCode, d
}

const asked = "/?Action=GetCallerIdentity&Version=2011-06-15"

// Old clients ask by GET, signed in a header; links are signed in the query.
func TestGet(t *testing.T) {
	f := start(t)
	ann := f.key(t, "ann", "ListFleets")
	get := func(query string) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+query, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := get(asked)
	sign(t, r, ann, "", time.Now())
	if status, d := send(t, r); status != 200 || !strings.HasSuffix(d.Arn, ":user/ann") {
		t.Errorf("by GET: %d %+v", status, d)
	}
	r.URL.RawQuery += "&x=y"
	if status, d := send(t, r); status != 403 || d.Code != "SignatureDoesNotMatch" || d.Type != "Sender" {
		t.Errorf("with one parameter more: %d %+v", status, d)
	}
	if status, d := send(t, get(asked)); status != 403 || d.Code != "MissingAuthenticationToken" {
		t.Errorf("unsigned: %d %+v", status, d)
	}

	link := presigned(t, get(asked+"&X-Amz-Expires=60"), ann)
	if status, d := send(t, get(link)); status != 200 || !strings.HasSuffix(d.Arn, ":user/ann") {
		t.Errorf("by link: %d %+v", status, d)
	}
	for name, change := range map[string]func() *http.Request{
		"another action":   func() *http.Request { return get(strings.Replace(link, "GetCallerIdentity", "GetSessionToken", 1)) },
		"a longer life":    func() *http.Request { return get(strings.Replace(link, "X-Amz-Expires=60", "X-Amz-Expires=600", 1)) },
		"a second key":     func() *http.Request { return get(link + "&X-Amz-Credential=x") },
		"a header besides": func() *http.Request { r := get(link); r.Header.Set("X-Amz-Meta", "x"); return r },
		"two signatures":   func() *http.Request { r := get(link); sign(t, r, ann, "", time.Now()); return r },
	} {
		if status, d := send(t, change()); status == 200 || d.Code != "SignatureDoesNotMatch" && d.Code != "IncompleteSignature" {
			t.Errorf("a link with %s: %d %+v", name, status, d)
		}
	}
	f.ahead = 61 * time.Second
	if status, d := send(t, get(link)); status != 403 || d.Code != "SignatureDoesNotMatch" {
		t.Errorf("a link too old: %d %+v", status, d)
	}
}

func presigned(t *testing.T, r *http.Request, c access.Credentials) string {
	t.Helper()
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: c.ID, SecretAccessKey: string(c.Secret)}, r, emptySum, edge.SigningName, "us-east-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	return u.RequestURI()
}

// What is not STS's goes on, body and all; a form that is nobody's is answered.
func TestOthersRequestsGoOn(t *testing.T) {
	f := start(t)
	const formType = "application/x-www-form-urlencoded; charset=utf-8"
	for _, c := range []struct {
		method, query, kind, target, body string
		mine                              string // the code; "" when it is another's
	}{
		{"POST", "/", formType, "", "Action=GetCallerIdentity&Version=2011-06-15", "MissingAuthenticationToken"},
		{"POST", "/", formType, "", "", "MissingAuthenticationToken"},
		{"POST", "/", formType, "", "Action=GetCallerIdentity&Action=AssumeRole", "InvalidParameterCombination"},
		{"POST", "/?Action=AssumeRole", formType, "", "Action=GetCallerIdentity", "InvalidParameterCombination"},
		{"POST", "/", formType, "", "Action=%zz", "MalformedQueryString"},
		{"POST", "/", formType, "", "Action=GetCallerIdentity&x=" + strings.Repeat("x", 70_000), "RequestEntityTooLarge"},
		{"GET", "/?Action=Sing", "", "", "", "MissingAuthenticationToken"},
		{"POST", "/", formType, "", "Action=ConfirmSubscription&Token=a", ""},
		{"GET", "/?Action=ConfirmSubscription", "", "", "", ""},
		{"POST", "/", "application/x-amz-json-1.1", "GameLift.ListFleets", "{}", ""},
		{"POST", "/", formType, "GameLift.ListFleets", "Action=GetCallerIdentity", ""},
		{"GET", "/", "", "", "", ""},
		{"PUT", asked, formType, "", "Action=GetCallerIdentity", ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, f.URL+c.query, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		if c.target != "" {
			r.Header.Set("X-Amz-Target", c.target)
		}
		if c.mine != "" {
			if status, d := send(t, r); status < 400 || status > 413 || d.Code != c.mine {
				t.Errorf("%s %s %.50s: %d %+v", c.method, c.query, c.body, status, d)
			}
			continue
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if string(text) != "another's: "+c.method+" "+c.body {
			t.Errorf("%s %s %s %s: %s", c.method, c.query, c.target, c.body, text)
		}
	}
}
