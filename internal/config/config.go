// Package config is everything a server can be told, in one structure. It owns the names,
// the defaults and the order of their sources: default, file, environment, flag, each
// winning over those before it. It opens nothing but the file and knows no room.
package config

import (
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/webhook"
)

// Config is everything a server can be told. A field's yaml name is its key in the file, its
// flag, and, in capitals with underscores after MATCHYARD_, its environment variable.
type Config struct {
	// Listen is the address of the API and of game servers, TLS and plain text alike. Port 0
	// takes a free one.
	Listen string `yaml:"listen" default:"127.0.0.1:9170" placeholder:"HOST:PORT" help:"Address of the API and of game servers, TLS and plain text alike. Port 0 takes a free one."`
	// Admin is the address of health, metrics, profiles and the clock; "off" for none.
	Admin string `yaml:"admin" default:"127.0.0.1:9171" placeholder:"HOST:PORT" help:"Address of health, metrics, profiles and the clock; off for none."`
	// Advertise is where game servers are told to dial: HOST:PORT, or a whole ws:// or wss://
	// URL. Empty means the address listened on.
	Advertise string `yaml:"advertise" placeholder:"HOST:PORT" help:"Where game servers are told to dial: HOST:PORT, or a ws:// or wss:// URL. Default: the address listened on."`
	// Beacon is the address of the UDP ping beacon of the home region; "off" for none. A
	// development server has one on loopback, one in production only when told.
	Beacon string `yaml:"beacon" placeholder:"HOST:PORT" help:"Address of the UDP ping beacon, by custom of port 7770; off for none. Default: 127.0.0.1:7770 in dev, else none."`
	// Public lets a development server, which takes any credentials, listen on addresses that
	// other machines reach.
	Public bool `yaml:"public" help:"Let a development server, which takes any credentials, listen beyond loopback."`

	// Data is the folder of the database and of the certificate made at the first start.
	Data string `yaml:"data" placeholder:"DIR" help:"Folder of the database and of the certificate made at the first start."`
	// Ephemeral keeps everything until the server stops, and no longer. It is what a
	// development server does without Data and Store.
	Ephemeral bool `yaml:"ephemeral" help:"Keep nothing after the server stops (dev without --data and --store does so too)."`
	// Store is the database: sqlite:PATH or postgres://…. A server in production needs it; a
	// development server has one in Data.
	Store string `yaml:"store" placeholder:"URL" help:"Database: sqlite:PATH or postgres://USER@HOST/NAME."`

	// Blobs is where the files of builds, scripts and logs are kept: a folder, or an s3:// URL
	// as blob.OpenS3 reads it. Nodes of one database need the same. Without it they are in a
	// folder "blobs" beside the database.
	Blobs string `yaml:"blobs" placeholder:"DIR|URL" help:"Where builds, scripts and logs are kept: a folder, or s3://BUCKET/PREFIX?endpoint=URL. Default: blobs in the data folder."`
	// BuildSources is where the buckets of callers' own storage locations are looked up: a
	// folder with one folder a bucket, or an s3:// URL, of which the bucket does not matter.
	// Without it that is the store of Blobs, if it is S3-compatible.
	BuildSources string `yaml:"build-sources" placeholder:"DIR|URL" help:"Where the buckets of a StorageLocation are: a folder with one folder a bucket, or an s3:// URL. Default: the store of --blobs."`

	// Clock is "real", or, in development, "manual": it starts at the time of the start and
	// then moves only by POST /clock/advance on the admin address.
	Clock string `yaml:"clock" default:"real" enum:"real,manual" help:"real, or (dev only) manual: moves only by POST /clock/advance on the admin address."`
	// Region is the server's own AWS region, a part of every ARN.
	Region string `yaml:"region" default:"us-west-2" placeholder:"REGION" help:"The server's own region, a part of every ARN."`
	// Account is the server's own account, a part of most ARNs.
	Account string `yaml:"account" default:"123456789012" placeholder:"DIGITS" help:"The server's own account, a part of most ARNs."`

	// TLSCert and TLSKey are PEM files of a certificate (with its chain) and its key. They are
	// read again when they change. Without them the server makes a certificate of its own.
	TLSCert string `yaml:"tls-cert" placeholder:"FILE" help:"PEM file of the certificate and its chain, read again when it changes. Default: one made at the first start."`
	TLSKey  string `yaml:"tls-key" placeholder:"FILE" help:"PEM file of the certificate's key."`
	// TLSHosts are names and addresses that the server's own certificate is also for.
	TLSHosts []string `yaml:"tls-hosts" placeholder:"HOST" help:"Names and addresses that the server's own certificate is also for."`

	// ReservationTimeout is how long a player session stays RESERVED. Retention is how long
	// sessions are kept after a game session's end. ReconnectGrace is how long a game server
	// may be gone before it counts as crashed; server SDKs try for 150 seconds and more.
	ReservationTimeout time.Duration `yaml:"reservation-timeout" default:"60s" placeholder:"DURATION" help:"How long a player session stays RESERVED."`
	Retention          time.Duration `yaml:"retention" default:"720h" placeholder:"DURATION" help:"How long sessions are kept after a game session's end."`
	ReconnectGrace     time.Duration `yaml:"reconnect-grace" default:"200s" placeholder:"DURATION" help:"How long a game server may be gone before it counts as crashed."`

	// FleetSpeed is how long at least managed fleets show each state of their creation and
	// deletion: "instant", "realistic", or a time. FleetErrorLife is how long those that failed
	// are kept, FleetExpiry the age at which they expire; 0 is for ever.
	FleetSpeed     string        `yaml:"fleet-speed" default:"instant" placeholder:"SPEED" help:"How long managed fleets show each state: instant, realistic (as long as AWS), or a time such as 5s."`
	FleetErrorLife time.Duration `yaml:"fleet-error-life" default:"24h" placeholder:"DURATION" help:"How long managed fleets in ERROR are kept; 0 for ever."`
	FleetExpiry    time.Duration `yaml:"fleet-expiry" default:"0s" placeholder:"DURATION" help:"Age at which managed fleets expire (AWS: a year); 0 for never."`

	// What follows are quotas, with the service's own as defaults.
	AnywhereFleets    int `yaml:"anywhere-fleets" default:"30" placeholder:"N" help:"Most Anywhere fleets."`
	ManagedFleets     int `yaml:"managed-fleets" default:"20" placeholder:"N" help:"Most managed (EC2) fleets."`
	LocationsPerFleet int `yaml:"locations-per-fleet" default:"10" placeholder:"N" help:"Most locations of a fleet."`
	CustomLocations   int `yaml:"custom-locations" default:"20" placeholder:"N" help:"Most custom locations."`
	ComputesPerFleet  int `yaml:"computes-per-fleet" default:"100" placeholder:"N" help:"Most computes of an Anywhere fleet."`
	Aliases           int `yaml:"aliases" default:"100" placeholder:"N" help:"Most aliases."`

	// The match settings are how matchmaking reads what AWS leaves open; see docs/flexmatch.md.
	MatchPartyAsOne           bool          `yaml:"match-party-as-one" help:"In comparison and distance rules a party counts as one value, not once for each player."`
	MatchAnyLocation          bool          `yaml:"match-any-location" help:"The tickets of a small match need no location in common."`
	MatchSilentSearchOn       bool          `yaml:"match-silent-search-on" help:"When a player rejects a match, those who had not answered yet search on."`
	MatchBackfillKeepsOn      bool          `yaml:"match-backfill-keeps-on" help:"A new ticket of a player does not cancel the backfill of the game session the player is in."`
	MatchBackfillRefills      bool          `yaml:"match-backfill-refills" help:"Automatic backfill also fills the slots of players who joined and left."`
	MatchLocationHint         bool          `yaml:"match-location-hint" help:"Events of STANDALONE matches name the best location."`
	MatchRetention            time.Duration `yaml:"match-retention" default:"24h" placeholder:"DURATION" help:"How long tickets are kept after their end."`
	RuleSets                  int           `yaml:"rule-sets" default:"1000" placeholder:"N" help:"Most matchmaking rule sets."`
	MatchmakingConfigurations int           `yaml:"matchmaking-configurations" default:"100" placeholder:"N" help:"Most matchmaking configurations."`

	// RateLimit is how many requests a second one access key may send to this node, and
	// RateProfile "aws" limits each operation as AWS publishes it. 0 and "none" limit nothing.
	RateLimit   int    `yaml:"rate-limit" default:"0" placeholder:"N" help:"Most requests a second of one access key to a node; 0 for any number."`
	RateProfile string `yaml:"rate-profile" default:"none" enum:"none,aws" help:"Limits of single operations: none, or aws for those that AWS publishes."`

	// Agent makes the server's own machine a host for managed fleets: "on", "off", or "auto",
	// which is on for a development server. AgentCapacity is how many instances it takes.
	Agent         string `yaml:"agent" default:"auto" enum:"auto,on,off" help:"Let this machine host instances of managed fleets: on, off, or auto (on for dev)."`
	AgentCapacity int    `yaml:"agent-capacity" default:"10" placeholder:"N" help:"Most instances on this machine."`

	// HostLostAfter is how long a host of managed fleets may be silent before its instances
	// are replaced on others.
	HostLostAfter time.Duration `yaml:"host-lost-after" default:"90s" placeholder:"DURATION" help:"How long a host may be silent before its instances are replaced on other hosts."`

	// LogLevel is the least level that is logged; LogFormat is "text" or "json".
	LogLevel  string `yaml:"log-level" default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: debug, info, warn or error."`
	LogFormat string `yaml:"log-format" default:"text" enum:"text,json" help:"Form of the log on standard error: text or json."`

	// Traces is where traces go: the URL of an OpenTelemetry collector that takes OTLP over
	// HTTP, "on" for the one that OTEL_EXPORTER_OTLP_ENDPOINT names, or "off". TraceRatio is
	// the share of the traces begun here that are kept.
	Traces     string  `yaml:"traces" default:"off" placeholder:"URL|on|off" help:"Where traces go: the URL of an OTLP/HTTP collector, on for the one in OTEL_EXPORTER_OTLP_ENDPOINT, or off."`
	TraceRatio float64 `yaml:"trace-ratio" default:"1" placeholder:"SHARE" help:"Share of the traces begun here that are kept, from 0 to 1; those of callers are kept as they say."`

	// SealKeyFile holds the 32 bytes, in base64 or hexadecimal, under which the secrets of
	// access keys are stored; all nodes have the same. Without it they are stored as they are.
	SealKeyFile string `yaml:"seal-key-file" placeholder:"FILE" help:"File of 32 bytes, in base64 or hexadecimal, that seals the secrets of access keys in the database."`

	// RootAccessKeyID and RootSecretAccessKey are the first key of a server in production.
	// They are no flags, which other users of the machine could read.
	RootAccessKeyID     string `yaml:"root-access-key-id" cli:"-"`
	RootSecretAccessKey string `yaml:"root-secret-access-key" cli:"-"`

	// Sinks are where events go, and Targets the sinks of topics that queues and matchmaking
	// configurations name as their NotificationTarget, by ARN. See docs/events.md. In the
	// environment they are YAML or JSON. They are no flags, since sinks have secrets.
	Sinks   []webhook.Sink    `yaml:"sinks" cli:"-"`
	Targets map[string]string `yaml:"targets" cli:"-"`

	// What follows is set by the program and not by its user.

	// Dev is the development server: any credentials, and a clock one can turn.
	Dev bool `yaml:"-" cli:"-"`
	// Version is what /version and the ready line say.
	Version string `yaml:"-" cli:"-"`
	// Logger is where the server logs; nil means slog.Default.
	Logger *slog.Logger `yaml:"-" cli:"-"`
}

// Off is the Admin address of a server that has none, and the Traces of one that sends none.
const Off = "off"

// Auto and On are values of Agent, besides Off; On is one of Traces.
const (
	Auto = "auto"
	On   = "on"
)

// Manual and Real are the values of Clock.
const (
	Manual = "manual"
	Real   = "real"
)

// RatesOfAWS is a value of RateProfile.
const RatesOfAWS = "aws"

// IsS3 tells whether a place of files is an S3-compatible store, and not a folder.
func IsS3(place string) bool { return strings.HasPrefix(place, "s3://") }

// StoreURL is the database to open.
func (c Config) StoreURL() string {
	switch {
	case c.Store != "":
		return c.Store
	case c.Data != "":
		return "sqlite:" + filepath.Join(c.Data, "matchyard.db")
	}
	return "sqlite::memory:"
}

// Folder is where the server may keep files of its own: Data, or the folder of the SQLite
// file; "" means nowhere.
func (c Config) Folder() string {
	if path, ok := strings.CutPrefix(c.Store, "sqlite:"); ok && c.Data == "" && path != ":memory:" {
		return filepath.Dir(path)
	}
	return c.Data
}
