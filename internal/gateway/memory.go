package gateway

import (
	"sync"
	"time"
)

// memory keeps the answers of the last minutes by RequestId, so that a request that is sent
// again, on the same socket or a new one, is answered again and not carried out twice: C++
// repeats a request up to five times, 20 s apart (1.9). The zero value is ready.
type memory struct {
	mu    sync.Mutex
	calls map[string]*call
	order []string // ids, oldest first
}

// call is a request that runs or has been answered.
type call struct {
	action  string
	since   time.Time
	answer  []byte    // nil while it runs
	waiting []*socket // that asked again meanwhile
}

const (
	rememberTime = 5 * time.Minute
	maxRemember  = 1024
)

// begin notes that a request runs. When it is known already, first is false, and either
// answer is what it got, or the socket will get the answer when there is one. With another
// action under the same id, mismatch is true.
func (m *memory) begin(id, action string, k *socket, now time.Time) (answer []byte, first, mismatch bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld(now)
	c := m.calls[id]
	switch {
	case c == nil:
	case c.action != action:
		return nil, false, true
	case c.answer != nil:
		return c.answer, false, false
	default:
		c.waiting = append(c.waiting, k)
		return nil, false, false
	}
	if m.calls == nil {
		m.calls = map[string]*call{}
	}
	m.calls[id] = &call{action: action, since: now}
	m.order = append(m.order, id)
	return nil, true, false
}

// finish notes the answer and returns the sockets that wait for it. An answer that may be
// another one next time (keep is false) is not remembered.
func (m *memory) finish(id string, answer []byte, keep bool) []*socket {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.calls[id]
	if c == nil {
		return nil
	}
	waiting := c.waiting
	c.answer, c.waiting = answer, nil
	if !keep {
		delete(m.calls, id) // its place in order goes with time
	}
	return waiting
}

// forget drops what is old.
func (m *memory) forget(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld(now)
}

// forgetOld drops what is old or too much. Requests that run stay.
func (m *memory) forgetOld(now time.Time) {
	for len(m.order) > 0 {
		c := m.calls[m.order[0]]
		if c != nil && (c.answer == nil || now.Sub(c.since) < rememberTime && len(m.order) <= maxRemember) {
			return
		}
		delete(m.calls, m.order[0])
		m.order = m.order[1:]
	}
	m.calls, m.order = nil, nil
}
