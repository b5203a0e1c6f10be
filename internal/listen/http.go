package listen

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Limits of a request. 8 MiB in a minute are 1.1 Mbit/s, which every link to a control
// plane has; who sends less is not sending a request.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 60 * time.Second // the header and the body together
	writeTimeout  = 90 * time.Second // from the header to the end of the answer
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
)

// Server makes the http.Server of a Listener: HTTP/1.1 in clear and over TLS, HTTP/2 over
// TLS. Its limits end with the hijacking of a connection, so WebSockets are not subject to them.
func Server(h http.Handler, config *tls.Config, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		TLSConfig:         config, // says that there is HTTP/2
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// What is left to this log are broken handshakes and the like, which anyone can cause.
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// TLS is the configuration for a certificate: TLS 1.2 and newer, HTTP/2 and HTTP/1.1.
func TLS(c *Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.get,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}

// Split hands requests that want to become a WebSocket, on any path, to sockets, and all
// others to api.
func Split(api, sockets http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && hasToken(r.Header["Upgrade"], "websocket") {
			sockets.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// hasToken looks for a token in a header whose values are lists, in any case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}
