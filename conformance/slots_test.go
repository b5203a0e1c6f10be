package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/paginate"
)

// Two hundred players fill a game session of two hundred; the next is told that it is full.
// A minute later those that nobody let in are gone and their slots are free; thirty days
// after the end of the game session all trace is.
func TestTwoHundredPlayers(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		w := newWorld(t, s)
		g, host := w.room(t, "ws", 200)
		room := *g.GameSessionId
		made := 0
		eachClient(t, func(t *testing.T, c *client) {
			if testing.Short() && c.name != "boto3 json" {
				t.Skip("the core subset has boto3 only")
			}
			for i := range 200 {
				c.must(t, s, "CreatePlayerSession", object{"GameSessionId": room, "PlayerId": fmt.Sprintf("%s %d", c.name, i)})
			}
			made += 200
			if e := c.fails(t, s, "CreatePlayerSession", object{"GameSessionId": room, "PlayerId": "one too many"}); e.Class != "GameSessionFullException" {
				t.Errorf("player 201: %+v", *e)
			}
			if e := c.fails(t, s, "CreatePlayerSessions", object{"GameSessionId": room, "PlayerIds": []any{"201", "202"}}); e.Class != "GameSessionFullException" {
				t.Errorf("players 201 and 202: %+v", *e)
			}
			w.counts(t, room, 200, made)

			s.advance(t, 59999*time.Millisecond)
			w.counts(t, room, 200, made)
			s.advance(t, time.Millisecond)
			w.counts(t, room, 0, made)
			timedOut := playersOf(t, w.api, room, "TIMEDOUT")
			if len(timedOut) != made {
				t.Errorf("%d of %d player sessions are TIMEDOUT", len(timedOut), made)
			}
			for _, p := range timedOut {
				if p.TerminationTime == nil || p.TerminationTime.Sub(*p.CreationTime) != time.Minute {
					t.Fatalf("%s created %v, ended %v", *p.PlayerSessionId, p.CreationTime, p.TerminationTime)
				}
			}
		})

		// All or none: 25 of the last 24 slots.
		for i := range 7 {
			w.join25(t, room, i, 25)
		}
		w.join(t, room, "the 176th")
		many := &gamelift.CreatePlayerSessionsInput{GameSessionId: &room, PlayerIds: names25(9, 25)}
		if _, err := w.api.CreatePlayerSessions(t.Context(), many); !isFull(err) {
			t.Errorf("25 players into 24 slots: %v", err)
		}
		w.counts(t, room, 176, made+176)
		w.join25(t, room, 9, 24)
		w.counts(t, room, 200, made+200)

		s.advance(t, time.Minute)
		stays := w.join(t, room, "stays")
		host.enter(t, *stays.PlayerSessionId)
		host.end(t)
		if code := host.ends(t); code != 0 {
			t.Errorf("the game server ended with code %d", code)
		}
		s.advance(t, 30*24*time.Hour-time.Second)
		if p := w.player(t, *stays.PlayerSessionId); p.Status != types.PlayerSessionStatusCompleted {
			t.Errorf("the player who stayed is %s", p.Status)
		}
		s.advance(t, time.Second)
		eachClient(t, func(t *testing.T, c *client) {
			for _, in := range []object{{"GameSessionId": room}, {"PlayerSessionId": *stays.PlayerSessionId}} {
				if e := c.fails(t, s, "DescribePlayerSessions", in); e.Class != "NotFoundException" {
					t.Errorf("after 30 days: %+v", *e)
				}
			}
			if got, want := c.must(t, s, "DescribePlayerSessions", object{"PlayerId": "stays"}), (object{"PlayerSessions": []any{}}); !c.same(got, want) {
				t.Errorf("after 30 days: %s", show(got))
			}
			if got, want := c.must(t, s, "DescribeGameSessions", object{"FleetId": w.fleet}), (object{"GameSessions": []any{}}); !c.same(got, want) {
				t.Errorf("after 30 days: %s", show(got))
			}
		})
	})
}

func names25(group, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("group-%d-%d", group, i))
	}
	return names
}

func (w *world) join25(t testing.TB, room string, group, n int) {
	t.Helper()
	_, err := w.api.CreatePlayerSessions(t.Context(), &gamelift.CreatePlayerSessionsInput{GameSessionId: &room, PlayerIds: names25(group, n)})
	check(t, err)
}

func isFull(err error) bool {
	_, full := errors.AsType[*types.GameSessionFullException](err)
	return full
}

// playersOf lists a game session's players, all or those of a status.
func playersOf(t testing.TB, api *gamelift.Client, room, status string) []types.PlayerSession {
	t.Helper()
	in := &gamelift.DescribePlayerSessionsInput{GameSessionId: &room}
	if status != "" {
		in.PlayerSessionStatusFilter = &status
	}
	it, err := paginate.New(paginate.DescribePlayerSessions, api, in, paginate.Options{PageSize: 1000})
	check(t, err)
	all, err := it.Collect(t.Context())
	check(t, err)
	return all.Items
}

// counts checks that a game session says that it has players, that as many are RESERVED or
// ACTIVE, and how many player sessions there are in all.
func (w *world) counts(t testing.TB, room string, players, all int) {
	t.Helper()
	rows := playersOf(t, w.api, room, "")
	holding := 0
	for _, p := range rows {
		if p.Status == types.PlayerSessionStatusReserved || p.Status == types.PlayerSessionStatusActive {
			holding++
		}
	}
	if n := int(*w.describe(t, room).CurrentPlayerSessionCount); n != players || holding != players || len(rows) != all {
		t.Errorf("the game session says %d players, %d player sessions hold a slot, %d are there in all; want %d, %d, %d",
			n, holding, len(rows), players, players, all)
	}
}

// storm lets callers players join at once, through each of the servers in turn, and counts
// who got in. Whoever did not must have been told that the game session is full.
func storm(t *testing.T, room string, callers int, apis ...*gamelift.Client) (in int) {
	t.Helper()
	var won atomic.Int32
	var all sync.WaitGroup
	start := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range callers {
		all.Go(func() {
			<-start
			_, err := apis[i%len(apis)].CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: &room, PlayerId: new(fmt.Sprintf("caller-%d", i))})
			switch {
			case err == nil:
				won.Add(1)
			case !isFull(err):
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	close(start)
	all.Wait()
	return int(won.Load())
}

func TestSixHundredCallersForTheLastHundredSlots(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		w := newWorld(t, s)
		lastHundredSlots(t, w, w.api)
	})
	t.Run("two servers on one PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := storetest.PostgresURL(t)
		first, second := serve(t, url), serve(t, url)
		lastHundredSlots(t, newWorld(t, first), sdk(first), sdk(second))
	})
}

func lastHundredSlots(t *testing.T, w *world, apis ...*gamelift.Client) {
	t.Helper()
	g, _ := w.room(t, "ws", 200)
	for i := range 4 {
		w.join25(t, *g.GameSessionId, i, 25)
	}
	if in := storm(t, *g.GameSessionId, 600, apis...); in != 100 {
		t.Errorf("%d of 600 callers got one of 100 slots", in)
	}
	w.counts(t, *g.GameSessionId, 200, 200)
}

// serve starts `matchyard serve` with a root key, on a database or on SQLite in its folder.
func serve(t *testing.T, url string, args ...string) *server {
	t.Helper()
	s := &server{data: t.TempDir(), store: url, key: "AKIDROOTROOTROOTROOT", secret: "a-secret-for-tests-of-forty-characters-0"}
	s.env = []string{"MATCHYARD_ROOT_ACCESS_KEY_ID=" + s.key, "MATCHYARD_ROOT_SECRET_ACCESS_KEY=" + s.secret}
	s.args = []string{"serve", "--data", s.data, "--log-level", "warn"}
	if url == "" {
		s.store = "sqlite:" + s.data + "/matchyard.db"
	}
	s.args = append(append(s.args, "--store", s.store), args...)
	s.start(t, "127.0.0.1:0", "127.0.0.1:0")
	return s
}

// The server is killed while players pour in. Whoever was told that he has a place has one
// after the restart; the counts are right; the game servers come back and go on.
func TestKilledInAStormOfJoins(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			s := dev(t, database)
			w := newWorld(t, s)
			type table struct {
				room string
				host *game
			}
			var tables []table
			for range 4 {
				g, host := w.room(t, "ws", 200)
				tables = append(tables, table{*g.GameSessionId, host})
			}
			inside := w.join(t, tables[0].room, "inside")
			visit := tables[0].host.enter(t, *inside.PlayerSessionId)

			var mu sync.Mutex
			acknowledged := map[string]string{*inside.PlayerSessionId: tables[0].room}
			var all sync.WaitGroup
			enough := make(chan struct{})
			for caller := range 24 {
				all.Go(func() {
					for i := range 100 {
						room := tables[(caller+i)%len(tables)].room
						out, err := w.api.CreatePlayerSession(context.Background(), &gamelift.CreatePlayerSessionInput{
							GameSessionId: &room, PlayerId: new(fmt.Sprintf("storm-%d-%d", caller, i)),
						})
						if isFull(err) {
							continue
						}
						if err != nil {
							return // killed
						}
						mu.Lock()
						acknowledged[*out.PlayerSession.PlayerSessionId] = room
						if len(acknowledged) == 300 {
							close(enough)
						}
						mu.Unlock()
					}
				})
			}
			select {
			case <-enough:
			case <-time.After(time.Minute):
				t.Fatal("no 300 players after a minute")
			}
			s.kill()
			all.Wait()
			s.restart(t)

			for _, at := range tables {
				rows := playersOf(t, w.api, at.room, "")
				there := map[string]bool{}
				for _, p := range rows {
					there[*p.PlayerSessionId] = true
				}
				for id, room := range acknowledged {
					if room == at.room && !there[id] {
						t.Errorf("player session %s was acknowledged and is lost", id)
					}
				}
				w.counts(t, at.room, len(rows), len(rows))
			}

			// The game servers dial again by themselves and know their players.
			if p := w.player(t, *inside.PlayerSessionId); p.Status != types.PlayerSessionStatusActive {
				t.Errorf("the player inside is %s", p.Status)
			}
			if got := visit.say(t, "LEAVE"); got != "BYE" {
				t.Error(got)
			}
			eventually(t, "the player inside has left", func() bool {
				return w.player(t, *inside.PlayerSessionId).Status == types.PlayerSessionStatusCompleted
			})
			for _, at := range tables {
				waiting := playersOf(t, w.api, at.room, "RESERVED")
				if len(waiting) == 0 {
					t.Fatal("nobody waits")
				}
				id := *waiting[0].PlayerSessionId
				var answer string
				eventually(t, "a game server lets a player in: "+answer, func() bool {
					answer = at.host.connect(t).say(t, "JOIN "+id)
					return answer == "OK"
				})
				if p := w.player(t, id); p.Status != types.PlayerSessionStatusActive {
					t.Errorf("the player let in is %s", p.Status)
				}
			}
			tables[0].host.end(t)
			eventually(t, "the game session has ended", func() bool {
				return w.describe(t, tables[0].room).Status == types.GameSessionStatusTerminated
			})
		})
	}
}
