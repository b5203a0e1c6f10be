package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store"
)

const (
	placeConns = 64
	placeQueue = "bench"

	// mostPlaces is how many placements a second there are made to be processes for.
	mostPlaces = 5000

	// mostHosts is how many game servers there are at most: each has both ends of its socket in
	// this process, whose files are limited.
	mostHosts = 8000
)

// place is StartGameSessionPlacement by 64 callers onto processes that are free: each answer
// means that the placement, its game session and the message to its process are on disk. The
// figure counts placements that were FULFILLED, from the first request to the last
// activation, so it pays for the sockets and the activations as well.
func place(ctx context.Context, o Options, t target) error {
	n := min(max(int(o.Length.Seconds()*mostPlaces), 100), mostHosts)
	e, err := start(ctx, t.url, t.folder)
	if err != nil {
		return err
	}
	var f figures
	var p placing
	err = func() error {
		if err := e.furnish(ctx, 50); err != nil {
			return err
		}
		if _, err := e.api.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
			Name: new(placeQueue), Destinations: []types.GameSessionQueueDestination{{DestinationArn: new("arn:aws:gamelift:" + e.region + ":123456789012:fleet/" + e.fleet)}},
		}); err != nil {
			return err
		}
		pushed := make(chan push, n)
		o.logf("place%s: opening %d game servers", t.suffix, n)
		hs, err := e.openHosts(ctx, n, pushed)
		if err != nil {
			return err
		}
		defer hs.close()
		f, p, err = e.placements(ctx, n, pushed)
		return err
	}()
	if err := closing(err, e.close); err != nil {
		return err
	}
	base, err := rawPlacements(ctx, o, t)
	if err != nil {
		return err
	}
	whole := float64(n) / p.took.Seconds()
	report(o.Out, "place"+t.suffix, whole, "placements/s", base, whole/base)
	o.logf("place%s: %.0f answers/s, p50 %v p99 %v; to the game server p50 %v p99 %v; all fulfilled after %v",
		t.suffix, f.perSecond(), f.quantile(0.5), f.quantile(0.99), quantile(p.pushes, 0.5), quantile(p.pushes, 0.99), p.took)
	return nil
}

// placing is what came of placements.
type placing struct {
	took   time.Duration // until the last was FULFILLED
	pushes []time.Duration
}

// placements starts n placements and waits until all are FULFILLED.
func (e *env) placements(ctx context.Context, n int, pushed <-chan push) (figures, placing, error) {
	c, enc := e.caller(), encoderOf[gamelift.StartGameSessionPlacementInput]("StartGameSessionPlacement")
	sent := make([]time.Time, n)
	began := time.Now()
	f, err := load{address: e.address, conns: placeConns, length: hour, total: int64(n), next: func(b []byte, i int64) []byte {
		sent[i] = time.Now()
		return c.append(b, "StartGameSessionPlacement", enc.append(nil, &gamelift.StartGameSessionPlacementInput{
			PlacementId: new("bench-" + strconv.FormatInt(i, 10)), GameSessionQueueName: new(placeQueue), MaximumPlayerSessionCount: new(int32(slots)),
		}))
	}}.run(ctx)
	if err != nil {
		return f, placing{}, err
	}
	var p placing
	for range n {
		select {
		case came := <-pushed:
			i, err := strconv.Atoi(strings.TrimPrefix(lastSegment(came.session), "bench-"))
			if err != nil || i >= n {
				return f, p, fmt.Errorf("game session %s was not asked for", came.session)
			}
			p.pushes = append(p.pushes, came.at.Sub(sent[i]))
		case <-time.After(time.Minute):
			return f, p, fmt.Errorf("%d of %d placements reached a game server", len(p.pushes), n)
		}
	}
	if err := e.allActive(ctx, n); err != nil {
		return f, p, err
	}
	p.took = time.Since(began)
	slices.Sort(p.pushes)
	return f, p, e.fulfilled(ctx, n)
}

// fulfilled checks some of the placements.
func (e *env) fulfilled(ctx context.Context, n int) error {
	for i := 0; i < n; i += max(1, n/50) {
		id := "bench-" + strconv.Itoa(i)
		out, err := e.api.DescribeGameSessionPlacement(ctx, &gamelift.DescribeGameSessionPlacementInput{PlacementId: &id})
		if err != nil {
			return err
		}
		if status := out.GameSessionPlacement.Status; status != types.GameSessionPlacementStateFulfilled {
			return fmt.Errorf("placement %s is %s", id, status)
		}
	}
	return nil
}

// rawPlacements is how many a second the database takes when nothing stands above it: the
// same 64 callers and the store's group commit, and of each placement the rows that it
// leaves behind: the placement's and the game session's.
func rawPlacements(ctx context.Context, o Options, t target) (perSecond float64, err error) {
	db, err := store.Open(ctx, t.url, store.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = closing(err, db.Close) }()
	batch := &store.Batcher[int, struct{}]{DB: db, Run: func(tx *store.Tx, calls []int) ([]struct{}, []error, error) {
		var rows, texts, games, gameTexts [][]any
		for _, i := range calls {
			key, id := tx.NewKey(), "raw-"+strconv.Itoa(i)
			rows = append(rows, []any{2, key, id, 1, placeQueue, slots, 0, tx.NowMs(), 0, tx.NowMs(), key, rawARN + id, location, "127.0.0.1", 1})
			texts = append(texts, []any{key, "{}", rawTrace})
			games = append(games, []any{key, id, 1, "fleet-raw", location, "ACTIVE", "ACCEPT_ALL", "NoProtection", 0, slots, key, "raw", "127.0.0.1", 1, tx.NowMs()})
			gameTexts = append(gameTexts, []any{key, "[]", ""})
		}
		for _, insert := range []struct {
			query string
			rows  [][]any
		}{
			{`INSERT INTO placement (status, key, id, queue, queue_name, maximum, players, started_at, latent, ended_at, game, game_arn, location, ip, port)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`, rows},
			{`INSERT INTO placement_text (placement, request, trace) VALUES ($1, $2, $3)`, texts},
			{`INSERT INTO game_session (key, id, fleet, fleet_id, location, status, policy, protection, players, maximum, process, compute, ip, port, created_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`, games},
			{`INSERT INTO game_session_text (game, properties, print) VALUES ($1, $2, $3)`, gameTexts},
		} {
			if err := tx.InsertMany(insert.query, insert.rows); err != nil {
				return nil, nil, err
			}
		}
		return make([]struct{}, len(calls)), nil, nil
	}}
	calls, took, err := repeat(ctx, placeConns, o.Length, func(i int64) error {
		_, err := batch.Do(ctx, int(i))
		return err
	})
	return float64(calls) / took.Seconds(), err
}

const rawARN = "arn:aws:gamelift:us-west-2::gamesession/fleet-raw/" + location + "/"

var rawTrace = strings.Repeat("x", 600) // the usual size
