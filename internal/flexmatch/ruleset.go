package flexmatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The limits of spec 1.9.
const (
	maxBody       = 65535 // characters of a rule set body
	MaxSmallMatch = 40    // slots of a match that knows every rule
	MaxMatch      = 200   // slots of any match
	maxListLength = 100   // strings of a string_list
	maxMapLength  = 10    // entries of a string_number_map
)

// AttributeType is the declared type of a player attribute.
type AttributeType string

// The types of spec 1.2.
const (
	String          AttributeType = "string"
	Number          AttributeType = "number"
	StringList      AttributeType = "string_list"
	StringNumberMap AttributeType = "string_number_map"
)

// Attribute is one entry of playerAttributes. Default is nil, or a string, float64,
// []string or map[string]float64 as the type says.
type Attribute struct {
	Name    string
	Type    AttributeType
	Default any
}

// Algorithm is the rule set's algorithm with its defaults filled in (spec 1.3).
type Algorithm struct {
	Strategy              string
	BatchingPreference    string
	SortByAttributes      []string
	BalancedAttribute     string
	ExpansionAgeSelection string
	BackfillPriority      string
}

// Team is one definition of teams. With a quantity above one it stands for that many
// teams, named name_1 to name_n (spec 1.4).
type Team struct {
	Name       string
	MinPlayers int
	MaxPlayers int
	Quantity   int
}

// Rule is one rule as it stands in the rule set, without expansions.
type Rule struct {
	Name string
	Type string
	spec ruleSpec
}

// RuleSet is a rule set that has been read and found right. It does not change and may
// be shared.
type RuleSet struct {
	Name       string
	Attributes []Attribute
	Algorithm  Algorithm
	Teams      []Team
	Rules      []Rule
	Expansions []Expansion

	teams  []team          // every single team, in order
	steps  []time.Duration // the distinct waiting times of all expansions, rising
	levels []level         // levels[i] holds once steps[:i] have passed
	within []bool          // rule i is enforced through a compound rule only
}

// team is one single team of a match.
type team struct {
	name string
	def  int // index of its definition
}

// level is what the rule set demands at one stage of the expansions.
type level struct {
	teams []Team
	rules []ruleSpec
}

// Parse reads a rule set body. Its error is a Findings with everything that is wrong
// (spec 1.10); both CreateMatchmakingRuleSet and ValidateMatchmakingRuleSet rest on it.
func Parse(body string) (*RuleSet, error) {
	var found Findings
	if n := utf8.RuneCountInString(body); n < 1 || n > maxBody {
		found.add("", "a rule set body has 1 to %d characters, this one has %d", maxBody, n)
		return nil, found
	}
	var raw any
	if err := json.Unmarshal([]byte(body), &raw); err != nil {
		found.add("", "not valid JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
		return nil, found
	}
	members, ok := raw.(map[string]any)
	if !ok {
		found.add("", "a rule set is a JSON object, not %s", kindOf(raw))
		return nil, found
	}
	p := parser{rs: &RuleSet{}, findings: &found, root: object{members: members, findings: &found}}
	p.ruleSet()
	if len(found) > 0 {
		return nil, found
	}
	return p.rs, nil
}

// Large reports whether the matches of this rule set have more than 40 slots: then they
// are built the large way and know fewer rules (spec 1.8).
func (rs *RuleSet) Large() bool { return rs.Slots() > MaxSmallMatch }

// Slots is the size of a full match before any expansion.
func (rs *RuleSet) Slots() int {
	n := 0
	for _, t := range rs.Teams {
		n += t.MaxPlayers * t.Quantity
	}
	return n
}

// TeamNames are the names of the single teams in the order of the rule set.
func (rs *RuleSet) TeamNames() []string {
	names := make([]string, len(rs.teams))
	for i, t := range rs.teams {
		names[i] = t.name
	}
	return names
}

// LongestWait is the waiting time of the last expansion step, zero without expansions.
// A request timeout at or below it means that step can never help (spec 1.7).
func (rs *RuleSet) LongestWait() time.Duration {
	if len(rs.steps) == 0 {
		return 0
	}
	return rs.steps[len(rs.steps)-1]
}

func (rs *RuleSet) attribute(name string) (int, bool) {
	i := slices.IndexFunc(rs.Attributes, func(a Attribute) bool { return a.Name == name })
	return i, i >= 0
}

// parser reads one rule set. Everything it dislikes goes to findings, so that the
// author sees all of it at once.
type parser struct {
	rs       *RuleSet
	root     object
	findings *Findings
	rules    []object // the raw rules, by index of rs.Rules
}

func (p *parser) ruleSet() {
	p.rs.Name = p.root.text("name", false)
	if v := p.root.text("ruleLanguageVersion", true); v != "" && v != "1.0" {
		p.root.wrong("ruleLanguageVersion", "%q is not supported, only \"1.0\"", v)
	}
	p.attributes()
	p.algorithm()
	p.teams()
	if len(*p.findings) > 0 && len(p.rs.teams) == 0 {
		return // without teams every expression would look wrong
	}
	p.ruleList()
	p.expansions()
}

func (p *parser) attributes() {
	for _, o := range p.root.objects("playerAttributes", false) {
		a := Attribute{
			Name: o.text("name", true),
			Type: AttributeType(o.choice("type", "", string(String), string(Number), string(StringList), string(StringNumberMap))),
		}
		if _, ok := p.rs.attribute(a.Name); ok && a.Name != "" {
			o.wrong("name", "the attribute %q is declared twice", a.Name)
		}
		if o.has("default") {
			var err error
			if a.Default, err = attributeDefault(a.Type, o.members["default"]); err != nil {
				o.wrong("default", "%s", err)
			}
		}
		p.rs.Attributes = append(p.rs.Attributes, a)
	}
}

// attributeDefault reads the default of an attribute: a value of its own type (spec 1.2).
func attributeDefault(t AttributeType, raw any) (any, error) {
	switch t {
	case String:
		if s, ok := raw.(string); ok {
			return s, nil
		}
	case Number:
		if n, ok := raw.(float64); ok {
			return n, nil
		}
	case StringList:
		list, ok := raw.([]any)
		if !ok {
			break
		}
		texts, ok := asStrings(list)
		if !ok {
			return nil, errors.New("must hold strings only")
		}
		if len(texts) > maxListLength {
			return nil, fmt.Errorf("must hold at most %d strings", maxListLength)
		}
		return texts, nil
	case StringNumberMap:
		entries, ok := raw.(map[string]any)
		if !ok {
			break
		}
		if len(entries) > maxMapLength {
			return nil, fmt.Errorf("must hold at most %d entries", maxMapLength)
		}
		numbers := make(map[string]float64, len(entries))
		for k, v := range entries {
			n, ok := v.(float64)
			if !ok {
				return nil, fmt.Errorf("must hold numbers only, %q is %s", k, kindOf(v))
			}
			numbers[k] = n
		}
		return numbers, nil
	}
	return nil, fmt.Errorf("must be a %s, not %s", t, kindOf(raw))
}

func (p *parser) algorithm() {
	a := &p.rs.Algorithm
	o := object{path: "algorithm", findings: p.findings}
	switch m := p.root.members["algorithm"].(type) {
	case nil:
	case map[string]any:
		o.members = m
	default:
		p.root.wrong("algorithm", "must be an object, not %s", kindOf(m))
	}
	a.Strategy = o.choice("strategy", "exhaustiveSearch", "exhaustiveSearch", "balanced")
	a.ExpansionAgeSelection = o.choice("expansionAgeSelection", "newest", "newest", "oldest")
	a.BackfillPriority = o.choice("backfillPriority", "normal", "normal", "low", "high")
	a.SortByAttributes = o.strings("sortByAttributes")
	for _, name := range a.SortByAttributes {
		if _, ok := p.rs.attribute(name); !ok {
			o.wrong("sortByAttributes", "unknown attribute %q", name)
		}
	}
	a.BalancedAttribute = o.text("balancedAttribute", false)
	if i, ok := p.rs.attribute(a.BalancedAttribute); a.BalancedAttribute != "" {
		if !ok {
			o.wrong("balancedAttribute", "unknown attribute %q", a.BalancedAttribute)
		} else if p.rs.Attributes[i].Type != Number {
			o.wrong("balancedAttribute", "%q must be a number attribute, it is a %s", a.BalancedAttribute, p.rs.Attributes[i].Type)
		}
	}
	if a.Strategy == "balanced" {
		a.BatchingPreference = o.choice("batchingPreference", "largestPopulation", "largestPopulation", "fastestRegion")
		if a.BalancedAttribute == "" {
			o.wrong("balancedAttribute", "is required by the strategy balanced")
		}
		if len(a.SortByAttributes) > 0 {
			o.wrong("sortByAttributes", "goes with the strategy exhaustiveSearch only")
		}
		return
	}
	a.BatchingPreference = o.choice("batchingPreference", "random", "random", "sorted")
	if a.BatchingPreference == "sorted" && len(a.SortByAttributes) == 0 {
		o.wrong("sortByAttributes", "is required by the batching preference sorted")
	}
}

func (p *parser) teams() {
	defined := p.root.objects("teams", true)
	for _, o := range defined {
		before := len(*p.findings)
		t := Team{Name: o.text("name", true), Quantity: 1}
		t.MinPlayers = o.integer("minPlayers", 0)
		t.MaxPlayers = o.integer("maxPlayers", 1)
		if o.has("quantity") {
			t.Quantity = o.integer("quantity", 1)
		}
		if len(*p.findings) == before && t.MinPlayers > t.MaxPlayers {
			o.wrong("minPlayers", "%d is more than maxPlayers %d", t.MinPlayers, t.MaxPlayers)
		}
		if slices.ContainsFunc(p.rs.Teams, func(d Team) bool { return d.Name == t.Name && t.Name != "" }) {
			o.wrong("name", "the team %q is defined twice", t.Name)
		}
		p.rs.Teams = append(p.rs.Teams, t)
	}
	slots := p.rs.Slots()
	if slots > MaxMatch {
		p.root.wrong("teams", "the teams have %d slots, the most is %d", slots, MaxMatch)
		return
	}
	seen := map[string]bool{}
	for i, t := range p.rs.Teams {
		for n := range t.Quantity {
			name := t.Name
			if t.Quantity > 1 {
				name = fmt.Sprintf("%s_%d", t.Name, n+1)
			}
			if seen[name] && p.rs.Teams[i].Quantity > 1 {
				p.root.wrong(fmt.Sprintf("teams[%d].name", i), "its team %q has the name of another team", name)
			}
			seen[name] = true
			p.rs.teams = append(p.rs.teams, team{name: name, def: i})
		}
	}
	if slots > MaxSmallMatch && p.rs.Algorithm.Strategy != "balanced" {
		p.root.wrong("algorithm.strategy", "a match of %d slots is a large match and needs the strategy balanced and a balancedAttribute", slots)
	}
}
