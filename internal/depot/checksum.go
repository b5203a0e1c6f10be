package depot

import (
	"crypto/sha1" //nolint:gosec // S3 has it as a checksum
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
)

// checksums are those of S3, by name.
var checksums = map[string]func() hash.Hash{
	"CRC32":     func() hash.Hash { return crc32.NewIEEE() },
	"CRC32C":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"CRC64NVME": func() hash.Hash { return crc64.New(nvme) },
	"SHA1":      sha1.New,
	"SHA256":    sha256.New,
}

// nvme is the polynomial 0xAD93D23594C93659 of the NVM Express specification, reflected.
var nvme = crc64.MakeTable(0x9A6C9329AC4BC9B5)

const checksumHeader = "X-Amz-Checksum-"

// checksumName is the header of an algorithm's checksum.
func checksumName(algorithm string) string {
	return http.CanonicalHeaderKey(checksumHeader + algorithm)
}

// claimedChecksum is the checksum that a request's header has, or says that a trailer will
// have; then it is not known yet. A request without one has neither.
func claimedChecksum(h http.Header) (algorithm, value string, trailing bool, err *fault) {
	for name, values := range h {
		rest, ok := strings.CutPrefix(name, checksumHeader)
		if !ok || rest == "Algorithm" || rest == "Type" || rest == "Mode" {
			continue
		}
		a := strings.ToUpper(rest)
		switch {
		case checksums[a] == nil:
			return "", "", false, invalidRequest("The checksum %s is not known here. Known are CRC32, CRC32C, CRC64NVME, SHA1 and SHA256.", a)
		case algorithm != "" || len(values) > 1:
			return "", "", false, invalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		algorithm, value = a, values[0]
	}
	names := h["X-Amz-Trailer"]
	if len(names) == 0 {
		return algorithm, value, false, nil
	}
	rest, ok := strings.CutPrefix(http.CanonicalHeaderKey(strings.TrimSpace(names[0])), checksumHeader)
	a := strings.ToUpper(rest)
	if len(names) > 1 || !ok || checksums[a] == nil || algorithm != "" {
		return "", "", false, invalidRequest("The value specified in the x-amz-trailer header is not supported")
	}
	return a, "", true, nil
}

func sumText(h hash.Hash) string { return base64.StdEncoding.EncodeToString(h.Sum(nil)) }
