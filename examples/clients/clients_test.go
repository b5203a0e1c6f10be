package clients_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi"
)

const gameSession = "arn:aws:gamelift:us-west-2::gamesession/fleet-0a1b2c3d-1111-4222-8333-444455556666/gsess-1"

// describe answers from seven made-up players, pages of three unless asked.
func describe(_ context.Context, in *gamelift.DescribePlayerSessionsInput) (*gamelift.DescribePlayerSessionsOutput, error) {
	if in.GameSessionId == nil || *in.GameSessionId != gameSession {
		return nil, apierr.NotFound("no game session")
	}
	start, limit := 0, 3
	if in.NextToken != nil {
		token, err := base64.StdEncoding.DecodeString(*in.NextToken)
		if err != nil {
			return nil, apierr.InvalidRequest("NextToken")
		}
		start = int(binary.BigEndian.Uint16(token[1:]))
	}
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	out := &gamelift.DescribePlayerSessionsOutput{PlayerSessions: []types.PlayerSession{}}
	for i := start; i < min(start+limit, 7); i++ {
		out.PlayerSessions = append(out.PlayerSessions, types.PlayerSession{
			PlayerSessionId: new(fmt.Sprintf("psess-%d", i)),
			PlayerId:        new(fmt.Sprintf("ann%d", i)),
			Status:          types.PlayerSessionStatusActive,
			CreationTime:    new(time.UnixMilli(1714979289123)),
			IpAddress:       new("192.0.2.7"),
			Port:            new(int32(7777)),
		})
	}
	if start+limit < 7 {
		out.NextToken = new(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint16([]byte{0xff}, uint16(start+limit))))
	}
	return out, nil
}

// lines is what a client prints for players from to before.
func lines(from, before int) (want []string) {
	for i := from; i < before; i++ {
		want = append(want, fmt.Sprintf("psess-%d\tann%d\tACTIVE\t192.0.2.7\t7777", i, i))
	}
	return want
}

// client is one of the examples and what it needs.
type client struct {
	name       string
	command    []string
	flagsFirst bool          // the game session comes after the flags
	missing    func() string // says what is not installed, if anything
	region     string        // the variable its documentation sets
	resumes    bool          // has a total of items and tokens inside a page
	old        string        // says why the installed version is too old, if it is
}

func clients(t *testing.T) []client {
	t.Helper()
	built := filepath.Join(t.TempDir(), "players")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", built, "./go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	script := withPackages(t)
	needs := func(args ...string) func() string {
		return func() string {
			if err := exec.CommandContext(t.Context(), args[0], args[1:]...).Run(); err != nil {
				return strings.Join(args, " ") + ": " + err.Error()
			}
			return ""
		}
	}
	return []client{
		{
			name: "Go", command: []string{built}, flagsFirst: true, region: "AWS_REGION", resumes: true,
			missing: func() string { return "" },
		},
		{
			name: "Python", command: []string{python(t), "python/players.py"}, region: "AWS_DEFAULT_REGION", resumes: true,
			missing: needs(python(t), "-c", "import boto3"), old: oldBoto(t),
		},
		{
			name: "JavaScript", command: []string{"node", script}, region: "AWS_REGION",
			missing: needs("node", "-e", "require.resolve('@aws-sdk/client-gamelift', {paths: [process.argv[1]]})", filepath.Dir(script)),
		},
		{
			name: "CLI", command: []string{"sh", "cli/players.sh"}, region: "AWS_REGION",
			missing: needs("aws", "--version"), old: oldCLI(t),
		},
	}
}

// withPackages is the script of the JavaScript client beside the packages it imports: those
// of `npm install` in its folder, or else those of scripts/install-test-tools.sh.
func withPackages(t *testing.T) (script string) {
	t.Helper()
	if _, err := os.Stat("javascript/node_modules"); err == nil {
		return "javascript/players.js"
	}
	dir := t.TempDir()
	for _, name := range []string{"players.js", "package.json"} {
		text, err := os.ReadFile(filepath.Join("javascript", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := filepath.Abs("../../.cache/node/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "players.js")
}

// python is a Python that has boto3, if there is one: scripts/install-test-tools.sh looks in
// the same places.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("PYTHON"), "python3", "python", "/usr/bin/python3"} {
		if name != "" && exec.CommandContext(t.Context(), name, "-c", "import boto3").Run() == nil {
			return name
		}
	}
	return "python3"
}

// The endpoint in the environment is known to botocore since 1.31 and to the CLI since
// 1.29 and 2.13; what a distribution has may be older, and would ask Amazon.

func oldBoto(t *testing.T) string {
	t.Helper()
	return tooOld(t, 1, 31, python(t), "-c", "import botocore; print('botocore/' + botocore.__version__)")
}

func oldCLI(t *testing.T) string {
	t.Helper()
	if old := tooOld(t, 1, 29, "aws", "--version"); old != "" {
		return old
	}
	return tooOld(t, 2, 13, "aws", "--version")
}

// tooOld looks at the first name/major.minor that a command prints, and objects to one of
// that major version with a smaller minor.
func tooOld(t *testing.T, major, minor int, command ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).Output()
	if err != nil {
		return "" // not installed
	}
	var has [2]int
	version, _, _ := strings.Cut(string(out), " ")
	_, numbers, _ := strings.Cut(version, "/")
	if _, err := fmt.Sscanf(numbers, "%d.%d", &has[0], &has[1]); err != nil {
		t.Fatalf("%v printed %q: %v", command, out, err)
	}
	if has[0] == major && has[1] < minor {
		return strings.TrimSpace(version) + " knows no endpoint in the environment"
	}
	return ""
}

// require skips a test without a client, or fails it where all clients must be.
func require(t *testing.T, c client) {
	t.Helper()
	missing := c.missing()
	switch {
	case c.old != "":
		t.Skip("NOT RUN: " + c.old)
	case missing == "":
	case os.Getenv("CI") != "" || os.Getenv("MATCHYARD_REQUIRE_CLIENTS") != "":
		t.Fatal("NOT RUN, not installed: " + missing)
	default:
		t.Skip("NOT RUN, not installed: " + missing)
	}
}

// Each client, unmodified but for the endpoint in its environment, lists the players.
func TestClientsListThePlayers(t *testing.T) {
	server := httptest.NewServer(&awsapi.Server{Auth: awsapi.Anyone{}, Operations: []awsapi.Operation{awsapi.Op(describe)}})
	defer server.Close()

	run := func(t *testing.T, c client, flags ...string) []string {
		t.Helper()
		args := append([]string{gameSession}, flags...)
		if c.flagsFirst {
			args = append(slices.Clone(flags), gameSession)
		}
		cmd := exec.CommandContext(t.Context(), c.command[0], append(slices.Clone(c.command[1:]), args...)...)
		cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL_GAMELIFT="+server.URL, c.region+"=us-west-2",
			"AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
		cmd.Stderr = t.Output()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", cmd.Args, err)
		}
		return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	}

	all := clients(t)
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			require(t, c)
			for _, size := range []string{"", "1", "2", "100"} {
				var flags []string
				if size != "" {
					flags = []string{"--page-size", size}
				}
				if got := run(t, c, flags...); !slices.Equal(got, lines(0, 7)) {
					t.Errorf("page size %q: got %q", size, got)
				}
			}
		})
	}

	// A listing begun by one client is finished by the other.
	for _, first := range all {
		for _, second := range all {
			if !first.resumes || !second.resumes {
				continue
			}
			t.Run(first.name+" then "+second.name, func(t *testing.T) {
				require(t, first)
				require(t, second)
				got := run(t, first, "--max-items", "4")
				last := len(got) - 1
				token, ok := strings.CutPrefix(got[last], "next\t")
				if !ok || !slices.Equal(got[:last], lines(0, 4)) {
					t.Fatalf("got %q", got)
				}
				if got := run(t, second, "--starting-token", token); !slices.Equal(got, lines(4, 7)) {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}
