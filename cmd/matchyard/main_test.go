package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/cli"
	"github.com/matchyard/matchyard/internal/config"
)

var binary string // the program, built

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "matchyard-test-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		binary = filepath.Join(dir, "matchyard")
		build := exec.Command("go", "build", "-ldflags", "-X main.version=v1.2.3", "-o", binary, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			panic(string(out))
		}
		return m.Run()
	}())
}

// command is the program with an environment that has nothing of the tester's.
func command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, binary, args...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	return c
}

// do runs the program to its end.
func do(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := command(ctx, env, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// running is the program as a server.
type running struct {
	t             *testing.T
	cmd           *exec.Cmd
	before, ready string // what it printed on standard output
	log           *log
	out           io.Reader
}

// log is what a running program said on standard error so far.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs the program until it is ready.
func start(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	r := &running{t: t, cmd: command(context.Background(), env, args...), log: &log{}}
	r.cmd.Stderr = r.log
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	lines := bufio.NewReader(out)
	r.out = lines
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			_ = r.cmd.Wait()
			t.Fatalf("not ready: %v\n%s", err, r.log)
		}
		if strings.HasPrefix(line, "ready ") {
			r.ready = line
			return r
		}
		r.before += line
	}
}

// stop sends SIGTERM and returns the exit code.
func (r *running) stop() int {
	r.t.Helper()
	begin := time.Now()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	if rest, _ := io.ReadAll(r.out); len(rest) > 0 {
		r.t.Errorf("after the ready line: %s", rest)
	}
	_ = r.cmd.Wait()
	if d := time.Since(begin); d > 10*time.Second {
		r.t.Errorf("SIGTERM took %s", d)
	}
	return r.cmd.ProcessState.ExitCode()
}

// find is the part of the ready line that a pattern's group matches.
func (r *running) find(pattern string) string {
	r.t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(r.ready)
	if m == nil {
		r.t.Fatalf("no %s in %q", pattern, r.ready)
	}
	return m[1]
}

func client(url, key, secret string) *gamelift.Client {
	return gamelift.New(gamelift.Options{
		BaseEndpoint: &url, Region: "us-west-2", Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, nil
		}),
	})
}

func TestDevServesAndStops(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "folder")
	args := []string{"dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", data, "--clock", "manual"}
	r := start(t, nil, args...)
	url, admin := r.find(`^ready (http://127\.0\.0\.1:\d+) `), r.find(` admin=(http://127\.0\.0\.1:\d+) `)
	if sdk := r.find(` sdk=(\S+)`); sdk != "ws"+strings.TrimPrefix(url, "http") {
		t.Errorf("sdk=%s", sdk)
	}
	for _, want := range []string{" clock=manual", " version=v1.2.3"} {
		if !strings.Contains(r.ready, want) {
			t.Errorf("%q lacks %q", r.ready, want)
		}
	}
	c := client(url, "any", "thing")
	if _, err := c.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: new("custom-home")}); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(admin+"/clock/advance?d=61s", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK || !strings.Contains(string(body), `"now":"`) {
		t.Errorf("advance: %s %s", answer.Status, body)
	}
	_ = answer.Body.Close()
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.log)
	}

	// What was made is there again.
	r = start(t, nil, args...)
	out, err := client(r.find(`^ready (\S+)`), "any", "thing").ListLocations(t.Context(), &gamelift.ListLocationsInput{})
	if err != nil {
		t.Fatal(err)
	}
	if names := len(out.Locations); names < 1 || *out.Locations[0].LocationName != "custom-home" && names == 1 {
		t.Errorf("locations after the restart: %d", names)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.log)
	}
}

func TestServeMakesAFirstKeyAndChecksIt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "matchyard.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:0\nadmin: off\nstore: sqlite:"+dir+"/db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, nil, "serve", "--config", file, "--log-format", "json")
	key := regexp.MustCompile(`AWS_ACCESS_KEY_ID=(\S+)\nAWS_SECRET_ACCESS_KEY=(\S+)\n`).FindStringSubmatch(r.before)
	if key == nil {
		t.Fatalf("no key in %q", r.before)
	}
	if strings.Contains(r.log.String(), key[2]) {
		t.Error("the secret is in the log")
	}
	if !strings.HasPrefix(r.log.String(), `{"time":`) {
		t.Errorf("the log is not JSON: %s", r.log)
	}
	c := client(r.find(`^ready (\S+)`), key[1], key[2])
	if _, err := c.ListFleets(t.Context(), &gamelift.ListFleetsInput{}); err != nil {
		t.Error(err)
	}
	if _, err := client(r.find(`^ready (\S+)`), key[1], "no").ListFleets(t.Context(), &gamelift.ListFleetsInput{}); err == nil {
		t.Error("any secret is taken")
	}

	// Keys are managed while it runs, and when it does not.
	env := []string{"MATCHYARD_CONFIG=" + file}
	code, out, errs := do(t, env, "keys", "create", "ann", "--policy", "read-only")
	ann := regexp.MustCompile(`AWS_ACCESS_KEY_ID=(\S+)\nAWS_SECRET_ACCESS_KEY=(\S+)\n`).FindStringSubmatch(out)
	if code != 0 || ann == nil {
		t.Fatalf("keys create: %d %s %s", code, out, errs)
	}
	if _, err := client(r.find(`^ready (\S+)`), ann[1], ann[2]).ListFleets(t.Context(), &gamelift.ListFleetsInput{}); err != nil {
		t.Errorf("with ann's key: %v", err)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.log)
	}
	if code, out, errs := do(t, env, "keys", "revoke", ann[1]); code != 0 {
		t.Errorf("keys revoke: %d %s %s", code, out, errs)
	}
	code, out, errs = do(t, env, "keys", "list")
	if code != 0 || !strings.Contains(out, key[1]) || !regexp.MustCompile(ann[1]+` .*read-only .*revoked`).MatchString(out) || strings.Contains(out, ann[2]) {
		t.Errorf("keys list: %d %s %s", code, out, errs)
	}
	if code, _, errs := do(t, env, "keys", "revoke", "AKIANOBODY"); code != 1 || !strings.Contains(errs, "AKIANOBODY") {
		t.Errorf("revoke of nobody: %d %s", code, errs)
	}

	// The key is shown once; one from the environment takes its place.
	r = start(t, []string{"MATCHYARD_ROOT_ACCESS_KEY_ID=MYROOTKEY", "MATCHYARD_ROOT_SECRET_ACCESS_KEY=a secret of my own making"}, "serve", "--config", file)
	if r.before != "" {
		t.Errorf("printed %q", r.before)
	}
	if _, err := client(r.find(`^ready (\S+)`), "MYROOTKEY", "a secret of my own making").ListFleets(t.Context(), &gamelift.ListFleetsInput{}); err != nil {
		t.Error(err)
	}
	if _, err := client(r.find(`^ready (\S+)`), key[1], key[2]).ListFleets(t.Context(), &gamelift.ListFleetsInput{}); err == nil {
		t.Error("the former root key is still taken")
	}
	r.stop()
}

func TestExitCodesAndReasons(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	aFile := write("file", "")
	free := []string{"--listen", "127.0.0.1:0", "--admin", "off"}
	with := func(args ...string) []string { return append(args, free...) }
	for _, c := range []struct {
		env    []string
		args   []string
		code   int
		stderr string // in its first line; "" means nothing at all on standard error
	}{
		{nil, []string{"version"}, 0, ""},
		{nil, []string{"--help"}, 0, ""},
		{nil, []string{"dev", "--help"}, 0, ""},
		{nil, []string{}, 2, "expected one of"},
		{nil, []string{"bogus"}, 2, "bogus"},
		{nil, []string{"dev", "--bogus"}, 2, "--bogus"},
		{nil, []string{"dev", "extra"}, 2, "extra"},
		{nil, []string{"dev", "--clock", "sundial"}, 2, "clock"},
		{nil, []string{"dev", "--region", "here"}, 2, "region: "},
		{nil, []string{"dev", "--account", "1"}, 2, "account: "},
		{nil, []string{"dev", "--listen", "0.0.0.0:0"}, 2, "listen: "},
		{nil, []string{"dev", "--data", dir, "--ephemeral"}, 2, "ephemeral: "},
		{[]string{"MATCHYARD_REGION=here"}, []string{"dev"}, 2, "region: "},
		{[]string{"MATCHYARD_PUBLIC=perhaps"}, []string{"dev"}, 2, "MATCHYARD_PUBLIC"},
		{nil, []string{"dev", "--config", write("unknown.yaml", "lisen: x")}, 2, "lisen"},
		{nil, []string{"dev", "--config", filepath.Join(dir, "none.yaml")}, 2, "none.yaml"},
		{nil, []string{"serve"}, 2, "store: "},
		{nil, []string{"serve", "--store", "sqlite:" + dir + "/db", "--clock", "manual"}, 2, "clock: "},
		{nil, []string{"keys"}, 2, "create"},
		{nil, []string{"keys", "list"}, 2, "store: "},
		{nil, []string{"dev", "--listen", busy.Addr().String(), "--admin", "off"}, 1, "listen: listen tcp " + busy.Addr().String()},
		{nil, []string{"dev", "--listen", "127.0.0.1:0", "--admin", busy.Addr().String()}, 1, "admin: "},
		{nil, with("dev", "--data", filepath.Join(aFile, "x")), 1, "data: "},
		{nil, with("serve", "--store", "postgres://nobody@127.0.0.1:1/none?connect_timeout=2"), 1, "connection refused"},
		{nil, with("dev", "--tls-cert", aFile, "--tls-key", aFile), 1, "certificate: "},
	} {
		code, out, errs := do(t, c.env, c.args...)
		first, rest, _ := strings.Cut(errs, "\n")
		if code != c.code || !strings.Contains(first, c.stderr) || c.stderr == "" && errs != "" {
			t.Errorf("%v %v: exit code %d, want %d; %q, want %q in it", c.env, c.args, code, c.code, errs, c.stderr)
		}
		if strings.Contains(out, "ready") {
			t.Errorf("%v: ready", c.args)
		}
		if c.code == 1 && (rest != "" || !strings.HasPrefix(first, "matchyard: ")) {
			t.Errorf("%v: more than one line, or not ours: %q", c.args, errs)
		}
	}
}

func TestAnUnwritableFolderIsSaid(t *testing.T) {
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("everything is writable for root")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	code, _, errs := do(t, nil, "dev", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "off")
	if code != 1 || !strings.Contains(errs, "permission denied") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestEveryCommandCanBeRun holds the commands to the forms of Run that are known.
func TestEveryCommandCanBeRun(t *testing.T) {
	var look func(n *cli.Node)
	seen := 0
	look = func(n *cli.Node) {
		for _, c := range n.Children {
			look(c)
		}
		if len(n.Children) > 0 {
			return
		}
		seen++
		if runnable(n.Target()) == nil {
			t.Errorf("%s: %T has no Run that is known", n.Name, n.Target())
		}
	}
	look(newLine().Root)
	if seen < 30 {
		t.Errorf("%d commands", seen)
	}
}

// TestFlagsAreTheFilesKeys holds the three names of a setting together: what the command line makes of
// a field, what the file calls it, and what the environment does.
func TestFlagsAreTheFilesKeys(t *testing.T) {
	_, help, _ := do(t, nil, "dev", "--help")
	words := strings.Join(strings.Fields(help), " ")
	for f := range reflect.TypeFor[config.Config]().Fields() {
		name := f.Tag.Get("yaml")
		if f.Tag.Get("cli") == "-" {
			continue
		}
		if !regexp.MustCompile(`--` + name + `[= ]`).MatchString(words) {
			t.Errorf("there is no flag --%s", name)
		}
		if !strings.Contains(words, "($"+config.EnvName(name)+")") {
			t.Errorf("the help does not name %s", config.EnvName(name))
		}
	}
}

// TestTheReferenceListsEverySetting holds docs/running.md to the configuration.
func TestTheReferenceListsEverySetting(t *testing.T) {
	text, err := os.ReadFile("../../docs/running.md")
	if err != nil {
		t.Fatal(err)
	}
	for f := range reflect.TypeFor[config.Config]().Fields() {
		name := f.Tag.Get("yaml")
		if name == "-" {
			continue
		}
		row := regexp.MustCompile(`(?m)^\|[^|]*` + "`" + name + "`" + `[^|]*\|([^|]*)\|`).FindSubmatch(text)
		if row == nil {
			t.Errorf("docs/running.md does not list %s", name)
			continue
		}
		if def := f.Tag.Get("default"); def != "" && !strings.Contains(string(row[1]), "`"+def+"`") {
			t.Errorf("docs/running.md: the default of %s is %s, not%s", name, def, row[1])
		}
	}
}
