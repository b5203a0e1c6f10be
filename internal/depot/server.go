package depot

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/archive"
	"github.com/matchyard/matchyard/internal/blob"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/sigv4"
	"github.com/matchyard/matchyard/internal/store"
)

// Server is the depot's handler. Builds, Blobs and Links are required.
type Server struct {
	Builds *build.Service
	Blobs  blob.Store
	Links  *Links
	Logger *slog.Logger     // nil: slog.Default
	Now    func() time.Time // the wall clock, by which signatures age; nil: time.Now

	// Slow is how long 256 KiB of a body may take; 0 means a minute.
	Slow time.Duration
	// Patience is how long an uploader waits to hear whether the file is of use; 0 means 20
	// seconds. Clients wait a minute for an answer.
	Patience time.Duration
	// SmallestPart is the least size of all parts of an upload but the last; 0 means 5 MiB,
	// as S3 has it.
	SmallestPart int64
	// Pulse is after how long a client that waits for parts to be joined is sent a sign of
	// life; 0 means 10 seconds.
	Pulse time.Duration

	once     sync.Once
	verifier *sigv4.Verifier
}

const (
	service         = "s3"
	headerRequestID = "X-Amz-Request-Id"

	defaultSlow         = time.Minute
	defaultPatience     = 20 * time.Second
	defaultSmallestPart = 5 << 20
	defaultPulse        = 10 * time.Second
)

// Claims tells whether a request is the depot's: one that is signed for S3, in its header or
// its query, or one for a signed link.
func (d *Server) Claims(r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, LinkPath) {
		return true
	}
	const scope = "/" + service + "/aws4_request"
	if strings.Contains(r.Header.Get("Authorization"), scope) {
		return true
	}
	if !strings.Contains(r.URL.RawQuery, "X-Amz-Credential=") {
		return false
	}
	return strings.HasSuffix(r.URL.Query().Get("X-Amz-Credential"), scope)
}

// ServeHTTP answers a request that is the depot's.
func (d *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, LinkPath) {
		d.serveLink(w, r)
		return
	}
	w.Header().Set(headerRequestID, rand.Text())
	c, f := d.open(w, r)
	if f != nil {
		refuse(w, r, f)
		return
	}
	d.route(c)
}

// call is a request to S3 whose signer may do something with its object.
type call struct {
	http.ResponseWriter

	r      *http.Request
	q      url.Values
	ctx    context.Context //nolint:containedctx // the request's
	signed sigv4.S3Request
	permit build.Permit
}

// open authenticates a request, and refuses all but those for the one object of its signer.
func (d *Server) open(w http.ResponseWriter, r *http.Request) (*call, *fault) {
	c := &call{ResponseWriter: w, r: r, q: r.URL.Query(), ctx: r.Context()}
	d.once.Do(func() { d.verifier = &sigv4.Verifier{Services: []string{service}} })
	var err error
	c.signed, err = d.verifier.VerifyS3(r, d.now(), func(id, token string) (sigv4.Key, error) {
		var err error
		c.permit, err = d.Builds.Permit(c.ctx, id, token)
		if errors.Is(err, build.ErrUnknownKey) {
			return sigv4.Key{}, sigv4.ErrUnknownKey
		}
		key := sigv4.Key{Secret: c.permit.Secret, Temporary: true, TokenSum: sha256.Sum256([]byte(token))}
		if c.permit.Expired {
			key.Expires = time.Unix(1, 0)
		}
		return key, err
	})
	if err != nil {
		return nil, d.unsigned(r, err)
	}
	if bucket, key := d.target(r, *c.permit.Object.Bucket); bucket != *c.permit.Object.Bucket || key != *c.permit.Object.Key {
		return nil, denied("Access Denied. These credentials are for s3://%s/%s and nothing else.", *c.permit.Object.Bucket, *c.permit.Object.Key)
	}
	return c, nil
}

// unsigned is the fault for a request whose signature is refused.
func (d *Server) unsigned(r *http.Request, err error) *fault {
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok {
		return d.internal(r, "look up upload credential", err)
	}
	f := &fault{http.StatusForbidden, "AccessDenied", e.Message}
	switch e.Code {
	case sigv4.IncompleteSignature:
		f.status, f.code = http.StatusBadRequest, "AuthorizationHeaderMalformed"
	case sigv4.UnrecognizedClient:
		f.code, f.message = "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records, or its session token is another. Uploads take the credentials of RequestUploadCredentials."
	case sigv4.InvalidSignature:
		f.code = "SignatureDoesNotMatch"
	case sigv4.TimeSkewed:
		if r.URL.Query().Has("X-Amz-Expires") {
			break // of a presigned request it is AccessDenied
		}
		f.code = string(sigv4.TimeSkewed)
	case sigv4.ExpiredToken:
		f.status, f.code, f.message = http.StatusBadRequest, "ExpiredToken", "The provided token has expired. RequestUploadCredentials gives new ones."
	case sigv4.MissingAuthenticationToken:
	}
	return f
}

// target is the bucket and the key that a request names, in its host or in its path, which
// may begin with the prefix that the client's endpoint has.
func (d *Server) target(r *http.Request, bucket string) (of, key string) {
	if strings.HasPrefix(strings.ToLower(r.Host), bucket+".") {
		return bucket, strings.TrimPrefix(r.URL.Path, "/")
	}
	if _, key, ok := strings.Cut(r.URL.Path, "/"+bucket+"/"); ok {
		return bucket, key
	}
	of, key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return of, key
}

// subresources are parameters that make a request something other than a put or a get.
var subresources = []string{
	"acl", "attributes", "cors", "delete", "legal-hold", "lifecycle", "location", "object-lock", "policy", "renameObject", "restore",
	"retention", "select", "tagging", "torrent", "versioning", "versions",
}

// route carries a request out. What S3 has and uploads do not need is NotImplemented.
func (d *Server) route(c *call) {
	for _, name := range subresources {
		if c.q.Has(name) {
			d.fail(c, "", &fault{http.StatusNotImplemented, "NotImplemented", "A header or query you provided implies functionality that is not implemented: " + name})
			return
		}
	}
	if c.r.Header.Get("X-Amz-Copy-Source") != "" {
		d.fail(c, "", &fault{http.StatusNotImplemented, "NotImplemented", "Objects cannot be copied here."})
		return
	}
	inUpload := c.q.Has("uploadId")
	switch {
	case c.r.Method == http.MethodPut && inUpload:
		d.putPart(c)
	case c.r.Method == http.MethodPut:
		d.put(c)
	case c.r.Method == http.MethodPost && c.q.Has("uploads"):
		d.startUpload(c)
	case c.r.Method == http.MethodPost && inUpload:
		d.complete(c)
	case c.r.Method == http.MethodGet && inUpload:
		d.listParts(c)
	case c.r.Method == http.MethodGet || c.r.Method == http.MethodHead:
		d.get(c)
	case c.r.Method == http.MethodDelete && inUpload:
		d.abort(c)
	case c.r.Method == http.MethodDelete:
		d.fail(c, "", denied("Access Denied. A file that was uploaded goes with its build."))
	default:
		d.fail(c, "", &fault{http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource."})
	}
}

// fail answers with what went wrong; doing says in which step, for errors of our own.
func (d *Server) fail(c *call, doing string, err error) {
	refuse(c, c.r, d.faultOf(c.r, doing, err))
}

// faultOf is an error as S3 gives it. One that is nobody's but ours is logged.
func (d *Server) faultOf(r *http.Request, doing string, err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if e, ok := errors.AsType[*build.QuotaError](err); ok {
		return &fault{http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size: " + e.Error() + "."}
	}
	if e, ok := errors.AsType[*archive.Refused](err); ok {
		return invalidRequest("The build is FAILED: %s.", e.Reason)
	}
	switch {
	case errors.Is(err, build.ErrAccepted):
		return denied("Access Denied: %v.", err)
	case errors.Is(err, build.ErrNoUpload):
		return &fault{http.StatusNotFound, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."}
	case errors.Is(err, store.ErrNoRows):
		return noSuchKey
	}
	return d.internal(r, doing, err)
}

func (d *Server) internal(r *http.Request, doing string, err error) *fault {
	if r.Context().Err() != nil { // the client is gone, and nobody reads this
		return internalError
	}
	d.logger().LogAttrs(r.Context(), slog.LevelError, "upload failed", slog.String("doing", doing), slog.Any("error", err))
	return internalError
}

func (d *Server) logger() *slog.Logger { return cmp.Or(d.Logger, slog.Default()) }

func (d *Server) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// discard gives a slot up after something went wrong, also when the client is gone.
func (d *Server) discard(ctx context.Context, slot build.Slot) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := d.Builds.Discard(ctx, slot); err != nil { // then it goes when its time is over
		d.logger().LogAttrs(ctx, slog.LevelWarn, "file not discarded", slog.String("blob", slot.Blob), slog.Any("error", err))
	}
}

// accepted logs what became of an upload, and returns the error for the uploader.
func (d *Server) accepted(ctx context.Context, p build.Permit, f build.Stored, err error) error {
	attrs := []slog.Attr{slog.String("build_id", string(p.ID)), slog.Int64("size", f.Size)}
	if e, ok := errors.AsType[*archive.Refused](err); ok {
		d.logger().LogAttrs(ctx, slog.LevelWarn, "build refused", append(attrs, slog.String("reason", e.Reason))...)
		return err
	}
	if err == nil {
		d.logger().LogAttrs(ctx, slog.LevelInfo, "build uploaded", attrs...)
	}
	return err
}

func quoted(etag string) string { return fmt.Sprintf("%q", etag) }
