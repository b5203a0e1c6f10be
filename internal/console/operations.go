package console

import (
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
)

// OperationsView answers whether the control plane is well.
type OperationsView struct {
	Version    string           `json:"version"`
	Go         string           `json:"go"`
	Goroutines int              `json:"goroutines"`
	Heap       uint64           `json:"heap"`
	Database   string           `json:"database"`
	Bytes      int64            `json:"bytes"`
	Read       float64          `json:"read"` // milliseconds that one small read took just now
	Node       string           `json:"node"`
	Nodes      []NodeLine       `json:"nodes"`
	Leases     []LeaseLine      `json:"leases"`
	Sockets    map[string]int64 `json:"sockets"`
	Faults     []FaultLine      `json:"faults"`
	Sinks      []SinkLine       `json:"sinks"`
	Hosts      []HostLine       `json:"hosts"`
	Samples    []Sample         `json:"samples"`
	Audited    bool             `json:"audited"`
}

// NodeLine is a node of the database.
type NodeLine struct {
	ID     string `json:"id"`
	Number int64  `json:"number"`
	Alive  bool   `json:"alive"`
	This   bool   `json:"this"`
	Leads  bool   `json:"leads"` // it runs the background work
}

// LeaseLine is a lease.
type LeaseLine struct {
	Name    string `json:"name"`
	Holder  string `json:"holder"`
	Expires int64  `json:"expires"`
}

// SinkLine is a receiver of events.
type SinkLine struct {
	Name    string `json:"name"`
	Pending int64  `json:"pending"`
	Lag     int64  `json:"lag"` // milliseconds that the oldest one waits
	Dead    int64  `json:"dead"`
}

func (s *Server) operations(r *http.Request) (any, error) {
	start := time.Now()
	err := s.DB.Read(r.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT 1`).Scan(new(int)) })
	if err != nil {
		return nil, err
	}
	v := OperationsView{
		Version: s.Version, Go: runtime.Version(), Goroutines: runtime.NumGoroutine(), Read: float64(time.Since(start)) / float64(time.Millisecond),
		Nodes: []NodeLine{}, Leases: []LeaseLine{}, Sockets: map[string]int64{}, Faults: s.traffic.list(), Samples: s.history.copied(false),
		Audited: s.Audit != nil,
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	v.Heap = m.HeapInuse
	if s.Sockets != nil {
		v.Sockets = s.Sockets()
	}
	st, err := s.DB.State(r.Context())
	if err != nil {
		return nil, err
	}
	v.Database, v.Bytes, v.Node = st.Dialect.String(), st.Bytes, st.Node
	leads := map[string]bool{}
	for _, l := range st.Leases {
		v.Leases = append(v.Leases, LeaseLine{l.Name, l.Holder, l.Expires.UnixMilli()})
		leads[l.Holder] = leads[l.Holder] || l.Expires.After(time.Now())
	}
	for _, n := range st.Nodes {
		v.Nodes = append(v.Nodes, NodeLine{n.ID, n.Number, n.Alive, n.ID == st.Node, leads[n.ID]})
	}
	if v.Sinks, err = s.sinks(r); err != nil {
		return nil, err
	}
	v.Hosts, err = s.hostLines(r)
	return v, err
}

func (s *Server) sinks(r *http.Request) ([]SinkLine, error) {
	pending, err := s.Events.Pending(r.Context())
	if err != nil {
		return nil, err
	}
	dead, err := s.Events.DeadCount(r.Context())
	if err != nil {
		return nil, err
	}
	by := map[string]*SinkLine{}
	of := func(name string) *SinkLine {
		if by[name] == nil {
			by[name] = &SinkLine{Name: name}
		}
		return by[name]
	}
	for name, n := range pending {
		of(name).Pending = n
		oldest, ok, err := s.Events.Oldest(r.Context(), name)
		if err != nil {
			return nil, err
		}
		if ok {
			of(name).Lag = max(0, s.DB.Now().Sub(oldest).Milliseconds())
		}
	}
	for name, n := range dead {
		of(name).Dead = n
	}
	list := []SinkLine{}
	for _, l := range by {
		list = append(list, *l)
	}
	slices.SortFunc(list, func(a, b SinkLine) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// dead are events that were given up, oldest first.
func (s *Server) dead(r *http.Request) (any, error) {
	sink, err := text(r, "sink")
	if err != nil {
		return nil, err
	}
	list, err := s.Events.Dead(r.Context(), sink, (*event.Ref)(nil), 200)
	type line struct {
		Sink   string `json:"sink"`
		ID     string `json:"id"`
		Type   string `json:"type"`
		Reason string `json:"reason"`
		At     int64  `json:"at"`
		Tries  int64  `json:"tries"`
	}
	lines := []line{}
	for _, d := range list {
		lines = append(lines, line{d.Sink, d.ID, d.Type, d.Reason, d.DeadAt.UnixMilli(), int64(d.Tries)})
	}
	return map[string]any{"dead": lines}, err
}

// AuditLine is an entry of the audit log.
type AuditLine struct {
	Seq       int64    `json:"seq"`
	At        int64    `json:"at"`
	Key       string   `json:"key"`
	Name      string   `json:"name"`
	From      string   `json:"from"`
	Request   string   `json:"request"`
	Operation string   `json:"operation"`
	Resources []string `json:"resources"`
	Outcome   string   `json:"outcome"`
}

// audit is a page of the audit log, newest first.
func (s *Server) audit(r *http.Request) (any, error) {
	before, err := number(r, "before", 0, 0, 1<<62)
	if err != nil {
		return nil, err
	}
	lines := []AuditLine{}
	if s.Audit == nil {
		return map[string]any{"audit": lines}, nil
	}
	list, err := s.Audit.Recent(r.Context(), before, 200)
	for _, e := range list {
		lines = append(lines, AuditLine{e.Seq, e.At.UnixMilli(), e.Key, e.Name, e.From, e.Request, e.Operation, append([]string{}, e.Resources...), e.Outcome})
	}
	return map[string]any{"audit": lines}, err
}
