package awsapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/awsapi/codec"
	"github.com/matchyard/matchyard/internal/model"
)

// exceptions are the SDK's types of all exceptions of the model.
var exceptions = []smithy.APIError{
	&types.ConflictException{}, &types.FleetCapacityExceededException{}, &types.GameSessionFullException{},
	&types.IdempotentParameterMismatchException{}, &types.InternalServiceException{}, &types.InvalidFleetStatusException{},
	&types.InvalidGameSessionStatusException{}, &types.InvalidRequestException{}, &types.LimitExceededException{},
	&types.NotFoundException{}, &types.NotReadyException{}, &types.OutOfCapacityException{}, &types.TaggingFailedException{},
	&types.TerminalRoutingStrategyException{}, &types.UnauthorizedException{}, &types.UnsupportedRegionException{},
}

// newException makes an exception of the model, or nil.
func newException(code, message string) error {
	for _, e := range exceptions {
		if e.ErrorCode() == code {
			v := reflect.New(reflect.TypeOf(e).Elem())
			v.Elem().FieldByName("Message").Set(reflect.ValueOf(&message))
			return v.Interface().(error)
		}
	}
	return nil
}

// inProcess is the SDK's HTTP client without a network.
type inProcess struct{ http.Handler }

func (h inProcess) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Body = new(bytes.Buffer)
	if r.Body == nil {
		r.Body = io.NopCloser(strings.NewReader(""))
	}
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// sdk calls operations by name through the real client.
type sdk struct{ client *gamelift.Client }

func newSDK(h http.Handler) sdk {
	return sdk{gamelift.New(gamelift.Options{
		BaseEndpoint: new("http://matchyard.test"),
		Region:       "us-west-2",
		HTTPClient:   inProcess{h},
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})}
}

func (s sdk) call(t testing.TB, name string, in any) (out any, err error) {
	t.Helper()
	got := reflect.ValueOf(s.client).MethodByName(name).Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.ValueOf(in)})
	err, _ = reflect.TypeAssert[error](got[1])
	return got[0].Interface(), err
}

// input makes an operation's structure out of a sample, by the codec that other tests hold
// to other decoders.
func input(t testing.TB, o *model.Operation, full bool) any {
	t.Helper()
	r := newRecorder(t)
	if w := serve(r, protocols[0].request(o.Name, inJSON(t, sample(t, o.Input, full)))); w.Code != http.StatusOK {
		t.Fatalf("%s: %s", o.Name, w.Body)
	}
	return r.in
}

// TestDeclaredExceptions: every exception that an operation declares reaches the real SDK as
// its own type with its text, and the wire in the form all clients read.
func TestDeclaredExceptions(t *testing.T) {
	s := newRecorder(t)
	client := newSDK(s)
	n := 0
	for i := range model.Operations {
		o := &model.Operations[i]
		in := input(t, o, false)
		for _, code := range o.Errors {
			n++
			s.err = fmt.Errorf("wrapped: %w", newException(code, "the text of "+code))
			_, err := client.call(t, o.Name, in)
			typed := reflect.New(reflect.TypeOf(newException(code, "")))
			if !errors.As(err, typed.Interface()) {
				t.Errorf("%s: %s reached the SDK as %v", o.Name, code, err)
				continue
			}
			if got := typed.Elem().Interface().(smithy.APIError).ErrorMessage(); got != "the text of "+code {
				t.Errorf("%s: %s has the text %q", o.Name, code, got)
			}
			status := http.StatusBadRequest
			if code == "InternalServiceException" {
				status = http.StatusInternalServerError
			}
			for _, p := range protocols {
				w := serve(s, p.request(o.Name, p.encode(t, sample(t, o.Input, false))))
				e := readError(t, p.decode, w.Body.Bytes())
				if w.Code != status || e != (wireError{code, "the text of " + code, "the text of " + code}) {
					t.Errorf("%s in %s: %s: got %d %+v", o.Name, p.name, code, w.Code, e)
				}
			}
		}
	}
	t.Logf("%d exceptions of %d operations", n, len(model.Operations))
}

// TestErrorsThatAreNotDeclared: what an operation does not declare becomes something a
// caller can match, and the log says what it was.
func TestErrorsThatAreNotDeclared(t *testing.T) {
	s := newRecorder(t)
	var log bytes.Buffer
	s.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	client := newSDK(s)
	for i := range model.Operations {
		o := &model.Operations[i]
		in := input(t, o, false)
		for _, e := range exceptions {
			if o.Declares(e.ErrorCode()) {
				continue
			}
			log.Reset()
			s.err = newException(e.ErrorCode(), "why")
			_, err := client.call(t, o.Name, in)
			want := "InvalidRequestException"
			if e.ErrorCode() == "UnauthorizedException" {
				want = "AccessDeniedException"
			}
			got, ok := errors.AsType[smithy.APIError](err)
			if !ok || got.ErrorCode() != want || got.ErrorMessage() != "why" {
				t.Errorf("%s: %s reached the SDK as %v, want %s", o.Name, e.ErrorCode(), err, want)
			}
			if !strings.Contains(log.String(), `"undeclared exception"`) || !strings.Contains(log.String(), e.ErrorCode()) {
				t.Errorf("%s: %s: the log says %s", o.Name, e.ErrorCode(), log.String())
			}
		}
	}
}

// TestFrameworkErrors: the errors the model does not know keep their code and status.
func TestFrameworkErrors(t *testing.T) {
	s := newRecorder(t)
	throttled, _ := errors.AsType[*apierr.Error](apierr.Throttled())
	for _, want := range []*apierr.Error{
		{Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token", Status: 400},
		{Code: "IncompleteSignatureException", Message: "no", Status: 400},
		{Code: "UnrecognizedClientException", Message: "The security token included in the request is invalid.", Status: 400},
		{Code: "InvalidSignatureException", Message: "no", Status: 400},
		{Code: "ExpiredTokenException", Message: "no", Status: 400},
		{Code: "AccessDeniedException", Message: "no", Status: 400},
		throttled,
	} {
		s.err = fmt.Errorf("wrapped: %w", want)
		for _, p := range protocols {
			w := serve(s, p.request("ListFleets", nil))
			if e := readError(t, p.decode, w.Body.Bytes()); w.Code != want.Status || e != (wireError{want.Code, want.Message, want.Message}) {
				t.Errorf("%s in %s: got %d %+v", want.Code, p.name, w.Code, e)
			}
		}
		_, err := newSDK(s).call(t, "ListFleets", &gamelift.ListFleetsInput{})
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != want.Code || e.ErrorMessage() != want.Message {
			t.Errorf("%s reached the SDK as %v", want.Code, err)
		}
	}
}

// TestFaultsOfOurs: whatever else fails is logged whole and answered without its text.
func TestFaultsOfOurs(t *testing.T) {
	s := newRecorder(t)
	var log bytes.Buffer
	s.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	for name, err := range map[string]error{
		"plain":             errors.New("disk s3cr3t is full"),
		"another service's": fmt.Errorf("fetch build: %w", &smithy.GenericAPIError{Code: "NoSuchKey", Message: "s3cr3t"}),
		"foreign exception": &smithy.GenericAPIError{Code: "AccessDenied", Message: "s3cr3t bucket"},
	} {
		s.err = err
		for _, p := range protocols {
			log.Reset()
			w := serve(s, p.request("ListFleets", nil))
			e := readError(t, p.decode, w.Body.Bytes())
			id := requestID(w)
			want := "An internal error occurred. The server's log has it under request id " + id + "."
			if w.Code != 500 || e != (wireError{"InternalServiceException", want, want}) {
				t.Errorf("%s in %s: got %d %+v", name, p.name, w.Code, e)
			}
			if !strings.Contains(log.String(), "s3cr3t") || !strings.Contains(log.String(), id) {
				t.Errorf("%s in %s: the log says %s", name, p.name, log.String())
			}
		}
	}
}

// TestSDKReadsEveryOutput and sends every input: all members of all operations cross the
// wire through the real client.
func TestSDKReadsEveryOutput(t *testing.T) {
	s := newRecorder(t)
	client := newSDK(s)
	for i := range model.Operations {
		o := &model.Operations[i]
		in := input(t, o, true)
		s.out = nil
		if o.Output != nil {
			s.out = sampleOutput(t, o)
		}
		out, err := client.call(t, o.Name, in)
		if err != nil {
			t.Errorf("%s: %v", o.Name, err)
			continue
		}
		if !reflect.DeepEqual(s.in, in) {
			t.Errorf("%s: sent %+v, arrived %+v", o.Name, in, s.in)
		}
		if o.Output == nil {
			continue
		}
		plan := codec.PlanOf(reflect.TypeOf(out).Elem(), o.Output)
		if said, read := plan.Append(nil, codec.JSON, s.out), plan.Append(nil, codec.JSON, out); !bytes.Equal(said, read) {
			t.Errorf("%s: answered %s, the SDK read %s", o.Name, said, read)
		}
		// The same answer in JSON, read by the standard library.
		w := serve(s, protocols[0].request(o.Name, inJSON(t, sample(t, o.Input, false))))
		want := jsonTree(t, inJSON(t, sample(t, o.Output, true)))
		if got := jsonTree(t, w.Body.Bytes()); !reflect.DeepEqual(got, want) {
			t.Errorf("%s in JSON: got %v, want %v", o.Name, got, want)
		}
	}
}

// sampleOutput is an operation's output with every member.
func sampleOutput(t testing.TB, o *model.Operation) any {
	t.Helper()
	_, typ := awsapi.SDKTypes(t, o.Name)
	out := reflect.New(typ).Interface()
	if err := codec.PlanOf(typ, o.Output).Decode(codec.JSON, inJSON(t, sample(t, o.Output, true)), out); err != nil {
		t.Fatalf("%s: %v", o.Name, err)
	}
	return out
}
