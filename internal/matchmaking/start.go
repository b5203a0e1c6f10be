package matchmaking

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	mostPlayers    = 10  // of a ticket (flexmatch.md 1.9)
	mostBackfilled = 199 // of a backfill ticket
)

// StartMatchmaking takes a ticket in; it is QUEUED. An older ticket that has one of its
// players is cancelled, unless its match is being placed already: then that goes on, and only
// its return to the search is cancelled (flexmatch.md 2.9). The calls of many callers share a
// transaction.
func (s *Service) StartMatchmaking(ctx context.Context, in *gamelift.StartMatchmakingInput) (*gamelift.StartMatchmakingOutput, error) {
	list, err := checkPlayers(in.Players, mostPlayers)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Team = nil // only backfills say where players are
	}
	c, err := newStarting(in.TicketId, *in.ConfigurationName, list)
	if err != nil {
		return nil, err
	}
	s.startOnce.Do(func() { s.starts.DB, s.starts.Run = s.DB, s.startTx })
	var out started
	if err := settle(func() (err error) {
		out, err = s.starts.Do(ctx, c)
		return err
	}); err != nil {
		return nil, err
	}
	s.handOver(out.ticket)
	return &gamelift.StartMatchmakingOutput{MatchmakingTicket: new(s.ticketModel(out.ticket, out.wait, nil))}, nil
}

// starting is a request, checked in form. It does not change.
type starting struct {
	id            string // "" for one that is made
	configuration string // name
	kind          kind
	players       []types.Player
	prints        []int64 // of the players
	text          string  // the players, as the row has them
	game          string  // ARN of the game session, of a backfill that names one
	process       store.Key
}

// started is the answer. The ticket does not change any more: it is the pool's, too.
type started struct {
	ticket *ticket
	wait   *int32
}

func newStarting(id *string, configuration string, list []types.Player) (*starting, error) {
	c := &starting{players: list, prints: make([]int64, len(list))}
	if id != nil {
		c.id = *id
	}
	var err error
	if c.configuration, err = parseName("ConfigurationName", configurationKind, configuration); err != nil {
		return nil, err
	}
	for i, p := range list {
		c.prints[i] = fingerprint(*p.PlayerId)
	}
	c.text, err = keep(list)
	return c, err
}

// intake is the work of one transaction that takes tickets in.
type intake struct {
	s              *Service
	tx             *store.Tx
	configurations map[string]*configuration
	waits          map[store.Key]*int32
	notified       map[store.Key]bool

	// Tickets that are not written yet, and the players in them.
	list  []*ticket
	texts []string
	calls []*starting
	with  map[int64]bool
}

// startTx takes tickets in, in the order of their arrival.
func (s *Service) startTx(tx *store.Tx, calls []*starting) ([]started, []error, error) {
	out, errs := make([]started, len(calls)), make([]error, len(calls))
	ids := make([]string, 0, len(calls))
	for _, c := range calls {
		if c.id != "" {
			ids = append(ids, c.id)
		}
	}
	used := map[string]bool{}
	if len(ids) > 0 {
		var err error
		if used, err = usedTicketIDs(tx, ids); err != nil {
			return nil, nil, err
		}
	}
	n := &intake{
		s: s, tx: tx, configurations: map[string]*configuration{}, waits: map[store.Key]*int32{},
		notified: map[store.Key]bool{}, with: map[int64]bool{},
	}
	for i, c := range calls {
		cfg, err := n.configuration(c.configuration)
		if err != nil {
			return nil, nil, err
		}
		if errs[i], err = n.admit(c, cfg, used); err != nil {
			return nil, nil, err
		}
		if errs[i] != nil {
			continue
		}
		var game store.Key
		if c.kind == manual {
			if game, errs[i], err = n.admitBackfill(c, cfg); err != nil {
				return nil, nil, err
			}
			if errs[i] != nil {
				continue
			}
		}
		t := n.ticket(c, cfg, game)
		used[t.ID] = true
		if err := n.add(t, c, cfg); err != nil {
			return nil, nil, err
		}
		out[i] = started{t, n.waits[cfg.Key]}
	}
	return out, errs, n.flush()
}

// ticket is the new ticket of a request.
func (n *intake) ticket(c *starting, cfg *configuration, game store.Key) *ticket {
	t := &ticket{key: n.tx.NewKey(), configuration: cfg.Key, name: cfg.Name, status: queued, kind: c.kind, wire: c.players, game: game}
	t.ID, t.Status, t.Start, t.Backfill = c.id, lifecycle.Queued, n.tx.Now, c.kind != party
	t.until = t.Start.Add(cfg.RequestTimeout)
	if t.ID == "" {
		t.ID = t.key.UUID(store.Tail())
	}
	t.asSent()
	return t
}

// configuration reads and holds a configuration; nil when there is none.
func (n *intake) configuration(name string) (*configuration, error) {
	if c, known := n.configurations[name]; known {
		return c, nil
	}
	c, err := n.s.holdConfigurationTx(n.tx, name)
	if _, missing := errors.AsType[*types.NotFoundException](err); missing {
		n.configurations[name] = nil
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	n.configurations[name] = &c
	n.waits[c.Key], err = estimatedWait(n.tx, c.Key)
	return &c, err
}

// admit checks a request against what it names.
func (n *intake) admit(c *starting, cfg *configuration, used map[string]bool) (refusal, err error) {
	if cfg == nil {
		return apierr.NotFound("ConfigurationName: matchmaking configuration %s does not exist", c.configuration), nil
	}
	if c.id != "" && used[c.id] {
		return apierr.InvalidRequest("TicketId: ticket %s exists", c.id), nil
	}
	rs, err := n.s.ruleSetTx(n.tx, cfg.RuleSetKey)
	if err != nil {
		return nil, err
	}
	if err := rs.CheckAttributes(c.players); err != nil {
		return apierr.InvalidRequest("Players: %v", err), nil
	}
	return nil, nil
}

// add takes a ticket in. It is written with those that follow, until one has the same player:
// that one must find it.
func (n *intake) add(t *ticket, c *starting, cfg *configuration) error {
	for _, p := range c.prints {
		if n.with[p] {
			if err := n.flush(); err != nil {
				return err
			}
			break
		}
	}
	for _, p := range c.prints {
		n.with[p] = true
	}
	n.list, n.texts, n.calls = append(n.list, t), append(n.texts, c.text), append(n.calls, c)
	if !n.s.holds(cfg.Key) && !n.notified[cfg.Key] {
		n.notified[cfg.Key] = true
		n.s.configurationChangedTx(n.tx, cfg.Key)
	}
	return nil
}

// flush writes the tickets, which become the ones of their players.
func (n *intake) flush() error {
	if len(n.list) == 0 {
		return nil
	}
	var prints []int64
	for _, c := range n.calls {
		prints = append(prints, c.prints...)
	}
	has, err := holders(n.tx, prints)
	if err != nil {
		return err
	}
	fresh := make([][]any, 0, len(prints))
	var taken [][]any
	var older []store.Key
	for i, t := range n.list {
		exempt := n.s.Config.BackfillKeepsPlayers && t.Backfill
		for _, p := range n.calls[i].prints {
			old, is := has[p]
			switch {
			case !is:
				fresh = append(fresh, []any{p, t.key})
			case exempt || t.kind == automatic: // who searches again goes on
			default:
				taken = append(taken, []any{p, t.key})
				if !slices.Contains(older, old) {
					older = append(older, old)
				}
			}
		}
	}
	if len(older) > 0 {
		if err := n.s.supersede(n.tx, older); err != nil {
			return err
		}
		// The rows of those that were cancelled are gone with them.
		if has, err = holders(n.tx, prints); err != nil {
			return err
		}
		taken = slices.DeleteFunc(taken, func(row []any) bool {
			_, is := has[row[0].(int64)]
			if !is {
				fresh = append(fresh, row)
			}
			return !is
		})
	}
	slices.SortFunc(fresh, func(a, b []any) int { return cmp.Compare(a[0].(int64), b[0].(int64)) })
	if err := insertTickets(n.tx, n.list, n.texts); err != nil {
		return err
	}
	countStarts(n.tx, n.list)
	n.list, n.texts, n.calls = nil, nil, nil
	clear(n.with)
	return takePlayers(n.tx, fresh, taken)
}

// supersede cancels tickets whose players are in newer ones. What is being placed goes on.
func (s *Service) supersede(tx *store.Tx, keys []store.Key) error {
	list := make([]int64, len(keys))
	for i, k := range keys {
		list[i] = int64(k)
	}
	found, err := scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t WHERE `+tx.In("t.key", 1)+` ORDER BY t.match, t.key`, store.List(tx, list)))
	if err != nil {
		return err
	}
	for _, t := range found {
		if err := s.supersedeOne(tx, t.key); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) supersedeOne(tx *store.Tx, key store.Key) error {
	// Read again: the one before may have ended the match that both were in.
	t, err := scanTicket(tx.QueryRow(`SELECT `+ticketColumns+` FROM matchmaking_ticket t WHERE t.key = $1`, key))
	if err != nil {
		return err
	}
	if t.Final() || s.Config.BackfillKeepsPlayers && t.Backfill {
		return nil
	}
	h, err := holdTx(tx, t)
	if err != nil {
		return err
	}
	if h.status == placing || h.Final() {
		return nil
	}
	c, err := s.configurationByKeyTx(tx, h.configuration)
	if err != nil {
		return err
	}
	w := s.work(tx, c)
	p := h.proposal()
	if err := w.emit(w.rules.Duplicate(&h.Ticket, p, tx.Now)); err != nil {
		return err
	}
	if p != nil {
		w.touch(h.match...)
		if err := deleteMatch(tx, h.row.key); err != nil {
			return err
		}
	}
	w.touch(h.ticket)
	return w.save()
}
