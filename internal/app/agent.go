package app

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/matchyard/matchyard/internal/agent"
	"github.com/matchyard/matchyard/internal/config"
)

// ownHost is the name of the host that the server itself is.
const ownHost = "local"

// leaveHost is how long the games of a server that keeps nothing have to end with it.
const leaveHost = time.Second

// startAgent makes this machine a host of its own server, unless it is configured not to:
// that is all a development server needs to run managed fleets. It ends with ctx, and done
// tells when it has. Games on a server that keeps its data go on, and the next one finds
// them; on one that keeps nothing they end.
func (a *App) startAgent(ctx context.Context) (done <-chan struct{}) {
	ended := make(chan struct{})
	if a.config.Agent == config.Off || a.config.Agent == config.Auto && !a.config.Dev || a.config.AgentCapacity < 1 {
		close(ended)
		return ended
	}
	go func() {
		defer close(ended)
		if err := a.runAgent(ctx); err != nil && ctx.Err() == nil {
			a.logger.Error("this machine hosts nothing: its agent ended", slog.Any("error", err))
		}
	}()
	return ended
}

func (a *App) runAgent(ctx context.Context) error {
	dir := a.config.Folder()
	keep := dir != ""
	if !keep {
		var err error
		if dir, err = os.MkdirTemp("", "matchyard-agent-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	token, err := a.rooms.hosts.OwnToken(ctx, ownHost)
	if err != nil {
		return err
	}
	return agent.Run(ctx, agent.Config{
		Server: "http://" + a.nearby(), Token: token, Name: ownHost, Address: a.ownAddress(), Capacity: a.config.AgentCapacity,
		Data: filepath.Join(dir, "agent"), Logger: a.logger.With(slog.String("host", ownHost)), Version: a.config.Version,
		Drain: !keep, DrainGrace: leaveHost, Times: agent.Times{TerminateLate: leaveHost},
	})
}

// nearby is where this machine reaches the server's own port.
func (a *App) nearby() string {
	host, port, err := net.SplitHostPort(a.Addr())
	if err == nil && unspecified(host) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// ownAddress is where players reach game servers on this machine: the address that is
// advertised, if it is one, or listened on.
func (a *App) ownAddress() string {
	for _, address := range []string{hostOf(a.config.Advertise), a.nearby()} {
		if host, _, err := net.SplitHostPort(address); err == nil && net.ParseIP(host) != nil {
			return host
		}
	}
	return cmp.Or(hostIP(), "127.0.0.1")
}

// hostIP is an address of this machine that others may reach; "" when there is none.
func hostIP() string {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, address := range list {
		if n, ok := address.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}
