package console

import (
	"cmp"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// Overview answers whether all is well, and what changed.
type Overview struct {
	Now      Sample      `json:"now"`
	Samples  []Sample    `json:"samples"`
	Fleets   []FleetLine `json:"fleets"`
	Changes  []Change    `json:"changes"`
	Hosts    []HostLine  `json:"hosts"`
	Problems []Problem   `json:"problems"`
}

// FleetLine is a fleet as a list shows it.
type FleetLine struct {
	ID         arn.FleetID       `json:"id"`
	ARN        string            `json:"arn"`
	Name       string            `json:"name"`
	Status     types.FleetStatus `json:"status"`
	Type       types.ComputeType `json:"type"`
	Created    int64             `json:"created"`
	Computes   int64             `json:"computes"`
	Processes  int64             `json:"processes"`
	Free       int64             `json:"free"`
	Hosting    int64             `json:"hosting"`
	Sessions   int64             `json:"sessions"`
	Activating int64             `json:"activating"`
	Players    int64             `json:"players"`
	Seats      int64             `json:"seats"` // of ACTIVE game sessions, taken or not
}

// HostLine is a machine with an agent.
type HostLine struct {
	Name      string  `json:"name"`
	Location  string  `json:"location"`
	Address   string  `json:"address"`
	OS        string  `json:"os"`
	Version   string  `json:"version"`
	Capacity  int     `json:"capacity"`
	Used      int     `json:"used"`
	CPU       float64 `json:"cpu"`
	Memory    uint64  `json:"memory"`
	MemoryOf  uint64  `json:"memoryOf"`
	Connected bool    `json:"connected"`
	Draining  bool    `json:"draining"`
	Lost      bool    `json:"lost"`
	Seen      int64   `json:"seen"`
}

// Change is something that somebody or the server itself changed.
type Change struct {
	At    int64  `json:"at"`
	Kind  string `json:"kind"` // "fleet" or "call"
	What  string `json:"what"` // an event's code, or an operation
	On    string `json:"on"`   // a fleet, or the first resource
	Who   string `json:"who"`
	Text  string `json:"text"`
	Times int64  `json:"times"`
}

// Problem is something that somebody should look at.
type Problem struct {
	Text string `json:"text"`
	Link string `json:"link"` // in the page
}

const (
	mostFleets  = 1000
	mostChanges = 60
	changesOf   = time.Hour
)

func (s *Server) overview(r *http.Request) (any, error) {
	var o Overview
	var err error
	if o.Fleets, o.Changes, err = s.fleetLines(r); err != nil {
		return nil, err
	}
	if o.Hosts, err = s.hostLines(r); err != nil {
		return nil, err
	}
	if o.Changes, err = s.withCalls(r, o.Changes); err != nil {
		return nil, err
	}
	if o.Problems, err = s.problems(r, o); err != nil {
		return nil, err
	}
	o.Samples = s.history.copied(false)
	o.Now, _ = s.history.latest()
	return o, nil
}

// fleetLines are all fleets with what runs on them, and what happened to them lately.
func (s *Server) fleetLines(r *http.Request) (lines []FleetLine, changes []Change, err error) {
	now, err := s.standing(r.Context())
	if err != nil {
		return nil, nil, err
	}
	err = s.DB.Read(r.Context(), func(tx *store.Tx) error {
		changes = []Change{}
		all, err := s.Fleets.AllTx(tx, mostFleets)
		if err != nil {
			return err
		}
		lines = s.lines(all, now)
		news, err := s.Fleets.NewsTx(tx, tx.Now.Add(-changesOf).UnixMilli(), mostChanges)
		for _, n := range news {
			changes = append(changes, Change{At: n.At, Kind: "fleet", What: string(n.Code), On: string(n.Fleet), Text: n.Message, Times: n.Repeats})
		}
		return err
	})
	return lines, changes, err
}

func (s *Server) lines(all []fleet.Fleet, now standing) []FleetLine {
	lines := make([]FleetLine, len(all))
	at := make(map[arn.FleetID]*FleetLine, len(all))
	for i, f := range all {
		lines[i] = FleetLine{ID: f.ID, ARN: s.Home.Fleet(f.ID), Name: f.Name, Status: f.Status, Type: f.ComputeType, Created: f.CreatedAt.UnixMilli()}
		at[f.ID] = &lines[i]
	}
	for _, k := range now.stock {
		if l := at[k.Fleet]; l != nil {
			l.Computes += k.Computes
			l.Free += k.Free
			l.Hosting += k.Hosting
			l.Processes += k.Ready + k.Hosting
		}
	}
	for _, v := range now.live {
		l := at[v.Fleet]
		if l == nil {
			continue
		}
		l.Players += v.Players
		switch v.Status {
		case types.GameSessionStatusActive:
			l.Sessions += v.Sessions
			l.Seats += v.Seats
		case types.GameSessionStatusActivating:
			l.Activating += v.Sessions
		default:
		}
	}
	return lines
}

func (s *Server) hostLines(r *http.Request) ([]HostLine, error) {
	lines := []HostLine{}
	if s.Hosts == nil {
		return lines, nil
	}
	hosts, err := s.Hosts.Hosts(r.Context())
	for _, h := range hosts {
		lines = append(lines, HostLine{
			Name: h.Name, Location: string(h.Location), Address: h.Address, OS: h.OS, Version: h.Version, Capacity: h.Capacity, Used: h.Used,
			CPU: h.CPU, Memory: h.Memory, MemoryOf: h.MemoryOf, Connected: h.Connected, Draining: h.Draining, Lost: !h.LostAt.IsZero(),
			Seen: h.SeenAt.UnixMilli(),
		})
	}
	return lines, err
}

// withCalls adds what callers changed, from the audit log.
func (s *Server) withCalls(r *http.Request, changes []Change) ([]Change, error) {
	if s.Audit == nil {
		return changes, nil
	}
	entries, err := s.Audit.Recent(r.Context(), 0, mostChanges)
	if err != nil {
		return nil, err
	}
	since := s.DB.Now().Add(-changesOf)
	for _, e := range entries {
		if e.At.After(since) {
			changes = append(changes, changeOf(e.Entry))
		}
	}
	return changes, nil
}

func changeOf(e access.Entry) Change {
	c := Change{At: e.At.UnixMilli(), Kind: "call", What: e.Operation, Who: e.Name, Text: e.Outcome, Times: 1}
	if e.Name == "" {
		c.Who = e.Key
	}
	if len(e.Resources) > 0 {
		c.On = e.Resources[0]
	}
	return c
}

func (s *Server) problems(r *http.Request, o Overview) ([]Problem, error) {
	list := []Problem{}
	for _, f := range o.Fleets {
		name := cmp.Or(f.Name, string(f.ID))
		switch {
		case f.Status == types.FleetStatusError:
			list = append(list, Problem{"fleet " + name + " is in ERROR", "#/fleet/" + string(f.ID)})
		case f.Processes > 0 && f.Free == 0:
			list = append(list, Problem{"fleet " + name + " has no free process", "#/fleet/" + string(f.ID)})
		}
	}
	for _, h := range o.Hosts {
		if h.Lost {
			list = append(list, Problem{"host " + h.Name + " is lost", "#/operations"})
		}
	}
	dead, err := s.Events.DeadCount(r.Context())
	if err != nil {
		return nil, err
	}
	for sink, n := range dead {
		if n > 0 {
			list = append(list, Problem{"events for sink " + sink + " were given up", "#/operations"})
		}
	}
	return list, nil
}

func (s *Server) fleets(r *http.Request) (any, error) {
	lines, _, err := s.fleetLines(r)
	return map[string]any{"fleets": lines}, err
}
