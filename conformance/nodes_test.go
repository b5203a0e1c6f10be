package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/matchyard/matchyard/internal/store/storetest"
)

// puppets are game servers of few words: each is ready, and activates what it is sent.
type puppets struct {
	mu   sync.Mutex
	sent map[string]string // game session -> process
	all  sync.WaitGroup
}

// puppet connects a process to a server. It plays until its connection ends.
func (p *puppets) puppet(t testing.TB, w *world, s *server, token, name string) error {
	q := url.Values{
		"pID": {name}, "sdkVersion": {"5.5.0"}, "sdkLanguage": {"Go"}, "ComputeId": {w.computer}, "FleetId": {w.fleet},
		"IdempotencyToken": {name}, "Authorization": {token},
	}
	d := ws.Dialer{Timeout: time.Minute}
	conn, buffered, _, err := d.Dial(t.Context(), s.websocket("ws")+"/?"+q.Encode())
	if err != nil {
		return fmt.Errorf("dial %s: %w", name, err)
	}
	if buffered != nil {
		ws.PutReader(buffered)
	}
	t.Cleanup(func() { _ = conn.Close() })
	say := func(action string, members object) error {
		m := object{"Action": action, "RequestId": action}
		maps.Copy(m, members)
		text, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return wsutil.WriteClientText(conn, text)
	}
	for _, step := range []object{
		{"Action": "ActivateServerProcess", "Port": 7000, "LogPaths": []string{}, "SdkVersion": "5.5.0", "SdkLanguage": "Go"},
		{"Action": "HeartbeatServerProcess", "HealthStatus": true},
	} {
		if err := say(step["Action"].(string), step); err != nil {
			return err
		}
		if _, err := wsutil.ReadServerText(conn); err != nil {
			return fmt.Errorf("%s is not ready: %w", name, err)
		}
	}
	p.all.Go(func() {
		for {
			text, err := wsutil.ReadServerText(conn)
			if err != nil {
				return // the test is over
			}
			var m struct{ Action, RequestID, GameSessionID string }
			if err := json.Unmarshal(text, &m); err != nil || m.Action != "CreateGameSession" || m.RequestID != "" {
				continue
			}
			p.mu.Lock()
			p.sent[m.GameSessionID] = name
			p.mu.Unlock()
			if err := say("ActivateGameSession", object{"GameSessionId": m.GameSessionID}); err != nil {
				return
			}
		}
	})
	return nil
}

// crowd is how many placements TestPlacementsWhileANodeIsKilled starts.
func crowd(t testing.TB) int {
	if text := os.Getenv("MATCHYARD_PLACEMENTS"); text != "" {
		n, err := strconv.Atoi(text)
		check(t, err)
		return n
	}
	if testing.Short() {
		return 100
	}
	return 500
}

// Two nodes on one PostgreSQL take in as many placements as there are processes, and one of
// them is killed in the middle. Each placement that was taken in ends with a process of its
// own; none is lost and no process has two.
func TestPlacementsWhileANodeIsKilled(t *testing.T) {
	database := storetest.PostgresURL(t)
	first, second := serve(t, database), serve(t, database)
	n := crowd(t)
	w := newWorld(t, second)
	queue := w.queue(t, &gamelift.CreateGameSessionQueueInput{}, w)
	token, err := w.api.GetComputeAuthToken(t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &w.fleet, ComputeName: &w.computer})
	check(t, err)
	p := &puppets{sent: map[string]string{}}
	var all sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := p.puppet(t, w, second, *token.AuthToken, fmt.Sprintf("process-%d", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	// The placements come while the processes do.
	var started, taken atomic.Int64
	var killed sync.Once
	for caller := range 32 {
		api := w.api
		if caller%2 == 0 {
			api = sdk(first)
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			for i := started.Add(1); i <= int64(n); i = started.Add(1) {
				in := &gamelift.StartGameSessionPlacementInput{PlacementId: new(fmt.Sprintf("p-%d", i)), GameSessionQueueName: &queue, MaximumPlayerSessionCount: new(int32(4))}
				_, err := api.StartGameSessionPlacement(ctx, in)
				if err != nil && api != w.api {
					// Its node is gone. The other one knows whether the placement is there.
					api = w.api
					_, err = api.StartGameSessionPlacement(ctx, in)
					if _, there := errors.AsType[*types.InvalidRequestException](err); there {
						err = nil
					}
				}
				if err != nil {
					t.Errorf("placement %d: %v", i, err)
					return
				}
				if taken.Add(1) >= int64(n)/3 {
					killed.Do(first.kill)
				}
			}
		})
	}
	all.Wait()
	homes := map[string]string{}
	for i := range n {
		id := fmt.Sprintf("p-%d", i+1)
		got := w.outcome(t, id)
		if got.Status != types.GameSessionPlacementStateFulfilled {
			t.Fatalf("%s is %s", id, got.Status)
		}
		if other, twice := homes[*got.GameSessionId]; twice {
			t.Errorf("%s and %s have the game session %s", other, id, *got.GameSessionId)
		}
		homes[*got.GameSessionId] = id
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	hosts := map[string]string{}
	for game, process := range p.sent {
		if other, twice := hosts[process]; twice {
			t.Errorf("%s was sent %s and %s", process, other, game)
		}
		hosts[process] = game
		if homes[game] == "" || !strings.HasSuffix(game, "/"+homes[game]) {
			t.Errorf("%s was sent %s, of placement %q", process, game, homes[game])
		}
	}
	if len(hosts) != n {
		t.Errorf("%d processes were sent a game session, want %d", len(hosts), n)
	}
}
