package listen

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUsersCertificateIsTakenAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	put := func(host string) {
		t.Helper()
		c, k, err := selfSigned([]string{host}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFile(cert, c, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(key, k, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("first.example")
	var log bytes.Buffer
	c, err := FromFiles(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	// is fails unless a client that connects after a while gets the host's certificate.
	is := func(host string) {
		t.Helper()
		c.looked = time.Time{}
		got, err := c.get(nil)
		if err != nil || got.Leaf.VerifyHostname(host) != nil {
			t.Errorf("got the certificate of %v, %v; want %s", got.Leaf.DNSNames, err, host)
		}
	}
	is("first.example")
	put("second.example")
	is("second.example")
	if err := os.WriteFile(cert, []byte("half a fi"), 0o644); err != nil {
		t.Fatal(err)
	}
	is("second.example")
	is("second.example")
	if n := strings.Count(log.String(), "certificate not taken"); n != 1 {
		t.Errorf("said %d times that the file is broken, want once:\n%s", n, log.String())
	}
	put("third.example")
	is("third.example")
	if _, err := FromFiles(cert, filepath.Join(dir, "none"), nil); err == nil {
		t.Error("a missing key is taken")
	}
}
