// Command gameserver is a small game server on the official server SDK for Go: a chat room
// over TCP that hosts one game session, lets in only players with a reserved player session,
// and ends. It is meant to be copied; nothing in it is special to Matchyard, and it runs on
// Amazon GameLift Servers as well.
//
// What happens is printed to standard output, one line an event, and appended to the log
// file that the SDK is told of. The SDK's own log goes to standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/amazon-gamelift/amazon-gamelift-servers-go-server-sdk/v5/model"
	"github.com/amazon-gamelift/amazon-gamelift-servers-go-server-sdk/v5/server"
)

type options struct {
	port         int
	logs         string
	endWhenEmpty bool
	backfill     bool
	verbose      bool
	process      server.ServerParameters

	register bool
	compute  registration
}

func flags() options {
	var o options
	env := os.Getenv
	flag.IntVar(&o.port, "port", 0, "TCP `port` for players; 0 takes a free one")
	flag.StringVar(&o.logs, "logs", "logs", "`folder` for the log file <process id>.log, made when missing")
	flag.BoolVar(&o.endWhenEmpty, "end-when-empty", false, "end when the last player has left")
	flag.BoolVar(&o.backfill, "backfill", false, "in a match, ask the matchmaker for a new player when one has left; so does the game property backfill=manual")
	flag.BoolVar(&o.verbose, "v", false, "print the SDK's debug log too")
	// The SDK reads the same variables by itself; they win over what it is given.
	flag.StringVar(&o.process.WebSocketURL, "url", env("GAMELIFT_SDK_WEBSOCKET_URL"), "server SDK `endpoint`, as RegisterCompute answers it")
	flag.StringVar(&o.process.AuthToken, "token", env("GAMELIFT_SDK_AUTH_TOKEN"), "`token` of GetComputeAuthToken")
	flag.StringVar(&o.process.FleetID, "fleet", env("GAMELIFT_SDK_FLEET_ID"), "fleet `id`")
	flag.StringVar(&o.process.HostID, "host", env("GAMELIFT_SDK_HOST_ID"), "compute `name`")
	flag.StringVar(&o.process.ProcessID, "process", env("GAMELIFT_SDK_PROCESS_ID"), "process `id`, new for each start; empty makes one")
	flag.BoolVar(&o.register, "register", false, "register -host in -fleet and fetch -url and -token from the API first")
	flag.StringVar(&o.compute.location, "location", "", "with -register: the fleet's `location` of this machine")
	flag.StringVar(&o.compute.ip, "ip", "127.0.0.1", "with -register: `address` at which players reach this machine")
	flag.Parse()
	return o
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("gameserver: ")
	if err := run(flags()); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.process.ProcessID == "" {
		o.process.ProcessID = fmt.Sprintf("gameserver-%d-%d", os.Getpid(), time.Now().Unix())
	}
	if o.register {
		if err := o.compute.register(ctx, &o.process); err != nil {
			return err
		}
	}
	events, logFile, err := openEvents(o.logs, o.process.ProcessID)
	if err != nil {
		return err
	}
	defer events.close()
	listener, port, err := listen(o.port)
	if err != nil {
		return err
	}
	defer listener.Close()

	// The SDK would log to standard output and ./logs; a logger of one's own keeps the two apart.
	server.SetLoggerInterface(sdkLog{verbose: o.verbose})
	if err := server.InitSDK(o.process); err != nil {
		return fmt.Errorf("InitSDK: %w", err)
	}
	events.print("connected process=%s", o.process.ProcessID)

	ended := make(chan string, 1) // why the game ends; the first reason counts
	end := func(why string) {
		select {
		case ended <- why:
		default:
		}
	}
	g := newGame(sdk{}, events.print, end, o.endWhenEmpty)
	g.match.always = o.backfill
	// Players may connect from the first moment; they are let in once a game session runs.
	go g.serve(listener)

	// The callbacks run on the SDK's goroutines.
	err = server.ProcessReady(server.ProcessParameters{
		Port:          port,
		LogParameters: server.LogParameters{LogPaths: []string{logFile}},
		OnStartGameSession: func(s model.GameSession) {
			events.print("start session=%s max=%d name=%q data=%q", s.GameSessionID, s.MaximumPlayerSessionCount, s.Name, s.GameSessionData)
			g.match.started(s)
			// A real game loads its map here.
			if err := server.ActivateGameSession(); err != nil {
				end("activation failed: " + err.Error())
				return
			}
			events.print("active session=%s", s.GameSessionID)
		},
		OnUpdateGameSession: g.match.updated,
		OnHealthCheck:       g.healthy,
		OnProcessTerminate:  func() { end("terminated by the service") },
	})
	if err != nil {
		return fmt.Errorf("ProcessReady: %w", err)
	}
	events.print("ready port=%d log=%s", port, logFile)

	select {
	case why := <-ended:
		events.print("ending why=%q", why)
	case <-ctx.Done():
		events.print("ending why=%q", "signal")
	}
	g.close()
	if err := server.ProcessEnding(); err != nil {
		return fmt.Errorf("ProcessEnding: %w", err)
	}
	events.print("ended")
	if err := server.Destroy(); err != nil {
		return fmt.Errorf("Destroy: %w", err)
	}
	return nil
}

// listen opens the game's port. The SDK accepts ports from 1 to 60000 only, while systems
// hand out higher ones, so a free port is looked for until it fits.
func listen(port int) (net.Listener, int, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return nil, 0, err
		}
		if got := l.Addr().(*net.TCPAddr).Port; got <= 60000 {
			return l, got, nil
		}
		_ = l.Close()
		if port != 0 {
			break
		}
	}
	return nil, 0, errors.New("no port between 1 and 60000 is free")
}

// eventLog prints what happens, to standard output and to the log file.
type eventLog struct {
	mu   sync.Mutex
	out  io.Writer
	file *os.File
}

func openEvents(dir, process string) (*eventLog, string, error) {
	dir, err := filepath.Abs(dir) // the service wants absolute log paths
	if err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	name := filepath.Join(dir, filepath.Base(process)+".log")
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, "", err
	}
	return &eventLog{out: io.MultiWriter(os.Stdout, file), file: file}, name, nil
}

func (e *eventLog) print(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(e.out, format+"\n", args...)
}

func (e *eventLog) close() { _ = e.file.Close() }

// sdkLog is the SDK's log on standard error.
type sdkLog struct{ verbose bool }

func (l sdkLog) Debugf(format string, args ...any) {
	if l.verbose {
		log.Printf("sdk debug: "+format, args...)
	}
}
func (l sdkLog) Warnf(format string, args ...any)  { log.Printf("sdk warning: "+format, args...) }
func (l sdkLog) Errorf(format string, args ...any) { log.Printf("sdk error: "+format, args...) }
