package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store/storetest"
)

// chatty is a build of the example game server beside which something writes a line with its
// time, and one that would harm who looks, ten times a second.
func chatty() buildFiles {
	return buildFiles{"server": "#!/bin/sh\nwhile :; do date '+tick %s%N'; printf '\\033[31m<b>red</b> \\377\\n'; sleep 0.1; done &\nexec " + gameserver + " \"$@\"\n"}
}

// chat is a game session of a chatty build on a host of its own.
func chat(t *testing.T, s *server) (*world, *types.GameSession) {
	t.Helper()
	s.rack(t, "only", "127.0.0.2", 1)
	w := managedFleet(t, s, s.upload(t, chatty()), gamePath, gameParameters, 1)
	w.fleetBecomes(t, types.FleetStatusActive)
	return w, w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(2))})
}

// commanded is a command that runs.
type commanded struct {
	cmd   *exec.Cmd
	errs  tail
	mu    sync.Mutex
	out   bytes.Buffer
	first time.Time
	late  []time.Duration // of ticks that were written after it began
}

// Write takes standard output, and looks how old its lines are.
func (c *commanded) Write(b []byte) (int, error) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for line := range strings.Lines(string(b)) {
		text, tick := strings.CutPrefix(strings.TrimSpace(line), "tick ")
		if ns, err := strconv.ParseInt(text, 10, 64); tick && err == nil && time.Unix(0, ns).After(c.first) {
			c.late = append(c.late, now.Sub(time.Unix(0, ns)))
		}
	}
	return c.out.Write(b)
}

func (c *commanded) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

func logsOf(ctx context.Context, t testing.TB, s *server, args ...string) *commanded {
	t.Helper()
	c := &commanded{first: time.Now().Add(time.Second), cmd: exec.CommandContext(ctx, matchyard, append([]string{"logs"}, args...)...)}
	c.cmd.Env = quietEnvironment("AWS_ACCESS_KEY_ID="+s.key, "AWS_SECRET_ACCESS_KEY="+s.secret, "AWS_ENDPOINT_URL_GAMELIFT="+s.url)
	c.cmd.Stdout, c.cmd.Stderr = c, &c.errs
	check(t, c.cmd.Start())
	return c
}

// The log of a game session is read on the command line while it is written, from a node that
// does not hold its host's socket too; then the game ends, and the whole log is there.
func TestLogsWhileTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			url, blobs := "", t.TempDir()
			if database == "postgres" {
				url = storetest.PostgresURL(t)
			}
			first := serve(t, url, "--blobs", blobs)
			second := first
			if database == "postgres" {
				second = serve(t, url, "--blobs", blobs)
			}
			w, gs := chat(t, first)
			follow := logsOf(t.Context(), t, second, "-f", *gs.GameSessionId)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("it printed %.1000q, %s", follow.text(), follow.errs.String())
				}
			})
			within(t, 30*time.Second, "lines come", func() bool {
				follow.mu.Lock()
				defer follow.mu.Unlock()
				return len(follow.late) >= 20
			})
			if text := follow.text(); !strings.Contains(text, "start session="+*gs.GameSessionId) || !strings.Contains(text, `\x1b[31m<b>red</b> \xff`+"\n") || strings.Contains(text, "\x1b") {
				t.Errorf("printed %q", text)
			}

			now := logsOf(t.Context(), t, second, "--last", "300", *gs.GameSessionId)
			if err := now.cmd.Wait(); err != nil || !strings.Contains(now.text(), "tick ") {
				t.Errorf("what there is: %v %q %q", err, now.text(), now.errs.String())
			}
			raw := logsOf(t.Context(), t, second, "--raw", *gs.GameSessionId)
			if err := raw.cmd.Wait(); err != nil || !strings.Contains(raw.text(), "\x1b[31m<b>red</b> \xff\n") {
				t.Errorf("as it is: %v %q", err, raw.text())
			}

			policy := filepath.Join(t.TempDir(), "policy.json")
			check(t, os.WriteFile(policy, []byte(`{"Version": "2012-10-17", "Statement": [
				{"Effect": "Allow", "Action": "gamelift:*", "Resource": "*"}, {"Effect": "Deny", "Action": "gamelift:GetGameSessionLogUrl", "Resource": "*"}]}`), 0o600))
			fields := strings.Fields(strings.ReplaceAll(manageKeys(t, first, "create", "blind", "--policy", "@"+policy), "=", " "))
			blind := *second
			blind.key, blind.secret = fields[slices.Index(fields, "AWS_ACCESS_KEY_ID")+1], fields[slices.Index(fields, "AWS_SECRET_ACCESS_KEY")+1]
			refused := logsOf(t.Context(), t, &blind, *gs.GameSessionId)
			if err := refused.cmd.Wait(); err == nil || refused.text() != "" || !strings.Contains(refused.errs.String(), "not authorized to perform: gamelift:GetGameSessionLogUrl") {
				t.Errorf("without the right: %v %q %q", err, refused.text(), refused.errs.String())
			}

			_, err := w.api.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{GameSessionId: gs.GameSessionId, TerminationMode: types.TerminationModeTriggerOnProcessTerminate})
			check(t, err)
			if err := follow.cmd.Wait(); err != nil || !strings.Contains(follow.errs.String(), "the game server has ended") || !strings.Contains(follow.text(), "ending why=") {
				t.Errorf("at the end: %v %q, …%.300q", err, follow.errs.String(), follow.text()[max(0, len(follow.text())-300):])
			}
			slices.Sort(follow.late)
			t.Logf("from a write to its line: %v in the median, %v at the 99th percentile, of %d", follow.late[len(follow.late)/2], follow.late[len(follow.late)*99/100], len(follow.late))
			whole := logsOf(t.Context(), t, second, "-f", *gs.GameSessionId)
			if err := whole.cmd.Wait(); err != nil || !strings.Contains(whole.text(), "tick ") || !strings.Contains(whole.text(), "ending why=") {
				t.Errorf("the whole: %v, %s", err, whole.errs.String())
			}
		})
	}
	t.Run("without an agent", func(t *testing.T) {
		t.Parallel()
		s := dev(t, "sqlite", "--clock", "real")
		gs, _ := newWorld(t, s).room(t, "ws", 2)
		for _, args := range [][]string{{*gs.GameSessionId}, {"-f", *gs.GameSessionId}} {
			c := logsOf(t.Context(), t, s, args...)
			want := fmt.Sprintf("is an Anywhere fleet: no agent of this server is on its computes, so the log can only be read where it is, on \"rack-1\" (127.0.0.1:%d), in ", *gs.Port)
			if err := c.cmd.Wait(); err == nil || !strings.Contains(c.errs.String(), want) {
				t.Errorf("%v: %v %s", args, err, c.errs.String())
			}
		}
	})
}

// chatting is a development server with a game session whose game server writes lines to
// harm who looks, for the console.
func chatting(t *testing.T) map[string]any {
	t.Helper()
	s := &server{data: t.TempDir(), key: "AKIDCONFORMANCE", secret: "secret"}
	s.args = []string{"dev", "--data", s.data, "--log-level", "warn"}
	t.Cleanup(func() { killGames(t, s.data) })
	s.start(t, "127.0.0.1:0", "127.0.0.1:0")
	script := "#!/bin/sh\nhead -c 10000 /dev/zero | tr '\\0' 'x'; echo\ni=1\nwhile :; do echo \"tick $i\"; " +
		"printf '<b onclick=window.hacked=1>\\033[31mred\\033[0m</b> \\377 \\342\\200\\256\\n'; i=$((i+1)); sleep 0.2; done &\nexec " + gameserver + " \"$@\"\n"
	w := managedFleet(t, s, s.upload(t, buildFiles{"server": script}), gamePath, gameParameters, 1)
	w.fleetBecomes(t, types.FleetStatusActive)
	gs := w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(8)), Name: new("a chat"), GameProperties: []types.GameProperty{{Key: new("map"), Value: new("harbour")}}})
	for i := range 3 {
		gameOf(gs).enter(t, *w.join(t, *gs.GameSessionId, fmt.Sprintf("player-%d", i)).PlayerSessionId)
	}
	return map[string]any{"url": s.admin, "fleet": w.fleet, "game": *gs.GameSessionId}
}
