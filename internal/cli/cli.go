// Package cli makes commands, flags, arguments, environment variables and help of one
// struct's tags. It knows nothing of what commands do: Parse says which one was asked for,
// and its struct is filled.
//
// It is small and ours because of what the linker makes of it: a library that looks up
// methods by names it is told keeps every exported method of the whole program, which was a
// fifth of it.
//
// Tags, of fields of type string, bool, int, int64, uint64, float64, time.Duration,
// []string and map[string]string:
//
//	cmd:""          a command, whose struct has its flags, arguments and commands
//	arg:""          an argument; optional:"" may be left out; a list takes all that follow
//	passthrough:""  of a list: takes what follows unread, flags too
//	embed:""        a struct's fields belong here, as those of an embedded struct do
//	name, short     in place of its yaml tag, or of the field's name in lower case with hyphens
//	default, enum   a value, and those that are taken, separated by commas
//	required:""     a flag that must be given
//	xor             flags of one such name exclude each other
//	type            path or existingdir: "~" and relative paths are made absolute
//	env             variables that say it, the first that is set; "-" for none; of flags, by
//	                default, the prefix given to New and the name
//	placeholder, help, hidden:""   for those who read
//	cli:"-"         not for the command line
package cli

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Node is the program or one of its commands.
type Node struct {
	Name     string
	Help     string
	Detail   string // what the command's Help method says
	Hidden   bool
	Children []*Node
	Args     []*Value

	parent *Node
	flags  []*Value
	target any // pointer to its struct
}

// Value is a flag or an argument.
type Value struct {
	Name, Help, Default, Placeholder string
	Short                            string
	Enum                             []string
	Hidden                           bool

	isArg, required, passthrough bool
	env                          []string
	xor, kind                    string
	target                       reflect.Value
	given                        bool
}

// IsBool tells whether a flag needs no value.
func (v *Value) IsBool() bool { return v.target.Kind() == reflect.Bool }

// Context is a command line that was read.
type Context struct {
	Root    *Node
	Command *Node
	Help    bool // help was asked for, and nothing else was read
}

// New reads the tags of the struct that into points to. It panics when they are not as the
// package comment says. Flags have environment variables that begin with prefix.
func New(name, help, prefix string, into any) *Context {
	root := &Node{Name: name, Help: help, target: into}
	root.read(reflect.ValueOf(into).Elem(), prefix)
	return &Context{Root: root, Command: root}
}

// read takes in the fields of a struct.
func (n *Node) read(s reflect.Value, prefix string) {
	for i := range s.NumField() {
		field, target := s.Type().Field(i), s.Field(i)
		_, isCommand := field.Tag.Lookup("cmd")
		_, embedded := field.Tag.Lookup("embed")
		switch {
		case field.Tag.Get("cli") == "-", !field.IsExported() && !field.Anonymous:
		case field.Anonymous || embedded:
			n.read(target, prefix)
		case isCommand:
			n.Children = append(n.Children, n.command(field, target, prefix))
		default:
			n.add(valueOf(field, target, prefix))
		}
	}
}

func (n *Node) command(field reflect.StructField, target reflect.Value, prefix string) *Node {
	_, hidden := field.Tag.Lookup("hidden")
	c := &Node{Name: nameOf(field), Help: field.Tag.Get("help"), Hidden: hidden, parent: n, target: target.Addr().Interface()}
	if h, ok := c.target.(interface{ Help() string }); ok {
		c.Detail = h.Help()
	}
	c.read(target, prefix)
	return c
}

func (n *Node) add(v *Value) {
	if v.isArg {
		n.Args = append(n.Args, v)
	} else {
		n.flags = append(n.flags, v)
	}
}

func valueOf(field reflect.StructField, target reflect.Value, prefix string) *Value {
	tag := field.Tag
	has := func(key string) bool { _, ok := tag.Lookup(key); return ok }
	v := &Value{
		Name: nameOf(field), Help: tag.Get("help"), Default: tag.Get("default"), Placeholder: tag.Get("placeholder"), Short: tag.Get("short"),
		Hidden: has("hidden"), isArg: has("arg"), passthrough: has("passthrough"), xor: tag.Get("xor"), kind: tag.Get("type"), target: target,
	}
	if e := tag.Get("enum"); e != "" {
		v.Enum = strings.Split(e, ",")
	}
	v.required = has("required") || v.isArg && !has("optional")
	switch env := tag.Get("env"); {
	case env == "-", env == "" && v.isArg:
	case env == "":
		v.env = []string{prefix + "_" + strings.ToUpper(strings.ReplaceAll(v.Name, "-", "_"))}
	default:
		v.env = strings.Split(env, ",")
	}
	if !v.takes() {
		panic(fmt.Sprintf("cli: %s is a %s", field.Name, field.Type))
	}
	if v.Default != "" {
		if err := v.replace(v.Default); err != nil {
			panic(fmt.Sprintf("cli: default of %s: %v", field.Name, err))
		}
	}
	return v
}

// nameOf is the name tag, or the field's name as in "DryRun": dry-run.
func nameOf(field reflect.StructField) string {
	if name := field.Tag.Get("name"); name != "" {
		return name
	}
	if name, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); name != "" {
		return name
	}
	var b strings.Builder
	upper := func(i int) bool { return i < len(field.Name) && field.Name[i] >= 'A' && field.Name[i] <= 'Z' }
	for i := range len(field.Name) {
		if i > 0 && upper(i) && (!upper(i-1) || i+1 < len(field.Name) && !upper(i+1)) {
			b.WriteByte('-')
		}
		b.WriteByte(field.Name[i])
	}
	return strings.ToLower(b.String())
}

// Target is the pointer to the struct of a command.
func (n *Node) Target() any { return n.target }

// Flags are those of a command and of the commands it belongs to, its own first; help is
// one of them all.
func (n *Node) Flags() []*Value {
	list := []*Value{helpFlag}
	for ; n != nil; n = n.parent {
		list = append(list, n.flags...)
	}
	return list
}

var helpFlag = &Value{Name: "help", Short: "h", Help: "Show context-sensitive help.", target: reflect.ValueOf(false)}

// Child is the command of that name, or nil.
func (n *Node) Child(name string) *Node {
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Flag is the flag that a word names, as in "--name", "--name=value" or "-n"; nil for none.
func (n *Node) Flag(word string) *Value {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	long := strings.HasPrefix(word, "--")
	for _, f := range n.Flags() {
		if long && f.Name == name || !long && f.Short != "" && f.Short == name {
			return f
		}
	}
	return nil
}

// Given are the flags that the command line itself has, by name.
func (c *Context) Given() map[string]any {
	flags := map[string]any{}
	for _, f := range c.Command.Flags() {
		if f.given {
			flags[f.Name] = f.target.Interface()
		}
	}
	return flags
}

// Parse reads a command line, and where it says nothing the environment, into the structs.
// It is called once.
func (c *Context) Parse(args []string) error {
	p := parser{node: c.Root, rest: args}
	err := p.run()
	c.Command, c.Help = p.node, p.help
	if err != nil || p.help {
		return err
	}
	if len(p.node.Children) > 0 {
		var names []string
		for _, child := range p.node.Children {
			if !child.Hidden {
				names = append(names, fmt.Sprintf("%q", child.Name))
			}
		}
		return fmt.Errorf("expected one of %s", strings.Join(names, ", "))
	}
	if err := c.readEnvironment(); err != nil {
		return err
	}
	return c.check()
}

func (c *Context) readEnvironment() error {
	for _, f := range c.Command.Flags() {
		for _, name := range f.env {
			text, ok := os.LookupEnv(name)
			if !ok || f.given {
				continue
			}
			if err := f.replace(text); err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
			f.required = false
			break
		}
	}
	return nil
}

// check looks for what is missing, and for what excludes each other.
func (c *Context) check() error {
	var missing []string
	by := map[string]string{}
	for _, f := range c.Command.Flags() {
		if f.required && !f.given {
			missing = append(missing, f.summary())
		}
		if f.given && f.xor != "" {
			if other, taken := by[f.xor]; taken {
				return fmt.Errorf("--%s and --%s can't be used together", other, f.Name)
			}
			by[f.xor] = f.Name
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing flags: %s", strings.Join(missing, ", "))
	}
	for _, a := range c.Command.Args {
		if a.required && !a.given {
			missing = append(missing, a.summary())
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("expected %q", strings.Join(missing, " "))
	}
	return nil
}

// parser is at some word of a command line.
type parser struct {
	node *Node
	rest []string
	arg  int // how many of the node's arguments have theirs
	help bool
}

func (p *parser) run() error {
	for len(p.rest) > 0 && !p.help {
		if p.arg == 0 && len(p.node.Args) > 0 && p.node.Args[0].passthrough {
			return p.all(p.node.Args[0])
		}
		word := p.rest[0]
		p.rest = p.rest[1:]
		if err := p.word(word); err != nil {
			return err
		}
	}
	return nil
}

// all gives an argument the rest of the line as it is.
func (p *parser) all(to *Value) error {
	words := p.rest
	p.rest = nil
	for _, w := range words {
		if err := to.take(w); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) word(word string) error {
	switch {
	case word == "--":
		for _, w := range p.rest {
			if err := p.positional(w); err != nil {
				return err
			}
		}
		p.rest = nil
		return nil
	case strings.HasPrefix(word, "--"):
		return p.long(word)
	case strings.HasPrefix(word, "-") && len(word) > 1:
		return p.short(word)
	}
	if len(p.node.Children) == 0 {
		return p.positional(word)
	}
	next := p.node.Child(word)
	if next == nil {
		return fmt.Errorf("unexpected argument %s%s", word, p.likely(word))
	}
	p.node, p.arg = next, 0
	return nil
}

func (p *parser) positional(word string) error {
	if p.arg == len(p.node.Args) {
		return fmt.Errorf("unexpected argument %s", word)
	}
	to := p.node.Args[p.arg]
	if to.target.Kind() != reflect.Slice {
		p.arg++
	}
	return to.take(word)
}

func (p *parser) long(word string) error {
	f := p.node.Flag(word)
	if f == nil {
		name, _, _ := strings.Cut(word, "=")
		return fmt.Errorf("unknown flag %s%s", name, p.likely(name))
	}
	_, value, has := strings.Cut(word, "=")
	return p.flag(f, value, has)
}

// short reads one word of short flags: "-a", "-ab", "-o=x", "-ox".
func (p *parser) short(word string) error {
	for letters := word[1:]; letters != ""; {
		f := p.node.Flag("-" + letters[:1])
		if f == nil {
			return fmt.Errorf("unknown flag -%s", letters[:1])
		}
		letters = letters[1:]
		value, has := strings.CutPrefix(letters, "=")
		if has || !f.IsBool() && letters != "" {
			return p.flag(f, value, true)
		}
		if err := p.flag(f, "", false); err != nil {
			return err
		}
	}
	return nil
}

// flag gives a flag its value, which may be the next word.
func (p *parser) flag(f *Value, value string, has bool) error {
	switch {
	case f == helpFlag:
		p.help = true
		return nil
	case !has && f.IsBool():
		value = "true"
	case !has && (len(p.rest) == 0 || strings.HasPrefix(p.rest[0], "-") && p.node.Flag(p.rest[0]) != nil):
		return fmt.Errorf("--%s needs a value", f.Name)
	case !has:
		value = p.rest[0]
		p.rest = p.rest[1:]
	}
	return f.take(value)
}

// likely is a question after the word that was perhaps meant.
func (p *parser) likely(word string) string {
	var names []string
	for _, c := range p.node.Children {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	if strings.HasPrefix(word, "--") {
		names = nil
		for _, f := range p.node.Flags() {
			names = append(names, "--"+f.Name)
		}
	}
	best, at := "", 3
	for _, n := range names {
		if d := distance(word, n); d < at {
			best, at = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is how many letters are to be put in, taken out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost = 1 + min(before, row[j], row[j+1])
			}
			before, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// take is the command line's word for a value.
func (v *Value) take(text string) error {
	set := v.replace
	if kind := v.target.Kind(); v.given && (kind == reflect.Slice || kind == reflect.Map) {
		set = v.set
	}
	v.given = true
	if err := set(text); err != nil {
		return fmt.Errorf("%s %w", v.title(), err)
	}
	return nil
}

// replace is set, of which lists have nothing of what they had.
func (v *Value) replace(text string) error {
	v.target.SetZero()
	if err := v.set(text); err != nil {
		return err
	}
	if len(v.Enum) == 0 || v.target.Kind() != reflect.String || slices.Contains(v.Enum, v.target.String()) {
		return nil
	}
	return fmt.Errorf("must be one of %q, not %q", v.Enum, v.target.String())
}

func (v *Value) title() string {
	if v.isArg {
		return "<" + v.Name + ">"
	}
	return "--" + v.Name
}
