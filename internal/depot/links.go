package depot

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// LinkPath begins the path of every signed link.
const LinkPath = "/matchyard/blob/"

// Links makes and checks signed links to blobs: whoever has one may do what it says until
// it expires, without an account.
type Links struct {
	// Secret signs. All nodes have the same; who has it can make links to everything.
	Secret []byte
	// Base is the URL of the listener that serves links, without a slash at its end, as in
	// "http://127.0.0.1:9170". Nil: links are paths.
	Base func() string
	// Now is the wall clock; nil: time.Now.
	Now func() time.Time
}

// Get makes a link to read a blob, with GET or HEAD, for a time. A filename is what a
// browser calls the file it stores; it may be "".
func (l *Links) Get(key string, life time.Duration, filename string) string {
	return l.make(link{method: http.MethodGet, key: key, filename: filename}, life)
}

// Put makes a link to write a blob of at most limit bytes, with PUT, for a time. What is
// there is replaced, in one step.
func (l *Links) Put(key string, life time.Duration, limit int64) string {
	return l.make(link{method: http.MethodPut, key: key, limit: limit}, life)
}

// link is what a link says.
type link struct {
	method   string
	key      string
	expires  int64 // seconds
	limit    int64 // PUT
	filename string
}

const (
	paramExpires   = "expires"
	paramLimit     = "limit"
	paramFilename  = "filename"
	paramSignature = "signature"
)

func (l *Links) make(k link, life time.Duration) string {
	k.expires = l.now().Add(life).Unix()
	q := url.Values{paramExpires: {strconv.FormatInt(k.expires, 10)}, paramSignature: {hex.EncodeToString(l.sign(k))}}
	if k.method == http.MethodPut {
		q.Set(paramLimit, strconv.FormatInt(k.limit, 10))
	}
	if k.filename != "" {
		q.Set(paramFilename, k.filename)
	}
	base := ""
	if l.Base != nil {
		base = l.Base()
	}
	return base + (&url.URL{Path: LinkPath + k.key, RawQuery: q.Encode()}).String()
}

func (l *Links) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

func (l *Links) sign(k link) []byte {
	h := hmac.New(sha256.New, l.Secret)
	for _, part := range []string{"matchyard link 1", k.method, k.key, strconv.FormatInt(k.expires, 10), strconv.FormatInt(k.limit, 10), k.filename} {
		h.Write([]byte(strconv.Quote(part))) // so that no part runs into the next
	}
	return h.Sum(nil)
}

// serveLink does what a link says.
func (d *Server) serveLink(w http.ResponseWriter, r *http.Request) {
	k, refused := d.Links.read(r)
	if refused != nil {
		http.Error(w, refused.reason, refused.status)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "private, no-store")
	if k.method == http.MethodPut {
		d.putLink(w, r, k)
		return
	}
	f, info, err := d.Blobs.Get(r.Context(), k.key)
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "There is no such file any more.", http.StatusNotFound)
		return
	}
	if err != nil {
		d.failLink(w, r, "open a file", err)
		return
	}
	defer func() { _ = f.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	if strings.HasSuffix(k.key, ".zip") || strings.HasPrefix(k.key, "builds/") || strings.HasPrefix(k.key, "scripts/") {
		w.Header().Set("Content-Type", "application/zip")
	}
	if k.filename != "" {
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": k.filename}))
	}
	serve(w, r, info.Modified, f, cmp.Or(d.Slow, defaultSlow))
}

// putLink stores the body of a request.
func (d *Server) putLink(w http.ResponseWriter, r *http.Request, k link) {
	switch {
	case r.ContentLength < 0:
		http.Error(w, "The request must say its length.", http.StatusLengthRequired)
		return
	case r.ContentLength > k.limit:
		http.Error(w, fmt.Sprintf("At most %d bytes may come.", k.limit), http.StatusRequestEntityTooLarge)
		return
	}
	body := &paced{r: r.Body, control: http.NewResponseController(w), every: cmp.Or(d.Slow, defaultSlow)}
	if err := d.Blobs.Put(r.Context(), k.key, body, r.ContentLength); err != nil {
		d.failLink(w, r, "store a file", err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (d *Server) failLink(w http.ResponseWriter, r *http.Request, doing string, err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		http.Error(w, timedOut.message, http.StatusRequestTimeout)
		return
	}
	f := d.internal(r, doing, err)
	http.Error(w, f.message, f.status)
}

// refused says why a link is not served, and by which status.
type refused struct {
	status int
	reason string
}

// read takes the link of a request, and refuses it if it is not ours, altered, over, or for
// another method.
func (l *Links) read(r *http.Request) (link, *refused) {
	key, _ := strings.CutPrefix(r.URL.Path, LinkPath)
	q := r.URL.Query()
	k := link{method: r.Method, key: key, filename: q.Get(paramFilename)}
	if k.method == http.MethodHead {
		k.method = http.MethodGet
	}
	if k.method != http.MethodGet && k.method != http.MethodPut {
		return k, &refused{http.StatusMethodNotAllowed, "A link is for GET or PUT."}
	}
	var err error
	bad := &refused{http.StatusForbidden, "The link is not valid: it was altered, or is for another method."}
	if k.expires, err = strconv.ParseInt(q.Get(paramExpires), 10, 64); err != nil {
		return k, bad
	}
	if k.method == http.MethodPut {
		if k.limit, err = strconv.ParseInt(q.Get(paramLimit), 10, 64); err != nil {
			return k, bad
		}
	}
	got, err := hex.DecodeString(q.Get(paramSignature))
	if err != nil || len(l.Secret) == 0 || !hmac.Equal(got, l.sign(k)) {
		return k, bad
	}
	if l.now().Unix() >= k.expires {
		return k, &refused{http.StatusForbidden, "The link has expired."}
	}
	return k, nil
}
