package flexmatch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ruleType is what the engine knows about one type of rule.
type ruleType struct {
	parse func(p *parser, o object) ruleSpec
	// expandable are the properties an expansion may target (spec 1.7).
	expandable []string
	// large says the rule may stand in a rule set for more than 40 players (spec 1.8).
	large bool
}

// ruleTypes is the whole vocabulary: one line a type, one rule_*.go file a type.
var ruleTypes map[string]ruleType

func init() { // a literal would refer to itself through parseCompound
	ruleTypes = map[string]ruleType{
		"comparison":    {parse: parseComparison, expandable: []string{"measurements", "referenceValue", "partyAggregation"}},
		"distance":      {parse: parseDistance, expandable: []string{"measurements", "referenceValue", "minDistance", "maxDistance", "partyAggregation"}},
		"batchDistance": {parse: parseBatchDistance, expandable: []string{"batchAttribute", "maxDistance", "partyAggregation"}, large: true},
		"collection":    {parse: parseCollection, expandable: []string{"measurements", "referenceValue", "minCount", "maxCount", "partyAggregation"}},
		"latency":       {parse: parseLatency, expandable: []string{"maxLatency", "maxDistance", "distanceReference", "partyAggregation"}, large: true},
		"distanceSort":  {parse: parseSort, expandable: []string{"sortDirection", "sortAttribute", "mapKey", "partyAggregation"}},
		"absoluteSort":  {parse: parseSort, expandable: []string{"sortDirection", "sortAttribute", "mapKey", "partyAggregation"}},
		"compound":      {parse: parseCompound},
	}
}

// ruleSpec is a rule as read from the rule set, ready to be compiled.
type ruleSpec interface {
	// compile makes the rule's closures. The compiler hands out the columns they read.
	compile(c *compiler) compiledRule
}

// compiledRule is a rule as the search uses it. Sort rules have none of the closures.
type compiledRule struct {
	// check says whether the roster, as it stands, satisfies the rule.
	check func(r *roster) bool
	// dead says that no further player can repair the roster (spec 2.2, left column);
	// nil when that can never be said. It must never be true of a roster that some
	// superset makes legal.
	dead func(r *roster) bool
	// sure says that the roster satisfies the rule whoever joins; nil when that can never
	// be said. What is sure is dead in a negation.
	sure func(r *roster) bool
	// could says that the rule may hold in some teams of these players; nil when that is
	// not known.
	could func(r *roster) bool
	// measure puts the verdict into numbers, for Explain.
	measure func(r *roster) Measure
}

func (p *parser) ruleList() {
	names := map[string]bool{}
	for _, o := range p.root.objects("rules", false) {
		r := Rule{Name: o.text("name", true), Type: o.text("type", true)}
		if names[r.Name] && r.Name != "" {
			o.wrong("name", "the rule %q is defined twice", r.Name)
		}
		names[r.Name] = true
		r.spec = p.rule(r.Type, o)
		p.rs.Rules = append(p.rs.Rules, r)
		p.rules = append(p.rules, o)
	}
	p.rs.within = make([]bool, len(p.rs.Rules))
	for _, r := range p.rs.Rules {
		if c, ok := r.spec.(*compound); ok {
			for _, i := range c.names {
				p.rs.within[i] = true
			}
		}
	}
}

// rule reads one rule of the type; nil when it is of no known type.
func (p *parser) rule(typ string, o object) ruleSpec {
	t, ok := ruleTypes[typ]
	if !ok {
		if typ != "" {
			o.wrong("type", "%q is not one of %s", typ, strings.Join(slices.Sorted(maps.Keys(ruleTypes)), ", "))
		}
		return nil
	}
	if !t.large && p.rs.Large() {
		o.wrong("type", "a %s rule cannot stand in a rule set for more than %d players, only latency and batchDistance can", typ, MaxSmallMatch)
		return nil
	}
	return t.parse(p, o)
}

// aggregation is how the players of one ticket count as one.
type aggregation uint8

const (
	average aggregation = iota
	minimum
	maximum
	union
	intersection
)

// aggregation reads partyAggregation of a rule over numbers.
func (p *parser) aggregation(o object) aggregation {
	switch o.choice("partyAggregation", "avg", "avg", "min", "max") {
	case "min":
		return minimum
	case "max":
		return maximum
	default:
		return average
	}
}

// measurements reads the property expressions of a rule; one string may stand for a
// list of one (spec 1.5).
func (p *parser) measurements(o object) []*expr {
	if !o.has("measurements") {
		o.wrong("measurements", "is required")
		return nil
	}
	texts := o.strings("measurements")
	_, list := o.members["measurements"].([]any)
	if list && len(texts) == 0 {
		o.wrong("measurements", "must have at least one element")
	}
	var found []*expr
	for i, text := range texts {
		e, err := parseExpr(p.rs, text)
		if err != nil {
			key := "measurements"
			if list {
				key = fmt.Sprintf("measurements[%d]", i)
			}
			o.wrong(key, "%s", err)
			continue
		}
		found = append(found, e)
	}
	if len(found) < len(texts) {
		return nil // the types of the others no longer matter
	}
	return found
}
