package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/matchyard/matchyard/internal/hostmsg"
)

// process is a game server that runs. Its exported part is in the state file.
type process struct {
	ID         string    `json:"id"`
	LaunchPath string    `json:"launchPath"`
	Parameters string    `json:"parameters,omitempty"`
	OS         identity  `json:"os"`
	Since      time.Time `json:"since"`
	Port       int       `json:"port,omitempty"`
	Dialled    bool      `json:"dialled,omitempty"`
	Registered bool      `json:"registered,omitempty"`
	LogPaths   []string  `json:"logPaths,omitempty"`
	Sessions   []string  `json:"sessions,omitempty"` // game sessions it hosted
	Ending     time.Time `json:"ending,omitzero"`    // when it called ProcessEnding

	os      *osProcess
	reason  hostmsg.ExitReason // why the agent ended it
	detail  string
	asked   bool          // it got the terminate signal
	waited  time.Duration // for it to dial, while the server was there
	looked  time.Time     // at its output file
	rotates bool          // its output file is being rotated
	over    chan struct{} // closed when it has ended, for tails
}

func newID() string { return uuid.NewString() }

func (p *process) key() entryKey { return entryKey{p.LaunchPath, p.Parameters} }

// marker is the variable by which its children are known.
func (p *process) marker() string { return "GAMELIFT_SDK_PROCESS_ID=" + p.ID }

func (p *process) host(gameSession string) {
	if !slices.Contains(p.Sessions, gameSession) {
		p.Sessions = append(p.Sessions, gameSession)
	}
}

// end kills the process and its children. The first reason counts.
func (p *process) end(reason hostmsg.ExitReason, detail string) {
	if p.reason == "" {
		p.reason, p.detail = reason, detail
		if p.reason == "" {
			p.reason = hostmsg.ExitForced
		}
		p.os.kill()
	}
}

// launch starts a process of an entry.
func (a *agent) launch(i *instance, k entryKey, now time.Time) error {
	p := &process{ID: newID(), LaunchPath: k.launchPath, Parameters: k.parameters, Since: now, looked: now}
	path, err := i.executable(k.launchPath)
	if err != nil {
		return err
	}
	if p.Port, err = a.ports.take(); err != nil {
		return err
	}
	s := spawn{
		path: path, args: i.arguments(k.parameters, p.Port), dir: i.game(), env: a.environment(i, p),
		output: i.output(p.ID), marker: p.marker(), group: i.start.Instance + "." + p.ID,
	}
	if i.start.Build.Script {
		s.path, s.args, err = scripted(path, s.args)
	}
	if err == nil {
		p.os, err = a.launcher.launch(s)
	}
	if err != nil {
		a.ports.release(p.Port)
		return err
	}
	p.OS = p.os.identity
	a.adoptProcess(i, p)
	a.save(i)
	a.log.Info("process launched", slog.String("instance", i.start.Instance), slog.String("process_id", p.ID), slog.Int("pid", p.OS.PID), slog.String("launch_path", k.launchPath))
	a.report(&hostmsg.ProcessStarted{Instance: i.start.Instance, Process: p.ID, LaunchPath: k.launchPath})
	if !i.launched {
		i.launched = true
		a.report(&hostmsg.Progress{Instance: i.start.Instance, Step: hostmsg.StepLaunched})
		a.report(&hostmsg.InstanceChanged{Instance: i.start.Instance, Status: hostmsg.Running})
		a.save(i)
	}
	return nil
}

// adoptProcess watches over a process, a new one or one of an earlier agent.
func (a *agent) adoptProcess(i *instance, p *process) {
	i.processes[p.ID] = p
	p.over = make(chan struct{})
	a.watch.Add(i.labels(p))
	for _, s := range p.Sessions {
		a.watch.Hosting(p.ID, s)
	}
	a.work.Go(func() {
		if e, ended := p.os.wait(); ended {
			a.post(func() { a.ended(i, p, e, time.Now()) })
		}
	})
}

// environment is what a game finds in its environment, and all of it: the agent's own has
// secrets.
func (a *agent) environment(i *instance, p *process) []string {
	env := base(i.dir)
	set := func(name, value string) {
		if value != "" { // an empty value is not the same as none to all SDKs (protocol 1.10)
			env = append(env, name+"="+value)
		}
	}
	s := i.start
	set("GAMELIFT_SDK_WEBSOCKET_URL", s.Endpoint)
	set("GAMELIFT_SDK_AUTH_TOKEN", s.Token)
	set("GAMELIFT_SDK_FLEET_ID", s.Fleet)
	set("GAMELIFT_SDK_HOST_ID", s.Instance)
	set("GAMELIFT_SDK_PROCESS_ID", p.ID)
	set("GAMELIFT_REGION", s.Region)
	set("GAMELIFT_LOCATION", i.location())
	set("GAMELIFT_FLEET_ID", s.Fleet)
	set("GAMELIFT_COMPUTE_NAME", s.Instance)
	set("MATCHYARD_PORT", strconv.Itoa(p.Port))
	host, port := a.watch.StatsD()
	set("GAMELIFT_STATSD_HOST", host)
	set("GAMELIFT_STATSD_PORT", port)
	host, port = a.watch.CrashReports()
	set("GAMELIFT_CRASH_REPORTER_HOST", host)
	set("GAMELIFT_CRASH_REPORTER_PORT", port)
	return env
}

// passProcess looks whether a process is late, and whether its output is too long.
func (a *agent) passProcess(i *instance, p *process, now time.Time, since time.Duration) {
	if !p.Dialled && a.synced {
		p.waited += since
	}
	switch {
	case !p.Dialled && p.waited >= a.c.Times.Init:
		p.end(hostmsg.ExitInitTimeout, fmt.Sprintf("did not call InitSDK within %v of its launch", a.c.Times.Init))
	case !p.Ending.IsZero() && now.Sub(p.Ending) >= a.c.Times.Exit:
		p.end(hostmsg.ExitTimeout, fmt.Sprintf("still ran %v after ProcessEnding", a.c.Times.Exit))
	}
	if now.Sub(p.looked) >= time.Second && !p.rotates {
		p.looked = now
		a.rotate(i, p)
	}
}

// ended goes on after a process has ended.
func (a *agent) ended(i *instance, p *process, e exit, now time.Time) {
	delete(i.processes, p.ID)
	close(p.over)
	a.ports.release(p.Port)
	reason, detail := p.verdict(e)
	if line := lastLine(i.output(p.ID)); reason != hostmsg.ExitNormal && line != "" {
		detail += "; last output: " + line
	}
	crashed := reason == hostmsg.ExitCrashed
	a.watch.Remove(p.ID, string(reason), crashed)
	lived := now.Sub(p.Since)
	a.log.Info("process ended", slog.String("instance", i.start.Instance), slog.String("process_id", p.ID), slog.String("reason", string(reason)), slog.String("detail", detail), slog.Duration("lived", lived.Round(time.Millisecond)))
	a.report(&hostmsg.ProcessEnded{Instance: i.start.Instance, Process: p.ID, Reason: reason, ExitCode: e.code, Detail: detail})
	if en := i.entries[p.key()]; en != nil {
		if lived < a.c.Times.Short && reason != hostmsg.ExitNormal {
			en.crashes++
			en.next = now.Add(min(a.c.Times.RestartFirst<<min(en.crashes-1, 20), a.c.Times.RestartMost))
			i.pause = a.c.Times.PauseMost
		} else {
			en.crashes = 0
		}
	}
	a.collect(i, p)
	a.save(i)
	i.tidy()
	a.passInstance(i, now)
}

// verdict is why a process ended.
func (p *process) verdict(e exit) (hostmsg.ExitReason, string) {
	switch {
	case p.reason != "":
		return p.reason, p.detail
	case !p.Ending.IsZero():
		return hostmsg.ExitNormal, "ended after ProcessEnding; " + e.String()
	case !e.known:
		return hostmsg.ExitCrashed, "ended without ProcessEnding; " + e.String()
	case e.code == 0: // as the AWS agent judges (8.3)
		return hostmsg.ExitNormal, e.String()
	}
	return hostmsg.ExitCrashed, e.String()
}

// errInvalidPath says that a launch path names nothing that can be launched.
var errInvalidPath = errors.New("no such file in the build")

// output is the file of a process's output.
func (i *instance) output(process string) string {
	return filepath.Join(i.dir, "logs", process+".log")
}

// keptOutputs is how many output files of ended processes an instance keeps.
const keptOutputs = 40

// tidy removes the oldest outputs of processes that have ended.
func (i *instance) tidy() {
	names, err := filepath.Glob(filepath.Join(i.dir, "logs", "*.log*"))
	if err != nil || len(names) <= keptOutputs || i.collecting > 0 {
		return
	}
	type file struct {
		name string
		at   time.Time
	}
	var files []file
	for _, name := range names {
		id := filepath.Base(name)
		if n := len(newID()); len(id) > n && i.processes[id[:n]] != nil {
			continue
		}
		if info, err := os.Lstat(name); err == nil {
			files = append(files, file{name, info.ModTime()})
		}
	}
	slices.SortFunc(files, func(x, y file) int { return y.at.Compare(x.at) })
	for n, f := range files {
		if n >= keptOutputs {
			_ = os.Remove(f.name)
		}
	}
}
