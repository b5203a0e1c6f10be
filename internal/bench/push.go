package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

const pushRate = 500 // a second

// sessionPush is the time from CreateGameSession's first byte to the arrival of the push at
// the game server, at 500 a second. The baseline is the time of the API's answer alone: what
// is above it is delivery.
func sessionPush(ctx context.Context, o Options, t target) error {
	n := int(o.Length.Seconds() * pushRate)
	e, err := start(ctx, t.url, t.folder)
	if err != nil {
		return err
	}
	var pushes, answers []time.Duration
	err = func() error {
		if err := e.furnish(ctx, 50); err != nil {
			return err
		}
		pushed := make(chan push, n)
		o.logf("session-push%s: opening %d game servers", t.suffix, n)
		opening := time.Now()
		hs, err := e.openHosts(ctx, n, pushed)
		if err != nil {
			return err
		}
		o.logf("session-push%s: opened in %v", t.suffix, time.Since(opening).Round(time.Millisecond))
		defer hs.close()
		pushes, answers, err = e.pace(ctx, n, pushed)
		return err
	}()
	if err := closing(err, e.close); err != nil {
		return err
	}
	p99, base := quantile(pushes, 0.99), quantile(answers, 0.99)
	report(o.Out, "session-push"+t.suffix, ms(p99), "ms-p99", ms(base), ms(p99)/ms(base))
	o.logf("session-push%s: push p50 %v p99 %v, answer p50 %v p99 %v", t.suffix, quantile(pushes, 0.5), p99, quantile(answers, 0.5), base)
	return nil
}

// pace makes n game sessions at pushRate, whether or not earlier ones were answered, and
// returns how long each took to reach its game server and to be answered.
func (e *env) pace(ctx context.Context, n int, pushed <-chan push) (pushes, answers []time.Duration, err error) {
	c, enc := e.caller(), encoderOf[gamelift.CreateGameSessionInput]("CreateGameSession")
	due := make(chan time.Time, n)
	go func() {
		defer close(due)
		start := time.Now()
		for i := range n {
			at := start.Add(time.Duration(i) * time.Second / pushRate)
			select {
			case <-time.After(time.Until(at)):
			case <-ctx.Done():
				return
			}
			due <- at
		}
	}()
	sent := sync.Map{} // the token by which a game session is known -> when it was due
	tokens := make(chan string, n)
	go func() {
		defer close(tokens)
		i := 0
		for at := range due {
			token := fmt.Sprintf("bench-%d", i)
			sent.Store(token, at)
			tokens <- token
			i++
		}
	}()
	f, err := load{address: e.address, conns: 32, length: hour, total: int64(n), next: func(b []byte, _ int64) []byte {
		token := <-tokens
		return c.append(b, "CreateGameSession", enc.append(nil, &gamelift.CreateGameSessionInput{
			FleetId: &e.fleet, Location: new(location), MaximumPlayerSessionCount: new(int32(slots)), IdempotencyToken: &token,
		}))
	}}.run(ctx)
	if err != nil {
		return nil, nil, err
	}
	for range n {
		select {
		case p := <-pushed:
			at, ok := sent.Load(lastSegment(p.session))
			if !ok {
				return nil, nil, fmt.Errorf("game session %s was not asked for", p.session)
			}
			pushes = append(pushes, p.at.Sub(at.(time.Time)))
		case <-time.After(time.Minute):
			return nil, nil, fmt.Errorf("%d of %d game sessions reached their game servers", len(pushes), n)
		}
	}
	slices.Sort(pushes)
	return pushes, f.waits, nil
}

// quantile is figures.quantile for any waits, sorted.
func quantile(waits []time.Duration, q float64) time.Duration {
	return figures{waits: waits}.quantile(q)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func lastSegment(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
