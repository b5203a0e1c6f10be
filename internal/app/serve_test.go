package app_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/testkit"
)

const (
	rootKey    = "ROOTKEY0123456789"
	rootSecret = "a root secret of some length"
)

// production is a server that checks signatures, with a client that signs with the root key.
func production(t *testing.T, database string, speakJSON bool) (*testkit.Server, config.Config) {
	t.Helper()
	var used config.Config
	o := testkit.Options{JSON: speakJSON, Key: rootKey, Secret: rootSecret, Configure: func(c *config.Config) {
		c.Dev, c.Clock = false, config.Real
		c.RootAccessKeyID, c.RootSecretAccessKey = rootKey, rootSecret
		c.SealKeyFile = filepath.Join(t.TempDir(), "seal")
		if err := os.WriteFile(c.SealKeyFile, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if database == "sqlite" {
			c.Store = "sqlite:" + filepath.Join(c.Data, "matchyard.db")
		}
		used = *c
	}}
	if database == "postgres" {
		o.Store = storetest.PostgresURL(t)
	}
	return testkit.Start(t, o), used
}

func TestAServerForProductionChecksWhoCalls(t *testing.T) {
	for _, database := range storetest.Databases() {
		for _, protocol := range []string{"cbor", "json"} {
			t.Run(database+"/"+protocol, func(t *testing.T) {
				s, c := production(t, database, protocol == "json")
				ctx := t.Context()
				arena(t, s.Client)

				if status, code, _ := post(t, s.URL, protocol, "ListFleets", map[string][]byte{"json": []byte("{}"), "cbor": {0xa0}}[protocol]); status != 400 || code != "MissingAuthenticationTokenException" {
					t.Errorf("unsigned: %d %s", status, code)
				}
				as := func(key, secret string) *gamelift.Client {
					return s.ClientOf(key, secret, protocol == "json")
				}
				_, err := as(rootKey, "another secret, as long").ListFleets(ctx, &gamelift.ListFleetsInput{})
				refused(t, err, "InvalidSignatureException")
				_, err = as("AKIANOBODY", rootSecret).ListFleets(ctx, &gamelift.ListFleetsInput{})
				refused(t, err, "UnrecognizedClientException")

				// A key is made while the server runs, and ends while it runs.
				keys, done, err := app.OpenKeyring(ctx, c)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := done(); err != nil {
						t.Error(err)
					}
				}()
				if _, err := keys.Create(ctx, "ann", "SingSongs"); err == nil || !strings.Contains(err.Error(), "SingSongs") {
					t.Errorf("a policy of nothing we do: %v", err)
				}
				ann, err := keys.Create(ctx, "ann", "read-only")
				if err != nil {
					t.Fatal(err)
				}
				reader := as(ann.ID, string(ann.Secret))
				must[gamelift.ListFleetsOutput](t)(reader.ListFleets(ctx, &gamelift.ListFleetsInput{}))
				_, err = reader.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-x")})
				refused(t, err, "AccessDeniedException", "CreateLocation")
				list, err := keys.List(ctx)
				if err != nil || len(list) != 2 || list[0].ID != rootKey || list[1].Name != "ann" {
					t.Errorf("keys %v, %v", list, err)
				}
				if err := keys.Revoke(ctx, ann.ID); err != nil {
					t.Fatal(err)
				}
				if database == "sqlite" { // on PostgreSQL the server is told a moment later
					_, err = reader.ListFleets(ctx, &gamelift.ListFleetsInput{})
					refused(t, err, "UnrecognizedClientException")
				}
				if err := keys.Revoke(ctx, "AKIANOBODY"); err == nil {
					t.Error("a key that is not there is revoked")
				}
			})
		}
	}
}

// A key whose policy allows one operation on one fleet can do nothing else, and what it
// tried to change is in the audit log.
func TestAKeyForOneFleet(t *testing.T) {
	for _, database := range storetest.Databases() {
		for _, protocol := range []string{"cbor", "json"} {
			t.Run(database+"/"+protocol, func(t *testing.T) {
				s, c := production(t, database, protocol == "json")
				ctx := t.Context()
				mine := arena(t, s.Client)
				other := "fleet-11111111-2222-3333-4444-555555555555"
				keys, done, err := app.OpenKeyring(ctx, c)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := done(); err != nil {
						t.Error(err)
					}
				}()
				key, err := keys.Create(ctx, "watcher", fmt.Sprintf(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
					"Action": "gamelift:DescribePlayerSessions", "Resource": "arn:aws:gamelift:*:*:fleet/%s"}}`, mine))
				if err != nil {
					t.Fatal(err)
				}
				as := s.ClientOf(key.ID, string(key.Secret), protocol == "json")
				session := func(fleet string) *gamelift.DescribePlayerSessionsInput {
					return &gamelift.DescribePlayerSessionsInput{GameSessionId: new("arn:aws:gamelift:" + c.Region + "::gamesession/" + fleet + "/gsess-1")}
				}
				_, err = as.DescribePlayerSessions(ctx, session(mine))
				refused(t, err, "NotFoundException") // allowed: the game session is not there
				_, err = as.DescribePlayerSessions(ctx, session(other))
				refused(t, err, "AccessDeniedException", other)
				if got, err := as.DescribePlayerSessions(ctx, &gamelift.DescribePlayerSessionsInput{PlayerId: new("ann")}); err != nil || len(got.PlayerSessions) != 0 {
					t.Errorf("a player who is nowhere: %v, %v", got, err)
				}
				_, err = as.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{FleetId: &mine})
				refused(t, err, "AccessDeniedException", "DescribeGameSessions", mine)
				_, err = as.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: &mine})
				refused(t, err, "AccessDeniedException", "DeleteFleet")

				fresh, err := keys.Rotate(ctx, key.ID, time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				_, err = s.ClientOf(fresh.ID, string(fresh.Secret), protocol == "json").DescribePlayerSessions(ctx, session(mine))
				refused(t, err, "NotFoundException")

				n, err := keys.Verify(ctx)
				if err != nil {
					t.Fatal(err)
				}
				log, err := keys.Entries(ctx, 0, 100)
				if err != nil || int64(len(log)) != n {
					t.Fatalf("%d entries of %d, %v", len(log), n, err)
				}
				var told []string
				for _, e := range log {
					if e.Operation == "DeleteFleet" || strings.HasPrefix(e.Operation, "Describe") {
						told = append(told, fmt.Sprint(e.Operation, e.Key == key.ID, e.Name, e.Resources, e.Outcome, e.From, e.Request != ""))
					}
				}
				want := fmt.Sprintf("DeleteFleettruewatcher[arn:aws:gamelift:%s:%s:fleet/%s]AccessDeniedException127.0.0.1true", c.Region, c.Account, mine)
				if got := strings.Join(told, "\n"); got != want {
					t.Errorf("the audit log has\n%s, want\n%s", got, want)
				}
			})
		}
	}
}

func TestAServerForProductionHasNoClockToTurn(t *testing.T) {
	s, _ := production(t, "sqlite", false)
	for _, path := range []string{"/clock/advance?d=1s", "/faults"} {
		if status, _ := send(t, "POST", s.Admin+path); status != 404 && status != 405 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestTheKeySocketIsTheOwnersAlone(t *testing.T) {
	s, c := production(t, "sqlite", false)
	name := filepath.Join(c.Data, "keys.sock")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	s.Stop()
	if _, err := os.Stat(name); err == nil {
		t.Error("it is still there after the server")
	}
	// Without a server the database itself is opened.
	keys, done, err := app.OpenKeyring(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := keys.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("keys %v, %v", list, err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

func TestTheFirstKeyIsShownOnce(t *testing.T) {
	c := config.Default()
	c.Listen, c.Admin, c.Store = "127.0.0.1:0", config.Off, "sqlite:"+filepath.Join(t.TempDir(), "db")
	for start, want := range []bool{true, false} {
		a, err := openApp(t, c)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Root() != nil; got != want {
			t.Errorf("start %d: a root key is shown: %t, want %t", start+1, got, want)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestABadSealKeyFile(t *testing.T) {
	c := config.Default()
	dir := t.TempDir()
	c.Listen, c.Admin, c.Store, c.SealKeyFile = "127.0.0.1:0", config.Off, "sqlite:"+filepath.Join(dir, "db"), filepath.Join(dir, "seal")
	if err := os.WriteFile(c.SealKeyFile, []byte("too short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openApp(t, c); err == nil || !strings.HasPrefix(err.Error(), "seal-key-file: ") {
		t.Errorf("error %v", err)
	}
}

// A seal key that others can read is no secret. It may have older keys behind it.
func TestASealKeyThatOthersCanRead(t *testing.T) {
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		var log bytes.Buffer
		c := config.Default()
		dir := t.TempDir()
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Listen, c.Admin, c.Store, c.SealKeyFile = "127.0.0.1:0", config.Off, "sqlite:"+filepath.Join(dir, "db"), filepath.Join(dir, "seal")
		key := base64.StdEncoding.EncodeToString(make([]byte, 32))
		if err := os.WriteFile(c.SealKeyFile, []byte(key+"\n"+strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.SealKeyFile, mode); err != nil {
			t.Fatal(err)
		}
		a, err := app.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(log.String(), "every user of this machine"); got != warned {
			t.Errorf("mode %v: the log has %s", mode, log.String())
		}
	}
}
