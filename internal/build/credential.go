package build

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// ErrUnknownKey says that an access key is none of this room's, or comes with another's
// session token.
var ErrUnknownKey = errors.New("not an upload credential")

// Permit is what an upload credential allows: to put one object once, and to read it.
type Permit struct {
	Build   store.Key
	ID      arn.BuildID
	Object  types.S3Location // its bucket and key
	Secret  string           // to verify signatures with
	Expired bool
}

// mostCredentials is how many credentials of a build are kept; the oldest make way.
const mostCredentials = 10

// issueTx makes credentials for the upload of a build, whose row is locked or new.
//
// Verifying a signature takes the secret, so that it cannot be stored as a hash. It is
// sealed under the session token, which every request brings and of which only a hash is
// stored: who reads the database cannot sign.
func (s *Service) issueTx(tx *store.Tx, b Build) (*types.AwsCredentials, error) {
	id, secret := "ASIA"+rand.Text()[:16], (rand.Text() + rand.Text())[:40]
	token := rand.Text() + rand.Text() + rand.Text() + rand.Text()
	sealed, err := sealSecret(id, secret, token)
	if err != nil {
		return nil, err
	}
	expires := tx.Now.Add(s.Config.orDefaults().UploadLife)
	_, err = tx.Exec(`INSERT INTO build_credential (id, key, build, secret, token_sum, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, tx.NewKey(), b.Key, sealed, hexSum(token), expires.UnixMilli())
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(`DELETE FROM build_credential WHERE build = $1 AND key NOT IN
		(SELECT key FROM build_credential WHERE build = $1 ORDER BY key DESC LIMIT $2)`, b.Key, mostCredentials)
	return &types.AwsCredentials{AccessKeyId: &id, SecretAccessKey: &secret, SessionToken: &token}, err
}

// Permit tells what an access key allows, given its session token. The error is
// ErrUnknownKey for a key or a token that this room did not give out, or that went with its
// build.
func (s *Service) Permit(ctx context.Context, keyID, token string) (Permit, error) {
	if !strings.HasPrefix(keyID, "ASIA") || len(keyID) != 20 {
		return Permit{}, ErrUnknownKey
	}
	var p Permit
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		var tail, expires int64
		var sealed, sum string
		err := tx.QueryRow(`SELECT b.key, b.tail, c.secret, c.token_sum, c.expires_at
			FROM build_credential c JOIN build b ON b.key = c.build WHERE c.id = $1`, keyID).Scan(&p.Build, &tail, &sealed, &sum, &expires)
		if errors.Is(err, store.ErrNoRows) || err == nil && subtle.ConstantTimeCompare([]byte(sum), []byte(hexSum(token))) != 1 {
			return ErrUnknownKey
		}
		if err != nil {
			return err
		}
		p.ID, p.Expired = buildID(p.Build, tail), tx.NowMs() >= expires
		p.Object = *s.objectOf(string(p.ID))
		p.Secret, err = open(keyID, sealed, token)
		return err
	})
	return p, err
}

func sealer(token string) (cipher.AEAD, error) {
	key := sha256.Sum256([]byte("matchyard upload credential 1\n" + token))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func sealSecret(id, secret, token string) (string, error) {
	c, err := sealer(token)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(c.Seal(nil, nil, []byte(secret), []byte(id))), nil
}

func open(id, sealed, token string) (string, error) {
	c, err := sealer(token)
	if err != nil {
		return "", err
	}
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err == nil {
		raw, err = c.Open(nil, nil, raw, []byte(id))
	}
	if err != nil {
		return "", fmt.Errorf("secret of upload credential %s: damaged: %w", id, err)
	}
	return string(raw), nil
}

func hexSum(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
