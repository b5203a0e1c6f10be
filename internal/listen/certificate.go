package listen

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	certFile = "tls-cert.pem"
	keyFile  = "tls-key.pem"

	ownLife    = 10 * 365 * 24 * time.Hour
	renewAhead = 30 * 24 * time.Hour
	lookEvery  = 5 * time.Second
)

// Certificate is the server's certificate. It is given to every client, whatever name or
// address the client asked for. Safe for concurrent use.
type Certificate struct {
	certPath, keyPath string // "" when it is not read again
	logger            *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   string    // of the files that current was read from
	refused string    // of files that could not be used, so that it is said once
	looked  time.Time // when the files were last looked at
}

// FromFiles takes a certificate with its chain and its key from PEM files. It looks every
// few seconds, when clients connect, whether they have changed, and keeps the former pair
// while the new one cannot be used.
func FromFiles(cert, key string, logger *slog.Logger) (*Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return &Certificate{certPath: cert, keyPath: key, logger: logger, current: &pair, stamp: stampOf(cert, key), looked: time.Now()}, nil
}

// Own makes a certificate that the server signs itself, for localhost, this machine's name
// and the given names and addresses, or takes the one it made before. It is kept in dir;
// with dir "" it is in memory only. The certificate is its own authority, so clients may be
// told to trust it (SSL_CERT_FILE).
func Own(dir string, hosts []string) (*Certificate, error) {
	hosts = append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	if name, err := os.Hostname(); err == nil && name != "" {
		hosts = append(hosts, name)
	}
	now := time.Now()
	if dir != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
		if err == nil && serves(pair.Leaf, hosts, now) {
			return &Certificate{current: &pair}, nil
		}
		if err != nil && errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	cert, key, err := selfSigned(hosts, now)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	if dir != "" {
		if err := errors.Join(writeFile(filepath.Join(dir, keyFile), key, 0o600), writeFile(filepath.Join(dir, certFile), cert, 0o644)); err != nil {
			return nil, fmt.Errorf("keep the certificate: %w", err)
		}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &Certificate{current: &pair}, nil
}

// serves tells whether a certificate is for all the hosts and good for a while.
func serves(leaf *x509.Certificate, hosts []string, now time.Time) bool {
	return now.Add(renewAhead).Before(leaf.NotAfter) &&
		!slices.ContainsFunc(hosts, func(h string) bool { return leaf.VerifyHostname(h) != nil })
}

// selfSigned makes a P-256 certificate that is its own authority, as PEM.
func selfSigned(hosts []string, now time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Matchyard " + hosts[len(hosts)-1], Organization: []string{"Matchyard"}},
		NotBefore:    now.Add(-time.Hour), // clocks of clients may be behind
		NotAfter:     now.Add(ownLife),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}

// writeFile puts a whole file in place of the one that may be there.
func writeFile(path string, text []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = bytes.NewReader(text).WriteTo(f)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.certPath != "" && now.Sub(c.looked) >= lookEvery {
		c.looked = now
		c.reload()
	}
	return c.current, nil
}

// reload takes the files again if they have changed.
func (c *Certificate) reload() {
	stamp := stampOf(c.certPath, c.keyPath)
	if stamp == c.stamp || stamp == c.refused {
		return
	}
	pair, err := tls.LoadX509KeyPair(c.certPath, c.keyPath)
	if err != nil {
		c.refused = stamp
		c.logger.Error("certificate not taken", slog.String("file", c.certPath), slog.Any("error", err))
		return
	}
	c.current, c.stamp, c.refused = &pair, stamp, ""
	c.logger.Info("certificate taken", slog.String("file", c.certPath), slog.Time("not_after", pair.Leaf.NotAfter))
}

// stampOf changes when one of the files does.
func stampOf(paths ...string) string {
	var stamp strings.Builder
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			_, _ = fmt.Fprintf(&stamp, "%d %d;", info.ModTime().UnixNano(), info.Size())
		}
	}
	return stamp.String()
}
