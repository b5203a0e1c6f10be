package codec

import (
	"encoding/base64"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Append writes the structure v points to and returns the longer buffer. Members that are
// nil (enums: "") are left out, empty lists are kept, members come in the model's order
// and map keys sorted, so equal values give equal bytes. It fails never: text that is not
// UTF-8 gets U+FFFD.
func (p *Plan) Append(b []byte, protocol Protocol, v any) []byte {
	if protocol == CBOR {
		return p.appendCBOR(b, p.address(v))
	}
	return p.appendJSON(b, p.address(v))
}

func (p *Plan) appendJSON(b []byte, at unsafe.Pointer) []byte {
	b = append(b, '{')
	first := true
	for i := range p.fields {
		f := &p.fields[i]
		from := unsafe.Add(at, f.offset)
		if f.value.absent(from) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, f.json...)
		b = f.value.appendJSON(b, from)
	}
	return append(b, '}')
}

func (v *value) appendJSON(b []byte, at unsafe.Pointer) []byte {
	switch v.kind {
	case stringPtr:
		return appendJSONString(b, **(**string)(at))
	case enumString:
		return appendJSONString(b, *(*string)(at))
	case int32Ptr:
		return strconv.AppendInt(b, int64(**(**int32)(at)), 10)
	case int64Ptr:
		return strconv.AppendInt(b, **(**int64)(at), 10)
	case float32Ptr:
		return appendJSONFloat(b, float64(**(**float32)(at)), 32)
	case float64Ptr:
		return appendJSONFloat(b, **(**float64)(at), 64)
	case boolPtr:
		return strconv.AppendBool(b, **(**bool)(at))
	case timePtr:
		return appendJSONTime(b, **(**time.Time)(at))
	case blobBytes:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, *(*[]byte)(at))
		return append(b, '"')
	case structPtr:
		return v.plan.appendJSON(b, *(*unsafe.Pointer)(at))
	case stringList:
		b = append(b, '[')
		for i, s := range *(*[]string)(at) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(b, s)
		}
		return append(b, ']')
	case structList:
		b = append(b, '[')
		for i, element := range v.structs(at) {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.plan.appendJSON(b, element)
		}
		return append(b, ']')
	case stringMap:
		return appendJSONMap(b, *(*map[string]string)(at), appendJSONString)
	case int32Map:
		return appendJSONMap(b, *(*map[string]int32)(at), func(b []byte, n int32) []byte {
			return strconv.AppendInt(b, int64(n), 10)
		})
	case float64Map:
		return appendJSONMap(b, *(*map[string]float64)(at), func(b []byte, f float64) []byte {
			return appendJSONFloat(b, f, 64)
		})
	case structMap:
		return appendJSONMap(b, v.structMap(at), v.plan.appendJSON)
	}
	panic("codec: unknown kind")
}

func appendJSONMap[V any](b []byte, m map[string]V, appendValue func([]byte, V) []byte) []byte {
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, k)
		b = append(b, ':')
		b = appendValue(b, m[k])
	}
	return append(b, '}')
}

// structs walks over a slice of structures.
func (v *value) structs(at unsafe.Pointer) func(yield func(int, unsafe.Pointer) bool) {
	return func(yield func(int, unsafe.Pointer) bool) {
		s := *(*[]struct{})(at) // its length is right whatever the element is
		base, size := unsafe.Pointer(unsafe.SliceData(s)), v.typ.Elem().Size()
		for i := range s {
			if !yield(i, unsafe.Add(base, uintptr(i)*size)) {
				return
			}
		}
	}
}

// structMap copies a map's structures to where they have addresses.
func (v *value) structMap(at unsafe.Pointer) map[string]unsafe.Pointer {
	m := reflect.NewAt(v.typ, at).Elem()
	out := make(map[string]unsafe.Pointer, m.Len())
	for it := m.MapRange(); it.Next(); {
		element := reflect.New(v.typ.Elem())
		element.Elem().Set(it.Value())
		out[it.Key().String()] = element.UnsafePointer()
	}
	return out
}

// plainJSON are the bytes a JSON string holds as they are.
var plainJSON = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plainJSON[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		b = appendJSONEscape(b, c)
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendJSONEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// appendJSONFloat keeps a decimal point in whole numbers, so that Python reads a float as
// it does from the real service, and writes what JSON has no numbers for as strings.
func appendJSONFloat(b []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, format, -1, bits)
	if format == 'f' && !slices.Contains(b[start:], '.') {
		b = append(b, '.', '0')
	}
	return b
}

// appendJSONTime writes epoch seconds with up to three decimals.
func appendJSONTime(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		b = append(b, '-')
		ms = -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	frac := ms % 1000
	if frac == 0 {
		return b
	}
	b = append(b, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// AppendStrings writes an object of strings, given as keys and values in turn.
func AppendStrings(b []byte, protocol Protocol, pairs ...string) []byte {
	if protocol == CBOR {
		b = appendCBORHead(b, majorMap, uint64(len(pairs)/2))
		for _, s := range pairs {
			b = appendCBORString(b, s)
		}
		return b
	}
	for i, s := range pairs {
		b = append(b, "{:,:"[min(i, 2+i&1)])
		b = appendJSONString(b, s)
	}
	return append(b, '}')
}
