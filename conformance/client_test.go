package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/paginate"
)

// client is one of the AWS clients in one of the two protocols.
type client struct {
	name     string
	protocol string // "json" or "cbor"
	slow     bool   // a process for each call
	// oneNumber says that the language does not tell 25 from 25.0.
	oneNumber bool
	// noEmpty says that the SDK gives an empty list as none.
	noEmpty bool

	call func(t testing.TB, s *server, op string, params object) (object, *callError)
	// list pages through a listing; nil where the client has no paginator.
	list func(t testing.TB, s *server, op string, params object, p paging) (listing, *callError)
	// resumes says that list knows MaxItems and resume tokens inside a page.
	resumes bool
	knows   map[string][]string // members of each operation's output, nil for the newest model
}

// paging is boto3's PaginationConfig.
type paging struct {
	MaxItems      *int    `json:",omitempty"`
	PageSize      *int    `json:",omitempty"`
	StartingToken *string `json:",omitempty"`
}

// listing is what a paginator gave.
type listing struct {
	items  []any
	pages  int
	resume string // "" at the end
}

// clients are found or skipped by name. Those of a missing program are nil.
var clientNames = []string{"boto3 json", "boto3 cbor", "cli json", "cli cbor", "js json", "js cbor", "go cbor", "oldgo json"}

// eachClient runs f with each of the named clients, or with all but the slow ones.
func eachClient(t *testing.T, f func(t *testing.T, c *client), names ...string) {
	t.Helper()
	for _, name := range clientNames {
		if len(names) == 0 && strings.HasPrefix(name, "cli") || len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		t.Run(name, func(t *testing.T) { f(t, find(t, name)) })
	}
}

// required says whether a missing client fails a test instead of skipping it.
func required() bool { return os.Getenv("CI") != "" || os.Getenv("MATCHYARD_REQUIRE_CLIENTS") != "" }

// missing skips or fails a test that cannot run.
func missing(t testing.TB, what string, err error) {
	t.Helper()
	if required() && !errors.Is(err, errTooOld) {
		t.Fatalf("NOT RUN with %s: %v", what, err)
	}
	t.Skipf("NOT RUN with %s: %v", what, err)
}

var (
	clientsMu sync.Mutex
	found     = map[string]*client{}
)

// find makes a client or skips the test.
func find(t testing.TB, name string) *client {
	t.Helper()
	clientsMu.Lock()
	defer clientsMu.Unlock()
	if c := found[name]; c != nil {
		return c
	}
	kind, protocol, _ := strings.Cut(name, " ")
	c := &client{name: name, protocol: protocol}
	var err error
	switch kind {
	case "go":
		c.call, c.list, c.resumes, c.noEmpty = goCall, goList, true, true
	case "cli":
		err = c.cli(t)
	case "boto3":
		err = c.driven(t, botoDriver)
		c.resumes = true
	case "js":
		err = c.driven(t, jsDriver)
		c.oneNumber = true
	case "oldgo":
		err = c.driven(t, oldGoDriver)
		c.list = nil
	}
	if err != nil {
		missing(t, name, err)
	}
	found[name] = c
	return c
}

// driven makes the client of a driver.
func (c *client) driven(t testing.TB, start func() (*driver, error)) error {
	d, err := start()
	if err != nil {
		return err
	}
	if c.protocol == "cbor" && !d.CBOR {
		return fmt.Errorf("%w: %s speaks no CBOR", errTooOld, d.Client)
	}
	if c.name != "js json" && c.name != "js cbor" { // the JavaScript SDK is pinned to the newest model
		c.knows = d.ask(t, request{Do: "knows"}).Operations
	}
	c.call = func(t testing.TB, s *server, op string, params object) (object, *callError) {
		t.Helper()
		a := d.ask(t, request{Do: "call", Endpoint: s.url, Keys: s.keys(), Protocol: c.protocol, Op: op, Params: params})
		return a.Result, a.Error
	}
	c.list = func(t testing.TB, s *server, op string, params object, p paging) (listing, *callError) {
		t.Helper()
		a := d.ask(t, request{Do: "pages", Endpoint: s.url, Keys: s.keys(), Protocol: c.protocol, Op: op, Params: params, Config: &p, Key: resultKeys[op]})
		l := listing{pages: len(a.Pages), items: slices.Concat(a.Pages...)}
		if a.Resume != nil {
			l.resume = *a.Resume
		}
		return l, a.Error
	}
	return nil
}

// must calls and fails the test at an error.
func (c *client) must(t testing.TB, s *server, op string, params object) object {
	t.Helper()
	out, e := c.call(t, s, op, params)
	if e != nil {
		c.unknown(t, op, e)
		t.Fatalf("%s: %s %v: %+v", c.name, op, params, *e)
	}
	return out
}

// unknown skips a test that asks an old client for what its model does not have.
func (c *client) unknown(t testing.TB, op string, e *callError) {
	t.Helper()
	if c.knows != nil && c.knows["GetPlayerConnectionDetails"] == nil && strings.Contains(e.Message, "Unknown parameter in input") {
		t.Skipf("NOT RUN with %s: %v: %s has members that it does not know", c.name, errTooOld, op)
	}
}

// fails calls and returns the error, which must be there.
func (c *client) fails(t testing.TB, s *server, op string, params object) *callError {
	t.Helper()
	out, e := c.call(t, s, op, params)
	if e == nil {
		t.Fatalf("%s: %s %v gave no error but %v", c.name, op, params, out)
	}
	return e
}

// all pages through a whole listing.
func (c *client) all(t testing.TB, s *server, op string, params object, p paging) listing {
	t.Helper()
	l, e := c.list(t, s, op, params, p)
	if e != nil {
		t.Fatalf("%s: listing %s %v %s: %+v", c.name, op, params, show(p), *e)
	}
	return l
}

// shown cuts what is expected of the newest model down to what the client can show.
func (c *client) shown(op string, want object) object {
	if c.knows == nil {
		return want
	}
	return prune(want, "", c.knows[op])
}

func prune(want object, path string, known []string) object {
	kept := object{}
	for name, value := range want {
		here := strings.TrimPrefix(path+"."+name, ".")
		if !slices.Contains(known, here) {
			continue
		}
		switch v := value.(type) {
		case object:
			if _, time := v["$ms"]; !time {
				value = prune(v, here, known)
			}
		case []any:
			items := make([]any, len(v))
			for i, item := range v {
				if o, ok := item.(object); ok {
					item = prune(o, here, known)
				}
				items[i] = item
			}
			value = items
		}
		kept[name] = value
	}
	return kept
}

// same compares an answer with what is expected, to the kind of each number.
func (c *client) same(got, want any) bool {
	if c.noEmpty {
		got, want = withoutEmpty(got), withoutEmpty(want)
	}
	if c.oneNumber {
		got, want = floats(got), floats(want)
	}
	return reflect.DeepEqual(got, want)
}

func withoutEmpty(value any) any {
	o, ok := value.(object)
	if !ok {
		return value
	}
	all := object{}
	for name, member := range o {
		if list, ok := member.([]any); !ok || len(list) > 0 {
			all[name] = withoutEmpty(member)
		}
	}
	return all
}

func floats(value any) any {
	switch v := value.(type) {
	case object:
		all := object{}
		for name, member := range v {
			all[name] = floats(member)
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = floats(item)
		}
		return all
	case int64:
		return float64(v)
	}
	return value
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

// The Go SDK, in this process.

var goClients sync.Map // of *gamelift.Client by URL and credentials

func sdk(s *server) *gamelift.Client {
	key := [...]string{s.url, s.key, s.secret, s.token}
	if c, ok := goClients.Load(key); ok {
		return c.(*gamelift.Client)
	}
	c, _ := goClients.LoadOrStore(key, gamelift.New(gamelift.Options{
		Region:       "us-west-2",
		BaseEndpoint: &s.url,
		Credentials:  credentials.NewStaticCredentialsProvider(s.key, s.secret, s.token),
		Retryer:      aws.NopRetryer{},
		HTTPClient:   wholeAnswers{httpClient},
	}))
	return c.(*gamelift.Client)
}

// wholeAnswers reads an answer to its end before the SDK sees it. The SDK closes the request's
// body when the answer's header is there; net/http, should it still be looking whether that
// body has more, then takes the SDK's io.EOF for a failure and closes the connection under
// the answer (smithy-go 1.28.9, transport/http/internal/io/safe.go, WriteTo). A server on the
// same machine answers soon enough for that to happen.
type wholeAnswers struct{ *http.Client }

func (c wholeAnswers) Do(r *http.Request) (*http.Response, error) {
	answer, err := c.Client.Do(r)
	if err != nil {
		return answer, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

func goCall(t testing.TB, s *server, op string, params object) (object, *callError) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := callSDK(ctx, sdk(s), op, params)
	if err != nil {
		return nil, asCallError(err)
	}
	return out, nil
}

// goList pages with package paginate.
func goList(t testing.TB, s *server, op string, params object, p paging) (listing, *callError) {
	t.Helper()
	var o paginate.Options
	if p.MaxItems != nil {
		o.MaxItems = *p.MaxItems
	}
	if p.PageSize != nil {
		o.PageSize = int32(*p.PageSize)
	}
	if p.StartingToken != nil {
		o.StartingToken = *p.StartingToken
	}
	run := goListings[op]
	if run == nil {
		t.Fatalf("paginate has no %s", op)
	}
	l, err := run(sdk(s), params, o)
	if err != nil {
		return listing{}, asCallError(err)
	}
	return l, nil
}

type goListing func(api paginate.API, params object, o paginate.Options) (listing, error)

func goPages[In, Out, Item any](op paginate.Op[In, Out, Item]) (name, key string, run goListing) {
	return op.Name(), op.ResultKey(), func(api paginate.API, params object, o paginate.Options) (listing, error) {
		in := new(In)
		text, err := json.Marshal(given(params))
		if err != nil {
			return listing{}, err
		}
		if err := json.Unmarshal(text, in); err != nil {
			return listing{}, err
		}
		it, err := paginate.New(op, api, in, o)
		if err != nil {
			return listing{}, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var l listing
		for page, err := range it.Pages(ctx) {
			if err != nil {
				return listing{}, err
			}
			l.pages++
			items := reflect.ValueOf(page).Elem().FieldByName(op.ResultKey())
			for i := range items.Len() {
				l.items = append(l.items, plain(items.Index(i)))
			}
		}
		l.resume, _ = it.ResumeToken()
		return l, nil
	}
}

var goListings, resultKeys = func() (map[string]goListing, map[string]string) {
	runs, keys := map[string]goListing{}, map[string]string{}
	add := func(name, key string, run goListing) { runs[name], keys[name] = run, key }
	add(goPages(paginate.DescribeFleetAttributes))
	add(goPages(paginate.DescribeFleetCapacity))
	add(goPages(paginate.DescribeFleetEvents))
	add(goPages(paginate.DescribeFleetLocationAttributes))
	add(goPages(paginate.DescribeFleetUtilization))
	add(goPages(paginate.DescribeGameSessionDetails))
	add(goPages(paginate.DescribeGameSessions))
	add(goPages(paginate.DescribeMatchmakingConfigurations))
	add(goPages(paginate.DescribeMatchmakingRuleSets))
	add(goPages(paginate.DescribePlayerSessions))
	add(goPages(paginate.ListAliases))
	add(goPages(paginate.ListCompute))
	add(goPages(paginate.ListFleets))
	add(goPages(paginate.ListLocations))
	add(goPages(paginate.SearchGameSessions))
	return runs, keys
}()

// The AWS CLI.

func (c *client) cli(t testing.TB) error {
	program, err := awsCLI()
	if err != nil {
		return err
	}
	boto, err := botoDriver() // writes the overlay, and knows the model that CLI 1 shares
	if err != nil {
		return err
	}
	env := quietEnvironment("AWS_MAX_ATTEMPTS=1")
	version, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if err != nil {
		return err
	}
	one := bytes.HasPrefix(version, []byte("aws-cli/1."))
	if c.protocol == "cbor" {
		if !one || !boto.CBOR {
			return fmt.Errorf("%w: %s takes no other model", errTooOld, bytes.TrimSpace(version))
		}
		env = append(env, "AWS_DATA_PATH="+overlay)
	}
	c.slow, c.resumes = true, true
	c.knows = boto.ask(t, request{Do: "knows"}).Operations
	config := filepath.Join(filepath.Dir(overlay), "aws.config")
	if err := os.WriteFile(config, []byte("[default]\ncli_timestamp_format = iso8601\noutput = json\n"), 0o600); err != nil {
		return err
	}
	env = append(env, "AWS_CONFIG_FILE="+config)

	run := func(s *server, op string, params object, args ...string) (object, *callError) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		args = append([]string{"gamelift", dashed(op), "--endpoint-url", s.url, "--cli-input-json", show(params)}, args...)
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = env
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, cliError(stderr.String(), err)
		}
		answer := object{}
		if len(bytes.TrimSpace(out)) > 0 {
			if err := decode(out, &answer); err != nil {
				return nil, &callError{Message: err.Error()}
			}
		}
		return times(answer).(object), nil
	}
	c.call = func(t testing.TB, s *server, op string, params object) (object, *callError) {
		t.Helper()
		if _, paged := resultKeys[op]; paged {
			return run(s, op, params, "--no-paginate")
		}
		return run(s, op, params)
	}
	c.list = func(t testing.TB, s *server, op string, params object, p paging) (listing, *callError) {
		t.Helper()
		var args []string
		if p.MaxItems != nil {
			args = append(args, "--max-items", strconv.Itoa(*p.MaxItems))
		}
		if p.PageSize != nil {
			args = append(args, "--page-size", strconv.Itoa(*p.PageSize))
		}
		if p.StartingToken != nil {
			args = append(args, "--starting-token", *p.StartingToken)
		}
		out, e := run(s, op, params, args...)
		if e != nil {
			return listing{}, e
		}
		var l listing
		l.items, _ = out[resultKeys[op]].([]any)
		l.resume, _ = out["NextToken"].(string)
		return l, nil
	}
	return nil
}

// dashed is an operation's name as the CLI and boto3 divide it into words.
func dashed(op string) string {
	op = strings.ReplaceAll(op, "EC2", "Ec2") + "$"
	words := regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(strings.TrimSuffix(op, "$"), "$1-$2")
	return strings.ToLower(words)
}

var cliErrors = regexp.MustCompile(`An error occurred \((\w+)\) when calling the \w+ operation(?: \(reached max retries: \d+\))?: (?s)(.*)`)

func cliError(stderr string, err error) *callError {
	e := &callError{Message: strings.TrimSpace(stderr)}
	if m := cliErrors.FindStringSubmatch(stderr); m != nil {
		e.Code, e.Class, e.Message = m[1], m[1], strings.TrimSpace(m[2])
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() < 2 {
		e.Message = fmt.Sprintf("%v: %s", err, e.Message)
	}
	return e
}

var isoTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

// times finds the times in the CLI's output.
func times(value any) any {
	switch v := value.(type) {
	case object:
		for name, member := range v {
			v[name] = times(member)
		}
	case []any:
		for i, item := range v {
			v[i] = times(item)
		}
	case string:
		if isoTime.MatchString(v) {
			if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
				return object{"$ms": milliseconds(t)}
			}
		}
	}
	return value
}

func TestTheTwoGoProgramsCallAlike(t *testing.T) {
	ours, err := os.ReadFile("call_test.go")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("oldgo/call.go")
	if err != nil {
		t.Fatal(err)
	}
	_, a, _ := bytes.Cut(ours, []byte("\n"))
	_, b, _ := bytes.Cut(theirs, []byte("\n"))
	if !bytes.Equal(a, b) {
		t.Error("conformance/call_test.go and conformance/oldgo/call.go differ below their first line")
	}
}
