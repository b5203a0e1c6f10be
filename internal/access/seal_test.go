package access_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// under is a node that has these seal keys, the first of them in use.
func under(db *store.DB, keys ...[]byte) *access.Service {
	s := &access.Service{DB: db, Operations: operations, Audit: &access.Audit{DB: db}}
	if len(keys) > 0 {
		s.SealKey, s.OldSealKeys = keys[0], keys[1:]
		s.Audit.SealKey, s.Audit.OldSealKeys = keys[0], keys[1:]
	}
	return s
}

// opens tells whether a node can read a key, and whether the audit log holds for it.
func opens(t *testing.T, s *access.Service, c access.Credentials) (secret, log bool) {
	t.Helper()
	a, err := s.Lookup(t.Context(), c.ID)
	if err == nil && a.Secret != c.Secret {
		t.Errorf("the secret of %s is another", c.ID)
	}
	_, broken := s.Audit.Verify(t.Context())
	return err == nil, broken == nil
}

// The seal key is exchanged while nodes run: each learns the new key, then uses it, then all
// is sealed anew, and the old key can go.
func TestTheSealKeyIsExchanged(t *testing.T) {
	old, fresh := bytes.Repeat([]byte("o"), access.SealKeySize), bytes.Repeat([]byte("n"), access.SealKeySize)
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		before := create(t, under(db, old), "before", "full")
		for _, s := range []*access.Service{under(db, old, fresh), under(db, fresh, old)} {
			if secret, log := opens(t, s, before); !secret || !log {
				t.Fatalf("with both keys: secret %t, log %t", secret, log)
			}
		}
		meanwhile := create(t, under(db, fresh, old), "meanwhile", "full")
		late, err := under(db, old, fresh).CreateTemporary(t.Context(), "late", "full", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		done, err := under(db, fresh, old).Reseal(t.Context())
		if err != nil || done != (access.Resealed{Secrets: 2, Entries: 2}) {
			t.Errorf("resealed %+v, %v", done, err)
		}
		for _, c := range []access.Credentials{before, meanwhile, late} {
			if secret, log := opens(t, under(db, fresh), c); !secret || !log {
				t.Errorf("with the new key: secret %t, log %t", secret, log)
			}
			if secret, log := opens(t, under(db, old), c); secret || log {
				t.Errorf("with the old key: secret %t, log %t", secret, log)
			}
		}
		if done, err := under(db, fresh).Reseal(t.Context()); err != nil || done != (access.Resealed{}) {
			t.Errorf("a second time: %+v, %v", done, err)
		}
		log, err := under(db, fresh).Audit.List(t.Context(), 0, 100)
		if err != nil || len(log) != 4 || log[3].Operation != "keys:Reseal" {
			t.Errorf("the audit log: %v, %v", log, err)
		}
	})
}

// What was stored before there was a seal key is sealed with the first one.
func TestTheFirstSealKey(t *testing.T) {
	key := bytes.Repeat([]byte("k"), access.SealKeySize)
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		if _, err := under(db).Reseal(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no seal key") {
			t.Errorf("without one: %v", err)
		}
		c := create(t, under(db), "open", "full")
		if secret, log := opens(t, under(db, key), c); !secret || log {
			t.Errorf("before: secret %t, log %t", secret, log)
		}
		if done, err := under(db, key).Reseal(t.Context()); err != nil || done != (access.Resealed{Secrets: 1, Unsealed: 1}) {
			t.Errorf("resealed %+v, %v", done, err)
		}
		if secret, log := opens(t, under(db, key), c); !secret || !log {
			t.Errorf("after: secret %t, log %t", secret, log)
		}
		if secret, _ := opens(t, under(db), c); secret {
			t.Error("the secret opens without the key")
		}
	})
}

// A log that was tampered with is not made good by sealing it anew.
func TestATamperedLogIsNotSealedAnew(t *testing.T) {
	old, fresh := bytes.Repeat([]byte("o"), access.SealKeySize), bytes.Repeat([]byte("n"), access.SealKeySize)
	for name, tamper := range map[string]string{
		"changed":      `UPDATE audit SET entry = '{"Operation":"ListFleets"}' WHERE seq = 2`,
		"taken out":    `DELETE FROM audit WHERE seq = 2`,
		"the last one": `DELETE FROM audit WHERE seq = 3`,
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
				c := create(t, under(db, old), "a", "full")
				create(t, under(db, old), "b", "full")
				create(t, under(db, old), "c", "full")
				err := db.Write(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec(tamper)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := under(db, fresh, old).Reseal(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "audit: ") {
					t.Errorf("resealed: %v", err)
				}
				if secret, log := opens(t, under(db, old), c); !secret || log {
					t.Errorf("afterwards: secret %t, log %t", secret, log)
				}
			})
		})
	}
}
