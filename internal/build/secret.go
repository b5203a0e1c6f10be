package build

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/matchyard/matchyard/internal/store"
)

// LinkSecret is the secret by which links to files are signed. All nodes have the same, from
// the first start on.
func (s *Service) LinkSecret(ctx context.Context) (secret []byte, err error) {
	var fresh [32]byte
	_, _ = rand.Read(fresh[:]) // never fails
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO build_secret (name, value) VALUES ('links', $1) ON CONFLICT DO NOTHING`, hex.EncodeToString(fresh[:]))
		if err != nil {
			return err
		}
		var text string
		if err := tx.QueryRow(`SELECT value FROM build_secret WHERE name = 'links'`).Scan(&text); err != nil {
			return err
		}
		secret, err = hex.DecodeString(text)
		return err
	})
	return secret, err
}
