package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store"
)

const (
	ticketConns = 64

	// mostTickets is how many tickets a second there are made for each second of the load.
	mostTickets = 8_000
)

// tickets is StartMatchmaking by 64 callers until every ticket is COMPLETED, in a STANDALONE
// configuration of 1v1 in which any two match; and the intake alone, where none ever does.
// Each answer means that the ticket is on disk, and so is what becomes of it.
func tickets(ctx context.Context, o Options, t target) error {
	n := max(int(o.Length.Seconds()*mostTickets), 100) &^ 1
	e, err := start(ctx, t.url, t.folder)
	if err != nil {
		return err
	}
	var whole, intake figures
	var took time.Duration
	err = func() error {
		// A skill of its own for each: ten apart is near enough for the one, too far for the other.
		for name, distance := range map[string]int{"meet": 100_000_000, "wait": 1} {
			if err := e.matchmaker(ctx, name, distance); err != nil {
				return err
			}
		}
		o.logf("tickets%s: %d tickets", t.suffix, n)
		began := time.Now()
		if whole, err = e.startMatchmaking(ctx, "meet", n); err != nil {
			return err
		}
		if err := e.completed(ctx, "meet", n); err != nil {
			return err
		}
		took = time.Since(began)
		intake, err = e.startMatchmaking(ctx, "wait", n/2)
		return err
	}()
	if err := closing(err, e.close); err != nil {
		return err
	}
	base, baseIntake, err := rawTickets(ctx, t, n)
	if err != nil {
		return err
	}
	all := float64(n) / took.Seconds()
	report(o.Out, "tickets"+t.suffix, all, "tickets/s", base, all/base)
	report(o.Out, "tickets-intake"+t.suffix, intake.perSecond(), "tickets/s", baseIntake, intake.perSecond()/baseIntake)
	o.logf("tickets%s: while matching %.0f answers/s, p50 %v p99 %v, all completed after %v; intake alone p50 %v p99 %v",
		t.suffix, whole.perSecond(), whole.quantile(0.5), whole.quantile(0.99), took, intake.quantile(0.5), intake.quantile(0.99))
	return nil
}

// matchmaker makes a configuration of duels between players no further apart than so much.
func (e *env) matchmaker(ctx context.Context, name string, distance int) error {
	body := `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],
		"teams":[{"name":"side","minPlayers":1,"maxPlayers":1,"quantity":2}],
		"rules":[{"name":"Close","type":"batchDistance","batchAttribute":"skill","maxDistance":` + strconv.Itoa(distance) + `}]}`
	if _, err := e.api.CreateMatchmakingRuleSet(ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: &name, RuleSetBody: &body}); err != nil {
		return err
	}
	_, err := e.api.CreateMatchmakingConfiguration(ctx, &gamelift.CreateMatchmakingConfigurationInput{
		Name: &name, RuleSetName: &name, FlexMatchMode: types.FlexMatchModeStandalone,
		AcceptanceRequired: new(false), RequestTimeoutSeconds: new(int32(3600)),
	})
	return err
}

// startMatchmaking starts n tickets of one player each.
func (e *env) startMatchmaking(ctx context.Context, configuration string, n int) (figures, error) {
	c, enc := e.caller(), encoderOf[gamelift.StartMatchmakingInput]("StartMatchmaking")
	return load{address: e.address, conns: ticketConns, length: hour, total: int64(n), next: func(b []byte, i int64) []byte {
		id := configuration + "-" + strconv.FormatInt(i, 10)
		return c.append(b, "StartMatchmaking", enc.append(nil, &gamelift.StartMatchmakingInput{
			TicketId: &id, ConfigurationName: &configuration,
			Players: []types.Player{{
				PlayerId: new("player-" + id), LatencyInMs: map[string]int32{"us-west-2": 40},
				PlayerAttributes: map[string]types.AttributeValue{"skill": {N: new(float64(10 * i))}},
			}},
		}))
	}}.run(ctx)
}

// completed waits until all tickets are COMPLETED: the last first, then a look at the others.
func (e *env) completed(ctx context.Context, configuration string, n int) error {
	for at := n; at > 0; at -= 10 * max(1, n/1000) {
		var ids []string
		for i := max(0, at-10); i < at; i++ {
			ids = append(ids, configuration+"-"+strconv.Itoa(i))
		}
		if err := e.completedTen(ctx, ids); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) completedTen(ctx context.Context, ids []string) error {
	state := ""
	for range 3000 {
		out, err := e.api.DescribeMatchmaking(ctx, &gamelift.DescribeMatchmakingInput{TicketIds: ids})
		if err != nil {
			return err
		}
		open := len(ids)
		for _, t := range out.TicketList {
			if t.Status == types.MatchmakingConfigurationStatusCompleted {
				open--
			} else {
				state = *t.TicketId + " is " + string(t.Status)
			}
		}
		if open == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s after 30 s", state)
}

// rawTickets is how many a second the database takes when nothing stands above it: the same
// 64 callers and the store's group commit, and of each ticket its rows; beside them the
// tickets are completed as they come, 512 a transaction.
func rawTickets(ctx context.Context, t target, n int) (perSecond, intake float64, err error) {
	db, err := store.Open(ctx, t.url, store.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = closing(err, db.Close) }()
	players := `[{"LatencyInMs":{"us-west-2":40},"PlayerAttributes":{"skill":{"N":12340}},"PlayerId":"player-meet-1234"}]`
	batch := &store.Batcher[int, store.Key]{DB: db, Run: func(tx *store.Tx, calls []int) ([]store.Key, []error, error) {
		keys := make([]store.Key, len(calls))
		var rows, persons [][]any
		for i, c := range calls {
			keys[i] = tx.NewKey()
			rows = append(rows, []any{keys[i], "raw-" + strconv.Itoa(c), 1, "raw", 1, 0, players, tx.NowMs(), tx.NowMs() + 3_600_000, nil})
			persons = append(persons, []any{scattered(c), keys[i]})
		}
		if err := tx.InsertMany(`INSERT INTO matchmaking_ticket (key, id, configuration, name, status, kind, players, started_at, deadline, game)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, rows); err != nil {
			return nil, nil, err
		}
		return keys, nil, tx.InsertMany(`INSERT INTO matchmaking_player (player, ticket) VALUES ($1, $2)`, persons)
	}}
	insert := func(from, to int, each func(i int, key store.Key)) (time.Duration, error) {
		var group sync.WaitGroup
		faults := make(chan error, ticketConns)
		began := time.Now()
		for k := range ticketConns {
			group.Go(func() {
				for i := from + k; i < to; i += ticketConns {
					key, err := batch.Do(ctx, i)
					if err != nil {
						faults <- err
						return
					}
					each(i, key)
				}
			})
		}
		group.Wait()
		close(faults)
		return time.Since(began), <-faults
	}
	took, err := insert(0, n/2, func(int, store.Key) {})
	if err != nil {
		return 0, 0, err
	}
	intake = float64(n/2) / took.Seconds()

	type written struct {
		i   int
		key store.Key
	}
	came, done := make(chan written, n), make(chan error, 1)
	began := time.Now()
	go func() {
		var list []written
		for w := range came {
			if list = append(list, w); len(list) < 512 && len(came) > 0 {
				continue
			}
			if err := db.Write(ctx, func(tx *store.Tx) error {
				var ended, left [][]any
				for _, w := range list {
					ended = append(ended, []any{w.key, 6, nil, tx.NowMs(), nil, nil, list[0].key, `["side_1"]`, "+", nil})
					left = append(left, []any{scattered(w.i), w.key})
				}
				if _, err := tx.ExecMany(`UPDATE matchmaking_ticket SET status = $2, deadline = $3, ended_at = $4, reason = $5, message = $6,
					match = $7, teams = $8, answers = $9, connection = $10 WHERE key = $1`, ended); err != nil {
					return err
				}
				_, err := tx.ExecMany(`DELETE FROM matchmaking_player WHERE player = $1 AND ticket = $2`, left)
				return err
			}); err != nil {
				done <- err
				return
			}
			list = list[:0]
		}
		done <- nil
	}()
	_, err = insert(n, 2*n, func(i int, key store.Key) { came <- written{i, key} })
	close(came)
	if err := closing(err, func() error { return <-done }); err != nil {
		return 0, 0, err
	}
	return float64(n) / time.Since(began).Seconds(), intake, nil
}

// scattered is a number as a player's fingerprint is: without order.
func scattered(i int) int64 { return int64((uint64(i) + 1) * 0x9e3779b97f4a7c15) }
