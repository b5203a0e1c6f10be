package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Every constraint that botocore's own copy of the model puts on a request, broken once:
// the answer is the typed InvalidRequestException, and its message has AWS's sentence for
// the constraint and the path of the member (wire-protocol.md 6).
func TestEveryBrokenConstraintIsNamed(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		d, err := botoDriver()
		if err != nil {
			missing(t, "boto3", err)
		}
		if !d.CBOR {
			missing(t, d.Client, fmt.Errorf("%w: its model has other constraints than today's", errTooOld))
		}
		violations := d.ask(t, request{Do: "violations"}).Violations
		if len(violations) < 1000 { // 1464 in 2026
			t.Fatalf("only %d violations", len(violations))
		}
		goClient := find(t, "go cbor")
		ran, byGo := 0, 0
		for i, v := range violations {
			if testing.Short() && i%10 != 0 {
				continue
			}
			protocol := []string{"json", "cbor"}[i%2]
			ran++
			a := d.ask(t, request{Do: "call", Endpoint: s.url, Protocol: protocol, Op: v.Op, Params: v.Params, Unchecked: true})
			if !isViolation(a.Error, v) {
				t.Errorf("boto3 %s: %s %s breaks %s: %s\nanswer %s %s", protocol, v.Op, v.Path, v.Says, show(v.Params), show(a.Error), show(a.Result))
			}
			// The Go SDK refuses a missing member by itself, at every depth.
			if i%5 != 0 || strings.HasSuffix(v.Says, "not be null") {
				continue
			}
			if _, e := goClient.call(t, s, v.Op, v.Params); e != nil && e.Status != 0 {
				byGo++
				if !isViolation(e, v) {
					t.Errorf("Go: %s %s breaks %s: %s\nanswer %s", v.Op, v.Path, v.Says, show(v.Params), show(e))
				}
			}
		}
		t.Logf("%d violations by boto3, %d by the Go SDK", ran, byGo)
		if ran < len(violations)/10 || byGo == 0 {
			t.Error("too few were tried")
		}
	})
}

// isViolation says whether an error is about a broken constraint. One value can break more
// than one; the sentence wanted must be among those of the message.
func isViolation(e *callError, v violation) bool {
	return e != nil && e.Class == "InvalidRequestException" && e.Status == 400 &&
		slices.ContainsFunc(strings.Split(e.Message, ";"), func(sentence string) bool {
			return strings.Contains(sentence, " at '"+v.Path+"' failed to satisfy constraint:") && strings.Contains(sentence, v.Says)
		})
}
