package sigv4

import (
	"bytes"
	"crypto/sha256"
	"net/url"
	"time"
)

// dialed are the parameters a game server signs when it dials, in their order.
var dialed = [...]string{"ComputeId", "FleetId", "pID"}

// VerifyDial tells whether the query a server SDK dials with was signed by the key it
// names (server-sdk-protocol.md 1.3): compute, fleet and process and the time, and nothing
// else of it. find and the id returned are as Verify has them.
//
// live says that the process is known and still lives. SDKs dial again with the query of
// their first dial, hours later: then neither the age of the signature nor the end of its
// session token counts, but the key must still be there.
func (v *Verifier) VerifyDial(query url.Values, now time.Time, live bool, find func(id string) (Key, error)) (keyID string, err error) {
	p, err := readDial(query)
	if err != nil {
		return "", err
	}
	c, err := parseCredential(p.credential)
	if err != nil {
		return c.keyID, err
	}
	t, err := parseStamp(p.stamp, c.date)
	if err != nil {
		return c.keyID, err
	}
	if err := v.checkSkew(p.stamp, t, now); err != nil && (!live || t.After(now)) {
		return c.keyID, err
	}
	if err := v.checkScope(c); err != nil {
		return c.keyID, err
	}
	key, err := find(c.keyID)
	if err != nil {
		return c.keyID, err
	}
	if err := v.checkDial(query, p, c, &key); err != nil {
		return c.keyID, err
	}
	if err := key.checkToken(p.token); err != nil || live {
		return c.keyID, err
	}
	return c.keyID, key.checkExpiry(now)
}

// dial is the part of a query that belongs to its signature.
type dial struct{ algorithm, credential, stamp, token, signature string }

func readDial(query url.Values) (dial, error) {
	var d dial
	for _, p := range [...]struct {
		name string
		to   *string
	}{
		{"X-Amz-Algorithm", &d.algorithm},
		{"X-Amz-Credential", &d.credential},
		{"X-Amz-Date", &d.stamp},
		{"X-Amz-Security-Token", &d.token},
		{"X-Amz-Signature", &d.signature},
	} {
		values := query[p.name]
		if len(values) > 1 {
			return d, incomplete("The query string has '%s' more than once.", p.name)
		}
		if len(values) == 1 {
			*p.to = values[0]
		}
	}
	for _, name := range dialed {
		if len(query[name]) > 1 {
			return d, incomplete("The query string has '%s' more than once.", name)
		}
	}
	switch {
	case d.signature == "" && d.credential == "":
		return d, errMissing
	case d.algorithm != algorithm:
		return d, incomplete("Unsupported X-Amz-Algorithm: want '%s'.", algorithm)
	case d.signature == "" || d.credential == "" || d.stamp == "":
		return d, incomplete("AWS query-string parameters must include 'X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Signature', 'X-Amz-Date'.")
	}
	return d, nil
}

func (v *Verifier) checkDial(query url.Values, d dial, c credential, key *Key) error {
	var canonical []byte
	for i, name := range dialed {
		if i > 0 {
			canonical = append(canonical, '&')
		}
		canonical = append(canonical, name...)
		canonical = append(canonical, '=')
		canonical = appendEncoded(canonical, query.Get(name), false)
	}
	signing, kept := v.keys.get(key.Secret, c)
	signed := func(canonical []byte) bool {
		return signing.signs(appendToSign(nil, d.stamp, c.scope, sha256.Sum256(canonical)), d.signature)
	}
	// The Go SDK writes a space as a plus.
	if !signed(canonical) && !signed(bytes.ReplaceAll(canonical, []byte("%20"), []byte("+"))) {
		return errMismatch
	}
	if !kept {
		v.keys.put(key.Secret, c, signing)
	}
	return nil
}
