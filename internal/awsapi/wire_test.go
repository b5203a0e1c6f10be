package awsapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/awsapi/codec"
	"github.com/matchyard/matchyard/internal/model"
)

// capture is one file of testdata/wire; its README says where they come from.
type capture struct {
	file string

	Client, Version, Case string // of requests
	Operation             string // of responses
	Protocol              string
	Method, Path          string
	Status                int
	Headers               [][2]string
	Body                  []byte            `json:"body_base64"`
	AcceptedBy            map[string]string `json:"accepted_by"`
}

func captures(t *testing.T, pattern string) (all []capture) {
	t.Helper()
	files, err := filepath.Glob("testdata/wire/" + pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := capture{file: filepath.Base(file)}
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, c)
	}
	return all
}

func (c *capture) request() *http.Request {
	r := httptest.NewRequest(c.Method, c.Path, bytes.NewReader(c.Body))
	for _, h := range c.Headers {
		if h[0] == "Host" {
			r.Host = h[1]
		}
		r.Header.Add(h[0], h[1])
	}
	return r
}

func (c *capture) cbor() bool { return strings.Contains(c.Protocol, "cbor") }

// operation is the one a captured request asks for.
func (c *capture) operation() string {
	for _, h := range c.Headers {
		if name, ok := strings.CutPrefix(h[1], "GameLift."); ok && strings.EqualFold(h[0], "X-Amz-Target") {
			return name
		}
	}
	return c.Path[strings.LastIndexByte(c.Path, '/')+1:]
}

// TestCapturedRequests replays what real clients sent. Each arrives whole: what was decoded
// says the same as the body does to other decoders. And it arrives equal, whichever client
// and protocol it came by.
func TestCapturedRequests(t *testing.T) {
	all := captures(t, "[abgj]*.json")
	if len(all) != 90 {
		t.Fatalf("%d captures, want 90", len(all))
	}
	s := newRecorder(t)
	first := map[string]capture{}
	inputs := map[string]any{}
	for _, c := range all {
		s.name, s.in = "", nil
		w := serve(s, c.request())
		if w.Code != http.StatusOK || s.name != c.operation() {
			t.Errorf("%s: status %d, operation %q: %s", c.file, w.Code, s.name, w.Body)
			continue
		}
		checkWhole(t, c, s.in)
		if c.Client == "aws-cli" {
			continue // its captures have fewer members than the same cases of the others
		}
		in := wholeSeconds(s.in)
		if other, seen := first[c.Case]; !seen {
			first[c.Case], inputs[c.Case] = c, in
		} else if !reflect.DeepEqual(in, inputs[c.Case]) {
			t.Errorf("%s is not %s:\n%+v\n%+v", c.file, other.file, in, inputs[c.Case])
		}
	}
}

// wholeSeconds cuts the times of an input, which Python sends in whole seconds.
func wholeSeconds(in any) any {
	for _, f := range reflect.ValueOf(in).Elem().Fields() {
		if f.Type() == reflect.TypeFor[*time.Time]() && !f.IsNil() {
			at := f.Interface().(*time.Time)
			*at = at.Truncate(time.Second)
		}
	}
	return in
}

// checkWhole compares the trees that a decoder of the standard library's or fxamacker's
// makes of the captured body and of our own encoding of the decoded input.
func checkWhole(t *testing.T, c capture, in any) {
	t.Helper()
	plan := codec.PlanOf(reflect.TypeOf(in).Elem(), model.Find(c.operation()).Input)
	p, tree := codec.JSON, jsonTree
	if c.cbor() {
		p, tree = codec.CBOR, cborTree
	}
	if sent, got := tree(t, c.Body), tree(t, plan.Append(nil, p, in)); !reflect.DeepEqual(sent, got) {
		t.Errorf("%s: sent %v, arrived %v", c.file, sent, got)
	}
}

// jsonTree and cborTree read a body into plain values, in which all numbers are floats:
// JavaScript sends whole floats as integers, and single floats as double ones.
func jsonTree(t *testing.T, body []byte) any {
	t.Helper()
	if len(body) == 0 {
		return nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return v
}

func cborTree(t *testing.T, body []byte) any {
	t.Helper()
	if len(body) == 0 {
		return nil
	}
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := mode.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %x", err, body)
	}
	return floats(v)
}

func floats(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = floats(e)
		}
	case []any:
		for i, e := range v {
			v[i] = floats(e)
		}
	case uint64:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		return float64(float32(v)) // latencies; no capture has a double that this harms
	case time.Time:
		return v.UnixMilli()
	}
	return v
}

// TestCapturedResponses makes the server say what the captured responses say, which real
// clients were seen to accept, and compares status, headers and content.
func TestCapturedResponses(t *testing.T) {
	all := captures(t, "server-*.json")
	if len(all) != 22 {
		t.Fatalf("%d captures, want 22", len(all))
	}
	s := newRecorder(t)
	for _, c := range all {
		o := model.Find(c.Operation)
		proto, tree := protocols[0], jsonTree
		if c.cbor() {
			proto, tree = protocols[1], cborTree
		}
		want := tree(t, c.Body)
		s.out, s.err = nil, nil
		switch {
		case c.Status != http.StatusOK:
			e := want.(map[string]any)
			// A bare name is what every client understands; some captures have an absolute one.
			e["__type"] = e["__type"].(string)[strings.IndexByte(e["__type"].(string), '#')+1:]
			s.err = capturedError(e["__type"].(string), e["message"].(string))
		case o.Output != nil:
			s.out = decodedOutput(t, c, o)
		}
		if strings.Contains(c.file, "modelled-elsewhere") {
			continue // what the operation does not declare is never sent: TestErrorsThatAreNotDeclared
		}
		w := serve(s, proto.request(c.Operation, proto.encode(t, sample(t, o.Input, false))))
		body := w.Body.Bytes()
		if o.Output == nil && !c.cbor() { // clients take an empty body and "{}", we send "{}"
			if string(body) != "{}" {
				t.Errorf("%s: body %q, want {}", c.file, body)
			}
			body = nil
		}
		if got := tree(t, body); w.Code != c.Status || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %d %v, want %d %v", c.file, w.Code, got, c.Status, want)
		}
		for _, h := range c.Headers {
			got := w.Header()[http.CanonicalHeaderKey(h[0])]
			switch h[0] {
			case "Content-Length":
				if fmt.Sprint(got) != fmt.Sprintf("[%d]", w.Body.Len()) {
					t.Errorf("%s: Content-Length %v of %d bytes", c.file, got, w.Body.Len())
				}
			case "x-amzn-RequestId":
				if id := w.Header()[h[0]]; len(id) != 1 || len(id[0]) != len(h[1]) {
					t.Errorf("%s: %s %v", c.file, h[0], id)
				}
			default:
				if len(got) != 1 || got[0] != h[1] {
					t.Errorf("%s: header %s: got %q, want %q", c.file, h[0], got, h[1])
				}
			}
		}
	}
}

// decodedOutput reads a captured response into the SDK's structure.
func decodedOutput(t *testing.T, c capture, o *model.Operation) any {
	t.Helper()
	_, typ := awsapi.SDKTypes(t, o.Name)
	out := reflect.New(typ).Interface()
	p := codec.JSON
	if c.cbor() {
		p = codec.CBOR
	}
	if err := codec.PlanOf(typ, o.Output).Decode(p, c.Body, out); err != nil {
		t.Fatalf("%s: %v", c.file, err)
	}
	return out
}

func capturedError(code, message string) error {
	if e := newException(code, message); e != nil {
		return e
	}
	return &apierr.Error{Code: code, Message: message, Status: http.StatusBadRequest}
}
