package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Pack makes a zip file of a folder, in the form that Check takes. A link to a file becomes
// the file; other links, and what is neither file nor folder, are an error. Files are
// executable if they are here or if they look like programs, since not every system has
// marks for that.
func Pack(ctx context.Context, w io.Writer, dir string) (sum Summary, err error) {
	z := zip.NewWriter(w)
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		n, err := pack(z, name, filepath.ToSlash(rel))
		sum.Files++
		sum.Bytes += n
		return err
	})
	if err == nil && sum.Files == 0 {
		err = fmt.Errorf("%s has no files", dir)
	}
	return sum, errors.Join(err, z.Close())
}

func pack(z *zip.Writer, name, as string) (size int64, err error) {
	info, err := os.Stat(name) // of what a link leads to
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is neither a file nor a link to one", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	h, err := zip.FileInfoHeader(info)
	if err != nil {
		return 0, err
	}
	h.Name, h.Method = as, zip.Deflate
	head := make([]byte, 4)
	n, _ := io.ReadFull(f, head) // an error shows in what follows
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 || bytes.HasPrefix(head[:n], []byte("#!")) || string(head[:n]) == "\x7fELF" {
		mode = 0o755
	}
	h.SetMode(mode)
	w, err := z.CreateHeader(h)
	if err != nil {
		return 0, err
	}
	return io.Copy(w, io.MultiReader(bytes.NewReader(head[:n]), f))
}
