package depot

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestChunkedForms(t *testing.T) {
	for name, c := range map[string]struct{ in, want, trailer string }{
		"as botocore sends it":      {"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n", "abc", "NSRBwg=="},
		"with spaces":               {"3\r\nabc\r\n0\r\nX-Amz-Checksum-Crc32: NSRBwg== \r\n\r\n", "abc", "NSRBwg=="},
		"without the last line":     {"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n", "abc", "NSRBwg=="},
		"without a trailer":         {"3\r\nabc\r\n0\r\n\r\n", "abc", ""},
		"many chunks, upper case":   {"A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", "0123456789x", ""},
		"nothing":                   {"0\r\n\r\n", "", ""},
		"line breaks of one":        {"3\nabc\n0\n\n", "abc", ""},
		"a signature nobody checks": {"3;chunk-signature=00\r\nabc\r\n0;chunk-signature=00\r\n\r\n", "abc", ""},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
			chunks := &chunked{br: bufio.NewReaderSize(r, maxLine), most: int64(len(c.want))}
			got, err := io.ReadAll(chunks)
			if err != nil || string(got) != c.want || chunks.trailer["x-amz-checksum-crc32"] != c.trailer {
				t.Errorf("%s: %q %v, %v", name, got, chunks.trailer, err)
			}
		}
	}
}

func TestChecksums(t *testing.T) {
	// The check values of "123456789" in the catalogue of CRCs.
	for name, want := range map[string]string{"CRC32": "cbf43926", "CRC32C": "e3069283", "CRC64NVME": "ae8b14860a799888"} {
		h := checksums[name]()
		_, _ = io.WriteString(h, "123456789")
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// FuzzChunked: no more comes out than was said, nothing panics, and an error ends it.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"), int64(3))
	f.Add([]byte("ffffffffffffffff\r\nabc"), int64(1<<40))
	f.Add([]byte("3;chunk-signature=00\r\nabc\r\n0;chunk-signature=00\r\n\r\n"), int64(3))
	f.Fuzz(func(t *testing.T, in []byte, most int64) {
		most = max(most, 0)
		chunks := &chunked{br: bufio.NewReaderSize(bytes.NewReader(in), maxLine), most: most}
		got, err := io.ReadAll(chunks)
		if int64(len(got)) > most || len(got) > len(in) {
			t.Errorf("%d bytes of %d, %d were said", len(got), len(in), most)
		}
		if n, again := chunks.Read(make([]byte, 1)); err == nil && (n != 0 || !errors.Is(again, io.EOF)) {
			t.Errorf("behind the end: %d, %v", n, again)
		}
	})
}
