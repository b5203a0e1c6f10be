package awsapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/matchyard/matchyard/internal/apierr"
)

const (
	firstRead  = 16 << 10 // read for a start, whatever length a client announces
	keptBuffer = 1 << 20  // the largest buffer that is used again
)

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) <= keptBuffer {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// readBody reads the request's body at the first call and returns it at every call. It is
// gone when the call ends.
func (c *call) readBody() ([]byte, error) {
	if !c.read {
		c.read = true
		c.bodyErr = c.fill()
	}
	return *c.body, c.bodyErr
}

func (c *call) fill() error {
	limit := c.server.MaxBody
	if c.r.ContentLength > int64(limit) {
		return tooLarge(limit)
	}
	b := *c.body
	defer func() { *c.body = b }()
	want := c.r.ContentLength + 1 // one more, to meet the end without growing
	if want <= 0 || want > firstRead {
		want = firstRead
	}
	if int64(cap(b)) < want {
		b = make([]byte, 0, want)
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := c.r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			return tooLarge(limit)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return unreadable(err)
		}
	}
}

func tooLarge(limit int) error {
	return &apierr.Error{
		Code: "RequestEntityTooLargeException", Status: http.StatusRequestEntityTooLarge,
		Message: fmt.Sprintf("The request body is larger than %d bytes.", limit),
	}
}

// unreadable is the answer to a body that stopped: by the http.Server's read timeout, or
// because the client went away and will not see it.
func unreadable(err error) error {
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return &apierr.Error{
			Code: "RequestTimeoutException", Status: http.StatusBadRequest,
			Message: "The request body did not arrive in time.",
		}
	}
	return &apierr.Error{
		Code: "IncompleteBodyException", Status: http.StatusBadRequest,
		Message: "The request body ended before its announced length.",
	}
}
