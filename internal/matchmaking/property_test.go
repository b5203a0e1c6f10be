package matchmaking_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

// steps are the moves of a ticket's status (flexmatch.md 2.8), as they can be seen between two
// looks with one call in between. A pass makes several moves at once.
var steps = map[types.MatchmakingConfigurationStatus]string{
	"QUEUED":              "SEARCHING REQUIRES_ACCEPTANCE PLACING COMPLETED FAILED CANCELLED TIMED_OUT",
	"SEARCHING":           "REQUIRES_ACCEPTANCE PLACING COMPLETED FAILED CANCELLED TIMED_OUT",
	"REQUIRES_ACCEPTANCE": "PLACING SEARCHING COMPLETED FAILED CANCELLED TIMED_OUT",
	"PLACING":             "COMPLETED SEARCHING REQUIRES_ACCEPTANCE FAILED CANCELLED TIMED_OUT",
}

// model is what a run of random calls knows.
type model struct {
	h       *house
	rt      *rapid.T
	last    map[string]types.MatchmakingConfigurationStatus
	players map[string][]string
	servers []store.Key
	games   map[store.Key]string
}

// TestRandomCalls does what callers, players, game servers and time may do, in any order, and
// holds the room to what must always be true.
func TestRandomCalls(t *testing.T) {
	each(t, func(h *house) {
		h.arena()
		h.matchmaker("solo", duo, nil)
		h.matchmaker("asked", duo, accepting)
		h.matchmaker("drop", drop, both(hosted, automatic))
		h.matchmaker("both", strings.Replace(drop, `"teams"`, `"algorithm":{"backfillPriority":"high"},"teams"`, 1), both(hosted, accepting))
		rapid.Check(t, func(rt *rapid.T) {
			m := &model{h: h, rt: rt, last: map[string]types.MatchmakingConfigurationStatus{}, players: map[string][]string{}, games: map[store.Key]string{}}
			m.servers = []store.Key{h.process(), h.process()}
			rt.Repeat(map[string]func(*rapid.T){
				"start":   m.start,
				"start2":  m.start,
				"start3":  m.start,
				"pass":    func(*rapid.T) { h.pass() },
				"run":     func(rt *rapid.T) { h.pass(); m.host(rt) },
				"run2":    func(rt *rapid.T) { h.pass(); m.host(rt) },
				"accept":  m.accept,
				"accept2": m.accept,
				"stop":    m.stop,
				"agree":   m.agree,
				"server":  func(*rapid.T) { m.servers = append(m.servers, h.process()); h.tick(0) },
				"host":    m.host,
				"end":     m.end,
				"fill":    m.fill,
				"wait":    func(rt *rapid.T) { h.tick(time.Duration(rapid.IntRange(0, 30).Draw(rt, "s")) * time.Second) },
				"restart": func(*rapid.T) { expect.OK(t, h.Release(t.Context())) },
				"":        func(*rapid.T) { m.check() },
			})
			for range 4 { // everything ends
				for _, s := range m.servers {
					_ = h.Computes.End(t.Context(), s, "GONE")
				}
				h.tick(61 * time.Second)
			}
			m.check()
			for id, st := range m.last {
				if !final(st) {
					rt.Fatalf("ticket %s is %s for ever", id, st)
				}
			}
		})
	})
}

func final(st types.MatchmakingConfigurationStatus) bool { return steps[st] == "" }

var serial int

func (m *model) start(rt *rapid.T) {
	serial++
	id := fmt.Sprintf("r%d", serial)
	in := rankedAsk(id, rapid.SampledFrom([]string{"solo", "asked", "drop", "drop", "both", "both"}).Draw(rt, "configuration"),
		rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"ann", "bob", "cid", "dan", "eve", "fay", "gus"}), 1, 2, rapid.ID).Draw(rt, "players")...)
	if *in.ConfigurationName == "solo" || *in.ConfigurationName == "asked" {
		in.Players = in.Players[:1]
		skilled(in, rapid.SampledFrom([]float64{10, 15, 40}).Draw(rt, "skill"))
	}
	m.h.start(in)
	m.note(id, in.Players)
}

func (m *model) note(id string, list []types.Player) {
	m.last[id] = "QUEUED"
	for _, p := range list {
		m.players[id] = append(m.players[id], *p.PlayerId)
	}
}

func (m *model) some(rt *rapid.T) string {
	var live []string
	for id, st := range m.last {
		if !final(st) {
			live = append(live, id)
		}
	}
	if len(live) == 0 {
		rt.Skip("no ticket")
	}
	slices.Sort(live)
	return rapid.SampledFrom(live).Draw(rt, "ticket")
}

func (m *model) accept(rt *rapid.T) {
	id := m.some(rt)
	answer := yes
	if rapid.IntRange(0, 5).Draw(rt, "answer") == 0 {
		answer = no
	}
	_ = m.h.accept(id, answer, m.players[id]...)
}

// agree has all accept what they are asked.
func (m *model) agree(rt *rapid.T) {
	for id, st := range m.last {
		if st == types.MatchmakingConfigurationStatusRequiresAcceptance {
			_ = m.h.accept(id, yes, m.players[id]...)
		}
	}
	m.host(rt)
}

func (m *model) stop(rt *rapid.T) { _ = m.h.stop(m.some(rt)) }

// host lets the servers do what they are told.
func (m *model) host(*rapid.T) {
	for _, s := range m.servers {
		for _, box := range m.h.inbox(s) {
			if box.Action == "CreateGameSession" {
				if m.h.Sessions.Activate(m.h.t.Context(), s, box.GameSessionID) == nil {
					m.games[s] = box.GameSessionID
				}
			}
		}
	}
}

func (m *model) end(rt *rapid.T) {
	if len(m.servers) == 0 {
		rt.Skip("no server")
	}
	i := rapid.IntRange(0, len(m.servers)-1).Draw(rt, "server")
	expect.OK(m.h.t, m.h.Computes.End(m.h.t.Context(), m.servers[i], "GONE"))
	m.servers = slices.Delete(m.servers, i, i+1)
}

// present are the players of a game session, in some teams.
func (m *model) present(game string) (list []types.Player) {
	out, err := m.h.Sessions.DescribePlayerSessions(m.h.t.Context(), &gamelift.DescribePlayerSessionsInput{GameSessionId: &game})
	expect.OK(m.h.t, err)
	for i, p := range out.PlayerSessions {
		team := []string{"red", "blue"}[i%2]
		list = append(list, types.Player{PlayerId: p.PlayerId, Team: &team, PlayerAttributes: map[string]types.AttributeValue{"rank": {N: new(1.0)}}})
	}
	return list
}

// fill asks for players for a running game session.
func (m *model) fill(rt *rapid.T) {
	for _, s := range m.servers {
		game := m.games[s]
		if game == "" {
			continue
		}
		serial++
		id := fmt.Sprintf("r%d", serial)
		list := m.present(game)
		if _, err := m.h.StartMatchBackfill(m.h.t.Context(), &gamelift.StartMatchBackfillInput{TicketId: &id, ConfigurationName: new("both"), GameSessionArn: &game, Players: list}); err == nil {
			m.note(id, list)
		}
		return
	}
	rt.Skip("no game session")
}

func (m *model) check() {
	h := m.h
	h.checkRows()
	if h.t.Failed() {
		m.rt.Fatal("rows")
	}
	busy := map[string]string{}
	for id, was := range m.last {
		now := h.ticket(id)
		if now.Status != was && !strings.Contains(" "+steps[was]+" ", " "+string(now.Status)+" ") {
			m.rt.Fatalf("ticket %s went from %s to %s", id, was, now.Status)
		}
		m.last[id] = now.Status
		if final(now.Status) != (now.EndTime != nil) {
			m.rt.Fatalf("ticket %s is %s with end %v", id, now.Status, now.EndTime)
		}
		if final(now.Status) || now.Status == types.MatchmakingConfigurationStatusPlacing {
			continue
		}
		for _, p := range m.players[id] {
			if busy[p] != "" {
				m.rt.Fatalf("player %s is in %s and %s", p, busy[p], id)
			}
			busy[p] = id
		}
	}
	for id, n := range map[string]string{
		"matches placed twice": `SELECT id FROM placement GROUP BY id HAVING count(*) > 1`,
		"players seated twice": `SELECT player FROM player_session WHERE status IN (1, 2) GROUP BY game, player HAVING count(*) > 1`,
	} {
		expect.OK(h.t, h.DB.Read(h.t.Context(), func(tx *store.Tx) error {
			rows, err := tx.Query(n)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var what string
				if err := rows.Scan(&what); err != nil {
					return err
				}
				m.rt.Fatalf("%s: %s", id, what)
			}
			return rows.Err()
		}))
	}
}
