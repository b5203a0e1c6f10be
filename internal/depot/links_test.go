package depot_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/depot"
	"github.com/matchyard/matchyard/internal/expect"
)

func send(t *testing.T, method, url string, body io.Reader) (status int, text string, h http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	expect.OK(t, err)
	answer, err := http.DefaultClient.Do(r)
	expect.OK(t, err)
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(answer.Body)
	expect.OK(t, err)
	return answer.StatusCode, string(got), answer.Header
}

func TestLinks(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		y.Links.Base = func() string { return y.http.URL }
		const key = "logs/fleet-1/gsess-1.zip"
		put, get := y.Links.Put(key, time.Minute, 10), y.Links.Get(key, time.Minute, `gsess 1 "größe".zip`)
		if status, _, _ := send(t, "GET", get, nil); status != http.StatusNotFound {
			t.Errorf("before there is one: %d", status)
		}
		if status, text, _ := send(t, "PUT", put, strings.NewReader("0123456789")); status != http.StatusNoContent {
			t.Errorf("put: %d %s", status, text)
		}
		status, text, h := send(t, "GET", get, nil)
		if status != 200 || text != "0123456789" || h.Get("Content-Type") != "application/zip" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(h.Get("Content-Disposition"), "attachment; filename") {
			t.Errorf("get: %d %q %v", status, text, h)
		}
		if status, _, h := send(t, "HEAD", get, nil); status != 200 || h.Get("Content-Length") != "10" {
			t.Errorf("head: %d %v", status, h)
		}
		if status, text, _ := send(t, "PUT", put, strings.NewReader("again")); status != http.StatusNoContent {
			t.Errorf("put again: %d %s", status, text)
		}
		if _, text, _ := send(t, "GET", get, nil); text != "again" {
			t.Errorf("after another put: %q", text)
		}

		for name, c := range map[string]struct {
			method, url string
			body        string
			want        int
		}{
			"too much":              {"PUT", put, "01234567890", http.StatusRequestEntityTooLarge},
			"a get that puts":       {"PUT", get, "x", http.StatusForbidden},
			"a put that gets":       {"GET", put, "", http.StatusForbidden},
			"a delete":              {"DELETE", get, "", http.StatusMethodNotAllowed},
			"another key":           {"GET", strings.Replace(get, "gsess-1.zip", "gsess-2.zip", 1), "", http.StatusForbidden},
			"another time":          {"GET", strings.Replace(get, "expires=1", "expires=2", 1), "", http.StatusForbidden},
			"another name":          {"GET", strings.Replace(get, "filename=", "filename=x", 1), "", http.StatusForbidden},
			"another limit":         {"PUT", strings.Replace(put, "limit=10", "limit=100", 1), "01234567890", http.StatusForbidden},
			"no signature":          {"GET", y.http.URL + depot.LinkPath + key, "", http.StatusForbidden},
			"a signature of no hex": {"GET", strings.Replace(get, "signature=", "signature=x", 1), "", http.StatusForbidden},
			"another's secret":      {"GET", y.http.URL + (&depot.Links{Secret: []byte("other")}).Get(key, time.Minute, ""), "", http.StatusForbidden},
			"a way out":             {"GET", y.Links.Get("../../etc/passwd", time.Minute, ""), "", http.StatusNotFound},
		} {
			if status, text, _ := send(t, c.method, c.url, strings.NewReader(c.body)); status != c.want {
				t.Errorf("%s: %d %s, want %d", name, status, text, c.want)
			}
		}
		if status, text, _ := send(t, "PUT", put, struct{ io.Reader }{strings.NewReader("x")}); status != http.StatusLengthRequired {
			t.Errorf("without a length: %d %s", status, text)
		}
		y.Links.Now = func() time.Time { return time.Now().Add(time.Minute) }
		if status, text, _ := send(t, "GET", get, nil); status != http.StatusForbidden || !strings.Contains(text, "expired") {
			t.Errorf("too late: %d %s", status, text)
		}
		y.Links.Now = nil
		y.Links.Secret = nil
		if status, _, _ := send(t, "GET", y.Links.Get(key, time.Minute, ""), nil); status != http.StatusForbidden {
			t.Errorf("without a secret: %d", status)
		}
	})
}

// TestALargeFileByLink: what is larger than any buffer, by ranges too.
func TestALargeFileByLink(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		y.Links.Base = func() string { return y.http.URL }
		text := archiveOf(3 << 20)
		if status, said, _ := send(t, "PUT", y.Links.Put("builds/b/1", time.Minute, 4<<20), bytes.NewReader(text)); status != http.StatusNoContent {
			t.Fatalf("%d %s", status, said)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, y.Links.Get("builds/b/1", time.Minute, ""), http.NoBody)
		expect.OK(t, err)
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", 1<<20))
		answer, err := http.DefaultClient.Do(r)
		expect.OK(t, err)
		defer func() { _ = answer.Body.Close() }()
		if got, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusPartialContent || !bytes.Equal(got, text[1<<20:]) {
			t.Errorf("%s, %d bytes, %v", answer.Status, len(got), err)
		}
	})
}
