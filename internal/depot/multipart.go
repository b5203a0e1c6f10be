package depot

import (
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // it is what an ETag is
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/blob"
	"github.com/matchyard/matchyard/internal/build"
)

const (
	s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
	timeS3      = "2006-01-02T15:04:05.000Z"

	mostParts    = 10_000
	mostComplete = 4 << 20 // bytes of the list of parts
)

// startUpload is CreateMultipartUpload.
func (d *Server) startUpload(c *call) {
	algorithm := strings.ToUpper(c.r.Header.Get("X-Amz-Checksum-Algorithm"))
	kind := strings.ToUpper(c.r.Header.Get("X-Amz-Checksum-Type"))
	if algorithm != "" && checksums[algorithm] == nil {
		d.fail(c, "", invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"))
		return
	}
	if kind == "" {
		kind = "COMPOSITE"
		if algorithm == "CRC64NVME" {
			kind = "FULL_OBJECT"
		}
	}
	whole := kind == "FULL_OBJECT"
	if kind != "COMPOSITE" && !whole || algorithm == "CRC64NVME" && !whole || strings.HasPrefix(algorithm, "SHA") && whole {
		d.fail(c, "", invalidRequest("The %s checksum type cannot be used with the %s checksum algorithm.", kind, strings.ToLower(algorithm)))
		return
	}
	u, err := d.Builds.StartUpload(c.ctx, c.permit, algorithm, whole)
	if err != nil {
		d.fail(c, "start an upload", err)
		return
	}
	if algorithm != "" {
		c.Header().Set("X-Amz-Checksum-Algorithm", algorithm)
		c.Header().Set("X-Amz-Checksum-Type", kind)
	}
	answer(c, http.StatusOK, struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
		Bucket   string   `xml:"Bucket"`
		Key      string   `xml:"Key"`
		UploadID string   `xml:"UploadId"`
	}{Bucket: *c.permit.Object.Bucket, Key: *c.permit.Object.Key, UploadID: u.ID})
}

// putPart is UploadPart.
func (d *Server) putPart(c *call) {
	n, err := strconv.Atoi(c.q.Get("partNumber"))
	if err != nil || n < 1 || n > mostParts {
		d.fail(c, "", &fault{http.StatusBadRequest, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"})
		return
	}
	size := c.r.ContentLength
	if text := c.r.Header.Get("X-Amz-Decoded-Content-Length"); text != "" {
		if size, err = strconv.ParseInt(text, 10, 64); err != nil {
			size = -1
		}
	}
	if size < 0 {
		d.fail(c, "", missingLength)
		return
	}
	u, slot, err := d.Builds.PartSlot(c.ctx, c.permit, c.q.Get("uploadId"), size)
	if err != nil {
		d.fail(c, "find room for a part", err)
		return
	}
	part, b, err := d.storePart(c, u, slot)
	if err == nil {
		part.Number = n
		err = d.Builds.AcceptPart(context.WithoutCancel(c.ctx), c.permit, u.ID, part)
	}
	if err != nil {
		d.discard(c.ctx, slot)
		d.fail(c, "store a part", err)
		return
	}
	c.Header().Set("ETag", quoted(part.ETag))
	showChecksum(c.Header(), b)
	c.WriteHeader(http.StatusOK)
}

func (d *Server) storePart(c *call, u build.Upload, slot build.Slot) (build.Part, *body, error) {
	b, f := newBody(c, c.r, &c.signed, u.Algorithm, cmp.Or(d.Slow, defaultSlow))
	if f != nil {
		return build.Part{}, nil, f
	}
	if err := d.Blobs.Put(c.ctx, slot.Blob, b, b.size); err != nil {
		return build.Part{}, nil, err
	}
	part := build.Part{Stored: build.Stored{Slot: slot, Size: b.size, ETag: b.etag()}}
	if u.Algorithm != "" {
		part.Checksum = b.sum()
	}
	return part, b, nil
}

// abort is AbortMultipartUpload.
func (d *Server) abort(c *call) {
	if err := d.Builds.Abort(c.ctx, c.permit, c.q.Get("uploadId")); err != nil {
		d.fail(c, "abort an upload", err)
		return
	}
	c.WriteHeader(http.StatusNoContent)
}

// listedPart is a part in ListParts and in CompleteMultipartUpload.
type listedPart struct {
	PartNumber   int    `xml:"PartNumber"`
	LastModified string `xml:"LastModified,omitempty"`
	ETag         string `xml:"ETag"`
	Size         int64  `xml:"Size,omitempty"`

	CRC32     string `xml:"ChecksumCRC32,omitempty"`
	CRC32C    string `xml:"ChecksumCRC32C,omitempty"`
	CRC64NVME string `xml:"ChecksumCRC64NVME,omitempty"`
	SHA1      string `xml:"ChecksumSHA1,omitempty"`
	SHA256    string `xml:"ChecksumSHA256,omitempty"`
}

// checksum is the part's field for an algorithm.
func (p *listedPart) checksum(algorithm string) *string {
	switch algorithm {
	case "CRC32":
		return &p.CRC32
	case "CRC32C":
		return &p.CRC32C
	case "CRC64NVME":
		return &p.CRC64NVME
	case "SHA1":
		return &p.SHA1
	case "SHA256":
		return &p.SHA256
	}
	return new(string)
}

// listParts is ListParts.
func (d *Server) listParts(c *call) {
	u, parts, err := d.Builds.Parts(c.ctx, c.permit, c.q.Get("uploadId"))
	if err == nil && u.Done != "" {
		err = build.ErrNoUpload
	}
	if err != nil {
		d.fail(c, "list parts", err)
		return
	}
	most, ok1 := wholeNumber(c.q.Get("max-parts"), 1000)
	after, ok2 := wholeNumber(c.q.Get("part-number-marker"), 0)
	if !ok1 || !ok2 {
		d.fail(c, "", &fault{http.StatusBadRequest, "InvalidArgument", "max-parts and part-number-marker must be whole numbers"})
		return
	}
	most = min(most, 1000)
	type result struct {
		XMLName              xml.Name     `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListPartsResult"`
		Bucket               string       `xml:"Bucket"`
		Key                  string       `xml:"Key"`
		UploadID             string       `xml:"UploadId"`
		PartNumberMarker     int          `xml:"PartNumberMarker"`
		NextPartNumberMarker int          `xml:"NextPartNumberMarker"`
		MaxParts             int          `xml:"MaxParts"`
		IsTruncated          bool         `xml:"IsTruncated"`
		Parts                []listedPart `xml:"Part"`
		StorageClass         string       `xml:"StorageClass"`
		ChecksumAlgorithm    string       `xml:"ChecksumAlgorithm,omitempty"`
	}
	out := result{
		Bucket: *c.permit.Object.Bucket, Key: *c.permit.Object.Key, UploadID: u.ID, PartNumberMarker: after, NextPartNumberMarker: after,
		MaxParts: most, StorageClass: "STANDARD", ChecksumAlgorithm: u.Algorithm,
	}
	for _, p := range parts {
		if p.Number <= after {
			continue
		}
		if len(out.Parts) == most {
			out.IsTruncated = true
			break
		}
		l := listedPart{PartNumber: p.Number, LastModified: p.At.Format(timeS3), ETag: quoted(p.ETag), Size: p.Size}
		*l.checksum(u.Algorithm) = p.Checksum
		out.Parts, out.NextPartNumberMarker = append(out.Parts, l), p.Number
	}
	answer(c, http.StatusOK, out)
}

func wholeNumber(text string, otherwise int) (int, bool) {
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0
}

// complete is CompleteMultipartUpload. Joining the parts may take longer than a client waits
// in silence: then it is sent the beginning of the answer and spaces, as S3 does, and a
// fault comes with status 200.
func (d *Server) complete(c *call) {
	var list struct {
		Parts []listedPart `xml:"Part"`
	}
	text, err := io.ReadAll(io.LimitReader(&paced{r: c.r.Body, control: http.NewResponseController(c.ResponseWriter), every: cmp.Or(d.Slow, defaultSlow)}, mostComplete+1))
	if err != nil || len(text) > mostComplete || xml.Unmarshal(text, &list) != nil || len(list.Parts) == 0 || len(list.Parts) > mostParts {
		d.fail(c, "", malformedXML)
		return
	}
	if _, _, _, f := claimedChecksum(c.r.Header); f != nil {
		d.fail(c, "", f)
		return
	}
	type outcome struct {
		document completed
		err      error
	}
	done := make(chan outcome, 1)
	ctx := context.WithoutCancel(c.ctx) // a client that asks again will find it done
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- outcome{err: fmt.Errorf("panic: %v", p)}
			}
		}()
		document, err := d.join(ctx, c, list.Parts)
		done <- outcome{document, err}
	}()
	pulse := time.NewTicker(cmp.Or(d.Pulse, defaultPulse))
	defer pulse.Stop()
	control := http.NewResponseController(c.ResponseWriter)
	for begun := false; ; {
		_ = control.SetWriteDeadline(time.Now().Add(answerTime + cmp.Or(d.Pulse, defaultPulse)))
		select {
		case o := <-done:
			switch {
			case o.err != nil && !begun:
				d.fail(c, "join parts", o.err)
			case o.err != nil:
				finish(c, d.faultOf(c.r, "join parts", o.err).document(c, c.r))
			case !begun:
				answer(c, http.StatusOK, o.document)
			default:
				finish(c, o.document)
			}
			return
		case <-pulse.C:
			if !begun {
				begun = true
				c.Header().Set("Content-Type", contentXML)
				_, _ = io.WriteString(c, strings.TrimSuffix(xml.Header, "\n"))
			}
			_, _ = io.WriteString(c, " ")
			_ = control.Flush()
		}
	}
}

// finish ends an answer that was begun.
func finish(w io.Writer, document any) {
	text, err := xml.Marshal(document)
	if err != nil {
		panic(err) // documents are plain data
	}
	_, _ = w.Write(append([]byte("\n"), text...))
}

// completed is the answer to CompleteMultipartUpload.
type completed struct {
	XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
	Location string   `xml:"Location"`
	Bucket   string   `xml:"Bucket"`
	Key      string   `xml:"Key"`
	ETag     string   `xml:"ETag"`

	CRC32        string `xml:"ChecksumCRC32,omitempty"`
	CRC32C       string `xml:"ChecksumCRC32C,omitempty"`
	CRC64NVME    string `xml:"ChecksumCRC64NVME,omitempty"`
	SHA1         string `xml:"ChecksumSHA1,omitempty"`
	SHA256       string `xml:"ChecksumSHA256,omitempty"`
	ChecksumType string `xml:"ChecksumType,omitempty"`
}

func (d *Server) completed(c *call, etag, algorithm, sum string, whole bool) completed {
	var l listedPart
	*l.checksum(algorithm) = sum
	doc := completed{
		Location: "http://" + c.r.Host + c.r.URL.Path, Bucket: *c.permit.Object.Bucket, Key: *c.permit.Object.Key, ETag: quoted(etag),
		CRC32: l.CRC32, CRC32C: l.CRC32C, CRC64NVME: l.CRC64NVME, SHA1: l.SHA1, SHA256: l.SHA256,
	}
	if sum != "" {
		doc.ChecksumType = "COMPOSITE"
		if whole {
			doc.ChecksumType = "FULL_OBJECT"
		}
	}
	return doc
}

// join makes one file of the parts that a list names and has it accepted. Asked again for
// an upload that is complete, it says so again.
func (d *Server) join(ctx context.Context, c *call, list []listedPart) (completed, error) {
	id := c.q.Get("uploadId")
	u, parts, err := d.Builds.Parts(ctx, c.permit, id)
	if err != nil {
		return completed{}, err
	}
	if u.Done != "" {
		return d.completed(c, u.Done, "", "", false), nil
	}
	parts, f := d.chosen(u, parts, list)
	if f != nil {
		return completed{}, f
	}
	stored, sum, err := d.assemble(ctx, c, u, parts)
	if err == nil {
		err = d.accepted(ctx, c.permit, stored, d.Builds.Complete(ctx, c.permit, id, stored, cmp.Or(d.Patience, defaultPatience)))
	}
	if err != nil && stored.Blob != "" {
		d.discard(ctx, stored.Slot) // unless it was accepted
	}
	if errors.Is(err, build.ErrAccepted) || errors.Is(err, build.ErrNoUpload) { // another's answer to the same question came first
		if u, _, again := d.Builds.Parts(ctx, c.permit, id); again == nil && u.Done != "" {
			return d.completed(c, u.Done, "", "", false), nil
		}
	}
	if err != nil {
		return completed{}, err
	}
	return d.completed(c, stored.ETag, u.Algorithm, sum, u.Whole), nil
}

// chosen are the parts that a list names, which must be in order and what they were when
// they came in.
func (d *Server) chosen(u build.Upload, parts []build.Part, list []listedPart) ([]build.Part, *fault) {
	have := map[int]build.Part{}
	for _, p := range parts {
		have[p.Number] = p
	}
	var all []build.Part
	last := 0
	for i, l := range list {
		if l.PartNumber <= last {
			return nil, &fault{http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order. The parts list must be specified in order by part number."}
		}
		last = l.PartNumber
		p, ok := have[l.PartNumber]
		if sum := *l.checksum(u.Algorithm); !ok || strings.Trim(l.ETag, `"`) != p.ETag || sum != "" && u.Algorithm != "" && sum != p.Checksum {
			return nil, &fault{http.StatusBadRequest, "InvalidPart", fmt.Sprintf("One or more of the specified parts could not be found. "+
				"Part %d may not have been uploaded, or the specified entity tag or checksum may not match the part's.", l.PartNumber)}
		}
		if i < len(list)-1 && p.Size < cmp.Or(d.SmallestPart, defaultSmallestPart) {
			return nil, &fault{http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"}
		}
		all = append(all, p)
	}
	return all, nil
}

// assemble stores the parts one behind the other and returns the file with its checksum,
// which is held against the one that the request has.
func (d *Server) assemble(ctx context.Context, c *call, u build.Upload, parts []build.Part) (stored build.Stored, sum string, err error) {
	etags := md5.New()
	var size int64
	for _, p := range parts {
		raw, err := hex.DecodeString(p.ETag)
		if err != nil {
			return stored, "", fmt.Errorf("etag of part %d: %w", p.Number, err)
		}
		etags.Write(raw)
		size += p.Size
	}
	stored = build.Stored{Size: size, ETag: fmt.Sprintf("%x-%d", etags.Sum(nil), len(parts))}
	if said := c.r.Header.Get("X-Amz-Mp-Object-Size"); said != "" && said != strconv.FormatInt(size, 10) {
		return stored, "", invalidRequest("The provided 'x-amz-mp-object-size' header does not match what was computed: %d bytes.", size)
	}
	if stored.Slot, err = d.Builds.AssemblySlot(ctx, c.permit, u.ID); err != nil {
		return stored, "", err
	}
	want := c.r.Header.Get(checksumName(u.Algorithm))
	judge := func(h hash.Hash) *fault {
		if u.Algorithm == "" {
			return nil
		}
		sum = sumText(h)
		if !u.Whole {
			sum = composite(u.Algorithm, parts)
		}
		if want != "" && want != sum && !strings.HasPrefix(sum, want+"-") {
			return badDigest("The " + u.Algorithm + " you specified did not match the calculated checksum.")
		}
		return nil
	}
	r := &joined{ctx: ctx, blobs: d.Blobs, parts: parts, judge: judge}
	if u.Algorithm != "" && u.Whole {
		r.hash = checksums[u.Algorithm]()
	} else {
		r.hash = md5.New() // of no use, and simpler than none
	}
	err = errors.Join(d.Blobs.Put(ctx, stored.Blob, r, size), r.Close())
	return stored, sum, err
}

// composite is the checksum of parts' checksums.
func composite(algorithm string, parts []build.Part) string {
	h := checksums[algorithm]()
	for _, p := range parts {
		raw, err := base64.StdEncoding.DecodeString(p.Checksum)
		if err != nil {
			return ""
		}
		h.Write(raw)
	}
	return sumText(h) + "-" + strconv.Itoa(len(parts))
}

// joined reads parts one behind the other. Its end fails if judge has something against
// what was read.
type joined struct {
	ctx   context.Context //nolint:containedctx // it lives for one call of assemble
	blobs blob.Store
	parts []build.Part
	hash  hash.Hash
	judge func(h hash.Hash) *fault
	open  io.ReadCloser
}

func (j *joined) Read(p []byte) (int, error) {
	for {
		if j.open == nil {
			if len(j.parts) == 0 {
				if f := j.judge(j.hash); f != nil {
					return 0, f
				}
				return 0, io.EOF
			}
			f, _, err := j.blobs.Get(j.ctx, j.parts[0].Blob)
			if err != nil {
				return 0, err
			}
			j.open, j.parts = f, j.parts[1:]
		}
		n, err := j.open.Read(p)
		j.hash.Write(p[:n])
		if errors.Is(err, io.EOF) {
			err = j.Close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Close closes the part that is open.
func (j *joined) Close() error {
	if j.open == nil {
		return nil
	}
	err := j.open.Close()
	j.open = nil
	return err
}
