package testkit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/awsapi/codec"
	"github.com/matchyard/matchyard/internal/model"
)

// inJSON carries the requests of the SDK's client, which speaks CBOR only, in AWS JSON 1.1:
// it writes each anew, signs it again, and gives the answer back in CBOR. An answer that
// breaks the model's constraints is an error.
type inJSON struct {
	credentials aws.CredentialsProvider
	region      string
}

// Do is what gamelift.Options.HTTPClient asks for.
func (c *inJSON) Do(r *http.Request) (*http.Response, error) {
	name := path.Base(r.URL.Path)
	operation := model.Find(name)
	if operation == nil {
		return nil, fmt.Errorf("testkit: no operation in %s", r.URL)
	}
	in, out := structures(name)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	// What breaks the model's constraints travels all the same: to refuse it is the server's.
	if body, err = again(codec.PlanOf(in, operation.Input), codec.CBOR, codec.JSON, body, in); err != nil {
		if _, ok := errors.AsType[*codec.Invalid](err); !ok {
			return nil, err
		}
	}
	answer, err := c.send(r, name, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	back := []byte{}
	switch {
	case answer.StatusCode != http.StatusOK:
		var fault map[string]string
		if err := json.Unmarshal(text, &fault); err != nil {
			return nil, fmt.Errorf("testkit: %s: error %q: %w", name, text, err)
		}
		back = codec.AppendStrings(back, codec.CBOR, "__type", fault["__type"], "Message", fault["Message"], "message", fault["message"])
	case operation.Output != nil:
		if back, err = again(codec.PlanOf(out, operation.Output), codec.JSON, codec.CBOR, text, out); err != nil && !asReal(err) {
			return nil, fmt.Errorf("testkit: %s answered %s: %w", name, text, err)
		}
	}
	answer.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
	answer.Header.Set("Content-Type", "application/cbor")
	answer.Header.Del("Content-Length")
	answer.ContentLength = int64(len(back))
	answer.Body = io.NopCloser(bytes.NewReader(back))
	answer.Request = r
	return answer, nil
}

// asReal tells whether an answer breaks only those constraints that the real service's break
// too: the status of computes is "Active" and not the enum's "ACTIVE" (hosting.md 3.1).
func asReal(err error) bool {
	broken, ok := errors.AsType[*codec.Invalid](err)
	return ok && broken.More == 0 && !slices.ContainsFunc(broken.Failures, func(f string) bool {
		return !strings.HasPrefix(f, "Value 'Active' at ") || !strings.Contains(f, "omputeStatus'")
	})
}

// send signs and sends the JSON form of a request.
func (c *inJSON) send(r *http.Request, name string, body []byte) (*http.Response, error) {
	u := *r.URL
	u.Path, _, _ = strings.Cut(u.Path, "/service/")
	u.Path += "/"
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header.Set("Content-Type", "application/x-amz-json-1.1")
	out.Header.Set("X-Amz-Target", model.TargetPrefix+"."+name)
	for _, name := range []string{"Traceparent", "X-Amzn-Trace-Id"} {
		if v := r.Header.Get(name); v != "" {
			out.Header.Set(name, v)
		}
	}
	credentials, err := c.credentials.Retrieve(r.Context())
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, out, hex.EncodeToString(hash[:]), model.SigningName, c.region, time.Now()); err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(out)
}

// again reads a structure in one protocol and writes it in the other. With an error of
// broken constraints it returns the text all the same.
func again(p *codec.Plan, from, to codec.Protocol, text []byte, t reflect.Type) ([]byte, error) {
	v := reflect.New(t).Interface()
	err := p.Decode(from, text, v)
	return p.Append(nil, to, v), err
}

// structures are the input and output types of an operation.
func structures(operation string) (in, out reflect.Type) {
	m, ok := reflect.TypeFor[*gamelift.Client]().MethodByName(operation)
	if !ok {
		panic("testkit: the SDK has no operation " + operation)
	}
	return m.Type.In(2).Elem(), m.Type.Out(0).Elem()
}
