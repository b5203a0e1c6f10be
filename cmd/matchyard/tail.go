package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/matchyard/matchyard/internal/gateway"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/term"
)

const (
	tailRetry   = time.Second
	tailSilence = 45 * time.Second // the server says something every ten
	tailPartial = 8 << 10          // bytes of a line that is not waited for
)

// errNoTail says that the server has no logs of game sessions that run: Amazon's has none.
var errNoTail = errors.New("this server shows no logs of game sessions that run")

// live prints the log of a game session that runs: what there is, or with --follow until its
// game server has ended. The error is errNoTail, a *host.NoTail, or final.
func (l *logsCmd) live(ctx context.Context, out io.Writer) error {
	p := &tailPrinter{out: out, raw: l.Raw, files: map[string]*printedFile{}, told: map[string]bool{}, named: map[string]bool{}}
	if !l.Raw {
		p.out = term.Plain(out)
	}
	for {
		err := l.stream(ctx, p)
		again := errors.Is(err, errTailBroken)
		if none, ok := errors.AsType[*host.NoTail](err); ok && none.Code == host.TailAway && l.Follow {
			p.once(none.Text)
			again = true
		}
		if !again || !l.Follow && p.last != "" {
			return errors.Join(err, p.rest())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tailRetry):
		}
	}
}

// errTailBroken says that the stream ended and may be opened again.
var errTailBroken = errors.New("the connection to the server broke")

// stream is one connection. It returns nil when the log is over, or, without --follow, when
// all that there was is printed.
func (l *logsCmd) stream(ctx context.Context, p *tailPrinter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, err := l.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	silence := time.AfterFunc(tailSilence, cancel)
	defer silence.Stop()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 4<<20)
	kind := ""
	for lines.Scan() {
		silence.Reset(tailSilence)
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			kind = value
		case "data":
			var e tailed
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				return fmt.Errorf("the server's answer: %w", err)
			}
			over, err := p.take(kind, e, l.Follow)
			if err != nil || over {
				return err
			}
		}
	}
	return errTailBroken
}

// open asks for the log, from where it was read to.
func (l *logsCmd) open(ctx context.Context, p *tailPrinter) (*http.Response, error) {
	if l.Server == amazon {
		return nil, errNoTail
	}
	q := url.Values{"session": {l.Session}, "last": {strconv.FormatInt(l.Last, 10)}}
	if l.Raw {
		q.Set("raw", "1")
	}
	if from := p.positions(); len(from) > 0 {
		text, err := json.Marshal(from)
		if err != nil {
			return nil, err
		}
		q.Set("from", string(text))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(l.Server, "/")+gateway.TailPath+"?"+strings.ReplaceAll(q.Encode(), "+", "%20"), http.NoBody)
	if err != nil {
		return nil, err
	}
	// Servers want these signed: so the signature says what it is for.
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "GameLift.GetGameSessionLogUrl")
	c := l.client().Options()
	keys, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if err := v4.NewSigner().SignHTTP(ctx, keys, r, nothing, "gamelift", c.Region, time.Now()); err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		if ctx.Err() != nil || p.last == "" {
			return nil, err
		}
		return nil, errTailBroken
	}
	if answer.StatusCode == http.StatusOK && strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	var why struct{ Code, Message string }
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&why); err != nil || why.Code == "" || why.Message == "" {
		return nil, errNoTail
	}
	return nil, &host.NoTail{Code: host.NoTailCode(why.Code), Text: why.Message}
}

// tailed is an event of the stream.
type tailed struct {
	File, Gen, Text, Mark, Why, Words string
	Data                              []byte
	Next                              int64
	Files                             []hostmsg.TailFile
}

// tailPrinter prints the lines of several files as they come, each after its name when it is
// another's than the line before. What is not of the log goes to standard error.
type tailPrinter struct {
	out   io.Writer
	raw   bool
	files map[string]*printedFile
	last  string // the file of the last line
	told  map[string]bool
	named map[string]bool // files there are
}

type printedFile struct {
	hostmsg.TailPosition
	line []byte // the beginning of one
}

func (p *tailPrinter) positions() (list []hostmsg.TailPosition) {
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		list = append(list, p.files[name].TailPosition)
	}
	return list[max(0, len(list)-64):]
}

// take prints an event, and tells whether it is the last.
func (p *tailPrinter) take(kind string, e tailed, follow bool) (over bool, err error) {
	switch kind {
	case "text":
		return false, p.text(e)
	case "files":
		for _, f := range e.Files {
			if f.Note != "" {
				p.once(f.Name + " " + f.Note)
			} else {
				p.named[f.Name] = true
			}
		}
	case "mark":
		if e.Mark == string(hostmsg.TailCurrent) {
			return !follow, nil
		}
		if f := p.files[e.File]; f != nil {
			if err := p.print(f); err != nil {
				return false, err
			}
		}
		p.say(strings.TrimPrefix(e.File+": "+e.Words, ": "))
	case "end":
		switch e.Why {
		case "restart":
			return false, errTailBroken
		case string(hostmsg.TailMany), "denied":
			return true, errors.New(e.Words)
		case string(hostmsg.TailUnknown):
			if p.last == "" {
				return true, &host.NoTail{Code: host.TailEnded, Text: e.Words}
			}
		}
		if err := p.rest(); err != nil {
			return true, err
		}
		p.say(e.Words)
		return true, nil
	}
	return false, nil
}

func (p *tailPrinter) text(e tailed) error {
	f := p.files[e.File]
	if f == nil {
		f = &printedFile{}
		p.files[e.File] = f
	}
	f.TailPosition = hostmsg.TailPosition{File: e.File, Gen: e.Gen, Offset: e.Next}
	f.line = append(append(f.line, e.Text...), e.Data...)
	end := strings.LastIndexByte(string(f.line), '\n') + 1
	if len(f.line)-end > tailPartial {
		end = len(f.line)
	}
	whole := f.line[:end]
	f.line = append([]byte(nil), f.line[end:]...)
	return p.write(f, whole)
}

// print prints the beginning of a line whose end does not come.
func (p *tailPrinter) print(f *printedFile) error {
	line := f.line
	f.line = nil
	if len(line) == 0 {
		return nil
	}
	return p.write(f, append(line, '\n'))
}

func (p *tailPrinter) rest() error {
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if err := p.print(p.files[name]); err != nil {
			return err
		}
	}
	return nil
}

func (p *tailPrinter) write(f *printedFile, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if f.File != p.last && len(p.named) > 1 {
		if _, err := fmt.Fprintf(p.out, "==> %s <==\n", term.Quote(f.File)); err != nil {
			return err
		}
	}
	p.last = f.File
	_, err := p.out.Write(text)
	return err
}

// once says what is said again and again.
func (p *tailPrinter) once(text string) {
	if !p.told[text] {
		p.told[text] = true
		p.say(text)
	}
}

func (p *tailPrinter) say(text string) {
	_, _ = fmt.Fprintln(term.Plain(os.Stderr), "matchyard:", text)
}
