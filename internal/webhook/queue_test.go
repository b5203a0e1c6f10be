package webhook_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/sigv4"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/webhook"
)

// process is testdata/read_queue.py, which speaks in lines of JSON.
type process struct {
	t     *testing.T
	in    io.Writer
	lines *bufio.Scanner
}

func (p *process) step(want string) map[string]any {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatalf("it ended before step %s: %v", want, p.lines.Err())
	}
	var line map[string]any
	if err := json.Unmarshal(p.lines.Bytes(), &line); err != nil || line["step"] != want {
		p.t.Fatalf("step %s: %s", want, p.lines.Text())
	}
	return line
}

func (p *process) goOn() {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		p.t.Fatal(err)
	}
}

// has fails unless a step's value is, as JSON, that.
func has(t *testing.T, step map[string]any, member, want string) {
	t.Helper()
	got, err := json.Marshal(step[member])
	if err != nil || string(got) != want {
		t.Errorf("step %s: %s is %s, want %s", step["step"], member, got, want)
	}
}

func TestBoto3ReadsAQueue(t *testing.T) {
	interpreter := python(t, "boto3")
	for _, database := range storetest.Databases() {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			url := "sqlite:" + t.TempDir() + "/db"
			if database == "postgres" {
				url = storetest.PostgresURL(t)
			}
			db := storetest.Open(t, url, time.Now)
			keys := &access.Service{DB: db, Operations: append(webhook.Operations(), "ListFleets")}
			full, err := keys.Create(t.Context(), "backend", "sqs:*")
			if err != nil {
				t.Fatal(err)
			}
			weak, err := keys.Create(t.Context(), "weak", access.ReadOnly)
			if err != nil {
				t.Fatal(err)
			}
			n := start(t, db, setup{
				sinks: []webhook.Sink{
					{Name: "placements", Kind: webhook.SQS},
					{Name: "wrapped-sink", Kind: webhook.SQS, Queue: "wrapped", Envelope: "sns", Visibility: time.Minute, MaxAge: time.Hour},
				},
				change: func(s *webhook.Server) {
					signed := &awsapi.Signed{Keys: keys, Verifier: &sigv4.Verifier{Services: []string{webhook.SigningName}, Region: "us-west-2"}}
					s.Auth, s.Authorize, s.Manual = signed, signed.Authorize, false
				},
			})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, interpreter, "testdata/read_queue.py", n.api.URL, full.ID, string(full.Secret), weak.ID, string(weak.Secret))
			cmd.Env = append(cmd.Environ(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true")
			cmd.Stderr = t.Output()
			p := &process{t: t}
			if p.in, err = cmd.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			p.lines = bufio.NewScanner(out)
			p.lines.Buffer(nil, 1<<20)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			base := n.api.URL + "/123456789012/"
			s := p.step("queues")
			has(t, s, "urls", `["`+base+`placements","`+base+`wrapped"]`)
			has(t, s, "some", `["`+base+`placements"]`)
			has(t, s, "none", `null`)
			has(t, p.step("url"), "url", `"`+base+`placements"`)
			s = p.step("attributes")
			has(t, s, "all", `{"ApproximateNumberOfMessages":"0","ApproximateNumberOfMessagesDelayed":"0","ApproximateNumberOfMessagesNotVisible":"0",`+
				`"DelaySeconds":"0","MaximumMessageSize":"262144","MessageRetentionPeriod":"259200",`+
				`"QueueArn":"arn:aws:sqs:us-west-2:123456789012:placements","ReceiveMessageWaitTimeSeconds":"0","VisibilityTimeout":"30"}`)
			has(t, s, "one", `{"VisibilityTimeout":"30"}`)
			has(t, p.step("empty"), "messages", "null")

			p.step("polling")
			time.Sleep(300 * time.Millisecond) // until it polls; if it does not yet, the test is only less of one
			n.happen("placement/1", "ä<1>")
			s = p.step("polled")
			if seconds := s["seconds"].(float64); seconds < 0.2 || seconds > 5 {
				t.Errorf("the poll took %v s", seconds)
			}
			t.Logf("a poll of 300 ms was answered after %v s", s["seconds"])
			has(t, s, "count", "1")
			has(t, s, "md5", "true")
			if body := s["body"].(string); placement([]byte(body)) != "ä<1>" || !strings.Contains(body, `"id":"`+s["id"].(string)+`"`) {
				t.Errorf("body %s of message %s", body, s["id"])
			}
			a := s["attributes"].(map[string]any)
			if a["ApproximateReceiveCount"] != "1" || a["MessageGroupId"] != "placement/1" || len(a["SentTimestamp"].(string)) != 13 || len(a["ApproximateFirstReceiveTimestamp"].(string)) != 13 {
				t.Errorf("attributes %v", a)
			}
			s = p.step("hidden")
			has(t, s, "messages", "null")
			has(t, s, "counts", `{"ApproximateNumberOfMessagesNotVisible":"1"}`)
			s = p.step("again")
			has(t, s, "count", `{"ApproximateReceiveCount":"2"}`)
			has(t, s, "third", `{"ApproximateReceiveCount":"3"}`)
			has(t, s, "same", "true")
			has(t, s, "stale", `["MessageNotInflight","AWS.SimpleQueueService.MessageNotInflight",400]`)
			if seconds := s["seconds"].(float64); seconds < 0.5 || seconds > 5 {
				t.Errorf("a message hidden for 1 s was back after %v s", seconds)
			}
			has(t, p.step("deleted"), "gone", `["MessageNotInflight","AWS.SimpleQueueService.MessageNotInflight",400]`)

			p.step("many")
			for i := range 25 {
				n.happen(fmt.Sprint("ticket/", i%5), fmt.Sprint(i%5, "-", i/5))
			}
			p.goOn()
			s = p.step("received")
			var got []string
			for _, b := range s["bodies"].([]any) {
				got = append(got, placement([]byte(b.(string))))
			}
			inOrder(t, got, 5, 5)

			p.step("purge")
			n.happen("placement/9", "9")
			p.goOn()
			has(t, p.step("purged"), "messages", "null")
			s = p.step("errors")
			for member, want := range map[string]string{
				"queue":   `["QueueDoesNotExist","AWS.SimpleQueueService.NonExistentQueue",400]`,
				"url":     `["QueueDoesNotExist","AWS.SimpleQueueService.NonExistentQueue",400]`,
				"handle":  `["ReceiptHandleIsInvalid","ReceiptHandleIsInvalid",400]`,
				"foreign": `["ReceiptHandleIsInvalid","ReceiptHandleIsInvalid",400]`,
				"most":    `["ClientError","InvalidParameterValue",400]`,
				"long":    `["ClientError","InvalidParameterValue",400]`,
				"empty":   `["EmptyBatchRequest","AWS.SimpleQueueService.EmptyBatchRequest",400]`,
				"twice":   `["BatchEntryIdsNotDistinct","AWS.SimpleQueueService.BatchEntryIdsNotDistinct",400]`,
				"many":    `["TooManyEntriesInBatchRequest","AWS.SimpleQueueService.TooManyEntriesInBatchRequest",400]`,
				"send":    `["UnsupportedOperation","AWS.SimpleQueueService.UnsupportedOperation",400]`,
				"create":  `["UnsupportedOperation","AWS.SimpleQueueService.UnsupportedOperation",400]`,
				"secret":  `["ClientError","InvalidSignatureException",400]`,
				"key":     `["ClientError","UnrecognizedClientException",400]`,
				"policy":  `["ClientError","AccessDeniedException",400]`,
			} {
				has(t, s, member, want)
			}
			p.step("typed")
			s = p.step("wrapped")
			has(t, s, "md5", "true")
			if b := s["body"].(map[string]any); b["Type"] != "Notification" || placement([]byte(b["Message"].(string))) != "ä<1>" ||
				b["TopicArn"] != "arn:aws:sns:us-west-2:123456789012:wrapped-sink" {
				t.Errorf("wrapped as %v", b)
			}
			p.step("ending")
			time.Sleep(300 * time.Millisecond)
			n.Close()
			s = p.step("ended")
			has(t, s, "messages", "null")
			if seconds := s["seconds"].(float64); seconds > 10 {
				t.Errorf("a poll took %v s when the server ended", seconds)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// ask is a request of an SQS client that does not sign.
func ask(t *testing.T, n *node, operation, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.api.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	code, text := answered(t)(http.DefaultClient.Do(r))
	var answer map[string]any
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%s: %d %q", operation, code, text)
	}
	return code, answer
}

func TestManyPollersOfTwoNodesShareAQueue(t *testing.T) {
	url := storetest.PostgresURL(t)
	o := setup{sinks: []webhook.Sink{{Name: "q", Kind: webhook.SQS}}, change: func(s *webhook.Server) { s.Manual = false }}
	nodes := []*node{start(t, storetest.Open(t, url, time.Now), o), start(t, storetest.Open(t, url, time.Now), o)}
	const orders, each, pollers = 30, 4, 6
	var mu sync.Mutex
	var got []string
	full := make(chan struct{})
	var all sync.WaitGroup
	for i := range pollers {
		n := nodes[i%2]
		all.Go(func() {
			for {
				select {
				case <-full:
					return
				default:
				}
				_, answer := ask(t, n, "ReceiveMessage", `{"QueueUrl": "q", "MaxNumberOfMessages": 3, "WaitTimeSeconds": 1}`)
				list, _ := answer["Messages"].([]any)
				for _, m := range list {
					m := m.(map[string]any)
					mu.Lock()
					got = append(got, placement([]byte(m["Body"].(string))))
					if len(got) == orders*each {
						close(full)
					}
					mu.Unlock()
					if code, answer := ask(t, n, "DeleteMessage", `{"QueueUrl": "q", "ReceiptHandle": "`+m["ReceiptHandle"].(string)+`"}`); code != http.StatusOK {
						t.Errorf("delete: %v", answer)
					}
				}
			}
		})
	}
	for i := range each {
		for o := range orders {
			nodes[o%2].happen(fmt.Sprint("ticket/", o), fmt.Sprint(o, "-", i))
		}
	}
	select {
	case <-full:
	case <-time.After(soon):
		t.Error("not all messages were received")
		close(full)
	}
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	inOrder(t, got, orders, each)
}

func TestMessagesThatNobodyFetchesAreGivenUp(t *testing.T) {
	db, clock := sqlite(t)
	n := start(t, db, setup{sinks: []webhook.Sink{{Name: "q", Kind: webhook.SQS, MaxAge: time.Hour}}})
	n.happen("placement/1", "1")
	n.advance(clock, 59*time.Minute)
	if n.pending("q") != 1 {
		t.Error("given up before its time")
	}
	n.advance(clock, 3*time.Minute)
	dead, err := n.log.Dead(t.Context(), "q", nil, 10)
	if err != nil || len(dead) != 1 || dead[0].Reason != "nobody deleted it in time" {
		t.Errorf("dead %+v, %v", dead, err)
	}
}

func TestBadQueueRequests(t *testing.T) {
	db, _ := sqlite(t)
	n := start(t, db, setup{sinks: []webhook.Sink{{Name: "q", Kind: webhook.SQS}}})
	n.happenAll(event.Event{Type: eventType, Order: "1", Detail: detail{"x", "1"}})
	_, answer := ask(t, n, "ReceiveMessage", `{"QueueUrl": "http://elsewhere/123456789012/q"}`)
	handle := answer["Messages"].([]any)[0].(map[string]any)["ReceiptHandle"].(string)
	for _, c := range []struct{ operation, body, want string }{
		{"ReceiveMessage", `{}`, "MissingParameter"},
		{"ReceiveMessage", `[`, "SerializationException"},
		{"ReceiveMessage", `{"QueueUrl": 3}`, "SerializationException"},
		{"ReceiveMessage", `{"QueueUrl": "q", "MaxNumberOfMessages": "x"}`, "SerializationException"},
		{"ReceiveMessage", `{"QueueUrl": "q", "MaxNumberOfMessages": 0}`, "InvalidParameterValue"},
		{"ReceiveMessage", `{"QueueUrl": "q", "VisibilityTimeout": 43201}`, "InvalidParameterValue"},
		{"ReceiveMessage", `{"QueueUrl": "` + strings.Repeat("x", 300<<10) + `"}`, "RequestEntityTooLarge"},
		{"ChangeMessageVisibility", `{"QueueUrl": "q", "ReceiptHandle": "` + handle + `"}`, "MissingParameter"},
		{"ChangeMessageVisibility", `{"QueueUrl": "q", "ReceiptHandle": "` + handle + `", "VisibilityTimeout": -1}`, "InvalidParameterValue"},
		{"ListQueues", `{"MaxResults": 0}`, "InvalidParameterValue"},
		{"Nothing", `{}`, "UnsupportedOperation"},
		{"", `{}`, "UnsupportedOperation"},
	} {
		code, answer := ask(t, n, c.operation, c.body)
		if code < 400 || code > 499 || answer["__type"] != "com.amazonaws.sqs#"+c.want || answer["message"] == "" {
			t.Errorf("%s %.60s: %d %v, want %s", c.operation, c.body, code, answer, c.want)
		}
	}
	_, answer = ask(t, n, "ChangeMessageVisibilityBatch", `{"QueueUrl": "q", "Entries": [{"Id": "a", "ReceiptHandle": "`+handle+`", "VisibilityTimeout": 5}, {"Id": "b", "ReceiptHandle": "x", "VisibilityTimeout": 5}]}`)
	if text := fmt.Sprint(answer["Successful"], answer["Failed"]); !strings.Contains(text, "Id:a") || !strings.Contains(text, "Code:ReceiptHandleIsInvalid") {
		t.Errorf("a batch: %v", answer)
	}
	if !slices.Contains(webhook.Operations(), "sqs:ReceiveMessage") {
		t.Errorf("operations %v", webhook.Operations())
	}
}
