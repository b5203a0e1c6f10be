package build

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/matchyard/matchyard/internal/store"
)

const (
	linkSecret  = "links"
	sealPurpose = "matchyard build secrets 1"
)

// LinkSecret is the secret by which links to files are signed. All nodes have the same, from
// the first start on.
func (s *Service) LinkSecret(ctx context.Context) (secret []byte, err error) {
	var fresh [32]byte
	_, _ = rand.Read(fresh[:]) // never fails
	stored := hex.EncodeToString(fresh[:])
	if len(s.Seal) > 0 {
		if stored, err = s.Seal.Close(sealPurpose, linkSecret, stored); err != nil {
			return nil, err
		}
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO build_secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`, linkSecret, stored)
		if err != nil {
			return err
		}
		secret, _, err = s.linkSecretTx(tx, "")
		return err
	})
	return secret, err
}

// Reseal stores the secret of links under the first seal key, if it is under none or another.
func (s *Service) Reseal(ctx context.Context) (done bool, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		done = false
		secret, stale, err := s.linkSecretTx(tx, tx.ForUpdate())
		if errors.Is(err, store.ErrNoRows) { // no server was ever started
			return nil
		}
		if err != nil || !stale {
			return err
		}
		stored, err := s.Seal.Close(sealPurpose, linkSecret, hex.EncodeToString(secret))
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE build_secret SET value = $2 WHERE name = $1`, linkSecret, stored)
		done = err == nil
		return err
	})
	return done, err
}

func (s *Service) linkSecretTx(tx *store.Tx, lock string) (secret []byte, stale bool, err error) {
	var stored string
	if err := tx.QueryRow(`SELECT value FROM build_secret WHERE name = $1`+lock, linkSecret).Scan(&stored); err != nil {
		return nil, false, err
	}
	if secret, err := hex.DecodeString(stored); err == nil { // stored without a seal key
		return secret, len(s.Seal) > 0, nil
	}
	text, stale, err := s.Seal.Open(sealPurpose, linkSecret, stored)
	if err == nil {
		secret, err = hex.DecodeString(text)
	}
	if err != nil {
		return nil, false, fmt.Errorf("secret of links to files: %w", err)
	}
	return secret, stale, nil
}
