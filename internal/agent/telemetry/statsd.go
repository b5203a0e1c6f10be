package telemetry

import (
	"math"
	"strconv"
	"strings"
)

// kind is what a StatsD line measures.
type kind byte

const (
	gauge   kind = 'g'
	counter kind = 'c'
	timer   kind = 't' // timers, histograms and distributions
	set     kind = 's'
)

// sample is one value of a StatsD line.
type sample struct {
	name  string
	kind  kind
	value float64
	text  string  // of a set
	delta bool    // of a gauge: value is added
	rate  float64 // 0 < rate <= 1
	tags  []tag
}

type tag struct{ key, value string }

// Bounds of a line; what is beyond is no metric of a game.
const (
	longestName  = 200
	longestValue = 256 // of a tag or a set's member
	mostTags     = 32
	mostValues   = 128
)

// parse reads one line, name:value[:value…]|type[|@rate][|#tag:value,…], as StatsD and
// DogStatsD have it, and calls each for its values. It returns false for what is no metric.
func parse(line string, each func(sample)) bool {
	head, rest, ok := strings.Cut(line, "|")
	if !ok {
		return false
	}
	name, values, ok := strings.Cut(head, ":")
	if !ok || name == "" || len(name) > longestName {
		return false
	}
	typ, rest, _ := strings.Cut(rest, "|")
	s := sample{name: name, rate: 1}
	switch typ {
	case "g":
		s.kind = gauge
	case "c":
		s.kind = counter
	case "ms", "h", "d":
		s.kind = timer
	case "s":
		s.kind = set
	default:
		return false
	}
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "|")
		switch {
		case strings.HasPrefix(part, "@"):
			rate, err := strconv.ParseFloat(part[1:], 64)
			if err != nil || !(rate > 0 && rate <= 1) {
				return false
			}
			s.rate = rate
		case strings.HasPrefix(part, "#"):
			if s.tags, ok = parseTags(part[1:]); !ok {
				return false
			}
		default: // a container, a time: of no use here
		}
	}
	if s.kind == set {
		if values == "" || len(values) > longestValue {
			return false
		}
		s.text = values
		each(s)
		return true
	}
	if strings.Count(values, ":") >= mostValues {
		return false
	}
	var numbers []float64
	for v := range strings.SplitSeq(values, ":") {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || strings.ContainsAny(v, "xX_") {
			return false
		}
		s.delta = s.kind == gauge && (v[0] == '+' || v[0] == '-')
		numbers = append(numbers, n)
	}
	for _, n := range numbers {
		s.value = n
		each(s)
	}
	return true
}

func parseTags(text string) (tags []tag, ok bool) {
	for t := range strings.SplitSeq(text, ",") {
		if t == "" {
			continue
		}
		if len(tags) == mostTags {
			return nil, false
		}
		key, value, _ := strings.Cut(t, ":")
		if key == "" || len(key) > longestName || len(value) > longestValue {
			return nil, false
		}
		tags = append(tags, tag{key, value})
	}
	return tags, true
}

// identifier makes a name one that Prometheus takes.
func identifier(name string) string {
	b := []byte(name)
	for i, c := range b {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (c < '0' || c > '9' || i == 0) {
			b[i] = '_'
		}
	}
	return string(b)
}
