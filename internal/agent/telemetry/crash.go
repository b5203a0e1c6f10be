package telemetry

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	crashShown    = 10 * time.Minute // how long a crash is served
	mostStrangers = 1000
	checkInterval = 5 * time.Second // as the collector's crash reporter has it
)

// crash is a game server that ended without saying so.
type crash struct {
	at     time.Time
	labels prometheus.Labels
}

// stranger is a process that registered for crash reports and is none of ours.
type stranger struct{ session string }

// crashReport answers the server SDK's crash reporter: /register, /update and /deregister
// with process_pid and session_id, each a GET.
func (s *Server) crashReport(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	pid, err := strconv.Atoi(q.Get("process_pid"))
	if err != nil || pid <= 1 {
		http.Error(w, "process_pid: a process id is expected", http.StatusBadRequest)
		return
	}
	session := q.Get("session_id")
	if len(session) > longestValue {
		http.Error(w, "session_id: too long", http.StatusBadRequest)
		return
	}
	session = strings.ToValidUTF8(session, "\uFFFD")
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.ofPID(pid) // its end is seen by who runs it
	switch r.URL.Path {
	case "/register":
		if k == nil && len(s.strangers) < mostStrangers && alive(pid) {
			s.strangers[pid] = &stranger{}
		}
	case "/update":
		if k != nil && k.session == "" {
			k.session = session
		} else if o := s.strangers[pid]; o != nil {
			o.session = session
		}
	case "/deregister":
		delete(s.strangers, pid)
	default:
		http.NotFound(w, r)
	}
}

// lookAfterStrangers sees the crashes of processes that nobody told of.
func (s *Server) lookAfterStrangers(done <-chan struct{}) {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			s.checkStrangers()
		}
	}
}

func (s *Server) checkStrangers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid, o := range s.strangers {
		if !alive(pid) {
			delete(s.strangers, pid)
			s.crashed(&known{Process: Process{PID: pid}, session: o.session}, pid)
		}
	}
}

// crashed writes a crash down.
func (s *Server) crashed(k *known, pid int) {
	labels := s.labelsOf(k, strconv.Itoa(pid), k.session)
	labels["gamelift_process_id"] = k.ID
	// A process id may come again; the same labels twice would be no valid answer.
	s.crashes = slices.DeleteFunc(s.crashes, func(c crash) bool { return same(c.labels, labels) })
	if len(s.crashes) == mostCrashes {
		s.crashes = s.crashes[1:]
	}
	s.crashes = append(s.crashes, crash{time.Now(), labels})
}

func same(x, y prometheus.Labels) bool {
	for k := range x {
		if x[k] != y[k] {
			return false
		}
	}
	return len(x) == len(y)
}

// collectCrashes gives the crashes of the last minutes to Prometheus.
func (s *Server) collectCrashes(out chan<- prometheus.Metric) {
	first, _ := slices.BinarySearchFunc(s.crashes, time.Now().Add(-crashShown), func(c crash, at time.Time) int {
		return cmp.Compare(c.at.UnixNano(), at.UnixNano())
	})
	s.crashes = slices.Delete(s.crashes, 0, first)
	for _, c := range s.crashes {
		give(out, "game_server_crash", "Game servers that ended without ProcessEnding in the last ten minutes.", prometheus.GaugeValue, 1, c.labels)
	}
}
