package console

import (
	"errors"
	"net/http"
	"slices"
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
	Build       string        `json:"build"`
	Instance    string        `json:"instance"`
	SDK         string        `json:"sdk"`
	Places      []PlaceLine   `json:"places"`
	Events      []Change      `json:"events"`
	Policies    []PolicyLine  `json:"policies"`
	Versions    []VersionLine `json:"versions"`
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
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Metric string  `json:"metric"`
	Target float64 `json:"target"`
	Text   string  `json:"text"`
	Status string  `json:"status"`
}

// VersionLine is how many processes speak by a server SDK.
type VersionLine struct {
	SDK   string `json:"sdk"`
	Count int    `json:"count"`
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
	var v FleetView
	err = s.DB.Read(r.Context(), func(tx *store.Tx) error {
		f, err := s.fleetOf(tx, id)
		if err != nil {
			return err
		}
		lines, err := s.linesTx(tx, []fleet.Fleet{f})
		if err != nil {
			return err
		}
		v = FleetView{
			FleetLine: lines[0], Description: f.Description, Build: string(f.Build) + string(f.Script), Instance: string(f.InstanceType), SDK: f.ServerSDK,
		}
		v.Places, err = s.placesTx(tx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	if v.Events, err = s.fleetEvents(r, id); err != nil {
		return nil, err
	}
	v.Policies, err = s.policies(r, v.FleetLine)
	return v, err
}

func (s *Server) placesTx(tx *store.Tx, f fleet.Fleet) ([]PlaceLine, error) {
	list := []PlaceLine{}
	states, err := s.Fleets.PlacesTx(tx, f)
	if err != nil {
		return nil, err
	}
	stock, err := s.Computes.StockTx(tx)
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

func (s *Server) fleetEvents(r *http.Request, id string) ([]Change, error) {
	out, err := s.Fleets.DescribeFleetEvents(r.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &id})
	if err != nil {
		return nil, err
	}
	list := []Change{}
	for _, e := range out.Events {
		c := Change{At: e.EventTime.UnixMilli(), Kind: "fleet", What: string(e.EventCode), On: id, Text: *e.Message, Times: 1}
		if e.Count != nil {
			c.Times = *e.Count
		}
		list = append(list, c)
	}
	return list, nil
}

func (s *Server) policies(r *http.Request, f FleetLine) ([]PolicyLine, error) {
	list := []PolicyLine{}
	if s.Policies == nil || f.Type != types.ComputeTypeEc2 {
		return list, nil
	}
	out, err := s.Policies(r.Context(), &gamelift.DescribeScalingPoliciesInput{FleetId: new(string(f.ID))})
	if err != nil {
		return nil, err
	}
	for _, p := range out.ScalingPolicies {
		l := PolicyLine{Name: deref(p.Name), Type: string(p.PolicyType), Metric: string(p.MetricName), Status: string(p.Status)}
		if p.TargetConfiguration != nil && p.TargetConfiguration.TargetValue != nil {
			l.Target = *p.TargetConfiguration.TargetValue
		}
		if p.Threshold != nil && p.ScalingAdjustment != nil {
			l.Target = *p.Threshold
			l.Text = string(p.ComparisonOperator) + ": " + string(p.ScalingAdjustmentType)
		}
		list = append(list, l)
	}
	return list, nil
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

// racks are the computes of a fleet with their processes, a page of them.
func (s *Server) racks(r *http.Request) (any, error) {
	id, err := needed(r, "fleet")
	if err != nil {
		return nil, err
	}
	skip, limit, err := pageOf(r, mostRacks)
	if err != nil {
		return nil, err
	}
	var lines []RackLine
	var total int64
	err = s.DB.Read(r.Context(), func(tx *store.Tx) error {
		lines = []RackLine{}
		f, err := s.fleetOf(tx, id)
		if err != nil {
			return err
		}
		racks, n, err := s.Computes.RacksTx(tx, f.Key, skip, limit)
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
		cells, err := s.Computes.CellsTx(tx, keys, tx.Now.Add(-cellsKept).UnixMilli(), mostCells)
		for _, c := range cells {
			l := &lines[at[c.Compute]]
			l.Cells = append(l.Cells, CellLine{ID: c.ProcessID, State: stateOf(c), Port: c.Port, SDK: c.SDK, Why: string(c.Why)})
		}
		return err
	})
	return map[string]any{"racks": lines, "total": total}, err
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
