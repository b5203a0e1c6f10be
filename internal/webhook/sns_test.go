package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/webhook"
)

// posted is what SNS posts, as its documentation has it.
type posted struct {
	Type, MessageId, Token, TopicArn, Message, SubscribeURL, Timestamp string

	header http.Header
}

// subscriber is an HTTP endpoint that subscribes to a topic.
type subscriber struct {
	*httptest.Server

	posts  chan posted
	answer func(p posted) string
}

func newSubscriber(t *testing.T) *subscriber {
	t.Helper()
	s := &subscriber{posts: make(chan posted, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := posted{header: r.Header}
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		if s.answer != nil {
			_, _ = io.WriteString(w, s.answer(p))
		}
		s.posts <- p
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *subscriber) next(t *testing.T) posted {
	t.Helper()
	select {
	case p := <-s.posts:
		return p
	case <-time.After(soon):
		t.Fatal("nothing was posted")
		return posted{}
	}
}

func snsSink(url string) webhook.Sink {
	return webhook.Sink{Name: "sns", Kind: webhook.SNS, URL: url, AllowPrivate: true, Topic: "arn:aws:sns:us-west-2:123456789012:all"}
}

func TestNotificationsFlowOnceTheSubscriptionIsConfirmed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		s := newSubscriber(t)
		n := start(t, db, setup{sinks: []webhook.Sink{snsSink(s.URL)}, targets: map[string]string{topic: "sns"}})
		n.happenAll(event.Event{Type: eventType, Order: "placement/1", Target: topic, Detail: detail{"PlacementFulfilled", "1"}})
		ask := s.next(t)
		if ask.Type != "SubscriptionConfirmation" || ask.header.Get("x-amz-sns-message-type") != ask.Type || ask.TopicArn != "arn:aws:sns:us-west-2:123456789012:all" ||
			ask.header.Get("x-amz-sns-topic-arn") != ask.TopicArn || ask.header.Get("x-amz-sns-message-id") != ask.MessageId ||
			!strings.Contains(ask.Message, "visit the SubscribeURL") || len(ask.Token) < 64 {
			t.Errorf("asked with %+v", ask)
		}
		// Until it is confirmed it is asked again, and gets no event.
		n.advance(clock, time.Hour)
		asked := 1
		for len(s.posts) > 0 {
			if p := s.next(t); p.Type != "SubscriptionConfirmation" || p.Token != ask.Token {
				t.Fatalf("posted %+v", p)
			}
			asked++
		}
		if asked < 10 || asked > 40 {
			t.Errorf("asked %d times in an hour", asked)
		}
		for _, wrong := range []string{"", "x", strings.Repeat("0", 64)} {
			if code, body := visit(t, n.api.URL+"/?Action=ConfirmSubscription&Token="+wrong); code != http.StatusBadRequest || !strings.Contains(body, "<Code>InvalidParameter</Code>") {
				t.Errorf("token %q: %d %s", wrong, code, body)
			}
		}
		for range 2 { // a second visit does no harm
			code, body := visit(t, ask.SubscribeURL)
			if code != http.StatusOK || !strings.Contains(body, "<SubscriptionArn>arn:aws:sns:us-west-2:123456789012:all:") {
				t.Errorf("the visit: %d %s", code, body)
			}
		}
		p := s.next(t) // at once, although the next time to ask is minutes away
		if p.Type != "Notification" || p.TopicArn != topic || placement([]byte(p.Message)) != "1" || p.MessageId == "" ||
			!strings.Contains(p.Message, `"id":"`+p.MessageId+`"`) || p.Timestamp != "2026-01-02T03:04:05.000Z" || p.Token != "" || p.SubscribeURL != "" {
			t.Errorf("notified with %+v", p)
		}
		for name, want := range map[string]string{
			"x-amz-sns-message-type": "Notification", "x-amz-sns-message-id": p.MessageId, "x-amz-sns-topic-arn": topic, "Content-Type": "text/plain; charset=UTF-8",
		} {
			if p.header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, p.header.Get(name), want)
			}
		}
		if a := p.header.Get("x-amz-sns-subscription-arn"); !strings.HasPrefix(a, "arn:aws:sns:us-west-2:123456789012:all:") || strings.Contains(a, ask.Token[:8]) {
			t.Errorf("subscription ARN %q", a)
		}
		n.stop()

		// It is confirmed for good; but not for another URL.
		n = start(t, db, setup{sinks: []webhook.Sink{snsSink(s.URL)}})
		n.happen("placement/2", "2")
		if p := s.next(t); p.Type != "Notification" || p.TopicArn != "arn:aws:sns:us-west-2:123456789012:all" {
			t.Errorf("after a restart %+v", p)
		}
		n.stop()
		n = start(t, db, setup{sinks: []webhook.Sink{snsSink(s.URL + "/elsewhere")}})
		n.happen("placement/3", "3")
		if p := s.next(t); p.Type != "SubscriptionConfirmation" || p.Token == ask.Token {
			t.Errorf("at another URL %+v", p)
		}
	})
}

func visit(t *testing.T, url string) (int, string) {
	t.Helper()
	return answered(t)(http.Get(url)) //nolint:gosec // our own server
}

func answered(t *testing.T) func(a *http.Response, err error) (int, string) {
	return func(a *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(body)
	}
}

func TestASubscriptionIsConfirmedByTheAnswerOrByAClient(t *testing.T) {
	db, _ := sqlite(t)
	s := newSubscriber(t)
	s.answer = func(p posted) string { return `{"confirm": "` + p.Token + `"}` }
	n := start(t, db, setup{sinks: []webhook.Sink{snsSink(s.URL)}})
	n.happen("placement/1", "1")
	if p := s.next(t); p.Type != "SubscriptionConfirmation" {
		t.Errorf("posted %+v", p)
	}
	if p := s.next(t); p.Type != "Notification" {
		t.Errorf("posted %+v", p)
	}
	n.stop()

	s = newSubscriber(t)
	n = start(t, db, setup{sinks: []webhook.Sink{snsSink(s.URL)}})
	n.happen("placement/2", "2")
	ask := s.next(t)
	form := url.Values{"Action": {"ConfirmSubscription"}, "Version": {"2010-03-31"}, "TopicArn": {ask.TopicArn}, "Token": {ask.Token}}
	if code, body := answered(t)(http.PostForm(n.api.URL, form)); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if p := s.next(t); p.Type != "Notification" || placement([]byte(p.Message)) != "2" {
		t.Errorf("posted %+v", p)
	}
	form.Set("Action", "Publish")
	if code, body := answered(t)(http.PostForm(n.api.URL, form)); code != http.StatusBadRequest || !strings.Contains(body, "<Code>InvalidAction</Code>") {
		t.Errorf("Publish: %d %s", code, body)
	}
}

// TestASubscriptionConfirmedBeforeItsQuestionIsAnswered confirms while the receiver is still
// being asked: the notification must not wait for the next time to ask.
func TestASubscriptionConfirmedBeforeItsQuestionIsAnswered(t *testing.T) {
	db, _ := sqlite(t)
	s := newSubscriber(t)
	var n *node
	s.answer = func(p posted) string {
		if p.Type == "SubscriptionConfirmation" {
			if code, body := visit(t, p.SubscribeURL); code != http.StatusOK {
				t.Errorf("%d %s", code, body)
			}
		}
		return ""
	}
	n = start(t, db, setup{sinks: []webhook.Sink{snsSink(s.URL)}})
	n.happen("placement/1", "1")
	for _, want := range []string{"SubscriptionConfirmation", "Notification"} {
		if p := s.next(t); p.Type != want {
			t.Errorf("posted %+v, want a %s", p, want)
		}
	}
}
