// Package evalcase runs a written matchmaking case: a rule set, tickets, instants and
// what players do, through the engine and the tickets' lifecycle. It is what
// `matchyard flexmatch eval` prints, and what the conformance cases are checked with. It
// owns the file format; it knows no store and no clock, a case brings its own time.
package evalcase

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/flexmatch"
)

// Case is a case file. Kinds are match, lifecycle, expressions and validation; what a
// kind does not need may be left out.
type Case struct {
	Name        string
	Kind        string
	Config      Config
	RuleSet     json.RawMessage
	Tickets     []Ticket
	Now         []float64 // seconds at which the matcher runs
	Actions     []Action
	Expressions []struct{ Expr string }
	Roster      map[string][]Player
	TeamOrder   []string
	Validations []Validation
	RawBodies   []struct{ Body string }
	Expect      Expect
}

// Config is the matchmaking configuration of a case. Without a request timeout tickets
// wait for ever.
type Config struct {
	AcceptanceRequired       bool
	AcceptanceTimeoutSeconds float64
	RequestTimeoutSeconds    float64
	AdditionalPlayerCount    int
	FlexMatchMode            string
	SilentSearchOn           bool
	PartyAsOne               bool
	AnyLocation              bool
	Seed                     uint64
}

// Ticket is a request that starts At a second.
type Ticket struct {
	TicketID string `json:"ticketId"`
	At       float64
	Players  []Player
	Backfill bool
}

// Player is a player in wire form.
type Player struct {
	PlayerID    string `json:"playerId"`
	Attributes  map[string]types.AttributeValue
	LatencyInMs map[string]int32
	Team        string
}

// Action is a call at a second: AcceptMatch or StopMatchmaking.
type Action struct {
	At        float64
	Op        string
	TicketID  string   `json:"ticketId"`
	PlayerIDs []string `json:"playerIds"`
	Type      string
}

// Validation is a rule set to be judged.
type Validation struct {
	Name    string
	RuleSet json.RawMessage
}

// Expect is read only for the instants it asks about.
type Expect struct {
	Statuses []struct{ At float64 }
}

// Eval runs a case and gives the result as JSON: always matches [{at, tickets, teams}]
// and unmatched, and why for the unmatched; for lifecycle cases statuses and events, for expressions values and
// types, for validations valid and errors of each.
func Eval(caseJSON []byte) ([]byte, error) {
	var c Case
	if err := json.Unmarshal(caseJSON, &c); err != nil {
		return nil, fmt.Errorf("read case: %w", err)
	}
	out := Output{Matches: []Match{}, Unmatched: []string{}}
	var err error
	switch c.Kind {
	case "expressions":
		err = c.expressions(&out)
	case "validation":
		c.validate(&out)
	case "match", "lifecycle":
		err = c.simulate(&out)
	default:
		err = fmt.Errorf("unknown kind %q", c.Kind)
	}
	if err != nil {
		return nil, fmt.Errorf("case %q: %w", c.Name, err)
	}
	return json.MarshalIndent(out, "", " ")
}

// Output is the result of a case.
type Output struct {
	Matches     []Match           `json:"matches"`
	Unmatched   []string          `json:"unmatched"`
	Statuses    []map[string]any  `json:"statuses,omitempty"`
	Events      []Event           `json:"events,omitempty"`
	Tickets     []Outcome         `json:"tickets,omitempty"`
	Errors      []ActionError     `json:"errors,omitempty"`
	Why         map[string]string `json:"why,omitempty"`
	Values      []any             `json:"values,omitempty"`
	Types       []string          `json:"types,omitempty"`
	Validations []Verdict         `json:"validations,omitempty"`
	RawBodies   []Verdict         `json:"rawBodies,omitempty"`
}

// Match is one match that was made.
type Match struct {
	At      float64             `json:"at"`
	Tickets []string            `json:"tickets"`
	Teams   map[string][]string `json:"teams"`
}

// Verdict is the judgement of a rule set.
type Verdict struct {
	Name   string   `json:"name,omitempty"`
	Valid  bool     `json:"valid"`
	Errors []string `json:"errors"`
}

// Validate judges one rule set body and gives the verdict as JSON: valid and errors, each
// with its JSON path. It is what `matchyard flexmatch validate` prints.
func Validate(body []byte) (output []byte, valid bool, err error) {
	v := judge("", string(body))
	output, err = json.MarshalIndent(v, "", " ")
	return output, v.Valid, err
}

func judge(name, body string) Verdict {
	v := Verdict{Name: name, Valid: true, Errors: []string{}}
	_, err := flexmatch.Parse(body)
	if found, ok := errors.AsType[flexmatch.Findings](err); ok {
		v.Valid = false
		for _, f := range found {
			v.Errors = append(v.Errors, f.String())
		}
	}
	return v
}

func (c *Case) validate(out *Output) {
	for _, v := range c.Validations {
		out.Validations = append(out.Validations, judge(v.Name, string(v.RuleSet)))
	}
	for _, b := range c.RawBodies {
		out.RawBodies = append(out.RawBodies, judge("", b.Body))
	}
}

func (c *Case) expressions(out *Output) error {
	teams := map[string][]types.Player{}
	for name, players := range c.Roster {
		for _, p := range players {
			teams[name] = append(teams[name], p.wire())
		}
	}
	for _, e := range c.Expressions {
		v, typ, err := flexmatch.Evaluate(e.Expr, c.TeamOrder, teams)
		if err != nil {
			return fmt.Errorf("expression %s: %w", e.Expr, err)
		}
		out.Values = append(out.Values, v)
		out.Types = append(out.Types, typ)
	}
	return nil
}

func (p Player) wire() types.Player {
	w := types.Player{PlayerId: new(p.PlayerID), PlayerAttributes: p.Attributes, LatencyInMs: p.LatencyInMs}
	if p.Team != "" {
		w.Team = new(p.Team)
	}
	return w
}

// instant is a second of a case as a time; the day is of no account.
func instant(seconds float64) time.Time {
	return time.Unix(0, 0).UTC().Add(time.Duration(math.Round(seconds*1000)) * time.Millisecond)
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
