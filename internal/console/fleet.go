package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// FleetView is a fleet with what it has and what happened to it.
type FleetView struct {
	FleetLine

	Description string        `json:"description"`
	Build       *BuildLine    `json:"build"` // nil: none, or a script
	Script      string        `json:"script"`
	Instance    string        `json:"instance"`
	Launches    []LaunchLine  `json:"launches"`
	Places      []PlaceLine   `json:"places"`
	Policies    []PolicyLine  `json:"policies"`
	Versions    []VersionLine `json:"versions"`
}

// BuildLine is what a managed fleet runs. Of a build that was deleted only the id is known.
type BuildLine struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version"`
	OS      string `json:"os"`
	SDK     string `json:"sdk"`
	Size    int64  `json:"size"`
}

// LaunchLine is an entry of a runtime configuration.
type LaunchLine struct {
	Path       string `json:"path"`
	Parameters string `json:"parameters"`
	Count      int32  `json:"count"` // on each instance
}

// PlaceLine is a location of a fleet.
type PlaceLine struct {
	Location string            `json:"location"`
	Status   types.FleetStatus `json:"status"`
	Managed  bool              `json:"managed"`
	Desired  int32             `json:"desired"`
	Min      int32             `json:"min"`
	Max      int32             `json:"max"`
	Stopped  bool              `json:"stopped"`
	Pending  int               `json:"pending"` // instances, as the next three
	Active   int               `json:"active"`
	Idle     int               `json:"idle"`
	Ending   int               `json:"ending"`
	Computes int64             `json:"computes"`
	Free     int64             `json:"free"`
	Hosting  int64             `json:"hosting"`
}

// PolicyLine is a scaling policy.
type PolicyLine struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Metric string `json:"metric"`
	Text   string `json:"text"` // what it does, in words
	Status string `json:"status"`
}

// VersionLine is how many processes speak by a server SDK.
type VersionLine struct {
	SDK   string `json:"sdk"`
	Count int64  `json:"count"`
}

// fleetOf reads the fleet of a request's id.
func (s *Server) fleetOf(tx *store.Tx, id string) (fleet.Fleet, error) {
	f, err := s.Fleets.GetTx(tx, arn.FleetID(id))
	if errors.Is(err, store.ErrNoRows) {
		return f, apierr.NotFound("fleet %s does not exist", id)
	}
	return f, err
}

func (s *Server) fleet(r *http.Request) (any, error) {
	id, err := needed(r, "id")
	if err != nil {
		return nil, err
	}
	now, err := s.standing(r.Context())
	if err != nil {
		return nil, err
	}
	var v FleetView
	err = s.DB.Read(r.Context(), func(tx *store.Tx) error {
		f, err := s.fleetOf(tx, id)
		if err != nil {
			return err
		}
		v = FleetView{
			FleetLine: s.lines([]fleet.Fleet{f}, now)[0], Description: f.Description, Script: string(f.Script), Instance: string(f.InstanceType),
			Launches: launchesOf(f), Versions: []VersionLine{},
		}
		if v.Build, err = s.buildTx(tx, f); err != nil {
			return err
		}
		versions, err := s.Computes.VersionsTx(tx, f.Key)
		if err != nil {
			return err
		}
		for _, n := range versions {
			v.Versions = append(v.Versions, VersionLine{n.SDK, n.Processes})
		}
		v.Places, err = s.placesTx(tx, f, now.stock)
		return err
	})
	if err != nil {
		return nil, err
	}
	v.Policies, err = s.policies(r, v.FleetLine)
	return v, err
}

func (s *Server) placesTx(tx *store.Tx, f fleet.Fleet, stock []compute.Stock) ([]PlaceLine, error) {
	list := []PlaceLine{}
	states, err := s.Fleets.PlacesTx(tx, f)
	if err != nil {
		return nil, err
	}
	for _, st := range states {
		at := arn.Location(*st.Location)
		p := PlaceLine{Location: *st.Location, Status: st.Status, Managed: f.ComputeType == types.ComputeTypeEc2}
		for _, k := range stock {
			if k.Fleet == f.ID && k.Location == at {
				p.Computes, p.Free, p.Hosting = k.Computes, k.Free, k.Hosting
			}
		}
		if p.Managed {
			c, err := s.Fleets.CapacityTx(tx, f.ID, at)
			if err != nil && !errors.Is(err, store.ErrNoRows) {
				return nil, err
			}
			p.Desired, p.Min, p.Max, p.Stopped = c.Desired, c.Min, c.Max, c.Stopped
			if s.Hosts != nil {
				n, err := s.Hosts.InstancesTx(tx, f.ID, at)
				if err != nil {
					return nil, err
				}
				p.Pending, p.Active, p.Idle, p.Ending = n.Pending, n.Active, n.Idle, n.Terminating
			}
		}
		list = append(list, p)
	}
	return list, nil
}

func (s *Server) buildTx(tx *store.Tx, f fleet.Fleet) (*BuildLine, error) {
	if f.Build == "" || s.Fleets.Builds == nil {
		return nil, nil
	}
	l := &BuildLine{ID: string(f.Build), SDK: f.ServerSDK, OS: string(f.OS)}
	b, err := s.Fleets.Builds.GetTx(tx, l.ID)
	if _, gone := errors.AsType[*types.NotFoundException](err); gone {
		return l, nil
	}
	l.Name, l.Version, l.Size = deref(b.Name), deref(b.Version), b.Size
	return l, err
}

func launchesOf(f fleet.Fleet) []LaunchLine {
	list := []LaunchLine{}
	if f.Runtime != nil {
		for _, p := range f.Runtime.ServerProcesses {
			list = append(list, LaunchLine{deref(p.LaunchPath), deref(p.Parameters), *p.ConcurrentExecutions})
		}
	}
	return list
}

// EventLine is an event of a fleet.
type EventLine struct {
	ID     string `json:"id"`
	At     int64  `json:"at"`
	Code   string `json:"code"`
	Text   string `json:"text"`
	Times  int64  `json:"times"`
	Logged bool   `json:"logged"` // fleet/log has its log
}

// fleetEvents are a page of a fleet's events, newest first.
func (s *Server) fleetEvents(r *http.Request) (any, error) {
	id, err := needed(r, "fleet")
	if err != nil {
		return nil, err
	}
	next, err := text(r, "next")
	if err != nil {
		return nil, err
	}
	in := &gamelift.DescribeFleetEventsInput{FleetId: &id, Limit: new(int32(50))}
	if next != "" {
		in.NextToken = &next
	}
	out, err := s.Fleets.DescribeFleetEvents(r.Context(), in)
	if err != nil {
		return nil, err
	}
	list := []EventLine{}
	for _, e := range out.Events {
		l := EventLine{ID: deref(e.EventId), At: e.EventTime.UnixMilli(), Code: string(e.EventCode), Text: deref(e.Message), Times: 1, Logged: e.PreSignedLogUrl != nil}
		if e.Count != nil {
			l.Times = *e.Count
		}
		list = append(list, l)
	}
	return map[string]any{"events": list, "next": deref(out.NextToken)}, nil
}

// fleetLog is what a step of a fleet's creation said. It is read here and not by the link that
// callers get, since who looks at the console may not reach the API's address.
func (s *Server) fleetLog(r *http.Request) (any, error) {
	var part [3]string
	for i, name := range []string{"fleet", "event", "code"} {
		var err error
		if part[i], err = needed(r, name); err != nil {
			return nil, err
		}
	}
	log, err := s.Fleets.EventLog(r.Context(), "logs/"+part[0]+"/events/"+part[1]+"/"+part[2]+".txt")
	return map[string]any{"text": log}, err
}

func (s *Server) policies(r *http.Request, f FleetLine) ([]PolicyLine, error) {
	list := []PolicyLine{}
	if s.Scaling == nil || f.Type != types.ComputeTypeEc2 {
		return list, nil
	}
	out, err := s.Scaling.DescribeScalingPolicies(r.Context(), &gamelift.DescribeScalingPoliciesInput{FleetId: new(string(f.ID))})
	if err != nil {
		return nil, err
	}
	for _, p := range out.ScalingPolicies {
		list = append(list, PolicyLine{Name: deref(p.Name), Type: string(p.PolicyType), Metric: string(p.MetricName), Status: string(p.Status), Text: ruleOf(p)})
	}
	return list, nil
}

// comparisons are a policy's comparisons as people write them.
var comparisons = map[types.ComparisonOperatorType]string{
	types.ComparisonOperatorTypeGreaterThanOrEqualToThreshold: "≥", types.ComparisonOperatorTypeGreaterThanThreshold: ">",
	types.ComparisonOperatorTypeLessThanOrEqualToThreshold: "≤", types.ComparisonOperatorTypeLessThanThreshold: "<",
}

// ruleOf is what a policy does: "keep 30 % available", "when > 2 for 1 min: +1".
func ruleOf(p types.ScalingPolicy) string {
	if p.TargetConfiguration != nil && p.TargetConfiguration.TargetValue != nil {
		return "keep at " + strconv.FormatFloat(*p.TargetConfiguration.TargetValue, 'f', -1, 64) + " %"
	}
	if p.Threshold == nil || p.ScalingAdjustment == nil || p.EvaluationPeriods == nil {
		return ""
	}
	change := fmt.Sprintf("%+d", *p.ScalingAdjustment)
	switch p.ScalingAdjustmentType {
	case types.ScalingAdjustmentTypeExactCapacity:
		change = fmt.Sprintf("to %d", *p.ScalingAdjustment)
	case types.ScalingAdjustmentTypePercentChangeInCapacity:
		change += " %"
	case types.ScalingAdjustmentTypeChangeInCapacity:
	}
	return fmt.Sprintf("when %s %s for %d min: %s", comparisons[p.ComparisonOperator], strconv.FormatFloat(*p.Threshold, 'f', -1, 64), *p.EvaluationPeriods, change)
}

// CapacityPoint is what a fleet, or one location of it, had at one time.
type CapacityPoint struct {
	At       int64 `json:"at"`
	Desired  int   `json:"desired"`
	Min      int   `json:"min"`
	Max      int   `json:"max"`
	Pending  int   `json:"pending"`
	Active   int   `json:"active"`
	Idle     int   `json:"idle"`
	Free     int   `json:"free"`
	Sessions int   `json:"sessions"`
	Players  int   `json:"players"`
	Waiting  int   `json:"waiting"`
}

// Decision is a change of capacity, and why.
type Decision struct {
	At       int64        `json:"at"`
	Location arn.Location `json:"location"`
	From     int          `json:"from"`
	To       int          `json:"to"`
	Min      int          `json:"min"`
	Max      int          `json:"max"`
	Why      string       `json:"why"`
}

const (
	mostPoints    = 720
	mostDecisions = 500
)

// capacity is the history of a fleet's capacity with what changed it. It is the database's:
// it outlives the server.
func (s *Server) capacity(r *http.Request) (any, error) {
	id, err := needed(r, "fleet")
	if err != nil {
		return nil, err
	}
	location, err := text(r, "location")
	if err != nil {
		return nil, err
	}
	span, err := spanOf(r)
	if err != nil {
		return nil, err
	}
	var points []CapacityPoint
	var decisions []Decision
	var since, now int64
	err = s.DB.Read(r.Context(), func(tx *store.Tx) error {
		points, decisions = []CapacityPoint{}, []Decision{}
		f, err := s.fleetOf(tx, id)
		if err != nil || s.Scaling == nil {
			return err
		}
		now = tx.NowMs()
		since = now - span.Milliseconds()
		history, err := s.Scaling.HistoryTx(tx, f.ID, arn.Location(location), since, max(1, span.Milliseconds()/mostPoints))
		if err != nil {
			return err
		}
		for _, p := range history {
			points = append(points, CapacityPoint{p.At, p.Desired, p.Min, p.Max, p.Pending, p.Active, p.Idle, p.Free, p.Sessions, p.Players, p.Waiting})
		}
		changes, err := s.Fleets.ScalingsTx(tx, f, since, mostDecisions)
		for _, c := range changes {
			if location == "" || c.Location == arn.Location(location) {
				decisions = append(decisions, Decision{c.At, c.Location, c.From, c.To, c.Min, c.Max, c.Why})
			}
		}
		return err
	})
	return map[string]any{"since": since, "now": now, "points": points, "decisions": decisions}, err
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// RackLine is a compute, with a letter for each process.
type RackLine struct {
	Name       string     `json:"name"`
	Location   string     `json:"location"`
	IP         string     `json:"ip"`
	Managed    bool       `json:"managed"`
	Draining   bool       `json:"draining"`
	Created    int64      `json:"created"`
	Free       int64      `json:"free"`
	Hosting    int64      `json:"hosting"`
	Activating int64      `json:"activating"`
	Unwell     int64      `json:"unwell"` // ready, and cannot be given a game session
	Cells      []CellLine `json:"cells"`
}

// CellLine is a process.
type CellLine struct {
	ID    string `json:"id"`
	State string `json:"state"` // starting, free, unwell, activating, active, ending, ended, crashed
	Port  int32  `json:"port"`
	SDK   string `json:"sdk"`
	Why   string `json:"why,omitempty"`
}

const (
	mostRacks = 200
	mostCells = 20_000
	cellsKept = 5 * time.Minute // after their end
)

// racks are the computes of a fleet with their processes, a page of them; with bad=1 of those
// where something is wrong. How many these are is told either way.
func (s *Server) racks(r *http.Request) (any, error) {
	id, err := needed(r, "fleet")
	if err != nil {
		return nil, err
	}
	skip, limit, err := pageOf(r, mostRacks)
	if err != nil {
		return nil, err
	}
	wrong, err := number(r, "bad", 0, 0, 1)
	if err != nil {
		return nil, err
	}
	var lines []RackLine
	var total int64
	var bad []store.Key
	err = s.DB.Read(r.Context(), func(tx *store.Tx) error {
		lines = []RackLine{}
		f, err := s.fleetOf(tx, id)
		if err != nil {
			return err
		}
		since := tx.Now.Add(-cellsKept).UnixMilli()
		if bad, err = s.Computes.BadTx(tx, f.Key, since, crashes[:]); err != nil {
			return err
		}
		var only []store.Key
		if wrong == 1 {
			only = append([]store.Key{}, bad...)
		}
		racks, n, err := s.Computes.RacksTx(tx, f.Key, only, skip, limit)
		if err != nil {
			return err
		}
		total = n
		keys := make([]store.Key, len(racks))
		at := make(map[store.Key]int, len(racks))
		for i, k := range racks {
			keys[i], at[k.Key] = k.Key, i
			lines = append(lines, RackLine{
				Name: string(k.Name), Location: string(k.Location), IP: k.IPAddress, Managed: k.Managed, Draining: k.Cordon != 0, Created: k.CreatedAt,
				Free: k.Free, Hosting: k.Hosting, Activating: k.Activating, Unwell: k.Ready - k.Free, Cells: []CellLine{},
			})
		}
		cells, err := s.Computes.CellsTx(tx, keys, since, mostCells)
		for _, c := range cells {
			l := &lines[at[c.Compute]]
			l.Cells = append(l.Cells, CellLine{ID: c.ProcessID, State: stateOf(c), Port: c.Port, SDK: c.SDK, Why: string(c.Why)})
		}
		return err
	})
	return map[string]any{"racks": lines, "total": total, "bad": len(bad)}, err
}

// crashes are the ends that nobody asked for.
var crashes = [...]compute.EndReason{
	compute.Crashed, compute.Unhealthy, compute.ReadyTimeout, compute.Forced, compute.InvalidPath, compute.InitTimeout, compute.ExitTimeout, compute.HostLost,
}

// stateOf is a process's state in one word.
func stateOf(c compute.Cell) string {
	switch {
	case c.EndedAt != 0 && slices.Contains(crashes[:], c.Why):
		return "crashed"
	case c.EndedAt != 0:
		return "ended"
	case c.Ending:
		return "ending"
	case c.Status == compute.StatusHosting && c.Activating:
		return "activating"
	case c.Status == compute.StatusHosting && (!c.Healthy || !c.Connected):
		return "unwell"
	case c.Status == compute.StatusHosting:
		return "active"
	case c.Status == compute.StatusReady && c.Free:
		return "free"
	case c.Status == compute.StatusReady:
		return "unwell"
	}
	return "starting"
}
