package app_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/testkit"
)

// TestAServerIsAHostOfItsOwn, when it is told to be, and its hosts are managed while it runs
// and when it does not.
func TestAServerIsAHostOfItsOwn(t *testing.T) {
	var used config.Config
	s := testkit.Start(t, testkit.Options{Configure: func(c *config.Config) {
		c.Ephemeral, c.Store = false, "sqlite:"+filepath.Join(c.Data, "matchyard.db")
		c.Agent, c.AgentCapacity = config.On, 3
		used = *c
	}})
	ctx := t.Context()
	hosts, done, err := app.OpenHosts(ctx, used)
	if err != nil {
		t.Fatal(err)
	}
	host := func(want func(connected, draining bool) bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			list, err := hosts.Hosts(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 1 && list[0].Name == "local" && list[0].Capacity == 3 && want(list[0].Connected, list[0].Draining) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("hosts: %+v", list)
			}
		}
	}
	host(func(connected, draining bool) bool { return connected && !draining })
	if err := hosts.Drain(ctx, "local", true); err != nil {
		t.Fatal(err)
	}
	host(func(_, draining bool) bool { return draining })
	if err := hosts.Drain(ctx, "local", false); err != nil {
		t.Fatal(err)
	}
	if err := hosts.Drain(ctx, "nobody", true); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("drain of an unknown host: %v", err)
	}
	if err := hosts.Forget(ctx, "local"); err == nil || !strings.Contains(err.Error(), "connected") {
		t.Errorf("a connected host is forgotten: %v", err)
	}
	made, secret, err := hosts.CreateToken(ctx, "rack 7")
	if err != nil || !strings.HasPrefix(secret, "hostkey-") {
		t.Fatalf("token: %q %v", secret, err)
	}
	if err := hosts.RevokeToken(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	s.Stop()

	hosts, done, err = app.OpenHosts(ctx, used) // in the database itself
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = done() }()
	tokens, err := hosts.Tokens(ctx)
	if err != nil || len(tokens) != 2 {
		t.Fatalf("tokens: %+v %v", tokens, err)
	}
	for _, tok := range tokens {
		if revoked := !tok.RevokedAt.IsZero(); revoked != (tok.ID == made.ID) {
			t.Errorf("token %s: revoked %v", tok.ID, revoked)
		}
	}
	host(func(connected, _ bool) bool { return !connected })
	if err := hosts.Forget(ctx, "local"); err != nil {
		t.Error(err)
	}
}
