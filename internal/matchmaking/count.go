package matchmaking

import (
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
	"github.com/matchyard/matchyard/internal/store"
)

// The series of matchmakers (hosting.md 7), each with the configuration's name; those of
// rules have the rule's besides.
const (
	TicketsStarted             = "gamelift_tickets_started_total"
	PlayersStarted             = "gamelift_players_started_total"
	TicketsFailed              = "gamelift_tickets_failed_total"
	TicketsTimedOut            = "gamelift_tickets_timed_out_total"
	MatchesCreated             = "gamelift_matches_created_total"
	MatchesAccepted            = "gamelift_matches_accepted_total"
	MatchesRejected            = "gamelift_matches_rejected_total"
	MatchAcceptancesTimedOut   = "gamelift_match_acceptances_timed_out_total"
	MatchesPlaced              = "gamelift_matches_placed_total"
	TimeToMatchSeconds         = "gamelift_time_to_match_seconds"
	TimeToTicketSuccessSeconds = "gamelift_time_to_ticket_success_seconds"
	TimeToTicketCancelSeconds  = "gamelift_time_to_ticket_cancel_seconds"
	RuleEvaluationsPassed      = "gamelift_rule_evaluations_passed_total"
	RuleEvaluationsFailed      = "gamelift_rule_evaluations_failed_total"
)

// mostRules is of how many rules a configuration counts evaluations, as AWS does.
const mostRules = 50

// countStarts counts tickets of players that were taken in.
func countStarts(tx *store.Tx, list []*ticket) {
	for _, t := range list {
		if t.kind == party {
			tx.Count(TicketsStarted, 1, t.name)
			tx.Count(PlayersStarted, float64(len(t.Players)), t.name)
		}
	}
}

// count counts what an event tells of: matches, and tickets of players.
func (w *work) count(e lifecycle.Event) {
	name, rules := w.c.Name, w.metrics[e.MatchID]
	if e.Type != lifecycle.PotentialMatchCreated && len(e.Tickets) > 0 {
		rules = w.metrics[e.Tickets[0].ID]
	}
	each := func(series string, value func(t lifecycle.Ticket) float64) {
		for _, t := range e.Tickets {
			if !t.Backfill {
				w.tx.Count(series, value(t), name)
			}
		}
	}
	one := func(lifecycle.Ticket) float64 { return 1 }
	age := func(t lifecycle.Ticket) float64 { return w.tx.Now.Sub(t.Start).Seconds() }
	switch e.Type {
	case lifecycle.PotentialMatchCreated:
		w.tx.Count(MatchesCreated, 1, name)
		each(TimeToMatchSeconds, age)
	case lifecycle.AcceptMatchCompleted:
		series := map[string]string{"Accepted": MatchesAccepted, "Rejected": MatchesRejected, "TimedOut": MatchAcceptancesTimedOut}[e.Acceptance]
		if series != "" {
			w.tx.Count(series, 1, name)
		}
		return
	case lifecycle.MatchmakingSucceeded:
		w.tx.Count(MatchesPlaced, 1, name)
		each(TimeToTicketSuccessSeconds, age)
		return
	case lifecycle.MatchmakingTimedOut:
		each(TicketsTimedOut, one)
	case lifecycle.MatchmakingFailed:
		each(TicketsFailed, one)
		return
	case lifecycle.MatchmakingCancelled:
		each(TimeToTicketCancelSeconds, age)
	default:
		return
	}
	for _, r := range rules[:min(len(rules), mostRules)] {
		w.tx.Count(RuleEvaluationsPassed, float64(r.Passed), name, r.Name)
		w.tx.Count(RuleEvaluationsFailed, float64(r.Failed), name, r.Name)
	}
}

// Live is how many tickets of a configuration have not ended.
type Live struct {
	Configuration string
	Tickets       int
}

// LiveTx are the numbers of all configurations that have such tickets.
func (s *Service) LiveTx(tx *store.Tx) (list []Live, err error) {
	rows, err := tx.Query(`SELECT name, COUNT(*) FROM matchmaking_ticket WHERE status <= 5 GROUP BY name ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var l Live
		if err := rows.Scan(&l.Configuration, &l.Tickets); err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, rows.Err()
}
