package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Policy says which operations a key may call: those that any of its terms allows. A term
// is "full", "read-only", the name of an operation, or a pattern of names with asterisks
// ("Describe*"). The zero Policy allows nothing.
type Policy []string

// Terms that stand for many operations.
const (
	Full = "full"
	// ReadOnly allows what changes nothing and hands out no credentials: with those of
	// handers a reader could make himself a game server or log on to a host.
	ReadOnly = "read-only"
)

// readers begin the names of operations that change nothing.
var readers = [...]string{"Describe", "Get", "List", "Search", "Validate", "Resolve"}

// handers are readers that hand out credentials.
var handers = [...]string{"GetComputeAccess", "GetComputeAuthToken", "GetInstanceAccess"}

// ParsePolicy reads a policy: its terms as a JSON list, or separated by commas. Names may
// have the prefix "gamelift:" that IAM policies give them. Operations are all there are; a
// term that names none of them is an error, and so is a policy without terms.
func ParsePolicy(text string, operations []string) (Policy, error) {
	terms, err := split(text)
	if err != nil {
		return nil, err
	}
	var p Policy
	var unknown []string
	for _, term := range terms {
		term = strings.TrimPrefix(strings.TrimSpace(term), "gamelift:")
		if term != Full && term != ReadOnly && !slices.ContainsFunc(operations, func(op string) bool { return match(term, op) }) {
			unknown = append(unknown, fmt.Sprintf("%q", term))
			continue
		}
		p = append(p, term)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("policy: no operation is named %s", strings.Join(unknown, ", "))
	}
	slices.Sort(p)
	return slices.Compact(p), nil
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

// Allows tells whether the policy allows an operation.
func (p Policy) Allows(operation string) bool {
	return slices.ContainsFunc(p, func(term string) bool {
		switch term {
		case Full:
			return true
		case ReadOnly:
			return reads(operation)
		default:
			return match(term, operation)
		}
	})
}

// String is the policy as ParsePolicy reads it.
func (p Policy) String() string { return strings.Join(p, ",") }

func reads(operation string) bool {
	return slices.ContainsFunc(readers[:], func(verb string) bool { return strings.HasPrefix(operation, verb) }) &&
		!slices.Contains(handers[:], operation)
}

// match tells whether a name fits a pattern, in which an asterisk is any text.
func match(pattern, name string) bool {
	first, rest, more := strings.Cut(pattern, "*")
	if !more {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	for ok && more {
		first, rest, more = strings.Cut(rest, "*")
		if !more { // the last piece ends the name
			return strings.HasSuffix(name, first)
		}
		_, name, ok = strings.Cut(name, first)
	}
	return ok
}
