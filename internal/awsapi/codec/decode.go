package codec

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/matchyard/matchyard/internal/model"
)

// Undecodable is the error of a body that is not what the protocol or the model's types
// ask for. On the wire it is a SerializationException.
type Undecodable struct {
	Path   string // of the member, "" for the body itself
	Reason string
}

func (e *Undecodable) Error() string {
	if e.Path == "" {
		return "The request body could not be read: " + e.Reason
	}
	return fmt.Sprintf("The request body could not be read at '%s': %s", e.Path, e.Reason)
}

// Decode reads a body into the zero structure v points to and checks the model's
// constraints on the way. It returns an *Undecodable, or an *Invalid that names every
// constraint that was broken, and does not keep body. An empty body is an empty structure.
// Null and undefined members are absent, unknown ones are skipped, of a member that comes
// twice the last counts.
func (p *Plan) Decode(protocol Protocol, body []byte, v any) error {
	return p.decode(protocol, body, v, true)
}

func (p *Plan) decode(protocol Protocol, body []byte, v any, check bool) error {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.check, d.elements = check, maxElements
	d.begin(protocol, body)
	if len(body) == 0 {
		d.missing(p, 0)
		return d.verdict()
	}
	err := d.structure(p, p.address(v))
	if err == nil {
		err = d.src.end()
	}
	if err != nil {
		return &Undecodable{Path: d.pathText(), Reason: err.Error()}
	}
	return d.verdict()
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decoder is one walk over one body.
type decoder struct {
	src      source
	json     jsonSource
	cbor     cborSource
	check    bool
	elements int // that may still come
	path     []step
	failures []failure
	more     int // failures beyond keptFailures
}

// smallBody is the size up to which a body is copied once and its strings are slices of
// the copy. Strings of a larger one are copied each, so that a short name does not keep
// five megabytes of a script alive.
const smallBody = 16 << 10

func (d *decoder) begin(protocol Protocol, body []byte) {
	in := input{clone: len(body) > smallBody}
	if in.clone {
		in.text = unsafe.String(unsafe.SliceData(body), len(body)) // not kept: clone is set
	} else {
		in.text = string(body)
	}
	if protocol == CBOR {
		d.cbor.reset(in)
		d.src = &d.cbor
		return
	}
	d.json.reset(in)
	d.src = &d.json
}

// input is a body under way.
type input struct {
	text  string
	clone bool // strings must be copied out of text
}

func (in *input) keep(s string) string {
	if in.clone {
		return strings.Clone(s)
	}
	return s
}

func (d *decoder) release() {
	d.json.reset(input{})
	d.cbor.reset(input{})
	d.path = d.path[:0]
	clear(d.failures)
	d.failures, d.more = d.failures[:0], 0
	decoders.Put(d)
}

func (d *decoder) structure(p *Plan, at unsafe.Pointer) error {
	if err := d.src.enterMap(); err != nil {
		return err
	}
	var seen, met uint64 // with a value; met at all
	for {
		key, more, err := d.src.nextKey()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		i := p.find(key)
		if i < 0 {
			if err := d.src.skip(); err != nil {
				return err
			}
			continue
		}
		f := &p.fields[i]
		to := unsafe.Add(at, f.offset)
		d.path = append(d.path, step{name: f.label})
		if met&(1<<i) != 0 {
			d.forget(&f.value, to)
		}
		met |= 1 << i
		present, err := d.member(&f.value, to)
		if err != nil {
			return err
		}
		if seen |= 1 << i; !present {
			seen &^= 1 << i
		}
		d.path = d.path[:len(d.path)-1]
	}
	d.missing(p, seen)
	return nil
}

func (p *Plan) find(key string) int {
	for i := range p.fields {
		if p.fields[i].name == key {
			return i
		}
	}
	return -1
}

// forget undoes a member that turns out to come twice.
func (d *decoder) forget(v *value, at unsafe.Pointer) {
	reflect.NewAt(v.typ, at).Elem().SetZero()
	d.dropFailures()
}

// missing notes the required members that were not seen.
func (d *decoder) missing(p *Plan, seen uint64) {
	if p.required&^seen == 0 || !d.check {
		return
	}
	for i := range p.fields {
		if p.required&^seen&(1<<i) != 0 {
			d.path = append(d.path, step{name: p.fields[i].label})
			d.fail("null", "Member must not be null")
			d.path = d.path[:len(d.path)-1]
		}
	}
}

// member reads one member's value; present is false when it is null.
func (d *decoder) member(v *value, at unsafe.Pointer) (present bool, err error) {
	if null, err := d.src.null(); null || err != nil {
		return false, err
	}
	switch v.kind {
	case stringPtr:
		s, err := d.src.str()
		*(**string)(at) = &s
		d.checkString(v.shape, s)
		return true, err
	case enumString:
		s, err := d.src.str()
		*(*string)(at) = s
		d.checkString(v.shape, s)
		return true, err
	case int32Ptr:
		n, err := d.int32()
		*(**int32)(at) = &n
		d.checkInt(v.shape, int64(n))
		return true, err
	case int64Ptr:
		n, err := d.src.integer()
		*(**int64)(at) = &n
		d.checkInt(v.shape, n)
		return true, err
	case float32Ptr:
		f, err := d.float32()
		*(**float32)(at) = &f
		d.checkFloat(v.shape, float64(f))
		return true, err
	case float64Ptr:
		f, err := d.src.float()
		*(**float64)(at) = &f
		d.checkFloat(v.shape, f)
		return true, err
	case boolPtr:
		b, err := d.src.boolean()
		*(**bool)(at) = &b
		return true, err
	case timePtr:
		t, err := d.src.timestamp()
		*(**time.Time)(at) = &t
		return true, err
	case blobBytes:
		b, err := d.src.blob()
		*(*[]byte)(at) = b
		d.checkLength(v.shape, len(b), "")
		return true, err
	case structPtr:
		p := reflect.New(v.plan.typ).UnsafePointer()
		*(*unsafe.Pointer)(at) = p
		return true, d.structure(v.plan, p)
	case stringList:
		return true, d.stringList(v, (*[]string)(at))
	case structList:
		return true, d.structList(v, reflect.NewAt(v.typ, at).Elem())
	case stringMap:
		return true, readMap(d, v, (*map[string]string)(at), d.src.str, brokenBy)
	case int32Map:
		return true, readMap(d, v, (*map[string]int32)(at), d.int32, brokenInt)
	case float64Map:
		return true, readMap(d, v, (*map[string]float64)(at), d.src.float, brokenFloat)
	case structMap:
		return true, d.structMap(v, reflect.NewAt(v.typ, at).Elem())
	}
	panic("codec: unknown kind")
}

func (d *decoder) int32() (int32, error) {
	n, err := d.src.integer()
	if err == nil && (n < math.MinInt32 || n > math.MaxInt32) {
		return 0, fmt.Errorf("%d does not fit into 32 bits", n)
	}
	return int32(n), err
}

func (d *decoder) float32() (float32, error) {
	f, err := d.src.float()
	if err == nil && !math.IsInf(f, 0) && math.Abs(f) > math.MaxFloat32 {
		return 0, fmt.Errorf("%g does not fit into a float of 32 bits", f)
	}
	return float32(f), err
}

// take counts an element against the bound of the whole body.
func (d *decoder) take() error {
	if d.elements--; d.elements < 0 {
		return errElements
	}
	return nil
}

// over tells that a list or map already holds all the model allows. What follows is only
// counted, so that the message can be given without the memory.
func (d *decoder) over(s *model.Shape, n int) bool {
	return d.check && s.HasMax && n >= int(s.Max)
}

func (d *decoder) stringList(v *value, to *[]string) error {
	if err := d.src.enterList(); err != nil {
		return err
	}
	list, n := []string{}, 0
	for ; ; n++ {
		more, err := d.src.nextElement()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := d.take(); err != nil {
			return err
		}
		if d.over(v.shape, n) {
			if err := d.src.skip(); err != nil {
				return err
			}
			continue
		}
		d.path = append(d.path, step{index: n + 1, inside: true})
		null, err := d.src.null()
		if err != nil {
			return err
		}
		s := ""
		if null {
			d.fail("null", "Member must not be null")
		} else if s, err = d.src.str(); err != nil {
			return err
		}
		list = append(list, s)
		d.path = d.path[:len(d.path)-1]
	}
	*to = list
	d.checkList(v.shape, list, n)
	return nil
}

func (d *decoder) structList(v *value, list reflect.Value) error {
	if err := d.src.enterList(); err != nil {
		return err
	}
	list.Set(reflect.MakeSlice(v.typ, 0, 0))
	n := 0
	for ; ; n++ {
		more, err := d.src.nextElement()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := d.take(); err != nil {
			return err
		}
		if d.over(v.shape, n) {
			if err := d.src.skip(); err != nil {
				return err
			}
			continue
		}
		d.path = append(d.path, step{index: n + 1, inside: true})
		null, err := d.src.null()
		if err != nil {
			return err
		}
		list.Grow(1)
		list.SetLen(n + 1)
		if null {
			d.fail("null", "Member must not be null")
		} else if err := d.structure(v.plan, list.Index(n).Addr().UnsafePointer()); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
	}
	d.checkLength(v.shape, n, "")
	return nil
}

// readMap reads a map of scalars; broken lists the constraints that a value breaks.
func readMap[V any](d *decoder, v *value, to *map[string]V, read func() (V, error), broken func(*model.Shape, V) []string) error {
	m := map[string]V{}
	*to = m
	err := d.entries(func(key string) error {
		value, err := read()
		m[key] = value
		return err
	}, func(key string) { delete(m, key) })
	if err == nil && d.check {
		checkMap(d, v.shape, m, broken)
	}
	return err
}

func (d *decoder) structMap(v *value, m reflect.Value) error {
	m.Set(reflect.MakeMap(v.typ))
	err := d.entries(func(key string) error {
		if k := reflect.ValueOf(key); m.MapIndex(k).IsValid() {
			d.dropFailures() // of the value that is now replaced
		}
		element := reflect.New(v.plan.typ)
		err := d.structure(v.plan, element.UnsafePointer())
		m.SetMapIndex(reflect.ValueOf(key), element.Elem())
		return err
	}, func(key string) {
		d.dropFailures()
		m.SetMapIndex(reflect.ValueOf(key), reflect.Value{})
	})
	if err == nil && d.check {
		d.checkKeys(v.shape, m)
	}
	return err
}

// entries reads a map: read is called for each key that has a value, drop for each whose
// value is null. The last entry of a key counts; a map that then holds nulls is refused,
// since the model has no maps of such.
func (d *decoder) entries(read func(key string) error, drop func(key string)) error {
	if err := d.src.enterMap(); err != nil {
		return err
	}
	var nulls map[string]struct{}
	for {
		key, more, err := d.src.nextKey()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := d.take(); err != nil {
			return err
		}
		d.path = append(d.path, step{name: key, inside: true})
		null, err := d.src.null()
		switch {
		case err != nil:
			return err
		case null:
			if nulls == nil {
				nulls = map[string]struct{}{}
			}
			nulls[key] = struct{}{}
			drop(key)
		default:
			delete(nulls, key)
			if err := read(key); err != nil {
				return err
			}
		}
		d.path = d.path[:len(d.path)-1]
	}
	if len(nulls) > 0 {
		d.fail("", "Map value must satisfy constraint: [Member must not be null]")
	}
	return nil
}
