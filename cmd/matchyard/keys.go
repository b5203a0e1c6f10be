package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/cli"
	"github.com/matchyard/matchyard/internal/config"
)

// keysCmd manages access keys, whether the server runs or not.
type keysCmd struct {
	Create createKeyCmd `cmd:"" help:"Make an access key and print it; its secret is shown only now."`
	List   listKeysCmd  `cmd:"" help:"List all access keys, the revoked ones too."`
	Rotate rotateKeyCmd `cmd:"" help:"Make a key like another, which ends after a while."`
	Revoke revokeKeyCmd `cmd:"" help:"End an access key for good."`
	Reseal resealCmd    `cmd:"" help:"Store all secrets under the first key of the seal key file, so that those after it can go."`
}

// keysFlags say which server's keys are meant: a part of the server's own flags.
type keysFlags struct {
	File        string `name:"config" type:"path" placeholder:"FILE" help:"The server's YAML file." env:"MATCHYARD_CONFIG"`
	Data        string `placeholder:"DIR" help:"The server's data folder."`
	Store       string `placeholder:"URL" help:"The server's database: sqlite:PATH or postgres://USER@HOST/NAME."`
	SealKeyFile string `placeholder:"FILE" help:"The server's seal key."`
}

// config is the configuration of the server that is meant.
func (k *keysFlags) config(parsed *cli.Context) (config.Config, error) {
	c, err := config.Load(config.Sources{File: k.File, Env: os.LookupEnv, Flags: parsed.Given()})
	if err != nil {
		return c, usageError{err}
	}
	c.Store = cmp.Or(c.Store, dataStore(c))
	if err := c.Validate(); err != nil {
		return c, usageError{err}
	}
	c.LogLevel = "error"
	c.Logger = logger(c)
	return c, nil
}

// open reaches the keys and runs f on them.
func (k *keysFlags) open(ctx context.Context, parsed *cli.Context, f func(app.Keyring) error) (err error) {
	c, err := k.config(parsed)
	if err != nil {
		return err
	}
	keys, done, err := app.OpenKeyring(ctx, c)
	if err != nil {
		return err
	}
	defer func() {
		if end := done(); err == nil {
			err = end
		}
	}()
	return f(keys)
}

// dataStore is the database in the data folder, "" without one.
func dataStore(c config.Config) string {
	if c.Data == "" {
		return ""
	}
	return c.StoreURL()
}

type createKeyCmd struct {
	keysFlags
	Name   string `arg:"" help:"What the key is for."`
	Policy string `default:"full" placeholder:"POLICY" env:"-" help:"full, read-only, game-server, console, names of operations separated by commas, as in Describe*,ListFleets, or a policy document of IAM's form. @FILE reads it from a file. Default: full."`
}

func (k *createKeyCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	policy := k.Policy
	if name, ok := strings.CutPrefix(policy, "@"); ok {
		text, err := os.ReadFile(name)
		if err != nil {
			return usageError{err}
		}
		policy = string(text)
	}
	return k.open(ctx, parsed, func(keys app.Keyring) error {
		c, err := keys.Create(ctx, k.Name, policy)
		if err != nil {
			return err
		}
		return printCredentials(out, c)
	})
}

// printCredentials prints a key as lines that a shell can read.
func printCredentials(out *stdout, c access.Credentials) error {
	_, err := fmt.Fprintf(out, "AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n", c.ID, string(c.Secret))
	return err
}

type rotateKeyCmd struct {
	keysFlags
	ID      string        `arg:"" help:"The key that is to be replaced."`
	Overlap time.Duration `default:"24h" env:"-" help:"How long the old key goes on. Default: 24h."`
}

func (k *rotateKeyCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.open(ctx, parsed, func(keys app.Keyring) error {
		c, err := keys.Rotate(ctx, k.ID, k.Overlap)
		if err != nil {
			return err
		}
		return printCredentials(out, c)
	})
}

type listKeysCmd struct{ keysFlags }

func (k *listKeysCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.open(ctx, parsed, func(keys app.Keyring) error {
		list, err := keys.List(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "KEY\tNAME\tPOLICY\tCREATED\tLAST USED\tSTATE")
		for _, key := range list {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", key.ID, key.Name, key.Policy, when(key.CreatedAt), when(key.LastUsedAt), state(key))
		}
		return table.Flush()
	})
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func state(key access.Key) string {
	switch {
	case !key.RevokedAt.IsZero():
		return "revoked"
	case !key.ExpiresAt.IsZero():
		return "until " + when(key.ExpiresAt)
	}
	return "active"
}

type revokeKeyCmd struct {
	keysFlags
	ID string `arg:"" help:"The access key id."`
}

func (k *revokeKeyCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.open(ctx, parsed, func(keys app.Keyring) error {
		if err := keys.Revoke(ctx, k.ID); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, "revoked", k.ID)
		return err
	})
}

type resealCmd struct{ keysFlags }

func (k *resealCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.open(ctx, parsed, func(keys app.Keyring) error {
		done, err := keys.Reseal(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%d secrets sealed anew; entries of the audit log chained anew: %d, and %d that had no seal\n", done.Secrets, done.Entries, done.Unsealed)
		return err
	})
}
