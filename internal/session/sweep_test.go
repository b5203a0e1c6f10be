package session_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// A clock that steps from one due instant to the next meets every deadline exactly.
func TestSteppingThroughDeadlines(t *testing.T) {
	each(t, func(r *rooms) {
		if _, ok, err := r.Due(t.Context()); ok || err != nil {
			t.Fatalf("due with nothing there: %v, %v", ok, err)
		}
		start := r.clock.Now()
		g := r.open(200)
		r.accepted(g, "who stays")
		var ids []string
		for i := range 5 {
			r.clock.Advance(time.Duration(i) * 7 * time.Millisecond)
			ids = append(ids, r.joined(g, fmt.Sprint("player ", i)))
		}
		r.process()
		slow := r.created(r.create(1))
		left := int32(len(ids))
		var steps []time.Duration
		for {
			due, ok, err := r.Due(t.Context())
			expect.OK(t, err)
			if !ok {
				break
			}
			r.tick(due.Sub(r.clock.Now()))
			steps = append(steps, due.Sub(start))
			if left > 0 {
				left--
				expect.Same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, left+1)
			}
			if len(steps) > 7 {
				t.Fatalf("steps without end: %v", steps)
			}
		}
		minute := time.Minute
		expect.Same(t, "steps", fmt.Sprint(steps[:6]), fmt.Sprint([]time.Duration{
			minute, minute + 7*time.Millisecond, minute + 21*time.Millisecond, minute + 42*time.Millisecond, minute + 70*time.Millisecond,
			70*time.Millisecond + 300*time.Second,
		}))
		for _, id := range ids {
			p := r.player(id)
			expect.Same(t, "termination", p.TerminationTime.Sub(*p.CreationTime), minute)
		}
		// The last step removes the game session that was never activated.
		expect.Same(t, "steps", len(steps), 7)
		list, err := r.DescribeGameSessions(t.Context(), &gamelift.DescribeGameSessionsInput{GameSessionId: slow.GameSessionId})
		expect.OK(t, err)
		expect.Same(t, "kept", len(list.GameSessions), 0)
	})
}

// Sessions are kept for 30 days after the game session's end, and then all of it is gone,
// in batches.
func TestRetention(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		r.Config.MaxPlayers = 5000
		g, lives := r.open(5000), r.open(5)
		stays := r.accepted(lives, "ann")
		var one string
		for i := range 50 { // more than one batch
			var players []string
			for k := range 25 {
				players = append(players, fmt.Sprintf("player %d-%d", i, k))
			}
			list, err := r.joinAll(g, players...)
			expect.OK(t, err)
			one = *list[0].PlayerSessionId
		}
		expect.OK(t, r.Computes.End(ctx, g.process, compute.Normal))
		for range 3 {
			expect.OK(t, r.Computes.End(ctx, r.open(1).process, compute.Normal))
		}
		r.tick(30*24*time.Hour - time.Millisecond)
		expect.Same(t, "status", r.game(g.id).Status, types.GameSessionStatusTerminated)
		expect.Same(t, "player", r.player(one).Status, types.PlayerSessionStatusTimedout)

		r.tick(time.Millisecond)
		list, err := r.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{FleetId: &r.fleet})
		expect.OK(t, err)
		expect.Same(t, "game sessions", len(list.GameSessions), 1)
		_, err = r.DescribePlayerSessions(ctx, &gamelift.DescribePlayerSessionsInput{GameSessionId: &g.id})
		expect.Refused(t, "by game session", err, missing, "GameSessionId")
		_, err = r.DescribePlayerSessions(ctx, &gamelift.DescribePlayerSessionsInput{PlayerSessionId: &one})
		expect.Refused(t, "by id", err, missing, "PlayerSessionId")
		_, err = r.join(g, "ann")
		expect.Refused(t, "join", err, missing, "GameSessionId")
		expect.Same(t, "the living", r.player(stays).Status, types.PlayerSessionStatusActive)
		for _, table := range []string{"game_session", "game_session_text", "player_session"} {
			expect.OK(t, r.DB.Read(ctx, func(tx *store.Tx) error {
				var n int
				expect.OK(t, tx.QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
				expect.Same(t, "rows of "+table, n, 1)
				return nil
			}))
		}
	})
}

// sessions-placement.md 12.17: whatever was under way when the server stopped goes on when
// it is back, by the deadlines that were set before.
func TestRestart(t *testing.T) {
	for name, url := range map[string]string{"sqlite": "sqlite:" + t.TempDir() + "/db", "postgres": storetest.PostgresURL(t)} {
		t.Run(name, func(t *testing.T) {
			clock := storetest.NewClock()
			open := func() *store.DB {
				db, err := store.Open(t.Context(), url, store.Options{Now: clock.Now})
				expect.OK(t, err)
				return db
			}
			db := open()
			r := furnish(t, db, clock)
			g := r.open(8)
			active := r.accepted(g, "ann")
			expired := r.joined(g, "bob")
			clock.Advance(50 * time.Second)
			waiting := r.joined(g, "cat")
			p := r.process()
			late := *r.created(r.create(1)).GameSessionId
			clock.Advance(250 * time.Second)
			r.inbox(p.Key)
			q := r.process()
			early := *r.created(r.create(1)).GameSessionId
			ending := r.open(2)
			_, err := r.terminate(ending.id, types.TerminationModeTriggerOnProcessTerminate)
			expect.OK(t, err)
			clock.Advance(-245 * time.Second)
			expect.OK(t, db.Close())

			clock.Advance(5 * time.Second) // while it is down
			db = open()
			defer func() { _ = db.Close() }()
			fleet := r.fleet
			r = &rooms{t: t, clock: clock, Service: service(db), fleet: fleet, dials: 100}
			r.tick(0)
			expect.Same(t, "expired while down", r.player(expired).Status, types.PlayerSessionStatusTimedout)
			expect.Same(t, "waiting", r.player(waiting).Status, types.PlayerSessionStatusReserved)
			expect.Same(t, "active", r.player(active).Status, types.PlayerSessionStatusActive)
			expect.Same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, 2)
			expect.OK(t, r.AcceptPlayer(t.Context(), g.process, g.id, waiting))
			expect.Same(t, "activating", r.game(early).Status, types.GameSessionStatusActivating)
			expect.Same(t, "start message kept", r.inbox(q.Key)[0]["Action"], any("CreateGameSession"))
			expect.OK(t, r.Activate(t.Context(), q.Key, early))
			expect.Same(t, "terminating", r.game(ending.id).Status, types.GameSessionStatusTerminating)
			expect.OK(t, r.Computes.End(t.Context(), ending.process, compute.Normal))
			expect.Same(t, "reason", r.game(ending.id).StatusReason, types.GameSessionStatusReasonTriggeredOnProcessTerminate)
			r.tick(240 * time.Second)
			r.tick(50 * time.Second)
			expect.Same(t, "never activated", r.game(late).Status, types.GameSessionStatusTerminated)
			expect.Same(t, "event", r.codes(fleet), "GAME_SESSION_ACTIVATION_TIMEOUT")
			r.checkCounts()
		})
	}
}
