package flexmatch

import "fmt"

// comparison compares every element of its measurements with a reference, or, without
// one, the elements with each other: all equal, or all different (spec 1.5).
type comparison struct {
	measurements []*expr
	operation    string
	reference    reference
	party        aggregation
}

// reference is the referenceValue of a comparison or a distance: absent, a literal or
// an expression with one value.
type reference struct {
	given  bool
	expr   *expr
	number float64
	text   string
	isText bool
}

func (ref reference) trend() trend {
	if ref.expr != nil {
		return ref.expr.trend
	}
	return trendConst
}

func parseComparison(p *parser, o object) ruleSpec {
	r := &comparison{party: p.aggregation(o)}
	r.operation = o.choice("operation", "", "<", "<=", "=", "!=", ">", ">=")
	r.measurements = p.measurements(o)
	r.reference = p.reference(o, r.measurements)
	equality := r.operation == "=" || r.operation == "!="
	if !o.has("referenceValue") && !equality && o.has("operation") {
		o.wrong("operation", "%q needs a referenceValue, only = and != compare the players with each other", r.operation)
	}
	for i, m := range r.measurements {
		if m.typ.base == baseNumber {
			continue
		}
		path := fmt.Sprintf("measurements[%d]", i)
		if m.typ.base != baseString && m.typ.base != baseSet {
			o.wrong(path, "a comparison needs numbers or strings, %s is %s", m.text, m.typ)
		} else if !equality {
			o.wrong("operation", "%q does not order strings, only = and != do", r.operation)
		}
	}
	return r
}

// reference reads referenceValue and fits it to the type of the measurements.
func (p *parser) reference(o object, measurements []*expr) reference {
	numeric := len(measurements) == 0 || measurements[0].typ.base == baseNumber
	ref := reference{given: true}
	switch v := o.members["referenceValue"].(type) {
	case nil:
		return reference{}
	case float64:
		ref.number = v
	case string:
		if looksLikeExpr(v) {
			e, err := parseExpr(p.rs, v)
			if err != nil {
				o.wrong("referenceValue", "%s", err)
				return reference{}
			}
			if e.typ.depth > 0 || e.typ.base == baseSet {
				o.wrong("referenceValue", "must be one value, %s is %s", e.text, e.typ)
			}
			ref.expr, ref.isText = e, e.typ.base == baseString
			break
		}
		if n, ok := asNumber(v); ok && numeric {
			ref.number = n
			break
		}
		ref.text, ref.isText = v, true
	default:
		o.wrong("referenceValue", "must be a number, a string or an expression, not %s", kindOf(v))
		return reference{}
	}
	for _, m := range measurements {
		if (m.typ.base == baseNumber) == ref.isText {
			o.wrong("referenceValue", "is not of the type of %s, which is %s", m.text, m.typ)
			break
		}
	}
	return ref
}

func (r *comparison) compile(c *compiler) compiledRule {
	var all []compiledRule
	for _, m := range r.measurements {
		if r.reference.given {
			all = append(all, r.withReference(c, m))
		} else {
			all = append(all, r.among(c, m))
		}
	}
	return every(all)
}

// withReference compiles: every element of m stands in the operation to the reference.
func (r *comparison) withReference(c *compiler, m *expr) compiledRule {
	elements := c.evaluator(m, r.party, sets{})
	ref := c.referenceValue(r.reference, r.party)
	holds := operators[r.operation]
	check := func(run *roster) bool {
		run.tmp.reset()
		against := ref(run)
		if against.kind == noValue {
			return true
		}
		return eachElement(elements(run), func(v value) bool {
			return v.kind == noValue || compareSets(v, against, holds)
		})
	}
	rule := compiledRule{check: check, measure: func(run *roster) Measure {
		run.tmp.reset()
		against := ref(run)
		out := Measure{Property: "referenceValue", Operation: r.operation, LimitText: c.text(against), Limit: against.num}
		eachElement(elements(run), func(v value) bool {
			if v.kind == noValue || compareSets(v, against, holds) {
				return true
			}
			out.Failed, out.Measured, out.MeasuredText = true, v.num, c.text(v)
			return false
		})
		return out
	}}
	if against := r.reference.trend(); stuck(r.operation, m.trend, against) {
		rule.dead = func(run *roster) bool { return !check(run) }
	} else if r.operation == "=" && against == trendConst && (m.trend == trendUp || m.trend == trendDown) {
		past := operators[">"]
		if m.trend == trendDown {
			past = operators["<"]
		}
		rule.dead = func(run *roster) bool {
			run.tmp.reset()
			against := ref(run)
			return !eachElement(elements(run), func(v value) bool { return v.kind == noValue || !past(compare(v, against)) })
		}
	}
	return rule
}

// stuck says that an element once outside the operation stays outside.
func stuck(operation string, element, against trend) bool {
	still := element == trendStatic
	fixed := against == trendConst
	switch operation {
	case "<", "<=":
		return (still || element == trendUp) && (fixed || against == trendDown)
	case ">", ">=":
		return (still || element == trendDown) && (fixed || against == trendUp)
	default:
		return still && fixed
	}
}

// among compiles: the elements of m are all equal, or all different. Different counts
// each unit once, so a party does not collide with itself (spec 2.3).
func (r *comparison) among(c *compiler, m *expr) compiledRule {
	elements := c.evaluator(m, r.party, sets{})
	equal := r.operation == "="
	clash := func(run *roster) (a, b value, found bool) {
		run.tmp.reset()
		flat := flatElements(elements(run))
		for i, v := range flat {
			if equal && i > 0 && !same(v, flat[0]) {
				return flat[0], v, true
			}
			for j := 0; !equal && j < i; j++ {
				if same(v, flat[j]) && (v.unit < 0 || v.unit != flat[j].unit) {
					return flat[j], v, true
				}
			}
		}
		return a, b, false
	}
	check := func(run *roster) bool { _, _, found := clash(run); return !found }
	rule := compiledRule{check: check, measure: func(run *roster) Measure {
		a, b, found := clash(run)
		out := Measure{Operation: r.operation, Failed: found}
		if found {
			out.Measured, out.MeasuredText = b.num, c.text(b)
			out.Limit, out.LimitText = a.num, c.text(a)
		}
		return out
	}}
	if m.trend == trendStatic {
		rule.dead = func(run *roster) bool { return !check(run) }
	}
	return rule
}

// flatElements lists the elements of a value without those that have no value.
func flatElements(v value) []value {
	if v.kind == aList && (len(v.list) == 0 || (v.list[0].kind != aList && v.list[0].kind != aSet && v.list[0].kind != noValue)) {
		return v.list // already flat; a list of reductions may hide missing values further on
	}
	var flat []value
	eachElement(v, func(el value) bool {
		switch el.kind {
		case aSet:
			for _, s := range el.set {
				flat = append(flat, value{kind: aString, sym: s, unit: el.unit})
			}
		case noValue:
		default:
			flat = append(flat, el)
		}
		return true
	})
	return flat
}

// operators are the comparisons of a rule over the sign of a compare.
var operators = map[string]func(int) bool{
	"<":  func(sign int) bool { return sign < 0 },
	"<=": func(sign int) bool { return sign <= 0 },
	"=":  func(sign int) bool { return sign == 0 },
	"!=": func(sign int) bool { return sign != 0 },
	">":  func(sign int) bool { return sign > 0 },
	">=": func(sign int) bool { return sign >= 0 },
}

// compare orders two numbers; strings are only equal (0) or not.
func compare(a, b value) int {
	if a.kind == aNumber {
		switch {
		case a.num < b.num:
			return -1
		case a.num > b.num:
			return 1
		}
		return 0
	}
	if a.sym == b.sym {
		return 0
	}
	return 1
}

// compareSets compares an element with the reference; of a string list every string.
func compareSets(v, against value, holds func(int) bool) bool {
	if v.kind != aSet {
		return holds(compare(v, against))
	}
	for _, s := range v.set {
		if !holds(compare(value{kind: aString, sym: s}, against)) {
			return false
		}
	}
	return true
}

func same(a, b value) bool { return compare(a, b) == 0 }

// referenceValue compiles a reference to one value.
func (c *compiler) referenceValue(ref reference, how aggregation) evaluator {
	if ref.expr != nil {
		return c.evaluator(ref.expr, how, sets{})
	}
	v := number(ref.number)
	if ref.isText {
		v = value{kind: aString, sym: c.symbol(ref.text), unit: -1}
	}
	return func(*roster) value { return v }
}
