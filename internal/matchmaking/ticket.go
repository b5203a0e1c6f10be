package matchmaking

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
	"github.com/matchyard/matchyard/internal/store"
)

// status is a ticket's status as its row has it. SEARCHING is two: a ticket that comes back
// from a match is returned until its pool has taken it in again.
type status int64

const (
	queued status = 1 + iota
	returned
	searching
	requiresAcceptance
	placing
	completed
	failed
	cancelled
	timedOut
)

var statuses = [...]lifecycle.Status{
	queued:             lifecycle.Queued,
	returned:           lifecycle.Searching,
	searching:          lifecycle.Searching,
	requiresAcceptance: lifecycle.RequiresAcceptance,
	placing:            lifecycle.Placing,
	completed:          lifecycle.Completed,
	failed:             lifecycle.Failed,
	cancelled:          lifecycle.Cancelled,
	timedOut:           lifecycle.TimedOut,
}

func statusOf(s lifecycle.Status) status {
	if s == lifecycle.Searching {
		return searching
	}
	return status(slices.Index(statuses[:], s))
}

// kind is who asked for a ticket.
type kind int64

const (
	party     kind = iota // players who look for a match
	manual                // a game session, by a call
	automatic             // a game session, by itself
)

// ticket is a ticket's row. Its life is lifecycle's; what the room adds is beside it.
type ticket struct {
	lifecycle.Ticket

	key           store.Key
	configuration store.Key
	name          string // the configuration's
	status        status // as its row has it
	kind          kind
	wire          []types.Player // as they were sent
	match         store.Key      // 0 for none yet
	game          store.Key      // of a backfill; 0 for none
	until         time.Time      // when its request timeout comes, while it waits
	connection    *connection
}

// connection is where a completed ticket's players go, as JSON beside the row.
type connection struct {
	Game     string  // ARN
	IP       string  `json:",omitempty"`
	DNS      *string `json:",omitempty"`
	Port     int32
	Sessions []string // player session ids, in the order of the players
}

// clone is a copy that transitions may change; what was sent is shared.
func (t *ticket) clone() *ticket {
	c := *t
	c.Players = slices.Clone(t.Players)
	return &c
}

// request is the ticket as a pool has it.
func (t *ticket) request() *flexmatch.Ticket {
	return &flexmatch.Ticket{ID: t.ID, Start: t.Start, Players: t.wire, Backfill: t.Backfill}
}

// asSent gives the lifecycle its players.
func (t *ticket) asSent() {
	t.Players = make([]lifecycle.Player, len(t.wire))
	for i, p := range t.wire {
		t.Players[i].ID = *p.PlayerId
		if t.Backfill && p.Team != nil {
			t.Players[i].Team = *p.Team
		}
	}
}

// teams and answers are the players' as the row has them; nil for none.
func (t *ticket) teams() *string {
	if t.Backfill || !slices.ContainsFunc(t.Players, func(p lifecycle.Player) bool { return p.Team != "" }) {
		return nil
	}
	names := make([]string, len(t.Players))
	for i, p := range t.Players {
		names[i] = p.Team
	}
	text, err := json.Marshal(names)
	if err != nil {
		panic(err) // strings always marshal
	}
	return new(string(text))
}

func (t *ticket) answers() *string {
	text, some := make([]byte, len(t.Players)), false
	for i, p := range t.Players {
		switch {
		case p.Accepted == nil:
			text[i] = '.'
			continue
		case *p.Accepted:
			text[i] = '+'
		default:
			text[i] = '-'
		}
		some = true
	}
	if !some {
		return nil
	}
	return new(string(text))
}

// readTeams and readAnswers undo them.
func (t *ticket) readTeams(text *string) error {
	if text == nil {
		return nil
	}
	var names []string
	if err := json.Unmarshal([]byte(*text), &names); err != nil {
		return err
	}
	for i, name := range names {
		t.Players[i].Team = name
	}
	return nil
}

func (t *ticket) readAnswers(text *string) {
	if text == nil {
		return
	}
	for i, c := range []byte(*text) {
		if c != '.' {
			t.Players[i].Accepted = new(c == '+')
		}
	}
}

// mostDescribed is how many tickets one call may ask for (flexmatch.md 1.9).
const mostDescribed = 10

// DescribeMatchmaking shows tickets, in the order of the request, for a day after their
// ends. Unknown ids are left out (flexmatch.md 2.14).
func (s *Service) DescribeMatchmaking(ctx context.Context, in *gamelift.DescribeMatchmakingInput) (*gamelift.DescribeMatchmakingOutput, error) {
	if n := len(in.TicketIds); n > mostDescribed {
		return nil, apierr.InvalidRequest("TicketIds: %d tickets in one call, and %d are the most", n, mostDescribed)
	}
	var list []*ticket
	var present map[string]bool
	waits := map[store.Key]*int32{}
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if list, err = ticketsByID(tx, in.TicketIds); err != nil {
			return err
		}
		var ids []string
		for _, t := range list {
			if t.connection != nil {
				ids = append(ids, t.connection.Sessions...)
			}
			if t.Waiting() && waits[t.configuration] == nil {
				if waits[t.configuration], err = estimatedWait(tx, t.configuration); err != nil {
					return err
				}
			}
		}
		present, err = s.Sessions.PresentTx(tx, ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &gamelift.DescribeMatchmakingOutput{TicketList: []types.MatchmakingTicket{}}
	for _, id := range in.TicketIds {
		if i := slices.IndexFunc(list, func(t *ticket) bool { return t.ID == id }); i >= 0 {
			t := list[i]
			out.TicketList = append(out.TicketList, s.ticketModel(t, waits[t.configuration], present))
			list = slices.Delete(list, i, i+1) // an id that is asked for twice is answered once
		}
	}
	return out, nil
}

// ticketModel is the ticket as callers see it: what is not there yet is absent. wait is shown
// of tickets that wait; present are the player sessions that are shown.
func (s *Service) ticketModel(t *ticket, wait *int32, present map[string]bool) types.MatchmakingTicket {
	m := types.MatchmakingTicket{
		TicketId:          &t.ID,
		ConfigurationName: &t.name,
		ConfigurationArn:  new(s.resource(configurationKind, t.name)),
		Status:            t.Status,
		StartTime:         &t.Start,
	}
	if t.Reason != "" {
		m.StatusReason = &t.Reason
	}
	if t.Message != "" {
		m.StatusMessage = &t.Message
	}
	if t.Waiting() {
		m.EstimatedWaitTime = wait
	}
	if !t.End.IsZero() {
		m.EndTime = &t.End
	}
	m.Players = t.wire
	if t.Status == lifecycle.Completed && !t.Backfill {
		m.Players = slices.Clone(t.wire)
		for i := range m.Players {
			m.Players[i].Team = new(t.Players[i].Team)
		}
	}
	if c := t.connection; c != nil {
		m.GameSessionConnectionInfo = &types.GameSessionConnectionInfo{
			GameSessionArn: &c.Game, IpAddress: &c.IP, DnsName: c.DNS, Port: &c.Port, PlayerGatewayStatus: types.PlayerGatewayStatusDisabled,
		}
		for i, p := range t.Players {
			one := types.MatchedPlayerSession{PlayerId: new(p.ID)}
			if i < len(c.Sessions) && present[c.Sessions[i]] {
				one.PlayerSessionId = &c.Sessions[i]
			}
			m.GameSessionConnectionInfo.MatchedPlayerSessions = append(m.GameSessionConnectionInfo.MatchedPlayerSessions, one)
		}
	}
	return m
}

// knownTicket reads a ticket, or refuses with NotFoundException.
func knownTicket(tx *store.Tx, id string) (*ticket, error) {
	t, err := ticketByID(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return nil, apierr.NotFound("TicketId: ticket %s does not exist", id)
	}
	return t, err
}
