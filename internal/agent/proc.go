package agent

import (
	"errors"
	"os"
	"strconv"
	"time"
)

// Limits are what one process of a game, with all its children, may use. Zero is no limit.
// With cgroup v2 they hold for the process and its children together. Without it, Memory and
// Files hold for each process alone (RLIMIT_DATA, RLIMIT_NOFILE), Pids for the OS user of the
// games (RLIMIT_NPROC, only with Config.User), and CPUs does not hold.
type Limits struct {
	Memory int64   // bytes
	CPUs   float64 // processors
	Pids   int     // processes and threads
	Files  int     // open files, by rlimit always
}

// spawn says what to launch.
type spawn struct {
	path   string
	args   []string // without the program's name
	dir    string
	env    []string
	output string // file that standard output and error are appended to
	marker string // a variable of env that no other process on the machine has
	group  string // name of its cgroup
}

// exit is how a process ended.
type exit struct {
	known  bool // false for an adopted process, whose status its own parent got
	code   int  // exit code; 128 + signal when a signal ended it; -1 when unknown
	signal string
}

func (e exit) String() string {
	switch {
	case !e.known:
		return "exit status unknown: it ran under an earlier agent"
	case e.signal != "":
		return "ended by signal: " + e.signal
	}
	return "exit status " + strconv.Itoa(e.code)
}

// identity names a process of the operating system across restarts of the agent: process ids
// come again, their start times do not.
type identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after the boot
	Boot  string `json:"boot"`
	Group string `json:"group,omitempty"` // cgroup
}

// errGone says that a process to be adopted runs no more, or cannot be told from another.
var errGone = errors.New("the process is gone")

// openOutput opens the file of a process's output. Its writes append, so that cutting the
// file off while the process writes leaves no hole.
func openOutput(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
}

// strayPatience is how long it is tried to end children that left their process group.
const strayPatience = 5 * time.Second
