package awsapi

import (
	"net/http"

	"github.com/matchyard/matchyard/internal/model"
	"github.com/matchyard/matchyard/internal/trace"
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
	about := make([]trace.Attribute, 0, 8)
	about = append(about,
		trace.Str("rpc.system", "aws-api"),
		trace.Str("rpc.service", model.TargetPrefix),
		trace.Str("matchyard.protocol", c.protocol.String()),
		trace.Str("aws.request_id", c.requestID),
		trace.Int("http.response.status_code", status))
	if c.op != nil {
		s.Name(model.SigningName + "." + c.op.Name())
		about = append(about, trace.Str("rpc.method", c.op.Name()))
	}
	if key := c.accessKey(); key != "" {
		about = append(about, trace.Str("matchyard.access_key", key))
	}
	if c.code != codeOK && status < http.StatusInternalServerError { // the caller's doing
		about = append(about, trace.Str("error.type", c.code))
	}
	s.With(about...)
	if status >= http.StatusInternalServerError {
		s.Fail(c.code)
	}
	s.End()
}
