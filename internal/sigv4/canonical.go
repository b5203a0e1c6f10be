package sigv4

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// appendRequest appends the canonical request. path and query are what stands in it for
// those of the URL, the path before its second encoding.
func appendRequest(b []byte, r *http.Request, path, query, signedHeaders string, payloadHash []byte) ([]byte, error) {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendEncoded(b, path, true)
	b = append(b, '\n')
	b, err := appendQuery(b, query)
	if err != nil {
		return b, err
	}
	b = append(b, '\n')
	if b, err = appendHeaders(b, r, signedHeaders); err != nil {
		return b, err
	}
	b = append(b, '\n')
	b = append(b, signedHeaders...)
	b = append(b, '\n')
	return append(b, payloadHash...), nil
}

// pathOf is the path as the client sent it, encoded once by it.
func pathOf(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	if p := r.URL.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// normal removes empty and dot segments from a path (RFC 3986 5.2.4), as the published test
// suite, botocore and the JavaScript SDK do before they sign; the Go SDK does not. ok tells
// whether that makes a difference.
func normal(path string) (clean string, ok bool) {
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path, false
	}
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
		}
	}
	clean = "/" + strings.Join(kept, "/")
	if strings.HasSuffix(path, "/") && len(kept) > 0 {
		clean += "/"
	}
	return clean, clean != path
}

// appendQuery appends the parameters, sorted by encoded name and then value.
func appendQuery(b []byte, raw string) ([]byte, error) {
	if raw == "" {
		return b, nil
	}
	type pair struct{ name, value string }
	var pairs []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return b, incomplete("The query string is not URL-encoded.")
		}
		pairs = append(pairs, pair{string(appendEncoded(nil, name, false)), string(appendEncoded(nil, value, false))})
	}
	slices.SortFunc(pairs, func(x, y pair) int {
		if c := strings.Compare(x.name, y.name); c != 0 {
			return c
		}
		return strings.Compare(x.value, y.value)
	})
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.name...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b, nil
}

// appendEncoded percent-encodes all but the unreserved characters of RFC 3986 and, on
// demand, slashes.
func appendEncoded(b []byte, s string, slash bool) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && slash:
			b = append(b, c)
		default:
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

// appendHeaders appends each signed header with its values.
func appendHeaders(b []byte, r *http.Request, signedHeaders string) ([]byte, error) {
	for name := range headerList(signedHeaders) {
		b = append(b, name...)
		b = append(b, ':')
		if name == "host" { // net/http takes it out of the map
			b = appendTrimmed(b, r.Host)
			b = append(b, '\n')
			continue
		}
		values := r.Header[canonicalName(name)]
		if len(values) == 0 {
			return b, invalid("The signed header %q is not in the request.", name)
		}
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendTrimmed(b, v)
		}
		b = append(b, '\n')
	}
	return b, nil
}

// appendTrimmed appends a header's value without space around it, and with one space where
// there are several.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.TrimSpace(v)
	for {
		i := strings.Index(v, "  ")
		if i < 0 {
			return append(b, v...)
		}
		b = append(b, v[:i+1]...)
		v = strings.TrimLeft(v[i:], " ")
	}
}

// names are the headers SDKs sign, as net/http spells them. Others cost an allocation.
var names = map[string]string{
	"accept":                "Accept",
	"amz-sdk-invocation-id": "Amz-Sdk-Invocation-Id",
	"amz-sdk-request":       "Amz-Sdk-Request",
	"content-length":        "Content-Length",
	"content-type":          "Content-Type",
	"smithy-protocol":       "Smithy-Protocol",
	"x-amz-api-version":     "X-Amz-Api-Version",
	"x-amz-content-sha256":  headerHash,
	"x-amz-date":            headerDate,
	"x-amz-security-token":  headerToken,
	"x-amz-target":          "X-Amz-Target",
	"x-amz-user-agent":      "X-Amz-User-Agent",
}

func canonicalName(name string) string {
	if c, ok := names[name]; ok {
		return c
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}
