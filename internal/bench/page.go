package bench

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

const (
	pageRows  = 1_000_000
	pageSize  = 100
	pageConns = 16
)

// page100 is DescribePlayerSessions, a page of 100 of one of the game sessions that
// together have a million player sessions.
func page100(ctx context.Context, o Options, t target) error {
	const n = pageRows / slots
	e, err := start(ctx, t.url, t.folder)
	if err != nil {
		return err
	}
	f, err := func() (figures, error) {
		if err := e.furnish(ctx, 100); err != nil {
			return figures{}, err
		}
		o.logf("page100%s: making %d game sessions", t.suffix, n)
		ids, hs, err := e.sessions(ctx, n)
		if err != nil {
			return figures{}, err
		}
		defer hs.close()
		if err := e.fill(ctx, o, t, ids); err != nil {
			return figures{}, err
		}
		c, enc := e.caller(), encoderOf[gamelift.DescribePlayerSessionsInput]("DescribePlayerSessions")
		return load{
			address: e.address, conns: pageConns, length: o.Length,
			next: func(b []byte, _ int64) []byte {
				return c.append(b, "DescribePlayerSessions", enc.append(nil, &gamelift.DescribePlayerSessionsInput{
					GameSessionId: &ids[rand.IntN(len(ids))], Limit: new(int32(pageSize)),
				}))
			},
		}.run(ctx)
	}()
	if err := closing(err, e.close); err != nil {
		return err
	}
	base, err := rawPages(ctx, o, t)
	if err != nil {
		return err
	}
	report(o.Out, "page100"+t.suffix, f.perSecond(), "pages/s", base, f.perSecond()/base)
	o.logf("page100%s: p50 %v p99 %v", t.suffix, f.quantile(0.5), f.quantile(0.99))
	return nil
}

// fill reserves every slot.
func (e *env) fill(ctx context.Context, o Options, t target, ids []string) error {
	o.logf("page100%s: making %d player sessions", t.suffix, len(ids)*slots)
	c, enc := e.caller(), encoderOf[gamelift.CreatePlayerSessionsInput]("CreatePlayerSessions")
	const calls = slots / party
	_, err := load{
		address: e.address, conns: joinConns, length: hour, total: int64(len(ids) * calls), each: party,
		next: func(b []byte, i int64) []byte {
			players := make([]string, party)
			for j := range players {
				players[j] = fmt.Sprintf("player-%d", i*party+int64(j))
			}
			return c.append(b, "CreatePlayerSessions", enc.append(nil, &gamelift.CreatePlayerSessionsInput{
				GameSessionId: &ids[i/calls], PlayerIds: players,
			}))
		},
	}.run(ctx)
	return err
}
