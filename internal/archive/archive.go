// Package archive looks through zip files that strangers made, unpacks those that are
// harmless, and makes such. It owns what "harmless" means (Check says it); it knows neither what the files
// are for nor where archives come from.
package archive

import (
	"archive/zip"
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Limits bound an archive. A zero field means its default.
type Limits struct {
	Files int   // most files and folders, default 100,000
	Bytes int64 // most bytes unpacked, default 100 GiB
	// Ratio is how many times as large as the archive its files may be, all together, once
	// they are more than 256 MiB. Default 200; deflate can do a thousand.
	Ratio int64
	// Windows refuses also what Windows would not keep apart or would take for something
	// else: names that differ in case only, device names, streams, closing dots and spaces.
	Windows bool
}

const (
	defaultFiles = 100_000
	defaultBytes = 100 << 30
	defaultRatio = 200
	freeOfRatio  = 256 << 20

	maxName      = 1024 // bytes
	maxSegment   = 255  // bytes, as file systems have it
	maxDepth     = 100
	perFile      = 320 // bytes of directory to a file, on average; more is refused unread
	maxDirectory = 64 << 20
)

// Summary tells what an archive holds.
type Summary struct {
	Files int   // without folders
	Bytes int64 // unpacked
}

// Refused is an archive that is not harmless, or none at all.
type Refused struct {
	Reason string // for its maker, with the entry's name
}

// Error is the reason.
func (r *Refused) Error() string { return r.Reason }

func refuse(format string, args ...any) error { return &Refused{fmt.Sprintf(format, args...)} }

// Check reads a whole archive and returns a *Refused unless it is harmless:
//
//   - it is a zip file, zip64 or not, with at least one file, stored or deflated, unencrypted;
//   - names are relative paths in UTF-8 with slashes, without "..", control characters and
//     drives, each once, and no file is where another's folder is;
//   - entries are files and folders: no links, devices, pipes;
//   - it keeps within the limits, by what its directory says and by what is really in it;
//   - no two files share bytes of the archive, and every file has the size and the CRC-32
//     that the directory says.
//
// Other errors are r's own, or that ctx ended. Memory is bounded by the limit on files,
// whatever the archive is.
func Check(ctx context.Context, r io.ReaderAt, size int64, l Limits) (Summary, error) {
	a, err := open(ctx, r, size, l)
	if err != nil {
		return Summary{}, err
	}
	for _, e := range a.files {
		if err := a.copy(io.Discard, e); err != nil {
			return Summary{}, err
		}
	}
	return a.sum, nil
}

// Options are the choices of Unpack.
type Options struct {
	Limits

	// Each is called before a file is unpacked; nil for nobody.
	Each func(name string, size int64)
}

// Unpack unpacks an archive into a folder, which it makes and which must not be there. It
// holds archives to what Check does. Files are 0644, or 0755 if the archive says that anyone
// may execute them; folders are 0755. When it fails, the folder is removed.
func Unpack(ctx context.Context, r io.ReaderAt, size int64, dir string, o Options) (sum Summary, err error) {
	a, err := open(ctx, r, size, o.Limits)
	if err != nil {
		return Summary{}, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return Summary{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	root, err := os.OpenRoot(dir) // so that the system, too, keeps every file inside
	if err != nil {
		return Summary{}, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.Chmod(".", 0o755); err != nil { // whatever the umask is
		return Summary{}, err
	}
	for _, name := range a.folders {
		if err := a.folder(root, name); err != nil {
			return Summary{}, err
		}
	}
	for _, e := range a.files {
		if o.Each != nil {
			o.Each(e.name, int64(e.UncompressedSize64))
		}
		if err := a.unpack(root, e); err != nil {
			return Summary{}, err
		}
	}
	return a.sum, nil
}

// opened is an archive whose directory is harmless.
type opened struct {
	ctx     context.Context //nolint:containedctx // it lives for one call of Check or Unpack
	in      *source
	files   []entry
	folders []string
	made    map[string]bool // of folders, by Unpack
	sum     Summary
}

type entry struct {
	*zip.File

	name string // as it is unpacked
}

func open(ctx context.Context, r io.ReaderAt, size int64, l Limits) (*opened, error) {
	l.Files, l.Bytes, l.Ratio = cmp.Or(l.Files, defaultFiles), cmp.Or(l.Bytes, defaultBytes), cmp.Or(l.Ratio, defaultRatio)
	in := &source{ctx: ctx, r: r, left: min(maxDirectory, int64(l.Files)*perFile) + 1<<17, most: uint64(l.Files)}
	z, err := zip.NewReader(in, size)
	if in.over {
		return nil, refuse("the archive's directory is too long: at most %d files are allowed", l.Files)
	}
	if err = cmp.Or(in.err, err); errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrAlgorithm) || isEnd(err) {
		return nil, refuse("it is not a zip archive, or it is damaged")
	}
	if err != nil {
		return nil, err
	}
	in.left = -1 // the rest is read once, and bounded by its size
	a := &opened{ctx: ctx, in: in, made: map[string]bool{}}
	if err := a.look(z.File, size, l); err != nil {
		return nil, err
	}
	return a, a.apart(size)
}

// look goes through the directory.
func (a *opened) look(files []*zip.File, size int64, l Limits) error {
	names := names{seen: map[string]bool{}, most: l.Files, windows: l.Windows}
	for _, f := range files {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		name, folder, err := names.take(f)
		if err != nil {
			return err
		}
		if folder {
			if name != "" {
				a.folders = append(a.folders, name)
			}
			continue
		}
		if f.UncompressedSize64 > uint64(l.Bytes-a.sum.Bytes) {
			return refuse("unpacked, the files are larger than %d bytes, which are allowed", l.Bytes)
		}
		a.files = append(a.files, entry{f, name})
		a.sum.Files++
		a.sum.Bytes += int64(f.UncompressedSize64)
	}
	switch {
	case a.sum.Files == 0:
		return refuse("the archive has no files")
	case a.sum.Bytes > freeOfRatio && a.sum.Bytes/l.Ratio >= size:
		return refuse("unpacked, the files are more than %d times as large as the archive, which looks like a zip bomb", l.Ratio)
	}
	return nil
}

// apart refuses archives in which files share bytes: that is how a small archive makes many
// large ones.
func (a *opened) apart(size int64) error {
	type extent struct{ from, to int64 }
	all := make([]extent, 0, len(a.files))
	for _, e := range a.files {
		from, err := e.DataOffset()
		if err != nil {
			return a.fault(e, err)
		}
		if e.CompressedSize64 > uint64(size-from) { // from lies within: its header was read
			return refuse("%q lies beyond the end of the archive", e.name)
		}
		all = append(all, extent{from, from + int64(e.CompressedSize64)})
	}
	slices.SortFunc(all, func(x, y extent) int { return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.to, y.to)) })
	for i := 1; i < len(all); i++ {
		if all[i].from < all[i-1].to || all[i].from == all[i-1].from {
			return refuse("files of the archive share bytes, which looks like a zip bomb")
		}
	}
	return nil
}

// copy writes a file to w, and refuses one that is not what the directory says.
func (a *opened) copy(w io.Writer, e entry) error {
	r, err := e.Open()
	if err != nil {
		return a.fault(e, err)
	}
	defer func() { _ = r.Close() }() // it was only read
	sum := crc32.NewIEEE()           // the zip reader takes a CRC of 0 for none
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(r, int64(e.UncompressedSize64)+1))
	if err == nil && sum.Sum32() != e.CRC32 {
		err = zip.ErrChecksum
	}
	if err != nil {
		return a.fault(e, err)
	}
	if n != int64(e.UncompressedSize64) {
		return refuse("%q has another size than the archive's directory says", e.name)
	}
	return nil
}

// fault is an error of reading a file: the source's own, or else the archive's.
func (a *opened) fault(e entry, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok { // of the writing
		return err
	}
	if a.in.err != nil {
		return a.in.err
	}
	if errors.Is(err, zip.ErrChecksum) {
		return refuse("%q is damaged: its CRC-32 is not what the archive's directory says", e.name)
	}
	return refuse("%q is damaged: %v", e.name, err)
}

// folder makes a folder and those it lies in, unless it has.
func (a *opened) folder(root *os.Root, name string) error {
	if name == "." || a.made[name] {
		return nil
	}
	if err := a.folder(root, path.Dir(name)); err != nil {
		return err
	}
	if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // where the system takes two names for one
		return err
	}
	a.made[name] = true
	return root.Chmod(name, 0o755) // whatever the umask is
}

func (a *opened) unpack(root *os.Root, e entry) error {
	mode := fs.FileMode(0o644)
	if e.Mode()&0o111 != 0 {
		mode = 0o755
	}
	if err := a.folder(root, path.Dir(e.name)); err != nil {
		return err
	}
	f, err := root.OpenFile(e.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) { // where the system takes two names for one
		return refuse("%q has the name of another file on this system", e.name)
	}
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err = a.copy(w, e); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Chmod(mode) // whatever the umask is
	}
	return errors.Join(err, f.Close())
}

// source reads for the zip reader: it ends with ctx and keeps the error that is not the
// archive's fault. As long as left is not negative, it yields no more than that many bytes,
// and no end of a zip64 directory that claims more than most entries: the zip reader makes
// room for as many as are claimed.
type source struct {
	ctx  context.Context //nolint:containedctx // it lives for one call of Check or Unpack
	r    io.ReaderAt
	left int64
	most uint64
	over bool
	err  error
}

// The end of a zip64 directory, and where its number of entries is.
const (
	end64Signature = "PK\x06\x06"
	end64Entries   = 32
)

var errOver = errors.New("too long")

func (s *source) ReadAt(p []byte, at int64) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	if at < 0 {
		return 0, zip.ErrFormat
	}
	if s.left >= 0 {
		if int64(len(p)) > s.left {
			s.over = true
			return 0, errOver
		}
		s.left -= int64(len(p))
	}
	n, err := s.r.ReadAt(p, at)
	if err != nil && !isEnd(err) {
		s.err = err
	}
	if s.left >= 0 && n >= end64Entries+8 && string(p[:4]) == end64Signature && binary.LittleEndian.Uint64(p[end64Entries:]) > s.most {
		s.over = true
		return 0, errOver
	}
	return n, err
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// printable is a name for a message.
func printable(name string) string {
	if len(name) > 100 {
		name = strings.ToValidUTF8(name[:100], "") + "…"
	}
	return name
}
