package matchmaking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
	"github.com/matchyard/matchyard/internal/store"
)

// Explanation tells why a ticket is where it is.
type Explanation struct {
	TicketID      string
	Configuration string
	Status        string
	StatusReason  string `json:",omitempty"`
	StatusMessage string `json:",omitempty"`
	StartTime     time.Time
	EndTime       *time.Time `json:",omitempty"`
	Deadline      *time.Time `json:",omitempty"` // of one that waits: when it times out
	MatchID       string     `json:",omitempty"`
	Players       int

	// Why is why a ticket that waits is not matched, or why one that timed out was not, and
	// Text the same in words. Of many that time out at once in a large pool, some have only
	// Rules: how often rules failed in the searches around the ticket.
	Why   *flexmatch.Explanation `json:",omitempty"`
	Rules []flexmatch.RuleMetric `json:",omitempty"`
	Text  string
}

// reason is what is kept of a ticket that timed out.
type reason struct {
	Why   *flexmatch.Explanation `json:",omitempty"`
	Rules []flexmatch.RuleMetric `json:",omitempty"`
}

// Explain tells why a ticket waits, or why it timed out. The error is a NotFoundException
// when there is none of that id.
func (s *Service) Explain(ctx context.Context, ticketID string) (Explanation, error) {
	var t *ticket
	var text *string
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		text = nil
		if t, err = knownTicket(tx, ticketID); err != nil {
			return err
		}
		if t.Status == lifecycle.TimedOut {
			err = tx.QueryRow(`SELECT text FROM matchmaking_explanation WHERE ticket = $1`, t.key).Scan(&text)
			if errors.Is(err, store.ErrNoRows) {
				err = nil
			}
		}
		return err
	})
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{
		TicketID: t.ID, Configuration: t.name, Status: string(t.Status), StatusReason: t.Reason, StatusMessage: t.Message,
		StartTime: t.Start, MatchID: t.MatchID, Players: len(t.wire),
	}
	if !t.End.IsZero() {
		e.EndTime = &t.End
	}
	switch {
	case t.Waiting():
		e.Deadline = new(t.until)
		return e, s.explainWaiting(ctx, &e, t)
	case text != nil:
		var r reason
		if err := json.Unmarshal([]byte(*text), &r); err != nil {
			return e, fmt.Errorf("explanation of ticket %s: %w", t.ID, err)
		}
		e.Why, e.Rules, e.Text = r.Why, r.Rules, failures(r.Rules)
		if r.Why != nil {
			e.Text = r.Why.String()
		}
	case t.Status == lifecycle.TimedOut:
		e.Text = "It found no match in time. No node ran its pool then."
	case t.Status == lifecycle.RequiresAcceptance:
		e.Text = "It is in a proposed match that its players have to accept."
	case t.Status == lifecycle.Placing:
		e.Text = "Its match is being placed: placement " + t.MatchID + " tells how that goes."
	case t.Message != "":
		e.Text = t.Message
	default:
		e.Text = "It was matched."
	}
	return e, nil
}

// explainWaiting asks the pool: this node's or, on another node, a copy made of the rows.
func (s *Service) explainWaiting(ctx context.Context, e *Explanation, t *ticket) error {
	p := s.existingPool(t.configuration)
	if p == nil || !s.holds(t.configuration) {
		p = &pool{key: t.configuration}
	}
	p.passing.Lock()
	defer p.passing.Unlock()
	if !p.loaded || p.tickets[t.ID] == nil {
		if err := s.readRows(ctx, p, false); err != nil {
			return err
		}
	}
	why, ok := p.engine.Explain(t.ID, s.DB.Now())
	if !ok {
		e.Text = "It was matched, or has ended, at this moment."
		return nil
	}
	e.Why, e.Rules, e.Text = &why, p.engine.Metrics(t.ID), why.String()
	return nil
}

// failures are rule evaluations in words.
func failures(list []flexmatch.RuleMetric) string {
	var b strings.Builder
	b.WriteString("It found no match in time. Too many tickets timed out at once to look into each.")
	for _, m := range list {
		if m.Failed > 0 {
			_, _ = fmt.Fprintf(&b, " Rule %s failed %d of %d times.", m.Name, m.Failed, m.Passed+m.Failed)
		}
	}
	return b.String()
}
