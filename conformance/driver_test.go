package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// object is a request or an answer in plain form: a time is {"$ms": int64}, an integer an
// int64, another number a float64.
type object = map[string]any

// driver is a client in another language: a process that does what it is told, one JSON
// object a line. It is safe for concurrent use.
type driver struct {
	Client string // name and version
	CBOR   bool   // it can speak CBOR

	cmd *exec.Cmd
	in  io.WriteCloser
	log *tail

	mu      sync.Mutex
	last    int
	waiting map[int]chan []byte
	ended   bool
}

// request is a line to a driver.
type request struct {
	ID       int    `json:"id"`
	Do       string `json:"do"`
	Endpoint string `json:"endpoint,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Keys     []any  `json:"keys,omitempty"`
	Op       string `json:"op,omitempty"`
	Params   object `json:"params,omitempty"`
	// Service is gamelift unless it is said.
	Service string `json:"service,omitempty"`
	// Attempts is how often boto3 tries; 0 for once.
	Attempts int `json:"attempts,omitempty"`
	// Unchecked keeps botocore from checking the parameters itself.
	Unchecked bool `json:"unchecked,omitempty"`

	Config *paging `json:"config,omitempty"`
	Key    string  `json:"key,omitempty"`
	Search string  `json:"search,omitempty"`
	Full   bool    `json:"full,omitempty"`
}

// reply is a line from a driver.
type reply struct {
	Result     object
	Pages      [][]any
	Found      []any
	Resume     *string
	Calls      []object
	Operations map[string][]string
	Declared   map[string][]string // the exceptions of each operation
	Violations []violation
	Error      *callError
}

// violation is a request that breaks one constraint of the model.
type violation struct {
	Op, Path, Says string
	Params         object
}

var (
	errMissing = errors.New("not installed")
	errTooOld  = errors.New("too old") // what a distribution has may be
)

func startDriver(name string, args ...string) (*driver, error) {
	d := &driver{log: &tail{}, waiting: map[int]chan []byte{}}
	d.cmd = exec.Command(name, args...)
	d.cmd.Stderr = d.log
	d.cmd.Env = quietEnvironment()
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %w", errMissing, err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), d) != nil {
		_ = d.in.Close()
		_ = d.cmd.Wait()
		return nil, fmt.Errorf("%w: %s said %q: %s", errMissing, name, lines.Text(), d.log)
	}
	go d.listen(lines)
	driversMu.Lock()
	defer driversMu.Unlock()
	drivers = append(drivers, d)
	return d, nil
}

func (d *driver) listen(lines *bufio.Scanner) {
	for lines.Scan() {
		var head struct{ ID int }
		if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
			_, _ = d.log.Write(append(lines.Bytes(), '\n'))
			continue
		}
		d.mu.Lock()
		if c := d.waiting[head.ID]; c != nil {
			c <- bytes.Clone(lines.Bytes())
			delete(d.waiting, head.ID)
		}
		d.mu.Unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	for _, c := range d.waiting {
		close(c)
	}
}

// ask sends a request and waits for its answer.
func (d *driver) ask(t testing.TB, r request) reply {
	t.Helper()
	c := make(chan []byte, 1)
	d.mu.Lock()
	d.last++
	r.ID = d.last
	line, err := json.Marshal(r)
	if err != nil {
		d.mu.Unlock()
		t.Fatal(err)
	}
	if d.ended {
		d.mu.Unlock()
		t.Fatalf("%s has ended\n%s", d.Client, d.log)
	}
	d.waiting[r.ID] = c
	_, err = d.in.Write(append(line, '\n'))
	d.mu.Unlock()
	if err != nil {
		t.Fatalf("%s: %v\n%s", d.Client, err, d.log)
	}
	var text []byte
	select {
	case text = <-c:
	case <-time.After(2 * time.Minute):
	}
	if text == nil {
		t.Fatalf("%s does not answer %s\n%s", d.Client, line, d.log)
	}
	var a reply
	if err := decode(text, &a); err != nil {
		t.Fatalf("%s answers %s: %v", d.Client, text, err)
	}
	return a
}

var (
	driversMu sync.Mutex
	drivers   []*driver
)

func stopDrivers() {
	driversMu.Lock()
	defer driversMu.Unlock()
	for _, d := range drivers {
		_ = d.in.Close() // ends their loops
		late := time.AfterFunc(10*time.Second, func() { _ = d.cmd.Process.Kill() })
		_ = d.cmd.Wait()
		late.Stop()
	}
}

// The drivers, started at their first use.
var (
	botoDriver = sync.OnceValues(func() (*driver, error) {
		var why error
		for _, python := range []string{os.Getenv("PYTHON"), "python3", "python", "/usr/bin/python3"} {
			if python == "" {
				continue
			}
			d, err := startDriver(python, "drivers/driver.py", overlay)
			if err == nil {
				return d, nil
			}
			why = errors.Join(why, err)
		}
		return nil, why
	})
	jsDriver = sync.OnceValues(func() (*driver, error) {
		return startDriver("node", "drivers/driver.mjs", "../.cache/node")
	})
	oldGoDriver = sync.OnceValues(func() (*driver, error) { return startDriver(oldgo) })
	awsCLI      = sync.OnceValues(func() (string, error) {
		for _, aws := range []string{"aws", "/usr/bin/aws"} {
			cmd := exec.CommandContext(context.Background(), aws, "--version")
			cmd.Env = quietEnvironment()
			if err := cmd.Run(); err == nil {
				return aws, nil
			}
		}
		return "", fmt.Errorf("%w: no aws that runs", errMissing)
	})
)

// quietEnvironment is ours without settings that would change what AWS clients do.
func quietEnvironment(more ...string) []string {
	var env []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "AWS_") && !strings.HasPrefix(setting, "GAMELIFT_") && !strings.HasPrefix(setting, "MATCHYARD_") {
			env = append(env, setting)
		}
	}
	return append(append(env,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_DEFAULT_REGION=us-west-2", "AWS_REGION=us-west-2", "AWS_ACCESS_KEY_ID=AKIDCONFORMANCE", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_PAGER=", "PYTHONIOENCODING=utf-8", "TZ=UTC",
	), more...)
}

// decode reads JSON with integers as int64 and other numbers as float64.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	switch into := into.(type) {
	case *reply:
		for _, o := range append([]object{into.Result}, into.Calls...) {
			numbers(o)
		}
		for _, page := range into.Pages {
			numbers(page)
		}
		numbers(into.Found)
		for i := range into.Violations {
			numbers(into.Violations[i].Params)
		}
	case *object:
		numbers(*into)
	}
	return nil
}

// numbers turns json.Number into int64 or float64, in place, and returns the value.
func numbers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = numbers(member)
		}
	case []any:
		for i, item := range v {
			v[i] = numbers(item)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return value
}
