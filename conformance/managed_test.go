package conformance

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/gobwas/ws"
)

// A build is a folder: paths and what is in the files. Scripts begin with "#!", and are
// executable.
type buildFiles map[string]string

// theGame is a build of the example game server, which is not copied into it: an instance
// costs no disk.
func theGame() buildFiles {
	return buildFiles{"server": "#!/bin/sh\nexec " + gameserver + " \"$@\"\n"}
}

// upload makes a build by `matchyard upload-build`, and waits until it is READY.
func (s *server) upload(t testing.TB, files buildFiles) (id string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		mode := os.FileMode(0o600)
		if strings.HasPrefix(text, "#!") {
			mode = 0o700
		}
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
	}
	cmd := exec.CommandContext(t.Context(), matchyard, "upload-build", "--root", dir, "--name", "arena", "--server-sdk-version", "5.5.0", "--endpoint", s.url)
	cmd.Env = quietEnvironment("AWS_ACCESS_KEY_ID="+s.key, "AWS_SECRET_ACCESS_KEY="+s.secret)
	out, err := cmd.CombinedOutput()
	id, _, _ = strings.Cut(string(out), ":")
	if err != nil || !strings.HasPrefix(id, "build-") {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return id
}

// managedFleet makes a managed fleet of a build with one kind of server process, and does
// not wait for anything.
func managedFleet(t testing.TB, s *server, build, launchPath, parameters string, processes int32) *world {
	t.Helper()
	w := &world{s: s, api: sdk(s), location: "us-west-2"}
	in := &gamelift.CreateFleetInput{
		Name: new("managed"), BuildId: &build, EC2InstanceType: types.EC2InstanceTypeC5Large, RuntimeConfiguration: runtimeOf(launchPath, parameters, processes),
	}
	out, err := w.api.CreateFleet(t.Context(), in)
	check(t, err)
	w.fleet, w.arn = *out.FleetAttributes.FleetId, *out.FleetAttributes.FleetArn
	return w
}

func runtimeOf(launchPath, parameters string, processes int32) *types.RuntimeConfiguration {
	p := types.ServerProcess{LaunchPath: &launchPath, ConcurrentExecutions: &processes}
	if parameters != "" {
		p.Parameters = &parameters
	}
	return &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{p}}
}

// What the example game server is launched with.
const (
	gamePath       = "/local/game/server"
	gameParameters = "-port {port} -logs /local/game/logs"
)

// arena is a managed fleet of the example game server that is ACTIVE.
func arena(t testing.TB, s *server, processes int32) *world {
	t.Helper()
	w := managedFleet(t, s, s.upload(t, theGame()), gamePath, gameParameters, processes)
	w.fleetBecomes(t, types.FleetStatusActive)
	return w
}

func (w *world) status(t testing.TB) types.FleetStatus {
	t.Helper()
	out, err := w.api.DescribeFleetAttributes(t.Context(), &gamelift.DescribeFleetAttributesInput{FleetIds: []string{w.fleet}})
	check(t, err)
	if len(out.FleetAttributes) == 0 {
		return types.FleetStatusTerminated
	}
	return out.FleetAttributes[0].Status
}

// fleetBecomes waits for the fleet's status.
func (w *world) fleetBecomes(t testing.TB, want types.FleetStatus) {
	t.Helper()
	within(t, time.Minute, "the fleet is "+string(want), func() bool {
		is := w.status(t)
		if is == types.FleetStatusError && want != is {
			t.Fatalf("the fleet is in ERROR:\n%s", strings.Join(w.story(t), "\n"))
		}
		return is == want
	})
}

// events are the fleet's, from the first to the last.
func (w *world) events(t testing.TB) (all []types.Event) {
	t.Helper()
	in := &gamelift.DescribeFleetEventsInput{FleetId: &w.fleet}
	for {
		out, err := w.api.DescribeFleetEvents(t.Context(), in)
		check(t, err)
		all = append(all, out.Events...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			slices.Reverse(all)
			return all
		}
	}
}

// story is what the events say.
func (w *world) story(t testing.TB) (lines []string) {
	for _, e := range w.events(t) {
		lines = append(lines, string(e.EventCode)+": "+*e.Message)
	}
	return lines
}

// instances are those that DescribeInstances has, by status, each with its id and address.
func (w *world) instances(t testing.TB) map[types.InstanceStatus]map[string]string {
	t.Helper()
	all := map[types.InstanceStatus]map[string]string{}
	in := &gamelift.DescribeInstancesInput{FleetId: &w.fleet}
	for {
		out, err := w.api.DescribeInstances(t.Context(), in)
		check(t, err)
		for _, i := range out.Instances {
			if all[i.Status] == nil {
				all[i.Status] = map[string]string{}
			}
			all[i.Status][*i.InstanceId] = *i.IpAddress
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return all
		}
	}
}

// computes are those that ListCompute has, with their addresses.
func (w *world) computes(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	in := &gamelift.ListComputeInput{FleetId: &w.fleet}
	for {
		out, err := w.api.ListCompute(t.Context(), in)
		check(t, err)
		for _, c := range out.ComputeList {
			all[*c.ComputeName] = *c.IpAddress
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return all
		}
	}
}

// gameSessions are the fleet's of a status.
func (w *world) gameSessions(t testing.TB, status types.GameSessionStatus) (all []types.GameSession) {
	t.Helper()
	in := &gamelift.DescribeGameSessionsInput{FleetId: &w.fleet, StatusFilter: (*string)(&status)}
	for {
		out, err := w.api.DescribeGameSessions(t.Context(), in)
		check(t, err)
		all = append(all, out.GameSessions...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return all
		}
	}
}

func (w *world) utilization(t testing.TB) types.FleetUtilization {
	t.Helper()
	out, err := w.api.DescribeFleetUtilization(t.Context(), &gamelift.DescribeFleetUtilizationInput{FleetIds: []string{w.fleet}})
	check(t, err)
	if len(out.FleetUtilization) != 1 {
		t.Fatalf("%d utilizations of one fleet", len(out.FleetUtilization))
	}
	return out.FleetUtilization[0]
}

func (w *world) capacity(t testing.TB) *types.EC2InstanceCounts {
	t.Helper()
	out, err := w.api.DescribeFleetCapacity(t.Context(), &gamelift.DescribeFleetCapacityInput{FleetIds: []string{w.fleet}})
	check(t, err)
	return out.FleetCapacity[0].InstanceCounts
}

// resize sets how many instances the fleet has, and waits until they are there.
func (w *world) resize(t testing.TB, n int32) {
	t.Helper()
	_, err := w.api.UpdateFleetCapacity(t.Context(), &gamelift.UpdateFleetCapacityInput{FleetId: &w.fleet, DesiredInstances: &n, MinSize: new(int32(0)), MaxSize: new(max(n, 1))})
	check(t, err)
	within(t, time.Minute+time.Duration(n)*time.Second, fmt.Sprintf("%d instances are ACTIVE", n), func() bool {
		all := w.instances(t)
		return len(all[types.InstanceStatusActive]) == int(n) && len(all) <= 1
	})
}

// within waits until what returns true.
func within(t testing.TB, d time.Duration, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", d, what)
		}
	}
}

// rack is a host: an agent as a process of its own, and its games.
type rack struct {
	name, address, data string
	args, env           []string
	cmd                 *exec.Cmd
	log                 *tail
	gone                chan struct{}
}

var racks atomic.Int32

// rack starts an agent that joins a server with a token of its own. Its address, of
// 127.0.0.0/8, is where its instances are.
func (s *server) rack(t *testing.T, name, address string, capacity int) *rack {
	t.Helper()
	args := []string{"hosts", "token", "create", name, "--data", s.data}
	if s.store != "" {
		args = append(args, "--store", s.store)
	}
	cmd := exec.CommandContext(t.Context(), matchyard, args...)
	cmd.Env = quietEnvironment(s.env...)
	cmd.Stderr = t.Output()
	token, err := cmd.Output()
	check(t, err)
	first := 10000 + int(racks.Add(1)-1)%20*500
	r := &rack{name: name, address: address, data: t.TempDir()}
	r.env = quietEnvironment(strings.TrimSpace(string(token)))
	r.args = []string{
		"agent", "--server", s.url, "--name", name, "--address", address, "--capacity", strconv.Itoa(capacity), "--data", r.data,
		"--ports", fmt.Sprintf("%d-%d", first, first+499), "--statsd", "-", "--crash-reports", "-", "--log-level", "warn",
	}
	t.Cleanup(func() {
		r.crash(t)
		if t.Failed() {
			t.Logf("the agent %s said:\n%s", name, r.log)
		}
	})
	r.start(t)
	return r
}

// start runs the agent. It is a process group of its own, and its games are others.
func (r *rack) start(t testing.TB) {
	t.Helper()
	r.cmd, r.log = exec.Command(matchyard, r.args...), &tail{}
	r.cmd.Env, r.cmd.Stderr = r.env, r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check(t, r.cmd.Start())
	cmd, gone := r.cmd, make(chan struct{})
	r.gone = gone
	go func() {
		defer close(gone)
		_ = cmd.Wait()
	}()
}

// kill ends the agent as a crash does, and nothing else.
func (r *rack) kill() {
	_ = r.cmd.Process.Kill()
	<-r.gone
}

// crash ends everything on the host at once, as the end of the machine does.
func (r *rack) crash(t testing.TB) {
	t.Helper()
	r.kill()
	killGames(t, r.data)
}

// killGames ends the games of the agent with that data folder.
func killGames(t testing.TB, data string) {
	t.Helper()
	within(t, 30*time.Second, "all games have ended", func() bool {
		pids := games(data)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(pids) == 0
	})
}

// games are the ids of the processes that run on instances below a folder, which is their
// HOME.
func games(data string) (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(append([]byte{0}, text...), []byte("\x00HOME="+data+"/")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// gameOf is the game server of a game session, for players to join.
func gameOf(session *types.GameSession) *game { return &game{port: int(*session.Port)} }

// The script of examples/managed runs as it stands, against a fresh development server.
func TestManagedFleetByScript(t *testing.T) {
	for _, tool := range []string{"unzip", "bc", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, tool, err)
		}
	}
	if _, err := awsCLI(); err != nil {
		missing(t, "the AWS CLI", err)
	}
	s := &server{data: t.TempDir(), key: "AKIDCONFORMANCE", secret: "secret"}
	s.args = []string{"dev", "--data", s.data, "--log-level", "warn"}
	t.Cleanup(func() { killGames(t, s.data) })
	s.start(t, "127.0.0.1:0", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "../examples/managed/fleet.sh")
	cmd.Env = quietEnvironment("SERVER="+s.url, "GAMESERVER="+gameserver)
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("in %s:\n%s", time.Since(begun).Round(10*time.Millisecond), out)
	check(t, err)
	_, log, found := strings.Cut(string(out), "its log:\n")
	if !found {
		t.Fatal("there is no log")
	}
	at := 0
	for _, want := range []string{"start session=arn:aws:gamelift:", "active session=", "joined", "left", "ending why=", "deleted the fleet"} {
		i := strings.Index(log[at:], want)
		if i < 0 {
			t.Fatalf("%q is missing in what follows %q", want, log[:at])
		}
		at += i
	}
	within(t, 30*time.Second, "no game is left of the deleted fleet", func() bool { return len(games(s.data)) == 0 })
}

// hostileArchive is a zip file of size bytes that names a file outside its folder.
func hostileArchive(t testing.TB, size int) []byte {
	t.Helper()
	pack := func(comment int) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, name := range []string{"server", "../../../../../../escaped"} {
			_, err := w.CreateHeader(&zip.FileHeader{Name: name})
			check(t, err)
		}
		check(t, w.SetComment(strings.Repeat("-", comment)))
		check(t, w.Close())
		return b.Bytes()
	}
	return pack(size - len(pack(0)))
}

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// dialOnly connects as a game server process that called InitSDK and does nothing more.
func dialOnly(t testing.TB, s *server, variables map[string]string) {
	t.Helper()
	q := url.Values{
		"pID": {variables["GAMELIFT_SDK_PROCESS_ID"]}, "sdkVersion": {"5.5.0"}, "sdkLanguage": {"Go"}, "ComputeId": {variables["GAMELIFT_SDK_HOST_ID"]},
		"FleetId": {variables["GAMELIFT_SDK_FLEET_ID"]}, "IdempotencyToken": {"once"}, "Authorization": {variables["GAMELIFT_SDK_AUTH_TOKEN"]},
	}
	d := ws.Dialer{Timeout: time.Minute}
	conn, _, _, err := d.Dial(t.Context(), s.websocket("ws")+"/?"+q.Encode())
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
}

// Builds that do not run: each fleet goes to ERROR, with the events that hosting.md 2.5 has
// for it, and the reason in words.
func TestFleetsThatDoNotStart(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		told := t.TempDir() // where games leave their environment
		silent := "#!/bin/sh\nenv >" + told + "/$GAMELIFT_SDK_PROCESS_ID.new; mv " + told + "/$GAMELIFT_SDK_PROCESS_ID.new " + told + "/env.$GAMELIFT_FLEET_ID; exec sleep 3600\n"
		blob := func(t testing.TB, build string) string {
			files, err := filepath.Glob(filepath.Join(s.data, "blobs", "builds", build, "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("files of %s: %v %v", build, files, err)
			}
			return files[0]
		}
		ready := func(t testing.TB, w *world) map[string]string {
			variables := map[string]string{}
			eventually(t, "the process is launched", func() bool {
				text, err := os.ReadFile(filepath.Join(told, "env."+w.fleet))
				for line := range strings.Lines(string(text)) {
					name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
					variables[name] = value
				}
				return err == nil
			})
			return variables
		}
		t.Cleanup(func() { killGames(t, s.data) })
		for _, c := range []struct {
			name   string
			files  buildFiles
			path   string
			spoil  func(t testing.TB, build string) // after the upload
			wait   func(t testing.TB, w *world)     // until it is seen that it does not run
			codes  []types.EventCode                // in this order, and then ERROR
			words  []string                         // of the last of them
			log    string                           // in the log that belongs to it
			absent types.EventCode
		}{
			{
				name: "crashes at its start", files: buildFiles{"server": "#!/bin/sh\necho cannot load the map\nexit 3\n"},
				codes: []types.EventCode{types.EventCodeFleetStateActivating, types.EventCodeServerProcessCrashed, types.EventCodeFleetActivationFailed},
				words: []string{"No server process called ProcessReady()", "crashed", "exit code 3", "cannot load the map"}, absent: types.EventCodeFleetStateActive,
			},
			{
				name: "has no such launch path", files: buildFiles{"bin/server": "#!/bin/sh\n"}, path: "/local/game/server",
				codes: []types.EventCode{types.EventCodeFleetCreationExtractingBuild, types.EventCodeFleetCreationValidatingRuntimeConfig, types.EventCodeFleetValidationLaunchPathNotFound},
				words: []string{"no launch path exists", "/local/game/server"}, log: "bin/server",
				absent: types.EventCodeFleetStateBuilding,
			},
			{
				name: "is no program", files: buildFiles{"server": "a text"},
				codes:  []types.EventCode{types.EventCodeFleetCreationValidatingRuntimeConfig, types.EventCodeFleetValidationExecutableRuntimeFailure},
				words:  []string{"/local/game/server"},
				absent: types.EventCodeFleetStateActivating,
			},
			{
				name: "does not install", files: buildFiles{"server": silent, "install.sh": "#!/bin/sh\necho no room for textures\nexit 7\n"},
				codes: []types.EventCode{types.EventCodeFleetCreationExtractingBuild, types.EventCodeFleetCreationRunningInstaller, types.EventCodeFleetCreationFailedInstaller},
				words: []string{"install.sh", "7"}, log: "no room for textures",
				absent: types.EventCodeFleetStateValidating,
			},
			{
				name: "is a hostile archive", files: buildFiles{"server": silent, "data": string(noise(1000))},
				spoil: func(t testing.TB, build string) {
					info, err := os.Stat(blob(t, build))
					check(t, err)
					check(t, os.WriteFile(blob(t, build), hostileArchive(t, int(info.Size())), 0o600))
				},
				codes:  []types.EventCode{types.EventCodeFleetStateDownloading, types.EventCodeFleetInitializationFailed},
				words:  []string{"the build's archive is refused", "escaped"},
				absent: types.EventCodeFleetStateValidating,
			},
			{
				name: "is not there any more", files: buildFiles{"server": silent, "data": "other data"},
				spoil:  func(t testing.TB, build string) { check(t, os.Remove(blob(t, build))) },
				codes:  []types.EventCode{types.EventCodeFleetStateDownloading, types.EventCodeFleetBinaryDownloadFailed},
				words:  []string{"404"},
				absent: types.EventCodeFleetStateValidating,
			},
			{
				name: "calls InitSDK and never ProcessReady", files: buildFiles{"server": silent},
				wait: func(t testing.TB, w *world) {
					dialOnly(t, s, ready(t, w))
					s.advance(t, 5*time.Minute+time.Second)
				},
				codes: []types.EventCode{types.EventCodeFleetStateActivating, types.EventCodeServerProcessProcessReadyTimeout, types.EventCodeFleetActivationFailed},
				words: []string{"did not call ProcessReady() in time after InitSDK()"}, absent: types.EventCodeFleetStateActive,
			},
			{
				name: "calls nothing", files: buildFiles{"server": silent},
				wait: func(t testing.TB, w *world) {
					ready(t, w)
					s.advance(t, 15*time.Minute+time.Second)
				},
				codes: []types.EventCode{types.EventCodeFleetStateActivating, types.EventCodeFleetActivationFailed},
				words: []string{"ProcessReady() within 15m0s"}, absent: types.EventCodeFleetStateActive,
			},
		} {
			t.Run(c.name, func(t *testing.T) {
				build := s.upload(t, c.files)
				if c.spoil != nil {
					c.spoil(t, build)
				}
				w := managedFleet(t, s, build, gamePath, "", 1)
				if c.wait != nil {
					c.wait(t, w)
				}
				late := time.Now().Add(20 * time.Second)
				within(t, 2*time.Minute, "the fleet is in ERROR", func() bool {
					if c.wait != nil && time.Now().After(late) {
						s.advance(t, time.Minute) // a process that was launched late has its own time
					}
					return w.status(t) == types.FleetStatusError
				})
				events := w.events(t)
				defer func() {
					if t.Failed() {
						t.Logf("the events:\n%s", strings.Join(w.story(t), "\n"))
					}
				}()
				if last := events[len(events)-1]; last.EventCode != types.EventCodeFleetStateError {
					t.Errorf("the last event is %s", last.EventCode)
				}
				var last types.Event
				i := 0
				for _, want := range c.codes {
					for ; i < len(events) && events[i].EventCode != want; i++ {
						if events[i].EventCode == c.absent {
							t.Errorf("%s before %s", c.absent, want)
						}
					}
					if i == len(events) {
						t.Fatalf("no %s in its place", want)
					}
					last = events[i]
				}
				for _, words := range c.words {
					if !strings.Contains(*last.Message, words) {
						t.Errorf("%q is not in %q", words, *last.Message)
					}
				}
				if c.log != "" {
					if last.PreSignedLogUrl == nil {
						t.Fatal("the event has no log")
					}
					if text := get(t, *last.PreSignedLogUrl); !strings.Contains(text, c.log) {
						t.Errorf("%q is not in the log:\n%s", c.log, text)
					}
				}
				_, err := w.api.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &w.fleet})
				check(t, err)
			})
		}
		// A process that never dialled cannot be asked to end: it has its minute of grace.
		if testing.Short() {
			killGames(t, s.data)
		}
		within(t, 90*time.Second, "nothing of them runs", func() bool { return len(games(s.data)) == 0 })
		if out, err := exec.CommandContext(t.Context(), "find", filepath.Dir(s.data), "-name", "escaped").Output(); err != nil || len(out) > 0 {
			t.Errorf("the hostile archive wrote %s %v", out, err)
		}
	})
}

// lostAfter is when a host is lost that nobody hears of.
const lostAfter = 20 * time.Second

// instanceCount is how many instances TestAHostIsLost spreads.
func instanceCount(t testing.TB) int {
	if text := os.Getenv("MATCHYARD_INSTANCES"); text != "" {
		n, err := strconv.Atoi(text)
		check(t, err)
		return n
	}
	return 20
}

// starts counts, by game session, how often game servers on hosts were told to start it. It
// reads what they print.
func starts(t testing.TB, hosts ...*rack) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, h := range hosts {
		names, err := filepath.Glob(filepath.Join(h.data, "instances", "*", "logs", "*.log"))
		check(t, err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			check(t, err)
			for line := range strings.Lines(string(text)) {
				if session, found := strings.CutPrefix(line, "start session="); found {
					session, _, _ = strings.Cut(session, " ")
					all[session]++
				}
			}
		}
	}
	return all
}

// Instances are spread over two hosts, half of them get a game session, and one of the hosts
// ends at once with everything on it. Its instances are replaced on the other one; its game
// sessions are over, and those of the other one are what they were: nothing is counted twice.
func TestAHostIsLost(t *testing.T) {
	n := instanceCount(t)
	production(t, func(t *testing.T, s *server) {
		east, west := s.rack(t, "east", "127.0.0.2", n), s.rack(t, "west", "127.0.0.3", n)
		w := arena(t, s, 1)
		begun := time.Now()
		w.resize(t, int32(n))
		t.Logf("%d instances are ACTIVE after %s", n, time.Since(begun).Round(10*time.Millisecond))
		at := map[string]int{}
		for _, address := range w.instances(t)[types.InstanceStatusActive] {
			at[address]++
		}
		if at[east.address] != n/2 || at[west.address] != n/2 {
			t.Errorf("spread: %v", at)
		}

		lost, kept := map[string]bool{}, map[string]bool{} // game sessions
		for i := range n / 2 {
			made := w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(2))})
			p := w.join(t, *made.GameSessionId, fmt.Sprintf("player-%d", i))
			gameOf(made).enter(t, *p.PlayerSessionId)
			if *made.IpAddress == east.address {
				lost[*made.GameSessionId] = true
			} else {
				kept[*made.GameSessionId] = true
			}
		}
		t.Logf("game sessions: %d on one host, %d on the other", len(lost), len(kept))
		if len(lost) == 0 || len(kept) == 0 {
			t.Error("all game sessions are on one host")
		}
		told := starts(t, east, west)

		// More are asked for while the host ends, whatever becomes of them.
		var wanted sync.WaitGroup
		wanted.Go(func() {
			for range n / 4 {
				_, err := w.api.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{FleetId: &w.fleet, MaximumPlayerSessionCount: new(int32(2))})
				if _, full := errors.AsType[*types.FleetCapacityExceededException](err); err != nil && !full {
					t.Error(err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		time.Sleep(50 * time.Millisecond)
		begun = time.Now()
		east.crash(t)
		wanted.Wait()
		within(t, lostAfter+time.Minute+time.Duration(n)*time.Second, "the instances are replaced", func() bool {
			all := w.instances(t)
			active := all[types.InstanceStatusActive]
			for _, address := range active {
				if address != west.address {
					return false
				}
			}
			return len(active) == n && len(all) == 1
		})
		took := time.Since(begun)
		t.Logf("the host's end is noticed, and all is replaced, after %s", took.Round(10*time.Millisecond))
		if took < lostAfter-11*time.Second { // a host is heard of at least every ten seconds
			t.Errorf("a host is lost after %v already", took)
		}
		if !slices.ContainsFunc(w.events(t), func(e types.Event) bool {
			return e.EventCode == types.EventCodeInstanceReplacedUnhealthy && strings.Contains(*e.Message, fmt.Sprintf("Host east was not heard of for 20s; %d instances on it are replaced", n/2))
		}) {
			t.Errorf("no event tells of the host:\n%s", strings.Join(w.story(t), "\n"))
		}
		eventually(t, "no game session is ACTIVATING", func() bool { return len(w.gameSessions(t, types.GameSessionStatusActivating)) == 0 })
		players := len(kept)
		for _, status := range []types.GameSessionStatus{types.GameSessionStatusActive, types.GameSessionStatusTerminated} {
			for _, g := range w.gameSessions(t, status) {
				if *g.IpAddress == east.address {
					lost[*g.GameSessionId] = true
				} else {
					kept[*g.GameSessionId] = true
				}
			}
		}
		t.Logf("with those made meanwhile: %d and %d", len(lost), len(kept))
		instances := w.instances(t)[types.InstanceStatusActive]
		if computes := w.computes(t); !maps.Equal(computes, instances) {
			t.Errorf("ListCompute has %v\nDescribeInstances has %v", computes, instances)
		}
		if c := w.capacity(t); *c.ACTIVE != int32(n) || *c.PENDING != 0 || *c.TERMINATING != 0 || *c.IDLE != int32(n-len(kept)) {
			t.Errorf("capacity: %d active, %d pending, %d terminating, %d idle; %d game sessions", *c.ACTIVE, *c.PENDING, *c.TERMINATING, *c.IDLE, len(kept))
		}
		var active []string
		for _, g := range w.gameSessions(t, types.GameSessionStatusActive) {
			active = append(active, *g.GameSessionId)
			if !kept[*g.GameSessionId] || told[*g.GameSessionId] > 0 && *g.CurrentPlayerSessionCount != 1 {
				t.Errorf("%s is ACTIVE with %d players; it was on the host that is left: %v", *g.GameSessionId, *g.CurrentPlayerSessionCount, kept[*g.GameSessionId])
			}
		}
		if len(active) != len(kept) {
			t.Errorf("%d game sessions are ACTIVE, want %d", len(active), len(kept))
		}
		for _, g := range w.gameSessions(t, types.GameSessionStatusTerminated) {
			if !lost[*g.GameSessionId] || *g.CurrentPlayerSessionCount != 0 {
				t.Errorf("%s is TERMINATED with %d players; it was on the lost host: %v", *g.GameSessionId, *g.CurrentPlayerSessionCount, lost[*g.GameSessionId])
			}
			delete(lost, *g.GameSessionId)
		}
		if len(lost) > 0 {
			t.Errorf("neither ACTIVE nor TERMINATED: %v", slices.Collect(maps.Keys(lost)))
		}
		u := w.utilization(t)
		if int(*u.ActiveGameSessionCount) != len(kept) || int(*u.CurrentPlayerSessionCount) != players || int(*u.ActiveServerProcessCount) != n {
			t.Errorf("%d game sessions, %d players, %d processes; want %d, %d and %d", *u.ActiveGameSessionCount, *u.CurrentPlayerSessionCount, *u.ActiveServerProcessCount, len(kept), players, n)
		}
		told = starts(t, east, west)
		for session, times := range told {
			if times != 1 {
				t.Errorf("%s was started %d times", session, times)
			}
		}

		// The new instances are of use, and a host that comes back takes up nothing old.
		made := w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(2))})
		if again := starts(t, east, west); again[*made.GameSessionId] != 1 || len(again) != len(told)+1 {
			t.Errorf("%d game sessions were started, and the new one %d times; want %d and 1", len(again), again[*made.GameSessionId], len(told)+1)
		}
		east.start(t)
		s.connected(t, "east", true)
		within(t, time.Minute, "the host that came back is empty", func() bool {
			left, err := os.ReadDir(filepath.Join(east.data, "instances"))
			check(t, err)
			return len(left) == 0
		})
		if all := w.instances(t); len(all[types.InstanceStatusActive]) != n || len(all) != 1 {
			t.Errorf("instances: %v", all)
		}
	}, "--host-lost-after", lostAfter.String())
}

// connected waits until the server says of a host that it is connected, or not.
func (s *server) connected(t testing.TB, name string, want bool) {
	t.Helper()
	args := []string{"hosts", "list", "--data", s.data}
	if s.store != "" {
		args = append(args, "--store", s.store)
	}
	within(t, time.Minute, fmt.Sprintf("host %s is connected: %v", name, want), func() bool {
		cmd := exec.CommandContext(t.Context(), matchyard, args...)
		cmd.Env = quietEnvironment(s.env...)
		out, err := cmd.Output()
		check(t, err)
		for line := range strings.Lines(string(out)) {
			if fields := strings.Fields(line); len(fields) > 7 && fields[0] == name {
				return slices.Contains(fields[7:], "connected") == want
			}
		}
		return false
	})
}

// The agent is killed, and its games are not. They go on while nobody watches them, and the
// next agent watches them again. Then the server is killed: no game ends, and players join
// after its restart.
func TestGamesOutliveAgentAndServer(t *testing.T) {
	production(t, func(t *testing.T, s *server) {
		host := s.rack(t, "only", "127.0.0.2", 4)
		w := arena(t, s, 1)
		w.resize(t, 3)
		var sessions []*types.GameSession
		var players []*connection
		for i := range 2 {
			made := w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(9))})
			sessions = append(sessions, made)
			players = append(players, gameOf(made).enter(t, *w.join(t, *made.GameSessionId, fmt.Sprintf("first-%d", i)).PlayerSessionId))
		}
		before, pids := w.instances(t), games(host.data)
		same := func(after string) {
			t.Helper()
			if now := games(host.data); !slices.Equal(now, pids) {
				t.Errorf("after %s: processes %v, were %v", after, now, pids)
			}
			for i, p := range players {
				if answer := p.say(t, "SAY still here"); !strings.HasPrefix(answer, "OK") && !strings.Contains(answer, "still here") {
					t.Errorf("after %s a player hears %q", after, answer)
				}
				if i < len(sessions) {
					if now := w.describe(t, *sessions[i].GameSessionId); now.Status != types.GameSessionStatusActive {
						t.Errorf("after %s: game session %s", after, now.Status)
					}
				}
			}
			if now := w.instances(t); !maps.EqualFunc(now, before, maps.Equal) {
				t.Errorf("after %s: instances %v, were %v", after, now, before)
			}
		}

		host.kill()
		s.connected(t, "only", false)
		same("the agent's end")
		for i, made := range sessions {
			players = append(players, gameOf(made).enter(t, *w.join(t, *made.GameSessionId, fmt.Sprintf("second-%d", i)).PlayerSessionId))
		}
		host.start(t)
		s.connected(t, "only", true)
		same("the agent's return")

		s.kill()
		if now := games(host.data); !slices.Equal(now, pids) {
			t.Errorf("after the server's end: processes %v, were %v", now, pids)
		}
		s.restart(t)
		for i, made := range sessions {
			id := w.join(t, *made.GameSessionId, fmt.Sprintf("third-%d", i)).PlayerSessionId
			// The game server dials again at its own pace, and cannot ask about players before.
			within(t, time.Minute, "a player is let in", func() bool {
				c := gameOf(made).connect(t)
				if c.say(t, "JOIN "+*id) != "OK" {
					_ = c.Close()
					return false
				}
				players = append(players, c)
				return true
			})
		}
		s.connected(t, "only", true)
		same("the server's return")

		// The agent that came back is watching: what ends is replaced, and its log handed in.
		_, err := fmt.Fprintln(players[0], "END")
		check(t, err)
		within(t, time.Minute, "the game session is over", func() bool {
			return w.describe(t, *sessions[0].GameSessionId).Status == types.GameSessionStatusTerminated
		})
		within(t, time.Minute, "its process is replaced", func() bool {
			now := games(host.data)
			return len(now) == len(pids) && !slices.Equal(now, pids) && len(w.instances(t)[types.InstanceStatusActive]) == 3
		})
		within(t, time.Minute, "its log is there", func() bool {
			out, err := w.api.GetGameSessionLogUrl(t.Context(), &gamelift.GetGameSessionLogUrlInput{GameSessionId: sessions[0].GameSessionId})
			return err == nil && out.PreSignedUrl != nil && *out.PreSignedUrl != "" && strings.HasPrefix(get(t, *out.PreSignedUrl), "PK")
		})
	}, "--host-lost-after", lostAfter.String())
}

// What is changed on a running fleet: more processes by another runtime configuration, which
// hosts that run take up; fewer instances, of which the idle ones go first and those with a
// protected game session stay; and its deletion, which ends everything.
func TestARunningFleetIsChanged(t *testing.T) {
	production(t, func(t *testing.T, s *server) {
		host := s.rack(t, "only", "127.0.0.2", 8)
		w := arena(t, s, 1)
		w.resize(t, 4)
		// A protected game session, and one that is not, on an instance each.
		plain := w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(2))})
		protected := w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(2))})
		_, err := w.api.UpdateGameSession(t.Context(), &gamelift.UpdateGameSessionInput{GameSessionId: protected.GameSessionId, ProtectionPolicy: types.ProtectionPolicyFullProtection})
		check(t, err)
		homes := []string{*w.describe(t, *protected.GameSessionId).ComputeName, *w.describe(t, *plain.GameSessionId).ComputeName}
		player := gameOf(protected).enter(t, *w.join(t, *protected.GameSessionId, "ann").PlayerSessionId)

		before := games(host.data)
		_, err = w.api.UpdateRuntimeConfiguration(t.Context(), &gamelift.UpdateRuntimeConfigurationInput{FleetId: &w.fleet, RuntimeConfiguration: runtimeOf(gamePath, gameParameters, 2)})
		check(t, err)
		within(t, time.Minute, "each instance runs two processes", func() bool { return *w.utilization(t).ActiveServerProcessCount == 8 })
		after := games(host.data)
		if kept := slices.DeleteFunc(slices.Clone(before), func(pid int) bool { return !slices.Contains(after, pid) }); len(after) != 8 || len(kept) != len(before) {
			t.Errorf("processes %v, were %v", after, before)
		}
		// Back again: nothing is ended, and what ends is not replaced.
		_, err = w.api.UpdateRuntimeConfiguration(t.Context(), &gamelift.UpdateRuntimeConfigurationInput{FleetId: &w.fleet, RuntimeConfiguration: runtimeOf(gamePath, gameParameters, 1)})
		check(t, err)

		w.resize(t, 2)
		if left := w.instances(t)[types.InstanceStatusActive]; left[homes[0]] == "" || left[homes[1]] == "" {
			t.Errorf("an instance that hosts is ended while idle ones are there: %v are left, %v host", left, homes)
		}
		w.resize(t, 1)
		if left := w.instances(t)[types.InstanceStatusActive]; left[homes[0]] == "" {
			t.Errorf("the instance of the protected game session is ended: %v are left, %v host", left, homes)
		}
		if now := w.describe(t, *plain.GameSessionId); now.Status != types.GameSessionStatusTerminated {
			t.Errorf("the unprotected game session is %s, its instance is gone", now.Status)
		}
		_, err = w.api.UpdateFleetCapacity(t.Context(), &gamelift.UpdateFleetCapacityInput{FleetId: &w.fleet, DesiredInstances: new(int32(0))})
		check(t, err)
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if now := w.describe(t, *protected.GameSessionId); now.Status != types.GameSessionStatusActive {
				t.Fatalf("the protected game session is %s", now.Status)
			}
			if c := w.capacity(t); *c.DESIRED != 0 || *c.ACTIVE != 1 || *c.TERMINATING != 0 {
				t.Fatalf("%d instances are desired, %d active, %d terminating", *c.DESIRED, *c.ACTIVE, *c.TERMINATING)
			}
		}
		player.say(t, "SAY still here")
		_, err = w.api.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{FleetId: &w.fleet, MaximumPlayerSessionCount: new(int32(2))})
		if _, full := errors.AsType[*types.FleetCapacityExceededException](err); !full {
			t.Errorf("an instance that is to go takes a game session: %v", err)
		}

		_, err = w.api.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &w.fleet})
		check(t, err)
		w.fleetBecomes(t, types.FleetStatusTerminated)
		within(t, 90*time.Second, "nothing of it runs", func() bool {
			left, err := os.ReadDir(filepath.Join(host.data, "instances"))
			check(t, err)
			return len(games(host.data)) == 0 && len(left) == 0
		})
	}, "--host-lost-after", lostAfter.String())
}

// Target tracking, minute by minute: capacity follows the game sessions that are made, stays
// while there is a surplus for less than a quarter of an hour, then goes, and never takes an
// instance that hosts one. Each decision is an event that tells what it was made from.
func TestTargetTracking(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		t.Cleanup(func() { killGames(t, s.data) })
		w := arena(t, s, 2)
		_, err := w.api.UpdateFleetCapacity(t.Context(), &gamelift.UpdateFleetCapacityInput{FleetId: &w.fleet, MinSize: new(int32(1)), MaxSize: new(int32(5))})
		check(t, err)
		_, err = w.api.PutScalingPolicy(t.Context(), &gamelift.PutScalingPolicyInput{
			FleetId: &w.fleet, Name: new("half"), PolicyType: types.PolicyTypeTargetBased, MetricName: types.MetricNamePercentAvailableGameSessions,
			TargetConfiguration: &types.TargetConfiguration{TargetValue: new(50.0)},
		})
		check(t, err)
		settles := func(want int) {
			t.Helper()
			defer func() {
				if t.Failed() {
					t.Logf("instances %v, %d processes, game processes %v; the events:\n%s", w.instances(t), *w.utilization(t).ActiveServerProcessCount, games(s.data), strings.Join(w.story(t), "\n"))
				}
			}()
			within(t, time.Minute, fmt.Sprintf("%d instances are ACTIVE, two processes each", want), func() bool {
				all := w.instances(t)
				return len(all[types.InstanceStatusActive]) == want && len(all) == 1 && int(*w.utilization(t).ActiveServerProcessCount) == 2*want
			})
		}
		settles(1)
		var sessions []*types.GameSession
		for _, step := range []struct{ games, instances int }{
			{1, 1}, {2, 2}, {3, 3}, {4, 4}, {6, 5}, // half of the slots stay free, up to the maximum
		} {
			for len(sessions) < step.games {
				sessions = append(sessions, w.session(t, &gamelift.CreateGameSessionInput{MaximumPlayerSessionCount: new(int32(2))}))
			}
			s.advance(t, time.Minute)
			if c := w.capacity(t); *c.DESIRED != int32(step.instances) {
				t.Errorf("%d game sessions: %d instances are desired, want %d", step.games, *c.DESIRED, step.instances)
			}
			settles(step.instances)
		}
		// All but one end.
		for _, over := range sessions[1:] {
			_, err := fmt.Fprintln(gameOf(over).connect(t), "END")
			check(t, err)
		}
		within(t, time.Minute, "the game sessions are over", func() bool { return len(w.gameSessions(t, types.GameSessionStatusActive)) == 1 })
		settles(5)
		for range 15 {
			s.advance(t, time.Minute)
			if c := w.capacity(t); *c.DESIRED != 5 {
				t.Fatalf("the surplus goes too soon: %d instances are desired", *c.DESIRED)
			}
		}
		s.advance(t, 2*time.Minute)
		if c := w.capacity(t); *c.DESIRED != 1 {
			t.Errorf("after a quarter of an hour %d instances are desired, want 1", *c.DESIRED)
		}
		settles(1)
		if now := w.describe(t, *sessions[0].GameSessionId); now.Status != types.GameSessionStatusActive {
			t.Errorf("scaling ended a game session: %s", now.Status)
		} else if w.instances(t)[types.InstanceStatusActive][*now.ComputeName] == "" {
			t.Error("the instance that is left is not the one that hosts")
		}
		var decisions []string
		for _, e := range w.events(t) {
			if e.EventCode == types.EventCodeFleetScalingEvent && strings.Contains(*e.Message, "policy half") {
				decisions = append(decisions, *e.Message)
			}
		}
		if len(decisions) != 5 || !strings.Contains(decisions[0], "2 of 2 slots used, PercentAvailableGameSessions is 0 for a target of 50") {
			t.Errorf("decisions:\n%s", strings.Join(decisions, "\n"))
		}
	})
}

// A development server is a host itself. One that joins it takes its share: the next instance
// goes to where most room is left.
func TestAHostBesideTheServersOwn(t *testing.T) {
	t.Parallel()
	s := dev(t, "sqlite", "--agent-capacity", "4")
	t.Cleanup(func() { killGames(t, s.data) })
	w := arena(t, s, 1)
	s.rack(t, "more", "127.0.0.2", 6)
	s.connected(t, "more", true)
	w.resize(t, 7)
	at := map[string]int{}
	for _, address := range w.instances(t)[types.InstanceStatusActive] {
		at[address]++
	}
	// 3 and 6 are free, then 6 instances are made: three on the other, and then by turns.
	if own, more := at["127.0.0.1"], at["127.0.0.2"]; own != 3 || more != 4 {
		t.Errorf("%d instances on the server's own host, %d on the other", own, more)
	}
}
