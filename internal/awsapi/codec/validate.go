package codec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/matchyard/matchyard/internal/model"
)

// Invalid is the error of a body that breaks constraints of the model. On the wire it is
// an InvalidRequestException. Its text is the sentence AWS's own framework makes
// (wire-protocol.md section 6); values of shapes the model calls sensitive are not in it.
type Invalid struct {
	Failures []string // one each broken constraint, in the order of their paths
	More     int      // failures beyond the first maxFailures
}

func (e *Invalid) Error() string {
	n, noun := len(e.Failures)+e.More, "errors"
	if n == 1 {
		noun = "error"
	}
	return fmt.Sprintf("%d validation %s detected: %s", n, noun, strings.Join(e.Failures, "; "))
}

const (
	keptFailures = 1000 // of one body; more are only counted
	maxFailures  = 32   // that are spelled out in one message
	maxShown     = 256  // code points of a value that a message repeats
)

type failure struct {
	path, value, constraint string // value "" when it must not be shown
}

// step is one part of the path to a value: a member's or map's key, or a list's index,
// which counts from one.
type step struct {
	name   string
	index  int
	inside bool // an element of a list or map, which paths call "member"
}

// pathText is the path as messages spell it: members in lower camel case, ".member" after
// an index.
func (d *decoder) pathText() string {
	var b strings.Builder
	for i, s := range d.path {
		if i > 0 {
			b.WriteByte('.')
		}
		if s.index > 0 {
			b.WriteString(strconv.Itoa(s.index))
		} else {
			b.WriteString(s.name)
		}
		if s.inside {
			b.WriteString(".member")
		}
	}
	return b.String()
}

// fail notes a broken constraint of the value at the path.
func (d *decoder) fail(value, constraint string) {
	switch {
	case !d.check:
	case len(d.failures) == keptFailures:
		d.more++
	default:
		d.failures = append(d.failures, failure{d.pathText(), value, constraint})
	}
}

// dropFailures forgets the failures at the path and below it.
func (d *decoder) dropFailures() {
	if len(d.failures) == 0 {
		return
	}
	path := d.pathText()
	d.failures = slices.DeleteFunc(d.failures, func(f failure) bool {
		return f.path == path || strings.HasPrefix(f.path, path+".")
	})
}

// verdict is nil when nothing failed. The order of failures does not depend on the order
// of members in the body, which Go clients shuffle.
func (d *decoder) verdict() error {
	if len(d.failures) == 0 {
		return nil
	}
	slices.SortStableFunc(d.failures, func(a, b failure) int { return strings.Compare(a.path, b.path) })
	e := &Invalid{More: d.more}
	for _, f := range d.failures {
		if len(e.Failures) == maxFailures {
			e.More++
			continue
		}
		e.Failures = append(e.Failures, f.text())
	}
	return e
}

func (f *failure) text() string {
	value := f.value
	if value != "" {
		value += " "
	}
	return fmt.Sprintf("Value %sat '%s' failed to satisfy constraint: %s", value, f.path, f.constraint)
}

// show is a value as messages quote it, nothing when it is sensitive.
func show(s *model.Shape, value any) string {
	if s.Sensitive || s.Element != nil && s.Element.Sensitive || s.Key != nil && s.Key.Sensitive {
		return ""
	}
	text := fmt.Sprint(value)
	if list, ok := value.([]string); ok {
		text = "[" + strings.Join(list, ", ") + "]"
	}
	if utf8.RuneCountInString(text) > maxShown {
		text = string([]rune(text)[:maxShown]) + "…"
	}
	return "'" + text + "'"
}

func (d *decoder) checkString(s *model.Shape, text string) {
	if !d.check {
		return
	}
	for _, constraint := range brokenBy(s, text) {
		d.fail(show(s, text), constraint)
	}
}

const noNUL = "Member must not contain the character U+0000"

// brokenBy lists the constraints a string breaks; nil, at no cost worth naming, for the
// usual string that breaks none. U+0000 is refused everywhere, which the model does not
// ask for: PostgreSQL cannot hold it, and SQLite must not differ.
func brokenBy(s *model.Shape, text string) (broken []string) {
	if strings.IndexByte(text, 0) >= 0 {
		broken = append(broken, noNUL)
	}
	if s.Enum != nil {
		if _, ok := slices.BinarySearch(s.Enum, text); !ok {
			broken = append(broken, enumText(s))
		}
		return broken
	}
	if s.HasMin || s.HasMax {
		n := len(text)
		if s.HasMax && n > int(s.Max) || s.HasMin && n < 4*int(s.Min) {
			n = utf8.RuneCountInString(text)
		}
		broken = append(broken, brokenLength(s, n)...)
	}
	if s.Pattern != nil && !s.Pattern.Match(text) {
		broken = append(broken, patternText(s))
	}
	return broken
}

func brokenLength(s *model.Shape, n int) (broken []string) {
	if s.HasMin && n < int(s.Min) {
		broken = append(broken, minLengthText(s))
	}
	if s.HasMax && n > int(s.Max) {
		broken = append(broken, maxLengthText(s))
	}
	return broken
}

// checkLength checks the length of a list, map or blob. shown is "" where the value is
// not repeated.
func (d *decoder) checkLength(s *model.Shape, n int, shown string) {
	if !d.check {
		return
	}
	for _, constraint := range brokenLength(s, n) {
		d.fail(shown, constraint)
	}
}

func (d *decoder) checkInt(s *model.Shape, n int64) {
	if !d.check || !s.HasMin && !s.HasMax {
		return
	}
	for _, constraint := range brokenFloat(s, float64(n)) { // bounds are far below 2^53
		d.fail(show(s, n), constraint)
	}
}

// checkFloat refuses NaN wherever there is a bound.
func (d *decoder) checkFloat(s *model.Shape, f float64) {
	if !d.check || !s.HasMin && !s.HasMax {
		return
	}
	for _, constraint := range brokenFloat(s, f) {
		d.fail(show(s, f), constraint)
	}
}

// checkList checks a list of n strings, of which list holds those that count. Elements
// that break constraints are reported once, for the list, with all an element must satisfy.
func (d *decoder) checkList(s *model.Shape, list []string, n int) {
	if !d.check {
		return
	}
	for _, constraint := range brokenLength(s, n) {
		d.fail(show(s, list), constraint)
	}
	for _, text := range list {
		if broken := brokenBy(s.Element, text); broken != nil {
			d.fail(show(s, list), "Member must satisfy constraint: "+allTexts(s.Element, broken))
			return
		}
	}
}

// checkMap checks a map of scalars, whose values' constraints broken lists. The first entry
// that breaks one, by the order of keys, stands for all; the failure is the map's, as the
// framework has it. Keys are put in order only when there is a failure.
func checkMap[V any](d *decoder, s *model.Shape, m map[string]V, broken func(*model.Shape, V) []string) {
	sound := true
	for key, value := range m {
		sound = sound && brokenBy(s.Key, key) == nil && broken(s.Element, value) == nil
	}
	if sound {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if b := brokenBy(s.Key, key); b != nil {
			d.failKeys(s, key, b)
			return
		}
		if b := broken(s.Element, m[key]); b != nil {
			d.fail(show(s.Element, m[key]), "Map value must satisfy constraint: ["+strings.Join(b, ", ")+"]")
			return
		}
	}
}

// checkKeys checks the keys of a map of structures; the first broken one, by order, stands
// for all.
func (d *decoder) checkKeys(s *model.Shape, m reflect.Value) {
	first, broken := "", []string(nil)
	for it := m.MapRange(); it.Next(); {
		key := it.Key().String()
		if b := brokenBy(s.Key, key); b != nil && (broken == nil || key < first) {
			first, broken = key, b
		}
	}
	if broken != nil {
		d.failKeys(s, first, broken)
	}
}

func (d *decoder) failKeys(s *model.Shape, key string, broken []string) {
	shown := show(s.Key, key)
	if s.Element.Sensitive {
		shown = "" // the keys of player data are player ids
	}
	d.fail(shown, "Map keys must satisfy constraint: ["+strings.Join(broken, ", ")+"]")
}

func brokenInt(s *model.Shape, n int32) []string { return brokenFloat(s, float64(n)) }

// brokenFloat lists the bounds a number breaks; NaN breaks all.
func brokenFloat(s *model.Shape, f float64) (broken []string) {
	if s.HasMin && !(f >= s.Min) {
		broken = append(broken, minValueText(s))
	}
	if s.HasMax && !(f <= s.Max) {
		broken = append(broken, maxValueText(s))
	}
	return broken
}

// allTexts lists everything a string must satisfy, in brackets; that it holds no U+0000
// only when it does.
func allTexts(s *model.Shape, broken []string) string {
	var all []string
	if slices.Contains(broken, noNUL) {
		all = append(all, noNUL)
	}
	if s.HasMax {
		all = append(all, maxLengthText(s))
	}
	if s.HasMin {
		all = append(all, minLengthText(s))
	}
	if s.Pattern != nil {
		all = append(all, patternText(s))
	}
	if s.Enum != nil {
		all = append(all, enumText(s))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func bound(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func minLengthText(s *model.Shape) string {
	return "Member must have length greater than or equal to " + bound(s.Min)
}

func maxLengthText(s *model.Shape) string {
	return "Member must have length less than or equal to " + bound(s.Max)
}

func minValueText(s *model.Shape) string {
	return "Member must have value greater than or equal to " + bound(s.Min)
}

func maxValueText(s *model.Shape) string {
	return "Member must have value less than or equal to " + bound(s.Max)
}

func patternText(s *model.Shape) string {
	return "Member must satisfy regular expression pattern: " + s.Pattern.Source
}

func enumText(s *model.Shape) string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}
