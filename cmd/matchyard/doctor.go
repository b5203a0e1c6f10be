package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/matchyard/matchyard/internal/doctor"
	"github.com/matchyard/matchyard/internal/term"
)

// doctorCmd says what is wrong between this machine and a server.
type doctorCmd struct {
	clientFlags
	Fleet  string `env:"-" placeholder:"FLEET" help:"A fleet to look at: its id, ARN or name."`
	Output string `short:"o" default:"table" enum:"table,json" env:"-" help:"table or json."`
}

// Run fails when a check does.
func (c *doctorCmd) Run(ctx context.Context, out *stdout) error {
	api, err := c.api(ctx)
	if err != nil {
		return err
	}
	url := c.Server
	if url == amazon {
		url = "https://gamelift." + c.Region + ".amazonaws.com"
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = false // an upgrade is one of HTTP 1
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	transport.TLSClientConfig = nil // the clone's offers HTTP 2, which a server would take
	d := doctor.Doctor{
		URL: url, Region: c.Region, Fleet: c.Fleet, API: api, Env: os.Getenv, Now: time.Now,
		HTTP: &http.Client{Transport: transport}, Dial: (&net.Dialer{}).DialContext,
	}
	results := []doctor.Result{}
	well := d.Check(ctx, func(r doctor.Result) {
		results = append(results, r)
		if c.Output == "table" {
			_, _ = fmt.Fprintf(out, "%-7s  %-11s  %s\n", r.State, r.Check, term.Quote(r.Said))
			if r.Do != "" {
				_, _ = fmt.Fprintf(out, "%-7s  %-11s  -> %s\n", "", "", term.Quote(r.Do))
			}
		}
	})
	if c.Output == "json" {
		if err := term.JSON(out, results); err != nil {
			return err
		}
	}
	if !well {
		return errors.New("something is wrong")
	}
	return nil
}
