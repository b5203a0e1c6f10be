// Command oldgo is a client of an SDK for Go from before it spoke CBOR. It does what
// standard input says, one JSON object a line, in the form that drivers/driver.py explains.
// It is a module of its own, since one program has one version of the SDK.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

type asked struct {
	ID       int            `json:"id"`
	Do       string         `json:"do"`
	Endpoint string         `json:"endpoint"`
	Keys     []string       `json:"keys"`
	Op       string         `json:"op"`
	Params   map[string]any `json:"params"`
}

type answered struct {
	ID         int                 `json:"id"`
	Result     map[string]any      `json:"result,omitempty"`
	Operations map[string][]string `json:"operations,omitempty"`
	Error      *callError          `json:"error,omitempty"`
}

func client(a asked) *gamelift.Client {
	a.Keys = append(a.Keys, "AKIDCONFORMANCE", "secret", "")
	return gamelift.New(gamelift.Options{
		Region:       "us-west-2",
		BaseEndpoint: &a.Endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider(a.Keys[0], a.Keys[1], a.Keys[2]),
		Retryer:      aws.NopRetryer{},
		HTTPClient:   wholeAnswers{http.DefaultClient},
	})
}

// wholeAnswers reads an answer to its end before the SDK sees it; conformance/client_test.go
// says why.
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

func answer(a asked) (b answered) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b.ID = a.ID
	if a.Do == "knows" {
		b.Operations = knows(client(a))
		return b
	}
	var err error
	if b.Result, err = callSDK(ctx, client(a), a.Op, a.Params); err != nil {
		b.Error = asCallError(err)
	}
	return b
}

// members lists the paths of a type's members, for knowing what an SDK can show.
func members(t reflect.Type, path string, inside map[reflect.Type]bool, into *[]string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() || inside[t] {
		return
	}
	inside[t] = true
	defer delete(inside, t)
	for f := range t.Fields() {
		if f.IsExported() && f.Name != "ResultMetadata" {
			name := strings.TrimPrefix(path+"."+f.Name, ".")
			*into = append(*into, name)
			members(f.Type, name, inside, into)
		}
	}
}

// knows lists the operations of an SDK client with the members of their outputs.
func knows(client any) map[string][]string {
	all := map[string][]string{}
	for m := range reflect.TypeOf(client).Methods() {
		if m.Type.NumIn() == 4 && m.Type.NumOut() == 2 {
			into := []string{}
			members(m.Type.Out(0), "", map[reflect.Type]bool{}, &into)
			all[m.Name] = into
		}
	}
	return all
}

func main() {
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]any{"client": "aws-sdk-go-v2/service/gamelift 1.30.3", "cbor": false}); err != nil {
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	var all sync.WaitGroup
	for lines.Scan() {
		var a asked
		line := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		line.UseNumber()
		if err := line.Decode(&a); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		all.Go(func() {
			b := answer(a)
			mu.Lock()
			defer mu.Unlock()
			_ = out.Encode(b)
		})
	}
	all.Wait()
}
