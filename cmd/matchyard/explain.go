package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/placement"
)

// explainCmd asks a running server, at its admin address.
type explainCmd struct {
	Placement explainPlacementCmd `cmd:"" help:"Tell why a placement went as it did, and what would have worked."`
	Ticket    explainTicketCmd    `cmd:"" help:"Tell why a matchmaking ticket waits or timed out, and what would have matched it."`
}

type explainPlacementCmd struct {
	ID string `arg:"" help:"The placement's id."`
	explainFlags
}

func (c *explainPlacementCmd) Run(ctx context.Context, out *stdout) error {
	return explain[placement.Explanation](ctx, out, c.explainFlags, "placement", c.ID)
}

type explainTicketCmd struct {
	ID string `arg:"" help:"The ticket's id."`
	explainFlags
}

func (c *explainTicketCmd) Run(ctx context.Context, out *stdout) error {
	return explain[matchmaking.Explanation](ctx, out, c.explainFlags, "ticket", c.ID)
}

type explainFlags struct {
	Admin string `default:"127.0.0.1:9171" placeholder:"HOST:PORT" help:"The server's admin address. Default: 127.0.0.1:9171."`
	JSON  bool   `name:"json" env:"-" help:"Print JSON."`
}

// explainTime is how long the server may take.
const explainTime = 30 * time.Second

// adminURL takes the admin address as the ready line has it, too.
func adminURL(address string) string {
	if strings.Contains(address, "://") {
		return strings.TrimSuffix(address, "/")
	}
	return "http://" + address
}

// explain prints the explanation of a thing, which has the type E.
func explain[E fmt.Stringer](ctx context.Context, out *stdout, c explainFlags, kind, id string) error {
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	text, err := ask(ctx, adminURL(c.Admin)+"/explain/"+kind+"/"+url.PathEscape(id))
	if err != nil {
		return err
	}
	if c.JSON {
		_, err := out.Write(text)
		return err
	}
	var e E
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("the answer of %s: %w", c.Admin, err)
	}
	_, err = fmt.Fprint(out, e)
	return err
}

// ask reads a JSON page of an admin address.
func ask(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, usageError{err}
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	var refusal struct {
		Error string `json:"error"`
	}
	switch {
	case answer.StatusCode == http.StatusOK:
		return text, nil
	case json.Unmarshal(text, &refusal) == nil && refusal.Error != "":
		return nil, fmt.Errorf("%s", refusal.Error)
	}
	return nil, fmt.Errorf("%s: %s", url, answer.Status)
}
