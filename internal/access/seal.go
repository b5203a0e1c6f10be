package access

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// SealKeySize is the size of Service.SealKey.
const SealKeySize = 32

// Stored forms of a secret. The number lets a later form stand beside this one.
const (
	plainPrefix  = "plain:"
	sealedPrefix = "aes-gcm-1:" // base64 of nonce and ciphertext
)

// seal makes the stored form of a secret. It is bound to the key's id: a sealed secret
// moved to another row does not open.
func (s *Service) seal(id string, secret Secret) (string, error) {
	if len(s.SealKey) == 0 {
		return plainPrefix + string(secret), nil
	}
	c, err := s.cipher()
	if err != nil {
		return "", err
	}
	nonce := make([]byte, c.NonceSize(), c.NonceSize()+len(secret)+c.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return sealedPrefix + base64.StdEncoding.EncodeToString(c.Seal(nonce, nonce, []byte(secret), []byte(id))), nil
}

// open is the inverse of seal. Secrets stored plain, before there was a seal key, open with
// any.
func (s *Service) open(id, stored string) (Secret, error) {
	if plain, ok := strings.CutPrefix(stored, plainPrefix); ok {
		return Secret(plain), nil
	}
	text, ok := strings.CutPrefix(stored, sealedPrefix)
	if !ok {
		return "", fmt.Errorf("secret of access key %s: stored in an unknown form", id)
	}
	if len(s.SealKey) == 0 {
		return "", fmt.Errorf("secret of access key %s: it is sealed, and there is no seal key", id)
	}
	c, err := s.cipher()
	if err != nil {
		return "", err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) < c.NonceSize() {
		return "", fmt.Errorf("secret of access key %s: damaged", id)
	}
	secret, err := c.Open(nil, raw[:c.NonceSize()], raw[c.NonceSize():], []byte(id))
	if err != nil {
		return "", fmt.Errorf("secret of access key %s: sealed with another seal key, or damaged", id)
	}
	return Secret(secret), nil
}

var errSealKey = errors.New("the seal key must be 32 bytes long")

func (s *Service) cipher() (cipher.AEAD, error) {
	if len(s.SealKey) != SealKeySize {
		return nil, errSealKey
	}
	key, err := hkdf.Key(sha256.New, s.SealKey, nil, "matchyard access key secrets 1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
