package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	smithycbor "github.com/aws/smithy-go/encoding/cbor"
	"github.com/fxamacker/cbor/v2"

	"github.com/matchyard/matchyard/internal/model"
)

// structures are the plans of all inputs and outputs; a fuzz argument picks one.
func structures(t testing.TB) (all []*Plan) {
	t.Helper()
	for _, o := range model.Operations {
		in, out := operationTypes(t, o.Name)
		all = append(all, PlanOf(in, o.Input))
		if o.Output != nil {
			all = append(all, PlanOf(out, o.Output))
		}
	}
	return all
}

// seed feeds a target with what real clients sent, each to the structure it belongs to.
func seed(f *testing.F, plans []*Plan, protocol Protocol, add func(which byte, body []byte)) {
	f.Helper()
	files, err := filepath.Glob("../testdata/wire/*-" + protocol.String() + "-*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var c struct {
			Operation string
			Body      []byte `json:"body_base64"`
		}
		if err := json.Unmarshal(text, &c); err != nil {
			f.Fatal(err)
		}
		for i, p := range plans { // a request's file name ends in its operation's
			dashed := strings.TrimSuffix(filepath.Base(file), ".json")
			name := strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(p.typ.Name(), "Output"), "Input"))
			if c.Operation != "" && p.typ.Name() == c.Operation+"Output" || c.Operation == "" && strings.HasSuffix(strings.ReplaceAll(dashed, "-", ""), name) {
				add(byte(i), c.Body)
				break
			}
		}
	}
}

func newOf(p *Plan) any { return reflect.New(p.typ).Interface() }

// decodeIn decodes without the model's constraints and holds a decode to its bound of time.
func decodeIn(t *testing.T, p *Plan, protocol Protocol, body []byte) (any, error) {
	t.Helper()
	start := time.Now()
	v := newOf(p)
	err := p.decode(protocol, body, v, false)
	if took := time.Since(start); took > 10*time.Second {
		t.Fatalf("%d bytes took %v", len(body), took)
	}
	if e, ok := errors.AsType[*Undecodable](err); err != nil && (!ok || e.Reason == "" || !utf8.ValidString(e.Error())) {
		t.Fatalf("not a proper refusal: %v", err)
	}
	// With constraints the body is either as readable or as unreadable.
	checked := p.Decode(protocol, body, newOf(p))
	if _, bad := errors.AsType[*Undecodable](checked); bad != (err != nil) {
		t.Fatalf("%v without the constraints, %v with them", err, checked)
	}
	return v, err
}

// tagged is a CBOR tag in a tree.
type tagged struct {
	number uint64
	of     any
}

var (
	errMismatch = errors.New("the tree does not fit the shape")
	errUnclear  = errors.New("the other decoder cannot say")
)

// meaning is what a tree, made of a body by a decoder that is not ours, means for a shape, in
// the terms of wire-protocol.md 1.3 and 2.2: a tree of what an encoder has to write, times
// as milliseconds. Absent values are nil.
func meaning(s *model.Shape, v any, enumMayBeEmpty bool) (any, error) {
	v = untag(s, v)
	if v == nil {
		return nil, nil
	}
	switch s.Kind {
	case model.Structure:
		return meaningOfStructure(s, v)
	case model.List:
		list, ok := v.([]any)
		if !ok {
			return nil, errMismatch
		}
		out := []any{}
		for _, e := range list {
			m, err := meaning(s.Element, e, true)
			if err != nil {
				return nil, err
			}
			if m == nil {
				m = map[model.Kind]any{model.String: "", model.Structure: map[string]any{}}[s.Element.Kind]
			}
			out = append(out, m)
		}
		return out, nil
	case model.Map:
		in, ok := v.(map[string]any)
		if !ok {
			return nil, errMismatch
		}
		out := map[string]any{}
		for k, e := range in {
			m, err := meaning(s.Element, e, true)
			if err != nil {
				return nil, err
			}
			if m != nil {
				out[k] = m
			}
		}
		return out, nil
	case model.String:
		text, ok := v.(string)
		if !ok {
			return nil, errMismatch
		}
		if text == "" && s.Enum != nil && !enumMayBeEmpty {
			return nil, nil // the SDK cannot hold it
		}
		return text, nil
	}
	return meaningOfScalar(s, v)
}

func meaningOfStructure(s *model.Shape, v any) (any, error) {
	in, ok := v.(map[string]any)
	if !ok {
		return nil, errMismatch
	}
	out := map[string]any{}
	for _, m := range s.Members {
		e, err := meaning(m.Shape, in[m.Name], false)
		if err != nil {
			return nil, err
		}
		if e != nil {
			out[m.Name] = e
		}
	}
	return out, nil
}

// untag takes tags away, which count only for times. A tagged null is not a null.
func untag(s *model.Shape, v any) any {
	if s.Kind == model.Timestamp {
		return v
	}
	for {
		t, ok := v.(tagged)
		if !ok {
			return v
		}
		if v = t.of; v == nil {
			return t
		}
	}
}

func meaningOfScalar(s *model.Shape, v any) (any, error) {
	switch s.Kind {
	case model.Integer, model.Long:
		n, ok := v.(int64)
		if j, is := v.(json.Number); is {
			parsed, err := strconv.ParseInt(string(j), 10, 64)
			n, ok = parsed, err == nil
		}
		if !ok || s.Kind == model.Integer && int64(int32(n)) != n {
			return nil, errMismatch
		}
		return n, nil
	case model.Float, model.Double:
		f, ok := floatOf(v)
		if s.Kind == model.Float {
			if ok = ok && (math.IsInf(f, 0) || !(math.Abs(f) > math.MaxFloat32)); ok {
				f = float64(float32(f))
			}
		}
		if !ok {
			return nil, errMismatch
		}
		if math.IsNaN(f) {
			return "NaN", nil // which is equal to itself
		}
		return f, nil
	case model.Boolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		return nil, errMismatch
	case model.Timestamp:
		if t, ok := v.(tagged); ok {
			if v = t.of; t.number != 1 {
				return nil, errMismatch
			}
		}
		if _, text := v.(string); text {
			return nil, errMismatch
		}
		f, ok := floatOf(v)
		if !ok || !(f >= minSeconds && f <= maxSeconds) {
			return nil, errMismatch
		}
		return int64(math.Round(f * 1000)), nil
	case model.Blob:
		switch v := v.(type) {
		case []byte:
			return string(v), nil
		case string:
			raw, err := base64.StdEncoding.DecodeString(v)
			if err == nil {
				return string(raw), nil
			}
		}
	}
	return nil, errMismatch
}

func floatOf(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case big.Int: // -2^64 to -2^63-1
		f, _ := new(big.Float).SetInt(&v).Float64()
		return f, true
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		return f, err == nil
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil && (v == "NaN" || v == "Infinity" || v == "-Infinity")
	}
	return 0, false
}

// agree compares our decoding of a body with the meaning another decoder finds in it.
func agree(t *testing.T, p *Plan, protocol Protocol, body []byte, tree any, read func([]byte) (any, error)) {
	t.Helper()
	v, err := decodeIn(t, p, protocol, body)
	if err != nil && (strings.Contains(err.Error(), errNesting.Error()) || strings.Contains(err.Error(), errElements.Error()) || strings.Contains(err.Error(), errUTF8.Error())) {
		return // limits of ours
	}
	want, wantErr := any(nil), errMismatch
	if m, ok := tree.(map[string]any); ok {
		want, wantErr = meaningOfStructure(p.shape, m)
	} else if tag, ok := tree.(tagged); ok && untag(p.shape, tag) != nil {
		want, wantErr = meaning(p.shape, tag, false)
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s from %q: ours says %v, theirs %v", p.typ, body, err, wantErr)
	}
	if err != nil {
		return
	}
	written := p.Append(nil, protocol, v)
	again, err := read(written)
	if err != nil {
		t.Fatalf("%s: we write %q: %v", p.typ, written, err)
	}
	got, err := meaning(p.shape, again, false)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%s from %q:\nours   %v (%v)\ntheirs %v", p.typ, body, got, err, want)
	}
}

// readJSON reads text with the standard library.
func readJSON(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows")
	}
	return v, nil
}

// repeats tells whether an object of a text has a key twice: the standard library then
// merges and forgets where we check each.
func repeats(body []byte) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	var keys []map[string]bool // nil for lists
	isKey := []bool{}
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		top := len(keys) - 1
		if text, ok := token.(string); ok && top >= 0 && keys[top] != nil && isKey[top] {
			if keys[top][text] {
				return true
			}
			keys[top][text], isKey[top] = true, false
			continue
		}
		switch token {
		case json.Delim('{'):
			keys, isKey = append(keys, map[string]bool{}), append(isKey, true)
			continue
		case json.Delim('['):
			keys, isKey = append(keys, nil), append(isKey, false)
			continue
		case json.Delim('}'), json.Delim(']'):
			keys, isKey = keys[:top], isKey[:top]
			top--
		}
		if top >= 0 {
			isKey[top] = true
		}
	}
}

// FuzzDecodeJSON compares with encoding/json: what is valid, and what it means.
func FuzzDecodeJSON(f *testing.F) {
	plans := structures(f)
	seed(f, plans, JSON, func(which byte, body []byte) { f.Add(which, body) })
	f.Add(byte(2), []byte(`{"a":[1,-0.5e+7,true,null,{"b":"\ud83d\ude00\ud800\u0000"}],"Name":null}`))
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		p := plans[int(which)%len(plans)]
		tree, err := readJSON(body)
		if len(body) == 0 {
			return // an empty structure, not JSON
		}
		if valid := err == nil && json.Valid(body); !valid {
			if _, err := decodeIn(t, p, JSON, body); err == nil {
				t.Fatalf("we read %q, which is not JSON", body)
			}
			return
		}
		if repeats(body) {
			_, _ = decodeIn(t, p, JSON, body)
			return
		}
		agree(t, p, JSON, body, tree, readJSON)
	})
}

var strictCBOR = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: 256, UTF8: cbor.UTF8RejectInvalid,
		DefaultMapType: reflect.TypeFor[map[any]any](), BigIntDec: cbor.BigIntDecodeValue,
		MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 20,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// readCBOR reads a body with fxamacker's decoder. errUnclear means that it refuses content,
// of tags it knows, say, which we pass over.
func readCBOR(body []byte) (any, error) {
	if err := strictCBOR.Wellformed(body); err != nil {
		return nil, err
	}
	return plain(body)
}

// plain makes a tree of well-formed CBOR, item by item, so that tags stay what they are.
func plain(raw cbor.RawMessage) (any, error) {
	switch raw[0] >> 5 {
	case 4:
		var list []cbor.RawMessage
		if err := strictCBOR.Unmarshal(raw, &list); err != nil {
			return nil, errUnclear
		}
		out := []any{}
		for _, e := range list {
			v, err := plain(e)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case 5:
		var m map[string]cbor.RawMessage
		if err := strictCBOR.Unmarshal(raw, &m); err != nil {
			return nil, errUnclear // also keys that are no text, or come twice
		}
		out := map[string]any{}
		for k, e := range m {
			v, err := plain(e)
			if err != nil {
				return nil, err
			}
			out[k] = v
		}
		return out, nil
	case 6:
		var t cbor.RawTag
		if err := strictCBOR.Unmarshal(raw, &t); err != nil {
			return nil, errUnclear
		}
		v, err := plain(t.Content)
		return tagged{t.Number, v}, err
	}
	var v any
	if err := strictCBOR.Unmarshal(raw, &v); err != nil {
		return nil, errUnclear
	}
	if n, ok := v.(uint64); ok && n <= math.MaxInt64 {
		return int64(n), nil
	}
	return v, nil
}

// smithyTree makes a tree of what the SDK's own decoder reads.
func smithyTree(v smithycbor.Value) any {
	switch v := v.(type) {
	case smithycbor.Uint:
		if uint64(v) <= math.MaxInt64 {
			return int64(v)
		}
		return uint64(v)
	case smithycbor.NegInt:
		if uint64(v) == 0 || uint64(v) > 1<<63 {
			return -float64(uint64(v))
		}
		return -int64(uint64(v)-1) - 1
	case smithycbor.Slice:
		return []byte(v)
	case smithycbor.String:
		return string(v)
	case smithycbor.List:
		list := []any{}
		for _, e := range v {
			list = append(list, smithyTree(e))
		}
		return list
	case smithycbor.Map:
		m := map[string]any{}
		for k, e := range v {
			m[k] = smithyTree(e)
		}
		return m
	case *smithycbor.Tag:
		return tagged{v.ID, smithyTree(v.Value)}
	case smithycbor.Bool:
		return bool(v)
	case smithycbor.Float32:
		return float64(v)
	case smithycbor.Float64:
		return float64(v)
	}
	return nil
}

// FuzzDecodeCBOR compares with fxamacker/cbor, and with smithy-go's decoder of what we write.
func FuzzDecodeCBOR(f *testing.F) {
	plans := structures(f)
	seed(f, plans, CBOR, func(which byte, body []byte) { f.Add(which, body) })
	f.Add(byte(2), []byte("\xbf\x61a\x9f\x01\xf9\x7e\x00\xc1\x1a\x00\x00\x00\x01\xff\x64Name\x7f\x61x\x61y\xff\xff"))
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		p := plans[int(which)%len(plans)]
		if len(body) == 0 {
			return
		}
		tree, err := readCBOR(body)
		switch {
		case errors.Is(err, errUnclear):
			_, _ = decodeIn(t, p, CBOR, body)
			return
		case err != nil && !strings.Contains(err.Error(), "exceeded max"):
			if _, err := decodeIn(t, p, CBOR, body); err == nil {
				t.Fatalf("we read %x, which is not CBOR", body)
			}
			return
		case err != nil:
			_, _ = decodeIn(t, p, CBOR, body)
			return
		}
		agree(t, p, CBOR, body, tree, func(written []byte) (any, error) {
			v, err := smithycbor.Decode(written)
			if err != nil {
				return nil, fmt.Errorf("smithy-go: %w", err)
			}
			ours, err := readCBOR(written)
			if err == nil && !reflect.DeepEqual(smithyTree(v), ours) && !strings.Contains(fmt.Sprint(ours), "NaN") {
				t.Fatalf("smithy-go reads %v, fxamacker %v", smithyTree(v), ours)
			}
			return ours, err
		})
	})
}

// FuzzRoundTrip: what can be read in one protocol can be written in both, is read back as
// the same, and is written again in the same bytes.
func FuzzRoundTrip(f *testing.F) {
	plans := structures(f)
	for _, p := range []Protocol{JSON, CBOR} {
		seed(f, plans, p, func(which byte, body []byte) { f.Add(which, p == CBOR, body) })
	}
	f.Fuzz(func(t *testing.T, which byte, cborFirst bool, body []byte) {
		p := plans[int(which)%len(plans)]
		protocol := JSON
		if cborFirst {
			protocol = CBOR
		}
		v, err := decodeIn(t, p, protocol, body)
		if err != nil {
			return
		}
		inJSON, inCBOR := p.Append(nil, JSON, v), p.Append(nil, CBOR, v)
		for from, written := range map[Protocol][]byte{JSON: inJSON, CBOR: inCBOR} {
			again, err := decodeIn(t, p, from, written)
			if err != nil {
				t.Fatalf("%s: we do not read our own %s %q: %v", p.typ, from, written, err)
			}
			if got := p.Append(nil, JSON, again); !bytes.Equal(got, inJSON) {
				t.Fatalf("%s through %s: %s became %s", p.typ, from, inJSON, got)
			}
			if got := p.Append(nil, CBOR, again); !bytes.Equal(got, inCBOR) {
				t.Fatalf("%s through %s: %x became %x", p.typ, from, inCBOR, got)
			}
		}
	})
}
