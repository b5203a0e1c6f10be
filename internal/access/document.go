package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Document is a policy in the form of IAM's JSON: statements that allow or deny actions on
// resources. A request is allowed when, for each resource it names, some statement allows
// it and none denies it. What a document cannot express here is refused when it is made,
// never passed over: conditions other than aws:SourceIp, aws:CurrentTime and
// aws:SecureTransport, principals, variables.
type Document struct {
	Version    string
	Statements []Statement
	text       string // as it was given, without needless space
}

// Statement is one entry of a document. Of Actions and NotActions it has one, and of
// Resources and NotResources one; patterns have * for any text and ? for any character.
type Statement struct {
	ID                      string
	Allow                   bool
	Actions, NotActions     []string // "gamelift:describe*", in lower case
	Resources, NotResources []string
	conditions              []condition
	addressed               bool // a condition asks where the request came from
}

// Request is what is asked of a policy.
type Request struct {
	Operation string
	// Resources are what the request names, each by all ARNs that mean it: a statement about
	// any of them is about it. Without any the request is about "*", everything.
	Resources [][]string
	From      netip.Addr
	Secure    bool // it came by TLS
	At        time.Time
}

// everything is the resource of requests that name none.
const everything = "*"

// ParseDocument reads an IAM policy document. Actions name operations of this API, with
// the prefix "gamelift:" and in any case, or of the queues of events ("sqs:"); one that names
// none is an error, as are members that are unknown or there twice. Without operations, any
// name will do.
func ParseDocument(text string, operations []string) (*Document, error) {
	if len(text) > maxDocument {
		return nil, fmt.Errorf("policy: the document has %d characters, over %d", len(text), maxDocument)
	}
	var raw struct {
		Version   string
		ID        string `json:"Id"`
		Statement oneOrMany[rawStatement]
	}
	if err := strictly([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if err := distinct(json.NewDecoder(strings.NewReader(text))); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if raw.Version != "2012-10-17" && raw.Version != "2008-10-17" {
		return nil, fmt.Errorf("policy: Version: want 2012-10-17, not %q", raw.Version)
	}
	if len(raw.Statement) == 0 {
		return nil, errors.New("policy: Statement: there is none")
	}
	d := &Document{Version: raw.Version}
	for i, r := range raw.Statement {
		s, err := r.read(operations)
		if err != nil {
			return nil, fmt.Errorf("policy: Statement[%d].%w", i, err)
		}
		d.Statements = append(d.Statements, s)
	}
	compact, err := json.Marshal(json.RawMessage(text))
	d.text = string(compact)
	return d, err
}

// maxDocument is IAM's largest managed policy.
const maxDocument = 6144

type rawStatement struct {
	Sid         string
	Effect      string
	Action      oneOrMany[string]
	NotAction   oneOrMany[string]
	Resource    oneOrMany[string]
	NotResource oneOrMany[string]
	Condition   map[string]map[string]oneOrMany[string]
}

// fault is what is wrong with a member.
func fault(member, format string, args ...any) error {
	return fmt.Errorf(member+": "+format, args...)
}

func (r rawStatement) read(operations []string) (Statement, error) {
	s := Statement{ID: r.Sid, Allow: r.Effect == "Allow", Resources: r.Resource, NotResources: r.NotResource}
	if r.Effect != "Allow" && r.Effect != "Deny" {
		return s, fault("Effect", "want Allow or Deny, not %q", r.Effect)
	}
	if (len(r.Action) > 0) == (len(r.NotAction) > 0) {
		return s, fault("Action", "want either Action or NotAction")
	}
	if (len(r.Resource) > 0) == (len(r.NotResource) > 0) {
		return s, fault("Resource", "want either Resource or NotResource")
	}
	var err error
	if s.Actions, err = actions("Action", r.Action, operations); err != nil {
		return s, err
	}
	if s.NotActions, err = actions("NotAction", r.NotAction, operations); err != nil {
		return s, err
	}
	for _, pattern := range slices.Concat(r.Resource, r.NotResource) {
		if pattern != everything && !strings.HasPrefix(pattern, "arn:") {
			return s, fault("Resource", "%q is neither * nor an ARN", pattern)
		}
		if strings.Contains(pattern, "${") {
			return s, fault("Resource", "%q has a variable, of which there are none here", pattern)
		}
	}
	s.conditions, err = conditions(r.Condition)
	s.addressed = len(r.Condition["IpAddress"])+len(r.Condition["NotIpAddress"]) > 0
	return s, err
}

// services are those whose operations policies are about. The first is meant where none is
// named.
var services = [...]string{"gamelift:", "sqs:", "sts:"}

// full is an operation's name with its service, in lower case.
func full(operation string) string {
	low := strings.ToLower(operation)
	if strings.Contains(low, ":") {
		return low
	}
	return services[0] + low
}

// actions reads patterns of operations and puts them in lower case. The service of a pattern
// is spelled out: "gamelift:*" is about no queue of events.
func actions(member string, patterns, operations []string) (read []string, err error) {
	for _, pattern := range patterns {
		low := strings.ToLower(pattern)
		known := low == everything
		for _, service := range services {
			known = known || strings.HasPrefix(low, service) &&
				(operations == nil || slices.ContainsFunc(operations, func(op string) bool { return glob(low, full(op)) }))
		}
		if !known {
			return nil, fault(member, "%q names no operation of this API", pattern)
		}
		read = append(read, low)
	}
	return read, nil
}

// Allows tells whether the document allows a request. A denial wins over what allows.
func (d *Document) Allows(r Request) bool {
	resources := r.Resources
	if len(resources) == 0 {
		resources = [][]string{{everything}}
	}
	operation := full(r.Operation)
	for _, names := range resources {
		allowed := false
		for i := range d.Statements {
			s := &d.Statements[i]
			if s.Allow && allowed || !s.acts(operation) || !s.about(names) || !s.holds(r) {
				continue
			}
			if !s.Allow {
				return false
			}
			allowed = true
		}
		if !allowed {
			return false
		}
	}
	return true
}

// Concerns tells whether the document allows the operation of a request on some resource,
// known or not: whoever may look at some of what there is.
func (d *Document) Concerns(r Request) bool {
	operation, some := full(r.Operation), false
	for i := range d.Statements {
		s := &d.Statements[i]
		if !s.acts(operation) || !s.holds(r) {
			continue
		}
		if !s.Allow && slices.Contains(s.Resources, everything) {
			return false
		}
		some = some || s.Allow
	}
	return some
}

func (s *Statement) acts(operation string) bool {
	if len(s.NotActions) > 0 {
		return !fits(s.NotActions, operation)
	}
	return fits(s.Actions, operation)
}

// about tells whether the statement is about a resource with these names. Excluded is one
// when any of its names is, in a statement that allows, and only when all are in one that
// denies: in doubt nothing is allowed.
func (s *Statement) about(names []string) bool {
	if len(s.NotResources) == 0 {
		return slices.ContainsFunc(names, func(name string) bool { return fits(s.Resources, name) })
	}
	excluded := func(name string) bool { return fits(s.NotResources, name) }
	if s.Allow {
		return !slices.ContainsFunc(names, excluded)
	}
	return slices.ContainsFunc(names, func(name string) bool { return !excluded(name) })
}

// holds tells whether the statement's conditions are fulfilled. Where it is not known where a
// request came from, nothing is allowed and everything denied by that.
func (s *Statement) holds(r Request) bool {
	if s.addressed && !r.From.IsValid() {
		return !s.Allow
	}
	return !slices.ContainsFunc(s.conditions, func(c condition) bool { return !c(r) })
}

func fits(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return glob(p, name) })
}

// glob tells whether a name fits a pattern, in which * is any text and ? any character.
func glob(pattern, name string) bool {
	star, from := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p, n = p+1, n+1
		case star >= 0: // the star takes one more
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// condition is one line of a statement's Condition.
type condition func(Request) bool

func conditions(raw map[string]map[string]oneOrMany[string]) (all []condition, err error) {
	for operator, keys := range raw {
		for key, values := range keys {
			c, err := conditionOf(operator, strings.ToLower(key), values)
			if err != nil {
				return nil, fault("Condition."+operator+"."+key, "%w", err)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

func conditionOf(operator, key string, values []string) (condition, error) {
	if len(values) == 0 {
		return nil, errors.New("it has no value")
	}
	switch operator + " " + key {
	case "IpAddress aws:sourceip", "NotIpAddress aws:sourceip":
		networks, err := networks(values)
		inside := operator == "IpAddress"
		return func(r Request) bool {
			from := r.From.Unmap()
			return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(from) }) == inside
		}, err
	case "DateGreaterThan aws:currenttime", "DateLessThan aws:currenttime":
		if len(values) != 1 {
			return nil, errors.New("want one instant")
		}
		at, err := time.Parse(time.RFC3339, values[0])
		after := operator == "DateGreaterThan"
		return func(r Request) bool { return after && r.At.After(at) || !after && r.At.Before(at) }, err
	case "Bool aws:securetransport":
		if len(values) != 1 || values[0] != "true" && values[0] != "false" {
			return nil, errors.New("want true or false")
		}
		return func(r Request) bool { return r.Secure == (values[0] == "true") }, nil
	}
	return nil, errors.New("this condition is not known here")
}

func networks(values []string) (list []netip.Prefix, err error) {
	for _, v := range values {
		p, err := netip.ParsePrefix(v)
		if err != nil {
			ip, ipErr := netip.ParseAddr(v)
			if ipErr != nil {
				return nil, err
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// distinct refuses JSON in which an object has two members of one name, in whatever case:
// one of them would be passed over.
func distinct(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			low := strings.ToLower(name.(string))
			if seen[low] {
				return fmt.Errorf("%q is there more than once", name)
			}
			seen[low] = true
		}
		if err := distinct(d); err != nil {
			return err
		}
	}
	_, err = d.Token() // the closing one
	return err
}

// oneOrMany is a JSON value that may stand alone or in a list.
type oneOrMany[T any] []T

// UnmarshalJSON reads either form.
func (m *oneOrMany[T]) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		var many []T
		err := strictly(text, &many)
		*m = many
		return err
	}
	var one T
	err := strictly(text, &one)
	*m = []T{one}
	return err
}

// strictly reads JSON without members that are not known.
func strictly(text []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}
