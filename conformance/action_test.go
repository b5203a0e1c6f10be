package conformance

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/goccy/go-yaml"
)

// action is the GitHub Action as a runner sees it: its scripts, run in order, in an
// environment of their own.
type action struct {
	t        *testing.T
	temp     string // RUNNER_TEMP
	releases string
}

func newAction(t *testing.T) *action {
	t.Helper()
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("the action is for Linux and macOS")
	}
	a := &action{t: t, temp: t.TempDir(), releases: t.TempDir()}
	a.release("0.9.0")
	t.Cleanup(a.stop)
	return a
}

// release makes a release of the program under test, as .goreleaser.yaml names its files.
func (a *action) release(version string) {
	a.t.Helper()
	folder := filepath.Join(a.releases, "v"+version)
	name := fmt.Sprintf("matchyard_%s_%s_%s.tar.gz", version, runtime.GOOS, runtime.GOARCH)
	must := func(err error) {
		a.t.Helper()
		if err != nil {
			a.t.Fatal(err)
		}
	}
	must(os.Mkdir(folder, 0o755))
	archive, err := os.Create(filepath.Join(folder, name))
	must(err)
	program, err := os.ReadFile(matchyard)
	must(err)
	sum := sha256.New()
	packed, err := gzip.NewWriterLevel(io.MultiWriter(archive, sum), gzip.NoCompression)
	must(err)
	files := tar.NewWriter(packed)
	must(files.WriteHeader(&tar.Header{Name: "matchyard", Mode: 0o755, Size: int64(len(program))}))
	_, err = files.Write(program)
	must(err)
	must(files.Close())
	must(packed.Close())
	must(archive.Close())
	must(os.WriteFile(filepath.Join(folder, "checksums.txt"), fmt.Appendf(nil, "%x  %s\n", sum.Sum(nil), name), 0o644))
}

// step runs one of the scripts, and returns what it printed.
func (a *action) step(script string, env ...string) (string, error) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "../deploy/github-action/"+script)
	c.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + a.temp, "RUNNER_TEMP=" + a.temp, "MATCHYARD_RELEASES=file://" + a.releases,
		"GITHUB_PATH=" + filepath.Join(a.temp, "path"), "GITHUB_ENV=" + filepath.Join(a.temp, "env"), "GITHUB_OUTPUT=" + filepath.Join(a.temp, "output"),
	}, env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// file reads what the steps wrote into GITHUB_ENV and the like.
func (a *action) file(name string) map[string]string {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.temp, name))
	if err != nil {
		a.t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
	}
	return values
}

// stop is the end of the job.
func (a *action) stop() {
	text, err := os.ReadFile(filepath.Join(a.temp, "matchyard/pid"))
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
		eventually(a.t, "the server is gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
	}
}

// zombie tells whether a process ended but nobody asked, as in containers without an init.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestGitHubAction(t *testing.T) {
	a := newAction(t)
	if out, err := a.step("install.sh", "ACTION_REF=v0.9.0"); err != nil || !strings.Contains(out, ": OK") {
		t.Fatalf("install: %v\n%s", err, out)
	}
	if path := a.file("path"); len(path) != 1 {
		t.Errorf("the PATH gains %v", path)
	}
	out, err := a.step("start.sh", "INPUT_LISTEN=127.0.0.1:0", "INPUT_ADMIN=127.0.0.1:0", "INPUT_ARGS=--clock manual --beacon off", "AWS_REGION=eu-west-1")
	if err != nil || !strings.Contains(out, "clock=manual") {
		t.Fatalf("start: %v\n%s", err, out)
	}
	env, output := a.file("env"), a.file("output")
	for key, want := range map[string]string{
		"AWS_ENDPOINT_URL_GAMELIFT": output["url"], "GAMELIFT_SDK_WEBSOCKET_URL": output["websocket-url"], "MATCHYARD_LOG": output["log"],
		"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
	} {
		if env[key] != want || want == "" {
			t.Errorf("%s is %q, want %q", key, env[key], want)
		}
	}
	if !strings.HasPrefix(output["admin-url"], "http://127.0.0.1:") {
		t.Errorf("the outputs are %v", output)
	}

	// A later step: an SDK that knows only the environment.
	for key, value := range env {
		t.Setenv(key, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, err := gamelift.NewFromConfig(cfg).CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: new("custom-ci")})
	if err != nil || !strings.Contains(*made.Location.LocationArn, ":eu-west-1:") {
		t.Errorf("a later step: %v, %v", made, err)
	}
}

func TestGitHubActionLeavesTheJobsOwnKeys(t *testing.T) {
	t.Parallel()
	a := newAction(t)
	if out, err := a.step("install.sh", "INPUT_VERSION=0.9.0"); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	if out, err := a.step("start.sh", "INPUT_LISTEN=127.0.0.1:0", "INPUT_ADMIN=127.0.0.1:0", "INPUT_ARGS=--beacon off", "AWS_ACCESS_KEY_ID=AKIAJOB"); err != nil {
		t.Fatalf("start: %v\n%s", err, out)
	}
	if env := a.file("env"); env["AWS_SECRET_ACCESS_KEY"] != "" || env["AWS_REGION"] != "us-west-2" {
		t.Errorf("the environment gains %v", env)
	}
}

func TestGitHubActionSaysWhatFails(t *testing.T) {
	t.Parallel()
	a := newAction(t)
	if out, err := a.step("install.sh", "INPUT_VERSION=v0.8.0"); err == nil || !strings.Contains(out, "::There is no release v0.8.0") {
		t.Errorf("a release that is not there: %v\n%s", err, out)
	}
	if out, err := a.step("install.sh", "INPUT_VERSION=v0.9.0"); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	if out, err := a.step("start.sh", "INPUT_ARGS=--clock sundial"); err == nil || !strings.Contains(out, "::The server ended at its start") || !strings.Contains(out, "sundial") {
		t.Errorf("a server that does not start: %v\n%s", err, out)
	}

	sums := filepath.Join(a.releases, "v0.9.0/checksums.txt")
	text, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sums, append([]byte("0123456789abcdef"), text[16:]...), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := a.step("install.sh", "INPUT_VERSION=v0.9.0"); err == nil || !strings.Contains(out, "is not what checksums.txt says") {
		t.Errorf("an archive that is another: %v\n%s", err, out)
	}
}

// TestGitHubActionFile holds action.yml to its scripts: each input is declared and handed
// on, each output is one that a script writes.
func TestGitHubActionFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Inputs  map[string]any
		Outputs map[string]struct{ Value string }
		Runs    struct {
			Steps []struct {
				Run string
				Env map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var scripts strings.Builder
	used := map[string]bool{}
	for _, step := range file.Runs.Steps {
		script, err := os.ReadFile(".." + strings.TrimSuffix(strings.TrimPrefix(step.Run, `"$GITHUB_ACTION_PATH`), `"`))
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(script)
		for name, value := range step.Env {
			if !strings.Contains(string(script), "${"+name) {
				t.Errorf("%s reads no %s", step.Run, name)
			}
			for _, m := range regexp.MustCompile(`inputs\.([\w-]+)`).FindAllStringSubmatch(value, -1) {
				used[m[1]] = true
			}
		}
	}
	for input := range file.Inputs {
		if !used[input] {
			t.Errorf("input %s is handed on to no script", input)
		}
		delete(used, input)
	}
	for input := range used {
		t.Errorf("input %s is not declared", input)
	}
	for output := range file.Outputs {
		if !strings.Contains(scripts.String(), `echo "`+output+"=") {
			t.Errorf("output %s is written by no script", output)
		}
	}
}
