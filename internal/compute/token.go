package compute

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/store"
)

// keepToken is how long an expired token lets live processes back in.
const keepToken = 24 * time.Hour

// token is a row of table compute_token.
type token struct {
	text      string
	expiresAt int64
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
	_, err = tx.Exec(`INSERT INTO compute_token (token, compute, expires_at) VALUES ($1, $2, $3)`, t.text, c.key, t.expiresAt)
	return t, err
}

// freshTokenTx is the compute's newest token, if it has more than the overlap to live.
func (s *Service) freshTokenTx(tx *store.Tx, c compute) (t token, fresh bool, err error) {
	err = tx.QueryRow(`SELECT token, expires_at FROM compute_token WHERE compute = $1 AND expires_at > $2 ORDER BY expires_at DESC, token LIMIT 1`,
		c.key, tx.Now.Add(s.Config.orDefaults().TokenOverlap).UnixMilli()).Scan(&t.text, &t.expiresAt)
	if errors.Is(err, store.ErrNoRows) {
		return token{}, false, nil
	}
	return t, err == nil, err
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
	if live != nil && live.token != "" && subtle.ConstantTimeCompare([]byte(live.token), []byte(d.AuthToken)) == 1 {
		return nil
	}
	var owner store.Key
	var expires int64
	err := tx.QueryRow(`SELECT compute, expires_at FROM compute_token WHERE token = $1`, d.AuthToken).Scan(&owner, &expires)
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
