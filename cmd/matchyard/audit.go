package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/cli"
)

// auditCmd reads the log of changes, whether the server runs or not.
type auditCmd struct {
	List   listAuditCmd   `cmd:"" help:"Print who changed what, oldest first."`
	Verify verifyAuditCmd `cmd:"" help:"Check that no entry was changed, taken out or put in."`
}

type listAuditCmd struct {
	keysFlags
	After int64 `env:"-" help:"Begin after the entry of this number."`
	JSON  bool  `name:"json" env:"-" help:"Print a JSON object a line."`
}

// auditPage is how many entries are asked for at a time.
const auditPage = 1000

func (a *listAuditCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return a.open(ctx, parsed, func(keys app.Keyring) error {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		if !a.JSON {
			_, _ = fmt.Fprintln(table, "NO\tTIME\tKEY\tFROM\tOPERATION\tON\tOUTCOME")
		}
		for after := a.After; ; {
			list, err := keys.Entries(ctx, after, auditPage)
			if err != nil {
				return err
			}
			for _, e := range list {
				if err := a.print(out, table, e); err != nil {
					return err
				}
				after = e.Seq
			}
			if len(list) < auditPage {
				return table.Flush()
			}
		}
	})
}

func (a *listAuditCmd) print(out *stdout, table *tabwriter.Writer, e access.Logged) error {
	if a.JSON {
		return json.NewEncoder(out).Encode(e)
	}
	who := cmp.Or(e.Key, "-")
	if e.Name != "" {
		who += fmt.Sprintf(" (%q)", e.Name)
	}
	_, err := fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%q\t%s\n", e.Seq, e.At.Format(time.RFC3339), who, cmp.Or(e.From, "-"), e.Operation,
		strings.Join(e.Resources, " "), e.Outcome)
	return err
}

type verifyAuditCmd struct{ keysFlags }

func (a *verifyAuditCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return a.open(ctx, parsed, func(keys app.Keyring) error {
		n, err := keys.Verify(ctx)
		if err == nil {
			_, err = fmt.Fprintf(out, "%d entries, as they were written\n", n)
		}
		return err
	})
}
