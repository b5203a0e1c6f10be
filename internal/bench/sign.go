package bench

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/awsapi/codec"
	"github.com/matchyard/matchyard/internal/model"
)

// caller makes signed requests of one access key as the Go SDK would: RPC v2 CBOR, SigV4.
// The SDK's own signer costs more than the server's whole answer; this one costs three
// hashes. That the server accepts its signatures is the proof that they are right.
type caller struct {
	host, keyID string
	scope, date string // of the moment the caller was made; good for 15 minutes
	macs        sync.Pool
}

func newCaller(host, region, keyID, secret string, now time.Time) *caller {
	now = now.UTC()
	day := now.Format("20060102")
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, region, model.SigningName, "aws4_request"} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	return &caller{
		host:  host,
		keyID: keyID,
		scope: day + "/" + region + "/" + model.SigningName + "/aws4_request",
		date:  now.Format("20060102T150405Z"),
		macs:  sync.Pool{New: func() any { return hmac.New(sha256.New, key) }},
	}
}

const signedHeaders = "content-type;host;smithy-protocol;x-amz-date"

// append adds a whole request, head and body, to b.
func (c *caller) append(b []byte, operation string, body []byte) []byte {
	path := "/service/GameLift/operation/" + operation
	var sum [sha256.Size]byte
	var digits [2 * sha256.Size]byte

	sum = sha256.Sum256(body)
	hex.Encode(digits[:], sum[:])
	canonical := make([]byte, 0, 512)
	canonical = append(canonical, "POST\n"...)
	canonical = append(canonical, path...)
	canonical = append(canonical, "\n\ncontent-type:application/cbor\nhost:"...)
	canonical = append(canonical, c.host...)
	canonical = append(canonical, "\nsmithy-protocol:rpc-v2-cbor\nx-amz-date:"...)
	canonical = append(canonical, c.date...)
	canonical = append(canonical, "\n\n"+signedHeaders+"\n"...)
	canonical = append(canonical, digits[:]...)

	sum = sha256.Sum256(canonical)
	hex.Encode(digits[:], sum[:])
	toSign := append(canonical[:0], "AWS4-HMAC-SHA256\n"...)
	toSign = append(toSign, c.date...)
	toSign = append(toSign, '\n')
	toSign = append(toSign, c.scope...)
	toSign = append(toSign, '\n')
	toSign = append(toSign, digits[:]...)

	mac := c.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(toSign)
	hex.Encode(digits[:], mac.Sum(sum[:0]))
	c.macs.Put(mac)

	b = append(b, "POST "...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.host...)
	b = append(b, "\r\nContent-Type: application/cbor\r\nAccept: application/cbor\r\nSmithy-Protocol: rpc-v2-cbor\r\nX-Amz-Date: "...)
	b = append(b, c.date...)
	b = append(b, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential="...)
	b = append(b, c.keyID...)
	b = append(b, '/')
	b = append(b, c.scope...)
	b = append(b, ", SignedHeaders="+signedHeaders+", Signature="...)
	b = append(b, digits[:]...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// encoder writes the inputs of one operation in CBOR.
type encoder[In any] struct{ plan *codec.Plan }

func encoderOf[In any](operation string) encoder[In] {
	return encoder[In]{codec.PlanOf(reflect.TypeFor[In](), model.Find(operation).Input)}
}

func (e encoder[In]) append(b []byte, in *In) []byte { return e.plan.Append(b, codec.CBOR, in) }
