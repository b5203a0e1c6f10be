package codec

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// cborSource reads CBOR (RFC 8949): definite and indefinite lengths, heads of any width,
// floats of 16, 32 and 64 bits. Tags it does not know are passed over.
type cborSource struct {
	input
	pos    int
	depth  int
	counts [maxNesting]int64 // what is left in each container; indefinite when negative
}

const indefinite = -1

func (s *cborSource) reset(in input) {
	s.input, s.pos, s.depth = in, 0, 0
}

// head reads the head of a data item: its first byte and its argument. Of an indefinite
// length and of a break the argument is 0.
func (s *cborSource) head() (first byte, arg uint64, err error) {
	if s.pos >= len(s.text) {
		return 0, 0, errTruncated
	}
	first = s.text[s.pos]
	s.pos++
	minor := first & 31
	if minor < 24 {
		return first, uint64(minor), nil
	}
	if minor == 31 {
		if major := first &^ 31; major == majorUint || major == majorNegint || major == majorTag {
			return 0, 0, fmt.Errorf("invalid head %#02x", first)
		}
		return first, 0, nil
	}
	if minor > 27 {
		return 0, 0, fmt.Errorf("invalid head %#02x", first)
	}
	width := 1 << (minor - 24)
	if len(s.text)-s.pos < width {
		return 0, 0, errTruncated
	}
	for range width {
		arg = arg<<8 | uint64(s.text[s.pos])
		s.pos++
	}
	return first, arg, nil
}

// value reads the head of a value, after any tags.
func (s *cborSource) value() (first byte, arg uint64, err error) {
	for {
		first, arg, err = s.head()
		if err != nil || first&^31 != majorTag {
			return first, arg, err
		}
	}
}

func expected(want string, first byte) error {
	found := [...]string{"an integer", "a negative integer", "a byte string", "a text", "a list", "a map", "a tag", "a simple value"}[first>>5]
	switch first {
	case cborFalse, cborTrue:
		found = "a boolean"
	case cborNull, cborUndefined:
		found = "a null"
	case cborFloat16, cborFloat32, cborFloat64:
		found = "a float"
	case cborBreak:
		found = "a break"
	}
	return fmt.Errorf("expected %s, found %s", want, found)
}

func (s *cborSource) null() (bool, error) {
	if s.pos >= len(s.text) {
		return false, errTruncated
	}
	if c := s.text[s.pos]; c != cborNull && c != cborUndefined {
		return false, nil
	}
	s.pos++
	return true, nil
}

func (s *cborSource) boolean() (bool, error) {
	first, _, err := s.value()
	switch {
	case err != nil:
		return false, err
	case first == cborTrue:
		return true, nil
	case first == cborFalse:
		return false, nil
	}
	return false, expected("a boolean", first)
}

func (s *cborSource) str() (string, error) {
	first, arg, err := s.value()
	if err != nil {
		return "", err
	}
	if first&^31 != majorText {
		return "", expected("a text", first)
	}
	return s.content(first, arg)
}

// content reads what follows the head of a text or a byte string.
func (s *cborSource) content(first byte, arg uint64) (string, error) {
	if first&31 == 31 {
		return s.chunks(first &^ 31)
	}
	raw, err := s.raw(first, arg)
	if err != nil {
		return "", err
	}
	return s.keep(raw), nil
}

func (s *cborSource) raw(first byte, arg uint64) (string, error) {
	if arg > uint64(len(s.text)-s.pos) {
		return "", errTruncated
	}
	raw := s.text[s.pos : s.pos+int(arg)]
	s.pos += int(arg)
	if first&^31 == majorText && !utf8.ValidString(raw) {
		return "", errUTF8
	}
	return raw, nil
}

func (s *cborSource) chunks(major byte) (string, error) {
	var b strings.Builder
	for {
		first, arg, err := s.head()
		if err != nil {
			return "", err
		}
		if first == cborBreak {
			return b.String(), nil
		}
		if first&^31 != major || first&31 == 31 {
			return "", errors.New("a string of indefinite length holds something else than strings")
		}
		raw, err := s.raw(first, arg)
		if err != nil {
			return "", err
		}
		b.WriteString(raw)
	}
}

func (s *cborSource) blob() ([]byte, error) {
	first, arg, err := s.value()
	if err != nil {
		return nil, err
	}
	if first&^31 != majorBytes {
		return nil, expected("a byte string", first)
	}
	if first&31 == 31 {
		text, err := s.chunks(majorBytes)
		return []byte(text), err
	}
	raw, err := s.raw(first, arg)
	return []byte(raw), err
}

func (s *cborSource) integer() (int64, error) {
	first, arg, err := s.value()
	if err != nil {
		return 0, err
	}
	major := first &^ 31
	if major != majorUint && major != majorNegint {
		return 0, expected("an integer", first)
	}
	if arg > math.MaxInt64 {
		return 0, errors.New("the integer does not fit into 64 bits")
	}
	if major == majorNegint {
		return ^int64(arg), nil
	}
	return int64(arg), nil
}

func (s *cborSource) float() (float64, error) {
	first, arg, err := s.value()
	if err != nil {
		return 0, err
	}
	return number(first, arg)
}

// number takes floats of any width and integers, which JavaScript sends for whole numbers.
func number(first byte, arg uint64) (float64, error) {
	switch {
	case first&^31 == majorUint:
		return float64(arg), nil
	case first&^31 == majorNegint:
		return -1 - float64(arg), nil
	case first == cborFloat16:
		return float16(uint16(arg)), nil
	case first == cborFloat32:
		return float64(math.Float32frombits(uint32(arg))), nil
	case first == cborFloat64:
		return math.Float64frombits(arg), nil
	}
	return 0, expected("a number", first)
}

func float16(h uint16) float64 {
	sign, exp, frac := float64(1), int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	switch {
	case exp == 31 && frac != 0:
		return math.NaN()
	case exp == 31:
		return math.Inf(int(sign))
	case exp == 0:
		return sign * math.Ldexp(frac, -24)
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// timestamp takes tag 1 over a number, and also a bare number, but no other tag: tag 0
// would be text, and others count otherwise.
func (s *cborSource) timestamp() (time.Time, error) {
	first, arg, err := s.head()
	if err != nil {
		return time.Time{}, err
	}
	if first&^31 == majorTag {
		if arg != tagEpoch {
			return time.Time{}, fmt.Errorf("expected a time as epoch seconds (tag 1), found tag %d", arg)
		}
		if first, arg, err = s.head(); err != nil {
			return time.Time{}, err
		}
	}
	f, err := number(first, arg)
	if err != nil {
		return time.Time{}, err
	}
	return fromSeconds(f)
}

// enter begins a list or a map; unit is the least number of bytes of an element.
func (s *cborSource) enter(major byte, want string, unit int) error {
	first, arg, err := s.value()
	if err != nil {
		return err
	}
	if first&^31 != major {
		return expected(want, first)
	}
	return s.push(first, arg, unit)
}

func (s *cborSource) push(first byte, arg uint64, unit int) error {
	if s.depth == maxNesting {
		return errNesting
	}
	n := int64(indefinite)
	if first&31 != 31 {
		if arg > uint64((len(s.text)-s.pos)/unit) {
			return errTruncated
		}
		n = int64(arg)
	}
	s.counts[s.depth] = n
	s.depth++
	return nil
}

// more tells whether the innermost container goes on, and leaves it when it does not.
func (s *cborSource) more() (bool, error) {
	left := &s.counts[s.depth-1]
	switch {
	case *left > 0:
		*left--
		return true, nil
	case *left == indefinite:
		if s.pos >= len(s.text) {
			return false, errTruncated
		}
		if s.text[s.pos] != cborBreak {
			return true, nil
		}
		s.pos++
	}
	s.depth--
	return false, nil
}

func (s *cborSource) enterMap() error { return s.enter(majorMap, "a map", 2) }

func (s *cborSource) nextKey() (string, bool, error) {
	more, err := s.more()
	if err != nil || !more {
		return "", false, err
	}
	key, err := s.str()
	return key, err == nil, err
}

func (s *cborSource) enterList() error { return s.enter(majorArray, "a list", 1) }

func (s *cborSource) nextElement() (bool, error) { return s.more() }

func (s *cborSource) skip() error {
	first, arg, err := s.value()
	if err != nil {
		return err
	}
	switch first &^ 31 {
	case majorBytes, majorText:
		if first&31 == 31 {
			_, err = s.chunks(first &^ 31)
		} else {
			_, err = s.raw(first, arg)
		}
		return err
	case majorArray:
		return s.skipAll(first, arg, 1)
	case majorMap:
		return s.skipAll(first, arg, 2)
	case majorSimple:
		if first == cborBreak || first == majorSimple|24 && arg < 32 {
			return fmt.Errorf("invalid head %#02x", first)
		}
	}
	return nil
}

// skipAll passes over a container whose elements are so many values each: a map's are two.
func (s *cborSource) skipAll(first byte, arg uint64, values int) error {
	if err := s.push(first, arg, values); err != nil {
		return err
	}
	for {
		more, err := s.more()
		if err != nil || !more {
			return err
		}
		for range values {
			if err := s.skip(); err != nil {
				return err
			}
		}
	}
}

func (s *cborSource) end() error {
	if s.pos < len(s.text) {
		return errTrailing
	}
	return nil
}
