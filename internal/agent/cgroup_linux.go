package agent

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups is a folder of the cgroup v2 tree with a cgroup for each process. Its methods do
// nothing on nil.
type cgroups struct {
	dir         string
	limits      Limits
	controllers []string // that limit here
}

// leaf is the cgroup of the agent itself beside those of its games: a cgroup that has both
// processes and limited children is not allowed. It is systemd's DelegateSubgroup.
const leaf = "agent"

// openCgroups prepares a folder for an agent's processes: in the agent's own cgroup, or in
// the one that is named.
func openCgroups(where, data string, limits Limits) (*cgroups, error) {
	if where == cgroupOff {
		return nil, nil //nolint:nilnil // nil does nothing, as it should
	}
	home := where
	if where == cgroupAuto {
		var err error
		if home, err = ownCgroup(); err != nil {
			return nil, err
		}
	}
	name := fnv.New32a()
	_, _ = name.Write([]byte(data))
	g := &cgroups{dir: filepath.Join(home, fmt.Sprintf("matchyard-%08x", name.Sum32())), limits: limits}
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	if left, err := os.ReadDir(g.dir); err == nil {
		for _, d := range left {
			if d.IsDir() {
				_ = os.Remove(filepath.Join(g.dir, d.Name())) // those with processes stay
			}
		}
	}
	for _, c := range []string{"memory", "cpu", "pids"} {
		if g.enable(home, c) == nil && g.enable(g.dir, c) == nil {
			g.controllers = append(g.controllers, c)
		}
	}
	return g, nil
}

// ownCgroup is the folder of this process's cgroup.
func ownCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(strings.Split(string(mounts), "\n"), func(l string) bool { return strings.Contains(l, " cgroup2 ") })
	j := slices.IndexFunc(strings.Split(string(own), "\n"), func(l string) bool { return strings.HasPrefix(l, "0::") })
	if i < 0 || j < 0 {
		return "", errors.New("cgroup v2 is not mounted")
	}
	mount := strings.Fields(strings.Split(string(mounts), "\n")[i])[1]
	path := strings.TrimPrefix(strings.Split(string(own), "\n")[j], "0::")
	if filepath.Base(path) == leaf {
		path = filepath.Dir(path)
	}
	return filepath.Join(mount, path), nil
}

// enable lets a controller limit the children of a cgroup.
func (g *cgroups) enable(dir, controller string) error {
	control := filepath.Join(dir, "cgroup.subtree_control")
	on := []byte("+" + controller)
	err := os.WriteFile(control, on, 0)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	// The agent itself is in there.
	own := filepath.Join(dir, leaf)
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.WriteFile(filepath.Join(own, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return err
	}
	return os.WriteFile(control, on, 0)
}

func (g *cgroups) controls(controller string) bool {
	return g != nil && slices.Contains(g.controllers, controller)
}

// make makes the cgroup of a process, with its limits. The file is to be closed.
func (g *cgroups) make(name string) (*os.File, error) {
	if g == nil {
		return nil, nil //nolint:nilnil // no cgroups: none is made
	}
	dir := filepath.Join(g.dir, name)
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) { // of an earlier agent's install script
		g.empty(name, strayPatience)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	set := func(controller, file, value string) error {
		if !g.controls(controller) {
			return nil
		}
		return os.WriteFile(filepath.Join(dir, file), []byte(value), 0)
	}
	var errs []error
	if n := g.limits.Memory; n > 0 {
		errs = append(errs, set("memory", "memory.max", strconv.FormatInt(n, 10)))
		_ = set("memory", "memory.oom.group", "1")
		_ = set("memory", "memory.swap.max", "0")
	}
	if n := g.limits.CPUs; n > 0 {
		errs = append(errs, set("cpu", "cpu.max", fmt.Sprintf("%d 100000", int64(n*100000))))
	}
	if n := g.limits.Pids; n > 0 {
		errs = append(errs, set("pids", "pids.max", strconv.Itoa(n)))
	}
	if err := errors.Join(errs...); err != nil {
		_ = os.Remove(dir)
		return nil, err
	}
	return os.Open(dir)
}

// kill ends all processes of a cgroup, whatever they forked meanwhile.
func (g *cgroups) kill(name string) {
	if g != nil && name != "" {
		_ = os.WriteFile(filepath.Join(g.dir, name, "cgroup.kill"), []byte("1"), 0)
	}
}

// empty kills a cgroup until it is empty.
func (g *cgroups) empty(name string, patience time.Duration) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		procs, err := os.ReadFile(filepath.Join(g.dir, name, "cgroup.procs"))
		if err != nil || len(procs) == 0 {
			return
		}
		g.kill(name)
	}
}

// remove takes an empty cgroup away. A process that has been killed leaves it a moment later.
func (g *cgroups) remove(name string) {
	if g == nil || name == "" {
		return
	}
	dir := filepath.Join(g.dir, name)
	for range 50 {
		if err := os.Remove(dir); !errors.Is(err, unix.EBUSY) {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// close takes the folder away, unless there is something in it.
func (g *cgroups) close() {
	if g != nil {
		_ = os.Remove(g.dir)
	}
}
