package flexmatch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Property expressions (spec 1.6): what a rule measures.
//
//	expr = func "(" expr ")" | path
//	path = "teams[" sel "].players" [ "[playerId]" | ".attributes[" attr "]" ]
//	sel  = "*" | team { "," team }
//
// White space is free between tokens. "team[" is read as "teams[" and playerId in any
// case: AWS's own pages write both. An index after a string_number_map attribute is not
// documented and is refused.

// base is what the innermost lists of an expression hold.
type base uint8

const (
	baseNumber base = iota
	baseString
	basePlayer
	baseSet // one string_list of one player, or the result of set_intersection
	baseMap
)

// exprType is a base inside depth lists.
type exprType struct {
	base  base
	depth int
}

func (t exprType) String() string {
	name, depth := "number", t.depth
	switch t.base {
	case baseNumber:
	case baseString:
		name = "string"
	case basePlayer:
		name = "Player"
	case baseSet:
		name, depth = "string", depth+1
	case baseMap:
		name = "map"
	}
	return strings.Repeat("List<", depth) + name + strings.Repeat(">", depth)
}

// trend says how a value moves as players join, which decides whether a violated rule
// can still be repaired.
type trend uint8

const (
	trendNone   trend = iota // anything may happen
	trendConst               // a literal
	trendStatic              // each element keeps its value, more elements come
	trendUp                  // never falls; for sets: never loses an element
	trendDown                // never rises; for sets: never gains an element
)

// leaf is what a path selects of each player.
type leaf uint8

const (
	leafPlayer leaf = iota
	leafID
	leafAttribute
)

// expr is a parsed and typed expression.
type expr struct {
	text  string
	typ   exprType
	trend trend

	op  string // the function; empty for a path
	arg *expr

	mask uint64 // of a path: the single teams it selects
	all  uint64 // and all there are
	many bool   // it gives a list over teams of lists
	leaf leaf
	attr int // index of RuleSet.Attributes
}

// functions of the grammar; the type rules are in (*exprParser).apply.
var functions = []string{"min", "max", "avg", "median", "sum", "count", "stddev", "flatten", "set_intersection"}

// looksLikeExpr tells an expression from a literal: a string that starts neither like a
// path nor like a call is a literal such as "medic" (spec 1.6).
func looksLikeExpr(text string) bool {
	word, rest := firstWord(strings.TrimSpace(text))
	switch {
	case strings.HasPrefix(rest, "["):
		return word == "teams" || word == "team"
	case strings.HasPrefix(rest, "("):
		return slices.Contains(functions, word)
	}
	return false
}

func firstWord(text string) (word, rest string) {
	i := strings.IndexFunc(text, func(c rune) bool { return c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') })
	if i < 0 {
		return text, ""
	}
	return text[:i], strings.TrimLeft(text[i:], " \t\r\n")
}

// parseExpr parses and types one expression against the rule set's teams and attributes.
func parseExpr(rs *RuleSet, text string) (*expr, error) {
	p := exprParser{rs: rs, rest: text}
	e, err := p.expr()
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("unexpected %q after the expression", cut(p.rest))
	}
	return e, nil
}

// maxExprDepth is far above anything the types allow: no function nests usefully deeper.
const maxExprDepth = 16

type exprParser struct {
	rs    *RuleSet
	rest  string
	depth int
}

func (p *exprParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

func (p *exprParser) accept(token string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

func (p *exprParser) expect(token string) error {
	if !p.accept(token) {
		return fmt.Errorf("expected %q, found %q", token, cut(p.rest))
	}
	return nil
}

func (p *exprParser) expr() (*expr, error) {
	if p.depth++; p.depth > maxExprDepth {
		return nil, errors.New("functions are nested too deep")
	}
	p.space()
	start := p.rest
	word, _ := firstWord(p.rest)
	p.rest = p.rest[len(word):]
	var e *expr
	var err error
	switch {
	case word == "teams" || word == "team":
		e, err = p.path()
	case slices.Contains(functions, word):
		e, err = p.call(word)
	default:
		return nil, fmt.Errorf("not a property expression: expected teams[...] or one of %s, found %q", strings.Join(functions, ", "), cut(start))
	}
	if err != nil {
		return nil, err
	}
	e.text = strings.TrimSpace(start[:len(start)-len(p.rest)])
	return e, nil
}

func (p *exprParser) call(op string) (*expr, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	arg, err := p.expr()
	if err != nil {
		return nil, err
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	return apply(op, arg)
}

// apply types a call: a function works on the innermost lists, flatten removes the
// outermost level (spec 1.6).
func apply(op string, arg *expr) (*expr, error) {
	e := &expr{op: op, arg: arg}
	in := arg.typ
	wrong := func(want string) (*expr, error) {
		return nil, fmt.Errorf("%s needs %s, %s is %s", op, want, arg.text, in)
	}
	switch op {
	case "flatten":
		switch {
		case in.depth >= 2:
			e.typ = exprType{in.base, in.depth - 1}
		case in.depth == 1 && in.base == baseSet:
			e.typ = exprType{baseString, 1}
		default:
			return wrong("a list of lists")
		}
		e.trend = arg.trend
	case "set_intersection":
		switch {
		case in.base == baseSet && in.depth >= 1:
			e.typ = exprType{baseSet, in.depth - 1}
		case in.base == baseString && in.depth >= 2:
			e.typ = exprType{baseSet, in.depth - 2}
		default:
			return wrong("a list of string lists")
		}
		if e.typ.depth == 0 && arg.trend == trendStatic {
			e.trend = trendDown
		}
	case "count":
		switch {
		case in.base == baseSet: // the innermost lists are the players' own
			e.typ = exprType{baseNumber, in.depth}
			e.trend = arg.trend
		case in.depth >= 1:
			e.typ = exprType{baseNumber, in.depth - 1}
			if arg.trend == trendStatic {
				e.trend = trendUp
			}
		default:
			return wrong("a list")
		}
	default:
		if in.base != baseNumber || in.depth < 1 {
			return wrong("a list of numbers")
		}
		e.typ = exprType{baseNumber, in.depth - 1}
		e.trend = reduceTrend(op, arg.trend)
	}
	return e, nil
}

func reduceTrend(op string, arg trend) trend {
	switch {
	case op == "max" && (arg == trendStatic || arg == trendUp):
		return trendUp
	case op == "min" && (arg == trendStatic || arg == trendDown):
		return trendDown
	}
	return trendNone
}

func (p *exprParser) path() (*expr, error) {
	e := &expr{trend: trendStatic, all: 1<<len(p.rs.teams) - 1}
	if err := p.expect("["); err != nil {
		return nil, err
	}
	if err := p.selector(e); err != nil {
		return nil, err
	}
	if err := p.expect("."); err != nil {
		return nil, err
	}
	if err := p.expect("players"); err != nil {
		return nil, err
	}
	e.typ = exprType{basePlayer, 1}
	if e.many {
		e.typ.depth = 2
	}
	switch {
	case p.accept("["):
		name, err := p.until("]")
		if err != nil {
			return nil, err
		}
		if !strings.EqualFold(name, "playerId") {
			return nil, fmt.Errorf("players[%s]: only players[playerId] is known", cut(name))
		}
		e.leaf, e.typ.base = leafID, baseString
	case p.accept("."):
		if err := p.expect("attributes"); err != nil {
			return nil, err
		}
		if err := p.expect("["); err != nil {
			return nil, err
		}
		name, err := p.until("]")
		if err != nil {
			return nil, err
		}
		i, ok := p.rs.attribute(name)
		if !ok {
			return nil, fmt.Errorf("unknown attribute %q", cut(name))
		}
		e.leaf, e.attr = leafAttribute, i
		switch p.rs.Attributes[i].Type {
		case Number:
			e.typ.base = baseNumber
		case String:
			e.typ.base = baseString
		case StringList:
			e.typ.base = baseSet
		case StringNumberMap:
			e.typ.base = baseMap
		}
	}
	return e, nil
}

// selector reads what stands between the brackets of teams[...]. The base name of a
// multi-team definition stands for all of its teams, as a list (spec 1.4).
func (p *exprParser) selector(e *expr) error {
	text, err := p.until("]")
	if err != nil {
		return err
	}
	if text == "*" {
		e.mask, e.many = e.all, true
		return nil
	}
	names := strings.Split(text, ",")
	e.many = len(names) > 1
	for _, name := range names {
		name = strings.TrimSpace(name)
		mask, multi := p.rs.teamMask(name)
		if mask == 0 {
			return fmt.Errorf("unknown team %q", cut(name))
		}
		e.mask |= mask
		e.many = e.many || multi
	}
	return nil
}

// teamMask finds the single teams a name stands for: one team, or all of a definition
// with a quantity (then multi is true). Zero when the name is unknown.
func (rs *RuleSet) teamMask(name string) (mask uint64, multi bool) {
	for i, t := range rs.teams {
		if t.name == name {
			return 1 << i, false
		}
	}
	for i, t := range rs.teams {
		if rs.Teams[t.def].Name == name {
			mask |= 1 << i
		}
	}
	return mask, mask != 0
}

func (p *exprParser) until(end string) (string, error) {
	text, rest, ok := strings.Cut(p.rest, end)
	if !ok {
		return "", fmt.Errorf("expected %q after %q", end, cut(p.rest))
	}
	p.rest = rest
	return strings.TrimSpace(text), nil
}

// cut keeps quoted input short in messages.
func cut(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "..."
	}
	return s
}
