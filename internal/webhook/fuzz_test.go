package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/webhook"
)

// FuzzRequests sends anything to the queues and to the confirmations: it is answered, and
// never as our fault.
func FuzzRequests(f *testing.F) {
	f.Add("ReceiveMessage", `{"QueueUrl": "q", "MaxNumberOfMessages": 10, "AttributeNames": ["All"]}`)
	f.Add("DeleteMessage", `{"QueueUrl": "q", "ReceiptHandle": "MS4yLnE"}`)
	f.Add("ChangeMessageVisibilityBatch", `{"QueueUrl": "http://x/1/q", "Entries": [{"Id": "a", "ReceiptHandle": "x", "VisibilityTimeout": 3}]}`)
	f.Add("ListQueues", `{"MaxResults": 1, "NextToken": "a"}`)
	f.Add("?Action=ConfirmSubscription&Token=%00", "")
	f.Add("form", "Action=ConfirmSubscription&Token=%ff")
	clock := storetest.NewClock()
	db := storetest.Open(f, "sqlite::memory:", clock.Now)
	sinks := []webhook.Sink{{Name: "q", Kind: webhook.SQS}}
	s := &webhook.Server{DB: db, Home: home, Sinks: sinks, Log: &event.Log{DB: db, Home: home, Route: webhook.Route(sinks, nil)}}
	if err := s.Open(f.Context()); err != nil {
		f.Fatal(err)
	}
	h := s.Handler(http.NotFoundHandler())
	f.Fuzz(func(t *testing.T, operation, body string) {
		if strings.Contains(body, "WaitTimeSeconds") {
			return // it would wait
		}
		var r *http.Request
		switch query, found := strings.CutPrefix(operation, "?"); {
		case found:
			r = httptest.NewRequest(http.MethodGet, "/", nil)
			r.URL.RawQuery = query
		case operation == "form":
			r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		default:
			r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
		}
		w := httptest.NewRecorder()
		begin := time.Now()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || time.Since(begin) > 10*time.Second {
			t.Errorf("%d %s after %v", w.Code, w.Body, time.Since(begin))
		}
	})
}
