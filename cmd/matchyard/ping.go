package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/beacon"
	"github.com/matchyard/matchyard/internal/term"
)

// clientFlags say which server a command calls and with which key.
type clientFlags struct {
	Server string `default:"http://127.0.0.1:9170" placeholder:"URL" env:"AWS_ENDPOINT_URL_GAMELIFT" help:"The server's API (http://127.0.0.1:9170)."`
	Region string `default:"us-west-2" env:"AWS_REGION" help:"The server's region (us-west-2)."`
}

// client calls the server with the key of the environment, or, for a development server,
// which takes any, with one of no meaning.
func (c clientFlags) client() *gamelift.Client {
	id, secret := cmp.Or(os.Getenv("AWS_ACCESS_KEY_ID"), "development"), cmp.Or(os.Getenv("AWS_SECRET_ACCESS_KEY"), "development")
	return gamelift.New(gamelift.Options{
		Region: c.Region, BaseEndpoint: &c.Server,
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(id, secret, os.Getenv("AWS_SESSION_TOKEN"))),
	})
}

type pingCmd struct {
	clientFlags
	Beacons []string      `arg:"" optional:"" placeholder:"[LOCATION=]HOST[:PORT]" help:"Beacons. Default: those that the server's ListLocations names."`
	Count   int           `default:"20" env:"-" help:"Pings to each (20)."`
	Every   time.Duration `default:"200ms" env:"-" help:"Time from one ping to the next (200ms; beacons answer 20 a second)."`
	Timeout time.Duration `default:"1s" env:"-" help:"When a ping counts as lost (1s)."`
	Output  string        `short:"o" default:"table" enum:"table,json,latencies,player-latencies" env:"-" help:"table; json; latencies, as LatencyInMs of StartMatchmaking; player-latencies, as PlayerLatencies of StartGameSessionPlacement."`
	Player  string        `name:"player-id" env:"-" placeholder:"ID" help:"Whose latencies, for -o player-latencies."`
}

// measured is what became of one beacon.
type measured struct {
	Location, Endpoint string
	beacon.Result
	Error string
}

// Run measures all beacons at the same time. It fails when none answers.
func (p *pingCmd) Run(ctx context.Context, out *stdout) error {
	switch {
	case p.Count < 1 || p.Every <= 0 || p.Timeout <= 0:
		return usageError{errors.New("--count, --every and --timeout must be more than 0")}
	case (p.Output == "player-latencies") != (p.Player != ""):
		return usageError{errors.New("--player-id and -o player-latencies go together")}
	}
	list, err := p.beacons(ctx)
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	for i := range list {
		b := &list[i]
		group.Go(func() {
			r, err := beacon.Ping{Count: p.Count, Every: p.Every, Timeout: p.Timeout}.Do(ctx, b.Endpoint)
			if b.Result = r; err != nil {
				b.Error = err.Error()
			}
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	slices.SortFunc(list, fastestFirst)
	if err := p.print(out, list); err != nil {
		return err
	}
	if list[0].Answered == 0 {
		return errors.New("no beacon answers")
	}
	return nil
}

// fastestFirst orders by the median; those that do not answer come last.
func fastestFirst(a, b measured) int {
	silent := func(m measured) int { return min(1, max(0, 1-m.Answered)) }
	return cmp.Or(cmp.Compare(silent(a), silent(b)), cmp.Compare(a.P50, b.P50), cmp.Compare(a.Location, b.Location), cmp.Compare(a.Endpoint, b.Endpoint))
}

// beacons are those of the command line, or the server's.
func (p *pingCmd) beacons(ctx context.Context) (list []measured, err error) {
	for _, e := range p.Beacons {
		location, endpoint, named := strings.Cut(e, "=")
		if !named {
			location, endpoint = "", e
		}
		if named && location == "" || endpoint == "" {
			return nil, usageError{fmt.Errorf("%q is not [LOCATION=]HOST[:PORT]", e)}
		}
		if _, _, err := net.SplitHostPort(endpoint); err != nil {
			endpoint = net.JoinHostPort(strings.Trim(endpoint, "[]"), strconv.Itoa(beacon.Port))
		}
		list = append(list, measured{Location: location, Endpoint: endpoint})
	}
	if len(list) > 0 {
		return list, nil
	}
	api, err := p.api(ctx)
	if err != nil {
		return nil, err
	}
	pages := gamelift.NewListLocationsPaginator(api, &gamelift.ListLocationsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, l := range page.Locations {
			if b := l.PingBeacon; b != nil && b.UDPEndpoint != nil {
				at := net.JoinHostPort(aws.ToString(b.UDPEndpoint.Domain), strconv.Itoa(int(aws.ToInt32(b.UDPEndpoint.Port))))
				list = append(list, measured{Location: aws.ToString(l.LocationName), Endpoint: at})
			}
		}
	}
	if len(list) == 0 {
		return nil, errors.New("the server names no beacons")
	}
	return list, nil
}

func (p *pingCmd) print(out *stdout, list []measured) error {
	switch p.Output {
	case "json":
		lines := []pingLine{}
		for _, m := range list {
			lines = append(lines, m.line())
		}
		return term.JSON(out, lines)
	case "table":
		return table(list).Write(out)
	}
	latencies := map[string]int32{} // what is not positive is refused
	players := []playerLatency{}
	for _, m := range list {
		if m.Answered == 0 {
			_, _ = fmt.Fprintf(os.Stderr, "matchyard: %s: no answer of %s\n", term.Quote(m.Location), term.Quote(m.Endpoint))
			continue
		}
		if m.Location == "" {
			return usageError{fmt.Errorf("%s: latencies are of locations: write LOCATION=%s", m.Endpoint, m.Endpoint)}
		}
		if _, found := latencies[m.Location]; found {
			continue // the faster one was before
		}
		latencies[m.Location] = int32(min(math.MaxInt32, max(1, math.Round(ms(m.P50)))))
		players = append(players, playerLatency{p.Player, m.Location, float32(ms(m.P50))})
	}
	if p.Output == "player-latencies" {
		return json.NewEncoder(out).Encode(players)
	}
	return json.NewEncoder(out).Encode(latencies)
}

// playerLatency is a member of PlayerLatencies, by the names the API has.
type playerLatency struct {
	PlayerId              string
	RegionIdentifier      string
	LatencyInMilliseconds float32
}

// pingLine is a beacon as JSON; times are in milliseconds, and absent when nothing came back.
type pingLine struct {
	Location string   `json:"location,omitempty"`
	Endpoint string   `json:"endpoint"`
	Sent     int      `json:"sent"`
	Answered int      `json:"answered"`
	Min      *float64 `json:"minMs,omitempty"`
	P50      *float64 `json:"p50Ms,omitempty"`
	P95      *float64 `json:"p95Ms,omitempty"`
	Max      *float64 `json:"maxMs,omitempty"`
	Jitter   *float64 `json:"jitterMs,omitempty"`
	Loss     float64  `json:"loss"` // 0 to 1
	Error    string   `json:"error,omitempty"`
}

func (m measured) line() pingLine {
	l := pingLine{Location: m.Location, Endpoint: m.Endpoint, Sent: m.Sent, Answered: m.Answered, Loss: m.loss(), Error: m.Error}
	if m.Answered > 0 {
		l.Min, l.P50, l.P95, l.Max, l.Jitter = new(ms(m.Min)), new(ms(m.P50)), new(ms(m.P95)), new(ms(m.Max)), new(ms(m.Jitter))
	}
	return l
}

// loss is everything where not even a ping could be sent.
func (m measured) loss() float64 {
	if m.Answered == 0 {
		return 1
	}
	return m.Loss
}

func table(list []measured) *term.Table {
	head := []string{"LOCATION", "BEACON", "MIN#", "P50#", "P95#", "JITTER#", "LOSS#"}
	if slices.ContainsFunc(list, func(m measured) bool { return m.Error != "" }) {
		head = append(head, "ERROR")
	}
	t := term.New(head...)
	for _, m := range list {
		cells := []any{m.Location, m.Endpoint, "", "", "", "", fmt.Sprintf("%.1f %%", 100*m.loss()), m.Error}
		for i, d := range []time.Duration{m.Min, m.P50, m.P95, m.Jitter} {
			if m.Answered > 0 {
				cells[2+i] = fmt.Sprintf("%.2f ms", ms(d))
			}
		}
		t.Add(cells...)
	}
	return t
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
