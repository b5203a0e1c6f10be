package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// S3 signs as the other services do, but for this: paths are encoded once and not cleaned,
// the payload's hash is a header and not computed, a signature may be in the query instead
// of the header, and a body may be signed chunk by chunk.

// TimeSkewed is the code for a request whose time is too far from ours, which S3 tells
// apart.
const TimeSkewed Code = "RequestTimeTooSkewed"

// Payload hashes that are none, as S3's clients send them.
const (
	UnsignedPayload         = "UNSIGNED-PAYLOAD"
	StreamingUnsigned       = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	StreamingSigned         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingSignedTrailing = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
)

const (
	maxPresigned = 7 * 24 * time.Hour // the longest life of a signature in the query
	emptyHash    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// S3Request is a request to S3 whose signature is right.
type S3Request struct {
	KeyID string
	// Payload is the claimed hash of the body: hexadecimal SHA-256, or one of the constants.
	// Holding the body to it is the caller's part.
	Payload string

	key      signingKey
	stamp    string
	scope    string
	previous string // signature
}

// VerifyS3 is Verify for S3. The body is not read: the request says what its hash is, and
// that is signed. find is given the session token too.
func (v *Verifier) VerifyS3(r *http.Request, now time.Time, find func(id, token string) (Key, error)) (S3Request, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return S3Request{}, incomplete("The query string is not URL-encoded.")
	}
	inQuery := q.Has("X-Amz-Signature")
	switch values := r.Header["Authorization"]; {
	case len(values) > 1 || len(values) == 1 && inQuery:
		return S3Request{}, incomplete("The request has more than one signature.")
	case inQuery:
		return v.verifyPresigned(r, q, now, find)
	case len(values) == 0 || values[0] == "":
		return S3Request{}, errMissing
	}
	a, err := parseAuthorization(r.Header["Authorization"][0])
	if err != nil {
		return S3Request{}, err
	}
	stamp, t, err := readStamp(r, a.date)
	if err != nil {
		return S3Request{}, err
	}
	if v.checkSkew(stamp, t, now) != nil {
		return S3Request{}, &Error{TimeSkewed, "The difference between the request time and the current time is too large."}
	}
	payload, err := single(r, headerHash)
	if err != nil {
		return S3Request{}, err
	}
	if !isHash(payload) && payload != UnsignedPayload && payload != StreamingUnsigned && payload != StreamingSigned && payload != StreamingSignedTrailing {
		return S3Request{}, incomplete("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, " +
			"STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.")
	}
	if !a.has("x-amz-date") && !a.has("date") {
		return S3Request{}, invalid("'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization.")
	}
	token, err := single(r, headerToken)
	if err != nil {
		return S3Request{}, err
	}
	return v.verifyS3(r, r.URL.RawQuery, &a, stamp, payload, token, now, find)
}

// verifyPresigned takes a signature from the query.
func (v *Verifier) verifyPresigned(r *http.Request, q url.Values, now time.Time, find func(id, token string) (Key, error)) (S3Request, error) {
	p, err := readPresigned(q)
	if err != nil {
		return S3Request{}, err
	}
	if p.at.After(now.Add(v.skew())) {
		return S3Request{}, &Error{TimeSkewed, "Request is not yet valid."}
	}
	if now.After(p.at.Add(p.life)) {
		return S3Request{}, &Error{TimeSkewed, "Request has expired."}
	}
	payload := UnsignedPayload
	if claimed := q.Get(headerHash); isHash(claimed) {
		payload = claimed
	}
	return v.verifyS3(r, withoutSignature(r.URL.RawQuery), &p.authorization, p.stamp, payload, p.token, now, find)
}

// presigned is a signature in a query, and for how long from when on it is good.
type presigned struct {
	authorization
	stamp, token string
	at           time.Time
	life         time.Duration
}

func readPresigned(q url.Values) (p presigned, err error) {
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature", headerToken, headerHash} {
		if len(q[name]) > 1 {
			return p, incomplete("The query string has '%s' more than once.", name)
		}
	}
	if q.Get("X-Amz-Algorithm") != algorithm {
		return p, incomplete("X-Amz-Algorithm only supports \"%s\".", algorithm)
	}
	p.signedHeaders, p.signature, p.token = q.Get("X-Amz-SignedHeaders"), q.Get("X-Amz-Signature"), q.Get(headerToken)
	if p.credential, err = parseCredential(q.Get("X-Amz-Credential")); err != nil {
		return p, err
	}
	p.stamp = q.Get("X-Amz-Date")
	if p.at, err = parseStamp(p.stamp, p.date); err != nil {
		return p, err
	}
	seconds, err := strconv.ParseUint(q.Get("X-Amz-Expires"), 10, 32)
	p.life = time.Duration(seconds) * time.Second
	if err != nil || p.life > maxPresigned {
		return p, incomplete("X-Amz-Expires must be a number of seconds, at most a week.")
	}
	return p, nil
}

func (v *Verifier) verifyS3(r *http.Request, query string, a *authorization, stamp, payload, token string, now time.Time, find func(id, token string) (Key, error)) (S3Request, error) {
	if err := v.checkScope(a.credential); err != nil {
		return S3Request{}, err
	}
	if err := a.ordered(); err != nil {
		return S3Request{}, err
	}
	if !a.has("host") {
		return S3Request{}, invalid("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		// A presigned request's headers are whoever's who has the link, but for those that
		// change what it does.
		if mustSign(name) && !a.hasFold(name) && (name != headerHash || r.Header["Authorization"] != nil) {
			return S3Request{}, invalid("There were headers present in the request which were not signed: %s", strings.ToLower(name))
		}
	}
	key, err := find(a.keyID, token)
	if err != nil {
		return S3Request{}, err
	}
	signing, kept := v.keys.get(key.Secret, a.credential)
	signed := S3Request{KeyID: a.keyID, Payload: payload, key: signing, stamp: stamp, scope: a.scope, previous: a.signature}
	ok := false
	for _, path := range s3Paths(r) {
		request, err := appendS3Request(nil, r, path, query, a.signedHeaders, payload)
		if err != nil {
			return S3Request{}, err
		}
		if ok = signing.signs(appendToSign(nil, stamp, a.scope, sha256.Sum256(request)), a.signature); ok {
			break
		}
	}
	if !ok {
		return S3Request{}, errMismatch
	}
	if !kept {
		v.keys.put(key.Secret, a.credential, signing)
	}
	if err := key.checkToken(token); err != nil {
		return S3Request{}, err
	}
	return signed, key.checkExpiry(now)
}

// s3Paths are the path as it was sent, and encoded by the rules of signatures: clients
// differ in what they send for such as ":" and "+", and sign the latter.
func s3Paths(r *http.Request) []string {
	sent, ruled := pathOf(r), string(appendEncoded(nil, r.URL.Path, true))
	if ruled == sent || ruled == "" {
		return []string{sent}
	}
	return []string{sent, ruled}
}

// appendS3Request is appendRequest for S3. path is encoded already.
func appendS3Request(b []byte, r *http.Request, path, query, signedHeaders, payload string) ([]byte, error) {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = append(b, path...)
	b = append(b, '\n')
	b, err := appendQuery(b, query)
	if err != nil {
		return b, err
	}
	b = append(b, '\n')
	if b, err = appendHeaders(b, r, signedHeaders); err != nil {
		return b, err
	}
	b = append(b, '\n')
	b = append(b, signedHeaders...)
	b = append(b, '\n')
	return append(b, payload...), nil
}

// withoutSignature is a query without its signature, which is what the signature is of.
func withoutSignature(raw string) string {
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		if name, _, _ := strings.Cut(part, "="); name != "X-Amz-Signature" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// Chunk tells whether the next chunk of a body is signed, given the SHA-256 of its bytes.
// The last chunk is the empty one.
func (s *S3Request) Chunk(sum [sha256.Size]byte, signature string) bool {
	text := s.chained(algorithm + "-PAYLOAD")
	text = append(text, emptyHash...)
	text = append(text, '\n')
	text = hex.AppendEncode(text, sum[:])
	return s.take(text, signature)
}

// Trailer tells whether the trailing headers of a body are signed, given the SHA-256 of
// their lines.
func (s *S3Request) Trailer(sum [sha256.Size]byte, signature string) bool {
	return s.take(hex.AppendEncode(s.chained(algorithm+"-TRAILER"), sum[:]), signature)
}

// chained begins a string to sign that names the signature before it.
func (s *S3Request) chained(algorithm string) []byte {
	return []byte(algorithm + "\n" + s.stamp + "\n" + s.scope + "\n" + s.previous + "\n")
}

func (s *S3Request) take(text []byte, signature string) bool {
	if !s.key.signs(text, signature) {
		return false
	}
	s.previous = signature
	return true
}

// Hashes tells whether the claimed hash of the whole body is that sum. It is true when none
// was claimed.
func (s *S3Request) Hashes(sum [sha256.Size]byte) bool {
	return !isHash(s.Payload) || subtle.ConstantTimeCompare([]byte(s.Payload), []byte(hex.EncodeToString(sum[:]))) == 1
}

func isHash(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}

func (v *Verifier) skew() time.Duration {
	if v.Skew == 0 {
		return defaultSkew
	}
	return v.Skew
}
