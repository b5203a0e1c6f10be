package store

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

type note struct{ channel, payload string }

// joined is the channel on which a node tells the others that it is there.
const joined = "store-joined"

// bus carries notifications to this node's subscribers.
type bus struct {
	mu   sync.Mutex
	subs map[string][]*subscription // the lists are replaced, never changed
}

type subscription struct{ f func(payload string) }

// Subscribe calls f for each notification on channel, of this node's transactions and, on
// PostgreSQL, of all nodes'. f must return at once. The returned function ends it.
func (db *DB) Subscribe(channel string, f func(payload string)) (cancel func()) {
	s := &subscription{f}
	b := &db.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subs == nil {
		b.subs = map[string][]*subscription{}
	}
	b.subs[channel] = append(slices.Clip(b.subs[channel]), s)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.subs[channel] = slices.DeleteFunc(slices.Clone(b.subs[channel]), func(o *subscription) bool { return o == s })
	}
}

func (b *bus) publish(notes []note) {
	for _, n := range notes {
		b.mu.Lock()
		subs := b.subs[n.channel]
		b.mu.Unlock()
		for _, s := range subs {
			s.f(n.payload)
		}
	}
}

// listen receives the other nodes' notifications until the DB closes. It returns when the
// first connection listens. What is sent while it connects again is lost.
func (db *DB) listen(ctx context.Context, b *pgBackend) error {
	c, err := b.listener(ctx)
	if err != nil {
		return err
	}
	db.work.Go(func() {
		for db.life.Err() == nil {
			err := b.receive(db.life, c, db.hear)
			if db.life.Err() != nil {
				return
			}
			db.opts.Logger.Warn("notifications of other nodes interrupted", "error", err)
			c = db.listenAgain(b)
		}
	})
	return nil
}

// listenAgain connects until it succeeds; nil when the DB closes.
func (db *DB) listenAgain(b *pgBackend) *pgListener {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		if c, err := b.listener(db.life); err == nil {
			return c
		}
		select {
		case <-db.life.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// hear passes on what another node sent: its id, the channel and the payload.
func (db *DB) hear(b *pgBackend, text string) {
	node, rest, _ := strings.Cut(text, " ")
	channel, payload, ok := strings.Cut(rest, " ")
	if !ok || node == db.node {
		return // our own were published at the commit
	}
	if channel == joined {
		b.peers.Store(true)
	}
	db.bus.publish([]note{{channel, payload}})
}
