package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"sync"
	"time"
)

// Key is what a signature is checked against.
type Key struct {
	Secret    string
	Temporary bool              // requests carry a session token
	TokenSum  [sha256.Size]byte // of the session token
	Expires   time.Time         // of the session token; zero: never
}

// checkToken tells whether a request carries the session token that was issued with the
// key, which may be none.
func (k *Key) checkToken(token string) error {
	if !k.Temporary {
		if token != "" {
			return ErrUnknownKey
		}
		return nil
	}
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], k.TokenSum[:]) != 1 {
		return ErrUnknownKey
	}
	return nil
}

func (k *Key) checkExpiry(now time.Time) error {
	if !k.Expires.IsZero() && !now.Before(k.Expires) {
		return errExpired
	}
	return nil
}

// signingKey is derived from a secret for one day, region and service.
type signingKey [sha256.Size]byte

func derive(secret string, c credential) (k signingKey) {
	step := func(key []byte, data string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(data))
		return h.Sum(nil)
	}
	copy(k[:], step(step(step(step([]byte("AWS4"+secret), c.date), c.region), c.service), terminator))
	return k
}

// signs tells whether a signature, in lower-case hexadecimal, is the key's of a text.
func (k *signingKey) signs(text []byte, signature string) bool {
	h := hmac.New(sha256.New, k[:])
	h.Write(text)
	var sum [sha256.Size]byte
	var want [2 * sha256.Size]byte
	hex.Encode(want[:], h.Sum(sum[:0]))
	return subtle.ConstantTimeCompare(want[:], []byte(signature)) == 1
}

// maxKeys bounds the signing keys kept: one a key, day, region and service.
const maxKeys = 4096

// keys keeps signing keys, so that a request costs one HMAC and not five. Only keys whose
// signature was right are kept: a stranger cannot fill it.
type keys struct {
	mu   sync.RWMutex
	kept map[keyName]keptKey
}

type keyName struct{ id, date, region, service string }

type keptKey struct {
	secret string // it was derived from; another one makes it stale
	key    signingKey
}

func (k *keys) get(secret string, c credential) (key signingKey, kept bool) {
	k.mu.RLock()
	found, ok := k.kept[keyName{c.keyID, c.date, c.region, c.service}]
	k.mu.RUnlock()
	if ok && found.secret == secret {
		return found.key, true
	}
	return derive(secret, c), false
}

func (k *keys) put(secret string, c credential, key signingKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == nil {
		k.kept = map[keyName]keptKey{}
	}
	for name := range k.kept {
		if len(k.kept) < maxKeys {
			break
		}
		delete(k.kept, name) // any: whoever comes back pays for one derivation
	}
	// The parts of the name would keep the request's header in memory.
	name := keyName{strings.Clone(c.keyID), strings.Clone(c.date), strings.Clone(c.region), strings.Clone(c.service)}
	k.kept[name] = keptKey{secret, key}
}
