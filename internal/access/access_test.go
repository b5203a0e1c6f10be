package access_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

var sealKey = []byte("0123456789abcdef0123456789abcdef")

// each runs a test on both databases, with secrets sealed.
func each(t *testing.T, f func(t *testing.T, s *access.Service, clock *storetest.Clock)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		f(t, room(db), clock)
	})
}

func room(db *store.DB) *access.Service {
	return &access.Service{DB: db, Operations: operations, SealKey: sealKey}
}

func create(t *testing.T, s *access.Service, name, policy string) access.Credentials {
	t.Helper()
	c, err := s.Create(t.Context(), name, policy)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// known tells whether a key is found, with its secret.
func known(t *testing.T, s *access.Service, c access.Credentials) bool {
	t.Helper()
	a, err := s.Lookup(t.Context(), c.ID)
	if errors.Is(err, access.ErrUnknown) {
		return false
	}
	if err != nil || a.Secret != c.Secret {
		t.Fatalf("Lookup = %v, %v", a, err)
	}
	return true
}

func TestAKeyIsCreatedListedFoundAndRevoked(t *testing.T) {
	each(t, func(t *testing.T, s *access.Service, clock *storetest.Clock) {
		born := clock.Now()
		c := create(t, s, "ci", "Describe*")
		if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(c.ID) || len(c.Secret) != 40 || c.Token != "" {
			t.Errorf("credentials: id %s, secret of %d, token of %d characters", c.ID, len(c.Secret), len(c.Token))
		}
		if !known(t, s, c) {
			t.Fatal("a new key is not known")
		}
		a, _ := s.Lookup(t.Context(), c.ID)
		if a.Name != "ci" || a.Temporary || a.Root || !a.Policy.Allows(access.Request{Operation: "DescribePlayerSessions"}) || a.Policy.Allows(access.Request{Operation: "CreateFleet"}) {
			t.Errorf("Lookup: %+v", a)
		}
		clock.Advance(time.Minute)
		other := create(t, s, "ops", "full")
		if err := s.Revoke(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		if known(t, s, c) || !known(t, s, other) {
			t.Error("the revoked key is known, or the other is not")
		}
		revoked := clock.Now()
		clock.Advance(time.Minute)
		if err := s.Revoke(t.Context(), c.ID); err != nil {
			t.Errorf("revoked twice: %v", err)
		}
		list, err := s.List(t.Context())
		if err != nil || len(list) != 2 {
			t.Fatalf("List = %v, %v", list, err)
		}
		if k := list[0]; k.ID != c.ID || k.Name != "ci" || k.Policy.String() != "Describe*" || !k.CreatedAt.Equal(born) || !k.RevokedAt.Equal(revoked) ||
			!k.ExpiresAt.IsZero() || !k.LastUsedAt.IsZero() {
			t.Errorf("the first: %+v", k)
		}
		if k := list[1]; k.ID != other.ID || !k.RevokedAt.IsZero() {
			t.Errorf("the second: %+v", k)
		}
		for _, id := range []string{"AKIANOBODY", "", "a b", "\xff", strings.Repeat("A", 129)} {
			if err := s.Revoke(t.Context(), id); !errors.Is(err, access.ErrUnknown) {
				t.Errorf("Revoke(%q) = %v", id, err)
			}
			if _, err := s.Lookup(t.Context(), id); !errors.Is(err, access.ErrUnknown) {
				t.Errorf("Lookup(%q) = %v", id, err)
			}
		}
	})
}

func TestWrongKeysAreNotCreated(t *testing.T) {
	each(t, func(t *testing.T, s *access.Service, _ *storetest.Clock) {
		for _, test := range []struct{ name, policy, want string }{
			{"", "full", "name"},
			{strings.Repeat("x", 129), "full", "name"},
			{"a\nb", "full", "name"},
			{"\xff", "full", "name"},
			{"ci", "CreatFleet", `"CreatFleet"`},
			{"ci", "", "policy"},
		} {
			if _, err := s.Create(t.Context(), test.name, test.policy); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Create(%q, %q): got %v", test.name, test.policy, err)
			}
		}
		for _, life := range []time.Duration{0, -time.Second, access.MaxLife + 1} {
			if _, err := s.CreateTemporary(t.Context(), "ci", "full", life); err == nil {
				t.Errorf("a life of %s: accepted", life)
			}
		}
		if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("List = %v, %v", list, err)
		}
	})
}

func TestTemporaryKeysExpireAndAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, s *access.Service, clock *storetest.Clock) {
		c, err := s.CreateTemporary(t.Context(), "job", "read-only", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(c.ID, "ASIA") || len(c.Token) < 100 {
			t.Errorf("id %s, token of %d characters", c.ID, len(c.Token))
		}
		lasting := create(t, s, "ci", "full")
		a, err := s.Lookup(t.Context(), c.ID)
		if err != nil || !a.Temporary || !a.ExpiresAt.Equal(clock.Now().Add(time.Hour)) || a.TokenSum != sha256.Sum256([]byte(c.Token)) {
			t.Errorf("Lookup = %+v, %v", a, err)
		}
		clock.Advance(2 * time.Hour)
		if !known(t, s, c) {
			t.Error("an expired key is not told from an unknown one")
		}
		clock.Advance(24 * time.Hour)
		if _, err := s.CreateTemporary(t.Context(), "job", "read-only", time.Hour); err != nil {
			t.Fatal(err)
		}
		if known(t, s, c) || !known(t, s, lasting) {
			t.Error("a key that expired a day ago is still there, or one that does not expire is not")
		}
	})
}

// TestRevocationReachesOtherNodes: a node that has the key in memory is told.
func TestRevocationReachesOtherNodes(t *testing.T) {
	url, clock := storetest.PostgresURL(t), storetest.NewClock()
	open := func() *access.Service {
		db, err := store.Open(context.Background(), url, store.Options{Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return room(db)
	}
	here, there := open(), open()
	c := create(t, here, "ci", "full")
	if !known(t, here, c) || !known(t, there, c) {
		t.Fatal("a new key is not known")
	}
	told := make(chan struct{}, 100)
	there.DB.Subscribe("access", func(string) { told <- struct{}{} })
	if err := here.Revoke(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if known(t, here, c) {
		t.Error("known where it was revoked")
	}
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Fatal("the other node was not told")
	}
	for deadline := time.Now().Add(10 * time.Second); known(t, there, c); { // its own subscription may be served later
		if time.Now().After(deadline) {
			t.Fatal("the other node still knows it")
		}
	}
}

// TestUntoldNodesLookAgain: a node that missed the news learns of it after CacheLife.
func TestUntoldNodesLookAgain(t *testing.T) {
	each(t, func(t *testing.T, s *access.Service, clock *storetest.Clock) {
		c := create(t, s, "ci", "full")
		known(t, s, c)
		err := s.DB.Write(t.Context(), func(tx *store.Tx) error { // as another process does
			_, err := tx.Exec(`UPDATE access_key SET revoked_at = $1`, tx.NowMs())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		clock.Advance(access.CacheLife - time.Millisecond)
		if !known(t, s, c) {
			t.Error("the key was not kept in memory")
		}
		clock.Advance(time.Millisecond)
		if known(t, s, c) {
			t.Error("the key was kept in memory for too long")
		}
	})
}

func TestLastUseIsCoarse(t *testing.T) {
	each(t, func(t *testing.T, s *access.Service, clock *storetest.Clock) {
		c := create(t, s, "ci", "full")
		last := func() time.Time {
			list, err := s.List(t.Context())
			if err != nil || len(list) != 1 {
				t.Fatalf("List = %v, %v", list, err)
			}
			return list[0].LastUsedAt
		}
		use := func() {
			if err := s.Used(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
		}
		first := clock.Now()
		use()
		clock.Advance(59 * time.Minute)
		use()
		if got := last(); !got.Equal(first) {
			t.Errorf("after 59 minutes: %s, want %s", got, first)
		}
		clock.Advance(time.Minute)
		use()
		if got := last(); !got.Equal(clock.Now()) {
			t.Errorf("after an hour: %s, want %s", got, clock.Now())
		}
	})
}

func TestRootKeyOfTheFirstStart(t *testing.T) {
	each(t, func(t *testing.T, s *access.Service, _ *storetest.Clock) {
		c, made, err := s.EnsureRoot(t.Context(), "", "")
		if err != nil || !made || !known(t, s, c) {
			t.Fatalf("the first start: %v, %v, %v", c.ID, made, err)
		}
		a, _ := s.Lookup(t.Context(), c.ID)
		if !a.Root || a.Name != "root" || !a.Policy.Allows(access.Request{Operation: "CreateFleet"}) {
			t.Errorf("%+v", a)
		}
		if again, made, err := s.EnsureRoot(t.Context(), "", ""); err != nil || made || again != (access.Credentials{}) {
			t.Errorf("the second start: %v, %v, %v", again.ID, made, err)
		}
		if err := s.Revoke(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		if _, made, err := s.EnsureRoot(t.Context(), "", ""); err != nil || made {
			t.Errorf("after it was revoked: %v, %v", made, err)
		}
	})
}

func TestRootKeyOfTheEnvironment(t *testing.T) {
	const id, secret = "AKIDROOT", "a secret of sixteen characters"
	each(t, func(t *testing.T, s *access.Service, _ *storetest.Clock) {
		set := func(id, secret string) error {
			c, made, err := s.EnsureRoot(t.Context(), id, secret)
			if made || c != (access.Credentials{}) {
				t.Error("the environment's key was made up")
			}
			return err
		}
		generated, _, err := s.EnsureRoot(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		known(t, s, generated)
		for range 2 { // twice: nothing changes
			if err := set(id, secret); err != nil {
				t.Fatal(err)
			}
			if !known(t, s, access.Credentials{ID: id, Secret: secret}) || known(t, s, generated) {
				t.Error("the environment's key is not known, or the one before is")
			}
		}
		const second = "another secret of sixteen characters"
		if err := set(id, second); err != nil || !known(t, s, access.Credentials{ID: id, Secret: second}) {
			t.Errorf("another secret: %v", err)
		}
		if err := set("AKIDNEXT", secret); err != nil || known(t, s, access.Credentials{ID: id, Secret: second}) {
			t.Errorf("another id: %v, or the old one is known", err)
		}
		if err := set(id, secret); err == nil || !strings.Contains(err.Error(), "is revoked") {
			t.Errorf("a revoked one: %v", err)
		}
		if !known(t, s, access.Credentials{ID: "AKIDNEXT", Secret: secret}) {
			t.Error("a failed change of the root key revoked the present one")
		}
		c := create(t, s, "ci", "read-only")
		if err := set(c.ID, secret); err == nil || !strings.Contains(err.Error(), `named "ci"`) {
			t.Errorf("the id of another key: %v", err)
		}
		for _, wrong := range [][2]string{{id, ""}, {"", secret}, {"a b", secret}, {"a/b", secret}, {id, "short"}} {
			if err := set(wrong[0], wrong[1]); err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%q: %v", wrong, err)
			}
		}
	})
}

// TestNodesAgreeOnOneRootKey: of nodes that start at once, one makes it.
func TestNodesAgreeOnOneRootKey(t *testing.T) {
	each(t, func(t *testing.T, s *access.Service, _ *storetest.Clock) {
		var wg sync.WaitGroup
		mades := make(chan bool, 8)
		for range cap(mades) {
			wg.Go(func() {
				_, made, err := s.EnsureRoot(t.Context(), "", "")
				if err != nil {
					t.Error(err)
				}
				mades <- made
			})
		}
		wg.Wait()
		close(mades)
		count := 0
		for made := range mades {
			if made {
				count++
			}
		}
		if list, err := s.List(t.Context()); err != nil || count != 1 || len(list) != 1 {
			t.Errorf("%d made, %d listed, %v", count, len(list), err)
		}
	})
}

// stored is the column secret of a key.
func stored(t *testing.T, s *access.Service, id string) (text string) {
	t.Helper()
	err := s.DB.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT secret FROM access_key WHERE id = $1`, id).Scan(&text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func overwrite(t *testing.T, s *access.Service, id, text string) {
	t.Helper()
	err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE access_key SET secret = $2 WHERE id = $1`, id, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSecretsAreSealed(t *testing.T) {
	each(t, func(t *testing.T, s *access.Service, _ *storetest.Clock) {
		c, d := create(t, s, "a", "full"), create(t, s, "b", "full")
		sealed := stored(t, s, c.ID)
		if strings.Contains(sealed, string(c.Secret)) || !strings.HasPrefix(sealed, "aes-gcm-1:") {
			t.Errorf("stored as %s", sealed)
		}
		look := func(key []byte, id string) error {
			_, err := (&access.Service{DB: s.DB, Operations: operations, SealKey: key}).Lookup(t.Context(), id)
			return err
		}
		for name, test := range map[string]struct {
			key  []byte
			want string
		}{
			"no seal key":      {nil, "there is no seal key"},
			"another seal key": {bytes.Repeat([]byte("x"), 32), "sealed with another seal key, or damaged"},
			"a short seal key": {sealKey[:31], "must be 32 bytes long"},
		} {
			if err := look(test.key, c.ID); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		overwrite(t, s, d.ID, sealed) // the row of another key
		if err := look(sealKey, d.ID); err == nil {
			t.Error("a sealed secret opens for another key")
		}
		for name, text := range map[string]string{"empty": "", "unknown form": "rot13:x", "not base64": "aes-gcm-1:*", "too short": "aes-gcm-1:AAAA"} {
			overwrite(t, s, d.ID, text)
			if err := look(sealKey, d.ID); err == nil || errors.Is(err, access.ErrUnknown) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		plain := &access.Service{DB: s.DB, Operations: operations}
		e := create(t, plain, "c", "full")
		if got := stored(t, s, e.ID); got != "plain:"+string(e.Secret) {
			t.Errorf("without a seal key: stored as %s", got)
		}
		if !known(t, plain, e) || !known(t, s, e) {
			t.Error("a plain secret does not open, with or without a seal key")
		}
		if _, err := (&access.Service{DB: s.DB, Operations: operations, SealKey: sealKey[:16]}).Create(t.Context(), "d", "full"); err == nil {
			t.Error("a short seal key: accepted")
		}
	})
}

// TestSecretsDoNotShow prints credentials in every way there is.
func TestSecretsDoNotShow(t *testing.T) {
	c := access.Credentials{ID: "AKIA1", Secret: "canary-secret", Token: "canary-token"}
	a := access.Active{Secret: c.Secret}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T%v"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", &c)
		fmt.Fprintf(&out, verb+"\n", a)
		fmt.Fprintf(&out, verb+"\n", c.Secret)
		fmt.Fprintf(&out, verb+"\n", []any{c.Token, &c.Token, map[access.Secret]access.Secret{c.Token: c.Secret}})
	}
	fmt.Fprintln(&out, fmt.Errorf("%w: %v", errors.New("x"), c), c)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "credentials", c, "secret", c.Secret, "p", &c, "a", a)
	}
	if err := json.NewEncoder(&out).Encode(map[string]any{"c": c, "a": a}); err != nil {
		t.Fatal(err)
	}
	for _, canary := range []string{"canary", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary")} {
		if strings.Contains(out.String(), canary) {
			t.Errorf("%s shows in\n%s", canary, out.String())
		}
	}
	if !strings.Contains(out.String(), "[secret]") || !strings.Contains(out.String(), "AKIA1") {
		t.Errorf("nothing was printed:\n%s", out.String())
	}
}
