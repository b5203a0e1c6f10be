package awsapi

import (
	"net/http"
	"strings"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi/codec"
	"github.com/matchyard/matchyard/internal/model"
)

const (
	targetHeader = "X-Amz-Target"
	smithyName   = "Smithy-Protocol"
)

// route finds the protocol, which holds also for the error it may return, and the name of
// the operation. JSON is known by its target header, on any path; CBOR by its protocol
// header and the last four segments of the path, whatever prefix an endpoint URL adds.
func (c *call) route() (name string, err error) {
	target, smithy := c.r.Header[targetHeader], c.r.Header[smithyName]
	if len(smithy) > 0 || c.r.Header.Get("Content-Type") == contentTypes[codec.CBOR][0] {
		c.protocol = codec.CBOR
	}
	switch {
	case c.r.Method != http.MethodPost:
		return "", &apierr.Error{
			Code: "UnknownOperationException", Status: http.StatusMethodNotAllowed,
			Message: "Operations are asked for by POST.",
		}
	case len(target) > 0 && len(smithy) > 0: // the two could name different operations
		return "", &apierr.Error{
			Code: "UnknownOperationException", Status: http.StatusBadRequest,
			Message: "A request has X-Amz-Target or Smithy-Protocol, not both.",
		}
	case len(target) == 1:
		c.protocol = codec.JSON
		prefix, name, _ := strings.Cut(target[0], ".")
		if prefix != model.TargetPrefix {
			return "", unknownOperation(c.protocol)
		}
		return name, nil
	case len(smithy) == 1 && smithy[0] == smithyHeader[0]:
		name, ok := pathOperation(c.r.URL.Path)
		if !ok {
			return "", unknownOperation(c.protocol)
		}
		return name, nil
	}
	return "", unknownOperation(c.protocol)
}

// pathOperation takes the operation from …/service/GameLift/operation/Name. The service may
// be spelled with its namespace; the operation may not.
func pathOperation(path string) (string, bool) {
	rest, name, ok := cutLast(path)
	if !ok {
		return "", false
	}
	rest, word, ok := cutLast(rest)
	if !ok || word != "operation" {
		return "", false
	}
	rest, service, ok := cutLast(rest)
	if !ok || service != model.TargetPrefix && !strings.HasSuffix(service, "."+model.TargetPrefix) {
		return "", false
	}
	_, word, ok = cutLast(rest)
	return name, ok && word == "service"
}

func cutLast(path string) (before, segment string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}

func unknownOperation(p codec.Protocol) error {
	e := &apierr.Error{Code: "UnknownOperationException", Message: "The operation is not known.", Status: http.StatusBadRequest}
	if p == codec.CBOR {
		e.Status = http.StatusNotFound
	}
	return e
}
