package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Verifier verifies requests. It is made by a literal and safe for concurrent use.
type Verifier struct {
	// Services are the services a signature may be for, as in "gamelift". Needed: with none
	// every request is refused. Paths are encoded twice, as all services but s3 have it.
	Services []string
	// Region is the region a signature must be for; "" takes any.
	Region string
	// Skew is how far a request's time may be from ours. 0 means 15 minutes. SDKs correct
	// their clocks from 4 minutes on; with less, some requests would fail for ever
	// (wire-protocol.md 3.5).
	Skew time.Duration
	// Query says that the services speak the AWS Query protocol: the operation stands in the
	// body or the query string, which are signed whole, and in no header; and the signature
	// may be in the query string too.
	Query bool

	keys keys
}

const (
	defaultSkew = 15 * time.Minute

	timeFormat = "20060102T150405Z"
	dateLength = 8 // of the day in it

	headerDate  = "X-Amz-Date"
	headerHash  = "X-Amz-Content-Sha256"
	headerToken = "X-Amz-Security-Token"
)

// Verify tells whether a request was signed, as it is, by the key it names, and not long
// ago. find is asked for that key when everything but the signature is in order, and then
// body, which reads the body; what they return as an error is Verify's. Every refusal of
// Verify's own is an *Error.
//
// The id of the key is returned also with an error, as far as it could be read: then it is
// a mere claim.
func (v *Verifier) Verify(r *http.Request, now time.Time, find func(id string) (Key, error), body func() ([]byte, error)) (keyID string, err error) {
	if v.Query && inQuery(r) {
		return v.verifyInQuery(r, now, find, body)
	}
	a, err := readAuthorization(r)
	if err != nil {
		return a.keyID, err
	}
	stamp, err := v.checkTime(r, a.date, now)
	if err != nil {
		return a.keyID, err
	}
	if err := v.checkScope(a.credential); err != nil {
		return a.keyID, err
	}
	if err := v.checkSigned(r, &a); err != nil {
		return a.keyID, err
	}
	token, err := single(r, headerToken)
	if err != nil {
		return a.keyID, err
	}
	key, err := find(a.keyID)
	if err != nil {
		return a.keyID, err
	}
	payload, err := body()
	if err != nil {
		return a.keyID, err
	}
	if err := v.checkSignature(r, &a, stamp, payload, &key); err != nil {
		return a.keyID, err
	}
	if err := key.checkToken(token); err != nil {
		return a.keyID, err
	}
	return a.keyID, key.checkExpiry(now)
}

// readAuthorization takes the one form of signature there may be.
func readAuthorization(r *http.Request) (authorization, error) {
	switch values := r.Header["Authorization"]; {
	case len(values) > 1 || len(values) == 1 && inQuery(r):
		return authorization{}, incomplete("The request has more than one signature.")
	case inQuery(r):
		return authorization{}, incomplete("Signatures in the query string are not supported: sign with the Authorization header.")
	case len(values) == 0 || values[0] == "":
		return authorization{}, errMissing
	default:
		return parseAuthorization(values[0])
	}
}

// inQuery tells whether the query string has a signature.
func inQuery(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "X-Amz-Signature=") }

// single is the value of a header that may come once; "" when it does not come.
func single(r *http.Request, name string) (string, error) {
	switch values := r.Header[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	default:
		return "", incomplete("The request has the header %s more than once.", name)
	}
}

// checkTime reads when the request was signed, in the form the signature has it, and
// refuses what is too far from now.
func (v *Verifier) checkTime(r *http.Request, date string, now time.Time) (stamp string, err error) {
	stamp, t, err := readStamp(r, date)
	if err != nil {
		return "", err
	}
	return stamp, v.checkSkew(stamp, t, now)
}

// readStamp reads when the request was signed, on the day that its credential names.
func readStamp(r *http.Request, date string) (stamp string, t time.Time, err error) {
	stamp, err = single(r, headerDate)
	if err != nil {
		return "", t, err
	}
	if stamp == "" {
		if stamp, err = single(r, "Date"); err != nil {
			return "", t, err
		}
		if t, err := http.ParseTime(stamp); err == nil {
			stamp = t.UTC().Format(timeFormat)
		}
	}
	if stamp == "" {
		return "", t, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	t, err = parseStamp(stamp, date)
	return stamp, t, err
}

// parseStamp reads a time, whose day must be that of the credential.
func parseStamp(stamp, date string) (time.Time, error) {
	t, err := time.Parse(timeFormat, stamp)
	if err != nil || len(stamp) != len(timeFormat) {
		return t, incomplete("Date must be in ISO-8601 'basic format', as in %s.", timeFormat)
	}
	if stamp[:dateLength] != date {
		return t, invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: %q != '%s', from '%s'.",
			date, stamp[:dateLength], stamp)
	}
	return t, nil
}

func (v *Verifier) checkSkew(stamp string, t, now time.Time) error {
	skew := v.skew()
	now = now.UTC()
	if limit := now.Add(-skew); t.Before(limit.Truncate(time.Second)) {
		return invalid("Signature expired: %s is now earlier than %s (%s - %s)", stamp, limit.Format(timeFormat), now.Format(timeFormat), minutes(skew))
	}
	if limit := now.Add(skew); t.After(limit) {
		return invalid("Signature not yet current: %s is still later than %s (%s + %s)", stamp, limit.Format(timeFormat), now.Format(timeFormat), minutes(skew))
	}
	return nil
}

// minutes is a duration in the service's words.
func minutes(d time.Duration) string {
	if d%time.Minute != 0 {
		return d.String()
	}
	return strconv.Itoa(int(d/time.Minute)) + " min."
}

func (v *Verifier) checkScope(c credential) error {
	if !slices.Contains(v.Services, c.service) {
		return invalid("Credential should be scoped to correct service: '%s'.", strings.Join(v.Services, "' or '"))
	}
	if v.Region != "" && v.Region != c.region {
		return invalid("Credential should be scoped to a valid region: '%s'.", v.Region)
	}
	return nil
}

// checkSigned refuses a request of which more could be changed than its signer meant: the
// operation, above all, is named by a header.
func (v *Verifier) checkSigned(r *http.Request, a *authorization) error {
	if err := a.ordered(); err != nil {
		return err
	}
	if !a.has("host") {
		return invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if !a.has("x-amz-date") && !a.has("date") { // the former is checked below when it is there
		return invalid("'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if !v.Query && !a.has("content-type") {
		return invalid("'Content-Type' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if !v.Query && !a.has("x-amz-target") && !a.has("smithy-protocol") {
		return invalid("'X-Amz-Target' or 'Smithy-Protocol' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return allSigned(r, a)
}

// allSigned refuses a request that has a header which must be signed and is not.
func allSigned(r *http.Request, a *authorization) error {
	for name := range r.Header {
		if mustSign(name) && !a.hasFold(name) {
			return invalid("There were headers present in the request which were not signed: %s", strings.ToLower(name))
		}
	}
	return nil
}

// mustSign tells whether a header must be signed when it is there.
func mustSign(name string) bool {
	const prefix = "X-Amz-"
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) || strings.EqualFold(name, "Smithy-Protocol")
}

func (v *Verifier) checkSignature(r *http.Request, a *authorization, stamp string, payload []byte, key *Key) error {
	sum := sha256.Sum256(payload)
	var hash [2 * sha256.Size]byte
	hex.Encode(hash[:], sum[:])
	claimed, err := single(r, headerHash)
	if err != nil {
		return err
	}
	if claimed != "" && claimed != string(hash[:]) {
		return invalid("The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	signing, kept := v.keys.get(key.Secret, a.credential)
	path := pathOf(r)
	query := r.URL.RawQuery
	if v.Query {
		query = withoutSignature(query)
	}
	ok, err := signedFor(r, path, query, a, stamp, hash[:], &signing)
	if err != nil {
		return err
	}
	if clean, differs := normal(path); !ok && differs {
		if ok, err = signedFor(r, clean, query, a, stamp, hash[:], &signing); err != nil {
			return err
		}
	}
	if !ok {
		return errMismatch
	}
	if !kept {
		v.keys.put(key.Secret, a.credential, signing)
	}
	return nil
}

// signedFor tells whether the request is signed with that path and query string.
func signedFor(r *http.Request, path, query string, a *authorization, stamp string, payloadHash []byte, key *signingKey) (bool, error) {
	var room [1536]byte // most requests fit
	request, err := appendRequest(room[:0], r, path, query, a.signedHeaders, payloadHash)
	if err != nil {
		return false, err
	}
	var text [256]byte
	return key.signs(appendToSign(text[:0], stamp, a.scope, sha256.Sum256(request)), a.signature), nil
}

// appendToSign appends the string to sign.
func appendToSign(b []byte, stamp, scope string, hash [sha256.Size]byte) []byte {
	b = append(b, algorithm...)
	b = append(b, '\n')
	b = append(b, stamp...)
	b = append(b, '\n')
	b = append(b, scope...)
	b = append(b, '\n')
	return hex.AppendEncode(b, hash[:])
}
