package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/cli"
	"github.com/matchyard/matchyard/internal/host"
)

// hostsCmd manages the hosts of managed fleets, whether the server runs or not.
type hostsCmd struct {
	List   listHostsCmd   `cmd:"" help:"List all hosts, with what runs on them."`
	Drain  drainHostCmd   `cmd:"" help:"Empty a host: its instances are replaced elsewhere, and end when they host no game session."`
	Fill   fillHostCmd    `cmd:"" help:"Let a host that was drained be filled again."`
	Forget forgetHostCmd  `cmd:"" help:"Forget a host that is gone for good."`
	Token  hostTokensCmds `cmd:"" help:"Manage the tokens that agents join with."`
}

type hostTokensCmds struct {
	Create createHostTokenCmd `cmd:"" help:"Make a token and print it; it is shown only now."`
	List   listHostTokensCmd  `cmd:"" help:"List all tokens, the revoked ones too."`
	Revoke revokeHostTokenCmd `cmd:"" help:"End a token for good; what runs on its hosts goes on."`
}

// openHosts reaches the hosts of the server that the flags name and runs f on them.
func (k *keysFlags) openHosts(ctx context.Context, parsed *cli.Context, f func(app.Hosts) error) (err error) {
	c, err := k.config(parsed)
	if err != nil {
		return err
	}
	hosts, done, err := app.OpenHosts(ctx, c)
	if err != nil {
		return err
	}
	defer func() {
		if end := done(); err == nil {
			err = end
		}
	}()
	return f(hosts)
}

type listHostsCmd struct{ keysFlags }

func (k *listHostsCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.openHosts(ctx, parsed, func(hosts app.Hosts) error {
		list, err := hosts.Hosts(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "HOST\tLOCATION\tADDRESS\tINSTANCES\tCAPACITY\tCPU\tMEMORY\tSTATE\tLAST SEEN")
		for _, h := range list {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%.0f%%\t%s\t%s\t%s\n", h.Name, h.Location, h.Address, h.Used, h.Capacity, 100*h.CPU,
				share(h.Memory, h.MemoryOf), hostState(h), when(h.SeenAt))
		}
		return table.Flush()
	})
}

func share(n, of uint64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*float64(n)/float64(of))
}

func hostState(h host.Host) string {
	state := "away"
	switch {
	case !h.LostAt.IsZero():
		state = "lost"
	case h.Connected:
		state = "connected"
	}
	if h.Draining {
		state += ", draining"
	}
	return state
}

type drainHostCmd struct {
	keysFlags
	Host string `arg:"" help:"The host's name."`
}

func (k *drainHostCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.openHosts(ctx, parsed, func(hosts app.Hosts) error {
		return said(out, "draining "+k.Host, hosts.Drain(ctx, k.Host, true))
	})
}

type fillHostCmd struct {
	keysFlags
	Host string `arg:"" help:"The host's name."`
}

func (k *fillHostCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.openHosts(ctx, parsed, func(hosts app.Hosts) error {
		return said(out, "filling "+k.Host, hosts.Drain(ctx, k.Host, false))
	})
}

type forgetHostCmd struct {
	keysFlags
	Host string `arg:"" help:"The host's name."`
}

func (k *forgetHostCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.openHosts(ctx, parsed, func(hosts app.Hosts) error {
		return said(out, "forgot "+k.Host, hosts.Forget(ctx, k.Host))
	})
}

// said prints what was done, unless it was not.
func said(out *stdout, what string, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, what)
	return err
}

type createHostTokenCmd struct {
	keysFlags
	Name string `arg:"" help:"What the token is for."`
}

func (k *createHostTokenCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.openHosts(ctx, parsed, func(hosts app.Hosts) error {
		_, secret, err := hosts.CreateToken(ctx, k.Name)
		return said(out, "MATCHYARD_TOKEN="+secret, err)
	})
}

type listHostTokensCmd struct{ keysFlags }

func (k *listHostTokensCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.openHosts(ctx, parsed, func(hosts app.Hosts) error {
		list, err := hosts.Tokens(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "TOKEN\tNAME\tCREATED\tLAST USED\tSTATE")
		for _, t := range list {
			state := "active"
			if !t.RevokedAt.IsZero() {
				state = "revoked"
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, when(t.CreatedAt), when(t.UsedAt), state)
		}
		return table.Flush()
	})
}

type revokeHostTokenCmd struct {
	keysFlags
	ID string `arg:"" help:"The token's id."`
}

func (k *revokeHostTokenCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	return k.openHosts(ctx, parsed, func(hosts app.Hosts) error {
		return said(out, "revoked "+k.ID, hosts.RevokeToken(ctx, k.ID))
	})
}
