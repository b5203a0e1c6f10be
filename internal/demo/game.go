package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// game is a running game server: the example program on the official SDK.
type game struct {
	name    string
	command *exec.Cmd
	exited  chan struct{} // closed when the program has ended
	err     error         // of its end; read it after exited

	mu   sync.Mutex
	last string // its latest event
}

// startGame starts the game server as a host's own script would: with what RegisterCompute
// and GetComputeAuthToken answered, and a process id of its own.
func (t *tour) startGame(ctx context.Context, name, endpoint, token string) (*game, error) {
	folder := filepath.Join(t.folder, name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	// It gets to end by itself, so it does not end with ctx.
	c := exec.CommandContext(context.WithoutCancel(ctx), t.server, "-logs", folder)
	c.Dir = folder
	c.Env = append(os.Environ(),
		"GAMELIFT_SDK_WEBSOCKET_URL="+endpoint,
		"GAMELIFT_SDK_AUTH_TOKEN="+token,
		"GAMELIFT_SDK_FLEET_ID="+t.fleet,
		"GAMELIFT_SDK_HOST_ID="+computer,
		"GAMELIFT_SDK_PROCESS_ID="+name,
	)
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	g := &game{name: name, command: c, exited: make(chan struct{})}
	t.games = append(t.games, g)
	go func() {
		defer close(g.exited)
		lines(out, func(line string) {
			g.mu.Lock()
			g.last = line
			g.mu.Unlock()
			t.say("[%s] %s", name, line)
		})
		g.err = c.Wait()
	}()
	return g, nil
}

// ended waits for the game server to end by itself.
func (g *game) ended(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-g.exited:
		return g.err
	case <-ctx.Done():
		return fmt.Errorf("%s has not ended: %w", g.name, ctx.Err())
	}
}

// endGames ends what is still running.
func (t *tour) endGames() {
	for _, g := range t.games {
		_ = g.command.Process.Signal(syscall.SIGTERM)
	}
	for _, g := range t.games {
		select {
		case <-g.exited:
		case <-time.After(5 * time.Second):
			_ = g.command.Process.Kill()
			<-g.exited
		}
	}
}

// player is a player's connection to a game server.
type player struct {
	conn net.Conn
	in   *bufio.Reader
}

// join connects to the game server as a game client does: to the address and with the
// player session that its back end got from CreatePlayerSession.
func join(ctx context.Context, address, playerSession string) (*player, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	p := &player{conn: conn, in: bufio.NewReader(conn)}
	if err := p.ask("JOIN " + playerSession); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return p, nil
}

// ask says a line and wants to hear OK.
func (p *player) ask(line string) error {
	if err := p.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(p.conn, line+"\n"); err != nil {
		return err
	}
	answer, err := p.in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	if !strings.HasPrefix(answer, "OK") {
		return fmt.Errorf("%s: the game server said %q", line, strings.TrimSpace(answer))
	}
	return nil
}
