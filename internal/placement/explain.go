package placement

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// Explanation tells why a placement went as it did, or what it waits for.
type Explanation struct {
	PlacementID  string
	Queue        string
	Status       string
	StartTime    time.Time
	EndTime      *time.Time `json:",omitempty"`
	Deadline     *time.Time `json:",omitempty"` // of a PENDING one
	MaxPlayers   int32
	Players      int      // desired player sessions
	Latencies    int      // reports
	Override     []string `json:",omitempty"` // locations
	OverrideOnly bool     `json:",omitempty"` // its fallback is NONE
	GameSession  string   `json:",omitempty"`

	// Passes are the looks at everywhere it could go, the first and the last of them, and
	// LeftPasses those between that were left out; likewise the attempts.
	Passes       []Pass
	LeftPasses   int       `json:",omitempty"`
	Attempts     []Attempt `json:",omitempty"`
	LeftAttempts int       `json:",omitempty"`

	// Now is how things stand for a placement that waits.
	Now *Pass `json:",omitempty"`
	// WouldHaveWorked is what would have given it a game session, for one that has none.
	WouldHaveWorked []string `json:",omitempty"`
}

// Explain tells why a placement went as it did. The error is a NotFoundException when there
// is none of that id.
func (s *Service) Explain(ctx context.Context, id string) (Explanation, error) {
	var e Explanation
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		p, err := knownPlacement(tx, id, "")
		if err != nil {
			return err
		}
		t, err := textOf(tx, p.key)
		if err != nil {
			return err
		}
		if e, err = explain(p, t); err != nil {
			return err
		}
		if p.status == pending && p.game == nil {
			return s.explainWaiting(tx, &e, p, t)
		}
		return nil
	})
	return e, err
}

func explain(p placement, t text) (Explanation, error) {
	e := Explanation{
		PlacementID: p.id, Queue: p.queueName, Status: string(p.status.model()), StartTime: stamp(p.startedAt),
		MaxPlayers: p.maximum, Players: p.players, Latencies: len(t.Latencies),
		Passes: []Pass{}, LeftPasses: t.trace.LeftPasses, Attempts: t.trace.Attempts, LeftAttempts: t.trace.LeftAttempts,
	}
	if p.endedAt != nil {
		e.EndTime = new(stamp(*p.endedAt))
	}
	if p.deadline != nil {
		e.Deadline = new(stamp(*p.deadline))
	}
	if p.gameARN != nil {
		e.GameSession = *p.gameARN
	}
	if w := t.wish(p, p.startedAt); len(w.Override) > 0 {
		e.Override, e.OverrideOnly = w.Override, w.Only
	}
	for _, text := range t.trace.Passes {
		var pass Pass
		if err := json.Unmarshal(text, &pass); err != nil {
			return e, fmt.Errorf("trace of placement %s: %w", p.id, err)
		}
		e.Passes = append(e.Passes, pass)
	}
	if n := len(e.Passes); n > 0 && p.game == nil {
		e.WouldHaveWorked = e.Passes[n-1].wouldHaveWorked()
	}
	return e, nil
}

// explainWaiting adds how things stand.
func (s *Service) explainWaiting(tx *store.Tx, e *Explanation, p placement, t text) error {
	q, err := queueByKey(tx, p.queue)
	if err != nil {
		return err
	}
	st, err := s.stockOf(tx, q, false)
	if err != nil {
		return err
	}
	a := s.assigner(tx, st)
	c := &claim{placement: &p, asked: t.request, wish: t.wish(p, tx.NowMs())}
	a.rank(c)
	pass, err := passOf(st.offer, c.ranking, stamp(p.startedAt), tx.Now, -1, func(k candidate) (string, error) {
		if k.free > 0 {
			return "a process is free: its turn is about to come", nil
		}
		return a.whyNot(c, k)
	})
	if err != nil {
		return err
	}
	e.Now, e.WouldHaveWorked = &pass, pass.wouldHaveWorked()
	return nil
}

// String is the explanation for people.
func (e Explanation) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("Placement %s in queue %s: %s", e.PlacementID, e.Queue, e.state())
	line("  wants a game session for %d players, %d of them reserved with it; %d latency reports", e.MaxPlayers, e.Players, e.Latencies)
	if len(e.Override) > 0 {
		fallback := ", then the queue's other locations"
		if e.OverrideOnly {
			fallback = ", and no other locations"
		}
		line("  overrides the order of locations: %s%s", strings.Join(e.Override, ", "), fallback)
	}
	if e.GameSession != "" {
		line("  game session %s", e.GameSession)
	}
	for i, p := range e.Passes {
		if i == firstPasses && e.LeftPasses > 0 {
			line("... %d more passes", e.LeftPasses)
		}
		line("%s after the start:", p.At.Sub(e.StartTime))
		p.write(line, e.StartTime)
	}
	if len(e.Attempts) > 0 {
		line("Game sessions started for it:")
	}
	for i, a := range e.Attempts {
		if i == firstAttempts && e.LeftAttempts > 0 {
			line("  ... %d more", e.LeftAttempts)
		}
		var outcome string
		switch {
		case a.EndedAt != nil:
			outcome = fmt.Sprintf("over after %s: %s", a.EndedAt.Sub(a.At), a.Outcome)
		case e.EndTime != nil:
			outcome = fmt.Sprintf("ACTIVE after %s", e.EndTime.Sub(a.At))
		default:
			outcome = "being activated"
		}
		line("  %s after the start, in %s of %s: %s", a.At.Sub(e.StartTime), a.Location, a.Fleet, outcome)
	}
	if e.Now != nil {
		line("Now, %s after the start:", e.Now.At.Sub(e.StartTime))
		e.Now.write(line, e.StartTime)
	}
	if len(e.WouldHaveWorked) > 0 {
		verb := "What would have worked:"
		if e.EndTime == nil {
			verb = "What would work:"
		}
		line("%s", verb)
		for _, w := range slices.Compact(slices.Clone(e.WouldHaveWorked)) {
			line("  - %s", w)
		}
	}
	return b.String()
}

func (e Explanation) state() string {
	switch {
	case e.EndTime != nil:
		return fmt.Sprintf("%s after %s", e.Status, e.EndTime.Sub(e.StartTime))
	case e.Deadline != nil:
		return fmt.Sprintf("%s, times out %s after its start", e.Status, e.Deadline.Sub(e.StartTime))
	}
	return e.Status
}

func (p Pass) write(line func(format string, args ...any), start time.Time) {
	line("  ranked by %s", strings.Join(p.Steps, ", "))
	switch {
	case p.Cap != nil && p.Until != nil:
		line("  a latency cap of %d ms, until %s after the start", *p.Cap, p.Until.Sub(start))
	case p.Cap != nil:
		line("  a latency cap of %d ms", *p.Cap)
	}
	for i, c := range p.Candidates {
		line("  %d. %s of %s (%s; %d free): %s", i+1, c.Location, c.Fleet, c.Rank, c.Free, c.Outcome)
	}
	if p.MoreCandidates > 0 {
		line("  and %d more", p.MoreCandidates)
	}
	for _, x := range p.Excluded {
		where := fmt.Sprintf("destination %d", x.Destination)
		if x.Location != "" {
			where = fmt.Sprintf("%s of %s", x.Location, x.Fleet)
		}
		line("  not %s (%d free): %s", where, x.Free, x.Why)
	}
	if p.MoreExcluded > 0 {
		line("  nor %d more", p.MoreExcluded)
	}
}
