package console

import (
	"math"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/store"
)

// noMatchmaking is what a server without matchmaking answers.
var noMatchmaking = &refusal{http.StatusNotFound, "NoMatchmaking", "this server has no matchmaking"}

func (s *Server) matchmakers(r *http.Request) (any, error) {
	type line struct {
		Name       string `json:"name"`
		RuleSet    string `json:"ruleSet"`
		Standalone bool   `json:"standalone"`
		Acceptance bool   `json:"acceptance"`
		Timeout    int64  `json:"timeout"` // seconds
		Waiting    int64  `json:"waiting"`
		Held       int64  `json:"held"`
	}
	lines := []line{}
	if s.Matchmaking == nil {
		return map[string]any{"matchmakers": lines}, nil
	}
	err := s.DB.Read(r.Context(), func(tx *store.Tx) error {
		lines = []line{}
		list, err := s.Matchmaking.LinesTx(tx)
		for _, m := range list {
			lines = append(lines, line{m.Name, m.RuleSet, m.Standalone, m.Acceptance, int64(m.Timeout / time.Second), m.Waiting, m.Held})
		}
		return err
	})
	return map[string]any{"matchmakers": lines}, err
}

// MatchmakerView is how a matchmaking configuration did over a time.
type MatchmakerView struct {
	Name     string       `json:"name"`
	RuleSet  string       `json:"ruleSet"`
	Span     int64        `json:"span"` // seconds
	Waiting  int          `json:"waiting"`
	Held     int          `json:"held"`
	Ended    int          `json:"ended"`
	Cut      bool         `json:"cut"`
	P50      int64        `json:"p50"` // milliseconds that COMPLETED tickets took, as the next
	P95      int64        `json:"p95"`
	Ages     []Bin        `json:"ages"`  // seconds, of those that wait
	Waits    []Bin        `json:"waits"` // seconds, of those that were completed
	Outcomes []Tally      `json:"outcomes"`
	Sizes    []Tally      `json:"sizes"`   // players of a match
	Over     []WaitPoint  `json:"over"`    // waits over the time
	Measure  string       `json:"measure"` // the number attribute that matches are judged by; "" for none
	Spreads  []Bin        `json:"spreads"` // of matches: greatest less least of that number
	Spread   float64      `json:"spread"`  // their mean
	Tickets  []TicketLine `json:"tickets"`
}

// WaitPoint is the mean wait of the tickets that ended in a part of the time.
type WaitPoint struct {
	At      int64   `json:"at"`
	Wait    float64 `json:"wait"` // seconds
	Matched int     `json:"matched"`
	Failed  int     `json:"failed"`
}

// TicketLine is a ticket.
type TicketLine struct {
	ID       string   `json:"id"`
	Status   string   `json:"status"`
	Reason   string   `json:"reason"`
	Players  []string `json:"players"`
	Backfill bool     `json:"backfill"`
	Match    string   `json:"match"`
	Started  int64    `json:"started"`
	Ended    int64    `json:"ended"`
}

const (
	mostTickets  = 5000 // that figures are made of
	shownTickets = 300
	waitParts    = 60
)

func (s *Server) matchmaker(r *http.Request) (any, error) {
	name, err := needed(r, "name")
	if err != nil {
		return nil, err
	}
	span, err := spanOf(r, time.Hour)
	if err != nil {
		return nil, err
	}
	if s.Matchmaking == nil {
		return nil, noMatchmaking
	}
	var tickets []matchmaking.Seen
	var now int64
	var rules string
	err = s.DB.Read(r.Context(), func(tx *store.Tx) (err error) {
		now = tx.NowMs()
		if rules, _, err = s.Matchmaking.RuleSetBodyTx(tx, name); err != nil {
			return err
		}
		tickets, err = s.Matchmaking.TicketsTx(tx, name, tx.Now.Add(-span).UnixMilli(), mostTickets)
		return err
	})
	if err != nil {
		return nil, err
	}
	v := matchmakerView(tickets, span, now)
	v.Name, v.RuleSet = name, rules
	return v, nil
}

func matchmakerView(tickets []matchmaking.Seen, span time.Duration, now int64) MatchmakerView {
	v := MatchmakerView{Span: int64(span / time.Second), Tickets: []TicketLine{}}
	outcomes, matches := map[string]int{}, map[string][]types.Player{}
	var ages, waits []float64
	var took []int64
	part := span.Milliseconds() / waitParts
	over := make([]WaitPoint, waitParts)
	for i := range over {
		over[i].At = now - span.Milliseconds() + int64(i)*part
	}
	shown := 0
	for i, t := range tickets {
		if ended := t.EndedAt != 0; !ended && i < shownTickets || ended && shown < shownTickets {
			if ended {
				shown++
			}
			v.Tickets = append(v.Tickets, TicketLine{t.ID, string(t.Status), t.Reason, playerIDs(t.Players), t.Backfill, t.Match, t.StartedAt, t.EndedAt})
		}
		if t.EndedAt == 0 {
			if t.Match != "" && (t.Status == "REQUIRES_ACCEPTANCE" || t.Status == "PLACING") {
				v.Held++
				continue
			}
			v.Waiting++
			ages = append(ages, float64(now-t.StartedAt)/1000)
			continue
		}
		v.Ended++
		outcomes[string(t.Status)]++
		p := &over[min(max(int((t.EndedAt-over[0].At)/max(part, 1)), 0), waitParts-1)]
		if t.Status != "COMPLETED" {
			p.Failed++
			continue
		}
		p.Matched++
		p.Wait += float64(t.EndedAt-t.StartedAt) / 1000
		took = append(took, t.EndedAt-t.StartedAt)
		waits = append(waits, float64(t.EndedAt-t.StartedAt)/1000)
		matches[t.Match] = append(matches[t.Match], t.Players...)
	}
	for i := range over {
		if over[i].Matched > 0 {
			over[i].Wait /= float64(over[i].Matched)
		}
	}
	v.Cut = v.Waiting+v.Held == mostTickets || v.Ended == mostTickets
	v.Over = over
	v.P50, v.P95 = at(sorted(took), .5), at(sorted(took), .95)
	v.Outcomes, v.Sizes = tallies(outcomes), sizes(matches)
	v.judge(matches)
	v.Ages, v.Waits = bins(ages, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600), bins(waits, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
	return v
}

func playerIDs(players []types.Player) []string {
	ids := make([]string, len(players))
	for i, p := range players {
		ids[i] = deref(p.PlayerId)
	}
	return ids
}

// judge measures how even matches are, by the attribute skill or, where players have none, by
// the number that most of them have.
func (v *MatchmakerView) judge(matches map[string][]types.Player) {
	have := map[string]int{}
	for _, players := range matches {
		for _, p := range players {
			for name, a := range p.PlayerAttributes {
				if a.N != nil {
					have[name]++
				}
			}
		}
	}
	for _, t := range tallies(have) {
		if v.Measure == "" || t.Name == "skill" {
			v.Measure = t.Name
		}
	}
	var spreads []float64
	for _, players := range matches {
		least, most := math.Inf(1), math.Inf(-1)
		for _, p := range players {
			if n := p.PlayerAttributes[v.Measure].N; n != nil {
				least, most = min(least, *n), max(most, *n)
			}
		}
		if most >= least {
			spreads = append(spreads, most-least)
			v.Spread += most - least
		}
	}
	if len(spreads) > 0 {
		v.Spread /= float64(len(spreads))
	}
	v.Spreads = bins(spreads, 1, 5, 10, 20, 50, 100, 200, 400, 800)
}

// ticket tells why a ticket is where it is.
func (s *Server) ticket(r *http.Request) (any, error) {
	id, err := needed(r, "id")
	if err != nil {
		return nil, err
	}
	if s.Matchmaking == nil {
		return nil, noMatchmaking
	}
	e, err := s.Matchmaking.Explain(r.Context(), id)
	return e, err
}
