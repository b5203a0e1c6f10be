// Package blob keeps files: builds, scripts, logs. It owns where they are, a folder or an
// S3-compatible store, and that a file is there whole or not at all. It knows no build and
// no database; keys are its callers'.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Store keeps files under keys, which are paths like "builds/build-1/a". It is safe for
// concurrent use.
type Store interface {
	// Put stores what r yields, which must be exactly size bytes. When it returns nil, the
	// file is durable and whole; when it returns an error, r's own among them, the key is as
	// it was before. A file that is there is replaced in one step.
	Put(ctx context.Context, key string, r io.Reader, size int64) error
	// Get opens a file. The error wraps fs.ErrNotExist when there is none.
	Get(ctx context.Context, key string) (io.ReadSeekCloser, Info, error)
	// Stat tells about a file. The error wraps fs.ErrNotExist when there is none.
	Stat(ctx context.Context, key string) (Info, error)
	// Delete removes a file. One that is not there is no error.
	Delete(ctx context.Context, key string) error
}

// Info is what is known of a file.
type Info struct {
	Size     int64
	Modified time.Time
}

// errKey refuses keys that a store cannot keep.
var errKey = errors.New("not a key")

// maxKey is the longest key.
const maxKey = 512

// checkKey refuses keys that could mean something to a file system or a URL: they are
// segments of letters, digits and "-_.:", none of which begins with a dot.
func checkKey(key string) error {
	if len(key) > maxKey {
		return fmt.Errorf("%w: %d characters", errKey, len(key))
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment[0] == '.' || strings.ContainsFunc(segment, odd) {
			return fmt.Errorf("%w: %q", errKey, key)
		}
	}
	return nil
}

func odd(r rune) bool {
	return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) && (r < '0' || '9' < r) && r != '-' && r != '_' && r != '.' && r != ':'
}

// Local opens a file for reading at any place of it. One of a folder is opened where it is;
// of another store a copy is made, which is gone when the file is closed.
func Local(ctx context.Context, s Store, key string) (f File, size int64, err error) {
	r, info, err := s.Get(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	if at, ok := r.(File); ok {
		return at, info.Size, nil
	}
	defer func() { _ = r.Close() }()
	spool, err := os.CreateTemp("", "matchyard-*")
	if err != nil {
		return nil, 0, err
	}
	_ = os.Remove(spool.Name()) // where open files cannot be removed, Close does it
	n, err := io.Copy(spool, r)
	if err == nil && n != info.Size {
		err = fmt.Errorf("%s: %d bytes of %d", key, n, info.Size)
	}
	if err != nil {
		return nil, 0, errors.Join(err, spooled{spool}.Close())
	}
	return spooled{spool}, n, nil
}

// File is an open file.
type File interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// spooled is a copy that goes with its closing.
type spooled struct{ *os.File }

func (f spooled) Close() error {
	err := f.File.Close()
	if gone := os.Remove(f.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// exact yields what r does, and fails unless that is exactly left bytes.
type exact struct {
	r    io.Reader
	left int64
}

var (
	errLong  = errors.New("there is more to read than was said")
	errShort = fmt.Errorf("there is less to read than was said: %w", io.ErrUnexpectedEOF)
)

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.left -= int64(n)
	switch {
	case e.left < 0:
		return 0, errLong
	case errors.Is(err, io.EOF) && e.left > 0:
		return n, errShort
	}
	return n, err
}
