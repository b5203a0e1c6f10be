package access_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

func eachAudit(t *testing.T, f func(t *testing.T, a *access.Audit)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		f(t, &access.Audit{DB: db, SealKey: sealKey})
	})
}

func TestTheAuditLogIsAChain(t *testing.T) {
	eachAudit(t, func(t *testing.T, a *access.Audit) {
		var group sync.WaitGroup
		for i := range 20 { // callers at once form one chain
			group.Go(func() {
				e := access.Entry{Key: "AKIA1", Name: "ci", From: "192.0.2.1", Request: fmt.Sprint(i), Operation: "DeleteFleet", Resources: []string{"arn"}, Outcome: "OK"}
				if err := a.Append(t.Context(), e); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n, err := a.Verify(t.Context()); n != 20 || err != nil {
			t.Fatalf("Verify: %d, %v", n, err)
		}
		list, err := a.List(t.Context(), 5, 3)
		if err != nil || len(list) != 3 || list[0].Seq != 6 || list[0].Operation != "DeleteFleet" || list[0].At.IsZero() {
			t.Errorf("List: %+v, %v", list, err)
		}
		wrong := &access.Audit{DB: a.DB, SealKey: []byte("another key of thirty-two bytes!")}
		if _, err := wrong.Verify(t.Context()); err == nil {
			t.Error("the chain holds under another key")
		}
		for _, c := range []struct{ change, undo, want string }{
			{`UPDATE audit SET entry = REPLACE(entry, 'ci', 'me') WHERE seq = 7`, `UPDATE audit SET entry = REPLACE(entry, '"me"', '"ci"') WHERE seq = 7`, "entry 7"},
			{`UPDATE audit SET seq = 99 WHERE seq = 9`, `UPDATE audit SET seq = 9 WHERE seq = 99`, "entry 9 is missing"},
			{`UPDATE audit SET seq = 99 WHERE seq = 20`, `UPDATE audit SET seq = 20 WHERE seq = 99`, "entry 20 is missing"},
		} {
			exec(t, a.DB, c.change)
			if _, err := a.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.change, err)
			}
			exec(t, a.DB, c.undo)
			if _, err := a.Verify(t.Context()); err != nil {
				t.Fatalf("%s: %v", c.undo, err)
			}
		}
		exec(t, a.DB, `DELETE FROM audit WHERE seq = 20`)
		if _, err := a.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "after 19") {
			t.Errorf("without its last entry: %v", err)
		}
	})
}

func exec(t *testing.T, db *store.DB, statement string) {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(statement); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestARotatedKeyGoesOnForAWhile(t *testing.T) {
	each(t, func(t *testing.T, s *access.Service, clock *storetest.Clock) {
		s.Audit = &access.Audit{DB: s.DB, SealKey: sealKey}
		old := create(t, s, "lobby", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "gamelift:ListFleets", "Resource": "*"}}`)
		fresh, err := s.Rotate(t.Context(), old.ID, time.Hour)
		if err != nil || fresh.ID == old.ID {
			t.Fatalf("Rotate: %v, %v", fresh.ID, err)
		}
		a, err := s.Lookup(t.Context(), fresh.ID)
		if err != nil || a.Name != "lobby" || !a.Policy.Allows(access.Request{Operation: "ListFleets"}) || a.Policy.Allows(access.Request{Operation: "CreateFleet"}) || !a.ExpiresAt.IsZero() {
			t.Errorf("the new key is %+v, %v", a.Key, err)
		}
		if a, err := s.Lookup(t.Context(), old.ID); err != nil || !a.ExpiresAt.Equal(clock.Now().Add(time.Hour)) {
			t.Errorf("the old key ends at %v, %v", a.ExpiresAt, err)
		}
		// A later rotation does not lengthen its life, and its row stays.
		clock.Advance(30 * time.Minute)
		if _, err := s.Rotate(t.Context(), old.ID, time.Hour); err != nil {
			t.Fatal(err)
		}
		clock.Advance(48 * time.Hour)
		if _, err := s.CreateTemporary(t.Context(), "x", "full", time.Hour); err != nil {
			t.Fatal(err)
		}
		list, err := s.List(t.Context())
		if err != nil || len(list) != 4 || list[0].ID != old.ID || !list[0].ExpiresAt.Equal(clock.Now().Add(-47*time.Hour-30*time.Minute)) {
			t.Errorf("List: %+v, %v", list, err)
		}
		if err := s.Revoke(t.Context(), old.ID); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{old.ID, "AKIANOBODY", "?"} {
			if _, err := s.Rotate(t.Context(), id, time.Hour); err == nil {
				t.Errorf("%s was rotated", id)
			}
		}
		log, err := s.Audit.List(t.Context(), 0, 100)
		var done []string
		for _, e := range log {
			done = append(done, e.Operation)
		}
		want := "keys:Create keys:Rotate keys:Create keys:Rotate keys:Create keys:Create keys:Revoke"
		if got := strings.Join(done, " "); err != nil || got != want {
			t.Errorf("the audit log has %s, %v", got, err)
		}
	})
}
