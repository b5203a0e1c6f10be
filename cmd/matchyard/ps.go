package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/term"
	"github.com/matchyard/matchyard/paginate"
)

// psCmd lists what an endpoint has, page after page.
type psCmd struct {
	clientFlags
	What    string        `arg:"" optional:"" default:"sessions" enum:"fleets,sessions,players" help:"fleets, sessions or players (sessions)."`
	Fleet   string        `env:"-" placeholder:"FLEET" help:"Only of this fleet: its id, ARN or name."`
	Session string        `env:"-" placeholder:"ID" help:"Only players of this game session."`
	All     bool          `short:"a" env:"-" help:"Those that have ended too."`
	Watch   bool          `short:"w" env:"-" help:"Go on, and draw anew when something may have changed."`
	Every   time.Duration `default:"2s" env:"-" help:"How often, with --watch (2s)."`
	Limit   int           `default:"0" env:"-" help:"Most lines; 0 for all (0)."`
	Output  string        `short:"o" default:"table" enum:"table,json" env:"-" help:"table or json."`
}

func (p *psCmd) Run(ctx context.Context, out *stdout) error {
	if p.Every <= 0 || p.Limit < 0 {
		return usageError{fmt.Errorf("--every must be more than 0, and --limit not less")}
	}
	c, err := p.api(ctx)
	if err != nil {
		return err
	}
	for {
		err := p.once(ctx, c, out)
		if p.Watch && ctx.Err() != nil {
			err = nil // that is how it ends
		}
		if err != nil || !p.Watch || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(p.Every):
		}
	}
}

// once prints the list; a screen is written in one piece, so that it does not flicker.
func (p *psCmd) once(ctx context.Context, c *gamelift.Client, out *stdout) error {
	l := lister{psCmd: p, ctx: ctx, api: c, now: time.Now()}
	table, items, err := map[string]func() (*term.Table, any, error){"fleets": l.fleets, "sessions": l.sessions, "players": l.players}[p.What]()
	if err != nil {
		return err
	}
	if p.Output == "json" {
		return term.JSON(out, items)
	}
	var b bytes.Buffer
	if p.Watch {
		b.WriteString(term.Redraw)
	}
	if err := table.Write(&b); err != nil {
		return err
	}
	_, err = out.Write(b.Bytes())
	return err
}

type lister struct {
	*psCmd
	ctx context.Context
	api *gamelift.Client
	now time.Time
}

// full tells whether a list has as many lines as are wanted.
func (l *lister) full(n int) bool { return l.Limit > 0 && n >= l.Limit }

// each calls f with the items of a listing until it says false.
func each[In, Out, Item any](l *lister, op paginate.Op[In, Out, Item], in *In, f func(Item) (more bool)) error {
	pages, err := paginate.New(op, l.api, in, paginate.Options{})
	if err != nil {
		return err
	}
	for item, err := range pages.Items(l.ctx) {
		if err != nil {
			return err
		}
		if !f(item) {
			return nil
		}
	}
	return nil
}

// chosen are the fleets that are meant.
func (l *lister) chosen() (list []types.FleetAttributes, err error) {
	err = each(l, paginate.DescribeFleetAttributes, &gamelift.DescribeFleetAttributesInput{}, func(f types.FleetAttributes) bool {
		if l.Fleet == "" || slices.Contains([]string{aws.ToString(f.FleetId), aws.ToString(f.FleetArn), aws.ToString(f.Name)}, l.Fleet) {
			list = append(list, f)
		}
		return true
	})
	if err == nil && len(list) == 0 && l.Fleet != "" {
		return nil, fmt.Errorf("there is no fleet %s", term.Quote(l.Fleet))
	}
	return list, err
}

// fleetItem is a fleet with what runs on it, for JSON.
type fleetItem struct {
	types.FleetAttributes
	Utilization *types.FleetUtilization
}

func (l *lister) fleets() (*term.Table, any, error) {
	t, items := term.New("NAME", "ID", "TYPE", "STATUS", "PROCESSES#", "SESSIONS#", "PLAYERS#", "SLOTS#", "AGE#"), []fleetItem{}
	list, err := l.chosen()
	if err != nil {
		return nil, nil, err
	}
	use := map[string]*types.FleetUtilization{}
	if err := each(l, paginate.DescribeFleetUtilization, &gamelift.DescribeFleetUtilizationInput{}, func(u types.FleetUtilization) bool {
		use[aws.ToString(u.FleetId)] = &u
		return true
	}); err != nil {
		return nil, nil, err
	}
	for _, f := range list {
		if l.full(len(items)) {
			break
		}
		u := use[aws.ToString(f.FleetId)]
		items = append(items, fleetItem{f, u})
		if u == nil {
			u = &types.FleetUtilization{}
		}
		t.Add(aws.ToString(f.Name), aws.ToString(f.FleetId), f.ComputeType, f.Status, count(u.ActiveServerProcessCount), count(u.ActiveGameSessionCount),
			count(u.CurrentPlayerSessionCount), count(u.MaximumPlayerSessionCount), age(f.CreationTime, l.now))
	}
	return t, items, nil
}

func count(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// games calls f with the game sessions that are meant.
func (l *lister) games(f func(types.GameSession) (more bool)) error {
	if l.Session != "" {
		return each(l, paginate.DescribeGameSessions, &gamelift.DescribeGameSessionsInput{GameSessionId: &l.Session}, f)
	}
	fleets, err := l.chosen()
	if err != nil {
		return err
	}
	more := true
	for _, fleet := range fleets {
		if !more {
			return nil
		}
		if err := each(l, paginate.DescribeGameSessions, &gamelift.DescribeGameSessionsInput{FleetId: fleet.FleetId}, func(g types.GameSession) bool {
			if over := g.Status == types.GameSessionStatusTerminated || g.Status == types.GameSessionStatusError; over && !l.All {
				return true
			}
			more = f(g)
			return more
		}); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) sessions() (*term.Table, any, error) {
	t, items := term.New("NAME", "STATUS", "PLAYERS#", "ADDRESS", "LOCATION", "COMPUTE", "AGE#", "ID"), []types.GameSession{}
	err := l.games(func(g types.GameSession) bool {
		items = append(items, g)
		t.Add(aws.ToString(g.Name), g.Status, count(g.CurrentPlayerSessionCount)+"/"+count(g.MaximumPlayerSessionCount), address(g.IpAddress, g.Port),
			aws.ToString(g.Location), aws.ToString(g.ComputeName), age(g.CreationTime, l.now), aws.ToString(g.GameSessionId))
		return !l.full(len(items))
	})
	return t, items, err
}

func address(ip *string, port *int32) string {
	if ip == nil || port == nil {
		return aws.ToString(ip)
	}
	return net.JoinHostPort(*ip, strconv.Itoa(int(*port)))
}

func (l *lister) players() (*term.Table, any, error) {
	t, items := term.New("PLAYER", "STATUS", "ADDRESS", "AGE#", "PLAYER SESSION", "GAME SESSION"), []types.PlayerSession{}
	var failed error
	err := l.games(func(g types.GameSession) bool {
		if !l.All && l.Session == "" && aws.ToInt32(g.CurrentPlayerSessionCount) == 0 {
			return true
		}
		failed = each(l, paginate.DescribePlayerSessions, &gamelift.DescribePlayerSessionsInput{GameSessionId: g.GameSessionId}, func(p types.PlayerSession) bool {
			if over := p.Status == types.PlayerSessionStatusCompleted || p.Status == types.PlayerSessionStatusTimedout; over && !l.All {
				return true
			}
			items = append(items, p)
			t.Add(aws.ToString(p.PlayerId), p.Status, address(p.IpAddress, p.Port), age(p.CreationTime, l.now), aws.ToString(p.PlayerSessionId), aws.ToString(p.GameSessionId))
			return !l.full(len(items))
		})
		return failed == nil && !l.full(len(items))
	})
	if err == nil {
		err = failed
	}
	return t, items, err
}
