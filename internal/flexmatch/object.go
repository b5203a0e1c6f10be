package flexmatch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// object reads the members of one JSON object and notes what is wrong with them under
// the object's path. Members nobody asks for are ignored, at every level (spec 1.1).
type object struct {
	path     string
	members  map[string]any
	findings *Findings
}

func (o object) at(key string) string {
	if o.path == "" {
		return key
	}
	return o.path + "." + key
}

func (o object) wrong(key, format string, args ...any) {
	o.findings.add(o.at(key), format, args...)
}

// has reports whether the member is there; null counts as absent.
func (o object) has(key string) bool { return o.members[key] != nil }

// text is a string member; absent gives "" and, when required, a finding.
func (o object) text(key string, required bool) string {
	switch v := o.members[key].(type) {
	case string:
		if v == "" && required {
			o.wrong(key, "must not be empty")
		}
		return v
	case nil:
		if required {
			o.wrong(key, "is required")
		}
	default:
		o.wrong(key, "must be a string, not %s", kindOf(v))
	}
	return ""
}

// choice is a string member out of a closed list; absent gives def.
func (o object) choice(key, def string, allowed ...string) string {
	if !o.has(key) {
		if def == "" {
			o.wrong(key, "is required: one of %s", strings.Join(allowed, ", "))
		}
		return def
	}
	v := o.text(key, false)
	if _, ok := o.members[key].(string); ok && !slices.Contains(allowed, v) {
		o.wrong(key, "%q is not one of %s", v, strings.Join(allowed, ", "))
	}
	return v
}

// number is a finite number; AWS's own examples write numbers as strings too (spec 1.5).
func (o object) number(key string, required bool) (float64, bool) {
	if !o.has(key) {
		if required {
			o.wrong(key, "is required")
		}
		return 0, false
	}
	n, ok := asNumber(o.members[key])
	if !ok {
		o.wrong(key, "must be a number, not %s", kindOf(o.members[key]))
	}
	return n, ok
}

// bound is an optional number that must not be negative.
func (o object) bound(key string) (float64, bool) {
	n, ok := o.number(key, false)
	if ok && n < 0 {
		o.wrong(key, "must not be negative")
	}
	return n, ok
}

// integer is a whole number between lo and MaxMatch.
func (o object) integer(key string, lo int) int {
	n, ok := o.number(key, true)
	switch {
	case !ok:
		return 0
	case n != math.Trunc(n):
		o.wrong(key, "must be a whole number")
		return 0
	case n < float64(lo) || n > MaxMatch:
		o.wrong(key, "must be between %d and %d", lo, MaxMatch)
		return 0
	}
	return int(n)
}

// objects are the elements of an array member, each an object with its own path.
func (o object) objects(key string, required bool) []object {
	if !o.has(key) {
		if required {
			o.wrong(key, "is required")
		}
		return nil
	}
	list, ok := o.members[key].([]any)
	if !ok {
		o.wrong(key, "must be an array, not %s", kindOf(o.members[key]))
		return nil
	}
	if required && len(list) == 0 {
		o.wrong(key, "must have at least one element")
	}
	var found []object
	for i, v := range list {
		path := fmt.Sprintf("%s[%d]", o.at(key), i)
		m, ok := v.(map[string]any)
		if !ok {
			o.findings.add(path, "must be an object, not %s", kindOf(v))
			continue
		}
		found = append(found, object{path: path, members: m, findings: o.findings})
	}
	return found
}

// strings is a member that is an array of strings, or one string standing alone.
func (o object) strings(key string) []string {
	switch v := o.members[key].(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []any:
		list, ok := asStrings(v)
		if !ok {
			o.wrong(key, "must hold strings only")
		}
		return list
	default:
		o.wrong(key, "must be an array of strings, not %s", kindOf(v))
		return nil
	}
}

func asNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return 0, false
		}
		return n, true
	}
	return 0, false
}

func asStrings(list []any) ([]string, bool) {
	out := make([]string, 0, len(list))
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	default:
		return "an object"
	}
}
