package matchmaking

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
	"github.com/matchyard/matchyard/internal/store"
)

// AcceptMatch takes the answers of players to a proposed match. When all players of the match
// have accepted, it goes on; one rejection ends it at once (flexmatch.md 2.6). An acceptance
// may be taken back while the match is open, a rejection not.
func (s *Service) AcceptMatch(ctx context.Context, in *gamelift.AcceptMatchInput) (*gamelift.AcceptMatchOutput, error) {
	err := settle(func() error {
		return s.DB.Write(ctx, func(tx *store.Tx) error {
			t, err := knownTicket(tx, *in.TicketId)
			if err != nil {
				return err
			}
			h, err := holdTx(tx, t)
			if err != nil {
				return err
			}
			return s.answerTx(tx, h, in.PlayerIds, in.AcceptanceType == types.AcceptanceTypeAccept)
		})
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.AcceptMatchOutput{}, nil
}

func (s *Service) answerTx(tx *store.Tx, h held, ids []string, accept bool) error {
	if h.status == requiresAcceptance {
		for i, id := range ids {
			if !slices.ContainsFunc(h.Players, func(p lifecycle.Player) bool { return p.ID == id }) {
				return apierr.InvalidRequest("PlayerIds[%d]: player %s is not in ticket %s", i, id, h.ID)
			}
		}
		if h.row.deadline != nil && *h.row.deadline <= tx.NowMs() {
			return apierr.InvalidRequest("TicketId: the time to accept the match of ticket %s is over", h.ID)
		}
	}
	c, err := s.configurationByKeyTx(tx, h.configuration)
	if err != nil {
		return err
	}
	w := s.work(tx, c)
	before := make([]*ticket, len(h.match))
	for i, t := range h.match {
		before[i] = t.clone()
	}
	outcome, events, err := w.rules.Accept(h.orEmpty(), &h.Ticket, ids, accept, tx.Now)
	if err != nil {
		return apierr.InvalidRequest("%s", err.Error())
	}
	w.touch(h.match...)
	switch outcome {
	case lifecycle.Dropped:
		if err := deleteMatch(tx, h.row.key); err != nil {
			return err
		}
	case lifecycle.Accepted:
		return w.accepted(h, before, events)
	case lifecycle.Open:
	}
	if err := w.emit(events); err != nil {
		return err
	}
	return w.save()
}

// orEmpty is the proposal, or one without tickets for a ticket that is in none: the lifecycle
// refuses the answer then.
func (h held) orEmpty() *lifecycle.Proposal {
	if p := h.proposal(); p != nil {
		return p
	}
	return &lifecycle.Proposal{}
}

// accepted sends a match on its way that all have accepted. before are its tickets without
// the last answer.
func (w *work) accepted(h held, before []*ticket, events []lifecycle.Event) error {
	one := match{key: h.row.key, tickets: h.match}
	if b := one.backfill(); b != nil && b.game != 0 {
		ok, err := w.join(&one)
		if err != nil {
			return err
		}
		if !ok { // as if the placement had failed, of the backfill ticket alone
			return w.notJoined(h, before, events)
		}
	}
	if err := w.emit(events); err != nil {
		return err
	}
	if one.tickets[0].Status != lifecycle.Placing {
		if err := deleteMatch(w.tx, one.key); err != nil {
			return err
		}
		return w.finish(&one)
	}
	if err := w.place([]*match{&one}, true); err != nil {
		return err
	}
	return w.save()
}

// notJoined is told when the players of an accepted match find no room in the game session
// that asked for them: that request fails, and they search on.
func (w *work) notJoined(h held, before []*ticket, events []lifecycle.Event) error {
	if err := w.emit(events[:2]); err != nil { // the answer, and that all have accepted
		return err
	}
	if err := deleteMatch(w.tx, h.row.key); err != nil {
		return err
	}
	w.touched = nil
	var others []*ticket
	for _, t := range before {
		w.touch(t)
		if !t.Backfill {
			others = append(others, t)
			continue
		}
		if err := w.emit(w.rules.PlacementFailed(proposal([]*ticket{t}), w.tx.Now)); err != nil {
			return err
		}
	}
	if err := w.searchOn(others); err != nil {
		return err
	}
	return w.save()
}

// searchOn returns tickets to the search whose match found no room.
func (w *work) searchOn(list []*ticket) error {
	events := w.rules.PlacementTimedOut(proposal(list), w.tx.Now)
	for _, t := range list {
		if t.Waiting() {
			t.Reason, t.Message = lifecycle.ReasonUnexpected, "The game session of the match took no players."
		}
	}
	return w.emit(events)
}

// StopMatchmaking cancels a ticket. While it is in a proposed match, that ends too, and the
// others search on. A ticket whose match is being placed, and one that has ended, is refused
// in AWS's own words (flexmatch.md 2.8).
func (s *Service) StopMatchmaking(ctx context.Context, in *gamelift.StopMatchmakingInput) (*gamelift.StopMatchmakingOutput, error) {
	metrics := s.metricsOf(ctx, *in.TicketId)
	err := settle(func() error {
		return s.DB.Write(ctx, func(tx *store.Tx) error {
			t, err := knownTicket(tx, *in.TicketId)
			if err != nil {
				return err
			}
			h, err := holdTx(tx, t)
			if err != nil {
				return err
			}
			return s.stopTx(tx, h, metrics)
		})
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.StopMatchmakingOutput{}, nil
}
