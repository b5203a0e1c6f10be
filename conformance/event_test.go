package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// The event of a placement that a real game server fulfils reaches a webhook, and boto3's
// SQS client pointed at the same server, with what DescribeGameSessionPlacement says.
func TestThePlacementsEventReachesAWebhookAndBoto3(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			python, err := botoDriver()
			if err != nil {
				missing(t, "boto3", err)
			}
			posted := make(chan []byte, 10)
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				posted <- body
			}))
			t.Cleanup(receiver.Close)
			file := filepath.Join(t.TempDir(), "matchyard.yaml")
			check(t, os.WriteFile(file, fmt.Appendf(nil, `
sinks:
  - {name: hook, kind: webhook, url: %q, secret: sixteen-bytes-of-secret, allow-private: true}
  - {name: placements, kind: sqs}
`, receiver.URL), 0o600))
			s := dev(t, database, "--config", file)
			w := newWorld(t, s)
			queue := w.queue(t, &gamelift.CreateGameSessionQueueInput{CustomEventData: new("season 3")}, w)
			host := w.host(t, "ws")
			id := "placed-on-" + database
			begun := time.Now()
			_, err = w.api.StartGameSessionPlacement(t.Context(), &gamelift.StartGameSessionPlacementInput{
				PlacementId: &id, GameSessionQueueName: &queue, MaximumPlayerSessionCount: new(int32(4)),
				DesiredPlayerSessions: []types.DesiredPlayerSession{{PlayerId: new("ann")}, {PlayerId: new("bob")}},
			})
			check(t, err)
			p := w.outcome(t, id)
			if p.Status != types.GameSessionPlacementStateFulfilled {
				t.Fatalf("the placement is %s", p.Status)
			}

			var first []byte
			select {
			case first = <-posted:
			case <-time.After(20 * time.Second):
				t.Fatal("nothing was posted to the webhook")
			}
			t.Logf("from the call to the webhook: %s", time.Since(begun))
			var e struct {
				Source     string
				DetailType string `json:"detail-type"`
				Resources  []string
				Detail     struct {
					Type, PlacementID, Port, GameSessionArn, IPAddress, CustomEventData string
					PlacedPlayerSessions                                                []struct{ PlayerID, PlayerSessionID string }
				}
			}
			check(t, json.Unmarshal(first, &e))
			d := e.Detail
			if e.Source != "aws.gamelift" || e.DetailType != "GameLift Queue Placement Event" || len(e.Resources) != 1 ||
				d.Type != "PlacementFulfilled" || d.PlacementID != id || d.Port != strconv.Itoa(host.port) || d.IPAddress != "127.0.0.1" ||
				d.GameSessionArn != *p.GameSessionArn || d.CustomEventData != "season 3" || len(d.PlacedPlayerSessions) != 2 {
				t.Errorf("the webhook got %s", first)
			}
			for i, one := range d.PlacedPlayerSessions {
				if one.PlayerID != *p.PlacedPlayerSessions[i].PlayerId || one.PlayerSessionID != *p.PlacedPlayerSessions[i].PlayerSessionId {
					t.Errorf("player session %d: %+v", i, one)
				}
			}

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			read := exec.CommandContext(ctx, python.cmd.Path, "drivers/read_queue.py", s.url, "placements", "1")
			read.Env = quietEnvironment()
			read.Stderr = t.Output()
			body, err := read.Output()
			check(t, err)
			if string(body) != string(first)+"\n" {
				t.Errorf("boto3 read %s from the queue, and the webhook got %s", body, first)
			}
		})
	}
}
