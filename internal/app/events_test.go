package app_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/testkit"
	"github.com/matchyard/matchyard/internal/webhook"
)

// fetch is a request of an SQS client, signed for a service unless that is "".
func fetch(t *testing.T, s *testkit.Server, service, operation, body string) (status int, answer map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	if service != "" {
		sum := sha256.Sum256([]byte(body))
		credentials := aws.Credentials{AccessKeyID: rootKey, SecretAccessKey: rootSecret}
		if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), service, "us-west-2", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %d %q", operation, a.StatusCode, text)
	}
	return a.StatusCode, answer
}

// elsewhere appends an event on another node of the database.
func elsewhere(t *testing.T, url string, sinks ...string) {
	t.Helper()
	l := &event.Log{
		DB: storetest.Open(t, url, time.Now), Home: arn.Home{Region: "us-west-2", Account: "123456789012"},
		Route: func(string, string, string) []string { return sinks },
	}
	if err := l.Configured(t.Context(), sinks); err != nil {
		t.Fatal(err)
	}
	if err := l.DB.Write(t.Context(), func(tx *store.Tx) error {
		return l.AppendTx(tx, event.Event{Type: "GameLift Queue Placement Event", Order: "placement/1", Detail: map[string]string{"type": "PlacementFailed"}})
	}); err != nil {
		t.Fatal(err)
	}
}

func TestEventsOfAnotherNodeLeaveThroughThisOne(t *testing.T) {
	arrived := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		arrived <- string(body)
	}))
	t.Cleanup(receiver.Close)
	url := storetest.PostgresURL(t)
	s := testkit.Start(t, testkit.Options{Store: url, Configure: func(c *config.Config) {
		c.Clock = config.Real
		c.Sinks = []webhook.Sink{
			{Name: "hook", Kind: webhook.Webhook, URL: receiver.URL, Secret: "sixteen bytes and more", AllowPrivate: true},
			{Name: "queue", Kind: webhook.SQS},
		}
	}})
	elsewhere(t, url, "hook", "queue")
	var body string
	select {
	case body = <-arrived:
	case <-time.After(20 * time.Second):
		t.Fatal("no event arrived")
	}
	if !strings.Contains(body, `"detail-type":"GameLift Queue Placement Event"`) {
		t.Errorf("event %s", body)
	}
	_, answer := fetch(t, s, "", "ReceiveMessage", `{"QueueUrl": "queue", "WaitTimeSeconds": 20}`)
	messages, _ := answer["Messages"].([]any)
	if len(messages) != 1 || messages[0].(map[string]any)["Body"] != body {
		t.Errorf("received %v, want %s", answer, body)
	}
	var page struct{ Sinks []map[string]any }
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, text := s.Get(s.Admin + "/events")
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if len(page.Sinks) == 2 && page.Sinks[0]["pending"] == 0.0 && page.Sinks[1]["pending"] == 1.0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("sinks %s", text)
		}
	}
	if _, text := s.Get(s.Admin + "/metrics"); !strings.Contains(text, "matchyard_events_delivered_total 1\n") {
		t.Error("the metrics do not count the event")
	}
	if status, text := s.Get(s.URL + "/?Action=ConfirmSubscription&Token=x"); status != http.StatusBadRequest || !strings.Contains(text, "<ErrorResponse") {
		t.Errorf("a confirmation: %d %s", status, text)
	}
	must[gamelift.ListFleetsOutput](t)(s.Client.ListFleets(t.Context(), &gamelift.ListFleetsInput{})) // the API is as it was
}

func TestQueuesOfAServerForProductionTakeRequestsSignedForThem(t *testing.T) {
	s := testkit.Start(t, testkit.Options{Key: rootKey, Secret: rootSecret, Configure: func(c *config.Config) {
		c.Dev, c.Clock, c.Store = false, config.Real, "sqlite:"+c.Data+"/matchyard.db"
		c.RootAccessKeyID, c.RootSecretAccessKey = rootKey, rootSecret
		c.Sinks = []webhook.Sink{{Name: "queue", Kind: webhook.SQS}}
	}})
	for service, want := range map[string]string{
		"": "com.amazonaws.sqs#MissingAuthenticationTokenException", "gamelift": "com.amazonaws.sqs#InvalidSignatureException",
	} {
		if status, answer := fetch(t, s, service, "GetQueueUrl", `{"QueueName": "queue"}`); status != http.StatusBadRequest || answer["__type"] != want {
			t.Errorf("signed for %q: %d %v, want %s", service, status, answer, want)
		}
	}
	if status, answer := fetch(t, s, "sqs", "GetQueueUrl", `{"QueueName": "queue"}`); status != http.StatusOK || answer["QueueUrl"] != s.URL+"/123456789012/queue" {
		t.Errorf("%d %v", status, answer)
	}
	// A signature for queues is good for nothing else.
	body := []byte("{}")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "GameLift.ListFleets")
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: rootKey, SecretAccessKey: rootSecret}, r, hex.EncodeToString(sum[:]), "sqs", "us-west-2", time.Now()); err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode != http.StatusBadRequest {
		t.Errorf("ListFleets signed for sqs: %d", a.StatusCode)
	}
}

func TestAPollForMessagesDoesNotHoldUpTheEnd(t *testing.T) {
	s := testkit.Start(t, testkit.Options{Configure: func(c *config.Config) {
		c.Sinks = []webhook.Sink{{Name: "queue", Kind: webhook.SQS}}
	}})
	polled := make(chan map[string]any, 1)
	go func() {
		_, answer := fetch(t, s, "", "ReceiveMessage", `{"QueueUrl": "queue", "WaitTimeSeconds": 20}`)
		polled <- answer
	}()
	time.Sleep(300 * time.Millisecond) // until it waits; if it does not yet, the test is only less of one
	begin := time.Now()
	s.Stop()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if answer := <-polled; len(answer) != 0 {
		t.Errorf("the poll was answered with %v", answer)
	}
}
