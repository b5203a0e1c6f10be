package matchmaking

import (
	"container/heap"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/store"
)

// A configuration's pool is in the memory of the node that holds its lease. What it has is a
// copy: the rows decide, so two nodes that both believe to hold it do no harm.
const (
	leaseLife = 4 * time.Second // wall time; Look renews it and is to be called every second
	idleLooks = 30              // how often Look finds a pool without tickets before it lets it go
	auditEach = 60              // looks between comparisons of a pool with its rows
)

// pool is the tickets of a configuration that wait.
type pool struct {
	key store.Key

	mu    sync.Mutex
	held  bool
	anew  bool // the pool is to be made from the rows
	stale bool // rows may have what the pool has not
	audit bool // all of its tickets are to be compared with their rows
	fresh []*ticket
	gone  []string
	idle  int
	next  time.Time // when something is due; zero for never

	// passing is held while a pass runs; what follows is the pass's.
	passing   sync.Mutex
	loaded    bool
	c         configuration
	rs        *flexmatch.RuleSet
	engine    *flexmatch.Pool
	tickets   map[string]*ticket
	unseen    map[string]bool // whose rows do not say yet that a pool has them
	deadlines deadlines
	credit    float64   // for explanations
	creditAt  time.Time // when it was counted last
}

// pools are the pools of a node.
type pools struct {
	mu  sync.Mutex
	all map[store.Key]*pool
}

func (s *Service) pool(key store.Key) *pool {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	p := s.pools.all[key]
	if p == nil {
		if s.pools.all == nil {
			s.pools.all = map[store.Key]*pool{}
		}
		p = &pool{key: key, stale: true}
		s.pools.all[key] = p
	}
	return p
}

func (s *Service) existingPool(key store.Key) *pool {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	return s.pools.all[key]
}

func (s *Service) allPools() (list []*pool) {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	for _, p := range s.pools.all {
		list = append(list, p)
	}
	return list
}

// holds tells whether this node has a configuration's pool.
func (s *Service) holds(key store.Key) bool {
	p := s.existingPool(key)
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// handOver gives a new ticket to the pool, if this node has it. Where it does not, the node
// that does was notified.
func (s *Service) handOver(t *ticket) {
	p := s.existingPool(t.configuration)
	if p == nil {
		return
	}
	p.mu.Lock()
	if p.held {
		p.fresh = append(p.fresh, t)
	}
	p.mu.Unlock()
	s.wake(t.configuration)
}

func (s *Service) wake(configuration store.Key) {
	if s.Wake != nil {
		s.Wake(configuration)
	}
}

// Heard takes a notification of Channel, and calls Wake.
func (s *Service) Heard(payload string) {
	text, ids, _ := strings.Cut(payload, " ")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return
	}
	key := store.Key(n)
	p := s.pool(key)
	p.mu.Lock()
	if ids != "" {
		p.gone = append(p.gone, strings.Fields(ids)...)
	} else {
		p.stale = true
	}
	p.mu.Unlock()
	s.wake(key)
}

func leaseName(key store.Key) string { return "matchmaking/" + strconv.FormatInt(int64(key), 10) }

// Look renews the leases of this node's pools, takes those of configurations that nobody has,
// and returns the configurations that a pass is for now: notifications may get lost. It is to
// be called about every second.
func (s *Service) Look(ctx context.Context) ([]store.Key, error) {
	var live []store.Key
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		live, err = liveConfigurations(tx)
		return err
	}); err != nil {
		return nil, err
	}
	is := map[store.Key]bool{}
	for _, key := range live {
		is[key] = true
		s.pool(key)
	}
	looks := s.looks.Add(1)
	var mine []store.Key
	var failed error
	for _, p := range s.allPools() {
		p.mu.Lock()
		p.stale, p.audit = true, p.audit || looks%auditEach == 0
		if p.idle++; is[p.key] || len(p.fresh) > 0 {
			p.idle = 0
		}
		idle := p.idle > idleLooks
		p.mu.Unlock()
		if idle {
			failed = errors.Join(failed, s.release(ctx, p))
			continue
		}
		ok, err := s.lease(ctx, p, leaseLife)
		failed = errors.Join(failed, err)
		if ok {
			mine = append(mine, p.key)
		}
	}
	return mine, failed
}

// lease takes or renews a pool's lease. With SQLite there is no other node.
func (s *Service) lease(ctx context.Context, p *pool, life time.Duration) (ok bool, err error) {
	if ok = s.DB.Dialect() == store.SQLite; !ok {
		ok, err = s.DB.Lease(ctx, leaseName(p.key), life)
	}
	ok = ok && err == nil && life > 0
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != ok || !ok {
		p.fresh, p.gone, p.anew = nil, nil, true // the rows have it all
	}
	p.held = ok
	return ok, err
}

// release gives a pool up.
func (s *Service) release(ctx context.Context, p *pool) error {
	s.pools.mu.Lock()
	delete(s.pools.all, p.key)
	s.pools.mu.Unlock()
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if !held {
		return nil
	}
	_, err := s.lease(ctx, p, 0)
	return err
}

// Release gives all pools of this node up, so that another takes them at once.
func (s *Service) Release(ctx context.Context) error {
	var failed error
	for _, p := range s.allPools() {
		failed = errors.Join(failed, s.release(ctx, p))
	}
	return failed
}

// liveConfigurations are those that have tickets which have not ended. It steps from one to
// the next in the index, and not over the tickets.
func liveConfigurations(tx *store.Tx) (keys []store.Key, err error) {
	last := store.Key(-1)
	for {
		var next *store.Key
		if err := tx.QueryRow(`SELECT min(configuration) FROM matchmaking_ticket WHERE configuration > $1 AND status <= 5`, last).Scan(&next); err != nil || next == nil {
			return keys, err
		}
		keys = append(keys, *next)
		last = *next
	}
}

// refill brings a pool up to date with its configuration and, where they may differ, its rows.
func (s *Service) refill(ctx context.Context, p *pool) error {
	p.mu.Lock()
	fresh, gone, stale, audit := p.fresh, p.gone, p.stale, p.audit
	p.fresh, p.gone, p.stale, p.audit = nil, nil, false, false
	if p.anew {
		p.anew, p.loaded = false, false
	}
	p.mu.Unlock()
	if !p.loaded || stale || audit {
		if err := s.readRows(ctx, p, audit); err != nil {
			p.mu.Lock()
			p.stale, p.audit = true, p.audit || audit
			p.fresh, p.gone = append(fresh, p.fresh...), append(gone, p.gone...)
			p.mu.Unlock()
			return err
		}
	}
	for _, t := range fresh {
		if p.tickets[t.ID] == nil {
			p.take(t)
		}
	}
	for _, id := range gone {
		p.drop(id)
	}
	return nil
}

// loadPage is how many tickets one read of a starting pool has.
const loadPage = 5000

func (s *Service) readRows(ctx context.Context, p *pool, audit bool) error {
	var c configuration
	var rs *flexmatch.RuleSet
	var list []*ticket
	var waiting map[store.Key]bool
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		list, waiting = nil, nil
		if c, err = s.configurationByKeyTx(tx, p.key); err != nil {
			return err
		}
		if rs, err = s.ruleSetTx(tx, c.RuleSetKey); err != nil {
			return err
		}
		for after := store.Key(0); ; {
			page, err := waitingTickets(tx, p.key, after, p.loaded, loadPage)
			if err != nil {
				return err
			}
			list = append(list, page...)
			if len(page) < loadPage {
				break
			}
			after = page[len(page)-1].key
		}
		if audit {
			waiting, err = waitingKeys(tx, p.key)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !p.loaded || p.c.Version != c.Version || p.c.RuleSetKey != c.RuleSetKey {
		p.engine = flexmatch.NewPool(rs, flexmatch.Options{
			PartyAsOne: s.Config.PartyAsOne, AnyLocation: s.Config.AnyLocation, AdditionalPlayerCount: c.additional(), Seed: s.Config.Seed,
		})
		if !p.loaded {
			p.tickets, p.unseen, p.deadlines = map[string]*ticket{}, map[string]bool{}, nil
		}
		for _, t := range p.tickets {
			p.engine.Add(t.request())
		}
	}
	p.c, p.rs, p.loaded = c, rs, true
	for _, t := range list {
		p.take(t)
	}
	if audit {
		for id, t := range p.tickets {
			if !waiting[t.key] {
				p.drop(id)
			}
		}
	}
	return nil
}

func (p *pool) take(t *ticket) {
	p.tickets[t.ID] = t
	p.engine.Add(t.request())
	heap.Push(&p.deadlines, deadline{t.until, t.ID})
	if t.status != searching {
		p.unseen[t.ID] = true
	}
}

func (p *pool) drop(id string) {
	p.engine.Remove(id)
	delete(p.tickets, id)
	delete(p.unseen, id)
}

// forget drops everything: another node has the pool, or its configuration is gone.
func (p *pool) forget() {
	p.loaded, p.engine, p.tickets, p.unseen, p.deadlines = false, nil, nil, nil, nil
	p.mu.Lock()
	p.anew, p.next = true, time.Time{}
	p.mu.Unlock()
}

// deadline is when a ticket times out.
type deadline struct {
	at time.Time
	id string
}

// deadlines are a heap. Those of tickets that left are passed over.
type deadlines []deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(x any)        { *d = append(*d, x.(deadline)) }
func (d *deadlines) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

// overdue are the tickets whose time is over, up to a number of them; they stay in the pool.
func (p *pool) overdue(now time.Time, most int) (list []*ticket) {
	for len(p.deadlines) > 0 && len(list) < most {
		first := p.deadlines[0]
		t := p.tickets[first.id]
		if t != nil && first.at.After(now) {
			break
		}
		heap.Pop(&p.deadlines)
		if t != nil && !t.until.After(now) { // and did not come back with more time
			list = append(list, t)
		}
	}
	return list
}

// due is the next instant at which a pass may find what the last one could not.
func (p *pool) due(now time.Time) (next time.Time) {
	if p.engine == nil {
		return next
	}
	if at, ok := p.engine.NextStep(now); ok {
		next = at
	}
	for len(p.deadlines) > 0 && p.tickets[p.deadlines[0].id] == nil {
		heap.Pop(&p.deadlines)
	}
	if len(p.deadlines) > 0 && (next.IsZero() || p.deadlines[0].at.Before(next)) {
		next = p.deadlines[0].at
	}
	return next
}
