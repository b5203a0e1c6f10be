package paginate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrBadToken is wrapped by the error of Parse, and so of New, for a starting
// token that cannot be used.
var ErrBadToken = errors.New("bad starting token")

// The keys of boto's token.
const (
	nextKey  = "NextToken"
	skipKey  = "boto_truncate_amount"
	bytesKey = "boto_encoded_keys"
)

// Token is a position in a listing: Skip items after the start of the page
// that the service token Next asks for. The zero Token is the beginning.
type Token struct {
	Next *string // service token; nil asks for the first page
	Skip int     // items of that page that were already given out
	Cut  bool    // an amount was written although Skip is 0, as boto does for MaxItems 0
}

// String encodes the token as boto3 and the AWS CLI do, byte for byte: standard
// base64 of the text Python's json.dumps writes, without the amount when the
// position is the start of a page.
func (t Token) String() string {
	b := make([]byte, 0, 64)
	b = append(b, `{"`+nextKey+`": `...)
	if t.Next == nil {
		b = append(b, "null"...)
	} else {
		b = appendPythonString(b, *t.Next)
	}
	if t.Skip != 0 || t.Cut {
		b = append(b, `, "`+skipKey+`": `...)
		b = strconv.AppendInt(b, int64(t.Skip), 10)
	}
	b = append(b, '}')
	return base64.StdEncoding.EncodeToString(b)
}

// appendPythonString quotes s as json.dumps does with ensure_ascii. Bytes that
// are not UTF-8 become U+FFFD; a service token has none.
func appendPythonString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\b':
			b = append(b, `\b`...)
		case ' ' <= r && r <= '~':
			b = append(b, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}

// Parse reads a token in any form that boto3's StartingToken takes, trying them
// in boto's order:
//
//  1. base64 of a JSON object, what String writes;
//  2. boto's old form, service token and amount around three underscores
//     ("abc___2", "None___2");
//  3. anything else is the service's own NextToken. "None" is no token.
//
// Base64 is read as leniently as Python reads it. An error wraps [ErrBadToken].
//
// Where boto would send nonsense to the service, Parse returns an error: an
// unknown key in the object (boto makes a request parameter of it), a NextToken
// that is empty or no string, an amount that is negative or no whole number.
// Where boto crashes, on base64 of a bare JSON value such as a number, Parse
// takes the text as the service's token.
func Parse(s string) (Token, error) {
	if object, ok := decodeObject(s); ok {
		return parseObject(object)
	}
	next, skip, err := splitOld(s)
	if err != nil {
		return Token{}, err
	}
	t := Token{Skip: skip}
	switch next {
	case "":
		return Token{}, badToken("the service token is empty")
	case "None":
	default:
		t.Next = &next
	}
	return t, nil
}

func badToken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBadToken, fmt.Sprintf(format, args...))
}

// decodeObject reports whether s is base64 of a JSON object.
func decodeObject(s string) (map[string]json.RawMessage, bool) {
	text, ok := pythonBase64(s)
	// Python refuses what is not UTF-8, encoding/json would repair it.
	if !ok || !utf8.Valid(text) {
		return nil, false
	}
	text = bytes.TrimLeft(text, " \t\r\n")
	if !bytes.HasPrefix(text, []byte("{")) {
		return nil, false
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, false
	}
	return object, true
}

func parseObject(object map[string]json.RawMessage) (Token, error) {
	var t Token
	for key, value := range object {
		switch key {
		case nextKey:
			if err := json.Unmarshal(value, &t.Next); err != nil {
				return Token{}, badToken("%s is %s, not a string", nextKey, value)
			}
			if t.Next != nil && *t.Next == "" {
				return Token{}, badToken("%s is empty", nextKey)
			}
			if t.Next != nil && *t.Next == "None" {
				t.Next = nil // as boto: a token it once wrote for "no token"
			}
		case skipKey:
			n, err := strconv.Atoi(string(value))
			if err != nil || n < 0 {
				return Token{}, badToken("%s is %s, not a count", skipKey, value)
			}
			t.Skip, t.Cut = n, n == 0
		case bytesKey:
			// Paths of binary values. No member of this service's tokens is binary.
			var paths []any
			if err := json.Unmarshal(value, &paths); err != nil || len(paths) != 0 {
				return Token{}, badToken("%s is %s, but no token here is binary", bytesKey, value)
			}
		default:
			return Token{}, badToken("unknown key %q", key)
		}
	}
	return t, nil
}

// splitOld takes boto's old form apart. A text that is not of that form comes
// back whole.
func splitOld(s string) (next string, skip int, err error) {
	parts := strings.Split(s, "___")
	if len(parts) == 2 {
		if n, ok := pythonInt(parts[1]); ok {
			if n < 0 {
				return "", 0, badToken("amount %d", n)
			}
			return parts[0], n, nil
		}
		return s, 0, nil
	}
	if len(parts) > 2 {
		return "", 0, badToken("%q has more than one amount", s)
	}
	return s, 0, nil
}

// pythonInt reads a number as Python's int() reads ASCII text: space around it,
// a sign, single underscores between digits.
func pythonInt(s string) (int, bool) {
	s = strings.Trim(s, " \t\n\r\v\f\x1c\x1d\x1e\x1f")
	sign, digits := 1, s
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, digits = -1, rest
	} else if rest, ok := strings.CutPrefix(s, "+"); ok {
		digits = rest
	}
	if strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") {
		return 0, false
	}
	digits = strings.ReplaceAll(digits, "_", "")
	if strings.ContainsAny(digits, "+-") {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return sign * n, err == nil
}

// pythonBase64 decodes as Python's b64decode without validation: characters
// outside the alphabet are dropped, what follows a complete padding is not
// read, and a missing padding is an error.
func pythonBase64(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s)/4*3+3)
	var quad, pads int // characters of the current group, '=' seen since the last
	var left byte
	for i := range len(s) {
		if s[i] == '=' {
			if pads++; quad >= 2 && quad+pads >= 4 {
				return out, true
			}
			continue
		}
		v, ok := base64Value(s[i])
		if !ok {
			continue
		}
		pads = 0
		switch quad {
		case 0:
			left = v
		case 1:
			out, left = append(out, left<<2|v>>4), v&0x0f
		case 2:
			out, left = append(out, left<<4|v>>2), v&0x03
		case 3:
			out = append(out, left<<6|v)
		}
		quad = (quad + 1) % 4
	}
	return out, quad == 0
}

func base64Value(c byte) (byte, bool) {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A', true
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26, true
	case '0' <= c && c <= '9':
		return c - '0' + 52, true
	case c == '+':
		return 62, true
	case c == '/':
		return 63, true
	}
	return 0, false
}
