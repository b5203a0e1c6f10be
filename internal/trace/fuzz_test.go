package trace

import (
	"errors"
	"testing"

	wiretest "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// FuzzPartly holds our reading of a collector's answer to the protocol's own.
func FuzzPartly(f *testing.F) {
	for _, rejected := range []int64{0, 1, -1, 1 << 40} {
		text, err := proto.Marshal(&wiretest.ExportTraceServiceResponse{PartialSuccess: &wiretest.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: "too old"}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(append(text, text...))
		f.Add(text[:len(text)/2])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := partly(text)
		var want wiretest.ExportTraceServiceResponse
		if proto.Unmarshal(text, &want) != nil {
			return // any answer will do
		}
		r, ok := errors.AsType[*refused](err)
		if spans := want.PartialSuccess.GetRejectedSpans(); (spans > 0) != ok || ok && (r.spans != spans || r.reason != want.PartialSuccess.GetErrorMessage()) {
			t.Errorf("got %v, want %d spans: %q", err, spans, want.PartialSuccess.GetErrorMessage())
		}
	})
}
