package webhook

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
)

// Admin adds the pages of operators to the admin address:
//
//	GET  /events                             how each sink does
//	GET  /events/dead?sink=S&limit=N&after=T what was given up, oldest first
//	POST /events/replay?sink=S[&id=ID]       sends it again: all of a sink, or one
func (s *Server) Admin(mux *http.ServeMux) {
	mux.HandleFunc("GET /events", s.showSinks)
	mux.HandleFunc("GET /events/dead", s.showDead)
	mux.HandleFunc("POST /events/replay", s.replay)
}

type sinkView struct {
	Name    string `json:"name"`
	Kind    Kind   `json:"kind,omitempty"` // absent when this node has no such sink
	Pending int64  `json:"pending"`
	Dead    int64  `json:"dead"`
	Oldest  string `json:"oldestPending,omitempty"`
	Leads   *bool  `json:"deliveredHere,omitempty"` // by this node; absent for queues, which all serve
	Paused  string `json:"pausedUntil,omitempty"`
	Error   string `json:"lastError,omitempty"`
}

func (s *Server) showSinks(w http.ResponseWriter, r *http.Request) {
	pending, err := s.Log.Pending(r.Context())
	if err != nil {
		s.broken(w, err)
		return
	}
	dead, err := s.Log.DeadCount(r.Context())
	if err != nil {
		s.broken(w, err)
		return
	}
	views := map[string]*sinkView{}
	view := func(name string) *sinkView {
		if views[name] == nil {
			views[name] = &sinkView{Name: name}
		}
		return views[name]
	}
	for _, sink := range s.Sinks {
		view(sink.Name).Kind = sink.Kind
	}
	for name, n := range pending {
		view(name).Pending = n
	}
	for name, n := range dead {
		view(name).Dead = n
	}
	for _, c := range s.couriers {
		c.mu.Lock()
		st := c.state
		c.mu.Unlock()
		v := view(c.sink.Name)
		v.Leads, v.Error = new(c.leads()), st.LastError
		if !st.Paused.IsZero() {
			v.Paused = st.Paused.UTC().Format(snsTime)
		}
	}
	list := make([]*sinkView, 0, len(views))
	for name, v := range views {
		at, some, err := s.Log.Oldest(r.Context(), name)
		if err != nil {
			s.broken(w, err)
			return
		}
		if some {
			v.Oldest = at.Format(snsTime)
		}
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b *sinkView) int { return strings.Compare(a.Name, b.Name) })
	say(w, http.StatusOK, map[string]any{"sinks": list})
}

const (
	deadPage     = 100
	mostDeadPage = 1000
)

type deadView struct {
	Sink      string          `json:"sink"`
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Order     string          `json:"order"`
	Tries     int             `json:"tries"`
	Error     string          `json:"error"`
	CreatedAt time.Time       `json:"createdAt"`
	DeadAt    time.Time       `json:"deadAt"`
	Event     json.RawMessage `json:"event"`
}

func (s *Server) showDead(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := deadPage
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostDeadPage {
			say(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("limit: %q is not a number from 1 to %d", text, mostDeadPage)})
			return
		}
		limit = n
	}
	after, err := parseRef(q.Get("after"))
	if err != nil {
		say(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	if sink := q.Get("sink"); sink != "" && !nameForm.MatchString(sink) {
		say(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("sink: %q is not the name of one", sink)})
		return
	}
	count, err := s.Log.DeadCount(r.Context())
	if err != nil {
		s.broken(w, err)
		return
	}
	list, err := s.Log.Dead(r.Context(), q.Get("sink"), after, limit)
	if err != nil {
		s.broken(w, err)
		return
	}
	out := struct {
		Count map[string]int64 `json:"count"` // by sink
		Dead  []deadView       `json:"dead"`
		Next  string           `json:"next,omitempty"` // for after
	}{Count: count, Dead: make([]deadView, len(list))}
	for i, d := range list {
		out.Dead[i] = deadView{d.Sink, d.ID, d.Type, d.Order, d.Tries, d.Reason, d.CreatedAt, d.DeadAt, json.RawMessage(d.Body)}
	}
	if len(list) == limit {
		out.Next = refText(list[limit-1].Ref)
	}
	say(w, http.StatusOK, out)
}

func refText(r event.Ref) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s", r.Key, r.Sink))
}

func parseRef(text string) (*event.Ref, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // from the first
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	number, sink, ok := strings.Cut(string(raw), ".")
	key, err2 := strconv.ParseInt(number, 10, 64)
	if err != nil || err2 != nil || !ok || !nameForm.MatchString(sink) {
		return nil, fmt.Errorf("after: %q is not the next of a page before", text)
	}
	return &event.Ref{Sink: sink, Key: store.Key(key)}, nil
}

func (s *Server) replay(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	sink := q.Get("sink")
	if !slices.ContainsFunc(s.Sinks, func(k Sink) bool { return k.Name == sink }) {
		say(w, http.StatusNotFound, map[string]string{"error": fmt.Sprintf("sink: %q is not in the configuration", sink)})
		return
	}
	id := q.Get("id")
	if _, _, err := store.ParseUUID(id); id != "" && err != nil {
		say(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("id: %q is not the id of an event", id)})
		return
	}
	n, err := s.Log.Replay(r.Context(), sink, id)
	if err != nil {
		s.broken(w, err)
		return
	}
	s.logger().Info("dead letters replayed", "sink", sink, "events", n)
	say(w, http.StatusOK, map[string]int{"replayed": n})
}

func (s *Server) broken(w http.ResponseWriter, err error) {
	s.logger().Error("events not shown", "error", err)
	say(w, http.StatusInternalServerError, map[string]string{"error": "the database does not answer; the log has the reason"})
}

func say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // an error means that the client is gone
}
