package depot

import (
	"bufio"
	"bytes"
	"crypto/md5" //nolint:gosec // it is what an ETag is
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/sigv4"
)

// body is what a request brings, as its bytes are to be stored. Reading it to its end tells
// whether it is what the request said: its size, its hash, its checksums, its signatures. If
// not, the last Read fails with a *fault.
type body struct {
	r    io.Reader
	size int64
	left int64

	signed    *sigv4.S3Request
	md5       hash.Hash
	sha256    hash.Hash // nil unless the request claims one
	checksum  hash.Hash // nil when nobody wants one
	algorithm string    // its name
	want      string    // base64; "" when the request did not say
	wantMD5   string    // hexadecimal; "" when the request did not say
	chunks    *chunked  // nil unless the body comes in chunks with headers of their own
	trailing  bool      // the checksum is in chunks' trailer
	over      bool
}

// newBody reads the head of a request. algorithm is the checksum to take if the request has
// none; it may be "".
func newBody(w http.ResponseWriter, r *http.Request, signed *sigv4.S3Request, algorithm string, slow time.Duration) (*body, *fault) {
	b := &body{signed: signed, md5: md5.New(), size: r.ContentLength}
	source := io.Reader(&paced{r: r.Body, control: http.NewResponseController(w), every: slow})
	var f *fault
	if b.algorithm, b.want, b.trailing, f = claimedChecksum(r.Header); f != nil {
		return nil, f
	}
	if b.algorithm == "" {
		b.algorithm = algorithm
	} else if algorithm != "" && algorithm != b.algorithm {
		return nil, invalidRequest("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s", strings.ToLower(algorithm), strings.ToLower(b.algorithm))
	}
	if b.algorithm != "" {
		b.checksum = checksums[b.algorithm]()
	}
	if text := r.Header.Get("Content-Md5"); text != "" {
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != md5.Size {
			return nil, &fault{http.StatusBadRequest, "InvalidDigest", "The Content-MD5 you specified was invalid."}
		}
		b.wantMD5 = hex.EncodeToString(sum)
	}
	switch signed.Payload {
	case sigv4.StreamingSigned, sigv4.StreamingSignedTrailing, sigv4.StreamingUnsigned:
		size, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
		if err != nil || size < 0 {
			return nil, missingLength
		}
		b.size = size
		b.chunks = &chunked{br: bufio.NewReaderSize(source, maxLine), most: size}
		if signed.Payload != sigv4.StreamingUnsigned {
			b.chunks.signed, b.chunks.hash = signed, sha256.New()
		}
		b.chunks.signedTrailer = signed.Payload == sigv4.StreamingSignedTrailing
		source = b.chunks
	case sigv4.UnsignedPayload:
	default:
		b.sha256 = sha256.New()
	}
	if b.trailing && b.chunks == nil {
		return nil, invalidRequest("The value specified in the x-amz-trailer header is not supported")
	}
	if b.size < 0 {
		return nil, missingLength
	}
	b.r, b.left = source, b.size
	return b, nil
}

func (b *body) Read(p []byte) (int, error) {
	if b.over {
		return 0, io.EOF
	}
	n, err := b.r.Read(p)
	if int64(n) > b.left {
		return 0, incompleteBody
	}
	b.left -= int64(n)
	for _, h := range []hash.Hash{b.md5, b.sha256, b.checksum} {
		if h != nil {
			h.Write(p[:n])
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		if f := b.judge(); f != nil {
			return 0, f
		}
		b.over = true
		return n, io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, timedOut
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, incompleteBody
	}
	return n, err
}

// judge tells what is wrong with a body that came to its end.
func (b *body) judge() *fault {
	if b.left != 0 {
		return incompleteBody
	}
	if b.sha256 != nil && !b.signed.Hashes([sha256.Size]byte(b.sha256.Sum(nil))) {
		return &fault{http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."}
	}
	if b.wantMD5 != "" && b.wantMD5 != hex.EncodeToString(b.md5.Sum(nil)) {
		return badDigest("The Content-MD5 you specified did not match what we received.")
	}
	if b.trailing {
		var ok bool
		if b.want, ok = b.chunks.trailer[strings.ToLower(checksumName(b.algorithm))]; !ok {
			return malformedTrailer
		}
	}
	if b.want != "" && b.want != sumText(b.checksum) {
		return badDigest("The " + b.algorithm + " you specified did not match the calculated checksum.")
	}
	return nil
}

// etag is the MD5 of what was read, in hexadecimal.
func (b *body) etag() string { return hex.EncodeToString(b.md5.Sum(nil)) }

// sum is the checksum of what was read; "" when nobody wanted one.
func (b *body) sum() string {
	if b.checksum == nil {
		return ""
	}
	return sumText(b.checksum)
}

// paced reads for as long as something comes: every so many bytes have a time.
type paced struct {
	r       io.Reader
	control *http.ResponseController
	every   time.Duration
	credit  int // bytes left until the next deadline
}

// pacedBytes in a minute is less than any link has.
const pacedBytes = 256 << 10

func (p *paced) Read(b []byte) (int, error) {
	if p.credit <= 0 {
		// The answer comes after the body, so its time begins anew, too. A writer that cannot
		// have deadlines has none to begin with.
		now := time.Now()
		_ = p.control.SetReadDeadline(now.Add(p.every))
		_ = p.control.SetWriteDeadline(now.Add(p.every + answerTime))
		p.credit = pacedBytes
	}
	n, err := p.r.Read(b)
	p.credit -= n
	return n, err
}

// chunked reads the form "aws-chunked": chunks that begin with their size and perhaps a
// signature, and a trailer of headers behind the last, which is empty.
type chunked struct {
	br   *bufio.Reader
	most int64 // bytes that all chunks may still have
	left int64 // of this chunk
	in   bool  // in a chunk
	done bool

	signed        *sigv4.S3Request // nil when chunks are not signed
	signature     string           // of this chunk
	hash          hash.Hash
	signedTrailer bool
	trailer       map[string]string
}

const (
	maxLine     = 8 << 10
	maxTrailers = 16
)

func (c *chunked) Read(p []byte) (int, error) {
	for c.left == 0 {
		if c.done {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n, err := c.br.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.hash != nil {
		c.hash.Write(p[:n])
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next ends a chunk and begins the next.
func (c *chunked) next() error {
	if c.in {
		if line, err := c.line(); err != nil || len(line) > 0 {
			return malformed(err)
		}
		if !c.chunkSigned() {
			return badChunk
		}
		c.in = false
	}
	line, err := c.line()
	if err != nil {
		return malformed(err)
	}
	size, extension, _ := strings.Cut(string(line), ";")
	n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 63)
	if err != nil {
		return malformed(nil)
	}
	if int64(n) > c.most {
		return incompleteBody
	}
	c.signature, _ = strings.CutPrefix(strings.TrimSpace(extension), "chunk-signature=")
	c.most -= int64(n)
	c.left = int64(n)
	c.in = n > 0
	if n > 0 {
		return nil
	}
	c.done = true
	if !c.chunkSigned() {
		return badChunk
	}
	return c.readTrailer()
}

func (c *chunked) chunkSigned() bool {
	if c.signed == nil {
		return true
	}
	sum := [sha256.Size]byte(c.hash.Sum(nil))
	c.hash.Reset()
	return c.signed.Chunk(sum, c.signature)
}

func (c *chunked) readTrailer() error {
	c.trailer = map[string]string{}
	var canonical bytes.Buffer
	signature := ""
	for range maxTrailers {
		line, err := c.line()
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break // some leave the last line break out
		}
		if err != nil {
			return malformed(err)
		}
		if len(line) == 0 {
			if _, err := c.br.ReadByte(); err == nil {
				return malformedTrailer
			}
			break
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			return malformedTrailer
		}
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name == "x-amz-trailer-signature" {
			signature = value
			continue
		}
		c.trailer[name] = value
		canonical.WriteString(name + ":" + value + "\n")
	}
	if c.signedTrailer && !c.signed.Trailer(sha256.Sum256(canonical.Bytes()), signature) {
		return badChunk
	}
	return nil
}

// line is the next line, without its end.
func (c *chunked) line() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		return line, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// malformed is a body that is not what it should be, unless reading it failed.
func malformed(err error) error {
	if err == nil || errors.Is(err, bufio.ErrBufferFull) {
		return &fault{http.StatusBadRequest, "InvalidRequest", "The body is not aws-chunked, as its headers say."}
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
