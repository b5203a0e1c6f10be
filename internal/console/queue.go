package console

import (
	"cmp"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/store"
)

func (s *Server) queues(r *http.Request) (any, error) {
	type line struct {
		Name         string   `json:"name"`
		Timeout      int64    `json:"timeout"`
		Destinations []string `json:"destinations"`
		Waiting      int64    `json:"waiting"`
	}
	var lines []line
	err := s.DB.Read(r.Context(), func(tx *store.Tx) error {
		lines = []line{}
		list, err := s.Placements.LinesTx(tx)
		for _, q := range list {
			lines = append(lines, line{q.Name, q.TimeoutSeconds, append([]string{}, q.Destinations...), q.Waiting})
		}
		return err
	})
	return map[string]any{"queues": lines}, err
}

// QueueView is how a queue did over a time.
type QueueView struct {
	Name     string     `json:"name"`
	Span     int64      `json:"span"` // seconds
	Waiting  int        `json:"waiting"`
	Oldest   int64      `json:"oldest"` // milliseconds that the oldest pending one waits
	Ended    int        `json:"ended"`
	Cut      bool       `json:"cut"`      // there are more than were looked at
	P50      int64      `json:"p50"`      // milliseconds from start to fulfilled, as the next two
	P95      int64      `json:"p95"`      //
	P99      int64      `json:"p99"`      //
	Outcomes []Tally    `json:"outcomes"` //
	Lacked   []Tally    `json:"lacked"`   // by what those lacked that timed out or failed
	Over     []Placed   `json:"over"`     // the time
	Waits    []Bin      `json:"waits"`    // of fulfilled ones, in seconds
	Places   []Tally    `json:"places"`
	Regrets  []Bin      `json:"regrets"` // milliseconds more than the best location
	Regret   float64    `json:"regret"`  // their mean
	Wishes   []WishLine `json:"wishes"`
}

// Placed is how the placements fared that ended in a part of the time.
type Placed struct {
	At        int64 `json:"at"`
	Fulfilled int   `json:"fulfilled"`
	Other     int   `json:"other"`
	P50       int64 `json:"p50"` // milliseconds of the fulfilled ones, as the next
	P95       int64 `json:"p95"`

	waits []int64
}

// Tally is how many there are of a kind.
type Tally struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// Bin is a bar of a histogram: how many are from From up to To, without it; a To of 0 has no
// end.
type Bin struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int     `json:"count"`
}

// WishLine is a placement.
type WishLine struct {
	ID       string  `json:"id"`
	Status   string  `json:"status"`
	Players  int64   `json:"players"`
	Location string  `json:"location"`
	Game     string  `json:"game"`
	Started  int64   `json:"started"`
	Ended    int64   `json:"ended"`
	Latency  float64 `json:"latency"`
	Best     float64 `json:"best"`
	Lacked   string  `json:"lacked,omitempty"`
}

const (
	mostWishes  = 5000 // that figures are made of
	shownWishes = 300
)

func (s *Server) queue(r *http.Request) (any, error) {
	name, err := needed(r, "name")
	if err != nil {
		return nil, err
	}
	span, err := spanOf(r)
	if err != nil {
		return nil, err
	}
	var wishes []placement.Wish
	var now int64
	err = s.DB.Read(r.Context(), func(tx *store.Tx) (err error) {
		now = tx.NowMs()
		wishes, err = s.Placements.WishesTx(tx, name, tx.Now.Add(-span).UnixMilli(), mostWishes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return queueView(name, span, wishes, now), nil
}

func queueView(name string, span time.Duration, wishes []placement.Wish, now int64) QueueView {
	v := QueueView{Name: name, Span: int64(span / time.Second), Wishes: []WishLine{}}
	outcomes, places, lacked := map[string]int{}, map[string]int{}, map[string]int{}
	over := partsOf(span, now)
	v.Over = make([]Placed, len(over))
	for i := range over {
		v.Over[i].At = over[i]
	}
	var waits []int64
	var regrets []float64
	for i, w := range wishes {
		if i < shownWishes || w.EndedAt != 0 && len(v.Wishes) < 2*shownWishes {
			v.Wishes = append(v.Wishes, WishLine{w.ID, string(w.Status), w.Players, w.Location, w.Game, w.StartedAt, w.EndedAt, w.Latency, w.Best, w.Lacked})
		}
		if w.EndedAt == 0 {
			v.Waiting++
			v.Oldest = max(v.Oldest, now-w.StartedAt)
			continue
		}
		v.Ended++
		outcomes[string(w.Status)]++
		if w.Lacked != "" {
			lacked[w.Lacked]++
		}
		if o := &v.Over[partOf(over, w.EndedAt)]; w.Status == "FULFILLED" {
			waits = append(waits, w.EndedAt-w.StartedAt)
			places[w.Location]++
			o.Fulfilled++
			o.waits = append(o.waits, w.EndedAt-w.StartedAt)
		} else {
			o.Other++
		}
		if w.Best > 0 {
			regrets = append(regrets, w.Latency-w.Best)
			v.Regret += w.Latency - w.Best
		}
	}
	v.Cut = v.Waiting == mostWishes || v.Ended == mostWishes
	slices.Sort(waits)
	v.P50, v.P95, v.P99 = at(waits, .5), at(waits, .95), at(waits, .99)
	for i := range v.Over {
		o := &v.Over[i]
		slices.Sort(o.waits)
		o.P50, o.P95 = at(o.waits, .5), at(o.waits, .95)
	}
	v.Outcomes, v.Places, v.Lacked = tallies(outcomes), tallies(places), tallies(lacked)
	secs := make([]float64, len(waits))
	for i, w := range waits {
		secs[i] = float64(w) / 1000
	}
	v.Waits = bins(secs, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)
	v.Regrets = bins(regrets, 1, 5, 10, 20, 40, 80, 160, 320)
	if len(regrets) > 0 {
		v.Regret /= float64(len(regrets))
	}
	return v
}

// timeParts is how many points a line over a chosen time has.
const timeParts = 60

// partsOf are the beginnings of the equal parts of a time that ends now.
func partsOf(span time.Duration, now int64) []int64 {
	parts := make([]int64, timeParts)
	for i := range parts {
		parts[i] = now - span.Milliseconds() + int64(i)*span.Milliseconds()/timeParts
	}
	return parts
}

// partOf is the part that an instant is in, or is nearest to.
func partOf(parts []int64, ms int64) int {
	i, found := slices.BinarySearch(parts, ms)
	if !found {
		i--
	}
	return min(max(i, 0), len(parts)-1)
}

// at is the value below or at which a share of a sorted list is.
func at[N int64 | float64](sorted []N, share float64) N {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(math.Ceil(share*float64(len(sorted))))-1)]
}

func tallies(m map[string]int) []Tally {
	list := make([]Tally, 0, len(m))
	for name, n := range m {
		list = append(list, Tally{name, n})
	}
	slices.SortFunc(list, func(a, b Tally) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Name, b.Name)) })
	return list
}

// bins counts values between bounds; the first begins with 0, the last has no end.
func bins(values []float64, bounds ...float64) []Bin {
	list := make([]Bin, len(bounds)+1)
	for i := range list {
		if i > 0 {
			list[i].From = bounds[i-1]
		}
		if i < len(bounds) {
			list[i].To = bounds[i]
		}
	}
	for _, v := range values {
		list[binOf(v, bounds)].Count++
	}
	return list
}

// binOf is the index of a value's bin.
func binOf(v float64, bounds []float64) (i int) {
	for i < len(bounds) && v >= bounds[i] {
		i++
	}
	return i
}

// placement tells why a placement went as it did.
func (s *Server) placement(r *http.Request) (any, error) {
	id, err := needed(r, "id")
	if err != nil {
		return nil, err
	}
	e, err := s.Placements.Explain(r.Context(), id)
	return map[string]any{"explanation": e, "text": e.String()}, err
}

func sorted(list []int64) []int64 {
	slices.Sort(list)
	return list
}

// sizes counts matches by how many players they have, the smallest first.
func sizes(matches map[string][]matchmaking.Seen) []Tally {
	by := map[int]int{}
	for _, tickets := range matches {
		n := 0
		for _, t := range tickets {
			n += len(t.Players)
		}
		by[n]++
	}
	list := make([]Tally, 0, len(by))
	for _, n := range slices.Sorted(maps.Keys(by)) {
		list = append(list, Tally{strconv.Itoa(n), by[n]})
	}
	return list
}
