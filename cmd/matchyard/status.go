package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/console"
	"github.com/matchyard/matchyard/internal/term"
)

// statusCmd shows how a server is, on one screen, as its admin address tells.
type statusCmd struct {
	Admin  string `default:"127.0.0.1:9171" placeholder:"HOST:PORT" help:"The server's admin address. Default: 127.0.0.1:9171."`
	Output string `short:"o" default:"table" enum:"table,json" env:"-" help:"table or json."`
}

// serverStatus is everything that is shown.
type serverStatus struct {
	Version     string              `json:"version"`
	Database    string              `json:"database"`
	Bytes       int64               `json:"bytes"`
	ReadMs      float64             `json:"readMs"` // that a small read took
	Nodes       []console.NodeLine  `json:"nodes"`
	Sinks       []console.SinkLine  `json:"sinks"`
	Totals      totals              `json:"totals"`
	Fleets      []console.FleetLine `json:"fleets"`
	Hosts       []console.HostLine  `json:"hosts"`
	Agents      int64               `json:"agents"` // of AWS's own kind, on the node that was asked
	Queues      []waiting           `json:"queues"`
	Matchmakers []waiting           `json:"matchmakers"`
	Problems    []console.Problem   `json:"problems"`
}

// totals are the sums over all fleets.
type totals struct {
	Computes  int64 `json:"computes"`
	Processes int64 `json:"processes"`
	Free      int64 `json:"free"` // processes that could host a game session now
	Sessions  int64 `json:"sessions"`
	Players   int64 `json:"players"`
	Slots     int64 `json:"slots"` // of game sessions, that no player has
}

// waiting is a queue or a matchmaker, and how many placements or tickets wait.
type waiting struct {
	Name    string `json:"name"`
	Waiting int64  `json:"waiting"`
}

func (c *statusCmd) Run(ctx context.Context, out *stdout) error {
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	s, err := c.ask(ctx)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return term.JSON(out, s)
	}
	return s.print(out)
}

// ask reads the pages that the console reads.
func (c *statusCmd) ask(ctx context.Context) (s serverStatus, err error) {
	var o console.Overview
	var n console.OperationsView
	var q struct{ Queues []waiting }
	var m struct{ Matchmakers []waiting }
	for page, v := range map[string]any{"overview": &o, "operations": &n, "queues": &q, "matchmakers": &m} {
		text, err := ask(ctx, adminURL(c.Admin)+"/api/"+page)
		if err != nil {
			return s, err
		}
		if err := json.Unmarshal(text, v); err != nil {
			return s, fmt.Errorf("the answer of %s: %w", c.Admin, err)
		}
	}
	s = serverStatus{
		Version: n.Version, Database: n.Database, Bytes: n.Bytes, ReadMs: n.Read, Nodes: n.Nodes, Sinks: n.Sinks,
		Fleets: o.Fleets, Hosts: o.Hosts, Agents: n.Sockets["agents"], Queues: q.Queues, Matchmakers: m.Matchmakers, Problems: o.Problems,
	}
	for _, f := range o.Fleets {
		t := &s.Totals
		t.Computes += f.Computes
		t.Processes += f.Processes
		t.Free += f.Free
		t.Sessions += f.Sessions
		t.Players += f.Players
		t.Slots += f.Seats - f.Players
	}
	return s, nil
}

// mostLines of each list are shown, so that all of it is one screen.
const mostLines = 10

func (s serverStatus) print(out io.Writer) error {
	alive := 0
	for _, n := range s.Nodes {
		if n.Alive {
			alive++
		}
	}
	say := func(name, f string, args ...any) {
		_, _ = fmt.Fprintf(out, "%-11s %s\n", name, fmt.Sprintf(f, args...))
	}
	say("server", "%s", term.Quote(s.Version))
	say("nodes", "%d alive of %d", alive, len(s.Nodes))
	say("database", "%s, %s, a read takes %.1f ms", s.Database, amount(s.Bytes), s.ReadMs)
	connected, capacity, used := 0, 0, 0
	for _, h := range s.Hosts {
		if h.Connected {
			connected++
		}
		capacity += h.Capacity
		used += h.Used
	}
	say("hosts", "%d connected of %d, %d of %d instances used", connected, len(s.Hosts), used, capacity)
	say("agents", "%d of Amazon's own on this node", s.Agents)
	say("fleets", "%d, %d computes", len(s.Fleets), s.Totals.Computes)
	say("processes", "%d, %d free", s.Totals.Processes, s.Totals.Free)
	say("sessions", "%d", s.Totals.Sessions)
	say("players", "%d, %d free slots", s.Totals.Players, s.Totals.Slots)
	for _, list := range []struct {
		name, what string
		lines      []waiting
	}{{"queues", "placements", s.Queues}, {"matchmakers", "tickets", s.Matchmakers}} {
		var n int64
		var names []string
		for _, l := range list.lines {
			if n += l.Waiting; l.Waiting > 0 && len(names) < mostLines {
				names = append(names, fmt.Sprintf("%s %d", term.Quote(l.Name), l.Waiting))
			}
		}
		text := fmt.Sprintf("%d, %d %s wait", len(list.lines), n, list.what)
		if len(names) > 0 {
			text += " (" + strings.Join(names, ", ") + ")"
		}
		say(list.name, "%s", text)
	}
	if len(s.Fleets) > 0 {
		_, _ = fmt.Fprintln(out)
		if err := s.fleetTable().Write(out); err != nil {
			return err
		}
	}
	for _, p := range s.Problems {
		_, _ = fmt.Fprintln(out, "\n!", term.Quote(p.Text))
	}
	return nil
}

func (s serverStatus) fleetTable() *term.Table {
	t := term.New("FLEET", "ID", "STATUS", "COMPUTES#", "FREE#", "SESSIONS#", "PLAYERS#", "SLOTS#")
	for i, f := range s.Fleets {
		if i == mostLines {
			t.Add(fmt.Sprintf("and %d more", len(s.Fleets)-i))
			break
		}
		t.Add(f.Name, string(f.ID), string(f.Status), f.Computes, f.Free, f.Sessions, f.Players, f.Seats-f.Players)
	}
	return t
}

// amount is a number of bytes for people.
func amount(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// age is how long ago something was.
func age(t *time.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	d := max(now.Sub(*t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
