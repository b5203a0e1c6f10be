package app

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/model"
	"github.com/matchyard/matchyard/internal/seal"
	"github.com/matchyard/matchyard/internal/sigv4"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/sts"
	"github.com/matchyard/matchyard/internal/webhook"
)

// guard sets who may call: anyone in development, else whoever signs with a key. It sees to
// it that there is a first key.
func (a *App) guard(ctx context.Context, api *awsapi.Server) error {
	api.Throttle = throttle(a.config)
	if a.config.Dev {
		api.Auth, api.Authorize = awsapi.Anyone{}, a.faults.inject
		return nil
	}
	keys, err := accessRoom(a.db, a.config)
	if err != nil {
		return err
	}
	if keys.SealKey == nil {
		a.logger.Warn("secrets are stored as they are; seal-key-file would seal them")
	} else if info, err := os.Stat(a.config.SealKeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		a.logger.Warn("every user of this machine may use the seal key", slog.String("seal-key-file", a.config.SealKeyFile), slog.String("mode", info.Mode().String()))
	}
	a.rooms.builds.Seal, a.rooms.computes.Seal = keys.Ring(), keys.Ring()
	root, made, err := keys.EnsureRoot(ctx, a.config.RootAccessKeyID, a.config.RootSecretAccessKey)
	if err != nil {
		return err
	}
	if made {
		a.root = &root
	}
	a.signed = &awsapi.Signed{
		Keys:     keys,
		Home:     arn.Home{Region: a.config.Region, Account: a.config.Account},
		Verifier: &sigv4.Verifier{Services: []string{model.SigningName}, Region: a.config.Region},
		Logger:   a.logger,
	}
	a.keys = keys
	api.Home, api.Audit = a.signed.Home, keys.Audit.Append
	api.Auth, api.Authorize, api.Narrow = a.signed, a.signed.Authorize, a.signed.Narrow
	return nil
}

// throttle is how fast one key may call; nil when there is no limit.
func throttle(c config.Config) *awsapi.Throttle {
	if c.RateLimit == 0 && c.RateProfile != config.RatesOfAWS {
		return nil
	}
	t := &awsapi.Throttle{PerKey: awsapi.Rate{Burst: float64(c.RateLimit), PerSecond: float64(c.RateLimit)}}
	if c.RateProfile == config.RatesOfAWS {
		t.PerOperation = awsapi.AWSRate
		if c.RateLimit == 0 {
			t.PerKey = awsapi.AWSTotal
		}
	}
	return t
}

// accessRoom is the room of access keys, over a database.
func accessRoom(db *store.DB, c config.Config) (*access.Service, error) {
	keys := &access.Service{DB: db, Operations: append(webhook.Operations(), sts.Operation)}
	for _, o := range model.Operations {
		keys.Operations = append(keys.Operations, o.Name)
	}
	keys.Audit = &access.Audit{DB: db}
	if c.SealKeyFile == "" {
		return keys, nil
	}
	ring, err := readSealKeys(c.SealKeyFile)
	if err != nil {
		return nil, err
	}
	keys.SealKey, keys.OldSealKeys = ring[0], ring[1:]
	keys.Audit.SealKey, keys.Audit.OldSealKeys = ring[0], ring[1:]
	return keys, nil
}

// readSealKeys reads a file of keys, one a line: the one in use, and those that were before.
func readSealKeys(name string) (ring seal.Ring, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("seal-key-file: %w", err)
	}
	for line := range strings.FieldsSeq(string(text)) {
		key, err := hex.DecodeString(line)
		if err != nil {
			key, err = base64.StdEncoding.DecodeString(line)
		}
		if err != nil || len(key) != seal.KeySize {
			return nil, fmt.Errorf("seal-key-file: line %d of %s does not hold %d bytes in base64 or hexadecimal", len(ring)+1, name, seal.KeySize)
		}
		ring = append(ring, key)
	}
	if len(ring) == 0 {
		return nil, fmt.Errorf("seal-key-file: %s is empty", name)
	}
	return ring, nil
}

// verifyDial checks the signed query of a game server for the gateway and returns when it was
// signed. Signatures that are only too old pass: SDKs dial again with the query of their
// first dial, and the gateway knows whether the process still lives.
func (a *App) verifyDial(ctx context.Context, query url.Values) (time.Time, error) {
	strict := a.signed.Dial(ctx, query, false)
	at, err := time.Parse("20060102T150405Z", query.Get("X-Amz-Date"))
	if strict == nil {
		return at, err
	}
	if err != nil || time.Since(at) < dialAge {
		return time.Time{}, strict
	}
	return at, a.signed.Dial(ctx, query, true)
}

// dialAge is from when on a signature is too old for a first dial (sigv4.Verifier.Skew).
const dialAge = 15 * time.Minute
