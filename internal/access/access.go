// Package access owns the access keys of API callers: their secrets, sealed, and what each
// may call. It does not know how requests are signed or answered; the edge asks it for the
// key a request names, and whether that key's policy allows an operation.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/matchyard/matchyard/internal/store"
)

// ErrUnknown says that there is no such key, or that it is revoked.
var ErrUnknown = errors.New("access key is unknown or revoked")

var errNoSealKey = errors.New("there is no seal key")

// Service is the access room. DB and Operations are required.
type Service struct {
	DB *store.DB
	// Operations are the names of all operations, by which policies are checked.
	Operations []string
	// SealKey is the 32 bytes under which secrets are stored; all nodes have the same. With
	// none, secrets are stored plain: verifying a signature takes the secret itself, so that
	// it cannot be stored as a hash, and whoever can read the database can then sign as
	// anybody.
	SealKey []byte
	// OldSealKeys open what was stored under them before SealKey; see Reseal.
	OldSealKeys [][]byte
	// Audit is told of keys that are made and revoked, in the same transaction. May be nil.
	Audit *Audit

	cache cache
}

// auditTx tells the audit log what became of a key.
func (s *Service) auditTx(tx *store.Tx, operation, id, name string) error {
	if s.Audit == nil {
		return nil
	}
	e := Entry{Operation: operation, Name: name, Outcome: "OK"}
	if id != "" {
		e.Resources = []string{id}
	}
	return s.Audit.AppendTx(tx, e)
}

// Key is an access key without its secret.
type Key struct {
	ID         string
	Name       string // what its owner calls it
	Policy     Policy
	Temporary  bool // it comes with a session token and expires
	Root       bool // it is of the first start or of the environment
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero: it is not
	LastUsedAt time.Time // within an hour; zero: never
}

// Credentials are what a caller signs with. They are known when they are made, and to
// Lookup.
type Credentials struct {
	ID     string
	Secret Secret
	Token  Secret // of a temporary key
}

const (
	maxName   = 128
	maxID     = 128
	minSecret = 16 // of secrets people choose

	// MaxLife is the longest life of a temporary key, as AWS has it for role sessions.
	MaxLife = 12 * time.Hour
	// keptExpired is how long temporary keys are listed after their end.
	keptExpired = 24 * time.Hour
)

// Create makes a key that lasts until it is revoked. The secret is shown once, here.
func (s *Service) Create(ctx context.Context, name, policy string) (Credentials, error) {
	return s.create(ctx, row{Key: Key{Name: name}}, policy)
}

// CreateTemporary makes a key with a session token that ends after a time, at most MaxLife.
func (s *Service) CreateTemporary(ctx context.Context, name, policy string, life time.Duration) (Credentials, error) {
	if life <= 0 || life > MaxLife {
		return Credentials{}, fmt.Errorf("life of a temporary key: %s is not more than 0 and at most %s", life, MaxLife)
	}
	return s.create(ctx, row{Key: Key{Name: name, Temporary: true}, life: life}, policy)
}

func (s *Service) create(ctx context.Context, r row, policy string) (c Credentials, err error) {
	if err := checkName(r.Name); err != nil {
		return c, err
	}
	if r.Policy, err = ParsePolicy(policy, s.Operations); err != nil {
		return c, err
	}
	c = newCredentials(r.Temporary)
	if r.stored, err = s.seal(c.ID, c.Secret); err != nil {
		return Credentials{}, err
	}
	r.ID = c.ID
	if r.Temporary {
		r.tokenSum = new(hexSum(c.Token))
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if r.Temporary {
			r.ExpiresAt = tx.Now.Add(r.life)
			if _, err := tx.Exec(`DELETE FROM access_key WHERE expires_at < $1 AND token_sum IS NOT NULL`, tx.Now.Add(-keptExpired).UnixMilli()); err != nil {
				return err
			}
		}
		if err := s.auditTx(tx, "keys:Create", r.ID, r.Name); err != nil {
			return err
		}
		return insert(tx, r)
	})
	if err != nil {
		return Credentials{}, fmt.Errorf("create access key: %w", err)
	}
	return c, nil
}

// List returns all keys, the revoked ones too, in the order of their creation.
func (s *Service) List(ctx context.Context) (list []Key, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		list = nil
		return each(tx, `ORDER BY key`, nil, func(r row) { list = append(list, r.Key) })
	})
	return list, err
}

// Revoke ends a key for good: its id never comes back. When Revoke returns, this node
// refuses it, and the others as soon as they are told, at the latest after CacheLife.
// Revoking twice is no error.
func (s *Service) Revoke(ctx context.Context, id string) error {
	if !plausible(id) {
		return fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	defer s.cache.forget()
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE access_key SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1`, id, tx.NowMs())
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: %q", ErrUnknown, id)
		}
		if err != nil {
			return err
		}
		tx.Notify(channel, id)
		return s.auditTx(tx, "keys:Revoke", id, "")
	})
}

// Rotate makes a key with the name and the policy of another, which ends after the overlap.
// The error is ErrUnknown when there is no such key or it is revoked, and temporary keys
// cannot be rotated.
func (s *Service) Rotate(ctx context.Context, id string, overlap time.Duration) (c Credentials, err error) {
	if overlap < 0 {
		return c, fmt.Errorf("overlap: %v is less than 0", overlap)
	}
	if !plausible(id) {
		return c, fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	c = newCredentials(false)
	stored, err := s.seal(c.ID, c.Secret)
	if err != nil {
		return Credentials{}, err
	}
	defer s.cache.forget()
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		old, err := byID(tx, id, tx.ForUpdate())
		switch {
		case errors.Is(err, store.ErrNoRows) || err == nil && !old.RevokedAt.IsZero():
			return fmt.Errorf("%w: %q", ErrUnknown, id)
		case err != nil:
			return err
		case old.Temporary || old.Root:
			return fmt.Errorf("access key %s cannot be rotated: it is temporary, or the root key", id)
		}
		if _, err := tx.Exec(`UPDATE access_key SET expires_at = $2 WHERE id = $1 AND (expires_at IS NULL OR expires_at > $2)`, id, tx.Now.Add(overlap).UnixMilli()); err != nil {
			return err
		}
		tx.Notify(channel, id)
		if err := s.auditTx(tx, "keys:Rotate", id, old.Name); err != nil {
			return err
		}
		if err := s.auditTx(tx, "keys:Create", c.ID, old.Name); err != nil {
			return err
		}
		return insert(tx, row{Key: Key{ID: c.ID, Name: old.Name, Policy: old.Policy}, stored: stored})
	})
	if err != nil {
		return Credentials{}, err
	}
	return c, nil
}

// EnsureRoot sees to it that there is a key that may call everything.
//
// With an id and a secret, as the environment gives them, that key is the root key from now
// on: it is stored, its secret is changed if it is another, and a root key of another id is
// revoked. With neither, one is made unless there has been a root key before, even if it is
// revoked; made tells so, and its credentials are returned to be printed, once. Nodes that
// start at the same time agree on one.
func (s *Service) EnsureRoot(ctx context.Context, id, secret string) (c Credentials, made bool, err error) {
	switch {
	case id == "" && secret == "":
		return s.makeRoot(ctx)
	case id == "" || secret == "":
		return Credentials{}, false, errors.New("root key: want both an access key id and a secret, or neither")
	case !plausible(id):
		return Credentials{}, false, fmt.Errorf("root key: an access key id is 1 to %d letters, digits, '-' or '_'", maxID)
	case len(secret) < minSecret:
		return Credentials{}, false, fmt.Errorf("root key: the secret is shorter than %d characters", minSecret)
	}
	return Credentials{}, false, s.setRoot(ctx, id, Secret(secret))
}

const rootName = "root"

func (s *Service) makeRoot(ctx context.Context) (c Credentials, made bool, err error) {
	c = newCredentials(false)
	stored, err := s.seal(c.ID, c.Secret)
	if err != nil {
		return Credentials{}, false, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		var before int64
		err := tx.QueryRow(`SELECT count(*) FROM access_key WHERE root = 1`).Scan(&before)
		if made = false; err != nil || before > 0 {
			return err
		}
		made, err = insertRoot(tx, c.ID, stored)
		return err
	})
	if err != nil || !made {
		return Credentials{}, false, err
	}
	return c, true, nil
}

func (s *Service) setRoot(ctx context.Context, id string, secret Secret) error {
	stored, err := s.seal(id, secret)
	if err != nil {
		return err
	}
	defer s.cache.forget()
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE access_key SET revoked_at = $2 WHERE root = 1 AND revoked_at IS NULL AND id <> $1`, id, tx.NowMs()); err != nil {
			return err
		}
		tx.Notify(channel, id)
		added, err := insertRoot(tx, id, stored)
		if err != nil || added {
			return err
		}
		r, err := byID(tx, id, tx.ForUpdate())
		switch {
		case errors.Is(err, store.ErrNoRows): // another node's root key came in between
			return fmt.Errorf("root key %s: another one was set at the same time", id)
		case err != nil:
			return err
		case !r.RevokedAt.IsZero():
			return fmt.Errorf("root key %s is revoked: set another one", id)
		case !r.Root:
			return fmt.Errorf("root key %s is the id of a key named %q: set another one", id, r.Name)
		}
		if now, err := s.open(id, r.stored); err == nil && now == secret {
			return nil
		}
		_, err = tx.Exec(`UPDATE access_key SET secret = $2 WHERE id = $1`, id, stored)
		return err
	})
}

// newCredentials makes credentials of the form AWS's have. The secret has 200 bits, the
// session token 520.
func newCredentials(temporary bool) Credentials {
	c := Credentials{ID: "AKIA" + rand.Text()[:16], Secret: Secret((rand.Text() + rand.Text())[:40])}
	if temporary {
		c.ID = "ASIA" + c.ID[4:]
		c.Token = Secret(rand.Text() + rand.Text() + rand.Text() + rand.Text())
	}
	return c
}

func checkName(name string) error {
	if name == "" || utf8.RuneCountInString(name) > maxName || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("name of an access key: want 1 to %d printable characters", maxName)
	}
	return nil
}

// plausible tells whether a text can be an id at all. Whatever else a request claims does
// not reach the database.
func plausible(id string) bool {
	return id != "" && len(id) <= maxID && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'A' || 'Z' < r) && (r < 'a' || 'z' < r) && (r < '0' || '9' < r) && r != '-' && r != '_'
	})
}

func hexSum(token Secret) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
