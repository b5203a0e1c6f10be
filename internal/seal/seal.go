// Package seal closes secrets that must be stored and read again, so that who has the
// database, or a copy of it, does not have them. The keys it closes them with are not in the
// database. It knows nothing of what the secrets are for.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// KeySize is the size of a key.
const KeySize = 32

// Ring are keys. The first closes, and all of them open: a new one comes to the front while
// the old ones stay for what they closed. Without keys secrets are stored plain.
type Ring [][]byte

// Stored forms of a secret. The number lets a later form stand beside this one.
const (
	plainPrefix  = "plain:"
	sealedPrefix = "aes-gcm-1:" // base64 of nonce and ciphertext
)

// Errors of Open.
var (
	ErrNoKey   = errors.New("it is sealed, and there is no seal key")
	ErrOther   = errors.New("sealed with another seal key, or damaged")
	ErrForm    = errors.New("stored in an unknown form")
	errKeySize = errors.New("the seal key must be 32 bytes long")
)

// Close makes the stored form of a secret. It is bound to its purpose and to an id: moved to
// another row it does not open.
func (r Ring) Close(purpose, id, secret string) (stored string, err error) {
	if len(r) == 0 {
		return plainPrefix + secret, nil
	}
	c, err := newCipher(r[0], purpose)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, c.NonceSize(), c.NonceSize()+len(secret)+c.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return sealedPrefix + base64.StdEncoding.EncodeToString(c.Seal(nonce, nonce, []byte(secret), []byte(id))), nil
}

// Open is the inverse of Close. Secrets stored plain open with any keys. stale says that
// Close would store it otherwise: with the first key instead of another, or none.
func (r Ring) Open(purpose, id, stored string) (secret string, stale bool, err error) {
	if plain, ok := strings.CutPrefix(stored, plainPrefix); ok {
		return plain, len(r) > 0, nil
	}
	text, ok := strings.CutPrefix(stored, sealedPrefix)
	if !ok {
		return "", false, ErrForm
	}
	if len(r) == 0 {
		return "", false, ErrNoKey
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", false, ErrOther
	}
	for i, key := range r {
		c, err := newCipher(key, purpose)
		if err != nil {
			return "", false, err
		}
		if len(raw) < c.NonceSize() {
			return "", false, ErrOther
		}
		if open, err := c.Open(nil, raw[:c.NonceSize()], raw[c.NonceSize():], []byte(id)); err == nil {
			return string(open), i > 0, nil
		}
	}
	return "", false, ErrOther
}

// Ringed makes a ring of a key, which may be none, and of older ones.
func Ringed(key []byte, older ...[]byte) Ring {
	if len(key) == 0 {
		return nil
	}
	return slices.Concat(Ring{key}, older)
}

func newCipher(key []byte, purpose string) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, errKeySize
	}
	own, err := hkdf.Key(sha256.New, key, nil, purpose, KeySize)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
