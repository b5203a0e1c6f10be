package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

const module = "github.com/matchyard/matchyard/"

// floors are the packages from the ground up: each may import those before it and no
// others. A package's subpackages stand on its floor.
var floors = []string{
	// Public, and without anything of ours.
	"paginate",
	// The ground.
	"internal/expect", "internal/store", "internal/blob", "internal/apierr", "internal/arn", "internal/seal",
	// Pure.
	"internal/page", "internal/event", "internal/flexmatch", "examples/flexmatch", "internal/sim", "internal/hostmsg", "internal/archive",
	// Rooms.
	"internal/access", "internal/tag", "internal/build", "internal/fleet", "internal/container", "internal/fleetiq",
	"internal/compute", "internal/session", "internal/host", "internal/scaling", "internal/placement", "internal/matchmaking",
	// Edges.
	"internal/trace", "internal/metrics", "internal/model", "internal/sigv4", "internal/awsapi", "internal/sts", "internal/gateway", "internal/console", "internal/webhook", "internal/listen", "internal/depot", "internal/beacon",
	// The whole.
	"internal/cli", "internal/agent", "internal/config", "internal/app",
	// What drives the whole.
	"matchyardtest", "internal/testkit", "internal/demo", "internal/bench", "internal/transfer", "internal/doctor", "internal/term", "internal/lint",
	"examples", "conformance", "cmd", "scripts",
}

// rooms own the product's nouns; what they may not do is in roomRules.
var rooms = []string{
	"internal/access", "internal/tag", "internal/build", "internal/fleet", "internal/container", "internal/fleetiq",
	"internal/compute", "internal/session", "internal/host", "internal/scaling", "internal/placement", "internal/matchmaking",
}

// file is a parsed Go file that is not a test.
type file struct {
	name string // path from the repository's root
	pkg  string // its folder
	ast  *ast.File
}

// files parses all Go files of the module but tests.
func files(t *testing.T, root fs.FS) []file {
	t.Helper()
	var all []file
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(root, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, file{name, path.Dir(name), parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// enter skips folders that Go skips, and modules of their own.
func enter(root fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// imported are the paths a file imports.
func imported(f file) []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		paths = append(paths, pathOf(spec))
	}
	return paths
}

// named maps the names by which a file uses packages to their paths.
func named(f file) map[string]string {
	names := map[string]string{}
	for _, spec := range f.ast.Imports {
		name := path.Base(pathOf(spec))
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = pathOf(spec)
	}
	return names
}

func pathOf(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		panic(err) // the parser let it through
	}
	return p
}

// floorOf is the place of a package in floors, or -1.
func floorOf(pkg string) int {
	return slices.IndexFunc(floors, func(f string) bool { return pkg == f || strings.HasPrefix(pkg, f+"/") })
}

func upwardImports(all []file) (faults []string) {
	for _, f := range all {
		own := floorOf(f.pkg)
		if own < 0 {
			faults = append(faults, f.name+": package "+f.pkg+" is on no floor; add it to floors")
			continue
		}
		for _, p := range imported(f) {
			pkg, ours := strings.CutPrefix(p, module)
			if to := floorOf(pkg); ours && (to < 0 || to > own) {
				faults = append(faults, fmt.Sprintf("%s: %s may not import %s, which is not below it", f.name, f.pkg, pkg))
			}
		}
	}
	return faults
}

func packageComments(all []file) (faults []string) {
	with := map[string][]string{}
	for _, f := range all {
		if _, seen := with[f.pkg]; !seen {
			with[f.pkg] = nil
		}
		if f.ast.Doc != nil {
			with[f.pkg] = append(with[f.pkg], f.name)
		}
	}
	for pkg, names := range with {
		if len(names) != 1 {
			faults = append(faults, fmt.Sprintf("%s: %d package comments %v, want one", pkg, len(names), names))
		}
	}
	return faults
}

// forbidden are the functions of other packages that rooms may not use.
var forbidden = map[string][]string{
	"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
	"context": {"Background", "TODO"},
}

func roomRules(all []file) (faults []string) {
	for _, f := range all {
		if !slices.ContainsFunc(rooms, func(r string) bool { return f.pkg == r || strings.HasPrefix(f.pkg, r+"/") }) {
			continue
		}
		names := named(f)
		for _, p := range imported(f) {
			if p == "net/http" || strings.HasPrefix(p, "net/http/") {
				faults = append(faults, f.name+": rooms do not import net/http")
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				faults = append(faults, f.name+": rooms do not start goroutines")
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(forbidden[names[x.Name]], n.Sel.Name) {
					faults = append(faults, fmt.Sprintf("%s: rooms do not use %s.%s", f.name, x.Name, n.Sel.Name))
				}
			}
			return true
		})
	}
	return faults
}

// operations are the names of the model's operations, taken from the SDK's client.
func operations() []string {
	var names []string
	for m := range reflect.TypeFor[*gamelift.Client]().Methods() {
		// func(client, context, *XInput, ...options)
		if m.Type.NumIn() == 4 && m.Type.IsVariadic() && m.Type.In(2).Elem().Name() == m.Name+"Input" {
			names = append(names, m.Name)
		}
	}
	return names
}

// missingOperations are those the index page does not name exactly once, be it as a method
// (fleets.CreateFleet) or by its input (gamelift.CreateFleetInput).
func missingOperations(index file) (faults []string) {
	count := map[string]int{}
	ast.Inspect(index.ast, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			count[strings.TrimSuffix(s.Sel.Name, "Input")]++
		}
		return true
	})
	for _, name := range operations() {
		if count[name] != 1 {
			faults = append(faults, fmt.Sprintf("%s: %s stands there %d times, want once", index.name, name, count[name]))
		}
	}
	return faults
}

func report(t *testing.T, faults []string) {
	t.Helper()
	slices.Sort(faults)
	for _, f := range faults {
		t.Error(f)
	}
}

// repository is the root of the module, two folders above this package.
func repository() fs.FS { return os.DirFS("../..") }

func TestImportsPointDown(t *testing.T)    { report(t, upwardImports(files(t, repository()))) }
func TestOnePackageComment(t *testing.T)   { report(t, packageComments(files(t, repository()))) }
func TestRoomsKeepTheirRules(t *testing.T) { report(t, roomRules(files(t, repository()))) }

func TestEveryOperationIsOnTheIndexPage(t *testing.T) {
	if n := len(operations()); n != 120 {
		t.Fatalf("the SDK has %d operations, want 120", n)
	}
	const name = "internal/app/operations.go"
	all := files(t, repository())
	at := slices.IndexFunc(all, func(f file) bool { return f.name == name })
	if at < 0 {
		if slices.ContainsFunc(all, func(f file) bool { return f.pkg == "internal/app" }) {
			t.Fatalf("there is no %s", name)
		}
		return // nothing is wired yet
	}
	report(t, missingOperations(all[at]))
}

// TestFaultsAreFound holds the checks themselves to sources that break each rule.
func TestFaultsAreFound(t *testing.T) {
	root := fstest.MapFS{}
	for name, text := range map[string]string{
		"internal/tag/tag.go":           "// Package tag is right.\npackage tag\nimport (\n\"time\"\n_ \"" + module + "internal/store/storetest\"\n)\nvar x = time.Second",
		"internal/tag/up.go":            "package tag\nimport _ \"" + module + "internal/fleet\"\nimport _ \"time\"",
		"internal/fleet/a.go":           "// Package fleet has two comments.\npackage fleet\nimport \"net/http\"\nvar c http.Client",
		"internal/fleet/b.go":           "// Package fleet is here again.\npackage fleet\nimport clock \"time\"\nvar n = clock.Now()",
		"internal/session/a.go":         "package session\nimport \"context\"\nfunc f() { go f(); _ = context.Background() }",
		"internal/awsapi/a.go":          "// Package awsapi is an edge.\npackage awsapi\nimport (\"time\"; \"net/http\")\nvar (n = time.Now(); c http.Client)\nfunc f() { go f() }",
		"internal/elsewhere/a.go":       "// Package elsewhere is new.\npackage elsewhere",
		"internal/tag/tag_test.go":      "package tag\nimport _ \"" + module + "cmd\"",
		"internal/tag/testdata/x.go":    "package broken\nimport _ \"" + module + "cmd\"",
		"tools/go.mod":                  "module tools",
		"tools/tool.go":                 "package tool",
		"internal/app/operations.go":    "// Package app wires.\npackage app\nvar all = []any{fleets.CreateFleet, unbuilt[gamelift.DeleteFleetInput, gamelift.DeleteFleetOutput](), fleets.ListFleets, fleets.ListFleets}",
		"internal/storetest2/doc.go":    "// Package storetest2 is not below internal/store.\npackage storetest2",
		"cmd/matchyard/main.go":         "// Command matchyard is on top.\npackage main\nimport _ \"" + module + "internal/app\"",
		"internal/store/store.go":       "// Package store is the ground.\npackage store",
		"internal/store/storetest/a.go": "// Package storetest stands on store.\npackage storetest\nimport _ \"" + module + "internal/store\"",
	} {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	all := files(t, root)
	wants := func(what string, got []string, want ...string) {
		t.Helper()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	wants("imports", upwardImports(all),
		"internal/elsewhere/a.go: package internal/elsewhere is on no floor; add it to floors",
		"internal/storetest2/doc.go: package internal/storetest2 is on no floor; add it to floors",
		"internal/tag/up.go: internal/tag may not import internal/fleet, which is not below it")
	wants("comments", packageComments(all),
		"internal/fleet: 2 package comments [internal/fleet/a.go internal/fleet/b.go], want one",
		"internal/session: 0 package comments [], want one")
	wants("rooms", roomRules(all),
		"internal/fleet/a.go: rooms do not import net/http",
		"internal/fleet/b.go: rooms do not use clock.Now",
		"internal/session/a.go: rooms do not start goroutines",
		"internal/session/a.go: rooms do not use context.Background")

	index := all[slices.IndexFunc(all, func(f file) bool { return f.name == "internal/app/operations.go" })]
	faults := missingOperations(index)
	if len(faults) != 118 || !slices.Contains(faults, "internal/app/operations.go: ListFleets stands there 2 times, want once") {
		t.Errorf("operations: %d faults, want 118, one of them of ListFleets", len(faults))
	}
}
