package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// world is an Anywhere fleet with one compute, on which game servers run.
type world struct {
	s                  *server
	api                *gamelift.Client
	fleet, arn         string
	location, computer string
	processes          atomic.Int32
}

var worlds atomic.Int32

func newWorld(t testing.TB, s *server) *world {
	t.Helper()
	w := newFleet(t, s)
	w.register(t, "rack-1", nil)
	return w
}

// newFleet is a world without a compute.
func newFleet(t testing.TB, s *server) *world {
	t.Helper()
	w := &world{s: s, api: sdk(s), location: fmt.Sprintf("custom-home-%d", worlds.Add(1))}
	_, err := w.api.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: &w.location})
	check(t, err)
	out, err := w.api.CreateFleet(t.Context(), &gamelift.CreateFleetInput{
		Name: new("conformance"), ComputeType: types.ComputeTypeAnywhere,
		Locations: []types.LocationConfiguration{{Location: &w.location}},
	})
	check(t, err)
	w.fleet, w.arn = *out.FleetAttributes.FleetId, *out.FleetAttributes.FleetArn
	return w
}

// register makes a compute; game servers that are started next run on it.
func (w *world) register(t testing.TB, name string, dns *string) {
	t.Helper()
	w.computer = name
	_, err := w.api.RegisterCompute(t.Context(), &gamelift.RegisterComputeInput{
		FleetId: &w.fleet, ComputeName: &name, Location: &w.location, IpAddress: new("127.0.0.1"), DnsName: dns,
	})
	check(t, err)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// game is one process of the example game server.
type game struct {
	cmd  *exec.Cmd
	port int
	log  *tail
	gone chan struct{}

	mu    sync.Mutex
	lines []string
}

// host starts a game server that connects over scheme, "ws" or "wss", and waits until it is
// ready.
func (w *world) host(t testing.TB, scheme string) *game {
	t.Helper()
	token, err := w.api.GetComputeAuthToken(t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &w.fleet, ComputeName: &w.computer})
	check(t, err)
	g := &game{gone: make(chan struct{}), log: &tail{}}
	g.cmd = exec.Command(gameserver, "-logs", t.TempDir())
	g.cmd.Env = quietEnvironment(
		"GAMELIFT_SDK_WEBSOCKET_URL="+w.s.websocket(scheme), "GAMELIFT_SDK_AUTH_TOKEN="+*token.AuthToken, "GAMELIFT_SDK_FLEET_ID="+w.fleet,
		"GAMELIFT_SDK_HOST_ID="+w.computer, fmt.Sprintf("GAMELIFT_SDK_PROCESS_ID=process-%d", w.processes.Add(1)),
		"SSL_CERT_FILE="+filepath.Join(w.s.data, certificate),
	)
	g.cmd.Stderr = g.log
	out, err := g.cmd.StdoutPipe()
	check(t, err)
	check(t, g.cmd.Start())
	go func() {
		defer close(g.gone)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			g.mu.Lock()
			g.lines = append(g.lines, lines.Text())
			g.mu.Unlock()
		}
		_ = g.cmd.Wait()
	}()
	t.Cleanup(func() {
		g.kill()
		if t.Failed() {
			t.Logf("a game server said: %s\n%s", strings.Join(g.said(""), "\n"), g.log)
		}
	})
	g.port, err = strconv.Atoi(strings.TrimPrefix(strings.Fields(g.hear(t, "ready "))[1], "port="))
	check(t, err)
	return g
}

// said are the lines so far that begin with a text.
func (g *game) said(prefix string) (lines []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, line := range g.lines {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, line)
		}
	}
	return lines
}

// hear waits for the first line that begins with a text.
func (g *game) hear(t testing.TB, prefix string) string {
	t.Helper()
	var line string
	eventually(t, "the game server says "+prefix, func() bool {
		if said := g.said(prefix); len(said) > 0 {
			line = said[0]
			return true
		}
		select {
		case <-g.gone:
			t.Fatalf("the game server ended before it said %q: %v\n%s\n%s", prefix, g.cmd.ProcessState, strings.Join(g.said(""), "\n"), g.log)
		default:
		}
		return false
	})
	return line
}

// kill ends the game server at once.
func (g *game) kill() {
	_ = g.cmd.Process.Signal(syscall.SIGKILL)
	<-g.gone
}

// end has a player end the game. The game server may close the connection before it has
// answered.
func (g *game) end(t testing.TB) {
	t.Helper()
	_, err := fmt.Fprintln(g.connect(t), "END")
	check(t, err)
	g.hear(t, "ending ")
}

// ends waits for the game server's own end and returns its exit code.
func (g *game) ends(t testing.TB) int {
	t.Helper()
	select {
	case <-g.gone:
	case <-time.After(30 * time.Second):
		t.Fatalf("the game server still runs after 30 s: %s", strings.Join(g.said(""), "\n"))
	}
	return g.cmd.ProcessState.ExitCode()
}

// session makes a game session and waits until its game server has activated it.
func (w *world) session(t testing.TB, in *gamelift.CreateGameSessionInput) *types.GameSession {
	t.Helper()
	made := w.create(t, in)
	var now *types.GameSession
	eventually(t, "the game session is ACTIVE", func() bool {
		now = w.describe(t, *made.GameSessionId)
		return now.Status == types.GameSessionStatusActive
	})
	return now
}

// create makes a game session on the world's fleet. A game server that just became ready
// can take one once its first health report has come, which the SDK sends on its own time.
func (w *world) create(t testing.TB, in *gamelift.CreateGameSessionInput) *types.GameSession {
	t.Helper()
	in.FleetId, in.Location = &w.fleet, &w.location
	var made *types.GameSession
	eventually(t, "a game server takes a game session", func() bool {
		out, err := w.api.CreateGameSession(t.Context(), in)
		if _, full := errors.AsType[*types.FleetCapacityExceededException](err); full {
			return false
		}
		check(t, err)
		made = out.GameSession
		return true
	})
	return made
}

// room is a game session of max players with the game server that hosts it.
func (w *world) room(t testing.TB, scheme string, limit int32) (*types.GameSession, *game) {
	t.Helper()
	g := w.host(t, scheme)
	return w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: &limit}), g
}

func (w *world) describe(t testing.TB, session string) *types.GameSession {
	t.Helper()
	out, err := w.api.DescribeGameSessions(t.Context(), &gamelift.DescribeGameSessionsInput{GameSessionId: &session})
	check(t, err)
	if len(out.GameSessions) != 1 {
		t.Fatalf("%d game sessions %s", len(out.GameSessions), session)
	}
	return &out.GameSessions[0]
}

// join reserves a slot.
func (w *world) join(t testing.TB, session, player string) *types.PlayerSession {
	t.Helper()
	out, err := w.api.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: &session, PlayerId: &player})
	check(t, err)
	return out.PlayerSession
}

// player looks a player session up.
func (w *world) player(t testing.TB, id string) types.PlayerSession {
	t.Helper()
	out, err := w.api.DescribePlayerSessions(t.Context(), &gamelift.DescribePlayerSessionsInput{PlayerSessionId: &id})
	check(t, err)
	if len(out.PlayerSessions) != 1 {
		t.Fatalf("%d player sessions %s", len(out.PlayerSessions), id)
	}
	return out.PlayerSessions[0]
}

// connection is a player at the game server.
type connection struct {
	net.Conn
	lines *bufio.Reader
}

func (g *game) connect(t testing.TB) *connection {
	t.Helper()
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", g.port), 10*time.Second)
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &connection{c, bufio.NewReader(c)}
}

// say sends a line and returns the first line of the answer.
func (c *connection) say(t testing.TB, line string) string {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, err := fmt.Fprintln(c, line)
	check(t, err)
	return c.hear(t)
}

func (c *connection) hear(t testing.TB) string {
	t.Helper()
	answer, err := c.lines.ReadString('\n')
	check(t, err)
	return strings.TrimSpace(answer)
}

// enter connects and is let in with a player session.
func (g *game) enter(t testing.TB, playerSession string) *connection {
	t.Helper()
	c := g.connect(t)
	if got := c.say(t, "JOIN "+playerSession); got != "OK" {
		t.Fatalf("JOIN %s: %s", playerSession, got)
	}
	return c
}
