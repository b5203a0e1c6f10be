package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// canAdopt says that a new agent takes over the processes of an earlier one.
const canAdopt = true

// launcher starts processes.
type launcher struct {
	limits Limits
	groups *cgroups
	cred   *syscall.Credential
	boot   string
	log    *slog.Logger
	jobs   chan func()
	// uncontained has the agent say once, not for each process, that cgroups cannot be made.
	uncontained sync.Once
	asUser      chan func() // done with the games' user's rights; nil without cred
}

// newLauncher makes a launcher; close ends it. userName "" launches as the agent's own user.
func newLauncher(limits Limits, userName, cgroup, data string, log *slog.Logger) (*launcher, error) {
	l := &launcher{limits: limits, log: log, jobs: make(chan func())}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	l.boot = strings.TrimSpace(string(boot))
	if userName != "" {
		if l.cred, err = credential(userName); err != nil {
			return nil, err
		}
	}
	if l.groups, err = openCgroups(cgroup, data, limits); err != nil {
		if cgroup != cgroupAuto {
			return nil, err
		}
		log.Info("no cgroup v2; limits by rlimits", slog.Any("reason", err))
	}
	if l.groups != nil {
		log.Info("each process gets a cgroup", slog.String("folder", l.groups.dir), slog.Any("limited", l.groups.controllers))
	}
	go l.run()
	if l.cred != nil {
		l.asUser = make(chan func())
		go l.runAsUser()
	}
	return l, nil
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("user: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	if os.Geteuid() != 0 && os.Geteuid() != int(uid) {
		return nil, fmt.Errorf("user %s: only root can launch processes as another user", name)
	}
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // launched as oneself, which needs no credential
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{}}, nil
}

// own gives a tree to the games' user.
func (l *launcher) own(dir string) error {
	if l.cred == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, int(l.cred.Uid), int(l.cred.Gid))
	})
}

// run is one thread that launches everything. What it sets on itself its children inherit,
// and the agent's other threads do not: no new privileges (a set-uid program in a build
// gains nothing), and a umask of its own.
func (l *launcher) run() {
	runtime.LockOSThread() // never unlocked: the thread ends with this function
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		l.log.Warn("no_new_privs is not to be had", slog.Any("error", err))
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		l.log.Warn("games get the agent's umask", slog.Any("error", err))
	} else {
		unix.Umask(0o027)
	}
	for job := range l.jobs {
		job()
	}
}

// runAsUser is a thread with the games' user's rights, and the agent's other threads keep
// theirs. It sets limits of games: root cannot where it lacks CAP_SYS_RESOURCE, as in most
// containers.
func (l *launcher) runAsUser() {
	runtime.LockOSThread() // never unlocked: the thread ends with this function
	// The libraries' own functions would change all threads.
	uid, gid := uintptr(l.cred.Uid), uintptr(l.cred.Gid)
	_, _, e1 := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid)
	_, _, e2 := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid)
	if e1 != 0 || e2 != 0 {
		l.log.Warn("limits of games may not be set", slog.Any("group", e1), slog.Any("user", e2))
	}
	for job := range l.asUser {
		job()
	}
}

func (l *launcher) close() {
	close(l.jobs)
	if l.asUser != nil {
		close(l.asUser)
	}
	l.groups.close()
}

// osProcess is a process this agent watches: its child, or one it adopted.
type osProcess struct {
	identity
	launcher *launcher
	marker   string
	fd       *os.File // pidfd
	child    bool

	mu   sync.Mutex
	over bool // it was waited for: its number may be another's
}

// launch starts a process in a process group, and if there are any a cgroup, of its own.
func (l *launcher) launch(s spawn) (*osProcess, error) {
	out, err := openOutput(s.output)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir: s.dir, Env: s.env, Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys: &syscall.SysProcAttr{Setpgid: true, Credential: l.cred, PidFD: &pidfd},
	}
	group, err := l.groups.make(s.group)
	if err != nil {
		l.uncontained.Do(func() {
			l.log.Warn("processes run without a cgroup; limits by rlimits", slog.Any("error", err))
		})
	} else if group != nil {
		defer group.Close()
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(group.Fd())
	}
	var pid int
	done := make(chan struct{})
	l.jobs <- func() {
		defer close(done)
		pid, _, err = syscall.StartProcess(s.path, append([]string{s.path}, s.args...), attr)
	}
	<-done
	if err != nil {
		l.groups.remove(s.group)
		return nil, err
	}
	p := &osProcess{identity: identity{PID: pid, Boot: l.boot}, launcher: l, marker: s.marker, child: true}
	if group != nil {
		p.Group = s.group
	}
	if p.Start, err = startOf(pid); err == nil { // it is our child: not reaped, so it is there
		err = errors.Join(p.watch(pidfd), l.limit(pid, group != nil))
	}
	if err != nil {
		p.kill()
		_, _ = unix.Wait4(pid, nil, 0, nil)
		return nil, err
	}
	return p, nil
}

// limit sets the rlimits of a process that has just been started. What it did before is the
// dynamic linker's work.
func (l *launcher) limit(pid int, grouped bool) error {
	if l.asUser == nil {
		return l.setLimits(pid, grouped)
	}
	done := make(chan error)
	l.asUser <- func() { done <- l.setLimits(pid, grouped) }
	return <-done
}

func (l *launcher) setLimits(pid int, grouped bool) error {
	limits := map[int]uint64{unix.RLIMIT_CORE: 0}
	if l.limits.Files > 0 {
		limits[unix.RLIMIT_NOFILE] = uint64(l.limits.Files)
	}
	if l.limits.Memory > 0 && (!grouped || !l.groups.controls("memory")) {
		limits[unix.RLIMIT_DATA] = uint64(l.limits.Memory)
	}
	if l.limits.Pids > 0 && l.cred != nil && (!grouped || !l.groups.controls("pids")) {
		limits[unix.RLIMIT_NPROC] = uint64(l.limits.Pids)
	}
	for resource, n := range limits {
		err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: n, Max: n}, nil)
		if err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended already
			return fmt.Errorf("limit %d of a process: %w", resource, err)
		}
	}
	return nil
}

// adopt takes over a process of an earlier agent, or says errGone.
func (l *launcher) adopt(id identity, marker string) (*osProcess, error) {
	p := &osProcess{identity: id, launcher: l, marker: marker}
	if id.Boot != l.boot || id.PID <= 1 {
		return nil, errGone
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, p.ended()
	} else if err != nil {
		return nil, fmt.Errorf("adopt %d: %w", id.PID, err)
	}
	// The descriptor names whatever has the number now; only its start tells who that is.
	if start, err := startOf(id.PID); err != nil || start != id.Start {
		_ = unix.Close(fd)
		return nil, p.ended()
	}
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0); n > 0 { // dead, and not reaped yet
		_ = unix.Close(fd)
		return nil, p.ended()
	}
	return p, p.watch(fd)
}

// ended ends what a process that ended under no agent left behind.
func (p *osProcess) ended() error {
	// Its number may be another's by now, so its process group is left alone.
	p.launcher.groups.kill(p.Group)
	p.strays()
	p.launcher.groups.remove(p.Group)
	return errGone
}

// watch makes a pidfd one that Go's poller waits for, so that no thread is held.
func (p *osProcess) watch(fd int) error {
	if fd < 0 {
		return errors.New("this kernel has no pidfd; Linux 5.4 or later is needed")
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("pidfd: %w", err)
	}
	p.fd = os.NewFile(uintptr(fd), "pidfd")
	return nil
}

// wait blocks until the process has ended, ends what is left of its group, and says how it
// ended. It returns false when stop was called before.
func (p *osProcess) wait() (exit, bool) {
	conn, err := p.fd.SyscallConn()
	if err == nil {
		err = conn.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
	}
	if err != nil {
		return exit{}, false
	}
	e := exit{code: -1}
	p.kill()
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	if p.child {
		// The dead leader is reaped last: until then its group's number is nobody else's.
		e = p.reap()
	}
	p.strays()
	p.launcher.groups.remove(p.Group)
	_ = p.fd.Close()
	return e, true
}

func (p *osProcess) reap() exit {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(p.PID, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return exit{code: -1}
		}
		break
	}
	if status.Signaled() {
		return exit{known: true, code: 128 + int(status.Signal()), signal: unix.SignalName(status.Signal())}
	}
	return exit{known: true, code: status.ExitStatus()}
}

// stop ends the watch and leaves the process alone.
func (p *osProcess) stop() { _ = p.fd.Close() }

// kill ends the process, its group, and its cgroup at once. wait tells when it is done.
func (p *osProcess) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.launcher.groups.kill(p.Group)
	if !p.child { // its leader may be gone already and the number another's
		if g, err := unix.Getpgid(p.PID); err == nil && g != p.PID {
			return
		}
	}
	_ = unix.Kill(-p.PID, unix.SIGKILL)
}

// terminate asks the process's group to end.
func (p *osProcess) terminate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		_ = unix.Kill(-p.PID, unix.SIGTERM)
	}
}

// strays ends children that left the process group, which is known by their environment
// where no cgroup holds them.
func (p *osProcess) strays() {
	if p.Group != "" && p.launcher.groups != nil {
		p.launcher.groups.empty(p.Group, strayPatience)
		return
	}
	for end := time.Now().Add(strayPatience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		found := marked(p.marker)
		if len(found) == 0 {
			return
		}
		for _, pid := range found {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// marked are the processes that have a variable in their environment.
func marked(variable string) (pids []int) {
	if variable == "" {
		return nil
	}
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	want := []byte("\x00" + variable + "\x00")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile("/proc/" + d.Name() + "/environ")
		if err == nil && bytes.Contains(append([]byte{0}, env...), want) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// orphans ends the processes of this agent's games and install scripts that nobody knows: an
// earlier agent was killed between launching one and writing it down. They are known by their
// HOME, which begins with the folder of the instances.
func (l *launcher) orphans(instances string, known map[string]bool) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile("/proc/" + d.Name() + "/environ")
		if err != nil {
			continue
		}
		home, id := "", ""
		for v := range strings.SplitSeq(string(env), "\x00") {
			if after, ok := strings.CutPrefix(v, "HOME="); ok {
				home = after
			}
			if after, ok := strings.CutPrefix(v, "GAMELIFT_SDK_PROCESS_ID="); ok {
				id = after
			}
		}
		if strings.HasPrefix(home, instances+"/") && !known[id] {
			l.log.Warn("process of an earlier agent that nobody knows is ended", slog.Int("pid", pid), slog.String("process_id", id))
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// startOf is when a process started, in ticks after the boot (proc(5), field 22).
func startOf(pid int) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The second field is a name, which may hold spaces and brackets.
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0, fmt.Errorf("stat of %d has %d fields", pid, len(fields))
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// groupOf is the process group of a process, which is the process id of a game.
func groupOf(pid int) int {
	g, err := unix.Getpgid(pid)
	if err != nil {
		return 0
	}
	return g
}

// lock makes sure that a data folder has one agent.
func lock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: another agent uses this folder", filepath.Dir(name))
	}
	return f, nil
}

// gentle opens a pipe without waiting for who writes to it.
const gentle = unix.O_NONBLOCK

// hardLinked says that a file has more than one name, of which another may be elsewhere.
func hardLinked(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Nlink > 1
}

// genOf tells a file from another that takes its name later.
func genOf(info os.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return strconv.FormatUint(s.Ino, 36)
}

// nameless says that a file was deleted.
func nameless(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Nlink == 0
}
