package flexmatch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Expansion relaxes one property of some rules or teams as tickets wait (spec 1.7).
type Expansion struct {
	Target string
	Steps  []Step

	component string // rules or teams
	names     []int  // indexes of RuleSet.Rules or RuleSet.Teams
	property  string
}

// Step is one stage: from Wait on, the property has Value.
type Step struct {
	Wait  time.Duration
	Value any
}

// maxWait keeps waiting times within what an age can be (spec 1.9: a request times out
// after 43,200 seconds at most; a step later than that simply never comes).
const maxWait = 10 * 365 * 24 * time.Hour

func (p *parser) expansions() {
	for _, o := range p.root.objects("expansions", false) {
		before := len(*p.findings)
		e := Expansion{Target: o.text("target", true)}
		if e.Target != "" {
			p.target(o, &e)
		}
		p.steps(o, &e)
		if len(*p.findings) == before {
			p.rs.Expansions = append(p.rs.Expansions, e)
		}
	}
	if len(*p.findings) == 0 {
		p.levels()
	}
}

// target reads component[name{, name}].property.
func (p *parser) target(o object, e *Expansion) {
	text := strings.TrimSpace(e.Target)
	head, rest, ok := strings.Cut(text, "[")
	// A name may itself hold a bracket; the property cannot.
	end := strings.LastIndex(rest, "]")
	if !ok || end < 0 {
		o.wrong("target", "%q is not of the form rules[name].property or teams[name].property", cut(e.Target))
		return
	}
	e.component = strings.TrimSpace(head)
	property, ok := strings.CutPrefix(strings.TrimSpace(rest[end+1:]), ".")
	e.property = strings.TrimSpace(property)
	if !ok || (e.component != "rules" && e.component != "teams") {
		o.wrong("target", "%q is not of the form rules[name].property or teams[name].property", cut(e.Target))
		return
	}
	for name := range strings.SplitSeq(rest[:end], ",") {
		name = strings.TrimSpace(name)
		if e.component == "teams" {
			p.targetTeam(o, e, name)
		} else {
			p.targetRule(o, e, name)
		}
	}
}

func (p *parser) targetTeam(o object, e *Expansion, name string) {
	i := slices.IndexFunc(p.rs.Teams, func(t Team) bool { return t.Name == name })
	switch {
	case i < 0:
		o.wrong("target", "unknown team %q", cut(name))
	case e.property != "minPlayers" && e.property != "maxPlayers":
		o.wrong("target", "of a team only minPlayers and maxPlayers can be expanded, not %q", cut(e.property))
	default:
		e.names = append(e.names, i)
	}
}

func (p *parser) targetRule(o object, e *Expansion, name string) {
	i := slices.IndexFunc(p.rs.Rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		o.wrong("target", "unknown rule %q", cut(name))
		return
	}
	r := p.rs.Rules[i]
	allowed := ruleTypes[r.Type].expandable
	switch {
	case r.Type == "compound":
		o.wrong("target", "the compound rule %q cannot be expanded, the rules it names can", name)
	case !slices.Contains(allowed, e.property):
		o.wrong("target", "of the %s rule %q only %s can be expanded, not %q", r.Type, name, strings.Join(allowed, ", "), cut(e.property))
	default:
		e.names = append(e.names, i)
	}
}

func (p *parser) steps(o object, e *Expansion) {
	last := -1.0
	for _, s := range o.objects("steps", true) {
		wait, ok := s.number("waitTimeSeconds", true)
		switch {
		case !ok:
		case wait < 0 || wait > maxWait.Seconds():
			s.wrong("waitTimeSeconds", "must be between 0 and %v", maxWait.Seconds())
		case wait <= last:
			s.wrong("waitTimeSeconds", "%v is not later than the step before, %v", wait, last)
		}
		last = max(last, wait)
		if !s.has("value") {
			s.wrong("value", "is required")
			continue
		}
		p.stepValue(s, e)
		e.Steps = append(e.Steps, Step{Wait: time.Duration(math.Round(wait * 1e9)), Value: s.members["value"]})
	}
}

// stepValue checks the value where it will stand: the rule is read again with it.
func (p *parser) stepValue(s object, e *Expansion) {
	for _, i := range e.names {
		if e.component == "teams" {
			lo := 0
			if e.property == "maxPlayers" {
				lo = 1
			}
			s.integer("value", lo)
			return
		}
		var found Findings
		p.ruleWith(i, map[string]any{e.property: s.members["value"]}, &found)
		for _, f := range found {
			s.wrong("value", "%s", strings.TrimPrefix(f.String(), p.rules[i].path+"."))
		}
	}
}

// ruleWith reads rule i again with some members replaced.
func (p *parser) ruleWith(i int, replaced map[string]any, found *Findings) ruleSpec {
	o := p.rules[i]
	members := maps.Clone(o.members)
	maps.Copy(members, replaced)
	again := parser{rs: p.rs, findings: found, root: p.root, rules: p.rules}
	return again.rule(p.rs.Rules[i].Type, object{path: o.path, members: members, findings: found})
}

// levels works out what the rule set demands after each waiting time. The last step
// whose time has come wins; of two expansions with one target, the later in the file.
func (p *parser) levels() {
	for _, e := range p.rs.Expansions {
		for _, s := range e.Steps {
			p.rs.steps = append(p.rs.steps, s.Wait)
		}
	}
	slices.Sort(p.rs.steps)
	p.rs.steps = slices.Compact(p.rs.steps)
	base := level{teams: p.rs.Teams}
	for _, r := range p.rs.Rules {
		base.rules = append(base.rules, r.spec)
	}
	p.rs.levels = append(p.rs.levels, base)
	for i := range p.rs.steps {
		p.rs.levels = append(p.rs.levels, p.levelAt(i))
	}
}

// levelAt is the level of step i, built on the one before.
func (p *parser) levelAt(i int) level {
	before, wait := p.rs.levels[i], p.rs.steps[i]
	now := level{teams: slices.Clone(before.teams), rules: slices.Clone(before.rules)}
	touched := map[int]bool{}
	for n, e := range p.rs.Expansions {
		s := slices.IndexFunc(e.Steps, func(s Step) bool { return s.Wait == wait })
		if s < 0 {
			continue
		}
		for _, name := range e.names {
			if e.component == "rules" {
				touched[name] = true
				continue
			}
			size, _ := asNumber(e.Steps[s].Value)
			if e.property == "minPlayers" {
				now.teams[name].MinPlayers = int(size)
			} else {
				now.teams[name].MaxPlayers = int(size)
			}
		}
		if e.component == "teams" {
			p.checkTeams(now.teams, fmt.Sprintf("expansions[%d].steps[%d].value", n, s))
		}
	}
	for rule := range touched {
		now.rules[rule] = p.ruleWith(rule, p.valuesAt(rule, wait), p.findings)
	}
	return now
}

// valuesAt are the values of a rule's expanded properties after the wait.
func (p *parser) valuesAt(rule int, wait time.Duration) map[string]any {
	values := map[string]any{}
	for _, e := range p.rs.Expansions {
		if e.component != "rules" || !slices.Contains(e.names, rule) {
			continue
		}
		for _, s := range e.Steps {
			if s.Wait <= wait {
				values[e.property] = s.Value
			}
		}
	}
	return values
}

// checkTeams refuses a stage in which a team is impossible or the match changes class.
func (p *parser) checkTeams(teams []Team, path string) {
	slots := 0
	for _, t := range teams {
		slots += t.MaxPlayers * t.Quantity
		if t.MinPlayers > t.MaxPlayers {
			p.findings.add(path, "leaves team %q with minPlayers %d above maxPlayers %d", t.Name, t.MinPlayers, t.MaxPlayers)
		}
	}
	switch {
	case slots > MaxMatch:
		p.findings.add(path, "makes %d slots, the most is %d", slots, MaxMatch)
	case slots > MaxSmallMatch != p.rs.Large():
		p.findings.add(path, "makes %d slots, which turns a match of up to %d into a large one or the reverse", slots, MaxSmallMatch)
	}
}

// levelOf is the level a waiting time has reached: a step holds from its time on.
func (rs *RuleSet) levelOf(age time.Duration) int {
	i, found := slices.BinarySearch(rs.steps, age)
	if found {
		i++
	}
	return i
}
