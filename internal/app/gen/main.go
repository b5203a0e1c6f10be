// Command gen writes docs/operations.md: every operation with how much of it is built, from
// the index page of package app, the service model, the source of the rooms and the notes
// kept here. It knows nothing that one of them could tell it.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/model"
)

func main() {
	root := flag.String("root", "../..", "the repository")
	flag.Parse()
	page, err := generate(os.DirFS(*root), notes)
	if err == nil {
		err = os.WriteFile(path.Join(*root, "docs/operations.md"), page, 0o644)
	}
	if err != nil {
		slog.Error("generate the table of operations", "error", err)
		os.Exit(1)
	}
}

// group is a run of lines of the index page under one comment.
type group struct {
	title string
	ops   []operation
}

// operation is one line of the index page.
type operation struct {
	name  string
	built bool
	room  string // the folder of its method, from the repository's root; "" when it is not built
}

// generate makes the page. The same sources give the same bytes.
func generate(root fs.FS, notes map[string]note) ([]byte, error) {
	groups, err := index(root)
	if err != nil {
		return nil, err
	}
	if err := check(groups, notes); err != nil {
		return nil, err
	}
	if err := locate(root, groups); err != nil {
		return nil, err
	}
	return write(groups, notes), nil
}

const indexPage = "internal/app/operations.go"

// index reads the index page: a comment begins a group, a call is an operation.
func index(root fs.FS) ([]group, error) {
	text, err := fs.ReadFile(root, indexPage)
	if err != nil {
		return nil, err
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, indexPage, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var groups []group
	comments := parsed.Comments
	ast.Inspect(parsed, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		op, ok := lineOf(call)
		if !ok {
			return true
		}
		for len(comments) > 0 && comments[0].Pos() < call.Pos() {
			title, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(comments[0].Text()), "."), ":")
			groups = append(groups, group{title: title})
			comments = comments[1:]
		}
		last := &groups[len(groups)-1]
		last.ops = append(last.ops, op)
		return false
	})
	return slices.DeleteFunc(groups, func(g group) bool { return len(g.ops) == 0 }), nil
}

// lineOf reads awsapi.Op(room.Name) and awsapi.Unbuilt[gamelift.NameInput, …]().
func lineOf(call *ast.CallExpr) (op operation, ok bool) {
	if generic, isGeneric := call.Fun.(*ast.IndexListExpr); isGeneric {
		in, isInput := generic.Indices[0].(*ast.SelectorExpr)
		if !isInput || !selects(generic.X, "Unbuilt") {
			return op, false
		}
		op.name, ok = strings.CutSuffix(in.Sel.Name, "Input")
		return op, ok
	}
	if !selects(call.Fun, "Op") || len(call.Args) != 1 {
		return op, false
	}
	method, ok := call.Args[0].(*ast.SelectorExpr)
	if !ok {
		return op, false
	}
	return operation{name: method.Sel.Name, built: true}, true
}

func selects(e ast.Expr, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == name
}

// check holds the index page to the model and the notes to the index page.
func check(groups []group, notes map[string]note) error {
	built := map[string]bool{}
	for _, g := range groups {
		for _, op := range g.ops {
			if model.Find(op.name) == nil {
				return fmt.Errorf("%s: the model has no operation %s", indexPage, op.name)
			}
			built[op.name] = op.built
		}
	}
	if n := len(model.Operations); len(built) != n {
		return fmt.Errorf("%s has %d operations, the model %d", indexPage, len(built), n)
	}
	for name, n := range notes {
		is, known := built[name]
		switch {
		case !known:
			return fmt.Errorf("the note on %s is on no operation", name)
		case !is:
			return fmt.Errorf("the note on %s is on an operation that is not built", name)
		case n == note{}:
			return fmt.Errorf("the note on %s says nothing", name)
		}
	}
	return nil
}

// locate finds the methods of the rooms that carry operations out.
func locate(root fs.FS, groups []group) error {
	at := map[string]string{}
	err := fs.WalkDir(root, "internal", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			rest, ok := bytes.CutPrefix(line, []byte("func (s *Service) "))
			if method, _, isCall := bytes.Cut(rest, []byte("(")); ok && isCall && model.Find(string(method)) != nil {
				at[string(method)] = path.Dir(name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range groups {
		for i, op := range g.ops {
			if !op.built {
				continue
			}
			if g.ops[i].room = at[op.name]; g.ops[i].room == "" {
				return fmt.Errorf("no room has a method %s", op.name)
			}
		}
	}
	return nil
}

// How much of an operation is there.
const (
	whole  = "whole"
	partly = "partly"
	notYet = "not yet"
)

func depth(op operation, n note) string {
	switch {
	case !op.built:
		return notYet
	case n.Missing != "":
		return partly
	}
	return whole
}

const head = `<!-- Code generated by internal/app/gen; DO NOT EDIT. Notes are in internal/app/gen/notes.go. -->

# The operations

All %d operations of the Amazon GameLift Servers API, version %s, and how much of each is here: %d whole, %d partly, %d not yet.

- **whole**: takes every member, checks every constraint of the service model, and does what AWS documents. What is otherwise is said.
- **partly**: the same, but something that AWS does is missing, and is named.
- **not yet**: reads and checks its input, and then answers ` + "`InternalServiceException`" + ` with its own name.

All of them are reached by AWS JSON 1.1 and by Smithy RPC v2 CBOR. *Pages* are those that take a NextToken ([paginate](../paginate) ranges
over them). *Errors* is how many exceptions the operation declares: it answers with these, with the common errors of every AWS service,
and with no others. *Policies* are the kinds of resources by which the policy of an access key can tell requests apart
([keys](running.md)); where there are none, a policy allows the operation on ` + "`*`" + `.
`

// write makes the page's text.
func write(groups []group, notes map[string]note) []byte {
	count := map[string]int{}
	for _, g := range groups {
		for _, op := range g.ops {
			count[depth(op, notes[op.name])]++
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, head, len(model.Operations), model.APIVersion, count[whole], count[partly], count[notYet])
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| operation | | otherwise than on AWS | pages | errors | policies |\n|---|---|---|---|---|---|\n", g.title)
		for _, op := range g.ops {
			row(&b, op, notes[op.name])
		}
	}
	return b.Bytes()
}

func row(b *bytes.Buffer, op operation, n note) {
	name := "`" + op.name + "`"
	if op.room != "" {
		name = "[" + name + "](../" + op.room + ")"
	}
	var text []string
	if n.Missing != "" {
		text = append(text, "Missing: "+n.Missing+".")
	}
	if n.Differs != "" {
		text = append(text, n.Differs)
	}
	pages := ""
	if pageable(op.name) {
		pages = "yes"
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %d | %s |\n", name, depth(op, n), strings.Join(text, " "), pages,
		len(model.Find(op.name).Errors), strings.Join(awsapi.ResourceKinds(op.name, input(op.name)), ", "))
}

// pageable tells whether an operation takes and gives a NextToken.
func pageable(name string) bool {
	_, takes := input(name).FieldByName("NextToken")
	if !takes {
		return false
	}
	method, _ := reflect.TypeFor[*gamelift.Client]().MethodByName(name)
	_, gives := method.Type.Out(0).Elem().FieldByName("NextToken")
	return gives
}

// input is the type of an operation's input.
func input(name string) reflect.Type {
	method, ok := reflect.TypeFor[*gamelift.Client]().MethodByName(name)
	if !ok {
		panic("the SDK has no operation " + name) // the model and the SDK are of one version
	}
	return method.Type.In(2).Elem()
}
