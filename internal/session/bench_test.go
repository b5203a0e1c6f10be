package session_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// eachBench runs a benchmark on both databases, on files with sync.
func eachBench(b *testing.B, f func(b *testing.B, r *rooms)) {
	for name, url := range map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + b.TempDir() + "/db" },
		"postgres": func() string { return storetest.PostgresURL(b) },
	} {
		b.Run(name, func(b *testing.B) {
			clock := storetest.NewClock()
			db, err := store.Open(b.Context(), url(), store.Options{Now: clock.Now})
			expect.OK(b, err)
			defer func() { _ = db.Close() }()
			f(b, furnish(b, db, clock))
		})
	}
}

// fill makes ACTIVE game sessions of any size, past the limits that requests have.
func (r *rooms) fill(n int) []room {
	rooms := make([]room, n)
	for i := range rooms {
		rooms[i] = r.open(200)
	}
	expect.OK(r.t, r.DB.Write(r.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE game_session SET maximum = 1000000000`)
		return err
	}))
	return rooms
}

// callers runs f b.N times by n goroutines.
func callers(b *testing.B, n int, f func(caller, i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for c := range n {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					return
				}
				if err := f(c, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkJoin is CreatePlayerSession by many callers, each into a game session of its own.
func BenchmarkJoin(b *testing.B) {
	eachBench(b, func(b *testing.B, r *rooms) {
		for _, n := range []int{64, 256} {
			rooms := r.fill(n)
			b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) {
				callers(b, n, func(c, i int) error {
					_, err := r.join(rooms[c], fmt.Sprintf("player-%d", i))
					return err
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "joins/s")
			})
		}
	})
}

// BenchmarkJoin25 is CreatePlayerSessions of 25.
func BenchmarkJoin25(b *testing.B) {
	eachBench(b, func(b *testing.B, r *rooms) {
		rooms := r.fill(64)
		callers(b, len(rooms), func(c, i int) error {
			var players [25]string
			for k := range players {
				players[k] = fmt.Sprintf("player-%d-%d", i, k)
			}
			_, err := r.joinAll(rooms[c], players[:]...)
			return err
		})
		b.ReportMetric(float64(b.N)*25/b.Elapsed().Seconds(), "players/s")
	})
}

// crowd gives a game session n player sessions, of all four states in turn.
func (r *rooms) crowd(g room, n int) {
	r.t.Helper()
	expect.OK(r.t, r.DB.Write(r.t.Context(), func(tx *store.Tx) error {
		var game int64
		if err := tx.QueryRow(`SELECT key FROM game_session WHERE process = $1`, g.process).Scan(&game); err != nil {
			return err
		}
		// Keys a millisecond apart.
		_, err := tx.Exec(`WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO player_session (key, tail, game, status, player, print, created_at, ended_at)
			SELECT $2 + i * 4194304, i * 7919, $3, 1 + i % 4, 'player-' || i, i * 1000003 % 998244353, $4, CASE WHEN i % 4 > 1 THEN CAST($4 AS BIGINT) END FROM n`,
			n, tx.NewKey(), game, tx.NowMs())
		return err
	}))
}

// BenchmarkPage is DescribePlayerSessions of a game session, pages of 100 from anywhere,
// out of 1,000 and of 1,000,000 player sessions.
func BenchmarkPage(b *testing.B) {
	eachBench(b, func(b *testing.B, r *rooms) {
		for _, size := range []int{1_000, 1_000_000} {
			g := r.open(200)
			r.crowd(g, size)
			for _, status := range []string{"", "COMPLETED"} {
				in := &gamelift.DescribePlayerSessionsInput{GameSessionId: &g.id}
				if status != "" {
					in.PlayerSessionStatusFilter = &status
				}
				b.Run(fmt.Sprintf("of=%d/status=%s", size, status), func(b *testing.B) {
					var token *string
					for b.Loop() {
						in := *in
						in.NextToken = token
						out, err := r.DescribePlayerSessions(b.Context(), &in)
						expect.OK(b, err)
						if n := len(out.PlayerSessions); n != 100 && out.NextToken != nil {
							b.Fatalf("page of %d", n)
						}
						if token = out.NextToken; rand.IntN(3) > 0 {
							token = nil
						}
					}
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pages/s")
				})
			}
		}
	})
}
