package seal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/matchyard/matchyard/internal/seal"
)

func key(c string) []byte { return bytes.Repeat([]byte(c), seal.KeySize) }

func closed(t *testing.T, r seal.Ring, purpose, id, secret string) string {
	t.Helper()
	stored, err := r.Close(purpose, id, secret)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// What one key closed, a ring opens that has it anywhere, and says whether to close it anew.
func TestKeysAreExchanged(t *testing.T) {
	old, both, fresh := seal.Ringed(key("o")), seal.Ringed(key("n"), key("o")), seal.Ringed(key("n"))
	stored := closed(t, old, "p", "id", "geheim")
	if strings.Contains(stored, "geheim") || stored == closed(t, old, "p", "id", "geheim") {
		t.Errorf("stored as %s, every time", stored)
	}
	for name, c := range map[string]struct {
		ring   seal.Ring
		stored string
		stale  bool
		err    error
	}{
		"the old key":             {old, stored, false, nil},
		"both":                    {both, stored, true, nil},
		"both, closed anew":       {both, closed(t, both, "p", "id", "geheim"), false, nil},
		"the new key, anew":       {fresh, closed(t, both, "p", "id", "geheim"), false, nil},
		"the new key":             {fresh, stored, false, seal.ErrOther},
		"no key":                  {nil, stored, false, seal.ErrNoKey},
		"plain, without a key":    {nil, closed(t, nil, "p", "id", "geheim"), false, nil},
		"plain, before the first": {old, closed(t, nil, "p", "id", "geheim"), true, nil},
		"of another id":           {old, closed(t, old, "p", "other", "geheim"), false, seal.ErrOther},
		"of another purpose":      {old, closed(t, old, "q", "id", "geheim"), false, seal.ErrOther},
		"cut":                     {old, stored[:20], false, seal.ErrOther},
		"no base64":               {old, "aes-gcm-1:!", false, seal.ErrOther},
		"of another form":         {old, "rot13:trurvz", false, seal.ErrForm},
	} {
		secret, stale, err := c.ring.Open("p", "id", c.stored)
		if !errors.Is(err, c.err) || stale != c.stale || err == nil && secret != "geheim" || err != nil && secret != "" {
			t.Errorf("%s: %q, stale %t, %v", name, secret, stale, err)
		}
	}
	if _, err := seal.Ringed([]byte("short")).Close("p", "id", "x"); err == nil {
		t.Error("a short key closes")
	}
}
