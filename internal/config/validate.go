package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/blob"
	"github.com/matchyard/matchyard/internal/webhook"
)

var (
	// Server SDKs take the region of an ARN apart and insist on this shape.
	regionForm  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+){1,2}-[1-9][0-9]?$`)
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
)

// Validate tells everything that is wrong, one line a field, or returns nil.
func (c Config) Validate() error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	c.checkAddresses(wrong)
	c.checkStorage(wrong)
	if !regionForm.MatchString(c.Region) {
		wrong("region", "%q does not look like an AWS region, as us-west-2 does", c.Region)
	}
	if !accountForm.MatchString(c.Account) {
		wrong("account", "%q is not twelve digits", c.Account)
	}
	switch {
	case c.Clock != Real && c.Clock != Manual:
		wrong("clock", "%q is neither real nor manual", c.Clock)
	case c.Clock == Manual && !c.Dev:
		wrong("clock", "only a development server has a manual clock")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		wrong("tls-cert", "a certificate and its key (tls-key) are given together")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		wrong("log-level", "%q is none of debug, info, warn, error", c.LogLevel)
	}
	if !slices.Contains([]string{"none", RatesOfAWS}, c.RateProfile) {
		wrong("rate-profile", "%q is neither none nor aws", c.RateProfile)
	}
	if c.RateLimit < 0 {
		wrong("rate-limit", "%d is less than 0", c.RateLimit)
	}
	if !slices.Contains([]string{"text", "json"}, c.LogFormat) {
		wrong("log-format", "%q is neither text nor json", c.LogFormat)
	}
	if (c.RootAccessKeyID == "") != (c.RootSecretAccessKey == "") {
		wrong("root-access-key-id", "a key and its secret (root-secret-access-key) are given together")
	}
	c.checkTraces(wrong)
	c.checkNumbers(wrong)
	if err := webhook.Check(c.Sinks, c.Targets); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c Config) checkAddresses(wrong func(field, format string, args ...any)) {
	check := func(field, address string) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			wrong(field, "%q is not HOST:PORT", address)
			return
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			wrong(field, "%q is not a port", port)
		}
		if c.Dev && !c.Public && !loopback(host) {
			wrong(field, "%s is not a loopback address, and a development server takes any credentials; --public allows it", address)
		}
	}
	check("listen", c.Listen)
	if c.Admin != Off {
		check("admin", c.Admin)
	}
	if c.Advertise == "" {
		return
	}
	if strings.Contains(c.Advertise, "://") {
		u, err := url.Parse(c.Advertise)
		if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			wrong("advertise", "%q is not a ws:// or wss:// URL without a query", c.Advertise)
		}
		return
	}
	if host, port, err := net.SplitHostPort(c.Advertise); err != nil || host == "" || port == "" || strings.ContainsAny(c.Advertise, "/?#") {
		wrong("advertise", "%q is neither HOST:PORT nor a ws:// or wss:// URL", c.Advertise)
	}
}

func (c Config) checkTraces(wrong func(field, format string, args ...any)) {
	if u, err := url.Parse(c.Traces); c.Traces != On && c.Traces != Off &&
		(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		wrong("traces", "want on, off, or an http:// or https:// URL without a query and without a password; headers are OTEL_EXPORTER_OTLP_HEADERS")
	}
	if !(c.TraceRatio >= 0 && c.TraceRatio <= 1) { // not a number is neither
		wrong("trace-ratio", "%v is not between 0 and 1", c.TraceRatio)
	}
}

func (c Config) checkNumbers(wrong func(field, format string, args ...any)) {
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"reservation-timeout", c.ReservationTimeout}, {"retention", c.Retention}, {"reconnect-grace", c.ReconnectGrace}, {"match-retention", c.MatchRetention},
	} {
		if d.value < time.Second {
			wrong(d.field, "%v is less than a second", d.value)
		}
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"fleet-error-life", c.FleetErrorLife}, {"fleet-expiry", c.FleetExpiry}} {
		if d.value < 0 {
			wrong(d.field, "%v is less than 0", d.value)
		}
	}
	if c.HostLostAfter < leastSilence {
		wrong("host-lost-after", "%v is less than %v: hosts that are well are heard of about every ten seconds", c.HostLostAfter, leastSilence)
	}
	if d, err := time.ParseDuration(c.FleetSpeed); c.FleetSpeed != "instant" && c.FleetSpeed != "realistic" && (err != nil || d < 0) {
		wrong("fleet-speed", "%q is neither instant nor realistic nor a time such as 5s", c.FleetSpeed)
	}
	if c.Agent != Auto && c.Agent != On && c.Agent != Off {
		wrong("agent", "%q is neither on nor off nor auto", c.Agent)
	}
	if c.AgentCapacity < 0 || c.AgentCapacity > maxAgentCapacity {
		wrong("agent-capacity", "%d is not between 0 and %d", c.AgentCapacity, maxAgentCapacity)
	}
	for _, n := range []struct {
		field string
		value int
	}{
		{"anywhere-fleets", c.AnywhereFleets},
		{"managed-fleets", c.ManagedFleets},
		{"locations-per-fleet", c.LocationsPerFleet},
		{"custom-locations", c.CustomLocations},
		{"computes-per-fleet", c.ComputesPerFleet},
		{"aliases", c.Aliases},
		{"rule-sets", c.RuleSets},
		{"matchmaking-configurations", c.MatchmakingConfigurations},
	} {
		if n.value < 1 {
			wrong(n.field, "%d is less than 1", n.value)
		}
	}
}

// leastSilence is how long a host that is well may not be heard of, on a busy machine.
const leastSilence = 20 * time.Second

// maxAgentCapacity is the most that the host room lets a host take.
const maxAgentCapacity = 10_000

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (c Config) checkStorage(wrong func(field, format string, args ...any)) {
	if c.Store != "" && !strings.HasPrefix(c.Store, "sqlite:") && !strings.HasPrefix(c.Store, "postgres://") && !strings.HasPrefix(c.Store, "postgresql://") {
		wrong("store", "want sqlite:PATH or postgres://…") // its text may hold a password
	}
	for _, place := range []struct{ field, value string }{{"blobs", c.Blobs}, {"build-sources", c.BuildSources}} {
		switch {
		case IsS3(place.value):
			if err := blob.CheckS3(place.value); err != nil {
				wrong(place.field, "%v", err)
			}
		case strings.Contains(place.value, "://"):
			wrong(place.field, "%q is neither a folder nor an s3:// URL", place.value)
		}
	}
	switch {
	case c.Ephemeral && !c.Dev:
		wrong("ephemeral", "only a development server may forget everything")
	case c.Ephemeral && (c.Data != "" || c.Store != ""):
		wrong("ephemeral", "an ephemeral server has neither data nor store")
	case c.Store == "" && c.Data == "" && !c.Dev:
		wrong("store", "a server needs a database: sqlite:PATH or postgres://…, or a folder for one (data)")
	}
}
