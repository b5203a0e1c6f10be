package codec

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonSource reads JSON text (RFC 8259), strictly.
type jsonSource struct {
	input
	pos   int
	first bool // nothing of the container just entered has been read
	depth int
	valid bool // the text is known to be UTF-8

	scratch []byte // where strings with escapes are put together
}

const keptScratch = 64 << 10

func (s *jsonSource) reset(in input) {
	scratch := s.scratch
	if cap(scratch) > keptScratch {
		scratch = nil
	}
	*s = jsonSource{input: in, scratch: scratch}
}

// next is the next byte that is not space, 0 at the end.
func (s *jsonSource) next() byte {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// expected is the error of a value of the wrong type.
func (s *jsonSource) expected(want string) error {
	var found string
	switch c := s.next(); {
	case s.pos >= len(s.text):
		return errTruncated
	case c == '"':
		found = "a string"
	case c == '{':
		found = "an object"
	case c == '[':
		found = "a list"
	case c == 't', c == 'f':
		found = "a boolean"
	case c == 'n':
		found = "a null"
	case c == '-', '0' <= c && c <= '9':
		found = "a number"
	default:
		return fmt.Errorf("expected %s, found %q at byte %d", want, c, s.pos)
	}
	return fmt.Errorf("expected %s, found %s", want, found)
}

func (s *jsonSource) word(w string) bool {
	if !strings.HasPrefix(s.text[s.pos:], w) {
		return false
	}
	s.pos += len(w)
	return true
}

func (s *jsonSource) null() (bool, error) {
	if s.next() != 'n' {
		return false, nil
	}
	if !s.word("null") {
		return false, fmt.Errorf("invalid word at byte %d", s.pos)
	}
	return true, nil
}

func (s *jsonSource) boolean() (bool, error) {
	s.next()
	switch {
	case s.word("true"):
		return true, nil
	case s.word("false"):
		return false, nil
	}
	return false, s.expected("a boolean")
}

func (s *jsonSource) str() (string, error) {
	if s.next() != '"' {
		return "", s.expected("a string")
	}
	text, fresh, err := s.quoted()
	if err != nil || fresh {
		return text, err
	}
	return s.keep(text), nil
}

// quoted reads a string from its opening quote. fresh tells that text is not a slice of
// the body.
func (s *jsonSource) quoted() (text string, fresh bool, err error) {
	s.pos++
	start := s.pos
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		switch {
		case plainJSON[c] || c >= utf8.RuneSelf:
			s.pos++
		case c == '"':
			text = s.text[start:s.pos]
			s.pos++
			return text, false, nil
		case c == '\\':
			text, err = s.escaped(start)
			return text, true, err
		default:
			return "", false, fmt.Errorf("control character %#02x in a string, at byte %d", c, s.pos)
		}
	}
	return "", false, errTruncated
}

// escaped reads on in a string that has a backslash at the position.
func (s *jsonSource) escaped(start int) (string, error) {
	b := append(s.scratch[:0], s.text[start:s.pos]...)
	for s.pos < len(s.text) {
		from := s.pos
		for s.pos < len(s.text) && (plainJSON[s.text[s.pos]] || s.text[s.pos] >= utf8.RuneSelf) {
			s.pos++
		}
		b = append(b, s.text[from:s.pos]...)
		if s.pos == len(s.text) {
			break
		}
		switch c := s.text[s.pos]; c {
		case '"':
			s.pos++
			s.scratch = b
			return string(b), nil
		case '\\':
			var err error
			if b, err = s.escape(b); err != nil {
				return "", err
			}
		default:
			return "", fmt.Errorf("control character %#02x in a string, at byte %d", c, s.pos)
		}
	}
	return "", errTruncated
}

var simpleEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (s *jsonSource) escape(b []byte) ([]byte, error) {
	if s.pos+1 >= len(s.text) {
		return nil, errTruncated
	}
	c := s.text[s.pos+1]
	if c != 'u' {
		if simpleEscapes[c] == 0 {
			return nil, fmt.Errorf("invalid escape at byte %d", s.pos)
		}
		s.pos += 2
		return append(b, simpleEscapes[c]), nil
	}
	r, ok := s.hex4(s.pos)
	if !ok {
		return nil, fmt.Errorf("invalid escape at byte %d", s.pos)
	}
	s.pos += 6
	if utf16.IsSurrogate(r) {
		low, ok := s.hex4(s.pos)
		if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
			s.pos += 6
		} else {
			r = utf8.RuneError // a lone surrogate, as Python sends them
		}
	}
	return utf8.AppendRune(b, r), nil
}

// hex4 reads \uXXXX at a position.
func (s *jsonSource) hex4(at int) (rune, bool) {
	if at+6 > len(s.text) || s.text[at] != '\\' || s.text[at+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s.text[at+2 : at+6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number reads a number's text and tells whether it has neither fraction nor exponent.
func (s *jsonSource) number() (text string, whole bool, err error) {
	if c := s.next(); c != '-' && (c < '0' || c > '9') {
		return "", false, s.expected("a number")
	}
	start := s.pos
	if s.text[s.pos] == '-' {
		s.pos++
	}
	whole = true
	ok := s.peek() == '0'
	if ok {
		s.pos++
	} else {
		ok = s.digits()
	}
	if ok && s.peek() == '.' {
		s.pos++
		whole, ok = false, s.digits()
	}
	if c := s.peek(); ok && (c == 'e' || c == 'E') {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		whole, ok = false, s.digits()
	}
	if !ok {
		return "", false, fmt.Errorf("invalid number at byte %d", start)
	}
	return s.text[start:s.pos], whole, nil
}

func (s *jsonSource) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *jsonSource) digits() bool {
	start := s.pos
	for s.pos < len(s.text) && '0' <= s.text[s.pos] && s.text[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// integer refuses 5.0 and 5e0: no client sends them, and rounding would hide a mistake.
func (s *jsonSource) integer() (int64, error) {
	text, whole, err := s.number()
	if err != nil {
		return 0, err
	}
	if !whole {
		return 0, fmt.Errorf("expected an integer, found %s", brief(text))
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s does not fit into 64 bits", brief(text))
	}
	return n, nil
}

func brief(text string) string {
	if len(text) > 40 {
		return text[:40] + "…"
	}
	return text
}

func (s *jsonSource) float() (float64, error) {
	if s.next() == '"' {
		return s.specialFloat()
	}
	text, _, err := s.number()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%s does not fit into a float of 64 bits", brief(text))
	}
	return f, nil
}

func (s *jsonSource) specialFloat() (float64, error) {
	text, _, err := s.quoted()
	if err != nil {
		return 0, err
	}
	switch text {
	case "NaN", "Infinity", "-Infinity":
		return strconv.ParseFloat(text, 64)
	}
	return 0, errors.New("expected a number, found a string")
}

func (s *jsonSource) timestamp() (time.Time, error) {
	text, _, err := s.number()
	if err != nil {
		return time.Time{}, err
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return time.Time{}, errTime
	}
	return fromSeconds(f)
}

func (s *jsonSource) blob() ([]byte, error) {
	if s.next() != '"' {
		return nil, s.expected("a base64 string")
	}
	text, _, err := s.quoted()
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the string is not base64")
	}
	return b, nil
}

func (s *jsonSource) enter(open byte, want string) error {
	if s.next() != open {
		return s.expected(want)
	}
	if !s.valid { // once, at the outermost container
		if !utf8.ValidString(s.text) {
			return errUTF8
		}
		s.valid = true
	}
	if s.depth++; s.depth > maxNesting {
		return errNesting
	}
	s.pos++
	s.first = true
	return nil
}

// more passes over a comma, or over the bracket that ends the container.
func (s *jsonSource) more(closing byte) (bool, error) {
	c := s.next()
	first := s.first
	s.first = false
	switch {
	case s.pos >= len(s.text):
		return false, errTruncated
	case c == closing:
		s.pos++
		s.depth--
		return false, nil
	case first:
		return true, nil
	case c == ',':
		s.pos++
		return true, nil
	}
	return false, fmt.Errorf("expected a comma or %q, found %q at byte %d", closing, c, s.pos)
}

func (s *jsonSource) enterMap() error { return s.enter('{', "an object") }

func (s *jsonSource) nextKey() (string, bool, error) {
	more, err := s.more('}')
	if err != nil || !more {
		return "", false, err
	}
	key, err := s.str()
	if err != nil {
		return "", false, err
	}
	if s.next() != ':' {
		return "", false, fmt.Errorf("expected a colon at byte %d", s.pos)
	}
	s.pos++
	return key, true, nil
}

func (s *jsonSource) enterList() error { return s.enter('[', "a list") }

func (s *jsonSource) nextElement() (bool, error) { return s.more(']') }

func (s *jsonSource) skip() error {
	switch s.next() {
	case '{':
		return s.skipAll(s.enterMap, func() (bool, error) {
			_, more, err := s.nextKey()
			return more, err
		})
	case '[':
		return s.skipAll(s.enterList, s.nextElement)
	case '"':
		_, _, err := s.quoted()
		return err
	case 't', 'f':
		_, err := s.boolean()
		return err
	case 'n':
		_, err := s.null()
		return err
	}
	_, _, err := s.number()
	return err
}

func (s *jsonSource) skipAll(enter func() error, next func() (bool, error)) error {
	if err := enter(); err != nil {
		return err
	}
	for {
		more, err := next()
		if err != nil || !more {
			return err
		}
		if err := s.skip(); err != nil {
			return err
		}
	}
}

func (s *jsonSource) end() error {
	if s.next(); s.pos < len(s.text) {
		return errTrailing
	}
	return nil
}
