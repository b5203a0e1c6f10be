package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/matchyard/matchyard/internal/store"
)

const hour = time.Hour

// closing ends what a benchmark used, and keeps the first error.
func closing(err error, end func() error) error { return errors.Join(err, end()) }

// rawGame is a game session as the baseline makes it.
const rawGame = `INSERT INTO game_session (key, id, fleet, fleet_id, location, status, policy, protection, players, maximum, process, compute, ip, port, created_at)
	VALUES ($1, $2, 1, 'fleet-raw', 'custom-raw', 'ACTIVE', 'ACCEPT_ALL', 'NoProtection', 0, 1000000000, $1, 'raw', '127.0.0.1', 1, $3)`

// rawJoins is how many rows a second the database takes when nothing stands above it: the
// same 64 callers, the same two statements a join needs, and the store's group commit.
func rawJoins(ctx context.Context, o Options, t target, each int) (perSecond float64, err error) {
	db, err := store.Open(ctx, t.url, store.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = closing(err, db.Close) }()
	games := make([]int64, 1000)
	if err := db.Write(ctx, func(tx *store.Tx) error {
		for i := range games {
			games[i] = int64(tx.NewKey())
			if _, err := tx.Exec(rawGame, games[i], "raw-"+strconv.Itoa(i), tx.NowMs()); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return 0, err
	}
	batch := &store.Batcher[int, struct{}]{DB: db, Run: func(tx *store.Tx, calls []int) ([]struct{}, []error, error) {
		var keys []int64
		var values strings.Builder
		var args []any
		flush := func() error {
			if len(args) == 0 {
				return nil
			}
			_, err := tx.Exec(`INSERT INTO player_session (key, tail, game, status, player, print, created_at, deadline) VALUES `+values.String(), args...)
			values.Reset()
			args = args[:0]
			return err
		}
		for _, i := range calls {
			game := games[i%len(games)]
			keys = append(keys, game)
			for range each {
				if n := len(args); n > 0 {
					values.WriteByte(',')
				}
				values.WriteByte('(')
				for c := range 8 {
					if c > 0 {
						values.WriteByte(',')
					}
					values.WriteString("$" + strconv.Itoa(len(args)+c+1))
				}
				values.WriteByte(')')
				args = append(args, tx.NewKey(), store.Tail(), game, 1, "player-"+strconv.Itoa(i), int64(i), tx.NowMs(), tx.NowMs()+60000)
				if len(args) >= 64*8 {
					if err := flush(); err != nil {
						return nil, nil, err
					}
				}
			}
		}
		if err := flush(); err != nil {
			return nil, nil, err
		}
		_, err := tx.Exec(`UPDATE game_session SET players = players + `+strconv.Itoa(each)+` WHERE `+tx.In("key", 1), store.List(tx, keys))
		return make([]struct{}, len(calls)), make([]error, len(calls)), err
	}}
	calls, took, err := repeat(ctx, joinConns, o.Length, func(i int64) error {
		_, err := batch.Do(ctx, int(i))
		return err
	})
	return float64(calls) * float64(each) / took.Seconds(), err
}

// rawPages is how many pages a second the database reads when nothing stands above it.
func rawPages(ctx context.Context, o Options, t target) (perSecond float64, err error) {
	db, err := store.Open(ctx, t.url, store.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = closing(err, db.Close) }()
	var games []int64
	if err := db.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT key FROM game_session ORDER BY key`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k int64
			if err := rows.Scan(&k); err != nil {
				return err
			}
			games = append(games, k)
		}
		return rows.Err()
	}); err != nil {
		return 0, err
	}
	pages, took, err := repeat(ctx, pageConns, o.Length, func(int64) error {
		return db.Read(ctx, func(tx *store.Tx) error {
			rows, err := tx.Query(`SELECT key, tail, status, player, data, created_at, ended_at FROM player_session
				WHERE game = $1 AND status = 1 ORDER BY key LIMIT $2`, games[rand.IntN(len(games))], pageSize)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var key, tail, status, created int64
				var player string
				var data *string
				var ended *int64
				if err := rows.Scan(&key, &tail, &status, &player, &data, &created, &ended); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	})
	return float64(pages) / took.Seconds(), err
}

// repeat calls f from n goroutines for a while and counts the calls.
func repeat(ctx context.Context, n int, length time.Duration, f func(i int64) error) (calls int64, took time.Duration, err error) {
	var next atomic.Int64
	var group sync.WaitGroup
	faults := make(chan error, n)
	start := time.Now()
	for range n {
		group.Go(func() {
			for ctx.Err() == nil && time.Since(start) < length {
				if err := f(next.Add(1)); err != nil {
					faults <- err
					return
				}
			}
		})
	}
	group.Wait()
	took = time.Since(start)
	close(faults)
	return next.Load(), took, <-faults
}

// database makes an empty database on a PostgreSQL server.
func database(ctx context.Context, server string) (url string, drop func(), err error) {
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", nil, err
	}
	name := "matchyard_bench_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if _, err := c.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, errors.Join(err, c.Close(ctx))
	}
	config := c.Config()
	u := "postgres://" + config.User
	if config.Password != "" {
		u += ":" + config.Password
	}
	u += "@" + config.Host + ":" + strconv.Itoa(int(config.Port)) + "/" + name
	return u, func() {
		_, _ = c.Exec(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)")
		_ = c.Close(context.WithoutCancel(ctx))
	}, nil
}
