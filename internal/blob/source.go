package blob

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Source is somewhere else where people keep files of their own, in buckets.
type Source interface {
	// Fetch opens a file; version may be "". The error wraps fs.ErrNotExist when there is
	// none that can be read.
	Fetch(ctx context.Context, bucket, key, version string) (io.ReadCloser, Info, error)
}

// Buckets is a Source in a folder, whose subfolders are the buckets. Versions there are none.
type Buckets struct{ root *os.Root }

// OpenBuckets opens a folder.
func OpenBuckets(name string) (*Buckets, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Buckets{root}, nil
}

// Close gives the folder back.
func (b *Buckets) Close() error { return b.root.Close() }

// Fetch opens a file below a bucket's folder. Links that lead out of the whole are not
// followed.
func (b *Buckets) Fetch(_ context.Context, bucket, key, version string) (io.ReadCloser, Info, error) {
	if bucket == "" || bucket[0] == '.' || strings.ContainsAny(bucket, `/\`) || version != "" {
		return nil, Info{}, fmt.Errorf("%s/%s, version %q: %w", bucket, key, version, fs.ErrNotExist)
	}
	f, info, err := openIn(b.root, path.Join(bucket, key))
	if err != nil {
		return nil, Info{}, fmt.Errorf("%s/%s: %w: %w", bucket, key, fs.ErrNotExist, err) // one that leads out, too
	}
	return f, info, nil
}
