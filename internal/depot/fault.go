package depot

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"time"
)

// fault is an error as S3 gives it.
type fault struct {
	status  int
	code    string
	message string
}

// Error is the code and the message.
func (f *fault) Error() string { return f.code + ": " + f.message }

// Faults that are always the same.
var (
	missingLength    = &fault{http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header."}
	incompleteBody   = &fault{http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header."}
	timedOut         = &fault{http.StatusBadRequest, "RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period."}
	malformedTrailer = &fault{http.StatusBadRequest, "MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform to our published schema."}
	badChunk         = &fault{http.StatusForbidden, "SignatureDoesNotMatch", "The signature of a chunk does not match what was calculated."}
	malformedXML     = &fault{http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema."}
	noSuchKey        = &fault{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."}
	internalError    = &fault{http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again."}
)

func invalidRequest(format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, "InvalidRequest", fmt.Sprintf(format, args...)}
}

func denied(format string, args ...any) *fault {
	return &fault{http.StatusForbidden, "AccessDenied", fmt.Sprintf(format, args...)}
}

func badDigest(message string) *fault { return &fault{http.StatusBadRequest, "BadDigest", message} }

const contentXML = "application/xml"

// refuse answers with a fault. What is left of the body is read if it is not much, and comes
// in time: clients that take no answer until they have sent everything would see a broken
// connection instead.
func refuse(w http.ResponseWriter, r *http.Request, f *fault) {
	if f != timedOut && f != incompleteBody {
		drain(w, r)
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(f.status)
		return
	}
	answer(w, f.status, f.document(w, r))
}

// errorDocument is a fault's XML.
type errorDocument struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string   `xml:"Code"`
	Message   string   `xml:"Message"`
	Resource  string   `xml:"Resource"`
	RequestID string   `xml:"RequestId"`
}

func (f *fault) document(w http.ResponseWriter, r *http.Request) errorDocument {
	return errorDocument{Code: f.code, Message: f.message, Resource: r.URL.Path, RequestID: w.Header().Get(headerRequestID)}
}

func answer(w http.ResponseWriter, status int, document any) {
	text, err := xml.Marshal(document)
	if err != nil {
		panic(err) // documents are plain data
	}
	w.Header().Set("Content-Type", contentXML)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, xml.Header+string(text)) // the client is gone or not
}

const (
	mostDrained = 16 << 20
	drainTime   = 10 * time.Second
	answerTime  = time.Minute
)

func drain(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Expect") != "" || r.ContentLength == 0 { // it waits to be told
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(drainTime))
	_ = control.SetWriteDeadline(time.Now().Add(drainTime + answerTime))
	_, _ = io.CopyN(io.Discard, r.Body, mostDrained)
}
