package gateway_test

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/gateway"
)

// program is the example game server on the official SDK, as a process of its own.
type program struct {
	t    testing.TB
	cmd  *exec.Cmd
	port string // of the game

	mu    sync.Mutex
	lines []string
	ended chan error
}

// run starts the game server and waits until it is ready.
func (y *yard) run(process string, flags ...string) *program {
	y.t.Helper()
	cmd := exec.Command(gameServer, append([]string{"-logs", y.t.TempDir()}, flags...)...)
	cmd.Env = append(os.Environ(),
		"GAMELIFT_SDK_WEBSOCKET_URL="+y.url, "GAMELIFT_SDK_AUTH_TOKEN="+y.token, "GAMELIFT_SDK_FLEET_ID="+y.fleet,
		"GAMELIFT_SDK_HOST_ID="+y.compute, "GAMELIFT_SDK_PROCESS_ID="+process,
		"HEALTHCHECK_INTERVAL=500ms", "HEALTHCHECK_MAX_JITTER=50ms", "DISCONNECT_WEBSOCKET_TIMEOUT=500ms",
		"SERVICE_BUFFER_SIZE=64", // everything comes in fragments
		"SSL_CERT_FILE="+y.certificate())
	out, err := cmd.StdoutPipe()
	if err != nil {
		y.t.Fatal(err)
	}
	if testing.Verbose() {
		cmd.Stderr = testLog{y.t}
	}
	if err := cmd.Start(); err != nil {
		y.t.Fatal(err)
	}
	p := &program{t: y.t, cmd: cmd, ended: make(chan error, 1)}
	var reading sync.WaitGroup
	reading.Go(func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			p.mu.Unlock()
		}
	})
	go func() {
		reading.Wait()
		p.ended <- cmd.Wait()
	}()
	y.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		reading.Wait()
	})
	_, _ = fmt.Sscanf(p.prints("ready "), "ready port=%s", &p.port)
	return p
}

// prints waits for a line that starts like that.
func (p *program) prints(start string) (line string) {
	p.t.Helper()
	var all string
	eventually(p.t, "game server prints "+start, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		all = strings.Join(p.lines, "\n")
		for _, l := range p.lines {
			if strings.HasPrefix(l, start) {
				line = l
				return true
			}
		}
		return false
	}, &all)
	return line
}

// ends waits for the process to end by itself.
func (p *program) ends() {
	p.t.Helper()
	select {
	case err := <-p.ended:
		if err != nil {
			p.t.Errorf("game server: %v, want exit code 0", err)
		}
	case <-time.After(patience):
		p.t.Fatal("the game server does not end")
	}
}

// gamer is a player's connection to the game server.
type gamer struct {
	t     testing.TB
	conn  net.Conn
	lines *bufio.Reader
}

func (p *program) connect() gamer {
	p.t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+p.port)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return gamer{p.t, conn, bufio.NewReader(conn)}
}

func (g gamer) says(line, want string) {
	g.t.Helper()
	_ = g.conn.SetDeadline(time.Now().Add(patience))
	_, _ = fmt.Fprintln(g.conn, line)
	if got := g.hears(); !strings.HasPrefix(got, want) {
		g.t.Fatalf("%s: heard %q, want %q", line, got, want)
	}
}

func (g gamer) hears() string {
	g.t.Helper()
	got, err := g.lines.ReadString('\n')
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.TrimSpace(got)
}

// certificate is a file with the certificate that the gateway's clients trust.
func (y *yard) certificate() string {
	y.t.Helper()
	name := filepath.Join(y.t.TempDir(), "ca.pem")
	var text []byte
	if c := y.http.Certificate(); c != nil {
		text = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		y.t.Fatal(err)
	}
	return name
}

// playOneGame is a whole game session as its players and its game server see it.
func playOneGame(t *testing.T, y *yard) {
	p := y.run("p1", "-end-when-empty")
	// At once: a game session created as soon as possible is not lost.
	var g *types.GameSession
	eventually(t, "the process is placeable", func() bool {
		out, err := y.sessions.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{
			FleetId: &y.fleet, Location: new(place), MaximumPlayerSessionCount: new(int32(2)), Name: new("friday"), GameSessionData: new("map=dünes"),
		})
		if err == nil {
			g = out.GameSession
		}
		return err == nil
	})
	id := *g.GameSessionId
	if line := p.prints("start "); !strings.Contains(line, "session="+id) || !strings.Contains(line, `max=2 name="friday" data="map=dünes"`) {
		t.Errorf("the game server got %s", line)
	}
	y.becomes(id, types.GameSessionStatusActive)
	p.prints("active ")

	ann, err := y.reserve(id, "ann")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := y.reserve(id, "bob")
	if err != nil {
		t.Fatal(err)
	}
	annPlays, bobPlays, eve := p.connect(), p.connect(), p.connect()
	annPlays.says("JOIN "+ann, "OK")
	bobPlays.says("JOIN "+bob, "OK")
	eve.says("JOIN psess-01234567-89ab-7def-8123-456789abcdef", "NO")
	if got := y.player(ann).Status; got != types.PlayerSessionStatusActive {
		t.Errorf("ann is %s, want ACTIVE", got)
	}
	annPlays.says("WHO", "OK 2")
	if a, b := annPlays.hears(), annPlays.hears(); a != ann+" ann ACTIVE" || b != bob+" bob ACTIVE" {
		t.Errorf("the game server knows of %q and %q", a, b)
	}
	annPlays.says("LOCK", "OK")
	if got := y.game(id).PlayerSessionCreationPolicy; got != types.PlayerSessionCreationPolicyDenyAll {
		t.Errorf("policy %s, want DENY_ALL", got)
	}
	annPlays.says("UNLOCK", "OK")
	annPlays.says("LEAVE", "BYE")
	p.prints("left player=" + ann)
	if got := y.player(ann).Status; got != types.PlayerSessionStatusCompleted {
		t.Errorf("ann is %s, want COMPLETED", got)
	}
	_ = bobPlays.conn.Close()
	p.ends()
	y.becomes(id, types.GameSessionStatusTerminated)
	if got := y.player(bob).Status; got != types.PlayerSessionStatusCompleted {
		t.Errorf("bob is %s, want COMPLETED", got)
	}
}

func TestSDKPlaysAGame(t *testing.T) {
	each(t, func(y *yard) { playOneGame(t, y) })
}

func TestSDKPlaysAGameOverTLS(t *testing.T) {
	y := one(t, nil)
	y.end()
	y.gate = y.openTLS()
	playOneGame(t, y)
}

func TestSDKIsTerminated(t *testing.T) {
	y := one(t, nil)
	p := y.run("p1")
	id := y.eventuallyStart()
	p.prints("active ")
	if _, err := y.sessions.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{
		GameSessionId: &id, TerminationMode: types.TerminationModeTriggerOnProcessTerminate,
	}); err != nil {
		t.Fatal(err)
	}
	p.prints(`ending why="terminated by the service"`)
	p.ends()
	y.becomes(id, types.GameSessionStatusTerminated)
}

// eventuallyStart creates a game session as soon as a process is free.
func (y *yard) eventuallyStart() (id string) {
	y.t.Helper()
	eventually(y.t, "a process is free", func() bool {
		out, err := y.sessions.CreateGameSession(y.t.Context(), &gamelift.CreateGameSessionInput{
			FleetId: &y.fleet, Location: new(place), MaximumPlayerSessionCount: new(int32(4)),
		})
		if err == nil {
			id = *out.GameSession.GameSessionId
		}
		return err == nil
	})
	return id
}

func TestSDKIsKilled(t *testing.T) {
	each(t, func(y *yard) {
		p := y.run("p1")
		id := y.eventuallyStart()
		p.prints("active ")
		if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the socket is gone", func() bool { return y.Stats().Sockets == 0 })
		y.advance(199 * time.Second) // it might come back
		if got := y.game(id).Status; got != types.GameSessionStatusActive {
			t.Errorf("within the grace the game session is %s, want ACTIVE", got)
		}
		eventually(t, "crashed after the grace", func() bool {
			y.advance(2 * time.Second)
			return y.game(id).Status == types.GameSessionStatusTerminated
		})
		events, err := y.fleets.DescribeFleetEvents(t.Context(), &gamelift.DescribeFleetEventsInput{FleetId: &y.fleet})
		if err != nil || events.Events[0].EventCode != types.EventCodeServerProcessCrashed {
			t.Errorf("events %+v, %v; want the newest to be a crash", events, err)
		}
	})
}

// A game goes on while the server restarts: players stay, and new ones come.
func TestSDKOutlivesARestart(t *testing.T) {
	each(t, func(y *yard) {
		p := y.run("p1")
		id := y.eventuallyStart()
		p.prints("active ")
		ann, err := y.reserve(id, "ann")
		if err != nil {
			t.Fatal(err)
		}
		annPlays := p.connect()
		annPlays.says("JOIN "+ann, "OK")

		address := y.http.Listener.Addr().String()
		y.end()
		bob, err := y.reserve(id, "bob") // the API may be served by another node meanwhile
		if err != nil {
			t.Fatal(err)
		}
		y.gate = y.open(address, nil)
		bobPlays := p.connect()
		bobPlays.says("JOIN "+bob, "OK")
		annPlays.says("LEAVE", "BYE")
		p.prints("left player=" + ann)
		if s := y.Stats(); s.Sockets != 1 || s.Accepted != 1 {
			t.Errorf("stats %+v, want one socket", s)
		}
		if got := y.game(id).Status; got != types.GameSessionStatusActive {
			t.Errorf("the game session is %s, want ACTIVE", got)
		}
		bobPlays.says("END", "OK")
		p.ends()
		y.becomes(id, types.GameSessionStatusTerminated)
	})
}

func TestSDKIsUnhealthy(t *testing.T) {
	y := one(t, func(s *gateway.Server) { s.HealthTimeout = 3 * time.Second })
	p := y.run("p1")
	id := y.eventuallyStart()
	p.prints("active ")
	time.Sleep(4 * time.Second)
	p.connect().says("SICK", "OK")
	p.prints(`ending why="terminated by the service"`)
	p.ends()
	y.becomes(id, types.GameSessionStatusTerminated)
	if got := y.Stats().Unhealthy; got != 1 {
		t.Errorf("%d unhealthy, want 1", got)
	}
}
