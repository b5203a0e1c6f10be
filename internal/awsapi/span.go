package awsapi

import (
	"net/http"

	"github.com/matchyard/matchyard/internal/model"
)

// beginSpan begins the request's span. The request is then carried out in its context, so
// that what it asks of the store is below it.
func (c *call) beginSpan() {
	c.Context, c.span = c.server.Trace.Request(c.Context, c.r.Header, model.SigningName)
	if c.span.On() {
		c.r = c.r.WithContext(c.Context)
	}
}

// endSpan says what the request was and how it was answered, when it was sent. Names are
// OpenTelemetry's where it has one.
func (c *call) endSpan(status int) {
	s := c.span
	s.Str("rpc.system", "aws-api")
	s.Str("rpc.service", model.TargetPrefix)
	if c.op != nil {
		s.Name(model.SigningName + "." + c.op.Name())
		s.Str("rpc.method", c.op.Name())
	}
	s.Str("matchyard.protocol", c.protocol.String())
	s.Str("matchyard.access_key", c.accessKey())
	s.Str("aws.request_id", c.requestID)
	s.Int("http.response.status_code", status)
	switch {
	case status >= http.StatusInternalServerError:
		s.Fail(c.code)
	case c.code != codeOK: // the caller's doing
		s.Str("error.type", c.code)
	}
	s.End()
}
