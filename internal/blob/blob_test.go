package blob_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/matchyard/matchyard/internal/blob"
)

// each runs a test on a folder and on an S3-compatible store.
func each(t *testing.T, f func(t *testing.T, s blob.Store)) {
	t.Helper()
	t.Run("dir", func(t *testing.T) {
		s, err := blob.OpenDir(filepath.Join(t.TempDir(), "blobs"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		f(t, s)
	})
	t.Run("s3", func(t *testing.T) { f(t, openS3(t, "keep/here")) })
}

func TestAFileIsKept(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		small, large := []byte("a build"), make([]byte, 40<<20+7) // three parts
		_, _ = rand.Read(large)
		for key, want := range map[string][]byte{"builds/build-1/a": small, "builds/build-2/b": large, "empty": {}} {
			put(t, s, key, want)
			got, info := get(t, s, key)
			if !bytes.Equal(got, want) || info.Size != int64(len(want)) || time.Since(info.Modified).Abs() > time.Hour {
				t.Errorf("%s: %d bytes, %+v", key, len(got), info)
			}
			if stat, err := s.Stat(t.Context(), key); err != nil || stat.Size != info.Size {
				t.Errorf("%s: %+v, %v", key, stat, err)
			}
		}

		// One reads from where one likes.
		f, _, err := s.Get(t.Context(), "builds/build-2/b")
		check(t, err)
		defer f.Close()
		for _, at := range []int64{30 << 20, 5, int64(len(large)) - 3} {
			if _, err := f.Seek(at, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			head := make([]byte, min(1000, len(large)-int(at)))
			if _, err := io.ReadFull(f, head); err != nil || !bytes.Equal(head, large[at:int(at)+len(head)]) {
				t.Errorf("from %d: %v", at, err)
			}
		}
		if n, err := f.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("behind the end: %d, %v", n, err)
		}
		if n, err := f.Seek(-2, io.SeekEnd); err != nil || n != int64(len(large))-2 {
			t.Errorf("seek from the end: %d, %v", n, err)
		}

		// A new file takes the place of the old one.
		put(t, s, "builds/build-2/b", small)
		if got, _ := get(t, s, "builds/build-2/b"); !bytes.Equal(got, small) {
			t.Errorf("after another put: %q", got)
		}
		check(t, s.Delete(t.Context(), "builds/build-2/b"))
		check(t, s.Delete(t.Context(), "builds/build-2/b"))
		absent(t, s, "builds/build-2/b")
		if got, _ := get(t, s, "builds/build-1/a"); !bytes.Equal(got, small) {
			t.Errorf("its neighbour: %q", got)
		}
	})
}

// TestWhatFailsLeavesNothing: a source that breaks, ends early, goes on or is given up
// leaves the key as it was.
func TestWhatFailsLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		put(t, s, "kept", []byte("before"))
		large := bytes.Repeat([]byte("x"), 20<<20)
		broken := errors.New("the line is cut")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for name, c := range map[string]struct {
			ctx  context.Context
			r    io.Reader
			size int64
			want error
		}{
			"short":                   {t.Context(), strings.NewReader("abc"), 4, io.ErrUnexpectedEOF},
			"long":                    {t.Context(), strings.NewReader("abcde"), 4, nil},
			"broken":                  {t.Context(), io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(broken)), 4, broken},
			"broken at its end":       {t.Context(), io.MultiReader(strings.NewReader("abcd"), iotest.ErrReader(broken)), 4, broken},
			"short and large":         {t.Context(), bytes.NewReader(large), 20<<20 + 1, io.ErrUnexpectedEOF},
			"long and large":          {t.Context(), bytes.NewReader(large), 20<<20 - 1, nil},
			"broken at its large end": {t.Context(), io.MultiReader(bytes.NewReader(large), iotest.ErrReader(broken)), 20 << 20, broken},
			"given up":                {ended, strings.NewReader("abcd"), 4, context.Canceled},
		} {
			for _, key := range []string{"kept", "new"} {
				if err := s.Put(c.ctx, key, c.r, c.size); err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%s: error %v, want %v", name, err, c.want)
				}
				if seek, ok := c.r.(io.Seeker); ok {
					_, _ = seek.Seek(0, io.SeekStart)
				} else {
					break // it is read
				}
			}
			if got, _ := get(t, s, "kept"); string(got) != "before" {
				t.Fatalf("%s: %q is left", name, got)
			}
			absent(t, s, "new")
		}
	})
}

func TestKeysThatAreNone(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		for _, key := range []string{"", "/", "a//b", "/a", "a/", "..", "../a", "a/../b", ".unfinished/a", "a/.b", "a b", "a\x00", `a\b`, "ä", strings.Repeat("a", 513)} {
			if err := s.Put(t.Context(), key, strings.NewReader(""), 0); err == nil {
				t.Errorf("%q is put", key)
			}
			if _, _, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q: %v", key, err)
			}
			if _, err := s.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q: %v", key, err)
			}
			if err := s.Delete(t.Context(), key); err == nil {
				t.Errorf("%q is deleted", key)
			}
		}
	})
}

// TestLocal: a file can be read at any place, whatever keeps it, and a copy leaves nothing.
func TestLocal(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		t.Setenv("TMPDIR", t.TempDir())
		put(t, s, "logs/a", []byte("0123456789"))
		f, size, err := blob.Local(t.Context(), s, "logs/a")
		check(t, err)
		part := make([]byte, 3)
		if _, err := f.ReadAt(part, 4); err != nil || string(part) != "456" || size != 10 {
			t.Errorf("%q of %d bytes, %v", part, size, err)
		}
		check(t, f.Close())
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		if _, _, err := blob.Local(t.Context(), s, "logs/b"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

// TestConcurrentPuts: of many writers of one key one wins, with a whole file.
func TestConcurrentPuts(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if err := s.Put(t.Context(), "one", bytes.NewReader(bytes.Repeat([]byte{byte(i)}, 100_000)), 100_000); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		got, _ := get(t, s, "one")
		if len(got) != 100_000 || !bytes.Equal(got, bytes.Repeat(got[:1], 100_000)) {
			t.Errorf("%d bytes, or mixed", len(got))
		}
	})
}

// TestADirAfterACrash: what a writer left is removed once nobody can be writing it, and
// nothing else is.
func TestADirAfterACrash(t *testing.T) {
	name := t.TempDir()
	s, err := blob.OpenDir(name)
	check(t, err)
	put(t, s, "kept", []byte("kept"))
	check(t, s.Close())
	old, young := filepath.Join(name, ".unfinished", "old"), filepath.Join(name, ".unfinished", "young")
	for _, f := range []string{old, young} {
		check(t, os.WriteFile(f, []byte("half"), 0o600))
	}
	long := time.Now().Add(-49 * time.Hour)
	check(t, os.Chtimes(old, long, long))
	s, err = blob.OpenDir(name)
	check(t, err)
	defer func() { _ = s.Close() }()
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young one: %v", err)
	}
	if got, _ := get(t, s, "kept"); string(got) != "kept" {
		t.Errorf("%q", got)
	}
}

// TestADirKeepsNoEmptyFolders: millions of uploads do not leave millions of folders.
func TestADirKeepsNoEmptyFolders(t *testing.T) {
	name := t.TempDir()
	s, err := blob.OpenDir(name)
	check(t, err)
	defer func() { _ = s.Close() }()
	put(t, s, "uploads/1/1", nil)
	put(t, s, "uploads/2/1", nil)
	check(t, s.Delete(t.Context(), "uploads/1/1"))
	if _, err := os.Stat(filepath.Join(name, "uploads", "1")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("an empty folder is left")
	}
	get(t, s, "uploads/2/1")
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "my-bucket", "games"), 0o700))
	check(t, os.WriteFile(filepath.Join(dir, "my-bucket", "games", "arena 1.zip"), []byte("zip"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "..", "outside"), []byte("secret"), 0o600))
	check(t, os.Symlink("../../outside", filepath.Join(dir, "my-bucket", "link")))
	folder, err := blob.OpenBuckets(dir)
	check(t, err)
	defer func() { _ = folder.Close() }()
	store := openS3(t, "")
	put(t, store, "arena-1.zip", []byte("zip"))
	for _, c := range []struct {
		name        string
		from        blob.Source
		bucket, key string
		version     string
		there       bool
	}{
		{"a file", folder, "my-bucket", "games/arena 1.zip", "", true},
		{"a version", folder, "my-bucket", "games/arena 1.zip", "3", false},
		{"a folder", folder, "my-bucket", "games", "", false},
		{"no file", folder, "my-bucket", "games/arena 2.zip", "", false},
		{"no bucket", folder, "other", "games/arena 1.zip", "", false},
		{"a way out", folder, "my-bucket", "../../outside", "", false},
		{"a bucket that is a way out", folder, "..", "outside", "", false},
		{"a link out", folder, "my-bucket", "link", "", false},
		{"an object", store, bucket, "arena-1.zip", "", true},
		{"no object", store, bucket, "arena-2.zip", "", false},
		{"no such bucket", store, "nobody-has-this", "arena-1.zip", "", false},
	} {
		r, info, err := c.from.Fetch(t.Context(), c.bucket, c.key, c.version)
		if !c.there {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		check(t, err)
		text, err := io.ReadAll(r)
		if string(text) != "zip" || info.Size != 3 || err != nil {
			t.Errorf("%s: %q, %+v, %v", c.name, text, info, err)
		}
		check(t, r.Close())
	}
}

func TestURLs(t *testing.T) {
	for text, ok := range map[string]bool{
		"s3://games":             true,
		"s3://games/matchyard/a": true,
		"s3://games?endpoint=http://minio:9000&region=eu-west-1&path-style=false": true,
		"s3://":                            false,
		"s3:///a":                          false,
		"s3://key:secret@games":            false,
		"s3://games?endpoint=minio:9000":   false,
		"s3://games?endpont=http://minio":  false,
		"s3://games?path-style=yes":        false,
		"s3://games?region=a&region=b":     false,
		"http://games":                     false,
		"s3://games?endpoint=ftp://minio/": false,
	} {
		if err := blob.CheckS3(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

const bucket = "matchyard-test"

var moto struct {
	once sync.Once
	url  string
	err  error
}

// openS3 opens a store in moto's S3 server. Machines without it skip.
func openS3(t *testing.T, prefix string) *blob.S3 {
	t.Helper()
	moto.once.Do(func() { moto.url, moto.err = startMoto() })
	if moto.err != nil {
		t.Skipf("NOT TESTED, moto_server (pip install 'moto[server]') does not run here: %v", moto.err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "any")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "thing")
	s, err := blob.OpenS3(t.Context(), "s3://"+bucket+"/"+prefix+"?region=us-east-1&endpoint="+moto.url)
	check(t, err)
	return s
}

func startMoto() (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command("moto_server", "-H", "127.0.0.1", "-p", port)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stopMoto = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	url = "http://" + address
	for range 300 {
		r, err := http.NewRequest(http.MethodPut, url+"/"+bucket, http.NoBody)
		if err != nil {
			return "", err
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
		if answer, err := http.DefaultClient.Do(r); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return url, nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "", errors.New("it does not answer")
}

var stopMoto = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	stopMoto()
	os.Exit(code)
}

func put(t *testing.T, s blob.Store, key string, text []byte) {
	t.Helper()
	check(t, s.Put(t.Context(), key, bytes.NewReader(text), int64(len(text))))
}

func get(t *testing.T, s blob.Store, key string) ([]byte, blob.Info) {
	t.Helper()
	f, info, err := s.Get(t.Context(), key)
	check(t, err)
	defer f.Close()
	text, err := io.ReadAll(f)
	check(t, err)
	return text, info
}

func absent(t *testing.T, s blob.Store, key string) {
	t.Helper()
	if _, _, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get %s: %v", key, err)
	}
	if _, err := s.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat %s: %v", key, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
