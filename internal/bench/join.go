package bench

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

const (
	joinConns = 64
	party     = 25
)

// join is CreatePlayerSession by 64 callers, one player each, over many game sessions.
func join(ctx context.Context, o Options, t target) error {
	enc := encoderOf[gamelift.CreatePlayerSessionInput]("CreatePlayerSession")
	return joins(ctx, o, t, "join", "CreatePlayerSession", 1, func(session string, i int64) []byte {
		return enc.append(nil, &gamelift.CreatePlayerSessionInput{
			GameSessionId: &session, PlayerId: new("player-" + strconv.FormatInt(i, 10)),
		})
	})
}

// join25 is CreatePlayerSessions of 25 players a call.
func join25(ctx context.Context, o Options, t target) error {
	enc := encoderOf[gamelift.CreatePlayerSessionsInput]("CreatePlayerSessions")
	return joins(ctx, o, t, "join25", "CreatePlayerSessions", party, func(session string, i int64) []byte {
		players := make([]string, party)
		for j := range players {
			players[j] = "player-" + strconv.FormatInt(i*party+int64(j), 10)
		}
		return enc.append(nil, &gamelift.CreatePlayerSessionsInput{GameSessionId: &session, PlayerIds: players})
	})
}

// most joins a second that there are made to be room for.
const mostJoins = 100_000

func joins(ctx context.Context, o Options, t target, name, operation string, each int, body func(session string, i int64) []byte) error {
	n := int(o.Length.Seconds()*mostJoins)/slots + 1
	if each == 1 {
		n = n/2 + 1
	}
	e, err := start(ctx, t.url, t.folder)
	if err != nil {
		return err
	}
	f, err := func() (figures, error) {
		if err := e.furnish(ctx, 50); err != nil {
			return figures{}, err
		}
		o.logf("%s%s: making %d game sessions", name, t.suffix, n)
		ids, hs, err := e.sessions(ctx, n)
		if err != nil {
			return figures{}, err
		}
		defer hs.close()
		c := e.caller()
		return load{
			address: e.address, conns: joinConns, length: o.Length, each: each, total: int64(n * slots / each),
			next: func(b []byte, i int64) []byte {
				return c.append(b, operation, body(ids[i%int64(len(ids))], i))
			},
		}.run(ctx)
	}()
	if err := closing(err, e.close); err != nil {
		return err
	}
	base, err := rawJoins(ctx, o, t, each)
	if err != nil {
		return err
	}
	report(o.Out, name+t.suffix, f.perSecond(), "players/s", base, f.perSecond()/base)
	o.logf("%s%s: p50 %v p99 %v", name, t.suffix, f.quantile(0.5), f.quantile(0.99))
	return nil
}
