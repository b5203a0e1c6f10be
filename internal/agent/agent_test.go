//go:build linux

package agent_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/agent"
	"github.com/matchyard/matchyard/internal/hostmsg"
)

func TestAnInstanceFromItsBuildToItsEnd(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	p.run(c)
	p.until("hello", func() bool { return len(p.hello) == 1 })
	if h := p.hello[0]; h.Host != "rack-1" || h.Capacity != 4 || h.OS != "linux" || len(h.Instances) != 0 {
		t.Errorf("hello %+v", h)
	}

	b := p.build("build-1", server(t), file{"install.sh", 0o755, []byte("#!/bin/sh\necho installing; pwd > where.txt\n")})
	p.send(start("i-1", b, 2, "run --port {port} --map /local/game/maps/a --of=/local/gameplay"))
	var steps []hostmsg.Step
	first := p.started()
	second := p.started()
	p.becomes("i-1", hostmsg.Preparing)
	p.becomes("i-1", hostmsg.Running)
	p.mu.Lock()
	for _, m := range p.heard {
		if s, ok := m.(*hostmsg.Progress); ok {
			steps = append(steps, s.Step)
			if s.Step == hostmsg.StepInstalled && s.Log != "installing\n" {
				t.Errorf("the install script's log is %q", s.Log)
			}
		}
	}
	p.mu.Unlock()
	want := []hostmsg.Step{hostmsg.StepDownload, hostmsg.StepExtract, hostmsg.StepInstall, hostmsg.StepInstalled, hostmsg.StepValidate, hostmsg.StepLaunched}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %v; want %v", steps, want)
	}
	if first.LaunchPath != "/local/game/bin/server" || first.Process == second.Process {
		t.Errorf("started %+v and %+v", first, second)
	}

	dir := filepath.Join(c.Data, "instances", "i-1")
	t.Run("the folder", func(t *testing.T) {
		where, err := os.ReadFile(filepath.Join(dir, "game", "where.txt"))
		if err != nil || strings.TrimSpace(string(where)) != filepath.Join(dir, "game") {
			t.Errorf("install.sh ran in %q, %v", where, err)
		}
		meta, err := os.ReadFile(filepath.Join(dir, "gamemetadata", "gamelift-metadata.json"))
		if err != nil || !strings.Contains(string(meta), `"fleetName":"alpha"`) {
			t.Errorf("metadata %q, %v", meta, err)
		}
	})
	t.Run("the environment", func(t *testing.T) {
		var env []string
		p.until("the game's environment", func() bool {
			text, err := os.ReadFile(filepath.Join(dir, "game", "env.txt"))
			env = strings.Split(string(text), "\n")
			return err == nil && len(env) > 8
		})
		for _, want := range []string{
			"GAMELIFT_SDK_WEBSOCKET_URL=wss://sdk.example", "GAMELIFT_SDK_AUTH_TOKEN=token-1", "GAMELIFT_SDK_FLEET_ID=fleet-1", "GAMELIFT_SDK_HOST_ID=i-1",
			"GAMELIFT_REGION=eu-test-1", "GAMELIFT_LOCATION=custom-berlin", "GAMELIFT_FLEET_ID=fleet-1", "GAMELIFT_COMPUTE_NAME=i-1",
		} {
			if !slices.Contains(env, want) {
				t.Errorf("%s is missing of %q", want, env)
			}
		}
		for _, v := range env {
			if strings.HasSuffix(v, "=") || strings.Contains(v, "secret") {
				t.Errorf("%q is in it", v)
			}
		}
	})
	t.Run("the parameters", func(t *testing.T) {
		output, err := os.ReadFile(filepath.Join(dir, "logs", first.Process+".log"))
		fields := strings.Fields(strings.Trim(strings.TrimSpace(string(output)), "]"))
		if err != nil || len(fields) != 8 {
			t.Fatalf("printed %q, %v", output, err)
		}
		if port, err := strconv.Atoi(fields[4]); err != nil || port < c.FirstPort || port > c.LastPort {
			t.Errorf("{port} became %s", fields[4])
		}
		if want := filepath.Join(dir, "game", "maps", "a"); fields[6] != want || fields[7] != "--of=/local/gameplay" {
			t.Errorf("parameters %v; want %s and no change of the last", fields, want)
		}
	})

	p.send(&hostmsg.Kill{Instance: "i-1", Process: first.Process, Reason: hostmsg.ExitUnhealthy})
	if e := p.ended(first.Process); e.Reason != hostmsg.ExitUnhealthy || e.ExitCode != 128+9 {
		t.Errorf("ended %+v", e)
	}
	third := p.started() // it is replaced

	p.send(&hostmsg.Stop{Instance: "i-1", Grace: 1})
	p.becomes("i-1", hostmsg.Draining)
	for _, id := range []string{second.Process, third.Process} {
		if e := p.ended(id); e.Reason != hostmsg.ExitShutdown {
			t.Errorf("ended %+v", e)
		}
	}
	p.becomes("i-1", hostmsg.Gone)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
}

func TestBuildsThatDoNotRun(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	c.Times.Install = time.Second
	p.run(c)
	game := server(t)
	script := func(text string) file { return file{"install.sh", 0o644, []byte(text)} }
	for name, x := range map[string]struct {
		build  hostmsg.Build
		launch string
		step   hostmsg.Step
		reason string // part of
		log    string
	}{
		"no archive":       {hostmsg.Build{ID: "gone", URL: "/builds/gone"}, "", hostmsg.StepDownload, "status 403", ""},
		"another size":     {func() hostmsg.Build { b := p.build("size", game); b.Size++; return b }(), "", hostmsg.StepDownload, "it was said to have", ""},
		"hostile archive":  {p.build("hostile", game, file{"../../evil", 0o644, []byte("x")}), "", hostmsg.StepExtract, "evil", ""},
		"link":             {p.build("link", game, file{"passwd", 0o777 | os.ModeSymlink, []byte("/etc/passwd")}), "", hostmsg.StepExtract, "passwd", ""},
		"install fails":    {p.build("install", game, script("#!/bin/sh\necho no room; exit 9\n")), "", hostmsg.StepInstall, "install.sh: exit status 9", "no room\n"},
		"install hangs":    {p.build("hang", game, script("#!/bin/sh\necho waiting; setsid sleep 1000 & sleep 1000\n")), "", hostmsg.StepInstall, "still ran after 1s", "waiting\n"},
		"no launch path":   {p.build("path", game), "/local/game/bin/servr", hostmsg.StepValidate, "/local/game/bin/servr: no such file", "bin/server"},
		"path elsewhere":   {p.build("else", game), "/local/game/../../bin/sh", hostmsg.StepValidate, "begins with /local/game/", ""},
		"a folder":         {p.build("folder", game), "/local/game/bin", hostmsg.StepValidate, "no regular file", ""},
		"link by install":  {p.build("sh", game, script("ln -s /bin/sh sh\n")), "/local/game/sh", hostmsg.StepValidate, "no such file", ""},
		"not executable":   {p.build("mode", file{"bin/server", 0o644, game.text}), "", hostmsg.StepExecutable, "no execute permission", ""},
		"for Windows":      {p.build("exe", file{"bin/server", 0o755, []byte("MZ\x90\x00")}), "", hostmsg.StepExecutable, "for Windows", ""},
		"not a program":    {p.build("text", file{"bin/server", 0o755, []byte("hello, world")}), "", hostmsg.StepExecutable, "exec format error", ""},
		"name of instance": {hostmsg.Build{ID: "../up", URL: "/x"}, "", hostmsg.StepInitialization, "is no name", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := start("i-"+x.build.ID, x.build, 1, "run")
			if x.launch != "" {
				s.Runtime.Processes[0].LaunchPath = x.launch
			}
			p.send(s)
			f := p.failed()
			if f.Step != x.step || !strings.Contains(f.Reason, x.reason) || !strings.Contains(f.Log, x.log) {
				t.Errorf("failed %+v; want %s %q, log %q", f, x.step, x.reason, x.log)
			}
			p.becomes(s.Instance, hostmsg.Failed)
			p.send(&hostmsg.Stop{Instance: s.Instance, Force: true})
			p.becomes(s.Instance, hostmsg.Gone)
		})
	}
	if left := processes(c.Data); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if names, _ := filepath.Glob(filepath.Join(c.Data, "instances", "*")); len(names) > 0 {
		t.Errorf("%v are left", names)
	}
}

func TestADownloadGoesOnWhereItBrokeOff(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	b := p.build("build-1", server(t))
	p.mu.Lock()
	whole := p.files["/builds/build-1"]
	p.broken["/builds/build-1"] = 1
	p.mu.Unlock()
	if err := os.MkdirAll(filepath.Join(c.Data, "builds"), 0o755); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(c.Data, "builds", "build-1.zip.part")
	if err := os.WriteFile(part, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	p.run(c)
	p.send(start("i-1", b, 1, "run"))
	p.started()
	got, err := os.ReadFile(filepath.Join(c.Data, "builds", "build-1.zip"))
	if err != nil || !bytes.Equal(got, whole) {
		t.Errorf("the archive has %d bytes, %v; want %d", len(got), err, len(whole))
	}

	// Another instance of the build needs no link.
	p.mu.Lock()
	delete(p.files, "/builds/build-1")
	p.mu.Unlock()
	p.send(start("i-2", b, 1, "run"))
	p.started()
}

func TestCrashesAreToldAndRestartsWait(t *testing.T) {
	p := newPlane(t)
	p.run(p.settings())
	begun := time.Now()
	p.send(start("i-1", p.build("build-1", server(t)), 1, "crash"))
	for range 4 {
		s := p.started()
		e := p.ended(s.Process)
		if e.Reason != hostmsg.ExitCrashed || e.ExitCode != 3 || !strings.Contains(e.Detail, "last output: cannot load the map") {
			t.Errorf("ended %+v", e)
		}
	}
	if took := time.Since(begun); took < 300*time.Millisecond { // 50 + 100 + 200
		t.Errorf("four launches within %v: no back-off", took)
	}
}

func TestExitsThatAreNoCrash(t *testing.T) {
	p := newPlane(t)
	p.run(p.settings())
	b := p.build("build-1", server(t))
	p.send(start("i-1", b, 1, "quit"))
	if e := p.ended(p.started().Process); e.Reason != hostmsg.ExitNormal || e.ExitCode != 0 {
		t.Errorf("status 0: %+v", e)
	}
	p.send(&hostmsg.Stop{Instance: "i-1", Force: true})
	p.becomes("i-1", hostmsg.Gone)

	// One that said ProcessEnding and does not go.
	p.send(start("i-2", b, 1, "run"))
	late := p.started()
	for late.Instance != "i-2" {
		late = p.started()
	}
	p.send(&hostmsg.Ending{Instance: "i-2", Process: late.Process})
	if e := p.ended(late.Process); e.Reason != hostmsg.ExitTimeout || !strings.Contains(e.Detail, "after ProcessEnding") {
		t.Errorf("late: %+v", e)
	}
}

func TestAProcessThatNeverDials(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	c.Times.Init = time.Second
	p.run(c)
	p.send(start("i-1", p.build("build-1", server(t)), 2, "run"))
	ready, mute := p.started(), p.started()
	p.send(&hostmsg.Registered{Instance: "i-1", Process: ready.Process})
	if e := p.ended(mute.Process); e.Reason != hostmsg.ExitInitTimeout || !strings.Contains(e.Detail, "InitSDK") {
		t.Errorf("ended %+v", e)
	}

	// While the server is away nobody can dial, and nobody is ended for it.
	again := p.started()
	p.mu.Lock()
	p.status = http.StatusBadGateway
	p.mu.Unlock()
	p.hangUp()
	time.Sleep(1500 * time.Millisecond)
	p.until("no end", func() bool {
		return !slices.ContainsFunc(p.heard, func(m any) bool { _, ended := m.(*hostmsg.ProcessEnded); return ended })
	})
	p.mu.Lock()
	p.status = 0
	p.mu.Unlock()
	p.until("a second hello", func() bool { return len(p.hello) == 2 })
	if got := p.hello[1].Instances; len(got) != 1 || got[0].Status != hostmsg.Running || len(got[0].Processes) != 2 {
		t.Errorf("hello after the outage: %+v", got)
	}
	if e := p.ended(again.Process); e.Reason != hostmsg.ExitInitTimeout {
		t.Errorf("ended %+v", e)
	}
}

func TestChildrenEndWithTheirProcess(t *testing.T) {
	for _, cgroup := range []string{"auto", "off"} {
		t.Run("cgroup "+cgroup, func(t *testing.T) {
			p := newPlane(t)
			c := p.settings()
			c.Cgroup = cgroup
			p.run(c)
			p.send(start("i-1", p.build("build-1", server(t)), 1, "family"))
			s := p.started()
			p.until("the family", func() bool { return len(processes(c.Data)) == 10 })
			p.send(&hostmsg.Stop{Instance: "i-1"}) // so that none follows
			p.ended(s.Process)
			p.becomes("i-1", hostmsg.Gone)
			if left := processes(c.Data); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
		})
	}
}

func TestRuntimeConfigurationsAreAdopted(t *testing.T) {
	p := newPlane(t)
	p.run(p.settings())
	s := start("i-1", p.build("build-1", server(t)), 3, "run old")
	p.send(s)
	var old []string
	for range 3 {
		old = append(old, p.started().Process)
	}
	// Fewer altogether, and others: the old go on, and none is begun.
	s.Runtime.Processes[0].Parameters, s.Runtime.Processes[0].Concurrent = "run new", 2
	p.send(s)
	p.send(&hostmsg.Kill{Instance: "i-1", Process: old[0], Reason: hostmsg.ExitCustomer})
	p.ended(old[0])
	time.Sleep(300 * time.Millisecond)
	p.until("nothing", func() bool { return len(p.heard) > 0 })
	for _, m := range p.heard {
		if begun, ok := m.(*hostmsg.ProcessStarted); ok {
			t.Errorf("%+v was begun beside 2 of 2", begun)
		}
	}
	p.send(&hostmsg.Kill{Instance: "i-1", Process: old[1], Reason: hostmsg.ExitCustomer})
	p.ended(old[1])
	p.started() // the room appeared
}

func TestLaunchesAreStaggered(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	c.Times.PauseMost, c.Times.PauseLeast = 600*time.Millisecond, 200*time.Millisecond
	p.run(c)
	s := start("i-1", p.build("build-1", server(t)), 4, "run")
	s.Swift = false
	p.send(s)
	p.started()
	begun := time.Now()
	for range 3 {
		p.started()
	}
	if took := time.Since(begun); took < 1200*time.Millisecond { // 600 + 500 + 400
		t.Errorf("three launches more within %v", took)
	}
}

func TestLogsOfAGameSessionAreHandedIn(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	c.SessionLogSize = 200 << 10
	p.run(c)
	p.send(start("i-1", p.build("build-1", server(t),
		file{"logs/old.txt", 0o644, []byte("of before")}, file{"big.txt", 0o644, bytes.Repeat([]byte("x"), 300<<10)},
		file{"install.sh", 0o755, []byte("#!/bin/sh\nln -s /etc/passwd logs/passwd; mkdir fifo; mkfifo logs/pipe; ln -s /etc etc\n")},
	), 1, "log logs/game.txt"))
	s := p.started()
	const session = "arn:aws:gamelift:eu-test-1::gamesession/fleet-1/custom-berlin/gsess-1"
	p.mu.Lock()
	p.broken["/logs/"+session] = 2
	p.mu.Unlock()
	p.send(&hostmsg.Registered{Instance: "i-1", Process: s.Process, LogPaths: []string{"/local/game/logs", "/etc/passwd", "etc/hostname", "../state.json", "missing.txt", "big.txt"}})
	p.send(&hostmsg.Hosting{Instance: "i-1", Process: s.Process, GameSession: session})
	p.until("the game's log", func() bool {
		_, err := os.Stat(filepath.Join(c.Data, "instances/i-1/game/logs/game.txt"))
		return err == nil
	})
	p.send(&hostmsg.Stop{Instance: "i-1", Force: true}) // the logs are saved even so
	p.ended(s.Process)
	up := wait(p, "the logs", func(m *hostmsg.Uploaded) bool { return m.GameSession == session })
	if up.Failed != "" || up.Instance != "i-1" || up.Size == 0 {
		t.Errorf("uploaded %+v", up)
	}
	p.mu.Lock()
	text := p.files["/logs/"+session]
	p.mu.Unlock()
	if int64(len(text)) != up.Size {
		t.Errorf("%d bytes came; %d were said", len(text), up.Size)
	}
	files := unzip(t, text)
	if files["logs/game.txt"] != "the log of a game\n" || files["logs/old.txt"] != "of before" || !strings.HasPrefix(files["matchyard/output.log"], "game ") {
		t.Errorf("the archive has %q", files)
	}
	notes := files["matchyard/notes.txt"]
	for _, want := range []string{`"/etc/passwd" is not below`, `"etc/hostname" is or has a link`, `"../state.json" is not below`, `"missing.txt" is not there`, `"logs/passwd" is no regular`, `"logs/pipe" is no regular`, `"big.txt" has 307200 bytes`} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes lack %s:\n%s", want, notes)
		}
	}
	if len(files) != 5 {
		t.Errorf("the archive has %d files", len(files))
	}
	p.becomes("i-1", hostmsg.Gone)
	if left, _ := os.ReadDir(filepath.Join(c.Data, "uploads")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func unzip(t *testing.T, text []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(b)
	}
	return files
}

func TestOutputIsRotated(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	c.LogSize = 100 << 10
	p.run(c)
	p.send(start("i-1", p.build("build-1", server(t)), 1, "flood"))
	name := filepath.Join(c.Data, "instances/i-1/logs", p.started().Process+".log")
	p.until("a rotated log", func() bool {
		old, err := os.Stat(name + ".1")
		return err == nil && old.Size() > c.LogSize
	})
	p.until("a log that was cut off", func() bool {
		now, err := os.Stat(name)
		return err == nil && now.Size() > 0
	})
	text, err := os.ReadFile(name)
	if err != nil || bytes.IndexByte(text, 0) >= 0 {
		t.Errorf("the log has a hole, or %v", err)
	}
}

func TestAnAgentIsKilledAndGamesGoOn(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	c.Logger = nil
	t.Cleanup(func() { killAll(t, c.Data) })
	first := launchAgent(t, c)
	b := p.build("build-1", server(t))
	p.send(start("i-1", b, 2, "run --port {port}"))
	stays, dies := p.started(), p.started()
	p.becomes("i-1", hostmsg.Running)
	const session = "arn:aws:gamelift:eu-test-1::gamesession/fleet-1/custom-berlin/gsess-2"
	p.send(&hostmsg.Registered{Instance: "i-1", Process: stays.Process})
	p.send(&hostmsg.Hosting{Instance: "i-1", Process: dies.Process, GameSession: session})
	p.until("it to be written down", func() bool {
		state, _ := os.ReadFile(filepath.Join(c.Data, "instances/i-1/state.json"))
		return bytes.Contains(state, []byte("gsess-2"))
	})
	before := processes(c.Data)
	if len(before) != 2 {
		t.Fatalf("processes %v", before)
	}

	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	time.Sleep(200 * time.Millisecond)
	if after := processes(c.Data); !slices.Equal(before, after) {
		t.Fatalf("processes %v before, %v after the agent was killed", before, after)
	}
	for _, pid := range before { // one dies while no agent is there
		env, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if bytes.Contains(env, []byte(dies.Process)) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	// And one was launched of which the agent wrote nothing down.
	stray := exec.Command(game, "sleep")
	stray.Env = []string{"HOME=" + c.Data + "/instances/i-1/game", "GAMELIFT_SDK_PROCESS_ID=unknown"}
	if err := stray.Start(); err != nil {
		t.Fatal(err)
	}

	second := launchAgent(t, c)
	if err := stray.Wait(); err == nil {
		t.Error("the stray process was not ended")
	}
	p.until("a second hello", func() bool { return len(p.hello) == 2 })
	// Its processes are there, and possibly the replacement of the dead one.
	i := p.hello[1].Instances
	if len(i) != 1 || i[0].Status != hostmsg.Running || !slices.ContainsFunc(i[0].Processes, func(s hostmsg.ProcessState) bool { return s.Process == stays.Process }) {
		t.Errorf("hello of the second agent: %+v", i)
	}
	if e := p.ended(dies.Process); e.Reason != hostmsg.ExitCrashed || e.ExitCode != -1 || !strings.Contains(e.Detail, "the agent did not run then") {
		t.Errorf("ended %+v", e)
	}
	if up := wait(p, "the logs of the dead", func(m *hostmsg.Uploaded) bool { return m.GameSession == session }); up.Failed != "" {
		t.Errorf("uploaded %+v", up)
	}
	p.started() // the replacement

	// What was adopted is watched over: its end is seen, and it can be ended.
	p.send(&hostmsg.Kill{Instance: "i-1", Process: stays.Process, Reason: hostmsg.ExitUnhealthy})
	if e := p.ended(stays.Process); e.Reason != hostmsg.ExitUnhealthy {
		t.Errorf("ended %+v", e)
	}
	_ = second.Process.Signal(syscall.SIGKILL)
	_ = second.Wait()
}

// launchAgent runs an agent as a process of its own.
func launchAgent(t *testing.T, c agent.Config) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(childSettings{c.Server, c.Token, c.Name, c.Data, c.Capacity, c.FirstPort, c.LastPort, c.Times})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childConfig+"="+string(text))
	if testing.Verbose() {
		cmd.Stderr = testLog{t}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestTheEndOfAnAgent(t *testing.T) {
	t.Run("keep", func(t *testing.T) {
		p := newPlane(t)
		c := p.settings()
		stop := p.run(c)
		p.send(start("i-1", p.build("build-1", server(t)), 2, "run"))
		p.started()
		p.started()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if left := processes(c.Data); len(left) != 2 {
			t.Errorf("%v run on; want two", left)
		}
		p.run(c) // adopts them
		p.until("a second hello", func() bool { return len(p.hello) == 2 })
		if i := p.hello[1].Instances; len(i) != 1 || len(i[0].Processes) != 2 {
			t.Errorf("hello %+v", i)
		}
	})
	t.Run("drain", func(t *testing.T) {
		p := newPlane(t)
		c := p.settings()
		c.Drain, c.DrainGrace = true, 300*time.Millisecond
		stop := p.run(c)
		b := p.build("build-1", server(t))
		p.send(start("i-1", b, 1, "run"))
		p.send(start("i-2", b, 1, "log x.txt")) // ends when it is asked to
		one, two := p.started(), p.started()
		if two.Instance == "i-1" {
			one, two = two, one
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if left := processes(c.Data); len(left) != 0 {
			t.Errorf("%v run on", left)
		}
		if e := p.ended(two.Process); e.Reason != hostmsg.ExitNormal {
			t.Errorf("ended %+v", e)
		}
		p.ended(one.Process)
		p.becomes("i-1", hostmsg.Gone)
	})
}

func TestAServerThatRefuses(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	p.refuse = &hostmsg.Refuse{Reason: "another host has this name"}
	err := agent.Run(t.Context(), c)
	if r, ok := errors.AsType[*agent.RefusedError](err); !ok || r.Reason != "another host has this name" {
		t.Errorf("refused: %v", err)
	}
	c.Token = "wrong"
	if err := agent.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "status 401") {
		t.Errorf("wrong token: %v", err)
	}

	c.Token = "secret"
	p.refuse = &hostmsg.Refuse{Reason: "restarting", Retry: true}
	p.run(c)
	p.until("three hellos", func() bool { return len(p.hello) >= 3 })
	p.mu.Lock()
	p.refuse = nil
	p.mu.Unlock()
	p.send(start("i-1", p.build("build-1", server(t)), 1, "run"))
	p.started()
}

func TestInstancesTheServerDoesNotKnowEnd(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	p.run(c)
	b := p.build("build-1", server(t))
	p.send(start("i-1", b, 1, "run"))
	p.send(start("i-2", b, 1, "run"))
	p.started()
	p.started()
	p.mu.Lock()
	p.want.Instances = slices.DeleteFunc(p.want.Instances, func(s hostmsg.Start) bool { return s.Instance == "i-1" })
	p.mu.Unlock()
	p.hangUp()
	p.becomes("i-1", hostmsg.Gone)
	if left := processes(c.Data); len(left) != 1 {
		t.Errorf("%v run", left)
	}
}

func TestOneAgentAFolder(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	p.run(c)
	p.until("hello", func() bool { return len(p.hello) == 1 })
	if err := agent.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Errorf("a second agent: %v", err)
	}
}

func TestRealtimeScripts(t *testing.T) {
	p := newPlane(t)
	p.run(p.settings())
	b := p.build("script-1", file{"main.js", 0o644, []byte("console.log('a script', process.argv[2]); setTimeout(() => {}, 1e6)")})
	b.Script = true
	s := start("i-1", b, 1, "hello")
	s.Runtime.Processes[0].LaunchPath = "/local/game/main.js"
	if _, err := exec.LookPath("node"); err != nil {
		p.send(s)
		if f := p.failed(); f.Step != hostmsg.StepValidate || !strings.Contains(f.Reason, "node") {
			t.Errorf("failed %+v", f)
		}
		return
	}
	p.send(s)
	p.started()
	t.Setenv("PATH", "/nowhere")
	s.Instance = "i-2"
	p.send(s)
	if f := p.failed(); f.Step != hostmsg.StepValidate || !strings.Contains(f.Reason, "needs node") {
		t.Errorf("failed %+v", f)
	}
}

func TestProcessesAreConfined(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	c.Cgroup = "off"
	c.Limits = agent.Limits{Files: 77, Memory: 3 << 30, Pids: 500}
	root := os.Geteuid() == 0
	if root {
		c.User = "nobody"
		// The test's own folders are for its user alone.
		for dir := c.Data; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.run(c)
	p.send(start("i-1", p.build("build-1", server(t), file{"install.sh", 0o755, []byte("#!/bin/sh\nid -un > who.txt\n")}), 1, "run"))
	p.started()
	var pid int
	p.until("the process", func() bool {
		all := processes(c.Data)
		if len(all) == 1 {
			pid = all[0]
		}
		_, err := os.Stat(filepath.Join(c.Data, "instances/i-1/game/env.txt"))
		return pid != 0 && err == nil
	})
	read := func(name string) string {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(text)), " ")
	}
	status, limits := read("status"), read("limits")
	for _, want := range []string{"NoNewPrivs: 1", "Umask: 0027"} {
		if !strings.Contains(status, want) {
			t.Errorf("status lacks %s: %s", want, status)
		}
	}
	for _, want := range []string{"Max open files 77 77", "Max data size 3221225472", "Max core file size 0 0"} {
		if !strings.Contains(limits, want) {
			t.Errorf("limits lack %s: %s", want, limits)
		}
	}
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process %d is of group %d, %v", pid, group, err)
	}
	if !root {
		return
	}
	if !strings.Contains(status, "Uid: 65534 65534") || strings.Contains(limits, "Max processes unlimited") || !strings.Contains(limits, "Max processes 500 500") {
		t.Errorf("not nobody's, or without limit: %s, %s", status, limits)
	}
	if who, err := os.ReadFile(filepath.Join(c.Data, "instances/i-1/game/who.txt")); err != nil || string(who) != "nobody\n" {
		t.Errorf("install.sh ran as %q, %v", who, err)
	}
}

func TestAnAgentByTLS(t *testing.T) {
	p := newPlane(t)
	p.http.Close()
	p.http = httptest.NewTLSServer(p)
	c := p.settings()
	c.TLS = p.http.Client().Transport.(*http.Transport).TLSClientConfig
	p.run(c)
	p.send(start("i-1", p.build("build-1", server(t)), 1, "run"))
	p.started()
}

func TestUnusedBuildsAreEvicted(t *testing.T) {
	p := newPlane(t)
	c := p.settings()
	b := p.build("build-1", server(t))
	c.CacheSize = b.Size * 3 / 2
	p.run(c)
	for n, id := range []string{"build-1", "build-2"} {
		if n > 0 {
			b = p.build(id, server(t))
		}
		p.send(start("i-"+id, b, 1, "run"))
		p.started()
	}
	names, _ := filepath.Glob(filepath.Join(c.Data, "builds", "*"))
	if len(names) != 1 || filepath.Base(names[0]) != "build-2.zip" {
		t.Errorf("kept %v; want the newer one", names)
	}
}
