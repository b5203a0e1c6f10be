package agent

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/matchyard/matchyard/internal/hostmsg"
)

// stateFile is what an agent remembers of an instance. It is written by rename and without a
// sync: it must outlive the agent, and what outlives the machine's end is of no use.
const stateFile = "state.json"

// remembered is the state file's content.
type remembered struct {
	Start     hostmsg.Start          `json:"start"`
	Status    hostmsg.InstanceStatus `json:"status"`
	Launched  bool                   `json:"launched"`
	Deadline  time.Time              `json:"deadline,omitzero"`
	Processes []*process             `json:"processes,omitempty"`
}

func (a *agent) save(i *instance) {
	if a.instances[i.start.Instance] != i {
		return
	}
	s := remembered{Start: i.start, Status: i.status, Launched: i.launched, Deadline: i.deadline}
	for _, p := range i.processes {
		s.Processes = append(s.Processes, p)
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = replace(filepath.Join(i.dir, stateFile), text)
	}
	if err != nil {
		a.log.Error("state of an instance not saved; a restarted agent would not find its processes",
			slog.String("instance", i.start.Instance), slog.Any("error", err))
	}
}

// replace writes a file so that it is the old or the new at any moment.
func replace(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o711); err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// adopt takes over an instance of an earlier agent, with the processes that still run.
func (a *agent) adopt(name string) error {
	dir := filepath.Join(a.c.Data, "instances", name)
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			_ = os.RemoveAll(dir) // the rest of one that is gone
		}
		return err
	}
	var s remembered
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	i := a.newInstance(s.Start)
	i.launched, i.deadline = s.Launched, s.Deadline
	if s.Status == hostmsg.Preparing {
		return nil // it is begun anew
	}
	i.status = s.Status
	for _, p := range s.Processes {
		p.looked = time.Now()
		p.os, err = a.launcher.adopt(p.OS, p.marker())
		if err == nil {
			a.log.Info("process adopted", slog.String("instance", name), slog.String("process_id", p.ID), slog.Int("pid", p.OS.PID))
			a.ports.keep(p.Port)
			a.adoptProcess(i, p)
			continue
		}
		if !errors.Is(err, errGone) {
			a.log.Error("process not adopted", slog.String("instance", name), slog.String("process_id", p.ID), slog.Int("pid", p.OS.PID), slog.Any("error", err))
		}
		a.endedBefore(i, p)
	}
	a.save(i)
	return nil
}

// endedBefore reports a process that ended while no agent ran.
func (a *agent) endedBefore(i *instance, p *process) {
	reason, detail := p.verdict(exit{})
	a.report(&hostmsg.ProcessEnded{Instance: i.start.Instance, Process: p.ID, Reason: reason, ExitCode: -1, Detail: detail + "; the agent did not run then"})
	a.collect(i, p)
}
