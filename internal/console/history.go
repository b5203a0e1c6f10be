package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// Sample is how things stood at one time.
type Sample struct {
	At         int64   `json:"at"` // epoch milliseconds, by the wall clock
	Players    int64   `json:"players"`
	Sessions   int64   `json:"sessions"` // ACTIVE
	Activating int64   `json:"activating"`
	Seats      int64   `json:"seats"` // of ACTIVE game sessions that nobody has
	Free       int64   `json:"free"`  // processes that could host a game session
	Processes  int64   `json:"processes"`
	Computes   int64   `json:"computes"`
	Requests   float64 `json:"requests"` // a second
	Errors     float64 `json:"errors"`   // a second
	P99        float64 `json:"p99"`      // milliseconds
}

// A history keeps a sample a second for ten minutes while somebody looks, and one a minute
// for a day always.
const (
	seconds      = 600
	minutes      = 24 * 60
	sampleEvery  = time.Second
	idleEvery    = 10 * time.Second
	sampleWithin = 5 * time.Second
	// restful is how many times as long as a sample took the database is left alone.
	restful = 20
)

type history struct {
	mu     sync.Mutex
	second []Sample
	minute []Sample
	eyes   map[chan Sample]bool
}

// Run takes samples until ctx ends.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var last time.Time
	var took time.Duration
	before := s.traffic.look()
	since := time.Now()
	for {
		now := time.Now()
		if wait := max(sampleEvery, took*restful); now.Sub(last) >= wait-sampleEvery/2 && (s.history.watched() || now.Sub(last) >= idleEvery) {
			p, err := s.sample(ctx)
			took, last = time.Since(now), now
			if err != nil {
				if ctx.Err() == nil {
					s.logger().LogAttrs(ctx, slog.LevelWarn, "console took no sample", slog.Any("error", err))
				}
			} else {
				c := s.traffic.look()
				if d := now.Sub(since).Seconds(); d > sampleEvery.Seconds()/4 { // of less there is no rate
					p.Requests, p.Errors = float64(c.requests-before.requests)/d, float64(c.failed-before.failed)/d
				}
				p.P99 = float64(c.p99(before)) / float64(time.Millisecond)
				before, since = c, now
				s.history.add(p)
			}
		}
		select {
		case <-ctx.Done():
			s.history.close()
			return
		case <-tick.C:
		}
	}
}

func (s *Server) sample(ctx context.Context) (p Sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, sampleWithin)
	defer cancel()
	at, err := s.count(ctx, 0)
	p = Sample{At: time.Now().UnixMilli()}
	for _, l := range at.live {
		p.Players += l.Players
		switch l.Status {
		case types.GameSessionStatusActive:
			p.Sessions += l.Sessions
			p.Seats += l.Seats - l.Players
		case types.GameSessionStatusActivating:
			p.Activating += l.Sessions
		default:
		}
	}
	for _, k := range at.stock {
		p.Computes += k.Computes
		p.Free += k.Free
		p.Processes += k.Ready + k.Hosting
	}
	return p, err
}

// standing is what all fleets have, added up.
type standing struct {
	live  []session.Live
	stock []compute.Stock
}

// counts keeps what was added up last.
type counts struct {
	mu   sync.Mutex
	last standing
	at   time.Time
	took time.Duration
}

const (
	// quick is how long adding up may take to be done for each who asks.
	quick = 20 * time.Millisecond
	// keepFor is how many times as long as it took the sums of a larger server are kept.
	keepFor = 20
)

// standing is what all fleets have now or, where adding that up takes long, had a moment ago:
// however many look, one of them pays.
func (s *Server) standing(ctx context.Context) (standing, error) { return s.count(ctx, keepFor) }

// count adds up, unless what is there is younger than so many times as long as it took.
func (s *Server) count(ctx context.Context, keep int) (standing, error) {
	c := &s.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	start := time.Now()
	if c.took > quick && start.Sub(c.at) < time.Duration(keep)*c.took {
		return c.last, nil
	}
	var now standing
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if now.live, err = s.Sessions.LiveTx(tx); err != nil {
			return err
		}
		now.stock, err = s.Computes.StockTx(tx)
		return err
	})
	if err != nil {
		return standing{}, err
	}
	c.last, c.at, c.took = now, time.Now(), time.Since(start)
	return now, nil
}

func (h *history) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.eyes) > 0
}

func (h *history) add(p Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.second = push(h.second, p, seconds)
	if n := len(h.minute); n == 0 || p.At-h.minute[n-1].At >= time.Minute.Milliseconds() {
		h.minute = push(h.minute, p, minutes)
	}
	for eye := range h.eyes {
		select {
		case eye <- p:
		default: // a slow reader misses it
		}
	}
}

func push(list []Sample, p Sample, most int) []Sample {
	if len(list) >= most {
		copy(list, list[1:])
		list = list[:most-1]
	}
	return append(list, p)
}

func (h *history) latest() (p Sample, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.second); n > 0 {
		return h.second[n-1], true
	}
	return Sample{}, false
}

func (h *history) copied(minute bool) []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	if minute {
		return append([]Sample{}, h.minute...)
	}
	return append([]Sample{}, h.second...)
}

// mostEyes is how many browsers are told of samples at once.
const mostEyes = 64

// watch gives a channel of the samples to come; nil when there are too many. leave ends it.
func (h *history) watch() (eye chan Sample, leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.eyes) >= mostEyes {
		return nil, nil
	}
	if h.eyes == nil {
		h.eyes = map[chan Sample]bool{}
	}
	eye = make(chan Sample, 4)
	h.eyes[eye] = true
	return eye, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.eyes[eye] {
			delete(h.eyes, eye)
			close(eye)
		}
	}
}

// close ends all streams.
func (h *history) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for eye := range h.eyes {
		delete(h.eyes, eye)
		close(eye)
	}
}

// stream sends samples as server-sent events while the browser listens.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	eye, leave := s.history.watch()
	if eye == nil {
		s.answer(w, r, nil, &refusal{http.StatusServiceUnavailable, "TooManyStreams", "too many browsers are watching"})
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	send := func(p Sample) bool {
		text, err := json.Marshal(p)
		if err != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, "event: sample\ndata: %s\n\n", text); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	if _, err := fmt.Fprint(w, "retry: 2000\n\n"); err != nil {
		return
	}
	if p, ok := s.history.latest(); ok && !send(p) {
		return
	}
	if out.Flush() != nil {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case p, ok := <-eye:
			if !ok || !send(p) {
				return
			}
		}
	}
}

// series are the samples of the last ten minutes or, with span=day, of the last day.
func (s *Server) series(r *http.Request) (any, error) {
	span, err := text(r, "span")
	if err != nil {
		return nil, err
	}
	return map[string]any{"samples": s.history.copied(span == "day")}, nil
}
