package console

import (
	"cmp"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/flexmatch"
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

		// Of the last hour, at most of its latest 200 tickets.
		Ended     int        `json:"ended"`
		Matched   int        `json:"matched"`
		P50       int64      `json:"p50"` // milliseconds
		Accepts   Acceptance `json:"accepts"`
		Attribute string     `json:"attribute"`
		Spread    float64    `json:"spread"`
	}
	lines := []line{}
	if s.Matchmaking == nil {
		return map[string]any{"matchmakers": lines}, nil
	}
	err := s.DB.Read(r.Context(), func(tx *store.Tx) error {
		lines = []line{}
		list, err := s.Matchmaking.LinesTx(tx)
		if err != nil {
			return err
		}
		for _, m := range list {
			l := line{Name: m.Name, RuleSet: m.RuleSet, Standalone: m.Standalone, Acceptance: m.Acceptance, Timeout: int64(m.Timeout / time.Second), Waiting: m.Waiting, Held: m.Held}
			tickets, err := s.Matchmaking.TicketsTx(tx, m.Name, tx.Now.Add(-time.Hour).UnixMilli(), listedTickets)
			if err != nil {
				return err
			}
			v := matchmakerView(tickets, time.Hour, tx.NowMs(), s.Home.Region, m.Acceptance, nil)
			l.Ended, l.P50, l.Accepts, l.Attribute, l.Spread = v.Ended, v.P50, v.Accepts, v.Quality.Attribute, v.Quality.Spread.Mean
			for _, o := range v.Outcomes {
				if o.Name == "COMPLETED" {
					l.Matched = o.Count
				}
			}
			lines = append(lines, l)
		}
		return nil
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
	Reasons  []Tally      `json:"reasons"` // of those that were not completed
	Sizes    []Tally      `json:"sizes"`   // players of a match
	Over     []WaitPoint  `json:"over"`    // waits over the time
	Accepts  Acceptance   `json:"accepts"`
	Quality  Quality      `json:"quality"`
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
	mostTickets   = 5000 // that figures are made of
	listedTickets = 200  // that a line of the list is made of
	shownTickets  = 300
)

func (s *Server) matchmaker(r *http.Request) (any, error) {
	name, err := needed(r, "name")
	if err != nil {
		return nil, err
	}
	span, err := spanOf(r)
	if err != nil {
		return nil, err
	}
	if s.Matchmaking == nil {
		return nil, noMatchmaking
	}
	var tickets []matchmaking.Seen
	var now int64
	var ruleSet, body string
	var asks bool
	err = s.DB.Read(r.Context(), func(tx *store.Tx) (err error) {
		now = tx.NowMs()
		if ruleSet, body, err = s.Matchmaking.RuleSetBodyTx(tx, name); err != nil {
			return err
		}
		lines, err := s.Matchmaking.LinesTx(tx)
		if err != nil {
			return err
		}
		for _, l := range lines {
			asks = asks || l.Name == name && l.Acceptance
		}
		tickets, err = s.Matchmaking.TicketsTx(tx, name, tx.Now.Add(-span).UnixMilli(), mostTickets)
		return err
	})
	if err != nil {
		return nil, err
	}
	rules, _ := flexmatch.Parse(body) // it was valid when it came
	v := matchmakerView(tickets, span, now, s.Home.Region, asks, rules)
	v.Name, v.RuleSet = name, ruleSet
	return v, nil
}

func matchmakerView(tickets []matchmaking.Seen, span time.Duration, now int64, home string, asks bool, rules *flexmatch.RuleSet) MatchmakerView {
	v := MatchmakerView{Span: int64(span / time.Second), Tickets: []TicketLine{}}
	outcomes, reasons, matches := map[string]int{}, map[string]int{}, map[string][]matchmaking.Seen{}
	var ages, waits []float64
	var took []int64
	parts := partsOf(span, now)
	over := make([]WaitPoint, len(parts))
	for i := range over {
		over[i].At = parts[i]
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
		p := &over[partOf(parts, t.EndedAt)]
		if t.Status != "COMPLETED" {
			reasons[cmp.Or(t.Reason, string(t.Status))]++
			p.Failed++
			continue
		}
		p.Matched++
		p.Wait += float64(t.EndedAt-t.StartedAt) / 1000
		took = append(took, t.EndedAt-t.StartedAt)
		waits = append(waits, float64(t.EndedAt-t.StartedAt)/1000)
		matches[t.Match] = append(matches[t.Match], t)
	}
	for i := range over {
		if over[i].Matched > 0 {
			over[i].Wait /= float64(over[i].Matched)
		}
	}
	v.Cut = v.Waiting+v.Held == mostTickets || v.Ended == mostTickets
	v.Over = over
	v.P50, v.P95 = at(sorted(took), .5), at(sorted(took), .95)
	v.Outcomes, v.Reasons, v.Sizes = tallies(outcomes), tallies(reasons), sizes(matches)
	v.Accepts, v.Quality = acceptanceOf(tickets, asks), qualityOf(matches, home, rules)
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
