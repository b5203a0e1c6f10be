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
	check, dead := r.root.compile(c)
	return compiledRule{
		check: check,
		dead:  dead,
		measure: func(run *roster) Measure {
			return Measure{MeasuredText: strconv.FormatBool(check(run)), Operation: "=", LimitText: r.root.text(c.rs), Failed: !check(run)}
		},
	}
}

// compile makes a node's closures: a conjunction is dead with any part, a disjunction
// with all of them; not and xor can always be repaired.
func (s *statement) compile(c *compiler) (check, dead func(run *roster) bool) {
	if s.op == "" {
		r := c.rules[s.rule]
		return r.check, r.dead
	}
	var checks, deads []func(run *roster) bool
	for _, arg := range s.args {
		check, dead := arg.compile(c)
		checks = append(checks, check)
		if dead != nil {
			deads = append(deads, dead)
		}
	}
	switch s.op {
	case "and":
		check = func(run *roster) bool {
			return !slices.ContainsFunc(checks, func(f func(*roster) bool) bool { return !f(run) })
		}
		if len(deads) > 0 {
			dead = func(run *roster) bool {
				return slices.ContainsFunc(deads, func(f func(*roster) bool) bool { return f(run) })
			}
		}
	case "or":
		check = func(run *roster) bool {
			return slices.ContainsFunc(checks, func(f func(*roster) bool) bool { return f(run) })
		}
		if len(deads) == len(checks) {
			dead = func(run *roster) bool {
				return !slices.ContainsFunc(deads, func(f func(*roster) bool) bool { return !f(run) })
			}
		}
	case "not":
		check = func(run *roster) bool { return !checks[0](run) }
	case "xor":
		check = func(run *roster) bool { return checks[0](run) != checks[1](run) }
	}
	return check, dead
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
