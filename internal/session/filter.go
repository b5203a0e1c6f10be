package session

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
)

// The language of SearchGameSessions: FilterExpression and SortExpression, by the grammar of
// sessions-placement.md 5.3. Nothing here knows a database or a clock.

// maxDepth bounds parentheses and NOT within each other.
const maxDepth = 64

// searched is a game session as the language sees it.
type searched struct {
	id         string // full ARN
	name       *string
	properties []types.GameProperty
	maximum    int32 // MaximumPlayerSessionCount
	players    int32 // CurrentPlayerSessionCount
	createdMs  int64
}

// property is the value of a game property. Keys with a dot cannot be searched: they count
// as absent (5.1).
func (g *searched) property(key string) (string, bool) {
	if strings.Contains(key, ".") {
		return "", false
	}
	for _, p := range g.properties {
		if p.Key != nil && p.Value != nil && *p.Key == key {
			return *p.Value, true
		}
	}
	return "", false
}

// filter is a parsed FilterExpression. It is safe for concurrent use.
type filter struct{ matches predicate }

type predicate func(*searched) bool

// parseFilter reads a FilterExpression, in a time that grows with its length. What breaks
// the grammar is an InvalidRequestException that says where, and what belongs there.
func parseFilter(text string) (*filter, error) {
	p := &parser{field: "FilterExpression", text: text}
	p.next()
	matches, err := p.or()
	if err == nil && p.token.kind != tokenEnd {
		err = p.expected("AND, OR or the end")
	}
	if err != nil {
		return nil, err
	}
	return &filter{matches}, nil
}

// match tells whether a game session satisfies the filter.
func (f *filter) match(g *searched) bool { return f.matches(g) }

// order is a parsed SortExpression. It is safe for concurrent use.
type order struct {
	by         operand
	descending bool
}

// parseSort reads a SortExpression: one operand, and ASC (which is meant without) or DESC.
func parseSort(text string) (*order, error) {
	p := &parser{field: "SortExpression", text: text}
	p.next()
	by, err := p.operand()
	if err != nil {
		return nil, err
	}
	o := &order{by: by}
	switch p.keyword() {
	case "desc":
		o.descending = true
		p.next()
	case "asc":
		p.next()
	}
	if p.token.kind != tokenEnd {
		return nil, p.expected("ASC, DESC or the end")
	}
	return o, nil
}

// compare puts a before b when it is negative. Game sessions that lack the operand come
// last in both directions, equal ones come by their ids; the order is total.
func (o *order) compare(a, b *searched) int {
	var c int
	if o.by.kind == textOperand {
		x, hasX := o.by.text(a)
		y, hasY := o.by.text(b)
		switch {
		case hasX && !hasY:
			return -1
		case !hasX && hasY:
			return 1
		}
		c = cmp.Compare(x, y) // UTF-8 sorts by code point
	} else {
		c = cmp.Compare(o.by.number(a), o.by.number(b))
	}
	if o.descending {
		c = -c
	}
	return cmp.Or(c, cmp.Compare(a.id, b.id))
}

// operand is an attribute of game sessions.
type operand struct {
	kind   operandKind
	text   func(*searched) (value string, present bool) // of textOperand
	number func(*searched) int64                        // of the others; a boolean is 0 or 1
}

type operandKind uint8

const (
	textOperand operandKind = iota + 1
	numberOperand
	boolOperand
)

const propertyPrefix = "gameSessionProperties."

// operandOf finds an attribute by its name, in which case counts.
func operandOf(name string) (operand, bool) {
	switch name {
	case "gameSessionName":
		return operand{kind: textOperand, text: func(g *searched) (string, bool) {
			if g.name == nil {
				return "", false
			}
			return *g.name, true
		}}, true
	case "gameSessionId":
		return operand{kind: textOperand, text: func(g *searched) (string, bool) { return g.id, true }}, true
	case "maximumSessions":
		return operand{kind: numberOperand, number: func(g *searched) int64 { return int64(g.maximum) }}, true
	case "playerSessionCount":
		return operand{kind: numberOperand, number: func(g *searched) int64 { return int64(g.players) }}, true
	case "creationTimeMillis":
		return operand{kind: numberOperand, number: func(g *searched) int64 { return g.createdMs }}, true
	case "hasAvailablePlayerSessions":
		return operand{kind: boolOperand, number: (*searched).available}, true
	}
	key, ok := strings.CutPrefix(name, propertyPrefix)
	if !ok || key == "" {
		return operand{}, false
	}
	return operand{kind: textOperand, text: func(g *searched) (string, bool) { return g.property(key) }}, true
}

// available is 1 while a game session has free slots. Its creation policy does not count.
func (g *searched) available() int64 {
	if g.players < g.maximum {
		return 1
	}
	return 0
}

// parser goes through an expression with one token in hand.
type parser struct {
	field string // the request's, for messages
	text  string
	pos   int // behind the token
	token token
	depth int
}

type token struct {
	kind tokenKind
	text string // of a string, what it says
	at   int    // where it begins
	open bool   // of a string: its closing quote is missing
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenString
	tokenComparator
	tokenOpen
	tokenClose
)

// next reads the next token. A word is the longest run of characters that are no space and
// begin no other token, so keywords need a delimiter on both sides.
func (p *parser) next() {
	p.pos += len(p.text[p.pos:]) - len(strings.TrimLeftFunc(p.text[p.pos:], unicode.IsSpace))
	rest := p.text[p.pos:]
	p.token = token{at: p.pos}
	if rest == "" {
		return
	}
	size := 1
	switch rest[0] {
	case '(':
		p.token.kind = tokenOpen
	case ')':
		p.token.kind = tokenClose
	case '\'', '"':
		p.quoted(rest)
		return
	case '<', '>', '=':
		p.token.kind = tokenComparator
		if len(rest) > 1 && (rest[1] == '=' && rest[0] != '=' || rest[:2] == "<>") {
			size = 2
		}
	default:
		p.token.kind = tokenWord
		if size = strings.IndexFunc(rest, endsWord); size < 0 {
			size = len(rest)
		}
	}
	p.token.text = rest[:size]
	p.pos += size
}

func endsWord(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`()'"=<>`, r) }

// quoted reads a string in either kind of quotes; a backslash takes away the meaning of the
// character behind it.
func (p *parser) quoted(rest string) {
	p.token.kind, p.token.open = tokenString, true
	var b strings.Builder
	i := 1
	for ; i < len(rest) && rest[i] != rest[0]; i++ {
		if rest[i] == '\\' {
			if i++; i == len(rest) {
				break
			}
		}
		b.WriteByte(rest[i])
	}
	if i < len(rest) {
		p.token.open = false
		i++
	}
	p.token.text = b.String()
	p.pos += i
}

// keyword is the word in hand in lower case, "" when there is none.
func (p *parser) keyword() string {
	if p.token.kind != tokenWord {
		return ""
	}
	return strings.ToLower(p.token.text)
}

// expected is the error of a token that does not belong where it is. Positions count
// characters from one.
func (p *parser) expected(what string) error {
	found := fmt.Sprintf("%.40q", p.token.text)
	switch {
	case p.token.open:
		found = "a string that does not end"
	case p.token.kind == tokenEnd:
		found = "the end"
	case p.token.kind == tokenString:
		found = "a string"
	}
	return p.refuse("expected %s, found %s", what, found)
}

func (p *parser) refuse(format string, args ...any) error {
	at := utf8.RuneCountInString(p.text[:p.token.at]) + 1
	return apierr.InvalidRequest("%s: at character %d: %s", p.field, at, fmt.Sprintf(format, args...))
}

// or reads conditions joined by OR. AND binds tighter.
func (p *parser) or() (predicate, error) { return p.joined("or", p.and, someOf) }

func (p *parser) and() (predicate, error) { return p.joined("and", p.not, allOf) }

// joined reads one part or several with a keyword between them.
func (p *parser) joined(keyword string, part func() (predicate, error), join func([]predicate) predicate) (predicate, error) {
	var parts []predicate
	for {
		one, err := part()
		if err != nil {
			return nil, err
		}
		parts = append(parts, one)
		if p.keyword() != keyword {
			break
		}
		p.next()
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return join(parts), nil
}

func someOf(parts []predicate) predicate {
	return func(g *searched) bool {
		for _, holds := range parts {
			if holds(g) {
				return true
			}
		}
		return false
	}
}

func allOf(parts []predicate) predicate {
	return func(g *searched) bool {
		for _, holds := range parts {
			if !holds(g) {
				return false
			}
		}
		return true
	}
}

// not reads one condition, or its negation, or a group in parentheses.
func (p *parser) not() (predicate, error) {
	negated := p.keyword() == "not"
	if !negated && p.token.kind != tokenOpen {
		return p.condition()
	}
	if p.depth++; p.depth > maxDepth {
		return nil, p.refuse("parentheses and NOT are nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	p.next()
	if negated {
		holds, err := p.not()
		if err != nil {
			return nil, err
		}
		return func(g *searched) bool { return !holds(g) }, nil
	}
	group, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.token.kind != tokenClose {
		return nil, p.expected("AND, OR or )")
	}
	p.next()
	return group, nil
}

func (p *parser) operand() (operand, error) {
	o, ok := operand{}, false
	if p.token.kind == tokenWord {
		o, ok = operandOf(p.token.text)
	}
	if !ok {
		return o, p.expected("one of gameSessionName, gameSessionId, gameSessionProperties.KEY, maximumSessions, " +
			"creationTimeMillis, playerSessionCount, hasAvailablePlayerSessions")
	}
	p.next()
	return o, nil
}

// condition reads an operand, a comparator it has, and a value of its type.
func (p *parser) condition() (predicate, error) {
	o, err := p.operand()
	if err != nil {
		return nil, err
	}
	comparator := p.token.text
	switch {
	case p.token.kind == tokenComparator && (o.kind == numberOperand || comparator == "=" || comparator == "<>"):
	case o.kind == numberOperand:
		return nil, p.expected("one of = <> < > <= >=")
	default:
		return nil, p.expected("= or <>")
	}
	p.next()
	value := p.token
	switch {
	case o.kind == textOperand && value.kind == tokenString && !value.open:
		p.next()
		return textCondition(o, comparator, value.text), nil
	case o.kind == textOperand:
		return nil, p.expected("a string in quotes")
	case o.kind == boolOperand:
		return p.boolCondition(o, comparator)
	}
	limit, ok := parseDecimal(value.text)
	if value.kind != tokenWord || !ok {
		return nil, p.expected("a number")
	}
	p.next()
	return numberCondition(o, comparator, limit), nil
}

// textCondition compares strings. What is absent is unequal to every string.
func textCondition(o operand, comparator, want string) predicate {
	equal := comparator == "="
	return func(g *searched) bool {
		value, present := o.text(g)
		return (present && value == want) == equal
	}
}

func (p *parser) boolCondition(o operand, comparator string) (predicate, error) {
	word := p.keyword()
	if word != "true" && word != "false" {
		return nil, p.expected("true or false")
	}
	p.next()
	want := (word == "true") == (comparator == "=")
	return func(g *searched) bool { return (o.number(g) == 1) == want }, nil
}

func numberCondition(o operand, comparator string, limit decimal) predicate {
	holds := comparators[comparator]
	return func(g *searched) bool { return holds(limit.compare(o.number(g))) }
}

// comparators tell, of how a value compares with the limit, whether the condition holds.
var comparators = map[string]func(int) bool{
	"=":  func(c int) bool { return c == 0 },
	"<>": func(c int) bool { return c != 0 },
	"<":  func(c int) bool { return c < 0 },
	">":  func(c int) bool { return c > 0 },
	"<=": func(c int) bool { return c <= 0 },
	">=": func(c int) bool { return c >= 0 },
}

// decimal is a number as far as integers can tell: the whole number at or below it, and
// whether it is above that.
type decimal struct {
	floor    int64
	fraction bool
}

// compare tells where an integer lies, as seen from the number: -1 below, 0 on it, 1 above.
func (d decimal) compare(n int64) int {
	if n == d.floor && d.fraction {
		return -1
	}
	return cmp.Compare(n, d.floor)
}

// parseDecimal reads a number: sign, digits, fraction. Numbers beyond 64 bits are kept as
// the outermost ones, which no count and no time reaches.
func parseDecimal(text string) (decimal, bool) {
	negative := strings.HasPrefix(text, "-")
	if negative || strings.HasPrefix(text, "+") {
		text = text[1:]
	}
	whole, fraction, point := strings.Cut(text, ".")
	if !onlyDigits(whole) || point && !onlyDigits(fraction) {
		return decimal{}, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil { // too large, since it has digits only
		n = math.MaxInt64 - 1
	}
	d := decimal{floor: n, fraction: strings.Trim(fraction, "0") != ""}
	if negative {
		d.floor = -n
		if d.fraction {
			d.floor--
		}
	}
	return d, true
}

func onlyDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
