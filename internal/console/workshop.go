package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	examples "github.com/matchyard/matchyard/examples/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/sim"
	"github.com/matchyard/matchyard/internal/store"
)

// Example is a rule set to begin with, and the players it is tried on.
type Example struct {
	Name    string `json:"name"`
	Rules   string `json:"rules"`
	Profile string `json:"profile"` // "" for a configuration's: it is tried on recorded tickets
}

// examples are the standard streams and the rule sets of the configurations.
func (s *Server) examples(r *http.Request) (any, error) {
	list := []Example{}
	for _, name := range examples.Names() {
		rules, profile, err := examples.Stream(name)
		if err != nil {
			return nil, err
		}
		list = append(list, Example{name, string(rules), string(profile)})
	}
	own := []Example{}
	if s.Matchmaking == nil {
		return map[string]any{"examples": list, "matchmakers": own}, nil
	}
	err := s.DB.Read(r.Context(), func(tx *store.Tx) error {
		own = []Example{}
		lines, err := s.Matchmaking.LinesTx(tx)
		if err != nil {
			return err
		}
		for _, l := range lines {
			_, body, err := s.Matchmaking.RuleSetBodyTx(tx, l.Name)
			if err != nil {
				return err
			}
			own = append(own, Example{Name: l.Name, Rules: body})
		}
		return nil
	})
	return map[string]any{"examples": list, "matchmakers": own}, err
}

// FindingLine is something wrong with a rule set.
type FindingLine struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

func findings(err error) []FindingLine {
	list := []FindingLine{}
	if err == nil {
		return list
	}
	found, ok := errors.AsType[flexmatch.Findings](err)
	if !ok {
		return append(list, FindingLine{"", err.Error()})
	}
	for _, f := range found {
		list = append(list, FindingLine{f.Path, f.Reason})
	}
	return list
}

// validate tells what is wrong with a rule set, and what it is.
func (s *Server) validate(_ http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		Rules string `json:"rules"`
	}
	if err := receive(r, &in); err != nil {
		return nil, err
	}
	set, err := flexmatch.Parse(in.Rules)
	out := map[string]any{"valid": err == nil, "findings": findings(err)}
	if err == nil {
		out["teams"], out["slots"], out["large"], out["rules"] = set.TeamNames(), set.Slots(), set.Large(), len(set.Rules)
	}
	return out, nil
}

// evaluate gives the value of a property expression over sample players.
func (s *Server) evaluate(_ http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		Expression string                  `json:"expression"`
		Teams      []string                `json:"teams"`
		Players    map[string][]sim.Player `json:"players"` // by team
	}
	if err := receive(r, &in); err != nil {
		return nil, err
	}
	players := map[string][]types.Player{}
	for team, list := range in.Players {
		for _, p := range list {
			players[team] = append(players[team], wire(p))
		}
	}
	v, kind, err := flexmatch.Evaluate(in.Expression, in.Teams, players)
	if err != nil {
		return map[string]any{"error": err.Error()}, nil //nolint:nilerr // the error is the answer
	}
	return map[string]any{"value": finite(v), "type": kind}, nil
}

// finite makes numbers that JSON does not have into text.
func finite(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = finite(v[i])
		}
		return list
	}
	return v
}

func wire(p sim.Player) types.Player {
	m := types.Player{PlayerId: &p.ID, LatencyInMs: p.LatencyInMs, PlayerAttributes: map[string]types.AttributeValue{}}
	for name, v := range p.Attributes {
		m.PlayerAttributes[name] = types.AttributeValue{S: v.S, N: v.N, SL: v.SL, SDM: v.SDM}
	}
	return m
}

// FigureLine is a figure of each run, and what the last run changed in it.
type FigureLine struct {
	Label   string    `json:"label"`
	Unit    string    `json:"unit"`
	Values  []float64 `json:"values"`
	Change  string    `json:"change"`
	Verdict string    `json:"verdict"`
}

const (
	simulateWithin = 30 * time.Second
	mostSimulated  = 20_000 // tickets
	mostRecorded   = 5_000
)

// simulate plays a stream through one rule set or several, and gives the report: what would
// this change do.
func (s *Server) simulate(_ http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		Rules []struct {
			Label string `json:"label"`
			Rules string `json:"rules"`
		} `json:"rules"`
		Profile    string  `json:"profile"`
		Matchmaker string  `json:"matchmaker"` // whose recorded tickets are played instead
		Hours      float64 `json:"hours"`
		Seed       uint64  `json:"seed"`
		Greedy     bool    `json:"greedy"` // play the first rule set by the greedy matcher too
	}
	if err := receive(r, &in); err != nil {
		return nil, err
	}
	// It costs minutes of a core, so it is for those who may change things.
	if _, err := s.caller(r); err != nil {
		return nil, err
	}
	if len(in.Rules) == 0 || len(in.Rules) > 3 {
		return nil, badRequest("one to three rule sets are played")
	}
	if !s.busy.TryLock() {
		return nil, &refusal{http.StatusTooManyRequests, "Busy", "another simulation runs; try again in a moment"}
	}
	defer s.busy.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), simulateWithin)
	defer cancel()
	stream, err := s.streamOf(r, in.Profile, in.Matchmaker, in.Hours, in.Seed)
	if err != nil {
		return nil, err
	}
	var results []*sim.Result
	play := func(label, body string, greedy bool) error {
		rules, err := sim.ParseRules(label, []byte(body))
		if err != nil {
			return badRequest(label + ": " + err.Error())
		}
		result, err := sim.Play(ctx, sim.Options{Rules: rules, Stream: stream, Label: label, Seed: in.Seed, Greedy: greedy, Explain: 60})
		if err != nil && ctx.Err() != nil && r.Context().Err() == nil {
			return badRequest(fmt.Sprintf("%s: it was not through within %s; try fewer hours", label, simulateWithin))
		}
		if err != nil {
			return badRequest(label + ": " + err.Error())
		}
		results = append(results, result)
		return nil
	}
	for _, rules := range in.Rules {
		if err := play(rules.Label, rules.Rules, false); err != nil {
			return nil, err
		}
	}
	if in.Greedy {
		if err := play(in.Rules[0].Label+", greedy", in.Rules[0].Rules, true); err != nil {
			return nil, err
		}
	}
	report := sim.NewReport("Rule workshop", in.Seed, results...)
	figures := []FigureLine{}
	for _, f := range report.Figures() {
		figures = append(figures, FigureLine{f.Label, f.Unit, f.Values, f.Change(), f.Verdict()})
	}
	return map[string]any{"report": report, "figures": figures}, nil
}

func (s *Server) streamOf(r *http.Request, profile, matchmaker string, hours float64, seed uint64) (*sim.Stream, error) {
	if matchmaker != "" {
		return s.recorded(r, matchmaker)
	}
	p, err := sim.ParseProfile([]byte(profile))
	if err != nil {
		return nil, badRequest("profile: " + err.Error())
	}
	length := p.Hours
	if hours > 0 {
		length = hours
	}
	if rate := p.Arrivals.TicketsPerHour; rate*length > mostSimulated {
		length = mostSimulated / rate
	}
	stream, err := p.Generate(seed, length)
	if err != nil {
		return nil, badRequest("profile: " + err.Error())
	}
	if len(stream.Tickets) > 2*mostSimulated {
		return nil, badRequest(fmt.Sprintf("profile: it draws %d tickets, and at most %d are played here; matchyard flexmatch simulate plays more", len(stream.Tickets), mostSimulated))
	}
	return stream, nil
}

// recorded is a stream of the latest tickets of a configuration.
func (s *Server) recorded(r *http.Request, matchmaker string) (*sim.Stream, error) {
	if s.Matchmaking == nil {
		return nil, noMatchmaking
	}
	var list []matchmaking.Recorded
	err := s.DB.Read(r.Context(), func(tx *store.Tx) (err error) {
		list, err = s.Matchmaking.RecordedTx(tx, matchmaker, mostRecorded)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, badRequest("matchmaker " + matchmaker + " had no tickets yet")
	}
	var lines bytes.Buffer
	out := json.NewEncoder(&lines)
	for _, t := range list {
		line := sim.Ticket{ID: t.ID, At: t.Start.Sub(list[0].Start).Seconds(), Players: []sim.Player{}}
		for _, p := range t.Players {
			v := sim.Player{ID: deref(p.PlayerId), LatencyInMs: p.LatencyInMs, Attributes: map[string]sim.Value{}}
			for name, a := range p.PlayerAttributes {
				v.Attributes[name] = sim.Value{S: a.S, N: a.N, SL: a.SL, SDM: a.SDM}
			}
			line.Players = append(line.Players, v)
		}
		if err := out.Encode(line); err != nil {
			return nil, err
		}
	}
	stream, err := sim.ReadStream(&lines)
	if err != nil {
		return nil, badRequest("the recorded tickets cannot be played: " + err.Error())
	}
	stream.Name = matchmaker
	return stream, nil
}
