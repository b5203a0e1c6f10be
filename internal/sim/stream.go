package sim

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/flexmatch"
)

// Stream is tickets in the order of their start, and the settings they are played with.
type Stream struct {
	Name       string
	Matchmaker Matchmaker
	// Length is how long the stream goes on; what waits then has no outcome.
	Length  time.Duration
	Tickets []Ticket
}

// Matchmaker is what a matchmaking configuration would say.
type Matchmaker struct {
	RequestTimeoutSeconds    float64 `json:"requestTimeoutSeconds,omitempty"`    // 0 means 120
	AcceptanceRequired       bool    `json:"acceptanceRequired,omitempty"`       //
	AcceptanceTimeoutSeconds float64 `json:"acceptanceTimeoutSeconds,omitempty"` // 0 means 30
	AdditionalPlayerCount    int     `json:"additionalPlayerCount,omitempty"`
	PassSeconds              float64 `json:"passSeconds,omitempty"` // between two runs of the matcher; 0 means 1
}

// Ticket is one request of a stream, a line of its file. The first four fields are those
// of a case (internal/flexmatch/evalcase).
type Ticket struct {
	ID       string   `json:"ticketId"`
	At       float64  `json:"at"` // seconds from the beginning of the stream
	Players  []Player `json:"players"`
	Backfill bool     `json:"backfill,omitempty"`
	// Region is a label the report groups by.
	Region string `json:"region,omitempty"`
	// LeaveAfter is after how many seconds in the queue the players give up; 0 means never.
	LeaveAfter float64 `json:"leaveAfter,omitempty"`
	// Answer is what they say to proposed matches; nil accepts at once.
	Answer *Answer `json:"answer,omitempty"`
}

// Answer is how a ticket's players answer proposals, where acceptance is required.
type Answer struct {
	AfterSeconds float64 `json:"afterSeconds,omitempty"`
	// Refuses is the number of the proposal they do not accept: 1 for the first, 0 for none.
	Refuses int `json:"refuses,omitempty"`
	// Silent says that they refuse by not answering at all.
	Silent bool `json:"silent,omitempty"`
}

// Player is a player in wire form.
type Player struct {
	ID          string           `json:"playerId"`
	Attributes  map[string]Value `json:"attributes,omitempty"`
	LatencyInMs map[string]int32 `json:"latencyInMs,omitempty"`
	Team        string           `json:"team,omitempty"` // of a backfill ticket
}

// Value is a player attribute in wire form; exactly one field is set.
type Value struct {
	S   *string            `json:"S,omitempty"`
	N   *float64           `json:"N,omitempty"`
	SL  []string           `json:"SL,omitzero"`
	SDM map[string]float64 `json:"SDM,omitzero"`
}

func (v Value) kinds() int {
	n := 0
	for _, set := range []bool{v.S != nil, v.N != nil, v.SL != nil, v.SDM != nil} {
		if set {
			n++
		}
	}
	return n
}

// Limits of streams. Times are those of a month, so that sums of them are exact.
const (
	maxSeconds  = 31 * 24 * 3600
	maxLine     = 4 << 20
	maxParty    = 10  // spec 1.9
	maxBackfill = 199 // spec 1.9
	MaxTickets  = 5_000_000
)

// header is the optional first line of a stream's file.
type header struct {
	Stream *struct {
		Name          string     `json:"name,omitempty"`
		LengthSeconds float64    `json:"lengthSeconds,omitempty"`
		Matchmaker    Matchmaker `json:"matchmaker"`
	} `json:"stream"`
}

// ReadStream reads a stream's file: JSON lines, one ticket each in any order, before them
// a line {"stream": {name, lengthSeconds, matchmaker}} if wanted. Empty lines are passed
// over. Without a length the stream ends with its last ticket's time-out. An error names
// the line.
func ReadStream(r io.Reader) (*Stream, error) {
	s := &Stream{}
	seen := map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) == 0 {
			continue
		}
		if err := s.line(line, seen); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(s.Tickets) > MaxTickets {
			return nil, fmt.Errorf("line %d: more than %d tickets", n, MaxTickets)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("after %d tickets: %w", len(s.Tickets), err)
	}
	return s, s.finish()
}

func (s *Stream) line(text []byte, seen map[string]bool) error {
	var h header
	if len(s.Tickets) == 0 && s.Length == 0 && json.Unmarshal(text, &h) == nil && h.Stream != nil {
		if err := h.Stream.Matchmaker.check(); err != nil {
			return fmt.Errorf("matchmaker: %w", err)
		}
		if !within(h.Stream.LengthSeconds) {
			return fmt.Errorf("lengthSeconds is %v, should be from 0 to %d", h.Stream.LengthSeconds, maxSeconds)
		}
		s.Name, s.Matchmaker, s.Length = h.Stream.Name, h.Stream.Matchmaker, span(h.Stream.LengthSeconds)
		return nil
	}
	var t Ticket
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	if seen[t.ID] {
		return fmt.Errorf("ticket %s is there twice", t.ID)
	}
	seen[t.ID] = true
	s.Tickets = append(s.Tickets, t)
	return nil
}

// finish sorts the tickets and fills in the length.
func (s *Stream) finish() error {
	if len(s.Tickets) == 0 {
		return errors.New("the stream has no tickets")
	}
	slices.SortStableFunc(s.Tickets, func(a, b Ticket) int { return cmp.Compare(a.At, b.At) })
	if s.Length == 0 {
		s.Length = span(s.Tickets[len(s.Tickets)-1].At) + s.Matchmaker.requestTimeout()
	}
	return nil
}

// WriteTo writes the stream as ReadStream reads it.
func (s *Stream) WriteTo(w io.Writer) (int64, error) {
	counter := &counting{w: bufio.NewWriterSize(w, 1<<16)}
	lines := json.NewEncoder(counter)
	lines.SetEscapeHTML(false)
	err := lines.Encode(map[string]any{"stream": map[string]any{
		"name": s.Name, "lengthSeconds": s.Length.Seconds(), "matchmaker": s.Matchmaker,
	}})
	for i := 0; i < len(s.Tickets) && err == nil; i++ {
		err = lines.Encode(s.Tickets[i])
	}
	return counter.n, cmp.Or(err, counter.w.Flush())
}

type counting struct {
	w *bufio.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func within(seconds float64) bool { return seconds >= 0 && seconds <= maxSeconds }

func (t *Ticket) check() error {
	most := maxParty
	if t.Backfill {
		most = maxBackfill
	}
	switch {
	case t.ID == "":
		return errors.New("a ticket has no ticketId")
	case !within(t.At):
		return fmt.Errorf("ticket %s: at is %v, should be from 0 to %d", t.ID, t.At, maxSeconds)
	case !within(t.LeaveAfter):
		return fmt.Errorf("ticket %s: leaveAfter is %v, should be from 0 to %d", t.ID, t.LeaveAfter, maxSeconds)
	case t.Answer != nil && (!within(t.Answer.AfterSeconds) || t.Answer.Refuses < 0):
		return fmt.Errorf("ticket %s: answer has a time or a number out of range", t.ID)
	case len(t.Players) == 0 || len(t.Players) > most:
		return fmt.Errorf("ticket %s: %d players, should be from 1 to %d", t.ID, len(t.Players), most)
	}
	ids := map[string]bool{}
	for _, p := range t.Players {
		if p.ID == "" || ids[p.ID] {
			return fmt.Errorf("ticket %s: a player has no playerId, or one that is there twice", t.ID)
		}
		ids[p.ID] = true
		for _, name := range slices.Sorted(maps.Keys(p.Attributes)) {
			if p.Attributes[name].kinds() != 1 {
				return fmt.Errorf("ticket %s, player %s: attribute %s should have one of S, N, SL and SDM", t.ID, p.ID, name)
			}
		}
	}
	return nil
}

func (m Matchmaker) check() error {
	for _, f := range []struct {
		name       string
		value, max float64
	}{
		{"requestTimeoutSeconds", m.RequestTimeoutSeconds, 43_200},
		{"acceptanceTimeoutSeconds", m.AcceptanceTimeoutSeconds, 600},
		{"additionalPlayerCount", float64(m.AdditionalPlayerCount), 200},
		{"passSeconds", m.PassSeconds, 600},
	} {
		if !(f.value >= 0 && f.value <= f.max) {
			return fmt.Errorf("%s is %v, should be from 0 to %v", f.name, f.value, f.max)
		}
	}
	if m.PassSeconds > 0 && m.PassSeconds < 0.01 {
		return fmt.Errorf("passSeconds is %v, should be at least 0.01", m.PassSeconds)
	}
	return nil
}

func (m Matchmaker) requestTimeout() time.Duration {
	return span(cmp.Or(m.RequestTimeoutSeconds, 120))
}

func (m Matchmaker) acceptanceTimeout() time.Duration {
	return span(cmp.Or(m.AcceptanceTimeoutSeconds, 30))
}

func (m Matchmaker) pass() time.Duration { return span(cmp.Or(m.PassSeconds, 1)) }

// span is seconds as a duration, to the millisecond.
func span(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

// instant is a time of a stream; the day is of no account.
func instant(d time.Duration) time.Time { return time.Unix(0, 0).UTC().Add(d) }

// request is the ticket as the engine takes it.
func (t *Ticket) request() *flexmatch.Ticket {
	r := &flexmatch.Ticket{ID: t.ID, Start: instant(span(t.At)), Backfill: t.Backfill, Players: make([]types.Player, len(t.Players))}
	for i := range t.Players {
		p := &t.Players[i]
		w := types.Player{PlayerId: &p.ID, LatencyInMs: p.LatencyInMs, PlayerAttributes: make(map[string]types.AttributeValue, len(p.Attributes))}
		for name, v := range p.Attributes {
			w.PlayerAttributes[name] = types.AttributeValue{S: v.S, N: v.N, SL: v.SL, SDM: v.SDM}
		}
		if p.Team != "" {
			w.Team = &p.Team
		}
		r.Players[i] = w
	}
	return r
}
