// Package term writes tables for people. Text that others chose, as names of game sessions
// are, cannot move the cursor, change colours or hide what stands beside it. It knows nothing
// of what it shows.
package term

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Quote is a text that is shown as it is, unless it holds what a terminal would act on, what
// cannot be seen, or what changes the direction of writing: then it is in Go's quotes. A text
// that begins with a quote is quoted as well, so that no two texts look the same.
func Quote(s string) string {
	if !strings.HasPrefix(s, `"`) && s == strings.TrimSpace(s) && !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) {
		return s
	}
	return strconv.QuoteToGraphic(s)
}

// hidden are runes that are no mark on the screen. A space is one that people see.
func hidden(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// JSON writes a value as indented JSON in which everything that is hidden is escaped, so that
// it means the same and a terminal shows it.
func JSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(Escape(text), '\n'))
	return err
}

// Escape writes what is hidden in a JSON text as JSON writes it in strings, where alone it
// can stand.
func Escape(text []byte) []byte {
	if !bytes.ContainsFunc(text, escaped) {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		switch {
		case !escaped(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			a, b := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, a, b)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func escaped(r rune) bool { return r != '\n' && hidden(r) }

// Table is lines of cells under a head.
type Table struct {
	head  []string
	right []bool
	lines [][]string
}

// New makes a table. A column whose name ends in "#" is of numbers, which stand to the right.
func New(head ...string) *Table {
	t := &Table{}
	for _, h := range head {
		name, number := strings.CutSuffix(h, "#")
		t.head, t.right = append(t.head, name), append(t.right, number)
	}
	return t
}

// Add adds a line. Cells are quoted; an empty one is a dash.
func (t *Table) Add(cells ...any) {
	line := make([]string, len(t.head))
	for i := range line {
		line[i] = "-"
		if i < len(cells) {
			if s := Quote(fmt.Sprint(cells[i])); s != "" {
				line[i] = s
			}
		}
	}
	t.lines = append(t.lines, line)
}

// Len is the number of lines.
func (t *Table) Len() int { return len(t.lines) }

// Write writes the table.
func (t *Table) Write(w io.Writer) error {
	widths := make([]int, len(t.head))
	rows := append([][]string{t.head}, t.lines...)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], width(cell))
		}
	}
	var b, line strings.Builder
	for _, row := range rows {
		line.Reset()
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-width(cell))
			if t.right[i] {
				line.WriteString(gap + cell + "  ")
			} else {
				line.WriteString(cell + gap + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// width is how many columns a text takes: two for the wide letters of East Asia and for
// pictures, none for marks that stand on the letter before.
func width(s string) (n int) {
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case 0x1100 <= r && r <= 0x115f, 0x2e80 <= r && r <= 0xa4cf, 0xac00 <= r && r <= 0xd7a3, 0xf900 <= r && r <= 0xfaff,
			0xfe30 <= r && r <= 0xfe6f, 0xff00 <= r && r <= 0xff60, 0xffe0 <= r && r <= 0xffe6, 0x1f300 <= r && r <= 0x1faff, 0x20000 <= r && r <= 0x3fffd:
			n += 2
		default:
			n++
		}
	}
	return n
}

// Redraw begins a screen anew, over the one before.
const Redraw = "\x1b[H\x1b[2J"
