package matchmaking

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	mostProposed = 512 // tickets that one transaction of a pass matches
	mostTimedOut = 200 // tickets that one transaction times out
)

// Pass runs the pool of a configuration, if this node has its lease or can take it: tickets
// whose time is over time out, and those that match are matched. It returns when something is
// due next without anybody's doing; zero for never. Passes of one configuration follow each
// other.
func (s *Service) Pass(ctx context.Context, configuration store.Key) (next time.Time, err error) {
	p := s.pool(configuration)
	p.passing.Lock()
	defer p.passing.Unlock()
	if !s.holds(configuration) {
		ok, err := s.lease(ctx, p, leaseLife)
		if !ok {
			p.forget()
			return time.Time{}, err
		}
	}
	if err := s.refill(ctx, p); err != nil {
		p.forget()
		if errors.As(err, new(*types.NotFoundException)) {
			return time.Time{}, nil // the configuration was deleted, so it has no tickets
		}
		return time.Time{}, err
	}
	if err := s.timeOut(ctx, p); err != nil {
		return time.Time{}, err
	}
	if err := s.matchAll(ctx, p); err != nil {
		return time.Time{}, err
	}
	next = p.due(s.DB.Now())
	p.mu.Lock()
	p.next = next
	p.mu.Unlock()
	return next, nil
}

// matchAll makes the matches that are possible now.
func (s *Service) matchAll(ctx context.Context, p *pool) error {
	for {
		found := p.engine.Pass(s.DB.Now())
		broken, err := s.propose(ctx, p, found)
		if err != nil || !broken {
			return err
		}
	}
}

// propose writes the matches of a pass, some a transaction. broken says that some came to
// nothing: their other tickets are in the pool again.
func (s *Service) propose(ctx context.Context, p *pool, found []flexmatch.Match) (broken bool, err error) {
	list := make([]*match, len(found))
	for i := range found {
		list[i] = p.matchOf(&found[i])
	}
	var fresh []*ticket
	taken := map[string]bool{}
	for _, m := range list {
		for _, t := range m.tickets {
			taken[t.ID] = true
		}
	}
	for id := range p.unseen {
		if !taken[id] {
			fresh = append(fresh, p.tickets[id])
		}
	}
	slices.SortFunc(fresh, func(a, b *ticket) int { return int(a.key - b.key) })
	for len(list) > 0 || len(fresh) > 0 {
		n, tickets := 0, 0
		for n < len(list) && tickets < mostProposed {
			tickets += len(list[n].tickets)
			n++
		}
		k := min(len(fresh), max(0, mostProposed-tickets))
		bad, err := s.proposeSome(ctx, p, list[:n], fresh[:k])
		if err != nil {
			for _, m := range list {
				p.putBack(m)
			}
			return broken, err
		}
		broken = broken || bad
		list, fresh = list[n:], fresh[k:]
	}
	return broken, nil
}

func (s *Service) proposeSome(ctx context.Context, p *pool, list []*match, fresh []*ticket) (broken bool, err error) {
	var made []bool
	var gone map[store.Key]bool
	if err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		made, gone, err = s.proposeTx(tx, p.c, list, fresh)
		return err
	}); err != nil {
		return false, err
	}
	for i, m := range list {
		if made[i] {
			for _, t := range m.tickets {
				p.drop(t.ID)
			}
			continue
		}
		broken = true
		failed := !slices.ContainsFunc(m.tickets, func(t *ticket) bool { return gone[t.key] })
		for _, t := range m.tickets {
			if gone[t.key] || failed && t.Backfill { // of a failed one, only the backfill has ended
				p.drop(t.ID)
			}
		}
		p.putBack(m)
	}
	for _, t := range fresh {
		if gone[t.key] {
			p.drop(t.ID)
			continue
		}
		c := t.clone() // others may look at t
		c.status, c.Status = searching, statuses[searching]
		p.tickets[t.ID] = c
		delete(p.unseen, t.ID)
	}
	return broken, nil
}

// matchOf is a match as the transaction needs it.
func (p *pool) matchOf(f *flexmatch.Match) *match {
	m := &match{teams: map[string]string{}, metrics: f.Metrics, hint: f.Location()}
	for _, t := range f.Tickets {
		m.tickets = append(m.tickets, p.tickets[t.ID])
	}
	for _, t := range f.Teams {
		for _, pl := range t.Players {
			m.teams[*pl.PlayerId] = t.Name
		}
	}
	return m
}

// putBack gives tickets that the engine has matched back to it, as far as the pool has them.
func (p *pool) putBack(m *match) {
	for _, t := range m.tickets {
		if p.tickets[t.ID] != nil {
			if _, there := p.engine.Ticket(t.ID); !there {
				p.engine.Add(t.request())
			}
		}
	}
}

// timeOut ends the tickets of a pool whose time is over, with the reason why they were not
// matched.
func (s *Service) timeOut(ctx context.Context, p *pool) error {
	now := s.DB.Now()
	p.earn(now)
	for {
		list := p.overdue(now, mostTimedOut)
		if len(list) == 0 {
			return nil
		}
		why := map[store.Key]string{}
		metrics := map[string][]flexmatch.RuleMetric{}
		keys := make([]int64, len(list))
		for i, t := range list {
			keys[i] = int64(t.key)
			metrics[t.ID] = p.engine.Metrics(t.ID)
			about := reason{Rules: metrics[t.ID]}
			if p.pay() {
				if e, ok := p.engine.Explain(t.ID, now); ok {
					about.Why = &e
				}
			}
			text, err := json.Marshal(about)
			if err != nil {
				return err
			}
			why[t.key] = string(text)
		}
		if err := s.DB.Write(ctx, func(tx *store.Tx) error { return s.timeOutTx(tx, p.c, keys, metrics, why) }); err != nil {
			p.forget() // its deadlines are gone
			return err
		}
		for _, t := range list {
			p.drop(t.ID)
		}
	}
}

// An explanation searches the pool several times, while its tickets wait: it costs as much as
// the pool is large. So a pool has credit for a burst of them, and earns it back slowly.
const (
	mostCredit   = 100_000 // tickets looked at
	creditSecond = 2_000
)

func (p *pool) earn(now time.Time) {
	if p.creditAt.IsZero() {
		p.credit = mostCredit
	} else {
		p.credit = min(mostCredit, p.credit+creditSecond*now.Sub(p.creditAt).Seconds())
	}
	p.creditAt = now
}

// pay tells whether an explanation can be afforded, and takes its price.
func (p *pool) pay() bool {
	price := float64(p.engine.Len() + 10)
	if p.credit < price && p.credit < mostCredit {
		return false
	}
	p.credit -= price
	return true
}

// timeOutTx ends those of the tickets that wait still.
func (s *Service) timeOutTx(tx *store.Tx, c configuration, keys []int64, metrics map[string][]flexmatch.RuleMetric, why map[store.Key]string) error {
	slices.Sort(keys)
	list, err := holdTickets(tx, keys)
	if err != nil {
		return err
	}
	w := s.work(tx, c)
	var goOn []match
	var rows [][]any
	for _, t := range list {
		if !t.Waiting() {
			continue
		}
		if t.kind == automatic {
			m, err := w.renew(t)
			if err != nil {
				return err
			}
			goOn = append(goOn, m)
		}
		w.touched = append(w.touched, t)
		if metrics[t.ID] != nil {
			w.metrics[t.ID] = metrics[t.ID]
		}
		if t.status == queued { // it was never looked at
			if err := w.emit(w.rules.Search(&t.Ticket, tx.Now)); err != nil {
				return err
			}
		}
		if err := w.emit(w.rules.TimeOut(&t.Ticket, tx.Now)); err != nil {
			return err
		}
		if text := why[t.key]; text != "" {
			rows = append(rows, []any{t.key, text})
		}
	}
	if err := tx.InsertMany(`INSERT INTO matchmaking_explanation (ticket, text) VALUES ($1, $2)`, rows); err != nil {
		return err
	}
	if err := w.save(); err != nil {
		return err
	}
	for i := range goOn {
		if goOn[i].next != "" {
			if err := w.takeAutomatic(goOn[i].next, goOn[i].game, goOn[i].tickets[0].wire); err != nil {
				return err
			}
		}
	}
	return nil
}

// metricsOf are the rule evaluations of a ticket in this node's pool, for the event of its
// end; nil where nobody wants that or the ticket is not here.
func (s *Service) metricsOf(ctx context.Context, id string) []flexmatch.RuleMetric {
	if s.Events == nil || s.Events.Route == nil {
		return nil
	}
	var t *ticket
	var c configuration
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if t, err = ticketByID(tx, id); err == nil {
			c, err = s.configurationForTx(tx, t)
		}
		return err
	}); err != nil {
		return nil // the call itself will say so
	}
	if !s.Events.Wanted(eventType, lifecycle.MatchmakingCancelled, targetOf(c)) {
		return nil
	}
	p := s.existingPool(t.configuration)
	if p == nil {
		return nil
	}
	p.passing.Lock()
	defer p.passing.Unlock()
	if p.engine == nil || p.tickets[id] == nil {
		return nil
	}
	return p.engine.Metrics(id)
}
