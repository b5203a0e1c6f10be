// Package codec turns request bodies into the SDK's input structures and the SDK's output
// structures into response bodies, in AWS JSON 1.1 and in Smithy RPC v2 CBOR. One plan a
// structure, made by reflection from its Go type and its shape in the model, serves both
// protocols and both directions; the model's constraints are checked in the walk that
// decodes. It knows no HTTP and no operation.
package codec

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/matchyard/matchyard/internal/model"
)

// Protocol is a wire format.
type Protocol uint8

// The two protocols.
const (
	JSON Protocol = iota // AWS JSON 1.1
	CBOR                 // Smithy RPC v2 CBOR
)

func (p Protocol) String() string { return [...]string{"json", "cbor"}[p] }

// Plan says how one structure is read and written. It is immutable and safe for
// concurrent use.
//
// A plan reaches a structure's fields by their offsets, through unsafe pointers, instead of
// through reflect.Value: a page of 100 player sessions is written three to four times
// faster that way. What keeps it safe is that newPlan compares every field's Go type with
// the kind it is given, and refuses anything it does not know.
type Plan struct {
	typ      reflect.Type
	shape    *model.Shape
	fields   []field // in the model's order, which is that of the names
	required uint64  // a bit a field
}

type field struct {
	name   string
	label  string // as paths in messages spell it: first letter in lower case
	offset uintptr
	value  value
	json   string // the key, quoted, with colon
	cbor   string // the key, with its head
}

// value says how one value is stored in Go and what the model asks of it.
type value struct {
	kind  kind
	shape *model.Shape
	typ   reflect.Type // of lists, maps and structures
	plan  *Plan        // of structures, alone or in lists and maps
}

// kind is the way a value is stored: kinds differ where the Go types of fields do.
type kind uint8

const (
	stringPtr    kind = iota + 1 // *string
	enumString                   // a string type, "" when absent
	int32Ptr                     // *int32
	int64Ptr                     // *int64
	float32Ptr                   // *float32
	float64Ptr                   // *float64
	boolPtr                      // *bool
	timePtr                      // *time.Time
	blobBytes                    // []byte
	structPtr                    // *T
	stringList                   // []string or a slice of a string type
	structList                   // []T
	stringMap                    // map[string]string
	int32Map                     // map[string]int32
	float64Map                   // map[string]float64
	structMap                    // map[string]T
	maxFields    = 64            // fields of a structure are counted in a uint64
	resultFields = "ResultMetadata"
)

var plans struct {
	sync.Mutex
	m map[reflect.Type]*Plan
}

// PlanOf returns the plan of a structure type, made at the first call and kept. It panics
// when the type does not fit the shape: the SDK's module and the model's facts then come
// from different revisions, which a test of this package would have told.
func PlanOf(t reflect.Type, shape *model.Shape) *Plan {
	plans.Lock()
	defer plans.Unlock()
	if plans.m == nil {
		plans.m = map[reflect.Type]*Plan{}
	}
	return planOf(t, shape)
}

func planOf(t reflect.Type, shape *model.Shape) *Plan {
	if p := plans.m[t]; p != nil {
		return p
	}
	p := newPlan(t, shape)
	plans.m[t] = p
	return p
}

func newPlan(t reflect.Type, shape *model.Shape) *Plan {
	if t.Kind() != reflect.Struct || len(shape.Members) > maxFields {
		panic(fmt.Sprintf("codec: %s cannot be %s", t, shape.Name))
	}
	p := &Plan{typ: t, shape: shape, fields: make([]field, len(shape.Members))}
	for i, m := range shape.Members {
		f, ok := t.FieldByName(m.Name)
		if !ok {
			panic(fmt.Sprintf("codec: %s has no field %s", t, m.Name))
		}
		p.fields[i] = field{
			name:   m.Name,
			label:  strings.ToLower(m.Name[:1]) + m.Name[1:],
			offset: f.Offset,
			value:  valueOf(f.Type, m.Shape),
			json:   strconv.Quote(m.Name) + ":",
			cbor:   string(appendCBORString(nil, m.Name)),
		}
		if m.Required {
			p.required |= 1 << i
		}
	}
	if have := dataFields(t); have != len(p.fields) {
		panic(fmt.Sprintf("codec: %s has %d fields, %s has %d members", t, have, shape.Name, len(p.fields)))
	}
	return p
}

// dataFields counts the exported fields that travel; ResultMetadata never does.
func dataFields(t reflect.Type) int {
	n := 0
	for f := range t.Fields() {
		if f.IsExported() && !f.Anonymous && f.Name != resultFields {
			n++
		}
	}
	return n
}

func valueOf(t reflect.Type, s *model.Shape) value {
	v := value{shape: s, typ: t}
	switch s.Kind {
	case model.String:
		v.kind = pick(t, reflect.TypeFor[*string](), stringPtr)
		if t.Kind() == reflect.String {
			v.kind = enumString
		}
	case model.Integer:
		v.kind = pick(t, reflect.TypeFor[*int32](), int32Ptr)
	case model.Long:
		v.kind = pick(t, reflect.TypeFor[*int64](), int64Ptr)
	case model.Float:
		v.kind = pick(t, reflect.TypeFor[*float32](), float32Ptr)
	case model.Double:
		v.kind = pick(t, reflect.TypeFor[*float64](), float64Ptr)
	case model.Boolean:
		v.kind = pick(t, reflect.TypeFor[*bool](), boolPtr)
	case model.Timestamp:
		v.kind = pick(t, reflect.TypeFor[*time.Time](), timePtr)
	case model.Blob:
		v.kind = pick(t, reflect.TypeFor[[]byte](), blobBytes)
	case model.Structure:
		if t.Kind() == reflect.Pointer {
			v.kind, v.plan = structPtr, planOf(t.Elem(), s)
		}
	case model.List:
		v.kind, v.plan = listKind(t, s)
	case model.Map:
		v.kind, v.plan = mapKind(t, s)
	}
	if v.kind == 0 {
		panic(fmt.Sprintf("codec: %s cannot hold %s", t, s.Name))
	}
	return v
}

func pick(t, want reflect.Type, k kind) kind {
	if t == want {
		return k
	}
	return 0
}

func listKind(t reflect.Type, s *model.Shape) (kind, *Plan) {
	if t.Kind() != reflect.Slice {
		return 0, nil
	}
	switch {
	case s.Element.Kind == model.String && t.Elem().Kind() == reflect.String:
		return stringList, nil
	case s.Element.Kind == model.Structure && t.Elem().Kind() == reflect.Struct:
		return structList, planOf(t.Elem(), s.Element)
	}
	return 0, nil
}

func mapKind(t reflect.Type, s *model.Shape) (kind, *Plan) {
	switch {
	case s.Key.Kind != model.String:
		return 0, nil
	case s.Element.Kind == model.Structure && t.Kind() == reflect.Map && t.Key() == reflect.TypeFor[string]() && t.Elem().Kind() == reflect.Struct:
		return structMap, planOf(t.Elem(), s.Element)
	case s.Element.Kind == model.String:
		return pick(t, reflect.TypeFor[map[string]string](), stringMap), nil
	case s.Element.Kind == model.Integer:
		return pick(t, reflect.TypeFor[map[string]int32](), int32Map), nil
	case s.Element.Kind == model.Double:
		return pick(t, reflect.TypeFor[map[string]float64](), float64Map), nil
	}
	return 0, nil
}

// absent tells whether the field at that address is unset: nil, or "" for enums, which the
// SDK holds by value. Empty lists and maps are present.
func (v *value) absent(at unsafe.Pointer) bool {
	if v.kind == enumString {
		return *(*string)(at) == ""
	}
	return *(*unsafe.Pointer)(at) == nil // a pointer, a map, or the first word of a slice
}

// address of a structure given as a pointer in an interface. It panics when v is not a
// pointer to the plan's type.
func (p *Plan) address(v any) unsafe.Pointer {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.Type().Elem() != p.typ {
		panic(fmt.Sprintf("codec: got %T, want *%s", v, p.typ))
	}
	return rv.UnsafePointer()
}
