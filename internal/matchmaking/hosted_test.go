package matchmaking_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/store"
)

// sdkData is what the Go server SDK 5.5.0 reads of matchmaker data, by the same members; that
// it really does is tested with a game server of examples/gameserver.
type sdkData struct {
	MatchID                     string `json:"matchId"`
	MatchmakingConfigurationArn string `json:"matchmakingConfigurationArn"`
	Teams                       []struct {
		Name    string `json:"name"`
		Players []struct {
			PlayerID   string `json:"playerId"`
			Attributes map[string]struct {
				AttributeType  string `json:"attributeType"`
				ValueAttribute any    `json:"valueAttribute"`
			} `json:"attributes"`
		} `json:"players"`
	} `json:"teams"`
	AutoBackfillTicketID string `json:"autoBackfillTicketId"`
	BackfillMode         string `json:"autoBackfillMode"`
}

func (d sdkData) players() (n int) {
	for _, t := range d.Teams {
		n += len(t.Players)
	}
	return n
}

// drop is a rule set whose game sessions may begin with two of four.
const drop = `{"ruleLanguageVersion":"1.0","playerAttributes":[
		{"name":"rank","type":"number"},{"name":"mode","type":"string","default":"duel"},
		{"name":"maps","type":"string_list","default":["fort","mill"]},{"name":"likes","type":"string_number_map","default":{"north":3}}],
	"teams":[{"name":"red","minPlayers":1,"maxPlayers":2},{"name":"blue","minPlayers":1,"maxPlayers":2}]}`

func rankedAsk(id, configuration string, ids ...string) *gamelift.StartMatchmakingInput {
	in := ask(id, configuration, ids...)
	for i := range in.Players {
		in.Players[i].PlayerAttributes = map[string]types.AttributeValue{"rank": {N: new(7.0)}, "colour": {S: new("blue")}}
		in.Players[i].LatencyInMs = map[string]int32{east: 20}
	}
	return in
}

func withData(in *gamelift.CreateMatchmakingConfigurationInput) {
	in.GameSessionData = new("map=fort")
	in.GameProperties = []types.GameProperty{{Key: new("mode"), Value: new("ranked")}}
}

func automatic(in *gamelift.CreateMatchmakingConfigurationInput) {
	in.BackfillMode = types.BackfillModeAutomatic
}

func TestAMatchIsPlaced(t *testing.T) {
	each(t, func(h *house) {
		h.arena()
		server := h.process()
		h.matchmaker("drop", drop, both(hosted, withData))
		h.start(rankedAsk("t1", "drop", "ann"), rankedAsk("t2", "drop", "bob"))
		h.pass()
		expect.Same(t, "while it is placed", h.states("t1", "t2"), "PLACING PLACING")
		expect.Refused(t, "stop", h.stop("t1"), invalid, "Matchmaking ticket is in PLACING status and cannot be canceled.")
		start := h.hostMatch(server)
		expect.Same(t, "slots", start.MaximumPlayerSessionCount, 4)
		expect.Same(t, "session data", *start.GameSessionData, "map=fort")
		expect.Same(t, "properties", expect.JSON(start.GameProperties), `{"mode":"ranked"}`)
		var data sdkData
		expect.OK(t, json.Unmarshal([]byte(*start.MatchmakerData), &data))
		expect.Same(t, "players in the data", data.players(), 2)
		expect.Same(t, "configuration in the data", data.MatchmakingConfigurationArn, "arn:aws:gamelift:us-west-2:123456789012:matchmakingconfiguration/drop")

		done := h.ticket("t1")
		expect.Same(t, "status", done.Status, types.MatchmakingConfigurationStatusCompleted)
		info := done.GameSessionConnectionInfo
		expect.Same(t, "game session", *info.GameSessionArn, start.GameSessionID)
		expect.Same(t, "address", *info.IpAddress, "10.0.0.1")
		expect.Same(t, "port", *info.Port, 7001)
		expect.Same(t, "players", len(info.MatchedPlayerSessions), 1)
		seat := info.MatchedPlayerSessions[0]
		expect.Same(t, "player", *seat.PlayerId, "ann")
		expect.OK(t, h.Sessions.AcceptPlayer(t.Context(), server, start.GameSessionID, *seat.PlayerSessionId))
		expect.OK(t, h.Sessions.RemovePlayer(t.Context(), server, start.GameSessionID, *seat.PlayerSessionId))
		if seat := h.ticket("t1").GameSessionConnectionInfo.MatchedPlayerSessions[0]; seat.PlayerSessionId != nil {
			t.Errorf("a player session that is over: got %s", *seat.PlayerSessionId)
		}
		expect.Same(t, "events", h.news(), "Searching(t1) Searching(t2) PotentialMatchCreated(t1 t2) Succeeded(t1 t2)")
	})
}

func TestMatchmakerData(t *testing.T) {
	each(t, func(h *house) {
		h.arena()
		server := h.process()
		h.matchmaker("drop", drop, both(hosted, automatic))
		h.start(rankedAsk("t1", "drop", "ann"), rankedAsk("t2", "drop", `b<o>"b`))
		h.pass()
		data := *h.hostMatch(server).MatchmakerData
		var ids struct{ MatchID, AutoBackfillTicketID string }
		expect.OK(t, json.Unmarshal([]byte(data), &ids))
		player := func(id string) string {
			return `{"playerId":` + id + `,"attributes":{"rank":{"attributeType":"DOUBLE","valueAttribute":7.0},"mode":{"attributeType":"STRING","valueAttribute":"duel"},` +
				`"maps":{"attributeType":"STRING_LIST","valueAttribute":["fort","mill"]},"likes":{"attributeType":"STRING_DOUBLE_MAP","valueAttribute":{"north":3.0}}}}`
		}
		expect.Same(t, "data", data, `{"matchId":"`+ids.MatchID+`","matchmakingConfigurationArn":"arn:aws:gamelift:us-west-2:123456789012:matchmakingconfiguration/drop",`+
			`"teams":[{"name":"red","players":[`+player(`"ann"`)+`]},{"name":"blue","players":[`+player(`"b<o>\"b"`)+`]}],`+
			`"autoBackfillMode":"AUTOMATIC","autoBackfillTicketId":"`+ids.AutoBackfillTicketID+`"}`)
		if !strings.HasPrefix(ids.AutoBackfillTicketID, "auto-backfill-") {
			t.Errorf("automatic backfill: got %q", ids.AutoBackfillTicketID)
		}
	})
}

func TestPlacementsThatFail(t *testing.T) {
	each(t, func(h *house) {
		h.arena()
		h.matchmaker("drop", drop, hosted)
		start := func(a, b string) {
			h.start(rankedAsk(a, "drop", "p"+a), rankedAsk(b, "drop", "p"+b))
			h.pass()
			expect.Same(t, "placing", h.states(a, b), "PLACING PLACING")
		}
		// No process becomes free: the queue's 40 s pass, and the tickets search on until their 60 s.
		start("t1", "t2")
		h.start(rankedAsk("t3", "drop", "pt2")) // pt2 does not wait: this ticket takes the place of t2 when that comes back
		h.tick(40 * time.Second)
		expect.Same(t, "searches on, as the other does not", h.why("t2"), "CANCELLED | Cancelled due to duplicate player | Cancelled due to duplicate player")
		expect.Same(t, "matched anew", h.states("t1", "t3"), "PLACING PLACING")
		if news := h.news(); strings.Count(news, "Searching(t1)") != 2 || strings.Contains(news, "Searching(t2) Searching") {
			t.Errorf("events: %s", news)
		}
		h.tick(40 * time.Second)
		expect.Same(t, "too old to search on", h.states("t1", "t3"), "TIMED_OUT TIMED_OUT")

		// The placement is stopped.
		start("t5", "t6")
		id := h.matchOf("t5")
		_, err := h.Placements.StopGameSessionPlacement(t.Context(), &gamelift.StopGameSessionPlacementInput{PlacementId: &id})
		expect.OK(t, err)
		expect.Same(t, "stopped", h.states("t5", "t6"), "CANCELLED CANCELLED")

		// The queue goes in the middle, and is not there for the next.
		start("t7", "t8")
		_, err = h.Placements.DeleteGameSessionQueue(t.Context(), &gamelift.DeleteGameSessionQueueInput{Name: new("arena")})
		expect.OK(t, err)
		h.tick(time.Second)
		expect.Same(t, "failed", h.why("t7"), "FAILED | UNEXPECTED_ERROR | An unexpected error was encountered during match placing.")
		h.start(rankedAsk("t9", "drop", "pt9"), rankedAsk("t10", "drop", "pt10"))
		h.pass()
		expect.Same(t, "failed at once", h.states("t9", "t10"), "FAILED FAILED")
	})
}

// matchOf is the match of a ticket, which is its placement's id, too.
func (h *house) matchOf(ticket string) string {
	h.t.Helper()
	e, err := h.Explain(h.t.Context(), ticket)
	expect.OK(h.t, err)
	return e.MatchID
}

// running is a game session with ann and bob in it.
func running(h *house, change ...func(*gamelift.CreateMatchmakingConfigurationInput)) (server store.Key, game string) {
	h.t.Helper()
	h.arena()
	server = h.process()
	h.matchmaker("drop", drop, both(append(change, hosted)...))
	h.start(rankedAsk("t1", "drop", "ann"), rankedAsk("t2", "drop", "bob"))
	h.pass()
	game = h.hostMatch(server).GameSessionID
	h.news()
	return server, game
}

func inGame(game string) []types.Player {
	rank := map[string]types.AttributeValue{"rank": {N: new(7.0)}}
	return []types.Player{
		{PlayerId: new("ann"), Team: new("red"), PlayerAttributes: rank},
		{PlayerId: new("bob"), Team: new("blue"), PlayerAttributes: rank},
	}
}

func (h *house) backfill(id, game string) error {
	_, err := h.StartMatchBackfill(h.t.Context(), &gamelift.StartMatchBackfillInput{
		TicketId: &id, ConfigurationName: new("drop"), GameSessionArn: &game, Players: inGame(game),
	})
	return err
}

// reasons are what a process is told of its backfills.
func (h *house) reasons(server store.Key) string {
	h.t.Helper()
	var all []string
	for _, m := range h.inbox(server) {
		all = append(all, m.UpdateReason+" "+*m.BackfillTicketID)
	}
	return strings.Join(all, ", ")
}

func TestBackfill(t *testing.T) {
	each(t, func(h *house) {
		server, game := running(h)
		expect.OK(t, h.backfill("b1", game))
		h.pass()
		expect.Same(t, "nobody new", h.states("b1"), "SEARCHING")
		h.start(rankedAsk("t3", "drop", "cid", "dan"))
		h.pass()
		expect.Same(t, "a party of two does not fit a team with one", h.states("b1", "t3"), "SEARCHING SEARCHING")
		expect.OK(t, h.stop("t3"))
		h.start(rankedAsk("t4", "drop", "cid"))
		h.pass()
		expect.Same(t, "filled", h.states("b1", "t4"), "COMPLETED COMPLETED")
		info := h.ticket("t4").GameSessionConnectionInfo
		expect.Same(t, "where", *info.GameSessionArn, game)
		if info.MatchedPlayerSessions[0].PlayerSessionId == nil {
			t.Error("no player session")
		}
		box := h.inbox(server)
		expect.Same(t, "messages", len(box), 1)
		expect.Same(t, "reason", box[0].UpdateReason+" "+*box[0].BackfillTicketID, "MATCHMAKING_DATA_UPDATED b1")
		var data sdkData
		expect.OK(t, json.Unmarshal([]byte(*box[0].GameSession.MatchmakerData), &data))
		expect.Same(t, "players in the data", data.players(), 3)
		out, err := h.Sessions.DescribeGameSessions(t.Context(), &gamelift.DescribeGameSessionsInput{GameSessionId: &game})
		expect.OK(t, err)
		expect.Same(t, "data of the game session", *out.GameSessions[0].MatchmakerData, *box[0].GameSession.MatchmakerData)
		expect.Same(t, "players", *out.GameSessions[0].CurrentPlayerSessionCount, 3)
	})
}

func TestBackfillsThatEnd(t *testing.T) {
	each(t, func(h *house) {
		server, game := running(h)
		expect.OK(t, h.backfill("b1", game))
		expect.OK(t, h.backfill("b2", game))
		expect.Same(t, "a newer one replaces", h.states("b1", "b2"), "CANCELLED QUEUED")
		expect.OK(t, h.stop("b2"))
		expect.Same(t, "told", h.reasons(server), "BACKFILL_CANCELLED b1, BACKFILL_CANCELLED b2")
		expect.OK(t, h.backfill("b3", game))
		h.tick(61 * time.Second)
		expect.Same(t, "timed out", h.states("b3"), "TIMED_OUT")
		expect.Same(t, "told", h.reasons(server), "BACKFILL_TIMED_OUT b3")

		// The game session takes no players: the request fails, and who was found searches on.
		expect.OK(t, h.backfill("b4", game))
		expect.OK(t, h.Sessions.SetCreationPolicy(t.Context(), server, game, "DENY_ALL"))
		h.start(rankedAsk("t3", "drop", "cid"))
		h.pass()
		expect.Same(t, "no room", h.states("b4", "t3"), "FAILED SEARCHING")
		expect.Same(t, "told", h.reasons(server), "BACKFILL_FAILED b4")
		expect.OK(t, h.stop("t3"))
		expect.OK(t, h.Sessions.SetCreationPolicy(t.Context(), server, game, "ACCEPT_ALL"))

		// A player who queues again ends the backfill (flexmatch.md 2.9), but not by the switch.
		expect.OK(t, h.backfill("b5", game))
		h.start(rankedAsk("t4", "drop", "ann"))
		expect.Same(t, "ended by a player", h.states("b5"), "CANCELLED")
		h.Config.BackfillKeepsPlayers = true
		expect.OK(t, h.backfill("b6", game))
		expect.Same(t, "takes nobody away", h.states("t4"), "QUEUED")
		h.start(rankedAsk("t5", "drop", "ann"))
		expect.Same(t, "and is not taken away", h.states("b6", "t4"), "QUEUED CANCELLED")

		// With the game session it ends.
		expect.OK(t, h.Computes.End(t.Context(), server, compute.Forced))
		h.tick(time.Second)
		expect.Same(t, "ended with its game session", h.states("b6"), "CANCELLED")
		expect.Refused(t, "of a game session that has ended", h.backfill("b7", game), invalid, "GameSessionArn", "TERMINATED")
		expect.OK(t, h.stop("t5"))
	})
}

func TestBackfillRequestsThatAreRefused(t *testing.T) {
	each(t, func(h *house) {
		server, game := running(h)
		expect.Refused(t, "no game session", h.backfill("b1", strings.Replace(game, h.matchOf("t1"), "gone", 1)), missing, "GameSessionArn")
		_, err := h.StartMatchBackfill(t.Context(), &gamelift.StartMatchBackfillInput{ConfigurationName: new("drop"), Players: inGame(game)})
		expect.Refused(t, "without game session", err, invalid, "GameSessionArn")
		bad := inGame(game)
		bad[1].Team = new("green")
		_, err = h.StartMatchBackfill(t.Context(), &gamelift.StartMatchBackfillInput{ConfigurationName: new("drop"), GameSessionArn: &game, Players: bad})
		expect.Refused(t, "an unknown team", err, invalid, "Players[1].Team", "red, blue")

		// Game servers ask by their sockets.
		arn := "arn:aws:gamelift:us-west-2:123456789012:matchmakingconfiguration/drop"
		b := matchmaking.Backfill{Configuration: arn, GameSession: game, Players: inGame(game)}
		stranger := h.process()
		_, err = h.StartBackfill(t.Context(), stranger, b)
		expect.Refused(t, "another process", err, invalid, "GameSessionArn")
		id, err := h.StartBackfill(t.Context(), server, b)
		expect.OK(t, err)
		expect.Same(t, "taken in", h.states(id), "QUEUED")
		expect.Refused(t, "stopped by another process", h.StopBackfill(t.Context(), stranger, arn, game, id), invalid, id)
		expect.OK(t, h.StopBackfill(t.Context(), server, arn, game, id))
		expect.OK(t, h.StopBackfill(t.Context(), server, arn, game, id))
		expect.Same(t, "stopped", h.states(id), "CANCELLED")
	})
}

// dataOf is the matchmaker data that a game session has now.
func (h *house) dataOf(game string) (data sdkData) {
	h.t.Helper()
	out, err := h.Sessions.DescribeGameSessions(h.t.Context(), &gamelift.DescribeGameSessionsInput{GameSessionId: &game})
	expect.OK(h.t, err)
	expect.OK(h.t, json.Unmarshal([]byte(*out.GameSessions[0].MatchmakerData), &data))
	return data
}

func TestAutomaticBackfill(t *testing.T) {
	each(t, func(h *house) {
		server, game := running(h, automatic)
		first := h.dataOf(game).AutoBackfillTicketID
		h.pass()
		expect.Same(t, "it searches", h.states(first), "SEARCHING")
		expect.Same(t, "its players", len(h.ticket(first).Players), 2)
		h.tick(61 * time.Second)
		second := h.dataOf(game).AutoBackfillTicketID
		h.pass()
		expect.Same(t, "timed out, and renewed", h.states(first, second), "TIMED_OUT SEARCHING")
		expect.Same(t, "told", h.reasons(server), "BACKFILL_TIMED_OUT "+first)
		h.start(rankedAsk("t3", "drop", "cid"))
		h.pass()
		third := h.dataOf(game).AutoBackfillTicketID
		h.pass()
		expect.Same(t, "filled, and goes on", h.states(second, "t3", third), "COMPLETED COMPLETED SEARCHING")
		h.start(rankedAsk("t4", "drop", "dan"))
		h.pass()
		expect.Same(t, "full", h.states(third, "t4"), "COMPLETED COMPLETED")
		expect.Same(t, "no more tickets", h.dataOf(game).AutoBackfillTicketID, "")
		expect.Same(t, "told", h.reasons(server), "MATCHMAKING_DATA_UPDATED "+second+", MATCHMAKING_DATA_UPDATED "+third)
	})
}

func TestAutomaticBackfillIsStopped(t *testing.T) {
	each(t, func(h *house) {
		_, game := running(h, automatic)
		first := h.dataOf(game).AutoBackfillTicketID
		expect.OK(t, h.stop(first))
		h.start(rankedAsk("t3", "drop", "cid"))
		h.tick(61 * time.Second)
		expect.Same(t, "nobody is asked for any more", h.dataOf(game).AutoBackfillTicketID, first)
		expect.Same(t, "statuses", h.states(first, "t3"), "CANCELLED TIMED_OUT")
	})
}

func TestAutomaticBackfillRefillsByTheSwitch(t *testing.T) {
	each(t, func(h *house) {
		h.Config.BackfillRefills = true
		server, game := running(h, automatic)
		for _, id := range []string{"cid", "dan"} {
			h.start(rankedAsk("t"+id, "drop", id))
			h.pass()
		}
		h.pass()
		last := h.dataOf(game).AutoBackfillTicketID
		expect.Same(t, "full, and on the watch", h.states("tcid", "tdan", last), "COMPLETED COMPLETED SEARCHING")
		h.start(rankedAsk("t5", "drop", "eve"))
		h.pass()
		expect.Same(t, "no room", h.states("t5"), "SEARCHING")
		seat := h.ticket("tcid").GameSessionConnectionInfo.MatchedPlayerSessions[0].PlayerSessionId
		expect.OK(t, h.Sessions.AcceptPlayer(t.Context(), server, game, *seat))
		expect.OK(t, h.Sessions.RemovePlayer(t.Context(), server, game, *seat))
		h.tick(time.Second)
		expect.Same(t, "the slot is filled again", h.states("t5"), "COMPLETED")
		expect.Same(t, "in the game session", *h.ticket("t5").GameSessionConnectionInfo.GameSessionArn, game)
		expect.Same(t, "players in the data", h.dataOf(game).players(), 4)
	})
}

func TestBackfillWithAcceptance(t *testing.T) {
	each(t, func(h *house) {
		h.arena()
		server := h.process()
		h.matchmaker("drop", drop, both(accepting, hosted))
		h.start(rankedAsk("t1", "drop", "ann"), rankedAsk("t2", "drop", "bob"))
		h.pass()
		expect.OK(t, h.accept("t1", yes, "ann"))
		expect.OK(t, h.accept("t2", yes, "bob"))
		expect.Same(t, "accepted", h.states("t1", "t2"), "PLACING PLACING")
		game := h.hostMatch(server).GameSessionID
		expect.OK(t, h.backfill("b1", game))
		h.start(rankedAsk("t3", "drop", "cid"))
		h.pass()
		expect.Same(t, "proposed", h.states("b1", "t3"), "REQUIRES_ACCEPTANCE REQUIRES_ACCEPTANCE")
		expect.OK(t, h.accept("t3", no, "cid"))
		expect.Same(t, "rejected", h.states("b1", "t3"), "SEARCHING CANCELLED")
		h.start(rankedAsk("t4", "drop", "dan"))
		h.pass()
		// When all have accepted there is no room any more.
		expect.OK(t, h.Sessions.SetCreationPolicy(t.Context(), server, game, "DENY_ALL"))
		h.news()
		expect.OK(t, h.accept("t4", yes, "dan"))
		expect.Same(t, "no room", h.states("b1", "t4"), "FAILED SEARCHING")
		expect.Same(t, "events", h.news(), "AcceptMatch(b1 t4) AcceptMatchCompleted:Accepted(b1 t4) Failed(b1) Searching(t4)")
		expect.OK(t, h.Sessions.SetCreationPolicy(t.Context(), server, game, "ACCEPT_ALL"))
		expect.OK(t, h.backfill("b2", game))
		h.pass()
		expect.OK(t, h.accept("t4", yes, "dan"))
		expect.Same(t, "joined", h.states("b2", "t4"), "COMPLETED COMPLETED")
		expect.Same(t, "told", h.reasons(server), "BACKFILL_FAILED b1, MATCHMAKING_DATA_UPDATED b2")
	})
}

// The game session's slots are taken by others while players are matched into it.
func TestBackfillAgainstOthers(t *testing.T) {
	each(t, func(h *house) {
		_, game := running(h)
		expect.OK(t, h.backfill("b1", game))
		h.start(rankedAsk("t3", "drop", "cid"), rankedAsk("t4", "drop", "dan"))
		var all sync.WaitGroup
		for i := range 2 {
			all.Go(func() {
				_, _ = h.Sessions.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &game, PlayerId: new("x" + string(rune('0'+i)))})
			})
		}
		all.Go(func() { _ = h.Tick(t.Context(), h.clock.Now()) })
		all.Wait()
		h.pass()
		for _, id := range []string{"t3", "t4"} {
			if st := h.states(id); st == "SEARCHING" {
				expect.OK(t, h.stop(id))
			}
		}
		if st := h.states("b1"); st == "SEARCHING" {
			expect.OK(t, h.stop("b1"))
		}
	})
}
