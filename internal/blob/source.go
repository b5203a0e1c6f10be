package blob

import (
	"context"
	"io"
)

// Source is somewhere else where people keep files of their own, in buckets.
type Source interface {
	// Fetch opens a file; version may be "". The error wraps fs.ErrNotExist when there is
	// none that can be read.
	Fetch(ctx context.Context, bucket, key, version string) (io.ReadCloser, Info, error)
}
