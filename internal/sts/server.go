package sts

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/sigv4"
)

// SigningName is the service that requests are signed for.
const SigningName = "sts"

// Operation is the one operation, as policies and metrics name it. Policies need not.
const Operation = "sts:" + getCallerIdentity

const (
	getCallerIdentity = "GetCallerIdentity"
	version           = "2011-06-15"
	namespace         = "https://sts.amazonaws.com/doc/2011-06-15/"

	form     = "application/x-www-form-urlencoded"
	mostBody = 64 << 10
)

// Server answers GetCallerIdentity in the AWS Query protocol: as a form that is posted, or
// in the query string, signed there or in the header. It takes no permission to ask.
type Server struct {
	Account string           // of the server
	Auth    awsapi.Auth      // needed; an awsapi.Signed has a Verifier for Query
	Logger  *slog.Logger     // nil: slog.Default
	Now     func() time.Time // measures durations; nil: time.Now

	// Throttle, Observe and Failed are awsapi.Server's.
	Throttle *awsapi.Throttle
	Observe  func(op, protocol, code string, d time.Duration)
	Failed   func(r *http.Request, key, op, code string)
}

// Handler answers what is STS's and hands all else to next: requests of other protocols, and
// those of the Query protocol for others of AWS's services, named by others.
func (s *Server) Handler(next http.Handler, others ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.claims(r, others) {
			next.ServeHTTP(w, r)
			return
		}
		s.serve(w, r)
	})
}

// claims tells whether a request is STS's: it is of the Query protocol, and signed for this
// service, or its action is none of the others'.
func (s *Server) claims(r *http.Request, others []string) bool {
	const scope = "/" + SigningName + "/aws4_request"
	if len(r.Header["X-Amz-Target"]) > 0 || len(r.Header["Smithy-Protocol"]) > 0 {
		return false
	}
	switch r.Method {
	case http.MethodGet:
		if !strings.Contains(r.URL.RawQuery, "Action=") {
			return false
		}
		q := r.URL.Query()
		return strings.HasSuffix(q.Get("X-Amz-Credential"), scope) || !slices.Contains(others, q.Get("Action"))
	case http.MethodPost:
		if strings.Contains(r.Header.Get("Authorization"), scope) {
			return true
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != form {
			return false
		}
		head, err := io.ReadAll(io.LimitReader(r.Body, mostBody+1))
		r.Body = &again{io.MultiReader(bytes.NewReader(head), failing{err}, r.Body), r.Body}
		q, _ := url.ParseQuery(string(head))
		return !slices.Contains(others, q.Get("Action")) && !slices.Contains(others, r.URL.Query().Get("Action"))
	}
	return false
}

// again is a body of which some was read already.
type again struct {
	io.Reader
	io.Closer
}

// failing repeats what reading ended with.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// fault is an error as the caller sees it.
type fault struct {
	code, text string
	status     int
}

func (f *fault) Error() string { return f.code + ": " + f.text }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	start, id := now(), requestID()
	who, operation, err := s.ask(w, r)
	status, code := http.StatusOK, "OK"
	var document any
	if err == nil {
		document = s.answer(who, id)
	} else {
		f := s.faultOf(r, id, err)
		status, code, document = f.status, f.code, refusal(f, id)
	}
	text, err := xml.Marshal(document)
	if err != nil {
		panic(err) // strings always marshal
	}
	h := w.Header()
	h.Set("X-Amzn-Requestid", id)
	h.Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(text) // an error means that the client is gone
	if s.Observe != nil {
		s.Observe(operation, "query", code, now().Sub(start))
	}
	if s.Failed != nil && code != "OK" {
		s.Failed(r, who.AccessKeyID, operation, code)
	}
}

// ask finds out who calls and what for. The operation is "" unless it is the one there is.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) (who awsapi.Identity, operation string, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return who, "", &fault{"RequestEntityTooLarge", "The request body is too large.", http.StatusRequestEntityTooLarge}
	}
	if err != nil {
		return who, "", &fault{"IncompleteBody", "The request body could not be read.", http.StatusBadRequest}
	}
	q, err := parameters(r, body)
	if err != nil {
		return who, "", err
	}
	action := q.Get("Action")
	if action == getCallerIdentity && q.Get("Version") == version {
		operation = Operation
	}
	if who, err = s.Auth.Authenticate(r, func() ([]byte, error) { return body, nil }); err != nil {
		return who, operation, err
	}
	switch {
	case action == "":
		return who, "", &fault{"MissingAction", "The request must contain the parameter Action.", http.StatusBadRequest}
	case operation == "":
		v := q.Get("Version")
		if v == "" {
			v = "NO_VERSION_SPECIFIED"
		}
		return who, "", &fault{"InvalidAction", fmt.Sprintf("Could not find operation %s for version %s: this server has %s for version %s", clip(action), clip(v), getCallerIdentity, version), http.StatusBadRequest}
	case s.Throttle != nil:
		err = s.Throttle.Take(who.AccessKeyID, operation)
	}
	return who, operation, err
}

// parameters are those of the query string and of a form's body. One that comes twice could
// be read in two ways.
func parameters(r *http.Request, body []byte) (url.Values, error) {
	q, err1 := url.ParseQuery(r.URL.RawQuery)
	if r.Method == http.MethodGet {
		body = nil
	}
	f, err2 := url.ParseQuery(string(body))
	if err1 != nil || err2 != nil {
		return nil, &fault{"MalformedQueryString", "The parameters are not URL-encoded.", http.StatusBadRequest}
	}
	for name, values := range f {
		q[name] = append(q[name], values...)
	}
	for _, name := range []string{"Action", "Version"} {
		if len(q[name]) > 1 {
			return nil, &fault{"InvalidParameterCombination", "The request has the parameter " + name + " more than once.", http.StatusBadRequest}
		}
	}
	return q, nil
}

func clip(text string) string {
	if len(text) > 100 {
		return text[:100] + "…"
	}
	return text
}

// codes are what STS calls the refusals of signatures, which are 403 there.
var codes = map[string]struct {
	code   string
	status int
}{
	string(sigv4.MissingAuthenticationToken): {"MissingAuthenticationToken", http.StatusForbidden},
	string(sigv4.IncompleteSignature):        {"IncompleteSignature", http.StatusBadRequest},
	string(sigv4.UnrecognizedClient):         {"InvalidClientTokenId", http.StatusForbidden},
	string(sigv4.InvalidSignature):           {"SignatureDoesNotMatch", http.StatusForbidden},
	string(sigv4.ExpiredToken):               {"ExpiredToken", http.StatusForbidden},
	"ThrottlingException":                    {"Throttling", http.StatusBadRequest},
}

func (s *Server) faultOf(r *http.Request, id string, err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		if c, known := codes[e.Code]; known {
			return &fault{c.code, e.Message, c.status}
		}
	}
	if !errors.Is(err, context.Canceled) {
		logger := s.Logger
		if logger == nil {
			logger = slog.Default()
		}
		logger.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("operation", Operation), slog.String("request_id", id), slog.Any("error", err))
	}
	return &fault{"InternalFailure", "An internal error occurred. The server's log has it under request id " + id + ".", http.StatusInternalServerError}
}

type errorDocument struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func refusal(f *fault, id string) errorDocument {
	kind := "Sender"
	if f.status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	return errorDocument{Namespace: namespace, Type: kind, Code: f.code, Message: f.text, RequestID: id}
}

type identityDocument struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Arn       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

// answer says who has an access key, in AWS's forms: the root key is the account's root, a
// key of a session a federated user, any other a user by the key's name. A key that was
// rotated is the same user as before.
func (s *Server) answer(who awsapi.Identity, id string) identityDocument {
	d := identityDocument{Namespace: namespace, Account: s.Account, RequestID: id}
	name := userName(who)
	switch {
	case who.Root:
		d.Arn, d.UserID = "arn:aws:iam::"+s.Account+":root", s.Account
	case who.Temporary:
		d.Arn, d.UserID = "arn:aws:sts::"+s.Account+":federated-user/"+name, s.Account+":"+name
	default:
		sum := sha256.Sum256([]byte(who.Name + "\x00" + name))
		d.Arn, d.UserID = "arn:aws:iam::"+s.Account+":user/"+name, "AIDA"+base32.StdEncoding.EncodeToString(sum[:])[:17]
	}
	return d
}

// userName is the name of a key's owner as far as IAM's users can be called that; of one
// without a name its id.
func userName(who awsapi.Identity) string {
	name := who.Name
	if name == "" {
		name = who.AccessKeyID
	}
	if name == "" {
		return "anonymous"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("+=,.@-_", r):
			return r
		}
		return '_'
	}, name)
}

// requestID makes a version 4 UUID.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
