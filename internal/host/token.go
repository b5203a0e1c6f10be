package host

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// Token is what agents join with, without its secret.
type Token struct {
	ID        string
	Name      string // what its maker calls it
	CreatedAt time.Time
	UsedAt    time.Time // when a host last joined with it; zero: never
	RevokedAt time.Time // zero: it is not
}

// ErrUnknown says that there is no such token, or no such host.
var ErrUnknown = errors.New("unknown")

const (
	tokenPrefix = "hostkey-"
	maxName     = 128
)

// CreateToken makes a token, which any number of hosts may join with until it is revoked.
// secret is shown once, here; the database has its sum only.
func (s *Service) CreateToken(ctx context.Context, name string) (t Token, secret string, err error) {
	if name == "" || len(name) > maxName || strings.ContainsAny(name, "\x00\r\n") {
		return t, "", fmt.Errorf("name: a token's name has 1 to %d characters on one line", maxName)
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	id := "host-" + hex.EncodeToString(b[:6])
	secret = tokenPrefix + hex.EncodeToString(b[6:])
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		t = Token{ID: id, Name: name, CreatedAt: tx.Now}
		_, err := tx.Exec(`INSERT INTO host_token (id, key, name, sum, created_at) VALUES ($1, $2, $3, $4, $5)`,
			id, tx.NewKey(), name, sum(secret), tx.NowMs())
		return err
	})
	if err != nil {
		return Token{}, "", fmt.Errorf("create host token: %w", err)
	}
	return t, secret, nil
}

// OwnToken makes the token of a host that belongs to the server itself, as the one of a
// development server does. It takes the place of the last one of that name.
func (s *Service) OwnToken(ctx context.Context, name string) (secret string, err error) {
	secret = tokenPrefix + rand.Text()
	return secret, s.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO host_token (id, key, name, sum, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (id) DO UPDATE SET sum = $4, created_at = $5, revoked_at = NULL`, "own-"+name, tx.NewKey(), "the server's own host "+name, sum(secret), tx.NowMs())
		return err
	})
}

// Tokens lists all tokens, the revoked ones too, oldest first.
func (s *Service) Tokens(ctx context.Context) (list []Token, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT id, name, created_at, used_at, revoked_at FROM host_token ORDER BY key`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var t Token
			var created int64
			var used, revoked *int64
			if err := rows.Scan(&t.ID, &t.Name, &created, &used, &revoked); err != nil {
				return err
			}
			t.CreatedAt, t.UsedAt, t.RevokedAt = instant(&created), instant(used), instant(revoked)
			list = append(list, t)
		}
		return rows.Err()
	})
	return list, err
}

// RevokeToken ends a token for good. Hosts that joined with it are refused when they dial
// again; what runs on them goes on. Revoking twice is no error.
func (s *Service) RevokeToken(ctx context.Context, id string) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE host_token SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1`, id, tx.NowMs())
		if err == nil && n == 0 {
			err = fmt.Errorf("host token %q: %w", id, ErrUnknown)
		}
		return err
	})
}

// Authenticate tells whether an agent may dial with a token.
func (s *Service) Authenticate(ctx context.Context, secret string) (ok bool, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		_, err := tokenTx(tx, secret)
		ok = err == nil
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		return err
	})
	return ok, err
}

// tokenTx is the id of a token that is good. The error is store.ErrNoRows otherwise. The
// look-up is by the secret's sum, so its time tells nothing about the secret.
func tokenTx(tx *store.Tx, secret string) (id string, err error) {
	err = tx.QueryRow(`SELECT id FROM host_token WHERE sum = $1 AND revoked_at IS NULL`, sum(secret)).Scan(&id)
	return id, err
}

func sum(secret string) string {
	s := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(s[:])
}

func instant(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}
