package app

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/blob"
	"github.com/matchyard/matchyard/internal/store"
)

// eventLogLife is how long the link to an event's log works (hosting.md 2.5).
const eventLogLife = 15 * time.Minute

// eventLogs are the files that links lead to, and besides them the logs of fleet events,
// which lie in the database.
type eventLogs struct {
	blob.Store
	log func(ctx context.Context, path string) (string, error)
}

// Get opens a file, or an event's log.
func (l eventLogs) Get(ctx context.Context, key string) (io.ReadSeekCloser, blob.Info, error) {
	if !strings.HasPrefix(key, "logs/") || !strings.HasSuffix(key, ".txt") {
		return l.Store.Get(ctx, key)
	}
	text, err := l.log(ctx, key)
	if errors.Is(err, store.ErrNoRows) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, blob.Info{}, err
	}
	return openText{strings.NewReader(text)}, blob.Info{Size: int64(len(text))}, nil
}

type openText struct{ *strings.Reader }

func (openText) Close() error { return nil }
