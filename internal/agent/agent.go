package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/agent/telemetry"
	"github.com/matchyard/matchyard/internal/hostmsg"
)

// tick is how often the agent looks at what time has brought.
const tick = 100 * time.Millisecond

// longestOutbox bounds the reports kept for a server that is away. What is lost beyond it,
// the next Hello still tells: it has everything that runs.
const longestOutbox = 10000

// agent is the whole state, which one goroutine owns: Run's. Others hand it functions with
// post.
type agent struct {
	c        Config
	log      *slog.Logger
	launcher *launcher
	cache    *cache
	ports    ports
	usage    usage
	watch    *telemetry.Server
	tailer   *tailer
	beaconAt string // where clients find the host's beacon; "" when it has none

	ctx    context.Context //nolint:containedctx // of the work of the agent's goroutines; ended by Run
	todo   chan func()
	closed chan struct{} // Run's loop has ended
	work   sync.WaitGroup

	instances map[string]*instance
	uploads   map[string]*upload // by game session
	link      *link
	synced    bool
	outbox    []any
	alive     time.Time // when Alive was sent last
	ticked    time.Time
	draining  bool
	deadline  time.Time // of a drain
}

// Run is the agent. It returns when ctx ends: at once, leaving the games to the next agent,
// or with Config.Drain after they ended; and when the server refuses the host (RefusedError).
func Run(ctx context.Context, c Config) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	for _, dir := range []string{c.Data, filepath.Join(c.Data, "instances"), filepath.Join(c.Data, "builds"), filepath.Join(c.Data, "uploads")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("data: %w", err)
		}
	}
	// Games get paths in it, so it must not depend on a working directory.
	if c.Data, err = filepath.Abs(c.Data); err == nil {
		c.Data, err = filepath.EvalSymlinks(c.Data)
	}
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	locked, err := lock(filepath.Join(c.Data, "lock"))
	if err != nil {
		return err
	}
	defer locked.Close()
	if !canAdopt && !c.Drain {
		c.Logger.Warn("a restarted agent cannot adopt processes on this platform; they are ended when the agent ends")
		c.Drain = true
	}
	l, err := newLauncher(c.Limits, c.User, c.Cgroup, c.Data, c.Logger)
	if err != nil {
		return err
	}
	defer l.close()
	a := &agent{
		c: c, log: c.Logger, launcher: l, cache: &cache{dir: filepath.Join(c.Data, "builds"), limit: c.CacheSize, log: c.Logger},
		ports: ports{first: c.FirstPort, last: c.LastPort}, todo: make(chan func()), closed: make(chan struct{}),
		instances: map[string]*instance{}, uploads: map[string]*upload{},
		tailer: newTailer(usualTails),
		watch:  &telemetry.Server{Logger: c.Logger, Host: c.Name, GroupOf: groupOf, Version: c.Version, Disk: c.Data},
	}
	return a.run(ctx)
}

func (a *agent) run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	a.ctx = inner
	if err := a.openBeacon(inner); err != nil {
		return err
	}
	if err := a.watch.Listen(inner, a.c.StatsD, a.c.CrashReports, a.c.Metrics); err != nil {
		cancel()
		a.work.Wait()
		return err
	}
	defer a.watch.Close()
	a.adoptAll()
	a.work.Go(func() { a.tailer.run(inner) })
	refused := make(chan error, 1)
	a.work.Go(func() {
		if err := a.stayConnected(inner); err != nil {
			refused <- err
		}
	})
	err := a.loop(ctx, refused)
	close(a.closed)
	cancel()
	for _, i := range a.instances {
		for _, p := range i.processes {
			p.os.stop()
		}
	}
	a.work.Wait()
	return err
}

// loop does everything, one thing at a time.
func (a *agent) loop(ctx context.Context, refused <-chan error) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	a.ticked = time.Now()
	done := ctx.Done()
	for {
		select {
		case f := <-a.todo:
			f()
		case <-ticker.C:
			a.pass(time.Now())
			if a.draining && len(a.instances) == 0 && (len(a.uploads) == 0 || time.Now().After(a.deadline)) {
				return nil
			}
		case err := <-refused:
			a.log.Error("the server refuses this host; its games are left running", slog.Any("error", err))
			return err
		case <-done:
			if !a.c.Drain {
				a.log.Info("ending; games go on", slog.Int("processes", a.running()))
				return nil
			}
			done = nil
			a.drain()
		}
	}
}

// post hands f to the loop and waits until it took it; after the loop's end it does nothing.
func (a *agent) post(f func()) {
	select {
	case a.todo <- f:
	case <-a.closed:
	}
}

func (a *agent) running() (n int) {
	for _, i := range a.instances {
		n += len(i.processes)
	}
	return n
}

// drain begins the end of an agent that takes its games with it.
func (a *agent) drain() {
	a.draining, a.deadline = true, time.Now().Add(a.c.DrainGrace)
	a.log.Info("draining", slog.Int("processes", a.running()), slog.Duration("grace", a.c.DrainGrace))
	for _, i := range a.instances {
		a.stop(i, a.c.DrainGrace)
	}
	a.deadline = a.deadline.Add(2 * a.c.Times.TerminateLate) // of what remains to be handed in
}

// connected says hello on a new link.
func (a *agent) connected(l *link) {
	a.link, a.synced = l, false
	h := &hostmsg.Hello{
		Host: a.c.Name, Version: a.c.Version, Location: a.c.Location, Address: a.c.Address, DNSName: a.c.DNSName, Beacon: a.beaconAt,
		OS: system(), Capacity: a.c.Capacity, Instances: []hostmsg.InstanceState{},
	}
	for _, i := range a.instances {
		h.Instances = append(h.Instances, i.state())
	}
	l.send(h)
}

func (a *agent) disconnected(l *link) {
	if a.link == l {
		a.link, a.synced = nil, false
		a.watch.Connected(false)
	}
}

// report tells the server, or keeps it until the server is there.
func (a *agent) report(m any) {
	if a.synced {
		a.link.send(m)
		return
	}
	if len(a.outbox) == longestOutbox {
		a.outbox = a.outbox[1:]
	}
	a.outbox = append(a.outbox, m)
}

// take does what the server says.
func (a *agent) take(l *link, m any) {
	if l != a.link {
		return
	}
	switch m := m.(type) {
	case *hostmsg.Sync:
		a.sync(m)
	case *hostmsg.Start:
		a.start(*m)
	case *hostmsg.Stop:
		a.stopAsTold(*m)
	case *hostmsg.Kill:
		if p := a.process(m.Instance, m.Process); p != nil {
			p.end(m.Reason, "ended by the server")
		}
	case *hostmsg.Dialled:
		a.note(m.Instance, m.Process, func(p *process) { p.Dialled = true })
	case *hostmsg.Registered:
		a.note(m.Instance, m.Process, func(p *process) {
			p.Dialled, p.Registered, p.LogPaths = true, true, m.LogPaths
		})
	case *hostmsg.Ending:
		a.note(m.Instance, m.Process, func(p *process) { p.Ending = time.Now() })
	case *hostmsg.Hosting:
		a.note(m.Instance, m.Process, func(p *process) { p.host(m.GameSession) })
		a.watch.Hosting(m.Process, m.GameSession)
	case *hostmsg.Upload:
		a.put(m)
	case *hostmsg.Tail:
		a.tail(l, m)
	case *hostmsg.TailStop:
		a.stopTail(m)
	}
}

// sync makes the host's instances those of the server's list.
func (a *agent) sync(m *hostmsg.Sync) {
	a.synced = true
	a.watch.Connected(true)
	a.log.Info("connected to the server", slog.Int("instances", len(m.Instances)), slog.Int("running", len(a.instances)))
	for _, r := range a.outbox {
		a.link.send(r)
	}
	a.outbox = nil
	wanted := map[string]bool{}
	for _, s := range m.Instances {
		wanted[s.Instance] = true
	}
	for id, i := range a.instances {
		if !wanted[id] {
			a.log.Warn("instance is not the server's any more", slog.String("instance", id))
			a.stop(i, 0)
		}
		for _, p := range i.processes {
			p.waited = 0 // the server says Dialled anew, for those that did
		}
	}
	for _, s := range m.Instances {
		a.start(s)
	}
	for _, s := range m.Stopping {
		a.stopAsTold(s)
	}
	for _, u := range a.uploads {
		u.asked = time.Time{}
	}
	a.alive = time.Time{}
}

func (a *agent) stopAsTold(m hostmsg.Stop) {
	i := a.instances[m.Instance]
	if i == nil {
		a.report(&hostmsg.InstanceChanged{Instance: m.Instance, Status: hostmsg.Gone})
		return
	}
	grace := time.Duration(m.Grace) * time.Second
	if m.Force {
		grace = 0
	}
	a.stop(i, grace)
}

func (a *agent) process(instance, process string) *process {
	if i := a.instances[instance]; i != nil {
		return i.processes[process]
	}
	return nil
}

// note writes down what the server tells of a process.
func (a *agent) note(instance, process string, f func(*process)) {
	if p := a.process(instance, process); p != nil {
		f(p)
		a.save(a.instances[instance])
	}
}

// pass does what is due.
func (a *agent) pass(now time.Time) {
	since := now.Sub(a.ticked)
	a.ticked = now
	for _, i := range a.instances {
		for _, p := range i.processes {
			a.passProcess(i, p, now, since)
		}
		a.passInstance(i, now)
	}
	a.passUploads(now)
	if a.synced && now.Sub(a.alive) >= a.c.Times.Alive {
		a.alive = now
		a.link.send(a.usage.alive())
	}
}

// adoptAll takes over what an earlier agent left.
func (a *agent) adoptAll() {
	dirs, err := os.ReadDir(filepath.Join(a.c.Data, "instances"))
	if err != nil {
		a.log.Error("what an earlier agent left cannot be read", slog.Any("error", err))
		return
	}
	for _, d := range dirs {
		if err := a.adopt(d.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
			a.log.Error("instance of an earlier agent not taken over", slog.String("instance", d.Name()), slog.Any("error", err))
		}
	}
	known := map[string]bool{}
	for _, i := range a.instances {
		for id := range i.processes {
			known[id] = true
		}
	}
	a.launcher.orphans(filepath.Join(a.c.Data, "instances"), known)
	for _, i := range a.instances {
		if i.status == hostmsg.Preparing {
			a.begin(i)
		}
	}
	a.resumeUploads()
}
