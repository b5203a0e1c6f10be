package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
)

// Dir is a Store in a folder. Several processes may share it.
type Dir struct {
	root *os.Root
}

// unfinished holds files while they are written. No key begins with a dot.
const unfinished = ".unfinished"

// staleAfter is how old an unfinished file is when nobody can be writing it any more.
const staleAfter = 48 * time.Hour

// OpenDir opens a folder, made if need be, and removes what writers left behind that are
// long gone.
func OpenDir(name string) (*Dir, error) {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	d := &Dir{root}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

func (d *Dir) prepare() error {
	if err := d.root.MkdirAll(unfinished, 0o700); err != nil {
		return err
	}
	entries, err := fs.ReadDir(d.root.FS(), unfinished)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = d.root.Remove(path.Join(unfinished, e.Name())) // the next start tries again
		}
	}
	return nil
}

// Close gives the folder back. Files that are open stay so.
func (d *Dir) Close() error { return d.root.Close() }

// Put writes a file beside the others, syncs it and moves it to its place.
func (d *Dir) Put(ctx context.Context, key string, r io.Reader, size int64) (err error) {
	if err := checkKey(key); err != nil {
		return err
	}
	name := path.Join(unfinished, rand.Text())
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.root.Remove(name)
		}
	}()
	_, err = io.Copy(f, &exact{r: &stopping{ctx, r}, left: size})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := d.root.MkdirAll(path.Dir(key), 0o700); err != nil {
		return err
	}
	if err := d.root.Rename(name, key); err != nil {
		return err
	}
	return d.syncFolders(key)
}

// syncFolders makes a new name durable, and the folders that may be new with it.
func (d *Dir) syncFolders(key string) error {
	for key != "." {
		key = path.Dir(key)
		f, err := d.root.Open(key)
		if err != nil {
			return err
		}
		if err := errors.Join(syncFolder(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Get opens a file; it is a File.
func (d *Dir) Get(_ context.Context, key string) (io.ReadSeekCloser, Info, error) {
	if err := checkKey(key); err != nil {
		return nil, Info{}, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	f, info, err := openIn(d.root, key)
	if err != nil {
		return nil, Info{}, err
	}
	return f, info, nil
}

// openIn opens a regular file below a folder. What is something else is not opened: that
// alone could wait for ever.
func openIn(root *os.Root, name string) (*os.File, Info, error) {
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, Info{}, err
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, Info{}, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, Info{}, errors.Join(err, f.Close())
	}
	return f, Info{info.Size(), info.ModTime()}, nil
}

// Stat tells about a file.
func (d *Dir) Stat(_ context.Context, key string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	f, info, err := openIn(d.root, key)
	if err != nil {
		return Info{}, err
	}
	return info, f.Close()
}

// Delete removes a file, and the folders that are empty without it.
func (d *Dir) Delete(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := d.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := path.Dir(key)
	for dir != "." && d.root.Remove(dir) == nil { // until one is not empty
		dir = path.Dir(dir)
	}
	return nil
}

// stopping yields what r does until ctx ends.
type stopping struct {
	ctx context.Context //nolint:containedctx // it lives for one call of Put
	r   io.Reader
}

func (s *stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
