package build_test

import (
	"bytes"
	"testing"

	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/seal"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// The secret of links is the same whatever it is sealed under, and is not read without.
func TestTheLinkSecretIsSealed(t *testing.T) {
	key := func(c string) []byte { return bytes.Repeat([]byte(c), seal.KeySize) }
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		under := func(keys ...[]byte) *build.Service { return &build.Service{DB: db, Seal: keys} }
		if done, err := under(key("o")).Reseal(t.Context()); done || err != nil {
			t.Errorf("before the first start: %t, %v", done, err)
		}
		secret, err := under().LinkSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			reseal       *build.Service
			opens, fails *build.Service
		}{
			{under(key("o")), under(key("o")), under()},
			{under(key("n"), key("o")), under(key("n")), under(key("o"))},
		} {
			if done, err := c.reseal.Reseal(t.Context()); !done || err != nil {
				t.Errorf("resealed: %t, %v", done, err)
			}
			if done, err := c.reseal.Reseal(t.Context()); done || err != nil {
				t.Errorf("a second time: %t, %v", done, err)
			}
			if got, err := c.opens.LinkSecret(t.Context()); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("another secret: %v", err)
			}
			if _, err := c.fails.LinkSecret(t.Context()); err == nil {
				t.Error("it opens with the wrong key")
			}
		}
	})
}

// A first start with a seal key stores it sealed.
func TestANewLinkSecretIsSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		s := &build.Service{DB: db, Seal: seal.Ringed(bytes.Repeat([]byte("k"), seal.KeySize))}
		secret, err := s.LinkSecret(t.Context())
		if err != nil || len(secret) != 32 {
			t.Fatalf("%d bytes, %v", len(secret), err)
		}
		if done, err := s.Reseal(t.Context()); done || err != nil {
			t.Errorf("resealed: %t, %v", done, err)
		}
	})
}
