package codec

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Major types of CBOR, in the place they have in a head.
const (
	majorUint   = 0 << 5
	majorNegint = 1 << 5
	majorBytes  = 2 << 5
	majorText   = 3 << 5
	majorArray  = 4 << 5
	majorMap    = 5 << 5
	majorTag    = 6 << 5
	majorSimple = 7 << 5
)

// Heads of major type 7.
const (
	cborFalse     = majorSimple | 20
	cborTrue      = majorSimple | 21
	cborNull      = majorSimple | 22
	cborUndefined = majorSimple | 23
	cborFloat16   = majorSimple | 25
	cborFloat32   = majorSimple | 26
	cborFloat64   = majorSimple | 27
	cborBreak     = majorSimple | 31
)

const tagEpoch = 1

func (p *Plan) appendCBOR(b []byte, at unsafe.Pointer) []byte {
	start, n := len(b), 0
	b = append(b, majorMap)
	for i := range p.fields {
		f := &p.fields[i]
		from := unsafe.Add(at, f.offset)
		if f.value.absent(from) {
			continue
		}
		n++
		b = append(b, f.cbor...)
		b = f.value.appendCBOR(b, from)
	}
	if n < 24 {
		b[start] |= byte(n)
		return b
	}
	b[start] |= 24 // the count needs a byte of its own; few structures have so many members
	return slices.Insert(b, start+1, byte(n))
}

func (v *value) appendCBOR(b []byte, at unsafe.Pointer) []byte {
	switch v.kind {
	case stringPtr:
		return appendCBORString(b, **(**string)(at))
	case enumString:
		return appendCBORString(b, *(*string)(at))
	case int32Ptr:
		return appendCBORInt(b, int64(**(**int32)(at)))
	case int64Ptr:
		return appendCBORInt(b, **(**int64)(at))
	case float32Ptr:
		return binary.BigEndian.AppendUint32(append(b, cborFloat32), math.Float32bits(**(**float32)(at)))
	case float64Ptr:
		return appendCBORFloat(b, **(**float64)(at))
	case boolPtr:
		if **(**bool)(at) {
			return append(b, cborTrue)
		}
		return append(b, cborFalse)
	case timePtr:
		return appendCBORTime(b, **(**time.Time)(at))
	case blobBytes:
		blob := *(*[]byte)(at)
		return append(appendCBORHead(b, majorBytes, uint64(len(blob))), blob...)
	case structPtr:
		return v.plan.appendCBOR(b, *(*unsafe.Pointer)(at))
	case stringList:
		list := *(*[]string)(at)
		b = appendCBORHead(b, majorArray, uint64(len(list)))
		for _, s := range list {
			b = appendCBORString(b, s)
		}
		return b
	case structList:
		b = appendCBORHead(b, majorArray, uint64(len(*(*[]struct{})(at))))
		for _, element := range v.structs(at) {
			b = v.plan.appendCBOR(b, element)
		}
		return b
	case stringMap:
		return appendCBORMap(b, *(*map[string]string)(at), appendCBORString)
	case int32Map:
		return appendCBORMap(b, *(*map[string]int32)(at), func(b []byte, n int32) []byte {
			return appendCBORInt(b, int64(n))
		})
	case float64Map:
		return appendCBORMap(b, *(*map[string]float64)(at), appendCBORFloat)
	case structMap:
		return appendCBORMap(b, v.structMap(at), v.plan.appendCBOR)
	}
	panic("codec: unknown kind")
}

func appendCBORMap[V any](b []byte, m map[string]V, appendValue func([]byte, V) []byte) []byte {
	b = appendCBORHead(b, majorMap, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = appendCBORString(b, k)
		b = appendValue(b, m[k])
	}
	return b
}

// appendCBORHead writes a head in its shortest form.
func appendCBORHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func appendCBORString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return append(appendCBORHead(b, majorText, uint64(len(s))), s...)
}

func appendCBORInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendCBORHead(b, majorNegint, uint64(^n))
	}
	return appendCBORHead(b, majorUint, uint64(n))
}

func appendCBORFloat(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, cborFloat64), math.Float64bits(f))
}

// appendCBORTime writes tag 1 over whole seconds or over a float64 with milliseconds.
// Narrower floats would be misread by every client that was tried.
func appendCBORTime(b []byte, t time.Time) []byte {
	b = append(b, majorTag|tagEpoch)
	ms := t.UnixMilli()
	if ms%1000 == 0 {
		return appendCBORInt(b, ms/1000)
	}
	return appendCBORFloat(b, float64(ms)/1000)
}
