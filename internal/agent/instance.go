package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/matchyard/matchyard/internal/agent/telemetry"
	"github.com/matchyard/matchyard/internal/hostmsg"
)

// instance is one the server wants here. Its folder is <data>/instances/<id>: game (the
// build), gamemetadata, logs, tmp and state.json.
type instance struct {
	start   hostmsg.Start
	dir     string
	status  hostmsg.InstanceStatus
	prepare context.CancelFunc // ends the preparing
	url     *atomic.Pointer[string]

	processes  map[string]*process
	entries    map[entryKey]*entry
	pause      time.Duration // before the next launch
	next       time.Time     // no launch before it
	launched   bool          // a process was launched
	collecting int           // log archives being made of it
	deadline   time.Time     // of draining
}

// entryKey is what makes two entries of a runtime configuration the same.
type entryKey struct{ launchPath, parameters string }

// entry is what the agent knows of an entry of the runtime configuration.
type entry struct {
	want    int
	crashes int       // fast, in a row
	next    time.Time // no launch before it
}

// names that may be part of a path.
var safeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func (i *instance) game() string { return filepath.Join(i.dir, "game") }

// state is how the server hears of the instance.
func (i *instance) state() hostmsg.InstanceState {
	s := hostmsg.InstanceState{Instance: i.start.Instance, Status: i.status}
	for _, p := range i.processes {
		s.Processes = append(s.Processes, hostmsg.ProcessState{Process: p.ID, Since: p.Since})
	}
	return s
}

// start begins an instance, or gives one that runs its new settings.
func (a *agent) start(s hostmsg.Start) {
	if i := a.instances[s.Instance]; i != nil {
		i.url.Store(&s.Build.URL)
		i.start = s
		i.adopt(s.Runtime)
		a.save(i)
		return
	}
	if a.draining {
		return
	}
	if !safeName.MatchString(s.Instance) || !safeName.MatchString(s.Build.ID) {
		a.report(&hostmsg.Progress{Instance: s.Instance, Step: hostmsg.StepInitialization, Failed: true, Reason: fmt.Sprintf("instance %q or build %q is no name", s.Instance, s.Build.ID)})
		a.report(&hostmsg.InstanceChanged{Instance: s.Instance, Status: hostmsg.Failed})
		return
	}
	i := a.newInstance(s)
	a.log.Info("instance begins", slog.String("instance", s.Instance), slog.String("fleet_id", s.Fleet), slog.String("build_id", s.Build.ID))
	a.begin(i)
}

// newInstance makes an instance that is to be prepared.
func (a *agent) newInstance(s hostmsg.Start) *instance {
	i := &instance{
		start: s, dir: filepath.Join(a.c.Data, "instances", s.Instance), status: hostmsg.Preparing, url: &atomic.Pointer[string]{},
		processes: map[string]*process{}, entries: map[entryKey]*entry{}, pause: a.c.Times.PauseMost,
	}
	i.url.Store(&s.Build.URL)
	i.adopt(s.Runtime)
	a.instances[s.Instance] = i
	return i
}

// adopt takes a runtime configuration over. Nothing that runs is ended (hosting.md 2.8).
func (i *instance) adopt(r hostmsg.Runtime) {
	for _, e := range i.entries {
		e.want = 0
	}
	for _, s := range r.Processes {
		k := entryKey{s.LaunchPath, s.Parameters}
		if i.entries[k] == nil {
			i.entries[k] = &entry{}
		}
		i.entries[k].want += s.Concurrent
	}
	maps.DeleteFunc(i.entries, func(_ entryKey, e *entry) bool { return e.want == 0 })
}

// begin prepares an instance, in the background.
func (a *agent) begin(i *instance) {
	ctx, cancel := context.WithCancel(a.ctx)
	i.prepare = cancel
	a.save(i)
	a.report(&hostmsg.InstanceChanged{Instance: i.start.Instance, Status: hostmsg.Preparing})
	p := preparation{
		start: i.start, url: i.url, dir: i.dir, cache: a.cache, launcher: a.launcher, server: a.c.Server, times: a.c.Times, tls: a.c.TLS,
		say: func(m hostmsg.Progress) { a.post(func() { a.report(&m) }) },
	}
	a.work.Go(func() {
		defer cancel()
		err := p.run(ctx)
		a.post(func() { a.prepared(i, err) })
	})
}

// prepared goes on with an instance whose folder is as it should be, or is not.
func (a *agent) prepared(i *instance, err error) {
	i.prepare = nil
	if i.status != hostmsg.Preparing { // stopped meanwhile
		return
	}
	if err != nil {
		a.fail(i, err)
		return
	}
	i.status = hostmsg.Running
	a.save(i)
	a.passInstance(i, time.Now())
}

// failure is a step that did not succeed.
type failure struct {
	step   hostmsg.Step
	reason string
	log    string
}

func (f *failure) Error() string { return string(f.step) + ": " + f.reason }

// fail gives an instance up. It stays known as FAILED until the server stops it.
func (a *agent) fail(i *instance, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{step: hostmsg.StepInitialization, reason: err.Error()}
	}
	a.log.Warn("instance failed", slog.String("instance", i.start.Instance), slog.String("step", string(f.step)), slog.String("reason", f.reason))
	i.status = hostmsg.Failed
	a.report(&hostmsg.Progress{Instance: i.start.Instance, Step: f.step, Failed: true, Reason: f.reason, Log: lastOf(f.log)})
	a.report(&hostmsg.InstanceChanged{Instance: i.start.Instance, Status: hostmsg.Failed})
	_ = os.RemoveAll(i.game())
	a.save(i)
}

// stop ends an instance: what runs after grace is killed, with none at once.
func (a *agent) stop(i *instance, grace time.Duration) {
	deadline := time.Now().Add(grace)
	if i.status == hostmsg.Draining && i.deadline.Before(deadline) {
		return // it was told to end sooner
	}
	if i.prepare != nil {
		i.prepare()
	}
	if i.status != hostmsg.Draining {
		i.status = hostmsg.Draining
		a.report(&hostmsg.InstanceChanged{Instance: i.start.Instance, Status: hostmsg.Draining})
	}
	i.deadline = deadline
	a.save(i)
	a.passInstance(i, time.Now())
}

// passInstance launches what is missing, or ends what is to end.
func (a *agent) passInstance(i *instance, now time.Time) {
	switch i.status {
	case hostmsg.Running:
		a.fill(i, now)
	case hostmsg.Draining:
		late := now.Sub(i.deadline)
		for _, p := range i.processes {
			if a.draining && late >= 0 && !p.asked {
				p.asked = true
				p.os.terminate()
			}
			if late >= 0 && (!a.draining || late >= a.c.Times.TerminateLate) {
				p.end(hostmsg.ExitShutdown, "the instance ends")
			}
		}
		if len(i.processes) == 0 && i.prepare == nil && i.collecting == 0 {
			a.gone(i)
		}
	default:
	}
}

// gone forgets an instance of which nothing runs.
func (a *agent) gone(i *instance) {
	delete(a.instances, i.start.Instance)
	// The state goes first: without it a new agent finds nothing to take over.
	_ = os.Remove(filepath.Join(i.dir, stateFile))
	if err := os.RemoveAll(i.dir); err != nil {
		a.log.Error("folder of an instance not removed", slog.String("instance", i.start.Instance), slog.Any("error", err))
	}
	a.report(&hostmsg.InstanceChanged{Instance: i.start.Instance, Status: hostmsg.Gone})
	a.log.Info("instance is gone", slog.String("instance", i.start.Instance))
}

// fill launches the processes that are missing, as far as pauses allow. There are never more
// than the configuration has altogether, whatever those are that run from an earlier one.
func (a *agent) fill(i *instance, now time.Time) {
	for {
		k, e := i.missing(now)
		if e == nil || now.Before(i.next) {
			return
		}
		if !i.start.Swift {
			i.next = now.Add(i.pause)
			// Launches that succeed come faster and faster (hosting.md 2.8).
			i.pause = max(i.pause-a.c.Times.PauseMost/6, a.c.Times.PauseLeast)
		}
		if err := a.launch(i, k, now); err != nil {
			a.launchFailed(i, k, e, err, now)
			if i.status != hostmsg.Running {
				return
			}
		}
	}
}

// missing is an entry of which a process is to be launched now.
func (i *instance) missing(now time.Time) (entryKey, *entry) {
	total, have := 0, map[entryKey]int{}
	for _, e := range i.entries {
		total += e.want
	}
	for _, p := range i.processes {
		have[p.key()]++
	}
	if len(i.processes) >= total {
		return entryKey{}, nil
	}
	for _, s := range i.start.Runtime.Processes { // in the configuration's order
		k := entryKey{s.LaunchPath, s.Parameters}
		if e := i.entries[k]; e != nil && have[k] < e.want && !now.Before(e.next) {
			return k, e
		}
	}
	return entryKey{}, nil
}

// launchFailed says why nothing was launched. An instance of which nothing ever ran fails
// when no entry is left to be tried.
func (a *agent) launchFailed(i *instance, k entryKey, e *entry, err error, now time.Time) {
	reason := hostmsg.ExitCrashed
	if errors.Is(err, errInvalidPath) {
		reason = hostmsg.ExitInvalidPath
	}
	e.crashes++
	e.next = now.Add(a.c.Times.RestartMost)
	i.pause = a.c.Times.PauseMost
	a.log.Warn("process not launched", slog.String("instance", i.start.Instance), slog.String("launch_path", k.launchPath), slog.Any("error", err))
	if !i.launched && !slices.ContainsFunc(slices.Collect(maps.Values(i.entries)), func(e *entry) bool { return e.crashes == 0 }) {
		a.fail(i, &failure{step: hostmsg.StepExecutable, reason: fmt.Sprintf("%s: %v", k.launchPath, err)})
		return
	}
	// As the AWS agent does: reported with the id of a process that never was (8.3).
	a.report(&hostmsg.ProcessEnded{Instance: i.start.Instance, Process: newID(), Reason: reason, ExitCode: 2, Detail: fmt.Sprintf("%s: %v", k.launchPath, err)})
}

// labels are what the telemetry of an instance's process is labelled with.
func (i *instance) labels(p *process) telemetry.Process {
	var about struct {
		InstanceType string `json:"instanceType"`
	}
	_ = json.Unmarshal(i.start.Metadata, &about)
	return telemetry.Process{
		ID: p.ID, PID: p.OS.PID, Fleet: i.start.Fleet, Location: i.location(), Instance: i.start.Instance, InstanceType: about.InstanceType,
	}
}

// location is the instance's location; without one it is the server's region.
func (i *instance) location() string {
	if i.start.Location != "" {
		return i.start.Location
	}
	return i.start.Region
}
