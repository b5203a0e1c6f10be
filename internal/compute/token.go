package compute

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/store"
)

// keepToken is how long an expired token lets live processes back in.
const keepToken = 24 * time.Hour

// token is a row of table compute_token. The table has the sum of its text, by which it is
// found, and the text sealed, since it is given out again.
type token struct {
	text      string
	expiresAt int64
}

const (
	tokenPurpose = "matchyard compute tokens 1"
	sumPrefix    = "sha256:" // tokens have no colon
)

// sumOf is what tables have of a token, or of a signature that stands for one.
func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return sumPrefix + hex.EncodeToString(sum[:])
}

// sumIs tells whether a table has a token: its sum or, from before, itself.
func sumIs(stored, text string) bool {
	return subtle.ConstantTimeCompare([]byte(stored), []byte(sumOf(text))) == 1 ||
		!strings.Contains(text, ":") && subtle.ConstantTimeCompare([]byte(stored), []byte(text)) == 1
}

func (s *Service) sealToken(compute store.Key, text string) (string, error) {
	return s.Seal.Close(tokenPurpose, strconv.FormatInt(int64(compute), 10), text)
}

// openToken reads a token. One that is under another seal key is as good as none: another is
// given out.
func (s *Service) openToken(compute store.Key, stored string, sealed *string) (text string, ok bool) {
	if sealed == nil {
		return stored, !strings.HasPrefix(stored, sumPrefix)
	}
	text, _, err := s.Seal.Open(tokenPurpose, strconv.FormatInt(int64(compute), 10), *sealed)
	return text, err == nil
}

// GetComputeAuthToken gives the token with which processes of a compute dial in. It is the
// same for all calls while more than 15 minutes of its 60 are left, then a new one; both
// are valid until they expire (hosting.md 3.4). A live socket outlives its token.
func (s *Service) GetComputeAuthToken(ctx context.Context, in *gamelift.GetComputeAuthTokenInput) (*gamelift.GetComputeAuthTokenOutput, error) {
	var c compute
	var t token
	fresh := false
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if _, c, err = s.computeOf(tx, in.FleetId, in.ComputeName, ""); err != nil {
			return err
		}
		t, fresh, err = s.freshTokenTx(tx, c)
		return err
	})
	if err == nil && !fresh {
		err = s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			if _, c, err = s.computeOf(tx, in.FleetId, in.ComputeName, tx.ForUpdate()); err != nil {
				return err
			}
			t, err = s.tokenTx(tx, c)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	return &gamelift.GetComputeAuthTokenOutput{
		FleetId:             new(string(c.fleetID)),
		FleetArn:            new(s.Home.Fleet(c.fleetID)),
		ComputeName:         new(string(c.name)),
		ComputeArn:          new(s.Home.Compute(c.name)),
		AuthToken:           new(t.text),
		ExpirationTimestamp: new(time.UnixMilli(t.expiresAt).UTC()),
	}, nil
}

// tokenTx is the token to give out for a compute whose row is locked.
func (s *Service) tokenTx(tx *store.Tx, c compute) (token, error) {
	t, fresh, err := s.freshTokenTx(tx, c)
	if err != nil || fresh {
		return t, err
	}
	t = token{newToken(), tx.Now.Add(s.Config.orDefaults().TokenLife).UnixMilli()}
	sealed, err := s.sealToken(c.key, t.text)
	if err != nil {
		return token{}, err
	}
	_, err = tx.Exec(`INSERT INTO compute_token (token, sealed, compute, expires_at) VALUES ($1, $2, $3, $4)`, sumOf(t.text), sealed, c.key, t.expiresAt)
	return t, err
}

// freshTokenTx is the compute's newest token, if it has more than the overlap to live.
func (s *Service) freshTokenTx(tx *store.Tx, c compute) (t token, fresh bool, err error) {
	var stored string
	var sealed *string
	err = tx.QueryRow(`SELECT token, sealed, expires_at FROM compute_token WHERE compute = $1 AND expires_at > $2 ORDER BY expires_at DESC, token LIMIT 1`,
		c.key, tx.Now.Add(s.Config.orDefaults().TokenOverlap).UnixMilli()).Scan(&stored, &sealed, &t.expiresAt)
	if errors.Is(err, store.ErrNoRows) {
		return token{}, false, nil
	}
	if err != nil {
		return token{}, false, err
	}
	t.text, fresh = s.openToken(c.key, stored, sealed)
	return t, fresh, nil
}

// newToken is a random UUID, like the real service's. SDKs put it into URLs without
// encoding it, so it has letters, digits and hyphens only.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// authenticateTx checks a dial's token: one of this compute's that has not expired. A live
// process is let in with an expired one too, or with the one it dialled with last:
// SDKs reconnect with the URL they began with, days later (server-sdk-protocol.md 1.9).
func (s *Service) authenticateTx(tx *store.Tx, c compute, d Dial, live *row) error {
	if d.Trusted {
		return nil
	}
	if d.AuthToken == "" {
		return &Refused{401, "the dial carries no auth token"}
	}
	if live != nil && live.token != "" && sumIs(live.token, d.AuthToken) {
		return nil
	}
	var owner store.Key
	var expires int64
	sum, before := sumOf(d.AuthToken), d.AuthToken
	if strings.Contains(before, ":") { // a sum is no token
		before = sum
	}
	err := tx.QueryRow(`SELECT compute, expires_at FROM compute_token WHERE token = $1 OR token = $2 ORDER BY token DESC LIMIT 1`, sum, before).Scan(&owner, &expires)
	if errors.Is(err, store.ErrNoRows) || err == nil && owner != c.key {
		return &Refused{403, "the auth token is not one of compute " + string(c.name)}
	}
	if err != nil {
		return err
	}
	if expires <= tx.NowMs() && live == nil {
		return &Refused{403, "the auth token expired at " + time.UnixMilli(expires).UTC().Format(time.RFC3339)}
	}
	return nil
}
