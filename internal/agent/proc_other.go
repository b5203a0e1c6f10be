//go:build !linux

package agent

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
)

// canAdopt says that a new agent does not take over the processes of an earlier one here.
const canAdopt = false

// launcher starts processes.
type launcher struct{}

// newLauncher makes a launcher. Limits and users are not to be had on this platform.
func newLauncher(limits Limits, userName, cgroup, _ string, _ *slog.Logger) (*launcher, error) {
	switch {
	case limits != Limits{}:
		return nil, errors.New("limits of processes are offered on Linux only")
	case userName != "":
		return nil, errors.New("a user of the games' own is offered on Linux only")
	case cgroup != cgroupAuto && cgroup != cgroupOff:
		return nil, errors.New("cgroups exist on Linux only")
	}
	return &launcher{}, nil
}

func (l *launcher) close()           {}
func (l *launcher) own(string) error { return nil }

func (l *launcher) orphans(string, map[string]bool) {}

// osProcess is a child of this agent.
type osProcess struct {
	identity
	cmd *exec.Cmd
}

func (l *launcher) launch(s spawn) (*osProcess, error) {
	out, err := openOutput(s.output)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(s.path, s.args...) //nolint:noctx // a game outlives whoever launches it
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, out, out
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &osProcess{identity{PID: cmd.Process.Pid}, cmd}, nil
}

func (l *launcher) adopt(identity, string) (*osProcess, error) { return nil, errGone }

func (p *osProcess) wait() (exit, bool) {
	err := p.cmd.Wait()
	killGroup(p.PID)
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit{known: true, code: failed.ExitCode()}, true
	}
	return exit{known: err == nil}, true
}

func (p *osProcess) stop() {}
func (p *osProcess) kill() { killGroup(p.PID) }

func (p *osProcess) terminate() { _ = p.cmd.Process.Signal(os.Interrupt) }

func groupOf(pid int) int { return pid }

func lock(name string) (*os.File, error) { return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) }

const gentle = 0

func hardLinked(os.FileInfo) bool { return false }

func genOf(os.FileInfo) string { return "" }

func nameless(os.FileInfo) bool { return false }
