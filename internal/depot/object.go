package depot

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/matchyard/matchyard/internal/build"
)

// put is PutObject. The file is accepted when it is whole and durable, and is what the
// request said; else nothing of it stays.
func (d *Server) put(c *call) {
	if c.r.ContentLength < 0 && c.r.Header.Get("X-Amz-Decoded-Content-Length") == "" {
		d.fail(c, "", missingLength)
		return
	}
	b, f := newBody(c, c.r, &c.signed, "", cmp.Or(d.Slow, defaultSlow))
	if f != nil {
		d.fail(c, "", f)
		return
	}
	slot, err := d.Builds.Slot(c.ctx, c.permit, b.size)
	if err != nil {
		d.fail(c, "find room", err)
		return
	}
	if err := d.Blobs.Put(c.ctx, slot.Blob, b, b.size); err != nil {
		d.discard(c.ctx, slot)
		d.fail(c, "store a file", err)
		return
	}
	stored := build.Stored{Slot: slot, Size: b.size, ETag: b.etag()}
	// It is all here: whether the client waits for the end does not matter any more.
	ctx := context.WithoutCancel(c.ctx)
	d.extend(c)
	err = d.accepted(ctx, c.permit, stored, d.Builds.Accept(ctx, c.permit, stored, cmp.Or(d.Patience, defaultPatience)))
	if err != nil {
		d.discard(c.ctx, slot) // unless it was accepted
		d.fail(c, "accept a file", err)
		return
	}
	h := c.Header()
	h.Set("ETag", quoted(stored.ETag))
	showChecksum(h, b)
	c.WriteHeader(http.StatusOK)
}

// extend gives the answer time anew: the check of a file takes some.
func (d *Server) extend(c *call) {
	_ = http.NewResponseController(c.ResponseWriter).SetWriteDeadline(time.Now().Add(cmp.Or(d.Patience, defaultPatience) + answerTime))
}

func showChecksum(h http.Header, b *body) {
	if b.checksum != nil {
		h.Set(checksumName(b.algorithm), b.sum())
	}
}

// get is GetObject and HeadObject, with ranges.
func (d *Server) get(c *call) {
	stored, err := d.Builds.File(c.ctx, c.permit)
	if err != nil {
		d.fail(c, "find a file", err)
		return
	}
	f, info, err := d.Blobs.Get(c.ctx, stored.Blob)
	if err != nil {
		d.fail(c, "open a file", missing(err))
		return
	}
	defer func() { _ = f.Close() }()
	h := c.Header()
	h.Set("ETag", quoted(stored.ETag))
	h.Set("Content-Type", "application/zip")
	serve(&rangeFaults{ResponseWriter: c, r: c.r}, c.r, info.Modified, f, cmp.Or(d.Slow, defaultSlow))
}

func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return noSuchKey
	}
	return err
}

// serve sends a file, or the part of it that was asked for, for as long as it is taken.
func serve(w http.ResponseWriter, r *http.Request, modified time.Time, f io.ReadSeeker, slow time.Duration) {
	http.ServeContent(&pacedWriter{ResponseWriter: w, control: http.NewResponseController(w), every: slow}, r, "", modified.Truncate(time.Second), f)
}

// pacedWriter writes for as long as something is taken.
type pacedWriter struct {
	http.ResponseWriter

	control *http.ResponseController
	every   time.Duration
	credit  int
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	if p.credit <= 0 {
		_ = p.control.SetWriteDeadline(time.Now().Add(p.every))
		p.credit = pacedBytes
	}
	n, err := p.ResponseWriter.Write(b)
	p.credit -= n
	return n, err
}

// rangeFaults makes the standard library's refusal of a range one of S3's.
type rangeFaults struct {
	http.ResponseWriter

	r       *http.Request
	refused bool
}

func (w *rangeFaults) WriteHeader(status int) {
	if status != http.StatusRequestedRangeNotSatisfiable {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = true
	w.Header().Del("ETag")
	w.Header().Del("Content-Length")
	refuse(w.ResponseWriter, w.r, &fault{status, "InvalidRange", "The requested range is not satisfiable"})
}

func (w *rangeFaults) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets deadlines through.
func (w *rangeFaults) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Unwrap lets deadlines through.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }
