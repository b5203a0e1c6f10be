package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/matchyard/matchyard/internal/archive"
	"github.com/matchyard/matchyard/internal/hostmsg"
)

// preparation makes an instance's folder what it is to be. It runs beside the agent's loop
// and has its own copy of everything.
type preparation struct {
	start    hostmsg.Start
	url      *atomic.Pointer[string] // of the build; newer ones come with later Starts
	dir      string
	cache    *cache
	launcher *launcher
	server   string
	times    Times
	tls      *tls.Config
	say      func(hostmsg.Progress)
}

// run does all steps, and says a *failure when one fails.
func (p *preparation) run(ctx context.Context) error {
	s := p.start
	windows := strings.HasPrefix(s.OS, "WINDOWS")
	if windows != (runtime.GOOS == "windows") {
		return &failure{step: hostmsg.StepInitialization, reason: fmt.Sprintf("the build is for %s; this host runs %s", s.OS, runtime.GOOS)}
	}
	// An earlier attempt, if there was one, is begun anew.
	for _, sub := range []string{"game", "gamemetadata", "logs", "tmp"} {
		if err := os.RemoveAll(filepath.Join(p.dir, sub)); err != nil {
			return err
		}
	}
	p.step(hostmsg.StepDownload, "")
	name, release, err := p.cache.get(ctx, source{id: s.Build.ID, size: s.Build.Size, url: p.url, server: p.server, patience: p.times.Fetch, tls: p.tls})
	if err != nil {
		return &failure{step: hostmsg.StepDownload, reason: err.Error()}
	}
	log, err := p.unpack(ctx, name)
	release()
	if err != nil {
		return err
	}
	if err := p.furnish(); err != nil {
		return err
	}
	if err := p.install(ctx); err != nil {
		return err
	}
	return p.validate(log)
}

func (p *preparation) step(s hostmsg.Step, log string) {
	p.say(hostmsg.Progress{Instance: p.start.Instance, Step: s, Log: lastOf(log)})
}

// unpack unpacks the build into the game folder, and lists what it has.
func (p *preparation) unpack(ctx context.Context, name string) (list string, err error) {
	p.step(hostmsg.StepExtract, "")
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	each := func(name string, size int64) {
		if b.Len() < longestLog {
			fmt.Fprintf(&b, "%10d %s\n", size, name)
		}
	}
	game := filepath.Join(p.dir, "game")
	_, err = archive.Unpack(ctx, f, info.Size(), game, archive.Options{Limits: archive.Limits{Windows: runtime.GOOS == "windows"}, Each: each})
	if r, refused := errors.AsType[*archive.Refused](err); refused {
		return "", &failure{step: hostmsg.StepExtract, reason: "the build's archive is refused: " + r.Reason, log: b.String()}
	}
	if err != nil {
		return "", &failure{step: hostmsg.StepExtract, reason: err.Error(), log: b.String()}
	}
	return b.String(), nil
}

// furnish makes what stands beside the build.
func (p *preparation) furnish() error {
	for _, sub := range []string{"gamemetadata", "logs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(p.dir, sub), 0o755); err != nil {
			return err
		}
	}
	metadata := p.start.Metadata
	if len(metadata) == 0 {
		metadata = []byte("{}")
	}
	if err := os.WriteFile(filepath.Join(p.dir, "gamemetadata", "gamelift-metadata.json"), metadata, 0o644); err != nil { //nolint:gosec // games of any user read it
		return err
	}
	for _, sub := range []string{"game", "tmp"} {
		if err := p.launcher.own(filepath.Join(p.dir, sub)); err != nil {
			return err
		}
	}
	return nil
}

// longestLog bounds the log that goes with a step.
const longestLog = 8 << 10

// lastOf is the end of a text, as much as a Progress may carry.
func lastOf(text string) string {
	if len(text) <= longestLog {
		return text
	}
	return strings.ToValidUTF8(text[len(text)-longestLog:], "")
}

// install runs the build's install script, if it has one.
func (p *preparation) install(ctx context.Context) error {
	game := filepath.Join(p.dir, "game")
	name := "install.sh"
	if runtime.GOOS == "windows" {
		name = "install.bat"
	}
	script := filepath.Join(game, name)
	info, err := os.Lstat(script)
	if p.start.Build.Script || err != nil || !info.Mode().IsRegular() {
		return nil
	}
	p.step(hostmsg.StepInstall, "")
	output := filepath.Join(p.dir, "logs", "install.txt")
	s := spawn{path: script, dir: game, env: base(p.dir), output: output, marker: "MATCHYARD_INSTALL=" + newID(), group: p.start.Instance + ".install"}
	s.env = append(s.env, s.marker, "GAMELIFT_REGION="+p.start.Region, "GAMELIFT_FLEET_ID="+p.start.Fleet, "GAMELIFT_COMPUTE_NAME="+p.start.Instance)
	if runtime.GOOS != "windows" && (info.Mode()&0o111 == 0 || !hasInterpreter(script)) {
		s.path, s.args = "/bin/sh", []string{script} // zipped where files have no permissions
	}
	proc, err := p.launcher.launch(s)
	if err != nil {
		return &failure{step: hostmsg.StepInstall, reason: name + " did not start: " + err.Error()}
	}
	late, cut := make(chan struct{}), make(chan struct{})
	timer := time.AfterFunc(p.times.Install, func() { close(late); proc.kill() })
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { close(cut); proc.kill() })()
	e, _ := proc.wait()
	log := endOf(output, longestLog)
	select {
	case <-cut:
		return &failure{step: hostmsg.StepInstall, reason: name + " was interrupted: the instance was stopped", log: log}
	case <-late:
		return &failure{step: hostmsg.StepInstall, reason: fmt.Sprintf("%s still ran after %v", name, p.times.Install), log: log}
	default:
	}
	if e.code != 0 {
		return &failure{step: hostmsg.StepInstall, reason: name + ": " + e.String(), log: log}
	}
	p.step(hostmsg.StepInstalled, log)
	return nil
}

func hasInterpreter(script string) bool {
	f, err := os.Open(script)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 4)
	n, _ := f.Read(head)
	return n >= 2 && (string(head[:2]) == "#!" || string(head[:n]) == "\x7fELF")
}

// validate looks the launch paths up.
func (p *preparation) validate(files string) error {
	p.step(hostmsg.StepValidate, files)
	if p.start.Build.Script {
		if _, _, err := scripted("", nil); err != nil {
			return &failure{step: hostmsg.StepValidate, reason: err.Error()}
		}
	}
	var log strings.Builder
	found, good, reason := false, false, "the runtime configuration has no server process"
	for _, s := range p.start.Runtime.Processes {
		_, err := executable(filepath.Join(p.dir, "game"), s.LaunchPath, p.start.Build.Script)
		if err == nil {
			fmt.Fprintf(&log, "%s: found\n", s.LaunchPath)
			found, good = true, true
			continue
		}
		missing := errors.Is(err, errInvalidPath)
		if !missing || !found {
			reason = fmt.Sprintf("%s: %v", s.LaunchPath, err)
		}
		found = found || !missing
		fmt.Fprintf(&log, "%s: %v\n", s.LaunchPath, err)
	}
	switch {
	case !found:
		return &failure{step: hostmsg.StepValidate, reason: "no launch path exists: " + reason, log: log.String() + "The build has:\n" + files}
	case !good:
		return &failure{step: hostmsg.StepExecutable, reason: reason, log: log.String()}
	}
	return nil
}
