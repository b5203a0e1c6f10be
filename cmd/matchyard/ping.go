package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/beacon"
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
	Endpoints []string      `arg:"" optional:"" placeholder:"HOST:PORT" help:"Beacons. Default: those that the server's ListLocations names."`
	Count     int           `default:"20" env:"-" help:"Pings to each (20)."`
	Every     time.Duration `default:"200ms" env:"-" help:"Time from one ping to the next (200ms; beacons answer 20 a second)."`
	Timeout   time.Duration `default:"1s" env:"-" help:"When a ping counts as lost (1s)."`
	Output    string        `short:"o" default:"table" enum:"table,json" env:"-" help:"table or json."`
}

// measured is one beacon's line.
type measured struct {
	Location string `json:"location,omitempty"`
	Endpoint string `json:"endpoint"`
	beacon.Result
	Error string `json:"error,omitempty"`
}

// Run measures all beacons at the same time. It fails when none answers.
func (p *pingCmd) Run(ctx context.Context, out *stdout) error {
	if p.Count < 1 || p.Every <= 0 || p.Timeout <= 0 {
		return usageError{errors.New("--count, --every and --timeout must be more than 0")}
	}
	beacons, err := p.beacons(ctx)
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	for i := range beacons {
		b := &beacons[i]
		group.Go(func() {
			r, err := beacon.Ping{Count: p.Count, Every: p.Every, Timeout: p.Timeout}.Do(ctx, b.Endpoint)
			if b.Result = r; err != nil {
				b.Error = err.Error()
			}
		})
	}
	group.Wait()
	if err := p.print(out, beacons); err != nil {
		return err
	}
	for _, b := range beacons {
		if b.Answered > 0 {
			return nil
		}
	}
	return errors.New("no beacon answers")
}

// beacons are those of the command line, or the server's.
func (p *pingCmd) beacons(ctx context.Context) (list []measured, err error) {
	for _, e := range p.Endpoints {
		if _, _, err := net.SplitHostPort(e); err != nil {
			e = net.JoinHostPort(e, strconv.Itoa(beacon.Port))
		}
		list = append(list, measured{Endpoint: e})
	}
	if len(list) > 0 {
		return list, nil
	}
	pages := gamelift.NewListLocationsPaginator(p.client(), &gamelift.ListLocationsInput{Filters: []types.LocationFilter{types.LocationFilterAws, types.LocationFilterCustom}})
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
	if p.Output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "LOCATION\tBEACON\tMIN\tP50\tP95\tJITTER\tLOSS\t")
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }
	for _, m := range list {
		if m.Answered == 0 {
			_, _ = fmt.Fprintf(table, "%s\t%s\t-\t-\t-\t-\t100 %%\t%s\n", cmp.Or(m.Location, "-"), m.Endpoint, m.Error)
			continue
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%.1f %%\t\n", cmp.Or(m.Location, "-"), m.Endpoint, ms(m.Min), ms(m.P50), ms(m.P95), ms(m.Jitter), 100*m.Loss)
	}
	return table.Flush()
}
