package archive_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/matchyard/matchyard/internal/archive"
)

// file is an entry as a zip has it, with everything that can be lied about.
type file struct {
	name    string
	text    string
	mode    fs.FileMode // 0: 0644
	deflate bool

	flags, method uint16  // added to what is right
	crc           uint32  // XORed with what is right
	claim         *uint64 // another uncompressed size
	at            *int    // the local header is that of the entry with this index
	extra         []byte
	dos           bool // made on DOS, which knows no modes
}

// pack makes an archive of entries, right or wrong.
func pack(files ...file) []byte {
	var b, directory bytes.Buffer
	var offsets []int
	le := func(w *bytes.Buffer, values ...any) {
		for _, v := range values {
			_ = binary.Write(w, binary.LittleEndian, v)
		}
	}
	for _, f := range files {
		data, method := []byte(f.text), zip.Store
		if f.deflate {
			var packed bytes.Buffer
			w, _ := flate.NewWriter(&packed, flate.BestCompression)
			_, _ = w.Write(data)
			_ = w.Close()
			data, method = packed.Bytes(), zip.Deflate
		}
		method += f.method
		crc := crc32.ChecksumIEEE([]byte(f.text)) ^ f.crc
		size := uint32(len(f.text))
		if f.claim != nil {
			size = uint32(min(*f.claim, math.MaxUint32))
		}
		offset := b.Len()
		if f.at != nil {
			offset = offsets[*f.at]
		} else {
			le(&b, uint32(0x04034b50), uint16(20), f.flags, method, uint32(0), crc, uint32(len(data)), size, uint16(len(f.name)), uint16(0))
			b.WriteString(f.name)
			b.Write(data)
		}
		offsets = append(offsets, offset)
		h := zip.FileHeader{}
		mode := f.mode
		if mode.Perm() == 0 {
			mode |= 0o644
		}
		h.SetMode(mode)
		made := h.CreatorVersion | 20
		if f.dos {
			made, h.ExternalAttrs = 20, 0
		}
		le(&directory, uint32(0x02014b50), made, uint16(20), f.flags, method, uint32(0), crc, uint32(len(data)), size,
			uint16(len(f.name)), uint16(len(f.extra)), uint16(0), uint16(0), uint16(0), h.ExternalAttrs, uint32(offset))
		directory.WriteString(f.name)
		directory.Write(f.extra)
	}
	start := b.Len()
	b.Write(directory.Bytes())
	le(&b, uint32(0x06054b50), uint16(0), uint16(0), uint16(len(files)), uint16(len(files)), uint32(directory.Len()), uint32(start), uint16(0))
	return b.Bytes()
}

// zip64 claims, for an archive, what only zip64 can.
func zip64(size uint64) []byte {
	b := []byte{1, 0, 8, 0}
	return binary.LittleEndian.AppendUint64(b, size)
}

func both(t *testing.T, text []byte, l archive.Limits) error {
	t.Helper()
	_, err := archive.Check(t.Context(), bytes.NewReader(text), int64(len(text)), l)
	dir := filepath.Join(t.TempDir(), "build")
	_, err2 := archive.Unpack(t.Context(), bytes.NewReader(text), int64(len(text)), dir, archive.Options{Limits: l})
	if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
		t.Errorf("Check: %v, but Unpack: %v", err, err2)
	}
	if _, stat := os.Stat(dir); err2 != nil && !errors.Is(stat, fs.ErrNotExist) {
		t.Errorf("a refused archive left something: %v", stat)
	}
	return err
}

func TestABuildIsUnpacked(t *testing.T) {
	old := syscallUmask(0o077) // files are what the archive says, not what the umask leaves
	defer syscallUmask(old)
	text := pack(
		file{name: "./"},
		file{name: "server", text: "#!/bin/sh", mode: 0o750, deflate: true},
		file{name: "install.sh", text: "#!/bin/sh", mode: fs.ModeSetuid | 0o4755},
		file{name: "data/", mode: fs.ModeDir | 0o755},
		file{name: "data/maps/größe.txt", text: strings.Repeat("map ", 1000), deflate: true},
		file{name: "./data/empty", dos: true},
		file{name: "deep/folder/", mode: fs.ModeDir | 0o700},
		file{name: "aux", text: "fine on Linux"},
		file{name: "AUX", text: "also"},
	)
	sum, err := archive.Check(t.Context(), bytes.NewReader(text), int64(len(text)), archive.Limits{})
	if err != nil || sum.Files != 6 {
		t.Fatalf("%+v, %v", sum, err)
	}
	dir := filepath.Join(t.TempDir(), "build")
	var told []string
	got, err := archive.Unpack(t.Context(), bytes.NewReader(text), int64(len(text)), dir,
		archive.Options{Each: func(name string, size int64) { told = append(told, fmt.Sprint(name, " ", size)) }})
	if err != nil || got != sum {
		t.Fatalf("%+v, %v; checked: %+v", got, err, sum)
	}
	if !slices.Equal(told, []string{"server 9", "install.sh 9", "data/maps/größe.txt 4000", "data/empty 0", "aux 13", "AUX 4"}) {
		t.Errorf("told of %q", told)
	}
	for name, want := range map[string]fs.FileMode{
		"server": 0o755, "install.sh": 0o755, "data/maps/größe.txt": 0o644, "data/empty": 0o644, "deep/folder": fs.ModeDir | 0o755, "data/maps": fs.ModeDir | 0o755,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if mode := info.Mode(); mode.Perm() != want.Perm() || mode.Type() != want.Type() || mode&fs.ModeSetuid != 0 {
			t.Errorf("%s is %v, want %v", name, mode, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "data/maps/größe.txt")); err != nil || string(text) != strings.Repeat("map ", 1000) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if _, err := archive.Unpack(t.Context(), bytes.NewReader(text), int64(len(text)), dir, archive.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("into a folder that is there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "server")); err != nil {
		t.Errorf("it is not left alone: %v", err)
	}
}

func TestWhatToolsMake(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 3 {
		f, err := w.Create(fmt.Sprintf("bin/%d", i)) // with data descriptors
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, strings.Repeat("x", i*1000))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := both(t, b.Bytes(), archive.Limits{}); err != nil {
		t.Error(err)
	}
	// 70,000 entries are zip64, and so is a size that only the extra field holds.
	b.Reset()
	w = zip.NewWriter(&b)
	for i := range 70_000 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("f/%d", i), Method: zip.Store}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if sum, err := archive.Check(t.Context(), bytes.NewReader(b.Bytes()), int64(b.Len()), archive.Limits{}); err != nil || sum.Files != 70_000 {
		t.Errorf("zip64: %+v, %v", sum, err)
	}
	text := pack(file{name: "a", text: "abc", claim: new(uint64(math.MaxUint32)), extra: zip64(3)})
	if err := both(t, text, archive.Limits{}); err != nil {
		t.Errorf("a zip64 size: %v", err)
	}
	// Something before the archive, as self-extracting ones have.
	if err := both(t, append([]byte("#!/bin/sh\nexit\n"), pack(file{name: "a", text: "abc"})...), archive.Limits{}); err != nil {
		t.Errorf("behind a prefix: %v", err)
	}
}

func TestHostileArchives(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   []byte
		limits archive.Limits
		says   string
	}{
		{"nothing", nil, archive.Limits{}, "not a zip archive"},
		{"text", []byte("fileb:// was forgotten"), archive.Limits{}, "not a zip archive"},
		{"cut at its end", pack(file{name: "a", text: "abc"})[:60], archive.Limits{}, "not a zip archive"},
		{"cut at its beginning", pack(file{name: "a", text: "abc"}, file{name: "b", text: "abc"})[20:], archive.Limits{}, "a"},
		{"no files", pack(), archive.Limits{}, "no files"},
		{"folders only", pack(file{name: "a/", mode: fs.ModeDir}), archive.Limits{}, "no files"},

		{"the way up", pack(file{name: "../evil"}), archive.Limits{}, `".."`},
		{"the way up, hidden", pack(file{name: "a/../../evil"}), archive.Limits{}, `".."`},
		{"the way up, at the end", pack(file{name: "a/.."}), archive.Limits{}, `".."`},
		{"the way up of a folder", pack(file{name: "../a/", mode: fs.ModeDir}, file{name: "b"}), archive.Limits{}, `".."`},
		{"absolute", pack(file{name: "/etc/passwd"}), archive.Limits{}, "absolute"},
		{"absolute behind a dot", pack(file{name: ".//etc/passwd"}), archive.Limits{}, "absolute"},
		{"a drive", pack(file{name: "C:/evil"}), archive.Limits{}, "drive"},
		{"backslashes", pack(file{name: `..\evil`}), archive.Limits{}, "backslash"},
		{"a share", pack(file{name: "//host/share/x"}), archive.Limits{}, "absolute"},
		{"no name", pack(file{name: ""}), archive.Limits{}, "empty"},
		{"an empty part", pack(file{name: "a//b"}), archive.Limits{}, "empty"},
		{"NUL", pack(file{name: "a\x00b"}), archive.Limits{}, "control"},
		{"a line break", pack(file{name: "a\nb"}), archive.Limits{}, "control"},
		{"right to left", pack(file{name: "a\u202egpj.exe"}), archive.Limits{}, "control"},
		{"not UTF-8", pack(file{name: "a\xff"}), archive.Limits{}, "UTF-8"},
		{"a long name", pack(file{name: strings.Repeat("a/", 600) + "b"}), archive.Limits{}, "too long"},
		{"a long part", pack(file{name: strings.Repeat("a", 256)}), archive.Limits{}, "too long a part"},
		{"deep", pack(file{name: strings.Repeat("a/", 100) + "b"}), archive.Limits{}, "too many folders"},

		{"a link", pack(file{name: "a", text: "/etc/passwd", mode: fs.ModeSymlink | 0o777}), archive.Limits{}, "link"},
		{"a device", pack(file{name: "a", mode: fs.ModeDevice | 0o666}), archive.Limits{}, "neither"},
		{"a character device", pack(file{name: "a", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}), archive.Limits{}, "neither"},
		{"a pipe", pack(file{name: "a", mode: fs.ModeNamedPipe | 0o666}), archive.Limits{}, "neither"},
		{"a socket", pack(file{name: "a", mode: fs.ModeSocket | 0o666}), archive.Limits{}, "neither"},
		{"a folder with content", pack(file{name: "a/", text: "abc", mode: fs.ModeDir}, file{name: "b"}), archive.Limits{}, "content"},
		{"encrypted", pack(file{name: "a", text: "abc", flags: 1}), archive.Limits{}, "encrypted"},
		{"another method", pack(file{name: "a", text: "abc", method: 93}), archive.Limits{}, "method 93"},

		{"twice", pack(file{name: "a"}, file{name: "a"}), archive.Limits{}, "twice"},
		{"twice, spelled differently", pack(file{name: "a"}, file{name: "./a"}), archive.Limits{}, "twice"},
		{"a file and a folder", pack(file{name: "a"}, file{name: "a/", mode: fs.ModeDir}), archive.Limits{}, "twice"},
		{"a file in a file", pack(file{name: "a"}, file{name: "a/b"}), archive.Limits{}, "name of a file"},
		{"a file in place of a folder", pack(file{name: "a/b"}, file{name: "a"}), archive.Limits{}, "twice"},
		{"case", pack(file{name: "Data/a"}, file{name: "data/A"}), archive.Limits{Windows: true}, "case"},
		{"case of a folder", pack(file{name: "Data/a"}, file{name: "DATA"}), archive.Limits{Windows: true}, "case"},
		{"device name", pack(file{name: "a/NUL.txt"}), archive.Limits{Windows: true}, "device"},
		{"device name with a number", pack(file{name: "com1"}), archive.Limits{Windows: true}, "device"},
		{"device name with a superscript", pack(file{name: "LPT².log"}), archive.Limits{Windows: true}, "device"},
		{"a stream", pack(file{name: "ab:c"}), archive.Limits{Windows: true}, "Windows"},
		{"a closing dot", pack(file{name: "a./b"}), archive.Limits{Windows: true}, "dot or a space"},
		{"a closing space", pack(file{name: "a "}), archive.Limits{Windows: true}, "dot or a space"},

		{"wrong CRC", pack(file{name: "a", text: "abc", crc: 1}), archive.Limits{}, "CRC"},
		{"wrong CRC, deflated", pack(file{name: "a", text: "abc", crc: 1, deflate: true}), archive.Limits{}, "CRC"},
		{"no CRC", pack(file{name: "a", text: "abc", crc: crc32.ChecksumIEEE([]byte("abc"))}), archive.Limits{}, "CRC"},
		{"larger than it says", pack(file{name: "a", text: "abcdef", claim: new(uint64(3)), deflate: true}), archive.Limits{}, `"a"`},
		{"smaller than it says", pack(file{name: "a", text: "abc", claim: new(uint64(6)), deflate: true}), archive.Limits{}, `"a"`},
		{"beyond its end", pack(file{name: "a", text: "abc"}, file{name: "b", text: strings.Repeat("x", 1000), at: new(0)}), archive.Limits{}, "beyond"},
		{"no deflate", pack(file{name: "a", text: "\xff\xff\xff", method: zip.Deflate}), archive.Limits{}, "damaged"},

		{"a bomb by ratio", pack(file{name: "a", text: "abc", claim: new(uint64(300 << 20)), deflate: true}), archive.Limits{}, "bomb"},
		{"a bomb by size", pack(file{name: "a", text: strings.Repeat("x", 1001), deflate: true}), archive.Limits{Bytes: 1000}, "larger than 1000"},
		{"a bomb by many sizes", pack(file{name: "a", text: strings.Repeat("x", 600)}, file{name: "b", text: strings.Repeat("x", 600)}), archive.Limits{Bytes: 1000}, "larger than 1000"},
		{"a size past all numbers", pack(file{name: "a", text: "abc", claim: new(uint64(math.MaxUint32)), extra: zip64(math.MaxUint64)}), archive.Limits{}, "larger than"},
		{"sizes that overflow", pack(
			file{name: "a", text: "abc", claim: new(uint64(math.MaxUint32)), extra: zip64(math.MaxInt64)},
			file{name: "b", text: "abc", claim: new(uint64(math.MaxUint32)), extra: zip64(math.MaxInt64)},
		), archive.Limits{}, "larger than"},
		{"a bomb by overlap", pack(file{name: "a", text: "abc"}, file{name: "b", text: "abc", at: new(0)}), archive.Limits{}, "share"},
		{"a bomb of nothings", pack(file{name: "a"}, file{name: "b", at: new(0)}), archive.Limits{}, "share"},
		{"many files", pack(many(101)...), archive.Limits{Files: 100}, "100 files"},
		{"many folders", pack(file{name: "a/b/c/d/e/f/g"}), archive.Limits{Files: 5}, "5 files and folders"},
		{"a million files", million(), archive.Limits{}, "100000 files"},
		{"more entries than there are", claimed(1 << 40), archive.Limits{}, "100000 files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := both(t, c.text, c.limits)
			refused, ok := errors.AsType[*archive.Refused](err)
			if !ok {
				t.Fatalf("not refused: %v", err)
			}
			if !strings.Contains(refused.Reason, c.says) {
				t.Errorf("%q does not say %q", refused.Reason, c.says)
			}
		})
	}
}

func many(n int) []file {
	var all []file
	for i := range n {
		all = append(all, file{name: fmt.Sprint(i)})
	}
	return all
}

// million is an archive of a million files, each with the shortest entry there is.
func million() []byte {
	const count = 1_000_000
	text := make([]byte, 0, count*54)
	for i := range count {
		text = binary.LittleEndian.AppendUint32(text, 0x02014b50)
		text = append(text, make([]byte, 24)...)
		text = append(text, 8, 0)
		text = append(text, make([]byte, 16)...)
		text = fmt.Appendf(text, "%08d", i)
	}
	text = append(text, "PK\x05\x06\x00\x00\x00\x00"...)
	text = binary.LittleEndian.AppendUint16(text, count%65536)
	text = binary.LittleEndian.AppendUint16(text, count%65536)
	text = binary.LittleEndian.AppendUint32(text, count*54)
	return append(text, 0, 0, 0, 0, 0, 0)
}

// claimed is an archive whose directory claims n entries.
func claimed(n uint64) []byte {
	var end []byte
	end = append(end, "PK\x06\x06"...)
	end = binary.LittleEndian.AppendUint64(end, 44)
	end = append(end, make([]byte, 12)...)
	end = binary.LittleEndian.AppendUint64(end, n)
	end = binary.LittleEndian.AppendUint64(end, n)
	end = append(end, make([]byte, 16)...)
	end = append(end, "PK\x06\x07\x00\x00\x00\x00"...)
	end = binary.LittleEndian.AppendUint64(end, 0)
	end = append(end, 1, 0, 0, 0)
	end = append(end, "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
	return end
}

// TestAMillionFilesTakeNoMemory: neither real entries nor claimed ones.
func TestAMillionFilesTakeNoMemory(t *testing.T) {
	text := million()
	for name, size := range map[string]int64{"real": int64(len(text)), "claimed": 1 << 45} {
		r := io.ReaderAt(bytes.NewReader(text))
		if name == "claimed" {
			r = tail{claimed(1 << 38), size}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := archive.Check(t.Context(), r, size, archive.Limits{})
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; err == nil || used > 300<<20 {
			t.Errorf("%s: %d MiB, %v", name, used>>20, err)
		} else {
			t.Logf("%s: %d MiB, %v", name, used>>20, err)
		}
	}
}

// tail is a huge file of zeros with something at its end.
type tail struct {
	text []byte
	size int64
}

func (f tail) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	start := f.size - int64(len(f.text))
	if at+int64(len(p)) > start {
		for i := range p {
			if j := at + int64(i) - start; j >= 0 && j < int64(len(f.text)) {
				p[i] = f.text[j]
			}
		}
	}
	if at < int64(len(f.text)) { // the locator says that the zip64 end is at 0
		copy(p, f.text[at:])
	}
	return len(p), nil
}

// TestFaultsOfTheSource: what is not the archive's fault is not called so.
func TestFaultsOfTheSource(t *testing.T) {
	text := pack(file{name: "a", text: strings.Repeat("x", 10_000), deflate: true}, file{name: "b", text: strings.Repeat("y", 100_000)})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := archive.Check(ended, bytes.NewReader(text), int64(len(text)), archive.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	for n := range 12 {
		r := &failing{bytes.NewReader(text), n}
		_, err := archive.Check(t.Context(), r, int64(len(text)), archive.Limits{})
		if r.left >= 0 {
			t.Logf("%d reads", n)
			break
		}
		if !errors.Is(err, errDisk) {
			t.Errorf("read %d fails: %v", n, err)
		}
	}
}

var errDisk = errors.New("the disk is broken")

type failing struct {
	r    io.ReaderAt
	left int
}

func (f *failing) ReadAt(p []byte, at int64) (int, error) {
	f.left--
	if f.left < 0 {
		return 0, errDisk
	}
	return f.r.ReadAt(p, at)
}

// FuzzUnpack: whatever the archive, nothing is outside the folder, nothing but files and
// folders is inside, the limits hold, and Check and Unpack agree.
func FuzzUnpack(f *testing.F) {
	f.Add(pack(file{name: "server", text: "#!/bin/sh", mode: 0o755, deflate: true}, file{name: "data/a", text: "abc"}), false)
	f.Add(pack(file{name: "../evil"}, file{name: "/a"}, file{name: `..\a`}), true)
	f.Add(pack(file{name: "a", text: "b", mode: fs.ModeSymlink | 0o777}, file{name: "a/b"}), false)
	f.Add(pack(file{name: "a", text: "abc"}, file{name: "b", text: "abc", at: new(0)}), false)
	f.Add(pack(file{name: "a", text: "abc", claim: new(uint64(math.MaxUint32)), extra: zip64(3)}), false)
	f.Add(claimed(1<<40), false)
	f.Fuzz(func(t *testing.T, text []byte, windows bool) {
		l := archive.Limits{Files: 20, Bytes: 1 << 16, Windows: windows}
		sum, err := archive.Check(t.Context(), bytes.NewReader(text), int64(len(text)), l)
		outside := t.TempDir()
		dir := filepath.Join(outside, "in", "build")
		if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		got, err2 := archive.Unpack(t.Context(), bytes.NewReader(text), int64(len(text)), dir, archive.Options{Limits: l})
		if (err == nil) != (err2 == nil) || got != sum && err == nil {
			t.Fatalf("Check: %+v, %v; Unpack: %+v, %v", sum, err, got, err2)
		}
		files, size := 0, int64(0)
		_ = filepath.WalkDir(outside, func(name string, d fs.DirEntry, _ error) error {
			if d.IsDir() {
				return nil
			}
			info, err := d.Info()
			if err != nil || !d.Type().IsRegular() || !strings.HasPrefix(name, dir+string(filepath.Separator)) {
				t.Errorf("%s: %v, %v", name, d.Type(), err)
				return nil
			}
			files, size = files+1, size+info.Size()
			return nil
		})
		if err == nil && (files != sum.Files || size != sum.Bytes || files > l.Files || size > l.Bytes) || err != nil && files > 0 {
			t.Errorf("%d files of %d bytes, told %+v, %v", files, size, sum, err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	random := make([]byte, 1<<20)
	for i := range random {
		random[i] = byte(i*i>>7) ^ byte(i>>3)
	}
	for i := range 64 {
		f, _ := w.Create(fmt.Sprint(i))
		_, _ = f.Write(random)
	}
	_ = w.Close()
	b.SetBytes(64 << 20)
	for b.Loop() {
		if _, err := archive.Check(b.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), archive.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
