package webhook

import (
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // SQS's checksum of a message
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
)

// queue is a sink that is fetched from by the operations of an SQS queue. Its messages are
// the rows of the log, so they are as durable as those and the same on every node. Messages
// of one Order come in order, as in a FIFO queue's group: the next one when the one before is
// deleted. The names of members are SQS's.
type queue struct {
	s    *Server
	sink Sink

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when there may be messages
}

const (
	mostMessages = 10
	mostWait     = 20 // seconds
	lookAgain    = time.Second
	mostMessage  = 256 << 10
)

func (q *queue) rouse() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *queue) change() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

func (q *queue) arn() string {
	return "arn:aws:sqs:" + q.s.Home.Region + ":" + q.s.Home.Account + ":" + q.sink.Queue
}

// operation is one of the service's: it gets a queue, if the operation is of one.
type operation struct {
	ofQueue bool
	in      func() any
	run     func(ctx context.Context, s *Server, q *queue, base string, in any) (any, error)
}

func op[In any](ofQueue bool, f func(ctx context.Context, s *Server, q *queue, base string, in *In) (any, error)) operation {
	return operation{ofQueue, func() any { return new(In) }, func(ctx context.Context, s *Server, q *queue, base string, in any) (any, error) {
		return f(ctx, s, q, base, in.(*In))
	}}
}

// queueOperations are those offered, by name.
var queueOperations = map[string]operation{
	"GetQueueUrl":                  op(false, getQueueURL),
	"ListQueues":                   op(false, listQueues),
	"GetQueueAttributes":           op(true, getQueueAttributes),
	"ReceiveMessage":               op(true, receiveMessage),
	"DeleteMessage":                op(true, deleteMessage),
	"DeleteMessageBatch":           op(true, deleteMessageBatch),
	"ChangeMessageVisibility":      op(true, changeVisibility),
	"ChangeMessageVisibilityBatch": op(true, changeVisibilityBatch),
	"PurgeQueue":                   op(true, purgeQueue),
}

// queueURL is where a queue is, as the caller sees this server. The last segment is all that
// counts when it comes back.
func queueURL(s *Server, base, name string) string {
	return base + "/" + s.Home.Account + "/" + name
}

type getQueueURLIn struct{ QueueName string }

func getQueueURL(_ context.Context, s *Server, _ *queue, base string, in *getQueueURLIn) (any, error) {
	if s.queues[in.QueueName] == nil {
		return nil, errNoQueue
	}
	return map[string]string{"QueueUrl": queueURL(s, base, in.QueueName)}, nil
}

type listQueuesIn struct {
	QueueNamePrefix, NextToken string
	MaxResults                 *int
}

func listQueues(_ context.Context, s *Server, _ *queue, base string, in *listQueuesIn) (any, error) {
	most, err := within("MaxResults", in.MaxResults, 1000, 1, 1000)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	var urls []string
	last := ""
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		if !strings.HasPrefix(name, in.QueueNamePrefix) || name <= in.NextToken {
			continue
		}
		if len(urls) == most {
			out["NextToken"] = last
			break
		}
		urls = append(urls, queueURL(s, base, name))
		last = name
	}
	if len(urls) > 0 {
		out["QueueUrls"] = urls
	}
	return out, nil
}

type attributesIn struct{ AttributeNames []string }

func getQueueAttributes(ctx context.Context, s *Server, q *queue, _ string, in *attributesIn) (any, error) {
	waiting, hidden, err := s.Log.Depth(ctx, q.sink.Name)
	if err != nil {
		return nil, err
	}
	all := map[string]string{
		"ApproximateNumberOfMessages":           strconv.FormatInt(waiting, 10),
		"ApproximateNumberOfMessagesNotVisible": strconv.FormatInt(hidden, 10),
		"ApproximateNumberOfMessagesDelayed":    "0",
		"DelaySeconds":                          "0",
		"MaximumMessageSize":                    strconv.Itoa(mostMessage),
		"MessageRetentionPeriod":                seconds(q.sink.MaxAge),
		"QueueArn":                              q.arn(),
		"ReceiveMessageWaitTimeSeconds":         "0",
		"VisibilityTimeout":                     seconds(q.sink.Visibility),
	}
	if strings.HasSuffix(q.sink.Queue, ".fifo") {
		all["FifoQueue"] = "true"
	}
	out := map[string]string{}
	for _, name := range in.AttributeNames {
		if name == "All" {
			out = all
			break
		}
		if v, ok := all[name]; ok {
			out[name] = v
		}
	}
	if len(out) == 0 {
		return struct{}{}, nil
	}
	return map[string]any{"Attributes": out}, nil
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

type receiveIn struct {
	AttributeNames, MessageSystemAttributeNames             []string
	MaxNumberOfMessages, VisibilityTimeout, WaitTimeSeconds *int
}

type receivedMessage struct {
	MessageID     string            `json:"MessageId"`
	ReceiptHandle string            `json:"ReceiptHandle"`
	MD5OfBody     string            `json:"MD5OfBody"`
	Body          string            `json:"Body"`
	Attributes    map[string]string `json:"Attributes,omitempty"`
}

// receiveMessage waits, if it is asked to, until there is a message.
func receiveMessage(ctx context.Context, s *Server, q *queue, _ string, in *receiveIn) (any, error) {
	most, err := within("MaxNumberOfMessages", in.MaxNumberOfMessages, 1, 1, mostMessages)
	if err != nil {
		return nil, err
	}
	hidden, err := within("VisibilityTimeout", in.VisibilityTimeout, int(q.sink.Visibility/time.Second), 0, int(mostVisibility/time.Second))
	if err != nil {
		return nil, err
	}
	wait, err := within("WaitTimeSeconds", in.WaitTimeSeconds, 0, 0, mostWait)
	if err != nil {
		return nil, err
	}
	got, err := q.receive(ctx, most, time.Duration(hidden)*time.Second, time.Duration(wait)*time.Second)
	if err != nil || len(got) == 0 {
		return struct{}{}, err
	}
	names := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	messages := make([]receivedMessage, len(got))
	for i, e := range got {
		messages[i] = q.message(e, names)
	}
	return map[string]any{"Messages": messages}, nil
}

// receive takes messages, and waits for the first in wall time. Those hidden for no time at
// all are looked at, and stay.
func (q *queue) receive(ctx context.Context, most int, hidden, wait time.Duration) ([]event.Entry, error) {
	late := time.NewTimer(wait)
	defer late.Stop()
	for {
		changed := q.change() // before the look, so that nothing slips between
		got, err := q.s.Log.Receive(ctx, q.sink.Name, most, hidden)
		if err != nil || len(got) > 0 || wait <= 0 {
			return got, err
		}
		select {
		case <-changed:
		case <-time.After(lookAgain): // a hidden message may be visible again
		case <-late.C:
			return nil, nil
		case <-ctx.Done():
			return nil, nil
		case <-q.s.closing:
			return nil, nil
		}
	}
}

func (q *queue) message(e event.Entry, names []string) receivedMessage {
	body := e.Body
	if q.sink.Envelope == "sns" {
		body = notification(q.sink, e).text()
	}
	sum := md5.Sum([]byte(body)) //nolint:gosec // as above
	m := receivedMessage{
		MessageID: e.ID, Body: body, MD5OfBody: hex.EncodeToString(sum[:]),
		ReceiptHandle: handle(q.sink.Queue, event.Receipt{Key: e.Key, Receipt: e.Receipt}),
	}
	all := map[string]string{
		"SenderId":                         q.s.Home.Account,
		"SentTimestamp":                    strconv.FormatInt(e.CreatedAt.UnixMilli(), 10),
		"ApproximateReceiveCount":          strconv.Itoa(e.Tries),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(e.TriedAt.UnixMilli(), 10),
		"MessageGroupId":                   e.Order,
	}
	for _, name := range names {
		if name == "All" {
			m.Attributes = all
			break
		}
		if v, ok := all[name]; ok {
			if m.Attributes == nil {
				m.Attributes = map[string]string{}
			}
			m.Attributes[name] = v
		}
	}
	return m
}

// handle is a receipt as the caller gets it. It is good for its queue.
func handle(name string, r event.Receipt) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d.%s", r.Key, r.Receipt, name))
}

func parseHandle(name, text string) (event.Receipt, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	parts := strings.SplitN(string(raw), ".", 3)
	if err != nil || len(parts) != 3 || parts[2] != name {
		return event.Receipt{}, badHandle(text)
	}
	key, err1 := strconv.ParseInt(parts[0], 10, 64)
	receipt, err2 := strconv.ParseInt(parts[1], 10, 64)
	if cmp.Or(err1, err2) != nil {
		return event.Receipt{}, badHandle(text)
	}
	return event.Receipt{Key: store.Key(key), Receipt: receipt}, nil
}

type deleteIn struct{ ReceiptHandle string }

// deleteMessage removes a message. One that is gone, or was received again by another, is
// no error.
func deleteMessage(ctx context.Context, s *Server, q *queue, _ string, in *deleteIn) (any, error) {
	r, err := parseHandle(q.sink.Queue, in.ReceiptHandle)
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.Log.Delete(ctx, q.sink.Name, r)
}

type batchEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

type batchIn struct{ Entries []batchEntry }

type batchOut struct {
	Successful []succeeded `json:"Successful"`
	Failed     []failed    `json:"Failed"`
}

type succeeded struct {
	ID string `json:"Id"`
}

type failed struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

func (o *batchOut) add(id string, err error) error {
	if err == nil {
		o.Successful = append(o.Successful, succeeded{id})
		return nil
	}
	f, ok := errors.AsType[*queueError](err)
	if !ok {
		return err
	}
	o.Failed = append(o.Failed, failed{ID: id, Code: f.code, Message: f.text, SenderFault: true})
	return nil
}

func newBatch() *batchOut { return &batchOut{Successful: []succeeded{}, Failed: []failed{}} }

func (in *batchIn) check() error {
	switch n := len(in.Entries); {
	case n == 0:
		return &queueError{code: "EmptyBatchRequest", legacy: "AWS.SimpleQueueService.EmptyBatchRequest", text: "There should be at least one entry in the request."}
	case n > mostMessages:
		return &queueError{
			code: "TooManyEntriesInBatchRequest", legacy: "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
			text: fmt.Sprintf("Maximum number of entries per request are %d. You have sent %d.", mostMessages, n),
		}
	}
	seen := map[string]bool{}
	for _, e := range in.Entries {
		if seen[e.ID] {
			return &queueError{
				code: "BatchEntryIdsNotDistinct", legacy: "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
				text: fmt.Sprintf("Id %s repeated.", e.ID),
			}
		}
		seen[e.ID] = true
	}
	return nil
}

func deleteMessageBatch(ctx context.Context, s *Server, q *queue, _ string, in *batchIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	out := newBatch()
	var receipts []event.Receipt
	for _, e := range in.Entries {
		r, err := parseHandle(q.sink.Queue, e.ReceiptHandle)
		if err == nil {
			receipts = append(receipts, r)
		}
		if err := out.add(e.ID, err); err != nil {
			return nil, err
		}
	}
	if len(receipts) == 0 {
		return out, nil
	}
	return out, s.Log.Delete(ctx, q.sink.Name, receipts...)
}

type visibilityIn struct {
	ReceiptHandle     string
	VisibilityTimeout *int
}

func changeVisibility(ctx context.Context, s *Server, q *queue, _ string, in *visibilityIn) (any, error) {
	return struct{}{}, q.hide(ctx, s, in.ReceiptHandle, in.VisibilityTimeout)
}

func changeVisibilityBatch(ctx context.Context, s *Server, q *queue, _ string, in *batchIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	out := newBatch()
	for _, e := range in.Entries {
		if err := out.add(e.ID, q.hide(ctx, s, e.ReceiptHandle, e.VisibilityTimeout)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (q *queue) hide(ctx context.Context, s *Server, text string, timeout *int) error {
	r, err := parseHandle(q.sink.Queue, text)
	if err != nil {
		return err
	}
	if timeout == nil {
		return &queueError{code: "MissingParameter", text: "The request must contain the parameter VisibilityTimeout."}
	}
	d, err := within("VisibilityTimeout", timeout, 0, 0, int(mostVisibility/time.Second))
	if err != nil {
		return err
	}
	ok, err := s.Log.Hide(ctx, q.sink.Name, r, time.Duration(d)*time.Second)
	if err == nil && !ok {
		return &queueError{
			code: "MessageNotInflight", legacy: "AWS.SimpleQueueService.MessageNotInflight",
			text: "The message of that receipt handle is not in flight: it was deleted, or its time was over.",
		}
	}
	return err
}

func purgeQueue(ctx context.Context, s *Server, q *queue, _ string, _ *struct{}) (any, error) {
	n, err := s.Log.Purge(ctx, q.sink.Name)
	if err == nil {
		s.logger().Warn("queue purged", "sink", q.sink.Name, "events", n)
	}
	return struct{}{}, err
}

// within is a number of the request, or its default.
func within(name string, given *int, standard, least, most int) (int, error) {
	if given == nil {
		return standard, nil
	}
	if *given < least || *given > most {
		return 0, &queueError{
			code: "InvalidParameterValue",
			text: fmt.Sprintf("Value %d for parameter %s is invalid. Reason: Must be between %d and %d.", *given, name, least, most),
		}
	}
	return *given, nil
}
