package awsapi_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/matchyard/matchyard/internal/model"
)

// Values of the model as trees of plain Go values: map[string]any, []any, string, int64,
// float64, bool, time.Time and []byte. Encoders that are not ours write them.

// sample makes a value that satisfies a shape: with every member, or only those required.
func sample(t testing.TB, s *model.Shape, full bool) any {
	t.Helper()
	switch s.Kind {
	case model.Structure:
		m := map[string]any{}
		for _, member := range s.Members {
			if full || member.Required {
				m[member.Name] = sample(t, member.Shape, full)
			}
		}
		return m
	case model.List:
		n := least(s)
		if full {
			n = max(n, 1)
		}
		list := []any{}
		for range n {
			list = append(list, sample(t, s.Element, full))
		}
		return list
	case model.Map:
		m := map[string]any{}
		if full || least(s) > 0 {
			m[sample(t, s.Key, full).(string)] = sample(t, s.Element, full)
		}
		if len(m) < least(s) {
			t.Fatalf("%s needs a sample of its own", s.Name)
		}
		return m
	case model.String:
		return sampleString(t, s, least(s))
	case model.Integer, model.Long:
		return int64(within(s, 7))
	case model.Float, model.Double:
		return within(s, 1.5)
	case model.Boolean:
		return true
	case model.Timestamp:
		return time.UnixMilli(1714979289123).UTC()
	case model.Blob:
		return []byte{0, 1, 0xFE, 0xFF}
	}
	t.Fatalf("%s has an unknown kind", s.Name)
	return nil
}

func least(s *model.Shape) int {
	if !s.HasMin {
		return 0
	}
	return int(s.Min)
}

func within(s *model.Shape, n float64) float64 {
	if s.HasMin {
		n = max(n, s.Min)
	}
	if s.HasMax {
		n = min(n, s.Max)
	}
	return n
}

// sampleString makes a string of at least so many characters that satisfies a shape.
func sampleString(t testing.TB, s *model.Shape, length int) string {
	t.Helper()
	if s.Enum != nil {
		return s.Enum[len(s.Enum)-1]
	}
	if text, ok := matching(s, max(length, 1)); ok && (!s.HasMax || utf8.RuneCountInString(text) <= int(s.Max)) {
		return text
	}
	t.Fatalf("no sample of %s with %d characters", s.Name, length)
	return ""
}

// matching finds a string of the pattern with at least so many characters.
func matching(s *model.Shape, length int) (string, bool) {
	if s.Pattern == nil {
		return strings.Repeat("x", length), true
	}
	re, err := syntax.Parse(inGo(s.Pattern.Source), syntax.Perl)
	if err != nil {
		return "", false
	}
	for repeat := range length + 2 {
		if text := write(re, repeat); utf8.RuneCountInString(text) >= length && s.Pattern.Match(text) {
			return text, true
		}
	}
	return "", false
}

var javaEscape = regexp.MustCompile(`\\u([0-9A-F]{4})`)

func inGo(pattern string) string {
	pattern = strings.ReplaceAll(pattern, `\uD800\uDC00-\uDBFF\uDFFF`, `\x{10000}-\x{10FFFF}`)
	return javaEscape.ReplaceAllString(pattern, `\x{$1}`)
}

// write makes a string an expression matches, with so many rounds of every repetition.
func write(re *syntax.Regexp, repeat int) string {
	var b strings.Builder
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		for _, r := range "x1a/" {
			for i := 0; i < len(re.Rune); i += 2 {
				if re.Rune[i] <= r && r <= re.Rune[i+1] {
					return string(r)
				}
			}
		}
		return string(re.Rune[0])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpCapture, syntax.OpAlternate:
		return write(re.Sub[0], repeat)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			b.WriteString(write(sub, repeat))
		}
	case syntax.OpStar, syntax.OpPlus, syntax.OpRepeat:
		n := repeat
		if re.Op == syntax.OpPlus {
			n = max(n, 1)
		}
		if re.Op == syntax.OpRepeat {
			if n = max(n, re.Min); re.Max >= 0 {
				n = min(n, re.Max)
			}
		}
		for range n {
			b.WriteString(write(re.Sub[0], repeat))
		}
	}
	return b.String()
}

// inJSON writes a tree as boto3 would.
func inJSON(t testing.TB, tree any) []byte {
	t.Helper()
	text, err := json.Marshal(jsonable(tree))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func jsonable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			m[k] = jsonable(e)
		}
		return m
	case []any:
		list := []any{}
		for _, e := range v {
			list = append(list, jsonable(e))
		}
		return list
	case time.Time:
		return json.Number(strconv.FormatFloat(float64(v.UnixMilli())/1000, 'f', -1, 64))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return map[string]string{"NaN": "NaN", "+Inf": "Infinity", "-Inf": "-Infinity"}[strconv.FormatFloat(v, 'g', -1, 64)]
		}
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	}
	return v
}

// inCBOR writes a tree as the Go SDK would.
func inCBOR(t testing.TB, tree any) []byte {
	t.Helper()
	mode, err := cbor.EncOptions{Time: cbor.TimeUnixDynamic, TimeTag: cbor.EncTagRequired}.EncMode()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := mode.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// violation is a tree that breaks one constraint of the model, and the sentence about it.
type violation struct {
	tree     any
	sentence string
	member   string // where the constraint stands: structure, member and kind of constraint
}

// breaker makes violations of every constraint a shape has, at all depths.
type breaker struct {
	t     testing.TB
	found []violation
}

// breakAll goes through a good value. put makes the whole tree with another value in this
// one's place; to take it out, that value is gone{}.
func (b *breaker) breakAll(s *model.Shape, good any, path, member string, put func(any) any) {
	switch s.Kind {
	case model.Structure:
		for _, m := range s.Members {
			name := strings.ToLower(m.Name[:1]) + m.Name[1:]
			at := strings.TrimPrefix(path+"."+name, ".")
			set := func(v any) any {
				c := maps.Clone(good.(map[string]any))
				if c[m.Name] = v; v == (gone{}) {
					delete(c, m.Name)
				}
				return put(c)
			}
			if m.Required {
				b.add(set(gone{}), "null", at, "Member must not be null", s.Name+"."+m.Name+" required")
				b.add(set(nil), "null", at, "Member must not be null", s.Name+"."+m.Name+" required")
			}
			b.breakAll(m.Shape, good.(map[string]any)[m.Name], at, s.Name+"."+m.Name, set)
		}
	case model.List:
		b.breakList(s, good.([]any), path, member, put)
	case model.Map:
		b.breakMap(s, good.(map[string]any), path, member, put)
	case model.String:
		for kind, text := range b.bad(s) {
			for _, constraint := range brokenConstraints(s, text) {
				b.add(put(text), shown(s, text), path, constraint, member+" "+kind)
			}
		}
	case model.Integer, model.Long, model.Float, model.Double:
		for kind, n := range map[string]float64{"min": s.Min - 1, "max": s.Max + 1} {
			if kind == "min" && !s.HasMin || kind == "max" && !s.HasMax || n > math.MaxInt32 {
				continue
			}
			var v any = n
			text := strconv.FormatFloat(n, 'g', -1, 64)
			if s.Kind == model.Integer || s.Kind == model.Long {
				v, text = int64(n), strconv.Itoa(int(n))
			}
			sentence := "Member must have value greater than or equal to " + number(s.Min)
			if kind == "max" {
				sentence = "Member must have value less than or equal to " + number(s.Max)
			}
			b.add(put(v), shown(s, text), path, sentence, member+" "+kind)
		}
	case model.Blob:
		if s.HasMax {
			b.add(put(make([]byte, int(s.Max)+1)), "", path, "Member must have length less than or equal to "+number(s.Max), member+" max")
		}
	}
}

type gone struct{}

func (b *breaker) add(tree any, value, path, constraint, member string) {
	if value != "" {
		value += " "
	}
	b.found = append(b.found, violation{tree, "Value " + value + "at '" + path + "' failed to satisfy constraint: " + constraint, member})
}

func (b *breaker) breakList(s *model.Shape, good []any, path, member string, put func(any) any) {
	of := func(element any, n int) any { return put(slices.Repeat([]any{element}, n)) }
	text := func(element any, n int) string { // strings are shown, structures are not
		if e, ok := element.(string); ok {
			return shown(s, "["+strings.Join(slices.Repeat([]string{e}, n), ", ")+"]")
		}
		return ""
	}
	element := good[0]
	if s.HasMin && s.Min > 0 {
		n := int(s.Min) - 1
		b.add(of(element, n), text(element, n), path, "Member must have length greater than or equal to "+number(s.Min), member+" min")
	}
	if s.HasMax {
		// What is over the limit is counted, not kept, so it is not shown either.
		n := int(s.Max)
		b.add(of(element, n+1), text(element, n), path, "Member must have length less than or equal to "+number(s.Max), member+" max")
	}
	b.add(of(nil, 1), "null", path+".1.member", "Member must not be null", member+" null")
	if s.Element.Kind == model.Structure {
		b.breakAll(s.Element, element, path+".1.member", member, func(v any) any { return put([]any{v}) })
		return
	}
	for kind, bad := range b.bad(s.Element) {
		broken := brokenConstraints(s.Element, bad)
		if len(broken) == 0 {
			continue
		}
		all := constraints(s.Element)
		if kind == "U+0000" {
			all = append(broken[:1:1], all...)
		}
		b.add(of(bad, 1), text(bad, 1), path, "Member must satisfy constraint: ["+strings.Join(all, ", ")+"]", member+" element "+kind)
	}
}

func (b *breaker) breakMap(s *model.Shape, good map[string]any, path, member string, put func(any) any) {
	if s.HasMin || s.HasMax {
		b.t.Fatalf("%s has a length, which no map had before", s.Name)
	}
	key := slices.Sorted(maps.Keys(good))[0]
	for kind, bad := range b.bad(s.Key) {
		value := shown(s.Key, bad)
		if s.Element.Sensitive {
			value = ""
		}
		if broken := brokenConstraints(s.Key, bad); len(broken) > 0 {
			b.add(put(map[string]any{bad: good[key]}), value, path, "Map keys must satisfy constraint: ["+strings.Join(broken, ", ")+"]", member+" key "+kind)
		}
	}
	b.add(put(map[string]any{key: nil}), "", path, "Map value must satisfy constraint: [Member must not be null]", member+" null")
	switch s.Element.Kind {
	case model.Structure:
		b.breakAll(s.Element, good[key], path+"."+key+".member", member, func(v any) any { return put(map[string]any{key: v}) })
	case model.String:
		for kind, bad := range b.bad(s.Element) {
			if broken := brokenConstraints(s.Element, bad); len(broken) > 0 {
				b.add(put(map[string]any{key: bad}), shown(s.Element, bad), path, "Map value must satisfy constraint: ["+strings.Join(broken, ", ")+"]", member+" value "+kind)
			}
		}
	case model.Integer, model.Double:
		if s.Element.HasMin {
			n := int64(s.Element.Min) - 1
			b.add(put(map[string]any{key: n}), shown(s.Element, strconv.FormatInt(n, 10)), path,
				"Map value must satisfy constraint: [Member must have value greater than or equal to "+number(s.Element.Min)+"]", member+" value min")
		}
	}
}

// bad are strings, each of which breaks one constraint of a shape, and others if it must.
func (b *breaker) bad(s *model.Shape) map[string]string {
	bad := map[string]string{}
	if s.Enum != nil {
		bad["enum"] = "NO_SUCH_VALUE"
		return bad
	}
	if s.HasMin && s.Min > 0 {
		bad["min"] = strings.Repeat("x", int(s.Min)-1)
	}
	if s.HasMax {
		bad["max"] = strings.Repeat("é", int(s.Max)+1) // twice as many bytes
		if text, ok := matching(s, int(s.Max)+1); ok && int(s.Max) < 2000 {
			bad["max"] = text
		}
	}
	if s.Pattern != nil {
		for _, c := range []string{"é!", "!", " ", "\t", "x", "\x01", "\n"} {
			if text := strings.Repeat(c, max(1, least(s))); !s.Pattern.Match(text) {
				bad["pattern"] = text
				break
			}
		}
		if bad["pattern"] == "" && s.Pattern.Source != `^[\s\S]*$` {
			b.t.Fatalf("nothing breaks the pattern of %s: %s", s.Name, s.Pattern.Source)
		}
	}
	bad["U+0000"] = sampleString(b.t, s, 0) + "\x00"
	return bad
}

// constraints are all a string must satisfy, in the words of wire-protocol.md section 6.
func constraints(s *model.Shape) (all []string) {
	if s.HasMax {
		all = append(all, "Member must have length less than or equal to "+number(s.Max))
	}
	if s.HasMin {
		all = append(all, "Member must have length greater than or equal to "+number(s.Min))
	}
	if s.Pattern != nil {
		all = append(all, "Member must satisfy regular expression pattern: "+s.Pattern.Source)
	}
	if s.Enum != nil {
		all = append(all, "Member must satisfy enum value set: ["+strings.Join(s.Enum, ", ")+"]")
	}
	return all
}

func brokenConstraints(s *model.Shape, text string) (broken []string) {
	n := utf8.RuneCountInString(text)
	if strings.Contains(text, "\x00") {
		broken = append(broken, "Member must not contain the character U+0000")
	}
	if s.HasMin && n < int(s.Min) {
		broken = append(broken, "Member must have length greater than or equal to "+number(s.Min))
	}
	if s.HasMax && n > int(s.Max) {
		broken = append(broken, "Member must have length less than or equal to "+number(s.Max))
	}
	if s.Pattern != nil && !regexp.MustCompile(`^(?:`+inGo(s.Pattern.Source)+`)$`).MatchString(text) {
		broken = append(broken, "Member must satisfy regular expression pattern: "+s.Pattern.Source)
	}
	if s.Enum != nil && !slices.Contains(s.Enum, text) {
		broken = append(broken, "Member must satisfy enum value set: ["+strings.Join(s.Enum, ", ")+"]")
	}
	return broken
}

func shown(s *model.Shape, text string) string {
	if s.Sensitive || s.Element != nil && s.Element.Sensitive {
		return ""
	}
	if r := []rune(text); len(r) > 256 {
		text = string(r[:256]) + "…"
	}
	return "'" + text + "'"
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
