package matchmaking

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// StartMatchBackfill takes a ticket in that looks for players for a running game session. It
// replaces one that the game session has (flexmatch.md 2.10).
func (s *Service) StartMatchBackfill(ctx context.Context, in *gamelift.StartMatchBackfillInput) (*gamelift.StartMatchBackfillOutput, error) {
	c, err := newBackfill(in.TicketId, *in.ConfigurationName, in.Players)
	if err != nil {
		return nil, err
	}
	if in.GameSessionArn != nil {
		c.game = *in.GameSessionArn
	}
	out, err := s.startBackfill(ctx, c)
	if err != nil {
		return nil, err
	}
	return &gamelift.StartMatchBackfillOutput{MatchmakingTicket: new(s.ticketModel(out.ticket, out.wait, nil))}, nil
}

// Backfill is a game server's request for players.
type Backfill struct {
	TicketID      string // "" for one that is made
	Configuration string // ARN
	GameSession   string // ARN
	Players       []types.Player
}

// StartBackfill is a process's StartMatchBackfill: as the operation, for the game session that
// the process hosts (server-sdk-protocol.md 3.3).
func (s *Service) StartBackfill(ctx context.Context, process store.Key, b Backfill) (ticketID string, err error) {
	var id *string
	if b.TicketID != "" {
		id = &b.TicketID
	}
	c, err := newBackfill(id, b.Configuration, b.Players)
	if err != nil {
		return "", err
	}
	c.game, c.process = b.GameSession, process
	out, err := s.startBackfill(ctx, c)
	if err != nil {
		return "", err
	}
	return out.ticket.ID, nil
}

// StopBackfill is a process's StopMatchBackfill: it cancels a backfill ticket of the game
// session that the process hosts. One that has ended already is left as it is.
func (s *Service) StopBackfill(ctx context.Context, process store.Key, configuration, gameSession, ticketID string) error {
	name, err := parseName("MatchmakingConfigurationArn", configurationKind, configuration)
	if err != nil {
		return err
	}
	metrics := s.metricsOf(ctx, ticketID)
	return settle(func() error {
		return s.DB.Write(ctx, func(tx *store.Tx) error {
			t, err := knownTicket(tx, ticketID)
			if err != nil {
				return err
			}
			m, err := s.Sessions.MatchedTx(tx, gameSession)
			if errors.Is(err, store.ErrNoRows) {
				return apierr.NotFound("GameSessionArn: game session %s does not exist", gameSession)
			}
			if err != nil {
				return err
			}
			if m.Process != process || !t.Backfill || t.game != m.Key || t.name != name {
				return apierr.InvalidRequest("TicketId: ticket %s is no backfill of game session %s by configuration %s", ticketID, gameSession, name)
			}
			h, err := holdTx(tx, t)
			if err != nil || h.Final() {
				return err
			}
			return s.stopTx(tx, h, metrics)
		})
	})
}

func newBackfill(id *string, configuration string, list []types.Player) (*starting, error) {
	list, err := checkPlayers(list, mostBackfilled)
	if err != nil {
		return nil, err
	}
	c, err := newStarting(id, configuration, list)
	if err == nil {
		c.kind = manual
	}
	return c, err
}

func (s *Service) startBackfill(ctx context.Context, c *starting) (out started, err error) {
	err = settle(func() error {
		return s.DB.Write(ctx, func(tx *store.Tx) error {
			list, errs, err := s.startTx(tx, []*starting{c})
			if err == nil {
				err = errs[0]
			}
			if err == nil {
				out = list[0]
			}
			return err
		})
	})
	if err == nil {
		s.handOver(out.ticket)
	}
	return out, err
}

// admitBackfill checks a backfill request, finds its game session and cancels the request
// that it replaces.
func (n *intake) admitBackfill(c *starting, cfg *configuration) (game store.Key, refusal, err error) {
	rs, err := n.s.ruleSetTx(n.tx, cfg.RuleSetKey)
	if err != nil {
		return 0, nil, err
	}
	teams := rs.TeamNames()
	for i, p := range c.players {
		if p.Team == nil || !slices.Contains(teams, *p.Team) {
			return 0, apierr.InvalidRequest("Players[%d].Team: it must be one of the rule set's teams: %s", i, strings.Join(teams, ", ")), nil
		}
	}
	if cfg.Standalone {
		return 0, nil, nil
	}
	if c.game == "" {
		return 0, apierr.InvalidRequest("GameSessionArn: it is required, since configuration %s places matches with queues", cfg.Name), nil
	}
	m, err := n.s.Sessions.MatchedTx(n.tx, c.game)
	if errors.Is(err, store.ErrNoRows) {
		return 0, apierr.NotFound("GameSessionArn: game session %s does not exist", c.game), nil
	}
	if err != nil {
		return 0, nil, err
	}
	switch {
	case c.process != 0 && m.Process != c.process:
		return 0, apierr.InvalidRequest("GameSessionArn: game session %s runs on another process", c.game), nil
	case m.Status != types.GameSessionStatusActive:
		return 0, apierr.InvalidRequest("GameSessionArn: game session %s is %s, and backfill needs an ACTIVE one", c.game, m.Status), nil
	case m.Matchmaker == nil:
		return 0, apierr.InvalidRequest("GameSessionArn: game session %s was not made by a matchmaker", c.game), nil
	}
	return m.Key, nil, n.s.stopBackfills(n.tx, m.Key)
}

// stopBackfills cancels the tickets that look for players for a game session.
func (s *Service) stopBackfills(tx *store.Tx, game store.Key) error {
	list, err := scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t WHERE t.game = $1 AND t.status <= 5 ORDER BY t.key`, game))
	if err != nil {
		return err
	}
	for _, t := range list {
		h, err := holdTx(tx, t)
		if err != nil {
			return err
		}
		if h.Final() {
			continue
		}
		if err := s.stopTx(tx, h, nil); err != nil {
			return err
		}
	}
	return nil
}

// join seats the new players of a backfill match in its game session. ok is false when it
// takes no players, or not so many.
func (w *work) join(m *match) (ok bool, err error) {
	b := m.backfill()
	g, err := w.s.Sessions.HoldMatchedTx(w.tx, b.game)
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	rs, err := w.s.ruleSetTx(w.tx, w.c.RuleSetKey)
	if err != nil {
		return false, err
	}
	r := rosterOf(rs, m.tickets)
	m.game = b.game
	if w.goesOn(rs, r) {
		m.next = w.automaticID()
	}
	var seats []session.Seat
	for _, t := range m.party() {
		for _, p := range t.Players {
			seats = append(seats, session.Seat{Player: p.ID})
		}
	}
	data := matchmakerData(matchID(m.key), w.s.resource(configurationKind, w.c.Name), rs, r, w.c.Backfill, m.next)
	ids, ok, err := w.s.Sessions.BackfillTx(w.tx, g, seats, data, b.ID)
	if err != nil || !ok {
		m.next = ""
		return false, err
	}
	sessions := make(map[string]string, len(ids))
	for i, id := range ids {
		sessions[seats[i].Player] = id
	}
	w.seated(m, connection{Game: string(g.ARN), IP: g.IP, DNS: g.DNS, Port: g.Port}, sessions)
	return true, nil
}

func (w *work) automatic() bool {
	return !w.c.Standalone && w.c.Backfill == types.BackfillModeAutomatic
}

// goesOn tells whether a game session with these players is to be filled automatically: while
// slots were never taken or, by the switch, as long as it is there.
func (w *work) goesOn(rs *flexmatch.RuleSet, r roster) bool {
	return w.automatic() && (w.s.Config.BackfillRefills || r.players() < rs.Slots()-w.c.additional())
}

// refillAll looks who has left the game sessions that automatic backfill keeps full, so that
// their slots are filled again (Config.BackfillRefills).
func (s *Service) refillAll(ctx context.Context) error {
	if !s.Config.BackfillRefills {
		return nil
	}
	for after := store.Key(0); ; {
		var keys []store.Key
		if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
			keys, err = store.Column[store.Key](tx.Query(`SELECT key FROM matchmaking_ticket
				WHERE game IS NOT NULL AND key > $1 AND kind = $2 AND ended_at IS NULL ORDER BY key LIMIT $3`, after, automatic, sweepBatch))
			return err
		}); err != nil || len(keys) == 0 {
			return err
		}
		after = keys[len(keys)-1]
		for _, key := range keys {
			if err := s.DB.Write(ctx, func(tx *store.Tx) error { return s.refillTx(tx, key) }); err != nil {
				return err
			}
		}
	}
}

// refillTx takes those off an automatic backfill ticket who have left its game session. The
// last one stays: a request without players would not say which teams they were.
func (s *Service) refillTx(tx *store.Tx, key store.Key) error {
	list, err := holdTickets(tx, []int64{int64(key)})
	if err != nil || len(list) == 0 || !list[0].Waiting() {
		return err
	}
	t := list[0]
	there, err := s.Sessions.AttendingTx(tx, t.game)
	if err != nil {
		return err
	}
	var stay []types.Player
	var left [][]any
	for _, p := range t.wire {
		if there[*p.PlayerId] {
			stay = append(stay, p)
		} else {
			left = append(left, []any{fingerprint(*p.PlayerId), t.key})
		}
	}
	if len(left) == 0 || len(stay) == 0 {
		return nil
	}
	text, err := keep(stay)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE matchmaking_ticket SET players = $2, status = $3 WHERE key = $1`, key, text, returned); err != nil {
		return err
	}
	s.configurationChangedTx(tx, t.configuration)
	return leavePlayers(tx, left)
}

// finish saves, and goes on with automatic backfill where a match has slots left.
func (w *work) finish(m *match) error {
	if err := w.save(); err != nil {
		return err
	}
	return w.goOn(m)
}

// goOn takes in the next automatic backfill ticket of a match that is complete.
func (w *work) goOn(m *match) error {
	if m.next == "" {
		return nil
	}
	rs, err := w.s.ruleSetTx(w.tx, w.c.RuleSetKey)
	if err != nil {
		return err
	}
	return w.takeAutomatic(m.next, m.game, rosterOf(rs, m.tickets).listed())
}

// takeAutomatic takes in an automatic backfill ticket. It lists all who were ever matched
// into the game session: slots of players who left stay theirs (flexmatch.md 2.10).
func (w *work) takeAutomatic(id string, game store.Key, list []types.Player) error {
	c, err := newStarting(&id, w.c.Name, list)
	if err != nil {
		return err
	}
	c.kind = automatic
	n := &intake{s: w.s, tx: w.tx, with: map[int64]bool{}, notified: map[store.Key]bool{}}
	if err := n.add(n.ticket(c, &w.c, game), c, &w.c); err != nil {
		return err
	}
	w.notify(nil)
	return n.flush()
}

// renew gives an automatic backfill ticket that is about to time out a successor, and names
// it in the game session's matchmaker data.
func (w *work) renew(t *ticket) (m match, err error) {
	g, err := w.s.Sessions.HoldMatchedTx(w.tx, t.game)
	if errors.Is(err, store.ErrNoRows) {
		return match{}, nil
	}
	if err != nil || !g.Open() || !w.automatic() {
		return match{}, err
	}
	m = match{game: t.game, next: w.automaticID(), tickets: []*ticket{t}}
	return m, w.s.Sessions.RewriteMatchmakerTx(w.tx, t.game, strings.Replace(*g.Matchmaker, t.ID, m.next, 1))
}
