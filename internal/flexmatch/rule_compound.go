package flexmatch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// compound joins earlier rules by a statement of and, or, not and xor; the rules it
// names are enforced through it only (spec 1.5).
type compound struct {
	root  *statement
	names []int // the rules it names, as indexes of RuleSet.Rules
}

// statement is one node: a rule, or an operation over others.
type statement struct {
	op   string
	args []*statement
	rule int
}

func parseCompound(p *parser, o object) ruleSpec {
	text := o.text("statement", true)
	r := &compound{}
	if text == "" {
		return r
	}
	sp := statementParser{rules: p.rs.Rules, rest: text, named: &r.names}
	root, err := sp.call()
	if err == nil && sp.peek() != "" {
		err = fmt.Errorf("unexpected %q after the statement", cut(sp.rest))
	}
	if err != nil {
		o.wrong("statement", "%s", err)
		return r
	}
	r.root = root
	return r
}

// statementParser splits on ( ) , and white space only: rule names may hold anything
// else, such as Survival-Mode.
type statementParser struct {
	rules []Rule
	rest  string
	named *[]int
	depth int
}

func (p *statementParser) peek() string {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" {
		return ""
	}
	if i := strings.IndexAny(p.rest, "(), \t\r\n"); i > 0 {
		return p.rest[:i]
	} else if i < 0 {
		return p.rest
	}
	return p.rest[:1]
}

func (p *statementParser) next() string {
	token := p.peek()
	p.rest = p.rest[len(token):]
	return token
}

func (p *statementParser) call() (*statement, error) {
	if p.depth++; p.depth > 64 {
		return nil, errors.New("is nested too deep")
	}
	defer func() { p.depth-- }()
	s := &statement{op: p.next()}
	if !slices.Contains([]string{"and", "or", "not", "xor"}, s.op) {
		return nil, fmt.Errorf("expected and, or, not or xor, found %q", cut(s.op))
	}
	if t := p.next(); t != "(" {
		return nil, fmt.Errorf("expected \"(\" after %s, found %q", s.op, cut(t))
	}
	for {
		arg, err := p.argument()
		if err != nil {
			return nil, err
		}
		s.args = append(s.args, arg)
		switch t := p.next(); t {
		case ",":
		case ")":
			return s, s.arity()
		default:
			return nil, fmt.Errorf("expected \",\" or \")\" in %s(...), found %q", s.op, cut(t))
		}
	}
}

func (s *statement) arity() error {
	n := len(s.args)
	switch {
	case s.op == "not" && n != 1:
		return fmt.Errorf("not takes one argument, it has %d", n)
	case s.op == "xor" && n != 2:
		return fmt.Errorf("xor takes two arguments, it has %d", n)
	case (s.op == "and" || s.op == "or") && n < 2:
		return fmt.Errorf("%s takes two or more arguments, it has %d", s.op, n)
	}
	return nil
}

func (p *statementParser) argument() (*statement, error) {
	token := p.peek()
	if after := strings.TrimLeft(p.rest[len(token):], " \t\r\n"); strings.HasPrefix(after, "(") && token != "(" {
		return p.call()
	}
	name := p.next()
	i := slices.IndexFunc(p.rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%q is not a rule defined before this one", cut(name))
	}
	switch p.rules[i].Type {
	case "batchDistance", "distanceSort", "absoluteSort":
		return nil, fmt.Errorf("the %s rule %q cannot stand in a compound rule", p.rules[i].Type, name)
	}
	if !slices.Contains(*p.named, i) {
		*p.named = append(*p.named, i)
	}
	return &statement{rule: i}, nil
}

func (r *compound) compile(c *compiler) compiledRule {
	rule := r.root.compile(c)
	rule.measure = func(run *roster) Measure {
		holds := rule.check(run)
		return Measure{MeasuredText: strconv.FormatBool(holds), Operation: "=", LimitText: r.root.text(c.rs), Failed: !holds}
	}
	return rule
}

// test is one of a rule's closures that say yes or no.
type test = func(run *roster) bool

// every part holds, or some; parts without such a closure are not asked.
func all(tests []test) test {
	return func(run *roster) bool {
		return !slices.ContainsFunc(tests, func(f test) bool { return f != nil && !f(run) })
	}
}

func some(tests []test) test {
	return func(run *roster) bool {
		return slices.ContainsFunc(tests, func(f test) bool { return f != nil && f(run) })
	}
}

// compile makes a node's closures out of its parts': a conjunction is dead with any part
// and sure with all, a disjunction the other way round, a negation swaps the two, and of
// xor both parts have to be settled.
func (s *statement) compile(c *compiler) compiledRule {
	if s.op == "" {
		r := c.rules[s.rule]
		if teamless(c.specs[s.rule], c.specs) {
			r.could = r.check
		}
		return r
	}
	var checks, deads, sures, coulds []test
	for _, arg := range s.args {
		part := arg.compile(c)
		checks, deads = append(checks, part.check), append(deads, part.dead)
		sures, coulds = append(sures, part.sure), append(coulds, part.could)
	}
	unknown := func(tests []test) int { // how many parts have no such closure
		n := 0
		for _, f := range tests {
			if f == nil {
				n++
			}
		}
		return n
	}
	rule, n := compiledRule{}, len(checks)
	switch s.op {
	case "and":
		rule.check = all(checks)
		if unknown(deads) < n {
			rule.dead = some(deads)
		}
		if unknown(sures) == 0 {
			rule.sure = all(sures)
		}
		if unknown(coulds) < n {
			rule.could = all(coulds)
		}
	case "or":
		rule.check = some(checks)
		if unknown(deads) == 0 {
			rule.dead = all(deads)
		}
		if unknown(sures) < n {
			rule.sure = some(sures)
		}
		if unknown(coulds) == 0 {
			rule.could = some(coulds)
		}
	case "not":
		rule.check = func(run *roster) bool { return !checks[0](run) }
		rule.dead, rule.sure = sures[0], deads[0]
	case "xor":
		rule.check = func(run *roster) bool { return checks[0](run) != checks[1](run) }
		if unknown(deads)+unknown(sures) == 0 {
			rule.dead = func(run *roster) bool {
				return deads[0](run) && deads[1](run) || sures[0](run) && sures[1](run)
			}
			rule.sure = func(run *roster) bool {
				return deads[0](run) && sures[1](run) || sures[0](run) && deads[1](run)
			}
		}
	}
	return rule
}

func (s *statement) text(rs *RuleSet) string {
	if s.op == "" {
		return rs.Rules[s.rule].Name
	}
	args := make([]string, len(s.args))
	for i, a := range s.args {
		args[i] = a.text(rs)
	}
	return s.op + "(" + strings.Join(args, ", ") + ")"
}
