package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/store"
)

// message is what SNS posts. Signature, SignatureVersion and SigningCertURL are left out: a
// signature by a key that is not SNS's would be refused by whoever looks. The HMAC headers
// take their place.
type message struct {
	Type         string `json:"Type"`
	MessageID    string `json:"MessageId"`
	Token        string `json:"Token,omitempty"`
	TopicArn     string `json:"TopicArn"`
	Message      string `json:"Message"`
	SubscribeURL string `json:"SubscribeURL,omitempty"`
	Timestamp    string `json:"Timestamp"`
}

// notification wraps an event as SNS does.
func notification(sink Sink, e event.Entry) message {
	return message{
		Type: "Notification", MessageID: e.ID, TopicArn: cmp.Or(e.Target, sink.Topic), Message: e.Body,
		Timestamp: e.CreatedAt.Format(snsTime),
	}
}

const snsTime = "2006-01-02T15:04:05.000Z"

func (m message) text() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		panic(err) // strings always marshal
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// notifier sends events as SNS notifications, once the receiver has confirmed that it wants
// them: it visits the SubscribeURL it was sent, or answers with the token.
type notifier struct {
	s      *Server
	sink   Sink
	client *http.Client

	mu        sync.Mutex // held while the receiver is asked
	confirmed bool
	arn       string // the subscription's
}

func (n *notifier) close() { n.client.CloseIdleConnections() }

func (n *notifier) send(ctx context.Context, batch []event.Entry) []error {
	errs := make([]error, len(batch))
	for i, e := range batch {
		if errs[i] = n.subscribe(ctx); errs[i] == nil {
			_, errs[i] = n.post(ctx, notification(n.sink, e))
		}
	}
	return errs
}

func (n *notifier) post(ctx context.Context, m message) (answer []byte, err error) {
	h := http.Header{}
	h.Set("Content-Type", "text/plain; charset=UTF-8") // as SNS has it
	h.Set("X-Amz-Sns-Message-Type", m.Type)
	h.Set("X-Amz-Sns-Message-Id", m.MessageID)
	h.Set("X-Amz-Sns-Topic-Arn", m.TopicArn)
	if m.Type == "Notification" {
		h.Set("X-Amz-Sns-Subscription-Arn", n.arn)
		h.Set(headerID, m.MessageID)
		h.Set(headerOnce, m.MessageID)
	}
	return post(ctx, n.client, n.sink, h, m.text())
}

// subscribe returns nil when the receiver wants its notifications. Until then it asks, ever
// less often.
func (n *notifier) subscribe(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.confirmed {
		return nil
	}
	sub, err := n.s.subscription(ctx, n.sink)
	if err != nil {
		return &failure{reason: "subscription not read: " + err.Error(), down: unreachable, untried: true}
	}
	n.arn = n.sink.Topic + ":" + sub.id()
	wait := sub.due.Sub(n.s.DB.Now())
	if !sub.confirmed && wait <= 0 {
		wait = backOff(sub.asked)
		sub.confirmed, err = n.ask(ctx, sub, wait)
	}
	if sub.confirmed {
		n.confirmed = true
		return nil
	}
	reason := "the subscription is not confirmed"
	if err != nil {
		reason += ": " + err.Error()
	}
	return &failure{reason: reason, down: unreachable, wait: wait, untried: true}
}

// ask asks the receiver to confirm; true when it did so by its answer.
func (n *notifier) ask(ctx context.Context, sub subscription, wait time.Duration) (bool, error) {
	if err := n.s.asked(ctx, n.sink, wait); err != nil {
		return false, err
	}
	visit := n.s.Endpoint() + "/?" + url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {n.sink.Topic}, "Token": {sub.token}}.Encode()
	answer, err := n.post(ctx, message{
		Type: "SubscriptionConfirmation", MessageID: sub.id(), Token: sub.token, TopicArn: n.sink.Topic, SubscribeURL: visit,
		Message:   "You have chosen to subscribe to the topic " + n.sink.Topic + ".\nTo confirm the subscription, visit the SubscribeURL included in this message.",
		Timestamp: n.s.DB.Now().UTC().Format(snsTime),
	})
	if err != nil || !bytes.Contains(answer, []byte(sub.token)) {
		return false, err
	}
	_, found, err := n.s.confirm(ctx, sub.token)
	return found, err
}

const tokenSize = 32

type subscription struct {
	token     string
	asked     int
	due       time.Time
	confirmed bool
}

// id is a public name of the subscription, from which its token cannot be told.
func (s subscription) id() string {
	sum := sha256.Sum256([]byte(s.token))
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// subscription reads a sink's subscription. One of another URL is begun anew: its owner may
// be another.
func (s *Server) subscription(ctx context.Context, sink Sink) (sub subscription, err error) {
	var fresh [tokenSize]byte
	_, _ = rand.Read(fresh[:]) // never fails
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`
			INSERT INTO event_subscription (sink, url, token, asked, due_at) VALUES ($1, $2, $3, 0, $4)
			ON CONFLICT (sink) DO UPDATE SET url = excluded.url, token = excluded.token, asked = 0, due_at = excluded.due_at, confirmed_at = NULL
			WHERE event_subscription.url <> excluded.url`,
			sink.Name, sink.URL, hex.EncodeToString(fresh[:]), tx.NowMs()); err != nil {
			return err
		}
		var due int64
		var at *int64
		err := tx.QueryRow(`SELECT token, asked, due_at, confirmed_at FROM event_subscription WHERE sink = $1`, sink.Name).
			Scan(&sub.token, &sub.asked, &due, &at)
		sub.due, sub.confirmed = time.UnixMilli(due), at != nil
		return err
	})
	return sub, err
}

// asked notes that a receiver is asked, and not again for a while.
func (s *Server) asked(ctx context.Context, sink Sink, wait time.Duration) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE event_subscription SET asked = asked + 1, due_at = $2 WHERE sink = $1`, sink.Name, tx.NowMs()+wait.Milliseconds())
		return err
	})
}

// confirm confirms the subscription of a token, which may be done twice, and returns its
// sink.
func (s *Server) confirm(ctx context.Context, token string) (sink string, found bool, err error) {
	if raw, err := hex.DecodeString(token); err != nil || len(raw) != tokenSize {
		return "", false, nil //nolint:nilerr // nobody was sent that
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		found = false
		err := tx.QueryRow(`UPDATE event_subscription SET confirmed_at = COALESCE(confirmed_at, $2) WHERE token = $1 RETURNING sink`, token, tx.NowMs()).Scan(&sink)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		found = err == nil
		tx.Notify(confirmed, sink)
		return err
	})
	return sink, found, err
}

// ConfirmSubscription is the one operation of SNS that Handler answers.
const ConfirmSubscription = "ConfirmSubscription"

const mostForm = 16 << 10

// isSNS tells whether a request is one of SNS's query protocol: a visit of a SubscribeURL,
// or a client's form.
func isSNS(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet:
		return r.URL.RawQuery != "" && r.URL.Query().Get("Action") == ConfirmSubscription
	case http.MethodPost:
		form, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		return err == nil && form == "application/x-www-form-urlencoded" && r.Header.Get(targetHeader) == "" && r.Header.Get("Smithy-Protocol") == ""
	}
	return false
}

// serveSNS answers ConfirmSubscription. The token is all it takes, as with SNS.
func (s *Server) serveSNS(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		queryError(w, http.StatusBadRequest, "MalformedInput", "The form cannot be read.")
		return
	}
	if action := r.Form.Get("Action"); action != ConfirmSubscription {
		queryError(w, http.StatusBadRequest, "InvalidAction", fmt.Sprintf("The action %q is not offered here; the only one in this protocol is ConfirmSubscription.", action))
		return
	}
	sink, found, err := s.confirm(r.Context(), r.Form.Get("Token"))
	switch {
	case err != nil:
		s.logger().Error("subscription not confirmed", "error", err)
		queryError(w, http.StatusInternalServerError, "InternalError", "An internal error occurred.")
		return
	case !found:
		queryError(w, http.StatusBadRequest, "InvalidParameter", "Invalid parameter: Token")
		return
	}
	s.logger().Info("subscription confirmed", "sink", sink)
	topic := ""
	for _, k := range s.Sinks {
		if k.Name == sink {
			topic = k.withDefaults(s.Home).Topic
		}
	}
	writeXML(w, http.StatusOK, struct {
		XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ ConfirmSubscriptionResponse"`
		ARN     string   `xml:"ConfirmSubscriptionResult>SubscriptionArn"`
		ID      string   `xml:"ResponseMetadata>RequestId"`
	}{ARN: topic + ":" + subscription{token: r.Form.Get("Token")}.id(), ID: requestID()})
}

func queryError(w http.ResponseWriter, status int, code, text string) {
	kind := "Sender"
	if status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	writeXML(w, status, struct {
		XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ ErrorResponse"`
		Type    string   `xml:"Error>Type"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
		ID      string   `xml:"RequestId"`
	}{Type: kind, Code: code, Message: text, ID: requestID()})
}

func writeXML(w http.ResponseWriter, status int, v any) {
	text, err := xml.Marshal(v)
	if err != nil {
		panic(err) // strings always marshal
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(text) // an error means that the client is gone
}
