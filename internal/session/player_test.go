package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// sessions-placement.md 12.1.
func TestReservationTimesOut(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(1)
		id := r.joined(g, "ann")
		_, err := r.join(g, "bob")
		expect.Refused(t, "second player", err, full, "1 of 1")

		r.tick(60*time.Second - time.Millisecond)
		expect.Same(t, "status just before the deadline", r.player(id).Status, types.PlayerSessionStatusReserved)
		due, ok, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", due.Sub(r.clock.Now()), time.Millisecond)
		expect.Same(t, "is due", ok, true)

		r.clock.Advance(time.Millisecond)
		expect.Refused(t, "accept at the deadline, before any sweep", r.AcceptPlayer(t.Context(), g.process, g.id, id), invalid, "TIMEDOUT instead of RESERVED")
		expect.Refused(t, "remove at the deadline, before any sweep", r.RemovePlayer(t.Context(), g.process, g.id, id), invalid, "TIMEDOUT")
		r.tick(0)
		p := r.player(id)
		expect.Same(t, "status", p.Status, types.PlayerSessionStatusTimedout)
		expect.Same(t, "termination", p.TerminationTime.Sub(*p.CreationTime), time.Minute)
		expect.Same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, 0)
		expect.Refused(t, "accept", r.AcceptPlayer(t.Context(), g.process, g.id, id), invalid, "has a status of TIMEDOUT instead of RESERVED", id)
		expect.Refused(t, "remove", r.RemovePlayer(t.Context(), g.process, g.id, id), invalid, "TIMEDOUT")
		r.joined(g, "bob")
	})
}

// A sweep that comes late changes nothing about when a reservation ended.
func TestLateSweep(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(200)
		var ids []string
		for i := range 3 {
			ids = append(ids, r.joined(g, fmt.Sprint("player ", i)))
			r.clock.Advance(time.Second)
		}
		r.accepted(g, "the one who stays")
		r.tick(time.Hour)
		for _, id := range ids {
			p := r.player(id)
			expect.Same(t, "termination", p.TerminationTime.Sub(*p.CreationTime), time.Minute)
		}
		expect.Same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, 1)
		r.tick(0)
		expect.Same(t, "count after another sweep", *r.game(g.id).CurrentPlayerSessionCount, 1)
	})
}

// More reservations than a sweep takes at once, over several game sessions.
func TestManyReservationsTimeOut(t *testing.T) {
	each(t, func(r *rooms) {
		r.Config.MaxPlayers = 1000
		var games []room
		for range 3 {
			g := r.open(1000)
			games = append(games, g)
			for i := range 32 {
				var players []string
				for k := range 25 {
					players = append(players, fmt.Sprintf("player %d-%d", i, k))
				}
				_, err := r.joinAll(g, players...)
				expect.OK(t, err)
			}
		}
		r.accepted(games[1], "ann")
		r.tick(time.Minute)
		for i, want := range []int32{0, 1, 0} {
			expect.Same(t, "count", *r.game(games[i].id).CurrentPlayerSessionCount, want)
		}
	})
}

func TestLifeOfAPlayerSession(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(2)
		ctx := t.Context()
		reserved, err := r.join(g, "ann")
		expect.OK(t, err)
		id := *reserved.PlayerSessionId
		expect.Same(t, "members of a new one", expect.Members(reserved), "CreationTime FleetArn FleetId GameSessionId IpAddress PlayerId PlayerSessionId Port Status")
		expect.Same(t, "described", expect.JSON(r.player(id)), expect.JSON(reserved))
		expect.Same(t, "fleet ARN", *reserved.FleetArn, "arn:aws:gamelift:us-west-2:123456789012:fleet/"+r.fleet)
		expect.Same(t, "game session", *reserved.GameSessionId, g.id)
		expect.Same(t, "address", *reserved.IpAddress, "10.0.0.1")
		if !strings.HasPrefix(id, "psess-") || len(id) != 42 {
			t.Errorf("id %q is not psess-<uuid>", id)
		}

		r.clock.Advance(30 * time.Second)
		expect.OK(t, r.AcceptPlayer(ctx, g.process, g.id, id))
		expect.Same(t, "status", r.player(id).Status, types.PlayerSessionStatusActive)
		expect.Refused(t, "accept twice", r.AcceptPlayer(ctx, g.process, g.id, id), invalid, "PlayerSession ("+id+") has a status of ACTIVE instead of RESERVED")
		r.tick(time.Hour)
		expect.Same(t, "status an hour later", r.player(id).Status, types.PlayerSessionStatusActive)

		expect.OK(t, r.RemovePlayer(ctx, g.process, g.id, id))
		p := r.player(id)
		expect.Same(t, "status", p.Status, types.PlayerSessionStatusCompleted)
		expect.Same(t, "termination", *p.TerminationTime, r.clock.Now())
		expect.Same(t, "members of a completed one", expect.Members(p), "CreationTime FleetArn FleetId GameSessionId IpAddress PlayerId PlayerSessionId Port Status TerminationTime")
		expect.Same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, 0)
		expect.OK(t, r.RemovePlayer(ctx, g.process, g.id, id))
		expect.Same(t, "count after removing twice", *r.game(g.id).CurrentPlayerSessionCount, 0)
		expect.Refused(t, "accept a completed one", r.AcceptPlayer(ctx, g.process, g.id, id), invalid, "COMPLETED instead of RESERVED")

		never := r.joined(g, "bob")
		expect.OK(t, r.RemovePlayer(ctx, g.process, g.id, never))
		expect.Same(t, "removed before it was accepted", r.player(never).Status, types.PlayerSessionStatusCompleted)

		other := r.open(2)
		theirs := r.joined(other, "eve")
		expect.Refused(t, "accept another game session's", r.AcceptPlayer(ctx, g.process, g.id, theirs), missing, "PlayerSessionId")
		expect.Refused(t, "accept for another process", r.AcceptPlayer(ctx, g.process, other.id, theirs), invalid, "another process")
		expect.Refused(t, "accept an unknown one", r.AcceptPlayer(ctx, g.process, g.id, unknownPlayer), missing, "PlayerSessionId")
		expect.Refused(t, "accept nonsense", r.AcceptPlayer(ctx, g.process, g.id, "psess-\x00"), missing, "PlayerSessionId")
		expect.Refused(t, "accept in nonsense", r.AcceptPlayer(ctx, g.process, "arn:aws:gamelift:us-west-2::gamesession/fleet-1/\x00", theirs), missing, "GameSessionId")
		expect.Refused(t, "remove an unknown one", r.RemovePlayer(ctx, g.process, g.id, unknownPlayer), missing, "PlayerSessionId")
		guessed := theirs[:len(theirs)-1] + string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", theirs[len(theirs)-1])+1)%16])
		expect.Refused(t, "accept a guessed one", r.AcceptPlayer(ctx, other.process, other.id, guessed), missing, "PlayerSessionId")
	})
}

func TestWhoMayJoin(t *testing.T) {
	each(t, func(r *rooms) {
		p := r.process()
		g := room{*r.created(r.create(3)).GameSessionId, p.Key}
		_, err := r.join(g, "ann")
		expect.Refused(t, "while ACTIVATING", err, badStatus, "ACTIVATING")
		expect.OK(t, r.Activate(t.Context(), p.Key, g.id))
		expect.OK(t, r.SetCreationPolicy(t.Context(), p.Key, g.id, "DENY_ALL"))
		_, err = r.join(g, "ann")
		expect.Refused(t, "with DENY_ALL", err, badStatus, "DENY_ALL")
		expect.OK(t, r.SetCreationPolicy(t.Context(), p.Key, g.id, "ACCEPT_ALL"))
		expect.Refused(t, "another policy", r.SetCreationPolicy(t.Context(), p.Key, g.id, "NOT_SET"), invalid, "PlayerSessionPolicy")

		out, err := r.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &g.id, PlayerId: new("ann"), PlayerData: new("red")})
		expect.OK(t, err)
		expect.Same(t, "data", *out.PlayerSession.PlayerData, "red")
		r.joined(g, "ann") // again: a second slot
		expect.Same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, 2)

		for name, id := range map[string]string{
			"unknown":   strings.TrimSuffix(g.id, g.id[len(g.id)-4:]) + "0000",
			"no ARN":    "abc",
			"moved":     strings.Replace(g.id, "/custom-east/", "/custom-west/", 1),
			"elsewhere": strings.Replace(g.id, r.fleet, unknownFleet, 1),
		} {
			_, err = r.join(room{id: id}, "ann")
			expect.Refused(t, name, err, missing, "GameSessionId")
		}
		old := strings.Replace(strings.Replace(g.id, "/custom-east/", "/", 1), "us-west-2", "custom-east", 1)
		_, err = r.join(room{id: old}, "cat")
		expect.OK(t, err)

		expect.OK(t, r.Computes.End(t.Context(), p.Key, compute.Normal))
		_, err = r.join(g, "dan")
		expect.Refused(t, "after the end", err, badStatus, "TERMINATED")

		empty := r.open(0)
		_, err = r.join(empty, "ann")
		expect.Refused(t, "with no slots", err, full)
	})
}

// sessions-placement.md 12.2.
func TestAllOrNothing(t *testing.T) {
	each(t, func(r *rooms) {
		var players []string
		for i := range 25 {
			players = append(players, fmt.Sprint("player ", i))
		}
		g := r.open(25)
		_, err := r.joinAll(g, append(players, "one more")...)
		expect.Refused(t, "26 players", err, invalid, "PlayerIds")
		_, err = r.joinAll(g)
		expect.Refused(t, "no players", err, invalid, "PlayerIds")

		out, err := r.CreatePlayerSessions(t.Context(), &gamelift.CreatePlayerSessionsInput{
			GameSessionId: &g.id, PlayerIds: players, PlayerDataMap: map[string]string{"player 3": "blue", "nobody": "green"},
		})
		expect.OK(t, err)
		var ids []string
		for i, p := range out.PlayerSessions {
			expect.Same(t, "player", *p.PlayerId, players[i])
			expect.Same(t, "has data", p.PlayerData != nil, i == 3)
			ids = append(ids, *p.PlayerSessionId)
		}
		expect.Same(t, "data", *out.PlayerSessions[3].PlayerData, "blue")
		expect.Same(t, "sessions", len(slices.Compact(slices.Sorted(slices.Values(ids)))), 25)
		expect.Same(t, "in order", slices.IsSorted(ids), true)

		g = r.open(24)
		_, err = r.joinAll(g, players...)
		expect.Refused(t, "25 into 24", err, full, "too many for 25 more")
		expect.Same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, 0)
		expect.Same(t, "made", len(r.list(&gamelift.DescribePlayerSessionsInput{GameSessionId: &g.id}, 100)), 0)
		_, err = r.joinAll(g, "ann", "ann")
		expect.OK(t, err)
		expect.Same(t, "count of a player named twice", *r.game(g.id).CurrentPlayerSessionCount, 2)
	})
}

// sessions-placement.md 12.3: never a slot twice, over single joins and joins of several,
// of one game session and of others at the same time.
func TestSlotsAreGivenOnce(t *testing.T) {
	each(t, func(r *rooms) {
		contend(t, []*rooms{r, r}, r.open(100), r.open(100))
	})
}

// The same from two nodes on one database.
func TestSlotsAreGivenOnceByTwoNodes(t *testing.T) {
	url := storetest.PostgresURL(t)
	clock := storetest.NewClock()
	var nodes []*rooms
	for range 2 {
		db, err := store.Open(t.Context(), url, store.Options{Now: clock.Now})
		expect.OK(t, err)
		t.Cleanup(func() { _ = db.Close() })
		if nodes == nil {
			nodes = append(nodes, furnish(t, db, clock))
			continue
		}
		nodes = append(nodes, &rooms{t: t, clock: clock, Service: service(db), fleet: nodes[0].fleet})
	}
	a, b := nodes[0].open(100), nodes[0].open(100)
	contend(t, nodes, a, b)
	nodes[1].checkCounts()
}

// contend has 600 callers on two nodes ask for the 100 slots of each of two game sessions.
func contend(t *testing.T, nodes []*rooms, games ...room) {
	t.Helper()
	var got, refusals [2]atomic.Int64
	var wg sync.WaitGroup
	for i := range 600 {
		for k, g := range games {
			wg.Go(func() {
				r, n := nodes[i%2], 1
				var err error
				if i%7 == 0 { // pairs
					n = 2
					_, err = r.joinAll(g, fmt.Sprint("left ", i), fmt.Sprint("right ", i))
				} else {
					_, err = r.join(g, fmt.Sprint("player ", i))
				}
				if err == nil {
					got[k].Add(int64(n))
					return
				}
				refusals[k].Add(1)
				if _, ok := errors.AsType[*types.GameSessionFullException](err); !ok {
					t.Errorf("join: %v", err)
				}
			})
		}
	}
	wg.Wait()
	for k, g := range games {
		if n := got[k].Load(); n != 100 {
			t.Errorf("%d slots given of 100, %d calls refused", n, refusals[k].Load())
		}
		expect.Same(t, "count", *nodes[0].game(g.id).CurrentPlayerSessionCount, 100)
	}
}

// sessions-placement.md 12.4: a process that ends takes its game session with it.
func TestProcessEnds(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(10)
		playing, late := r.accepted(g, "ann"), r.joined(g, "bob")
		r.clock.Advance(time.Minute + time.Second)
		waiting := r.joined(g, "cat")
		done := r.accepted(g, "dan")
		expect.OK(t, r.RemovePlayer(t.Context(), g.process, g.id, done))
		ended := r.player(done)
		r.clock.Advance(time.Second)
		expect.OK(t, r.Computes.End(t.Context(), g.process, compute.Crashed))

		game := r.game(g.id)
		expect.Same(t, "status", game.Status, types.GameSessionStatusTerminated)
		expect.Same(t, "reason", game.StatusReason, "")
		expect.Same(t, "termination", *game.TerminationTime, r.clock.Now())
		expect.Same(t, "count", *game.CurrentPlayerSessionCount, 0)
		for id, want := range map[string]types.PlayerSessionStatus{
			playing: types.PlayerSessionStatusCompleted, waiting: types.PlayerSessionStatusTimedout,
		} {
			p := r.player(id)
			expect.Same(t, "status", p.Status, want)
			expect.Same(t, "termination", *p.TerminationTime, r.clock.Now())
		}
		p := r.player(late)
		expect.Same(t, "status of one whose time was over", p.Status, types.PlayerSessionStatusTimedout)
		expect.Same(t, "its termination", p.TerminationTime.Sub(*p.CreationTime), time.Minute)
		expect.Same(t, "one that had ended", expect.JSON(r.player(done)), expect.JSON(ended))
		expect.Refused(t, "accept", r.AcceptPlayer(t.Context(), g.process, g.id, waiting), badStatus, "TERMINATED")
		expect.OK(t, r.RemovePlayer(t.Context(), g.process, g.id, playing))
		r.tick(time.Hour)
		expect.Same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, 0)
	})
}

// list reads player sessions to the end, page by page.
func (r *rooms) list(in *gamelift.DescribePlayerSessionsInput, size int32) []types.PlayerSession {
	r.t.Helper()
	return walk(r.t, int(size), func(token *string) ([]types.PlayerSession, *string, error) {
		in := *in
		in.Limit, in.NextToken = &size, token
		out, err := r.DescribePlayerSessions(r.t.Context(), &in)
		if err != nil {
			return nil, nil, err
		}
		return out.PlayerSessions, out.NextToken, nil
	})
}

// walk reads a listing to its end and checks what holds for every listing: pages no longer
// than the limit, no token twice, and none after the last row.
func walk[T any](t testing.TB, limit int, next func(token *string) ([]T, *string, error)) []T {
	t.Helper()
	var all []T
	var token *string
	seen := map[string]bool{}
	for {
		rows, following, err := next(token)
		expect.OK(t, err)
		if rows == nil || len(rows) > limit {
			t.Fatalf("page of %d rows (nil: %v), limit %d", len(rows), rows == nil, limit)
		}
		all = append(all, rows...)
		if following == nil {
			return all
		}
		if *following == "" || seen[*following] || len(rows) == 0 {
			t.Fatalf("token %q after %d rows: empty, repeated, or after an empty page", *following, len(all))
		}
		seen[*following], token = true, following
	}
}

func ids(list []types.PlayerSession) string {
	var all []string
	for _, p := range list {
		all = append(all, *p.PlayerSessionId)
	}
	return strings.Join(all, " ")
}

func TestPages(t *testing.T) {
	each(t, func(r *rooms) {
		g, other := r.open(200), r.open(200)
		var all, active []string
		for i := range 23 {
			id := r.joined(g, fmt.Sprint("player ", i))
			all = append(all, id)
			r.joined(other, fmt.Sprint("player ", i))
			switch i % 4 {
			case 1:
				expect.OK(t, r.AcceptPlayer(t.Context(), g.process, g.id, id))
				active = append(active, id)
			case 2:
				expect.OK(t, r.RemovePlayer(t.Context(), g.process, g.id, id))
			}
			if i%3 == 0 {
				r.clock.Advance(time.Millisecond)
			}
		}
		in := &gamelift.DescribePlayerSessionsInput{GameSessionId: &g.id}
		filtered := &gamelift.DescribePlayerSessionsInput{GameSessionId: &g.id, PlayerSessionStatusFilter: new("ACTIVE")}
		for _, size := range []int32{1, 2, 7, 22, 23, 24, 100, 5000} {
			expect.Same(t, fmt.Sprint("all in pages of ", size), ids(r.list(in, size)), strings.Join(all, " "))
			expect.Same(t, fmt.Sprint("active in pages of ", size), ids(r.list(filtered, size)), strings.Join(active, " "))
		}
		expect.Same(t, "without Limit", len(r.list(&gamelift.DescribePlayerSessionsInput{GameSessionId: &g.id}, 100)), 23)

		// What changes or comes while pages are read is neither left out nor repeated.
		var seen []string
		var token *string
		for {
			in := *in
			in.Limit, in.NextToken = new(int32(5)), token
			out, err := r.DescribePlayerSessions(t.Context(), &in)
			expect.OK(t, err)
			for _, p := range out.PlayerSessions {
				seen = append(seen, *p.PlayerSessionId)
			}
			if token = out.NextToken; token == nil {
				break
			}
			if len(seen) < 10 {
				all = append(all, r.joined(g, "a late one"))
			}
			expect.OK(t, r.RemovePlayer(t.Context(), g.process, g.id, seen[len(seen)-2]))
		}
		expect.Same(t, "seen while changing", strings.Join(seen, " "), strings.Join(all, " "))

		// The same token gives the same page, and only for the same parameters.
		first, err := r.DescribePlayerSessions(t.Context(), &gamelift.DescribePlayerSessionsInput{GameSessionId: &g.id, Limit: new(int32(3))})
		expect.OK(t, err)
		again := func(change func(*gamelift.DescribePlayerSessionsInput)) (*gamelift.DescribePlayerSessionsOutput, error) {
			in := &gamelift.DescribePlayerSessionsInput{GameSessionId: &g.id, Limit: new(int32(3)), NextToken: first.NextToken}
			change(in)
			return r.DescribePlayerSessions(t.Context(), in)
		}
		a, err := again(func(*gamelift.DescribePlayerSessionsInput) {})
		expect.OK(t, err)
		b, err := again(func(in *gamelift.DescribePlayerSessionsInput) { in.Limit = new(int32(4)) })
		expect.OK(t, err)
		expect.Same(t, "page of a token", ids(a.PlayerSessions), ids(b.PlayerSessions[:3]))
		for name, change := range map[string]func(*gamelift.DescribePlayerSessionsInput){
			"another game session": func(in *gamelift.DescribePlayerSessionsInput) { in.GameSessionId = &other.id },
			"a filter":             func(in *gamelift.DescribePlayerSessionsInput) { in.PlayerSessionStatusFilter = new("ACTIVE") },
			"a player":             func(in *gamelift.DescribePlayerSessionsInput) { in.PlayerId = new("player 1") },
			"an altered token":     func(in *gamelift.DescribePlayerSessionsInput) { in.NextToken = new("AAAA" + *in.NextToken) },
		} {
			_, err := again(change)
			expect.Refused(t, "token with "+name, err, invalid, "NextToken")
		}
	})
}

// sessions-placement.md 3.2, 3.3 and 12.6.
func TestIdentifiersAndFilters(t *testing.T) {
	each(t, func(r *rooms) {
		g, other := r.open(200), r.open(200)
		reserved := r.joined(g, "ann")
		active := r.accepted(g, "ann")
		elsewhere := r.joined(other, "ann")
		r.joined(g, "bob")
		in := func(change func(*gamelift.DescribePlayerSessionsInput)) *gamelift.DescribePlayerSessionsInput {
			in := &gamelift.DescribePlayerSessionsInput{}
			change(in)
			return in
		}
		type input = gamelift.DescribePlayerSessionsInput
		for name, c := range map[string]struct {
			in   *input
			want string
		}{
			"player":                  {in(func(i *input) { i.PlayerId = new("ann") }), reserved + " " + active + " " + elsewhere},
			"player and a filter":     {in(func(i *input) { i.PlayerId, i.PlayerSessionStatusFilter = new("ann"), new("COMPLETED") }), reserved + " " + active + " " + elsewhere},
			"player and game session": {in(func(i *input) { i.PlayerId, i.GameSessionId = new("ann"), &other.id }), elsewhere},
			"player and unknown game": {in(func(i *input) { i.PlayerId, i.GameSessionId = new("ann"), new("abc") }), ""},
			"unknown player":          {in(func(i *input) { i.PlayerId = new("ANN") }), ""},
			"impossible player":       {in(func(i *input) { i.PlayerId = new("\x00") }), ""},
			"id":                      {in(func(i *input) { i.PlayerSessionId = &active }), active},
			"id with its player":      {in(func(i *input) { i.PlayerSessionId, i.PlayerId = &active, new("ann") }), active},
			"id with its game":        {in(func(i *input) { i.PlayerSessionId, i.GameSessionId = &active, &g.id }), active},
			"id with another player":  {in(func(i *input) { i.PlayerSessionId, i.PlayerId = &active, new("bob") }), ""},
			"id with another game":    {in(func(i *input) { i.PlayerSessionId, i.GameSessionId = &active, &other.id }), ""},
			"id with filter, limit and token": {in(func(i *input) {
				i.PlayerSessionId, i.PlayerSessionStatusFilter, i.Limit, i.NextToken = &active, new("TIMEDOUT"), new(int32(1)), new("anything")
			}), active},
			"game session and filter": {in(func(i *input) { i.GameSessionId, i.PlayerSessionStatusFilter = &g.id, new("ACTIVE") }), active},
			"nobody completed":        {in(func(i *input) { i.GameSessionId, i.PlayerSessionStatusFilter = &g.id, new("COMPLETED") }), ""},
		} {
			out, err := r.DescribePlayerSessions(t.Context(), c.in)
			expect.OK(t, err)
			expect.Same(t, name, ids(out.PlayerSessions), c.want)
			expect.Same(t, name+": token", out.NextToken == nil, true)
			expect.Same(t, name+": a list", out.PlayerSessions != nil, true)
		}
		expect.Same(t, "a player in pages", ids(r.list(in(func(i *input) { i.PlayerId = new("ann") }), 1)), reserved+" "+active+" "+elsewhere)
		for name, c := range map[string]struct {
			in         *input
			code, word string
		}{
			"none":                 {in(func(*input) {}), invalid, "PlayerSessionId, PlayerId, GameSessionId"},
			"unknown game session": {in(func(i *input) { i.GameSessionId = new(g.id + "0") }), missing, "GameSessionId"},
			"unknown id":           {in(func(i *input) { i.PlayerSessionId = new(unknownPlayer) }), missing, "PlayerSessionId"},
			"foreign id":           {in(func(i *input) { i.PlayerSessionId = new("psess-1") }), missing, "PlayerSessionId"},
			"filter":               {in(func(i *input) { i.GameSessionId, i.PlayerSessionStatusFilter = &g.id, new("active") }), invalid, "PlayerSessionStatusFilter"},
			"filter with an id":    {in(func(i *input) { i.PlayerSessionId, i.PlayerSessionStatusFilter = &active, new("") }), invalid, "PlayerSessionStatusFilter"},
		} {
			_, err := r.DescribePlayerSessions(t.Context(), c.in)
			expect.Refused(t, name, err, c.code, c.word)
		}
	})
}

// A server process sees its own fleet's players, 50 a page.
func TestPlayersForAProcess(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(200)
		ctx := t.Context()
		for i := range 60 {
			r.joined(g, fmt.Sprint("player ", i))
		}
		page, next, err := r.DescribePlayers(ctx, g.process, session.PlayerQuery{GameSessionID: g.id, Limit: 1000})
		expect.OK(t, err)
		expect.Same(t, "first page", len(page), 50)
		page, next, err = r.DescribePlayers(ctx, g.process, session.PlayerQuery{GameSessionID: g.id, Limit: 1000, NextToken: next})
		expect.OK(t, err)
		expect.Same(t, "second page", len(page), 10)
		expect.Same(t, "token after the last", next, "")

		fleet := r.newFleet(nil)
		stranger := r.processOf(fleet, east)
		here := *page[0].PlayerSessionId
		_, _, err = r.DescribePlayers(ctx, 4711, session.PlayerQuery{GameSessionID: g.id})
		expect.Refused(t, "a process that is forgotten", err, missing, "ended long ago")
		_, _, err = r.DescribePlayers(ctx, stranger.Key, session.PlayerQuery{GameSessionID: g.id})
		expect.Refused(t, "another fleet's game session", err, missing, "GameSessionId")
		_, _, err = r.DescribePlayers(ctx, stranger.Key, session.PlayerQuery{PlayerSessionID: here})
		expect.Refused(t, "another fleet's player session", err, missing, "PlayerSessionId")
		page, _, err = r.DescribePlayers(ctx, stranger.Key, session.PlayerQuery{PlayerID: "player 1"})
		expect.OK(t, err)
		expect.Same(t, "another fleet's player", len(page), 0)
		page, _, err = r.DescribePlayers(ctx, g.process, session.PlayerQuery{PlayerID: "player 1", Status: "RESERVED"})
		expect.OK(t, err)
		expect.Same(t, "own fleet's player", len(page), 1)
		_, _, err = r.DescribePlayers(ctx, g.process, session.PlayerQuery{})
		expect.Refused(t, "nothing asked", err, invalid)
	})
}

// The DNS name that a compute was registered with is on every answer.
func TestDNSName(t *testing.T) {
	each(t, func(r *rooms) {
		_, err := r.Computes.RegisterCompute(t.Context(), &gamelift.RegisterComputeInput{
			FleetId: &r.fleet, ComputeName: new("named"), DnsName: new("arena.example.com"), IpAddress: new("10.0.0.9"), Location: new(string(west)),
		})
		expect.OK(t, err)
		p, err := r.Computes.Connect(t.Context(), compute.Dial{ProcessID: "named", Compute: "named", Fleet: arn.FleetID(r.fleet), SDKVersion: "5.5.0", SDKLanguage: "Go", Trusted: true})
		expect.OK(t, err)
		expect.OK(t, r.Computes.Ready(t.Context(), p.Key, compute.Ready{Port: 7777}))
		expect.OK(t, r.Computes.Health(t.Context(), p.Key, true))
		in := r.create(5)
		in.Location = new(string(west))
		g := r.created(in)
		expect.OK(t, r.Activate(t.Context(), p.Key, *g.GameSessionId))
		reserved, err := r.join(room{id: *g.GameSessionId}, "ann")
		expect.OK(t, err)
		for what, got := range map[string]*string{"game session": g.DnsName, "new": reserved.DnsName, "described": r.player(*reserved.PlayerSessionId).DnsName} {
			if got == nil || *got != "arena.example.com" {
				t.Errorf("%s: DNS name %v", what, got)
			}
		}
	})
}

// A caller who gives up does not disturb those who share the transaction.
func TestCallerLeaves(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(200)
		var wg sync.WaitGroup
		var joined atomic.Int64
		for i := range 100 {
			wg.Go(func() {
				ctx := t.Context()
				if i%3 == 0 {
					gone, cancel := context.WithCancel(ctx)
					cancel()
					ctx = gone
				}
				_, err := r.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: &g.id, PlayerId: new(fmt.Sprint("player ", i))})
				if err == nil {
					joined.Add(1)
				} else if !errors.Is(err, context.Canceled) {
					t.Errorf("join: %v", err)
				}
			})
		}
		wg.Wait()
		expect.Same(t, "joined", joined.Load(), 66)
		expect.Same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, 66)
	})
}
