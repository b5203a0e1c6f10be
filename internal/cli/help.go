package cli

import (
	"cmp"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
)

const (
	defaultWidth = 80
	leastWidth   = 40
)

// WriteHelp writes what a command is for and what it takes, in lines as wide as COLUMNS
// says, or 80.
func (n *Node) WriteHelp(w io.Writer) error {
	p := page{width: defaultWidth}
	if c, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		p.width = max(c, leastWidth)
	}
	p.line("Usage: " + n.usage())
	for _, text := range []string{n.Help, n.Detail} {
		if text != "" {
			p.line("")
			p.wrap("", "", text)
		}
	}
	if len(n.Args) > 0 {
		p.section("Arguments:", rowsOf(n.Args))
	}
	p.section("Flags:", rowsOf(n.Flags()))
	if len(n.Children) > 0 {
		p.line("")
		p.line("Commands:")
		p.commands(n)
		p.line("")
		p.wrap("", "", `Run "`+n.path()+` <command> --help" for more information on a command.`)
	}
	_, err := io.WriteString(w, p.text.String())
	return err
}

// path is the command with those it belongs to.
func (n *Node) path() string {
	if n.parent == nil {
		return n.Name
	}
	return n.parent.path() + " " + n.Name
}

// usage is the command's path with what it takes.
func (n *Node) usage() string {
	words := []string{n.path()}
	for _, f := range n.flags {
		if f.required {
			words = append(words, f.summary())
		}
	}
	for _, a := range n.Args {
		if !a.Hidden {
			words = append(words, a.summary())
		}
	}
	switch {
	case len(n.Children) > 0:
		words = append(words, "<command>")
	case len(n.flags) > 0:
		words = append(words, "[flags]")
	}
	return strings.Join(words, " ")
}

// summary is a value in one word.
func (v *Value) summary() string {
	if !v.isArg {
		return v.named()
	}
	s := "<" + v.Name + ">"
	if v.target.Kind() == reflect.Slice {
		s += " ..."
	}
	if !v.required {
		s = "[" + s + "]"
	}
	return s
}

// named is a flag with the form of its value.
func (v *Value) named() string {
	if v.IsBool() {
		return "--" + v.Name
	}
	form := cmp.Or(v.Placeholder, v.Default, strings.ToUpper(v.Name))
	switch v.target.Kind() {
	case reflect.Slice:
		form += ",..."
	case reflect.Map:
		form += ";..."
	default:
	}
	return "--" + v.Name + "=" + form
}

// row is a line of help.
type row struct{ left, right string }

func rowsOf(values []*Value) []row {
	var rows []row
	for _, v := range values {
		if v.Hidden {
			continue
		}
		left := v.summary()
		switch {
		case !v.isArg && v.Short != "":
			left = "-" + v.Short + ", " + left
		case !v.isArg:
			left = "    " + left
		}
		right := v.Help
		if len(v.env) > 0 {
			text, dot := strings.CutSuffix(right, ".")
			right = strings.TrimSpace(text + " ($" + strings.Join(v.env, ", $") + ")")
			if dot {
				right += "."
			}
		}
		rows = append(rows, row{left, right})
	}
	return rows
}

type page struct {
	text  strings.Builder
	width int
}

func (p *page) line(s string) { p.text.WriteString(strings.TrimRight(s, " ") + "\n") }

// section writes rows in two columns.
func (p *page) section(title string, rows []row) {
	p.line("")
	p.line(title)
	widest := 0
	for _, r := range rows {
		if n := len(r.left); n <= p.width/3+4 {
			widest = max(widest, n)
		}
	}
	indent := strings.Repeat(" ", widest+6)
	for _, r := range rows {
		left := "  " + r.left
		if len(left) > len(indent)-2 {
			p.line(left)
			left = ""
		}
		p.wrap(left+indent[len(left):], indent, r.right)
	}
}

// commands writes all commands below n, with what they take.
func (p *page) commands(n *Node) {
	first := true
	n.leaves(func(c *Node) {
		if !first {
			p.line("")
		}
		first = false
		p.line("  " + strings.TrimPrefix(c.usage(), n.path()+" "))
		p.wrap("    ", "    ", c.Help)
	})
}

func (n *Node) leaves(f func(*Node)) {
	for _, c := range n.Children {
		switch {
		case c.Hidden:
		case len(c.Children) > 0:
			c.leaves(f)
		default:
			f(c)
		}
	}
}

// wrap writes a text in lines, the first behind before and the others behind indent.
func (p *page) wrap(before, indent, text string) {
	line, empty := before, true
	for word := range strings.FieldsSeq(text) {
		if !empty && len(line)+1+len(word) > p.width {
			p.line(line)
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	p.line(line)
}
