package awsapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/model"
	"github.com/matchyard/matchyard/internal/sigv4"
	"github.com/matchyard/matchyard/internal/store"
)

// signedServer is a server that checks signatures, on a database of its own.
type signedServer struct {
	*httptest.Server

	db     *store.DB
	keys   *access.Service
	signed *awsapi.Signed
	log    journal
	ahead  atomic.Int64 // nanoseconds of the server's clock, and its Date header
}

func (s *signedServer) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// transports are the ways to reach a server; on TLS the SDK speaks HTTP/2.
var transports = map[string]func(*httptest.Server){
	"http1":     (*httptest.Server).Start,
	"http1-tls": (*httptest.Server).StartTLS,
	"http2": func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.StartTLS()
	},
}

func startSigned(t testing.TB, start func(*httptest.Server)) *signedServer {
	t.Helper()
	s := &signedServer{}
	var err error
	if s.db, err = store.Open(context.Background(), "sqlite:"+t.TempDir()+"/db", store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	s.keys = &access.Service{DB: s.db, Operations: operationNames(), SealKey: bytes.Repeat([]byte("k"), access.SealKeySize)}
	logger := slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.signed = &awsapi.Signed{
		Keys:     s.keys,
		Verifier: &sigv4.Verifier{Services: []string{model.SigningName}, Region: "us-west-2"},
		Now:      s.now,
		Logger:   logger,
	}
	api := &awsapi.Server{Auth: s.signed, Authorize: s.signed.Authorize, Logger: logger, Operations: []awsapi.Operation{
		awsapi.Op(func(ctx context.Context, _ *gamelift.ListFleetsInput) (*gamelift.ListFleetsOutput, error) {
			who := awsapi.IdentityFrom(ctx)
			return &gamelift.ListFleetsOutput{FleetIds: []string{who.AccessKeyID, who.Name}}, nil
		}),
		awsapi.Op(func(context.Context, *gamelift.DeleteFleetInput) (*gamelift.DeleteFleetOutput, error) {
			return nil, nil
		}),
		awsapi.Op(func(context.Context, *gamelift.StopMatchmakingInput) (*gamelift.StopMatchmakingOutput, error) {
			return &gamelift.StopMatchmakingOutput{}, nil
		}),
	}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
		w.Header().Set("Test-Protocol", r.Proto)
		api.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelError)
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

func operationNames() (names []string) {
	for _, o := range model.Operations {
		names = append(names, o.Name)
	}
	return names
}

// client is a real SDK client with those credentials.
func (s *signedServer) client(c access.Credentials) *gamelift.Client {
	var provider aws.CredentialsProvider = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials(c), nil })
	if c.ID == "" {
		provider = aws.AnonymousCredentials{}
	}
	return gamelift.New(gamelift.Options{BaseEndpoint: &s.URL, Region: "us-west-2", HTTPClient: s.Client(), Credentials: provider})
}

func credentials(c access.Credentials) aws.Credentials {
	return aws.Credentials{AccessKeyID: c.ID, SecretAccessKey: string(c.Secret), SessionToken: string(c.Token)}
}

// postJSON signs a call in AWS JSON by hand, sends it, and returns the fields of the answer.
func (s *signedServer) postJSON(t testing.TB, c access.Credentials, op, body string, change func(*http.Request)) (status int, answer map[string]any) {
	t.Helper()
	status, text := s.post(t, c, op, body, change)
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return status, answer
}

// post is postJSON whatever the form of the answer.
func (s *signedServer) post(t testing.TB, c access.Credentials, op, body string, change func(*http.Request)) (status int, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "GameLift."+op)
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials(c), r, hex.EncodeToString(sum[:]), "gamelift", "us-west-2", time.Now()); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func (s *signedServer) create(t testing.TB, name, policy string) access.Credentials {
	t.Helper()
	c, err := s.keys.Create(t.Context(), name, policy)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused holds an SDK's error to a code and the beginning of its message.
func refused(t *testing.T, err error, code, message string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code || !strings.HasPrefix(e.ErrorMessage(), message) {
		t.Errorf("got  %v\nwant %s: %s…", err, code, message)
	}
}

const (
	unknownKey = "The security token included in the request is invalid."
	mismatch   = "The request signature we calculated does not match the signature you provided."
)

// TestSignedRequests is what callers with good and bad credentials get, on every transport,
// from the SDK in CBOR and by hand in JSON.
func TestSignedRequests(t *testing.T) {
	for name, start := range transports {
		t.Run(name, func(t *testing.T) {
			s := startSigned(t, start)
			good := s.create(t, "ci", "full")
			temporary, err := s.keys.CreateTemporary(t.Context(), "job", "full", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			expired, err := s.keys.CreateTemporary(t.Context(), "job", "full", time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			revoked := s.create(t, "old", "full")
			if out, err := s.client(revoked).ListFleets(t.Context(), nil); err != nil || out.FleetIds[0] != revoked.ID {
				t.Fatalf("before it is revoked: %v, %v", out, err)
			}
			if err := s.keys.Revoke(t.Context(), revoked.ID); err != nil {
				t.Fatal(err)
			}
			another := temporary
			another.Token = expired.Token
			tokenless := temporary
			tokenless.Token = ""
			s.ahead.Store(int64(2 * time.Millisecond)) // to be sure that it has expired

			for _, test := range []struct {
				name          string
				c             access.Credentials
				code, message string
			}{
				{"a good key", good, "", ""},
				{"a temporary key", temporary, "", ""},
				{"a wrong secret", access.Credentials{ID: good.ID, Secret: "wrong"}, "InvalidSignatureException", mismatch},
				{"an unknown key", access.Credentials{ID: "AKIANOBODY", Secret: "x"}, "UnrecognizedClientException", unknownKey},
				{"a key that cannot be", access.Credentials{ID: "some/body's", Secret: "x"}, "UnrecognizedClientException", unknownKey},
				{"a revoked key", revoked, "UnrecognizedClientException", unknownKey},
				{"an expired token", expired, "ExpiredTokenException", "The security token included in the request is expired"},
				{"another's token", another, "UnrecognizedClientException", unknownKey},
				{"no token", tokenless, "UnrecognizedClientException", unknownKey},
				{"anonymous", access.Credentials{}, "MissingAuthenticationTokenException", "Missing Authentication Token"},
			} {
				out, err := s.client(test.c).ListFleets(t.Context(), &gamelift.ListFleetsInput{Limit: new(int32(7))})
				if test.code != "" {
					refused(t, err, test.code, test.message)
				} else if err != nil || out.FleetIds[0] != test.c.ID {
					t.Errorf("%s: got %v, %v", test.name, out, err)
				}
				status, answer := s.postJSON(t, test.c, "ListFleets", `{"Limit":7}`, func(r *http.Request) {
					if test.c.ID == "" {
						r.Header.Del("Authorization")
					}
				})
				if test.code == "" && status == http.StatusOK {
					continue
				}
				message, _ := answer["message"].(string)
				if status != http.StatusBadRequest || answer["__type"] != test.code || !strings.HasPrefix(message, test.message) {
					t.Errorf("%s: JSON: got %d %v", test.name, status, answer)
				}
			}

			resp, err := s.Client().Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if p := resp.Header.Get("Test-Protocol"); (p == "HTTP/2.0") != (name == "http2") {
				t.Errorf("spoke %s", p)
			}
		})
	}
}

// TestASwappedOperationIsRefused: a captured request is good for nothing else.
func TestASwappedOperationIsRefused(t *testing.T) {
	s := startSigned(t, (*httptest.Server).Start)
	c := s.create(t, "ci", "full")
	for name, change := range map[string]func(*http.Request){
		"target":          func(r *http.Request) { r.Header.Set("X-Amz-Target", "GameLift.DeleteFleet") },
		"body":            func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"Limit":8}`)) },
		"unsigned header": func(r *http.Request) { r.Header.Set("X-Amz-Other", "x") },
		"target unsigned": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), ";x-amz-target", "", 1))
		},
	} {
		status, answer := s.postJSON(t, c, "ListFleets", `{"Limit":7}`, change)
		if status != http.StatusBadRequest || answer["__type"] != "InvalidSignatureException" {
			t.Errorf("%s: got %d %v", name, status, answer)
		}
	}
	for _, target := range []string{"", "GameLift.ListFleets", "GameLift.DeleteFleet"} { // as CBOR, by its path
		status, answer := s.post(t, c, "ListFleets", `{"Limit":7}`, func(r *http.Request) {
			r.URL.Path = "/service/GameLift/operation/DeleteFleet"
			r.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
			if r.Header.Set("X-Amz-Target", target); target == "" {
				r.Header.Del("X-Amz-Target")
			}
		})
		if status != http.StatusBadRequest || !bytes.Contains(answer, []byte("SignatureException")) && !bytes.Contains(answer, []byte("not both")) {
			t.Errorf("as CBOR with target %q: got %d %q", target, status, answer)
		}
	}
}

// TestWrongClocksHeal: the Go SDK learns from the Date header of the refusal how far its
// clock is off, and signs again (wire-protocol.md 3.5).
func TestWrongClocksHeal(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		s := startSigned(t, (*httptest.Server).Start)
		c := s.create(t, "ci", "full")
		s.ahead.Store(int64(ahead))
		if _, err := s.client(c).ListFleets(t.Context(), nil); err != nil {
			t.Errorf("a server %s ahead: %v", ahead, err)
		}
		once := s.client(c)
		_, err := once.ListFleets(t.Context(), nil, func(o *gamelift.Options) { o.RetryMaxAttempts = 1 })
		want := "Signature expired: "
		if ahead < 0 {
			want = "Signature not yet current: "
		}
		refused(t, err, "InvalidSignatureException", want)
	}
}

func TestPoliciesHold(t *testing.T) {
	s := startSigned(t, (*httptest.Server).Start)
	reader := s.create(t, "dashboard", "read-only")
	joiner := s.create(t, "lobby", `["StopMatch*"]`)
	if out, err := s.client(reader).ListFleets(t.Context(), nil); err != nil || out.FleetIds[1] != "dashboard" {
		t.Errorf("a reader lists: %v, %v", out, err)
	}
	_, err := s.client(reader).DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: new("fleet-1")})
	refused(t, err, "AccessDeniedException",
		"Access key "+reader.ID+" (dashboard) is not authorized to perform: gamelift:DeleteFleet because its policy does not allow it.")
	if _, ok := errors.AsType[*types.UnauthorizedException](err); ok {
		t.Error("a policy denies as AWS's IAM does, not as the service")
	}
	// StopMatchmaking does not declare UnauthorizedException.
	_, err = s.client(reader).StopMatchmaking(t.Context(), &gamelift.StopMatchmakingInput{TicketId: new("t")})
	refused(t, err, "AccessDeniedException", "Access key "+reader.ID+" (dashboard) is not authorized to perform: gamelift:StopMatchmaking")
	if _, err := s.client(joiner).StopMatchmaking(t.Context(), &gamelift.StopMatchmakingInput{TicketId: new("t")}); err != nil {
		t.Errorf("allowed by a pattern: %v", err)
	}
	_, err = s.client(joiner).ListFleets(t.Context(), nil)
	refused(t, err, "AccessDeniedException", "Access key "+joiner.ID+" (lobby)")
	if status, answer := s.postJSON(t, reader, "DeleteFleet", `{"FleetId":"fleet-1"}`, nil); status != http.StatusBadRequest || answer["__type"] != "AccessDeniedException" {
		t.Errorf("JSON: got %d %v", status, answer)
	}
	if err := s.keys.Revoke(t.Context(), reader.ID); err != nil {
		t.Fatal(err)
	}
	err = s.signed.Authorize(t.Context(), awsapi.Identity{AccessKeyID: reader.ID}, "ListFleets", nil) // between the two checks
	if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != "UnrecognizedClientException" {
		t.Errorf("revoked in between: %v", err)
	}
}

// TestReadOnlyIsAsTheModelHasIt: a policy "read-only" allows what the model says only looks,
// but for the three operations that hand out credentials.
func TestReadOnlyIsAsTheModelHasIt(t *testing.T) {
	p, err := access.ParsePolicy(access.ReadOnly, operationNames())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range model.Operations {
		hands := o.Name == "GetComputeAccess" || o.Name == "GetComputeAuthToken" || o.Name == "GetInstanceAccess"
		if got, want := p.Allows(access.Request{Operation: o.Name}), o.ReadOnly() && !hands; got != want {
			t.Errorf("%s: %v, want %v", o.Name, got, want)
		}
	}
}

func TestUseOfKeysIsNoted(t *testing.T) {
	s := startSigned(t, (*httptest.Server).Start)
	c := s.create(t, "ci", "full")
	wrong := c
	wrong.Secret = "wrong"
	used := func() bool {
		list, err := s.keys.List(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return !list[0].LastUsedAt.IsZero()
	}
	_, err := s.client(wrong).ListFleets(t.Context(), nil)
	refused(t, err, "InvalidSignatureException", mismatch)
	if used() {
		t.Error("noted for a wrong signature")
	}
	if _, err := s.client(c).ListFleets(t.Context(), nil); err != nil || !used() {
		t.Errorf("not noted, or %v", err)
	}
}

// TestDatabaseFailureIsOurs: it is not taken for an unknown key, and its text stays here.
func TestDatabaseFailureIsOurs(t *testing.T) {
	s := startSigned(t, (*httptest.Server).Start)
	c := s.create(t, "ci", "full")
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.client(c).ListFleets(t.Context(), nil, func(o *gamelift.Options) { o.RetryMaxAttempts = 1 })
	refused(t, err, "InternalServiceException", "An internal error occurred.")
	if !strings.Contains(s.log.String(), "look up access key") {
		t.Errorf("the log does not say why:\n%s", s.log.String())
	}
}

const exampleDial = "Authorization=SigV4&ComputeId=host-1%2Ftask-2&FleetId=fleet-2222bbbb-33cc-44dd-55ee-6666ffff77aa&X-Amz-Algorithm=AWS4-HMAC-SHA256&" +
	"X-Amz-Credential=AKIDEXAMPLE%2F20261125%2Fus-west-2%2Fgamelift%2Faws4_request&X-Amz-Date=20261125T022203Z&" +
	"X-Amz-Signature=34567056d11f51738f44ba59efd1c4eaf7a628014919d062853fa8ca36be1d72&pID=process-1&sdkLanguage=Go&sdkVersion=5.5.0"

// TestDial is the query of a game server that signs, as the Go server SDK does.
func TestDial(t *testing.T) {
	s := startSigned(t, (*httptest.Server).Start)
	s.signed.Now = func() time.Time { return time.Date(2026, 11, 25, 2, 22, 3, 0, time.UTC) }
	query, err := url.ParseQuery(exampleDial)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(live bool) string {
		err := s.signed.Dial(t.Context(), query, live)
		if err == nil {
			return ""
		}
		e, ok := errors.AsType[*apierr.Error](err)
		if !ok {
			t.Fatal(err)
		}
		return e.Code
	}
	if got := dial(false); got != "UnrecognizedClientException" {
		t.Errorf("an unknown key: %s", got)
	}
	if _, _, err := s.keys.EnsureRoot(t.Context(), "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"); err != nil {
		t.Fatal(err)
	}
	if got := dial(false); got != "" {
		t.Errorf("a known key: %s", got)
	}
	s.signed.Now = func() time.Time { return time.Date(2026, 11, 26, 2, 22, 3, 0, time.UTC) }
	if got := dial(false); got != "InvalidSignatureException" {
		t.Errorf("a day later: %s", got)
	}
	if got := dial(true); got != "" {
		t.Errorf("a day later, of a process that lives: %s", got)
	}
	err = s.db.Write(t.Context(), func(tx *store.Tx) error {
		tx.Notify("access", "")
		_, err := tx.Exec(`UPDATE access_key SET policy = '["read-only"]'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := dial(true); got != "AccessDeniedException" {
		t.Errorf("a key that may only read: %s", got)
	}
}

// TestNoSecretShows scans everything a server says and logs for the credentials in play.
func TestNoSecretShows(t *testing.T) {
	s := startSigned(t, transports["http2"])
	good := s.create(t, "ci", "read-only")
	temporary, err := s.keys.CreateTemporary(t.Context(), "job", "full", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	canaries := []string{
		string(good.Secret), string(temporary.Secret), string(temporary.Token),
		strings.Repeat("k", access.SealKeySize), "wrong-secret-canary", "wrong-token-canary", "Signature=",
	}
	var said bytes.Buffer
	call := func(c access.Credentials, change func(*http.Request)) {
		for _, op := range []string{"ListFleets", "DeleteFleet", "Nonsense"} {
			_, answer := s.postJSON(t, c, op, `{"FleetId":"fleet-1"}`, change)
			text, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			said.Write(text)
		}
		_, err := s.client(c).DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: new("fleet-1")})
		if e, ok := errors.AsType[smithy.APIError](err); ok {
			said.WriteString(e.ErrorCode() + e.ErrorMessage())
		}
	}
	mistaken := temporary
	mistaken.Token = "wrong-token-canary"
	for _, c := range []access.Credentials{good, temporary, mistaken, {ID: good.ID, Secret: "wrong-secret-canary"}} {
		call(c, nil)
		for _, part := range []string{"Credential", "SignedHeaders", "Signature", "AWS4-HMAC-SHA256", "/gamelift/", "/us-west-2/", "aws4_request", c.ID + "/"} {
			call(c, func(r *http.Request) {
				r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), part, "x", 1))
			})
		}
		call(c, func(r *http.Request) { r.Header.Set("X-Amz-Date", "20010101T000000Z") })
		call(c, func(r *http.Request) { r.Header["X-Amz-Security-Token"] = []string{"a", string(temporary.Token)} })
		call(c, func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "x") })
	}
	// Our own faults: a secret that does not open, a policy that cannot be read, no database.
	for _, statement := range []string{`UPDATE access_key SET secret = secret || 'x'`, `UPDATE access_key SET policy = '{'`} {
		err := s.db.Write(t.Context(), func(tx *store.Tx) error {
			tx.Notify("access", "")
			_, err := tx.Exec(statement)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		call(good, nil)
	}
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	call(temporary, nil)
	for where, text := range map[string]string{"log": s.log.String(), "answers": said.String()} {
		for _, canary := range canaries {
			if strings.Contains(text, canary) {
				t.Errorf("%q shows in the %s:\n%s", canary, where, text)
			}
		}
	}
	for _, want := range []string{"secret of access key", "policy of access key", "access_key=" + good.ID} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log does not have %q", want)
		}
	}
	if !strings.Contains(said.String(), "InvalidSignatureException") {
		t.Error("nothing was said")
	}
}

// BenchmarkSigned is the whole way of a small request, unsigned and signed.
func BenchmarkSigned(b *testing.B) {
	s := startSigned(b, (*httptest.Server).Start)
	c := s.create(b, "ci", "full")
	const body = `{"Limit":7}`
	list := awsapi.Op(func(context.Context, *gamelift.ListFleetsInput) (*gamelift.ListFleetsOutput, error) {
		return &gamelift.ListFleetsOutput{}, nil
	})
	for name, server := range map[string]*awsapi.Server{
		"anyone": {Auth: awsapi.Anyone{}, Operations: []awsapi.Operation{list}, Logger: slog.New(slog.DiscardHandler)},
		"signed": {Auth: s.signed, Authorize: s.signed.Authorize, Operations: []awsapi.Operation{list}, Logger: slog.New(slog.DiscardHandler)},
	} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			r.Header.Set("X-Amz-Target", "GameLift.ListFleets")
			sum := sha256.Sum256([]byte(body))
			if err := v4.NewSigner().SignHTTP(b.Context(), credentials(c), r, hex.EncodeToString(sum[:]), "gamelift", "us-west-2", time.Now()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(strings.NewReader(body))
				w := httptest.NewRecorder()
				if server.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}

// Forms of signatures that other services take are refused, and what is put between the
// signer and us.
func TestSignaturesOfOtherForms(t *testing.T) {
	s := startSigned(t, (*httptest.Server).Start)
	c := s.create(t, "c", "full")
	const ok = "ok"
	for name, k := range map[string]struct {
		change func(*http.Request)
		code   string
	}{
		"as it is":                {func(*http.Request) {}, ok},
		"in chunks":               {func(r *http.Request) { r.ContentLength = -1; r.TransferEncoding = []string{"chunked"} }, "InvalidSignatureException"}, // the length was signed
		"no hash":                 {func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, "InvalidSignatureException"},
		"a hash for S3's streams": {func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER") }, "InvalidSignatureException"},
		"another body":            {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"Limit":1}`)); r.ContentLength = 11 }, "InvalidSignatureException"},
		"a second operation":      {func(r *http.Request) { r.Header.Add("X-Amz-Target", "GameLift.DeleteFleet") }, "UnknownOperationException"},
		"another operation":       {func(r *http.Request) { r.Header.Set("X-Amz-Target", "GameLift.DeleteFleet") }, "InvalidSignatureException"},
		"a second date":           {func(r *http.Request) { r.Header.Add("X-Amz-Date", r.Header.Get("X-Amz-Date")) }, "IncompleteSignatureException"},
		"a second signature":      {func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, "IncompleteSignatureException"},
		"a second type":           {func(r *http.Request) { r.Header.Add("Content-Type", "text/plain") }, "InvalidSignatureException"},
		"another scheme":          {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "IncompleteSignatureException"},
		"none":                    {func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException"},
		"a long one": {func(r *http.Request) {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 "+strings.Repeat("Credential=", 4000))
		}, "IncompleteSignatureException"},
	} {
		status, answer := s.postJSON(t, c, "ListFleets", `{}`, k.change)
		if code, _ := answer["__type"].(string); k.code == ok && status != 200 || k.code != ok && (status != 400 || code != k.code) {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	// A link that was signed asks nothing here: it cannot name an operation.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/?X-Amz-Expires=60", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(nil)
	link, _, err := v4.NewSigner().PresignHTTP(t.Context(), credentials(c), r, hex.EncodeToString(sum[:]), "gamelift", "us-west-2", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r, err := http.NewRequestWithContext(t.Context(), method, link, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if method == http.MethodPost {
			r.Header.Set("X-Amz-Target", "GameLift.ListFleets")
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if strings.Contains(string(text), "FleetIds") || method == http.MethodPost && !strings.Contains(string(text), "IncompleteSignatureException") {
			t.Errorf("%s a signed link: %d %s", method, resp.StatusCode, text)
		}
	}
}

// Whoever signed in with a key, as to the console, has it no longer than it lasts.
func TestAKeyThatEndsBetweenTheChecks(t *testing.T) {
	s := startSigned(t, (*httptest.Server).Start)
	c := s.create(t, "desk", "full")
	if _, err := s.keys.Rotate(t.Context(), c.ID, time.Hour); err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		return s.signed.Authorize(t.Context(), awsapi.Identity{AccessKeyID: c.ID}, "ListFleets", nil)
	}
	if err := ask(); err != nil {
		t.Errorf("while it lasts: %v", err)
	}
	s.ahead.Store(int64(61 * time.Minute))
	var e *apierr.Error
	if err := ask(); !errors.As(err, &e) || e.Code != "ExpiredTokenException" {
		t.Errorf("after its end: %v", err)
	}
}

// A policy that looks where a request comes from holds for the dials of game servers.
func TestDialsComeFromSomewhere(t *testing.T) {
	s := startSigned(t, (*httptest.Server).Start)
	s.signed.Now = func() time.Time { return time.Date(2026, 11, 25, 2, 22, 3, 0, time.UTC) }
	if _, _, err := s.keys.EnsureRoot(t.Context(), "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"); err != nil {
		t.Fatal(err)
	}
	const denied = "AccessDeniedException"
	for _, c := range []struct{ condition, from, code string }{
		{`"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, "192.0.2.7:1000", ""},
		{`"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, "198.51.100.7:1000", denied},
		{`"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, "192.0.2.7:1000", denied},
		{`"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, "198.51.100.7:1000", ""},
		{`"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, "", denied},
		{`"Bool":{"aws:SecureTransport":"true"}`, "192.0.2.7:1000", denied},
	} {
		policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"gamelift:GetComputeAuthToken","Resource":"*","Condition":{` + c.condition + `}}}`
		err := s.db.Write(t.Context(), func(tx *store.Tx) error {
			tx.Notify("access", "")
			_, err := tx.Exec(`UPDATE access_key SET policy = $1`, policy)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+exampleDial, http.NoBody)
		r.RemoteAddr = c.from
		awsapi.WithOrigin(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			err = s.signed.Dial(r.Context(), r.URL.Query(), false)
		})).ServeHTTP(httptest.NewRecorder(), r)
		code := ""
		if e, ok := errors.AsType[*apierr.Error](err); ok {
			code = e.Code
		}
		if code != c.code || (err == nil) != (code == "") {
			t.Errorf("%s from %q: %v", c.condition, c.from, err)
		}
	}
}
