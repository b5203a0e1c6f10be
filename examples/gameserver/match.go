package main

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/amazon-gamelift/amazon-gamelift-servers-go-server-sdk/v5/model"
)

// match is what FlexMatch said about the players, and the request for more of them, if one is
// under way. Without FlexMatch it stays empty.
type match struct {
	service service
	print   func(format string, args ...any)
	always  bool // ask for new players whenever one leaves

	mu     sync.Mutex // also held while a request is made: they go out one after another
	known  bool
	game   string
	data   model.MatchmakerData
	ticket string // of the request under way
}

// started takes over what a game session starts with. Its game property "backfill" = "manual"
// asks for new players whenever one leaves.
func (m *match) started(s model.GameSession) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.game = s.GameSessionID
	m.always = m.always || s.GameProperties["backfill"] == "manual"
	m.read(s.MatchmakerData)
}

// updated takes over what became of a request. Only MATCHMAKING_DATA_UPDATED brings players.
func (m *match) updated(u model.UpdateGameSession) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ticket == u.BackfillTicketID {
		m.ticket = ""
	}
	m.print("update ticket=%s reason=%s", u.BackfillTicketID, u.UpdateReason)
	if u.UpdateReason != nil && *u.UpdateReason == model.MatchmakingDataUpdated {
		m.read(u.GameSession.MatchmakerData)
	}
}

func (m *match) read(text string) {
	if text == "" {
		return
	}
	if err := json.Unmarshal([]byte(text), &m.data); err != nil {
		m.print("unreadable matchmaker data: %v", err)
		return
	}
	m.known = true
	m.print("match id=%s players=%d auto=%q", m.data.MatchID, len(m.data.Players), m.data.AutoBackfillTicketID)
}

var errNoMatch = errors.New("this game session is not a match")

// roster are the players of the match who have not left, with their teams and attributes.
func (m *match) roster() ([]model.Player, error) {
	seats, err := m.service.players()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(m.data.Players), func(p model.Player) bool {
		return !slices.ContainsFunc(seats, func(s seat) bool {
			return s.player == p.PlayerID && (s.status == "ACTIVE" || s.status == "RESERVED")
		})
	}), nil
}

// teams are the players as lines "team player".
func (m *match) teams() (lines []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	roster, err := m.roster()
	for _, p := range roster {
		lines = append(lines, p.Team+" "+p.PlayerID)
	}
	return lines, err
}

// backfill asks for new players in the places of those who have left. A request that is under
// way is taken back first, for it names players who may be gone.
func (m *match) backfill() (ticket string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known {
		return "", errNoMatch
	}
	m.stop()
	roster, err := m.roster()
	if err != nil {
		return "", err
	}
	if m.ticket, err = m.service.backfill(m.game, m.data.MatchmakingConfigurationArn, roster); err != nil {
		return "", err
	}
	m.print("backfill ticket=%s players=%d", m.ticket, len(roster))
	return m.ticket, nil
}

// cancel takes the request back.
func (m *match) cancel() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stop()
}

func (m *match) stop() {
	if m.ticket == "" {
		return
	}
	if err := m.service.stopBackfill(m.game, m.data.MatchmakingConfigurationArn, m.ticket); err != nil {
		// It may have ended meanwhile; the next update tells.
		m.print("backfill not stopped ticket=%s why=%q", m.ticket, err)
	}
	m.ticket = ""
}

// left asks for a new player, if this game does so.
func (m *match) left() {
	m.mu.Lock()
	asks := m.known && m.always
	m.mu.Unlock()
	if !asks {
		return
	}
	if _, err := m.backfill(); err != nil {
		m.print("no backfill why=%q", err)
	}
}
