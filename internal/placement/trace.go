package placement

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
)

// The most that a trace keeps: the first and the last of a kind, so that it stays small
// however long a placement waits.
const (
	mostPasses, firstPasses     = 8, 2
	mostAttempts, firstAttempts = 12, 2
	mostPlaces                  = 20 // candidates of a pass, and as many exclusions
)

// trace is what a placement remembers of how it was decided.
type trace struct {
	Passes   []json.RawMessage `json:",omitempty"` // each a Pass
	Attempts []Attempt         `json:",omitempty"`
	// Left is how many passes and attempts were left out.
	LeftPasses   int `json:",omitempty"`
	LeftAttempts int `json:",omitempty"`
	// Tried are the places that were tried since all had their turn: the next attempt goes
	// elsewhere if it can.
	Tried []tried `json:",omitempty"`
}

type tried struct {
	Fleet    arn.FleetID
	Location string
}

func (t *trace) marshal() string {
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // plain data always marshals
	}
	return string(text)
}

func (t *trace) pass(p json.RawMessage) {
	t.Passes = append(t.Passes, p)
	if len(t.Passes) > mostPasses {
		t.Passes = slices.Delete(t.Passes, firstPasses, firstPasses+1)
		t.LeftPasses++
	}
}

func (t *trace) attempt(a Attempt) {
	t.Attempts = append(t.Attempts, a)
	if len(t.Attempts) > mostAttempts {
		t.Attempts = slices.Delete(t.Attempts, firstAttempts, firstAttempts+1)
		t.LeftAttempts++
	}
}

// ended notes how the last attempt ended.
func (t *trace) ended(at time.Time, how string) {
	if n := len(t.Attempts); n > 0 {
		t.Attempts[n-1].EndedAt, t.Attempts[n-1].Outcome = &at, how
	}
}

// Pass is one look at everywhere a placement could go.
type Pass struct {
	At time.Time
	// Cap is the latency in force, in milliseconds, and Until when it relaxes.
	Cap   *int32     `json:",omitempty"`
	Until *time.Time `json:",omitempty"`
	// Steps are the priorities in the order in which they ranked.
	Steps      []string
	Candidates []Candidate
	Excluded   []Exclusion `json:",omitempty"`
	// MoreCandidates and MoreExcluded count what is not listed.
	MoreCandidates int `json:",omitempty"`
	MoreExcluded   int `json:",omitempty"`
}

// Candidate is a place where the placement could go, in the order of preference.
type Candidate struct {
	Destination int // its place in the queue's list, from 1
	Fleet       string
	Location    string
	Rank        string // what gave it its place in the order
	Free        int    // processes that could host a game session when the pass began
	Outcome     string
}

// Exclusion is where the placement could not go, and why.
type Exclusion struct {
	Destination int
	Fleet       string `json:",omitempty"`
	Location    string `json:",omitempty"` // "" for the whole destination
	Free        int
	Why         string
}

// Attempt is a game session that was started for the placement.
type Attempt struct {
	At          time.Time
	GameSession string
	Fleet       string
	Location    string
	EndedAt     *time.Time `json:",omitempty"`
	Outcome     string     `json:",omitempty"` // "" while it is under way, and when it succeeded
}

// passOf writes a ranking down. chosen is the index of the candidate that was taken, or -1;
// whyNot is why one before it was not.
func passOf(o offer, r *ranking, began, now time.Time, chosen int, whyNot func(candidate) (string, error)) (Pass, error) {
	p := Pass{At: now, Cap: r.cap, Candidates: []Candidate{}}
	if r.until != nil {
		p.Until = new(began.Add(*r.until))
	}
	for _, s := range r.steps {
		line := string(s.by)
		if s.idle != "" {
			line += " (no effect: " + s.idle + ")"
		}
		p.Steps = append(p.Steps, line)
	}
	for i, c := range r.candidates {
		if i >= mostPlaces && i != chosen {
			p.MoreCandidates++
			continue
		}
		line := Candidate{Destination: c.destination + 1, Fleet: string(c.fleet), Location: c.location, Rank: r.why(c, o), Free: c.free}
		switch {
		case i == chosen:
			line.Outcome = "chosen"
		case chosen >= 0 && i > chosen:
			line.Outcome = "not needed"
		default:
			why, err := whyNot(c)
			if err != nil {
				return Pass{}, err
			}
			line.Outcome = why
		}
		p.Candidates = append(p.Candidates, line)
	}
	for i, e := range r.excluded {
		if i >= mostPlaces {
			p.MoreExcluded = len(r.excluded) - i
			break
		}
		p.Excluded = append(p.Excluded, Exclusion{Destination: e.destination + 1, Fleet: string(e.fleet), Location: e.location, Free: e.free, Why: e.why})
	}
	return p, nil
}

// wouldHaveWorked is what could have made a pass succeed that did not.
func (p Pass) wouldHaveWorked() (list []string) {
	for _, e := range p.Excluded {
		if e.Free > 0 {
			list = append(list, fmt.Sprintf("%s of %s had %d free, but: %s", e.Location, e.Fleet, e.Free, e.Why))
		}
	}
	for _, c := range p.Candidates {
		if c.Outcome != "chosen" {
			list = append(list, fmt.Sprintf("a free process in %s of %s", c.Location, c.Fleet))
		}
	}
	if len(p.Candidates) == 0 && len(list) == 0 {
		list = append(list, "a destination with an ACTIVE location that the queue's filter and the request allow")
	}
	return list
}
