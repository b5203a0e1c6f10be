package archive_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matchyard/matchyard/internal/archive"
)

func TestPack(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("server", "\x7fELF and so on", 0o600)
	write("install.sh", "#!/bin/sh\n", 0o600)
	write("tool", "x", 0o700)
	write("data/größe.txt", strings.Repeat("map ", 100_000), 0o600)
	write("data/empty", "", 0o600)
	if err := os.Symlink("server", filepath.Join(dir, "alias")); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	packed, err := archive.Pack(t.Context(), &b, dir)
	if err != nil || packed.Files != 6 || b.Len() > 10_000 {
		t.Fatalf("%+v, %d bytes, %v", packed, b.Len(), err)
	}
	to := filepath.Join(t.TempDir(), "build")
	got, err := archive.Unpack(t.Context(), bytes.NewReader(b.Bytes()), int64(b.Len()), to, archive.Options{Limits: archive.Limits{Windows: true}})
	if err != nil || got != packed {
		t.Fatalf("%+v, packed %+v, %v", got, packed, err)
	}
	for name, mode := range map[string]os.FileMode{"server": 0o755, "alias": 0o755, "install.sh": 0o755, "tool": 0o755, "data/größe.txt": 0o644, "data/empty": 0o644} {
		info, err := os.Lstat(filepath.Join(to, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", name, info, err, mode)
		}
		a, _ := os.ReadFile(filepath.Join(dir, name))
		b, _ := os.ReadFile(filepath.Join(to, name))
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %d bytes of %d", name, len(b), len(a))
		}
	}

	if err := os.Symlink("data", filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Pack(t.Context(), &b, dir); err == nil || !strings.Contains(err.Error(), "folder is neither") {
		t.Errorf("a link to a folder: %v", err)
	}
	if _, err := archive.Pack(t.Context(), &b, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no files") {
		t.Errorf("nothing: %v", err)
	}
}
