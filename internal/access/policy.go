package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Policy says what a key may call: by a list of terms, or by a document in the form of
// IAM's. A term is "full", "read-only", "game-server", "console", the name of an operation, or
// a pattern of names with asterisks ("Describe*"); terms allow their operations on every
// resource. The zero Policy allows nothing.
type Policy struct {
	Terms    []string
	Document *Document // nil: the terms say it
}

// Terms that stand for many operations.
const (
	Full = "full"
	// ReadOnly allows what changes nothing and hands out no credentials: with those of
	// handers a reader could make himself a game server or log on to a host.
	ReadOnly = "read-only"
	// GameServer allows what a machine with game servers calls: to register itself, to get
	// its tokens, to leave.
	GameServer = "game-server"
	// Console allows what people do in the console: to read, and to end game sessions.
	Console = "console"
)

// roles are the terms that are no names of operations.
var roles = [...]string{Full, ReadOnly, GameServer, Console}

// ofConsoles are the operations of Console besides those of ReadOnly.
var ofConsoles = [...]string{"TerminateGameSession"}

// ofGameServers are the operations of GameServer.
var ofGameServers = [...]string{"RegisterCompute", "DeregisterCompute", "DescribeCompute", "GetComputeAuthToken"}

// readers begin the names of operations that change nothing.
var readers = [...]string{"Describe", "Get", "List", "Search", "Validate", "Resolve"}

// handers are readers that hand out credentials.
var handers = [...]string{"GetComputeAccess", "GetComputeAuthToken", "GetInstanceAccess"}

// ParsePolicy reads a policy: a document, or its terms as a JSON list, or separated by
// commas. Names may have the prefix "gamelift:" that IAM policies give them. Operations are all there are; a
// term that names none of them is an error, and so is a policy without terms.
func ParsePolicy(text string, operations []string) (Policy, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		d, err := ParseDocument(text, operations)
		return Policy{Document: d}, err
	}
	terms, err := split(text)
	if err != nil {
		return Policy{}, err
	}
	var p Policy
	var unknown []string
	for _, term := range terms {
		term = strings.TrimPrefix(strings.TrimSpace(term), "gamelift:")
		if !slices.Contains(roles[:], term) && !slices.ContainsFunc(operations, func(op string) bool { return glob(term, op) }) {
			unknown = append(unknown, fmt.Sprintf("%q", term))
			continue
		}
		p.Terms = append(p.Terms, term)
	}
	if len(unknown) > 0 {
		return Policy{}, fmt.Errorf("policy: no operation is named %s", strings.Join(unknown, ", "))
	}
	slices.Sort(p.Terms)
	p.Terms = slices.Compact(p.Terms)
	return p, nil
}

func split(text string) ([]string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errors.New(`policy: want "full", "read-only" or a list of operations`)
	}
	if text[0] != '[' && text[0] != '"' {
		return strings.Split(text, ","), nil
	}
	if text[0] == '"' {
		text = "[" + text + "]"
	}
	var terms []string
	if err := json.Unmarshal([]byte(text), &terms); err != nil {
		return nil, fmt.Errorf("policy: not a JSON list of strings: %w", err)
	}
	if len(terms) == 0 {
		return nil, errors.New("policy: the list is empty")
	}
	return terms, nil
}

// Concerns tells whether the policy allows the operation of a request on some resource.
func (p Policy) Concerns(r Request) bool {
	if p.Document != nil {
		return p.Document.Concerns(r)
	}
	return p.Allows(r)
}

// Allows tells whether the policy allows a request.
func (p Policy) Allows(r Request) bool {
	if p.Document != nil {
		return p.Document.Allows(r)
	}
	return slices.ContainsFunc(p.Terms, func(term string) bool {
		switch term {
		case Full:
			return true
		case ReadOnly:
			return reads(r.Operation)
		case GameServer:
			return slices.Contains(ofGameServers[:], r.Operation)
		case Console:
			return reads(r.Operation) || slices.Contains(ofConsoles[:], r.Operation)
		default:
			return glob(term, r.Operation)
		}
	})
}

// String is the policy as ParsePolicy reads it.
func (p Policy) String() string {
	if p.Document != nil {
		return p.Document.text
	}
	return strings.Join(p.Terms, ",")
}

// MarshalJSON is the document, or the list of terms.
func (p Policy) MarshalJSON() ([]byte, error) {
	if p.Document != nil {
		return []byte(p.Document.text), nil
	}
	return json.Marshal(append([]string{}, p.Terms...))
}

// UnmarshalJSON reads what MarshalJSON wrote, also when an operation it names is not known
// any more.
func (p *Policy) UnmarshalJSON(text []byte) (err error) {
	if strings.HasPrefix(string(text), "{") {
		p.Document, err = ParseDocument(string(text), nil)
		return err
	}
	return json.Unmarshal(text, &p.Terms)
}

func reads(operation string) bool {
	return slices.ContainsFunc(readers[:], func(verb string) bool { return strings.HasPrefix(operation, verb) }) &&
		!slices.Contains(handers[:], operation)
}
