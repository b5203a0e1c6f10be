package awsapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/model"
)

// protocols are the two ways to ask for an operation, by hand.
var protocols = []struct {
	name    string
	encode  func(testing.TB, any) []byte
	decode  func([]byte, any) error
	request func(op string, body []byte) *http.Request
}{
	{"json", inJSON, json.Unmarshal, func(op string, body []byte) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "GameLift."+op)
		return r
	}},
	{"cbor", inCBOR, cbor.Unmarshal, func(op string, body []byte) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/service/GameLift/operation/"+op, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/cbor")
		r.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
		r.Header.Set("Accept", "application/cbor")
		return r
	}},
}

// wireError is an error as clients find it.
type wireError struct {
	Type    string `json:"__type"`
	Message string `json:"Message"`
	Lower   string `json:"message"`
}

// readError reads an error's body strictly: all three keys, in text, and nothing else.
func readError(t testing.TB, decode func([]byte, any) error, body []byte) wireError {
	t.Helper()
	m := map[string]string{}
	if err := decode(body, &m); err != nil || len(m) != 3 {
		t.Fatalf("not an error's body: %v in %q", err, body)
	}
	return wireError{m["__type"], m["Message"], m["message"]}
}

func serve(s http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// requestID is the id of an answer. The header's spelling is AWS's, not the canonical one.
func requestID(w *httptest.ResponseRecorder) string {
	for name, id := range w.Header() {
		if name == "x-amzn-RequestId" && len(id) == 1 {
			return id[0]
		}
	}
	return ""
}

// recorder is a server of all 120 operations that keeps the last input.
type recorder struct {
	*awsapi.Server
	name string
	in   any
	out  any
	err  error
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	r := &recorder{}
	r.Server = &awsapi.Server{Auth: awsapi.Anyone{}, Logger: quiet, Operations: awsapi.AllOperations(t,
		func(_ context.Context, name string, in any) (any, error) {
			r.name, r.in = name, in
			return r.out, r.err
		})}
	return r
}

// TestValidInputs: what satisfies the model arrives, the least and the most of each
// operation, and is the same structure from both protocols.
func TestValidInputs(t *testing.T) {
	s := newRecorder(t)
	for _, o := range model.Operations {
		for _, full := range []bool{false, true} {
			tree := sample(t, o.Input, full)
			var got [2]any
			for i, p := range protocols {
				s.name, s.in = "", nil
				w := serve(s, p.request(o.Name, p.encode(t, tree)))
				if w.Code != http.StatusOK || s.name != o.Name {
					t.Errorf("%s in %s: status %d, %q for %v", o.Name, p.name, w.Code, w.Body, tree)
				}
				got[i] = s.in
			}
			if !reflect.DeepEqual(got[0], got[1]) {
				t.Errorf("%s: json %+v, cbor %+v", o.Name, got[0], got[1])
			}
			if set := countSet(reflect.ValueOf(got[0]).Elem()); full && set != len(o.Input.Members) {
				t.Errorf("%s: %d members arrived of %d", o.Name, set, len(o.Input.Members))
			}
		}
	}
}

func countSet(v reflect.Value) (n int) {
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() && !v.Field(i).IsZero() {
			n++
		}
	}
	return n
}

var sentences = regexp.MustCompile(`^\d+ validation errors? detected: Value `)

// TestEveryConstraintIsChecked breaks each constraint of each operation's input, one by one
// at all depths, and reads AWS's sentence about it, in both protocols.
func TestEveryConstraintIsChecked(t *testing.T) {
	s := newRecorder(t)
	members, total := map[string]bool{}, 0
	for _, o := range model.Operations {
		b := &breaker{t: t}
		b.breakAll(o.Input, sample(t, o.Input, true), "", "", func(v any) any { return v })
		for i, v := range b.found {
			members[v.member] = true
			if testing.Short() && i%8 != 0 {
				continue // the whole takes a minute with the race detector on a busy machine
			}
			for _, p := range protocols {
				total++
				s.name = ""
				w := serve(s, p.request(o.Name, p.encode(t, v.tree)))
				if w.Code != http.StatusBadRequest || s.name != "" {
					t.Errorf("%s in %s: %s: got status %d, want %s", o.Name, p.name, v.member, w.Code, v.sentence)
					continue
				}
				e := readError(t, p.decode, w.Body.Bytes())
				if e.Type != "InvalidRequestException" || e.Message != e.Lower || !sentences.MatchString(e.Message) || !strings.Contains(e.Message, v.sentence) {
					t.Errorf("%s in %s: %s:\ngot  %s: %.800s\nwant %s", o.Name, p.name, v.member, e.Type, e.Message, v.sentence)
				}
			}
		}
		if t.Failed() { // the rest would say the same again
			break
		}
	}
	required := 0
	for m := range members {
		if strings.HasSuffix(m, " required") {
			required++
		}
	}
	t.Logf("%d requests, %d constraints, %d required members", total, len(members), required)
	if required != 186 { // wire-protocol.md section 6
		t.Errorf("%d required members were left out once, the model has 186", required)
	}
}
