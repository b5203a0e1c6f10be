package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// cast are two rooms with a player session in each state, and what DescribePlayerSessions
// must show of them, in plain form.
type cast struct {
	*world
	room, other, empty *types.GameSession
	timedOut, completed, active,
	reserved, elsewhere object
}

// play brings the cast to the stage. The clock stands still but where it is moved, so every
// instant is known to the millisecond.
func play(t *testing.T, s *server) *cast {
	t.Helper()
	c := &cast{world: newWorld(t, s)}
	room, host := c.world.room(t, "ws", 200)
	c.room = room

	plainSession := func(p *types.PlayerSession, port int) object {
		return object{
			"PlayerSessionId": *p.PlayerSessionId, "PlayerId": *p.PlayerId, "GameSessionId": *p.GameSessionId,
			"FleetId": c.fleet, "FleetArn": c.arn, "CreationTime": object{"$ms": p.CreationTime.UnixMilli()},
			"Status": "RESERVED", "IpAddress": "127.0.0.1", "Port": int64(port),
		}
	}
	later := func(o object, d time.Duration) object {
		return object{"$ms": o["CreationTime"].(object)["$ms"].(int64) + d.Milliseconds()}
	}

	// Nobody lets the first in.
	c.timedOut = plainSession(c.join(t, *room.GameSessionId, "ann"), host.port)
	s.advance(t, 61123*time.Millisecond)
	c.timedOut["Status"], c.timedOut["TerminationTime"] = "TIMEDOUT", later(c.timedOut, time.Minute)

	// The second comes and goes, the third stays.
	p := c.join(t, *room.GameSessionId, "bob")
	c.completed = plainSession(p, host.port)
	visit := host.enter(t, *p.PlayerSessionId)
	s.advance(t, 2017*time.Millisecond)
	if got := visit.say(t, "LEAVE"); got != "BYE" {
		t.Fatal(got)
	}
	host.hear(t, "left player="+*p.PlayerSessionId)
	c.completed["Status"], c.completed["TerminationTime"] = "COMPLETED", later(c.completed, 2017*time.Millisecond)

	p = c.join(t, *room.GameSessionId, "cid")
	c.active = plainSession(p, host.port)
	c.active["Status"] = "ACTIVE"
	host.enter(t, *p.PlayerSessionId)
	s.advance(t, time.Millisecond)

	// A name and data of all kinds of letters.
	const name, data = `dóra "☃" <&> \ 😀`, "data\twith\nlines ✓"
	out, err := c.api.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{
		GameSessionId: room.GameSessionId, PlayerId: new(name), PlayerData: new(data),
	})
	check(t, err)
	c.reserved = plainSession(out.PlayerSession, host.port)
	c.reserved["PlayerData"] = data

	if first, last := c.timedOut["CreationTime"], c.reserved["CreationTime"]; last.(object)["$ms"].(int64)-first.(object)["$ms"].(int64) != 61123+2017+1 {
		t.Errorf("created at %v and %v, which are not 63,141 ms apart", first, last)
	}

	// The same player on a machine that has a name.
	c.register(t, "rack-2", new("rack-2.example.net"))
	other, host2 := c.world.room(t, "ws", 2)
	c.other = other
	c.elsewhere = plainSession(c.join(t, *other.GameSessionId, name), host2.port)
	c.elsewhere["DnsName"] = "rack-2.example.net"

	c.empty, _ = c.world.room(t, "ws", 1)
	return c
}

func TestDescribePlayerSessions(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		c := play(t, s)
		everyone := []any{c.timedOut, c.completed, c.active, c.reserved}
		unknown := "arn:aws:gamelift:us-west-2::gamesession/" + c.fleet + "/" + c.location + "/gsess-00000000-0000-7000-8000-000000000000"
		token := *describe(t, c, &gamelift.DescribePlayerSessionsInput{GameSessionId: c.room.GameSessionId, Limit: new(int32(1))}).NextToken

		cases := []struct {
			name  string
			in    object
			want  []any
			error string // the exception
			names string // what its message must name
			cli   bool   // also with the CLI, a process for each call
		}{
			{name: "a game session", in: object{"GameSessionId": *c.room.GameSessionId}, want: everyone, cli: true},
			{name: "reserved", in: object{"GameSessionId": *c.room.GameSessionId, "PlayerSessionStatusFilter": "RESERVED"}, want: []any{c.reserved}, cli: true},
			{name: "active", in: object{"GameSessionId": *c.room.GameSessionId, "PlayerSessionStatusFilter": "ACTIVE"}, want: []any{c.active}},
			{name: "completed", in: object{"GameSessionId": *c.room.GameSessionId, "PlayerSessionStatusFilter": "COMPLETED"}, want: []any{c.completed}},
			{name: "timed out", in: object{"GameSessionId": *c.room.GameSessionId, "PlayerSessionStatusFilter": "TIMEDOUT"}, want: []any{c.timedOut}},
			{name: "no player yet", in: object{"GameSessionId": *c.empty.GameSessionId}, want: []any{}, cli: true},
			{name: "no player in this state", in: object{"GameSessionId": *c.other.GameSessionId, "PlayerSessionStatusFilter": "ACTIVE"}, want: []any{}},
			{name: "a player in all game sessions", in: object{"PlayerId": c.reserved["PlayerId"]}, want: []any{c.reserved, c.elsewhere}, cli: true},
			{name: "the filter does not count with a player", in: object{"PlayerId": "bob", "PlayerSessionStatusFilter": "ACTIVE"}, want: []any{c.completed}},
			{name: "player ids compare byte for byte", in: object{"PlayerId": "Bob"}, want: []any{}},
			{name: "a player nobody knows", in: object{"PlayerId": "nobody"}, want: []any{}},
			{name: "a reserved player session", in: object{"PlayerSessionId": c.reserved["PlayerSessionId"]}, want: []any{c.reserved}},
			{name: "an active player session", in: object{"PlayerSessionId": c.active["PlayerSessionId"]}, want: []any{c.active}},
			{name: "a completed player session", in: object{"PlayerSessionId": c.completed["PlayerSessionId"]}, want: []any{c.completed}},
			{name: "a timed out player session", in: object{"PlayerSessionId": c.timedOut["PlayerSessionId"]}, want: []any{c.timedOut}, cli: true},
			{name: "a player session on a machine with a name", in: object{"PlayerSessionId": c.elsewhere["PlayerSessionId"]}, want: []any{c.elsewhere}},
			{name: "filter, limit and token do not count with a player session", in: object{
				"PlayerSessionId": c.active["PlayerSessionId"], "PlayerSessionStatusFilter": "TIMEDOUT", "Limit": 1, "NextToken": "nonsense",
			}, want: []any{c.active}},
			{name: "all three that agree", in: object{
				"PlayerSessionId": c.active["PlayerSessionId"], "PlayerId": "cid", "GameSessionId": *c.room.GameSessionId,
			}, want: []any{c.active}},
			{name: "a player session that is another player's", in: object{"PlayerSessionId": c.active["PlayerSessionId"], "PlayerId": "bob"}, want: []any{}},
			{name: "a player session of another game session", in: object{
				"PlayerSessionId": c.active["PlayerSessionId"], "GameSessionId": *c.other.GameSessionId,
			}, want: []any{}},
			{name: "a player in one game session", in: object{"PlayerId": c.reserved["PlayerId"], "GameSessionId": *c.other.GameSessionId}, want: []any{c.elsewhere}},
			{name: "a limit above all", in: object{"GameSessionId": *c.room.GameSessionId, "Limit": 1 << 30}, want: everyone},
			{name: "a limit of exactly all", in: object{"GameSessionId": *c.room.GameSessionId, "Limit": 4}, want: everyone},

			{name: "nothing asked", in: object{}, error: "InvalidRequestException", names: "PlayerSessionId", cli: true},
			{name: "only a filter", in: object{"PlayerSessionStatusFilter": "ACTIVE"}, error: "InvalidRequestException", names: "PlayerSessionId"},
			{name: "no such game session", in: object{"GameSessionId": unknown}, error: "NotFoundException", names: "GameSessionId", cli: true},
			{name: "no such player session", in: object{"PlayerSessionId": "psess-00000000-0000-7000-8000-000000000000"}, error: "NotFoundException", names: "PlayerSessionId"},
			{name: "no such state", in: object{"GameSessionId": *c.room.GameSessionId, "PlayerSessionStatusFilter": "active"}, error: "InvalidRequestException", names: "PlayerSessionStatusFilter"},
			{name: "no such state, with a player", in: object{"PlayerId": "bob", "PlayerSessionStatusFilter": "GONE"}, error: "InvalidRequestException", names: "PlayerSessionStatusFilter"},
			{name: "a token that is none", in: object{"GameSessionId": *c.room.GameSessionId, "NextToken": "nonsense"}, error: "InvalidRequestException", names: "NextToken"},
			{name: "a token of another listing", in: object{"GameSessionId": *c.other.GameSessionId, "NextToken": token}, error: "InvalidRequestException", names: "NextToken"},
			{name: "a token of another filter", in: object{
				"GameSessionId": *c.room.GameSessionId, "PlayerSessionStatusFilter": "ACTIVE", "NextToken": token,
			}, error: "InvalidRequestException", names: "NextToken"},
		}
		const op = "DescribePlayerSessions"
		run := func(t *testing.T, cl *client) {
			for _, k := range cases {
				if cl.slow && !k.cli {
					continue
				}
				if k.error != "" {
					if e := cl.fails(t, s, op, k.in); e.Class != k.error || e.Code != k.error || !names(e.Message, k.names) {
						t.Errorf("%s: got %+v, want %s naming %s", k.name, *e, k.error, k.names)
					}
					continue
				}
				got := cl.must(t, s, op, k.in)
				if want := cl.shown(op, object{"PlayerSessions": k.want}); !cl.same(got, want) {
					t.Errorf("%s:\ngot  %s\nwant %s", k.name, show(got), show(want))
				}
			}
		}
		eachClient(t, run)
		if !testing.Short() {
			eachClient(t, run, "cli json", "cli cbor")
		}
	})
}

// names says whether a message names a field, in the spelling of the request or of AWS's
// validation sentence, whose first letter is small.
func names(message, field string) bool {
	return strings.Contains(message, field) || strings.Contains(message, strings.ToLower(field[:1])+field[1:])
}

func describe(t testing.TB, c *cast, in *gamelift.DescribePlayerSessionsInput) *gamelift.DescribePlayerSessionsOutput {
	t.Helper()
	out, err := c.api.DescribePlayerSessions(t.Context(), in)
	check(t, err)
	return out
}

// What a client is told when it creates is what it is told when it asks.
func TestCreatedPlayerSessionsAreDescribedAlike(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		w := newWorld(t, s)
		w.register(t, "rack-2", new("rack-2.example.net"))
		room, _ := w.room(t, "ws", 200)
		eachClient(t, func(t *testing.T, c *client) {
			one := c.must(t, s, "CreatePlayerSession", object{"GameSessionId": *room.GameSessionId, "PlayerId": "solo " + c.name, "PlayerData": "d"})
			again := c.must(t, s, "DescribePlayerSessions", object{"PlayerSessionId": one["PlayerSession"].(object)["PlayerSessionId"]})
			if want := (object{"PlayerSessions": []any{one["PlayerSession"]}}); !c.same(again, want) {
				t.Errorf("created %s\ndescribed %s", show(one), show(again))
			}

			// 25 at once, one of them twice, with data for some and for a stranger.
			var ids []any
			for i := range 24 {
				ids = append(ids, fmt.Sprintf("%s %02d", c.name, 23-i))
			}
			ids = append(ids, ids[0])
			many := c.must(t, s, "CreatePlayerSessions", object{
				"GameSessionId": *room.GameSessionId, "PlayerIds": ids,
				"PlayerDataMap": object{ids[0].(string): "first", ids[7].(string): "eighth", "stranger": "no"},
			})["PlayerSessions"].([]any)
			if len(many) != len(ids) {
				t.Fatalf("%d player sessions of %d", len(many), len(ids))
			}
			seen := map[any]bool{}
			for i, p := range many {
				p := p.(object)
				data := map[int]any{0: "first", 7: "eighth", 24: "first"}[i]
				if p["PlayerId"] != ids[i] || p["PlayerData"] != data || p["Status"] != "RESERVED" || p["DnsName"] != "rack-2.example.net" || seen[p["PlayerSessionId"]] {
					t.Errorf("player session %d is %s", i, show(p))
				}
				seen[p["PlayerSessionId"]] = true
				again := c.must(t, s, "DescribePlayerSessions", object{"PlayerSessionId": p["PlayerSessionId"]})
				if want := (object{"PlayerSessions": []any{p}}); !c.same(again, want) {
					t.Errorf("created %s\ndescribed %s", show(p), show(again))
				}
			}
			if n := *w.describe(t, *room.GameSessionId).CurrentPlayerSessionCount; n != 26 {
				t.Errorf("%d players of 26", n)
			}
			s.advance(t, time.Minute) // frees the slots for the next client
		})
	})
}

// numbered are the player sessions of a room with n players, in the order of listings.
func numbered(t *testing.T, w *world, n int) (room string, ids []string) {
	t.Helper()
	g, _ := w.room(t, "ws", int32(n))
	for i := range n {
		ids = append(ids, *w.join(t, *g.GameSessionId, fmt.Sprintf("player-%d", i)).PlayerSessionId)
	}
	return *g.GameSessionId, ids
}

func playerSessionIDs(items []any) (ids []string) {
	for _, item := range items {
		ids = append(ids, item.(object)["PlayerSessionId"].(string))
	}
	return ids
}

// Each listing is made in parts of MaxItems, every part by another client, which starts with
// the token of the one before.
func TestResumeTokensTravel(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		n := 17
		if testing.Short() {
			n = 8
		}
		room, want := numbered(t, newWorld(t, s), n)
		relay := func(t *testing.T, most int, size *int, runners ...*client) {
			t.Helper()
			var got []string
			var token *string
			for turn := 0; ; turn++ {
				c := runners[turn%len(runners)]
				l := c.all(t, s, "DescribePlayerSessions", object{"GameSessionId": room}, paging{MaxItems: &most, PageSize: size, StartingToken: token})
				if len(l.items) > most {
					t.Fatalf("%s gave %d items, MaxItems %d", c.name, len(l.items), most)
				}
				got = append(got, playerSessionIDs(l.items)...)
				if l.resume == "" {
					break
				}
				if token = &l.resume; turn > n {
					t.Fatal("no end")
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("MaxItems %d, PageSize %s, %s first: got %v, want %v", most, show(size), runners[0].name, got, want)
			}
		}
		sizes := []*int{nil, new(1), new(7), new(100)}
		t.Run("boto3 and paginate", func(t *testing.T) {
			runners := []*client{find(t, "boto3 json"), find(t, "go cbor"), find(t, "boto3 cbor")}
			for _, size := range sizes {
				for most := 1; most <= n+1; most++ {
					relay(t, most, size, runners...)
					if most%3 == 0 {
						relay(t, most, size, runners[1], runners[2], runners[0])
					}
				}
			}
		})
		t.Run("and the CLI", func(t *testing.T) {
			if testing.Short() {
				t.Skip("the CLI takes a process for each part")
			}
			boto, cli, ours := find(t, "boto3 json"), find(t, "cli json"), find(t, "go cbor")
			relay(t, 4, new(7), boto, cli, ours)
			if s.store != "" {
				return // what the CLI does is the same on each database
			}
			relay(t, 6, nil, cli, boto, ours)
			relay(t, 9, new(1), ours, cli, boto)
			relay(t, 5, new(100), boto, ours, cli)
			relay(t, 9, new(7), ours, find(t, "cli cbor"), boto)
		})
		t.Run("a token of the service", func(t *testing.T) {
			out, err := sdk(s).DescribePlayerSessions(t.Context(), &gamelift.DescribePlayerSessionsInput{GameSessionId: &room, Limit: new(int32(7))})
			check(t, err)
			eachClient(t, func(t *testing.T, c *client) {
				if c.list == nil {
					t.Skip("has no paginator")
				}
				sizes := sizes
				if c.slow {
					sizes = sizes[2:3]
				}
				for _, size := range sizes {
					l := c.all(t, s, "DescribePlayerSessions", object{"GameSessionId": room}, paging{PageSize: size, StartingToken: out.NextToken})
					if got := playerSessionIDs(l.items); !slices.Equal(got, want[7:]) || l.resume != "" {
						t.Errorf("PageSize %s: got %v %q, want %v", show(size), got, l.resume, want[7:])
					}
				}
			}, "boto3 json", "boto3 cbor", "cli json", "js json", "js cbor", "go cbor")
		})
	})
}

// Thirty-seven of the players in pages of ten, as the issue has it, with new players coming
// while the listing goes on.
func TestThirtySevenAtATime(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		w := newWorld(t, s)
		g, _ := w.room(t, "ws", 200)
		room, want := *g.GameSessionId, []string{}
		add := func(n int) {
			for range n {
				want = append(want, *w.join(t, room, "player").PlayerSessionId)
			}
		}
		add(120)
		runners := []*client{find(t, "boto3 json"), find(t, "go cbor"), find(t, "boto3 cbor")}
		var got []string
		var token *string
		for turn := range 10 {
			l := runners[turn%3].all(t, s, "DescribePlayerSessions", object{"GameSessionId": room}, paging{MaxItems: new(37), PageSize: new(10), StartingToken: token})
			got = append(got, playerSessionIDs(l.items)...)
			if l.resume == "" {
				break
			}
			token = &l.resume
			add(5)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d player sessions listed, %d made; equal up to %d", len(got), len(want), equalUpTo(got, want))
		}
	})
}

func equalUpTo(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
