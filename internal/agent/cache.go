package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// cache keeps the archives of builds, as <dir>/<build id>.zip. A build never changes.
type cache struct {
	dir   string
	limit int64
	log   *slog.Logger

	mu    sync.Mutex
	held  map[string]int           // by whom is counted: those are not evicted
	turns map[string]chan struct{} // a build is fetched once at a time
}

// source is where a build comes from.
type source struct {
	id       string
	size     int64
	url      *atomic.Pointer[string] // the newest; they expire
	server   string
	patience time.Duration
	tls      *tls.Config
}

// get is a build's archive, fetched if it is not there. It stays until release is called.
func (c *cache) get(ctx context.Context, s source) (name string, release func(), err error) {
	c.mu.Lock()
	if c.held == nil {
		c.held, c.turns = map[string]int{}, map[string]chan struct{}{}
	}
	turn := c.turns[s.id]
	if turn == nil {
		turn = make(chan struct{}, 1)
		c.turns[s.id] = turn
	}
	c.held[s.id]++
	c.mu.Unlock()
	release = sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.held[s.id]--; c.held[s.id] == 0 {
			delete(c.held, s.id)
			delete(c.turns, s.id)
		}
		c.evict()
	})
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		release()
		return "", nil, ctx.Err()
	}
	name = filepath.Join(c.dir, s.id+".zip")
	if info, err := os.Stat(name); err == nil && (s.size == 0 || info.Size() == s.size) {
		now := time.Now()
		_ = os.Chtimes(name, now, now) // it was used
		return name, release, nil
	}
	if err := s.fetch(ctx, name); err != nil {
		release()
		return "", nil, err
	}
	return name, release, nil
}

// evict removes the archives that were unused longest, until the rest is small enough.
func (c *cache) evict() {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	type file struct {
		name string
		size int64
		at   time.Time
	}
	var files []file
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		total += info.Size()
		id, _, _ := strings.Cut(e.Name(), ".")
		if c.held[id] == 0 {
			files = append(files, file{filepath.Join(c.dir, e.Name()), info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(x, y file) int { return x.at.Compare(y.at) })
	for _, f := range files {
		if total <= c.limit {
			return
		}
		if os.Remove(f.name) == nil {
			total -= f.size
			c.log.Info("build evicted", slog.String("file", filepath.Base(f.name)))
		}
	}
}

// permanent is an answer that will not change by itself.
type permanent struct{ error }

// fetch downloads a build, going on where an earlier try ended.
func (s source) fetch(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	refused := 0
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		err := s.attempt(ctx, name+".part")
		if err == nil {
			return os.Rename(name+".part", name)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the build could not be fetched: %w", err)
		}
		if p, ok := errors.AsType[permanent](err); ok {
			// A link that expired comes again with the next Start.
			if refused++; refused == 3 {
				return p.error
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (s source) attempt(ctx context.Context, part string) error {
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return permanent{err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return permanent{err}
	}
	have := info.Size()
	if s.size > 0 && have > s.size {
		have = 0
		if err := f.Truncate(0); err != nil {
			return permanent{err}
		}
	}
	if s.size > 0 && have == s.size {
		return nil
	}
	address, err := absolute(s.server, *s.url.Load())
	if err != nil {
		return permanent{err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return permanent{err}
	}
	if have > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	answer, err := client(s.tls).Do(r)
	if err != nil {
		return hideQuery(err)
	}
	defer answer.Body.Close()
	switch code := answer.StatusCode; {
	case code == http.StatusPartialContent && strings.HasPrefix(answer.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)):
	case code == http.StatusOK:
		have = 0
		if err := f.Truncate(0); err != nil {
			return permanent{err}
		}
	case code == http.StatusRequestedRangeNotSatisfiable, code == http.StatusPartialContent:
		_ = f.Truncate(0)
		return fmt.Errorf("the server does not continue a download: status %d", code)
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return fmt.Errorf("the build's server answered status %d", code)
	default:
		return permanent{fmt.Errorf("the build's server answered status %d", code)}
	}
	limit := int64(1) << 62
	if s.size > 0 {
		limit = s.size - have + 1
	}
	n, err := io.Copy(f, io.LimitReader(answer.Body, limit))
	if err != nil {
		return fmt.Errorf("download broke off after %d bytes: %w", have+n, err)
	}
	if s.size > 0 && have+n != s.size {
		_ = f.Truncate(0)
		return permanent{fmt.Errorf("the build has %d bytes; it was said to have %d", have+n, s.size)}
	}
	return nil
}

// absolute is a URL that may be a path on the server.
func absolute(server, ref string) (string, error) {
	base, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	u, err := base.Parse(ref)
	if err != nil {
		return "", errors.New("the build's URL is not one")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("the URL is neither http nor https")
	}
	return u.String(), nil
}

// client is for builds and logs: patient in the whole, not in parts.
func client(config *tls.Config) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	t.TLSClientConfig, t.ResponseHeaderTimeout, t.DisableKeepAlives = config, time.Minute, true
	return &http.Client{Transport: t}
}

// hideQuery takes the secret part of a signed link out of an error.
func hideQuery(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
