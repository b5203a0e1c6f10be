package model

import (
	"regexp/syntax"
	"unicode/utf8"
)

// class is the pattern "only these characters, at least min of them".
type class struct {
	ascii  [utf8.RuneSelf]bool
	others []rune // pairs of bounds beyond ASCII, ascending
	min    int    // 0 or 1
}

// classOf recognises expressions of the form [class]+ and [class]*.
func classOf(expr string) (*class, bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, false
	}
	c := &class{}
	switch re.Op {
	case syntax.OpPlus:
		c.min = 1
	case syntax.OpStar:
	default:
		return nil, false
	}
	set := re.Sub[0]
	if set.Op != syntax.OpCharClass {
		return nil, false
	}
	for i := 0; i < len(set.Rune); i += 2 {
		lo, hi := set.Rune[i], set.Rune[i+1]
		for r := lo; r <= hi && r < utf8.RuneSelf; r++ {
			c.ascii[r] = true
		}
		if hi >= utf8.RuneSelf {
			c.others = append(c.others, max(lo, utf8.RuneSelf), hi)
		}
	}
	return c, true
}

func (c *class) match(s string) bool {
	if len(s) < c.min {
		return false
	}
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return c.matchRunes(s[i:])
		}
		if !c.ascii[s[i]] {
			return false
		}
	}
	return true
}

func (c *class) matchRunes(s string) bool {
	for _, r := range s {
		if !c.has(r) {
			return false
		}
	}
	return true
}

func (c *class) has(r rune) bool {
	if r < utf8.RuneSelf {
		return c.ascii[r]
	}
	for i := 0; i < len(c.others); i += 2 {
		if c.others[i] <= r && r <= c.others[i+1] {
			return true
		}
	}
	return false
}
