package sigv4

import (
	"net/http"
	"net/url"
	"time"
)

// verifyInQuery is Verify for a request that has its signature in the query string, as the
// links that SDKs presign do. It is good for as long as it says.
func (v *Verifier) verifyInQuery(r *http.Request, now time.Time, find func(id string) (Key, error), body func() ([]byte, error)) (keyID string, err error) {
	if len(r.Header["Authorization"]) > 0 {
		return "", incomplete("The request has more than one signature.")
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", incomplete("The query string is not URL-encoded.")
	}
	p, err := readPresigned(q)
	if err != nil {
		return p.keyID, err
	}
	now = now.UTC()
	if limit := now.Add(v.skew()); p.at.After(limit) {
		return p.keyID, invalid("Signature not yet current: %s is still later than %s (%s + %s)", p.stamp, limit.Format(timeFormat), now.Format(timeFormat), minutes(v.skew()))
	}
	if end := p.at.Add(p.life); now.After(end) {
		return p.keyID, invalid("Signature expired: %s is now later than %s", now.Format(timeFormat), end.Format(timeFormat))
	}
	if err := v.checkScope(p.credential); err != nil {
		return p.keyID, err
	}
	if err := p.ordered(); err != nil {
		return p.keyID, err
	}
	if !p.has("host") {
		return p.keyID, invalid("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if err := allSigned(r, &p.authorization); err != nil {
		return p.keyID, err
	}
	key, err := find(p.keyID)
	if err != nil {
		return p.keyID, err
	}
	payload, err := body()
	if err != nil {
		return p.keyID, err
	}
	if err := v.checkSignature(r, &p.authorization, p.stamp, payload, &key); err != nil {
		return p.keyID, err
	}
	if err := key.checkToken(p.token); err != nil {
		return p.keyID, err
	}
	return p.keyID, key.checkExpiry(now)
}
