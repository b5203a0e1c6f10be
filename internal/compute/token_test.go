package compute_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/seal"
	"github.com/matchyard/matchyard/internal/store"
)

// What the database has of a token lets nobody in, and with the right key alone it is given
// out again.
func TestTokensAreSealed(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		ctx := t.Context()
		r.Seal = seal.Ringed(bytes.Repeat([]byte("k"), seal.KeySize))
		r.register("one", east)
		token := r.token("one")
		if r.token("one") != token {
			t.Error("the second call gave another token")
		}
		d := r.dial("one", "p")
		_, err := r.Connect(ctx, d)
		expect.OK(t, err)
		var stored, sealed, last string
		expect.OK(t, r.DB.Read(ctx, func(tx *store.Tx) error {
			return errors.Join(
				tx.QueryRow(`SELECT token, sealed FROM compute_token`).Scan(&stored, &sealed),
				tx.QueryRow(`SELECT token FROM process`).Scan(&last))
		}))
		if stored != last || strings.Contains(stored+sealed, token) {
			t.Errorf("the database has %s, %s and %s of %s", stored, sealed, last, token)
		}
		for _, thief := range []string{stored, sealed, strings.TrimPrefix(stored, "sha256:")} {
			for _, pid := range []string{"p", "q"} { // the process that lives, and a new one
				d := r.dial("one", pid)
				d.AuthToken = thief
				var refused *compute.Refused
				if _, err := r.Connect(ctx, d); !errors.As(err, &refused) || refused.Status != 403 {
					t.Errorf("%s dials with %s: %v", pid, thief, err)
				}
			}
		}
		_, err = r.Connect(ctx, d) // again, with the token
		expect.OK(t, err)
		r.Seal = seal.Ringed(bytes.Repeat([]byte("o"), seal.KeySize))
		if fresh := r.token("one"); fresh == token {
			t.Error("a token is given out that the seal key does not open")
		}
		_, err = r.Connect(ctx, d)
		expect.OK(t, err)
	})
}

// Tokens and processes from before tokens were sealed go on.
func TestTokensFromBefore(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		ctx := t.Context()
		r.register("one", east)
		d := r.dial("one", "p")
		_, err := r.Connect(ctx, d)
		expect.OK(t, err)
		expect.OK(t, r.DB.Write(ctx, func(tx *store.Tx) error {
			_, err1 := tx.Exec(`UPDATE compute_token SET token = $1, sealed = NULL`, d.AuthToken)
			_, err2 := tx.Exec(`UPDATE process SET token = $1`, d.AuthToken)
			return errors.Join(err1, err2)
		}))
		if r.token("one") != d.AuthToken {
			t.Error("another token is given out")
		}
		_, err = r.Connect(ctx, d)
		expect.OK(t, err)
		other := r.dial("one", "q")
		_, err = r.Connect(ctx, other)
		expect.OK(t, err)
	})
}
