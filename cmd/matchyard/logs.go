package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/term"
)

// logsCmd prints what a game server wrote, or writes, in a game session.
type logsCmd struct {
	clientFlags
	Session string        `arg:"" help:"The game session's id, as matchyard ps shows it."`
	Follow  bool          `short:"f" env:"-" help:"Follow the log until its game server has ended. Where that cannot be, wait until the log is there."`
	Last    int64         `default:"65536" env:"-" help:"How many bytes of the end of each file come first, of a game session that runs (65536, 524288 at most)."`
	Timeout time.Duration `default:"24h" env:"-" help:"How long to follow or wait (24h)."`
	Raw     bool          `env:"-" help:"Print bytes as they are, those that a terminal acts on too."`
}

const (
	logPoll     = 2 * time.Second
	logUploaded = 2 * time.Minute // after the end of the game session, an agent has done so
	largestLog  = 4 << 30
)

func (l *logsCmd) Run(ctx context.Context, out *stdout) error {
	c, err := l.api(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	url, err := l.find(ctx, c, out)
	if err != nil || url == "" {
		return err
	}
	file, err := download(ctx, url)
	if err != nil {
		return fmt.Errorf("the log's download: %w", err)
	}
	defer func() { _, _ = file.Close(), os.Remove(file.Name()) }()
	var to io.Writer = out
	if !l.Raw {
		to = term.Plain(out)
	}
	return printZip(to, file)
}

// find is the URL of the log, or why there is none; "" when it was printed while it was
// written.
func (l *logsCmd) find(ctx context.Context, c *gamelift.Client, out io.Writer) (string, error) {
	ended := time.Time{} // when it was first seen to be over
	live := true         // as long as that was not tried
	for {
		described, err := c.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{GameSessionId: &l.Session})
		if err != nil {
			return "", err
		}
		if len(described.GameSessions) == 0 {
			return "", fmt.Errorf("there is no game session %s", term.Quote(l.Session))
		}
		g := described.GameSessions[0]
		over := g.Status == types.GameSessionStatusTerminated || g.Status == types.GameSessionStatusError
		if !over && live {
			live = false
			err := l.live(ctx, out)
			none, _ := errors.AsType[*host.NoTail](err)
			if !errors.Is(err, errNoTail) && (none == nil || none.Code != host.TailEnded) {
				return "", err
			}
		}
		switch {
		case over:
			url, err := l.stored(ctx, c, &ended)
			if err != nil || url != "" {
				return url, err
			}
		case !l.Follow:
			return "", fmt.Errorf("the game session is %s; its log is on %s (%s), where the game server writes it. With -f, this waits for its end", g.Status,
				term.Quote(aws.ToString(g.ComputeName)), address(g.IpAddress, g.Port))
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(logPoll):
		}
	}
}

// stored is the URL of the log of a game session that has ended, or "" when it may yet come.
func (l *logsCmd) stored(ctx context.Context, c *gamelift.Client, ended *time.Time) (string, error) {
	said, err := c.GetGameSessionLogUrl(ctx, &gamelift.GetGameSessionLogUrlInput{GameSessionId: &l.Session})
	if err == nil && aws.ToString(said.PreSignedUrl) != "" {
		return *said.PreSignedUrl, nil
	}
	if ended.IsZero() {
		*ended = time.Now()
	}
	last := !l.Follow || time.Since(*ended) > logUploaded
	api, ok := errors.AsType[smithy.APIError](err)
	switch {
	case err != nil && !ok:
		return "", err
	case err != nil && last:
		return "", errors.New(api.ErrorMessage())
	case last:
		return "", errors.New("the game session has no log")
	}
	return "", nil
}

// download is a temporary file of what a URL gives.
func download(ctx context.Context, url string) (*os.File, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	f, err := os.CreateTemp("", "matchyard-log-")
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(f, io.LimitReader(answer.Body, largestLog+1))
	if err == nil && n > largestLog {
		err = fmt.Errorf("it has more than %s", amount(largestLog))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// printZip prints the files of an archive; of several, each after its name.
func printZip(out io.Writer, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return fmt.Errorf("the log: %w", err)
	}
	var files []*zip.File
	for _, f := range archive.File {
		if f.Mode().IsRegular() {
			files = append(files, f)
		}
	}
	for _, f := range files {
		if len(files) > 1 {
			if _, err := fmt.Fprintf(out, "==> %s <==\n", term.Quote(f.Name)); err != nil {
				return err
			}
		}
		if err := printFile(out, f); err != nil {
			return fmt.Errorf("%s in the log: %w", term.Quote(f.Name), err)
		}
	}
	if len(files) == 0 {
		return errors.New("the log has no files")
	}
	return nil
}

func printFile(out io.Writer, f *zip.File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(r, largestLog))
	return errors.Join(err, r.Close())
}
