package store

import "sync"

type note struct{ channel, payload string }

// bus carries notifications to this node's subscribers.
type bus struct {
	mu   sync.Mutex
	subs map[string]map[*subscription]struct{}
}

type subscription struct{ f func(payload string) }

// Subscribe calls f for each notification on channel, of this node's transactions and, on
// PostgreSQL, of all nodes'. f must return at once. The returned function ends it.
func (db *DB) Subscribe(channel string, f func(payload string)) (cancel func()) {
	s := &subscription{f}
	db.bus.mu.Lock()
	defer db.bus.mu.Unlock()
	if db.bus.subs == nil {
		db.bus.subs = map[string]map[*subscription]struct{}{}
	}
	if db.bus.subs[channel] == nil {
		db.bus.subs[channel] = map[*subscription]struct{}{}
	}
	db.bus.subs[channel][s] = struct{}{}
	return func() {
		db.bus.mu.Lock()
		defer db.bus.mu.Unlock()
		delete(db.bus.subs[channel], s)
	}
}

func (b *bus) publish(notes []note) {
	for _, n := range notes {
		b.mu.Lock()
		subs := make([]*subscription, 0, len(b.subs[n.channel]))
		for s := range b.subs[n.channel] {
			subs = append(subs, s)
		}
		b.mu.Unlock()
		for _, s := range subs {
			s.f(n.payload)
		}
	}
}
