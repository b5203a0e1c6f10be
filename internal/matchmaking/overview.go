package matchmaking

import (
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// Line is a matchmaking configuration as a list shows it.
type Line struct {
	Name       string
	RuleSet    string
	Standalone bool
	Acceptance bool
	Timeout    time.Duration
	Waiting    int64 // tickets that search
	Held       int64 // tickets in a proposed match or one that is being placed
}

// LinesTx are all configurations, oldest first.
func (s *Service) LinesTx(tx *store.Tx) (list []Line, err error) {
	all, err := s.configurationsTx(tx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		l := Line{Name: c.Name, RuleSet: c.RuleSet, Standalone: c.Standalone, Acceptance: c.AcceptanceRequired, Timeout: c.RequestTimeout}
		if err := tx.QueryRow(`SELECT CAST(coalesce(sum(CASE WHEN status <= 3 THEN 1 ELSE 0 END), 0) AS BIGINT),
			CAST(coalesce(sum(CASE WHEN status > 3 THEN 1 ELSE 0 END), 0) AS BIGINT)
			FROM matchmaking_ticket WHERE configuration = $1 AND status <= 5`, c.Key).Scan(&l.Waiting, &l.Held); err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

// Seen is a ticket as a list shows it.
type Seen struct {
	ID        string
	Status    types.MatchmakingConfigurationStatus
	Reason    string
	Players   []types.Player
	Teams     []string // of the players, "" for none
	Backfill  bool
	Match     string
	Game      string // ARN of the game session of a completed one
	StartedAt int64  // epoch milliseconds
	EndedAt   int64  // 0: it has not
}

// TicketsTx are tickets of a configuration: those that have not ended, longest waiting first,
// and then those that ended since an instant (epoch milliseconds), latest first, up to most
// of each.
func (s *Service) TicketsTx(tx *store.Tx, name string, since int64, most int) (list []Seen, err error) {
	c, err := s.configurationTx(tx, name)
	if err != nil {
		return nil, err
	}
	live, err := scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t
		WHERE t.configuration = $1 AND t.status <= 5 ORDER BY t.key LIMIT $2`, c.Key, int64(most)))
	if err != nil {
		return nil, err
	}
	ended, err := scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t
		WHERE t.ended_at IS NOT NULL AND t.ended_at >= $1 AND t.configuration = $2 ORDER BY t.ended_at DESC, t.key DESC LIMIT $3`, since, c.Key, int64(most)))
	if err != nil {
		return nil, err
	}
	for _, t := range append(live, ended...) {
		v := Seen{
			ID: t.ID, Status: t.Status, Reason: t.Reason, Backfill: t.Backfill, Match: t.MatchID,
			StartedAt: t.Start.UnixMilli(), Players: t.wire, Teams: make([]string, len(t.Players)),
		}
		for i, p := range t.Players {
			v.Teams[i] = p.Team
		}
		if t.connection != nil {
			v.Game = t.connection.Game
		}
		if !t.End.IsZero() {
			v.EndedAt = t.End.UnixMilli()
		}
		list = append(list, v)
	}
	return list, nil
}

// RuleSetBodyTx is the text of a configuration's rule set, as it was sent, and its name. The
// error is a NotFoundException when there is no such configuration.
func (s *Service) RuleSetBodyTx(tx *store.Tx, configuration string) (name, body string, err error) {
	c, err := s.configurationTx(tx, configuration)
	if err != nil {
		return "", "", err
	}
	err = tx.QueryRow(`SELECT body FROM matchmaking_ruleset WHERE key = $1`, c.RuleSetKey).Scan(&body)
	if errors.Is(err, store.ErrNoRows) {
		return "", "", apierr.NotFound("ConfigurationName: the rule set of %s does not exist", configuration)
	}
	return c.RuleSet, body, err
}

// Recorded is a ticket that was there: what a rule set can be tried on.
type Recorded struct {
	ID      string
	Start   time.Time
	Players []types.Player
}

// RecordedTx are the latest tickets of a configuration that players were in, without
// backfills, oldest first.
func (s *Service) RecordedTx(tx *store.Tx, configuration string, most int) (list []Recorded, err error) {
	c, err := s.configurationTx(tx, configuration)
	if err != nil {
		return nil, err
	}
	tickets, err := scanTickets(tx.Query(`SELECT `+ticketColumns+` FROM matchmaking_ticket t
		WHERE t.configuration = $1 AND t.kind = 0 ORDER BY t.key DESC LIMIT $2`, c.Key, int64(most)))
	if err != nil {
		return nil, err
	}
	for _, t := range slices.Backward(tickets) {
		list = append(list, Recorded{t.ID, t.Start, t.wire})
	}
	return list, nil
}
