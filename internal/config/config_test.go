package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/webhook"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "matchyard.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestEachSourceWinsOverThoseBeforeIt(t *testing.T) {
	name := file(t, "region: eu-west-1\naccount: '111111111111'\nlisten: 127.0.0.1:1\npublic: true\ntls-hosts: [a.example, b.example]\n")
	c, err := config.Load(config.Sources{
		File:  name,
		Env:   env("MATCHYARD_ACCOUNT", "222222222222", "MATCHYARD_LISTEN", "127.0.0.1:2", "MATCHYARD_LOG_LEVEL", "warn", "MATCHYARD_PUBLIC", "false"),
		Flags: map[string]any{"listen": "127.0.0.1:3", "log-level": "debug"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Region = "eu-west-1"                           // the file over the default
	want.TLSHosts = []string{"a.example", "b.example"}  // the same
	want.Account, want.Public = "222222222222", false   // the environment over the file
	want.Listen, want.LogLevel = "127.0.0.1:3", "debug" // the flag over the environment
	if want.Admin != "127.0.0.1:9171" || want.Clock != config.Real {
		t.Errorf("the defaults are %+v", want)
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestEveryFieldCanBeSetFromTheFileAndTheEnvironment(t *testing.T) {
	for f := range reflect.TypeFor[config.Config]().Fields() {
		key := f.Tag.Get("yaml")
		if key == "-" {
			continue
		}
		text, inFile := "some text", "some text"
		switch f.Type {
		case reflect.TypeFor[bool]():
			text, inFile = "true", "true"
		case reflect.TypeFor[int]():
			text, inFile = "7", "7"
		case reflect.TypeFor[float64]():
			text, inFile = "0.25", "0.25"
		case reflect.TypeFor[time.Duration]():
			text, inFile = "77s", "77s"
		case reflect.TypeFor[[]string]():
			text, inFile = "one, two", "[one, two]"
		case reflect.TypeFor[[]webhook.Sink]():
			text = `[{"name": "a", "kind": "webhook", "url": "https://a.example", "secrets": ["x"], "timeout": "3s", "allow-private": true}]`
			inFile = "[{name: a, kind: webhook, url: https://a.example, secrets: [x], timeout: 3s, allow-private: true}]"
		case reflect.TypeFor[map[string]string]():
			text, inFile = "{a: b}", "{a: b}"
		}
		fromFile, err := config.Load(config.Sources{File: file(t, key+": "+inFile)})
		if err != nil {
			t.Errorf("%s in the file: %v", key, err)
		}
		fromEnv, err := config.Load(config.Sources{Env: env(config.EnvName(key), text)})
		if err != nil {
			t.Errorf("%s: %v", config.EnvName(key), err)
		}
		got, want := reflect.ValueOf(fromEnv).FieldByIndex(f.Index), reflect.ValueOf(fromFile).FieldByIndex(f.Index)
		if got.IsZero() || !reflect.DeepEqual(got.Interface(), want.Interface()) {
			t.Errorf("%s: %v from the environment, %v from the file", key, got, want)
		}
	}
}

func TestUnreadableSources(t *testing.T) {
	for name, s := range map[string]config.Sources{
		"lisen":            {File: file(t, "lisen: 127.0.0.1:1")},
		"Public":           {File: file(t, "public: perhaps")},
		"no such file":     {File: filepath.Join(t.TempDir(), "none.yaml")},
		"MATCHYARD_PUBLIC": {Env: env("MATCHYARD_PUBLIC", "perhaps")},
		"urll":             {File: file(t, "sinks: [{name: a, urll: b}]")},
		"MATCHYARD_SINKS":  {Env: env("MATCHYARD_SINKS", "a, b")},

		"MATCHYARD_ALIASES":   {Env: env("MATCHYARD_ALIASES", "many")},
		"MATCHYARD_RETENTION": {Env: env("MATCHYARD_RETENTION", "30 days")},
	} {
		_, err := config.Load(s)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := config.Load(config.Sources{File: file(t, "")}); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	dev := func(change func(c *config.Config)) config.Config {
		c := config.Default()
		c.Dev = true
		change(&c)
		return c
	}
	serve := func(change func(c *config.Config)) config.Config {
		c := config.Default()
		c.Store = "postgres://u@h/db"
		change(&c)
		return c
	}
	for _, c := range []struct {
		config config.Config
		want   string // the beginning of a line of the message; "" means valid
	}{
		{dev(func(c *config.Config) {}), ""},
		{dev(func(c *config.Config) { c.Listen = "localhost:0" }), ""},
		{dev(func(c *config.Config) { c.Listen = "[::1]:0" }), ""},
		{dev(func(c *config.Config) { c.Listen = "127.9.9.9:0" }), ""},
		{dev(func(c *config.Config) { c.Listen, c.Public = "0.0.0.0:9170", true }), ""},
		{dev(func(c *config.Config) { c.Admin = config.Off }), ""},
		{dev(func(c *config.Config) { c.Clock = config.Manual }), ""},
		{dev(func(c *config.Config) { c.Region = "us-gov-west-1" }), ""},
		{dev(func(c *config.Config) { c.Advertise = "games.example:443" }), ""},
		{dev(func(c *config.Config) { c.Advertise = "wss://games.example/matchyard" }), ""},
		{serve(func(c *config.Config) { c.Listen = ":9170" }), ""},

		{dev(func(c *config.Config) { c.Listen = "0.0.0.0:9170" }), "listen: 0.0.0.0:9170 is not a loopback address"},
		{dev(func(c *config.Config) { c.Listen = ":9170" }), "listen: "},
		{dev(func(c *config.Config) { c.Listen = "games.example:9170" }), "listen: "},
		{dev(func(c *config.Config) { c.Listen = "127.0.0.1" }), "listen: "},
		{dev(func(c *config.Config) { c.Listen = "127.0.0.1:70000" }), "listen: "},
		{dev(func(c *config.Config) { c.Admin = "10.0.0.1:9171" }), "admin: "},
		{dev(func(c *config.Config) { c.Advertise = "http://games.example" }), "advertise: "},
		{dev(func(c *config.Config) { c.Advertise = "ws://games.example/?a=b" }), "advertise: "},
		{dev(func(c *config.Config) { c.Advertise = "games.example" }), "advertise: "},
		{dev(func(c *config.Config) { c.Region = "local" }), "region: "},
		{dev(func(c *config.Config) { c.Account = "1234" }), "account: "},
		{dev(func(c *config.Config) { c.Clock = "sundial" }), "clock: "},
		{dev(func(c *config.Config) { c.Ephemeral, c.Data = true, "x" }), "ephemeral: "},
		{dev(func(c *config.Config) { c.Store = "mysql://u:secret@h/db" }), "store: want sqlite:PATH or postgres://"},
		{dev(func(c *config.Config) { c.TLSCert = "x" }), "tls-cert: "},
		{dev(func(c *config.Config) { c.LogLevel = "loud" }), "log-level: "},
		{dev(func(c *config.Config) { c.RateProfile = "some" }), "rate-profile: "},
		{dev(func(c *config.Config) { c.RateLimit = -1 }), "rate-limit: "},
		{dev(func(c *config.Config) { c.LogFormat = "xml" }), "log-format: "},
		{dev(func(c *config.Config) { c.RootAccessKeyID = "x" }), "root-access-key-id: "},
		{dev(func(c *config.Config) { c.Sinks = []webhook.Sink{{Name: "a", Kind: webhook.SQS}} }), ""},
		{dev(func(c *config.Config) { c.Sinks = []webhook.Sink{{Name: "a", Kind: "fax"}} }), "sinks: a: kind: "},
		{dev(func(c *config.Config) { c.Targets = map[string]string{"arn:aws:sns:us-west-2::t": "a"} }), "targets: "},
		{dev(func(c *config.Config) { c.ReservationTimeout = 0 }), "reservation-timeout: "},
		{dev(func(c *config.Config) { c.Retention = -time.Hour }), "retention: "},
		{dev(func(c *config.Config) { c.ComputesPerFleet = 0 }), "computes-per-fleet: "},
		{dev(func(c *config.Config) { c.ManagedFleets = 0 }), "managed-fleets: "},
		{dev(func(c *config.Config) { c.AgentCapacity = -1 }), "agent-capacity: "},
		{dev(func(c *config.Config) { c.AgentCapacity = 10_001 }), "agent-capacity: "},
		{dev(func(c *config.Config) { c.Agent = "maybe" }), "agent: "},
		{dev(func(c *config.Config) { c.Agent = config.Off }), ""},
		{dev(func(c *config.Config) { c.HostLostAfter = 19 * time.Second }), "host-lost-after: "},
		{dev(func(c *config.Config) { c.FleetSpeed = "slow" }), "fleet-speed: "},
		{dev(func(c *config.Config) { c.FleetSpeed = "-1s" }), "fleet-speed: "},
		{dev(func(c *config.Config) { c.FleetSpeed = "realistic" }), ""},
		{dev(func(c *config.Config) { c.FleetErrorLife = -time.Hour }), "fleet-error-life: "},
		{dev(func(c *config.Config) { c.FleetExpiry = -time.Hour }), "fleet-expiry: "},
		{serve(func(c *config.Config) { c.Store, c.Data = "", "" }), "store: a server needs a database"},
		{serve(func(c *config.Config) { c.Clock = config.Manual }), "clock: "},
		{serve(func(c *config.Config) { c.Ephemeral = true }), "ephemeral: "},
	} {
		err := c.config.Validate()
		if c.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", c.config, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s", c.config, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), ":secret@") {
			t.Errorf("a password in the message: %v", err)
		}
	}
	both := dev(func(c *config.Config) { c.Region, c.Account = "x", "y" }).Validate()
	if both == nil || len(strings.Split(both.Error(), "\n")) != 2 {
		t.Errorf("two wrong fields: %v, want two lines", both)
	}
}

func TestWhereThingsAreKept(t *testing.T) {
	for _, c := range []struct{ data, store, url, folder string }{
		{"", "", "sqlite::memory:", ""},
		{"d", "", "sqlite:d/matchyard.db", "d"},
		{"", "sqlite:e/f.db", "sqlite:e/f.db", "e"},
		{"d", "sqlite:e/f.db", "sqlite:e/f.db", "d"},
		{"", "sqlite::memory:", "sqlite::memory:", ""},
		{"d", "postgres://h/db", "postgres://h/db", "d"},
		{"", "postgres://h/db", "postgres://h/db", ""},
	} {
		got := config.Config{Data: c.data, Store: c.store}
		if got.StoreURL() != c.url || got.Folder() != c.folder {
			t.Errorf("data %q, store %q: kept in %q and %q, want %q and %q", c.data, c.store, got.StoreURL(), got.Folder(), c.url, c.folder)
		}
	}
}
