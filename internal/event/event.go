// Package event is the outbox: rooms append events to it in the transactions in which they
// happen, and it keeps them, per sink, until the sink has them or they are given up. It
// owns the envelope, which is EventBridge's (sessions-placement.md 6.9), the order and the
// retention; it does not know what a sink is nor how anything is sent.
package event

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"slices"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// Event is something that happened, as its room tells it.
type Event struct {
	Type     string // detail-type, as in "GameLift Queue Placement Event"
	Order    string // events of one Order are delivered in the order of their transactions, as in "placement/ID"
	Resource string // the one ARN in "resources"
	Target   string // the resource's own NotificationTarget, a topic ARN; "" for none
	Detail   any    // marshalled as "detail"; its member "type" tells kinds of a Type apart
	Millis   bool   // "time" has milliseconds, as matchmaking events have it
}

// Channel is where a transaction that appended events notifies, with the sink's name.
const Channel = "event"

// Log is the outbox. It is made by a literal. A nil Log takes events and forgets them.
type Log struct {
	DB   *store.DB
	Home arn.Home
	// Route names the sinks that want an event, by its Type, its detail's type and its
	// Target. nil: there are none.
	Route func(eventType, kind, target string) []string
	// KeepDead is how long events that were given up are kept; 0 means 14 days.
	KeepDead time.Duration
}

// envelope is an event as the world sees it.
type envelope struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// AppendTx records events in tx, for each sink that wants them: with tx they exist or do
// not. They have their order from their place in the list and from tx's place among the
// transactions of the same Order, which must exclude each other (by the lock of a row, say)
// before they append. An event that nobody wants costs no statement.
func (l *Log) AppendTx(tx *store.Tx, events ...Event) error {
	if l == nil || l.Route == nil {
		return nil
	}
	var rows [][]any
	var woken []string
	for _, e := range events {
		detail, err := marshal(e.Detail)
		if err != nil {
			return err
		}
		var kind struct{ Type string }
		_ = json.Unmarshal(detail, &kind) // a detail without one has no kind
		sinks := l.Route(e.Type, kind.Type, e.Target)
		if len(sinks) == 0 {
			continue
		}
		key := tx.NewKey()
		id := key.UUID(store.Tail())
		body, err := marshal(l.envelope(tx.Now, id, e, detail))
		if err != nil {
			return err
		}
		for _, sink := range sinks {
			rows = append(rows, []any{sink, key, hash(e.Order), id, e.Type, e.Order, e.Target, string(body), tx.NowMs()})
			if !slices.Contains(woken, sink) {
				woken = append(woken, sink)
			}
		}
	}
	if err := insert(tx, rows); err != nil {
		return err
	}
	for _, sink := range woken {
		tx.Notify(Channel, sink)
	}
	return nil
}

func (l *Log) envelope(now time.Time, id string, e Event, detail []byte) envelope {
	resources := []string{}
	if e.Resource != "" {
		resources = append(resources, e.Resource)
	}
	layout := "2006-01-02T15:04:05Z"
	if e.Millis {
		layout = "2006-01-02T15:04:05.000Z"
	}
	return envelope{
		Version: "0", ID: id, DetailType: e.Type, Source: "aws.gamelift", Account: l.Home.Account,
		Time: now.UTC().Format(layout), Region: l.Home.Region, Resources: resources, Detail: detail,
	}
}

// Wanted tells whether somebody wants events of a type and kind with a target, so that a room
// need not make what nobody reads.
func (l *Log) Wanted(eventType, kind, target string) bool {
	return l != nil && l.Route != nil && len(l.Route(eventType, kind, target)) > 0
}

// marshal is JSON as AWS writes it: without the escapes that HTML would need.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func hash(order string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(order))
	return int64(h.Sum64())
}
