// Package bototest lets a test ask the real botocore, in a Python process, what
// it makes of a token or of a sequence of pages. It knows how to talk to that
// process; what is compared is the test's affair.
package bototest

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
)

//go:embed driver.py
var driver string

// RequireEnv names the variable that turns a missing botocore from a skipped
// test into a failed one. CI, which continuous integration sets, does so too.
const RequireEnv = "MATCHYARD_REQUIRE_CLIENTS"

// Botocore is a running driver. It is not safe for concurrent use.
type Botocore struct {
	Version string
	in      io.Writer
	out     *bufio.Scanner
}

// Call is one request that botocore's paginator made.
type Call struct {
	NextToken *string
	Limit     *int32
}

// Config is boto's PaginationConfig. Nil members are left out.
type Config struct {
	MaxItems      *int    `json:",omitempty"`
	PageSize      *int    `json:",omitempty"`
	StartingToken *string `json:",omitempty"`
}

// Run asks for one run of a paginator over a stub service, which either cuts
// Items by the Limit it is sent (DefaultLimit without one; tokens are "t" and
// the offset), or serves the pages of Graph by token, "" being the first.
type Run struct {
	Operation    string                    `json:"operation"` // as get_paginator takes it
	Key          string                    `json:"key"`
	Items        []any                     `json:"items"`
	DefaultLimit int                       `json:"default_limit,omitempty"`
	Graph        map[string]map[string]any `json:"graph,omitempty"`
	Dates        []string                  `json:"dates,omitempty"` // members whose numbers are times
	Config       Config                    `json:"config"`
	Params       map[string]any            `json:"params,omitempty"`
	MaxCalls     int                       `json:"max_calls"`
	Search       string                    `json:"search,omitempty"`
	Full         bool                      `json:"full,omitempty"` // build_full_result
}

// Answer is what a run gave.
type Answer struct {
	Pages   [][]any
	Calls   []Call
	Error   *string
	Resume  *string
	Results []any          // of a search
	Full    map[string]any // of build_full_result
}

// Start starts Python with botocore for the length of the test, or skips the
// test and says loudly that nothing was compared.
func Start(t testing.TB) *Botocore {
	t.Helper()
	for _, python := range []string{os.Getenv("PYTHON"), "python3", "python", "/usr/bin/python3"} {
		if path, err := exec.LookPath(python); err == nil {
			if exec.CommandContext(t.Context(), path, "-c", "import boto3, botocore, jmespath").Run() == nil {
				return start(t, path)
			}
		}
	}
	const missing = "NOT COMPARED WITH BOTOCORE: no python3 with boto3 found (PYTHON can name one)"
	if os.Getenv(RequireEnv) != "" || os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return nil
}

func start(t testing.TB, python string) *Botocore {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "-c", driver)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // ends the driver's loop; the context kills it otherwise
		_ = cmd.Wait()
	})
	b := &Botocore{in: in, out: bufio.NewScanner(out)}
	b.out.Buffer(nil, 16<<20)
	var hello struct{ Botocore string }
	b.read(t, &hello)
	b.Version = hello.Botocore
	return b
}

// Run runs a paginator.
func (b *Botocore) Run(t testing.TB, r Run) Answer {
	t.Helper()
	var a Answer
	b.ask(t, struct {
		Ask string `json:"ask"`
		Run
	}{"run", r}, &a)
	return a
}

// Parsed is what botocore read in a starting token.
type Parsed struct {
	Token map[string]any
	Skip  json.RawMessage // as Python prints it: 2.0 is no count
	Error *string
}

// Parse has botocore read a starting token.
func (b *Botocore) Parse(t testing.TB, token string) Parsed {
	t.Helper()
	var p Parsed
	b.ask(t, map[string]string{"ask": "parse", "token": token}, &p)
	return p
}

// Encode has botocore write a resume token.
func (b *Botocore) Encode(t testing.TB, object json.RawMessage) string {
	t.Helper()
	var a struct{ Token string }
	b.ask(t, map[string]any{"ask": "encode", "object": object}, &a)
	return a.Token
}

// Paginators is botocore's own table of the service's paginators.
func (b *Botocore) Paginators(t testing.TB) map[string]map[string]any {
	t.Helper()
	var a map[string]map[string]any
	b.ask(t, map[string]string{"ask": "paginators"}, &a)
	return a
}

func (b *Botocore) ask(t testing.TB, question, answer any) {
	t.Helper()
	line, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	b.read(t, answer)
}

func (b *Botocore) read(t testing.TB, answer any) {
	t.Helper()
	if !b.out.Scan() {
		t.Fatalf("the botocore driver ended: %v", b.out.Err())
	}
	var failed struct {
		DriverError string `json:"driver_error"`
	}
	if json.Unmarshal(b.out.Bytes(), &failed) == nil && failed.DriverError != "" {
		t.Fatalf("the botocore driver failed: %s", failed.DriverError)
	}
	if err := json.Unmarshal(b.out.Bytes(), answer); err != nil {
		t.Fatalf("botocore driver said %q: %v", b.out.Bytes(), err)
	}
}
