// Package model holds the facts of the Amazon GameLift service model, API version
// 2015-10-01: the 120 operations, their shapes and every constraint on them, as Go tables
// generated from gamelift-2015-10-01.json. It knows no Go type of the SDK, no wire format
// and no request.
package model

//go:generate go run ./gen -in gamelift-2015-10-01.json -out tables_gen.go

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// APIVersion is the version of the service model.
const APIVersion = "2015-10-01"

// TargetPrefix is what stands before the dot in X-Amz-Target, and the service's name in
// the paths of Smithy RPC v2 CBOR.
const TargetPrefix = "GameLift"

// SigningName is the service in the credential scope of a signature.
const SigningName = "gamelift"

// Operation is one operation of the service.
type Operation struct {
	Name   string
	Input  *Shape
	Output *Shape   // nil for the six operations without output
	Errors []string // the exceptions it declares, sorted
}

// Declares tells whether the operation declares the exception.
func (o *Operation) Declares(exception string) bool {
	_, ok := slices.BinarySearch(o.Errors, exception)
	return ok
}

// ReadOnly tells whether the operation only looks: its name begins with Describe, Get,
// List, Search, Validate or Resolve. GetComputeAuthToken and the like hand out something
// but change nothing that lasts.
func (o *Operation) ReadOnly() bool {
	for _, verb := range [...]string{"Describe", "Get", "List", "Search", "Validate", "Resolve"} {
		if strings.HasPrefix(o.Name, verb) {
			return true
		}
	}
	return false
}

// Find returns the operation of that name, or nil.
func Find(name string) *Operation {
	i, ok := slices.BinarySearchFunc(Operations, name, func(o Operation, name string) int {
		return strings.Compare(o.Name, name)
	})
	if !ok {
		return nil
	}
	return &Operations[i]
}

// IsException tells whether the model has an exception of that name.
func IsException(name string) bool {
	i, ok := slices.BinarySearchFunc(Shapes, name, func(s *Shape, name string) int {
		return strings.Compare(s.Name, name)
	})
	return ok && Shapes[i].Exception
}

// Kind is the type of a shape.
type Kind uint8

// The kinds the model uses. It has no unions, documents or recursive shapes.
const (
	Structure Kind = iota + 1
	List
	Map
	String
	Integer // 32 bits
	Long    // 64 bits
	Float   // 32 bits
	Double
	Boolean
	Timestamp
	Blob
)

// Shape is a type of the model with the constraints on its values.
type Shape struct {
	Name      string
	Kind      Kind
	Sensitive bool // values are neither logged nor repeated in messages
	Exception bool

	// Min and Max bound the value of numbers and the length of all else: code points of
	// strings, bytes of blobs, elements of lists and maps.
	HasMin, HasMax bool
	Min, Max       float64

	Pattern *Pattern
	Enum    []string // sorted
	Members []Member // of a structure, sorted by name
	Key     *Shape   // of a map
	Element *Shape   // of a list or the values of a map
}

// Member is one member of a structure.
type Member struct {
	Name     string
	Shape    *Shape
	Required bool
}

// Pattern is a regular expression the whole of a string must match.
type Pattern struct {
	Source string // as the model spells it

	expr  string // as Go's regexp spells it, without anchors
	once  sync.Once
	match func(string) bool
}

// Match tells whether the whole of s matches. The expression is compiled when it is first
// needed: compiling all of them would cost a start more than a request ever costs.
func (p *Pattern) Match(s string) bool {
	p.once.Do(func() { p.match = p.compile() })
	return p.match(s)
}

// compile prefers a table of characters, since most patterns ask only that a string be
// made of certain ones: fifty times faster than the regexp machine.
func (p *Pattern) compile() func(string) bool {
	if class, ok := classOf(p.expr); ok {
		return class.match
	}
	return regexp.MustCompile(`^(?:` + p.expr + `)$`).MatchString
}
