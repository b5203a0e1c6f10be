package access

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

const (
	// channel tells all nodes that keys they may know have changed.
	channel = "access"

	// CacheLife is how long a node trusts what it knows of a key, should it not be told of a
	// change: a revoked key is refused by every node within a second, come what may.
	CacheLife = 900 * time.Millisecond

	maxCached = 4096
	usedEvery = time.Hour // last_used_at is this exact
)

// Active is a key that is not revoked, with what verifying its signatures takes.
type Active struct {
	Key

	Secret   Secret
	TokenSum [32]byte // SHA-256 of a temporary key's session token
}

// Lookup finds a key that is not revoked; else the error is ErrUnknown. An expired one is
// found: whoever verifies says so. Keys are kept in memory for a short while.
func (s *Service) Lookup(ctx context.Context, id string) (Active, error) {
	if !plausible(id) {
		return Active{}, ErrUnknown
	}
	s.cache.listen(s.DB)
	now := s.DB.Now()
	a, ok, seen := s.cache.get(id, now)
	if ok {
		return a, nil
	}
	a, err := s.read(ctx, id)
	if err != nil {
		return Active{}, err
	}
	s.cache.put(a, now, seen)
	return a, nil
}

func (s *Service) read(ctx context.Context, id string) (Active, error) {
	var r row
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		r, err = byID(tx, id, "")
		return err
	})
	if errors.Is(err, store.ErrNoRows) || err == nil && !r.RevokedAt.IsZero() {
		return Active{}, ErrUnknown
	}
	if err != nil {
		return Active{}, fmt.Errorf("look up access key: %w", err)
	}
	a := Active{Key: r.Key}
	if a.Secret, err = s.open(id, r.stored); err != nil {
		return Active{}, err
	}
	a.TokenSum, err = r.sum()
	return a, err
}

// Used notes that a key signed a request. Once an hour a key it writes that down; when that
// fails, it is tried again an hour later.
func (s *Service) Used(ctx context.Context, id string) error {
	if !s.cache.due(id, s.DB.Now()) {
		return nil
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE access_key SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)`, id, tx.NowMs())
		return err
	})
}

// cache keeps keys that were found. Strangers cannot fill it.
type cache struct {
	once sync.Once
	mu   sync.RWMutex
	kept map[string]cached
	seen int64 // how many changes it has been told of
	used map[string]time.Time
}

type cached struct {
	Active

	at time.Time
}

// listen empties the cache when a key changes anywhere, as long as the database is open.
func (c *cache) listen(db *store.DB) {
	c.once.Do(func() { db.Subscribe(channel, func(string) { c.forget() }) })
}

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.kept)
	c.seen++
}

func (c *cache) get(id string, now time.Time) (a Active, ok bool, seen int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.kept[id]
	return k.Active, ok && now.Sub(k.at) < CacheLife, c.seen
}

// put keeps a key that was read after seen changes, unless another was told of meanwhile.
func (c *cache) put(a Active, now time.Time, seen int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen != seen {
		return
	}
	if c.kept == nil || len(c.kept) >= maxCached {
		c.kept = map[string]cached{}
	}
	c.kept[a.ID] = cached{a, now}
}

// due tells whether the use of a key is to be written down, and takes it for done.
func (c *cache) due(id string, now time.Time) bool {
	c.mu.RLock()
	last, ok := c.used[id]
	c.mu.RUnlock()
	if ok && now.Sub(last) < usedEvery {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.used[id]; ok && now.Sub(last) < usedEvery {
		return false
	}
	if c.used == nil || len(c.used) >= maxCached {
		c.used = map[string]time.Time{}
	}
	c.used[id] = now
	return true
}
