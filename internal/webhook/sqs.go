package webhook

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi"
)

const (
	targetHeader = "X-Amz-Target"
	targetPrefix = "AmazonSQS."
	sqsType      = "application/x-amz-json-1.0"
	mostRequest  = 256 << 10
)

// SigningName is the service that requests to queues are signed for.
const SigningName = "sqs"

// Operations are the names of what callers may be allowed to do, as in "sqs:ReceiveMessage".
func Operations() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(queueOperations)) {
		names = append(names, SigningName+":"+name)
	}
	return names
}

// Handler answers the requests of SQS clients and the confirmations of SNS receivers, and
// leaves all others to next.
func (s *Server) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get(targetHeader), targetPrefix):
			s.serveSQS(w, r)
		case isSNS(r):
			s.serveSNS(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// queueError is an error for the caller. legacy is its code of old, which SDKs show; "" means
// the same.
type queueError struct {
	code, legacy, text string
	status             int // 0: 400
}

func (e *queueError) Error() string { return e.code + ": " + e.text }

var errNoQueue = &queueError{
	code: "QueueDoesNotExist", legacy: "AWS.SimpleQueueService.NonExistentQueue",
	text: "The specified queue does not exist.",
}

func badHandle(text string) error {
	if len(text) > 100 {
		text = text[:100] + "…"
	}
	return &queueError{code: "ReceiptHandleIsInvalid", text: "The input receipt handle " + strconv.Quote(text) + " is not a valid receipt handle."}
}

func (s *Server) serveSQS(w http.ResponseWriter, r *http.Request) {
	id := requestID()
	out, err := s.doSQS(w, r)
	if err != nil {
		s.refuse(w, id, err)
		return
	}
	answerSQS(w, id, http.StatusOK, out)
}

func (s *Server) doSQS(w http.ResponseWriter, r *http.Request) (any, error) {
	name := strings.TrimPrefix(r.Header.Get(targetHeader), targetPrefix)
	var body []byte
	var read bool
	readBody := func() (_ []byte, err error) {
		if !read {
			read = true
			body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, mostRequest))
		}
		if err != nil {
			return nil, &queueError{code: "RequestEntityTooLarge", text: "The request body cannot be read, or is too large.", status: http.StatusRequestEntityTooLarge}
		}
		return body, nil
	}
	var who awsapi.Identity
	if s.Auth != nil {
		var err error
		if who, err = s.Auth.Authenticate(r, readBody); err != nil {
			return nil, err
		}
	}
	o, ok := queueOperations[name]
	if !ok {
		return nil, &queueError{
			code: "UnsupportedOperation", legacy: "AWS.SimpleQueueService.UnsupportedOperation",
			text: "The operation " + strconv.Quote(name) + " is not offered here: queues of events are read, and made in the configuration.",
		}
	}
	if _, err := readBody(); err != nil {
		return nil, err
	}
	in := o.in()
	if err := json.Unmarshal(body, in); err != nil {
		return nil, &queueError{code: "SerializationException", text: "The request body is not the JSON of " + name + "."}
	}
	if s.Authorize != nil {
		if err := s.Authorize(r.Context(), who, SigningName+":"+name, in); err != nil {
			return nil, err
		}
	}
	var q *queue
	if o.ofQueue {
		var err error
		if q, err = s.queueOf(body); err != nil {
			return nil, err
		}
	}
	return o.run(r.Context(), s, q, base(r), in)
}

// queueOf is the queue of the request's URL, of which only the end counts: the rest is how
// its caller reaches us.
func (s *Server) queueOf(body []byte) (*queue, error) {
	var in struct{ QueueUrl string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, &queueError{code: "SerializationException", text: "QueueUrl is not a string."}
	}
	if in.QueueUrl == "" {
		return nil, &queueError{code: "MissingParameter", text: "The request must contain the parameter QueueUrl."}
	}
	if q := s.queues[path.Base(in.QueueUrl)]; q != nil {
		return q, nil
	}
	return nil, errNoQueue
}

// base is this server as the caller reached it, perhaps through a proxy.
func base(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// refuse answers an error. What is not for the caller goes to the log.
func (s *Server) refuse(w http.ResponseWriter, id string, err error) {
	e, ok := errors.AsType[*queueError](err)
	if !ok {
		if a, isAPI := errors.AsType[*apierr.Error](err); isAPI {
			e, ok = &queueError{code: a.Code, text: a.Message, status: a.Status}, true
		}
	}
	if !ok {
		s.logger().Error("queue request failed", "request_id", id, "error", err)
		e = &queueError{code: "InternalFailure", text: "An internal error occurred. The server's log has it under request id " + id + ".", status: http.StatusInternalServerError}
	}
	status, kind := e.status, "Sender"
	if status == 0 {
		status = http.StatusBadRequest
	}
	if status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	legacy := e.legacy
	if legacy == "" {
		legacy = e.code
	}
	w.Header()["x-amzn-query-error"] = []string{legacy + ";" + kind}
	answerSQS(w, id, status, map[string]string{"__type": "com.amazonaws.sqs#" + e.code, "message": e.text})
}

func answerSQS(w http.ResponseWriter, id string, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // what the operations return always marshals
	}
	h := w.Header()
	h["x-amzn-RequestId"] = []string{id}
	h.Set("Content-Type", sqsType)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // an error means that the client is gone
}

func requestID() string { return uuid.NewString() }
