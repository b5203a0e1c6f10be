package search

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/jmespath-community/go-jmespath/pkg/functions"
	"github.com/jmespath-community/go-jmespath/pkg/interpreter"
	"github.com/jmespath-community/go-jmespath/pkg/parsing"
)

// Expression is a compiled JMESPath expression. It can be used by many
// goroutines at once.
type Expression struct {
	text string
	tree parsing.ASTNode
}

// Compile parses an expression.
func Compile(expression string) (*Expression, error) {
	text, err := plainLiterals(expression)
	if err != nil {
		return nil, fmt.Errorf("search: expression %q: %w", expression, err)
	}
	tree, err := parsing.NewParser().Parse(text)
	if err == nil {
		tree, err = asPython(tree)
	}
	if err != nil {
		return nil, fmt.Errorf("search: expression %q: %w", expression, err)
	}
	return &Expression{text: expression, tree: tree}, nil
}

// String is the expression as it was given.
func (e *Expression) String() string { return e.text }

// In evaluates the expression on an output of the service, or on any tree of
// structures, maps, slices and scalars.
func (e *Expression) In(output any) (any, error) {
	var tree any
	if output != nil {
		tree = document(reflect.ValueOf(output))
	}
	found, err := interpreter.NewInterpreter(tree, caller, nil).Execute(e.tree, tree)
	if _, ok := found.(functions.ExpRef); ok {
		err = errors.New("an expression reference is not a value")
	}
	if err != nil {
		return nil, fmt.Errorf("search: expression %q: %w", e.text, err)
	}
	return found, nil
}

// plainLiterals rewrites the literals of an expression so that the library reads
// them as Python's jmespath does. Python takes `ACTIVE` for `"ACTIVE"`, which
// many expressions for the AWS CLI use, and knows one escape in a raw string, \'.
// All literals become plain JSON in backticks.
func plainLiterals(expression string) (string, error) {
	var out strings.Builder
	for rest := expression; rest != ""; {
		i := strings.IndexAny(rest, "`'\"")
		if i < 0 {
			out.WriteString(rest)
			break
		}
		out.WriteString(rest[:i])
		quote := rest[i]
		length := closing(rest[i+1:], quote)
		if length < 0 {
			return "", fmt.Errorf("unclosed %c", quote)
		}
		inner := rest[i+1 : i+1+length]
		rest = rest[i+length+2:]

		var literal []byte
		switch quote {
		case '"': // an identifier, left alone
			out.WriteString(`"` + inner + `"`)
			continue
		case '\'':
			literal = ascii(strings.ReplaceAll(inner, `\'`, `'`))
		default:
			inner = strings.ReplaceAll(inner, "\\`", "`")
			literal = []byte(inner)
			if !json.Valid(literal) {
				literal = []byte(`"` + strings.TrimLeft(inner, " \t\n\r\v\f") + `"`)
			}
			if !json.Valid(literal) {
				return "", fmt.Errorf("bad literal `%s`", inner)
			}
		}
		out.WriteByte('`')
		out.WriteString(strings.ReplaceAll(string(literal), "`", `\u0060`))
		out.WriteByte('`')
	}
	return out.String(), nil
}

// closing is the place of the closing quote, or -1. A backslash hides the
// character after it.
func closing(s string, quote byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i
		}
	}
	return -1
}

// The functions that asPython puts in. No expression can name them, since the
// names are not identifiers.
const (
	comparing   = "\x00compare" // children: left, right, operator
	arraysOnly  = "\x00arrays only"
	valuesByKey = "\x00values by key"
)

var errExtension = errors.New("not in the JMESPath of boto3")

// asPython rewrites a tree of the library so that it evaluates as Python's
// jmespath would.
func asPython(node parsing.ASTNode) (parsing.ASTNode, error) {
	switch node.NodeType {
	case parsing.ASTArithmeticExpression, parsing.ASTArithmeticUnaryExpression, parsing.ASTLetExpression,
		parsing.ASTVariable, parsing.ASTBindings, parsing.ASTBinding, parsing.ASTRootNode:
		return node, errExtension
	default:
	}
	node.Children = slices.Clone(node.Children)
	for i, child := range node.Children {
		var err error
		if node.Children[i], err = asPython(child); err != nil {
			return node, err
		}
	}
	current := parsing.ASTNode{NodeType: parsing.ASTCurrentNode}
	tree := func(kind parsing.ASTNode, children ...parsing.ASTNode) parsing.ASTNode {
		kind.Children = children
		return kind
	}
	pipe := parsing.ASTNode{NodeType: parsing.ASTPipe}
	function := func(name string) parsing.ASTNode {
		return parsing.ASTNode{NodeType: parsing.ASTFunctionExpression, Value: name}
	}

	switch node.NodeType {
	case parsing.ASTComparator:
		// The library orders numbers only, Python strings too.
		operator, ordering := orderings[node.Value]
		if !ordering {
			return node, nil
		}
		literal := parsing.ASTNode{NodeType: parsing.ASTLiteral, Value: operator}
		return tree(function(comparing), node.Children[0], node.Children[1], literal), nil

	case parsing.ASTSubexpression:
		// The library does not call a function on null, Python does.
		if node.Children[1].NodeType == parsing.ASTFunctionExpression {
			return tree(pipe, node.Children...), nil
		}

	case parsing.ASTMultiSelectHash, parsing.ASTMultiSelectList:
		// On null the library selects nulls, Python gives null.
		return tree(parsing.ASTNode{NodeType: parsing.ASTSubexpression}, current, node), nil

	case parsing.ASTIndexExpression:
		// The library slices strings. The node must keep its shape for the
		// projection around it.
		if node.Children[1].NodeType == parsing.ASTSlice {
			node.Children[0] = tree(pipe, node.Children[0], tree(function(arraysOnly), current))
		}

	case parsing.ASTValueProjection:
		// The library goes through a map in random order and drops errors.
		left := tree(pipe, node.Children[0], tree(function(valuesByKey), current))
		return tree(parsing.ASTNode{NodeType: parsing.ASTProjection}, left, node.Children[1]), nil

	case parsing.ASTFilterProjection, parsing.ASTFlatten:
		// The library drops errors of the left side.
		left := node.Children[0]
		node.Children[0] = current
		return tree(pipe, left, node), nil
	default:
	}
	return node, nil
}

var orderings = map[any]string{
	parsing.TOKLT: "<", parsing.TOKLTE: "<=", parsing.TOKGT: ">", parsing.TOKGTE: ">=",
}

// caller has the functions of Python's jmespath and ours.
var caller = interpreter.NewFunctionCaller(pythonFunctions()...)

func pythonFunctions() []functions.FunctionEntry {
	own := map[string]functions.JpFunction{
		"contains":  contains,
		"keys":      keys,
		"to_string": toString,
		"values":    values,
	}
	standard := strings.Fields(`abs avg ceil contains ends_with floor join keys length map max max_by merge
		min min_by not_null reverse sort sort_by starts_with sum to_array to_number to_string type values`)
	var entries []functions.FunctionEntry
	for _, entry := range functions.GetDefaultFunctions() {
		if !slices.Contains(standard, entry.Name) {
			continue
		}
		if handler := own[entry.Name]; handler != nil {
			entry.Handler = handler
		}
		entries = append(entries, entry)
	}
	return append(entries,
		functions.FunctionEntry{Name: comparing, Handler: compare},
		functions.FunctionEntry{Name: arraysOnly, Handler: onlyArrays},
		functions.FunctionEntry{Name: valuesByKey, Handler: valuesOrNull},
	)
}

// compare orders two numbers or two strings. Anything else but a number and a
// string, which cannot be compared in Python either, gives null.
func compare(args []any) (any, error) {
	left, leftIsNumber := args[0].(float64)
	right, rightIsNumber := args[1].(float64)
	leftText, leftIsText := args[0].(string)
	rightText, rightIsText := args[1].(string)
	switch {
	case leftIsNumber && rightIsNumber:
		return ordered(left, right, args[2]), nil
	case leftIsText && rightIsText:
		return ordered(leftText, rightText, args[2]), nil
	case (leftIsNumber || leftIsText) && (rightIsNumber || rightIsText):
		return nil, fmt.Errorf("%v and %v have no order", args[0], args[1])
	}
	return nil, nil //nolint:nilnil // JMESPath's null
}

func ordered[T float64 | string](left, right T, operator any) bool {
	switch operator {
	case "<":
		return left < right
	case "<=":
		return left <= right
	case ">":
		return left > right
	default:
		return left >= right
	}
}

func onlyArrays(args []any) (any, error) {
	if list, ok := args[0].([]any); ok {
		return list, nil
	}
	return nil, nil //nolint:nilnil // JMESPath's null
}

func valuesOrNull(args []any) (any, error) {
	if _, ok := args[0].(map[string]any); ok {
		return values(args)
	}
	return nil, nil //nolint:nilnil // JMESPath's null
}

func values(args []any) (any, error) {
	object := args[0].(map[string]any)
	list := make([]any, 0, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		list = append(list, object[key])
	}
	return list, nil
}

func keys(args []any) (any, error) {
	list := []any{}
	for _, key := range slices.Sorted(maps.Keys(args[0].(map[string]any))) {
		list = append(list, key)
	}
	return list, nil
}

// contains of the library panics when a list has lists or objects in it.
func contains(args []any) (any, error) {
	switch in := args[0].(type) {
	case string:
		part, ok := args[1].(string)
		if !ok {
			return nil, fmt.Errorf("contains: %v is no string", args[1])
		}
		return strings.Contains(in, part), nil
	case []any:
		return slices.ContainsFunc(in, func(v any) bool { return reflect.DeepEqual(v, args[1]) }), nil
	default:
		return nil, fmt.Errorf("contains: %v is neither list nor string", args[0])
	}
}

func toString(args []any) (any, error) {
	if text, ok := args[0].(string); ok {
		return text, nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(args[0]); err != nil {
		return nil, err
	}
	return string(escaped(bytes.TrimSuffix(text.Bytes(), []byte("\n")))), nil
}

// ascii is the JSON of a string as Python writes it.
func ascii(s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has JSON
	}
	return escaped(text)
}

// escaped writes what is not ASCII in JSON as \u escapes.
func escaped(text []byte) []byte {
	var out []byte
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
