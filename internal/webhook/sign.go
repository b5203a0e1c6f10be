package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of what is sent to a URL.
const (
	headerID        = "Matchyard-Event-Id"
	headerTimestamp = "Matchyard-Timestamp" // seconds since 1970, of this try
	headerSignature = "Matchyard-Signature" // "v1=" and hexadecimal, one for each secret, with commas
	headerOnce      = "Idempotency-Key"     // the event's id; lets net/http try again on a connection that had just ended
)

// sign proves that whoever sends knows the secrets, and when it was sent: each signature is
// the HMAC-SHA256, by one secret, of the timestamp's text, a full stop, and the body.
// Receivers check by their own clocks, so the time is the wall clock's.
func sign(h http.Header, secrets []string, now time.Time, body []byte) {
	if len(secrets) == 0 {
		return
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(timestamp))
		mac.Write([]byte{'.'})
		mac.Write(body)
		signatures[i] = "v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	h.Set(headerTimestamp, timestamp)
	h.Set(headerSignature, strings.Join(signatures, ","))
}
