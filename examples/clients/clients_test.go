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
}

func clients(t *testing.T) []client {
	t.Helper()
	built := filepath.Join(t.TempDir(), "players")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", built, "./go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
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
			name: "Python", command: []string{"python3", "python/players.py"}, region: "AWS_DEFAULT_REGION", resumes: true,
			missing: needs("python3", "-c", "import boto3"),
		},
		{
			name: "JavaScript", command: []string{"node", "javascript/players.js"}, region: "AWS_REGION",
			missing: needs("node", "-e", "require.resolve('@aws-sdk/client-gamelift', {paths: ['javascript']})"),
		},
		{
			name: "CLI", command: []string{"sh", "cli/players.sh"}, region: "AWS_REGION",
			missing: needs("aws", "--version"),
		},
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
			if missing := c.missing(); missing != "" {
				t.Skip("NOT RUN, not installed: " + missing)
			}
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
				for _, missing := range []string{first.missing(), second.missing()} {
					if missing != "" {
						t.Skip("NOT RUN, not installed: " + missing)
					}
				}
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
