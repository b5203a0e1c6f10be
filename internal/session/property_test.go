package session_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// modelPlayer is what a player session should be.
type modelPlayer struct {
	game    string
	status  types.PlayerSessionStatus
	created time.Time
}

// TestRandomLives has random operations on a few game sessions agree with a model of a few
// lines: states, counts, refusals, and listings.
func TestRandomLives(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := furnish(t, db, clock)
		rapid.Check(t, func(t *rapid.T) {
			const slots = 3
			games := map[string]room{}
			players := map[string]*modelPlayer{}
			settle := func() { // what time does
				for _, p := range players {
					if p.status == types.PlayerSessionStatusReserved && !clock.Now().Before(p.created.Add(time.Minute)) {
						p.status = types.PlayerSessionStatusTimedout
					}
				}
			}
			held := func(game string) (n int) {
				for _, p := range players {
					if p.game == game && (p.status == types.PlayerSessionStatusReserved || p.status == types.PlayerSessionStatusActive) {
						n++
					}
				}
				return n
			}
			pick := func(t *rapid.T, from []string, what string) string {
				if len(from) == 0 {
					t.Skip("no " + what)
				}
				return rapid.SampledFrom(from).Draw(t, what)
			}
			live := func() []string { return slices.Sorted(maps.Keys(games)) }
			t.Repeat(map[string]func(*rapid.T){
				"open": func(t *rapid.T) {
					if len(games) > 2 {
						t.Skip("enough")
					}
					g := r.open(slots)
					games[g.id] = g
				},
				"join": func(t *rapid.T) {
					game := pick(t, live(), "game")
					n := rapid.IntRange(1, slots).Draw(t, "players")
					names := make([]string, n)
					for i := range names {
						names[i] = fmt.Sprint("player ", rapid.IntRange(0, 3).Draw(t, "name"))
					}
					list, err := r.joinAll(games[game], names...)
					if held(game)+n > slots {
						expect.Refused(r.t, "join", err, full)
						return
					}
					expect.OK(r.t, err)
					for _, p := range list {
						players[*p.PlayerSessionId] = &modelPlayer{game, types.PlayerSessionStatusReserved, clock.Now()}
					}
				},
				"accept": func(t *rapid.T) {
					id := pick(t, slices.Sorted(maps.Keys(players)), "player")
					p := players[id]
					g, ok := games[p.game]
					if !ok {
						t.Skip("ended")
					}
					err := r.AcceptPlayer(r.t.Context(), g.process, g.id, id)
					if p.status == types.PlayerSessionStatusReserved {
						expect.OK(r.t, err)
						p.status = types.PlayerSessionStatusActive
						return
					}
					expect.Refused(r.t, "accept", err, invalid, "has a status of "+string(p.status))
				},
				"remove": func(t *rapid.T) {
					id := pick(t, slices.Sorted(maps.Keys(players)), "player")
					p := players[id]
					g, ok := games[p.game]
					if !ok {
						t.Skip("ended")
					}
					err := r.RemovePlayer(r.t.Context(), g.process, g.id, id)
					if p.status == types.PlayerSessionStatusTimedout {
						expect.Refused(r.t, "remove", err, invalid, "TIMEDOUT")
						return
					}
					expect.OK(r.t, err)
					p.status = types.PlayerSessionStatusCompleted
				},
				"end": func(t *rapid.T) {
					game := pick(t, live(), "game")
					expect.OK(r.t, r.Computes.End(r.t.Context(), games[game].process, compute.Crashed))
					delete(games, game)
					for _, p := range players {
						if p.game != game {
							continue
						}
						switch p.status {
						case types.PlayerSessionStatusActive:
							p.status = types.PlayerSessionStatusCompleted
						case types.PlayerSessionStatusReserved:
							p.status = types.PlayerSessionStatusTimedout
						}
					}
				},
				"wait": func(t *rapid.T) {
					r.tick(time.Duration(rapid.SampledFrom([]int{0, 1, 29_999, 30_000, 60_000}).Draw(t, "ms")) * time.Millisecond)
					settle()
				},
				"": func(t *rapid.T) {
					for _, game := range live() {
						if got := int(*r.game(game).CurrentPlayerSessionCount); got != held(game) {
							t.Fatalf("game session counts %d, the model %d", got, held(game))
						}
						want := map[string]types.PlayerSessionStatus{}
						for id, p := range players {
							if p.game == game {
								want[id] = p.status
							}
						}
						got := map[string]types.PlayerSessionStatus{}
						for _, p := range r.list(&gamelift.DescribePlayerSessionsInput{GameSessionId: &game}, 2) {
							got[*p.PlayerSessionId] = p.Status
						}
						if !maps.Equal(got, want) {
							t.Fatalf("listed %v, want %v", got, want)
						}
					}
				},
			})
			for _, g := range games {
				expect.OK(r.t, r.Computes.End(r.t.Context(), g.process, compute.Normal))
			}
		})
		r.checkCounts()
	})
}
