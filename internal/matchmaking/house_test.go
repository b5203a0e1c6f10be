package matchmaking_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

// house is the room with the real rooms under it, wired as in the program. Pools run when a
// test says so.
type house struct {
	*matchmaking.Service
	t     testing.TB
	clock *storetest.Clock
	dials int
	fleet string
}

const (
	east = "custom-east"
	sink = "test"
)

// each runs a test on both databases, and checks at its end that nothing is left over.
func each(t *testing.T, f func(h *house)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		h := &house{Service: build(db), t: t, clock: clock}
		f(h)
		h.checkRows()
	})
}

// pair runs a test with two nodes on one PostgreSQL. An SQLite file has one process alone.
func pair(t *testing.T, f func(a, b *house)) {
	t.Helper()
	url, clock := storetest.PostgresURL(t), storetest.NewClock()
	a := &house{Service: build(storetest.Open(t, url, clock.Now)), t: t, clock: clock}
	b := &house{Service: build(storetest.Open(t, url, clock.Now)), t: t, clock: clock}
	f(a, b)
	a.checkRows()
}

// build is the room as the program wires it. All events have one sink.
func build(db *store.DB) *matchmaking.Service {
	s := &matchmaking.Service{DB: db, Home: home}
	s.Events = &event.Log{DB: db, Home: home, Route: func(_, _, _ string) []string { return []string{sink} }}
	s.Fleets = &fleet.Service{DB: db, Home: home}
	s.Computes = &compute.Service{
		DB: db, Home: home, Fleets: s.Fleets,
		SDKEndpoint:   func() string { return "ws://127.0.0.1:9170" },
		AgentEndpoint: func() string { return "ws://127.0.0.1:9170/agent" },
	}
	s.Fleets.Deleting, s.Fleets.Leaving = s.Computes.DropFleetTx, s.Computes.DropLocationTx
	s.Sessions = &session.Service{DB: db, Home: home, Fleets: s.Fleets, Computes: s.Computes}
	s.Placements = &placement.Service{DB: db, Home: home, Fleets: s.Fleets, Computes: s.Computes, Sessions: s.Sessions, Outcome: s.Placed}
	s.Sessions.Activated, s.Sessions.Over = s.Placements.Activated, s.Placements.Over
	s.Computes.Ended = s.Sessions.ProcessEnded
	s.Tags = &tag.Service{DB: db, Exists: func(tx *store.Tx, kind, id string) (bool, error) {
		for _, room := range []func(*store.Tx, string, string) (bool, error){s.Fleets.ExistsTx, s.Placements.ExistsTx, s.ExistsTx} {
			if found, err := room(tx, kind, id); found || err != nil {
				return found, err
			}
		}
		return false, nil
	}}
	s.Fleets.Tags, s.Placements.Tags = s.Tags, s.Tags
	db.Subscribe(matchmaking.Channel, s.Heard)
	return s
}

// rules makes a rule set.
func (h *house) rules(name, body string) {
	h.t.Helper()
	_, err := h.CreateMatchmakingRuleSet(h.t.Context(), &gamelift.CreateMatchmakingRuleSetInput{Name: &name, RuleSetBody: &body})
	expect.OK(h.t, err)
}

// duo is a rule set for two players of similar skill, one a team.
const duo = `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number","default":10}],
	"teams":[{"name":"red","minPlayers":1,"maxPlayers":1},{"name":"blue","minPlayers":1,"maxPlayers":1}],
	"rules":[{"name":"Close","type":"batchDistance","batchAttribute":"skill","maxDistance":10}],
	"expansions":[{"target":"rules[Close].maxDistance","steps":[{"waitTimeSeconds":20,"value":50}]}]}`

// matchmaker makes a rule set and a STANDALONE configuration of one name; change may alter it.
func (h *house) matchmaker(name, body string, change func(*gamelift.CreateMatchmakingConfigurationInput)) {
	h.t.Helper()
	h.rules(name, body)
	in := &gamelift.CreateMatchmakingConfigurationInput{
		Name: &name, RuleSetName: &name, AcceptanceRequired: new(false), RequestTimeoutSeconds: new(int32(60)),
		FlexMatchMode: types.FlexMatchModeStandalone,
	}
	if change != nil {
		change(in)
	}
	_, err := h.CreateMatchmakingConfiguration(h.t.Context(), in)
	expect.OK(h.t, err)
}

// accepting asks for the players' consent, within 30 s.
func accepting(in *gamelift.CreateMatchmakingConfigurationInput) {
	in.AcceptanceRequired, in.AcceptanceTimeoutSeconds = new(true), new(int32(30))
}

// hosted places matches by queue "arena".
func hosted(in *gamelift.CreateMatchmakingConfigurationInput) {
	in.FlexMatchMode, in.GameSessionQueueArns = types.FlexMatchModeWithQueue, []string{arenaARN}
}

func both(list ...func(*gamelift.CreateMatchmakingConfigurationInput)) func(*gamelift.CreateMatchmakingConfigurationInput) {
	return func(in *gamelift.CreateMatchmakingConfigurationInput) {
		for _, f := range list {
			f(in)
		}
	}
}

// arena makes a fleet with a compute and queue "arena" over it.
func (h *house) arena() {
	h.t.Helper()
	ctx := h.t.Context()
	_, err := h.Fleets.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new(east)})
	expect.OK(h.t, err)
	out, err := h.Fleets.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("arena"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: new(east)}},
	})
	expect.OK(h.t, err)
	h.fleet = *out.FleetAttributes.FleetId
	_, err = h.Computes.RegisterCompute(ctx, &gamelift.RegisterComputeInput{FleetId: &h.fleet, ComputeName: new("host"), IpAddress: new("10.0.0.1"), Location: new(east)})
	expect.OK(h.t, err)
	_, err = h.Placements.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
		Name: new("arena"), TimeoutInSeconds: new(int32(40)),
		Destinations: []types.GameSessionQueueDestination{{DestinationArn: new(home.Fleet(arn.FleetID(h.fleet)))}},
	})
	expect.OK(h.t, err)
}

// process is a server process that is ready for a game session.
func (h *house) process() store.Key {
	h.t.Helper()
	ctx := h.t.Context()
	h.dials++
	p, err := h.Computes.Connect(ctx, compute.Dial{
		ProcessID: fmt.Sprintf("pid-%d", h.dials), Compute: "host", Fleet: arn.FleetID(h.fleet),
		IdempotencyToken: fmt.Sprintf("once-%d", h.dials), SDKVersion: "5.5.0", SDKLanguage: "Go", Trusted: true,
	})
	expect.OK(h.t, err)
	expect.OK(h.t, h.Computes.Ready(ctx, p.Key, compute.Ready{Port: 7000 + int32(h.dials)}))
	expect.OK(h.t, h.Computes.Health(ctx, p.Key, true))
	return p.Key
}

// message is what a process is told.
type message struct {
	Action           string
	GameSessionID    string `json:"GameSessionId"`
	MatchmakerData   *string
	UpdateReason     string
	BackfillTicketID *string `json:"BackfillTicketId"`
	GameSession      struct {
		GameSessionID  string `json:"GameSessionId"`
		MatchmakerData *string
	}
	MaximumPlayerSessionCount int
	GameProperties            map[string]string
	GameSessionData           *string
}

// inbox takes what waits for a process.
func (h *house) inbox(process store.Key) (all []message) {
	h.t.Helper()
	list, err := h.Computes.TakeInbox(h.t.Context(), []store.Key{process})
	expect.OK(h.t, err)
	for _, m := range list {
		var one message
		expect.OK(h.t, json.Unmarshal(m.Text, &one))
		all = append(all, one)
	}
	return all
}

// hostMatch is what a process does that is sent a game session: it activates it.
func (h *house) hostMatch(process store.Key) message {
	h.t.Helper()
	box := h.inbox(process)
	if len(box) != 1 || box[0].Action != "CreateGameSession" {
		h.t.Fatalf("inbox: got %+v, want one game session", box)
	}
	expect.OK(h.t, h.Sessions.Activate(h.t.Context(), process, box[0].GameSessionID))
	return box[0]
}

// ask is a request of solo players, or of one party.
func ask(id, configuration string, ids ...string) *gamelift.StartMatchmakingInput {
	in := &gamelift.StartMatchmakingInput{TicketId: &id, ConfigurationName: &configuration}
	for _, p := range ids {
		in.Players = append(in.Players, types.Player{PlayerId: &p})
	}
	return in
}

func skilled(in *gamelift.StartMatchmakingInput, skill float64) *gamelift.StartMatchmakingInput {
	for i := range in.Players {
		in.Players[i].PlayerAttributes = map[string]types.AttributeValue{"skill": {N: &skill}}
	}
	return in
}

// start starts tickets.
func (h *house) start(list ...*gamelift.StartMatchmakingInput) {
	h.t.Helper()
	for _, in := range list {
		_, err := h.StartMatchmaking(h.t.Context(), in)
		expect.OK(h.t, err)
	}
}

// pass runs all pools, as the program does when something happens.
func (h *house) pass() {
	h.t.Helper()
	keys, err := h.Look(h.t.Context())
	expect.OK(h.t, err)
	for _, key := range keys {
		_, err := h.Pass(h.t.Context(), key)
		expect.OK(h.t, err)
	}
}

// tick lets time pass and sweeps, as the program does.
func (h *house) tick(d time.Duration) {
	h.t.Helper()
	h.clock.Advance(d)
	expect.OK(h.t, h.Computes.Tick(h.t.Context(), h.clock.Now()))
	expect.OK(h.t, h.Sessions.Tick(h.t.Context(), h.clock.Now()))
	expect.OK(h.t, h.Placements.Tick(h.t.Context(), h.clock.Now()))
	expect.OK(h.t, h.Tick(h.t.Context(), h.clock.Now()))
}

func (h *house) accept(id string, answer types.AcceptanceType, ids ...string) error {
	_, err := h.AcceptMatch(h.t.Context(), &gamelift.AcceptMatchInput{TicketId: &id, PlayerIds: ids, AcceptanceType: answer})
	return err
}

func (h *house) stop(id string) error {
	_, err := h.StopMatchmaking(h.t.Context(), &gamelift.StopMatchmakingInput{TicketId: &id})
	return err
}

// ticket describes a ticket.
func (h *house) ticket(id string) types.MatchmakingTicket {
	h.t.Helper()
	return h.described(h.t.Context(), id)
}

func (h *house) described(ctx context.Context, id string) types.MatchmakingTicket {
	h.t.Helper()
	out, err := h.DescribeMatchmaking(ctx, &gamelift.DescribeMatchmakingInput{TicketIds: []string{id}})
	expect.OK(h.t, err)
	if len(out.TicketList) != 1 {
		h.t.Fatalf("ticket %s: got %d", id, len(out.TicketList))
	}
	return out.TicketList[0]
}

// states are the statuses of tickets.
func (h *house) states(ids ...string) string {
	h.t.Helper()
	var all []string
	for _, id := range ids {
		all = append(all, string(h.ticket(id).Status))
	}
	return strings.Join(all, " ")
}

// why is a ticket's status, reason and message.
func (h *house) why(id string) string {
	h.t.Helper()
	t := h.ticket(id)
	out := string(t.Status)
	for _, text := range []*string{t.StatusReason, t.StatusMessage} {
		if text != nil {
			out += " | " + *text
		}
	}
	return out
}

// told are the events so far in the order in which they happened. They are taken.
func (h *house) told() (list []map[string]any) {
	h.t.Helper()
	var all []event.Entry
	for {
		ready, err := h.Events.Ready(h.t.Context(), sink, 1000)
		expect.OK(h.t, err)
		if len(ready) == 0 {
			break
		}
		for _, e := range ready {
			all = append(all, e)
			expect.OK(h.t, h.Events.Done(h.t.Context(), e.Ref))
		}
	}
	slices.SortFunc(all, func(a, b event.Entry) int { return int(a.Key - b.Key) })
	for _, e := range all {
		var body map[string]any
		expect.OK(h.t, json.Unmarshal([]byte(e.Body), &body))
		list = append(list, body)
	}
	return list
}

// news are the events so far, with their tickets.
func (h *house) news() string {
	h.t.Helper()
	return h.newsOf("GameLift Matchmaking Event")
}

func (h *house) newsOf(kind string) string {
	h.t.Helper()
	var all []string
	for _, e := range h.told() {
		if e["detail-type"] != kind {
			continue
		}
		d := e["detail"].(map[string]any)
		word := strings.TrimPrefix(d["type"].(string), "Matchmaking")
		if a, ok := d["acceptance"]; ok {
			word += ":" + a.(string)
		}
		var ids []string
		for _, t := range d["tickets"].([]any) {
			ids = append(ids, t.(map[string]any)["ticketId"].(string))
		}
		all = append(all, word+"("+strings.Join(ids, " ")+")")
	}
	return strings.Join(all, " ")
}

// checkRows holds the tables to what must be true between any two transactions.
func (h *house) checkRows() {
	h.t.Helper()
	for what, query := range map[string]string{
		"ended and with a deadline, or waiting without one": `SELECT id FROM matchmaking_ticket WHERE (status <= 3) <> (deadline IS NOT NULL)`,
		"ended without an end, or with one before":          `SELECT id FROM matchmaking_ticket WHERE (status >= 6) <> (ended_at IS NOT NULL)`,
		"in a match that is not there":                      `SELECT id FROM matchmaking_ticket t WHERE status IN (4, 5) AND NOT EXISTS (SELECT 1 FROM matchmaking_match m WHERE m.key = t.match)`,
		"a match without tickets":                           `SELECT CAST(key AS TEXT) FROM matchmaking_match m WHERE NOT EXISTS (SELECT 1 FROM matchmaking_ticket t WHERE t.match = m.key AND t.status IN (4, 5))`,
		"a player held by an ended ticket":                  `SELECT t.id FROM matchmaking_player p JOIN matchmaking_ticket t ON t.key = p.ticket WHERE t.status >= 6`,
		"a player held by no ticket":                        `SELECT CAST(ticket AS TEXT) FROM matchmaking_player WHERE ticket NOT IN (SELECT key FROM matchmaking_ticket)`,
		"a game session's seats": `SELECT id FROM game_session g WHERE players <>
			(SELECT count(*) FROM player_session p WHERE p.game = g.key AND p.status IN (1, 2)) OR players > maximum`,
	} {
		expect.OK(h.t, h.DB.Read(h.t.Context(), func(tx *store.Tx) error {
			rows, err := tx.Query(query)
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			defer rows.Close()
			for rows.Next() {
				var id string
				if err := rows.Scan(&id); err != nil {
					return err
				}
				h.t.Errorf("%s: %s", what, id)
			}
			return rows.Err()
		}))
	}
}
